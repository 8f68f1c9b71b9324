# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What systemd, /proc/net, the journal and container engines print, read into plain values. Pure."""

from __future__ import annotations

import json
import re
import socket
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from .._findings import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

PROPERTIES = (
    "Id", "Names", "LoadState", "ActiveState", "SubState", "UnitFileState", "Type", "NRestarts", "Result", "Transient",
    "TriggeredBy", "BusName", "WantedBy", "RequiredBy", "ConditionResult", "ConditionTimestampMonotonic",
)  # fmt: skip
"""What is asked of systemd for every unit, in one call."""

UP = ("active", "reloading")
"""States of a unit that does its work (systemctl(1)); systemd 256 adds "refreshing"."""

_NAME = 200
_ACCEPTING = 0x10000
"""Of a line of /proc/net/unix: __SO_ACCEPTON, it listens."""


# -- systemd -------------------------------------------------------------------------------------------------------


def units(text: str) -> list[dict[str, str]]:
    """The units of ``systemctl show --property=…``: a paragraph of ``Name=value`` lines for each."""
    found = []
    for paragraph in text.split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in paragraph.splitlines() if "=" in line)
        if unit.get("Id"):
            found.append(unit)
    return found


def is_up(state: str) -> bool:
    return state.split("/", maxsplit=1)[0] in (*UP, "refreshing")


def service(unit: Mapping[str, str]) -> dict[str, Any]:
    """What is kept of a service: only what differs from the ordinary, so that hundreds fit."""
    restarts = unit.get("NRestarts", "")
    kept: dict[str, Any] = {
        "state": clean_line("%s/%s" % (unit.get("ActiveState", ""), unit.get("SubState", "")), 60),
        "type": clean_line(unit.get("Type", ""), 20),
        "enabled": clean_line(unit.get("UnitFileState", ""), 20),
    }
    if restarts.isdigit() and int(restarts):
        kept["restarts"] = int(restarts)
    if unit.get("Result", "success") not in ("", "success"):
        kept["result"] = clean_line(unit["Result"], 40)
    if unit.get("Transient") == "yes":
        kept["transient"] = True
    if unit.get("BusName"):
        kept["bus"] = True
    if unit.get("WantedBy") or unit.get("RequiredBy"):
        kept["wanted"] = True
    by = [clean_line(name, _NAME) for name in unit.get("TriggeredBy", "").split()[:8]]
    if by:
        kept["by"] = by
    other = [clean_line(name, _NAME) for name in unit.get("Names", "").split()[:8] if name != unit["Id"]]
    if other:
        kept["names"] = other
    return kept


def condition_failed(unit: Mapping[str, str]) -> bool:
    """Whether systemd wanted to start a unit and a condition in its file said no."""
    return unit.get("ConditionResult") == "no" and unit.get("ConditionTimestampMonotonic", "0") not in ("", "0")


# -- sockets -------------------------------------------------------------------------------------------------------


class Listening(NamedTuple):
    """A socket that waits for somebody. ``port`` is 0 of a unix socket, whose address is its path."""

    proto: str
    address: str
    port: int
    inode: str


