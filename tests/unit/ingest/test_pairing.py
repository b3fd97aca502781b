"""Which restored file belongs to which reference."""

import dataclasses
import os
import unicodedata
from collections import Counter

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.images import REJECT_CODES
from upscale_audit.ingest.pairing import pair_study
from upscale_audit.ingest.study import load_study

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


@pytest.mark.parametrize("head", ["x2 ", "up_", "2x-", "(copy)", "_", "b_c_", "0.5."])
def test_the_suffix_rule_takes_anything_and_a_separator_before(pair_names, head):
    pairs, refused = pair_names(["a.png"], [f"{head}a.png"], rule="suffix")
    assert pairs == {"a": ("matched", "prefix", f"{head}a.png")}
    assert refused == {}


@pytest.mark.parametrize("name", ["A.PNG", "A_x2.png", "up_A.png"])
def test_the_suffix_rule_takes_another_case_where_nothing_else_matches(pair_names, name):
    pairs, _ = pair_names(["a.png", "b.png"], [name], rule="suffix")
    assert pairs == {"a": ("matched", "case", name), "b": ("missing", None, None)}


def test_another_case_is_no_match_where_two_references_differ_by_it(pair_names):
    pairs, refused = pair_names(["film a.png", "Film A.png"], ["FILM A.png"], rule="suffix")
    assert {pair[0] for pair in pairs.values()} == {"missing"}
    assert refused == {"FILM A.png": ("restored", "no_reference")}


@pytest.mark.parametrize(
    "name",
    [
        "film 0_upscayl_4x_upscayl-standard-4x.png",
        "film 0(CUnet)(noise_scale)(Level1)(x2.000000).png",
        "film 0.png.png",
        "film 0_out.png",
        "film 0_SwinIR.png",
        "x2 film 0.png",
        "FILM 0.PNG",
    ],
)
def test_names_as_upscalers_write_them_are_found(pair_names, name):
    pairs, refused = pair_names(["film 0.png", "film 1.png"], [name], rule="suffix")
    assert pairs["film 0"][0] == "matched"
    assert pairs["film 1"][0] == "missing"
    assert refused == {}


def test_a_name_behind_wins_over_one_before_and_the_longest_over_both(pair_names):
    pairs, _ = pair_names(["a.png", "b.png"], ["a_b.png"], rule="suffix")
    assert (pairs["a"][0], pairs["b"][0]) == ("matched", "missing")
    pairs, _ = pair_names(["c_1.png", "1.png"], ["up_c_1.png"], rule="suffix")
    assert (pairs["c_1"][0], pairs["1"][0]) == ("matched", "missing")


@pytest.mark.parametrize("rule", ["exact", "suffix"])
def test_composed_and_decomposed_names_are_one(pair_names, rule):
    composed = ("Müller_thorax", "胸部_ガンマ")
    apart = [unicodedata.normalize("NFD", name) for name in composed]
    assert set(apart).isdisjoint(composed)
    pairs, refused = pair_names([f"{n}.png" for n in apart], [f"{n}.png" for n in composed], rule)
    assert pairs == {name: ("matched", "exact", f"{name}.png") for name in composed}
    assert refused == {}


def put_in(study_folder, *names, model=None):
    place = study_folder.folder(*((model, "notta") if model else ()))
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        study_folder.put(name, GREY, model)


def test_sub_folders_are_read_as_an_archive_unpacks(study_folder):
    study_folder.add_model("alpha", paths=("notta",))
    put_in(study_folder, "images_001/images/a.png", "images_002/images/b.png", "c.png")
    put_in(study_folder, "a.png", "more/b.png", "images_002/c.png", model="alpha")
    pairing = pair_study(study_folder.load())
    names = {pair.image_id: (pair.status, pair.name) for pair in pairing.pairs if pair.file}
    assert names == {
        "a": ("matched", "a.png"),
        "b": ("matched", "more/b.png"),
        "c": ("matched", "images_002/c.png"),
    }
    assert set(pairing.references) == {"a", "b", "c"}
    assert pairing.refused == ()


def test_of_one_name_in_two_folders_the_one_nearer_to_the_top_counts(study_folder):
    study_folder.add_model("alpha", paths=("notta",))
    put_in(study_folder, "a.png", "old/a.png", "one/b.png", "two/b.png")
    put_in(study_folder, "a.png", "b.png", "old/b.png", model="alpha")
    pairing = pair_study(study_folder.load())
    assert list(pairing.references) == ["a"]
    refused = {(name.role, name.name): name.code for name in pairing.refused}
    assert refused == {
        ("reference", "old/a.png"): "ambiguous_name",
        ("reference", "one/b.png"): "ambiguous_name",
        ("reference", "two/b.png"): "ambiguous_name",
        ("restored", "b.png"): "no_reference",
        ("restored", "old/b.png"): "no_reference",
    }


