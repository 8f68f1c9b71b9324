# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What people see: tables, times, progress; and the JSON documents.

Texts that come from hosts are shown as they are, never as markup: rich's own marks (``[red]``) in them stay letters.
"""

from __future__ import annotations

import json
import shutil
import sys
import threading
import time
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import SEVERITIES, clean_line

from . import durations, moments, plan_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from zoneinfo import ZoneInfo

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
    from rich.table import Table
    from rich.text import Text

    from .record import Recorded
    from .running.runner import Event, Outcome
    from .store import Finding, TicketChange
    from .store.plans import Plan

COLOURS = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
    "info": "dim",
    "P1": "bold white on red",
    "P2": "bold red",
    "P3": "yellow",
    "breached": "bold red",
    "due soon": "yellow",
    "within": "green",
    "ok": "green",
    "failed": "red",
    "unreachable": "bold red",
    "finished": "green",
    "interrupted": "yellow",
    "timed_out": "red",
    "error": "red",
    "running": "cyan",
    "passed": "green",
    "cannot": "yellow",
    "missing": "bold red",
    "hint": "yellow",
}

PIPE_WIDTH = 120
"""Columns when standard output is no terminal."""
NOTED_LIMIT = 40
"""Failures that are shown while the run goes on; all of them are in the tables after it."""
HEARTBEAT = 30.0
"""Seconds between two lines that say what is waited for, where there is no terminal."""
SKIPPED_ROWS = 15
"""Reasons for which checks do not apply that are shown under a run."""
PLAN_ROWS = 30
"""Different plans that are shown under a run."""
SHOWN_HOSTS = 4
"""Names of hosts in one line of progress."""

_TIMES = frozenset(
    {"started", "ended", "finished", "recorded", "opened", "updated", "acknowledged", "resolved", "cleared"}
    | {
        "looked",
        "known",
        "excepted_until",
        "first_seen",
        "last_seen",
        "at",
        "since",
        "until",
        "due",
        "done",
        "created",
        "asked_at",
        "exposed_since",
        "last_at",
        "mitigated_at",
        "patched_at",
        "published",
        "approved",
    }
)


# --- JSON -------------------------------------------------------------------------------------------------------------


def print_json(document: Any) -> None:
    """One document on standard output."""
    json.dump(plain(document), sys.stdout, ensure_ascii=False, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def plain(value: Any, name: str = "") -> Any:
    """Dataclasses as mappings, times (seconds since the epoch) as ISO 8601 in UTC."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: plain(getattr(value, one.name), one.name) for one in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item, str(key)) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, float) and name in _TIMES:
        return datetime.fromtimestamp(value, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value).encode("utf-8", "replace").decode()  # a lone surrogate cannot be written


# --- texts and tables -------------------------------------------------------------------------------------------------


def console() -> Console:
    """Standard output; colours and the width of the terminal, if it is one."""
    from rich.console import Console

    return Console(
        width=None if sys.stdout.isatty() else shutil.get_terminal_size((PIPE_WIDTH, 24)).columns,
        highlight=False,
        markup=False,
        emoji=False,
    )


def text(value: object, style: str = "") -> Text:
    """A text that is shown as it is."""
    from rich.text import Text

    return Text(clean_line(value, 2000), style or COLOURS.get(str(value), ""))


def with_remedy(said: str, remedy: str) -> Text:
    """What was found, and below it what to do."""
    made = text(said)
    if remedy:
        made.append("\n→ " + clean_line(remedy, 600), "dim")
    return made


def indented(line: str, columns: int, style: str = "") -> RenderableType:
    """A line, and what it wraps to, moved to the right."""
    from rich.padding import Padding

    return Padding(text(line, style), (0, 0, 0, columns))


def table(
    heads: Sequence[str], rows: Sequence[Sequence[RenderableType]], wide: int | None = None, least: int | None = None
) -> RenderableType:
    """A table without vertical lines; ``wide`` is the column that takes the room that is left.

    Where less than ``least`` cells (WIDE_MIN) are left for it, the wide column stands below its row.
    """
    from rich import box
    from rich.table import Table

    made = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
        header_style="bold",
        expand=wide is not None,
        show_edge=False,
    )
    for number, head in enumerate(heads):
        made.add_column(head, overflow="fold", ratio=1 if number == wide else None, no_wrap=False)
    for row in rows:
        made.add_row(*row)
    return made if wide is None else _Stackable(made, heads, rows, wide, WIDE_MIN if least is None else least)


WIDE_MIN = 24
"""Cells below which a column of sentences cannot be read: some four words a line."""
BETWEEN = 2
"""Cells between two columns."""


