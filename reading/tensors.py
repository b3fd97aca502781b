"""Tensors out of PyTorch's files, whole pickled modules too, without running what they name.

A pickle names functions and classes, and reading it as PyTorch does calls them: whoever wrote the
file decides what runs. Here a name is never imported. The few that make tensors and ordered
dictionaries stand for functions of this module; every other becomes an inert object that takes
whatever it is given and does nothing. PyTorch itself is not asked to read any of it: its reader of
old files can be led to write one.
"""

from __future__ import annotations

import io
import math
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    import torch


MOST_MODULES = 10_000
"""In one file; a DenseNet-121 has 433."""

_MAGIC_NUMBER, _PROTOCOL_VERSION = 0x1950A86A20F9469CFC6C, 1001
_ITEM_TYPES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}


def read_tensors(data: bytes, most_bytes: int) -> dict[str, torch.Tensor]:
    """Read the tensors of a state dict, or of a pickled module, as ``torch.save`` writes either.

    Parameters
    ----------
    data : bytes
        The file's, of PyTorch's format of 2020 (a zip) or the one before.
    most_bytes : int
        More than a zip may unpack to.

    Returns
    -------
    dict
        Tensors by the names that ``state_dict()`` gives them.

    Raises
    ------
    ValueError
        It is no such file, or holds nothing of the kind.
    """
    import torch

    try:
        archive = _Zip(data, most_bytes) if data.startswith(b"PK") else _Legacy(data)
        found = _list_state(archive.root)
        return {name: _make_tensor(torch, item, archive) for name, item in found.items()}
    except ValueError:
        raise
    except Exception as error:  # damaged pickles surface as many types
        reason = f"{type(error).__name__} {error}".partition("\n")[0].rstrip(": ")
        raise ValueError(reason[:200]) from None


