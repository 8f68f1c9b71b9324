# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""restic, called: argument lists in, typed answers out, every failure a :class:`ResticError` with its kind.

The location and the password of a repository never stand in an argument list: the one goes by the environment, the
other by a file in memory. Nothing here writes to a repository, and nothing locks or unlocks one.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import _process
from .._findings import MASK, clean_line, redact
from . import restic_parse
from .model import Entry, Snapshot
from .options import SECRET_NAME
from .restic_errors import FULL, Kind, ResticError, classify, gist, index_lost, messages, repair_index, why
from .restic_parse import Lock, NotUnderstood

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType

    from .._host import Host
    from .._process import Ended, Stage

OLDEST = (0, 14, 0)
"""The oldest version that is understood: Debian 12's."""
CHECK_JSON = (0, 18, 0)
"""Since when ``check --json`` says something."""
RESTORE_JSON = (0, 17, 0)
"""Since when ``restore --json`` gives figures and errors that can be relied upon."""

# As `ls --long` of 0.14 to 0.19 shows one: permissions, owner, group, size, time.
_LINK = re.compile(rb"L\S{9}\s+\d+\s+\d+\s+\d+ \d{4}-\d\d-\d\d \d\d:\d\d:\d\d ")

_QUICK = 600.0
"""Seconds at the most for the small questions: a repository that does not answer must not take the whole time."""
_EVIDENCE = 20
_UNREAD = re.compile(r"(?:could not|failed to) load snapshot ([0-9a-f]{8}):? *(.*)")


class Limits(NamedTuple):
    """How long and how hard restic may work: seconds, and KiB a second that it may read from the repository."""

    timeout: float = 7200.0
    idle: float | None = 300.0
    nice: int | None = 10
    ionice: str | None = "idle"
    bandwidth: int | None = None

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Limits:
        """By the options of a module (options.LIMIT_SPEC)."""
        ionice = params.get("ionice") or "idle"
        return cls(
            float(params.get("timeout") or cls().timeout),
            float(params["idle_timeout"]) if params.get("idle_timeout") else None,
            params.get("nice"),
            None if ionice == "none" else ionice,
            params.get("bandwidth") or None,
        )


class Repository(NamedTuple):
    """Where a repository is, and what opens it. ``user`` is the account whose backups these are, empty for ours."""

    name: str
    location: str = ""
    repository_file: str | None = None
    password: str | None = None
    password_file: str | None = None
    password_command: str | None = None
    environment: Mapping[str, str] = {}
    environment_file: str | None = None
    backend_options: Mapping[str, str] = {}
    cacert: str | None = None
    tls_client_cert: str | None = None
    insecure_tls: bool = False
    insecure_no_password: bool = False
    user: str = ""

    @classmethod
    def of(cls, params: Mapping[str, Any]) -> Repository:
        """By one element of the option ``repositories`` (options.REPOSITORY_SPEC)."""
        known = {key: value for key, value in params.items() if key in cls._fields and value is not None}
        for key in ("environment", "backend_options"):
            known[key] = {str(name): str(value) for name, value in (params.get(key) or {}).items()}
        return cls(**dict(known, name=params["name"], location=params.get("repository") or ""))

    @property
    def local(self) -> str | None:
        """The folder of a repository on this host, or None."""
        if self.location.startswith("local:"):
            return self.location[len("local:") :]
        return self.location if self.location.startswith("/") else None

    @property
    def shown(self) -> str:
        """Where it is, without secrets."""
        return clean_line(self.clean(self.location or "as in %s" % self.repository_file), 200)

    def clean(self, text: str) -> str:
        """A text without the secrets of this repository, wherever they stand in it."""
        secrets = [self.password or ""]
        secrets += [value for name, value in self.environment.items() if SECRET_NAME.search(name)]
        in_address = re.search(r"://([^/@]*):([^/]*)@", self.location)
        if in_address:
            secrets.append(in_address.group(2))
        for secret in sorted(secrets, key=len, reverse=True):
            if len(secret) >= 3:
                text = text.replace(secret, MASK)
        return redact(text)


