# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""apt's and dpkg's words: all texts here were printed by apt 2.6 and dpkg 1.21 unless a test says otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import apt_parse as parse

POLICY = """\
openssl:
  Installed: 3.0.19-1~deb12u2
  Candidate: 3.0.22-1~deb12u2
  Version table:
     3.0.22-1~deb12u2 500
        500 http://deb.example.org/debian-security bookworm-security/main amd64 Packages
     3.0.20-1~deb12u2 500
        500 http://deb.example.org/debian bookworm/main amd64 Packages
 *** 3.0.19-1~deb12u2 100
        100 /var/lib/dpkg/status
     3.0.17-1~deb12u2 500
        500 http://deb.example.org/debian bookworm-updates/main amd64 Packages
adduser:
  Installed: 3.134
  Candidate: 3.134
  Version table:
 *** 3.134 500
        500 http://deb.example.org/debian bookworm/main amd64 Packages
        100 /var/lib/dpkg/status
libc6:i386:
  Installed: 2.36-9
  Candidate: (none)
  Package pin: 2.36-9
  Version table:
 *** 2.36-9 -1
        500 http://apt.example.org ./ Packages
        100 /var/lib/dpkg/status
     2.30 990 (phased 20%)
        990 http://archive.example.org/ubuntu jammy-updates/main amd64 Packages
"""

UPDATE_OUT = """\
Get:1 http://127.0.0.1:18765 good InRelease [832 B]
Ign:4 http://127.0.0.1:18765 unsigned InRelease
Get:5 http://127.0.0.1:18765 nokey InRelease [834 B]
Ign:6 http://127.0.0.1:18765 missing InRelease
Err:7 http://127.0.0.1:1/debian down InRelease
  Could not connect to 127.0.0.1:1 (127.0.0.1). - connect (111: Connection refused)
Err:8 http://127.0.0.1:18765 missing Release
  404  File not found [IP: 127.0.0.1 18765]
Err:12 http://127.0.0.1:18765 half/main amd64 Packages
  Could not resolve '127.0.0.1' [IP: 127.0.0.1 18765]
Err:5 http://127.0.0.1:18765 nokey InRelease
  The following signatures couldn't be verified because the public key is not available: NO_PUBKEY 6DBE8569C5888330
Reading package lists...
"""

UPDATE_ERR = """\
E: The repository 'http://127.0.0.1:18765 missing Release' does not have a Release file.
E: The repository 'http://127.0.0.1:18765 unsigned Release' is not signed.
E: The repository 'http://127.0.0.1:18765 good2 Release' is no longer signed.
W: GPG error: http://127.0.0.1:18765 nokey InRelease: The following signatures couldn't be verified because the \
public key is not available: NO_PUBKEY 6DBE8569C5888330
E: The repository 'http://127.0.0.1:18765 nokey InRelease' is not signed.
E: Release file for http://user:secret@deb.example.org/debian/dists/bookworm-security/InRelease is expired (\
invalid since 12d 3h 5min 1s). Updates for this repository will not be applied.
E: Release file for http://deb.example.org/debian/dists/future/InRelease is not valid yet (invalid for \
another 364d 12h). Updates for this repository will not be applied.
W: Failed to fetch http://10.0.0.1/debian/dists/bookworm/InRelease  Connection timed out
W: Some index files failed to download. They have been ignored, or old ones used instead.
"""

UPGRADE = """\
Reading package lists...
Building dependency tree...
Reading state information...
Calculating upgrade...
The following packages were automatically installed and are no longer required:
  old-one old-two
Use 'apt autoremove' to remove them.
The following packages will be REMOVED:
  upkeep-demo-replaced
The following NEW packages will be installed:
  upkeep-demo-new
The following packages have been kept back:
  held-one
The following upgrades have been deferred due to phasing:
  phased-one
The following packages will be upgraded:
  appstream base-files bash ca-certificates curl distro-info-data dpkg
  dpkg-dev
8 upgraded, 1 newly installed, 1 to remove and 2 not upgraded.
Need to get 10.5 MB of archives.
After this operation, 3230 kB of additional disk space will be used.
'http://deb.example.org/debian/pool/main/b/bash/bash_5.2.15-2%2bb13_amd64.deb' bash_5.2.15-2+b13_amd64.deb 1490000
"""


