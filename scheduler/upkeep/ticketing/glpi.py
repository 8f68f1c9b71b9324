# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GLPI 9.5 and later: REST at ``apirest.php`` of the URL, with a user's token and, where set up, an app token."""

from __future__ import annotations

import contextlib
import html
import json
from typing import TYPE_CHECKING, Any

from .base import System, named, when
from .http import quoted
from .protocol import COMMENTS_LIMIT, Check, Comment, Draft, Held, Later, Refused, Remote, RemoteState

if TYPE_CHECKING:
    from collections.abc import Iterator

ASSIGNED = 2
"""Of Ticket_User.type: requester 1, assigned 2, observer 3."""
CREATE, UPDATE = 4, 2
"""Bits of GLPI's rights."""


class Adapter(System):
    """One GLPI."""

    title_limit = 250
    _session = ""

    def _call(self, method: str, path: str, **more: Any) -> Any:
        """One request within a session; a session that has ended is begun once more: then nothing was done."""
        fresh = not self._session
        if fresh:
            self._begin()
        try:
            return self._sent(method, path, **more)
        except Held:
            if fresh:
                raise
            self._begin()
            return self._sent(method, path, **more)

    def _app(self) -> dict[str, str]:
        return {"App-Token": self.settings.app_token} if self.settings.app_token else {}

    def _begin(self) -> None:
        headers = self._app() | {"Authorization": f"user_token {self.settings.token}"}
        try:
            self._session = self.http.get("/apirest.php/initSession", headers=headers)["session_token"]
        except Refused as error:
            raise Held(f"no session: {error}") from None  # 400 ERROR_WRONG_APP_TOKEN_PARAMETER

    def _sent(self, method: str, path: str, **more: Any) -> Any:
        headers = self._app() | {"Session-Token": self._session}
        return self.http.request(method, f"/apirest.php{path}", headers=headers, **more).data

    def close(self) -> None:
        """End the session as well; one that is left ends by itself."""
        if self._session:
            with contextlib.suppress(Refused, Held, Later):
                self._sent("GET", "/killSession", text=True)
        super().close()

    def _find(self, key: str) -> Iterator[Remote]:
        field = self.settings.key_field
        params = {f"searchText[{field}]": key, "range": "0-49", "sort": "id", "order": "ASC"}
        for row in self._call("GET", "/Ticket", params=params):
            if row.get(field) == key and not row.get("is_deleted"):
                yield self._remote(row["id"])

    def _remote(self, number: int) -> Remote:
        page = f"{self.settings.url.rstrip('/')}/front/ticket.form.php?id={number}"
        return Remote(str(number), f"#{number}", page)

    def _open(self, draft: Draft, title: str, body: str, fields: dict[str, Any]) -> Remote:
        values = {"name": title, "content": body, "type": int(self.settings.type), self.settings.key_field: draft.key}
        if self.settings.project:
            values["_groups_id_assign"] = int(self.settings.project)
        return self._remote(self._add("Ticket", values | fields))

    def _add(self, kind: str, values: dict[str, Any]) -> int:
        made = self._call("POST", f"/{kind}", body={"input": values})
        return int(made["id"])

    def _comment(self, remote_id: str, body: str) -> None:
        values = {"itemtype": "Ticket", "items_id": int(remote_id), "content": body}
        self._add("ITILFollowup", values | {"is_private": int(self.settings.private)})

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        manifest = {"name": name, "_filename": [name], "itemtype": "Ticket", "items_id": int(remote_id)}
        files = {
            "uploadManifest": (None, json.dumps({"input": manifest}), "application/json"),
            "filename[0]": (name, content, "text/plain"),
        }
        self._call("POST", "/Document", files=files)

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        self._edit(remote_id, {"name": title} | fields)

    def _edit(self, remote_id: str, values: dict[str, Any]) -> None:
        self._call("PUT", f"/Ticket/{quoted(remote_id)}", body={"input": {"id": int(remote_id)} | values})

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        if state in self.settings.done:
            # A solution brings the ticket to 5 (solved) by itself.
            solution = {"itemtype": "Ticket", "items_id": int(remote_id), "content": body or "see the followups"}
            self._add("ITILSolution", solution | fields)
            if state != "5":
                self._edit(remote_id, {"status": int(state)})
            return
        if body:
            self._comment(remote_id, body)
        self._edit(remote_id, {"status": int(state)} | fields)

    def _read(self, remote_id: str) -> RemoteState:
        path = f"/Ticket/{quoted(remote_id)}"
        row = self._call("GET", path, params={"with_documents": "true"})
        if row.get("is_deleted"):
            return RemoteState("gone")
        newest = {"range": f"0-{COMMENTS_LIMIT - 1}", "order": "DESC", "expand_dropdowns": "true"}
        said = [
            (one["date_creation"] or "", f"{kind[4:].lower()}-{one['id']}", one)
            for kind in ("ITILFollowup", "ITILSolution")
            for one in self._call("GET", f"{path}/{kind}", params=newest)
        ]
        people = self._call("GET", f"{path}/Ticket_User", params={"expand_dropdowns": "true"})
        raw = str(row["status"])
        return RemoteState(
            self._state(raw),
            raw,
            ", ".join(named(one["users_id"]) for one in people if one["type"] == ASSIGNED),
            str(row["priority"]),
            tuple(
                Comment(number, named(one.get("users_id")), when(one["date_creation"]), _plain(one["content"]))
                for _, number, one in sorted(said, key=lambda row: row[:2])
            ),
            tuple(one["filename"] for one in row.get("_documents") or ()),
        )

    def _probe(self) -> Iterator[Check]:
        session = self._call("GET", "/getFullSession")["session"]
        profile = session.get("glpiactiveprofile") or {}
        yield Check("credentials", True, f"{session.get('glpiname')}, profile {profile.get('name')}")
        for what, right, bit in (
            ("open tickets", "ticket", CREATE),
            ("change tickets", "ticket", UPDATE),
            ("write followups", "followup", CREATE),
            ("add documents", "document", CREATE),
        ):
            has = bool(int(profile.get(right) or 0) & bit)
            yield Check(f"right to {what}", has, str(profile.get(right)), "give it to the profile of this user")
        for what, state in (("resolved", self.settings.resolved), ("reopened", self.settings.reopened)):
            yield self._check(f"state {what}", "123456", state, f"set {what} to one of them")
        rows = self._call("GET", "/Ticket", params={"range": "0-0"})
        field = self.settings.key_field
        if rows:
            yield self._check(f"field {field}", sorted(rows[0]), field, "set key_field to a column of the tickets")
        else:
            yield Check(f"field {field}", True, "there is no ticket yet to look at", "--write tries it")
        category = self.settings.fields.get("itilcategories_id")
        if isinstance(category, int):
            row = self._call("GET", f"/ITILCategory/{category}")
            yield Check("category", True, named(row, "completename", "name"))


def _plain(body: str) -> str:
    """GLPI up to 10 keeps HTML with its marks escaped once more."""
    return html.unescape(body) if "<" not in body and ("&lt;" in body or "&#60;" in body) else body
