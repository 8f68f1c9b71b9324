# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lead of a database given away: with Debian's Patroni, PostgreSQL and etcd; and servers that misbehave."""

from __future__ import annotations

import http.server
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain import drain
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_options import SPEC, errors_of

from .http_server import free_port, says, serving
from .patroni_cluster import PASSWORD, USER, Patronis, until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def patronis() -> Iterator[Patronis]:
    # Not below pytest's own folders, which PostgreSQL's account cannot enter; and sockets want a short path.
    folder = Path(tempfile.mkdtemp(prefix="upkeep-patroni-"))
    made = Patronis(folder)
    try:
        made.start()
        yield made
    except AssertionError:
        for log in folder.glob("*.log"):
            sys.stderr.write(f"-- {log.name}\n" + log.read_text(errors="replace")[-3000:])
        raise
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


def options(urls: list[str], state: str, server: str = "pg1", **more: Any) -> dict[str, Any]:
    plain = {"kind": "patroni", "server": server, "urls": urls, "user": USER, "password": PASSWORD, "state": state}
    return {**plain, "timeout": 120, **more}


def call(urls: list[str], state: str, server: str = "pg1", check: bool = False, **more: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    given = {**defaults, **options(urls, state, server, **more)}
    assert errors_of(given) == []
    told = drain(given, check)
    assert PASSWORD not in str(told)
    return told


def failed(told: dict[str, Any], check: str = "patch.drain.failed") -> dict[str, Any]:
    [one] = told["findings"]
    assert not told["ok"] and told["msg"] and told["coverage"] == [] and one["check"] == check and one["remedy"], told
    return dict(one)


def test_the_lead_is_given_away_and_taken_back(patronis: Patronis) -> None:
    urls = [patronis.url("pg2"), patronis.url("pg1")]
    assert patronis.roles() == {"pg1": "leader", "pg2": "replica"}
    wrong = call(urls, "drained", password="wr0ng-pa55")
    assert "401" in failed(wrong)["summary"] and "wr0ng-pa55" not in str(wrong) and not wrong["changed"]
    would = call(urls, "drained", check=True)
    assert would["ok"] and would["changed"] and would["diff"] == {
        "before": "pg1: leads\n", "after": "pg1: follows pg2\n"
    }, would  # fmt: skip
    assert patronis.roles()["pg1"] == "leader"

    did = call(urls, "drained")
    assert did["ok"] and did["changed"] and did["findings"] == [], did
    assert did["coverage"] == [{"check": "patch.drain.failed", "subject": "pg1"}]
    assert patronis.sql("pg2", "create table t(); select 'written'") == "written", "the new leader writes at once"
    for check in (False, True):
        assert not call(urls, "drained", check=check)["changed"]

    back = call(urls, "active")
    assert back["ok"] and not back["changed"] and back["findings"] == [], back
    assert patronis.follows("pg2", "pg1"), "it streams, and the lead stays where it is"
    assert back["coverage"] == [{"check": "patch.drain.left", "subject": "pg1"}]
    assert call(urls, "active", switch_back=True, check=True)["diff"]["after"] == "pg1: leads\n"
    again = call(urls, "active", switch_back=True)
    assert again["ok"] and again["changed"] and again["servers"][0]["state"] == "ready", again
    assert patronis.sql("pg1", "insert into t default values; select 'written'") == "written"
    assert not call(urls, "active", switch_back=True)["changed"]
    assert not call(urls, "drained", server="pg2")["changed"], "who only follows leads nothing"


def test_it_is_refused_when_paused_or_when_nobody_can_take_over(patronis: Patronis) -> None:
    urls = [patronis.url("pg1"), patronis.url("pg2")]
    until("pg2 follows", lambda: patronis.follows("pg1", "pg2"))
    assert "no member pg9; it has pg1, pg2" in failed(call(urls, "drained", server="pg9"))["summary"]
    assert "no other member pg9" in failed(call(urls, "drained", candidate="pg9"))["summary"]
    patronis.configure(pause=True)
    until("the cluster is paused", lambda: patronis.cluster().get("pause"))
    for check in (True, False):
        assert "the cluster is paused" in failed(call(urls, "drained", check=check))["summary"]
    patronis.configure(pause=None)
    until("the cluster goes on", lambda: not patronis.cluster().get("pause"))
    patronis.stop_member("pg2")
    until("pg2 is down", lambda: "pg2" not in patronis.roles())
    told = call([*urls[::-1]], "drained")
    assert "nobody can take the lead" in failed(told)["summary"] and not told["changed"], told
    late = call(urls, "active", server="pg2", timeout=1)
    assert "not back after 1 s: pg2 is" in failed(late, "patch.drain.left")["summary"]
    assert late["servers"][0]["state"] == "down" and late["undone"] is True
    starter = threading.Timer(1.0, patronis.member, ["pg2"])
    starter.start()
    back = call(urls, "active", server="pg2")
    starter.join()
    assert back["ok"] and not back["changed"], back
    assert patronis.follows("pg1", "pg2") and patronis.roles()["pg1"] == "leader"


def test_by_ansible(patronis: Patronis) -> None:
    urls = [patronis.url("pg1")]

    def run(state: str, *more: str, **others: Any) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("ansible")), "-i", "localhost,", "-c", "local", "localhost"]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", "upkeep.maintenance.traffic_drain"]
        words = [*command, "-vvv", "-a", json.dumps(options(urls, state, **others)), *more]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=120)
        assert PASSWORD not in ran.stdout + ran.stderr
        return {"failed": "FAILED!" in ran.stdout, **json.loads(ran.stdout[ran.stdout.index("=> ") + 3 :])}

    assert run("drained", "--check")["changed"]
    bad = run("drained", candidate="pg1")
    assert bad["failed"] and "the server itself" in bad["msg"]


