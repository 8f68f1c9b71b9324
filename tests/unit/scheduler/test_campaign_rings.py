# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which host comes when: rings by pattern, percent, count and rest; clusters in their order; batches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.unit.scheduler.campaign_world import fleet
from upkeep.campaign.model import DONE, Amount, Ring, Spec, Together, digest
from upkeep.campaign.rings import WrongRingsError, assign, next_batch, patterns, preview

HOSTS = ["db1", "db2", "db3", "web1", "web2", "web3", "web4", "web5", "web6", "web7"]
ROLES = {"db1": {"pg_role": "primary"}, "db2": {"pg_role": "standby"}, "db3": {"pg_role": "standby"}}


def rings_of(spec: Spec, matched: dict[str, list[str]]) -> dict[str, list[str]]:
    places = assign(spec, HOSTS, matched, ROLES)
    names = [ring.name for ring in spec.rings]
    made: dict[str, list[str]] = {name: [] for name in [*names, "none"]}
    for host, place in places.items():
        made["none" if place.ring is None else names[place.ring]].append(host)
    return made


@pytest.mark.parametrize(
    ("rings", "expected"),
    [
        ((Ring("all", rest=True),), [HOSTS, []]),
        ((Ring("few", count=2), Ring("rest", rest=True)), [HOSTS[:2], HOSTS[2:], []]),
        # Of all hosts, not of what is left; a part of a host is a host.
        ((Ring("a", percent=11), Ring("b", percent=20), Ring("c", rest=True)), [HOSTS[:2], HOSTS[2:4], HOSTS[4:], []]),
        ((Ring("a", percent=100), Ring("b", count=5)), [HOSTS, [], []]),
        # A ring by hosts chooses first, wherever it stands.
        ((Ring("few", count=1), Ring("web", hosts="web")), [HOSTS[:1], HOSTS[3:], HOSTS[1:3]]),
        ((Ring("web", hosts="web"), Ring("one", hosts="web1"), Ring("r", rest=True)), [HOSTS[3:], [], HOSTS[:3], []]),
    ],
)
def test_rings(rings: tuple[Ring, ...], expected: list[list[str]]) -> None:
    made = rings_of(Spec("os", rings=rings), {"web": HOSTS[3:], "web1": ["web1"]})
    assert list(made.values()) == expected


def test_a_cluster_has_its_order_within_its_places() -> None:
    matched = {"db": HOSTS[:3]}
    by_role = Together("db", ("standby", "primary"), "pg_role")
    spec = Spec("os", rings=(Ring("first", count=1), Ring("rest", rest=True)), one_at_a_time=(by_role,))
    assert rings_of(spec, matched) == {"first": ["db2"], "rest": ["db3", "db1", *HOSTS[3:]], "none": []}
    by_list = replace(spec, one_at_a_time=(Together("db", ("db3", "db1", "db2")),))
    assert rings_of(by_list, matched)["rest"][:2] == ["db1", "db2"]
    assert patterns(by_list) == ["db"]


@pytest.mark.parametrize(
    ("together", "rings", "said"),
    [
        (Together("db", ("standby",), "pg_role"), (Ring("r", rest=True),), "pg_role of db1: primary"),
        (Together("db", ("a", "b"), "no_such"), (Ring("r", rest=True),), "db1: none"),
        (Together("db", ("db1", "db2")), (Ring("r", rest=True),), "does not say when its turn is: db3"),
        (
            Together("db", ("standby", "primary"), "pg_role"),
            (Ring("canary", hosts="db1"), Ring("r", rest=True)),
            "db3 comes before db1 in its one_at_a_time group, and after it by rings (r after canary)",
        ),
    ],
)
def test_what_cannot_be_is_said(together: Together, rings: tuple[Ring, ...], said: str) -> None:
    spec = Spec("os", rings=rings, one_at_a_time=(together,))
    with pytest.raises(WrongRingsError) as error:
        assign(spec, HOSTS, {"db": HOSTS[:3], "db1": ["db1"]}, ROLES)
    assert said in str(error.value)


def test_a_host_is_of_one_cluster() -> None:
    spec = Spec("os", one_at_a_time=(Together("db"), Together("all")))
    with pytest.raises(WrongRingsError, match="db1 is of two"):
        assign(spec, HOSTS, {"db": HOSTS[:3], "all": HOSTS}, {})


def test_batches() -> None:
    spec = Spec("os", rings=(Ring("a", rest=True, batch=Amount(30, True)), Ring("b", rest=True, batch=Amount(2))))
    campaign = fleet(spec, [0] * 7 + [1] * 3, [0, 0, None, 0])
    assert preview(campaign) == [
        (0, ["h0", "h2", "h4"]),  # 30% of seven, rounded up; of the cluster one at a time
        (0, ["h1", "h5", "h6"]),
        (0, ["h3"]),
        (1, ["h7", "h8"]),
        (1, ["h9"]),
    ]
    # A member that may not begin holds those behind it.
    assert [host.name for host in next_batch(campaign, 0, {"h0"})] == ["h2", "h4", "h5"]
    done = replace(campaign, hosts=tuple(replace(one, state=DONE) for one in campaign.hosts))
    assert next_batch(done, 0, ()) == []


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [(3, 3, 3), (0, 1, 0), ("10%", 1, 1), ("9%", 1, 0), ("25%", 3, 2), ("100%", 10, 10), ("0%", 1, 0)],
)
def test_amounts(value: object, least: int, most: int) -> None:
    amount = Amount.parse(value)
    assert (amount.at_least_one(10), amount.at_most(10)) == (least, most)
    assert str(amount) == str(value)


@pytest.mark.parametrize("value", [-1, 1.5, True, "ten", "10", "-5%", "101%", "1e1%", "%", None, "\uff11%"])
def test_amounts_that_are_none(value: object) -> None:
    with pytest.raises(ValueError, match='as "10%"'):
        Amount.parse(value)


def test_the_digest_is_of_all_that_is_approved() -> None:
    spec = Spec("os", rings=(Ring("a", count=1), Ring("b", rest=True)), extra_vars={"x": [1, {"y": None}]})
    campaign = fleet(spec, [0, 1, 1])
    first = digest(spec, campaign.hosts)
    assert first == digest(Spec.from_json(spec.as_json()), campaign.hosts[::-1])
    other_plan = (replace(campaign.hosts[0], plan="p-other"), *campaign.hosts[1:])
    other_ring = (replace(campaign.hosts[1], ring=0), campaign.hosts[0], campaign.hosts[2])
    assert len({first, digest(spec, other_plan), digest(spec, other_ring), digest(spec, campaign.hosts[:2])}) == 4
    assert digest(replace(spec, extra_vars={"x": 2}), campaign.hosts) != first
    # How it stands is not what was approved.
    assert digest(spec, tuple(replace(one, state=DONE, batch=1) for one in campaign.hosts)) == first
