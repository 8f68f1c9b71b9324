# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Health before and after on real hosts: what is silent, what is told, and how bad it is.

Most looks run the collection's code from a zip inside the host, as Ansible would; one test goes through Ansible.
"""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
ARCHIVE = "/opt/upkeep-code.zip"  # /tmp does not outlive a reboot
DRIVER = """
import json, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._health import options as specs
from ansible_collections.upkeep.maintenance.plugins.module_utils._health.review import review
def filled(spec, given):
    return {**{name: one.get("default") for name, one in spec.items()}, **given}
given = json.load(sys.stdin)
given["probes"] = [filled(specs.PROBE_SPEC, probe) for probe in given.get("probes", [])]
given["ignore"] = [{"check": "*", "subject": "*", **rule} for rule in given.get("ignore", [])]
print(json.dumps(review(Host(), filled(specs.ARGUMENT_SPEC, given))))
"""
SERVER = """[Unit]
Description=a server for the tests of health
[Service]
ExecStart=/usr/bin/python3 /opt/server.py
{more}
[Install]
WantedBy=multi-user.target
"""
# One process, three ports: pages on 8080, TLS on 8443 (its own certificate) and 8444 (expired), and 8081 until told.
CODE = """
import http.server, os, socketserver, ssl, threading, time
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/slow":
            time.sleep(30)
        broken = self.path == "/broken" or os.path.exists("/run/answer-500")
        self.send_response(500 if broken else 302 if self.path == "/moved" else 200)
        if self.path == "/moved":
            self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(b"\\x1b[31mout of order" if broken else b"all is well")
    def log_message(self, *words):
        pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
def serve(port, certificate=None):
    server = Server(("0.0.0.0", port), Page)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server
serve(8080), serve(8443, "/opt/good.pem"), serve(8444, "/opt/expired.pem")
extra = serve(8081)
while True:
    time.sleep(0.1)
    if extra and os.path.exists("/run/close-8081"):
        extra.shutdown(), extra.server_close()
        extra = None
"""


class Look:
    """What one look returned."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.health, self.difference = result["health"], result["difference"]
        self.verdict = self.difference["verdict"]

    def changes(self) -> dict[tuple[str, str], str]:
        """Severity by check (its last word) and subject."""
        return {(c["check"].rpartition(".")[2], c["subject"]): c["severity"] for c in self.difference["changes"]}

    def findings(self, severity: str = "") -> list[tuple[str, str]]:
        found = [f for f in self.result["findings"] if not severity or f["severity"] == severity]
        return sorted((f["check"].rpartition(".")[2], f["subject"]) for f in found)

    def text(self) -> str:
        return json.dumps({key: self.result[key] for key in ("difference", "findings", "waited")}, indent=1)


def look(host: Host, **options: Any) -> Look:
    command = ["env", f"PYTHONPATH={ARCHIVE}", "/usr/bin/python3", "-c", DRIVER]
    return Look(json.loads(host.run(command, input=json.dumps(options), timeout=100).stdout))


def before(host: Host, **options: Any) -> dict[str, Any]:
    found = look(host, **options)
    assert [f for f in found.result["findings"] if f["check"] != "patch.health.probe_failed"] == [], found.text()
    health: dict[str, Any] = found.health
    return health


@pytest.fixture(scope="module")
def fleet(fleet_factory: Factory) -> Fleet:
    made = fleet_factory("hdeb1", "hdnf1:dnf")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / "plugins" / "module_utils").rglob("*.py")):
            archive.write(path, f"ansible_collections/upkeep/maintenance/{path.relative_to(ROOT)}")
        for folder in ("", "/upkeep", "/upkeep/maintenance", "/upkeep/maintenance/plugins"):
            archive.writestr(f"ansible_collections{folder}/__init__.py", "")
        archive.writestr("ansible_collections/upkeep/maintenance/plugins/module_utils/__init__.py", "")
    for name in ("hdeb1", "hdnf1"):
        host = made[name]
        host.run(f"base64 -d > {ARCHIVE}", input=base64.b64encode(packed.getvalue()).decode())
        host.write("/opt/server.py", CODE)
        host.write("/etc/systemd/system/shop.service", SERVER.format(more=""))
        host.run(CERTIFICATES + "systemctl daemon-reload; systemctl enable -q --now shop; " + UP)
    return made


