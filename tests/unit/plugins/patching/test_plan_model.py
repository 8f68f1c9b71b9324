# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as a dictionary: its identity, what is wrong with one that is handed in, and what changed since."""

from __future__ import annotations

import contextlib
import copy
import json
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import plain
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_model as model


def package(name: str = "openssl", before: str = "3.0.16-1", after: str = "3.0.17-1", **more: Any) -> dict[str, Any]:
    action = "upgrade" if before and after else "install" if after else "remove"
    return {
        "name": name, "arch": "amd64", "from": before, "to": after, "action": action, "asked": True, "source": name,
        "origin": "Debian-Security:bookworm-security", "security": True, "severity": "", "cves": [],
        "known_exploited": False, "published": None, "download_bytes": 1000, "size_change_bytes": -24, **more,
    }  # fmt: skip


def plan(*packages: dict[str, Any], manager: str = "apt", **more: Any) -> dict[str, Any]:
    return model.make(manager, "security", packages or [package()], **more)


def test_the_id_is_that_of_what_is_done() -> None:
    made = plan(package("a"), package("b"))
    assert model.PLAN_ID.fullmatch(made["id"])
    # Written down: an approved plan must stay the same plan with every later version of Upkeep.
    assert made["id"] == "p-03aca58b6763" == model.plan_id(json.loads(json.dumps(made)))
    assert plan(package("b"), package("a"))["id"] == made["id"], "whatever the order"
    told_otherwise = plan(package("a", cves=["CVE-2026-1"], severity="High", download_bytes=7), package("b"))
    assert told_otherwise["id"] == made["id"], "what is known of a package may grow"


@pytest.mark.parametrize(
    "other",
    [
        plan(package(after="3.0.17-2")),
        plan(package(before="3.0.15-1")),
        plan(package(arch="i386")),
        plan(package("openssl2")),
        plan(package(), package("b")),
        plan(package(action="downgrade")),
        plan(manager="dnf"),
        model.make("apt", "security", []),
    ],
)
def test_another_transaction_is_another_plan_and_is_told(other: dict[str, Any]) -> None:
    assert other["id"] != plan()["id"]
    assert model.difference(plan(), other) and model.difference(other, plan())


def test_the_same_transaction_has_no_difference() -> None:
    assert model.difference(plan(), plan(package(cves=["CVE-2026-1"]))) == []


def test_sizes_are_added_up_and_unknown_ones_count_nothing() -> None:
    made = plan(package("a"), package("b", download_bytes=None, size_change_bytes=None), reboot=["kernel"])
    assert (made["download_bytes"], made["install_bytes"]) == (1000, -24)
    assert made["reboot"] == {"needed": True, "why": ["kernel"]}


def test_a_plan_that_was_made_here_has_no_errors() -> None:
    services = [{"unit": "nginx.service", "restart": "upkeep", "why": "it has libssl open"}]
    assert model.errors_of(plan(services=services)) == []
    assert model.errors_of(model.make("apt", "all", [])) == []
    mixed = [package(), package("new", before=""), package("old", after=""), package("g++", after="1:12~rc1+b1")]
    assert model.errors_of(plan(*mixed)) == []
    kernels = [package("kernel-core", "", "5.14.0-2.el9", arch="x86_64"),
               package("kernel-core", "5.14.0-1.el9", "", arch="x86_64")]  # fmt: skip
    assert model.errors_of(plan(*kernels, manager="dnf")) == [], "dnf keeps several kernels, and removes the oldest"


def broken(**changes: Any) -> dict[str, Any]:
    """A plan with a changed package and an id that fits: whoever forges a plan can do that too."""
    made = copy.deepcopy(plan())
    made["packages"][0].update(changes)
    with contextlib.suppress(KeyError, TypeError):
        made["id"] = model.plan_id(made)
    return made


