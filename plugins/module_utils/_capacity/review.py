# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The review of a host's capacity: gather, add to the history, look ahead, judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._findings import NotApplicable, Review, plain
from .._host import AS_ROOT
from . import history as store
from .forecast import forecast
from .gather import gather
from .judge_disks import judge_disks, raise_for_rights
from .judge_filesystems import judge_filesystems
from .judge_machine import judge_machine
from .judge_services import judge_services
from .words import day

if TYPE_CHECKING:
    from .._host import Host

TOLD = 100
"""Filesystems, units and certificates that the result tells in detail; findings are told of all."""


def review(host: Host, options: dict[str, Any]) -> dict[str, Any]:
    """The whole result of ``capacity_info``; ``options`` are those of its argument spec, and ``check_mode``.

    Reads, and writes one thing: the history file, unless ``history`` is off or ``check_mode`` is on.
    """
    made = Review("capacity")
    facts = gather(host, options)
    now = facts["now"]
    filesystems = facts["filesystems"]["filesystems"] if isinstance(facts["filesystems"], dict) else []
    told, history, problem = _foresee(host, options, filesystems, now)
    judge_filesystems(made, facts, options, now)
    judge_machine(made, facts, options)
    judge_services(made, facts, options, now)
    judge_disks(made, facts, options)
    if options["history"]:
        # At last: other checks say better that the account has not the rights.
        with made.check("capacity.history.unusable", options["history_path"]):
            _write(made, host, options, history, problem, now, told)
    details = {name: plain(value) for name, value in _details(facts, filesystems).items()}
    return dict(details, history=told, **made.result())


def _foresee(
    host: Host, options: dict[str, Any], filesystems: list[dict[str, Any]], now: float
) -> tuple[dict[str, Any], dict[str, list[list[float]]], str]:
    """Give each filesystem its ``forecast``.

    Returns what the result tells of the history, the history with these figures, and what is wrong with its file.
    """
    path = options["history_path"]
    told: dict[str, Any] = {"path": path, "written": False}
    history: dict[str, list[list[float]]] = {}
    problem = ""
    if options["history"]:
        data = host.read_bytes(path, store.SIZE_LIMIT)
        history, problem = store.decode(None if data is None else data.decode("utf-8", "replace"))
        if data is None and (host.exists(path) or host.denied(path)):
            problem = "it cannot be read"
    store.merge(history, options["samples"])
    for entry in filesystems:
        entry["forecast"] = entry["inodes_forecast"] = None
        if entry["read_only"]:
            continue
        usable = entry["used_bytes"] + entry["available_bytes"]
        sample = [now, entry["used_bytes"], usable, entry["inodes_used"] or 0, entry["inodes"] or 0]
        store.add(history, entry["mount"], sample)
        entry["forecast"] = _forecast(history[entry["mount"]], 1, usable, now, options)
        if entry["inodes"]:
            entry["inodes_forecast"] = _forecast(history[entry["mount"]], 3, entry["inodes"], now, options)
    told["samples"] = max((len(history.get(entry["mount"], ())) for entry in filesystems), default=0)
    if not options["history"]:
        told["why"] = "the option history is off"
    return told, history, problem


def _write(
    made: Review,
    host: Host,
    options: dict[str, Any],
    history: dict[str, Any],
    problem: str,
    now: float,
    told: dict[str, Any],
) -> None:
    path = options["history_path"]
    aside = path + ".unusable"
    if problem and problem != "it cannot be read":
        moved = not options.get("check_mode") and host.rename(path, aside)
        told["set_aside"] = aside if moved else None
        made.found(
            "capacity.history.unusable",
            path,
            "low",
            "The history of the filesystems was of no use and begins anew: %s." % problem,
            ["kept as %s" % aside if moved else "left where it is"],
            "Nothing needs to be done, unless it comes again. Then see who else writes to %s." % path,
        )
        problem = "" if moved else problem
    if options.get("check_mode"):
        told["why"] = "check mode: nothing is written"
        raise NotApplicable("nothing is written in check mode", "Run without check mode.")
    error = problem or host.write(path, store.encode(history, now))
    told["written"] = not error
    if not error:
        return
    told["why"] = error
    if not host.is_root():
        # Without it, nobody will know when a filesystem is full.
        raise_for_rights(
            made,
            "the history cannot be kept in %s: %s" % (path, error),
            "%s Or set capacity_history_path to a place of your own." % AS_ROOT,
        )
    made.found(
        "capacity.history.unusable",
        path,
        "low",
        "The history of the filesystems cannot be kept: %s." % error,
        remedy="Set history_path to a place that can be written to, or history: false to do without a forecast.",
    )


def _forecast(
    samples: list[list[float]], column: int, limit: float, now: float, options: dict[str, Any]
) -> dict[str, Any]:
    told = forecast(
        [(sample[0], sample[column]) for sample in samples],
        limit,
        now,
        options["trend_min_samples"],
        options["trend_min_days"],
        options["trend_window_days"],
    )
    if told.get("full_at") is not None:
        told["full_on"] = day(float(told["full_at"]))  # type: ignore[arg-type] # forecast tells a number here
    return told


def _details(facts: dict[str, Any], filesystems: list[dict[str, Any]]) -> dict[str, Any]:
    """The figures beside the findings; what could not be had is None."""

    def had(name: str) -> Any:
        return None if isinstance(facts[name], Exception) else facts[name]

    units, certificates, disks, kernel = had("units"), had("certificates"), had("disks"), had("kernel")
    return {
        "container": facts["container"],
        "filesystems": filesystems[:TOLD],
        "filesystems_not_told": max(0, len(filesystems) - TOLD),
        "memory": had("memory"),
        "load": had("load"),
        "files": had("files"),
        "processes": had("processes"),
        "units": units and dict(units, failed=[unit["unit"] for unit in units["failed"][:TOLD]]),
        "clock": had("clock"),
        "kernel": kernel and dict(kernel, troubles=len(kernel["troubles"]), killed=len(kernel["killed"])),
        "raids": had("raids"),
        "disks": [disk["device"] for disk in disks.get("asked", [])] if disks else None,
        "certificates": certificates
        and [_certificate(entry) for entry in certificates["files"] if entry["certificates"]][:TOLD],
    }


def _certificate(entry: dict[str, Any]) -> dict[str, Any]:
    first = min(entry["certificates"], key=lambda certificate: certificate.not_after)
    return {"path": entry["path"], "used_by": entry["used_by"], "name": first.name, "not_after": day(first.not_after)}
