# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: RUF001 - Russian letters that look like Latin ones are meant
"""From a message's content (view.py) to its words: title and body, in a channel's format and within its limits.

One template serves all formats: what comes from outside is escaped for the format, ``bold``, ``code`` and ``link`` are
written as it writes them, lines stay lines. A customer's folder may hold a file of the same name in place of each
(``ru/alarm.j2``), or one for a single format that is taken as it is (``ru/alarm.html.j2``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

from jinja2 import ChoiceLoader, FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import UNSAFE, clean_line

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Format = Literal["text", "markdown", "html"]

TEMPLATES = Path(__file__).parent / "templates"
KINDS = ("alarm", "digest", "test")

LATE = 600.0
"""Seconds after which a message says that it was delayed."""
TITLE_LIMIT = 200
"""Characters of a title, whatever the service allows: it is a line in a list."""
BODY_LIMIT = 32_000
"""Characters of a body, whatever the service allows: nobody reads more."""

_DAYS = {"en": ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"), "ru": ("пн", "вт", "ср", "чт", "пт", "сб", "вс")}
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_AND_MORE = {"en": "and {} more", "ru": "и ещё {}"}
_BROKEN = {
    "en": "The template {name} cannot be used ({why}); the built-in one was.",
    "ru": "Шаблон {name} не годится ({why}); использован встроенный.",
}


@dataclass(frozen=True)
class Rendered:
    """A message in words."""

    title: str
    body: str
    format: Format
    notes: tuple[str, ...] = ()
    """What was wrong with templates; it stands in the body too."""


class _Safe(str):
    """Markdown of ours: not escaped again."""

    __slots__ = ()


def render(
    payload: Mapping[str, Any],
    form: Format,
    sent: float,
    *,
    title_limit: int = TITLE_LIMIT,
    body_limit: int = BODY_LIMIT,
    folder: Path | None = None,
) -> Rendered:
    """The message, with as much detail as fits: evidence goes first, then remedies and hosts, then tickets.

    ``sent``: when it goes out (seconds since the epoch). ``body_limit``: characters, marks of the format included.
    ``folder``: the customer's templates.
    """
    notes: list[str] = []
    language = payload["language"] if payload["language"] in _DAYS else "en"
    title = _title(payload, language, sent, folder, notes)
    title = _shortened(title, min(title_limit, TITLE_LIMIT) if title_limit > 0 else TITLE_LIMIT)
    limit = min(body_limit, BODY_LIMIT)
    tickets = len(payload.get("tickets", ()))
    for detail, count in _levels(tickets):
        said = len(notes)
        body = _body(payload, language, form, sent, folder, notes, detail, count)
        notes = list(dict.fromkeys(notes[: said + 2]))
        whole = "\n".join([body, *(_line(note, form) for note in notes)]) if detail else body
        if len(whole) <= limit:
            return Rendered(title, whole, form, tuple(notes))
    # Not even one line of one ticket: its beginning, as plain text, whose end can be anywhere.
    plain = _body(payload, language, "text", sent, folder, notes, 0, 1)
    if form == "html":
        return Rendered(title, _shortened(str(escape(plain)), limit, html=True), form, tuple(notes))
    return Rendered(title, _shortened(plain if form == "text" else _markdown(plain), limit), form, tuple(notes))


def with_title(made: Rendered) -> str:
    """The body with the title before it, for services that have none."""
    if made.format == "html":
        return f"<b>{escape(made.title)}</b><br/>\n{made.body}"
    return f"**{_markdown(made.title)}**  \n{made.body}" if made.format == "markdown" else f"{made.title}\n{made.body}"


def _levels(tickets: int) -> list[tuple[int, int]]:
    """(detail, number of tickets), most first."""
    levels = [(2, tickets), (1, tickets), (0, tickets)]
    count = tickets
    while count > 1:
        count = count * 2 // 3
        levels.append((0, max(1, count)))
    return levels


def _title(payload: Mapping[str, Any], language: str, sent: float, folder: Path | None, notes: list[str]) -> str:
    made = _rendered(f"{payload['kind']}.title", payload, language, "text", sent, folder, notes, 0, None)
    return clean_line(" ".join(made.split()), 1000)


def _body(
    payload: Mapping[str, Any],
    language: str,
    form: Format,
    sent: float,
    folder: Path | None,
    notes: list[str],
    detail: int,
    count: int,
) -> str:
    return _rendered(payload["kind"], payload, language, form, sent, folder, notes, detail, count)


def _rendered(
    kind: str,
    payload: Mapping[str, Any],
    language: str,
    form: Format,
    sent: float,
    folder: Path | None,
    notes: list[str],
    detail: int,
    count: int | None,
) -> str:
    context = _context(payload, sent, detail, count)
    if folder is not None:
        for name, whole in ((f"{language}/{kind}.{form}.j2", True), (f"{language}/{kind}.j2", False)):
            try:
                made = _environment(form, language, context["zone"], str(folder)).get_template(name).render(context)
            except TemplateNotFound as error:
                if error.name != name:  # one that it includes
                    notes.append(_BROKEN[language].format(name=name, why=f"it includes {clean_line(error.name, 100)}"))
                continue
            except Exception as error:  # noqa: BLE001 - whatever a customer's template does, the message goes out
                notes.append(_BROKEN[language].format(name=name, why=_why(error)))
                continue
            return made.strip() if whole else _lines(made, form)
    made = _environment(form, language, context["zone"], "").get_template(f"{language}/{kind}.j2").render(context)
    return _lines(made, form)


def _why(error: Exception) -> str:
    line = getattr(error, "lineno", None)
    kind = "" if isinstance(error, TemplateError) else f"{type(error).__name__}: "
    return clean_line(f"{f'line {line}: ' if line else ''}{kind}{error}", 200)


def _context(payload: Mapping[str, Any], sent: float, detail: int, count: int | None) -> dict[str, Any]:
    made: dict[str, Any] = _tamed(dict(payload))
    shown = made.get("tickets", [])
    for ticket in shown:
        ticket.setdefault("since", None)
        ticket.setdefault("external", None)
        ticket.setdefault("learned_from", None)
    hosts = list(dict.fromkeys(host for ticket in shown for host in ticket["hosts"]))
    more_hosts = max((ticket["host_count"] for ticket in shown), default=0)
    made["hosts"], made["host_count"] = hosts, max(len(hosts), more_hosts)
    if count is not None:
        made["tickets"] = shown[:count]
    made["more"] = made.get("total", 0) - len(made.get("tickets", ()))
    made["detail"] = detail
    made["late"] = sent > made["at"] + LATE
    return made


_MENTION = re.compile(r"(?i)@(?=(?:everyone|here|channel|all|room|team)\b)")
_CHAT_COMMAND = re.compile(r"<(?=[!@#])")


def _tamed(value: Any) -> Any:
    """Texts in which nobody is called: a host's log must not wake a whole chat."""
    if isinstance(value, str):
        return _CHAT_COMMAND.sub("< ", _MENTION.sub("@ ", UNSAFE.sub("\N{REPLACEMENT CHARACTER}", value)))
    if isinstance(value, dict):
        return {key: _tamed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_tamed(item) for item in value]
    return value


