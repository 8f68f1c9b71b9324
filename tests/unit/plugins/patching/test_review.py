# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole review of a Debian host: (what is on it, what its commands print) -> (findings, coverage, verdict)."""

from __future__ import annotations

import gzip
import json
import time
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import contract_errors
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import AS_ROOT, Ran
from tests.unit.fake_host import NOW, FakeHost
from tests.unit.plugins.patching.debian import (
    BACKPORTS,
    BOOT,
    CONFIG,
    DAY,
    LISTS,
    MAIN,
    OS_RELEASE,
    SECURITY,
    SOURCES,
    Deb,
    DebianHost,
    in_release,
    plan,
    reviewed,
)

STATUS = "/var/lib/dpkg/status"
SECURITY_RELEASE = LISTS + "deb.example.org_debian-security_dists_bookworm-security_InRelease"
MAIN_RELEASE = LISTS + "deb.example.org_debian_dists_bookworm_InRelease"
QUIET = [Deb("bash"), Deb("apt", "2.6.1"), Deb("libc6", "2.36-9")]
FIX = Deb("openssl", "3.0.19-1", [("3.0.22-1", SECURITY)])
NEWS = Deb("bash", "5.2-1", [("5.2-2", MAIN)])
CANNOT = "patch.check.not_run"


def test_a_host_that_is_up_to_date() -> None:
    host = DebianHost(QUIET)
    result = reviewed(host)
    assert result["verdict"] == "compliant"
    assert result["reasons"] == []
    assert result.checks() == []
    assert result["manager"] == {"name": "apt", "version": "2.6.1"}
    for check in (
        "patch.security.pending",
        "patch.updates.pending",
        "patch.services.outdated",
        "patch.reboot.required",
    ):
        assert result.covers(check)
    # Nothing can be upgraded: the costly command is not run, and no command may change anything.
    assert [argv[0] for argv in host.ran] == ["apt-config", "apt-cache"]
    assert host.written == {}


def test_security_updates() -> None:
    result = reviewed(DebianHost([FIX, NEWS]))
    finding = result.finding("patch.security.pending")
    assert (finding["severity"], finding["subject"]) == ("medium", "apt")
    assert finding["evidence"] == [
        "openssl 3.0.19-1 -> 3.0.22-1 (Debian-Security:bookworm-security, published at least 1 day ago)"
    ]
    assert finding["remedy"] == "apt-get install --only-upgrade openssl"
    assert finding["facts"]["packages"][0]["candidate"] == "3.0.22-1"
    assert result["verdict"] == "pending"
    assert (result["updates_total"], result["security_updates_total"]) == (2, 1)
    update = result["updates"][0]
    assert (update["name"], update["security"], update["published"]) == ("openssl", True, None)
    assert update["published_by"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(NOW - DAY))


def test_an_old_security_update_is_high() -> None:
    old = {SECURITY_RELEASE: in_release("Debian-Security", "bookworm-security", NOW - 20 * DAY)}
    finding = reviewed(DebianHost([FIX], files=old)).finding("patch.security.pending")
    assert finding["severity"] == "high"
    assert "1 older than 14 days" in finding["summary"]
    assert (
        reviewed(DebianHost([FIX], files=old), security_max_age_days=30).finding("patch.security.pending")["severity"]
        == "medium"
    )


def test_a_fix_that_the_candidate_overtook_is_still_a_fix() -> None:
    overtaken = Deb("jq", "1.6-1", [("1.6-3", MAIN), ("1.6-2", SECURITY)])
    assert reviewed(DebianHost([overtaken])).finding("patch.security.pending")["facts"]["count"] == 1
    # A fix that is older than what is installed is none.
    done = Deb("jq", "1.6-2", [("1.6-3", MAIN), ("1.6-1", SECURITY)], candidate="1.6-3")
    result = reviewed(DebianHost([done], {"upgrade": plan(["jq"]), "dist-upgrade": plan(["jq"])}))
    assert [check for _severity, check, _subject in result.checks()] == ["patch.updates.pending"]


@pytest.mark.parametrize(("days", "severity"), [(10, "low"), (40, "medium")])
def test_ordinary_updates(days: int, severity: str) -> None:
    files = {MAIN_RELEASE: in_release("Debian", "bookworm", NOW - days * DAY)}
    finding = reviewed(DebianHost([NEWS], files=files)).finding("patch.updates.pending")
    assert finding["severity"] == severity
    assert finding["summary"].startswith("1 ordinary update is pending")


def test_own_security_archives() -> None:
    files = {
        "/etc/apt/sources.list": "deb https://user:hunter2@apt.example.org/hotfix stable main\n",
        LISTS + "apt.example.org_hotfix_dists_stable_InRelease": in_release("Hotfixes", "stable", NOW - DAY),
    }
    deb = Deb("app", "1", [("2", ("https://apt.example.org/hotfix", "stable", "main"))])
    assert reviewed(DebianHost([deb], files=files))["security_updates_total"] == 0
    result = reviewed(DebianHost([deb], files=files), security_origins=["label=hotfixes"])
    assert result["security_updates_total"] == 1
    assert "hunter2" not in json.dumps(result)


# -- held, pinned, kept back, phased -------------------------------------------


def test_held() -> None:
    held = Deb("postgresql-15", "15.1", [("15.2", MAIN)], status="hold ok installed")
    result = reviewed(DebianHost([held], {"dist-upgrade": plan([], kept=["postgresql-15"])}))
    finding = result.finding("patch.packages.held")
    assert finding["severity"] == "low"
    assert finding["evidence"] == ["postgresql-15 15.1 (hold): 15.2 is kept away"]
    assert finding["remedy"].endswith("apt-mark unhold postgresql-15")
    # One cause, one finding: it is neither pending nor kept back besides.
    assert [check for _severity, check, _subject in result.checks()] == ["patch.packages.held"]
    assert result["verdict"] == "pending"


