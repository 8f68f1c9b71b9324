# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual machine and its snapshots: what is ours, what must go, and what forbids to take one. Pure.

Of a snapshot without memory vSphere keeps that the machine was off, whatever it was; so what it really was stands
beside the mark in the description, and so does when the machine was taken back to it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .._findings import clean_line
from .model import UNSUPPORTED, FAILED, Mark, hours, is_old, mark_in

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ON = "poweredOn"
CHAIN = "patch.snapshot.chain"
"""The machine's disks are behind many snapshots."""
LONG_CHAIN = 3
"""Snapshots in a row that are told: "use only 2 to 3 snapshots" (Broadcom's knowledge base, article 318825)."""

_POWER = re.compile(r"power=(poweredOn|poweredOff|suspended)")
_REVERTED = re.compile(r"reverted=([0-9]{9,11})")
_ESCAPED = (("%2f", "/"), ("%2F", "/"), ("%5c", "\\"), ("%5C", "\\"), ("%25", "%"))


class Snapshot(NamedTuple):
    """One snapshot of a machine, anybody's."""

    ref: str
    """vCenter's own name for it, such as ``snapshot-12``."""
    name: str
    description: str
    created: float
    """By vCenter's clock: seconds since the epoch."""
    quiesced: bool
    depth: int
    """How many stand above it in its branch, itself included."""
    state: str = ""
    """Its power state by vSphere: on only where it has the memory."""

    @property
    def mark(self) -> Mark | None:
        return mark_in(self.description)

    @property
    def power(self) -> str:
        """The power state of the machine when it was taken; empty when nobody knows."""
        found = _POWER.search(self._marked_line())
        return found.group(1) if found else ""

    @property
    def reverted(self) -> int:
        """When the machine was taken back to it, in seconds since the epoch; 0 when it was not."""
        found = _REVERTED.search(self._marked_line())
        return int(found.group(1)) if found else 0

    @property
    def comment(self) -> str:
        first = self.description.split("\n")[0]
        return first[len(_FIRST) :] if first.startswith(_FIRST) else ""

    def _marked_line(self) -> str:
        return next((line for line in self.description.split("\n") if mark_in(line)), "")


class Store(NamedTuple):
    """A datastore."""

    name: str
    accessible: bool
    capacity: int
    free: int


class Work(NamedTuple):
    """A task of the machine that has not ended."""

    ref: str
    what: str
    """What it does, such as ``VirtualMachine.createSnapshot``."""
    who: str


class Machine(NamedTuple):
    """A virtual machine as vCenter shows it."""

    ref: str
    name: str
    path: str
    uuid: str
    power: str
    connection: str
    now: float
    """vCenter's clock: seconds since the epoch."""
    template: bool = False
    snapshots_supported: bool = True
    tools: str = ""
    """``guestToolsRunning``, or what they do instead."""
    memory_mib: int = 0
    snapshots: tuple[Snapshot, ...] = ()
    current: str = ""
    """The snapshot that the machine runs on top of."""
    consolidation_needed: bool = False
    left_out: tuple[str, ...] = ()
    """The disks that no snapshot holds."""
    stores: tuple[Store, ...] = ()
    at_work: tuple[Work, ...] = ()
    home: str = ""
    """The datastore that the memory of a snapshot goes to; empty when nobody knows."""
    question: str = ""
    """What vCenter asks before the machine goes on."""

    @property
    def ours(self) -> list[Snapshot]:
        """Our snapshots, the newest first."""
        return sorted((one for one in self.snapshots if one.mark), key=_created, reverse=True)

    @property
    def chain(self) -> int:
        return next((one.depth for one in self.snapshots if one.ref == self.current), 0)

    def get(self, ref: str) -> Snapshot | None:
        return next((one for one in self.snapshots if one.ref == ref), None)


class Refused(NamedTuple):
    """Why there can be no snapshot as it was asked for, and what to do."""

    check: str
    what: str
    remedy: str


