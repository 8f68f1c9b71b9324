# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emergency thought through: what is asked, who has what to do, the rings, when they stop, and the report."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import emergency

CVE, OTHER = "CVE-2026-0001", "CVE-2026-0002"


def asked(**given: Any) -> dict[str, Any]:
    defaults = {"cves": [CVE], "packages": [], "rings": [1, "10%", "100%"], "max_failures": 0, "mitigations": []}
    return {**defaults, **given}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"cves": []}, "found neither"),
        ({"packages": [{"name": "x", "version": ""}]}, "found both"),
        ({"cves": [], "packages": [{"name": "", "version": "3"}]}, "found no package"),
        ({"cves": ["CVE-1"]}, "CVE-YEAR-NUMBER, this is 'CVE-1'"),
        ({"cves": [], "packages": [{"name": "a b", "version": ""}]}, "the name of a package"),
        ({"cves": [], "packages": [{"name": "a", "version": "1 2"}]}, "a version as the package manager prints it"),
        ({"rings": []}, "emergency_patch_rings"),
        ({"rings": [1, "half"]}, "found half"),
        ({"rings": ["0%"]}, "found 0%"),
        ({"rings": [-1]}, "found -1"),
        ({"max_failures": "few"}, "emergency_patch_max_failures"),
        ({"mitigations": [{"name": "m"}]}, "needs a name, and cves"),
        ({"mitigations": ["m"]}, "needs a name, and cves"),
        ({"mitigations": [{"name": "m", "cves": [CVE]}] * 2}, "is there twice"),
        ({"mitigations": [{"name": "m", "cves": [CVE], "tasks": "/a", "check": ["x"]}]}, "tasks, undo_tasks and a"),
        ({"mitigations": [{"name": "m", "cves": [CVE], "tasks": "/a", "undo_tasks": "/b"}]}, "tasks, undo_tasks and a"),
    ],
)
def test_what_is_not_understood(given: dict[str, Any], words: str) -> None:
    assert words in "; ".join(emergency.errors_of(asked(**given)))


@pytest.mark.parametrize("given", [{}, {"max_failures": "5%"}, {"rings": ["100%"]}, {"rings": ["1", 3]},
                                   {"cves": [], "packages": [{"name": "openssl", "version": "3.0.17-1"}]}])  # fmt: skip
def test_what_is_understood(given: dict[str, Any]) -> None:
    assert emergency.errors_of(asked(**given)) == []


def test_names_as_people_type_them() -> None:
    assert emergency.names_of(" cve-2026-0001, CVE-2026-0002,cve-2026-0001,") == [CVE, OTHER]
    assert emergency.names_of([CVE.lower()]) == [CVE] and emergency.names_of("") == []
    assert emergency.keys_of([CVE], [{"name": "a", "version": "1"}, {"name": "b"}]) == [CVE, "a=1", "b"]


# -- what there is to do -------------------------------------------------------


def package(**given: Any) -> dict[str, Any]:
    return {"name": "openssl", "installed": "1", "fixed": "2", "candidate": "2", **given}


def answer(state: str = "exposed", packages: Any = None, **given: Any) -> dict[str, Any]:
    exposing = [package()] if packages is None and state in ("exposed", "mitigated") else packages or []
    told = {"state": state, "why": "why", "packages": exposing}
    plan = {"id": "p-0123456789ab", "packages": [{"name": "openssl"}], "services": [{"unit": "a.service"}],
            "reboot": {"needed": False}, "left_out": []}  # fmt: skip
    return {"exposure": {CVE: told}, "plan": plan, "mitigations": [], "asked_at": 100.0, **given}


OFFERED = [{"name": "m", "cves": [CVE]}, {"name": "n", "cves": [OTHER]}]
BARE = {"plan": {"packages": []}, "packages": [package(candidate="", fixed="")]}


