# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real restic repositories, whole and with every fault of the table in faults/backups.md.

repository = Made.new(program, folder)           # two snapshots of a small source
repository.copy(tmp_path / "r").damage("data_flipped")
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Made:
    """A repository in a folder, with the source that it was made of and the password that opens it (None: nobody's)."""

    program: Path
    folder: Path
    source: Path
    password: str | None = PASSWORD
    environment: tuple[tuple[str, str], ...] = ()

    @classmethod
    def new(cls, program: Path, folder: Path, backups: int = 2, megabytes: int = 8) -> Made:
        """A repository of ``backups`` snapshots, each with a file more, in a handful of packs."""
        source = folder / "source"
        chance = random.Random(1)
        for number in range(20):
            path = source / f"folder{number % 4}" / f"file{number}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(chance.randbytes(chance.randint(1000, 60_000)))
        (source / "large").write_bytes(chance.randbytes(megabytes << 20))
        made = cls(program, folder / "repository", source)
        made.begin()
        for number in range(backups):
            (source / "folder0" / f"added{number}").write_bytes(chance.randbytes(50_000))
            made.restic("backup", str(source))
        return made

    def restic(self, *asked: str, check: bool = True, **environment: str) -> subprocess.CompletedProcess[str]:
        env = (
            os.environ | dict(self.environment) | {"RESTIC_CACHE_DIR": str(self.folder.parent / "cache")} | environment
        )
        if self.password is not None:
            env["RESTIC_PASSWORD"] = self.password
        argv = [str(self.program), "--repo", str(self.folder), *asked]
        done = subprocess.run(
            argv, env=env, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=60,
            cwd=self.folder.parent,  # repair packs leaves copies where it is run
        )  # fmt: skip
        assert not check or done.returncode == 0, f"{argv} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        return done

    def begin(self, *options: str) -> None:
        """Make the repository, with a key that opens at once: restic's own takes a fifth of a second each time."""
        self.restic("init", *options)
        assert self.password is not None
        (slow,) = (self.folder / "keys").iterdir()
        master = self.restic("cat", "masterkey", "--no-lock").stdout.encode()
        light = _key(json.loads(slow.read_text()), master, self.password)
        (slow.parent / hashlib.sha256(light).hexdigest()).write_bytes(light)
        slow.unlink()

    def copy(self, folder: Path) -> Made:
        """The same repository at another place, to be damaged there."""
        shutil.copytree(self.folder, folder)
        return replace(self, folder=folder)

    def damage(self, fault: str) -> Made:
        """The repository with one fault of FAULTS; with the password that somebody with that fault would have."""
        changed = FAULTS[fault](self)
        return changed if isinstance(changed, Made) else self

    # -- what is in it -----------------------------------------------------------------------------------------------

    def packs(self, kind: str | None = None) -> list[str]:
        """The digests of the packs, of all or of those with ``data`` or ``tree``, the largest first."""
        found: dict[str, str] = {}
        for index in self.restic("list", "index", "--no-lock").stdout.split():
            for pack in json.loads(self.restic("cat", "index", index, "--no-lock").stdout)["packs"]:
                found[pack["id"]] = pack["blobs"][0]["type"]
        chosen = [pack for pack in found if kind in (None, found[pack])]
        return sorted(chosen, key=lambda pack: -self.pack(pack).stat().st_size)

    def pack(self, digest: str) -> Path:
        return self.folder / "data" / digest[:2] / digest

    def snapshots(self) -> list[dict[str, Any]]:
        listed: list[dict[str, Any]] = json.loads(self.restic("snapshots", "--json", "--no-lock", "--no-cache").stdout)
        return sorted(listed, key=lambda one: one["time"])


def _key(like: dict[str, Any], master: bytes, password: str) -> bytes:
    """A file of ``keys/``: the master key, sealed by the cheapest scrypt (restic's design document)."""
    salt, nonce = os.urandom(64), os.urandom(16)
    user = hashlib.scrypt(password.encode(), salt=salt, n=2, r=8, p=1, dklen=64)
    encryptor = Cipher(algorithms.AES(user[:32]), modes.CTR(nonce)).encryptor()
    sealed = encryptor.update(master) + encryptor.finalize()
    # Poly1305-AES: its second half is the nonce, encrypted.
    block = Cipher(algorithms.AES(user[32:48]), modes.ECB()).encryptor()
    mac = Poly1305.generate_tag(user[48:64] + block.update(nonce) + block.finalize(), sealed)
    told = {"salt": base64.b64encode(salt).decode(), "data": base64.b64encode(nonce + sealed + mac).decode()}
    return json.dumps({**like, "N": 2, "r": 8, "p": 1, **told}).encode()


