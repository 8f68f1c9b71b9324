# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of capacity made for real on a host of the test fleet, found by the playbook, gone when mended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(240)]

HISTORY = "/var/lib/upkeep/capacity.json"
WEEK = 7 * 86_400


class Seen:
    """What one run told of web1."""

    def __init__(self, records: list[dict[str, Any]], seconds: float) -> None:
        self.records = records
        self.seconds = seconds
        self.findings = [record["finding"] for record in records if record["type"] == "finding"]
        entries = [entry for record in records if record["type"] == "coverage" for entry in record["coverage"]]
        self.coverage = {(entry["check"], entry["subject"]) for entry in entries}

    def get(self, check: str, subject: str) -> dict[str, Any] | None:
        """The finding of this identity, or None."""
        found = [entry for entry in self.findings if (entry["check"], entry["subject"]) == (check, subject)]
        assert len(found) <= 1
        return found[0] if found else None


Review = Callable[..., Seen]


@pytest.fixture(scope="module")
def fleet(fleet_factory: Factory) -> Fleet:
    return fleet_factory("web1")


@pytest.fixture(scope="module")
def host(fleet: Fleet) -> Host:
    return fleet["web1"]


@pytest.fixture(scope="module")
def review(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Review:
    """Runs the playbook with these variables and words; every run must change nothing and fail nowhere."""
    folder = tmp_path_factory.mktemp("capacity")

    def run(*words: str, **variables: Any) -> Seen:
        results = folder / "results.jsonl"
        start = time.monotonic()
        ran = subprocess.run(
            [
                str(Path(sys.executable).with_name("ansible-playbook")),
                "-i",
                str(fleet.ansible_inventory),
                "-e",
                json.dumps({f"capacity_{name}": value for name, value in variables.items()}),
                *words,
                "upkeep.maintenance.capacity",
            ],
            env={**os.environ, "UPKEEP_RESULTS_FILE": str(results), "ANSIBLE_INJECT_FACT_VARS": "false"},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert "WARNING" not in ran.stderr
        records = [json.loads(line) for line in results.read_text().splitlines()]
        assert records[-1]["state"] == "finished"
        hosts = [record for record in records if record["type"] == "host"]
        assert [(entry["state"], entry["changed"]) for entry in hosts] == [("ok", 0)]
        return Seen(records, time.monotonic() - start)

    return run


def waiting(host: Host) -> list[str]:
    """Python processes in uninterruptible sleep."""
    return [
        line
        for line in host.run(["ps", "-eo", "stat,comm"]).stdout.splitlines()
        if line.startswith("D") and "python" in line
    ]


def test_a_fresh_host_has_no_finding(review: Review, host: Host) -> None:
    seen = review()
    assert seen.findings == []
    assert ("capacity.filesystem.full", "*") in seen.coverage
    assert ("capacity.unit.failed", "*") in seen.coverage
    # What belongs to the machine below this container is not said to be well.
    outside = {"capacity.kernel.errors", "capacity.load.high", "capacity.clock.unsynchronised", "capacity.memory.low"}
    assert not outside & {check for check, _subject in seen.coverage}
    assert list(json.loads(host.read(HISTORY))["filesystems"]["/"][0])[1] > 0


def test_check_mode_and_no_history_leave_no_trace(review: Review, host: Host) -> None:
    host.run(["rm", "-rf", "/var/lib/upkeep"])
    review("--check", "--diff")
    review(history=False)
    assert host.run(["test", "-e", "/var/lib/upkeep"], check=False).returncode == 1


@pytest.fixture(scope="module")
def broken(review: Review, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """One run over a host with all faults at once."""
    host.fill("/srv/full", "16M", percent=98)
    host.fill("/srv/inodes", "16M", percent=99, inodes=True)
    host.fill("/srv/closed", "16M", percent=10)
    host.run(["sh", "-c", "echo '/dev/vdd /srv/closed ext4 defaults 0 2' >> /etc/fstab"])
    host.run(["mount", "-o", "remount,ro", "/srv/closed"])
    host.break_("failed-unit")
    host.run(["mkdir", "-p", "/etc/nginx/tls", "/etc/nginx/sites-enabled"])
    # Made 85 days ago, both: one for 90 days, the other for a year.
    host.clock(-85 * 86_400)
    for name, days in (("site", 90), ("other", 365)):
        words = f"req -x509 -newkey rsa:2048 -nodes -days {days} -subj /CN={name}.example"
        files = ["-keyout", f"/etc/ssl/private/{name}.key", "-out", f"/etc/nginx/tls/{name}.pem"]
        host.run(["openssl", *words.split(), *files])
    config = "".join(f"server {{ ssl_certificate tls/{name}.pem; }}\n" for name in ("site", "other"))
    host.write("/etc/nginx/sites-enabled/default", config.replace("server { ", "server {\n"))
    host.run(["mkdir", "-p", "/mnt/silent"])
    host.write("/root/silent_mount.py", (Path(__file__).parent / "silent_mount.py").read_text())
    host.run(["systemd-run", "--quiet", "--unit=silent", "python3", "/root/silent_mount.py", "/mnt/silent"])
    host.run(["sh", "-c", "until grep -q /mnt/silent /proc/mounts; do sleep 0.1; done"])
    host.clock(-3600, "unsynchronised")
    return review(mount_timeout=2)


@pytest.mark.parametrize(
    ("check", "subject", "severity", "words"),
    [
        ("capacity.filesystem.full", "/srv/full", "critical", "/dev/vdb on /srv/full type ext4"),
        ("capacity.inodes.full", "/srv/inodes", "critical", "inodes"),
        ("capacity.mount.read_only", "/srv/closed", "high", "/dev/vdd on /srv/closed type ext4"),
        ("capacity.mount.hung", "/mnt/silent", "high", "silent on /mnt/silent type fuse"),
        ("capacity.unit.failed", "fleet-fails.service", "medium", "result exit-code"),
        ("capacity.certificate.expiring", "/etc/nginx/tls/site.pem", "high", "used by: nginx"),
        ("capacity.clock.wrong", "clock", "high", "controller"),
    ],
)
def test_each_fault_is_found(broken: Seen, check: str, subject: str, severity: str, words: str) -> None:
    found = broken.get(check, subject)
    assert found is not None, broken.findings
    assert found["severity"] == severity
    assert words in "\n".join(found["evidence"])
    assert found["remedy"]


def test_nothing_else_is_found(broken: Seen) -> None:
    assert len(broken.findings) == 7, broken.findings


def test_the_last_words_of_a_failed_unit_are_evidence(broken: Seen) -> None:
    found = broken.get("capacity.unit.failed", "fleet-fails.service")
    assert found is not None
    assert any("fleet-fails.service" in line and "fail" in line.lower() for line in found["evidence"][1:]), found


def test_a_silent_mount_costs_its_time_and_covers_only_what_answered(broken: Seen, host: Host) -> None:
    assert broken.seconds < 40  # mostly ansible-playbook itself, on a busy machine
    assert waiting(host), "the mount was not silent enough: nobody waits for it in the kernel"
    full = {subject for check, subject in broken.coverage if check == "capacity.filesystem.full"}
    assert "/" in full
    assert not {"*", "/mnt/silent"} & full


def test_the_clock_of_a_machine_is_judged_by_its_kernel(broken: Seen, review: Review, host: Host) -> None:
    """Told to take the container for a machine; the fleet's clock library answers adjtimex."""
    seen = review(host_kind="machine", mount_timeout=1, smart=False)
    assert seen.get("capacity.clock.unsynchronised", "clock") is not None
    host.clock(0, "synchronised")
    seen = review(host_kind="machine", mount_timeout=1, smart=False)
    assert seen.get("capacity.clock.unsynchronised", "clock") is None
    assert ("capacity.clock.unsynchronised", "clock") in seen.coverage


def test_who_is_not_root_is_told_what_was_left_out(broken: Seen, review: Review) -> None:
    seen = review("-e", "ansible_become=false", mount_timeout=1)
    assert seen.get("capacity.filesystem.full", "/srv/full") is not None
    assert ("capacity.certificate.expiring", "*") not in seen.coverage


def test_mended_faults_are_covered_and_gone(broken: Seen, review: Review, host: Host) -> None:
    """A server that died while its mount stays is a fault, too, until it is unmounted."""
    host.run(["systemctl", "stop", "silent"])
    found = review().get("capacity.mount.hung", "/mnt/silent")
    assert found is not None
    assert "Transport endpoint is not connected" in found["summary"]
    host.run(["umount", "--lazy", "/mnt/silent"])
    for mount in ("/srv/full", "/srv/inodes", "/srv/closed"):
        host.unfill(mount)
    host.mend("failed-unit")
    host.run(["rm", "/etc/nginx/tls/site.pem"])
    host.clock(0)
    seen = review()
    assert seen.findings == []
    for check in (
        "filesystem.full",
        "inodes.full",
        "mount.read_only",
        "mount.hung",
        "unit.failed",
        "certificate.expiring",
    ):
        assert (f"capacity.{check}", "*") in seen.coverage
    # Those that waited for the silent mount, beyond any signal, went when it did.
    assert waiting(host) == []


def test_a_filesystem_that_fills_up_gets_a_date(review: Review, host: Host) -> None:
    """Five weekly reviews, by the host's own clock, of a filesystem that grows by a tenth of its size each week."""
    host.run(["rm", "-f", HISTORY])
    host.fill("/srv/grows", "32M", percent=20)
    for week in range(5):
        host.clock(week * WEEK)
        host.run(["sh", "-c", f"head -c 3200000 /dev/urandom > /srv/grows/week{week}; sync /srv/grows"])
        seen = review(reference_time="")
        if week < 3:
            assert seen.get("capacity.filesystem.filling", "/srv/grows") is None
            assert not [entry for entry in seen.coverage if entry[0] == "capacity.filesystem.filling"]
    found = seen.get("capacity.filesystem.filling", "/srv/grows")
    assert found is not None, seen.findings
    assert found["severity"] == "medium"
    # A third of it is left at a tenth a week.
    left = (found["facts"]["full_at"] - time.time() - 4 * WEEK) / 86_400
    assert 14 <= left <= 30, found
    assert [entry["subject"] for entry in seen.findings] == ["/srv/grows"]
    # Cleaned up, it has more time; one clean-up does not hide that it grows as before.
    host.run(["sh", "-c", "rm /srv/grows/week*; sync /srv/grows"])
    host.clock(5 * WEEK)
    found = review(reference_time="").get("capacity.filesystem.filling", "/srv/grows")
    assert found is not None
    assert found["severity"] == "low"
    left = (found["facts"]["full_at"] - time.time() - 5 * WEEK) / 86_400
    assert 45 <= left <= 70, found
    host.clock(0)
    host.unfill("/srv/grows")


def test_a_history_that_was_spoiled_is_set_aside(review: Review, host: Host) -> None:
    host.write(HISTORY, "\x00 not ours")
    seen = review()
    assert seen.get("capacity.history.unusable", HISTORY) is not None
    assert json.loads(host.read(HISTORY))["format"] == 1
    assert host.read(HISTORY + ".unusable") == "\x00 not ours"
    assert review().findings == []
