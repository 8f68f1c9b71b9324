# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of real btrfs volumes: taken, reverted to and removed, and mended after every kind of interruption.

The disks are loop devices that nobody but the host's mounts holds: when the fleet goes, by whatever hand, they go. Most
calls run the collection's code from a zip inside the host; the first test goes through Ansible.
"""

from __future__ import annotations

import base64
import io
import json
import os
import shlex
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
ARCHIVE = "/opt/upkeep-code.zip"
TOP = "/mnt/top"
OURS = f"{TOP}/.upkeep-snapshots"
DEMO, DPKG = "/usr/share/upkeep-demo", "/var/lib/dpkg"
DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.options import SPEC, errors_of
from ansible_collections.upkeep.maintenance.plugins.module_utils._snapshots.snapshot import snapshot
options = {**{name: one.get("default") for name, one in SPEC.items()}, "check_mode": False, **json.loads(sys.argv[2])}
assert not errors_of(options), errors_of(options)
print(json.dumps(snapshot(Host(), options)))
"""
# Stands before the real program: hangs once it did what it was asked for, or fails, at the word of /etc/btrfs-trouble.
WRAPPER = """#!/bin/sh
if [ -e /etc/btrfs-trouble ]; then
    read -r when how < /etc/btrfs-trouble
    case "$*" in
    $when)
        [ $how = fail ] && { echo 'ERROR: no space left on device' >&2; exit 1; }
        /usr/bin/btrfs "$@"; touch /etc/btrfs-hangs; exec sleep 600 ;;
    esac
fi
exec /usr/bin/btrfs "$@"
"""


MOUNT = f"""#!/bin/sh
[ "$*" = {DEMO} ] && touch /etc/btrfs-hangs && exec sleep 600
exec /usr/bin/mount "$@"
"""


class Did:
    """What one call returned."""

    def __init__(self, result: dict[str, Any]) -> None:
        self.result = result
        self.changed = result["changed"]
        self.reboot = result["reboot"]

    @property
    def ok(self) -> bool:
        return bool(self.result.get("ok", not self.result.get("failed")))

    def checks(self) -> list[tuple[str, str, str]]:
        return sorted((f["check"], f["subject"], f["severity"]) for f in self.result["findings"])

    def states(self) -> dict[str, str]:
        return {one["volume"]: one["state"] for one in self.result["snapshots"]}

    def told(self) -> str:
        return json.dumps(self.result, indent=1)


def words(options: dict[str, Any]) -> list[str]:
    return ["/usr/bin/python3", "-c", DRIVER, ARCHIVE, json.dumps({"timeout": 30, **options})]


def call(host: Host, state: str, **options: Any) -> Did:
    """Call the module's function in the host."""
    return Did(json.loads(host.run(words({"state": state, **options}), timeout=100).stdout))


def good(did: Did, changed: bool, **states: str) -> Did:
    assert did.ok and did.changed is changed and not [c for c in did.checks() if c[2] != "info"], did.told()
    if states:
        assert set(did.states().values()) == set(states.values()), did.told()
    return did


def by_ansible(fleet: Fleet, *more: str, fails: bool = False, **options: Any) -> Did:
    command = [str(Path(sys.executable).with_name("ansible")), "-i", str(fleet.ansible_inventory), "snap1"]
    command += ["-m", "upkeep.maintenance.host_snapshot", "-a", json.dumps(options), *more]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=150, env=dict(os.environ), check=False)
    assert ("FAILED!" in ran.stdout) is fails, ran.stdout + ran.stderr
    text = ran.stdout.partition("=> ")[2]
    return Did({"reboot": {}, "findings": [], **json.JSONDecoder().raw_decode(text)[0]})


def attach(host: Host, name: str, mount: str, size: str = "300M") -> str:
    """A disk with btrfs, whose top level is mounted in the host; what it is called there."""
    image = host.folder / f"{name}.img"
    subprocess.run(["truncate", "-s", size, image], check=True)
    loop = subprocess.run(
        ["losetup", "--find", "--show", image], check=True, capture_output=True, text=True
    ).stdout.strip()
    try:
        number = os.stat(loop).st_rdev
        device = f"/dev/{name}"
        host.run(
            f"mknod -m 660 {device} b {os.major(number)} {os.minor(number)} && mkfs.btrfs -q {device} &&"
            f" mkdir -p {mount} && mount {device} {mount}"
        )
    finally:
        # From now on only the mount holds it.
        subprocess.run(["losetup", "--detach", loop], check=False)
    return device


