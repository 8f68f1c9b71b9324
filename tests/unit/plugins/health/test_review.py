# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Journal, Store
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import contract_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._health import compare, gather, parse
from ansible_collections.upkeep.maintenance.plugins.module_utils._health.review import POLL, Wrong, review
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from tests.unit.fake_host import NOW, FakeHost
from tests.unit.plugins.health.filled import given, probe

SHOW = ("systemctl", "show", "--no-pager", "--property=" + ",".join(parse.PROPERTIES), "--", *gather.KINDS)
TCP = (
    "sl local rem st\n 0: 00000000:0050 00000000:0000 0A 0:0 0:0 0 0 0 1001 1\n"
    " 1: 00000000:0016 00000000:0000 0A 0:0 0:0 0 0 0 1002 1\n"
)
MOUNTS = (
    b"20 1 8:1 / / rw - ext4 /dev/sda1 rw\n21 20 8:2 / /srv rw - ext4 /dev/sdb1 rw\n"
    b"22 20 0:9 / /run/x rw - tmpfs t rw\n"
)


def unit(name: str, state: str = "active", sub: str = "running") -> str:
    return (
        f"Id={name}\nNames={name}\nLoadState=loaded\nActiveState={state}\nSubState={sub}\nType=simple\n"
        "UnitFileState=enabled\nWantedBy=multi-user.target\nNRestarts=0\n"
    )


class Machine(FakeHost):
    """A host with a web server, whose state is a list: one entry for each look, the last one for good."""

    def __init__(self, *states: str, **more: Any) -> None:
        files: dict[str, str | bytes] = {
            "/proc/sys/kernel/random/boot_id": "aaaa\n", "/proc/net/tcp": TCP, "/proc/net/tcp6": "sl\n",
            "/proc/net/udp": "sl\n", "/proc/net/unix": "Num\n", "/proc/self/mountinfo": MOUNTS,
            "/etc/fstab": "/dev/sdb1 /srv ext4 defaults 0 2\n", "/run/systemd/system/x": "",
            "/proc/80/comm": "nginx\n", "/proc/80/cgroup": "0::/system.slice/web.service\n",
            "/proc/stat": "btime 1789000000\n",
        }  # fmt: skip
        links = {"/proc/80/fd/3": "socket:[1001]", "/proc/1/fd/4": "socket:[1002]", "/proc/1/fd/5": "socket:[1001]"}
        super().__init__(files, links=links, programs=["systemctl", "journalctl"], **more)
        self.states = list(states) or ["active"]
        self.errors: list[str] = []

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = 0) -> Ran:
        self.ran.append(argv)
        if tuple(argv) == SHOW:
            state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            return Ran(0, unit("web.service", state) + "\n" + unit("gone.service", "inactive"), "")
        if argv[0] == "journalctl":
            return Ran(0 if self.errors else 1, "\n".join(self.errors), "")
        return Ran(127, "", "not found")


def looked(host: FakeHost, **options: Any) -> dict[str, Any]:
    result = review(host, given(**options), "/nonexistent")
    assert all(contract_errors(found) == [] for found in result["findings"])
    json.dumps(result, allow_nan=False)
    return result


def told(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(found["check"], found["subject"], found["severity"]) for found in result["findings"]]


def test_one_look_asks_little_and_tells_what_there_is() -> None:
    host = Machine()
    result = looked(host)
    assert [argv[0] for argv in host.ran] == ["systemctl", "journalctl"]
    health = result["health"]
    assert set(health["services"]) == {"web.service"} and health["boot_id"] == "aaaa"
    assert [(row["port"], row["unit"], row["command"]) for row in health["sockets"]] == [
        (22, "", ""), (80, "web.service", "nginx"),
    ]  # fmt: skip
    assert health["mounts"] == {
        "/": {"type": "ext4", "source": "/dev/sda1"}, "/srv": {"type": "ext4", "source": "/dev/sdb1"},
    }  # fmt: skip
    assert result["findings"] == [] and result["difference"]["verdict"] == "healthy"
    assert result["difference"]["compared"] is False
    assert {row["check"] for row in result["not_applicable"]} == set(compare.SECTION)


