# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Regions on the graphs of Grafana, against a stand-in that does what its API's reference says: Debian has none."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence import silence
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence_options import SPEC, errors_of

from .http_server import says, serving

pytestmark = pytest.mark.timeout(60)

TOKEN = "glsa-t0k3n-t0k3n"


class StandIn:
    """Annotations, their search by tags and time, and who may do what."""

    def __init__(self) -> None:
        self.annotations: dict[int, dict[str, Any]] = {}
        self.url = ""

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.headers.get("Authorization") != "Bearer " + TOKEN:
            says(401, json.dumps({"message": "invalid API key " + handler.headers.get("Authorization", "")}))(handler)
            return
        url = urllib.parse.urlsplit(handler.path)
        body = json.loads(handler.body or b"{}")  # type: ignore[attr-defined]
        parts = url.path.split("/")
        assert parts[:4] == ["", "grafana", "api", "annotations"], url.path
        if handler.command == "GET":
            self.tell(handler, self.found(urllib.parse.parse_qs(url.query)))
        elif handler.command == "POST":
            self.tell(handler, {"message": "Annotation added", "id": self.add(**body)})
        elif int(parts[4]) not in self.annotations:
            says(404, json.dumps({"message": "Annotation not found"}))(handler)
        else:
            assert handler.command == "PATCH" and body.keys() <= {"text", "tags", "time", "timeEnd"}
            self.annotations[int(parts[4])].update(body)
            self.tell(handler, {"message": "Annotation patched"})

    @staticmethod
    def tell(handler: http.server.BaseHTTPRequestHandler, told: Any) -> None:
        says(200, json.dumps(told))(handler)

    def add(self, **given: Any) -> int:
        assert given.keys() <= {"dashboardUID", "panelId", "time", "timeEnd", "tags", "text"} and given["text"]
        number = len(self.annotations) + 1
        plain = {"id": number, "alertId": 0, "dashboardUID": None, "panelId": 0, "userId": 1}
        self.annotations[number] = {**plain, **given}
        return number

    def found(self, query: dict[str, list[str]]) -> list[dict[str, Any]]:
        assert query["type"] == ["annotation"]
        begin, end = int(query["from"][0]), int(query["to"][0])
        fits = [
            one
            for one in self.annotations.values()
            if set(query["tags"]) <= set(one["tags"]) and one["time"] <= end and one["timeEnd"] >= begin
        ]
        return fits[: int(query["limit"][0])]

    def open(self, key: str) -> list[dict[str, Any]]:
        now = time.time() * 1000
        return [one for one in self.annotations.values() if "upkeep:" + key in one["tags"] and one["timeEnd"] > now]


@pytest.fixture
def grafana() -> Iterator[StandIn]:
    made = StandIn()
    with serving(made.answer) as server:
        made.url = server.url + "/grafana"
        yield made