CERTIFICATES = """cd /opt
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out good.crt -days 30 \
  -subj /CN=shop.test -addext subjectAltName=DNS:shop.test 2>/dev/null
cat key.pem good.crt > good.pem
openssl req -new -key key.pem -subj /CN=shop.test -out old.csr 2>/dev/null
touch index.txt; echo 01 > serial
printf '[ca]\\ndefault_ca=d\\n[d]\\ndatabase=index.txt\\nnew_certs_dir=.\\n' > ca.cnf
printf 'serial=serial\\ndefault_md=sha256\\n' >> ca.cnf
printf 'policy=p\\n[p]\\ncommonName=supplied\\n' >> ca.cnf
openssl ca -batch -config ca.cnf -selfsign -keyfile key.pem -in old.csr -out old.crt -notext \
  -startdate 20240101000000Z -enddate 20240201000000Z 2>/dev/null
cat key.pem old.crt > expired.pem
"""
UP = "until ss -ltn | grep -q :8444 && ss -ltn | grep -q :8081; do sleep 0.05; done"


@pytest.fixture(params=["hdeb1", "hdnf1"])
def host(request: pytest.FixtureRequest, fleet: Fleet) -> Iterator[Host]:
    """Each host, and what the tests break mended again."""
    mine = fleet[request.param]
    yield mine
    mend(mine)


@pytest.fixture
def deb(fleet: Fleet) -> Iterator[Host]:
    mine = fleet["hdeb1"]
    yield mine
    mend(mine)


def mend(host: Host) -> None:
    host.run(
        "rm -f /run/close-8081 /run/answer-500; umount /srv/data 2>/dev/null; systemctl stop 'bad*' 2>/dev/null;"
        "systemctl reset-failed; systemctl restart shop; " + UP,
        check=False,
    )


def test_a_healthy_host_is_silent(host: Host) -> None:
    earlier = before(host)
    assert earlier["services"]["shop.service"]["state"] == "active/running"
    listening = {(row["proto"], row["port"]): row["unit"] for row in earlier["sockets"]}
    assert listening[("tcp", 8080)] == "shop.service" and listening[("tcp", 22)] == "ssh.service", listening
    assert len(json.dumps(earlier)) < 64 * 1024
    after = look(host, before=earlier)
    assert after.verdict == "healthy" and after.result["findings"] == [], after.text()
    covered = {entry["check"] for entry in after.result["coverage"]}
    assert {"patch.health.service_lost", "patch.health.port_closed", "patch.health.errors_rose"} <= covered


def test_a_service_that_stopped_is_told_once_with_its_ports(host: Host) -> None:
    earlier = before(host)
    host.run("systemctl stop shop")
    after = look(host, before=earlier)
    assert after.changes() == {("service_lost", "shop.service"): "critical"}, after.text()
    assert "nobody listens any more on tcp/0.0.0.0:8080" in after.difference["changes"][0]["evidence"]
    assert after.verdict == "unhealthy"
    ignored = look(host, before=earlier, ignore=[{"subject": "shop*", "reason": "sold"}])
    assert ignored.verdict == "healthy" and ignored.difference["ignored"][0]["reason"] == "sold"


def test_a_port_that_closes_while_its_service_lives(host: Host) -> None:
    earlier = before(host)
    host.run("touch /run/close-8081; while ss -ltn | grep -q :8081; do sleep 0.05; done")
    after = look(host, before=earlier)
    assert after.changes() == {("port_closed", "tcp/0.0.0.0:8081"): "critical"}, after.text()