def test_a_hold_that_keeps_a_fix_away() -> None:
    held = Deb("openssl", "3.0.19-1", [("3.0.22-1", SECURITY)], status="hold ok installed")
    host = DebianHost([held], {"dist-upgrade": plan([], kept=["openssl"])})
    result = reviewed(host, allowed_holds=["open*"])
    assert result.finding("patch.packages.held")["severity"] == "medium"
    assert result.finding("patch.security.pending")["evidence"][0].endswith("held)")
    assert "apt-get install --only-upgrade openssl" not in result.finding("patch.security.pending")["remedy"]


def test_a_hold_without_anything_newer_and_allowed_holds() -> None:
    hosts = [Deb("a", status="hold ok installed"), Deb("b", status="hold ok installed")]
    assert reviewed(DebianHost(hosts)).finding("patch.packages.held")["severity"] == "info"
    result = reviewed(DebianHost(hosts), allowed_holds=["a", "b*"])
    assert result.checks() == []
    assert result["verdict"] == "compliant"


@pytest.mark.parametrize("by", ["name", "version"])
def test_a_pin_that_keeps_an_update_away(by: str) -> None:
    pinned = Deb("nginx", "1.22", [("1.24", MAIN)], candidate="1.22", pin="1.22" if by == "version" else "")
    files = {"/etc/apt/preferences.d/web": "Package: ngin*\nPin: release *\nPin-Priority: -1\n"} if by == "name" else {}
    result = reviewed(DebianHost([pinned], files=files))
    finding = result.finding("patch.packages.held")
    assert finding["evidence"] == ["nginx 1.22 (pin): 1.24 is kept away"]
    assert result["verdict"] == "pending"


def test_a_pin_that_hides_a_security_fix_is_told_whatever_it_names() -> None:
    hidden = Deb("openssl", "3.0.19-1", [("3.0.22-1", SECURITY)], candidate="3.0.19-1", priority=-1)
    files = {"/etc/apt/preferences": "Package: *\nPin: origin deb.example.org\nPin-Priority: -1\n"}
    result = reviewed(DebianHost([hidden], files=files))
    assert result.finding("patch.packages.held")["severity"] == "medium"
    assert result["verdict"] == "pending"


def test_backports_are_no_update() -> None:
    files = {
        "/etc/apt/sources.list": "deb http://deb.example.org/debian bookworm-backports main\n",
        LISTS + "deb.example.org_debian_dists_bookworm-backports_InRelease": in_release(
            "Debian Backports", "bookworm-backports", NOW, None, "NotAutomatic: yes\n"
        ),
    }
    deb = Deb("curl", "7.88", [("8.5~bpo12", BACKPORTS)], candidate="7.88", priority=100)
    named = {"/etc/apt/preferences.d/x": "Package: curl\nPin: version 7*\nPin-Priority: 500\n"}
    assert reviewed(DebianHost([deb], files={**files, **named})).checks() == []


def test_kept_back_because_new_packages_are_needed() -> None:
    debs = [Deb("linux-image-amd64", "6.1.1", [("6.1.2", SECURITY)]), NEWS]
    answers = {
        "dist-upgrade": plan(["linux-image-amd64", "bash"], new=["linux-image-6.1.0-38-amd64"]),
        "upgrade": plan(["bash"], kept=["linux-image-amd64"]),
    }
    result = reviewed(DebianHost(debs, answers))
    finding = result.finding("patch.packages.kept_back")
    assert finding["severity"] == "medium"  # a security update is among them
    assert finding["evidence"][0].endswith("needs new packages")
    assert result["verdict"] == "pending"
    assert result.finding("patch.updates.pending")["facts"]["count"] == 1


def test_kept_back_for_good_and_removals() -> None:
    debs = [Deb("a", "1", [("2", MAIN)]), Deb("b", "1", [("2", MAIN)])]
    answers = {"dist-upgrade": plan(["b"], kept=["a"], removed=["c"]), "upgrade": plan([], kept=["a", "b"])}
    result = reviewed(DebianHost(debs, answers))
    finding = result.finding("patch.packages.kept_back")
    assert finding["severity"] == "low"
    assert [line.rpartition(": ")[2] for line in finding["evidence"]] == [
        "apt cannot upgrade it without breaking another package",
        "needs removals",
        "a full upgrade would remove c",
    ]
    assert result["would_remove"] == ["c"]
    assert [check for _severity, check, _subject in result.checks()] == ["patch.packages.kept_back"]


@pytest.mark.parametrize("heading", ["phased", "kept"])  # apt-get of Debian 12 counts it among what is kept back
def test_phased(heading: str) -> None:
    deb = Deb("a", "1", [("2", MAIN)], phased=20)
    result = reviewed(DebianHost([deb], {"dist-upgrade": plan([], **{heading: ["a"]})}))
    assert [check for _severity, check, _subject in result.checks()] == ["patch.updates.pending"]
    finding = result.finding("patch.updates.pending")
    assert finding["severity"] == "info"
    assert "phased" in finding["evidence"][0]
    assert result["verdict"] == "pending"


def test_phased_and_this_host_is_among_the_first() -> None:
    result = reviewed(DebianHost([Deb("a", "1", [("2", MAIN)], phased=20)]))
    assert result["updates"][0]["phased"] is False
    assert result.finding("patch.updates.pending")["severity"] == "medium"  # 40 days old


def test_a_plan_that_cannot_be_read_is_told() -> None:
    cut = plan(["bash"]).split("1 upgraded")[0]
    result = reviewed(DebianHost([NEWS], {"dist-upgrade": cut}))
    assert result.finding(CANNOT)["subject"] == "patch.packages.kept_back"
    assert not result.covers("patch.packages.kept_back")
    assert result.finding("patch.updates.pending")
    assert result["verdict"] == "unknown"


