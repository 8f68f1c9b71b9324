# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a transaction fits, and in which order services are restarted."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import order, room
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.room import Lack, Need
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Statvfs
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.model import Managed, Process, System

POINTS = ["/usr/share/demo", "/boot", "/usr", "/"]


def test_files_belong_to_the_nearest_mount() -> None:
    files = [("/usr/bin/a", 1), ("/usr/share/demo/b", 5000), ("/usr/share/demonstration", 1), ("/boot", 1), ("/c", 0)]
    assert room.by_mount(files, POINTS) == {
        "/usr": Need(8192, 2),
        "/usr/share/demo": Need(8192, 1),
        "/boot": Need(4096, 1),
        "/": Need(0, 1),
    }


def test_the_worst_moment_of_a_transaction() -> None:
    # 100 -> 150 grows by 50, 80 -> 20 shrinks: at the worst 50 more are there, and 150 are unpacked beside the old 100.
    packages = [({"/": Need(150, 3)}, {"/": Need(100, 3)}), ({"/": Need(20, 1)}, {"/": Need(80, 5)})]
    assert room.peak(packages) == {"/": Need(50 + 150, 0 + 3)}
    assert room.peak([({}, {"/": Need(80, 5)})]) == {}  # a removal needs nothing


def fs(size: int, free: int, files: int = 1000, files_free: int = 1000) -> Statvfs:
    return Statvfs(size, free, free, 1, files, files_free)


@pytest.mark.parametrize(
    "need, answer, lacks",
    [
        (Need(100), fs(10000, 299), [Lack("/", 300, 299)]),
        (Need(100), fs(10000, 300), []),
        (Need(100), fs(1000, 200), []),  # the reserve is at most a tenth
        (Need(100), fs(1000, 199), [Lack("/", 200, 199)]),
        (Need(0, 50), fs(1000, 0, 1000, 49), [Lack("/", 50, 49, files=True)]),
        (Need(0, 50), fs(1000, 0, 0, 0), []),  # btrfs counts no inodes
    ],
)
def test_where_there_is_too_little(need: Need, answer: Statvfs, lacks: list[Lack]) -> None:
    assert room.lacks({"/": need}, {"/": answer}, reserve=200) == (lacks, [])


def test_a_filesystem_that_does_not_answer_is_not_called_roomy() -> None:
    lacks, unknown = room.lacks({"/a": Need(1), "/b": Need(1)}, {"/a": None, "/b": Statvfs(error="stale")}, 0)
    assert lacks == [] and unknown == ["/a: it does not answer", "/b: stale"]


def test_who_is_restarted() -> None:
    processes = [
        Process(1, "systemd", "init", ["/lib/a"]), Process(2, "nginx", "nginx.service", ["/lib/a"]),
        Process(3, "nginx", "nginx.service", ["/lib/b"]), Process(4, "dbus", "dbus.service", ["/lib/a"]),
        Process(5, "bash", "session", ["/lib/a"]), Process(6, "stray", "", ["/lib/a"]),
        Process(7, "pg", "postgresql@15-main.service", ["/lib/a"]), Process(8, "x", "upkeep-patch-p-1.service", ["/l"]),
        Process(9, "lxc", "container.scope", ["/lib/a"]), Process(10, "login", "getty@tty1.service", ["/lib/a"]),
    ]  # fmt: skip
    restart, stay, others = order.sort_out(processes, ["postgresql@*"])
    assert restart == {"nginx.service": ["/lib/a", "/lib/b"]}
    assert sorted(stay) == ["dbus.service", "getty@tty1.service", "init", "postgresql@15-main.service"]
    assert [unit for unit in sorted(stay) if order.needs_reboot(unit)] == ["dbus.service", "getty@tty1.service"]
    assert others == ["process 5 (bash)", "process 6 (stray)", "process 9 (lxc)"]


@pytest.mark.parametrize(
    "units, after, expected",
    [
        (["b", "a"], {}, ["a", "b"]),
        (["a", "b", "c"], {"a": ["c"], "c": ["b", "network.target"]}, ["b", "c", "a"]),
        (["a", "b"], {"a": ["b"], "b": ["a"]}, ["a", "b"]),
        (["a", "a"], {"a": ["a"]}, ["a"]),
        (["ssh.service", "z", "a"], {"a": ["ssh.service"], "z": []}, ["a", "z", "ssh.service"]),
    ],
)
def test_the_order_of_restarts(units: list[str], after: dict[str, list[str]], expected: list[str]) -> None:
    assert order.ordered(units, after) == expected


def test_what_systemctl_shows() -> None:
    text = "Id=a.service\nAfter=x y\nResult=\n\nId=b.service\nExecStart={ path=/b ; x=y }\n"
    assert order.parse_show(text) == [
        {"Id": "a.service", "After": "x y", "Result": ""},
        {"Id": "b.service", "ExecStart": "{ path=/b ; x=y }"},
    ]
    assert order.parse_show("") == []


def test_why_a_reboot_is_due() -> None:
    from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.services import reboot_reasons

    system: Any = System(boot=1000.0, running_kernel="6.1.0-1-amd64", running_kernel_build="Linux")
    known = Managed("apt")
    known.kernel_packages = {"6.1.0-1-amd64": "6.1.1", "6.1.0-2-amd64": "6.1.2"}
    assert "6.1.0-2-amd64 is installed" in reboot_reasons(system, known, [], 2000.0)[0]
    system.reboot_flag, known.kernel_packages = 999990.0, {"6.1.0-1-amd64": "6.1.1"}
    reasons = reboot_reasons(system, known, ["dbus.service"], 1_000_000.0)
    assert len(reasons) == 2 and "/run/reboot-required" in reasons[0] and reasons[1].startswith("dbus.service runs")
    system.reboot_flag = 10.0  # from before the boot: stale
    assert reboot_reasons(system, known, [], 1_000_000.0) == []
