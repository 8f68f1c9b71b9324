# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots in a vCenter of our own over govmomi's simulator, by pyvmomi and TLS, with each fault that it may have.

What this cannot show: how a real ESXi stops a machine while it removes a large snapshot, what quiesces in a real guest,
and what a vCenter says in words of its own.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots import vsphere, vsphere_client
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.model import Mark
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.vsphere_model import description_of
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.vsphere_options import SPEC, errors_of

from .vcenter import PASSWORD, USER, Vcenter, certificate, vcenter

pytestmark = pytest.mark.timeout(240)  # the first one may have to compile the server

VM = "/DC0/vm/DC0_H0_VM0"
NAME = "DC0_H0_VM0"
STORES = ("LocalDS_0", "LocalDS_1")
FAILED, LEFT = "patch.snapshot.failed", "patch.snapshot.left"
UNSUPPORTED, CHAIN = "patch.snapshot.unsupported", "patch.snapshot.chain"
GIB = 1 << 30


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vcenter]:
    with vcenter(*certificate(tmp_path_factory.mktemp("vcenter"), "vcenter")) as one:
        yield one


@pytest.fixture
def center(running: Vcenter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vcenter]:
    monkeypatch.setattr(vsphere, "_SEEN_WITHIN", 1.0)
    running.ordinary(VM)
    for store in STORES:
        running.datastore(store, 600 * GIB, 1000 * GIB)
    running.reset()
    yield running
    assert running.state()["sessions"] == 0, "every session was ended"


def given(center: Vcenter, **more: Any) -> dict[str, Any]:
    options = {name: one.get("default") for name, one in SPEC.items()}
    options.update(hostname="127.0.0.1", port=center.port, username=USER, password=PASSWORD, vm=NAME)
    options.update({"ca_file": str(center.ca_file), "answer_timeout": 20, **more})
    assert errors_of(options) == []
    return options


def call(center: Vcenter, check: bool = False, **more: Any) -> dict[str, Any]:
    told = vsphere.snapshot(given(center, **more), check)
    assert PASSWORD not in json.dumps(told, ensure_ascii=False) and "s3cr3t" not in json.dumps(told)
    assert told["ok"] or (told["msg"] and told["findings"]), told
    return told


def fault(told: dict[str, Any], check: str = FAILED) -> dict[str, Any]:
    """The finding of a call that failed, which says what to do."""
    one = told["findings"][-1]
    assert not told["ok"] and told["coverage"] == [] and one["check"] == check and one["remedy"], told
    assert one["subject"] == NAME
    return dict(one)


def covered(told: dict[str, Any]) -> set[str]:
    return {one["check"] for one in told["coverage"]}


def ours(name: str = "upkeep", age: int = 0, power: str = "poweredOn") -> str:
    return description_of(Mark(name, int(time.time()) - age), power, "")


# -- the ordinary way --------------------------------------------------------------------------------------------------


def test_taken_gone_back_to_and_removed(center: Vcenter) -> None:
    would = call(center, check=True)
    assert would["changed"] and would["coverage"] == [] and center.snapshots(VM) == []
    assert would["diff"]["before"] == "" and "snapshot upkeep of " + NAME in would["diff"]["after"]
    made = call(center, comment="change 4711", quiesce="required")
    assert made["changed"] and made["findings"] == [] and covered(made) == {FAILED, LEFT, UNSUPPORTED, CHAIN}
    [there] = center.snapshots(VM)
    assert there["name"] == "upkeep" and there["quiesced"] and "change 4711" in there["description"]
    [told] = made["snapshots"]
    assert (told["backend"], told["volume"], told["name"], told["state"]) == ("vsphere", NAME, "upkeep", "taken")
    assert told["quiesced"] and told["current"] and told["power"] == "poweredOn" and told["comment"] == "change 4711"
    assert abs(told["created"] - time.time()) < 60 and not told["memory"] and made["chain"] == 1
    assert made["vm"]["path"] == VM and made["reboot"] == {"needed": False, "why": [], "blocked": ""}

    again = call(center)
    assert (
        again["ok"]
        and not again["changed"]
        and again["snapshots"] == made["snapshots"]
        and len(center.snapshots(VM)) == 1
    )
    would_not = call(center, check=True)
    assert would_not["ok"] and not would_not["changed"]

    center.machine(VM, disk="patched, and broken")
    assert call(center, check=True, state="reverted")["snapshots"][0]["state"] == "reverted"
    assert center.state()["machines"][VM]["disk"] == "patched, and broken"
    back = call(center, state="reverted")
    now = center.state()["machines"][VM]
    assert back["changed"] and back["findings"] == [] and covered(back) == {FAILED, CHAIN}
    assert now["disk"] == "as before" and now["power"] == "poweredOn", "vSphere itself leaves it off"
    assert back["snapshots"][0]["state"] == "reverted" and back["snapshots"][0]["comment"] == "change 4711"
    center.reset()
    verified = call(center, state="reverted")
    assert verified["ok"] and not verified["changed"] and "RevertToSnapshot_Task" not in center.calls()

    anew = call(center)
    assert anew["changed"] and len(anew["swept"]) == 1 and anew["snapshots"][0]["state"] == "taken"
    assert call(center, check=True, state="absent")["swept"] == anew["snapshots"] and len(center.snapshots(VM)) == 1
    gone = call(center, state="absent")
    assert gone["changed"] and gone["snapshots"] == [] and center.snapshots(VM) == []
    assert covered(gone) == {LEFT, CHAIN} and gone["diff"]["after"] == ""
    still = call(center, state="absent")
    assert still["ok"] and not still["changed"]