# -- what cannot be believed ----------------------------------------------------


@pytest.mark.parametrize(
    ("state", "says"),
    [
        ("install ok half-configured", "upkeep-demo 2.0 is half-configured"),
        ("install ok unpacked", "upkeep-demo 2.0 is unpacked"),
        ("install ok triggers-pending", "upkeep-demo 2.0 is triggers-pending"),
        ("install reinstreq half-installed", "upkeep-demo 2.0 must be installed again (reinstreq)"),
    ],
)
def test_a_half_done_database(state: str, says: str) -> None:
    result = reviewed(DebianHost([*QUIET, Deb("upkeep-demo", "2.0", status=state)]))
    finding = result.finding("patch.database.broken")
    assert finding["severity"] == "medium"
    assert finding["evidence"] == [says]
    assert "dpkg --configure -a" in finding["remedy"]
    assert result["verdict"] == "unknown"
    # Nothing is pending, but that is no proof any more.
    assert not result.covers("patch.security.pending")
    assert "database is broken" in result.why_not("patch.security.pending")


def test_an_interrupted_dpkg_leaves_its_journal() -> None:
    files = {"/var/lib/dpkg/updates/0001": "Package: x\n", "/var/lib/dpkg/updates/tmp.i": ""}
    finding = reviewed(DebianHost(QUIET, files=files)).finding("patch.database.broken")
    assert finding["evidence"] == ["dpkg was interrupted: 1 unmerged changes in /var/lib/dpkg/updates"]


def test_a_database_that_somebody_works_on_is_not_called_broken() -> None:
    debs = [*QUIET, Deb("x", status="install ok unpacked")]
    files = {"/proc/77/cmdline": "apt-get\0upgrade\0", "/proc/77/stat": "77 (apt-get) S" + " 0" * 18 + " 20000 1"}
    host = DebianHost(debs, files=files, locks={"/var/lib/dpkg/lock-frontend": 77})
    result = reviewed(host)
    assert result.finding(CANNOT)["subject"] == "patch.database.broken"
    assert "process 77" in result.finding(CANNOT)["summary"]
    assert result.finding("patch.lock.held")["severity"] == "medium"  # since the boot, days ago
    assert result["locks"] == [{"path": "/var/lib/dpkg/lock-frontend", "pid": 77, "command": "apt-get upgrade"}]
    assert result["verdict"] == "unknown"


def test_a_lock_of_a_moment_is_no_fault() -> None:
    ticks = int((NOW - 60 - (BOOT - 100)) * 100)
    files = {"/proc/77/cmdline": "apt\0list\0", "/proc/77/stat": "77 (a b) c) S" + " 0" * 18 + f" {ticks} 1"}
    result = reviewed(DebianHost(QUIET, files=files, locks={"/var/lib/apt/lists/lock": 77}))
    assert result.checks() == [("info", "patch.lock.held", "apt")]
    assert result["verdict"] == "compliant"


@pytest.mark.parametrize(
    ("text", "says"),
    [(None, "cannot be read"), ("", "is empty"), ("Package: bash\nStatus: install ok", "without package or status")],
)
def test_no_status_file_or_half_of_it(text: str | None, says: str) -> None:
    host = DebianHost(QUIET)
    if text is None:
        del host.files[STATUS]
        host.files["/var/lib/dpkg/status-old"] = ""
    else:
        host.files[STATUS] = text
    result = reviewed(host, manager="apt")
    assert result["verdict"] == "unknown"
    told = json.dumps(result["findings"])
    assert says in told
    assert not result.covers("patch.security.pending")


@pytest.mark.parametrize(
    ("days", "tried", "severity"), [(8, None, "medium"), (20, None, "high"), (20, 1, "low"), (3, None, None)]
)
def test_stale_lists(days: int, tried: float | None, severity: str | None) -> None:
    files = {
        MAIN_RELEASE: in_release("Debian", "bookworm", NOW - 50 * DAY),
        SECURITY_RELEASE: in_release("Debian-Security", "bookworm-security", NOW - days * DAY),
    }
    mtimes = dict.fromkeys(files, NOW - days * DAY)
    if tried is not None:
        files[LISTS + "partial/x"] = ""
        mtimes[LISTS.rstrip("/") + "/partial"] = NOW - tried * DAY
    result = reviewed(DebianHost(QUIET, files=files, mtimes=mtimes))
    if severity is None:
        assert result.checks() == [] and result["verdict"] == "compliant"
        return
    finding = result.finding("patch.metadata.stale")
    assert finding["severity"] == severity
    assert f"{days} days old" in finding["summary"]
    assert finding["remedy"] == "apt-get update --error-on=any"
    assert result["verdict"] == "unknown"
    assert result.covers("patch.metadata.stale") and not result.covers("patch.updates.pending")


def test_no_lists_at_all() -> None:
    result = reviewed(DebianHost(QUIET, without=[MAIN_RELEASE, SECURITY_RELEASE]))
    assert result.finding("patch.metadata.stale")["severity"] == "high"
    assert len([c for c in result.checks() if c[1] == "patch.repository.unreachable"]) == 2
    assert result["verdict"] == "unknown"


def test_a_repository_that_was_never_fetched() -> None:
    files = {"/etc/apt/sources.list": "deb http://apt.example.org/app wrong-suite main\n"}
    finding = reviewed(DebianHost(QUIET, files=files)).finding("patch.repository.unreachable")
    assert finding["subject"] == "http://apt.example.org/app wrong-suite"
    assert "never fetched" in finding["summary"]


