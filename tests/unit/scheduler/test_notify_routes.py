# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times of the day, digests and routes, without a store; and the section of the configuration."""

from __future__ import annotations

import shutil
from datetime import time
from pathlib import Path

import pytest

from tests.unit.scheduler.notify_rig import HOUR, ZONE, at, channel, settings
from upkeep import config_file
from upkeep.errors import WRONG_USE, UpkeepError
from upkeep.notify import groups, routes
from upkeep.notify.happenings import Happening, happenings
from upkeep.notify.settings import Quiet, Rate, Route, Span
from upkeep.sla import BusinessHours
from upkeep.store.notices import Line

HOURS = BusinessHours(time_zone=ZONE.key)
NIGHT = Span(time(22), time(7))


@pytest.mark.parametrize(
    ("span", "moment", "covered"),
    [
        (NIGHT, "2026-11-23 21:59", False),
        (NIGHT, "2026-11-23 22:00", True),
        (NIGHT, "2026-11-24 06:59", True),
        (NIGHT, "2026-11-24 07:00", False),
        (Span(time(22), time(7), (4,)), "2026-11-28 03:00", True),  # Friday's night goes on into Saturday
        (Span(time(22), time(7), (4,)), "2026-11-27 03:00", False),
        (Span(time(8), time(20), (5, 6)), "2026-11-28 12:00", True),
        (Span(time(8), time(20), (5, 6)), "2026-11-27 12:00", False),
        (Span(time(0), time(0), (5, 6)), "2026-11-28 23:59", True),  # the whole day
        (Span(time(0), time(0), (5, 6)), "2026-11-30 00:00", False),
        (Span(time(20), time(0)), "2026-11-28 23:59", True),  # until midnight
        (Span(time(20), time(0)), "2026-11-28 00:00", False),
    ],
)
def test_spans_of_the_day(span: Span, moment: str, covered: bool) -> None:
    assert span.covers(at(moment), ZONE) is covered


def test_the_end_of_a_span() -> None:
    assert NIGHT.over(at("2026-11-23 23:00"), ZONE) == at("2026-11-24 07:00")
    assert NIGHT.over(at("2026-11-24 06:00"), ZONE) == at("2026-11-24 07:00")
    assert NIGHT.over(at("2026-11-24 12:00"), ZONE) == at("2026-11-24 12:00")
    weekend = Span(time(0), time(0), (5, 6))
    assert weekend.over(at("2026-11-28 12:00"), ZONE) == at("2026-11-30 00:00")
    always = Span(time(0), time(0))
    assert always.over(at("2026-11-28 12:00"), ZONE) == at(
        "2026-11-28 12:00"
    )  # it never ends: nothing is kept for ever


def test_digests_without_times_of_their_own() -> None:
    made = settings()
    assert routes.next_digest(made, HOURS, at("2026-11-22 03:00")) == at("2026-11-23 09:00")
    assert routes.next_digest(made, HOURS, at("2026-11-23 12:00")) == at("2026-11-23 12:10")
    assert routes.next_digest(made, HOURS, at("2026-11-20 17:55")) == at("2026-11-23 09:00")


def test_digest_times_outside_of_working_hours_give_way_to_these() -> None:
    made = settings(digest_at=(time(6),))
    assert routes.next_digest(made, HOURS, at("2026-11-20 17:55")) == at("2026-11-23 09:00")


def subject(**changes: object) -> routes.Subject:
    given = {"priority": "P2", "checks": frozenset({"patch.x.y"}), "hosts": frozenset({"web1"})} | changes
    return routes.Subject(**given)  # type: ignore[arg-type]


def test_of_two_routes_to_one_channel_the_one_at_once_counts() -> None:
    made = settings(channel("a"), routes=(Route("d", ("a",), "digest", goes_on=True), Route("n", ("a",), goes_on=True)))
    (order,) = routes.orders(made, HOURS, subject(), "opened", at("2026-11-23 12:00"))
    assert (order.how, order.route) == ("now", "n")


