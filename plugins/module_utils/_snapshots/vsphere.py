# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vSphere snapshot taken, removed or reverted to: read, decided, done, and seen to be so by reading again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .._findings import Review, clean_line, places
from .model import FAILED, LEFT, UNSUPPORTED, Mark, Stop, hours, is_ahead, no_reboot, tell_ahead, tell_left
from .vsphere_client import Client, Failed
from .vsphere_model import (
    CHAIN,
    LONG_CHAIN,
    ON,
    Machine,
    Refused,
    Snapshot,
    Steps,
    asks_to_quiesce,
    can_quiesce,
    description_of,
    is_about_quiescing,
    lacks_quiescence,
    refused,
    reverted_description,
    shown,
    steps_to_absent,
    steps_to_present,
    steps_to_reverted,
    told,
    unreachable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_SEVERITY = {"present": "high", "absent": "medium", "reverted": "critical"}
"""How bad it is that a state could not be reached: without a snapshot there is no patch, without a way back no host."""
_SEEN_WITHIN = 15.0
"""Seconds in which a task's effect must be seen in the machine's properties, which vCenter learns from the host."""


def snapshot(options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Take, remove or revert to a snapshot, by options that :func:`errors_of` lets pass.

    The result has ``ok``, ``msg``, ``changed``, what the module documents, and the contract's lists. What failed is a
    finding, not an exception.
    """
    job = _Job(options, check_mode)
    try:
        with Client(options) as client:
            job.go(client)
    except Stop as stop:
        job.stopped(*stop.finding)
    except Failed as failed:
        job.stopped(*job.stop(failed.what, failed.remedy).finding)
    except Exception as error:  # noqa: BLE001 - told as a finding: a traceback helps nobody whose patch is at stake
        what = "it failed with %s" % type(error).__name__
        job.stopped(*job.stop(what, "Report this as a fault of Upkeep.", places(error)).finding)
    return {**job.told, **job.review.result()}


def _marked(machine: Machine, mark: Mark) -> Snapshot | None:
    return next((one for one in machine.ours if one.mark == mark), None)


class _Job:
    """One call of the module."""

    def __init__(self, options: Mapping[str, Any], check_mode: bool) -> None:
        self.options, self.check_mode = options, check_mode
        self.state, self.name = options["state"], options["name"]
        self.asked = clean_line(options["vm"] or options["uuid"], 200)
        self.review = Review("patch")
        self.rows: list[dict[str, Any]] = []
        self.reverted = ""
        """The snapshot that this call went back to, also where it may not be written down."""
        self.told: dict[str, Any] = {
            "ok": True, "msg": "", "changed": False, "snapshots": [], "swept": [], "left": [], "others": 0, "chain": 0,
            "vm": {}, "consolidation_needed": False, "reboot": no_reboot(), "diff": {"before": "", "after": ""},
        }  # fmt: skip

    # -- what is told --------------------------------------------------------------------------------------------------

    def stop(self, what: str, remedy: str, evidence: list[str] | None = None, check: str = "") -> Stop:
        """Why the state that was asked for was not reached, as the finding that says so."""
        done = {"present": "be taken", "absent": "be removed", "reverted": "be reverted to"}[self.state]
        summary = "The snapshot %s of %s could not %s: %s." % (self.name, self.asked, done, what)
        where = "%s, asked for state %s" % (self.options["hostname"], self.state)
        check = check or (LEFT if self.state == "absent" else FAILED)
        severity = "medium" if check == UNSUPPORTED else _SEVERITY[self.state]
        # The summary is cut where it is too long, so all of it stands in the evidence.
        return Stop(check, self.asked, severity, summary, [where, what, *(evidence or [])], remedy)

    def stopped(self, check: str, subject: str, severity: str, summary: str, evidence: list[str], remedy: str) -> None:
        self.review.found(check, subject, severity, summary, evidence, remedy)
        self.told.update(ok=False, msg="%s %s" % (summary, remedy))

    def covered(self, check: str) -> None:
        if not self.check_mode:
            self.review.covered(check, self.asked)

    def _refuse(self, reasons: list[Refused]) -> None:
        """Stop for the first reason; the others are told with it."""
        if reasons:
            first = reasons[0]
            raise self.stop(first.what, first.remedy, ["also: " + one.what for one in reasons[1:]], first.check)

    def _look(self, machine: Machine) -> None:
        """Tell how the machine stands."""
        ours = machine.ours
        self._show([told(machine, one, one.ref == self.reverted) for one in ours])
        self.told["others"] = len(machine.snapshots) - len(ours)
        self.told["chain"] = machine.chain
        self.told["consolidation_needed"] = machine.consolidation_needed
        self.told["vm"] = {
            "name": clean_line(machine.name, 200), "path": clean_line(machine.path, 400), "uuid": machine.uuid,
            "power": machine.power,
        }  # fmt: skip

    def _show(self, rows: list[dict[str, Any]]) -> None:
        """Tell of those of the name that was asked for; a diff has all of ours."""
        self.rows = rows
        self.told["snapshots"] = [row for row in rows if row["name"] == self.name]

    # -- the way -------------------------------------------------------------------------------------------------------

    def go(self, client: Client) -> None:
        ref = client.find()
        machine = client.machine(ref)
        self._look(machine)
        self._refuse(unreachable(machine))
        machine = self._idle(client, ref, machine)
        before = shown(self.rows)
        steps = self._steps(machine)
        if steps.make and not steps.remove:  # otherwise the removal makes room first
            self._refuse(refused(client.machine(ref, stores=True), self.options))
        if self.check_mode:
            self._would(machine, steps)
        else:
            machine = self._carry_out(client, ref, machine, steps)
            self._look(machine)
            self._judge(machine)
        self.told["diff"] = {"before": before, "after": shown(self.rows)}

    def _idle(self, client: Client, ref: Any, machine: Machine) -> Machine:
        """The machine once no task of it is at work: what an earlier run began may be what this one shall do."""
        if self.check_mode or not machine.at_work:
            return machine
        end = time.monotonic() + self.options["timeout"]
        while machine.at_work:
            one = machine.at_work[0]
            left = end - time.monotonic()
            if left <= 0:
                raise self.stop(
                    "a task of the machine is still at work after %d s: %s, by %s"
                    % (self.options["timeout"], one.what, one.who or "nobody knows whom"),
                    "Look at it in vCenter's list of tasks, and run this again when it has ended.",
                )
            self._await(client, one, left)
            machine = client.machine(ref)
        return machine

    def _await(self, client: Client, one: Any, seconds: float) -> None:
        """Wait for somebody's task, however it ends; it is not ours to cancel."""
        end = time.monotonic() + seconds
        while client.is_at_work(one) and time.monotonic() < end:
            time.sleep(min(1.0, max(0.0, end - time.monotonic())))

    def _steps(self, machine: Machine) -> Steps:
        limit = self.options["max_age_hours"]
        if self.state == "absent":
            return steps_to_absent(machine, self.name, limit)
        if self.state == "reverted":
            steps = steps_to_reverted(machine, self.name, limit)
            if isinstance(steps, Refused):
                raise self.stop(steps.what, steps.remedy, check=steps.check)
            return steps
        steps = steps_to_present(machine, self.name, limit)
        if steps.keep and self.options["quiesce"] == "required" and lacks_quiescence(machine, steps.keep, self.options):
            raise self.stop(
                "quiesce is required, and there is one of that name already that is not quiesced",
                "Remove it first (state: absent), or ask for quiesce: wanted.",
                check=UNSUPPORTED,
            )
        return steps

    def _would(self, machine: Machine, steps: Steps) -> None:
        gone = [told(machine, one) for one in steps.remove]
        kept = [one for one in self.rows if one not in gone]
        if steps.make:
            mark = Mark(self.name, int(machine.now))
            new = Snapshot(
                "", self.name, description_of(mark, machine.power, self.options["comment"]), machine.now,
                asks_to_quiesce(machine, self.options), machine.chain + 1,
                ON if self.options["memory"] and machine.power == ON else "",
            )  # fmt: skip
            kept.insert(0, {**told(machine, new), "current": True})
        for one in kept:
            if steps.revert and one == told(machine, steps.revert):
                one["state"] = "reverted"
        self._show(kept)
        self.told.update(swept=gone, changed=steps.changes)

    def _carry_out(self, client: Client, ref: Any, machine: Machine, steps: Steps) -> Machine:
        for old in steps.remove:
            machine = self._remove(client, ref, machine, old)
        if steps.make:
            if steps.remove:
                self._refuse(refused(client.machine(ref, stores=True), self.options))
            machine = self._make(client, ref, machine)
        if steps.revert:
            machine = self._revert(client, ref, steps.revert)
        return machine

    # -- removing ------------------------------------------------------------------------------------------------------

    def _remove(self, client: Client, ref: Any, machine: Machine, old: Snapshot) -> Machine:
        """Remove one; when it stays, it is told, and the others are removed all the same."""
        row = told(machine, old)
        why = Failed("vCenter says that it was removed, and it is still there", "Look at it in vCenter's client.")
        try:
            task = client.begin(client.snapshot_ref(old).RemoveSnapshot_Task, removeChildren=False, consolidate=True)
            done = self._ended(client, ref, task)
            if not done:
                why = Failed("the connection was lost, and it is still there", "Run it again.")
        except Failed as failed:
            why, done = failed, False
        machine = self._seen(client, ref, lambda now: now.get(old.ref) is None, done)
        if machine.get(old.ref) is None:
            self.told["swept"].append(row)
            self.told["changed"] = True
            return machine
        self.told["left"].append({**row, "why": why.what})
        if old.mark:
            tell_left(self.review, self.asked, self.asked, old.mark, machine.now, why.what, why.remedy)
        if self.state == "absent" and old.mark and old.mark.name == self.name:
            msg = "The snapshot %s of %s could not be removed: %s. %s"
            self.told.update(ok=False, msg=msg % (self.name, self.asked, why.what, why.remedy))
        return machine

    # -- taking --------------------------------------------------------------------------------------------------------

    def _make(self, client: Client, ref: Any, machine: Machine) -> Machine:
        quiesce = asks_to_quiesce(machine, self.options)
        mark = Mark(self.name, int(machine.now))
        try:
            machine, done = self._create(client, ref, machine, mark, quiesce)
        except Failed as failed:
            self._clear(client, ref, mark)
            wanted = quiesce and self.options["quiesce"] == "wanted"
            if not (wanted and is_about_quiescing(failed.kind, failed.message)):
                raise
            machine, done = self._create(client, ref, client.machine(ref), mark, False)
        new = _marked(machine, mark)
        if new is None:
            raise self.stop(
                "vCenter says that it was taken, and there is none"
                if done
                else "the connection was lost, and there is none",
                "Look at the machine's tasks and events in vCenter, and run it again.",
            )
        self.told["changed"] = True
        self._see_rename(client, ref, machine, new)
        if lacks_quiescence(machine, new, self.options):
            machine = self._unquiesced(client, ref, machine, new)
        return machine

    def _see_rename(self, client: Client, ref: Any, machine: Machine, new: Snapshot) -> None:
        """See now that what was gone back to can be written down then: otherwise it might be gone back to twice."""
        try:
            client.ask(client.snapshot_ref(new).RenameSnapshot, name=new.name, description=new.description)
        except Failed as failed:
            if failed.kind == "NoPermission":
                self._look(self._remove(client, ref, machine, new))
                raise self.stop(
                    "that it was gone back to could not be written down beside it, as %s" % failed.what,
                    failed.remedy,
                    check=UNSUPPORTED,
                ) from None

    def _create(self, client: Client, ref: Any, machine: Machine, mark: Mark, quiesce: bool) -> tuple[Machine, bool]:
        task = client.begin(
            ref.CreateSnapshot_Task,
            name=self.name,
            description=description_of(mark, machine.power, self.options["comment"]),
            memory=self.options["memory"],
            quiesce=quiesce,
        )
        done = self._ended(client, ref, task)
        return self._seen(client, ref, lambda now: _marked(now, mark) is not None, done), done

    def _clear(self, client: Client, ref: Any, mark: Mark) -> None:
        """Remove what a task that failed, or was cancelled, may have left all the same."""
        machine = client.machine(ref)
        rest = _marked(machine, mark)
        if rest is not None:
            self._look(self._remove(client, ref, machine, rest))

    def _unquiesced(self, client: Client, ref: Any, machine: Machine, new: Snapshot) -> Machine:
        if self.options["quiesce"] == "required":
            machine = self._remove(client, ref, machine, new)
            gone = machine.get(new.ref) is None
            self._look(machine)
            raise self.stop(
                "quiesce is required, and vCenter took it without; %s"
                % ("it was removed again" if gone else "it could not be removed again"),
                "Look at VMware Tools' log in the guest, and at its version; or ask for quiesce: wanted.",
                check=UNSUPPORTED,
            )
        why = "VMware Tools do not run (%s)" % (machine.tools or "not known")
        self.review.found(
            UNSUPPORTED,
            self.asked,
            "low",
            "The snapshot %s of %s is not quiesced: back on it, the guest starts as after a power cut."
            % (self.name, self.asked),
            [why if not can_quiesce(machine) else "VMware Tools run, and vCenter took it without all the same"],
            "Have open-vm-tools run in the guest; quiesce: required refuses such a snapshot.",
        )
        return machine

    # -- going back ----------------------------------------------------------------------------------------------------

    def _revert(self, client: Client, ref: Any, target: Snapshot) -> Machine:
        # Powered on by a task of its own, which can be waited for and says why it failed.
        task = client.begin(client.snapshot_ref(target).RevertToSnapshot_Task, suppressPowerOn=False)
        self.told["changed"] = True
        done = self._ended(client, ref, task)
        machine = self._seen(client, ref, lambda now: now.current == target.ref, done)
        self._look(machine)
        if machine.current != target.ref:
            raise self.stop(
                "vCenter says that the machine went back, and it runs on another snapshot",
                "Look at the machine's snapshots in vCenter's client.",
            )
        if not done:
            # The machine may have run on it before: that it does now proves nothing.
            raise self.stop(
                "the connection was lost, and nobody knows whether the machine went back",
                "Look at the machine's tasks in vCenter, and run it again: going back once more does no harm.",
            )
        if target.power == ON and machine.power != ON and self.options["power_on"]:
            machine = self._power_on(client, ref)
        self.reverted = target.ref
        self._remember(client, target, machine.now)
        return client.machine(ref)

    def _power_on(self, client: Client, ref: Any) -> Machine:
        what, remedy = "the machine went back, and is off", "Look at why in vCenter, and power it on."
        done = False
        try:
            done = self._ended(client, ref, client.begin(ref.PowerOnVM_Task))
        except Failed as failed:
            what, remedy = "the machine went back, and could not be powered on: %s" % failed.what, failed.remedy
        machine = self._seen(client, ref, lambda now: now.power == ON, done)
        if machine.power != ON:
            self._look(machine)
            asks = ["vCenter asks: " + machine.question] if machine.question else []
            raise self.stop(what, remedy, asks)
        return machine

    def _remember(self, client: Client, target: Snapshot, now: float) -> None:
        """Write down that the machine went back; where that is not allowed, the next call takes it back once more."""
        if target.mark is None:
            return
        try:
            client.ask(
                client.snapshot_ref(target).RenameSnapshot,
                name=target.name,
                description=reverted_description(target, target.mark, now),
            )
        except Failed as failed:
            self.review.found(
                FAILED,
                self.asked,
                "low",
                "%s is back on the snapshot %s, and the snapshot does not show it: asked for again, it goes back once "
                "more." % (self.asked, self.name),
                [failed.what],
                failed.remedy,
            )

    # -- seen to be so -------------------------------------------------------------------------------------------------

    def _ended(self, client: Client, ref: Any, task: Any) -> bool:
        """Wait for a task of ours. False when nobody knows how it ended, so that only the machine can tell."""
        if task is not None:
            return client.wait(task, self.options["timeout"])
        self._idle(client, ref, client.machine(ref))
        return False

    def _seen(self, client: Client, ref: Any, so: Callable[[Machine], bool], done: bool) -> Machine:
        """The machine once it is ``so``, or as it is in the end; waited for only when the task was ``done``."""
        end = time.monotonic() + (_SEEN_WITHIN if done else 0.0)
        while True:
            machine = client.machine(ref)
            if so(machine) or time.monotonic() > end:
                return machine
            time.sleep(0.3)

    def _judge(self, machine: Machine) -> None:
        """What is to be said of the machine's snapshots in the end, and what was looked at."""
        for one in machine.ours:
            if one.mark and is_ahead(one.mark, machine.now):
                tell_ahead(self.review, self.asked, self.asked, one.mark, machine.now)
        if machine.consolidation_needed:
            self.review.found(
                LEFT,
                self.asked,
                "medium",
                "The disks of %s must be consolidated: what a removed snapshot held is still there and grows."
                % self.asked,
                ["vCenter: runtime.consolidationNeeded"],
                "In vCenter's client: Snapshots, Consolidate, when there is room and little load.",
            )
        if machine.chain >= LONG_CHAIN:
            self.review.found(
                CHAIN,
                self.asked,
                "info",
                "%s runs on %d snapshots in a row; more than two or three make it slow." % (self.asked, machine.chain),
                [
                    "%s, %s old%s"
                    % (
                        clean_line(one.name, 100), hours(Mark("x", int(one.created)), machine.now),
                        "" if one.mark else ", not ours",
                    )
                    for one in machine.snapshots
                ],
                "Remove those that nobody needs, the oldest first.",
            )  # fmt: skip
        if self.state != "reverted":
            self.covered(LEFT)
        if self.state != "absent":
            self.covered(FAILED)
        if self.state == "present":
            self.covered(UNSUPPORTED)
        self.covered(CHAIN)
