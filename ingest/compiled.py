"""Whether the kernels were compiled before, so that who waits for them can be told."""

import os
from importlib.util import cache_from_source, find_spec
from pathlib import Path

KERNELS = "upscale_audit.ingest.kernel"
"""The module whose functions every ingest needs, and compiles last of all."""


def is_compiled(module: str = KERNELS) -> bool:
    """Whether Numba kept what it compiled of a module, and the module is no younger.

    Parameters
    ----------
    module : str

    Returns
    -------
    bool
        True also where nothing can be known: Numba keeps it elsewhere, where the folder of the
        module cannot be written or NUMBA_CACHE_DIR names another.
    """
    found = find_spec(module)
    if found is None or found.origin is None:
        return True
    source = Path(found.origin)
    folder = Path(cache_from_source(str(source))).parent
    try:
        kept = [path.stat().st_mtime for path in folder.glob(f"{source.stem}.*.nbi")]
        changed = source.stat().st_mtime
    except OSError:
        return True
    if not kept:
        return not _is_kept_there(folder)
    return max(kept) >= changed


def _is_kept_there(folder: Path) -> bool:
    """Whether Numba would keep what it compiles in a folder beside the sources."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        return False
    place = folder if folder.is_dir() else folder.parent
    return os.access(place, os.W_OK)
