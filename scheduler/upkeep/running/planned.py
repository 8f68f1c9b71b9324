# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run in check mode would change: its plan, made of job events one at a time; and the digest of it.

Kept are host, task and difference, redacted and within bounds; the digest is of all of it, so what is not shown counts
too. It also covers the files that the tasks come from: what cannot be told in check mode (a command) must not change
unseen either. Pure, but for :func:`file_digest`.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import (
    SUBJECT_LIMIT,
    as_text,
    clean_line,
    redact,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from ..store import Run

SHOWN = 500
"""Changes that are kept to be shown; the others are counted, and are in the digest."""
LINES = 40
"""Lines of a difference that are kept."""
LINE_LIMIT = 200
"""Characters of such a line."""
DIFF_LIMIT = 256 * 1024
"""Characters of a text that is compared; of a longer one only the digest is told."""
SHOWN_ALL = 400_000
"""Characters of all differences that are kept."""

CHANGE = "change"
MAYBE = "maybe"
"""It cannot be told in check mode: Ansible passes such a task over, so it runs unless its condition says no."""

_UNTELLABLE = {"command", "shell", "raw", "script", "expect", "win_command", "win_shell"}


@dataclass(frozen=True)
class Change:
    """What one task would do on one host (with one item of its loop)."""

    host: str
    task: str
    would: str
    """CHANGE or MAYBE."""
    item: str = ""
    diff: tuple[str, ...] = ()
    """Lines; empty when the task gives no difference."""


@dataclass
class Planned:
    """Takes the job events of a run in check mode."""

    changes: list[Change] = field(default_factory=list)
    """At most SHOWN, in the order in which they came."""
    more: int = 0
    """Changes beyond that."""
    hosts: set[str] = field(default_factory=set)
    """On which something would change, or may."""
    failed: set[str] = field(default_factory=set)
    """Hosts that failed or could not be reached."""
    run: Run | None = None
    """The run, once it is recorded."""
    complete: bool = False
    """Whether it came to its end: only then is it a plan."""
    _digests: list[str] = field(default_factory=list)
    _files: set[str] = field(default_factory=set)
    _looped: set[tuple[str, str]] = field(default_factory=set)
    _room: int = SHOWN_ALL

    def feed(self, event: Mapping[str, Any]) -> None:
        """Take an event into the plan."""
        name, data = event.get("event"), event.get("event_data") or {}
        if not isinstance(name, str) or not isinstance(data, dict):
            return
        path = data.get("task_path")
        if isinstance(path, str):
            self._files.add(path.rpartition(":")[0] or path)
        if name == "playbook_on_stats":
            self.failed |= {
                clean_line(host, SUBJECT_LIMIT) for key in ("failures", "dark") for host in data.get(key) or {}
            }
        host, result = data.get("host"), data.get("res")
        if not isinstance(host, str):
            return
        task = (str(data.get("task_uuid")), host)
        if name == "runner_item_on_ok":
            self._looped.add(task)
        if name == "runner_on_ok" and task in self._looped:
            self._looped.discard(task)  # told item by item
        elif name in ("runner_on_ok", "runner_item_on_ok") and isinstance(result, dict) and result.get("changed"):
            self._add(host, data, CHANGE, result)
        elif name == "runner_on_skipped":
            action = str(data.get("resolved_action") or data.get("task_action") or "")
            if action.rpartition(".")[2] in _UNTELLABLE:
                self._add(host, data, MAYBE, {})

    def _add(self, host: str, data: Mapping[str, Any], would: str, result: Mapping[str, Any]) -> None:
        raw = json.dumps(list(_differences(result)), sort_keys=True, default=str)
        label = result.get("_ansible_item_label", result.get("item", ""))
        words = [host, str(data.get("task_path")), str(data.get("task")), would, as_text(label), raw]
        self._digests.append(hashlib.sha256("\0".join(words).encode(errors="replace")).hexdigest())
        self.hosts.add(clean_line(host, SUBJECT_LIMIT))
        if len(self.changes) >= SHOWN:
            self.more += 1
            return
        role = data.get("role")
        task = f"{role} : {data.get('task')}" if role else str(data.get("task"))
        lines = tuple(_shown(result))
        self._room -= sum(map(len, lines))
        if self._room < 0:
            lines = ("(not shown: the plan is too large)",) if lines else ()
        cleaned = clean_line(task, SUBJECT_LIMIT), clean_line(as_text(label), SUBJECT_LIMIT)
        self.changes.append(Change(clean_line(host, SUBJECT_LIMIT), cleaned[0], would, cleaned[1], lines))

    @property
    def count(self) -> int:
        """All changes, also those that are not kept."""
        return len(self._digests)

    def digest(self, file_digest: Callable[[str], str]) -> str:
        """What stands for the plan: another one when anything in it is another. The order of hosts does not count."""
        files = [f"{path} {file_digest(path)}" for path in sorted(self._files)]
        whole = [*sorted(self._digests), "failed", *sorted(self.failed), "files", *files]
        return hashlib.sha256("\n".join(whole).encode(errors="replace")).hexdigest()


def file_digest(path: str) -> str:
    """The digest of a file's content; "-" when it cannot be read."""
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError:
        return "-"


def as_json(changes: Iterable[Change]) -> list[dict[str, Any]]:
    """Changes as the store keeps them."""
    return [{**vars(change), "diff": list(change.diff)} for change in changes]


def _differences(result: Mapping[str, Any]) -> Iterable[Any]:
    """What a module says of the difference, without its headers: they may name files that exist for a moment."""
    found = result.get("diff")
    for diff in found if isinstance(found, list) else [found] if found else []:
        if isinstance(diff, dict):
            yield {key: value for key, value in diff.items() if not key.endswith("_header")}
        else:
            yield diff


def _shown(result: Mapping[str, Any]) -> Iterable[str]:
    lines = []
    for diff in _differences(result):
        if not isinstance(diff, dict):
            continue
        if "prepared" in diff:
            lines += _lines(diff["prepared"])
        if "before" in diff or "after" in diff:
            before, after = _lines(diff.get("before")), _lines(diff.get("after"))
            # The first two lines are headers.
            lines += list(difflib.unified_diff(before, after, lineterm="", n=1))[2:]
    # Redacted as a whole, for a private key has many lines.
    cleaned = [clean_line(line, LINE_LIMIT) for line in redact("\n".join(lines)).splitlines()]
    return cleaned if len(cleaned) <= LINES else [*cleaned[:LINES], f"({len(cleaned) - LINES} more lines)"]


def _lines(value: Any) -> list[str]:
    text = (
        as_text(value)
        if isinstance(value, str) or value is None
        else json.dumps(value, sort_keys=True, default=str, indent=1)
    )
    if len(text) > DIFF_LIMIT:
        return [f"{len(text)} characters, SHA-256 {hashlib.sha256(text.encode(errors='replace')).hexdigest()}"]
    return [] if value is None else text.splitlines()
