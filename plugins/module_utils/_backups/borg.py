# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""borg (tried with 1.2.4), by argument lists, its passphrase by a descriptor, its errors by their message ids."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import stat
from typing import TYPE_CHECKING, Any

from .. import _process
from .engine import Checked, Engine, moment, said
from .model import Entry, Snapshot
from .restic import Repository
from .restic_errors import Kind, ResticError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from .._host import Host
    from .names import Names

WAIT = 5
"""Seconds to wait for a lock: who holds it longer is told."""

SECURITY = "/var/lib/upkeep/backups/borg-security"
SECURITY_OF_USER = "~/.local/state/upkeep/borg-security"
"""Where borg keeps what it knows of the repositories that we had it open; its caches stay where the job has them."""

# Message ids of borg (docs/internals/frontends.rst, "Message IDs") -> the fault, and what to do.
_BACK = "Bring the key back: borg key import REPOSITORY FILE"
_BREAK = "See that no borg runs on the host that holds it; only then: borg break-lock REPOSITORY"
_DAMAGED = "borg check --repair REPOSITORY, on a copy of it first."
_MOUNTED = "See that the path is right and its storage mounted."
_SSH = "Try it by hand: ssh to the host of the repository, as this account; then borg --version there."
_FAULTS = (
    ("Repository.DoesNotExist", Kind.MISSING, _MOUNTED),
    ("Repository.ParentPathDoesNotExist", Kind.MISSING, _MOUNTED),
    (
        "Repository.InvalidRepository",
        Kind.NO_CONFIG,
        "See that the path is right; borg init makes a new one elsewhere.",
    ),
    ("Repository.InvalidRepositoryConfig", Kind.CONFIG_DAMAGED, "Take the file config from a copy of the repository."),
    (
        "PassphraseWrong",
        Kind.WRONG_PASSWORD,
        "Give the passphrase that the repository has (borg key export shows no other).",
    ),
    ("PasscommandFailure", Kind.NO_PASSWORD, "Run the command by hand, as this account."),
    ("NoPassphraseFailure", Kind.NO_PASSWORD, "Give password, password_file or password_command."),
    ("KeyfileNotFoundError", Kind.NO_KEY, _BACK),
    ("RepoKeyNotFoundError", Kind.NO_KEY, _BACK),
    ("KeyfileInvalidError", Kind.KEY_DAMAGED, _BACK),
    ("LockTimeout", Kind.LOCKED, _BREAK),
    ("LockError", Kind.LOCKED, _BREAK),
    (
        "LockFailed",
        Kind.DENIED,
        "Give this account the right to write to the repository's folder: borg locks it to read.",
    ),
    ("ConnectionClosed", Kind.UNREACHABLE, _SSH),
    ("ConnectionClosedWithHint", Kind.UNREACHABLE, _SSH),
    ("IntegrityError", Kind.CORRUPT, _DAMAGED),
    ("Repository.ObjectNotFound", Kind.CORRUPT, _DAMAGED),
    ("Repository.CheckNeeded", Kind.CORRUPT, "borg check REPOSITORY"),
    (
        "Cache.RepositoryAccessAborted",
        Kind.UNTRUSTED,
        "See whether it was moved on purpose: a copy that somebody put there looks the same. If it was, once, with its "
        "passphrase and as this account: BORG_RELOCATED_REPO_ACCESS_IS_OK=yes BORG_SECURITY_DIR=NOTES borg info "
        "REPOSITORY",
    ),
    ("Archive.DoesNotExist", Kind.NO_SNAPSHOT, "See borg list REPOSITORY."),
)
_TYPES = {"-": "file", "d": "dir", "l": "symlink", "p": "fifo", "c": "chardev", "b": "dev", "s": "socket"}


