# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every fault of patching on a fleet of its own host, and one campaign of the real role over all of them.

The story is told once, by the fixture: check mode by hand; a campaign, whose controller is killed in the middle of a
transaction; resumed, it stops behind the ring with the faults; let go on, it comes to its end; by hand once more. Each
test then asks about one of it: a host, a row of the table; or the campaign as a whole.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.fixture import Factory
from tests.fleet.fleets import Fleet
from tests.fleet.host import Host
from tests.fleet.system import wait_for

from .campaigns import Campaigns

pytestmark = [pytest.mark.fleet, pytest.mark.timeout(1500)]

BASE = "/var/lib/upkeep/patching"
UPDATES = ("upkeep-demo", "upkeep-demo-sec", "libupkeepdemo1", "libupkeepdemo", "upkeep-demo-conf", "upkeep-demo-held")
"""What every host gets. Beside it come what every host must refuse, and what breaks one host each."""
REFUSED = ("upkeep-demo-replacing", "upkeep-demo-phased", "upkeep-demo-unmet")
BREAKING = ("upkeep-demo-slow", "upkeep-demo-broken", "upkeep-demo-dies", "upkeep-demo-kernel")
"""Installed everywhere to begin with; each host keeps only the one that is its own."""
ELSEWHERE = ("upkeep-demo-wrong", "upkeep-demo-sshd", "upkeep-demo-deaf")
LIBRARY = ("libupkeepdemo1", "libupkeepdemo")

DONE, BACK, OUT, LOST, UNPLANNED, QUARANTINED = "done", "rolled_back", "left_out", "lost", "unplanned", "quarantined"


@dataclass(frozen=True)
class Row:
    """A host: what is wrong with it, how it shall end, and what tells of it."""

    fault: str
    ends: str
    flavour: str = "debian"
    breaking: str = ""
    """The package that it has, and whose version 2 breaks it."""
    script: str = ""
    """Shell for root, before anything begins."""
    check: tuple[str, str, str] = ("", "", "")
    """The finding: its check, subject and severity."""
    says: str = ""
    """What the campaign's reason has in it."""


V1 = "1.0-1"
HALF_DONE = "half done"
"""The version that LOOK gives for a package that is not whole; here it is always version 1."""
HARMLESS = (
    "apt-mark hold upkeep-demo-held; echo 'setting = mine' > /etc/upkeep-demo-conf.conf;"
    "touch /run/reboot-required; echo linux-image-gone > /run/reboot-required.pkgs"
)
HALF = "cd /root; apt-get -q download upkeep-demo-kept; dpkg --unpack upkeep-demo-kept_1.0-1_all.deb"
FULL = (
    "mount -t tmpfs -o size=64k none /var/cache/apt/archives; mkdir /var/cache/apt/archives/partial;"
    "head -c 62000 /dev/zero > /var/cache/apt/archives/full"
)
NO_KEY = "mv /usr/share/keyrings/upkeep-fleet.asc /root/"
WRONG_PORT = "sed -i 's#packages.fleet.test/#packages.fleet.test:81/#' /etc/yum.repos.d/*.repo"

