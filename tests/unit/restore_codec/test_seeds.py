"""Several seeds and steps doubled: what is flat, what is kept, who is learned from."""

import csv

import numpy as np
import pytest
from PIL import Image

REASON = "pip install 'upscale-audit[codec]'"
pytest.importorskip("torch", reason=REASON)
pytest.importorskip("zfpy", reason=REASON)

from upscale_audit.ingest.errors import StudyError  # noqa: E402
from upscale_audit.restore.codec import seeds  # noqa: E402
from upscale_audit.restore.codec.coding import decode_stream  # noqa: E402
from upscale_audit.restore.codec.models import load_codec  # noqa: E402
from upscale_audit.restore.codec.training import TrainingParameters  # noqa: E402

TINY = seeds.SeedPlan(
    (("ae", "mse"),), (0, 1), (2, 4), TrainingParameters(batch_size=2, crop_px=32)
)


@pytest.fixture(scope="module")
def folders(tmp_path_factory, grey):
    root = tmp_path_factory.mktemp("seeds")
    images = {"train": ("a", "b", "c"), "test": ("d", "e")}
    for part, names in images.items():
        (root / part).mkdir()
        for name in names:
            Image.fromarray(np.roll(grey, ord(name), axis=1)).save(root / part / f"{name}.png")
    return root


@pytest.fixture(scope="module")
def report(folders):
    return seeds.make_seed_study(
        folders / "train", folders / "test", folders / "out", TINY, (4.0,), None
    )


def test_every_run_is_there_and_only_the_longest_are_coded(folders, report):
    assert len(list((folders / "out" / "weights").glob("*.npz"))) == 4
    with open(folders / "out" / "codes.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = {(row["model_id"], row["image_id"]) for row in rows}
    models = ("ae_mse_s0_r4", "ae_mse_s0_net", "ae_mse_s1_net", "zfp_r4")
    assert names == {(model, image) for model in models for image in "de"}
    assert report.codings.coded == 8
    codec = load_codec(folders / "out" / "weights" / "ae_mse_s1_t4.npz")
    for row in rows:
        stream = folders / "out" / "streams" / row["model_id"] / f"{row['image_id']}.uac"
        assert int(row["file_bytes"]) == stream.stat().st_size
    net = folders / "out" / "restored" / "ae_mse_s1_net" / "d.png"
    data = (folders / "out" / "streams" / "ae_mse_s1_net" / "d.uac").read_bytes()
    assert np.array_equal(np.asarray(Image.open(net)), decode_stream(data, codec))


def test_a_second_run_keeps_all_of_it(folders, report):
    stamps = {path: path.read_bytes() for path in (folders / "out").rglob("*.csv")}
    again = seeds.make_seed_study(
        folders / "train", folders / "test", folders / "out", TINY, (4.0,), None
    )
    assert (again.codings.coded, again.codings.kept) == (0, 8)
    assert again.flatness == report.flatness
    assert stamps == {path: path.read_bytes() for path in (folders / "out").rglob("*.csv")}


def test_an_image_on_both_sides_is_an_error(folders, tmp_path):
    with pytest.raises(StudyError, match="learned from"):
        seeds.make_seed_study(
            folders / "train", folders / "train", tmp_path / "out", TINY, (4.0,), None
        )


def make_run(steps, seed, loss):
    ends = [{"step": step, "held_out_loss": worse * loss} for step, worse in ((1, 9), (steps, 1))]
    return [{"codec": "ae_mse", "seed": seed, "steps": steps} | end for end in ends]


@pytest.mark.parametrize(("last", "is_flat"), [(0.985, True), (0.975, False)])
def test_training_is_flat_where_doubling_gains_under_two_per_cent(last, is_flat):
    rows = make_run(10, 0, 1.0) + make_run(10, 1, 2.0)
    rows += make_run(20, 0, last) + make_run(20, 1, 2 * last)
    (found,) = seeds.judge_flatness(rows)
    assert found["gain_pct"] == pytest.approx(100 * (1 - last))
    assert (found["steps"], found["doubled_steps"], found["seed_count"]) == (10, 20, 2)
    assert found["is_flat"] is is_flat


def test_steps_that_do_not_double_and_a_seed_given_twice_are_errors():
    with pytest.raises(StudyError, match="twice as many"):
        seeds.SeedPlan((("ae", "mse"),), (0,), (10, 30), TrainingParameters())
    with pytest.raises(StudyError, match="each once"):
        seeds.SeedPlan((("ae", "mse"),), (0, 0), (10,), TrainingParameters())
