# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The check of restic repositories, as a module's result: the structure each time, the data part by part."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any, NamedTuple

from .._findings import CannotCheck, Review, plain
from . import check_rotation as rotation
from .check_judge import Broken, judge, judge_rotation
from .check_parse import KEPT, Damage, Output, Touched, Uses
from .judge_snapshots import STALE_LOCK, Seen, judge_repository
from .restic import CHECK_JSON, Limits, Repository, Restic
from .restic_errors import NO_WAY, OPENED, Kind, ResticError, classify, report, why
from .restic_locks import holders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._host import Host
    from .._process import Ended
    from .model import Snapshot
    from .restic_parse import Lock

_NETWORK = re.compile(
    r"dial tcp|connection (?:refused|reset)|i/o timeout|no such host|network is unreachable|no route to host|"
    r"TLS handshake|(?:500|502|503|504) |server unexpectedly closed|broken pipe"
)
_FIND_PACKS = 20
"""Packs for which the files that need them are looked for."""
_FIND_NEWEST = 5
"""Newest snapshots, one of each host and paths, that are looked at by themselves."""
_FIND_BLOBS = 2000
"""Pieces of content that are looked for at once: each is a word of a command line."""
_INDEXES_READ = 200


def review(host: Host, options: Mapping[str, Any], found: Sequence[Repository] = ()) -> dict[str, Any]:
    """The result of ``restic_check`` (see the module's RETURN), as plain values.

    ``options`` are those of options_check.ARGUMENT_SPEC, and ``check_mode``: then it only tells what it would read.
    ``found``: repositories that were found on the host beside those that the options name.
    """
    made = Review("backup")
    named = [Repository.of(one) for one in options["repositories"]]
    locations = {(one.local or one.location).rstrip("/") for one in named}
    wanted = named + [one for one in found if (one.local or one.location).rstrip("/") not in locations]
    if not wanted:
        made.skip(
            "backup.structure.damaged",
            "no repository is named, and none was found on this host",
            "Name it in repositories (backup_review_repositories).",
        )
    places = _Places(host, options["state_file"])
    deadline = host.now() + options["timeout"]
    told = []
    for repository in wanted:
        with made.check("backup.repository.checked", repository.name):
            left = deadline - host.now()
            if left < 1:
                raise CannotCheck(
                    "the time was over before its turn came",
                    "Raise timeout (backup_review_check_timeout), or check fewer at once.",
                )
            told.append(_Check(host, made, options, repository, places, left).carry_out())
    if not options.get("check_mode"):
        places.keep(made)
    return {**plain({"repositories": told}), **made.result()}


class _Places:
    """The state file: how far the reading of each repository has come."""

    def __init__(self, host: Host, path: str) -> None:
        self.host = host
        self.path = path
        self.changed: dict[str, rotation.State] = {}
        self.states, self.wrong = rotation.load(host.read(path))
        self.wrong = "it may not be read" if host.denied(path) else self.wrong

    def keep(self, made: Review) -> None:
        """Write what has changed into the file as it is now: another run may have been at work."""
        if not self.changed:
            return
        with made.check("backup.rotation.kept"):
            states, wrong = rotation.load(self.host.read(self.path))
            states.update(self.changed)
            if wrong:
                self.host.rename(self.path, self.path + ".not-understood")
            error = self.host.write(self.path, rotation.dump(states))
            if error:
                raise CannotCheck(
                    "how far the reading has come cannot be kept in %s: %s" % (self.path, error),
                    "Give it a place that this account may write to: state_file (backup_review_history_dir).",
                )


class _Ran(NamedTuple):
    damage: Damage
    complete: bool
    """Whether it came to its end by itself, with all indexes read."""
    seconds: float


