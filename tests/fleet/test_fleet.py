# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fleet keeps its promises: hosts are real, faults are faults, and nothing is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fleet import cgroup, fleets, system
from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.image import Images
from tests.fleet.state import FleetState, default_home
from tests.fleet.system import FleetError, run, wait_for

pytestmark = pytest.mark.fleet

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(__file__).with_name("fleet")


def traces(fleet: FleetState) -> list[str]:
    """Everything on this machine that belongs to a fleet."""
    found = [f"process {pid}" for pid in cgroup.members(fleet.group)]
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"{fleet.folder}/".encode() in (process / "cmdline").read_bytes():
                found.append(f"process {process.name} by its words")
        except OSError:
            continue
    if Path(f"/sys/class/net/{fleet.interface}").exists():
        found.append(f"interface {fleet.interface}")
    found += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{fleet.folder}/" in line]
    found += [line for line in run(["losetup", "--list"]).stdout.splitlines() if f"{fleet.folder}/" in line]
    found += [str(top / fleet.group) for top in cgroup.hierarchies() if (top / fleet.group).exists()]
    found += [str(fleet.folder)] if fleet.folder.exists() else []
    return found


def answers(address: str, seconds: float = 2) -> bool:
    """Does sshd at an address say who it is?"""
    try:
        with socket.create_connection((address, 22), timeout=seconds) as line:
            line.settimeout(seconds)
            return line.recv(4) == b"SSH-"
    except OSError:
        return False


# -- life and death ----------------------------------------------------------


def test_down_leaves_nothing(fleet_factory: Factory) -> None:
    fleet = fleet_factory("web1", "db1:dnf")
    fleet["web1"].fill("/srv/data")
    before = traces(fleet.state)
    for kind in ("process", "interface", "/dev/loop", "/sys/fs/cgroup", str(fleet.folder)):
        assert any(kind in trace for trace in before), f"the search for traces does not see {kind}"
    fleet.down()
    assert traces(fleet.state) == []


def test_the_hosts_are_whole(fleet: Fleet) -> None:
    for host in fleet.hosts:
        assert host.ssh("systemctl is-system-running --wait").stdout.strip() == "running"
        assert host.ssh("hostname").stdout.strip() == host.name
        assert host.ssh("sudo -n id -u").stdout.strip() == "0"
        assert host.ssh("id -u", user="root").stdout.strip() == "0"
        assert host.ssh("sudo -n true", user="nosudo", check=False).returncode != 0
    assert len({host.read("/etc/machine-id") for host in fleet.hosts}) == 2
    assert fleet["web1"].ssh("ping -c 1 -W 2 web2").returncode == 0