def flip(path: Path, offset: int) -> None:
    """Invert one byte of a file, counted from its end when negative."""
    path.chmod(0o600)
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)


def cut(path: Path, length: int) -> None:
    path.chmod(0o600)
    os.truncate(path, length)


def _each(folder: Path, do: Callable[[Path], object]) -> None:
    for path in sorted(folder.iterdir()):
        do(path)


def _emptied(made: Made) -> None:
    shutil.rmtree(made.folder)
    made.folder.mkdir()


def _a_file(made: Made) -> None:
    shutil.rmtree(made.folder)
    made.folder.write_text("not a folder")


def _locked(made: Made) -> Made:
    """A lock that is held: by a backup that waits for its input until the test ends it."""
    holder = subprocess.Popen(
        [str(made.program), "--repo", str(made.folder), "backup", "--stdin"],
        env=os.environ | {"RESTIC_PASSWORD": PASSWORD, "RESTIC_CACHE_DIR": str(made.folder.parent / "cache")},
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    HOLDERS.append(holder)
    deadline = time.monotonic() + 20
    # restic writes under another name (…-tmp-…) first: killed then, it leaves no lock.
    while not any(len(path.name) == 64 for path in (made.folder / "locks").iterdir()):
        assert holder.poll() is None, "the backup that was to hold a lock has ended"
        assert time.monotonic() < deadline, "the backup took no lock within 20 s"
        time.sleep(0.05)
    return made


def _locked_by_the_dead(made: Made) -> Made:
    """A lock whose holder was killed."""
    _locked(made)
    holder = HOLDERS.pop()
    holder.kill()
    holder.communicate()
    return made


HOLDERS: list[subprocess.Popen[bytes]] = []
"""Who holds the locks that :func:`release` ends."""


def release() -> None:
    while HOLDERS:
        holder = HOLDERS.pop()
        holder.kill()
        holder.communicate()


FAULTS: dict[str, Callable[[Made], object]] = {
    "data_flipped": lambda made: flip(made.pack(made.packs("data")[0]), 100),
    "tree_flipped": lambda made: flip(made.pack(made.packs("tree")[0]), 100),
    "header_flipped": lambda made: flip(made.pack(made.packs("data")[0]), -10),
    "data_deleted": lambda made: made.pack(made.packs("data")[0]).unlink(),
    "tree_deleted": lambda made: made.pack(made.packs("tree")[0]).unlink(),
    "data_cut": lambda made: cut(made.pack(made.packs("data")[0]), 1000),
    "index_deleted": lambda made: max((made.folder / "index").iterdir(), key=lambda path: path.stat().st_size).unlink(),
    "index_flipped": lambda made: flip(min((made.folder / "index").iterdir()), 60),
    "all_indexes_deleted": lambda made: _each(made.folder / "index", Path.unlink),
    "snapshot_cut": lambda made: cut(min((made.folder / "snapshots").iterdir()), 50),
    "snapshot_flipped": lambda made: flip(min((made.folder / "snapshots").iterdir()), 30),
    "all_snapshots_deleted": lambda made: _each(made.folder / "snapshots", Path.unlink),
    "config_flipped": lambda made: flip(made.folder / "config", 40),
    "config_deleted": lambda made: (made.folder / "config").unlink(),
    "path_missing": lambda made: shutil.rmtree(made.folder),
    "path_is_a_file": _a_file,
    "folder_empty": _emptied,
    "wrong_password": lambda made: replace(made, password="incorrect"),
    "no_password": lambda made: replace(made, password=None),
    "keys_removed": lambda made: _each(made.folder / "keys", Path.unlink),
    "key_cut": lambda made: _each(made.folder / "keys", lambda path: cut(path, 100)),
    "lock_live": _locked,
    "lock_dead": _locked_by_the_dead,
}
"""What is done to a repository, by name; one that changes how it is opened gives the changed one back."""
