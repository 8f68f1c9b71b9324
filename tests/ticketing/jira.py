# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for Jira's REST API 2: a project OPS with a workflow, screens and a search that lags behind."""

from __future__ import annotations

import base64
import re
import time
from typing import Any

from .emulator import Emulator, Reply, Request, Ticket, only, route

CREATE_SCREEN = {
    "project",
    "issuetype",
    "summary",
    "description",
    "labels",
    "priority",
    "components",
    "customfield_10050",
}
PRIORITIES = ["Highest", "High", "Medium", "Low", "Lowest"]
CATEGORIES = {"To Do": "new", "In Progress": "indeterminate", "Pending": "indeterminate", "Done": "done"}
WAYS = {
    "To Do": {"11": ("Start", "In Progress"), "31": ("Close", "Done")},
    "In Progress": {"31": ("Close", "Done"), "41": ("Wait", "Pending")},
    "Pending": {"11": ("Start", "In Progress")},
    "Done": {"21": ("Reopen", "To Do")},
}
RESOLUTIONS = {"Done", "Won't Do", "Duplicate"}


def fail(status: int, *messages: str, **errors: str) -> Reply:
    return Reply(status, {"errorMessages": list(messages), "errors": errors})


class Jira(Emulator):
    """A site: Cloud with /search/jql, or (``cloud = False``) Data Center."""

    cloud = True

    def authenticate(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        users = {"Basic " + base64.b64encode(b"upkeep@example.com:jira-token").decode(), "Bearer jira-pat"}
        reader = "Basic " + base64.b64encode(b"reader@example.com:jira-reader").decode()
        if given not in users | {reader}:
            raise Reply(401, b"Client must be authenticated to access this resource.", {"Content-Type": "text/plain"})
        self.reader = given == reader
        if self.reader and request.method != "GET":
            raise fail(403, "You do not have the permission to do this.")

    @route("GET", "/rest/api/2/myself")
    def me(self, request: Request) -> Reply:
        return Reply(200, {"accountId": "1", "displayName": "Upkeep"})

    @route("GET", "/rest/api/2/mypermissions")
    def permissions(self, request: Request) -> Reply:
        if request.query.get("projectKey") != "OPS":
            raise fail(404, "No project could be found with key")
        names = request.query["permissions"].split(",")
        may = {name: {"havePermission": not self.reader or name == "BROWSE_PROJECTS"} for name in names}
        return Reply(200, {"permissions": may})

    @route("GET", "/rest/api/2/issue/createmeta/OPS/issuetypes")
    def types(self, request: Request) -> Reply:
        rows = [{"id": "1", "name": "Task"}, {"id": "2", "name": "Incident"}]
        return Reply(200, {"issueTypes" if self.cloud else "values": rows})

    @route("GET", "/rest/api/2/issue/createmeta/OPS/issuetypes/([^/]+)")
    def screen(self, request: Request, _: str) -> Reply:
        required = {"project", "issuetype", "summary"}
        rows = [{"fieldId": n, "required": n in required, "hasDefaultValue": False} for n in sorted(CREATE_SCREEN)]
        return Reply(200, {"fields" if self.cloud else "values": rows})

    @route("GET", "/rest/api/2/priority")
    def priorities(self, request: Request) -> Reply:
        return Reply(200, [{"name": name} for name in PRIORITIES])

    @route("GET", "/rest/api/2/project/OPS/statuses")
    def statuses(self, request: Request) -> Reply:
        return Reply(200, [{"name": "Task", "statuses": [{"name": name} for name in CATEGORIES]}])

    @route("GET", "/rest/api/2/search/jql")
    def search_cloud(self, request: Request) -> Reply:
        if not self.cloud:
            raise fail(404, "null for uri")
        return self._search(request)

    @route("GET", "/rest/api/2/search")
    def search_old(self, request: Request) -> Reply:
        if self.cloud:
            raise fail(410, "The requested API has been removed. Please migrate to /rest/api/3/search/jql.")
        return self._search(request)

    def _search(self, request: Request) -> Reply:
        found = re.fullmatch(
            r'project = "OPS" AND (?:labels = "([^"]*)"|cf\[10050\] ~ "([^"]*)") ORDER BY created ASC',
            request.query["jql"],
        )
        if not found:
            raise fail(400, "Error in the JQL Query")
        rows = [
            one
            for one in self.indexed()
            if found[1] in one.fields["labels"] or (found[2] and found[2] in one.fields.get("customfield_10050", ""))
        ]
        wanted = request.query.get("fields", "").split(",")
        shown = [self._named(one) | {"fields": {name: one.fields.get(name) for name in wanted}} for one in rows]
        return Reply(200, {"issues": shown[: int(request.query["maxResults"])]})

    def _named(self, ticket: Ticket) -> dict[str, Any]:
        return {"id": ticket.id, "key": f"OPS-{ticket.id}", "self": f"{self.url}/rest/api/2/issue/{ticket.id}"}

    def _checked(self, given: dict[str, Any]) -> None:
        only(given, CREATE_SCREEN, 400, lambda names: {
            "errorMessages": [],
            "errors": {n: f"Field '{n}' cannot be set. It is not on the appropriate screen." for n in names},
        })  # fmt: skip
        if "\n" in given.get("summary", "") or len(given.get("summary", "")) > 255:
            raise fail(400, summary="The summary is invalid because it contains newline characters or is too long.")
        if len(given.get("description", "")) > 32767:
            raise fail(
                400, description="The entered text is too long. It exceeds the allowed limit of 32,767 characters."
            )
        if "priority" in given and given["priority"].get("name") not in PRIORITIES:
            raise fail(400, priority="Specify a valid value for priority")
        if any(" " in label for label in given.get("labels", ())):
            raise fail(400, labels="The label can't contain spaces.")

    @route("POST", "/rest/api/2/issue")
    def create(self, request: Request) -> Reply:
        given = request.json["fields"]
        self._checked(given)
        if given.get("project") != {"key": "OPS"}:
            raise fail(400, project="project is required")
        if given.get("issuetype", {}).get("name") not in ("Task", "Incident"):
            raise fail(400, issuetype="Specify an issue type")
        if not given.get("summary"):
            raise fail(400, summary="You must specify a summary of the issue.")
        usual = {"labels": [], "priority": {"name": "Medium"}, "status": "To Do", "assignee": None, "resolution": None}
        return Reply(201, self._named(self.add(usual | given)))

    def _there(self, number: str) -> Ticket:
        number = number.removeprefix("OPS-")
        if number not in self.tickets or self.tickets[number].removed:
            raise fail(404, "Issue does not exist or you do not have permission to see it.")
        return self.tickets[number]

    @route("GET", "/rest/api/2/issue/([^/]+)")
    def read(self, request: Request, number: str) -> Reply:
        one = self._there(number)
        status = one.fields["status"]
        fields = one.fields | {
            "status": {"name": status, "statusCategory": {"key": CATEGORIES[status]}},
            "attachment": [{"filename": name} for name in one.files],
        }
        wanted = request.query.get("fields", "").split(",")
        return Reply(200, self._named(one) | {"fields": {name: fields.get(name) for name in wanted}})

    @route("PUT", "/rest/api/2/issue/([^/]+)")
    def change(self, request: Request, number: str) -> Reply:
        one, given = self._there(number), request.json["fields"]
        self._checked(given)
        one.fields |= given
        return Reply(204)

    @route("GET", "/rest/api/2/issue/([^/]+)/transitions")
    def ways(self, request: Request, number: str) -> Reply:
        there = WAYS[self._there(number).fields["status"]]
        rows = [{"id": n, "name": name, "to": {"name": to}} for n, (name, to) in there.items()]
        return Reply(200, {"transitions": rows})

    @route("POST", "/rest/api/2/issue/([^/]+)/transitions")
    def go(self, request: Request, number: str) -> Reply:
        one, given = self._there(number), request.json
        way = WAYS[one.fields["status"]].get(str(given["transition"]["id"]))
        if way is None:
            raise fail(400, "It seems that you have tried to perform an illegal workflow operation.")
        fields = given.get("fields", {})
        only(fields, {"resolution"} if way[1] == "Done" else set(), 400, lambda names: {
            "errors": {n: f"Field '{n}' cannot be set. It is not on the appropriate screen." for n in names},
        })  # fmt: skip
        if fields.get("resolution", {}).get("name", "Done") not in RESOLUTIONS:
            raise fail(400, resolution="Specify a valid value")
        # A transition without a screen drops its comment without a word: `update` is not looked at.
        one.fields["status"] = way[1]
        return Reply(204)

    def say(self, ticket: Ticket, text: str, author: str) -> dict[str, Any]:
        """A comment of somebody."""
        created = time.strftime("%Y-%m-%dT%H:%M:%S.000+0000", time.gmtime())
        made = {"id": str(self.number()), "author": {"displayName": author}, "body": text, "created": created}
        ticket.comments.append(made)
        return made

    @route("GET", "/rest/api/2/issue/([^/]+)/comment")
    def comments(self, request: Request, number: str) -> Reply:
        rows = self._there(number).comments
        rows = rows[::-1] if request.query.get("orderBy") == "-created" else rows
        start, size = int(request.query.get("startAt", 0)), min(int(request.query.get("maxResults", 50)), 100)
        return Reply(200, {"startAt": start, "total": len(rows), "comments": rows[start : start + size]})

    @route("POST", "/rest/api/2/issue/([^/]+)/comment")
    def comment(self, request: Request, number: str) -> Reply:
        given = request.json
        if not given.get("body"):
            raise fail(400, comment="Comment body can not be empty!")
        return Reply(201, self.say(self._there(number), given["body"], "Upkeep"))

    @route("POST", "/rest/api/2/issue/([^/]+)/attachments")
    def attach(self, request: Request, number: str) -> Reply:
        if request.headers.get("x-atlassian-token") != "no-check":
            raise Reply(403, b"XSRF check failed", {"Content-Type": "text/plain"})
        name, content = request.parts()["file"]
        self._there(number).files[name or ""] = content
        return Reply(200, [{"id": str(self.number()), "filename": name}])

    # -- people --------------------------------------------------------------

    def person_comments(self, number: str, text: str) -> None:
        self.say(self.tickets[number], text, "Ann Ops")

    def person_takes(self, number: str) -> None:
        self.tickets[number].fields["assignee"] = {"displayName": "Ann Ops"}

    def person_resolves(self, number: str) -> None:
        self.tickets[number].fields["status"] = "Done"

    def remove(self, number: str) -> None:
        self.tickets[number].removed = True

    def count(self, key: str) -> int:
        return sum(f"upkeep-{key}" in one.fields["labels"] for one in self.tickets.values())

    def seen(self, number: str) -> dict[str, Any]:
        one = self.tickets[number]
        return {"title": one.fields["summary"], "text": one.fields["description"],
                "priority": one.fields["priority"]["name"], "state": one.fields["status"],
                "comments": [c["body"] for c in one.comments], "files": one.files}  # fmt: skip
