# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One patch run's overhead over the bare ``apt-get install`` of the same packages, on a host of the test fleet.

Measured is what lies within the window: the bare apt-get has its packages at hand, and ``patch_apply`` its plan
prepared. It looks, decides, writes its journal, lets apt work in a unit of its own, reads the host again, and sees what
runs replaced code. Preparing, which needs no window, and the way back are told beside it. Ansible's own way to the host
is not in it.
"""

from __future__ import annotations

import base64
import io
import json
import os
import statistics
import sys
import time
import zipfile
from pathlib import Path

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model
from tests.fleet import fleets, state

from .measure import Row, arguments, show

ROOT = Path(__file__).parents[2]
PACKAGES = 60
FILES = 150
"""Files of each package, of 4 KB: some 36 MB in all, as a month of Debian's updates has."""
ARCHIVE = "/opt/upkeep-bench.zip"
DRIVER = """
import json, sys
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import apply, options, prepare, rollback
what, given = sys.argv[1], json.loads(sys.argv[2])
work = {"prepare": prepare.prepare, "apply": apply.apply, "rollback": rollback.rollback}[what]
spec = getattr(options, what.upper() + "_SPEC")
did = work(Host(), {**{name: one.get("default") for name, one in spec.items()}, **given})
open("/root/" + what, "a").write("%s\\n" % did.get("seconds"))
sys.exit(0 if did["ok"] and did["changed"] else str(did))
"""
REPOSITORY = f"""
import hashlib, os, shutil, subprocess
repo = "/srv/bench"
index = ""
for version in ("1", "2"):
    for number in range({PACKAGES}):
        name = "upkeep-bench%02d" % number
        root = "/srv/tree"
        os.makedirs(root + "/DEBIAN")
        os.makedirs(root + "/usr/share/" + name)
        control = "Package: %s\\nVersion: %s\\nArchitecture: all\\nMaintainer: x <x@y.z>\\n" % (name, version)
        control += "Description: x\\n"
        open(root + "/DEBIAN/control", "w").write(control)
        for file in range({FILES}):
            open("%s/usr/share/%s/%d" % (root, name, file), "wb").write(os.urandom(4096))
        os.makedirs(repo, exist_ok=True)
        deb = "%s_%s_all.deb" % (name, version)
        subprocess.check_output(["dpkg-deb", "-Zgzip", "-z1", "-b", root, repo + "/" + deb])
        data = open(repo + "/" + deb, "rb").read()
        digest = hashlib.sha256(data).hexdigest()
        index += control + "Filename: ./%s\\nSize: %d\\nSHA256: %s\\n\\n" % (deb, len(data), digest)
        shutil.rmtree(root)
open(repo + "/Packages", "w").write(index)
open("/etc/apt/sources.list.d/bench.list", "w").write("deb [trusted=yes] file:/srv/bench ./\\n")
"""


def code() -> str:
    """The collection's module_utils as a zip, in base64."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((ROOT / "plugins" / "module_utils").rglob("*.py")):
            archive.write(path, f"ansible_collections/upkeep/maintenance/{path.relative_to(ROOT)}")
        for folder in ("", "/upkeep", "/upkeep/maintenance", "/upkeep/maintenance/plugins"):
            archive.writestr(f"ansible_collections{folder}/__init__.py", "")
        archive.writestr("ansible_collections/upkeep/maintenance/plugins/module_utils/__init__.py", "")
    return base64.b64encode(packed.getvalue()).decode()


def main() -> None:
    args = arguments(__doc__, 3)
    home = state.default_home()
    fleet = fleets.up(home, "bench-apply", fleets.parse_hosts("web1", "debian"), owner_pid=os.getpid())
    names = [f"upkeep-bench{number:02d}" for number in range(PACKAGES)]
    rows = [{"name": name, "arch": "all", "from": "1", "to": "2", "action": "upgrade", "asked": True} for name in names]
    plan = json.dumps({"plan": plan_model.make("apt", "all", rows)})
    seconds: dict[str, list[float]] = {"prepare": [], "apply": [], "rollback": []}
    rounds: list[tuple[float, float]] = []
    try:
        host = fleet["web1"]
        host.run(f"base64 -d > {ARCHIVE}", input=code())
        host.run(["python3", "-c", REPOSITORY], timeout=300)
        host.run("apt-get -q update")
        install = ["apt-get", "-q", "-y", "--allow-downgrades", "install"]

        def work(what: str, options: str) -> list[str]:
            return ["env", f"PYTHONPATH={ARCHIVE}", "python3", "-c", DRIVER, what, options]

        def timed(what: str, options: str) -> None:
            began = time.perf_counter()
            host.run(work(what, options), timeout=300)
            seconds[what].append(time.perf_counter() - began)

        reset = [*install, *(name + "=1" for name in names)]
        upgrade = [*install, *(name + "=2" for name in names)]
        for number in range(args.runs + 1):  # the first round does not count
            host.run(reset, timeout=300)
            began = time.perf_counter()
            host.run(upgrade, timeout=300)
            bare = time.perf_counter() - began
            host.run(reset, timeout=300)
            host.run("rm -rf /var/lib/upkeep")
            timed("prepare", plan)
            timed("apply", plan)
            # What apt itself took of the run is known to the run: the rest is ours, however busy the machine was.
            ours = seconds["apply"][-1] - float(host.read("/root/apply").split()[-1])
            print(f"  apt-get: {bare:.2f} s, apply: {seconds['apply'][-1]:.2f} s", file=sys.stderr, flush=True)
            if number:
                rounds.append((bare, ours))
        timed("rollback", "{}")
    finally:
        fleets.down(home, "bench-apply")
    base = statistics.median(bare for bare, _ours in rounds)
    beside = statistics.median(ours for _bare, ours in rounds)
    wall = statistics.median(seconds["apply"])
    show(
        f"a patch run of {PACKAGES} packages with {PACKAGES * FILES} files",
        [
            Row("(apt-get + our part) / apt-get", (base + beside) / base, 1.5, f"our part: {beside:.1f} s"),
            Row("patch_apply / apt-get, side by side", wall / base, None, f"{wall:.1f} s against {base:.1f} s"),
            Row(
                "prepare / apt-get",
                min(seconds["prepare"]) / base,
                None,
                f"{min(seconds['prepare']):.1f} s, before the window",
            ),
            Row("rollback / apt-get", seconds["rollback"][0] / base, None, f"{seconds['rollback'][0]:.1f} s"),
        ],
        args.json,
    )


if __name__ == "__main__":
    main()
