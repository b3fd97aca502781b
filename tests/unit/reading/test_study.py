"""Readers on a study: tables, what is left out, what is kept, and the same bytes every time."""

import json
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.ingest.schema import READING_TABLES, arrow_schema
from upscale_audit.ingest.stated_window import Window
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.units import recipe
from upscale_audit.ingest.vouchers import Journal, check_vouched
from upscale_audit.reading import images as images_module
from upscale_audit.reading import study as study_module
from upscale_audit.reading.maps import LEVELS
from upscale_audit.reading.study import read_study
from upscale_audit.warehouse.cli import main as cli
from upscale_audit.warehouse.companions import read_readings

pytest.importorskip("torch", reason="readers run in it: the extra readers")

READER = """
[[readers]]
reader = "{name}"
file = "{file}"
input_px = 32
intensity = "unit"
findings = {findings}
score = "probability"
"""


class Readable:
    """A study folder with readers of the mean grey level."""

    def __init__(self, folder, scripts, onnx):
        self.folder, self.root = folder, folder.root
        (self.root / "maps.pt").write_bytes(scripts[True])
        (self.root / "plain.ts").write_bytes(scripts[False])
        (self.root / "mean.onnx").write_bytes(onnx.SerializeToString())

    def load(self, *readers, lr="", findings='["bright", "dark"]'):
        """Write the study file with readers by the names of their files; parse it."""
        self.folder.load()
        path = self.root / "study.toml"
        text = path.read_text() + lr
        for file in readers:
            name = file.partition(".")[0]
            text += READER.format(name=name, file=file, findings=findings)
        path.write_text(text)
        return load_study(path)


@pytest.fixture
def readable(tiny_study, mean_grey_script, make_onnx):
    """Give a study of three small images under two models, and files of readers."""
    return Readable(tiny_study, mean_grey_script, make_onnx(32))


def read(study, table):
    return pq.read_table(study.readings / f"{table}.parquet").to_pylist()


def mean_grey(path):
    """Mean level, over 255, of what a reader of 32 px is given of an image of 16 x 24."""
    grey = np.asarray(Image.open(path)).astype(np.float32)[:, 4:20]
    return float(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_LINEAR).mean() / 255)


KEYS = ("reader", "image_id", "subject", "model_id", "inference_path", "finding")
LR = '\n[lr]\nrule = "antialiased"\nscale = 2\n'


def test_every_image_is_read_and_its_score_is_the_mean_grey_level(readable):
    study = readable.load("maps.pt", "mean.onnx", lr=LR)
    done = []
    report = read_study(study, workers=1, progress=lambda *step: done.append(step))
    assert (report.readers, report.images, report.kept, report.skipped) == (2, 15, 0, {})
    assert [step[:2] for step in done] == [(1, 3), (2, 3), (3, 3)]
    for table in READING_TABLES:
        schema = pq.read_schema(study.readings / f"{table}.parquet")
        assert schema.equals(arrow_schema(table))
    rows = read(study, "readings")
    assert len(rows) == 2 * 15 * 2
    files = {("reference", None, None): readable.folder.folder()}
    for model, path in (("alpha", "notta"), ("alpha", "tta"), ("beta", "notta")):
        files["restored", model, path] = readable.folder.folder(model, path)
    for row in rows:
        key = (row["subject"], row["model_id"], row["inference_path"])
        if row["subject"] == "lr":
            continue
        file = files[key] / f"{row['image_id']}.png"
        assert row["file_sha256"] == hash_file(file)
        expected = mean_grey(file)
        expected = expected if row["finding"] == "bright" else 1 - expected
        assert row["score"] == pytest.approx(expected, abs=1e-6)
    assert {row["subject"] for row in rows} == {"reference", "lr", "restored"}


def test_an_lr_image_is_read_by_the_same_rule_as_any_other(readable):
    study = readable.load("plain.ts", lr=LR)
    read_study(study, workers=1)
    for row in read(study, "readings"):
        if row["subject"] == "lr" and row["finding"] == "bright":
            reference = study.references / f"{row['image_id']}.png"
            small = make_lr(np.asarray(Image.open(reference)), 2, "antialiased")
            square = small[:, 2:10].astype(np.float32)
            grown = cv2.resize(square, (32, 32), interpolation=cv2.INTER_LINEAR)
            assert row["score"] == pytest.approx(float(grown.mean() / 255), abs=1e-6)
            assert row["file_sha256"] == hash_file(reference)  # what it was made of
    assert read(study, "reading_maps") == []
    assert read(study, "reading_boxes") == []