def test_the_same_again_covers_every_check_that_was_done() -> None:
    earlier = looked(Machine())["health"]
    result = looked(Machine(now=NOW + 600), before=earlier)
    assert result["findings"] == [] and result["difference"]["verdict"] == "healthy"
    covered = {row["check"] for row in result["coverage"]}
    assert covered == set(compare.SECTION) - {compare.PROBE_FAILED, compare.CONTAINER_LOST} | {"patch.check.not_run"}
    assert {row["check"] for row in result["not_applicable"]} == {compare.PROBE_FAILED, compare.CONTAINER_LOST}


def test_waiting_ends_when_all_is_back_twice() -> None:
    earlier = looked(Machine())["health"]
    host = Machine("activating", "activating", "active", now=NOW + 600)
    result = looked(host, before=earlier, wait=120)
    assert result["difference"]["verdict"] == "healthy"
    assert result["waited"] == {
        "seconds": 3 * POLL, "polls": 4, "over": False, "late": {"patch.health.service_lost web.service": 2 * POLL},
    }  # fmt: skip


def test_back_for_one_look_only_is_not_back() -> None:
    earlier = looked(Machine())["health"]
    result = looked(Machine("activating", "active", "activating", now=NOW + 600), before=earlier, wait=30)
    assert told(result) == [("patch.health.service_lost", "web.service", "critical")]
    assert result["waited"]["over"] and result["waited"]["seconds"] <= 30 and result["waited"]["late"] == {}


def test_what_systemd_gave_up_is_not_waited_for() -> None:
    earlier = looked(Machine())["health"]
    result = looked(Machine("failed", now=NOW + 600), before=earlier, wait=120)
    assert told(result) == [("patch.health.service_lost", "web.service", "critical")]
    assert result["waited"]["seconds"] == POLL and result["waited"]["polls"] == 2


def test_the_journal_is_read_since_the_look_before_and_since_the_boot() -> None:
    earlier = looked(Machine())["health"]
    host = Machine(now=NOW + 600)
    looked(host, before=earlier)
    assert f"--since=@{int(NOW)}" in host.ran[-1]
    host = Machine(now=NOW + 600)
    host.files["/proc/sys/kernel/random/boot_id"] = "bbbb\n"
    host.files["/proc/stat"] = f"btime {int(NOW) + 500}\n"
    host.errors = [json.dumps({"MESSAGE": f"{word} is broken", "_TRANSPORT": "kernel"}) for word in "abcdefghij"]
    result = looked(host, before=earlier)
    assert f"--since=@{int(NOW) + 500}" in host.ran[-1] and result["difference"]["rebooted"] is True
    assert result["findings"] == []  # every boot makes such noise
    host.errors = [line.replace("kernel", "syslog") for line in host.errors]
    assert told(looked(host, before=earlier)) == [("patch.health.errors_rose", "journal", "medium")]


def test_what_cannot_be_looked_at_is_told_and_never_healthy() -> None:
    earlier = looked(Machine())["health"]
    host = Machine(now=NOW + 600, root=False)
    del host.files["/run/systemd/system/x"]
    result = looked(host, before=earlier)
    subjects = {found["subject"] for found in result["findings"]}
    assert subjects == {compare.SERVICE_LOST, compare.UNIT_FAILED, compare.ERRORS_ROSE}
    assert {found["check"] for found in result["findings"]} == {"patch.check.not_run"}
    assert result["difference"]["verdict"] == "unknown"
    first = looked(host)
    assert {found["subject"] for found in first["findings"]} == subjects


PLAN = plan_model.make(
    "apt", "all",
    [{"name": "a", "arch": "all", "from": "1", "to": "2", "asked": True, "security": False, "action": "upgrade",
      "download_bytes": 1}],
)  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "says"), [(None, "no journal"), ({}, "holds no health"), ({"version": 9}, "version")]
)
def test_a_journal_without_health_is_unknown(tmp_path: Path, stored: dict[str, Any] | None, says: str) -> None:
    if stored is not None:
        keep(tmp_path, stored)
    result = review(Machine(), given(before_plan=PLAN["id"]), str(tmp_path))
    assert result["difference"]["verdict"] == "unknown"
    assert len(result["findings"]) == len(compare.SECTION) - 1
    assert all(says in found["summary"] for found in result["findings"])
    assert contract_errors(result["findings"][0]) == []


