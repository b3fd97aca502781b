"""JSON documents read back: bounded, and of a stated shape before anything relies on them.

A hash says that a file is as someone wrote it, never that it holds what is expected. So the shape
of each document is declared once, as a ``TypedDict``, and checked where it is read.
"""

import functools
import json
import types
from pathlib import Path
from typing import (
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from upscale_audit.ingest.files import open_regular

MAX_DOCUMENT_BYTES = 1 << 26
"""Largest manifest that is read: 64 MiB. That of 32 images under 300 models has about 30."""

T = TypeVar("T")
"""What a document is once its shape is checked."""

_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
_NAMES |= {type(None): "null"}


def read_document(path: Path, shape: type[T], max_bytes: int = MAX_DOCUMENT_BYTES) -> T:
    """Read a JSON file and check its shape.

    Parameters
    ----------
    path : Path
    shape : type
        What `check_shape` takes.
    max_bytes : int

    Returns
    -------
    object
        The JSON value, which is of the type.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        It is too large, no JSON, or of another shape; the message says which and where.
    """
    return parse_document(read_bounded(path, max_bytes), shape)


def read_bounded(path: Path, max_bytes: int) -> bytes:
    """Read a regular file's bytes; ValueError where there are more than `max_bytes`."""
    with open_regular(path) as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise ValueError(f"more than {max_bytes} bytes")
    return data


def parse_document(data: bytes | str, shape: type[T]) -> T:
    """Parse JSON text or bytes as `read_document` does."""
    try:
        value: T = json.loads(data, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None
    check_shape(value, shape)
    return value


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON number")


def check_shape(value: Any, shape: Any, where: str = "the document") -> None:
    """Check a JSON value against a type.

    Parameters
    ----------
    value : object
    shape : type
        ``str``, ``int``, ``float`` (also whole numbers), ``bool``, ``None``, ``Any``, a
        ``Literal``, a union, ``list[...]``, ``dict[str, ...]`` or a ``TypedDict``, whose further
        keys are passed over.
    where : str
        Named in the message.

    Raises
    ------
    ValueError
        The first place that is of another type, or lacks a key.
    """
    if shape is Any:
        return
    origin = get_origin(shape)
    if is_typeddict(shape):
        _check_keys(value, shape, where)
    elif origin is list:
        _require(isinstance(value, list), "a list", value, where)
        for number, item in enumerate(value):
            check_shape(item, get_args(shape)[0], f"{where}[{number}]")
    elif origin is dict:
        _require(isinstance(value, dict), "a table", value, where)
        for key, item in value.items():
            check_shape(item, get_args(shape)[1], f"{where}[{key[:80]!r}]")
    elif origin in (types.UnionType, Union):
        _check_union(value, get_args(shape), where)
    elif origin is Literal:
        expected = " or ".join(map(repr, get_args(shape)))
        known = any(type(value) is type(item) and value == item for item in get_args(shape))
        _require(known, expected, value, where)
    else:
        kinds: tuple[Any, ...] = (float, int) if shape is float else (shape or type(None),)
        _require(type(value) in kinds, _NAMES[kinds[0]], value, where)


def _check_keys(value: Any, shape: Any, where: str) -> None:
    _require(isinstance(value, dict), "a table", value, where)
    for key, kind in _list_keys(shape).items():
        if key in value:
            check_shape(value[key], kind, f"{where}[{key!r}]")
        elif key in shape.__required_keys__:
            raise ValueError(f"{where} lacks {key!r}")


@functools.cache
def _list_keys(shape: Any) -> dict[str, Any]:
    return get_type_hints(shape)


def _check_union(value: Any, shapes: tuple[Any, ...], where: str) -> None:
    for shape in shapes:
        try:
            return check_shape(value, shape, where)
        except ValueError as error:
            last = error
    raise last


def _require(condition: object, expected: str, value: object, where: str) -> None:
    if not condition:
        raise ValueError(f"{where}: expected {expected}, found {repr(value)[:80]}")