def test_when_the_owner_is_killed_the_fleet_goes_by_itself() -> None:
    name = f"t{os.getpid()}-own"
    script = (
        "import os, sys, time; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); from tests.fleet import fleets\n"
        "fleets.up(Path(sys.argv[2]), sys.argv[3], [('web1', 'debian')], owner_pid=os.getpid())\n"
        "print('up', flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, ROOT, default_home(), name], stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "up\n"
        fleet = FleetState.load(default_home(), name)
        assert answers(fleet.hosts[0].address)
        owner.kill()
    assert wait_for(lambda: not traces(fleet), 15, pause=0.2), traces(fleet)


def test_what_is_left_when_everything_is_killed_goes_with_gc(fleet_factory: Factory) -> None:
    fleet = fleet_factory("web1", "web2")
    keeper = fleet.state.keeper
    assert keeper
    os.kill(keeper[0], signal.SIGKILL)
    # The kernel takes hosts and network away; only folders and empty groups are for gc.
    gone = wait_for(lambda: not [t for t in traces(fleet.state) if t.startswith(("process", "interface"))], 15)
    assert gone, traces(fleet.state)
    with pytest.raises(FleetError, match="not up any more"):
        fleets.get(default_home(), fleet.name)
    assert f"fleet {fleet.name}" in fleets.gc(default_home())
    assert traces(fleet.state) == []


def test_a_strict_umask_of_the_caller_does_not_reach_the_hosts(fleet_factory: Factory) -> None:
    before = os.umask(0o077)
    try:
        host = fleet_factory("web1")["web1"]
    finally:
        os.umask(before)
    assert host.ssh("stat -c %a / /etc/hosts", user="nosudo").stdout.split() == ["755", "644"]


def test_up_clears_what_an_earlier_fleet_of_this_name_left(fleet_factory: Factory) -> None:
    first = fleet_factory("web1")
    first["web1"].write("/root/old", "old")
    second = fleet_factory("web1", name=first.name)
    assert second["web1"].run("test -e /root/old", check=False).returncode == 1
    assert not system.alive(first.state.keeper)


def test_a_detached_fleet_outlives_its_command() -> None:
    name = f"t{os.getpid()}-det"
    try:
        done = run([COMMAND, "up", name, "--detached", "--hosts", "web1"])
        assert "inventory:" in done.stdout
        assert "web1" in run([COMMAND, "list"]).stdout
        assert run([COMMAND, "ssh", f"{name}/web1", "hostname"]).stdout == "web1\n"
        assert run([COMMAND, "exec", f"{name}/web1", "sh", "-c", "exit 7"], check=False).returncode == 7
    finally:
        fleet = FleetState.load(default_home(), name)
        run([COMMAND, "down", name])
    assert traces(fleet) == []


def test_two_fleets_side_by_side(fleet_factory: Factory) -> None:
    one, two = fleet_factory("web1"), fleet_factory("web1")
    one["web1"].write("/root/mark", "one")
    two["web1"].write("/root/mark", "two")
    assert [f["web1"].ssh("cat /root/mark", user="root").stdout for f in (one, two)] == ["one", "two"]
    assert one["web1"].run(["ping", "-c", "1", "-W", "1", two["web1"].address], check=False).returncode != 0
    one.repo.publish("v2")
    for fleet, pending in ((one, True), (two, False)):
        fleet["web1"].run("apt-get update -q --error-on=any")
        assert ("Inst upkeep-demo " in fleet["web1"].run("apt-get -s upgrade").stdout) is pending
    one.down()
    assert answers(two["web1"].address)


def test_twenty_hosts_at_once(fleet_factory: Factory) -> None:
    fleet = fleet_factory(*(f"h{n}" for n in range(20)))
    assert all(host.ready() for host in fleet.hosts)
    assert len({host.boot_id() for host in fleet.hosts}) == 20
    fleet.down()


def test_a_host_that_does_not_come_up_shows_its_console() -> None:
    name = f"t{os.getpid()}-bad"
    with pytest.raises(FleetError, match=r"web1 did not answer in[^$]*end of its console"):
        fleets.up(default_home(), name, [("web1", "debian")], timeout=0.01)
    assert traces(FleetState(default_home(), name)) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["up", "Demo!"], "cannot be the name of a fleet"),
        (["up", "x", "--hosts", "web1,web1"], "twice"),
        (["ssh", "nowhere/web1", "true"], "There is no fleet"),
        (["down", "../../etc"], "cannot be the name of a fleet"),
    ],
)
def test_wrong_use_is_told(words: list[str], expected: str) -> None:
    done = run([COMMAND, *words], check=False)
    assert done.returncode == 1
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_without_root_or_packages_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(FleetError, match="sudo"):
            system.check_machine()
    monkeypatch.setattr(shutil, "which", lambda command, path="": None if command == "mmdebstrap" else command)
    with pytest.raises(FleetError, match=r"apt-get install -y --no-install-recommends mmdebstrap$"):
        system.check_machine()


# -- images ------------------------------------------------------------------


def test_an_interrupted_build_leaves_no_image(tmp_path: Path) -> None:
    images = Images(tmp_path)

    def interrupted(work: Path) -> None:
        (work / "root").mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        images._once("base-x", interrupted)
    assert [p.name for p in images.folder.iterdir()] == [".locks"]


def test_two_builders_build_once_and_a_killed_one_blocks_nobody(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path\n"
        "sys.path.insert(0, sys.argv[1]); from tests.fleet.image import Images\n"
        "def build(work):\n"
        "    with open(sys.argv[2] + '/builds', 'a') as f: f.write('x')\n"
        "    (work / 'half').touch(); time.sleep(float(sys.argv[3]))\n"
        "print(Images(Path(sys.argv[2]))._once('base-x', build))"
    )

    def builder(seconds: float) -> subprocess.Popen[str]:
        words = [sys.executable, "-c", script, str(ROOT), str(tmp_path), str(seconds)]
        return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)

    with builder(600) as killed:
        assert wait_for((tmp_path / "images/base-x.building/half").exists, 10)
        killed.kill()
    assert not (tmp_path / "images/base-x").exists()
    with builder(0.5) as first, builder(0.5) as second:
        assert first.communicate()[0] == second.communicate()[0] == f"{tmp_path}/images/base-x\n"
    assert (tmp_path / "builds").read_text() == "xx"  # the killed one, and one of the two
    assert not (tmp_path / "images/base-x.building").exists()


