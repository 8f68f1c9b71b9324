# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the emulators share. An emulator is a stand-in: it speaks the vendor's documented protocol and refuses what that
documentation says is refused; it is not the product, and a tenant's own rules are not in it.

Faults of the network and of overloaded servers are the proxy's work (proxy.py), before emulators and real systems
alike.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.ticketing import loopback

Route = Callable[..., "Reply"]


@dataclass
class Request:
    """One request as an emulator sees it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> Any:
        """The body; 400 when it is none, as every vendor does."""
        if not self.headers.get("content-type", "").startswith("application/json"):
            raise Reply(415, {"message": "Unsupported Media Type"})
        try:
            return json.loads(self.raw)
        except ValueError:
            raise Reply(400, {"message": "malformed JSON"}) from None

    def parts(self) -> dict[str, tuple[str | None, bytes]]:
        """A multipart body: file name and content by field."""
        head = f"Content-Type: {self.headers['content-type']}\r\n\r\n".encode()
        message = BytesParser(policy=HTTP).parsebytes(head + self.raw)
        return {
            str(part.get_param("name", header="content-disposition")): (
                part.get_filename(),
                part.get_payload(decode=True),
            )
            for part in message.iter_parts()
        }


class Reply(Exception):  # noqa: N818 - an answer, whether good or bad
    """An answer."""

    def __init__(self, status: int, body: Any = None, headers: dict[str, str] | None = None) -> None:
        super().__init__(status)
        self.status = status
        self.body = body
        self.headers = headers or {}


@dataclass
class Ticket:
    """What every emulator keeps of a ticket."""

    id: str
    fields: dict[str, Any]
    created: float
    comments: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    removed: bool = False


def route(method: str, pattern: str) -> Callable[[Route], Route]:
    """Marks a method of an emulator as the answer to requests of this shape."""

    def mark(function: Route) -> Route:
        function.route = (method, re.compile(pattern))  # type: ignore[attr-defined]
        return function

    return mark


class Emulator:
    """A server on loopback; ``url`` is its address."""

    lag = 0.0
    """Seconds that its search is behind its writes."""

    def __init__(self) -> None:
        self.tickets: dict[str, Ticket] = {}
        self.lock = threading.RLock()
        self.log: list[str] = []
        self._last = 100
        self._routes = [
            (*function.route, function) for name in dir(self) if hasattr(function := getattr(self, name), "route")
        ]
        emulator = self

        class Answering(loopback.Handler):
            def answer(self) -> None:
                parts = urlsplit(self.path)
                request = Request(
                    self.command,
                    parts.path,
                    {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    self.body(),
                )
                reply = emulator.answer(request)
                body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                body = b"" if reply.status == 204 else body
                self.send_response(reply.status)
                for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = loopback.Loopback(Answering)
        self.url = self._server.address

    def stop(self) -> None:
        """End it."""
        self._server.stop()

    def answer(self, request: Request) -> Reply:
        """One request, one after another."""
        with self.lock:
            self.log.append(f"{request.method} {request.path}")
            try:
                self.authenticate(request)
                for method, pattern, function in self._routes:
                    found = pattern.fullmatch(request.path)
                    if found and method == request.method:
                        return function(request, *map(unquote, found.groups()))
            except Reply as reply:
                return reply
            except Exception as error:  # noqa: BLE001 - a bug of the emulator must be seen in the test
                return Reply(500, {"emulator": repr(error)})
            return Reply(404, {"message": f"no such resource: {request.method} {request.path}"})

    # -- for the emulators ---------------------------------------------------

    def authenticate(self, request: Request) -> None:
        """Raises Reply for who may not come in."""
        raise NotImplementedError

    def add(self, fields: dict[str, Any]) -> Ticket:
        """A new ticket."""
        ticket = Ticket(str(self.number()), fields, time.time())
        self.tickets[ticket.id] = ticket
        return ticket

    def number(self) -> int:
        """A number that was not there before."""
        self._last += 1
        return self._last

    def indexed(self) -> list[Ticket]:
        """What the search knows by now."""
        return [one for one in self.tickets.values() if not one.removed and one.created <= time.time() - self.lag]


def stamp(at: float | None = None) -> str:
    """A time as most vendors write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


def only(given: dict[str, Any], known: set[str], status: int, error: Callable[[list[str]], Any]) -> None:
    """Refuse fields that are not known."""
    unknown = sorted(set(given) - known)
    if unknown:
        raise Reply(status, error(unknown))
