# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a host's files say about its backups: jobs, and what in the files is not understood. Pure."""

from __future__ import annotations

from typing import Any, NamedTuple

KEEPS = ("last", "hourly", "daily", "weekly", "monthly", "yearly")
"""The periods of restic's ``--keep-…`` that count snapshots."""

_ENVIRONMENT = (
    *("RESTIC_", "AWS_", "B2_", "AZURE_", "GOOGLE_", "OS_", "ST_", "SWIFT_", "RCLONE_", "MINIO_"),
    *(
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "no_proxy",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
    ),
)


class NotUnderstood(Exception):  # noqa: N818 - reads as a sentence where it is raised; it is an outcome, not a bug
    """Something in a file that this reader does not understand: why, and in which line (from 1; 0: as a whole)."""

    def __init__(self, why: str, line: int = 0) -> None:
        super().__init__(why)
        self.why = why
        self.line = line


class Table(dict):  # type: ignore[type-arg] # what is in a file may be anything
    """A mapping of a configuration file that knows in which line each of its keys stands."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Any, int] = {}

    def put(self, key: Any, value: Any, line: int) -> None:
        self[key] = value
        self.lines[key] = line


class Place(NamedTuple):
    """Where something stands; line 0 is the file as a whole."""

    file: str
    line: int

    def __str__(self) -> str:
        return "%s:%d" % self if self.line else self.file


class Access(NamedTuple):
    """How a repository is reached, as the file says it. Secrets are in it: never to be shown as it is."""

    location: str
    password: str | None = None
    password_file: str | None = None
    password_command: str | None = None
    environment: dict[str, str] = {}  # noqa: RUF012 - never changed in place
    options: tuple[str, ...] = ()
    """restic's extended options, ``-o NAME=VALUE``."""
    cacert: str | None = None
    tls_client_cert: str | None = None
    insecure_tls: bool = False
    insecure_no_password: bool = False


class Job(NamedTuple):
    """One way in which something backs up into a repository, or works on it."""

    place: Place
    by: str
    """resticprofile, autorestic, unit, cron, script or environment."""
    name: str
    """The profile, the backend, the unit or the file."""
    access: Access
    paths: tuple[str, ...] = ()
    """Absolute paths that are backed up; empty where the job says none."""
    tags: tuple[str, ...] = ()
    host: str | None = None
    """The host's name that the job gives its snapshots; None: the machine's own."""
    keep: dict[str, int] = {}  # noqa: RUF012 - as above
    schedule: str = ""


class Unclear(NamedTuple):
    """Something that is about backups, and not understood."""

    place: Place
    why: str


def environment_of(values: dict[str, str]) -> dict[str, str]:
    """What of an environment is restic's or its backends'.

    Nothing else goes on to a program that may run as root: LD_PRELOAD, PATH and their like stay behind.
    """
    return {name: value for name, value in values.items() if name.startswith(_ENVIRONMENT)}


def keep_of(values: dict[str, Any]) -> dict[str, int]:
    """The retention of ``keep-daily: 7`` and the like, by period; what is no number above 0 is left out."""
    found = {}
    for period in KEEPS:
        value = values.get("keep-" + period)
        if isinstance(value, str) and value.isdigit():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1_000_000:
            found[period] = value
    return found
