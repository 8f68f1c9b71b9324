# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run a job or a playbook now; what it finds becomes tickets, and what it finds gone resolves them."""

from __future__ import annotations

import contextlib
import difflib
import getpass
import os
import sys
import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import config as configuration
from .. import inventory, paths
from ..cli import positive
from ..errors import NOT_RUN, OK, UpkeepError
from ..running import lost

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from ..config import Config, Job
    from ..record import Recorded
    from ..running.occurrence import Mine
    from ..running.planned import Planned
    from ..running.runner import Outcome, Plan
    from ..store import Run, Store

SCHEDULER = "scheduler"
"""The actor of a run that the scheduler starts."""
PUT_OFF = 75
"""The exit code for the scheduler when the run waits for another one (see service/launch.py)."""
PUT_OFF_SECONDS = 15.0
"""After which it is tried again; each try costs a third of a second."""
OUTGOING = 10.0
"""Seconds at the end of a run by hand for sending what it found."""
KEEP_TRYING = 1800.0
TRY_EVERY = 5.0
"""Seconds for which, and between which, a run of the scheduler tries to keep its results."""
EMERGENCY = "upkeep.maintenance.emergency_patch"
ASKED = ("cve", "package", "emergency_patch_cves", "emergency_patch_packages")
"""The variables of the playbook, of which an emergency needs one."""

EPILOG = """\
examples:
  upkeep run weekly                              the weekly review of the configured inventory, or of this machine
  upkeep run weekly -i hosts.yml --limit 'web*'
  upkeep run site.yml --check --diff             what a playbook would change
  upkeep run weekly --json > result.json

  upkeep run weekly --if-due                     for a cron line: only when it is due and nobody else does it

Within a minute after a time of its schedule, `upkeep run JOB` as it stands is that occurrence: it is carried out once,
here or by the scheduler, whose result is then shown. Two runs of one job, or of jobs with a lock in common on the same
hosts, wait for each other.
Ctrl-C ends the run and its processes; what was found so far is kept, and no ticket is resolved by what was not seen.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    import argparse

    parser.add_argument("what", metavar="JOB|PLAYBOOK", help="a job (see: upkeep jobs), a playbook's file, or its name")
    parser.add_argument(
        "-i",
        "--inventory",
        action="append",
        default=[],
        metavar="INVENTORY",
        help="instead of the configured one; repeatable",
    )
    parser.add_argument("-l", "--limit", metavar="HOSTS", help="only these hosts, groups or patterns")
    parser.add_argument("-C", "--check", action="store_true", help="change nothing, only say what would change")
    parser.add_argument("-D", "--diff", action="store_true", help="write the differences into the run's log")
    parser.add_argument(
        "-e",
        "--extra-vars",
        action="append",
        default=[],
        metavar="K=V",
        help="variables: k=v, JSON, or @FILE; repeatable",
    )
    parser.add_argument("-t", "--tags", action="append", default=[], metavar="TAGS", help="only tasks with these tags")
    parser.add_argument("--skip-tags", action="append", default=[], metavar="TAGS", help="no tasks with these tags")
    parser.add_argument("-f", "--forks", type=positive, metavar="N", help="hosts at a time (default: Ansible's, 5)")
    parser.add_argument("--time-limit", metavar="TIME", help="end the run after this time, as 90m or 2h")
    parser.add_argument(
        "--if-due", action="store_true", help="only what the job's schedule owes, and nobody else carries out"
    )
    parser.add_argument("--again", action="store_true", help="a run of its own, also when it is carried out just now")
    parser.add_argument(
        "--wait", metavar="TIME", help="how long to wait for a run that holds what this one needs; 0: not at all"
    )
    parser.add_argument("--despite-freeze", action="store_true", help="also while its job or some hosts are frozen")
    parser.add_argument("--firing", type=positive, help=argparse.SUPPRESS)  # the scheduler's own
    parser.add_argument("--campaign-step", type=positive, help=argparse.SUPPRESS)  # a campaign's own
    parser.set_defaults(in_person=False)  # True: a person's `approve --now`, which has a firing too
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="more in the run's log, as with ansible-playbook"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Run it; the exit code tells of the findings, or why there are none."""
    from ..running.runner import extra_vars_of

    config = configuration.load(arguments.config)
    if arguments.campaign_step:
        return _of_campaign(arguments, config)
    job, plan = _plan(arguments, config)
    variables = dict(plan.extra_vars)
    for given in plan.extra_args:
        variables.update(extra_vars_of(given))
    if plan.playbook == EMERGENCY and not any(one.startswith("@") for one in plan.extra_args):
        _is_asked(variables)
    inventory.check_sources(plan.inventory)
    if plan.limit:
        inventory.check_limit(plan.inventory, plan.limit)

    frozen, plan = _in_freeze(arguments, config, job, plan)

    from ..store import locks, open_store

    with open_store(config.store_url, config.home) as store:
        store.check_writable()
        lost.clear_up(store, config.home)
        mine = _occurrence(arguments, config, job, store)
        if isinstance(mine, int):
            return mine
        if mine is not None:
            plan = _as_decided(plan, mine)
            if mine.without and _nobody_is_left(plan, mine, store):
                return OK
        try:
            if job is not None and job.approve:
                from .. import approval

                def run(plan: Plan, mine: Mine | None, found: Planned | None) -> int:
                    return _run(arguments, config, job, plan, store, mine, found)

                return approval.carry_out(store, job, plan, mine, _as_it_stands(arguments), run, frozen)
            return _run(arguments, config, job, plan, store, mine)
        except locks.NotOurs:
            if job is None or mine is None or arguments.firing:
                raise
            from ..running import followed

            return followed.overtaken(store, job, mine.firing, config, if_due=arguments.if_due, as_json=arguments.json)


