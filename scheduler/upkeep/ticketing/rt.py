# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Request Tracker 5: REST 2.0 at ``/REST/2.0`` of the URL, by user and password or by an authentication token.

Needs a custom field of the queue for our key. What RT does not know or allow it says in words, and answers 200 or 201.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from .base import System, named, when
from .http import quoted
from .protocol import Check, Comment, Draft, Held, Refused, Remote, RemoteState

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/REST/2.0"
PAGE = 100
PAGES = 10
"""Of transactions: their number is not told to who is no administrator."""


class Adapter(System):
    """One Request Tracker."""

    title_limit = 200

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._texts: dict[str, str] = {}
        """Texts of transactions by attachment: they never change there."""
        self._queue_checked = False

    def _headers(self) -> dict[str, str]:
        token = self.settings.token and not self.settings.user
        return {"Authorization": f"token {self.settings.token}"} if token else {}

    def _find(self, key: str) -> Iterator[Remote]:
        field = self.settings.key_field
        params = {"query": f"'CF.{{{field}}}' = '{key}'", "fields": "Subject,CustomFields", "orderby": "id"}
        found = self.http.get(f"{API}/tickets", params)["items"]
        for row in sorted(found, key=lambda row: int(row["id"])):
            if key in (value for one in row["CustomFields"] if one["name"] == field for value in one["values"]):
                yield self._remote(str(row["id"]))
        if not found:
            # Without the right to see the field it finds nothing, whatever is there.
            self._key_is_there()

    def _remote(self, number: str) -> Remote:
        return Remote(number, f"#{number}", f"{self.settings.url.rstrip('/')}/Ticket/Display.html?id={number}")

    def _key_is_there(self) -> None:
        if not self._queue_checked:
            names = self._fields_of_queue()
            if self.settings.key_field not in names:
                raise Held(
                    f"the queue {self.settings.project} shows no custom field {self.settings.key_field}: {names}"
                )
            self._queue_checked = True

    def _fields_of_queue(self) -> list[str]:
        queue = self.http.get(f"{API}/queue/{quoted(self.settings.project)}")
        return [one["name"] for one in queue.get("TicketCustomFields") or ()]

    def _open(self, draft: Draft, title: str, body: str, fields: dict[str, Any]) -> Remote:
        self._key_is_there()
        custom = {**fields.pop("CustomFields", {}), self.settings.key_field: draft.key}
        values = {
            "Queue": self.settings.project,
            "Subject": title,
            "Content": body,
            "ContentType": self._mime,
            "CustomFields": custom,
        }
        if self.settings.customer:
            values["Requestor"] = self.settings.customer
        return self._remote(str(self.http.post(f"{API}/ticket", values | fields)["id"]))

    @property
    def _mime(self) -> str:
        return "text/html" if self.settings.format == "html" else "text/plain"

    def _named_priority(self, name: str) -> dict[str, Any]:
        return {"Priority": name}

    def _comment(self, remote_id: str, body: str) -> None:
        self._say(remote_id, {"Content": body, "ContentType": self._mime})

    def _say(self, remote_id: str, values: dict[str, Any]) -> None:
        kind = "comment" if self.settings.private else "correspond"
        self.http.post(f"{API}/ticket/{quoted(remote_id)}/{kind}", values)

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        file = {"FileName": name, "FileType": "text/plain", "FileContent": base64.b64encode(content).decode()}
        self._say(remote_id, {"Content": self._file_note(name), "ContentType": self._mime, "Attachments": [file]})

    def _edit(self, remote_id: str, values: dict[str, Any]) -> str:
        said = self.http.put(f"{API}/ticket/{quoted(remote_id)}", values)
        return "; ".join(map(str, said or ()))

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        said = self._edit(remote_id, {"Subject": title} | fields)
        if "ermission denied" in said:
            raise Held(f"no right to change tickets: {said}")

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        if body:
            self._comment(remote_id, body)
        said = self._edit(remote_id, {"Status": state} | fields)
        if f"'{state}'" not in said or "isn't" in said:
            raise Refused(f"it did not come to the state {state!r}: {said}")

    def _read(self, remote_id: str) -> RemoteState:
        path = f"{API}/ticket/{quoted(remote_id)}"
        row = self.http.get(path)
        if row["Status"] == "deleted":
            return RemoteState("gone", "deleted")
        spoken = {
            one["id"]: one
            for one in self._pages(f"{path}/history", "Type,Creator,Created")
            if one["Type"] in ("Comment", "Correspond")
        }
        files, comments = [], []
        for one in self._pages(f"{path}/attachments", "Filename,ContentType,TransactionId"):
            if one["Filename"]:
                files.append(one["Filename"])
            elif one["ContentType"] in ("text/plain", "text/html"):
                said = spoken.pop(str(one["TransactionId"]), None)
                if said:
                    text = self._text(str(one["id"]))
                    comments.append(Comment(said["id"], named(said["Creator"], "id"), when(said["Created"]), text))
        owner = named(row["Owner"], "id")
        return RemoteState(
            self._state(row["Status"]),
            row["Status"],
            "" if owner == "Nobody" else owner,
            str(row["Priority"]),
            tuple(comments),
            tuple(files),
        )

    def _pages(self, path: str, fields: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in range(1, PAGES + 1):
            params = {"fields": fields, "per_page": PAGE, "page": page, "orderby": "id", "order": "DESC"}
            items = self.http.get(path, params)["items"]
            found += items
            if len(items) < PAGE:
                break
        return sorted(found, key=lambda one: int(one["id"]))

    def _text(self, attachment: str) -> str:
        if attachment not in self._texts:
            row = self.http.get(f"{API}/attachment/{quoted(attachment)}", {"fields": "Content"})
            content = base64.b64decode(row.get("Content") or "")
            self._texts[attachment] = content.decode("utf-8", "replace")
        return self._texts[attachment]

    def _probe(self) -> Iterator[Check]:
        version = self.http.get(f"{API}/rt")["Version"]
        yield Check("credentials", True, f"Request Tracker {version}")
        names = self._fields_of_queue()
        yield Check("queue", True, self.settings.project)
        remedy = "an administrator adds it to the queue, with SeeCustomField and ModifyCustomField for this user"
        yield self._check(f"custom field {self.settings.key_field}", names, self.settings.key_field, remedy)
        for field in self.settings.fields.get("CustomFields") or ():
            yield self._check(f"custom field {field}", names, field, remedy)
        links = self.http.get(f"{API}/queue/{quoted(self.settings.project)}")["_hyperlinks"]
        may = any(one["ref"] == "create" for one in links)
        yield Check("right CreateTicket", may, self.settings.project, "give it to this user in the queue")
