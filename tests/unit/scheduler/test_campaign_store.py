# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Campaigns and plans in the store: as they were written, claimed once, kept as long as they are needed; and told."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import Review, finding
from tests.unit.scheduler.campaign_world import fleet
from upkeep import selfreview
from upkeep.campaign import approving, carry, look, model, planning
from upkeep.campaign.model import DRAIN, QUARANTINED, RUNNING, SNAPSHOT, STOPPED, Campaign, Ring, RingState, Spec
from upkeep.campaign.planning import _host, changed_since, is_something
from upkeep.campaign.rings import Place
from upkeep.campaign.times import spans_of
from upkeep.config import Config
from upkeep.config_file import read
from upkeep.errors import UpkeepError
from upkeep.inventory import Facts
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, audit, campaigns, open_store, plans

SPEC = Spec("os", rings=(Ring("a", count=1), Ring("b", rest=True)), extra_vars={"x": [1]})


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(None, tmp_path / "home") as opened:
        yield opened


def planned(store: Store, run: int = 7, spec: Spec = SPEC) -> int:
    """A campaign over h0, h1 and h2 that waits for approval."""
    with store.database.write() as connection:
        number = campaigns.create(connection, spec, "anna", 100.0)
        hosts = fleet(spec, [0, 1, 1]).hosts
        runs = dict.fromkeys((host.name for host in hosts), run)
        campaigns.planned(connection, number, hosts, runs, model.digest(spec, hosts), 101.0)
        return number


def results(path: Path, run: str, made: dict[str, dict[str, object]], failed: Collection[str] = ()) -> Path:
    """The results file of a run that planned."""
    records = [_results.run_record(run, "site.yml", False, 50.0)]
    records += [{"type": "plan", "host": host, "plan": plan} for host, plan in made.items()]
    states = {host: "failed" if host in failed else "ok" for host in made}
    counts = {"ok": 1, "changed": 0, "failed": 0}
    records += [{"type": "host", "host": host, "state": state, **counts} for host, state in states.items()]
    records.append(_results.end_record(60.0, "finished"))
    path.write_text("".join(map(_results.line, records)))
    return path


def having(*specs: Spec) -> Config:
    """A configuration with these campaigns."""
    return Config(None, Path(), campaigns={spec.name: spec for spec in specs})


def plan(number: int, **more: object) -> dict[str, object]:
    return {"subject": "os", "id": f"p-{number:012x}", "summary": "1 package", "plan": {"packages": [1], **more}}


def test_it_is_as_it_was_written(store: Store) -> None:
    number = planned(store)
    with store.database.read() as connection:
        kept = campaigns.one(connection, number)
    assert kept.campaign == fleet(SPEC, [0, 1, 1], state="planned")
    assert (kept.number, kept.name, kept.created_by, kept.approved) == (1, "os", "anna", None)
    hosts = (
        replace(
            kept.campaign.hosts[0], state="drained", batch=1, why="ü", failed=True, tries=2, retry_at=5.5,
            silent_since=4.25, undo=frozenset({DRAIN, SNAPSHOT}), times={"drained": 3.5}, applying=True, lost=True,
        ),
        *kept.campaign.hosts[1:],
    )  # fmt: skip
    now = replace(
        kept.campaign, hosts=hosts, state=RUNNING, ending=STOPPED, why="because", forgiven=2,
        rings=(RingState(over=1.5, gated=None, tries=1, retry_at=2.5), RingState()),
    )  # fmt: skip
    with store.database.write() as connection:
        campaigns.save(connection, number, kept.campaign, now, "bob", 200.0)
    with store.database.read() as connection:
        assert campaigns.one(connection, number).campaign == now
        assert [(one.kind, one.since, one.cleared) for one in campaigns.undo_of(connection, number)] == [
            (DRAIN, 200.0, None), (SNAPSHOT, 200.0, None),
        ]  # fmt: skip
    undone = replace(now, hosts=(replace(hosts[0], undo=frozenset({SNAPSHOT})), *hosts[1:]))
    with store.database.write() as connection:
        campaigns.save(connection, number, now, undone, "", 300.0)
    with store.database.read() as connection:
        assert campaigns.one(connection, number).campaign == undone
        assert {one.kind: one.cleared for one in campaigns.undo_of(connection, number)} == {
            DRAIN: 300.0,
            SNAPSHOT: None,
        }
        acts = [(act.action, act.actor) for act in audit.listed(connection, action="campaign")]
    assert acts == [("campaign.planned", "anna"), ("campaign.running", "bob"), ("campaign.ending", "bob")]


