# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""ServiceNow: Table API and Attachment API of the URL ``https://INSTANCE.service-now.com``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import System, named, when
from .http import quoted
from .protocol import COMMENTS_LIMIT, Check, Comment, Draft, Remote, RemoteState

if TYPE_CHECKING:
    from collections.abc import Iterator


class Adapter(System):
    """One instance."""

    title_limit = 160

    def _headers(self) -> dict[str, str]:
        bearer = self.settings.token and not self.settings.user
        return {"Authorization": f"Bearer {self.settings.token}"} if bearer else {}

    @property
    def _table(self) -> str:
        return f"/api/now/table/{quoted(self.settings.type)}"

    def _find(self, key: str) -> Iterator[Remote]:
        field = self.settings.key_field
        params = {
            "sysparm_query": f"{field}={key}^ORDERBYsys_created_on",
            "sysparm_fields": f"sys_id,number,{field}",
            "sysparm_limit": 10,
        }
        for row in self.http.get(self._table, params)["result"]:
            if row.get(field) == key:
                yield self._remote(row)

    def _remote(self, row: dict[str, Any]) -> Remote:
        page = f"{self.settings.url.rstrip('/')}/nav_to.do?uri={self.settings.type}.do%3Fsys_id%3D{row['sys_id']}"
        return Remote(row["sys_id"], str(row.get("number") or row["sys_id"]), page)

    def _open(self, draft: Draft, title: str, body: str, fields: dict[str, Any]) -> Remote:
        values = {"short_description": title, "description": body, self.settings.key_field: draft.key}
        if self.settings.project:
            values["assignment_group"] = self.settings.project
        return self._remote(self.http.post(self._table, values | fields)["result"])

    def _edit(self, remote_id: str, values: dict[str, Any]) -> None:
        self.http.patch(f"{self._table}/{quoted(remote_id)}", values)

    @property
    def _journal(self) -> str:
        return "work_notes" if self.settings.private else "comments"

    def _comment(self, remote_id: str, body: str) -> None:
        self._edit(remote_id, {self._journal: body})

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        params = {"table_name": self.settings.type, "table_sys_id": remote_id, "file_name": name}
        headers = {"Content-Type": "text/plain"}
        self.http.post("/api/now/attachment/file", params=params, data=content, headers=headers)

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        self._edit(remote_id, {"short_description": title} | fields)

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        said = {self._journal: body} if body else {}
        # The usual data policy asks for both when an incident is resolved; the configuration may say other ones.
        usual = {"close_notes": body or "see the notes", "close_code": "Solved (Permanently)"}
        self._edit(remote_id, {"state": state} | said | (usual if state == self.settings.resolved else {}) | fields)

    def _read(self, remote_id: str) -> RemoteState:
        fields = "state,assigned_to,priority,number"
        row = self.http.get(
            f"{self._table}/{quoted(remote_id)}", {"sysparm_fields": fields, "sysparm_display_value": "all"}
        )["result"]
        journal = self.http.get(
            "/api/now/table/sys_journal_field",
            {
                "sysparm_query": f"element_id={remote_id}^elementINcomments,work_notes^ORDERBYDESCsys_created_on",
                "sysparm_fields": "sys_id,value,sys_created_by,sys_created_on",
                "sysparm_limit": COMMENTS_LIMIT,
            },
        )["result"]
        files = self.http.get(
            "/api/now/attachment", {"sysparm_query": f"table_sys_id={remote_id}", "sysparm_limit": 1000}
        )["result"]
        raw = named(row.get("state"), "value")
        return RemoteState(
            self._state(raw),
            raw,
            named(row.get("assigned_to"), "display_value"),
            named(row.get("priority"), "display_value"),
            tuple(
                Comment(one["sys_id"], one["sys_created_by"], when(one["sys_created_on"]), one["value"])
                for one in reversed(journal)
            ),
            tuple(one["file_name"] for one in files),
        )

    def _probe(self) -> Iterator[Check]:
        fields = [self.settings.key_field, "short_description", "state", *self.settings.fields]
        params = {"sysparm_limit": 1, "sysparm_fields": ",".join(dict.fromkeys(fields))}
        rows = self.http.get(self._table, params)["result"]
        yield Check("credentials and table", True, f"{self.settings.type} can be read")
        # A field that the table does not have is left out of the answer without a word.
        names = {"sysparm_query": f"nameIN{self.settings.type},task^elementIN{','.join(fields)}"}
        known = {one["element"] for one in self.http.get("/api/now/table/sys_dictionary", names)["result"]}
        known |= set(rows[0] if rows else ())
        for field in dict.fromkeys(fields):
            yield self._check(f"field {field}", sorted(known), field, "ask for it, or for the right to read it")
        states = self.http.get(
            "/api/now/table/sys_choice",
            {"sysparm_query": f"nameIN{self.settings.type},task^element=state", "sysparm_fields": "value,label"},
        )["result"]
        for what, state in (("resolved", self.settings.resolved), ("reopened", self.settings.reopened)):
            yield self._check(f"state {what}", [one["value"] for one in states], state, f"set {what} to one of them")
        self.http.get("/api/now/table/sys_journal_field", {"sysparm_limit": 1})
        yield Check("comments can be read", True, "sys_journal_field")
