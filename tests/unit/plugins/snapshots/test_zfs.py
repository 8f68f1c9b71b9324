# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ZFS by what OpenZFS' manual pages document: there is no ZFS here."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._host import OUTPUT_LIMIT, Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots import zfs_parse
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.options import SPEC
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.snapshot import AT_WORK, snapshot
from tests.unit.fake_host import NOW, FakeHost

ROOT, VAR = "rpool/ROOT/debian", "rpool/ROOT/debian/var"
MOUNTINFO = f"""\
1 0 0:30 / / rw,relatime - zfs {ROOT} rw,xattr,posixacl
2 1 0:31 / /var rw,relatime - zfs {VAR} rw,xattr,posixacl
3 1 0:32 / /srv rw,relatime - zfs tank/srv rw,xattr
4 1 0:33 / /home rw,relatime - zfs rpool/home rw,xattr
"""
BOOT = "/proc/sys/kernel/random/boot_id"


class FakeZfs(FakeHost):
    """Datasets that change as the manual pages say; ``says``: a command's first two words -> why it fails."""

    def __init__(self, **says: str) -> None:
        super().__init__({"/proc/self/mountinfo": MOUNTINFO, BOOT: "boot-1\n"}, programs=["zfs", "zpool"], now=NOW)
        self.snapshots: dict[str, dict[str, str]] = {}
        self.says = says
        self.kernels: list[tuple[str, float]] = []
        self.pools = "rpool\t1000\t500\tONLINE\ntank\t1000\t120\tDEGRADED\n"

    def walk(self, folder: str, limit: int) -> Any:
        assert folder == "/boot"
        return [("/boot/" + name, SimpleNamespace(st_ctime=changed), "/boot") for name, changed in self.kernels]

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        self.ran.append(argv)
        if argv[1] in self.says:
            return Ran(1, "", self.says[argv[1]] + "\n")
        if argv[:2] == ["zfs", "get"]:
            assert argv == zfs_parse.GET
            rows = [(name, key, value) for name, given in self.snapshots.items() for key, value in given.items()]
            return Ran(0, "".join("\t".join(row) + "\n" for row in rows), "")
        if argv[:2] == ["zpool", "list"]:
            return Ran(0, self.pools, "")
        if argv[:2] == ["zfs", "snapshot"]:
            key, _equals, value = argv[3].partition("=")
            assert len({name.split("/")[0].split("@")[0] for name in argv[4:]}) == 1, "of one pool only"
            self.snapshots.update({name: {key: value} for name in argv[4:]})
        elif argv[:2] == ["zfs", "list"]:
            return Ran(0, "".join(n + "\n" for n in self.snapshots if n.split("@")[0] == argv[-1]), "")
        elif argv[:2] == ["zfs", "set"]:
            key, _equals, value = argv[2].partition("=")
            self.snapshots[argv[3]][key] = value
        elif argv[:2] == ["zfs", "destroy"]:
            del self.snapshots[argv[2]]
        elif argv[:2] == ["zfs", "rollback"]:
            mine = [name for name in self.snapshots if name.split("@")[0] == argv[2].split("@")[0]]
            assert mine[-1] == argv[2], "zfs refuses all but the newest"
        else:
            return Ran(2, "", "unrecognized command")
        return Ran(0, "", "")


