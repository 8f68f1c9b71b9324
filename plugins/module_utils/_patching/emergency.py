# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emergency over many hosts: who has something to do, in which ring, when that stops, and the report. Pure.

An answer is the result of patch_plan for one host, as Ansible registered it: also ``unreachable``, or ``failed`` with
``msg``. Nothing in it is believed to have its form, for a host may answer anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .._findings import clean_line
from .plan_exposure import SAFE, STATES, key_of, unknown
from .plan_options import errors_of_asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FAILED = "upkeep_emergency_failed"
"""The group of the hosts that failed, made while the rings are carried out."""
THROUGH = "upkeep_emergency_through_%d"
"""The group of the hosts of a ring that came through it."""
_ORDER = {"exposed": 0, "not_known": 1, "mitigated": 2, "patched": 3, "not_installed": 4}
_SHARE = re.compile(r"(\d{1,3})%")


def errors_of(asked: Mapping[str, Any]) -> list[str]:
    """What is wrong with what was asked for: one sentence each. See :func:`keys_of` for ``asked``."""
    cves, packages = asked["cves"], asked["packages"]
    if bool(cves) == bool(packages):
        found = "both" if cves else "neither"
        return [
            "expected either -e cve=CVE-2026-12345 (several with commas), or -e package=NAME and, if it is to have "
            "one at least, -e version=VERSION; found %s" % found
        ]
    nameless = [package for package in packages if not package.get("name")]
    if nameless:
        return ["expected -e package=NAME with -e version=%s; found no package"
                % clean_line(nameless[0].get("version") or "", 60)]  # fmt: skip
    errors = errors_of_asked(cves, packages) + _ring_errors(asked["rings"]) + _limit_errors(asked["max_failures"])
    return errors + _mitigation_errors(asked["mitigations"])


def _mitigation_errors(mitigations: Any) -> list[str]:
    errors, names = [], set()
    for one in _list(mitigations):
        name = _dict(one).get("name")
        told = "emergency_patch_mitigations: %s " % clean_line(name or one, 60)
        if not isinstance(name, str) or not _list(_dict(one).get("cves")):
            errors.append(told + "needs a name, and cves that it stands in for")
        elif name in names:
            errors.append(told + "is there twice")
        elif bool(one.get("tasks")) != bool(one.get("undo_tasks")) or (one.get("tasks") and not one.get("check")):
            errors.append(told + "needs tasks, undo_tasks and a check together, for what was put in is lifted again")
        names.add(str(name))
    return errors


def _ring_errors(rings: Any) -> list[str]:
    expected = "emergency_patch_rings: expected a list of numbers and percentages such as [1, 10%, 100%], found "
    if not isinstance(rings, list) or not rings:
        return [expected + clean_line(rings, 60)]
    return [expected + clean_line(entry, 60) for entry in rings if _size(entry, 100) is None]


def _limit_errors(limit: Any) -> list[str]:
    if _size(limit, 100) is None and str(limit) not in ("0", "0%"):
        told = clean_line(limit, 60)
        return ["emergency_patch_max_failures: expected a number or a percentage such as 2%%, found %s" % told]
    return []


def names_of(given: Any) -> list[str]:
    """The names of CVEs as they are looked for: of a list, or of a text with commas."""
    entries = given.split(",") if isinstance(given, str) else given if isinstance(given, (list, tuple)) else [given]
    return list(dict.fromkeys(str(entry).strip().upper() for entry in entries if str(entry).strip()))


def keys_of(cves: Iterable[str], packages: Iterable[Mapping[str, Any]]) -> list[str]:
    """The keys of what was asked for."""
    return [*cves, *map(key_of, packages)]


