# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The transaction that apt would carry out: simulated by apt itself, on the host, with just the wanted versions.

`apt-get --simulate` takes no lock and works while somebody holds it. New recommended packages come along where the
host's settings say so, as with an ordinary upgrade; the plan lists them, and nothing but the plan is installed later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import apt_parse as parse
from .gather_apt import failed
from .model import Change, Problem, Resolved
from .plan_effects import CODE, code_path
from .plan_model import action_of
from .plan_search import search
from .plan_select import why_barred
from .versions import compare_deb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._host import Host
    from .model import Installed, Managed, Update
    from .plan_select import Selection, Wanted

SIMULATE = (
    "apt-get", "-q", "--simulate", "-o", "APT::Get::AutomaticRemove=0", "-o", "APT::Get::Show-User-Simulation-Note=0",
    "install",
)  # fmt: skip
TIMEOUT = 120.0
"""Seconds for one simulation: 120 packages out of 60,000 take 2."""
INFO = "/var/lib/dpkg/info"
SCRIPT_LIMIT = 256 * 1024
"""Bytes of a maintainer script that are read."""
RECORDS_A_CALL = 2000


class _Stop(Exception):  # noqa: N818 - it carries an outcome
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.why)
        self.problem = problem


def records(host: Host, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], parse.Record]:
    """What the archives' lists say of these (name, version); what they do not know is missing."""
    asked = ["%s=%s" % pair for pair in wanted]
    found: dict[tuple[str, str], parse.Record] = {}
    for start in range(0, len(asked), RECORDS_A_CALL):
        ran = host.run(["apt-cache", "-q", "show", "--no-all-versions", *asked[start : start + RECORDS_A_CALL]], 60)
        for record in parse.parse_records(ran.out):
            found.setdefault((record.name, record.version), record)
    return found


def candidates(host: Host, updates: Iterable[Update]) -> dict[str, tuple[str, str]]:
    """Version and source version that could be had, by the name of the installed package."""
    pairs = [(update.name, update.candidate) for update in updates]
    known = records(host, pairs)
    return {
        name: (version, known[(name.partition(":")[0], version)].source_version)
        for name, version in pairs
        if (name.partition(":")[0], version) in known
    }


def resolve(host: Host, known: Managed, selection: Selection, options: Mapping[str, Any]) -> Resolved:
    """What apt would do to bring what is wanted, as far as it can be brought together."""
    resolved = Resolved()
    if not selection.wanted:
        return resolved
    trial = _Trial(host, selection.barred, options["allow_removals"])
    try:
        kept, refused = search(selection.wanted, trial.refused)
        if kept:
            steps = trial.steps(kept)
            resolved.changes = _changes(host, known, steps)
    except _Stop as stop:
        resolved.problem = stop.problem
        return resolved
    for wanted, why in refused:
        kind, reason = why or ("kept_back", "too many others cannot be had either: it was not tried to the end")
        resolved.refused.append((wanted.name, kind, reason))
    for change in resolved.changes:
        if change.before:
            _take_files(host, resolved, change)
    return resolved


