# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A plain dump of PostgreSQL on its way to psql: none of psql's own commands gets through, and what it needs is told.

psql obeys lines of a dump that begin with a backslash; ``\\!`` runs programs (CVE-2025-8714). So psql is put into its
restricted mode by a key that no dump can know, and itself refuses every such command, wherever in the SQL it hides.
Three commands that pg_dump writes are taken out before: ``\\restrict`` and ``\\unrestrict``, and ``\\connect NAME``,
which becomes three lines of ours: leave the restricted mode, connect to that database of the same server, enter it
again. (On one line, psql takes what follows for a part of the key: 17.11 does, 15.18 did not.)

Should a dump place such a line where psql does not read commands (in a string, in data), psql reads none of the three
of ours there either; and where it obeys the first it obeys the last, as the name between cannot end its line or its
quotes. Pure.
"""

from __future__ import annotations

import bisect
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_LONG = 1 << 20
"""Bytes of a line beyond which it is passed on in parts: no command is that long."""
_COPY = re.compile(rb"^COPY [^\n]* FROM stdin(?: [^\n]*)?;$", re.M)
_CONNECT = re.compile(
    rb"\\connect (?:-reuse-previous=on \"dbname='([^'\"\\\r\n=:/]{1,200})'\""
    rb"|\"([^\"\\\r\n=:/]{1,200})\""
    rb"|([\w$-]{1,200}))\r?\Z"
)
_RESTRICT = re.compile(rb"\\(?:un)?restrict [A-Za-z0-9]{1,200}\r?\Z")
_GLOBALS_LIMIT = 16 << 20
"""Bytes of the globals of a whole server's dump: a hundred thousand roles."""


class PlainFilter:
    """The change for dump_stream.Flow.pour. :meth:`origin` has the numbers of the dump's own lines.

    ``key``: letters and digits that nobody can guess; empty: the dump is trusted, and psql is not restricted.
    ``on_sql`` is called with the SQL between the data, before psql gets it, in pieces that end with a line.
    ``cluster``: the dump is of a whole server; what comes before its first \\connect (roles, tablespaces) is given to
    ``on_globals`` and not to psql.
    """

    def __init__(
        self,
        key: str,
        on_sql: Callable[[bytes], None],
        on_connect: Callable[[str], None],
        on_globals: Callable[[bytes], None] | None = None,
    ) -> None:
        self.key = key.encode("ascii")
        self._passed = 0
        """Lines that psql was given."""
        self._added: list[int] = []
        """Where psql was given three lines for one: the number of the first."""
        self.on_sql = on_sql
        self.on_connect = on_connect
        self.on_globals = on_globals
        self.first_copy: str = ""
        """The table whose data is being sent, for telling where a cut dump ends."""
        self.in_copy = False
        self._started = False
        self._rest = b""
        self._within = False
        self._globals: list[bytes] | None = [] if on_globals is not None else None

    def __call__(self, block: bytes) -> bytes:
        """The bytes that go to psql for these bytes of the dump; for none, what is left at its end."""
        made = self._change(block)
        self._passed += made.count(b"\n")
        return made

    def origin(self, line: int) -> int:
        """The line of the dump from which a line came that psql was given; 0 of one that is ours."""
        place = bisect.bisect_left(self._added, line)
        ours = 2 * place + (1 if self.key else 0)
        if place and line - self._added[place - 1] == 1:
            ours -= 1
        return max(0, line - ours)

    def _change(self, block: bytes) -> bytes:
        out: list[bytes] = []
        if not self._started:
            self._started = True
            if self.key:
                out.append(b"\\restrict %s\n" % self.key)
        text = self._rest + block if self._rest else block
        self._rest = b""
        if self._within:
            # The rest of a line whose beginning has gone.
            end = text.find(b"\n") + 1
            if not end and block:
                return b"".join([*out, text])
            end = end or len(text)
            out.append(text[:end])
            text = text[end:]
            self._within = False
        if block:
            cut = text.rfind(b"\n") + 1
            if cut < len(text):
                self._rest = text[cut:]
                text = text[:cut]
        self._lines(text, out)
        if not block and self._globals is not None and self.on_globals is not None:
            self.on_globals(b"".join(self._globals))
        if len(self._rest) > _LONG:
            if not self.in_copy:
                self.on_sql(self._rest)
            out.append(self._rest)
            self._rest, self._within = b"", True
        return b"".join(out)

    def _lines(self, text: bytes, out: list[bytes]) -> None:
        at = 0
        while at < len(text):
            if self.in_copy:
                end = (
                    0
                    if text.startswith(b"\\.\n", at) or text.startswith(b"\\.\r\n", at)
                    else self._end_of_data(text, at)
                )
                if end < 0:
                    out.append(text[at:])
                    return
                end = text.index(b"\n", at + end if end == 0 else end) + 1
                out.append(text[at:end])
                self.in_copy = False
                at = end
                continue
            found = _COPY.search(text, at)
            end = len(text) if found is None else found.end() + 1
            self._sql(text[at:end], out)
            at = end
            if found is not None:
                self.in_copy = True
                self.first_copy = found[0].split(b" ", 2)[1].decode("utf-8", "replace")

    @staticmethod
    def _end_of_data(text: bytes, at: int) -> int:
        """Where the line that ends the data begins, -1 where it has not come yet."""
        if text.startswith((b"\\.\n", b"\\.\r\n"), at):
            return at
        unix = text.find(b"\n\\.\n", at)
        found = unix if unix >= 0 else text.find(b"\n\\.\r\n", at)
        return found + 1 if found >= 0 else -1

    def _sql(self, sql: bytes, out: list[bytes]) -> None:
        if not (b"\n\\" in sql or sql.startswith(b"\\")):
            self._pass(sql, out)
            return
        held: list[bytes] = []
        for line in sql.splitlines(keepends=True):
            if not line.startswith(b"\\"):
                held.append(line)
                continue
            bare = line.rstrip(b"\n")
            connect = _CONNECT.match(bare)
            if connect:
                self._pass(b"".join(held), out)
                held = []
                self._connect((connect[1] or connect[2] or connect[3]).decode("utf-8", "replace"), out)
            elif _RESTRICT.match(bare):
                held.append(b"\n")
            else:
                held.append(line)
        self._pass(b"".join(held), out)

    def _pass(self, sql: bytes, out: list[bytes]) -> None:
        if not sql:
            return
        if self._globals is not None:
            self._globals.append(sql)
            out.append(b"\n" * sql.count(b"\n"))
            if sum(map(len, self._globals)) > _GLOBALS_LIMIT:
                raise ValueError("the part of the dump before its first database is larger than 16 MiB")
            return
        self.on_sql(sql)
        out.append(sql)

    def _connect(self, name: str, out: list[bytes]) -> None:
        if self._globals is not None and self.on_globals is not None:
            self.on_globals(b"".join(self._globals))
            self._globals = None
        self.on_connect(name)
        quoted = b'\\connect "%s"' % name.encode("utf-8", "surrogateescape")
        if self.key:
            self._added.append(self._passed + sum(part.count(b"\n") for part in out) + 1)
            quoted = b"\\unrestrict %s\n%s\n\\restrict %s" % (self.key, quoted, self.key)
        out.append(quoted + b"\n")
