# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section ``compliance`` as it may stand in upkeep.yml; only config_file.py imports this."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field

from ..config_types import Duration, Strict, Texts
from .settings import DAYS, KINDS, Excepted, Rule, Scope, Settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from zoneinfo import ZoneInfo

_CVE = re.compile(r"CVE-\d{4}-\d{4,19}")
_LONGEST = 366 * 3
"""Days: an exception or a limit beyond that is none that anybody looks at again."""


def _days(value: object) -> float | None:
    """A number of days, or never."""
    if value == "never":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= _LONGEST:
        raise ValueError(f"a number of days (more than 0, at most {_LONGEST}), or never")
    return float(value)


def _day(value: object) -> date:
    """A day, as YAML or a person writes it."""
    try:
        day = date.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        day = None
    if isinstance(day, date) and not isinstance(day, datetime) and 2000 <= day.year < 2100:
        return day
    raise ValueError("a day, as 2027-01-31 (it is the last one)")


def _cves(value: object) -> list[str]:
    values: list[Any] = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    names = [str(one).strip().upper() for one in values]
    if not names or not all(_CVE.fullmatch(name) for name in names):
        raise ValueError("a CVE, as CVE-2026-12345, or a list of CVEs")
    return names


def _reason(value: object) -> str:
    if not isinstance(value, str) or len(value.strip()) < 3:
        raise ValueError("why it is excepted: an auditor reads it")
    return value.strip()


Limit = Annotated[Any, BeforeValidator(_days)]


class DaysModel(Strict):
    """Days that a patch may be missing, by what it fixes."""

    known_exploited: Limit = 0
    critical: Limit = 0
    high: Limit = 0
    medium: Limit = 0
    low: Limit = 0
    unrated: Limit = 0
    ordinary: Limit = 0

    def given(self) -> dict[str, float | None]:
        """Those that the file names (no default passes the validator, so that never is one of them)."""
        return {name: getattr(self, name) for name in KINDS if name in self.model_fields_set}


class RuleModel(Strict):
    """Days of its own for some hosts."""

    groups: Texts | None = None
    hosts: Texts | None = None
    days: DaysModel


class ExceptionModel(Strict):
    """What may be missing until a day."""

    groups: Texts | None = None
    hosts: Texts | None = None
    packages: Texts | None = None
    cves: Annotated[list[str], BeforeValidator(_cves)] | None = None
    reason: Annotated[str, BeforeValidator(_reason)]
    until: Annotated[Any, BeforeValidator(_day)]


class ScopeModel(Strict):
    """Some hosts."""

    groups: Texts | None = None
    hosts: Texts | None = None


class ComplianceModel(Strict):
    """In how many days hosts are to have their patches."""

    days: DaysModel | None = None
    rules: list[RuleModel] = Field(default_factory=list)
    exceptions: list[ExceptionModel] = Field(default_factory=list)
    leave_out: ScopeModel | None = None
    not_known_after: Duration | None = None
    warn_before: Duration | None = None
    vulnerability_data: str | None = None


Wrong = tuple[tuple[int | str, ...], str, str, str, str]
"""The place within the section; what, expected, found, remedy."""


def compliance_wrong(model: ComplianceModel, folder: Path) -> Iterator[Wrong]:
    """What each value allows, and together makes no sense."""
    for place, rule in enumerate(model.rules):
        if not rule.groups and not rule.hosts:
            expected, remedy = "groups or hosts that it is for", "days for all hosts belong into compliance.days"
            yield ("rules", place), "the rule is for nobody", expected, "neither", remedy
        if not rule.days.given():
            kinds = f"days for one of {', '.join(KINDS)}"
            yield ("rules", place, "days"), "the rule says nothing", kinds, "none", "name some, or take it out"
    seen: dict[tuple[Any, ...], int] = {}
    for place, one in enumerate(model.exceptions):
        at = ("exceptions", place)
        if bool(one.packages) == bool(one.cves):
            found = "both" if one.packages else "neither"
            yield at, "it is not clear what is excepted", "packages, or cves", found, "make two exceptions of both"
        if one.packages and any(not name.strip("*?") for name in one.packages):
            remedy = "name the packages; a host that is not patched at all belongs into a rule, with its days"
            yield (*at, "packages"), "everything is excepted", "names of packages", ", ".join(one.packages), remedy
        key = (*(tuple(some or ()) for some in (one.groups, one.hosts, one.packages, one.cves)),)
        if key in seen:
            found = f"the same as number {seen[key] + 1}"
            yield at, "the exception stands twice", "one for the same patches and hosts", found, "leave one"
        seen.setdefault(key, place)
    if model.leave_out is not None and not model.leave_out.groups and not model.leave_out.hosts:
        expected = "groups or hosts that there is no policy for"
        yield ("leave_out",), "it leaves out nobody", expected, "neither", "name some, or take it out"
    data = model.vulnerability_data
    if data is not None and not (folder / Path(data).expanduser()).is_dir():
        expected = f"the folder {folder / Path(data).expanduser()}"
        remedy = "mirror Debian's tracker, OSV or CISA's catalogue into it"
        yield ("vulnerability_data",), "the folder is not there", expected, "none of that name", remedy


def settings(model: ComplianceModel, zone: ZoneInfo, folder: Path) -> Settings:
    """As the rest of Upkeep uses it."""
    made: dict[str, Any] = {"days": _merged(DAYS, model.days)}
    made["rules"] = tuple(Rule(_scope(rule), _merged(made["days"], rule.days)) for rule in model.rules)
    made["exceptions"] = tuple(
        Excepted(_scope(one), tuple(one.packages or ()), tuple(one.cves or ()), one.reason, _end(one.until, zone))
        for one in model.exceptions
    )
    if model.leave_out is not None:
        made["leave_out"] = _scope(model.leave_out)
    for name in ("not_known_after", "warn_before"):
        if getattr(model, name) is not None:
            made[name] = getattr(model, name)
    if model.vulnerability_data is not None:
        made["vulnerability_data"] = str(folder / Path(model.vulnerability_data).expanduser())
    return Settings(**made)


def _merged(usual: Mapping[str, float | None], given: DaysModel | None) -> dict[str, float | None]:
    return {**usual, **(given.given() if given else {})}


def _scope(model: RuleModel | ExceptionModel | ScopeModel) -> Scope:
    return Scope(tuple(model.groups or ()), tuple(model.hosts or ()))


def _end(day: date, zone: ZoneInfo) -> float:
    """The end of a day."""
    return datetime.combine(day + timedelta(days=1), time(0), zone).timestamp()
