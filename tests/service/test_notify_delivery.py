# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Messages through apprise to real servers on this machine: mail, webhooks, chats; and the ways in which they refuse.

Telegram itself cannot be reached from here: its plugin speaks to a server of ours that answers as the Bot API does.
"""

from __future__ import annotations

import base64
import contextlib
import email
import email.policy
import http.server
import json
import logging
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from sqlalchemy import update

from tests.unit.scheduler.notify_rig import DISK, World, at, channel, settings
from upkeep import outbox as outboxes
from upkeep import selfreview
from upkeep.notify import heartbeat, senders
from upkeep.notify.settings import Channel, Heartbeat, Route
from upkeep.outbox import Held, Later, Refused
from upkeep.secret import SecretPlace
from upkeep.store import outbox, schema

TOKEN = "VerySecretToken42"
CRITICAL = ("web<1>", DISK, "/", "critical")
HOSTILE = "<b>@everyone</b> *x* [a](http://evil.example) \x1b[31mred"


# --- servers ----------------------------------------------------------------------------------------------------------


@dataclass
class Web:
    """An HTTP server that keeps what it hears, and answers as it is told."""

    port: int = 0
    heard: list[tuple[str, str, dict[str, str], str]] = field(default_factory=list)
    """Method, path, headers, body."""
    answers: list[tuple[int, str]] = field(default_factory=list)
    """Status and body, in order; then 200."""
    usual: str = "{}"
    delay: float = 0.0


@pytest.fixture
def web() -> Iterator[Web]:
    made = Web()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            made.heard.append((self.command, self.path, dict(self.headers), body))
            time.sleep(made.delay)
            status, text = made.answers.pop(0) if made.answers else (200, made.usual)
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(text.encode())

        do_GET = do_PUT = do_POST  # noqa: N815

        def log_message(self, *_args: object) -> None:
            """Be quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


@dataclass
class Mail:
    """A mail server (RFC 5321, as far as smtplib asks) with one user."""

    port: int = 0
    password: str = TOKEN
    refuse: str = ""
    """What it answers to every recipient; "": it takes them."""
    letters: list[tuple[list[str], str]] = field(default_factory=list)


