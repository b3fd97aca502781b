"""The explorer's server: this machine only, and only for the page that it serves itself."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from bokeh.resources import Resources
from bokeh.server.server import BaseServer
from bokeh.server.tornado import BokehTornado
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import ErrorHandler, OutputTransform

from upscale_audit.analysis.explore.explorer import Explorer
from upscale_audit.analysis.explore.page import Page
from upscale_audit.analysis.explore.saving import Saved
from upscale_audit.ingest.errors import StudyError

if TYPE_CHECKING:
    from tornado.httputil import HTTPHeaders, HTTPMessageDelegate, HTTPServerRequest

    from upscale_audit.ingest.study import Study


ADDRESS = "127.0.0.1"
MAX_HEADER_BYTES = 1 << 21
"""An address may hold the longest query that the page takes, each letter in twelve characters."""
_INLINE_SCRIPT = re.compile(rb"<script(?![^>]*\bsrc=)[^>]*>(.*?)</script>", re.DOTALL)


def serve(study: Study, port: int, say: Callable[[str], None]) -> None:
    """Serve the explorer of a study until it is interrupted.

    Parameters
    ----------
    study : ingest.study.Study
        Built.
    port : int
        On this machine's loopback address; 0 takes a free one.
    say : callable
        Is told in a line where the page is.

    Raises
    ------
    StudyError
        No warehouse, or the port is taken.
    """
    with Explorer(study) as explorer:
        server = make_server(explorer, port)
        say(f"explore {study.name} at http://{ADDRESS}:{server.port}/ (Ctrl-C ends it)")
        try:
            server.io_loop.start()
        except KeyboardInterrupt:
            say("explored; nothing was changed")
        finally:
            server.stop()
            server.io_loop.close()


def make_server(explorer: Explorer, port: int) -> BaseServer:
    """Make the server; it answers once its loop runs.

    Parameters
    ----------
    explorer : Explorer
    port : int

    Returns
    -------
    bokeh.server.server.BaseServer

    Raises
    ------
    StudyError
        The port is taken, or not open to this user.
    """
    try:
        listening = socket.create_server((ADDRESS, port), backlog=128)
    except OSError as error:
        raise StudyError(
            f"cannot listen on {ADDRESS}:{port}: {error.strerror}; name another with --port"
        ) from None
    listening.setblocking(False)
    asyncio.set_event_loop(asyncio.new_event_loop())
    hosts = [f"{name}:{listening.getsockname()[1]}" for name in (ADDRESS, "localhost")]
    application = _LocalApplication(
        hosts,
        lambda document: Page(explorer, document),
        extra_websocket_origins=hosts,
        extra_patterns=[(r"/save/([a-z]+\.[a-z]+)", Saved, {"explorer": explorer})],
        transforms=[_Policy],
        # The names of the page's own texts, and no cookie or header, reach its session.
        include_headers=[],
        include_cookies=[],
    )
    http = HTTPServer(application, max_header_size=MAX_HEADER_BYTES)
    http.add_socket(listening)
    server = BaseServer(IOLoop.current(), application, http)
    server.start()
    return server


class _LocalApplication(BokehTornado):
    """Bokeh's application, deaf to whoever reached this machine by another name or page.

    A name that was made to mean 127.0.0.1 (DNS rebinding) shows in Host; a page from elsewhere
    that asks for something shows in Origin or in Sec-Fetch-Site.
    """

    def __init__(self, hosts: Iterable[str], *arguments: Any, **settings: Any) -> None:
        self._hosts = frozenset(hosts)
        super().__init__(*arguments, **settings)

    def find_handler(self, request: HTTPServerRequest, **settings: Any) -> HTTPMessageDelegate:
        handler: HTTPMessageDelegate = (
            super().find_handler(request, **settings)
            if self._is_own(request)
            else self.get_handler_delegate(request, ErrorHandler, {"status_code": 403})
        )
        return handler

    def _is_own(self, request: HTTPServerRequest) -> bool:
        origins = {None, *(f"http://{host}" for host in self._hosts)}
        return (
            request.headers.get("Host") in self._hosts
            and request.headers.get("Origin") in origins
            and request.headers.get("Sec-Fetch-Site") in (None, "none", "same-origin")
        )

    def resources(self, absolute_url: str | bool | None = None) -> Resources:
        """Bokeh's scripts from this server, whatever the environment asks for."""
        return Resources(mode="server", root_url="/", components=["bokeh", "bokeh-widgets"])


class _Policy(OutputTransform):
    """Headers of every answer: its own scripts run, nothing is loaded from elsewhere."""

    def transform_first_chunk(
        self, status_code: int, headers: HTTPHeaders, chunk: bytes, finishing: bool
    ) -> tuple[int, HTTPHeaders, bytes]:
        scripts = " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(script).digest()).decode()}'"
            for script in _INLINE_SCRIPT.findall(chunk)
        )
        headers["Content-Security-Policy"] = "; ".join(
            (
                "default-src 'none'",
                f"script-src 'self' {scripts}",
                "style-src 'self' 'unsafe-inline'",
                "img-src 'self' data: blob:",
                "font-src 'self' data:",
                "connect-src 'self'",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'none'",
            )
        )
        headers["X-Content-Type-Options"] = "nosniff"
        headers["Referrer-Policy"] = "no-referrer"
        headers["Cross-Origin-Resource-Policy"] = "same-origin"
        headers["Cache-Control"] = "no-store"
        return status_code, headers, chunk