class _Check:
    """The check of one repository."""

    def __init__(
        self,
        host: Host,
        made: Review,
        options: Mapping[str, Any],
        repository: Repository,
        places: _Places,
        seconds: float,
    ) -> None:
        self.host = host
        self.review = made
        self.options = options
        self.repository = repository
        self.name = repository.name
        self.places = places
        self.now = host.now()
        self.deadline = self.now + seconds
        limits = Limits.of(options)
        # The cache would prove this host's copy, and not the repository.
        self.restic = Restic(host, repository, options["program"], limits._replace(timeout=seconds), no_cache=True)
        self._unread: set[str] = set()
        """Packs for which the time did not last."""
        self.told: dict[str, Any] = {"name": self.name, "location": repository.shown, "outcome": "cannot"}

    def carry_out(self) -> dict[str, Any]:
        with self.restic:
            try:
                self._all()
            except ResticError as error:
                report(self.review, self.name, error)
                self.told["why"] = error.why
                if not self.options.get("check_mode"):
                    self.review.proof(
                        "backup.structure.checked",
                        self.name,
                        "cannot",
                        self.now,
                        self.host.now(),
                        "The repository %s could not be checked: %s." % (self.name, error.why),
                        {"kind": error.kind, "evidence": error.evidence},
                    )
        return self.told

    # -- the flow --------------------------------------------------------------------------------------------------

    def _all(self) -> None:
        version = self.restic.version()
        config = self.restic.config()
        snapshots = self.restic.snapshots()
        locks = self.restic.locks()
        packs = self.restic.packs()
        for check in OPENED:
            self.review.covered(check, self.name)
        state = self.places.states.get(config["id"], rotation.State())
        planned = self._planned(state, packs)
        self.told.update(
            id=config["id"],
            restic="%d.%d.%d" % version,
            snapshots=len(snapshots),
            packs=len(packs),
            planned={"groups": list(planned.groups), "of": planned.total, "packs": planned.packs},
        )
        if self.options.get("check_mode"):
            self.told["outcome"] = "not run"
            self.review.skip(
                "backup.structure.damaged",
                "%s is not checked in check mode: it would read the structure, and %d of %d packs"
                % (self.name, planned.packs, len(packs)),
                "Run without check mode.",
            )
            return
        self._locks(locks, config, version)
        indexes = self.restic.indexes()
        ran, read = self._read(planned, packs)
        there = set(packs)
        again = [pack for pack in state.bad if pack in there]
        fresh, checked = self._packs_read([*again, *self._new_packs(state, indexes, there, planned)], ran.damage)
        damage = ran.damage._replace(packs={**fresh, **ran.damage.packs})
        damage = self._sure(damage, locks, snapshots)
        broken = self._broken(damage, snapshots, packs, indexes)
        judge(self.review, self.name, version, broken)
        bad = [pack for pack, (what, _detail) in broken.damage.packs.items() if what == "damaged" and len(pack) == 64]
        # One that could not be read again this time is remembered.
        bad += [pack for pack in again if pack in self._unread and pack not in bad]
        state = self._moved(state, planned, read, indexes)._replace(bad=tuple(bad[: rotation.BAD_KEPT]))
        self.places.changed[config["id"]] = state
        covered = rotation.coverage(state, packs, self.options["weeks"], self.now)
        self._conclude(ran, read, planned, checked, broken.damage, covered, version, config, snapshots, packs)

    def _planned(self, state: rotation.State, packs: Sequence[str]) -> rotation.Plan:
        if not self.options["data"]:
            return rotation.Plan(1, (), state.credit, 0)
        if self.options["full"]:
            return rotation.Plan(1, (1,), 0.0, len(packs))
        return rotation.plan(state, packs, self.options["weeks"], self.now)

    def _locks(self, locks: Sequence[Lock], config: Mapping[str, Any], version: tuple[int, int, int]) -> None:
        here = {socket.gethostname(), socket.gethostname().partition(".")[0]}
        self.told["locks"] = [lock._asdict() for lock in locks[:20]]
        of_format = config.get("version")
        judge_repository(
            self.review,
            Seen(
                self.name,
                self.repository.shown,
                "%d.%d.%d" % version,
                of_format if isinstance(of_format, int) else None,
                (),
                tuple(locks),
                lock_holders=holders(self.host, locks, here),
            ),
            self.now,
        )

    def _read(self, planned: rotation.Plan, packs: Sequence[str]) -> tuple[_Ran, tuple[int, ...]]:
        """Check the structure and read the groups; what was found, and which groups were read to their end."""
        if self.options["full"] and planned.groups:
            ran = self._run(["--read-data"], packs)
            return ran, (1,) if ran.complete else ()
        subsets = ["%d/%d" % (group, planned.total) for group in planned.groups]
        first = self._run(["--read-data-subset=%s" % subsets[0]] if subsets else [], packs)
        read = planned.groups[:1] if first.complete else ()
        for group, subset in zip(planned.groups[1:], subsets[1:]):
            # More than one is due when runs were missed. After damage there is something else to do than to go on.
            if not first.complete or first.damage.structure or self._left() < 60:
                break
            more = self._run(["--read-data-subset=%s" % subset], packs)
            first = _Ran(_joined(first.damage, more.damage), first.complete, first.seconds + more.seconds)
            if not more.complete:
                break
            read = (*read, group)
        return first, read

    def _run(self, asked: Sequence[str], packs: Sequence[str]) -> _Ran:
        """One ``restic check``. Raises ResticError where it tells nothing about the repository."""
        output = Output()
        words = ["check", *(["--json"] if self.restic.version() >= CHECK_JSON else []), *asked]
        ended = self.restic.ask(
            words, on_line=output.line, on_error_line=output.line, timeout=self._left(), accept=(0, 1, None)
        )
        damage = output.damage(list(packs))
        if ended.rc == 0:
            damage = damage._replace(other=())
            return _Ran(damage, True, ended.seconds)
        self._outage(output, ended, words)
        kind = classify(ended)
        known = damage._replace(other=())
        if not (known.structure or known.data):
            if kind not in (Kind.CORRUPT, Kind.UNKNOWN) or ended.rc is None:
                raise self.restic.failure(ended, words)
            if not damage.other:
                damage = damage._replace(other=("restic check ended with exit code %s and named nothing" % ended.rc,))
        if ended.rc is None:
            self.told["ended_by"] = ended.ended_by
        # Data that no index names is not read either.
        complete = ended.rc is not None and not damage.indexes and not damage.not_indexed
        return _Ran(damage, complete, ended.seconds)

    def _outage(self, output: Output, ended: Ended, words: Sequence[str]) -> None:
        """A network that went away while it read is no damage of the repository."""
        if self.repository.local is not None:
            return
        lines = [line for line in (*output.said, *output.kept["other"]) if _NETWORK.search(line)]
        if lines:
            raise ResticError(
                Kind.UNREACHABLE,
                "%s while it was checked (%s)" % (why(Kind.UNREACHABLE), self.repository.shown),
                [self.repository.clean(line) for line in lines[-10:]],
                rc=ended.rc,
            )

    def _new_packs(
        self, state: rotation.State, indexes: Sequence[str], there: set[str], planned: rotation.Plan
    ) -> list[str]:
        """Packs that came since the last run and are in no group that is read now, as new index files tell of them.

        What is beyond ``new_packs`` waits for its group's turn.
        """
        if not state.last or not self.options["data"] or self.options["full"]:
            return []
        known = set(state.indexes)
        wanted: dict[str, None] = {}
        for index in indexes:
            if index[:16] in known or len(wanted) >= self.options["new_packs"]:
                continue
            try:
                named = self.restic.index(index)
            except ResticError:
                continue  # the check tells of it
            for pack in named:
                if pack["id"] in there and rotation.group_of(pack["id"], planned.total) not in planned.groups:
                    wanted[pack["id"]] = None
        return list(wanted)[: self.options["new_packs"]]

    def _packs_read(self, wanted: Sequence[str], damage: Damage) -> tuple[dict[str, tuple[str, str]], int]:
        """Read packs one by one: those that do not hold what was written, and how many were read."""
        wrong: dict[str, tuple[str, str]] = {}
        read = 0
        for pack in dict.fromkeys(wanted):
            if pack in damage.packs:
                continue
            if self._left() < 60:
                self._unread.add(pack)
                continue
            try:
                digest = self.restic.pack_digest(pack)
            except ResticError as error:
                if error.kind in NO_WAY:
                    raise
                wrong[pack] = ("damaged", error.evidence[-1] if error.evidence else error.why)
            else:
                if digest != pack:
                    wrong[pack] = ("damaged", "its content has the digest %s" % digest)
            read += 1
        return wrong, read

    def _sure(self, damage: Damage, locks: Sequence[Lock], snapshots: Sequence[Snapshot]) -> Damage:
        """The damage that stays, where somebody wrote to the repository meanwhile: what is new looks like an error."""
        if not damage.structure or self._left() < 60:
            return damage
        after = self.restic.locks()
        live = any(self.host.now() - lock.time < STALE_LOCK for lock in (*locks, *after))
        if not live and {one.id for one in self.restic.snapshots()} == {one.id for one in snapshots}:
            return damage
        self.told["confirmed"] = True
        return damage.common(self._run([], self.restic.packs()).damage)

    # -- what is broken --------------------------------------------------------------------------------------------

    def _broken(
        self, damage: Damage, snapshots: Sequence[Snapshot], packs: Sequence[str], indexes: Sequence[str]
    ) -> Broken:
        """What the damage touches: files and snapshots, by what restic can still read of the repository."""
        if not (damage.structure or damage.data):
            return Broken(damage)
        named, held = self._indexed(damage, indexes)
        if damage.not_indexed and named is not None:
            damage = damage._replace(unindexed=tuple(pack for pack in packs if pack not in named)[:KEPT])
        elif damage.trees and not damage.packs:
            found = dict.fromkeys(held, ("damaged", "it holds folders that cannot be read"))
            damage = damage._replace(packs=dict(list(found.items())[:KEPT]))
        gone = {pack for pack, (what, _detail) in damage.packs.items() if what in ("missing", "cut")}
        lost = {tree[:8] for pack in gone for tree in held.get(pack, ((), ()))[0]}
        damage = damage._replace(trees=tuple(dict.fromkeys((*damage.trees, *sorted(lost))))[:KEPT])
        # 0.14 would wait for a folder that is not there, as it did in the check.
        stuck = self.restic.version() < (0, 17) and bool(lost)
        wanted = [pack for pack in damage.packs if len(pack) == 64][:_FIND_PACKS]
        used: dict[str, Touched] = {}
        newest: dict[str, Touched] = {}
        if wanted and not stuck:
            together = self._find(wanted, held, [])
            if together is not None:
                if len(wanted) < len(damage.packs):
                    together = together._replace(more=True)
                used[""] = together
                for one in _newest(snapshots):
                    touches = self._find(wanted, held, ["--snapshot", one.id])
                    if touches is not None and any(touches):
                        newest["%s of %s" % (one.short_id, one.host)] = touches
        roots = tuple(one.short_id for one in snapshots if one.tree[:8] in damage.trees)
        return Broken(damage, used, newest, roots)

    def _find(
        self, packs: Sequence[str], held: Mapping[str, tuple[list[str], list[str]]], more: Sequence[str]
    ) -> Touched | None:
        """Where the packs' content is used, by what the index says of them: their headers may be what is damaged."""
        if self._left() < 30:
            return None
        blobs = [blob for pack in packs for blob in held.get(pack, ([], []))[1]]
        trees = [tree for pack in packs for tree in held.get(pack, ([], []))[0]]
        cut = max(len(blobs), len(trees)) > _FIND_BLOBS
        answers = []
        for what, wanted in (("--blob", blobs[:_FIND_BLOBS]), ("--tree", trees[:_FIND_BLOBS])):
            if not wanted:
                continue
            uses = Uses()
            try:
                self.restic.ask(
                    ["find", "--json", *more, what, "--", *wanted], on_chunk=uses.feed, timeout=self._left()
                )
                answers.append(uses.end())
            except ResticError as error:
                self.told.setdefault("not_named", error.why)
        if not answers:
            return None
        return Touched(
            tuple(dict.fromkeys(name for one in answers for name in one.files)),
            tuple(dict.fromkeys(name for one in answers for name in one.folders)),
            tuple(dict.fromkeys(name for one in answers for name in one.snapshots)),
            tuple(dict.fromkeys(name for one in answers for name in one.unreadable)),
            cut or any(one.more for one in answers),
        )

    def _indexed(
        self, damage: Damage, indexes: Sequence[str]
    ) -> tuple[set[str] | None, dict[str, tuple[list[str], list[str]]]]:
        """All packs that an index names (None where there are too many indexes), and what the packs in question hold.

        In question are the broken ones; where none is known, those with a folder that cannot be read. They hold trees
        and data, by their digests.
        """
        named: set[str] = set()
        held: dict[str, tuple[list[str], list[str]]] = {}
        lost = set(damage.trees)
        for index in indexes[:_INDEXES_READ]:
            try:
                packs = self.restic.index(index)
            except ResticError:
                continue  # damaged itself, and told so
            for pack in packs:
                named.add(pack["id"])
                blobs = [blob for blob in pack.get("blobs") or () if isinstance(blob, dict)]
                trees = [str(blob.get("id")) for blob in blobs if blob.get("type") == "tree"]
                if pack["id"] in damage.packs or (not damage.packs and any(tree[:8] in lost for tree in trees)):
                    held[pack["id"]] = (trees, [str(blob.get("id")) for blob in blobs if blob.get("type") == "data"])
        return (named if len(indexes) <= _INDEXES_READ else None), held

    # -- the end ---------------------------------------------------------------------------------------------------

    def _moved(
        self, state: rotation.State, planned: rotation.Plan, read: Sequence[int], indexes: Sequence[str]
    ) -> rotation.State:
        if read:
            state = rotation.mark(state, read, planned.total, self.now)
        owed = planned.credit + (0 if self.options["full"] else len(planned.groups) - len(read))
        return state._replace(
            since=state.since or self.now,
            last=self.now if self.options["data"] else state.last,
            credit=min(owed, float(planned.total)) if self.options["data"] else state.credit,
            indexes=tuple(index[:16] for index in indexes[: rotation.INDEXES_KEPT]),
        )

    def _conclude(
        self,
        ran: _Ran,
        read: Sequence[int],
        planned: rotation.Plan,
        new_packs: int,
        damage: Damage,
        covered: rotation.Coverage,
        version: tuple[int, int, int],
        config: Mapping[str, Any],
        snapshots: Sequence[Snapshot],
        packs: Sequence[str],
    ) -> None:
        """Coverage, proofs, and what the module tells."""
        ended = self.host.now()
        held = [pack for pack in packs if rotation.group_of(pack, planned.total) in read]
        facts: dict[str, Any] = {
            "repository_id": config["id"],
            "location": self.repository.shown,
            "restic": "%d.%d.%d" % version,
            "snapshots": len(snapshots),
            "newest": snapshots[-1].id if snapshots else None,
            "packs": len(packs),
            "seconds": round(ran.seconds, 1),
        }
        whole = ran.complete
        if whole or damage.structure:
            self.review.covered("backup.structure.damaged", self.name)
        outcome = "failed" if damage.structure else "passed" if whole else "cannot"
        self.review.proof(
            "backup.structure.checked",
            self.name,
            outcome,
            self.now,
            ended,
            "restic check of %s, its cache left aside: %s." % (self.name, _words(outcome)),
            facts,
        )
        coverage = {
            "weeks": self.options["weeks"],
            "packs": covered.packs,
            "read": covered.read,
            "percent": round(100.0 * covered.read / covered.packs, 1) if covered.packs else 100.0,
            "oldest": covered.oldest or None,
        }
        if self.options["data"] and not planned.groups and not new_packs and not damage.packs:
            not_due = "no part of the data is due: it is read by turns within %d weeks" % self.options["weeks"]
            self.review.skip("backup.data.damaged", not_due, "full: true")
        elif self.options["data"]:
            # While the structure is damaged, that is the finding, and says nothing for the data.
            if not damage.structure and not self._unread and len(read) == len(planned.groups):
                self.review.covered("backup.data.damaged", self.name)
            outcome = "failed" if damage.packs else "passed" if len(read) == len(planned.groups) else "cannot"
            told = {
                "groups": ["%d/%d" % (group, planned.total) for group in read],
                "packs_read": len(held),
                "new_packs_read": new_packs,
                "coverage": coverage,
            }
            self.review.proof(
                "backup.data.read",
                self.name,
                outcome,
                self.now,
                ended,
                "%d of %d packs of %s were read and compared with their digests: %s."
                % (len(held) + new_packs, len(packs), self.name, _words(outcome)),
                {**facts, **told},
            )
        else:
            self.review.skip("backup.data.damaged", "no data is read: the option data is off", "data: true")
        if self.options["data"]:
            with self.review.check("backup.rotation.behind", self.name):
                judge_rotation(self.review, self.name, covered, self.options["weeks"], self.now)
        if self.places.wrong:
            self.told["state"] = "begun anew: %s" % self.places.wrong
        self.told.update(
            outcome="damaged" if damage.structure or damage.data else "sound" if whole else "cannot",
            read={"groups": list(read), "of": planned.total, "packs": len(held), "new_packs": new_packs},
            coverage=coverage,
            seconds=round(ran.seconds, 1),
        )

    def _left(self) -> float:
        return max(1.0, self.deadline - self.host.now())


def _words(outcome: str) -> str:
    return {"passed": "nothing is wrong", "failed": "it is damaged", "cannot": "it did not come to its end"}[outcome]


def _newest(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """The newest snapshot of each host and its paths, the newest first, a few of them."""
    latest: dict[tuple[str, tuple[str, ...]], Snapshot] = {}
    for one in snapshots:  # oldest first
        latest[(one.host, one.paths)] = one
    return sorted(latest.values(), key=lambda one: -one.time)[:_FIND_NEWEST]


def _joined(one: Damage, other: Damage) -> Damage:
    """The damage that two checks found."""

    def both(name: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*getattr(one, name), *getattr(other, name))))

    return Damage(
        packs={**other.packs, **one.packs},
        blobs=both("blobs"),
        trees=both("trees"),
        files=both("files"),
        snapshots=both("snapshots"),
        indexes=both("indexes"),
        unindexed=both("unindexed"),
        other=both("other"),
        not_indexed=one.not_indexed or other.not_indexed,
        errors=one.errors,
        suggests_index=one.suggests_index or other.suggests_index,
    )
