# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a host is backed up at all, and whether each of its databases and volumes is. Pure; findings only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from .._findings import CannotCheck
from .gather_sources import KINDS, OF_DATABASES, SQL, Database, Volume
from .judge_snapshots import covers, excluded, size, word

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from .._findings import Review
    from .contents import Contents, Dump


SQLITE_EACH = 20
"""SQLite databases without a backup that are findings of their own; of more, all are one."""


class Covered(NamedTuple):
    """What one living series of this host holds: its paths, and its contents where they were listed."""

    repository: str
    paths: tuple[str, ...]
    contents: Contents | None

    def holds(self, path: str) -> bool:
        """Whether there is anything of a path in it."""
        return self.contents is not None and self.contents.state(path) == "filled"

    def may_hold(self, path: str) -> bool:
        """Whether its paths say so, where it was not listed, or where a path lies in it cannot be told."""
        if self.contents is not None:
            return self.contents.state(path) == "unknown"
        inside = any(other.startswith(path.rstrip("/") + "/") for other in self.paths)
        return inside or covers(path, self.paths)


class Sources(NamedTuple):
    """What was gathered of the host."""

    databases: Sequence[Database]
    volumes: Sequence[Volume]
    others: Mapping[str, str]
    """Other programs that back up, with what shows it."""


def judge_host(
    review: Review,
    host_name: str,
    repositories: int,
    unclear: int,
    sources: Sources,
    options: Mapping[str, Any],
) -> None:
    """A host that nothing backs up."""
    reason = options.get("no_backup_reason")
    if reason and not repositories:
        review.skip("backup.host.uncovered", "it needs none here: %s" % reason, "Take no_backup_reason away.")
        # A person looked and decided: a ticket about it is settled.
        review.covered("backup.host.uncovered", "host")
        return
    if unclear and not repositories:
        why = "something on it is about restic, and is not understood; that is a finding of its own"
        review.skip("backup.host.uncovered", why, "Name its repositories in the option repositories.")
        return
    with review.check("backup.host.uncovered", "host"):
        if repositories:
            return
        programs = {name: seen for name, seen in sources.others.items() if name not in OF_DATABASES}
        what = [
            "%s in %s%s" % (one.engine, one.folder or "an unknown place", ", running" if one.running else "")
            for one in sources.databases[:10]
        ]
        what += ["%s, %s in use" % (one.path, size(one.used)) for one in sources.volumes[:10] if one.used is not None]
        if programs:
            names = ", ".join(sorted(programs))
            review.found(
                "backup.host.uncovered",
                "host",
                "medium",
                "Whether %s is backed up is not known: %s is there, and nobody looks at its backups."
                % (host_name, names),
                ["%s: %s" % item for item in sorted(programs.items())] + what,
                "Have its backups checked and restored on trial too (backup_review_engines), or say in "
                "backup_review_no_backup_reason who backs this host up and who proves it.",
                {"programs": sorted(programs)},
            )
            return
        review.found(
            "backup.host.uncovered",
            "host",
            "high",
            "%s has no backup that anybody could find." % host_name,
            [
                "no repository of restic is named in the options, in resticprofile, autorestic, systemd, cron, their "
                "scripts or files of variables",
                "no other program that backs up is configured or runs",
                *what,
            ],
            "Back it up: restic init, restic backup, a timer. If its repository was missed: name it in "
            "backup_review_repositories. If it needs none, or its virtual machine is backed up from outside: say so in "
            "backup_review_no_backup_reason.",
        )


