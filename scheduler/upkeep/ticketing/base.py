# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all adapters share. An adapter says only how its system wants to be asked: the methods that begin with ``_``."""

from __future__ import annotations

import re
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line

from . import text as texts
from .http import Http, Missing
from .protocol import (
    ATTACHMENT_LIMIT,
    COMMENTS_LIMIT,
    KEY,
    MARKER,
    TEXT_LIMIT,
    TITLE_LIMIT,
    Check,
    Comment,
    Draft,
    Held,
    Later,
    Refused,
    Remote,
    RemoteState,
    State,
    marked,
    unmarked,
)
from .settings import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from .settings import TicketSystemSettings

REMOTE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9$_.:-]{0,99}")
"""Identifiers there, to be matched in full: they go into paths and queries."""
TEST_KEY = "upkeep-probe"


class System:
    """One configured ticket system; the public methods are those of protocol.TicketSystem."""

    title_limit: ClassVar[int] = TITLE_LIMIT
    text_limit: ClassVar[int] = TEXT_LIMIT

    def __init__(self, settings: TicketSystemSettings) -> None:
        self.settings = settings
        self._depth = 0
        self.http = Http(
            settings.url,
            secrets=settings.secrets,
            headers={"Accept": "application/json"} | self._headers(),
            auth=(settings.user, settings.password or settings.token) if settings.user else None,
            timeout=settings.timeout,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
        )

    @property
    def name(self) -> str:
        """As the configuration names it."""
        return self.settings.name

    @property
    def settle(self) -> float:
        """See the protocol."""
        return self.settings.settle + KINDS[self.settings.kind].lag

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    # -- what an adapter says ------------------------------------------------

    def _headers(self) -> dict[str, str]:
        return {}

    def _find(self, key: str) -> Iterable[Remote]:
        """All that carry the key, the oldest first.

        Each adapter looks at the key in what it gets once more: several systems leave out a condition that they do not
        know, and answer with everything.
        """
        raise NotImplementedError

    def _open(self, draft: Draft, title: str, body: str, fields: dict[str, Any]) -> Remote:
        """``fields``: the mapped priority and the configured fields, in this order."""
        raise NotImplementedError

    def _comment(self, remote_id: str, body: str) -> None:
        raise NotImplementedError

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        raise NotImplementedError

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        raise NotImplementedError

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        """Bring it to a state, with the words ("": they are there already) and further fields.

        Raises Refused where the system has no such way, also if it says nothing of it.
        """
        raise NotImplementedError

    def _read(self, remote_id: str) -> RemoteState:
        """Comments with their markers still in the text: the caller takes them out."""
        raise NotImplementedError

    def _probe(self) -> Iterator[Check]:
        raise NotImplementedError

    # -- the protocol --------------------------------------------------------

    def find(self, key: str) -> Remote | None:
        """The oldest ticket that carries the key."""
        if not KEY.fullmatch(key):
            raise Refused(f"no correlation key: {clean_line(key, 80)}")
        with self._operation():
            found = list(self._find(key))
        if not found:
            return None
        first = found[0]
        return Remote(first.id, first.shown, first.url, tuple(one.id for one in found[1:]))

    def open(self, draft: Draft) -> Remote:
        """Make the ticket."""
        if not KEY.fullmatch(draft.key):
            raise Refused(f"no correlation key: {clean_line(draft.key, 80)}")
        fields = self._priority(draft) | rendered(self.settings.fields, draft.as_json())
        # For people to search by, and for the systems whose search knows texts only.
        body = self._body(marked(texts.clean(draft.text, self.text_limit - 100), draft.key))
        with self._operation():
            return self._open(draft, texts.title(draft.title, self.title_limit), body, fields)

    def comment(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        """Write a comment that carries the marker."""
        body = self._said(text, marker)
        with self._operation():
            if again and self._has(self._read_checked(remote_id), marker):
                return
            self._comment(_id(remote_id), body)

    def attach(self, remote_id: str, name: str, content: bytes, *, again: bool = False) -> None:
        """Add a file."""
        name = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-100:].lstrip(".") or "evidence.txt"
        if len(content) > ATTACHMENT_LIMIT:
            raise Refused(f"the file {name} has {len(content)} bytes, and at most {ATTACHMENT_LIMIT} are sent")
        with self._operation():
            if again and name in self._read_checked(remote_id).attachments:
                return
            self._attach(_id(remote_id), name, content)

    def update(self, remote_id: str, draft: Draft) -> None:
        """Set title and priority."""
        with self._operation():
            self._update(_id(remote_id), texts.title(draft.title, self.title_limit), self._priority(draft))

    def resolve(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        """Bring it to the resolved state, unless it is there. Looks first in any case."""
        with self._operation():
            now = self._read_checked(remote_id)
            if now.state == "resolved":
                return
            if self.settings.before_resolved and now.raw_state != self.settings.before_resolved:
                self._turn(_id(remote_id), now, self.settings.before_resolved, "", {})
                now = self._read_checked(remote_id)
            self._turned(remote_id, now, self.settings.resolved, text, marker, self.settings.resolve_fields)

    def reopen(self, remote_id: str, text: str, marker: str, *, again: bool = False) -> None:
        """Bring it back to work, unless it is open. Looks first in any case."""
        with self._operation():
            now = self._read_checked(remote_id)
            if now.state == "resolved":
                self._turned(remote_id, now, self.settings.reopened, text, marker, self.settings.reopen_fields)

    def read(self, remote_id: str) -> RemoteState:
        """What people did there."""
        with self._operation():
            try:
                now = self._read(_id(remote_id))
            except Missing:
                self._rest_is_there()
                return RemoteState("gone")
        comments = []
        for one in now.comments[-COMMENTS_LIMIT:]:
            text, marker = unmarked(texts.read(one.text, self.settings.format))
            comments.append(Comment(one.id, clean_line(one.author, 200), one.at, text, marker))
        return RemoteState(
            now.state,
            clean_line(now.raw_state, 100),
            clean_line(now.assignee, 200),
            clean_line(now.priority, 100),
            tuple(comments),
            now.attachments,
        )

    def probe(self, *, write: bool = False) -> list[Check]:
        """Whether all that is needed is there; what cannot be looked at is a failed check, never an error."""
        checks: list[Check] = []
        try:
            with self._operation():
                checks.extend(self._probe())
        except Later as error:
            remedy = "is the server up, and does this machine reach it (url, firewall, proxy)? Then try again"
            checks.append(Check("answers", False, str(error), remedy))
        except Held as error:
            remedy = "correct the credentials, or give their user the right; then: upkeep outbox release"
            checks.append(Check("credentials", False, str(error), f"{remedy} {self.settings.name}"))
        except Refused as error:
            checks.append(Check("answers", False, str(error), "see url, project, type and fields in upkeep.yml"))
        if write and all(check.ok for check in checks):
            checks.extend(self._try_out())
        return checks

    # -- common parts --------------------------------------------------------

    @contextmanager
    def _operation(self) -> Iterator[None]:
        """Once something was written there, whatever fails afterwards leaves the outcome unknown."""
        self.http.wrote = self.http.wrote and self._depth > 0
        self._depth += 1
        try:
            yield
        except Later as error:
            error.unknown = error.unknown or self.http.wrote
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            # The answer is JSON, but not of the documented shape.
            raise Later(
                f"{self.name} answers with something else than is documented ({type(error).__name__}: "
                f"{clean_line(error, 100)})",
                unknown=self.http.wrote,
            ) from None
        finally:
            self._depth -= 1

    def _rest_is_there(self) -> None:
        """One ticket is gone, or all of the system is: a wrong address must not look as if people had removed all."""
        try:
            list(self._find(f"{TEST_KEY}-none"))
        except Missing as error:
            raise Later(f"nothing is found there, not even the search: a wrong address? {error}") from None

    def _read_checked(self, remote_id: str) -> RemoteState:
        now = self.read(remote_id)
        if now.state == "gone":
            raise Refused(f"the ticket {clean_line(remote_id, 100)} is no longer there, or out of our sight")
        return now

    def _turned(
        self, remote_id: str, now: RemoteState, state: str, text: str, marker: str, fields: Mapping[str, Any]
    ) -> None:
        body = "" if self._has(now, marker) else self._said(text, marker)
        self._turn(_id(remote_id), now, state, body, rendered(dict(fields), {"text": texts.clean(text, 4000)}))
        after = self._read_checked(remote_id)
        done = state == self.settings.resolved
        if after.raw_state == now.raw_state or (done and after.state != "resolved"):
            # Several systems answer a change of state that they do not allow with success.
            raise Refused(f"{self.name} left the state at {after.raw_state!r} instead of {state!r}: see its workflow")

    def _has(self, now: RemoteState, marker: str) -> bool:
        return any(one.marker == marker for one in now.comments)

    def _said(self, text: str, marker: str) -> str:
        if not MARKER.fullmatch(marker):
            raise Refused(f"no marker: {clean_line(marker, 80)}")
        return self._body(marked(texts.clean(text, self.text_limit - 100), marker))

    def _body(self, text: str) -> str:
        return texts.written(text, self.settings.format)

    def _file_note(self, name: str) -> str:
        """The comment that carries a file, marked as ours."""
        return self._body(marked(f"File: {name}", f"file.{name}"[:80]))

    def _priority(self, draft: Draft) -> dict[str, Any]:
        given = self.settings.priorities.get(draft.priority)
        if given is None or given == "":
            return {}
        return rendered(given, draft.as_json()) if isinstance(given, dict) else self._named_priority(given)

    def _named_priority(self, name: str) -> dict[str, Any]:
        """A priority that the configuration names by one text, as fields."""
        return {"priority": name}

    def _state(self, raw: str, done: bool = False, waiting: bool = False) -> State:
        """Ours for theirs; what the system itself says of a state counts as well."""
        if done or raw in self.settings.done or raw == self.settings.resolved:
            return "resolved"
        return "waiting" if waiting or raw in self.settings.waiting else "open"

    def _check(self, what: str, there: Iterable[str], wanted: str, remedy: str) -> Check:
        """Whether a name is among those that are there."""
        known = list(there)
        shown = clean_line(", ".join(known[:20]), 300) or "nothing"
        return Check(what, wanted in known, wanted if wanted in known else f"{wanted!r} is not among: {shown}", remedy)

    def _try_out(self) -> Iterator[Check]:
        """A ticket of our own: opened, read, commented, given a file, resolved."""
        stamp = f"{datetime.now(UTC):%Y%m%d%H%M%S}"
        draft = Draft(
            key=f"{TEST_KEY}-{stamp}",
            number=0,
            title="A test of Upkeep: please ignore",
            priority="P3",
            severity="low",
            cause="upkeep.probe.test",
            text="Upkeep tries whether it can open, read and resolve a ticket. It is resolved at once.",
            hosts=("upkeep-probe",),
            checks=("upkeep.probe.test",),
        )
        remote = None
        steps: tuple[tuple[str, Callable[[str], object]], ...] = (
            ("a comment", lambda it: self.comment(it, "A comment <of> Upkeep & co.", f"probe-{stamp}")),
            ("a file", lambda it: self.attach(it, f"probe-{stamp}.txt", b"evidence\n")),
            ("resolving it", lambda it: self.resolve(it, "The test is over.", f"probe-end-{stamp}")),
        )
        try:
            remote = self.open(draft)
            yield Check("a test ticket", True, f"{remote.shown} {remote.url}".strip())
        except (Refused, Held, Later) as error:
            yield Check("a test ticket", False, str(error), "see the rights, the project, type and fields")
            return
        for what, step in steps:
            try:
                step(remote.id)
                yield Check(what, True, "done")
            except (Refused, Held, Later) as error:
                yield Check(what, False, str(error), f"see the rights; the test ticket {remote.shown} may be left open")
        try:
            now = self.read(remote.id)
            ours = [one for one in now.comments if one.marker == f"probe-{stamp}"]
            yield Check("reading it back", bool(ours), f"{now.state} ({now.raw_state})", "our comment must be readable")
        except (Refused, Held, Later) as error:
            yield Check("reading it back", False, str(error), "see the rights")


def rendered(values: Any, context: Mapping[str, Any]) -> Any:
    """The configured values, with their texts filled in as templates. Raises Refused for a broken one."""
    if isinstance(values, dict):
        return {name: rendered(value, context) for name, value in values.items()}
    if isinstance(values, list):
        return [rendered(value, context) for value in values]
    if not isinstance(values, str) or ("{{" not in values and "{%" not in values):
        return values
    from jinja2 import StrictUndefined, TemplateError
    from jinja2.sandbox import SandboxedEnvironment

    try:
        made = SandboxedEnvironment(undefined=StrictUndefined).from_string(values).render(**context)
    except (TemplateError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise Refused(f"the template {clean_line(values, 100)!r} cannot be filled in: {error}") from None
    return texts.clean(made, 4000)


def when(given: Any) -> float | None:
    """A time of theirs as epoch seconds; without a zone it is UTC. None when it is none."""
    if not isinstance(given, str) or not given:
        return None
    shape = re.sub(r"([+-]\d{2})(\d{2})$", r"\1:\2", given.replace("Z", "+00:00"))  # Jira writes +0000
    try:
        at = datetime.fromisoformat(shape)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def named(value: Any, *names: str) -> str:
    """The first of these that a nested object has, as text; an object that is none gives itself."""
    if isinstance(value, dict):
        return next((str(value[name]) for name in names if value.get(name) not in (None, "")), "")
    return "" if value is None else str(value)


def _id(remote_id: str) -> str:
    if not REMOTE_ID.fullmatch(remote_id):
        raise Refused(f"no identifier of a ticket there: {clean_line(remote_id, 100)!r}")
    return remote_id
