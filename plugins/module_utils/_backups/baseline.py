# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a database held when it was dumped: rows of each table, and its structure, to hold a restored one against.

A baseline is one JSON document on one line for each database, so that a file may hold those of a whole server::

    {"upkeep_baseline": 1, "engine": "postgresql", "database": "shop", "taken": 1795370842.0, "server_version": "15.18",
     "rows": {"public.orders": 1000}, "objects": {"index public.orders_pkey": "9f86d081…"}, "invalid": []}

``objects`` names every table, index, constraint, view, routine, trigger … with a digest of its definition. The customer
writes it beside the dump by one query (postgresql_sql.BASELINE); the same query asks the restored database, and the
live one. Pure.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = 1
FILE_LIMIT = 64 * 1024 * 1024
"""Bytes of a baseline's file that are read: a million objects of 60 bytes."""


class BadBaseline(Exception):  # noqa: N818 - an outcome, not a bug
    """What was read is no baseline: why, for a sentence that begins with its name."""


class Baseline(NamedTuple):
    """One database at one time."""

    engine: str
    database: str
    taken: float | None
    """Seconds since the epoch."""
    server_version: str
    rows: Mapping[str, int]
    """``schema.table`` -> rows."""
    objects: Mapping[str, str]
    """``kind schema.name`` -> a digest of what it is; empty where only its being there is noted."""
    invalid: tuple[str, ...] = ()
    """Constraints that are not validated, and indexes that are not valid."""

    def counts(self) -> dict[str, int]:
        """How many objects there are of each kind."""
        counted: dict[str, int] = {}
        for name in self.objects:
            kind = name.split(" ", 1)[0]
            counted[kind] = counted.get(kind, 0) + 1
        return counted

    def total(self) -> int:
        return sum(self.rows.values())


def parse(text: str) -> dict[str, Baseline]:
    """The baselines of a file, by database. Raises BadBaseline."""
    found: dict[str, Baseline] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = json.loads(line)
        except (ValueError, RecursionError):
            raise BadBaseline("has a line %d that is not JSON" % number) from None
        if not isinstance(one, dict) or one.get("upkeep_baseline") != FORMAT:
            raise BadBaseline('has a line %d without "upkeep_baseline": %d' % (number, FORMAT))
        made = _baseline(one, number)
        found[made.database] = made
    if not found:
        raise BadBaseline("is empty")
    return found


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _baseline(one: Mapping[str, Any], number: int) -> Baseline:
    rows, objects, invalid = one.get("rows") or {}, one.get("objects") or {}, one.get("invalid") or []
    if not isinstance(rows, dict) or not all(_is_count(count) for count in rows.values()):
        raise BadBaseline("has a line %d whose rows are not table: number" % number)
    if not isinstance(objects, dict) or not all(isinstance(digest, str) for digest in objects.values()):
        raise BadBaseline("has a line %d whose objects are not name: digest" % number)
    if not isinstance(invalid, list) or not all(isinstance(name, str) for name in invalid):
        raise BadBaseline("has a line %d whose invalid is not a list of names" % number)
    taken = one.get("taken")
    return Baseline(
        str(one.get("engine") or ""),
        str(one.get("database") or ""),
        float(taken) if isinstance(taken, (int, float)) and taken - taken == 0 else None,
        str(one.get("server_version") or ""),
        rows,
        objects,
        tuple(invalid),
    )


class Difference(NamedTuple):
    """One thing that is not as it was."""

    kind: str
    """rows, missing, changed, extra (of objects)."""
    name: str
    line: str
    """As a person reads it."""


def compare_rows(expected: Baseline, found: Baseline, tolerance: float = 0.0, slack: int = 0) -> list[Difference]:
    """Tables whose rows differ by more than ``tolerance`` percent of what was expected and ``slack`` rows, worst first.

    A table that is missing is told by :func:`compare_objects`; here it lacks all its rows.
    """
    off = []
    for name, count in expected.rows.items():
        there = found.rows.get(name)
        difference = abs((there or 0) - count)
        if difference == 0 and there is not None:
            continue
        if there is not None and difference <= max(count * tolerance / 100, slack):
            continue
        told = "not there" if there is None else "%d rows" % there
        if there is not None or count:
            off.append((difference, Difference("rows", name, "%s: %s, expected %d" % (name, told, count))))
    return [one for _size, one in sorted(off, key=lambda pair: (-pair[0], pair[1].name))]


def compare_objects(expected: Baseline, found: Baseline, ignore: Iterable[str] = ()) -> list[Difference]:
    """What is missing, changed, or there in addition: tables first. ``ignore``: names that are not looked at.

    Digests are only held against each other where both servers are of one major version: definitions are worded anew
    by each.
    """
    skip = set(ignore)
    same = expected.server_version.split(".")[0] == found.server_version.split(".")[0]
    differences = []
    for name, digest in expected.objects.items():
        if name in skip:
            continue
        if name not in found.objects:
            differences.append(Difference("missing", name, "%s is missing" % name))
        elif same and digest and found.objects[name] and digest != found.objects[name]:
            differences.append(Difference("changed", name, "%s is defined otherwise" % name))
    differences += [
        Difference("extra", name, "%s was not there" % name)
        for name in found.objects
        if name not in expected.objects and name not in skip
    ]
    first = ("schema", "table", "constraint", "index")
    order = {kind: place for place, kind in enumerate(first)}
    return sorted(differences, key=lambda one: (order.get(one.name.split(" ", 1)[0], len(first)), one.kind, one.name))
