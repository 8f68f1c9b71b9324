# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which repositories of restic a host backs up into, read from what runs there. Reads files only; nothing is started.

Where it looks: resticprofile, autorestic, services of systemd, cron, the scripts that these name, and files of
variables in the usual places. What the files say may be hostile: a file that somebody else than root (or the own
account) may write is not followed, because what it names would be opened, and its password command run, with the
rights of whoever reads it; that is told. So is all that is about restic and is not understood.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from . import discover_autorestic, discover_resticprofile
from .discover_calls import (
    RESTIC,
    absolute,
    command_of,
    config_of,
    location_of,
    parse_call,
    program_of,
    script_of,
    shell_text,
)
from .discover_model import Access, Job, NotUnderstood, Place, Unclear
from .discover_shell import SIZE_LIMIT, Unknown, Word, commands, environment_file
from .discover_units import Unit, parse_cron, parse_unit, settings, specified

if TYPE_CHECKING:
    from .._host import Host

UNIT_FOLDERS = (
    *("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"),
)
"""From the one that counts most to the one that counts least."""
ENVIRONMENT_FILES = (
    *("/etc/restic/*.env", "/etc/restic/*.conf", "/etc/restic/env", "/etc/restic/*.sh", "/etc/restic.env"),
    *("/etc/restic.conf", "/etc/restic-*.env", "/etc/restic-*.conf", "/etc/restic/*/*.env", "/etc/default/restic*"),
    *("/etc/sysconfig/restic*", "/etc/restic-env", "/root/.restic-env", "/root/.restic.env", "/root/.restic_env"),
    *("/root/.restic", "/root/.config/restic/*.env", "/root/restic.env"),
)
CRON_FOLDERS = ("/etc/cron.hourly", "/etc/cron.daily", "/etc/cron.weekly", "/etc/cron.monthly")
CRONTABS = ("/var/spool/cron/crontabs", "/var/spool/cron")
FILES = 2_000
"""Files that are read at the most; a host has some 300 units."""
DEPTH = 3
"""Scripts that call scripts."""

_SUBCOMMANDS = ("backup", "forget", "prune", "check", "snapshots", "copy", "init", "unlock", "restore", "stats")
_HARMLESS = frozenset({"", "version", "help", "self-update", "generate", "cache", "completion", "options", "features"})
_PACKAGED = ("/bin/", "/sbin/", "/usr/bin/", "/usr/sbin/", "/lib/", "/usr/lib/", "/usr/libexec/", "/usr/share/")


class Found(NamedTuple):
    """A repository that the host's files name, with all the jobs that name it."""

    location: str
    access: Access
    jobs: tuple[Job, ...]


class Started(NamedTuple):
    """What starts a command: ``unit`` or ``cron``, by its name, where and when; and how many scripts deep we follow."""

    by: str
    name: str
    cwd: str
    home: str
    schedule: str
    depth: int = DEPTH


