# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""resticprofile's configuration (formats 1 and 2, in TOML, YAML or JSON): its profiles as jobs. Pure.

After its documentation: the first of its folders that holds a file counts, files that are included are merged over it,
a profile is merged over the one that it inherits from, and paths are relative to the main file's folder, but for
repositories and sources, which are relative to ``base-dir``.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Callable

from . import discover_toml, discover_yaml
from .discover_calls import absolute, location_of
from .discover_model import Access, Job, NotUnderstood, Place, Table, Unclear, environment_of, keep_of
from .discover_shell import environment_file

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDERS = (
    *("~/.config/resticprofile", "/etc/xdg/resticprofile", "/usr/local/etc", "/usr/local/etc/restic"),
    *("/usr/local/etc/resticprofile", "/etc", "/etc/restic", "/etc/resticprofile", "/opt/local/etc"),
    *("/opt/local/etc/restic", "/opt/local/etc/resticprofile", "~"),
)
NAMES = ("profiles.conf", "profiles.yaml", "profiles.toml", "profiles.json", "profiles.hcl")

_SECTIONS = frozenset({"version", "includes", "global", "groups", "mixins", "schedules", "$schema", "profiles"})
_TEMPLATE = re.compile(r"\{\{-?\s*(.*?)\s*-?\}\}", re.S)
_UNKNOWN = re.compile("\x01([^\x01]*)\x01")
_VARIABLE = re.compile(r"\$\{?[A-Za-z_][A-Za-z0-9_]*\}?")


def read(
    path: str, text: str, more: Callable[[str], list[tuple[str, str | None]]], host_name: str, home: str
) -> tuple[list[Job], list[Unclear]]:
    """The jobs of a configuration, and what of it is not understood.

    ``more`` gives the files that a pattern names, with their texts (None: it cannot be read).
    """
    unclear: list[Unclear] = []
    folder = path.rpartition("/")[0] or "/"
    try:
        root = _parsed(path, text, host_name, home)
    except NotUnderstood as problem:
        return [], [Unclear(Place(path, problem.line), "resticprofile's configuration: " + problem.why)]
    files: dict[int, str] = {}
    _owner(root, path, files)
    for pattern in _list(root.get("includes")):
        found = more(absolute(str(pattern), folder, home))
        if not found and "*" not in str(pattern):
            unclear.append(Unclear(Place(path, root.lines["includes"]), "%s is included, and not there" % pattern))
        for name, content in found:
            try:
                if content is None:
                    raise NotUnderstood("it cannot be read")
                included = _parsed(name, content, host_name, home)
            except NotUnderstood as problem:
                unclear.append(Unclear(Place(name, problem.line), "resticprofile's configuration: " + problem.why))
                continue
            _owner(included, name, files)
            _merge(root, included, files, lists=False)
    version = str(root.get("version", "1"))
    profiles = root.get("profiles") if version == "2" else root
    if not isinstance(profiles, Table):
        return [], unclear
    jobs: list[Job] = []
    for name in profiles:
        if version != "2" and name in _SECTIONS:
            continue
        place = Place(files.get(id(profiles.get(name)), path), profiles.lines.get(name, 0))
        try:
            job = _job(str(name), profiles, version, place, folder, home, more)
        except NotUnderstood as problem:
            where = Place(place.file, problem.line or place.line)
            unclear.append(Unclear(where, "resticprofile's profile %s: %s" % (name, problem.why)))
            continue
        if job is not None:
            jobs.append(job)
    return jobs, unclear


def _parsed(path: str, text: str, host_name: str, home: str) -> Table:
    suffix = path.rpartition(".")[2]
    text = _templates(text, path, host_name, home)
    if suffix in ("yaml", "yml"):
        value = discover_yaml.read(text)
    elif suffix in ("toml", "conf"):
        value = discover_toml.read(text)
    elif suffix == "json":
        value = _json(text)
    else:
        raise NotUnderstood("the format %s is not read here; TOML, YAML and JSON are" % suffix)
    if value is None:
        return Table()
    if not isinstance(value, Table):
        raise NotUnderstood("it is no table of profiles", 1)
    return value


def _json(text: str) -> Any:
    def table(pairs: list[tuple[str, Any]]) -> Table:
        made = Table()
        for key, value in pairs:
            at = text.find(json.dumps(key))
            made.put(key, value, text.count("\n", 0, max(0, at)) + 1)
        return made

    try:
        return json.loads(text, object_pairs_hook=table)
    except RecursionError as error:
        raise NotUnderstood("nested too deep") from error
    except ValueError as error:
        raise NotUnderstood("it is no JSON", getattr(error, "lineno", 0)) from error


