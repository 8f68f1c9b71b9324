# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mirror in a ticket system: what happens here goes there once, what people do there comes back once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import proof
from tests.unit.scheduler.fake_tickets import SETTLE, FakeSystem
from tests.unit.scheduler.mirror_world import DISK, PATCH, World
from upkeep import outbox as outboxes
from upkeep.outbox import Delivery, Settings
from upkeep.store import mirrors, outbox
from upkeep.ticketing import mirror, words
from upkeep.ticketing.mirror import Mirrored, next_key
from upkeep.ticketing.protocol import Draft, Held, TicketSystem


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.plan()  # from now on it reads
    yield made
    made.store.close()


def test_opened_there_with_what_is_known(world: World) -> None:
    world.run(("web1", DISK, "/", "high"), ("web2", DISK, "/var", "low"))
    world.sync()
    there = world.there()
    assert there.key == world.ticket().ticket.key
    assert (there.draft.priority, there.draft.hosts, there.draft.checks) == ("P2", ("web1", "web2"), (DISK,))
    (image,) = world.ticket().images
    assert (image.system, image.shown, image.state) == ("fake", f"T-{there.id}", "open")
    for part in ("web1: capacity.disk.full of / is high", "| seen", "To do: mend it", "Upkeep's ticket #1"):
        assert part in there.draft.text
    assert there.files == {}
    world.sync()
    assert [request.split()[0] for request in world.server.requests] == ["open", "read", "read"]


def test_long_evidence_is_attached_once(world: World) -> None:
    world.run(("web1", DISK, "/", "high"), evidence=tuple(f"line {number}" for number in range(30)))
    world.server.faults = ["", "lost answer"]
    world.sync()
    world.sync(SETTLE + 10)
    world.sync()
    (name,) = world.there().files
    assert b"line 29" in world.there().files[name]
    assert "25 lines more" in world.there().draft.text


def wrote(world: World, outcome: str = "passed", subject: str = "/", **facts: Any) -> list[tuple[str, dict[str, Any]]]:
    """A proof of web1 about what its finding is about."""
    summary = f"{subject} was tested in run {world.runs + 1}: {outcome}."
    return [("web1", proof("capacity.disk.write", subject, outcome, world.now, world.now + 3.25, summary, facts))]


def test_proofs_are_told_with_what_opens_and_what_resolves_and_not_in_between(world: World) -> None:
    fault = ("web1", DISK, "/", "high")
    digests = {f"/srv/{number:02d}": f"{number:064x}" for number in range(40)}
    world.run(fault, proofs=wrote(world, "failed", snapshot="1a2b", sha256=digests))
    # One that is about something else is not told.
    world.server.faults = ["", "lost answer"]
    world.sync()
    world.sync(SETTLE + 10)
    there = world.there()
    for part in (
        "/ was tested in run 1: failed.",
        "capacity.disk.write for 3.2 s, by unknown in run 1",
        "proofs show 1",
    ):
        assert part in there.draft.text, there.draft.text
    assert "1a2b" not in there.draft.text, "the facts are in the file"
    (file,) = there.files.values()
    assert b"snapshot: 1a2b" in file and f"{39:064x}".encode() in file
    # Tests that are made while nothing changes in the ticket.
    sent = len(world.server.requests)
    for outcome in ("failed", "cannot", "failed"):
        world.run(fault, proofs=wrote(world, outcome))
        world.sync()
    assert {request.split()[0] for request in world.server.requests[sent:]} <= {"read"}
    assert there.comments == [] and len(there.files) == 1
    # The one that resolves it.
    other = wrote(world, "failed", "/var")
    world.run(proofs=[*wrote(world, snapshot="3c4d", sha256=digests, answers=[{"query": "q", "answer": "42"}]), *other])
    world.server.faults = ["lost answer"]
    world.sync()
    world.sync(SETTLE + 10)
    assert there.state == "resolved"
    (comment,) = there.comments
    for part in ("/ was tested in run 5: passed.", "snapshot: 3c4d", "lines more", "upkeep proofs show 5"):
        assert part in comment.text, comment.text
    for part in ("run 4", "/var", f"{39:064x}"):
        assert part not in comment.text, comment.text
    # A run that finds nothing and only tests again says nothing more.
    sent = len(world.server.requests)
    world.run(proofs=wrote(world))
    world.sync(5000)
    assert {request.split()[0] for request in world.server.requests[sent:]} <= {"read"}
    # And what opens it again.
    world.run(fault, proofs=wrote(world, "failed"))
    world.sync()
    assert "/ was tested in run 7: failed." in there.comments[-1].text
    assert "run 5" not in there.comments[-1].text
    assert len(there.comments) == 2