def call(host: FakeZfs, lock: Path, state: str = "present", **more: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    given = {**defaults, "name": "p-9", "volumes": ["/", "/var"], "check_mode": False, "state": state, **more}
    return snapshot(host, given, str(lock / "lock"))


def states(told: dict[str, Any]) -> dict[str, str]:
    return {one["volume"]: one["state"] for one in told["snapshots"]}


def test_taken_reverted_and_gone(tmp_path: Path) -> None:
    host = FakeZfs()
    host.snapshots["rpool/home@nightly"] = {"com.example:by": "cron"}
    assert call(host, tmp_path, check_mode=True)["changed"] and len(host.snapshots) == 1
    told = call(host, tmp_path)
    assert told["ok"] and told["changed"] and states(told) == {"/": "taken", "/var": "taken"}, told
    created = int(NOW)
    # One command, so that both are of one moment.
    assert [argv for argv in host.ran if argv[1] == "snapshot"] == [
        ["zfs", "snapshot", "-o", f"upkeep:snapshot=upkeep.snapshot.p-9.{created}.2", f"{ROOT}@upkeep-p-9-{created}",
         f"{VAR}@upkeep-p-9-{created}"]
    ]  # fmt: skip
    assert [one["path"] for one in told["not_included"]] == ["/home", "/srv"]
    assert not call(host, tmp_path)["changed"]
    told = call(host, tmp_path, "reverted")
    assert told["ok"] and told["changed"] and told["reboot"]["needed"] and "cannot" in told["undo"][0], told
    assert not call(host, tmp_path, "reverted")["changed"]
    host.files[BOOT] = "boot-2\n"
    told = call(host, tmp_path, "reverted")
    assert told["ok"] and not told["changed"] and not told["reboot"]["needed"]
    assert states(told) == {"/": "reverted", "/var": "reverted"}
    assert call(host, tmp_path, "absent")["changed"] and list(host.snapshots) == ["rpool/home@nightly"]
    assert not any("-r" in argv or "-R" in argv or "-f" in argv for argv in host.ran)


def test_pools_are_taken_one_by_one_and_volumes_of_data_need_no_reboot(tmp_path: Path) -> None:
    host = FakeZfs()
    assert states(call(host, tmp_path, volumes=["/", "/srv"])) == {"/": "taken", "/srv": "taken"}
    told = call(host, tmp_path, "reverted")
    assert states(told) == {"/": "reverting", "/srv": "reverted"} and len(told["reboot"]["why"]) == 1


def test_what_came_later_is_not_destroyed(tmp_path: Path) -> None:
    host = FakeZfs()
    call(host, tmp_path)
    host.snapshots[f"{VAR}@nightly"] = {}
    told = call(host, tmp_path, "reverted")
    assert not told["ok"] and f"{VAR}@nightly" in told["msg"]
    assert not [argv for argv in host.ran if argv[1] == "rollback"], "none of the set was rolled back"
    assert [(f["check"], f["severity"]) for f in told["findings"]] == [("patch.snapshot.failed", "critical")]


def test_what_would_be_worse_than_before_is_refused_before_anything_is_put_back(tmp_path: Path) -> None:
    host = FakeZfs()
    call(host, tmp_path)
    host.files["/proc/self/mountinfo"] = MOUNTINFO + "5 1 8:1 / /boot rw - ext4 /dev/sda1 rw\n"
    for begun in (False, True):
        host.kernels = [("vmlinuz-9.9.9-later", NOW + 60), ("vmlinuz-6.1.0", NOW - 60)]
        host.locks = {}
        told = call(host, tmp_path, "reverted", check_mode=not begun)
        assert not told["ok"] and "9.9.9-later" in told["msg"] and "6.1.0" not in told["msg"] and not told["changed"]
        assert (
            "Nothing was put back." in told["findings"][0]["evidence"] and told["findings"][0]["severity"] == "critical"
        )
        host.kernels, host.locks = [], {AT_WORK[0]: 4711}
        told = call(host, tmp_path, "reverted", check_mode=not begun)
        assert not told["ok"] and "4711" in told["msg"] and not told["changed"]
    assert host.time >= NOW + SPEC["timeout"]["default"], "it is waited for"
    assert not [argv for argv in host.ran if argv[1] == "rollback"]
    host.locks = {}
    assert call(host, tmp_path, "reverted")["changed"]
    # What is begun is finished, and told with what forbids its reboot.
    host.kernels = [("vmlinuz-9.9.9-later", NOW + 3600)]
    assert "9.9.9-later" in call(host, tmp_path, "reverted")["reboot"]["blocked"]


def test_check_mode_refuses_as_the_run_does(tmp_path: Path) -> None:
    host = FakeZfs()
    call(host, tmp_path)
    host.snapshots[f"{VAR}@nightly"] = {}
    assert call(host, tmp_path, "reverted", check_mode=True)["msg"] == call(host, tmp_path, "reverted")["msg"] != ""


def test_room_and_health(tmp_path: Path) -> None:
    host = FakeZfs()
    told = call(host, tmp_path, volumes=["/srv"], room_percent=13)
    assert not told["ok"] and "the pool tank has 12.0 % free, and room_percent asks for 13 %" in told["msg"]
    host.pools = host.pools.replace("ONLINE", "SUSPENDED")
    assert "the pool rpool is SUSPENDED" in call(host, tmp_path)["msg"]
    host.pools = ""
    assert "does not name the pool rpool" in call(host, tmp_path)["msg"]
    assert not host.snapshots


def test_one_that_is_held_is_told(tmp_path: Path) -> None:
    host = FakeZfs()
    call(host, tmp_path, name="old")
    host.time += 80 * 3600
    host.says["destroy"] = f"cannot destroy snapshot {ROOT}@upkeep-old: dataset is busy"
    told = call(host, tmp_path)
    assert told["ok"] and len(told["left"]) == 2 and "dataset is busy" in told["left"][0]["why"]
    assert sorted((f["check"], f["subject"], f["severity"]) for f in told["findings"]) == [
        ("patch.snapshot.left", "old on /", "medium"), ("patch.snapshot.left", "old on /var", "medium"),
    ]  # fmt: skip
    gone = call(host, tmp_path, "absent")
    assert not gone["ok"] and "dataset is busy" in gone["msg"]


def test_a_mark_that_is_inherited_is_not_asked_for() -> None:
    assert zfs_parse.GET[zfs_parse.GET.index("-s") + 1] == "local"


@pytest.mark.parametrize("text", ["one\ttwo\n", "no tabs\n"])
def test_what_cannot_be_read_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="printed"):
        zfs_parse.members_of(text, [], "")
    with pytest.raises(ValueError, match="printed"):
        zfs_parse.pools_of(text)


def test_newer() -> None:
    assert zfs_parse.newer("a@1\na@2\na#3\n", "a@2") == ["a#3"] and zfs_parse.newer("a@1\n", "a@1") == []
    assert zfs_parse.newer("a@1\n", "a@gone") == ["a@gone"]
