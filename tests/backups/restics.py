# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The versions of restic that Debian has: this machine's own, and newer ones beside it, never installed.

They come by this machine's own apt settings from the suites after its release, with lists of our own; what
apt vouches for is unpacked under ``.cache`` and kept for a week.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "restics"
MACHINE = "machine"
"""Debian 12's 0.14 on the machines that these tests are for."""
SUITES = ("trixie", "sid")
NAMES = (MACHINE, *SUITES)
ENDS = (MACHINE, SUITES[-1])
"""The oldest and the newest: what differs in between, test_restic_errors.py sees."""
_KEPT = 7 * 86400


class NotToBeHad(Exception):  # noqa: N818 - reads as a sentence where it is raised
    """A version that cannot be fetched from here: why."""


def restic(name: str) -> Path:
    """The program: ``machine`` is the installed one, otherwise that of a suite. Raises NotToBeHad."""
    if name == MACHINE:
        found = shutil.which("restic")
        if found is None:
            raise NotToBeHad("restic is not installed: apt-get install restic")
        return Path(found)
    program = CACHE / name / "restic"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program.exists() and time.time() - program.stat().st_mtime < _KEPT:
            return program
        try:
            _fetch(name, program)
        except NotToBeHad:
            if not program.exists():
                raise
    return program


def version(program: Path) -> tuple[int, ...]:
    said = subprocess.run([program, "version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.split()[1].split("."))


def _fetch(suite: str, program: Path) -> None:
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=f"{suite}.") as folder:
        work = Path(folder)
        apt = ["apt-get", "-q", *_options(work, suite)]
        _run([*apt, "update", "--error-on=any"], work)
        _run([*apt, "download", "restic"], work)
        (deb,) = work.glob("restic_*.deb")
        _run(["dpkg-deb", "-x", str(deb), str(work / "root")], work)
        program.parent.mkdir(exist_ok=True)
        made = work / "root/usr/bin/restic"
        _run([str(made), "version"], work)
        os.utime(made)
        made.replace(program)


def _options(work: Path, suite: str) -> list[str]:
    uri, signed = _source()
    (work / "lists/partial").mkdir(parents=True)
    (work / "status").touch()
    parts = work / "parts"
    parts.mkdir()
    stanza = f"Types: deb\nURIs: {uri}\nSuites: {suite}\nComponents: main\n"
    (parts / "suite.sources").write_text(stanza + (f"Signed-By: {signed}\n" if signed else ""))
    settings = {
        "Dir::Etc::SourceList": "/dev/null", "Dir::Etc::SourceParts": parts, "Dir::State": work,
        "Dir::State::Lists": work / "lists", "Dir::State::Status": work / "status", "Dir::Cache": work,
        "APT::Sandbox::User": "root",
    }  # fmt: skip
    return [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]


def _source() -> tuple[str, str]:
    """Where this machine gets Debian's main archive from, and the key that it trusts for it."""
    wanted = ["$(REPO_URI)|$(RELEASE)|$(SIGNED_BY)", "Created-By: Packages", "Origin: Debian", "Component: main"]
    listed = subprocess.run(["apt-get", "indextargets", "--format", *wanted], capture_output=True, text=True).stdout
    for line in listed.splitlines():
        uri, _, rest = line.partition("|")
        release, _, signed = rest.partition("|")
        if re.fullmatch(r"[a-z]+", release):  # not the updates' nor the security archive
            # apt leaves a field that has no value as it is written in the format.
            return uri, "" if signed.startswith("$(") else signed
    raise NotToBeHad("this machine's apt knows no Debian archive: apt-get update")


def _run(argv: list[str], work: Path) -> None:
    environment = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(argv, cwd=work, env=environment, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip().splitlines()[-5:]
        raise NotToBeHad(f"{argv[0]} ended with {done.returncode}: " + " / ".join(said))
