# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading upkeep.yml: what may stand in it, and errors that name the file, the line and what was expected."""

from __future__ import annotations

import difflib
import io
import os
import re
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import ScalarNode

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line

from . import paths
from .calendar.config import (
    CalendarKeys,
    FreezeModel,
    HolidaysModel,
    after_wrong,
    freeze_of,
    freeze_wrong,
    holidays_of,
    holidays_wrong,
    with_calendar,
)
from .campaign.spec import CampaignModel, campaign_wrong, spec_of
from .compliance.config import ComplianceModel, compliance_wrong
from .compliance.config import settings as compliance_settings
from .config import BUILT_IN, Config, Job, system_zone
from .config_types import FROM_ELSEWHERE, Duration, ScheduleOf, SecretUrl, Strict, Tags, Texts, Zone
from .errors import UpkeepError
from .metrics.config import MetricsModel
from .metrics.config import settings as metrics_settings
from .notify.config import NotifyModel, unknown_names
from .notify.config import settings as notify_settings
from .outbox_config import OutboxModel
from .outbox_config import settings as outbox_settings
from .reconcile import GroupBy, Policy, Rule
from .service.config import SchedulerModel
from .service.config import settings as scheduler_settings
from .sla_config import HoursModel, SlaModel, sla_settings
from .ticketing.config import TicketSystemModel
from .ticketing.config import settings as ticket_systems_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SIZE_LIMIT = 1_000_000
"""Bytes of a configuration file."""
VALUES_LIMIT = 100_000
"""Values in it, aliases counted each time: a few lines of aliases of aliases can stand for billions."""
UNKNOWN = "unknown key"


class StoreModel(Strict):
    """Where runs and tickets are kept."""

    url: SecretUrl | None = None
    keep_days: Annotated[float, Field(gt=0)] | None = None
    keep_proofs_days: Annotated[float, Field(gt=0)] | None = None


class _RunKeys(Strict):
    """What a job runs."""

    playbook: str | None = None
    description: str | None = None
    inventory: Texts | None = None
    limit: str | None = None
    tags: Tags | None = None
    skip_tags: Tags | None = None
    extra_vars: dict[str, Any] | None = None
    check: bool | None = None
    time_limit: Duration | None = None
    forks: Annotated[int, Field(ge=1, le=1000)] | None = None
    schedule: ScheduleOf | None = None
    time_zone: Zone | None = None
    restart: Literal["never", "once"] | None = None


class JobModel(CalendarKeys, _RunKeys):
    """A job: what it runs, and when."""


class RuleModel(Strict):
    """What happens to the findings of some checks."""

    check: str
    group_by: GroupBy | None = None
    priority: Literal["P1", "P2", "P3"] | None = None
    ignore: bool | None = None


class TicketsModel(Strict):
    """How findings become tickets."""

    rules: list[RuleModel] = Field(default_factory=list)
    reopen_within: Duration | None = None


