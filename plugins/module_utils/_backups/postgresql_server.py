# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A PostgreSQL server to throw away: in a scratch place, on a socket of its own, without a network, fast, not safe.

Three roles matter. The *administrator* is the server's superuser; its name cannot be guessed, and it never runs a
statement in a database that a dump filled. The *loader* owns what is restored, loads, checks and asks; it is no
superuser, so that ``COPY … TO PROGRAM``, files and untrusted languages are closed to a hostile dump by the server
itself. Roles that a dump names stand in without rights of their own; the loader is a member of each. (Of a dump that
is trusted, all is done by the administrator.)

The server runs confined (confine.py), as an account of its own: nothing else on this machine may read what is restored,
and what a trusted dump has it do stays in the scratch place.
"""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pwd
import re
import secrets
import signal
import struct
import subprocess
import threading
import time
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from .._process import Stage, environment, run
from . import confine
from . import postgresql_sql as sql
from .dumps import major_version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from .._host import Host
    from .._process import Account, Ended

T = TypeVar("T")

LOADER = "upkeep_loader"
OWNERS = "upkeep_owners"
"""The role that may create in every schema: an owner of a table must (ALTER TABLE … OWNER TO asks for that)."""
ADMIN_DATABASE = "upkeep_admin"
SOCKET_LIMIT = 107
"""Bytes of a socket's path (sockaddr_un.sun_path, less the final zero)."""
PORT = 5432
"""Part of the socket's name only: nothing listens on a network."""
_ENDS = 20.0
"""Seconds that a server may take to end."""


class NoServer(Exception):  # noqa: N818 - an outcome, not a bug
    """There is no throw-away server: why, what proves it, and what to do."""

    def __init__(self, why: str, evidence: Iterable[str] = (), remedy: str = "", check: str = "no_server") -> None:
        super().__init__(why)
        self.why = why
        self.evidence = list(evidence)
        self.remedy = remedy
        self.check = check
        """no_server (it cannot be had), server_failed (it did not start, or ended), not_throwaway."""


class Programs(NamedTuple):
    """The programs of one major version."""

    major: str
    version: str
    folder: str

    def path(self, name: str) -> str:
        return os.path.join(self.folder, name)

    @property
    def restricts(self) -> bool:
        """Whether its psql has a restricted mode (CVE-2025-8714): 13.22, 14.19, 15.14, 16.10, 17.6, 18 and newer."""
        first = {13: 22, 14: 19, 15: 14, 16: 10, 17: 6}
        numbers = re.match(r"(\d+)(?:\.(\d+))?", self.version)
        if not numbers:
            return False
        major = int(numbers[1])
        return major >= 18 or (major in first and int(numbers[2] or 0) >= first[major])


def installed(host: Host, folder: str = "") -> list[Programs]:
    """The versions whose server programs are on this host, oldest first. ``folder``: look there only."""
    folders = [folder] if folder else []
    if not folders:
        for pattern in ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/lib/postgresql*/bin"):
            folders += host.glob(pattern)
        folders += ["/usr/bin", "/usr/local/bin", "/usr/local/pgsql/bin"]
    found: dict[str, Programs] = {}
    for one in folders:
        if not (host.exists(one + "/initdb") and host.exists(one + "/postgres")):
            continue
        told = host.run([one + "/postgres", "--version"], timeout=10).out
        version = re.search(r"\(PostgreSQL\) (\S+)", told)
        if version:
            major = major_version("postgresql", version[1])
            found.setdefault(major, Programs(major, version[1], one))
    return sorted(found.values(), key=lambda one: _order(one.major))