def _is_asked(variables: Mapping[str, Any]) -> None:
    """An emergency asks for something; a run without it would end as one in which hosts have failed."""
    if not any(variables.get(name) for name in ASKED):
        raise UpkeepError(
            "an emergency of what is not said",
            expected="a CVE, or a package and the version that mends it",
            found="neither",
            remedy="upkeep run emergency_patch -e cve=CVE-2026-12345   (or: -e package=NAME -e version=VERSION)",
        )


def _of_campaign(arguments: argparse.Namespace, config: Config) -> int:
    """A step that a campaign has claimed: what is run, and over whom, stands in the store."""
    from ..campaign import carry
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        store.check_writable()
        job, plan = carry.job_and_plan(store, config, arguments.campaign_step, time.time())
        return _run(arguments, config, job, plan, store, None)


def _plan(arguments: argparse.Namespace, config: Config) -> tuple[Job | None, Plan]:
    from ..running.runner import Plan

    job = config.jobs.get(arguments.what)
    base = job or configuration.Job("", _playbook(arguments.what, config))
    time_limit = base.time_limit if arguments.time_limit is None else _seconds("--time-limit", arguments.time_limit)
    plan = Plan(
        playbook=base.playbook,
        inventory=config.inventory_of(job, tuple(arguments.inventory)),
        job=job.name if job else None,
        limit=arguments.limit if arguments.limit is not None else base.limit,
        tags=tuple(arguments.tags) or base.tags,
        skip_tags=tuple(arguments.skip_tags) or base.skip_tags,
        extra_vars=base.extra_vars,
        extra_args=tuple(arguments.extra_vars),
        check=arguments.check or base.check,
        diff=arguments.diff,
        forks=arguments.forks or base.forks,
        time_limit=time_limit,
        verbosity=min(arguments.verbose, 4),
    )
    if job and "/" in job.playbook and not Path(job.playbook).is_file():
        raise UpkeepError(
            f"the playbook of the job {job.name} is not there",
            expected=f"the file {job.playbook}",
            found="nothing of that name",
            remedy=f"correct playbook of the job in {config.path}",
        )
    return job, plan


def _seconds(option: str, given: str) -> float:
    from ..durations import duration

    try:
        return duration(int(given) if given.isascii() and given.isdigit() else given)
    except ValueError as error:
        raise UpkeepError(
            f"{option} is not understood", expected=str(error), found=given, remedy="correct it"
        ) from error


