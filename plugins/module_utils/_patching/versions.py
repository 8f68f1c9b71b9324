# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How dpkg and rpm order versions. Pure."""

from __future__ import annotations

import re
from functools import cmp_to_key

_DEB_PARTS = re.compile(r"(\D*)(\d*)")
_RPM_PARTS = re.compile(r"(~|\^|\d+|[a-zA-Z]+)")


def compare_deb(left: str, right: str) -> int:
    """Negative, 0 or positive as ``left`` is older than, the same as, or newer than ``right``.

    The order is that of Debian Policy 5.6.12: epoch, upstream version, revision; ``~`` sorts before everything.
    """
    left_epoch, left_upstream, left_revision = _split_deb(left)
    right_epoch, right_upstream, right_revision = _split_deb(right)
    return (
        left_epoch - right_epoch
        or _compare_deb_part(left_upstream, right_upstream)
        or _compare_deb_part(left_revision, right_revision)
    )


def _split_deb(version: str) -> tuple[int, str, str]:
    epoch, colon, rest = version.partition(":")
    if not colon or not epoch.isdigit():
        epoch, rest = "0", version
    upstream, _dash, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch), upstream, revision


def _compare_deb_part(left: str, right: str) -> int:
    left_parts, right_parts = _DEB_PARTS.findall(left), _DEB_PARTS.findall(right)
    for position in range(max(len(left_parts), len(right_parts))):
        left_text, left_number = left_parts[position] if position < len(left_parts) else ("", "")
        right_text, right_number = right_parts[position] if position < len(right_parts) else ("", "")
        for place in range(max(len(left_text), len(right_text))):
            difference = _weight(left_text, place) - _weight(right_text, place)
            if difference:
                return difference
        difference = int(left_number or 0) - int(right_number or 0)
        if difference:
            return difference
    return 0


def _weight(text: str, place: int) -> int:
    """Of a character that is no digit: ``~``, then the end of the text, then letters, then all others."""
    if place >= len(text):
        return 0
    character = text[place]
    if character == "~":
        return -1
    return ord(character) if character.isalpha() else ord(character) + 256


def compare_rpm(left: str, right: str) -> int:
    """As :func:`compare_deb` for one rpm version or release (not epoch:version-release): the order of rpmvercmp(3)."""
    left_parts, right_parts = _RPM_PARTS.findall(left), _RPM_PARTS.findall(right)
    for position in range(max(len(left_parts), len(right_parts))):
        one = left_parts[position] if position < len(left_parts) else ""
        other = right_parts[position] if position < len(right_parts) else ""
        if one == other:
            continue
        ranks = (_rank(one), _rank(other))
        if ranks[0] != ranks[1]:
            return ranks[0] - ranks[1]
        if one.isdigit():
            if int(one) != int(other):
                return -1 if int(one) < int(other) else 1
            continue
        return -1 if one < other else 1
    return 0


def _rank(part: str) -> int:
    """``~``, the end, ``^``, letters, digits - from oldest to newest."""
    if part == "~":
        return 0
    if not part:
        return 1
    if part == "^":
        return 2
    return 4 if part.isdigit() else 3


def compare_evr(left: str, right: str) -> int:
    """As :func:`compare_deb` for an rpm's ``epoch:version-release``; a release that one side lacks is not compared."""
    left_epoch, left_version, left_release = _split_deb(left)
    right_epoch, right_version, right_release = _split_deb(right)
    if left_epoch != right_epoch:
        return left_epoch - right_epoch
    of_version = compare_rpm(left_version, right_version)
    if of_version or not left_release or not right_release:
        return of_version
    return compare_rpm(left_release, right_release)


deb_key = cmp_to_key(compare_deb)
"""A key for sorting by :func:`compare_deb`."""
rpm_key = cmp_to_key(compare_rpm)
"""A key for sorting by :func:`compare_rpm`."""
