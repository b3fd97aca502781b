"""The published generator's block tables: one row a block, streamed into raw Parquet.

A table is a CSV, plain or gzip, or Parquet, of one configuration (model and inference path) or of
both paths side by side, as `fct_blocks` is; or a folder of the generator's
``p6_local_quality_data.csv``, one per image (definitions B.2). Files may hold 82 million rows: they
are read in pieces, and no more is kept than which images came. A raw file carries what it was
written from, so that an unchanged table is not read again.
"""

from __future__ import annotations

import difflib
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from upscale_audit.ingest.block_declarations import (
    BOTH,
    FLAGS,
    KEYS,
    MEASURES,
    PAIRED,
    PATH_COLUMNS,
    BlockTable,
)
from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file, hash_json, name_within, replacing, to_text
from upscale_audit.ingest.manifests import MANIFEST, describe_code, read_manifest
from upscale_audit.ingest.schema import arrow_schema
from upscale_audit.ingest.tables import read_rows
from upscale_audit.ingest.vouchers import find_stage_vouchers

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.study import Study


DATA_NAME = "p6_local_quality_data.csv"
"""What the generator calls the block table of one image."""
MAX_BYTES = 1 << 40
PIECE_BYTES = 1 << 24
"""Of a CSV that are parsed at once."""
PIECE_ROWS = 1 << 18
"""Of a Parquet table that are read at once, and rows of a raw row group at least."""
MAX_SIDE = 1 << 15
LIMITS = {"local_ssim": 1.0, "mse_dn2": 255.0**2, "delta_ssim": 2.0, "axis1": 6.9}
"""Largest magnitude of a value; of others less than 1,000, as the warehouse stores them."""
MAX_VALUE = 999.9999994
SPARE_COLS = 2
"""Blocks that the last row of an image may lack: the published files lack two an image (E.1)."""
MISSING = ("", "none", "None", "N/A", "n/a", "NaN", "nan", "NULL", "null", "inf", "-inf", "+inf")

_MADE_FROM = b"upscale_audit"
"""Key of the Parquet metadata in which a raw file says what it was written from."""
_CODE = ("published_blocks.py", "block_declarations.py", "schema.py", "tables.py")

_GRID = {
    "block_row": ("row",),
    "block_col": ("col",),
    "model_id": ("model",),
    "image_id": ("image",),
}
_TRUE, _FALSE = ("true", "True", "TRUE", "1"), ("false", "False", "FALSE", "0")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class Listed(Protocol):
    """An entry of a published hash list: `refusal` says why it is not to be believed."""

    @property
    def name(self) -> str: ...  # noqa: D102  # described above
    @property
    def sha256(self) -> str | None: ...  # noqa: D102
    @property
    def refusal(self) -> str | None: ...  # noqa: D102


ReadHashes = Callable[[Path], Iterable[Listed]]
"""Reads a published hash list."""


@dataclass
class _Progress:
    """What has been read of a file: its images in order, and where the last one stands."""

    entry: BlockTable
    name: str
    seen: dict[tuple[str, ...], str]
    images: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    last: tuple[str, str] | None = None
    position: int = -1


def name_shard(number: int, entry: BlockTable) -> str:
    """Name the raw file of an entry, by its place in the study file and its label."""
    return f"published_blocks/{hash_json([number, entry.label])[:16]}.parquet"


def list_files(entry: BlockTable) -> dict[str, Path]:
    """List an entry's files by their name within it, the hash list left out.

    Raises
    ------
    StudyError
        A folder without a block table.
    """
    if entry.file is not None:
        return {to_text(entry.file.name): entry.file}
    folder = entry.folder or Path()
    top = to_text(folder.name)
    paths = sorted(folder.rglob(DATA_NAME))
    files = {f"{top}/{name_within(path, folder)}": path for path in paths}
    if not files:
        raise StudyError(
            f"{folder} holds no {DATA_NAME}: expected one in a folder named after each image; name"
            " the folder above these, or a table as file"
        )
    return files


