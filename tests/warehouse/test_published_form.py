"""Exports in the published form, and the rules behind them, against an evaluation in NumPy."""

import contextlib
import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.metrics.declared import METRIC_NAMES
from upscale_audit.ingest.published import METRIC_COLUMNS, read_locations, read_results
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.build import build_warehouse
from upscale_audit.warehouse.connect import open_warehouse
from upscale_audit.warehouse.export import export_tables
from upscale_audit.warehouse.published_form import (
    LANGUAGES,
    LFV_LOCATIONS,
    LFV_SUMMARY,
    RESULTS,
    SIZE_COLUMNS,
    SUMMARY,
    THRESHOLDS,
    recommend_thresholds,
    write_as_text,
    write_published_form,
)

# ---- the rules once more, from definitions C.1, evaluated one row at a time

SETS = ("v2_current", "v1_documented", "gui_suspects", "gui_clean")
POPULATIONS = ("pooled", "per_model", "frozen")
PATTERNS = {
    "P1": (("ssim > 0.97", "psnr < 25"), ("ssim >= q75", "psnr <= q25")),
    "P2": (("sharpness > q75", "noise > q75"),),
    "P3": (("edge_density > q90", "local_quality_mean < q25"),),
    "P4": (("artifact_total > q90",),),
    "P5": (("lpips > q75", "ssim > q75"),),
    "P6": (("local_quality_std > q75",),),
    "P7": (("entropy < q25", "high_freq_ratio > q75"),),
    "P8": (("contrast > q90", "histogram_corr < q25"),),
    "P9": (("ms_ssim < q25", "total_score < q25"),),
}
LOW = (
    "ssim", "ms_ssim", "psnr", "sharpness", "contrast", "entropy", "edge_density",
    "high_freq_ratio", "texture_complexity", "local_quality_mean", "histogram_corr", "total_score",
)  # fmt: skip
HIGH = ("lpips", "noise", "artifact_total", "delta_e", "local_quality_std")
FLAGS = ("detection_count", "detected_patterns", "confidence_level")


def list_rules(rule_set):
    """Rules of a set in published order, each as alternatives of clauses."""
    rules = dict(PATTERNS)
    low, high = list(LOW), list(HIGH)
    if rule_set == "v2_current":
        rules["P9"] = (("ms_ssim < q25", "ssim < q25"),)
        low.remove("total_score")
    if rule_set.startswith("gui"):
        high.remove("local_quality_std")
    if rule_set == "gui_clean":
        rules = {name: rules[name] for name in ("P1", "P2", "P3", "P4", "P5", "P6")}
    rules |= {f"single_{metric}": ((f"{metric} < q10",),) for metric in low}
    return rules | {f"single_{metric}": ((f"{metric} > q90",),) for metric in high}


def find_threshold(rows, metric, text):
    if not text.startswith("q"):
        return float(text)
    values = [row[metric] for row in rows if row[metric] is not None]
    return float(np.quantile(values, int(text[1:]) / 100)) if values else None


def decide(value, operator, threshold):
    if value is None or threshold is None:
        return None
    return {
        ">": value > threshold,
        ">=": value >= threshold,
        "<": value < threshold,
        "<=": value <= threshold,
    }[operator]


def conclude(answers, decisive):
    """And (decisive False) or or (decisive True) of true, false and unknown."""
    if decisive in answers:
        return decisive
    return None if None in answers else not decisive


def evaluate(rows, rule_set, population, baseline):
    """(model, image, rule) to true, false or None for every row."""
    flags, cache = {}, {}
    for row in rows:
        group = {"pooled": None, "per_model": row["model_id"], "frozen": baseline}[population]
        chosen = [other for other in rows if group in (None, other["model_id"])]
        for rule_id, alternatives in list_rules(rule_set).items():
            answers = []
            for clauses in alternatives:
                parts = []
                for clause in clauses:
                    metric, operator, text = clause.split()
                    key = (group, metric, text)
                    if key not in cache:
                        cache[key] = find_threshold(chosen, metric, text)
                    parts.append(decide(row[metric], operator, cache[key]))
                answers.append(conclude(parts, False))
            flags[row["model_id"], row["image_id"], rule_id] = conclude(answers, True)
    return flags


