# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ticket systems that the contract is tried on, each behind a proxy that can fail."""

from __future__ import annotations

import base64
import hashlib
import time
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import requests

from upkeep.ticketing import build
from upkeep.ticketing.protocol import TicketSystem
from upkeep.ticketing.settings import KINDS, TicketSystemSettings

from .emulator import Emulator
from .gitlab import GitLab
from .glpi import Glpi
from .itsm365 import Itsm365
from .jira import Jira
from .proxy import Proxy
from .servicenow import ServiceNow
from .zammad import Zammad


@dataclass
class Site:
    """One system under test. ``there`` does what people do there, and sees what is there past the adapter."""

    kind: str
    there: Any
    given: dict[str, Any]
    wrong: dict[str, str]
    """Credentials that are refused."""
    reader: dict[str, str]
    """Credentials that may read only."""
    priority: tuple[str, str]
    """How P1 and P3 are shown there."""
    states: tuple[str, str]
    """How resolved and reopened are shown there."""
    seconds: float = 1.0
    """How long an answer may take."""
    ignores_priority: bool = False
    proxy: Proxy = field(init=False)

    def __post_init__(self) -> None:
        self.proxy = Proxy(self.given["url"])

    def settings(self, **changes: Any) -> TicketSystemSettings:
        """The configuration that works, with some changes."""
        kind = KINDS[self.kind]
        usual: dict[str, Any] = {
            "name": self.kind,
            "kind": self.kind,
            "type": kind.type,
            "key_field": kind.key_field,
            "priorities": kind.priorities,
            "resolved": kind.resolved,
            "reopened": kind.reopened,
            "done": kind.done,
            "waiting": kind.waiting,
            "format": kind.format,
            "private": kind.private,
            "timeout": self.seconds,
            "settle": 0.0,
        }
        return TicketSystemSettings(**(usual | self.given | {"url": self.proxy.url} | changes))

    def system(self, **changes: Any) -> TicketSystem:
        """An adapter for it."""
        return build(self.settings(**changes))

    def stop(self) -> None:
        """End the proxy, and an emulator with it."""
        self.proxy.stop()
        if isinstance(self.there, Emulator):
            self.there.stop()


def itsm365() -> Site:
    emulator = Itsm365()
    given = {
        "url": f"{emulator.url}/sd/services/rest",
        "token": "itsm/key+1",
        "priorities": {"P1": "urgency$5", "P2": "urgency$6", "P3": "urgency$7"},
        "fields": {"agreement": "agreement$1", "service": "slmService$2", "clientEmployee": "employee$3"},
        "resolve_fields": {"codeOfClosing": "closingCode$1", "resultDescr": "{{ text }}"},
        "before_resolved": "inprogress",
    }
    return Site("itsm365", emulator, given, {"token": "itsm/wrong+1"}, {"token": "itsm-reader"},
                ("urgency$5", "urgency$7"), ("resolved", "registered"))  # fmt: skip


def servicenow() -> Site:
    emulator = ServiceNow()
    given = {"url": emulator.url, "user": "upkeep", "password": "snow-upkeep", "fields": {"category": "software"}}
    reader = {"user": "reader", "password": "snow-reader"}
    return Site("servicenow", emulator, given, {"password": "snow-wrong"}, reader, ("1", "3"), ("6", "2"))


def jira() -> Site:
    emulator = Jira()
    given = {"url": emulator.url, "user": "upkeep@example.com", "token": "jira-token", "project": "OPS",
             "fields": {"labels": ["maintenance"]}}  # fmt: skip
    reader = {"user": "reader@example.com", "token": "jira-reader"}
    return Site("jira", emulator, given, {"token": "jira-wrong"}, reader, ("Highest", "Medium"), ("Done", "To Do"))


def jira_data_center() -> Site:
    emulator = Jira()
    emulator.cloud = False
    given = {"url": emulator.url, "token": "jira-pat", "project": "OPS"}
    reader = {"user": "reader@example.com", "token": "jira-reader"}
    return Site("jira", emulator, given, {"token": "jira-wrong"}, reader, ("Highest", "Medium"), ("Done", "To Do"))


def glpi() -> Site:
    emulator = Glpi()
    given = {"url": emulator.url, "token": "glpi-user", "app_token": "glpi-app"}
    return Site("glpi", emulator, given, {"token": "glpi-wrong"}, {"token": "glpi-reader"}, ("5", "3"), ("5", "2"))


def zammad() -> Site:
    emulator = Zammad()
    given = {"url": emulator.url, "token": "zammad-agent", "project": "Operations", "customer": "upkeep@example.com"}
    return Site("zammad", emulator, given, {"token": "zammad-wrong"}, {"token": "zammad-reader"},
                ("3 high", "2 normal"), ("closed", "open"))  # fmt: skip


def gitlab() -> Site:
    emulator = GitLab()
    given = {"url": emulator.url, "token": "glpat-upkeep", "project": "ops/maintenance"}
    return Site("gitlab", emulator, given, {"token": "glpat-wrong"}, {"token": "glpat-guest"},
                ("priority::1", "priority::3"), ("closed", "opened"))  # fmt: skip


EMULATED = {
    "itsm365": itsm365,
    "servicenow": servicenow,
    "jira": jira,
    "jira-data-center": jira_data_center,
    "glpi": glpi,
    "zammad": zammad,
    "gitlab": gitlab,
}


