# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mitigations on a small host of files, with a systemd of a few lines: in, seen, lifted, whatever came in between."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import contract_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import OUTPUT_LIMIT, Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import mitigations
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.mitigation_options import ARGUMENT_SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.mitigation_work import (
    Machine,
    Refused,
    gather,
    review,
)
from tests.unit.fake_host import FakeHost

CVE = "CVE-2026-0001"


class Small(FakeHost):
    """A host whose units can be masked, started and stopped; modules unload by rmmod unless they are in use."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.path = root
        self.units = {"cups.service": ["loaded", "active"], "cups.socket": ["loaded", "active"]}
        self.in_use: set[str] = set()
        self.answers: dict[str, Ran] = {}

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        self.ran.append(argv)
        if argv[0] in self.answers:
            return self.answers[argv[0]]
        if argv[0] == "rmmod":
            if argv[1] in self.in_use:
                return Ran(1, "", f"rmmod: ERROR: Module {argv[1]} is in use")
            (self.path / "sys/module" / argv[1] / "initstate").unlink()
            (self.path / "sys/module" / argv[1]).rmdir()
            return Ran(0, "", "")
        if argv[0] == "modprobe":
            assert not list((self.path / "etc/modprobe.d").glob("zz-upkeep-*")), "it would be refused"
            module(self.path, argv[1])
            return Ran(0, "", "")
        if argv[:2] == ["systemctl", "show"]:
            load, active = self.units.get(argv[-1], ["not-found", "inactive"])
            return Ran(0, f"LoadState={load}\nUnitFileState=x\nActiveState={active}\n", "")
        if argv[0] == "systemctl" and argv[1] in ("mask", "unmask", "start", "stop"):
            unit = self.units.setdefault(argv[-1], ["not-found", "inactive"])
            if argv[1] == "start" and unit[0] == "masked":
                return Ran(1, "", "Unit is masked.")
            place, value = {"mask": (0, "masked"), "unmask": (0, "loaded"), "start": (1, "active"),
                            "stop": (1, "inactive")}[argv[1]]  # fmt: skip
            unit[place] = value
            return Ran(0, "", "")
        return Ran(0, "", "") if argv[:2] == ["systemctl", "try-reload-or-restart"] else Ran(127, "", "not found")


def module(root: Path, name: str) -> None:
    (root / "sys/module" / name).mkdir(parents=True)
    (root / "sys/module" / name / "initstate").write_text("live\n")


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "proc/sys/net/ipv4").mkdir(parents=True)
    (tmp_path / "proc/sys/net/ipv4/tcp_sack").write_text("1\n")
    for folder in ("etc/sysctl.d", "etc/modprobe.d", "etc/ssh", "usr/bin", "sys/module"):
        (tmp_path / folder).mkdir(parents=True)
    return Machine(Small(tmp_path), str(tmp_path))


def small(machine: Machine) -> Small:
    assert isinstance(machine.host, Small)
    return machine.host


def options(**given: Any) -> dict[str, Any]:
    defaults = {name: spec.get("default") for name, spec in ARGUMENT_SPEC.items()}
    return {**defaults, "name": "m", "cves": [CVE], **given}


def does(machine: Machine, **given: Any) -> dict[str, Any]:
    asked = options(**given)
    assert mitigations.errors_of(asked) == []
    result = review(machine, asked)
    json.dumps(result, allow_nan=False)
    assert [error for finding in result["findings"] for error in contract_errors(finding)] == []
    return result


def state(machine: Machine) -> dict[str, Any]:
    """All of the small host but the journals."""
    root = Path(machine.root)
    files = {
        str(path.relative_to(root)): (path.read_text(), oct(path.stat().st_mode))
        for path in sorted(root.rglob("*"))
        if path.is_file() and "mitigations" not in str(path)
    }
    return {
        "files": files,
        "units": {name: list(unit) for name, unit in small(machine).units.items() if unit[0] != "not-found"},
    }


KINDS: dict[str, Any] = {
    "sysctl": {"sysctl": {"net.ipv4.tcp_sack": 0}},
    "kernel_module": {"kernel_module": ["dccp"]},
    "service": {"service": ["cups.service", "cups.socket"]},
    "file_mode": {"file_mode": {"paths": ["/usr/bin/pkexec", "/usr/bin/gone"], "remove": ["setuid"]}},
    "dropin": {
        "dropin": {"path": "/etc/ssh/x.conf", "content": "LoginGraceTime 0", "validate": [], "reload": "ssh.service"}
    },
    "dropin over a file": {
        "dropin": {"path": "/etc/ssh/old.conf", "content": "LoginGraceTime 0\n", "validate": [], "reload": ""}
    },
}


@pytest.mark.parametrize("kind", KINDS)
def test_in_again_and_lifted(machine: Machine, kind: str) -> None:
    root = Path(machine.root)
    module(root, "dccp")
    (root / "usr/bin/pkexec").write_text("x")
    (root / "usr/bin/pkexec").chmod(0o4755)
    (root / "etc/ssh/old.conf").write_text("LoginGraceTime 60\n")
    before = state(machine)
    foretold = does(machine, check_mode=True, **KINDS[kind])
    assert foretold["changed"] and not foretold["in_force"] and state(machine) == before
    did = does(machine, **KINDS[kind])
    assert did["changed"] and did["in_force"] and did["survives_reboot"] and did["findings"] == []
    assert did["diff"] == foretold["diff"] and did["diff"]["before"] != did["diff"]["after"]
    after = state(machine)
    assert after != before
    assert [one["in_force"] for one in gather(machine, run_checks=True)] == [True]
    again = does(machine, **KINDS[kind])
    assert not again["changed"] and again["in_force"] and state(machine) == after
    assert does(machine, state="absent", check_mode=True)["changed"] and state(machine) == after
    lifted = does(machine, state="absent")
    assert lifted["changed"] and lifted["left_alone"] == [] and state(machine) == before
    assert gather(machine, run_checks=True) == [] and not does(machine, state="absent")["changed"]
    reloads = [argv for argv in small(machine).ran if argv[:2] == ["systemctl", "try-reload-or-restart"]]
    assert len(reloads) == (2 if kind == "dropin" else 0)


def test_what_somebody_changed_since_is_left_as_it_is(machine: Machine) -> None:
    root = Path(machine.root)
    does(machine, **KINDS["sysctl"])
    (root / "proc/sys/net/ipv4/tcp_sack").write_text("2\n")
    seen = gather(machine, run_checks=True)[0]
    assert seen["in_force"] is False and seen["why"] == "sysctl net.ipv4.tcp_sack is 2"
    lifted = does(machine, state="absent")
    assert lifted["left_alone"] == ["sysctl net.ipv4.tcp_sack was changed since, and is left as it is"]
    assert (root / "proc/sys/net/ipv4/tcp_sack").read_text() == "2\n"
    assert not list((root / "etc/sysctl.d").iterdir())


def test_a_package_that_brought_its_mode_back_keeps_it(machine: Machine) -> None:
    program = Path(machine.root) / "usr/bin/pkexec"
    program.write_text("x")
    program.chmod(0o4755)
    does(machine, **KINDS["file_mode"])
    assert program.stat().st_mode & 0o7777 == 0o755
    program.chmod(0o4755)
    assert gather(machine, run_checks=True)[0]["why"] == "mode /usr/bin/pkexec is 4000"
    lifted = does(machine, state="absent")
    assert lifted["changed"] and lifted["left_alone"] == [] and program.stat().st_mode & 0o7777 == 0o4755


def test_a_module_in_use_fails_and_its_way_back_is_kept(machine: Machine) -> None:
    module(Path(machine.root), "dccp")
    small(machine).in_use.add("dccp")
    did = does(machine, **KINDS["kernel_module"])
    assert did["failed"] and "the module dccp is in use" in did["msg"]
    assert [(f["check"], f["severity"]) for f in did["findings"]] == [("patch.mitigation.failed", "high")]
    assert gather(machine, run_checks=True)[0]["in_force"] is False
    small(machine).in_use.clear()
    again = does(machine, **KINDS["kernel_module"])
    assert again["changed"] and again["in_force"] and "failed" not in again
    assert {"check": "patch.mitigation.failed", "subject": "m"} in again["coverage"]
    does(machine, state="absent")
    assert (Path(machine.root) / "sys/module/dccp/initstate").exists(), "it was loaded before, and is again"


def test_a_module_that_is_built_in_is_told(machine: Machine) -> None:
    (Path(machine.root) / "sys/module/dccp").mkdir()
    did = does(machine, **KINDS["kernel_module"])
    assert did["failed"] and "built into this kernel" in did["msg"]


def test_configuration_that_is_not_accepted_is_taken_back(machine: Machine) -> None:
    before = state(machine)
    small(machine).answers["sshd"] = Ran(255, "", "/etc/ssh/x.conf: line 1: Bad configuration option\n")
    given = {"path": "/etc/ssh/x.conf", "content": "Nonsense", "validate": ["sshd", "-t"], "reload": "ssh.service"}
    did = does(machine, dropin=given)
    assert did["failed"] and not did["changed"] and "Bad configuration option" in did["msg"]
    assert state(machine) == before and gather(machine, run_checks=True) == []
    assert not any("try-reload-or-restart" in argv for argv in small(machine).ran)


def test_another_of_the_same_name_takes_the_first_one_back(machine: Machine) -> None:
    does(machine, **KINDS["sysctl"])
    did = does(machine, **KINDS["service"])
    assert did["changed"] and (Path(machine.root) / "proc/sys/net/ipv4/tcp_sack").read_text().strip() == "1"
    does(machine, state="absent")
    assert small(machine).units["cups.service"] == ["loaded", "active"]


@pytest.mark.parametrize("how", ["not accepted", "cannot be done"])
def test_one_whose_successor_is_refused_is_in_again(machine: Machine, how: str) -> None:
    before = state(machine)
    given = {"path": "/etc/ssh/x.conf", "content": "Good\n", "validate": ["sshd", "-t"], "reload": ""}
    small(machine).answers["sshd"] = Ran(0, "", "")
    does(machine, dropin=given)
    if how == "not accepted":
        small(machine).answers["sshd"] = Ran(255, "", "Bad configuration option\n")
        did = does(machine, dropin={**given, "content": "Bad\n"})
        small(machine).answers["sshd"] = Ran(0, "", "")
    else:
        module(Path(machine.root), "dccp")
        small(machine).in_use.add("dccp")
        did = does(machine, kernel_module=["dccp"])
        (Path(machine.root) / "sys/module/dccp/initstate").unlink()
        (Path(machine.root) / "sys/module/dccp").rmdir()
    assert did["failed"] and did["findings"][0]["evidence"] == ["the one before is in again"]
    assert [one["in_force"] for one in gather(machine, run_checks=True)] == [True]
    assert (Path(machine.root) / "etc/ssh/x.conf").read_text() == "Good\n"
    does(machine, state="absent")
    assert state(machine) == before


def test_a_service_that_was_down_is_not_started_afterwards(machine: Machine) -> None:
    small(machine).units["cups.service"] = ["loaded", "inactive"]
    does(machine, **KINDS["service"])
    does(machine, state="absent")
    assert small(machine).units == {"cups.service": ["loaded", "inactive"], "cups.socket": ["loaded", "active"]}


def test_tasks_of_your_own_are_believed_by_their_check(machine: Machine) -> None:
    small(machine).answers["waf-has-rule"] = Ran(1, "", "no such rule")
    did = does(machine, check=["waf-has-rule", "9"])
    assert did["failed"] and "its check ended with 1: no such rule" in did["msg"]
    small(machine).answers["waf-has-rule"] = Ran(0, "", "")
    did = does(machine, check=["waf-has-rule", "9"])
    assert did["in_force"] and did["survives_reboot"] is False
    assert gather(machine, run_checks=False)[0]["in_force"] is None


def test_killed_in_the_middle_the_first_state_is_what_it_goes_back_to(machine: Machine) -> None:
    """The journal was written, and one of two settings was set."""
    root = Path(machine.root)
    wanted = mitigations.made(options(**KINDS["sysctl"]))
    for item in wanted.items:
        item.before = machine.look(item)
    machine.save(wanted)
    machine.give(wanted.items[1], "0")
    assert does(machine, **KINDS["sysctl"])["in_force"]
    does(machine, state="absent")
    assert (root / "proc/sys/net/ipv4/tcp_sack").read_text().strip() == "1"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"name": "../etc"}, "name is made of letters"),
        ({"cves": [], "service": ["a.service"]}, "cves says what it stands in for"),
        ({}, "one of sysctl"),
        ({"service": ["-x"]}, "a unit with its suffix, found '-x'"),
        ({"kernel_module": ["a b"]}, "the name of a module"),
        ({"sysctl": {"net/../../etc": "1"}}, "the name of a kernel setting"),
        ({"sysctl": {"net.x": "1\n2"}}, "one line of text"),
        ({"file_mode": {"paths": ["bin/x"], "remove": ["setuid"]}}, "an absolute path"),
        ({"dropin": {"path": "/etc/../x", "content": "x", "validate": [], "reload": ""}}, "an absolute path"),
    ],
)
def test_what_cannot_be_followed(given: dict[str, Any], words: str) -> None:
    assert words in "; ".join(mitigations.errors_of(options(**given)))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 1, "items": [{"x": 1}]}', '{"format": 9}'])
def test_a_damaged_journal_is_told_and_nothing_is_changed(machine: Machine, text: str) -> None:
    base = Path(machine.base)
    base.mkdir(parents=True)
    (base / "m.json").write_text(text)
    before = state(machine)
    assert gather(machine, run_checks=True)[0]["in_force"] is None
    for given in (KINDS["sysctl"], {"state": "absent"}):
        did = does(machine, **given)
        assert did["failed"] and "cannot be read" in did["msg"] and state(machine) == before
    with pytest.raises(Refused):
        machine.load("m")


def test_what_is_no_file_is_not_written_to(machine: Machine) -> None:
    (Path(machine.root) / "etc/ssh/x.conf").symlink_to("/etc/shadow")
    did = does(machine, **KINDS["dropin"])
    assert did["failed"] and "is no regular file" in did["msg"]


@pytest.mark.parametrize("kind", ["sysctl", "kernel_module", "service"])
def test_what_two_mitigations_have_in_common_goes_with_the_second_one(machine: Machine, kind: str) -> None:
    module(Path(machine.root), "dccp")
    before = state(machine)
    does(machine, name="first", **KINDS[kind])
    does(machine, name="second", cves=["CVE-2026-0002"], **KINDS[kind])
    did = does(machine, name="first", state="absent")
    assert not did.get("failed") and "the mitigation second needs it" in did["left_alone"][0]
    assert [(one["name"], one["in_force"]) for one in gather(machine, run_checks=True)] == [("second", True)]
    assert not does(machine, name="second", state="absent").get("failed")
    assert state(machine) == before


def test_two_that_set_the_same_otherwise_go_back_to_what_was_before_both(machine: Machine) -> None:
    does(machine, name="first", sysctl={"net.ipv4.tcp_sack": 0})
    does(machine, name="second", sysctl={"net.ipv4.tcp_sack": 2})
    setting = Path(machine.root) / "proc/sys/net/ipv4/tcp_sack"
    does(machine, name="first", state="absent")
    assert setting.read_text().strip() == "2"
    does(machine, name="second", state="absent")
    assert setting.read_text().strip() == "1"


def test_killed_before_it_was_accepted_it_is_taken_back_when_it_is_not(machine: Machine) -> None:
    before = state(machine)
    small(machine).answers["sshd"] = Ran(255, "", "Bad configuration option\n")
    given = {"path": "/etc/ssh/x.conf", "content": "Nonsense\n", "validate": ["sshd", "-t"], "reload": ""}
    wanted = mitigations.made(options(dropin=given))
    machine.save(wanted)
    machine.give(wanted.items[0], wanted.items[0].wanted)
    did = does(machine, dropin=given)
    assert did["failed"] and did["changed"] and state(machine) == before
    assert gather(machine, run_checks=True) == []


def test_one_that_was_accepted_once_keeps_its_way_back(machine: Machine) -> None:
    root = Path(machine.root)
    before = state(machine)
    given = {"path": "/etc/ssh/x.conf", "content": "Good\n", "validate": ["sshd", "-t"], "reload": ""}
    small(machine).answers["sshd"] = Ran(0, "", "")
    does(machine, dropin=given)
    (root / "etc/ssh/x.conf").write_text("Mine\n")
    small(machine).answers["sshd"] = Ran(255, "", "Bad configuration option\n")
    did = does(machine, dropin=given)
    assert did["failed"] and not did["changed"] and (root / "etc/ssh/x.conf").read_text() == "Mine\n"
    (root / "etc/ssh/x.conf").write_text("Good\n")
    does(machine, state="absent")
    assert state(machine) == before


def test_a_module_that_is_built_in_without_parameters_is_told(machine: Machine) -> None:
    root = Path(machine.root)
    (root / "proc/sys/kernel").mkdir()
    (root / "proc/sys/kernel/osrelease").write_text("6.1.0\n")
    (root / "lib/modules/6.1.0").mkdir(parents=True)
    (root / "lib/modules/6.1.0/modules.builtin").write_text("kernel/net/dccp/dccp.ko\nkernel/x/a-b.ko.xz\n")
    did = does(machine, **KINDS["kernel_module"])
    assert did["failed"] and "built into this kernel" in did["msg"]
    assert "built into this kernel" in does(machine, name="n", kernel_module=["a-b"])["msg"]


def test_a_file_is_put_back_as_it_was_to_its_owner_and_its_ends_of_lines(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path(machine.root) / "etc/ssh/old.conf"
    path.write_bytes(b"one\r\ntwo")
    owners: list[tuple[int, int]] = []
    monkeypatch.setattr("os.fchown", lambda _descriptor, uid, gid: owners.append((uid, gid)))
    does(machine, **KINDS["dropin over a file"])
    does(machine, state="absent")
    there = path.stat()
    assert path.read_bytes() == b"one\r\ntwo" and owners == [(there.st_uid, there.st_gid)] * 2


def test_a_file_that_comes_later_loses_its_bits_and_gets_them_back(machine: Machine) -> None:
    does(machine, **KINDS["file_mode"])
    late = Path(machine.root) / "usr/bin/gone"
    late.write_text("x")
    late.chmod(0o755)
    assert not does(machine, state="absent").get("failed"), "it has no such bit, and never had"
    late.unlink()
    does(machine, **KINDS["file_mode"])
    late.write_text("x")
    late.chmod(0o4755)
    assert does(machine, **KINDS["file_mode"])["in_force"] and late.stat().st_mode & 0o7777 == 0o755
    does(machine, state="absent")
    assert late.stat().st_mode & 0o7777 == 0o4755


def test_what_a_command_said_is_told_as_it_said_it(machine: Machine) -> None:
    module(Path(machine.root), "dccp")
    small(machine).in_use.add("dccp")
    assert "unloaded: rmmod: ERROR: Module dccp is in use" in does(machine, **KINDS["kernel_module"])["msg"]