# -- faults ------------------------------------------------------------------


def test_link_down_and_hang(fleet: Fleet) -> None:
    web1, web2 = fleet["web1"], fleet["web2"]
    web1.link(up=False)
    assert not answers(web1.address)
    assert web1.run("hostname").stdout == "web1\n"
    assert "NO-CARRIER" in web1.run("ip link show eth0").stdout
    assert answers(web2.address)
    web1.link(up=True)
    assert wait_for(lambda: answers(web1.address), 10)

    web1.hang()
    with socket.create_connection((web1.address, 22), timeout=3) as line:
        line.settimeout(2)
        with pytest.raises(TimeoutError):
            line.recv(1)
    web1.hang(False)
    assert web1.ssh("hostname").stdout == "web1\n"


def test_reboot_is_real(fleet: Fleet) -> None:
    host = fleet["web1"]
    host.write("/root/kept", "kept")
    host.write("/run/gone", "gone")
    before = host.boot_id()
    host.ssh("sudo systemctl reboot", check=False)
    assert wait_for(lambda: host.ready() and host.boot_id() != before, 30)
    assert host.read("/root/kept") == "kept"
    assert host.run("test -e /run/gone", check=False).returncode == 1
    host.reboot()

    host.hold()
    host.run("systemctl reboot", check=False)
    assert wait_for(lambda: host._leader() is None, 30)
    time.sleep(1)
    assert not answers(host.address)
    with pytest.raises(FleetError, match="not running"):
        host.run("true")
    host.release()
    assert host.ssh("systemctl is-system-running --wait").stdout == "running\n"

    host.power_off()
    assert not answers(host.address)
    host.release()
    assert host.read("/root/kept") == "kept"


def test_full_filesystems(fleet: Fleet) -> None:
    host = fleet["web1"]
    host.fill("/srv/blocks", "16M", percent=100)
    host.fill("/srv/inodes", "16M", percent=100, inodes=True)
    host.fill("/srv/memory", "8M", percent=50, fs="tmpfs")
    for path in ("/srv/blocks/new", "/srv/inodes/new"):
        done = host.run(f"echo some words | tee {path}", check=False)
        assert "No space left on device" in done.stderr
    assert host.run("df --output=pcent /srv/memory | tail -1").stdout.strip() == "50%"
    assert host.run("findmnt -n -o SOURCE,FSTYPE /srv/blocks").stdout.split() == ["/dev/vdb", "ext4"]
    host.unfill("/srv/blocks")
    assert host.run("mountpoint -q /srv/blocks", check=False).returncode != 0


def test_clock(fleet: Fleet) -> None:
    host = fleet["web1"]
    for offset in (86400, -3600):
        host.clock(offset)
        for command in ("date +%s", "sudo date +%s", "python3 -c 'import time; print(time.time())'"):
            assert float(host.ssh(command).stdout) == pytest.approx(time.time() + offset, abs=5)
    slept = "import time; a = time.monotonic(); time.sleep(0.3); print(time.monotonic() - a)"
    assert 0.3 <= float(host.ssh(f"python3 -c '{slept}'").stdout) < 2
    for word, expected in (("synchronised", "yes"), ("unsynchronised", "no")):
        host.clock(0, word)
        assert host.ssh("timedatectl show -p NTPSynchronized --value").stdout.strip() == expected
    assert float(fleet["web2"].ssh("date +%s").stdout) == pytest.approx(time.time(), abs=5)


