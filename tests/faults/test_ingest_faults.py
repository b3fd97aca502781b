"""Bad input, kills and damage: the study goes on, and the next run ends with the same bytes."""

import io
import json
import logging
import os
import signal
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections import Counter
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from upscale_audit.ingest import run
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, locked
from upscale_audit.ingest.run import ingest_study, plan_units, read_raw_manifest
from upscale_audit.ingest.schema import TABLES
from upscale_audit.ingest.study import load_study

SHAPE = (16, 24)
GREY = np.random.default_rng(5).integers(0, 256, SHAPE, np.uint8)
RGB = np.dstack([GREY] * 3)
UNEQUAL = np.dstack([GREY, GREY, GREY // 2])
HALF_CLEAR = np.dstack([RGB, np.where(np.indices(SHAPE)[1] < 12, 255, 0).astype(np.uint8)])


def encode(array, kind="PNG", **options):
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def pack_bomb(side):
    """A PNG whose header promises side x side pixels."""

    def chunk(kind, body):
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


BAD = {
    "truncated.png": (encode(GREY)[:-60], "truncated"),
    "cut_and_ended.jpg": (encode(GREY, "JPEG")[:-150] + b"\xff\xd9", "truncated"),
    "zero_bytes.png": (b"", "empty"),
    "text.png": (b"this is a text file\n", "not_an_image"),
    "larger.png": (encode(np.zeros((24, 24), np.uint8)), "size_mismatch"),
    "turned.png": (encode(GREY.T.copy()), "size_mismatch"),
    "tiny.png": (encode(GREY[:7, :7]), "too_small"),
    "grey16.png": (encode(GREY.astype(np.uint16) * 257), "bit_depth"),
    "rgb16.png": (cv2.imencode(".png", RGB.astype(np.uint16) * 257)[1].tobytes(), "bit_depth"),
    "animated.png": (
        encode(GREY, save_all=True, append_images=[Image.fromarray(255 - GREY)]),
        "animated",
    ),
    "jpeg_inside.png": (encode(GREY, "JPEG"), "wrong_format"),
    "png_inside.jpg": (encode(GREY), "wrong_format"),
    "cmyk.jpg": (encode(Image.fromarray(RGB).convert("CMYK"), "JPEG"), "colour_mode"),
    "bomb.png": (pack_bomb(30_000), "too_many_pixels"),
    "small_bomb.png": (pack_bomb(9_000), "too_many_pixels"),
}
GOOD = {
    "plain.png": (encode(GREY), "none", "L"),
    "equal_rgb.png": (encode(RGB), "equal_channels", "RGB"),
    "opaque_rgba.png": (encode(Image.fromarray(GREY).convert("RGBA")), "equal_channels", "RGBA"),
    "clear_rgba.png": (encode(HALF_CLEAR), "on_white", "RGBA"),
    "unequal.png": (encode(UNEQUAL), "rec601", "RGB"),
    "palette.png": (encode(Image.fromarray(GREY).convert("P")), "equal_channels", "P"),
    "one_bit.png": (encode(Image.fromarray(GREY).convert("1")), "none", "1"),
    "grey_alpha.png": (encode(Image.fromarray(GREY).convert("LA")), "none", "LA"),
    "real.jpg": (encode(GREY, "JPEG"), "none", "L"),
}


def stem(name):
    return name.rsplit(".", 1)[0]


def blocks_of(raw, model_id):
    """Block rows of one model, by image."""
    rows = {}
    for path in sorted((raw / "blocks" / f"model_id={model_id}").glob("*.parquet")):
        for row in pq.ParquetFile(path).read().to_pylist():
            rows.setdefault(row["image_id"], []).append(row)
    return rows


def statuses(rows, model_id="alpha", inference_path="notta"):
    chosen = (r for r in rows if (r["model_id"], r["inference_path"]) == (model_id, inference_path))
    return {row["image_id"]: row["status"] for row in chosen}


@pytest.fixture(scope="module")
def bad_restored(tmp_path_factory, new_study_folder):
    """One study: each bad or odd file stands as alpha's notta image of a good reference."""
    folder = new_study_folder(tmp_path_factory.mktemp("restored") / "study")
    folder.add_model("alpha")
    for name in [*BAD, *GOOD]:
        folder.put(f"{stem(name)}.png", GREY)
        folder.put(f"{stem(name)}.png", GREY, "alpha", "tta")
        folder.put(name, (BAD | GOOD)[name][0], "alpha")
    folder.put("lost.png", GREY)
    folder.put("unasked.png", GREY, "alpha")
    folder.put("notes.txt", b"hello", "alpha")
    folder.put("double.png", GREY)
    for name in ("double.png", "double.jpg"):
        folder.put(name, encode(GREY), "alpha")
    study = folder.load()
    return study, ingest_study(study, workers=1)


@pytest.fixture(scope="module")
def bad_references(tmp_path_factory, new_study_folder):
    """One study: each bad file stands as a reference, its restored image is good."""
    folder = new_study_folder(tmp_path_factory.mktemp("reference") / "study")
    folder.add_model("alpha", paths=("notta",))
    for name in [*BAD, "plain.png"]:
        folder.put(name, (BAD | GOOD)[name][0])
        folder.put(f"{stem(name)}.png", GREY, "alpha")
    for name in ("double.png", "double.jpg"):
        folder.put(name, encode(GREY))
    folder.put("double.png", GREY, "alpha")
    study = folder.load()
    return study, ingest_study(study, workers=1)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_restored_file_is_a_reject_and_a_pair_without_measures(bad_restored, read_rows, name):
    study, report = bad_restored
    (reject,) = (row for row in read_rows(study.raw, "rejects") if row["file_name"] == name)
    assert reject in report.rejects
    data, code = BAD[name]
    assert (reject["reason"], reject["bytes"]) == (code, len(data))
    owner = reject["role"], reject["model_id"], reject["inference_path"]
    assert owner == ("restored", "alpha", "notta")
    assert reject["file_sha256"] == hash_file(study.models[0].notta / name)
    assert reject["detail"]
    assert statuses(read_rows(study.raw, "pairs"))[stem(name)] == "rejected"
    rows = blocks_of(study.raw, "alpha")[stem(name)]
    assert len(rows) == 6
    for row in rows:
        assert row["notta_sum"] is None
        assert row["notta_local_ssim"] is None
        assert row["tta_local_ssim"] == 1.0


@pytest.mark.parametrize("name", GOOD)
def test_an_odd_but_sound_file_is_measured_and_its_grey_rule_recorded(
    bad_restored, read_rows, name
):
    study, _ = bad_restored
    files = read_rows(study.raw, "source_files")
    owned = {(row["file_name"], row["inference_path"]): row for row in files}
    row = owned[name, "notta"]
    assert (row["grey_rule"], row["colour_mode"]) == GOOD[name][1:]
    assert statuses(read_rows(study.raw, "pairs"))[stem(name)] == "measured"
    sums = [row["notta_sum"] for row in blocks_of(study.raw, "alpha")[stem(name)]]
    assert None not in sums
    same_pixels = name not in ("clear_rgba.png", "unequal.png", "one_bit.png", "real.jpg")
    plain = owned["plain.png", "notta"]["pixel_sha256"]
    assert (row["pixel_sha256"] == plain) == same_pixels


def test_an_image_on_white_is_measured_on_white(bad_restored):
    study, _ = bad_restored
    sums = [row["notta_sum"] for row in blocks_of(study.raw, "alpha")["clear_rgba"]]
    assert [sums[2], sums[5]] == [64 * 255] * 2
    assert sums[0] == GREY[:8, :8].astype(int).sum()


def test_a_missing_an_ambiguous_and_an_unasked_file_are_said(bad_restored, read_rows):
    study, report = bad_restored
    status = statuses(read_rows(study.raw, "pairs"))
    assert (status["lost"], status["double"]) == ("missing", "ambiguous")
    assert "unasked" not in status
    reasons = {row["file_name"]: row["reason"] for row in read_rows(study.raw, "rejects")}
    assert reasons["unasked.png"] == "no_reference"
    assert reasons["notes.txt"] == "other_file"
    assert reasons["double.png"] == reasons["double.jpg"] == "ambiguous_name"
    assert report.missing == 3  # lost has neither path, double no tta
    assert len(reasons) == len(BAD) + 4
    assert all(row["file_sha256"] for row in report.rejects)


def test_the_report_counts_what_the_tables_hold(bad_restored, read_rows):
    study, report = bad_restored
    assert report.images == len(BAD) + len(GOOD) + 2
    assert report.blocks == len(read_rows(study.raw, "blocks")) == 6 * report.images
    assert report.colour_reduced == 1
    found = Counter(row["status"] for row in read_rows(study.raw, "pairs"))
    assert found["measured"] == len(GOOD) * 2 + len(BAD)
    assert found["rejected"] == len(BAD)


@pytest.mark.parametrize("name", [name for name in BAD if BAD[name][1] != "size_mismatch"])
def test_a_bad_reference_is_a_reject_its_pair_says_so_and_it_has_no_block(
    bad_references, read_rows, name
):
    study, _ = bad_references
    rejects = [row for row in read_rows(study.raw, "rejects") if row["file_name"] == name]
    (reject,) = (row for row in rejects if row["role"] == "reference")
    assert (reject["reason"], reject["model_id"]) == (BAD[name][1], None)
    assert statuses(read_rows(study.raw, "pairs"))[stem(name)] == "reference_rejected"
    assert stem(name) not in blocks_of(study.raw, "alpha")
    assert stem(name) not in {row["image_id"] for row in read_rows(study.raw, "images")}


def test_the_images_beside_a_bad_reference_are_measured(bad_references, read_rows):
    study, report = bad_references
    status = statuses(read_rows(study.raw, "pairs"))
    assert status["plain"] == "measured"
    assert "double" not in status
    assert set(blocks_of(study.raw, "alpha")) == {"plain", "larger", "turned"}
    assert report.images == 3


def test_colour_is_a_reject_where_the_study_says_so(study_folder, read_rows):
    study_folder.add_model("alpha", paths=("notta",))
    for name in ("unequal", "clear_rgba", "equal_rgb"):
        study_folder.put(f"{name}.png", GREY)
        study_folder.put(f"{name}.png", GOOD[f"{name}.png"][0], "alpha")
    study = study_folder.load(parameters='colour = "reject"')
    ingest_study(study, workers=1)
    status = statuses(read_rows(study.raw, "pairs"))
    assert status == {"unequal": "rejected", "clear_rgba": "measured", "equal_rgb": "measured"}
    (reject,) = read_rows(study.raw, "rejects")
    assert reject["reason"] == "colour"


def test_an_undeclared_path_is_no_missing_file(tiny_study, read_rows):
    study = tiny_study.load()
    report = ingest_study(study, workers=1)
    rows = read_rows(study.raw, "pairs")
    assert set(statuses(rows, "beta", "tta").values()) == {"not_declared"}
    assert report.missing == 0


def test_a_file_where_raw_belongs_is_named(tiny_study):
    study = tiny_study.load()
    study.raw.parent.mkdir(parents=True, exist_ok=True)
    study.raw.write_text("mine")
    with pytest.raises(StudyError, match="raw is a file; move it away, or name another folder as"):
        ingest_study(study, workers=1)
    assert study.raw.read_text() == "mine"


@pytest.mark.usefixtures("bound_by_permissions")
def test_an_unreadable_file_is_a_reject_and_an_unreadable_folder_an_error(tiny_study):
    study = tiny_study.load()
    (tiny_study.folder("alpha", "tta") / "a.png").chmod(0)
    assert [row["reason"] for row in ingest_study(study, workers=1).rejects] == ["unreadable"]
    tiny_study.folder("alpha", "tta").chmod(0)
    with pytest.raises(StudyError, match="make the folder readable"):
        ingest_study(study, workers=1)
    tiny_study.folder("alpha", "tta").chmod(0o700)


def test_a_name_that_is_not_utf8_is_refused_and_spelt_out(study_folder, read_rows):
    study_folder.add_model("alpha", paths=("notta",))
    study_folder.add_image("a")
    for owner in (None, "alpha"):
        study_folder.put(os.fsdecode(b"caf\xe9.png"), GREY, owner)
    study = study_folder.load()
    report = ingest_study(study, workers=1)
    assert statuses(read_rows(study.raw, "pairs")) == {"a": "measured"}
    refused = [(row["role"], row["file_name"], row["reason"]) for row in report.rejects]
    name = r"caf\xe9.png"
    assert refused == [("reference", name, "name_not_utf8"), ("restored", name, "name_not_utf8")]
    assert {row["detail"] for row in report.rejects} == {rf"{name}: rename it in UTF-8"}
    assert ingest_study(study, workers=1).units_kept == 1


@pytest.mark.parametrize("content", ["", "Image Index,Finding Labels\n", "\x1f\x8b"])
def test_a_bad_label_file_stops_the_ingest_before_any_unit(tiny_study, content, read_tree):
    (tiny_study.root / "entries.csv").write_text(content, encoding="latin-1")
    study = tiny_study.load(labels='entries = "entries.csv"')
    with pytest.raises(StudyError, match=r"entries\.csv"):
        ingest_study(study, workers=1)
    assert read_tree(study.output) == {".lock": b""}


def test_a_label_file_that_turns_bad_leaves_the_finished_ingest_alone(tiny_study, read_tree):
    study = tiny_study.load()
    ingest_study(study, workers=1)
    before = read_tree(study.raw)
    (tiny_study.root / "entries.csv").write_text("", encoding="utf-8")
    with pytest.raises(StudyError):
        ingest_study(tiny_study.load(labels='entries = "entries.csv"'), workers=1)
    assert read_tree(study.raw) == before


# One subprocess runs the ingest many times, each in a child that kills itself at another
# moment: before and after every rename, and in the middle of every shard.
KILL_AT_EVERY_MOMENT = """
    import os, signal, sys
    from dataclasses import replace
    from pathlib import Path
    import numpy as np
    from upscale_audit.ingest import edges, files, kernel, run, units
    from upscale_audit.ingest.blocks import Measured, compare_blocks
    from upscale_audit.ingest.study import load_study

    # Compiled code is loaded once here, not in every child.
    grey = np.zeros((16, 24), np.uint8)
    compare_blocks(Measured(grey), Measured(grey), grey)
    kernel.count_mask(grey)
    edges._count_magnitudes(grey.astype(np.int16), grey.astype(np.int16))

    study = load_study(sys.argv[1])
    run.IMAGES_PER_UNIT = 1
    rename, open_parquet = os.replace, units.open_parquet

    def ingest_until(moment, output):
        passed = 0

        def tick():
            nonlocal passed
            passed += 1
            if passed == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        def rename_ticking(*paths):
            tick()
            rename(*paths)
            tick()

        def open_ticking(path, schema):
            writer = open_parquet(path, schema)
            tick()
            return writer

        files.os.replace, units.open_parquet = rename_ticking, open_ticking
        run.ingest_study(replace(study, output=output), workers=1)

    for moment in range(1, 500):
        child = os.fork()
        if child == 0:
            ingest_until(moment, Path(sys.argv[2]) / str(moment))
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
    print(moment)
"""


def python(code, *arguments, **options):
    """Start Python on a script, in the repository root, with its output captured."""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def finish(process):
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0
    return output


@pytest.mark.long
def test_an_ingest_killed_at_any_moment_ends_with_the_same_bytes_when_run_again(
    tiny_study, monkeypatch, read_tree, repository, tmp_path
):
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 1)
    undisturbed = tiny_study.load(output="undisturbed")
    ingest_study(undisturbed, workers=1)
    expected = read_tree(undisturbed.raw)
    script = python(KILL_AT_EVERY_MOMENT, undisturbed.path, tmp_path / "kills", cwd=repository)
    moments = int(finish(script))
    # Three units of two shards and a manifest, the small tables, two hash lists, the journal
    # before and after and the sign-off, two moments each; six shards being written; and the one
    # run that ended by itself.
    # But blocks and, of which this study asks none, patches and published blocks.
    small_tables = len(TABLES) - 3
    assert moments == 2 * (3 * 3 + small_tables + 5) + 6 + 1
    signed_off = 0
    for moment in range(1, moments + 1):
        output = tmp_path / "kills" / str(moment)
        signed_off += (output / "raw" / "manifest.json").exists()
        study = tiny_study.load(output=output)
        ingest_study(study, workers=1)
        assert read_tree(study.raw) == expected, moment
    assert signed_off == 2  # killed after the very last rename, and not killed


def test_an_update_killed_midway_is_not_signed_off(
    tiny_study, monkeypatch, read_tree, repository, tmp_path
):
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 1)
    study = tiny_study.load(output="out")
    ingest_study(study, workers=1)
    tiny_study.put("b.png", GREY, "alpha")
    code = """
        import os, signal, sys
        from upscale_audit.ingest import run, units
        from upscale_audit.ingest.study import load_study

        run.IMAGES_PER_UNIT = 1
        units.write_text = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        run.ingest_study(load_study(sys.argv[1]), workers=1)
    """
    process = python(code, study.path, cwd=repository)
    process.communicate(timeout=600)
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(StudyError, match="holds no finished ingest; run upscale-audit ingest"):
        read_raw_manifest(study.raw)
    report = ingest_study(study, workers=1)
    assert (report.units_measured, report.units_kept) == (1, 2)
    fresh = tiny_study.load(output="fresh")
    ingest_study(fresh, workers=1)
    assert read_tree(study.raw) == read_tree(fresh.raw)


