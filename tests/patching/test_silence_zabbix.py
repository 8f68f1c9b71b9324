# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where versions of Zabbix' API differ, and answers that are none.

Against a stand-in that is as strict as the versions' documentation; tests/service has Debian's real Zabbix 6.0.
"""

from __future__ import annotations

import http.server
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence import silence
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence_options import SPEC, errors_of

from .http_server import says, serving

pytestmark = pytest.mark.timeout(60)

SECRET = "hunter2-xyz"


class StandIn:
    """Users, hosts and maintenances of a Zabbix of some version."""

    def __init__(self, version: tuple[int, int]) -> None:
        self.version = version
        self.sessions: set[str] = set()
        self.begun = 0
        self.maintenances: dict[str, dict[str, Any]] = {}
        self.methods: list[str] = []

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        asked = handler.body  # type: ignore[attr-defined]
        asked = json.loads(asked)
        assert handler.path == "/zabbix/api_jsonrpc.php" and asked["jsonrpc"] == "2.0"
        self.methods.append(asked["method"])
        header = handler.headers.get("Authorization", "")
        try:
            result = {"result": self.do(asked["method"], asked["params"], asked.get("auth"), header)}
        except ValueError as error:
            result = {"error": {"code": -32602, "message": "Invalid params.", "data": str(error)}}
        says(200, json.dumps({"jsonrpc": "2.0", "id": asked["id"], **result}))(handler)

    def do(self, method: str, params: Any, auth: str | None, header: str) -> Any:
        if method in ("apiinfo.version", "user.login"):
            if auth or header:
                raise ValueError(f"The {method} method must be called without authentication.")
            if method == "apiinfo.version":
                return f"{self.version[0]}.{self.version[1]}.3"
            if params != {"username": "ada", "password": SECRET}:
                raise ValueError("Incorrect user name or password or account is temporarily blocked.")
            self.begun += 1
            self.sessions.add(f"session{self.begun}")
            return f"session{self.begun}"
        if self.version >= (6, 4):
            if auth is not None:
                raise ValueError('Invalid parameter "/": unexpected parameter "auth".')
            auth = header[7:]
        elif header:
            raise ValueError("a header means nothing to this version")
        if auth not in self.sessions | {"t0k3n-t0k3n"}:
            raise ValueError("Not authorized.")
        return getattr(self, method.replace(".", "_"))(params, auth)

    def user_logout(self, _params: Any, auth: str) -> bool:
        self.sessions.remove(auth)
        return True

    def host_get(self, params: Any, _auth: str) -> Any:
        hosts = [{"hostid": "10", "host": "web1"}, {"hostid": "20", "host": "web2"}]
        return [one for one in hosts if one["host"] in params["filter"]["host"]]

    def maintenance_get(self, params: Any, _auth: str) -> Any:
        # As MySQL compares: without regard to case.
        names = [name.lower() for name in params["filter"]["name"]]
        return [one for one in self.maintenances.values() if one["name"].lower() in names]

    def maintenance_create(self, params: Any, _auth: str) -> Any:
        if any(one["name"] == params["name"] for one in self.maintenances.values()):
            raise ValueError("already exists")
        self.maintenances["7"] = self._of({"maintenanceid": "7", **params})
        return {"maintenanceids": ["7"]}

    def maintenance_update(self, params: Any, _auth: str) -> Any:
        self.maintenances["7"].update(self._of(params))
        return {"maintenanceids": ["7"]}

    def maintenance_delete(self, params: Any, _auth: str) -> Any:
        for one in params:
            del self.maintenances[one]
        return {"maintenanceids": params}

    def _of(self, params: Any) -> dict[str, Any]:
        """As it is told by maintenance.get: numbers are text, hosts have names."""
        names = {"10": "web1", "20": "web2"}
        given = dict(params)
        if self.version < (6, 0):
            if "hosts" in given:
                raise ValueError('unexpected parameter "hosts"')
            given["hosts"] = [{"hostid": one} for one in given.pop("hostids")]
        elif "hostids" in given:
            raise ValueError('unexpected parameter "hostids"')
        given["hosts"] = [{**one, "host": names[one["hostid"]]} for one in given["hosts"]]
        given["timeperiods"] = [{name: str(value) for name, value in one.items()} for one in given["timeperiods"]]
        return {name: value if isinstance(value, list) else str(value) for name, value in given.items()}


@contextmanager
def zabbix(version: tuple[int, int]) -> Iterator[tuple[StandIn, str]]:
    made = StandIn(version)
    with serving(made.answer) as server:
        yield made, server.url + "/zabbix"


def call(url: str, state: str = "present", **options: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    plain = {"kind": "zabbix", "url": url, "key": "k", "hosts": ["web1"], "wait": 0, "state": state}
    given = {**defaults, **plain, **options}
    assert errors_of(given, time.time()) == []
    return silence(given, False)


def failed(told: dict[str, Any]) -> dict[str, Any]:
    [one] = told["findings"]
    assert not told["ok"] and told["msg"] and told["coverage"] == [] and one["remedy"], told
    return dict(one)


@pytest.mark.parametrize("version", [(5, 4), (6, 0), (6, 4), (7, 0), (7, 2)])
@pytest.mark.parametrize("login", [{"token": "t0k3n-t0k3n"}, {"user": "ada", "password": SECRET}])
def test_each_version_is_spoken_to_as_it_wants(version: tuple[int, int], login: dict[str, str]) -> None:
    with zabbix(version) as (site, url):
        made = call(url, **login)
        assert made["ok"] and made["changed"] and made["silence"]["covers"] == "web1 (with data collection)", made
        assert not call(url, **login)["changed"]
        assert call(url, **login, minutes=600, hosts=["web2"])["changed"]
        assert [host["hostid"] for host in site.maintenances["7"]["hosts"]] == ["20"]
        assert call(url, "absent", **login)["changed"] and site.maintenances == {}
        assert site.begun == (0 if "token" in login else 4) and site.sessions == set(), "each session was ended"


def test_an_older_one_is_refused() -> None:
    with zabbix((5, 2)) as (site, url):
        one = failed(call(url, token="t0k3n-t0k3n"))
        assert "it is Zabbix 5.2.3" in one["summary"] and site.methods == ["apiinfo.version"]


def test_the_session_is_ended_when_it_goes_wrong_too() -> None:
    with zabbix((6, 0)) as (site, url):
        failed(call(url, user="ada", password=SECRET, hosts=["web9"]))
        assert site.begun == 1 and site.sessions == set()
        wrong = call(url, user="ada", password="wr0ng-pa55")
        assert "Incorrect user name" in failed(wrong)["summary"] and "wr0ng-pa55" not in str(wrong)


def test_a_name_that_differs_in_case_is_somebody_elses() -> None:
    with zabbix((6, 0)) as (site, url):
        call(url, token="t0k3n-t0k3n", key="patching/Web1")
        [there] = site.maintenances.values()
        told = call(url, "absent", token="t0k3n-t0k3n", key="patching/web1")
        assert not told["changed"] and list(site.maintenances.values()) == [there]


@pytest.mark.parametrize(
    ("body", "says_so"),
    [
        ("<html>hello", "JSON was expected"),
        ("[]", "without a result"),
        ('{"result": {"a": 1}}', "names no version"),
        ('{"result": "6.0.1"}', "a list was expected"),
        ('{"error": {"message": "Application error.", "data": "t0k3n-t0k3n \\u001b[31m"}}', "Application error"),
        ('{"error": {"message": "x", "data": "' + "y" * 5000 + '"}}', "was answered: x"),
    ],
)
def test_an_answer_that_is_none_is_named(body: str, says_so: str) -> None:
    with serving(says(200, body)) as server:
        one = failed(call(server.url, token="t0k3n-t0k3n"))
        assert says_so in one["summary"] and len(one["summary"]) <= 300
        assert "t0k3n-t0k3n" not in str(one) and "\x1b" not in str(one)


def test_a_maintenance_that_cannot_be_read_is_not_made_twice() -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        method = json.loads(handler.body)["method"]  # type: ignore[attr-defined]
        told: Any = "6.0.1" if method == "apiinfo.version" else [{"name": "upkeep/k", "active_since": "soon"}]
        assert method in ("apiinfo.version", "maintenance.get")
        says(200, json.dumps({"result": told}))(handler)

    with serving(answer) as server:
        assert "cannot be read" in failed(call(server.url, token="t0k3n-t0k3n"))["summary"]
