# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens in whatever order, it ends with exactly the right tickets.

Random sequences of runs, crashes before and after every commit and every request, outages, requests that are carried
out late, rate limits, refused passwords, people's edits here and there. Then the faults end, and it is looked whether
each ticket has exactly one image, of the same state, with each comment once on both sides.

UPKEEP_PROPERTY_EXAMPLES says how many sequences; the same ones each time.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from tests.unit.scheduler.fake_tickets import Crash
from tests.unit.scheduler.mirror_world import DISK, PATCH, World
from upkeep.errors import UpkeepError
from upkeep.store import mirrors, open_store, outbox

pytestmark = pytest.mark.timeout(3600)

EXAMPLES = int(os.environ.get("UPKEEP_PROPERTY_EXAMPLES", "80"))

CRASHES = ["crash before", "crash after", "late crash"]
FAULTS = ["down", "limit", "error", "auth", "lost", "lost answer", "late", *CRASHES, "", "", ""]
FINDINGS = [(host, check, "x") for host in ("web1", "web2") for check in (DISK, PATCH)]

run = st.tuples(
    st.just("run"), st.lists(st.tuples(st.sampled_from(FINDINGS), st.sampled_from(["low", "critical"])), max_size=4)
)
here = st.tuples(
    st.just("here"),
    st.sampled_from(["comment", "comment", "ack", "resolve", "reopen", "wait", "go_on"]),
    st.integers(0, 1),
)
there = st.tuples(
    st.just("there"),
    st.sampled_from(["comment", "comment", "resolve", "reopen", "wait", "assign", "move", "delete"]),
    st.integers(0, 1),
)
always = st.tuples(st.just("always"), st.sampled_from(["", "", "down", "error", "auth", "limit", "lost"]))
crash = st.tuples(st.just("crash"), st.integers(0, 8), st.booleans())
sync = st.tuples(
    st.just("sync"),
    st.sampled_from(["deliver", "poll", "all"]),
    st.sampled_from([1, 5, 40, 4000]),
    st.lists(st.sampled_from(FAULTS), max_size=2),
)
events = st.lists(st.one_of(run, run, here, here, there, always, crash, *[sync] * 5), min_size=6, max_size=30)


RUN = ("run", [(FINDINGS[0], "low")])
SYNC = ("sync", "all", 1, [])


