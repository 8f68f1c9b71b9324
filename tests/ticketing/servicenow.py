# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for ServiceNow's Table API and Attachment API, with the out-of-the-box incident and its data policy."""

from __future__ import annotations

import base64
import hashlib
import re
import time
from typing import Any

from .emulator import Emulator, Reply, Request, Ticket, route

COLUMNS = {
    "sys_id", "number", "short_description", "description", "state", "urgency", "impact", "priority", "category",
    "assignment_group", "assigned_to", "correlation_id", "correlation_display", "close_code", "close_notes",
    "work_notes", "comments", "caller_id", "cmdb_ci", "hold_reason", "sys_created_on",
}  # fmt: skip
STATES = {"1": "New", "2": "In Progress", "3": "On Hold", "6": "Resolved", "7": "Closed", "8": "Canceled"}
CODES = {"Solved (Permanently)", "Solved (Work Around)", "Closed/Resolved by Caller", "Solution provided"}
# Impact, urgency: ServiceNow's own table of priorities.
MATRIX = {("1", "1"): "1", ("1", "2"): "2", ("1", "3"): "3", ("2", "1"): "2", ("2", "2"): "3", ("2", "3"): "4",
          ("3", "1"): "3", ("3", "2"): "4", ("3", "3"): "5"}  # fmt: skip


def fail(status: int, message: str, detail: str = "") -> Reply:
    return Reply(status, {"error": {"message": message, "detail": detail}, "status": "failure"})


