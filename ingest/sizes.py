"""Bring a restored image of another size to its reference's, by a rule that the study states.

Every number compares pixel with pixel, so an output of another size has none until somebody says
how to make one of it. Which rule is used changes what is measured (Lanczos over 8 taps aliases
where it reduces); none is a default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import cv2
import numpy as np

from upscale_audit.ingest.errors import RejectedFileError

if TYPE_CHECKING:
    import numpy.typing as npt

    from upscale_audit.ingest.images import DecodedImage


MAX_STRETCH_RATIO = 0.05
"""Most that a rule may stretch one side against the other: 1 px in 20."""


def find_size_problem(
    shape: tuple[int, int], expected: tuple[int, int], rule: str | None
) -> str | None:
    """Say why an image cannot be compared with its reference; None where it can.

    Parameters
    ----------
    shape, expected : (int, int)
        Rows and columns of the image and of the reference.
    rule : str or None
        One of `ingest.study.SIZE_RULES`, or that the study states none.

    Returns
    -------
    str or None
    """
    if shape == expected:
        return None
    found = f"{shape[1]}x{shape[0]} px; the reference has {expected[1]}x{expected[0]}"
    gaps = [abs(side - wanted) for side, wanted in zip(shape, expected, strict=True)]
    stretch = shape[0] * expected[1] / (shape[1] * expected[0])
    is_same_shape = abs(np.log(stretch)) <= np.log1p(MAX_STRETCH_RATIO)
    if rule is None:
        is_cut = _find_crop_problem(found, shape, expected, gaps) is None
        hint = "crop" if is_cut else "lanczos4"
        how = f": [size] rule = {hint!r} would bring it there (docs/images.md)"
        return found + (how if is_same_shape or is_cut else "")
    if rule == "crop":
        return _find_crop_problem(found, shape, expected, gaps)
    if not is_same_shape:
        return f"{found}: other proportions, which {rule!r} would distort"
    if rule == "area" and (shape[0] < expected[0] or shape[1] < expected[1]):
        return f"{found}: 'area' only reduces; state 'lanczos4' or 'mitchell'"
    return None


def _find_crop_problem(
    found: str, shape: tuple[int, int], expected: tuple[int, int], gaps: Sequence[int]
) -> str | None:
    if max(gaps) > 1:
        return f"{found}: more than the 1 px that 'crop' takes away"
    if any(side // 8 < wanted // 8 for side, wanted in zip(shape, expected, strict=True)):
        return (
            f"{found}: blocks of the reference need what it lacks; state 'lanczos4' or 'mitchell',"
            " or cut the references"
        )
    return None


def bring_to_size(image: DecodedImage, expected: tuple[int, int], rule: str) -> DecodedImage:
    """Bring a decoded image to another size.

    Parameters
    ----------
    image : ingest.images.DecodedImage
        Of which `find_size_problem` says nothing.
    expected : (int, int)
        Rows and columns.
    rule : {"lanczos4", "mitchell", "area", "crop"}

    Returns
    -------
    ingest.images.DecodedImage
        The same object where nothing is to be done. Under ``crop`` at most of the expected size:
        an image that lacks a row or a column still lacks it. `facts.size_rule` names the rule; the
        other facts are of the file.

    Notes
    -----
    Colours are brought there by channel and reduced to grey after it, as the published generator
    does.
    """
    if image.grey.shape == expected:
        return image
    change = _RULES[rule]
    facts = replace(image.facts, size_rule=rule)
    if image.rgb is None:
        return replace(image, grey=np.ascontiguousarray(change(image.grey, expected)), facts=facts)
    rgb = np.ascontiguousarray(change(image.rgb, expected))
    return replace(
        image,
        grey=np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8),
        rgb=rgb,
        facts=facts,
    )


def check_size(image: DecodedImage, expected: tuple[int, int], rule: str | None) -> None:
    """Refuse an image that no stated rule brings to the reference's size.

    Raises
    ------
    RejectedFileError
        ``size_mismatch``.
    """
    problem = find_size_problem(image.grey.shape, expected, rule)
    if problem is not None:
        raise RejectedFileError("size_mismatch", problem)


def resample_mitchell(values: npt.NDArray[np.float64], size: int) -> npt.NDArray[np.float64]:
    """Resample the first axis by the kernel of Mitchell and Netravali.

    Parameters
    ----------
    values : (M, N, ...) float64 array
    size : int

    Returns
    -------
    (size, N, ...) float64 array

    Notes
    -----
    B = C = 1/3, stretched by M / size where it reduces, weights normalised to a sum of 1, pixels
    beyond the border equal to the border's. One tap after the other: the same sums on any number of
    threads.

    References
    ----------
    D. P. Mitchell, A. N. Netravali, Reconstruction filters in computer graphics, SIGGRAPH 1988.
    doi:10.1145/54852.378514.
    """
    step = len(values) / size
    stretch = max(step, 1.0)
    centres = (np.arange(size) + 0.5) * step - 0.5
    reach = int(np.ceil(2 * stretch))
    pixels = np.floor(centres).astype(int)[:, None] + np.arange(-reach, reach + 2)
    weights = _mitchell((pixels - centres[:, None]) / stretch)
    weights /= weights.sum(axis=1, keepdims=True)
    pixels = pixels.clip(0, len(values) - 1)
    total = np.zeros((size, *values.shape[1:]))
    for tap in range(pixels.shape[1]):
        total += weights[:, tap].reshape(-1, *[1] * (values.ndim - 1)) * values[pixels[:, tap]]
    return total


def _mitchell(distance: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Weight at a distance in stretched pixels; zero from 2 on."""
    t = np.abs(distance)
    near = (7 * t**3 - 12 * t**2 + 16 / 3) / 6
    far = (-7 / 3 * t**3 + 12 * t**2 - 20 * t + 32 / 3) / 6
    return np.where(t < 1, near, np.where(t < 2, far, 0))


_Change = Callable[["npt.NDArray[np.uint8]", tuple[int, int]], "npt.NDArray[np.uint8]"]
"""Brings pixels to rows and columns."""


def _change_by_opencv(flag: int) -> _Change:
    def change(pixels: npt.NDArray[np.uint8], size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        return np.asarray(cv2.resize(pixels, size[::-1], interpolation=flag), np.uint8)

    return change


def _change_by_mitchell(
    pixels: npt.NDArray[np.uint8], size: tuple[int, int]
) -> npt.NDArray[np.uint8]:
    rows = resample_mitchell(pixels.astype(np.float64), size[0])
    both = resample_mitchell(rows.swapaxes(0, 1), size[1]).swapaxes(0, 1)
    return np.floor(both.clip(0, 255) + 0.5).astype(np.uint8)


_RULES: dict[str, _Change] = {
    "lanczos4": _change_by_opencv(cv2.INTER_LANCZOS4),
    "mitchell": _change_by_mitchell,
    "area": _change_by_opencv(cv2.INTER_AREA),
    "crop": lambda pixels, size: pixels[: size[0], : size[1]],
}
