"""What a phantom study draws: its kinds, contrasts and components, and which site gets which.

A condition is one kind at one contrast in one component. An image carries as many conditions at
once as it has sites, since sites are too far apart to share a block, and a block is judged by
itself: a study needs a few copies of an image, not one for each condition.
"""

import hashlib
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from upscale_audit.ingest.errors import require_value

BLOCK_ARMS = ("auditor", "lost", "through")
"""Many things in a copy, for what judges a block."""
IMAGE_ARMS = ("alone", "everywhere")
"""One thing in a copy, once or at each site, for what judges an image."""
ARMS = BLOCK_ARMS + IMAGE_ARMS
COMPONENTS = ("full", "range", "null")
SHAPED = ("nodule_8", "nodule_16", "nodule_32", "wire", "edge")
"""Kinds that have a contrast: they are added."""
ALTERED = ("erase", "swap", "mirror")
"""Kinds that have none: they alter what is there."""
KINDS = SHAPED + ALTERED
SPLIT = ("wire", "swap")
"""Kinds with a part that a rule cannot see: at x2, of a nodule or an edge it sees 99 % and more."""
MAX_CONTRAST_DN = 64


@dataclass(frozen=True)
class Condition:
    """What is drawn at a site.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    contrast_dn : int or None
        Of the shape's highest point; None for kinds that alter what is there.
    component : {"full", "range", "null"}
        All of it, what the LR rule sees of it, or what it does not.
    """

    kind: str
    contrast_dn: int | None
    component: str


@dataclass(frozen=True)
class PhantomParameters:
    """What decides a phantom study beside its images.

    Attributes
    ----------
    arms : tuple of str
        ``auditor``: drawn into the restored image only; ``lost``: into the reference only;
        ``through``: into the reference, whose LR image is made again and restored. ``alone``: into
        the restored image, one condition a copy at one site; ``everywhere``: at each site.
    kinds : tuple of str
    contrasts_dn : tuple of int
        Grey levels. 0 draws nothing: what is found there is found by chance. The arms that judge
        images have no copy for it.
    site_count : int
        Sites an image, fewer where it has no room.
    version_count : int
        Copies of an image for each arm that judges blocks; of the others it has one for each
        condition.
    seed : str
    """

    arms: tuple[str, ...] = BLOCK_ARMS
    kinds: tuple[str, ...] = KINDS
    contrasts_dn: tuple[int, ...] = (0, 4, 8, 16)
    site_count: int = 16
    version_count: int = 2
    seed: str = "upscale-audit"

    def __post_init__(self) -> None:
        _check_names("arm", self.arms, ARMS)
        _check_names("kind", self.kinds, KINDS)
        for contrast in self.contrasts_dn:
            require_value(
                0 <= contrast <= MAX_CONTRAST_DN, "contrast", contrast, f"0..{MAX_CONTRAST_DN}"
            )
        require_value(self.contrasts_dn, "contrasts", self.contrasts_dn, "one or more")
        require_value(1 <= self.site_count <= 1000, "sites", self.site_count, "1..1000")
        require_value(1 <= self.version_count <= 100, "versions", self.version_count, "1..100")
        require_value(
            list_image_conditions(self) or not set(self.arms) & set(IMAGE_ARMS),
            "contrasts",
            self.contrasts_dn,
            "one above 0, or a kind without contrast: an arm that judges images draws nothing else,"
            " and takes the images as they are for shams",
        )


def _check_names(what: str, found: tuple[str, ...], known: tuple[str, ...]) -> None:
    require_value(found, f"{what}s", found, "one or more")
    for name in found:
        require_value(name in known, what, name, f"one of {', '.join(known)}")


def list_conditions(parameters: PhantomParameters, has_rule: bool) -> list[Condition]:
    """List the conditions of a study, in a stated order.

    Parameters
    ----------
    parameters : PhantomParameters
    has_rule : bool
        Whether the LR rule is known; without it there are no components.

    Returns
    -------
    list of Condition
    """
    conditions = []
    for kind in (name for name in KINDS if name in parameters.kinds):
        contrasts = sorted(set(parameters.contrasts_dn)) if kind in SHAPED else (None,)
        components = COMPONENTS if has_rule and kind in SPLIT else COMPONENTS[:1]
        conditions += [
            Condition(kind, contrast, component)
            for component in components
            for contrast in contrasts
            if component == "full" or contrast != 0
        ]
    return conditions


def list_image_conditions(parameters: PhantomParameters) -> list[Condition]:
    """List the conditions of the arms that judge an image: in full, and none that is nothing."""
    return [item for item in list_conditions(parameters, False) if item.contrast_dn != 0]


def assign_conditions(
    conditions: Sequence[Condition], image_id: str, site_count: int, version: int, seed: str
) -> list[Condition]:
    """Give each site of a copy its condition.

    Parameters
    ----------
    conditions : list of Condition
    image_id : str
    site_count, version : int
    seed : str

    Returns
    -------
    list of Condition
        One a site.

    Notes
    -----
    Each copy deals the image's shuffled list round and round, and begins about where the one before
    ended: conditions are met nearly equally often, and no site has one again in another copy before
    it has had all. All arms and models of a copy have the same.
    """
    order = sorted(
        range(len(conditions)), key=lambda number: draw(seed, "condition", image_id, number)
    )
    # Coprime, so that a site meets every condition in as many copies as there are conditions.
    step = next(step for step in itertools.count(site_count) if math.gcd(step, len(order)) == 1)
    first = version * step
    return [conditions[order[(first + site) % len(order)]] for site in range(site_count)]


def draw(*words: int | str) -> int:
    """Draw a whole number of 0 <= n < 2**64 from a SHA-256 over some words."""
    digest = hashlib.sha256("\n".join(map(str, words)).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:8], "big")