class _Stackable:
    """A table whose wide column moves below its rows when too little is left for it."""

    def __init__(
        self, made: Table, heads: Sequence[str], rows: Sequence[Sequence[RenderableType]], wide: int, least: int
    ) -> None:
        self.table = made
        self.heads = heads
        self.rows = rows
        self.wide = wide
        self.least = least

    def __rich_console__(self, out: Console, options: ConsoleOptions) -> RenderResult:
        from rich.measure import Measurement

        others = [number for number in range(len(self.heads)) if number != self.wide]
        widths = [
            max(
                Measurement.get(out, options, cell).maximum
                for cell in (self.heads[number], *(r[number] for r in self.rows))
            )
            for number in others
        ]
        if sum(widths) + BETWEEN * len(others) + self.least <= options.max_width:
            yield self.table
            return
        from rich.padding import Padding
        from rich.rule import Rule
        from rich.table import Table
        from rich.text import Text

        # The same widths in each row, so that they stand below each other; the widest gives way where there is no room.
        while sum(widths) + BETWEEN * (len(widths) - 1) > options.max_width and max(widths) > 1:
            widths[widths.index(max(widths))] -= 1
        for place, row in enumerate([[Text(head, "bold") for head in self.heads], *self.rows]):
            line = Table.grid(padding=(0, BETWEEN, 0, 0), pad_edge=False)
            for width in widths:
                line.add_column(width=width, overflow="fold")
            line.add_row(*(row[number] for number in others))
            yield line
            if str(row[self.wide]) not in ("", "-"):
                yield Padding(row[self.wide], (0, 0, 0, 4))
            if place == 0:
                yield Rule(style="none")


def when(seconds: float | None, zone: ZoneInfo) -> str:
    """A time in the zone: "2026-11-22 03:00"; "-" for none."""
    return "-" if seconds is None else moments.plain(seconds, zone)


def age(since: float, now: float) -> str:
    """How long ago."""
    return durations.shown(now - since)


def count(number: int, one: str, many: str | None = None) -> str:
    """ "1 host", "2 hosts"."""
    return f"{number} {one if number == 1 else many or one + 's'}"


# --- a run's result ---------------------------------------------------------------------------------------------------


def show_run(
    recorded: Recorded,
    outcome: Outcome,
    folder: Path,
    zone: ZoneInfo,
    *,
    as_json: bool,
    check_mode: bool,
    seconds: float,
) -> None:
    """The findings, the tickets, what was skipped and where the artifacts are."""
    skipped: list[dict[str, Any]] = [
        {"check": check, "why": why, "force": force, "hosts": hosts}
        for (check, why, force), hosts in sorted(outcome.harvest.skipped.items())
    ]
    if as_json:
        from .cli import error_as_json

        print_json(
            {
                **recorded_as_json(recorded),
                "skipped": skipped,
                "artifacts": str(folder),
                "error": error_as_json(outcome.error) if outcome.error else None,
                "exit_code": outcome.error.exit_code if outcome.error else recorded.exit_code,
            }
        )
    else:
        out = console()
        if recorded.findings or recorded.changes or not outcome.error:
            show_recorded(out, recorded)
        show_skipped(out, skipped)
        mode = " (check mode)" if check_mode else ""
        out.print(
            text(
                f"Run {recorded.run.number}{mode}: {recorded.run.state} in {seconds:.0f} s; "
                f"{hosts_line(recorded.run.hosts) or 'no host was seen to its end'}"
            )
        )
        out.print(text(f"Artifacts: {folder}"), soft_wrap=True)
    if outcome.error:
        sys.stdout.flush()
        print("\n".join(outcome.error.lines()), file=sys.stderr)


def show_skipped(out: Console, skipped: Sequence[Mapping[str, Any]]) -> None:
    """The checks that do not apply to some hosts, those of most hosts first: why, and how to have them.

    What one setting would bring stands in one line, without the reasons.
    """
    if not skipped:
        return
    out.print(text(f"Not applicable: {count(len({skip['check'] for skip in skipped}), 'check')}", "bold"))
    together: dict[str, list[Mapping[str, Any]]] = {}
    for skip in sorted(skipped, key=lambda skip: -skip["hosts"]):
        together.setdefault(skip["force"] or f"{skip['check']} {skip['why']}", []).append(skip)
    for skips in list(together.values())[:SKIPPED_ROWS]:
        checks = list(dict.fromkeys(skip["check"] for skip in skips))
        named = f"{', '.join(checks)} ({count(skips[0]['hosts'], 'host')})"
        why = f": {skips[0]['why']}" if len(checks) == 1 else ""
        force = f"; to have {'it' if len(checks) == 1 else 'them'}: {skips[0]['force']}" if skips[0]["force"] else ""
        out.print(indented(named + why + force, 2, "dim"))
    left_out = list(together.values())[SKIPPED_ROWS:]
    if left_out:
        out.print(indented(f"… and {sum(map(len, left_out))} more; --json shows all", 2, "dim"))
    out.print()


