"""The table of limits in docs/proof.md says what the code does."""

import importlib
import re

import pytest

ROW = re.compile(r"\|[^|]+\| ([\d,]+)(?: (MiB|characters))? \| `([\w.]+)\.(\w+)` \|")


def test_every_stated_limit_is_the_code_s(repository):
    rows = ROW.findall((repository / "docs" / "proof.md").read_text(encoding="utf-8"))
    assert len(rows) > 15
    for value, unit, module, name in rows:
        if module.startswith("restore.codec.models"):
            pytest.importorskip("torch", reason="pip install 'upscale-audit[codec]'")
        found = getattr(importlib.import_module(f"upscale_audit.{module}"), name)
        assert found == int(value.replace(",", "")) * (1 << 20 if unit == "MiB" else 1), name