@pytest.mark.parametrize(("days", "severity"), [(2, "medium"), (20, "high")])
def test_expired(days: int, severity: str) -> None:
    made = NOW - (days + 7) * DAY
    files = {SECURITY_RELEASE: in_release("Debian-Security", "bookworm-security", made, NOW - days * DAY)}
    result = reviewed(DebianHost(QUIET, files=files))
    finding = result.finding("patch.repository.expired")
    assert finding["severity"] == severity
    assert finding["subject"] == "http://deb.example.org/debian-security bookworm-security"
    assert f"expired {days} days ago" in finding["summary"]
    assert result["verdict"] == "unknown"


def test_lists_from_the_future() -> None:
    files = {MAIN_RELEASE: in_release("Debian", "bookworm", NOW + 400 * DAY)}
    result = reviewed(DebianHost(QUIET, files=files))
    assert "dated in the future" in result.finding("patch.repository.expired")["summary"]
    assert result["verdict"] == "unknown"


def test_unsigned_and_keys() -> None:
    files = {
        "/etc/apt/sources.list": (
            "deb [trusted=yes] http://lax.example.org/a x main\n"
            "deb [signed-by=/etc/apt/keyrings/gone.gpg] http://key.example.org/b x main\n"
            "deb http://bare.example.org/c x main\n"
            "deb http://split.example.org/d x main\n"
        ),
        LISTS + "lax.example.org_a_dists_x_Release": "Suite: x\nDate: Sat, 21 Nov 2020 00:53:02 UTC\n",
        LISTS + "key.example.org_b_dists_x_InRelease": in_release("b", "x", NOW),
        LISTS + "bare.example.org_c_dists_x_Release": "Suite: x\n",
        LISTS + "split.example.org_d_dists_x_Release": "Suite: x\n",
        LISTS + "split.example.org_d_dists_x_Release.gpg": "signature",
    }
    result = reviewed(DebianHost(QUIET, files=files))
    assert result.checks() == [
        ("low", "patch.repository.unsigned", "http://lax.example.org/a x"),
        ("medium", "patch.repository.unsigned", "http://key.example.org/b x"),
        ("medium", "patch.repository.unsigned", "http://bare.example.org/c x"),
    ]
    assert "gone.gpg" in result.finding("patch.repository.unsigned", "http://key.example.org/b x")["summary"]
    assert result["verdict"] == "unknown"


def test_trusted_by_choice_alone_does_not_make_it_unknown() -> None:
    files = {
        "/etc/apt/sources.list": "deb [trusted=yes] http://lax.example.org/a x main\n",
        LISTS + "lax.example.org_a_dists_x_Release": "Suite: x\nDate: Sat, 21 Nov 2020 00:53:02 UTC\n",
    }
    result = reviewed(DebianHost(QUIET, files=files))
    assert result["verdict"] == "compliant"
    assert result.finding("patch.repository.unsigned")["severity"] == "low"


def test_without_a_security_archive_nothing_is_compliant() -> None:
    files = {"/etc/apt/sources.list.d/debian.sources": SOURCES.split("\n\n")[0] + "\n"}
    result = reviewed(DebianHost(QUIET, files=files))
    assert result.finding("patch.security.no_source")["severity"] == "medium"
    assert result["verdict"] == "unknown"
    derivative = {**files, "/etc/os-release": 'ID=raspbian\nVERSION_ID="12"\n'}
    assert "security archive of its own" in reviewed(DebianHost(QUIET, files=derivative)).why_not(
        "patch.security.no_source"
    )


def test_no_sources_at_all() -> None:
    result = reviewed(DebianHost(QUIET, files={"/etc/apt/sources.list.d/debian.sources": "# none\n"}))
    assert result["verdict"] == "unknown"
    assert "no archive of packages is configured" in result.finding(CANNOT, "patch.metadata.stale")["summary"]


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ({"dump": Ran(100, "", "E: Syntax error /etc/apt/apt.conf.d/50x:3: Extra junk after value\n")}, "50x:3"),
        ({"policy": Ran(100, "", "E: The package cache file is corrupted\n")}, "corrupted"),
        ({"policy": Ran(None, "", "")}, "no end within its time limit"),
        ({"policy": Ran(0, "bash:\n  Installed: 1.0-1\n  Candidate: 1.0-1\n", "", True)}, "more than can be kept"),
        ({"policy": "bash:\n  Installed: 1.0-1\n  Candidate: 1.0-1\n"}, "said nothing of 2 installed packages"),
        ({"policy": Ran(127, "", "apt-cache: not found")}, "apt-cache is not there"),
        ({"policy": ""}, "ended with 0"),
        ({"policy": "\ufffd\ufffd\x00\x1b[31m:\n"}, "said nothing of 3 installed packages"),
    ],
)
def test_apt_that_does_not_answer(answers: dict[str, Any], says: str) -> None:
    result = reviewed(DebianHost(QUIET, answers))
    subjects = [f["subject"] for f in result["findings"] if f["check"] == CANNOT]
    assert "patch.security.pending" in subjects and "patch.updates.pending" in subjects
    assert says in json.dumps(result["findings"])
    assert result["verdict"] == "unknown"
    assert not result.covers("patch.security.pending")


# -- refresh --------------------------------------------------------------------


def refreshing(did: Ran | str, debs: list[Deb] = QUIET, **more: Any) -> DebianHost:
    return DebianHost(debs, {"update": did}, **more)


