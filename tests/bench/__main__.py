"""Measure speed and size side by side with the alternatives; print a table.

``python -m tests.bench`` measures a small study. ``python -m tests.bench scale --rows 1 8 82``
measures the build at so many million block rows and writes docs/scale.md and docs/scale.png.
``python -m tests.bench ingest`` stops after ingest.

Every figure is a median over runs; two things compared are run in turn, and their ratio is the
median of the runs' ratios.
"""

import argparse
import hashlib
import io
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from tests.bench import ingest_contenders as contenders
from tests.bench import published_blocks
from tests.bench.processes import measure
from tests.bench.scale import IMAGES, RESULTS, measure_scales
from tests.bench.scenes import clear, grow_study, make_study
from upscale_audit.ingest import blocks, edges, images, units
from upscale_audit.ingest.lr_rules import make_lr
from upscale_audit.ingest.manifests import seal_folder
from upscale_audit.ingest.run import ingest_study
from upscale_audit.ingest.study import IngestParameters, LrParameters
from upscale_audit.warehouse.proof.certificate import certify
from upscale_audit.warehouse.proof.verify import verify

RUNS = contenders.RUNS
ROOT = Path(__file__).resolve().parents[2]


def main():
    """Run every benchmark, or those that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    commands.add_parser("ingest", help="ingest beside the alternatives, nothing else")
    scale = commands.add_parser("scale", help="the build, up to full size; writes docs/scale.md")
    scale.add_argument("--rows", type=int, nargs="*", choices=sorted(IMAGES), default=[1, 8, 82])
    scale.add_argument("--folder", type=Path, default=RESULTS, help="receives the studies")
    published = commands.add_parser("published", help="import of 82 million published blocks")
    published.add_argument("--warehouse", type=Path, default=ROOT / "build/sample/warehouse.duckdb")
    published.add_argument("--folder", type=Path, default=RESULTS / "published")
    published.add_argument("--images", type=int, default=published_blocks.IMAGES)
    options = parser.parse_args()
    if options.command == "scale":
        bench_scale(options.rows, options.folder)
    elif options.command == "published":
        print(published_blocks.bench_published(options.warehouse, options.folder, options.images))
    else:
        bench_sample(is_ingest_alone=options.command == "ingest")


def bench_scale(scales, folder):
    """Measure scales; with none, write the page from those measured before."""
    from tests.bench.report import write_report

    measure_scales(scales, folder)
    print(*write_report(), sep="\n")


def bench_sample(*, is_ingest_alone):
    """Measure a study of eight images."""
    with tempfile.TemporaryDirectory(prefix="upscale-audit-bench-") as folder:
        root = Path(folder)
        study = make_study(root / "study")
        print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {RUNS} runs each\n")
        with contenders.one_core():
            bench_ingest(study)
            bench_block_ssim(study)
            bench_stages(study)
        if is_ingest_alone:
            return
        bench_size(study)
        bench_build(study, root)
        bench_verify(root)


def bench_ingest(study):
    """Ingest against decoding and hashing alone, and against the published method."""
    files = sorted(study.path.parent.rglob("*.png"))
    count = len(list(study.references.iterdir()))
    lean = replace(study, ingest_parameters=IngestParameters(image_metrics=False))
    held = replace(lean, lr=LrParameters("antialiased", 2))
    pair = name_pair(study)
    absent = contenders.list_absent(contenders.PUBLISHED)
    ingest_study(study, workers=1)
    scanned = replace(study, sfrc=(64,))
    names = (
        "floor", "blocks", "held", "certify", "all", "patches", "published", "published all"
    )  # fmt: skip
    runs = {name: [] for name in names}
    lr_folder = _write_lr(study)
    variants = {"blocks": lean, "held": held, "all": study, "patches": scanned}
    if not absent:
        contenders.check_as_published(*pair)
    for _ in range(RUNS):
        for name, variant in variants.items():
            clear(study.raw)
            runs[name].append(timed(ingest_study, variant, workers=1) / count)
        runs["floor"].append(timed(decode_and_hash, files) / count)
        runs["certify"].append(timed(_certify_all, study, lr_folder) / count)
        runs["published"].append(8 * timed(measure_blocks_as_published, *pair))
        if not absent:
            runs["published all"].append(8 * timed(contenders.measure_as_published, *pair))
    titles = {
        "floor": "decode and hash the nine PNGs, nothing else",
        "blocks": "`upscale-audit ingest` of blocks, Parquet written",
        "held": "the same, and every image held against its LR image",
        "certify": "`upscale-audit certify` of the eight alone, tables written, no maps",
        "all": "blocks and the 35 per-image metrics",
        "patches": "the same with patches of 64 px scanned (sFRC)",
        "published": "the published method's block SSIM, decoding included, 8 x one pair",
        "published all": "the same with its per-image metrics, LPIPS left out",
    }
    print("## Ingest: one 1024x1024 reference with eight restored images, one core\n")
    print("| what | ms | ratio |\n|---|---|---|")
    for name, title in titles.items():
        if not runs[name]:
            print(f"| {title} | not installed: `pip install {' '.join(absent)}` | |")
            continue
        ratio = median([a / b for a, b in zip(runs[name], runs["floor"], strict=True)])
        print(f"| {title} | {1e3 * median(runs[name]):,.0f} | {ratio:.1f} |")
    print()


def _write_lr(study):
    """Write the LR image of each reference, where `certify` finds it."""
    folder = study.path.parent / "lr"
    folder.mkdir(exist_ok=True)
    for path in study.references.iterdir():
        grey = images.decode_image(path.read_bytes(), ".png", 1 << 26, "reduce").grey
        Image.fromarray(make_lr(grey, 2, "antialiased")).save(folder / path.name)
    return folder


def _certify_all(study, lr_folder):
    folders = {
        f"{model.model_id}.{path}": model.folder(path)
        for model in study.models
        for path in ("notta", "tta")
    }
    out = study.path.parent / "certificate"
    certify(lr_folder, folders, out, "antialiased", has_maps=False)


def bench_block_ssim(study):
    """Ingest's kernel beside other ways to SSIM, in a process of its own."""
    command = [sys.executable, "-m", contenders.__name__, *map(str, name_pair(study))]
    environment = os.environ | contenders.KEEP_MEMORY
    sys.stdout.flush()
    subprocess.run(command, env=environment, cwd=ROOT, check=True)


