# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a command line means: a call of restic, of a wrapper's configuration, or of a script. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from .discover_model import Access, NotUnderstood, environment_of, keep_of
from .discover_shell import Unknown, Word

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

RESTIC = re.compile(r"restic(?:[-_.]?v?[0-9][0-9A-Za-z._-]*)?")
_SHELLS = frozenset({"sh", "bash", "dash", "ash", "ksh", "zsh"})

_WRAPPERS: dict[str, tuple[str, int]] = {
    # the options that take a value in the next word, and how many words follow before the command
    "sudo": ("ugpCDRTrthU", 0),
    "doas": ("uC", 0),
    "nice": ("n", 0),
    "ionice": ("cnpPu", 0),
    "chrt": ("TPD", 1),
    "taskset": ("", 1),
    "timeout": ("ks", 1),
    "flock": ("wEc", 1),
    "nohup": ("", 0),
    "exec": ("a", 0),
    "command": ("", 0),
    "env": ("uCS", 0),
    "setsid": ("", 0),
    "stdbuf": ("ioe", 0),
    "chronic": ("", 0),
    "time": ("fo", 0),
    "systemd-cat": ("tp", 0),
    "systemd-inhibit": ("", 0),
    "systemd-run": ("pEu", 0),
    "runuser": ("ugG", 0),
    "setpriv": ("", 0),
    "cpulimit": ("lpe", 0),
    "unbuffer": ("", 0),
    "run-one": ("", 0),
}
_LONG_WITH_VALUE = frozenset(
    {"--user", "--group", "--adjustment", "--class", "--classdata", "--signal", "--kill-after"}
)

_VALUED = frozenset(
    {
        # global
        *("r", "repo", "repository-file", "p", "password-file", "password-command", "key-hint", "o", "option"),
        *("cacert", "tls-client-cert", "cache-dir", "limit-download", "limit-upload", "compression", "pack-size"),
        *("retry-lock", "http-user-agent", "stuck-request-timeout"),
        # backup
        *("e", "exclude", "exclude-file", "iexclude", "iexclude-file", "exclude-if-present", "exclude-larger-than"),
        *("files-from", "files-from-verbatim", "files-from-raw", "H", "host", "tag", "time", "parent", "g", "group-by"),
        *("read-concurrency", "stdin-filename"),
        # forget
        *("l", "keep-last", "keep-hourly", "d", "keep-daily", "w", "keep-weekly", "m", "keep-monthly"),
        *("y", "keep-yearly", "keep-within", "keep-within-hourly", "keep-within-daily", "keep-within-weekly"),
        *("keep-within-monthly", "keep-within-yearly", "keep-tag", "path", "max-unused", "max-repack-size"),
    }
)
_FORGET_SHORT = {"l": "last", "H": "hourly", "d": "daily", "w": "weekly", "m": "monthly", "y": "yearly"}


class Call(NamedTuple):
    """A call of restic. What of it is not known stands in ``unclear``."""

    access: Access
    subcommand: str
    paths: tuple[str, ...]
    tags: tuple[str, ...]
    host: str | None
    keep: dict[str, int]
    repository_file: str | None
    unclear: tuple[str, ...]


def command_of(words: list[Word]) -> tuple[list[Word], dict[str, str]]:
    """The command behind sudo, nice, timeout and their like, and the variables that ``env`` sets for it."""
    environment: dict[str, str] = {}
    for _level in range(12):
        if not words:
            break
        name = words[0].text.rpartition("/")[2]
        if name not in _WRAPPERS:
            break
        valued, skipped = _WRAPPERS[name]
        at = 1
        while at < len(words):
            text = words[at].text
            if name == "env" and re.match(r"[A-Za-z_][A-Za-z0-9_]*=", text):
                if not words[at].unknown:
                    key, _sign, value = text.partition("=")
                    environment[key] = value
            elif name == "sudo" and re.match(r"[A-Z_][A-Z0-9_]*=", text):
                key, _sign, value = text.partition("=")
                environment[key] = value
            elif text == "--":
                at += 1
                break
            elif text.startswith("-") and len(text) > 1:
                if text in _LONG_WITH_VALUE or (not text.startswith("--") and text[-1] in valued and len(text) == 2):
                    at += 1
            else:
                break
            at += 1
        words = words[at + skipped :]
    return words, environment


def program_of(words: list[Word]) -> str:
    return words[0].text.rpartition("/")[2] if words and not words[0].unknown else ""


def shell_text(words: list[Word]) -> str | None:
    """The text that ``sh -c`` is given, or None."""
    if program_of(words) not in _SHELLS:
        return None
    for at, word in enumerate(words[1:], 1):
        if word.text.startswith("-") and not word.text.startswith("--") and "c" in word.text:
            return words[at + 1].text if at + 1 < len(words) and not words[at + 1].unknown else None
        if not word.text.startswith("-"):
            return None
    return None


def script_of(words: list[Word]) -> tuple[str, list[str]] | None:
    """The file that a command names to be run, with its arguments; None where it names a program by name only."""
    if program_of(words) in _SHELLS | {".", "source"}:
        words = [word for word in words[1:] if not word.text.startswith("-")] if len(words) > 1 else []
    if not words or words[0].unknown or not words[0].text.startswith("/"):
        return None
    return words[0].text, [word.text for word in words[1:] if not word.unknown]


def config_of(words: list[Word]) -> str | None:
    """The file that ``-c`` or ``--config`` names (resticprofile, autorestic)."""
    for at, word in enumerate(words):
        if word.unknown:
            continue
        if word.text in ("-c", "--config") and at + 1 < len(words) and not words[at + 1].unknown:
            return words[at + 1].text
        for prefix in ("--config=", "-c="):
            if word.text.startswith(prefix):
                return word.text[len(prefix) :]
    return None


