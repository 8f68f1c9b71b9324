# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section `ticket_systems` of upkeep.yml."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field

from ..config_types import FROM_ELSEWHERE, Duration, SecretUrl, Strict, Texts
from ..secret import SecretPlace
from .settings import KINDS, Format, OnGone, TicketSystemSettings

if TYPE_CHECKING:
    from collections.abc import Iterator

Wrong = tuple[str, str, str, str, str]
"""What is wrong: the key below the system's block, what, expected, found, remedy."""
KindName = Literal["itsm365", "servicenow", "jira", "glpi", "zammad", "redmine", "rt", "gitlab"]
PriorityName = Literal["P1", "P2", "P3"]

# They go into queries there: JQL, ServiceNow's encoded queries, RT's TicketSQL.
_SHAPES = {
    ("jira", "project"): (r"[A-Z][A-Z0-9_]{1,30}", 'the key of a project, as "OPS"'),
    ("jira", "key_field"): (r"labels|customfield_\d+", "labels, or customfield_NUMBER of a text field"),
    ("redmine", "key_field"): (r"\d{1,9}", "the number of a custom field, in quotation marks"),
    ("rt", "key_field"): (r"[\w .-]{1,60}", "the name of a custom field: letters, digits, space, . _ -"),
    ("servicenow", "key_field"): (r"[a-z][a-z0-9_]{0,79}", "the name of a column"),
    ("servicenow", "type"): (r"[a-z][a-z0-9_]{0,79}", 'the name of a table, as "incident"'),
    ("itsm365", "type"): (r"\w{1,60}(\$\w{1,60})?", 'a class, as "serviceCall$call"'),
    ("itsm365", "key_field"): (r"\w{1,60}", "the code of an attribute"),
    ("glpi", "key_field"): (r"\w{1,60}", "the name of a column of tickets"),
    ("glpi", "project"): (r"\d{1,9}", "the number of a group, in quotation marks"),
    ("glpi", "type"): (r"[12]", '"1" (incident) or "2" (request)'),
    ("glpi", "resolved"): (r"[1-6]", "the number of a state, in quotation marks"),
    ("glpi", "reopened"): (r"[1-6]", "the number of a state, in quotation marks"),
    ("gitlab", "key_field"): (r"description", "description: GitLab has no fields of one's own"),
    ("zammad", "key_field"): (r"[a-z][a-z0-9_]{0,59}", "the name of an attribute"),
    ("zammad", "customer"): (r"[^@\s]+@[^@\s]+", "an e-mail address"),
}


def _place(value: object) -> SecretPlace:
    """Where a secret stands. It is not read here: who only looks at tickets need not know it."""
    if isinstance(value, dict) and len(value) == 1:
        kind, name = next(iter(value.items()))
        if kind in ("env", "file") and isinstance(name, str) and name:
            return SecretPlace(kind, name)
    raise ValueError(f"{FROM_ELSEWHERE}: a secret does not belong into this file")


def _url(value: object) -> str:
    if isinstance(value, str):
        parts = urlsplit(value)
        if parts.scheme in ("http", "https") and parts.hostname and not (parts.username or parts.query):
            return value.rstrip("/")
    raise ValueError("an address that begins with https:// (or http://), without user, password and query")


def _values(value: object) -> object:
    """Templates are tried here, so that a broken one is told with its line."""
    texts = [value]
    while texts:
        one = texts.pop()
        if isinstance(one, dict):
            texts += one.values()
        elif isinstance(one, list):
            texts += one
        elif isinstance(one, str) and ("{{" in one or "{%" in one):
            from jinja2 import TemplateSyntaxError
            from jinja2.sandbox import SandboxedEnvironment

            try:
                SandboxedEnvironment().parse(one)
            except TemplateSyntaxError as error:
                raise ValueError(f"a text, or a Jinja2 template ({error.message})") from error
    return value


Place = Annotated[Any, BeforeValidator(_place)]
Url = Annotated[str, BeforeValidator(_url)]
Values = Annotated[dict[str, Any], BeforeValidator(_values)]
Mapped = Annotated[str | dict[str, Any], BeforeValidator(_values)]


class OnlyModel(Strict):
    """Which tickets go there."""

    priority: list[PriorityName] | None = None
    check: Texts | None = None
    host: Texts | None = None