# -- servers that misbehave ----------------------------------------------------------------------------------------


def told_by(*members: dict[str, Any]) -> str:
    return json.dumps({"members": members})


LEADER = {"name": "pg1", "role": "leader", "state": "running", "timeline": 3}
REPLICA = {"name": "pg2", "role": "replica", "state": "streaming", "timeline": 3, "lag": 0}


def test_who_does_not_answer_is_passed_over() -> None:
    with serving(says(503, "down")) as bad, serving(says(200, told_by(LEADER, REPLICA))) as good:
        dead = f"http://127.0.0.1:{free_port()}"
        would = call([dead, bad.url, good.url], "drained", check=True)
        assert would["ok"] and would["changed"], would
        one = failed(call([dead, bad.url], "drained"))
        assert "nobody listens there" in one["summary"] and any("503" in line for line in one["evidence"])


@pytest.mark.parametrize(
    ("body", "says_so"),
    [
        ("<html>", "JSON was expected"),
        ("[]", "a cluster was expected"),
        ('{"members": [{"name": "pg1"}]}', "a cluster was expected"),
        ('{"members": [{"name": "pg1", "role": "leader", "tags": 7}]}', "a cluster was expected"),
        (told_by(LEADER, {**REPLICA, "state": "x\x1b[31m" * 200}), "nobody can take the lead"),
        (told_by(LEADER), "there is no other member"),
    ],
)
def test_an_answer_that_is_none_is_named(body: str, says_so: str) -> None:
    with serving(says(200, body)) as server:
        one = failed(call([server.url], "drained"))
        assert says_so in one["summary"] and len(one["summary"]) <= 300 and "\x1b" not in str(one)


@pytest.mark.parametrize(
    ("status", "text", "says_so"),
    [
        (412, "candidate name does not match with sync_standby", "412: candidate name does not match"),
        (503, "Switchover failed", "503: Switchover failed"),
        (503, "Switchover status unknown", "not switched over after 1 s: pg1 leads"),
        (200, "Successfully switched over", "not switched over after 1 s: pg1 leads"),
    ],
)
def test_a_switchover_counts_once_it_is_seen(status: int, text: str, says_so: str) -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.command)
        says(*((200, told_by(LEADER, REPLICA)) if handler.command == "GET" else (status, text)))(handler)

    asked: list[str] = []
    with serving(answer) as server:
        told = call([server.url], "drained", timeout=1)
        assert says_so in failed(told)["summary"] and asked.count("POST") == 1, told


def test_a_leader_counts_once_it_is_promoted() -> None:
    promoted = {**REPLICA, "role": "leader"}
    states = [(LEADER, REPLICA), (LEADER, REPLICA), ({**LEADER, "role": "replica"}, REPLICA)]
    states += [({**LEADER, "role": "replica"}, promoted)] * 2
    states += [({**LEADER, "role": "replica"}, {**promoted, "timeline": 4})]

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        if handler.command == "POST":
            says(200, "Successfully switched over")(handler)
        else:
            says(200, told_by(*(states.pop(0) if len(states) > 1 else states[0])))(handler)

    with serving(answer) as server:
        told = call([server.url], "drained")
        assert told["ok"] and told["waited"] >= 1.5 and len(states) == 1, "neither without a leader nor before"


def test_who_lost_the_lead_in_the_meantime_takes_it_from_nobody() -> None:
    moved = [{**LEADER, "role": "replica", "lag": 0}, {**REPLICA, "role": "leader", "timeline": 4}]

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.command)
        says(200, told_by(*((LEADER, REPLICA) if len(asked) == 1 else moved)))(handler)

    asked: list[str] = []
    with serving(answer) as server:
        told = call([server.url], "drained")
        assert told["ok"] and not told["changed"] and "POST" not in asked


def test_a_cluster_that_does_not_answer_for_a_while_may_come_back() -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        if 1 < len(asked) < 4:
            says(503, "starting")(handler)
        else:
            says(200, told_by(LEADER, REPLICA))(handler)

    asked: list[str] = []
    with serving(answer) as server:
        assert call([server.url], "active", server="pg2")["ok"] and len(asked) >= 4
        asked.clear()
        late = call([server.url], "active", server="pg2", timeout=0)
        assert "not known to be back after 0 s" in failed(late, "patch.drain.left")["summary"]


def test_who_does_not_stream_is_not_back() -> None:
    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        follower = {"application_name": "pg2", "state": streams[0]}
        leads = {"role": "master", "replication": [follower]}
        members = told_by(LEADER, {**REPLICA, "state": "running"})
        says(200, members if handler.path == "/cluster" else json.dumps(leads))(handler)

    streams = ["catchup"]
    with serving(answer) as server:
        late = call([server.url], "active", server="pg2", timeout=1)
        assert "pg2 does not stream from its leader" in failed(late, "patch.drain.left")["summary"]
        streams[0] = "streaming"
        assert call([server.url], "active", server="pg2")["ok"]
