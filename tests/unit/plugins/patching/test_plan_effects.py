# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a transaction does to a running host: services, reboot, time."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_effects, plan_seconds
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.model import Change, Resolved, Running
from tests.unit.fake_host import FakeHost

# As debhelper writes them (dh_installsystemd 13.11): restart after an upgrade; only start; stop on removal.
DH_RESTART = """\
if [ "$1" = "configure" ] || [ "$1" = "abort-upgrade" ]; then
	if [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		if [ -n "$2" ]; then
			_dh_action=restart
		else
			_dh_action=start
		fi
		deb-systemd-invoke $_dh_action 'cron.service' >/dev/null || true
	fi
fi
"""
DH_START = """\
	if [ -d /run/systemd/system ]; then
		systemctl --system daemon-reload >/dev/null || true
		deb-systemd-invoke start 'dbus.service' 'dbus.socket' >/dev/null || true
	fi
"""
DH_REMOVAL = """\
if [ -z "${DPKG_ROOT:-}" ] && [ "$1" = remove ] && [ -d /run/systemd/system ] ; then
	deb-systemd-invoke stop 'cron.service' >/dev/null || true
fi
"""
OLD_STOP = """\
set -e
if [ -d /run/systemd/system ]; then
	deb-systemd-invoke stop 'cron.service' >/dev/null || true
fi
"""


@pytest.mark.parametrize(
    ("script", "unit", "expected"),
    [
        (DH_RESTART, "cron.service", True),
        (DH_RESTART, "cronie.service", False),
        (DH_START, "dbus.service", False),
        (DH_REMOVAL, "cron.service", False),
        (OLD_STOP, "cron.service", True),
        ("invoke-rc.d cron restart || exit $?", "cron.service", True),
        ("systemctl try-restart getty@tty1.service", "getty@tty1.service", True),
        ("systemctl try-restart 'openvpn@*.service'", "openvpn@office.service", True),
        ("# systemctl restart cron.service", "cron.service", False),
        ("echo please restart cron", "cron.service", False),
        # systemd-rpm-macros of RHEL 8 and 9, %systemd_postun_with_restart
        ("systemctl try-restart nginx.service >/dev/null 2>&1 || :", "nginx.service", True),
        ("/usr/lib/systemd/systemd-update-helper mark-restart-system-units nginx.service || :", "nginx.service", True),
        ("", "cron.service", False),
    ],
)
def test_which_scripts_restart_a_unit(script: str, unit: str, expected: bool) -> None:
    assert plan_effects.restarts(script, unit) is expected


def test_services_are_told_by_what_runs() -> None:
    resolved = Resolved(scripts={"cron": DH_RESTART, "libssl3": "ldconfig"})
    running = [
        Running(10, "cron.service"),
        Running(11, "nginx.service", {"libssl3"}),
        Running(12, "nginx.service", {"libc6"}),
        Running(13, "getty@tty1.service", {"libc6"}),
        Running(14, "quiet.service"),
        Running(15, "dbus.service", {"libc6"}),
        Running(16, "session-1.scope", {"libc6"}),
        Running(1, "init", {"libc6"}),
    ]
    running.append(Running(17, "squid.service", {"libc6"}))
    told = plan_effects.services(resolved, running, ["squid*", "cron.service"])
    assert [(one["unit"], one["restart"]) for one in told] == [
        ("cron.service", "package"),
        ("dbus.service", "never"),
        ("getty@tty1.service", "never"),
        ("init", "never"),
        ("nginx.service", "upkeep"),
        ("squid.service", "never"),
    ]
    why = {one["unit"]: one["why"] for one in told}
    assert why["cron.service"] == "the scripts of cron restart it, whatever restart_never says"
    assert why["dbus.service"] == "it runs code of libc6: with the reboot"
    assert why["squid.service"].endswith("restart_never names it: it goes on with the old code")
    assert why["nginx.service"] == "it runs code of libc6, libssl3"
    assert "daemon-reexec" in why["init"]
    with_systemd = [Running(1, "init", {"systemd"})]
    assert plan_effects.services(Resolved(), with_systemd, []) == [], "its own scripts re-execute it"


def change(name: str, **more: Any) -> Change:
    return Change(**{"name": name, "arch": "amd64", "before": "1", "after": "2", "action": "upgrade", **more})


@pytest.mark.parametrize(
    ("changes", "manager", "expected"),
    [
        ([change("bash")], "apt", []),
        ([change("linux-image-6.1.0-38-amd64", before="", action="install")], "apt",
         ["a kernel is installed: linux-image-6.1.0-38-amd64 2"]),
        ([change("linux-image-6.1.0-37-amd64")], "apt", ["a kernel is installed: linux-image-6.1.0-37-amd64 2"]),
        ([change("linux-image-6.1.0-36-amd64")], "apt", []),
        ([change("linux-image-6.1.0-37-amd64", after="", action="remove")], "apt", []),
        ([change("linux-image-amd64")], "apt", []),
        ([change("intel-microcode")], "apt", ["intel-microcode 2 is loaded at boot only"]),
        ([change("dbus-like")], "apt", ["the scripts of dbus-like ask for one"]),
        ([change("kernel-core")], "dnf", ["a kernel is installed: kernel-core 2"]),
        ([change("glibc")], "dnf", ["glibc 2 is installed"]),
        ([change("bash")], "dnf", []),
    ],
)  # fmt: skip
def test_why_a_reboot_comes(changes: list[Change], manager: str, expected: list[str]) -> None:
    resolved = Resolved(changes, core={"glibc", "kernel-core"},
                        scripts={"dbus-like": "[ ! -x /usr/share/x/notify-reboot-required ] || $_"})  # fmt: skip
    assert plan_effects.reboot_reasons(resolved, [], manager, "6.1.0-37-amd64", True) == expected


