# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's kubectl (kubernetes-client), unpacked beside whatever kubectl this machine has, and never installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

CACHE = Path(__file__).parents[2] / ".cache" / "kubectl"


def kubectl() -> Path:
    """The program. It comes by this machine's own apt settings, and is kept."""
    program = CACHE / "kubectl"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if program.exists():
            return program
        with tempfile.TemporaryDirectory(dir=CACHE) as name:
            folder = Path(name)
            folder.chmod(0o755)
            got = subprocess.run(
                ["apt-get", "download", "kubernetes-client"], cwd=folder, capture_output=True, text=True, timeout=300
            )
            packages = list(folder.glob("*.deb"))
            assert got.returncode == 0 and len(packages) == 1, (
                f"expected apt-get to download kubernetes-client: {got.stderr}"
            )
            subprocess.run(["dpkg-deb", "-x", packages[0], folder / "tree"], check=True, timeout=300)
            new = folder / "kubectl"
            shutil.copy2(folder / "tree" / "usr" / "bin" / "kubectl", new)
            os.replace(new, program)
    return program