def describe(rows, rule_set, labels):
    """Add the three flag columns that the set's own program would write."""
    flags = evaluate(rows, rule_set, "pooled", None)
    for row in rows:
        fired = [
            labels[rule_set, rule_id]
            for rule_id in list_rules(rule_set)
            if flags[row["model_id"], row["image_id"], rule_id]
        ]
        row["detection_count"] = len(fired)
        row["detected_patterns"] = ", ".join(fired) or "None"
        row["confidence_level"] = name_class(len(fired))
    return rows


def name_class(count):
    return "High" if count >= 5 else "Medium" if count >= 3 else "Low" if count else "Normal"


# ---- published files of known content

# Four rows, their pattern counts and thresholds as the author published them, compared byte for
# byte: repository ai-image-analyzer-pro, analysis_output/20251113_104154, commit dcb255e, read
# 2026-11-21; the two folders in its paths are shortened. The LFV proof of the same values is in
# 20251112_201607, commit 387e3a1; there the model has another name.
GOLDEN = Path(__file__).resolve().parents[1] / "golden" / "published_form"

NASTY_NAMES = ("=1+1", "+1", "-1", "@x", 'a"b,c', "'; drop table fct_verdicts; --", "画像 1")
REAL = "generator/batch_analysis_300images.csv"
BASELINE = "'); drop table dim_rules; --"


def draw_rows(seed, image_count=40, without=()):
    """Rows of two models, coarse so that values tie with quantiles, with some values missing."""
    generator = np.random.default_rng(seed)
    rows = []
    for number in range(image_count):
        name = NASTY_NAMES[number] if number < len(NASTY_NAMES) else f"image_{number:03d}"
        for model_id in (BASELINE, "other"):
            tenths = generator.integers(0, 11, len(METRIC_COLUMNS)).tolist()
            values = {
                metric: None if metric in without or generator.random() < 0.04 else tenth / 10
                for metric, tenth in zip(METRIC_COLUMNS, tenths, strict=True)
            }
            if values["psnr"] is not None:
                values["psnr"] += 24.5
            rows.append({"model_id": model_id, "image_id": name} | values)
    return rows


def write_rows(path, rows):
    """Write rows as the generator would, without the size columns."""
    header = ["image_id", "model_id", "original_path", "upscaled_path", *METRIC_COLUMNS]
    header += [name for name in FLAGS if name in rows[0]]
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow("model" if name == "model_id" else name for name in header)
        writer.writerows([row.get(name) for name in header] for row in rows)


@pytest.fixture(scope="module")
def labels(repository):
    path = repository / "dbt_project" / "seeds" / "rules.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {(row["rule_set"], row["rule_id"]): row["label"] for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def study(tmp_path_factory, labels, request):
    """Give a built study of published files; the real one among them where it is at hand."""
    folder = tmp_path_factory.mktemp("published")
    for rule_set in SETS:
        write_rows(folder / f"{rule_set}.csv", describe(draw_rows(1), rule_set, labels))
    write_rows(folder / "unweighted.csv", draw_rows(2, without=("lpips",)))
    write_rows(folder / "one.csv", draw_rows(3)[:1])
    same = [draw_rows(4)[20] | {"image_id": f"copy_{number}"} for number in range(5)]
    write_rows(folder / "same.csv", same)
    files = {name: f"{name}.csv" for name in (*SETS, "unweighted", "one", "same")}
    files["four"] = GOLDEN / RESULTS
    with contextlib.suppress(pytest.skip.Exception):
        files["real"] = request.getfixturevalue("shared_data") / REAL
    lines = ["[study]", 'name = "published"', 'output = "out"']
    located = [(label, GOLDEN / LFV_LOCATIONS) for label in ("four", "places")]
    for label, file in (*files.items(), *located):
        lines += ["[[published]]", f'file = "{file}"', f'label = "{label}"']
    lines += ["[parameters]", "bootstrap_replicates = 100", f'bootstrap_seed = "{BASELINE}"']
    lines += [f'baseline_model = "{BASELINE}"']
    (folder / "study.toml").write_text("\n".join(lines), encoding="utf-8")
    study = load_study(folder / "study.toml")
    ingest_study(study, workers=1)
    build_warehouse(study, threads=2)
    return study