def judge_databases(
    review: Review, sources: Sources, covered: Sequence[Covered], failed: Sequence[str], options: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Each database: covered by a dump, by its files, or by nothing. Also as the result shows them."""
    told: list[dict[str, Any]] = []
    if not options["databases"]:
        review.skip("backup.database.uncovered", "the option databases is off", "databases: true")
        return told
    engines = {one.engine for one in sources.databases}
    with review.check("backup.database.uncovered"):
        unsure: list[str] = []
        blind: list[str] = []
        files: list[str] = []
        for one in sources.databases:
            subject = "%s %s" % (one.engine, one.folder) if one.folder else one.engine
            reason = excluded(one.folder, options) if one.folder else ""
            how, evidence = ("excluded", [reason]) if reason else _how(one, engines, covered, sources, options)
            told.append({"engine": one.engine, "folder": one.folder, "running": one.running, "covered": how})
            if how in ("excluded", "dump", "files", "program") or (how == "live files" and not one.running):
                continue
            if how == "nothing" and failed:
                unsure.append(subject)
                continue
            if how == "unknown":
                unsure.append(subject)
                blind += _blind(covered, [one.folder])
                continue
            if one.engine == "sqlite" and how == "nothing":
                files.append(one.folder)
                continue
            _uncovered(review, one, subject, how, evidence)
        _sqlite(review, files)
        _not_sure(unsure, [*failed, *blind])
    return told


def _blind(covered: Sequence[Covered], paths: Iterable[str]) -> list[str]:
    """The repositories in which a database may be, or a dump of it: in a snapshot that was not listed."""
    paths = [path for path in paths if path]
    return [one.repository for one in covered if one.contents is None or any(one.may_hold(path) for path in paths)]


def _not_sure(unsure: Sequence[str], failed: Sequence[str]) -> None:
    """What may be in a repository that was not looked into, or not to its end, is neither covered nor uncovered."""
    if unsure:
        names = ", ".join(list(dict.fromkeys(failed))[:3]) or "a snapshot"
        raise CannotCheck(
            "%s may be in %s, which could not be looked into as a whole" % (", ".join(unsure[:3]), names),
            "Repair that repository first, if it is a finding of its own. If its snapshots are too large to be listed "
            "in time: a higher timeout (backup_review_look_timeout). Have restic back up whole paths (/srv).",
            unsure,
        )


def _sqlite(review: Review, files: Sequence[str]) -> None:
    """SQLite databases: each by itself, or all at once where an application keeps one for each of its users."""
    if len(files) <= SQLITE_EACH:
        for path in files:
            _uncovered(review, Database("sqlite", path, False), "sqlite %s" % path, "nothing", ())
        return
    review.found(
        "backup.database.uncovered",
        "sqlite",
        "high",
        "No backup covers %d SQLite databases, such as %s." % (len(files), files[0]),
        ["%s is not in the newest snapshots of this host" % path for path in files],
        'Back them up: sqlite3 FILE ".backup COPY" before restic runs. Those that need none: backup_review_exclusions, '
        "with the reason.",
        {"engine": "sqlite", "count": len(files), "files": list(files[:100])},
    )


def _how(
    one: Database, engines: set[str], covered: Sequence[Covered], sources: Sources, options: Mapping[str, Any]
) -> tuple[str, list[str]]:
    """How a database is covered: ``dump``, ``files``, ``live files``, ``program`` or ``nothing``; and what shows it.

    ``unknown`` is what may be in a snapshot that was not listed.
    """
    agreed = [entry["path"] for entry in options.get("dumps") or () if entry["engine"] == one.engine]
    for path in agreed:
        if any(cover.holds(path) for cover in covered):
            return "dump", [path]
    kind = KINDS.get(one.engine)
    words = kind.words if kind else ()
    if not agreed and kind is not None:
        alone = one.engine in SQL and len(engines & set(SQL)) == 1
        for cover in covered:
            for path in (*_paths_of_dumps(cover),):
                name = path.lower()
                if any(text in name for text in words) or (alone and (".sql" in name or "dump" in name)):
                    return "dump", [path]
    for program, engine in OF_DATABASES.items():
        if engine == one.engine and program in sources.others:
            return "program", ["%s: %s" % (program, sources.others[program])]
    held = bool(one.folder) and any(cover.holds(one.folder) for cover in covered)
    if held and (kind is None or kind.copied):
        return "files", [one.folder]
    if _blind(covered, (*agreed, one.folder)):
        return "unknown", []
    if held:
        return "live files", [one.folder]
    return "nothing", ["no dump of it: %s is not in any snapshot" % path for path in agreed]


def _paths_of_dumps(cover: Covered) -> list[str]:
    from .contents import DUMP

    found: list[str] = []
    dumps: Iterable[Dump] = cover.contents.dumps if cover.contents is not None else ()
    found += [dump.path for dump in dumps if dump.size]
    if cover.contents is None:
        found += [path for path in cover.paths if DUMP.fullmatch(path.rpartition("/")[2])]
    return found


def _uncovered(review: Review, one: Database, subject: str, how: str, evidence: Sequence[str]) -> None:
    where = one.folder or "a place that its process does not tell"
    remedies = {
        "postgresql": "pg_dumpall --globals-only and pg_dump -Fc of each database before restic runs, or: pg_dump … | "
        "restic backup --stdin --stdin-filename pg.dump; or pgBackRest",
        "mysql": "mysqldump --single-transaction --routines --events --all-databases | restic backup --stdin "
        "--stdin-filename mysql.sql; or mariabackup",
        "mongodb": "mongodump --archive | restic backup --stdin --stdin-filename mongo.archive",
        "openldap": "slapcat -l before restic runs",
        "etcd": "etcdctl snapshot save before restic runs",
        "sqlite": 'sqlite3 FILE ".backup COPY" before restic runs',
    }
    remedy = remedies.get(one.engine, "its own way to make a dump before restic runs")
    if how == "live files":
        review.found(
            "backup.database.uncovered",
            subject,
            "medium",
            "%s in %s is in the backup only as files of a running server: such a copy may not start."
            % (one.engine, where),
            [*("in a snapshot: %s" % path for path in evidence), "no dump of it is in any snapshot"],
            "Back up a dump beside or instead: %s. If the files come from a snapshot of the filesystem: "
            "backup_review_exclusions, with the reason." % remedy,
            {"engine": one.engine, "folder": one.folder, "covered": how},
        )
        return
    review.found(
        "backup.database.uncovered",
        subject,
        "high",
        "No backup covers %s in %s%s." % (one.engine, where, ", which is running" if one.running else ""),
        [*evidence, "neither its files nor a dump of it are in the newest snapshots of this host"],
        "Back it up: %s. If a dump of it is in a snapshot under another name: backup_review_database_dumps. If it "
        "needs none: backup_review_exclusions, with the reason." % remedy,
        {"engine": one.engine, "folder": one.folder, "covered": how},
    )


def judge_volumes(
    review: Review,
    sources: Sources,
    covered: Sequence[Covered],
    failed: Sequence[str],
    stores: Sequence[str],
    options: Mapping[str, Any],
) -> list[dict[str, Any]]:
    """Each mounted volume with data. ``stores`` are folders of repositories on this host."""
    told: list[dict[str, Any]] = []
    if not options["volumes"]:
        review.skip("backup.volume.uncovered", "the option volumes is off", "volumes: true")
        return told
    if not covered and not failed:
        review.skip(
            "backup.volume.uncovered", "no backup of this host was found, which is told by itself", "Back the host up."
        )
        return told
    with review.check("backup.volume.uncovered"):
        unsure: list[str] = []
        blind: list[str] = []
        silent: list[str] = []
        for one in sources.volumes:
            reason = excluded(one.path, options)
            store = next(
                (path for path in stores if path == one.path or path.startswith(one.path.rstrip("/") + "/")), ""
            )
            state = "covered"
            if reason:
                state = "excluded"
            elif not any(cover.holds(one.path) for cover in covered):
                state = "repository" if store else "uncovered"
            maybe = [cover.repository for cover in covered if cover.may_hold(one.path)]
            if state == "uncovered" and (maybe or one.used is None):
                state = "unknown"
            told.append({"path": one.path, "used_bytes": one.used, "type": one.type, "state": state})
            if state not in ("uncovered", "unknown"):
                continue
            if one.used is None:
                silent.append(one.path)
                continue
            if failed or maybe:
                unsure.append(one.path)
                blind += maybe
                continue
            review.found(
                "backup.volume.uncovered",
                one.path,
                "high",
                "No backup covers the volume mounted on %s: %s of data." % (one.path, size(one.used)),
                [
                    "%s on %s type %s" % (one.source, one.path, one.type),
                    "nothing below it is in the newest snapshots of this host, which hold: %s"
                    % "; ".join(sorted({path for cover in covered for path in cover.paths})[:20]),
                ],
                "Add %s to the backup job (with --one-file-system each volume has to be named), or name it in "
                "backup_review_exclusions, with the reason." % word(one.path),
                {"used_bytes": one.used, "type": one.type, "source": one.source},
            )
        _not_sure(unsure, [*failed, *blind])
        if silent:
            raise CannotCheck(
                "%s did not answer: whether anything is on it is not known" % ", ".join(silent[:3]),
                "See why: df -h %s. What needs no backup: backup_review_exclusions, with the reason." % word(silent[0]),
                silent,
            )
    return told
