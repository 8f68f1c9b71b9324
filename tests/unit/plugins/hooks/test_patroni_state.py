# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.patroni_state import (
    Cluster,
    behind,
    candidates,
    cluster_of,
    streaming_from,
)

LEADER = {"name": "pg1", "role": "leader", "state": "running", "timeline": 7}


def replica(name: str, lag: Any = 0, role: str = "replica", state: str = "streaming", **tags: Any) -> dict[str, Any]:
    return {"name": name, "role": role, "state": state, "timeline": 7, "lag": lag, "tags": tags}


def cluster(*replicas: dict[str, Any], **more: Any) -> Cluster:
    return cluster_of({"members": [LEADER, *replicas], **more})


def best(*replicas: dict[str, Any]) -> list[str]:
    return candidates(cluster(*replicas), 1000)[0]


def test_a_cluster_is_read() -> None:
    read = cluster(replica("pg2", "unknown"), scope="main", pause=True)
    assert read.scope == "main" and read.paused and read.leader is not None and read.leader.name == "pg1"
    member = read.member("pg2")
    assert member is not None and member.lag is None and member.up and not member.leads and member.timeline == 7
    assert read.member("pg3") is None and not cluster().paused
    standby = cluster_of({"members": [{**LEADER, "role": "standby_leader"}]})
    assert standby.leader is not None


def test_the_one_that_is_least_behind_takes_the_lead() -> None:
    assert best(replica("pg2", 900), replica("pg3", 10), replica("pg4", 10)) == ["pg3", "pg4", "pg2"]
    assert best(replica("pg2", 10), replica("pg3", 900, failover_priority=2)) == ["pg3", "pg2"]
    assert best(replica("pg2", state="running")) == ["pg2"], "as Patroni before 3.1 has it"


def test_where_there_are_synchronous_standbys_only_they_do() -> None:
    assert best(replica("pg2"), replica("pg3", 10, role="sync_standby")) == ["pg3"]
    assert best(replica("pg2"), replica("pg3", role="quorum_standby", state="stopped")) == []


def test_who_may_not_is_named_with_the_reason() -> None:
    bad = [
        replica("pg2", 1001), replica("pg3", "unknown"), replica("pg4", state="stopped"),
        replica("pg5", nofailover=True), replica("pg6", failover_priority=0),
        {"name": "pg7", "role": "replica", "state": "starting"},
    ]  # fmt: skip
    good, why = candidates(cluster(*bad), 1000)
    assert good == [] and len(why) == 6
    assert why[0] == "pg2 is 1001 bytes behind, more than max_lag (1000)"
    assert "how far pg3 is behind is not known" in why[1] and "pg4 is stopped" in why[2]
    assert "must not lead" in why[3] and "must not lead" in why[4] and "pg7 is starting" in why[5]
    assert candidates(cluster(replica("pg2"), replica("pg3", role="sync_standby")), 0)[1] == ["pg2 is not synchronous"]


def test_how_far_it_may_be_behind() -> None:
    [_, close, far] = cluster(replica("pg2", 1000), replica("pg3", 1001)).members
    assert behind(close, 1000) == "" and "1001 bytes" in behind(far, 1000)


@pytest.mark.parametrize(
    ("told", "names"),
    [
        (
            {"role": "master", "replication": [{"application_name": "a", "state": "streaming"}, {"state": "startup"}]},
            ["a"],
        ),
        ({"role": "primary", "replication": []}, []),
        ({"role": "replica", "replication": []}, None),
        ({"role": "master"}, None),
        ([], None),
        ({"role": "master", "replication": [7]}, []),
    ],
)
def test_who_streams(told: Any, names: list[str] | None) -> None:
    assert streaming_from(told) == names
