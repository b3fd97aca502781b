"""PyTorch's files read without running what they name."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from upscale_audit.reading.tensors import read_tensors

torch = pytest.importorskip("torch", reason="readers run in it: the extra readers")

MOST = 1 << 20


class Nested(torch.nn.Module):
    """Modules in modules, a parameter and a buffer of its own, a shared and a sliced tensor."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.features = torch.nn.Sequential(
            OrderedDict(conv0=torch.nn.Conv2d(1, 3, 3), norm0=torch.nn.BatchNorm2d(3))
        )
        self.scale = torch.nn.Parameter(torch.rand(2, 3, generator=generator))
        whole = torch.arange(24, dtype=torch.float64).reshape(4, 6)
        self.register_buffer("part", whole[1:3, ::2])
        self.register_buffer("turned", whole.T)
        self.register_buffer("flags", torch.tensor([True, False]))
        self.register_buffer("halves", torch.tensor([0.5, -2], dtype=torch.bfloat16))
        self.register_buffer("empty", torch.zeros(0, 3))
        self.register_buffer("nothing", None)


def save(item, is_zip):
    buffer = io.BytesIO()
    torch.save(item, buffer, _use_new_zipfile_serialization=is_zip)
    return buffer.getvalue()


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("is_module", [True, False])
def test_a_module_and_its_state_give_the_tensors_that_pytorch_names(is_module, is_zip):
    module = Nested()
    expected = module.state_dict()
    found = read_tensors(save(module if is_module else expected, is_zip), MOST)
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


class Trap:
    """Calls what it is told to as soon as a pickle of it is read."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


class TrappedModule(torch.nn.Module):
    """A module that does so in one of its attributes."""

    def __init__(self, trap):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))
        self.trap = trap


@pytest.mark.parametrize("is_zip", [True, False])
@pytest.mark.parametrize("place", ["attribute", "entry", "root"])
def test_what_a_pickle_names_does_not_run(tmp_path, monkeypatch, place, is_zip):
    monkeypatch.chdir(tmp_path)
    trap = Trap(os.mkdir, "ran")
    held = {"attribute": TrappedModule(trap), "root": trap}
    held["entry"] = {"weight": torch.ones(2), "trap": trap}
    data = save(held[place], is_zip)
    torch.load(io.BytesIO(data), weights_only=False)
    (tmp_path / "ran").rmdir()  # the trap works: PyTorch itself falls into it
    found = read_tensors(data, MOST)
    assert list(found) == ([] if place == "root" else ["weight"])
    assert list(tmp_path.iterdir()) == []


class Raw:
    """A pickle written opcode by opcode, as nobody's pickler would."""

    def __init__(self, body):
        self.body = b"\x80\x02" + body + b"."

    @property
    def zip(self):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("archive/data.pkl", self.body)
            archive.writestr("archive/data/0", np.float32([1, 2]).tobytes())
        return buffer.getvalue()


STORAGE = (
    b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQ"
)
"""A storage of two numbers."""
TENSOR = b"ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE + b"K\x00%s%s\x89NtR"


def make_dictionary(shape, strides):
    return Raw(b"}X\x01\x00\x00\x00w" + TENSOR % (shape, strides) + b"s").zip


def test_a_pickle_by_hand_is_read():
    found = read_tensors(make_dictionary(b"K\x02\x85", b"K\x01\x85"), MOST)
    assert found["w"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("shape", "strides", "message"),
    [
        (b"K\x03\x85", b"K\x01\x85", "larger than its storage"),
        (b"K\x02\x85", b"K\x02\x85", "reaches beyond its storage"),
        (b"J\xff\xff\xff\x7f\x85", b"K\x00\x85", "larger than its storage"),
        (b"J\xff\xff\xff\xff\x85", b"K\x01\x85", "no count"),
        (b"K\x02\x85", b"K\x01K\x01\x86", "not one a side"),
        (b"N", b"K\x01\x85", "no list of numbers"),
    ],
)
def test_a_tensor_that_is_not_in_its_storage_is_refused(shape, strides, message):
    with pytest.raises(ValueError, match=message):
        read_tensors(make_dictionary(shape, strides), MOST)


@pytest.mark.parametrize(
    "body",
    [
        # A function's, or a class's, attributes set by the state of an object.
        b"ctorch._utils\n_rebuild_tensor_v2\n}X\x03\x00\x00\x00abcK\x01sb",
        b"ctorch.nn\nModule\nN}X\x0c\x00\x00\x00dump_patches\x88s\x86b",
        b"ctorch\nFloatStorage\n}X\x09\x00\x00\x00item_typeK\x01sb",
    ],
)
def test_no_name_in_a_file_can_be_changed_by_it(body):
    with pytest.raises(ValueError, match=r"attribute|__dict__|fixed|mappingproxy"):
        read_tensors(Raw(body).zip, MOST)


def test_modules_without_end_are_refused():
    # A module in whose _modules it stands itself, twice.
    body = (
        b"cm\nModule\n)\x81q\x00}X\x08\x00\x00\x00_modules}(X\x01\x00\x00\x00ah\x00"
        b"X\x01\x00\x00\x00bh\x00usb"
    )
    with pytest.raises(ValueError, match="more than 10000 modules"):
        read_tensors(Raw(body).zip, MOST)


def test_damaged_and_other_files_are_refused():
    data = save(Nested(), True)
    with pytest.raises(ValueError, match="unpacks to"):
        read_tensors(data, 10)
    for other in (b"", b"text", data[:200], pickle.dumps([1]), save(Nested(), False)[:-9]):
        with pytest.raises(ValueError, match=r"."):
            read_tensors(other, MOST)
    with pytest.raises(ValueError, match="neither a state dict nor a module"):
        read_tensors(save([1, 2], True), MOST)


def test_a_big_endian_file_is_refused():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({}, 2))
        archive.writestr("a/byteorder", b"big")
    with pytest.raises(ValueError, match="big-endian"):
        read_tensors(buffer.getvalue(), MOST)