ROWS = {
    "slow": Row(
        "the controller is killed in its transaction; held, a changed conffile, a stale reboot flag", DONE,
        breaking="upkeep-demo-slow", script=HARMLESS,
        check=("patch.apply.conffile_kept", "/etc/upkeep-demo-conf.conf", "low"),
    ),
    "late": Row(
        "an interrupted dpkg; comes back late from its reboot", DONE, breaking="upkeep-demo-kernel", script=HALF,
        check=("upkeep.host.unreachable", "late", "high"),
    ),
    "rpm": Row(
        "dnf: a dependency that nothing provides, an update that would remove another package", DONE, flavour="dnf",
        check=("patch.plan.would_remove", "upkeep-demo-replaced", "medium"),
    ),
    "lock": Row(
        "somebody holds dpkg's lock", OUT, check=("patch.prepare.locked", "apt", "medium"), says="lock-holder"
    ),
    "full": Row(
        "no room for what is fetched", OUT, script=FULL,
        check=("patch.prepare.no_room", "/var/cache/apt/archives", "medium"), says="too little room",
    ),
    "key": Row(
        "the key of the repositories is missing", UNPLANNED, script=NO_KEY,
        check=("patch.plan.not_known", "os", "medium"), says="not known",
    ),
    "away": Row(
        "dnf: the repository does not answer", UNPLANNED, flavour="dnf", script=WRONG_PORT,
        check=("patch.plan.not_known", "os", "medium"), says="not known",
    ),
    "postinst": Row(
        "a broken postinst", BACK, breaking="upkeep-demo-broken",
        check=("patch.apply.incomplete", "apt", "critical"), says="half-configured",
    ),
    "dies": Row(
        "its service is dead after the patch", BACK, breaking="upkeep-demo-dies",
        check=("patch.apply.service_failed", "upkeep-demo-dies.service", "critical"), says="upkeep-demo-dies.service",
    ),
    "wrong": Row(
        "its service answers 500 after the patch", BACK, breaking="upkeep-demo-wrong",
        check=("patch.health.probe_failed", "demo", "critical"), says="answers 500",
    ),
    "sshd": Row(
        "the patch breaks sshd", BACK, breaking="upkeep-demo-sshd",
        check=("patch.apply.service_failed", "sshd", "critical"), says="Nonsense",
    ),
    "post": Row(
        "dnf: a failing %post", BACK, flavour="dnf", breaking="upkeep-demo-broken",
        check=("patch.apply.scriptlet_failed", "dnf", "high"), says="cannot migrate",
    ),
    "deaf": Row(
        "dnf: its service lives, and listens no more", BACK, flavour="dnf", breaking="upkeep-demo-deaf",
        check=("patch.health.port_closed", "tcp/127.0.0.1:7720", "critical"), says="7720",
    ),
    "mount": Row(
        "returns from its reboot without a mount", QUARANTINED, breaking="upkeep-demo-kernel",
        check=("patch.health.mount_lost", "/srv/data", "high"), says="/srv/data",
    ),
    "gone": Row(
        "never returns from its reboot", LOST, breaking="upkeep-demo-kernel",
        check=("upkeep.host.unreachable", "gone", "high"), says="no answer",
    ),
    "last": Row("nothing", DONE, check=("patch.plan.would_remove", "upkeep-demo-replacing", "medium")),
}  # fmt: skip
FORETOLD = ("slow", "late", "rpm", "lock", "full", "key", "away", "postinst", "last")
"""In check mode there is no difference between one package that breaks and another."""
MARK = "/run/checked-since"
SINCE = (
    f"find /etc /usr /boot /opt /srv /root /var/lib -cnewer {MARK} -not -path '/var/lib/systemd/*'"
    # Whoever reads rpm's database, or dnf's history, touches these.
    " -not -path '*.sqlite*' -not -path /var/lib/rpm -not -path /var/lib/dnf"
)
LOOK = r"""
import glob, hashlib, json, os, subprocess
def run(*words):
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
files = {}
ours = ("/usr/share/*upkeep*", "/usr/share/doc/*upkeep*", "/usr/lib/systemd/system/*upkeep*", "/usr/sbin/*upkeep*",
        "/usr/lib/x86_64-linux-gnu/*upkeep*", "/usr/lib/modules/*", "/boot", "/etc")
for top in (path for pattern in ours for path in glob.glob(pattern)):
    below = [os.path.join(folder, name) for folder, _, names in os.walk(top) for name in names]
    for path in below if os.path.isdir(top) else [top]:
        said = os.readlink(path) if os.path.islink(path) else hashlib.sha256(open(path, "rb").read()).hexdigest()
        files[path] = "%o %s" % (os.lstat(path).st_mode, said)
files.pop("/etc/mtab", None)
if os.path.exists("/usr/bin/dpkg-query"):
    lines = run("dpkg-query", "-W", "-f", "${db:Status-Abbrev} ${Package} ${Version}\n")
    packages = {line.split()[1]: line.split()[2] + line[2] for line in lines if line[1] not in "nc"}
    packages.update({line.split()[1]: "half done" for line in lines if line[1] not in "inc"})
else:
    packages = dict(line.split() for line in run("rpm", "-qa", "--qf", "%{NAME} %{VERSION}-%{RELEASE}\n"))
units = run("systemctl", "list-units", "--no-legend", "--plain", "--type=service", "--state=active,failed")
print(json.dumps({
    "packages": {name: version.strip() for name, version in packages.items()}, "files": files,
    "ports": sorted(" ".join(line.split()[at] for at in (0, 4)) for line in run("ss", "-Hltun")),
    "services": sorted(" ".join(unit.split()[at] for at in (0, 2)) for unit in units
                       if not unit.startswith(("user@", "user-runtime", "upkeep-patch-", "systemd-"))),
}))
"""