INGEST_WITH_TWO_WORKERS = """
    import sys
    from multiprocessing import active_children
    from upscale_audit.ingest import run
    from upscale_audit.ingest.study import load_study

    run.IMAGES_PER_UNIT = 1

    def progress(done, total):
        print(*(child.pid for child in active_children()), flush=True)
        if len(sys.argv) > 2:
            sys.stdin.read()

    if __name__ == "__main__":
        run.ingest_study(load_study(sys.argv[1]), workers=2, progress=progress)
"""


def has_ended(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="asks /proc which processes live")
def test_the_workers_of_a_killed_ingest_die_with_it(tiny_study, monkeypatch, read_tree, repository):
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 1)
    study = tiny_study.load()
    process = python(
        INGEST_WITH_TWO_WORKERS, study.path, "stop", cwd=repository, stdin=subprocess.PIPE
    )
    workers = process.stdout.readline().split()
    assert len(workers) == 2
    assert not any(map(has_ended, workers))
    process.kill()
    process.communicate(timeout=600)
    deadline = time.monotonic() + 120
    while not all(map(has_ended, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(map(has_ended, workers))
    ingest_study(study, workers=1)
    fresh = tiny_study.load(output="fresh")
    ingest_study(fresh, workers=1)
    assert read_tree(study.raw) == read_tree(fresh.raw)


def test_two_workers_write_the_bytes_of_one_and_survive_the_death_of_both(
    tiny_study, monkeypatch, read_tree, caplog
):
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 1)
    for number in range(9):
        tiny_study.add_image(f"more{number}", shape=(64, 72))
    one, two = tiny_study.load(output="one"), tiny_study.load(output="two")
    ingest_study(one, workers=1)
    killed = []

    def kill_both(done, total):
        if not killed:
            killed.extend(child.pid for child in active_children())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    with caplog.at_level(logging.WARNING, logger="upscale_audit.ingest.workers"):
        report = ingest_study(two, workers=2, progress=kill_both)
    assert len(killed) == 2
    assert "a worker died (attempt 1)" in caplog.text
    assert report.units_measured + report.units_kept == 12
    assert read_tree(one.raw) == read_tree(two.raw)


class DyingPool:
    """An executor whose workers die at every unit named "b"."""

    def __init__(self, *_, **__):
        self.is_broken = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return False

    def submit(self, function, unit):
        if self.is_broken:
            raise BrokenProcessPool("the pool is gone")
        future = Future()
        if unit.images == ("b",):
            self.is_broken = True
            future.set_exception(BrokenProcessPool("a worker died"))
        else:
            future.set_result(function(unit))
        return future


def test_a_unit_that_kills_every_worker_is_named_and_the_others_are_kept(tiny_study, monkeypatch):
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 1)
    monkeypatch.setattr("upscale_audit.ingest.workers.ProcessPoolExecutor", DyingPool)
    study = tiny_study.load()
    with pytest.raises(StudyError, match=r"workers died 3 times, last at the images b,.*workers 1"):
        ingest_study(study, workers=2)
    assert ingest_study(study, workers=1).units_kept == 2


