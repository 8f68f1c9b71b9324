# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""autorestic's configuration (``.autorestic.yml``, formats 1 and 2): each location into each backend is a job. Pure."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from . import discover_yaml
from .discover_calls import absolute
from .discover_model import Access, Job, NotUnderstood, Place, Table, Unclear, environment_of, keep_of
from .discover_shell import environment_file

NAMES = (".autorestic.yml", ".autorestic.yaml")
FOLDERS = ("~", "~/.config/autorestic", "/etc/autorestic", "/etc")


def read(path: str, text: str, environment_text: str | None, home: str) -> tuple[list[Job], list[Unclear]]:
    """The jobs of a configuration, and what of it is not understood.

    ``environment_text`` is the file ``.autorestic.env`` beside it, None where there is none.
    """
    try:
        root = discover_yaml.read(text)
        if not isinstance(root, Table):
            raise NotUnderstood("it is no table of locations and backends", 1)
    except NotUnderstood as problem:
        return [], [Unclear(Place(path, problem.line), "autorestic's configuration: " + problem.why)]
    folder = path.rpartition("/")[0] or "/"
    beside = environment_file(environment_text)[0] if environment_text else {}
    unclear: list[Unclear] = []
    accesses: dict[str, Access] = {}
    places: dict[str, Place] = {}
    for name, backend in _tables(root.get("backends")):
        places[name] = Place(path, root["backends"].lines.get(name, 0))
        try:
            accesses[name] = _access(name, backend, beside, folder, home)
        except NotUnderstood as problem:
            unclear.append(
                Unclear(Place(path, problem.line or places[name].line), "the backend %s: %s" % (name, problem.why))
            )
    jobs: list[Job] = []
    for name, location in _tables(root.get("locations")):
        place = Place(path, root["locations"].lines.get(name, 0))
        try:
            jobs += _jobs(name, location, root.get("global"), accesses, places, place, folder, home)
        except NotUnderstood as problem:
            unclear.append(
                Unclear(Place(path, problem.line or place.line), "the location %s: %s" % (name, problem.why))
            )
    used = {job.name for job in jobs}
    jobs += [Job(places[name], "autorestic", name, access) for name, access in accesses.items() if name not in used]
    return jobs, unclear


def _tables(value: Any) -> list[tuple[str, Table]]:
    return (
        [(str(name), part) for name, part in value.items() if isinstance(part, Table)]
        if isinstance(value, Table)
        else []
    )


def _texts(value: Any) -> list[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value]) if item is not None]


def _access(name: str, backend: Table, beside: dict[str, str], folder: str, home: str) -> Access:
    kind, path = backend.get("type"), backend.get("path")
    if not isinstance(kind, str) or not isinstance(path, str) or not path:
        raise NotUnderstood("it has no type or no path")
    if "$" in path:
        raise NotUnderstood("its path holds a variable", backend.lines["path"])
    if kind == "local":
        location = absolute(path, folder, home)
    elif kind == "rest":
        rest = backend.get("rest")
        match = re.match(r"(https?://)(.*)", path)
        if isinstance(rest, Table) and rest.get("user") and match:
            path = "%s%s:%s@%s" % (
                match.group(1),
                quote(str(rest.get("user")), safe=""),
                quote(str(rest.get("password") or ""), safe=""),
                match.group(2),
            )
        location = "rest:" + path
    elif kind in ("b2", "azure", "gs", "s3", "sftp", "rclone", "swift"):
        location = "%s:%s" % (kind, path)
    else:
        raise NotUnderstood("its type %s is not known" % kind[:40], backend.lines["type"])
    environment: dict[str, str] = {}
    table = backend.get("env")
    if isinstance(table, Table):
        environment = {str(key).upper(): str(value) for key, value in table.items() if value is not None}
    # AUTORESTIC_<BACKEND>_<VARIABLE>, from the file beside the configuration
    prefix = "AUTORESTIC_%s_" % re.sub(r"[^A-Za-z0-9]", "_", name).upper()
    for key, value in beside.items():
        if key.startswith(prefix):
            environment[key[len(prefix) :]] = value
    password = str(backend["key"]) if backend.get("key") is not None else environment.get("RESTIC_PASSWORD")
    return Access(
        location,
        password,
        environment.get("RESTIC_PASSWORD_FILE"),
        environment.get("RESTIC_PASSWORD_COMMAND"),
        environment_of({key: value for key, value in environment.items() if not key.startswith("RESTIC_PASSWORD")}),
    )


def _jobs(
    name: str,
    location: Table,
    general: Any,
    accesses: dict[str, Access],
    places: dict[str, Place],
    place: Place,
    folder: str,
    home: str,
) -> list[Job]:
    options = location.get("options")
    options = options if isinstance(options, Table) else Table()
    keep: dict[str, int] = {}
    for holder in (general, options):
        forget = holder.get("forget") if isinstance(holder, Table) else None
        if isinstance(forget, Table):
            flat = {key: value[0] if isinstance(value, list) and value else value for key, value in forget.items()}
            keep.update(keep_of(flat))
    backup = options.get("backup")
    tags = _texts(backup.get("tag", [])) if isinstance(backup, Table) else []
    hosts = _texts(backup.get("host", [])) if isinstance(backup, Table) else []
    sources = _texts(location.get("from"))
    if location.get("type") == "volume" or any(source.startswith("volume:") for source in sources):
        raise NotUnderstood("a volume of Docker, whose folder is not in the configuration")
    if any("$" in source for source in sources):
        raise NotUnderstood("a source that holds a variable", location.lines["from"])
    paths = tuple(absolute(source, folder, home) for source in sources)
    jobs = []
    for target in _texts(location.get("to")):
        if target not in accesses:
            if target in places:
                continue  # told above
            raise NotUnderstood("it goes to the backend %s, which is not there" % target[:80])
        schedule = str(location.get("cron") or "")
        tag = (*tags, "ar:location:" + name)
        jobs.append(
            Job(place, "autorestic", target, accesses[target], paths, tag, hosts[0] if hosts else None, keep, schedule)
        )
    return jobs
