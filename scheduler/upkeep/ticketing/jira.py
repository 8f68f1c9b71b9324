# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Jira and Jira Service Management: REST API 2 of Cloud (user and API token) and Data Center (personal access token).

Its search lags behind its writes (Atlassian's documentation calls it eventually consistent): see ``settle``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .base import System, named, when
from .http import Missing, quoted
from .protocol import COMMENTS_LIMIT, Check, Comment, Draft, Refused, Remote, RemoteState

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/rest/api/2"
RIGHTS = ("BROWSE_PROJECTS", "CREATE_ISSUES", "EDIT_ISSUES", "ADD_COMMENTS", "CREATE_ATTACHMENTS", "TRANSITION_ISSUES")
PAGE = 100


class Adapter(System):
    """One site."""

    title_limit = 254

    def _headers(self) -> dict[str, str]:
        bearer = self.settings.token and not self.settings.user
        return {"Authorization": f"Bearer {self.settings.token}"} if bearer else {}

    def _find(self, key: str) -> Iterator[Remote]:
        field = self.settings.key_field
        label = _label(key)
        number = field.removeprefix("customfield_")
        condition = f'labels = "{label}"' if field == "labels" else f'cf[{number}] ~ "{key}"'
        params = {
            "jql": f'project = "{self.settings.project}" AND {condition} ORDER BY created ASC',
            "fields": field,
            "maxResults": 10,
        }
        try:
            found = self.http.get(f"{API}/search/jql", params)  # Cloud; the older path is gone there since 2025
        except Missing:
            found = self.http.get(f"{API}/search", params)  # Data Center
        for issue in found["issues"]:
            value = issue["fields"].get(field) or ""
            if (label in value) if isinstance(value, list) else value == key:
                yield self._remote(issue)

    def _remote(self, issue: dict[str, Any]) -> Remote:
        # The key changes when an issue is moved to another project, the id never does.
        return Remote(str(issue["id"]), issue["key"], f"{self.settings.url.rstrip('/')}/browse/{issue['key']}")

    def _open(self, draft: Draft, title: str, body: str, fields: dict[str, Any]) -> Remote:
        values: dict[str, Any] = {
            "project": {"key": self.settings.project},
            "issuetype": {"name": self.settings.type},
            "summary": title,
            "description": body,
        } | fields
        field = self.settings.key_field
        values[field] = [*values.get("labels", []), _label(draft.key)] if field == "labels" else draft.key
        return self._remote(self.http.post(f"{API}/issue", {"fields": values}))

    def _named_priority(self, name: str) -> dict[str, Any]:
        return {"priority": {"name": name}}

    def _comment(self, remote_id: str, body: str) -> None:
        values: dict[str, Any] = {"body": body}
        if self.settings.private:
            # Jira Service Management keeps it from the customer; others do not mind it.
            values["properties"] = [{"key": "sd.public.comment", "value": {"internal": True}}]
        self.http.post(f"{API}/issue/{quoted(remote_id)}/comment", values)

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        headers = {"X-Atlassian-Token": "no-check"}
        path = f"{API}/issue/{quoted(remote_id)}/attachments"
        self.http.post(path, files={"file": (name, content, "text/plain")}, headers=headers)

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        self.http.put(f"{API}/issue/{quoted(remote_id)}", {"fields": {"summary": title} | fields})

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        path = f"{API}/issue/{quoted(remote_id)}/transitions"
        ways = self.http.get(path)["transitions"]
        wanted = state.casefold()
        way = next((one for one in ways if wanted in (one["to"]["name"].casefold(), one["name"].casefold())), None)
        if way is None:
            there = ", ".join(f"{one['name']} → {one['to']['name']}" for one in ways) or "none"
            raise Refused(f"no transition from {now.raw_state!r} to {state!r} there; there are: {there}")
        if body:
            # Before it, and not with it: a transition without a screen drops its comment without a word.
            self._comment(remote_id, body)
        self.http.post(path, {"transition": {"id": way["id"]}} | ({"fields": fields} if fields else {}))

    def _read(self, remote_id: str) -> RemoteState:
        path = f"{API}/issue/{quoted(remote_id)}"
        fields = self.http.get(path, {"fields": "status,assignee,priority,attachment"})["fields"]
        status = fields["status"]
        return RemoteState(
            self._state(status["name"], done=named(status.get("statusCategory"), "key") == "done"),
            status["name"],
            named(fields.get("assignee"), "displayName", "name"),
            named(fields.get("priority"), "name"),
            tuple(
                Comment(one["id"], named(one.get("author"), "displayName", "name"), when(one["created"]), one["body"])
                for one in self._comments(path)
            ),
            tuple(one["filename"] for one in fields.get("attachment") or ()),
        )

    def _comments(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while len(found) < COMMENTS_LIMIT:
            params = {"orderBy": "-created", "startAt": len(found), "maxResults": PAGE}
            page = self.http.get(f"{path}/comment", params)
            found += page["comments"]
            if not page["comments"] or len(found) >= page["total"]:
                break
        return found[::-1]

    def _probe(self) -> Iterator[Check]:
        me = self.http.get(f"{API}/myself")
        yield Check("credentials", True, named(me, "displayName", "name"))
        project = self.settings.project
        asked = {"projectKey": project, "permissions": ",".join(RIGHTS)}
        rights = self.http.get(f"{API}/mypermissions", asked)["permissions"]
        for right in RIGHTS:
            has = bool(rights.get(right, {}).get("havePermission"))
            yield Check(f"right {right}", has, f"in {project}", "give it to this user in the project's permissions")
        meta = f"{API}/issue/createmeta/{quoted(project)}/issuetypes"
        types = _listed(self.http.get(meta), "issueTypes")
        yield self._check("type", [one["name"] for one in types], self.settings.type, "set type to one of them")
        kind = next((one["id"] for one in types if one["name"] == self.settings.type), None)
        if kind is None:
            return
        fields = {one["fieldId"]: one for one in _listed(self.http.get(f"{meta}/{quoted(kind)}"), "fields")}
        for field in dict.fromkeys([self.settings.key_field, "priority", "description", *self.settings.fields]):
            yield self._check(f"field {field}", sorted(fields), field, "put it on the project's create screen")
        given = {"project", "issuetype", "summary", "reporter", *self.settings.fields}
        missing = [n for n, one in fields.items() if one.get("required") and not one.get("hasDefaultValue")]
        missing = [name for name in missing if name not in given]
        yield Check("required fields", not missing, ", ".join(missing) or "all given", "set them under fields")
        priorities = [one["name"] for one in self.http.get(f"{API}/priority")]
        for ours, name in self.settings.priorities.items():
            if isinstance(name, str):
                yield self._check(f"priority {ours}", priorities, name, "correct priorities")
        statuses = {
            status["name"]
            for one in self.http.get(f"{API}/project/{quoted(project)}/statuses")
            if one["name"] == self.settings.type
            for status in one["statuses"]
        }
        for what, state in (("resolved", self.settings.resolved), ("reopened", self.settings.reopened)):
            yield self._check(f"state {what}", sorted(statuses), state, f"set {what} to one of them")


def _label(key: str) -> str:
    return f"upkeep-{key}"


def _listed(page: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Cloud names the list by its content, Data Center says values."""
    return list(page.get(name) or page.get("values") or [])