def test_what_comes_and_goes_by_its_nature_is_left_out(deb: Host) -> None:
    deb.run(
        "systemd-run -q --unit=bad-transient python3 -m http.server 8099; until ss -ltn | grep -q :8099; do :; done"
    )
    earlier = before(deb)
    deb.run("systemctl stop bad-transient")
    after = look(deb, before=earlier)
    assert after.verdict == "healthy", after.text()
    assert {"bad-transient.service", "tcp/0.0.0.0:8099"} <= {row["subject"] for row in after.difference["left_out"]}


def test_a_mount_that_is_gone_and_one_that_is_read_only(deb: Host) -> None:
    deb.run("mkdir -p /srv/data; mount -t tmpfs -o size=1m data /srv/data")
    earlier = before(deb)
    deb.run("mount -o remount,ro /srv/data")
    after = look(deb, before=earlier)
    assert after.changes() == {("mount_lost", "/srv/data"): "high"}, after.text()
    assert "read-only" in after.difference["changes"][0]["summary"]
    deb.run("umount /srv/data")
    after = look(deb, before=earlier)
    assert after.changes() == {("mount_lost", "/srv/data"): "high"}, after.text()


def test_a_unit_that_fails_newly_and_one_that_had(deb: Host) -> None:
    job = "[Service]\nType=oneshot\nExecStart=/bin/false\n"
    deb.write("/etc/systemd/system/bad-job.service", job)
    deb.write("/etc/systemd/system/bad-old.service", job)
    deb.run("systemctl daemon-reload; systemctl start bad-old", check=False)
    earlier = before(deb)
    deb.run("systemctl start bad-job", check=False)
    after = look(deb, before=earlier)
    assert after.changes() == {("unit_failed", "bad-job.service"): "high"}, after.text()
    assert after.findings("info") == [("unit_failed", "bad-old.service")]


PROBES: list[dict[str, Any]] = [
    {"name": "page", "kind": "http", "url": "http://localhost:8080/", "contains": "well"},
    {"name": "broken", "kind": "http", "url": "http://localhost:8080/broken"},
    {"name": "words", "kind": "http", "url": "http://localhost:8080/", "contains": "something else"},
    {"name": "moved", "kind": "http", "url": "http://localhost:8080/moved"},
    {"name": "slow", "kind": "http", "url": "http://localhost:8080/slow", "timeout": 1},
    {"name": "nobody", "kind": "tcp", "port": 8082},
    {"name": "somebody", "kind": "tcp", "port": 8081},
    {"name": "own", "kind": "tls", "port": 8443, "server_name": "shop.test", "ca_file": "/opt/good.crt"},
    {"name": "own-unknown", "kind": "tls", "port": 8443, "server_name": "shop.test"},
    {"name": "own-name", "kind": "tls", "port": 8443, "server_name": "other.test", "ca_file": "/opt/good.crt"},
    {"name": "own-days", "kind": "tls", "port": 8443, "verify": False, "days": 60},
    {"name": "old", "kind": "tls", "port": 8444, "verify": False},
    {"name": "old-verified", "kind": "tls", "port": 8444, "server_name": "shop.test", "ca_file": "/opt/old.crt"},
    {"name": "not-tls", "kind": "tls", "port": 8080},
    {"name": "yes", "kind": "command", "argv": ["echo", "$HOME; id"], "expected": "$HOME; id"},
    {"name": "no", "kind": "command", "argv": ["sh", "-c", "echo why; exit 3"]},
    {"name": "hangs", "kind": "command", "argv": ["sleep", "600"], "timeout": 1},
]
WELL = {"page", "somebody", "own", "yes"}