@dataclass
class Story:
    """What happened."""

    fleet: Fleet
    folder: Path
    before: dict[str, Any] = field(default_factory=dict)
    """What each host was, by LOOK."""
    boots: dict[str, str] = field(default_factory=dict)
    touched: dict[str, str] = field(default_factory=dict)
    """What was changed on each host in check mode."""
    foretold: list[dict[str, Any]] = field(default_factory=list)
    """The records of the run in check mode."""
    planned: dict[str, Any] = field(default_factory=dict)
    stopped: dict[str, Any] = field(default_factory=dict)
    finished: dict[str, Any] = field(default_factory=dict)
    """The campaign as it was planned, as it had stopped, and in the end."""
    records: list[dict[str, Any]] = field(default_factory=list)
    """Those of all its runs until it stopped, and the tickets then."""
    tickets: list[dict[str, Any]] = field(default_factory=list)
    after: dict[str, Any] = field(default_factory=dict)
    """What each host was when it stopped, and the last one in the end."""
    untouched: dict[str, Any] = field(default_factory=dict)
    """The host of the last ring when it stopped."""
    balancer: list[str] = field(default_factory=list)
    again: str = ""
    """What the last run by hand printed."""

    def each(self, what: Callable[[Host], Any], names: Iterable[str] = ROWS) -> dict[str, Any]:
        """Do something with many hosts at once."""
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(names, pool.map(lambda name: what(self.fleet[name]), names), strict=True))

    def look(self, names: Iterable[str] = ROWS) -> dict[str, Any]:
        return self.each(lambda host: json.loads(host.run(["python3", "-c", LOOK]).stdout), names)

    def variables(self) -> dict[str, Any]:
        """Of the role, by hand and in the campaign. Who is drained is written into a file, in order."""
        given: dict[str, Any] = {
            "patch_plan_select": "all", "patch_plan_show": False, "patch_plan_refresh_timeout": 20,
            "os_patch_reboot_ok": True, "os_patch_reboot_timeout": 12, "os_patch_health_wait": 9,
            "os_patch_lock_timeout": 5, "os_patch_restart_services": True,
            "os_patch_probes": [{"name": "demo", "kind": "http", "url": "http://127.0.0.1:7710/"}],
        }  # fmt: skip
        said = "echo %s {{ inventory_hostname }} >> " + str(self.folder / "balancer")
        for word in ("drain", "undrain"):
            task = {"name": word, "ansible.builtin.set_fact": {"told": "{{ lookup('pipe', said) }}"}}
            path = self.folder / f"{word}.json"
            path.write_text(json.dumps([{**task, "vars": {"said": said % word}}]))
            given[f"os_patch_{word}_tasks"] = str(path)
        return given

    def by_hand(self, name: str, *words: str) -> tuple[list[dict[str, Any]], str]:
        """The playbook, as a person runs it: the records of what its modules found, and what it printed."""
        (self.folder / "given.json").write_text(json.dumps(self.variables()))
        results = self.folder / f"{name}.jsonl"
        ran = subprocess.run(
            [
                Path(sys.executable).with_name("ansible-playbook"), "-i", self.fleet.ansible_inventory,
                "--forks", "20", "upkeep.maintenance.os_patch", "-e", f"@{self.folder}/given.json", *words,
            ],
            capture_output=True, text=True, timeout=300, check=False,
            env={**os.environ, "UPKEEP_RESULTS_FILE": str(results)},
        )  # fmt: skip
        return [json.loads(line) for line in results.read_text().splitlines()], ran.stdout + ran.stderr

    def results(self) -> list[dict[str, Any]]:
        """The records of all runs of the campaign. The one that was killed may have written half a line."""
        files = (self.folder / "home").rglob("results.jsonl")
        return [json.loads(line) for path in files for line in path.read_text().splitlines() if line.endswith("}")]

    def host(self, name: str) -> dict[str, Any]:
        """How the campaign left a host."""
        document = self.finished if name == "last" else self.stopped
        return next(dict(host) for host in document["hosts"] if host["name"] == name)

    def plan(self, name: str) -> dict[str, str]:
        """The packages as the host's plan has them in the end."""
        then = {one: version if version != HALF_DONE else V1 for one, version in self.before[name]["packages"].items()}
        planned = next(host["planned"] for host in self.planned["hosts"] if host["name"] == name)
        return {**then, **{package["name"]: package["to"] for package in planned["packages"]}}


