"""Pixels as the data URI of a PNG, for charts and pages that need no other file."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def encode_png(pixels: npt.NDArray[np.uint8]) -> str:
    """Encode pixels, shape (M, N) or (M, N, 3), as the data URI of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
