# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes the packages of `recipes` with dpkg-deb and rpmbuild, and the keys that sign their repositories."""

from __future__ import annotations

import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from pathlib import Path

from ..system import run
from .recipes import ALL, Package

HERE = Path(__file__).resolve().parent
MAINTAINER = "Upkeep test fleet <fleet@packages.fleet.test>"


def build(into: Path) -> None:
    """Build everything into a folder: deb/, rpm/, changelogs/, index.json, key.asc, secret.asc, other.asc, clock.so."""
    for name in ("deb", "rpm", "changelogs", "work"):
        (into / name).mkdir()
    run(["gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", into / "clock.so", HERE / "clock.c"])
    _make_keys(into)
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda p: _build_deb(p, into) if p.kind == "deb" else _build_rpm(p, into), ALL))
    for package, path in zip(ALL, made, strict=True):
        os.utime(path, (package.date.timestamp(),) * 2)
    index = {f"{p.kind} {p.key}": str(path.relative_to(into)) for p, path in zip(ALL, made, strict=True)}
    (into / "index.json").write_text(json.dumps(index, indent=1))
    shutil.rmtree(into / "work")


def _make_keys(into: Path) -> None:
    """key.asc (hosts trust it), secret.asc (signs), other.asc (the secret key of somebody that no host knows)."""
    for user, secret, public in (("fleet", "secret.asc", "key.asc"), ("stranger", "other.asc", None)):
        home = into / "work" / user
        home.mkdir(mode=0o700)
        gpg: list[str | Path] = ["gpg", "--homedir", home, "--batch", "--quiet"]
        address = f"{user}@packages.fleet.test"
        run([*gpg, "--passphrase", "", "--quick-generate-key", address, "ed25519", "sign", "never"])
        (into / secret).write_text(run([*gpg, "--export-secret-keys", "--armor", address]).stdout)
        (into / secret).chmod(0o600)
        if public:
            (into / public).write_text(run([*gpg, "--export", "--armor", address]).stdout)
        run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def _compile(package: Package, root: Path, work: Path) -> None:
    """The C parts: the library with its soname, the daemon linked to it."""
    library = root / "usr/lib/x86_64-linux-gnu"
    soname = "libupkeepdemo.so.1"
    cc = ["gcc", "-O2", "-Wall", f'-DVERSION="{package.version}"']
    made = work / soname
    run([*cc, "-shared", "-fPIC", f"-Wl,-soname,{soname}", "-o", made, HERE / "libupkeepdemo.c"])
    if package.built == "library":
        library.mkdir(parents=True)
        shutil.copy(made, library / f"{soname}.{package.version.partition('-')[0]}")
        (library / soname).symlink_to(f"{soname}.{package.version.partition('-')[0]}")
    else:
        (root / "usr/sbin").mkdir(parents=True)
        run([*cc, "-o", root / "usr/sbin/upkeep-demo", HERE / "daemon.c", made])


def _lay_out(package: Package, root: Path, work: Path) -> None:
    root.mkdir(parents=True)
    for name, text in package.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    if package.built:
        _compile(package, root, work)


def changelog(package: Package) -> str:
    """The Debian changelog of one version."""
    urgency = "high" if package.security else "medium"
    suite = "bookworm-security" if package.security else "bookworm"
    return (
        f"{package.name} ({package.version}) {suite}; urgency={urgency}\n\n"
        f"  * {package.changes or 'First release.'}\n\n -- {MAINTAINER}  {format_datetime(package.date)}\n"
    )