def _created(snapshot: Snapshot) -> int:
    return snapshot.mark.created if snapshot.mark else 0


# -- names -------------------------------------------------------------------------------------------------------------


def plain_name(name: str) -> str:
    """A name without the escapes that vCenter gives to slashes, backslashes and percent signs."""
    for escape, char in _ESCAPED:
        name = name.replace(escape, char)
    return name


def store_of(path: str) -> str:
    """The datastore of a path such as ``[store] folder/file``; empty when it names none."""
    return plain_name(path[1:].split("]", 1)[0]) if path.startswith("[") and "]" in path else ""


def last_name(asked: str) -> str:
    """The machine's own name, of a name or a path that was asked for."""
    return asked.rsplit("/", 1)[-1] if asked.startswith("/") else asked


# -- the description ---------------------------------------------------------------------------------------------------

_FIRST = "Taken by Upkeep before a change. "
_MORE = "Upkeep removes it again. Without the next line it is taken for somebody else's, and stays."


def description_of(mark: Mark, power: str, comment: str, reverted: int = 0) -> str:
    """What stands beside a snapshot of ours."""
    words = [mark.text, "power=" + power] + (["reverted=%d" % reverted] if reverted else [])
    return "\n".join([_FIRST + comment, _MORE, " ".join(words)])


def reverted_description(snapshot: Snapshot, mark: Mark, now: float) -> str:
    """The description of a snapshot that the machine was just taken back to."""
    return description_of(mark, snapshot.power, snapshot.comment, int(now))


# -- what is to be done ------------------------------------------------------------------------------------------------


class Steps(NamedTuple):
    """What brings a machine to where it shall be, in this order."""

    remove: list[Snapshot]
    make: bool = False
    revert: Snapshot | None = None
    keep: Snapshot | None = None
    """The one that was asked for and is there."""

    @property
    def changes(self) -> bool:
        return bool(self.remove or self.make or self.revert)


def steps_to_present(machine: Machine, name: str, max_age_hours: int) -> Steps:
    """The newest of that name that is young enough counts; one that was reverted to has served."""
    remove = [one for one, mark in _marked(machine) if is_old(mark, machine.now, max_age_hours)]
    named = [one for one, mark in _marked(machine) if mark.name == name and one not in remove]
    remove += [one for one in named if one.reverted]
    keep = next((one for one in named if not one.reverted), None)
    return Steps(remove, make=keep is None, keep=keep)


def steps_to_absent(machine: Machine, name: str, max_age_hours: int) -> Steps:
    return Steps(
        [one for one, mark in _marked(machine) if mark.name == name or is_old(mark, machine.now, max_age_hours)]
    )


def steps_to_reverted(machine: Machine, name: str, max_age_hours: int) -> Steps | Refused:
    """Nothing is removed on the way back: first of all it must be gone."""
    named = [(one, mark) for one, mark in _marked(machine) if mark.name == name]
    if not named:
        also = ", ".join(sorted({mark.name for _one, mark in _marked(machine)}))
        others = len(machine.snapshots) - len(machine.ours)
        return Refused(
            FAILED,
            "the machine has no snapshot of ours of that name (of ours: %s; of others: %d)" % (also or "none", others),
            "Put it back by its packages (patch_rollback), or from its backup.",
        )
    found, mark = named[0]
    if is_old(mark, machine.now, max_age_hours):
        return Refused(
            FAILED,
            "the only snapshot of that name is %s old, and all that was written since would be lost"
            % hours(mark, machine.now),
            "Is it really the one that is meant? Then ask again with max_age_hours: 0.",
        )
    return Steps([], keep=found) if found.reverted else Steps([], revert=found)


def _marked(machine: Machine) -> Iterator[tuple[Snapshot, Mark]]:
    for one in machine.ours:
        if one.mark:
            yield one, one.mark


# -- what forbids it ---------------------------------------------------------------------------------------------------


