# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database dump is, told by its first and its last bytes: who wrote it, in which form, of which server, when,
and whether it goes on to its end. Pure.
"""

from __future__ import annotations

import bz2
import calendar
import lzma
import re
import time
import zlib
from typing import NamedTuple

HEAD = 64 * 1024
"""Bytes of a dump's beginning that :func:`identify` wants (fewer where the dump has fewer)."""
TAIL = 8 * 1024
"""Bytes of a dump's end that :func:`ending` wants."""

COMPRESSIONS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "gz"),
    (b"\x28\xb5\x2f\xfd", "zst"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"BZh", "bz2"),
    (b"\x04\x22\x4d\x18", "lz4"),
)
"""Magic bytes of the compressions, by their files' usual endings (RFC 1952, RFC 8878; xz, bzip2 and LZ4 formats)."""

DECOMPRESS: dict[str, list[str]] = {
    "gz": ["gzip", "-dc"],
    "zst": ["zstd", "-dcq"],
    "xz": ["xz", "-dc"],
    "bz2": ["bzip2", "-dc"],
    "lz4": ["lz4", "-dcq"],
}
"""The program that unpacks standard input to standard output; Debian's package bears its name (``xz``: xz-utils)."""


class Dump(NamedTuple):
    """What a dump's first bytes say of it."""

    engine: str = ""
    """postgresql, mysql, mariadb, or empty where nothing tells (SQL without a header)."""
    format: str = ""
    """plain (SQL), custom, directory, tar (pg_dump's), or empty when it is no dump."""
    cluster: bool = False
    """Whether it is of a whole server (pg_dumpall, mysqldump --all-databases)."""
    database: str = ""
    """The database that it is of, where its header names one."""
    server_version: str = ""
    """The version of the server that it was taken from, as the header has it."""
    tool_version: str = ""
    """The version of the program that wrote it."""
    written: float | None = None
    """When it was begun, in seconds since the epoch, where its header tells."""
    fault: str = ""
    """Empty; or empty (no bytes, or blanks only), error_text, encrypted, compressed (twice), not_sql."""
    why: str = ""
    """The fault in words, for a sentence that begins with the dump's name."""
    evidence: tuple[str, ...] = ()
    """The lines that tell so, as they stand in it."""

    @property
    def major(self) -> str:
        """The server's major version, as its packages are named: "15" and "9.6" of PostgreSQL, "10.11" and "8.0"."""
        return major_version(self.engine, self.server_version)


def major_version(engine: str, version: str) -> str:
    """The major version of a server's version: of PostgreSQL one number from 10 on, of all others two."""
    numbers = re.match(r"(\d+)(?:\.(\d+))?", version)
    if not numbers:
        return ""
    if (engine == "postgresql" and int(numbers[1]) >= 10) or numbers[2] is None:
        return numbers[1]
    return "%s.%s" % numbers.groups()


def compression(head: bytes) -> str:
    """How bytes are compressed (a key of :data:`DECOMPRESS`), empty when they are not."""
    for magic, name in COMPRESSIONS:
        if head.startswith(magic):
            return name
    return ""


def unpack_head(head: bytes, limit: int = HEAD) -> bytes | None:
    """The first bytes of what is compressed, as far as ``head`` goes; None when Python has no means (zst, lz4).

    What is not compressed is returned as it is; damaged data ends where the damage is.
    """
    kind = compression(head)
    try:
        if kind == "gz":
            return zlib.decompressobj(wbits=31).decompress(head, limit)
        if kind == "xz":
            return lzma.LZMADecompressor().decompress(head, limit)
        if kind == "bz2":
            return bz2.BZ2Decompressor().decompress(head, limit)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError):
        return b""
    return None if kind else head[:limit]


# --- what it is -----------------------------------------------------------------------------------

_POSTGRESQL = re.compile(rb"^-- PostgreSQL database( cluster)? dump\s*$", re.M)
_DUMPED_FROM = re.compile(rb"^-- Dumped from database version ([^\r\n]{1,200})", re.M)
_DUMPED_BY = re.compile(rb"^-- Dumped by pg_dump(?:all)? version ([^\r\n]{1,200})", re.M)
_STARTED = re.compile(rb"^-- Started on (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?: ([A-Z0-9+-]{1,10}))?", re.M)
_CONNECT = re.compile(rb"^\\connect (?:-reuse-previous=on \"dbname='([^'\r\n]{1,200})'\"|\"?([^\"\s]{1,200})\"?)", re.M)
# "-- MySQL dump 10.13  Distrib 8.0.36, for Linux", "-- MariaDB dump 10.19-11.4.2-MariaDB, for debian-linux-gnu"
_MYSQL = re.compile(rb"^-- (MySQL|MariaDB) dump (\d[\w.]*)(?:-|[ \t]+(?:Distrib )?)([^\s,]{1,80})?", re.M)
_MYSQL_SERVER = re.compile(rb"^-- Server version[ \t]+([^\r\n]{1,200})", re.M)
_MYSQL_DATABASE = re.compile(rb"^-- Host: [^\r\n]{0,200}?[ \t]Database: ?([^\r\n]{0,200})", re.M)
_MYSQL_ALL = re.compile(rb"^-- Current Database: ", re.M)