def test_policy() -> None:
    policies = parse.parse_policy(POLICY)
    assert list(policies) == ["openssl", "adduser", "libc6:i386"]
    openssl = policies["openssl"]
    assert (openssl.installed, openssl.candidate) == ("3.0.19-1~deb12u2", "3.0.22-1~deb12u2")
    assert [(v.version, v.priority, v.installed) for v in openssl.versions] == [
        ("3.0.22-1~deb12u2", 500, False),
        ("3.0.20-1~deb12u2", 500, False),
        ("3.0.19-1~deb12u2", 100, True),
        ("3.0.17-1~deb12u2", 500, False),
    ]
    assert openssl.versions[0].sources == [("http://deb.example.org/debian-security", "bookworm-security", "main")]
    pinned = policies["libc6:i386"]
    assert (pinned.candidate, pinned.pin) == ("", "2.36-9")
    assert pinned.versions[0].sources[0] == ("http://apt.example.org", "./", "")
    assert pinned.versions[1].phased == 20


def test_refresh() -> None:
    refresh = parse.parse_refresh(UPDATE_OUT + UPDATE_ERR)
    assert refresh.unreachable == {
        "http://127.0.0.1:1/debian down": "Could not connect to 127.0.0.1:1 (127.0.0.1). "
        "- connect (111: Connection refused)",
        "http://127.0.0.1:18765 missing": "404  File not found [IP: 127.0.0.1 18765]",
        "http://127.0.0.1:18765 half": "Could not resolve '127.0.0.1' [IP: 127.0.0.1 18765]",
        "http://10.0.0.1/debian bookworm": "Failed to fetch http://10.0.0.1/debian/dists/bookworm/InRelease  "
        "Connection timed out",
    }
    assert set(refresh.unsigned) == {
        "http://127.0.0.1:18765 unsigned",
        "http://127.0.0.1:18765 good2",
        "http://127.0.0.1:18765 nokey",
    }
    assert refresh.unsigned["http://127.0.0.1:18765 nokey"] == (
        "The following signatures couldn't be verified because the public key is not available: "
        "NO_PUBKEY 6DBE8569C5888330"
    )
    assert set(refresh.expired) == {
        "http://deb.example.org/debian bookworm-security",
        "http://deb.example.org/debian future",
    }
    assert refresh.other == ["Some index files failed to download. They have been ignored, or old ones used instead."]


def test_plan() -> None:
    plan = parse.parse_plan(UPGRADE)
    assert plan.complete
    assert plan.upgraded[-1] == "dpkg-dev" and len(plan.upgraded) == 8
    assert (plan.new, plan.removed) == (["upkeep-demo-new"], ["upkeep-demo-replaced"])
    assert (plan.kept, plan.phased) == (["held-one"], ["phased-one"])


@pytest.mark.parametrize("cut", ["8 upgraded", "  dpkg-dev", "The following packages will be upgraded"])
def test_a_plan_that_was_cut_or_changed_is_not_complete(cut: str) -> None:
    assert not parse.parse_plan(UPGRADE.split(cut, maxsplit=1)[0]).complete
    without = "\n".join(line for line in UPGRADE.splitlines() if not line.startswith(cut))
    assert not parse.parse_plan(without).complete


def test_plan_in_the_words_of_apt_3() -> None:
    # Made after apt 3.0's source, not captured: apt-get keeps the old words unless APT::Output-Version says otherwise.
    text = "Upgrading:\n  bash\n  curl\n\nNot upgrading:\n  vim\n\nSummary:\n"
    plan = parse.parse_plan(text + "  Upgrading: 2, Installing: 0, Removing: 0, Not Upgrading: 1\n")
    assert plan.complete and plan.upgraded == ["bash", "curl"] and plan.kept == ["vim"]


