"""Restorers as a study declares them: parsed and checked, and nothing that ingest measures."""

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.pairing import pair_study
from upscale_audit.ingest.restorers import (
    Interpolation,
    Jpeg,
    NcnnWeights,
    RestoreParameters,
    SpandrelWeights,
)
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.units import recipe

SHA256 = "0123456789abcdef" * 4


@pytest.fixture
def declare(tmp_path):
    """Give a maker of studies: TOML of one restorer, and of further tables, to the study."""
    (tmp_path / "reference").mkdir()

    def make(restorer, more="", tta=""):
        (tmp_path / "study.toml").write_text(
            '[study]\nname = "s"\nreferences = "reference"\n[[models]]\nmodel_id = "m"\n'
            f'notta = "made/notta"\n{tta}\nrestorer = {restorer}\n{more}\n'
        )
        return load_study(tmp_path / "study.toml")

    return make


def test_a_declared_restorer_needs_no_folder_yet_and_the_defaults_are_the_generators(declare):
    study = declare('{ kind = "bicubic" }', tta='tta = "made/tta"')
    assert study.models[0].restorer == Interpolation("bicubic")
    assert study.models[0].tta.name == "tta"
    assert study.restore_parameters == RestoreParameters("opencv_cubic", 2, "rec601")


def test_a_model_without_a_restorer_needs_its_folder(declare):
    with pytest.raises(StudyError, match=r"notta names no folder: .*other"):
        declare('{ kind = "bicubic" }', more='[[models]]\nmodel_id = "other"\nnotta = "made/other"')


def test_numbers_texts_and_paths_become_what_their_fields_are(declare, tmp_path):
    found = declare('{ kind = "blur", sigma_px = 2 }').models[0].restorer
    assert (found.sigma_px, type(found.sigma_px)) == (2.0, float)
    found = declare(f'{{ kind = "spandrel", file = "a/b.pth", sha256 = "{SHA256}" }}')
    assert found.models[0].restorer == SpandrelWeights("spandrel", tmp_path / "a/b.pth", SHA256)
    found = declare('{ kind = "ncnn", param = "a.param", bin = "a.bin", native_scale = 4 }')
    wanted = NcnnWeights("ncnn", param=tmp_path / "a.param", bin=tmp_path / "a.bin", native_scale=4)
    assert found.models[0].restorer == wanted
    assert declare('{ kind = "jpeg" }').models[0].restorer == Jpeg("jpeg", 50)


@pytest.mark.parametrize(
    ("restorer", "message"),
    [
        ('{ kind = "bicubc" }', "kind = 'bicubc'; expected one of bicubic, lanczos, blur"),
        ("{ }", r"kind = '\(none\)'; expected one of"),
        ('"bicubic"', r"expected \[restorer\] to be a table, found 'bicubic'"),
        ('{ kind = "blur", sigma = 1.0 }', "unknown key 'sigma' .* did you mean 'sigma_px'"),
        ('{ kind = "blur", sigma_px = "1" }', "sigma_px = '1'; expected float"),
        ('{ kind = "blur", sigma_px = 0 }', "sigma_px = 0.0; expected 0 < sigma_px"),
        ('{ kind = "blur", sigma_px = nan }', "sigma_px = nan; expected 0 < sigma_px"),
        ('{ kind = "unsharp", amount = -1 }', "amount = -1.0; expected"),
        ('{ kind = "noise", sigma_dn = 300 }', "sigma_dn = 300.0; expected"),
        ('{ kind = "jpeg", quality = 0 }', "quality = 0; expected 1..100"),
        ('{ kind = "jpeg", quality = true }', "quality = True; expected int"),
        ('{ kind = "frame", width_px = 0 }', "width_px = 0; expected 1 or more"),
        ('{ kind = "ncnn" }', "weights = None; expected the name of known weights"),
        ('{ kind = "ncnn", param = "a" }', "expected param and bin together"),
        ('{ kind = "ncnn", bin = "a" }', "expected param and bin together"),
        ('{ kind = "ncnn", param = "a", bin = "b" }', "native_scale = None; expected the network"),
        (
            '{ kind = "ncnn", weights = "a", native_scale = 99 }',
            "native_scale = 99; expected 1..16",
        ),
        ('{ kind = "ncnn", weights = "a", tile_px = 8 }', "tile_px = 8; expected 16 or more"),
        ('{ kind = "ncnn", weights = "a", prepad_px = 200 }', "prepad_px = 200; expected 0 <="),
        ('{ kind = "ncnn", weights = "a", sha256 = "ABC" }', "expected 64 lower-case hexadecimal"),
        ('{ kind = "spandrel" }', "file = None; expected a file, or weights by a name"),
        ('{ kind = "spandrel", file = "a", device = "gpu" }', "expected cpu, cuda or cuda:N"),
        (
            '{ kind = "ncnn", weights = "span_x2_ch48", device = "vulkan" }',
            "expected cpu, cuda or cuda:N",
        ),
    ],
)
def test_a_wrong_declaration_says_what_was_expected_and_where(declare, restorer, message):
    with pytest.raises(StudyError, match=rf"study.toml.*{message}"):
        declare(restorer)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('lr_rule = "bicubic"', "lr_rule = 'bicubic'; expected opencv_cubic or antialiased"),
        ("scale = 0", "scale = 0; expected 1..8"),
        ('grey_rule = "luma"', "grey_rule = 'luma'; expected rec601, mean, keep"),
        ("factor = 2", "unknown key 'factor'"),
    ],
)
def test_wrong_restore_parameters_are_an_error(declare, line, message):
    with pytest.raises(StudyError, match=rf"\[restore\].*{message}|{message}.*\[restore\]"):
        declare('{ kind = "bicubic" }', more=f"[restore]\n{line}")


@pytest.mark.parametrize("name", ["warehouse.duckdb", ".maps.next", "raw/made"])
def test_restore_never_fills_what_the_study_writes(declare, name):
    with pytest.raises(StudyError, match="lies where this study writes its"):
        declare('{ kind = "bicubic" }', tta=f'tta = "{name}"')


@pytest.mark.parametrize("other", ["reference", "made/notta"])
def test_a_folder_that_restore_would_fill_has_no_other_use(declare, other):
    with pytest.raises(StudyError, match="has another use in this study too"):
        declare('{ kind = "bicubic" }', tta=f'tta = "{other}"')


def test_ingest_before_restore_names_the_command(declare, tmp_path, encode_png):
    study = declare('{ kind = "bicubic" }')
    (tmp_path / "reference" / "a.png").write_bytes(encode_png(np.zeros((16, 16), np.uint8)))
    with pytest.raises(StudyError, match=r"run upscale-audit restore .*study.toml first"):
        pair_study(study)


def test_a_declaration_measures_nothing_anew(tiny_study, read_tree):
    study = tiny_study.load()
    ingest_study(study, workers=1)
    before = read_tree(study.raw)
    text = study.path.read_text()
    declared = text.replace(
        'model_id = "alpha"', 'model_id = "alpha"\nrestorer = { kind = "blur", sigma_px = 9.0 }'
    )
    study.path.write_text(declared + "[restore]\nscale = 4\n")
    changed = load_study(study.path)
    assert changed.models[0].restorer is not None
    assert recipe(changed.ingest_parameters) == recipe(study.ingest_parameters)
    report = ingest_study(changed, workers=1)
    assert (report.units_measured, report.units_kept) == (0, 1)
    assert read_tree(changed.raw) == before