def test_refresh_proves_that_the_lists_are_fresh() -> None:
    old = {MAIN_RELEASE: NOW - 50 * DAY, SECURITY_RELEASE: NOW - 50 * DAY}
    files = {
        MAIN_RELEASE: in_release("Debian", "bookworm", NOW - 50 * DAY),
        SECURITY_RELEASE: in_release("Debian-Security", "bookworm-security", NOW - 50 * DAY),
    }
    host = refreshing("Hit:1 http://deb.example.org/debian bookworm InRelease\n", mtimes=old, files=files)
    result = reviewed(host, refresh=True)
    assert result["verdict"] == "compliant"
    assert result["metadata"]["refreshed"] is True and result["metadata"]["age_days"] == 0
    assert "APT::Update::Error-Mode=any" in next(argv for argv in host.ran if argv[-1] == "update")


def test_refresh_with_a_mirror_down() -> None:
    did = Ran(
        100,
        "Hit:1 http://deb.example.org/debian bookworm InRelease\n"
        "Err:2 http://deb.example.org/debian-security bookworm-security InRelease\n"
        "  Could not connect to deb.example.org:80 (127.0.0.1). - connect (111: Connection refused)\n",
        "W: Failed to fetch http://deb.example.org/debian-security/dists/bookworm-security/InRelease  Could not\n"
        "E: Some index files failed to download. They have been ignored, or old ones used instead.\n",
    )
    result = reviewed(refreshing(did), refresh=True)
    finding = result.finding("patch.repository.unreachable")
    assert finding["subject"] == "http://deb.example.org/debian-security bookworm-security"
    assert "Connection refused" in finding["summary"]
    assert [check for _severity, check, _subject in result.checks()] == ["patch.repository.unreachable"]
    assert result["verdict"] == "unknown"
    assert not result.covers("patch.security.pending")


def test_refresh_where_apt_answers_0_over_a_dead_mirror() -> None:
    did = Ran(0, "Err:1 http://deb.example.org/debian bookworm InRelease\n  Connection timed out\n", "")
    result = reviewed(refreshing(did), refresh=True)
    assert result.finding("patch.repository.unreachable")
    assert result["verdict"] == "unknown"
    assert result["metadata"]["age_days"] == 1  # as old as before


def test_refresh_without_the_key() -> None:
    line = "GPG error: http://deb.example.org/debian bookworm InRelease: The following signatures couldn't be verified \
because the public key is not available: NO_PUBKEY 6DBE8569C5888330"
    result = reviewed(refreshing(Ran(100, "", f"W: {line}\n")), refresh=True)
    assert "NO_PUBKEY" in result.finding("patch.repository.unsigned")["summary"]
    assert result["verdict"] == "unknown"


def test_refresh_that_fails_as_a_whole_and_one_that_never_ends() -> None:
    for did in (Ran(100, "", "E: Syntax error /etc/apt/sources.list:1\n"), Ran(None, "", "")):
        result = reviewed(refreshing(did), refresh=True)
        assert result.finding(CANNOT)["subject"] == "patch.metadata.stale"
        assert result["verdict"] == "unknown"


def test_refresh_waits_for_a_lock_but_not_for_long() -> None:
    locked = Ran(100, "", "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 30559 (python3)\n")
    host = refreshing(locked)
    result = reviewed(host, refresh=True, lock_timeout=5)
    assert host.time == NOW + 5
    assert "30559" in result.finding(CANNOT)["evidence"][0]
    assert result["verdict"] == "unknown"


def test_check_mode_fetches_nothing() -> None:
    host = refreshing("")
    result = reviewed(host, refresh=True, check_mode=True)
    assert all(argv[-1] != "update" for argv in host.ran)
    assert result["metadata"]["refreshed"] is False
    assert "check mode" in result.why_not("patch.metadata.refresh")


# -- the machine ----------------------------------------------------------------


def test_reboot_flag() -> None:
    files = {
        "/run/reboot-required": "*** System restart required ***\n",
        "/run/reboot-required.pkgs": "libc6\nlibc6\nbash\n",
    }
    result = reviewed(DebianHost(QUIET, files=files, mtimes={"/run/reboot-required": NOW - 3600}))
    finding = result.finding("patch.reboot.required")
    assert finding["severity"] == "medium"
    assert "libc6, bash" in finding["summary"]
    assert result["reboot"]["required"] is True
    assert result["verdict"] == "pending"


@pytest.mark.parametrize("why", ["older than the boot", "packages gone"])
def test_stale_reboot_flag(why: str) -> None:
    files = {"/run/reboot-required": "", "/run/reboot-required.pkgs": "libc6\n" if why[0] == "o" else "linux-image-9\n"}
    moment = BOOT - DAY if why[0] == "o" else NOW - 60
    result = reviewed(DebianHost(QUIET, files=files, mtimes={"/run/reboot-required": moment}))
    assert result.checks() == [("low", "patch.reboot.flag_stale", "/run/reboot-required")]
    assert result["reboot"]["required"] is False
    assert result["verdict"] == "compliant"


KERNELS = {"linux-image-6.1.0-37-amd64": "6.1.140-1", "linux-image-6.1.0-9-amd64": "6.1.27-1"}


def test_a_flag_of_which_nobody_knows_whether_it_is_stale() -> None:
    result = reviewed(DebianHost(QUIET, files={"/run/reboot-required": ""}, without=["/proc/stat"]))
    assert result.finding("patch.reboot.required")
    assert result.finding(CANNOT, "patch.reboot.flag_stale")
    assert not result.covers("patch.reboot.flag_stale")


def test_a_kernel_that_was_not_looked_at_may_need_a_reboot() -> None:
    result = reviewed(DebianHost(QUIET, without=["/proc/sys/kernel/osrelease"]))
    assert result.finding(CANNOT, "patch.kernel.outdated")
    assert not result.covers("patch.reboot.required")
    assert "osrelease" in result.why_not("patch.reboot.required")


def kernels(more: dict[str, str], **options: Any) -> DebianHost:
    debs = [Deb(name, version) for name, version in {**KERNELS, **more}.items()]
    return DebianHost([*QUIET, Deb("linux-image-amd64", "6.1.140-1"), *debs], **options)