def _occurrence(arguments: argparse.Namespace, config: Config, job: Job | None, store: Store) -> Mine | int | None:
    """The occurrence of the job's schedule that this run is; or the exit code, when there is nothing to carry out."""
    if arguments.if_due and (job is None or arguments.again or arguments.firing):
        raise UpkeepError(
            "--if-due is not understood",
            expected="it with a job, and without --again",
            found="--again" if arguments.again else f"{arguments.what}, which is no job",
            remedy="upkeep jobs   (shows the jobs that there are)",
        )
    if job is None:
        return None
    from ..running import followed, occurrence

    if arguments.firing:
        return occurrence.of_scheduler(store, arguments.firing)
    as_it_stands = _as_it_stands(arguments) and not (arguments.check or arguments.time_limit or arguments.again)
    if arguments.if_due:
        due = occurrence.if_due(store, config, job, time.time())
        if not isinstance(due, occurrence.Mine):
            return followed.not_due(job, due, config, arguments.json)
        return due
    found = occurrence.by_hand(store, config, job, time.time()) if as_it_stands else None
    if isinstance(found, occurrence.Theirs):
        return followed.follow(store, job, found.firing, config, arguments.json)
    return found


def _as_it_stands(arguments: argparse.Namespace) -> bool:
    """Whether the hosts, tags and variables are those of the job."""
    given = (arguments.inventory, arguments.limit, arguments.extra_vars, arguments.tags, arguments.skip_tags)
    return not any(given)


def _by_scheduler(arguments: argparse.Namespace) -> bool:
    """Whether the scheduler has started it: then nobody sees what it says, and it is tried again for what it needs."""
    return bool(arguments.firing) and not arguments.in_person


def _nobody_is_left(plan: Plan, mine: Mine, store: Store) -> bool:
    """Whether all hosts are frozen, or done already; the occurrence is then decided."""
    try:
        if inventory.check_limit(plan.inventory, plan.limit or "all", strict=False):
            return False
    except UpkeepError:
        pass  # Ansible calls it an error when a limit leaves no host
    from ..store import firings

    why = f"all of its hosts are frozen, or done already: {', '.join(mine.without)}"
    with store.database.write() as connection:
        firings.end(connection, mine.firing, firings.SKIPPED, why, time.time())
    print(f"upkeep: {why}", file=sys.stderr)
    return True


def _in_freeze(arguments: argparse.Namespace, config: Config, job: Job | None, plan: Plan) -> tuple[str, Plan]:
    """Why the whole job must not change anything now ("": it may), and the plan without the hosts that are frozen.

    What the scheduler begins was decided by the calendar. Raises UpkeepError for a run by hand.
    """
    if job is None or not job.changes or plan.check or arguments.despite_freeze or not config.freezes:
        return "", plan
    from ..calendar.decide import frozen_now, limit_without, timetable

    freeze, hosts = frozen_now(timetable(config, job), time.time())
    if freeze is not None and not job.approve and not arguments.firing and not arguments.if_due:
        raise UpkeepError(
            f"the job {job.name} changes systems, and these are frozen",
            expected="a time outside of the freezes of upkeep.yml",
            found=f"{freeze.named()}, until {freeze.until(config.zone_of(job))}",
            remedy="look with --check, wait, or run it all the same: --despite-freeze",
        )
    if hosts and not arguments.firing and not arguments.if_due:
        print(f"upkeep: not on {', '.join(hosts)}: frozen (--despite-freeze: all the same)", file=sys.stderr)
        plan = replace(plan, limit=limit_without(plan.limit, hosts))
    return (f"frozen by {freeze.named()}" if freeze is not None else ""), plan


def _as_decided(plan: Plan, mine: Mine) -> Plan:
    """The plan without the hosts that are frozen, or done already; ended at its window's end where the job says so."""
    from ..calendar.decide import limit_without

    return replace(plan, limit=limit_without(plan.limit, mine.without))


