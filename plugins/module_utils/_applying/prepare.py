# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything that can be done and seen before the window opens: room, a healthy database, packages fetched, a way back.

When it ends well, the transaction needs neither network nor room that is not there, and the journal is written.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import gates, room, services, transaction
from .files import sha256
from .journal import BASE, Journal
from .progress import key, measure, versions
from .session import Session, Stop, Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host
    from .apt import Apt
    from .dnf import Dnf

_DAY = 86400.0


def prepare(host: Host, options: Mapping[str, Any], base: str = BASE) -> dict[str, Any]:
    """The result of patch_prepare (see the module's RETURN)."""
    session = Session(host, options, "patch.prepare.failed", base)
    session.result.update(mended=False, downloaded_bytes=0, kept={}, lost=[], room=[])
    journal = None
    with session.told():
        plan = session.plan()
        engine = session.engine(plan["manager"])
        if session.check_mode:
            journal = _prepare(session, engine, plan)
        else:
            with session.alone():
                journal = _prepare(session, engine, plan)
        session.result["ok"] = True
        session.review.covered("patch.prepare.failed")
    return session.done(journal)


def _prepare(session: Session, engine: Apt | Dnf, plan: dict[str, Any]) -> Journal | None:
    store, review = session.store, session.review
    session.running(plan["id"])
    journal = store.load(plan["id"])
    if journal is not None and journal.phase == "rolling_back":
        raise Stop(
            "patch.prepare.failed", engine.name, "high", "The way back from this plan was begun and has not ended.",
            ["begun %s" % journal.times.get("rolling_back")], "Let it end first: patch_rollback",
        )  # fmt: skip
    if transaction.running(session.host, store) is not None:
        return journal  # patch_apply follows it
    _sshd(session)
    session.wait_for_locks(engine, "patch.prepare.locked")
    review.covered("patch.prepare.locked")
    if not (journal is not None and journal.phase == "applying"):
        _database(session, engine, plan)
    elif engine.problems():
        return journal  # its own unfinished work, which patch_apply mends and finishes
    review.covered("patch.prepare.database_broken")
    installed, broken = engine.installed()
    progress = measure(plan, installed, list(broken))
    if progress.strange:
        raise Stop(
            "patch.plan.changed", engine.name, "medium",
            "The host is not as the plan begins: %s." % progress.strange[0], progress.strange,
            "Plan it anew: patch_plan",
        )  # fmt: skip
    review.covered("patch.plan.changed")
    if not plan["packages"]:
        return _health_alone(session, journal, plan)
    if not progress.left:
        return journal
    if journal is None or journal.phase not in ("prepared", "applying"):
        journal = Journal(
            plan, health=dict(session.options["health"] or {}), log=store.path(plan["id"], "transaction.log")
        )
        journal.before = {
            key(p): (list(versions(p, installed)) or [""])[-1] if p["from"] else "" for p in plan["packages"]
        }
        journal.automatic = sorted({key(p) for p in plan["packages"]} & engine.automatic())
        journal.residual = sorted({key(p) for p in plan["packages"]} & engine.residual())
        journal.units = {key(p): units for p in plan["packages"] for units in [engine.units(p)] if units}
    elif session.options["health"] and journal.phase == "prepared":  # later it is no more the health from before
        journal.health = dict(session.options["health"])
    ready = _is_ready(session, engine, journal, progress.left)
    if journal.phase != "applying":  # what is half done is better finished
        session.in_window(plan, fetched=ready)
        _backup(session)
    session.result["changed"] = session.result["changed"] or not ready
    _metadata(session, engine, progress.left, ready)
    if session.check_mode:
        _room(session, engine, journal, progress.left, fetched=ready)
        return journal
    store.open(plan["id"])
    if not ready:
        _room(session, engine, journal, progress.left, fetched=False)
        _download(session, engine, journal, progress.left)
    _room(session, engine, journal, progress.left, fetched=True)
    _way_back(session, engine, journal, ready)
    if not ready or session.options["health"]:
        session.enter(journal, journal.phase)
    session.store.prune(plan["id"])
    session.result["kept"] = {name: entry["how"] for name, entry in journal.kept.items()}
    return journal