@pytest.fixture(scope="module")
def ask(study):
    """Give a function from SQL to rows on the module's warehouse."""
    with open_warehouse(study.warehouse) as connection:
        yield lambda sql, *values: connection.execute(sql, list(values)).fetchall()


@pytest.fixture(scope="module")
def written(study, tmp_path_factory):
    """Give the folder of the published form, labels as published."""
    folder = tmp_path_factory.mktemp("written")
    with open_warehouse(study.warehouse) as connection:
        files = write_published_form(connection, folder)
    assert files == sorted(files, key=lambda path: (path.parent, files.index(path)))
    assert set(files) == {path for path in folder.rglob("*") if path.is_file()}
    return folder


# ---- the files


@pytest.mark.long
@pytest.mark.parametrize("name", [RESULTS, SUMMARY, THRESHOLDS])
def test_the_authors_own_files_come_back_byte_for_byte(written, name):
    assert (written / "four" / name).read_bytes() == (GOLDEN / name).read_bytes()


def test_the_authors_lfv_locations_come_back_byte_for_byte(written):
    assert (written / "four" / LFV_LOCATIONS).read_bytes() == (GOLDEN / LFV_LOCATIONS).read_bytes()


def test_locations_without_results_come_back_byte_for_byte(written):
    folder = written / "places"
    assert {path.name for path in folder.iterdir()} == {LFV_LOCATIONS, LFV_SUMMARY}
    assert (folder / LFV_LOCATIONS).read_bytes() == (GOLDEN / LFV_LOCATIONS).read_bytes()


def test_the_authors_lfv_proof_comes_back_to_the_last_digits_of_its_floats(written):
    """Sums of a correlation run in another order in pandas: words, counts and form are equal."""
    found, expected = (
        (folder / LFV_SUMMARY).read_bytes().decode("utf-8") for folder in (written / "four", GOLDEN)
    )
    assert found.endswith("\n")
    assert found.splitlines()[0] == expected.splitlines()[0]
    cells, values = (text.splitlines()[1].split(",") for text in (found, expected))
    for cell, known in zip(cells, values, strict=True):
        if "." in known and known not in ("25.0", "0.063625"):
            assert float(cell) == pytest.approx(float(known), rel=1e-13)
            assert cell == repr(float(cell))
        else:
            assert cell == known


def test_without_locations_the_proof_says_so_and_no_location_is_written(written):
    for source in ("unweighted", "v2_current", "same"):
        assert not (written / source / LFV_LOCATIONS).exists()
        with (written / source / LFV_SUMMARY).open(encoding="utf-8", newline="") as file:
            (row,) = csv.DictReader(file)
        assert row["boundary_bias_index"] == row["boundary_p_value"] == "N/A"
        assert row["spatial_dependency_strength"] == "N/A"
    assert (row["correlation_texture_localmin"], row["texture_dependency_strength"]) == ("", "")


@pytest.mark.parametrize("source", ["unweighted", "v2_current", "one", "same"])
def test_a_written_file_read_again_gives_the_same_values_and_flags(study, written, ask, source):
    original = next(item.file for item in study.published if item.label == source)
    check_round_trip(original, written / source / RESULTS, source, ask)


@pytest.mark.shared_data
def test_the_real_file_read_again_gives_the_same_values_and_flags(written, ask, shared_data):
    check_round_trip(shared_data / REAL, written / "real" / RESULTS, "real", ask)


