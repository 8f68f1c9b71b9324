# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One transaction of exactly the plan, verified by what is on the host afterwards; gone on with, wherever it stopped.

What is to be done follows from three things alone: the journal, whether a transaction is at work, and the versions on
the host. So a second call after a lost connection, a killed module or a reboot takes the same way as the first.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from .._patching import gather_system
from . import apt_output, order, services, transaction
from .files import sha256
from .journal import BASE, Journal
from .progress import diff, key, measure, versions
from .session import Session, Stop, Told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .._host import Host
    from .apt import Apt
    from .dnf import Dnf
    from .progress import Progress

_LOG_LIMIT = 4 * 1024 * 1024


def apply(host: Host, options: Mapping[str, Any], base: str = BASE) -> dict[str, Any]:
    """The result of patch_apply (see the module's RETURN)."""
    session = Session(host, options, "patch.apply.failed", base)
    session.result.update(packages=[], services=[], conffiles=[], seconds=0.0, transaction="")
    session.result["reboot"] = {"needed": False, "why": [], "blocked": ""}
    journal = None
    with session.told():
        plan = session.plan()
        engine = session.engine(plan["manager"])
        journal = session.store.load(plan["id"])
        if session.check_mode:
            _predict(session, engine, plan, journal)
        else:
            with session.alone():
                journal = session.store.load(plan["id"])
                _apply(session, engine, plan, journal)
        session.result["ok"] = True
        session.review.covered("patch.apply.failed")
        session.review.covered("patch.apply.incomplete")
    return session.done(journal)


def _predict(session: Session, engine: Apt | Dnf, plan: Mapping[str, Any], journal: Journal | None) -> None:
    """Check mode: what would change."""
    if not (session.options["assume_prepared"] and journal is not None and journal.phase == "rolled_back"):
        _may_begin(journal)
    session.running(plan["id"])
    installed, broken = engine.installed()
    progress = measure(plan, installed, list(broken))
    _refuse_strange(engine, progress)
    session.result["changed"] = bool(progress.left)
    session.result["diff"] = diff(progress.left)
    session.result["packages"] = _told(plan, installed, broken)
    did = services.carry_out(
        session.host, session.options["restart_services"], _never(session, plan), [], check_mode=True
    )
    session.result["changed"] = session.result["changed"] or did.changed
    expected = [
        {"unit": service["unit"], "action": "expected", "why": str(service.get("why", ""))}
        for service in plan.get("services", [])
        if progress.left
    ]
    session.result["services"] = did.services + expected
    _reboot(session, engine, did)
    if progress.left and plan.get("reboot", {}).get("needed"):
        session.result["reboot"].update(needed=True, why=session.result["reboot"]["why"] + plan["reboot"]["why"])


def _apply(session: Session, engine: Apt | Dnf, plan: Mapping[str, Any], journal: Journal | None) -> None:
    store = session.store
    running = session.running(plan["id"])
    _may_begin(journal)
    installed, broken = engine.installed() if not engine.beyond_mending() else ({}, {})
    progress = measure(plan, installed, list(broken))
    if journal is None:
        if progress.complete and not broken:
            session.result["phase"] = "applied"  # by other means, or there is nothing in the plan
            session.result["packages"] = _told(plan, installed, broken)
            return
        raise Stop(
            "patch.apply.failed", engine.name, "high", "The plan is not prepared on this host.", [],
            "Run patch_prepare with this plan first.",
        )  # fmt: skip
    before = installed
    followed = False
    if running is not None:
        _follow(session, journal)
        followed = True
    elif journal.phase == "applying" and transaction.outcome(store, journal.plan_id, journal.token) is None:
        _tell_interrupted(session, journal)
    engine_broken = engine.beyond_mending()
    if engine_broken:
        raise Stop(
            "patch.apply.incomplete", engine.name, "critical", "The package database is broken: %s." % engine_broken,
            [engine_broken], "By hand: %s" % engine.mend_remedy,
        )  # fmt: skip
    installed, broken = engine.installed()
    progress = measure(plan, installed, list(broken))
    unfinished = bool(engine.problems())
    if not followed and (progress.left or (unfinished and journal.phase == "applying")):
        _refuse_strange(engine, progress)
        _begin(session, engine, journal, progress, unfinished)
        followed = True
        _follow(session, journal)
        installed, broken = engine.installed()
        progress = measure(plan, installed, list(broken))
    log = store.read(journal.plan_id, "transaction.log", _LOG_LIMIT)
    why, quiet, conffiles = engine.read_log(apt_output.last_run(log, journal.token))
    session.result["packages"] = _told(plan, installed, broken)
    session.result["transaction"] = transaction.unit(journal.plan_id)
    session.result["changed"] = session.result["changed"] or followed
    session.result["diff"] = _changed(plan, before, installed)
    ended = transaction.outcome(store, journal.plan_id, journal.token)
    session.result["seconds"] = round(ended.seconds, 1) if ended else 0.0
    _tell_quiet(session, engine, quiet, journal)
    if not progress.complete or broken:
        _tell_failed(session, engine, plan, progress, broken, why, journal)
    engine.finish(journal, back=False)
    if journal.phase in ("prepared", "applying"):
        session.enter(journal, "applied")
    _tell_conffiles(session, conffiles)
    _services(session, engine, journal)
    if journal.phase == "applied":
        session.enter(journal, "restarted")