@pytest.mark.parametrize(
    ("handed", "told"),
    [
        (None, "a plan is a dictionary"),
        ([], "a plan is a dictionary"),
        ({}, "manager is one of apt, dnf"),
        (dict(plan(), manager=["apt"]), "manager is one of"),
        (dict(plan(), select="some"), "select is one of"),
        (dict(plan(), packages={"openssl": 1}), "packages is a list"),
        (dict(plan(), packages=[package()] * 20_001), "packages is a list of at most 20000"),
        (dict(plan(), packages=["openssl"]), "package 1: it is a dictionary"),
        (broken(name="-oDir::Etc=x"), "package 1: name is not one"),
        (broken(name="a;reboot"), "name is not one"),
        (broken(name="a b"), "name is not one"),
        (broken(name="a\n"), "name is not one"),
        (broken(name=""), "name is not one"),
        (broken(name=7), "name is not one"),
        (broken(name="x" * 300), "name is not one"),
        (broken(arch=""), "arch is not one"),
        (broken(arch="../x"), "arch is not one"),
        (broken(to="$(id)"), "to is not a version"),
        (broken(to="1-"), "to is not a version"),
        (broken(to="1 2"), "to is not a version"),
        (broken(**{"from": None}), "from is not a version"),
        (broken(action="purge"), "action is one of"),
        (broken(action=["upgrade"]), "action is one of"),
        (broken(action="install"), "install of openssl does not go from"),
        (broken(to=""), "upgrade of openssl does not go from"),
        (broken(to="3.0.16-1"), "upgrade of openssl does not go from"),
        (plan(package(), package()), "listed more often: openssl"),
        (dict(plan(), id="p-000000000000"), "changed after it was made"),
        (dict(plan(), id=None), "changed after it was made"),
        (dict(plan(), services="nginx"), "services is a list of dictionaries"),
        (dict(plan(), services=[{"unit": "x", "restart": "now"}]), "restart is one of"),
        (dict(plan(), left_out=[1]), "left_out is a list of dictionaries"),
        (dict(plan(), reboot=[]), "reboot is a dictionary"),
        (dict(plan(), reboot={"needed": "yes"}), "reboot: needed cannot be"),
        (dict(plan(), reboot={"needed": True, "why": [1]}), "reboot: why cannot be"),
        (dict(plan(), seconds={"total": "7"}), "seconds: total cannot be"),
        (dict(plan(), seconds={"total": True}), "seconds: total cannot be"),
        (dict(plan(), left_out=[{"name": 7}]), "left_out: name cannot be"),
        (dict(plan(), services=[{"unit": None, "restart": "never"}]), "services: unit cannot be"),
        (plan(package(cves="CVE-2026-1")), "package: cves cannot be"),
        (plan(package(cves=[7])), "package: cves cannot be"),
        (plan(package(severity=None)), "package: severity cannot be"),
        (plan(package(security=1)), "package: security cannot be"),
        (dict(plan(), download_bytes="1"), "download_bytes is a number"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told(handed: Any, told: str) -> None:
    assert told in "\n".join(model.errors_of(handed))


def test_the_difference_says_which_package_and_how() -> None:
    approved = plan(package("a"), package("b"), package("c"))
    now = plan(package("a", after="3.0.18-1"), package("c"), package("d", before=""))
    assert model.difference(approved, now) == [
        "upgrade a (amd64) 3.0.16-1 -> 3.0.17-1 was approved, now it would be: upgrade a (amd64) 3.0.16-1 -> 3.0.18-1",
        "upgrade b (amd64) 3.0.16-1 -> 3.0.17-1 is no longer planned",
        "install d (amd64) 3.0.17-1 is planned now and was not approved",
    ]
    assert model.difference(plan(), plan(manager="dnf")) == ["the package manager was apt and is dnf"]


def test_a_plan_is_told_in_lines_as_far_as_it_tells() -> None:
    bare = {"manager": "apt", "select": "all", "packages": [
        {"name": "a", "arch": "all", "from": "1", "to": "2", "action": "upgrade"}]}  # fmt: skip
    bare["id"] = model.plan_id(bare)
    assert model.errors_of(bare) == []
    assert model.lines(bare) == [
        f"{bare['id']}: Packages: 1 upgraded; restarts needed: 0; no reboot.",
        "- upgrade a (all) 1 -> 2",
    ]
    made = plan(
        *[package(f"p{number}", security=False) for number in range(250)],
        left_out=[
            {"name": "x", "from": "1", "to": "2", "security": True, "why": "kept_back", "reason": "r", "until": "u"},
            {"name": "y", "from": "1", "to": "2", "security": False, "why": "not_selected", "reason": "", "until": ""},
        ],
        services=[{"unit": "n.service", "restart": "upkeep", "why": "w"}],
        reboot=["libc"],
        seconds={"download": 1, "apply": 2, "reboot": 180, "total": 183, "measured": True},
    )
    told = model.lines(made)
    assert told[201] == "- … and 50 more"
    assert told[202:] == [
        "left out:",
        "- x 1 -> 2 - kept back until u (r), a security update",
        "not asked for by select: security: 1",
        "services:",
        "- n.service: needs a restart (w)",
        "reboot: libc",
        "download: 244 KiB; time: about 183 s, as measured on this host",
    ]


def test_no_package_is_taken_for_a_secret() -> None:
    names = ("passwd", "libsecret-1-0", "python3-keyring", "golang-github-xanzy-ssh-agent-token", "libpam-passwdqc")
    left = [{"name": name, "from": "1", "to": "2", "why": "held", "reason": "r"} for name in names]
    now = plan(*[package(name, after="4") for name in names], package("password-store", before=""), left_out=left)
    for told in (model.lines(now), model.difference(plan(*map(package, names)), now)):
        assert plain(told) == told and len(told) > len(names)
    assert plain(now) == now, "the plan itself"


def test_a_plan_is_told_in_a_sentence_and_a_package_in_a_line() -> None:
    assert model.summary(model.make("apt", "all", [])) == "Nothing is to be done."
    made = plan(
        package("a", known_exploited=True),
        package("b", before="", security=False),
        services=[{"unit": "x.service", "restart": "never", "why": ""}],
        reboot=["libc"],
    )
    assert model.summary(made) == (
        "Packages: 1 upgraded, 1 installed (1 security, 1 known to be exploited); restarts needed: 0; "
        "a reboot is needed."
    )
    cves = [f"CVE-2026-{number}" for number in range(1, 6)]
    told = package("a", cves=cves, severity="high", known_exploited=True, asked=False)
    assert model.package_line(told) == (
        "upgrade a (amd64) 3.0.16-1 -> 3.0.17-1; known to be exploited; security (high); "
        "CVE-2026-1, CVE-2026-2, CVE-2026-3 and 2 more; comes along"
    )
