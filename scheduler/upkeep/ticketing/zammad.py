# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zammad: REST API with an agent's token. Its search (Elasticsearch) lags behind its writes: see ``settle``.

The key is in an attribute of the ticket (Admin → Objects → Ticket: text, at most 100) and in the first article.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from . import text as texts
from .base import System, named, when
from .http import quoted
from .protocol import Check, Comment, Draft, Refused, Remote, RemoteState

if TYPE_CHECKING:
    from collections.abc import Iterator

API = "/api/v1"


class Adapter(System):
    """One Zammad."""

    title_limit = 250

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Token token={self.settings.token}"}

    def _find(self, key: str) -> Iterator[Remote]:
        # By the bare key: without Elasticsearch only titles and texts are searched, and it is in those as well.
        params = {"query": key, "limit": 50, "expand": "true", "sort_by": "id", "order_by": "asc"}
        found = self.http.get(f"{API}/tickets/search", params)
        for row in sorted(found, key=lambda row: int(row["id"])):
            if row.get(self.settings.key_field) == key:
                yield self._remote(row)

    def _remote(self, row: dict[str, Any]) -> Remote:
        page = f"{self.settings.url.rstrip('/')}/#ticket/zoom/{row['id']}"
        return Remote(str(row["id"]), f"#{row['number']}", page)

    def _open(self, draft: Draft, title: str, body: str, fields: dict[str, Any]) -> Remote:
        self._key_is_there()
        values = {
            "title": title,
            "group": self.settings.project,
            "customer_id": f"guess:{self.settings.customer}",
            self.settings.key_field: draft.key,
            "article": self._article(body) | {"subject": title},
        }
        return self._remote(self.http.post(f"{API}/tickets", values | fields))

    def _key_is_there(self) -> None:
        """Unknown attributes are dropped without a word: then nothing would ever be found again."""
        rows = self.http.get(f"{API}/tickets", {"per_page": 1, "page": 1})
        if rows and self.settings.key_field not in rows[0]:
            raise Refused(f"tickets there have no attribute {self.settings.key_field}: an administrator must add it")

    def _article(self, body: str, **more: Any) -> dict[str, Any]:
        html = self.settings.format == "html"
        kind = {"type": "note", "internal": self.settings.private}
        return {"body": body, "content_type": "text/html" if html else "text/plain"} | kind | more

    def _comment(self, remote_id: str, body: str) -> None:
        self.http.post(f"{API}/ticket_articles", {"ticket_id": int(remote_id)} | self._article(body))

    def _attach(self, remote_id: str, name: str, content: bytes) -> None:
        file = {"filename": name, "data": base64.b64encode(content).decode(), "mime-type": "text/plain"}
        article = self._article(self._file_note(name), attachments=[file])
        self.http.post(f"{API}/ticket_articles", {"ticket_id": int(remote_id)} | article)

    def _update(self, remote_id: str, title: str, fields: dict[str, Any]) -> None:
        self.http.put(f"{API}/tickets/{quoted(remote_id)}", {"title": title} | fields)

    def _turn(self, remote_id: str, now: RemoteState, state: str, body: str, fields: dict[str, Any]) -> None:
        article = {"article": self._article(body)} if body else {}
        self.http.put(f"{API}/tickets/{quoted(remote_id)}", {"state": state} | fields | article)

    def _read(self, remote_id: str) -> RemoteState:
        row = self.http.get(f"{API}/tickets/{quoted(remote_id)}", {"expand": "true"})
        articles = self.http.get(f"{API}/ticket_articles/by_ticket/{quoted(remote_id)}", {"expand": "true"})
        articles.sort(key=lambda one: int(one["id"]))
        owner = named(row.get("owner"))
        return RemoteState(
            self._state(row["state"]),
            row["state"],
            "" if owner == "-" else owner,
            row["priority"],
            tuple(
                Comment(str(one["id"]), named(one.get("created_by")), when(one["created_at"]), self._shown(one))
                for one in articles[1:]  # the first is the description
            ),
            tuple(file["filename"] for one in articles for file in one.get("attachments") or ()),
        )

    def _shown(self, article: dict[str, Any]) -> str:
        """Articles are of either kind: those of e-mails mostly HTML, those of people as they wrote them."""
        plain = article.get("content_type") == "text/plain" and self.settings.format == "html"
        return texts.written(article["body"], "html") if plain else str(article["body"])

    def _probe(self) -> Iterator[Check]:
        me = self.http.get(f"{API}/users/me", {"expand": "true"})
        yield Check("credentials", True, named(me, "login", "email"))
        yield self._check("role", me.get("roles") or [], "Agent", "make this user an agent")
        groups = me.get("groups") or {}
        yield self._check("group", sorted(groups), self.settings.project, "give this user the group")
        rights = set(groups.get(self.settings.project) or ())
        for right in ("read", "create", "change"):
            yield Check(f"right {right}", bool(rights & {right, "full"}), ", ".join(sorted(rights)), "in the group")
        states = [one["name"] for one in self.http.get(f"{API}/ticket_states")]
        for what, state in (("resolved", self.settings.resolved), ("reopened", self.settings.reopened)):
            yield self._check(f"state {what}", states, state, f"set {what} to one of them")
        priorities = [one["name"] for one in self.http.get(f"{API}/ticket_priorities")]
        for ours, name in self.settings.priorities.items():
            if isinstance(name, str):
                yield self._check(f"priority {ours}", priorities, name, "correct priorities")
        rows = self.http.get(f"{API}/tickets", {"per_page": 1, "page": 1})
        for field in [self.settings.key_field, *self.settings.fields]:
            if rows:
                yield self._check(f"attribute {field}", sorted(rows[0]), field, "Admin → Objects → Ticket: add it")
            else:
                yield Check(f"attribute {field}", True, "there is no ticket yet to look at", "--write tries it")