def test_a_reboot_that_nobody_can_ask_for_and_one_for_the_message_bus() -> None:
    asks = Resolved([change("a"), change("b")],
                    scripts={"a": "notify-reboot-required", "b": "touch /run/reboot-required"})  # fmt: skip
    assert plan_effects.reboot_reasons(asks, [], "apt", "6.1", False) == ["the scripts of b ask for one"]
    bus = [Running(20, "dbus.service", {"libc6"}), Running(21, "nginx.service", {"libssl3"})]
    assert plan_effects.reboot_reasons(Resolved(), bus, "apt", "6.1", False) == [
        "dbus.service: not restarted under a running system, and runs code of libc6"
    ]
    manager = [Running(22, "NetworkManager.service", {"network-manager"})]
    own = Resolved(scripts={"network-manager": "deb-systemd-invoke $_dh_action 'NetworkManager.service'"})
    assert plan_effects.reboot_reasons(own, manager, "apt", "6.1", False) == []
    assert plan_effects.services(own, manager, [])[0]["restart"] == "package"
    assert plan_effects.reboot_reasons(Resolved(), manager, "apt", "6.1", False) != []


def test_processes_are_found_by_what_they_have_mapped_or_were_started_with() -> None:
    def process(pid: int, unit: str, maps: str = "", cmdline: str = "x\0") -> dict[str, str | bytes]:
        return {
            f"/proc/{pid}/cgroup": f"0::/system.slice/{unit}\n",
            f"/proc/{pid}/maps": maps,
            f"/proc/{pid}/cmdline": cmdline,
        }

    code = "7f0-7f1 r-xp 00000000 fe:00 131 {}\n"
    files = {
        **process(1, "init.scope", code.format("/usr/lib/x86_64-linux-gnu/libc.so.6")),
        **process(10, "a.service", code.format("/usr/lib/x86_64-linux-gnu/libssl.so.3")),
        **process(11, "b.service", code.format("/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)")),
        **process(12, "c.service", cmdline="/usr/bin/python3\0/usr/sbin/tool\0--x\0"),
        **process(13, "d.service", "7f0-7f1 r--p 00000000 fe:00 131 /usr/lib/x86_64-linux-gnu/libssl.so.3\n"),
        **process(14, "e.service", code.format("/usr/lib/other.so")),
        **process(15, "f.service", code.format("/usr/lib/x86_64-linux-gnu/libssl.so.3")),
        **process(16, "g.service", code.format("/usr/lib/x86_64-linux-gnu/libssl.so.3")),
        "/proc/17/cgroup": "0::/user.slice/user-1000.slice/session-2.scope\n",
        "/proc/17/maps": code.format("/usr/lib/x86_64-linux-gnu/libssl.so.3"),
    }
    links = {"/proc/self/ns/pid": "pid:[1]", **{f"/proc/{pid}/ns/pid": "pid:[1]" for pid in range(10, 18)}}
    links["/proc/15/ns/pid"] = "pid:[2]"  # of a container
    host = FakeHost(files, links=links)
    owned = {
        "/lib/x86_64-linux-gnu/libssl.so.3": "libssl3",
        "/lib/x86_64-linux-gnu/libc.so.6": "libc6",
        "/sbin/tool": "tool",
    }
    found, denied = plan_effects.gather(host, owned)
    running = {one.unit: one.packages for one in found}
    assert running == {
        "init": {"libc6"}, "a.service": {"libssl3"}, "b.service": {"libssl3"}, "c.service": {"tool"},
        "d.service": set(), "e.service": set(), "g.service": {"libssl3"},
    }  # fmt: skip
    assert denied == 0
    host.files["/proc/18/cgroup"] = "0::/system.slice/h.service\n"
    assert plan_effects.gather(host, owned)[1] == 1, "somebody else's"


def test_seconds_are_estimated_or_measured() -> None:
    nothing = plan_seconds.estimate(0, 0, 0, False, [])
    assert nothing == {"download": 0, "apply": 0, "reboot": 0, "total": 0, "measured": False}
    told = plan_seconds.estimate(10, 40 * 1024 * 1024, 1, True, [])
    assert told == {"download": 10, "apply": 44, "reboot": 180, "total": 234, "measured": False}
    slow = {"times": {"applying": 100.0, "applied": 160.0}, "plan": {"packages": [{}] * 10}}
    fast = {"times": {"applying": 100.0, "applied": 110.0}, "plan": {"packages": [{}] * 10}}
    told = plan_seconds.estimate(20, 0, 0, False, [fast, slow])
    assert told == {"download": 0, "apply": 103, "reboot": 0, "total": 103, "measured": True}, "the slowest counts"
    again = plan_seconds.estimate(10, 0, 0, False, [fast, slow])
    assert again["apply"] == 60, "what took 60 s takes 60 s"


@pytest.mark.parametrize(
    "journal",
    [
        {},
        {"times": [], "plan": {}},
        {"times": {"applying": 1.0}, "plan": {"packages": [{}]}},
        {"times": {"applying": 5.0, "applied": 4.0}, "plan": {"packages": [{}]}},
        {"times": {"applying": 5.0, "applied": "6"}, "plan": {"packages": [{}]}},
        {"times": {"applying": 5.0, "applied": 9.0}, "plan": {"packages": []}},
    ],
)
def test_a_journal_that_measured_nothing(journal: dict[str, Any]) -> None:
    assert plan_seconds.estimate(1, 0, 0, False, [journal])["measured"] is False
