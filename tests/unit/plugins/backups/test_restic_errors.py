# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What restic says, told apart: texts of real runs whose making takes minutes, or a network."""

from __future__ import annotations

import json

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._backups.restic_errors import (
    Kind,
    ResticError,
    classify,
    gist,
    index_lost,
    messages,
    report,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review
from ansible_collections.upkeep.maintenance.plugins.module_utils._process import Ended

PACK = "/srv/repository/data/c1/c133007f9c50f4eeff26de95cdde2deff8b97fe5450814d48ca95536ac2c9748"
GONE = f"open {PACK}: no such file or directory"
RETRY = f"Load(<data/c133007f9c>, 500, 0) returned error, retrying after 552.330144ms: {GONE}\n"
STACK = """ReadFull(<data/c133007f9c>)
github.com/restic/restic/internal/backend.ReadAt
	github.com/restic/restic/internal/backend/readerat.go:39
runtime.goexit
	runtime/asm_amd64.s:1594
"""

# 0.14 tries ten times, for 43 to 61 s, to read a pack that is gone; then it says one of these.
SAID = {
    "retrying": RETRY * 10,
    "ls": RETRY * 10 + GONE + "\n" + STACK,
    "stats": RETRY * 10 + f"error walking snapshot: walking tree 8af4e061: ReadFull(<data/c133007f9c>): {GONE}\n",
    "restore": RETRY * 10 + f"ignoring error for /source/folder1: ReadFull(<data/c133007f9c>): {GONE}\n",
    "check": RETRY * 10 + f"error for tree e62c10da:\n  ReadFull(<data/c133007f9c>): {GONE}\n"
    "Fatal: repository contains errors\n",
}  # fmt: skip


@pytest.mark.parametrize(("command", "rc"), [*((command, 1) for command in SAID), ("retrying", None)])
def test_a_pack_that_is_gone_is_damage_whether_the_retries_or_the_limit_ended_it(command: str, rc: int | None) -> None:
    ended = Ended(rc, "" if rc else "idle", b"", SAID[command].encode(), 43.3)
    assert classify(ended) == Kind.CORRUPT


@pytest.mark.parametrize(
    "why",
    [
        'Get "http://10.0.0.1/data/c1": dial tcp 10.0.0.1:80: connect: connection refused',
        'Get "http://10.0.0.1/data/c1": dial tcp: lookup backup.example.org: no such host',
        "read tcp 10.0.0.2:5000->10.0.0.1:80: read: connection reset by peer",
        'Get "https://10.0.0.1/data/c1": context deadline exceeded',
    ],
)
def test_a_network_that_fails_is_no_damage(why: str) -> None:
    said = f"Load(<data/c133007f9c>, 500, 0) returned error, retrying after 552.330144ms: {why}\n" * 10
    assert classify(Ended(None, "idle", b"", said.encode(), 120.0)) == Kind.UNREACHABLE
    assert classify(Ended(1, "", b"", said.encode(), 43.0)) == Kind.UNREACHABLE


ID = "0fa3120ad7e0a14596ba5054dae10614f29bf9efc9acb4f4b9ac90f8b326fa0f"
# restic ls after its indexes were deleted: 0.14 prints the lines, 0.19 has them in its JSON.
LOST = f"""id {ID} not found in repository
github.com/restic/restic/internal/repository.(*Repository).LoadBlob
\tgithub.com/restic/restic/internal/repository/repository.go:256
main.glob..func15
\tgithub.com/restic/restic/cmd/restic/cmd_ls.go:45
github.com/spf13/cobra.(*Command).execute
\tgithub.com/spf13/cobra/command.go:916
runtime.goexit
\truntime/asm_amd64.s:1594
"""


@pytest.mark.parametrize(
    "said", [LOST, json.dumps({"message_type": "exit_error", "code": 1, "message": LOST})], ids=["0.14", "0.19"]
)
def test_of_a_stack_trace_the_cause_is_kept(said: str) -> None:
    assert messages(said.encode())[1] == [f"id {ID} not found in repository"]
    assert index_lost(messages(said.encode())[1])
    assert classify(Ended(1, "", b"", said.encode(), 1.0)) == Kind.CORRUPT


def test_a_message_that_names_a_place_keeps_its_words() -> None:
    said = ["open /srv/main.go: denied", "see main.go:12 there"]
    assert messages("\n".join(said).encode())[1] == said


def test_of_many_messages_the_first_and_the_last_are_kept() -> None:
    said = [str(number) for number in range(100)]
    assert gist(said, 20) == ["0", *said[81:]]
    assert gist(said[:20], 20) == said[:20]


def test_damage_that_was_met_in_passing_leaves_the_word_to_the_check() -> None:
    for kind, in_passing, severity in (
        (Kind.CORRUPT, True, "high"),
        (Kind.CORRUPT, False, "critical"),
        (Kind.NO_KEY, True, "critical"),
    ):
        review = Review("backup")
        report(review, "office", ResticError(kind, "why"), in_passing=in_passing)
        assert [one["severity"] for one in review.findings] == [severity]


SFTP = "Fatal: unable to open repository at sftp:backup@host:/srv: unable to start the sftp session, error: EOF"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ((SFTP,), Kind.UNREACHABLE),
        (("subprocess ssh: backup@host: Permission denied (publickey).", SFTP), Kind.REFUSED),
        (("subprocess ssh: Host key verification failed.", SFTP), Kind.UNTRUSTED),
        (("subprocess ssh: ssh: connect to host host port 22: Connection refused", SFTP), Kind.UNREACHABLE),
        (
            (
                "Fatal: unable to open repository at s3:http://host/b: s3.getCredentials: no credentials found. "
                "Use `-o s3.unsafe-anonymous-auth=true` for anonymous authentication",
            ),
            Kind.REFUSED,
        ),
        (("Fatal: unable to open config file: Stat: Access Denied.", "Is there a repository at?"), Kind.REFUSED),
        (("Fatal: unable to open config file: unexpected HTTP response (401): 401 Unauthorized",), Kind.REFUSED),
        (("Fatal: unable to open config file: Stat: The specified key does not exist.",), Kind.MISSING),
        (
            ('Fatal: unable to open config file: Head "https://h/config": x509: certificate has expired',),
            Kind.UNTRUSTED,
        ),
        (("Fatal: unable to open config file: open /srv/certificates/401 x/config: permission denied",), Kind.DENIED),
    ],
)
def test_the_ways_not_to_get_in_are_told_apart(said: tuple[str, ...], kind: str) -> None:
    assert classify(Ended(1, "", b"", "\n".join(said).encode(), 1.0)) == kind