def _playbook(what: str, config: Config) -> str:
    """A playbook that is no job: a file, or namespace.collection.playbook. Raises UpkeepError."""
    path = Path(what).expanduser()
    if path.is_file():
        return str(path.absolute())
    looks_like_file = "/" in what or what.endswith((".yml", ".yaml"))
    if not looks_like_file and what.count(".") >= 2:
        return what
    ours = {file.stem for file in (paths.collection() / "playbooks").glob("*.yml")}
    if what in ours:
        return f"upkeep.maintenance.{what}"
    near = difflib.get_close_matches(what, config.jobs.keys() | ours, 1)
    remedy = f"did you mean {near[0]}?" if near else "upkeep jobs   (shows the jobs that there are)"
    if looks_like_file:
        raise UpkeepError(
            f"the playbook {what} is not there",
            expected="a file, seen from the current folder",
            found="a folder" if path.is_dir() else "nothing of that name",
            remedy=remedy,
        )
    raise UpkeepError(
        f"there is no job {what!r}",
        expected=f"one of {', '.join(sorted(config.jobs))}, or a playbook: a file, or one of the collection's "
        f"({', '.join(sorted(ours - config.jobs.keys()))})",
        found=what,
        remedy=remedy,
    )


def _run(
    arguments: argparse.Namespace,
    config: Config,
    job: Job | None,
    plan: Plan,
    store: Store,
    mine: Mine | None,
    found: Planned | None = None,
) -> int:
    from .. import render
    from ..running import begin, handed, runner
    from ..running.alive import Alive
    from ..running.done_hosts import DoneHosts, one_play

    if not arguments.campaign_step:
        plan = replace(plan, handed=handed.of_run(store, plan))
    run_id = str(uuid.uuid4())
    who = SCHEDULER if _by_scheduler(arguments) else actor()
    store.note_config(config.path, who, time.time())
    run = _begin(arguments, config, job, plan, store, mine, run_id, who)
    if run is None:
        return PUT_OFF
    started, folder, name = run.started, Path(run.artifacts), run.job
    until = mine.until if mine else None
    alive = Alive(store, run_id, folder, until, job.overrun if job else "tell", config.time_zone)
    if until is not None and job is not None and job.overrun == "stop":
        plan = replace(plan, stop_file=str(alive.stop_file))
    done = DoneHosts(folder) if job and job.restart == "once" and mine and one_play(plan.playbook) else None
    outcome: Outcome | None = None
    try:
        with alive, render.Progress(name or Path(plan.playbook).name) as progress:

            def watch(event: dict[str, Any]) -> None:
                progress.watch(event)
                if found is not None:
                    found.feed(event)
                if done is not None:
                    done.watch(event)

            outcome = runner.carry_out(
                plan, folder, run_id, started, watch, meanwhile=_imports, asked=alive.asked, ended=alive.ended
            )
    finally:
        if outcome is None:
            store.end_run(run_id, "error", time.time(), "Upkeep itself broke off")
    if outcome.error and outcome.state in ("timed_out", "interrupted"):
        outcome.error.add_found(f"at {progress.where()}")
    recorded = _kept_patiently(arguments, config, store, run_id, name, folder, outcome)
    if found is not None:
        found.run, found.complete = recorded.run, outcome.state == "finished"
    if mine is not None and alive.overran:
        begin.note(store, mine.firing, alive.overran)
    if outcome.error:
        _name_the_log(outcome.error, folder)
    render.show_run(
        recorded,
        outcome,
        folder,
        config.time_zone,
        as_json=arguments.json,
        check_mode=plan.check,
        seconds=outcome.finished - started,
    )
    if not _by_scheduler(arguments):  # beside a service too: what is sent is sent once
        from ..service import steps

        steps.outgoing(store, config, OUTGOING)
    return outcome.error.exit_code if outcome.error else recorded.exit_code


