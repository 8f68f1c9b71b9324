# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for GLPI's apirest.php: sessions that end, tickets, followups, solutions, documents."""

from __future__ import annotations

import html
import json
import time
from typing import Any

from .emulator import Emulator, Reply, Request, Ticket, route

COLUMNS = {"name", "content", "type", "status", "urgency", "impact", "priority", "itilcategories_id", "externalid",
           "is_deleted", "requesttypes_id", "locations_id"}  # fmt: skip


def fail(status: int, code: str, message: str = "") -> Reply:
    return Reply(status, [code, message or f"{code}; view documentation in your browser"])


class Glpi(Emulator):
    """A GLPI with an app token."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions: dict[str, str] = {}

    def authenticate(self, request: Request) -> None:
        if request.headers.get("app-token") != "glpi-app":
            raise fail(400, "ERROR_WRONG_APP_TOKEN_PARAMETER")
        if request.path == "/apirest.php/initSession":
            return
        session = request.headers.get("session-token", "")
        if not session:
            raise fail(400, "ERROR_SESSION_TOKEN_MISSING")
        if session not in self.sessions:
            raise fail(401, "ERROR_SESSION_TOKEN_INVALID")
        if self.sessions[session] == "reader" and request.method != "GET":
            raise fail(403, "ERROR_RIGHT_MISSING")

    def end_sessions(self) -> None:
        """As after gc_maxlifetime."""
        self.sessions.clear()

    @route("GET", "/apirest.php/initSession")
    def begin(self, request: Request) -> Reply:
        users = {"user_token glpi-user": "upkeep", "user_token glpi-reader": "reader"}
        user = users.get(request.headers.get("authorization", ""))
        if user is None:
            raise fail(401, "ERROR_GLPI_LOGIN_USER_TOKEN")
        token = f"session{self.number()}"
        self.sessions[token] = user
        return Reply(200, {"session_token": token})

    @route("GET", "/apirest.php/killSession")
    def end(self, request: Request) -> Reply:
        self.sessions.pop(request.headers["session-token"])
        return Reply(200, True)

    @route("GET", "/apirest.php/getFullSession")
    def session(self, request: Request) -> Reply:
        user = self.sessions[request.headers["session-token"]]
        bits = 1 if user == "reader" else 0xFFFF
        rights = {"name": "Technician", "ticket": bits, "followup": bits, "document": bits}
        return Reply(200, {"session": {"glpiname": user, "glpiactiveprofile": rights}})

    def _shown(self, ticket: Ticket) -> dict[str, Any]:
        return {name: ticket.fields.get(name) for name in COLUMNS} | {"id": int(ticket.id)}

    @route("GET", "/apirest.php/Ticket")
    def search(self, request: Request) -> Reply:
        rows = self.indexed()
        for name, value in request.query.items():
            column = name.removeprefix("searchText[").removesuffix("]")
            if name.startswith("searchText[") and column in COLUMNS:  # what is no column is left out
                rows = [one for one in rows if value in str(one.fields.get(column) or "")]
        first, _, last = request.query.get("range", "0-49").partition("-")
        if int(first) > len(rows):
            raise fail(400, "ERROR_RANGE_EXCEED_TOTAL")
        return Reply(
            206 if len(rows) > int(last) + 1 else 200, [self._shown(x) for x in rows[int(first) : int(last) + 1]]
        )

    def _input(self, request: Request) -> dict[str, Any]:
        given = request.json.get("input")
        if not isinstance(given, dict):
            raise fail(400, "ERROR_BAD_ARRAY", "input parameter must be an array of objects")
        return given

    @route("POST", "/apirest.php/Ticket")
    def create(self, request: Request) -> Reply:
        given = self._input(request)
        if not given.get("content") and not given.get("name"):
            raise fail(400, "ERROR_GLPI_ADD", "Mandatory fields are not filled. Please correct: Description")
        usual = {"status": 1, "urgency": 3, "impact": 3, "priority": 3, "is_deleted": 0, "assigned": []}
        return Reply(201, {"id": int(self.add(usual | self._cleaned(given)).id), "message": ""})

    def _cleaned(self, given: dict[str, Any]) -> dict[str, Any]:
        """GLPI 10 keeps rich text with its marks escaped."""
        kept = {name: value for name, value in given.items() if name in COLUMNS}
        for name in ("name", "externalid"):
            if name in kept:
                kept[name] = str(kept[name])[:255]
        if "content" in kept:
            kept["content"] = html.escape(kept["content"], quote=False)
        return kept

    def _there(self, number: str) -> Ticket:
        if number not in self.tickets or self.tickets[number].removed:
            raise fail(404, "ERROR_ITEM_NOT_FOUND")
        return self.tickets[number]

    @route("GET", "/apirest.php/Ticket/([^/]+)")
    def read(self, request: Request, number: str) -> Reply:
        one = self._there(number)
        documents = [{"filename": name} for name in one.files]
        return Reply(200, self._shown(one) | ({"_documents": documents} if request.query.get("with_documents") else {}))

    @route("PUT", "/apirest.php/Ticket/([^/]+)")
    def change(self, request: Request, number: str) -> Reply:
        one, given = self._there(number), self._input(request)
        if one.fields["status"] == 6 and "status" in given and given["status"] != 6:
            return Reply(200, [{number: True, "message": ""}])  # closed: the status is left as it is, without a word
        if given.get("status", 1) not in (1, 2, 3, 4, 5, 6):
            raise fail(400, "ERROR_GLPI_UPDATE")
        one.fields |= self._cleaned(given)
        return Reply(200, [{number: True, "message": ""}])

    @route("GET", "/apirest.php/Ticket/([^/]+)/(ITILFollowup|ITILSolution)")
    def said(self, request: Request, number: str, kind: str) -> Reply:
        rows = [one for one in self._there(number).comments if one["kind"] == kind]
        rows = rows[::-1] if request.query.get("order") == "DESC" else rows
        return Reply(200, [{name: value for name, value in one.items() if name != "kind"} for one in rows[:500]])

    @route("GET", "/apirest.php/Ticket/([^/]+)/Ticket_User")
    def people(self, request: Request, number: str) -> Reply:
        requester = {"id": 1, "users_id": "upkeep", "type": 1}
        there = self._there(number).fields["assigned"]
        return Reply(200, [requester, *({"id": 2, "users_id": name, "type": 2} for name in there)])

    def say(self, ticket: Ticket, kind: str, text: str, author: str) -> int:
        """A followup or a solution of somebody."""
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        content = html.escape(text, quote=False)
        row = {"id": self.number(), "kind": kind, "content": content, "users_id": author, "date_creation": now}
        ticket.comments.append(row)
        return int(row["id"])

    @route("POST", "/apirest.php/(ITILFollowup|ITILSolution)")
    def speak(self, request: Request, kind: str) -> Reply:
        given = self._input(request)
        if given.get("itemtype") != "Ticket" or not given.get("content"):
            raise fail(400, "ERROR_GLPI_ADD")
        one = self._there(str(given["items_id"]))
        if kind == "ITILSolution":
            if one.fields["status"] in (5, 6):
                raise fail(400, "ERROR_GLPI_ADD", "This item is already solved")
            one.fields["status"] = 5
        return Reply(201, {"id": self.say(one, kind, given["content"], "upkeep"), "message": ""})

    @route("POST", "/apirest.php/Document")
    def document(self, request: Request) -> Reply:
        parts = request.parts()
        manifest = json.loads(parts["uploadManifest"][1])["input"]
        name, content = parts["filename[0]"]
        if manifest.get("_filename") != [name] or manifest.get("itemtype") != "Ticket":
            raise fail(400, "ERROR_GLPI_ADD", "No file")
        self._there(str(manifest["items_id"])).files[name or ""] = content
        return Reply(201, {"id": self.number(), "message": "", "upload_result": {"filename": [{"name": name}]}})

    # -- people --------------------------------------------------------------

    def person_comments(self, number: str, text: str) -> None:
        self.say(self.tickets[number], "ITILFollowup", f"<p>{html.escape(text)}</p>", "Ann Ops")

    def person_takes(self, number: str) -> None:
        self.tickets[number].fields["assigned"] = ["Ann Ops"]

    def person_resolves(self, number: str) -> None:
        self.tickets[number].fields["status"] = 5

    def remove(self, number: str) -> None:
        self.tickets[number].fields["is_deleted"] = 1

    def count(self, key: str) -> int:
        return sum(one.fields.get("externalid") == key for one in self.tickets.values())

    def seen(self, number: str) -> dict[str, Any]:
        one = self.tickets[number]
        return {"title": one.fields["name"], "text": html.unescape(one.fields["content"]),
                "priority": str(one.fields["priority"]), "state": str(one.fields["status"]),
                "comments": [html.unescape(c["content"]) for c in one.comments], "files": one.files}  # fmt: skip
