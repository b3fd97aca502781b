"""Coded images: bytes counted, pixels repeated, ratios reached, damage named."""

import struct
import subprocess
import sys
import zipfile
import zlib
from dataclasses import replace

import numpy as np
import pytest

REASON = "pip install 'upscale-audit[codec]'"
pytest.importorskip("torch", reason=REASON)
pytest.importorskip("zfpy", reason=REASON)

from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.restore.codec import packing, residuals, streams  # noqa: E402
from upscale_audit.restore.codec.coding import ImageCoder, decode_stream, measure_quality  # noqa: E402
from upscale_audit.restore.codec.models import load_codec, save_codec  # noqa: E402


@pytest.fixture(scope="module")
def codec(make_codec):
    return make_codec(seed=7)


@pytest.fixture(scope="module")
def coder(codec, grey):
    return ImageCoder(codec, grey)


@pytest.fixture(scope="module")
def coded(coder):
    return coder.code(1.0, 6.0)


def reseal(data):
    """Give changed bytes a checksum that fits."""
    return data[:-4] + struct.pack("<I", zlib.crc32(data[:-4]))


@pytest.mark.parametrize("tolerance", [0.3, 1.0, 3.7, 20.0])
def test_a_residual_is_never_off_by_more_than_its_tolerance(tolerance):
    residual = np.random.default_rng(1).normal(0, 12, (37, 50)).astype(np.float32)
    data = residuals.encode_residual(residual, tolerance)
    back = residuals.decode_residual(data, residual.shape, tolerance)
    assert np.abs(back - residual).max() <= tolerance
    assert len(data) <= residuals.max_residual_bytes(residual.shape)


def test_every_tolerance_gives_its_own_size_where_zfp_alone_knows_powers_of_two():
    import zfpy

    residual = np.random.default_rng(1).normal(0, 12, (64, 64)).astype(np.float32)
    tolerances = (4.0, 5.0, 6.0, 7.0)
    plain = {len(zfpy.compress_numpy(residual, tolerance=value)) for value in tolerances}
    scaled = [len(residuals.encode_residual(residual, value)) for value in tolerances]
    assert len(plain) == 1
    assert scaled == sorted(set(scaled), reverse=True)


def test_a_residual_of_any_bytes_is_read_no_further_than_its_shape_allows():
    generator = np.random.default_rng(2)
    for size in (0, 1, 30, residuals.max_residual_bytes((9, 9))):
        back = residuals.decode_residual(generator.bytes(size), (9, 9), 1.0)
        assert back.shape == (9, 9)


@pytest.mark.parametrize("data", [b"", b"\x00" * 500, bytes(range(256)) * 3, b"ab" * 999])
def test_packing_gives_the_bytes_back_and_never_grows_them(data):
    method, packed = packing.pack(data)
    assert packing.unpack(method, packed, len(data)) == data
    assert len(packed) <= len(data)


@pytest.mark.parametrize("method", [packing.DEFLATE, packing.LZMA, packing.BZIP2])
def test_packed_bytes_that_are_damaged_cut_or_a_bomb_are_errors(method, monkeypatch):
    data = bytes(range(256)) * 30
    monkeypatch.setattr(packing, "min", lambda choices, key: choices[method], raising=False)
    found, packed = packing.pack(data)
    assert found == method
    assert packing.unpack(method, packed, len(data)) == data
    with pytest.raises(StudyError, match="damaged"):
        packing.unpack(method, packed[:-5], len(data))
    with pytest.raises(StudyError, match="at most 99"):
        packing.unpack(method, packed, 99)
    with pytest.raises(StudyError, match="packing 9"):
        packing.unpack(9, packed, len(data))


def test_the_bytes_counted_are_the_bytes_written_and_the_image_is_what_the_coder_said(
    tmp_path, coded, codec, grey
):
    path = tmp_path / "a.uac"
    path.write_bytes(coded.data)
    assert coded.ratio == grey.size / path.stat().st_size
    stream = coded.stream
    parts = streams.OVERHEAD_BYTES + len(stream.latent) + len(stream.residual)
    assert len(coded.data) == parts
    assert streams.read_stream(coded.data) == stream
    assert np.array_equal(decode_stream(coded.data, codec), coded.pixels)
    assert coded.pixels.shape == grey.shape
    # Rounding to whole grey levels adds at most a half.
    assert measure_quality(coded.pixels, grey)[2] <= 6.5