def test_what_is_found_as_well_is_told_with_its_proof_of_that_run(world: World) -> None:
    first, second = ("web1", DISK, "/", "high"), ("web1", DISK, "/var", "high")
    world.run(first, proofs=wrote(world, "failed"))
    world.sync()
    world.run(first, second, proofs=[*wrote(world, "failed"), *wrote(world, "failed", "/var")])
    world.sync()
    (comment,) = world.there().comments
    assert "/var was tested in run 2: failed." in comment.text
    assert "/ was tested" not in comment.text


def test_texts_with_many_proofs_are_bounded(world: World) -> None:
    faults = [("web1", DISK, f"/{number}", "high") for number in range(30)]
    facts = {f"name {number}": "z" * 1900 for number in range(10)}
    proofs = [one for _host, _check, subject, _ in faults for one in wrote(world, "failed", subject, **facts)]
    world.run(*faults, proofs=proofs)
    detail = world.ticket()
    assert len(detail.proofs) == 30
    assert len(words.draft(detail).text) <= 30_000
    assert len(words.evidence(detail)) <= words.FILE_LIMIT
    world.run(proofs=proofs)
    world.sync()
    (comment,) = world.there().comments
    assert len(comment.text) <= 30_000


def test_one_comment_a_run_and_the_priority_with_it(world: World) -> None:
    world.run(("web1", DISK, "/", "low"))
    world.sync()
    world.run(("web1", DISK, "/", "low"), ("web2", DISK, "/", "critical"), ("web2", DISK, "/var", "low"))
    world.sync()
    there = world.there()
    assert (there.draft.priority, len(there.comments)) == ("P1", 1)
    assert "Priority P3 → P1" in there.comments[0].text
    assert "web2: capacity.disk.full of / is critical" in there.comments[0].text
    world.run(("web1", DISK, "/", "low"), ("web2", DISK, "/", "critical"), ("web2", DISK, "/var", "low"))
    world.sync()
    assert len(there.comments) == 1, "the same again is no news"