def _may_begin(journal: Journal | None) -> None:
    if journal is not None and journal.phase in ("rolling_back", "rolled_back"):
        raise Stop(
            "patch.apply.failed", str(journal.plan["manager"]), "medium",
            "The plan was rolled back on this host." if journal.phase == "rolled_back"
            else "The way back from this plan was begun and has not ended.",
            [], "To try it again: patch_prepare" if journal.phase == "rolled_back" else "Let it end: patch_rollback",
        )  # fmt: skip


def _refuse_strange(engine: Apt | Dnf, progress: Progress) -> None:
    if progress.strange:
        raise Stop(
            "patch.apply.failed", engine.name, "medium",
            "The host is not as the plan begins: %s." % progress.strange[0], progress.strange,
            "Plan it anew: patch_plan",
        )  # fmt: skip


def _never(session: Session, plan: Mapping[str, Any]) -> list[str]:
    """Units that are not restarted: by the option, and by the plan that was approved."""
    planned = [str(service.get("unit")) for service in plan.get("services", []) if service.get("restart") == "never"]
    return [*session.options["restart_never"], *planned]


def _begin(session: Session, engine: Apt | Dnf, journal: Journal, progress: Progress, unfinished: bool) -> None:
    """Start the transaction of what is left."""
    host, store = session.host, session.store
    session.wait_for_locks(engine, "patch.apply.failed")
    if unfinished and journal.phase == "prepared":
        raise Stop(
            "patch.apply.failed", engine.name, "high",
            "The package database is broken: %s." % engine.problems()[0], engine.problems(),
            "Run patch_prepare again, which mends it, or by hand: %s" % engine.mend_remedy,
        )  # fmt: skip
    error = services.sshd_error(host)
    if error:
        raise Stop(
            "patch.apply.failed", "sshd", "high", "sshd would not come up again after a restart: %s" % error, [error],
            "Correct its configuration: sshd -t",
        )  # fmt: skip
    if journal.phase == "prepared":  # what is half done is better finished
        session.in_window(journal.plan, fetched=True)
    _files_are_whole(session, journal, progress)
    different = [] if unfinished else engine.would(store, journal, progress.left)
    if different:
        raise Stop(
            "patch.apply.failed", engine.name, "medium",
            "The transaction would not be exactly the plan: %s." % different[0], different,
            "Plan it anew: patch_plan",
        )  # fmt: skip
    if journal.phase == "prepared":
        journal.active = services.active(host)
    journal.token = session.token(journal.plan_id)
    journal.boot_id = session.boot_id()
    journal.deadline = host.now() + session.options["timeout"]
    # Written down before it is begun: from here on only the truth on the host says how far it came.
    session.enter(journal, "applying")
    session.result["changed"] = True
    commands = engine.apply_commands(store, journal, progress.left, unfinished, session.options["lock_timeout"])
    transaction.start(host, store, journal.plan_id, journal.token, commands, engine.environment(journal.plan_id))


def _files_are_whole(session: Session, journal: Journal, progress: Progress) -> None:
    for package in progress.left:
        entry = journal.new.get(key(package))
        if not package["to"]:
            continue
        path = os.path.join(session.store.folder(journal.plan_id), "new", entry["file"] if entry else "")
        if not entry or sha256(path) != entry["sha256"]:
            raise Stop(
                "patch.apply.failed", journal.plan["manager"], "high",
                "The prepared package of %s %s is not there, or not what was fetched." % (key(package), package["to"]),
                [path], "Run patch_prepare again.",
            )  # fmt: skip


def _follow(session: Session, journal: Journal) -> None:
    """Wait for the end of the transaction. Raises Stop when it still runs at the end of our time."""
    until = session.host.now() + session.options["timeout"]
    _outcome, still = transaction.follow(session.host, session.store, journal.plan_id, journal.token, until)
    if still:
        log = session.store.read(journal.plan_id, "transaction.log", 4096)
        raise Stop(
            "patch.apply.incomplete", journal.plan["manager"], "high",
            "The transaction is still at work after %d s. It was not ended: half-installed packages are worse."
            % session.options["timeout"],
            ["It goes on as %s." % transaction.unit(journal.plan_id), *log.splitlines()[-8:]],
            "Run patch_apply again, which follows it, or patch_rollback, which ends it. See: tail -f %s" % journal.log,
        )  # fmt: skip


def _tell_interrupted(session: Session, journal: Journal) -> None:
    by = "the host went down" if journal.boot_id and journal.boot_id != session.boot_id() else "it was killed"
    session.review.found(
        "patch.apply.interrupted", journal.plan["manager"], "low",
        "The transaction of this plan was interrupted (%s); it is gone on with." % by,
        session.store.read(journal.plan_id, "transaction.log", 2048).splitlines()[-6:],
        "Nothing, if nothing else is told here.",
    )  # fmt: skip
    session.result["interrupted"] = by


