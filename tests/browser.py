"""A headless Chromium for the pages the project writes."""

import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"
)


def dump_page(address, folder, ready):
    """Return a page's document once its scripts have run.

    Parameters
    ----------
    address : str
    folder : Path
        For the browser's profile.
    ready : str
        What the document holds when it is done; a busy machine may need a second start.

    Returns
    -------
    str
    """
    for attempt in range(3):
        done = subprocess.run(
            [
                CHROMIUM,
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
                f"--user-data-dir={folder / f'profile{attempt}'}",
                "--virtual-time-budget=20000",
                "--dump-dom",
                address,
            ],
            capture_output=True,
            text=True,
            timeout=120,
        )
        if ready in done.stdout:
            break
    return done.stdout
