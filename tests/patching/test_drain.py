# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers drained and taken back in Debian's HAProxy, started here, with sessions that are really open."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain import drain
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_haproxy import HAProxy
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_options import SPEC, errors_of

pytestmark = pytest.mark.timeout(120)


class Echo(socketserver.ThreadingTCPServer):
    """A server behind HAProxy; what connects stays until it hangs up."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                while self.request.recv(100):
                    self.request.sendall(b"hello")

        super().__init__(("127.0.0.1", port), Handler)
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def until(what: str, holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


class Balancer:
    """HAProxy with shop (web1, web2), api (web1, web2) and lone (web3)."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin")
        assert program, "expected haproxy, found none; to do: apt-get install haproxy"
        self.socket, self.port = str(folder / "admin.sock"), free_port()
        self.servers = [Echo() for _ in range(3)]
        one, two, three = (server.port for server in self.servers)
        check = "check inter 100ms fall 1 rise 1"
        (folder / "haproxy.cfg").write_text(
            f"global\n stats socket {self.socket} level admin\n stats socket {folder}/low.sock level operator\n"
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 1m\n timeout server 1m\n"
            f"listen shop\n bind 127.0.0.1:{self.port}\n"
            f" server web1 127.0.0.1:{one} {check}\n server web2 127.0.0.1:{two} {check}\n"
            f"backend api\n server web1 127.0.0.1:{one} {check}\n server web2 127.0.0.1:{two}\n"
            f"backend lone\n server web3 127.0.0.1:{three}\n"
        )
        self.log = (folder / "log").open("wb")
        self.process = subprocess.Popen(
            [program, "-db", "-f", str(folder / "haproxy.cfg")], stdout=self.log, stderr=self.log
        )
        until("HAProxy is up", lambda: Path(self.socket).exists() and self.status("shop/web1").startswith("UP"))

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as line:
            line.connect(self.socket)
            line.sendall(command.encode() + b"\n")
            told = b""
            while part := line.recv(65536):
                told += part
        return told.decode()

    def status(self, label: str) -> str:
        """What HAProxy itself says, not our reading of it."""
        rows = [row.split(",") for row in self.ask("show stat").splitlines()]
        return next(row[17] for row in rows if row[:2] == label.split("/"))

    def open_to_web1(self) -> list[socket.socket]:
        """Open sessions until web1 has one."""
        lines = []
        for _ in range(2):
            lines.append(socket.create_connection(("127.0.0.1", self.port), timeout=10))
            lines[-1].sendall(b"hi")
            assert lines[-1].recv(10) == b"hello"
        return lines

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        self.log.close()
        for server in self.servers:
            with contextlib.suppress(OSError):
                server.stop()


@pytest.fixture
def balancer(tmp_path: Path) -> Iterator[Balancer]:
    made = Balancer(tmp_path)
    try:
        yield made
    finally:
        made.stop()