def test_a_step_is_claimed_once_and_becomes_one_run(store: Store) -> None:
    number = planned(store)
    with store.database.write() as connection:
        step = campaigns.claim(connection, number, "prepare", ["h0"], 110.0, ring=0, batch=1)
        assert step is not None
        assert campaigns.begin(connection, step, "run-1") and not campaigns.begin(connection, step, "run-2")
        assert campaigns.end(connection, step, {"h0": "ok"}, "", 12.5, 130.0)
        assert not campaigns.end(connection, step, {"h0": "failed"}, "", None, 131.0), "it is learned from once"
        again = campaigns.claim(connection, number, "prepare", ["h1"], 140.0, ring=1, batch=2)
        assert again is not None
        campaigns.end(connection, again, {"h1": "ok"}, "", 7.0, 150.0)
        gate = campaigns.claim(connection, number, "prepare", ["h1"], 140.0, ring=1, gate=True)
        assert gate is not None
        campaigns.end(connection, gate, {}, "", 99.0, 150.0)
        one = campaigns.step_of(connection, step)
        assert one is not None and (one.sequence, one.run, one.outcomes) == (1, "run-1", {"h0": "ok"})
        assert campaigns.one(connection, number).campaign.measured == {"prepare": 12.5}
        assert campaigns.open_step(connection, number) is None


def test_a_newer_plan_takes_the_place_of_one_that_was_not_started(store: Store) -> None:
    first, second = planned(store), planned(store)
    with store.database.read() as connection:
        assert campaigns.one(connection, first).campaign.state == "replaced"
        assert campaigns.newest(connection, "os") == second and campaigns.newest(connection, "other") is None
        with pytest.raises(UpkeepError, match="there is no campaign 9"):
            campaigns.one(connection, 9)


def test_plans_come_with_a_runs_results_and_stay_as_long_as_a_campaign_needs_them(store: Store, tmp_path: Path) -> None:
    made: dict[str, dict[str, object]] = {f"h{place}": plan(place) for place in range(3)}
    recorded = record_file(store, results(tmp_path / "r1", "r1", made), Policy(), 70.0)
    run = recorded.run.number
    number = planned(store, run)
    with store.database.read() as connection:
        found = plans.of_hosts(connection, number)
        assert {host: (one.id, one.run, one.plan) for host, one in found.items()} == {
            host: (given["id"], run, given["plan"]) for host, given in made.items()
        }
        kept = campaigns.one(connection, number)
        assert changed_since(connection, kept, having(SPEC)) == []
        assert changed_since(connection, kept, having()) == ["os is not in upkeep.yml any more"]
    # A newer plan of a host, by whatever run, is told; so is another spec, and a store that was tampered with.
    record_file(store, results(tmp_path / "r2", "r2", {"h1": plan(99)}), Policy(), 80.0)
    with store.database.read() as connection:
        assert changed_since(connection, kept, having(SPEC)) == ["h1: planned anew by run 2: 1 package"]
        assert "soak in upkeep.yml is another" in changed_since(connection, kept, having(replace(SPEC, soak=1.0)))
        forged = replace(kept, campaign=replace(kept.campaign, hosts=kept.campaign.hosts[1:]))
        assert "what the store holds is not what its digest stands for" in changed_since(
            connection, forged, having(SPEC)
        )
    with store.database.write() as connection:
        assert plans.prune(connection, 1e9, model.ENDED) == 1, "only what no campaign needs"
        campaigns.save(connection, number, kept.campaign, replace(kept.campaign, state="aborted"), "anna", 400.0)
        assert campaigns.prune(connection, 399.0) == 0 and campaigns.prune(connection, 401.0) == 1
        assert plans.prune(connection, 1e9, model.ENDED) == 3


