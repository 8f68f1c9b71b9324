# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""upkeep notify: what it shows, what it sends, and what it says when it is used wrongly."""

from __future__ import annotations

import http.server
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.scheduler import results_file
from tests.unit.scheduler.notify_rig import DISK, PATCH
from upkeep.cli import main
from upkeep.errors import NOT_RUN, OK, WRONG_USE
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import audit, open_store, outbox

CONFIG = """\
time_zone: Europe/Moscow
notify:
  channels:
    duty: {url: {file: URL}, language: ru}
    mail: {env: UPKEEP_TEST_NOT_SET}
  routes:
    - {name: urgent, priority: P1, to: duty, repeat_every: 15m}
    - {name: rest, to: mail, how: digest}
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "upkeep.yml").write_text(CONFIG.replace("URL", str(tmp_path / "url")))
    (tmp_path / "url").write_text("json://127.0.0.1:1/SECRET")
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path))
    monkeypatch.setenv("UPKEEP_CONFIG", str(tmp_path / "upkeep.yml"))
    return tmp_path


@pytest.fixture
def filled(home: Path) -> Path:
    now = time.time()
    with open_store(None, home) as store:
        findings = [("web1", DISK, "/", "critical"), ("web1", PATCH, "x", "low")]
        path = results_file.write(home / "r", "r1", findings, started=now - 20, finished=now - 10)
        record_file(store, path, Policy(), now)
    return home


@pytest.fixture
def hook(home: Path) -> Iterator[list[str]]:
    heard: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            heard.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        (home / "url").write_text(f"json://127.0.0.1:{server.server_address[1]}/SECRET")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield heard
        server.shutdown()


def test_channels(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notify"]) == OK
    out = capsys.readouterr().out
    assert "notify:duty" in out and "{env: UPKEEP_TEST_NOT_SET}" in out and "built-in P1" in out and "SECRET" not in out
    assert main(["notify", "--json"]) == OK
    said = json.loads(capsys.readouterr().out)
    assert [row["queue"] for row in said["channels"]] == ["notify:duty", "notify:mail"]


def test_a_test_that_arrives_lets_a_stopped_queue_go_on(
    home: Path, hook: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with open_store(None, home) as store, store.database.write() as connection:
        outbox.hold(connection, "notify:duty", "refused", 1e12, 1.0)
    assert main(["notify", "test", "duty"]) == OK
    out = capsys.readouterr().out
    assert (
        "notify:duty (URL from {file: " in out
        and "): delivered" in out
        and "notify:duty stood still, and goes on" in out
    )
    assert json.loads(hook[0])["title"] == "Upkeep: проверка канала duty"
    with open_store(None, home) as store, store.database.read() as connection:
        assert [queue for queue in outbox.queues(connection) if queue.held_since] == []
        assert [act.action for act in audit.listed(connection)] == ["outbox.released"]


def test_a_test_that_does_not_arrive(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notify", "test", "duty"]) == NOT_RUN
    assert "NOT delivered: not delivered: Connection refused" in capsys.readouterr().out
    assert main(["notify", "test", "mail", "--json"]) == NOT_RUN
    (row,) = json.loads(capsys.readouterr().out)["results"]
    assert not row["delivered"] and "UPKEEP_TEST_NOT_SET to be set" in row["why"]


def test_preview(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notify", "preview"]) == OK
    out = capsys.readouterr().out
    assert "--- duty, alarm, at once\nP1 новое: web1: capacity.disk.full" in out
    assert "--- mail, digest" in out and "P3: digest of 1 ticket, web1" in out
    assert main(["notify", "preview", "mail", "--lang", "ru", "--format", "html", "--json"]) == OK
    (message,) = json.loads(capsys.readouterr().out)["messages"]
    assert message["title"] == "P3: сводка, 1 заявка, web1" and "<b>P3</b>" in message["body"]
    with open_store(None, filled) as store, store.database.read() as connection:
        assert outbox.queues(connection) == []  # it only shows


def test_why_a_ticket_goes_where_it_goes(filled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["notify", "routes", "1"]) == OK
    out = capsys.readouterr().out
    assert "Opened now, it would be told at once in duty (ru), again every 15 min until acknowledged." in out
    assert "an earlier route holds" in out and "Nothing was told of it." in out
    assert main(["notify", "routes", "#2", "--json"]) == OK
    said = json.loads(capsys.readouterr().out)
    assert [(row["route"], row["takes"], row["why"]) for row in said["routes"]] == [
        ("urgent", False, "priority is P3, not P1"),
        ("rest", True, ""),
        ("built-in P1", False, "priority is P3, not P1"),
    ]
    assert main(["scheduler", "--once"]) == OK
    capsys.readouterr()
    assert main(["notify", "routes", "1"]) == OK
    found = " ".join(capsys.readouterr().out.split())
    assert "opened in duty (urgent): message 1: waiting (not delivered: Connection refused)" in found
    assert said["orders"][0]["channel"] == "mail" and said["orders"][0]["due"].endswith("Z")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["test", "dutty"], "did you mean duty?"),
        (["test"], "no channel is named"),
        (["preview", "nobody"], "with one of duty, mail"),
        (["routes"], "upkeep notify routes TICKET"),
        (["routes", "x"], "upkeep notify routes TICKET"),
        (["routes", "99"], "there is no ticket #99"),
    ],
)
def test_wrong_use(home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert main(["notify", *words]) == WRONG_USE
    assert said in capsys.readouterr().err


def test_the_doctor_looks_at_the_channels(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> dict[str, dict[str, str]]:
        main(["doctor", "--json"])
        return {row["item"]: row for row in json.loads(capsys.readouterr().out)["rows"] if row["area"] == "notify"}

    found = rows()
    assert found["channel duty"]["state"] == "ok" and "JSON" in found["channel duty"]["found"]
    assert found["channel mail"]["state"] == "hint" and "UPKEEP_TEST_NOT_SET" in found["channel mail"]["found"]
    (home / "url").write_text("tgram:/SECRET/x")
    assert rows()["channel duty"]["state"] == "missing"
    assert "SECRET" not in str(rows())


def test_without_channels(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "upkeep.yml").write_text("notify: {language: ru}\n")
    assert main(["notify"]) == WRONG_USE
    assert "nobody is told anything" in capsys.readouterr().err


def test_nothing_heavy_is_imported_by_who_only_looks_at_tickets(filled: Path) -> None:
    program = (
        "import sys; from upkeep.cli import main; main(['tickets']);"
        "print([name for name in ('apprise', 'jinja2', 'requests') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
