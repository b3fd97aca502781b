"""What is drawn, in parts, against dense linear algebra; what comes through, of known restorers."""

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.lr import LrImage, LrReference
from upscale_audit.ingest.lr_rules import find_axis, make_lr
from upscale_audit.restore.phantom.design import COMPONENTS, Condition
from upscale_audit.restore.phantom.drawing import (
    Splitter,
    draw_into,
    measure_drawn,
    measure_response,
)
from upscale_audit.restore.phantom.sites import find_sites

RULE = ("antialiased", 2)


@pytest.fixture(scope="module")
def grey():
    """A textured image of 400 px, grey values well inside."""
    generator = np.random.default_rng(3)
    rough = generator.normal(0, 1, (100, 100)).astype(np.float32)
    smooth = np.asarray(Image.fromarray(rough).resize((400, 400), Image.Resampling.BICUBIC))
    values = 110 + 14 * smooth + generator.normal(0, 2, (400, 400))
    return np.clip(np.rint(values), 20, 200).astype(np.uint8)


@pytest.fixture(scope="module")
def sites(grey):
    return find_sites(grey, "image", 10, "seed", 16)


@pytest.fixture(scope="module")
def splitter(grey):
    return Splitter(grey.shape, *RULE)


def draw(grey, sites, splitter, kind, contrast, component="full"):
    conditions = [Condition(kind, contrast, component)] * len(sites)
    drawn, clipped = draw_into(grey, sites, conditions, splitter)
    assert clipped == [0] * len(sites)
    return drawn


def test_the_splitter_is_the_projector_of_the_dense_rule(splitter):
    axis = find_axis(*RULE, 400)
    dense = np.zeros((200, 400))
    for row, start in enumerate(axis.starts):
        dense[row, start : start + axis.taps.shape[1]] = axis.taps[row] / 256
    projector = np.linalg.pinv(dense) @ dense
    values = np.random.default_rng(1).normal(0, 5, (400, 400))
    assert splitter.project(values) == pytest.approx(projector @ values @ projector.T, abs=1e-9)


@pytest.mark.parametrize("kind", ["nodule_8", "wire", "edge", "swap"])
def test_the_parts_of_a_signal_add_up_and_so_do_their_energies(grey, sites, splitter, kind):
    contrast = None if kind == "swap" else 16
    parts = {
        component: draw(grey, sites, splitter, kind, contrast, component).astype(float) - grey
        for component in COMPONENTS
    }
    # Each is rounded by itself.
    assert np.abs(parts["full"] - parts["range"] - parts["null"]).max() <= 1.5
    facts = measure_drawn(grey, draw(grey, sites, splitter, kind, contrast), sites, splitter)
    for site, fact in zip(sites, facts, strict=True):
        signal = np.zeros(grey.shape)
        signal[site.window] = parts["full"][site.window]
        seen = splitter.project(signal)
        unseen = signal - seen
        assert fact["energy_dn2"] == pytest.approx((signal**2).sum())
        assert (seen**2).sum() + (unseen**2).sum() == pytest.approx(fact["energy_dn2"])
        # Other sites' tails reach into this one's window, faintly.
        assert fact["range_dn2"] == pytest.approx((seen**2).sum(), rel=2e-3)


@pytest.mark.parametrize("kind", ["wire", "swap"])
def test_a_null_component_leaves_the_residual_within_what_rounding_does(
    grey, sites, splitter, kind
):
    drawn = draw(grey, sites, splitter, kind, None if kind == "swap" else 16, "null")
    assert (drawn != grey).any()
    lr = LrImage(make_lr(grey, 2, "antialiased"), *RULE)
    change = (lr.judge(drawn).made - lr.judge(grey).made) / 65536
    assert np.abs(change).max() <= 0.705078125  # a half times (304 / 256) squared, for rounding
    # In full the same signal changes it by more.
    full = draw(grey, sites, splitter, kind, None if kind == "swap" else 16)
    assert np.abs(lr.judge(full).made - lr.judge(grey).made).max() / 65536 > 0.705078125


def test_a_range_component_leaves_what_is_invented(grey, sites, splitter):
    lr = LrImage(make_lr(grey, 2, "antialiased"), *RULE)
    reference = LrReference(grey, lr, lr.judge(grey))

    def invent(drawn):
        facts = reference.measure(drawn)
        seen = reference.columns["null_energy"]
        return facts["null_energy"] - facts["null_product"] ** 2 / seen, facts["bent"]

    invented, bent = invent(draw(grey, sites, splitter, "nodule_16", 16, "range"))
    # Rounding alone puts 64 * 3/4 * 1/12 dn2 into a block; bent is what was drawn.
    assert invented.max() < 4 * 64 * 0.75 / 12
    assert bent.max() > 64 * 100
    invented, bent = invent(draw(grey, sites, splitter, "wire", 16, "null"))
    assert invented.max() > 64
    assert bent.max() < 64 * 0.705**2


def measure(grey, drawn, restore, sites):
    facts = measure_response(grey, drawn, restore(grey), restore(drawn), sites)
    energies = measure_drawn(grey, drawn, sites)
    return np.array(
        [f["response_dn2"] / e["energy_dn2"] for f, e in zip(facts, energies, strict=True)]
    ), np.array([f["residue_dn2"] for f in facts])


def test_the_transfer_of_known_restorers(grey, sites, splitter):
    for kind in ("nodule_8", "edge", "wire"):
        drawn = draw(grey, sites, splitter, kind, 16)
        transfer, residue = measure(grey, drawn, lambda image: image, sites)
        assert transfer.tolist() == [1] * len(sites)
        assert residue.tolist() == [0] * len(sites)
        assert not measure(grey, drawn, lambda image: np.zeros_like(image), sites)[0].any()
        facts = measure_drawn(grey, drawn, sites, splitter)
        bound = np.array([fact["range_dn2"] / fact["energy_dn2"] for fact in facts])
        # The pseudo-inverse lets just that through which the LR image holds.
        found, _ = measure(grey, drawn, lambda i: splitter.project(i.astype(float)), sites)
        assert found == pytest.approx(bound, abs=1e-12)
        assert ((bound > 0) & (bound < 1)).all()
    assert bound.max() < 0.95 < 0.998 < measure_bound(grey, sites, splitter, "nodule_32")


def measure_bound(grey, sites, splitter, kind):
    facts = measure_drawn(grey, draw(grey, sites, splitter, kind, 16), sites, splitter)
    return min(fact["range_dn2"] / fact["energy_dn2"] for fact in facts)


@pytest.mark.parametrize("kind", ["wire", "nodule_8"])
def test_what_comes_through_bicubic_does_not_depend_on_the_contrast(grey, sites, splitter, kind):
    def restore(image):
        lr = Image.fromarray(make_lr(image, 2, "antialiased"))
        return np.asarray(lr.resize(image.shape[::-1], Image.Resampling.BICUBIC))

    found = [
        measure(grey, draw(grey, sites, splitter, kind, contrast), restore, sites)[0].mean()
        for contrast in (8, 16, 32)
    ]
    assert np.ptp(found) < 0.02
    assert 0.5 < found[0] < 1


def test_what_is_cut_is_counted(grey, sites):
    bright = np.full_like(grey, 250)
    conditions = [Condition("nodule_16", 16, "full")] * len(sites)
    drawn, clipped = draw_into(bright, sites, conditions)
    assert drawn.max() == 255
    assert min(clipped) > 100