def test_tables_are_in_the_order_of_their_keys_and_name_the_reader(readable):
    study = readable.load("plain.ts", "maps.pt", findings='["dark", "bright"]')
    read_study(study, workers=1)
    for table in ("readings", "reading_maps", "reading_boxes"):
        keys = [
            tuple(row[name] or "" for name in KEYS)
            + tuple(row.get(name, 0) for name in ("map_level", "box_number"))
            for row in read(study, table)
        ]
        assert keys == sorted(keys)
        assert len(set(keys)) == len(keys)
        assert keys
    readers = {row["reader"]: row for row in read(study, "readers")}
    assert list(readers) == ["maps", "plain"]
    assert readers["maps"] | {"library": ""} == {
        "reader": "maps",
        "format": "torchscript",
        "file_sha256": hash_file(readable.root / "maps.pt"),
        "input_px": 32,
        "intensity": "unit",
        "score": "probability",
        "has_maps": True,
        "library": "",
        "device": "cpu",
    }
    assert readers["plain"]["has_maps"] is False


def test_maps_of_restored_images_are_held_against_the_references_and_placed_in_it(readable):
    study = readable.load("maps.pt", lr=LR)
    read_study(study, workers=1)
    maps = read(study, "reading_maps")
    assert {row["subject"] for row in maps} == {"lr", "restored"}
    assert len(maps) == 3 * 4 * 2
    for row in maps:
        assert 0 < row["map_correlation"] <= 1
        for level in LEVELS:
            assert row[f"overlap_{level}"] is None or 0 <= row[f"overlap_{level}"] <= 1
    boxes = read(study, "reading_boxes")
    assert {row["subject"] for row in boxes} == {"reference", "lr", "restored"}
    for row in boxes:
        # The square of an image of 16 x 24 is 16 x 16 from column 4 on.
        assert 4 <= row["left_px"] < row["left_px"] + row["width_px"] <= 20
        assert 0 <= row["top_px"] < row["top_px"] + row["height_px"] <= 16


def test_an_identical_image_agrees_in_all(readable):
    reference = (readable.folder.folder() / "a.png").read_bytes()
    readable.folder.put("a.png", reference, "beta")
    study = readable.load("maps.pt")
    read_study(study, workers=1)
    rows = [
        row
        for row in read(study, "reading_maps")
        if (row["image_id"], row["model_id"]) == ("a", "beta")
    ]
    assert [row["finding"] for row in rows] == ["bright", "dark"]
    for row in rows:
        assert row["map_correlation"] == pytest.approx(1)
        assert {row["overlap_60"], row["overlap_180"]} == {1.0}


def test_the_manifest_names_every_file_read_and_no_folder(readable):
    lr = readable.root / "lr"
    lr.mkdir()
    for image_id in "abc":
        grey = np.asarray(Image.open(readable.folder.folder() / f"{image_id}.png"))
        Image.fromarray(make_lr(grey, 2, "antialiased")).save(lr / f"{image_id}.png")
    study = readable.load("maps.pt", lr='\n[lr]\nfolder = "lr"\n')
    read_study(study, workers=1)
    manifest = json.loads((study.readings / "manifest.json").read_text())
    assert manifest["kind"] == "readings"
    restored = ("alpha/notta", "alpha/tta", "beta/notta")
    assert manifest["recipe"]["inputs"]["sources"] == {
        **{f"reference/{i}.png": hash_file(study.references / f"{i}.png") for i in "abc"},
        **{f"lr/{i}.png": hash_file(lr / f"{i}.png") for i in "abc"},
        **{
            f"restored/{place}/{i}.png": hash_file(readable.root / "restored" / place / f"{i}.png")
            for place in restored
            for i in "abc"
        },
    }
    assert str(readable.root) not in json.dumps(manifest)
    assert {f"{table}.parquet" for table in READING_TABLES} < set(manifest["files"])
    check_vouched(study.output, "readings", "read")
    (study.readings / "manifest.json").write_text("{}")
    with pytest.raises(StudyError, match="not the one that was signed"):
        check_vouched(study.output, "readings", "read")


def test_the_same_bytes_by_any_number_of_workers_and_any_batch(readable, read_tree):
    study = readable.load("maps.pt", "mean.onnx", lr=LR)
    read_study(study, workers=1)
    first = read_tree(study.readings)
    assert read_study(study, workers=1).kept == 30
    assert read_tree(study.readings) == first
    for path in study.readings.rglob("*.json"):
        path.unlink()
    assert read_study(study, batch=7, workers=2).kept == 0
    assert read_tree(study.readings) == first


