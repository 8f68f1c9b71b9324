# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Unit files of systemd and tables of cron, as far as they say what is run and with which variables. Pure."""

from __future__ import annotations

import re
from typing import NamedTuple


class Exec(NamedTuple):
    line: int
    file: str
    text: str


class Unit(NamedTuple):
    """What a service runs. Of a list that a later file empties, only what comes after is left."""

    name: str
    files: tuple[str, ...]
    runs: tuple[Exec, ...]
    environment: tuple[Exec, ...]
    """The values of ``Environment=``."""
    environment_files: tuple[str, ...]
    """With a dash in front where the file may be missing."""
    directory: str
    user: str
    credentials: dict[str, str]
    """The files of ``LoadCredential=`` by their names."""


class CronLine(NamedTuple):
    line: int
    schedule: str
    user: str
    command: str
    environment: dict[str, str]


_RUNS = ("ExecStartPre", "ExecStart", "ExecStartPost")
_LISTS = (*_RUNS, "Environment", "EnvironmentFile", "LoadCredential")
_CRON = re.compile(r"\s*(@[a-z]+|(?:[-0-9*/,A-Za-z~]+\s+){4}[-0-9*/,A-Za-z~]+)\s+(.*)")
_CRON_VARIABLE = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*=\s*(.*?)\s*$")


def settings(text: str) -> list[tuple[int, str, str, str]]:
    """The settings of a unit file: line, section, name, value; continued lines joined (systemd.syntax(7))."""
    found: list[tuple[int, str, str, str]] = []
    section = ""
    held, first = "", 0
    for number, line in enumerate(text.split("\n"), 1):
        if line.lstrip()[:1] in ("#", ";"):
            continue  # also within a continued line
        if not held:
            first = number
        if line.endswith("\\"):
            held += line[:-1] + " "
            continue
        whole, held = (held + line).strip(), ""
        if whole.startswith("[") and whole.endswith("]"):
            section = whole[1:-1]
        elif "=" in whole:
            name, _sign, value = whole.partition("=")
            found.append((first, section, name.strip(), value.strip()))
    return found


def parse_unit(name: str, files: list[tuple[str, str]]) -> Unit:
    """A service of its file and its drop-ins, in the order in which systemd reads them: (path, text)."""
    lists: dict[str, list[Exec]] = {key: [] for key in _LISTS}
    single = {"WorkingDirectory": "", "User": ""}
    for path, text in files:
        for line, section, key, value in settings(text):
            if section != "Service":
                continue
            if key in lists:
                if value:
                    lists[key].append(Exec(line, path, value))
                else:
                    lists[key] = []
            elif key in single:
                single[key] = value
    credentials = {}
    for entry in lists["LoadCredential"]:
        label, _sign, source = entry.text.partition(":")
        if source.startswith("/"):
            credentials[label] = source
    runs = tuple(run._replace(text=run.text.lstrip("-@:+!|")) for key in _RUNS for run in lists[key])
    return Unit(
        name,
        tuple(path for path, _text in files),
        runs,
        tuple(lists["Environment"]),
        tuple(entry.text for entry in lists["EnvironmentFile"]),
        single["WorkingDirectory"].lstrip("-"),
        single["User"],
        credentials,
    )


def specified(text: str, unit: str, host: str, home: str, credentials: dict[str, str]) -> str | None:
    """A value with systemd's specifiers (%i, %h …) filled in; None where one is not known here."""
    stem = unit.rpartition(".")[0]
    prefix, _at, instance = stem.partition("@")
    known = {
        "%": "%",
        "i": _unescaped(instance, False),
        "I": _unescaped(instance, True),
        "n": unit,
        "N": stem,
        "p": prefix,
        "P": _unescaped(prefix, True),
        "H": host,
        "l": host.partition(".")[0],
        "h": home,
        "E": "/etc",
        "S": "/var/lib",
        "C": "/var/cache",
        "L": "/var/log",
        "t": "/run",
        "d": "\x04",
    }
    missing: list[str] = []

    def value(match: re.Match[str]) -> str:
        if match.group(1) not in known:
            missing.append(match.group(1))
        return known.get(match.group(1), "")

    text = re.sub(r"%(.)", value, text)
    # The folder of credentials is there only while the unit runs; the files that are loaded into it are always.
    text = text.replace("${CREDENTIALS_DIRECTORY}", "\x04").replace("$CREDENTIALS_DIRECTORY", "\x04")
    for label, source in credentials.items():
        text = text.replace("\x04/" + label, source)
    return None if missing or "\x04" in text else text


def _unescaped(text: str, whole: bool) -> str:
    if not whole:
        return text
    text = text.replace("-", "/")
    return re.sub(r"\\x([0-9a-fA-F]{2})", lambda match: chr(int(match.group(1), 16)), text)


def parse_cron(text: str, with_user: bool, user: str = "root") -> list[CronLine]:
    """The lines of a table of cron; ``with_user``: as in /etc/crontab, a column names who runs it."""
    found: list[CronLine] = []
    environment: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _CRON.match(line)
        variable = _CRON_VARIABLE.match(line)
        if variable is not None and (match is None or "=" in line.split()[0]):
            value = variable.group(2)
            if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
                value = value[1:-1]
            environment[variable.group(1)] = value
            continue
        if match is None:
            continue
        who, command = user, match.group(2)
        if with_user:
            who, _space, command = command.partition(" ") if " " in command else command.partition("\t")
        # What follows a percent sign is the command's input; escaped, it is a percent sign.
        command = re.split(r"(?<!\\)%", command.strip())[0].replace("\\%", "%")
        found.append(CronLine(number, " ".join(match.group(1).split()), who, command, dict(environment)))
    return found
