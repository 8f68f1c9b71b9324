# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why restic failed: told by its exit code, its JSON, and what it says on standard error. Pure.

Exit codes alone do not do: 0.14 knows 1 (and 3 for an incomplete backup) only, 10, 11 and 12 came with 0.17, and most
faults are 1 in every version. An exit code that nobody knows is a failure.
"""

from __future__ import annotations

import errno
import json
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._findings import Review
    from .._process import Ended


FULL = (errno.ENOSPC, errno.EDQUOT)
"""What a write says where the file system is full, or a quota used up; no start of a program does."""


class Kind:
    """What kept restic from its work."""

    MISSING = "missing"
    EMPTY = "empty"
    NO_CONFIG = "no_config"
    CONFIG_DAMAGED = "config_damaged"
    KEY_DAMAGED = "key_damaged"
    UNREACHABLE = "unreachable"
    UNTRUSTED = "untrusted"
    REFUSED = "refused"
    DENIED = "denied"
    WRONG_PASSWORD = "wrong_password"  # noqa: S105 - the name of a fault
    NO_PASSWORD = "no_password"  # noqa: S105 - likewise
    NO_KEY = "no_key"
    LOCKED = "locked"
    INCOMPLETE = "incomplete"
    CORRUPT = "corrupt"
    NO_SNAPSHOT = "no_snapshot"
    NOT_FOUND = "not_found"
    NO_ROOM = "no_room"
    TOO_OLD = "too_old"
    NOT_RESTIC = "not_restic"
    NOT_UNDERSTOOD = "not_understood"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"


NO_WAY = (Kind.UNREACHABLE, Kind.UNTRUSTED, Kind.REFUSED, Kind.DENIED, Kind.TIMED_OUT)
"""Faults of the way to a repository, which are no word about what is in it."""


class ResticError(Exception):
    """restic could not do what it was asked: the kind of fault, a sentence, what shows it, and what to do."""

    def __init__(
        self, kind: str, why: str, evidence: Iterable[str] = (), remedy: str = "", rc: int | None = None
    ) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why
        self.evidence = list(evidence)
        self.remedy = remedy or _FAULTS[kind].remedy
        self.rc = rc

    @property
    def check(self) -> str:
        """The name of the check that this fault belongs to."""
        return _FAULTS[self.kind].check

    @property
    def severity(self) -> str:
        return _FAULTS[self.kind].severity


class _Fault(NamedTuple):
    check: str
    severity: str
    remedy: str


# A backup that nobody can get at is as bad as none; one that nobody could look at is less, for the next run may do.
_FAULTS = {
    Kind.MISSING: _Fault(
        "backup.repository.missing",
        "critical",
        "Find out where the repository went: is its disk or share mounted, was it moved? "
        "Only where there never was one: restic init.",
    ),
    Kind.EMPTY: _Fault(
        "backup.repository.empty",
        "critical",
        "Is the right disk or share mounted there? Was the repository moved or deleted? "
        "Only where there never was one: restic init.",
    ),
    Kind.NO_CONFIG: _Fault(
        "backup.repository.no_config",
        "critical",
        "Restore the file `config` of the repository from a copy of the repository or from its storage's snapshots; "
        "without it no snapshot can be read. Never run restic init over it.",
    ),
    Kind.CONFIG_DAMAGED: _Fault(
        "backup.repository.config_damaged",
        "critical",
        "Restore the file `config` of the repository from a copy of the repository or from its storage's snapshots, "
        "and look for more damage: restic check --read-data.",
    ),
    Kind.KEY_DAMAGED: _Fault(
        "backup.repository.key_damaged",
        "critical",
        "Restore the folder `keys` of the repository from a copy. While another key still opens it: restic key add, "
        "then remove the damaged file; then restic check --read-data, for a key is seldom damaged alone.",
    ),
    Kind.UNREACHABLE: _Fault(
        "backup.repository.unreachable",
        "high",
        "Try it by hand from this host: restic cat config. Are its server, its network and its name well? "
        "For sftp, ssh to its server says more.",
    ),
    Kind.UNTRUSTED: _Fault(
        "backup.repository.untrusted",
        "high",
        "See what the server shows: openssl s_client -connect HOST:PORT (ssh HOST for sftp). Renew a certificate that "
        "has expired; where an authority of your own signed it, name the file with that one's certificate as "
        "its cacert, in repositories (backup_review_repositories).",
    ),
    Kind.REFUSED: _Fault(
        "backup.repository.refused",
        "high",
        "Give the user and password, keys or token that the server knows, and that may read this repository: in the "
        "environment_file that it has in repositories (backup_review_repositories), or where its job has them "
        "(RESTIC_REST_USERNAME, AWS_ACCESS_KEY_ID, …; an ssh key for sftp). restic 0.14 takes those of a REST server "
        "in its location only: rest:https://USER:PASSWORD@HOST/.",
    ),
    Kind.DENIED: _Fault(
        "backup.repository.denied",
        "high",
        "Run it as root or as the user whose backups these are (its user in repositories, backup_review_repositories), "
        "or let this account read it.",
    ),
    Kind.WRONG_PASSWORD: _Fault(
        "backup.repository.wrong_password",
        "critical",
        "Find the right password before the repository is needed: restic key list with each that is known. "
        "Without it the backups cannot be restored by anybody.",
    ),
    Kind.NO_PASSWORD: _Fault(
        "backup.repository.no_password",
        "high",
        "Give it one of password, password_file, password_command, or RESTIC_PASSWORD in its environment_file, in "
        "repositories (backup_review_repositories).",
    ),
    Kind.NO_KEY: _Fault(
        "backup.repository.no_key",
        "critical",
        "Restore the folder `keys` of the repository from a copy of the repository or from its storage's snapshots. "
        "Without any key nothing in it can be read, whoever knows the password.",
    ),
    Kind.LOCKED: _Fault(
        "backup.repository.locked",
        "medium",
        "See who holds the lock; only when that process is gone for sure: restic unlock.",
    ),
    Kind.INCOMPLETE: _Fault(
        "backup.snapshot.incomplete",
        "high",
        "Run the backup by hand and see which files it could not read.",
    ),
    Kind.CORRUPT: _Fault(
        "backup.structure.damaged",
        "critical",
        "Copy the repository before anything else, then: restic check --read-data.",
    ),
    Kind.NO_SNAPSHOT: _Fault(
        "backup.snapshot.none",
        "critical",
        "See what is there: restic snapshots.",
    ),
    Kind.NOT_FOUND: _Fault(
        "backup.snapshot.path_missing",
        "high",
        "See what is in the snapshot: restic ls.",
    ),
    Kind.NO_ROOM: _Fault(
        "backup.repository.no_room",
        "high",
        "Make room where restic writes.",
    ),
    Kind.TOO_OLD: _Fault(
        "backup.program.unsupported",
        "medium",
        "Install a newer restic on this host: apt-get install restic, or restic self-update where it was put by hand.",
    ),
    Kind.NOT_RESTIC: _Fault(
        "backup.program.missing",
        "high",
        "Install it on this host (apt-get install restic), or name it by the option program.",
    ),
    Kind.NOT_UNDERSTOOD: _Fault(
        "backup.repository.not_understood",
        "medium",
        "Report this as a fault of Upkeep, with the evidence and the output of restic version.",
    ),
    Kind.TIMED_OUT: _Fault(
        "backup.repository.timed_out",
        "high",
        "Try it by hand from this host. Where it only takes long: raise timeout or idle_timeout "
        "(backup_review_*_timeout).",
    ),
    Kind.UNKNOWN: _Fault(
        "backup.repository.failed",
        "high",
        "Try it by hand from this host with the same user, and see what restic says.",
    ),
}

REPOSITORY_CHECKS = tuple(
    sorted({fault.check for fault in _FAULTS.values() if fault.check.startswith("backup.repository.")})
)
"""Covered, all of them, once a repository could be opened."""
OPENED = tuple(check for check in REPOSITORY_CHECKS if check != "backup.repository.locked")
"""The same without those that need more than opening it."""

# Anchored to the beginning of a message; the first that matches, in this order, tells the kind.
_MESSAGES = [
    (Kind.WRONG_PASSWORD, r"wrong password or no key found"),
    (Kind.NO_PASSWORD, r"Resolving password failed|an empty password is not|.*password is empty|no password"),
    (Kind.CONFIG_DAMAGED, r"config or key \S+ is damaged|config cannot be loaded|(?:load|LoadRaw\()<config"),
    # 0.14 reads a key without looking at its digest; a cut one is JSON without an end.
    (Kind.KEY_DAMAGED, r"(?:load |LoadRaw\()<key/|Unmarshal: |invalid key"),
    (Kind.LOCKED, r"(?:unable to create lock in backend: )?repository is already locked"),
    (
        Kind.TOO_OLD,
        r"unsupported repository version|config version|unknown (?:flag|command|shorthand)|"
        r"invalid backend|unable to open repository at .*: invalid (?:backend|location)",
    ),
    (Kind.NO_ROOM, r".*no space left on device"),
    (
        Kind.REFUSED,
        r".*(?:Access ?Denied|401 Unauthorized|403 Forbidden|HTTP response \(40[13]\)|InvalidAccessKeyId|"
        r"SignatureDoesNotMatch|getCredentials: .*credentials found|AuthenticationFailed|failed to authenticate|"
        r"invalid_grant)|subprocess ssh: .*Permission denied",
    ),
    (
        Kind.UNTRUSTED,
        r".*(?:x509: |root certificate|TLS client cert|tls: .*certificate)|"
        r"subprocess ssh: .*(?:Host key verification failed|HOST IDENTIFICATION HAS CHANGED)",
    ),
    (
        Kind.DENIED,
        r"(?:unable to open (?:config file|repository)|repository does not exist|Stat|Load|open|List|lstat).*"
        r"permission denied",
    ),
    (
        Kind.MISSING,
        r"(?:repository does not exist: )?unable to open config file: .*(?:no such file or directory|does not exist|"
        r"not found|not a directory|NoSuchBucket|NoSuchKey)|repository does not exist",
    ),
    (Kind.MISSING, r"unable to open repository at .*: not a directory|Stat\(<config/>\).*: not a directory"),
    # What is gone is gone, and not the way to it: 0.14 tries again for a minute before it says so, newer ones do not.
    (
        Kind.CORRUPT,
        r"(?:.*: )?(?:ReadFull|Load|LoadRaw)\(<(?:data|index|snapshot)/.*"
        r"(?:no such file or directory|unexpected EOF|does not exist)",
    ),
    (
        Kind.UNREACHABLE,
        r"unable to open (?:config file|repository)|(?:Stat|Load|List|LoadRaw)\(.*(?:retrying after|"
        r"connection refused|no such host|i/o timeout|network is unreachable|no route to host|broken pipe|"
        r"connection reset)|"
        r".*(?:dial tcp|tls: |unable to start the sftp session|ssh: |server unexpectedly closed connection)",
    ),
    (
        Kind.NO_SNAPSHOT,
        r"no snapshot found|(?:failed to find snapshot: |invalid id \S+ )?no matching ID found|invalid id |"
        r"snapshot .* not found|multiple IDs with prefix",
    ),
    (
        Kind.NOT_FOUND,
        r"cannot dump file: .*not found in snapshot|path .*not found in snapshot|.*: not found in snapshot",
    ),
    (
        Kind.CORRUPT,
        r"repository contains errors|LoadIndex|error loading index|.*ciphertext verification failed|"
        r".*invalid data returned|.*not found in (?:repository|index)|Pack ID does not match|.*wrong hash|"
        r"(?:unable to load|failed to load) (?:index|tree|snapshot)|.*file is too short|.*unexpected (?:file size|EOF)|"
        r".*blob .* not found",
    ),
]
_KINDS = [(kind, re.compile(pattern)) for kind, pattern in _MESSAGES]

_FRAME = re.compile(r"\S+\.(?:go|s):\d+(?: \+0x[0-9a-f]+)?")
_FUNCTION = re.compile(r"[\w./*()\[\]~-]+\.[\w.()*-]+")
_NOT_INDEXED = re.compile(r"\bid [0-9a-f]{64} not found in (?:repository|index)")

# 0.17 and later. 130 is 128 + SIGINT in all of them.
_CODES = {3: Kind.INCOMPLETE, 10: Kind.MISSING, 11: Kind.LOCKED, 12: Kind.WRONG_PASSWORD}

_WHY = {
    Kind.MISSING: "there is no repository",
    Kind.EMPTY: "the folder of the repository is empty",
    Kind.NO_CONFIG: "the repository has lost its file config",
    Kind.CONFIG_DAMAGED: "the file config of the repository is damaged",
    Kind.KEY_DAMAGED: "a key of the repository is damaged",
    Kind.UNREACHABLE: "the repository cannot be reached",
    Kind.UNTRUSTED: "the certificate or key of the server is not trusted that answers for the repository",
    Kind.REFUSED: "the server refuses the user, password or keys that it is given for the repository",
    Kind.DENIED: "this account may not read the repository",
    Kind.WRONG_PASSWORD: "the password is wrong",
    Kind.NO_PASSWORD: "there is no password, or it could not be had",
    Kind.NO_KEY: "the repository has lost its keys",
    Kind.LOCKED: "the repository is locked",
    Kind.INCOMPLETE: "the backup could not read everything",
    Kind.CORRUPT: "the repository is damaged",
    Kind.NO_SNAPSHOT: "there is no such snapshot",
    Kind.NOT_FOUND: "the snapshot has no such path",
    Kind.NO_ROOM: "there is no room where restic writes",
    Kind.TOO_OLD: "this version of restic cannot do it",
    Kind.NOT_RESTIC: "restic is not on this host",
    Kind.NOT_UNDERSTOOD: "restic's answer is not understood",
    Kind.TIMED_OUT: "restic did not come to an end",
    Kind.UNKNOWN: "restic failed",
}


def why(kind: str) -> str:
    """A clause that tells the kind."""
    return _WHY[kind]


def messages(err: bytes) -> tuple[int | None, list[str]]:
    """What standard error says: the code of its JSON ``exit_error``, if any, and the messages, the verdict last."""
    code: int | None = None
    said: list[str] = []
    for line in err.decode("utf-8", "replace").splitlines():
        text: object = line
        if line.startswith("{"):
            try:
                made = json.loads(line)
            except (ValueError, RecursionError):
                made = None
            if isinstance(made, dict):
                text = made.get("message", "")
                if made.get("message_type") == "exit_error" and isinstance(made.get("code"), int):
                    code = made["code"]
                error = made.get("error")
                if isinstance(error, dict) and isinstance(error.get("message"), str):
                    text = error["message"]  # of a file, in backup and restore
        for part in map(str.strip, str(text).splitlines()):
            if _FRAME.fullmatch(part):
                # The place in restic's source, below the function that is called there: no word to anybody else.
                if said and _FUNCTION.fullmatch(said[-1]):
                    said.pop()
            elif part:
                said.append(part)
    return code, said


def gist(said: list[str], most: int) -> list[str]:
    """The first message, which is nearest to the cause, and the last ones, with the verdict: ``most`` at the most."""
    return said if len(said) <= most else [said[0], *said[1 - most :]]


def index_lost(said: Iterable[str]) -> bool:
    """Whether something that is needed is in no index; a pack that is gone is still in one."""
    return any(_NOT_INDEXED.search(line) for line in said)


def repair_index(version: tuple[int, int, int]) -> str:
    """The command that makes the indexes anew, as that version has it."""
    return "restic repair index" if version >= (0, 16, 0) else "restic rebuild-index"


def classify(ended: Ended) -> str:
    """The Kind of a run of restic that failed. One that was ended at a limit may still tell what kept it."""
    code, said = messages(ended.err)
    if ended.rc is None:
        # It tried again and again: what it could not do is told with each attempt.
        retried = [message for message in said if "retrying after" in message]
        if retried and len(retried) * 2 > len(said):
            return _by_message([retried[-1]]) or Kind.UNREACHABLE
        return Kind.TIMED_OUT
    kind = _by_message(said)
    if kind == Kind.UNREACHABLE:
        # The verdict is restic's; why, ssh has said before.
        told = [_by_message([message]) for message in said if message.startswith("subprocess ssh: ")]
        kind = next((one for one in told if one in (Kind.REFUSED, Kind.UNTRUSTED)), kind)
    # "no repository" by its code may be a matter of rights, which its message tells.
    by_code = _CODES.get(ended.rc if code is None else code)
    if kind is None or by_code in (Kind.LOCKED, Kind.WRONG_PASSWORD):
        kind = by_code or kind
    return kind or Kind.UNKNOWN


def _by_message(said: list[str]) -> str | None:
    # The verdict comes last; what led to it may stand before.
    fatal = [message for message in said if message.startswith("Fatal: ")]
    for message in (*reversed(fatal), *reversed(said)):
        text = re.sub(r"^(?:Fatal: |error: )+", "", message)
        text = re.sub(r"^Resolving password failed: Fatal: ", "Resolving password failed: ", text)
        for kind, pattern in _KINDS:
            if pattern.match(text):
                return kind
    return None


def report(review: Review, subject: str, error: ResticError, in_passing: bool = False) -> None:
    """Tell a fault as a finding about a repository, by the name of its check.

    ``in_passing``: damage was met by somebody who did not look for it. The check of the repository, which tells what is
    damaged and what helps, is the one to be shown: of two findings of one name the more severe is.
    """
    severity = "high" if in_passing and error.kind == Kind.CORRUPT else error.severity
    review.found(
        error.check,
        subject,
        severity,
        "%s: %s." % (subject, error.why),
        error.evidence,
        error.remedy,
        {"kind": error.kind, "rc": error.rc},
    )
