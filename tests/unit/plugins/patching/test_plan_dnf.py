# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan of a host with dnf: what the probes print -> the plan. The answers are the fleet's, shortened."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._host import OUTPUT_LIMIT, Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_dnf_probe
from tests.unit.plugins.patching.test_dnf import DnfHost, answer, quiet, update
from tests.unit.plugins.patching.test_plan_review import checks, planned, steps


def change(name: str, **more: Any) -> dict[str, Any]:
    return {
        "name": name, "arch": "noarch", "before": "1.0-1.el9", "after": "2.0-1.el9", "action": "upgrade",
        "origin": "fleet", "source": name, "download": 6000, "size_change": 10, "update": None, **more,
    }  # fmt: skip


def worked_out(*changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "version": "4.14.0", "problems": {}, "repositories": [], "refreshed": False, "changes": list(changes),
        "refused": [], "owned": {}, "scripts": {}, "core": ["kernel", "glibc"], "versions": {}, **more,
    }  # fmt: skip


class PlanHost(DnfHost):
    """The second probe answers ``then``."""

    def __init__(self, did: Any, then: Any = None, **more: Any) -> None:
        super().__init__(did, **more)
        self.then = then if isinstance(then, Ran) else Ran(0, json.dumps(then), "")
        self.settings: list[dict[str, Any]] = []

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        self.settings.append(json.loads(argv[-1]))
        return super().run(argv, timeout, limit) if "main_of_plan" not in argv[-2] else self.then


def test_the_text_that_is_sent_is_whole_and_python_3_6_can_read_it() -> None:
    text = plan_dnf_probe.source()
    tree = ast.parse(text, feature_version=(3, 6))
    modules = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) if not node.level}
    assert modules == {"typing"}, "neither annotations of the future nor"
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree)), "files of the package"
    assert len(text) < 100_000  # one argument of a command may have 128 KiB
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    called = {n.func.id for n in ast.walk(tree) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)}
    assert {"search", "opened", "describe_update", "need_reboot", "work_out"} <= defined & (called | {"search"})
    assert text.rstrip().endswith("main_of_plan()")


def test_nothing_to_do_takes_one_probe() -> None:
    host = PlanHost(quiet())
    assert planned(host)["state"] == "nothing" and len(host.settings) == 1


def test_a_plan_of_security_updates() -> None:
    library = change("libupkeepdemo", arch="x86_64", after="1.1-1.el9")
    owned = {"/usr/lib64/libupkeepdemo.so.1": "libupkeepdemo"}
    files = {
        "/proc/50/maps": "7f0-7f1 r-xp 00000000 fe:00 1 /usr/lib64/libupkeepdemo.so.1\n",
        "/proc/50/cgroup": "0::/system.slice/upkeep-demo.service\n",
    }
    host = PlanHost(answer(), worked_out(library, owned=owned), files=files)
    result = planned(host)
    assert host.settings[1]["wanted"] == [["libupkeepdemo", "x86_64", "1.1-1.el9"]]
    assert host.settings[1]["barred"] == ["upkeep-demo-sec"], "what is locked must not come along"
    package = result["plan"]["packages"][0]
    assert (package["severity"], package["cves"]) == ("Critical", ["CVE-2025-10002", "CVE-2025-10003"])
    assert package["security"] and package["asked"] and package["published"]
    assert [(s["unit"], s["restart"]) for s in result["plan"]["services"]] == [("upkeep-demo.service", "upkeep")]
    left = {entry["name"]: entry["why"] for entry in result["plan"]["left_out"]}
    assert left["upkeep-demo-sec"] == "held" and left["upkeep-demo"] == "not_selected"


