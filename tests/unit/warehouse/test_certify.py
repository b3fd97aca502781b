"""Certificates: what they say of images of known truth, and of what cannot be judged."""

import csv
import errno
import io
import json
import os
import re

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.warehouse.cli.main import main
from upscale_audit.warehouse.proof.certificate import certify
from upscale_audit.warehouse.proof.verify import verify

NAMES = ("a", "b")


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


@pytest.fixture
def folders(repository, tmp_path, encode_png):
    """Give folders of two LR images and the truth they were made of."""
    for name in ("lr", "restored"):
        (tmp_path / name).mkdir()
    for name, crop in zip(NAMES, ("rg1_r0c0", "rg1_r1c1"), strict=True):
        truth = np.asarray(Image.open(repository / "sample" / "reference" / f"{crop}.png"))
        truth = truth[:96, :128]
        (tmp_path / "restored" / f"{name}.png").write_bytes(encode_png(truth))
        (tmp_path / "lr" / f"{name}.png").write_bytes(encode_png(make_lr(truth, 2, "antialiased")))
    return tmp_path


def read(path):
    return np.asarray(Image.open(path)).copy()


def judge(folders, **options):
    restored = {"m": folders / "restored"}
    return certify(folders / "lr", restored, folders / "out", **options)


def by_name(found):
    return {verdict.image: verdict for verdict in found.verdicts}


def test_the_truth_contradicts_nothing(folders, capsys):
    code = run("certify", "--lr", folders / "lr", "--restored", folders / "restored",
               "--out", folders / "out")  # fmt: skip
    assert code == 0
    assert "0 of 2 images contradict their LR image; 0.00 %" in capsys.readouterr().err
    table = pq.read_table(folders / "out" / "certificate.parquet").to_pylist()
    assert [row["status"] for row in table] == ["consistent"] * 2
    assert all(row["judged_px"] + row["border_px"] + row["clamped_px"] == 48 * 64 for row in table)
    assert not list(folders.glob("out/maps/**/*.png"))


def test_one_bright_spot_is_proved_at_its_place(folders, capsys):
    path = folders / "restored" / "a.png"
    grey = read(path)
    grey[40:42, 60:62] += 12  # the LR pixel at row 20, column 30
    Image.fromarray(grey).save(path)
    code = run("certify", "--lr", folders / "lr", "--restored", f"mine={folders / 'restored'}",
               "--rule", "antialiased", "--out", folders / "out")  # fmt: skip
    assert code == 3
    text = io.StringIO((folders / "out" / "certificate.csv").read_text())
    rows = {row["image"]: row for row in csv.DictReader(text)}
    assert rows["b"]["status"] == "consistent"
    assert rows["a"]["status"] == "contradicted"
    lr = read(folders / "lr" / "a.png")[20, 30]
    implied = _reduce(grey)[20, 30]
    assert rows["a"]["proof"] == (
        f"LR pixel at row 20, column 30 is {lr}; the restored image implies {implied:.3f}, and"
        " roundings explain at most 1.799"
    )
    assert "mine: 1 of 2 images contradict" in capsys.readouterr().err
    drawn = read(folders / "out" / "maps" / "mine" / "a.png")
    assert drawn.shape == (48, 64, 3)
    assert drawn[20, 30, 0] > drawn[20, 30, 2] + 50  # red: brighter than its input
    assert drawn[0, 0].tolist() == [190] * 3  # not judged


def _reduce(grey):
    """Reduce by Pillow's taps at x2, written out."""
    taps = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    rows = np.stack([taps @ grey[2 * row - 3 : 2 * row + 5].astype(float) for row in range(2, 46)])
    rows = np.pad(rows, ((2, 2), (0, 0)))
    columns = [rows[:, 2 * col - 3 : 2 * col + 5] @ taps for col in range(2, 62)]
    return np.pad(np.stack(columns, axis=1), ((0, 0), (2, 2)))


