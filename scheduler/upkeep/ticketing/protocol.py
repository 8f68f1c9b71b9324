# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Upkeep asks of a ticket system, and what it gets back. Imports nothing heavy.

Exactly once: a ticket carries our correlation key, a comment our marker, a file its name. After an attempt whose
outcome is not known the caller waits ``settle`` seconds, then looks by them before it writes again: ``find`` before
``open``; ``again=True`` makes each other method look by itself.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

State = Literal["open", "waiting", "resolved", "gone"]
"""Of a ticket outside: to be worked on; standing still for somebody else; done (resolved, closed, rejected);
removed or out of our sight."""

TITLE_LIMIT = 200
"""Characters of a title: ServiceNow takes 160, RT 200, Redmine and Jira 255 (each adapter cuts to its own)."""
TEXT_LIMIT = 30_000
"""Characters of a description or a comment that is sent: Jira takes 32,767."""
COMMENTS_LIMIT = 500
"""Comments of one ticket that are read back, the newest."""
ATTACHMENT_LIMIT = 5_000_000
"""Bytes of a file that is attached: Redmine's default limit is 5 MiB, Jira's 10 MB."""


class Refused(Exception):  # noqa: N818 - reads as a sentence where it is raised; an outcome, not a bug
    """This can never succeed as it stands (a wrong field, no such project): told to a person, not tried again."""


class Held(Exception):  # noqa: N818
    """Our credentials or rights are refused: nothing of this system is tried until a person has looked."""


class Later(Exception):  # noqa: N818
    """Not now. ``after``: seconds that the server asked for. ``unknown``: it may have been done nevertheless."""

    def __init__(self, why: str, after: float | None = None, *, unknown: bool = False) -> None:
        super().__init__(why)
        self.after = after
        self.unknown = unknown


@dataclass(frozen=True)
class Draft:
    """A ticket of ours as an adapter sees it: plain texts, bounded by the caller, hostile all the same.

    ``as_json`` and ``of_json`` carry it through the outbox.
    """

    key: str
    """The correlation key: letters, digits, ``-`` and ``_`` (see KEY)."""
    number: int
    title: str
    priority: str  # P1 | P2 | P3
    severity: str
    cause: str
    text: str
    """The description: several lines of plain text."""
    checks: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    subjects: tuple[str, ...] = ()
    opened: float = 0.0
    """Epoch seconds."""

    def as_json(self) -> dict[str, Any]:
        """For the outbox."""
        return asdict(self)

    @classmethod
    def of_json(cls, given: Mapping[str, Any]) -> Draft:
        """Back again; keys that this version does not know are left out."""
        known = {one.name for one in fields(cls)}
        values: dict[str, Any] = {name: value for name, value in given.items() if name in known}
        for name, value in values.items():
            values[name] = tuple(value) if isinstance(value, list) else value
        return cls(**values)


@dataclass(frozen=True)
class Remote:
    """A ticket outside, by its identifier for the interface, its name for people, and its page."""

    id: str
    shown: str
    url: str = ""
    doubles: tuple[str, ...] = ()
    """Of ``find``: identifiers of further, newer tickets that carry the same key; should be none, ever."""


@dataclass(frozen=True)
class Comment:
    """What somebody wrote there."""

    id: str
    author: str
    at: float | None
    """Epoch seconds; None when the system does not say."""
    text: str
    """Plain text, without our marker."""
    marker: str = ""
    """Of our own comments; "" of people's."""

    @property
    def ours(self) -> bool:
        """Whether Upkeep wrote it."""
        return bool(self.marker)


@dataclass(frozen=True)
class RemoteState:
    """A ticket as it stands there."""

    state: State
    raw_state: str = ""
    assignee: str = ""
    priority: str = ""
    """As the system names it."""
    comments: tuple[Comment, ...] = ()
    """Oldest first; at most COMMENTS_LIMIT, the newest."""
    attachments: tuple[str, ...] = ()
    """Names of the files."""


@dataclass(frozen=True)
class Check:
    """One line of what ``probe`` looked at."""

    what: str
    ok: bool
    found: str = ""
    remedy: str = ""


class TicketSystem(Protocol):
    """One ticket system. Every method may raise Refused, Held or Later, and nothing else for what happens outside."""

    @property
    def name(self) -> str:
        """As the configuration names it."""
        ...

    @property
    def settle(self) -> float:
        """Seconds after the begin of an attempt of unknown outcome until a look can be believed.

        The time that the server may take to commit, and what its search lags behind.
        """
        ...

    def find(self, key: str) -> Remote | None:
        """The ticket that carries the key, whatever its state; the oldest, when there are several."""
        ...

    def open(self, draft: Draft) -> Remote:
        """Make the ticket. Never looks before: that is the caller's (see ``settle``)."""
        ...

    def comment(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        """Write a comment that carries the marker. ``again``: only if none carries it yet."""
        ...

    def attach(self, remote_id: str, name: str, content: bytes, *, again: bool = False) -> None:
        """Add a file; the caller makes its name unique in the ticket. ``again``: only if none has that name yet."""
        ...

    def update(self, remote_id: str, draft: Draft) -> None:
        """Set title and priority to the draft's, nothing else: the rest belongs to the people there."""
        ...

    def resolve(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        """Say why, and bring it to the configured resolved state. Does nothing when it is done there already."""
        ...

    def reopen(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        """Say why, and bring it back to work. Does nothing when it is open there already.

        Raises Refused where a state of that system has no way back (GLPI or ServiceNow may be set up so): the caller
        opens a new ticket that names the old one.
        """
        ...

    def read(self, remote_id: str) -> RemoteState:
        """What people did there; state ``gone`` instead of an error when it is no longer there."""
        ...

    def probe(self, *, write: bool = False) -> list[Check]:
        """Whether every right and field that is needed is there. Without ``write`` nothing is changed there."""
        ...

    def close(self) -> None:
        """Let go of the connections."""
        ...


KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A correlation key, to be matched in full: it goes into queries, so nothing that could end a string is in it."""
MARKER = re.compile(r"[A-Za-z0-9._-]{1,80}")
"""A marker, to be matched in full."""
# Alone in the last line: a person who answers by e-mail quotes ours with "> " before it, or writes below it.
_MARKED = re.compile(r"(?:\A|\n)[ \t]*\[upkeep:([A-Za-z0-9._-]{1,80})\]\s*\Z")


def marked(text: str, marker: str) -> str:
    """The text with the marker in its last line."""
    if not MARKER.fullmatch(marker):
        raise ValueError(f"no marker: {marker!r}")
    return f"{text.rstrip()}\n\n[upkeep:{marker}]"


def unmarked(text: str) -> tuple[str, str]:
    """A comment's text and its marker ("": none)."""
    found = _MARKED.search(text)
    return (text[: found.start()].rstrip(), found[1]) if found else (text.strip(), "")