# --- the formats ------------------------------------------------------------------------------------------------------


def _line(text: str, form: Format) -> str:
    return str(escape(text)) if form == "html" else _markdown(text) if form == "markdown" else text


def _lines(made: str, form: Format) -> str:
    """Lines as the format has them, without empty ones."""
    lines = [line.rstrip() for line in made.splitlines() if line.strip()]
    if form == "html":
        return "<br/>\n".join(re.sub("^ +", lambda found: "&nbsp;" * len(found[0]), line) for line in lines)
    return ("  \n" if form == "markdown" else "\n").join(lines)


def _markdown(text: str) -> str:
    r"""Text in which nothing is a mark of Markdown.

    Only what works in the middle of a line: many services show the backslash before anything else.
    """
    return re.sub(r"([\\`*_\[\]<>~|])", r"\\\1", text)


def _final(form: Format) -> Any:
    def final(value: Any) -> Any:
        if isinstance(value, (_Safe, Markup)) or not isinstance(value, str):
            return value
        return _Safe(_markdown(value)) if form == "markdown" else value

    return final


def _bold(form: Format) -> Any:
    def bold(value: object) -> str:
        if form == "html":
            return Markup("<b>{}</b>").format(value)
        return _Safe(f"**{_markdown(str(value))}**") if form == "markdown" else str(value)

    return bold