def test_without_a_rule_only_what_every_known_rule_refutes_is_contradicted(folders):
    for name in NAMES:
        grey = read(folders / "restored" / f"{name}.png")
        Image.fromarray(make_lr(grey, 2, "opencv_cubic")).save(folders / "lr" / f"{name}.png")
    assert judge(folders).counts["contradicted"] == 0
    assert {verdict.rule for verdict in judge(folders).verdicts} == {"opencv_cubic"}
    # The wrong rule, stated, is taken at its word.
    assert judge(folders, lr_rule="antialiased").counts["contradicted"] > 0


def test_each_channel_of_a_colour_image_is_judged_by_its_own(folders):
    path = folders / "restored" / "a.png"
    grey = read(path)
    colours = np.stack([grey] * 3, axis=2)
    colours[30:40, 30:40, 1] -= 9
    Image.fromarray(colours).save(path)
    verdict = by_name(judge(folders))["a"]
    assert (verdict.status, verdict.channels) == ("contradicted", 3)
    assert "(green)" in verdict.proof
    lr = np.stack([make_lr(np.ascontiguousarray(colours[:, :, c]), 2, "antialiased")
                   for c in range(3)], axis=2)  # fmt: skip
    Image.fromarray(lr).save(folders / "lr" / "a.png")
    verdict = by_name(judge(folders))["a"]
    assert (verdict.status, verdict.channels) == ("consistent", 3)


@pytest.mark.parametrize("scale", [3, 4])
def test_the_scale_is_that_of_the_sizes(folders, scale):
    for name in NAMES:
        grey = read(folders / "restored" / f"{name}.png")[: 8 * scale, : 12 * scale]
        Image.fromarray(grey).save(folders / "restored" / f"{name}.png")
        lr = make_lr(np.ascontiguousarray(grey), scale, "antialiased")
        Image.fromarray(lr).save(folders / "lr" / f"{name}.png")
    found = judge(folders)
    assert found.counts == {"consistent": 2}
    assert {verdict.scale for verdict in found.verdicts} == {scale}


