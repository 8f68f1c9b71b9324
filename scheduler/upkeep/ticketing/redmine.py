# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Redmine: REST API with a user's key. Needs a custom field for our key (text, all trackers, "used as a filter").

A wrong key is no error to Redmine: it answers as anonymous. A state, a field, a filter that it does not know or allow
is left out without a word. So all of it is looked at.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from .base import System, named, when
from .http import quoted
from .protocol import Check, Comment, Draft, Held, Refused, Remote, RemoteState

if TYPE_CHECKING:
    from collections.abc import Iterator


class Adapter(System):
    """One Redmine."""

    title_limit = 255

    def _headers(self) -> dict[str, str]:
        return {"X-Redmine-API-Key": self.settings.token}

    @cached_property
    def _priorities(self) -> dict[str, int]:
        return _names(self.http.get("/enumerations/issue_priorities.json")["issue_priorities"])

    @cached_property
    def _statuses(self) -> dict[str, int]:
        return _names(self.http.get("/issue_statuses.json")["issue_statuses"])

    @cached_property
    def _trackers(self) -> dict[str, int]:
        return _names(self.http.get("/trackers.json")["trackers"])

    def _issues(self, **params: Any) -> list[dict[str, Any]]:
        asked = {"project_id": self.settings.project, "status_id": "*", "sort": "id", "limit": 50} | params
        return list(self.http.get("/issues.json", asked)["issues"])

    def _key_of(self, issue: dict[str, Any]) -> str | None:
        """None: the issue does not have the field."""
        fields = {str(one["id"]): str(one.get("value") or "") for one in issue.get("custom_fields") or ()}
        return fields.get(self.settings.key_field)

    def _find(self, key: str) -> Iterator[Remote]:
        found = [one for one in self._issues(**{f"cf_{self.settings.key_field}": key}) if self._key_of(one) == key]
        if not found:
            self._known()
        for issue in found:
            yield self._remote(issue)

    def _known(self) -> str:
        """Our login there. Raises Held for a wrong key, which issues.json takes for anonymous."""
        return str(self.http.get("/users/current.json")["user"]["login"])

    def _remote(self, issue: dict[str, Any]) -> Remote:
        return Remote(str(issue["id"]), f"#{issue['id']}", f"{self.settings.url.rstrip('/')}/issues/{issue['id']}")

    def _open(self, draft: Draft, title: str, body: str, fields: dict[str, Any]) -> Remote:
        self._field_is_there()
        custom = [{"id": int(self.settings.key_field), "value": draft.key}, *fields.pop("custom_fields", [])]
        values = {
            "project_id": self.settings.project,
            "tracker_id": _number(self._trackers, self.settings.type, "tracker"),
            "subject": title,
            "description": body,
            "custom_fields": custom,
        }
        issue = self.http.post("/issues.json", {"issue": values | fields})["issue"]
        if self._key_of(issue) != draft.key:
            raise Held(
                f"the new issue #{issue['id']} did not take our key: the custom field {self.settings.key_field} must "
                "be there for this project and tracker, and be editable; remove that issue"
            )
        return self._remote(issue)

    def _field_is_there(self) -> None:
        newest = self._issues(sort="id:desc", limit=1)
        if newest and self._key_of(newest[0]) is None:
            raise Held(f"issues of {self.settings.project} have no custom field {self.settings.key_field} for our key")

    def _named_priority(self, name: str) -> dict[str, Any]:
        return {"priority_id": _number(self._priorities, name, "priority")}

    def _edit(self, remote_id: str, values: dict[str, Any]) -> None:
        self.http.put(f"/issues/{quoted(remote_id)}.json", {"issue": values})

    def _notes(self, body: str) -> dict[str, Any]:
        return {"notes": body} | ({"private_notes": True} if self.settings.private else {})

    def _comment(self, remote_id: str, body: str) -> None:
        self._edit(remote_id, self._notes(body))

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        headers = {"Content-Type": "application/octet-stream"}
        made = self.http.post("/uploads.json", params={"filename": name}, data=content, headers=headers)
        upload = {"token": made["upload"]["token"], "filename": name, "content_type": "text/plain"}
        self._edit(remote_id, {"uploads": [upload]})

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        self._edit(remote_id, {"subject": title} | fields)

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        said = self._notes(body) if body else {}
        self._edit(remote_id, {"status_id": _number(self._statuses, state, "status")} | said | fields)

    def _read(self, remote_id: str) -> RemoteState:
        issue = self.http.get(f"/issues/{quoted(remote_id)}.json", {"include": "journals,attachments"})["issue"]
        status = issue["status"]
        return RemoteState(
            self._state(status["name"], done=bool(status.get("is_closed"))),
            status["name"],
            named(issue.get("assigned_to"), "name"),
            named(issue.get("priority"), "name"),
            tuple(
                Comment(str(one["id"]), named(one.get("user"), "name"), when(one["created_on"]), one["notes"])
                for one in issue.get("journals") or ()
                if one.get("notes")
            ),
            tuple(one["filename"] for one in issue.get("attachments") or ()),
        )

    def _probe(self) -> Iterator[Check]:
        yield Check("credentials", True, self._known())
        path = f"/projects/{quoted(self.settings.project)}.json"
        project = self.http.get(path, {"include": "trackers,enabled_modules"})["project"]
        modules = [one["name"] for one in project.get("enabled_modules") or ()]
        yield self._check("issue tracking", modules, "issue_tracking", "enable the module in the project")
        trackers = [name for one in project["trackers"] for name in (one["name"], str(one["id"]))]
        yield self._check("tracker", trackers, self.settings.type, "set type to one of them")
        for ours, name in self.settings.priorities.items():
            if isinstance(name, str):
                yield self._check(f"priority {ours}", self._priorities, name, "correct priorities")
        for what, state in (("resolved", self.settings.resolved), ("reopened", self.settings.reopened)):
            yield self._check(f"state {what}", self._statuses, state, f"set {what} to one of them")
        newest = self._issues(sort="id:desc", limit=1)
        field = f"custom field {self.settings.key_field} for our key"
        remedy = "an administrator adds it: format text, for this project and tracker, used as a filter"
        if not newest:
            yield Check(field, True, "there is no issue yet to look at", "--write tries it")
            return
        yield Check(field, self._key_of(newest[0]) is not None, f"looked at #{newest[0]['id']}", remedy)
        # A filter that is not there is left out, and everything is found.
        stray = self._issues(**{f"cf_{self.settings.key_field}": "upkeep-probe-none", "limit": 1})
        yield Check("search by it", not stray, "issues without it are found" if stray else "works", remedy)
        allowed = self.http.get(f"/issues/{newest[0]['id']}.json", {"include": "allowed_statuses"})["issue"]
        states = [one["name"] for one in allowed.get("allowed_statuses") or ()]
        if states:
            what = f"our way from {allowed['status']['name']} to resolved"
            reachable = [*states, allowed["status"]["name"]]
            yield self._check(what, reachable, self.settings.resolved, "allow it in the workflow of this user's role")


def _names(rows: list[dict[str, Any]]) -> dict[str, int]:
    """Numbers by name; a number stands for itself."""
    return {row["name"]: row["id"] for row in rows} | {str(row["id"]): row["id"] for row in rows}


def _number(known: dict[str, int], name: str, what: str) -> int:
    if name not in known:
        there = ", ".join(one for one in known if not one.isdigit())
        raise Refused(f"there is no {what} {name!r} in that Redmine; there are: {there}")
    return known[name]
