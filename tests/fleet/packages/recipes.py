# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What packages there are. One entry a version; everything else is worked out from this table.

`baked`: hosts begin with it. `on_request`: `publish v2` leaves it out unless it is named, because it breaks something
or asks for a reboot. Dates are fixed, so that a test can count days since publication.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

V1_DATE = datetime(2025, 1, 15, 10, 0, tzinfo=UTC)
V2_DATE = datetime(2025, 3, 1, 10, 0, tzinfo=UTC)
SECURITY_DATE = datetime(2025, 3, 10, 10, 0, tzinfo=UTC)

KERNEL = "9.9.9-upkeep"
LISTENS = "/usr/bin/python3 -m http.server 7720 --bind 127.0.0.1 --directory /usr/share"
SSHD = "etc/ssh/sshd_config.d/upkeep-demo.conf"

REBOOT_REQUIRED = """\
echo '*** System restart required ***' > /run/reboot-required
echo {name} >> /run/reboot-required.pkgs
"""


@dataclass(frozen=True)
class Advisory:
    """An entry of updateinfo: `severity` in Red Hat's words, empty for a bug fix."""

    id: str
    kind: str  # security, bugfix, enhancement
    severity: str = ""
    cves: tuple[str, ...] = ()


@dataclass(frozen=True)
class Package:
    """One version of one package of one kind ("deb" or "rpm")."""

    kind: str
    name: str
    version: str
    generation: str  # v1 or v2
    text: str
    date: datetime = V1_DATE
    security: bool = False
    baked: bool = False
    on_request: bool = False
    built: str = ""  # "library" or "daemon": compiled from C, the package is amd64
    depends: str = ""
    conflicts: str = ""
    obsoletes: str = ""
    files: dict[str, str] = field(default_factory=dict)
    config: tuple[str, ...] = ()
    before: str = ""  # shell (deb preinst) or Lua (rpm %pre)
    after: str = ""  # shell (deb postinst) or Lua (rpm %post)
    headers: str = ""  # further control fields
    changes: str = ""
    advisory: Advisory | None = None
    stream: str = ""  # rpm: the module of its name has it in this stream; `one` is the default

    @property
    def key(self) -> str:
        """Names this one version."""
        return f"{self.name} {self.version}"


def _unit(name: str, command: str) -> dict[str, str]:
    unit = f"[Unit]\nDescription={name}\n[Service]\nExecStart={command}\n[Install]\nWantedBy=multi-user.target\n"
    return {f"lib/systemd/system/{name}.service": unit}


# systemctl enable works offline; the restart needs a running systemd, and its failure must not fail the package,
# as in Debian: a service that dies after its upgrade leaves apt at 0.
def _service_after(name: str) -> str:
    return (
        f"systemctl enable -q {name}.service\n"
        f"if [ -d /run/systemd/system ]; then systemctl daemon-reload; systemctl restart {name}.service || true; fi\n"
    )


def _lua_service_after(name: str) -> str:
    return f"os.execute([[{_service_after(name)}]])"


def _deb(name: str, version: str, generation: str, text: str, **more: object) -> Package:
    more.setdefault("date", V1_DATE if generation == "v1" else SECURITY_DATE if more.get("security") else V2_DATE)
    more.setdefault("files", {f"usr/share/{name}/version": version + "\n"})
    return Package("deb", name, version, generation, text, **more)  # type: ignore[arg-type]


def _rpm(name: str, version: str, generation: str, text: str, **more: object) -> Package:
    more.setdefault("date", V1_DATE if generation == "v1" else SECURITY_DATE if more.get("security") else V2_DATE)
    more.setdefault("files", {f"usr/share/{name}/version": version + "\n"})
    return Package("rpm", name, version, generation, text, **more)  # type: ignore[arg-type]


_LIBRARY_FIX = "Fix an out-of-bounds read in the parser (CVE-2025-10002, CVE-2025-10003)."
_SEC_FIX = "Fix a command injection in the demo (CVE-2025-10001)."

