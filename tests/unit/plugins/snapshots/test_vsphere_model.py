# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.model import FAILED, UNSUPPORTED, Mark
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.vsphere_model import (
    Machine,
    Refused,
    Snapshot,
    Store,
    asks_to_quiesce,
    description_of,
    fault_words,
    is_about_quiescing,
    lacks_quiescence,
    last_name,
    plain_name,
    refused,
    reverted_description,
    shown,
    size,
    steps_to_absent,
    steps_to_present,
    steps_to_reverted,
    store_of,
    told,
    unreachable,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.vsphere_options import SPEC, errors_of

NOW = 1_790_000_000
HOUR = 3600
GIB = 1 << 30


def one(ref: str, name: str = "", hours: float = 0, *, reverted: bool = False, **more: Any) -> Snapshot:
    """One of ours by that name; anybody's without."""
    text = ""
    if name:
        text = description_of(Mark(name, int(NOW - hours * HOUR)), "poweredOn", "why", NOW if reverted else 0)
    return Snapshot(ref, name or "theirs", text, NOW - hours * HOUR, more.pop("quiesced", True), 1, **more)


def machine(*snapshots: Snapshot, **more: Any) -> Machine:
    store = Store("ds1", True, 100 * GIB, 50 * GIB)
    known: dict[str, Any] = {
        "ref": "vm-1", "name": "web1", "path": "/DC/vm/web1", "uuid": "u", "power": "poweredOn",
        "connection": "connected", "now": float(NOW), "tools": "guestToolsRunning", "memory_mib": 4096,
        "stores": (store,),
    }  # fmt: skip
    return Machine(**{**known, "snapshots": snapshots, **more})


def options(**more: Any) -> dict[str, Any]:
    given = {name: spec.get("default") for name, spec in SPEC.items()}
    given.update(hostname="vc.example.com", username="u", password="p", vm="web1")
    return {**given, **more}


def refs(snapshots: Any) -> list[str]:
    return [snapshot.ref for snapshot in snapshots]


# -- the description ---------------------------------------------------------------------------------------------------


def test_a_description_is_read_as_it_was_written() -> None:
    mark = Mark("p-0123", NOW)
    taken = Snapshot("s", "p-0123", description_of(mark, "poweredOff", "change 4711"), NOW, True, 1)
    assert (taken.mark, taken.power, taken.comment, taken.reverted) == (mark, "poweredOff", "change 4711", 0)
    back = taken._replace(description=reverted_description(taken, mark, NOW + 9.7))
    assert (back.mark, back.power, back.comment, back.reverted) == (mark, "poweredOff", "change 4711", NOW + 9)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "upkeep",
        "by hand, power=poweredOn reverted=1790000000",
        "xupkeep.snapshot.a.1790000000.1",
        "upkeep.snapshot.a.b.1",
    ],
)
def test_what_has_no_mark_is_not_ours(text: str) -> None:
    theirs = Snapshot("s", "upkeep", text, NOW, False, 1)
    assert theirs.mark is None and theirs.power == "" and theirs.reverted == 0 and machine(theirs).ours == []


def test_what_a_comment_says_is_not_taken_for_what_stands_beside_the_mark() -> None:
    text = description_of(Mark("a", NOW), "poweredOn", "power=poweredOff reverted=1790000000")
    taken = Snapshot("s", "a", text, NOW, True, 1)
    assert taken.power == "poweredOn" and taken.reverted == 0
    # vCenter, or a person who edits it, may change the ends of the lines.
    assert taken._replace(description=text.replace("\n", "\r\n")).power == "poweredOn"


# -- what is to be done ------------------------------------------------------------------------------------------------