# --- the real ones ----------------------------------------------------------------------------------------------------


class RealRt:
    """What people do in Request Tracker: Ann, by the same interface."""

    def __init__(self, url: str) -> None:
        self.api = f"{url}/REST/2.0"

    def _ask(self, method: str, path: str, user: str = "ann", **more: Any) -> Any:
        answer = requests.request(method, self.api + path, auth=(user, f"fleet-{user}"), timeout=30, **more)
        answer.raise_for_status()
        return answer.json()

    def person_comments(self, number: str, text: str) -> None:
        self._ask("POST", f"/ticket/{number}/comment", json={"Content": text, "ContentType": "text/plain"})

    def person_takes(self, number: str) -> None:
        assert "Owner" in str(self._ask("PUT", f"/ticket/{number}", json={"Owner": "ann"}))

    def person_resolves(self, number: str) -> None:
        assert "resolved" in str(self._ask("PUT", f"/ticket/{number}", json={"Status": "resolved"}))

    def remove(self, number: str) -> None:
        assert "deleted" in str(self._ask("PUT", f"/ticket/{number}", "root", json={"Status": "deleted"}))

    def count(self, key: str) -> int:
        query = urlencode({"query": f"'CF.{{UpkeepKey}}' = '{key}'"})
        return len(self._ask("GET", f"/tickets?{query}")["items"])

    def seen(self, number: str) -> dict[str, Any]:
        row = self._ask("GET", f"/ticket/{number}")
        asked = "/attachments?per_page=100&fields=Filename,ContentType,TransactionId"
        texts, files = [], {}
        for one in self._ask("GET", f"/ticket/{number}{asked}")["items"]:
            content = base64.b64decode(self._ask("GET", f"/attachment/{one['id']}").get("Content") or "")
            if one["Filename"]:
                files[one["Filename"]] = content
            elif one["ContentType"] == "text/plain":
                texts.append(content.decode())
        return {"title": row["Subject"], "text": texts[0], "priority": row["Priority"], "state": row["Status"],
                "comments": texts[1:], "files": files}  # fmt: skip


class RealRedmine:
    """What people do in Redmine: Ann, by the same interface."""

    def __init__(self, url: str) -> None:
        self.url = url

    def _ask(self, method: str, path: str, **more: Any) -> Any:
        headers = {"X-Redmine-API-Key": redmine_key("ann")}
        answer = requests.request(method, self.url + path, headers=headers, timeout=30, **more)
        answer.raise_for_status()
        return answer.json() if answer.content.strip() else None

    def _put(self, number: str, **values: Any) -> None:
        self._ask("PUT", f"/issues/{number}.json", json={"issue": values})

    def person_comments(self, number: str, text: str) -> None:
        self._put(number, notes=text)

    def person_takes(self, number: str) -> None:
        self._put(number, assigned_to_id="me")

    def person_resolves(self, number: str) -> None:
        self._put(number, status_id=5)

    def remove(self, number: str) -> None:
        self._ask("DELETE", f"/issues/{number}.json")

    def count(self, key: str) -> int:
        return int(self._ask("GET", f"/issues.json?cf_1={key}&status_id=*")["total_count"])

    def seen(self, number: str) -> dict[str, Any]:
        row = self._ask("GET", f"/issues/{number}.json?include=journals,attachments")["issue"]
        files = {}
        for one in row["attachments"]:
            path = f"/attachments/download/{one['id']}"
            headers = {"X-Redmine-API-Key": redmine_key("ann")}
            files[one["filename"]] = requests.get(self.url + path, headers=headers, timeout=30).content
        return {"title": row["subject"], "text": row["description"].replace("\r\n", "\n"),
                "priority": row["priority"]["name"], "state": row["status"]["name"],
                "comments": [one["notes"] for one in row["journals"] if one["notes"]], "files": files}  # fmt: skip


def redmine_key(user: str) -> str:
    """The API key that the image's recipe gave a user."""
    return hashlib.sha1(f"fleet-{user}".encode()).hexdigest()


def rt(address: str) -> Site:
    url = f"http://{address}:8080"
    given = {"url": url, "user": "upkeep", "password": "fleet-upkeep", "project": "Ops"}
    reader = {"user": "stranger", "password": "fleet-stranger"}
    return Site("rt", RealRt(url), given, {"password": "fleet-wrong"}, reader, ("100", "50"),
                ("resolved", "open"), seconds=5.0)  # fmt: skip


def redmine(address: str) -> Site:
    url = f"http://{address}:3000"
    given = {"url": url, "token": redmine_key("upkeep"), "project": "ops", "type": "Bug", "key_field": "1"}
    return Site("redmine", RealRedmine(url), given, {"token": redmine_key("nobody")},
                {"token": redmine_key("stranger")}, ("Immediate", "Normal"), ("Closed", "In Progress"),
                seconds=5.0)  # fmt: skip


def wait_until_up(url: str, seconds: float = 90.0) -> None:
    """Until a server answers at all."""
    ends = time.monotonic() + seconds
    while True:
        try:
            requests.get(url, timeout=5)
            return
        except requests.RequestException:
            if time.monotonic() > ends:
                raise
            time.sleep(0.5)


def faster(settings: TicketSystemSettings, seconds: float) -> TicketSystemSettings:
    """With a shorter patience."""
    return replace(settings, timeout=seconds)