def contents(host: Host, *paths: str) -> str:
    """A digest of all that is there: names, bytes, modes, owners and times."""
    named = " ".join(shlex.quote(path[1:]) for path in paths)
    return host.run(
        f"tar --sort=name --xattrs --acls --pax-option=delete=atime,delete=ctime -cf - -C / {named} | sha256sum"
    ).stdout


def subvolumes(host: Host) -> str:
    return host.run(f"btrfs subvolume list -uq {TOP} | sed 's/ gen [0-9]*//'; find {TOP} -xdev | sort").stdout


@pytest.fixture(scope="module")
def fleet(fleet_factory: Factory) -> Fleet:
    made = fleet_factory("snap1:btrfs")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / "plugins" / "module_utils").rglob("*.py")):
            archive.write(path, f"ansible_collections/upkeep/maintenance/{path.relative_to(ROOT)}")
        for folder in ("", "/upkeep", "/upkeep/maintenance", "/upkeep/maintenance/plugins"):
            archive.writestr(f"ansible_collections{folder}/__init__.py", "")
        archive.writestr("ansible_collections/upkeep/maintenance/plugins/module_utils/__init__.py", "")
    host = made["snap1"]
    host.run(f"base64 -d > {ARCHIVE}", input=base64.b64encode(packed.getvalue()).decode())
    host.run("cat > /usr/local/bin/btrfs; chmod 755 /usr/local/bin/btrfs", input=WRAPPER)
    device = attach(host, "vdb", TOP)
    host.run("cp /etc/fstab /etc/fstab.before 2>/dev/null || : > /etc/fstab.before")
    for name, folder in (("@demo", DEMO), ("@dpkg", DPKG)):
        host.run(
            f"btrfs -q subvolume create {TOP}/{name} && cp -a {folder}/. {TOP}/{name}/ &&"
            f" echo '{device} {folder} btrfs subvol={name} 0 0' >> /etc/fstab.before"
        )
    host.run("cp /etc/fstab.before /etc/fstab; mount -a")
    made.repo.publish("v2")
    host.run("apt-get -q update")
    return made


@pytest.fixture
def host(fleet: Fleet) -> Iterator[Host]:
    """The host, whose volumes are found again as they were first; nothing of ours is left."""
    host = fleet["snap1"]
    quiet = "rm -f /etc/btrfs-*; pkill -9 -f '[s]leep 600'; pkill -9 -f '[s]leep 601'; true"
    host.run(quiet)
    host.run(f"btrfs -q subvolume snapshot {TOP}/@demo {TOP}/first")
    yield host
    host.run(
        f"{quiet}; umount /mnt/bound; umount {DEMO}; cp /etc/fstab.before /etc/fstab;"
        f" btrfs subvolume set-default 5 {TOP};"
        f" btrfs subvolume list {TOP} | sed 's/.* path //' | grep -vx -e @dpkg -e first | sort -r |"
        f" while read -r path; do btrfs subvolume delete {TOP}/$path; done; rm -rf {OURS};"
        f" mv -T {TOP}/first {TOP}/@demo; mount -a",
        check=False,
    )
    assert host.run(f"ls -A {TOP}").stdout.split() == ["@demo", "@dpkg"]
    assert host.run(f"cat {DEMO}/version").stdout == "1.0-1\n"


BOTH: dict[str, Any] = {"volumes": [DEMO, DPKG]}


