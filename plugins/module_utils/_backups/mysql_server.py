# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away server of MariaDB or MySQL in a scratch place: made, started, asked, loaded, ended.

It listens on one socket in a folder that nobody else may enter, has no network, no libraries beside the harmless ones,
no folder to write files to, and runs confined (confine.py): what a hostile dump has it do stays in the scratch place.
Before anything is loaded, the kernel says which process is behind the socket, and the server which data it serves.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import stat
import struct
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from .._process import Ended, run
from . import confine, dumps, mysql_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .._host import Host

FOLDERS = ("/usr/sbin", "/usr/bin", "/usr/libexec", "/usr/local/sbin", "/usr/local/bin", "/usr/local/mysql/bin")
PATTERNS = ("/opt/*/bin", "/usr/local/mysql-*/bin", "/usr/local/mariadb-*/bin", "/opt/*/*/bin")
"""Where servers lie: distributions' folders, and those of the makers' archives."""

BASE_BYTES = 220 * 1024 * 1024
"""Bytes that an empty server takes in its place: system tables, undo and temporary tablespaces (measured: 10.11 takes
124 MiB with a redo log of 96 MiB), and room to work."""

HARMLESS = re.compile(
    r"(auth_ed25519|auth_0x0100|caching_sha2_password|ha_(archive|blackhole|example|rocksdb|sphinx|mroonga|columnstore|oqgraph)"
    r"|provider_(bzip2|lz4|lzma|lzo|snappy)|type_\w+|simple_password_check|locales|component_validate_password)\.so"
)
"""Libraries that a dump may ask for: ways of logging in, storage engines and packers that reach nothing outside."""

_USER = "upkeep"


class ServerFailed(Exception):  # noqa: N818 - an outcome, not a bug
    """The server could not be made, did not start, or is not what we started: why, and the lines that tell."""

    def __init__(self, why: str, evidence: Sequence[str] = (), ours: bool = True) -> None:
        super().__init__(why)
        self.why = why
        self.evidence = list(evidence)
        self.ours = ours
        """False: what answers is not the throw-away server."""


class Programs(NamedTuple):
    """The programs of one server on this host; all are full paths."""

    engine: str
    """mariadb or mysql"""
    version: str
    server: str
    client: str
    install: str
    """mariadb-install-db, or its older name; empty where the server makes its own data (MySQL 5.7 and later)."""
    backup: str
    """mariadb-backup, empty where there is none."""
    base: str
    """The folder of an archive's installation, empty of a distribution's."""

    @property
    def major(self) -> str:
        return dumps.major_version(self.engine, self.version)


_VERSION = re.compile(r"\bVer (\d+\.\d+\.\d+)(\S*)")


def find(host: Host, folder: str | None = None) -> list[Programs]:
    """The servers of this host that can be used; ``folder``: look in this one only."""
    folders = [folder] if folder else [*FOLDERS, *(path for pattern in PATTERNS for path in host.glob(pattern))]
    found: dict[str, Programs] = {}
    for place in folders:
        for name in ("mariadbd", "mysqld"):
            server = "%s/%s" % (place.rstrip("/"), name)
            if not host.exists(server) or os.path.realpath(server) in found:
                continue
            told = _VERSION.search(host.run([server, "--no-defaults", "--version"], timeout=20).out)
            if not told:
                continue
            maria = "mariadb" in told[2].lower()
            base = os.path.dirname(os.path.realpath(place)) if place not in FOLDERS[:5] else ""
            near = [place, base + "/bin", base + "/scripts"] if base else [*FOLDERS[:5]]
            client = _near(host, near, ("mariadb", "mysql") if maria else ("mysql",))
            install = _near(host, near, ("mariadb-install-db", "mysql_install_db")) if maria else ""
            backup = _near(host, near, ("mariadb-backup", "mariabackup")) if maria else ""
            if client and (install or not maria):
                found[os.path.realpath(server)] = Programs(
                    "mariadb" if maria else "mysql", told[1], server, client, install, backup, base
                )
    return list(found.values())


def _near(host: Host, folders: Sequence[str], names: Sequence[str]) -> str:
    paths = ("%s/%s" % (folder, name) for name in names for folder in folders)
    return next((path for path in paths if host.exists(path)), "")


class Answer(NamedTuple):
    """What the server answered to a script."""

    rc: int | None
    rows: list[list[str]]
    complaints: list[mysql_sql.Complaint]
    ended_by: str
    out: bytes
    seconds: float

    def why(self) -> str:
        """Why it has no full answer, empty when it has."""
        if self.ended_by:
            return "it was ended at its limit (%s)" % self.ended_by
        if self.complaints:
            return self.complaints[0].message
        return "" if self.rc == 0 else "the client ended with %s" % self.rc