def _health_alone(session: Session, journal: Journal | None, plan: dict[str, Any]) -> Journal | None:
    """Of a host that only waits for a reboot the health from before is kept, and nothing else is to be prepared."""
    session.in_window(plan, fetched=True)
    if session.check_mode or not session.options["health"]:
        return journal
    store = session.store
    store.open(plan["id"])
    journal = Journal(plan, health=dict(session.options["health"]), log=store.path(plan["id"], "transaction.log"))
    session.enter(journal, "prepared")
    store.prune(plan["id"])
    return journal


def _backup(session: Session) -> None:
    """Somebody wants to be sure that what a patch may destroy can be restored: the last restore tests must say so."""
    name, asked = "patch.prepare.backup_stale", session.options["backup"] or {}
    days, results = asked.get("max_age_days") or 0, asked.get("results") or []
    if days < 0:
        raise Stop(
            "patch.prepare.failed", "backup", "medium",
            "backup.max_age_days is a number of days, or 0 where nobody asks; this is %d." % days, [],
            "Correct it: os_patch_backup_max_age_days, or backup.max_age_days.",
        )  # fmt: skip
    if not days:
        session.review.skip(name, "no age of the last restored backup is asked for", "backup: {max_age_days: 7, …}")
        return
    if not results:
        raise Stop(
            name, "backup", "medium",
            "A backup restored within %d days is asked for, and no restore test of this host is known." % days, [],
            "Test a restore (playbook backup_restore_test), and hand in how it ended: upkeep run does, by hand -e "
            "upkeep_backup_results='{HOST: [{subject, kind, verdict, at}]}'.",
        )  # fmt: skip
    lines = gates.unproven(results, days, session.host.now())
    if lines:
        raise Stop(
            name, "backup", "medium", "The backup was not restored within %d days: %s." % (days, lines[0]), lines,
            "Test a restore of each of them: playbook backup_restore_test",
        )  # fmt: skip
    session.review.covered(name)


def _sshd(session: Session) -> None:
    error = services.sshd_error(session.host)
    if error:
        raise Stop(
            "patch.prepare.sshd_broken", "sshd", "high",
            "sshd would not come up again after a restart: %s" % error, [error], "Correct its configuration: sshd -t",
        )  # fmt: skip
    session.review.covered("patch.prepare.sshd_broken")


def _database(session: Session, engine: Apt | Dnf, plan: Mapping[str, Any]) -> None:
    """The package database must be whole: an interrupted dpkg is finished first, where that is asked for."""
    problems = engine.problems()
    if not problems:
        return
    hopeless = engine.beyond_mending()
    severity, name = "high", "patch.prepare.database_broken"
    if hopeless or not session.options["mend"]:
        raise Stop(
            name, engine.name, severity, "The package database is broken: %s." % problems[0], problems,
            "By hand: %s" % engine.mend_remedy if hopeless else "mend: true, or by hand: %s" % engine.mend_remedy,
        )  # fmt: skip
    session.result["changed"] = session.result["mended"] = True
    if session.check_mode:
        return
    host, store = session.host, session.store
    store.open(plan["id"])
    token = session.token("mend")
    transaction.start(host, store, plan["id"], token, engine.mend_commands(), engine.environment(plan["id"]))
    _outcome, still = transaction.follow(host, store, plan["id"], token, host.now() + session.options["timeout"])
    if still:
        transaction.end(host, store, plan["id"])
    problems = engine.problems()
    if problems:
        why, _quiet, _conffiles = engine.read_log(store.read(plan["id"], "transaction.log", 65536))
        raise Stop(
            name, engine.name, severity,
            "The package database is broken, and could not be mended%s: %s."
            % (" within %d s" % session.options["timeout"] if still else "", problems[0]),
            [*problems[:10], *why], "By hand: %s" % engine.mend_remedy,
        )  # fmt: skip


def _is_ready(session: Session, engine: Apt | Dnf, journal: Journal, left: list[Mapping[str, Any]]) -> bool:
    """Whether an earlier call has prepared everything, and it is still there."""
    folder = session.store.folder(journal.plan_id)
    for package in left:
        entry = journal.new.get(key(package))
        if package["to"] and (not entry or sha256(os.path.join(folder, "new", entry["file"])) != entry["sha256"]):
            return False
        entry = journal.kept.get(key(package))
        if engine.needs_old(package) and session.options["keep_old"] != "never":
            if not entry and session.options["keep_old"] == "required":
                return False
            if entry and sha256(os.path.join(folder, "old", entry["file"])) != entry["sha256"]:
                return False
    return "prepared" in journal.times


