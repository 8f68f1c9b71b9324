# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The review of a host with dnf. ANSWER is what the probe printed on a host of the test fleet (dnf 4.14)."""

from __future__ import annotations

import ast
import copy
import json
import types
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._host import AS_ROOT, OUTPUT_LIMIT, Ran
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import dnf_probe
from tests.unit.fake_host import NOW, FakeHost
from tests.unit.plugins.patching.debian import BOOT, DAY, reviewed

CANNOT = "patch.check.not_run"


def update(name: str, **more: Any) -> dict[str, Any]:
    """An update as the probe tells it."""
    plain = {
        "arch": "noarch",
        "installed": "1.0-1.el9",
        "candidate": "2.0-1.el9",
        "repository": "fleet",
        "security": False,
        "severity": "",
        "advisories": [],
        "cves": [],
        "published": None,
        "held": False,
        "kept_back": "",
    }
    return {"name": name, **plain, **more}


ANSWER: dict[str, Any] = {
    "version": "4.14.0",
    "problems": {},
    "refreshed": False,
    "repositories": [
        {
            "id": "fleet",
            "fetched": True,
            "checked": NOW - DAY,
            "date": NOW - 2 * DAY,
            "error": "",
            "expired": "",
            "unsigned": "",
            "advisories": 4,
            "address": ["http://packages.fleet.test/rpm"],
        }
    ],
    "installed": ["libupkeepdemo", "upkeep-demo", "upkeep-demo-conf", "upkeep-demo-sec", "upkeep-demo-unmet"],
    "updates": [
        update(
            "libupkeepdemo",
            arch="x86_64",
            candidate="1.1-1.el9",
            security=True,
            severity="Critical",
            advisories=["UKSA-2025:0004"],
            cves=["CVE-2025-10002", "CVE-2025-10003"],
            published=NOW - 3 * DAY,
        ),
        update("upkeep-demo", advisories=["UKBA-2025:0001"], published=NOW - 5 * DAY),
        update("upkeep-demo-conf"),
        update(
            "upkeep-demo-sec",
            candidate="1.1-1.el9",
            security=True,
            severity="Important",
            advisories=["UKSA-2025:0002"],
            cves=["CVE-2025-10001"],
            published=NOW - 20 * DAY,
            held=True,
        ),
        update("upkeep-demo-unmet", kept_back="what it requires cannot be had, or it conflicts with another package"),
    ],
    "holds": [
        {
            "name": "upkeep-demo-sec",
            "installed": "1.0-1.el9",
            "how": "versionlock",
            "newer": "1.1-1.el9",
            "security": True,
        },
    ],
    "removals": [],
    "core_updated": [],
    "last_upgrade": NOW - 30 * DAY,
    "database": [],
}


class DnfHost(FakeHost):
    """A host of the Red Hat family whose probe answers ``did``."""

    def __init__(self, did: Any, **more: Any) -> None:
        files: dict[str, str | bytes] = {
            "/usr/bin/dnf": "#!/usr/libexec/platform-python -s\nimport dnf\n",
            "/etc/os-release": 'ID="rocky"\nVERSION_ID="9.6"\nPRETTY_NAME="Rocky Linux 9.6"\n',
            "/proc/stat": f"btime {BOOT:.0f}\n",
            "/proc/1/stat": "1 (systemd) S" + " 0" * 18 + " 0 1",
            "/proc/1/maps": "",
            "/proc/sys/kernel/osrelease": "5.14.0-570.12.1.el9_6.x86_64\n",
            "/boot/vmlinuz-5.14.0-570.12.1.el9_6.x86_64": "",
            "/boot/vmlinuz-0-rescue-0123456789abcdef": "",
        }
        files.update(more.pop("files", {}))
        more.setdefault("programs", ["dnf"])
        super().__init__(files, **more)
        self.did = did if isinstance(did, Ran) else Ran(0, json.dumps(did), "")

    def run(self, argv: list[str], timeout: float = 60.0, limit: int = OUTPUT_LIMIT) -> Ran:
        self.ran.append(argv)
        return self.did


def answer(**changes: Any) -> dict[str, Any]:
    return {**copy.deepcopy(ANSWER), **changes}


def quiet(**changes: Any) -> dict[str, Any]:
    return answer(**{"updates": [], "holds": [], **changes})


def test_a_host_that_is_up_to_date() -> None:
    host = DnfHost(quiet())
    result = reviewed(host)
    assert (result["verdict"], result.checks()) == ("compliant", [])
    assert result["manager"] == {"name": "dnf", "version": "4.14.0"}
    assert result["metadata"]["age_days"] == 1
    assert len(host.ran) == 1
    assert host.ran[0][:3] == ["/usr/libexec/platform-python", "-s", "-c"]  # dnf's own Python
    assert json.loads(host.ran[0][-1]) == {
        "refresh": False,
        "lock_timeout": 10,
        "boot": BOOT,
        "history_remedy": "See what it says: dnf history",
    }