def prepare(story: Story) -> None:
    """Publish the updates, and break each host in its own way."""
    fleet = story.fleet
    fleet.repo.publish("v2", *UPDATES, *REFUSED, *BREAKING, *ELSEWHERE, "linux-image-9.9.9-upkeep")

    def one(host: Host) -> None:
        row = ROWS[host.name]
        others = " ".join(name for name in BREAKING if name != row.breaking)
        # What goes would otherwise be missed after a reboot.
        stop = "systemctl -q disable --now upkeep-demo-dies; " if "upkeep-demo-dies" in others else ""
        if host.flavour == "dnf":
            host.run(
                f"{stop}rpm -e {others.replace('upkeep-demo-kernel', '')}; dnf -q --refresh makecache; dnf -q history"
            )
            version = "-1.0"
            install = "dnf -y -q install"
        else:
            host.run(f"{stop}dpkg --purge {others}; apt-get -q update")
            version = "=1.0-1"
            install = "apt-get -y -q install"
        if row.breaking in ELSEWHERE:
            host.run(f"{install} {row.breaking}{version}")
        if row.script:
            host.run(row.script)

    story.each(one)
    fleet["lock"].break_("package-lock")
    fleet["mount"].fill("/srv/data", percent=10)
    for name in ("gone", "late"):
        fleet[name].hold()


def kill(home: Path) -> None:
    """SIGKILL for all that carries the campaign out, as a machine that loses its power does."""
    mine = f"UPKEEP_HOME={home}".encode()
    for _ in range(3):
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and mine in (entry / "environ").read_bytes().split(b"\0"):
                    os.kill(int(entry.name), signal.SIGKILL)


@pytest.fixture(scope="module")
def story(fleet_factory: Factory, tmp_path_factory: pytest.TempPathFactory) -> Story:
    fleet = fleet_factory(*(f"{name}:{row.flavour}" for name, row in ROWS.items()))
    told = Story(fleet, tmp_path_factory.mktemp("faults"))
    prepare(told)
    told.before = told.look()
    told.boots = told.each(lambda host: host.boot_id())
    told.each(lambda host: host.run(f"touch {MARK}"))
    told.foretold, _ = told.by_hand("check", "--check", "--limit", ",".join(FORETOLD))
    told.touched = told.each(lambda host: host.run(SINCE).stdout, FORETOLD)
    carry_out(told)
    well = [name for name, row in ROWS.items() if row.ends == DONE]
    _, told.again = told.by_hand("again", "--limit", ",".join(well))
    return told


