"""Networks for the tests of restorers, where the extras are installed."""

import importlib.metadata

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.ingest.restorers import NcnnWeights
from upscale_audit.restore.weights import KNOWN_WEIGHTS, find_weights


@pytest.fixture(scope="session")
def load_known():
    """Give a loader of known ncnn weights that skips where their package is not installed."""

    def load(name):
        pytest.importorskip("ncnn", reason="needs the extra restore")
        from upscale_audit.restore.ncnn_network import NcnnNetwork

        try:
            importlib.metadata.distribution(KNOWN_WEIGHTS[name].package)
        except importlib.metadata.PackageNotFoundError as error:
            pytest.skip(f"needs the package {error.name}: {KNOWN_WEIGHTS[name].install}")
        found = find_weights(NcnnWeights("ncnn", weights=name))
        return NcnnNetwork(*found.files, found.native_scale)

    return load


@pytest.fixture(scope="session")
def read_image():
    """Give a reader of image files: a path to an array."""

    def read(*parts):
        path, *rest = parts
        with Image.open(path.joinpath(*rest)) as image:
            return np.asarray(image)

    return read


@pytest.fixture(scope="session")
def sample_planes(sample_study_file, read_image):
    """Give a sample crop's LR image as the shipped outputs were made of it: (3, 256, 256)."""

    def make(image_id):
        reference = read_image(sample_study_file.parent, "reference", f"{image_id}.png")
        lr = make_lr(reference, 2, "antialiased").astype(np.float32) / np.float32(255)
        return np.repeat(lr[None], 3, axis=0)

    return make