def call(url: str, key: str, check: bool = False, **options: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    given = {**defaults, "kind": "grafana", "url": url, "key": key, "token": TOKEN, **options}
    assert errors_of(given, time.time()) == []
    told = silence(given, check)
    assert TOKEN not in str(told)
    return told


def failed(told: dict[str, Any], check: str = "patch.silence.failed") -> dict[str, Any]:
    [one] = told["findings"]
    assert not told["ok"] and told["msg"] and told["coverage"] == [] and one["check"] == check and one["remedy"], told
    assert one["severity"] == "low", "no alert depends on it"
    return dict(one)


def test_opened_put_off_and_ended(grafana: StandIn) -> None:
    key = "patching/web1"
    would = call(grafana.url, key, check=True)
    assert would["ok"] and would["changed"] and grafana.annotations == {}
    made = call(grafana.url, key, comment="change 4711", tags=["patching", "upkeep"])
    assert made["ok"] and made["changed"] and made["coverage"] == [{"check": "patch.silence.failed", "subject": key}]
    [there] = grafana.open(key)
    assert there["text"] == "change 4711" and there["tags"] == ["upkeep", "upkeep:patching/web1", "patching"]
    assert abs(there["time"] / 1000 - time.time()) < 30 and there["timeEnd"] - there["time"] == 7200_000
    for check in (False, True):
        again = call(grafana.url, key, check=check)
        assert not again["changed"] and again["silence"] == made["silence"]
    longer = call(grafana.url, key, minutes=600)
    assert longer["changed"] and longer["silence"]["id"] == made["silence"]["id"] == "1"
    assert grafana.annotations[1]["timeEnd"] > (time.time() + 35_000) * 1000
    assert not call(grafana.url, key, minutes=5)["changed"], "an end is never brought forward"
    assert call(grafana.url, key, check=True, state="absent")["changed"] and len(grafana.open(key)) == 1
    ended = call(grafana.url, key, state="absent")
    assert ended["ok"] and ended["changed"] and ended["silence"] == {}
    assert grafana.open(key) == [] and grafana.annotations[1]["timeEnd"] <= time.time() * 1000, "it stays to be seen"
    assert not call(grafana.url, key, state="absent")["changed"]
    assert call(grafana.url, key)["silence"]["id"] == "2", "the next work is another region"


def test_one_of_a_key_is_open_and_those_of_others_are_left_alone(grafana: StandIn) -> None:
    now = int(time.time() * 1000)
    for tags in (["upkeep:one"], ["upkeep:one"], ["upkeep:one1"], ["one"]):
        grafana.add(time=now - 1000, timeEnd=now + 900_000, tags=tags, text="by hand")
    made = call(grafana.url, "one", dashboard="abc", panel=7)
    assert made["changed"] and made["silence"]["covers"] == "annotation of dashboard abc, panel 7"
    [there] = grafana.open("one")
    assert (there["dashboardUID"], there["panelId"]) == ("abc", 7)
    assert not call(grafana.url, "one", dashboard="abc", panel=7)["changed"]
    assert [one["timeEnd"] for one in list(grafana.annotations.values())[2:4]] == [now + 900_000] * 2
    assert call(grafana.url, "one", dashboard="abc")["changed"] and len(grafana.open("one")) == 1


def test_one_that_was_deleted_in_the_meantime_is_well(grafana: StandIn) -> None:
    call(grafana.url, "gone")
    gone = dict(grafana.annotations)
    found = grafana.found

    def once(query: dict[str, list[str]]) -> list[dict[str, Any]]:
        told = found(query)
        grafana.annotations.clear()
        return told

    grafana.found = once  # type: ignore[method-assign]
    assert call(grafana.url, "gone", state="absent")["ok"] and gone


@pytest.mark.parametrize(
    ("answer", "says_so"),
    [
        (says(403, '{"message": "Permission denied \x1b[31m"}'), "403"),
        (says(200, "{}"), "a list of annotations"),
        (says(200, '[{"tags": ["upkeep:k"]}]'), "cannot be read"),
        (says(200, '[{"tags": ["upkeep:k"], "time": 1, "timeEnd": 9e15, "id": "../x"}]'), "cannot be read"),
        (says(200, '[{"tags": 7}]'), "cannot be read"),
        (says(200, "[7]"), "cannot be read"),
        (says(302, "", Location="http://127.0.0.1:1/login"), "redirects are not followed"),
    ],
)
def test_an_answer_that_is_none_is_named(answer: Any, says_so: str) -> None:
    with serving(answer) as server:
        one = failed(call(server.url, "k"))
        assert says_so in one["summary"] + one["remedy"] and "\x1b" not in str(one)
        assert (
            "graphs show work that is over"
            in failed(call(server.url, "k", state="absent"), "patch.silence.left")["summary"]
        )
        assert {method for method, _path, _auth in server.asked} == {"GET"}


def test_by_ansible(grafana: StandIn) -> None:
    def run(**options: Any) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("ansible")), "-i", "localhost,", "-c", "local", "localhost"]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", "upkeep.maintenance.monitoring_silence"]
        given = {"kind": "grafana", "url": grafana.url, "key": "ansible/web1", "token": TOKEN, **options}
        words = [*command, "-vvv", "-a", json.dumps(given)]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
        assert TOKEN not in ran.stdout + ran.stderr
        return {"failed": "FAILED!" in ran.stdout, **json.loads(ran.stdout[ran.stdout.index("=> ") + 3 :])}

    assert run()["changed"] and run(state="absent")["changed"] and grafana.open("ansible/web1") == []
    wrong = run(token="wr0ng-t0k3n-wr0ng")
    assert wrong["failed"] and "401" in wrong["msg"] and "wr0ng-t0k3n" not in str(wrong)
    other = run(hosts=["web1"])
    assert other["failed"] and "hosts is an option of kind zabbix" in other["msg"]
