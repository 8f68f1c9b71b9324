# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The probes of kind sql against real servers: right, wrong, refused, hanging, and never a password to be seen."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._health import probes
from tests.integration.test_store_postgresql import Server, server  # noqa: F401 - a fixture
from tests.unit.plugins.health.filled import probe

PASSWORD = "s3cr3t'\" \\x"


def ask(**more: Any) -> dict[str, Any]:
    return probes.probe_all([probe("p", "sql", **more)], 30, False, time.time())["p"]


@pytest.fixture(scope="module")
def mariadb() -> Iterator[Path]:
    """A MariaDB of its own with a socket only; the account `shop` has a password that is hard to quote."""
    program = shutil.which("mariadbd", path="/usr/sbin:/usr/bin")
    if program is None:
        pytest.skip("needs MariaDB: apt-get install mariadb-server")
    with tempfile.TemporaryDirectory(prefix="upkeep-sql-") as folder:
        base, account = Path(folder), "mysql" if os.geteuid() == 0 else ""
        if account:
            shutil.chown(base, account)
            base.chmod(0o755)
        user = [f"--user={account}"] if account else []
        subprocess.run(
            [
                "mariadb-install-db", "--no-defaults", f"--datadir={base}/data", "--skip-test-db",
                "--auth-root-authentication-method=normal", *user,
            ],
            check=True, capture_output=True,
        )  # fmt: skip
        process = subprocess.Popen(
            [program, "--no-defaults", f"--datadir={base}/data", f"--socket={base}/s", "--skip-networking", *user],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        client = ["mariadb", "--no-defaults", "-u", "root", f"--socket={base}/s"]
        made = PASSWORD.replace("\\", "\\\\").replace("'", "''")
        try:
            while subprocess.run([*client, "-e", "SELECT 1"], capture_output=True).returncode:
                assert process.poll() is None, "mariadbd ended"
                time.sleep(0.1)
            sql = f"CREATE USER shop@localhost IDENTIFIED BY '{made}'; CREATE DATABASE shop;"
            sql += "GRANT ALL ON shop.* TO shop@localhost; CREATE TABLE shop.t (n int)"
            subprocess.run([*client, "-e", sql], check=True, capture_output=True)
            yield base / "s"
        finally:
            process.terminate()
            process.wait(20)


@contextlib.contextmanager
def watching_command_lines() -> Iterator[list[str]]:
    """The command lines of database clients that were seen on this machine meanwhile."""
    seen: list[str] = []
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                with contextlib.suppress(OSError):
                    line = path.read_text(errors="replace")
                    if "psql" in line or "mariadb" in line:
                        seen.append(line)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_mariadb(mariadb: Path) -> None:
    login: dict[str, Any] = {"engine": "mysql", "socket": str(mariadb), "user": "shop", "password": PASSWORD}
    with watching_command_lines() as seen:
        told = ask(**login, query="SELECT SLEEP(0.5)", expected="0")
    assert told["passed"] is True, told
    assert any("mariadb" in line for line in seen) and not any("s3cr3t" in line for line in seen)
    assert ask(**login, database="shop", query="SELECT count(*) FROM t;", expected="0")["passed"] is True
    wrong = ask(**login, query="SELECT 41", expected="42")
    assert wrong["passed"] is False and wrong["summary"] == "the query gives '41', expected was '42'"
    refused = ask(**{**login, "password": "other"})
    assert refused["passed"] is False and "Access denied" in refused["summary"] and "other" not in str(refused)
    written = ask(**login, database="shop", query="INSERT INTO t VALUES (1)")
    assert written["passed"] is False and "READ ONLY" in written["summary"].upper()
    hanging = ask(**login, query="SELECT SLEEP(60)", timeout=1)
    assert hanging["summary"] == "no answer within 1 s" and hanging["seconds"] < 9
    nobody = ask(**{**login, "socket": str(mariadb) + "-not"})
    assert nobody["passed"] is False and "Can't connect" in nobody["summary"]


def test_postgresql(server: Server) -> None:  # noqa: F811
    login: dict[str, Any] = {"socket": str(server.folder), "user": "upkeep", "password": PASSWORD}
    with watching_command_lines() as seen:
        told = ask(**login, query="SELECT 42 FROM pg_sleep(0.5)", expected="42")
    assert told["passed"] is True, told
    assert any("psql" in line for line in seen) and not any("s3cr3t" in line for line in seen)
    assert ask(**login, query="SELECT 41;", expected="42")["summary"] == "the query gives '41', expected was '42'"
    written = ask(**login, query="CREATE TABLE t (n int)")
    assert written["passed"] is False and "read-only" in written["summary"]
    broken = ask(**login, query="SELECT nonsense")
    assert broken["passed"] is False and "nonsense" in broken["summary"]
    hanging = ask(**login, query="SELECT pg_sleep(60)", timeout=1)
    assert hanging["summary"] == "no answer within 1 s" and hanging["seconds"] < 9
    nobody = ask(**{**login, "socket": None, "host": "127.0.0.1", "port": 1})
    assert nobody["passed"] is False and "refused" in nobody["summary"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another account")
def test_as_another_account(mariadb: Path) -> None:
    account = "nobody"
    assert pwd.getpwnam(account).pw_uid
    login: dict[str, Any] = {"engine": "mysql", "socket": str(mariadb), "user": "shop", "password": PASSWORD}
    assert ask(**login, account=account)["passed"] is True