def test_present() -> None:
    def did(*snapshots: Snapshot, limit: int = 72) -> tuple[list[str], bool, str]:
        steps = steps_to_present(machine(*snapshots), "a", limit)
        return refs(steps.remove), steps.make, steps.keep.ref if steps.keep else ""

    assert did() == ([], True, "")
    assert did(one("1", "a", 71)) == ([], False, "1")
    assert did(one("1", "a", 73)) == (["1"], True, "")
    assert did(one("1", "a", 7300), limit=0) == ([], False, "1")
    assert did(one("1", "a", 1, reverted=True)) == (["1"], True, "")
    assert did(one("1", "b", 1), one("2")) == ([], True, ""), "neither another name's nor anybody else's"
    assert did(one("1", "b", 73), one("2", hours=9000), one("3", "a", 5), one("4", "a", 3)) == (["1"], False, "4")
    assert did(one("1", "a", -100)) == ([], False, "1"), "from the future: told, and not removed"


def test_absent() -> None:
    def did(*snapshots: Snapshot, limit: int = 72) -> list[str]:
        return refs(steps_to_absent(machine(*snapshots), "a", limit).remove)

    assert did() == [] and not steps_to_absent(machine(one("1")), "a", 72).changes
    assert did(one("1", "a"), one("2", "b", 73), one("3", "b", 1), one("4", hours=9000)) == ["1", "2"]
    assert did(one("1", "a"), one("2", "b", 73), one("3", "a", 9000), limit=0) == ["1", "3"]


def test_reverted() -> None:
    def did(*snapshots: Snapshot, limit: int = 72) -> Any:
        return steps_to_reverted(machine(*snapshots), "a", limit)

    none = did(one("1", "b"), one("2"))
    assert isinstance(none, Refused) and "(of ours: b; of others: 1)" in none.what
    old = did(one("1", "a", 100))
    assert isinstance(old, Refused) and "4 days old" in old.what
    assert did(one("1", "a", 100), limit=0).revert.ref == "1"
    assert did(one("1", "a", 3), one("2", "a", 2)).revert.ref == "2", "the newest counts, as for present"
    done = did(one("1", "a", reverted=True))
    assert not done.changes and done.keep.ref == "1"


# -- what forbids it ---------------------------------------------------------------------------------------------------


def why(known: Machine, **more: Any) -> list[tuple[str, str]]:
    return [(reason.check, reason.what) for reason in refused(known, options(**more))]


def test_refused() -> None:
    assert why(machine()) == []
    assert why(machine(template=True)) == [(UNSUPPORTED, "it is a template")]
    [(check, what)] = why(machine(left_out=("Hard disk 2 (independent_persistent)",)))
    assert check == UNSUPPORTED and "Hard disk 2 (independent_persistent)" in what
    assert why(machine(left_out=("Hard disk 2",)), partial=True) == []
    assert why(machine(tools="guestToolsNotRunning"), quiesce="required")[0][0] == UNSUPPORTED
    assert why(machine(tools="guestToolsNotRunning"), quiesce="wanted") == []
    assert why(machine(tools="", power="poweredOff"), quiesce="required") == []
    assert [reason.check for reason in unreachable(machine(connection="orphaned"))] == [FAILED]
    assert "not connected" in unreachable(machine(connection=""))[0].what
    both = why(machine(template=True, tools=""), quiesce="required")
    assert len(both) == 2, "all reasons are told"


def test_room() -> None:
    def room(free: int, capacity: int = 100, accessible: bool = True, **more: Any) -> list[str]:
        store = Store("ds1", accessible, capacity * GIB, free * GIB)
        known = machine(stores=(Store("ds0", True, GIB, GIB), store), home="ds1")
        return [what for _check, what in why(known, **more)]

    assert room(10) == [] and room(0, room_percent=0) == []
    assert room(9) == ["the datastore ds1 has 9.0 GiB free, and 10.0 GiB are needed (room_percent: 10)"]
    assert room(13, memory=True) == [
        "the datastore ds1 has 13.0 GiB free, and 14.0 GiB are needed (room_percent: 10, and the memory)"
    ]
    assert room(14, memory=True) == []
    assert len(why(machine(memory_mib=90 << 10), memory=True)) == 1, "which datastore it goes to is not known"
    assert why(machine(memory_mib=90 << 10, power="poweredOff"), memory=True) == []
    assert "not accessible" in room(50, accessible=False)[0] and "not accessible" in room(0, capacity=0)[0]
    assert "no datastore" in why(machine(stores=()))[0][1], "what nobody can see is not free"