def test_pending_with_advisories() -> None:
    result = reviewed(DnfHost(answer()))
    assert result.checks() == [
        ("high", "patch.security.pending", "dnf"),
        ("low", "patch.updates.pending", "dnf"),
        ("low", "patch.packages.kept_back", "dnf"),
        ("medium", "patch.packages.held", "dnf"),
    ]
    security = result.finding("patch.security.pending")
    assert security["summary"] == (
        "2 security updates are pending: 2 rated Critical or Important, 1 older than 14 days."
    )
    assert security["evidence"][0] == (
        "libupkeepdemo 1.0-1.el9 -> 1.1-1.el9 (fleet, Critical, UKSA-2025:0004, CVE-2025-10002, CVE-2025-10003, "
        "published 3 days ago)"
    )
    assert security["remedy"] == "dnf upgrade libupkeepdemo"
    assert result.finding("patch.packages.held")["remedy"].startswith(
        "Ask why, then: dnf versionlock delete upkeep-demo-sec"
    )
    assert result["verdict"] == "pending"
    assert result["updates"][0]["published"].endswith("Z")


@pytest.mark.parametrize(("severity", "expected"), [("Critical", "high"), ("Important", "high"), ("Low", "medium")])
def test_what_the_vendor_says_counts_at_once(severity: str, expected: str) -> None:
    fresh = {**ANSWER["updates"][0], "severity": severity}
    assert reviewed(DnfHost(quiet(updates=[fresh]))).finding("patch.security.pending")["severity"] == expected


def test_a_moderate_fix_is_not_urgent_until_it_is_old() -> None:
    pending = {**ANSWER["updates"][0], "severity": "Moderate"}
    assert reviewed(DnfHost(quiet(updates=[pending]))).finding("patch.security.pending")["severity"] == "medium"
    pending["published"] = NOW - 15 * DAY
    assert reviewed(DnfHost(quiet(updates=[pending]))).finding("patch.security.pending")["severity"] == "high"


def test_a_repository_that_failed_in_the_refresh() -> None:
    repository = {
        **ANSWER["repositories"][0],
        "error": "Failed to download metadata for repo 'fleet': Cannot download repomd.xml",
    }
    host = DnfHost(quiet(repositories=[repository], refreshed=True))
    result = reviewed(host, refresh=True)
    assert json.loads(host.ran[0][-1])["refresh"] is True
    assert result.checks() == [("medium", "patch.repository.unreachable", "fleet")]
    assert result["verdict"] == "unknown" and not result.covers("patch.security.pending")


def test_the_oldest_repository_says_how_old_the_lists_are() -> None:
    old = {**ANSWER["repositories"][0], "id": "old", "checked": NOW - 16 * DAY}
    result = reviewed(DnfHost(quiet(repositories=[*ANSWER["repositories"], old])))
    finding = result.finding("patch.metadata.stale")
    assert finding["severity"] == "high" and "16 days old" in finding["summary"]
    assert result["verdict"] == "unknown"


def test_a_repository_without_metadata() -> None:
    never = {
        **ANSWER["repositories"][0],
        "id": "never",
        "fetched": False,
        "checked": None,
        "date": None,
        "unsigned": "gpgcheck=0",
    }
    result = reviewed(DnfHost(quiet(repositories=[*ANSWER["repositories"], never])))
    assert ("medium", "patch.repository.unreachable", "never") in result.checks()
    assert ("low", "patch.repository.unsigned", "never") in result.checks()
    assert result["verdict"] == "unknown"
    alone = reviewed(DnfHost(quiet(repositories=[never])))
    assert alone.finding("patch.metadata.stale")["severity"] == "high"


def test_repositories_without_advisories_cannot_tell_what_is_a_fix() -> None:
    silent = {**ANSWER["repositories"][0], "advisories": 0}
    pending = {**ANSWER["updates"][2]}
    result = reviewed(DnfHost(quiet(repositories=[silent], updates=[pending])))
    assert result.finding("patch.security.no_source")["severity"] == "medium"
    assert result["verdict"] == "unknown"
    assert reviewed(DnfHost(quiet(repositories=[silent]))).checks() == []  # nothing pending: nothing to tell apart


