import itertools
import math

import numpy as np
import pytest

from upscale_audit.ingest.errors import StudyError

torch = pytest.importorskip("torch", reason="pip install 'upscale-audit[readers]'")

from upscale_audit.reading.chestxray8_network import NetworkDesign  # noqa: E402
from upscale_audit.reading.training import (  # noqa: E402
    LabelledImages,
    TrainingParameters,
    compute_logits,
    draw_batches,
    measure_loss,
    move_images,
    share_rate,
    train_network,
)

SIDE = 96
DESIGN = NetworkDesign(18, "lse", 10.0, 1, 8)
PARAMETERS = TrainingParameters(
    epochs=8, patience=0, batch_size=8, learning_rate=5e-3, shift_ratio=0.3
)


def draw_images(seed, count):
    """Draw noise, in half of it a bright blob; give where it lies."""
    generator = np.random.default_rng(seed)
    images = generator.normal(100, 10, (count, SIDE, SIDE))
    labels = np.arange(count) % 2 == 0
    centres = generator.integers(8, SIDE - 8, (count, 2))
    rows, cols = np.mgrid[:SIDE, :SIDE]
    for number in np.flatnonzero(labels):
        row, col = centres[number]
        images[number] += 90 * np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / 32)
    grey = np.rint(images).clip(0, 255).astype(np.uint8)
    return LabelledImages(grey, labels[:, None]), centres


@pytest.fixture(scope="module")
def trained():
    train, _ = draw_images(0, 96)
    validation, _ = draw_images(1, 16)
    return train_network(DESIGN, train, validation, PARAMETERS)


def test_the_network_learns_a_blob(trained):
    network, _ = trained
    test, _ = draw_images(2, 48)
    logits = compute_logits(network, test.images)[:, 0]
    labels = test.labels[:, 0]
    assert logits[labels].min() > logits[~labels].max()


def test_its_map_peaks_in_the_blob(trained):
    network, _ = trained
    test, centres = draw_images(2, 48)
    with torch.no_grad():
        maps = network.activate(network.find_maps(torch.from_numpy(test.images).float()))[:, 0]
    hits = 0
    for number in np.flatnonzero(test.labels[:, 0]):
        row, col = np.unravel_index(int(maps[number].argmax()), maps.shape[1:])
        # A position of the map is 32 px of the image; the blob is some 8 px wide.
        away = abs(centres[number] - (32 * np.array([row, col]) + 16))
        hits += bool((away <= 16 + 8).all())
    assert hits >= 14  # of 24; a map that peaks anywhere would hit some 7, of 14 once in 500


def test_the_kept_epoch_is_that_of_the_least_validation_loss(trained):
    network, curve = trained
    validation, _ = draw_images(1, 16)
    losses = [row["validation_loss"] for row in curve]
    assert [row["is_kept"] for row in curve] == [loss == min(losses) for loss in losses]
    found = measure_loss(compute_logits(network, validation.images), validation.labels)
    assert found == pytest.approx(min(losses), rel=1e-6)
    assert [row["epoch"] for row in curve] == list(range(1, 9))


def test_the_same_seed_gives_the_same_bits_and_another_others():
    train, _ = draw_images(0, 8)
    first, again, other = (
        train_network(DESIGN, train, None, TrainingParameters(epochs=1, batch_size=4, seed=seed))
        for seed in (5, 5, 6)
    )
    states = [network.state_dict() for network, _ in (first, again, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["prediction.weight"], states[2]["prediction.weight"])
    assert first[1] == again[1]


def test_training_leaves_torch_as_it_was():
    train, _ = draw_images(0, 4)
    before = torch.get_num_threads(), torch.random.get_rng_state()
    train_network(DESIGN, train, None, TrainingParameters(epochs=1, batch_size=2))
    assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.random.get_rng_state(), before[1])


