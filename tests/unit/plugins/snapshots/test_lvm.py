# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LVM by what it documents: there is no device-mapper here.

The table is what lvs of LVM 2.03.16 reported of metadata with a classic and a thin snapshot and one merging of each,
with what only a running kernel adds (numbers of devices, percentages, the states of lv_attr) after lvs(8).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _mounts
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import OUTPUT_LIMIT, Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots import lvm_parse
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.model import Mark
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.options import SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.sets import INVALID, REVERTED
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.snapshot import snapshot
from tests.unit.fake_host import NOW, FakeHost

OF_P1, OF_P2, OF_P3 = (
    "upkeep.snapshot.p-1.1763856000.2", "upkeep.snapshot.p-2.1763850000.1", "upkeep.snapshot.p-3.1763850000.1",
)  # fmt: skip
ROWS = [
    ["vg0", "[lvol0_pmspare]", "ewi-------", "4194304", "", "", "", "", "", "", "-1", "-1", "66", "4194304"],
    ["vg0", "pool", "twi-aotz--", "67108864", "", "", "", "62.50", "10.94", "", "253", "0", "66", "4194304"],
    ["vg0", "[pool_tdata]", "Twi-ao----", "67108864", "", "", "", "", "", "", "253", "8", "66", "4194304"],
    ["vg0", "[pool_tmeta]", "ewi-ao----", "4194304", "", "", "", "", "", "", "253", "9", "66", "4194304"],
    ["vg0", "root", "owi-aos---", "104857600", "", "", "installed,os", "", "", "", "253", "1", "66", "4194304"],
    ["vg0", "thin", "Vwi-aotz--", "33554432", "", "pool", "", "41.00", "", "", "253", "2", "66", "4194304"],
    ["vg0", "thin2", "Owi-aotz--", "33554432", "", "pool", "", "", "", "", "253", "3", "66", "4194304"],
    ["vg0", "upkeep-p-1-1763856000-root", "swi-aos---", "20971520", "root", "", OF_P1, "12.34", "", "", "253", "4",
     "66", "4194304"],
    ["vg0", "upkeep-p-1-1763856000-thin", "Vwi---tz-k", "33554432", "thin", "pool", OF_P1, "", "", "", "-1", "-1", "66",
     "4194304"],
    ["vg0", "[upkeep-p-2-1763850000-var]", "Swi-aos---", "12582912", "var", "", OF_P2, "3.00", "", "merging", "253",
     "7", "66", "4194304"],
    ["vg0", "[upkeep-p-3-1763850000-thin2]", "Swi---tz-k", "33554432", "thin2", "pool", OF_P3, "", "", "merging", "-1",
     "-1", "66", "4194304"],
    ["vg0", "var", "Owi-aos---", "41943040", "", "", "", "", "", "merging", "253", "6", "66", "4194304"],
]  # fmt: skip
MOUNTINFO = """\
1 0 253:1 / / rw,relatime - ext4 /dev/mapper/vg0-root rw
2 1 253:2 / /srv rw,relatime - xfs /dev/mapper/vg0-thin rw
3 1 253:6 / /var rw,relatime - xfs /dev/mapper/vg0-var rw
4 1 253:3 / /opt rw,relatime - xfs /dev/mapper/vg0-thin2 rw
5 1 8:1 / /boot rw,relatime - ext4 /dev/vda1 rw
"""
MOUNTS = _mounts.parse_mountinfo(MOUNTINFO.encode())


def report(rows: list[list[str]]) -> str:
    return json.dumps({"report": [{"lv": [dict(zip(lvm_parse.FIELDS, row, strict=True)) for row in rows]}]})


def lvs(*changed: tuple[str, str, str]) -> list[lvm_parse.Lv]:
    """The table with (name, field, value) changed."""
    rows = [list(row) for row in ROWS]
    for name, field, value in changed:
        next(row for row in rows if row[1] == name)[lvm_parse.FIELDS.index(field)] = value
    return lvm_parse.lvs_of(report(rows))