@pytest.fixture
def mail() -> Iterator[Mail]:
    made = Mail()

    class Handler(socketserver.StreamRequestHandler):
        def say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

        def line(self) -> str:
            return self.rfile.readline().decode().rstrip("\r\n")

        def handle(self) -> None:
            self.say("220 here ESMTP")
            to: list[str] = []
            while line := self.line():
                word = line.split()[0].upper()
                if word == "EHLO":
                    self.say("250-here")
                    self.say("250 AUTH PLAIN")
                elif word == "AUTH":
                    given = base64.b64decode(line.split()[2]).decode().split("\0")[2]
                    self.say("235 ok" if given == made.password else f"535 5.7.8 no, {given} is wrong")
                elif word == "RCPT":
                    to.append(line.partition(":")[2].strip("<> "))
                    self.say(made.refuse or "250 ok")
                elif word == "DATA":
                    self.say("354 go on")
                    text = []
                    while (part := self.line()) != ".":
                        text.append(part.removeprefix("."))
                    made.letters.append((to, "\r\n".join(text)))
                    self.say("250 taken")
                elif word == "QUIT":
                    self.say("221 bye")
                    return
                else:
                    self.say("250 ok")

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        made.port = server.server_address[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield made
        server.shutdown()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What a service's log, set to all there is, would hold. (caplog listens to each logger by itself.)"""
    lines: list[str] = []

    class Ears(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    root, ears = logging.getLogger(), Ears(logging.DEBUG)
    level = root.level
    root.addHandler(ears)
    root.setLevel(logging.DEBUG)
    yield lines
    root.setLevel(level)
    root.removeHandler(ears)


# --- helpers ----------------------------------------------------------------------------------------------------------


def sender(tmp_path: Path, url: str, queue: str = "notify:duty") -> senders.AppriseSender:
    place = tmp_path / "url"
    place.write_text(url + "\n")
    return senders.AppriseSender(queue, SecretPlace("file", str(place)), None)


def message(tmp_path: Path, **changes: Any) -> dict[str, Any]:
    """What goes out for a P1 whose texts come from a hostile host."""
    world = World(tmp_path, settings(language="ru"), at("2026-11-22 03:00"))
    (told,) = world.run(CRITICAL)
    told.payload["tickets"][0]["title"] = HOSTILE
    return {**told.payload, **changes}


# --- each service -----------------------------------------------------------------------------------------------------


def test_mail(tmp_path: Path, mail: Mail) -> None:
    url = f"mailto://robot:{TOKEN}@example.com:{mail.port}?smtp=127.0.0.1&mode=insecure&from=upkeep@example.com&to=duty@example.com"
    assert sender(tmp_path, url).send_now(message(tmp_path)) == 1
    ((to, raw),) = mail.letters
    assert to == ["duty@example.com"]
    letter = email.message_from_string(raw, policy=email.policy.default)
    assert str(letter["Subject"]).startswith("P1 новое: web<1>: ")
    html = letter.get_body(("html",)).get_content()  # type: ignore[union-attr]
    plain = letter.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert "&lt;b&gt;" in html and "<b>@" not in html and "\x1b" not in html
    assert "взять в работу: <code>upkeep tickets ack 1</code>" in html
    assert "upkeep tickets ack 1" in plain
    assert not list(letter.iter_attachments())


def test_webhooks_as_json_xml_and_form(tmp_path: Path, web: Web) -> None:
    payload = message(tmp_path)
    for service in ("json", "xml", "form"):
        sender(tmp_path, f"{service}://127.0.0.1:{web.port}/{TOKEN}").send_now(payload)
    bodies = [body for _method, _path, _headers, body in web.heard]
    said = json.loads(bodies[0])
    assert said["title"].startswith("P1 новое") and said["type"] == "failure"
    assert "@ everyone" in said["message"] and "взять в работу: upkeep tickets ack 1" in said["message"]
    assert "<Message>" in bodies[1] and "&lt;b&gt;" in bodies[1]
    assert "upkeep tickets ack 1" in parse_qs(bodies[2])["message"][0]


def test_ntfy_gotify_and_mattermost(tmp_path: Path, web: Web) -> None:
    payload = message(tmp_path)
    for url in (
        f"ntfy://127.0.0.1:{web.port}/alerts",
        f"gotify://127.0.0.1:{web.port}/{TOKEN}",
        f"mmost://127.0.0.1:{web.port}/{TOKEN.lower()}abcdefgh",
    ):
        sender(tmp_path, url).send_now(payload)
    assert len(web.heard) == 3
    for _method, _path, _headers, body in web.heard:
        assert "upkeep tickets ack 1" in json.loads(body).get("text", "") + body
        assert "@everyone" not in body


def test_telegram_in_its_own_marks(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from apprise.plugins.telegram import NotifyTelegram

    monkeypatch.setattr(NotifyTelegram, "notify_url", f"http://127.0.0.1:{web.port}/bot")
    web.usual = json.dumps({"ok": True, "result": {"message_id": 1}})
    sender(tmp_path, "tgram://123456789:abcdefg_hijklmnop/12315544/").send_now(message(tmp_path))
    said = json.loads(web.heard[-1][3])
    assert said["parse_mode"] == "HTML" and said["chat_id"] in (12315544, "12315544")
    assert "<b>P1 #1 новое</b>: &lt;b&gt;" in said["text"]
    assert "<code>upkeep tickets ack 1</code>" in said["text"]
    assert len(said["text"]) <= 4096


def test_marks_that_a_service_refuses_go_out_as_plain_text(tmp_path: Path, web: Web) -> None:
    web.answers = [(400, "can't parse entities")]
    sender(tmp_path, f"json://127.0.0.1:{web.port}/{TOKEN}?format=html").send_now(message(tmp_path))
    first, second = (json.loads(body)["message"] for *_rest, body in web.heard)
    assert "<code>" in first and "<code>" not in second


def test_a_short_message_is_a_whole_one(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from apprise.plugins.custom_json import NotifyJSON

    monkeypatch.setattr(NotifyJSON, "body_maxlen", 160)
    monkeypatch.setattr(NotifyJSON, "title_maxlen", 0)
    payload = message(tmp_path)
    for changed in (payload, {**payload, "tickets": payload["tickets"] * 9, "total": 9}):
        sender(tmp_path, f"json://127.0.0.1:{web.port}/").send_now(changed)
        said = json.loads(web.heard[-1][3])["message"]
        assert 0 < len(said) <= 160
        assert "P1 #1 новое" in said


# --- when it does not go out ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Held),
        (403, Held),
        (404, Held),
        (410, Held),
        (400, Refused),
        (413, Refused),
        (422, Refused),
        (429, Later),
        (500, Later),
        (503, Later),
    ],
)
def test_what_a_service_answers_is_told_apart_and_hides_the_url(
    tmp_path: Path, web: Web, said: list[str], status: int, expected: type[Exception]
) -> None:
    web.answers = [(status, f"no: {TOKEN}")] * 2
    with pytest.raises(expected) as caught:
        sender(tmp_path, f"json://127.0.0.1:{web.port}/{TOKEN}").send_now(message(tmp_path))
    assert str(status) in str(caught.value)
    assert TOKEN not in str(caught.value) and TOKEN not in "".join(said)
    if status == 429:
        assert isinstance(caught.value, Later) and caught.value.after == 60.0


def test_nobody_listens_or_nobody_answers(tmp_path: Path, web: Web) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(Later, match="Connection refused") as refused:
        sender(tmp_path, f"json://127.0.0.1:{port}/{TOKEN}").send_now(message(tmp_path))
    assert not refused.value.unknown
    web.delay = 3.0
    with pytest.raises(Later, match="timed out") as silent:
        sender(tmp_path, f"json://127.0.0.1:{web.port}/{TOKEN}?rto=0.5").send_now(message(tmp_path / "2"))
    assert silent.value.unknown  # it may have been told


def test_a_service_that_never_ends_its_answer_is_left(
    tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(senders, "TIME_LIMIT", 0.5)
    web.delay = 2.0
    with pytest.raises(Later, match="no answer within") as caught:
        sender(tmp_path, f"json://127.0.0.1:{web.port}/").send_now(message(tmp_path))
    assert caught.value.unknown


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"password": "another"}, Held),
        ({"refuse": "550 no such user"}, Refused),
        ({"refuse": "451 later, please"}, Later),
    ],
)
def test_what_a_mail_server_answers(
    tmp_path: Path, mail: Mail, change: dict[str, str], expected: type[Exception]
) -> None:
    for name, value in change.items():
        setattr(mail, name, value)
    url = f"mailto://robot:{TOKEN}@example.com:{mail.port}?smtp=127.0.0.1&mode=insecure&from=upkeep@example.com&to=duty@example.com"
    with pytest.raises(expected) as caught:
        sender(tmp_path, url).send_now(message(tmp_path))
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize(
    "url", [f"nothing{TOKEN}", f"tgram:/{TOKEN}/x", f"unknown://{TOKEN}/x", f"tgram://{TOKEN}/{TOKEN}"]
)
def test_a_wrong_url_stops_the_queue_and_is_not_shown(tmp_path: Path, said: list[str], url: str) -> None:
    with pytest.raises(Held, match="is not one of apprise's: expected") as caught:
        sender(tmp_path, url).send_now(message(tmp_path))
    assert TOKEN not in str(caught.value) and TOKEN not in "".join(said)


