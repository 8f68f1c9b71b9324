# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ticket system for tests: it keeps the protocol, and can fail at every request in every way that one can.

``TicketServer`` is the other side, with a clock of its own; ``FakeSystem`` is an adapter for it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from upkeep.ticketing.protocol import Check, Comment, Draft, Held, Later, Refused, Remote, RemoteState, State

SETTLE = 30.0
"""Seconds that the fake may take to commit late, at most."""


Answer = TypeVar("Answer")


class Crash(BaseException):
    """The process is gone, as far as the code under test can see."""


@dataclass
class There:
    """A ticket on the other side."""

    id: str
    key: str
    draft: Draft
    state: State = "open"
    assignee: str = ""
    comments: list[Comment] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    deleted: bool = False
    raw: str = "new"


class TicketServer:
    """The other side."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tickets: dict[str, There] = {}
        self.requests: list[str] = []
        self.faults: list[str] = []
        """What becomes of the next requests; "" or none: they succeed."""
        self.always = ""
        """What becomes of all others."""
        self.no_way_back = False
        self._late: list[tuple[float, Callable[[], object]]] = []
        self._numbers = 0

    def advance(self, seconds: float) -> None:
        """Time goes by; what was to be committed late is."""
        self.now += seconds
        due = [one for one in self._late if one[0] <= self.now]
        self._late = [one for one in self._late if one[0] > self.now]
        for _at, act in due:
            act()

    def number(self) -> str:
        """A new identifier."""
        self._numbers += 1
        return str(self._numbers)

    def one(self, remote_id: str) -> There:
        """A ticket; Refused when it is no longer there."""
        ticket = self.tickets.get(remote_id)
        if ticket is None or ticket.deleted:
            raise Refused(f"404: no ticket {remote_id}")
        return ticket

    def say(self, remote_id: str, author: str, text: str, marker: str = "") -> str:
        """Somebody writes a comment; its identifier."""
        made = Comment(self.number(), author, self.now, text, marker)
        self.one(remote_id).comments.append(made)
        return made.id

    def request(self, what: str, act: Callable[[], Answer], changes: bool) -> Answer:
        """One request, and what becomes of it."""
        self.requests.append(what)
        fault = self.faults.pop(0) if self.faults else self.always
        match fault:
            case "down":
                raise Later("connection refused")
            case "limit":
                raise Later("429 Too Many Requests", after=60.0)
            case "error":
                raise Later("500 Internal Server Error", unknown=changes)
            case "auth":
                raise Held("401 Unauthorized")
            case "crash before":
                raise Crash
            case "crash after":
                act()
                raise Crash
            case "lost":
                raise Later("time-out", unknown=changes)
            case "lost answer":
                act()
                raise Later("time-out", unknown=changes)
            case "late":
                if changes:
                    self._late.append((self.now + SETTLE * 0.9, lambda: _quietly(act)))
                raise Later("time-out", unknown=changes)
            case "late crash":
                if changes:
                    self._late.append((self.now + SETTLE * 0.9, lambda: _quietly(act)))
                raise Crash
        return act()


def _quietly(act: Callable[[], object]) -> None:
    with contextlib.suppress(Refused):
        act()


class FakeSystem:
    """An adapter: see ticketing/protocol.TicketSystem."""

    def __init__(self, server: TicketServer, name: str = "fake") -> None:
        self.server = server
        self.name = name
        self.settle = SETTLE
        self.closed = False

    def find(self, key: str) -> Remote | None:
        def act() -> Remote | None:
            found = [one for one in self.server.tickets.values() if one.key == key and not one.deleted]
            if not found:
                return None
            return Remote(found[0].id, f"T-{found[0].id}", "", tuple(one.id for one in found[1:]))

        return self.server.request(f"find {key}", act, False)

    def open(self, draft: Draft) -> Remote:
        def act() -> Remote:
            made = There(self.server.number(), draft.key, draft)
            self.server.tickets[made.id] = made
            return Remote(made.id, f"T-{made.id}", f"https://tickets/{made.id}")

        return self.server.request(f"open {draft.key}", act, True)

    def comment(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        if again and self._has(remote_id, marker):
            return
        self._say(remote_id, text, marker)

    def _say(self, remote_id: str, text: str, marker: str) -> None:
        self.server.request(f"comment {remote_id}", lambda: self.server.say(remote_id, "upkeep", text, marker), True)

    def attach(self, remote_id: str, name: str, content: bytes, *, again: bool = False) -> None:
        if again and name in self.read(remote_id).attachments:
            return

        def act() -> None:
            files = self.server.one(remote_id).files
            assert name not in files, "a file twice"
            files[name] = content

        self.server.request(f"attach {remote_id}", act, True)

    def update(self, remote_id: str, draft: Draft) -> None:
        def act() -> None:
            ticket = self.server.one(remote_id)
            ticket.draft = replace(ticket.draft, title=draft.title, priority=draft.priority)

        self.server.request(f"update {remote_id}", act, True)

    def resolve(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        self._turn(remote_id, "resolved", text, marker)

    def reopen(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        self._turn(remote_id, "open", text, marker)

    def _turn(self, remote_id: str, state: State, text: str, marker: str) -> None:
        now = self.read(remote_id)
        if now.state == "gone":
            raise Refused("404")
        if (now.state == "resolved") == (state == "resolved"):
            return
        if state == "open" and self.server.no_way_back:
            raise Refused("a closed ticket stays closed")
        if not any(one.marker == marker for one in now.comments):
            self.server.request(
                f"comment {remote_id}", lambda: self.server.say(remote_id, "upkeep", text, marker), True
            )

        def act() -> None:
            ticket = self.server.one(remote_id)
            ticket.state, ticket.raw = state, "closed" if state == "resolved" else "reopened"

        self.server.request(f"{state} {remote_id}", act, True)

    def _has(self, remote_id: str, marker: str) -> bool:
        return any(one.marker == marker for one in self.read(remote_id).comments)

    def read(self, remote_id: str) -> RemoteState:
        def act() -> RemoteState:
            ticket = self.server.tickets.get(remote_id)
            if ticket is None or ticket.deleted:
                return RemoteState("gone")
            return RemoteState(
                ticket.state, ticket.raw, ticket.assignee, "", tuple(ticket.comments), tuple(ticket.files)
            )

        return self.server.request(f"read {remote_id}", act, False)

    def probe(self, *, write: bool = False) -> list[Check]:
        return self.server.request("probe", lambda: [Check("answers", True)], False)

    def close(self) -> None:
        self.closed = True