def test_what_comes_along_goes_and_asks_for_a_reboot() -> None:
    along = {"security": True, "severity": "Low", "cves": ["CVE-2026-0001"], "published": 7.0}
    changes = [
        change("upkeep-demo"),
        change("glibc", arch="x86_64", update=along),
        change("new", before="", action="install"),
        change("old", after="", action="remove"),
    ]
    updates = [update("upkeep-demo")]
    host = PlanHost(answer(updates=updates, holds=[]), worked_out(*changes))
    result = planned(host, select="all", allow_removals=True)
    assert sorted(steps(result)) == [
        "glibc 1.0-1.el9>2.0-1.el9", "new >2.0-1.el9", "old 1.0-1.el9>", "upkeep-demo 1.0-1.el9>2.0-1.el9",
    ]  # fmt: skip
    told = {package["name"]: package for package in result["plan"]["packages"]}
    assert (told["glibc"]["cves"], told["glibc"]["asked"]) == (["CVE-2026-0001"], False)
    assert result["plan"]["reboot"] == {"needed": True, "why": ["glibc 2.0-1.el9 is installed"]}


def test_what_cannot_be_had() -> None:
    refused = [["upkeep-demo", "would_remove", "it would remove x"], ["upkeep-demo-conf", "kept_back", "no"]]
    host = PlanHost(answer(removals=["upkeep-demo-replaced"]), worked_out(refused=refused))
    result = planned(host, select="all")
    left = {entry["name"]: (entry["why"], entry["reason"]) for entry in result["plan"]["left_out"]}
    assert left["upkeep-demo"] == ("would_remove", "it would remove x")
    assert left["upkeep-demo-conf"] == ("kept_back", "no")
    assert checks(result) == [("patch.plan.would_remove", "upkeep-demo", "medium")]
    # Where no update is to blame, another package obsoletes it.
    result = planned(PlanHost(quiet(removals=["upkeep-demo-replaced"])), select="all")
    assert checks(result) == [("patch.plan.would_remove", "upkeep-demo-replaced", "medium")]


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (Ran(1, "", "Error: something\n"), "exit code 1"),
        (Ran(None, "", ""), "did not answer"),
        (Ran(0, "[]", ""), "exit code 0"),
        (worked_out(problems={"plan": ["dnf could not work out a transaction", "dnf upgrade", ["x"]]}), "work out"),
    ],
)
def test_a_plan_that_is_not_known(then: Any, told: str) -> None:
    result = planned(PlanHost(answer(), then), cves=["CVE-2026-0001"])
    assert (result["state"], result["plan"]) == ("not_known", None) and told in result["reasons"][0]
    assert result["exposure"]["CVE-2026-0001"]["state"] == "not_known"


def exposure(**told: Any) -> dict[str, Any]:
    return {"known": False, "packages": [], "fixed": [], "absent": [], **told}


ROW = {"name": "x", "installed": "1-1", "fixed": "2-1", "candidate": "", "reboot": False}


@pytest.mark.parametrize(
    ("told", "state"),
    [
        (exposure(known=True, packages=[ROW], fixed=["y 2-1"]), "exposed"),
        (exposure(known=True, fixed=["y 2-1"]), "patched"),
        (exposure(known=True, absent=["z"]), "not_installed"),
        (exposure(known=True), "not_installed"),
        (exposure(), "not_known"),
    ],
)
def test_exposure_by_advisories(told: dict[str, Any], state: str) -> None:
    cve = "CVE-2026-0001"
    host = PlanHost(quiet(), worked_out(exposure={cve: told}))
    sent = {cve: {"fixes": [], "severity": "high", "known_exploited": True}}
    result = planned(host, cves=[cve], vulnerabilities=sent)
    assert result["exposure"][cve]["state"] == state and result["exposure"][cve]["known_exploited"] is True
    assert (("patch.exposure.exposed", cve, "high") in checks(result)) is (state == "exposed")
    assert (("patch.exposure.not_known", cve, "medium") in checks(result)) is (state == "not_known")
    # Advisories that may not be all there are prove nothing but the exposure itself.
    down = quiet()
    down["repositories"][0].update(fetched=False, error="cannot connect")
    doubtful = planned(PlanHost(down, worked_out(exposure={cve: told})), cves=[cve])
    assert doubtful["exposure"][cve]["state"] == ("exposed" if state == "exposed" else "not_known")