@pytest.mark.shared_data
def test_the_real_files_texture_proof_is_scipys(ask, shared_data):
    rows = read_results(shared_data / REAL, "x")
    found = ask(
        "select model_id, image_count, pair_count, correlation_texture_localmin,"
        " correlation_p_value, rank_correlation_texture_localmin, correlation_texture_mean,"
        " slope_texture_mean, lfv_threshold_25th, lfv_cases_count, lfv_located_count,"
        " spatial_dependency_strength from mart_lfv_proof where source_id = 'real'"
    )
    assert {row[0] for row in found} == {row["model_id"] for row in rows} | {"pooled"}
    for model_id, *values in found:
        own = [row for row in rows if model_id in ("pooled", row["model_id"])]
        texture, least, mean = (
            np.array([row[name] for row in own])
            for name in ("texture_complexity", "local_quality_min", "local_quality_mean")
        )
        published, mended = stats.linregress(texture, least), stats.linregress(texture, mean)
        threshold = np.quantile(least, 0.25)
        expected = (
            *(len(own), len(own), published.rvalue, published.pvalue),
            *(stats.spearmanr(texture, least).statistic, mended.rvalue, mended.slope),
            *(threshold, (least < threshold).sum(), 0),
        )
        assert values[:-1] == pytest.approx(expected, rel=1e-9)
        assert values[-1] == "N/A"


def undo_text(row):
    """Take away the apostrophe that keeps a spreadsheet from running a text."""
    marks = tuple("'" + mark for mark in "=+-@")
    return {
        name: value[1:] if isinstance(value, str) and value.startswith(marks) else value
        for name, value in row.items()
    }


def check_round_trip(original, path, source, ask):
    expected = [
        {name: value for name, value in row.items() if name not in FLAGS}
        for row in read_results(original, "x")
    ]
    rows = [undo_text(row) for row in read_results(path, "x")]
    found = [tuple(row.pop(name) for name in FLAGS) for row in rows]
    assert rows == expected
    assert found == ask(
        "select detection_count, detected_patterns, confidence from fct_verdicts"
        " inner join fct_image_quality using (source_id, model_id, inference_path, image_id)"
        " where source_id = ? and rule_set = 'v2_current' and population = 'pooled'"
        " order by row_number",
        source,
    )


def test_a_file_with_flags_is_written_as_it_was_read(study, written):
    original = next(item.file for item in study.published if item.label == "v2_current")
    expected, changed = re.subn(rb"(?m)^(?=[=+@-])", b"'", original.read_bytes())
    assert changed == 8  # four names, two models
    assert (written / "v2_current" / RESULTS).read_bytes() == expected


def test_size_columns_are_there_exactly_when_the_source_has_sizes(written):
    for source, has_sizes in (("four", True), ("one", False)):
        header = (written / source / RESULTS).read_text(encoding="utf-8-sig").split("\n")[0]
        assert all((name in header.split(",")) == has_sizes for name in SIZE_COLUMNS)


def test_names_that_look_like_formulas_or_sql_are_data(written, ask):
    with (written / "one" / RESULTS).open(encoding="utf-8-sig", newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["image_id"], row["model"]) == ("'=1+1", BASELINE)
    names = {name for (name,) in ask("select distinct image_id from fct_verdicts")}
    assert set(NASTY_NAMES) <= names


@pytest.mark.parametrize("mark", ["=", "+", "-", "@", "\t", "\r", "'=", "''@"])
def test_a_text_that_begins_as_a_formula_gets_an_apostrophe(mark):
    assert write_as_text(f"{mark}1+1") == f"'{mark}1+1"


@pytest.mark.parametrize("cell", ["a=1", "'a", "", "N/A", " =1", -1.5, -3, None, True, "画像"])
def test_numbers_and_all_other_texts_are_as_they_are(cell):
    assert write_as_text(cell) is cell


def test_a_pattern_that_no_row_allowed_to_decide_has_an_empty_count(written):
    """Without LPIPS, P5 is decided (false) wherever SSIM is not high, so it has a count."""
    lines = (written / "unweighted" / SUMMARY).read_text(encoding="utf-8-sig").splitlines()
    assert lines[5] == "P5,0,0.0"
    described = json.loads((written / "unweighted" / THRESHOLDS).read_text(encoding="utf-8"))
    assert described["lpips"]["name"] == "LPIPS (Perceptual Similarity)"
    assert {described["lpips"][key] for key in ("threshold", "condition", "mean", "max")} == {None}