def name_file(entry: BlockTable, name: str) -> str:
    """Name a file of an entry among the study's sources."""
    return f"published_blocks/{entry.label}/{entry.form}/{name}"


def import_blocks(
    study: Study, sha256: Mapping[str, str], read_hashes: ReadHashes | None
) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """Write the raw files of a study's published block tables.

    Parameters
    ----------
    study : ingest.study.Study
    sha256 : dict
        SHA-256 of the study's files by source name.
    read_hashes : callable or None
        Reads a published hash list: entries with `name`, `sha256` and `refusal`.

    Returns
    -------
    shards : dict
        SHA-256 by name within the raw folder.
    files : list of dict
        Rows of raw table `published_block_files`.

    Raises
    ------
    StudyError
        A file is not as a list or the study says, cut off, out of order, holds a cell that is no
        value, or an image that came before.
    """
    shards: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    seen: dict[tuple[str, ...], str] = {}
    vouched = _find_vouched(study) if study.published_blocks else {}
    for number, entry in enumerate(study.published_blocks):
        files = list_files(entry)
        checked = _check_hashes(entry, files, sha256, read_hashes)
        name = name_shard(number, entry)
        made_from = hash_json([entry.recipe, checked, describe_code("ingest", *_CODE)["sha256"]])
        kept = _read_kept(study.raw / name, vouched.get(name), made_from)
        if kept is None:
            with replacing(study.raw / name) as temporary:
                kept = _write_entry(entry, files, checked, temporary, seen, made_from)
        else:
            seen |= {(entry.label, *image): place for *image, place in kept["images"]}
        hash_list = to_text(entry.hashes.name) if entry.hashes else None
        for file in kept["files"]:
            rows.append(file | checked[file["file_name"]] | {"hash_list": hash_list})
        shards[name] = hash_file(study.raw / name)
    order = ("label", "form", "file_name")
    return shards, sorted(rows, key=lambda row: tuple(row[key] for key in order))


def _find_vouched(study: Study) -> Mapping[str, str]:
    """Give SHA-256 by name of the raw files that the last ingest signed, if it is vouched for."""
    hashes, path = find_stage_vouchers(study.output, "raw"), study.raw / MANIFEST
    try:
        if hashes is not None and hash_file(path) not in hashes:
            return {}
        return read_manifest(path, "upscale-audit ingest")["files"]
    except (OSError, StudyError):
        return {}


def _read_kept(path: Path, sha256: str | None, made_from: str) -> dict[str, Any] | None:
    """Read what a raw file of blocks says of itself; None where it is to be written anew."""
    try:
        if sha256 is None or hash_file(path) != sha256:
            return None
        said: dict[str, Any] = json.loads(
            (pq.read_metadata(path).metadata or {}).get(_MADE_FROM, b"{}")
        )
    except OSError:
        return None
    return said if said.get("made_from") == made_from else None


def _check_hashes(
    entry: BlockTable,
    files: Mapping[str, Path],
    sha256: Mapping[str, str],
    read_hashes: ReadHashes | None,
) -> dict[str, dict[str, str]]:
    """Compare files with what was published of them; say of each by what it was checked."""
    listed: dict[str, str] = {}
    if entry.hashes is not None:
        if read_hashes is None:
            raise ValueError(f"{entry.label} names a hash list; expected read_hashes")
        for item in read_hashes(entry.hashes):
            if item.sha256 and not item.refusal:
                listed[item.name] = item.sha256
    found = {}
    for name, path in files.items():
        own = sha256[name_file(entry, name)]
        # A list may name a file by its place in another folder: by its own name, where one has it.
        ends = [key for key in listed if f"/{key}".endswith(f"/{name}")]
        ends = ends or [key for key in listed if f"/{name}".endswith(f"/{key}")]
        if entry.hashes is not None and len(ends) != 1:
            raise StudyError(
                f"{entry.hashes}: expected one entry for {name}, found {len(ends)}; give the list"
                f" that was published with {path}, or take hashes out of {entry.where}"
            )
        expected = [listed[key] for key in ends] + ([entry.sha256] if entry.sha256 else [])
        if any(value != own for value in expected):
            line = _find_line(entry.hashes, expected[0])
            raise StudyError(
                f"{path} is not the file that was published: expected SHA-256 {expected[0]}"
                f"{line}, found {own}; download it again, or correct {entry.where}"
            )
        rule = "listed" if ends else "stated" if entry.sha256 else "unchecked"
        found[name] = {"file_sha256": own, "hash_status": rule}
    return found


