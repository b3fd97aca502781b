"""Beside strict decoders, in short: `python -m tests.faults.corpora` tries thousands."""

import numpy as np
import pytest
from PIL import Image

from tests.faults import corpora, oracles

PIXELS = np.random.default_rng(2).integers(0, 256, (40, 40), np.uint8)


@pytest.fixture(params=[False, True], ids=["opencv", "with programs"])
def programs(request, monkeypatch):
    """Judge without Debian's programs, and with them where they are."""
    if request.param and not oracles.has_programs():
        pytest.skip("needs netpbm and libjpeg-turbo-progs")
    monkeypatch.setattr(corpora, "has_programs", lambda: request.param)


@pytest.mark.parametrize(("kind", "data"), corpora.make_seeds(PIXELS))
def test_a_sound_image_of_each_kind_is_read_with_the_same_pixels(programs, kind, data):
    assert corpora.judge(data) == ("read, same pixels", None)


def test_no_mutant_is_read_that_a_strict_decoder_refuses(programs):
    tables, unexplained = corpora.mutate_sample(400, seed=11)
    assert unexplained == []
    total = sum(tables.values(), start=corpora.Counter())
    assert sum(counts.total() for counts in tables.values()) == 400
    assert total["read, same pixels"]
    assert total["refused by all: truncated"]


def test_the_judge_tells_what_no_rule_explains(monkeypatch):
    kind, sound = corpora.make_seeds(PIXELS)[0]
    assert kind == "PNG, grey"
    other = corpora.make_seeds(255 - PIXELS)[0][1]
    decode = corpora.decode_image
    monkeypatch.setattr(corpora, "decode_image", lambda _, __, *rest: decode(other, ".png", *rest))
    assert corpora.judge(sound)[1] == "OpenCV decodes other pixels"
    assert corpora.judge(sound[:-30])[1].startswith("refused by OpenCV")
    jpeg = dict(corpora.make_seeds(PIXELS))["JPEG, grey"]
    assert "OpenCV warns" in corpora.judge(jpeg[:20] + b"junk" + jpeg[20:])[1]


def test_a_corpus_is_read_file_by_file_and_its_section_written(tmp_path, monkeypatch, capsys):
    (tmp_path / "below").mkdir()
    for number, (_, data) in enumerate(corpora.make_seeds(PIXELS)[:3]):
        (tmp_path / "below" / f"{number}.png").write_bytes(data)
    (tmp_path / "cut.png").write_bytes(data[:-20])
    Image.fromarray(PIXELS).save(tmp_path / "film.tif", compression="tiff_lzw")
    Image.fromarray(PIXELS).save(tmp_path / "film.webp", lossless=True)
    (tmp_path / "film.tiff").write_bytes((tmp_path / "film.tif").read_bytes()[:-200])
    (tmp_path / "notes.txt").write_text("no image")
    page = tmp_path / "faults.md"
    by_hand = f"{corpora.BY_HAND}\n\nwritten\n\n"
    page.write_text(f"# Before\n\n{by_hand}{corpora.HEADING}\n\nold\n")
    monkeypatch.setattr(corpora, "PAGE", page)
    monkeypatch.setattr("sys.argv", ["corpora", f"Mine={tmp_path}", "--cases", "8"])
    with pytest.raises(SystemExit) as ended:
        corpora.main()
    assert ended.value.code == 0
    text = page.read_text()
    assert text.startswith(f"# Before\n\n{by_hand}{corpora.HEADING}\n\nWritten by")
    assert "| Mine | 7 | 5 read, same pixels, 2 refused by all: truncated | 0 |" in text
    kept = corpora.keep_section(page)
    assert f"# Before\n{kept}" == text