def refused(machine: Machine, options: Mapping[str, Any]) -> list[Refused]:
    """Why no snapshot can be taken of the machine as the options ask for it; empty when none is known."""
    return list(_unfit(machine)) + list(_incomplete(machine, options)) + list(_no_room(machine, options))


def unreachable(machine: Machine) -> list[Refused]:
    """Why vCenter can do nothing with the machine now."""
    if machine.connection == "connected":
        return []
    what = "vCenter has the machine as %s" % (machine.connection or "not connected")
    return [Refused(FAILED, what, "Look at its host and its datastores in vCenter.")]


def _unfit(machine: Machine) -> Iterator[Refused]:
    if machine.template:
        yield Refused(UNSUPPORTED, "it is a template", "Give the machine itself.")
    elif not machine.snapshots_supported:
        yield Refused(
            UNSUPPORTED, "vCenter says that this machine can have no snapshots",
            "Fault tolerance and shared buses are what mostly forbids it.",
        )  # fmt: skip
    yield from unreachable(machine)


def _incomplete(machine: Machine, options: Mapping[str, Any]) -> Iterator[Refused]:
    if machine.left_out and not options["partial"]:
        yield Refused(
            UNSUPPORTED,
            "a snapshot would leave out %s, which would not go back with it" % listed(machine.left_out),
            "Make the disks dependent ones, or accept it with partial: true.",
        )
    if options["quiesce"] == "required" and not can_quiesce(machine):
        yield Refused(
            UNSUPPORTED,
            "quiesce is required, and VMware Tools do not run in the guest (%s)" % (machine.tools or "not known"),
            "Start open-vm-tools in the guest, or ask for quiesce: wanted.",
        )


def _no_room(machine: Machine, options: Mapping[str, Any]) -> Iterator[Refused]:
    need_memory = machine.memory_mib << 20 if options["memory"] and machine.power == ON else 0
    if not machine.stores:
        yield Refused(
            FAILED, "vCenter shows no datastore of the machine, so nobody knows how much room there is",
            "Give the account System.Read on the machine's datastores.",
        )  # fmt: skip
    for store in machine.stores:
        if not store.accessible or store.capacity <= 0:
            yield Refused(FAILED, "the datastore %s is not accessible" % store.name, "Look at it in vCenter.")
            continue
        here = need_memory if machine.home in ("", store.name) else 0
        need = store.capacity * options["room_percent"] // 100 + here
        if store.free < need:
            yield Refused(
                FAILED,
                "the datastore %s has %s free, and %s are needed (room_percent: %d%s)"
                % (
                    store.name, size(store.free), size(need), options["room_percent"],
                    ", and the memory" if here else "",
                ),
                "Make room on it: old snapshots and orphaned disks are mostly what fills a datastore.",
            )  # fmt: skip


def can_quiesce(machine: Machine) -> bool:
    """Whether the guest's file systems can be in a consistent state: they are in a machine that is off."""
    return machine.power != ON or machine.tools == "guestToolsRunning"


def asks_to_quiesce(machine: Machine, options: Mapping[str, Any]) -> bool:
    wanted = options["quiesce"] != "never" and not options["memory"]
    return wanted and machine.power == ON and can_quiesce(machine)


def lacks_quiescence(machine: Machine, snapshot: Snapshot, options: Mapping[str, Any]) -> bool:
    """Whether a new snapshot of a machine that was on is not what the options ask for, whatever vCenter was told."""
    wanted = options["quiesce"] != "never" and not options["memory"]
    return wanted and snapshot.power == ON and not snapshot.quiesced


# -- told --------------------------------------------------------------------------------------------------------------