# What programs say instead of a dump, where the job sends their complaints into the file, or is no dump at all.
_ERROR_TEXT = re.compile(
    rb"(?i)\s*(?:(?:\S{0,200}/)?(?:pg_dump|pg_dumpall|mysqldump|mariadb-dump|mysql|psql|docker|kubectl|sudo|su|ssh|"
    rb"bash|sh|-bash|/bin/sh|dash|time|nice|timeout|gzip|zstd)(?:\[\d+\])?: (?!\[warning\])|error\b|fatal\b|"
    rb"connection (?:refused|to )|could not|cannot |can't |access denied|permission denied|no such file|"
    rb"command not found|usage:|password:|enter password|traceback |<!doctype|<html|<\?xml|\{\s*\"(?:error|message)\")"
)
# How SQL begins when it bears no header: a comment or one of the statements with which dumps begin.
_SQL = re.compile(
    rb"(?i)\s*(?:--[ \t\r\n!-]|/\*|(?:set|create|drop|insert|begin|start transaction|use|alter|lock tables|copy|select|"
    rb"delete|truncate|pragma|grant|update|replace|delimiter|comment on)\b|\\(?:un)?restrict )"
)
_ENCRYPTED = (
    (b"-----BEGIN PGP MESSAGE", "GnuPG"),
    (b"age-encryption.org/", "age"),
    (b"-----BEGIN AGE ENCRYPTED FILE", "age"),
    (b"Salted__", "openssl enc"),
    (b"$ANSIBLE_VAULT;", "ansible-vault"),
    (b"\x85\x01", "GnuPG"),
    (b"\x85\x02", "GnuPG"),
    (b"\x8c\x0d\x04", "GnuPG"),
)


def identify(head: bytes) -> Dump:
    """What a dump is, told by its first bytes, already unpacked (at most :data:`HEAD` are looked at)."""
    head = head[:HEAD]
    if head.startswith(b"PGDMP"):
        return _archive(head, "custom")
    if head[257:262] == b"ustar" and head.startswith(b"toc.dat\0"):
        return _archive(head[512:], "tar")
    if not head.strip(b" \t\r\n\0\x0c\xef\xbb\xbf"):
        return Dump(fault="empty", why="has no bytes" if not head else "holds nothing but blanks")
    return _text(head)


def _text(head: bytes) -> Dump:
    found = _POSTGRESQL.search(head)
    if found:
        cluster = found[1] is not None
        connected = None if cluster else _CONNECT.search(head)
        return Dump(
            "postgresql",
            "plain",
            cluster,
            _string(connected[1] or connected[2]) if connected else "",
            _first(_DUMPED_FROM, head),
            _first(_DUMPED_BY, head),
            _started(head),
        )
    found = _MYSQL.search(head)
    if found:
        server = _first(_MYSQL_SERVER, head)
        named = _first(_MYSQL_DATABASE, head).strip()
        maria = found[1] == b"MariaDB" or "mariadb" in server.lower() or b"mariadb" in (found[3] or b"").lower()
        return Dump(
            "mariadb" if maria else "mysql",
            "plain",
            not named or _MYSQL_ALL.search(head) is not None,
            named,
            # Before MySQL 5.5 and from MariaDB's first releases there is "5.5.5-10.11.14-MariaDB": the second counts.
            re.sub(r"^5\.5\.5-(?=\d)", "", server),
            _string(found[3] or found[2]),
        )
    first = _lines(head)
    for magic, program in _ENCRYPTED:
        if head.startswith(magic):
            return Dump(fault="encrypted", why="is encrypted (%s)" % program)
    packed = compression(head)
    if packed:
        return Dump(fault="compressed", why="is compressed twice (%s within)" % packed)
    if _ERROR_TEXT.match(head):
        return Dump(fault="error_text", why="holds an error message instead of a dump", evidence=first)
    if b"\0" in head[:4096] or not _SQL.match(head.lstrip(b"\xef\xbb\xbf")):
        return Dump(fault="not_sql", why="is not SQL, nor an archive that pg_dump writes", evidence=first)
    return Dump("", "plain", evidence=first[:3])


def _lines(head: bytes, count: int = 8) -> tuple[str, ...]:
    lines = [_string(line) for line in head[:4000].split(b"\n")[:count]]
    return tuple(line for line in lines if line.strip())


def _first(pattern: re.Pattern[bytes], head: bytes) -> str:
    found = pattern.search(head)
    return _string(found[1]) if found else ""