def test_a_bad_patch_is_taken_back_byte_for_byte(fleet: Fleet, host: Host) -> None:
    before, tree = contents(host, DEMO, DPKG), subvolumes(host)
    would = call(host, "present", name="p-0123456789ab", check_mode=True, **BOTH)
    assert would.result["diff"]["after"] == "".join(
        f"btrfs {path} p-0123456789ab (new): taken\n" for path in (DEMO, DPKG)
    )
    assert subvolumes(host) == tree
    taken = by_ansible(fleet, "--diff", name="p-0123456789ab", **BOTH)
    assert taken.changed
    assert taken.states() == {DEMO: "taken", DPKG: "taken"}
    assert 0 < taken.result["milliseconds"] < 10_000
    print(f"two snapshots in {taken.result['milliseconds']} ms")
    good(call(host, "present", name="p-0123456789ab", **BOTH), False)
    assert contents(host, DEMO, DPKG) == before

    host.run(f"apt-get -y -q install upkeep-demo && rm -rf {DEMO}/doc && echo bad > {DEMO}/bad")
    assert host.run("dpkg-query -W -f '${Version}' upkeep-demo").stdout == "2.0-1"
    patched = contents(host, DEMO, DPKG)
    assert patched != before

    would = call(host, "reverted", name="p-0123456789ab", check_mode=True)
    assert would.changed and contents(host, DEMO, DPKG) == patched
    back = by_ansible(fleet, state="reverted", name="p-0123456789ab")
    assert back.changed and back.states() == {DEMO: "reverted", DPKG: "reverted"}, back.told()
    assert not back.reboot["needed"]
    assert contents(host, DEMO, DPKG) == before
    assert host.run("dpkg-query -W -f '${Version}' upkeep-demo").stdout == "1.0-1"
    assert DEMO + "/" not in host.run("dpkg --verify upkeep-demo").stdout
    again = good(call(host, "reverted", name="p-0123456789ab"), False)
    assert again.result["diff"]["after"] == would.result["diff"]["after"]
    # What was replaced is kept, until it is told to go.
    kept = {one["volume"]: one["replaced"] for one in again.result["snapshots"]}
    assert host.run(f"cat {TOP}{kept[DEMO]}/bad").stdout == "bad\n"
    assert len(again.result["undo"]) == 2 and kept[DEMO] in again.result["undo"][0]

    would = by_ansible(fleet, "--check", state="absent", name="p-0123456789ab")
    assert would.changed and host.run(f"cat {TOP}{kept[DEMO]}/bad").stdout == "bad\n"
    gone = by_ansible(fleet, state="absent", name="p-0123456789ab")
    assert gone.changed and gone.result["snapshots"] == []
    good(call(host, "absent", name="p-0123456789ab"), False)
    assert host.run(f"ls -A {TOP}").stdout.split() == ["@demo", "@dpkg", "first"]
    assert contents(host, DEMO, DPKG) == before
    assert "upkeep" not in host.run("cat /proc/self/mountinfo").stdout.replace("upkeep-demo", "").replace(
        "upkeep-fleet", ""
    )


def test_hostile_options_are_refused(fleet: Fleet) -> None:
    told = by_ansible(fleet, fails=True, name="../../etc", volumes=["/srv/../etc"]).result["msg"]
    assert told.startswith("The options of host_snapshot make no sense: name is"), told
    assert "volumes are mount points" in told


def begun(host: Host, trouble: str, state: str, **options: Any) -> None:
    """Begin a call, and kill it with all that it runs once btrfs hangs where it was told to."""
    host.run(f"echo {shlex.quote(trouble)} > /etc/btrfs-trouble")
    behind = 'setsid "$@" >/etc/btrfs-out 2>&1 & echo $! > /etc/btrfs-pid'
    host.run(["sh", "-c", behind, "sh", *words({"state": state, **options})])
    until = time.monotonic() + 60
    while host.run("test -e /etc/btrfs-hangs", check=False).returncode:
        assert time.monotonic() < until, host.run("cat /etc/btrfs-out").stdout
        time.sleep(0.1)
    host.run("kill -9 $(cat /etc/btrfs-pid); pkill -9 -f '[s]leep 600'; rm -f /etc/btrfs-*")