def _order(major: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", major))


def chosen(programs: list[Programs], major: str, newer: bool) -> Programs:
    """The programs for a dump of a server of version ``major`` (empty: the newest). Raises NoServer."""
    names = [one.major for one in programs]
    if not programs:
        wanted = "postgresql-%s" % major if major else "postgresql"
        raise NoServer(
            "there are no server programs of PostgreSQL on this host",
            ["expected initdb and postgres in /usr/lib/postgresql/*/bin, /usr/pgsql-*/bin or /usr/bin"],
            "apt-get install %s (as root), or name their folder with the option server_folder." % wanted,
        )
    if not major:
        return programs[-1]
    for one in programs:
        if one.major == major:
            return one
    later = [one for one in programs if _order(one.major) > _order(major)]
    if later and newer:
        return later[0]
    raise NoServer(
        "it is of PostgreSQL %s, and this host has the server programs of %s only" % (major, ", ".join(names)),
        ["found: %s" % ", ".join("%s in %s" % (one.version, one.folder) for one in programs)],
        "apt-get install postgresql-%s" % major
        + ("; or other_versions: newer, to try it with %s" % later[0].major if later else ""),
    )


def known_identifiers(host: Host) -> dict[str, str]:
    """The system identifiers of the servers on this host whose data folders are in the usual places -> the folder."""
    found = {}
    for pattern in ("/var/lib/postgresql/*/*", "/var/lib/pgsql/data", "/var/lib/pgsql/*/data", "/srv/postgresql/*"):
        for folder in host.glob(pattern):
            identifier = stored_identifier(host, folder)
            if identifier:
                found[identifier] = folder
    return found


def stored_identifier(host: Host, data: str) -> str:
    """The system identifier of a data folder: the first field of global/pg_control (catalog/pg_control.h)."""
    start = host.read_bytes(os.path.join(data, "global", "pg_control"), 8)
    return str(struct.unpack("=Q", start)[0]) if start and len(start) == 8 else ""


class Machine(NamedTuple):
    """What the server may take of this machine."""

    cpus: int
    memory: int
    """Bytes that are available."""

    @classmethod
    def of(cls, host: Host) -> Machine:
        found = re.search(r"^MemAvailable:\s+(\d+) kB", host.read("/proc/meminfo", 8192) or "", re.M)
        return cls(host.cpus(), int(found[1]) * 1024 if found else 1 << 30)


def loading_settings(machine: Machine) -> dict[str, str]:
    """Settings for loading as fast as can be, in a server whose data nobody needs after a crash.

    Sources: PostgreSQL's manual, "Populating a Database"; wal_level minimal spares the log of what is loaded into a
    table made in the same transaction; dynamic shared memory in files leaves nothing outside the data folder.
    """
    megabyte = 1 << 20
    shared = min(max(machine.memory // 8, 32 * megabyte), 1024 * megabyte)
    work = min(max(machine.memory // 16, 16 * megabyte), 512 * megabyte)
    return {
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "off",
        "wal_level": "minimal",
        "max_wal_senders": "0",
        "wal_buffers": "16MB",
        "max_wal_size": "1GB",
        "checkpoint_timeout": "1h",
        "autovacuum": "off",
        "bgwriter_lru_maxpages": "0",
        "track_activities": "off",
        "shared_buffers": "%dMB" % (shared // megabyte),
        "maintenance_work_mem": "%dMB" % (work // megabyte),
        "max_parallel_maintenance_workers": str(min(machine.cpus, 8)),
        "max_parallel_workers_per_gather": str(min(machine.cpus, 4)),
        "max_connections": "30",
        "jit": "off",
    }


def safe_settings(socket: str) -> dict[str, str]:
    """Settings that keep a server to itself, whatever data it is given; the last word, on its command line."""
    return {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": socket,
        "unix_socket_permissions": "0700",
        "archive_mode": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "lc_messages": "C",
        "log_timezone": "UTC",
        "timezone": "UTC",
        # What is restored may be personal data: no statement goes into the log.
        "log_statement": "none",
        "log_min_messages": "warning",
        "log_min_error_statement": "panic",
        "log_min_duration_statement": "-1",
        "log_checkpoints": "off",
        "dynamic_shared_memory_type": "mmap",
        "huge_pages": "off",
        "ssl": "off",
        "external_pid_file": "",
        "session_preload_libraries": "",
        "local_preload_libraries": "",
        "restart_after_crash": "off",
        "max_locks_per_transaction": "256",
        "cluster_name": "upkeep-scratch",
    }


class Beside(Generic[T]):
    """A call that asks the server while this thread does something else. The end of the server is the end of it."""

    def __init__(self, call: Callable[[], T]) -> None:
        self._call = call
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._call())
        except BaseException as error:  # noqa: BLE001 - raised to who asks for the result
            self._error = error

    def wait(self) -> None:
        self._thread.join()

    def result(self) -> T:
        """What the call returned, once it has; raises what it raised."""
        self.wait()
        if self._error is not None:
            raise self._error
        return self._results[0]


class Answer(NamedTuple):
    """What psql said: rows of texts (None: NULL), or an error."""

    rows: list[list[str]]
    error: str
    seconds: float


READ = ("/var/cache/postgresql", "/etc/perl", "/etc/python3")
"""What servers read beside the system's folders: Debian's dictionaries, the settings of their languages."""


class Server:
    """A throw-away server in ``folder``; a context manager, which ends it. ``account`` runs it; None: who we are.

    ``read``: folders that it may read beside the system's and its own. ``confined``: False where it must reach what
    cannot be named, as by the configuration of another program.
    """

    def __init__(
        self,
        host: Host,
        programs: Programs,
        folder: str,
        account: Account | None,
        *,
        superuser: str = "",
        timeout: float = 3600.0,
        nice: int | None = None,
        read: Sequence[str] = (),
        confined: bool = True,
    ) -> None:
        self.host = host
        self.programs = programs
        self.folder = folder
        self.account = account
        self.admin = superuser or "upkeep_%s" % secrets.token_hex(8)
        self.timeout = timeout
        self.nice = nice
        self.confined = confined
        above = os.path.dirname(os.path.realpath(programs.folder))
        self._read = [*READ, *read, above if above != "/" else programs.folder]
        self.data = os.path.join(folder, "data")
        self.socket = os.path.join(folder, "s")
        self.log = os.path.join(folder, "log")
        self.identifier = ""
        self.version = ""
        self.amcheck = False
        self.trusted = False
        """Whether the roles of the dump stand in as superusers: the owner of an event trigger must be one."""
        self._process: subprocess.Popen[bytes] | None = None
        self._beside: list[Beside[Any]] = []
        self._env = _environment(account)
        self._roles = {LOADER, OWNERS, self.admin}

    # --- making and ending -------------------------------------------------------------------------

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.stop()

    def create(self, settings: Mapping[str, str]) -> None:
        """initdb, and the settings. Raises NoServer."""
        self._folders()
        argv = [self.programs.path("initdb"), "-D", self.data, "-U", self.admin, "-A", "trust", "-N", "-E", "UTF8"]
        if _order(self.programs.major) >= (18,):
            argv.append("--no-data-checksums")  # what is loaded lives for minutes, and amcheck reads it from memory
        ended = self._initdb([*argv, "--locale=C.UTF-8"])
        if ended.rc != 0 and b"invalid locale" in ended.err:
            ended = self._initdb([*argv, "--locale=C"])
        if ended.rc != 0:
            raise self._failed("initdb did not succeed", ended.err)
        self.identifier = stored_identifier(self.host, self.data)
        self._write("postgresql.conf", settings)
        self._refuse_production()

    def _initdb(self, argv: list[str]) -> Ended:
        """initdb refuses who has no name. So it runs as ``nobody``, in a folder that only the server's own group may
        come to, which keeps away the other processes of that account; then all is given to the server's own."""
        if not isinstance(self.account, tuple):
            return run(self.confine(argv, [self.folder]), env=self._env, timeout=120, cwd=self.folder, nice=self.nice)
        maker = (pwd.getpwnam("nobody").pw_uid, self.account[1])
        argv = self.confine(argv, [self.folder], numbers=maker)
        os.makedirs(self.data, 0o700, exist_ok=True)
        os.chown(self.data, *maker)
        os.chmod(self.folder, 0o710)  # noqa: S103 - for the server's own group
        try:
            return run(argv, env=self._env, timeout=120, cwd=self.folder, nice=self.nice)
        finally:
            os.chmod(self.folder, 0o700)
            for folder, folders, files in os.walk(self.data):
                for name in (".", *folders, *files):
                    os.chown(os.path.join(folder, name), *self.account, follow_symlinks=False)

    def _folders(self) -> None:
        path = os.path.join(self.socket, ".s.PGSQL.%d" % PORT)
        if len(os.fsencode(path)) > SOCKET_LIMIT:
            raise NoServer(
                "the path of its socket would have %d bytes, and the system takes %d" % (len(path), SOCKET_LIMIT),
                [path],
                "Name a scratch folder with a shorter path (option scratch).",
            )
        ended = self._run(["mkdir", "-m", "0700", self.socket], timeout=10)
        if ended.rc != 0:
            raise NoServer(
                "%s cannot work in the scratch place" % self._called(),
                _lines(ended.err),
                "Every folder above %s must let that account pass (chmod o+x), or name another one (option scratch)."
                % self.folder,
            )

    def _write(self, name: str, settings: Mapping[str, str]) -> None:
        lines = ["%s = %s" % (key, sql.literal(value).strip().lstrip("E")) for key, value in settings.items()]
        text = "# A throw-away server of Upkeep.\n" + "\n".join(lines) + "\n"
        with open(os.path.join(self.data, name), "w", encoding="utf-8", opener=_no_follow) as stream:
            stream.write(text)

    def _refuse_production(self) -> None:
        """A new server never bears the identifier of another: were it so, we would be in the wrong place."""
        production = known_identifiers(self.host)
        if self.identifier in production:
            raise NoServer(
                "the throw-away server is production's: it bears the same system identifier",
                ["%s in %s and in %s" % (self.identifier, self.data, production[self.identifier])],
                "Nothing was done. Look at what is mounted at %s." % self.folder,
                "not_throwaway",
            )

    def start(self, arguments: Mapping[str, str] | None = None, wait: float = 120.0) -> float:
        """Start it and wait until it takes connections; seconds that took. Raises NoServer."""
        began = time.monotonic()
        settings = {**(arguments or {}), **safe_settings(self.socket)}

        argv = [self.programs.path("postgres"), "-D", self.data]
        for key, value in settings.items():
            argv += ["-c", "%s=%s" % (key, value)]
        account = self.account
        if self.confined:
            argv, account = self.confine(argv, [self.folder], tied=signal.SIGQUIT), None
        with open(self.log, "ab", opener=_no_follow) as log:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._env,
                cwd=self.folder,
                start_new_session=True,
                # A server that outlives us ends by SIGQUIT, which gives back what it shares.
                preexec_fn=confine.Child(account, self.nice, signal.SIGQUIT),  # noqa: PLW1509 - as in _process
            )
        deadline = began + wait
        while not self._ready():
            if self._process.poll() is not None:
                raise self._failed("the throw-away server did not start", self._log())
            if time.monotonic() >= deadline:
                raise self._failed("the throw-away server was not ready within %d s" % wait, self._log())
            time.sleep(0.01)
        return time.monotonic() - began

    def _ready(self) -> bool:
        """Whether it says so in the last line of postmaster.pid, as pg_ctl --wait looks for (from version 10 on)."""
        lines = (self.host.read(os.path.join(self.data, "postmaster.pid"), 4096) or "").split("\n")
        if _order(self.programs.major) < (10,):
            return (
                self.host.exists(os.path.join(self.socket, ".s.PGSQL.%d" % PORT))
                and not self.ask("SELECT 1", "template1").error
            )
        return (
            len(lines) >= 8
            and lines[7].strip() == "ready"
            and self._process is not None
            and lines[0] == str(self._process.pid)
        )

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """End it at once: nobody needs its data."""
        process = self._process
        if process is None:
            return
        for number in (signal.SIGQUIT, signal.SIGKILL):
            with contextlib.suppress(OSError):
                process.send_signal(number)
            try:
                process.wait(_ENDS)
                break
            except subprocess.TimeoutExpired:
                continue
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)  # its children bear its group
        self._process = None
        for one in self._beside:
            one.wait()  # it has lost its connection

    def _failed(self, why: str, said: bytes) -> NoServer:
        lines = _lines(said)
        room = any("No space left" in line or "could not extend" in line for line in lines)
        remedy = (
            "Make room on the file system of %s, or name another scratch folder." % self.folder
            if room
            else "The evidence is what it said last. Should it stay so, look at this host's memory and limits."
        )
        why += ": no room is left" if room else ""
        return NoServer(why, lines, remedy, "no_room" if room else "server_failed")

    def _log(self) -> bytes:
        return (self.host.read_bytes(self.log) or b"")[-16384:]

    def last_words(self) -> list[str]:
        """The end of its log."""
        return _lines(self._log())

    # --- as whom, and how far ----------------------------------------------------------------------

    def numbers(self) -> tuple[int, int] | None:
        """User and group number of the account; None: who we are."""
        if isinstance(self.account, str):
            entry = pwd.getpwnam(self.account)
            return entry.pw_uid, entry.pw_gid
        return self.account

    def confine(
        self,
        argv: Sequence[str],
        write: Sequence[str],
        tied: int = signal.SIGKILL,
        numbers: tuple[int, int] | None = None,
    ) -> list[str]:
        """The command that runs a program as the account (or these ``numbers``), without a network, kept to the folders
        that it needs."""
        numbers = numbers or self.numbers()
        groups = os.getgrouplist(self.account, numbers[1]) if isinstance(self.account, str) and numbers else []
        read = [path for path in (self.folder, *self._read) if path not in write]
        return confine.confined(
            argv, write=write, read=read, account=numbers, groups=groups, tied=tied, cwd=self.folder
        )

    def not_confined(self) -> list[str]:
        """What does not keep it in on this host, in words."""
        if not self.confined:
            return ["it runs as %s and may do what that may: it reads its archive by itself" % self._called()]
        told = confine.protections().missing()
        if isinstance(self.account, str):
            told.append("it runs as the account %s, not as one that owns nothing" % self.account)
        return told

    def _called(self) -> str:
        if isinstance(self.account, tuple):
            return "an account of its own (%d)" % self.account[0]
        return "the account %s" % (self.account or "that we are")

    def _run(self, argv: list[str], timeout: float) -> Ended:
        return run(argv, env=self._env, account=self.account, timeout=timeout, cwd=self.folder, nice=self.nice)

    # --- talking ---------------------------------------------------------------------------------

    def psql(self, database: str, user: str, *words: str) -> list[str]:
        """The command line of psql for a database; no secret is in it, there is none."""
        program = self.programs.path("psql")
        return [program, "-X", "-q", "-h", self.socket, "-p", str(PORT), "-U", user, "-d", plain_name(database), *words]

    def stage(self, argv: list[str]) -> Stage:
        return Stage(argv, self._env, (), self.account)

    @property
    def env(self) -> dict[str, str]:
        return self._env

    def ask(self, query: str, database: str, user: str = "", timeout: float | None = None) -> Answer:
        """Run SQL by psql, which gets it on its standard input; of several results, all rows."""
        timeout = timeout or self.timeout
        words = ["-v", "ON_ERROR_STOP=1", "-t", "--csv", "-f", "-"]
        ended = run(
            self.psql(database, user or self.admin, *words),
            env=self._env,
            account=self.account,
            stdin=query.encode("utf-8", "replace"),
            timeout=timeout,
            cwd=self.folder,
            nice=self.nice,
        )
        rows = list(csv.reader(io.StringIO(ended.out.decode("utf-8", "replace"))))
        error = ""
        if ended.ended_by:
            error = "no answer within %d s" % timeout
        elif ended.rc != 0:
            error = (_lines(ended.err) or ["psql ended with %s" % ended.rc])[0]
        return Answer(rows, error, ended.seconds)

    def beside(self, call: Callable[[], T]) -> Beside[T]:
        """Begin a call that asks this server, and go on."""
        made = Beside(call)
        self._beside.append(made)
        return made

    # --- the loader -----------------------------------------------------------------------------

    def prepare(self) -> None:
        """Make the loader, and what every database that is made from now on shall have. Raises NoServer."""
        early = _order(self.programs.major) < (15,)
        script = _PREPARE % {
            "loader": LOADER,
            "owners": OWNERS,
            "admin": ADMIN_DATABASE,
            "schema": sql.OWN_SCHEMA,
            "early": "ALTER SCHEMA public OWNER TO %s;" % LOADER if early else "",
        }
        answer = self.ask(script, "template1")
        if answer.error:
            raise self._failed("the throw-away server could not be prepared", answer.error.encode())
        facts = {row[0]: row[1] for row in answer.rows if len(row) == 2}
        self.amcheck = facts.get("amcheck") == "1"
        self.version = facts.get("version", "")
        inside = os.path.realpath(facts.get("data", "/")).startswith(os.path.realpath(self.folder) + "/")
        if facts.get("identifier") != self.identifier or not inside:
            raise NoServer(
                "the server that answers is not the throw-away one",
                [
                    "expected %s in %s" % (self.identifier, self.data),
                    "found %s in %s" % (facts.get("identifier"), facts.get("data")),
                ],
                "Nothing was loaded. Report this as a fault of Upkeep.",
                "not_throwaway",
            )

    def make_roles(self, names: Iterable[str]) -> None:
        """Roles that stand in for those that a dump names: without rights, the loader a member of each."""
        fresh = [name for name in names if name not in self._roles]
        self._roles.update(fresh)
        script = "".join(
            "CREATE ROLE {0} NOLOGIN {3}; GRANT {0} TO {1}; GRANT {2} TO {0};\n".format(
                sql.identifier(name), LOADER, OWNERS, "SUPERUSER" if self.trusted else ""
            )
            for name in fresh
        )
        if script:
            self.ask(script, ADMIN_DATABASE, timeout=60)

    def make_database(self, name: str, encoding: str = "UTF8") -> str:
        """A database for the loader; an error, or nothing."""
        words = "CREATE DATABASE %s OWNER %s TEMPLATE template0 ENCODING %s" % (
            sql.identifier(name),
            LOADER,
            sql.literal(encoding),
        )
        if encoding != "UTF8":
            words += " LC_COLLATE 'C' LC_CTYPE 'C'"
        return self.ask(words, ADMIN_DATABASE, timeout=120).error

    def databases(self) -> list[str]:
        """The databases that are not the server's own."""
        query = "SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> %s ORDER BY 1"
        return [row[0] for row in self.ask(query % sql.literal(ADMIN_DATABASE), ADMIN_DATABASE, timeout=60).rows]


# In template0, from which pg_dump's CREATE DATABASE makes databases, and so without a statement of ours in any of them.
_PREPARE = r"""
CREATE ROLE %(owners)s NOLOGIN;
CREATE ROLE %(loader)s LOGIN CREATEDB BYPASSRLS;
ALTER DATABASE postgres RENAME TO %(admin)s;
REVOKE ALL ON DATABASE %(admin)s FROM PUBLIC;
ALTER DATABASE template0 ALLOW_CONNECTIONS true;
\connect template0
SET client_min_messages = warning;
CREATE SCHEMA %(schema)s;
GRANT USAGE ON SCHEMA %(schema)s TO %(loader)s;
SELECT count(*) AS amcheck FROM pg_available_extensions WHERE name = 'amcheck' \gset
\if :amcheck
CREATE EXTENSION amcheck SCHEMA %(schema)s;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA %(schema)s TO %(loader)s;
\endif
UPDATE pg_extension SET extowner = (SELECT oid FROM pg_roles WHERE rolname = '%(loader)s');
ALTER DEFAULT PRIVILEGES FOR ROLE %(loader)s GRANT ALL ON SCHEMAS TO %(owners)s;
GRANT ALL ON SCHEMA public TO %(owners)s;
%(early)s
SELECT 'amcheck', :'amcheck';
SELECT 'version', current_setting('server_version');
SELECT 'data', current_setting('data_directory');
SELECT 'identifier', system_identifier FROM pg_control_system();
"""


def plain_name(database: str) -> str:
    """A database's name that libpq does not take for a connection string (it does what holds "=" or "://")."""
    if "=" not in database and "://" not in database:
        return database
    return "dbname='%s'" % database.replace("\\", "\\\\").replace("'", "\\'")


def _environment(account: Account | None) -> dict[str, str]:
    """Without what would lead PostgreSQL's programs elsewhere (PGHOST, PGSERVICE, PGPASSWORD …)."""
    return {name: value for name, value in environment(account).items() if not name.startswith(("PG", "PSQL"))}


def _no_follow(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def _lines(text: bytes, most: int = 12) -> list[str]:
    lines = [line.strip() for line in text.decode("utf-8", "replace").split("\n") if line.strip()]
    return lines[-most:]