def bench_stages(study):
    """Where ingest's time goes, stage by stage, for the same nine files."""
    parameters = IngestParameters()
    files = [study.references / "region0_as_is.png"]
    for model in study.models:
        files += [model.notta / files[0].name, model.tta / files[0].name]
    data = [path.read_bytes() for path in files]
    decode = lambda: [  # noqa: E731 - a stage is one expression
        images.decode_image(item, ".png", parameters.max_image_px, "reduce") for item in data
    ]
    greys = [image.grey for image in decode()]
    measured = [blocks.Measured(grey) for grey in greys]
    mask = edges.mark_ringing_pixels(greys[0], *edges.find_thresholds(greys[0], parameters))
    schema = units.arrow_schema("blocks")
    pairs = list(zip(measured[1::2], measured[2::2], strict=True))
    batch = lambda: [  # noqa: E731
        blocks.build_batch(
            "image",
            measured[0],
            mask,
            {
                "notta": blocks.measure_pair(measured[0], a, mask)[0],
                "tta": blocks.measure_pair(measured[0], b, mask)[0],
            },
            schema,
        )
        for a, b in pairs
    ]
    batches = batch()
    stages = {
        "decode, hash file and pixels (9 files)": decode,
        "measure each image (9)": lambda: [blocks.Measured(grey) for grey in greys],
        "edge mask (1)": lambda: edges.mark_ringing_pixels(
            greys[0], *edges.find_thresholds(greys[0], parameters)
        ),
        "compare pairs and build rows (8 pairs, 4 batches)": batch,
        "encode Parquet (4 x 16,384 rows)": lambda: [write(item) for item in batches],
    }
    print("## Ingest by stage\n\n| stage | ms |\n|---|---|")
    for name, stage in stages.items():
        stage()
        print(f"| {name} | {1e3 * median([timed(stage) for _ in range(RUNS)]):.1f} |")
    print()


def bench_size(study):
    """Bytes a raw block row takes, both inference paths in it."""
    shards = sorted((study.raw / "blocks").rglob("*.parquet"))
    rows = sum(pq.read_metadata(shard).num_rows for shard in shards)
    size = sum(shard.stat().st_size for shard in shards)
    print(f"## Size\n\n{size / rows:.1f} bytes a raw block row ({rows:,} rows)\n")


