"""What ingest is measured against: the published generator's method, and other SSIM libraries.

A library that gives a value for every block can stand in for ingest's kernel; its largest
difference from the published blocks is measured and must stay within a stated limit. One that
gives a single mean of the image, most of them under another window, is timed and named so.

The published definition divides variances by 48, most libraries by n = 49; they give the same
numbers from the constant C2 * 48 / 49, and so from K2 * sqrt(48 / 49).
"""

import contextlib
import functools
import importlib
import importlib.util
import itertools
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from importlib.metadata import version

import cv2
import numpy as np
from PIL import Image
from skimage.measure import shannon_entropy
from skimage.metrics import structural_similarity

from upscale_audit.ingest import kernel, metrics

RUNS = 5
RUN_S = 0.1
"""A run repeats its call for about this long, so that the clock weighs little."""

KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(1 << 30), "MALLOC_TRIM_THRESHOLD_": str(1 << 30)}
"""Environment in which glibc hands no memory back between calls.

Where it does, page faults on large arrays cost some libraries several times their own work.
"""

AREA = 49
K1, K2 = 0.01, 0.03 * math.sqrt((AREA - 1) / AREA)
UNIFORM_SIGMA = 1e6
"""A Gaussian so wide that its 7x7 weights are equal in float32."""


@dataclass(frozen=True, eq=False)
class Contender:
    """One way to compute SSIM.

    Parameters
    ----------
    title : str
        Its row in the table.
    packages : dict of str to str
        Distributions it needs, each with its module.
    measure : callable
        From two prepared images to their (M // 8, N // 8) block SSIM, or to one mean.
    limit : float or None
        How far a block may lie from the published method's; None where there is one mean.
    prepare : callable
        From an (M, N) uint8 array to what the library reads; not timed.
    """

    title: str
    packages: dict
    measure: Callable
    limit: float | None = None
    prepare: Callable = np.asarray


def pool(full, first):
    """Mean of the four windows inside each block, of a map with one value a window.

    `first` is where the map holds a block's first window: 3 where it is indexed by the window's
    centre, 0 by its corner.
    """
    later = first + 1
    upper = full[first::8, first::8] + full[first::8, later::8]
    return (upper + full[later::8, first::8] + full[later::8, later::8]) / 4


def by_kernel(reference, restored):
    """What ingest does, but for a reference's windows, which serve all models there."""
    windows = kernel.sum_windows(reference), kernel.sum_windows(restored)
    return kernel.compare_pair(reference, restored, *windows)[1]


def by_numpy(reference, restored):
    """Only the four windows of each block, from sums over reshaped blocks."""
    x, y = reference.astype(np.int32), restored.astype(np.int32)
    sum_x, sum_y = _sum_windows(x), _sum_windows(y)
    squares, products = _sum_windows(x * x + y * y), _sum_windows(x * y)
    c1, c2 = AREA**2 * kernel.C1, AREA * (AREA - 1) * kernel.C2
    mixed, energy = sum_x * sum_y, sum_x**2 + sum_y**2
    covariance, variances = AREA * products - mixed, AREA * squares - energy
    return ((2 * mixed + c1) * (2 * covariance + c2) / ((energy + c1) * (variances + c2))).mean(0)