def _templates(text: str, path: str, host_name: str, home: str) -> str:
    """The text with what Go's templates would put in where that is known here, and marks where it is not."""
    known = {
        ".Hostname": host_name,
        ".ConfigDir": path.rpartition("/")[0] or "/",
        ".Env.HOME": home,
        ".OS": "linux",
        ".Profile.Name": "\x02",
    }

    def value(match: re.Match[str]) -> str:
        word = match.group(1).strip()
        if word.startswith("/*"):
            return "\n" * match.group().count("\n")
        if re.match(r"(if|range|with|define|block|template|end|else|break|continue)\b", word):
            line = text.count("\n", 0, match.start()) + 1
            raise NotUnderstood("a template that is more than a value ({{ %s }})" % word[:60], line)
        return known.get(word, "\x01%s\x01" % re.sub(r"[^A-Za-z0-9_. ]", "?", word)[:60])

    return _TEMPLATE.sub(value, text)


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [] if value in (None, "", False) else [value]


def _owner(table: Any, path: str, files: dict[int, str]) -> None:
    """Remember in which file each table stands."""
    if isinstance(table, Table):
        files[id(table)] = path
        for value in table.values():
            if isinstance(value, Table) and id(value) not in files:
                _owner(value, path, files)


def _merge(into: Table, other: Table, files: dict[int, str], lists: bool) -> None:
    """Put one table over another. ``lists``: as format 1 inherits, element over element."""
    for key, value in other.items():
        there = into.get(key)
        if isinstance(there, Table) and isinstance(value, Table):
            _merge(there, value, files, lists)
        elif lists and isinstance(there, list) and isinstance(value, list):
            into.put(key, value + there[len(value) :], other.lines.get(key, 0))
        else:
            into.put(key, value, other.lines.get(key, 0))


def _copy(table: Table) -> Table:
    made = Table()
    for key, value in table.items():
        copied = _copy(value) if isinstance(value, Table) else list(value) if isinstance(value, list) else value
        made.put(key, copied, table.lines.get(key, 0))
    return made


def _inherited(name: str, profiles: Table, version: str, seen: tuple[str, ...] = ()) -> Table:
    profile = profiles.get(name)
    if not isinstance(profile, Table):
        raise NotUnderstood("it inherits from %s, which is not there" % name if seen else "it is no table")
    if name in seen or len(seen) > 20:
        raise NotUnderstood("it inherits from itself, by way of %s" % name)
    if "use" in profile:
        raise NotUnderstood("mixins (use) are not read here", profile.lines["use"])
    parent = profile.get("inherit")
    if not isinstance(parent, str) or not parent:
        return _copy(profile)
    made = _inherited(parent, profiles, version, (*seen, name))
    _over(made, profile, version)
    return made


def _over(into: Table, child: Table, version: str) -> None:
    for key, value in child.items():
        line = child.lines.get(key, 0)
        plain = key
        front = back = False
        if version == "2" and isinstance(key, str):
            back = key.endswith("...") or key.endswith("__APPEND")
            front = key.startswith("...") or key.endswith("__PREPEND")
            plain = re.sub(r"^\.\.\.|\.\.\.$|__APPEND$|__PREPEND$", "", key)
        there = into.get(plain)
        if isinstance(there, Table) and isinstance(value, Table):
            _over(there, value, version)
        elif back:
            into.put(plain, _list(there) + _list(value), line)
        elif front:
            into.put(plain, _list(value) + _list(there), line)
        elif version != "2" and isinstance(there, list) and isinstance(value, list):
            into.put(plain, value + there[len(value) :], line)
        else:
            into.put(plain, _copy(value) if isinstance(value, Table) else value, line)