class TicketSystemModel(Strict):
    """One ticket system."""

    kind: KindName
    url: Url
    token: Place | None = None
    app_token: Place | None = None
    user: str | None = None
    password: Place | None = None
    project: str | None = None
    type: str | None = None
    key_field: str | None = None
    customer: str | None = None
    priorities: dict[PriorityName, Mapped] | None = None
    fields: Values | None = None
    resolve_fields: Values | None = None
    reopen_fields: Values | None = None
    resolved: str | None = None
    before_resolved: str | None = None
    reopened: str | None = None
    done: list[str] | None = None
    waiting: list[str] | None = None
    format: Format | None = None
    private: bool | None = None
    ca_file: str | None = None
    proxy: SecretUrl | None = None
    timeout: Duration | None = None
    settle: Duration | None = None
    poll: Duration | None = None
    on_gone: OnGone | None = None
    only: OnlyModel | None = Field(default=None)


def settings(
    models: dict[str, TicketSystemModel] | None, folder: Path
) -> tuple[dict[str, TicketSystemSettings], list[tuple[str, Wrong]]]:
    """The systems by name, and what is wrong with which of them. ``folder``: of upkeep.yml."""
    wrong = [(name, one) for name, model in (models or {}).items() for one in _wrong(name, model, folder)]
    return ({} if wrong else {name: _settings(name, model, folder) for name, model in (models or {}).items()}), wrong


def _settings(name: str, model: TicketSystemModel, folder: Path) -> TicketSystemSettings:
    kind = KINDS[model.kind]
    usual = TicketSystemSettings(name, model.kind, model.url)
    only = model.only or OnlyModel()
    places = {key: getattr(model, key) for key in ("token", "app_token", "password") if getattr(model, key)}
    return TicketSystemSettings(
        name=name,
        kind=model.kind,
        url=model.url,
        places=places,
        user=model.user or "",
        project=model.project or "",
        type=model.type or kind.type,
        key_field=model.key_field or kind.key_field,
        customer=model.customer or "",
        priorities=dict(kind.priorities) | {str(key): value for key, value in (model.priorities or {}).items()},
        fields=model.fields or {},
        resolve_fields=model.resolve_fields or {},
        reopen_fields=model.reopen_fields or {},
        resolved=model.resolved or kind.resolved,
        before_resolved=model.before_resolved or "",
        reopened=model.reopened or kind.reopened,
        done=tuple(kind.done if model.done is None else model.done),
        waiting=tuple(kind.waiting if model.waiting is None else model.waiting),
        format=model.format or kind.format,
        private=kind.private if model.private is None else model.private,
        ca_file=str(_ca_file(model, folder) or ""),
        proxy=model.proxy or "",
        timeout=model.timeout or usual.timeout,
        settle=usual.settle if model.settle is None else model.settle,
        poll=model.poll or usual.poll,
        on_gone=model.on_gone or usual.on_gone,
        only_priorities=tuple(only.priority or ()),
        only_checks=tuple(only.check or ()),
        only_hosts=tuple(only.host or ()),
    )


def _wrong(name: str, model: TicketSystemModel, folder: Path) -> Iterator[Wrong]:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,49}", name):
        yield "", "wrong name of a ticket system", "letters, digits, - and _, at most 50", repr(name), "rename it"
    kind = KINDS[model.kind]
    for key in kind.needs:
        if not getattr(model, key):
            yield (
                key,
                f"{key} is missing",
                f"the key {key}, which {model.kind} needs",
                "no such key",
                _hint(model.kind, key),
            )
    if "token" not in kind.needs and not (model.token or (model.user and model.password)):
        found = "a user without a password" if model.user else "neither"
        yield "", "credentials are missing", "token, or user and password", found, f"token: {FROM_ELSEWHERE}"
    for (of, key), (shape, expected) in _SHAPES.items():
        given = getattr(model, key)
        if of == model.kind and given and not re.fullmatch(shape, given):
            yield key, "wrong value", expected, f"the text {given!r}", ""
    ca_file = _ca_file(model, folder)
    if ca_file and not os.access(ca_file, os.R_OK):
        yield "ca_file", "the file is not there", f"a file of certificates that can be read, {ca_file}", "none", ""


def _ca_file(model: TicketSystemModel, folder: Path) -> Path | None:
    return folder / Path(model.ca_file).expanduser() if model.ca_file else None


def _hint(kind: str, key: str) -> str:
    hints = {
        ("redmine", "key_field"): "the number of the custom field for our key: it stands in the address of its page",
        ("redmine", "type"): "the name of a tracker",
        ("zammad", "customer"): "the e-mail address on whose behalf tickets are opened",
        ("zammad", "project"): "the name of a group",
        ("rt", "project"): "the name of a queue",
        ("gitlab", "project"): 'the path of the project, as "group/name"',
        ("jira", "project"): 'the key of the project, as "OPS"',
    }
    return hints.get((kind, key), f"token: {FROM_ELSEWHERE}" if key == "token" else "")


assert get_args(KindName) == tuple(KINDS)
