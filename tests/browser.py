"""A headless Chromium for the pages the project writes."""

import contextlib
import shutil
import subprocess

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_browser = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"
)

WIDTHS_PX = (1440, 800, 390)
MOST_MS = 120_000
"""How long a test waits for what a page is to show; a loaded machine may need it."""


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
            timeout=600,
        )
        if ready in done.stdout:
            break
    return done.stdout


@contextlib.contextmanager
def open_browser():
    """Give a page of a headless Chromium that a test may drive; without its driver, skip.

    Notes
    -----
    Playwright drives the Chromium that is installed, and downloads none.
    """
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="pip install playwright axe-playwright-python"
    )
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]
        )
        try:
            page = browser.new_page(viewport={"width": WIDTHS_PX[0], "height": 1000})
            page.set_default_timeout(MOST_MS)
            yield page
        finally:
            browser.close()


def check_accessible(page):
    """Hold a page to axe and to no scrolling sideways, at the widths of a screen, half, and phone.

    Parameters
    ----------
    page : playwright.sync_api.Page
    """
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for width in WIDTHS_PX:
        page.set_viewport_size({"width": width, "height": 1000})
        # Asked from here while parts find their place: the explorer's policy evaluates nothing.
        for _ in range(MOST_MS // 250):
            beyond_px = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            if beyond_px <= 0:
                break
            page.wait_for_timeout(250)
        assert beyond_px <= 0, f"{width} px wide"
        faults = [
            (item["id"], item["nodes"][0]["html"])
            for item in axe.run(page).response["violations"]
            if item["impact"] in ("serious", "critical")
        ]
        assert faults == [], f"{width} px wide"
    page.set_viewport_size({"width": WIDTHS_PX[0], "height": 1000})
