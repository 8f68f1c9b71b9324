# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots that restic would never write: trees made by hand, encrypted with the repository's own key.

Whoever can write to a repository and knows its password can do this; a backed-up host that was taken over can.
The format is that of restic's design document (blobs: IV, AES-256-CTR, Poly1305-AES; a pack ends with its header).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

from .repositories import Made


class Forger:
    """Writes trees and snapshots into a repository."""

    def __init__(self, made: Made) -> None:
        self.made = made
        key = json.loads(made.restic("cat", "masterkey", "--no-lock").stdout)
        self.encrypt_key = base64.b64decode(key["encrypt"])
        self.mac_key = base64.b64decode(key["mac"]["k"])
        self.mac_r = base64.b64decode(key["mac"]["r"])

    def snapshot(self, nodes: list[dict[str, Any]], path: str = "/crafted") -> str:
        """A snapshot of this host whose root holds these nodes; a node's ``subtree`` may be a list of nodes."""
        trees: list[bytes] = []
        root = self._tree(nodes, trees)
        self._pack(trees)
        made = {
            "time": "2031-01-01T00:00:00Z",
            "tree": root,
            "paths": [path],
            "hostname": os.uname().nodename,
            "username": "root",
        }
        sealed = self._seal(json.dumps(made).encode())
        name = hashlib.sha256(sealed).hexdigest()
        (self.made.folder / "snapshots" / name).write_bytes(sealed)
        self.made.restic("rebuild-index" if self._old() else "repair", *([] if self._old() else ["index"]))
        return name

    def _old(self) -> bool:
        return " 0.14" in self.made.restic("version").stdout

    def _tree(self, nodes: list[dict[str, Any]], trees: list[bytes]) -> str:
        stored = []
        for node in nodes:
            if isinstance(node.get("subtree"), list):
                stored.append(dict(node, subtree=self._tree(node["subtree"], trees)))
            else:
                stored.append(node)
        data = json.dumps({"nodes": stored}).encode() + b"\n"
        trees.append(data)
        return hashlib.sha256(data).hexdigest()

    def _seal(self, data: bytes) -> bytes:
        iv = os.urandom(16)
        encryptor = Cipher(algorithms.AES(self.encrypt_key), modes.CTR(iv)).encryptor()
        sealed = encryptor.update(data) + encryptor.finalize()
        block = Cipher(algorithms.AES(self.mac_key), modes.ECB()).encryptor()
        mac = Poly1305.generate_tag(self.mac_r + block.update(iv) + block.finalize(), sealed)
        return iv + sealed + mac

    def _pack(self, trees: list[bytes]) -> None:
        blobs = [(hashlib.sha256(tree).digest(), self._seal(tree)) for tree in dict.fromkeys(trees)]
        header = b"".join(struct.pack("<BI", 1, len(sealed)) + digest for digest, sealed in blobs)
        sealed_header = self._seal(header)
        pack = b"".join(sealed for _digest, sealed in blobs) + sealed_header + struct.pack("<I", len(sealed_header))
        name = hashlib.sha256(pack).hexdigest()
        folder = self.made.folder / "data" / name[:2]
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(pack)


_COMMON = {"uid": 0, "gid": 0, "mtime": "2026-01-01T00:00:00Z", "atime": "2026-01-01T00:00:00Z"}
_GO_DIR, _GO_LINK = 1 << 31, 1 << 27


def folder(name: str, inside: list[dict[str, Any]], mode: int = 0o755) -> dict[str, Any]:
    return {**_COMMON, "name": name, "type": "dir", "mode": _GO_DIR | mode, "subtree": inside}


def link(name: str, target: str) -> dict[str, Any]:
    return {**_COMMON, "name": name, "type": "symlink", "mode": _GO_LINK | 0o777, "linktarget": target}


def file(name: str, mode: int = 0o644) -> dict[str, Any]:
    return {**_COMMON, "name": name, "type": "file", "mode": mode, "size": 0, "content": []}
