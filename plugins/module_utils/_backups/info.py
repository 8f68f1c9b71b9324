# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The review of a host's backups: find the repositories, ask each, judge what they hold and what they do not."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from .._findings import Review, clean_line, finding, plain
from .._process import cancellable
from . import judge_covered, judge_paths, judge_snapshots
from .contents import Contents, vanished
from .discover import Discovery, Found, found
from .gather_sources import databases, left_out, other_programs, processes, unmounted, volumes
from .judge_covered import Covered, Sources
from .judge_snapshots import SERIES_CHECKS, Seen, Standing
from .series import DAY
from .restic import Limits, Repository, Restic
from .restic_errors import NO_WAY, OPENED, Kind, ResticError, report
from .restic_locks import holders

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from .._host import Host
    from .discover_model import Job, Unclear
    from .series import Series

_One = TypeVar("_One")

TURN = 12
"""Series of a repository, of this host and of others, that are listed and sized at any rate. Of more, as many as fit
into the option timeout, by turns."""
ROUND = 8
"""Runs within which all series should have had their turn. Where one has room for less, that is a finding."""
BACK = (1, 2, 5, 9)
"""Snapshots of a series whose size is needed, counted from the newest: enough for its usual size, and for what was lost
since the last weekly review of a daily backup."""
TOLD = 200
"""Series, databases and volumes that the result tells."""
DEPTH = 2
"""Levels of folders below a path that is backed up by which it is told what vanished."""
EXPLAINED = 12
"""Series that have shrunk of which it is told what vanished: that takes two listings each."""
_HIGHER = "A higher compare_limit (backup_review_compare_limit); each name takes some 70 bytes of memory while it runs."


class Wanted(NamedTuple):
    """A repository to look into, with the jobs of this host that name it."""

    repository: Repository
    jobs: tuple[Job, ...]
    source: str


def own_names(host: Host) -> list[str]:
    """The names under which restic on this host notes its snapshots."""
    name = (host.read("/proc/sys/kernel/hostname", 300) or "").strip()
    file = (host.read("/etc/hostname", 300) or "").strip()
    return [one for one in dict.fromkeys((name, file)) if one] or ["localhost"]


def discovered(one: Found) -> Repository:
    """A repository as it was found in the host's files; its name is where it is, without secrets."""
    access = one.access
    repository = Repository(
        name="",
        location=one.location,
        password=access.password,
        password_file=access.password_file,
        password_command=access.password_command,
        environment={key: value for key, value in access.environment.items() if key not in _OWN_VARIABLES},
        backend_options=dict(option.partition("=")[::2] for option in access.options if "=" in option),
        cacert=access.cacert,
        tls_client_cert=access.tls_client_cert,
        insecure_tls=access.insecure_tls,
        insecure_no_password=access.insecure_no_password,
    )
    return repository._replace(name=repository.shown)


_OWN_VARIABLES = frozenset({"RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE", "RESTIC_CACHE_DIR", "RESTIC_PROGRESS_FPS"})


def look(host: Host) -> Discovery:
    return Discovery(host, own_names(host)[0]).look()


def repositories(host: Host) -> tuple[list[Repository], list[dict[str, Any]]]:
    """The repositories that a host's files name, and findings about what in these files is not understood."""
    seen = look(host)
    return [discovered(one) for one in found(seen.jobs)], [finding(**told) for told in _unclear(seen.unclear, {})]