def test_only_ours_are_touched_and_old_ones_are_swept(center: Vcenter) -> None:
    center.snapshot(VM, "before the upgrade of the ERP", "by ada", age=90 * 86400)
    center.snapshot(VM, "upkeep", "somebody else's, though it has that name", age=90 * 86400)
    center.snapshot(VM, "p-old", ours("p-old", 73 * 3600), age=73 * 3600)
    center.snapshot(VM, "p-young", ours("p-young", 3600), age=3600)
    told = call(center)
    assert [one["name"] for one in told["swept"]] == ["p-old"] and told["others"] == 2
    names = [one["name"] for one in center.snapshots(VM)]
    assert names == ["before the upgrade of the ERP", "upkeep", "p-young", "upkeep"]
    [chain] = told["findings"]
    assert (chain["check"], chain["severity"]) == (CHAIN, "info") and told["chain"] == 4
    assert any("not ours" in line and "90 days" in line for line in chain["evidence"])

    kept = call(center, state="absent", max_age_hours=0)
    assert [one["name"] for one in kept["swept"]] == ["upkeep"] and kept["snapshots"] == []
    assert "snapshot p-young of" in kept["diff"]["after"]
    assert [one["name"] for one in center.snapshots(VM)] == ["before the upgrade of the ERP", "upkeep", "p-young"]
    none = fault(call(center, state="reverted"))
    assert "no snapshot of ours of that name (of ours: p-young; of others: 2)" in none["summary"]


def test_one_that_is_too_old_is_not_gone_back_to(center: Vcenter) -> None:
    center.snapshot(VM, "upkeep", ours(age=80 * 3600), age=80 * 3600)
    one = fault(call(center, state="reverted"))
    assert "3 days old" in one["summary"] and "max_age_hours: 0" in one["remedy"] and one["severity"] == "critical"
    assert center.state()["machines"][VM]["power"] == "poweredOn"
    assert call(center, state="reverted", max_age_hours=0)["changed"]
    center.snapshot(VM, "ahead", ours("ahead", age=-86400))
    ahead = [one for one in call(center)["findings"] if one["check"] == LEFT]
    assert len(ahead) == 1 and "its age is not known" in ahead[0]["summary"]


def test_memory_and_machines_that_are_off(center: Vcenter) -> None:
    assert call(center, memory=True)["snapshots"][0]["memory"]
    center.machine(VM, power="poweredOff")
    assert call(center, state="reverted")["ok"] and "PowerOnVM_Task" not in center.calls()
    assert center.state()["machines"][VM]["power"] == "poweredOn", "with its memory, it goes on by itself"

    center.ordinary(VM, power="poweredOff", tools=False)
    off = call(center, quiesce="required")
    assert off["ok"] and off["findings"] == [] and off["snapshots"][0]["power"] == "poweredOff"
    center.machine(VM, power="poweredOn", disk="changed")
    assert call(center, state="reverted")["ok"]
    assert center.state()["machines"][VM]["power"] == "poweredOff", "as it was"

    center.ordinary(VM)
    call(center)
    assert call(center, state="reverted", power_on=False)["vm"]["power"] == "poweredOff"