def test_folders_that_the_study_names_for_something_else_are_not_read(study_folder):
    root = study_folder.root
    study_folder.add_model("alpha", paths=("notta",))
    put_in(study_folder, "a.png")
    put_in(study_folder, "a.png", model="alpha")
    study = study_folder.load()
    (study.output / "figures").mkdir(parents=True)
    (study.output / "figures" / "c.png").write_bytes(b"")
    os.rename(study_folder.folder() / "a.png", root / "a.png")
    pairing = pair_study(dataclasses.replace(study, references=root))
    assert pairing.references == {"a": root / "a.png"}
    assert {name.name for name in pairing.refused} == {"study.toml"}


def test_what_desktops_leave_is_passed_over_and_other_files_are_said(study_folder):
    study_folder.add_model("alpha", paths=("notta",))
    put_in(study_folder, "f.png")
    put_in(study_folder, "f.png", model="alpha")
    debris = ("desktop.ini", "Thumbs.db", ".DS_Store", "._f.png", "Icon\r", "ehthumbs.db")
    for folder in (study_folder.folder(), study_folder.folder("alpha", "notta")):
        for name in (*debris, "upscale_log.txt", "__MACOSX/._f.png", "@eaDir/f.png", ".git/f.png"):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_bytes(b"x")
    pairing = pair_study(study_folder.load())
    found = [(name.role, name.name, name.code) for name in pairing.refused]
    assert found == [
        ("reference", "upscale_log.txt", "other_file"),
        ("restored", "upscale_log.txt", "other_file"),
    ]
    assert [pair.status for pair in pairing.pairs if pair.inference_path == "notta"] == ["matched"]


@pytest.mark.parametrize("name", ["ax2.png", "a2.png", "bA.png", "xa.png"])
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
    pairs, refused = pair_names(["a.png", "a.jpg", "b.png"], ["a.bmp", "b.png"])
    assert pairs == {"b": ("matched", "exact", "b.png")}
    assert refused == {
        "a.png": ("reference", "ambiguous_name"),
        "a.jpg": ("reference", "ambiguous_name"),
        "a.bmp": ("restored", "unsupported_suffix"),
    }


UPSCALERS = {
    "Upscayl": ("a_upscayl_4x_upscayl-standard-4x.png", "suffix"),
    "Upscayl 2.5": ("a_upscayl_4x_realesrgan-x4plus.webp", "suffix"),
    "Real-ESRGAN": ("a_out.png", "suffix"),
    "Real-ESRGAN-ncnn": ("a_x4.jpg", "suffix"),
    "waifu2x-caffe": ("a(CUnet)(noise_scale)(Level1)(x2.000000).png", "suffix"),
    "waifu2x": ("a_waifu2x_photo_noise1_scale_tta_1.png", "suffix"),
    "waifu2x-converter": ("a_[L3][x2.00].png", "suffix"),
    "waifu2x-gui": ("[waifu2x]a.png", "prefix"),
    "chaiNNer": ("a_4x-UltraSharp.tif", "suffix"),
    "chaiNNer, its model first": ("4x-UltraSharp_a.tiff", "prefix"),
    "SwinIR": ("a_SwinIR.png", "suffix"),
    "BasicSR": ("a_RealESRGAN_x4plus.png", "suffix"),
    "cupscale": ("a.png.png", "suffix"),
    "Gigapixel": ("a-gigapixel-standard-scale-4_00x.jpeg", "suffix"),
    "for a dense screen": ("a@2x.png", "suffix"),
    "ImageMagick, several scales": ("a[2x].jfif", "suffix"),
    "a camera's software": ("A.PNG", "case"),
}


@pytest.mark.parametrize("upscaler", UPSCALERS)
def test_names_as_upscalers_write_them_pair(pair_names, upscaler):
    name, rule = UPSCALERS[upscaler]
    pairs, refused = pair_names(["a.png", "ab.png"], [name], rule="suffix")
    assert pairs["a"] == ("matched", rule, name)
    assert pairs["ab"][0] == "missing"
    assert refused == {}


def test_other_suffixes_are_refused_on_both_sides(pair_names):
    pairs, refused = pair_names(["a.png", "b.jp2"], ["a.gif", "notes.txt", "bare"])
    assert pairs == {"a": ("missing", None, None)}
    assert refused == {
        "b.jp2": ("reference", "unsupported_suffix"),
        "a.gif": ("restored", "unsupported_suffix"),
        "notes.txt": ("restored", "other_file"),
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
    study_folder.put("a.bmp", GREY)
    study = study_folder.load()
    with pytest.raises(StudyError, match=r"no reference image in .*\.png, \.jpg.*references in"):
        pair_study(study)


def test_a_folder_that_restore_has_not_made_is_named_with_the_command(tiny_study):
    tiny_study.load()
    file = tiny_study.root / "study.toml"
    restorer = 'restorer = { kind = "noise" }'
    file.write_text(file.read_text().replace('model_id = "beta"', f'model_id = "beta"\n{restorer}'))
    assert pair_study(load_study(file)).pairs
    tiny_study.folder("beta", "notta").rename(tiny_study.root / "moved")
    with pytest.raises(StudyError, match=r"no folder .*beta.* 'beta': run upscale-audit restore"):
        pair_study(load_study(file))


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
