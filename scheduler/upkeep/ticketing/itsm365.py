# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ITSM365 (Naumen Service Desk), REST of the URL ``https://TENANT/sd/services/rest``.

Tenants differ: class, attributes and states are configuration. The key travels in the URL, so no URL is ever shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import System, named, when
from .http import quoted
from .protocol import Check, Comment, Remote, RemoteState

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE = "upkeep:"
"""Before our key, in an attribute that other sources use as well."""


class Adapter(System):
    """One tenant."""

    title_limit = 255

    def _params(self, **more: str) -> dict[str, str]:
        return {"accessKey": self.settings.token} | more

    @property
    def _class(self) -> str:
        return self.settings.type.partition("$")[0]

    def _find(self, key: str) -> Iterator[Remote]:
        attribute = self.settings.key_field
        params = self._params(attrs=f"UUID,number,title,{attribute}")
        wanted = SOURCE + key
        rows = self.http.post(f"/find/{quoted(self._class)}", {attribute: wanted}, params=params, reads=True)
        for row in sorted(rows, key=lambda row: int(row.get("number") or 0)):
            if row[attribute] == wanted:
                yield self._remote(row)

    def _remote(self, row: dict[str, Any]) -> Remote:
        site = self.settings.url.partition("/services/")[0]
        shown = str(row.get("title") or row.get("number") or row["UUID"])
        return Remote(row["UUID"], shown, f"{site}/operator/#uuid:{row['UUID']}")

    def _open(self, draft: Any, title: str, body: str, fields: dict[str, Any]) -> Remote:
        values = {
            "metaClass": self.settings.type,
            "shortDescr": title,
            "descriptionRTF": body,
            self.settings.key_field: SOURCE + draft.key,
        }
        if self.settings.project:
            values["responsibleTeam"] = self.settings.project
        params = self._params(attrs="UUID,number,title")
        return self._remote(self.http.post(f"/create-m2m/{quoted(self._class)}", values | fields, params=params))

    def _comment(self, remote_id: str, body: str) -> None:
        values = {"source": remote_id, "text": body, "private": self.settings.private}
        self.http.post("/create-m2m/comment", values, params=self._params(attrs="UUID"))

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        path = f"/add-file/{quoted(remote_id)}"
        self.http.post(path, files={"file": (name, content, "text/plain")}, params=self._params(), text=True)

    def _edit(self, remote_id: str, values: dict[str, Any]) -> None:
        self.http.post(f"/edit-m2m/{quoted(remote_id)}", values, params=self._params(), text=True)

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        self._edit(remote_id, {"shortDescr": title} | fields)

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        if body:
            self._comment(remote_id, body)
        self._edit(remote_id, {"state": state} | fields)

    def _named_priority(self, name: str) -> dict[str, Any]:
        return {"urgency": name}

    def _read(self, remote_id: str) -> RemoteState:
        row = self.http.get(f"/get/{quoted(remote_id)}", self._params())
        comments = self._of("comment", remote_id, "UUID,text,author,creationDate")
        files = self._of("file", remote_id, "UUID,title")
        raw = named(row.get("state"), "code", "title")
        return RemoteState(
            self._state(raw),
            raw,
            named(row.get("responsibleEmployee"), "title", "UUID"),
            named(row.get("urgency") or row.get("priority"), "title", "UUID"),
            tuple(
                Comment(one["UUID"], named(one.get("author"), "title", "UUID"), _at(one), str(one.get("text") or ""))
                for one in sorted(comments, key=lambda one: int(one["UUID"].partition("$")[2] or 0))
            ),
            tuple(named(one.get("title")) for one in files),
        )

    def _of(self, kind: str, remote_id: str, attributes: str) -> list[dict[str, Any]]:
        found = self.http.post(
            f"/find/{kind}", {"source": remote_id}, params=self._params(attrs=attributes), reads=True
        )
        return list(found or [])

    def _probe(self) -> Iterator[Check]:
        self.http.request("GET", "/check-status", params=self._params(), text=True)
        yield Check("answers", True, self.settings.url)
        list(self._find("upkeep-probe"))
        attribute = self.settings.key_field
        yield Check("access key, class, key attribute", True, f"{self._class} can be searched by {attribute}")
        wanted = {
            "metaClass",
            *self.settings.fields,
            *(
                name
                for one in self.settings.priorities.values()
                for name in (one if isinstance(one, dict) else ("urgency",))
            ),
        }
        params = self._params(attrs=",".join(["UUID", "state", *sorted(wanted)]))
        rows = self.http.post(
            f"/find/{quoted(self._class)}", {"metaClass": self.settings.type}, params=params, reads=True
        )
        yield Check("type and its attributes", True, f"{self.settings.type}: {', '.join(sorted(wanted))}")
        seen = sorted({named(row.get("state"), "code", "title") for row in rows})
        for what, state in (("resolved", self.settings.resolved), ("reopened", self.settings.reopened)):
            # States cannot be listed; those of the tickets that are there are a hint only.
            known = "seen among its tickets" if state in seen else f"not seen yet among its tickets ({', '.join(seen)})"
            yield Check(f"state {what}", True, f"{state}: {known}", "--write tries it")


def _at(row: dict[str, Any]) -> float | None:
    given = row.get("creationDate")
    return when(given.replace(".", "-") if isinstance(given, str) and given[4:5] == "." else given)
