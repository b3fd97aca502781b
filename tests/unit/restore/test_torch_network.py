"""SwinIR, run for real on small random weights, loaded as a user would load published ones."""

import warnings

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.restorers import RestoreParameters, SpandrelWeights
from upscale_audit.restore.restorers import prepare_restorer
from upscale_audit.restore.tiles import restore_tiles


@pytest.fixture(scope="module")
def libraries():
    """PyTorch and spandrel, as the product imports them."""
    pytest.importorskip("torch", reason="needs the extra restore-torch")
    from upscale_audit.restore import torch_network

    try:
        return torch_network.import_spandrel()
    except StudyError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def make_swinir(libraries, tmp_path_factory):
    """Give a maker of SwinIR files: (path, the network itself), with random weights."""
    torch, _ = libraries
    from spandrel.architectures.SwinIR import SwinIR

    def make(channels=3, scale=2, suffix=".pth"):
        torch.manual_seed(channels)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the architecture was written for older PyTorch
            network = SwinIR(
                img_size=16,
                in_chans=channels,
                embed_dim=12,
                depths=[2, 2],
                num_heads=[2, 2],
                window_size=8,
                mlp_ratio=2.0,
                upscale=scale,
                img_range=1.0,
                upsampler="pixelshuffledirect",
                resi_connection="1conv",
            )
        path = tmp_path_factory.mktemp("swinir") / f"swinir{suffix}"
        if suffix == ".safetensors":
            from safetensors.torch import save_file

            save_file({key: it.contiguous() for key, it in network.state_dict().items()}, path)
        else:
            torch.save({"params": network.state_dict()}, path)
        return path, network.eval()

    return make


@pytest.fixture(scope="module")
def planes():
    return np.random.default_rng(10).random((3, 29, 34), np.float32)


def run(libraries, network, planes):
    torch, _ = libraries
    with torch.inference_mode():
        return network(torch.from_numpy(np.ascontiguousarray(planes))[None]).numpy()[0]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_swinir_is_recognised_and_gives_what_its_architecture_gives(
    libraries, make_swinir, planes, suffix
):
    from upscale_audit.restore.torch_network import SpandrelNetwork

    path, network = make_swinir(suffix=suffix)
    loaded = SpandrelNetwork(path)
    assert (loaded.architecture, loaded.scale) == ("SwinIR", 2)
    found = loaded.forward(planes)
    assert (found.shape, found.dtype) == ((3, 58, 68), np.float32)
    assert np.allclose(found, run(libraries, network, planes), rtol=0, atol=1e-6)
    assert found.min() < 0  # as it is, not clamped


def test_a_network_of_one_channel_sees_each_plane_by_itself(libraries, make_swinir, planes):
    from upscale_audit.restore.torch_network import SpandrelNetwork

    path, network = make_swinir(channels=1)
    found = SpandrelNetwork(path).forward(planes)
    wanted = np.concatenate([run(libraries, network, plane[None]) for plane in planes])
    assert np.allclose(found, wanted, rtol=0, atol=1e-6)


def test_a_grey_image_is_seen_once_by_a_network_of_one_channel(make_swinir, planes):
    from upscale_audit.restore.torch_network import SpandrelNetwork

    loaded = SpandrelNetwork(make_swinir(channels=1)[0])
    seen = []
    loaded._model.model.register_forward_pre_hook(lambda module, given: seen.append(given[0].shape))
    once = loaded.forward(planes[:1])
    found = loaded.forward(np.repeat(planes[:1], 3, axis=0))
    loaded.forward(planes)
    assert [shape[0] for shape in seen] == [1, 1, 3]
    assert (found == once).all()
    assert found.shape == (3, *once.shape[1:])


