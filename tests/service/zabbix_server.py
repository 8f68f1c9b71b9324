# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Zabbix: its server, its frontend and their database, in a temporary folder, on loopback."""

from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import os
import shutil
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_store_postgresql import Server

from .test_monitoring import free_port, get, running, wait_for

FRONTEND = Path("/usr/share/zabbix")
SCHEMA = Path("/usr/share/zabbix-server-pgsql")

CONFIGURATION = """<?php
$DB = ['TYPE' => 'POSTGRESQL', 'SERVER' => '{socket}', 'PORT' => '0', 'DATABASE' => '{database}', 'USER' => 'upkeep',
  'PASSWORD' => '', 'SCHEMA' => '', 'ENCRYPTION' => false, 'KEY_FILE' => '', 'CERT_FILE' => '', 'CA_FILE' => '',
  'VERIFY_HOST' => false, 'CIPHER_LIST' => '', 'VAULT' => '', 'VAULT_URL' => '', 'VAULT_DB_PATH' => '',
  'VAULT_TOKEN' => '', 'DOUBLE_IEEE754' => true];
$ZBX_SERVER = '127.0.0.1';
$ZBX_SERVER_PORT = '{port}';
$ZBX_SERVER_NAME = 'test';
$IMAGE_FORMAT_DEFAULT = IMAGE_FORMAT_PNG;
"""


def low_port() -> int:
    """Zabbix takes none above 32767, where the kernel's free ones begin."""
    for port in range(20000 + os.getpid() % 10000, 32767):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            return port
    raise AssertionError("no free port")


class Zabbix:
    """Its API."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.numbers = itertools.count(1)
        self.token: str | None = None

    def __call__(self, method: str, **params: Any) -> Any:
        return self.call(method, params)

    def call(self, method: str, params: Any) -> Any:
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": next(self.numbers), "auth": self.token}
        headers = {"Content-Type": "application/json-rpc"}
        request = urllib.request.Request(f"{self.url}/api_jsonrpc.php", json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            text = answer.read().decode()
        document = json.loads(text)
        assert "error" not in document, f"{method}: {document['error']}"
        return document["result"]


@pytest.fixture(scope="module")
def zabbix(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zabbix]:
    for needed, package in ((FRONTEND, "zabbix-frontend-php"), (SCHEMA, "zabbix-server-pgsql")):
        if not needed.exists():
            pytest.fail(f"expected {needed}, found nothing; to do: apt-get install {package} php-cli")
    database = server.database()
    folder = tmp_path_factory.mktemp("zabbix")
    schema = server.folder / "zabbix.sql"
    with schema.open("wb") as file:
        for part in ("schema", "images", "data"):
            file.write(gzip.decompress((SCHEMA / f"{part}.sql.gz").read_bytes()))
    schema.chmod(0o644)
    server.call("psql", "-h", str(server.folder), "-U", "upkeep", "-d", database, "-qf", str(schema))
    port, listens = free_port(), low_port()
    www = folder / "www"
    # A copy, for Debian's looks for its configuration in /etc, which is not ours.
    shutil.copytree(FRONTEND, www, symlinks=False, ignore_dangling_symlinks=True)
    configuration = folder / "zabbix.conf.php"
    settings = CONFIGURATION.replace("{socket}", str(server.folder)).replace("{database}", database)
    configuration.write_text(settings.replace("{port}", str(listens)))
    reader = www / "include" / "classes" / "core" / "CConfigFile.php"
    reader.write_text(reader.read_text().replace("/etc/zabbix/zabbix.conf.php", str(configuration)))
    php = ["php", "-d", "memory_limit=256M", "-d", "max_execution_time=120", "-S", f"127.0.0.1:{port}", "-t", str(www)]
    (folder / "server.conf").write_text(
        f"DBHost={server.folder}\nDBName={database}\nDBUser=upkeep\nListenIP=127.0.0.1\nListenPort={listens}\n"
        f"LogType=console\nPidFile={folder}/server.pid\nSocketDir={server.folder}\nAllowRoot=1\n"
        "CacheUpdateFrequency=2\nStartPollers=1\nStartPreprocessors=1\nStartDiscoverers=0\nStartTrappers=1\n"
        "StartPingers=0\nStartHTTPPollers=0\n"
    )
    with (
        running(folder / "php.log", *php),
        running(folder / "server.log", "/usr/sbin/zabbix_server", "-f", "-c", folder / "server.conf"),
    ):
        api = Zabbix(f"http://127.0.0.1:{port}")
        wait_for("frontend", lambda: get(f"http://127.0.0.1:{port}/robots.txt"))
        api.token = api("user.login", username="Admin", password="zabbix")
        yield api