def _unclear(unclear: Sequence[Unclear], options: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is not understood, one finding a file."""
    by_file: dict[str, list[Unclear]] = {}
    for entry in unclear:
        by_file.setdefault(entry.place.file, []).append(entry)
    return [
        {
            "check": "backup.repository.not_understood",
            "subject": path,
            "severity": "medium",
            "summary": "%s is about backups with restic, and is not understood: %s." % (path, entries[0].why),
            "evidence": ["%s: %s" % (entry.place, entry.why) for entry in entries],
            "remedy": "Name the repository, and what opens it, in the option repositories; then name this file in "
            "exclusions, with the reason.",
            "facts": {"lines": [entry.place.line for entry in entries[:100]]},
        }
        for path, entries in by_file.items()
        if not judge_snapshots.excluded(path, options)
    ]


def review(host: Host, options: dict[str, Any]) -> dict[str, Any]:
    """The whole result of ``restic_info``; ``options`` are those of its argument spec. Reads only."""
    made = Review("backup")
    now = host.now()
    names = [*options["hosts"], *own_names(host)]
    seen = look(host) if options["discover"] else None
    wanted = _wanted(options, seen)
    unclear: list[dict[str, Any]] = []
    if seen is None:
        made.skip("backup.repository.not_understood", "the option discover is off", "discover: true")
    else:
        with made.check("backup.repository.not_understood"):
            unclear = _unclear(seen.unclear, options)
            for told in unclear:
                made.found(**told)
    running = processes(host)
    sources = Sources(
        databases(host, running) if options["databases"] else [],
        volumes(host, options) if options["volumes"] else [],
        other_programs(host, running),
    )
    look_into = _Look(host, made, options, names, now, sources)
    if wanted:
        with cancellable():
            for one in wanted:
                look_into.repository(one)
    look_into.policies(unclear)
    look_into.cover_all(seen is not None and not unclear)
    judge_covered.judge_host(made, names[0], len(wanted), len(unclear), sources, options)
    told_databases = judge_covered.judge_databases(made, sources, look_into.covered, look_into.failed, options)
    stores = [one.repository.local for one in wanted if one.repository.local]
    told_volumes = judge_covered.judge_volumes(made, sources, look_into.covered, look_into.failed, stores, options)
    details = {
        "hosts": names,
        "restic": look_into.version,
        "repositories": look_into.told,
        "series": look_into.series[:TOLD],
        "databases": told_databases[:TOLD],
        "volumes": told_volumes[:TOLD],
        "other_programs": dict(sources.others),
        "jobs": [_job(job) for job in (seen.jobs if seen is not None else [])][:TOLD],
    }
    return dict({key: plain(value) for key, value in details.items()}, **made.result())


def _wanted(options: Mapping[str, Any], seen: Discovery | None) -> list[Wanted]:
    """The repositories of the options, and those that were found and are none of these."""
    groups = found(seen.jobs) if seen is not None else []
    wanted: list[Wanted] = []
    taken: set[str] = set()
    for params in options["repositories"]:
        repository = Repository.of(params)
        location = (repository.local or repository.location).rstrip("/")
        jobs = next((one.jobs for one in groups if one.location == location), ())
        taken.add(location)
        wanted.append(Wanted(repository, jobs, "options"))
    for one in groups:
        if one.location in taken:
            continue
        repository = discovered(one)
        if judge_snapshots.excluded(one.location, options):
            continue
        if any(other.repository.name == repository.name for other in wanted):
            repository = repository._replace(name="%s (%s)" % (repository.name, clean_line(one.jobs[0].name, 60)))
        wanted.append(Wanted(repository, one.jobs, str(one.jobs[0].place)))
    return wanted


def _job(job: Job) -> dict[str, Any]:
    return {
        "place": str(job.place),
        "by": job.by,
        "name": job.name,
        "repository": Repository(name="", location=job.access.location).shown,
        "paths": list(job.paths),
        "tags": list(job.tags),
        "keep": dict(job.keep),
        "schedule": job.schedule,
    }


def turn(members: Sequence[_One], now: float) -> list[_One]:
    """The members, beginning at another one each day, so that those at the front have been all of them in time.

    The steps fall between the earlier ones, and no rhythm of runs makes them return to the same place, so no memory of
    the last run is needed. The fraction was found by trying: with a run each day, each week, each month and what lies
    between, up to 96 members are through within two and a half times the runs that would do at best.
    """
    start = int((now // DAY * 0.406895185529212) % 1.0 * len(members))
    return [*members[start:], *members[:start]]


class _Look:
    """One look into all repositories, one after another."""

    def __init__(
        self, host: Host, made: Review, options: Mapping[str, Any], names: Sequence[str], now: float, sources: Sources
    ) -> None:
        self.host = host
        self.review = made
        self.options = options
        self.names = names
        self.now = now
        self.sources = sources
        self.version: str | None = None
        self.told: list[dict[str, Any]] = []
        self.series: list[dict[str, Any]] = []
        self.covered: list[Covered] = []
        self.failed: list[str] = []
        self.unmounted: set[str] | None = None
        self.judged: dict[str, list[Series]] = {}

    def repository(self, wanted: Wanted) -> None:
        name = wanted.repository.name
        told: dict[str, Any] = {
            "name": name,
            "repository": wanted.repository.shown,
            "source": wanted.source,
            "jobs": [str(job.place) for job in wanted.jobs],
            "opened": False,
            "fault": None,
        }
        self.told.append(told)
        restic = Restic(
            self.host,
            wanted.repository,
            self.options["program"],
            Limits.of(self.options),
            cache_dir=self.options["cache_dir"],
        )
        with restic:
            try:
                self._open(restic, wanted, told)
            except ResticError as error:
                self.failed.append(name)
                told["fault"] = error.kind
                # The program is one thing, however many repositories need it.
                subject = "restic" if error.kind in (Kind.NOT_RESTIC, Kind.TOO_OLD) else name
                if not any(one["check"] == error.check and one["subject"] == subject for one in self.review.findings):
                    report(self.review, subject, error, in_passing=True)

    def _open(self, restic: Restic, wanted: Wanted, told: dict[str, Any]) -> None:
        name = wanted.repository.name
        self.version = "%d.%d.%d" % restic.version()
        told["restic"] = self.version
        config = restic.config()
        snapshots = tuple(restic.snapshots())
        told.update(opened=True, format=config.get("version"), id=config.get("id"), snapshots=len(snapshots))
        told["hosts"] = sorted({one.host for one in snapshots})[:100]
        for check in OPENED:
            self.review.covered(check, name)
        locks = tuple(restic.locks())
        told["locks"] = [lock._asdict() for lock in locks[:20]]
        seen = Seen(
            name,
            wanted.repository.shown,
            self.version,
            config.get("version"),
            snapshots,
            locks,
            wanted.jobs,
            lock_holders=holders(self.host, locks, self.names[len(self.options["hosts"]) :]),
            unreadable=restic.unreadable,
        )
        judge_snapshots.judge_repository(self.review, seen, self.now)
        with self.review.check("backup.snapshot.unreadable", name):
            judge_snapshots.judge_unreadable(self.review, seen)
        self._snapshots(restic, seen)

    def _snapshots(self, restic: Restic, seen: Seen) -> None:
        options, policies = self.options, self.options["policies"]
        whole = judge_snapshots.policy_for(policies, options, seen.name, None)
        hosts = judge_snapshots.judged_hosts(seen, whole, self.names)
        series = judge_snapshots.series_of(seen, options, hosts)
        self.judged[seen.name] = series
        stood = judge_snapshots.standings(seen, series, policies, options, self.now)
        named = [one for one in policies if (one.get("repository") or "*") != "*"]
        own_paths = judge_snapshots.policy_for(named, options, seen.name, None).paths
        expected = judge_paths.expected_of(seen, stood, own_paths, self.names)
        listings, failures = self._listings(restic, stood, expected)
        sizes, unsized, failure = self._sizes(restic, stood)
        failures += [failure] if failure is not None and not failures else []
        seen = seen._replace(listings=listings, sizes=sizes, unsized=unsized)
        seen = seen._replace(vanished=self._vanished(restic, seen, stood))
        stood = judge_snapshots.judge_series(self.review, seen, policies, options, self.names, self.now)
        empties = self._empties(restic, seen, stood, expected)
        judge_paths.judge_paths(self.review, seen, stood, expected, empties, options)
        if not failures:
            self._rounds(seen, stood)
        self._compare(seen, stood)
        for standing in stood:
            self.series.append(judge_snapshots.told(seen, standing))
            if standing.state in ("fresh", "stale") and self._ours(standing.series.host):
                contents = listings.get(standing.series.newest.id)
                self.covered.append(Covered(seen.name, standing.series.newest.paths, contents))
        for error in failures:
            report(self.review, seen.name, error, in_passing=True)
            self.failed.append(seen.name)

    def _ours(self, host: str) -> bool:
        return any(judge_snapshots.same_host(host, name) for name in self.names)

    def _in_turn(self, stood: Sequence[Standing]) -> Iterator[Standing]:
        """The series that are alive, as many as there is time for: this host's first, and the rest by turns."""
        ends = monotonic() + self.options["timeout"]
        alive = [one for one in stood if one.state in ("fresh", "stale")]
        for ours in (True, False):
            members = [one for one in alive if self._ours(one.series.host) is ours]
            for number, standing in enumerate(turn(members, self.now)):
                if number >= TURN and monotonic() >= ends:
                    break
                yield standing

    def _rounds(self, seen: Seen, stood: Sequence[Standing]) -> None:
        """Tell where so little fits into a run that a round of turns takes too many of them."""
        alive = [one.series.newest.id for one in stood if one.state in ("fresh", "stale")]
        for check, what, lacking in (
            ("backup.snapshot.path_missing", "listed", sum(one not in seen.listings for one in alive)),
            ("backup.snapshot.shrunk", "asked for their sizes", len(seen.unsized)),
        ):
            if (len(alive) - lacking) * ROUND < len(alive):
                self.review.not_run(
                    check,
                    "of %d series in %s only %d could be %s" % (len(alive), seen.name, len(alive) - lacking, what),
                    "A higher timeout (backup_review_look_timeout): these seconds are spent on one repository, and the "
                    "others have their turn in the next runs. What takes so long: time restic -r %s snapshots"
                    % judge_snapshots.word(seen.shown),
                )

    def _listings(
        self, restic: Restic, stood: Sequence[Standing], expected: Sequence[judge_paths.Expected]
    ) -> tuple[dict[str, Contents], list[ResticError]]:
        """What is in the newest snapshots. One that cannot be listed is told, and the others go on."""
        listings: dict[str, Contents] = {}
        failures: list[ResticError] = []
        for standing in self._in_turn(stood):
            newest = standing.series.newest
            paths = [one.path for one in expected if one.host == standing.series.host]
            paths += [one.path for one in self.sources.volumes] + [one.folder for one in self.sources.databases]
            paths += [entry["path"] for entry in self.options["dumps"]]
            compared = self.options["compare"] and self._ours(standing.series.host)
            contents = Contents(paths, paths=newest.paths, names=self.options["compare_limit"] if compared else 0)
            try:
                restic.ls(newest.id, contents.add)
                contents.close()
                listings[newest.id] = contents
            except ResticError as error:
                failures.append(error)
                if error.kind not in (Kind.CORRUPT, Kind.NOT_UNDERSTOOD, Kind.UNKNOWN):
                    break
        return listings, failures[:1]

    def _sizes(
        self, restic: Restic, stood: Sequence[Standing]
    ) -> tuple[dict[str, tuple[int, int]], frozenset[str], ResticError | None]:
        """Files and bytes of the snapshots that no summary tells of (restic before 0.17); of which series not all are
        known, by their newest snapshots; and what kept the rest from being asked. Each question is a process of about a
        second."""
        sizes: dict[str, tuple[int, int]] = {}
        by_tree: dict[str, tuple[int, int]] = {}
        needed = {
            standing.series.newest.id: [
                one
                for one in (standing.series.snapshots[-back] for back in BACK if back <= len(standing.series.snapshots))
                if one.bytes is None or one.files is None
            ]
            for standing in stood
            if standing.state in ("fresh", "stale") and len(standing.series.snapshots) > 1
        }
        failure: ResticError | None = None
        for standing in self._in_turn([one for one in stood if needed.get(one.series.newest.id)]):
            for one in needed[standing.series.newest.id]:
                if one.tree not in by_tree:
                    try:
                        answer = restic.stats(one.id, "restore-size")
                    except ResticError as error:
                        if error.kind in NO_WAY:
                            failure = error
                            break
                        continue
                    count, size = answer.get("total_file_count"), answer.get("total_size")
                    by_tree[one.tree] = (count if isinstance(count, int) else 0, size if isinstance(size, int) else 0)
                sizes[one.id] = by_tree[one.tree]
            if failure is not None:
                break
        unsized = frozenset(newest for newest, members in needed.items() if any(one.id not in sizes for one in members))
        return sizes, unsized, failure

    def _vanished(self, restic: Restic, seen: Seen, stood: Sequence[Standing]) -> dict[str, list[str]]:
        """What each series that shrank has lost, folder by folder."""
        lines: dict[str, list[str]] = {}
        for standing in stood:
            if standing.state not in ("fresh", "stale") or len(lines) >= EXPLAINED:
                continue
            drops = judge_snapshots.drops(seen, standing, self.options, self.now)
            if not drops:
                continue
            depth = DEPTH + max((path.rstrip("/").count("/") for path in standing.series.paths), default=0)
            before, after = Contents(depth=depth), Contents(depth=depth)
            try:
                restic.ls(drops[0].before.id, before.add)
                restic.ls(drops[0].after.id, after.add)
            except ResticError:
                continue  # what is damaged is told where it is checked
            lines[standing.series.subject(seen.name)] = vanished(before, after)
        return lines

    def _empties(
        self, restic: Restic, seen: Seen, stood: Sequence[Standing], expected: Sequence[judge_paths.Expected]
    ) -> dict[tuple[str, str], str]:
        """Why a folder that is empty in the newest snapshot should not be: what was there, is there, or is mounted."""
        why: dict[tuple[str, str], str] = {}
        for one in expected:
            alive = [
                standing
                for standing in stood
                if standing.series.host == one.host and standing.state in ("fresh", "stale")
            ]
            states = [
                (standing, seen.listings[standing.series.newest.id].state(one.path))
                for standing in alive
                if standing.series.newest.id in seen.listings
            ]
            if not any(state == "empty" for _one, state in states) or any(state == "filled" for _one, state in states):
                continue
            key = (one.host, one.path)
            if self._ours(one.host):
                live = self.host.listdir(one.path)
                if self.unmounted is None:
                    self.unmounted = unmounted(self.host)
                if live:
                    why[key] = "there are %d names in it now" % len(live)
                elif one.path in self.unmounted:
                    why[key] = "/etc/fstab mounts something there, and it is not mounted"
            if key in why:
                continue
            for standing, state in states:
                earlier = standing.series.snapshots[-2:-1]
                if state != "empty" or not earlier:
                    continue
                contents = Contents([one.path], paths=earlier[0].paths)
                try:
                    restic.ls(earlier[0].id, contents.add)
                except ResticError:
                    continue
                if contents.state(one.path) == "filled":
                    when = judge_snapshots.minute(earlier[0].time)
                    why[key] = "in snapshot %s of %s it was not" % (earlier[0].short_id, when)
        return why

    def _compare(self, seen: Seen, stood: Sequence[Standing]) -> None:
        """The newest snapshots of this host against its files."""
        check = "backup.snapshot.incomplete"
        if not self.options["compare"]:
            self.review.skip(check, "the option compare is off", "compare: true")
            return
        large: list[str] = []
        for standing in stood:
            newest = standing.series.newest
            contents = seen.listings.get(newest.id)
            if standing.state not in ("fresh", "stale") or not self._ours(standing.series.host):
                continue
            subject = standing.series.subject(seen.name)
            if standing.state == "stale":
                self.review.skip(check, "%s is stale, which is told by itself" % subject, "Back up again.")
                continue
            if contents is None:
                self.review.skip(check, "%s was not listed" % subject, "A higher timeout (backup_review_look_timeout).")
                continue
            if contents.names is None:
                large.append(subject)
                continue
            compared = left_out(
                self.host,
                newest,
                contents.names,
                self.options["compare_limit"] * 2,
                [one.path for one in self.sources.volumes],
                places=contents.places(),
                needless=lambda path: judge_snapshots.excluded(path, self.options),
            )
            unseen = ("", "")
            if None in contents.places().values():
                why = "where the paths of %s lie in the host's tree cannot be told" % subject
                unseen = (why, "Give restic backup whole paths (/srv), not relative ones.")
            elif not compared.whole:
                large.append(subject)
                unseen = ("there is more in the paths of %s than compare_limit allows" % subject, _HIGHER)
            judge_paths.judge_left_out(self.review, seen, standing, compared.left, compared.total, unseen)
        if large:
            limit = self.options["compare_limit"]
            why = "there are more than %d names in %s" % (limit, ", ".join(large[:3]))
            self.review.not_run(check, why, _HIGHER, large)

    def policies(self, unclear: Sequence[Mapping[str, Any]]) -> None:
        """Tell the policies that fit nothing. What was not looked into may be what they are for."""
        check = "backup.policy.unmatched"
        if self.options["no_backup_reason"] and not self.told:
            self.review.skip(check, "it needs no backup here: %s" % self.options["no_backup_reason"])
            return
        unknown = [one["name"] for one in self.told if one["name"] not in self.judged]
        unknown += [*self.options["elsewhere"], *(str(one["subject"]) for one in unclear)]
        judge_snapshots.judge_policies(self.review, self.options["policies"], self.judged, unknown)
        if not self.options["elsewhere"] and not any(one["check"] == check for one in self.review.skipped):
            self.review.covered(check)

    def cover_all(self, discovered_all: bool) -> None:
        """Cover the checks of series as a whole, where every repository was looked into to its end.

        So a ticket about a series, or a repository, that is no more closes itself.
        """
        if self.failed or not discovered_all:
            return
        # Of what was not looked at to its end, the tickets stay.
        open_ = {one["subject"] for one in self.review.findings if one["check"] == "backup.check.not_run"}
        open_ |= {one["check"] for one in self.review.skipped} | {"backup.repository.not_understood"}
        for check in (*SERIES_CHECKS, *OPENED, "backup.repository.format_old", "backup.repository.locked"):
            if check not in open_:
                self.review.covered(check)
        if self.version is not None:
            self.review.covered("backup.program.missing")
            self.review.covered("backup.program.unsupported")
