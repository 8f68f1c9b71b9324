# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A web service behind a real HAProxy loses no request while its hosts are patched and rebooted.

A client asks at a steady rate, whatever the answers: a request that is late makes no other one late. Each request takes
the service a third of a second, so there always are some that a reboot would cut off, and HAProxy is not let try again
where one was. That the client sees what is lost is proved in the end, by a reboot that nobody drained for.
"""

from __future__ import annotations

import http.client
import itertools
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host
from tests.fleet.system import wait_for

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(900)]

HOSTS = ("rollweb1", "rollweb2", "rollweb3")
BALANCER = "rolllb"
RATE = 20.0
"""Requests a second."""
PATIENCE = 15.0
"""Seconds that a client waits for its answer."""
SERVICE = """
import http.server, json, socket, time
class Page(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        if self.path != "/health":
            time.sleep(0.3)
        told = {
            "host": socket.gethostname(), "boot": open("/proc/sys/kernel/random/boot_id").read().strip(),
            "version": open("/usr/share/upkeep-demo/version").read().strip(),
        }
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *words):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
Server(("", 8080), Page).serve_forever()
"""
UNIT = """[Unit]
Description=the shop
[Service]
ExecStart=/usr/bin/python3 /opt/shop.py
[Install]
WantedBy=multi-user.target
"""
BALANCED = """
global
    stats socket /run/haproxy/admin.sock mode 660 level admin
defaults
    mode http
    retries 0
    timeout connect 5s
    timeout client 1m
    timeout server 1m
    timeout http-keep-alive 5m
frontend web
    bind :80
    default_backend shop
backend shop
    option httpchk GET /health
    default-server check inter 500ms fall 2 rise 2
"""


@dataclass
class Asked:
    """One request: when it was sent (seconds, monotonic), how long it took, and its answer or what came instead."""

    sent: float
    took: float = 0.0
    answer: dict[str, str] = field(default_factory=dict)
    lost: str = ""


class Client:
    """Asks at a steady rate; every second request by a connection of its own, the others by connections that stay."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._kept: queue.SimpleQueue[http.client.HTTPConnection] = queue.SimpleQueue()

    @contextmanager
    def at_work(self) -> Iterator[list[Asked]]:
        """Ask for as long as the block takes, and for the answers until all are there; gives the requests."""
        mine: list[Asked] = []
        over = threading.Event()

        def ask_on() -> None:
            began = time.monotonic()
            for number in itertools.count():
                if over.wait(max(0.0, began + number / RATE - time.monotonic())):
                    return
                pool.submit(self._ask, mine, fresh=number % 2 == 0)

        with ThreadPoolExecutor(64) as pool:
            thread = threading.Thread(target=ask_on)
            thread.start()
            try:
                yield mine
            finally:
                over.set()
                thread.join()
        while not self._kept.empty():
            self._kept.get().close()

    def _ask(self, mine: list[Asked], fresh: bool) -> None:
        one = Asked(time.monotonic())
        mine.append(one)
        line = http.client.HTTPConnection(self.address, timeout=PATIENCE)
        if not fresh:
            with suppress(queue.Empty):
                line = self._kept.get_nowait()
        try:
            line.request("GET", "/")
            answer = line.getresponse()
            body = answer.read()
            if answer.status == 200:
                one.answer = json.loads(body)
            else:
                one.lost = f"{answer.status} {answer.reason}"
        except (OSError, http.client.HTTPException, ValueError) as error:
            one.lost = repr(error)
        one.took = time.monotonic() - one.sent
        if fresh or one.lost:
            line.close()
        else:
            self._kept.put(line)


def answered_by(asked: list[Asked], last: float = 0.0) -> Counter[tuple[str, str]]:
    """(host, version) of the answers: all, or those of the last seconds."""
    since = asked[-1].sent - last if last else 0.0
    return Counter((one.answer["host"], one.answer["version"]) for one in asked if one.answer and one.sent >= since)


