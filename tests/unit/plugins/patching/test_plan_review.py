# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole plan of a Debian host: (what is on it, what its commands print) -> (plan, findings, coverage)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import contract_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import AS_ROOT, OUTPUT_LIMIT, Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import (
    apt_parse,
    mitigation_work,
    mitigations,
    plan_model,
    plan_options,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_review import review
from tests.unit.fake_host import NOW
from tests.unit.plugins.patching.debian import DAY, MAIN, SECURITY, Deb, DebianHost, in_release, plan

RELEASE = "/var/lib/apt/lists/deb.example.org_debian-security_dists_bookworm-security_InRelease"
QUIET = [Deb("bash"), Deb("apt", "2.6.1")]
FIX = Deb("openssl", "3.0.19-1", [("3.0.22-1", SECURITY)])
NEWS = Deb("bash", "5.2-1", [("5.2-2", MAIN)])
NGINX = Deb("nginx", "1.22-1", [("1.22-2", SECURITY)])


def count(upgraded: int, new: int = 0, removed: int = 0) -> str:
    return f"{upgraded} upgraded, {new} newly installed, {removed} to remove and 0 not upgraded.\n"


class PlanHost(DebianHost):
    """Simulates: an asked package goes to its version; ``needs``: package -> further lines; ``refuses``: packages."""

    def __init__(self, debs: list[Deb], *, needs: dict[str, list[str]] | None = None, refuses: tuple[str, ...] = (),
                 broken: bool = False, **more: Any) -> None:  # fmt: skip
        super().__init__(debs, **more)
        self.needs, self.refuses, self.broken = needs or {}, refuses, broken
        self.trials: list[list[str]] = []

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        if "--simulate" in argv:
            self.ran.append(argv)
            return self._simulate(argv[argv.index("install") + 1 :])
        if argv[:2] == ["apt-cache", "-q"] and argv[2] == "show":
            self.ran.append(argv)
            return Ran(0, "\n".join(self._record(*pair.split("=")) for pair in argv[4:]), "")
        return super().run(argv, timeout, limit)

    def _record(self, name: str, version: str) -> str:
        return (
            f"Package: {name}\nArchitecture: amd64\nVersion: {version}\nSource: src-{name} ({version}+s)\n"
            f"Installed-Size: 120\nSize: 1000\nDescription: x\n"
        )

    def _simulate(self, pairs: list[str]) -> Ran:
        if self.broken:
            return Ran(100, "", "E: Unmet dependencies. Try 'apt --fix-broken install' with no packages")
        self.trials.append(pairs)
        names = [pair.split("=")[0] for pair in pairs]
        if set(names) & set(self.refuses):
            unmet = "The following packages have unmet dependencies:\n x : Depends: y but it is not installable\n"
            return Ran(100, unmet, "E: Unable to correct problems, you have held broken packages.")
        lines = [f"Inst {name} [{self.debs[name].version}] ({pair.split('=')[1]} Debian-Security:12/stable [amd64])"
                 for name, pair in zip(names, pairs, strict=True)]  # fmt: skip
        lines += [line for name in names for line in self.needs.get(name, [])]
        kinds = [(line.startswith("Remv"), "[" in line.split("(")[0]) for line in lines]
        upgraded = sum(there and not gone for gone, there in kinds)
        new = sum(not there and not gone for gone, there in kinds)
        return Ran(0, "\n".join([count(upgraded, new, sum(gone for gone, _there in kinds)), *lines]) + "\n", "")


def planned(host: DebianHost, **options: Any) -> dict[str, Any]:
    result = review(host, {**plan_options.defaults(), **options})
    json.dumps(result, allow_nan=False)
    assert [error for finding in result["findings"] for error in contract_errors(finding)] == []
    if result["plan"] is not None:
        assert plan_model.errors_of(result["plan"]) == []
    return result


def steps(result: dict[str, Any]) -> list[str]:
    return [f"{p['name']} {p['from']}>{p['to']}" for p in result["plan"]["packages"]]