def test_a_secret_that_is_not_there(tmp_path: Path) -> None:
    missing = senders.AppriseSender("notify:duty", SecretPlace("env", "UPKEEP_NO_SUCH_URL"), None)
    with pytest.raises(Held, match="UPKEEP_NO_SUCH_URL to be set, found not set"):
        missing.send_now(message(tmp_path))


# --- the whole way ----------------------------------------------------------------------------------------------------


def whole(tmp_path: Path, *channels: Channel, **more: Any) -> World:
    return World(tmp_path, settings(*channels, **more), at("2026-11-22 03:00"))


def test_from_a_finding_to_two_channels_of_which_one_fails(
    tmp_path: Path, web: Web, mail: Mail, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEST_CHAT", f"json://127.0.0.1:{web.port}/{TOKEN}")
    mail_url = f"mailto://robot:{TOKEN}@example.com:{mail.port}?smtp=127.0.0.1&mode=insecure&from=upkeep@example.com"
    monkeypatch.setenv("TEST_MAIL", f"{mail_url}&to=duty@example.com")
    world = whole(tmp_path, channel("chat"), channel("mail", language="ru"))
    web.answers = [(503, "down")]
    assert len(world.run(CRITICAL)) == 2
    assert outboxes.step(world.store, world.config, world.now) == 1
    assert len(mail.letters) == 1  # told once, although the other one failed
    assert outboxes.step(world.store, world.config, world.now + 3600) == 1
    assert len(mail.letters) == 1
    assert [json.loads(body)["title"][:6] for *_rest, body in web.heard] == ["P1 new"] * 2
    assert "Delayed: this was written Sun 22 Nov 2026 03:00" in json.loads(web.heard[1][3])["message"]


def test_a_refused_url_stops_its_queue_until_it_is_another_one(tmp_path: Path, web: Web) -> None:
    place = tmp_path / "secret"
    place.write_text(f"json://127.0.0.1:{web.port}/{TOKEN}")
    world = whole(tmp_path, Channel("duty", (SecretPlace("file", str(place)),)))
    web.answers = [(401, "who?")]
    world.run(CRITICAL)
    outboxes.step(world.store, world.config, world.now)
    for hours in range(1, 30):  # looks, and does not try the same again
        outboxes.step(world.store, world.config, world.now + hours * 3600)
    assert len(web.heard) == 1
    with world.store.database.read() as connection:
        (queue,) = outbox.queues(connection)
    assert "answered 401" in queue.held_why and TOKEN not in queue.held_why
    place.write_text(f"json://127.0.0.1:{web.port}/another")
    assert outboxes.step(world.store, world.config, world.now + 40 * 3600) == 1
    assert len(web.heard) == 2


def test_a_customers_template_and_a_broken_one(tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "templates" / "en"
    folder.mkdir(parents=True)
    (folder / "alarm.j2").write_text("OURS {{ tickets[0].title }} of {{ node }}")
    monkeypatch.setenv("TEST_DUTY", f"json://127.0.0.1:{web.port}/")
    world = whole(tmp_path, templates=tmp_path / "templates")
    world.run(CRITICAL)
    outboxes.step(world.store, world.config, world.now)
    assert json.loads(web.heard[-1][3])["message"].startswith("OURS capacity.disk.full of / is critical of ")
    (folder / "alarm.j2").write_text("OURS {{ tickets[0].titel }}")
    world.now += 16 * 60
    world.step()
    outboxes.step(world.store, world.config, world.now)
    said = json.loads(web.heard[-1][3])["message"]
    assert "upkeep tickets ack 1" in said
    assert "The template en/alarm.j2 cannot be used" in said and "titel" in said


# --- the dead man's switch --------------------------------------------------------------------------------------------


def test_the_heartbeat_beats_while_the_weekly_is_on_time(tmp_path: Path, web: Web) -> None:
    place = tmp_path / "beat"
    place.write_text(f"http://127.0.0.1:{web.port}/ping/{TOKEN}")
    beat = Heartbeat(SecretPlace("file", str(place)), every=300.0, method="post", jobs=(("weekly", 8 * 86400.0),))
    world = whole(tmp_path, heartbeat=beat, routes=(Route("none", (), "never"),))
    began = world.now

    def beats(then: float) -> int:
        world.now = then
        return heartbeat.step(world.store, world.config, then)

    assert beats(began) == 1  # a new installation has time for its first weekly
    assert beats(began + 60) == 0
    assert beats(began + 300) == 1
    assert beats(began + 8 * 86400 + 60) == 0  # it never ran
    world.run(CRITICAL)
    assert beats(world.now + 60) == 1
    assert beats(world.now + 7.9 * 86400) == 1
    assert beats(world.now + 0.2 * 86400) == 0  # it did not run again
    assert [(method, path) for method, path, *_rest in web.heard] == [("POST", f"/ping/{TOKEN}")] * 4


def test_the_heartbeat_ends_when_nobody_can_be_told(tmp_path: Path, web: Web) -> None:
    place = tmp_path / "beat"
    place.write_text(f"http://127.0.0.1:{web.port}/ping")
    beat = Heartbeat(SecretPlace("file", str(place)), every=60.0, jobs=())
    world = whole(tmp_path, channel("a"), channel("b"), heartbeat=beat)

    def beats(minutes: int) -> int:
        return heartbeat.step(world.store, world.config, world.now + minutes * 60)

    assert beats(0) == 1
    world.run(CRITICAL)  # waits for both, and is not delivered
    assert [beats(59), beats(62), beats(300)] == [1, 0, 0]
    with world.store.database.write() as connection:
        connection.execute(update(schema.outbox).where(schema.outbox.c.queue == "notify:b").values(state="sent"))
    assert beats(301) == 1  # one of them hears


def test_a_heartbeat_that_is_not_accepted_is_known_and_hides_its_url(tmp_path: Path, web: Web, said: list[str]) -> None:
    place = tmp_path / "beat"
    place.write_text(f"http://127.0.0.1:{web.port}/ping/{TOKEN}")
    world = whole(tmp_path, heartbeat=Heartbeat(SecretPlace("file", str(place)), jobs=()))
    web.answers = [(404, "no such check")]
    assert heartbeat.step(world.store, world.config, world.now) == 0
    with world.store.database.read() as connection:
        assert heartbeat.failing_since(connection) == world.now
    assert "answer 404" in "".join(said) and TOKEN not in "".join(said)
    for hours, expected in ((1, []), (25, [selfreview.HEARTBEAT])):  # then it is a ticket
        web.answers = [(404, "no such check")]
        heartbeat.step(world.store, world.config, world.now + hours * 3600)
        selfreview.step(world.store, world.config, world.now + hours * 3600)
        assert [one.cause for one in world.store.tickets() if one.cause == selfreview.HEARTBEAT] == expected
    assert heartbeat.step(world.store, world.config, world.now + 26 * 3600) == 1
    with world.store.database.read() as connection:
        assert heartbeat.failing_since(connection) is None
    place.write_text(f"no url {TOKEN}")
    assert heartbeat.step(world.store, world.config, world.now + 27 * 3600) == 0
    assert TOKEN not in "".join(said)
