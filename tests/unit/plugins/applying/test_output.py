# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt, dpkg, dnf and rpm say of a transaction; each text is one that they really printed."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._applying import apt_output, dnf_output, repack
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.apt import contents
from ansible_collections.upkeep.maintenance.plugins.module_utils._applying.apt_output import Fetch, Step

SIMULATION = """\
NOTE: This is only a simulation!
Reading package lists...
The following packages will be REMOVED:
  upkeep-demo-replaced
Remv upkeep-demo-replaced [1.0-1]
Inst libupkeepdemo1 [1.0-1] (1.0-1+deb12u1 Debian-Security:stable-security [amd64]) []
Inst libc6:i386 (2.36-9+deb12u13 Debian:12.12/stable, Debian-Security:12/stable-security [i386])
Inst upkeep-demo-new (2.0-1 /var/lib/upkeep/new/upkeep-demo-new_2.0-1_all.deb [all])
Inst gone [1:1.0-1] (1:0.9-1 Debian:12/stable [all])
Purg old-conf [1.0]
Conf libupkeepdemo1 (1.0-1+deb12u1 Debian-Security:stable-security [amd64])
"""


def test_a_simulation() -> None:
    assert apt_output.parse_simulation(SIMULATION) == [
        Step("upkeep-demo-replaced", "", ""),
        Step("libupkeepdemo1", "amd64", "1.0-1+deb12u1"),
        Step("libc6", "i386", "2.36-9+deb12u13"),
        Step("upkeep-demo-new", "all", "2.0-1"),
        Step("gone", "all", "1:0.9-1"),
        Step("old-conf", "", ""),
    ]


def test_what_is_not_in_the_plan() -> None:
    plan = [{"name": "a", "to": "2"}, {"name": "b", "to": ""}, {"name": "c", "to": "3"}]
    steps = [Step("a", "all", "2"), Step("b", "all", ""), Step("c", "all", "3")]
    assert apt_output.unplanned(steps, plan) == []
    assert apt_output.unplanned([*steps, Step("d", "all", "1"), Step("e", "all", "")], plan) == [
        "d would be 1, which is not in the plan",
        "e would be removed, which is not in the plan",
    ]
    assert apt_output.unplanned([Step("a", "all", "2"), Step("c", "all", "4")], plan) == [
        "c would be 4, which is not in the plan",
        "b would not be removed",
        "c would not be 3",
    ]


def test_what_is_to_be_fetched() -> None:
    text = (
        "Reading package lists...\n"
        "'http://deb.example/pool/o/openssl_3.0.17-1_amd64.deb' openssl_3.0.17-1_amd64.deb 1438912 SHA256:ab12\n"
        "'http://deb.example/x' ../../etc/x.deb 5 SHA256:00\n"
        "'file:/srv/y_1%3a2_all.deb' y_1%3a2_all.deb 7 \n"
    )
    assert apt_output.parse_uris(text) == [
        Fetch("http://deb.example/pool/o/openssl_3.0.17-1_amd64.deb", "openssl_3.0.17-1_amd64.deb", 1438912),
        Fetch("file:/srv/y_1%3a2_all.deb", "y_1%3a2_all.deb", 7),
    ]
    assert apt_output.file_name("y", "1:2~rc1-1", "all") == "y_1%3a2~rc1-1_all.deb"


LOG = """
== begun p-1-1-1

== 2026-11-22T22:00:00Z apt-get -y install /x
E: an old failure
== begun p-1-2-2

Configuration file '/etc/a.conf'
 ==> Modified (by you or by a script) since installation.
 ==> Package distributor has shipped an updated version.
 ==> Keeping old config file as default.
Configuration file '/etc/b.conf'
 ==> Modified (by you or by a script) since installation.
 ==> Using new file as you requested.
Configuration file '/etc/c d.conf'
 ==> Using current old file as you requested.
Setting up upkeep-demo-broken (2.0-1) ...
upkeep-demo-broken: cannot migrate the data
dpkg: error processing package upkeep-demo-broken (--configure):
 installed upkeep-demo-broken package post-installation script subprocess returned error exit status 1
dpkg-deb: error: paste subprocess was killed by signal (Broken pipe)
Errors were encountered while processing:
 upkeep-demo-broken
E: Sub-process /usr/bin/dpkg returned an error code (1)
"""


