"""ncnn networks give the images that ship with the project, whole and tiled."""

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.restore.resampling import to_grey
from upscale_audit.restore.tiles import restore_tiles, to_bytes

UPSCAYL = {"tile_px": 200, "prepad_px": 10}


def to_image(restored):
    return to_grey(np.ascontiguousarray(to_bytes(restored).transpose(1, 2, 0)), "rec601")


def compare(found, wanted):
    """Largest difference in grey levels, and the share of pixels that differ."""
    difference = np.abs(found.astype(int) - wanted)
    return difference.max(), (difference > 0).mean()


@pytest.mark.parametrize("name", ["realesr_animevideov3", "span_x2_ch48"])
def test_whole_tiled_images_are_the_shipped_ones(
    load_known, sample_planes, sample_study_file, read_image, name
):
    network = load_known(name)
    found = to_image(restore_tiles(network, sample_planes("rg1_r0c0"), tta=False, **UPSCAYL))
    folder = sample_study_file.parent / "restored" / name
    largest, share = compare(found, read_image(folder, "notta", "rg1_r0c0.png"))
    assert largest <= 1
    assert share < 1e-4


def average_by_hand(network, planes):
    """Mean over four turns of the planes and of their mirror image, in float64."""
    results = []
    for turns in range(4):
        made = network.forward(np.rot90(planes, turns, (1, 2)))
        results.append(np.rot90(made, -turns, (1, 2)))
        made = network.forward(np.rot90(planes[..., ::-1], turns, (1, 2)))
        results.append(np.rot90(made, -turns, (1, 2))[..., ::-1])
    return np.mean(results, axis=0, dtype=np.float64), results[0]


@pytest.mark.parametrize("name", ["realesr_animevideov3", "span_x2_ch48"])
def test_tta_is_the_mean_over_eight_variants_done_by_hand(load_known, sample_planes, name):
    network = load_known(name)
    planes = sample_planes("rg1_r1c1")[:, 100:148, 100:140]
    padded = np.pad(planes, ((0, 0), (10, 10), (10, 10)), mode="reflect")
    by_hand, plain = (made[:, 20:-20, 20:-20] for made in average_by_hand(network, padded))
    found = restore_tiles(network, planes, tta=True, **UPSCAYL)
    assert np.abs(found - by_hand).max() < 1e-6
    assert np.abs(plain - by_hand).max() > 1e-3


@pytest.mark.parametrize("name", ["realesr_animevideov3", "span_x2_ch48"])
def test_the_last_tile_under_tta_is_the_shipped_one(
    load_known, sample_planes, sample_study_file, read_image, name
):
    planes = np.pad(sample_planes("rg1_r2c1"), ((0, 0), (10, 10), (10, 10)), mode="reflect")
    averaged, _ = average_by_hand(load_known(name), planes[:, 200:, 200:])
    whole = read_image(sample_study_file.parent, "restored", name, "tta", "rg1_r2c1.png")
    largest, share = compare(to_image(averaged[:, 20:-20, 20:-20]), whole[400:, 400:])
    assert largest <= 1
    assert share < 1e-3


def test_the_planes_outlive_the_call_that_made_them(load_known):
    network = load_known("realesr_animevideov3")
    planes = np.random.default_rng(9).random((3, 48, 80), np.float32)
    wanted = network.forward(np.ascontiguousarray(planes[..., ::2]))
    for _ in range(5):
        assert np.array_equal(network.forward(planes[..., ::2]), wanted)  # a view, copied within


def test_a_network_is_not_clamped_and_states_its_shape(load_known):
    network = load_known("realesr_animevideov3")
    edge = np.zeros((3, 32, 40), np.float32)
    edge[:, :, 20:] = 1
    found = network.forward(edge)
    assert (found.shape, found.dtype) == ((3, 64, 80), np.float32)
    assert found.max() > 1
    assert found.min() < 0


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_files_that_are_no_network_are_an_error(load_known, tmp_path, damage):
    load_known("realesr_animevideov3")
    from upscale_audit.restore.ncnn_network import NcnnNetwork

    param, weights = tmp_path / "a.param", tmp_path / "a.bin"
    text = "7767517\n2 2\nInput in 0 1 data\nConvolution c 1 1 data out 0=3 1=3 4=1 5=1 6=81\n"
    param.write_text({"truncated": text, "text": "hello\n", "empty": ""}[damage])
    weights.write_bytes(b"\0" * 9)
    with pytest.raises(StudyError, match=r"a\.param and .*a\.bin are no ncnn network"):
        NcnnNetwork(param, weights, 1)