DEBS = [
    _deb("upkeep-demo", "1.0-1", "v1", "an ordinary package", baked=True),
    _deb("upkeep-demo", "2.0-1", "v2", "an ordinary package", changes="New upstream release."),
    _deb("upkeep-demo-sec", "1.0-1", "v1", "a package with a security update", baked=True),
    _deb("upkeep-demo-sec", "1.0-1+deb12u1", "v2", "a package with a security update", security=True, changes=_SEC_FIX),
    _deb("upkeep-demo-held", "1.0-1", "v1", "a package to put on hold", baked=True),
    _deb("upkeep-demo-held", "2.0-1", "v2", "a package to put on hold"),
    _deb(
        "upkeep-demo-kept",
        "1.0-1",
        "v1",
        "kept back by apt-get upgrade: its next version needs a new package",
        baked=True,
    ),
    _deb(
        "upkeep-demo-kept",
        "2.0-1",
        "v2",
        "kept back by apt-get upgrade: it needs a new package",
        depends="upkeep-demo-new",
    ),
    _deb("upkeep-demo-new", "2.0-1", "v2", "the new package that upkeep-demo-kept needs"),
    _deb(
        "upkeep-demo-conf",
        "1.0-1",
        "v1",
        "a configuration file that its next version changes",
        baked=True,
        files={"etc/upkeep-demo-conf.conf": "setting = 1\n"},
        config=("/etc/upkeep-demo-conf.conf",),
    ),
    _deb(
        "upkeep-demo-conf",
        "2.0-1",
        "v2",
        "a configuration file that this version changes",
        files={"etc/upkeep-demo-conf.conf": "setting = 2\n"},
        config=("/etc/upkeep-demo-conf.conf",),
    ),
    _deb(
        "libupkeepdemo1", "1.0-1", "v1", "a library that a running service uses", built="library", baked=True, files={}
    ),
    _deb(
        "libupkeepdemo1",
        "1.0-1+deb12u1",
        "v2",
        "a library that a running service uses",
        built="library",
        files={},
        security=True,
        changes=_LIBRARY_FIX,
    ),
    _deb(
        "upkeep-demo-service",
        "1.0-1",
        "v1",
        "a service on port 7710, linked to libupkeepdemo1",
        built="daemon",
        baked=True,
        depends="libupkeepdemo1",
        files=_unit("upkeep-demo", "/usr/sbin/upkeep-demo"),
        after=_service_after("upkeep-demo"),
    ),
    _deb(
        "upkeep-demo-dies",
        "1.0-1",
        "v1",
        "a service that does not survive its upgrade",
        baked=True,
        files=_unit("upkeep-demo-dies", "/usr/bin/sleep infinity"),
        after=_service_after("upkeep-demo-dies"),
    ),
    _deb(
        "upkeep-demo-dies",
        "2.0-1",
        "v2",
        "a service that dies as soon as it runs",
        on_request=True,
        files=_unit("upkeep-demo-dies", "/usr/bin/false"),
        after=_service_after("upkeep-demo-dies"),
    ),
    _deb("upkeep-demo-broken", "1.0-1", "v1", "its next version fails in postinst", baked=True),
    _deb(
        "upkeep-demo-broken",
        "2.0-1",
        "v2",
        "its postinst exits 1",
        on_request=True,
        after="echo 'upkeep-demo-broken: cannot migrate the data' >&2\nexit 1\n",
    ),
    _deb("upkeep-demo-slow", "1.0-1", "v1", "its next version has a slow postinst", baked=True),
    _deb(
        "upkeep-demo-slow",
        "2.0-1",
        "v2",
        "its postinst sleeps for 10 minutes: kill dpkg in it",
        on_request=True,
        after="sleep 600 || true\n",  # a test that ends the sleep lets it come to its end
    ),
    _deb("upkeep-demo-phased", "1.0-1", "v1", "its next version is phased", baked=True),
    _deb(
        "upkeep-demo-phased",
        "2.0-1",
        "v2",
        "phased: apt defers it on every host",
        on_request=True,
        headers="Phased-Update-Percentage: 0\n",
    ),
    _deb("upkeep-demo-replaced", "1.0-1", "v1", "removed by the next version of upkeep-demo-replacing", baked=True),
    _deb("upkeep-demo-replacing", "1.0-1", "v1", "its next version removes upkeep-demo-replaced", baked=True),
    _deb(
        "upkeep-demo-replacing",
        "2.0-1",
        "v2",
        "conflicts with upkeep-demo-replaced",
        on_request=True,
        conflicts="upkeep-demo-replaced",
    ),
    _deb("upkeep-demo-kernel", "1.0-1", "v1", "its next version brings a kernel, like linux-image-amd64", baked=True),
    _deb(
        "upkeep-demo-kernel",
        "2.0-1",
        "v2",
        "brings a kernel, like linux-image-amd64",
        on_request=True,
        security=True,
        depends=f"linux-image-{KERNEL}",
        changes="New kernel ABI (CVE-2025-10004).",
    ),
    _deb(
        f"linux-image-{KERNEL}",
        "9.9.9-1",
        "v2",
        "kernel-like: asks for a reboot",
        on_request=True,
        security=True,
        files={
            f"boot/vmlinuz-{KERNEL}": "no kernel\n",
            f"boot/config-{KERNEL}": "",
            f"lib/modules/{KERNEL}/modules.dep": "",
        },
        after=REBOOT_REQUIRED.format(name=f"linux-image-{KERNEL}"),
        changes="New upstream release (CVE-2025-10004).",
    ),
    # Not installed anywhere to begin with: a test that wants one installs version 1.
    _deb(
        "upkeep-demo-deaf",
        "1.0-1",
        "v1",
        "a service on port 7720 that its next version makes deaf",
        files=_unit("upkeep-demo-deaf", LISTENS),
        after=_service_after("upkeep-demo-deaf"),
    ),
    _deb(
        "upkeep-demo-deaf",
        "2.0-1",
        "v2",
        "its service lives, and listens no more",
        on_request=True,
        files=_unit("upkeep-demo-deaf", "/usr/bin/sleep infinity"),
        after=_service_after("upkeep-demo-deaf"),
    ),
    _deb("upkeep-demo-wrong", "1.0-1", "v1", "its next version makes upkeep-demo answer 500"),
    _deb(
        "upkeep-demo-wrong",
        "2.0-1",
        "v2",
        "makes upkeep-demo answer 500",
        on_request=True,
        files={"etc/upkeep-demo/fail": ""},
    ),
    _deb("upkeep-demo-sshd", "1.0-1", "v1", "a part of sshd's configuration", files={SSHD: "# nothing\n"}),
    _deb(
        "upkeep-demo-sshd",
        "2.0-1",
        "v2",
        "sshd does not start any more",
        on_request=True,
        files={SSHD: "Nonsense yes\n"},
    ),
]