def _build_deb(package: Package, into: Path) -> Path:
    work = into / "work" / f"deb-{package.name}-{package.version}"
    root = work / "root"
    _lay_out(package, root, work)
    doc = root / "usr/share/doc" / package.name
    doc.mkdir(parents=True)
    (doc / "changelog.Debian").write_text(changelog(package))
    run(["gzip", "-9n", doc / "changelog.Debian"])
    arch = "amd64" if package.built or package.name.startswith("linux-image-") else "all"
    control = root / "DEBIAN"
    control.mkdir()
    fields = {
        "Package": package.name, "Version": package.version, "Architecture": arch, "Maintainer": MAINTAINER,
        "Section": "kernel" if package.name.startswith("linux-image") else "misc", "Priority": "optional",
        "Depends": package.depends, "Conflicts": package.conflicts,
    }  # fmt: skip
    text = "".join(f"{name}: {value}\n" for name, value in fields.items() if value) + package.headers
    (control / "control").write_text(text + f"Description: {package.text}\n Made by the Upkeep test fleet.\n")
    if package.config:
        (control / "conffiles").write_text("".join(f"{name}\n" for name in package.config))
    after = package.after if not package.after else 'if [ "$1" = configure ]; then :; else exit 0; fi\n' + package.after
    for script, body in (("preinst", package.before), ("postinst", after)):
        if body:
            (control / script).write_text("#!/bin/sh\nset -e\n" + body)
            (control / script).chmod(0o755)
    if package.built == "library":
        (control / "triggers").write_text("activate-noawait ldconfig\n")
    pool = into / "deb" / f"{package.name}_{package.version}_{arch}.deb"
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(int(package.date.timestamp()))}
    run(["dpkg-deb", "--root-owner-group", "-Zgzip", "--build", root, pool], env=environment)
    # Where apt-get changelog looks: component/first letter/source/source_version.
    listed = into / "changelogs/main" / package.name[0] / package.name / f"{package.name}_{package.version}"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text(changelog(package))
    return pool


def _build_rpm(package: Package, into: Path) -> Path:
    work = into / "work" / f"rpm-{package.name}-{package.version}"
    root = work / "payload"
    _lay_out(package, root, work)
    listed = sorted(
        ("%config(noreplace) " if f"/{p.relative_to(root)}" in package.config else "") + f"/{p.relative_to(root)}"
        for p in root.rglob("*") if p.is_file() or p.is_symlink()
    )  # fmt: skip
    arch = "x86_64" if package.built or package.name == "kernel" else "noarch"
    spec = [
        f"Name: {package.name}", f"Version: {package.version}", "Release: 1.el9", f"Summary: {package.text}",
        "License: GPL-3.0-or-later", "URL: http://packages.fleet.test/", "AutoReqProv: no",
        *([f"BuildArch: {arch}"] if arch == "noarch" else []),
        *([f"Requires: {package.depends}"] if package.depends else []),
        *([f"Obsoletes: {package.obsoletes}"] if package.obsoletes else []),
        *([f"ModularityLabel: {package.name}:{package.stream}:1:fleet"] if package.stream else []),
        "%description", "Made by the Upkeep test fleet.",
        "%install", "mkdir -p %{buildroot}", f"cp -a {root}/. %{{buildroot}}/",
        *(["%pre -p <lua>", package.before] if package.before else []),
        *(["%post -p <lua>", package.after] if package.after else
          ["%post -p <lua>", "os.execute('/sbin/ldconfig')"] if package.built == "library" else []),
        "%files", *listed,
        "%changelog", f"* {package.date:%a %b %d %Y} {MAINTAINER} - {package.version}-1.el9",
        f"- {package.changes or 'First release.'}",
    ]  # fmt: skip
    (work / "package.spec").write_text("\n".join(spec) + "\n")
    defines = {
        "_topdir": work / "top", "_build_id_links": "none", "debug_package": "%{nil}", "__os_install_post": "%{nil}",
        "use_source_date_epoch_as_buildtime": "1", "_buildhost": "packages.fleet.test", "_rpmdir": work / "out",
        "_dbpath": work / "db", "source_date_epoch_from_changelog": "0",
    }  # fmt: skip
    words = [word for name, value in defines.items() for word in ("--define", f"{name} {value}")]
    environment = os.environ | {"SOURCE_DATE_EPOCH": str(int(package.date.timestamp()))}
    run(["rpmbuild", "-bb", "--quiet", "--target", f"{arch}-linux", *words, work / "package.spec"], env=environment)
    (built,) = (work / "out").rglob("*.rpm")
    return Path(shutil.move(built, into / "rpm" / f"{package.name}-{package.version}-1.el9.{arch}.rpm"))
