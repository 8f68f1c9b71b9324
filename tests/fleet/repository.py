# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the repositories hold: the tree that the server serves, rendered whole from a description of it.

debian/            suite bookworm            Origin: Debian  Label: Debian
debian-security/   suite bookworm-security   Origin: Debian  Label: Debian-Security
rpm/               dnf, with updateinfo.xml
changelogs/        what apt-get changelog reads
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field
from email.utils import formatdate
from html import escape
from pathlib import Path

from .packages.recipes import ALL, Package
from .system import FleetError, run

HOSTNAME = "packages.fleet.test"
DAY = 86400

SUITES = {
    "debian": {"Origin": "Debian", "Label": "Debian", "Suite": "stable", "Codename": "bookworm"},
    "debian-security": {
        "Origin": "Debian", "Label": "Debian-Security", "Suite": "stable-security", "Codename": "bookworm-security",
    },
}  # fmt: skip


@dataclass
class Published:
    """What is on offer beside version 1, and what is wrong with it."""

    updates: list[str] = field(default_factory=list)  # names of packages whose version 2 is out
    withdrawn: list[str] = field(default_factory=list)  # names whose version 1 has gone from the mirror
    expired_days: float | None = None  # Valid-Until so many days ago; a negative number lies ahead
    signature: str = "good"  # good, broken, unknown-key, none

    @classmethod
    def load(cls, path: Path) -> Published:
        """Read it back; version 1 alone when the file does not exist."""
        return cls(**json.loads(path.read_text())) if path.exists() else cls()

    def save(self, path: Path) -> None:
        """Write it down."""
        path.write_text(json.dumps(asdict(self)))

    def publish(self, generation: str, names: list[str], everything: bool = False) -> None:
        """`v1` takes updates back (all, or those named); `v2` brings those named, or all that are harmless."""
        second = {p.name: p for p in ALL if p.generation == "v2"}
        unknown = [name for name in names if name not in second]
        if unknown:
            raise FleetError(f"No version 2 of {', '.join(unknown)}. There is: {', '.join(sorted(second))}.")
        if generation == "v1":
            self.updates = [n for n in self.updates if names and n not in names]
            self.withdrawn = [n for n in self.withdrawn if names and n not in names]
        else:
            chosen = names or [n for n in second if everything or any(
                p.name == n and p.generation == "v2" and not p.on_request for p in ALL)]  # fmt: skip
            # A dependency that has no version 1 comes along.
            chosen = [*chosen, *(second[n].depends for n in chosen if second[n].depends in second)]
            self.updates = sorted({*self.updates, *chosen})

    def packages(self) -> list[Package]:
        """Every version on offer."""
        return [
            p for p in ALL
            if (p.generation == "v1" and p.name not in self.withdrawn)
            or (p.generation == "v2" and p.name in self.updates)
        ]  # fmt: skip


def render(source: Path, into: Path, published: Published) -> None:
    """Write the tree of all repositories into a folder that does not exist. `source` is Images.packages()."""
    index = json.loads((source / "index.json").read_text())
    into.mkdir(parents=True)
    shutil.copytree(source / "changelogs", into / "changelogs")
    shutil.copy(source / "key.asc", into / "key.asc")
    offered = published.packages()
    for suite, names in SUITES.items():
        mine = [p for p in offered if p.kind == "deb" and p.security == (suite == "debian-security")]
        _render_apt(source, index, into / suite, names, mine, published)
    _render_dnf(source, index, into / "rpm", [p for p in offered if p.kind == "rpm"])


def _render_apt(
    source: Path,
    index: dict[str, str],
    into: Path,
    names: dict[str, str],
    packages: list[Package],
    published: Published,
) -> None:
    pool = into / "pool/main"
    dist = into / "dists" / names["Codename"]
    lists = dist / "main/binary-amd64"
    pool.mkdir(parents=True)
    lists.mkdir(parents=True)
    for package in packages:
        _link(source / index[f"deb {package.key}"], pool)
    listing = run(["apt-ftparchive", "--arch", "amd64", "packages", "pool"], cwd=into).stdout
    # With --arch, packages for all architectures are in the listing too; an empty suite is an empty file.
    (lists / "Packages").write_text(listing)
    run(["gzip", "-9nk", lists / "Packages"])
    # apt-ftparchive writes neither Valid-Until nor Changelogs, so the fields are ours and only the sums are its.
    now = time.time()
    end = None if published.expired_days is None else now - published.expired_days * DAY
    # Valid for a week, as Debian's security suite is.
    fields = names | {
        "Version": "12", "Date": _date(now if end is None else min(now, end - 7 * DAY)),
        **({} if end is None else {"Valid-Until": _date(end)}),
        "Architectures": "amd64", "Components": "main", "Description": "Upkeep test fleet",
        "Changelogs": f"http://{HOSTNAME}/changelogs/@CHANGEPATH@",
    }  # fmt: skip
    listed = run(["apt-ftparchive", "release", "."], cwd=dist).stdout
    release = "".join(f"{n}: {v}\n" for n, v in fields.items()) + listed[listed.index("MD5Sum:") :]
    (dist / "Release").write_text(release)
    if published.signature == "none":
        return
    signed = _sign(release, source / ("other.asc" if published.signature == "unknown-key" else "secret.asc"))
    if published.signature == "broken":
        signed = signed.replace("Description: Upkeep test fleet", "Description: Somebody else's")
    (dist / "InRelease").write_text(signed)