def test_tta_of_swinir_is_the_mean_over_eight_variants_done_by_hand(libraries, make_swinir, planes):
    from upscale_audit.restore.torch_network import SpandrelNetwork

    path, network = make_swinir()
    square = planes[:, :24, :24]
    padded = np.pad(square, ((0, 0), (4, 4), (4, 4)), mode="reflect")
    results = []
    for image in (padded, padded.transpose(0, 2, 1)):
        for rows, cols in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
            made = run(libraries, network, image[:, ::rows, ::cols])[:, ::rows, ::cols]
            results.append(made if image is padded else made.transpose(0, 2, 1))
    wanted = np.mean(results, axis=0)[:, 8:-8, 8:-8]
    loaded = SpandrelNetwork(path)
    found = restore_tiles(loaded, square, tile_px=24, prepad_px=4, tta=True)
    assert np.allclose(found, wanted, rtol=0, atol=1e-5)
    plain = restore_tiles(loaded, square, tile_px=24, prepad_px=4, tta=False)
    assert np.abs(found - plain).max() > 0.01


def test_a_declared_swinir_restores_to_the_references_size(make_swinir):
    path, _ = make_swinir(scale=4)
    declared = SpandrelWeights("spandrel", path, tile_px=16, prepad_px=8)
    restorer = prepare_restorer(declared, RestoreParameters(lr_rule="antialiased"))
    restorer.check()
    reference = np.random.default_rng(11).integers(0, 256, (40, 48), np.uint8)
    restored = restorer.restore(reference, tta=False)
    assert (restored.shape, restored.dtype) == (reference.shape, np.uint8)
    assert restorer.describe("notta")["packages"]["torch"].startswith("2.")


def test_a_network_below_the_scale_is_an_error(make_swinir):
    path, _ = make_swinir()
    declared = SpandrelWeights("spandrel", path)
    with pytest.raises(StudyError, match=r"enlarges by 2; expected at least \[restore\] scale = 4"):
        prepare_restorer(declared, RestoreParameters(scale=4)).check()


def test_a_file_of_no_known_network_is_an_error(libraries, tmp_path):
    torch, _ = libraries
    from upscale_audit.restore.torch_network import SpandrelNetwork

    (tmp_path / "text.pth").write_text("hello")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    for name in ("text.pth", "other.pth", "missing.pth"):
        with pytest.raises(StudyError, match=r"holds no network that spandrel knows: \w+"):
            SpandrelNetwork(tmp_path / name)


def test_a_pickle_that_would_run_code_is_refused(libraries, tmp_path):
    torch, _ = libraries
    from upscale_audit.restore.torch_network import SpandrelNetwork

    class Writes:
        def __reduce__(self):
            return (open, (str(tmp_path / "written"), "w"))

    torch.save({"params": Writes()}, tmp_path / "evil.pth")
    with pytest.raises(StudyError, match="holds no network that spandrel knows"):
        SpandrelNetwork(tmp_path / "evil.pth")
    assert not (tmp_path / "written").exists()


def test_a_device_that_is_not_there_is_an_error(make_swinir):
    from upscale_audit.restore.torch_network import SpandrelNetwork

    path, _ = make_swinir()
    with pytest.raises(StudyError, match=r"device = 'cuda:99' is not available: .* device = 'cpu'"):
        SpandrelNetwork(path, "cuda:99")


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("is_grey", [False, True])
def test_a_batch_gives_what_each_gives_alone(make_swinir, planes, channels, is_grey):
    from upscale_audit.restore.torch_network import SpandrelNetwork

    network = SpandrelNetwork(make_swinir(channels=channels)[0])
    batch = np.stack([planes, planes[:, ::-1], planes[..., ::-1] / 2])
    batch = np.repeat(batch[:, :1], 3, axis=1) if is_grey else batch
    wanted = np.stack([network.forward(one) for one in batch])
    network.batch_size = 2
    found = network.forward_batch(batch)
    assert (found.shape, found.dtype) == ((3, 3, 58, 68), np.float32)
    assert np.allclose(found, wanted, rtol=0, atol=1e-6)