def _string(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _started(head: bytes) -> float | None:
    """When pg_dump --verbose says that it began."""
    found = _STARTED.search(head)
    return stamp(_string(found[1]), _string(found[2] or b"")) if found else None


def stamp(text: str, zone: str = "") -> float | None:
    """Seconds since the epoch of "2026-11-22 18:00:01"; where the zone is not UTC, this host's is taken: dumps that
    bear a local time tell no more, and most are taken where they are tried."""
    try:
        moment = time.strptime(" ".join(text.split()), "%Y-%m-%d %H:%M:%S")
        return float(calendar.timegm(moment)) if zone in ("UTC", "GMT", "Etc/UTC") else time.mktime(moment)
    except (ValueError, OverflowError):
        return None


# --- pg_dump's archives ---------------------------------------------------------------------------


class _Reader:
    """The header of an archive of pg_dump, as src/bin/pg_dump/pg_backup_archiver.c (ReadHead) reads it."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.int_size = 4

    def byte(self) -> int:
        value = self.data[self.at]  # IndexError: cut
        self.at += 1
        return value

    def integer(self) -> int:
        sign = self.byte()
        value = sum(self.byte() << (8 * place) for place in range(self.int_size))
        return -value if sign else value

    def text(self) -> str:
        length = self.integer()
        if length < 0:
            return ""
        if length > 4096 or self.at + length > len(self.data):
            raise IndexError
        value = self.data[self.at : self.at + length]
        self.at += length
        return _string(value)


def _archive(data: bytes, form: str) -> Dump:
    reader = _Reader(data)
    try:
        reader.at = 5
        version = (reader.byte(), reader.byte(), reader.byte())
        reader.int_size = reader.byte()
        if not 1 <= reader.int_size <= 8:
            raise IndexError
        reader.byte()  # the size of an offset
        kind = reader.byte()  # 1 custom, 3 tar, 5 directory
        # From 1.15 (PostgreSQL 16) on an algorithm in one byte, before it a level in an integer.
        if version >= (1, 15, 0):
            reader.byte()
        else:
            reader.integer()
        second, minute, hour, day, month, year, daylight = (reader.integer() for _field in range(7))
        database, server, tool = reader.text(), reader.text(), reader.text()
    except IndexError:
        return Dump(
            "postgresql",
            form,
            fault="truncated",
            why="ends within its header" if len(data) < HEAD - 512 else "has a header that makes no sense",
        )
    try:
        written: float | None = time.mktime((year + 1900, month + 1, day, hour, minute, second, 0, 0, daylight))
    except (ValueError, OverflowError):
        written = None
    if form == "custom" and kind == 3:
        form = "directory"  # its toc.dat calls itself a tar's (pg_backup_directory.c, WriteHead)
    return Dump("postgresql", form, False, database, server, tool, written)


# --- whether it goes on to its end ----------------------------------------------------------------


class Ending(NamedTuple):
    """What a plain dump's last bytes say."""

    complete: bool | None
    """Whether it ends as its writer ends a dump; None where nothing can be told (SQL without a header)."""
    written: float | None = None
    """When it was completed, in seconds since the epoch, where the trailer tells."""
    last: str = ""
    """Its last line."""


_PG_END = re.compile(
    rb"-- PostgreSQL database(?: cluster)? dump complete\r?\n--\s*(?:\n\\unrestrict [A-Za-z0-9]{1,200}\s*)?\Z"
)
_PG_COMPLETED = re.compile(rb"-- Completed on (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)(?: ([A-Z0-9+-]{1,10}))?")
_MYSQL_END = re.compile(rb"-- Dump completed(?: on (\d{4}-\d\d-\d\d +\d\d?:\d\d:\d\d))?\s*\Z")


def ending(dump: Dump, tail: bytes) -> Ending:
    """Whether a plain dump goes on to its end: ``tail`` is its last bytes (:data:`TAIL` of them), unpacked.

    An archive is complete or not in ways that its last bytes do not tell: then complete is None.
    """
    tail = tail[-TAIL:]
    lines = tail.rstrip().rsplit(b"\n", 1)
    last = _string(lines[-1][-500:])
    if dump.format != "plain":
        return Ending(None, None, "")
    if dump.engine == "postgresql":
        # A cluster's dump ends with the words of the cluster; those of its last database stand further up.
        found = _PG_END.search(tail)
        complete = found is not None and (not dump.cluster or b"cluster dump complete" in found[0])
        completed = _PG_COMPLETED.search(tail)
        written = stamp(_string(completed[1]), _string(completed[2] or b"")) if completed else None
        return Ending(complete, written, last)
    if dump.engine in ("mysql", "mariadb"):
        found = _MYSQL_END.search(tail)
        return Ending(found is not None, stamp(_string(found[1])) if found and found[1] else None, last)
    return Ending(None, None, last)