RPMS = [
    _rpm("upkeep-demo", "1.0", "v1", "an ordinary package", baked=True),
    _rpm("upkeep-demo", "2.0", "v2", "an ordinary package", advisory=Advisory("UKBA-2025:0001", "bugfix")),
    _rpm("upkeep-demo-sec", "1.0", "v1", "a package with a security update", baked=True),
    _rpm(
        "upkeep-demo-sec",
        "1.1",
        "v2",
        "a package with a security update",
        security=True,
        changes=_SEC_FIX,
        advisory=Advisory("UKSA-2025:0002", "security", "Important", ("CVE-2025-10001",)),
    ),
    _rpm("upkeep-demo-held", "1.0", "v1", "a package to exclude", baked=True),
    _rpm("upkeep-demo-held", "2.0", "v2", "a package to exclude", advisory=Advisory("UKEA-2025:0003", "enhancement")),
    _rpm(
        "upkeep-demo-conf",
        "1.0",
        "v1",
        "a configuration file that its next version changes",
        baked=True,
        files={"etc/upkeep-demo-conf.conf": "setting = 1\n"},
        config=("/etc/upkeep-demo-conf.conf",),
    ),
    _rpm(
        "upkeep-demo-conf",
        "2.0",
        "v2",
        "a configuration file that this version changes",
        files={"etc/upkeep-demo-conf.conf": "setting = 2\n"},
        config=("/etc/upkeep-demo-conf.conf",),
    ),
    _rpm("libupkeepdemo", "1.0", "v1", "a library that a running service uses", built="library", baked=True, files={}),
    _rpm(
        "libupkeepdemo",
        "1.1",
        "v2",
        "a library that a running service uses",
        built="library",
        security=True,
        files={},
        changes=_LIBRARY_FIX,
        advisory=Advisory("UKSA-2025:0004", "security", "Critical", ("CVE-2025-10002", "CVE-2025-10003")),
    ),
    _rpm(
        "upkeep-demo-service",
        "1.0",
        "v1",
        "a service on port 7710, linked to libupkeepdemo",
        built="daemon",
        baked=True,
        depends="libupkeepdemo",
        files=_unit("upkeep-demo", "/usr/sbin/upkeep-demo"),
        after=_lua_service_after("upkeep-demo"),
    ),
    _rpm(
        "upkeep-demo-dies",
        "1.0",
        "v1",
        "a service that does not survive its upgrade",
        baked=True,
        files=_unit("upkeep-demo-dies", "/usr/bin/sleep infinity"),
        after=_lua_service_after("upkeep-demo-dies"),
    ),
    _rpm(
        "upkeep-demo-dies",
        "2.0",
        "v2",
        "a service that dies as soon as it runs",
        on_request=True,
        files=_unit("upkeep-demo-dies", "/usr/bin/false"),
        after=_lua_service_after("upkeep-demo-dies"),
    ),
    _rpm("upkeep-demo-unmet", "1.0", "v1", "its next version needs what no repository has", baked=True),
    _rpm(
        "upkeep-demo-unmet", "2.0", "v2", "needs what no repository has", on_request=True, depends="upkeep-demo-nowhere"
    ),
    _rpm("upkeep-demo-prefails", "1.0", "v1", "its next version fails in %pre", baked=True),
    _rpm(
        "upkeep-demo-prefails",
        "2.0",
        "v2",
        "fails in %pre: the transaction fails",
        on_request=True,
        before="error('cannot stop')",
    ),
    _rpm("upkeep-demo-broken", "1.0", "v1", "its next version fails in %post", baked=True),
    _rpm(
        "upkeep-demo-broken",
        "2.0",
        "v2",
        "fails in %post: dnf says Complete!",
        on_request=True,
        after="error('cannot migrate')",
    ),
    _rpm("upkeep-demo-slow", "1.0", "v1", "its next version has a slow %post", baked=True),
    _rpm(
        "upkeep-demo-slow",
        "2.0",
        "v2",
        "its %post sleeps for 10 minutes",
        on_request=True,
        after="os.execute('sleep 600')",
    ),
    _rpm("upkeep-demo-replaced", "1.0", "v1", "obsoleted by upkeep-demo-replacing", baked=True),
    _rpm(
        "upkeep-demo-replacing",
        "2.0",
        "v2",
        "obsoletes upkeep-demo-replaced",
        on_request=True,
        obsoletes="upkeep-demo-replaced < 2",
    ),
    _rpm(
        "kernel",
        "9.9.9",
        "v2",
        "kernel-like: dnf needs-restarting -r asks for a reboot",
        on_request=True,
        security=True,
        files={"boot/vmlinuz-9.9.9-1.el9.x86_64": "no kernel\n", "lib/modules/9.9.9-1.el9.x86_64/modules.dep": ""},
        changes="New kernel (CVE-2025-10004).",
        advisory=Advisory("UKSA-2025:0005", "security", "Moderate", ("CVE-2025-10004",)),
    ),
    _rpm(
        "upkeep-demo-deaf",
        "1.0",
        "v1",
        "a service on port 7720 that its next version makes deaf",
        files=_unit("upkeep-demo-deaf", LISTENS),
        after=_lua_service_after("upkeep-demo-deaf"),
    ),
    _rpm(
        "upkeep-demo-deaf",
        "2.0",
        "v2",
        "its service lives, and listens no more",
        on_request=True,
        files=_unit("upkeep-demo-deaf", "/usr/bin/sleep infinity"),
        after=_lua_service_after("upkeep-demo-deaf"),
    ),
    _rpm("upkeep-demo-stream", "1.0", "v1", "of a module, in its stream one", stream="one"),
    _rpm("upkeep-demo-stream", "1.1", "v2", "of a module, in its stream one", on_request=True, stream="one"),
    _rpm("upkeep-demo-stream", "2.0", "v2", "of a module, in its stream two", on_request=True, stream="two"),
]

ALL = DEBS + RPMS


def baked(kind: str) -> list[str]:
    """Names of the packages that hosts begin with, in version 1."""
    return [p.name for p in ALL if p.kind == kind and p.baked]
