# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of packages: put in place, and known again."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil


def place(source: str, target: str, copy: bool = False) -> bool:
    """Have a file under another name too: as a second name, or with ``copy``, or where that cannot be, as a copy.

    Whether it went. What a link leads to is only copied.
    """
    try:
        if not os.path.isfile(source) or (os.path.islink(source) and not copy):
            return False
        with contextlib.suppress(FileNotFoundError):
            os.unlink(target)
        try:
            if copy:
                raise OSError
            os.link(source, target)
        except OSError:
            shutil.copyfile(source, target + ".part")
            os.replace(target + ".part", target)
    except OSError:
        return False
    return True


def sha256(path: str) -> str:
    """The SHA-256 of a file, empty when it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as stream:
            for chunk in iter(lambda: stream.read(1 << 20), b""):
                digest.update(chunk)
    except OSError:
        return ""
    return digest.hexdigest()