@pytest.mark.parametrize(
    "wrong", [{}, [], {"subject": "os", "id": "x", "summary": "s", "plan": {}}, plan(1) | {"plan": 5}]
)
def test_what_is_no_plan_is_not_recorded(store: Store, tmp_path: Path, wrong: object) -> None:
    with pytest.raises(UpkeepError) as error:
        record_file(store, results(tmp_path / "r", "r", {"h1": wrong}), Policy(), 70.0)  # type: ignore[dict-item]
    assert "a plan that keeps the contract" in error.value.expected


def test_who_needs_only_a_reboot_is_taken_where_the_campaign_may_reboot() -> None:
    reboots = Spec("os", extra_vars={"os_patch_reboot_ok": "yes"})
    due: dict[str, object] = {"packages": [], "reboot": {"needed": True}}
    assert is_something({"packages": [1]}, SPEC) and not is_something(due, SPEC) and is_something(due, reboots)
    for never in (
        replace(reboots, steps=("plan", "apply", "verify")),
        replace(reboots, asked=model.Asked(("CVE-2026-1234",))),
        replace(reboots, extra_vars={"os_patch_reboot_ok": False}),
    ):
        assert not is_something(due, never)
    only = plans.Plan("h1", "os", "p-1", 1, 1.0, "", due)
    place = Place(0, 3, None)
    host = _host("h1", place, only, {}, {}, 5.0, SPEC)
    assert host.state == "left_out" and "os_patch_reboot_ok is not in the campaign's extra_vars" in host.why
    host = _host("h1", place, only, {}, {}, 5.0, reboots)
    assert (host.state, host.ring, host.reboot) == ("planned", 0, True)
    idle = _host("h1", None, replace(only, plan={"packages": [], "reboot": {"needed": False}}), {}, {}, 5.0, reboots)
    assert idle.state == "done" and idle.why == "there is nothing to do"


def found(store: Store, campaign: Campaign, now: float = 10_000.0) -> dict[str, dict[str, object]]:
    """What self-review finds of a campaign that stands so."""
    number = planned(store)
    with store.database.write() as connection:
        was = campaigns.one(connection, number).campaign
        campaigns.set_started(connection, number, "anna", 150.0)
        campaigns.save(connection, number, was, campaign, "", 200.0)
    review = Review("upkeep")
    with store.database.read() as connection:
        look.look(connection, review, having(SPEC), now)
    assert {entry["check"] for entry in review.coverage} >= set(look.CHECKS)
    return {one["check"]: one for one in review.findings}


def test_nothing_is_found_of_what_goes_well(store: Store) -> None:
    assert found(store, fleet(SPEC, [0, 1, 1])) == {}


def test_what_needs_a_person_is_found(store: Store) -> None:
    one, two, three = fleet(SPEC, [0, 1, 1]).hosts
    hosts = (
        replace(one, state=QUARANTINED, batch=1, failed=True, why="rollback failed", undo=frozenset({DRAIN})),
        replace(two, state="done", batch=2, tries=3, undo=frozenset({SNAPSHOT})),
        three,
    )
    made = found(store, Campaign(SPEC, hosts, STOPPED, why="1 failed"))
    quarantined = made[look.QUARANTINED]
    assert (quarantined["severity"], quarantined["subject"]) == ("critical", "h0, campaign os")
    assert "upkeep campaign release os h0" in str(quarantined["remedy"])
    assert "drained, and its monitoring silenced" in json.dumps(quarantined["evidence"])
    assert "has stopped: 1 failed" in str(made[look.STOPPED]["summary"])
    assert made[look.LEFT]["subject"] == "h1 snapshot, campaign os"