def _sum_windows(values):
    """Sum the four 7x7 windows of each block: (4, M // 8, N // 8) float64."""
    rows, cols = values.shape
    blocks = values.reshape(rows // 8, 8, cols // 8, 8)
    columns = blocks.sum(1, dtype=np.int32)
    windows = []
    for row in (7, 0):
        part = columns - blocks[:, row]
        total = part.sum(2, dtype=np.int32)
        windows += [total - part[..., col] for col in (7, 0)]
    return np.stack(windows).astype(np.float64)


def by_opencv(reference, restored):
    """Four box filters and a full map; in float64, because float32 cancels."""
    x, y = reference.astype(np.float64), restored.astype(np.float64)
    mean_x, mean_y, squares, products = (
        cv2.blur(values, (7, 7)) for values in (x, y, x * x + y * y, x * y)
    )
    c1, c2 = (K1 * 255) ** 2, (K2 * 255) ** 2
    mixed, energy = mean_x * mean_y, mean_x**2 + mean_y**2
    covariance, variances = products - mixed, squares - energy
    full = (2 * mixed + c1) * (2 * covariance + c2) / ((energy + c1) * (variances + c2))
    return pool(full, first=3)


def read_as_published(path):
    """(M, N, 3) uint8 array of a PNG file; a greyscale one has three equal channels."""
    return np.array(Image.open(path).convert("RGB"))


def by_published_method(reference, restored):
    """scikit-image, with its defaults, on the two RGB patches of each block in turn."""
    rows, cols = reference.shape[0] // 8, reference.shape[1] // 8
    local_ssim = np.empty((rows, cols))
    for row, col in np.ndindex(rows, cols):
        area = np.s_[row * 8 : row * 8 + 8, col * 8 : col * 8 + 8]
        patches = reference[area], restored[area]
        local_ssim[row, col] = structural_similarity(*patches, channel_axis=2)
    return local_ssim


def by_scikit_image(reference, restored):
    """One full map, pooled."""
    _, full = structural_similarity(reference, restored, data_range=255, full=True)
    return pool(full, first=3)


def by_frame_analytics(reference, restored):
    """One map of the valid windows, pooled."""
    import frame_analytics

    options = {"win_size": 7, "sigma": UNIFORM_SIGMA, "K": (K1, K2), "return_map": True}
    full = frame_analytics.ssim(reference, restored, data_range=255.0, **options)
    return pool(full[0, 0].numpy(), first=0)


def by_torchmetrics(reference, restored):
    """One full map, pooled."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    options = {"gaussian_kernel": False, "kernel_size": 7, "k1": K1, "k2": K2}
    _, full = structural_similarity_index_measure(
        reference.float(), restored.float(), data_range=255.0, return_full_image=True, **options
    )
    return pool(full[0, 0].numpy(), first=3)


def by_pytorch_msssim(reference, restored):
    """Every block an image of one batch."""
    import pytorch_msssim
    import torch

    batch = [image.flatten(0, 1)[:, None] for image in (reference, restored)]
    window = torch.full((1, 1, 1, 7), 1 / 7)
    found = pytorch_msssim.ssim(*batch, size_average=False, win=window, K=(K1, K2))
    return found.numpy().reshape(reference.shape[:2])


def by_blazediff(reference, restored):
    """One map of the valid windows, pooled."""
    import blazediff_ssim

    (left, rows, cols), (right, *_) = reference, restored
    options = {"window_size": 7, "window_stride": 1, "k1": K1, "k2": K2, "return_map": True}
    found = blazediff_ssim.compare_rgba(
        left, right, cols, rows, metric="hitchhikers-ssim", **options
    )
    return pool(np.frombuffer(found.map, "<f4").reshape(rows - 6, cols - 6), first=0)


def mean_by_libavfilter(reference, restored):
    """FFmpeg's `ssim` filter, its graph made once."""
    _, inputs, output, clock = _filter_graph(reference.width, reference.height)
    instant = next(clock)
    for source, frame in zip(inputs, (reference, restored), strict=True):
        frame.pts = instant
        source.push(frame)
    return float(output.pull().metadata["lavfi.ssim.All"])


@functools.cache
def _filter_graph(width, height):
    import av

    graph = av.filter.Graph()
    options = {"width": width, "height": height, "format": av.VideoFormat("gray")}
    inputs = [graph.add_buffer(time_base=Fraction(1), **options) for _ in range(2)]
    compare, output = graph.add("ssim"), graph.add("buffersink")
    for number, source in enumerate(inputs):
        source.link_to(compare, 0, number)
    compare.link_to(output)
    graph.configure()
    return graph, inputs, output, itertools.count()


def mean_by_fast_ssim(reference, restored):
    """Its defaults: scikit-image's windows."""
    import fast_ssim

    return fast_ssim.ssim(reference, restored, data_range=255)


def mean_by_blazediff(reference, restored):
    """Its default metric."""
    import blazediff_ssim

    (left, rows, cols), (right, *_) = reference, restored
    return blazediff_ssim.compare_rgba(left, right, cols, rows, metric="ssim").score


def mean_by_frame_analytics(reference, restored):
    """Its defaults."""
    import frame_analytics

    return frame_analytics.ssim(reference, restored, data_range=255.0).item()


def mean_by_pytorch_msssim(reference, restored):
    """Its defaults, as the published column `ssim` has it."""
    import pytorch_msssim

    return pytorch_msssim.ssim(reference.float(), restored.float(), data_range=255).item()


def as_rgb(image):
    """(M, N, 3) array of three equal channels, as the published generator reads a grey PNG."""
    return np.repeat(image[..., None], 3, axis=2)


def as_rgba(image):
    """Bytes of RGBA, and the image's rows and columns."""
    return cv2.cvtColor(image, cv2.COLOR_GRAY2RGBA).tobytes(), *image.shape


def as_tensor(image):
    """(1, 1, M, N) uint8 tensor."""
    import torch

    return torch.from_numpy(image)[None, None]


def as_blocks(image):
    """(M // 8, N // 8, 8, 8) float32 tensor."""
    rows, cols = image.shape
    blocks = image.reshape(rows // 8, 8, cols // 8, 8).swapaxes(1, 2)
    return as_tensor(np.ascontiguousarray(blocks))[0, 0].float()


def as_frame(image):
    """FFmpeg's frame."""
    import av

    frame = av.VideoFrame.from_ndarray(image, format="gray")
    frame.time_base = Fraction(1)
    return frame


def measure_as_published(reference, restored):
    """All that the published CSV holds of a pair, but LPIPS, by the libraries its program uses.

    Parameters
    ----------
    reference, restored : path
        PNG files.

    Returns
    -------
    dict of str to float
        By the names of `ingest.metrics`, unrounded.

    Notes
    -----
    Written from docs/definitions.md, A.1 and B.1. `artifact_total` and `total_score`, sums of
    the others, are left out.
    """
    x, y = read_as_published(reference), read_as_published(restored)
    (before, levels_before), (after, levels) = _measure_image(x), _measure_image(y)
    local_ssim = by_published_method(x, y)
    return {
        **after,
        **_compare_tensors(x, y),
        "sharpness_diff_pct": _change_pct(before["sharpness"], after["sharpness"]),
        "contrast_diff_pct": _change_pct(before["contrast"], after["contrast"]),
        "edge_diff_pct": _change_pct(before["edge_density"], after["edge_density"]),
        "local_quality_mean": local_ssim.mean(),
        "local_quality_std": local_ssim.std(),
        "local_quality_min": local_ssim.min(),
        "histogram_corr": cv2.compareHist(levels_before, levels, cv2.HISTCMP_CORREL),
    }


def _change_pct(before, after):
    return 100 * (after / before - 1) if before else 0.0


def _measure_image(rgb):
    """What the published CSV says of one image, and its grey levels' histogram."""
    import kornia
    import torch

    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    y = torch.from_numpy(grey)[None, None] / 255
    noise_mask = torch.full((1, 1, 3, 3), -1.0)
    noise_mask[..., 1, 1] = 8.0
    quarter = torch.nn.functional.interpolate(y, scale_factor=0.25, mode="bilinear")
    amplitude = np.abs(np.fft.fftshift(np.fft.fft2(grey)))
    row, col = np.ogrid[: grey.shape[0], : grey.shape[1]]
    centre_row, centre_col = (side // 2 for side in grey.shape)
    is_high = (row - centre_row) ** 2 + (col - centre_col) ** 2 > (min(grey.shape) // 2 // 3) ** 2
    steps = grey.astype(float)
    edges = cv2.dilate(cv2.Canny(grey, 100, 200), np.ones((5, 5), np.uint8), iterations=2)
    measures = {
        "sharpness": (kornia.filters.laplacian(y, 3) * 255).var().item(),
        "contrast": grey.std(),
        "entropy": shannon_entropy(grey),
        "noise": 100 * torch.nn.functional.conv2d(y, noise_mask, padding=1).abs().mean().item(),
        "edge_density": 100 * (kornia.filters.sobel(y) > 0.1).float().mean().item(),
        "texture_complexity": 255 * kornia.filters.sobel(quarter).mean().item(),
        "high_freq_ratio": amplitude[is_high].sum() / amplitude.sum(),
        "artifact_block": np.abs(steps[7:-1:8] - steps[8::8]).mean(1).sum()
        + np.abs(steps[:, 7:-1:8] - steps[:, 8::8]).mean(0).sum(),
        "artifact_ringing": grey[edges > 0].std() if edges.any() else 0.0,
        "lab_L_mean": cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[..., 0].mean(),
    }
    return measures, cv2.calcHist([grey], [0], None, [256], [0, 256])


def _compare_tensors(reference, restored):
    """What the published program leaves to PyTorch."""
    import kornia
    import pytorch_msssim
    import torch

    x, y = (torch.from_numpy(rgb).permute(2, 0, 1)[None] / 255 for rgb in (reference, restored))
    lab = kornia.color.rgb_to_lab(x) - kornia.color.rgb_to_lab(y)
    return {
        "ssim": pytorch_msssim.ssim(x, y, data_range=1).item(),
        "ms_ssim": pytorch_msssim.ms_ssim(x, y, data_range=1).item(),
        "psnr": -10 * math.log10(((x - y) ** 2).mean().item()),
        "delta_e": lab.norm(dim=1).mean().item(),
    }


def check_as_published(reference, restored):
    """Compare `measure_as_published` with what ingest finds for the same two greyscale files.

    Raises
    ------
    RuntimeError
        A metric differs by more than 1 in 100,000, which leaves room for float32.
    """
    x, y = (np.asarray(Image.open(path)) for path in (reference, restored))
    expected = metrics.compare_images(
        metrics.profile_image(x), metrics.profile_image(y), by_kernel(x, y)
    )
    for name, value in measure_as_published(reference, restored).items():
        if not math.isclose(value, expected[name], rel_tol=1e-5):
            raise RuntimeError(f"{name}: expected ingest's {expected[name]}, found {value}")


TORCH = {"torch": "torch"}
PUBLISHED = {"kornia": "kornia", "pytorch-msssim": "pytorch_msssim"} | TORCH
SCIKIT_IMAGE = {"scikit-image": "skimage"}
FRAME_ANALYTICS = {"frame-analytics": "frame_analytics"} | TORCH
PYTORCH_MSSSIM = {"pytorch-msssim": "pytorch_msssim"} | TORCH
TORCHMETRICS = {"torchmetrics": "torchmetrics"} | TORCH
BLAZEDIFF = {"blazediff-ssim": "blazediff_ssim"}

CONTENDERS = [
    Contender("ingest's kernel", {"numba": "numba"}, by_kernel, 1e-7),
    Contender("NumPy by hand, the four windows", {"numpy": "numpy"}, by_numpy, 1e-7),
    Contender(
        "OpenCV box filters by hand, full map",
        {"opencv-python-headless": "cv2"},
        by_opencv,
        1e-7,
    ),
    Contender("scikit-image, full map", SCIKIT_IMAGE, by_scikit_image, 1e-7),
    Contender(
        "the published generator's method: scikit-image on each RGB block",
        SCIKIT_IMAGE,
        by_published_method,
        1e-7,
        as_rgb,
    ),
    Contender("frame-analytics, full map", FRAME_ANALYTICS, by_frame_analytics, 1e-3, as_tensor),
    Contender(
        "pytorch-msssim, a batch of blocks", PYTORCH_MSSSIM, by_pytorch_msssim, 1e-2, as_blocks
    ),
    Contender("blazediff-ssim, full map", BLAZEDIFF, by_blazediff, 1e-3, as_rgba),
    Contender("torchmetrics, full map", TORCHMETRICS, by_torchmetrics, 1e-2, as_tensor),
    Contender(
        "FFmpeg's `ssim` filter, 8x8 windows every 4 px",
        {"av": "av"},
        mean_by_libavfilter,
        prepare=as_frame,
    ),
    Contender("fast-ssim, 7x7 windows", {"fast-ssim": "fast_ssim"}, mean_by_fast_ssim),
    Contender(
        "blazediff-ssim, Gaussian windows at a quarter of the size",
        BLAZEDIFF,
        mean_by_blazediff,
        prepare=as_rgba,
    ),
    Contender(
        "frame-analytics, Gaussian windows",
        FRAME_ANALYTICS,
        mean_by_frame_analytics,
        prepare=as_tensor,
    ),
    Contender(
        "pytorch-msssim, Gaussian windows, as in the published column `ssim`",
        PYTORCH_MSSSIM,
        mean_by_pytorch_msssim,
        prepare=as_tensor,
    ),
]


def compare(reference, restored):
    """Check and time every contender that is installed, in turn.

    Parameters
    ----------
    reference, restored : (M, N) uint8 arrays
        Both sides a multiple of 8 px.

    Returns
    -------
    dict of Contender to tuple
        What it found against the published method, and the seconds of one call in each run.

    Raises
    ------
    RuntimeError
        A block lies further from the published method's than the contender's limit.
    """
    expected = by_published_method(as_rgb(reference), as_rgb(restored))
    rows, calls = {}, {}
    for contender in CONTENDERS:
        if list_absent(contender.packages):
            continue
        call = functools.partial(
            contender.measure, contender.prepare(reference), contender.prepare(restored)
        )
        rows[contender] = describe(contender, call(), expected), []
        calls[contender] = call, max(1, int(RUN_S / time_calls(call, 1)))
    for _ in range(RUNS):
        for contender, (call, count) in calls.items():
            rows[contender][1].append(time_calls(call, count))
    return rows


def describe(contender, found, expected):
    """Largest difference of a block, or the mean where there is nothing else."""
    if contender.limit is None:
        return f"one mean, {found:.4f}"
    far = np.abs(found - expected).max()
    # Not `far > limit`: a NaN must not pass.
    if not far <= contender.limit:
        raise RuntimeError(
            f"{contender.title}: expected every block within {contender.limit:g} of the published"
            f" method's, found a difference of {far:g}"
        )
    return f"{far:.0e}" if far else "0"


def time_calls(call, count):
    """Mean wall seconds of a call."""
    begin = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - begin) / count


def list_absent(packages):
    """Distributions that are not installed, of those given with their modules."""
    return [name for name, module in packages.items() if not importlib.util.find_spec(module)]


def name_versions(packages):
    """Installed distributions with their versions."""
    return ", ".join(f"{name} {version(name)}" for name in packages)


@contextlib.contextmanager
def one_core():
    """Let no library use a second core, where the system can."""
    settings = [(cv2.setNumThreads, cv2.getNumThreads(), 1)]
    if hasattr(os, "sched_setaffinity"):
        cores = os.sched_getaffinity(0)
        settings.append((functools.partial(os.sched_setaffinity, 0), cores, {max(cores)}))
    if not list_absent(TORCH):
        torch = importlib.import_module("torch")
        settings.append((torch.set_num_threads, torch.get_num_threads(), 1))
    for change, _, one in settings:
        change(one)
    try:
        yield
    finally:
        for change, before, _ in settings:
            change(before)


def main():
    """Print the table: ``python -m tests.bench.ingest_contenders REFERENCE.png RESTORED.png``."""
    reference, restored = (np.array(Image.open(path)) for path in sys.argv[1:])
    with one_core():
        rows = compare(reference, restored)
    _, first = rows[CONTENDERS[0]]
    print(f"## Block SSIM: one {'x'.join(map(str, reference.shape))} pair in memory, one core\n")
    print("| what | ms | ratio | largest difference of a block |\n|---|---|---|---|")
    for contender in CONTENDERS:
        absent = list_absent(contender.packages)
        if absent:
            print(f"| {contender.title} | | | not installed: `pip install {' '.join(absent)}` |")
            continue
        found, times = rows[contender]
        ratio = statistics.median([a / b for a, b in zip(times, first, strict=True)])
        title = f"{contender.title} ({name_versions(contender.packages)})"
        print(f"| {title} | {1e3 * statistics.median(times):,.2f} | {ratio:,.1f} | {found} |")
    print()


if __name__ == "__main__":
    main()
