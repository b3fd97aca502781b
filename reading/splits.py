"""Who trains, validates and tests: whole patients, by a hash that other patients do not change."""

import hashlib

SPLITS = ("train", "validation", "test")
SHARES = (0.7, 0.1, 0.2)
"""Of the patients, as in Wang et al. 2017, section 4; by chance more or less in a small study."""
_BITS = 53


def place_patient(patient_id: str, seed: int) -> float:
    """Place a patient between 0 and 1.

    Parameters
    ----------
    patient_id : str
    seed : int

    Returns
    -------
    float
        0 <= place < 1, uniform over patients, and the same whoever else is in the study.
    """
    digest = hashlib.sha256(f"{seed}\n{patient_id}".encode("utf-8", "surrogateescape")).digest()
    return (int.from_bytes(digest[:8], "big") >> (64 - _BITS)) / (1 << _BITS)


def split_patient(patient_id: str, seed: int) -> str:
    """Say in which of `SPLITS` all images of a patient are.

    Parameters
    ----------
    patient_id : str
    seed : int
        Of the split: another seed deals the patients anew.

    Returns
    -------
    str
    """
    place = place_patient(patient_id, seed)
    train, validation, _ = SHARES
    if place < train:
        return "train"
    return "validation" if place < train + validation else "test"
