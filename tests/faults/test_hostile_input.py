"""Hostile files, names and study files: refused or measured, never obeyed. More: campaign."""

import functools
import hashlib
import os
import random
from collections import Counter

import pytest

from tests.faults import campaign, hostile, kinds
from tests.faults.common import Failure, Fresh, attempt
from tests.faults.records import Record, hash_code
from upscale_audit.ingest import png
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import locked
from upscale_audit.ingest.images import decode_image
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.tables import open_table
from upscale_audit.warehouse.proof.hash_lists import hash_archive


@pytest.fixture
def generator():
    """A seeded source of hostility."""
    return random.Random(7)


def test_hostile_images_are_measured_or_refused_and_no_worker_dies(tmp_path, generator):
    outcomes = hostile.ingest_hostile_images(tmp_path, 195, generator)
    assert sum(counts.total() for counts in outcomes.values()) == 195
    assert outcomes["DICOM-like as .png"] == {"rejected: wrong_format": 15}
    for kind in ("TIFF as .tif, bytes changed", "WebP as .webp, bytes changed"):
        assert outcomes[kind].total() - outcomes[kind]["accepted"] > 5
    assert set(outcomes["DICOM-like as .dcm"]) <= {"rejected: undecodable", "rejected: no_decoder"}
    assert outcomes["PNG with a text chunk of up to 3 MB"]["accepted"]


def test_images_whose_pixels_end_early_are_never_measured(tmp_path, generator):
    outcomes = kinds.ingest_cut_streams(tmp_path, 100, generator)
    assert sum(counts.total() for counts in outcomes.values()) == 100


def test_transparent_images_have_the_pixels_that_strict_decoders_show_on_white(generator):
    outcomes = kinds.decode_alpha(25, generator)
    assert set(outcomes) <= {f"PNG with alpha: {kind}" for kind in kinds.ALPHA}
    assert sum(counts.total() for counts in outcomes.values()) == 25


def test_archives_without_names_and_codecs_that_claim_too_much_are_refused(tmp_path, generator):
    pytest.importorskip("torch", reason="pip install 'upscale-audit[codec]'")
    outcomes = kinds.read_hostile_codecs(tmp_path, 20, generator)
    assert all(counts == {"StudyError": 20} for counts in outcomes.values())
    path = tmp_path / "hostile.zip"
    for _ in range(20):
        path.write_bytes(kinds.compose_archive(generator))
        assert attempt(hash_archive, path) == "accepted"


@pytest.mark.filterwarnings("ignore")
def test_hostile_label_and_result_files_are_read_or_a_study_error(tmp_path, generator):
    outcomes = hostile.read_hostile_texts(tmp_path, 300, generator)
    assert set().union(*outcomes.values()) == {"accepted", "StudyError"}


def test_hostile_study_files_are_loaded_or_a_study_error(tmp_path, generator):
    (outcomes,) = hostile.load_hostile_studies(tmp_path, 400, generator).values()
    assert outcomes["StudyError"] > outcomes["accepted"] > 0


def test_hostile_names_are_only_names(tmp_path, generator):
    (outcomes,) = hostile.ingest_hostile_names(tmp_path, 40, generator).values()
    assert outcomes["accepted"] > 20
    assert outcomes["rejected: name_not_utf8"] >= 1


def test_bombs_and_promises_are_refused(tmp_path, generator):
    outcomes = hostile.ingest_hostile_images(
        tmp_path, 9, generator, image_kinds=hostile.HEAVY_KINDS
    )
    packed, promised, zeros = outcomes.values()
    assert set(packed) <= {"rejected: undecodable", "accepted"}
    assert "accepted" not in promised
    assert zeros == {"rejected: too_many_bytes": 3}


def test_gzip_without_end_is_refused_with_its_limit(tmp_path, generator, monkeypatch):
    (outcomes,) = hostile.read_packed_texts(tmp_path, 2, generator).values()
    assert outcomes == {"StudyError": 2}
    (tmp_path / "sparse.csv").touch()
    os.truncate(tmp_path / "sparse.csv", (1 << 28) + 1)
    with (
        open_table(tmp_path / "sparse.csv") as stream,
        pytest.raises(StudyError, match="has more than 256 MiB; give the published CSV"),
    ):
        sum(len(chunk) for chunk in iter(lambda: stream.read(1 << 20), b""))


def test_hostile_hash_lists_are_read_or_a_study_error(tmp_path, generator):
    (outcomes,) = hostile.check_hostile_lists(tmp_path, 200, generator).values()
    assert outcomes.total() == 200
    assert set(outcomes) == {"accepted", "StudyError"}
    assert hostile.check_packed_lists(tmp_path, 1, generator)


def test_a_file_larger_than_memory_is_hashed_and_not_read(tmp_path, read_rows, study_folder):
    study_folder.add_model("alpha", paths=("notta",))
    study_folder.put("a.png", b"x")
    study_folder.put("a.png", b"x", "alpha")
    path = study_folder.put("archive.tar.gz", b"", "alpha")
    os.truncate(path, 100_000_000)
    study = study_folder.load(parameters="max_image_px = 1000")
    os.truncate(study.references / "a.png", 100_000_000)
    ingest_study(study, workers=1)
    found = {row["file_name"]: row for row in read_rows(study.raw, "rejects")}
    assert found["archive.tar.gz"]["reason"] == "other_file"
    assert {found["archive.tar.gz"]["bytes"]} == {100_000_000}
    zeros = hashlib.sha256(bytes(100_000_000)).hexdigest()
    assert found["archive.tar.gz"]["file_sha256"] == zeros


