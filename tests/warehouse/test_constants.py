"""Constants that decide a number are published as the SQL has them, and Python knows the same."""

import csv
import re

import pytest
from scipy import stats

from tests.macros import PROJECT, make_environment, read_constants
from upscale_audit.ingest import kernel, regions, rings
from upscale_audit.ingest.metrics import pair_loops, repetition
from upscale_audit.restore.phantom import kinds
from upscale_audit.warehouse import standard

CONSTANTS = read_constants()
VALUES = {name: facts["value"] for name, facts in CONSTANTS.items()}
DECIDED_ELSEWHERE = {
    "significance": "figures and report",
    "site_share": "restore/phantom",
    "background_dn": "ingest/regions.py",
    "background_dn2": "ingest/regions.py",
}


def test_every_constant_is_a_row_as_the_macro_states_it(query):
    rows = query("select * from dim_constants where not contains(constant, '.')").to_dicts()
    assert {row.pop("constant"): row for row in rows} == CONSTANTS


def test_every_fixed_threshold_of_a_rule_is_a_row(query):
    with (PROJECT / "seeds/rule_clauses.csv").open(encoding="utf-8", newline="") as file:
        fixed = [row for row in csv.DictReader(file) if row["threshold_kind"] == "fixed"]
    stated = {
        f"{row['rule_set']}.{row['rule_id']}.{row['metric']}": float(row["fixed_threshold"])
        for row in fixed
    }
    rows = query("select * from dim_constants where contains(constant, '.')").to_dicts()
    assert len(rows) == len(fixed) > 0
    assert {row["constant"]: row["value"] for row in rows} == stated
    assert {row["unit"] for row in rows if row["constant"].endswith(".psnr")} == {"dB"}


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("ssim_c1", kernel.C1),
        ("ssim_c1", pair_loops._C1),
        ("ssim_c2", kernel.C2),
        ("ssim_c2", pair_loops._C2),
        ("background_dn", regions.DARK_DN),
        ("background_dn2", regions.FLAT_DN2),
        ("repetition_limit", repetition.LIMIT),
        ("frc_low", rings.THRESHOLDS[0]),
        ("frc_high", rings.THRESHOLDS[1]),
        ("site_share", kinds.LEAST_SHARE),
        ("anchor_loading", standard._LEAST_ANCHOR),
        ("eigenvalue_gap", standard._LEAST_GAP),
    ],
)
def test_python_that_runs_before_a_warehouse_exists_knows_the_same_constant(name, known):
    assert known == pytest.approx(VALUES[name], rel=1e-15)


def test_constants_that_follow_from_others_do():
    ends = make_environment("constants").globals["interval_ends"]()
    assert ends == {"low": 0.025, "high": 0.975}
    assert VALUES["normal_limit"] == pytest.approx(stats.norm.ppf(ends["high"]), rel=1e-15)
    assert VALUES["normal_iqr"] == pytest.approx(2 * stats.norm.ppf(0.75), abs=5e-4)
    assert VALUES["rounding_variance"] == 1 / 12
    assert VALUES["verdict_high"] > VALUES["verdict_medium"] > VALUES["verdict_low"]
    # A block is silent where c / (c + v) >= p, so where v * p / (1 - p) <= c, in whole numbers.
    factor = int(make_environment("constants").globals["silent_factor"]())
    assert factor * (100 - VALUES["silent_pct"]) == VALUES["silent_pct"]
    for name in ("lum_over_pct", "lum_under_pct"):
        assert 100 % VALUES[name] == 0, "the SQL multiplies by the whole number 100 / value"


def test_a_name_that_is_no_constant_is_refused():
    class Exceptions:
        def raise_compiler_error(self, text):
            raise ValueError(text)

    constant = make_environment("constants", exceptions=Exceptions()).globals["constant"]
    with pytest.raises(
        ValueError, match=r"constant\(no_such\) is not known: expected one of ssim_"
    ):
        constant("no_such")


def test_every_constant_decides_something_and_its_section_exists(repository):
    files = [path for path in PROJECT.rglob("*.sql") if path.name != "dim_constants.sql"]
    used = set(re.findall(r"constant\('(\w+)'\)", "".join(map(_read, files))))
    assert used | DECIDED_ELSEWHERE.keys() == CONSTANTS.keys()
    assert not used & DECIDED_ELSEWHERE.keys()
    heads = re.findall(
        r"^### ([A-H]\.\d+)", _read(repository / "docs/definitions.md"), re.MULTILINE
    )
    assert {facts["section"] for facts in CONSTANTS.values()} <= set(heads)


def _read(path):
    return path.read_text(encoding="utf-8")
