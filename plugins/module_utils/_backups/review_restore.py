# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The trial restores of a host: each series of each repository, put together as ``restic_restore_test``'s result."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck, Review, plain
from . import judge_restore, scratch
from . import sample as sampling
from .info import own_names
from .info import repositories as repositories_of
from .judge_snapshots import same_host, span
from .leftovers import clear_away
from .restic import Limits, Repository, Restic
from .restic_errors import FULL, NO_WAY, Kind, ResticError, report
from .restore import Trial, spool, spool_folder
from .series import DAY, Series, group

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._host import Host
    from .model import Snapshot


OPENED = (
    *(Kind.MISSING, Kind.EMPTY, Kind.NO_CONFIG, Kind.CONFIG_DAMAGED, Kind.KEY_DAMAGED, Kind.UNREACHABLE),
    *(Kind.UNTRUSTED, Kind.REFUSED, Kind.DENIED, Kind.WRONG_PASSWORD, Kind.NO_PASSWORD, Kind.NO_KEY),
    *(Kind.NOT_RESTIC, Kind.TOO_OLD),
)
"""What a repository that told its snapshots does not suffer from."""
_ID = 6
"""Characters that the beginning of a snapshot's id must have: fewer would be a matter of chance."""


def review(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``restic_restore_test`` (see the module's RETURN), as plain values.

    ``options`` are those of options_restore.ARGUMENT_SPEC, and ``check_mode``: then nothing is restored.
    """
    reviewed = Review("backup")
    found: Sequence[Repository] = ()
    if options["discover"]:
        with reviewed.check("backup.repository.not_understood"):
            found, unclear = repositories_of(host)
            reviewed.findings += unclear
    swept = clear_away(reviewed, options)
    named = [Repository.of(one) for one in options["repositories"]]
    # As backup_info and restic_check do: two spellings of one place are one.
    locations = {(one.local or one.location).rstrip("/") for one in named}
    repositories = [*named, *(one for one in found if (one.local or one.location).rstrip("/") not in locations)]
    if not repositories:
        reviewed.skip(
            "backup.restore.failed",
            "no repository is named, and none was found on this host",
            "Name it: option repositories.",
        )
    tests = []
    for repository in repositories:
        with reviewed.check("backup.restore.tested", repository.name):
            tests += _repository(reviewed, host, repository, options)
    return {**plain({"tests": tests, "swept": swept}), **reviewed.result()}


def _repository(
    reviewed: Review, host: Host, repository: Repository, options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The trial restores of one repository."""
    limits = Limits.of(options)
    # The cache would prove this host's copy of the structure, and not the repository's.
    with Restic(host, repository, options["program"], limits, no_cache=True) as restic:
        began = time.monotonic()
        _guess(restic, options, own_names(host))
        try:
            snapshots = restic.snapshots()
        except ResticError as error:
            report(reviewed, repository.name, error)
            return []
        start = time.monotonic() - began
        for kind in OPENED:
            reviewed.covered(ResticError(kind, "").check, repository.name)
        wanted, left_out = _wanted(snapshots, options, own_names(host))
        if not wanted:
            _none(reviewed, repository, snapshots, options)
            return left_out
        tests = []
        for series, snapshot in wanted:
            try:
                tests.append(_series(reviewed, host, restic, series, snapshot, options, start))
            except ResticError as error:
                report(reviewed, repository.name, error)
                if error.kind in NO_WAY:
                    break  # the next one would wait as long
        return tests + left_out


def _guess(restic: Restic, options: Mapping[str, Any], own: Sequence[str]) -> None:
    """Begin to list the snapshot that will most likely be restored first. With one core there is nothing to gain.

    What somebody else's program opens is opened once at a time: a command for the password may ask a person or a
    device, and two rclones that renew one token at once may lose it.
    """
    repository = restic.repository
    alone = repository.password_command or any("COMMAND" in name for name in repository.environment)
    if alone or re.match("rclone:|$", repository.location) or repository.environment_file:
        return
    if len(os.sched_getaffinity(0)) < 2:
        return
    asked, hosts = options["snapshot"], options["hosts"] or own
    if asked == "latest":
        restic.begin_ls(asked, () if any(set(host) & set("*?[") for host in hosts) else hosts)
    elif len(asked) >= _ID:
        restic.begin_ls(asked)


def _wanted(
    snapshots: Sequence[Snapshot], options: Mapping[str, Any], own: Sequence[str]
) -> tuple[list[tuple[Series, Snapshot]], list[dict[str, Any]]]:
    """The series with the snapshot of each that is to be restored, and those that are left out, with the reason."""
    asked = options["snapshot"]
    if asked != "latest":
        if len(asked) < _ID:
            return [], []
        for series in group(snapshots, options["group_by"]):
            for snapshot in series.snapshots:
                if snapshot.id.startswith(asked):
                    return [(series, snapshot)], []
        return [], []
    hosts = options["hosts"] or list(own)
    found = [
        series
        for series in group(snapshots, options["group_by"])
        if any(same_host(series.host, pattern) for pattern in hosts)
    ]
    newest = {series.host: max(s.newest.time for s in found if s.host == series.host) for series in found}
    wanted: list[tuple[Series, Snapshot]] = []
    left_out: list[dict[str, Any]] = []
    # The newest comes first: it is the one whose listing is there already, see _guess().
    for series in sorted(found, key=lambda one: -one.newest.time):
        behind = newest[series.host] - series.newest.time
        if behind > options["series_max_age_days"] * DAY:
            left_out.append(
                {
                    "series": series.subject(""),
                    "outcome": "left out",
                    "why": "it ended %s before the newest snapshot of its host" % span(behind),
                }
            )
        else:
            wanted.append((series, series.newest))
    return wanted, left_out


def _none(reviewed: Review, repository: Repository, snapshots: Sequence[Snapshot], options: Mapping[str, Any]) -> None:
    hosts = sorted({one.host for one in snapshots})
    what = "the snapshot %s" % options["snapshot"]
    if options["snapshot"] == "latest":
        what = "a snapshot of %s" % (", ".join(options["hosts"]) or "this host")
    reviewed.found(
        "backup.restore.nothing_restored",
        repository.name,
        "critical",
        "Nothing could be restored: the repository %s does not hold %s." % (repository.name, what),
        ["it holds %d snapshots" % len(snapshots), *("of the host %s" % host for host in hosts)],
        "See whether the backup job runs and writes here; for another host's snapshots set the option hosts.",
    )


def _series(
    reviewed: Review,
    host: Host,
    restic: Restic,
    series: Series,
    snapshot: Snapshot,
    options: Mapping[str, Any],
    start: float,
) -> dict[str, Any]:
    """The trial restore of one series."""
    try:
        return _trial(reviewed, host, restic, series, snapshot, options, start)
    except OSError as error:
        if error.errno not in FULL:
            raise
        subject = series.subject(restic.repository.name)
        why = "the folder in which its names are kept became full (%s)" % spool_folder(options["scratch"])
        reviewed.found(
            "backup.restore.no_room",
            subject,
            "high",
            "The snapshot %s was not restored: %s." % (snapshot.short_id, why),
            [str(error)],
            "Make room there, or name another folder (option scratch, backup_review_scratch).",
        )
        now = host.now()
        words = "Snapshot %s could not be restored: %s." % (snapshot.short_id, why)
        if not options.get("check_mode"):
            check = "backup.restore.whole" if options["mode"] == "full" else "backup.restore.sample"
            reviewed.proof(check, subject, "cannot", now, now, words, {"snapshot": snapshot.id})
        return {"subject": subject, "mode": options["mode"], "outcome": "cannot", "snapshot": snapshot.id}


def _trial(
    reviewed: Review,
    host: Host,
    restic: Restic,
    series: Series,
    snapshot: Snapshot,
    options: Mapping[str, Any],
    start: float,
) -> dict[str, Any]:
    began = host.now()
    subject = series.subject(restic.repository.name)
    memory = _Memory(host, options["history_dir"], restic.repository, subject)
    trial = Trial(restic, snapshot, options, memory.turn, began)
    compare, why_not = _compare(host, options, snapshot)
    with spool(options["scratch"]) as stream:
        live = trial.plan(stream, start, compare, why_not)
        outcome = trial.outcome
        shown = {"subject": subject, "mode": options["mode"], "repository": restic.repository.shown}
        if options.get("check_mode"):
            _plan_only(reviewed, restic.repository.name, subject, trial, options)
            return {**shown, "outcome": "planned", **judge_restore.details(outcome, host.now())}
        if outcome.disorder is None:
            try:
                trial.carry_out(live)
            except scratch.Unfit as unfit:
                raise CannotCheck(unfit.why, unfit.remedy) from None
        verdict = judge_restore.judge(
            reviewed, restic.repository.name, subject, outcome, options, memory.history, began
        )
        judge_restore.judge_round(reviewed, subject, outcome)
        details = judge_restore.details(outcome, began)
    ended = host.now()
    if outcome.verified is not None and outcome.verified.ended:
        error = memory.keep(outcome.sample, judge_restore.remembered(outcome, began))
        if error:
            reviewed.found(
                "backup.restore.history",
                subject,
                "low",
                "The place in the sample and the trend could not be kept, so the next run begins anew.",
                ["%s: %s" % (memory.path, error)],
                "Make the folder writable for this account (option history_dir).",
            )
        reviewed.covered("backup.restore.history", subject)
    reviewed.proof(
        "backup.restore.whole" if options["mode"] == "full" else "backup.restore.sample",
        subject,
        verdict,
        began,
        ended,
        judge_restore.summary(outcome, verdict),
        {
            **details,
            "repository": restic.repository.shown,
            "program": "restic %d.%d.%d" % restic.version(),
            "restored_on": own_names(host)[0],
            "account_uid": os.geteuid(),
            "run": options["run"],
        },
    )
    return {**shown, "outcome": verdict, **details}


def _plan_only(reviewed: Review, repository: str, subject: str, trial: Trial, options: Mapping[str, Any]) -> None:
    """What check mode tells: the room is asked for, nothing is made."""
    outcome = trial.outcome
    if outcome.disorder is not None:
        judge_restore.judge(reviewed, repository, subject, outcome, options, [], 0.0)
        return
    reserve = options.get("reserve_mib")
    try:
        scratch.check_room(
            options["scratch"],
            outcome.needs_bytes,
            outcome.needs_names,
            None if reserve is None else reserve << 20,
        )
    except scratch.NoRoom as no_room:
        outcome.no_room = no_room
        judge_restore.judge(reviewed, repository, subject, outcome, options, [], 0.0)
    except scratch.Unfit as unfit:
        raise CannotCheck(unfit.why, unfit.remedy) from None
    reviewed.skip("backup.restore.failed", "nothing is restored in check mode", "Run without check mode.")


def _compare(host: Host, options: Mapping[str, Any], snapshot: Snapshot) -> tuple[bool, str]:
    """Whether the live tree is compared, and why not."""
    if options["source"] == "never":
        return False, "the option source says never"
    if options["source"] == "always" or any(same_host(snapshot.host, name) for name in own_names(host)):
        return True, ""
    return False, "the snapshot is of the host %s, and this is %s" % (snapshot.host, own_names(host)[0])


class _Memory:
    """What is kept of a series between two runs: the place in the sample's round, and the times for the trend."""

    def __init__(self, host: Host, folder: str, repository: Repository, subject: str) -> None:
        self.host = host
        key = hashlib.sha256(("%s\0%s" % (repository.shown, subject)).encode("utf-8", "replace")).hexdigest()[:16]
        self.path = os.path.join(folder, "restore-%s.json" % key)
        kept: Any = None
        try:
            kept = json.loads(host.read(self.path, 1 << 20) or "null")
        except (ValueError, RecursionError):
            kept = None
        kept = kept if isinstance(kept, dict) else {}
        turn, history = kept.get("turn"), kept.get("history")
        self.subject = subject
        self.turn: dict[str, Any] = turn if isinstance(turn, dict) else {}
        self.history: list[dict[str, Any]] = history if isinstance(history, list) else []

    def keep(self, chosen: sampling.Sample | None, run: dict[str, Any] | None) -> str:
        """Write it; the error as a text, empty if it went well."""
        turn = self.turn if chosen is None else sampling.after(chosen.turn)
        runs = self.turn.get("runs")
        turn = dict(turn, runs=runs + 1 if isinstance(runs, int) and not isinstance(runs, bool) else 1)
        history = (self.history + ([run] if run else []))[-judge_restore.HISTORY :]
        return self.host.write(
            self.path, json.dumps({"subject": self.subject, "turn": turn, "history": history}, indent=1) + "\n"
        )
