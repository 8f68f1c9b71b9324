# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vCenter for tests: main.go over govmomi's simulator, built once for its content, steered by :class:`Vcenter`."""

from __future__ import annotations

import datetime
import fcntl
import hashlib
import ipaddress
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

SOURCE = Path(__file__).with_name("main.go")
LIBRARY = Path("/usr/share/gocode")
CACHE = Path(__file__).parents[3] / ".cache" / "vcenter"

USER = "upkeep@vsphere.local"
PASSWORD = "s3cr3t&pässword"

_ORDINARY = {
    "clear": True, "tools": True, "power": "poweredOn", "connection": "connected", "template": False, "supported": True,
    "independent": False, "consolidate": False, "disk": "as before", "milliseconds": 20, "create": "", "quiesce": "",
    "remove": "", "revert": "", "power_on": "", "question": "", "cancelable": True, "refuse_rename": False,
}  # fmt: skip


def program() -> Path:
    """The server, compiled if need be: some 25 s, once for each content of main.go."""
    digest = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]
    built = CACHE / f"vcenter-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not built.exists():
            assert (LIBRARY / "src/github.com/vmware/govmomi/simulator").is_dir(), (
                "expected govmomi's simulator and go; to do: apt-get install golang-go golang-github-vmware-govmomi-dev"
            )
            env = {**os.environ, "GO111MODULE": "off", "GOPATH": str(LIBRARY), "GOCACHE": str(CACHE / "go")}
            new = CACHE / f"{built.name}.new"
            ran = subprocess.run(
                ["go", "build", "-o", new, SOURCE], env=env, capture_output=True, text=True, timeout=600
            )
            assert ran.returncode == 0, ran.stderr
            for old in CACHE.glob("vcenter-*"):
                if old != new:
                    old.unlink()
            new.rename(built)
    return built


def certificate(folder: Path, name: str, days: float = 1) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself and ends in so many days, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(days=9)).not_valid_after(now + datetime.timedelta(days=days))
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = made.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem, secret = folder / f"{name}.pem", folder / f"{name}.key"
    pem.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    return pem, secret


class Vcenter:
    """A running one. Its machines are /DC0/vm/DC0_H0_VM0 to VM2, and the same in DC1."""

    def __init__(self, process: subprocess.Popen[str], ca_file: Path) -> None:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"it ended: {process.wait(10)}"
        self.process, self.ca_file = process, ca_file
        self.port: int = json.loads(line)["port"]
        self._control = f"http://127.0.0.1:{json.loads(line)['control']}"

    def _ask(self, page: str, **said: Any) -> bytes:
        body = json.dumps(said).encode()
        try:
            with urllib.request.urlopen(self._control + page, body, timeout=20) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(error.read().decode()) from None

    def state(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self._ask("/state"))
        return told

    def machine(self, path: str, **said: Any) -> None:
        self._ask("/machine", path=path, **said)

    def ordinary(self, path: str, **said: Any) -> None:
        """As :meth:`machine`, and what is not said is as it should be."""
        self.machine(path, **{**_ORDINARY, **said})

    def snapshot(self, path: str, name: str, description: str = "", age: int = 0) -> None:
        self._ask("/snapshot", path=path, name=name, description=description, age=age)

    def datastore(self, name: str, free: int, capacity: int, shown: int | None = None, accessible: bool = True) -> None:
        shown = free if shown is None else shown
        self._ask("/datastore", name=name, free=free, shown=shown, capacity=capacity, accessible=accessible)

    def fault(self, method: str, do: str, times: int = 1) -> None:
        self._ask("/fault", method=method, do=do, times=times)

    def reset(self) -> None:
        self._ask("/reset")

    def calls(self) -> list[str]:
        return list(self.state()["calls"])

    def snapshots(self, path: str) -> list[dict[str, Any]]:
        return list(self.state()["machines"][path]["snapshots"])

    def until(self, page: str, so: Any, seconds: float = 30) -> None:
        """Wait until the machine at a path is ``so``."""
        end = time.monotonic() + seconds
        while not so(self.state()["machines"][page]):
            assert time.monotonic() < end, self.state()["machines"][page]
            time.sleep(0.05)


@contextmanager
def vcenter(cert: Path, key: Path, port: int = 0) -> Iterator[Vcenter]:
    words = [program(), str(port), cert, key, USER, PASSWORD]
    with (
        tempfile.TemporaryFile("w+") as log,
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdin is not None
        try:
            yield Vcenter(process, cert)
        finally:
            process.stdin.close()  # it ends with its input, also when the test is killed
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
            log.seek(0)
            said = log.read()
            assert "panic" not in said, said[-5000:]