def _code(form: Format) -> Any:
    def code(value: object) -> str:
        if form == "html":
            return Markup("<code>{}</code>").format(value)
        return _Safe("`" + str(value).replace("`", "'") + "`") if form == "markdown" else str(value)

    return code


def _link(form: Format) -> Any:
    def link(value: object, url: str) -> str:
        if not re.fullmatch(r"https?://[^\s<>\"'`()\\]+", url):
            return str(value)
        if form == "html":
            return Markup('<a href="{}">{}</a>').format(url, value)
        return _Safe(f"[{_markdown(str(value))}]({url})") if form == "markdown" else f"{value} {url}"

    return link


def plural(number: int, *forms: str) -> str:
    """ "5 tickets" by (ticket, tickets); "5 заявок" by (заявка, заявки, заявок), by Russian's rules for numbers."""
    if len(forms) == 3:
        last, two = abs(number) % 10, abs(number) % 100
        few = 2 <= last <= 4 and not 12 <= two <= 14
        return f"{number} {forms[0] if last == 1 and two != 11 else forms[1] if few else forms[2]}"
    return f"{number} {forms[0] if number == 1 else forms[-1]}"


def _when(language: str, zone: str) -> Any:
    def when(at: float) -> str:
        local = datetime.fromtimestamp(at, ZoneInfo(zone))
        day = _DAYS[language][local.weekday()]
        if language == "ru":
            return f"{day} {local:%d.%m.%Y %H:%M}"
        return f"{day} {local.day} {_MONTHS[local.month - 1]} {local:%Y %H:%M}"

    return when


_SLA = re.compile(
    r"(react|solve): (?:(\d+) % used, (.+) left|(.+) late), promised (.+) for (P\d)(?: \N{RIGHTWARDS ARROW} (.+))?"
)
_SLA_WORDS = {"react": "реакция", "solve": "решение"}


def _in_words(language: str) -> Any:
    """A line of the SLA's clocks (see escalation.py), which are written in English, in the message's language."""

    def in_words(text: str) -> str:
        found = _SLA.fullmatch(text)
        if language != "ru" or not found:
            return text
        clock, used, left, late, promised, priority, to = found.groups()
        state = f"прошло {used} %, осталось {_duration(left)}" if used else f"просрочено на {_duration(late)}"
        step = f" → {to}" if to else ""
        return f"{_SLA_WORDS[clock]}: {state}, обещано {_duration(promised)} для {priority}{step}"

    return in_words


def _duration(text: str) -> str:
    """ "3 h 20 min" (durations.shown) in Russian."""
    words = {"d": "д", "h": "ч", "min": "мин"}
    return (
        "меньше минуты" if text == "under a minute" else re.sub("[a-z]+", lambda one: words.get(one[0], one[0]), text)
    )


def _names(language: str) -> Any:
    def names(hosts: Sequence[str], count: int, most: int) -> str:
        shown = list(hosts[:most])
        left = max(count, len(hosts)) - len(shown)
        return ", ".join(shown) + (f" {_AND_MORE[language].format(left)}" if left > 0 else "")

    return names


@lru_cache(maxsize=64)
def _environment(form: Format, language: str, zone: str, folder: str) -> ImmutableSandboxedEnvironment:
    loaders = [FileSystemLoader(folder)] if folder else []
    made = ImmutableSandboxedEnvironment(
        loader=ChoiceLoader([*loaders, FileSystemLoader(TEMPLATES)]),
        autoescape=form == "html",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_final(form),
        auto_reload=True,
    )
    made.filters.update(
        bold=_bold(form),
        code=_code(form),
        link=_link(form),
        plural=plural,
        when=_when(language, zone),
        names=_names(language),
        in_words=_in_words(language),
    )
    return made


def _shortened(text: str, limit: int, *, html: bool = False) -> str:
    """At most so many characters; of HTML no half of an entity is left."""
    if len(text) <= limit:
        return text
    cut = text[: max(0, limit - 1)]
    if html:
        cut = re.sub(r"&[#\w]*$", "", cut)
    return (cut.rstrip() + "…")[: max(limit, 0)]
