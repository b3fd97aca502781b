"""A phantom study to test with: scenes of known patients under bicubic and a perfect copy."""

import numpy as np
from PIL import Image

from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import load_study
from upscale_audit.restore.phantom.design import PhantomParameters
from upscale_audit.restore.phantom.study import make_phantoms
from upscale_audit.restore.run import restore_study
from upscale_audit.warehouse.build import build_warehouse

# Six conditions in six copies: every site has each once, and contrast 0 among them.
PARAMETERS = PhantomParameters(
    kinds=("nodule_16", "wire"), contrasts_dn=(0, 16), site_count=9, version_count=6
)
STUDY = """
[study]
name = "known"
references = "reference"
output = "out"
[lr]
rule = "antialiased"
scale = 2
[detectors.twice]
expression = "2 * mse_dn2"
[detectors.nowhere]
expression = "1 / (d_mu - d_mu)"
[detectors.mixed]
expression = '''
case when lr_rms_dn > 0.25 then lr_rms_dn * sqrt(mse_dn2) else -abs(d_mu) end'''
[[models]]
model_id = "bicubic"
notta = "restored/bicubic"
restorer = { kind = "bicubic" }
[[models]]
model_id = "copied"
notta = "reference_copied"
"""


def draw_scene(seed, side=384):
    generator = np.random.default_rng(seed)
    rough = generator.normal(0, 1, (side // 4, side // 4)).astype(np.float32)
    smooth = Image.fromarray(rough).resize((side, side), Image.Resampling.BICUBIC)
    values = 110 + 12 * np.asarray(smooth) + generator.normal(0, 2, (side, side))
    return np.clip(np.rint(values), 20, 200).astype(np.uint8)


def make_copies(root):
    """Make phantoms of six patients of two images each, and build them."""
    for folder in ("reference", "reference_copied"):
        (root / folder).mkdir()
        for number in range(12):
            name = f"{1 + number // 2:08d}_{number % 2:03d}.png"
            Image.fromarray(draw_scene(number)).save(root / folder / name)
    (root / "study.toml").write_text(STUDY)
    study = load_study(root / "study.toml")
    restore_study(study, workers=1)
    report = make_phantoms(study, root / "phantoms", PARAMETERS, workers=1)
    copies = load_study(report.study_file)
    ingest_study(copies, workers=1)
    build_warehouse(copies, threads=2)
