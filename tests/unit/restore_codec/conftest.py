"""Small codecs and images that the tests share; all of them need the extra `codec`."""

import numpy as np
import pytest

REASON = "pip install 'upscale-audit[codec]'"


@pytest.fixture(scope="session")
def grey():
    """Give a smooth image with noise, 61x83 uint8: its sides are no multiples of a stride."""
    rows, cols = np.mgrid[0:61, 0:83]
    noise = np.random.default_rng(5).normal(0, 3, (61, 83))
    wave = 120 + 60 * np.sin(rows / 9) * np.cos(cols / 13) + noise
    return np.clip(np.rint(wave), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def make_codec():
    """Give a maker of untrained codecs, by design and seed."""
    torch = pytest.importorskip("torch", reason=REASON)
    from upscale_audit.restore.codec.models import make_codec
    from upscale_audit.restore.codec.networks import CodecDesign, Encoder, make_decoder

    def make(kind="ae", loss="mse", seed=0, **sizes):
        design = CodecDesign(kind, loss, **sizes)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make_codec(design, Encoder(design), make_decoder(design), {"seed": seed})

    return make


@pytest.fixture(scope="session")
def sample_folder(repository):
    """Give the folder of the sample's references."""
    return repository / "sample" / "reference"
