# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Physical backups of PostgreSQL (pg_basebackup, pgBackRest): recovered to a point in time in a scratch place, started.

A copy of production must not act like production. Its own configuration is not used: none of its archive command,
preloaded libraries, addresses or standby connections; links to tablespaces are turned to copies in the scratch place,
and a link that leads elsewhere is refused. Unlike a dump it is data that a server wrote, not statements that somebody
may have: it is asked as its superuser, read-only.
"""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import pwd
import re
import shlex
from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck
from .._process import Stage, chain, run
from . import confine, dump_source, dump_stream, postgresql_judge
from .dump_source import NotThere
from .postgresql_server import Machine, NoServer, Server, _lines, _no_follow, chosen, loading_settings
from .postgresql_sql import OWN_SCHEMA, literal
from .scratch import Scratch

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._process import Account
    from .dump_source import Located
    from .postgresql import _Test

_TAR = re.compile(r"(base|pg_wal|\d+)\.tar(?:\.(?:gz|zst|lz4|xz|bz2))?\Z")
_KEPT = re.compile(r"(?:restore_command|recovery_target\w*) *=")
"""What of postgresql.auto.conf is kept: where pgBackRest says how to recover."""
CHECKS = ("corrupt", "wal_missing", "target_not_reached", "not_recovered", "wrong_cluster")

# What the server says where recovery ends (src/backend/access/transam/xlogrecovery.c and xlog.c), and what that means.
_FAILED = (
    (
        "recovery ended before configured recovery target was reached",
        "target_not_reached",
        "The write-ahead log ends before the point in time that was asked for.",
        "Is the archiver of the live server behind (SELECT * FROM pg_stat_archiver)? Are files of the log gone from "
        "the "
        "archive?",
    ),
    (
        "WAL ends before end of online backup|WAL ends before consistent recovery point|could not find redo location|"
        "could not locate required checkpoint record|could not locate a valid checkpoint record",
        "wal_missing",
        "The write-ahead log that the backup needs to become consistent is not there.",
        "Take a new base backup with its log (pg_basebackup --wal-method=stream), and see which files the archive "
        "lacks.",
    ),
    (
        "invalid (?:page|record|checkpoint)|incorrect (?:resource manager|checksum|prev-link)|PANIC|could not read|"
        "is of wrong length|unexpected (?:pageaddr|timeline)|incorrect control file|checksum in control file",
        "corrupt",
        "The backup is damaged: it cannot be recovered.",
        "Take a new base backup now. See the disk under this one: smartctl, dmesg.",
    ),
)


def test(one: _Test) -> None:
    """Recover the backup, start it, ask it. Raises what _Test.run knows."""
    if one.spec["kind"] == "pgbackrest":
        _pgbackrest(one)
        return
    with one.timed("find"):
        located = dump_source.locate(one.host, one.spec, one.restic)
    one.facts.update(located.facts())
    one.review.covered("backup.dump.missing", one.subject)
    names = {posixpath.basename(path) for path in _inner(one, located)}
    tars = sorted(name for name in names if _TAR.match(name))
    if not located.folder or not (tars or "PG_VERSION" in names):
        raise NotThere(
            "%s is no folder that pg_basebackup writes" % located.source.path,
            ["expected PG_VERSION or base.tar, found: %s" % (", ".join(sorted(names)[:20]) or "nothing")],
            "Name the folder itself, or correct kind.",
        )
    one.facts["format"] = "tar" if tars else "plain"
    size = _size(one, located)
    needed = int(one.spec.get("expected_bytes") or size * (4 if any("." in name[8:] for name in tars) else 1))
    needed += (size if one.restic is not None else 0) + (1 << 28)
    one.facts["needs_bytes"] = needed
    if one.check_mode:
        one.plan(needed)
        return
    account = one.options.get("account") or (_owner(located.source.path) if one.host.is_root() else None)
    with Scratch(one.options["scratch"], "postgresql", needed, run=one.options["run"], account=account) as scratch:
        with one.timed("fetch"):
            data = _copied(one, located, tars, scratch.path, account)
        _recover(one, scratch.path, data, account, located)


def _inner(one: _Test, located: Located) -> list[str]:
    if one.restic is None or located.snapshot is None:
        return one.host.listdir(located.source.path)
    found: list[str] = []
    folder = located.source.path.rstrip("/")
    one.restic.ls(
        located.snapshot.id,
        lambda entry: found.append(entry.path) if posixpath.dirname(entry.path) == folder else None,
        [folder],
    )
    return found


def _size(one: _Test, located: Located) -> int:
    if one.restic is not None:
        return located.size
    total = 0
    for folder, _folders, files in os.walk(located.source.path):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_size
    return total


def _owner(path: str) -> Account:
    """The account to run a copy as: the owner of the files, where that is not root; else one that owns nothing."""
    try:
        uid = os.stat(path).st_uid
        if uid:
            return pwd.getpwuid(uid).pw_name
    except (OSError, KeyError):
        pass
    return confine.free_account() or "nobody"


def _owned_by(account: Account) -> str:
    return account if isinstance(account, str) else "%d:%d" % account


# --- the copy ---------------------------------------------------------------------------------------------


def _copied(one: _Test, located: Located, tars: Sequence[str], folder: str, account: Account | None) -> str:
    """Put the data folder into the scratch place; its path."""
    source = located.source.path
    if located.source.stage is not None:
        _do(one, ["mkdir", "-m", "0700", os.path.join(folder, "copy")], account)
        tar = Stage(["tar", "-x", "--no-same-owner", "-C", os.path.join(folder, "copy"), "-f", "-"], None, (), account)
        ended = chain([located.source.stage, tar], timeout=one.limits.timeout, idle=one.limits.idle)
        bad = [end for end in ended if end.rc != 0]
        if bad:
            _corrupt(one, "It cannot be read out of the snapshot.", _lines(bad[0].err))
        source = os.path.join(folder, "copy", source.strip("/"))
    data = os.path.join(folder, "data")
    if not tars:
        if one.restic is not None:
            _do(one, ["mv", "-T", source, data], account)
        else:
            _do(one, ["cp", "-a", "--reflink=auto", "-T", source, data], None)
            if account is not None:
                _do(one, ["chown", "-R", "-h", _owned_by(account), data], None)
        _links(one, data, located.source.path, account)
        _verify(one, data, None, account)
    else:
        _do(one, ["mkdir", "-m", "0700", data, os.path.join(folder, "tblspc")], account)
        for name in tars:
            kind = name.split(".", 1)[0]
            own = {"base": data, "pg_wal": os.path.join(data, "pg_wal")}
            into = own.get(kind) or os.path.join(folder, "tblspc", kind)
            if kind not in ("base", "pg_wal"):
                _do(one, ["mkdir", "-m", "0700", into], account)
            _unpack(one, os.path.join(source, name), into, account)
        _map(one, data, folder)
        manifest = os.path.join(source, "backup_manifest")
        _verify(one, data, manifest if one.host.exists(manifest) else None, account)
    _do(one, ["chmod", "0700", data], account)
    return data


def _unpack(one: _Test, path: str, into: str, account: Account | None) -> None:
    with dump_stream.opened(dump_stream.Source(one.subject, path), timeout=one.limits.timeout) as flow:
        if flow.missing:
            why = "this host has no %s to unpack %s" % (flow.missing, path)
            raise CannotCheck(why, "apt-get install " + flow.missing)
        reader = flow.pour()
        try:
            argv = ["tar", "-x", "--no-same-owner", "-C", into, "-f", "-"]
            ended = run(argv, stdin=reader, account=account, timeout=one.limits.timeout)
        finally:
            os.close(reader)
        flow.drain()
    if ended.rc != 0 or flow.problems:
        said = _lines(ended.err) + [line for problem in flow.problems for line in _lines(problem.err)]
        _corrupt(one, "%s cannot be unpacked." % posixpath.basename(path), said)


def _do(one: _Test, argv: list[str], account: Account | None) -> None:
    ended = run(argv, account=account, timeout=one.limits.timeout, nice=one.limits.nice)
    if ended.rc != 0:
        raise CannotCheck("the copy in the scratch place could not be made", "See the evidence.", _lines(ended.err))


def _links(one: _Test, data: str, source: str, account: Account | None) -> None:
    """Turn the links to tablespaces to copies; refuse those that lead out of the backup.

    A server writes where they lead to, and that may be production. What pg_basebackup -T wrote lies beside the folder.
    """
    own = source.rstrip("/") + "/"
    near = own if one.restic is not None else posixpath.dirname(source.rstrip("/")).rstrip("/") + "/"
    for name in one.host.listdir(os.path.join(data, "pg_tblspc")):
        link = os.path.join(data, "pg_tblspc", name)
        target = one.host.readlink(link)
        if target is None:
            continue
        target = os.path.normpath(target)
        if not name.isdigit() or near == "/" or not target.startswith(near):
            raise CannotCheck(
                "its tablespace %s is a link to %s, which is not in the backup" % (name, target),
                "Back up in the tar format (pg_basebackup -Ft), which holds tablespaces, or map them beside it (-T).",
            )
        os.unlink(link)
        if target.startswith(own):
            os.symlink(os.path.join(data, target[len(own) :]), link)
            continue
        there = os.path.join(posixpath.dirname(data), "tblspc")
        os.makedirs(there, 0o700, exist_ok=True)
        _do(one, ["cp", "-a", "--reflink=auto", "-T", target, os.path.join(there, name)], None)
        if account is not None:
            _do(one, ["chown", "-R", "-h", _owned_by(account), there], None)
        os.symlink(os.path.join(there, name), link)
    wal = one.host.readlink(os.path.join(data, "pg_wal"))
    if wal is not None:
        raise CannotCheck(
            "its pg_wal is a link to %s, which is not in the backup" % wal,
            "pg_basebackup --waldir is for live servers.",
        )


def _map(one: _Test, data: str, folder: str) -> None:
    """The map of tablespaces, by which the server makes links when it recovers: turned to the scratch place."""
    path = os.path.join(data, "tablespace_map")
    text = one.host.read(path)
    if text is None:
        return
    lines = []
    for line in text.split("\n"):
        number = line.split(" ", 1)[0]
        if not line.strip():
            continue
        there = os.path.join(folder, "tblspc", number)
        if not number.isdigit() or not one.host.exists(there):
            raise CannotCheck("its tablespace %s is not in the backup" % line, "Put %s.tar beside base.tar." % number)
        lines.append("%s %s\n" % (number, there))
        link = os.path.join(data, "pg_tblspc", number)
        if not os.path.lexists(link):
            os.symlink(there, link)
    with open(path, "w", encoding="utf-8", opener=_no_follow) as stream:
        stream.write("".join(lines))


def _verify(one: _Test, data: str, manifest: str | None, account: Account | None) -> None:
    """Every file against the manifest, where there is one (from version 13 on)."""
    programs = chosen(one.programs, _major(one, data), one._newer())
    tool = programs.path("pg_verifybackup")
    if not one.host.exists(tool) or not (manifest or one.host.exists(os.path.join(data, "backup_manifest"))):
        return
    words = ["-n", "-q", *(["-m", manifest] if manifest else []), data]
    # Its links and its map are ours by now, and not in the manifest's digests.
    words = [tool, "-i", "tablespace_map", *words]
    ended = run(words, account=None if manifest else account, timeout=one.limits.timeout)
    one.facts["verified_by_manifest"] = ended.rc == 0
    if ended.rc != 0:
        _corrupt(one, "Files of the backup are not as its manifest has them.", _lines(ended.err, 30))


def _corrupt(one: _Test, summary: str, evidence: Sequence[str]) -> None:
    from .postgresql import _Stop

    remedy = "Take a new base backup now, and see the storage under this one."
    one.review.found("backup.archive.corrupt", one.subject, "critical", summary, evidence, remedy)
    raise _Stop


def _major(one: _Test, data: str) -> str:
    return (one.host.read(os.path.join(data, "PG_VERSION"), 20) or "").strip()


# --- recovering ---------------------------------------------------------------------------------------------


_FETCH = """#!/bin/sh
# What PostgreSQL asks of the archive: the file, or a packed one.
set -e
f="$1"
if [ -f "$f" ]; then exec cp "$f" "$2"; fi
if [ -f "$f.gz" ]; then exec gzip -dc "$f.gz" > "$2"; fi
if [ -f "$f.zst" ]; then exec zstd -dcq "$f.zst" > "$2"; fi
if [ -f "$f.xz" ]; then exec xz -dc "$f.xz" > "$2"; fi
if [ -f "$f.lz4" ]; then exec lz4 -dcq "$f.lz4" > "$2"; fi
exit 1
"""


def _recover(one: _Test, folder: str, data: str, account: Account | None, located: Located | None) -> None:
    programs = chosen(one.programs, _major(one, data), one._newer())
    one.facts["version"] = programs.version
    server = Server(
        one.host,
        programs,
        folder,
        account,
        superuser=one.spec["superuser"],
        timeout=one.limits.timeout,
        nice=one.limits.nice,
        read=[one.spec["wal_archive"]] if one.spec.get("wal_archive") else [],
        # pgBackRest fetches the log, from wherever its configuration says.
        confined=one.spec["kind"] != "pgbackrest",
    )
    one.facts["not_confined"] = server.not_confined()
    server.identifier = one.stored_identifier(data)
    server._folders()
    settings = {**loading_settings(Machine.of(one.host)), **_settings(one, folder, data)}
    # The log of a copy must be readable by itself, whatever level production had.
    settings["wal_level"] = "replica"
    with server:
        try:
            with one.timed("server"):
                server.start(settings, one.limits.timeout)
        except NoServer as error:
            _failed(one, server, error)
        one._cover("no_server", "no_room", "not_throwaway", "server_failed")
        for check in CHECKS:
            one.review.covered("backup.archive." + check, one.subject)
        _ask(one, server, located)


def _settings(one: _Test, folder: str, data: str) -> dict[str, str]:
    """The settings of the copy, and the files it needs; its own configuration is put aside."""
    kept = []
    auto = one.host.read(os.path.join(data, "postgresql.auto.conf")) or ""
    if one.spec["kind"] == "pgbackrest":
        kept = [line for line in auto.split("\n") if _KEPT.match(line)]
    _write(os.path.join(data, "postgresql.auto.conf"), "".join(line + "\n" for line in kept))
    for name in ("postmaster.pid", "postmaster.opts", "standby.signal"):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(data, name))
    for name, text in (("upkeep.conf", ""), ("upkeep_hba.conf", "local all all trust\n"), ("upkeep_ident.conf", "")):
        _write(os.path.join(folder, name), text, 0o644)
    settings = {
        "config_file": os.path.join(folder, "upkeep.conf"),
        "hba_file": os.path.join(folder, "upkeep_hba.conf"),
        "ident_file": os.path.join(folder, "upkeep_ident.conf"),
        "shared_preload_libraries": one.spec["preload"] or "",
        "hot_standby": "off",
        "primary_conninfo": "",
        "max_prepared_transactions": "100",
    }
    archive = one.spec.get("wal_archive")
    target = one.spec.get("target_time")
    if one.spec["kind"] == "physical" and (archive or target):
        if not archive:
            raise CannotCheck("target_time needs the log that came after the backup", "Name its folder: wal_archive.")
        script = os.path.join(folder, "fetch")
        _write(script, _FETCH, 0o755)
        words = " ".join(shlex.quote(word).replace("%", "%%") for word in ("/bin/sh", script, archive))
        settings["restore_command"] = words + '/"%f" "%p"'
        _write(os.path.join(data, "recovery.signal"), "", 0o644)
        settings["recovery_target_action"] = "promote"
        if target:
            settings["recovery_target_time"] = target
    return settings


def _write(path: str, text: str, mode: int = 0o644) -> None:
    with open(path, "w", encoding="utf-8", opener=_no_follow) as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)


def _failed(one: _Test, server: Server, error: NoServer) -> None:
    """Why it did not recover."""
    from .postgresql import _Stop

    words = server.last_words() or error.evidence
    if error.check == "no_room":
        raise error
    for pattern, fault, summary, remedy in _FAILED:
        if any(re.search(pattern, line) for line in words):
            one.review.found("backup.archive." + fault, one.subject, "critical", summary, words, remedy)
            raise _Stop
    one.review.found(
        "backup.archive.not_recovered",
        one.subject,
        "critical",
        "The backup could not be recovered and started.",
        words,
        "See the evidence. Where it names a library: option preload. Where it names an account or a path: option "
        "account.",
    )
    raise _Stop


# --- asking -------------------------------------------------------------------------------------------------


_REACHED = re.compile(r"last completed transaction was at log time (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)")


def _ask(one: _Test, server: Server, located: Located | None) -> None:
    user = one.spec["superuser"]
    answer = server.ask(_ABOUT % literal(OWN_SCHEMA), "template1", user, 60)
    if answer.error:
        raise CannotCheck(
            "the recovered server does not let %s in" % user, "Name its superuser (option superuser).", [answer.error]
        )
    facts = {row[0]: row[1] for row in answer.rows if len(row) == 2}
    if not os.path.realpath(facts["data"]).startswith(os.path.realpath(server.folder) + "/"):
        raise NoServer("the server that answers is not the throw-away one", [facts["data"]], "", "not_throwaway")
    one.facts["system_identifier"] = facts["identifier"]
    live = one.live_identifier()
    if live and live != facts["identifier"]:
        one.review.found(
            "backup.archive.wrong_cluster",
            one.subject,
            "critical",
            "The backup is of another server than the live one.",
            ["the backup's system identifier: %s" % facts["identifier"], "the live server's: %s" % live],
            "Was the server made anew since? Take a new base backup (pgBackRest: stanza-upgrade).",
        )
    found = _REACHED.findall("\n".join(server.last_words()))
    from .dumps import stamp

    reached = stamp(found[-1], "UTC") if found else None
    one.facts["recovered_to"] = reached
    content = reached or float(facts["checkpoint"])
    one.facts["content_written"] = content
    if one.spec.get("target_time"):
        one.review.skip(
            "backup.dump.stale", "it was recovered to the point in time that was asked for", "no target_time"
        )
    else:
        how = "the last transaction that was recovered" if reached else "its last checkpoint"
        limit = one.spec["max_age_hours"]
        postgresql_judge.age(one.review, one.subject, content, how, limit, one.host.now())
    databases = [row[0] for row in server.ask(_DATABASES, "template1", user, 60).rows]
    one.facts["databases"] = databases
    with one.timed("checks"):
        there = all(not server.ask(_AMCHECK, name, user, 60).error for name in databases)
        one.check_indexes(server, databases, user, OWN_SCHEMA, there)
        held = one.contents(server, databases, user)
        path = located.source.path if located else one.spec["path"]
        one.compare(held, located.beside if located else (), path)
        wanted = (
            [one.spec["database"]] if one.spec.get("database") else [name for name in databases if name != "postgres"]
        )
        one.ask(server, wanted or databases, user)
    restore = one.times.get("server", 0) + one.times.get("fetch", 0)
    one.facts["restore_seconds"] = round(restore, 2)
    one._cover("slow")
    postgresql_judge.slow(one.review, one.subject, restore, one.spec.get("max_seconds"))
    one.whole = True


_ABOUT = """
SELECT 'data', pg_catalog.current_setting('data_directory');
SELECT 'identifier', system_identifier FROM pg_catalog.pg_control_system();
SELECT 'checkpoint', pg_catalog.date_part('epoch', checkpoint_time) FROM pg_catalog.pg_control_checkpoint();
SELECT 'schema', %s;
"""
_DATABASES = "SELECT datname FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname"
# A fresh name: production's own amcheck may lie anywhere, and an extension can be in a database once.
_AMCHECK = """
SET client_min_messages = error;
CREATE SCHEMA IF NOT EXISTS upkeep_check;
DROP EXTENSION IF EXISTS amcheck CASCADE;
CREATE EXTENSION amcheck SCHEMA upkeep_check;
"""


# --- pgBackRest ---------------------------------------------------------------------------------------------


def _pgbackrest(one: _Test) -> None:
    program = one.host.which("pgbackrest")
    if program is None:
        raise CannotCheck("pgbackrest is not on this host", "apt-get install pgbackrest")
    stanza = one.spec["path"]
    account = one.options.get("account") or ("postgres" if one.host.is_root() else None)
    common = [program, "--stanza=%s" % stanza, "--log-level-file=off", "--log-level-console=error"]
    if one.spec.get("config"):
        common.append("--config=%s" % one.spec["config"])
    newest = _newest_backup(one, common, account, stanza)
    one.facts.update(
        label=newest.get("label"),
        bytes=newest.get("info", {}).get("size"),
        modified=newest.get("timestamp", {}).get("stop"),
    )
    one._cover("missing")
    needed = int(one.spec.get("expected_bytes") or newest.get("info", {}).get("size") or 0) + (3 << 28)
    one.facts["needs_bytes"] = needed
    if one.check_mode:
        one.plan(needed)
        return
    with Scratch(one.options["scratch"], "postgresql", needed, run=one.options["run"], account=account) as scratch:
        data = os.path.join(scratch.path, "data")
        _do(one, ["mkdir", "-m", "0700", data, scratch.path + "/tblspc", scratch.path + "/lock"], account)
        words = [
            *("--pg1-path=%s" % data, "--archive-mode=off", "--tablespace-map-all=%s/tblspc" % scratch.path),
            *("--lock-path=%s/lock" % scratch.path, "--process-max=%d" % max(1, one.host.cpus())),
        ]
        if one.spec.get("target_time"):
            words += ["--type=time", "--target=%s" % one.spec["target_time"], "--target-action=promote"]
        with one.timed("fetch"):
            ended = run([*common, *words, "restore"], account=account, timeout=one.limits.timeout, nice=one.limits.nice)
        if ended.rc != 0:
            said = _lines(ended.out) + _lines(ended.err)
            if any("unable to find backup set" in line or "[075]" in line for line in said):
                one.review.found(
                    "backup.archive.target_not_reached",
                    one.subject,
                    "critical",
                    "There is no backup from before the point in time that was asked for.",
                    said,
                    "See which there are: pgbackrest --stanza=%s info" % stanza,
                )
                from .postgresql import _Stop

                raise _Stop
            _corrupt(one, "pgBackRest could not restore it.", said)
        _recover(one, scratch.path, data, account, None)


def _newest_backup(one: _Test, common: Sequence[str], account: Account | None, stanza: str) -> Mapping[str, Any]:
    ended = run([*common, "--output=json", "info"], account=account, timeout=600)
    try:
        found = json.loads(ended.out or b"[]")
        backups = found[0]["backup"] if found else []
        status = found[0]["status"]["message"] if found else ""
    except (ValueError, KeyError, TypeError, IndexError):
        raise CannotCheck(
            "pgbackrest info was not understood", "Try it by hand.", _lines(ended.err) or _lines(ended.out)
        ) from None
    if not backups:
        raise NotThere(
            "stanza %s of pgBackRest has no backup" % stanza,
            [status, *_lines(ended.err)],
            "pgbackrest --stanza=%s check; then pgbackrest --stanza=%s backup" % (stanza, stanza),
        )
    return dict(max(backups, key=lambda backup: backup["timestamp"]["stop"]))
