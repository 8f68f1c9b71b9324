# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is told what, and when: each rule with a clock, and ears at the outbox."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from tests.unit.scheduler.notify_rig import DAY, DISK, DOWN, HOUR, MINUTE, PATCH, World, at, channel, settings
from upkeep import escalation
from upkeep.notify.settings import EVENTS, Quiet, Rate, Route, Span
from upkeep.reconcile import Policy, Rule
from upkeep.sla import Settings as SlaSettings
from upkeep.sla import Step
from upkeep.store import schema

SUNDAY_NIGHT = "2026-11-22 03:00"
MONDAY = "2026-11-23 09:00"
TUESDAY_NOON = "2026-11-24 12:00"

CRITICAL = ("web1", DISK, "/", "critical")
HIGH = ("web1", DISK, "/", "high")
LOW = ("web1", DISK, "/", "low")


def world(folder: Path, now: str = TUESDAY_NOON, **more: Any) -> World:
    return World(folder, settings(**more), at(now))


# --- by priority and time ---------------------------------------------------------------------------------------------


def test_p1_at_three_in_the_night_of_a_sunday_goes_now(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    (told,) = here.run(CRITICAL)
    assert (told.queue, told.kind, told.about, told.created) == ("notify:duty", "alarm", [(1, "opened")], here.now)
    assert "P1 new: web1:" in told.text()


def test_p2_goes_now_and_is_not_repeated(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    (told,) = here.run(HIGH)
    assert told.about == [(1, "opened")]
    assert here.until(MONDAY) == []


def test_p3_on_sunday_waits_for_monday_morning(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    assert here.run(LOW) == []
    assert here.until("2026-11-23 08:59") == []
    (told,) = here.until("2026-11-23 09:00")
    assert (told.kind, told.about) == ("digest", [(1, "opened")])
    assert here.until("2026-11-24 18:00") == []


def test_p3_in_working_hours_comes_in_one_digest_before_the_reaction_is_late(tmp_path: Path) -> None:
    here = world(tmp_path)
    began = here.now
    assert here.run(LOW) == []
    here.now += 5 * MINUTE
    assert here.run(LOW, ("web1", PATCH, "x", "medium")) == []
    told = here.until(began + 15 * MINUTE, 1 * MINUTE)
    assert [one.about for one in told] == [[(1, "opened"), (2, "opened")]]
    assert told[0].created <= began + 15 * MINUTE


def test_p3_just_before_the_evening_waits_for_the_next_working_day(tmp_path: Path) -> None:
    here = world(tmp_path, "2026-11-20 17:55")  # a Friday
    assert here.run(LOW) == []
    assert here.until("2026-11-23 08:59", 30 * MINUTE) == []
    assert len(here.until("2026-11-23 09:00")) == 1


def test_digests_at_given_times_of_working_days(tmp_path: Path) -> None:
    here = world(tmp_path, "2026-11-20 10:00", digest_at=(time(9, 30), time(14)))
    assert here.run(LOW) == []
    assert here.until("2026-11-20 13:59") == []
    assert len(here.until("2026-11-20 14:00")) == 1
    assert here.run(LOW, ("web1", PATCH, "x", "low")) == []
    assert here.until("2026-11-23 09:29", 30 * MINUTE) == []
    assert len(here.until("2026-11-23 09:30")) == 1


def test_a_digest_groups_by_priority_and_area_and_names_hosts(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    many = [(f"web{number}", PATCH, "x", "low") for number in range(1, 13)]
    assert here.run(*many, ("db1", "capacity.memory.low", "ram", "medium"), ("db1", DISK, "/var", "low")) == []
    (told,) = here.until(MONDAY)
    assert told.payload["counts"] == {"P3": {"patch": 1, "capacity": 2}}
    text = told.text()
    assert "P3: 3 tickets (capacity 2, patch 1)" in text
    assert "web1, web10, web11, web12, web2" in text and "(12 hosts)" in text


def test_p1_is_said_again_every_quarter_of_an_hour_until_somebody_acknowledges(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    began = here.now
    here.run(CRITICAL)
    told = here.until(began + HOUR, 1 * MINUTE)
    assert [one.about for one in told] == [[(1, "repeat")]] * 4
    assert [round((one.created - began) / MINUTE) for one in told] == [15, 30, 45, 60]
    here.store.acknowledge(1, "anna", "", here.now)
    assert here.until(began + DAY, 10 * MINUTE) == []


def test_repetitions_of_several_share_a_message(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    began = here.now
    here.run(CRITICAL)
    here.now += 5 * MINUTE
    here.run(CRITICAL, ("web1", PATCH, "x", "critical"))
    told = here.until(began + 40 * MINUTE, 1 * MINUTE)
    assert [one.about for one in told] == [[(1, "repeat"), (2, "repeat")]] * 2


def test_no_repetition_into_a_queue_that_does_not_get_rid_of_what_it_has(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    here.run(CRITICAL)
    for _ in range(100):  # nothing is delivered
        here.now += 5 * MINUTE
        assert here.step() == []
    here.deliver()
    assert [one.about for one in here.step()] == [[(1, "repeat")]]


def test_one_url_of_a_channel_that_hangs_does_not_silence_the_other(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    both = channel("duty").urls * 2
    here.use(channels={"duty": channel("duty").__class__("duty", both)})
    assert [one.queue for one in here.run(CRITICAL)] == ["notify:duty/1", "notify:duty/2"]
    table = schema.outbox
    with here.store.database.write() as connection:
        connection.execute(update(table).where(table.c.queue == "notify:duty/2").values(state="sent"))
    here.now += 16 * MINUTE
    assert [one.queue for one in here.step()] == ["notify:duty/2"]


# --- what becomes of a ticket -----------------------------------------------------------------------------------------


def test_a_p3_that_becomes_p1_is_told_now_and_once(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    assert here.run(LOW) == []
    here.now += HOUR
    (told,) = here.run(CRITICAL)
    # It has been told to nobody before: new, and why it is urgent.
    assert (told.kind, told.about) == ("alarm", [(1, "opened")])
    assert "P3 → P1" in told.text()
    here.store.acknowledge(1, "anna", "", here.now)
    assert here.until("2026-11-24 18:00", HOUR) == []  # not in Monday's digest again


def test_a_p3_that_was_told_and_becomes_p1_is_told_as_worse(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    here.run(LOW)
    assert len(here.until(MONDAY)) == 1
    here.now += HOUR
    (told,) = here.run(CRITICAL)
    assert (told.kind, told.about) == ("alarm", [(1, "raised")])
    assert "P1 worse: web1" in told.text()


def test_an_acknowledged_p3_that_becomes_p1_is_told_once_all_the_same(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.run(LOW)
    here.store.acknowledge(1, "anna", "", here.now + 1)
    here.now += HOUR
    (told,) = here.run(CRITICAL)
    assert told.about == [(1, "raised")]
    assert here.until(here.now + DAY, HOUR) == []


def test_acknowledged_before_the_digest_is_quiet(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    here.run(LOW)
    here.store.acknowledge(1, "anna", "", here.now + HOUR)
    assert here.until("2026-11-24 18:00", HOUR) == []


def test_more_hosts_in_a_ticket_that_somebody_is_on_are_quiet(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.use(routes=(Route("all", ("duty",), event=EVENTS),))
    here.run(CRITICAL)
    here.now += MINUTE
    here.store.acknowledge(1, "anna", "", here.now)
    assert [one.about for one in here.step()] == [[(1, "acknowledged")]]
    here.now += HOUR
    assert here.run(CRITICAL, ("web2", DISK, "/", "critical")) == []


def test_more_hosts_are_told_where_a_route_asks_for_them(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.run(HIGH)
    here.now += HOUR
    assert here.run(HIGH, ("web2", DISK, "/", "high")) == []
    here.use(routes=(Route("all", ("duty",), event=EVENTS),))
    here.now += HOUR
    (told,) = here.run(HIGH, ("web2", DISK, "/", "high"), ("web3", DISK, "/", "high"))
    assert told.about == [(1, "added")]
    assert "web1, web2, web3" in told.text()


def test_resolved_is_told_once_to_who_was_alarmed(tmp_path: Path) -> None:
    here = World(tmp_path, settings(channel("duty"), channel("boss")), at(TUESDAY_NOON))
    here.use(routes=(Route("duty", ("duty",), priority=("P1",)), Route("boss", ("boss",), check=("patch.*",))))
    (told,) = here.run(CRITICAL)
    assert told.queue == "notify:duty"
    here.now += HOUR
    (told,) = here.run()
    assert (told.queue, told.about) == ("notify:duty", [(1, "resolved")])
    assert "a run looked again and found nothing" in told.text()
    assert here.until(here.now + DAY, HOUR) == []


def test_resolved_before_anybody_was_told_comes_in_the_digest_only(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    here.run(CRITICAL, step=False)
    here.now += MINUTE
    assert here.run() == []
    (told,) = here.until(MONDAY)
    assert (told.kind, told.about) == ("digest", [(1, "gone")])
    assert "came and went" in told.text()


def test_a_p3_that_went_before_its_digest(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    here.run(LOW)
    here.now += HOUR
    here.run()
    assert [one.about for one in here.until(MONDAY)] == [[(1, "gone")]]


def test_reopened_is_told_once(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.run(CRITICAL)
    here.now += MINUTE
    here.store.resolve(1, "anna", "", here.now)
    assert [one.about for one in here.step()] == [[(1, "resolved")]]
    here.now += HOUR
    assert [one.about for one in here.run(CRITICAL)] == [[(1, "reopened")]]
    here.store.acknowledge(1, "anna", "", here.now)
    here.now += HOUR
    assert here.run(CRITICAL) == []
    assert here.until(here.now + DAY, HOUR) == []


def test_resolved_and_reopened_between_two_looks_is_reopened(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.run(CRITICAL)
    here.store.resolve(1, "anna", "", here.now + 1)
    here.now += MINUTE
    assert [one.about for one in here.run(CRITICAL)] == [[(1, "reopened")]]
    here.now += MINUTE
    assert [one.about for one in here.run()] == [[(1, "resolved")]]


def test_the_next_opening_of_the_same_cause_is_told_again(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.run(CRITICAL)
    here.now += HOUR
    here.run()
    here.now += 30 * DAY
    assert [one.about for one in here.run(CRITICAL)] == [[(2, "opened")]]


# --- one fallen server makes one alert --------------------------------------------------------------------------------

FIFTY = [("web1", f"area.thing{number}.fault", "x", "high") for number in range(50)]


@pytest.mark.parametrize("order", ["down first", "down last"])
def test_a_host_down_with_fifty_findings_is_one_notification(tmp_path: Path, order: str) -> None:
    here = World(tmp_path, settings(), at(SUNDAY_NIGHT), Policy((Rule(DOWN, priority="P1"),)))
    down = ("web1", DOWN, "web1", "high")
    findings = [down, *FIFTY] if order == "down first" else [*FIFTY, down]
    (told,) = here.run(*findings, hosts={"web1": "unreachable"})
    assert told.about == [(1, "opened")]
    assert len(told.payload["tickets"]) == 1


def test_fifty_hosts_that_fall_at_once_share_a_message_that_names_them(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    down = [(f"web{number:02}", DOWN, f"web{number:02}", "high") for number in range(50)]
    (told,) = here.run(*down, hosts={host: "unreachable" for host, *_rest in down})
    assert told.payload["total"] == 50
    text = told.text()
    assert text.startswith("P2: 50 tickets, web00, web01, web02 and ")
    assert "and 30 more tickets" in text


def test_tickets_of_one_run_are_one_message_for_each_route(tmp_path: Path) -> None:
    here = World(tmp_path, settings(channel("duty"), channel("db")), at(TUESDAY_NOON))
    here.use(routes=(Route("db", ("db",), check=("patch.*",), goes_on=True), Route("all", ("duty",))))
    told = here.run(CRITICAL, ("web1", PATCH, "x", "high"), ("web2", "log.sshd.guessing", "sshd", "high"))
    assert {one.queue: one.about for one in told} == {
        "notify:duty": [(1, "opened"), (2, "opened"), (3, "opened")],
        "notify:db": [(2, "opened")],
    }


# --- routes -----------------------------------------------------------------------------------------------------------


def test_the_first_route_that_matches_holds(tmp_path: Path) -> None:
    here = World(tmp_path, settings(channel("a"), channel("b")), at(TUESDAY_NOON))
    here.use(
        routes=(
            Route("lab", (), "never", host=("lab-*",)),
            Route("capacity", ("a",), area=("capacity",)),
            Route("rest", ("b",)),
        )
    )
    assert here.run(("lab-1", "log.sshd.guessing", "x", "critical")) == []
    assert [one.queue for one in here.run(HIGH, hosts={"web1": "ok"})] == ["notify:a"]
    here.now += HOUR
    told = here.run(("web1", PATCH, "x", "high"), hosts={"web1": "ok"})
    assert {one.queue: one.about for one in told} == {"notify:a": [(2, "resolved")], "notify:b": [(3, "opened")]}


def test_a_p1_that_no_route_takes_goes_everywhere(tmp_path: Path) -> None:
    here = World(tmp_path, settings(channel("a"), channel("b")), at(TUESDAY_NOON))
    here.use(routes=(Route("db", ("a",), host=("db*",)),))
    assert here.run(("web1", PATCH, "x", "high")) == []
    assert sorted(one.queue for one in here.run(("web1", PATCH, "x", "critical"))) == ["notify:a", "notify:b"]


def test_routes_by_time_and_a_handover_at_night(tmp_path: Path) -> None:
    here = World(tmp_path, settings(channel("chat"), channel("phone")), at("2026-11-24 17:40"))
    here.use(
        routes=(
            Route("day", ("chat",), time=("working_hours",), repeat_every=900.0),
            Route("night", ("phone",), time=("outside_working_hours",), repeat_every=900.0),
        )
    )
    assert [one.queue for one in here.run(CRITICAL)] == ["notify:chat"]
    told = here.until("2026-11-24 18:25", MINUTE)
    assert [one.queue for one in told] == ["notify:chat", "notify:phone", "notify:phone"]


def test_routes_by_group_of_the_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from upkeep.notify import groups

    here = World(tmp_path, settings(channel("db"), channel("rest")), at(TUESDAY_NOON))
    here.use(routes=(Route("db", ("db",), group=("database*",)), Route("rest", ("rest",))))
    known: dict[str, frozenset[str]] | None = {"db1": frozenset({"all", "databases"}), "web1": frozenset({"all"})}
    monkeypatch.setattr(groups, "groups_of_hosts", lambda _config: known)
    told = here.run(("db1", PATCH, "x", "high"), ("web1", "log.sshd.guessing", "x", "high"))
    assert {one.queue: one.about for one in told} == {"notify:db": [(1, "opened")], "notify:rest": [(2, "opened")]}
    known = None  # it cannot be read: better one too many told than one too few, and it is said
    (told_now,) = here.run(("web2", "time.clock.offset", "x", "high"), coverage=())
    assert told_now.queue == "notify:db"
    assert "inventory could not be read" in told_now.text()


def test_quiet_hours_hold_back_all_but_p1(tmp_path: Path) -> None:
    quiet = Quiet(Span(time(22), time(7)))
    here = world(tmp_path, "2026-11-24 23:00", quiet=quiet)
    assert here.run(HIGH) == []
    here.now += HOUR
    (told,) = here.run(HIGH, ("web1", PATCH, "x", "critical"))
    assert told.about == [(2, "opened")]
    here.store.acknowledge(2, "anna", "", here.now)
    assert here.until("2026-11-25 06:59", 10 * MINUTE) == []
    assert [one.about for one in here.until("2026-11-25 07:00")] == [[(1, "opened")]]


# --- rate -------------------------------------------------------------------------------------------------------------


def test_above_the_rate_comes_one_summary_and_p1_never_waits(tmp_path: Path) -> None:
    here = World(tmp_path, settings(channel("duty", rate=Rate(3, HOUR))), at(TUESDAY_NOON))
    began = here.now
    standing: list[tuple[str, str, str, str]] = []
    told = []
    for number in range(10):
        standing.append(("web1", f"area.thing{number}.fault", "x", "high"))
        told += here.run(*standing, coverage=())
        here.deliver()
        here.now += MINUTE
    assert [one.about for one in told] == [[(1, "opened")], [(2, "opened")], [(3, "opened")]]
    assert "This channel takes 3/h" in told[2].text()
    assert "This channel takes 3/h" not in told[1].text()
    (critical,) = here.run(*standing, ("web1", DISK, "/", "critical"), coverage=())
    assert critical.about == [(11, "opened")]
    here.store.acknowledge(11, "anna", "", here.now)
    told = here.until(began + 2 * HOUR, MINUTE)
    assert [one.about for one in told] == [[(number, "opened") for number in range(4, 11)]]
    assert told[0].kind == "digest"
    assert "7 tickets were held back: this channel takes 3/h" in told[0].text()
    assert told[0].created <= began + HOUR + 4 * MINUTE


# --- the SLA's lines --------------------------------------------------------------------------------------------------


def test_steps_of_the_sla_go_to_whom_they_name(tmp_path: Path) -> None:
    here = World(tmp_path, settings(channel("duty"), channel("boss")), at(SUNDAY_NIGHT))
    here.use(routes=(Route("duty", ("duty",), repeat_every=None),))
    sla = SlaSettings(warn_at=(0.8,), escalate=(Step(5 * MINUTE, ("boss",), clocks=("react",)),))
    here.run(CRITICAL)
    told = []
    for _ in range(25):
        here.now += MINUTE
        escalation.step(here.store, here.config.__class__(None, tmp_path, sla=sla), here.now)
        told += here.step()
    assert [(one.queue, one.about) for one in told] == [
        ("notify:duty", [(1, "sla")]),
        ("notify:boss", [(1, "sla")]),
    ]
    assert "react: 80 % used" in told[0].text()
    assert "→ boss" in told[1].text()


def test_a_step_of_the_sla_is_told_of_an_acknowledged_ticket_too(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    sla = SlaSettings(warn_at=(), escalate=(Step(0.0),))
    here.run(CRITICAL)
    here.store.acknowledge(1, "anna", "", here.now)
    here.now += 61 * MINUTE
    escalation.step(here.store, here.config.__class__(None, tmp_path, sla=sla), here.now)
    (told,) = here.step()
    assert told.about == [(1, "sla")]
    assert "anna is on it" in told.text()


# --- beginnings and ends ----------------------------------------------------------------------------------------------


def test_the_first_look_tells_what_is_open_and_not_what_was(tmp_path: Path) -> None:
    here = World(tmp_path, settings(), at(SUNDAY_NIGHT))
    with here.store.database.write() as connection:
        connection.execute(schema.cursors.delete())
    here.run(HIGH, step=False)
    here.now += HOUR
    here.run(("web1", PATCH, "x", "critical"), step=False)
    here.now += HOUR
    assert [one.about for one in here.step()] == [[(2, "opened")]]


def test_a_store_that_was_put_back_tells_nothing_old(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.run(HIGH)
    with here.store.database.write() as connection:
        connection.execute(update(schema.cursors).values(value=10_000))
    assert here.step() == []
    here.now += MINUTE
    assert [one.about for one in here.run(HIGH, ("web1", PATCH, "x", "high"))] == [[(2, "opened")]]


def test_a_clock_that_was_wrong_neither_silences_nor_floods(tmp_path: Path) -> None:
    here = world(tmp_path, "2027-11-22 03:00")  # a year ahead
    here.run(CRITICAL, ("web1", PATCH, "x", "low"))
    here.deliver()
    here.now = at("2026-11-22 03:00")
    told = here.until(here.now + HOUR, MINUTE)
    assert [one.about for one in told if one.kind == "alarm"] == [[(1, "repeat")]] * 4
    assert [one.about for one in told if one.kind == "digest"] == [[(2, "opened")]]


def test_a_channel_that_is_gone_keeps_nothing_waiting(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    here.run(LOW)
    here.use(channels={"other": channel("other")})
    assert here.until(MONDAY, HOUR) == []
    with here.store.database.read() as connection:
        (row,) = connection.execute(select(schema.notices)).all()
    assert (row.state, row.why) == ("dropped", "the channel is not configured any more")


def test_without_channels_nothing_is_read_or_written(tmp_path: Path) -> None:
    here = world(tmp_path)
    here.use(channels={})
    assert here.run(CRITICAL) == []


def test_what_is_told_is_what_the_ticket_says(tmp_path: Path) -> None:
    here = world(tmp_path, SUNDAY_NIGHT)
    (told,) = here.run(CRITICAL)
    text = told.text()
    for part in (
        "capacity.disk.full of / is critical",
        "where: web1",
        "since: Sun 22 Nov 2026 02:59",
        "what was seen",
        "to do: mend it",
        "react by Sun 22 Nov 2026 03:15, solve by Sun 22 Nov 2026 04:00",
        "upkeep tickets ack 1",
        "times of Europe/Moscow",
    ):
        assert part in text, part