def parse_call(words: list[Word], environment: Mapping[str, Any], cwd: str = "/", home: str = "/root") -> Call:
    """A call of restic: ``words`` begin with its name. ``environment`` are the variables as they are then."""
    flags, positional = _parsed(words[1:])
    unclear: list[str] = []
    values = {name: value for name, value in environment.items() if isinstance(value, str)}
    unknown = {name: value.why for name, value in environment.items() if isinstance(value, Unknown)}

    def one(*names: str, variable: str = "") -> str | None:
        for name in names:
            for word in reversed(flags.get(name, [])):
                if word.unknown:
                    unclear.append("--%s: %s" % (names[0], word.unknown))
                    return None
                return word.text
        if variable in unknown:
            unclear.append("%s: %s" % (variable, unknown[variable]))
        return values.get(variable)

    location = one("repo", "r", variable="RESTIC_REPOSITORY")
    repository_file = None
    if location is None:
        repository_file = one("repository-file", variable="RESTIC_REPOSITORY_FILE")
    if location is None and repository_file is None and not unclear:
        unclear.append("the repository is not named in what could be read")
    password = password_file = password_command = None
    if flags.get("password-file") or flags.get("p"):
        password_file = one("password-file", "p")
    elif flags.get("password-command"):
        password_command = one("password-command")
    else:
        password_file = one(variable="RESTIC_PASSWORD_FILE") or None
        password_command = one(variable="RESTIC_PASSWORD_COMMAND") or None
        password = one(variable="RESTIC_PASSWORD")
    access = Access(
        location or "",
        password,
        absolute(password_file, cwd, home) if password_file else None,
        password_command,
        environment_of({name: value for name, value in values.items() if not name.startswith("RESTIC_PASSWORD")}),
        tuple(word.text for name in ("o", "option") for word in flags.get(name, []) if not word.unknown),
        one("cacert", variable="RESTIC_CACERT"),
        one("tls-client-cert", variable="RESTIC_TLS_CLIENT_CERT"),
        "insecure-tls" in flags,
        "insecure-no-password" in flags,
    )
    subcommand = positional[0].text if positional and not positional[0].unknown else ""
    paths: list[str] = []
    host = None
    tags: list[str] = []
    keep: dict[str, int] = {}
    if subcommand == "backup":
        host = one("host", "H", variable="RESTIC_HOST")
        paths = [absolute(word.text, cwd, home) for word in positional[1:] if not word.unknown and word.text]
        unclear += ["a path that is backed up: %s" % word.unknown for word in positional[1:] if word.unknown]
        if "stdin" in flags or "stdin-from-command" in flags:
            paths = ["/" + (one("stdin-filename") or "stdin").lstrip("/")]
        tags = [tag for word in flags.get("tag", []) if not word.unknown for tag in word.text.split(",") if tag]
    elif subcommand == "forget":
        counts = {"keep-" + period: one(short) for short, period in _FORGET_SHORT.items() if flags.get(short)}
        counts.update({name: one(name) for name in flags if name.startswith("keep-") and flags[name]})
        keep = keep_of(counts)
    return Call(access, subcommand, tuple(paths), tuple(tags), host, keep, repository_file, tuple(unclear))


def _parsed(words: Iterable[Word]) -> tuple[dict[str, list[Word]], list[Word]]:
    """Options by their names without dashes, and what is none."""
    flags: dict[str, list[Word]] = {}
    positional: list[Word] = []
    rest = list(words)
    at = 0
    while at < len(rest):
        word = rest[at]
        at += 1
        text = word.text
        if text == "--":
            positional += rest[at:]
            break
        if not text.startswith("-") or text == "-":
            positional.append(word)
        elif text.startswith("--"):
            name, sign, value = text[2:].partition("=")
            if sign:
                flags.setdefault(name, []).append(Word(value, word.unknown))
            elif name in _VALUED and at < len(rest):
                flags.setdefault(name, []).append(rest[at])
                at += 1
            else:
                flags.setdefault(name, [])
        else:
            # Short options, several in a word: the first that takes a value takes the rest.
            for offset, name in enumerate(text[1:], 1):
                if name in _VALUED:
                    value = text[offset + 1 :].lstrip("=")
                    if value or word.unknown:
                        flags.setdefault(name, []).append(Word(value, word.unknown))
                    elif at < len(rest):
                        flags.setdefault(name, []).append(rest[at])
                        at += 1
                    break
                flags.setdefault(name, [])
    return flags, positional


def absolute(path: str, base: str, home: str) -> str:
    """A path as the kernel would be asked for it, without ``.`` and doubled slashes; ``~`` is the home folder."""
    if path == "~" or path.startswith("~/"):
        path = home + path[1:]
    if not path.startswith("/"):
        path = base.rstrip("/") + "/" + path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            del parts[-1:]
        elif part not in ("", "."):
            parts.append(part)
    return "/" + "/".join(parts)


_SCHEME = re.compile(r"(?:s3|sftp|rest|b2|azure|gs|swift|rclone|local):")


def location_of(text: str, base: str, home: str) -> str:
    """A repository's location with a local path made absolute, and without the prefix ``local:``."""
    text = text.strip()
    if not text:
        raise NotUnderstood("the repository's location is empty")
    match = _SCHEME.match(text)
    if match is not None and match.group() != "local:":
        return text
    return absolute(text[len("local:") :] if match else text, base, home)
