# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services after a transaction: restarted in order, seen to stay up, and sshd only when it would come up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import options as specs
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import services
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.journal import Journal, Store
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.rollback import rollback
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from tests.unit.fake_host import FakeHost

MAPS = "7f00-7f01 r-xp 0 08:01 5 /usr/lib/libz.so.1 (deleted)\n"


class Machine(FakeHost):
    """A host with units. ``dies``: units that fail once restarted; ``loops``: that systemd restarts without end."""

    def __init__(self, *units: str, sshd: str = "", dies: tuple[str, ...] = (), loops: tuple[str, ...] = ()) -> None:
        files: dict[str, str | bytes] = {}
        for number, unit in enumerate(units, 10):
            files[f"/proc/{number}/maps"] = MAPS
            files[f"/proc/{number}/cmdline"] = unit
            files[f"/proc/{number}/cgroup"] = f"0::/system.slice/{unit}\n"
        super().__init__(files, programs=["sshd", "systemctl"])
        self.states = dict.fromkeys((*units, "ssh.service"), "active")
        self.sshd, self.dies, self.loops, self.restarts = sshd, dies, loops, 0
        self.after: dict[str, str] = {}

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = 0) -> Ran:
        self.ran.append(argv)
        if argv[:2] == ["systemctl", "show"]:
            self.restarts += 1
            return Ran(0, "\n\n".join(self._shown(unit) for unit in argv[4:] if unit in self.states) + "\n", "")
        if argv[:2] == ["systemctl", "restart"]:
            self.states[argv[3]] = "failed" if argv[3] in self.dies else "active"
            return Ran(0, "", "")
        if argv[-1] == "-t":
            return Ran(255 if self.sshd else 0, "", self.sshd)
        return Ran(0, "", "")

    def _shown(self, unit: str) -> str:
        number = self.restarts if unit in self.loops else 0
        lines = [f"Id={unit}", f"Names={unit}", "LoadState=loaded", f"ActiveState={self.states[unit]}"]
        return "\n".join([*lines, f"NRestarts={number}", f"After={self.after.get(unit, '')}", "Type=simple"])

    def restarted(self) -> list[str]:
        return [argv[3] for argv in self.ran if argv[:2] == ["systemctl", "restart"]]


def told(did: services.Restarts) -> dict[str, str]:
    return {service["unit"]: service["action"] for service in did.services}


def test_in_order_and_sshd_last() -> None:
    host = Machine("a.service", "ssh.service", "b.service", "dbus.service", "db.service")
    host.after["a.service"] = "b.service ssh.service"
    did = services.carry_out(host, True, ["db.*"], [])
    assert host.restarted() == ["b.service", "a.service", "ssh.service"]
    assert did.failed == {} and did.changed and did.reboot == ["dbus.service"]
    assert told(did)["dbus.service"] == told(did)["db.service"] == "never"


def test_a_broken_sshd_is_not_restarted() -> None:
    host = Machine("ssh.service", sshd="/etc/ssh/sshd_config: line 9: Bad configuration option: Nonsense\nterminating")
    did = services.carry_out(host, True, [], [])
    assert host.restarted() == [] and "Nonsense" in did.failed["ssh.service"][0]
    assert services.sshd_error(host).endswith("Nonsense")
    host.states["ssh.service"] = "inactive"  # no sshd is in use
    assert services.sshd_error(host) == ""


@pytest.mark.parametrize(
    "options, failed",
    [({"dies": ("a.service",)}, "it is failed"), ({"loops": ("a.service",)}, "it keeps dying")],
)
def test_a_service_that_does_not_stay_up(options: dict[str, Any], failed: str) -> None:
    did = services.carry_out(Machine("a.service", "b.service", **options), True, [], [])
    assert list(did.failed) == ["a.service"] and did.failed["a.service"][0].startswith(failed)
    assert told(did) == {"a.service": "failed", "b.service": "restarted"}


def test_without_leave_it_is_told_only() -> None:
    host = Machine("a.service")
    did = services.carry_out(host, False, [], [])
    assert host.restarted() == [] and told(did) == {"a.service": "left"} and not did.changed


def test_check_mode_restarts_nothing() -> None:
    host = Machine("a.service")
    did = services.carry_out(host, True, [], ["b.service"], check_mode=True)
    assert host.restarted() == [] and told(did) == {"a.service": "restarted"} and did.changed


def test_what_was_up_before_must_be_up() -> None:
    host = Machine()
    host.states.update({"up.service": "active", "dead.service": "failed"})
    did = services.carry_out(host, False, [], ["up.service", "dead.service", "gone.service"])
    assert list(did.failed) == ["dead.service", "gone.service"]


def test_a_name_that_is_no_unit_reaches_no_command_line() -> None:
    host = Machine()
    assert services.show(host, ["-H", "a b.service", "--root=/x.service", "x.target"]) == {}
    assert host.ran == []


def put_back(host: Machine, base: Path) -> dict[str, Any]:
    """patch_rollback where the packages are as they were: what was up before the plan is what is left to see to."""
    row = {"name": "demo", "arch": "all", "from": "1.0-1", "to": "2.0-1", "action": "upgrade", "asked": True}
    uses = {"unit": "uses.service", "restart": "upkeep", "why": "it runs code of demo"}
    made = plan_model.make("apt", "all", [row], services=[uses, {"unit": "bus.service", "restart": "never"}])
    before = {"demo:all": "1.0-1"}
    journal = Journal(made, "applied", before=before, active=["a.service", "bus.service", "uses.service"])
    journal.units = {"demo:all": ["a.service", "timer.service"]}
    store = Store(str(base))
    store.open(journal.plan_id)
    store.save(journal)
    host.programs.add("apt-get")
    host.files["/var/lib/dpkg/status"] = (
        "Package: demo\nStatus: install ok installed\nArchitecture: all\nVersion: 1.0-1\n"
    )
    spec = {name: one.get("default") for name, one in specs.ROLLBACK_SPEC.items()}
    return rollback(host, dict(spec, lock_timeout=1), store.base)


def test_the_way_back_covers_what_the_patch_broke(tmp_path: Path) -> None:
    host = Machine()
    host.states.update({"a.service": "failed", "uses.service": "failed", "bus.service": "failed"})
    result = put_back(host, tmp_path / "base")
    assert result["ok"], result
    assert host.restarted() == ["a.service", "uses.service"], "what was restarted for the plan died of it, too"
    covered = [one["subject"] for one in result["coverage"] if one["check"] == "patch.apply.service_failed"]
    assert covered == ["a.service", "uses.service", "sshd"], "bus.service is not ours to see to"

    still = Machine(dies=("uses.service",))
    still.states.update({"a.service": "active", "uses.service": "failed"})
    result = put_back(still, tmp_path / "other")
    assert not result["ok"] and [found["subject"] for found in result["findings"]] == ["uses.service"]
    assert not any(one["check"] == "patch.apply.service_failed" for one in result["coverage"])
