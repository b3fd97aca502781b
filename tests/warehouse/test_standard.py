"""The standard basis: fitted as the warehouse fits, and the seed is what its manifest says."""

import csv
import json
import re
from dataclasses import replace

import duckdb
import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json
from upscale_audit.ingest.manifests import WAREHOUSE_MANIFEST, restate, write_manifest
from upscale_audit.warehouse.cli import main as cli
from upscale_audit.warehouse.dbt_runner import PROJECT
from upscale_audit.warehouse.standard import (
    COLUMNS,
    FEATURES,
    MANIFEST,
    SEED,
    compare_patients,
    fit_basis,
    format_seed,
    format_table,
    main,
    merge_moments,
    read_moments,
)


def test_the_features_are_those_of_the_sql():
    text = (PROJECT / "macros" / "vocabulary.sql").read_text(encoding="utf-8")
    macro = re.search(r"macro features\(\) %\}\s*\{\{ return\(\[(.*?)\]\)", text, re.DOTALL)
    assert tuple(re.findall(r"'(\w+)'", macro[1])) == FEATURES


def test_a_fit_is_that_of_the_warehouse(sample_study, query):
    moments = read_moments(sample_study)
    assert len(moments) == 5 * 6
    basis = fit_basis(moments)
    expected = query(
        "select * from mart_pca_basis where basis_id = 'pooled' order by pc_number, feature_number"
    )
    shape = (len(FEATURES), len(FEATURES))
    found = expected["loading"].to_numpy().reshape(shape)
    np.testing.assert_allclose(basis.loadings, found, atol=1e-9)
    np.testing.assert_allclose(basis.eigenvalues, expected["eigenvalue"].to_numpy()[::5], rtol=1e-9)
    np.testing.assert_allclose(basis.scales, expected["scale"].to_numpy()[:5], rtol=1e-9)
    np.testing.assert_allclose(basis.means, expected["feature_mean"].to_numpy()[:5], atol=1e-9)
    assert basis.block_count == expected["block_count"][0]


def test_a_study_counts_once_however_often_it_is_named(sample_study):
    moments = read_moments(sample_study)
    assert merge_moments([moments, moments]) == merge_moments([moments])
    other = [replace(moments[0], restored_sha256="0" * 64)]
    with pytest.raises(StudyError, match="in different files: name one of the models otherwise"):
        merge_moments([moments, other])


def test_the_axis_is_compared_over_patients(sample_study):
    moments = read_moments(sample_study)
    many = [
        replace(item, cluster_id=f"patient:{number:02}", image_id=f"{item.image_id}-{number}")
        for number in range(14)
        for item in moments
    ]
    rows = compare_patients(many)
    assert [row["patients"] for row in rows] == [12, 14]
    assert [row["images"] for row in rows] == [12 * 6, 14 * 6]
    # Every patient has the same blocks, so that nothing moves.
    assert rows[0]["loadings"] == pytest.approx(rows[1]["loadings"], abs=1e-8)
    assert rows[0]["cosine"] == 1
    assert format_table(rows).count("\n") == 4


def test_the_seed_holds_nine_digits_of_an_orthonormal_basis(sample_study):
    rows = list(csv.DictReader(format_seed(fit_basis(read_moments(sample_study))).splitlines()))
    assert tuple(rows[0]) == COLUMNS
    loadings = np.array([float(row["loading"]) for row in rows]).reshape(5, 5)
    np.testing.assert_allclose(loadings @ loadings.T, np.eye(5), atol=1e-8)
    assert all(len(row["weight"].partition(".")[2]) <= 9 for row in rows)
    assert [row["eigenvalue_gap"] == "" for row in rows] == 20 * [False] + 5 * [True]


def test_the_seed_is_the_one_that_its_manifest_names():
    manifest = json.loads(MANIFEST.read_text(encoding="utf-8"))
    text = SEED.read_text(encoding="utf-8")
    assert manifest["rows_sha256"] == hash_json(text.splitlines())
    rows = list(csv.DictReader(text.splitlines()))
    assert sum(item["blocks"] for item in manifest["models"].values()) == int(
        rows[0]["block_count"]
    )
    assert {row["basis_id"] for row in rows} == {manifest["basis_id"]}
    first = [float(row["weight"]) for row in rows[:5]]
    assert manifest["stability"][-1]["weights"] == pytest.approx(first, abs=2e-9)
    listed = [sha256 for images in manifest["images"].values() for sha256 in images.values()]
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256 in listed)


def test_the_command_writes_seed_and_manifest_and_prints_a_table(small_study, tmp_path, capsys):
    seed, manifest = tmp_path / "basis.csv", tmp_path / "basis.json"
    arguments = [str(small_study.path), "--seed", str(seed), "--manifest", str(manifest)]
    assert main(arguments) == 0
    assert "| patients | images | luminance |" in capsys.readouterr().out
    found = json.loads(manifest.read_text())
    assert found["rows_sha256"] == hash_json(seed.read_text().splitlines())
    assert set(found["images"]["study.toml"]) == {"a", "b", "c"}
    assert set(found["models"]) == {"alpha", "beta"}
    assert str(tmp_path) not in manifest.read_text()


def test_a_warehouse_that_keeps_no_sums_or_was_changed_names_the_repair(small_study, capsys):
    small_study.warehouse.chmod(0o644)
    with duckdb.connect(str(small_study.warehouse)) as connection:
        connection.execute("drop schema intermediate cascade")
    assert main([str(small_study.path)]) == 1
    said = capsys.readouterr().err
    assert "is not as it was published" in said
    assert said.endswith(f"run upscale-audit build {small_study.path}\n")
    path = small_study.output / WAREHOUSE_MANIFEST
    manifest = json.loads(path.read_text())
    manifest["files"][small_study.warehouse.name] = hash_file(small_study.warehouse)
    write_manifest(path, manifest | restate(manifest))
    assert main([str(small_study.path)]) == 1
    assert "keeps no sums of features" in capsys.readouterr().err


def test_the_figure_of_codecs_reads_no_changed_warehouse(small_study, capsys):
    pytest.importorskip("altair", reason="pip install 'upscale-audit[figures]'")
    small_study.warehouse.chmod(0o644)
    data = bytearray(small_study.warehouse.read_bytes())
    data[len(data) // 2] ^= 1
    small_study.warehouse.write_bytes(data)
    with pytest.raises(SystemExit) as ended:
        cli.main(["codec", "figure", str(small_study.path)])
    assert ended.value.code == 1
    said = capsys.readouterr().err
    assert "is not as it was published" in said
    assert "--no-check" not in said