@pytest.mark.parametrize(
    ("did", "says"),
    [
        (
            Ran(1, "", 'Traceback …\ndnf.exceptions.ConfigError: Parsing file "/etc/dnf/dnf.conf" failed\n'),
            "ConfigError",
        ),
        (Ran(None, "", ""), "did not answer within 60 s"),
        (Ran(0, '{"version": ', ""), "could not be asked"),
        (Ran(0, "[]", ""), "could not be asked"),
        (Ran(0, '{"version"', "", True), "larger than can be kept"),
        (Ran(127, "", "/usr/libexec/platform-python: not found"), "not found"),
        (Ran(0, "\ufffd\ufffd\x00", "\x1b[31m"), "could not be asked"),
    ],
)
def test_dnf_that_does_not_answer(did: Ran, says: str) -> None:
    result = reviewed(DnfHost(did))
    assert says in json.dumps(result["findings"])
    assert result["verdict"] == "unknown"
    for check in ("patch.security.pending", "patch.updates.pending", "patch.database.broken", "patch.metadata.stale"):
        assert not result.covers(check)
    assert result.covers("patch.kernel.outdated")  # the machine is still looked at
    assert not result.covers("patch.reboot.required")  # but dnf knows of core packages
    assert "dnf" in result.why_not("patch.reboot.required")


def test_what_the_probe_could_not_find_out() -> None:
    problem = ["dnf's metadata is locked by another process", "Wait for it.", ["metadata already locked by 77"]]
    result = reviewed(
        DnfHost({"version": "4.14.0", "problems": {"updates": problem, "database": problem, "repositories": problem}})
    )
    assert result.finding(CANNOT, "patch.security.pending")["evidence"] == ["metadata already locked by 77"]
    assert result["verdict"] == "unknown"


def test_a_broken_database() -> None:
    result = reviewed(DnfHost(quiet(database=["the last transaction of dnf (7) did not come to its end"])))
    finding = result.finding("patch.database.broken")
    assert finding["remedy"].startswith("rpm --rebuilddb")
    assert result["verdict"] == "unknown" and not result.covers("patch.security.pending")


def test_locks() -> None:
    files = {
        "/var/cache/dnf/metadata_lock.pid": "77",
        "/proc/77/cmdline": "/usr/bin/python3\0/usr/bin/dnf\0makecache\0",
        "/var/lib/dnf/rpmdb_lock.pid": "4242",  # left behind: there is no such process
        "/var/cache/dnf/download_lock.pid": "not a number",
    }
    result = reviewed(DnfHost(quiet(), files=files, locks={"/var/lib/rpm/.rpm.lock": 77}))
    assert [(lock["path"], lock["pid"]) for lock in result["locks"]] == [
        ("/var/cache/dnf/metadata_lock.pid", 77),
        ("/var/lib/rpm/.rpm.lock", 77),
    ]
    assert result.checks() == [("info", "patch.lock.held", "dnf")]


def test_locks_that_may_not_be_looked_at_are_not_taken_for_none() -> None:
    for path in ("/var/lib/rpm/.rpm.lock", "/var/lib/dnf/rpmdb_lock.pid"):
        result = reviewed(DnfHost(quiet(), root=False, denied=[path]))
        finding = result.finding(CANNOT)
        assert (finding["subject"], finding["remedy"]) == ("patch.lock.held", AS_ROOT)
        assert path in finding["summary"]
        assert not result.covers("patch.lock.held")
    assert reviewed(DnfHost(quiet(), root=False)).covers("patch.lock.held")


class Transaction:
    def __init__(self, tid: int, end: float | None, *actions: str) -> None:
        self.tid, self.end_timestamp, self.actions = tid, end, actions

    def packages(self) -> list[Any]:
        return [types.SimpleNamespace(action_name=action) for action in self.actions]


