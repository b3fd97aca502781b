"""Tables for papers: rounding by rule, and no text that TeX or a spreadsheet would run."""

import csv
import re

import duckdb
import pytest

from upscale_audit.warehouse.model_facts import COLUMNS
from upscale_audit.warehouse.paper_tables import (
    MEANS,
    MEANS_LATEX,
    MODELS,
    MODELS_LATEX,
    PAIRS,
    count_decimals,
    escape_latex,
    round_number,
    write_paper_tables,
)

NASTY = "=2^{x}_$#%&~\\'`<|>\"--\u202e\n\\input{/etc/passwd}"
MEAN_COLUMNS = (
    "source_id varchar, model_id varchar, inference_path varchar, subgroup_kind varchar,"
    " quantity varchar, level varchar, unit varchar, cluster_unit varchar, cluster_count bigint,"
    " image_count bigint, mean double, mean_low double, mean_high double"
)
PAIR_COLUMNS = (
    "source_id varchar, model_a varchar, model_b varchar, inference_path varchar,"
    " subgroup_kind varchar, quantity varchar, level varchar, unit varchar, cluster_unit varchar,"
    " cluster_count bigint, image_count bigint, difference double, difference_low double,"
    " difference_high double, p_value double, p_holm double, family varchar, family_size bigint"
)


@pytest.fixture
def write(tmp_path):
    """Give a function that writes the tables of some rows: the folder."""

    def run(means=(), pairs=(), models=()):
        with duckdb.connect() as connection:
            typed = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
            connection.execute(f"create table dim_models ({typed})")
            for row in models:
                marks = ", ".join("?" * len(COLUMNS))
                values = [row.get(name) for name in COLUMNS]
                connection.execute(f"insert into dim_models values ({marks})", values)
            connection.execute(f"create table mart_model_means ({MEAN_COLUMNS})")
            connection.execute(f"create table mart_model_pairs ({PAIR_COLUMNS})")
            connection.execute(
                "create table dim_constants as select 'least_tested' as constant,"
                " cast(12 as double) as value"
            )
            for table, rows in (("mart_model_means", means), ("mart_model_pairs", pairs)):
                for row in rows:
                    marks = ", ".join("?" * len(row))
                    connection.execute(f"insert into {table} values ({marks})", row)
            write_paper_tables(connection, tmp_path / "tables")
        return tmp_path / "tables"

    return run


def mean_row(model, path, quantity, unit, *values, kind="all", source="images"):
    return (source, model, path, kind, quantity, "image", unit, "patient", 20, 31, *values)


def read_csv(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("estimates", "widths", "decimals"),
    [
        ([0.97312], [0.0034], 4),
        ([0.97312], [0.0034, 0.12], 4),
        ([37.2], [1.0], 1),
        ([37.2], [9.96], 1),
        ([3700.0], [12.0], 0),
        ([3700.0], [1234.0], 0),
        # A point says nothing of how far; below a millionth nothing is printed.
        ([0.5], [0.0, 0.02], 3),
        ([0.5], [3e-9], 6),
        ([0.97312, -0.2], [], 4),
        ([44.42, 61.2], [], 2),
        ([12345.6], [], 0),
        ([0.0], [], 0),
        ([], [], 0),
    ],
)
def test_the_narrowest_interval_says_how_many_decimals_else_the_greatest_estimate(
    estimates, widths, decimals
):
    assert count_decimals(estimates, widths) == decimals


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (0.125, 2, "0.12"),
        (0.135, 2, "0.14"),
        (2.675, 2, "2.68"),
        (-0.0004, 3, "0.000"),
        (-0.0006, 3, "-0.001"),
        (2.5, 0, "2"),
        (1e25, 6, "10000000000000000000000000.000000"),
        (5e-324, 6, "0.000000"),
    ],
)
def test_halves_go_to_the_even_digit_and_zero_has_no_sign(value, decimals, text):
    assert str(round_number(value, decimals)) == text


def test_a_missing_number_stays_missing():
    assert round_number(None, 3) is None


def test_a_text_is_printed_and_never_run():
    escaped = escape_latex(NASTY)
    assert "U+202E" in escaped
    assert "U+000A" in escaped
    # What is left without commands, escaped characters and their empty groups is plain.
    plain = re.sub(r"\\[{}$&#%_]|\\text[a-z]+\{\}|-\{\}", "", escaped)
    assert not set(plain) & set("\\{}$&#%_~^<>|`'\"\n")
    assert r"\textbackslash{}input\{/etc/passwd\}" in escaped