def test_breaks_and_mends(fleet: Fleet) -> None:
    host = fleet["web1"]

    def seen(command: str) -> str:
        words = [*host.ssh_command(), command]
        done = subprocess.run(words, capture_output=True, check=False, stdin=subprocess.DEVNULL)
        return (done.stdout + done.stderr).decode("latin-1")

    whole = seen("python3 --version; sudo -n id -u; systemctl --failed --no-legend")
    for fault, command, expected in (
        ("no-python", "python3 --version", "command not found"),
        ("python37", "python3 -c 'import sys; print(sys.version_info[:2])'", "(3, 7)"),
        ("python37", "python3 --version", "Python 3.7"),
        ("no-sudo", "sudo -n id", "a password is required"),
        ("key-refused", "true", "Permission denied"),
        ("host-key", "true", "Host key verification failed"),
        ("noise", "true", "Welcome \xff\xfe"),
        ("failed-unit", "systemctl --failed --no-legend", "fleet-fails.service"),
        ("package-lock", "sudo apt-get install -qy upkeep-demo", "lock-holder"),
    ):
        host.break_(fault)
        assert expected in seen(command), fault
        host.mend(fault)
        assert seen("python3 --version; sudo -n id -u; systemctl --failed --no-legend") == whole, fault
    host.break_("flood")
    assert len(seen("true")) >= 50_000_000


# -- packages ----------------------------------------------------------------


def test_apt_sees_version_2(fleet: Fleet) -> None:
    host = fleet["web1"]
    host.run("apt-get update -q --error-on=any")
    assert "Inst" not in host.run("apt-get -s dist-upgrade").stdout
    fleet.repo.publish("v2")
    host.run("apt-get update -q --error-on=any && apt-mark hold upkeep-demo-held")
    upgrade = host.run("apt-get -s upgrade").stdout
    assert "Inst upkeep-demo [1.0-1] (2.0-1 Debian:12/stable [all])" in upgrade
    assert "Inst upkeep-demo-sec [1.0-1] (1.0-1+deb12u1 Debian-Security:12/stable-security [all])" in upgrade
    kept = upgrade[upgrade.index("kept back") : upgrade.index("will be upgraded")]
    assert "upkeep-demo-kept" in kept
    assert "upkeep-demo-held" in kept
    assert "CVE-2025-10001" in host.run("apt-get changelog -qq upkeep-demo-sec").stdout
    fleet.repo.publish("v1")
    host.run("apt-get update -q --error-on=any")
    assert "Inst" not in host.run("apt-get -s dist-upgrade").stdout


def test_packages_that_fail(fleet: Fleet) -> None:
    host = fleet["web1"]
    fleet.repo.publish("v2", everything=True)
    host.run("apt-get update -q --error-on=any")

    assert host.run("apt-get install -qy upkeep-demo-dies", check=False).returncode == 0
    assert host.run("systemctl is-failed upkeep-demo-dies").stdout == "failed\n"

    assert host.run("curl -s http://127.0.0.1:7710/").stdout == "upkeep-demo 1.0-1\n"
    host.run("apt-get install -qy libupkeepdemo1 upkeep-demo-kernel")
    assert "libupkeepdemo.so.1.1.0 (deleted)" in host.run("cat /proc/$(pidof upkeep-demo)/maps").stdout
    host.run("systemctl restart upkeep-demo && sleep 0.2")
    assert host.run("curl -s http://127.0.0.1:7710/").stdout == "upkeep-demo 1.0-1+deb12u1\n"
    assert host.read("/run/reboot-required.pkgs") == "linux-image-9.9.9-upkeep\n"
    host.run("mkdir -p /etc/upkeep-demo && touch /etc/upkeep-demo/fail")
    assert host.run("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:7710/").stdout == "500"

    assert "Remv upkeep-demo-replaced" in host.run("apt-get -s dist-upgrade").stdout
    assert host.run("apt-get install -qy upkeep-demo-broken", check=False).returncode == 100
    assert "upkeep-demo-broken" in host.run("dpkg --audit").stdout

    other = fleet["web2"]
    other.run("apt-get update -q --error-on=any")
    # Killed in the middle of a postinst, as by a power cut.
    other.run("systemd-run -q --unit=slow -E DEBIAN_FRONTEND=noninteractive apt-get install -qy upkeep-demo-slow")
    assert wait_for(lambda: other.run("pgrep -x sleep -a", check=False).stdout.count("sleep 600") == 1, 20)
    other.run("systemctl kill -s KILL slow")
    assert wait_for(lambda: other.run("systemctl is-active slow", check=False).stdout != "active\n", 10)
    assert "upkeep-demo-slow" in other.run("dpkg --audit").stdout
    assert other.run("ls -A /var/lib/dpkg/updates").stdout != ""


