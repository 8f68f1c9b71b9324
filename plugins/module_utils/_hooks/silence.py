# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A silence made or ended: read, decided, done, and seen to be so by reading again."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

from .._findings import Review
from .alertmanager import Alertmanager
from .grafana import Grafana
from .outcome import Failed, of_bug
from .silences import rfc3339, shown, steps_to_absent, steps_to_present
from .zabbix import Zabbix

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .silences import Scope, Silence, Steps

FAILED = "patch.silence.failed"
LEFT = "patch.silence.left"
_SEEN_WITHIN = 10.0
"""Seconds in which a change must be seen: the members of a cluster tell each other, and any of them may answer."""


class Server(Protocol):
    """One kind. All of it raises :class:`Failed`."""

    in_place: bool
    """Whether a silence is changed where it is, since there cannot be two of one key."""
    severity: str
    """That of the finding when it could not be made or ended."""
    left: str
    """What follows when it could not be ended."""

    def wanted(self) -> Scope:
        """What the options ask to be covered."""

    def text(self, scope: Scope) -> str:
        """What is covered, for a person."""

    def find(self, key: str) -> list[Silence]:
        """The silences of the key: those that are active or will be; where they stay in the way, also those over."""

    def make(self, key: str, scope: Scope, now: float, ends: float) -> None: ...

    def change(self, key: str, silence: Silence, scope: Scope, now: float, ends: float) -> None:
        """Give a silence of the key another end, or another scope."""

    def end(self, key: str, silence: Silence) -> None:
        """End a silence of the key; one that has ended in the meantime is well."""

    def not_in_effect(self, silence: Silence) -> list[str]:
        """What it covers and does not keep quiet yet."""

    def close(self) -> None: ...


_KINDS: dict[str, Any] = {"alertmanager": Alertmanager, "zabbix": Zabbix, "grafana": Grafana}


def silence(options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Make, change or end the silence of a key, by options that :func:`errors_of` lets pass.

    The result has ``ok``, ``msg``, ``changed``, ``silence`` (dict, empty when there is none), ``diff``, and the
    contract's lists. What failed is a finding, not an exception.
    """
    review = Review("patch")
    key, present = options["key"], options["state"] == "present"
    check, kind = FAILED if present else LEFT, _KINDS[options["kind"]]
    told: dict[str, Any] = {"ok": True, "msg": "", "changed": False, "silence": {}, "diff": {"before": "", "after": ""}}
    try:
        server: Server = kind(options)
        try:
            _bring_about(server, options, check_mode, told)
        finally:
            server.close()
        if not check_mode:
            # Of a silence that is there it is known that it did not fail; that none is left is known once it is ended.
            review.covered(check, key)
    except Exception as error:  # noqa: BLE001 - a bug is told: whoever waits for the silence must hear that there is none
        failed = error if isinstance(error, Failed) else of_bug(error)
        told.update(ok=False, msg=_msg(options, failed))
        after = "" if present else " " + kind.left
        evidence = ["%s, asked for state %s" % (options["url"], options["state"]), *failed.evidence]
        review.found(check, key, kind.severity, _msg(options, failed) + after, evidence, failed.remedy)
    told.update(review.result())
    return told


def _bring_about(server: Server, options: Mapping[str, Any], check_mode: bool, told: dict[str, Any]) -> None:
    key, present = options["key"], options["state"] == "present"
    found = server.find(key)
    now = time.time()
    wanted = server.wanted() if present else frozenset()
    steps = steps_to_present(found, wanted, options, now, server.in_place) if present else steps_to_absent(found)
    after = [(server.text(steps.scope), steps.ends)] if present else []
    told["diff"] = {
        "before": shown(key, [(server.text(one.scope), one.ends) for one in found]), "after": shown(key, after)
    }  # fmt: skip
    if present:
        told["silence"] = _told(key, steps.kept.id if steps.kept else "", server.text(steps.scope), steps.ends)
    if check_mode:
        told["changed"] = steps.changes
        return
    if steps.changes:
        told["changed"] = True  # A server that does not answer may have done it.
        _carry_out(server, key, steps, now)
    if steps.changes or present:
        told["silence"] = _seen(server, key, present, options)


def _carry_out(server: Server, key: str, steps: Steps, now: float) -> None:
    if steps.make:
        server.make(key, steps.scope, now, steps.ends)
    elif steps.change and steps.kept is not None:
        server.change(key, steps.kept, steps.scope, now, steps.ends)
    for old in steps.end:
        server.end(key, old)


def _seen(server: Server, key: str, present: bool, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the server has now, once it is what was asked for. Raises :class:`Failed` when it does not become so."""
    began = time.monotonic()
    while True:
        found = server.find(key)
        active = [one for one in found if one.active]
        there = present and len(found) == len(active) == 1
        waited = time.monotonic() - began
        quiet = server.not_in_effect(active[0]) if there and options["wait"] else []
        if there and not quiet:
            return _told(key, active[0].id, server.text(active[0].scope), active[0].ends)
        if not present and not found:
            return {}
        if quiet and waited > options["wait"]:
            what = "it is there, and not in effect after %d s for %s" % (options["wait"], ", ".join(quiet))
            raise Failed(what, "Is the server behind the frontend running? Its timer does this once a minute.")
        if not there and waited > _SEEN_WITHIN:
            asked = "exactly one active silence" if present else "no silence"
            what = "%s was asked for, and there are %d after %d s" % (asked, len(found), _SEEN_WITHIN)
            raise Failed(what, "Does somebody else make silences of this key, or is a cluster of servers split?")
        time.sleep(0.3 if not quiet else 1.0)


def _told(key: str, silence_id: str, covers: str, ends: float) -> dict[str, Any]:
    return {"key": key, "id": silence_id, "covers": covers, "ends": round(ends, 3), "ends_at": rfc3339(ends)}


def _msg(options: Mapping[str, Any], failed: Failed) -> str:
    done = "made" if options["state"] == "present" else "ended"
    return "The silence %s could not be %s at %s: %s." % (options["key"], done, options["url"], failed.what)
