# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From job events to the records of the results file, one event at a time.

Job events are those of ansible-runner and AWX; the callback plugin hands in what it sees in the same form.

Pure: no process, no clock, no file. What is held in memory grows with the number of hosts, never with that of events.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from . import _results
from ._findings import (
    REMEDY_LIMIT,
    SUBJECT_LIMIT,
    SUMMARY_LIMIT,
    clean_line,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Record = dict[str, Any]

HELD_LIMIT = 8
"""Failures of one host that wait for the end of the run, which tells whether they were rescued."""
SKIPPED_LIMIT = 200
"""Different skipped checks that are kept for the table."""


class Harvest:
    """Takes job events, gives records.

    ``token`` is the job id that the run's events bear (ansible-runner copies ``JOB_ID`` into each). What a host prints
    reaches us on the same terminal as the events, so a host could print what looks like one; without the token it is
    passed over. None takes every event.
    """

    def __init__(self, token: int | None = None) -> None:
        self.token = token
        self.stats_seen = False
        self.hosts: dict[str, str] = {}
        """State (ok, failed, unreachable) of each host, known at the end of the run."""
        self.lost = 0
        """Events whose data did not arrive (a full disk): the run cannot be told to its end."""
        self.no_hosts = 0
        """Plays for which no host matched."""
        self.skipped: Counter[tuple[str, str, str]] = Counter()
        """Hosts by (check, why, how to force it) of the checks that do not apply to them."""
        self._held: dict[str, list[Record]] = {}
        self._items: dict[str, str] = {}
        self._running: dict[str, tuple[str, str]] = {}

    @property
    def running(self) -> list[str]:
        """The hosts that are at work now."""
        return sorted(self._running)

    def feed(self, event: Mapping[str, Any]) -> Iterator[Record]:
        """Records of one event; nothing for an event that says nothing about hosts."""
        name = event.get("event")
        if name is None:
            self.lost += 1
            return
        if self.token is not None and event.get("job_id") != self.token:
            return
        data = event.get("event_data") or {}
        if name == "playbook_on_stats":
            yield from self._stats(data)
        elif name == "playbook_on_no_hosts_matched":
            self.no_hosts += 1
        elif isinstance(data.get("host"), str):
            host = _named(data["host"])
            if name == "runner_on_start":
                self._running[host] = _origin(data)[:2]
            elif name in _ENDS:
                self._running.pop(host, None)
            if name in _HANDLERS:
                yield from _HANDLERS[name](self, host, data)

    def finish(self, timed_out: bool = False) -> Iterator[Record]:
        """What still waited for the end of a run that was cut off: it is believed, and nothing is taken for clean.

        When the time limit cut it off, the hosts that were at work then are told: they, or their task, hang.
        """
        for records in self._held.values():
            yield from records
        self._held.clear()
        for host, (task, action) in self._running.items() if timed_out else ():
            message = "it did not end before the time limit of the run"
            yield from _results.of_failure(host, task, action, {"msg": message})
        self._running.clear()

    def _ok(self, host: str, data: Mapping[str, Any]) -> Iterator[Record]:
        task, action, result = _origin(data)
        if self._items.pop(host, "") == str(data.get("task_uuid")) and action.startswith(_results.COLLECTION):
            return  # Told item by item already.
        self._note_skipped(result)
        yield from _results.of_result(host, task, action, result)

    def _item_ok(self, host: str, data: Mapping[str, Any]) -> Iterator[Record]:
        task, action, result = _origin(data)
        if action.startswith(_results.COLLECTION):
            self._items[host] = str(data.get("task_uuid"))
            self._note_skipped(result)
            yield from _results.of_result(host, task, action, result)

    def _failed(self, host: str, data: Mapping[str, Any]) -> Iterator[Record]:
        task, action, result = _origin(data)
        self._items.pop(host, None)
        ignored = bool(data.get("ignore_errors"))
        for record in _results.of_failure(host, task, action, _with_items(result)):
            if record["type"] != "finding" or record["finding"]["check"] != _results.TASK_FAILED:
                yield record
            elif not ignored:
                yield from self._hold(host, record)

    def _unreachable(self, host: str, data: Mapping[str, Any]) -> Iterator[Record]:
        _task, _action, result = _origin(data)
        for record in _results.of_unreachable(host, _with_items(result)):
            # Where that was ignored, a host may be silent several times: it is one and the same fault.
            held = self._held.get(host, [])
            held[:] = [one for one in held if one["finding"]["check"] != _results.HOST_UNREACHABLE]
            yield from self._hold(host, record)

    def _hold(self, host: str, record: Record) -> Iterator[Record]:
        """Keep a failure until the end of the run: a rescued one is none, and only the host's counts tell."""
        held = self._held.setdefault(host, [])
        held.append(record)
        if len(held) > HELD_LIMIT:
            yield held.pop(0)

    def _stats(self, data: Mapping[str, Any]) -> Iterator[Record]:
        self.stats_seen = True
        for name in sorted(data.get("processed") or {}):
            host = _named(name)
            ok, changed, failures, dark = (
                int((data.get(key) or {}).get(name, 0)) for key in ("ok", "changed", "failures", "dark")
            )
            held = self._held.pop(host, [])
            failed = [record for record in held if record["finding"]["check"] == _results.TASK_FAILED]
            # A host goes on after a rescued failure and stops at one that counts: those are the last ones.
            yield from failed[len(failed) - min(failures, len(failed)) :]
            if dark:
                yield from (record for record in held if record not in failed)
            for record in _results.of_stats(host, ok, changed, failures, dark):
                if record["type"] == "host":
                    self.hosts[host] = record["state"]
                yield record

    def _note_skipped(self, result: Mapping[str, Any] | None) -> None:
        skips = (result or {}).get("not_applicable")
        for skip in skips if isinstance(skips, list) else []:
            if isinstance(skip, dict):
                key = (
                    clean_line(skip.get("check", "?"), SUBJECT_LIMIT),
                    clean_line(skip.get("why", ""), SUMMARY_LIMIT),
                    clean_line(skip.get("force", ""), REMEDY_LIMIT),
                )
                if key in self.skipped or len(self.skipped) < SKIPPED_LIMIT:
                    self.skipped[key] += 1


_ENDS = ("runner_on_ok", "runner_on_failed", "runner_on_skipped", "runner_on_unreachable")
_HANDLERS = {
    "runner_on_ok": Harvest._ok,
    "runner_item_on_ok": Harvest._item_ok,
    "runner_on_failed": Harvest._failed,
    "runner_on_unreachable": Harvest._unreachable,
}


def _named(name: str) -> str:
    """The name of a host or task, clean; never empty, for a record needs one."""
    return clean_line(name, SUBJECT_LIMIT) or "?"


def _origin(data: Mapping[str, Any]) -> tuple[str, str, Mapping[str, Any] | None]:
    """Task, action and result of an event; the task's name is what Ansible's own output calls it.

    The result is None when it was too large for its event (ansible-runner then leaves an empty one).
    """
    name = str(data.get("task") or data.get("task_action") or "?")
    role = data.get("resolved_role") or data.get("role")
    result = data.get("res")
    return (
        _named(f"{role} : {name}" if role else name),
        str(data.get("resolved_action") or data.get("task_action") or "?"),
        result if isinstance(result, dict) and result else None,
    )


def _with_items(result: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The result of a loop with the message of its first item that failed, rather than "All items completed"."""
    if result is None:
        return {"msg": "no message: its result was too large for its event"}
    items = result.get("results")
    for item in items if isinstance(items, list) else []:  # a module may call anything of its own so
        if isinstance(item, dict) and (item.get("failed") or item.get("unreachable")):
            return {**result, **{key: item[key] for key in ("msg", "module_stderr", "stderr") if item.get(key)}}
    return result