def test_without_a_validation_the_last_epoch_is_kept():
    train, _ = draw_images(0, 4)
    _, curve = train_network(DESIGN, train, None, TrainingParameters(epochs=2, batch_size=2))
    assert [row["is_kept"] for row in curve] == [False, True]
    assert [row["validation_loss"] for row in curve] == [None, None]


def test_patience_ends_a_training_that_does_not_get_better():
    # Labels of the validation are the opposite: what is learnt makes it worse.
    train, _ = draw_images(0, 16)
    validation = LabelledImages(train.images, ~train.labels)
    parameters = TrainingParameters(epochs=40, patience=2, batch_size=8, learning_rate=3e-3)
    _, curve = train_network(DESIGN, train, validation, parameters)
    kept = next(row["epoch"] for row in curve if row["is_kept"])
    assert len(curve) == kept + 2 < 40


def test_every_image_is_in_an_epoch_once_and_no_batch_has_one():
    parameters = TrainingParameters(batch_size=4)
    for epoch in (1, 2):
        rows = np.concatenate(draw_batches(11, parameters, epoch))
        assert sorted(rows) == list(range(11))
    assert [len(batch) for batch in draw_batches(9, parameters, 1)] == [4, 4]
    first, second = (np.concatenate(draw_batches(11, parameters, epoch)) for epoch in (1, 2))
    assert not np.array_equal(first, second)


def test_images_are_moved_by_at_most_the_stated_share_and_their_edge_goes_on():
    image = np.arange(40 * 40, dtype=np.uint16).reshape(1, 40, 40).astype(np.uint8)
    parameters = TrainingParameters(shift_ratio=0.1)
    generator, seen = np.random.default_rng(0), set()
    for _ in range(200):
        moved = move_images(image, parameters, generator)[0]
        (match,) = (
            (row, col)
            for row, col in itertools.product(range(-4, 5), repeat=2)
            if np.array_equal(
                moved, np.pad(image[0], 4, mode="edge")[4 + row : 44 + row, 4 + col : 44 + col]
            )
        )
        seen.add(match)
    assert {row for row, _ in seen} == {col for _, col in seen} == set(range(-4, 5))


def test_images_are_mirrored_only_where_it_is_asked_for():
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    for is_flipped, expected in ((False, {False}), (True, {False, True})):
        parameters = TrainingParameters(shift_ratio=0, is_flipped=is_flipped)
        generator = np.random.default_rng(0)
        found = {
            bool(np.array_equal(move_images(image, parameters, generator), image[:, :, ::-1]))
            for _ in range(30)
        }
        assert found == expected


def test_the_rate_rises_over_the_first_epoch_and_falls_to_nothing():
    rates = [share_rate(step, 5, 50) for step in range(51)]
    assert rates[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert rates[-1] == pytest.approx(0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"epochs": 0}, "epochs = 0; expected 1.."),
        ({"batch_size": 1}, "batch_size = 1; expected 2.."),
        ({"learning_rate": math.nan}, "learning_rate = nan; expected a number above 0, below 1"),
        ({"precision": "fp8"}, "precision = 'fp8'; expected float32, tf32, bf16"),
        ({"seed": -1}, "seed = -1; expected 0 or more, below 2^63"),
    ],
)
def test_parameters_that_are_none_are_refused(change, expected):
    with pytest.raises(StudyError) as error:
        TrainingParameters(**change)
    assert str(error.value) == expected


def test_one_image_cannot_be_trained_on():
    train, _ = draw_images(0, 1)
    with pytest.raises(StudyError, match="expected two images or more"):
        train_network(DESIGN, train, None, PARAMETERS)


def test_a_device_that_is_not_there_is_named():
    device = "cuda:99" if torch.cuda.is_available() else "cuda"
    train, _ = draw_images(0, 4)
    with pytest.raises(StudyError, match=f"device '{device}' is not available: .*; use cpu"):
        train_network(DESIGN, train, None, PARAMETERS, device)