@pytest.mark.parametrize(
    ("told", "patch", "mitigate", "lift"),
    [
        (answer(), True, [], []),
        (answer("mitigated"), True, [], []),  # there is a patch now
        (answer("patched"), False, [], []),
        (answer("not_known"), False, [], []),  # nothing is done to a host of which nothing is known
        (answer(**BARE), False, ["m"], []),
        (answer("mitigated", **BARE), False, [], []),
        # One of its packages has no patch yet: both.
        (answer(packages=[package(), package(name="ssh", candidate="")]), True, ["m"], []),
        (answer(plan={"packages": []}), False, ["m"], []),  # held: it is not patched now
        (answer("patched", mitigations=[{"name": "m", "cves": [CVE]}]), False, [], ["m"]),
        (answer("patched", mitigations=[{"name": "m", "cves": [CVE, OTHER]}]), False, [], []),
        (answer("patched", mitigations=[{"name": "m", "cves": []}, "hostile"]), False, [], []),
        ({"unreachable": True}, False, [], []),
        ({"failed": True, "msg": "x", **answer()}, False, [], []),
        ("hostile", False, [], []),
        ({"exposure": {CVE: "hostile"}, "plan": "hostile", "mitigations": 7}, False, [], []),
    ],
)
def test_what_there_is_to_do(told: Any, patch: bool, mitigate: list[str], lift: list[str]) -> None:
    work = emergency.work(told, [CVE], OFFERED)
    assert (work["patch"], work["mitigate"], work["lift"]) == (patch, mitigate, lift)
    assert work["any"] is bool(patch or mitigate or lift)
    assert set(work["exposing"]) == set(mitigate)


def test_a_kernel_that_waits_for_its_reboot_is_a_patch() -> None:
    told = answer(plan={"packages": []})
    told["exposure"][CVE]["reboot"] = True
    assert emergency.work(told, [CVE], OFFERED)["patch"] and not emergency.work(told, [CVE], OFFERED)["mitigate"]


# -- rings ---------------------------------------------------------------------

HOSTS = [f"h{number:02d}" for number in range(1, 21)]


@pytest.mark.parametrize(
    ("count", "sizes", "made"),
    [
        (20, [1, "10%", "100%"], [1, 2, 17]),
        (20, ["5%", "50%"], [1, 10, 9]),  # what is left is the last ring
        (5, [1, "10%", "100%"], [1, 1, 3]),  # rounded up
        (1, [1, "10%", "100%"], [1]),
        (0, [1, "100%"], []),
        (3, [10], [3]),
    ],
)
def test_rings(count: int, sizes: list[Any], made: list[int]) -> None:
    told = emergency.rings(HOSTS[:count], sizes)
    assert told["sizes"] == made and told["order"] == HOSTS[:count] and set(told["of"]) == set(told["order"])
    assert [list(told["of"].values()).count(number) for number in range(len(made))] == made


def test_canaries_come_first() -> None:
    told = emergency.rings(HOSTS[:5], [2, "100%"], ["h05", "elsewhere", "h03"])
    assert told["order"] == ["h03", "h05", "h01", "h02", "h04"] and told["of"]["h05"] == 0 and told["of"]["h01"] == 1


@pytest.mark.parametrize(
    ("ring", "failed", "through", "limit", "words"),
    [
        (0, [], {}, 0, ""),
        (1, [], {0: ["h01"]}, 0, ""),
        (1, ["h01"], {}, 0, "1 host(s) failed"),
        (1, ["h01"], {}, 3, "no host came through ring 1"),
        (2, ["h02"], {0: ["h01"], 1: ["h03"]}, 1, ""),
        (2, ["h02", "h03"], {0: ["h01"], 1: ["h04"]}, 1, "2 host(s) failed"),  # over all rings together
        (2, ["h02", "h03"], {0: ["h01"], 1: ["h04"]}, "10%", ""),
        (2, ["h02", "h03"], {0: ["h01"], 1: ["h04"]}, "9%", "2 host(s) failed"),
        (2, [], {0: ["h01"]}, 0, "no host came through ring 2"),  # it was not begun itself
    ],
)
def test_when_it_stops(ring: int, failed: list[str], through: dict[int, list[str]], limit: Any, words: str) -> None:
    made = emergency.rings(HOSTS, [1, 3, "100%"])
    groups = {"all": HOSTS, emergency.FAILED: failed}
    groups |= {emergency.THROUGH % number: hosts for number, hosts in through.items()}
    why = emergency.why_stop(made, ring, groups, limit)
    assert words in why and bool(words) is bool(why)