def test_one_row_has_no_standard_deviation():
    row = dict.fromkeys(METRIC_COLUMNS, 0.1)
    described = recommend_thresholds([row])
    assert described["ssim"]["std"] is None
    assert (described["ssim"]["threshold"], described["lpips"]["max"]) == (0.1, 0.1)


def test_languages(study, tmp_path, labels):
    texts = {}
    with open_warehouse(study.warehouse) as connection:
        for language in LANGUAGES:
            write_published_form(connection, tmp_path / language, language)
            texts[language] = [
                (tmp_path / language / "four" / name).read_text(encoding="utf-8-sig")
                for name in (RESULTS, SUMMARY, THRESHOLDS)
            ]
        with pytest.raises(ValueError, match="published, en, ja"):
            write_published_form(connection, tmp_path / "fr", "fr")
    assert "単独:SSIM低" in texts["ja"][0]
    assert "参考値: 153.2100" in texts["ja"][2]
    assert "構造類似性" in texts["ja"][2]
    assert "Single: Low SSIM" in texts["en"][0]
    assert texts["en"][0].split("\n", 1)[1].isascii()
    assert texts["en"][2] == texts["published"][2]
    assert len({text[1] for text in texts.values()}) == 1


def test_an_export_holds_the_published_form_and_its_sums(study):
    report = export_tables(study, labels="en")
    folder = report.folder / "published_form"
    assert {path.name for path in folder.iterdir()} == {item.label for item in study.published}
    assert "Single: Low SSIM" in (folder / "four" / RESULTS).read_text(encoding="utf-8-sig")
    sums = dict(
        reversed(line.split("  ", 1))
        for line in (report.folder / "SHA256SUMS").read_text().splitlines()
    )
    for path in folder.rglob("*.*"):
        assert sums[str(path.relative_to(report.folder))] == hash_file(path)
    export_tables(study, ["dim_rules"])
    assert not folder.exists()


@pytest.mark.long
@pytest.mark.parametrize("path", ["notta", "tta"])
def test_lfv_files_of_measured_images_are_what_the_marts_say(sample_study, query, path):
    folder = sample_study.output / "exports" / "published_form" / f"images_{path}"
    rows = read_locations(folder / LFV_LOCATIONS, "x")
    names = {"min_ssim_value": "local_ssim_min", "total_rows": "block_rows"}
    names |= {"total_cols": "block_cols", "distance_to_boundary": "distance_blocks"}
    expected = query(
        "select * from mart_lfv_images where source_id = 'images' and is_lfv"
        f" and inference_path = '{path}'"
    ).rows_by_key(["model_id", "image_id"], named=True, unique=True, include_key=True)
    assert len(rows) == len(expected) > 0
    for row in rows:
        known = expected[row["model_id"], row["image_id"]]
        for name in set(row) - {"label", "row_number", "min_ssim_value"}:
            assert row[name] == known.get(names.get(name, name)), name
        assert row["min_ssim_value"] == pytest.approx(known["local_ssim_min"], abs=0.5001e-4)
        assert len(repr(row["min_ssim_value"]).partition(".")[2]) <= 4
    ordered = query(
        f"select image_id from fct_image_quality where inference_path = '{path}'"
        " order by row_number"
    )["image_id"].to_list()
    places = [ordered.index(row["image_id"]) for row in rows]
    assert places == sorted(places)
    with (folder / LFV_SUMMARY).open(encoding="utf-8", newline="") as file:
        (proof,) = csv.DictReader(file)
    assert int(proof["lfv_cases_count"]) == len(rows)
    index = 1 - np.mean([row["normalized_distance"] for row in rows])
    assert float(proof["boundary_bias_index"]) == pytest.approx(index, rel=1e-12)


