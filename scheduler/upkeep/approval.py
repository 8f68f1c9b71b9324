# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check, approve, apply: a job with ``approve`` runs in check mode first, and applies that with a person's word.

Its check run presents what would change and waits, until its window leaves no more room. Who approves lets its
occurrence go on: the same playbook, limit, tags and variables run in check mode once more, and only when that gives the
same plan are they applied. When the world (or the playbook) has changed meanwhile, nothing is applied, and the new plan
is asked for. A plan without changes needs nobody. Approving is also done by the plan's ticket
(``upkeep.approval.waiting``): by acknowledging it, or by a comment that begins with one of the words below.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import moments
from .errors import WRONG_USE, UpkeepError
from .running import begin, planned
from .running.planned import Planned
from .service.launch import PUT_OFF
from .store import UPKEEP, approvals, audit, firings, locks, nodes, runs, schema
from .store.process import is_gone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Connection

    from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review

    from .config import Config, Job
    from .running.occurrence import Mine
    from .running.runner import Plan
    from .store import Run, Store
    from .store.approvals import Approval

WAITING = "upkeep.approval.waiting"
"""The check of the finding, and so of the ticket, of a plan that waits."""
PATIENCE = 24 * 3600.0
"""Seconds that a plan waits when neither a window nor ``misfire`` says how long."""
YES = ("approved", "approve", "одобрено", "согласовано")
NO = ("rejected", "reject", "отклонено")
"""The first words of a ticket's comment that answer."""
PUT_OFF_SECONDS = 15.0
"""Seconds after which it is looked again whether what it needs is free."""
SIGN = 120.0
"""Seconds after which a scheduler without a sign of life is not counted on."""
DUE = 0.0005
"""Seconds: times that were written and read again are the same."""


def subject(approval: Approval) -> str:
    """What its ticket is about: each plan has one of its own."""
    return f"{approval.job}, run {approval.run}"


