"""CSV files are read row by row: what is hostile ends in one line, within little memory."""

import gzip
import tracemalloc

import pytest

from upscale_audit.ingest import tables
from upscale_audit.ingest.boxes import read_boxes
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.labels import read_entries
from upscale_audit.ingest.published import detect_kind, read_results
from upscale_audit.ingest.tables import MAX_TABLE_BYTES, read_rows

HEADER = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position\n"
)
BOXES = "Image Index,Finding Label,Bbox [x,y,w,h]\n"


@pytest.fixture
def write(tmp_path):
    """Give a writer of a packed file from pieces and how often each stands in it."""

    def pack(*pieces, name="table.csv.gz"):
        path = tmp_path / name
        with gzip.open(path, "wb", compresslevel=1) as file:
            for text, count in pieces:
                file.write(text.encode() * count)
        return path

    return pack


@pytest.fixture
def few_cells(monkeypatch):
    """Let tables have 4,000 cells, so that a test takes no time."""
    monkeypatch.setattr("upscale_audit.ingest.tables.MAX_CELLS", 4000)
    monkeypatch.setattr("upscale_audit.ingest.published.MAX_CELLS", 4000)
    monkeypatch.setattr(read_rows, "__defaults__", ("utf-8-sig", 4000, None, MAX_TABLE_BYTES))


def peak_bytes(action):
    """Most bytes that an action, which must end in a StudyError, had at one time."""
    tracemalloc.start()
    try:
        with pytest.raises(StudyError) as caught:
            action()
        return tracemalloc.get_traced_memory()[1], str(caught.value)
    finally:
        tracemalloc.stop()


def test_rows_have_the_line_they_start_at_and_blank_ones_are_left_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b'\xef\xbb\xbfa,b\r\n\r\n"1\n2",3\r\n,\r\n4,5')
    assert list(read_rows(path)) == [(1, ["a", "b"]), (3, ["1\n2", "3"]), (6, ["4", "5"])]


@pytest.mark.parametrize("line", ["a\n", "\n", ",\n", '"\n"\n'])
@pytest.mark.parametrize("read", [read_entries, read_boxes])
def test_millions_of_short_lines_end_in_one_line_within_little_memory(write, line, read):
    path = write((HEADER if read is read_entries else BOXES, 1), (line, 400_000))
    peak, message = peak_bytes(lambda: read(path) if line == "a\n" else _exhaust(path))
    assert peak < 4_000_000
    assert str(path) in message


def _exhaust(path):
    for _ in read_rows(path, max_cells=100_000):
        pass


def test_one_row_without_end_is_refused_before_it_is_held(write):
    for text in ("," * 1000, '"\n",' * 1000, "x" * 1000):
        path = write((HEADER, 1), (text, 20_000))
        peak, message = peak_bytes(lambda path=path: _exhaust(path))
        assert peak < 60_000_000
        assert "a row of more than 1048576 characters" in message or "field larger" in message


def test_too_many_rows_are_refused_with_the_limit(write, few_cells):
    entry = "{},No Finding,0,1,50,F,PA\n"
    rows = "".join(entry.format(f"{number:08}_000.png") for number in range(600))
    with pytest.raises(StudyError, match=r"more than 4000 cells; give the published CSV"):
        read_entries(write((HEADER, 1), (rows, 1)))
    results = "image_id,model,ssim\n" + "a,b,1\n" * 2000
    path = write((results, 1))
    with pytest.raises(StudyError, match=r"more than 4000 cells"):
        read_results(path, "x")
    assert detect_kind(path) == "results"


def test_a_file_of_another_kind_is_named_as_such(tmp_path):
    path = tmp_path / "entries.csv"
    path.write_bytes(b"PK\x03\x04rest")
    with pytest.raises(StudyError, match="is a zip archive: unpack it, and name the CSV in it"):
        read_entries(path)
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n")
    with pytest.raises(StudyError, match=r"is a Git LFS pointer.*run git lfs pull"):
        detect_kind(path)


def test_the_stated_limits_hold_the_largest_published_files():
    """PadChest's list has 36 columns and 160,868 rows, in 110 MB."""
    assert tables.MAX_CELLS > 36 * 160_868
    assert tables.MAX_TABLE_BYTES == 256 << 20