def _find_line(path: Path | None, sha256: str) -> str:
    """Say in which line of a hash list a hash stands; nothing where it is none of plain text."""
    if path is None:
        return ""
    lines = path.read_bytes().lower().splitlines()
    numbers = [number for number, line in enumerate(lines, 1) if sha256.encode() in line]
    return f" ({path} line {numbers[0]})" if numbers else ""


def _write_entry(
    entry: BlockTable,
    files: Mapping[str, Path],
    checked: Mapping[str, Mapping[str, str]],
    target: Path,
    seen: dict[tuple[str, ...], str],
    made_from: str,
) -> dict[str, Any]:
    """Stream an entry's files into one raw file; describe each, and where images begin."""
    schema, rows = arrow_schema("published_blocks"), []
    before = len(seen)
    floats = [item.name for item in schema if pa.types.is_floating(item.type)]
    with pq.ParquetWriter(
        target,
        schema,
        compression="zstd",
        compression_level=1,
        use_dictionary=["label", "form", "model_id", "image_id"],
        column_encoding=dict.fromkeys(floats, "BYTE_STREAM_SPLIT"),
    ) as writer:
        for name, path in files.items():
            progress = _Progress(entry, name, seen)
            constants = _find_constants(entry, name)
            count, pending = 0, []
            for first, batch in _read_batches(entry, path, constants):
                _check_batch(path, first, batch, progress)
                count += batch.num_rows
                pending.append(_complete(entry, batch, schema))
                if sum(item.num_rows for item in pending) >= PIECE_ROWS:
                    writer.write_table(pa.Table.from_batches(pending))
                    pending = []
            if pending:
                writer.write_table(pa.Table.from_batches(pending))
            if not count:
                raise StudyError(f"{path} has a header and no row; give the whole table")
            if checked[name]["hash_status"] == "unchecked":
                _check_whole(path, count + 1, progress)
            facts: dict[str, Any] = {"bytes": path.stat().st_size, "form": entry.form}
            facts |= {"block_count": count, "image_count": len(progress.images)}
            facts["model_id"] = constants.get("model_id")
            rows.append({"label": entry.label, "file_name": name} | facts)
        images = [[*key[1:], seen[key]] for key in itertools.islice(seen, before, None)]
        written = {"made_from": made_from, "files": rows, "images": images}
        writer.add_key_value_metadata({_MADE_FROM: json.dumps(written).encode()})
    return written


def _find_constants(entry: BlockTable, name: str) -> dict[str, str]:
    """Give what a file does not say of its rows: the model, and in a folder the image."""
    constants = {} if entry.model_id is None else {"model_id": entry.model_id}
    if entry.folder is None:
        return constants
    parts = name.split("/")
    if len(parts) < 3 or (entry.model_id is None and len(parts) < 4):
        raise StudyError(
            f"{entry.folder}: {name} lies in no folder of its image"
            f"{'' if entry.model_id else ' and model'}; expected [model/]image/{DATA_NAME}, or"
            " model_id"
        )
    return {"model_id": parts[-3] if entry.model_id is None else entry.model_id} | {
        "image_id": parts[-2]
    }


