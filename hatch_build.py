# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packs the collection, for Galaxy and into the wheel: one list of files, that of `ansible-galaxy collection build`.

As a program it writes the Galaxy tarball (`python hatch_build.py FOLDER`); hatchling uses :class:`CollectionHook`, so
that the wheel holds what the tarball holds, its MANIFEST.json included.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).resolve().parent
INSIDE_WHEEL = "ansible_collections/upkeep/maintenance"
_EARLIEST = 315532800
"""1980-01-01, seconds since the epoch: the earliest that a zip file, such as a wheel, can say."""


def build_tarball(root: Path, folder: Path) -> Path:
    """Write the Galaxy tarball of the checkout `root` into `folder`; the same files give the same bytes.

    Raises RuntimeError with what ansible-galaxy said when it fails.
    """
    with tempfile.TemporaryDirectory() as made_in:
        command = [
            sys.executable,
            "-m",
            "ansible",
            "galaxy",
            "collection",
            "build",
            "--output-path",
            made_in,
            str(root),
        ]
        # An ansible.cfg in the checkout, the home folder or /etc is about how somebody runs Ansible.
        env = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
        empty = Path(made_in, "empty.cfg")
        empty.touch()
        env |= {"LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(empty)}
        done = subprocess.run(command, cwd=made_in, env=env, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(
                f"ansible-galaxy collection build ended with {done.returncode}:\n{done.stdout}{done.stderr}"
            )
        (made,) = Path(made_in).glob("*.tar.gz")
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / made.name
        with tarfile.open(made) as source:
            target.write_bytes(_reproducible(source))
    return target


def _reproducible(source: tarfile.TarFile) -> bytes:
    """The same tarball in the order of the files' names, and without the clock and the account of this machine.

    ansible-galaxy lists files as the file system does, so its two lists have to be put in order too.
    """
    members = {member.name: member for member in source}
    contents = {name: _read(source, member) for name, member in members.items() if member.isfile()}
    files = json.loads(contents["FILES.json"])
    files["files"].sort(key=lambda entry: entry["name"])
    contents["FILES.json"] = _json(files)
    manifest = json.loads(contents["MANIFEST.json"])
    manifest["file_manifest_file"]["chksum_sha256"] = hashlib.sha256(contents["FILES.json"]).hexdigest()
    contents["MANIFEST.json"] = _json(manifest)

    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as target:
        # Galaxy reads these two without unpacking the rest, so they come first.
        first = ["MANIFEST.json", "FILES.json"]
        for name in first + sorted(members.keys() - set(first)):
            entry = tarfile.TarInfo(name)
            entry.type = members[name].type
            entry.size = len(contents.get(name, b""))
            entry.mode = 0o755 if members[name].mode & 0o100 else 0o644
            entry.mtime = max(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), _EARLIEST)
            target.addfile(entry, io.BytesIO(contents.get(name, b"")))
    return gzip.compress(packed.getvalue(), mtime=0)


def _read(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file else b""


def _json(value: object) -> bytes:
    return json.dumps(value, indent=1).encode() + b"\n"


class CollectionHook(BuildHookInterface):  # type: ignore[type-arg]  # its parameter is for typed configurations
    """Adds the collection to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Pack and unpack the collection beside, and have it included."""
        if version == "editable":
            # It would hold a copy of the collection that no later edit reaches.
            raise RuntimeError(
                "an editable install of upkeep is not possible: ./upkeep makes an environment that follows the checkout"
            )
        self._unpacked = tempfile.TemporaryDirectory()
        folder = Path(self._unpacked.name)
        tarball = build_tarball(Path(self.root), folder / "tarball")
        with tarfile.open(tarball) as archive:
            archive.extractall(folder / "collection")  # noqa: S202 - we packed it ourselves; Debian 12 has no filter
        build_data["force_include"][str(folder / "collection")] = INSIDE_WHEEL

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take the unpacked copy away."""
        self._unpacked.cleanup()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python hatch_build.py FOLDER   (writes the Galaxy tarball into FOLDER)")
    print(build_tarball(ROOT, Path(sys.argv[1])))