@pytest.mark.parametrize(
    ("uri", "suite", "name"),
    [
        ("http://deb.example.org/debian", "bookworm", "deb.example.org_debian_dists_bookworm_"),
        ("http://deb.example.org/debian/", "bookworm", "deb.example.org_debian_dists_bookworm_"),
        ("http://127.0.0.1:18765", "x", "127.0.0.1:18765_dists_x_"),
        ("https://user:pw@apt.example.org/a_b", "stable/updates", "apt.example.org_a%5fb_dists_stable_updates_"),
        ("http://apt.example.org/flat", "./", "apt.example.org_flat_._"),
        ("file:/srv/repo", "./", "_srv_repo_._"),
        ("mirror+file:/etc/apt/mirrors.txt", "trixie", "_etc_apt_mirrors.txt_dists_trixie_"),
    ],
)
def test_names_of_lists(uri: str, suite: str, name: str) -> None:
    assert parse.Source(uri, suite).list_name == name


def test_one_line_sources() -> None:
    text = """\
# deb http://commented.example.org/ x main
deb-src http://deb.example.org/debian bookworm main
deb [ arch=amd64 signed-by=/usr/share/keyrings/a.gpg trusted=yes ] https://apt.example.org/a stable main extra # why
deb http://flat.example.org/ ./
deb incomplete
"""
    signed, flat = parse.parse_one_line_sources(text, "/etc/apt/sources.list")
    assert (signed.uri, signed.suite, signed.components) == ("https://apt.example.org/a", "stable", ["main", "extra"])
    assert signed.options == {"arch": "amd64", "signed-by": "/usr/share/keyrings/a.gpg", "trusted": "yes"}
    assert (flat.uri, flat.suite) == ("http://flat.example.org/", "./")


def test_deb822_sources() -> None:
    text = """\
Types: deb deb-src
# a comment in a stanza
URIs: http://deb.example.org/debian http://mirror.example.org/debian
Suites: bookworm
  bookworm-updates
Components: main

Types: deb
Enabled: no
URIs: http://off.example.org/
Suites: x

Types: deb-src
URIs: http://source.example.org/
Suites: x
"""
    sources = parse.parse_deb822_sources(text, "x.sources")
    assert [(s.uri, s.suite) for s in sources] == [
        ("http://deb.example.org/debian", "bookworm"),
        ("http://deb.example.org/debian", "bookworm-updates"),
        ("http://mirror.example.org/debian", "bookworm"),
        ("http://mirror.example.org/debian", "bookworm-updates"),
    ]


def test_credentials_never_show() -> None:
    assert parse.Source("https://user:hunter2@apt.example.org/a", "x").name == "https://apt.example.org/a x"


def test_release() -> None:
    release = parse.parse_release(
        "-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nLabel: Debian-Security\n"
        "Suite: oldstable-security\nVersion: 12\nCodename: bookworm-security\nDate: Sat, 21 Nov 2026 00:53:02 UTC\n"
        "Valid-Until: Sat, 28 Nov 2026 00:53:02 UTC\nSHA256:\n e3b0 0 contrib/Contents-amd64\n"
    )
    assert release is not None
    assert (release.label, release.codename, release.date) == ("Debian-Security", "bookworm-security", 1795222382.0)
    assert release.valid_until == 1795222382.0 + 7 * 86400
    assert parse.parse_release("<html>captive portal</html>") is None
    assert parse.parse_release("") is None


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("Sat, 21 Nov 2026 00:53:02 UTC", 1795222382.0),
        ("Sat, 21 Nov 2026 02:53:02 +0200", 1795222382.0),
        ("Fri, 20 Nov 2026 19:53:02 -0500", 1795222382.0),
        ("Thu,  1 Jan 1970 0:00:00 UTC", 0.0),
        ("Sat, 31 Feb 2026 00:53:02 UTC", None),
        ("Sat, 21 Nox 2026 00:53:02 UTC", None),
        ("yesterday", None),
        ("", None),
        ("Sat, 21 Nov 2026 99:99:99 UTC", None),
    ],
)
def test_dates(text: str, moment: float | None) -> None:
    assert parse.parse_date(text) == moment


