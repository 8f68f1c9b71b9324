# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a ticket system is told of a ticket: its draft, its evidence, a comment for each run. Pure.

Proofs are told where they are evidence: with what opens a ticket (or opens it again, or is added to it), and with what
resolves it. A test that ends as the last one did changes nothing in a ticket, and is not told.

Plain text with bounded length. Findings quote logs and hosts, so a line of them may say anything: no line of ours is
taken for a marker or a control character when it comes back.
"""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING

from .. import proof_text
from ..moments import plain
from .protocol import TEXT_LIMIT, TITLE_LIMIT, Draft

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..store.model import Entry, HistoryLine, Proof, TicketDetail

NAMED = 200
"""Hosts, checks and subjects that a draft names each."""
SHOWN_ENTRIES = 20
SHOWN_EVIDENCE = 5
"""Entries of a description, and lines of evidence of each; the rest is in the attached file."""
LINE_LIMIT = 1000
"""Characters of a line of evidence."""
SHOWN_PROOFS = 10
SHOWN_FACTS = 20
"""Proofs that are told with what resolves a ticket, and lines of the facts of each; ``upkeep proofs show`` has all."""
FILE_LIMIT = 400_000
"""Characters of a file of evidence."""

PEOPLES = {
    "comment": "{actor}: {text}",
    "workaround": "{actor} offers a workaround: {text}",
    "root_cause": "{actor} found the cause: {text}",
    "prevention": "{actor}, on how not to repeat it: {text}",
    "acknowledged": "{actor} is on it. {text}",
    "assigned": "{actor} assigned it to {text}",
    "waiting": "{actor} lets it wait. {text}",
    "continued": "{actor} goes on with it. {text}",
}
"""Kinds of history that are a person's word, and how it is passed on."""

OF_RUNS = ("priority", "added", "cleared", "ignored", "moved")
"""Kinds of history that a run brings beside opening, reopening and resolving."""


def draft(detail: TicketDetail, key: str = "", before: str = "") -> Draft:
    """A ticket as it is to stand outside. ``key``: another one than its own, for one that is made anew.

    ``before``: the name of the ticket outside that it replaces.
    """
    ticket, entries = detail.ticket, detail.entries
    return Draft(
        key=key or ticket.key,
        number=ticket.number,
        title=_cut(ticket.title, TITLE_LIMIT),
        priority=ticket.priority,
        severity=ticket.severity,
        cause=ticket.cause,
        text=_description(detail, before),
        checks=_names(entry.check for entry in entries),
        hosts=_names(entry.host for entry in entries),
        subjects=_names(entry.subject for entry in entries),
        opened=ticket.opened,
    )


def is_long(detail: TicketDetail) -> bool:
    """Whether the description leaves out evidence, so that a file of it is attached."""
    entries = detail.entries
    is_cut = len(entries) > SHOWN_ENTRIES or any(len(entry.evidence) > SHOWN_EVIDENCE for entry in entries)
    return is_cut or any(proof.facts for proof in detail.proofs)


def evidence(detail: TicketDetail) -> str:
    """All the evidence of a ticket, for a file."""
    lines = [f"Evidence of Upkeep's ticket #{detail.ticket.number}: {detail.ticket.title}", ""]
    for entry in detail.entries:
        lines += [*_entry(entry, len(entry.evidence)), ""]
    for proof in detail.proofs:
        lines += [f"{proof.host}: {proof.subject}", *_proof(proof, None), ""]
    left = detail.ticket.entries - sum(1 for entry in detail.entries if entry.cleared is None)
    if left > 0:
        lines.append(f"... and {left} more: upkeep tickets show {detail.ticket.number}")
    return _cut("\n".join(lines), FILE_LIMIT)


def of_run(lines: Sequence[HistoryLine], detail: TicketDetail) -> str:
    """What one run brought, as one comment."""
    said: list[str] = []
    for line in lines:
        match line.kind:
            case "priority":
                said += [f"Priority {line.text}.", ""]
            case "added":
                said += [f"Found as well: {line.text}", *_named(line, detail), ""]
            case "cleared":
                said += [f"Looked for again, and not found: {line.text}", ""]
            case "ignored":
                said += [f"No longer to be told, by the configuration: {line.text}", ""]
            case "moved":
                said += [f"Goes on in a newer ticket: {line.text}", ""]
    return _bounded(said, _run(lines))


def resolved(lines: Sequence[HistoryLine], detail: TicketDetail) -> str:
    """Why it is resolved: by the run's evidence, or by a person's word."""
    last = next(line for line in reversed(lines) if line.kind == "resolved")
    if last.run is None:
        return _bounded([f"Resolved by {last.actor}. {last.text}".rstrip()], "")
    gone = [f"Looked for again, and not found: {line.text}" for line in lines if line.kind == "cleared"]
    told = [last.text, *gone, f"In all {len(detail.entries)} looked at."]
    tested = [proof for proof in detail.proofs if proof.run == last.run]
    for proof in tested[:SHOWN_PROOFS]:
        told += ["", f"{proof.host}: {proof.subject}", *_proof(proof, SHOWN_FACTS)]
    if len(tested) > SHOWN_PROOFS:
        told += ["", f"... and {len(tested) - SHOWN_PROOFS} tests more: upkeep proofs --run {last.run}"]
    return _bounded(told, _run(lines))