def states(made: list[lvm_parse.Lv], *merging: str) -> dict[str, tuple[str, str]]:
    return {one.where: (one.volume, one.state) for one in lvm_parse.members_of(made, MOUNTS, merging)}


def test_what_is_ours() -> None:
    assert states(lvs()) == {
        "vg0/upkeep-p-1-1763856000-root": ("/", "taken"),
        "vg0/upkeep-p-1-1763856000-thin": ("/srv", "taken"),
        "vg0/upkeep-p-2-1763850000-var": ("/var", "reverting"),
        "vg0/upkeep-p-3-1763850000-thin2": ("/opt", "reverting"),
    }
    # While the kernel merges, what is read is the snapshot already.
    assert states(lvs(), "vg0/var")["vg0/upkeep-p-2-1763850000-var"] == ("/var", "reverted")


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("lv_attr", "swi-Ios---", "it overflowed: more was changed than it has room for (20 MiB)"),
        ("lv_attr", "swi-Sos---", "it overflowed: more was changed than it has room for (20 MiB)"),
        ("data_percent", "100.00", "it overflowed: more was changed than it has room for (20 MiB)"),
        ("lv_attr", "Swi-mos---", "merging it failed"),
    ],
)
def test_a_snapshot_that_overflowed_is_worth_nothing(field: str, value: str, why: str) -> None:
    found = lvm_parse.members_of(lvs(("upkeep-p-1-1763856000-root", field, value)), MOUNTS)
    assert [one.why for one in found if one.state == INVALID] == [why]


def test_a_thin_snapshot_does_not_overflow() -> None:
    made = lvs(("upkeep-p-1-1763856000-thin", "data_percent", "100.00"))
    assert states(made)["vg0/upkeep-p-1-1763856000-thin"] == ("/srv", "taken")


def test_merging_a_thin_snapshot_leaves_its_tag_on_the_volume() -> None:
    """And that is never taken for a snapshot: removing it would remove the volume."""
    rows = [row for row in ROWS if row[1] not in ("[upkeep-p-3-1763850000-thin2]", "thin2")]
    rows.append(["vg0", "thin2", "Vwi-aotz--", "33554432", "", "pool", OF_P3, "", "", "", "253", "3", "66", "4194304"])
    found = {one.where: one for one in lvm_parse.members_of(lvm_parse.lvs_of(report(rows)), MOUNTS)}
    assert found["vg0/thin2"].state == REVERTED


def test_room() -> None:
    made = {lv.name: lv for lv in lvs()}
    root, thin, var = ("/", made["root"]), ("/srv", made["thin"]), ("/var", made["var"])
    # 25 extents of root, 10 of var; 66 are free.
    assert lvm_parse.needed(made["root"], 20) == 5 and lvm_parse.needed(made["root"], 21) == 6
    assert lvm_parse.lacks_room([root, var], made.values(), 100, 10) == []
    tight = lvs(("root", "vg_free_count", "34"), ("var", "vg_free_count", "34"))
    by_name = {lv.name: lv for lv in tight}
    assert lvm_parse.lacks_room([("/", by_name["root"]), ("/var", by_name["var"])], tight, 100, 10) == [
        "the volume group vg0 has 34 free extents, and 100 % of /, /var are 35"
    ]
    assert lvm_parse.lacks_room([thin], made.values(), 20, 37) == []
    assert lvm_parse.lacks_room([thin], made.values(), 20, 38) == [
        "the thin pool vg0/pool has 37.5 % of its data free, and room_percent asks for 38 %"
    ]
    full = lvs(("pool", "metadata_percent", "95.00"))
    assert "5.0 % of its metadata free" in lvm_parse.lacks_room([thin], full, 20, 10)[0]
    silent = lvs(("pool", "data_percent", ""))
    assert "does not say how much of its data" in lvm_parse.lacks_room([thin], silent, 20, 10)[0]


