# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Patroni with PostgreSQL and etcd: a cluster of two members, in a temporary folder, on loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .http_server import free_port

USER, PASSWORD = "upkeep", "r3st-hunter2-xyz"


def until(what: str, holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.2)


class Patronis:
    """The members pg1 and pg2."""

    def __init__(self, folder: Path) -> None:
        for program, package in (("patroni", "patroni"), ("etcd", "etcd-server"), ("setpriv", "util-linux")):
            assert shutil.which(program), f"expected {program}, found none; to do: apt-get install {package}"
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
        self.folder = folder
        self.become: list[str] = []
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root.
            shutil.chown(folder, "postgres")
            self.become = ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]
        self.names = ("pg1", "pg2")
        self.rest = {name: free_port() for name in self.names}
        self.sql_port = {name: free_port() for name in self.names}
        self.etcd_port = free_port()
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.rest[name]}"

    def start(self) -> None:
        client, peer = (f"http://127.0.0.1:{port}" for port in (self.etcd_port, free_port()))
        words = ["etcd", "--name", "e", "--data-dir", f"{self.folder}/etcd", "--listen-client-urls", client]
        words += ["--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer]
        self.run("etcd", *words, "--initial-cluster", f"e={peer}")
        until("etcd is up", lambda: _answers(client + "/health"))
        self.member("pg1")
        until("pg1 leads", lambda: self.roles().get("pg1") == "leader", 120)
        self.member("pg2")
        until("pg2 follows", lambda: self.follows("pg1", "pg2"), 120)

    def member(self, name: str) -> None:
        """Start a member."""
        port = self.sql_port[name]
        settings = {
            "scope": "main", "name": name, "etcd3": {"host": f"127.0.0.1:{self.etcd_port}"},
            "restapi": {
                "listen": f"127.0.0.1:{self.rest[name]}", "connect_address": f"127.0.0.1:{self.rest[name]}",
                "authentication": {"username": USER, "password": PASSWORD},
            },
            "bootstrap": {
                "dcs": {
                    "ttl": 30, "loop_wait": 1, "retry_timeout": 10,
                    "postgresql": {"use_pg_rewind": True, "parameters": {"max_connections": 30, "wal_log_hints": "on"}},
                },
                "initdb": [{"encoding": "UTF8"}, {"auth": "trust"}, "no-sync"],
            },
            "postgresql": {
                "listen": f"127.0.0.1:{port}", "connect_address": f"127.0.0.1:{port}", "bin_dir": str(self.bin),
                "data_dir": f"{self.folder}/{name}", "pgpass": f"{self.folder}/{name}.pass",
                "authentication": {"superuser": {"username": "postgres"}, "replication": {"username": "postgres"}},
                "pg_hba": ["local all all trust", "host all all 127.0.0.1/32 trust",
                           "host replication all 127.0.0.1/32 trust"],
                "parameters": {"fsync": False, "unix_socket_directories": str(self.folder), "shared_buffers": "16MB"},
            },
        }  # fmt: skip
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(settings))
        path.chmod(0o644)
        self.run(name, "patroni", str(path))

    def run(self, name: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            environment = {**os.environ, "LC_ALL": "C.UTF-8", "HOME": str(self.folder)}
            self.running[name] = subprocess.Popen(
                [*self.become, *words], stdout=log, stderr=log, cwd=self.folder, env=environment
            )

    def cluster(self) -> dict[str, Any]:
        """What Patroni itself says, not our reading of it."""
        for name in self.names:
            try:
                with urllib.request.urlopen(self.url(name) + "/cluster", timeout=10) as answer:
                    told: dict[str, Any] = json.loads(answer.read())
                    return told
            except OSError:
                continue
        return {"members": []}

    def roles(self) -> dict[str, str]:
        return {
            one["name"]: one["role"] for one in self.cluster()["members"] if one["state"] in ("running", "streaming")
        }

    def configure(self, **settings: Any) -> None:
        request = urllib.request.Request(self.url("pg1") + "/config", json.dumps(settings).encode(), method="PATCH")
        manager = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        manager.add_password(None, self.url("pg1"), USER, PASSWORD)
        urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(manager)).open(request, timeout=10).close()

    def sql(self, name: str, statement: str) -> str:
        words = [str(self.bin / "psql"), "-h", "127.0.0.1", "-p", str(self.sql_port[name]), "-U", "postgres", "-Atqc"]
        ran = subprocess.run([*self.become, *words, statement], capture_output=True, text=True, timeout=30, cwd="/")
        return ran.stdout.strip() if ran.returncode == 0 else ran.stderr.strip()

    def follows(self, leader: str, name: str) -> bool:
        told = self.sql(leader, "select application_name from pg_stat_replication where state = 'streaming'")
        return self.roles().get(name) == "replica" and name in told.splitlines()

    def stop_member(self, name: str) -> None:
        """Patroni stops PostgreSQL too."""
        self.running[name].terminate()
        self.running.pop(name).wait(60)

    def stop(self) -> None:
        for name in [*self.names, "etcd"]:
            if name in self.running:
                self.running[name].terminate()
                try:
                    self.running[name].wait(30)
                except subprocess.TimeoutExpired:
                    self.running[name].kill()
        for name in self.names:
            data = self.folder / name
            if (data / "postmaster.pid").exists():
                stop = [str(self.bin / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
                subprocess.run([*self.become, *stop], capture_output=True, timeout=60, cwd="/")


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except (OSError, urllib.error.URLError):
        return False
    return True
