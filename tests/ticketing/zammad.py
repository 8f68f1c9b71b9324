# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Zammad's REST API: tickets with articles, an attribute of one's own, a search that lags behind."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from .emulator import Emulator, Reply, Request, Ticket, route, stamp

STATES = ["new", "open", "pending reminder", "closed", "merged", "pending close"]
PRIORITIES = ["1 low", "2 normal", "3 high"]
ATTRIBUTES = {"title", "group", "customer_id", "priority", "state", "owner", "upkeep_key", "tags"}


def fail(status: int, message: str) -> Reply:
    return Reply(status, {"error": message, "error_human": message})


class Zammad(Emulator):
    """A Zammad with the group Operations."""

    attribute_is_there = True

    def authenticate(self, request: Request) -> None:
        token = request.headers.get("authorization", "")
        if token not in ("Token token=zammad-agent", "Token token=zammad-reader"):
            raise fail(401, "Invalid token!")
        self.reader = token.endswith("reader")
        if self.reader and request.method != "GET":
            raise fail(403, "Not authorized")

    @route("GET", "/api/v1/users/me")
    def me(self, request: Request) -> Reply:
        rights = ["read"] if self.reader else ["full"]
        return Reply(200, {"login": "upkeep", "roles": ["Agent"], "groups": {"Operations": rights}})

    @route("GET", "/api/v1/ticket_states")
    def states(self, request: Request) -> Reply:
        return Reply(200, [{"name": name} for name in STATES])

    @route("GET", "/api/v1/ticket_priorities")
    def priorities(self, request: Request) -> Reply:
        return Reply(200, [{"name": name} for name in PRIORITIES])

    def _shown(self, ticket: Ticket) -> dict[str, Any]:
        known = ATTRIBUTES if self.attribute_is_there else ATTRIBUTES - {"upkeep_key"}
        shown = {name: ticket.fields.get(name) for name in known - {"tags"}}
        return shown | {"id": int(ticket.id), "number": f"1{int(ticket.id):04d}"}

    @route("GET", "/api/v1/tickets")
    def index(self, request: Request) -> Reply:
        rows = [self._shown(one) for one in self.tickets.values() if not one.removed]
        return Reply(200, rows[: int(request.query.get("per_page", 50))])

    @route("GET", "/api/v1/tickets/search")
    def search(self, request: Request) -> Reply:
        if request.query.get("expand") != "true":
            raise fail(500, "the emulator knows expanded answers only")
        words = request.query["query"]
        rows = [
            self._shown(one)
            for one in self.indexed()
            if words == one.fields.get("upkeep_key") or any(words in said["body"] for said in one.comments)
        ]
        return Reply(200, rows[: int(request.query.get("limit", 50))])

    def _checked(self, given: dict[str, Any]) -> dict[str, Any]:
        if given.get("state", "new") not in STATES or given.get("priority", "2 normal") not in PRIORITIES:
            raise fail(422, "No lookup value found for 'state' or 'priority'")
        if given.get("group", "Operations") != "Operations":
            raise fail(422, f"No lookup value found for 'group': {given['group']!r}")
        known = ATTRIBUTES if self.attribute_is_there else ATTRIBUTES - {"upkeep_key"}
        return {name: value for name, value in given.items() if name in known}  # the rest is dropped without a word

    @route("POST", "/api/v1/tickets")
    def create(self, request: Request) -> Reply:
        given = request.json
        for name in ("title", "group", "customer_id", "article"):
            if not given.get(name):
                raise fail(422, f"Missing required value for field '{name}'!")
        if not str(given["customer_id"]).startswith("guess:") or "@" not in given["customer_id"]:
            raise fail(422, "No such customer")
        usual = {"state": "new", "priority": "2 normal", "owner": "-"}
        ticket = self.add(usual | self._checked(given))
        self.say(ticket, given["article"], "upkeep@example.com")
        return Reply(201, self._shown(ticket))

    def say(self, ticket: Ticket, given: dict[str, Any], author: str) -> dict[str, Any]:
        """An article of somebody."""
        if not given.get("body"):
            raise fail(422, "Need at least an 'article body' field.")
        if given.get("content_type", "text/plain") not in ("text/plain", "text/html"):
            raise fail(422, "invalid content_type")
        files = []
        for file in given.get("attachments") or ():
            if not file.get("filename") or not file.get("mime-type"):
                raise fail(422, "Attachment needs 'filename', 'data' and 'mime-type'.")
            try:
                ticket.files[file["filename"]] = base64.b64decode(file["data"], validate=True)
            except binascii.Error:
                raise fail(422, "Invalid base64 for attachment with index '0'") from None
            files.append({"id": self.number(), "filename": file["filename"]})
        article = {"id": self.number(), "body": given["body"], "created_by": author, "created_at": stamp()}
        article["content_type"] = given.get("content_type", "text/plain")
        ticket.comments.append(article | {"attachments": files, "internal": given.get("internal", False)})
        return article

    def _there(self, number: str) -> Ticket:
        if number not in self.tickets or self.tickets[number].removed:
            raise fail(404, f"Couldn't find Ticket with 'id'={number}")
        return self.tickets[number]

    @route("GET", "/api/v1/tickets/(\\d+)")
    def read(self, request: Request, number: str) -> Reply:
        return Reply(200, self._shown(self._there(number)))

    @route("PUT", "/api/v1/tickets/(\\d+)")
    def change(self, request: Request, number: str) -> Reply:
        one, given = self._there(number), request.json
        one.fields |= self._checked(given)
        if "article" in given:
            self.say(one, given["article"], "upkeep@example.com")
        return Reply(200, self._shown(one))

    @route("GET", "/api/v1/ticket_articles/by_ticket/(\\d+)")
    def articles(self, request: Request, number: str) -> Reply:
        return Reply(200, self._there(number).comments)

    @route("POST", "/api/v1/ticket_articles")
    def add_article(self, request: Request) -> Reply:
        given = request.json
        return Reply(201, self.say(self._there(str(given.get("ticket_id"))), given, "upkeep@example.com"))

    # -- people --------------------------------------------------------------

    def person_comments(self, number: str, text: str) -> None:
        self.say(self.tickets[number], {"body": text}, "Ann Ops")

    def person_takes(self, number: str) -> None:
        self.tickets[number].fields["owner"] = "Ann Ops"

    def person_resolves(self, number: str) -> None:
        self.tickets[number].fields["state"] = "closed"

    def remove(self, number: str) -> None:
        self.tickets[number].removed = True

    def count(self, key: str) -> int:
        return sum(one.fields.get("upkeep_key") == key for one in self.tickets.values())

    def seen(self, number: str) -> dict[str, Any]:
        one = self.tickets[number]
        return {"title": one.fields["title"], "text": one.comments[0]["body"], "priority": one.fields["priority"],
                "state": one.fields["state"], "comments": [c["body"] for c in one.comments[1:]],
                "files": one.files}  # fmt: skip