def read_file(task):
    return json.loads((task.folder / task.unit_name).read_text())


def test_a_group_read_in_batches_says_what_images_read_alone_say(readable):
    """As on a GPU: images of several references in one batch."""
    study = readable.load("maps.pt", lr=LR)
    readers, _ = study_module._describe_readers(study, "cpu")
    tasks = study_module._plan_tasks(study)
    alone = [images_module.Group((task,), readers, "cpu") for task in tasks]
    summaries = [summary for group in alone for summary in images_module.read_group(group)]
    units = [read_file(task) for task in tasks]
    for task in tasks:
        (task.folder / task.unit_name).unlink()
    together = images_module.Group(tuple(tasks), readers, "cpu", batch=4, threads=3)
    found = images_module.read_group(together)
    assert [item.images for item in found] == [item.images for item in summaries] == [5, 5, 5]
    for task, unit in zip(tasks, units, strict=True):
        found = read_file(task)
        for one, other in zip(unit["readings"], found["readings"], strict=True):
            assert one["key"] == other["key"]
            assert one["scores"] == pytest.approx(other["scores"], abs=1e-6)


def test_a_gpu_gets_batches_of_whole_references(readable):
    study = readable.load("maps.pt", lr=LR)
    tasks = study_module._plan_tasks(study)
    plan = study_module._plan_groups
    assert [len(group.tasks) for group in plan(tasks, (), "cpu", 32, 2)] == [1, 1, 1]
    # Four files a reference: two of them fill a batch of 8.
    assert [len(group.tasks) for group in plan(tasks, (), "cuda", 8, 1)] == [2, 1]
    (group,) = plan(tasks, (), "cuda", 32, 16)
    assert (len(group.tasks), group.batch, group.threads) == (3, 32, 16)


def test_only_what_changed_is_read_again(readable, monkeypatch, read_tree):
    study = readable.load("maps.pt")
    read_study(study, workers=1)
    before = {row["image_id"]: row for row in read(study, "readings") if row["model_id"] == "beta"}
    readable.folder.put("b.png", np.full((16, 24), 9, np.uint8), "beta")
    counts = []
    load = images_module.load_reader

    def counting(*arguments):
        reader = load(*arguments)
        plain = reader.read
        reader.read = lambda images: counts.append(len(images)) or plain(images)
        return reader

    monkeypatch.setattr(images_module, "load_reader", counting)
    images_module.keep_reader.cache_clear()
    report = read_study(study, workers=1)
    # The image, and its reference, whose map it is held against.
    assert (sum(counts), report.kept) == (2, 11)
    after = {row["image_id"]: row for row in read(study, "readings") if row["model_id"] == "beta"}
    assert after["b"]["score"] == pytest.approx(1 - 9 / 255, abs=1e-6)
    assert {key: after[key] for key in "ac"} == {key: before[key] for key in "ac"}
    # The same pixels in another file: nothing is read, and the file is named.
    counts.clear()
    path = readable.folder.folder("beta", "notta") / "b.png"
    Image.open(path).save(path, compress_level=0)
    assert read_study(study, workers=1).kept == 12
    assert counts == []
    (name,) = {
        row["file_sha256"]
        for row in read(study, "readings")
        if (row["image_id"], row["model_id"]) == ("b", "beta")
    }
    assert name == hash_file(path)
    # Another file of the reader, another size: all of it.
    text = study.path.read_text().replace("input_px = 32", "input_px = 64")
    study.path.write_text(text)
    images_module.keep_reader.cache_clear()
    assert read_study(load_study(study.path), workers=1).kept == 0
    assert sum(counts) == 12
    images_module.keep_reader.cache_clear()


def test_a_damaged_or_foreign_file_of_results_is_not_believed(readable, read_tree):
    study = readable.load("maps.pt")
    read_study(study, workers=1)
    first = read_tree(study.readings)
    names = sorted(study.readings.glob("units/*.json"))
    text = names[0].read_text()
    names[0].write_text(text.replace('"scores":[0.', '"scores":[0.9'))
    names[1].write_text(text[:50])
    (study.readings / "units" / "left.json").write_text("{}")
    report = read_study(study, workers=1)
    assert report.kept == 4
    assert read_tree(study.readings) == first


