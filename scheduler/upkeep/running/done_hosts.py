# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which hosts a run has finished with, written down as it goes: a second run, after a cut-off one, leaves them out.

Only a playbook of one play that works in batches (``serial``) finishes with some hosts before others: when a batch
begins, those of the one before are done. Of any other playbook nothing is written, and a second run does all hosts.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import paths

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME = "done-hosts"
"""In the run's folder: a host a line."""
LIMIT = 60_000
"""Characters: the hosts become part of one argument, and Linux takes 131,072 bytes for one."""


def one_play(playbook: str) -> bool:
    """Whether a playbook (a path, or a collection's full name) consists of a single play."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    path = paths.playbook_file(playbook) or Path(playbook)
    try:
        # Round trip: it keeps tags (!vault) that it does not know.
        plays = YAML(typ="rt").load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, YAMLError):
        return False
    if not isinstance(plays, list) or len(plays) != 1 or not isinstance(plays[0], dict):
        return False
    return not any(str(key).endswith("import_playbook") for key in plays[0])


class DoneHosts:
    """Takes the run's events, writes down the hosts that are done."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / NAME
        self._play = ""
        self._seen: set[str] = set()
        self._bad: set[str] = set()

    def watch(self, event: Mapping[str, Any]) -> None:
        """Look at one event. Never raises for a disk that is full: then a second run does more than it must."""
        name, data = event.get("event"), event.get("event_data") or {}
        host = data.get("host")
        if name == "playbook_on_play_start":
            play = str(data.get("play_uuid", ""))
            if play == self._play:
                self._write(sorted(self._seen - self._bad))
            self._play, self._seen, self._bad = play, set(), set()
        elif isinstance(host, str):
            self._seen.add(host)
            if name in ("runner_on_failed", "runner_on_unreachable"):
                self._bad.add(host)

    def _write(self, hosts: list[str]) -> None:
        lines = "".join(f"{host}\n" for host in hosts if "\n" not in host)
        try:
            with self._path.open("a", encoding="utf-8", errors="replace") as file:
                file.write(lines)
        except OSError:
            return


def read(folder: str) -> list[str]:
    """The hosts that a run had finished with; none when nothing was written, or too many to leave out."""
    try:
        text = (Path(folder) / NAME).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError):
        return []
    # A line that was cut off in the middle is no host.
    hosts = [line for line in text.split("\n")[:-1] if line]
    return hosts if len(text) <= LIMIT else []
