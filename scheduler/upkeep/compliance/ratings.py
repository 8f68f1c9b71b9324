# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the mirrored vulnerability data adds to missing patches: CVEs of Debian's packages, ratings, exploitation.

It is asked when things are judged, not when a host was looked at: what becomes known to be exploited today changes the
days of a patch that is missing since last week.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import CannotCheck
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.vulnerabilities import annotated
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.vulnerability_index import (
    DataError,
    Index,
    open_index,
)

from ..store.missing import ORDINARY, SEVERITIES, Episode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..store.pending import HostLook

REMEDY = "Mirror it again, or correct compliance.vulnerability_data; see docs/patching.md."


def rate(
    folder: str, hosts: Mapping[str, HostLook], episodes: Mapping[str, Sequence[Episode]]
) -> tuple[dict[str, list[Episode]], dict[str, float]]:
    """The episodes with what the data says, and since when CVEs are known to be exploited. Raises CannotCheck."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "upkeep"
    try:
        index = open_index(folder, str(cache))
    except (DataError, OSError) as error:
        raise CannotCheck(f"the vulnerability data cannot be used: {error}", REMEDY) from error
    try:
        known: dict[tuple[Any, ...], Episode] = {}
        rated = {host: [_rated(index, hosts.get(host), one, known) for one in some] for host, some in episodes.items()}
        return rated, _exploited(index, folder)
    finally:
        index.close()


def _rated(index: Index, host: HostLook | None, episode: Episode, known: dict[tuple[Any, ...], Episode]) -> Episode:
    if not episode.security or host is None:
        return episode
    # Thousands of hosts lack the same few hundred patches.
    key = (host.manager, host.release, episode.name, episode.installed, episode.candidate, episode.source,
           episode.source_version, episode.cves)  # fmt: skip
    if key not in known:
        known[key] = _asked(index, host, episode)
    said = known[key]
    return _with(episode, said)


def _asked(index: Index, host: HostLook, episode: Episode) -> Episode:
    about = [dict(index.about(cve), cve=cve, fixes=[]) for cve in episode.cves]
    if host.manager == "apt" and episode.source and host.release:
        about += index.of_source(host.release, episode.source)
    package = {
        "from": episode.source_version or episode.installed,
        "to": episode.candidate,
        "source": episode.source,
        "source_from": episode.source_version,
        "cves": list(episode.cves),
        "severity": "",
    }
    said = annotated(package, about, host.manager or "apt")
    clocks = {said["severity"]: 0.0} if said["severity"] else {}
    return replace(episode, cves=tuple(said["cves"]), clocks=clocks, exploited=bool(said["known_exploited"]))


def _with(episode: Episode, said: Episode) -> Episode:
    """What is rated worse is so since it is missing; what nobody rated is what the data says."""
    clocks = dict(episode.clocks)
    first = min(since for severity, since in clocks.items() if severity != ORDINARY)
    for severity in said.clocks:
        if SEVERITIES.index(severity) < SEVERITIES.index(episode.severity):
            clocks[severity] = min(first, clocks.get(severity, first))
            clocks.pop("unrated", None)
    return replace(episode, clocks=clocks, cves=said.cves)


def _exploited(index: Index, folder: str) -> dict[str, float]:
    """Since when each CVE of CISA's catalogue is in it, in seconds since the epoch."""
    found: dict[str, float] = {}
    for entry in index.files():
        if entry["kind"] != "kev":
            continue
        try:
            document = json.loads(Path(folder, entry["name"]).read_text(encoding="utf-8"))
            for one in document["vulnerabilities"]:
                day = datetime.fromisoformat(str(one.get("dateAdded") or "1970-01-01")).replace(tzinfo=UTC)
                found[str(one["cveID"]).strip()] = day.timestamp()
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            why = f"{entry['name']} cannot be read as CISA's catalogue ({type(error).__name__}: {error})"
            raise CannotCheck(why, REMEDY) from error
    return found