def _begin(
    arguments: argparse.Namespace,
    config: Config,
    job: Job | None,
    plan: Plan,
    store: Store,
    mine: Mine | None,
    run_id: str,
    who: str,
) -> Run | None:
    """Register the run, when its locks are free; None: its firing was told that they are not."""
    from ..running import begin
    from ..store import locks

    wanted = begin.wanted_locks(job, plan)
    folder = paths.make_run_folder(config.home, run_id)
    firing = mine.firing if mine else None

    def registered() -> Run:
        return store.begin_run(
            run_id,
            plan.playbook,
            time.time(),
            job=job.name if job else None,
            check_mode=plan.check,
            actor=who,
            artifacts=str(folder),
            wanted=wanted,
            firing=firing,
            campaign_step=arguments.campaign_step,
        )

    def waits(why: str) -> None:
        if firing is not None:
            begin.still_waits(store, firing, why)

    patience = config.scheduler.lock_wait
    if arguments.wait is not None:
        patience = 0.0 if arguments.wait in ("0", "0s") else _seconds("--wait", arguments.wait)
    try:
        return begin.patiently(registered, 0.0 if _by_scheduler(arguments) else patience, waits)
    except BaseException as error:
        with contextlib.suppress(OSError):
            folder.rmdir()
        if firing is None or not isinstance(error, locks.Busy):
            raise
        begin.not_begun(store, firing, error, time.time(), PUT_OFF_SECONDS)
        if _by_scheduler(arguments):
            return None
        raise


def _kept_patiently(
    arguments: argparse.Namespace,
    config: Config,
    store: Store,
    run_id: str,
    job: str | None,
    folder: Path,
    outcome: Outcome,
) -> Recorded:
    """As :func:`_kept`; under the scheduler nobody waits, so it waits for a store that is away."""
    deadline = time.monotonic() + (KEEP_TRYING if _by_scheduler(arguments) else 0.0)
    while True:
        try:
            return _kept(config, store, run_id, job, folder, outcome)
        except UpkeepError as error:
            if error.exit_code != NOT_RUN or time.monotonic() >= deadline:
                raise
        time.sleep(TRY_EVERY)


def _imports() -> None:
    """What the end of a run needs: ansible-playbook takes longer to start than this takes."""
    from rich import console, table  # noqa: F401 - render's

    from .. import record  # noqa: F401 - _kept's


def _kept(config: Config, store: Store, run_id: str, job: str | None, folder: Path, outcome: Outcome) -> Recorded:
    """End the run in the store and take its results over; an error names the command that does it later."""
    from .. import record
    from ..running import runner

    try:
        store.end_run(run_id, outcome.state, outcome.finished, outcome.error.what if outcome.error else "")
        recorded = record.record_file(store, folder / runner.RESULTS, config.policy, time.time(), job)
        before = time.time() - config.keep_days * 86400
        # First the files, then the rows that say which of them may go.
        paths.prune_run_folders(config.home, before, store.run_ids(recorded_before=before), store.run_ids())
        store.prune(time.time(), config.keep_days, config.keep_proofs_days)
    except UpkeepError as error:
        error.remedy = _and_then(error.remedy, folder / runner.RESULTS)
        raise
    except KeyboardInterrupt as error:
        raise UpkeepError(
            "interrupted while the run's results were being kept",
            found="Ctrl-C",
            remedy=f"upkeep record {folder / runner.RESULTS}",
            exit_code=NOT_RUN,
        ) from error
    return recorded


def _and_then(remedy: str, results: Path) -> str:
    """What to do once the store is well again: take the results over, or run again when they could not be written."""
    if not results.is_file() or results.stat().st_size == 0:
        return "; then: ".join(filter(None, [remedy.rstrip("."), "run it again (its results could not be written)"]))
    again = f"upkeep record {results}"
    if again in remedy:
        return remedy
    return "; then: ".join(filter(None, [remedy.rstrip("."), f"{again}   (the results are kept there)"]))


def _name_the_log(error: UpkeepError, folder: Path) -> None:
    from ..running.runner import LOG

    if "log" in error.remedy:
        error.remedy = f"{error.remedy}: {folder / LOG}"


def actor() -> str:
    """Who calls: the login name, behind sudo as well."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