def carry_out(told: Story) -> None:
    """The campaign, from its plan to its end."""
    early = {"name": "early", "hosts": [name for name in ROWS if name != "last"], "batch": "100%"}
    faults = {
        "rings": [early, {"name": "late", "rest": True}], "soak": 0, "max_failures": 4, "lost_after": "45s",
        "steps": ["prepare", "drain", "apply", "reboot", "verify", "undrain"], "extra_vars": told.variables(),
    }  # fmt: skip
    campaigns, slow = Campaigns(told.fleet, told.folder, faults=faults), told.fleet["slow"]
    told.planned = campaigns.told("campaign", "plan", "faults", code=3)
    campaigns.upkeep("campaign", "approve", "faults")
    with campaigns.begin("campaign", "start", "faults") as process:
        in_postinst = wait_for(lambda: slow.run("pgrep -f '[s]leep 600'", check=False).stdout, 200, 0.5)
        kill(told.folder / "home")
        out, err = process.communicate(timeout=30)
    assert in_postinst, out + err
    # Nobody is there any more, and the transaction comes to its end.
    slow.run("pkill -f '[s]leep 600'")
    assert wait_for(lambda: not slow.run("systemctl list-units --no-legend 'upkeep-patch-*'").stdout, 60, 0.2)
    with campaigns.begin("campaign", "resume", "faults") as process, ThreadPoolExecutor(1) as pool:
        assert process.stdout is not None and process.stderr is not None
        rest = pool.submit(process.stdout.read)
        for line in process.stderr:
            print(line, end="", file=sys.stderr)
            if " reboot on " in line and "unreachable" in line:
                told.fleet["late"].release(wait=False)
        assert process.wait(30) == 3, rest.result()
    told.stopped = campaigns.told("campaign", "status", "faults")
    told.records, told.tickets = told.results(), campaigns.told("tickets", "--state", "all")["tickets"]
    told.after = told.look([name for name in ROWS if name != "gone"])
    told.untouched = told.after["last"]
    campaigns.upkeep("campaign", "resume", "faults", code=3)
    told.finished = campaigns.told("campaign", "status", "faults")
    told.after |= told.look(["last"])
    told.balancer = (told.folder / "balancer").read_text().splitlines()


def test_check_mode_changes_nothing(story: Story) -> None:
    assert story.touched == dict.fromkeys(FORETOLD, "")


def test_check_mode_foretells_what_the_campaign_does(story: Story) -> None:
    states = {record["host"]: record["state"] for record in story.foretold if record["type"] == "host"}
    refused = [name for name in FORETOLD if ROWS[name].ends in (OUT, UNPLANNED)]
    assert states == {name: "failed" if name in refused else "ok" for name in FORETOLD}
    plans = {record["host"]: record["plan"]["id"] for record in story.foretold if record["type"] == "plan"}
    did = {name: story.host(name)["plan"] for name in FORETOLD if ROWS[name].ends != UNPLANNED}
    assert {name: plans[name] for name in did} == did


@pytest.mark.parametrize("name", ROWS)
def test_a_fault(story: Story, name: str) -> None:
    row, host, was = ROWS[name], story.host(name), story.before[name]
    now = story.after.get(name, {})
    ends = {UNPLANNED: OUT, LOST: QUARANTINED}.get(row.ends, row.ends)
    assert host["state"] == ends and row.says in host["why"], host
    assert host["failed"] is (row.ends not in (DONE, UNPLANNED))
    check, subject, severity = row.check
    found = {
        (one["finding"]["check"], one["finding"]["subject"]): one["finding"]["severity"]
        for one in story.records
        if one["type"] == "finding" and one["host"] == name
    }
    assert found.get((check, subject)) == severity, found
    assert host["undo"] == (["drain"] if row.ends == QUARANTINED else []), "what was begun is undone"
    if row.ends == DONE:
        assert now["packages"] == story.plan(name)
        assert now["services"] == was["services"] and now["ports"] == was["ports"]
    elif row.ends == QUARANTINED:
        assert now["packages"] == was["packages"]
    elif row.ends != LOST:
        assert now == was, "all is as it was: packages, files, services, ports"
    rebooted = name in ("late", "mount")
    if row.ends != LOST:
        assert (story.fleet[name].boot_id() != story.boots[name]) is rebooted, "rebooted if needed, and only then"