def test_the_newest_kernel_is_running() -> None:
    other = {"linux-image-6.1.0-38-cloud-amd64": "6.1.147-1"}
    result = reviewed(kernels(other))
    assert result.checks() == []
    assert result["kernel"] == {"running": "6.1.0-37-amd64", "newest": "6.1.0-37-amd64"}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (
            {"linux-image-6.1.0-38-amd64": "6.1.147-1"},
            "the kernel 6.1.0-38-amd64 is installed, and 6.1.0-37-amd64 is running",
        ),
        ({"linux-image-6.1.0-37-amd64": "6.1.147-1"}, "version 6.1.147-1 of the kernel 6.1.0-37-amd64 is installed"),
    ],
)
def test_an_old_kernel_is_running(more: dict[str, str], says: str) -> None:
    result = reviewed(kernels(more))
    assert result.checks() == [("info", "patch.kernel.outdated", "kernel"), ("medium", "patch.reboot.required", "host")]
    assert says in result.finding("patch.reboot.required")["summary"]
    assert result["verdict"] == "pending"


def test_the_running_kernel_was_removed() -> None:
    host = kernels({})
    host.files["/proc/sys/kernel/osrelease"] = "6.1.0-33-amd64\n"
    assert "not installed any more" in reviewed(host).finding("patch.reboot.required")["summary"]


def test_a_container_has_no_kernel() -> None:
    files = {"/run/systemd/container": "systemd-nspawn\n"}
    more = {"linux-image-6.1.0-38-amd64": "6.1.147-1"}
    result = reviewed(kernels(more, files=files))
    assert result["container"] == "systemd-nspawn"
    assert result.checks() == [] and "systemd-nspawn" in result.why_not("patch.kernel.outdated")
    assert reviewed(kernels(more, files=files), kernel_in_container=True).finding("patch.kernel.outdated")


def process(pid: int, unit: str, *files: str, pid_namespace: str = "") -> tuple[dict[str, str], dict[str, str]]:
    maps = "".join(
        "7f1c7e000000-7f1c7e100000 r-xp 00028000 fe:00 1310 {}{}\n".format(" " * 10, file)
        for file in ("/usr/lib/x86_64-linux-gnu/libc.so.6", *files)
    )
    links = {"/proc/self/ns/pid": "pid:[1]", f"/proc/{pid}/ns/pid": pid_namespace or "pid:[1]"}
    return {
        f"/proc/{pid}/maps": maps,
        f"/proc/{pid}/cmdline": f"/usr/sbin/p{pid}\0-D\0",
        f"/proc/{pid}/cgroup": f"0::/system.slice/{unit}\n" if unit else "0::/\n",
    }, links


LIBSSL = "/usr/lib/x86_64-linux-gnu/libssl.so.3 (deleted)"


def test_services_with_replaced_libraries() -> None:
    files, links = process(500, "ssh.service", LIBSSL, "/usr/lib/x86_64-linux-gnu/libz.so.1.dpkg-tmp (deleted)")
    more, _links = process(501, "", LIBSSL)
    session, _links = process(502, "", LIBSSL)
    session["/proc/502/cgroup"] = "0::/user.slice/user-1000.slice/session-3.scope\n"
    init = {"/proc/1/maps": "7f00-7f10 r-xp 00000000 fe:00 131 /usr/lib/systemd/libsystemd-shared-252.so (deleted)\n"}
    result = reviewed(DebianHost(QUIET, files={**files, **more, **session, **init}, links=links))
    assert result.checks() == [
        ("medium", "patch.services.outdated", "services"),
        ("medium", "patch.services.outdated", "system"),
        ("low", "patch.services.outdated", "sessions"),
    ]
    finding = result.finding("patch.services.outdated", "services")
    assert finding["summary"] == "1 service and 1 process still running code that was replaced on disk."
    assert finding["remedy"] == "systemctl restart ssh.service; Restart by hand: process 501 (/usr/sbin/p501 -D)"
    assert "libssl.so.3" in "".join(finding["evidence"])
    assert finding["facts"]["units"]["ssh.service"]["files"] == [
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "/usr/lib/x86_64-linux-gnu/libz.so.1",
    ]
    assert result.finding("patch.services.outdated", "system")["remedy"] == "systemctl daemon-reexec"
    assert result["verdict"] == "pending"


@pytest.mark.parametrize(
    "harmless",
    [
        "/memfd:wayland (deleted)",
        "/dev/zero (deleted)",
        "/SYSV00000000 (deleted)",
        "/tmp/ffi8sJ2 (deleted)",
        "/dev/shm/x (deleted)",
        "/usr/lib/x86_64-linux-gnu/libssl.so.3",
        "/home/me/program (deleted)",
    ],
)
def test_what_is_no_replaced_code(harmless: str) -> None:
    files, links = process(500, "x.service", harmless)
    assert reviewed(DebianHost(QUIET, files=files, links=links)).checks() == []


def test_replaced_data_is_no_replaced_code() -> None:
    files, links = process(500, "x.service")
    files["/proc/500/maps"] = "7f1c-7f1d r--p 00028000 fe:00 1310 /usr/lib/locale/locale-archive (deleted)\n"
    assert reviewed(DebianHost(QUIET, files=files, links=links)).checks() == []


def test_processes_of_containers_are_not_ours() -> None:
    files, links = process(500, "docker-abc.scope", LIBSSL, pid_namespace="pid:[4026532]")
    result = reviewed(DebianHost(QUIET, files=files, links=links))
    assert result.checks() == []
    assert result["processes"]["in_containers"] == 1


def test_the_message_bus_asks_for_a_reboot() -> None:
    files, links = process(500, "dbus.service", LIBSSL)
    assert reviewed(DebianHost(QUIET, files=files, links=links)).checks() == [
        ("medium", "patch.reboot.required", "host")
    ]