def recorded_as_json(recorded: Recorded) -> dict[str, Any]:
    """What recording did, as part of a JSON document."""
    return {
        "run": recorded.run,
        "findings": recorded.findings,
        "findings_total": sum(recorded.run.counts.values()),
        "tickets": recorded.changes,
        "proofs": recorded.proofs,
        "plans": recorded.plans,
        "plans_total": recorded.plans_total,
        "hosts": recorded.hosts,
        "notes": recorded.notes,
        "already_recorded": recorded.already,
        "exit_code": recorded.exit_code,
    }


def show_recorded(out: Console, recorded: Recorded) -> None:
    """The tables of plans, findings and tickets."""
    show_plans(out, recorded.plans, recorded.plans_total)
    show_findings(out, recorded.findings, recorded.run.counts, more=f"upkeep runs show {recorded.run.number}")
    out.print()
    show_changes(out, recorded.changes)
    if any(recorded.proofs.values()):
        out.print(text(f"Proofs: {proofs_line(recorded.proofs)}: upkeep proofs --run {recorded.run.number}"))
    for note in recorded.notes:
        out.print(text(note, "yellow"))


def show_plans(out: Console, plans: Sequence[Plan], total: int) -> None:
    """What would be patched, those with something to do; equal plans of several hosts in one line."""
    if not plans:
        return
    alike: dict[tuple[str, str, bool], list[str]] = {}
    for one in plans:
        if one.plan.get("packages") or plan_text.reboots(one.plan):
            key = (one.id, plan_text.line(one.plan), plan_text.reboots(one.plan))
            alike.setdefault(key, []).append(one.host)
    idle = len(plans) - sum(map(len, alike.values()))
    nothing = f"; nothing for {count(idle, 'host')}" if idle else ""
    out.print(text(f"Plans: for {count(len(plans) - idle, 'host')}{nothing}", "bold"))
    if alike:
        rows = [
            (text(plan_text.named(hosts)), text(plan_id), text("yes" if reboot else "-"), text(line))
            for (plan_id, line, reboot), hosts in list(alike.items())[:PLAN_ROWS]
        ]
        out.print(table(("host", "plan", "reboot", "what"), rows, wide=3))
    unseen = total - len(plans)
    if len(alike) > PLAN_ROWS or unseen:
        out.print(text("… and more; --json has all" if not unseen else f"… and {count(unseen, 'more host')}"))
    out.print()


def proofs_line(counts: Mapping[str, int]) -> str:
    """ "3 passed, 1 failed"."""
    said = {"passed": "passed", "failed": "failed", "cannot": "could not be carried out"}
    return ", ".join(f"{counts[outcome]} {words}" for outcome, words in said.items() if counts.get(outcome))


def show_findings(out: Console, findings: Sequence[Finding], counts: Mapping[str, int], more: str = "") -> None:
    """A line that counts them, and the table; ``more`` is the command that shows those that are not in it."""
    total = sum(counts.values())
    said = ", ".join(f"{counts[severity]} {severity}" for severity in SEVERITIES if counts.get(severity))
    out.print(text(f"Findings: {said or 'none'}", "bold"))
    if findings:
        rows = [
            (text(one.severity), text(one.host), text(one.subject), with_remedy(one.summary, one.remedy))
            for one in findings
        ]
        out.print(table(("severity", "host", "subject", "found → to do"), rows, wide=3))
    if total > len(findings):
        out.print(text(f"… and {total - len(findings)} more" + (f": {more}" if more else "")))


def show_changes(out: Console, changes: Sequence[TicketChange]) -> None:
    """What happened to tickets; those that only saw the same again are counted."""
    same = sum(1 for change in changes if change.what == "seen")
    shown = [change for change in changes if change.what != "seen"]
    said = ", ".join(
        f"{number} {what}"
        for what in ("opened", "reopened", "updated", "resolved")
        for number in [sum(1 for change in shown if change.what == what)]
        if number
    )
    unchanged = f"{same} unchanged" if same else ""
    out.print(text("Tickets: " + (", ".join(filter(None, [said, unchanged])) or "none"), "bold"))
    if shown:
        rows = []
        for change in shown:
            details = [
                f"{number} {word}"
                for number, word in ((change.added, "new"), (change.cleared, "gone"), (change.seen, "still there"))
                if number
            ]
            if change.old_priority:
                details.insert(0, f"was {change.old_priority}")
            if change.follows:
                details.append(f"follows #{change.follows}")
            rows.append(
                (
                    text(f"#{change.number}"),
                    text(change.priority),
                    text(change.what),
                    text(change.title),
                    text(", ".join(details), "dim"),
                )
            )
        out.print(table(("ticket", "priority", "", "about", "entries"), rows, wide=3))
    out.print()