def _metadata(session: Session, engine: Apt | Dnf, left: list[Mapping[str, Any]], ready: bool) -> None:
    """The package manager must see the same plan today. It is asked to fetch its lists when it does not."""
    if ready:
        return
    name = "patch.prepare.metadata_stale"
    different, problem = engine.resolve(left)
    if (problem or different) and not session.check_mode:
        refreshed = engine.refresh(min(600, session.options["timeout"]))
        different, problem = engine.resolve(left)
        if problem and refreshed:
            problem.evidence += refreshed.evidence
    if problem:
        raise Stop(
            name, engine.name, "medium", "The plan can no longer be carried out: %s." % problem.why, problem.evidence,
            "Plan this host anew: patch_plan with refresh: true",
        )  # fmt: skip
    if different:
        raise Stop(
            "patch.plan.changed", engine.name, "medium",
            "The transaction would not be what was planned: %s." % different[0], different, "Plan it anew: patch_plan",
        )  # fmt: skip
    session.review.covered(name)


def _download(session: Session, engine: Apt | Dnf, journal: Journal, left: list[Mapping[str, Any]]) -> None:
    limits = session.options["lock_timeout"], session.options["timeout"]
    problem = engine.download(session.store, journal, left, *limits)
    missing = ["%s %s" % (key(p), p["to"]) for p in left if p["to"] and key(p) not in journal.new]
    if problem or missing:
        evidence = [*missing[:20], *(problem.evidence if problem else [])]
        raise Stop(
            "patch.prepare.download_failed", engine.name, "medium",
            "The packages could not be fetched: %s." % (problem.why if problem else "%s did not come" % missing[0]),
            evidence, problem.remedy if problem else "See what the mirror says: apt-get update",
        )  # fmt: skip
    session.review.covered("patch.prepare.download_failed")


def _room(session: Session, engine: Apt | Dnf, journal: Journal, left: list[Mapping[str, Any]], fetched: bool) -> None:
    """Every filesystem that the transaction needs: before fetching for the files, afterwards for what is in them."""
    points = engine.mounts()
    store = session.store
    needs = engine.needs(store, journal, points) if fetched else engine.fetch_needs(store, left, points)
    answers = session.host.statvfs([[point] for point in needs], 10.0)
    lacks, unknown = room.lacks(needs, answers, session.options["room_reserve_mib"] * room.MIB)
    session.result["room"] = [{"mount": p, "needed_bytes": n.size, "files": n.files} for p, n in sorted(needs.items())]
    for lack in lacks:
        session.review.found(
            "patch.prepare.no_room", lack.mount, "medium", "There is too little room on %s." % lack.told(),
            ["%s: %d bytes" % (point, need.size) for point, need in sorted(needs.items())],
            "Make room, then see: df -%s %s" % ("i" if lack.files else "h", lack.mount),
        )  # fmt: skip
    if unknown:
        session.review.not_run("patch.prepare.no_room", unknown[0], "See what is wrong with it: df", unknown)
    if lacks:
        session.result["msg"] = "There is too little room on %s." % lacks[0].told()
        raise Told
    if fetched and not unknown:
        session.review.covered("patch.prepare.no_room")


def _way_back(session: Session, engine: Apt | Dnf, journal: Journal, ready: bool) -> None:
    policy = session.options["keep_old"]
    if policy == "never":
        session.review.skip("patch.prepare.no_way_back", "keep_old is never", "keep_old: required")
        return
    lost = engine.keep(session.store, journal, session.options["timeout"]) if not ready else []
    lost = lost or [
        "%s %s" % (key(package), package["from"])
        for package in journal.plan["packages"]
        if engine.needs_old(package) and key(package) not in journal.kept
    ]
    session.result["lost"] = lost
    if lost:
        severity = "medium" if policy == "required" else "low"
        finding = (
            "patch.prepare.no_way_back", engine.name, severity,
            "There is no way back for %d of the packages: the old version is not to be had." % len(lost),
            lost, "Take a snapshot and set keep_old: wanted, or provide the old packages in a repository.",
        )  # fmt: skip
        if policy == "required":
            raise Stop(*finding)
        session.review.found(*finding)
        return
    session.review.covered("patch.prepare.no_way_back")
