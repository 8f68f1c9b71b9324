# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences of Prometheus' Alertmanager, by its API v2 (0.16 and later)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .http_json import Client
from .outcome import Failed
from .silence_options import identity
from .silences import Scope, Silence, epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Mapping

API = "/api/v2"
_BY = "upkeep/"
"""What stands before the key in ``createdBy``, by which a silence is found again."""


class Alertmanager:
    """Its silences. Of what they cover, a part is a matcher: (name, value, whether regex, whether equal)."""

    in_place = False
    severity = "medium"
    left = "Until it ends by itself, alerts of these hosts call nobody."

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._client = Client(options["url"], options["timeout"], options)
        self._options = options

    def wanted(self) -> Scope:
        return frozenset(identity(matcher) for matcher in self._options["matchers"])

    def text(self, scope: Scope) -> str:
        return matchers_text(scope)

    def find(self, key: str) -> list[Silence]:
        """The silences of the key that are active or will be. Raises :class:`Failed`."""
        told = self._client.ask("GET", API + "/silences")
        if not isinstance(told, list):
            raise Failed("a list of silences was expected", "Is url that of an Alertmanager?")
        found = []
        for one in told:
            if not isinstance(one, dict) or one.get("createdBy") != _BY + key:
                continue
            try:
                if one["status"]["state"] != "expired":
                    found.append(_silence(one))
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                # Left out, it would be made a second time, and never be ended.
                raise Failed(
                    "a silence of this key cannot be read: %s" % self._client.clean(repr(error)),
                    "End it in Alertmanager, and report this as a fault of Upkeep.",
                ) from None
        return found

    def make(self, key: str, scope: Scope, now: float, ends: float) -> None:
        self._post(key, scope, ends, {"startsAt": rfc3339(now), "comment": self._options["comment"]})

    def change(self, key: str, silence: Silence, scope: Scope, now: float, ends: float) -> None:
        same = {"id": silence.id, "startsAt": silence.starts_text, "comment": silence.comment}
        self._post(key, scope, ends, same)

    def _post(self, key: str, scope: Scope, ends: float, more: dict[str, Any]) -> None:
        matchers = [
            {"name": name, "value": value, "isRegex": regex, "isEqual": equal}
            for name, value, regex, equal in sorted(scope)
        ]
        body = {"matchers": matchers, "endsAt": rfc3339(ends), "createdBy": _BY + key, **more}
        told = self._client.ask("POST", API + "/silences", body)
        if not isinstance(told, dict) or not isinstance(told.get("silenceID"), str):
            raise Failed("the id of the silence was expected in its answer", "Is url that of an Alertmanager?")

    def end(self, key: str, silence: Silence) -> None:
        """End a silence of the key; one that has ended in the meantime is well. Raises :class:`Failed`."""
        try:
            self._client.ask("DELETE", API + "/silence/" + silence.id)
        except Failed:
            # It answers 500 or 404 for one that is over already.
            if any(one.id == silence.id for one in self.find(key)):
                raise

    def not_in_effect(self, silence: Silence) -> list[str]:
        """An active silence counts at once."""
        return []

    def close(self) -> None:
        """Nothing was opened."""


def matchers_text(matchers: Scope) -> str:
    """Matchers as Alertmanager writes them."""
    words = [
        "%s%s%s" % (name, ("=~" if equal else "!~") if regex else "=" if equal else "!=", _quoted(value))
        for name, value, regex, equal in sorted(matchers)
    ]
    return "{%s}" % ", ".join(words)


def _quoted(value: str) -> str:
    return '"%s"' % value.replace("\\", "\\\\").replace('"', '\\"')


def _silence(told: dict[str, Any]) -> Silence:
    matchers = frozenset(
        (str(one["name"]), str(one["value"]), bool(one["isRegex"]), bool(one.get("isEqual", True)))
        for one in told["matchers"]
    )
    identity = str(told["id"])
    # It becomes a part of a path.
    if not identity or not identity.replace("-", "").isalnum():
        raise ValueError("its id is no UUID")
    return Silence(
        identity, told["status"]["state"] == "active", matchers, epoch(told["startsAt"]), epoch(told["endsAt"]),
        str(told["startsAt"]), str(told.get("comment", "")),
    )  # fmt: skip
