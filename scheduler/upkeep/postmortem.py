# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A draft of a post-mortem: what happened when, the evidence with its digests, what was learned. As Markdown.

What comes from hosts is data: it stands in blocks that it cannot break out of, without control characters and secrets.
The digest of a finding is that of its evidence as it is in the store; the one of a run is that of its results file, as
long as that is kept. With them a reader can tell later that the evidence is what it was when this was written.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line

from . import durations, moments, sla
from .errors import UpkeepError
from .store.model import RESOLVED, WAITING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from zoneinfo import ZoneInfo

    from .store import Cycle, Entry, Store, Ticket, TicketDetail

ENTRIES = 50
"""Findings whose evidence is shown; the rest is counted."""
TO_WRITE = "_(to be written)_"


@dataclass(frozen=True)
class Results:
    """A run and its results file."""

    run: int
    what: str
    path: str
    sha256: str
    """ "": the file is not there any more."""


def results_of(store: Store, numbers: Iterable[int]) -> list[Results]:
    """The runs of these numbers with the digests of their results files. Raises UpkeepError when the store fails."""
    from .running.runner import RESULTS

    found = []
    for number in numbers:
        try:
            run = store.run(number, findings=0).run
        except UpkeepError as error:
            if error.exit_code != 2:
                raise
            continue  # retention has removed it
        path = Path(run.artifacts) / RESULTS if run.artifacts else None
        digest = ""
        if path is not None:
            try:
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()
            except OSError:
                pass
        found.append(Results(number, run.job or run.playbook, str(path or ""), digest))
    return found


def digest_of(entry: Entry) -> str:
    """The SHA-256 digest of a finding as it is in the store, in hexadecimal."""
    said = [entry.host, entry.check, entry.subject, entry.severity, entry.summary, list(entry.evidence), entry.facts]
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def draft(detail: TicketDetail, results: Sequence[Results], settings: sla.Settings, zone: ZoneInfo, now: float) -> str:
    """The draft of a ticket's post-mortem. Pure."""
    return "\n".join(_lines(detail, results, settings, zone, now)) + "\n"


def _lines(
    detail: TicketDetail, results: Sequence[Results], settings: sla.Settings, zone: ZoneInfo, now: float
) -> Iterator[str]:
    ticket = detail.ticket

    def when(moment: float) -> str:
        return moments.to_the_second(moment, zone)

    yield f"# Post-mortem of ticket #{ticket.number}: {_inline(ticket.title)}"
    yield ""
    yield f"Draft of {when(now)}; times are {zone.key}."
    yield ""
    ended = f"resolved {when(ticket.resolved)} by {_inline(ticket.resolved_by)}" if ticket.resolved else ticket.state
    yield from _table(
        ("", ""),
        [
            ("Priority", " → ".join(dict.fromkeys(clock.priority for clock in ticket.clocks))),
            ("Cause", ticket.cause),
            ("State", ended),
            ("Opened", when(ticket.opened)),
            ("Lasted", durations.shown((ticket.resolved or now) - ticket.opened)),
            ("Reopened", f"{ticket.reopened} times" if ticket.reopened else "no"),
            ("Follows", f"#{detail.follows}" if detail.follows else "no earlier one"),
            ("Key", ticket.key),
        ],
    )
    yield ""
    yield "## Promises"
    yield ""
    rows = []
    courses: list[Cycle | Ticket] = [*ticket.cycles, ticket]
    for number, course in enumerate(courses, 1):
        clocks = sla.of_ticket(course, now, settings)
        for name, deadline in (("react", clocks.react), ("solve", clocks.solve)):
            end = when(deadline.done) if deadline.done is not None else "not yet"
            kept = "missed" if deadline.state == sla.BREACHED else "kept" if deadline.done is not None else "runs"
            late = f", {durations.shown(deadline.remaining)} late" if deadline.state == sla.BREACHED else ""
            of = f"{name} ({number}. time)" if len(courses) > 1 else name
            rows.append((of, durations.shown(deadline.promised), when(deadline.due), end, kept + late))
    yield from _table(("Promise", "Within", "Due", "Done", "Kept"), rows)
    pauses = [pause for course in courses for pause in course.pauses]
    if pauses:
        yield ""
        waited = "; ".join(
            f"{when(pause.since)} to {when(pause.until) if pause.until else 'now'}"
            + (f" ({_inline(pause.why)})" if pause.why else "")
            for pause in pauses
        )
        yield f"It waited for somebody else: {waited}."
    yield ""
    yield "## What happened"
    yield ""
    events = [
        (when(line.at), line.actor, line.kind + (f" (run {line.run})" if line.run else ""), line.text)
        for line in detail.history
    ]
    yield from _table(("When", "Who", "What", ""), events)
    yield ""
    yield "## Workaround"
    yield ""
    yield from _said(ticket.workaround)
    yield "## Root cause"
    yield ""
    yield from _said(ticket.root_cause)
    yield "## How not to repeat it"
    yield ""
    yield from _said(ticket.prevention)
    if detail.learned:
        yield "## Learned earlier"
        yield ""
        for lesson in detail.learned:
            yield f"From #{lesson.number} ({_inline(lesson.cause)}):"
            yield ""
            said = (("workaround", lesson.workaround), ("cause", lesson.root_cause), ("prevention", lesson.prevention))
            yield from (f"- {name}: {_inline(text)}" for name, text in said if text)
            yield ""
    yield "## Evidence"
    yield ""
    for entry in detail.entries:
        yield f"### {_inline(entry.host)}: {_inline(entry.check)}, {_inline(entry.subject)}"
        yield ""
        gone = f"; gone at {when(entry.cleared)}" if entry.cleared is not None else ""
        yield f"{entry.severity.capitalize()}; first seen {when(entry.first_seen)}, last {when(entry.last_seen)}{gone}."
        yield ""
        yield from _block([entry.summary, *entry.evidence])
        if entry.remedy:
            yield ""
            yield f"Remedy: {_inline(entry.remedy)}"
        yield ""
        yield f"SHA-256: `{digest_of(entry)}`"
        yield ""
    if ticket.entries > len(detail.entries):
        yield f"… and {ticket.entries - len(detail.entries)} more."
        yield ""
    if results:
        yield "## Runs"
        yield ""
        runs = [
            (str(one.run), one.what, one.path or "recorded from elsewhere", one.sha256 or "not kept (any more)")
            for one in results
        ]
        yield from _table(("Run", "Of", "Results", "SHA-256"), runs)
        yield ""
    if ticket.state != RESOLVED:
        waits = " It waits for somebody else." if ticket.state == WAITING else ""
        yield f"The ticket is not resolved yet: this draft is not complete.{waits}"
        yield ""


def _said(text: str) -> Iterator[str]:
    """What a person wrote, line by line."""
    yield from (_inline(line) for line in text.splitlines()) if text else [TO_WRITE]
    yield ""


def _inline(text: str) -> str:
    """A text as itself: nothing in it is Markdown or HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~!&])", r"\\\1", clean_line(text, 2000))


def _block(lines: Iterable[str]) -> Iterator[str]:
    """Lines as a block of code whose fence none of them can close."""
    cleaned = [clean_line(line, 2000) for line in lines]
    longest = max((len(run) for line in cleaned for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield fence + "text"
    yield from cleaned
    yield fence


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows:
        yield "| " + " | ".join(_inline(cell) for cell in row) + " |"