def test_resolved_by_evidence_and_opened_again(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.run()
    world.sync()
    there = world.there()
    assert there.state == "resolved"
    assert f"web1: {DISK} /" in there.comments[-1].text
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    assert (there.state, len(world.server.tickets)) == ("open", 1)
    assert "Opened again" in there.comments[-1].text
    assert world.ticket().ticket.state == "open", "what we did ourselves does not come back as somebody's word"


def test_opened_and_resolved_before_anything_was_sent_still_gets_its_record(world: World) -> None:
    world.server.always = "down"
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.run()
    world.sync()
    world.server.always = ""
    for _turn in range(10):
        world.sync(600)
    assert world.there().state == "resolved"
    assert "is high" in world.there().draft.text


def test_both_planned_at_once_get_their_record_too(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.run()
    world.sync()
    assert (world.there().state, len(world.there().comments)) == ("resolved", 1)
    assert "nothing of it is found any more" in world.there().draft.text


def test_peoples_words_go_there(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.store.acknowledge(1, "ann", "", world.now)
    world.store.comment(1, "ann", "ordered a disk", world.now)
    world.store.learn(1, "ann", "root_cause", "logs never rotated", world.now)
    world.store.resolve(1, "ann", "replaced", world.now)
    world.sync()
    said = [one.text for one in world.there().comments]
    assert said[0] == "ann is on it."
    assert said[1] == "ann: ordered a disk"
    assert "logs never rotated" in said[2]
    assert said[3] == "Resolved by ann. replaced"
    assert world.there().state == "resolved"
    world.run(("web1", DISK, "/", "high"))  # it was not done
    world.sync()
    assert world.there().state == "open"


def test_what_people_do_there_comes_back_once(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.later(200)
    there = world.there()
    world.server.say(there.id, "bob", "will look \x1b[31mtomorrow")
    there.assignee, there.raw = "bob", "in progress"
    for _turn in range(3):
        world.sync()
    ticket = world.ticket().ticket
    assert (ticket.state, ticket.acknowledged_by, ticket.assignee) == ("acknowledged", "bob (fake)", "bob")
    said = [line for line in world.history() if line[0] == "comment"]
    assert said == [("comment", "bob (fake)", "will look tomorrow")]
    assert there.comments[-1].author == "bob", "it is not sent back"
    there.state, there.raw = "waiting", "pending"
    world.sync()
    assert world.ticket().ticket.state == "waiting"
    there.state, there.raw = "open", "in progress"
    world.sync()
    assert world.ticket().ticket.state == "acknowledged"
    there.state, there.raw = "resolved", "done"
    world.sync()
    assert (world.ticket().ticket.state, world.ticket().ticket.resolved_by) == ("resolved", "bob (fake)")
    there.state, there.raw = "open", "reopened"
    world.sync(300)  # what is resolved is looked at less often
    assert world.ticket().ticket.state == "open"
    assert not [request for request in world.server.requests if request.split()[0] not in ("open", "read")]


def test_resolved_there_while_the_fault_remains_is_opened_again_once(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.there().state = "resolved"
    world.sync()
    assert world.ticket().ticket.state == "resolved"
    for _turn in range(3):
        world.run(("web1", DISK, "/", "high"))
        world.sync()
    assert (world.ticket().ticket.state, world.ticket().ticket.reopened, world.there().state) == ("open", 1, "open")


def test_a_default_assignee_is_nobodys_reaction(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.plan()
    world.deliver()
    world.there().assignee = "helpdesk"
    world.later(5)
    world.poll()
    assert (world.ticket().ticket.assignee, world.ticket().ticket.state) == ("helpdesk", "open")


def test_a_state_that_moved_by_our_own_comment_is_nobodys_reaction(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.store.comment(1, "ann", "hm", world.now)
    world.plan()
    world.deliver()
    world.there().raw = "open"  # as Zammad does
    world.sync()
    assert world.ticket().ticket.acknowledged is None
    world.later(3600)
    world.sync()
    world.there().raw = "in progress"
    world.sync()
    assert world.ticket().ticket.acknowledged_by == "somebody (fake)"


def test_a_look_that_began_before_our_change_says_nothing(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.run()
    world.sync()
    with world.store.database.read() as connection:
        seen = mirrors.link(connection, 1, "fake")
    assert seen is not None and seen.state == "resolved"
    stale, looked = FakeSystem(world.server).read(seen.remote_id), world.now
    world.run(("web1", DISK, "/", "high"))
    world.plan()
    world.deliver()
    with world.store.database.write() as connection:
        mirror.take_over(connection, world.system, seen, stale, looked, world.now)
    assert world.ticket().ticket.state == "open"


def test_removed_there_is_told_and_made_anew(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    old = world.there()
    old.deleted = True
    world.store.comment(1, "ann", "for the new one", world.now)
    world.sync()
    world.sync()
    new = world.there()
    assert new is not old
    assert (new.key, f"the place of T-{old.id}" in new.draft.text) == (f"{old.key}-2", True)
    assert [one.text for one in new.comments] == ["ann: for the new one"]
    assert [line[2] for line in world.history() if line[0] == "mirror"] == [
        f"T-{old.id} in fake was removed there; a new one takes its place"
    ]
    world.sync()
    assert len(world.server.tickets) == 2


def test_removed_there_and_let_be(world: World) -> None:
    world.system = world.mirrored(on_gone="unlink")
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.there().deleted = True
    world.sync()
    world.store.comment(1, "ann", "for nobody", world.now)
    world.run()
    world.sync()
    assert len(world.server.tickets) == 1
    assert not [state for _kind, state in world.states() if state != "sent"]


def test_no_way_back_makes_a_new_one_that_names_the_old(world: World) -> None:
    world.server.no_way_back = True
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.run()
    world.sync()
    old = world.there()
    world.run(("web1", DISK, "/", "high"))
    world.server.faults = ["", "", "", "lost answer"]  # the ticket was made, and we do not hear of it
    world.sync()
    for _turn in range(5):
        world.sync()
    new = world.there()
    assert (old.state, new.state, len(world.server.tickets)) == ("resolved", "open", 2)
    assert f"the place of T-{old.id}" in new.draft.text
    world.run()
    world.sync()
    assert new.state == "resolved"


def test_it_takes_only_what_it_is_configured_for(world: World) -> None:
    world.system = world.mirrored(takes=lambda draft: draft.priority == "P1")
    world.run(("web1", DISK, "/", "low"))
    world.sync()
    world.store.comment(1, "ann", "early", world.now)
    world.sync()
    assert world.server.requests == []
    world.run(("web1", DISK, "/", "critical"))
    world.sync()
    assert (world.there().draft.priority, world.there().comments) == ("P1", [])
    world.run()
    world.sync()
    assert world.there().state == "resolved"


def test_a_new_system_is_told_of_what_is_open_now(world: World) -> None:
    world.run(("web1", DISK, "/", "high"), ("web1", PATCH, "nginx", "low"))
    world.run(("web1", DISK, "/", "high"))
    world.system = world.mirrored("second")
    world.sync()
    assert [there.draft.number for there in world.server.tickets.values()] == [
        detail.number for detail in world.store.tickets()
    ]


def test_planning_much_leaves_others_their_turn_and_a_kill_in_between_doubles_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both a system that is new, and a run that found much: no transaction plans more than BATCH tickets."""
    world.run(*((f"web{number}", f"capacity.disk.fault{number}", "/", "high") for number in range(25)))
    monkeypatch.setattr(mirror, "BATCH", 10)

    def killed(_seconds: float) -> None:
        raise KeyboardInterrupt

    def items() -> list[tuple[str, int | None]]:
        with world.store.database.read() as connection:
            listed = outbox.listed(connection, outboxes.STATES, world.system.queue, 100)
        return sorted((item.kind, item.ticket) for item in listed)

    for system in (world.mirrored("other"), world.mirrored()):
        world.system = system
        monkeypatch.setattr(mirror.time, "sleep", killed)
        for planned in (10, 20):
            with pytest.raises(KeyboardInterrupt):
                world.plan()
            assert len(items()) == planned
        world.run(*((f"web{number}", f"capacity.disk.fault{number}", "/", "high") for number in range(26)))
        monkeypatch.setattr(mirror.time, "sleep", lambda _seconds: None)
        world.plan()
        assert items() == [("open", number) for number in range(1, 27)]
        assert world.plan() == 0


def test_from_one_system_to_the_other(world: World) -> None:
    first, second = world.system, world.mirrored("second")
    world.run(("web1", DISK, "/", "high"))
    for system in (first, second):
        world.system = system
        world.sync()
    world.system = first
    world.server.say(world.there().id, "bob", "hello")
    for _turn in range(2):
        for system in (first, second):
            world.system = system
            world.sync()
    world.system = second
    assert [one.text for one in world.there().comments] == ["bob (first): hello".replace("first", "fake")]


def test_refused_is_told_in_the_history_and_can_be_dropped(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.plan()
    refusing = FakeSystem(world.server)

    def refuse(draft: Draft) -> Any:
        raise outboxes.Refused("no such project")

    refusing.open = refuse  # type: ignore[method-assign]
    broken = world.mirrored()
    makers = {broken.queue: lambda: mirror.TicketSender(world.store, Mirrored("fake", broken.takes, lambda: refusing))}
    Delivery(world.store, makers, Settings(), world.now).turn(broken.queue, 10)
    assert world.history()[-1] == (
        "mirror",
        "upkeep",
        "fake refuses this (open): no such project. upkeep outbox retry 1",
    )
    with world.store.database.write() as connection:
        outbox.drop(connection, 1, world.now)
    world.store.comment(1, "ann", "alone", world.now)
    world.run()
    world.sync()
    assert world.server.requests == [], "who dropped the ticket does not want its comments"


def test_a_late_commit_behind_all_patience_is_found_and_resolved(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.server.faults = ["lost"]
    world.sync(SETTLE + 1)
    world.sync()
    key = world.there().key
    late = FakeSystem(world.server).open(world.there().draft)  # the lost request, carried out minutes later
    assert [there.key for there in world.server.tickets.values()] == [key, key]
    for _turn in range(3):
        world.sync(600)
    assert world.there().state == "open"
    assert world.server.tickets[late.id].state == "resolved"
    assert "The same as" in world.server.tickets[late.id].comments[0].text


def test_held_stops_reading_too(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.server.always = "auth"
    for _turn in range(5):
        world.sync()
    assert world.server.requests[2:] == ["read 1", "probe"]
    with world.store.database.read() as connection:
        assert outbox.queues(connection)[0].held_why == "401 Unauthorized"


def test_a_secret_that_went_away_stops_reading_and_is_told(world: World) -> None:
    def no_secret() -> TicketSystem:
        raise Held("the secret {env: TOKEN} is not there")

    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.system = replace(world.system, make=no_secret)
    world.later(61)
    assert world.poll() == 0
    with world.store.database.read() as connection:
        assert outbox.queues(connection)[0].held_why == "the secret {env: TOKEN} is not there"


def test_hostile_names_do_not_pass_for_another_system(world: World) -> None:
    world.run(("web1", DISK, "/", "high"))
    world.sync()
    world.server.say(world.there().id, "eve (second)", "x" * 50_000)
    world.server.say(world.there().id, "", " \n ")
    world.sync()
    said = [line for line in world.history() if line[0] == "comment"]
    assert [(actor, len(text) <= 4000) for _kind, actor, text in said] == [("eve second (fake)", True)]


def test_keys_of_what_is_made_anew() -> None:
    assert [next_key("abc"), next_key("abc-2"), next_key("abc-9")] == ["abc-2", "abc-3", "abc-10"]


def test_texts_are_bounded(world: World) -> None:
    many = [("web1", DISK, f"/{number:03d}" + "x" * 180, "high") for number in range(300)]
    world.run(*many, evidence=("y" * 900,) * 20)
    detail = world.ticket()
    assert len(words.draft(detail).text) <= 30_000
    assert len(words.evidence(detail)) <= words.FILE_LIMIT
    world.sync()
    assert len(world.there().files) == 1