def test_commands() -> None:
    made = {lv.name: lv for lv in lvs()}
    mark = Mark("my_plan", 1790000000, 2)
    assert lvm_parse.take_command(mark, made["root"], 20) == [
        "lvcreate", "--yes", "--snapshot", "--extents", "5", "--addtag", "upkeep.snapshot.my_plan.1790000000.2",
        "--name", "upkeep-my-plan-1790000000-root", "vg0/root",
    ]  # fmt: skip
    assert lvm_parse.take_command(mark, made["thin"], 20)[3:5] == ["--setactivationskip", "y"]
    # Reserved, as LVM itself said of such names: "Names including "_tdata" are reserved."
    assert "_" not in lvm_parse.snapshot_name(mark, made["pool_tdata"])
    assert len(lvm_parse.snapshot_name(mark, made["root"]._replace(name="x" * 120))) <= 127


def test_a_report_that_is_none_is_told() -> None:
    for text in ("", "{}", '{"report": [{"lv": [{}]}]}', '{"report": [{"lv": [{"vg_name": 1}]}]}', "[]"):
        with pytest.raises(ValueError):
            lvm_parse.lvs_of(text)


def test_merging_now() -> None:
    assert lvm_parse.merges_now("0 204800 snapshot-merge 253:2 253:3 P 8\n")
    assert not lvm_parse.merges_now("0 204800 snapshot-origin 253:2\n") and not lvm_parse.merges_now("")


class FakeLvm(FakeHost):
    """Logical volumes that change as LVM's manual pages say; ``fails``: a program's word -> what it says."""

    def __init__(self, rows: list[list[str]], **more: Any) -> None:
        files = {"/proc/self/mountinfo": MOUNTINFO, "/sys/block/dm-1/dm/uuid": "LVM-abc"}
        super().__init__(files, programs=["lvs"], now=NOW)
        self.rows = {row[0] + "/" + row[1].strip("[]"): list(row) for row in rows}
        self.fails: dict[str, str] = dict(more)

    def walk(self, folder: str, limit: int) -> Any:
        return []  # no kernel of the machine that runs the tests

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        self.ran.append(argv)
        for word, said in self.fails.items():
            if word in argv[0] or word in argv[-1]:
                return Ran(5, "", f"  WARNING: something\n  {said}\n")
        path, tag, origin = argv[-1], lvm_parse.FIELDS.index("lv_tags"), lvm_parse.FIELDS.index("origin")
        if argv[0] == "lvs":
            return Ran(0, report(list(self.rows.values())), "")
        if argv[0] == "lvcreate":
            made = list(self.rows[path])
            made[1], made[tag] = argv[argv.index("--name") + 1], argv[argv.index("--addtag") + 1]
            made[2], made[origin] = ("V" if made[5] else "s") + "wi-a-s---", path.split("/")[1]
            self.rows["vg0/" + made[1]] = made
        elif argv[0] == "lvremove":
            assert self.rows[path][origin], "lvremove of a volume that is no snapshot"
            del self.rows[path]
        elif argv[0] == "lvchange":
            tags = set(filter(None, self.rows[path][tag].split(",")))
            tags ^= {argv[2]}
            self.rows[path][tag] = ",".join(sorted(tags))
        elif argv[0] == "lvconvert":
            self.rows[path][lvm_parse.FIELDS.index("lv_merging")] = "merging"
            return Ran(0, f"  Merging of snapshot {path} will occur on next activation of vg0/root.\n", "")
        elif argv[0] != "dmsetup":
            return Ran(127, "", "not found")
        return Ran(0, "", "")

    def reboot(self) -> None:
        """What was to be merged is."""
        merging = lvm_parse.FIELDS.index("lv_merging")
        self.rows = {path: row for path, row in self.rows.items() if not (row[merging] and row[4])}

    def names(self) -> list[str]:
        return [path for path in self.rows if "/upkeep-" in path]