def test_a_host_that_failed_is_told_with_its_reason_until_a_newer_plan_has_seen_it(store: Store) -> None:
    one, two, three = fleet(SPEC, [0, 1, 1]).hosts
    hosts = (
        replace(one, state="rolled_back", batch=1, failed=True, why="nginx is dead", times={"applied": 1.0}),
        replace(two, state="left_out", batch=2, failed=True, why="no room on /."),
        replace(three, state="left_out", why="h1 of its group failed: the others are left as they are"),
    )
    number = planned(store)
    with store.database.write() as connection:
        was = campaigns.one(connection, number).campaign
        campaigns.set_started(connection, number, "anna", 150.0)
        campaigns.save(connection, number, was, replace(was, hosts=hosts, state="finished"), "", 200.0)

    def told() -> dict[str, str]:
        review = Review("upkeep")
        with store.database.read() as connection:
            look.look(connection, review, having(SPEC), 10_000.0)
        return {one["subject"]: one["summary"] for one in review.findings if one["check"] == look.FAILED}

    assert told() == {
        "h0, campaign os": "h0 was brought back to what it was by the campaign os: nginx is dead.",
        "h1, campaign os": "h1 was not changed by the campaign os: no room on /.",
    }
    number = planned(store)
    assert len(told()) == 2, "a new plan by itself says nothing of them"
    with store.database.write() as connection:
        was = campaigns.one(connection, number).campaign
        idle = (replace(was.hosts[0], state="done", ring=None), *was.hosts[1:])
        campaigns.save(connection, number, was, replace(was, hosts=idle), "", 300.0)
    assert list(told()) == ["h1, campaign os"], "there is nothing to do on h0 any more"


def test_a_plan_that_waits_has_a_ticket_and_is_answered_there(store: Store, tmp_path: Path) -> None:
    config = replace(having(SPEC), home=tmp_path)

    def plan_it() -> int:
        made = {f"h{place}": plan(place) for place in range(3)}
        run = record_file(store, results(tmp_path / "r", f"r{time.time()}", made), Policy(), time.time()).run.number
        number = planned(store, run)
        selfreview.step(store, config, time.time())
        return number

    def waits() -> list[str]:
        return [one.state for one in store.tickets(None, check=look.WAITING)]

    def ticket() -> int:
        (one,) = store.tickets(check=look.WAITING)
        return one.number

    plan_it()
    assert waits() == ["open"]
    first = store.ticket(ticket())
    assert (first.ticket.priority, first.entries[0].summary) == (
        "P3", "The campaign os would change 3 hosts, and waits for approval."
    )  # fmt: skip
    # Planned anew: another plan, another ticket.
    second = plan_it()
    assert sorted(waits()) == ["open", "resolved"]
    store.comment(ticket(), "anna", "who has seen it?", time.time())
    assert approving.step(store, config, time.time()) == 0
    store.acknowledge(ticket(), "bob", "go", time.time())
    assert approving.step(store, config, time.time()) == 1
    with store.database.read() as connection:
        kept = campaigns.one(connection, second)
    assert (kept.approved_by, kept.campaign.state) == ("bob", "planned") and "go" in kept.approved_why
    selfreview.step(store, config, time.time())
    assert waits() == ["resolved", "resolved"]
    # Rejected: it is over. What is not as it was planned is approved by nobody.
    third = plan_it()
    store.comment(ticket(), "anna", "Rejected: not this week", time.time())
    assert approving.step(store, config, time.time()) == 1
    with store.database.read() as connection:
        kept = campaigns.one(connection, third)
    assert kept.campaign.state == "aborted" and "rejected by anna" in kept.campaign.why
    plan_it()
    store.acknowledge(ticket(), "bob", "", time.time())
    other = replace(config, campaigns={"os": replace(SPEC, soak=1.0)})
    assert approving.step(store, other, time.time()) == 0


