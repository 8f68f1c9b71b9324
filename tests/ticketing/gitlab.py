# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for GitLab's REST API 4: issues, notes, uploads, labels."""

from __future__ import annotations

from typing import Any

from .emulator import Emulator, Reply, Request, Ticket, route, stamp

P = r"/api/v4/projects/(ops%2Fmaintenance|7)"
KNOWN = {"title", "description", "labels", "issue_type", "confidential", "assignee_ids", "due_date", "milestone_id",
         "weight"}  # fmt: skip


class GitLab(Emulator):
    """The project ops/maintenance."""

    def authenticate(self, request: Request) -> None:
        token = request.headers.get("private-token", "")
        if token not in ("glpat-upkeep", "glpat-guest"):
            raise Reply(401, {"message": "401 Unauthorized"})
        if token == "glpat-guest" and request.method != "GET":
            raise Reply(403, {"message": "403 Forbidden"})
        self.level = 30 if token == "glpat-upkeep" else 10

    @route("GET", "/api/v4/user")
    def me(self, request: Request) -> Reply:
        return Reply(200, {"id": 5, "username": "upkeep", "name": "Upkeep"})

    @route("GET", P)
    def project(self, request: Request, _: str) -> Reply:
        permissions = {"project_access": {"access_level": self.level}, "group_access": None}
        return Reply(200, {"id": 7, "issues_access_level": "enabled", "permissions": permissions})

    @route("GET", P + "/labels")
    def labels(self, request: Request, _: str) -> Reply:
        return Reply(200, [{"name": "priority::1"}])

    @route("GET", P + "/issues")
    def search(self, request: Request, _: str) -> Reply:
        words = request.query.get("search", "").lower()
        column = request.query.get("in", "title,description")
        rows = [
            self._shown(one)
            for one in self.indexed()
            if any(words in (one.fields[name] or "").lower() for name in column.split(","))
        ]
        return Reply(200, sorted(rows, key=lambda row: row["iid"], reverse=request.query.get("sort") != "asc"))

    @route("POST", P + "/issues")
    def create(self, request: Request, _: str) -> Reply:
        given = request.json
        if not given.get("title"):
            raise Reply(400, {"error": "title is missing"})
        if len(given["title"]) > 255:
            raise Reply(400, {"message": {"title": ["is too long (maximum is 255 characters)"]}})
        if given.get("issue_type", "issue") not in ("issue", "incident", "test_case", "task"):
            raise Reply(400, {"error": "issue_type does not have a valid value"})
        if not isinstance(given.get("labels", ""), (str, list)):
            raise Reply(400, {"error": "labels is invalid"})
        labels = given.get("labels") or []
        fields = {name: given.get(name) for name in KNOWN} | {
            "labels": labels.split(",") if isinstance(labels, str) else labels,
            "state": "opened",
            "assignees": [],
        }
        ticket = self.add(fields)
        self._quick(ticket, fields["description"] or "")
        return Reply(201, self._shown(ticket))

    def _quick(self, ticket: Ticket, text: str) -> None:
        """GitLab carries out lines that begin with a slash, outside of fenced blocks."""
        fence = ""
        for line in text.split("\n"):
            if line.startswith("```"):
                run = line[: len(line) - len(line.lstrip("`"))]
                fence = "" if fence and len(run) >= len(fence) and line.strip("`") == "" else fence or run
            elif not fence and line.startswith("/close"):
                ticket.fields["state"] = "closed"

    def _shown(self, ticket: Ticket) -> dict[str, Any]:
        shown = {name: value for name, value in ticket.fields.items() if name != "issue_type"}
        return shown | {
            "id": 9000 + int(ticket.id),
            "iid": int(ticket.id),
            "web_url": f"{self.url}/-/issues/{ticket.id}",
        }

    def _there(self, number: str) -> Ticket:
        if number not in self.tickets or self.tickets[number].removed:
            raise Reply(404, {"message": "404 Not found"})
        return self.tickets[number]

    @route("GET", P + r"/issues/([^/]+)")
    def read(self, request: Request, _: str, number: str) -> Reply:
        return Reply(200, self._shown(self._there(number)))

    @route("PUT", P + r"/issues/([^/]+)")
    def change(self, request: Request, _: str, number: str) -> Reply:
        ticket, given = self._there(number), dict(request.json)
        event = given.pop("state_event", None)
        labels = set(ticket.fields["labels"])
        labels |= set(filter(None, given.pop("add_labels", "").split(",")))
        labels -= set(filter(None, given.pop("remove_labels", "").split(",")))
        if not (set(given) & KNOWN or event or labels):
            raise Reply(400, {"error": "at least one parameter must be provided"})
        if event not in (None, "close", "reopen"):
            raise Reply(400, {"error": "state_event does not have a valid value"})
        ticket.fields |= {name: value for name, value in given.items() if name in KNOWN} | {"labels": sorted(labels)}
        if event:
            ticket.fields["state"] = {"close": "closed", "reopen": "opened"}[event]
            self.note(ticket, f"{event}d", "Upkeep", system=True)
        return Reply(200, self._shown(ticket))

    def note(self, ticket: Ticket, text: str, author: str, system: bool = False) -> dict[str, Any]:
        """A note of somebody."""
        at = stamp().replace("Z", ".123+00:00")
        made = {"id": self.number(), "body": text, "author": {"name": author}, "created_at": at, "system": system}
        ticket.comments.append(made)
        return made

    @route("GET", P + r"/issues/([^/]+)/notes")
    def notes(self, request: Request, _: str, number: str) -> Reply:
        size, page = int(request.query.get("per_page", 20)), int(request.query.get("page", 1))
        size = min(size, 100)
        rows = sorted(self._there(number).comments, key=lambda one: one["id"], reverse=request.query["sort"] == "desc")
        return Reply(200, rows[(page - 1) * size : page * size])

    @route("POST", P + r"/issues/([^/]+)/notes")
    def add_note(self, request: Request, _: str, number: str) -> Reply:
        given = request.json
        if not given.get("body"):
            raise Reply(400, {"error": "body is missing"})
        ticket = self._there(number)
        self._quick(ticket, given["body"])
        return Reply(201, self.note(ticket, given["body"], "Upkeep"))

    @route("POST", P + "/uploads")
    def upload(self, request: Request, _: str) -> Reply:
        name, content = request.parts()["file"]
        self.uploads = getattr(self, "uploads", {}) | {name: content}
        url = f"/uploads/{self.number():032x}/{name}"
        return Reply(201, {"alt": name, "url": url, "full_path": f"/-/project/7{url}", "markdown": f"[{name}]({url})"})

    # -- people --------------------------------------------------------------

    def person_comments(self, number: str, text: str) -> None:
        self.note(self.tickets[number], text, "Ann Ops")

    def person_takes(self, number: str) -> None:
        self.tickets[number].fields["assignees"] = [{"name": "Ann Ops", "username": "ann"}]

    def person_resolves(self, number: str) -> None:
        self.tickets[number].fields["state"] = "closed"

    def remove(self, number: str) -> None:
        self.tickets[number].removed = True

    def count(self, key: str) -> int:
        return sum(key in (one.fields["description"] or "") for one in self.tickets.values())

    def seen(self, number: str) -> dict[str, Any]:
        one = self.tickets[number]
        priority = next((label for label in one.fields["labels"] if label.startswith("priority")), "")
        return {"title": one.fields["title"], "text": one.fields["description"], "priority": priority,
                "state": one.fields["state"], "comments": [c["body"] for c in one.comments if not c["system"]],
                "files": dict(getattr(self, "uploads", {}))}  # fmt: skip