def keep(base: Path, health: dict[str, Any]) -> None:
    store = Store(str(base))
    store.open(PLAN["id"])
    journal = Journal(PLAN, health=health)
    journal.enter("prepared", NOW)
    store.save(journal)


def test_the_health_of_a_journal_is_compared_with(tmp_path: Path) -> None:
    keep(tmp_path, looked(Machine())["health"])
    result = review(Machine("failed", now=NOW + 60), given(before_plan=PLAN["id"]), str(tmp_path))
    assert result["difference"]["compared"] and told(result) == [
        ("patch.health.service_lost", "web.service", "critical")
    ]
    damaged = tmp_path / PLAN["id"] / "journal.json"
    damaged.write_text("{")
    result = review(Machine(), given(before_plan=PLAN["id"]), str(tmp_path))
    assert result["difference"]["verdict"] == "unknown" and "damaged" in result["findings"][0]["summary"]


def test_a_hostile_health_from_before_reaches_nobodys_terminal() -> None:
    earlier = looked(Machine())["health"]
    name = "x\x1b[2J'; reboot; '.service"
    earlier["services"][name] = {"state": "active/running", "type": "simple", "enabled": "enabled"}
    earlier["mounts"]["/a; rm -rf /"] = {"type": "ext4", "source": "\x1b]0;y\x07"}
    result = looked(Machine(), before=earlier)
    assert "\x1b" not in json.dumps(result["difference"], ensure_ascii=False)
    assert any("mount '/a; rm -rf /'" in found["remedy"] for found in result["findings"])


def test_probes_that_could_not_be_made_are_told() -> None:
    result = looked(Machine(), probes=[probe("p", "command", argv=["true"], account="nobody-here")])
    assert told(result) == [("patch.check.not_run", compare.PROBE_FAILED, "medium")]
    assert result["difference"]["verdict"] == "unknown"
    checked = looked(Machine(), probes=[probe("p", "command", argv=["false"])], check_mode=True)
    assert checked["findings"] == [] and "check mode" in str(checked["not_applicable"])
    failed = looked(Machine(), probes=[probe("p", "command", argv=["false"])])
    assert told(failed) == [("patch.health.probe_failed", "p", "critical")]
    assert {"check": compare.PROBE_FAILED, "subject": "p"} in failed["coverage"]


def test_options_that_make_no_sense() -> None:
    with pytest.raises(Wrong, match="wait is 9999"):
        review(Machine(), given(wait=9999))


def test_engines_that_do_not_answer() -> None:
    host = Machine()
    host.programs.add("podman")
    result = looked(host, before=looked(Machine())["health"])
    assert result["difference"]["unknown"][compare.CONTAINER_LOST].startswith("now it was not known: podman ps ended")


def large(services: int, sockets: int) -> dict[str, Any]:
    whole: dict[str, Any] = copy.deepcopy(looked(Machine())["health"])
    whole["services"] = {f"unit-{n:05}-\u00e4.service": dict(whole["services"]["web.service"]) for n in range(services)}
    whole["sockets"] = [
        {"proto": "unix" if n % 2 else "tcp", "address": f"/run/{n}", "port": n, "unit": "u.service", "command": "c"}
        for n in range(sockets)
    ]
    return whole


@pytest.mark.parametrize(("services", "sockets"), [(10, 10), (300, 600), (5000, 10), (5000, 5000)])
def test_a_health_keeps_its_bound_and_says_what_went(services: int, sockets: int) -> None:
    whole = large(services, sockets)
    kept = gather.bounded(whole)
    assert len(json.dumps(kept, ensure_ascii=False).encode()) <= gather.LIMIT
    assert compare.errors_of(kept) == []
    for name in ("services", "sockets"):
        assert len(kept[name]) + kept["cut"].get(name, 0) == len(whole[name])
    assert bool(kept["cut"]) is (services > 10)
    if services == 300:
        assert set(kept["cut"]) == {"sockets"} and len(kept["sockets"]) == 300  # those of the network stay
