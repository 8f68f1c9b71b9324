# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Probes against servers on the loopback that behave as badly as they can."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._health import probes
from tests.unit.plugins.health.filled import probe


def ask(spec: dict[str, Any], seconds: float = 30, check_mode: bool = False) -> dict[str, Any]:
    return probes.probe_all([spec], seconds, check_mode, time.time())[spec["name"]]


@contextlib.contextmanager
def serving(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A server that lets a function talk to each who comes, on a port of its own."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _who = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                answer(connection)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def drip(connection: socket.socket) -> None:
    """Each byte comes before a time-out of the socket would: only a limit for the whole ends it."""
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
    while True:
        connection.sendall(b"x")
        time.sleep(0.1)


def flood(connection: socket.socket) -> None:
    connection.recv(4096)
    connection.sendall(b"HTTP/1.1 200 \x1b[2JOK\r\n\r\n")
    while True:
        connection.sendall(b"\x1b]0;owned\x07password=hunter2 " * 1000)


def say(text: bytes) -> Callable[[socket.socket], None]:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(text)

    return answer


def test_a_server_that_answers_for_ever_is_left_behind() -> None:
    with serving(drip) as port:
        began = time.monotonic()
        told = ask(probe("p", "http", url=f"http://127.0.0.1:{port}/", timeout=1))
        assert told["passed"] is False and told["summary"] == "no answer within 1 s"
        assert time.monotonic() - began < 4


def test_a_flood_is_cut_and_cleaned() -> None:
    with serving(flood) as port:
        told = ask(probe("p", "http", url=f"http://127.0.0.1:{port}/", contains="never"))
        assert told["passed"] is False and told["summary"] == "its answer does not contain 'never'"
        assert len(str(told)) < 2500 and "\x1b" not in str(told["evidence"]) and "hunter2" not in str(told)


@pytest.mark.parametrize(
    ("answer", "passed", "says"),
    [
        (b"HTTP/1.1 204 No\r\n\r\n", False, "it answers 204, expected was 200"),
        (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", False, "it answers 302"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", False, "does not speak HTTP"),
        (b"", False, "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", True, "it answers 200"),
    ],
)
def test_answers_over_http(answer: bytes, passed: bool, says: str) -> None:
    with serving(say(answer)) as port:
        told = ask(probe("p", "http", url=f"http://127.0.0.1:{port}/"))
        assert told["passed"] is passed and says in told["summary"], told
        assert told["port"] == port


def test_user_and_password_go_into_the_request_and_nowhere_else() -> None:
    got: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        got.append(connection.recv(4096))
        connection.sendall(b"HTTP/1.1 401 No\r\n\r\n")

    with serving(answer) as port:
        spec = probe(
            "p", "http", url=f"http://127.0.0.1:{port}/x?y=1", user="u", password="s3cr3t", headers={"Host": "h"}
        )
        told = ask(spec)
    assert (
        got[0].startswith(b"GET /x?y=1 HTTP/1.1\r\n") and b"Basic dTpzM2NyM3Q=" in got[0] and b"Host: h\r\n" in got[0]
    )
    assert "s3cr3t" not in str(told) and "dTpz" not in str(told)


def test_tls_that_hangs_or_is_none() -> None:
    with serving(lambda connection: time.sleep(20)) as port:
        told = ask(probe("p", "tls", host="127.0.0.1", port=port, timeout=1))
        assert told["summary"] == "no answer within 1 s"
    with serving(say(b"220 mail.example ESMTP\r\n")) as port:
        told = ask(probe("p", "tls", host="127.0.0.1", port=port))
        assert told["passed"] is False and "TLS failed" in told["summary"]


@pytest.mark.parametrize(("days", "name"), [(30, "short"), (36500, "after 2049, so in the other form of time")])
def test_until_when_a_certificate_is_valid(tmp_path: Path, days: int, name: str) -> None:
    path = tmp_path / "c.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days"]
    command += [str(days), "-subj", "/CN=x", "-keyout", str(tmp_path / "k.pem"), "-out", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    ends = probes.not_after(ssl.PEM_cert_to_DER_cert(path.read_text()))
    assert ends == pytest.approx(time.time() + days * 86400, abs=60), name


@pytest.mark.parametrize(
    "der", [b"", b"\x30", b"\x30\x80", b"\x30\x84\xff\xff\xff\xff", b"\x30\x03\x30\x01\xa0", bytes(range(256)) * 2]
)
def test_what_is_no_certificate(der: bytes) -> None:
    with pytest.raises(ValueError, match="cannot be read"):
        probes.not_after(der)


def test_commands(tmp_path: Path) -> None:
    assert ask(probe("p", "command", argv=["sh", "-c", "exit 3"], rc=3))["passed"] is True
    assert ask(probe("p", "command", argv=["echo", "x"], contains="y"))["summary"] == "its output does not contain 'y'"
    assert "it prints 'x', expected was 'z'" in ask(probe("p", "command", argv=["echo", "x"], expected="z"))["summary"]
    assert "cannot be started" in ask(probe("p", "command", argv=["/nonexistent"]))["summary"]
    endless = ask(probe("p", "command", argv=["yes", "\x1b[2J"], timeout=5))
    assert "printed more than 1024 KiB" in endless["summary"] and "\x1b" not in str(endless)
    assert ask(probe("p", "command", argv=["true"], account="nobody-here"))["passed"] is None
    mark = tmp_path / "mark"
    told = ask(probe("p", "command", argv=["touch", str(mark)]), check_mode=True)
    assert told["passed"] is None and "check mode" in told["summary"] and not mark.exists()


def test_many_side_by_side_within_the_time_for_all() -> None:
    specs = [probe(str(number), "command", argv=["sleep", "60"], timeout=2) for number in range(20)]
    began = time.monotonic()
    told = probes.probe_all(specs, 3, False, time.time())
    assert time.monotonic() - began < 8
    assert [told[str(number)]["passed"] for number in range(8)] == [False] * 8
    assert told["19"]["passed"] is None and "the time for all probes" in told["19"]["summary"]


def test_nobody_and_no_such_name() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        told = ask(probe("p", "tcp", host="127.0.0.1", port=taken.getsockname()[1]))
    assert told["passed"] is False and "nobody listens" in told["summary"]
    told = ask(probe("p", "tcp", host="no-such-host.invalid", port=1))
    assert told["passed"] is False and "port" not in told


def test_clients_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes._process, "environment", lambda account=None: {"PATH": "/nonexistent"})
    told = ask(probe("p", "sql"))
    assert told["passed"] is None and told["summary"] == "psql is not installed on this host"