class ThrowAway:
    """One server in ``place``, an empty folder of ours. ``memory`` and ``log``: bytes of its buffer pool and redo log.

    A context manager: on leaving, the server is killed. It dies with this process in any case.
    """

    def __init__(
        self,
        programs: Programs,
        place: str,
        memory: int,
        log: int,
        extra_plugins: Sequence[str] = (),
        nice: int | None = None,
    ) -> None:
        self.programs = programs
        self.place = place
        self.memory = memory
        self.log = log
        self.extra_plugins = tuple(extra_plugins)
        self.nice = nice
        self.account = confine.free_account()
        self.data = os.path.join(place, "data")
        self.process: subprocess.Popen[bytes] | None = None
        self._read = [place, *([programs.base] if programs.base else [])]

    def __enter__(self) -> ThrowAway:
        # The folder above is closed to others, and this account must pass through.
        if self.account is not None:
            os.chown(self.place, *self.account)
        for name in ("data", "tmp"):
            self._folder(name, 0o700, ours=False)
        self._folder("plugins", 0o755, ours=True)
        self._folder("empty", 0o555, ours=True)
        self._link_plugins()
        return self

    def __exit__(self, *_exc: object) -> None:
        self.kill()

    def _folder(self, name: str, mode: int, ours: bool) -> None:
        path = os.path.join(self.place, name)
        os.makedirs(path, exist_ok=True)
        if self.account is not None and not ours:
            os.chown(path, *self.account)
        os.chmod(path, mode)

    def _link_plugins(self) -> None:
        """The harmless libraries alone stand where the server looks for libraries."""
        wanted = {name if name.endswith(".so") else name + ".so" for name in self.extra_plugins}
        folders = [
            "/usr/lib/mysql/plugin",
            "/usr/lib64/mysql/plugin",
            "/usr/lib64/mariadb/plugin",
            "/usr/lib/mariadb/plugin",
        ]
        if self.programs.base:
            folders = [self.programs.base + "/lib/plugin", self.programs.base + "/lib/mysql/plugin"]
        for folder in folders:
            with contextlib.suppress(OSError):
                for name in os.listdir(folder):
                    if HARMLESS.fullmatch(name) or name in wanted:
                        os.symlink(os.path.join(folder, name), os.path.join(self.place, "plugins", name))

    # -- its life ----------------------------------------------------------------------------------

    def settings(self) -> list[str]:
        """The options of the server: alone, closed, and fast, as nothing of it is to last."""
        maria = self.programs.engine == "mariadb"
        options = [
            "--no-defaults",
            "--datadir=" + self.data,
            "--tmpdir=" + os.path.join(self.place, "tmp"),
            "--plugin-dir=" + os.path.join(self.place, "plugins"),
            "--secure-file-priv=" + os.path.join(self.place, "empty"),
            "--local-infile=0",
            "--symbolic-links=0",
            "--skip-networking",
            "--skip-name-resolve",
            "--skip-log-bin",
            "--event-scheduler=OFF",
            "--performance-schema=OFF",
            "--max-allowed-packet=1073741824",
            "--max-connections=20",
            "--innodb-buffer-pool-size=%d" % self.memory,
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-doublewrite=0",
            "--innodb-io-capacity=2000",
            "--innodb-buffer-pool-dump-at-shutdown=0",
            "--innodb-buffer-pool-load-at-startup=0",
            "--innodb-stats-auto-recalc=0",
            "--skip-slave-start",
        ]
        if self.programs.base:
            options.append("--basedir=" + self.programs.base)
        if maria:
            # Nothing is forced to the disk: this place outlives no crash.
            options += ["--debug-no-sync=1", "--innodb-log-file-size=%d" % self.log, "--loose-feedback=OFF"]
        else:
            options += ["--loose-innodb-redo-log-capacity=%d" % self.log, "--loose-mysqlx=0"]
        return options

    def install(self, timeout: float) -> float:
        """Make the data of an empty server; the seconds that it took. Raises ServerFailed."""
        settings = self.settings()
        if self.programs.install:
            wanted = (
                "--no-defaults",
                "--datadir",
                "--tmpdir",
                "--basedir",
                "--innodb-log-file-size",
                "--debug-no-sync",
            )
            argv = [self.programs.install, *(one for one in settings if one.startswith(wanted))]
            argv += ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        else:
            argv = [self.programs.server, *settings, "--initialize-insecure"]
        ended = run(self._confined(argv), env=self._environment(), timeout=timeout, nice=self.nice)
        if ended.rc != 0:
            lines = _lines(ended.err) or _lines(ended.out)
            raise ServerFailed("An empty server could not be made", lines[-12:])
        return ended.seconds

    def start(self, timeout: float) -> float:
        """Start it and see that it is ours; the seconds that it took. Raises ServerFailed."""
        began = time.monotonic()
        script = os.path.join(self.place, "init.sql")
        _write(script, self._accounts())
        log = os.open(os.path.join(self.place, "log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        argv = [self.programs.server, *self.settings(), "--socket=sock", "--pid-file=" + self._path("pid")]
        argv.append("--init-file=" + script)
        for name in ("sock", "pid"):
            with contextlib.suppress(OSError):
                os.unlink(self._path(name))
        try:
            self.process = subprocess.Popen(
                self._confined(argv),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment(),
                cwd="/",
                start_new_session=True,
                preexec_fn=confine.Child(None, self.nice),  # noqa: PLW1509 - as in _process
            )
        finally:
            os.close(log)
        while not self._listens():
            if self.process.poll() is not None:
                raise ServerFailed("The throw-away server ended while it started", self.told())
            if time.monotonic() - began > timeout:
                raise ServerFailed("The throw-away server was not ready after %d s" % timeout, self.told())
            time.sleep(0.02)
        self._identify()
        return time.monotonic() - began

    def _accounts(self) -> str:
        # Run by the server itself at its start, whatever accounts the data bring along.
        user = "'%s'@'localhost'" % _USER
        return "".join(
            "%s;\n" % statement
            for statement in (
                "CREATE USER IF NOT EXISTS %s" % user,
                "ALTER USER %s IDENTIFIED BY ''" % user,
                "GRANT ALL PRIVILEGES ON *.* TO %s WITH GRANT OPTION" % user,
            )
        )

    def _path(self, name: str) -> str:
        return os.path.join(self.data, name)

    def _listens(self) -> bool:
        """Whether our own process answers on the socket (SO_PEERCRED: the kernel's word). Raises ServerFailed."""
        if self.process is None:
            return False
        folder = os.open(self.data, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with socket.socket(socket.AF_UNIX) as peer:
                # By the folder's descriptor: a path to a socket may have 107 bytes.
                peer.connect("/proc/self/fd/%d/sock" % folder)
                credentials = peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return False
        finally:
            os.close(folder)
        pid = struct.unpack("3i", credentials)[0]
        if pid != self.process.pid:
            raise ServerFailed(
                "Process %d answers on the socket in %s, and %d was started" % (pid, self.data, self.process.pid),
                ours=False,
            )
        return True

    def _identify(self) -> None:
        """Raises ServerFailed when what answers serves other data than ours, or can be reached from elsewhere."""
        answer = self.ask(mysql_sql.IDENTITY, timeout=60)
        if answer.why() or not answer.rows or len(answer.rows[0]) != 4:
            raise ServerFailed("The throw-away server does not answer: %s" % answer.why(), self.told())
        data, pid_file, alone, _version = answer.rows[0]
        expected = (os.path.realpath(self.data), os.path.realpath(self._path("pid")))
        if (os.path.realpath(data), os.path.realpath(pid_file)) != expected or alone not in ("1", "ON"):
            raise ServerFailed(
                "The server that answers is not the throw-away server",
                ["its data: %s (expected %s)" % (data, self.data), "skip_networking: %s (expected 1)" % alone],
                ours=False,
            )

    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout: float = 120.0) -> None:
        """End it in good order, so that it can be started again."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once: its data are thrown away."""
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def told(self, count: int = 12) -> list[str]:
        """The last errors of its log, or its last lines where it has none."""
        try:
            with open(os.path.join(self.place, "log"), "rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - 65536))
                lines = _lines(stream.read())
        except OSError:
            return []
        return ([line for line in lines if "[ERROR]" in line or "[FATAL]" in line] or lines)[-count:]

    # -- asking it ---------------------------------------------------------------------------------

    def ask(self, script: str, *, database: str = "", raw: bool = False, timeout: float, go_on: bool = False) -> Answer:
        """What it answers to a script. ``raw``: columns as they are. ``go_on``: past errors."""
        complaints: list[mysql_sql.Complaint] = []
        argv = [*self.client(), "--batch", "--skip-column-names", *(["--raw"] if raw else [])]
        argv += (["--force"] if go_on else []) + (["--database=" + database] if database else [])
        ended = run(
            self._confined(argv, cwd=self.data),
            env=self._environment(),
            stdin=script.encode("utf-8", "surrogateescape"),
            on_error_line=_collect(complaints),
            timeout=timeout,
            nice=self.nice,
        )
        rows = [] if raw else mysql_sql.rows(ended.out)
        return Answer(ended.rc, rows, complaints, ended.ended_by, ended.out, ended.seconds)

    def load(
        self,
        stdin: int,
        database: str,
        on_complaint: Callable[[mysql_sql.Complaint], None],
        timeout: float,
        idle: float,
    ) -> Ended:
        """Feed it a dump from a descriptor, past its errors. ``idle``: seconds without progress that end it."""

        def take(line: bytes) -> None:
            told = mysql_sql.complaint(line)
            if told is not None:
                on_complaint(told)

        def take_warning(line: bytes) -> None:
            told = mysql_sql.replaced(line)
            if told is not None:
                on_complaint(told)

        argv = [*self.client(), "--batch", "--force", "--show-warnings"]
        argv += ["--database=" + database] if database else []
        return run(
            self._confined(argv, cwd=self.data),
            env=self._environment(),
            stdin=stdin,
            on_line=take_warning,
            on_error_line=take,
            timeout=timeout,
            idle=idle,
            nice=self.nice,
        )

    def client(self) -> list[str]:
        """The client and what it always is told: no files, no commands of its own but DELIMITER, bytes as they are."""
        options = ["--no-defaults", "--user=" + _USER, "--socket=sock", "--protocol=socket", "--binary-mode"]
        options += ["--local-infile=0", "--max-allowed-packet=1073741824", "--default-character-set=utf8mb4"]
        options += ["--loose-sandbox", "--loose-system-command=OFF", "--skip-reconnect"]
        return [self.programs.client, *options]

    # -- how its programs run ----------------------------------------------------------------------

    def _confined(self, argv: Sequence[str], cwd: str = "") -> list[str]:
        return confine.confined(
            argv,
            write=[self.data, os.path.join(self.place, "tmp")],
            read=self._read,
            account=self.account,
            cwd=cwd or self.place,
        )

    def _environment(self) -> dict[str, str]:
        made = {"PATH": ":".join((*FOLDERS[:2], "/sbin", "/bin")), "LC_ALL": "C.UTF-8", "HOME": self.place}
        # A program that asks for the default socket finds none; MySQL's client reads no login file.
        made.update(MYSQL_UNIX_PORT=self._path("sock"), MYSQL_TEST_LOGIN_FILE=os.devnull, MARIADB_HOME=self.place)
        if "TZ" in os.environ:
            made["TZ"] = os.environ["TZ"]
        return made

    # -- physical backups --------------------------------------------------------------------------

    def prepare(self, timeout: float) -> Ended:
        """Have mariadb-backup bring the copy in ``data`` to one point in time."""
        argv = [self.programs.backup, "--no-defaults", "--prepare", "--target-dir=" + self.data]
        argv += ["--use-memory=%d" % self.memory, "--tmpdir=" + os.path.join(self.place, "tmp")]
        return run(self._confined(argv), env=self._environment(), timeout=timeout, nice=self.nice)

    def own(self) -> None:
        """Give what was copied into ``data`` to the account that the server runs as; no link is followed."""
        for folder, folders, files in os.walk(self.data):
            for name in [*folders, *files]:
                path = os.path.join(folder, name)
                if not stat.S_ISDIR(os.lstat(path).st_mode) and not stat.S_ISREG(os.lstat(path).st_mode):
                    os.unlink(path)  # a link or a device would lead the server out of its place
                elif self.account is not None:
                    os.chown(path, *self.account, follow_symlinks=False)
                    os.chmod(path, 0o700 if name in folders else 0o600)


def _collect(complaints: list[mysql_sql.Complaint]) -> Callable[[bytes], None]:
    def take(line: bytes) -> None:
        told = mysql_sql.complaint(line)
        if told is not None and len(complaints) < 1000:
            complaints.append(told)

    return take


def _lines(data: bytes) -> list[str]:
    return [line for line in data.decode("utf-8", "replace").splitlines() if line.strip()]


def _write(path: str, text: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    with open(descriptor, "w", encoding="utf-8") as stream:
        os.fchmod(descriptor, 0o644)
        stream.write(text)


def memory_for(available: int, size: int) -> int:
    """Bytes of the buffer pool: as the data are large, at most a quarter of the available memory, at least 64 MiB."""
    return max(64 << 20, min(available // 4, max(size, 128 << 20), 4 << 30))


def log_for(size: int) -> int:
    """Bytes of the redo log: a quarter of the data, from 32 MiB to 1 GiB, so that loading waits for no checkpoint."""
    return max(32 << 20, min(size // 4, 1 << 30))


def folder_size(path: str) -> Iterator[int]:
    """The sizes of the files in a folder, as they are allocated at most."""
    for folder, _folders, files in os.walk(path):
        for name in files:
            with contextlib.suppress(OSError):
                yield os.lstat(os.path.join(folder, name)).st_size


def copied(source: str, target: str) -> None:
    """Copy a physical backup, without following links. Raises OSError, shutil.Error."""
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True, ignore_dangling_symlinks=True)