def size(count: int) -> str:
    """Bytes for a person."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return "%.0f %s" % (value, unit) if value >= 100 or unit == "B" else "%.1f %s" % (value, unit)
        value /= 1024
    return "%.1f TiB" % value


def listed(names: Iterable[str], most: int = 5) -> str:
    known = [clean_line(name, 120) for name in names]
    return ", ".join(known[:most]) + (" and %d more" % (len(known) - most) if len(known) > most else "")


def told(machine: Machine, snapshot: Snapshot, reverted: bool = False) -> dict[str, Any]:
    """A snapshot of ours as the module returns it; ``reverted`` where that is known, and not written down."""
    mark = snapshot.mark
    return {
        "backend": "vsphere",
        "volume": clean_line(machine.name, 200),
        "name": mark.name if mark else "",
        "created": mark.created if mark else 0,
        "state": "reverted" if snapshot.reverted or reverted else "taken",
        "quiesced": snapshot.quiesced,
        "memory": snapshot.state == ON,
        "power": snapshot.power,
        "comment": clean_line(snapshot.comment, 200),
        "current": snapshot.ref == machine.current,
    }


def shown(snapshots: Iterable[Mapping[str, Any]]) -> str:
    """Our snapshots for a diff: a line each."""
    lines = [
        "snapshot %s of %s, taken at %d%s%s"
        % (
            one["name"], one["volume"], one["created"], ", quiesced" if one["quiesced"] else "",
            ", reverted to" if one["state"] == "reverted" else "",
        )
        for one in snapshots
    ]  # fmt: skip
    return "".join(line + "\n" for line in sorted(lines))


# -- what vCenter says when it does not ------------------------------------------------------------------------------

QUIESCE_FAULTS = ("ApplicationQuiesceFault", "FilesystemQuiesceFault")

_FAULTS = {
    "InvalidLogin": (
        "it refused the user name or the password",
        "Give username and password of an account that vCenter knows (user@domain), and that is not locked.",
    ),
    "NotAuthenticated": ("it ended the session", "Run it again; if it stays so, look for a limit of sessions."),
    "TaskInProgress": (
        "another task of the machine is at work",
        "Look at the machine's tasks in vCenter, a backup for instance, and run it again afterwards.",
    ),
    "MethodDisabled": (
        "it is disabled for this machine just now",
        "Mostly a backup is at work, or one was broken off and left it so: look into the backup's own log.",
    ),
    "ManagedObjectNotFound": (
        "what was asked about is gone", "Did somebody remove it meanwhile? Run it again.",
    ),
    "InvalidState": ("the machine is in a state that does not allow it", "Look at the machine in vCenter."),
    "InvalidPowerState": ("the machine's power state does not allow it", "Look at the machine in vCenter."),
    "ApplicationQuiesceFault": (
        "the guest's applications could not be brought to rest",
        "Look at VMware Tools' log and its freeze scripts in the guest, or ask for quiesce: wanted.",
    ),
    "FilesystemQuiesceFault": (
        "the guest's file systems were not at rest long enough",
        "Take it when less is written, or ask for quiesce: wanted.",
    ),
    "NoDiskSpace": ("a datastore is full", "Make room on the machine's datastores."),
    "InsufficientResourcesFault": ("there are too few resources", "Look at the machine's host and cluster."),
    "RestrictedVersion": ("its licence does not allow it", "A free ESXi can be read only: ask a vCenter."),
}  # fmt: skip


def fault_words(kind: str, message: str, privilege: str = "") -> tuple[str, str]:
    """What a fault of vCenter means, and what to do. ``kind`` is its class without the package."""
    if kind == "NoPermission":
        return (
            "the account may not do it%s" % (": it lacks the privilege " + privilege if privilege else ""),
            "Give the account that privilege on the machine, its folders and its datastores.",
        )
    said = "%s: %s" % (kind, message) if message else kind
    if kind in _FAULTS:
        what, remedy = _FAULTS[kind]
        return "%s (%s)" % (what, said), remedy
    return "it answered with %s" % said, "Look at the machine's tasks and events in vCenter."


def is_about_quiescing(kind: str, message: str) -> bool:
    """Whether a task failed because the guest did not come to rest; vCenter has several ways to say so."""
    return kind in QUIESCE_FAULTS or "quiesc" in message.lower()
