# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Silences in Debian's Alertmanager, started here on a free port of loopback; and servers that misbehave."""

from __future__ import annotations

import base64
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence import silence
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence_options import SPEC, errors_of

from .http_server import free_port, says, serving

pytestmark = pytest.mark.timeout(120)

WEB1 = {"name": "instance", "value": "web1(:[0-9]+)?", "regex": True, "equal": True}
WEB2 = {**WEB1, "value": "web2"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    program = shutil.which("prometheus-alertmanager")
    assert program, "expected prometheus-alertmanager, found none; to do: apt-get install prometheus-alertmanager"
    folder = tmp_path_factory.mktemp("alertmanager")
    (folder / "alertmanager.yml").write_text("route: {receiver: nobody}\nreceivers: [{name: nobody}]\n")
    base = f"http://127.0.0.1:{free_port()}/am"
    words = [
        program, f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/data",
        f"--web.listen-address={base[7:-3]}", f"--web.external-url={base}", "--cluster.listen-address=",
        "--log.level=warn",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log, subprocess.Popen(words, stdout=log, stderr=log) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    urllib.request.urlopen(base + "/-/ready", timeout=5).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline and server.poll() is None, (folder / "log").read_text()
                    time.sleep(0.1)
            yield base
        finally:
            server.terminate()


def api(url: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + "/api/v2" + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def alive(url: str, key: str) -> list[dict[str, Any]]:
    """What the server itself says, not our reading of it."""
    return [s for s in api(url, "/silences") if s["createdBy"] == "upkeep/" + key and s["status"]["state"] != "expired"]


def call(url: str, key: str, check: bool = False, **options: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    given = {**defaults, "url": url, "key": key, "matchers": [WEB1], **options}
    assert errors_of(given, time.time()) == []
    return silence(given, check)


def seconds_left(one: dict[str, Any]) -> float:
    return float(one["ends"]) - time.time()


def test_made_lengthened_and_ended(url: str) -> None:
    key = "patching/web1"
    would = call(url, key, check=True)
    assert would["changed"] and would["ok"] and alive(url, key) == [] and would["coverage"] == []
    made = call(url, key, comment="change 4711")
    assert made["changed"] and made["diff"]["before"] == "" and key in made["diff"]["after"], made
    assert made["coverage"] == [{"check": "patch.silence.failed", "subject": key}] and made["findings"] == []
    [there] = alive(url, key)
    assert there["comment"] == "change 4711" and there["status"]["state"] == "active"
    assert there["matchers"] == [{"name": "instance", "value": "web1(:[0-9]+)?", "isRegex": True, "isEqual": True}]
    assert there["id"] == made["silence"]["id"] and 7100 < seconds_left(made["silence"]) <= 7200

    again = call(url, key)
    assert not again["changed"] and again["silence"] == made["silence"]
    assert not call(url, key, check=True)["changed"]

    kept = call(url, key, minutes=600, extend=False)
    assert not kept["changed"] and kept["silence"] == made["silence"]
    longer = call(url, key, minutes=600)
    assert longer["changed"] and longer["silence"]["id"] == made["silence"]["id"], "the same one, with another end"
    assert alive(url, key)[0]["comment"] == "change 4711" and 35_900 < seconds_left(longer["silence"]) <= 36_000
    assert not call(url, key, minutes=5)["changed"], "an end is never brought forward"

    assert call(url, key, check=True, state="absent")["changed"] and len(alive(url, key)) == 1
    ended = call(url, key, state="absent")
    assert ended["changed"] and ended["silence"] == {} and alive(url, key) == [] and ended["diff"]["after"] == ""
    assert ended["coverage"] == [{"check": "patch.silence.left", "subject": key}]
    assert not call(url, key, state="absent")["changed"]


def test_an_end_that_is_given_is_kept_to(url: str) -> None:
    end = float(int(time.time()) + 4000)
    assert call(url, "ends", ends=end)["silence"]["ends"] == end
    assert not call(url, "ends", ends=end)["changed"]
    assert call(url, "ends", ends=end + 60)["silence"]["ends"] == end + 60
    call(url, "ends", state="absent")


def test_alerts_are_silenced_by_it(url: str) -> None:
    api(url, "/alerts", [{"labels": {"alertname": "Down", "instance": name}} for name in ("web1:9100", "web11:9100")])
    made = call(url, "alerts")
    deadline = time.monotonic() + 20
    while True:
        told = {a["labels"]["instance"]: a["status"]["silencedBy"] for a in api(url, "/alerts")}
        if told.get("web1:9100") == [made["silence"]["id"]] or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert told == {"web1:9100": [made["silence"]["id"]], "web11:9100": []}
    call(url, "alerts", state="absent")


def test_exactly_one_is_left_of_a_key_and_those_of_others_are_left_alone(url: str) -> None:
    key, now = "one", time.time()

    def by_hand(by: str, start: float) -> None:
        times = [time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now + at)) for at in (start, start + 9000)]
        matchers = [{"name": "instance", "value": "web9", "isRegex": False, "isEqual": True}]
        body = {"matchers": matchers, "startsAt": times[0], "endsAt": times[1], "createdBy": by, "comment": "c"}
        api(url, "/silences", body)

    for by, start in (("upkeep/one", 0), ("upkeep/one", 3000), ("upkeep/one1", 0), ("ada", 0)):
        by_hand(by, start)
    made = call(url, key, matchers=[WEB2])
    assert made["changed"] and [s["id"] for s in alive(url, key)] == [made["silence"]["id"]]
    assert len(made["diff"]["before"].splitlines()) == 2 and len(made["diff"]["after"].splitlines()) == 1
    other = call(url, key, matchers=[WEB1])
    assert other["changed"] and [s["id"] for s in alive(url, key)] == [other["silence"]["id"]]
    assert other["silence"]["id"] != made["silence"]["id"]
    call(url, key, state="absent")
    assert alive(url, key) == [] and len(alive(url, "one1")) == 1
    assert [s["status"]["state"] for s in api(url, "/silences") if s["createdBy"] == "ada"] == ["active"]


def test_by_ansible(url: str) -> None:
    def run(*more: str, **options: Any) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("ansible")), "-i", "localhost,", "-c", "local", "localhost"]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", "upkeep.maintenance.monitoring_silence"]
        given = {"url": url, "key": "ansible/web1", "matchers": [WEB1], "token": "s3cr3t-t0k3n", **options}
        ran = subprocess.run(
            [*command, "-vvv", "-a", json.dumps(given), *more], capture_output=True, text=True, timeout=60,
            env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
        )  # fmt: skip
        assert "s3cr3t-t0k3n" not in ran.stdout + ran.stderr
        return {"failed": "FAILED!" in ran.stdout, **json.loads(ran.stdout[ran.stdout.index("=> ") + 3 :])}

    assert run("--check", "--diff")["changed"] is True and alive(url, "ansible/web1") == []
    assert run()["changed"] is True and len(alive(url, "ansible/web1")) == 1
    assert run()["changed"] is False
    bad = run(minutes=0)
    assert bad["failed"] and "1 to 10080" in bad["msg"]
    gone = run(state="absent", url=url + "/nothing")
    assert gone["failed"] and "404" in gone["msg"] and gone["findings"][0]["check"] == "patch.silence.left"
    assert run(state="absent")["changed"] is True and alive(url, "ansible/web1") == []


