"""Published block tables: what is read of them, and what is refused with its line."""

import gzip
import hashlib

import pyarrow.parquet as pq
import pytest

from upscale_audit.ingest import block_declarations, published_blocks, schema
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.manifests import MANIFEST
from upscale_audit.ingest.published_blocks import DATA_NAME, import_blocks
from upscale_audit.ingest.run import ingest_study, read_raw_manifest
from upscale_audit.ingest.sources import list_table_sources
from upscale_audit.ingest.study import load_study
from upscale_audit.warehouse.proof.hash_lists import read_list

HEADER = "image,model,row,col,local_ssim,pc1"
IMAGES = ("i1", "i2")


def make_lines(images=IMAGES, rows=3, cols=4):
    return [
        f"{image},m,{row},{col},0.{row}{col},{row - col}.5"
        for image in images
        for row in range(rows)
        for col in range(cols)
    ]


def declare(tmp_path, lines, extra='path = "notta"', name="blocks.csv"):
    text = "\n".join([HEADER, *lines]) + "\n"
    data = gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()
    (tmp_path / name).write_bytes(data)
    entry = f'[[published_blocks]]\nlabel = "p"\nfile = "{name}"\n{extra}\n'
    (tmp_path / "study.toml").write_text(f'[study]\nname = "s"\noutput = "out"\n{entry}')
    return load_study(tmp_path / "study.toml")


def run_import(study, read_hashes=read_list):
    paths = {name: path for name, (path, _) in list_table_sources(study).items()}
    sha256 = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in paths.items()}
    shards, files = import_blocks(study, sha256, read_hashes)
    return pq.read_table(study.raw / next(iter(shards))).to_pylist(), files


@pytest.mark.parametrize("name", ["blocks.csv", "blocks.csv.gz"])
def test_a_table_is_read_row_by_row_as_it_is_written(tmp_path, name):
    lines = make_lines()
    lines[5] = "i1,m,1,1,NaN,"
    rows, files = run_import(declare(tmp_path, lines, name=name))
    keys = ("image_id", "model_id", "block_row", "block_col", "local_ssim_notta", "pc1_notta")
    said = [tuple(row[key] for key in keys) for row in rows]
    assert said[4:6] == [("i1", "m", 1, 0, 0.1, 1.5), ("i1", "m", 1, 1, None, None)]
    assert len(said) == 24
    assert {row["form"] for row in rows} == {"notta"}
    assert all(row["local_ssim_tta"] is None for row in rows)
    assert (files[0]["block_count"], files[0]["image_count"]) == (24, 2)
    assert files[0]["hash_status"] == "unchecked"


def test_names_that_differ_are_mapped_and_the_model_is_stated(tmp_path):
    study = declare(
        tmp_path,
        make_lines(),
        'path = "tta"\nmodel_id = "other"\ncolumns = { pc1 = "local_ssim", local_ssim = "pc1" }',
    )
    with pytest.raises(StudyError, match=r"line 2, column local_ssim|at most 1, either"):
        run_import(study)
    study = declare(tmp_path, make_lines(), 'path = "tta"\nmodel_id = "other"')
    rows, _ = run_import(study)
    assert {row["model_id"] for row in rows} == {"other"}
    assert rows[0]["local_ssim_tta"] == 0.0


REFUSED = [
    (lambda lines: [*lines[:-1], lines[-1][:5]], r"line 25 has 3 cells; expected 6"),
    (lambda lines: lines[:16], r"line 17: the last image, i2, ends at block \(0, 3\).*cut off"),
    (lambda lines: lines[:17], r"line 18: the last image, i2, ends at block \(1, 0\).*cut off"),
    (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
     r"line 6: block \(0, 3\) of i1 comes after \(1, 0\)"),
    (lambda lines: [*lines[:4], *lines[3:]], r"line 6: block \(0, 3\) of i1 comes after \(0, 3\)"),
    (lambda lines: [*lines, *lines[:12]], r"line 26: image i1 of m \(notta\) begins again"),
    (lambda lines: [*lines[:7], "i1,m,1,3,much,0", *lines[8:]],
     r"line 9, column local_ssim: expected a number, found 'much'"),
    (lambda lines: ["i1,m,-1,0,0.5,0", *lines], r"line 2: expected a block's row and column"),
    (lambda lines: ["i1,m,0,0,1.5,0", *lines[1:]], r"line 2, column local_ssim_notta: found 1.5"),
    (lambda lines: [",m,0,0,0.5,0", *lines[1:]], r"line 2: image_id is empty"),
    (lambda lines: [], r"has a header and no row"),
]  # fmt: skip


