"""An explorer that serves a study while a test looks at it; `python -m tests.explorer` pictures it.

The picture is docs/explore.png, of the sample once it is built.
"""

import contextlib
import io
import queue
import threading
from pathlib import Path
from urllib.parse import urlencode

from PIL import Image

from tests.browser import open_browser
from upscale_audit.ingest.study import load_study

REPOSITORY = Path(__file__).resolve().parent.parent
SHOWN = {
    "model": "upscayl_digital",
    "image": "rg1_r1c0",
    "show": "invented_dn2",
    "by": "local_ssim",
    "low": "0.2",
    "high": "0.9",
}
CLIP_PX = {"x": 0, "y": 0, "width": 1440, "height": 915}
COLOUR_COUNT = 256


@contextlib.contextmanager
def serving(study):
    """Serve a study on a free port, in a thread; give its address."""
    from upscale_audit.analysis.explore.explorer import Explorer
    from upscale_audit.analysis.explore.server import make_server

    started = queue.Queue()

    def serve():
        try:
            with Explorer(study) as explorer:
                server = make_server(explorer, 0)
                started.put(server)
                server.io_loop.start()
                server.stop()
                server.io_loop.close()
        except BaseException as error:
            started.put(error)

    thread = threading.Thread(target=serve)
    thread.start()
    server = started.get(timeout=120)
    if isinstance(server, BaseException):
        raise server
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.io_loop.add_callback(server.io_loop.stop)
        thread.join(timeout=120)


def main():
    """Draw docs/explore.png."""
    study = load_study(REPOSITORY / "sample" / "study.toml")
    with serving(study) as address, open_browser() as page:
        page.goto(f"{address}/?{urlencode(SHOWN)}")
        page.get_by_text(" of 4,096 blocks: those whose ").wait_for()
        # Fonts, canvases and the layout of the last part come to rest.
        page.wait_for_timeout(1500)
        shot = Image.open(io.BytesIO(page.screenshot(clip=CLIP_PX)))
    colours = shot.convert("RGB").quantize(COLOUR_COUNT, kmeans=2)
    colours.save(REPOSITORY / "docs" / "explore.png", optimize=True)


if __name__ == "__main__":
    main()
