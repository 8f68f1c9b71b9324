# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results of ``backup_info``, ``backup_check`` and ``backup_restore_test``: other engines, the same findings."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck, Review, plain
from . import judge_snapshots, promise, verify
from .engine import Engine, make
from .info import own_names
from .judge_snapshots import Seen
from .leftovers import clear_away
from .listing import escaped
from .names import Names, odd
from .restic_errors import FULL, ResticError, report
from .scratch import NoRoom, Scratch, Unfit
from .verify import Abilities, Selection, Verified, Verifier
from .verify_source import Source
from .verify_walk import walk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from .._host import Host
    from .model import Snapshot
    from .series import Series
    from .verify_walk import Seen as Walked

REMEDIES = {
    "backup.snapshot.none": "See that the backup's job runs and where it writes to, and start it by hand.",
    "backup.snapshot.stale": "See why the backup's job stopped (its timer, its log), start it by hand, and list again.",
    "backup.snapshot.gap": "See in the logs of those days why the backup's job did not run.",
    "backup.snapshot.shrunk": "See what the last backup lacks; where that was meant, set a lower shrunk_percent.",
    "backup.snapshot.future": "Set the clock right on the host that was backed up (timedatectl).",
    "backup.snapshot.retention": "See what deletes old backups (borg prune, the program's own policy), and how often.",
    "backup.snapshot.foreign": "Name the hosts that it is for in a policy (hosts; backup_review_policies).",
    "": "See the backup's job and its log.",
}
NAME_BYTES = 4096
"""Bytes that a name takes beside its content."""


