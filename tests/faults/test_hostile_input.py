"""Hostile files, names and study files: refused or measured, never obeyed. More: campaign."""

import random

import pytest

from ingest.errors import StudyError
from ingest.files import locked
from ingest.images import decode_image
from ingest.run import ingest_study
from tests.faults import campaign


@pytest.fixture
def generator():
    """A seeded source of hostility."""
    return random.Random(7)


def test_hostile_images_are_measured_or_refused_and_no_worker_dies(tmp_path, generator):
    outcomes = campaign.ingest_hostile_images(tmp_path, 150, generator)
    assert sum(counts.total() for counts in outcomes.values()) == 150
    assert outcomes["DICOM-like as .png"] == {"rejected: not_an_image": 15}
    assert outcomes["PNG with a text chunk of up to 3 MB"]["accepted"]


@pytest.mark.filterwarnings("ignore")
def test_hostile_label_and_result_files_are_read_or_a_study_error(tmp_path, generator):
    outcomes = campaign.read_hostile_texts(tmp_path, 300, generator)
    assert set().union(*outcomes.values()) == {"accepted", "StudyError"}


def test_hostile_study_files_are_loaded_or_a_study_error(tmp_path, generator):
    (outcomes,) = campaign.load_hostile_studies(tmp_path, 400, generator).values()
    assert outcomes["StudyError"] > outcomes["accepted"] > 0


def test_hostile_names_are_only_names(tmp_path, generator):
    (outcomes,) = campaign.ingest_hostile_names(tmp_path, 40, generator).values()
    assert outcomes["accepted"] > 20
    assert outcomes["rejected: ambiguous_name"] == 1


def test_strangers_in_the_raw_folder_are_passed_over(tmp_path, generator):
    (outcomes,) = campaign.ingest_among_strangers(tmp_path, 4, generator).values()
    assert outcomes == {"passed over": 4}


def test_a_decoder_without_memory_is_no_damaged_file(monkeypatch, generator):
    def load(_):
        raise OSError("out of memory error when reading image file")

    data = campaign.encode("PNG", generator)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    with pytest.raises(MemoryError):
        decode_image(data, ".png", 10**6, "reduce")


def test_a_label_file_that_changes_while_it_is_read_is_an_error(tiny_study, monkeypatch):
    path = tiny_study.root / "boxes.csv"
    path.write_text(campaign.BOXES)
    study = tiny_study.load(labels='boxes = "boxes.csv"')

    def read(_):
        path.write_text(campaign.BOXES + "1.png,Mass,1,2,3,4\n")
        return []

    monkeypatch.setattr("ingest.run.read_boxes", read)
    with pytest.raises(StudyError, match="changed while it was read"):
        ingest_study(study, workers=1)


@pytest.mark.parametrize("code", ["ENOSPC", "EFBIG", "EROFS", "EACCES", "EDQUOT"])
def test_a_disk_that_refuses_is_said_with_its_repair(tmp_path, code):
    import errno

    def refuse():
        raise OSError(getattr(errno, code), "refused", str(tmp_path / "file"))

    message = r"cannot write to .*run this again"
    with pytest.raises(StudyError, match=message), locked(tmp_path, "ingest"):
        refuse()


def test_a_campaign_page_shows_every_count():
    from collections import Counter

    page = campaign.format_page({"kill": Counter(whole=3)}, {"png": Counter(accepted=2, a=1)}, 9)
    assert "| kill | 3 | 3 whole |" in page
    assert "| png | 3 | 1 a, 2 accepted |" in page