class Discovery:
    """One look through a host. ``jobs`` and ``unclear`` are what it found."""

    def __init__(self, host: Host, host_name: str) -> None:
        self.host = host
        self.host_name = host_name
        self.jobs: list[Job] = []
        self.unclear: list[Unclear] = []
        self.read_files = 0
        self.seen: set[str] = set()
        self.units_seen: set[str] = set()
        self.trusted_uids = {0} if host.is_root() else {0, os.geteuid()}
        self.home = "/root" if host.is_root() else os.path.expanduser("~")

    # Reading

    def text(self, path: str, mention: bool = True) -> str | None:
        """A file's text; None when it is not there, or may not be followed: the latter is told."""
        if self.read_files >= FILES:
            return None
        self.read_files += 1
        data = self.host.read_bytes(path, SIZE_LIMIT + 1)
        if data is None:
            if mention and self.host.denied(path):
                self.tell(path, 0, "this account may not read it")
            return None
        if len(data) > SIZE_LIMIT:
            data = data[:SIZE_LIMIT]
            if b"restic" in data:
                self.tell(path, 0, "it is larger than %d KiB" % (SIZE_LIMIT // 1024))
                return None
        if b"\0" in data:
            return None
        return data.decode("utf-8", "replace")

    def trusted(self, path: str, line: int = 0) -> bool:
        """Whether what a file says may be carried out: only root, or the own account, can have written it."""
        owner = self.host.owner(path)
        if owner is None:
            return True
        uid, gid, mode = owner
        why = ""
        if uid not in self.trusted_uids:
            why = "it belongs to the user %d" % uid
        elif mode & 0o002 or (mode & 0o020 and gid != 0):
            why = "others than its owner may write to it"
        if why:
            self.tell(path, line, "%s: what it says is not followed with this account's rights" % why)
        return not why

    def tell(self, path: str, line: int, why: str) -> None:
        entry = Unclear(Place(path, line), why)
        if entry not in self.unclear:
            self.unclear.append(entry)

    # The places

    def look(self) -> Discovery:
        for part in (self.resticprofile, self.autorestic, self.units, self.cron, self.environments):
            try:
                part()
            except RecursionError:
                self.tell(part.__name__, 0, "nested too deep")
        return self

    def resticprofile(self) -> None:
        for folder in discover_resticprofile.FOLDERS:
            place = folder.replace("~", self.home, 1)
            names = set(self.host.listdir(place)) if self.host.exists(place) else set()
            for name in discover_resticprofile.NAMES:
                if name in names:
                    text = self.text("%s/%s" % (place, name))
                    # The name alone is not resticprofile's.
                    if text is not None and ("repository" in text or "inherit" in text or "includes" in text):
                        self.resticprofile_file("%s/%s" % (place, name), text)
                        return

    def resticprofile_file(self, path: str, text: str | None = None) -> None:
        if path in self.seen:
            return
        self.seen.add(path)
        text = self.text(path) if text is None else text
        if text is None:
            self.tell(path, 0, "resticprofile's configuration cannot be read")
            return
        if not self.trusted(path):
            return

        def more(pattern: str) -> list[tuple[str, str | None]]:
            names = self.host.glob(pattern, 100) if any(mark in pattern for mark in "*?[") else [pattern]
            return [(name, self.text(name) if self.trusted(name) else None) for name in names if self.host.exists(name)]

        jobs, unclear = discover_resticprofile.read(path, text, more, self.host_name, self.home)
        self.jobs += jobs
        self.unclear += [entry for entry in unclear if entry not in self.unclear]

    def autorestic(self) -> None:
        for folder in discover_autorestic.FOLDERS:
            for name in discover_autorestic.NAMES:
                path = "%s/%s" % (folder.replace("~", self.home, 1), name)
                if self.host.exists(path):
                    self.autorestic_file(path)
        # Others may use it too: it is made for everybody's own files.
        for path in self.host.glob("/home/*/.autorestic.yml", 100):
            if path not in self.seen:
                self.autorestic_file(path)

    def autorestic_file(self, path: str) -> None:
        if path in self.seen:
            return
        self.seen.add(path)
        text = self.text(path)
        if text is None:
            self.tell(path, 0, "autorestic's configuration cannot be read")
            return
        if not self.trusted(path):
            return
        beside = path.rpartition("/")[0] + "/.autorestic.env"
        environment = self.text(beside, mention=False) if self.host.exists(beside) and self.trusted(beside) else None
        jobs, unclear = discover_autorestic.read(path, text, environment, self.home)
        self.jobs += jobs
        self.unclear += unclear

    def units(self) -> None:
        where: dict[str, str] = {}
        drop_ins: dict[str, dict[str, str]] = {}
        enabled: set[str] = set()
        for folder in UNIT_FOLDERS:
            for name in self.host.listdir(folder):
                path = "%s/%s" % (folder, name)
                if name.endswith((".service", ".timer")):
                    where.setdefault(name, path)
                elif name.endswith((".service.d", ".timer.d")):
                    for part in self.host.listdir(path):
                        if part.endswith(".conf"):
                            drop_ins.setdefault(name[:-2], {}).setdefault(part, "%s/%s" % (path, part))
                elif name.endswith((".wants", ".requires")):
                    enabled.update(self.host.listdir(path))
        instances = [
            name for name in {*enabled, *drop_ins} if "@" in name and not name.partition("@")[2].startswith(".")
        ]
        for name, path in sorted(where.items()):
            if not name.endswith(".service"):
                continue
            stem = name[: -len(".service")]
            names = [name]
            if stem.endswith("@"):
                chosen = {other.rpartition(".")[0] for other in instances if other.startswith(stem)}
                names = sorted(instance + ".service" for instance in chosen)
            own = path.startswith(("/etc/", "/run/", "/usr/local/"))
            parts = {**drop_ins.get(name, {})}
            if not own and not parts and not names:
                continue
            text = self.text(path, mention=own) or ""
            if not own and not parts and "restic" not in text:
                continue
            for instance in names or [name]:
                pieces = {**drop_ins.get(name, {}), **drop_ins.get(instance, {})}
                files = [(path, text), *((piece, self.text(piece) or "") for _n, piece in sorted(pieces.items()))]
                timer = instance[: -len(".service")] + ".timer"
                source = where.get(timer) or where.get(stem + ".timer")
                schedule = self.schedule(source) if source and (timer in enabled) else ""
                template = not names
                self.unit(parse_unit(instance, files), schedule, template)

    def schedule(self, path: str) -> str:
        keys = ("OnCalendar", "OnUnitActiveSec", "OnActiveSec", "OnBootSec")
        text = self.text(path) or ""
        return ", ".join(value for _line, section, key, value in settings(text) if section == "Timer" and key in keys)

    def unit(self, unit: Unit, schedule: str, template: bool) -> None:
        """What a service runs. A template without an instance only tells that it is not understood, if anything."""
        lines = " ".join(run.text for run in unit.runs) + " ".join(entry.text for entry in unit.environment)
        names_it = "restic" in lines
        home = self.home if unit.user in ("", "root", "0") else "/home/" + unit.user
        variables: dict[str, Any] = {"HOME": home}

        def filled(text: str) -> str | None:
            return specified(text, unit.name, self.host_name, home, unit.credentials)

        place = Place(unit.files[0], unit.runs[0].line if unit.runs else 0)
        if template:
            if names_it:
                self.tell(place.file, place.line, "a template of a unit of which no instance is enabled")
            return
        problems: list[tuple[str, int, str]] = []
        for entry in unit.environment:
            text = filled(entry.text)
            if text is None:
                problems.append((entry.file, entry.line, "a specifier of systemd that is not known here"))
                continue
            for key, value in _assignments(text):
                variables[key] = value
        for name in unit.environment_files:
            path = filled(name.lstrip("-"))
            if path is None:
                problems.append((place.file, place.line, "EnvironmentFile %s is not known here" % name))
                continue
            for file in self.host.glob(path, 20) if "*" in path else [path]:
                text = self.text(file, mention=names_it)
                if text is None:
                    if not name.startswith("-"):
                        problems.append((place.file, place.line, "EnvironmentFile %s cannot be read" % file))
                elif "RESTIC" not in text and not names_it:
                    continue
                elif self.trusted(file):
                    values, unclear = environment_file(text, systemd=True)
                    variables.update(values)
                    self.seen.add(file)
                    problems += [(file, line, why) for line, why in unclear]
        about = names_it or any(key.startswith("RESTIC_") for key in variables)
        if about and not all(self.trusted(file) for file in unit.files):
            return
        if about:
            for file, line, why in problems:
                self.tell(file, line, why)
        for run in unit.runs:
            text = filled(run.text)
            if text is None:
                if "restic" in run.text:
                    self.tell(run.file, run.line, "a specifier of systemd that is not known here")
                continue
            base = unit.directory or "/"
            self.shell(text, run.file, run.line - 1, dict(variables), Started("unit", unit.name, base, home, schedule))

    def cron(self) -> None:
        tables = [("/etc/crontab", True, "root")]
        tables += [("/etc/cron.d/" + name, True, "root") for name in self.host.listdir("/etc/cron.d")]
        for folder in CRONTABS:
            tables += [
                ("%s/%s" % (folder, name), False, name)
                for name in self.host.listdir(folder)
                if not (folder == "/var/spool/cron" and name in ("crontabs", "atjobs", "atspool", "lastrun", "tabs"))
            ]
        for path, with_user, user in tables:
            text = self.text(path, mention=False)
            if text is None:
                continue
            for line in parse_cron(text, with_user, user):
                mentions = "restic" in line.command or any(key.startswith("RESTIC_") for key in line.environment)
                if mentions and not self.trusted(path, line.line):
                    continue
                if not mentions and self.host.owner(path) is not None and not self._quietly_trusted(path):
                    continue
                home = self.home if line.user == "root" else "/home/" + line.user
                variables: dict[str, Any] = {"HOME": home, **line.environment}
                at = line.line - 1
                self.shell(line.command, path, at, variables, Started("cron", path, home, home, line.schedule))
        for folder in CRON_FOLDERS:
            for name in self.host.listdir(folder):
                path = "%s/%s" % (folder, name)
                schedule = "@" + folder.rpartition(".")[2]
                self.script(path, [], {"HOME": self.home}, Started("cron", path, "/", self.home, schedule))

    def _quietly_trusted(self, path: str) -> bool:
        count = len(self.unclear)
        trusted = self.trusted(path)
        del self.unclear[count:]
        return trusted

    def environments(self) -> None:
        for pattern in ENVIRONMENT_FILES:
            for path in self.host.glob(pattern, 100):
                if path in self.seen:
                    continue
                self.seen.add(path)
                text = self.text(path)
                if text is None or "RESTIC_REPOSITORY" not in text or not self.trusted(path):
                    continue
                values, unclear = environment_file(text)
                for line, why in unclear:
                    self.tell(path, line, why)
                if not values.get("RESTIC_REPOSITORY") and not values.get("RESTIC_REPOSITORY_FILE"):
                    continue
                line = text.count("\n", 0, text.find("RESTIC_REPOSITORY")) + 1
                words = [Word("restic"), Word("snapshots")]
                self.call(words, dict(values), Place(path, line), "environment", path, "/", self.home, "")

    # What is run

    def shell(self, text: str, path: str, offset: int, variables: dict[str, Any], started: Started) -> None:
        """Follow the commands of a text of a shell that stands in ``path`` after ``offset`` lines."""
        cwd, home = started.cwd, started.home
        before = len(self.jobs) + len(self.unclear)
        called = False
        try:
            for command in commands(text, variables):
                words, own = command_of(command.words)
                program = program_of(words)
                place = Place(path, command.line + offset)
                environment = {**command.environment, **own}
                if RESTIC.fullmatch(program):
                    called = True
                    self.call(words, environment, place, started.by, started.name, cwd, home, started.schedule)
                elif program == "resticprofile":
                    called = True
                    config = config_of(words)
                    if config:
                        self.wrapper(config, cwd, home, discover_resticprofile.NAMES, place)
                elif program == "autorestic":
                    called = True
                    config = config_of(words)
                    if config:
                        self.autorestic_file(absolute(config, cwd, home))
                elif program in ("cd", "pushd") and len(words) > 1:
                    cwd = absolute(words[1].text, cwd, home) if not words[1].unknown else cwd
                elif program in (".", "source"):
                    self.source(words, variables, place, cwd, home)
                else:
                    if started.depth < 1:
                        continue
                    further = started._replace(cwd=cwd, depth=started.depth - 1)
                    inner, script = shell_text(words), script_of(words)
                    if inner is not None:
                        self.shell(inner, path, place.line - 1, environment, further)
                        called = True
                    elif script is not None:
                        self.script(script[0], script[1], environment, further)
        except NotUnderstood as problem:
            if "restic" in text:
                self.tell(path, problem.line + offset, problem.why)
            return
        if not called and before == len(self.jobs) + len(self.unclear):
            line = _mention(text)
            if line:
                self.tell(path, line + offset, "restic is named here, and how it is called is not understood")

    def script(self, path: str, arguments: list[str], variables: dict[str, Any], started: Started) -> None:
        key = "\0".join([path, *arguments])
        if key in self.seen or path.startswith(_PACKAGED):
            return
        self.seen.add(key)
        text = self.text(path, mention=False)
        if text is None or "restic" not in text:
            return
        if not self.trusted(path):
            return
        first = text.split("\n", 1)[0]
        if text.startswith("#!") and not any(word in first for word in ("sh", "env -S bash")):
            if _mention(text):
                self.tell(path, _mention(text), "a program that is no script of a shell names restic")
            return
        exported = {key: value for key, value in variables.items() if not isinstance(value, (list, Unknown))}
        exported.update({str(number): word for number, word in enumerate(arguments, 1)})
        exported.update({"0": path, "@": arguments, "#": str(len(arguments))})
        self.shell(text, path, 0, exported, started)

    def source(self, words: list[Word], variables: dict[str, Any], place: Place, cwd: str, home: str) -> None:
        """A file that a script sources: what it sets is set in the script."""
        if len(words) < 2:
            return
        if words[1].unknown:
            self.hint(place, "a file that is sourced: %s" % words[1].unknown, variables)
            return
        path = absolute(words[1].text, cwd, home)
        text = self.text(path)
        if text is None:
            self.hint(place, "%s is sourced, and cannot be read" % path, variables)
            return
        if "RESTIC" in text or "restic" in text:
            if not self.trusted(path):
                return
            self.seen.add(path)
        try:
            for command in commands(text, variables):
                words, _own = command_of(command.words)
                if RESTIC.fullmatch(program_of(words)) and len(words) > 1:
                    self.call(words, command.environment, Place(path, command.line), "script", path, cwd, home, "")
        except NotUnderstood as problem:
            self.hint(Place(path, problem.line), problem.why, variables)

    @staticmethod
    def hint(place: Place, why: str, variables: dict[str, Any]) -> None:
        """Remember what may be why a repository is not known further down."""
        variables["\0hint"] = "%s (%s)" % (why, place)

    def wrapper(self, config: str, cwd: str, home: str, names: tuple[str, ...], place: Place) -> None:
        path = absolute(config, cwd, home)
        if "." not in path.rpartition("/")[2]:
            suffixes = [path + name[len("profiles") :] for name in names]
            path = next((candidate for candidate in suffixes if self.host.exists(candidate)), path)
        if not self.host.exists(path):
            self.tell(place.file, place.line, "resticprofile's configuration %s is not there" % path)
            return
        self.resticprofile_file(path)

    def call(
        self,
        words: list[Word],
        environment: dict[str, Any],
        place: Place,
        by: str,
        name: str,
        cwd: str,
        home: str,
        schedule: str,
    ) -> None:
        call = parse_call(words, environment, cwd, home)
        if call.subcommand in _HARMLESS:
            return
        location = call.access.location
        unclear = list(call.unclear)
        if not location and call.repository_file:
            path = absolute(call.repository_file, cwd, home)
            text = self.text(path) if self.trusted(path) else None
            location = (text or "").strip()
            if not location:
                unclear.append("the repository file %s cannot be read, or is empty" % path)
        if not location:
            hint = environment.get("\0hint")
            self.tell(place.file, place.line, "; ".join(unclear) + (": %s" % hint if hint else ""))
            return
        for why in unclear:
            self.tell(place.file, place.line, why)
        try:
            location = location_of(location, cwd, home)
        except NotUnderstood as problem:
            self.tell(place.file, place.line, problem.why)
            return
        access = call.access._replace(location=location)
        if place.file != name and by != "environment":
            name = "%s (%s)" % (name, place.file)
        self.jobs.append(Job(place, by, name, access, call.paths, call.tags, call.host, call.keep, schedule))


def found(jobs: list[Job]) -> list[Found]:
    """The repositories that the jobs name, each once, in the order in which they were seen.

    Of several ways to open one, that with a password counts.
    """
    by_location: dict[str, list[Job]] = {}
    for job in jobs:
        by_location.setdefault(job.access.location.rstrip("/") or "/", []).append(job)
    made = []
    for location, group in by_location.items():
        best = max(group, key=lambda job: _has_password(job.access))
        made.append(Found(location, best.access, tuple(group)))
    return made


def _has_password(access: Access) -> bool:
    return bool(access.password or access.password_file or access.password_command or access.insecure_no_password)


def _assignments(text: str) -> list[tuple[str, str]]:
    """The assignments of ``Environment=``: words with quotes around a whole one or a value; nothing is expanded."""
    pairs = []
    word, quote, words = "", "", []
    at = 0
    while at < len(text):
        sign = text[at]
        if quote:
            if sign == quote:
                quote = ""
            elif sign == "\\" and at + 1 < len(text):
                at += 1
                word += text[at]
            else:
                word += sign
        elif sign in "\"'":
            quote = sign
        elif sign.isspace():
            words.append(word)
            word = ""
        else:
            word += sign
        at += 1
    words.append(word)
    for item in words:
        name, sign, value = item.partition("=")
        if sign and name:
            pairs.append((name, value))
    return pairs


def _mention(text: str) -> int:
    """The first line that calls restic by the look of it; 0 when none does. Comments do not."""
    for number, line in enumerate(text.split("\n"), 1):
        code = line.split("#", 1)[0] if not line.lstrip().startswith("#!") else ""
        if "restic" in code and any(word in code for word in _SUBCOMMANDS):
            return number
    return 0