class Crashing(World):
    """A world whose process can be gone before or after every commit."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.crash_in: int | None = None
        self.crash_after = False
        write = self.store.database.write

        @contextlib.contextmanager
        def crashing() -> Iterator[Connection]:
            now = self.crash_in == 0
            self.crash_in = None if self.crash_in is None or now else self.crash_in - 1
            with write() as connection:
                yield connection
                if now and not self.crash_after:
                    raise Crash
            if now:
                raise Crash

        self.store.database.write = crashing  # type: ignore[method-assign]
        self.written = 0

    def text(self) -> str:
        """Something that nobody wrote before."""
        self.written += 1
        return f"word {self.written}"

    def do(self, event: tuple[Any, ...]) -> None:
        """One event; whoever crashes in it is gone, and comes again later."""
        match event:
            case ("run", found):
                self.crash_in = None  # recording again what was not recorded is test_record's
                self.run(*((*identity, severity) for identity, severity in found))
            case ("here", what, which):
                self.here(what, which)
            case ("there", what, which):
                self.there_do(what, which)
            case ("always", what):
                self.server.always = what
            case ("crash", count, after):
                self.crash_in, self.crash_after = count, after
            case ("sync", what, seconds, faults):
                self.later(seconds)
                self.server.faults = list(faults)
                for step in (self.plan, self.deliver, self.poll):
                    if what in ("all", step.__name__) or step == self.plan:
                        with contextlib.suppress(Crash):
                            step()

    def here(self, what: str, which: int) -> None:
        """A person does something in the embedded tracker."""
        known = self.store.tickets(None)
        if not known:
            return
        number = sorted(one.number for one in known)[which % len(known)]
        act = {
            "ack": self.store.acknowledge,
            "comment": self.store.comment,
            "resolve": self.store.resolve,
            "reopen": self.store.reopen,
            "wait": self.store.wait,
            "go_on": self.store.go_on,
        }[what]
        with contextlib.suppress(UpkeepError, Crash):
            act(number, "ann", self.text(), self.now)

    def there_do(self, what: str, which: int) -> None:
        """A person does something there."""
        known = [one for one in self.server.tickets.values() if not one.deleted]
        if not known:
            return
        ticket = known[which % len(known)]
        match what:
            case "comment":
                self.server.say(ticket.id, "bob", self.text())
            case "resolve":
                ticket.state, ticket.raw = "resolved", "done"
            case "reopen":
                ticket.state, ticket.raw = "open", "reopened"
            case "wait":
                ticket.state, ticket.raw = "waiting", "pending"
            case "assign":
                ticket.assignee = self.text()
            case "move":
                ticket.raw = self.text()
            case "delete":
                ticket.deleted = True

    def calm(self) -> None:
        """All faults end, and there is time enough."""
        self.server.faults, self.server.always, self.crash_in = [], "", None
        quiet = 0
        for _turn in range(60):
            self.later(4400)
            self.mend()
            done = self.plan() + self.deliver() + self.poll()
            quiet = 0 if done else quiet + 1
            if quiet == 4:
                return
        raise AssertionError("it never comes to rest")

    def mend(self) -> None:
        """What a person does who reads what upkeep outbox says."""
        with self.store.database.write() as connection:
            outbox.release(connection, self.system.queue)
            for item in outbox.listed(connection, ["dead"], None, 100):
                outbox.retry(connection, item.id, self.now)


def check(world: Crashing) -> None:
    """Exactly the right tickets."""
    with world.store.database.read() as connection:
        unsent = outbox.listed(connection, ["waiting", "sending", "dead"], None, 100)
        links = {
            ticket.number: mirrors.link(connection, ticket.number, world.system.name)
            for ticket in world.store.tickets(None)
        }
    assert unsent == []
    images = list(world.server.tickets.values())
    # One that was removed before we could look whether it was made is rightly made once more.
    keys = Counter(one.key for one in images if not one.deleted)
    assert [key for key, count in keys.items() if count > 1] == [], "each was opened once"
    said_there = Counter(one.text for image in images for one in image.comments if one.ours)
    markers = Counter(one.marker for image in images for one in image.comments if one.ours)
    assert [marker for marker, count in markers.items() if count > 1] == []
    for ticket in world.store.tickets(None):
        link = links[ticket.number]
        assert link is not None, "each ticket has its image"
        alive = [one for one in images if one.draft.number == ticket.number and not one.deleted]
        history = world.store.ticket(ticket.number).history
        ours = [f"{line.actor}: {line.text}" for line in history if line.kind == "comment" and line.actor == "ann"]
        if link.state == mirrors.GONE:
            assert ticket.state == "resolved", "of an open ticket an image that was removed is made anew"
            continue
        (image,) = [one for one in alive if one.id == link.remote_id]
        assert [one.state for one in alive if one is not image and one.state != "resolved"] == []
        assert (image.state == "resolved") == (ticket.state == "resolved"), (image.state, ticket.state)
        assert not (image.state == "waiting" and ticket.state == "open")
        assert image.draft.priority == ticket.priority
        assert [said_there[text] for text in ours] == [1] * len(ours), "each comment of ours once"
        back = Counter(line.text for line in history if line.kind == "comment" and line.actor == "bob (fake)")
        theirs = [one.text for one in image.comments if one.author == "bob"]
        assert [back[text] for text in theirs] == [1] * len(theirs), "each comment of theirs once"
        assert max(back.values(), default=1) == 1


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """An empty store, made once: in memory, where there is such a place."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        with open_store(None, Path(folder) / "template"):
            pass
        yield Path(folder)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(events=events, no_way_back=st.booleans())
@example(events=[RUN, ("sync", "all", 1, ["late crash"]), ("sync", "all", 40, [])], no_way_back=False)
@example(events=[RUN, ("sync", "all", 1, ["late"]), ("sync", "all", 5, []), ("sync", "all", 5, [])], no_way_back=False)
@example(
    events=[RUN, SYNC, ("here", "comment", 0), ("sync", "deliver", 1, ["lost answer"]), ("sync", "all", 40, [])],
    no_way_back=False,
)
@example(
    events=[RUN, SYNC, ("there", "delete", 0), ("here", "comment", 0), ("sync", "all", 40, ["", "", "crash after"])],
    no_way_back=False,
)
def test_it_ends_with_exactly_the_right_tickets(
    template: Path, events: list[tuple[Any, ...]], no_way_back: bool
) -> None:
    with tempfile.TemporaryDirectory(dir=template) as folder:
        shutil.copytree(template / "template", Path(folder) / "state")
        world = Crashing(Path(folder))
        try:
            world.server.no_way_back = no_way_back
            world.plan()
            for event in events:
                world.do(event)
            world.calm()
            check(world)
        finally:
            world.store.close()
