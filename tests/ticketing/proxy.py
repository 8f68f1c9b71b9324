# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy before a ticket system, emulated or real, that fails on demand in every way that networks and servers do."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import urlsplit

from tests.ticketing import loopback

HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Fault:
    """What happens to the next request that it is for."""

    how: str
    """status, reset (before anything is done), lost (done, the answer is not), late (done after the client gave up),
    html (200 with a web page), garbage (200, no JSON), huge, drip (a byte at a time), redirect, hang (never done)"""
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"error": "on purpose"}'
    delay: float = 0.0
    """Seconds, of late."""
    methods: tuple[str, ...] = ("POST", "PUT", "PATCH")
    path: str = ""
    """Part of the path that it is for."""


class Proxy:
    """``url`` stands for the system; ``faults`` happen one after another."""

    def __init__(self, target: str) -> None:
        self.target = urlsplit(target)
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        self.late: list[threading.Thread] = []
        proxy = self

        class Answering(loopback.Handler):
            def answer(self) -> None:
                body = self.body()
                fault = proxy._next(self.command, self.path)
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
                proxy._answer(self, fault, headers, body)

        self._server = loopback.Loopback(Answering)
        self.url = f"{self._server.address}{self.target.path}"

    def stop(self) -> None:
        """End it."""
        self.settle()
        self._server.stop()

    def settle(self) -> None:
        """Until what was to be done late is done."""
        for thread in self.late:
            thread.join(30)
        self.late.clear()

    def _next(self, method: str, path: str) -> Fault | None:
        with self.lock:
            for number, fault in enumerate(self.faults):
                if method in fault.methods and fault.path in path:
                    return self.faults.pop(number)
        return None

    def _answer(self, handler: BaseHTTPRequestHandler, fault: Fault | None, headers: Any, body: bytes) -> None:
        how = fault.how if fault else ""
        if fault is None or how == "lost":
            answer = self._forward(handler.command, handler.path, headers, body)
            if how == "lost":
                _reset(handler)
            else:
                _send(handler, *answer)
        elif how in ("late", "hang"):
            if how == "late":
                arguments = (fault.delay, handler.command, handler.path, headers, body)
                self.late.append(threading.Thread(target=self._later, args=arguments, daemon=True))
                self.late[-1].start()
            time.sleep(fault.delay)
            handler.close_connection = True
        elif how == "reset":
            _reset(handler)
        elif how == "status":
            _send(handler, fault.status, {"Content-Type": "application/json"} | fault.headers, fault.body)
        elif how == "html":
            _send(handler, 200, {"Content-Type": "text/html"}, b"<!DOCTYPE html><html><body>Maintenance</body></html>")
        elif how == "garbage":
            _send(handler, 200, {"Content-Type": "application/json"}, b'{"result": [unfinished')
        elif how == "huge":
            _send(handler, 200, {"Content-Type": "application/json"}, b"[" + b" " * 11_000_000 + b"]")
        elif how == "redirect":
            _send(handler, 302, fault.headers, b"")
        elif how == "drip":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000000")
            handler.end_headers()
            with contextlib.suppress(OSError):
                while True:
                    handler.wfile.write(b" ")
                    handler.wfile.flush()
                    time.sleep(0.02)
        else:
            raise AssertionError(how)

    def _later(self, delay: float, method: str, path: str, headers: Any, body: bytes) -> None:
        time.sleep(delay)
        self._forward(method, path, headers, body)

    def _forward(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection(self.target.hostname or "", self.target.port, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            answer = connection.getresponse()
            kept = {name: value for name, value in answer.getheaders() if name.lower() not in HOP}
            return answer.status, kept, answer.read()
        finally:
            connection.close()


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        if name.lower() not in ("date", "server"):
            handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    with contextlib.suppress(OSError):
        handler.wfile.write(body)


def _reset(handler: BaseHTTPRequestHandler) -> None:
    """RST instead of FIN."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.connection.close()
