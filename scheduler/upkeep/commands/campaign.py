# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Change many hosts in stages: plan, approve, start; see how it stands; pause, resume, abort, release."""

from __future__ import annotations

import difflib
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import config as configuration
from ..errors import HOSTS_FAILED, NOT_RUN, OK, UpkeepError

if TYPE_CHECKING:
    import argparse

    from ..campaign.model import Spec
    from ..config import Config
    from ..store import Store
    from ..store.campaigns import Kept

ACTIONS = ("list", "plan", "status", "approve", "start", "pause", "resume", "abort", "release")

OUTGOING = 10.0
"""Seconds for sending what came of it."""

EPILOG = """\
examples:
  upkeep campaign                          the campaigns of upkeep.yml, and how the newest of each stands
  upkeep campaign plan os                  what each host would get, in which ring and batch; changes nothing
  upkeep campaign approve os "seen, anna"  exactly this plan may be carried out
  upkeep campaign start os                 carry it out, here; --detach: by the scheduler at work
  upkeep campaign status os                how each host stands, and what comes next
  upkeep campaign pause os "too slow"      the hosts at work come to their end, and nothing further begins
  upkeep campaign resume os                go on, also after a crash or when it has stopped
  upkeep campaign abort os                 end it: what was not changed yet is left as it is
  upkeep campaign release os web3          web3 is repaired: verify it, and put it back into service
  upkeep campaign plan os --cve CVE-2026-1234      an emergency: the same hosts in short rings, for this only

A campaign is named by its name in upkeep.yml (the newest of it is meant) or by its number; an emergency as it says:
os:CVE-2026-1234. docs/campaigns.md says how it decides.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    parser.add_argument(
        "action",
        nargs="?",
        choices=ACTIONS,
        default="list",
        metavar="ACTION",
        help=f"{', '.join(ACTIONS)} (default: list)",
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="the campaign, by name or number")
    parser.add_argument("words", nargs="*", metavar="WHY|HOST", help="of release: the hosts; else: why, for the audit")
    parser.add_argument(
        "--cve", action="append", default=[], metavar="CVE", help="of plan: an emergency for this CVE; repeatable"
    )
    parser.add_argument(
        "--package",
        action="append",
        default=[],
        metavar="NAME[=VERSION]",
        help="of plan: an emergency for this package; repeatable",
    )
    parser.add_argument("--detach", action="store_true", help="of start, resume: let the scheduler at work carry it on")
    parser.add_argument(
        "--unverified", action="store_true", help="of release: without verifying the hosts first, on your word"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output, nothing else there")


def execute(arguments: argparse.Namespace) -> int:
    """Do what is asked of a campaign."""
    config = configuration.load(arguments.config)
    if arguments.action == "list":
        if arguments.name:
            raise _not_understood(arguments, "upkeep campaign, or upkeep campaign status NAME")
        return _list(config, arguments)
    if not arguments.name:
        raise _not_understood(arguments, f"upkeep campaign {arguments.action} NAME")
    if arguments.action == "release" and not arguments.words:
        raise _not_understood(arguments, "upkeep campaign release NAME HOST [HOST …]")
    if arguments.action in ("plan", "status", "start", "resume") and arguments.words:
        raise _not_understood(arguments, f"upkeep campaign {arguments.action} NAME")
    given = [("--cve", arguments.cve), ("--package", arguments.package)]
    if any(words for _, words in given) and (arguments.action != "plan" or all(words for _, words in given)):
        raise _not_understood(arguments, "--cve or --package, one of both, with upkeep campaign plan NAME")
    from ..service import steps
    from ..store import open_store

    with open_store(config.store_url, config.home) as store:
        code: int = _DO[arguments.action](config, store, arguments)
        if arguments.action in ("plan", "approve", "abort"):  # what waits for approval has a ticket
            steps.outgoing(store, config, OUTGOING)
        return code


def _not_understood(arguments: argparse.Namespace, expected: str) -> UpkeepError:
    options = [f"--cve {one}" for one in arguments.cve] + [f"--package {one}" for one in arguments.package]
    said = ["upkeep campaign", arguments.action, arguments.name or "", *arguments.words, *options]
    found = " ".join(filter(None, said))
    return UpkeepError("the command is not understood", expected=expected, found=found, remedy="upkeep campaign --help")


# --- what is meant ----------------------------------------------------------------------------------------------------


def _spec(config: Config, name: str) -> Spec:
    if name in config.campaigns:
        return config.campaigns[name]
    near = difflib.get_close_matches(name, config.campaigns, 1)
    known = ", ".join(sorted(config.campaigns)) or "none there"
    where = config.path or "upkeep.yml (there is none)"
    raise UpkeepError(
        f"there is no campaign {name!r}",
        expected=f"one under campaigns in {where}: {known}",
        found=name,
        remedy=f"did you mean {near[0]}?" if near else "see docs/campaigns.md for what to write there",
    )


def _to_plan(config: Config, store: Store, arguments: argparse.Namespace) -> Spec:
    """The campaign, or the emergency that is asked for; one that was planned already by its name."""
    from ..campaign import emergency
    from ..store import campaigns

    if not arguments.cve and not arguments.package:
        base, colon, _ = arguments.name.partition(":")
        with store.database.read() as connection:
            number = campaigns.newest(connection, arguments.name) if colon and base in config.campaigns else None
            asked = None if number is None else campaigns.one(connection, number).campaign.spec.asked
        return _spec(config, arguments.name) if asked is None else emergency.of(_spec(config, base), asked)
    try:
        asked = emergency.asked_of(arguments.cve, arguments.package)
    except ValueError as error:
        raise UpkeepError(
            f"{'--cve' if arguments.cve else '--package'} is not understood",
            expected="--cve CVE-2026-1234" if arguments.cve else "--package NAME, or --package NAME=VERSION",
            found=str(error),
            remedy="correct it",
        ) from error
    return emergency.of(_spec(config, arguments.name), asked)


def _kept(config: Config, store: Store, name: str) -> Kept:
    """The campaign that is meant: by its number, or the newest of its name."""
    from ..store import campaigns

    with store.database.read() as connection:
        if name.isascii() and name.isdigit() and len(name) < 10 and name not in config.campaigns:
            return campaigns.one(connection, int(name))
        number = campaigns.newest(connection, name)
        if number is not None:
            return campaigns.one(connection, number)
    _spec(config, name)
    raise UpkeepError(
        f"the campaign {name} was never planned",
        expected="a plan of it",
        found="none",
        remedy=f"upkeep campaign plan {name}",
    )


def _refused(kept: Kept, expected: str, remedy: str) -> UpkeepError:
    state = kept.campaign.state
    return UpkeepError(
        f"the campaign {kept.name} is {state}",
        expected=expected,
        found=f"campaign {kept.number}: {state}" + (f": {kept.campaign.why}" if kept.campaign.why else ""),
        remedy=remedy,
    )


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", file=sys.stderr, flush=True)


# --- the actions ------------------------------------------------------------------------------------------------------


def _plan(config: Config, store: Store, arguments: argparse.Namespace) -> int:
    from .. import inventory
    from ..campaign import drive, model, planning, rings
    from ..store import campaigns
    from .run import actor

    spec = _to_plan(config, store, arguments)
    sources = spec.inventory or config.inventory_of(None)
    by_variable = any(one.order_by for one in spec.one_at_a_time)
    try:
        hosts = planning.host_names(config, spec)
        facts = inventory.facts_of(sources, rings.patterns(spec), variables=by_variable)
    except UpkeepError as error:
        # Its patterns come from the file, not from an option.
        error.what = error.what.replace("in --limit", f"of the campaign {spec.name}")
        error.remedy = error.remedy.replace("correct --limit", f"correct campaigns.{spec.name} in {config.path}")
        raise
    store.check_writable()
    number, step = planning.begin_plan(store, spec, hosts, actor(), time.time())
    said = drive.plan(store, config, number, step, _say)
    try:
        kept = planning.keep_plan(store, config, number, facts, time.time())
    except UpkeepError:
        with store.database.write() as connection:
            campaigns.forget(connection, number)
        raise
    if not any(host.plan for host in kept.campaign.hosts):
        with store.database.write() as connection:
            nothing = replace(kept.campaign, state=model.ABORTED, why="no host could be planned")
            campaigns.save(connection, number, kept.campaign, nothing, "", time.time())
        left = [f"{host.name}: {host.why}" for host in kept.campaign.hosts if host.state == model.LEFT_OUT]
        raise UpkeepError(
            f"no host of the campaign {spec.title} could be planned",
            expected=f"at least one plan by {spec.playbook}",
            found="; ".join([*said, *left][:5]),
            remedy=f"see what its run said: {config.home / 'campaigns'}/{step.id}.log",
            exit_code=NOT_RUN,
        )
    from ..campaign import show, show_plan

    if arguments.json:
        show.document(store, kept)
    else:
        show_plan.plan(store, config, kept)
    return HOSTS_FAILED if any(host.why.startswith("not planned") for host in kept.campaign.hosts) else OK


def _approve(config: Config, store: Store, arguments: argparse.Namespace) -> int:
    from ..campaign import model, planning, show
    from ..store import campaigns
    from .run import actor

    kept = _kept(config, store, arguments.name)
    if kept.campaign.state != model.WAITS:
        raise _refused(kept, "a plan that waits", f"upkeep campaign plan {kept.name}   (plans it anew)")
    _spec(config, kept.campaign.spec.name)
    with store.database.write() as connection:
        kept = campaigns.one(connection, kept.number)
        _refuse_changed(kept, planning.changed_since(connection, kept, config))
        campaigns.set_approved(connection, kept.number, actor(), " ".join(arguments.words), time.time())
        kept = campaigns.one(connection, kept.number)
    if arguments.json:
        show.document(store, kept)
    else:
        show.line(f"Approved: plan {kept.digest[:12]} of {kept.name}. To start it: upkeep campaign start {kept.name}")
    return OK


def _refuse_changed(kept: Kept, changed: list[str]) -> None:
    if changed:
        raise UpkeepError(
            f"the plan of the campaign {kept.name} is not what it was",
            expected=f"all as it was planned (campaign {kept.number})",
            found=_listed(changed),
            remedy=f"upkeep campaign plan {kept.name}   (plans it anew)",
        )


def _refuse_overlap(kept: Kept, theirs: list[str]) -> None:
    if theirs:
        raise UpkeepError(
            f"the campaign {kept.name} would meet another one on the same hosts",
            expected="hosts that no other campaign under way changes, or keeps out of service",
            found=_listed(theirs),
            remedy="let the other one end, pause or abort it; what is quarantined there: upkeep campaign release",
        )


def _listed(lines: list[str]) -> str:
    """Some lines of what was found, the others counted."""
    return ("\n" + " " * 12).join(lines[:5] + [f"and {len(lines) - 5} more"] * (len(lines) > 5))


def _start(config: Config, store: Store, arguments: argparse.Namespace) -> int:
    from ..campaign import model, planning
    from ..store import campaigns
    from .run import actor

    kept = _kept(config, store, arguments.name)
    if kept.campaign.state in (model.RUNNING, model.PAUSED, model.STOPPED):
        raise _refused(kept, "one that was not started", f"upkeep campaign resume {kept.name}")
    if kept.campaign.state != model.WAITS:
        raise _refused(kept, "a plan that waits", f"upkeep campaign plan {kept.name}   (plans it anew)")
    _spec(config, kept.campaign.spec.name)
    store.check_writable()
    _needs_scheduler(store, arguments)
    with store.database.write() as connection:
        kept = campaigns.one(connection, kept.number)
        if kept.campaign.state != model.WAITS:
            raise _refused(kept, "one that was not started", f"upkeep campaign status {kept.name}")
        _refuse_changed(kept, planning.changed_since(connection, kept, config))
        if kept.waits_for_approval:
            raise UpkeepError(
                f"the campaign {kept.name} is not approved",
                expected="a person's word for its plan",
                found=f"campaign {kept.number}, planned by {kept.created_by}, waits for it",
                remedy=f"upkeep campaign status {kept.name}; then: upkeep campaign approve {kept.name}",
            )
        _refuse_overlap(kept, planning.overlap(connection, kept))
        now = time.time()
        campaigns.set_started(connection, kept.number, actor(), now)
        running = replace(kept.campaign, state=model.RUNNING)
        campaigns.save(connection, kept.number, kept.campaign, running, actor(), now)
    return _go_on(config, store, arguments, kept)


def _resume(config: Config, store: Store, arguments: argparse.Namespace) -> int:
    from ..campaign import learn, model, planning
    from ..store import campaigns
    from .run import actor

    kept = _kept(config, store, arguments.name)
    if kept.campaign.state in (model.PLANNING, model.WAITS, model.REPLACED):
        raise _refused(kept, "one that was started", f"upkeep campaign start {kept.name}")
    store.check_writable()
    _needs_scheduler(store, arguments)
    with store.database.write() as connection:
        kept = campaigns.one(connection, kept.number)
        was = kept.campaign
        if was.state in (model.PAUSED, model.STOPPED):
            _refuse_overlap(kept, planning.overlap(connection, kept))
        if was.state in (model.PAUSED, model.STOPPED) or was.ending == model.PAUSED:
            campaigns.save(connection, kept.number, was, learn.resumed(was), actor(), time.time())
    return _go_on(config, store, arguments, kept)


def _needs_scheduler(store: Store, arguments: argparse.Namespace) -> None:
    from .. import approval

    if not arguments.detach:
        return
    with store.database.read() as connection:
        at_work = approval.scheduler_at_work(connection, time.time())
    if not at_work:
        raise UpkeepError(
            "nobody would carry it on",
            expected="a scheduler at work, for --detach",
            found="none",
            remedy="leave --detach out, or start one: upkeep install-service",
        )


def _go_on(config: Config, store: Store, arguments: argparse.Namespace, kept: Kept) -> int:
    from ..campaign import drive, model, show
    from ..service import steps
    from .run import actor

    if arguments.detach:
        kept = drive.of(store, kept.number)
        if arguments.json:
            show.document(store, kept)
        else:
            show.line(f"The scheduler carries {kept.name} on. See it: upkeep campaign status {kept.name}")
        return OK
    try:
        kept = drive.drive(store, config, kept.number, actor(), _say)
    finally:
        steps.outgoing(store, config, OUTGOING)
    if arguments.json:
        show.document(store, kept)
    else:
        show.status(store, config, kept)
    if any(host.failed for host in kept.campaign.hosts):
        return HOSTS_FAILED
    # Under way, and yet nothing is to be done here: it waits for a person.
    return NOT_RUN if kept.campaign.state == model.RUNNING else OK


def _pause(config: Config, store: Store, arguments: argparse.Namespace) -> int:
    from ..campaign import drive, model
    from .run import actor

    kept = _kept(config, store, arguments.name)
    if kept.campaign.state != model.RUNNING:
        raise _refused(kept, "one that is under way", f"upkeep campaign status {kept.name}")
    kept = drive.pause(store, kept.number, actor(), " ".join(arguments.words), time.time())
    return _told(store, arguments, kept, _ending(kept, model.PAUSED))


def _abort(config: Config, store: Store, arguments: argparse.Namespace) -> int:
    from ..campaign import model
    from ..store import campaigns
    from .run import actor

    number = _kept(config, store, arguments.name).number
    with store.database.write() as connection:
        kept = campaigns.one(connection, number)
        was = kept.campaign
        if was.state in model.ENDED:
            raise _refused(kept, "one that is not over", f"upkeep campaign status {kept.name}")
        why = " ".join(arguments.words)
        said = f"by {actor()}" + (f": {why}" if why else "")
        now_on = replace(was, ending=model.ABORTED, why=said)
        if was.state != model.RUNNING:
            now_on = replace(was, state=model.ABORTED, ending="", why=said)
        campaigns.save(connection, number, was, now_on, actor(), time.time())
        kept = campaigns.one(connection, number)
    return _told(store, arguments, kept, _ending(kept, model.ABORTED))


def _ending(kept: Kept, word: str) -> str:
    """What is told of a campaign that is to end in a state."""
    working = [host.name for host in kept.campaign.hosts if host.at_work]
    if kept.campaign.state == word:
        return f"{word.capitalize()}: {kept.name}."
    if not working:
        return f"To be {word}: {kept.name}, by whoever carries it out; or: upkeep campaign resume {kept.name}"
    named = ", ".join(working[:5]) + (f" and {len(working) - 5} more" if len(working) > 5 else "")
    first = "they come to their end first" if word == "paused" else "what is changed comes to its end first"
    return (
        f"To be {word}: {kept.name}. At work: {named}; {first}, by whoever carries it out. If nobody does: upkeep "
        f"campaign resume {kept.name}"
    )


def _told(store: Store, arguments: argparse.Namespace, kept: Kept, said: str) -> int:
    from ..campaign import show

    if arguments.json:
        show.document(store, kept)
    else:
        show.line(said)
    return OK


def _release(config: Config, store: Store, arguments: argparse.Namespace) -> int:
    from ..campaign import learn, model
    from ..store import audit, campaigns
    from .run import actor

    kept = _kept(config, store, arguments.name)
    held = {host.name for host in kept.campaign.hosts if host.state == model.QUARANTINED}
    wrong = [name for name in arguments.words if name not in held]
    if wrong:
        raise UpkeepError(
            f"{', '.join(wrong)}: not in quarantine",
            expected=f"hosts that {kept.name} has quarantined: {', '.join(sorted(held)) or 'there is none'}",
            found="; ".join(f"{host.name}: {host.state}" for host in kept.campaign.hosts if host.name in wrong)
            or "no host of it",
            remedy=f"upkeep campaign status {kept.name}",
        )
    store.check_writable()
    with store.database.write() as connection:
        kept = campaigns.one(connection, kept.number)
        now = time.time()
        released = learn.release(kept.campaign, arguments.words, unverified=arguments.unverified)
        campaigns.save(connection, kept.number, kept.campaign, released, actor(), now)
        detail = {"name": kept.name, "hosts": arguments.words, "unverified": arguments.unverified}
        audit.write(connection, actor(), "campaign.released", f"campaign {kept.number}", detail, now)
    return _go_on(config, store, arguments, kept)


def _status(config: Config, store: Store, arguments: argparse.Namespace) -> int:
    from ..campaign import show

    kept = _kept(config, store, arguments.name)
    if arguments.json:
        show.document(store, kept)
    else:
        show.status(store, config, kept)
    return OK


def _list(config: Config, arguments: argparse.Namespace) -> int:
    from ..campaign import show

    if config.store_url is None and not (config.home / "upkeep.db").exists():  # none is made for the question
        show.listed(config, [], as_json=arguments.json)
        return OK
    from ..store import campaigns, open_store

    with open_store(config.store_url, config.home) as store, store.database.read() as connection:
        show.listed(config, campaigns.listed(connection, 20), as_json=arguments.json)
    return OK


_DO: dict[str, Any] = {
    "plan": _plan,
    "status": _status,
    "approve": _approve,
    "start": _start,
    "pause": _pause,
    "resume": _resume,
    "abort": _abort,
    "release": _release,
}
