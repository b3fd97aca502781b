"""How many inputs go through PyTorch at once: all, half where memory runs out, one at the least."""

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="needs the extra restore-torch")


@pytest.fixture
def device(torch):
    from upscale_audit.restore.torch_device import Device

    made = Device(torch, "cpu")
    made.batch_size = 8
    return made


@pytest.fixture
def batch():
    return np.random.default_rng(1).random((11, 3, 4, 5), np.float32)


def hold(torch, most, seen):
    """A function on a card with room for `most` inputs."""

    def double(given):
        seen.append(len(given))
        if len(given) > most:
            raise torch.OutOfMemoryError("no room\nat all")
        return 2 * given

    return double


def test_the_cpu_takes_one_at_a_time_and_a_gpu_more(torch):
    from upscale_audit.restore.torch_device import GPU_BATCH, Device

    assert Device(torch, "cpu").batch_size == 1
    assert Device(torch, "cuda").batch_size == GPU_BATCH > 1


def test_a_batch_is_cut_into_parts_of_the_size(torch, device, batch):
    seen = []
    assert np.array_equal(device.run(hold(torch, 99, seen), batch, "net"), 2 * batch)
    assert seen == [8, 3]


def test_where_memory_runs_out_half_goes_on_and_stays(torch, device, batch):
    seen = []
    found = device.run(hold(torch, 3, seen), batch, "net")
    assert np.array_equal(found, 2 * batch)
    assert seen == [8, 4, 2, 2, 2, 2, 2, 1]
    assert device.batch_size == 2


def test_no_room_for_one_is_one_line(torch, device, batch):
    with pytest.raises(StudyError, match=r"net failed on 4 x 5 pixels \(no room\)") as caught:
        device.run(hold(torch, 0, []), batch, "net")
    assert "\n" not in str(caught.value)
    assert "smaller tile_px" in str(caught.value)


def test_any_other_failure_is_not_tried_again(torch, device, batch):
    seen = []

    def fail(given):
        seen.append(len(given))
        raise RuntimeError("")

    with pytest.raises(StudyError, match=r"net failed on 4 x 5 pixels \(RuntimeError\)"):
        device.run(fail, batch, "net")
    assert seen == [8]


@pytest.mark.parametrize("shape", [(2, 3, 6, 6), (3, 1, 5, 8)])
def test_the_average_on_the_device_is_that_of_arrays(torch, device, shape):
    from upscale_audit.restore.torch_device import average_over_variants
    from upscale_audit.restore.variants import average_variants

    weights = np.random.default_rng(2).random((16, 16), np.float32)
    batch = np.random.default_rng(3).random(shape, np.float32)

    def uneven_tensor(planes):
        return planes * torch.from_numpy(weights[: planes.shape[-2], : planes.shape[-1]].copy())

    def uneven_array(planes):
        return planes * weights[: planes.shape[-2], : planes.shape[-1]]

    found = device.run(average_over_variants(uneven_tensor), batch, "net")
    wanted = np.stack([average_variants(uneven_array, planes) for planes in batch])
    assert np.array_equal(found, wanted)
    assert np.abs(found - uneven_array(batch)).max() > 0.01