def test_quiescing() -> None:
    def asks(known: Machine, **more: Any) -> bool:
        return asks_to_quiesce(known, options(**more))

    assert asks(machine()) and asks(machine(), quiesce="required")
    assert not asks(machine(), quiesce="never") and not asks(machine(), memory=True)
    assert not asks(machine(power="poweredOff")) and not asks(machine(tools="guestToolsNotRunning"))
    quiet, loud = one("1", "a"), one("1", "a", quiesced=False)
    assert not lacks_quiescence(machine(), quiet, options())
    assert lacks_quiescence(machine(), loud, options())
    assert not lacks_quiescence(machine(), loud, options(quiesce="never"))
    assert not lacks_quiescence(machine(), loud, options(memory=True))
    off = loud._replace(description=description_of(Mark("a", NOW), "poweredOff", ""))
    assert not lacks_quiescence(machine(), off, options())


# -- what vCenter says -------------------------------------------------------------------------------------------------


def test_faults_in_words() -> None:
    assert (
        "VirtualMachine.State.CreateSnapshot"
        in fault_words("NoPermission", "", "VirtualMachine.State.CreateSnapshot")[0]
    )
    assert fault_words("InvalidLogin", "no")[0] == "it refused the user name or the password (InvalidLogin: no)"
    assert fault_words("NobodyKnows", "")[0] == "it answered with NobodyKnows"
    assert is_about_quiescing("FilesystemQuiesceFault", "") and is_about_quiescing(
        "GenericVmConfigFault", "Failed to Quiesce"
    )
    assert not is_about_quiescing("NoDiskSpace", "full")


def test_names() -> None:
    assert plain_name("a%2fb%5Cc%25d") == "a/b\\c%d" and plain_name("%252f") == "%2f"
    assert store_of("[a b%25] web1/web1.vmx") == "a b%" and store_of("") == "" and store_of("[a") == ""
    assert last_name("/DC/vm/f/web1") == "web1" and last_name("a/b") == "a/b"


def test_what_is_told() -> None:
    known = machine(one("1", "a", state="poweredOn"), current="1")
    row = told(known, known.snapshots[0])
    assert row["memory"] and row["current"] and row["state"] == "taken" and row["comment"] == "why"
    assert shown([row]) == "snapshot a of web1, taken at 1790000000, quiesced\n" and shown([]) == ""
    assert size(0) == "0 B" and size(1536) == "1.5 KiB" and size(5 << 40) == "5.0 TiB"
    chain = machine(one("1")._replace(depth=1), one("2")._replace(depth=2), one("3")._replace(depth=2), current="3")
    assert chain.chain == 2 and machine().chain == 0


# -- options -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"name": "a b"}, "name is 1 to 48"),
        ({"hostname": "https://vc"}, "without scheme"),
        ({"hostname": "vc:443"}, "without scheme"),
        ({"hostname": "u@vc"}, "without scheme"),
        ({"username": "a\nb"}, "line feed"),
        ({"vm": " "}, "vm is empty"),
        ({"vm": None}, "one of them"),
        ({"uuid": "420f6d2a-0000-4000-8000-000000000001"}, "one of them"),
        ({"vm": None, "uuid": "420f"}, "32 hexadecimal"),
        ({"comment": "x" * 201}, "at most 200"),
        ({"comment": "a upkeep.snapshot.b.1790000000.1"}, "no mark"),
        ({"memory": True, "quiesce": "required"}, "never quiesced"),
        ({"port": 0}, "1 to 65535"),
        ({"timeout": 0}, "1 to 86400"),
        ({"answer_timeout": 601}, "1 to 600"),
        ({"room_percent": 91}, "0 to 90"),
    ],
)
def test_options_that_make_no_sense(more: Any, says: str) -> None:
    assert says in "; ".join(errors_of(options(**more)))


def test_options_that_do() -> None:
    assert errors_of(options()) == [] and errors_of(options(hostname="fd00::1")) == []
    assert errors_of(options(vm=None, uuid="420F6D2A-0000-4000-8000-000000000001")) == []
