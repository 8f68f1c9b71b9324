# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens to tickets, whenever a step dies: each thing is told once for each route, a P1 at the next step."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event, select

from tests.unit.scheduler import notify_rig
from tests.unit.scheduler.notify_rig import DISK, HOUR, MINUTE, PATCH, Message, World, at, channel
from upkeep.errors import UpkeepError
from upkeep.notify import plan
from upkeep.notify.settings import ALARMS, Route
from upkeep.store import schema

CHECKS = (DISK, PATCH)
ALARMED = (*ALARMS, "gone")


class Crash(Exception):  # noqa: N818
    """The process is gone, as far as the store can see."""


@contextmanager
def crash_at(world: World, statement: int | None) -> Iterator[None]:
    """Let the process die at the nth statement."""
    seen = 0

    def die(*_args: object) -> None:
        nonlocal seen
        seen += 1
        if statement is not None and seen == statement:
            raise Crash

    event.listen(world.store.database.engine, "before_cursor_execute", die)
    try:
        yield
    except (Crash, UpkeepError):
        pass
    finally:
        event.remove(world.store.database.engine, "before_cursor_execute", die)


ACTS = st.one_of(
    # A run: the severity of each fault, or none of it.
    st.tuples(
        st.just("run"),
        st.fixed_dictionaries({check: st.sampled_from(["", "low", "high", "critical"]) for check in CHECKS}),
    ),
    st.tuples(st.sampled_from(["ack", "resolve", "comment"]), st.integers(1, 4)),
    st.tuples(st.just("wait"), st.sampled_from([MINUTE, 10 * MINUTE, HOUR, 9 * HOUR])),
    st.tuples(st.just("step"), st.none()),
    # The nth statement of a step never returns.
    st.tuples(st.just("crash"), st.integers(1, 60)),
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts=st.lists(ACTS, max_size=25), start=st.integers(0, 7 * 24 - 1))
def test_each_thing_is_told_exactly_once_for_each_route(acts: list[tuple[str, object]], start: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        check_world(Path(folder), acts, at("2026-11-23 00:00") + start * HOUR)


def check_world(folder: Path, acts: list[tuple[str, object]], now: float) -> None:
    routes = (
        Route("urgent", ("duty", "log"), priority=("P1", "P2"), goes_on=True, repeat_every=900.0),
        Route("patching", ("patch",), area=("patch",), how="digest", goes_on=True),
        Route("all", ("log",), how="digest"),
    )
    chosen = notify_rig.settings(channel("duty"), channel("patch"), channel("log"), routes=routes)
    world = World(folder, chosen, now)
    told: list[Message] = []
    for act, value in acts:
        world.now += 1.0
        if act == "run":
            assert isinstance(value, dict)
            world.run(*(("web1", check, "x", severity) for check, severity in value.items() if severity), step=False)
        elif act in ("ack", "resolve", "comment"):
            person(world, act, value)  # type: ignore[arg-type]
        elif act == "wait":
            world.now += value  # type: ignore[operator]
        elif act in ("step", "crash"):
            # A P1 that is open, acknowledged by nobody, and was not told: a step that comes to its end tells it.
            owed = untold(world)
            whole = False
            with crash_at(world, value if act == "crash" else None):  # type: ignore[arg-type]
                plan.step(world.store, world.config, world.now)
                whole = True
            new = world.messages()
            heard = {number for one in new if one.queue == "notify:duty" for number, _event in one.about}
            assert whole or not new, "a step that died told something"
            assert owed <= heard or not whole, "a P1 was not told at its step"
            told += new
    told += world.until(world.now + 4 * 24 * HOUR, 6 * HOUR)
    judge(world, told)


def person(world: World, act: str, number: int) -> None:
    with suppress(UpkeepError):  # no such ticket, or not in that state
        {"ack": world.store.acknowledge, "resolve": world.store.resolve, "comment": world.store.comment}[act](
            number, "anna", "a word", world.now
        )


def untold(world: World) -> set[int]:
    """Open P1 tickets that nobody has acknowledged and of whose opening, reopening or rise nobody has heard."""
    table, history = schema.tickets.c, schema.ticket_history.c
    with world.store.database.read() as connection:
        cursor = connection.scalar(select(schema.cursors.c.value).where(schema.cursors.c.name == "notify")) or 0
        waiting = set(
            connection.scalars(
                select(table.number).where(table.state == "open", table.priority == "P1", table.acknowledged.is_(None))
            )
        )
        news = select(history.ticket).where(
            history.id > cursor, history.kind.in_(["opened", "reopened", "priority"]), history.ticket.in_(waiting)
        )
        return set(connection.scalars(news))


def judge(world: World, told: list[Message]) -> None:
    by_channel: dict[str, dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for message in told:
        numbers = [number for number, _event in message.about]
        assert len(numbers) == len(set(numbers)), "a ticket is in one message twice"
        for number, what in message.about:
            by_channel[message.queue.removeprefix("notify:")][number].append(what)
    tickets = {ticket.number: ticket for ticket in world.store.tickets(None)}
    for name, about in by_channel.items():
        for number, events in about.items():
            history = [line.kind for line in world.store.ticket(number).history]
            begun = 1 + history.count("reopened")
            # Never more often than it happened.
            assert events.count("opened") <= 1
            assert sum(what in ("opened", "reopened", "gone") for what in events) <= begun, (name, events, history)
            assert events.count("raised") <= history.count("priority")
            assert events.count("resolved") <= history.count("resolved")
            # An end is told after a beginning, and one end for each.
            alarmed = False
            for what in events:
                assert what != "resolved" or alarmed, (name, events)
                assert what not in ("opened", "gone") or not alarmed, (name, events)
                alarmed = what in (*ALARMS, "repeat") or (alarmed and what != "resolved")
            # Who was told last of all that it is there knows it when it is gone.
            assert not (alarmed and tickets[number].state == "resolved"), (name, events, history)
            if name == "patch":
                assert "repeat" not in events
            if name == "patch":
                assert tickets[number].cause.startswith("patch.")
    for number, ticket in tickets.items():
        if ticket.state != "resolved" and ticket.acknowledged is None:
            # What is open and nobody is on: everybody whose route takes it has heard.
            events = by_channel["log"][number]
            assert [what for what in events if what in ALARMED or what == "resolved"][-1:] != ["resolved"], events
            assert any(what in ALARMS for what in events), (number, events)
            if ticket.priority in ("P1", "P2"):
                assert any(what in ALARMS for what in by_channel["duty"][number])
    with world.store.database.read() as connection:
        rows = connection.execute(select(schema.notices)).all()
    assert not [row for row in rows if row.state in ("waiting", "held")], "something waits for ever"