def test_what_cannot_be_judged_says_why(folders):
    grey = read(folders / "restored" / "a.png")
    cases = {
        "size": (grey[:-1], "128x95 px is not 2, 3, 4 times the LR image's 64x48"),
        "alpha": (np.dstack([grey] * 3 + [grey // 2]), "transparent pixels, of no one value"),
        "depth": (grey.astype(np.uint16) * 257, "restored file: bit_depth"),
    }
    for image, message in cases.values():
        Image.fromarray(image).save(folders / "restored" / "a.png")
        verdict = by_name(judge(folders))["a"]
        assert verdict.status == "not_judged"
        assert message in verdict.detail
    (folders / "restored" / "a.png").unlink()
    assert by_name(judge(folders))["a"].detail == "restored file: missing"
    Image.fromarray(read(folders / "lr" / "b.png").astype(np.uint16) * 257).save(
        folders / "lr" / "b.png"
    )
    found = judge(folders)
    assert found.counts == {"not_judged": 2}
    assert "lr file: bit_depth" in by_name(found)["b"].detail


@pytest.mark.parametrize("command", [("certify",), ("repair", "--rule", "antialiased")])
def test_a_place_that_cannot_be_written_is_named(folders, tmp_path, capsys, monkeypatch, command):
    def refuse(source, target):
        raise PermissionError(errno.EACCES, "Permission denied", str(target))

    monkeypatch.setattr(os, "replace", refuse)
    lr, restored, out = folders / "lr", folders / "restored", tmp_path / "shut" / "out"
    assert run(*command, "--lr", lr, "--restored", restored, "--out", out) == 1
    said = capsys.readouterr().err.splitlines()[-1]
    assert re.match(r"upscale-audit: cannot write to .*Permission denied; .* folder as --out", said)


def test_where_nothing_is_judged_the_command_fails(folders, capsys):
    for name in NAMES:
        for folder, shape in (("restored", (96, 128)), ("lr", (48, 64))):
            white = Image.fromarray(np.full(shape, 255, np.uint8))
            white.save(folders / folder / f"{name}.png")
    code = run("certify", "--lr", folders / "lr", "--restored", folders / "restored",
               "--out", folders / "out")  # fmt: skip
    assert code == 1
    assert "the rule may have cut" in capsys.readouterr().err


def test_a_jpeg_is_judged_and_said_to_be_one(folders):
    grey = read(folders / "restored" / "a.png")
    (folders / "restored" / "a.png").unlink()
    cv2.imwrite(str(folders / "restored" / "a_x2.jpg"), grey, [cv2.IMWRITE_JPEG_QUALITY, 40])
    verdict = by_name(judge(folders))["a"]
    assert verdict.status == "contradicted"
    assert "JPEG" in verdict.detail


def test_the_same_files_give_the_same_bytes_and_verify_names_a_change(folders):
    path = folders / "restored" / "a.png"
    Image.fromarray(255 - read(path)).save(path)
    judge(folders)
    first = {item: item.read_bytes() for item in sorted(folders.glob("out/**/*.*"))}
    judge(folders)
    assert first == {item: item.read_bytes() for item in sorted(folders.glob("out/**/*.*"))}
    assert not verify(folders / "out").findings
    table = folders / "out" / "certificate.csv"
    table.write_text(table.read_text().replace("contradicted", "consistent"))
    (finding,) = verify(folders / "out").findings
    assert (finding.problem, finding.name) == ("differs", "certificate.csv")
    assert finding.repair.startswith("upscale-audit certify --lr DIR --restored DIR --out")


def test_a_name_that_begins_as_a_formula_stays_text(folders):
    for folder in ("lr", "restored"):
        (folders / folder / "a.png").rename(folders / folder / "=1+1.png")
    judge(folders)
    text = (folders / "out" / "certificate.csv").read_text()
    assert next(csv.DictReader(io.StringIO(text)))["image"] == "'=1+1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folders: folders / "restored", "holds images that are judged"),
        (lambda folders: folders, "holds images that are judged"),
        (lambda folders: folders / "certificate.png", "is a file; name a folder"),
        (lambda folders: folders / "lr" / "certificate", "lies among images that are judged"),
    ],
)
def test_a_certificate_never_takes_the_place_of_something_else(folders, change, message):
    (folders / "certificate.png").write_bytes(b"a picture")
    with pytest.raises(StudyError, match=message):
        certify(folders / "lr", {"m": folders / "restored"}, change(folders))
    (folders / "full").mkdir()
    (folders / "full" / "thesis.txt").write_text("all there is")
    for place in (folders / "full", folders / "out"):
        if place.name == "out":  # beside a certificate too
            judge(folders)
            (place / "thesis.txt").write_text("all there is")
        with pytest.raises(StudyError, match="holds 'thesis"):
            certify(folders / "lr", {"m": folders / "restored"}, place)
        assert (place / "thesis.txt").read_text() == "all there is"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--lr", "nowhere", "--restored", "restored"), "no folder nowhere"),
        (("--lr", "lr", "--restored", "a b=restored"), "cannot name a model"),
        (("--lr", "lr", "--restored", "restored", "--restored", "restored"), "or names two"),
        (("--lr", "empty", "--restored", "restored"), "no LR image in"),
        (("--lr", "lr", "--restored", "empty"), "has the name of an LR image"),
    ],
)
def test_a_wrong_command_line_is_answered_in_one_line(
    folders, monkeypatch, capsys, arguments, message
):
    (folders / "empty").mkdir()
    monkeypatch.chdir(folders)
    assert run("certify", *arguments) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("model", "before", "after"),
    [
        ("realesr_animevideov3", 35.4, 44.5),
        ("upscayl_standard", 35.7, 44.4),
        ("upscayl_digital", 30.5, 42.8),
    ],
)
def test_a_repaired_image_contradicts_nothing_and_is_nearer_to_the_truth(
    repository, tmp_path, capsys, model, before, after
):
    sample = repository / "sample"
    restored = sample / "restored" / model / "notta"
    code = run("repair", "--lr", sample / "lr", "--restored", restored, "--rule", "antialiased",
               "--out", tmp_path / "out")  # fmt: skip
    assert code == 0
    assert ", 0 after" in capsys.readouterr().err
    errors = []
    for path in sorted((sample / "reference").glob("*.png")):
        truth, old, new = (read(place / path.name) for place in
                           (path.parent, restored, tmp_path / "out"))  # fmt: skip
        inner = np.s_[16:-16, 16:-16]  # at the border nothing is judged, nor mended
        errors.append([((image[inner].astype(float) - truth[inner]) ** 2).mean()
                       for image in (old, new)])  # fmt: skip
        lr = make_lr(new, 2, "antialiased").astype(int) - read(sample / "lr" / path.name)
        assert np.abs(lr[2:-2, 2:-2]).max() <= 1
    psnr = 10 * np.log10(255**2 / np.mean(errors, axis=0))
    assert psnr == pytest.approx([before, after], abs=0.06)
    assert certify(
        sample / "lr", {model: tmp_path / "out"}, tmp_path / "again", "antialiased"
    ).counts == {"consistent": 6}
    assert not verify(tmp_path / "out").findings


