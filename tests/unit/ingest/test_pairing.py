"""Which restored file belongs to which reference."""

import os
from collections import Counter

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.images import REJECT_CODES
from upscale_audit.ingest.pairing import pair_study

GREY = np.zeros((8, 8), np.uint8)


@pytest.fixture
def pair_names(study_folder):
    """Pair files of these names; returns the pairs by image and the refused by name."""
    study_folder.add_model("alpha", paths=("notta",))

    def pair(references, restored, rule="exact"):
        for name in references:
            study_folder.put(name, GREY)
        for name in restored:
            study_folder.put(name, GREY, "alpha")
        pairing = pair_study(study_folder.load(pairing=rule))
        declared = [pair for pair in pairing.pairs if pair.inference_path == "notta"]
        pairs = {
            pair.image_id: (pair.status, pair.match_rule, pair.file and pair.file.name)
            for pair in declared
        }
        return pairs, {name.file.name: (name.role, name.code) for name in pairing.refused}

    return pair


def test_an_equal_stem_is_an_exact_match_whatever_the_suffix(pair_names):
    pairs, refused = pair_names(["a.png", "b.png", "c.JPG"], ["a.png", "b.jpeg", "c.PNG"])
    assert pairs == {
        "a": ("matched", "exact", "a.png"),
        "b": ("matched", "exact", "b.jpeg"),
        "c": ("matched", "exact", "c.PNG"),
    }
    assert refused == {}


@pytest.mark.parametrize("tail", ["_x2", "-up", ".2x", " (1)", "(copy)", "_", "_b_c"])
def test_the_suffix_rule_takes_a_separator_and_anything(pair_names, tail):
    pairs, refused = pair_names(["a.png"], [f"a{tail}.png"], rule="suffix")
    assert pairs == {"a": ("matched", "suffix", f"a{tail}.png")}
    assert refused == {}


@pytest.mark.parametrize("name", ["ax2.png", "a2.png", "b_a.png", "A_x2.png", "_a.png"])
def test_the_suffix_rule_takes_nothing_else(pair_names, name):
    pairs, refused = pair_names(["a.png"], [name], rule="suffix")
    assert pairs == {"a": ("missing", None, None)}
    assert refused == {name: ("restored", "no_reference")}


def test_the_exact_rule_takes_no_suffixed_name(pair_names):
    pairs, refused = pair_names(["a.png"], ["a_x2.png"])
    assert pairs == {"a": ("missing", None, None)}
    assert refused == {"a_x2.png": ("restored", "no_reference")}


def test_img1_never_takes_img10(pair_names):
    pairs, refused = pair_names(["img1.png", "img10.png"], ["img10_x2.png"], rule="suffix")
    assert pairs == {
        "img1": ("missing", None, None),
        "img10": ("matched", "suffix", "img10_x2.png"),
    }
    assert refused == {}


def test_without_its_reference_img10_belongs_to_nobody(pair_names):
    pairs, refused = pair_names(["img1.png"], ["img1.png", "img10.png"], rule="suffix")
    assert pairs == {"img1": ("matched", "exact", "img1.png")}
    assert refused == {"img10.png": ("restored", "no_reference")}


def test_the_longest_image_id_wins(pair_names):
    names = ["a_b_x2.png", "a_x2.png"]
    pairs, refused = pair_names(["a.png", "a_b.png"], names, rule="suffix")
    assert pairs == {
        "a": ("matched", "suffix", "a_x2.png"),
        "a_b": ("matched", "suffix", "a_b_x2.png"),
    }
    assert refused == {}


def test_an_equal_stem_is_no_suffixed_name_of_a_shorter_one(pair_names):
    pairs, _ = pair_names(["a.png", "a_b.png"], ["a_b.png"], rule="suffix")
    assert pairs == {"a": ("missing", None, None), "a_b": ("matched", "exact", "a_b.png")}


@pytest.mark.parametrize("names", [["a.png", "a_x2.png"], ["a_x2.png", "a_x4.png"]])
def test_two_candidates_are_ambiguous_and_neither_is_used(pair_names, names):
    pairs, refused = pair_names(["a.png", "b.png"], [*names, "b.png"], rule="suffix")
    assert pairs["a"] == ("ambiguous", None, None)
    assert pairs["b"] == ("matched", "exact", "b.png")
    assert refused == dict.fromkeys(names, ("restored", "ambiguous_name"))


