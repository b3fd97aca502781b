"""The fixed-point decoder: the same bits in any order of summation."""

import numpy as np
import pytest

REASON = "pip install 'upscale-audit[codec]'"
torch = pytest.importorskip("torch", reason=REASON)

from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.restore.codec import exact  # noqa: E402
from upscale_audit.restore.codec.networks import CodecDesign, make_decoder  # noqa: E402


def decode_naively(layers, latent, step):
    """Integer arithmetic only, one product at a time in Python's own integers."""
    scaled = np.rint(latent.astype(float) * float(np.float32(step)) * 2**14)
    values = before = np.clip(scaled, -(2**20), 2**20).astype(np.int64)
    for number, layer in enumerate(layers):
        weight, bias = layer.weight.astype(np.int64), layer.bias.astype(np.int64)
        rows, cols = values.shape[1:]
        if layer.is_transposed:
            side = weight.shape[-1]
            by, edge = side // 2, side // 4
            sums = np.zeros((weight.shape[1], by * (rows + 1), by * (cols + 1)), np.int64)
            for i in range(side):
                for j in range(side):
                    part = np.einsum("pq,prc->qrc", weight[:, :, i, j], values)
                    sums[:, i : i + by * rows : by, j : j + by * cols : by] += part
            sums = sums[:, edge:-edge, edge:-edge]
        else:
            padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
            sums = sum(
                np.einsum("oq,qrc->orc", weight[:, :, i, j], padded[:, i : i + rows, j : j + cols])
                for i in range(3)
                for j in range(3)
            )
        sums = sums + (bias * 2**12)[:, None, None]
        if layer.ends_block:
            sums = sums + before * 2**12
        before = values
        is_last = number == len(layers) - 1
        # Four times the sum, so that the rectifier's quarter stays an integer.
        fine = 4 * sums if is_last else np.where(sums < 0, sums, 4 * sums)
        quotient, rest = np.divmod(fine, 2**14)
        is_up = (rest > 2**13) | ((rest == 2**13) & (quotient % 2 == 1))
        values = np.clip(quotient + is_up, -(2**20), 2**20)
    fine = values.reshape(-1, values.shape[-1]) * 4080 + 2040 * 2**14
    quotient, rest = np.divmod(fine, 2**14)
    is_up = (rest > 2**13) | ((rest == 2**13) & (quotient % 2 == 1))
    return np.clip(quotient + is_up, 0, 4080) / 16


@pytest.fixture(scope="module")
def latent():
    return np.random.default_rng(3).integers(-127, 128, (8, 5, 4)).astype(np.int8)


@pytest.mark.parametrize("stride", [8, 16])
@pytest.mark.parametrize("step", [1 / 16, 0.7, 16.0])
def test_decoding_is_integer_arithmetic(make_codec, latent, stride, step):
    layers = make_codec(stride_px=stride, seed=4).layers
    found = exact.run_decoder(layers, latent, step)
    assert found.shape == (5 * stride, 4 * stride)
    assert np.array_equal(found, decode_naively(layers, latent, step))
    assert np.ptp(found) > 0


def test_threads_and_strips_change_no_bit(make_codec, latent, monkeypatch):
    layers = make_codec(seed=4).layers
    tall = np.concatenate([latent, latent[:, ::-1], latent], axis=1)
    expected = exact.run_decoder(layers, tall, 0.5)
    threads = torch.get_num_threads()
    for count, strip in ((1, 1), (2, 4), (3, 7)):
        monkeypatch.setattr(exact, "_STRIP_ROWS", strip)
        torch.set_num_threads(count)
        try:
            assert np.array_equal(exact.run_decoder(layers, tall, 0.5), expected)
        finally:
            torch.set_num_threads(threads)


def test_fixed_point_stays_near_the_trained_decoder(latent):
    torch.manual_seed(6)
    decoder = make_decoder(CodecDesign("ae", "mse"))
    quiet = (latent // 16).astype(np.int8)
    with torch.no_grad():
        floating = decoder(torch.from_numpy(quiet.astype(np.float32))[None])[0, 0].numpy()
    levels = np.clip(255 * (floating + 0.5), 0, 255)
    found = exact.run_decoder(exact.round_decoder(decoder), quiet, 1.0)
    assert np.abs(found - levels).max() < 0.5


def test_weights_that_fixed_point_cannot_hold_are_refused():
    decoder = make_decoder(CodecDesign("ae", "mse"))
    with torch.no_grad():
        decoder[0].weight[0, 0, 0, 0] = 9.0
    with pytest.raises(StudyError, match="training diverged"):
        exact.round_decoder(decoder)
    with torch.no_grad():
        decoder[0].weight[0, 0, 0, 0] = float("nan")
    with pytest.raises(StudyError, match="training diverged"):
        exact.round_decoder(decoder)


def test_sums_that_could_be_rounded_are_refused():
    weight = np.full((1, 2**18, 3, 3), 2**15 - 1, np.int16)
    layer = exact.Layer(False, weight, np.zeros(1, np.int32))
    with pytest.raises(StudyError, match="layer 1"):
        exact.check_exact((layer,))