def _size(entry: Any, total: int, up: bool = True) -> int | None:
    """So many of ``total`` (a number, or a part, rounded up or down); None when it is neither."""
    text = str(entry).strip()
    share = _SHARE.fullmatch(text)
    if share and 0 < int(share.group(1)) <= 100:
        return -(-total * int(share.group(1)) // 100) if up else total * int(share.group(1)) // 100
    return int(text) if text.isdigit() and len(text) < 7 and int(text) > 0 else None


# -- what there is to do -------------------------------------------------------


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else []


def is_answer(answer: Any) -> bool:
    """Whether a host has answered the question."""
    told = _dict(answer)
    return not told.get("unreachable") and not told.get("failed") and isinstance(told.get("exposure"), dict)


def exposures(answer: Any, keys: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """The exposure of a host to each key: not known where it did not tell."""
    told = _dict(answer)
    why = "nobody has asked it"
    if told.get("unreachable"):
        why = "it does not answer"
    elif told.get("failed"):
        why = "it could not be asked: %s" % clean_line(told.get("msg") or "no reason was given", 300)
    found = {}
    for key in keys:
        one = _dict(_dict(told.get("exposure")).get(key)) if is_answer(answer) else {}
        found[key] = one if one.get("state") in STATES else unknown(why)
    return found


def is_safe(answer: Any, keys: Iterable[str]) -> bool:
    """Whether a host is not exposed to any of the keys, as it says itself."""
    return all(one["state"] in SAFE for one in exposures(answer, keys).values())


def work(answer: Any, keys: Iterable[str], offered: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What there is to do on a host: ``patch``, ``mitigate`` and ``lift`` (names of mitigations), and whether ``any``.

    ``exposing``: of each mitigation to put in, the packages that expose the host, with their versions.

    ``offered`` are the mitigations that may be put in where no patch can be had, each with ``name`` and ``cves``.
    """
    done: dict[str, Any] = {"patch": False, "mitigate": [], "exposing": {}, "lift": [], "any": False}
    if not is_answer(answer):
        return done
    told = exposures(answer, keys)
    plan = _dict(_dict(answer).get("plan"))
    unsafe = {key: one for key, one in told.items() if one["state"] in ("exposed", "mitigated")}
    done["patch"] = bool(unsafe) and (bool(plan.get("packages")) or any(one.get("reboot") for one in unsafe.values()))
    bare = [key for key, one in unsafe.items() if one["state"] == "exposed" and not _has_patch(one, plan)]
    for one in offered:
        found = [unsafe[key] for key in bare if key in one["cves"]]
        if found:
            done["mitigate"].append(one["name"])
            packages = [_dict(package) for told_of in found for package in _list(told_of.get("packages"))]
            done["exposing"][one["name"]] = {str(p.get("name")): str(p.get("installed")) for p in packages}
    there = [_dict(one) for one in _list(_dict(answer).get("mitigations"))]
    done["lift"] = [str(one.get("name")) for one in there if is_over(one, told)]
    done["any"] = bool(done["patch"] or done["mitigate"] or done["lift"])
    return done


def _has_patch(told: Mapping[str, Any], plan: Mapping[str, Any]) -> bool:
    if told.get("reboot"):
        return True
    packages = [_dict(package) for package in _list(told.get("packages"))]
    return bool(plan.get("packages")) and bool(packages) and all(package.get("candidate") for package in packages)


def is_over(mitigation: Mapping[str, Any], told: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether all that a mitigation stands in for is mended."""
    cves = _list(mitigation.get("cves"))
    return bool(cves) and all(key in told and told[key]["state"] in SAFE for key in cves)


def left_mitigations(answer: Any, keys: Iterable[str]) -> list[str]:
    """The mitigations of a host that are over."""
    return list(work(answer, keys, [])["lift"])


# -- rings ---------------------------------------------------------------------


def rings(hosts: Sequence[str], sizes: Iterable[Any], first: Iterable[str] = ()) -> dict[str, Any]:
    """The hosts that have something to do, in rings: ``order`` (all of them), ``sizes``, and ``of`` (host -> ring).

    ``first`` come first, the others in their own order. A part is one of all of them; what is left is the last ring.
    """
    wanted = set(first)
    order = [host for host in hosts if host in wanted] + [host for host in hosts if host not in wanted]
    made: list[int] = []
    left = len(order)
    for entry in sizes:
        size = min(left, _size(entry, len(order)) or 0)
        if size:
            made.append(size)
            left -= size
    if left:
        made.append(left)
    of: dict[str, int] = {}
    for number, size in enumerate(made):
        for host in order[len(of) : len(of) + size]:
            of[host] = number
    return {"order": order, "sizes": made, "of": of}


def why_stop(made: Mapping[str, Any], ring: int, groups: Mapping[str, Sequence[str]], limit: Any) -> str:
    """Why a ring is not begun, empty when it is: the failures of all rings before it count together."""
    failed = [host for host in groups.get(FAILED, []) if host in made["of"]]
    most = _size(limit, len(made["order"]), up=False) or 0
    if len(failed) > most:
        return "%d host(s) failed, which is more than emergency_patch_max_failures (%s): %s" % (
            len(failed), limit, ", ".join(failed[:5]),
        )  # fmt: skip
    for number in range(ring):
        if not groups.get(THROUGH % number):
            return "no host came through ring %d" % (number + 1)
    return ""


def gathered(
    names: Iterable[str], first: Iterable[Any], last: Iterable[Any], failed: Iterable[Any], stop: Iterable[Any]
) -> dict[str, dict[str, Any]]:
    """What :func:`report` takes, of lists of the same length."""
    parts = ("first", "last", "failed", "stop")
    return {name: dict(zip(parts, values)) for name, values in zip(names, zip(first, last, failed, stop))}


# -- the report ----------------------------------------------------------------


def report(
    hosts: Mapping[str, Mapping[str, Any]], keys: Sequence[str], began: float, now: float, applied: bool
) -> dict[str, Any]:
    """The report of all hosts, for people (``lines``, ``markdown``) and programs (``data``).

    ``hosts``: of each ``first`` and, when it was asked again, ``last`` (answers), ``failed`` (what went wrong) and
    ``stop`` (why its ring was not begun). Times are seconds since the epoch, by the controller's clock.
    """
    rows = [row for name in hosts for row in _rows(name, hosts[name], keys)]
    rows.sort(key=lambda row: (_ORDER[row["state"]], row["asked"], row["host"]))
    counts = {state: len({row["host"] for row in rows if row["state"] == state}) for state in _ORDER}
    data = {
        "format": 1, "asked": list(keys), "applied": applied, "began": began, "ended": now, "hosts_asked": len(hosts),
        "hosts_by_state": counts, "rows": rows,
    }  # fmt: skip
    head = _head(data)
    return {"data": data, "lines": [head, *_table(rows, applied)], "markdown": _markdown(head, rows, applied)}


def _rows(name: str, host: Mapping[str, Any], keys: Sequence[str]) -> list[dict[str, Any]]:
    first, last = host.get("first"), host.get("last") or host.get("first")
    before, after = exposures(first, keys), exposures(last, keys)
    # What it was patched with is in the plan of the first answer: the last one has nothing left to plan.
    plan = _dict(_dict(first).get("plan"))
    rows = []
    for key in keys:
        told, was = after[key], before[key]
        packages = _list(told.get("packages")) or _list(was.get("packages"))
        seen, done = (_number(_dict(answer).get("asked_at")) for answer in (first, last))
        mended = was["state"] in ("exposed", "mitigated") and told["state"] in SAFE
        relevant = bool(_list(was.get("packages")))
        rows.append({
            "host": clean_line(name, 200),
            "asked": key,
            "state": told["state"],
            "before": was["state"],
            "packages": [
                {part: clean_line(_dict(package).get(part) or "", 200)
                 for part in ("name", "installed", "fixed", "candidate")}
                for package in packages
            ],
            "plan": clean_line(plan.get("id") or "", 60) if relevant and _list(plan.get("packages")) else "",
            "services": [
                clean_line(_dict(one).get("unit"), 200) for one in _list(plan.get("services")) if relevant
            ],
            "reboot": relevant and bool(_dict(plan.get("reboot")).get("needed") or told.get("reboot")),
            "mitigations": [clean_line(one, 64) for one in _list(told.get("mitigations"))],
            "published": _number(told.get("published")) or _number(was.get("published")),
            "exposed_since": seen if was["state"] in ("exposed", "mitigated") else None,
            "patched_at": done if mended else None,
            "seconds_to_patch": max(0, round(done - seen)) if mended and done and seen else None,
            "why": "" if told["state"] in SAFE else _why(told, last, host),
        })  # fmt: skip
    return rows


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _why(told: Mapping[str, Any], answer: Any, host: Mapping[str, Any]) -> str:
    """Why a host is left: what went wrong, what stopped its ring, what keeps its patch away, or that there is none."""
    why = clean_line(told.get("why") or "", 300)
    if host.get("failed"):
        return clean_line(host["failed"], 500)
    if told["state"] == "not_known":
        return why
    if host.get("stop"):
        return "its ring was not begun: %s" % clean_line(host["stop"], 300)
    names = {str(_dict(package).get("name")) for package in _list(told.get("packages"))}
    kept = [
        "%s is %s: %s" % (entry.get("name"), str(entry.get("why")).replace("_", " "), entry.get("reason"))
        for entry in map(_dict, _list(_dict(_dict(answer).get("plan")).get("left_out")))
        if str(entry.get("name")).partition(":")[0] in names and entry.get("why") != "not_selected"
    ]
    if kept:
        return clean_line("; ".join(kept), 300)
    if told.get("reboot"):
        return "a reboot is due; " + why
    reasons = [clean_line(reason, 200) for reason in _list(_dict(answer).get("reasons"))]
    if not all(_dict(package).get("candidate") for package in _list(told.get("packages"))):
        doubt = ", as far as is known: %s" % reasons[0] if reasons else ""
        return "no repository of it has a patch%s; %s" % (doubt, why)
    return why


def _head(data: Mapping[str, Any]) -> str:
    counts = data["hosts_by_state"]
    said = ", ".join("%d %s" % (count, state.replace("_", " ")) for state, count in counts.items() if count)
    return "%s: %d host(s) asked; %s; %s" % (
        ", ".join(data["asked"]), data["hosts_asked"], said or "none", took(data["ended"] - data["began"]),
    )  # fmt: skip


def took(seconds: float) -> str:
    """A duration for a person: "42 s", "12 min", "3 h 5 min", "4 d 2 h"."""
    whole = max(0, round(seconds))
    if whole < 120:
        return "%d s" % whole
    if whole < 7200:
        return "%d min" % (whole // 60)
    if whole < 172800:
        return "%d h %d min" % (whole // 3600, whole % 3600 // 60)
    return "%d d %d h" % (whole // 86400, whole % 86400 // 3600)


def _cells(row: Mapping[str, Any], applied: bool) -> list[str]:
    packages = row["packages"]
    one = packages[0] if packages else {"name": "", "installed": "", "fixed": "", "candidate": ""}
    more = " (+%d)" % (len(packages) - 1) if len(packages) > 1 else ""
    services = ", ".join(row["services"][:2]) + (" (+%d)" % (len(row["services"]) - 2) if row["services"][2:] else "")
    cells = [
        row["host"], row["asked"], row["state"].replace("_", " "), one["name"] + more, one["installed"],
        one["fixed"] or ("none yet" if packages else ""), row["plan"],
        " + ".join(filter(None, [services, "reboot" if row["reboot"] else ""])),
    ]  # fmt: skip
    if applied:
        cells.append("" if row["seconds_to_patch"] is None else took(row["seconds_to_patch"]))
    since = "" if row["published"] is None or row["patched_at"] is None else (
        "%s after it was published" % took(row["patched_at"] - row["published"])
    )  # fmt: skip
    return [*cells, row["why"] or since]


_HEADS = ("host", "asked for", "state", "package", "installed", "fixed in", "plan", "restarts")


def _heads(applied: bool) -> list[str]:
    return [*_HEADS, *(["time to patch"] if applied else []), "why"]


def _table(rows: Sequence[Mapping[str, Any]], applied: bool) -> list[str]:
    table = [_heads(applied)] + [_cells(row, applied) for row in rows]
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]) - 1)]
    return [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths) if width), line[-1]]).rstrip()
        for line in table
    ]


def _markdown(head: str, rows: Sequence[Mapping[str, Any]], applied: bool) -> str:
    def line(cells: Iterable[str]) -> str:
        # What a host says must not become markup.
        return "| %s |" % " | ".join(re.sub(r"([\\|`*_<>\[\]#])", r"\\\1", cell) for cell in cells)

    heads = _heads(applied)
    body = [line(_cells(row, applied)) for row in rows]
    return "\n".join(["# " + re.sub(r"[\\`*_<>\[\]]", "", head), "", line(heads), "|---" * len(heads) + "|", *body, ""])