def hosts_line(hosts: Mapping[str, int]) -> str:
    """ "3 ok, 1 unreachable"."""
    said = ", ".join(f"{hosts[state]} {state}" for state in ("ok", "failed", "unreachable") if hosts.get(state))
    return f"hosts: {said}" if said else ""


# --- progress ---------------------------------------------------------------------------------------------------------


class Progress:
    """Shows on standard error what a run is doing, host by host and task by task.

    On a terminal a few lines that change in place; otherwise one line for each task and failure, and now and then one
    that says what is waited for.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._began = time.monotonic()
        self._task = "starting"
        self._running: dict[str, float] = {}
        self._done = 0
        self._hosts: set[str] = set()
        self._bad: dict[str, str] = {}
        self._noted = 0
        self._live: Any = None
        self._ended = threading.Event()
        self._beat: threading.Thread | None = None
        # The display's thread reads what the events change.
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                get_renderable=self._lines,
                console=Console(stderr=True, highlight=False, markup=False, emoji=False),
                refresh_per_second=4,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()
        else:
            self._beat = threading.Thread(target=self._heartbeat, daemon=True)
            self._beat.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._ended.set()
        if self._live:
            self._live.stop()
        if self._beat:
            self._beat.join()
        if self._hosts:
            self._say(f"{count(len(self._hosts), 'host')} seen, {self._seconds()}")

    def watch(self, event: Event) -> None:
        """Take in one job event."""
        data = event.get("event_data") or {}
        name = event.get("event", "")
        host = clean_line(data.get("host", ""), 100)
        if name == "playbook_on_task_start":
            with self._lock:
                self._task, self._done = _task_of(data), 0
                self._running.clear()
            if not self._task.startswith("Validating arguments against arg spec"):  # Ansible's own, on the controller
                self._say(f"task: {self._task}", terminal=False)
        elif name == "runner_on_start":
            with self._lock:
                self._running[host] = time.monotonic()
                self._hosts.add(host)
        elif name in ("runner_on_ok", "runner_on_skipped", "runner_on_failed", "runner_on_unreachable"):
            with self._lock:
                self._running.pop(host, None)
                self._done += 1
            if name == "runner_on_unreachable" or (name == "runner_on_failed" and not data.get("ignore_errors")):
                self._note(host, "unreachable" if name == "runner_on_unreachable" else "failed", data)

    def _note(self, host: str, what: str, data: Mapping[str, Any]) -> None:
        with self._lock:
            self._bad[host] = what
        self._noted += 1
        if self._noted <= NOTED_LIMIT:
            result = data.get("res") or {}
            message = clean_line(str(result.get("msg") or "").partition("\n")[0], 200)
            self._say(f"{host}: {what} at {_task_of(data)}" + (f": {message}" if message else ""))
        elif self._noted == NOTED_LIMIT + 1:
            self._say("more hosts fail; all of them are named at the end")

    def _say(self, line: str, *, terminal: bool = True) -> None:
        if not self._live:
            print(f"{self.name}: {line}", file=sys.stderr, flush=True)
        elif terminal:
            self._live.console.print(text(f"{self.name}: {line}"))

    def _seconds(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes}:{seconds:02d}"

    def _waiting(self) -> str:
        with self._lock:
            slowest = sorted(self._running, key=lambda host: self._running[host])
            bad = [
                f"{sum(1 for state in self._bad.values() if state == what)} {what}"
                for what in ("failed", "unreachable")
            ]
            done = self._done
        names = ", ".join(slowest[:SHOWN_HOSTS]) + (
            f" and {len(slowest) - SHOWN_HOSTS} more" if len(slowest) > SHOWN_HOSTS else ""
        )
        parts = [
            *([f"{count(done, 'host')} done"] if done else []),
            *(part for part in bad if not part.startswith("0 ")),
        ]
        return "; ".join(filter(None, [", ".join(parts), f"running: {names}" if names else ""]))

    def where(self) -> str:
        """The task that is under way, and on which hosts."""
        return "; ".join(filter(None, [f"the task {self._task!r}", self._waiting()]))

    def _lines(self) -> RenderableType:
        from rich.text import Text

        lines = Text(no_wrap=True, overflow="ellipsis")
        lines.append(f"{self.name} ", "bold")
        lines.append(f"{self._seconds()}  ", "cyan")
        lines.append(self._task + "\n")
        lines.append("  " + self._waiting(), "dim")
        return lines

    def _heartbeat(self) -> None:
        while not self._ended.wait(HEARTBEAT):
            self._say(f"{self._seconds()} {self.where()}")


def _task_of(data: Mapping[str, Any]) -> str:
    return str(clean_line(data.get("task") or data.get("name") or "?", 100))