def test_why_a_route_does_not_take_it() -> None:
    made = settings(
        routes=(
            Route("p", ("duty",), priority=("P1",)),
            Route("a", ("duty",), area=("backup",)),
            Route("h", ("duty",), host=("db*",)),
            Route("g", ("duty",), group=("databases",)),
            Route("e", ("duty",), event=("sla",)),
            Route("t", ("duty",), time=("outside_working_hours",)),
            Route("yes", ("duty",)),
            Route("late", ("duty",)),
        )
    )
    looks = routes.look(made, HOURS, subject(groups=frozenset({"web"})), "opened", at("2026-11-23 12:00"))
    assert [look.why_not for look in looks][:7] == [
        "priority is P2, not P1",
        "area is patch, not backup",
        "host is web1, not db*",
        "group is web, not databases",
        "event is opened, not sla",
        "it holds at another time",
        "",
    ]
    assert [look.reached for look in looks][6:] == [True, False, False]


def test_quiet_hours_do_not_hold_back_what_breaks_a_promise() -> None:
    made = settings(quiet=Quiet(NIGHT))
    night = at("2026-11-23 23:00")
    assert routes.due(made, HOURS, "now", "P2", "opened", night) == at("2026-11-24 07:00")
    assert routes.due(made, HOURS, "now", "P1", "opened", night) == night
    assert routes.due(made, HOURS, "now", "P2", "sla", night) == night


def test_a_step_that_names_nobody_known_goes_the_ordinary_way() -> None:
    made = settings(channel("a"), channel("b"), routes=(Route("r", ("a",)),))
    noon = at("2026-11-23 12:00")

    def to(*names: str) -> list[str]:
        return [order.channel for order in routes.orders(made, HOURS, subject(), "sla", noon, names)]

    assert (to(), to("b"), to("r"), to("nobody"), to("b", "nobody")) == (["a"], ["b"], ["a"], ["a"], ["b"])


def lines(*kinds: str) -> list[Line]:
    return [
        Line(number, 1, 100.0 + number, "anna", kind, f"text {number}", None) for number, kind in enumerate(kinds, 1)
    ]


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (("opened", "added"), [("opened", 2, 101.0)]),
        (("opened", "priority", "added"), [("opened", 3, 102.0)]),
        (("added", "priority"), [("raised", 2, 102.0)]),
        (("added",), [("added", 1, 101.0)]),
        (("resolved", "reopened"), [("reopened", 2, 102.0)]),
        (("opened", "resolved"), [("opened", 1, 101.0), ("resolved", 2, 102.0)]),
        (("cleared", "mirror", "ignored"), []),
        (("sla", "sla"), [("sla", 1, 101.0), ("sla", 2, 102.0)]),
    ],
)
def test_lines_that_say_the_same_are_one(kinds: tuple[str, ...], expected: list[tuple[str, int, float]]) -> None:
    found: list[Happening] = happenings(lines(*kinds))
    assert [(one.event, one.line, one.at) for one in found] == expected


def test_groups_above_a_hosts_own_are_its_groups_too() -> None:
    listed = {
        "_meta": {"hostvars": {}},
        "all": {"children": ["ungrouped", "prod"]},
        "prod": {"children": ["databases"]},
        "databases": {"hosts": ["db1"]},
        "ungrouped": {"hosts": ["x"]},
    }
    assert groups.members(listed) == {
        "db1": frozenset({"databases", "prod", "all"}),
        "x": frozenset({"ungrouped", "all"}),
    }


# --- the configuration ------------------------------------------------------------------------------------------------

EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "upkeep.example.yml"


def read(folder: Path, text: str) -> config_file.Config:
    (folder / "upkeep.yml").write_text(text)
    return config_file.read(folder / "upkeep.yml", folder)


