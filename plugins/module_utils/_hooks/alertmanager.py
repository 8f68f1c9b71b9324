# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences of Prometheus' Alertmanager, by its API v2 (0.16 and later)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .http_json import Client, Failed
from .silences import Silence, epoch, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

API = "/api/v2"
_BY = "upkeep/"
"""What stands before the key in ``createdBy``, by which a silence is found again."""


class Alertmanager:
    def __init__(self, client: Client) -> None:
        self._client = client

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

    def make(self, key: str, matchers: Iterable[dict[str, Any]], now: float, ends: float, comment: str) -> str:
        """Make a silence; its id. Raises :class:`Failed`."""
        wanted = [
            {"name": one["name"], "value": one["value"], "isRegex": one["regex"], "isEqual": one["equal"]}
            for one in matchers
        ]
        return self._post(
            {
                "matchers": wanted, "startsAt": rfc3339(now), "endsAt": rfc3339(ends), "createdBy": _BY + key,
                "comment": comment,
            }
        )  # fmt: skip

    def move(self, key: str, silence: Silence, ends: float) -> str:
        """Give a silence another end; its id. Raises :class:`Failed`."""
        wanted = [
            {"name": name, "value": value, "isRegex": regex, "isEqual": equal}
            for name, value, regex, equal in sorted(silence.matchers)
        ]
        return self._post(
            {
                "id": silence.id, "matchers": wanted, "startsAt": silence.starts_text, "endsAt": rfc3339(ends),
                "createdBy": _BY + key, "comment": silence.comment,
            }
        )  # fmt: skip

    def _post(self, body: dict[str, Any]) -> str:
        told = self._client.ask("POST", API + "/silences", body)
        if not isinstance(told, dict) or not isinstance(told.get("silenceID"), str):
            raise Failed("the id of the silence was expected in its answer", "Is url that of an Alertmanager?")
        return str(told["silenceID"])

    def end(self, key: str, silence: Silence) -> None:
        """End a silence of the key; one that has ended in the meantime is well. Raises :class:`Failed`."""
        try:
            self._client.ask("DELETE", API + "/silence/" + silence.id)
        except Failed:
            # It answers 500 or 404 for one that is over already.
            if any(one.id == silence.id for one in self.find(key)):
                raise


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