def test_status() -> None:
    text = (
        "Package: bash\nStatus: install ok installed\nArchitecture: amd64\nVersion: 5.2-1\nDescription: a shell\n"
        " Package: not-this-one\n\n"
        "Package: broken\nStatus: install reinstreq half-installed\nArchitecture: amd64\nVersion: 1\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nArchitecture: all\nVersion: 2\n\n"
        "Package: waiting\nStatus: hold ok triggers-awaited\nArchitecture: all\nVersion: 3\n"
    )
    packages, wrong = parse.parse_status(text)
    assert [p.name for p in packages] == ["bash", "broken", "gone", "waiting"]
    assert wrong == []
    assert parse.unsettled(packages) == [
        "broken 1 must be installed again (reinstreq)",
        "waiting 3 is triggers-awaited",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        ("\n\n", "empty"),
        ("Package: a\nStatus: install ok installed\nVersion: 1\n\nPackage: b\nSta", "without package or status"),
        ("Package: a\nStatus: install ok installed\nVersion: 1\nArch", "middle of a line"),
        ("Package: -o\nStatus: install ok installed\nVersion: 1\n", "impossible name"),
        ("Package: a;reboot\nStatus: install ok installed\nVersion: 1\n", "impossible name"),
        ("Package: a\nStatus: install ok installed\n", "without a version"),
    ],
)
def test_a_broken_status_file_is_told(text: str, says: str) -> None:
    assert any(says in sentence for sentence in parse.parse_status(text)[1])


def test_config() -> None:
    settings = parse.parse_config(
        'Dir "/srv/root/";\nDir::State "var/lib/apt";\nDir::State::lists "lists/";\nDir::Etc "/etc/apt";\n'
        'Unattended-Upgrade::Origins-Pattern "";\nUnattended-Upgrade::Origins-Pattern:: "origin=Debian,label=Debian";\n'
        'Unattended-Upgrade::Origins-Pattern:: "a \\"b\\";c";\nnonsense\n'
    )
    assert parse.setting_path(settings, "Dir::State::lists") == "/srv/root/var/lib/apt/lists/"
    assert parse.setting_path(settings, "Dir::Etc") == "/etc/apt"
    assert settings["unattended-upgrade::origins-pattern"].splitlines()[0] == "origin=Debian,label=Debian"


def test_preferences() -> None:
    text = (
        "Package: *\nPin: release a=testing\nPin-Priority: 100\n\n"
        "Package: nginx nginx-*\nPin: version 1.*\nPin-Priority: 1001\n"
    )
    assert parse.pinned_patterns(text) == ["nginx", "nginx-*"]
    assert parse.pinned_patterns("Explanation: no pin\nPackage: x\n") == []


def test_logs() -> None:
    history = (
        "\nStart-Date: 2026-01-02  03:04:05\nCommandline: apt-get upgrade\n"
        "Upgrade: a:amd64 (1, 2)\nEnd-Date: 2026-01-02  03:05:06\n"
        "\nStart-Date: 2026-02-02  03:04:05\nCommandline: apt-get install b\n"
        "Install: b:amd64 (1)\nEnd-Date: 2026-02-02  03:05:06\n"
    )
    assert parse.last_history_upgrade(history) == (2026, 1, 2, 3, 5, 6)
    assert parse.last_history_upgrade("Upgrade: a\n") is None
    dpkg = (
        "2025-06-24 14:36:25 startup archives unpack\n2025-06-24 14:36:25 upgrade libsystemd0:amd64 252.36 252.38\n"
        "2025-06-25 14:36:25 upgrade libudev1:amd64 252.36 252.38\n"
        "2025-06-26 14:36:25 status installed upgrade-system:all 1\n"
    )
    assert parse.last_dpkg_upgrade(dpkg) == (2025, 6, 25, 14, 36, 25)
    assert parse.last_dpkg_upgrade("") is None


@given(st.text(max_size=400))
def test_no_text_breaks_a_parser(text: str) -> None:
    parse.parse_status(text)
    parse.parse_policy(text)
    parse.parse_plan(text)
    parse.parse_refresh(text)
    parse.parse_release(text)
    parse.parse_config(text)
    parse.parse_one_line_sources(text, "")
    parse.parse_deb822_sources(text, "")
    parse.pinned_patterns(text)
    parse.last_history_upgrade(text)
    parse.last_dpkg_upgrade(text)
    parse.parse_date(text)
