# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.kubernetes_state import (
    Node,
    Pod,
    budgets_of,
    node_of,
    pods_of,
    refused,
    takes_pods,
    waiting,
)
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.outcome import Failed

OURS = {"annotations": {"upkeep.maintenance/cordoned": "drained"}}


def pod(owner: str = "ReplicaSet", phase: str = "Running", volumes: Any = (), **metadata: Any) -> Pod:
    told: dict[str, Any] = {"namespace": "shop", "name": "web", "uid": "u", **metadata}
    if owner:
        told["ownerReferences"] = [{"kind": "Other"}, {"kind": owner, "controller": True}]
    [made] = pods_of({"items": [{"metadata": told, "spec": {"volumes": list(volumes)}, "status": {"phase": phase}}]})
    return made


def budget(selector: Any, allowed: int = 0, version: str = "policy/v1", name: str = "keep") -> dict[str, Any]:
    status = {"disruptionsAllowed": allowed, "currentHealthy": 2, "desiredHealthy": 2}
    metadata = {"namespace": "shop", "name": name}
    return {"apiVersion": version, "metadata": metadata, "spec": {"selector": selector}, "status": status}


def kept(selector: Any, **more: Any) -> bool:
    lines = waiting([pod(labels={"app": "web", "tier": "front"})], budgets_of({"items": [budget(selector, **more)]}))
    return lines == ["shop/web (budget shop/keep allows none: 2 healthy, 2 wanted)"]


def test_nodes_are_read() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    assert node_of({"metadata": {}, "spec": {}, "status": ready}) == Node(cordoned=False, ours=False, ready=True)
    ours = node_of({"metadata": OURS, "spec": {"unschedulable": True}, "status": {}})
    assert (ours.status, ours.state) == ("NotReady,SchedulingDisabled", "drained")
    theirs = node_of({"metadata": {"annotations": None}, "spec": {"unschedulable": True}, "status": ready})
    assert (theirs.status, theirs.state) == ("Ready,SchedulingDisabled", "maintenance")


def test_what_a_drain_leaves_alone() -> None:
    assert pod("DaemonSet").stays and pod("Node", annotations={"kubernetes.io/config.mirror": "x"}).stays
    assert not pod().stays and not pod("DaemonSet", phase="Failed").stays and not pod("").stays
    assert pod(deletionTimestamp="2026-11-23T00:00:00Z").ends and not pod().ends


def test_what_is_refused() -> None:
    asked = {"evict_unmanaged": False, "delete_emptydir_data": False}
    local = [{"name": "x", "emptyDir": {}}]
    assert refused([pod(), pod("DaemonSet", volumes=local), pod("", phase="Succeeded", volumes=local)], asked) == []
    assert refused([pod("", deletionTimestamp="x")], asked) == [], "it is going already"
    [lone] = refused([pod("")], asked)
    assert "nobody would make these pods again: shop/web" in lone
    assert refused([pod("")], {**asked, "evict_unmanaged": True}) == []
    assert len(refused([pod("", volumes=local)], asked)) == 2
    assert refused([pod(volumes=local)], {**asked, "delete_emptydir_data": True}) == []


@pytest.mark.parametrize(
    ("selector", "keeps"),
    [
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["api", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"app": "web"}, "matchExpressions": [{"key": "zone", "operator": "Exists"}]}, False),
        ({}, True),
        (None, False),
        ("nonsense", False),
    ],
)
def test_selectors(selector: Any, keeps: bool) -> None:
    assert kept(selector) is keeps


def test_budgets_that_say_nothing_or_too_much() -> None:
    assert not kept({}, version="policy/v1beta1"), "there, an empty selector is nobody's"
    assert not kept({}, allowed=1)
    two = budgets_of({"items": [budget({}, allowed=1), budget({}, allowed=1, name="too")]})
    [line] = waiting([pod()], two)
    assert "more than one budget: shop/keep, shop/too" in line
    assert waiting([pod(deletionTimestamp="x")], two) == ["shop/web (it is ending)"]


def test_who_takes_pods() -> None:
    assert takes_pods(["n", "<none>", "True", "<none>"]) and takes_pods(["n", "false", "True", "<none>"])
    assert not takes_pods(["n", "true", "True", "<none>"]) and not takes_pods(["n", "<none>", "Unknown", "<none>"])
    assert not takes_pods(["n", "<none>", "True", "NoSchedule"])
    assert not takes_pods(["n", "<none>", "True", "PreferNoSchedule,NoExecute"])
    assert takes_pods(["n", "<none>", "True", "PreferNoSchedule"]), "it would rather not, and does"


@pytest.mark.parametrize("told", [None, [], {}, {"items": 7}, {"items": [7]}, {"items": [{}]}, {"metadata": 7}])
def test_an_answer_that_is_none_is_told(told: Any) -> None:
    for reader in (node_of, pods_of, budgets_of):
        with pytest.raises(Failed, match="was expected of the API"):
            reader(told)