def test_strangers_in_the_raw_folder_are_passed_over(tmp_path, generator):
    (outcomes,) = hostile.ingest_among_strangers(tmp_path, 4, generator).values()
    assert outcomes == {"passed over": 4}


def test_a_decoder_without_memory_is_no_damaged_file(monkeypatch, generator):
    class Unpacker:
        def __init__(self, error):
            self.error = error

        def decompress(self, *_):
            raise self.error("Error -4 while decompressing data")

    data = hostile.encode("PNG", generator)
    for library in (png.isal_zlib, png.zlib):
        monkeypatch.setattr(library, "decompressobj", functools.partial(Unpacker, library.error))
    with pytest.raises(MemoryError):
        decode_image(data, ".png", 10**6, "reduce")


def test_a_label_file_that_changes_while_it_is_read_is_an_error(tiny_study, monkeypatch):
    path = tiny_study.root / "boxes.csv"
    path.write_text(hostile.BOXES)
    study = tiny_study.load(labels='boxes = "boxes.csv"')

    def read(_):
        path.write_text(hostile.BOXES + "1.png,Mass,1,2,3,4\n")
        return []

    monkeypatch.setattr("upscale_audit.ingest.run.read_boxes", read)
    with pytest.raises(StudyError, match="changed while it was read"):
        ingest_study(study, workers=1)


@pytest.mark.parametrize(
    "code", ["ENOSPC", "EFBIG", "EROFS", "EACCES", "EDQUOT", "EIO", "ENOTCONN", "ESTALE"]
)
def test_a_disk_that_refuses_is_said_with_its_repair(tmp_path, code):
    import errno

    def refuse():
        raise OSError(getattr(errno, code), "refused", str(tmp_path / "file"))

    message = r"cannot write to .*run this again"
    with pytest.raises(StudyError, match=message), locked(tmp_path, "ingest"):
        refuse()


@pytest.mark.parametrize("code", ["ENOLCK", "ENOSYS", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_said_with_its_repair(tmp_path, monkeypatch, code):
    import errno
    import fcntl

    def refuse(*_):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    monkeypatch.setattr(fcntl, "flock", refuse)
    message = r"cannot lock .*; mount its file system with locks .*another as \[study\] output"
    with pytest.raises(StudyError, match=message), locked(tmp_path, "ingest"):
        raise AssertionError("written without a lock")


def test_a_campaign_page_shows_every_count_and_no_place():
    tried, untried = campaign.Tally(), campaign.Tally(reason="not tried: no mount")
    for _ in range(3):
        tried.add("refused", "cannot write to …/out/raw: full")
    tried.identical = 3
    inputs = {"png": Counter(accepted=2, a=1)}
    page = campaign.format_page({"SIGKILL": tried, "disk": untried}, inputs, "--cases 9")
    assert "| SIGKILL | 3 | 0 | 3 of 3 | 3 refused |" in page
    assert "| disk | 0 | — | — | not tried: no mount |" in page
    assert "| SIGKILL | cannot write to …/out/raw: full |" in page
    assert "3 faults in all, 3 of them kills." in page
    assert "| png | 3 | 1 a, 2 accepted |" in page
    failed = campaign.Tally(wrong=1, reason="FAILED: exports changed")
    page = campaign.format_page({"SIGKILL": failed}, inputs, "--cases 9")
    assert "| SIGKILL | 0 | 1 | — | FAILED: exports changed |" in page


def test_no_input_is_drawn_twice_and_a_kind_with_no_more_to_give_says_so(generator):
    fresh = Fresh()
    drawn = [fresh.draw(lambda g: bytes([g.randrange(9)]), generator) for _ in range(5)]
    assert len(set(drawn)) == 5
    with pytest.raises(Failure, match="nothing new"):
        Fresh({hashlib.blake2b(b"a", digest_size=16).digest()}).draw(lambda g: b"a", generator)


def test_the_long_form_tries_as_many_faults_as_it_is_asked_for():
    assert {*campaign.LONG, *campaign.SHARES} == set(campaign.FAULTS)
    counted = [name for name in campaign.FAULTS if not name.startswith(campaign.READERS)]
    planned = sum(campaign.plan_times(name, 10_000) for name in counted)
    assert 10_000 <= planned <= 10_000 + len(campaign.SHARES)
    assert campaign.plan_times("SIGKILL during build", 0) == 0


def test_a_stopped_campaign_goes_on_from_what_it_kept_and_from_nothing_of_other_code(tmp_path):
    tally = campaign.Tally(identical=2, wrong=1, reason="FAILED: a")
    tally.add("refused", "disk full")
    Record(tmp_path / "kept", f"--cases 9 {hash_code()}").write_tally("SIGKILL", tally)
    again = Record(tmp_path / "kept", f"--cases 9 {hash_code()}")
    assert again.read_tally("SIGKILL") == tally
    assert again.read_tally("SIGKILL during build") is None
    assert Record(tmp_path / "kept", "--cases 9 of other code").read_tally("SIGKILL") is None
    nothing = Record(None, "")
    nothing.write_tally("SIGKILL", tally)
    assert nothing.read_tally("SIGKILL") is None


def test_hostile_inputs_that_were_kept_are_not_tried_again(tmp_path):
    record = Record(tmp_path / "kept", "")
    record.write("attack 1", {"png": {"accepted": 2}})
    record.write("attack_more 1", {"png": {"accepted": 3}, "zip": {"StudyError": 1}})
    hostile = campaign.attack_all(tmp_path / "inputs", 9, [1], record)
    assert hostile == {"png": {"accepted": 5}, "zip": {"StudyError": 1}}
