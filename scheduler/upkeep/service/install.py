# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making the scheduler a service of systemd: first what differs, then what is to be done about it, then doing it."""

from __future__ import annotations

import difflib
import os
import pwd
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import NOT_RUN, UpkeepError
from .unit import NAME, Unit, text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SYSTEM = Path("/etc/systemd/system")
USER_HOME = "/var/lib/upkeep"
"""The home of a user that is made for the service, and UPKEEP_HOME."""
NOLOGIN = "/usr/sbin/nologin"


@dataclass(frozen=True)
class Step:
    """One thing to do."""

    told: str
    do: Callable[[], object]


@dataclass(frozen=True)
class Wanted:
    """What is to be."""

    unit: Unit
    config: Path | None = None
    start: bool = True

    @property
    def path(self) -> Path:
        """The unit file."""
        if self.unit.user:
            return SYSTEM / NAME
        base = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
        return Path(base).expanduser() / "systemd" / "user" / NAME

    @property
    def systemctl(self) -> list[str]:
        """systemctl for the manager that it belongs to."""
        return ["systemctl"] if self.unit.user else ["systemctl", "--user"]


def command(config: Path | None) -> tuple[str, ...]:
    """The program that this installation is, as the service starts it."""
    words = (sys.executable, "-m", "upkeep", "scheduler")
    return words if config is None else (*words, "--config", str(config))


def check(wanted: Wanted) -> None:
    """Raise UpkeepError when it cannot be done here, or by this user."""
    if shutil.which("systemctl") is None or not Path("/run/systemd/system").is_dir():
        raise _error(
            "this machine is not run by systemd",
            "systemd as its process 1",
            "another one",
            "use a cron line instead: * * * * * upkeep scheduler --once",
        )
    if wanted.unit.user and os.geteuid() != 0:
        raise _error(
            "a service of the system is installed by root",
            "root, or --user for a service of your own",
            f"uid {os.geteuid()}",
            "sudo upkeep install-service   (or: upkeep install-service --user)",
        )
    if not wanted.unit.user and _call([*wanted.systemctl, "is-system-running"]).stdout.strip() in ("", "offline"):
        raise _error(
            "your own systemd manager does not answer",
            "a session that systemd knows (loginctl)",
            "none",
            f"sudo loginctl enable-linger {pwd.getpwuid(os.geteuid()).pw_name}, then log in anew",
        )


def steps(wanted: Wanted) -> list[Step]:
    """What is to be done so that the service is there and at work; nothing when it is."""
    found: list[Step] = []
    user, home = wanted.unit.user, Path(wanted.unit.home)
    if user and not _known(user):
        words = [
            "useradd",
            "--system",
            "--user-group",
            "--home-dir",
            str(home),
            "--create-home",
            "--shell",
            NOLOGIN,
            user,
        ]
        found.append(Step(f"make the user {user}, with the home {home}", lambda: _must(words)))
        found.append(Step(f"give {home}, and all in it, to {user}", lambda: _give(home, user)))
    elif not home.is_dir():
        found.append(Step(f"make the folder {home}", lambda: _make_home(home, user)))
    elif user and not _owns(user, home):
        found.append(Step(f"give {home}, and all in it, to {user}", lambda: _give(home, user)))
    before = _read(wanted.path)
    after = text(wanted.unit)
    if before != after:
        found.append(Step(f"write {wanted.path}", lambda: _write(wanted.path, after)))
        found.append(Step("let systemd read it", lambda: _must([*wanted.systemctl, "daemon-reload"])))
    if _call([*wanted.systemctl, "is-enabled", NAME]).stdout.strip() != "enabled":
        found.append(Step("start it at boot", lambda: _must([*wanted.systemctl, "enable", NAME])))
    if wanted.start:
        active = _call([*wanted.systemctl, "is-active", NAME]).stdout.strip() == "active"
        if not active or before != after:
            verb = "restart" if active else "start"
            found.append(Step(f"{verb} it", lambda: _start(wanted, verb)))
    return found


def removal(wanted: Wanted) -> list[Step]:
    """What is to be done so that the service is gone; what it keeps (UPKEEP_HOME) stays."""
    found = []
    if _read(wanted.path) is not None:
        found.append(
            Step("stop it, and start it no more", lambda: _must([*wanted.systemctl, "disable", "--now", NAME]))
        )
        found.append(Step(f"remove {wanted.path}", lambda: wanted.path.unlink(missing_ok=True)))
        found.append(Step("let systemd forget it", lambda: _must([*wanted.systemctl, "daemon-reload"])))
    return found


def difference(wanted: Wanted, removed: bool = False) -> str:
    """The unit file's difference, as diff -u shows it; empty when there is none."""
    before, after = _read(wanted.path) or "", "" if removed else text(wanted.unit)
    lines = difflib.unified_diff(
        before.splitlines(True), after.splitlines(True), f"{wanted.path} (now)", f"{wanted.path} (then)"
    )
    return "".join(lines)


def _make_home(home: Path, user: str) -> None:
    home.mkdir(mode=0o700, parents=True)
    if user:
        shutil.chown(home, user, pwd.getpwnam(user).pw_gid)


def _give(home: Path, user: str) -> None:
    """Its folder is its own, and nobody else's to read."""
    _must(["chown", "-R", f"{user}:", str(home)])
    home.chmod(0o700)


def _write(path: Path, content: str) -> None:
    """Whole, or not at all: systemd never reads half a unit."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        part.write_text(content, encoding="utf-8")
        part.chmod(0o644)
        part.replace(path)
    except OSError as error:
        raise _error(
            f"{path} was not written", "room and the right to write there", str(error.strerror or error), "mend that"
        ) from error


def _start(wanted: Wanted, verb: str) -> None:
    user = wanted.unit.user
    if user and user != "root":
        tried = _call(["runuser", "-u", user, "--", sys.executable, "-c", "import upkeep"])
        if tried.returncode:
            raise _error(
                f"the user {user} cannot start this Upkeep",
                f"{sys.executable} and its packages to be readable for {user}",
                (tried.stderr.strip().splitlines() or ["no right to it"])[-1],
                "install Upkeep where all may read it (python3 -m venv /opt/upkeep), or --run-as another user",
            )
    done = _call([*wanted.systemctl, verb, NAME])
    if done.returncode:
        journal = ["journalctl", *(() if user else ("--user",)), "-u", NAME, "-n", "5", "-o", "cat"]
        said = _call([*journal, "--no-pager"]).stdout.strip().splitlines()
        raise _error(
            "the service does not start",
            "it to be at work",
            "; ".join(said[-3:]) or done.stderr.strip(),
            f"{' '.join(journal[:-4])}   (shows all that it said)",
        )


def _known(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _owns(user: str, folder: Path) -> bool:
    try:
        found = folder.stat()
        return found.st_uid == pwd.getpwnam(user).pw_uid and not found.st_mode & 0o077
    except (KeyError, OSError):
        return False


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None


def _must(words: Sequence[str]) -> None:
    done = _call(words)
    if done.returncode:
        raise _error(
            f"{' '.join(words[:2])} failed", f"{' '.join(words)} to do its work", done.stderr.strip(), "mend that"
        )


def _call(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    return subprocess.run(
        list(words), env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def _error(what: str, expected: str, found: str, remedy: str) -> UpkeepError:
    return UpkeepError(what, expected=expected, found=found, remedy=remedy, exit_code=NOT_RUN)
