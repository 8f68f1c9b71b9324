# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What self-review finds where upkeep.yml has a policy; it becomes tickets and messages by the way of all findings.

``patch.compliance.overdue``             a host lacks a patch for longer than allowed; resolved when it has it
``patch.compliance.not_known``           a host of which nobody knows what it lacks
``patch.compliance.exception_expired``   an exception that is over and still stands in upkeep.yml, or is over soon
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import CannotCheck

from .. import moments
from ..notify.groups import groups_of_hosts
from ..store import pending
from . import judge
from .reading import report
from .settings import KNOWN_EXPLOITED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection

    from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review

    from ..config import Config
    from .settings import Settings

OVERDUE = "patch.compliance.overdue"
NOT_KNOWN = "patch.compliance.not_known"
EXPIRED = "patch.compliance.exception_expired"
CHECKS = (OVERDUE, NOT_KNOWN, EXPIRED)

AGAIN = 600.0
"""Seconds after which it is judged again although nothing was recorded: limits are days."""

_last: tuple[object, float, judge.Report] | None = None


def look(connection: Connection, review: Review, config: Config, now: float) -> None:
    """All checks."""
    with review.check(OVERDUE):
        for host in judged(connection, config, now).hosts:
            if host.state == judge.OVERDUE:
                _overdue(review, host)
    with review.check(NOT_KNOWN):
        for host in judged(connection, config, now).hosts:
            if host.why:
                _not_known(review, host)
        if config.compliance is not None and groups_of_hosts(config) is None:
            why = "the inventory cannot be read, so nobody knows which hosts were never looked at"
            raise CannotCheck(why, "See what is wrong with it: upkeep doctor")
    with review.check(EXPIRED):
        for one in judged(connection, config, now).exceptions:
            if one.state != "stands":
                _expired(review, config, one)


def known_groups(config: Config, policy: Settings) -> Mapping[str, Collection[str]] | None:
    """The groups of each host; None when the inventory cannot be read and is not needed. Raises CannotCheck."""
    groups = groups_of_hosts(config)
    if groups is None and policy.needs_groups:
        raise CannotCheck(
            "the policy names groups, and the inventory cannot be read", "See what is wrong with it: upkeep doctor"
        )
    return groups


def judged(connection: Connection, config: Config, now: float) -> judge.Report:
    """The report over metrics.window, made again when something was recorded, and now and then.

    Raises CannotCheck.
    """
    global _last  # noqa: PLW0603 - one policy and one store a process
    policy = config.compliance
    if policy is None:
        return judge.Report(now, now)  # nothing is promised; what a policy found before is over
    key = (str(connection.engine.url), policy, pending.newest_look(connection))
    if _last is not None and _last[0] == key and 0 <= now - _last[1] < AGAIN:
        return _last[2]
    since = now - config.metrics.window
    made = report(connection, policy, now, since, known_groups(config, policy), history=False)
    _last = (key, now, made)
    return made


def _overdue(review: Review, host: judge.Host) -> None:
    worst = host.overdue[0]
    urgent = [patch for patch in host.overdue if patch.severity in (KNOWN_EXPLOITED, "critical")]
    cannot = f" What is known is of some time ago: {host.why}." if host.why else ""
    review.found(
        OVERDUE,
        host.name,
        "high" if urgent else "medium",
        f"{host.name} lacks {len(host.overdue)} patch(es) for longer than allowed; {worst.name} ({_word(worst)}) for "
        f"{worst.age_days:.0f} days of {worst.allowed_days:g}.{cannot}",
        [
            f"{patch.name} {patch.installed} -> {patch.candidate}: {_word(patch)}, for {patch.age_days:.0f} of "
            f"{patch.allowed_days:g} days" + "".join(f"; {more}" for more in (patch.left_out, *patch.cves[:4]) if more)
            for patch in host.overdue
        ],
        f"ansible-playbook upkeep.maintenance.os_patch --limit {host.name}, or a campaign; what cannot be patched yet "
        "belongs into compliance.exceptions of upkeep.yml, with its reason.",
        {"patches": len(host.overdue), "since": worst.since, "due": worst.due, "allowed_days": worst.allowed_days},
    )


def _word(patch: judge.Patch) -> str:
    return patch.severity.replace("_", " ")


def _not_known(review: Review, host: judge.Host) -> None:
    review.found(
        NOT_KNOWN,
        host.name,
        "medium",
        f"It is not known which patches {host.name} lacks: {host.why}.",
        [f"missing when it was last known: {len(host.missing)} patch(es)"] if host.known is not None else [],
        f"upkeep run patch_state --limit {host.name}; what is patched by other means belongs into compliance.leave_out "
        "of upkeep.yml.",
        {"looked": host.looked, "known": host.known},
    )


def _expired(review: Review, config: Config, one: judge.ExceptionState) -> None:
    last = moments.plain(one.exception.until - 1, config.time_zone)[:10]
    over = one.state == "expired"
    review.found(
        EXPIRED,
        str(one.exception),
        "medium" if over else "low",
        f"The exception for {one.exception} {'is over since' if over else 'is over after'} {last}.",
        [f"its reason: {one.exception.reason}", f"it is for {one.patches} missing patch(es) of {one.hosts} host(s)"],
        "Patch them and take the exception out of upkeep.yml, or give it a new day and say why.",
        {"until": one.exception.until, "patches": one.patches, "hosts": one.hosts},
    )