def _changed(plan: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, str]:
    rows = []
    for package in plan["packages"]:
        sides = [", ".join(versions(package, side)) for side in (before, after)]
        if sides[0] != sides[1]:
            rows.append(dict(package, **{"from": sides[0], "to": sides[1]}))
    return diff(rows)


def _told(plan: Mapping[str, Any], installed: Mapping[str, Any], broken: Mapping[str, str]) -> list[dict[str, Any]]:
    """Each package of the plan, with what is on the host now."""
    rows = []
    for package in plan["packages"]:
        now = versions(package, installed)
        done = (package["to"] in now if package["to"] else not now) and key(package) not in broken
        rows.append(
            {
                "name": package["name"],
                "arch": package["arch"],
                "from": package["from"],
                "to": package["to"],
                "now": ", ".join(now),
                "state": broken.get(key(package), ""),
                "done": done,
            }
        )
    return rows


def _tell_quiet(session: Session, engine: Apt | Dnf, quiet: list[str], journal: Journal) -> None:
    """Scripts that failed while the package manager said that all is well."""
    if quiet:
        session.review.found(
            "patch.apply.scriptlet_failed", engine.name, "high",
            "A package's own script failed, and %s calls that a success: %s." % (engine.name, quiet[0]),
            quiet, "See what the script was to do: %s" % journal.log,
        )  # fmt: skip
        session.result["msg"] = "A package's own script failed: %s." % quiet[0]
        raise Told
    session.review.covered("patch.apply.scriptlet_failed")


def _tell_failed(
    session: Session, engine: Apt | Dnf, plan: Mapping[str, Any], progress: Progress, broken: Mapping[str, str],
    why: list[str], journal: Journal,
) -> None:  # fmt: skip
    states = ["%s is %s" % entry for entry in sorted(broken.items())]
    missing = [
        "%s is not %s" % (key(package), package["to"] or "removed")
        for package in progress.left
        if key(package) not in broken
    ]
    evidence = [*why, *states[:10], *progress.strange[:10], *missing[:10]]
    remedy = "Put the host back: patch_rollback. The log: %s" % journal.log
    if not progress.done and not broken and not progress.strange:
        raise Stop(
            "patch.apply.failed", engine.name, "high",
            "The transaction failed, and every package is as it was: %s." % (why[0] if why else "see its log"),
            evidence, remedy,
        )  # fmt: skip
    raise Stop(
        "patch.apply.incomplete", engine.name, "critical" if broken else "high",
        "The transaction failed half-way: %d of %d packages are done%s."
        % (len(progress.done), len(plan["packages"]), ", %s" % states[0] if states else ""),
        evidence, remedy,
    )  # fmt: skip


def _tell_conffiles(session: Session, conffiles: list[str]) -> None:
    session.result["conffiles"] = conffiles
    for entry in conffiles:
        path = entry.split(" (")[0]
        session.review.found(
            "patch.apply.conffile_kept", path, "low",
            "The configuration file %s was changed here, and was kept; the package brings another one." % path, [entry],
            "Compare them, take over what is new, and remove the other one: diff %s %s"
            % (path, entry[len(path) + 2 :].rstrip(")")),
        )  # fmt: skip
    session.review.covered("patch.apply.conffile_kept")


def _services(session: Session, engine: Apt | Dnf, journal: Journal) -> None:
    """Restart what runs replaced code; see that what the packages brought up before is up. Raises Told."""
    ours = {unit for units in journal.units.values() for unit in units}
    did = services.carry_out(
        session.host,
        session.options["restart_services"],
        _never(session, journal.plan),
        sorted(ours & set(journal.active)),
    )
    session.result["services"] = did.services
    session.result["changed"] = session.result["changed"] or did.changed
    _reboot(session, engine, did)
    blocked = session.result["reboot"]["blocked"]
    if blocked and not set(order.SSH) & set(did.failed):
        # It was good before the transaction: the next restart or reboot would cost the host.
        did.failed["sshd"] = ["sshd would not come up again: %s" % blocked]
    for unit, evidence in sorted(did.failed.items()):
        session.review.found(
            "patch.apply.service_failed", unit, "critical",
            "%s does not work after the patch: %s." % (unit, evidence[0]), evidence,
            "journalctl -u %s; put the host back: patch_rollback" % unit,
        )  # fmt: skip
    if did.failed:
        session.result["msg"] = "%s does not work after the patch." % ", ".join(sorted(did.failed))
        raise Told
    session.review.covered("patch.apply.service_failed")


def _reboot(session: Session, engine: Apt | Dnf, did: services.Restarts) -> None:
    system = gather_system.gather(session.host)
    done = [row for row in session.result["packages"] if row["done"]]
    reasons = services.reboot_reasons(system, engine.known(done), did.reboot, session.host.now())
    session.result["reboot"] = {
        "needed": bool(reasons),
        "why": reasons,
        # A host whose sshd does not come up again is lost to whoever rebooted it.
        "blocked": services.sshd_error(session.host),
    }
