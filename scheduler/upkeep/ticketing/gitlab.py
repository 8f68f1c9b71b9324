# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""GitLab issues: REST API 4 with a token of scope ``api``. The key is the last line of the description.

Hosts' words stand in fenced blocks: GitLab carries out lines like ``/close`` or ``/assign`` that stand outside of them.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from . import text as texts
from .base import System, named, when
from .http import quoted
from .protocol import COMMENTS_LIMIT, Check, Comment, Draft, Remote, RemoteState, marked, unmarked

if TYPE_CHECKING:
    from collections.abc import Iterator

REPORTER = 20
"""Access level (GitLab, "Valid access levels") from which labels can be set."""
PAGE = 100


class Adapter(System):
    """One project."""

    title_limit = 255

    def _headers(self) -> dict[str, str]:
        return {"PRIVATE-TOKEN": self.settings.token}

    @property
    def _project(self) -> str:
        return f"/api/v4/projects/{quoted(self.settings.project)}"

    def _issue(self, remote_id: str) -> str:
        return f"{self._project}/issues/{quoted(remote_id)}"

    def _find(self, key: str) -> Iterator[Remote]:
        params = {
            "search": key,
            "in": "description",
            "scope": "all",
            "order_by": "created_at",
            "sort": "asc",
            "per_page": 50,
        }
        for issue in self.http.get(f"{self._project}/issues", params):
            if unmarked(texts.read(issue.get("description") or "", self.settings.format))[1] == key:
                yield self._remote(issue)

    def _remote(self, issue: dict[str, Any]) -> Remote:
        return Remote(str(issue["iid"]), f"#{issue['iid']}", issue.get("web_url") or "")

    def _open(self, draft: Draft, title: str, body: str, fields: dict[str, Any]) -> Remote:
        values = {"title": title, "description": body, "issue_type": self.settings.type} | fields
        if isinstance(self.settings.fields.get("labels"), str):
            # The configured ones would take the place of the priority's.
            values["labels"] = ",".join(filter(None, [self._label(draft), values["labels"]]))
        return self._remote(self.http.post(f"{self._project}/issues", values))

    def _label(self, draft: Draft) -> str:
        given = self.settings.priorities.get(draft.priority)
        return given if isinstance(given, str) else ""

    def _named_priority(self, name: str) -> dict[str, Any]:
        return {"labels": name}

    def _comment(self, remote_id: str, body: str) -> None:
        self.http.post(f"{self._issue(remote_id)}/notes", {"body": body, "internal": self.settings.private})

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        files = {"file": (name, content, "text/plain")}
        link = self.http.post(f"{self._project}/uploads", files=files)["markdown"]
        # No fenced block, in which the link would be none: the name is clean, and the rest is GitLab's own.
        self._comment(remote_id, marked(link, f"file.{name}"[:80]))

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        fields = dict(fields)
        if (label := fields.pop("labels", "")) and isinstance(label, str):
            others = {one for one in self.settings.priorities.values() if isinstance(one, str)} - {label}
            fields |= {"add_labels": label, "remove_labels": ",".join(sorted(others))}
        self.http.put(self._issue(remote_id), {"title": title} | fields)

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        if body:
            self._comment(remote_id, body)
        event = "close" if state == self.settings.resolved else "reopen"
        self.http.put(self._issue(remote_id), {"state_event": event} | fields)

    def _read(self, remote_id: str) -> RemoteState:
        issue = self.http.get(self._issue(remote_id))
        notes = self._notes(remote_id)
        files = [name for one in notes for name in re.findall(r"\[([^\]\n]{1,100})\]\(/uploads/", one["body"])]
        labels = issue.get("labels") or []
        people = issue.get("assignees") or []
        return RemoteState(
            self._state(issue["state"], waiting=any(label in self.settings.waiting for label in labels)),
            issue["state"],
            ", ".join(named(one, "name", "username") for one in people),
            ", ".join(label for label in labels if label in self.settings.priorities.values()),
            tuple(
                Comment(str(one["id"]), named(one["author"], "name", "username"), when(one["created_at"]), one["body"])
                for one in notes
            ),
            tuple(files),
        )

    def _notes(self, remote_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for page in range(1, COMMENTS_LIMIT // PAGE + 1):
            params = {"sort": "desc", "order_by": "created_at", "per_page": PAGE, "page": page}
            notes = self.http.get(f"{self._issue(remote_id)}/notes", params)
            found += [one for one in notes if not one.get("system")]
            if len(notes) < PAGE:
                break
        return sorted(found, key=lambda one: int(one["id"]))

    def _probe(self) -> Iterator[Check]:
        me = self.http.get("/api/v4/user")
        yield Check("credentials", True, named(me, "username"))
        project = self.http.get(self._project)
        given = (project.get("permissions") or {}).values()
        level = max((one["access_level"] for one in given if one), default=0)
        may = level >= REPORTER or bool(me.get("is_admin"))
        yield Check("role", may, f"access level {level} in {self.settings.project}", "make it Reporter or above")
        tracked = project.get("issues_access_level", "enabled") != "disabled"
        yield Check("issues", tracked, str(project.get("issues_access_level")), "enable them in the project")
        labels = [one["name"] for one in self.http.get(f"{self._project}/labels", {"per_page": 100})]
        for ours, name in self.settings.priorities.items():
            if isinstance(name, str) and name not in labels:
                yield Check(f"label for {ours}", True, f"{name} is not there yet: GitLab makes it at its first use")
