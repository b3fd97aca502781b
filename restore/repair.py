"""Repair: another model's image, changed as little as its LR image demands."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from upscale_audit.ingest.errors import RejectedFileError
from upscale_audit.ingest.files import hash_file
from upscale_audit.ingest.images import decode_image, limit_bytes, read_bytes
from upscale_audit.ingest.lr import find_lr, find_size_problem, repair
from upscale_audit.ingest.pairing import match_folder
from upscale_audit.ingest.restorers import Repair
from upscale_audit.ingest.windows import Display

if TYPE_CHECKING:
    from upscale_audit.ingest.images import DecodedImage
    from upscale_audit.ingest.study import Model, Study


RECIPE_VERSION = 1
"""Raised whenever the same images come to give other pixels."""


class RepairJob:
    """The images of a model on one inference path, and what they are repaired by.

    Parameters
    ----------
    study : ingest.study.Study
    model : ingest.study.Model
        Its restorer is an `ingest.restorers.Repair`.
    inference_path : str
    references : dict
        Path by image_id.

    Attributes
    ----------
    inputs : dict
        By image_id a hash over the SHA-256s of reference, LR file and restored file.
    rejects : dict
        Why an image has no input, by image_id.
    """

    def __init__(
        self, study: Study, model: Model, inference_path: str, references: Mapping[str, Path]
    ) -> None:
        if study.lr is None or not isinstance(model.restorer, Repair):
            raise ValueError(f"expected a model that repairs by LR images, found {model.model_id}")
        self.study, self.lr, self.of = study, study.lr, model.restorer.of
        (source,) = (item for item in study.models if item.model_id == self.of)
        folder, rule = source.folder(inference_path), study.pairing
        if folder is None:
            raise ValueError(f"expected {self.of} to have a folder of {inference_path}")
        pairs, _ = match_folder(folder, references, ("restored", self.of, inference_path), rule)
        restored = {pair.image_id: pair.file for pair in pairs if pair.file is not None}
        lr_files = {}
        if self.lr.folder is not None:
            pairs, _ = match_folder(self.lr.folder, references, ("lr", None, None), rule)
            lr_files = {pair.image_id: pair.file for pair in pairs if pair.file is not None}
        self._files, self.inputs, self.rejects = {}, {}, {}
        for image_id, reference in references.items():
            if image_id not in restored:
                self.rejects[image_id] = f"no image of {self.of!r}"
                continue
            files = reference, lr_files.get(image_id), restored[image_id]
            try:
                hashes = ["" if path is None else hash_file(path) for path in files]
            except OSError as error:
                self.rejects[image_id] = f"unreadable: {error.strerror}"
                continue
            self._files[image_id] = files
            self.inputs[image_id] = hashlib.sha256("\n".join(hashes).encode()).hexdigest()

    def describe(self, inference_path: str) -> dict[str, Any]:
        """Name what decides the repaired bytes beside the files', as `Restorer.describe` does."""
        lr = self.lr
        return {
            "recipe_version": RECIPE_VERSION,
            "restorer": {"kind": "repair", "of": self.of},
            "weights_sha256": None,
            "parameters": {"rule": lr.rule, "scale": lr.scale, "has_files": lr.folder is not None},
            "inference_path": inference_path,
        }

    def repair(self, image_id: str) -> tuple[bytes | None, str | None]:
        """Repair an image.

        Returns
        -------
        data : bytes or None
            A PNG file.
        why : str or None
            Why there is none.
        """
        reference, lr_file, file = self._files[image_id]
        try:
            image = self._decode(reference, Display(self.study.ingest_parameters.window))
            restored = self._decode(file, image.display)
            lr_image = None if lr_file is None else self._decode(lr_file, image.display)
        except RejectedFileError as reject:
            return None, str(reject)
        if restored.grey.shape != image.grey.shape:
            return None, "size_mismatch: another size than the reference"
        if lr_image is not None:
            problem = find_size_problem(self.lr, image.grey.shape, lr_image.grey.shape)
            if problem is not None:
                return None, f"size_mismatch: {problem}"
        if restored.step or (lr_image is not None and lr_image.step):
            return None, "a window shows it or its LR image: only 8-bit files are repaired"
        held, facts = find_lr(self.lr, image, lr_image)
        if held is None:
            return None, f"LR image {facts['lr_rule_status']}: {facts['lr_detail']}"
        if restored.rgb is None:
            pixels = repair(restored.grey, held.lr)
        else:
            planes = (np.ascontiguousarray(restored.rgb[:, :, channel]) for channel in range(3))
            pixels = np.stack([repair(plane, held.lr) for plane in planes], axis=2)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue(), None

    def _decode(self, path: Path, display: Display) -> DecodedImage:
        parameters = self.study.ingest_parameters
        data = read_bytes(path, limit_bytes(parameters.max_image_px))
        suffix = path.suffix.lower()
        return decode_image(data, suffix, parameters.max_image_px, parameters.colour, display)
