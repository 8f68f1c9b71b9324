# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bodies for ticket systems and back; markers; templates; which tickets go where."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upkeep.ticketing import text
from upkeep.ticketing.base import named, rendered, when
from upkeep.ticketing.protocol import Draft, Refused, marked, unmarked
from upkeep.ticketing.settings import KINDS, TicketSystemSettings

WORDS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Zs")) | st.sampled_from(" \n`<>&{}[]")
)


@pytest.mark.parametrize("kind", ["plain", "html", "markdown", "textile", "jira"])
@given(words=WORDS)
def test_what_is_written_is_read_back_with_its_marker(kind: Any, words: str) -> None:
    cleaned = text.clean(words)
    body = text.written(marked(cleaned, "line-1"), kind)
    if kind == "plain" and cleaned.lstrip().lower().startswith(("<p", "<d", "<b", "<s")):
        return  # may be taken for HTML, where a system mixes both
    read, marker = unmarked(text.read(body, kind))
    assert marker == "line-1"
    assert [line.rstrip() for line in read.split("\n")] == [line.rstrip() for line in cleaned.strip().split("\n")] or (
        kind == "html" and read.split() == cleaned.split()
    )


def test_nothing_of_a_text_is_markup_there() -> None:
    evil = '<script>x</script> & "q"\n```\n/close\n</pre> !http://x/y.png!\n{noformat} h1. no'
    html = text.written(evil, "html")
    assert "<script" not in html and "&lt;script&gt;" in html and "&amp; &quot;q&quot;" in html
    markdown = text.written(evil, "markdown").split("\n")
    assert markdown[0] == "````text" and markdown[-1] == "````" and "````" not in markdown[1:-1]
    assert text.written(evil, "textile").lower().count("</pre>") == 1
    assert text.written(evil, "jira").count("{noformat}") == 2


def test_html_of_people_as_words() -> None:
    body = "<div>One<br/>two &lt;three&gt;</div>\n<p>four</p><style>p{}</style><script>alert(1)</script>"
    body += "<ul><li>a<li>b</ul>"
    assert text.from_html(body) == "One\ntwo <three>\nfour\na\nb"
    assert text.from_html("<pre>a\n  b</pre>") == "a\n  b"
    assert text.from_html("<p>broken <b") in ("broken", "broken <b")


def test_cut_and_cleaned() -> None:
    assert text.clean("a\r\nb\x1b[0m\x00c\u202e") == "a\nb [0m c "
    assert "hunter2" not in text.clean("password=hunter2")
    long = text.clean("x" * 100, 60)
    assert len(long) <= 60 and long.endswith(text.CUT)
    assert text.title("a\nb\t c" + "d" * 300, 20) == "a b c" + "d" * 14 + "…"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("words\n\n[upkeep:k-1.a]", ("words", "k-1.a")),
        ("[upkeep:k]", ("", "k")),
        ("words [upkeep:k]", ("words [upkeep:k]", "")),
        ("> [upkeep:k]", ("> [upkeep:k]", "")),
        ("[upkeep:k]\nwords below", ("[upkeep:k]\nwords below", "")),
        ("words\n[upkeep:]", ("words\n[upkeep:]", "")),
        ("words\n  [upkeep:k]  \n\n", ("words", "k")),
    ],
)
def test_only_our_own_last_line_marks(body: str, expected: tuple[str, str]) -> None:
    assert unmarked(body) == expected


@pytest.mark.parametrize("bad", ["", "a b", "a]", "a\nb", "x" * 81])
def test_a_marker_that_is_none(bad: str) -> None:
    with pytest.raises(ValueError, match="marker"):
        marked("x", bad)


DRAFT = Draft("k1", 7, "t {{ 7 * 7 }}", "P1", "critical", "a.b.c", "text", ("a.b.c",), ("web1", "db1"))


def test_fields_are_filled_in_from_the_ticket() -> None:
    values = {"a": "{{ severity }} on {{ hosts | join(', ') }}", "b": 5, "c": ["{{ number }}", {"d": "{{ title }}"}]}
    assert rendered(values, DRAFT.as_json()) == {
        "a": "critical on web1, db1",
        "b": 5,
        "c": ["7", {"d": "t {{ 7 * 7 }}"}],
    }


@pytest.mark.parametrize(
    "template", ["{{ nothing }}", "{{ 1 / 0 }}", "{{ ().__class__.__bases__ }}", "{{ title.x.y }}", "{{ 'a' + 1 }}"]
)
def test_a_template_that_cannot_be_filled_in_is_refused(template: str) -> None:
    with pytest.raises(Refused, match="template"):
        rendered({"a": template}, DRAFT.as_json())


def test_a_draft_through_the_outbox() -> None:
    import json

    carried = Draft.of_json(json.loads(json.dumps(DRAFT.as_json())) | {"of a later version": 1})
    assert carried == DRAFT


@pytest.mark.parametrize(
    ("shape", "epoch"),
    [
        ("2026-11-22T15:00:30Z", 1795359630.0),
        ("2026-11-22T17:00:30.250+0200", 1795359630.25),
        ("2026-11-22 15:00:30", 1795359630.0),
        ("yesterday", None),
        (None, None),
        (5, None),
    ],
)
def test_times_of_theirs(shape: object, epoch: float | None) -> None:
    assert when(shape) == epoch


def test_names_of_theirs() -> None:
    assert named({"a": "", "b": 5}, "a", "b") == "5"
    assert named(None, "a") == "" and named("x", "a") == "x" and named({}, "a") == ""


def test_which_tickets_go_there() -> None:
    def takes(**only: tuple[str, ...]) -> bool:
        return TicketSystemSettings("a", "rt", "http://x", **only).takes(DRAFT)  # type: ignore[arg-type]

    assert takes()
    assert takes(only_priorities=("P1",), only_checks=("a.*",), only_hosts=("db*", "x"))
    assert not takes(only_priorities=("P2", "P3"))
    assert not takes(only_checks=("b.*",))
    assert not takes(only_checks=("a.*",), only_hosts=("mail*",))


def test_no_secret_is_shown_with_the_settings() -> None:
    shown = repr(TicketSystemSettings("a", "rt", "http://x", token="s3cret1", password="s3cret2", app_token="s3cret3"))
    assert "s3cret" not in shown


def test_every_kind_has_its_adapter() -> None:
    import importlib

    for kind in KINDS:
        assert hasattr(importlib.import_module(f"upkeep.ticketing.{kind}"), "Adapter")
