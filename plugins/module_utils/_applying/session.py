# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What prepare, apply and rollback share: one session of Upkeep on a host, alone, that says why where it stops."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from .._findings import Review, clean_lines, places, plain
from .._host import AS_ROOT
from .._patching.plan_model import errors_of
from . import gates, transaction
from .journal import BASE, Journal, JournalError, Store
from .progress import DatabaseUnreadable
from .transaction import CannotStart

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .._host import Host
    from .apt import Apt
    from .dnf import Dnf
    from .transaction import Running

_POLL = 1.0


class Stop(Exception):  # noqa: N818 - an outcome, told as a finding
    """It goes no further: the finding that says why."""

    def __init__(
        self, check: str, subject: str, severity: str, summary: str, evidence: Iterable[str] = (), remedy: str = ""
    ) -> None:
        super().__init__(summary)
        self.finding = (check, subject, severity, summary, list(evidence), remedy)


class Told(Exception):  # noqa: N818 - an outcome
    """It goes no further, and the findings and the message say why already."""


class Session:
    """One call of a module. ``result`` is what it returns beside findings and coverage."""

    def __init__(self, host: Host, options: Mapping[str, Any], what: str, base: str = BASE) -> None:
        self.host = host
        self.options = options
        self.what = what
        """The check by which it is told that it could not be done at all."""
        self.store = Store(base)
        self.review = Review("patch")
        self.check_mode = bool(options.get("check_mode"))
        self.result: dict[str, Any] = {"ok": False, "changed": False, "plan_id": "", "phase": "", "msg": ""}
        self.manager = "packages"

    def plan(self) -> dict[str, Any]:
        """The plan that was handed in. Raises Stop when it is none, or this account may not carry it out."""
        plan = self.options["plan"]
        errors = errors_of(plan)
        if errors:
            raise Stop(
                self.what, "plan", "high", "The plan cannot be carried out: %s." % errors[0], errors,
                "Hand in the plan as patch_plan returned it.",
            )  # fmt: skip
        self.manager = plan["manager"]
        self.result["plan_id"] = plan["id"]
        if not self.host.is_root():
            raise Stop(self.what, self.manager, "high", "Only root may change packages.", [], AS_ROOT)
        return dict(plan)

    def engine(self, manager: str) -> Apt | Dnf:
        """The package manager that a plan is for. Raises Stop when it is not here."""
        if manager == "apt" and self.host.which("apt-get") and self.host.exists("/var/lib/dpkg/status"):
            from .apt import Apt

            return Apt(self.host)
        if manager == "dnf":
            from .._patching.gather_dnf import interpreter
            from .dnf import Dnf

            if interpreter(self.host):
                return Dnf(self.host)
        raise Stop(
            self.what, manager, "high", "The plan is for %s, which is not on this host." % manager, [],
            "Plan this host anew: patch_plan",
        )  # fmt: skip

    @contextlib.contextmanager
    def told(self) -> Iterator[None]:
        """Whatever stops the block becomes a finding, and the module's message."""
        try:
            yield
        except Stop as stop:
            self.review.found(*stop.finding)
            self.result["msg"] = stop.finding[3]
        except Told:
            pass
        except DatabaseUnreadable as error:
            self._cannot(
                "the package database is broken: %s" % error, [], "Restore it, from /var/backups for instance."
            )
        except JournalError as error:
            self._cannot(error.why, [], error.remedy)
        except CannotStart as error:
            self._cannot("the transaction could not be begun: %s" % error.why, error.evidence, "")
        except OSError as error:
            self._cannot("%s: %s" % (error.filename or "the system", error.strerror or error), [], "")
        except Exception as error:  # noqa: BLE001 - a bug is told, with what was seen until then; the transaction goes on
            why = "Upkeep itself failed with %s" % type(error).__name__
            self._cannot(why, places(error), "Report this as a fault of Upkeep, with the evidence, and run it again.")

    def _cannot(self, why: str, evidence: list[str], remedy: str) -> None:
        self.result["msg"] = "%s%s." % (why[:1].upper(), why[1:])
        self.review.found(self.what, self.manager, "high", self.result["msg"], evidence, remedy)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Only one session of Upkeep changes packages here at a time: wait for another one, then name it."""
        until = self.host.now() + self.options["lock_timeout"]
        path = os.path.join(self.store.base, "session.lock")
        while True:
            with self.store.alone() as mine:
                if mine:
                    yield
                    return
            if self.host.now() >= until:
                holder = self.host.lock_holder(path)
                raise Stop(
                    self.what, self.manager, "medium",
                    "Another session of Upkeep is at work on this host (process %s)." % (holder or "that just ended"),
                    [], "Wait for it, or raise lock_timeout (now %d s)." % self.options["lock_timeout"],
                )  # fmt: skip
            self.host.sleep(_POLL)

    def running(self, plan_id: str) -> Running | None:
        """This plan's transaction if it is at work. Raises Stop when it is another plan's."""
        at_work = transaction.running(self.host, self.store)
        if at_work is not None and at_work.plan_id != plan_id:
            raise Stop(
                self.what, self.manager, "medium",
                "The transaction of another plan (%s) is at work on this host." % (at_work.plan_id or "not known"),
                ["process %d; follow it: journalctl -fu %s" % (at_work.pid, transaction.unit(at_work.plan_id))],
                "Let patch_apply follow that plan to its end first.",
            )  # fmt: skip
        return at_work

    def wait_for_locks(self, engine: Apt | Dnf, check: str) -> None:
        """Wait until no other package manager is at work. Raises Stop with its name."""
        until = self.host.now() + self.options["lock_timeout"]
        locks = engine.locks()
        while locks and self.host.now() < until:
            self.host.sleep(_POLL)
            locks = engine.locks()
        if locks:
            lines = ["%s: process %d: %s" % (lock.path, lock.pid, lock.command) for lock in locks]
            raise Stop(
                check, self.manager, "medium",
                "Another package manager is at work: process %d (%s), still after %d s."
                % (locks[0].pid, locks[0].command[:100] or "gone", self.options["lock_timeout"]),
                lines, "Wait for it, or see what it does: ps -fp %d" % locks[0].pid,
            )  # fmt: skip

    def in_window(self, plan: Mapping[str, Any], fetched: bool) -> None:
        """Raises Stop when the plan and its way back do not fit before the window closes."""
        name, ends = "patch.prepare.window_short", self.options["ends"]
        if not ends:
            self.review.skip(name, "no window is given", "ends")
            return
        why = gates.window_is_short(plan, fetched, ends, self.host.now())
        if why:
            expected = plan.get("seconds") or {}
            lines = [
                "expected: %s" % ", ".join("%s %s s" % (k, expected.get(k)) for k in ("download", "apply", "reboot"))
            ]
            raise Stop(
                name, "window", "medium", why, lines,
                "Wait for the next window, or plan less for this one (patch_plan_exclude, patch_plan_severities).",
            )  # fmt: skip
        self.review.covered(name)

    def boot_id(self) -> str:
        return (self.host.read("/proc/sys/kernel/random/boot_id", 100) or "").strip()

    def token(self, plan_id: str) -> str:
        return "%s-%d-%d" % (plan_id, int(self.host.now() * 1000), os.getpid())

    def enter(self, journal: Journal, phase: str) -> None:
        journal.enter(phase, self.host.now())
        self.store.save(journal)

    def done(self, journal: Journal | None = None) -> dict[str, Any]:
        """The module's result."""
        if journal is not None:
            self.result.update(phase=journal.phase, log=journal.log)
        told = {**plain(self.result), **self.review.result()}
        # plain() makes one line of a text, and a diff is read line by line.
        diff = {side: _lines(text) for side, text in self.result.get("diff", {}).items()}
        return {**told, "diff": diff} if diff else told


def _lines(text: str) -> str:
    lines = text.splitlines()
    kept = clean_lines(lines, len(lines))
    return "\n".join(kept) + "\n" if text.endswith("\n") else "\n".join(kept)