def test_results_are_believed_if_a_build_or_a_journal_vouches_for_them(readable, read_tree):
    study = readable.load("maps.pt")
    read_study(study, workers=1)
    first = read_tree(study.readings)
    manifest = study.readings / "manifest.json"
    # Forged whole: a score, the lists and the manifest. The journal names another manifest.
    (path, *_) = sorted(study.readings.glob("units/*.json"))
    old, honest = hash_file(path), manifest.read_text()
    text = path.read_text()
    path.write_text(text.replace('"scores":[0.', '"scores":[0.9'))
    manifest.write_text(honest.replace(old, hash_file(path)))
    assert read_study(study, workers=1).kept == 0
    assert read_tree(study.readings) == first
    # A build takes the journal away, and names the manifest itself.
    Journal(study.output, "readings").remove()
    built = {"parents": {"readings/manifest.json": hash_file(manifest)}, "units": {}}
    built |= {key: {} for key in ("recipe", "files", "bytes")}
    built |= dict.fromkeys(("kind", "study", "recipe_sha256", "content_sha256"), "")
    beside = study.output / "warehouse.manifest.json"
    beside.write_text(json.dumps(built | {"merkle_root": ""}))
    assert read_study(study, workers=1).kept == 12
    Journal(study.output, "readings").remove()
    beside.write_text(json.dumps(built | {"merkle_root": "", "parents": {"raw/manifest.json": ""}}))
    assert read_study(study, workers=1).kept == 12  # nobody says anything of readings
    manifest.write_text("damaged")
    assert read_study(study, workers=1).kept == 0


KILLED = """
import os, sys
from upscale_audit.ingest.stated_window import Window
from upscale_audit.ingest.study import load_study
from upscale_audit.reading import images, study

write, count = images.write_text, []
def counting(path, text):
    write(path, text)
    count.append(path)
    if len(count) == 2:
        os._exit(9)
images.write_text = counting
study.read_study(load_study(sys.argv[1]), workers=1)
"""


def test_a_run_that_was_killed_goes_on_and_ends_with_the_same_bytes(readable, read_tree):
    study = readable.load("maps.pt", "plain.ts", lr=LR)
    words = [sys.executable, "-c", KILLED, str(study.path)]
    assert subprocess.run(words, check=False).returncode == 9
    assert not (study.readings / "manifest.json").exists()
    assert len(list(study.readings.glob("units/*.json"))) == 2
    # The second was written, but nothing had signed it yet.
    assert read_study(study, workers=1).kept == 5 * 2
    resumed = read_tree(study.readings)
    for path in sorted(study.readings.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert read_study(study, workers=1).kept == 0
    assert read_tree(study.readings) == resumed


def test_images_that_fail_are_named_and_the_rest_is_read(readable):
    readable.folder.put("a.png", b"no image", "beta")
    readable.folder.put("b.png", np.zeros((8, 8), np.uint8), "alpha", "tta")
    readable.folder.put("c.png", b"")
    study = readable.load("maps.pt", lr=LR.replace("2", "3"))
    report = read_study(study, workers=1)
    assert report.images == 4 + 4 - 2
    assert {name: why.partition(":")[0] for name, why in report.skipped.items()} == {
        "restored/beta/notta/a.png": "not_an_image",
        "restored/alpha/tta/b.png": "size_mismatch",
        "reference/c.png": "empty",
        "LR image of a": "24x16 px is no multiple of [lr] scale = 3",
        "LR image of b": "24x16 px is no multiple of [lr] scale = 3",
    }
    assert {row["image_id"] for row in read(study, "readings")} == {"a", "b"}


def test_more_boxes_than_a_file_may_hold_end_in_one_line(readable, monkeypatch):
    study = readable.load("maps.pt")
    monkeypatch.setattr(images_module, "MAX_DOCUMENT_BYTES", 1 << 10)
    with pytest.raises(
        StudyError, match=r"'maps' alone there are \d+ boxes .*coarser ones"
    ) as found:
        read_study(study, workers=1)
    assert "\n" not in str(found.value)
    assert not list(study.readings.glob("units/*.json"))
    monkeypatch.undo()
    assert read_study(study, workers=1).kept == 0


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (
            '[lr]\nrule = "antialiased"\nscale = 2\n',
            '[lr]\nrule = "antialiased"\nscale = 4\n',
            "lr",
        ),
        (
            '[lr]\nrule = "antialiased"\nscale = 2\n',
            '[lr]\nrule = "opencv_cubic"\nscale = 2\n',
            "lr",
        ),
        ('[lr]\nrule = "antialiased"\nscale = 2\n', "", None),
        ("", '[lr]\nrule = "antialiased"\nscale = 2\n', None),
        ("", '[size]\nrule = "area"\n', "size_rule"),
    ],
)
def test_readings_of_images_made_otherwise_do_not_enter_a_warehouse(readable, before, after, said):
    read_study(readable.load("maps.pt", lr=before), workers=1)
    study = readable.load("maps.pt", lr=after)
    if said is None:
        assert read_readings(study).files
        return
    with pytest.raises(StudyError, match=rf"was read with {said} = .*upscale-audit read"):
        read_readings(study)
    read_study(study, workers=1)
    assert read_readings(study).files


