"""A restore that is killed at any moment, or runs twice, leaves nothing that lies."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from multiprocessing import active_children

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.study import load_study
from upscale_audit.ingest.vouchers import Journal
from upscale_audit.restore.run import restore_study
from upscale_audit.restore.shelf import JOURNAL, MANIFEST, WORKING, Shelf

KILL_AT_EVERY_MOMENT = """
    import os, signal, sys
    from pathlib import Path
    from upscale_audit.ingest import files
    from upscale_audit.ingest.study import load_study
    from upscale_audit.restore import shelf
    from upscale_audit.restore.run import restore_study

    rename, synchronise, remove = os.replace, os.fsync, Path.unlink

    def restore_until(moment, study):
        passed = 0

        def tick():
            nonlocal passed
            passed += 1
            if passed == moment:
                os.kill(os.getpid(), signal.SIGKILL)

        def ticking(function):
            def run(*arguments, **options):
                tick()
                result = function(*arguments, **options)
                tick()
                return result

            return run

        os.replace, os.fsync, Path.unlink = map(ticking, (rename, synchronise, remove))
        restore_study(study, workers=1)

    for moment in range(1, 2000):
        folder = Path(sys.argv[1]) / str(moment)
        child = os.fork()
        if child == 0:
            restore_until(moment, load_study(folder / "study.toml"))
            os._exit(0)
        if os.waitpid(child, 0)[1] == 0:
            break
    print(moment)
"""

STUDY = """
[study]
name = "killed"
references = "reference"

[[models]]
model_id = "jpeg"
notta = "made/jpeg"
restorer = {{ kind = "jpeg", quality = {quality} }}
"""


def make_study(folder, encode, quality=30):
    """A study of two references under one restorer."""
    (folder / "reference").mkdir(parents=True, exist_ok=True)
    for number, name in enumerate("ab"):
        pixels = np.random.default_rng(number).integers(0, 256, (16, 24), np.uint8)
        (folder / "reference" / f"{name}.png").write_bytes(encode(pixels))
    (folder / "study.toml").write_text(STUDY.format(quality=quality))
    return load_study(folder / "study.toml")


def run_script(script, *arguments, cwd):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def prepare(tmp_path, encode_png):
    """Give a maker of many equal studies, bare or already restored by another recipe."""

    def make(count, is_update):
        for moment in range(1, count + 1):
            folder = tmp_path / "killed" / str(moment)
            study = make_study(folder, encode_png, quality=90)
            if is_update:
                restore_study(study, workers=1)
            make_study(folder, encode_png)
        return tmp_path / "killed"

    return make


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked copies of itself")
@pytest.mark.parametrize("is_update", [False, True])
def test_killed_at_any_moment_the_next_run_ends_with_the_same_bytes(
    prepare, tmp_path, encode_png, read_tree, repository, is_update
):
    fresh = make_study(tmp_path / "fresh", encode_png)
    restore_study(fresh, workers=1)
    expected = read_tree(tmp_path / "fresh" / "made")
    root = prepare(70, is_update)
    done = run_script(KILL_AT_EVERY_MOMENT, root, cwd=repository)
    assert done.returncode == 0, done.stderr
    moments = int(done.stdout)
    # Per image a line and a file, the journal before and the manifest after: each renamed,
    # synchronised and cleared up, twice over; and the one run that ended by itself.
    assert 40 < moments < 70
    states = set()
    for moment in range(1, moments + 1):
        folder = root / str(moment) / "made" / "jpeg"
        before = {name: (folder / name).exists() for name in (MANIFEST, JOURNAL, "a.png", "b.png")}
        states.add(tuple(before.values()))
        restore_study(load_study(root / str(moment) / "study.toml"), workers=1)
        assert read_tree(folder.parent) == expected, (moment, before)
    assert (False, True, True, False) in states or is_update
    assert (False, True, True, True) in states
    assert (True, False, True, True) in states


def test_a_torn_line_of_the_journal_is_passed_over(tmp_path, encode_png, read_tree):
    study = make_study(tmp_path, encode_png)
    restore_study(study, workers=1)
    expected = read_tree(tmp_path / "made")
    folder = tmp_path / "made/jpeg"
    images = json.loads((folder / MANIFEST).read_text())["images"]
    lines = [json.dumps(entry) for entry in images]
    (folder / JOURNAL).write_text(f"{lines[0]}\n{lines[1][:70]}")
    (folder / MANIFEST).unlink()
    (folder / "b.png").unlink()
    # As restore itself notes when it takes the manifest away.
    signed = Journal(study.output, "restored")
    signed.write({name: {WORKING} for name in signed.read()})
    report = restore_study(study, workers=1)
    assert (report.made, report.kept) == (1, 1)
    assert read_tree(tmp_path / "made") == expected


def test_two_runs_at_once_are_kept_apart(tmp_path, encode_png):
    study = make_study(tmp_path, encode_png)
    with (
        Shelf(tmp_path / "made/jpeg", "notta of 'jpeg'", {"inference_path": "notta"}, "0"),
        pytest.raises(StudyError, match=r"another restore holds .*made/jpeg; wait for it to end"),
    ):
        restore_study(study, workers=1)
    assert restore_study(study, workers=1).made == 2


def test_workers_that_die_are_replaced(tmp_path, encode_png, read_tree):
    one, two = (make_study(tmp_path / name, encode_png) for name in ("one", "two"))
    restore_study(one, workers=1)
    killed = []

    def kill(*_):
        if not killed:
            killed.extend(child.pid for child in active_children())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    restore_study(two, workers=2, progress=kill)
    assert len(killed) == 2
    assert read_tree(tmp_path / "one/made") == read_tree(tmp_path / "two/made")


@pytest.mark.usefixtures("bound_by_permissions")
def test_a_folder_that_cannot_be_written_is_said(tmp_path, encode_png):
    study = make_study(tmp_path, encode_png)
    (tmp_path / "made").mkdir(mode=0o555)
    with pytest.raises(StudyError, match=r"cannot write to .*made/jpeg.*make it writable"):
        restore_study(study, workers=1)


def test_a_full_disk_is_said_and_what_is_finished_is_kept(tmp_path, encode_png, monkeypatch):
    study = make_study(tmp_path, encode_png)
    put = Shelf.put
    count = []

    def fill(self, *arguments):
        count.append(1)
        if len(count) == 2:
            raise OSError(28, "No space left on device", "b.png")
        put(self, *arguments)

    monkeypatch.setattr(Shelf, "put", fill)
    expected = "cannot write to b.png: No space left on device; free some space there"
    with pytest.raises(StudyError, match=expected):
        restore_study(study, workers=1)
    monkeypatch.undo()
    report = restore_study(study, workers=1)
    assert (report.made, report.kept) == (1, 1)