def _address(text: str) -> str:
    # The kernel prints each 32-bit word as a number of this machine's own byte order.
    words = [int(text[at : at + 8], 16) for at in range(0, len(text), 8)]
    packed = b"".join(struct.pack("=I", word) for word in words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def internet(proto: str, text: str) -> Iterator[Listening]:
    """Those that listen, of /proc/net/tcp, tcp6, udp and udp6: state LISTEN, and UDP without a partner (proc(5))."""
    for line in text.splitlines()[1:]:
        words = line.split()
        try:
            if words[3] != ("0A" if proto == "tcp" else "07"):
                continue
            address, _colon, port = words[1].partition(":")
            _partner, _colon, partner_port = words[2].partition(":")
            if int(partner_port, 16) == 0 and int(port, 16):
                yield Listening(proto, _address(address), int(port, 16), words[9])
        except (IndexError, ValueError, OSError, struct.error):
            continue


def unix(text: str) -> Iterator[Listening]:
    """Those that listen under a path, of /proc/net/unix; names without a file ("@…") belong to nobody's interface."""
    for line in text.splitlines()[1:]:
        words = line.split(None, 7)
        try:
            if len(words) == 8 and words[7].startswith("/") and int(words[3], 16) & _ACCEPTING:
                yield Listening("unix", clean_line(words[7], _NAME), 0, words[6])
        except ValueError:
            continue


# -- the journal ---------------------------------------------------------------------------------------------------

_VARYING = re.compile(r"0x[0-9a-fA-F]+|(?<![0-9A-Za-z])[0-9a-fA-F]{8,}(?![0-9A-Za-z])|\d+")


def cause(text: str) -> str:
    """A line with all that differs from one time to the next taken out, so that the same trouble is one cause."""
    return _VARYING.sub("N", text)


class Errors(NamedTuple):
    """What the journal tells of errors in a span of time."""

    lines: int
    events: int
    """Different causes in different minutes: a service that says the same thousand times in a second is one event."""
    causes: dict[str, int]
    """Events by cause ("unit: line")."""
    first: list[str]
    """The first line of the first causes, as it was."""


def errors(text: str, first: int, kernel: bool = True) -> Errors:
    """Read ``journalctl --output=json``; ``kernel`` is whether the kernel's own lines count."""
    lines = 0
    seen: set[tuple[str, int]] = set()
    causes: dict[str, int] = {}
    shown: list[str] = []
    for record in text.splitlines():
        try:
            entry = json.loads(record)
            minute = int(entry.get("__REALTIME_TIMESTAMP", 0)) // 60_000_000
        except (ValueError, TypeError, AttributeError):
            continue
        if not isinstance(entry, dict):
            continue
        if not kernel and entry.get("_TRANSPORT") == "kernel":
            continue
        lines += 1
        who = _plain(entry.get("_SYSTEMD_UNIT")) or _plain(entry.get("SYSLOG_IDENTIFIER")) or "?"
        line = clean_line("%s: %s" % (who, _plain(entry.get("MESSAGE"))), 240)
        kind = cause(line)
        if kind not in causes and len(shown) < first:
            shown.append(line)
        if (kind, minute) not in seen:
            seen.add((kind, minute))
            causes[kind] = causes.get(kind, 0) + 1
    return Errors(lines, len(seen), causes, shown)


def _plain(value: Any) -> str:
    """A field of the journal: text, or a list of bytes where it is no text, or several of them."""
    if isinstance(value, list):
        if value and all(isinstance(item, int) and 0 <= item < 256 for item in value):
            return bytes(value[:2000]).decode("utf-8", "replace")
        return _plain(value[0]) if value and not isinstance(value[0], list) else ""
    return value if isinstance(value, str) else ""


# -- containers ----------------------------------------------------------------------------------------------------


def containers(text: str) -> dict[str, dict[str, str]]:
    """The running containers of ``docker ps`` (an object a line) or ``podman ps`` (one list), by name.

    Raises ValueError when it is neither.
    """
    text = text.strip()
    rows: Iterable[Any] = json.loads(text) if text.startswith("[") else map(json.loads, text.splitlines())
    found = {}
    for row in rows:
        if not isinstance(row, dict):
            raise ValueError("a row is no object")
        names = row.get("Names") or row.get("Name") or row.get("ID") or ""
        name = clean_line(names[0] if isinstance(names, list) and names else names, _NAME)
        status = str(row.get("Status") or "")
        sick = "(unhealthy)" in status or str(row.get("Health") or "") == "unhealthy"
        found[name] = {"image": clean_line(row.get("Image") or "", _NAME), "health": "unhealthy" if sick else ""}
    return found