def test_killed_while_taking_and_the_half_is_removed(host: Host) -> None:
    begun(host, "subvolume?snapshot* hang", "present", **BOTH)
    assert len(host.run(f"ls -d {OURS}/*/[0-9]*").stdout.split()) == 2  # a note, and its snapshot
    lost = call(host, "reverted")
    assert lost.checks() == [("patch.snapshot.failed", "revert", "critical")]
    assert "only 1 of its 2 snapshots are there" in lost.result["msg"]
    did = good(call(host, "present", **BOTH), True)
    assert [one["why"] for one in did.result["swept"]] == ["it is not whole"]
    assert did.states() == {DEMO: "taken", DPKG: "taken"}
    assert len(host.run(f"ls {OURS}").stdout.split()) == 1
    good(call(host, "present", **BOTH), False)
    good(call(host, "absent"), True)
    assert "upkeep" not in host.run(f"ls -A {TOP}").stdout


def test_one_that_cannot_be_taken_takes_the_others_with_it(host: Host) -> None:
    tree = subvolumes(host)
    number = host.run(f"btrfs subvolume show {DPKG} | sed -n 's/.*Subvolume ID:[^0-9]*//p'").stdout.strip()
    host.run(f"echo 'subvolume?snapshot*{number} fail' > /etc/btrfs-trouble")
    did = call(host, "present", **BOTH)
    assert not did.ok and did.checks() == [("patch.snapshot.failed", "snapshot", "high")]
    assert "no space left on device" in did.result["msg"] and did.result["snapshots"] == []
    assert subvolumes(host) == tree


@pytest.mark.parametrize("where", ["subvolume?snapshot* hang", "filesystem?sync* hang", "umount"])
def test_killed_while_reverting_and_the_next_run_goes_on(host: Host, where: str) -> None:
    before = contents(host, DEMO)
    good(call(host, "present", volumes=[DEMO]), True)
    host.run(f"echo bad > {DEMO}/version; touch {DEMO}/bad")
    if where == "umount":  # and killed before the mount
        host.run(f"cat > /usr/local/bin/mount <<'END'\n{MOUNT}END\nchmod 755 /usr/local/bin/mount")
    begun(host, where, "reverted")
    host.run("rm -f /usr/local/bin/mount")
    did = good(call(host, "reverted"), True)
    assert did.states() == {DEMO: "reverted"} and contents(host, DEMO) == before
    good(call(host, "reverted"), False)
    good(call(host, "absent"), True)
    assert host.run(f"ls -A {TOP}").stdout.split() == ["@demo", "@dpkg", "first"]


def test_a_volume_in_use_waits_and_says_so(host: Host) -> None:
    before = contents(host, DEMO)
    good(call(host, "present", volumes=[DEMO]), True)
    host.run(f"echo bad > {DEMO}/version; cd {DEMO}; setsid sleep 601 >/dev/null 2>&1 &")
    did = good(call(host, "reverted"), True)
    assert did.states() == {DEMO: "reverting"} and did.reboot["needed"]
    assert DEMO in did.reboot["why"][0] and did.reboot["blocked"] == ""
    again = good(call(host, "reverted"), False)
    assert again.reboot["needed"]
    # Nothing is taken, and nothing removed, of what is about to be reverted: the host runs on it.
    refused = call(host, "present", volumes=[DEMO])
    assert not refused.ok and "about to be reverted" in refused.result["msg"]
    left = call(host, "absent")
    assert not left.ok and ("patch.snapshot.left", f"upkeep on {DEMO}", "medium") in left.checks()
    assert host.run(f"cat {DEMO}/version").stdout == "bad\n"
    host.run("pkill -9 -f '[s]leep 601'")
    did = good(call(host, "reverted"), True)
    assert did.states() == {DEMO: "reverted"} and not did.reboot["needed"]
    assert contents(host, DEMO) == before
    # A set that was reverted to is used up.
    did = good(call(host, "present", volumes=[DEMO]), True)
    assert [one["why"] for one in did.result["swept"]] == ["it is used up: it was reverted to"]
    assert did.states() == {DEMO: "taken"}


def aged(host: Host, name: str, hours: float) -> str:
    """Make a snapshot of ours that says to be so old: its folder."""
    good(call(host, "present", volumes=[DEMO], name=name, max_age_hours=0), True)
    folder = host.run(f"ls {OURS} | grep -F .{name}.").stdout.strip()
    head, created, members = folder.rsplit(".", 2)
    old = f"{head}.{int(float(created) - hours * 3600)}.{members}"
    host.run(f"mv {OURS}/{folder} {OURS}/{old}")
    return old