def test_a_network_of_another_scale_or_without_finite_values_is_an_error(load_known, tmp_path):
    load_known("realesr_animevideov3")
    from upscale_audit.restore.ncnn_network import NcnnNetwork

    param, weights = tmp_path / "a.param", tmp_path / "a.bin"
    param.write_text(
        "7767517\n2 2\nInput in 0 1 data\nConvolution c 1 1 data out 0=3 1=3 4=1 5=1 6=81\n"
    )
    values = np.zeros(84, np.float32)
    weights.write_bytes(b"\0\0\0\0" + values.tobytes())
    assert NcnnNetwork(param, weights, 1).forward(np.ones((3, 9, 8), np.float32)).max() == 0
    with pytest.raises(StudyError, match=r"expected planes of \(3, 64, 64\) .* correct scale = 2"):
        NcnnNetwork(param, weights, 2)
    values[80:] = np.nan
    weights.write_bytes(b"\0\0\0\0" + values.tobytes())
    with pytest.raises(StudyError, match="not finite"):
        NcnnNetwork(param, weights, 1)


def test_ncnn_is_silent_about_what_the_error_says(load_known, tmp_path, capfd):
    load_known("realesr_animevideov3")
    from upscale_audit.restore.ncnn_network import NcnnNetwork

    (tmp_path / "a.param").write_text("no\n")
    (tmp_path / "a.bin").write_bytes(b"")
    with pytest.raises(StudyError):
        NcnnNetwork(tmp_path / "a.param", tmp_path / "a.bin", 2)
    assert capfd.readouterr().err == ""


@pytest.mark.shared_data
@pytest.mark.parametrize("name", ["realesr_animevideov3", "span_x2_ch48"])
def test_a_whole_radiograph_is_restored_as_it_was_elsewhere(
    load_known, shared_data, read_image, name
):
    network = load_known(name)
    lr = read_image(shared_data, "nih", "lr", "00000001_000.png")
    planes = np.repeat(lr[None].astype(np.float32) / np.float32(255), 3, axis=0)
    found = to_image(restore_tiles(network, planes, tta=False, **UPSCAYL))
    wanted = read_image(shared_data, "nih", "restored", name, "notta", "00000001_000.png")
    largest, share = compare(found, wanted)
    assert largest <= 1
    assert share < 1e-4


@pytest.mark.parametrize(
    ("layers", "blobs", "weights"),
    [(2_000_000_000, 2, 36), (2, 2_000_000_000, 36), (2, 2, 2_000_000_000), (-1, 2, 36)],
)
def test_a_param_that_claims_more_than_it_holds_is_refused_unread(tmp_path, layers, blobs, weights):
    pytest.importorskip("ncnn", reason="needs the extra restore")
    from upscale_audit.restore.ncnn_network import NcnnNetwork

    param = tmp_path / "a.param"
    param.write_text(
        f"7767517\n{layers} {blobs}\nInput in 0 1 in\n"
        f"Convolution c 1 1 in out 0=2 1=3 4=1 6={weights}\n"
    )
    (tmp_path / "a.bin").write_bytes(bytes(200))
    with pytest.raises(StudyError, match=r"are no ncnn network: the first states .*, found|bytes"):
        NcnnNetwork(param, tmp_path / "a.bin", 1)
    with pytest.raises(StudyError, match="put the file there"):
        NcnnNetwork(tmp_path / "none.param", tmp_path / "a.bin", 1)


@pytest.mark.parametrize("layer", ["ReLU r 1 1 in out", "BinaryOp b 1 1 in out 0=1 1=1 2=0.0"])
def test_a_first_layer_that_works_in_place_changes_no_input(load_known, tmp_path, layer):
    load_known("realesr_animevideov3")
    from upscale_audit.restore.ncnn_network import NcnnNetwork

    (tmp_path / "a.param").write_text(f"7767517\n2 2\nInput in 0 1 in\n{layer}\n")
    (tmp_path / "a.bin").write_bytes(b"")
    network = NcnnNetwork(tmp_path / "a.param", tmp_path / "a.bin", 1)
    planes = np.random.default_rng(3).uniform(-1, 1, (3, 48, 64)).astype(np.float32)
    before = planes.copy()
    found = network.forward(planes)
    assert np.array_equal(planes, before)
    assert np.array_equal(found, np.maximum(before, 0) if "ReLU" in layer else before)