def test_a_task_that_fails_in_a_step_opens_no_ticket_of_its_own(store: Store, tmp_path: Path) -> None:
    failed = finding("upkeep.task.failed", "Apply the plan", "medium", "It failed")
    dead = finding("patch.health.service_lost", "nginx.service", "critical", "It is dead")

    def run(name: str, *found: dict[str, object]) -> list[str]:
        records = [_results.run_record(name, "site.yml", False, time.time())]
        records += [{"type": "finding", "host": "h0", "finding": one} for one in found]
        records.append({"type": "host", "host": "h0", "state": "failed", "ok": 1, "changed": 0, "failed": 1})
        records.append(_results.end_record(time.time(), "finished"))
        path = tmp_path / name
        path.write_text("".join(map(_results.line, records)))
        recorded = record_file(store, path, Policy(), time.time())
        assert recorded.exit_code == 3 and len(recorded.findings) == len(found), "nothing is lost"
        return [change.what for change in recorded.changes]

    def step(name: str, run_id: str) -> None:
        with store.database.write() as connection:
            claimed = campaigns.claim(connection, number, name, ["h0"], 110.0)
            assert claimed is not None
            campaigns.begin(connection, claimed, run_id)

    number = planned(store)
    step("apply", "one")
    assert run("one", failed) == []
    assert run("by hand", failed) == ["opened"]
    # What stands already is kept up to date; what a plan could not do, the campaign has no words for.
    step("apply", "two")
    assert run("two", failed, dead) == ["opened", "seen"]
    step("plan", "three")
    other = finding("upkeep.task.failed", "Plan", "medium", "It failed")
    assert run("three", other) == ["opened"]


def test_one_that_cannot_go_on_by_itself_is_found(store: Store) -> None:
    one, *others = fleet(SPEC, [0, 1, 1]).hosts
    waits = replace(one, state="verified", batch=1, applying=True, tries=4, retry_at=1e9, why="the balancer is away")
    made = found(store, Campaign(SPEC, (waits, *others), RUNNING))
    assert made[look.STOPPED]["summary"] == (
        "The campaign os is held up: h0 waits for undrain; tried 4 times: the balancer is away."
    )


def test_a_host_that_came_through_since_is_no_longer_told_of(store: Store) -> None:
    one, *others = fleet(SPEC, [0, 1, 1]).hosts
    assert look.QUARANTINED in found(
        store, Campaign(SPEC, (replace(one, state=QUARANTINED, batch=1), *others), "finished")
    )
    assert look.QUARANTINED not in found(
        store, Campaign(SPEC, (replace(one, state="done", batch=1), *others), "finished")
    )


def test_its_windows_are_less_the_freezes_that_concern_it(tmp_path: Path) -> None:
    (tmp_path / "upkeep.yml").write_text(
        """
time_zone: UTC
freezes:
  - {name: all, from: 1970-01-02, to: 1970-01-02}
  - {name: other, from: 1970-01-03, to: 1970-01-03, jobs: ["weekly"]}
  - {name: some hosts, from: 1970-01-04, to: 1970-01-04, hosts: [db]}
campaigns: {os: {window: "10:00-12:00"}, always: {}}
"""
    )
    config = read(tmp_path / "upkeep.yml", tmp_path)
    day = 86400.0
    spans = spans_of(config, config.campaigns["os"], 0.0)
    assert spans[:3] == [(n * day + 36000, n * day + 43200) for n in (0, 2, 3)]
    assert spans_of(config, config.campaigns["always"], 5.0) == [(5.0, day), (2 * day, float("inf"))]
    assert spans_of(Config(None, tmp_path), Spec("x"), 5.0) == [(5.0, float("inf"))]