def test_what_is_too_old_is_swept_and_nothing_else(host: Host) -> None:
    aged(host, "old", 100)
    young = aged(host, "young", 10)
    ahead = aged(host, "ahead", -10)
    mine = aged(host, "upkeep", 100)
    # Somebody else's: by its name, by its owner, and beside ours.
    foreign = "upkeep.snapshot.foreign.1500000000.1"
    host.run(
        f"btrfs -q subvolume snapshot -r {DEMO} {TOP}/upkeep-old;"
        f" mkdir {OURS}/by-hand; btrfs -q subvolume snapshot -r {DEMO} {OURS}/by-hand/256;"
        f" mkdir {OURS}/{foreign} && chown daemon {OURS}/{foreign}"
    )
    would = call(host, "present", volumes=[DEMO], check_mode=True)
    assert would.changed and sorted(one["name"] for one in would.result["swept"]) == ["old", "upkeep"]
    did = call(host, "present", volumes=[DEMO])
    assert did.ok and did.changed, did.told()
    assert sorted((one["name"], one["why"]) for one in did.result["swept"]) == [
        ("old", "it is too old"), ("upkeep", "it is too old"),
    ]  # fmt: skip
    assert did.checks() == [("patch.snapshot.left", f"ahead on {DEMO}", "low")]
    there = host.run(f"ls {OURS}").stdout.split()
    assert {young, ahead, "by-hand", foreign} < set(there) and mine not in there
    # One that something holds is told: here a subvolume that somebody made in what a revert kept.
    host.run(f"touch {DEMO}/bad; mkdir {DEMO}/later; btrfs -q subvolume create {DEMO}/later/data")
    did = call(host, "reverted")
    assert did.ok and did.states() == {DEMO: "reverted"}, did.told()
    folder = host.run(f"ls {OURS} | grep -F .upkeep.").stdout.strip()
    head, created, members = folder.rsplit(".", 2)
    host.run(f"mv {OURS}/{folder} {OURS}/{head}.{int(created) - 400000}.{members}")
    did = call(host, "absent", name="another")
    assert did.ok and did.result["left"][0]["name"] == "upkeep", did.told()
    assert ("patch.snapshot.left", f"upkeep on {DEMO}", "medium") in did.checks()
    assert "data" in did.result["left"][0]["why"]
    did = call(host, "absent")
    assert not did.ok and "patch.snapshot.left" in {check for check, _s, _v in did.checks()}
    host.run(f"find {OURS} -type d -name data -exec btrfs subvolume delete {{}} +", check=False)
    did = call(host, "absent")
    assert did.ok and did.result["left"] == [], did.told()


def test_what_lies_below_comes_along(host: Host) -> None:
    host.run(
        f"btrfs -q subvolume create {DEMO}/machines; echo 1 > {DEMO}/machines/disk;"
        f" mkdir -p {DEMO}/a/b /etc/upkeep-trap; btrfs -q subvolume create {DEMO}/a/b/deep;"
        f" echo 2 > {DEMO}/a/b/deep/disk; ln -s /etc/upkeep-trap {DEMO}/link"
    )
    did = good(call(host, "present", volumes=[DEMO]), True)
    assert [one["path"] for one in did.result["not_included"]] == [f"{DEMO}/a/b/deep", f"{DEMO}/machines"]
    assert did.checks() == [("patch.snapshot.unsupported", DEMO, "info")]
    # A name that looks like another line of what btrfs lists, about a folder that is no subvolume.
    where = did.result["snapshots"][0]["where"].lstrip("/")
    forged = f"{DEMO}/x\nID 9 gen 1 top level 5 path {where}.replaced"
    host.run(
        ["sh", "-c", 'mkdir -p "$1" "$2" && btrfs -q subvolume create "$1/victim"', "sh", forged, f"{DEMO}/victim"]
    )
    # Where the snapshot has a link that leads out, somebody now has a folder with a subvolume: it must not follow.
    host.run(
        f"rm {DEMO}/link; mkdir {DEMO}/link; btrfs -q subvolume create {DEMO}/link/evil; echo bad > {DEMO}/version;"
        f" echo 3 > {DEMO}/machines/disk"
    )
    did = good(call(host, "reverted"), True)
    assert did.states() == {DEMO: "reverted"}
    assert host.run(f"cat {DEMO}/version {DEMO}/machines/disk {DEMO}/a/b/deep/disk").stdout == "1.0-1\n3\n2\n"
    assert host.run("ls -A /etc/upkeep-trap; rmdir /etc/upkeep-trap").stdout == ""
    good(call(host, "reverted"), False)