@pytest.fixture
def ingested(tiny_study, monkeypatch):
    """A finished ingest of three units, and its folder."""
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 1)
    study = tiny_study.load()
    ingest_study(study, workers=1)
    return study


def shards(study, model_id="*"):
    return sorted((study.raw / "blocks").glob(f"model_id={model_id}/*.parquet"))


def stamps(study):
    """Each shard's inode and time of change: a rewritten shard has other ones."""
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in shards(study)}


def flip_a_byte(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = {
    "shard": lambda study: flip_a_byte(shards(study)[0]),
    "deleted shard": lambda study: shards(study)[-1].unlink(),
    "cut shard": lambda study: shards(study)[1].write_bytes(b"PAR1"),
    "unit manifest": lambda study: flip_a_byte(min((study.raw / "units").iterdir())),
    "deleted unit manifest": lambda study: min((study.raw / "units").iterdir()).unlink(),
    "empty unit manifest": lambda study: min((study.raw / "units").iterdir()).write_bytes(b"{}"),
    "foreign unit manifest": lambda study: min((study.raw / "units").iterdir()).write_text("[3]"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_unit_is_repaired_and_the_others_are_kept(ingested, read_tree, damage):
    before = read_tree(ingested.raw)
    damage(ingested)
    assert read_tree(ingested.raw) != before
    report = ingest_study(ingested, workers=1)
    assert (report.units_measured, report.units_kept) == (1, 2)
    assert read_tree(ingested.raw) == before


@pytest.mark.parametrize("table", ["images", "source_files", "pairs", "rejects", "labels", "boxes"])
def test_a_damaged_small_table_is_repaired(ingested, read_tree, table):
    before = read_tree(ingested.raw)
    flip_a_byte(ingested.raw / table / f"{table}.parquet")
    assert ingest_study(ingested, workers=1).units_kept == 3
    assert read_tree(ingested.raw) == before


def test_left_over_temporary_files_and_shards_without_manifest_are_cleared(ingested, read_tree):
    before = read_tree(ingested.raw)
    shard = shards(ingested)[0]
    for path in (
        shard.with_name(f".{shard.name}.tmp"),
        shard.with_name(".0123456789abcdef.parquet.tmp"),
        shard.with_name("0123456789abcdef.parquet"),
        ingested.raw / "units" / ".0123456789abcdef.json.tmp",
        ingested.raw / "images" / ".images.parquet.tmp",
        ingested.raw / ".manifest.json.tmp",
    ):
        path.write_bytes(b"debris")
    ingest_study(ingested, workers=1)
    assert read_tree(ingested.raw) == before


USER_FILES = (
    "notes.txt",
    "blocks/notes.parquet",
    "blocks/model_id=notes",
    "blocks/model_id=alpha/copy of shard.parquet",
    "blocks/model_id=alpha/0123456789ABCDEF.parquet",
    "blocks/model_id=gone/keep.txt",
    "units/README.json",
    "images/images.parquet.bak",
    "mine/0123456789abcdef.parquet",
)


def test_user_files_in_the_raw_folder_are_never_deleted(ingested, tiny_study, read_tree):
    for name in USER_FILES:
        (ingested.raw / name).parent.mkdir(parents=True, exist_ok=True)
        (ingested.raw / name).write_text("mine", encoding="utf-8")
    tiny_study.put("a.png", GREY)
    ingest_study(ingested, workers=1)
    ingest_study(tiny_study.load(models=["beta"]), workers=1)
    after = read_tree(ingested.raw)
    assert {after.get(name) for name in USER_FILES} == {b"mine"}
    recorded = read_raw_manifest(ingested.raw)["files"]
    assert not set(USER_FILES) & set(recorded)


def test_the_sign_off_lists_every_file_with_its_hash(ingested, read_tree):
    manifest = read_raw_manifest(ingested.raw)
    found = set(read_tree(ingested.raw)) - {"manifest.json"}
    assert set(manifest["files"]) == found
    for name, sha256 in manifest["files"].items():
        assert hash_file(ingested.raw / name) == sha256
    assert set(manifest["block_shards"]) == {n for n in found if n.startswith("blocks/")}
    firsts = [
        (name.split("/")[1], pq.read_table(ingested.raw / name, columns=["image_id"])[0][0].as_py())
        for name in manifest["block_shards"]
    ]
    assert firsts == sorted(firsts)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema_version": 0}'])
def test_a_damaged_or_outdated_sign_off_names_the_repair(ingested, text):
    (ingested.raw / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=r"manifest\.json.*run upscale-audit ingest again"):
        read_raw_manifest(ingested.raw)


def test_a_changed_file_measures_its_own_unit_again_and_no_other(ingested, tiny_study):
    before = stamps(ingested)
    tiny_study.put("b.png", GREY, "beta")
    report = ingest_study(ingested, workers=1)
    assert (report.units_measured, report.units_kept) == (1, 2)
    after = stamps(ingested)
    changed = {path for path in before if after[path] != before[path]}
    assert {pq.read_table(path, columns=["image_id"])[0][0].as_py() for path in changed} == {"b"}
    assert len(changed) == 2


def test_a_repaired_reject_is_measured_and_leaves_the_reject_table(ingested, tiny_study, read_tree):
    before = read_tree(ingested.raw)
    path = tiny_study.folder("beta", "notta") / "b.png"
    good = path.read_bytes()
    path.write_bytes(good[:-60])
    assert [row["file_name"] for row in ingest_study(ingested, workers=1).rejects] == ["b.png"]
    path.write_bytes(good)
    assert ingest_study(ingested, workers=1).rejects == ()
    assert read_tree(ingested.raw) == before


@pytest.mark.parametrize("per_unit", [1, 2, 32])
def test_adding_images_rewrites_no_shard(tiny_study, monkeypatch, per_unit):
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", per_unit)
    study = tiny_study.load()
    ingest_study(study, workers=1)
    before = stamps(study)
    for image_id in ("aa", "d"):
        tiny_study.add_image(image_id)
    report = ingest_study(study, workers=1)
    after = stamps(study)
    assert {path: after.get(path) for path in before} == before
    assert report.images == 5
    assert set(blocks_of(study.raw, "beta")) == {"a", "aa", "b", "c", "d"}


def test_adding_a_model_rewrites_no_shard(ingested, tiny_study, read_rows):
    before = stamps(ingested)
    tiny_study.add_model("gamma", paths=("notta",))
    for image_id in ("a", "b", "c"):
        tiny_study.put(f"{image_id}.png", GREY, "gamma")
    study = tiny_study.load()
    report = ingest_study(study, workers=1)
    after = stamps(study)
    assert {path: after.get(path) for path in before} == before
    assert report.units_kept == 3
    assert set(blocks_of(study.raw, "gamma")) == {"a", "b", "c"}
    references = [r for r in read_rows(study.raw, "source_files") if r["role"] == "reference"]
    assert [row["image_id"] for row in references] == ["a", "b", "c"]


def test_removing_a_model_drops_its_shards_and_keeps_the_others_rows(ingested, tiny_study):
    before = blocks_of(ingested.raw, "beta")
    study = tiny_study.load(models=["beta"])
    ingest_study(study, workers=1)
    assert [path.name for path in (study.raw / "blocks").iterdir()] == ["model_id=beta"]
    assert blocks_of(study.raw, "beta") == before
    assert read_raw_manifest(study.raw)["models"] == ["beta"]


def test_removing_an_image_drops_its_rows_and_keeps_the_others(ingested, tiny_study, read_rows):
    before = blocks_of(ingested.raw, "alpha")
    (tiny_study.folder() / "b.png").unlink()
    report = ingest_study(ingested, workers=1)
    assert blocks_of(ingested.raw, "alpha") == {i: before[i] for i in ("a", "c")}
    assert {row["reason"] for row in report.rejects} == {"no_reference"}
    assert {row["image_id"] for row in read_rows(ingested.raw, "images")} == {"a", "c"}


def test_another_parameter_measures_everything_again_under_new_names(ingested, tiny_study):
    before = set(shards(ingested))
    study = tiny_study.load(parameters="edge_quantile = 0.5")
    report = ingest_study(study, workers=1)
    assert (report.units_measured, report.units_kept) == (3, 0)
    assert not before & set(shards(study))
    assert len(shards(study)) == len(before)


def test_an_analysis_parameter_measures_nothing_again(ingested, tiny_study):
    study = tiny_study.load(parameters="min_clusters = 7")
    assert ingest_study(study, workers=1).units_kept == 3


def test_a_rerun_without_a_change_keeps_every_unit_and_byte(ingested, read_tree):
    before = read_tree(ingested.raw)
    report = ingest_study(ingested, workers=1)
    assert (report.units_measured, report.units_kept) == (0, 3)
    assert read_tree(ingested.raw) == before


def test_the_order_of_files_and_models_changes_no_byte(
    tiny_study, new_study_folder, tmp_path, read_tree
):
    other = new_study_folder(tmp_path / "other")
    for model_id in ("beta", "alpha"):
        other.add_model(model_id, tiny_study.models[model_id])
    for path in sorted(tiny_study.root.rglob("*.png"), reverse=True):
        (other.root / path.relative_to(tiny_study.root)).write_bytes(path.read_bytes())
    one, two = tiny_study.load(), other.load()
    for study in (one, two):
        ingest_study(study, workers=1)
    assert read_tree(one.raw) == read_tree(two.raw)


def test_the_size_of_a_unit_changes_no_row(tiny_study, monkeypatch, read_rows):
    found = []
    for per_unit in (1, 2, 32):
        monkeypatch.setattr(run, "IMAGES_PER_UNIT", per_unit)
        study = tiny_study.load(output=f"out{per_unit}")
        assert ingest_study(study, workers=1).units_measured == -(-3 // per_unit)
        tables = {t: read_rows(study.raw, t) for t in ("source_files", "pairs", "images")}
        found.append(tables | {model: blocks_of(study.raw, model) for model in ("alpha", "beta")})
    assert found[0] == found[1] == found[2]
    assert set(found[0]["alpha"]) == {"a", "b", "c"}


def test_every_image_is_planned_exactly_once_under_every_model(tiny_study, monkeypatch):
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 2)
    for number in range(5):
        tiny_study.add_image(f"n{number}")
    study = tiny_study.load()
    units = plan_units(study, run.pair_study(study))
    planned = Counter((image, model) for u in units for image in u.images for model in u.models)
    names = ["a", "b", "c", *(f"n{number}" for number in range(5))]
    assert planned == dict.fromkeys(((i, m) for i in names for m in ("alpha", "beta")), 1)
    assert max(len(unit.images) for unit in units) == 2


def test_a_second_ingest_at_once_is_refused(ingested, repository):
    code = """
        import sys
        from upscale_audit.ingest.errors import StudyError
        from upscale_audit.ingest.run import ingest_study
        from upscale_audit.ingest.study import load_study

        try:
            ingest_study(load_study(sys.argv[1]), workers=1)
        except StudyError as error:
            print(error)
    """
    with locked(ingested.output, "ingest or build"):
        message = finish(python(code, ingested.path, cwd=repository))
        with pytest.raises(StudyError, match="another ingest or build holds"):
            ingest_study(ingested, workers=1)
    assert "another ingest or build holds" in message
    assert "wait for it to end, then run this again" in message
    assert finish(python(code, ingested.path, cwd=repository)) == ""


def test_an_output_that_cannot_be_a_folder_is_named(tiny_study):
    (tiny_study.root / "taken").write_text("a file", encoding="utf-8")
    with pytest.raises(StudyError, match=r"cannot write to .*taken.*another folder as \[study\]"):
        ingest_study(tiny_study.load(output="taken"), workers=1)


def test_the_sample_study_is_measured_whole(sample_study_file, tmp_path, read_rows):
    sample = load_study(sample_study_file)
    study = type(sample)(**{**vars(sample), "output": tmp_path / "out"})
    report = ingest_study(study, workers=1)
    assert (report.images, report.rejects, report.missing) == (6, (), 0)
    assert report.blocks == 5 * 6 * 64 * 64
    found = Counter(row["status"] for row in read_rows(study.raw, "pairs"))
    assert found == {"measured": 54, "not_declared": 6}
    listed = (sample_study_file.parent / "MANIFEST.csv").read_text(encoding="utf-8")
    for row in read_rows(study.raw, "source_files"):
        assert row["file_sha256"] in listed
    assert json.loads((study.raw / "manifest.json").read_text())["study"] == "sample"


def read_reference(unit_manifest, image_id="a"):
    """The hash of an image's reference, as a unit read it."""
    (entry,) = (
        item
        for item in unit_manifest["inputs"]
        if item["key"][0] == "reference" and item["key"][3] == image_id
    )
    return entry["file_sha256"]


def test_a_reference_replaced_between_two_units_is_never_signed(
    ingested, tiny_study, monkeypatch, read_tree
):
    """A unit of a new model measures against a reference that the kept unit did not see."""
    tiny_study.add_model("gamma", paths=("notta",))
    for image_id in ("a", "b", "c"):
        tiny_study.put(f"{image_id}.png", GREY, "gamma")
    study = tiny_study.load()
    ensure_unit = run.ensure_unit

    def replace_after(unit):
        result = ensure_unit(unit)
        if unit.images == ("a",) and "gamma" not in unit.models:
            tiny_study.put("a.png", GREY)
        return result

    monkeypatch.setattr(run, "ensure_unit", replace_after)
    with pytest.raises(StudyError, match=r"reference/a\.png was replaced between two units"):
        ingest_study(study, workers=1)
    with pytest.raises(StudyError, match="holds no finished ingest"):
        read_raw_manifest(study.raw)
    monkeypatch.undo()
    monkeypatch.setattr(run, "IMAGES_PER_UNIT", 1)
    report = ingest_study(study, workers=1)
    assert (report.units_measured, report.units_kept) == (1, 5)
    found = {
        read_reference(json.loads(path.read_text()))
        for path in (study.raw / "units").iterdir()
        if '"a"' in path.read_text()
    }
    assert found == {hash_file(study.references / "a.png")}


def test_a_reference_replaced_between_two_ingests_measures_every_unit_of_it(ingested, tiny_study):
    tiny_study.add_model("gamma", paths=("notta",))
    for image_id in ("a", "b", "c"):
        tiny_study.put(f"{image_id}.png", GREY, "gamma")
    study = tiny_study.load()
    ingest_study(study, workers=1)
    tiny_study.put("a.png", GREY)
    report = ingest_study(study, workers=1)
    assert (report.units_measured, report.units_kept) == (2, 4)
