# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever backup program the customer has, by three commands of theirs: list, check, restore.

Each is a list of words, run without a shell. ``{snapshot}`` and ``{target}`` in a word stand for the snapshot and the
folder to restore into, which are in UPKEEP_SNAPSHOT and UPKEEP_TARGET too. ``list`` prints a JSON array::

    [{"id": "1", "time": "2026-11-22T02:00:00Z", "host": "db1", "paths": ["/srv"], "files": 1000, "bytes": 5000000}]

``time`` may be a number of seconds since the epoch; all but id and time may be missing. Each command ends with 0 when
it did what it should; ``check`` ends with one of ``damaged_codes`` when the backup is damaged.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .engine import Checked, Engine, moment, said
from .model import Snapshot
from .restic_errors import Kind, ResticError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .. import _process
    from .._host import Host
    from .names import Names


class Command(Engine):
    repair = "Repair it as its maker says, and make a new backup"

    def __init__(self, host: Host, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        super().__init__(host, params, options)
        self.shown = str((params.get("list_command") or [""])[0])

    def version(self) -> str:
        return ""

    def snapshots(self) -> list[Snapshot]:
        ended = self._run("list_command", {})
        if ended.rc != 0:
            raise self._failed("list_command", ended)
        return parse(ended.out)

    def check(self, data: bool) -> Checked:
        del data  # its own command knows
        ended = self._run("check_command", {})
        lines = said(ended.err) or said(ended.out)
        if ended.rc == 0:
            return Checked(False, lines)
        if ended.rc in self.params["damaged_codes"]:
            return Checked(True, lines)
        raise self._failed("check_command", ended)

    def ls(self, snapshot: Snapshot, names: Names) -> bool:
        del snapshot, names
        return False

    def restore(self, snapshot: Snapshot, target: str, paths: Sequence[str]) -> None:
        del paths
        ended = self._run("restore_command", {"snapshot": snapshot.id, "target": target}, target)
        if ended.rc != 0:
            raise self._failed("restore_command", ended)

    def has(self, name: str) -> bool:
        """Whether the customer has such a command."""
        return bool(self.params.get(name))

    def _run(self, name: str, values: Mapping[str, str], cwd: str = "/") -> _process.Ended:
        words = list(self.params.get(name) or ())
        if not words:
            raise ResticError(
                Kind.UNKNOWN,
                "it has no %s" % name,
                remedy="Describe it as its %s in repositories (backup_review_engines)." % name,
            )
        for key, value in values.items():
            words = [word.replace("{%s}" % key, value) for word in words]
        env = {"UPKEEP_%s" % key.upper(): value for key, value in values.items()}
        return self.call(words, env, cwd=cwd)

    def _failed(self, name: str, ended: _process.Ended) -> ResticError:
        return ResticError(
            Kind.UNKNOWN,
            "its %s ended with %s" % (name, ended.rc),
            said(ended.err) or said(ended.out),
            "Run it by hand, as this account.",
            ended.rc,
        )


def parse(data: bytes) -> list[Snapshot]:
    """The snapshots of what ``list`` printed, oldest first. Raises ResticError."""
    try:
        made = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise _strange("it printed no JSON", data) from None
    if not isinstance(made, list):
        raise _strange("it printed no JSON array", data)
    return sorted((_one(item, place) for place, item in enumerate(made)), key=lambda one: one.time)


def _one(item: Any, place: int) -> Snapshot:
    if not isinstance(item, dict) or not isinstance(item.get("id"), (str, int)):
        raise _strange("element %d has no id" % place)
    when = moment(item.get("time"))
    if when is None:
        raise _strange("element %d has no time that is ISO 8601 or seconds since the epoch" % place)
    lists = {}
    for key in ("paths", "tags"):
        value = item.get(key) or []
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            raise _strange("the %s of element %d are no list of texts" % (key, place))
        lists[key] = tuple(value)
    identity = str(item["id"])
    counts = [
        item.get(key) if isinstance(item.get(key), int) and item[key] >= 0 else None for key in ("files", "bytes")
    ]
    return Snapshot(
        identity,
        identity,
        when,
        str(item.get("host") or ""),
        str(item.get("user") or ""),
        lists["paths"],
        lists["tags"],
        identity,
        None,
        "",
        counts[0],
        counts[1],
    )


def _strange(why: str, data: bytes = b"") -> ResticError:
    return ResticError(
        Kind.NOT_UNDERSTOOD,
        "what its list_command printed is not understood: %s" % why,
        said(data[:2000]),
        'It must print a JSON array: [{"id": "1", "time": "2026-11-22T02:00:00Z", "host": "db1", "paths": ["/srv"]}]',
    )