def test_by_path_by_uuid_and_not_by_a_name_that_two_have(center: Vcenter) -> None:
    other = "/DC1/vm/DC1_H0_VM0"
    assert call(center, vm=VM)["vm"]["path"] == VM
    uuid, instance = (center.state()["machines"][VM][key] for key in ("uuid", "instance_uuid"))
    for more in ({"uuid": uuid.upper()}, {"uuid": instance}, {"uuid": uuid, "datacenter": "DC0"}):
        same = call(center, vm=None, **more)
        assert same["ok"] and not same["changed"] and same["vm"]["path"] == VM, "which has one"
    center.machine(other, rename=NAME)
    try:
        one = fault(call(center))
        assert "2 machines" in one["summary"] and VM in one["evidence"][1] and "/DC1/vm/" + NAME in one["evidence"][1]
        assert call(center, datacenter="DC0")["vm"]["path"] == VM and call(center, vm=VM)["vm"]["path"] == VM
        assert call(center, check=True, datacenter="DC1")["vm"]["path"] == "/DC1/vm/" + NAME
    finally:
        center.machine("/DC1/vm/" + NAME, rename="DC1_H0_VM0")
    assert "DC0, DC1" in call(center, datacenter="DC7")["findings"][0]["evidence"][1]
    for words in ({"vm": "nobody"}, {"vm": "/DC1/vm/" + NAME}, {"vm": None, "uuid": "0" * 8 + uuid[8:]}):
        assert "is there, or the account may not see it" in call(center, **words)["msg"]
    center.machine(other, rename="a%2fb%25c")
    assert call(center, check=True, vm="a/b%c")["vm"]["name"] == "a/b%c"
    center.machine("/DC1/vm/a%2fb%25c", rename="DC1_H0_VM0")


# -- refused before anything is done -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("machine", "options", "check", "says"),
    [
        ({"tools": False}, {"quiesce": "required"}, UNSUPPORTED, "VMware Tools do not run"),
        ({"independent": True}, {}, UNSUPPORTED, "independent_persistent"),
        ({"template": True}, {}, UNSUPPORTED, "a template"),
        ({"supported": False}, {}, UNSUPPORTED, "can have no snapshots"),
        ({"connection": "inaccessible"}, {}, FAILED, "inaccessible"),
    ],
)
def test_refused(center: Vcenter, machine: Any, options: Any, check: str, says: str) -> None:
    center.machine(VM, **machine)
    for mode in (True, False):
        assert says in fault(call(center, check=mode, **options), check)["summary"]
    assert "CreateSnapshot_Task" not in center.calls()
    if "independent" in machine:
        assert call(center, partial=True)["changed"]


def test_room_on_each_datastore(center: Vcenter) -> None:
    center.datastore(STORES[0], free=99 * GIB, capacity=1000 * GIB)
    one = fault(call(center))
    assert "LocalDS_0 has 99.0 GiB free, and 100 GiB are needed" in one["summary"], one
    assert "CreateSnapshot_Task" not in center.calls() and one["severity"] == "high"
    assert call(center, check=True, room_percent=9)["changed"]
    center.datastore(STORES[0], free=99 * GIB, shown=900 * GIB, capacity=1000 * GIB)
    assert "99.0 GiB free" in fault(call(center))["summary"], "what vCenter shows is refreshed first"
    center.datastore(STORES[0], free=600 * GIB, capacity=1000 * GIB, accessible=False)
    assert "LocalDS_0 is not accessible" in fault(call(center))["summary"]
    center.datastore(STORES[0], free=100 * GIB, capacity=1000 * GIB)
    assert "and the memory" in fault(call(center, memory=True))["summary"] and call(center)["changed"]


# -- tasks that go wrong -----------------------------------------------------------------------------------------------


def test_the_task_fails(center: Vcenter) -> None:
    center.machine(VM, create="NoDiskSpace")
    one = fault(call(center))
    assert "a datastore is full (NoDiskSpace" in one["summary"] and center.snapshots(VM) == []
    center.machine(VM, create="GenericVmConfigFault")
    assert "GenericVmConfigFault" in fault(call(center))["summary"]
    center.machine(VM, create="TaskInProgress")
    assert "another task of the machine" in fault(call(center))["summary"]