class Borg(Engine):
    repair = (
        "borg extract --dry-run REPOSITORY::ARCHIVE tells whether an archive can be read; then borg check --repair "
        "REPOSITORY (on a copy first; it names the files that are lost), a new backup, and borg check --verify-data"
    )

    def __init__(self, host: Host, params: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        super().__init__(host, params, options)
        self.location = str(params["repository"])
        self.shown = Repository(name=self.name, location=self.location).shown
        # What borg notes of a repository that it opens would look, in its own place, as if a job of this host did.
        own = not {"BORG_BASE_DIR", "BORG_CONFIG_DIR", "BORG_SECURITY_DIR"} & {*self.extra, *os.environ}
        self._security = (SECURITY if host.is_root() else os.path.expanduser(SECURITY_OF_USER)) if own else ""

    def version(self) -> str:
        found = re.search(
            r"\d+\.\d+\S*", self.call([self.params["program"], "--version"], {}).out.decode("utf-8", "replace")
        )
        return found[0] if found else ""

    def snapshots(self) -> list[Snapshot]:
        made = self._json(["info", "--json", "--last", "5000", self.location])
        archives = made.get("archives")
        if not isinstance(archives, list):
            raise self._not_understood("expected archives")
        # One archive's faults are told by check; a list that makes no sense is told here.
        found = [_snapshot(one) for one in archives if isinstance(one, dict)]
        return sorted((one for one in found if one is not None), key=lambda one: one.time)

    def check(self, data: bool) -> Checked:
        ended = self._run(["check", *(["--verify-data"] if data else []), self.location])
        lines = [line for _level, _id, line in _messages(ended.err)]
        if ended.rc == 0:
            return Checked(False, lines)
        error = self._error(ended)
        if error.kind in (Kind.CORRUPT, Kind.UNKNOWN) and ended.rc is not None and ended.rc > 0:
            return Checked(True, lines or said(ended.err))
        raise error

    def ls(self, snapshot: Snapshot, names: Names) -> bool:
        strange: list[bytes] = []

        def take(line: bytes) -> None:
            try:
                item = json.loads(line.decode("utf-8", "surrogateescape"))
                entry = _entry(item)
                link = "/" + str(item["source"]).lstrip("/") if str(item["mode"]).startswith("h") else ""
            except (ValueError, KeyError, TypeError):
                if not strange:
                    strange.append(line[:200])
                return
            names.add(entry, link)

        ended = self._run(["list", "--json-lines", self._archive(snapshot)], on_line=take)
        if ended.rc != 0:
            raise self._error(ended)
        if strange:
            raise self._not_understood("a line of list --json-lines", strange[0])
        return True

    def restore(self, snapshot: Snapshot, target: str, paths: Sequence[str]) -> None:
        wanted = ["pp:" + path.lstrip("/") for path in paths]
        # pp: a path and what is below it, no pattern; --numeric-ids: names of this host are not those of the backup.
        ended = self._run(["extract", "--numeric-ids", self._archive(snapshot), *wanted], cwd=target)
        if ended.rc != 0:
            raise self._error(ended)

    # -- running -----------------------------------------------------------------------------------

    def _archive(self, snapshot: Snapshot) -> str:
        return "%s::%s" % (self.location, snapshot.short_id)

    def _run(
        self, words: Sequence[str], on_line: Callable[[bytes], None] | None = None, cwd: str = "/"
    ) -> _process.Ended:
        env = {
            "BORG_RELOCATED_REPO_ACCESS_IS_OK": "no",
            "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
            "BORG_CHECK_I_KNOW_WHAT_I_AM_DOING": "no",
            "BORG_DISPLAY_PASSPHRASE": "no",
            "BORG_EXIT_CODES": "legacy",
        }
        if self._security:
            env["BORG_SECURITY_DIR"] = self._security
        argv = [self.params["program"], words[0], "--log-json", "--lock-wait", str(WAIT), *words[1:]]
        with self._passphrase() as descriptor:
            if descriptor is not None:
                env["BORG_PASSPHRASE_FD"] = str(descriptor)
                return self.call(argv, env, on_line=on_line, pass_fds=(descriptor,), cwd=cwd)
            # Nothing to ask anybody: without one it must fail, not wait.
            if "BORG_PASSPHRASE" not in self.extra and "BORG_PASSCOMMAND" not in self.extra:
                env["BORG_PASSPHRASE"] = ""
            return self.call(argv, env, on_line=on_line, cwd=cwd)

    @contextlib.contextmanager
    def _passphrase(self) -> Iterator[int | None]:
        secret = self._secret()
        if secret is None:
            yield None
            return
        with _process.secret_fd(secret) as descriptor:
            os.lseek(descriptor, 0, os.SEEK_SET)  # borg reads on from where it stands
            yield descriptor

    def _secret(self) -> bytes | None:
        if self.params.get("password") is not None:
            return str(self.params["password"]).encode("utf-8", "surrogateescape")
        path = self.params.get("password_file")
        if path:
            data = self.host.read_bytes(path, 1 << 16)
            if data is None:
                raise ResticError(
                    Kind.NO_PASSWORD,
                    "the file with its passphrase, %s, cannot be read" % path,
                    remedy="Let this account read it, or correct its password_file in repositories "
                    "(backup_review_engines).",
                )
            return data.rstrip(b"\r\n")
        command = self.params.get("password_command")
        if command:
            try:
                words = shlex.split(command)
            except ValueError as error:
                words, why = [], str(error)
            else:
                why = "it is empty"
            if not words:
                raise ResticError(
                    Kind.NO_PASSWORD,
                    "the command for its passphrase is none: %s" % why,
                    remedy="See the quotes in its password_command, in repositories (backup_review_engines).",
                )
            ended = self.call(words, {})
            if ended.rc != 0:
                raise ResticError(
                    Kind.NO_PASSWORD,
                    "the command for its passphrase ended with %s" % ended.rc,
                    said(ended.err),
                    "Run it by hand, as this account.",
                )
            return ended.out.rstrip(b"\r\n")
        return None

    def _json(self, words: Sequence[str]) -> dict[str, Any]:
        ended = self._run(words)
        if ended.rc != 0:
            raise self._error(ended)
        try:
            made = json.loads(ended.out.decode("utf-8", "replace"))
        except (ValueError, RecursionError):
            raise self._not_understood("expected JSON", ended.out[:200]) from None
        if not isinstance(made, dict):
            raise self._not_understood("expected an object", ended.out[:200])
        return made

    def _not_understood(self, expected: str, found: bytes = b"") -> ResticError:
        return ResticError(
            Kind.NOT_UNDERSTOOD,
            "what borg printed is not understood (%s)" % expected,
            said(found),
            "See borg --version: 1.1 and 1.2 are understood.",
        )

    def _error(self, ended: _process.Ended) -> ResticError:
        told = _messages(ended.err)
        lines = [line for _level, _id, line in told] or said(ended.err)
        for message_id, fault, help_ in _FAULTS:
            kind, remedy = fault, help_
            if any(one == message_id for _level, one, _line in told):
                given = self._secret() is not None or {"BORG_PASSPHRASE", "BORG_PASSCOMMAND"} & set(self.extra)
                if kind == Kind.WRONG_PASSWORD and not given:
                    kind, remedy = Kind.NO_PASSWORD, "Give password, password_file or password_command."
                if kind == Kind.NO_CONFIG and os.path.isdir(self.location) and not os.listdir(self.location):
                    kind, remedy = Kind.EMPTY, "See that its storage is mounted there: the folder is empty."
                # Questions that nobody answered say more than that they were not.
                asked = next((line for level, _id, line in told if level == "QUESTION"), "")
                verdict = asked or next(line for _level, one, line in told if one == message_id)
                return ResticError(
                    kind,
                    "borg says: %s" % verdict.partition("\nDo you want")[0].rstrip("."),
                    [*lines, *self._holders()] if kind == Kind.LOCKED else lines,
                    remedy.replace("REPOSITORY", shlex.quote(self.shown)).replace("NOTES", self._security_shown()),
                    ended.rc,
                )
        text = "\n".join(lines)
        if "Segment entry checksum mismatch" in text or "IntegrityError" in text or "Data integrity error" in text:
            return ResticError(Kind.CORRUPT, "borg met damaged data", lines[-8:], self.repair, ended.rc)
        return ResticError(Kind.UNKNOWN, "borg ended with %s" % ended.rc, lines[-8:], "Run the same by hand.", ended.rc)

    def _security_shown(self) -> str:
        return shlex.quote(self._security or self.extra.get("BORG_SECURITY_DIR", "") or "…")

    def _holders(self) -> list[str]:
        """Who holds the lock of a repository on this host: its files are named HOST@ID.PROCESS-THREAD."""
        folder = os.path.join(self.location, "lock.exclusive")
        lines = []
        for name in self.host.listdir(folder):
            since = self.host.mtime(os.path.join(folder, name))
            host, _dot, rest = name.rpartition(".")
            ago = "" if since is None else ", for %d minutes" % ((self.host.now() - since) / 60)
            lines.append("held by process %s on %s%s" % (rest.split("-")[0], host.split("@")[0], ago))
        return lines


def _messages(data: bytes) -> list[tuple[str, str, str]]:
    """Level, id and words of what ``--log-json`` told: warnings, errors, and questions (``QUESTION``)."""
    found = []
    for line in data.decode("utf-8", "replace").splitlines():
        try:
            made = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not isinstance(made, dict):
            continue
        level, text = str(made.get("levelname")), str(made.get("message") or "")
        if made.get("type") == "question_prompt":
            level = "QUESTION"
        # Where borg was when it gave up is a word to its makers only; what it met stands before.
        if level in ("QUESTION", "WARNING", "ERROR", "CRITICAL") and not text.startswith("Traceback "):
            found.append((level, str(made.get("msgid") or ""), text))
    return found


def _snapshot(one: Mapping[str, Any]) -> Snapshot | None:
    when = moment(one.get("start"))
    stats = one.get("stats") or {}
    if when is None or not isinstance(one.get("name"), str) or not isinstance(stats, dict):
        return None
    words = [str(word) for word in one.get("command_line") or ()]
    return Snapshot(
        str(one.get("id") or ""),
        one["name"],  # by this name it is asked for
        when,
        str(one.get("hostname") or ""),
        str(one.get("username") or ""),
        sources(words),
        (),
        str(one.get("id") or ""),
        None,
        "",
        stats.get("nfiles") if isinstance(stats.get("nfiles"), int) else None,
        stats.get("original_size") if isinstance(stats.get("original_size"), int) else None,
    )


def sources(words: Sequence[str]) -> tuple[str, ...]:
    """What was backed up, by the command line of ``borg create``: the words after the archive's name."""
    place = next((at for at, word in enumerate(words) if "::" in word and not word.startswith("-")), None)
    if place is None:
        return ()
    return tuple(sorted(word for word in words[place + 1 :] if not word.startswith("-")))


def _entry(item: Mapping[str, Any]) -> Entry:
    """One line of ``list --json-lines``. A hard link has no size of its own."""
    return Entry(
        "/" + str(item["path"]).lstrip("/"),
        _TYPES[item["type"]],
        int(item["size"]),
        permissions(str(item["mode"])),
        int(item["uid"]),
        int(item["gid"]),
        moment(item["mtime"]) or 0.0,
    )


def permissions(text: str) -> int | None:
    """The number of ``-rwsr-xr-t``; None when it is none."""
    if len(text) != 10:
        return None
    mode = 0
    for place, (letter, bit) in enumerate(zip(text[1:], (256, 128, 64, 32, 16, 8, 4, 2, 1))):
        if letter in "rwxst":
            mode |= bit
        if letter in "sStT":
            mode |= (stat.S_ISUID, stat.S_ISGID, stat.S_ISVTX)[place // 3]
    return mode