def checks(result: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [(f["check"], f["subject"], f["severity"]) for f in result["findings"]]


def covered(result: dict[str, Any], check: str, subject: str = "os") -> bool:
    return {"check": check, "subject": subject} in result["coverage"]


def test_nothing_to_do_costs_no_simulation() -> None:
    host = PlanHost(QUIET)
    result = planned(host)
    assert (result["state"], result["plan"]["packages"], result["findings"]) == ("nothing", [], [])
    assert covered(result, "patch.plan.not_known") and host.trials == [] and host.written == {}


def test_a_plan_of_security_updates() -> None:
    host = PlanHost([FIX, NEWS])
    result = planned(host)
    assert result["state"] == "planned" and steps(result) == ["openssl 3.0.19-1>3.0.22-1"]
    assert host.trials == [["openssl=3.0.22-1"]], "one simulation, and of just that"
    package = result["plan"]["packages"][0]
    assert (package["source"], package["source_to"]) == ("src-openssl", "3.0.22-1+s")
    assert (package["download_bytes"], package["origin"]) == (1000, "Debian-Security:bookworm-security")
    assert package["size_change_bytes"] is None, "the size of the installed version is not known"
    assert result["plans"][0]["id"] == result["plan"]["id"] and result["lines"][0].startswith(result["plan"]["id"])


def test_the_host_is_not_touched_while_it_is_asked() -> None:
    host = PlanHost([FIX, NGINX])
    planned(host, select="all")
    for argv in host.ran:
        assert argv[0] in ("apt-config", "apt-cache") or "--simulate" in argv or "--print-uris" in argv, argv
    assert host.written == {}


def test_what_comes_along_and_its_files_are_told() -> None:
    files = {
        "/var/lib/dpkg/info/libssl3:amd64.list": "/.\n/usr/lib/x86_64-linux-gnu/libssl.so.3\n/usr/share/doc/x\n",
        "/var/lib/dpkg/info/openssl.list": "/usr/bin/openssl\n",
        "/proc/50/maps": "7f0-7f1 r-xp 00000000 fe:00 1 /usr/lib/x86_64-linux-gnu/libssl.so.3\n",
        "/proc/50/cgroup": "0::/system.slice/nginx.service\n",
    }
    needs = {"openssl": ["Inst libssl3 [3.0.19-1] (3.0.22-1 Debian-Security:12/stable-security [amd64])",
                         "Inst libnew (1.0 Debian:12/stable [all])"]}  # fmt: skip
    host = PlanHost([FIX, Deb("libssl3", "3.0.19-1")], needs=needs, files=files)
    result = planned(host)
    told = {p["name"]: (p["asked"], p["action"], p["security"]) for p in result["plan"]["packages"]}
    assert told == {
        "openssl": (True, "upgrade", True), "libssl3": (False, "upgrade", True), "libnew": (False, "install", False),
    }  # fmt: skip
    assert result["plan"]["services"] == [
        {"unit": "nginx.service", "restart": "upkeep", "why": "it runs code of libssl3"}
    ]


def test_removals_are_refused_and_the_others_are_planned() -> None:
    host = PlanHost([FIX, NGINX, Deb("exim4", "4.96-1")], needs={"nginx": ["Remv exim4 [4.96-1]"]})
    result = planned(host)
    assert steps(result) == ["openssl 3.0.19-1>3.0.22-1"]
    left = result["plan"]["left_out"][0]
    assert (left["name"], left["why"], left["reason"]) == ("nginx", "would_remove", "it would remove exim4")
    assert checks(result) == [("patch.plan.would_remove", "nginx", "medium")]
    allowed = planned(host, allow_removals=True)
    assert sorted(steps(allowed)) == ["exim4 4.96-1>", "nginx 1.22-1>1.22-2", "openssl 3.0.19-1>3.0.22-1"]
    assert checks(allowed) == []


def test_a_plan_of_some_updates_does_not_speak_for_the_removals_of_the_others() -> None:
    check = "patch.plan.would_remove"
    assert covered(planned(PlanHost([FIX, NEWS])), check, "*"), "a full upgrade removes nothing"
    full = plan(["openssl", "bash"], removed=["exim4"])
    host = PlanHost([FIX, NEWS, Deb("exim4")], answers={"dist-upgrade": full, "upgrade": plan(["openssl"], ["bash"])})
    some = planned(host)
    assert covered(some, check, "openssl") and not covered(some, check, "*")
    assert covered(planned(host, select="all"), check, "*")
    broken = PlanHost([FIX, NEWS], answers={"dist-upgrade": Ran(100, "", "E: held broken packages")})
    assert not covered(planned(broken), check, "*"), "nobody knows"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Inst exim4 [4.96-1] (4.96-2 Debian:12/stable [amd64])", "it needs a change of exim4, which is held"),
        ("Inst bad [1] (2 Debian:12/stable [amd64])", "it needs a change of bad, which is excluded: not here"),
        ("Inst down [2] (1 Debian:12/stable [amd64])", "it would downgrade down to 1"),
    ],
)
def test_what_is_barred_does_not_come_along(line: str, told: str) -> None:
    held = Deb("exim4", "4.96-1", [("4.96-2", MAIN)], status="hold ok installed")
    host = PlanHost([FIX, NGINX, held, Deb("bad", "1"), Deb("down", "2")], needs={"nginx": [line]})
    result = planned(host, exclude=[{"name": "ba[d]", "reason": "not here", "until": ""}])
    assert steps(result) == ["openssl 3.0.19-1>3.0.22-1"]
    assert {e["name"]: (e["why"], e["reason"]) for e in result["plan"]["left_out"]}["nginx"] == ("kept_back", told)