def test_what_cannot_have_a_snapshot_is_told(host: Host) -> None:
    def refused(*volumes: str, **options: Any) -> str:
        did = call(host, "present", volumes=list(volumes), **options)
        assert not did.ok and not did.changed
        assert [(check, severity) for check, _subject, severity in did.checks()] == [
            ("patch.snapshot.unsupported", "high")
        ]
        return str(did.result["msg"])

    assert "/ is not" not in refused("auto") and "overlay" in refused("auto")
    assert "is the top level" in refused(TOP)
    assert f"{DEMO}/doc is not a mount point" in refused(f"{DEMO}/doc")
    assert "is btrfs on /dev/vdb, and not on lvm" in refused(DEMO, backend="lvm")
    number = host.run(f"btrfs subvolume show {DEMO} | sed -n 's/.*Subvolume ID:[^0-9]*//p'").stdout.strip()
    host.run(f"sed -i 's/subvol=@demo/subvol=@demo,subvolid={number}/' /etc/fstab")
    assert "it is mounted by its number" in refused(DEMO)
    host.run(
        f"cp /etc/fstab.before /etc/fstab; mkdir -p {DEMO}/folder /mnt/bound; mount --bind {DEMO}/folder /mnt/bound"
    )
    assert "only a folder of the subvolume" in refused("/mnt/bound")
    host.run(f"umount /mnt/bound; mount -o remount,ro,bind {DEMO}")
    assert "read-only" in refused(DEMO)
    host.run(f"mount -o remount,rw,bind {DEMO}")
    assert host.run(f"ls -A {TOP}").stdout.split() == ["@demo", "@dpkg", "first"]


def test_no_room_and_no_trust(host: Host) -> None:
    did = call(host, "present", volumes=[DEMO], room_percent=90)
    assert did.checks() == [("patch.snapshot.failed", "snapshot", "high")]
    assert "% of its filesystem are free, and room_percent asks for 90 %" in did.result["msg"]
    did = call(host, "present", volumes=[DEMO], room_percent=90, check_mode=True)
    assert not did.ok
    host.run(f"mkdir /tmp/trap; ln -s /tmp/trap {OURS}")
    did = call(host, "present", volumes=[DEMO])
    assert not did.ok and "not a folder of root's alone" in did.result["msg"], did.told()
    assert host.run(f"ls -A /tmp/trap; rm {OURS}; rmdir /tmp/trap").stdout == ""


def test_a_set_over_two_filesystems(host: Host) -> None:
    device = attach(host, "vdc", "/mnt/other", "128M")
    # One that can only be read forbids nothing on another one.
    host.run("mount -o remount,ro /mnt/other")
    good(call(host, "present", volumes=[DEMO]), True)
    good(call(host, "absent"), True)
    host.run("mount -o remount,rw /mnt/other")
    host.run(
        "btrfs -q subvolume create /mnt/other/@srv && mkdir -p /srv/data && echo 1 > /mnt/other/@srv/file;"
        f" mount -o noatime,subvol=@srv {device} /srv/data"
    )
    try:
        good(call(host, "present", volumes=[DEMO, "/srv/data"]), True)
        host.run(f"echo bad > {DEMO}/version; echo bad > /srv/data/file")
        did = good(call(host, "reverted"), True)
        assert did.states() == {DEMO: "reverted", "/srv/data": "reverted"}
        assert host.run(f"cat {DEMO}/version /srv/data/file").stdout == "1.0-1\n1\n"
        # It is not in fstab, and was mounted as it had been.
        assert "noatime" in host.run("findmnt -n -o OPTIONS /srv/data").stdout
        # With one of the two out of sight the set is not whole, and is not half reverted to.
        host.run("umount /srv/data /mnt/other")
        assert "not whole" in call(host, "reverted").result["msg"]
    finally:
        host.run("umount /srv/data; umount -l /mnt/other; rm -f /dev/vdc", check=False)