# -- the report ----------------------------------------------------------------


def report(hosts: dict[str, dict[str, Any]], applied: bool = True) -> dict[str, Any]:
    made = emergency.report(hosts, [CVE], 90.0, 300.0, applied)
    json.dumps(made, allow_nan=False)
    return made


def test_the_report_names_every_host_and_why_it_is_left() -> None:
    held = answer()
    held["plan"]["left_out"] = [
        {"name": "openssl", "why": "held", "reason": "apt-mark hold"},
        {"name": "openssl", "why": "not_selected", "reason": "x"},
    ]
    hosts = {
        "done": {"first": answer(asked_at=100.0), "last": answer("patched", plan={"packages": []}, asked_at=160.0)},
        "failed": {"first": answer(), "last": answer(asked_at=200.0), "failed": "It was put back, and is well."},
        "stopped": {"first": answer(), "last": answer(), "stop": "1 host(s) failed"},
        "held": {"first": held},
        "bare": {"first": answer(packages=[package(candidate="", fixed="")], plan={"packages": []})},
        "doubtful": {"first": answer(packages=[package(candidate="")], reasons=["the lists are old"])},
        "gone": {"first": {"unreachable": True, "msg": "timed out"}},
        "broken": {"first": {"failed": True, "msg": "no python\x1b[31m"}},
        "safe": {"first": answer("not_installed")},
        "hostile": {"first": {"exposure": {CVE: {"state": "fine", "packages": "x"}}}},
    }
    made = report(hosts)
    rows = {row["host"]: row for row in made["data"]["rows"]}
    assert set(rows) == set(hosts) and made["data"]["hosts_asked"] == 10
    assert (rows["done"]["state"], rows["done"]["seconds_to_patch"]) == ("patched", 60)
    assert rows["done"]["packages"] == [package()] and rows["done"]["plan"] == "p-0123456789ab"
    whys = {host: row["why"] for host, row in rows.items()}
    assert whys["done"] == whys["safe"] == ""
    assert whys["failed"] == "It was put back, and is well."
    assert whys["stopped"] == "its ring was not begun: 1 host(s) failed"
    assert whys["held"] == "openssl is held: apt-mark hold"
    assert whys["bare"] == "no repository of it has a patch; why"
    assert whys["doubtful"] == "no repository of it has a patch, as far as is known: the lists are old; why"
    assert whys["gone"] == "it does not answer" and whys["broken"] == "it could not be asked: no python"
    assert rows["hostile"]["state"] == "not_known"
    counts = {"exposed": 5, "not_known": 3, "mitigated": 0, "patched": 1, "not_installed": 1}
    assert made["data"]["hosts_by_state"] == counts
    assert [row["state"] for row in made["data"]["rows"]] == sorted(
        (row["state"] for row in made["data"]["rows"]), key=list(counts).index
    ), "who is left comes first"


def test_the_table_stands_in_columns_and_markdown_stays_markdown() -> None:
    made = report({"a" * 12: {"first": answer()}, "b|c": {"first": answer("not_known")}}, applied=False)
    head, names, first, second = made["lines"]
    assert head == "CVE-2026-0001: 2 host(s) asked; 1 exposed, 1 not known; 3 min"
    assert "time to patch" not in names
    for name, cell in (("state", "exposed"), ("package", "openssl"), ("fixed in", "2")):
        assert first[names.index(name) :].startswith(cell)
    assert second[names.index("state") :].startswith("not known")
    table = made["markdown"].splitlines()[2:]
    assert {line.replace("\\|", "").count("|") for line in table} == {10} and "| b\\|c |" in made["markdown"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (119, "119 s"), (600, "10 min"), (11100, "3 h 5 min"), (352800, "4 d 2 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert emergency.took(seconds) == text