def test_what_apt_refuses_is_kept_back_with_its_reason() -> None:
    result = planned(PlanHost([FIX, NGINX], refuses=("nginx",)))
    assert steps(result) == ["openssl 3.0.19-1>3.0.22-1"] and result["state"] == "planned"
    left = {e["name"]: (e["why"], e["reason"]) for e in result["plan"]["left_out"]}
    assert left["nginx"][0] == "kept_back" and "Depends: y but it is not installable" in left["nginx"][1]


@pytest.mark.parametrize(
    ("host", "told"),
    [
        (PlanHost([FIX], broken=True), "ended with 100"),
        (PlanHost([FIX], mtimes={RELEASE: NOW - 60 * DAY}, files={
            RELEASE: in_release("Debian-Security", "bookworm-security", NOW - 20 * DAY, NOW - 13 * DAY)}),
         "has expired"),
        (PlanHost([FIX], answers={"dump": Ran(100, "", "E: Syntax error /etc/apt/apt.conf.d/x:1")}), "apt-config dump"),
        (PlanHost([FIX], answers={"policy": Ran(None, "", "")}), "no end within its time limit"),
    ],
)  # fmt: skip
def test_a_plan_that_is_not_known(host: PlanHost, told: str) -> None:
    result = planned(host)
    assert result["state"] == "not_known" and told in result["reasons"][0]
    assert ("patch.plan.not_known", "os", "medium") in checks(result)


def test_an_empty_plan_of_doubtful_lists_is_none() -> None:
    stale = dict.fromkeys((RELEASE, RELEASE.replace("-security", ""), "/var/lib/apt/lists"), NOW - 60 * DAY)
    files = {RELEASE: in_release("Debian-Security", "bookworm-security", NOW - 20 * DAY, NOW - 13 * DAY)}
    result = planned(PlanHost(QUIET, files=files, mtimes=stale))
    assert (result["state"], result["plan"]) == ("not_known", None) and "plans" not in result


def test_an_output_that_is_not_understood_is_not_believed() -> None:
    class Garbled(PlanHost):
        def _simulate(self, pairs: list[str]) -> Ran:
            return Ran(0, "Inst openssl [3.0.19-1] (3.0.22-1 Debian:12/stable [amd64])\n" + count(2), "")

    result = planned(Garbled([FIX]))
    assert (result["state"], result["plan"]) == ("not_known", None)
    assert "could not be read to its end" in result["reasons"][0]


def test_without_root_the_services_are_not_known() -> None:
    files = {"/proc/50/cgroup": "0::/system.slice/nginx.service\n", "/proc/50/status": ""}
    result = planned(PlanHost([FIX], files=files, root=False))
    assert result["state"] == "not_known" and steps(result) == ["openssl 3.0.19-1>3.0.22-1"]
    finding = next(f for f in result["findings"] if f["check"] == "patch.plan.not_known")
    assert "1 of the processes belong to others" in finding["summary"] and finding["remedy"] == AS_ROOT
    assert planned(PlanHost(QUIET, files=files, root=False))["state"] == "nothing", (
        "nothing planned, nothing to restart"
    )


def test_no_package_manager() -> None:
    host = PlanHost([], without=["/var/lib/dpkg/status"], programs=[])
    result = planned(host, cves=["CVE-2026-0001"])
    assert (result["state"], result["plan"]) == ("not_known", None)
    assert result["exposure"]["CVE-2026-0001"]["state"] == "not_known"
    assert ("patch.manager.unsupported", "host", "medium") in checks(result)
    assert ("patch.exposure.not_known", "CVE-2026-0001", "medium") in checks(result)


