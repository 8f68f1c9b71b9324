# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A silence made or ended: read, decided, done, and seen to be so by reading again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .._findings import Review
from .alertmanager import Alertmanager
from .http_json import Client, Failed
from .silence_options import identity
from .silences import Silence, Steps, matchers_text, rfc3339, shown, steps_to_absent, steps_to_present

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FAILED = "patch.silence.failed"
LEFT = "patch.silence.left"
_SEEN_WITHIN = 10.0
"""Seconds in which a change must be seen: the members of a cluster tell each other, and any of them may answer."""


def silence(options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make, move or end the silence of a key, by options that :func:`errors_of` lets pass.

    The result has ``ok``, ``msg``, ``changed``, ``silence`` (dict, empty when there is none), ``diff``, and the
    contract's lists. What failed is a finding, not an exception.
    """
    review = Review("patch")
    key, present = options["key"], options["state"] == "present"
    told: dict[str, Any] = {"ok": True, "msg": "", "changed": False, "silence": {}, "diff": {"before": "", "after": ""}}
    wrote = False
    try:
        server = Alertmanager(Client(options))
        now = time.time()
        found = server.find(key)
        steps = steps_to_present(found, options, now) if present else steps_to_absent(found)
        told["diff"] = _difference(key, found, steps, options)
        told["silence"] = _planned(key, steps, options) if present else {}
        if not check_mode and steps.changes:
            wrote = True
            _carry_out(server, key, steps, options, now)
            told["silence"] = _seen(server, key, present)
        told["changed"] = steps.changes
        if not check_mode:
            # Of a silence that is there it is known that it did not fail; that none is left is known once it is ended.
            review.covered(FAILED if present else LEFT, key)
    except Failed as failed:
        told.update(ok=False, changed=wrote, msg=_msg(options, failed))
        check = FAILED if present else LEFT
        after = "" if present else " Until it ends by itself, alerts of these hosts call nobody."
        review.found(
            check,
            key,
            "medium",
            _msg(options, failed) + after,
            ["%s, asked for state %s" % (options["url"], options["state"])],
            failed.remedy,
        )
    told.update(review.result())
    return told


def _carry_out(server: Alertmanager, key: str, steps: Steps, options: Mapping[str, Any], now: float) -> None:
    if steps.make:
        server.make(key, options["matchers"], now, steps.ends, options["comment"])
    elif steps.move and steps.kept is not None:
        server.move(key, steps.kept, steps.ends)
    for old in steps.end:
        server.end(key, old)


def _seen(server: Alertmanager, key: str, present: bool) -> dict[str, Any]:
    """What the server has now, once it is what was asked for. Raises :class:`Failed` when it does not become so."""
    deadline = time.monotonic() + _SEEN_WITHIN
    while True:
        found = server.find(key)
        active = [one for one in found if one.active]
        if present and len(found) == len(active) == 1:
            return _told(key, active[0].id, active[0].matchers, active[0].ends)
        if not present and not found:
            return {}
        if time.monotonic() > deadline:
            asked = "exactly one active silence" if present else "no silence"
            what = "%s was asked for, and there are %d after %d s" % (asked, len(found), _SEEN_WITHIN)
            raise Failed(what, "Does somebody else make silences of this key, or is a cluster of servers split?")
        time.sleep(0.3)


def _told(key: str, silence_id: str, matchers: Iterable[tuple[str, str, bool, bool]], ends: float) -> dict[str, Any]:
    return {
        "key": key, "id": silence_id, "matchers": matchers_text(matchers), "ends": round(ends, 3),
        "ends_at": rfc3339(ends),
    }  # fmt: skip


def _wanted(steps: Steps, options: Mapping[str, Any]) -> frozenset[tuple[str, str, bool, bool]]:
    return steps.kept.matchers if steps.kept else frozenset(identity(one) for one in options["matchers"])


def _planned(key: str, steps: Steps, options: Mapping[str, Any]) -> dict[str, Any]:
    return _told(key, steps.kept.id if steps.kept else "", _wanted(steps, options), steps.ends)


def _difference(key: str, found: list[Silence], steps: Steps, options: Mapping[str, Any]) -> dict[str, str]:
    after = []
    if steps.make or steps.kept:
        after = [(_wanted(steps, options), steps.ends)]
    return {"before": shown(key, [(one.matchers, one.ends) for one in found]), "after": shown(key, after)}


def _msg(options: Mapping[str, Any], failed: Failed) -> str:
    done = "made" if options["state"] == "present" else "ended"
    return "The silence %s could not be %s at %s: %s." % (options["key"], done, options["url"], failed.what)