class FileModel(Strict):
    """upkeep.yml."""

    store: StoreModel | None = None
    inventory: Texts | None = None
    time_zone: Zone | None = None
    jobs: dict[str, JobModel | None] | None = None
    campaigns: dict[str, CampaignModel | None] | None = None
    compliance: ComplianceModel | None = None
    freezes: list[FreezeModel] | None = None
    holidays: HolidaysModel | None = None
    tickets: TicketsModel | None = None
    sla: SlaModel | None = None
    business_hours: HoursModel | None = None
    metrics: MetricsModel | None = None
    ticket_systems: dict[str, TicketSystemModel] | None = None
    outbox: OutboxModel | None = None
    notify: NotifyModel | None = None
    scheduler: SchedulerModel | None = None


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in the file. ``line`` counts from 1; 0 when it is about the file as a whole."""

    line: int
    key: str
    what: str
    expected: str
    found: str
    remedy: str = ""

    def error(self, path: Path, more: int = 0) -> UpkeepError:
        """As an error of the command."""
        remedy = self.remedy or "correct it"
        return UpkeepError(
            ":".join(
                filter(
                    None,
                    [str(path), str(self.line or ""), f" {self.key}: {self.what}" if self.key else f" {self.what}"],
                )
            ),
            expected=self.expected,
            found=self.found,
            remedy=remedy + (f"; {more} more problem(s): upkeep config check shows them all" if more else ""),
        )


def read(path: Path, home: Path) -> Config:
    """The configuration in a file. Raises UpkeepError (WRONG_USE) for the first problem in it."""
    config, problems = check(path, home)
    if config is None:
        raise problems[0].error(path, len(problems) - 1)
    return config


def check(path: Path, home: Path) -> tuple[Config | None, list[Problem]]:
    """The configuration, or None and all that is wrong with the file, by line."""
    tree, problem = _parse(path)
    if problem:
        return None, [problem]
    try:
        model, problems, gone = _valid(tree, _plain(tree))
    except RecursionError:
        return None, [
            Problem(
                0, "", "there is too much in it", f"at most {VALUES_LIMIT} values, aliases counted each time", "more"
            )
        ]

    def whole(*place: int | str) -> bool:
        """Whether nothing of a block was left out: only then what it says as a whole can be judged."""
        return not any(one[: len(place)] == place or place[: len(one)] == one for one in gone)

    jobs: dict[str, Job] = dict(BUILT_IN)
    names = sorted({*jobs, *_names_of(tree, "jobs")})
    are_jobs = ("jobs",) not in gone
    zone = model.time_zone or system_zone()
    holidays = holidays_of(model.holidays)
    for name, given in (model.jobs or {}).items():
        made = _job(name, given or JobModel(), path.parent, whole("jobs", name))
        if not isinstance(made, Job):
            problems.append(Problem(_line(tree, ("jobs", name)), f"jobs.{name}", *made))
            continue
        timed = with_calendar(made, given or JobModel(), bool(given and given.time_limit), holidays)
        if isinstance(timed, Job):
            jobs[name] = timed
        elif timed[0] != "holidays" or whole("holidays"):
            problems.append(_wrong(tree, ("jobs", name), timed))
    freezes = [freeze_of(given_freeze, zone) for given_freeze in model.freezes or ()]
    if whole("freezes"):
        for place, one in enumerate(freezes):
            frozen = [*names, *_names_of(tree, "campaigns")]
            wrong_freeze = [one] if isinstance(one, tuple) else freeze_wrong(one, frozen) if are_jobs else ()
            problems += [_wrong(tree, ("freezes", place), wrong) for wrong in wrong_freeze]
    if whole("holidays"):
        problems += [_wrong(tree, ("holidays",), wrong) for wrong in holidays_wrong(model.holidays)]
    problems += [_wrong(tree, ("jobs", name), wrong) for name, wrong in after_wrong(jobs, names)]
    notify, notify_wrong = notify_settings(model.notify, path.parent, names)
    if are_jobs and whole("notify", "channels") and whole("notify", "routes"):
        problems += [_wrong(tree, ("notify",), wrong) for wrong in notify_wrong]
        if whole("sla", "escalate"):
            steps = [tuple(one.to or ()) for one in (model.sla.escalate if model.sla else None) or ()]
            problems += [
                _wrong(tree, ("sla", "escalate", place), wrong) for place, wrong in unknown_names(model.notify, steps)
            ]
    ticket_systems, systems_wrong = ticket_systems_of(model.ticket_systems, path.parent)
    problems += [
        _wrong(tree, ("ticket_systems", name), wrong) for name, wrong in systems_wrong if whole("ticket_systems", name)
    ]
    campaigns = {}
    for name, campaign in (model.campaigns or {}).items():
        block = campaign or CampaignModel()
        playbook = _playbook(block.playbook, path.parent) if block.playbook else None
        campaigns[name] = spec_of(name, block, _sources(block.inventory, path.parent), playbook)
        if whole("campaigns", name):
            for at, *wrong_there in campaign_wrong(name, block, names):
                what, expected, found, remedy = wrong_there
                problems.append(_wrong(tree, ("campaigns", *at), ("", what, expected, found, remedy)))
    if model.compliance is not None and whole("compliance"):
        for at, *wrong_there in compliance_wrong(model.compliance, path.parent):
            what, expected, found, remedy = wrong_there
            problems.append(_wrong(tree, ("compliance", *at), ("", what, expected, found, remedy)))
    problems += _unreadable_inventories(tree, model, path.parent)
    hours, days_off = model.business_hours or HoursModel(), holidays if model.holidays else None
    sla = None
    try:
        sla = sla_settings(model.sla or SlaModel(), hours, days_off, zone)
    except ValueError as error:
        if whole("business_hours") and whole("holidays"):
            expected, _, found = str(error).partition(", found ")
            line = _line(tree, ("business_hours",))
            problems.append(Problem(line, "business_hours", "nobody would ever work", expected, found or "none"))
    if problems or sla is None:
        # A mistyped key makes two of them; the one that names it comes first.
        return None, sorted(problems, key=lambda one: (one.line, one.what != UNKNOWN))
    store = model.store or StoreModel()
    config = Config(
        path=path,
        home=home,
        inventory=_sources(model.inventory, path.parent),
        store_url=_store_url(store.url, path.parent),
        time_zone=zone,
        jobs=jobs,
        campaigns=campaigns,
        compliance=None if model.compliance is None else compliance_settings(model.compliance, zone, path.parent),
        freezes=tuple(one for one in freezes if not isinstance(one, tuple)),
        policy=_policy(model.tickets or TicketsModel()),
        sla=sla,
        metrics=metrics_settings(model.metrics or MetricsModel()),
        notify=notify,
        outbox=None if model.outbox is None else outbox_settings(model.outbox),
        ticket_systems=ticket_systems,
        scheduler=scheduler_settings(model.scheduler),
    )
    if store.keep_days is not None:
        config = replace(config, keep_days=store.keep_days)
    if store.keep_proofs_days is not None:
        config = replace(config, keep_proofs_days=store.keep_proofs_days)
    return config, []


def _valid(tree: Any, given: Any) -> tuple[FileModel, list[Problem], list[tuple[int | str, ...]]]:
    """The model of all that is valid in the file, what is wrong with the rest, and the places that were left out.

    So one mistyped key does not hide that a job comes after one that is not there.
    """
    problems: list[Problem] = []
    gone: list[tuple[int | str, ...]] = []
    while True:
        try:
            return FileModel.model_validate(given), problems, gone
        except ValidationError as error:
            items = error.errors(include_url=False)
        # What is missing only since something was left out is no second problem.
        problems += [_problem(tree, item) for item in items if not gone or item["type"] != "missing"]
        # The last item of a list first: the places of the others stay.
        for place in sorted({_left_out(given, item) for item in items}, key=_in_order, reverse=True):
            gone.append(place)
            block = given
            for part in place[:-1]:
                block = block[part]
            del block[place[-1]]


def _left_out(given: Any, item: Mapping[str, Any]) -> tuple[int | str, ...]:
    """The place of the smallest part of the file without which one of pydantic's errors is not there."""
    place: list[int | str] = []
    for part in item["loc"][: -1 if item["type"] == "missing" else None]:
        inside = part in given if isinstance(given, dict) else isinstance(given, list) and isinstance(part, int)
        if not inside:
            break
        place.append(part)
        given = given[part]
    return tuple(place)