def call(balancer: Balancer, state: str, check: bool = False, **options: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    given = {**defaults, "server": "web1", "socket": balancer.socket, "timeout": 20, "state": state, **options}
    assert errors_of(given) == []
    return drain(given, check)


def failed(told: dict[str, Any], check: str = "patch.drain.failed") -> str:
    [one] = told["findings"]
    assert not told["ok"] and told["msg"] and told["coverage"] == [] and one["check"] == check and one["remedy"], told
    return str(one["summary"])


def test_drained_and_taken_back(balancer: Balancer) -> None:
    would = call(balancer, "drained", check=True)
    assert would["changed"] and balancer.status("shop/web1") == "UP" and would["coverage"] == []
    assert would["diff"]["after"] == "shop/web1: drain\napi/web1: drain\n"
    did = call(balancer, "drained")
    assert did["ok"] and did["changed"] and did["findings"] == []
    assert did["coverage"] == [{"check": "patch.drain.failed", "subject": "web1"}]
    assert [balancer.status(name) for name in ("shop/web1", "api/web1")] == ["DRAIN", "DRAIN"]
    assert balancer.status("shop/web2") == "UP" and balancer.status("api/web2") == "no check"
    assert not call(balancer, "drained")["changed"] and not call(balancer, "drained", check=True)["changed"]
    assert call(balancer, "active", check=True)["changed"] and balancer.status("shop/web1") == "DRAIN"
    back = call(balancer, "active")
    assert back["ok"] and back["changed"] and {one["status"] for one in back["servers"]} == {"UP"}
    assert back["undone"] is True and "undone" not in did
    assert back["coverage"] == [{"check": "patch.drain.left", "subject": "web1"}]
    assert not call(balancer, "active")["changed"]


def test_it_waits_for_the_sessions_to_end(balancer: Balancer) -> None:
    lines = balancer.open_to_web1()
    late = call(balancer, "drained", timeout=1)
    assert "sessions were left after 1 s: shop/web1 has 1" in failed(late) and late["changed"]
    goes_on = call(balancer, "drained", timeout=0, on_timeout="continue")
    assert goes_on["ok"] and [one["severity"] for one in goes_on["findings"]] == ["low"] and not goes_on["changed"]
    threading.Timer(1.5, lambda: [line.close() for line in lines]).start()
    did = call(balancer, "drained")
    assert did["ok"] and did["waited"] >= 1 and not did["changed"] and did["findings"] == []


def test_the_last_server_is_not_drained(balancer: Balancer) -> None:
    assert "last server that backend lone" in failed(call(balancer, "drained", server="web3"))
    balancer.ask("set server shop/web2 state maint")
    told = call(balancer, "drained")
    assert "last server that backend shop" in failed(told) and not told["changed"]
    assert balancer.status("api/web1") == "UP", "nothing is done at all"
    assert call(balancer, "drained", backends=["api"])["changed"] and balancer.status("shop/web1") == "UP"
    assert call(balancer, "drained", allow_last=True)["ok"] and balancer.status("shop/web1") == "DRAIN"


def test_two_at_the_same_moment_leave_one_that_serves(balancer: Balancer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sees the other serve, and is drained: whoever looks last takes its own back."""
    look = HAProxy.look

    def overtaken(self: HAProxy) -> Any:
        seen = look(self)
        balancer.ask("set server shop/web2 state drain")
        return seen

    monkeypatch.setattr(HAProxy, "look", overtaken)
    told = call(balancer, "drained")
    assert "the others were drained at the same moment" in failed(told) and not told["changed"]
    assert balancer.status("shop/web1").startswith("UP") and balancer.status("api/web1").startswith("UP")
    assert call(balancer, "drained", backends=["api"])["changed"], "somebody serves there"
    balancer.ask("set server shop/web2 state ready")
    assert call(balancer, "drained", backends=["shop"], allow_last=True)["changed"]


def test_the_maintenance_of_somebody_else_is_left_alone(balancer: Balancer) -> None:
    balancer.ask("set server shop/web1 state maint")
    assert call(balancer, "drained")["changed"] and balancer.status("shop/web1") == "MAINT"
    back = call(balancer, "active")
    assert back["ok"] and balancer.status("shop/web1") == "MAINT" and balancer.status("api/web1") == "UP"
    assert back["left_alone"] == ["shop/web1 is in maintenance, which somebody else began"]
    assert call(balancer, "active", end_maintenance=True)["changed"] and balancer.status("shop/web1") == "UP"


def test_active_waits_for_the_check(balancer: Balancer) -> None:
    assert call(balancer, "drained")["ok"]
    port = balancer.servers[0].port
    balancer.servers[0].stop()
    until("the check fails", lambda: "DOWN" in balancer.status("shop/web1"))
    told = call(balancer, "active", timeout=1)
    assert "not up after 1 s: shop/web1 is DOWN" in failed(told, "patch.drain.left"), told
    assert told["undone"] is True, "it is not up, and not for us"
    balancer.servers[0] = Echo(port)
    back = call(balancer, "active")
    assert back["ok"] and not back["changed"] and back["findings"] == []


def test_what_is_not_there_is_named(balancer: Balancer, tmp_path: Path) -> None:
    assert "no backend has a server web9" in failed(call(balancer, "drained", server="web9"))
    assert "backend nope has no server" in failed(call(balancer, "drained", backends=["shop", "nope"]))
    assert "there is no socket" in failed(call(balancer, "drained", socket=str(tmp_path / "none")))
    low = call(balancer, "drained", socket=str(tmp_path / "low.sock"))
    assert "ermission denied" in failed(low) and not low["changed"], low
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
        gone = call(balancer, "active", socket=str(tmp_path / "dead"))
    assert "nobody listens" in failed(gone, "patch.drain.left") and gone["undone"] is False


def test_by_ansible(balancer: Balancer) -> None:
    def run(*more: str, **options: Any) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("ansible")), "-i", "localhost,", "-c", "local", "localhost"]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", "upkeep.maintenance.traffic_drain"]
        given = {"socket": balancer.socket, "server": "web1", "state": "drained", **options}
        ran = subprocess.run([*command, "-a", json.dumps(given), *more], capture_output=True, text=True, timeout=60)
        return {"failed": "FAILED!" in ran.stdout, **json.loads(ran.stdout[ran.stdout.index("=> ") + 3 :])}

    assert run("--check")["changed"] and balancer.status("shop/web1") == "UP"
    assert run()["changed"] and balancer.status("shop/web1") == "DRAIN"
    bad = run(server="web1 state ready; set")
    assert bad["failed"] and "a name is made of" in bad["msg"]
    gone = run(server="web9")
    assert gone["failed"] and gone["findings"][0]["check"] == "patch.drain.failed"
    assert run(state="active")["changed"] and balancer.status("shop/web1") == "UP"
    other = run(check_command=["/bin/true"])
    assert other["failed"] and "check_command is an option of kind command" in other["msg"]
