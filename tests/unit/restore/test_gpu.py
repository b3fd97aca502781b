"""A study restored on a GPU: PyTorch runs ncnn's weights, threads of one process feed it.

The GPU is played by the CPU: the same code, asked for "cuda".
"""

import json
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.restorers import Blur, NcnnWeights
from upscale_audit.ingest.study import Model
from upscale_audit.restore import run
from upscale_audit.restore.run import restore_study
from upscale_audit.restore.shelf import MANIFEST

IMAGES = {"a": (64, 64), "b": (64, 96), "c": (72, 56), "d": (64, 64)}


@pytest.fixture
def loaded(monkeypatch):
    """Networks for "cuda" run on the CPU, eight tiles at once; gives those that were loaded."""
    pytest.importorskip("torch", reason="needs the extra restore-torch")
    from upscale_audit.restore import ncnn_torch

    real, found = ncnn_torch.NcnnTorchNetwork, []

    def load(param, weights, scale, device):
        assert device == "cuda"
        network = real(param, weights, scale, "cpu")
        network.batch_size = 8
        found.append(network)
        return network

    monkeypatch.setattr(ncnn_torch, "NcnnTorchNetwork", load)
    return found


@pytest.fixture
def make_study(study_folder, tmp_path, load_known):
    """Give a maker of a study of four references, animevideov3 on a device, and one of blur."""
    load_known("realesr_animevideov3")
    for image_id, shape in IMAGES.items():
        study_folder.add_image(image_id, shape=shape)
    study_folder.add_model("elsewhere", paths=("notta",))

    def make(device, name):
        declared = NcnnWeights(
            "ncnn", weights="realesr_animevideov3", tile_px=16, prepad_px=4, device=device
        )
        folder = tmp_path / name
        models = (
            Model("network", folder / "notta", folder / "tta", declared),
            Model("blur", folder / "blur", None, Blur("blur")),
        )
        return replace(study_folder.load(), models=models), folder

    return make


def read(folder, path, image_id):
    with Image.open(folder / path / f"{image_id}.png") as image:
        return np.asarray(image).astype(int)


def test_images_are_those_of_ncnn_within_a_grey_level(make_study, loaded):
    (on_cpu, wanted), (on_gpu, made) = make_study("cpu", "cpu"), make_study("cuda", "cuda")
    assert restore_study(on_cpu, workers=1).made == 12
    assert not loaded
    assert restore_study(on_gpu, workers=1).made == 12
    for path in ("notta", "tta"):
        differences = [
            np.abs(read(made, path, name) - read(wanted, path, name)).ravel() for name in IMAGES
        ]
        assert np.concatenate(differences).max() <= 1
        assert (np.concatenate(differences) > 0).mean() < 1e-3
    for name in IMAGES:
        assert np.array_equal(read(made, "blur", name), read(wanted, "blur", name))


def test_the_manifest_says_which_runtime_made_the_images(make_study, loaded):
    study, folder = make_study("cuda", "cuda")
    restore_study(study, workers=1)
    recipe = json.loads((folder / "tta" / MANIFEST).read_text())["recipe"]
    assert recipe["restorer"]["device"] == "cuda"
    assert "ncnn" not in recipe["packages"]
    assert recipe["packages"]["torch"].startswith("2.")
    again = restore_study(study, workers=1)
    assert (again.made, again.kept) == (0, 12)


def test_threads_of_one_process_feed_one_network(make_study, loaded, monkeypatch):
    real, seen = run.restore_image, []
    monkeypatch.setattr(
        run,
        "restore_image",
        lambda task: seen.append((os.getpid(), threading.get_ident(), task)) or real(task),
    )
    study, _ = make_study("cuda", "cuda")
    study = replace(study, models=study.models[:1])
    restore_study(study, workers=3)
    assert {pid for pid, _, _ in seen} == {os.getpid()}
    assert len(seen) == 8
    assert threading.get_ident() not in {thread for _, thread, _ in seen}
    assert len(loaded) <= 2  # once when it is tried, and again if another was tried since


def test_no_pixel_depends_on_the_number_of_threads(make_study, loaded, read_tree):
    trees = []
    for workers in (1, 4):
        study, folder = make_study("cuda", f"by_{workers}")
        restore_study(replace(study, models=study.models[:1]), workers=workers)
        tree = read_tree(folder)
        trees.append({name: data for name, data in tree.items() if name.endswith(".png")})
    assert trees[0] == trees[1]
    assert len(trees[0]) == 8


def test_a_failure_in_a_thread_ends_the_run_and_keeps_what_is_finished(
    make_study, loaded, monkeypatch
):
    real = run.restore_image

    def fail(task):
        if task.image_id == "c":
            raise StudyError("memory ran out")
        return real(task)

    monkeypatch.setattr(run, "restore_image", fail)
    study, _ = make_study("cuda", "cuda")
    with pytest.raises(StudyError, match="memory ran out"):
        restore_study(study, workers=1)
    assert not [thread for thread in threading.enumerate() if "ThreadPool" in thread.name]
    monkeypatch.setattr(run, "restore_image", real)
    report = restore_study(study, workers=1)
    assert report.made + report.kept == 12
    assert report.kept >= 1