def lost(asked: list[Asked]) -> list[str]:
    return [f"{one.sent - asked[0].sent:.1f} s: {one.lost} after {one.took:.1f} s" for one in asked if one.lost]


def up_in_haproxy(balancer: Host) -> list[str]:
    code = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/run/haproxy/admin.sock'); "
        "s.sendall(b'show stat\\n'); print(s.makefile().read())"
    )
    rows = [row.split(",") for row in balancer.run(["python3", "-c", code]).stdout.splitlines()]
    return sorted(row[1] for row in rows if row[0] == "shop" and row[1] != "BACKEND" and row[17] == "UP")


@pytest.fixture(scope="module")
def fleet(fleet_factory: Factory) -> Fleet:
    """The shop on three hosts, behind HAProxy on a fourth."""
    made = fleet_factory(*HOSTS, f"{BALANCER}:balancer")
    for name in HOSTS:
        made[name].write("/opt/shop.py", SERVICE)
        made[name].write("/etc/systemd/system/shop.service", UNIT)
        made[name].run("systemctl enable -q --now shop")
    servers = "".join(f"    server {name} {made[name].address}:8080\n" for name in HOSTS)
    made[BALANCER].write("/etc/haproxy/haproxy.cfg", BALANCED + servers)
    made[BALANCER].run("systemctl restart haproxy")
    assert wait_for(lambda: up_in_haproxy(made[BALANCER]) == sorted(HOSTS), 30)
    return made


def patch(fleet: Fleet, folder: Path) -> subprocess.CompletedProcess[str]:
    """The playbook as an operator runs it, one host at a time."""
    given: dict[str, Any] = {
        "upkeep_hosts": ":".join(HOSTS),
        "patch_plan_select": "all",
        "patch_plan_show": False,
        "os_patch_reboot_ok": True,
        "os_patch_health_wait": 60,
        "os_patch_probes": [{"name": "shop", "kind": "http", "url": "http://localhost:8080/health"}],
        "os_patch_drains": [{"kind": "haproxy", "timeout": 60, "delegate_to": BALANCER, "become": True}],
    }
    (folder / "given.json").write_text(json.dumps(given))
    return subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"), "-i", fleet.ansible_inventory, "--forks", "1",
            "upkeep.maintenance.os_patch", "-e", f"@{folder}/given.json",
        ],
        capture_output=True, text=True, timeout=700, check=False, env=dict(os.environ),
    )  # fmt: skip


def test_no_request_is_lost(fleet: Fleet, tmp_path: Path) -> None:
    fleet.repo.publish("v2", "upkeep-demo", "upkeep-demo-kernel", "linux-image-9.9.9-upkeep")
    for name in HOSTS:
        fleet[name].run("apt-get -q update")
    before = {name: fleet[name].boot_id() for name in HOSTS}
    client = Client(fleet[BALANCER].address)
    with client.at_work() as asked:
        did = patch(fleet, tmp_path)
        time.sleep(3)  # all three are asked once more
    assert did.returncode == 0, did.stdout + did.stderr
    assert lost(asked) == [], f"{len(lost(asked))} of {len(asked)} requests were lost"
    assert all(one.answer for one in asked)
    # It was the whole of a rolling patch: each host served the old version, was rebooted, and serves the new one.
    assert {name: fleet[name].boot_id() != before[name] for name in HOSTS} == dict.fromkeys(HOSTS, True)
    assert {name for name, version in answered_by(asked) if version.startswith("1.0")} == set(HOSTS)
    assert {name for name, version in answered_by(asked, last=2) if version.startswith("2.0")} == set(HOSTS)
    assert up_in_haproxy(fleet[BALANCER]) == sorted(HOSTS)
    # Would it have been seen? A host that is rebooted without being drained costs requests.
    with client.at_work() as asked:
        time.sleep(1)
        fleet[HOSTS[0]].reboot()
        fleet[HOSTS[0]].wait_ready()
    assert lost(asked), f"none of {len(asked)} requests was lost: this client would not see it"
