# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""/metrics and /healthz, in threads of the service. Bounded in all that a stranger on the network can ask for.

Neither TLS nor a password: that is a proxy's work, which the customer has already.
"""

from __future__ import annotations

import gzip
import socket
import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from ..errors import NOT_RUN, UpkeepError
from ..store import open_store
from .collect import collect
from .exposition import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..config import Config
    from ..store.facade import Store
    from .collect import Figures
    from .settings import Address

SAME_FOR = 2.0
"""Seconds for which one reading of the store serves all who ask."""
PATIENCE = 10.0
"""Seconds that a client may take to ask, and to take its answer."""
MOST_AT_ONCE = 16
"""Connections that are served at once; more wait in the kernel's queue, at most PATIENCE seconds."""

TEXT = "text/plain; charset=utf-8"


class Reader:
    """Reads the figures, at most once in SAME_FOR seconds however many ask."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self._store: Store | None = None
        self._lock = threading.Lock()
        self._last: tuple[float, Figures | None, str] = (float("-inf"), None, "")

    def figures(self) -> tuple[Figures | None, str]:
        """The figures; or None, and why the store cannot be read."""
        with self._lock:
            if time.monotonic() - self._last[0] >= SAME_FOR:
                figures, why = self._read()
                self._last = (time.monotonic(), figures, why)
            return self._last[1], self._last[2]

    def _read(self) -> tuple[Figures | None, str]:
        begin = time.perf_counter()
        try:
            if self._store is None:
                self._store = open_store(self.config.store_url, self.config.home)
            figures = collect(self._store, self.config, time.time())
        except UpkeepError as error:
            # Opened anew next time: the file may have been replaced, the server restarted.
            self.close()
            return None, f"{error.what}: {error.found}" if error.found else error.what
        figures.seconds = time.perf_counter() - begin
        return figures, ""

    def close(self) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()
            self._store = None


class Endpoint:
    """A server that runs until it is closed."""

    def __init__(self, config: Config, address: Address, healthy: Callable[[], str] | None = None) -> None:
        self.reader = Reader(config)
        self.healthy = healthy
        try:
            self._server = _Server(address, self)
        except (OSError, UnicodeError) as error:
            raise UpkeepError(
                f"metrics.listen: {address} cannot be listened on",
                expected="an address of this machine and a port that nothing else uses",
                found=getattr(error, "strerror", None) or str(error),
                remedy="correct metrics.listen in upkeep.yml, or see who has the port: ss -ltnp",
                exit_code=NOT_RUN,
            ) from error
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(PATIENCE)
        self.reader.close()

    def health(self) -> str:
        """What is wrong, "" when nothing is."""
        _figures, why = self.reader.figures()
        return why or (self.healthy() if self.healthy is not None else "")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A client that has stopped reading must not hold up the end of the service.
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: Address, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._places = threading.BoundedSemaphore(MOST_AT_ONCE)
        family, place = _resolved(address)
        self.address_family = family
        super().__init__(place, _Handler)

    def server_bind(self) -> None:
        # Not HTTPServer's: it asks the name service who we are, which may take long and which nobody needs.
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if self.server_address[0] == "::" else 1)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        if self._places.acquire(timeout=PATIENCE):
            try:
                super().process_request(request, client_address)
            except BaseException:
                self._places.release()  # there is no thread that would
                raise
        else:
            # Others keep all places busy, byte by byte perhaps: the end of the service must not wait for them.
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        # A client that hangs up is none of our business; anything else is told in a line.
        if not isinstance(error, OSError):
            print(f"upkeep: metrics: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def _resolved(address: Address) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    if address.host == "" and socket.has_dualstack_ipv6():
        return socket.AF_INET6, ("::", address.port, 0, 0)
    found = socket.getaddrinfo(address.host or "0.0.0.0", address.port, type=socket.SOCK_STREAM)  # noqa: S104 - as configured
    return found[0][0], found[0][4]


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    server_version = "upkeep"
    sys_version = ""
    timeout = PATIENCE

    def do_GET(self) -> None:
        """Answer."""
        endpoint = self.server.endpoint
        match self.path.partition("?")[0]:
            case "/metrics":
                figures, _why = endpoint.reader.figures()
                body, media_type = render(figures, self.headers.get("Accept", ""))
                # Also when the store cannot be read: upkeep_store_up says so, and everything else is absent.
                self._answer(HTTPStatus.OK, body, media_type)
            case "/healthz":
                wrong = endpoint.health()
                status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
                self._answer(status, f"{wrong or 'ok'}\n".encode(), TEXT)
            case "/":
                self._answer(HTTPStatus.OK, b"Upkeep. Figures for Prometheus: /metrics. Health: /healthz.\n", TEXT)
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"There are /metrics and /healthz here.\n", TEXT)

    do_HEAD = do_GET  # noqa: N815 - as http.server names it

    def _answer(self, status: HTTPStatus, body: bytes, media_type: str) -> None:
        self.send_response(status)
        if len(body) > 1000 and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Vary", "Accept, Accept-Encoding")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape every few seconds is nothing to write down."""