# -- servers that misbehave ----------------------------------------------------------------------------------------


def failed(told: dict[str, Any], check: str = "patch.silence.failed") -> dict[str, Any]:
    [one] = told["findings"]
    assert not told["ok"] and told["msg"] and told["coverage"] == [] and one["check"] == check and one["remedy"], told
    return dict(one)


@pytest.mark.parametrize(
    ("answer", "says_so", "remedy"),
    [
        (says(401, "no"), "401: no", "token"),
        (says(404, ""), "404", "path prefix"),
        (says(302, "", Location="http://127.0.0.1:1/"), "302", "redirects are not followed"),
        (says(500, "bro\x1b[31mken"), "500: broken", "log"),
        (says(200, "<html>hello"), "JSON was expected", "url"),
        (says(200, '{"a": 1}'), "a list of silences", "Alertmanager"),
        (says(200, ""), "a list of silences", "Alertmanager"),
        (says(200, '[{"createdBy": "upkeep/k", "status": {"state": "active"}}]'), "cannot be read", "End it"),
        (
            says(200, '[{"createdBy": "upkeep/k", "status": {"state": "active"}, "id": "../x", "matchers": []}]'),
            "cannot be read", "End it",
        ),
    ],
)  # fmt: skip
def test_an_answer_that_is_none_is_named(answer: Any, says_so: str, remedy: str) -> None:
    with serving(answer) as server:
        one = failed(call(server.url, "k"))
        assert says_so in one["summary"] and remedy in one["remedy"], one
        assert "nobody" in failed(call(server.url, "k", state="absent"), "patch.silence.left")["summary"]
        assert {method for method, _path, _auth in server.asked} == {"GET"}


