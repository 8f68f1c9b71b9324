# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The way back: each package of the plan to what it was before, verified by what is on the host afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import apt_output, services, transaction
from .apply import _reboot, _told
from .journal import BASE, Journal
from .progress import diff, key, measure_return, versions
from .session import Session, Stop, Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host
    from .apt import Apt
    from .dnf import Dnf
    from .progress import Return


def rollback(host: Host, options: Mapping[str, Any], base: str = BASE) -> dict[str, Any]:
    """The result of patch_rollback (see the module's RETURN)."""
    session = Session(host, options, "patch.rollback.failed", base)
    session.result.update(packages=[], services=[], left=[], seconds=0.0)
    session.result["reboot"] = {"needed": False, "why": [], "blocked": ""}
    journal = None
    with session.told():
        journal = _journal(session)
        engine = session.engine(journal.plan["manager"])
        if session.check_mode:
            session.running(journal.plan_id)
            way = _look(engine, journal)
            session.result["changed"] = bool(way.restore or way.remove)
            session.result["diff"] = diff([*way.restore, *way.remove], reverse=True)
        else:
            with session.alone():
                journal = session.store.load(journal.plan_id) or journal
                _roll_back(session, engine, journal)
        session.result["ok"] = True
        for check in ("failed", "incomplete", "impossible"):
            session.review.covered("patch.rollback.%s" % check)
    return session.done(journal)


def _journal(session: Session) -> Journal:
    plan_id = session.options["plan_id"]
    journal = session.store.load(plan_id) if plan_id else session.store.newest()
    if journal is None:
        raise Stop(
            "patch.rollback.impossible", plan_id or "packages", "high",
            "There is no journal %s on this host: what was there before is not known."
            % ("of plan %s" % plan_id if plan_id else "of any plan"),
            session.store.ids(), "Only what patch_prepare has prepared can be put back; there may be a snapshot.",
        )  # fmt: skip
    session.manager = journal.plan["manager"]
    session.result["plan_id"] = journal.plan_id
    if not session.host.is_root():
        from .._host import AS_ROOT

        raise Stop("patch.rollback.failed", session.manager, "high", "Only root may change packages.", [], AS_ROOT)
    return journal


def _look(engine: Apt | Dnf, journal: Journal) -> Return:
    installed, broken = engine.installed()
    return measure_return(journal, installed, broken)


def _roll_back(session: Session, engine: Apt | Dnf, journal: Journal) -> None:
    host, store = session.host, session.store
    _end_running(session, journal)
    hopeless = engine.beyond_mending()
    if hopeless:
        raise Stop(
            "patch.rollback.failed", engine.name, "critical", "The package database is broken: %s." % hopeless,
            [hopeless], "By hand: %s, or revert a snapshot." % engine.mend_remedy,
        )  # fmt: skip
    before, _broken = engine.installed()
    way = _look(engine, journal)
    evidence: list[str] = []
    if way.restore or way.remove or (engine.problems() and journal.phase in ("applying", "rolling_back")):
        session.wait_for_locks(engine, "patch.rollback.failed")
        journal.token = session.token(journal.plan_id)
        journal.boot_id = session.boot_id()
        journal.deadline = host.now() + session.options["timeout"]
        session.enter(journal, "rolling_back")
        session.result["changed"] = True
        commands = engine.back_commands(store, journal, way, session.options["lock_timeout"])
        transaction.start(host, store, journal.plan_id, journal.token, commands, engine.environment(journal.plan_id))
        outcome, still = transaction.follow(host, store, journal.plan_id, journal.token, journal.deadline)
        if still:
            raise Stop(
                "patch.rollback.failed", engine.name, "critical",
                "The way back is still at work after %d s." % session.options["timeout"],
                store.read(journal.plan_id, "transaction.log", 4096).splitlines()[-8:],
                "It goes on as %s; run patch_rollback again, which follows it." % transaction.unit(journal.plan_id),
            )  # fmt: skip
        session.result["seconds"] = round(outcome.seconds, 1) if outcome else 0.0
        log = apt_output.last_run(store.read(journal.plan_id, "transaction.log", 1 << 20), journal.token)
        evidence, _quiet, _conffiles = engine.read_log(log)
    installed, broken = engine.installed()
    way = measure_return(journal, installed, broken)
    session.result["packages"] = _told(journal.plan, installed, broken)
    session.result["diff"] = _diff(journal, before, installed)
    problems = engine.problems()
    left = [
        "%s is %s%s, and was %s"
        % (key(p), ", ".join(versions(p, installed)) or "not there",
           " (%s)" % broken[key(p)] if key(p) in broken else "", journal.before.get(key(p)) or "not there")
        for p in [*way.restore, *way.remove]
    ]  # fmt: skip
    session.result["left"] = [*left, *way.impossible, *way.strange]
    if way.impossible:
        session.review.found(
            "patch.rollback.impossible", engine.name, "critical",
            "%d packages cannot go back: their old versions are not to be had." % len(way.impossible), way.impossible,
            "Revert the snapshot, or install the old versions by hand.",
        )  # fmt: skip
    if session.result["left"] or problems:
        state = [*session.result["left"], *problems]
        raise Stop(
            "patch.rollback.incomplete", engine.name, "critical",
            "The host is not back as it was: %s." % state[0], [*state[:25], *evidence],
            "See %s; then by hand, or revert the snapshot." % journal.log,
        )  # fmt: skip
    engine.finish(journal, back=True)
    _services(session, engine, journal)
    if journal.phase != "rolled_back" and (session.result["changed"] or journal.phase != "prepared"):
        session.enter(journal, "rolled_back")


