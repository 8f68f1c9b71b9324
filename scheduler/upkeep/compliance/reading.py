# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report out of the store: what judge.py needs, read in one transaction that the caller holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..store import pending
from . import judge
from .settings import DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sqlalchemy import Connection

    from ..store.missing import Episode
    from .settings import Settings

OS = "os"
"""The subject of the states that are reported on."""


def report(
    connection: Connection,
    policy: Settings,
    now: float,
    since: float,
    groups: Mapping[str, Collection[str]] | None,
    *,
    history: bool = True,
    chosen: Callable[[str, Collection[str]], bool] | None = None,
) -> judge.Report:
    """How hosts stand, and what became of missing patches since a moment.

    ``groups``: of each host of the inventory; None: not known, then each host that was looked at. ``history``: also the
    trend. ``chosen``: only these hosts, by name and groups. Raises CannotCheck when the vulnerability data cannot be
    read.
    """
    moments = judge.moments(since, now) if history else []
    gone_since = min([since, *(2 * one - moments[1] for one in moments[:1])])
    looks = pending.hosts(connection, OS)
    names = sorted(looks if groups is None else groups)
    if policy.leave_out is not None:
        names = [name for name in names if not judge.fits(policy.leave_out, name, (groups or {}).get(name, ()))]
    if chosen is not None:
        names = [name for name in names if chosen(name, (groups or {}).get(name, ()))]
    wanted = set(names)
    of = {name: (groups or {}).get(name, ()) for name in names}
    episodes: dict[str, list[Episode]] = {
        host: some
        for host, some in pending.missing(connection, OS, gone_since=gone_since, security=not policy.ordinary).items()
        if host in wanted
    }
    exploited: dict[str, float] = {}
    if policy.vulnerability_data is not None:
        from .ratings import rate  # only for who has such data

        episodes, exploited = rate(policy.vulnerability_data, looks, episodes)
    missing = {host: [one for one in some if one.gone_seen is None] for host, some in episodes.items()}
    gone = {
        host: [one for one in some if one.security and one.gone_at is not None and one.gone_at >= since]
        for host, some in episodes.items()
    }
    made = judge.Report(now, since, left_out=0 if groups is None else len(set(looks) - set(groups)))
    chosen_looks = {name: look for name, look in looks.items() if name in wanted}
    made.hosts = judge.judged(policy, now, chosen_looks, missing, None if groups is None else of, exploited)
    made.took = judge.took(policy, gone, of, exploited)
    made.went = judge.went(gone)
    made.groups = judge.by_group(made.hosts, gone)
    made.exceptions = judge.exceptions(policy, now, names, missing, of)
    if history:
        seen = pending.looks(connection, OS, moments[0] - max(policy.not_known_after, 400 * DAY))
        made.trend = judge.trend(policy, moments, names, seen, episodes, of, exploited)
    return made