def _date(seconds: float) -> str:
    return formatdate(seconds, usegmt=True).replace("GMT", "UTC")


def _sign(text: str, secret: Path) -> str:
    # gpg-agent's socket needs a short path, so the key moves into a folder of its own for the moment.
    with tempfile.TemporaryDirectory(prefix="fleet-gpg-") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--quiet"]
        try:
            run([*gpg, "--import", secret])
            return run([*gpg, "--clearsign", "--digest-algo", "SHA256"], input=text).stdout
        finally:
            run(["gpgconf", "--homedir", home, "--kill", "all"], check=False)


def _render_dnf(source: Path, index: dict[str, str], into: Path, packages: list[Package]) -> None:
    into.mkdir()
    for package in packages:
        _link(source / index[f"rpm {package.key}"], into)
    run(["createrepo_c", "--quiet", "--no-database", into])
    with tempfile.TemporaryDirectory() as folder:
        info = Path(folder) / "updateinfo.xml"
        info.write_text(updateinfo([p for p in packages if p.advisory]))
        run(["modifyrepo_c", "--mdtype=updateinfo", info, into / "repodata"])
        streams = Path(folder) / "modules.yaml"
        streams.write_text(modules([p for p in packages if p.stream]))
        run(["modifyrepo_c", "--mdtype=modules", streams, into / "repodata"])


def modules(packages: list[Package]) -> str:
    """The streams of these packages as modules.yaml: JSON is YAML."""
    documents: list[dict[str, object]] = []
    for name, stream in sorted({(p.name, p.stream) for p in packages}):
        rpms = [f"{p.name}-0:{p.version}-1.el9.noarch" for p in packages if (p.name, p.stream) == (name, stream)]
        data = {
            "name": name, "stream": stream, "version": 1, "context": "fleet", "arch": "x86_64", "summary": name,
            "description": name, "license": {"module": ["GPL-3.0-or-later"]}, "artifacts": {"rpms": rpms},
        }  # fmt: skip
        documents.append({"document": "modulemd", "version": 2, "data": data})
    for name in sorted({p.name for p in packages}):
        documents.append({"document": "modulemd-defaults", "version": 1, "data": {"module": name, "stream": "one"}})
    return "".join(f"---\n{json.dumps(document)}\n...\n" for document in documents)


def updateinfo(packages: list[Package]) -> str:
    """The advisories of these packages as updateinfo.xml."""
    out = ["<?xml version='1.0' encoding='UTF-8'?>", "<updates>"]
    for p in packages:
        assert p.advisory
        a = p.advisory
        arch = "x86_64" if p.built or p.name == "kernel" else "noarch"
        stamp = p.date.strftime("%Y-%m-%d %H:%M:%S")
        file = f"{p.name}-{p.version}-1.el9.{arch}.rpm"
        out += [
            f'<update from="fleet@{HOSTNAME}" status="final" type="{a.kind}" version="1">',
            f"<id>{a.id}</id><title>{escape(p.name)}: {escape(p.changes or 'new release')}</title>",
            f'<issued date="{stamp}"/><updated date="{stamp}"/>',
            f"<severity>{a.severity or 'None'}</severity><description>{escape(p.changes or p.text)}</description>",
            "<references>",
            *(f'<reference href="https://{HOSTNAME}/{cve}" id="{cve}" type="cve" title="{cve}"/>' for cve in a.cves),
            "</references>",
            '<pkglist><collection short="fleet"><name>fleet</name>',
            f'<package name="{p.name}" version="{p.version}" release="1.el9" epoch="0" arch="{arch}" '
            f'src="{p.name}.src.rpm">'
            f"<filename>{file}</filename></package>",
            "</collection></pkglist></update>",
        ]  # fmt: skip
    return "\n".join([*out, "</updates>"]) + "\n"


def _link(file: Path, folder: Path) -> None:
    """A hard link keeps the fixed date, which is what Last-Modified says; a copy where that cannot be."""
    try:
        os.link(file, folder / file.name)
    except OSError:
        shutil.copy2(file, folder)