def _end_running(session: Session, journal: Journal) -> None:
    """A transaction of this plan that still runs is given the time that it was promised, and then ended."""
    running = session.running(journal.plan_id)
    if running is None:
        return
    _outcome, still = transaction.follow(session.host, session.store, journal.plan_id, journal.token, journal.deadline)
    if still and not transaction.end(session.host, session.store, journal.plan_id):
        raise Stop(
            "patch.rollback.failed", journal.plan["manager"], "critical",
            "The transaction that hangs cannot be ended (process %d)." % running.pid, [],
            "See what it waits for: systemctl status %s" % transaction.unit(journal.plan_id),
        )  # fmt: skip


def _diff(journal: Journal, before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    rows = []
    for package in journal.plan["packages"]:
        sides = [", ".join(versions(package, side)) for side in (before, after)]
        if sides[0] != sides[1]:
            rows.append(dict(package, **{"from": sides[0], "to": sides[1]}))
    return diff(rows)


def _services(session: Session, engine: Apt | Dnf, journal: Journal) -> None:
    """What was up before must be up again. Raises Told."""
    ours = {unit for units in journal.units.values() for unit in units}
    # One that runs code of the packages may have died of its restart, too.
    ours |= {str(s.get("unit")) for s in journal.plan.get("services", []) if s.get("restart") == "upkeep"}
    ours &= set(journal.active)
    never = [
        *session.options["restart_never"],
        *(str(s.get("unit")) for s in journal.plan.get("services", []) if s.get("restart") == "never"),
    ]
    known = services.show(session.host, sorted(ours))
    down = [unit for unit in sorted(ours) if known.get(unit, {}).get("ActiveState") not in ("active", "reloading")]
    for unit in down:
        session.host.run(["systemctl", "reset-failed", "--", unit], timeout=30)
        session.host.run(["systemctl", "restart", "--", unit], timeout=services.RESTART_TIMEOUT)
        session.result["changed"] = True
    did = services.carry_out(session.host, session.options["restart_services"], never, sorted(ours))
    session.result["services"] = did.services
    session.result["changed"] = session.result["changed"] or did.changed
    _reboot(session, engine, did)
    for unit, evidence in sorted(did.failed.items()):
        session.review.found(
            "patch.rollback.incomplete", unit, "critical",
            "%s was up before the patch and is not, though its packages are back: %s." % (unit, evidence[0]), evidence,
            "journalctl -u %s" % unit,
        )  # fmt: skip
    if did.failed:
        session.result["msg"] = "%s is not up, though its packages are back." % ", ".join(sorted(did.failed))
        raise Told
    # What the patch broke works again: its ticket asked for just this.
    for unit in [*sorted(ours), *([] if session.result["reboot"]["blocked"] else ["sshd"])]:
        session.review.covered("patch.apply.service_failed", unit)
