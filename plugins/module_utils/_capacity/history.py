# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The small history of the filesystems that a host keeps for its own trend: read, add to, write. Pure.

The file is JSON: ``{"format": 1, "filesystems": {MOUNT: [[time, used, usable, inodes used, inodes], ...]}}``, times in
seconds since the epoch, sizes in bytes, oldest first. It is bounded: MOUNTS mount points, SAMPLES samples of each.
"""

from __future__ import annotations

import json
from typing import Any

from .forecast import SPACING

FORMAT = 1
SAMPLES = 60
"""More than a year of weekly reviews; thinned evenly beyond that."""
MOUNTS = 200
"""Mount points that are kept: with SAMPLES of some 80 bytes each that is about 1 MB."""
KEEP_DAYS = 400
"""Days: when there are more than SAMPLES, those older than this - a year and a month - go first."""
SIZE_LIMIT = 4 * 1024 * 1024
"""Bytes; a full history takes about 1 MB, so a larger file is not ours."""


def decode(text: str | None) -> tuple[dict[str, list[list[float]]], str]:
    """The history in a text, and what is wrong with it (or nothing). None stands for no file: an empty history."""
    if text is None:
        return {}, ""
    if len(text) >= SIZE_LIMIT:
        return {}, "it is larger than %d bytes" % SIZE_LIMIT
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        return {}, "it is not JSON: %s" % error
    if (
        not isinstance(content, dict)
        or content.get("format") != FORMAT
        or not isinstance(content.get("filesystems"), dict)
    ):
        return {}, "it is not a history of format %d" % FORMAT
    history: dict[str, list[list[float]]] = {}
    for mount, samples in content["filesystems"].items():
        if not isinstance(samples, list) or not all(_is_sample(sample) for sample in samples):
            return {}, "the samples of %r are not lists of five numbers" % mount[:100]
        history[mount] = samples
    return history, ""


def _is_sample(sample: Any) -> bool:
    return (
        isinstance(sample, list)
        and len(sample) == 5
        and all(type(value) in (int, float) and 0 <= value < 1e30 for value in sample)
    )


def encode(history: dict[str, list[list[float]]], now: float) -> str:
    """The history as the text of its file, within its bounds: the mount points seen last are kept."""
    mounts = sorted(history, key=lambda mount: -history[mount][-1][0] if history[mount] else 0.0)[:MOUNTS]
    kept = {mount: thin(history[mount], now) for mount in sorted(mounts) if history[mount]}
    return json.dumps({"format": FORMAT, "filesystems": kept}, separators=(",", ":")) + "\n"


def add(history: dict[str, list[list[float]]], mount: str, sample: list[float]) -> None:
    """Add the newest sample. Runs shortly after one another share a place: the last one before it gives way."""
    samples = history.setdefault(mount, [])
    if len(samples) > 1 and 0 <= sample[0] - samples[-2][0] < SPACING:
        samples.pop()
    samples.append(sample)
    samples.sort()


def merge(history: dict[str, list[list[float]]], given: list[dict[str, Any]]) -> None:
    """Add samples that were handed in (the module's option ``samples``); those that the history has are not doubled."""
    for entry in given:
        samples = history.setdefault(entry["mount"], [])
        if not any(sample[0] == entry["time"] for sample in samples):
            usable, files = entry.get("usable_bytes") or 0, entry.get("inodes_usable") or 0
            samples.append([entry["time"], entry["used_bytes"], usable, entry.get("inodes_used") or 0, files])
            samples.sort()


def thin(samples: list[list[float]], now: float) -> list[list[float]]:
    """At most SAMPLES of the samples. Those too old or of the future go first - a clock may be wrong, so only then -
    and then whichever leaves the smallest gap. The newest stays."""
    samples = list(samples)
    strange = [sample for sample in samples[:-1] if not now - KEEP_DAYS * 86_400 <= sample[0] <= now]
    while len(samples) > SAMPLES:
        if strange:
            samples.remove(strange.pop(0))
            continue
        gaps = [(later[0] - earlier[0], place + 1) for place, (earlier, later) in enumerate(zip(samples, samples[2:]))]
        samples.pop(min(gaps)[1])
    return samples