def _in_order(place: tuple[int | str, ...]) -> list[tuple[int, str]]:
    return [(part, "") if isinstance(part, int) else (-1, part) for part in place]


def _names_of(tree: Any, section: str) -> list[str]:
    """The names in a section, also of what is wrong there."""
    block = tree.get(section)
    return [str(name) for name in block] if isinstance(block, dict) else []


def missing_playbooks(path: Path, config: Config) -> list[Problem]:
    """Jobs of a file that cannot run as long as their playbook is not there: no reason to refuse the rest of it."""
    tree, _ = _parse(path)
    named = [("jobs", job.name, job.playbook) for job in config.jobs.values()]
    named += [("campaigns", one.name, one.playbook) for one in config.campaigns.values()]
    return [
        Problem(
            _line(tree, (section, name, "playbook")),
            f"{section}.{name}.playbook",
            "the playbook is not there",
            f"the file {file}",
            "a folder" if file.is_dir() else "nothing of that name",
        )
        for section, name, playbook in named
        for file in [paths.playbook_file(playbook)]
        if file is not None and not file.is_file()
    ]


class _Constructor(RoundTripConstructor):
    """Leaves what only looks like a date (2026-13-45) a text: the models say, with its line, what is expected."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except YAMLError:
            raise
        except ValueError:
            if not isinstance(node, ScalarNode):
                raise
            self.recursive_objects.pop(node, None)
            self.constructed_objects[node] = node.value
            return node.value


def _parse(path: Path) -> tuple[Any, Problem | None]:
    """The file's content with the places of its keys, or what keeps it from being YAML."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        return None, Problem(0, "", "the file cannot be read", "a file that you may read", error.strerror or str(error))
    if len(raw) > SIZE_LIMIT:
        return None, Problem(0, "", "the file is too large", f"at most {SIZE_LIMIT} bytes", f"{len(raw)} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        return None, Problem(
            line, "", "the file is not UTF-8", "text in UTF-8", f"the byte 0x{raw[error.start]:02x}", "save it as UTF-8"
        )
    try:
        yaml = YAML(typ="rt")
        yaml.Constructor = _Constructor
        tree = yaml.load(io.StringIO(text))
    except DuplicateKeyError as error:
        key = re.search(r'found duplicate key "(.*?)"', error.problem or "")
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        first = _first_line_of(text, key[1], error) if key else None
        return None, Problem(
            line,
            key[1] if key else "",
            "the key is there twice",
            "each key once in its block",
            "a second one" + (f"; the first is in line {first}" if first else ""),
            "remove one of them",
        )
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 0
        shown = text.splitlines()[line - 1].strip() if 0 < line <= len(text.splitlines()) else ""
        if "\t" in (text.splitlines()[line - 1] if shown else ""):
            return None, Problem(
                line, "", "a tab stands here", "spaces: YAML does not indent by tabs", shown, "replace the tab"
            )
        said = ", ".join(filter(None, [error.context, error.problem]))
        return None, Problem(line, "", "this is not YAML", f"YAML ({said})", shown or "the end of the file")
    except RecursionError:
        return None, Problem(0, "", "it is nested too deeply", "a few levels", "hundreds of them")
    except (YAMLError, ValueError) as error:
        return None, Problem(0, "", "this is not YAML", "YAML", str(error).splitlines()[0][:200] if str(error) else "")
    if tree is None:
        return CommentedMap(), None  # empty, or only comments: all defaults
    if not isinstance(tree, CommentedMap):
        return None, Problem(
            1, "", "the file is not a mapping", "keys: " + ", ".join(FileModel.model_fields), _shown(_plain(tree))
        )
    return tree, None