def test_a_log_of_apt() -> None:
    last = apt_output.last_run(LOG, "p-1-2-2")
    assert "an old failure" not in last and "an old failure" in apt_output.last_run(LOG, "nothing of that name")
    assert apt_output.conffiles_kept(last) == ["/etc/a.conf", "/etc/c d.conf"]
    assert apt_output.failures(last) == [
        "upkeep-demo-broken: cannot migrate the data",
        "dpkg: error processing package upkeep-demo-broken (--configure):",
        "installed upkeep-demo-broken package post-installation script subprocess returned error exit status 1",
        "dpkg-deb: error: paste subprocess was killed by signal (Broken pipe)",
        "Errors were encountered while processing:",
        "E: Sub-process /usr/bin/dpkg returned an error code (1)",
    ]
    assert apt_output.failures("") == apt_output.conffiles_kept("") == []


RPM_LOG = """\
upkeep-did: upkeep-demo-2.0-1.el9.noarch 6
upkeep-script: error: lua script failed: [string "%prein(upkeep-demo-prefails-2.0-1.el9.noarch)..."]:1: cannot stop
Error in PREIN scriptlet in rpm package upkeep-demo-prefails
upkeep-complaint: Error in PREIN scriptlet in rpm package upkeep-demo-prefails
upkeep-script: warning: %post(demo-2.0-1.el9.noarch) scriptlet failed, exit status 1
upkeep-script: warning: /etc/demo.conf created as /etc/demo.conf.rpmnew
upkeep-error: package a requires b, but none of the providers can be installed
"""


def test_a_log_of_dnf() -> None:
    assert dnf_output.scriptlets(RPM_LOG) == [
        'error: lua script failed: [string "%prein(upkeep-demo-prefails-2.0-1.el9.noarch)..."]:1: cannot stop',
        "Error in PREIN scriptlet in rpm package upkeep-demo-prefails",
        "warning: %post(demo-2.0-1.el9.noarch) scriptlet failed, exit status 1",
    ]
    assert dnf_output.failures(RPM_LOG) == [
        "Error in PREIN scriptlet in rpm package upkeep-demo-prefails",
        "package a requires b, but none of the providers can be installed",
    ]
    assert dnf_output.conffiles_kept(RPM_LOG) == ["/etc/demo.conf (/etc/demo.conf.rpmnew)"]


def test_what_rpm_has() -> None:
    text = "kernel\tx86_64\t6.10.0-1\nkernel\tx86_64\t6.9.0-1\nbash\tx86_64\t0:5.1-9\ngpg-pubkey\t(none)\t1-1\nx\n"
    text += "vim\tx86_64\t2:1.0-1\nvim\tx86_64\t10.0-1\n"
    assert dnf_output.parse_installed(text) == {
        "kernel:x86_64": ["6.9.0-1", "6.10.0-1"],
        "bash:x86_64": ["5.1-9"],
        "vim:x86_64": ["10.0-1", "2:1.0-1"],
    }


@pytest.mark.parametrize(
    "name, provides, beside",
    [
        ("kernel", "", True), ("kernel-core", "", True), ("kernel-rt-modules-extra", "", True),
        ("kernel-tools", "", False), ("kernel-headers", "kernel-headers = 5", False), ("bash", "", False),
        ("kmod-zfs", "kmod-zfs = 2\ninstallonlypkg(kernel-module)\n", True),
    ],
)  # fmt: skip
def test_what_stands_beside_its_older_version(name: str, provides: str, beside: bool) -> None:
    assert dnf_output.stands_beside(name, provides) is beside


STATUS = """\
Package: demo
Status: install ok installed
Architecture: all
Version: 1.0-1
Conffiles:
 /etc/demo.conf 6bc5aa55a24a9d663f97616fed018e1a
 /etc/demo.d/x 6bc5aa55a24a9d663f97616fed018e1a
Depends: libc6
Config-Version: 1.0-1
Description: a demo
 Two lines.

Package: demo
Status: install ok installed
Architecture: amd64
Version: 3
"""


def test_the_control_file_of_an_installed_package() -> None:
    stanza = repack.stanza_of(STATUS, "demo", "all")
    assert repack.control(stanza) == (
        "Package: demo\nArchitecture: all\nVersion: 1.0-1\nDepends: libc6\nDescription: a demo\n Two lines.\n"
    )
    assert "Version: 3" in repack.stanza_of(STATUS, "demo", "amd64")
    assert repack.stanza_of(STATUS, "demo", "i386") == repack.stanza_of("", "demo", "all") == ""


def test_what_a_package_holds() -> None:
    listing = (
        "drwxr-xr-x root/root         0 2025-03-10 10:00 ./usr/\n"
        "-rwxr-xr-x root/root     15112 2025-03-10 10:00 ./usr/lib/a b.so\n"
        "lrwxrwxrwx root/root         0 2025-03-10 10:00 ./usr/lib/a.so -> a b.so\n"
        "nonsense\n"
    )
    expected: Any = [("/usr/lib/a b.so", 15112), ("/usr/lib/a.so", 0)]
    assert contents(listing) == expected
