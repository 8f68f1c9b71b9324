# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of the wanted packages can go into one transaction, when not all can. Pure.

Its text is also sent to the Python that dnf runs with, which may be 3.6: hence no annotations.
"""

from __future__ import annotations

from typing import Any  # noqa: F401 - in the type comments, which Python 3.6 can read

MYPY = False
if MYPY:  # never true: for the type checker alone, and without an import that the text would take along
    pass


def text():
    # type: () -> str
    """The text of this file."""
    return str(__loader__.get_source(__name__))  # type: ignore[name-defined] # set by whatever imported this


def search(items, refused, trials=60):
    # type: (list[Any], Any, int) -> tuple[list[Any], list[tuple[Any, Any]]]
    """The items that can be had together, and those that cannot, each with why not.

    ``refused(items)`` tries a transaction of just these items: false when it is acceptable, otherwise why it is not.
    The items are taken in their order, the most urgent first: which of two that exclude each other is kept follows
    from it. When all can be had it takes one trial, and for each one that cannot some 2 log2(n) more. After ``trials``
    of them what is left to try is left out, so that a hopeless host has an end.
    """
    left = []  # type: list[tuple[Any, Any]]
    spent = [0]

    def add(base, more):
        # type: (list[Any], list[Any]) -> list[Any]
        if not more:
            return []
        if spent[0] >= trials:
            left.extend((item, "") for item in more)
            return []
        spent[0] += 1
        why = refused(base + more)
        if not why:
            return list(more)
        if len(more) == 1:
            left.append((more[0], why))
            return []
        half = len(more) // 2
        first = add(base, more[:half])
        return first + add(base + first, more[half:])

    return add([], list(items)), left