def test_the_approved_plan_is_compared() -> None:
    first = planned(PlanHost([FIX, NGINX]))["plan"]
    same = planned(PlanHost([FIX, NGINX]), plan=first)
    assert same["approved"] == {"id": first["id"], "done": [], "differences": []}
    assert covered(same, "patch.plan.changed") and same["findings"] == []
    moved = Deb("nginx", "1.22-1", [("1.22-3", SECURITY)])
    done = Deb("openssl", "3.0.22-1")
    later = planned(PlanHost([done, moved]), plan=first)
    assert later["approved"]["done"] == ["openssl (amd64)"]
    assert later["approved"]["differences"] == [
        "upgrade nginx (amd64) 1.22-1 -> 1.22-2 was approved, now it would be: upgrade nginx (amd64) 1.22-1 -> 1.22-3"
    ]
    assert checks(later) == [("patch.plan.changed", "os", "high")]
    nothing = planned(PlanHost([done, Deb("nginx", "1.22-2")]), plan=first)
    assert nothing["approved"]["differences"] == [] and nothing["state"] == "nothing"


def test_measured_times_come_from_the_journals() -> None:
    base = "/var/lib/upkeep/patching"
    journal = {"times": {"applying": 100, "applied": 130}, "plan": {"packages": [{}]}}
    files = {f"{base}/p-000000000001/journal.json": json.dumps(journal), f"{base}/p-000000000002/journal.json": "{"}
    seconds = planned(PlanHost([FIX, NGINX], files=files))["plan"]["seconds"]
    assert seconds == {"download": 0, "apply": 36, "reboot": 0, "total": 36, "measured": True}


def fix(cve: str, fixed: str, source: str) -> dict[str, Any]:
    one = {"source": source, "release": "debian:13", "state": "fixed", "fixed": fixed, "note": ""}
    return {cve: {"fixes": [one], "severity": "high", "known_exploited": True}}


def test_named_cves_by_the_source_package() -> None:
    sent = {**fix("CVE-2026-0001", "3.0.22-1+s", "openssl"), **fix("CVE-2026-0002", "1", "gone")}
    host = PlanHost([FIX, NGINX])
    cves = ["cve-2026-0001", "CVE-2026-0002", "CVE-2026-0003"]
    result = planned(host, select="cves", cves=cves, vulnerabilities=sent)
    assert {cve: told["state"] for cve, told in result["exposure"].items()} == {
        "CVE-2026-0001": "exposed", "CVE-2026-0002": "not_installed", "CVE-2026-0003": "not_known",
    }  # fmt: skip
    assert result["exposure"]["CVE-2026-0001"]["packages"][0]["candidate"] == "3.0.22-1"
    assert steps(result) == ["openssl 3.0.19-1>3.0.22-1"]
    assert sorted(checks(result)) == [
        ("patch.exposure.exposed", "CVE-2026-0001", "high"),
        ("patch.exposure.not_known", "CVE-2026-0003", "medium"),
    ]
    assert covered(result, "patch.exposure.exposed", "CVE-2026-0002")
    assert not covered(result, "patch.exposure.exposed", "CVE-2026-0003")
    excluded = [{"name": "openssl", "reason": "the vendor says no", "until": ""}]
    result = planned(host, select="cves", cves=cves[:1], vulnerabilities=sent, exclude=excluded)
    assert steps(result) == [] and result["exposure"]["CVE-2026-0001"]["state"] == "exposed"
    assert result["findings"][0]["evidence"] == [
        "openssl 3.0.19-1: fixed in 3.0.22-1+s, 3.0.22-1 can be had",
        "openssl is left out of the plan, excluded: the vendor says no",
    ]


@pytest.mark.parametrize("at_least, severities", [(True, ["high"]), (False, [])])
def test_an_older_package_is_a_finding_only_in_an_emergency(at_least: bool, severities: list[str]) -> None:
    asked = {"name": "openssl", "version": "3.0.22-1", "at_least": at_least}
    result = planned(PlanHost([FIX]), select="packages", packages=[asked])
    assert steps(result) == ["openssl 3.0.19-1>3.0.22-1"]
    assert result["exposure"]["openssl=3.0.22-1"]["state"] == "exposed", "it is kept either way"
    assert [f["severity"] for f in result["findings"] if f["check"] == "patch.exposure.exposed"] == severities
    assert not covered(result, "patch.exposure.exposed", "openssl=3.0.22-1")
    done = planned(PlanHost([Deb("openssl", "3.0.22-1")]), select="packages", packages=[asked])
    assert covered(done, "patch.exposure.exposed", "openssl=3.0.22-1"), "what an emergency found is over"


