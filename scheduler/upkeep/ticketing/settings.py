# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A ticket system as it is configured, and which tickets go there. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Literal

from ..errors import UpkeepError
from .protocol import Held

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..secret import SecretPlace
    from .protocol import Draft

Format = Literal["plain", "html", "markdown", "textile", "jira"]
"""How a body is written so that all of it stays text there: see text.py."""
OnGone = Literal["new", "unlink"]

Values = dict[str, Any]
"""Fields of a ticket there: texts are Jinja2 templates over the ticket, all else is sent as it stands."""


@dataclass(frozen=True)
class Kind:
    """What is particular to one kind of system, for the configuration: needs, and usual values."""

    needs: tuple[str, ...]
    """Keys without which it cannot work."""
    format: Format
    priorities: Mapping[str, str | Values]
    resolved: str
    reopened: str
    done: tuple[str, ...]
    """States that mean: nobody works on it any more."""
    waiting: tuple[str, ...]
    type: str = ""
    key_field: str = ""
    private: bool = True
    """Whether comments are for the team only, unless configured otherwise."""
    lag: float = 0.0
    """Seconds that its search may lag behind its writes."""


KINDS: Mapping[str, Kind] = {
    "itsm365": Kind(
        needs=("url", "token"),
        format="html",
        priorities={},
        resolved="resolved",
        reopened="registered",
        done=("resolved", "closed"),
        waiting=("wait", "waiting", "pending", "suspended"),
        type="serviceCall$call",
        key_field="sourceMesId",
    ),
    # Urgency and impact give the priority (1, 1: critical). 3 On Hold, 6 Resolved, 7 Closed, 8 Canceled
    "servicenow": Kind(
        needs=("url",),
        format="plain",
        priorities={
            "P1": {"urgency": "1", "impact": "1"},
            "P2": {"urgency": "2", "impact": "1"},
            "P3": {"urgency": "2", "impact": "2"},
        },
        resolved="6",
        reopened="2",
        done=("6", "7", "8"),
        waiting=("3",),
        type="incident",
        key_field="correlation_id",
    ),
    "jira": Kind(
        needs=("url", "project"),
        format="jira",
        priorities={"P1": "Highest", "P2": "High", "P3": "Medium"},
        resolved="Done",
        reopened="To Do",
        done=(),  # by the category of the status
        waiting=("Waiting for customer", "Waiting for support", "Pending", "On Hold"),
        type="Task",
        key_field="labels",
        lag=60.0,
    ),
    # 1 New, 2 and 3 Processing, 4 Pending, 5 Solved, 6 Closed; urgency and priority from 1 (very low) to 6 (major).
    "glpi": Kind(
        needs=("url", "token"),
        format="html",
        priorities={
            "P1": {"urgency": 5, "impact": 5, "priority": 5},
            "P2": {"urgency": 4, "impact": 4, "priority": 4},
            "P3": {"urgency": 3, "impact": 3, "priority": 3},
        },
        resolved="5",
        reopened="2",
        done=("5", "6"),
        waiting=("4",),
        type="1",
        key_field="externalid",
    ),
    "zammad": Kind(
        needs=("url", "token", "project", "customer"),
        format="html",
        priorities={"P1": "3 high", "P2": "3 high", "P3": "2 normal"},
        resolved="closed",
        reopened="open",
        done=("closed", "merged", "removed"),
        waiting=("pending reminder", "pending close"),
        key_field="upkeep_key",
        lag=60.0,
    ),
    "redmine": Kind(
        needs=("url", "token", "project", "type", "key_field"),
        format="textile",
        priorities={"P1": "Immediate", "P2": "Urgent", "P3": "Normal"},
        resolved="Closed",
        reopened="In Progress",
        done=(),  # by what Redmine says of the status
        waiting=("Feedback",),
        private=False,  # private notes need a right of their own
    ),
    "rt": Kind(
        needs=("url", "project"),
        format="plain",
        priorities={"P1": "100", "P2": "80", "P3": "50"},
        resolved="resolved",
        reopened="open",
        done=("resolved", "rejected", "deleted"),
        waiting=("stalled",),
        key_field="UpkeepKey",
    ),
    "gitlab": Kind(
        needs=("url", "token", "project"),
        format="markdown",
        priorities={"P1": "priority::1", "P2": "priority::2", "P3": "priority::3"},
        resolved="closed",
        reopened="opened",
        done=("closed",),
        waiting=(),
        type="issue",
        key_field="description",
    ),
}


@dataclass(frozen=True)
class TicketSystemSettings:
    """One ticket system of ``ticket_systems``; empty texts are replaced by the kind's usual ones where it is read."""

    name: str
    kind: str
    url: str
    token: str = field(default="", repr=False)
    """API key or token; of GLPI the user's. This and the next ones are empty until ``with_secrets``."""
    app_token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)
    places: Mapping[str, SecretPlace] = field(default_factory=dict)
    """Where the secrets stand, by the names of their fields here."""
    project: str = ""
    """Where tickets go: project, queue, group or (ITSM365) team."""
    type: str = ""
    """Type of the ticket: class, table, tracker, issue type."""
    key_field: str = ""
    """The field that carries our correlation key."""
    customer: str = ""
    """On whose behalf a ticket is opened (Zammad: e-mail address; RT: requestor)."""
    priorities: Mapping[str, str | Values] = field(default_factory=dict)
    """Ours (P1 …) to theirs: a name, or the fields that make it."""
    fields: Values = field(default_factory=dict)
    """Further fields of a new ticket: category, assignment group, service …"""
    resolve_fields: Values = field(default_factory=dict)
    """Further fields when it is resolved: closing code …"""
    reopen_fields: Values = field(default_factory=dict)
    resolved: str = ""
    """The state that "resolved" is brought to there."""
    before_resolved: str = ""
    """A state that it must pass first; some tenants of ITSM365 want inprogress before resolved."""
    reopened: str = ""
    """The state that a reopened ticket is brought to."""
    done: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    format: Format = "plain"
    private: bool = True
    """Whether comments are for the team only, where the system knows that."""
    ca_file: str = ""
    proxy: str = field(default="", repr=False)
    timeout: float = 30.0
    """Seconds to wait for an answer."""
    settle: float = 180.0
    """Seconds after the begin of an attempt of unknown outcome until a look there can be believed."""
    poll: float = 300.0
    """Seconds between two readings of a ticket there."""
    on_gone: OnGone = "new"
    """What becomes of an open ticket of ours whose image was removed there."""
    only_priorities: tuple[str, ...] = ()
    only_checks: tuple[str, ...] = ()
    only_hosts: tuple[str, ...] = ()
    """Which tickets go there; empty: all. Patterns of checks and hosts as in a shell."""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(one for one in (self.token, self.app_token, self.password) if one)

    def with_secrets(self) -> TicketSystemSettings:
        """With the secrets read from their places. Raises Held when one is not there."""
        try:
            # The fields of the places are texts, which mypy cannot see.
            return replace(self, **{name: place.read() for name, place in self.places.items()})  # type: ignore[arg-type]
        except UpkeepError as error:
            raise Held(f"{error.what}: {error.expected}, found {error.found}") from None

    def takes(self, draft: Draft) -> bool:
        """Whether a ticket goes there: its priority, one of its checks and one of its hosts match."""
        return (
            (not self.only_priorities or draft.priority in self.only_priorities)
            and _matches(draft.checks, self.only_checks)
            and _matches(draft.hosts, self.only_hosts)
        )


def _matches(names: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(name, pattern) for name in names for pattern in patterns)