def test_a_step_is_told_when_its_window_closes_and_only_its_preparation_of_backups(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "upkeep.yml").write_text(
        """
time_zone: UTC
freezes: [{name: some, from: "1970-01-02 11:00", to: "1970-01-02 23:00"}]
campaigns: {os: {window: "10:00-12:00", extra_vars: {os_patch_plans: wrong, x: 1}}, always: {}}
"""
    )
    config = read(tmp_path / "upkeep.yml", tmp_path)
    made = {f"h{place}": plan(place, packages=[{"name": "{{ x }}"}]) for place in range(3)}
    run = record_file(store, results(tmp_path / "r1", "r1", made), Policy(), 70.0).run.number

    def told(name: str, step: str, now: float) -> tuple[dict[str, object], dict[str, object]]:
        number = planned(store, run, replace(config.campaigns[name]))
        with store.database.write() as connection:
            claimed = campaigns.claim(connection, number, step, ["h0", "h2"], now, ring=0, batch=1)
        assert claimed is not None
        _job, given = carry.job_and_plan(store, config, claimed, now)
        return dict(given.extra_vars), dict(given.handed)

    day, ten, twelve = 86400.0, 36000.0, 43200.0
    extra, handed = told("os", "prepare", ten + 60)
    assert extra["os_patch_campaign"]["window_ends"] == twelve  # type: ignore[index]
    assert (extra["x"], extra["os_patch_steps"]) == (1, ["prepare"])
    assert handed["upkeep_backup_results"] == {}
    plans_ = handed["os_patch_plans"]
    assert isinstance(plans_, dict) and list(plans_) == ["h0", "h2"]
    # A freeze that begins within it closes it; when none is open, nothing is to begin.
    assert told("os", "prepare", day + ten)[0]["os_patch_campaign"]["window_ends"] == day + 39600.0  # type: ignore[index]
    assert told("os", "prepare", twelve)[0]["os_patch_campaign"]["window_ends"] == twelve  # type: ignore[index]
    extra, handed = told("always", "drain", 2 * day)
    assert "window_ends" not in extra["os_patch_campaign"] and "upkeep_backup_results" not in handed  # type: ignore[operator]


def test_who_has_a_host_and_who_is_to_come(store: Store) -> None:
    other = replace(SPEC, name="db")
    first = planned(store)
    with store.database.write() as connection:
        was = campaigns.one(connection, first).campaign
        one, two, three = was.hosts
        now = replace(was, state=RUNNING, hosts=(replace(one, batch=1, state="applied"), two, three))
        campaigns.save(connection, first, was, now, "", 200.0)
    second = planned(store, spec=other)
    with store.database.write() as connection:
        kept = campaigns.one(connection, second)
        at_work = "h0 is at work in campaign 1, os"
        assert campaigns.held(connection, second) == {"h0": model.Held(at_work)}
        assert campaigns.held(connection, first) == {}, "what only waits has nobody"
        assert planning.overlap(connection, kept) == [
            at_work, "h1 is to come in campaign 1, os", "h2 is to come in campaign 1, os"
        ]  # fmt: skip
        # It is paused: what is to come there, comes when it is resumed.
        paused = replace(now, state="paused", hosts=(replace(one, batch=1, state="done"), two, three))
        campaigns.save(connection, first, now, paused, "", 300.0)
        assert planning.overlap(connection, kept) == []
        # Out of service by another one's word, whatever became of that.
        left = frozenset({DRAIN})
        hosts = (
            replace(one, batch=1, state=QUARANTINED, undo=left),
            replace(two, batch=1, state="done", undo=frozenset({SNAPSHOT})),
            replace(three, batch=1, state=QUARANTINED, undo=left, lost=True),
        )
        campaigns.save(connection, first, paused, replace(paused, state="finished", hosts=hosts), "", 400.0)
        assert campaigns.held(connection, second) == {
            "h0": model.Held("h0 is quarantined by campaign 1, os", True),
            "h2": model.Held("h2 is still drained by campaign 1, os"),
        }


def test_a_host_whose_plan_failed_takes_no_part_whatever_it_told(store: Store, tmp_path: Path) -> None:
    number, step = planning.begin_plan(store, SPEC, ["h0", "h1", "h2"], "anna", 1.0)
    with store.database.write() as connection:
        campaigns.begin(connection, step.id, "r1")
    made = {"h0": plan(0), "h1": plan(1), "h2": plan(2, packages=[])}
    record_file(store, results(tmp_path / "r1", "r1", made, failed=["h1"]), Policy(), 70.0)
    kept = planning.keep_plan(store, having(SPEC), number, Facts({}, {}), 80.0)
    hosts = {host.name: (host.ring, host.state, host.why) for host in kept.campaign.hosts}
    assert hosts == {
        "h0": (0, "planned", ""),
        "h1": (None, "left_out", "not planned: its plan failed"),
        "h2": (None, "done", "there is nothing to do"),
    }