def test_credentials_are_sent_and_never_shown() -> None:
    def repeats(handler: http.server.BaseHTTPRequestHandler) -> None:
        says(403, "you said " + handler.headers["Authorization"] + " for " + secret)(handler)

    blob = base64.b64encode(b"ada:hunter2-xyz").decode()
    secret = "hunter2-xyz"
    with serving(repeats) as server:
        basic = call(server.url, "k", user="ada", password="hunter2-xyz")
        secret = "t0k3n-t0k3n"
        bearer = call(server.url, "k", token=secret)
        assert [auth for _m, _p, auth in server.asked] == ["Basic " + blob, "Bearer t0k3n-t0k3n"]
    assert "403" in failed(basic)["summary"]
    assert not any(shown in str([basic, bearer]) for shown in ("hunter2-xyz", blob, "t0k3n-t0k3n"))


def test_a_server_that_is_not_there_or_never_ends() -> None:
    assert "nobody listens" in failed(call(f"http://127.0.0.1:{free_port()}", "k"))["summary"]
    stop = threading.Event()

    def drips(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not stop.wait(0.2):
            handler.wfile.write(b" ")
            handler.wfile.flush()

    with serving(drips) as server:
        began = time.monotonic()
        one = failed(call(server.url, "k", timeout=1))
        assert "no answer within 1 s" in one["summary"] and time.monotonic() - began < 10
        stop.set()


def test_a_silence_that_does_not_go_is_left_and_told() -> None:
    there = {
        "id": "8a2c1a3e-6a3f", "createdBy": "upkeep/k", "comment": "", "status": {"state": "active"},
        "matchers": [{"name": "instance", "value": "web1", "isRegex": False}],
        "startsAt": "2026-01-01T00:00:00.000Z", "endsAt": "2036-01-01T00:00:00.000Z",
    }  # fmt: skip

    def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
        says(200, json.dumps([there]) if handler.command == "GET" else "")(handler)

    with serving(answer) as server:
        told = call(server.url, "k", state="absent")
        assert ("DELETE", "/api/v2/silence/8a2c1a3e-6a3f", "") in server.asked
    one = failed(told, "patch.silence.left")
    assert "there are 1 after 10 s" in one["summary"] and told["changed"]


def test_certificates(tmp_path: Path) -> None:
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    words += ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key", "-out", "cert"]
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    cert, key = str(tmp_path / "cert"), str(tmp_path / "key")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with serving(says(200, "[]"), context) as server:
        assert "not trusted" in failed(call(server.url, "k", check=True))["summary"]
        assert call(server.url, "k", check=True, ca_file=cert)["ok"]
        assert call(server.url, "k", check=True, verify=False)["ok"]
        wrong_name = server.url.replace("127.0.0.1", "localhost")
        assert "not trusted" in failed(call(wrong_name, "k", check=True, ca_file=cert))["summary"]
    assert "ca_file cannot be read" in failed(call(server.url, "k", ca_file=str(tmp_path / "none")))["summary"]
    assert "client_cert" in failed(call(server.url, "k", client_cert=str(tmp_path / "none")))["summary"]
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cert)
    with serving(says(200, "[]"), context) as server:
        assert call(server.url, "k", check=True, ca_file=cert, client_cert=cert, client_key=key)["ok"]
        failed(call(server.url, "k", check=True, ca_file=cert))
    with serving(says(200, "[]")) as server:
        assert "TLS failed" in failed(call(server.url.replace("http:", "https:"), "k"))["summary"]