def _first_line_of(text: str, key: str, error: DuplicateKeyError) -> int | None:
    mark = error.context_mark
    last = error.problem_mark.line if error.problem_mark else 0
    if mark is None:
        return None
    for number, line in enumerate(text.splitlines()[mark.line : last], mark.line + 1):
        if re.match(rf"\s*(- )?[\"']?{re.escape(key)}[\"']?\s*:", line):
            return number
    return None


def _plain(value: Any, left: list[int] | None = None) -> Any:
    """Without ruamel's own types: pydantic in strict mode takes only real ones. Raises RecursionError for too much."""
    left = [VALUES_LIMIT] if left is None else left
    left[0] -= 1
    if left[0] < 0:
        raise RecursionError
    if isinstance(value, dict):
        return {str(key): _plain(item, left) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, left) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    if isinstance(value, datetime):  # a time on the wall, without what ruamel keeps beside it
        return datetime.combine(value.date(), value.time())
    return value


def _wrong(tree: Any, block: Sequence[int | str], wrong: tuple[str, str, str, str, str]) -> Problem:
    """What an area found wrong in a block, at its key's line."""
    place = (*block, *filter(None, [wrong[0]]))
    return Problem(_line(tree, place), ".".join(map(str, place)), *wrong[1:])


def _problem(tree: Any, item: Mapping[str, Any]) -> Problem:
    """One of pydantic's errors in our words, at its line."""
    place = tuple(part for part in item["loc"] if part != "[key]")
    found = _shown(item.get("input"))
    kind = item["type"]
    key = _named(tree, place)
    line = _line(tree, place)
    if kind == "extra_forbidden":
        known = _known_keys(place[:-1])
        near = difflib.get_close_matches(str(place[-1]), known, 1)
        return Problem(
            line,
            key,
            UNKNOWN,
            f"one of {', '.join(known)}",
            str(place[-1]),
            f"did you mean {near[0]}?" if near else "correct or remove it",
        )
    if kind == "missing":
        return Problem(
            line,
            _named(tree, place[:-1]),
            f"{place[-1]} is missing",
            f"the key {place[-1]}",
            "no such key",
        )
    expected = _expected(kind, item)
    if FROM_ELSEWHERE in expected and isinstance(item.get("input"), str):
        found = "a text that is not shown here: it may be a secret"
    return Problem(line, key, "wrong value", expected, found)