def test_what_readme_and_docs_show_is_what_the_command_says(repository, tmp_path, capsys):
    sample = repository / "sample"
    run("certify", "--lr", sample / "lr", "--restored", sample / "restored/upscayl_digital/notta",
        "--out", tmp_path / "out", "--no-maps")  # fmt: skip
    said = [line for line in capsys.readouterr().err.splitlines() if "LR pixel" in line
            or "contradict their LR image" in line]  # fmt: skip
    assert len(said) == 2
    for page in ("README.md", "docs/lr.md"):
        shown = (repository / page).read_text(encoding="utf-8")
        assert all(line in shown for line in said), page


@pytest.mark.shared_data
def test_the_shares_of_four_patients_are_those_that_the_page_states(
    shared_data, repository, tmp_path
):
    names = {"bicubic": "bicubic", "lanczos": "Lanczos", "upscayl_lite": "Upscayl Lite"}
    names |= {"upscayl_standard": "Standard", "realesr_animevideov3": "animevideov3"}
    names |= {"upscayl_digital": "Digital", "span_x2_ch48": "SPAN"}
    nih = shared_data / "nih"
    folders = {name: nih / "restored" / name / "notta" for name in names}
    found = certify(nih / "lr", folders, tmp_path / "out", "antialiased", has_maps=False)
    text = " ".join((repository / "docs" / "lr.md").read_text(encoding="utf-8").split())
    sentence = text[text.index("Four ChestX-ray8 patients") :]
    for name, label in names.items():
        own = [verdict for verdict in found.verdicts if verdict.model == name]
        assert len(own) == 4
        share = 100 * sum(v.contradicted_block_count for v in own) / sum(v.block_count for v in own)
        stated = float(re.search(rf"{label} ([\d.]+)", sentence)[1])
        assert share == pytest.approx(stated, abs=0.051 if stated < 10 else 0.51), name


@pytest.mark.parametrize(
    ("window", "status"),
    [
        (("0", "65535"), "consistent"),
        (("percentiles", "0", "100"), "consistent"),
        (("dicom",), "not_judged"),
        ((), "not_judged"),
    ],
)
def test_16_bit_files_are_judged_by_a_stated_window(tmp_path, window, status):
    deep = np.random.default_rng(2).integers(0, 60_000, (48, 64), np.uint16)
    deep = cv2.GaussianBlur(deep, (0, 0), 2)
    small = cv2.resize(deep, (32, 24), interpolation=cv2.INTER_CUBIC)
    for folder, pixels in (("lr", small), ("restored", deep)):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), pixels)
    options = ("--window", *window) if window else ()
    run("certify", "--lr", tmp_path / "lr", "--restored", f"m={tmp_path / 'restored'}",
        "--out", tmp_path / "out", *options)  # fmt: skip
    (row,) = pq.read_table(tmp_path / "out" / "certificate.parquet").to_pylist()
    assert row["status"] == status
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert ("window" in manifest["recipe"]) == bool(window)


def test_a_window_that_is_none_is_refused(tmp_path):
    for folder in ("lr", "restored"):
        (tmp_path / folder).mkdir()
    for window in (("wide",), ("5", "1"), ("percentiles", "1"), ("1", "x")):
        assert run("certify", "--lr", tmp_path / "lr", "--restored", tmp_path / "restored",
                   "--out", tmp_path / "out", "--window", *window) == 1  # fmt: skip