def find_columns(
    entry: BlockTable, path: Path, header: Sequence[str], constants: Mapping[str, str]
) -> dict[str, str]:
    """Find which column of a file is which.

    Parameters
    ----------
    entry : BlockTable
    path : Path
    header : sequence of str
    constants : dict
        Keys that the file does not hold.

    Returns
    -------
    dict
        The file's column by raw column.

    Raises
    ------
    StudyError
        A key or the local SSIM is missing, a mapped column is not there, or a name stands twice.
    """
    suffixes = ("_notta", "_tta") if entry.form == BOTH else ("",)
    names = {f"{name}{end}": f"{name}{end or '_' + entry.form}" for name in PATH_COLUMNS
             for end in suffixes}  # fmt: skip
    names |= {name: name for name in (*KEYS, *PAIRED) if name not in constants}
    given, found = dict(entry.columns), {}
    for said, raw in names.items():
        choices = [given[said]] if said in given else [said, *_GRID.get(said, ())]
        places = [name for name in choices if name in header]
        if said in given and not places:
            near = difflib.get_close_matches(given[said], header, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise StudyError(
                f"{path} line 1: columns names {given[said]!r}, expected one of"
                f" {', '.join(header)}{hint}"
            )
        if places:
            found[raw] = places[0]
    required = [name for name in KEYS if name not in constants]
    required += ["local_ssim" + ("_notta" if entry.form == BOTH else f"_{entry.form}")]
    missing = [name for name in required if name not in found]
    repeated = sorted({name for name in header if list(header).count(name) > 1})
    if missing or repeated:
        raise StudyError(
            f"{path} line 1: no column for {', '.join(missing) or 'none'}; listed twice:"
            f" {', '.join(repeated) or 'none'}; found {', '.join(header)}; name them in columns of"
            f" {entry.where}, or give model_id and path"
        )
    return found


def _read_batches(
    entry: BlockTable, path: Path, constants: Mapping[str, str]
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield pieces of a table under raw names, with the line of the first row of each."""
    types = {name: _type_of(name) for name in (*KEYS, *MEASURES)}
    line = 2
    for batch in _open_batches(entry, path, constants, types):
        missing = {name: pa.array([value], pa.string()) for name, value in constants.items()}
        arrays = {name: batch.column(name) for name in batch.schema.names}
        zeros = pa.array(np.zeros(batch.num_rows, np.int32))
        arrays |= {name: value.take(zeros) for name, value in missing.items()}
        if batch.num_rows:
            yield line, pa.RecordBatch.from_pydict(arrays)
        line += batch.num_rows


def _type_of(name: str) -> pa.DataType:
    if name in ("model_id", "image_id", "state"):
        return pa.string()
    if name in ("block_row", "block_col") or name.startswith("lr_contradicted"):
        return pa.int16()
    return pa.bool_() if name.startswith(FLAGS) else pa.float64()


def _open_batches(
    entry: BlockTable, path: Path, constants: Mapping[str, str], types: Mapping[str, pa.DataType]
) -> Iterator[pa.RecordBatch]:
    if path.suffix == ".parquet":
        yield from _open_parquet(entry, path, constants, types)
        return
    header = next(itertools.islice(read_rows(path, max_bytes=MAX_BYTES), 1), None)
    if header is None:
        raise StudyError(f"{path} is empty; give the whole table")
    found = find_columns(entry, path, header[1], constants)
    kinds = {found[name]: types[name] for name in found}
    packing = "gzip" if path.suffix == ".gz" else None
    try:
        with pa.input_stream(str(path), compression=packing) as stream, pacsv.open_csv(
            stream,
            read_options=pacsv.ReadOptions(block_size=PIECE_BYTES),
            parse_options=pacsv.ParseOptions(ignore_empty_lines=False),
            convert_options=pacsv.ConvertOptions(
                include_columns=list(kinds),
                column_types=kinds,
                null_values=list(MISSING),
                true_values=list(_TRUE),
                false_values=list(_FALSE),
            ),
        ) as reader:  # fmt: skip
            for batch in reader:
                yield batch.rename_columns(list(found))
    except (pa.ArrowInvalid, OSError, EOFError) as error:
        raise StudyError(_find_bad_cell(path, found, types, error)) from None


def _open_parquet(
    entry: BlockTable, path: Path, constants: Mapping[str, str], types: Mapping[str, pa.DataType]
) -> Iterator[pa.RecordBatch]:
    try:
        with pq.ParquetFile(path) as file:
            found = find_columns(entry, path, file.schema_arrow.names, constants)
            schema = pa.schema([(name, types[name]) for name in found])
            for batch in file.iter_batches(PIECE_ROWS, columns=list(found.values())):
                table = pa.Table.from_batches([batch]).select(list(found.values()))
                table = table.rename_columns(list(found)).cast(schema).combine_chunks()
                yield from table.to_batches()
    except (pa.ArrowException, OSError) as error:
        raise StudyError(
            f"cannot read {path}: {error}; give the Parquet file as it was written"
        ) from None


def _find_bad_cell(
    path: Path, found: Mapping[str, str], types: Mapping[str, pa.DataType], error: Exception
) -> str:
    """Find the line that a reader of columns stopped at, which it does not name."""
    header: list[str] = []
    try:
        for line, cells in read_rows(path, max_cells=None, max_bytes=MAX_BYTES):
            header = header or cells
            if len(cells) != len(header):
                return (
                    f"{path} line {line} has {len(cells)} cells; expected {len(header)}, as its"
                    " header has: it is cut off or damaged; download it again"
                )
            for raw, name in found.items():
                text = cells[header.index(name)]
                if line > 1 and not _is_valid(text, types[raw]):
                    return (
                        f"{path} line {line}, column {name}: expected {_name_kind(types[raw])},"
                        f" found {text!r}; correct the cell, or download the file again"
                    )
    except StudyError as damage:
        return str(damage)
    return f"cannot read {path}: {error}; download it again"


def _is_valid(text: str, kind: pa.DataType) -> bool:
    if pa.types.is_string(kind) or text in MISSING:
        return True
    if pa.types.is_boolean(kind):
        return text in (*_TRUE, *_FALSE)
    if pa.types.is_floating(kind):
        return _NUMBER.fullmatch(text.strip()) is not None
    return re.fullmatch(r"-?\d+", text, re.ASCII) is not None and abs(int(text)) < MAX_SIDE


def _name_kind(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "true or false"
    return "a number" if pa.types.is_floating(kind) else f"a whole number below {MAX_SIDE}"


def _check_batch(path: Path, first: int, batch: pa.RecordBatch, progress: _Progress) -> None:
    """Check keys, order and range of some rows; remember their images."""
    for name in KEYS:
        column = batch.column(name)
        blank = pc.is_null(column) if name.startswith("block") else pc.equal(column, "")
        if column.null_count or pc.any(blank).as_py():
            line = first + pc.index(blank, True).as_py()
            raise StudyError(f"{path} line {line}: {name} is empty; every block has its place")
    rows, cols = (batch.column(name).to_numpy() for name in ("block_row", "block_col"))
    _refuse(path, first, (rows < 0) | (cols < 0), "expected a block's row and column from 0 on")
    for name in batch.schema.names:
        if pa.types.is_floating(batch.column(name).type):
            limit = LIMITS.get(name.removesuffix("_notta").removesuffix("_tta"), MAX_VALUE)
            beyond = pc.greater(pc.abs(batch.column(name)), limit).fill_null(False)
            if pc.any(beyond).as_py():
                line = first + pc.index(beyond, True).as_py()
                value = batch.column(name)[line - first].as_py()
                raise StudyError(
                    f"{path} line {line}, column {name}: found {value}; expected a number of at"
                    f" most {limit:g}, either sign"
                )
    _check_order(path, first, batch, rows.astype(np.int64) * MAX_SIDE + cols, progress)


def _refuse(path: Path, first: int, wrong: npt.NDArray[np.bool_], expected: str) -> None:
    if wrong.any():
        raise StudyError(f"{path} line {first + int(wrong.argmax())}: {expected}; restore the line")


def _check_order(
    path: Path,
    first: int,
    batch: pa.RecordBatch,
    positions: npt.NDArray[np.int64],
    progress: _Progress,
) -> None:
    """Check that blocks come image by image in raster order, as the generator writes them."""
    models, images = batch.column("model_id"), batch.column("image_id")
    changed = np.ones(batch.num_rows, bool)
    for index, column in enumerate((models, images)):
        differs = pc.not_equal(column[1:], column[:-1]).to_numpy(zero_copy_only=False)
        changed[1:] = differs if index == 0 else changed[1:] | differs
    begins = [int(at) for at in np.flatnonzero(changed)]
    current = (models[0].as_py(), images[0].as_py())
    before = np.concatenate([[progress.position if current == progress.last else -1], positions])
    starts = changed & ~((np.arange(batch.num_rows) == 0) & (current == progress.last))
    wrong = (positions <= before[:-1]) & ~starts
    if wrong.any():
        at = int(wrong.argmax())
        row, col = divmod(int(positions[at]), MAX_SIDE)
        last_row, last_col = divmod(int(before[at]), MAX_SIDE)
        raise StudyError(
            f"{path} line {first + at}: block ({row}, {col}) of {images[at].as_py()} comes after"
            f" ({last_row}, {last_col}); expected each block once, by row, then column, as the"
            " generator writes them: give the file as it was published"
        )
    for begin, end in itertools.pairwise([*begins, batch.num_rows]):
        key = (models[begin].as_py(), images[begin].as_py())
        if key != progress.last:
            _begin_image(path, first + begin, key, progress)
        stretch = positions[begin:end]
        facts = progress.images[key]
        facts[0] = max(facts[0], int((stretch % MAX_SIDE).max()))
        progress.position = int(stretch[-1])
        facts[1:] = divmod(progress.position, MAX_SIDE)


def _begin_image(path: Path, line: int, key: tuple[str, str], progress: _Progress) -> None:
    entry = progress.entry
    paths = ("notta", "tta") if entry.form == BOTH else (entry.form,)
    for inference_path in paths:
        image = (entry.label, inference_path, *key)
        if image in progress.seen:
            raise StudyError(
                f"{path} line {line}: image {key[1]} of {key[0]} ({inference_path}) begins again,"
                f" which began at {progress.seen[image]}; expected all blocks of an image together"
                " and once a label: give the file as it was published, or another label"
            )
        progress.seen[image] = f"{progress.name} line {line}"
    progress.last, progress.images[key] = key, [0, 0, 0]


def _check_whole(path: Path, line: int, progress: _Progress) -> None:
    """Refuse a file that ends within an image; one that a hash vouches for is whole."""
    *others, (key, (widest, last_row, last_col)) = progress.images.items()
    widths = {facts[0] for _, facts in others} or {widest}
    heights = {facts[1] for _, facts in others}
    is_short = len(heights) == 1 and len(widths) == 1 and last_row < min(heights)
    if is_short or last_col < min(max(widest, *widths), min(widths)) - SPARE_COLS:
        expected = (min(heights, default=last_row), min(widths))
        raise StudyError(
            f"{path} line {line}: the last image, {key[1]}, ends at block ({last_row}, {last_col});"
            f" expected about {expected}, as rows before it: the file is cut off; download it"
            " again, or give its published sha256 or hashes, which show that it is whole"
        )


def _complete(entry: BlockTable, batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Add the columns that a table does not have, as NULL, and what the study says of it."""
    count = batch.num_rows
    arrays = []
    for item in schema:
        if item.name in ("label", "form"):
            value = entry.label if item.name == "label" else entry.form
            array = pa.array([value], pa.string()).take(pa.array(np.zeros(count, np.int32)))
        elif item.name in batch.schema.names:
            array = batch.column(item.name)
        else:
            array = pa.nulls(count, item.type)
        if pa.types.is_floating(item.type):
            array = pc.if_else(pc.is_finite(array), array, pa.scalar(None, item.type))
        arrays.append(array)
    return pa.RecordBatch.from_arrays(arrays, schema=schema)
