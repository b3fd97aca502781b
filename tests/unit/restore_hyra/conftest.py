"""Networks whose impulse response is known."""

import cv2
import duckdb
import numpy as np
import pytest

from upscale_audit.restore.hyra.impulse import ImpulseParameters


class Resize:
    """OpenCV's resize as a network, in float64."""

    dtype = np.float64

    def __init__(self, scale, interpolation):
        self.scale = scale
        self._interpolation = interpolation

    def forward(self, planes):
        size = planes.shape[2] * self.scale, planes.shape[1] * self.scale
        resized = [cv2.resize(p, size, interpolation=self._interpolation) for p in planes]
        return np.stack(resized)


class Kernel:
    """Every LR pixel adds its multiple of one kernel, whose first cell lies `reach` cells before.

    A loop over LR pixels: the definition itself, for kernels of any shape.
    """

    dtype = np.float64

    def __init__(self, scale, kernel, gains=(1.0,)):
        self.scale, self.kernel, self.gains = scale, kernel, gains

    def forward(self, planes):
        scale, side = self.scale, self.kernel.shape[0]
        reach = (side // scale - 1) // 2 * scale
        _, height, width = planes.shape
        whole = np.zeros((height * scale + 2 * reach, width * scale + 2 * reach))
        for row in range(height):
            gain = self.gains[row % len(self.gains)]
            for col in range(width):
                top, left = row * scale, col * scale
                part = gain * planes[0, row, col] * self.kernel
                whole[top : top + side, left : left + side] += part
        inside = whole[reach : reach + height * scale, reach : reach + width * scale]
        return np.repeat(inside[None], 3, axis=0)


class Squared:
    """A linear network L with a known curvature: L + curvature * L squared."""

    dtype = np.float64

    def __init__(self, linear, curvature):
        self.linear, self.scale, self.curvature = linear, linear.scale, curvature

    def forward(self, planes):
        linear = self.linear.forward(planes)
        return linear + self.curvature * linear**2


@pytest.fixture(scope="session")
def networks():
    """Give the classes of networks: Resize, Kernel, Squared."""
    return {"Resize": Resize, "Kernel": Kernel, "Squared": Squared}


@pytest.fixture(scope="session")
def small():
    """Give parameters for small canvases."""
    return ImpulseParameters(radius_px=5, guard_px=3, steps=(1 / 255, 16 / 255))


@pytest.fixture(scope="session")
def grey():
    """Give an LR image: texture of every frequency, 0..1."""
    return np.random.default_rng(7).random((37, 30))


@pytest.fixture(scope="session")
def duckdb_rows():
    """Give a reader of a raw table: count of rows, columns with their types."""

    def read(path, table):
        with duckdb.connect(str(path), read_only=True) as connection:
            (count,) = connection.sql(f"select count(*) from raw.{table}").fetchall()[0]
            return count, connection.sql(f"describe raw.{table}").fetchall()

    return read