def test_a_restored_png_and_jpg_of_one_name_are_ambiguous(pair_names):
    pairs, refused = pair_names(["a.png"], ["a.png", "a.jpg"])
    assert pairs == {"a": ("ambiguous", None, None)}
    assert set(refused.values()) == {("restored", "ambiguous_name")}


def test_two_references_of_one_name_are_no_reference(pair_names):
    pairs, refused = pair_names(["a.png", "a.jpg", "b.png"], ["a.tif", "b.png"])
    assert pairs == {"b": ("matched", "exact", "b.png")}
    assert refused == {
        "a.png": ("reference", "ambiguous_name"),
        "a.jpg": ("reference", "ambiguous_name"),
        "a.tif": ("restored", "unsupported_suffix"),
    }


def test_other_suffixes_are_refused_on_both_sides(pair_names):
    pairs, refused = pair_names(["a.png", "b.tiff"], ["a.webp", "notes.txt", "bare"])
    assert pairs == {"a": ("missing", None, None)}
    assert refused == {
        "b.tiff": ("reference", "unsupported_suffix"),
        "a.webp": ("restored", "unsupported_suffix"),
        "notes.txt": ("restored", "unsupported_suffix"),
        "bare": ("restored", "unsupported_suffix"),
    }
    assert {code for _, code in refused.values()} <= set(REJECT_CODES)


def test_a_name_that_is_no_utf8_is_refused_on_both_sides(pair_names):
    bad, spelt = os.fsdecode(b"\xff\xfe5.png"), r"\xff\xfe5.png"
    pairs, refused = pair_names(["a.png", bad, spelt], ["a.png", bad, "\u00e9.png"])
    assert {name: pair[0] for name, pair in pairs.items()} == {
        "a": "matched",
        spelt[:-4]: "missing",
    }
    assert refused == {
        bad: ("restored", "name_not_utf8"),
        "\u00e9.png": ("restored", "no_reference"),
    }


def test_where_every_reference_is_refused_the_first_is_named(pair_names):
    with pytest.raises(StudyError, match=r"refused: \\xff\.png, name_not_utf8"):
        pair_names([os.fsdecode(b"\xff.png")], [])


def test_hidden_files_and_folders_take_no_part(pair_names, study_folder):
    study_folder.put(".DS_Store", b"x")
    study_folder.put(".b.png", GREY)
    (study_folder.folder() / "c.png").mkdir()
    pairs, refused = pair_names(["a.png"], ["a.png"])
    assert pairs == {"a": ("matched", "exact", "a.png")}
    assert refused == {}


def test_every_reference_model_and_path_has_exactly_one_pair(tiny_study):
    pairs = pair_study(tiny_study.load()).pairs
    keys = [(pair.image_id, pair.model_id, pair.inference_path) for pair in pairs]
    expected = [
        (i, m, p) for i in ("a", "b", "c") for m in ("alpha", "beta") for p in ("notta", "tta")
    ]
    assert keys == expected
    assert Counter(pair.status for pair in pairs) == {"matched": 9, "not_declared": 3}


def test_ambiguous_refusals_name_all_candidates(study_folder):
    study_folder.add_model("alpha", paths=("notta",))
    for name in ("a.png", "a.jpg", "b.png"):
        study_folder.put(name, GREY)
    details = {name.detail for name in pair_study(study_folder.load()).refused}
    assert details == {"'a.jpg', 'a.png' all claim 'a'"}


def test_a_study_without_a_reference_is_refused(study_folder):
    study_folder.add_model("alpha")
    study_folder.put("a.tif", GREY)
    study = study_folder.load()
    with pytest.raises(StudyError, match=r"no reference image in .*\.png, \.jpg.*references in"):
        pair_study(study)


def test_a_folder_that_vanished_is_named(tiny_study):
    study = tiny_study.load()
    tiny_study.folder("beta", "notta").rename(tiny_study.root / "moved")
    with pytest.raises(StudyError, match=r"cannot list .*beta.*: No such file.*make the folder"):
        pair_study(study)


@pytest.mark.usefixtures("bound_by_permissions")
@pytest.mark.parametrize("mode", [0o000, 0o400])
def test_a_folder_without_permissions_is_named(tiny_study, mode):
    study = tiny_study.load()
    folder = tiny_study.folder("beta", "notta")
    folder.chmod(mode)
    try:
        with pytest.raises(StudyError, match=r"cannot list .*beta.*Permission denied"):
            pair_study(study)
    finally:
        folder.chmod(0o700)
