# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mitigations on a host: put in, looked at and lifted; what was there before is on the disk before it is changed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from typing import TYPE_CHECKING, Any

from .._findings import Review, clean_line
from . import mitigations
from .mitigations import Item, Mitigation, is_in_force

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .._host import Host

COMMAND_TIMEOUT = 90.0
"""Seconds: the time that systemd gives a unit to stop (DefaultTimeoutStopSec)."""
CHECK_TIMEOUT = 30.0


class Refused(Exception):  # noqa: N818 - it is an outcome, told to a person
    """It cannot be done: why, and what to do."""

    def __init__(self, why: str, remedy: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy


class Machine:
    """What mitigations change of a host. ``root`` is in front of every path, for tests."""

    def __init__(self, host: Host, root: str = "") -> None:
        self.host = host
        self.root = root
        self.base = root + mitigations.BASE

    # -- the journals ------------------------------------------------------------

    def names(self) -> list[str]:
        """The mitigations of this host. Raises Refused when they may not be seen."""
        try:
            found = os.listdir(self.base)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise Refused("%s cannot be read: %s" % (self.base, error.strerror), "Run as root.") from error
        return sorted(name[:-5] for name in found if name.endswith(".json") and mitigations.NAME.fullmatch(name[:-5]))

    def load(self, name: str) -> Mitigation | None:
        """A mitigation of this host, None when there is none of that name. Raises Refused."""
        path = os.path.join(self.base, name + ".json")
        try:
            with open(path, encoding="utf-8") as stream:
                return mitigations.of_text(stream.read(mitigations.LIMIT))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise Refused(
                "%s cannot be read: %s" % (path, clean_line(error, 200)),
                "See in it what was changed, put that back by hand, and remove it.",
            ) from error

    def save(self, mitigation: Mitigation) -> None:
        """Write the journal down, on the disk when this returns. Raises Refused."""
        try:
            os.makedirs(self.base, 0o700, exist_ok=True)
            self._replace(os.path.join(self.base, mitigation.name + ".json"), mitigations.as_text(mitigation), 0o600)
        except OSError as error:
            raise Refused(
                "%s cannot be written to: %s" % (self.base, error.strerror or error),
                "Run as root, and make room: nothing is changed that cannot be written down first.",
            ) from error

    def forget(self, name: str) -> None:
        """Remove a journal."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.base, name + ".json"))

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """One at a time changes mitigations here. Raises Refused."""
        try:
            os.makedirs(self.base, 0o700, exist_ok=True)
            descriptor = os.open(os.path.join(self.base, ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise Refused("%s cannot be written to: %s" % (self.base, error.strerror), "Run as root.") from error
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Refused("another run changes mitigations of this host now", "Run it again afterwards.") from error
            yield
        finally:
            os.close(descriptor)

    # -- looking -----------------------------------------------------------------

    def look(self, item: Item) -> str | None:
        """The value that an item has now. Raises Refused when it cannot be asked."""
        return _LOOK[item.kind](self, item)

    def _file(self, item: Item) -> str | None:
        path = self.root + item.subject
        try:
            if not stat.S_ISREG(os.lstat(path).st_mode):
                raise Refused("%s is no regular file" % item.subject, "Look what it is: ls -l %s" % item.subject)
            with open(path, encoding="utf-8", newline="") as stream:  # as it is, to be put back as it was
                text = stream.read(mitigations.CONTENT_LIMIT + 1)
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise Refused("%s cannot be read: %s" % (item.subject, error), "Run as root.") from error
        if len(text) > mitigations.CONTENT_LIMIT:
            raise Refused(
                "%s has more than %d characters, and could not be put back" % (item.subject, mitigations.CONTENT_LIMIT),
                "Give a file of its own beside it.",
            )
        return text

    def _setting_path(self, item: Item) -> str:
        name = item.subject if "/" in item.subject else item.subject.replace(".", "/")
        return "%s/proc/sys/%s" % (self.root, name)

    def _setting(self, item: Item) -> str | None:
        try:
            with open(self._setting_path(item), encoding="utf-8") as stream:
                return " ".join(stream.read(10_000).split())
        except FileNotFoundError as error:
            raise Refused(
                "this kernel has no setting %s" % item.subject, "Name another one, or leave this host out."
            ) from error
        except OSError as error:
            raise Refused("%s cannot be read: %s" % (item.subject, error.strerror), "Run as root.") from error

    def _module(self, item: Item) -> str | None:
        if not os.path.isdir("%s/sys/module/%s" % (self.root, item.subject)):
            # One that is built in and has no parameters is not there either.
            return "built in" if item.subject in self._built_in() else "no"
        # What is built in has no state of its own there.
        return "yes" if os.path.exists("%s/sys/module/%s/initstate" % (self.root, item.subject)) else "built in"

    def _built_in(self) -> set[str]:
        """The modules that are part of the kernel that runs, as far as its list is there (not in containers)."""
        try:
            with open(self.root + "/proc/sys/kernel/osrelease", encoding="utf-8") as stream:
                release = stream.read(200).strip()
            with open("%s/lib/modules/%s/modules.builtin" % (self.root, release), encoding="utf-8") as stream:
                paths = stream.read(4 * 1024 * 1024).split()
        except (OSError, UnicodeDecodeError):
            return set()
        return {path.rpartition("/")[2].partition(".ko")[0].replace("-", "_") for path in paths}

    def _unit(self, item: Item) -> dict[str, str]:
        wanted = "--property=LoadState,UnitFileState,ActiveState"
        ran = self.host.run(["systemctl", "show", wanted, "--", item.subject], COMMAND_TIMEOUT)
        if ran.rc != 0:
            why = clean_line(ran.err or ran.out, 200)
            raise Refused("systemd does not tell of %s: %s" % (item.subject, why), "See: systemctl status")
        return dict(line.partition("=")[::2] for line in ran.out.splitlines() if "=" in line)

    def _masked(self, item: Item) -> str | None:
        return "yes" if self._unit(item).get("LoadState") == "masked" else "no"

    def _running(self, item: Item) -> str | None:
        return "no" if self._unit(item).get("ActiveState") in ("inactive", "failed") else "yes"

    def _mode(self, item: Item) -> str | None:
        try:
            found = os.stat(self.root + item.subject)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Refused("%s cannot be looked at: %s" % (item.subject, error.strerror), "Run as root.") from error
        if not stat.S_ISREG(found.st_mode):
            raise Refused("%s is no file" % item.subject, "Look what it is: ls -l %s" % item.subject)
        return "%o" % (found.st_mode & item.bits)

    # -- changing ----------------------------------------------------------------

    def give(self, item: Item, value: str | None) -> None:
        """Give an item a value. Raises Refused."""
        try:
            _GIVE[item.kind](self, item, value)
        except OSError as error:
            raise Refused("%s cannot be changed: %s" % (item.label, error.strerror or error), "Run as root.") from error

    def _give_file(self, item: Item, value: str | None) -> None:
        path = self.root + item.subject
        if value is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
        mode, owner = 0o644, None
        with contextlib.suppress(FileNotFoundError):
            old = os.lstat(path)
            mode, owner = stat.S_IMODE(old.st_mode), (old.st_uid, old.st_gid)
        self._replace(path, value, mode, owner)

    def _replace(self, path: str, text: str, mode: int, owner: tuple[int, int] | None = None) -> None:
        folder = os.path.dirname(path)
        descriptor, temporary = tempfile.mkstemp(prefix=".upkeep-", dir=folder)
        try:
            with open(descriptor, "w", encoding="utf-8", newline="") as stream:
                if owner is not None:
                    os.fchown(descriptor, *owner)
                os.fchmod(descriptor, mode)
                stream.write(text)
                stream.flush()
                os.fsync(descriptor)
            os.replace(temporary, path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        parent = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(parent)
        finally:
            os.close(parent)

    def _give_setting(self, item: Item, value: str | None) -> None:
        with open(self._setting_path(item), "w", encoding="utf-8") as stream:
            stream.write((value or "") + "\n")

    def _give_module(self, item: Item, value: str | None) -> None:
        if value == "yes":
            self._command(["modprobe", item.subject], "%s cannot be loaded again" % item.subject)
        elif self._module(item) == "built in":
            raise Refused(
                "the module %s is built into this kernel, and cannot be taken out" % item.subject,
                "Look for a setting of the kernel that turns it off.",
            )
        else:
            # By its file's directive "install", modprobe itself would refuse to touch it.
            self._command(["rmmod", item.subject], "the module %s is in use, and cannot be unloaded" % item.subject,
                          "See who uses it (lsmod); it is not loaded any more after the next reboot.")  # fmt: skip

    def _give_masked(self, item: Item, value: str | None) -> None:
        word = "mask" if value == "yes" else "unmask"
        remedy = ""
        if word == "mask" and os.path.isfile("%s/etc/systemd/system/%s" % (self.root, item.subject)):
            remedy = (
                "Its unit file lies in /etc/systemd/system, where the mask would be: have it in "
                "/usr/local/lib/systemd/system, or give a dropin."
            )
        self._command(["systemctl", word, "--", item.subject], "%s cannot be %sed" % (item.subject, word), remedy)

    def _give_running(self, item: Item, value: str | None) -> None:
        word = "start" if value == "yes" else "stop"
        remedy = "See: systemctl status %s" % item.subject
        self._command(["systemctl", word, "--", item.subject], "systemctl %s %s failed" % (word, item.subject), remedy)

    def _give_mode(self, item: Item, value: str | None) -> None:
        descriptor = os.open(self.root + item.subject, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            now = stat.S_IMODE(os.fstat(descriptor).st_mode)
            os.fchmod(descriptor, (now & ~item.bits) | (int(value or "0", 8) & item.bits))
        finally:
            os.close(descriptor)

    def _command(self, argv: list[str], what: str, remedy: str = "") -> None:
        ran = self.host.run(argv, COMMAND_TIMEOUT)
        if ran.rc != 0:
            lines = (ran.err or ran.out).strip().splitlines() or ["no reason was given"]
            said = clean_line(lines[-1], 300)
            raise Refused("%s: %s" % (what, said), remedy)

    def accept(self, mitigation: Mitigation) -> None:
        """Have the new configuration looked at by the program that reads it. Raises Refused."""
        if mitigation.validate:
            self._command(mitigation.validate, "the new configuration is not accepted", "Correct its content.")

    def load_configuration(self, mitigation: Mitigation) -> None:
        """Have it loaded by the unit that reads it, where that runs. Raises Refused."""
        if mitigation.reload:
            what = "%s could not be reloaded" % mitigation.reload
            remedy = "See: systemctl status %s" % mitigation.reload
            self._command(["systemctl", "try-reload-or-restart", "--", mitigation.reload], what, remedy)

    def why_not(self, mitigation: Mitigation, run_check: bool = True) -> str | None:
        """Why a mitigation is not in force, empty when it is, None when that cannot be said (its check was not run)."""
        for item in mitigation.items:
            try:
                now = self.look(item)
            except Refused as refused:
                return refused.why
            if not is_in_force(item, now):
                shown = "changed" if item.kind == "file" and now is not None else now or "gone"
                return "%s is %s" % (item.label, shown)
        if mitigation.check:
            if not run_check:
                return None
            ran = self.host.run(mitigation.check, CHECK_TIMEOUT)
            if ran.rc != 0:
                ended = "did not end" if ran.rc is None else "ended with %d" % ran.rc
                return "its check %s: %s" % (ended, clean_line(ran.err or ran.out, 200))
        return ""


_LOOK = {
    "file": Machine._file,
    "sysctl": Machine._setting,
    "module": Machine._module,
    "masked": Machine._masked,
    "running": Machine._running,
    "mode": Machine._mode,
}
_GIVE = {
    "file": Machine._give_file,
    "sysctl": Machine._give_setting,
    "module": Machine._give_module,
    "masked": Machine._give_masked,
    "running": Machine._give_running,
    "mode": Machine._give_mode,
}


def review(machine: Machine, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``patch_mitigation`` (see the module's RETURN); failed with ``msg`` when it did not succeed."""
    reviewed = Review("patch")
    work = _Work(machine, options["name"], bool(options.get("check_mode")))
    present = options["state"] == "present"
    check = "patch.mitigation.failed" if present else "patch.mitigation.left"
    try:
        if work.check_mode:
            work.put_in(mitigations.made(options)) if present else work.lift()
        else:
            with machine.alone():
                work.put_in(mitigations.made(options)) if present else work.lift()
    except Refused as refused:
        what = "not in force" if present else "not lifted"
        told = "The mitigation %s is %s: %s." % (work.name, what, refused.why.rstrip("."))
        reviewed.found(check, work.name, "high" if present else "medium", told, work.notes, refused.remedy)
        msg = ("%s %s" % (told, refused.remedy)).strip()
        return dict(work.result(), failed=True, msg=msg, **reviewed.result())
    reviewed.covered(check, work.name)
    if not present:
        reviewed.covered("patch.mitigation.failed", work.name)
        reviewed.covered("patch.mitigation.lost", work.name)
    return dict(work.result(), **reviewed.result())


class _Work:
    """One mitigation, put in or lifted."""

    def __init__(self, machine: Machine, name: str, check_mode: bool) -> None:
        self.machine = machine
        self.name = name
        self.check_mode = check_mode
        self.changed = False
        self.in_force: bool | None = None
        self.survives_reboot: bool | None = None
        self.left_alone: list[str] = []
        self.notes: list[str] = []
        self.before: list[str] = []
        self.after: list[str] = []

    def result(self) -> dict[str, Any]:
        return {
            "changed": self.changed,
            "in_force": self.in_force,
            "survives_reboot": self.survives_reboot,
            "left_alone": self.left_alone,
            "journal": "%s/%s.json" % (mitigations.BASE, self.name),
            "diff": {"before": _lines(self.before), "after": _lines(self.after)},
        }

    def put_in(self, wanted: Mitigation) -> None:
        """Bring the mitigation into force, and see that it is."""
        known = self.machine.load(self.name)
        if known is None or known.is_same(wanted):
            self._put_in(wanted, known)
            return
        self._undo(known)
        self.machine.forget(self.name) if not self.check_mode else None
        try:
            self._put_in(wanted, None)
        except Refused:
            if not self.check_mode:
                self._put_back(known)
            raise

    def _put_back(self, old: Mitigation) -> None:
        """Have the one before again, as the new one is refused: better than neither."""
        try:
            made = self.machine.load(self.name)
            if made is not None:
                self._undo(made)
            for item in old.items:
                item.before = self.machine.look(item)
            old.phase = "applying"
            self.machine.save(old)
            for item in old.items:
                if not is_in_force(item, item.before):
                    self.machine.give(item, item.wanted)
            self.machine.load_configuration(old)
            old.phase = "applied"
            self.machine.save(old)
            self.notes.append("the one before is in again")
        except Refused as refused:
            self.notes.append("the one before could not be put in again: %s" % refused.why)

    def _put_in(self, wanted: Mitigation, known: Mitigation | None) -> None:
        self.survives_reboot = wanted.survives_reboot
        pending = []
        for number, item in enumerate(wanted.items):
            now = self.machine.look(item)
            item.before = known.items[number].before if known is not None else now
            if item.before is None and item.kind == "mode":
                item.before = now  # a file that came since
            if not is_in_force(item, now):
                pending.append((item, now))
        is_new = known is None or known.phase != "applied"
        self.changed = self.changed or bool(pending) or known is None
        for item, now in pending:
            self.before.append(mitigations.shown(item, now))
            self.after.append(mitigations.shown(item, item.wanted))
        if self.check_mode:
            self.in_force = not pending and self.machine.why_not(wanted, run_check=False) == ""
            return
        wanted.since = known.since if known is not None else self.machine.host.now()
        wanted.phase = "applying"
        if known is not None and not is_new and not pending:
            wanted.phase = "applied"
            told = (known.cves, known.packages, known.survives_reboot)
            if told != (wanted.cves, wanted.packages, wanted.survives_reboot):
                self.machine.save(wanted)
        else:
            self.machine.save(wanted)
            self._carry_out(wanted, pending, known)
            wanted.phase = "applied"
            self.machine.save(wanted)
        why = self.machine.why_not(wanted)
        self.in_force = why == ""
        if why:
            raise Refused("%s, although it was done" % why, "See what sets it otherwise on this host.")

    def _carry_out(self, wanted: Mitigation, pending: list[tuple[Item, str | None]], known: Mitigation | None) -> None:
        for item, _now in pending:
            self.machine.give(item, item.wanted)
        try:
            self.machine.accept(wanted)
        except Refused:
            if known is not None and known.phase == "applied":
                # It was accepted once: what somebody made of it since stays, and so does the way back.
                for item, now in pending:
                    self.machine.give(item, now)
                self.machine.save(known)
            else:
                for item in wanted.items:  # also what a run that was killed had put in
                    if self.machine.look(item) != item.before:
                        self.machine.give(item, item.before)
                self.machine.forget(self.name)
            self.changed = known is not None and known.phase != "applied"
            raise
        self.machine.load_configuration(wanted)

    def lift(self) -> None:
        """Put back what was there before, and see that it is."""
        known = self.machine.load(self.name)
        if known is None:
            self.in_force = False
            return
        self._undo(known)
        self.changed = True
        self.in_force = False
        if not self.check_mode:
            self.machine.forget(self.name)

    def _undo(self, known: Mitigation) -> None:
        if not self.check_mode:
            known.phase = "lifting"
            self.machine.save(known)
        others = [other for name in self.machine.names() if name != self.name for other in [self.machine.load(name)]]
        # In the same order: what keeps a module or a unit from starting goes before it is started.
        for item in known.items:
            now = self.machine.look(item)
            if now == item.before or (item.before is None and item.kind == "mode"):
                continue
            heir = self._hand_over(item, now, [other for other in others if other is not None])
            if heir:
                self.left_alone.append("%s stays as it is: the mitigation %s needs it" % (item.label, heir))
                continue
            if now != item.wanted:
                self.left_alone.append("%s was changed since, and is left as it is" % item.label)
                continue
            self.before.append(mitigations.shown(item, now))
            self.after.append(mitigations.shown(item, item.before))
            if self.check_mode:
                continue
            self.machine.give(item, item.before)
            if self.machine.look(item) != item.before:
                raise Refused(
                    "%s is not as it was before" % item.label, "See %s/%s.json" % (mitigations.BASE, self.name)
                )
        if not self.check_mode:
            self.machine.load_configuration(known)

    def _hand_over(self, item: Item, now: str | None, others: list[Mitigation]) -> str:
        """The other mitigation that has the item as it is now, empty when none has: it is told what was before both."""
        for other in others:
            for theirs in other.items:
                same = (theirs.kind, theirs.subject, theirs.bits) == (item.kind, item.subject, item.bits)
                if not same or theirs.wanted != now:
                    continue
                if theirs.before == item.wanted and not self.check_mode:
                    theirs.before = item.before
                    self.machine.save(other)
                return other.name
        return ""


def _lines(texts: list[str]) -> str:
    return "".join(text if text.endswith("\n") or not text else text + "\n" for text in texts)


def gather(machine: Machine, run_checks: bool) -> list[dict[str, Any]]:
    """The mitigations of a host: ``name``, ``cves``, ``kind``, ``since``, ``packages``, ``in_force`` and ``why`` not.

    ``in_force`` is None where that cannot be said. Raises Refused when they may not be seen.
    """
    found: list[dict[str, Any]] = []
    for name in machine.names():
        try:
            mitigation = machine.load(name)
        except Refused as refused:
            found.append({"name": name, "cves": [], "kind": "", "since": None, "packages": {}, "in_force": None,
                          "why": refused.why})  # fmt: skip
            continue
        if mitigation is None:
            continue
        why = machine.why_not(mitigation, run_checks)
        found.append({
            "name": name, "cves": mitigation.cves, "kind": mitigation.kind, "since": mitigation.since,
            "packages": mitigation.packages, "in_force": None if why is None else not why,
            "why": "its check is not run in check mode" if why is None else why,
        })  # fmt: skip
    return found