class ServiceNow(Emulator):
    """An instance."""

    def authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        if given == "Basic " + base64.b64encode(b"reader:snow-reader").decode():
            if request.method != "GET":
                raise fail(403, "Operation Failed", "ACL Exception Insert Failed due to security constraints")
        elif given != "Basic " + base64.b64encode(b"upkeep:snow-upkeep").decode():
            raise fail(401, "User Not Authenticated", "Required to provide Auth information")

    def _rows(self, query: str) -> list[Ticket]:
        """Encoded queries; a column that is not there is left out, as with glide.invalid_query.returns_no_rows off."""
        rows = self.indexed()
        for part in query.split("^"):
            found = re.fullmatch(r"(\w+)=(.*)", part)
            if found and found[1] in COLUMNS:
                rows = [one for one in rows if one.fields.get(found[1]) == found[2]]
        return rows

    def _shown(self, ticket: Ticket, request: Request) -> dict[str, Any]:
        wanted = request.query.get("sysparm_fields", "")
        names = [name for name in wanted.split(",") if name in COLUMNS] if wanted else sorted(COLUMNS)
        row = {name: ticket.fields.get(name, "") for name in names}
        if request.query.get("sysparm_display_value") == "all":
            return {
                name: {"value": value, "display_value": STATES.get(value, value) if name == "state" else value}
                for name, value in row.items()
            }
        return row

    @route("GET", "/api/now/table/incident")
    def search(self, request: Request) -> Reply:
        rows = self._rows(request.query.get("sysparm_query", ""))[: int(request.query.get("sysparm_limit", 10000))]
        return Reply(200, {"result": [self._shown(one, request) for one in rows]})

    @route("POST", "/api/now/table/incident")
    def create(self, request: Request) -> Reply:
        ticket = self.add({"state": "1", "sys_created_on": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())})
        sys_id = hashlib.md5(ticket.id.encode()).hexdigest()
        del self.tickets[ticket.id]
        ticket.id, ticket.fields["sys_id"], ticket.fields["number"] = sys_id, sys_id, f"INC{int(ticket.id):07d}"
        self.tickets[sys_id] = ticket
        self._set(ticket, request.json)
        return Reply(201, {"result": self._shown(ticket, request)})

    def _set(self, ticket: Ticket, given: dict[str, Any]) -> None:
        state = str(given.get("state", ticket.fields["state"]))
        after = ticket.fields | given
        if state == "6" and not (after.get("close_code") in CODES and after.get("close_notes")):
            raise fail(403, "Operation Failed", "Error: Data Policy Exception: Resolution code and notes are mandatory")
        if ticket.fields["state"] in ("7", "8") and state != ticket.fields["state"]:
            state = ticket.fields["state"]  # closed is closed: a business rule sets it back without a word
        for name, value in given.items():
            if name in ("work_notes", "comments"):
                self.say(ticket, str(value), "upkeep")
            elif name in COLUMNS - {
                "sys_id",
                "number",
                "priority",
                "state",
            }:  # what is not there is left out without a word
                ticket.fields[name] = str(value)[:160] if name == "short_description" else str(value)
        ticket.fields["state"] = state if state in STATES else ticket.fields["state"]
        pair = (ticket.fields.get("impact", "3"), ticket.fields.get("urgency", "3"))
        ticket.fields["priority"] = MATRIX.get(pair, "5")

    def say(self, ticket: Ticket, text: str, author: str) -> None:
        """A line of the journal."""
        now = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        entry = {"sys_id": f"{self.number():032x}", "value": text, "sys_created_by": author, "sys_created_on": now}
        ticket.comments.append(entry | {"element": "work_notes", "element_id": ticket.id})

    def _there(self, sys_id: str) -> Ticket:
        if sys_id not in self.tickets or self.tickets[sys_id].removed:
            raise fail(404, "No Record found", "Record doesn't exist or ACL restricts the record retrieval")
        return self.tickets[sys_id]

    @route("GET", "/api/now/table/incident/([^/]+)")
    def read(self, request: Request, sys_id: str) -> Reply:
        return Reply(200, {"result": self._shown(self._there(sys_id), request)})

    @route("PATCH", "/api/now/table/incident/([^/]+)")
    def change(self, request: Request, sys_id: str) -> Reply:
        self._set(self._there(sys_id), request.json)
        return Reply(200, {"result": self._shown(self.tickets[sys_id], request)})

    @route("GET", "/api/now/table/sys_journal_field")
    def journal(self, request: Request) -> Reply:
        query = request.query.get("sysparm_query", "")
        wanted = re.search(r"element_id=(\w+)", query)
        rows = [c for one in self.tickets.values() for c in one.comments if not wanted or one.id == wanted[1]]
        rows = rows[::-1] if "ORDERBYDESC" in query else rows
        return Reply(200, {"result": rows[: int(request.query.get("sysparm_limit", 10000))]})

    @route("GET", "/api/now/table/sys_dictionary")
    def dictionary(self, request: Request) -> Reply:
        return Reply(200, {"result": [{"element": name} for name in sorted(COLUMNS)]})

    @route("GET", "/api/now/table/sys_choice")
    def choices(self, request: Request) -> Reply:
        return Reply(200, {"result": [{"value": value, "label": label} for value, label in STATES.items()]})

    @route("GET", "/api/now/attachment")
    def files(self, request: Request) -> Reply:
        wanted = request.query["sysparm_query"].partition("table_sys_id=")[2]
        ticket = self.tickets.get(wanted)
        return Reply(200, {"result": [{"file_name": name} for name in (ticket.files if ticket else ())]})

    @route("POST", "/api/now/attachment/file")
    def attach(self, request: Request) -> Reply:
        if request.query.get("table_name") != "incident" or not request.query.get("file_name"):
            raise fail(400, "Missing table_name, table_sys_id or file_name")
        if not request.headers.get("content-type"):
            raise fail(415, "Unsupported Media Type")
        self._there(request.query["table_sys_id"]).files[request.query["file_name"]] = request.raw
        return Reply(201, {"result": {"sys_id": f"{self.number():032x}", "file_name": request.query["file_name"]}})

    # -- people --------------------------------------------------------------

    def person_comments(self, sys_id: str, text: str) -> None:
        self.say(self.tickets[sys_id], text, "Ann Ops")

    def person_takes(self, sys_id: str) -> None:
        self.tickets[sys_id].fields["assigned_to"] = "Ann Ops"

    def person_resolves(self, sys_id: str) -> None:
        self.tickets[sys_id].fields["state"] = "6"

    def remove(self, sys_id: str) -> None:
        self.tickets[sys_id].removed = True

    def count(self, key: str) -> int:
        return sum(one.fields.get("correlation_id") == key for one in self.tickets.values())

    def seen(self, sys_id: str) -> dict[str, Any]:
        one = self.tickets[sys_id]
        return {"title": one.fields["short_description"], "text": one.fields["description"],
                "priority": one.fields["priority"], "state": one.fields["state"],
                "comments": [c["value"] for c in one.comments], "files": one.files}  # fmt: skip