class _Trial:
    """Simulations, each remembered: the last acceptable one is the transaction."""

    def __init__(self, host: Host, barred: Mapping[str, str], allow_removals: bool) -> None:
        self.host = host
        self.barred = barred
        self.allow_removals = allow_removals
        self.sane = False
        self._seen: dict[tuple[str, ...], list[parse.Step]] = {}

    def steps(self, wanted: list[Wanted]) -> list[parse.Step]:
        key = _arguments(wanted)
        if key not in self._seen:
            refused = self.refused(wanted)
            if refused:
                raise _Stop(Problem("apt changed its mind while it was asked: %s" % refused[1], "Plan it once more."))
        return self._seen[key]

    def refused(self, wanted: list[Wanted]) -> tuple[str, str] | None:
        """Why apt would not do it, or we would not let it: the plan's word for it, and the reason."""
        arguments = _arguments(wanted)
        ran = self.host.run([*SIMULATE, *arguments], timeout=TIMEOUT)
        if ran.rc is None or ran.truncated or ran.rc == 127:
            raise _Stop(failed("apt-get --simulate install", ran, "Run it by hand and read what it says."))
        if ran.rc != 0:
            self._make_sure()
            lines = parse.refusal(ran.out, ran.err)
            return "kept_back", "; ".join(lines[:3]) or "apt cannot install it"
        steps, agrees = parse.parse_simulation(ran.out)
        if not agrees:
            raise _Stop(
                Problem(
                    "the output of `apt-get --simulate install` could not be read to its end",
                    "Report this as a fault of Upkeep, with the output of: apt-get --simulate install %s"
                    % " ".join(arguments[:5]),
                    ran.out.splitlines()[-10:],
                )
            )
        refused = self._judge(steps, {one.name.partition(":")[0] for one in wanted}, ran.out)
        if refused is None:
            self._seen[arguments] = steps
        return refused

    def _make_sure(self) -> None:
        """That it was these packages, and not apt itself that fails whatever it is asked for."""
        if self.sane:
            return
        ran = self.host.run(list(SIMULATE), timeout=TIMEOUT)
        if ran.rc != 0:
            raise _Stop(failed("apt-get --simulate install", ran, "Run it by hand and read what it says."))
        self.sane = True

    def _judge(self, steps: list[parse.Step], asked: set[str], out: str) -> tuple[str, str] | None:
        removed = [step.name for step in steps if not step.new]
        if removed and (not self.allow_removals or "essential packages will be removed" in out.lower()):
            return "would_remove", "it would remove %s" % ", ".join(removed[:10])
        for step in steps:
            if step.name not in asked:
                barred = why_barred(step.name, self.barred)
                if barred:
                    return "kept_back", "it needs a change of %s, which is %s" % (step.name, barred)
            if step.old and step.new and compare_deb(step.new, step.old) < 0:
                return "kept_back", "it would downgrade %s to %s" % (step.name, step.new)
        return None


def _arguments(wanted: Iterable[Wanted]) -> tuple[str, ...]:
    return tuple("%s=%s" % (one.name, one.version) for one in wanted)


def _changes(host: Host, known: Managed, steps: list[parse.Step]) -> list[Change]:
    installed = {(package.name, package.arch): package for package in known.installed}
    told = records(host, [(_asked_as(step, known.native), step.new) for step in steps if step.new])
    changes = []
    for step in steps:
        if step.old == step.new:
            continue  # installed once more, because dpkg was interrupted in it: no change that can be planned
        now = _now(installed, step)
        record = told.get((step.name, step.new)) if step.new else None
        source, before, after = _source(now, record, step)
        sizes = (now.size if now else 0), (0 if not step.new else _bytes(record))
        changes.append(
            Change(
                step.name,
                step.arch or (now.arch if now else known.native),
                step.old,
                step.new,
                action_of(step.old, step.new, not step.old or compare_deb(step.new or "0", step.old) > 0),
                step.origin,
                source,
                before,
                after,
                record.download if record else 0 if not step.new else None,
                sizes[1] - sizes[0] if sizes[0] is not None and sizes[1] is not None else None,
            )
        )
    return changes


def _bytes(record: parse.Record | None) -> int | None:
    return None if record is None or record.size is None else record.size * 1024


def _asked_as(step: parse.Step, native: str) -> str:
    return step.name if step.arch in (native, "all", "") else "%s:%s" % (step.name, step.arch)


def _now(installed: Mapping[tuple[str, str], Installed], step: parse.Step) -> Installed | None:
    """The installed package of a step; its architecture may change to or from ``all``, and a removal has none."""
    if not step.old:
        return None
    same = [p for (name, _arch), p in installed.items() if name == step.name and p.version == step.old]
    return installed.get((step.name, step.arch)) or (same[0] if same else None)


def _source(now: Installed | None, record: parse.Record | None, step: parse.Step) -> tuple[str, str, str]:
    source = record.source if record else now.source if now else step.name
    before = now.source_version if now and now.source_version != step.old else ""
    after = record.source_version if record and record.source_version != step.new else ""
    return source, before, after


def _take_files(host: Host, resolved: Resolved, change: Change) -> None:
    """What the installed version owns and what its scripts do, from dpkg's own files."""
    stem = "%s/%s" % (INFO, change.name)
    if not host.exists(stem + ".list"):
        stem += ":" + change.arch
    for line in (host.read(stem + ".list") or "").splitlines():
        if line.startswith(CODE):
            resolved.owned[code_path(line)] = change.name
    scripts = [host.read(stem + suffix, SCRIPT_LIMIT) or "" for suffix in (".postinst", ".prerm")]
    if any(scripts):
        resolved.scripts[change.name] = "\n".join(scripts)