def test_probes_of_every_kind(host: Host) -> None:
    earlier = look(host, probes=PROBES)
    probes = earlier.health["probes"]
    assert {name for name, probe in probes.items() if probe["passed"]} == WELL, json.dumps(probes, indent=1)
    assert earlier.verdict == "unhealthy"
    assert earlier.findings("critical") == sorted(("probe_failed", name) for name in set(probes) - WELL)
    told = {name: probe["summary"] for name, probe in probes.items()}
    assert told["broken"] == "it answers 500, expected was 200"
    assert "\x1b" not in json.dumps(probes["broken"], ensure_ascii=False)
    assert told["slow"] == told["hangs"] == "no answer within 1 s"
    assert "connection refused" in told["nobody"]
    assert "self-signed" in told["own-unknown"] and "other.test" in told["own-name"]
    assert (
        "valid for 29 more days" in told["own-days"] and "expired" in told["old"] and "expired" in told["old-verified"]
    )
    assert probes["no"]["summary"] == "it ends with 3, expected was 0" and "why" in probes["no"]["evidence"]
    assert host.run("pgrep -f '[s]leep 600'", check=False).stdout == ""
    host.run("touch /run/answer-500")
    after = look(host, before=earlier.health, probes=PROBES, wait=0)
    assert after.changes() == {("probe_failed", "page"): "critical"}, after.text()
    assert after.findings("info") == sorted(("probe_failed", name) for name in set(probes) - WELL)


def test_noise_in_the_journal(deb: Host) -> None:
    earlier = before(deb)
    deb.run("for n in 1 2 3; do logger -p user.err -t noise the same trouble $n; done")
    after = look(deb, before=earlier)
    assert after.verdict == "healthy", after.text()
    deb.run(
        "for word in one two three four five six seven eight; do logger -p user.err -t noise trouble with $word; done"
    )
    deb.run("until journalctl -q -p err | grep -q 'with eight'; do sleep 0.05; done")
    after = look(deb, before=earlier)
    assert after.changes() == {("errors_rose", "journal"): "medium"} and after.verdict == "degraded", after.text()
    assert "new: 1 x noise: trouble with one" in after.difference["changes"][0]["evidence"]
    quiet = look(deb, before=earlier, ignore=[{"check": "errors_rose", "subject": "noise: *", "reason": "known"}])
    assert quiet.verdict == "healthy", quiet.text()


def test_after_a_reboot_it_is_waited_for_a_service_that_comes_late(deb: Host) -> None:
    earlier = before(deb)
    deb.write("/etc/systemd/system/shop.service", SERVER.format(more="ExecStartPre=/bin/sleep 6\nType=exec"))
    deb.reboot()
    after = look(deb, before=earlier, wait=0)
    assert after.changes() == {("service_lost", "shop.service"): "critical"}, after.text()
    after = look(deb, before=earlier, wait=60)
    deb.write("/etc/systemd/system/shop.service", SERVER.format(more=""))
    deb.run("systemctl daemon-reload")
    assert after.verdict == "healthy" and after.difference["rebooted"], after.text()
    assert "patch.health.service_lost shop.service" in after.result["waited"]["late"]
    assert 2 < after.result["waited"]["seconds"] < 40 and not after.result["waited"]["over"]


def test_by_ansible_with_the_journal_of_a_plan(fleet: Fleet, deb: Host) -> None:
    earlier = by_ansible(fleet, "hdeb1", probes=[PROBES[0]])
    assert earlier.verdict == "healthy"
    missing = by_ansible(fleet, "hdeb1", before_plan="p-0123456789ab")
    assert missing.verdict == "unknown"
    assert ("not_run", "patch.health.service_lost") in missing.findings("medium"), missing.text()


def by_ansible(fleet: Fleet, host: str, **options: Any) -> Look:
    command = [str(Path(sys.executable).with_name("ansible")), "-i", str(fleet.ansible_inventory), host]
    command += ["-m", "upkeep.maintenance.health_info", "-a", json.dumps(options)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, env=dict(os.environ), check=False)
    assert "SUCCESS" in ran.stdout, ran.stdout + ran.stderr
    return Look(json.loads(ran.stdout.partition("=> ")[2]))