@pytest.mark.parametrize(
    ("transactions", "expected"),
    [
        ([Transaction(7, 50.0, "Install"), Transaction(6, 40.0, "Upgrade")], (40.0, [], None)),
        ([Transaction(7, None)], (None, ["the last transaction of dnf (7) did not come to its end"], None)),
        (PermissionError("no access to the history"), (None, [], ["no access to the history"])),
    ],
)
def test_the_probe_tells_when_it_could_not_look_at_the_history(
    transactions: Any, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def old(limit: int) -> Any:
        if isinstance(transactions, Exception):
            raise transactions
        return transactions[:limit]

    monkeypatch.setattr(dnf_probe, "HISTORY", __file__)  # it is there
    base = types.SimpleNamespace(history=types.SimpleNamespace(old=old))
    answer: dict[str, Any] = {"problems": {}}
    dnf_probe.take_history(base, {"history_remedy": AS_ROOT}, answer)
    problem = answer["problems"].get("database")
    assert (answer["last_upgrade"], answer["database"], problem and problem[2]) == expected
    monkeypatch.setattr(dnf_probe, "HISTORY", "/not/there")
    none: dict[str, Any] = {"problems": {}}
    dnf_probe.take_history(base, {"history_remedy": AS_ROOT}, none)
    assert none == {"problems": {}, "last_upgrade": None, "database": []}
    # What the probe tells is what the check goes by.
    result = reviewed(DnfHost(quiet(problems=answer["problems"], database=answer["database"]), root=False))
    assert result.covers("patch.database.broken") is (problem is None)
    if problem:
        assert result.finding(CANNOT, "patch.database.broken")["remedy"] == AS_ROOT


def test_core_packages_and_kernels_ask_for_a_reboot() -> None:
    result = reviewed(DnfHost(quiet(core_updated=["glibc-2.34-168.el9_6.14.x86_64"])))
    assert result.finding("patch.reboot.required")["evidence"] == [
        "installed since the boot: glibc-2.34-168.el9_6.14.x86_64"
    ]
    newer = {
        "/boot/vmlinuz-5.14.0-570.9.1.el9_6.x86_64": "",
        "/boot/vmlinuz-5.14.0-570.21.1.el9_6.x86_64": "",
        "/boot/vmlinuz-6.0.0-1.el9.x86_64+rt": "",
    }
    result = reviewed(DnfHost(quiet(), files=newer))
    assert result["kernel"]["newest"] == "5.14.0-570.21.1.el9_6.x86_64"
    assert result.finding("patch.reboot.required")


def test_without_the_time_of_the_boot_nobody_knows_what_was_installed_since() -> None:
    host = DnfHost(quiet())
    assert reviewed(host).covers("patch.reboot.required")
    del host.files["/proc/stat"]
    result = reviewed(host)
    assert "when this host was booted" in result.finding(CANNOT, "patch.reboot.required")["summary"]
    assert not result.covers("patch.reboot.required")


def test_a_rescue_kernel_is_none() -> None:
    host = DnfHost(quiet())
    del host.files["/boot/vmlinuz-5.14.0-570.12.1.el9_6.x86_64"]
    assert "no kernel is installed here" in reviewed(host).why_not("patch.kernel.outdated")


@pytest.mark.parametrize(
    ("packages", "files", "links", "why_not"),
    [
        ([], {}, {}, "dnf-automatic is not installed"),
        (["dnf-automatic"], {}, {}, "no timer"),
        (["dnf-automatic"], {}, {"dnf-automatic-install.timer": "x"}, ""),
        (
            ["dnf-automatic"],
            {"/etc/dnf/automatic.conf": "apply_updates = no\n"},
            {"dnf-automatic.timer": "x"},
            "only downloads",
        ),
        (
            ["dnf-automatic"],
            {"/etc/dnf/automatic.conf": "[commands]\napply_updates = yes\n"},
            {"dnf-automatic.timer": "x"},
            "",
        ),
    ],
)
def test_automatic_updates(packages: list[str], files: dict[str, str], links: dict[str, str], why_not: str) -> None:
    wants = {"/etc/systemd/system/timers.target.wants/" + name: target for name, target in links.items()}
    result = reviewed(DnfHost(quiet(installed=packages), files=files, links=wants))
    assert result["automatic"]["enabled"] is (why_not == "")
    assert why_not in result["automatic"]["why_not"]


def test_dnf_5_is_told_not_guessed() -> None:
    files = {"/usr/bin/dnf": b"\x7fELF\x02\x01\x01", "/usr/bin/dnf5": b"\x7fELF"}
    result = reviewed(DnfHost(quiet(), files=files, programs=["dnf", "dnf5"]))
    assert result.finding("patch.manager.unsupported")["evidence"] == ["found instead: dnf5"]
    assert result["verdict"] == "unknown"
    asked = reviewed(DnfHost(quiet(), files=files, programs=["dnf", "dnf5"]), manager="dnf")
    assert "dnf 5 is not understood yet" in asked.finding(CANNOT, "patch.security.pending")["summary"]


def test_apt_on_a_dnf_host_does_not_confuse() -> None:
    # apt-get without a database of dpkg, as on a host of the Red Hat family with apt-rpm's or Debian's tools installed.
    assert reviewed(DnfHost(quiet(), programs=["dnf", "apt-get"]))["manager"]["name"] == "dnf"


def test_ten_thousand_updates_with_hostile_names() -> None:
    many = [{**ANSWER["updates"][1], "name": f"p{number}; reboot #\x1b[31m"} for number in range(10_000)]
    result = reviewed(DnfHost(quiet(updates=many)))
    assert result["updates_total"] == 10_000 and len(result["updates"]) == 500
    assert "\\u001b" not in json.dumps(result)
    few = reviewed(DnfHost(quiet(updates=many[:1])))
    assert few.finding("patch.updates.pending")["remedy"].startswith("dnf upgrade 'p0; reboot #")


def test_the_probe_is_python_that_rhel_8_can_read() -> None:
    source = dnf_probe.source()
    assert source.endswith("\nmain()\n")
    ast.parse(source, feature_version=(3, 6))
    assert "annotations" not in source.split("import json")[0].split('"""')[-1]
    assert len(source) < 100_000  # one argument of a command may have 128 KiB