def test_the_examples_section(tmp_path: Path) -> None:
    shutil.copy(EXAMPLE.parents[1] / "inventories" / "local" / "hosts.yml", tmp_path / "hosts.yml")
    made = read(tmp_path, EXAMPLE.read_text(encoding="utf-8")).notify
    assert made is not None
    assert {name: one.queues() for name, one in made.channels.items()} == {
        "duty": ("notify:duty",),
        "phone": ("notify:phone",),
        "team": ("notify:team/1", "notify:team/2"),
    }
    assert made.channels["phone"].rate == Rate(10, HOUR)
    assert [route.name for route in made.routes][:2] == ["lab", "night"]
    assert made.routes[1].repeat_every == 900.0 and made.routes[1].goes_on
    assert made.quiet is not None and made.quiet.but == ("P1",)
    assert made.digest_at == (time(9), time(14))
    assert made.heartbeat is not None and made.heartbeat.jobs == (("weekly", 8 * 86400.0),)


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    made = read(tmp_path, "notify:\n  channels:\n    duty: {env: NOT_SET_ANYWHERE}\n").notify
    assert made is not None
    assert [(way.priority, way.how, way.to, way.repeat_every) for way in made.ways()] == [
        (("P1",), "now", ("duty",), 900.0),
        (("P2",), "now", ("duty",), None),
        ((), "digest", ("duty",), None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("channels: {duty: 'tgram://SECRET/1'}", ["channels.duty", "{env: NAME} or {file: PATH}", "not shown here"]),
        ("channels: {duty: {url: 'tgram://SECRET/1'}}", ["{env: NAME} or {file: PATH}", "not shown here"]),
        ("channels: {'a/b': {env: X}}", ["wrong name of a channel", "a/b"]),
        ("channels: {a: {url: {env: X}, rate: often}}", ["rate", "20/h", "often"]),
        ("channels: {a: {env: X}}\n  routes: [{to: b}]", ["route 1 leads nowhere", "a channel: a", "b"]),
        ("channels: {a: {env: X}}\n  routes: [{priority: P1}]", ["route 1 leads nowhere", "how: never"]),
        ("channels: {a: {env: X}}\n  routes: [{to: a, priority: P4}]", ["one of P1, P2, P3"]),
        ("channels: {a: {env: X}}\n  routes: [{to: a, event: exploded}]", ["one of opened, reopened"]),
        ("channels: {a: {env: X}}\n  routes: [{to: a, time: sometimes}]", ["working_hours, outside_working_hours"]),
        ("channels: {a: {env: X}}\n  routes: [{to: a, how: digest, repeat_every: 15m}]", ["contradicts itself"]),
        ("channels: {a: {env: X}}\n  routes: [{to: a, name: x}, {to: a, name: x}]", ["route 2 (x) is there twice"]),
        ("channels: {a: {env: X}}\n  templates: nowhere", ["the folder is not there", "nowhere"]),
        (
            "channels: {a: {env: X}}\nsla: {escalate: [{after: 0, to: [boss]}]}",
            ["sla.escalate.0.to", "there is no such channel", "a channel or a route of notify: a", "boss"],
        ),
        ("heartbeat: {url: {env: X}, jobs: {weakly: 8d}}", ["there is no such job", "weekly", "weakly"]),
        ("channels: {a: {env: X}}\n  routs: []", ["unknown key", "did you mean routes?"]),
        ("channels: {a: {env: X}}\n  digest_at: 9", ["a time of day"]),
    ],
)
def test_what_is_wrong_is_named_with_its_line(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(UpkeepError) as caught:
        read(tmp_path, f"notify:\n  {text}\n")
    said = "\n".join(caught.value.lines())
    assert caught.value.exit_code == WRONG_USE
    assert "SECRET" not in said
    assert ":2" in said or ":3" in said, said
    for word in words:
        assert word in said, said


def test_a_wrong_channel_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    (tmp_path / "upkeep.yml").write_text("notify:\n  channels:\n    duty: tgram://token/chat\n")
    _config, (problem,) = config_file.check(tmp_path / "upkeep.yml", tmp_path)
    assert (problem.line, problem.key) == (3, "notify.channels.duty")
    assert "token" not in str(problem)