def test_another_process_decodes_the_same_pixels(tmp_path, codec, coded):
    save_codec(codec, tmp_path / "codec.npz")
    (tmp_path / "a.uac").write_bytes(coded.data)
    code = (
        "import sys, pathlib, torch; torch.set_num_threads(2);"
        "from restore.codec.coding import decode_stream;"
        "from restore.codec.models import load_codec;"
        "folder = pathlib.Path(sys.argv[1]);"
        "data = (folder / 'a.uac').read_bytes();"
        "pixels = decode_stream(data, load_codec(folder / 'codec.npz'));"
        "sys.stdout.buffer.write(pixels.tobytes())"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, check=True)
    assert done.stdout == coded.pixels.tobytes()


def test_a_small_enough_tolerance_is_lossless_and_none_sends_no_residual(coder, grey):
    assert np.array_equal(coder.code(1.0, 0.25).pixels, grey)
    assert coder.code(1.0, None).stream.residual == b""
    assert coder.code(1.0, 4000.0).stream.residual == b""  # nothing left to send


@pytest.mark.parametrize("ratio", [3.0, 6.0, 11.0])
def test_a_ratio_is_reached_to_within_2_percent(coder, ratio):
    coded = coder.reach(ratio)
    assert coded.ratio == pytest.approx(ratio, rel=0.02)
    assert coded.ratio == coded.pixels.size / len(coded.data)


def test_zfp_alone_reaches_more_than_128_for_its_stream_is_packed_again(sample_pairs):
    reference = sample_pairs["bicubic"][0]
    coded = ImageCoder(None, reference).reach(150.0)
    assert coded.ratio == pytest.approx(150.0, rel=0.02)
    assert np.array_equal(decode_stream(coded.data, None), coded.pixels)


@pytest.mark.parametrize(("ratio", "said"), [(5000.0, "at most"), (0.3, "lossless")])
def test_a_ratio_out_of_reach_is_an_error_that_says_what_can_be_had(coder, ratio, said):
    with pytest.raises(StudyError, match=said):
        coder.reach(ratio)


@pytest.mark.parametrize("ratio", [0.0, -3.0, float("nan"), float("inf")])
def test_a_ratio_that_is_none_is_an_error(coder, ratio):
    with pytest.raises(StudyError, match="above 0"):
        coder.reach(ratio)


