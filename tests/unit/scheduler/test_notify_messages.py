# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff: noqa: RUF001 - Russian letters that look like Latin ones are meant
"""The words of messages: escaped, bounded, grammatical, in the reader's time; and a customer's own ones."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.notify_rig import at
from upkeep.notify import messages

NOW = at("2026-11-22 03:00")
NASTY = "<script>x</script> @everyone <!here> <@U1> *bold* _it_ `rm` [a](http://e) | ~ \\ & \u202egnp.exe"


def ticket(number: int = 12, **changes: Any) -> dict[str, Any]:
    return {
        "number": number,
        "event": "opened",
        "priority": "P1",
        "severity": "critical",
        "state": "open",
        "title": "the disk / is full",
        "cause": "capacity.disk.full",
        "area": "capacity",
        "hosts": ["db1", "db2"],
        "host_count": 5,
        "entries": 5,
        "opened": NOW,
        "resolved": None,
        "resolved_by": "",
        "acknowledged_by": "",
        "assignee": "",
        "reopened": 0,
        "notes": [],
        "evidence": ["/dev/sda1 100%"],
        "remedy": "df -h",
        "where": [["db1", "/"]],
        "learned": "",
        "since": NOW,
        "react": {"due": NOW + 900, "state": "within", "done": None},
        "solve": {"due": NOW + 3600, "state": "within", "done": None},
        **changes,
    }


def payload(*tickets: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "kind": "alarm",
        "language": "en",
        "zone": "Europe/Moscow",
        "at": NOW,
        "node": "upkeep1",
        "tickets": list(tickets) or [ticket()],
        "total": max(1, len(tickets)),
        "open": max(1, len(tickets)),
        "priority": "P1",
        "counts": {"P1": {"capacity": max(1, len(tickets))}},
        "held": 0,
        "rate": "",
        "inventory_failed": False,
        **changes,
    }


@pytest.mark.parametrize(
    ("number", "word"),
    [
        *((number, "заявка") for number in (1, 21, 101, 1001)),
        *((number, "заявки") for number in (2, 3, 4, 22, 104)),
        *((number, "заявок") for number in (0, 5, 11, 12, 13, 14, 19, 20, 25, 111, 112, 1011)),
    ],
)
def test_russian_numbers(number: int, word: str) -> None:
    assert messages.plural(number, "заявка", "заявки", "заявок") == f"{number} {word}"


def test_an_alarm_in_russian() -> None:
    made = messages.render(payload(language="ru"), "text", NOW)
    assert made.title == "P1 новое: db1, db2 и ещё 3: the disk / is full (#12)"
    assert made.body == (
        "P1 #12 новое: the disk / is full\n"
        "  где: db1, db2 и ещё 3 (5 узлов)\n"
        "  с: вс 22.11.2026 03:00\n"
        "  доказательства:\n"
        "  /dev/sda1 100%\n"
        "  что сделать: df -h\n"
        "  срок: реакция до вс 22.11.2026 03:15, решение до вс 22.11.2026 04:00\n"
        "  взять в работу: upkeep tickets ack 12\n"
        "Upkeep на upkeep1; время: Europe/Moscow"
    )


def test_lines_of_the_sla_in_russian() -> None:
    notes = [
        ["sla", "react: 75 % used, 3 min left, promised 15 min for P1"],
        ["sla", "solve: 2 h 5 min late, promised 1 h for P1 → boss"],
        ["comment", "anna: react: all well"],
    ]
    text = messages.render(payload(ticket(notes=notes, event="sla"), language="ru"), "text", NOW).body
    assert "реакция: прошло 75 %, осталось 3 мин, обещано 15 мин для P1" in text
    assert "решение: просрочено на 2 ч 5 мин, обещано 1 ч для P1 → boss" in text
    assert "комментарий: anna: react: all well" in text


@pytest.mark.parametrize("form", ["text", "html", "markdown"])
@pytest.mark.parametrize(("language", "soon", "late"), [
    ("en", "the promise runs out", "the promise is broken"), ("ru", "срок истекает", "срок нарушен"),
])  # fmt: skip
def test_a_broken_promise_does_not_look_like_a_warning(form: str, language: str, soon: str, late: str) -> None:
    warning = ["sla", "solve: 75 % used, 3 min left, promised 15 min for P1"]
    broken = ["sla", "react: 2 h 5 min late, promised 1 h for P1 → boss"]
    comment = ["comment", "anna: it was late, promised or not"]

    def said(*notes: list[str]) -> messages.Rendered:
        return messages.render(payload(ticket(notes=list(notes), event="sla"), language=language), form, NOW)

    warned = said(warning, comment)
    assert soon in warned.title and f"#12 {soon}" in warned.body and late not in warned.title + warned.body
    told = said(warning, broken)
    assert late in told.title and f"#12 {late}" in told.body
    assert f"  {soon}: " in told.body.replace("&nbsp;", " ") and f"  {late}: " in told.body.replace("&nbsp;", " ")


def test_a_digest_of_what_is_open_and_what_is_gone() -> None:
    tickets = (ticket(1, priority="P3"), ticket(2, priority="P3", event="gone", state="resolved", resolved=NOW))
    made = messages.render(payload(*tickets, kind="digest", counts={"P3": {"capacity": 1}}, open=1), "text", NOW)
    assert made.title == "P1: digest of 1 ticket, db1, db2 and 3 more"
    assert "P3: 1 ticket (capacity 1)\n- #1: the disk / is full\n" in made.body
    assert "Resolved\n- #2 came and went: the disk / is full (db1, db2 and 3 more)" in made.body


@pytest.mark.parametrize("language", ["en", "ru"])
@pytest.mark.parametrize("kind", ["alarm", "digest"])
def test_nothing_of_a_host_is_a_mark_or_calls_anybody(language: str, kind: str) -> None:
    texts = dict.fromkeys(("title", "remedy", "learned", "acknowledged_by", "resolved_by"), NASTY)
    one = ticket(
        **texts,
        hosts=[NASTY],
        evidence=[NASTY],
        notes=[["comment", NASTY]],
        learned_from=3,
        external={"system": NASTY, "number": NASTY, "url": "javascript:alert(1)"},
    )
    gone = {**one, "event": "resolved", "state": "resolved", "resolved": NOW, "number": 13}
    for form in ("text", "markdown", "html"):
        made = messages.render(payload(one, gone, language=language, kind=kind), form, NOW)  # type: ignore[arg-type]
        whole = made.title + made.body
        assert "\u202e" not in whole
        assert "@everyone" not in whole and "<!here" not in whole and "<@U1" not in whole
        assert "javascript:" not in made.body
        if form == "html":
            assert set(re.findall(r"<(\w+)", made.body)) <= {"b", "br", "code", "a"}
        if form == "markdown":
            # Outside of code, and without what is escaped, no mark is left but ours.
            bare = re.sub(r"`[^`\n]*`|\\.|\*\*", "", made.body)
            assert not re.search(r"[*_`\[\]<>~|]", bare), bare


@settings(max_examples=60, deadline=None)
@given(
    limit=st.integers(40, 5000),
    count=st.integers(1, 60),
    title=st.text(max_size=300),
    form=st.sampled_from(["text", "markdown", "html"]),
    kind=st.sampled_from(["alarm", "digest"]),
)
def test_it_fits_whatever_the_limit_and_says_what_is_left_out(
    limit: int, count: int, title: str, form: messages.Format, kind: str
) -> None:
    tickets = [ticket(number, title=title) for number in range(count)]
    made = messages.render(payload(*tickets, kind=kind), form, NOW, title_limit=40, body_limit=limit)
    assert len(made.body) <= limit and len(made.title) <= 40
    assert made.body.strip()
    if form == "html":
        assert not re.search(r"&[a-z]*$|<[^>]*$", made.body)
    if form == "text" and limit > 600 and kind == "alarm":
        shown = sum(f"P1 #{number} new" in made.body for number in range(count))
        assert shown == count or f"and {count - shown} more ticket" in made.body


def test_what_was_delayed_says_so() -> None:
    assert "Delayed: this was written Sun 22 Nov 2026 03:00" in messages.render(payload(), "text", NOW + 3600).body
    assert "Delayed" not in messages.render(payload(), "text", NOW + 60).body


def test_times_are_those_of_the_zone() -> None:
    assert "Sun 22 Nov 2026 01:00" in messages.render(payload(zone="Europe/Berlin"), "text", NOW).body


@pytest.mark.parametrize(
    "text",
    [
        "{{ tickets[0].nothing }}",
        "{% for %}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{% include 'en/nothing.j2' %}",
        "{{ 1 / 0 }}",
        "{{ node | nosuchfilter }}",
    ],
)
def test_a_broken_template_gives_way_to_ours_and_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "alarm.j2").write_text(text)
    made = messages.render(payload(), "text", NOW, folder=tmp_path)
    assert "upkeep tickets ack 12" in made.body
    assert len(made.notes) == 1 and "en/alarm.j2 cannot be used" in made.notes[0]
    assert made.notes[0] in made.body


def test_templates_of_a_customer(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "alarm.j2").write_text("{{ tickets[0].title | bold }}\n\nby {{ node }}")
    (tmp_path / "en" / "alarm.title.j2").write_text("!{{ priority }}")
    made = messages.render(payload(ticket(title="a < b")), "html", NOW, folder=tmp_path)
    assert (made.title, made.body, made.notes) == ("!P1", "<b>a &lt; b</b><br/>\nby upkeep1", ())
    # One for a single format is taken as it is.
    (tmp_path / "en" / "alarm.html.j2").write_text("<table><tr><td>{{ tickets[0].title }}</td></tr></table>")
    assert messages.render(payload(ticket(title="a < b")), "html", NOW, folder=tmp_path).body == (
        "<table><tr><td>a &lt; b</td></tr></table>"
    )
    assert messages.render(payload(ticket(title="a < b")), "text", NOW, folder=tmp_path).body == "a < b\nby upkeep1"


def test_both_languages_have_the_same_templates() -> None:
    names = {language: {path.name for path in (messages.TEMPLATES / language).iterdir()} for language in ("en", "ru")}
    assert names["en"] == names["ru"]
    assert {f"{kind}{part}.j2" for kind in messages.KINDS for part in ("", ".title")} <= names["en"]
