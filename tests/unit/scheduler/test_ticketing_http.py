# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP to ticket systems: what the contract does not reach - TLS, proxies, redirects, secrets in every shape."""

from __future__ import annotations

import base64
import http.server
import os
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from upkeep.ticketing.http import Http, Missing
from upkeep.ticketing.protocol import Held, Later, Refused

Answer = Callable[[http.server.BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]
SECRET = "pa/ss+wörd=1"


class Server:
    """A server that answers as the test says, and remembers what it was asked."""

    def __init__(self, tls: Path | None = None) -> None:
        self.answer: Answer = lambda handler: (200, {}, b"{}")
        self.asked: list[tuple[str, str, dict[str, str]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def _do(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append((self.command, self.path, dict(self.headers.items())))
                status, headers, body = outer.answer(self)
                self.send_response(status)
                for name, value in ({"Content-Type": "application/json"} | headers).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = _do  # noqa: N815

            def log_message(self, format: str, *args: Any) -> None:
                return

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.005,), daemon=True).start()
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def http_to(url: str, **more: Any) -> Http:
    return Http(url, secrets=(SECRET,), timeout=2.0, **more)


SHAPES = [SECRET, quote(SECRET), quote(SECRET, safe=""), base64.b64encode(SECRET.encode()).decode()]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
def test_a_server_that_repeats_our_secret_does_not_get_it_into_an_error(
    server: Server, status: int, shape: str
) -> None:
    server.answer = lambda handler: (status, {}, f'{{"message": "you said {shape} to us"}}'.encode())
    with pytest.raises((Refused, Held, Later)) as told:
        http_to(server.url).post("/x", {"a": 1})
    assert shape not in str(told.value)
    assert "you said ********" in str(told.value)


def test_a_secret_in_the_url_is_in_no_error(server: Server) -> None:
    client = http_to("http://127.0.0.1:9/rest")
    with pytest.raises(Later) as told:
        client.get("/find", {"accessKey": SECRET})
    assert not any(shape in str(told.value) for shape in SHAPES)
    assert "Connection refused" in str(told.value)
    server.answer = lambda handler: (302, {"Location": f"http://203.0.113.9/?accessKey={quote(SECRET)}"}, b"")
    with pytest.raises(Later) as told:
        http_to(server.url).get("/find", {"accessKey": SECRET})
    assert not any(shape in str(told.value) for shape in SHAPES)


def test_no_exception_behind_the_error_shows_the_secret() -> None:
    with pytest.raises(Later) as told:
        http_to("http://127.0.0.1:9").get("/x", {"accessKey": SECRET})
    assert told.value.__cause__ is None and told.value.__suppress_context__


@pytest.mark.parametrize("secret", ["first-line\nsecond-line", "ключ-от-склада"])
def test_a_secret_that_no_header_takes_holds_the_queue_and_is_not_shown(server: Server, secret: str) -> None:
    client = Http(server.url, secrets=(secret,), headers={"PRIVATE-TOKEN": secret}, timeout=2.0)
    with pytest.raises(Held, match="cannot be sent") as told:
        client.post("/x", {"a": 1})
    assert "line" not in str(told.value).replace("line breaks", "") and "ключ" not in str(told.value)
    assert server.asked == []


def test_a_line_that_breaks_below_tls_after_the_request_leaves_its_outcome_unknown(certificate: Path) -> None:
    def garbage(handler: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        os.write(handler.connection.detach(), b"HTTP/1.1 502 Bad Gateway\r\n\r\n")  # something before the server
        raise ConnectionResetError

    server = Server(certificate)
    server.answer = garbage
    client = http_to(server.url, ca_file=str(certificate.with_name("ca.pem")))
    with pytest.raises(Later) as told:
        client.post("/x", {})
    assert server.asked and told.value.unknown
    server.stop()


def test_a_reading_follows_redirects_on_its_own_server_only(server: Server) -> None:
    other = Server()

    def moved(handler: http.server.BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        if handler.path == "/old":
            return 301, {"Location": "/new"}, b""
        if handler.path == "/away":
            return 302, {"Location": f"{other.url}/steal"}, b""
        if handler.path == "/circle":
            return 302, {"Location": "/circle"}, b""
        return 200, {}, b'{"here": true}'

    server.answer = moved
    client = http_to(server.url, headers={"X-Token": SECRET})
    assert client.get("/old") == {"here": True}
    with pytest.raises(Later, match="another server"):
        client.get("/away")
    with pytest.raises(Later, match="circle"):
        client.get("/circle")
    with pytest.raises(Later, match="put the right address") as told:
        client.post("/old", {})
    assert not told.value.unknown
    assert other.asked == [], "our token went to another server"
    other.stop()


def test_netrc_has_no_say(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login other password other\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    http_to(server.url, headers={"Authorization": "Token token=x"}).get("/x")
    assert server.asked[0][2]["Authorization"] == "Token token=x"


def test_a_proxy_is_used_when_it_is_configured_or_in_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    http_to("http://itsm.example.com", proxy=server.url).get("/x")
    assert server.asked[-1][1] == "http://itsm.example.com/x"
    monkeypatch.setenv("http_proxy", server.url)
    http_to("http://other.example.com").get("/y")
    assert server.asked[-1][1] == "http://other.example.com/y"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    )
    run = [*command.split(), "-keyout", str(folder / "key.pem"), "-out", str(folder / "ca.pem")]
    subprocess.run(run, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "ca.pem").read_text() + (folder / "key.pem").read_text())
    return both


def test_a_certificate_is_verified_by_ones_own_ca(certificate: Path) -> None:
    server = Server(certificate)
    with pytest.raises(Later, match="certificate is not trusted") as told:
        http_to(server.url).post("/x", {})
    assert not told.value.unknown
    assert http_to(server.url, ca_file=str(certificate.with_name("ca.pem"))).get("/x") == {}
    server.stop()


@pytest.mark.parametrize("url", ["ftp://x/", "file:///etc/passwd", "itsm.example.com", "", "http://"])
def test_only_http_and_https(url: str) -> None:
    with pytest.raises(Refused):
        http_to(url)


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [
        ("7", 7, 7),
        ("0", 0, 0),
        ("999999999", 999999999, 999999999),
        ("soon", None, None),
        ("", None, None),
        ("-5", None, None),
    ],
)
def test_retry_after(server: Server, given: str, least: float | None, most: float | None) -> None:
    server.answer = lambda handler: (429, {"Retry-After": given}, b"")
    with pytest.raises(Later) as told:
        http_to(server.url).get("/x")
    assert told.value.after == least == most


def test_retry_after_a_date(server: Server) -> None:
    server.answer = lambda handler: (503, {"Retry-After": formatdate(time.time() + 60, usegmt=True)}, b"")
    with pytest.raises(Later) as told:
        http_to(server.url).get("/x")
    assert told.value.after is not None and 55 < told.value.after <= 60


def test_what_comes_back_is_told_apart(server: Server) -> None:
    client = http_to(server.url)
    cases: list[tuple[int, dict[str, str], bytes, type[Exception]]] = [
        (401, {}, b"", Held),
        (403, {}, b'{"message": "no"}', Held),
        (404, {}, b"", Missing),
        (400, {}, b'{"errors": {"summary": "too long"}}', Refused),
        (409, {}, b"", Later),
        (500, {}, b"\x00\xff\x1b[31m", Later),
        (200, {"Content-Type": "text/html"}, b"<p>login</p>", Later),
        (200, {}, b"\n <!DOCTYPE html><p>login</p>", Later),
        (200, {}, b"[" * 100_000, Later),
        (304, {}, b"", Refused),
    ]
    for status, headers, body, expected in cases:
        server.answer = lambda handler, s=status, h=headers, b=body: (s, h, b)  # type: ignore[misc]
        with pytest.raises(expected) as told:
            client.get("/x")
        assert type(told.value) is expected, status
        assert "\x1b" not in str(told.value) and len(str(told.value)) < 700
    server.answer = lambda handler: (200, {}, b"")
    assert client.get("/x") is None


def test_a_packed_answer_that_grows_is_cut_off(server: Server) -> None:
    import gzip

    packed = gzip.compress(b"[" + b" " * 50_000_000 + b"]")
    server.answer = lambda handler: (200, {"Content-Encoding": "gzip"}, packed)
    with pytest.raises(Later, match="more than"):
        http_to(server.url).get("/x")