@pytest.mark.parametrize(("damage", "said"), REFUSED)
def test_a_damaged_table_is_refused_with_its_line(tmp_path, damage, said):
    with pytest.raises(StudyError, match=said):
        run_import(declare(tmp_path, damage(make_lines())))
    assert not list((tmp_path / "out").rglob("*.parquet*"))


def test_the_two_blocks_that_published_images_lack_are_no_damage(tmp_path):
    lines = make_lines()
    rows, _ = run_import(declare(tmp_path, [*lines[:10], *lines[12:22]]))
    assert len(rows) == 20


def test_what_a_hash_vouches_for_may_end_anywhere(tmp_path):
    lines = make_lines()[:17]
    sha256 = hashlib.sha256(("\n".join([HEADER, *lines]) + "\n").encode()).hexdigest()
    (tmp_path / "SHA256SUMS").write_text(f"# list\n{sha256}  data/blocks.csv\n")
    study = declare(tmp_path, lines, 'path = "notta"\nhashes = "SHA256SUMS"')
    rows, files = run_import(study)
    assert len(rows) == 17
    assert (files[0]["hash_status"], files[0]["hash_list"]) == ("listed", "SHA256SUMS")
    _, files = run_import(declare(tmp_path, lines, f'path = "notta"\nsha256 = "{sha256}"'))
    assert files[0]["hash_status"] == "stated"


def test_a_file_of_other_bytes_is_refused_with_the_line_of_the_list(tmp_path):
    (tmp_path / "SHA256SUMS").write_text(f"# list\n{'0' * 64}  blocks.csv\n")
    study = declare(tmp_path, make_lines(), 'path = "notta"\nhashes = "SHA256SUMS"')
    with pytest.raises(StudyError, match=r"not the file that was published.*SHA256SUMS line 2\)"):
        run_import(study)
    (tmp_path / "SHA256SUMS").write_text(f"{'0' * 64}  other.csv\n")
    with pytest.raises(StudyError, match=r"expected one entry for blocks.csv, found 0"):
        run_import(study)


def test_a_folder_holds_a_table_an_image(tmp_path):
    for image in IMAGES:
        folder = tmp_path / "detailed" / "m" / image
        folder.mkdir(parents=True)
        cells = ["row,col,local_ssim,pixel_y_start", "0,0,0.25,0", "0,1,0.5,0"]
        (folder / DATA_NAME).write_text("\n".join(cells) + "\n")
    text = '[study]\nname = "s"\noutput = "out"\n[[published_blocks]]\nlabel = "p"\n'
    (tmp_path / "study.toml").write_text(text + 'folder = "detailed"\npath = "notta"\n')
    rows, files = run_import(load_study(tmp_path / "study.toml"))
    assert [(row["model_id"], row["image_id"], row["block_col"]) for row in rows] == [
        ("m", image, col) for image in IMAGES for col in (0, 1)
    ]
    assert [row["file_name"] for row in files] == [
        f"detailed/m/{image}/{DATA_NAME}" for image in IMAGES
    ]


def test_an_ingest_of_published_blocks_alone_is_whole_and_writes_the_same_bytes_again(tmp_path):
    study = declare(tmp_path, make_lines())
    ingest_study(study, read_hashes=read_list)
    first = read_raw_manifest(study.raw)
    ingest_study(study, read_hashes=read_list)
    assert read_raw_manifest(study.raw) == first
    assert first["has_published"] is True
    assert first["recipe"]["published_blocks"][0]["form"] == "notta"


@pytest.fixture
def written(monkeypatch):
    """Give the list of the raw files that imports write."""
    names, write = [], published_blocks._write_entry

    def note(entry, *arguments):
        names.append(entry.file.name)
        return write(entry, *arguments)

    monkeypatch.setattr(published_blocks, "_write_entry", note)
    return names


def test_an_unchanged_table_is_not_read_again(tmp_path, written):
    study = declare(tmp_path, make_lines())
    for _ in range(2):
        ingest_study(study)
    assert written == ["blocks.csv"]
    study = declare(tmp_path, make_lines(rows=4))
    ingest_study(study)
    study = declare(tmp_path, make_lines(rows=4), 'path = "tta"')
    ingest_study(study)
    assert written == ["blocks.csv"] * 3