def test_a_repository_with_faults(fleet: Fleet) -> None:
    host, repo = fleet["web1"], fleet.repo

    def update() -> str:
        impatient = "-o Acquire::Retries=0 -o Acquire::http::Timeout=1"
        done = host.run(f"apt-get update -q --error-on=any {impatient}", check=False)
        return f"{done.returncode} {done.stderr}"

    assert update().startswith("0 ")
    for fault, expected in (
        (repo.down, "Connection refused"),
        (repo.hang, "Connection failed"),
        (lambda: repo.error(404, "/debian-security"), "no longer has a Release file"),
    ):
        fault()
        said = update()
        assert said.startswith("100 ")
        assert expected in said
        repo.up()
        assert update().startswith("0 ")
    for how, expected in (("broken", "BADSIG"), ("unknown-key", "NO_PUBKEY"), ("none", "no longer signed")):
        repo.sign(how)
        assert expected in update()
    repo.sign("good")
    repo.expire(3)
    assert "is expired (invalid since 3d" in update()
    repo.fresh()
    repo.withdraw("upkeep-demo")
    assert update().startswith("0 ")
    assert "upkeep-demo/" not in host.run("apt list -q upkeep-demo 2>/dev/null | grep -v local", check=False).stdout


def test_dnf_sees_version_2_and_advisories(fleet_factory: Factory) -> None:
    fleet = fleet_factory("db1", flavour="dnf")
    host = fleet["db1"]
    assert host.run("command -v apt-get dpkg", check=False).stdout == ""
    assert host.ssh("rpm -q upkeep-demo").stdout == "upkeep-demo-1.0-1.el9.noarch\n"
    assert host.run("dnf -q --refresh check-update", check=False).returncode == 0
    fleet.repo.publish("v2")
    assert host.run("dnf -q --refresh check-update", check=False).returncode == 100
    listed = host.run("dnf -q updateinfo list --with-cve").stdout
    assert "CVE-2025-10003 Critical/Sec.  libupkeepdemo-1.1-1.el9.x86_64" in listed
    assert "UKBA-2025:0001 bugfix" in host.run("dnf -q updateinfo list").stdout
    host.run("dnf -q -y upgrade --cve CVE-2025-10001")
    assert host.ssh("rpm -q upkeep-demo-sec upkeep-demo").stdout.split() == [
        "upkeep-demo-sec-1.1-1.el9.noarch",
        "upkeep-demo-1.0-1.el9.noarch",
    ]
    host.run("dnf -q -y history undo last")
    assert host.ssh("rpm -q upkeep-demo-sec").stdout == "upkeep-demo-sec-1.0-1.el9.noarch\n"

    fleet.repo.publish("v2", "kernel", "upkeep-demo-broken", "upkeep-demo-unmet")
    broken = host.run("dnf -q -y --refresh upgrade upkeep-demo-broken", check=False)
    assert broken.returncode == 0
    assert "Error in POSTIN scriptlet" in broken.stdout + broken.stderr
    assert "nothing provides upkeep-demo-nowhere" in host.run("dnf -q -y upgrade upkeep-demo-unmet", check=False).stderr
    host.run("dnf -q -y install kernel")
    assert host.run("dnf -q needs-restarting -r", check=False).returncode == 1
    fleet.repo.down()
    assert host.run("dnf -q --refresh check-update", check=False).returncode == 1


def test_the_inventory_is_ready_for_ansible(fleet_factory: Factory) -> None:
    ansible = Path(sys.executable).with_name("ansible")
    assert ansible.exists(), "ansible is not in the environment that runs the tests"
    fleet = fleet_factory("web1", "db1:dnf")
    done = run([ansible, "all", "-i", fleet.ansible_inventory, "-m", "ansible.builtin.command", "-a", "id -u"], cwd="/")
    for host in ("web1", "db1"):
        assert f"{host} | CHANGED | rc=0 >>\n0" in done.stdout
    asked = ["fleet_dnf", "-i", str(fleet.ansible_inventory), "-m", "debug", "-a", "var=patch_state_manager"]
    seen = run([ansible, *asked], cwd="/")
    assert '"patch_state_manager": "dnf"' in seen.stdout
