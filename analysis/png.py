"""Pixels as the data URI of a PNG, for charts and pages that need no other file."""

import base64
import io

from PIL import Image


def encode_png(pixels):
    """Encode pixels, shape (M, N) or (M, N, 3), as the data URI of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