def test_any_flipped_bit_is_found(coded, codec):
    for place in (*range(streams.OVERHEAD_BYTES), len(coded.data) // 2, len(coded.data) - 1):
        damaged = bytearray(coded.data)
        damaged[place] ^= 4
        with pytest.raises(StudyError):
            decode_stream(bytes(damaged), codec)


@pytest.mark.parametrize("kept", [0, 3, 20, 49, 60, -1])
def test_a_cut_stream_is_found(coded, codec, kept):
    with pytest.raises(StudyError, match=r"damaged|starting"):
        decode_stream(coded.data[:kept], codec)


def test_a_longer_stream_is_found(coded, codec):
    with pytest.raises(StudyError, match="bytes"):
        decode_stream(coded.data + b"\x00", codec)


def test_another_model_is_named(coded, make_codec, codec):
    other = make_codec(seed=8)
    with pytest.raises(StudyError, match=other.sha256[:16].hex()) as error:
        decode_stream(coded.data, other)
    assert codec.sha256[:16].hex() in str(error.value)
    with pytest.raises(StudyError, match="no weights"):
        decode_stream(coded.data, None)


def test_a_resealed_lie_is_still_found(coded, codec):
    stream = coded.stream
    lies = (
        replace(stream, shape=(stream.shape[0] + 16, stream.shape[1])),  # latent too short
        replace(stream, shape=(65_535, 65_535)),
        replace(stream, tolerance_dn=2 * stream.tolerance_dn),  # other pixels
        replace(stream, latent_packing=9),
        replace(stream, step=0.0),
        replace(stream, residual=b"\x00" * 9_999_999, residual_packing=0),
    )
    for lie in lies:
        with pytest.raises(StudyError):
            decode_stream(streams.write_stream(lie), codec)
    newer = bytearray(coded.data)
    newer[4] = 2
    with pytest.raises(StudyError, match="version 1"):
        decode_stream(reseal(bytes(newer)), codec)


def test_quality_is_scikit_images(coded, grey):
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    psnr_db, ssim, largest = measure_quality(coded.pixels, grey)
    assert psnr_db == pytest.approx(peak_signal_noise_ratio(grey, coded.pixels), abs=1e-9)
    _, full = structural_similarity(
        grey, coded.pixels, gaussian_weights=True, use_sample_covariance=False, full=True
    )
    assert ssim == pytest.approx(full[5:-5, 5:-5].mean(), abs=1e-9)
    assert largest == np.abs(coded.pixels.astype(int) - grey).max()
    assert measure_quality(grey, grey) == (None, pytest.approx(1.0), 0)


def test_a_saved_codec_is_the_same_codec_and_the_same_bytes(tmp_path, codec, grey):
    for name in ("a.npz", "b.npz"):
        save_codec(codec, tmp_path / name)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    again = load_codec(tmp_path / "a.npz")
    assert (again.design, again.training, again.sha256) == (
        codec.design,
        codec.training,
        codec.sha256,
    )
    assert (
        ImageCoder(again, grey).code(1.0, 6.0).data == ImageCoder(codec, grey).code(1.0, 6.0).data
    )


def test_weights_that_are_no_codec_are_errors(tmp_path, codec):
    with pytest.raises(StudyError, match="codec train"):
        load_codec(tmp_path / "none.npz")
    path = tmp_path / "a.npz"
    save_codec(codec, path)
    whole = path.read_bytes()
    for data in (b"", b"text", whole[: len(whole) // 2], whole[:-9]):
        path.write_bytes(data)
        with pytest.raises(StudyError, match="no codec"):
            load_codec(path)


def test_archives_that_hold_something_else_are_errors(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header", b"text")
    with pytest.raises(StudyError, match="no codec: it holds what is no array"):
        load_codec(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("header.npy", bytes(9000))
    data = bytearray(path.read_bytes())
    data[45] ^= 0xFF  # within the packed bytes, which begin behind 30 bytes and the name
    path.write_bytes(data)
    with pytest.raises(StudyError, match="no codec: "):
        load_codec(path)
    np.savez(path, header=np.frombuffer(b"[" * 100_000, np.uint8))
    with pytest.raises(StudyError, match="no codec of this version"):
        load_codec(path)


def test_pickled_weights_run_no_code(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, header=np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(StudyError, match="no codec"):
        load_codec(path)


def test_arrays_of_another_design_are_errors(tmp_path, codec, make_codec):
    path = tmp_path / "a.npz"
    save_codec(replace(codec, layers=make_codec(stride_px=8).layers), path)
    with pytest.raises(StudyError, match="not as the design"):
        load_codec(path)


def test_an_array_that_claims_more_than_the_file_holds_is_refused_before_room_is_made(tmp_path):
    """189 bytes once claimed 2e11 floats."""
    import io
    import tracemalloc
    import zipfile

    head = io.BytesIO()
    shape = {"descr": "<f4", "fortran_order": False, "shape": (200_000_000_000,)}
    np.lib.format.write_array_header_1_0(head, shape)
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("header.npy", head.getvalue())
    tracemalloc.start()
    with pytest.raises(StudyError, match=r"claims 800000000000 bytes and has 0"):
        load_codec(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_archives_of_many_arrays_or_a_large_stream_are_refused(tmp_path, monkeypatch):
    from upscale_audit.restore.codec import jobs, models

    path = tmp_path / "a.npz"
    np.savez(path, **{f"n{number}": np.zeros(1) for number in range(9)})
    monkeypatch.setattr(models, "MAX_ARRAYS", 8)
    with pytest.raises(StudyError, match="in 9 arrays, expected at most"):
        load_codec(path)
    monkeypatch.setattr(jobs, "MAX_STREAM_BYTES", 8)
    with pytest.raises(StudyError, match=r"is no coded image: more than 8 bytes; name a \.uac"):
        jobs.decode_file(path, None, tmp_path)