def reopened(lines: Sequence[HistoryLine], detail: TicketDetail) -> str:
    """Why it is opened again."""
    last = next(line for line in reversed(lines) if line.kind == "reopened")
    if last.run is None:
        return _bounded([f"Reopened by {last.actor}. {last.text}".rstrip()], "")
    standing = [entry for entry in detail.entries if entry.cleared is None][:SHOWN_ENTRIES]
    told = _Told(proof for proof in detail.proofs if proof.run == last.run)
    details = [line for entry in standing for line in (*_entry(entry, SHOWN_EVIDENCE), *told.of(entry))]
    return _bounded([f"Opened again. {last.text}", "", *details], _run(lines))


def of_person(line: HistoryLine) -> str:
    """What somebody wrote or did in the embedded tracker."""
    return _bounded([PEOPLES[line.kind].format(actor=line.actor, text=line.text).rstrip()], "")


def _description(detail: TicketDetail, before: str) -> str:
    ticket = detail.ticket
    standing = [entry for entry in detail.entries if entry.cleared is None]
    shown = detail.entries[:SHOWN_ENTRIES]
    head = [f"{ticket.priority}, {ticket.severity}. Upkeep's ticket #{ticket.number}, opened {_when(ticket.opened)}."]
    if before:
        head.append(f"It takes the place of {before}.")
    if detail.follows:
        head.append(f"It follows #{detail.follows}.")
    if not standing and detail.entries:
        head.append("By now nothing of it is found any more.")
    lines = [" ".join(head), ""]
    for lesson in detail.learned:
        for name, text in (
            ("A workaround", lesson.workaround),
            ("The cause", lesson.root_cause),
            ("How not to repeat it", lesson.prevention),
        ):
            if text:
                lines += [f"{name}, as learned from #{lesson.number}: {_cut(text, LINE_LIMIT)}", ""]
    told = _Told(detail.proofs)
    for entry in shown:
        lines += [*_entry(entry, SHOWN_EVIDENCE), *told.of(entry), ""]
    more = max(ticket.entries, len(standing)) - sum(1 for entry in shown if entry.cleared is None)
    if more > 0:
        lines.append(f"... and {more} more: see the attached evidence, or upkeep tickets show {ticket.number}")
    return _bounded(lines, "")


def _entry(entry: Entry, evidence_lines: int) -> Iterator[str]:
    gone = f" (not found any more since {_when(entry.cleared)})" if entry.cleared is not None else ""
    yield f"{entry.host}: {entry.summary}{gone}"
    yield f"  {entry.check} of {entry.subject}, {entry.severity}, first seen {_when(entry.first_seen)}"
    for line in entry.evidence[:evidence_lines]:
        yield f"  | {_cut(line, LINE_LIMIT)}"
    if len(entry.evidence) > evidence_lines:
        yield f"  | ... {len(entry.evidence) - evidence_lines} lines more"
    if entry.remedy:
        yield f"  To do: {entry.remedy}"


class _Told:
    """Proofs (newest first) that are told with the entries that they are about: of each test the newest, each once."""

    def __init__(self, proofs: Iterable[Proof]) -> None:
        self.left: dict[tuple[str, str], dict[str, Proof]] = {}
        for proof in proofs:
            self.left.setdefault((proof.host, proof.subject), {}).setdefault(proof.check, proof)

    def of(self, entry: Entry) -> Iterator[str]:
        for proof in self.left.pop((entry.host, entry.subject), {}).values():
            yield from _proof(proof, 0)


def _proof(proof: Proof, most: int | None) -> Iterator[str]:
    """A proof with at the most so many lines of its facts; None: all."""
    yield f"  Tested {_when(proof.started)}: {proof.outcome}. {_cut(proof.summary, LINE_LIMIT)}"
    seconds = proof_text.took(max(0.0, proof.ended - proof.started))
    by = f"by {proof.actor or 'unknown'} in run {proof.run}"
    yield f"  {proof.check} for {seconds}, {by}: upkeep proofs show {proof.number}"
    facts = list(proof_text.lines(proof.facts)) if most != 0 else []
    for depth, line in facts[:most]:
        yield f"  | {'  ' * min(depth, 8)}{_cut(line, LINE_LIMIT)}"
    if most is not None and len(facts) > most:
        yield f"  | ... {len(facts) - most} lines more"


def _named(line: HistoryLine, detail: TicketDetail) -> Iterator[str]:
    """The entries that a line of history names (it names a few, and counts the rest)."""
    told = _Told(proof for proof in detail.proofs if proof.run == line.run)
    for entry in detail.entries:
        # "; " is what parts them: "/" is not named by "/var".
        if f"{entry.host}: {entry.check} {entry.subject}; " in f"{line.text}; ":
            yield from (*_entry(entry, SHOWN_EVIDENCE), *told.of(entry))


def _run(lines: Sequence[HistoryLine]) -> str:
    run = next((line.run for line in lines if line.run is not None), None)
    return f"(Upkeep's run {run}, {_when(lines[0].at)})" if run is not None else ""


def _names(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))[:NAMED]


def _when(seconds: float) -> str:
    return f"{plain(seconds, UTC)} UTC"


def _bounded(lines: Iterable[str], last: str) -> str:
    text = "\n".join(lines).strip()
    return _cut(text, TEXT_LIMIT - len(last) - 1) + (f"\n{last}" if last else "")


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 4].rstrip() + " ..."
