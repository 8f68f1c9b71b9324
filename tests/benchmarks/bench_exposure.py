# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who of 500 hosts is exposed to one CVE: the playbook emergency_patch and its module against ping, in seconds.

The 500 are names for twenty hosts of the test fleet, 25 each: every name is logged into and asked by itself, over SSH,
and all its answers are kept and reported by itself. What is not like 500 machines: twenty of them share the work of
answering, on the processors that also run Ansible. The vulnerability data is of the size of Debian's tracker (30,000
CVEs, 40 MB), made here. UPKEEP_BENCH_HOSTS changes the 500.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path

import yaml

from tests.fleet import fleets, state

from .measure import Contender, Row, arguments, by_turns, measure, ratio, show

HOSTS = int(os.environ.get("UPKEEP_BENCH_HOSTS", "500"))
MACHINES = 20
FORKS = 20
CVE = "CVE-2025-10001"


def tracker(folder: Path) -> None:
    """Data in the shape and size of https://security-tracker.debian.org/tracker/data/json."""
    names = ("bullseye", "bookworm", "trixie", "forky", "sid")
    number = 0
    document: dict[str, dict[str, object]] = {}
    for place in range(4000):
        cves: dict[str, object] = {}
        for _ in range(10_000 if place == 0 else 1 + place % 9):
            number += 1
            fixed = f"1.2.3-4+deb12u{number % 9}"
            status = {
                "status": "resolved", "repositories": {"stable": "1.2.3-4", "security": fixed},
                "fixed_version": fixed, "urgency": "not yet assigned",
            }  # fmt: skip
            cves[f"CVE-{2005 + number % 20}-{20000 + number}"] = {
                "description": "d" * 180, "scope": "remote", "debianbug": number,
                "releases": dict.fromkeys(names, status),
            }  # fmt: skip
        document["linux" if place == 0 else f"source{place}"] = cves
    mine = {"status": "resolved", "fixed_version": "1.0-1+deb12u1", "urgency": "high"}
    document["upkeep-demo-sec"] = {CVE: {"releases": {"bookworm": mine}}}
    (folder / "json").write_text(json.dumps(document))


def main() -> None:
    args = arguments(__doc__, 1)
    home = state.default_home()
    wanted = fleets.parse_hosts(",".join(f"web{number + 1}" for number in range(MACHINES)), "debian")
    fleet = fleets.up(home, "bench-exposure", wanted, owner_pid=os.getpid())
    data = Path(tempfile.mkdtemp(prefix="upkeep-bench-"))
    try:
        tracker(data)
        read = yaml.safe_load(fleet.ansible_inventory.read_text())
        addresses = [host.address for host in fleet.hosts]
        names = {f"server{n + 1}": {"ansible_host": addresses[n % MACHINES]} for n in range(HOSTS)}
        known = (fleet.folder / "known_hosts").read_text()
        (data / "known_hosts").write_text(known)
        inventory = data / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"all": {"vars": read["all"]["vars"], "hosts": names}}))
        common = ["-i", str(inventory), "--forks", str(FORKS)]
        options = json.dumps({"cves": [CVE], "vulnerability_data": str(data), "restart_never": []})
        # Each name logs in for itself, as hosts of their own would be.
        env = {"ANSIBLE_GATHERING": "explicit", "ANSIBLE_SSH_ARGS": "-o ControlMaster=no"}
        ping = Contender("ping", lambda: ["ansible", "all", "-m", "ansible.builtin.ping", *common], env=env)
        plan = Contender(
            "exposure",
            lambda: ["ansible", "all", "-m", "upkeep.maintenance.patch_plan", "-a", options, *common],
            env=env,
        )
        book = Contender(
            "playbook",
            lambda: ["ansible-playbook", "upkeep.maintenance.emergency_patch", "-e", f"cve={CVE}",
                     "-e", f"patch_plan_vulnerability_data={data}", *common],
            env=env,
        )  # fmt: skip
        first = measure(
            Contender("index", lambda: ["ansible", "server1", "-m", "upkeep.maintenance.patch_plan", "-a", options,
                                        *common], env=env)
        )  # fmt: skip
        second = measure(
            Contender("no index", lambda: ["ansible", "server1", "-m", "upkeep.maintenance.patch_plan", "-a", options,
                                           *common], env=env)
        )  # fmt: skip
        by_turns([ping, plan, book], args.runs, warm_up=0)
        size = (data / "json").stat().st_size / 1e6
    finally:
        fleets.down(home, "bench-exposure")
        shutil.rmtree(data, ignore_errors=True)
    wall, base, whole = (one.median("wall") for one in (plan, ping, book))
    rows = [
        Row("exposure / ping", ratio(plan, ping), 2.0,
            f"{wall:.0f} s against {base:.0f} s, {HOSTS} hosts, {FORKS} forks"),
        Row("playbook / exposure", ratio(book, plan), None, f"{whole:.0f} s against {wall:.0f} s: all is told, too"),
        Row("minutes until all are known", whole / 60, 15.0, f"{whole:.0f} s, {HOSTS / whole:.1f} hosts a second"),
        Row("first run / later run", first.wall / second.wall, None,
            f"{first.wall:.1f} s against {second.wall:.1f} s: an index of {size:.0f} MB is made once"),
    ]  # fmt: skip
    show("exposure of a fleet to one CVE", rows, args.json)


if __name__ == "__main__":
    main()