def _named(tree: Any, place: Sequence[int | str]) -> str:
    """A place as the file has it: without what only its longer form has (``after: weekly``, ``duty: {env: X}``)."""
    words: list[str] = []
    for part in place:
        inside = isinstance(tree, dict) if isinstance(part, str) else isinstance(tree, list)
        if inside:
            words.append(str(part))
            try:
                tree = tree[part]
            except (KeyError, IndexError, TypeError):
                tree = None
    return ".".join(words)


def _expected(kind: str, item: Mapping[str, Any]) -> str:
    context = item.get("ctx") or {}
    if kind == "value_error":
        return str(context.get("error", item["msg"]))
    if kind == "literal_error":
        return f"one of {context['expected']}".replace(" or ", ", ")
    plain = {
        "string_type": "a text (in quotation marks when it looks like a number)",
        "bool_type": "true or false",
        "int_type": "a whole number",
        "float_type": "a number",
        "list_type": "a list (lines that begin with -)",
        "dict_type": "a mapping (key: value)",
        "model_type": "a mapping (key: value)",
        "model_attributes_type": "a mapping (key: value)",
        "greater_than": f"more than {_number(context.get('gt'))}",
        "less_than": f"less than {_number(context.get('lt'))}",
        "greater_than_equal": f"at least {_number(context.get('ge'))}",
        "less_than_equal": f"at most {_number(context.get('le'))}",
    }
    return plain.get(kind, str(item["msg"]))


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _known_keys(place: Sequence[int | str]) -> list[str]:
    """The keys that a block may have; the block is named by its place."""
    model: type[BaseModel] = FileModel
    for part in place:
        if isinstance(part, str) and part in model.model_fields:
            model = _block(model.model_fields[part].annotation) or model
    return [field.alias or name for name, field in model.model_fields.items()]


def _block(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation: its own, or that of a list's items or a mapping's values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_block, get_args(annotation))), None)


def _line(tree: Any, place: Sequence[int | str]) -> int:
    """The line of the key (or list item) at a place, or of the nearest block around it that is there. From 1."""
    line = 1
    node = tree
    for part in place:
        try:
            if isinstance(node, CommentedMap):
                key = next(key for key in node if str(key) == str(part))
                line = node.lc.key(key)[0] + 1
            elif isinstance(node, CommentedSeq) and isinstance(part, int):
                key = part
                line = node.lc.item(part)[0] + 1
            else:
                break
            node = node[key]
        except (StopIteration, KeyError, IndexError, TypeError):
            break
    return line


