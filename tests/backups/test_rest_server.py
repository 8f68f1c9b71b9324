# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A repository behind a REST server (rclone's), over HTTP with a password and over TLS: sound, and each way to fail."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups import (
    check,
    info,
    options_check,
    options_info,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.backups import repositories
from tests.backups.fixture import program, restic
from tests.backups.repositories import PASSWORD, Made

__all__ = ["restic"]

pytestmark = pytest.mark.timeout(180)
USER, SECRET = "somebody", "letmein-letmein"


@dataclass(frozen=True)
class Served:
    plain: str
    """HOST:PORT that asks for USER and SECRET."""
    tls: str
    """The same without a password, with a certificate that nobody knows."""
    certificate: Path
    folder: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    for name in ("rclone", "openssl"):
        if shutil.which(name) is None:
            pytest.fail(f"expected {name}, found none; to do: apt-get install {name}")
    folder = tmp_path_factory.mktemp("rest")
    Made.new(program("machine"), folder / "served", megabytes=1)
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    words += ["-days", "2", "-subj", "/CN=backup.test", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    servers: list[subprocess.Popen[bytes]] = []
    try:
        plain = _serve(servers, folder, ["--user", USER, "--pass", SECRET])
        tls = _serve(servers, folder, ["--cert", str(certificate), "--key", str(key)])
        yield Served(plain, tls, certificate, folder / "served" / "repository")
    finally:
        for server in servers:
            server.kill()
            server.wait()


def _serve(servers: list[subprocess.Popen[bytes]], folder: Path, words: list[str]) -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    argv = ["rclone", "serve", "restic", "--config", "/dev/null", "--addr", address, *words, str(folder / "served")]
    log = folder / f"{len(servers)}.log"
    with log.open("wb") as stream:
        server = subprocess.Popen(argv, stdout=stream, stderr=stream, stdin=subprocess.DEVNULL)
    servers.append(server)
    host, _colon, port = address.partition(":")
    while True:
        assert server.poll() is None, log.read_text()
        try:
            socket.create_connection((host, int(port)), 5).close()
        except OSError:
            time.sleep(0.05)
        else:
            return address


def looked(restic: Path, folder: Path, location: str, **more: Any) -> dict[str, Any]:
    return info.review(Host(), _options(options_info.defaults(), restic, folder, location, more))


def checked(restic: Path, folder: Path, location: str, **more: Any) -> dict[str, Any]:
    options = _options(options_check.defaults(), restic, folder, location, more)
    return check.review(Host(), {**options, "state_file": str(folder / "state.json"), "weeks": 1})


def _options(
    defaults: dict[str, Any], restic: Path, folder: Path, location: str, more: dict[str, Any]
) -> dict[str, Any]:
    repository = {"name": "main", "repository": location, "password": PASSWORD, **more}
    given = {"repositories": [repository], "program": str(restic), "cache_dir": str(folder / "cache")}
    given.update(discover=False, idle_timeout=6, nice=0, ionice="none", check_mode=False)
    return {**defaults, **given, "databases": False, "volumes": False}


def shown(*results: dict[str, Any]) -> str:
    """The results as they leave the module, in which no secret stands."""
    text = json.dumps(results)
    assert SECRET not in text and PASSWORD not in text
    return text


def test_a_sound_one_is_silent_and_read_to_its_end(served: Served, restic: Path, tmp_path: Path) -> None:
    location = f"rest:http://{USER}:{SECRET}@{served.plain}/repository/"
    seen, proven = looked(restic, tmp_path, location), checked(restic, tmp_path, location)
    assert [one for one in seen["findings"] if one["severity"] != "info"] == []
    assert seen["repositories"][0]["opened"] and seen["repositories"][0]["snapshots"] == 2
    assert proven["findings"] == []
    assert [one["outcome"] for one in proven["proofs"]] == ["passed", "passed"]
    assert proven["proofs"][1]["facts"]["packs_read"] == len(list((served.folder / "data").rglob("?" * 64)))
    text = shown(seen, proven)
    assert f"rest:http://{USER}:" in text
    over_tls = looked(restic, tmp_path, f"rest:https://{served.tls}/repository/", cacert=str(served.certificate))
    assert over_tls["repositories"][0]["opened"], over_tls["findings"]


FAULTS = {
    "no credentials": ("http://{plain}/repository/", {}, "refused"),
    "wrong credentials": ("http://somebody:hunter2-hunter2@{plain}/repository/", {}, "refused"),
    "no such repository": (f"http://{USER}:{SECRET}@{{plain}}/nothing/", {}, "missing"),
    "wrong password": (f"http://{USER}:{SECRET}@{{plain}}/repository/", {"password": "incorrect"}, "wrong_password"),
    "certificate unknown": ("https://{tls}/repository/", {}, "untrusted"),
    "authority's file is gone": ("https://{tls}/repository/", {"cacert": "/nonexistent/ca.pem"}, "untrusted"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_told_apart(served: Served, restic: Path, tmp_path: Path, fault: str) -> None:
    address, more, name = FAULTS[fault]
    location = "rest:" + address.format(plain=served.plain, tls=served.tls)
    results = [looked(restic, tmp_path, location, **more)]
    if fault != "certificate unknown":  # newer ones try that again until the limit: once is enough
        results.append(checked(restic, tmp_path, location, **more))
    for result in results:
        assert [(one["check"], one["subject"]) for one in result["findings"]] == [(f"backup.repository.{name}", "main")]
        assert result["findings"][0]["remedy"]
        assert not any(entry["check"] == f"backup.repository.{name}" for entry in result["coverage"])
    assert "hunter2" not in shown(*results)


def test_damage_behind_a_server_is_damage(served: Served, restic: Path, tmp_path: Path) -> None:
    made = Made(restic, served.folder, served.folder)
    pack = made.pack(made.packs("data")[0])
    whole = pack.read_bytes()
    pack.chmod(0o600)
    repositories.flip(pack, 100)
    try:
        result = checked(restic, tmp_path, f"rest:http://{USER}:{SECRET}@{served.plain}/repository/")
    finally:
        pack.write_bytes(whole)
    (found,) = result["findings"]
    assert (found["check"], list(found["facts"]["packs"])) == ("backup.data.damaged", [pack.name])