def test_without_root() -> None:
    files = {"/proc/900/stat": "900 (x) S"}  # its maps may not be read
    result = reviewed(DebianHost(QUIET, files=files, root=False))
    finding = result.finding(CANNOT)
    assert finding["subject"] == "patch.services.outdated"
    assert finding["remedy"] == AS_ROOT
    assert "sudo ./upkeep run weekly" in AS_ROOT and "ansible_become=true" in AS_ROOT
    assert "only root" in result.why_not("patch.lock.held")
    assert result["verdict"] == "unknown"
    assert result.covers("patch.security.pending")
    # Among the others may be a message bus that runs replaced code.
    assert not result.covers("patch.reboot.required")
    assert "belong to other users" in result.why_not("patch.reboot.required")


def test_without_root_and_with_every_process_readable_the_lock_is_what_was_not_looked_at() -> None:
    result = reviewed(DebianHost(QUIET, root=False))
    finding = result.finding(CANNOT)
    assert (finding["subject"], finding["remedy"]) == ("patch.lock.held", AS_ROOT)
    assert not result.covers("patch.lock.held")


@pytest.mark.parametrize(
    ("os_release", "severity"),
    [
        ('ID=debian\nVERSION_ID="11"\n', "high"),  # long-term support ended on 2026-08-31
        ('ID=debian\nVERSION_ID="12"\n', "info"),  # long-term support only
        ('ID=debian\nVERSION_ID="13"\n', None),
        ('ID=ubuntu\nVERSION_ID="20.04"\n', "high"),
        ('ID="rocky"\nVERSION_ID="9.6"\n', None),
        ("ID=fedora\nVERSION_ID=42\nSUPPORT_END=2026-10-30\n", "low"),  # five weeks from now
        ('ID=centos\nNAME="CentOS Stream"\nVERSION_ID="9"\n', None),
        ('ID="centos"\nNAME="CentOS Linux"\nVERSION_ID="8"\n', "high"),
    ],
)
def test_end_of_life(os_release: str, severity: str | None) -> None:
    result = reviewed(DebianHost(QUIET, files={"/etc/os-release": os_release}))
    found = [f["severity"] for f in result["findings"] if f["check"] == "patch.release.end_of_life"]
    assert found == ([severity] if severity else [])
    assert result.covers("patch.release.end_of_life")
    assert (result["verdict"] == "unknown") == (severity == "high")


def test_the_hosts_own_table_of_releases_is_asked_first() -> None:
    head = "version,codename,series,created,release,eol,eol-lts,eol-elts\n"
    table = head + "13,Trixie,trixie,2023-06-10,2025-08-09,2026-01-01\n"
    result = reviewed(DebianHost(QUIET, files={"/usr/share/distro-info/debian.csv": table}))
    assert "distro-info-data" in result.finding("patch.release.end_of_life")["evidence"][0]


def test_an_unknown_release_is_told_not_guessed() -> None:
    result = reviewed(DebianHost(QUIET, files={"/etc/os-release": "ID=slackware\nVERSION_ID=15\n"}))
    assert "slackware 15" in result.why_not("patch.release.end_of_life")
    assert not result.covers("patch.release.end_of_life")
    assert reviewed(DebianHost(QUIET, without=["/etc/os-release"])).why_not("patch.release.end_of_life")


# -- logs and automatic updates ---------------------------------------------------


def test_last_upgrade() -> None:
    old = "Start-Date: 2026-07-01  10:00:00\nUpgrade: a:amd64 (1, 2)\nEnd-Date: 2026-07-01  10:01:00\n"
    new = "Start-Date: 2026-09-01  10:00:00\nInstall: a:amd64 (1)\nEnd-Date: 2026-09-01  10:01:00\n"
    files = {
        "/var/log/apt/history.log": new,
        "/var/log/apt/history.log.1.gz": b"broken",
        "/var/log/apt/history.log.10.gz": gzip.compress(old.replace("2026-07", "2026-05").encode()),
        "/var/log/apt/history.log.2.gz": gzip.compress(old.encode()),
        "/var/log/apt/term.log": "2026-09-02 10:00:00 upgrade x\n",
    }
    result = reviewed(DebianHost(QUIET, files=files))
    local = time.mktime((2026, 7, 1, 10, 1, 0, 0, 0, -1))
    assert result["last_upgrade"] == time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(local))
    dpkg = {"/var/log/dpkg.log": "2026-08-01 10:00:00 upgrade a:amd64 1 2\n"}
    assert reviewed(DebianHost(QUIET, files=dpkg))["last_upgrade"].startswith("2026-08-01")
    assert reviewed(DebianHost(QUIET))["last_upgrade"] is None


ON = CONFIG + 'APT::Periodic::Update-Package-Lists "1";\nAPT::Periodic::Unattended-Upgrade "1";\n'
TIMER = "/etc/systemd/system/timers.target.wants/apt-daily-upgrade.timer"


@pytest.mark.parametrize(
    ("config", "packages", "links", "why_not"),
    [
        (ON, ["unattended-upgrades"], {TIMER: "/lib/systemd/system/apt-daily-upgrade.timer"}, ""),
        (ON, [], {}, "unattended-upgrades is not installed"),
        (CONFIG, ["unattended-upgrades"], {}, "APT::Periodic::Unattended-Upgrade is off"),
        (ON + 'APT::Periodic::Enable "0";\n', ["unattended-upgrades"], {}, "APT::Periodic::Unattended-Upgrade is off"),
        (ON, ["unattended-upgrades"], {"/etc/systemd/system/apt-daily-upgrade.timer": "/dev/null"}, "timer is masked"),
        (ON, ["unattended-upgrades"], {}, "timer is missing"),
    ],
)
def test_automatic_updates(config: str, packages: list[str], links: dict[str, str], why_not: str) -> None:
    host = DebianHost([*QUIET, *(Deb(name) for name in packages)], {"dump": config}, links=links)
    result = reviewed(host)
    assert result["automatic"]["enabled"] is (why_not == "")
    assert why_not in result["automatic"]["why_not"]
    if why_not:
        assert result.finding("patch.automatic.disabled")["severity"] == "info"