def test_mitigations_that_may_not_be_seen_are_not_taken_for_none(monkeypatch: pytest.MonkeyPatch) -> None:
    checks_of = ("patch.mitigation.lost", "patch.mitigation.left")
    assert all(covered(planned(PlanHost([FIX])), check, "*") for check in checks_of)

    def gather(_machine: object, _run_checks: bool) -> None:
        raise mitigation_work.Refused("it may not be seen", "Run as root.")

    monkeypatch.setattr(mitigation_work, "gather", gather)
    result = planned(PlanHost([FIX], denied=[mitigations.BASE]))
    assert not any(one["check"] in checks_of for one in result["coverage"])
    not_run = [one["subject"] for one in result["findings"] if one["check"] == "patch.check.not_run"]
    assert set(checks_of) <= set(not_run) and result["plan"] is not None


# -- what apt prints ------------------------------------------------------------

APT_3 = """\
Installing dependencies:
  upkeep-demo-new

Upgrading:
  upkeep-demo  upkeep-demo-kept

Summary:
  Upgrading: 2, Installing: 1, Removing: 0, Not Upgrading: 4
Inst upkeep-demo [1.0-1] (2.0-1 Debian:13.1/stable, Debian:13/proposed [all])
Inst upkeep-demo-new (2.0-1 Debian:13/stable [all])
Inst libx:i386 [1:1.0-1] (1:2.0-1 Ubuntu:24.04/noble-updates [i386]) [libx:amd64 ]
Conf upkeep-demo (2.0-1 Debian:13/stable [all])
"""


def test_the_simulation_of_apt_3_and_of_foreign_architectures() -> None:
    steps, agrees = apt_parse.parse_simulation(APT_3)
    assert agrees
    assert [(s.name, s.arch, s.old, s.new, s.origin) for s in steps] == [
        ("upkeep-demo", "all", "1.0-1", "2.0-1", "Debian:13.1/stable"),
        ("upkeep-demo-new", "all", "", "2.0-1", "Debian:13/stable"),
        ("libx", "i386", "1:1.0-1", "1:2.0-1", "Ubuntu:24.04/noble-updates"),
    ]


@pytest.mark.parametrize(
    ("text", "agrees"),
    [
        ("", False),
        ("0 upgraded, 0 newly installed, 0 to remove and 3 not upgraded.\n", True),
        ("Inst a [1] (2 D:1/s [all])\n0 upgraded, 0 newly installed, 0 to remove and 3 not upgraded.\n", False),
        ("Inst a [1] (1 D:1/s [all])\n0 upgraded, 0 newly installed, 1 reinstalled, 0 to remove and 0 not upgraded.\n",
         True),
        ("Inst a [2] (1 D:1/s [all])\n0 upgraded, 0 newly installed, 1 downgraded, 0 to remove and 0 not upgraded.\n",
         True),
        ("Remv a [2]\n0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n", False),
        ("Remv a [2] [b:amd64 ]\n0 upgraded, 0 newly installed, 1 to remove and 0 not upgraded.\n", True),
    ],
)  # fmt: skip
def test_a_simulation_must_agree_with_its_own_count(text: str, agrees: bool) -> None:
    assert apt_parse.parse_simulation(text)[1] is agrees


def test_why_apt_refuses() -> None:
    out = "Some packages could not be installed.\nThe following packages have unmet dependencies:\n a : Depends: b\n"
    out += "     Recommends: c\nnext\n other\n"
    assert apt_parse.refusal(out, "W: x\nE: Unable to correct problems") == [
        "a - Depends: b", "Recommends: c", "E: Unable to correct problems",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("field", "expected"),
    [("", ("libssl3", "3.0-1+b1")), ("openssl", ("openssl", "3.0-1+b1")), ("openssl (3.0-1)", ("openssl", "3.0-1"))],
)
def test_the_source_of_a_package(field: str, expected: tuple[str, str]) -> None:
    assert apt_parse.source_of("libssl3", "3.0-1+b1", field) == expected