def test_readings_by_another_window_do_not_enter_a_warehouse(readable):
    plain = readable.load("maps.pt")
    windowed = replace(
        plain, ingest_parameters=replace(plain.ingest_parameters, window=Window("fixed", 0, 4095))
    )
    for before, after in ((plain, windowed), (windowed, plain)):
        read_study(before, workers=1)
        assert read_readings(before).files
        with pytest.raises(StudyError, match="was read with window = "):
            read_readings(after)


def test_a_size_rule_brings_images_to_their_reference(readable):
    readable.folder.put("b.png", np.full((32, 48), 51, np.uint8), "beta")
    study = readable.load("plain.ts", lr='\n[size]\nrule = "area"\n')
    assert read_study(study, workers=1).skipped == {}
    (row,) = [
        row
        for row in read(study, "readings")
        if (row["image_id"], row["model_id"], row["finding"]) == ("b", "beta", "bright")
    ]
    assert row["score"] == pytest.approx(0.2, abs=1e-6)


def test_a_study_without_readers_or_device_is_one_line(readable, monkeypatch):
    with pytest.raises(StudyError, match=r"names no reader: add \[\[readers\]\]"):
        read_study(readable.load())
    with pytest.raises(StudyError, match="expected cpu or cuda"):
        read_study(readable.load("maps.pt"), device="tpu")
    text = readable.load("maps.pt").path.read_text()
    readable.root.joinpath("study.toml").write_text(
        text.replace('score = "probability"', f'score = "probability"\nsha256 = "{"0" * 64}"')
    )
    study = load_study(readable.root / "study.toml")
    with pytest.raises(StudyError, match="bring that file, or correct sha256"):
        read_study(study, workers=1)
    assert not (study.readings / "manifest.json").exists()


def test_readers_change_nothing_that_ingest_measures(readable):
    without, with_readers = readable.load(), readable.load("maps.pt")
    assert recipe(without.ingest_parameters) == recipe(with_readers.ingest_parameters)
    assert (without.readers, without.ingest_parameters) == ((), with_readers.ingest_parameters)


def run_cli(capsys, *arguments):
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return ended.value.code, *capsys.readouterr()


def test_the_command_has_help_and_an_example(capsys):
    code, out, _ = run_cli(capsys, "read", "--help")
    assert code == 0
    assert "upscale-audit read STUDY.toml --device cuda" in out


def test_the_sample_study_is_read_by_the_command(
    capsys, repository, tmp_path, mean_grey_script, sample_study_file
):
    (tmp_path / "mean.pt").write_bytes(mean_grey_script[True])
    text = sample_study_file.read_text()
    for folder in ("reference", "restored", "lr"):
        text = text.replace(f'"{folder}', f'"{sample_study_file.parent}/{folder}')
    text = text.replace("../build/sample", "out")
    text += READER.format(name="mean", file="mean.pt", findings='["bright", "dark"]')
    (tmp_path / "study.toml").write_text(text)
    code, out, err = run_cli(capsys, "read", tmp_path / "study.toml", "--workers", 1)
    assert (code, out) == (0, "")
    assert "1 reader read 66 images" in err
    assert f"upscale-audit build {tmp_path / 'study.toml'}" in err
    table = pq.read_table(tmp_path / "out" / "readings" / "readings.parquet").to_pylist()
    assert len(table) == 6 * (1 + 1 + 1 + 4 * 2) * 2
    for row in table:
        if row["subject"] == "reference" and row["finding"] == "bright":
            # Cells of 16 x 16 px have one mean with the image.
            path = sample_study_file.parent / "reference" / f"{row['image_id']}.png"
            expected = np.asarray(Image.open(path)).mean() / 255
            assert row["score"] == pytest.approx(expected, abs=1e-6)


def test_the_command_names_what_it_could_not_read(capsys, readable):
    readable.folder.put("a.png", b"no image", "beta")
    study = readable.load("plain.ts")
    code, _, err = run_cli(capsys, "read", study.path, "--workers", 1)
    assert code == 3
    assert "not read: 'restored/beta/notta/a.png', not_an_image" in err


def test_the_command_says_a_mistake_in_one_line(capsys, readable):
    code, _, err = run_cli(capsys, "read", readable.load().path)
    assert (code, err.count("\n")) == (1, 1)
    assert "names no reader" in err