def test_the_task_never_ends(center: Vcenter) -> None:
    center.machine(VM, create="hang")
    one = fault(call(center, timeout=1))
    assert "had not ended after 1 s, and was cancelled" in one["summary"] and "CancelTask" in center.calls()
    assert center.snapshots(VM) == []
    center.ordinary(VM, create="hang", cancelable=False)
    stays = fault(call(center, timeout=1))
    assert "left at work, as it cannot be cancelled" in stays["summary"]
    center.machine(VM, create="")
    waits = fault(call(center, timeout=1))
    assert "still at work after 1 s: VirtualMachine.createSnapshot" in waits["summary"]
    assert center.calls().count("CreateSnapshot_Task") == 2, "none is begun beside it"


def test_quiescing_dropped_in_silence(center: Vcenter) -> None:
    center.machine(VM, quiesce="dropped")
    one = fault(call(center, quiesce="required"), UNSUPPORTED)
    assert "it was removed again" in one["summary"] and center.snapshots(VM) == []
    wanted = call(center, quiesce="wanted")
    [said] = wanted["findings"]
    assert wanted["ok"] and not wanted["snapshots"][0]["quiesced"]
    assert (said["check"], said["severity"]) == (UNSUPPORTED, "low") and "as after a power cut" in said["summary"]
    assert "already that is not quiesced" in fault(call(center, quiesce="required"), UNSUPPORTED)["summary"]
    center.ordinary(VM, quiesce="dropped", remove="TaskInProgress")
    both = call(center, quiesce="required")
    assert [one["check"] for one in both["findings"]] == [LEFT, UNSUPPORTED] and len(both["left"]) == 1
    assert "could not be removed again" in both["msg"]


def test_quiescing_that_fails(center: Vcenter) -> None:
    center.machine(VM, quiesce="FilesystemQuiesceFault")
    assert "not at rest long enough" in fault(call(center, quiesce="required"))["summary"]
    told = call(center, quiesce="wanted")
    assert told["ok"] and told["findings"][0]["check"] == UNSUPPORTED and len(center.snapshots(VM)) == 1
    center.ordinary(VM, tools=False)
    told = call(center)
    assert told["ok"] and "VMware Tools do not run" in told["findings"][0]["evidence"][0]
    center.ordinary(VM, tools=False)
    assert call(center, quiesce="never")["findings"] == []


@pytest.mark.parametrize(
    ("how", "says"),
    [("TaskInProgress", "another task"), ("ignored", "still there"), ("hang", "was cancelled")],
)
def test_one_that_cannot_be_removed(center: Vcenter, how: str, says: str) -> None:
    center.snapshot(VM, "p-old", ours("p-old", 100 * 3600))
    center.snapshot(VM, "upkeep", ours())
    center.machine(VM, remove=how)
    limit = 1 if how == "hang" else 60
    gone = call(center, state="absent", timeout=limit)
    assert not gone["ok"] and says in gone["msg"] and len(gone["left"]) == 2 and not gone["changed"]
    assert [(one["check"], one["severity"]) for one in gone["findings"]] == [(LEFT, "medium")] * 2
    kept = call(center, timeout=limit)
    assert kept["ok"] and not kept["changed"] and [one["name"] for one in kept["left"]] == ["p-old"]
    assert "p-old" in kept["findings"][0]["summary"] and "4 days old" in kept["findings"][0]["summary"]
    assert len(center.snapshots(VM)) == 2


def test_disks_to_consolidate_are_told(center: Vcenter) -> None:
    call(center)
    center.machine(VM, consolidate=True)
    told = call(center, state="absent")
    assert told["ok"] and told["consolidation_needed"] and told["findings"][0]["check"] == LEFT
    assert "consolidated" in told["findings"][0]["summary"]
    center.machine(VM, consolidate=False)
    call(center)
    assert not call(center, state="absent")["consolidation_needed"]


def test_a_way_back_that_is_none(center: Vcenter) -> None:
    call(center)
    center.snapshot(VM, "another", "by ada")
    center.machine(VM, disk="broken", revert="ignored")
    one = fault(call(center, state="reverted"))
    assert "it runs on another snapshot" in one["summary"] and one["severity"] == "critical"
    center.machine(VM, revert="InsufficientResourcesFault")
    assert "too few resources" in fault(call(center, state="reverted"))["summary"]
    center.machine(VM, revert="", power_on="InsufficientResourcesFault")
    off = fault(call(center, state="reverted"))
    assert "the machine went back, and could not be powered on" in off["summary"]
    center.machine(VM, power_on="ignored", question="Was it moved or copied?")
    asks = call(center, state="reverted")
    assert "is off" in fault(asks)["summary"] and "Was it moved or copied?" in fault(asks)["evidence"][-1]
    assert asks["vm"]["power"] == "poweredOff"
    center.machine(VM, power_on="", question="", refuse_rename=True)
    told = call(center, state="reverted")
    assert (
        told["ok"]
        and [one["state"] for one in told["snapshots"]] == ["reverted"]
        and "RenameSnapshot" in str(told["findings"])
        and told["findings"][0]["severity"] == "low"
    )
    assert center.state()["machines"][VM]["disk"] == "as before"