def recipe_digest(plan: Plan) -> str:
    """What stands for all that is handed to Ansible: whoever approved one recipe has not approved another."""
    parts = {
        "playbook": plan.playbook,
        "content": planned.file_digest(plan.playbook),
        "inventory": plan.inventory,
        "limit": plan.limit,
        "tags": plan.tags,
        "skip_tags": plan.skip_tags,
        "extra_vars": dict(plan.extra_vars),
        "extra_args": plan.extra_args,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def plan_hash(plan: Plan, found: Planned) -> str:
    """What is approved: the recipe and what it would change."""
    whole = recipe_digest(plan) + found.digest(planned.file_digest)
    return hashlib.sha256(whole.encode()).hexdigest()


def ask(
    store: Store, run: Run, job: Job, plan: Plan, found: Planned, now: float, due: float | None, until: float | None
) -> Approval | None:
    """Present the plan of a check run; None when it would change nothing, which needs nobody's word."""
    if not found.count:
        return None
    shown = {
        "playbook": plan.playbook,
        "limit": plan.limit,
        "tags": list(plan.tags),
        "skip_tags": list(plan.skip_tags),
        "hosts": sorted(found.hosts),
        "failed": sorted(found.failed),
        "changes": planned.as_json(found.changes),
        "more": found.more,
    }
    # Counted from when it was due, so that a plan that is asked for again waits no longer than the first one.
    begun = due if due is not None else now
    ends = begun + (job.misfire if job.misfire is not None else PATIENCE) if until is None else until - _room(job)
    with store.database.write() as connection:
        for older in approvals.in_state(connection, approvals.ASKED):
            if older.job == job.name:
                _close(connection, older, approvals.DRIFTED, f"run {run.number} has presented a newer plan", now)
        approvals.ask(connection, run.number, job.name, plan_hash(plan, found), shown, due=due, asked=now, until=ends)
        audit.write(
            connection,
            UPKEEP,
            "approval.asked",
            f"run {run.number}",
            {"job": job.name, "changes": found.count, "hosts": len(found.hosts), "plan_hash": plan_hash(plan, found)},
            now,
        )
        return approvals.one(connection, run.number)


def carry_out(
    store: Store,
    job: Job,
    plan: Plan,
    mine: Mine | None,
    as_it_stands: bool,
    run: Callable[[Plan, Mine | None, Planned | None], int],
    frozen: str = "",
) -> int:
    """Check and ask; or, for an occurrence whose plan was approved, check again and apply it. The exit code.

    ``run`` carries a plan out, as the occurrence that it is given or as none; it leaves the run in what it is given to
    be filled. ``as_it_stands``: the plan is that of the job, so that the scheduler would apply the same.
    ``frozen``: why nothing may be changed now, "" when it may.
    """
    due, approved = of_firing(store, job.name, mine.firing) if mine else (None, None)
    found = Planned()
    checked = replace(plan, check=True, diff=True)
    if approved is None or mine is None:
        code = run(checked, mine, found)
        if found.run is not None and found.complete:
            _present(store, found.run, job, plan, found, due, mine, as_it_stands)
        return code
    try:
        code = run(checked, None, found)
    except locks.Busy as busy:
        begin.not_begun(store, mine.firing, busy, time.time(), PUT_OFF_SECONDS)
        print("\n".join(busy.lines()), file=sys.stderr)
        return PUT_OFF
    if found.run is None:
        return code
    now = time.time()
    why = ""
    if not found.complete:
        why = f"it could not be checked again: run {found.run.number}"
    elif plan_hash(plan, found) != approved.plan_hash:
        why = f"what it would do is not what was approved: run {found.run.number} found another plan"
    elif frozen:
        why = frozen
    elif mine.until is not None and now >= mine.until - _room(job):
        why = "its window ended while it was checked again, or leaves no room for it"
    if why:
        with store.database.write() as connection:
            drifted(connection, approved, found.run.number, why, now)
            firings.end(connection, mine.firing, firings.SKIPPED, why, now)
        print(f"upkeep: not applied: {why}", file=sys.stderr)
        if found.complete and (mine.until is None or now < mine.until - _room(job)):
            _present(store, found.run, job, plan, found, due, mine, True)
        return code
    with store.database.write() as connection:
        applied(connection, approved, found.run.number, now)
    try:
        return run(plan, mine, None)
    finally:
        with store.database.write() as connection:
            began = firings.one(connection, mine.firing)
            row = runs.by_id(connection, began.run) if began and began.run else None
            if row is not None:
                approvals.change(connection, approved.run, approvals.APPLIED, applied_by_run=row.number)
            else:  # it has not begun: a lock was held; it is tried, and checked, once more
                approvals.change(connection, approved.run, approvals.APPLIED, state=approvals.APPROVED)


def _present(
    store: Store,
    run: Run,
    job: Job,
    plan: Plan,
    found: Planned,
    due: float | None,
    mine: Mine | None,
    as_it_stands: bool,
) -> None:
    if not as_it_stands:
        said = "its plan is not asked for: it has another limit, tags or variables than the job"
    else:
        asked = ask(store, run, job, plan, found, time.time(), due, mine.until if mine else None)
        said = "it would change nothing, so there is nothing to approve"
        if found.failed:
            few = ", ".join(sorted(found.failed)[:10])
            said = f"there is no plan to approve: check mode failed on {len(found.failed)} host(s): {few}"
        if asked is not None:
            said = (
                f"it would change {summary(asked)}, and waits for approval: upkeep approvals {run.number}; "
                f"then: upkeep approve {run.number}"
            )
    if mine is not None:
        with store.database.write() as connection:
            firings.note(connection, mine.firing, said)
    print(f"upkeep: {said}", file=sys.stderr)


def _room(job: Job) -> float:
    """Seconds of its window that applying must be left."""
    return job.time_limit or 0.0 if job.own_time_limit else 0.0


def of_firing(store: Store, job: str, firing: int) -> tuple[float | None, Approval | None]:
    """When the occurrence was due that a run is started for, and the plan that was approved for it, if one was."""
    with store.database.read() as connection:
        found = firings.one(connection, firing)
        if found is None:
            return None, None
        return found.due, approvals.to_apply(connection, job, found.due)


def approve(connection: Connection, run: int, actor: str, why: str, now: float) -> Approval:
    """A person says yes: the occurrence goes on. UpkeepError (WRONG_USE) when the plan does not wait (any more)."""
    approval = _waiting(connection, run, now)
    due = approval.due if approval.due is not None else now
    firing = _firing(connection, approval.job, due, now)
    values = {"answered": now, "answered_by": actor, "why": why, "due": due}
    approvals.change(connection, run, approvals.ASKED, state=approvals.APPROVED, **values)
    firings.again(connection, firing, (), f"approved by {actor}: the plan of run {run} is applied", now)
    detail = {"job": approval.job, "plan_hash": approval.plan_hash, "why": why}
    audit.write(connection, actor, "approval.given", f"run {run}", detail, now)
    return of_run(connection, run)


def reject(connection: Connection, run: int, actor: str, why: str, now: float) -> Approval:
    """A person says no: nothing is applied. UpkeepError (WRONG_USE) when the plan does not wait (any more)."""
    approval = _waiting(connection, run, now)
    approvals.change(
        connection, run, approvals.ASKED, state=approvals.REJECTED, answered=now, answered_by=actor, why=why
    )
    _note(connection, approval, f"its plan (run {run}) was rejected by {actor}" + (f": {why}" if why else ""), now)
    audit.write(connection, actor, "approval.rejected", f"run {run}", {"job": approval.job, "why": why}, now)
    return of_run(connection, run)


def drifted(connection: Connection, approval: Approval, run: int | None, why: str, now: float) -> None:
    """What was approved is not what would be done now: it is not applied."""
    approvals.change(connection, approval.run, approvals.APPROVED, state=approvals.DRIFTED, why=why)
    detail = {"job": approval.job, "check_run": run, "why": why}
    audit.write(connection, UPKEEP, "approval.drifted", f"run {approval.run}", detail, now)


def applied(connection: Connection, approval: Approval, run: int, now: float) -> None:
    """It is what was approved, by check run ``run``, and is applied from now on."""
    approvals.change(connection, approval.run, approvals.APPROVED, state=approvals.APPLIED)
    detail = {
        "job": approval.job,
        "checked_by_run": run,
        "approved_by": approval.answered_by,
        "plan_hash": approval.plan_hash,
    }
    audit.write(connection, UPKEEP, "approval.applied", f"run {approval.run}", detail, now)


def step(store: Store, config: Config, now: float) -> int:
    """The periodic work: plans that nobody approved in time end; what a ticket says is taken as the answer."""
    with store.database.read() as connection:
        if not approvals.in_state(connection, approvals.ASKED):
            return 0
    done = 0
    with store.database.write() as connection:
        for approval in approvals.in_state(connection, approvals.ASKED):
            if approval.until <= now:
                _close(connection, approval, approvals.EXPIRED, "nobody approved it in time", now)
                done += 1
                continue
            ticket = approval.ticket or _link(connection, approval)
            said = answer(connection, ticket, approval.asked, config.ticket_systems) if ticket else None
            if said is not None:
                actor, yes, why = said
                (approve if yes else reject)(connection, approval.run, actor, why, now)
                done += 1
    return done


def look(connection: Connection, review: Review, config: Config, now: float) -> None:
    """The findings of self-review: plans that wait. They become tickets, and so messages."""
    for approval in approvals.in_state(connection, approvals.ASKED):
        if approval.until <= now:
            continue
        job = config.jobs.get(approval.job)
        zone = config.zone_of(job) if job else config.time_zone
        review.found(
            WAITING,
            subject(approval),
            "medium",
            f"The job {approval.job} would change {summary(approval)}, and waits for approval until "
            f"{moments.full(approval.until, zone)}.",
            list(lines(approval)),
            f"See it: upkeep approvals {approval.run}; then: upkeep approve {approval.run}, or upkeep reject "
            f"{approval.run}. Acknowledging this ticket approves as well.",
            {"run": approval.run, "until": approval.until, "plan_hash": approval.plan_hash},
        )


def summary(approval: Approval) -> str:
    """How much a plan would change, in some words."""
    hosts, count = len(approval.plan["hosts"]), len(approval.plan["changes"]) + approval.plan["more"]
    return f"{count} {'thing' if count == 1 else 'things'} on {hosts} {'host' if hosts == 1 else 'hosts'}"


def lines(approval: Approval, diffs: bool = False) -> Iterable[str]:
    """A plan as lines of text: what would be done on which hosts; with the differences when asked for."""
    together: dict[tuple[str, ...], list[str]] = {}
    for change in approval.plan["changes"]:
        item = f" ({change['item']})" if change["item"] else ""
        maybe = (
            " [it runs unless its condition says no: check mode cannot tell]"
            if change["would"] == planned.MAYBE
            else ""
        )
        key = (f"{change['task']}{item}{maybe}", *(change["diff"] if diffs else ()))
        together.setdefault(key, []).append(change["host"])
    for (task, *diff), hosts in together.items():
        named = ", ".join(hosts[:10]) + (f" and {len(hosts) - 10} more" if len(hosts) > 10 else "")
        yield f"{task}: {named}"
        for line in diff:
            yield f"    {line}"
    if approval.plan["more"]:
        yield f"and {approval.plan['more']} more"
    if approval.plan["failed"]:
        yield f"failed or not reached in check mode: {', '.join(approval.plan['failed'][:20])}"


def firing_of(connection: Connection, approval: Approval) -> int:
    """The occurrence that an approved plan goes on in."""
    assert approval.due is not None
    return firings.between(connection, approval.job, approval.due - DUE, approval.due + DUE)[-1].id


def scheduler_at_work(connection: Connection, now: float) -> bool:
    """Whether some scheduler has given a sign of life of late."""
    return any(now - node.seen < SIGN and not is_gone(node.process) for node in nodes.listed(connection))


def number_of(connection: Connection, which: str) -> int:
    """The number of a run that a person named; UpkeepError (WRONG_USE) when there is none."""
    return runs.one(connection, which).number


def of_run(connection: Connection, run: int) -> Approval:
    """The plan of a check run; UpkeepError (WRONG_USE) when it has none."""
    approval = approvals.one(connection, run)
    if approval is not None:
        return approval
    waiting = ", ".join(str(one.run) for one in approvals.in_state(connection, approvals.ASKED))
    raise UpkeepError(
        f"run {run} has no plan that needs approval",
        expected=f"one of the plans that wait: {waiting}" if waiting else "a plan that waits; there is none",
        found=f"run {run}",
        remedy="upkeep approvals",
        exit_code=WRONG_USE,
    )


def _waiting(connection: Connection, run: int, now: float) -> Approval:
    approval = of_run(connection, run)
    if approval.state == approvals.ASKED and approval.until > now:
        return approval
    why = f": {approval.why}" if approval.why else ""
    by = f" by {approval.answered_by}" if approval.answered_by else ""
    said = "expired" if approval.state == approvals.ASKED else approval.state
    what, found, remedy = "does not wait for an answer", f"it is {said}{by}{why}", ""
    if approval.state == approvals.APPROVED:
        what, found = "is approved already", f"approved{by}{why}"
        remedy = f"the scheduler applies it; without one: upkeep approve {run} --now"
    elif approval.state == approvals.APPLIED:
        what, found = "is applied already", f"approved{by}{why}"
        if approval.applied_by_run is not None:
            found += f"; applied by run {approval.applied_by_run}"
            remedy = f"upkeep runs show {approval.applied_by_run}"
    raise UpkeepError(
        f"the plan of run {run} {what}",
        expected="a plan that waits",
        found=found,
        remedy=remedy or f"make a new plan: upkeep run {approval.job} --check",
        exit_code=WRONG_USE,
    )


def _close(connection: Connection, approval: Approval, state: str, why: str, now: float) -> None:
    approvals.change(connection, approval.run, approvals.ASKED, state=state, why=why)
    _note(connection, approval, f"its plan (run {approval.run}) is {state}: {why}", now)
    audit.write(connection, UPKEEP, f"approval.{state}", f"run {approval.run}", {"job": approval.job, "why": why}, now)


def _firing(connection: Connection, job: str, due: float, now: float) -> int:
    """The occurrence that is to go on; a check run by hand had none, so it gets one."""
    found = firings.between(connection, job, due - DUE, due + DUE)
    if found:
        return found[-1].id
    number = firings.claim(connection, job, due, node="", now=now)
    assert number is not None  # nobody else has it: we hold the turn to write
    return number


def _note(connection: Connection, approval: Approval, text: str, now: float) -> None:
    if approval.due is None:
        return
    for firing in firings.between(connection, approval.job, approval.due - DUE, approval.due + DUE):
        firings.note(connection, firing.id, text)


def _link(connection: Connection, approval: Approval) -> int | None:
    """The ticket of a plan, once self-review has opened it."""
    number = ticket_of(connection, WAITING, subject(approval))
    if number is not None:
        approvals.change(connection, approval.run, approvals.ASKED, ticket=number)
    return number


def ticket_of(connection: Connection, check: str, about: str) -> int | None:
    """The newest ticket of an identity; None when there is none."""
    from sqlalchemy import select

    entries = schema.ticket_entries
    of_it = (entries.c.check_name == check) & (entries.c.subject == about)
    number: int | None = connection.scalar(select(entries.c.ticket).where(of_it).order_by(entries.c.id.desc()).limit(1))
    return number


def answer(connection: Connection, ticket: int, since: float, systems: Iterable[str]) -> tuple[str, bool, str] | None:
    """What a person has said in the ticket: who, whether yes, and the words; None when nothing yet."""
    from sqlalchemy import select

    history = schema.ticket_history
    told = (history.c.ticket == ticket) & (history.c.at >= since) & (history.c.actor != UPKEEP)
    query = select(history).where(told, history.c.kind.in_(("acknowledged", "comment"))).order_by(history.c.id)
    for row in connection.execute(query):
        first: Any = re.match(r"\W*(\w+)", row.text.lower())
        word = first[1] if first else ""
        why = f"in ticket #{ticket}" + (f": {row.text}" if row.text else "")
        if word in NO:
            return row.actor, False, why
        # In a ticket system it is acknowledged by whatever begins there, a rule that assigns it as well: no word.
        began_there = row.kind == "acknowledged" and any(row.actor.endswith(f" ({name})") for name in systems)
        if word in YES or (row.kind == "acknowledged" and not began_there):
            return row.actor, True, why
    return None