def test_means_are_rounded_alike_and_laid_out_a_model_and_path_a_row(write):
    folder = write(
        [
            mean_row("a_b", "notta", "ssim", "", 0.97312, 0.9712, 0.9752),
            mean_row("a_b", "tta", "ssim", "", 0.98, None, None),
            mean_row("a_b", "notta", "mse_dn2", "dn2", 2.0, 1.5, 2.6),
            mean_row("c", "notta", "ssim", "", None, None, None),
            mean_row("a_b", "notta", "ssim", "", 0.5, 0.4, 0.6, kind="sex"),
            mean_row("a_b", "notta", "fsds", "dB", 1.0, None, None),
        ]
    )
    rows = {
        (row["model_id"], row["inference_path"], row["quantity"]): row
        for row in read_csv(folder / MEANS)
    }
    assert len(rows) == 5
    assert rows["a_b", "notta", "ssim"]["mean"] == "0.9731"
    assert rows["a_b", "notta", "ssim"]["mean_low"] == "0.9712"
    assert rows["a_b", "tta", "ssim"]["mean"] == "0.9800"
    assert rows["c", "notta", "ssim"]["mean"] == ""
    assert rows["a_b", "notta", "mse_dn2"]["mean_high"] == "2.60"
    lines = (folder / MEANS_LATEX).read_text(encoding="utf-8").splitlines()
    assert r"a\_b & notta & 20; 31 & $0.9731$ & $2.00$ \\" in lines
    assert r" &  &  & \footnotesize$[0.9712, 0.9752]$ & \footnotesize$[1.50, 2.60]$ \\" in lines
    assert r"a\_b & tta & 20; 31 & $0.9800$ &  \\" in lines
    assert r" &  &  &  & (dn\textsuperscript{2}) \\" in lines
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert lines.count(rule) == 1
    (columns,) = [re.search(r"\{(l+r+)\}", line)[1] for line in lines if "begin{tabular}" in line]
    for line in (line for line in lines if line.endswith(r"\\")):
        assert len(re.findall(r"(?<!\\)&", line)) == len(columns) - 1


def test_names_of_a_published_file_are_data_in_both_forms(write):
    folder = write(
        [mean_row(NASTY, "unstated", "ssim", "", -0.5, None, None, source=NASTY)],
        [
            (
                *(NASTY, NASTY, "b", "unstated", "all", "ssim", "image", "", "patient", 20, 31),
                *(-0.5, -0.61, -0.39, 0.000123456, 1.0, "f", 1),
            )
        ],
    )
    (row,) = read_csv(folder / MEANS)
    assert row["model_id"] == f"'{NASTY}"
    # A number is no text: its sign is no formula.
    assert row["mean"] == "-0.5000"
    (pair,) = read_csv(folder / PAIRS)
    assert (pair["model_a"], pair["difference"], pair["difference_low"]) == (
        f"'{NASTY}",
        "-0.50",
        "-0.61",
    )
    assert (pair["p_value"], pair["p_holm"]) == ("0.000123", "1.0")
    text = (folder / MEANS_LATEX).read_text(encoding="utf-8")
    assert r"\input{" not in text.split("fontenc")[1]
    assert escape_latex(NASTY) in text


def test_a_study_without_an_image_has_headers_and_an_empty_table(write):
    folder = write()
    assert "from 12 patients on" in (folder / MEANS_LATEX).read_text()
    assert (folder / MEANS).read_text().startswith("source_id,model_id,inference_path,quantity")
    assert (folder / PAIRS).read_text().startswith("source_id,model_a,model_b")
    assert "tabular" not in (folder / MEANS_LATEX).read_text()


def test_models_stand_by_label_and_in_order_and_csvs_by_their_name(write):
    nasty = {"model_id": "a", "model_number": 2, "label": "A_1 & \\input", "colour": "#000000"}
    first = {
        "model_id": "z",
        "model_number": 1,
        "label": "Zed",
        "colour": "#0072b2",
        "scale": 4,
        "weights_sha256": "ab" * 32,
        "stated_columns": ["label", "scale"],
        "recorded_columns": [],
    }
    means = [mean_row(name, "notta", "ssim", "", 0.9, None, None) for name in ("a", "z", "other")]
    folder = write(means, models=[nasty, first])
    latex = (folder / MEANS_LATEX).read_text(encoding="utf-8")
    spelt = r"A\_1 \& \textbackslash{}input"
    assert latex.index("\nZed & ") < latex.index(f"\n{spelt} & ") < latex.index("\nother & ")
    assert [row["model_id"] for row in read_csv(folder / MEANS)] == ["a", "other", "z"]
    rows = read_csv(folder / MODELS)
    assert [(row["model_number"], row["model_id"], row["scale"]) for row in rows] == [
        ("1", "z", "4"),
        ("2", "a", ""),
    ]
    assert rows[0]["stated_columns"] == "label scale"
    table = (folder / MODELS_LATEX).read_text(encoding="utf-8").splitlines()
    assert table[3:] == [
        r"\begin{tabular}{lll}",
        r"\toprule",
        r"Model & Scale & Weights (SHA-{}256) \\",
        r"\midrule",
        rf"Zed & $\times$4 & \texttt{{{'ab' * 6}}} \\",
        rf"{spelt} &  &  \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
