# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions that Grafana draws over its graphs, by its API of annotations (9.0 and later).

They keep no alert quiet; they tell who looks at a graph what was done then. So they are ended, and not deleted.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from .http_json import Client
from .outcome import Failed
from .silence_options import LONGEST
from .silences import Scope, Silence

if TYPE_CHECKING:
    from collections.abc import Mapping

API = "/api/annotations"
_TAG = "upkeep:"
"""What stands before the key in a tag, by which an annotation is found again."""


class Grafana:
    """Its annotations. They cover all dashboards that ask for their tags, one dashboard, or one panel of it."""

    in_place = False
    severity = "low"
    left = "Until it ends by itself, graphs show work that is over."

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._client = Client(options["url"], options["timeout"], options)
        self._options = options

    def wanted(self) -> Scope:
        return frozenset({("dashboard", self._options["dashboard"] or ""), ("panel", self._options["panel"])})

    def text(self, scope: Scope) -> str:
        of: dict[str, Any] = dict(scope)
        if not of["dashboard"]:
            return "annotation"
        return "annotation of dashboard %s%s" % (of["dashboard"], ", panel %d" % of["panel"] if of["panel"] else "")

    def find(self, key: str) -> list[Silence]:
        now = time.time()
        until = int((now + LONGEST * 60 + 86400) * 1000)
        query = {"tags": _TAG + key, "type": "annotation", "from": int(now * 1000), "to": until, "limit": 1000}
        told = self._client.ask("GET", "%s?%s" % (API, urlencode(query)))
        if not isinstance(told, list):
            raise Failed("a list of annotations was expected", "Is url that of Grafana?")
        try:
            found = [_silence(one, now) for one in told if _TAG + key in (one.get("tags") or [])]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            # Left out, it would be made a second time, and never be ended.
            raise Failed(
                "an annotation of this key cannot be read: %s" % self._client.clean(repr(error)),
                "End it in Grafana, and report this as a fault of Upkeep.",
            ) from None
        return [one for one in found if one.ends > now]

    def make(self, key: str, scope: Scope, now: float, ends: float) -> None:
        body: dict[str, Any] = {
            "time": int(now * 1000), "timeEnd": int(ends * 1000), "text": self._options["comment"],
            "tags": list(dict.fromkeys(["upkeep", _TAG + key, *self._options["tags"]])),
        }  # fmt: skip
        if self._options["dashboard"]:
            body["dashboardUID"] = self._options["dashboard"]
        if self._options["panel"]:
            body["panelId"] = self._options["panel"]
        told = self._client.ask("POST", API, body)
        if not isinstance(told, dict) or not isinstance(told.get("id"), int):
            raise Failed("the id of the annotation was expected in its answer", "Is url that of Grafana?")

    def change(self, key: str, silence: Silence, scope: Scope, now: float, ends: float) -> None:
        self._client.ask("PATCH", "%s/%s" % (API, silence.id), {"timeEnd": int(ends * 1000)})

    def end(self, key: str, silence: Silence) -> None:
        try:
            self._client.ask("PATCH", "%s/%s" % (API, silence.id), {"timeEnd": int(time.time() * 1000)})
        except Failed:
            if any(one.id == silence.id for one in self.find(key)):
                raise

    def not_in_effect(self, silence: Silence) -> list[str]:
        """It is drawn at once."""
        return []

    def close(self) -> None:
        """Nothing was opened."""


def _silence(told: Mapping[str, Any], now: float) -> Silence:
    starts, ends = int(told["time"]) / 1000, int(told["timeEnd"]) / 1000
    scope = frozenset({("dashboard", str(told.get("dashboardUID") or "")), ("panel", int(told.get("panelId") or 0))})
    # An int, for it becomes a part of a path.
    return Silence(str(int(told["id"])), starts <= now, scope, starts, ends, "", str(told.get("text", "")))