def test_two_at_once_wait_for_each_other(host: Host) -> None:
    code = (
        "import fcntl, time; lock = open('/run/upkeep-snapshots.lock', 'w'); fcntl.lockf(lock, fcntl.LOCK_EX);"
        " open('/etc/btrfs-held', 'w'); time.sleep(601)"
    )
    host.run(["sh", "-c", 'setsid python3 -c "$1" >/dev/null 2>&1 & echo $! > /etc/btrfs-pid', "sh", code])
    until = time.monotonic() + 30
    while host.run("test -e /etc/btrfs-held", check=False).returncode:
        assert time.monotonic() < until
        time.sleep(0.1)
    pid = host.run("cat /etc/btrfs-pid").stdout.strip()
    did = call(host, "present", volumes=[DEMO], timeout=1)
    host.run(f"kill -9 {pid}")
    assert not did.ok and f"(process {pid})" in did.result["msg"]


@pytest.mark.parametrize("mode", ["name", "default"])
def test_the_root_filesystem_goes_back_with_a_reboot(host: Host, mode: str) -> None:
    """The root of a chroot is a btrfs subvolume; mounting it anew, as its fstab or the default says, is its reboot."""
    host.run(
        f"btrfs -q subvolume create {TOP}/@root; cd {TOP}/@root;"
        f" mkdir -p usr proc dev run sys etc opt boot var/lib mnt; cp {ARCHIVE} opt; ln -s usr/bin usr/lib usr/lib64 .;"
        f" echo old > etc/release; ln -s usr/sbin sbin; touch boot/vmlinuz-1-old"
    )
    number = host.run(f"btrfs subvolume show {TOP}/@root | sed -n 's/.*Subvolume ID:[^0-9]*//p'").stdout.strip()
    options = "subvol=@root" if mode == "name" else "defaults"
    host.run(f"echo '/dev/vdb / btrfs {options} 0 0' > {TOP}/@root/etc/fstab")
    if mode == "default":
        host.run(f"btrfs subvolume set-default {number} {TOP}")
    jail = "/mnt/root"

    def boot() -> None:
        host.run(
            f"umount -R {jail} 2>/dev/null; mkdir -p {jail}; mount -o {options} /dev/vdb {jail} || exit 1;"
            " for one in usr dev proc sys; "
            f"do mount --rbind /$one {jail}/$one && mount --make-rslave {jail}/$one; done;"
            f" mount -t tmpfs tmpfs {jail}/run"
        )

    def inside(state: str, **more: Any) -> Did:
        command = ["chroot", jail, *words({"state": state, **more})]
        return Did(json.loads(host.run(command, timeout=100).stdout))

    try:
        boot()
        good(inside("present", volumes=["/"]), True)
        host.run(f"echo new > {jail}/etc/release; echo more > {jail}/etc/more")
        did = good(inside("reverted"), True)
        assert did.states() == {"/": "reverting"} and did.reboot["needed"] and did.reboot["blocked"] == ""
        # A kernel that came later, where /boot is not in the snapshot, would begin without its modules.
        host.run(f"mount -t tmpfs tmpfs {jail}/boot; touch {jail}/boot/vmlinuz-9.9.9-later")
        blocked = good(inside("reverted"), False).reboot["blocked"]
        assert "/boot is not in the snapshot" in blocked and "9.9.9-later" in blocked
        assert host.run(f"cat {jail}/etc/release").stdout == "new\n"
        boot()
        assert host.run(f"cat {jail}/etc/release; ls {jail}/etc").stdout == "old\nfstab\nrelease\n"
        did = good(inside("reverted"), False)
        assert did.states() == {"/": "reverted"} and did.reboot == {"needed": False, "why": [], "blocked": ""}
        good(inside("absent"), True)
        boot()
        assert host.run(f"cat {jail}/etc/release").stdout == "old\n"
    finally:
        host.run(f"umount -R {jail}", check=False)