def test_measured_images_have_one_file_per_inference_path(sample_study, query):
    folder = sample_study.output / "exports" / "published_form"
    assert {path.name for path in folder.iterdir()} == {"images_notta", "images_tta"}
    expected = query(
        "select model_id, image_id, psnr_rounded, sharpness, sharpness_rounded"
        " from fct_image_quality where inference_path = 'tta' order by row_number"
    ).to_dicts()
    rows = read_results(folder / "images_tta" / RESULTS, "x")
    keys = ("model_id", "image_id")
    assert [[row[key] for key in keys] for row in rows] == [
        [row[key] for key in keys] for row in expected
    ]
    assert [row["sharpness"] for row in rows] == [row["sharpness_rounded"] for row in expected]
    assert {row["model_id"] for row in rows} < {model.model_id for model in sample_study.models}
    for row in rows:
        assert row["original_path"] == row["upscaled_path"] == f"{row['image_id']}.png"
        assert (row["original_width_px"], row["original_format"]) == (512, "png")
        assert (row["upscaled_height_px"], row["upscaled_format"]) == (512, "png")
        assert row["lpips"] is None


# ---- the rules


@pytest.mark.parametrize("source", ["v2_current", "unweighted", "one", "same"])
def test_every_flag_equals_the_evaluation_in_numpy(study, ask, source):
    check_flags(study, ask, source, BASELINE)


@pytest.mark.shared_data
@pytest.mark.usefixtures("shared_data")
def test_every_flag_of_the_real_file_equals_the_evaluation_in_numpy(study, ask):
    """None of its models is the baseline: there is no frozen population."""
    check_flags(study, ask, "real", None)


def check_flags(study, ask, source, baseline):
    original = next(item.file for item in study.published if item.label == source)
    rows = read_results(original, source)
    has_baseline = any(row["model_id"] == baseline for row in rows)
    for rule_set in SETS:
        for population in POPULATIONS:
            found = {
                (model_id, image_id, rule_id): is_flagged
                for model_id, image_id, rule_id, is_flagged in ask(
                    "select model_id, image_id, rule_id, is_flagged from fct_rule_flags"
                    " where source_id = ? and rule_set = ? and population = ?",
                    source, rule_set, population,
                )
            }  # fmt: skip
            if population == "frozen" and not has_baseline:
                assert not found
                continue
            assert found == evaluate(rows, rule_set, population, baseline), (rule_set, population)


def test_each_file_agrees_with_its_own_rule_set_in_every_row(ask):
    agreement = {
        (source_id, rule_set): counts
        for source_id, rule_set, *counts in ask(
            "select source_id, rule_set, row_count, equal_count_count, equal_patterns_count,"
            " equal_confidence_count from mart_published_agreement"
        )
    }
    for rule_set in SETS:
        assert agreement[rule_set, rule_set] == [80, 80, 80, 80]
    assert agreement["four", "v2_current"] == [4, 4, 4, 4]
    # And no other set has the same labels in every row: the test above can fail.
    assert all(
        agreement[source, rule_set][2] < 80
        for source in SETS
        for rule_set in SETS
        if source != rule_set
    )


def test_without_lpips_its_rules_are_open_or_false_never_true(ask):
    found = ask(
        "select rule_id, is_flagged, count(*) from fct_rule_flags"
        " where source_id = 'unweighted' and rule_set = 'v2_current' and population = 'pooled'"
        " and rule_id in ('P5', 'single_lpips') group by all order by all"
    )
    assert [row[:2] for row in found] == [("P5", False), ("P5", None), ("single_lpips", None)]
    assert found[2][2] == 80


def test_a_missing_value_has_a_reason(ask, query):
    found = {
        (source_id, metric): rest
        for source_id, metric, *rest in ask(
            "select source_id, metric, image_count, value_count, null_count, reason"
            " from mart_metric_availability"
        )
    }
    assert found["four", "lpips"] == [4, 4, 0, None]
    assert found["four", "fsds"] == [4, 0, 4, "no column of published files"]
    assert found["unweighted", "lpips"] == [80, 0, 80, "the published file gives no value"]
    count, values, missing, reason = found["v2_current", "ssim"]
    assert 0 < missing < 80
    assert values + missing == count == 80
    assert reason == "empty, None, N/A, NaN or infinite in the published file"
    measured = query(
        "select metric, value_count, reason from mart_metric_availability"
        " where source_id = 'images'"
    ).rows_by_key("metric")
    assert measured["lpips"] == [(0, "no weights: name alexnet and lpips in [perceptual]")]
    assert measured["ssim"][0][1] is None
    assert len(measured) == len(METRIC_NAMES)