class _Begun(NamedTuple):
    """An answer of restic that waits to be read: what was asked, how to read it (_process.begun), how to end it."""

    asked: Sequence[str]
    read: Callable[..., Ended]
    end: Callable[[], None]


class _Another(Exception):  # noqa: N818 - never leaves this file
    """What was begun to be listed is another snapshot than the one that is asked for."""


class Restic:
    """restic on this host, for one repository. To be used as a context: the password is in its hands until its end."""

    def __init__(
        self,
        host: Host,
        repository: Repository,
        program: str = "restic",
        limits: Limits | None = None,
        no_cache: bool = False,
        cache_dir: str | None = None,
    ) -> None:
        self.host = host
        self.repository = repository
        self.program = program
        self.limits = limits or Limits()
        self.no_cache = no_cache
        self.cache_dir = cache_dir
        self._cleanup = contextlib.ExitStack()
        self._version: tuple[int, int, int] | None = None
        self._secret: int | None = None
        self.unreadable: dict[str, str] = {}
        """Snapshots that the last :meth:`snapshots` could not read, by their ids, and why."""
        self._environment: dict[str, str] | None = None
        self._listing: _Begun | None = None

    def __enter__(self) -> Restic:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the password's file in memory back. A closed Restic opens it anew when it is used again."""
        self._listing = None
        self._cleanup.close()
        self._secret = None
        self._environment = None

    # -- asking ----------------------------------------------------------------------------------------------------

    def version(self) -> tuple[int, int, int]:
        """The version of the program, asked once. Raises ResticError (not_restic, too_old)."""
        if self._version is None:
            path = self.program if "/" in self.program else self.host.which(self.program)
            if path is None:
                raise ResticError(Kind.NOT_RESTIC, "the program %s is not on this host" % self.program)
            try:
                ended = _process.run([path, "version"], timeout=60)
            except OSError as error:
                raise ResticError(
                    Kind.NOT_RESTIC, "the program %s cannot be started: %s" % (path, error.strerror)
                ) from None
            try:
                found = restic_parse.version(ended.out.decode("utf-8", "replace"))
            except NotUnderstood:
                said = (ended.out + ended.err).decode("utf-8", "replace").splitlines()
                raise ResticError(
                    Kind.NOT_RESTIC, "the program %s is not restic" % path, said[:_EVIDENCE], rc=ended.rc
                ) from None
            if found < OLDEST:
                raise ResticError(
                    Kind.TOO_OLD,
                    "restic %d.%d.%d is too old: 0.14.0 is the oldest that is understood" % found,
                )
            self._version = found
        return self._version

    def snapshots(self) -> list[Snapshot]:
        """All snapshots, oldest first; ``unreadable`` says afterwards which ones restic could not read."""
        found, unread = self._snapshots()
        self.unreadable = {}
        if unread and not self.no_cache:
            # 0.14 keeps in its cache what it read wrong once, and goes on with that when the file is whole again.
            self.no_cache = True
            try:
                found, unread = self._snapshots()
            finally:
                self.no_cache = False
        if unread:
            # One that forget took away meanwhile is no loss.
            listed = self._parsed(["list", "snapshots"], restic_parse.identities)
            self.unreadable = {one: self.repository.clean(unread[one[:8]]) for one in listed if one[:8] in unread}
        return found

    def _snapshots(self) -> tuple[list[Snapshot], dict[str, str]]:
        """What can be read; and the beginnings (8 digits) of the ids of what cannot, with why.

        That restic leaves out of its list, and its exit code is 0 all the same.
        """
        asked = ["snapshots", "--json"]
        ended = self.ask(asked, timeout=min(_QUICK, self.limits.timeout))
        lines = (_UNREAD.search(line) for line in messages(ended.err)[1])
        unread = {line.group(1): line.group(2) for line in lines if line}
        try:
            return restic_parse.snapshots(ended.out), unread
        except NotUnderstood as error:
            raise self._not_understood(asked, str(error), ended.out) from None

    def config(self) -> dict[str, Any]:
        """The repository's ``id`` and format ``version``."""
        made = self._parsed(["cat", "config"], restic_parse.document)
        if not isinstance(made, dict) or not isinstance(made.get("id"), str):
            raise self._not_understood(["cat", "config"], "expected an object with an id", b"")
        return made

    def locks(self) -> list[Lock]:
        """The locks in the repository; one that went while we looked is left out."""
        found = []
        for identity in self._parsed(["list", "locks"], restic_parse.identities):
            try:
                found.append(restic_parse.lock(identity, self.ask(["cat", "lock", identity], timeout=_QUICK).out))
            except NotUnderstood as error:
                raise self._not_understood(["cat", "lock"], str(error), b"") from None
            except ResticError as error:
                # Gone in between, as a lock is refreshed every five minutes, or damaged: unlock takes such a one too.
                if error.kind not in (Kind.CORRUPT, Kind.NO_SNAPSHOT, Kind.UNKNOWN, Kind.MISSING):
                    raise
                if identity in self._parsed(["list", "locks"], restic_parse.identities):
                    found.append(Lock(identity, 0.0, False, "", "", 0))
        return found

    def packs(self) -> list[str]:
        """The digests of all packs that are in the repository's storage."""
        found: list[str] = self._parsed(["list", "packs"], restic_parse.identities)
        return found

    def indexes(self) -> list[str]:
        """The digests of all index files."""
        found: list[str] = self._parsed(["list", "index"], restic_parse.identities)
        return found

    def index(self, identity: str) -> list[dict[str, Any]]:
        """The packs that an index file names, each with its ``id`` and ``blobs`` (``id``, ``type``, …)."""
        made = self._parsed(["cat", "index", identity], restic_parse.document)
        packs = made.get("packs") if isinstance(made, dict) else None
        if not isinstance(packs, list):
            raise self._not_understood(["cat", "index"], "expected an object with packs", b"")
        return [pack for pack in packs if isinstance(pack, dict) and isinstance(pack.get("id"), str)]

    def stats(self, snapshot_id: str | None = None, mode: str = "restore-size") -> dict[str, Any]:
        """``total_size`` in bytes and what else this mode counts, of one snapshot or of all."""
        asked = ["stats", "--json", "--mode", mode, *([snapshot_id] if snapshot_id else [])]
        made = self._parsed(asked, restic_parse.document, self.limits.timeout)
        if not isinstance(made, dict):
            raise self._not_understood(asked, "expected an object", b"")
        return made

    def begin_ls(self, snapshot_id: str, hosts: Sequence[str] = ()) -> None:
        """Begin to list a snapshot before it is known whether it will be asked for; nothing is raised.

        restic takes half a second of one core to open a repository, whatever it is asked: two questions at once take
        no longer than one. The next :meth:`ls` uses the answer if it is of the snapshot that it is asked for; there is
        an end to this listing then in any case. ``hosts``: of whom the ``latest`` is meant.
        """
        asked = ["ls", "--json", *(word for host in hosts for word in ("--host", host)), "--", snapshot_id]
        with contextlib.suppress(ResticError, OSError, KeyError):  # whoever asks in earnest is told
            stage = self.stage(asked)
            begun = contextlib.ExitStack()
            read = begun.enter_context(_process.begun(stage, nice=self.limits.nice, ionice=self.limits.ionice))
            self._cleanup.callback(begun.close)
            self._listing = _Begun(asked, read, begun.close)

    def ls(self, snapshot_id: str, on_entry: Callable[[Entry], None], paths: Sequence[str] = ()) -> Snapshot:
        """Each name in a snapshot, or what is in some of its folders, as it comes; the snapshot.

        A name that is not UTF-8 comes with U+FFFD in it: see :func:`pattern`.
        """
        seen: list[Snapshot] = []
        strange: list[str] = []

        def take(line: bytes) -> None:
            try:
                made = restic_parse.ls_line(line)
            except NotUnderstood as error:
                if line.strip() and not strange:
                    strange.append(str(error))
                return
            if isinstance(made, Snapshot):
                if begun is not None and not made.id.startswith(snapshot_id):
                    raise _Another
                seen.append(made)
            else:
                on_entry(made)

        begun, self._listing = None if paths else self._listing, None
        if begun is not None:
            with contextlib.suppress(_Another):
                try:
                    ended = begun.read(self.limits.timeout, self.limits.idle, take)
                finally:
                    begun.end()
                if seen:
                    if ended.rc != 0:
                        raise self.failure(ended, begun.asked)
                    return self._listed(seen, strange, ended, begun.asked)
            begun = None
            strange.clear()
        asked = ["ls", "--json", *(["--recursive"] if paths else []), "--", snapshot_id, *paths]
        return self._listed(seen, strange, self.ask(asked, on_line=take), asked)

    def ls_links(self, snapshot_id: str, on_link: Callable[[bytes], None]) -> None:
        """Each symbolic link in a snapshot: ``PATH -> TARGET`` in its own bytes, in the order of :meth:`ls`.

        No version tells the target in its JSON. A line feed in a name or a target breaks its line in two.
        """

        def take(line: bytes) -> None:
            found = _LINK.match(line)
            if found:
                on_link(line[found.end() :])

        self.ask(["ls", "--long", "--", snapshot_id], on_line=take)

    def _listed(self, seen: list[Snapshot], strange: list[str], ended: Ended, asked: Sequence[str]) -> Snapshot:
        if strange:
            raise self._not_understood(asked, strange[0], ended.out)
        if not seen:  # 0.14 says so on standard error, and ends with 0
            raise self._error(Kind.NO_SNAPSHOT, ended, asked)
        return seen[0]

    def cat_tree(self, tree: str) -> dict[str, Any]:
        """A folder as it is stored: ``nodes`` with names, metadata, and the digests of their contents."""
        made = self._parsed(["cat", "blob", tree], restic_parse.document)
        if not isinstance(made, dict) or not isinstance(made.get("nodes"), list):
            raise self._not_understood(["cat", "blob"], "expected an object with nodes", b"")
        return made

    def pack_digest(self, pack: str) -> str:
        """The SHA-256 of a pack as the storage gives it; that of a sound one is its name."""
        digest = hashlib.sha256()
        # Its bytes are no lines, and a descriptor would need a thread to read it: whole chunks of it are lines enough.
        self.ask(["cat", "pack", pack], on_chunk=digest.update)
        return digest.hexdigest()

    # -- restoring -------------------------------------------------------------------------------------------------

    def restore(
        self,
        snapshot_id: str,
        target: str,
        includes: Sequence[str] = (),
        *,
        verify: bool = False,
        on_line: Callable[[bytes], None] | None = None,
        on_error_line: Callable[[bytes], None] | None = None,
        extra: Sequence[str] = (),
        timeout: float | None = None,
    ) -> Ended:
        """Restore into a folder. ``includes`` are restic's patterns: :func:`pattern` makes one of a path.

        From RESTORE_JSON on the lines are JSON. An include that matches nothing is no error to restic: count what came.
        """
        asked = ["restore", "--target", target, *(["--verify"] if verify else []), *extra]
        if self.version() >= RESTORE_JSON:
            asked.append("--json")
        for include in includes:
            asked += ["--include", include]
        return self.ask([*asked, "--", snapshot_id], on_line=on_line, on_error_line=on_error_line, timeout=timeout)

    def dump_argv(self, snapshot_id: str, path: str) -> Stage:
        """The first stage of a pipe: the content of a file, or a tar of a folder, on its standard output."""
        return self.stage(["dump", "--", snapshot_id, path])

    # -- running ---------------------------------------------------------------------------------------------------

    def stage(self, asked: Sequence[str]) -> Stage:
        """restic with this repository, to be run by :mod:`_process`; it stands until this Restic is closed."""
        self.version()
        argv = [self.program, "--no-lock", *(["--no-cache"] if self.no_cache else [])]
        if self.limits.bandwidth:
            argv += ["--limit-download", str(self.limits.bandwidth)]
        for name, value in self.repository.backend_options.items():
            argv += ["-o", "%s=%s" % (name, value)]
        if self.repository.cacert:
            argv += ["--cacert", self.repository.cacert]
        if self.repository.tls_client_cert:
            argv += ["--tls-client-cert", self.repository.tls_client_cert]
        if self.repository.insecure_tls:
            argv.append("--insecure-tls")
        if self.repository.insecure_no_password:
            argv.append("--insecure-no-password")
        env = self._env()
        fds = () if self._secret is None else (self._secret,)
        return _process.Stage([*argv, *asked], env, fds, self.repository.user or None)

    def ask(
        self,
        asked: Sequence[str],
        *,
        on_line: Callable[[bytes], None] | None = None,
        on_error_line: Callable[[bytes], None] | None = None,
        on_chunk: Callable[[bytes], object] | None = None,
        timeout: float | None = None,
        accept: Sequence[int | None] = (0,),
    ) -> Ended:
        """Run restic and wait for its end. Raises ResticError unless its exit code is one of ``accept``.

        With None in ``accept``, a run that was ended at a limit is given back too.
        """
        stage = self.stage(asked)
        try:
            ended = _process.run(
                stage.argv,
                env=stage.env,
                pass_fds=stage.pass_fds,
                account=stage.account,
                on_line=on_line,
                on_error_line=on_error_line,
                on_chunk=on_chunk,
                timeout=timeout or self.limits.timeout,
                idle=self.limits.idle,
                nice=self.limits.nice,
                ionice=self.limits.ionice,
            )
        except KeyError:
            raise ResticError(
                Kind.DENIED, "there is no account %s on this host" % clean_line(self.repository.user, 60)
            ) from None
        except OSError as error:
            if error.errno in FULL:
                raise  # of a file of ours, into which on_line writes
            raise ResticError(
                Kind.DENIED, "restic could not be started: %s" % (error.strerror or type(error).__name__)
            ) from None
        if ended.rc not in accept:
            raise self.failure(ended, asked)
        return ended

    def failure(self, ended: Ended, asked: Sequence[str]) -> ResticError:
        """What a run that failed means; for one that this Restic's ``stage`` ran in a pipe as well."""
        return self._error(self._refined(classify(ended)), ended, asked)

    def _parsed(self, asked: Sequence[str], parse: Callable[[bytes], Any], timeout: float = _QUICK) -> Any:
        ended = self.ask(asked, timeout=min(timeout, self.limits.timeout))
        try:
            return parse(ended.out)
        except NotUnderstood as error:
            raise self._not_understood(asked, str(error), ended.out) from None

    def _error(self, kind: str, ended: Ended, asked: Sequence[str]) -> ResticError:
        where = " at %s" % self.repository.shown if kind != Kind.NOT_RESTIC else ""
        code, said = messages(ended.err)
        limit = {"timeout": "more than %d s" % ended.seconds, "idle": "no progress for %s s" % self.limits.idle}
        detail = " (restic %s: %s)" % (asked[0], limit.get(ended.ended_by, ended.ended_by)) if ended.ended_by else ""
        if kind == Kind.UNKNOWN:
            detail = " (restic %s: exit code %s)" % (asked[0], ended.rc)
        told, remedy = why(kind), ""
        if kind == Kind.CORRUPT and index_lost(said):
            told = "the index is lost of something that the snapshots need: the repository is damaged"
            steps = (
                "Copy the repository before anything else, stop prune and forget, then: %s; restic check --read-data."
            )
            remedy = steps % repair_index(self._version or OLDEST)
        if kind == Kind.NO_PASSWORD and self.repository.password_file:
            path = clean_line(self.repository.password_file, 120)
            told = "its password_file %s is not there, is empty, or may not be read by this account, for the repository"
            told %= path
        elif kind == Kind.NO_PASSWORD and self.repository.password_command:
            told = "its password_command gives no password for the repository"
        return ResticError(
            kind,
            told + where + detail,
            [self.repository.clean(line) for line in gist(said, _EVIDENCE)],
            remedy,
            code if code is not None else ended.rc,
        )

    def _not_understood(self, asked: Sequence[str], expected: str, out: bytes) -> ResticError:
        version = ".".join(str(part) for part in self._version or ())
        return ResticError(
            Kind.NOT_UNDERSTOOD,
            "the answer of restic %s to %s is not understood: %s" % (version, asked[0], expected),
            [self.repository.clean(line) for line in out[:2000].decode("utf-8", "replace").splitlines()[:3]],
        )

    def _refined(self, kind: str) -> str:
        """The kind, seen more closely where the repository is a folder of this host."""
        folder = self.repository.local
        if folder is None:
            return kind
        if kind in (Kind.MISSING, Kind.UNREACHABLE):
            if self.host.denied(folder):
                return Kind.DENIED
            if not self.host.exists(folder) or self.host.read_bytes(folder, 1) is not None:
                return Kind.MISSING  # not there, or a file
            names = self.host.listdir(folder)
            if not names or names == ["lost+found"]:
                return Kind.EMPTY if kind == Kind.MISSING else kind
            return Kind.NO_CONFIG if "config" not in names and {"data", "keys"} & set(names) else kind
        if kind == Kind.WRONG_PASSWORD:
            keys = self.host.listdir(folder + "/keys")
            if not keys and not self.host.denied(folder + "/keys"):
                return Kind.NO_KEY
            if any(self._altered(folder + "/keys/" + key, key) for key in keys):
                return Kind.KEY_DAMAGED
        return kind

    def _altered(self, path: str, name: str) -> bool:
        content = self.host.read_bytes(path, 1 << 20)
        return content is not None and hashlib.sha256(content).hexdigest() != name

    def _env(self) -> dict[str, str]:
        if self._environment is not None:
            return self._environment
        repository = self.repository
        env = _process.environment(repository.user or None)
        # What is set for somebody else's repository must not open this one.
        env = {key: value for key, value in env.items() if not key.startswith("RESTIC_")}
        if repository.environment_file:
            text = self.host.read(repository.environment_file, 1 << 20)
            if text is None:
                raise ResticError(
                    Kind.DENIED, "the environment file %s cannot be read" % clean_line(repository.environment_file, 120)
                )
            env.update(assignments(text))
        env.update(repository.environment)
        if repository.location:
            env.pop("RESTIC_REPOSITORY_FILE", None)
            env["RESTIC_REPOSITORY"] = repository.location
        elif repository.repository_file:
            env.pop("RESTIC_REPOSITORY", None)
            env["RESTIC_REPOSITORY_FILE"] = repository.repository_file
        given = (repository.password, repository.password_file, repository.password_command)
        ways = ("RESTIC_PASSWORD", "RESTIC_PASSWORD_FILE", "RESTIC_PASSWORD_COMMAND")
        if any(value is not None for value in given) or repository.insecure_no_password:
            for name in ways:
                env.pop(name, None)
        if repository.password is not None:
            # One line, as a password file holds it: restic takes the line feed at its end for no part of it.
            self._secret = self._cleanup.enter_context(_process.secret_fd(repository.password.encode() + b"\n"))
            env["RESTIC_PASSWORD_FILE"] = "/proc/self/fd/%d" % self._secret
        elif repository.password_file is not None:
            env["RESTIC_PASSWORD_FILE"] = repository.password_file
        elif repository.password_command is not None:
            env["RESTIC_PASSWORD_COMMAND"] = repository.password_command
        elif not repository.insecure_no_password and not any(env.get(name) for name in ways):
            raise ResticError(Kind.NO_PASSWORD, "no password is known for the repository at %s" % repository.shown)
        if self.cache_dir:
            env["RESTIC_CACHE_DIR"] = self.cache_dir
        self._environment = env
        return env


def assignments(text: str) -> dict[str, str]:
    """The variables of an environment file, as systemd and a shell read it: NAME=value, quoted or not, a line."""
    found: dict[str, str] = {}
    for line in text.replace("\\\n", "").splitlines():
        words = line.strip()
        if not words or words[0] in "#;":
            continue
        name, sign, value = words.partition("=")
        name = name.strip().split(" ")[-1]  # `export NAME`
        if not sign or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            continue
        try:
            parts = shlex.split(value, comments=value.lstrip()[:1] not in ("'", '"'))
        except ValueError:
            parts = [value.strip()]
        found[name] = " ".join(parts)
    return found


def pattern(path: str) -> str:
    """The pattern for ``--include`` that matches a path and what is below it, whatever characters are in it.

    U+FFFD stands for one byte that is not UTF-8; the pattern matches any at its place.
    """
    return re.sub(r"([\\*?\[])", r"\\\1", path).replace("\N{REPLACEMENT CHARACTER}", "?")
