# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for ITSM365 (Naumen Service Desk), by what public clients of its REST show; a tenant that wants
``inprogress`` before ``resolved``, and a closing code."""

from __future__ import annotations

import html
import json
import time
from typing import Any

from .emulator import Emulator, Reply, Request, Ticket, route

BASE = "/sd/services/rest"
ATTRIBUTES = {"UUID", "number", "title", "metaClass", "state", "shortDescr", "descriptionRTF", "agreement", "service",
              "clientEmployee", "responsibleTeam", "responsibleEmployee", "urgency", "impact", "sourceMesId",
              "codeOfClosing", "resultDescr", "priority"}  # fmt: skip
WAYS = {"registered": {"inprogress"}, "inprogress": {"resolved", "registered"},
        "resolved": {"closed", "registered", "inprogress"}, "closed": set()}  # fmt: skip


def fail(status: int, text: str) -> Reply:
    return Reply(status, text.encode(), {"Content-Type": "text/plain;charset=UTF-8"})


class Itsm365(Emulator):
    """A tenant."""

    def authenticate(self, request: Request) -> None:
        key = request.query.get("accessKey", "")
        if key not in ("itsm/key+1", "itsm-reader"):
            raise fail(401, "Access key is not valid")
        if key == "itsm-reader" and request.path.split("/")[4] not in ("find", "get", "check-status"):
            raise fail(403, "Insufficient rights")

    @route("GET", BASE + "/check-status")
    def status(self, request: Request) -> Reply:
        return fail(200, "Operation completed successfully")

    def _attributes(self, request: Request, usual: set[str]) -> list[str]:
        names = request.query.get("attrs", "").split(",") if request.query.get("attrs") else sorted(usual)
        wrong = [name for name in names if name not in usual]
        if wrong:
            raise fail(400, f"Attribute '{wrong[0]}' is not found in class")
        return names

    @route("POST", BASE + "/find/serviceCall")
    def find(self, request: Request) -> Reply:
        given, names = request.json, self._attributes(request, ATTRIBUTES)
        unknown = set(given) - ATTRIBUTES
        if unknown:
            raise fail(400, f"Attribute '{unknown.pop()}' is not found in class")
        rows = [one for one in self.indexed() if all(one.fields.get(name) == value for name, value in given.items())]
        return Reply(200, [{name: one.fields.get(name) for name in names} for one in rows])

    @route("POST", BASE + "/create-m2m/serviceCall")
    def create(self, request: Request) -> Reply:
        given = request.json
        self._checked(given)
        for name in ("metaClass", "shortDescr", "agreement", "service", "clientEmployee"):
            if not given.get(name):
                raise fail(400, f"Required attribute is empty: {name}")
        if given["metaClass"] != "serviceCall$call":
            raise fail(400, "Metaclass is not found")
        ticket = self.add({"state": "registered"} | given)
        uuid = f"serviceCall${ticket.id}"
        number = int(ticket.id)
        del self.tickets[ticket.id]
        ticket.id = uuid
        ticket.fields |= {"UUID": uuid, "number": number, "title": f"INC{number}"}
        self.tickets[uuid] = ticket
        return Reply(201, {name: ticket.fields.get(name) for name in self._attributes(request, ATTRIBUTES)})

    def _checked(self, given: dict[str, Any]) -> None:
        unknown = set(given) - ATTRIBUTES
        if unknown:
            raise fail(400, f"Attribute '{unknown.pop()}' is not found in class")
        if not str(given.get("urgency") or "urgency$5").startswith("urgency$"):
            raise fail(400, f"Object is not found: {given['urgency']}")
        if len(given.get("shortDescr", "")) > 255:
            raise fail(400, "The value of the attribute is too long")

    def _there(self, uuid: str) -> Ticket:
        if uuid not in self.tickets or self.tickets[uuid].removed:
            raise fail(404, f"Object is not found: {uuid}")
        return self.tickets[uuid]

    @route("GET", BASE + "/get/([^/]+)")
    def read(self, request: Request, uuid: str) -> Reply:
        fields = dict(self._there(uuid).fields)
        if fields.get("urgency"):
            fields["urgency"] = {
                "UUID": fields["urgency"],
                "title": fields["urgency"].replace("$", " "),
                "metaClass": "urgency",
            }
        return Reply(200, fields)

    @route("POST", BASE + "/edit-m2m/([^/]+)")
    def edit(self, request: Request, uuid: str) -> Reply:
        one, given = self._there(uuid), request.json
        self._checked(given)
        state = given.get("state", one.fields["state"])
        if state != one.fields["state"]:
            if state not in WAYS[one.fields["state"]]:
                raise fail(400, f"Transition from '{one.fields['state']}' to '{state}' is not allowed")
            if state == "resolved" and not (given.get("codeOfClosing") and given.get("resultDescr")):
                raise fail(400, "Required attributes are empty: codeOfClosing, resultDescr")
        one.fields |= given
        return fail(200, "")

    @route("POST", BASE + "/create-m2m/comment")
    def comment(self, request: Request) -> Reply:
        given = request.json
        if not given.get("source") or not given.get("text"):
            raise fail(400, "Required attribute is empty")
        return Reply(201, {"UUID": self.say(self._there(given["source"]), given["text"], "Upkeep")})

    def say(self, ticket: Ticket, text: str, author: str) -> str:
        """A comment of somebody."""
        uuid = f"comment${self.number()}"
        created = time.strftime("%Y.%m.%d %H:%M:%S", time.gmtime())
        ticket.comments.append({"UUID": uuid, "text": text, "author": {"title": author}, "creationDate": created})
        return uuid

    @route("POST", BASE + "/find/(comment|file)")
    def attached(self, request: Request, kind: str) -> Reply:
        one = self._there(request.json["source"])
        if kind == "comment":
            names = self._attributes(request, {"UUID", "text", "author", "creationDate"})
            return Reply(200, [{name: said[name] for name in names} for said in reversed(one.comments)])
        names = self._attributes(request, {"UUID", "title"})
        return Reply(200, [{"UUID": f"file${n}", "title": name} for n, name in enumerate(one.files)])

    @route("POST", BASE + "/add-file/([^/]+)")
    def attach(self, request: Request, uuid: str) -> Reply:
        name, content = request.parts()["file"]
        self._there(uuid).files[name or ""] = content
        return Reply(201, json.dumps([f"file${self.number()}"]).encode())

    # -- people --------------------------------------------------------------

    def person_comments(self, uuid: str, text: str) -> None:
        self.say(self.tickets[uuid], f"<p>{html.escape(text)}</p>".replace("\n", "<br>"), "Ann Ops")

    def person_takes(self, uuid: str) -> None:
        self.tickets[uuid].fields["responsibleEmployee"] = {"UUID": "employee$9", "title": "Ann Ops"}

    def person_resolves(self, uuid: str) -> None:
        self.tickets[uuid].fields["state"] = "resolved"

    def remove(self, uuid: str) -> None:
        self.tickets[uuid].removed = True

    def count(self, key: str) -> int:
        return sum(one.fields.get("sourceMesId") == f"upkeep:{key}" for one in self.tickets.values())

    def seen(self, uuid: str) -> dict[str, Any]:
        one = self.tickets[uuid]
        return {"title": one.fields["shortDescr"], "text": one.fields["descriptionRTF"],
                "priority": one.fields.get("urgency", ""), "state": one.fields["state"],
                "comments": [c["text"] for c in one.comments], "files": one.files}  # fmt: skip
