"""Files are written whole whatever their names; a disk that refuses is said in one line."""

import os

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import (
    open_regular,
    write_text,
    writing,
)


@pytest.mark.parametrize("name", ["a", "n" * 255, "名" * 85, "n" * 250 + ".json"])
def test_a_file_of_any_name_that_a_disk_takes_is_written_whole(tmp_path, name):
    write_text(tmp_path / name, "text")
    assert os.listdir(tmp_path) == [name]


def test_a_name_that_no_disk_takes_is_said_with_its_repair(tmp_path):
    with (
        pytest.raises(StudyError, match="File name too long; give the image a shorter name"),
        writing(tmp_path, "[study] output"),
    ):
        write_text(tmp_path / ("n" * 256), "text")


def test_a_file_where_a_folder_is_to_be_is_said_with_its_repair(tmp_path):
    (tmp_path / "file").touch()
    said = r"file.*; move the file that lies where a folder is to be, or name another .* as --out"
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(StudyError, match=said), writing(folder, "--out"):
            folder.mkdir(parents=True, exist_ok=True)


def test_only_a_regular_file_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", OSError), (tmp_path, IsADirectoryError)):
        with pytest.raises(kind, match=r"not a regular file|Is a directory"):
            open_regular(path)
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    (tmp_path / "file").write_bytes(b"text")
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"text"