def info(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``backup_info``: reads only."""
    made = Review("backup")
    names = [*options["hosts"], *own_names(host)]
    told, series = [], []
    judged: dict[str, list[Series]] = {}
    closed: list[str] = []
    for params in options["repositories"]:
        engine = make(host, params, options)
        one: dict[str, Any] = {"name": engine.name, "engine": params["engine"], "opened": False, "fault": None}
        told.append(one)
        snapshots = _asked(made, engine, one)
        if snapshots is None:
            closed.append(engine.name)
            continue
        one["snapshots"] = len(snapshots)
        seen = Seen(engine.name, engine.shown, one["version"], None, tuple(snapshots), ())
        before = len(made.findings)
        stood = judge_snapshots.judge_series(made, seen, options["policies"], options, names, host.now())
        for finding in made.findings[before:]:
            # The judges are shared, and speak of restic where they say what to do.
            finding["remedy"] = REMEDIES.get(finding["check"], REMEDIES[""])
        series += [judge_snapshots.told(seen, standing) for standing in stood]
        judged[engine.name] = [standing.series for standing in stood]
        if any(standing.policy.paths for standing in stood):
            made.skip("backup.snapshot.path_missing", "names in %s are not listed, nor looked for" % engine.name)
    judge_snapshots.judge_policies(
        made, judge_snapshots.policies_naming((*judged, *closed), options["policies"]), judged, closed
    )
    return {**plain({"repositories": told, "series": series}), **made.result()}


def _asked(made: Review, engine: Engine, told: dict[str, Any]) -> list[Snapshot] | None:
    """The snapshots of a repository; None when it does not open, which is told."""
    try:
        told["version"] = engine.version()
        snapshots = engine.snapshots()
    except ResticError as error:
        told["fault"] = error.kind
        report(made, engine.name, error)
        return None
    told["opened"] = True
    for fault in ("missing", "unreachable", "wrong_password", "no_password", "no_key", "config_damaged", "locked"):
        made.covered("backup.repository." + fault, engine.name)
    made.covered("backup.repository.failed", engine.name)
    made.covered("backup.program.missing", engine.name)
    return snapshots


def check(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``backup_check``: the structure, and with ``data`` every byte."""
    made = Review("backup")
    told = []
    names = ["backup.structure.damaged", *(["backup.data.damaged"] if options["data"] else [])]
    for params in options["repositories"]:
        engine = make(host, params, options)
        one: dict[str, Any] = {"name": engine.name, "engine": params["engine"], "fault": None}
        told.append(one)
        if options.get("check_mode"):
            one["outcome"] = "not checked"
            continue
        if params["engine"] == "command" and not params.get("check_command"):
            for name in names:
                made.skip(
                    name,
                    "%s has no check_command" % engine.name,
                    "Give it one (backup_review_engines).",
                )
            continue
        began = host.now()
        try:
            checked = engine.check(options["data"])
        except ResticError as error:
            one["fault"] = error.kind
            report(made, engine.name, error)
            continue
        for name in names:
            made.covered(name, engine.name)
        one["damaged"] = checked.damaged
        summary = "The repository %s was checked%s: " % (engine.name, ", every byte of it" if options["data"] else "")
        if checked.damaged:
            made.found(
                names[-1],
                engine.name,
                "critical",
                "The repository %s is damaged." % engine.name,
                checked.lines,
                engine.repair.replace("REPOSITORY", engine.shown) + ".",
                {"engine": params["engine"]},
            )
        made.proof(
            "backup.data.read" if options["data"] else "backup.structure.checked",
            engine.name,
            "failed" if checked.damaged else "passed",
            began,
            host.now(),
            summary + ("it is damaged." if checked.damaged else "nothing is wrong."),
            {"engine": params["engine"], "said": checked.lines[-20:]},
        )
    return {**plain({"repositories": told}), **made.result()}


def restore_test(host: Host, options: Mapping[str, Any]) -> dict[str, Any]:
    """The result of ``backup_restore_test``: the newest snapshot restored into a scratch place, and compared."""
    made = Review("backup")
    swept = clear_away(made, options)
    told = []
    for params in options["repositories"]:
        trial = _Trial(host, options, make(host, params, options), made)
        with made.check("backup.restore.failed", trial.engine.name):
            trial.run()
        told.append(trial.facts)
    return {**plain({"restores": told, "swept": swept}), **made.result()}


class _Trial:
    """One repository's trial restore."""

    def __init__(self, host: Host, options: Mapping[str, Any], engine: Engine, made: Review) -> None:
        self.host = host
        self.options = options
        self.engine = engine
        self.review = made
        self.facts: dict[str, Any] = {"name": engine.name, "outcome": "cannot"}
        self._against: list[str] = []
        """What that which was restored was compared with."""
        self._proven = False
        """Whether that says anything of the content."""

    def run(self) -> None:
        began = self.host.now()
        try:
            snapshot = self._snapshot(self.engine.snapshots())
            if snapshot is None:
                self.review.found(
                    "backup.snapshot.none",
                    self.engine.name,
                    "critical",
                    "The repository %s has no such snapshot to restore." % self.engine.name,
                    remedy="See its job, and the options snapshot and host.",
                )
                return
            self.facts.update(snapshot=snapshot.short_id, taken=snapshot.time, host=snapshot.host)
            self._restore(snapshot, began)
        except ResticError as error:
            report(self.review, self.engine.name, error)
            self._prove(began, "cannot", "could not be restored: %s." % error.why)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._no_room([str(error)], "Make room in /var/tmp, or set TMPDIR to another folder.")
            self._prove(began, "cannot", "could not be restored: there is no room for the list of its names.")

    def _snapshot(self, snapshots: Sequence[Snapshot]) -> Snapshot | None:
        wanted = self.options["snapshot"]
        if wanted != "latest":
            return next((one for one in snapshots if wanted in (one.id, one.short_id)), None)
        fitting = [one for one in snapshots if not self.options["host"] or one.host == self.options["host"]]
        return max(fitting, key=lambda one: one.time) if fitting else None

    def _restore(self, snapshot: Snapshot, began: float) -> None:
        with contextlib.closing(Names(self._wanted)) as names:
            listed = self.engine.ls(snapshot, names)
            names.done()
            self._restore_listed(snapshot, began, names if listed else None)

    def _restore_listed(self, snapshot: Snapshot, began: float, names: Names | None) -> None:
        """Restore, and compare with the ``names`` that the snapshot has, where its program tells them."""
        if names is not None:
            size, count = names.bytes, names.entries
        else:
            size, count = int(self.options["expected_bytes"] or snapshot.bytes or 0), snapshot.files or 0
        self.facts.update(needs_bytes=size + count * NAME_BYTES, listed=names is not None)
        if names is not None and not names.entries:
            self._nothing("the snapshot holds nothing of %s" % (", ".join(self.options["paths"]) or "anything"))
            self._prove(began, "failed", "was not restored: it holds nothing of what was asked for.")
            return
        if self.options.get("check_mode"):
            self.facts["outcome"] = "not tested"
            return
        place = Scratch(
            self.options["scratch"], "files", self.facts["needs_bytes"], needs_files=count, run=self.options["run"]
        )
        try:
            with place:
                clock = time.monotonic()
                self.engine.restore(snapshot, place.path, self.options["paths"])
                self.facts["seconds"] = round(time.monotonic() - clock, 2)
                bad = self._compare(snapshot, place.path, names)
        except Unfit as unfit:
            raise CannotCheck(unfit.why, unfit.remedy) from unfit
        except NoRoom as room:
            self._no_room([str(room)], "Make room, or name another folder: scratch (backup_review_scratch).")
            self._prove(began, "cannot", "could not be restored: there is not the room.")
            return
        if place.left:
            self.review.found(
                "backup.restore.leftovers",
                self.engine.name,
                "medium",
                "What this test restored could not be removed.",
                place.left,
                "See what holds it (findmnt, lsof); the next run tries again.",
            )
        self.review.covered("backup.restore.no_room", self.engine.name)
        if not place.left:
            self.review.covered("backup.restore.leftovers", self.engine.name)
        words = "was restored (%d files, %d bytes)" % (self.facts["files"], self.facts["bytes"])
        against = " and ".join(self._against) or "nothing"
        outcome = "failed" if bad else "passed" if self._proven else "cannot"
        self._prove(began, outcome, "%s and compared with %s." % (words, against))

    def _no_room(self, evidence: Sequence[str], remedy: str) -> None:
        summary = "There is not the room to restore %s on trial." % self.engine.name
        self.review.found("backup.restore.no_room", self.engine.name, "high", summary, evidence, remedy)

    def _wanted(self, path: str) -> bool:
        paths = [one.rstrip("/") for one in self.options["paths"]]
        return not paths or any(path == one or path.startswith(one + "/") for one in paths)

    def _compare(self, snapshot: Snapshot, top: str, names: Names | None) -> bool:
        """Whether what came back is not what should."""
        root = self.host.is_root()
        source = Source(snapshot.time, root) if self.options["compare"] else None
        live = self.options["source_root"] if source else None
        verifier = Verifier(Abilities(root), Selection(()), source, set())
        awaited = promise.Awaited(snapshot)
        if names is None:
            parents = _above(snapshot.paths)
            # Each name beside itself: there is no list, and the live ones are compared on the way.
            listed = awaited.watched(walk(top, None, frozenset(), _never))
            lines: Iterable[bytes] = [one.line for one in _without(listed, parents)]
        else:
            parents, lines = names.parents, names.lines()
        walked = _without(walk(top, live, frozenset(parents), _never), parents)
        verifier.match(lines, walked if names is None else map(_as_listed, walked))
        result = verifier.result
        self.facts.update(files=result.files, bytes=result.bytes, folders=result.folders)
        if source is not None:
            self.facts.update(compared=source.compared, compared_bytes=source.compared_bytes)
        if result.files + result.folders + result.others == 0:
            self._nothing("the restore ended well, and left nothing")
            return True
        self.review.covered("backup.restore.nothing_restored", self.engine.name)
        if names is not None:
            proven = {"file_missing", "content_mismatch", "metadata_mismatch"}
            self._against = ["the snapshot's list"]
        else:
            proven = awaited.proves()
            self._against = awaited.told()
            self.facts.update(promised=awaited.facts())
        if source is not None and source.compared:
            # Folders are compared too, and say nothing of what is in them.
            proven |= {"source_differs", *(["content_mismatch"] if source.compared_bytes else [])}
            self._against.append("the live files (%d names)" % source.compared)
        bad = self._tell(result, proven, {} if names is not None else awaited.broken(result.files, result.bytes))
        with self.review.check("backup.restore.content_mismatch", self.engine.name):
            self._proven = "content_mismatch" in proven
            if not bad and not self._proven:
                raise CannotCheck(
                    "the content of what came back from %s was compared with nothing: its list_command tells no bytes, "
                    "and no live file was compared" % self.engine.name,
                    "Let list_command print files and bytes of each snapshot, or compare with the live files "
                    "(compare: backup_restore_test_engines_compare).",
                )
        return bad

    def _nothing(self, why: str) -> None:
        self.review.found(
            "backup.restore.nothing_restored",
            self.engine.name,
            "critical",
            "Nothing was restored from %s: %s." % (self.engine.name, why),
            remedy="See what the backup's job takes, and the option paths.",
        )

    def _tell(self, result: Verified, proven: Collection[str], broken: Mapping[str, list[str]]) -> bool:
        """Tell what differs. ``proven``: the checks for which there was something to compare with; ``broken``: lines
        of what a list without names promised (promise.Awaited.broken)."""
        kinds = (
            ("file_missing", "critical", (verify.MISSING,), "not there after the restore"),
            (
                "content_mismatch",
                "critical",
                (verify.CONTENT, verify.UNEXPECTED, verify.UNREADABLE),
                "other than listed",
            ),
            ("metadata_mismatch", "medium", (verify.METADATA,), "with other owners, modes or times"),
            ("source_differs", "high", tuple(verify_source_kinds()), "other than the live ones, unchanged since"),
        )
        bad = False
        for name, severity, what, words in kinds:
            check_name = "backup.restore." + name
            count = sum(result.count(one) for one in what)
            promised = broken.get(name, [])
            if count:
                verb = "is" if count == 1 else "are"
                said = "%d of the restored names of %s %s %s." % (count, self.engine.name, verb, words)
            elif promised:
                said = "What came back from %s is not what its list tells: %s." % (self.engine.name, promised[0])
            else:
                said = ""
            if said:
                bad = True
                self.review.found(
                    check_name,
                    self.engine.name,
                    severity,
                    said,
                    [*promised, *(line for one in what for line in result.told(one))],
                    self.engine.repair.replace("REPOSITORY", self.engine.shown) + ".",
                    {"count": count},
                )
            if name in proven:
                self.review.covered(check_name, self.engine.name)
        return bad

    def _prove(self, began: float, outcome: str, words: str) -> None:
        if self.options.get("check_mode"):
            return
        self.facts["outcome"] = outcome
        self.review.proof(
            # Whoever has no list has no paths to choose either.
            "backup.restore.sample" if self.options["paths"] and self.facts.get("listed") else "backup.restore.whole",
            self.engine.name,
            outcome,
            began,
            self.host.now(),
            "Snapshot %s of %s %s" % (self.facts.get("snapshot", "?"), self.engine.name, words),
            self.facts,
        )


def verify_source_kinds() -> Iterator[str]:
    """The differences from the live tree that speak against a backup."""
    yield from (verify.SOURCE_DIFFERS, verify.SOURCE_METADATA)


def _never() -> bool:
    return False


def _as_listed(one: Walked) -> Walked:
    if b"?" not in one.path:
        return one
    path = odd(one.path)
    return one._replace(path=path, line=path + one.line[len(one.path) :])


def _above(paths: Sequence[str]) -> set[bytes]:
    """The folders above what was backed up: a restore makes them, and need not make them as they were."""
    found = set()
    for path in paths:
        folder = os.path.dirname(path.rstrip("/"))
        while folder not in ("/", ""):
            found.add(escaped(folder))
            folder = os.path.dirname(folder)
    return found


def _without(walked: Iterator[Walked], parents: set[bytes]) -> Iterator[Walked]:
    return (one for one in walked if one.path not in parents)