def _job(
    name: str,
    profiles: Table,
    version: str,
    place: Place,
    folder: str,
    home: str,
    more: Callable[[str], list[tuple[str, str | None]]],
) -> Job | None:
    profile = _inherited(name, profiles, version)
    backup = profile.get("backup")
    backup = backup if isinstance(backup, Table) else None
    if backup is None and any(isinstance(other, Table) and other.get("inherit") == name for other in profiles.values()):
        return None  # what others are made of

    environment: dict[str, str] = {}
    for item in _list(profile.get("env-file")):
        for path, content in more(absolute(_known(item, name, profile, "env-file"), folder, home)):
            if content is None:
                raise NotUnderstood("its env-file %s cannot be read" % path, profile.lines["env-file"])
            environment.update(environment_file(content)[0])
    table = profile.get("env")
    if isinstance(table, Table):
        for key, value in table.items():
            environment[str(key).upper()] = _expanded(_known(value, name, table, key), environment, home)

    def text(key: str, variable: str = "") -> str | None:
        value = profile.get(key)
        if value in (None, False, ""):
            return environment.get(variable) or None
        return _expanded(_known(value, name, profile, key), environment, home)

    location = text("repository", "RESTIC_REPOSITORY")
    base = text("base-dir") or ""
    if location is None:
        file = text("repository-file", "RESTIC_REPOSITORY_FILE")
        if file is None:
            if backup is None:
                return None
            raise NotUnderstood("it backs up, and names no repository")
        contents = more(absolute(file, folder, home))
        if not contents or contents[0][1] is None:
            raise NotUnderstood("its repository-file %s cannot be read" % file)
        location = (contents[0][1] or "").strip()
    located = location_of(location, base or "\x03", home)
    if located.startswith("/\x03"):
        raise NotUnderstood("its repository %s is relative, and it has no base-dir" % location)
    password_file = text("password-file", "RESTIC_PASSWORD_FILE")
    access = Access(
        located,
        environment.get("RESTIC_PASSWORD"),
        absolute(password_file, folder, home) if password_file else None,
        text("password-command", "RESTIC_PASSWORD_COMMAND"),
        environment_of({key: value for key, value in environment.items() if not key.startswith("RESTIC_PASSWORD")}),
        tuple(str(item) for item in _list(profile.get("option"))),
        _in_folder(text("cacert", "RESTIC_CACERT"), folder, home),
        _in_folder(text("tls-client-cert"), folder, home),
        profile.get("insecure-tls") is True,
        profile.get("insecure-no-password") is True,
    )
    if password_file or access.password_command:
        access = access._replace(password=None)
    keep: dict[str, int] = {}
    for section in ("retention", "forget"):
        part = profile.get(section)
        if isinstance(part, Table) and not keep:
            keep = keep_of(part)
    paths: list[str] = []
    tags: list[str] = []
    host = None
    schedule = ""
    if backup is not None:
        root = str(backup.get("source-base") or base or "")
        if backup.get("stdin") is True or backup.get("stdin-command"):
            paths = ["/" + str(backup.get("stdin-filename") or "stdin").lstrip("/")]
        for item in [] if paths else _list(backup.get("source")):
            source = _expanded(_known(item, name, backup, "source"), environment, home)
            if not source.startswith(("/", "~")) and not root.startswith("/"):
                raise NotUnderstood(
                    "its source %s is relative, and it has no base-dir" % source, backup.lines["source"]
                )
            paths.append(absolute(source, root or "/", home))
        tags = [tag for item in _list(backup.get("tag")) if isinstance(item, str) for tag in item.split(",") if tag]
        host = backup.get("host") if isinstance(backup.get("host"), str) else None
        when = backup.get("schedule")
        when = when.get("at") if isinstance(when, Table) else when
        schedule = ", ".join(str(item) for item in _list(when))
    return Job(place, "resticprofile", name, access, tuple(paths), tuple(tags), host, keep, schedule)


def _in_folder(path: str | None, folder: str, home: str) -> str | None:
    return absolute(path, folder, home) if path else None


def _known(value: Any, profile: str, table: Table, key: Any) -> str:
    """A value as a text, with the profile's own name in it. Raises NotUnderstood where it holds what is not known."""
    if isinstance(value, (list, dict)) or value is None:
        raise NotUnderstood("%s is not a text" % key, table.lines.get(key, 0))
    text = ("true" if value else "false") if isinstance(value, bool) else str(value)
    unknown = _UNKNOWN.search(text)
    if unknown is not None:
        raise NotUnderstood("%s holds {{ %s }}" % (key, unknown.group(1)), table.lines.get(key, 0))
    return text.replace("\x02", profile)


def _expanded(text: str, environment: Mapping[str, str], home: str) -> str:
    """Variables of the environment in a value, as far as they are known."""

    def value(match: re.Match[str]) -> str:
        name = match.group().strip("${}")
        if name == "HOME":
            return home
        if name not in environment:
            raise NotUnderstood("the variable %s is not set in what could be read" % name)
        return environment[name]

    return _VARIABLE.sub(value, text)