def test_what_lies_between(story: Story) -> None:
    """What is refused, kept and restarted on hosts that are patched otherwise."""
    slow, rpm, late = (story.fleet[name] for name in ("slow", "rpm", "late"))
    packages = story.after["slow"]["packages"]
    assert packages["upkeep-demo-held"] == packages["upkeep-demo-replacing"] == "1.0-1"
    assert packages["upkeep-demo-replaced"] == packages["upkeep-demo-phased"] == "1.0-1"
    assert story.after["rpm"]["packages"]["upkeep-demo-replaced"] == "1.0-1.el9"
    assert story.after["rpm"]["packages"]["upkeep-demo-unmet"] == "1.0-1.el9"
    assert slow.read("/etc/upkeep-demo-conf.conf") == "setting = mine\n"
    assert late.run("dpkg --audit; dpkg-query -W -f '${db:Status-Abbrev}' upkeep-demo-kept").stdout.strip() == "ii"
    page = "python3 -c 'import urllib.request as u; print(u.urlopen(\"http://127.0.0.1:7710/\").read().decode())'"
    assert "1.0-1+deb12u1" in slow.run(page).stdout, "it runs the new library"
    assert "1.1" in rpm.run(page).stdout
    plan = next(host["planned"] for host in story.planned["hosts"] if host["name"] == "slow")
    why = {entry["name"]: entry["why"] for entry in plan["left_out"]}
    assert why["upkeep-demo-held"] == "held" and why["upkeep-demo-phased"] == "phased"


def test_the_transaction_of_a_dead_controller_is_gone_on_with(story: Story) -> None:
    log = story.fleet["slow"].read(f"{BASE}/{story.host('slow')['plan']}/transaction.log")
    assert log.count("Unpacking upkeep-demo-slow") == 1
    last = {line.split()[1]: line.split()[0] for line in story.balancer}
    assert {name for name, word in last.items() if word == "drain"} == {"mount"}, "only who is in quarantine"


def test_the_ring_stops_and_goes_on_when_a_person_says_so(story: Story) -> None:
    failed = {name for name, row in ROWS.items() if row.ends not in (DONE, UNPLANNED)}
    assert story.stopped["state"] == "stopped" and "4 may" in story.stopped["why"]
    assert story.stopped["failures"] == len(failed)
    assert {host["name"] for host in story.stopped["hosts"] if host["failed"]} == failed
    states = {host["name"]: host["state"] for host in story.stopped["hosts"]}
    assert states["last"] == "planned" and story.untouched == story.before["last"]
    assert story.finished["state"] == "finished"


def test_tickets(story: Story) -> None:
    priority = {"critical": "P1", "high": "P2", "medium": "P3"}
    told = {ticket["cause"]: ticket["priority"] for ticket in story.tickets}
    expected = {row.check[0]: row.check[2] for row in ROWS.values() if row.check[2] in priority and row.ends != DONE}
    expected |= {"patch.campaign.stopped": "high", "patch.campaign.quarantined": "critical"}
    del expected["upkeep.host.unreachable"]  # its cause has the host in it
    assert {cause: told.get(cause) for cause in expected} == {
        cause: priority[severity] for cause, severity in expected.items()
    }, told
    # What was seen to be well after the way back is over by itself; what stopped it and who is out of service is not.
    left = {ticket["cause"] for ticket in story.tickets if ticket["state"] == "open"}
    assert {"patch.campaign.stopped", "patch.campaign.quarantined", "patch.health.mount_lost"} <= left
    assert not {"patch.health.probe_failed", "patch.health.port_closed"} & left


def test_the_second_run_changes_nothing(story: Story) -> None:
    changed = dict(re.findall(r"^(\w+)\s+: ok=\d+\s+changed=(\d+)", story.again, re.MULTILINE))
    assert changed == {name: "0" for name, row in ROWS.items() if row.ends == DONE}, story.again