def _shown(value: Any) -> str:
    text = (
        {True: "true", False: "false", None: "nothing"}.get(value) if value is None or isinstance(value, bool) else None
    )
    kind = {str: "the text", int: "the number", float: "the number", list: "a list", dict: "a mapping", date: "a date"}
    name = kind.get(type(value), "") if text is None else ""
    shown = (
        repr(clean_line(value, 120))
        if isinstance(value, str)
        else text or ("" if isinstance(value, (list, dict)) else str(value))
    )
    return f"{name} {shown}".strip()


def _job(name: str, given: JobModel, folder: Path, whole: bool) -> Job | tuple[str, str, str, str]:
    """The job, or (what, expected, found, remedy). ``whole``: nothing of it was left out, its playbook neither."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        return "wrong name of a job", "letters, digits, - and _, at most 64", repr(name), "rename it"
    base = BUILT_IN.get(name)
    if given.playbook is None and base is None and whole:
        near = difflib.get_close_matches(name, BUILT_IN, 1)
        built_in = f"playbook may be left out for the built-in jobs only: {', '.join(BUILT_IN)}"
        return (
            "playbook is missing",
            "the key playbook",
            "no such key",
            f"did you mean {near[0]}?" if near else built_in,
        )
    job = replace(base, name=name) if base else Job(name, str(given.playbook))
    if given.playbook:  # of one that is not ours nothing is known
        job = replace(job, changes=given.playbook not in {one.playbook for one in BUILT_IN.values()})
    timing, timing_text = given.schedule or (None, "")
    changes: dict[str, Any] = {
        "playbook": _playbook(given.playbook, folder) if given.playbook else None,
        "description": given.description,
        "inventory": _sources(given.inventory, folder) or None,
        "limit": given.limit,
        "tags": tuple(given.tags) if given.tags else None,
        "skip_tags": tuple(given.skip_tags) if given.skip_tags else None,
        "extra_vars": given.extra_vars,
        "check": given.check,
        "time_limit": given.time_limit,
        "forks": given.forks,
        "schedule": timing,
        "schedule_text": timing_text or None,
        "time_zone": given.time_zone,
        "restart": given.restart,
    }
    return replace(job, **{key: value for key, value in changes.items() if value is not None})


def _playbook(given: str, folder: Path) -> str:
    """A path from the file's folder, or the full name of a collection's playbook."""
    looks_like_path = "/" in given or given.endswith((".yml", ".yaml"))
    return str((folder / Path(given).expanduser()).resolve()) if looks_like_path else given


def _sources(given: Sequence[str] | None, folder: Path) -> tuple[str, ...]:
    """Inventory sources; paths are from the file's folder, lists of hosts (``a,b,``) stay."""
    return tuple(source if "," in source else str(folder / Path(source).expanduser()) for source in given or ())


def _unreadable_inventories(tree: Any, model: FileModel, folder: Path) -> Iterator[Problem]:
    given: list[tuple[tuple[str, ...], list[str] | None]] = [(("inventory",), model.inventory)]
    given += [(("jobs", name, "inventory"), job.inventory) for name, job in (model.jobs or {}).items() if job]
    given += [(("campaigns", name, "inventory"), one.inventory) for name, one in (model.campaigns or {}).items() if one]
    for place, sources in given:
        for source in _sources(sources, folder):
            if "," not in source and not os.access(source, os.R_OK):
                found = "nothing of that name" if not os.path.lexists(source) else "one that you may not read"
                yield Problem(
                    _line(tree, place),
                    ".".join(place),
                    "the inventory is not there",
                    f"the file or folder {source}",
                    found,
                )


def _store_url(url: str | None, folder: Path) -> str | None:
    """A relative SQLite path is meant from the file's folder, wherever the URL comes from: made absolute here."""
    match = re.fullmatch(r"sqlite:///(?!/)(.+)", url or "")
    return f"sqlite:///{folder / Path(match[1]).expanduser()}" if match and match[1] != ":memory:" else url


def _policy(tickets: TicketsModel) -> Policy:
    rules = tuple(Rule(rule.check, rule.group_by, rule.priority, rule.ignore) for rule in tickets.rules)
    return Policy(rules) if tickets.reopen_within is None else Policy(rules, tickets.reopen_within)