# -- hostile and large ---------------------------------------------------------------


def test_hostile_words_reach_neither_a_command_nor_a_terminal() -> None:
    evil = "\x1b]0;pwned\x07$(reboot); \u202e`id`"
    files, links = process(500, "x.service", LIBSSL)
    files["/proc/500/cmdline"] = evil + "\0--password\0hunter2\0"
    files["/proc/500/cgroup"] = "0::/system.slice/a;reboot .service\n"
    files["/run/reboot-required"] = ""
    files["/run/reboot-required.pkgs"] = evil
    files["/etc/os-release"] = OS_RELEASE.replace("Debian GNU/Linux 13 (trixie)", evil)
    host = DebianHost(QUIET, files=files, links=links)
    host.files[STATUS] = str(host.files[STATUS]) + "\n" + Deb("--option=x").stanza() + "\n" + Deb(evil).stanza()
    result = reviewed(host)
    text = json.dumps(result, ensure_ascii=False)
    assert not any(ord(character) < 32 or character in "\u202e\x9b" for character in text)
    assert "hunter2" not in text
    assert not any("option" in word or "reboot" in word for argv in host.ran for word in argv)
    assert "systemctl restart 'a;reboot .service'" in result.finding("patch.services.outdated")["remedy"]
    assert result.finding("patch.database.broken")["facts"]["count"] == 2


def test_output_that_is_not_utf8() -> None:
    host = DebianHost(QUIET)
    for path in (STATUS, MAIN_RELEASE, "/etc/os-release", "/proc/1/maps", "/etc/apt/sources.list.d/debian.sources"):
        host.files[path] = b"\xff\xfe\x00\xe9\n" + str(host.files[path]).encode() + b"\xc3"
    result = reviewed(host)
    assert result["verdict"] == "unknown"
    json.dumps(result).encode()


def test_ten_thousand_pending_packages() -> None:
    debs = [Deb(f"p{number:05}", "1.0-1", [("1.0-2", SECURITY if number % 2 else MAIN)]) for number in range(10_000)]
    host = DebianHost(debs)
    begun = time.process_time()
    result = reviewed(host)
    assert time.process_time() - begun < 8
    assert (result["updates_total"], result["security_updates_total"], len(result["updates"])) == (10_000, 5_000, 500)
    assert result["updates"][0]["security"] is True
    assert len(json.dumps(result)) < 1_000_000
    assert result.finding("patch.security.pending")["facts"]["count"] == 5_000
    assert len(result.finding("patch.security.pending")["facts"]["packages"]) == 60
    assert max(len(argv) for argv in host.ran) <= 4_010  # or the kernel takes no more arguments


@pytest.mark.parametrize("missing", ["all", "/proc/stat", "/proc/1/stat", "/proc/sys/kernel/osrelease"])
def test_missing_files(missing: str) -> None:
    host = DebianHost(QUIET)
    for path in list(host.files):
        if (missing == "all" and path != STATUS) or path == missing:
            del host.files[path]
    result = reviewed(host)
    assert all(contract_errors(finding) == [] for finding in result["findings"])
    if missing == "all":
        assert result["verdict"] == "unknown"
        assert "/proc shows no process" in result.finding(CANNOT, "patch.services.outdated")["summary"]


def test_no_package_manager() -> None:
    host = DebianHost(QUIET, programs=["zypper"], without=[STATUS])
    result = reviewed(host)
    assert result.finding("patch.manager.unsupported")["evidence"] == ["found instead: zypper"]
    assert result["verdict"] == "unknown"
    assert result["manager"] is None
    assert not result.covers("patch.reboot.required") and not result.covers("patch.security.pending")
    assert "no package manager" in result.why_not("patch.reboot.required")


def test_nothing_is_covered_on_a_host_that_lets_nothing_be_seen() -> None:
    """Every read fails, every command is missing; whichever package manager it is said to have."""
    # That there is no flag was seen, which package managers there are, and that no file names a holder of dnf's locks.
    seen = {"patch.reboot.flag_stale", "patch.manager.unsupported"}
    for manager, looked in (("auto", seen), ("apt", seen), ("dnf", {*seen, "patch.lock.held"})):
        result = reviewed(FakeHost(root=False), manager=manager)
        assert {entry["check"] for entry in result["coverage"]} - {CANNOT} == looked, manager


def test_every_finding_keeps_the_contract_and_every_check_is_told_of() -> None:
    """Whatever a check found, it is covered, or it says why it does not apply, or it says that it could not run."""
    from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import judge

    for host in (DebianHost(QUIET), DebianHost([FIX, NEWS], without=[SECURITY_RELEASE]), DebianHost([], root=False)):
        result = reviewed(host)
        assert all(contract_errors(finding) == [] for finding in result["findings"])
        told = {entry["check"] for entry in result["coverage"]} | {entry["check"] for entry in result["not_applicable"]}
        told |= {finding["subject"] for finding in result["findings"] if finding["check"] == CANNOT}
        assert {*judge.MANAGER_CHECKS, *judge.SYSTEM_CHECKS} <= told
        assert (result["verdict"] == "compliant") <= (not result["reasons"])
        if result["verdict"] == "unknown":
            assert any(finding["severity"] in ("medium", "high", "low") for finding in result["findings"])