def test_rows_all_equal_fire_only_the_rule_that_allows_equality(ask):
    assert ask(
        "select distinct detected_patterns_en from fct_verdicts where source_id = 'same'"
        " and rule_set = 'v2_current' and population = 'pooled'"
    ) == [("P1: high SSIM, low PSNR",)]


@pytest.mark.parametrize("source", ["four", "v2_current", "unweighted", "one", "same", "real"])
def test_quantiles_equal_numpys_linear_ones_to_the_last_digit(study, ask, source, request):
    if source == "real":
        request.getfixturevalue("shared_data")
    original = next(item.file for item in study.published if item.label == source)
    rows = read_results(original, source)
    found = ask(
        "select population, model_id, metric, quantile_level, threshold"
        " from fct_rule_thresholds where source_id = ?",
        source,
    )
    assert found
    for population, model_id, metric, level, threshold in found:
        group = {"pooled": None, "per_model": model_id, "frozen": BASELINE}[population]
        chosen = [row for row in rows if group in (None, row["model_id"])]
        level_text = f"q{round(100 * level)}"
        assert threshold == find_threshold(chosen, metric, level_text), (population, metric, level)


# ---- the real file: definitions C.2


@pytest.mark.shared_data
@pytest.mark.usefixtures("shared_data")
def test_the_real_file_gives_the_published_counts(ask):
    classes = {
        (rule_set, confidence): count
        for rule_set, confidence, count in ask(
            "select rule_set, confidence, count(*) from fct_verdicts"
            " where source_id = 'real' and population = 'pooled' group by all"
        )
    }
    for rule_set, counts in (
        ("v2_current", (161, 181, 325, 233)),
        ("gui_suspects", (157, 187, 324, 232)),
    ):
        found = [classes[rule_set, name] for name in ("High", "Medium", "Low", "Normal")]
        assert tuple(found) == counts
    assert classes["gui_clean", "Normal"] == 110 + 39 + 98
    rules = {
        (rule_set, rule_id): count
        for rule_set, rule_id, count in ask(
            "select rule_set, rule_id, count(*) filter (where is_flagged) from fct_rule_flags"
            " where source_id = 'real' and population = 'pooled' group by rule_set, rule_id"
        )
    }
    patterns = [rules["v2_current", f"P{number}"] for number in range(1, 10)]
    assert patterns == [31, 55, 33, 90, 0, 225, 60, 46, 120]
    singles = [rules[key] for key in rules if key[0] == "v2_current" and "single" in key[1]]
    assert (len(singles), sum(singles)) == (16, 1431)
    assert rules["gui_suspects", "P9"] == 41
    assert rules["gui_clean", "P6"] == 225
    assert ("gui_clean", "P7") not in rules


@pytest.mark.shared_data
@pytest.mark.usefixtures("shared_data")
def test_the_real_file_gives_the_published_clean_pairs(ask):
    clean = (
        "from fct_verdicts where source_id = 'real' and population = 'pooled'"
        " and rule_set = 'gui_clean' and confidence = 'Normal'"
    )
    by_model = ask(f"select model_id, count(*) {clean} group by model_id order by model_id")
    assert by_model == [("model1", 110), ("model2", 39), ("model3", 98)]
    assert ask(f"select count(distinct image_id) {clean}") == [(168,)]


@pytest.mark.shared_data
@pytest.mark.usefixtures("shared_data")
def test_class_counts_of_a_model_depend_on_the_population(ask):
    found = {
        population: [count for _, count in rows]
        for population in ("pooled", "per_model")
        if (
            rows := ask(
                "select model_id, count(*) from fct_verdicts where source_id = 'real'"
                " and rule_set = 'v2_current' and population = ? and confidence = 'High'"
                " group by model_id order by model_id",
                population,
            )
        )
    }
    assert found == {"pooled": [14, 90, 57], "per_model": [52, 57, 67]}
