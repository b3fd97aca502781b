"""Whether kernels are compiled is read from what Numba keeps beside their source."""

import os
import sys

import pytest

from upscale_audit.ingest.compiled import is_compiled


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Give the source of a module named `kernels_of_a_test`, and where Numba would keep things."""
    source = tmp_path / "kernels_of_a_test.py"
    source.write_text("x = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    (tmp_path / "__pycache__").mkdir()
    return source, tmp_path / "__pycache__"


def test_what_was_kept_since_the_source_changed_is_compiled(module):
    source, folder = module
    assert not is_compiled("kernels_of_a_test")
    kept = folder / "kernels_of_a_test.f-1.py311.nbi"
    kept.write_bytes(b"")
    assert is_compiled("kernels_of_a_test")
    os.utime(source, (kept.stat().st_mtime + 9,) * 2)
    assert not is_compiled("kernels_of_a_test")


def test_what_is_kept_elsewhere_is_not_known_and_said_of(module, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/elsewhere")
    assert is_compiled("kernels_of_a_test")