def bench_build(study, root):
    """CPU, wall and memory of `upscale-audit build` at growing sizes, and CPU a row between."""
    print("## Build: raw Parquet to published warehouse\n")
    print("| block rows | wall s | CPU s | peak GiB | CPU us a row more |\n|---|---|---|---|---|")
    before = None
    for copies in (1, 4, 16):
        grown = grow_study(study, root / f"grown{copies}", copies)
        rows = copies * 8 * 4 * 16_384
        runs = [run_build(grown) for _ in range(3)]
        wall, cpu, memory = (median(column) for column in zip(*runs, strict=True))
        marginal = "" if before is None else f"{1e6 * (cpu - before[1]) / (rows - before[0]):.2f}"
        print(f"| {rows:,} | {wall:.1f} | {cpu:.1f} | {memory:.2f} | {marginal} |")
        before = rows, cpu
        clear(root / f"grown{copies}")
    print()


def bench_verify(root):
    """`upscale-audit verify` beside `sha256sum`, on the same files, from a warm cache."""
    print("## Verify: every byte hashed again\n")
    print("| files | what | s | MB/s | ratio |\n|---|---|---|---|---|")
    for count, size in ((8, 64 << 20), (4096, 64 << 10)):
        folder = make_files(root / f"files{count}", count, size)
        check = ["sha256sum", "--check", "--quiet", "--strict", "SHA256SUMS"]
        spread = ["xargs", "-a", "SHA256SUMS", "-d", "\n", "-P", str(os.cpu_count())]
        spread += ["-n", str(max(1, count // 8)), "sh", "-c"]
        spread += ['printf "%s\\n" "$@" | sha256sum --check --quiet', "_"]
        contenders = {
            "`sha256sum --check`": partial(subprocess.run, check, cwd=folder, check=True),
            "the same, as many as cores": partial(subprocess.run, spread, cwd=folder, check=True),
            "`upscale-audit verify`": partial(verify, folder),
        }
        runs = {name: [] for name in contenders}
        for _ in range(RUNS):
            for name, contender in contenders.items():
                runs[name].append(timed(contender))
        first = next(iter(runs.values()))
        for name, times in runs.items():
            ratio = median([a / b for a, b in zip(times, first, strict=True)])
            rate = count * size / 1e6 / median(times)
            row = f"{count} x {size >> 10} KiB | {name} | {median(times):.2f} | {rate:.0f}"
            print(f"| {row} | {ratio:.2f} |")
        clear(folder)
    print()


def make_files(folder, count, size):
    """Write random files with a hash list and a manifest."""
    folder.mkdir()
    generator = np.random.default_rng(count)
    names = [f"{number:04d}.bin" for number in range(count)]
    for name in names:
        (folder / name).write_bytes(generator.bytes(size))
    seal_folder(folder, "exports", "bench", names, {}, {})
    return folder


def run_build(study):
    """Wall and CPU seconds and peak GiB of a build in a process of its own."""
    cost = measure([sys.executable, "-m", "upscale_audit.warehouse.cli", "build", str(study.path)])
    return cost.wall_s, cost.cpu_s, cost.peak_bytes / 2**30


def decode_and_hash(files):
    """Do what no ingest can do without: read, hash and decode each file."""
    for path in files:
        data = path.read_bytes()
        hashlib.sha256(data).hexdigest()
        np.asarray(Image.open(io.BytesIO(data)))


def name_pair(study):
    """A reference's file and that of a restored image."""
    name = "region0_as_is.png"
    return study.references / name, study.models[0].notta / name


def measure_blocks_as_published(reference, restored):
    """Block SSIM of two files as the published generator computes it."""
    images = map(contenders.read_as_published, (reference, restored))
    contenders.by_published_method(*images)


def write(batch):
    """Encode one image's rows of one model."""
    sink = io.BytesIO()
    with units.open_parquet(sink, batch.schema) as writer:
        writer.write_batch(batch)


def timed(function, *arguments, **options):
    """Wall seconds of one call."""
    begin = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - begin


median = statistics.median

if __name__ == "__main__":
    main()
