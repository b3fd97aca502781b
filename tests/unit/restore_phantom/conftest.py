"""A study whose images have room for sites, and whose restorers are known."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from upscale_audit.ingest.restorers import Interpolation, RestoreParameters
from upscale_audit.ingest.study import LrParameters
from upscale_audit.restore.run import restore_study

RULE, SCALE = "antialiased", 2


def draw_scene(seed, shape=(280, 376)):
    """A textured image, its grey values well inside."""
    generator = np.random.default_rng(seed)
    rough = generator.normal(0, 1, (shape[0] // 4, shape[1] // 4)).astype(np.float32)
    smooth = Image.fromarray(rough).resize(shape[::-1], Image.Resampling.BICUBIC)
    values = 110 + 14 * np.asarray(smooth) + generator.normal(0, 2, shape)
    return np.clip(np.rint(values), 20, 200).astype(np.uint8)


@pytest.fixture
def study(study_folder):
    """Two images of 2 x 3 sites, under bicubic, which can be run, and a copy, which cannot."""
    for model_id in ("bicubic", "copied"):
        study_folder.add_model(model_id, paths=("notta",))
    for seed, image_id in enumerate(("a", "b")):
        scene = draw_scene(seed)
        study_folder.put(f"{image_id}.png", scene)
        study_folder.put(f"{image_id}.png", scene, "copied")
    loaded = study_folder.load()
    models = tuple(
        replace(model, restorer=Interpolation("bicubic")) if model.model_id == "bicubic" else model
        for model in loaded.models
    )
    loaded = replace(
        loaded,
        models=models,
        lr=LrParameters(RULE, SCALE),
        restore_parameters=RestoreParameters(lr_rule=RULE, scale=SCALE),
    )
    restore_study(loaded, workers=1)
    return loaded