# -- who is asked, and whether it answers ------------------------------------------------------------------------------


def test_wrong_credentials_and_rights(center: Vcenter) -> None:
    one = fault(call(center, password="wr0ng"))
    assert "refused the user name or the password" in one["summary"] and "wr0ng" not in str(one)
    center.fault("CreateSnapshot_Task", "deny")
    denied = fault(call(center))
    assert "lacks the privilege VirtualMachine.State.Something" in denied["summary"]
    center.machine(VM, refuse_rename=True)
    unseen = fault(call(center), UNSUPPORTED)
    assert "VirtualMachine.State.RenameSnapshot" in unseen["summary"] and center.snapshots(VM) == []
    center.fault("Login", "deny")
    assert "may not do it" in fault(call(center))["summary"], "the password that it repeats is not shown"
    assert "refused" in call(center, state="absent", password="wr0ng")["msg"]


def test_what_may_not_be_read_is_not_taken_for_empty(center: Vcenter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vsphere_client, "_MACHINE", (*vsphere_client._MACHINE, "hidden"))
    assert "hidden cannot be read: it answered with InvalidProperty" in fault(call(center))["summary"]


def test_an_answer_in_pages(center: Vcenter, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator has no pages; so its answer is cut into some on its way."""
    read, pages = vsphere_client.Client.read, []

    def cut(client: Any, method: Any, *words: Any, **named: Any) -> Any:
        if len(words) == 1 and isinstance(words[0], str):
            assert words[0] == "token"
            return pages.pop(0)
        answer = read(client, method, *words, **named)
        if type(answer).__name__.endswith("RetrieveResult"):
            assert words[1].maxObjects == vsphere_client.PAGE
            result = type(answer)
            pages.extend([result(objects=answer.objects[1:2], token="token"), result(objects=answer.objects[2:])])
            return result(objects=answer.objects[:1], token="token")
        return answer

    monkeypatch.setattr(vsphere_client.Client, "read", cut)
    for number in range(3):
        told = call(center, check=True, vm=f"DC0_H0_VM{number}")
        assert told["ok"] and told["vm"]["name"] == f"DC0_H0_VM{number}" and pages == [], told


def test_certificates(center: Vcenter, tmp_path: Path) -> None:
    for more in ({"ca_file": None}, {"hostname": "localhost"}):
        assert "its certificate is not trusted" in fault(call(center, **more))["summary"]
    assert center.calls() == [], "nothing was said to it"
    assert "ca_file cannot be read" in fault(call(center, ca_file=str(tmp_path / "none")))["summary"]
    assert call(center, check=True, ca_file=None, verify=False)["ok"]
    with vcenter(*certificate(tmp_path, "old", days=-1)) as other:
        assert "expired" in fault(call(other))["summary"]


def test_a_server_that_is_away_or_none(center: Vcenter, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_words: Any, **_named: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    assert "nobody listens" in fault(call(center, port=1))["summary"]
    with monkeypatch.context() as patched:
        patched.setattr(socket, "getaddrinfo", unknown)
        assert "its name is not known" in fault(call(center, hostname="vcenter.invalid"))["summary"]
    for do in ("hang", "drip"):
        center.fault("RetrieveServiceContent", do)
        began = time.monotonic()
        assert "no answer within 1 s" in fault(call(center, answer_timeout=1))["summary"]
        assert time.monotonic() - began < 15
    center.fault("RetrieveServiceContent", "status")
    assert "503" in fault(call(center))["summary"]


def test_the_connection_is_lost_in_the_middle(center: Vcenter) -> None:
    center.fault("RetrieveProperties", "drop", 2)
    center.fault("CreateSnapshot_Task", "drop_after")
    told = call(center)
    assert told["ok"] and told["changed"] and len(center.snapshots(VM)) == 1, "it had begun, and was waited for"
    assert center.calls().count("CreateSnapshot_Task") == 1
    center.fault("RemoveSnapshot_Task", "drop_after")
    assert call(center, state="absent")["changed"] and center.snapshots(VM) == []
    center.fault("CreateSnapshot_Task", "drop")
    assert "the connection was lost, and there is none" in fault(call(center))["summary"]
    call(center)
    center.machine(VM, disk="broken")
    center.fault("RevertToSnapshot_Task", "drop")
    one = fault(call(center, state="reverted"))
    assert "nobody knows whether the machine went back" in one["summary"]
    assert call(center, state="reverted")["ok"] and center.state()["machines"][VM]["disk"] == "as before"


def test_a_session_that_ends_in_the_middle(center: Vcenter) -> None:
    center.fault("RetrieveProperties", "forget")
    assert call(center)["changed"]
    assert center.calls().count("Login") == 2


def test_what_an_earlier_run_began_is_waited_for(center: Vcenter, tmp_path: Path) -> None:
    """Killed while the task was at work: the session is ended, and the next run finds the snapshot."""
    center.machine(VM, create="held")
    code = "import json, sys; from ansible_collections.upkeep.maintenance.plugins.module_utils import _process as p;"
    code += f"from {vsphere.__name__} import snapshot\n"
    code += "try:\n    with p.cancellable():\n        snapshot(json.load(sys.stdin), False)\n"
    code += "except p.Cancelled:\n    print('cancelled')\n"
    words = [sys.executable, "-c", code]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps(given(center)))
        process.stdin.close()
        end = time.monotonic() + 30
        while "CreateSnapshot_Task" not in center.calls():
            assert time.monotonic() < end and process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None and process.stdout.read() == "cancelled\n"
    assert center.snapshots(VM) == [] and center.state()["sessions"] == 0
    release = threading.Timer(1.0, center.machine, [VM], {"create": ""})
    release.start()
    told = call(center)
    release.join()
    assert told["ok"] and not told["changed"] and len(center.snapshots(VM)) == 1
    assert center.calls().count("CreateSnapshot_Task") == 1


# -- as a module -------------------------------------------------------------------------------------------------------


def ansible(center: Vcenter, *more: str, env: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("ansible")), "-i", "localhost,", "-c", "local", "localhost"]
    command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", "upkeep.maintenance.vsphere_snapshot"]
    words = {"port": center.port, "ca_file": str(center.ca_file), "vm": NAME, **options}
    ran = subprocess.run(
        [*command, "-vvv", "-a", json.dumps(words), *more], capture_output=True, text=True, timeout=120,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", **(env or {})},
    )  # fmt: skip
    assert PASSWORD not in ran.stdout + ran.stderr and "s3cr3t" not in ran.stdout + ran.stderr
    return {"failed": "FAILED!" in ran.stdout, **json.loads(ran.stdout[ran.stdout.index("=> ") + 3 :])}


def test_by_ansible(center: Vcenter) -> None:
    said = {"hostname": "127.0.0.1", "username": USER, "password": PASSWORD}
    # AWX hands a credential of VMware in by the environment.
    by_environment = {"VMWARE_HOST": "127.0.0.1", "VMWARE_USER": USER, "VMWARE_PASSWORD": PASSWORD}
    assert ansible(center, "--check", "--diff", env=by_environment)["changed"] and center.snapshots(VM) == []
    assert ansible(center, **said)["changed"] and len(center.snapshots(VM)) == 1
    bad = ansible(center, **{**said, "timeout": 0, "uuid": "x"})
    assert bad["failed"] and "1 to 86400" in bad["msg"] and "one of them" in bad["msg"]
    wrong = ansible(center, **{**said, "vm": "nobody"})
    assert wrong["failed"] and wrong["findings"][0]["check"] == FAILED and "nobody" in wrong["msg"]


def test_without_pyvmomi(center: Vcenter, tmp_path: Path) -> None:
    (tmp_path / "pyVmomi.py").write_text("raise ImportError('there is none')\n")
    said = {"hostname": "127.0.0.1", "username": USER, "password": PASSWORD}
    told = ansible(center, env={"PYTHONPATH": str(tmp_path)}, **said)
    assert told["failed"] and "pyvmomi" in told["msg"] and "Failed to import" in told["msg"]
    assert vsphere_client.LIBRARY_ERROR == ""