@pytest.mark.parametrize("harm", ["raw file", "manifest", "code"])
def test_what_nothing_vouches_for_is_read_again(tmp_path, written, monkeypatch, harm):
    study = declare(tmp_path, make_lines())
    ingest_study(study)
    (path,) = (study.raw / "published_blocks").iterdir()
    content = path.read_bytes()
    if harm == "code":
        monkeypatch.setattr(published_blocks, "_CODE", published_blocks._CODE[:1])
    else:
        path.write_bytes(content + b"PAR1")
    if harm == "manifest":
        (study.raw / MANIFEST).write_text("{}")
    ingest_study(study)
    assert written == ["blocks.csv"] * 2
    assert (path.read_bytes() == content) is (harm != "code")


def test_an_image_of_a_kept_table_is_refused_where_it_begins_again(tmp_path, written):
    entry = '[[published_blocks]]\nlabel = "p"\nfile = "{}.csv"\npath = "notta"\n'
    names = ("first", "second")
    for name in names:
        (tmp_path / f"{name}.csv").write_text("\n".join([HEADER, *make_lines()]) + "\n")
        text = "".join(map(entry.format, names[: names.index(name) + 1]))
        (tmp_path / "study.toml").write_text(f'[study]\nname = "s"\noutput = "out"\n{text}')
        study = load_study(tmp_path / "study.toml")
        if name == "first":
            ingest_study(study)
    said = "second.csv line 2: image i1 of m .* which began at first.csv line 2"
    with pytest.raises(StudyError, match=said):
        ingest_study(study)
    assert written == ["first.csv", "second.csv"]


def test_a_study_without_the_section_has_the_recipe_that_it_had(tmp_path, repository):
    file = repository / "tests/golden/published_form/results_with_26pattern_detection.csv"
    entry = f'[[published]]\nlabel = "p"\nfile = "{file}"\n'
    (tmp_path / "study.toml").write_text(f'[study]\nname = "s"\noutput = "out"\n{entry}')
    study = load_study(tmp_path / "study.toml")
    ingest_study(study)
    manifest = read_raw_manifest(study.raw)
    assert "published_blocks" not in manifest["recipe"]
    assert not (study.raw / "published_blocks").exists()


@pytest.mark.parametrize(
    ("extra", "said"),
    [
        ('path = "both"', "path = 'both'; expected one of notta, tta"),
        ("columns = { ssim = 'x' }", "unknown key 'ssim'"),
        ('path = "notta"\nsha256 = "12"', "64 hex digits"),
        ('path = "notta"\nfolder = "."', "one of the two"),
        ('path = "notta"\nhashes = "none"', "hashes names no file"),
    ],
)
def test_a_section_that_says_something_else_is_refused(tmp_path, extra, said):
    with pytest.raises(StudyError, match=said):
        declare(tmp_path, make_lines(), extra)


def test_the_raw_table_has_a_column_for_all_that_may_be_published():
    names = [column.name for column in schema.PUBLISHED_BLOCKS]
    assert names == ["label", "form", *block_declarations.KEYS, *block_declarations.MEASURES]


def test_both_paths_may_lie_in_folders_of_one_label_and_nothing_is_named_twice(tmp_path):
    entries = ""
    for path in ("notta", "tta"):
        folder = tmp_path / path / "detailed" / "i1"
        folder.mkdir(parents=True)
        (folder / DATA_NAME).write_text(f"row,col,local_ssim\n0,0,{0.25 if path == 'tta' else 0}\n")
        entries += f'[[published_blocks]]\nlabel = "p"\nmodel_id = "m"\npath = "{path}"\n'
        entries += f'folder = "{path}/detailed"\n'
    (tmp_path / "study.toml").write_text(f'[study]\nname = "s"\noutput = "out"\n{entries}')
    study = load_study(tmp_path / "study.toml")
    _, files = run_import(study)
    assert [(row["form"], row["file_name"]) for row in files] == [
        (path, f"detailed/i1/{DATA_NAME}") for path in ("notta", "tta")
    ]
    again = entries.replace('path = "tta"', 'path = "notta"')
    (tmp_path / "study.toml").write_text(f'[study]\nname = "s"\noutput = "out"\n{again}')
    with pytest.raises(StudyError, match="number 2: p/notta/detailed is named twice"):
        load_study(tmp_path / "study.toml")