def call(host: FakeHost, lock: Path, state: str = "present", **more: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    given = {**defaults, "name": "p-9", "volumes": ["/", "/srv"], "check_mode": False, "state": state, **more}
    return snapshot(host, given, str(lock / "lock"))


CLEAN = [row for row in ROWS if "upkeep-" not in row[1] and row[1] not in ("var", "thin2")]


def test_taken_reverted_with_a_reboot_and_gone(tmp_path: Path) -> None:
    host = FakeLvm(CLEAN)
    told = call(host, tmp_path, check_mode=True)
    assert told["ok"] and told["changed"] and not host.names()
    told = call(host, tmp_path)
    assert told["ok"] and told["changed"] and not told["findings"], told
    assert {one["volume"]: one["state"] for one in told["snapshots"]} == {"/": "taken", "/srv": "taken"}
    assert [one["path"] for one in told["not_included"]] == ["/boot", "/opt", "/var"]
    assert not call(host, tmp_path)["changed"]
    told = call(host, tmp_path, "reverted")
    assert told["ok"] and told["changed"] and told["reboot"]["needed"] and len(told["reboot"]["why"]) == 2, told
    assert "cannot be taken back" in told["undo"][0]
    again = call(host, tmp_path, "reverted")
    assert again["ok"] and not again["changed"] and again["reboot"]["needed"]
    refused = call(host, tmp_path, "absent")
    assert not refused["ok"] and "a reboot is due" in refused["msg"]
    host.reboot()
    assert not host.names()
    told = call(host, tmp_path, "reverted")
    assert told["ok"] and not told["changed"] and not told["reboot"]["needed"], told
    assert {one["state"] for one in told["snapshots"]} == {"reverted"}
    told = call(host, tmp_path, "absent")
    assert told["ok"] and told["changed"] and not told["findings"], told
    assert host.rows["vg0/root"] == CLEAN[4] and not call(host, tmp_path, "absent")["changed"]


def test_half_of_a_set_is_removed_again(tmp_path: Path) -> None:
    host = FakeLvm(CLEAN, **{"vg0/thin": "Insufficient free space in thin pool"})
    told = call(host, tmp_path)
    assert not told["ok"] and "Insufficient free space in thin pool" in told["msg"] and not host.names()
    assert [(one["check"], one["severity"]) for one in told["findings"]] == [("patch.snapshot.failed", "high")]


def test_no_room_is_found_before(tmp_path: Path) -> None:
    host = FakeLvm([[*row[:12], "4", row[13]] for row in CLEAN])
    told = call(host, tmp_path, volumes=["/"])
    assert not told["ok"] and "4 free extents" in told["msg"] and not host.names()
    assert call(host, tmp_path, volumes=["/"], size_percent=16)["ok"]


def test_one_that_overflowed_is_told_and_removed(tmp_path: Path) -> None:
    host = FakeLvm(CLEAN)
    assert call(host, tmp_path, volumes=["/"])["ok"]
    host.rows[host.names()[0]][2] = "swi-I-s---"
    for state in ("present", "reverted"):
        told = call(host, tmp_path, state, volumes=["/"])
        assert not told["ok"] and "overflowed" in told["msg"], told
    told = call(host, tmp_path, "absent")
    assert told["ok"] and [(f["check"], f["severity"]) for f in told["findings"]] == [("patch.snapshot.failed", "low")]
    assert not host.names()


def test_others_are_never_touched(tmp_path: Path) -> None:
    others = [
        [
            "vg0",
            "upkeep-p-9-old",
            "swi-a-s---",
            "4194304",
            "root",
            "",
            "",
            "1.00",
            "",
            "",
            "253",
            "20",
            "66",
            "4194304",
        ],
        ["vg0", "nightly", "swi-a-s---", "4194304", "root", "", "upkeep", "1.00", "", "", "253", "21", "66", "4194304"],
    ]
    host = FakeLvm([*CLEAN, *others])
    host.time += 1e9
    assert call(host, tmp_path)["ok"] and call(host, tmp_path, "absent")["ok"]
    assert [row for row in host.rows.values() if row in others] == others


def test_lvs_that_fails_is_told(tmp_path: Path) -> None:
    told = call(FakeLvm(CLEAN, lvs="Failed to find volume group"), tmp_path)
    assert not told["ok"] and "Failed to find volume group" in told["msg"] and not told["coverage"]