class _Fixed(type):
    """Of a class whose attributes no file can set."""

    def __setattr__(cls, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{name} of a name in a file is fixed")


class _Inert(metaclass=_Fixed):
    """What a name that is not known here stands for: a class, its object and a function in one."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def __call__(self, *_: object, **__: object) -> _Inert:
        return _Inert()

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        """Take an item of a list's kin."""

    def extend(self, items: object) -> None:
        """Take items of a list's kin."""

    def add(self, item: object) -> None:
        """Take an item of a set's kin."""


class _StorageType(NamedTuple):
    """The name of a type of storage."""

    item_type: str


class _Storage(NamedTuple):
    """A storage of an archive, by its key: its bytes are looked up when all is read."""

    item_type: str
    key: str
    length: int


class _Tensor(NamedTuple):
    """A tensor that a file says lies in a storage so."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _RebuildTensor:
    """Stands for torch._utils._rebuild_tensor and _rebuild_tensor_v2."""

    __slots__ = ()

    def __call__(
        self, storage: object, offset: object, shape: object, strides: object, *_: object
    ) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise ValueError("a tensor that lies in no storage")
        counts = [_read_count(offset), *map(_read_count, (*_take(shape), *_take(strides)))]
        rank = len(_take(shape))
        if len(counts) != 1 + 2 * rank:
            raise ValueError("a tensor whose strides are not one a side")
        return _Tensor(storage, counts[0], tuple(counts[1 : 1 + rank]), tuple(counts[1 + rank :]))


class _RebuildParameter:
    """Stands for torch._utils._rebuild_parameter, whose first argument is the tensor."""

    __slots__ = ()

    def __call__(self, tensor: object, *_: object) -> object:
        return tensor


class _MakeSize:
    """Stands for torch.Size."""

    __slots__ = ()

    def __call__(self, sides: object = ()) -> tuple[Any, ...]:
        return _take(sides)


def _take(value: object) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise ValueError("a shape that is no list of numbers")
    return tuple(value)


def _read_count(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**40:
        raise ValueError("a side, stride or offset that is no count")
    return value


class _Unpickler(pickle.Unpickler):
    """Unpickles without importing anything."""

    def __init__(self, file: io.BytesIO, archive: _Zip | _Legacy) -> None:
        super().__init__(file, encoding="utf-8")
        self._archive = archive
        self._known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch", "Size"): _MakeSize(),
            ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
            ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
            ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
        } | {("torch", name): _StorageType(item) for name, item in _ITEM_TYPES.items()}

    def find_class(self, module: str, name: str) -> object:
        """Give what a name stands for here; nothing is looked up anywhere else."""
        return self._known.get((module, name), _Inert)

    def persistent_load(self, pid: object) -> object:
        """Give the storage that an entry names; anything else that lies outside is inert."""
        if isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage":
            return self._archive.find_storage(pid)
        if isinstance(pid, tuple) and len(pid) >= 2 and pid[0] == "module":
            return pid[1]  # with the source of its class, which is not looked at
        raise ValueError("an entry that is neither a tensor's storage nor a module")


def _read_storage(pid: tuple[Any, ...]) -> _Storage:
    _, kind, key, _, count = pid[:5]
    if not isinstance(kind, _StorageType) or not isinstance(key, str):
        raise ValueError("a storage of a type that is not known here")
    return _Storage(kind.item_type, key, _read_count(count))


class _Zip:
    """PyTorch's format of 2020: a zip of one pickle and a record for each storage."""

    def __init__(self, data: bytes, most_bytes: int) -> None:
        self._archive = zipfile.ZipFile(io.BytesIO(data))
        unpacked = sum(item.file_size for item in self._archive.infolist())
        if unpacked > most_bytes:
            raise ValueError(f"it unpacks to {unpacked} bytes")
        names = self._archive.namelist()
        pickles = [name for name in names if name.endswith("/data.pkl") and name.count("/") == 1]
        if len(pickles) != 1:
            raise ValueError("a zip without PyTorch's data.pkl")
        self._prefix = pickles[0].removesuffix("data.pkl")
        order = self._prefix + "byteorder"
        if order in names and self._archive.read(order) != b"little":
            raise ValueError("it was written by a big-endian machine")
        self.root = _Unpickler(io.BytesIO(self._archive.read(pickles[0])), self).load()

    def find_storage(self, pid: tuple[Any, ...]) -> _Storage:
        return _read_storage(pid)

    def read(self, storage: _Storage, item_bytes: int) -> bytes:
        """Bytes of a storage."""
        return self._archive.read(f"{self._prefix}data/{storage.key}")


class _Legacy:
    """The format before: pickles one behind the other, then the storages in a stated order."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)
        magic, version = self._load(), self._load()
        if magic != _MAGIC_NUMBER or version != _PROTOCOL_VERSION:
            raise ValueError("no file that torch.save wrote")
        system = self._load()
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise ValueError("it was not written by a little-endian machine")
        self._storages: dict[str, _Storage] = {}
        self.root = self._load()
        self._keys = self._load()
        self._places: dict[str, memoryview] = {}
        self._data, self._at = memoryview(data), self._file.tell()

    def _load(self) -> Any:
        return _Unpickler(self._file, self).load()

    def find_storage(self, pid: tuple[Any, ...]) -> _Storage:
        if len(pid) > 5 and pid[5] is not None:
            raise ValueError("a storage that is a part of another")
        found = _read_storage(pid)
        if self._storages.setdefault(found.key, found) != found:
            raise ValueError("a storage of two types")
        return found

    def read(self, storage: _Storage, item_bytes: int) -> memoryview:
        """Bytes of a storage."""
        if not self._places:
            self._find_places()
        return self._places[storage.key]

    def _find_places(self) -> None:
        """Find where each storage lies: by the order of keys, behind 8 bytes that count items."""
        import torch

        at = self._at
        for key in self._keys:
            storage = self._storages[key]
            count = int.from_bytes(self._data[at : at + 8], "little")
            if count != storage.length:
                raise ValueError("a storage of another length than the pickle says")
            at += 8
            end = at + count * getattr(torch, storage.item_type).itemsize
            self._places[key] = self._data[at:end]
            at = end


def _make_tensor(torch: ModuleType, item: _Tensor, archive: _Zip | _Legacy) -> torch.Tensor:
    """Cut a tensor out of its storage, of which it lies inside."""
    storage = item.storage
    kind = getattr(torch, storage.item_type)
    data = archive.read(storage, kind.itemsize)
    if len(data) != storage.length * kind.itemsize:
        raise ValueError("a storage of another length than the pickle says")
    if 0 in item.shape:
        return torch.empty(item.shape, dtype=kind)
    if math.prod(item.shape) > storage.length:
        raise ValueError("a tensor that is larger than its storage")
    last = item.offset + sum(
        (side - 1) * stride for side, stride in zip(item.shape, item.strides, strict=True)
    )
    if last >= storage.length:
        raise ValueError("a tensor that reaches beyond its storage")
    # A copy: the bytes are the file's, and not to be written to.
    values = torch.frombuffer(bytearray(data), dtype=kind)
    return values.as_strided(item.shape, item.strides, item.offset).clone()


def _list_state(root: object) -> dict[str, _Tensor]:
    """List the tensors of a state dict or of a module, by their names."""
    if isinstance(root, Mapping):
        return {
            name: item
            for name, item in root.items()
            if isinstance(name, str) and isinstance(item, _Tensor)
        }
    if not isinstance(root, _Inert):
        raise ValueError(f"it holds a {type(root).__name__}, neither a state dict nor a module")
    found, count = {}, 0
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        prefix, module = waiting.pop()
        parts, count = vars(module) if isinstance(module, _Inert) else {}, count + 1
        if count > MOST_MODULES:
            raise ValueError(f"more than {MOST_MODULES} modules")
        for kind in ("_parameters", "_buffers"):
            for name, item in _get_table(parts, kind).items():
                if isinstance(item, _Tensor):
                    found[prefix + name] = item
        inner = _get_table(parts, "_modules").items()
        waiting += [(f"{prefix}{name}.", item) for name, item in inner]
    return found


def _get_table(parts: Mapping[str, Any], kind: str) -> dict[str, Any]:
    table = parts.get(kind, {})
    if not isinstance(table, dict) or not all(isinstance(name, str) for name in table):
        raise ValueError(f"a module whose {kind} are no table of names")
    return table
