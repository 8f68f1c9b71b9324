# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of Kubernetes, the pods on it and their disruption budgets, as its API tells them. Pure.

Sources: the API reference of Node, Pod and PodDisruptionBudget; "Safely Drain a Node" for what a drain leaves alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, List, NamedTuple, Tuple

from .._findings import clean_line
from .outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

ANNOTATION = "upkeep.maintenance/cordoned"
"""Stands at a node that we have cordoned, and at no other."""
_MIRROR = "kubernetes.io/config.mirror"


class Node(NamedTuple):
    """One node."""

    cordoned: bool
    ours: bool
    ready: bool

    @property
    def status(self) -> str:
        """As ``kubectl get nodes`` has it."""
        return ("Ready" if self.ready else "NotReady") + (",SchedulingDisabled" if self.cordoned else "")

    @property
    def state(self) -> str:
        return "ready" if not self.cordoned else "drained" if self.ours else "maintenance"


class Pod(NamedTuple):
    """One pod."""

    namespace: str
    name: str
    uid: str
    labels: Tuple[Tuple[str, str], ...]
    stays: bool
    """A drain leaves it: it is of a DaemonSet, or the mirror of a static pod of the node's own."""
    ends: bool
    """It has been deleted, and is ending."""
    managed: bool
    """Somebody will make another one elsewhere; or it has finished, and nobody needs to."""
    empty_dir: bool
    """It keeps data on the node that are lost with it."""

    @property
    def label(self) -> str:
        return self.namespace + "/" + self.name


class Budget(NamedTuple):
    """One disruption budget."""

    namespace: str
    name: str
    selector: Any
    """As the API has it, or None, which is nobody's."""
    allowed: int
    healthy: int
    wanted: int

    @property
    def label(self) -> str:
        return self.namespace + "/" + self.name


def _not_read(expected: str, error: Exception) -> Failed:
    what = "%s was expected of the API: %s" % (expected, clean_line(repr(error), 160))
    return Failed(what, "Is this an API of Kubernetes?")


def node_of(told: Any) -> Node:
    """A node. Raises :class:`Failed`."""
    try:
        ready = [one["status"] for one in told["status"].get("conditions") or [] if one["type"] == "Ready"]
        noted = told["metadata"].get("annotations") or {}
        return Node(bool(told.get("spec", {}).get("unschedulable")), ANNOTATION in noted, ready == ["True"])
    except (KeyError, TypeError, AttributeError) as error:
        raise _not_read("a node", error) from None


def pods_of(told: Any) -> List[Pod]:
    """The pods of a list. Raises :class:`Failed`."""
    try:
        return [_pod(one["metadata"], one.get("spec") or {}, one.get("status") or {}) for one in told["items"]]
    except (KeyError, TypeError, AttributeError) as error:
        raise _not_read("a list of pods", error) from None


def _pod(metadata: Mapping[str, Any], spec: Mapping[str, Any], status: Mapping[str, Any]) -> Pod:
    kinds = [one["kind"] for one in metadata.get("ownerReferences") or [] if one.get("controller")]
    finished = status.get("phase") in ("Succeeded", "Failed")
    return Pod(
        str(metadata["namespace"]), str(metadata["name"]), str(metadata.get("uid")),
        tuple(sorted((str(name), str(value)) for name, value in (metadata.get("labels") or {}).items())),
        stays=("DaemonSet" in kinds and not finished) or _MIRROR in (metadata.get("annotations") or {}),
        ends=metadata.get("deletionTimestamp") is not None, managed=bool(kinds) or finished,
        empty_dir=not finished and any("emptyDir" in one for one in spec.get("volumes") or []),
    )  # fmt: skip


def budgets_of(told: Any) -> List[Budget]:
    """The disruption budgets of a list. Raises :class:`Failed`."""
    try:
        return [
            Budget(
                str(one["metadata"]["namespace"]), str(one["metadata"]["name"]), _selector(one),
                *(int((one.get("status") or {}).get(name) or 0) for name in _COUNTS),
            )
            for one in told["items"]
        ]  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _not_read("a list of disruption budgets", error) from None


_COUNTS = ("disruptionsAllowed", "currentHealthy", "desiredHealthy")


def _selector(budget: Mapping[str, Any]) -> Any:
    selector = budget["spec"].get("selector")
    # An empty one is everybody's in policy/v1, and nobody's in policy/v1beta1.
    return None if not selector and budget.get("apiVersion") == "policy/v1beta1" else selector


def takes_pods(columns: Sequence[str]) -> bool:
    """Whether a node (name, unschedulable, ready, effects of its taints) takes pods that come from elsewhere."""
    _name, unschedulable, ready, effects = columns
    return unschedulable != "true" and ready == "True" and not {"NoSchedule", "NoExecute"} & set(effects.split(","))


def refused(pods: Iterable[Pod], options: Mapping[str, Any]) -> List[str]:
    """Why the node is not drained: pods whose end would be a loss."""
    goes = [one for one in pods if not one.stays and not one.ends]
    told = []
    lone = [one.label for one in goes if not one.managed]
    if lone and not options["evict_unmanaged"]:
        told.append("nobody would make these pods again: %s" % ", ".join(lone))
    local = [one.label for one in goes if one.empty_dir]
    if local and not options["delete_emptydir_data"]:
        told.append("these pods keep data in an emptyDir, which would be lost: %s" % ", ".join(local))
    return told


def waiting(pods: Iterable[Pod], budgets: Iterable[Budget]) -> List[str]:
    """A line for each pod that is left, with the budgets that keep it."""
    budgets = list(budgets)
    lines = []
    for pod in pods:
        of_it = [one for one in budgets if _keeps(one, pod)]
        why = [
            "budget %s allows none: %d healthy, %d wanted" % (one.label, one.healthy, one.wanted)
            for one in of_it
            if one.allowed < 1
        ]
        if len(of_it) > 1:
            why.append("evictions fail where there is more than one budget: %s" % ", ".join(b.label for b in of_it))
        if pod.ends:
            why = ["it is ending"]
        lines.append(pod.label + (" (%s)" % "; ".join(why) if why else ""))
    return lines


def _keeps(budget: Budget, pod: Pod) -> bool:
    selector = budget.selector
    if budget.namespace != pod.namespace or not isinstance(selector, dict):
        return False
    labels = dict(pod.labels)
    if any(labels.get(name) != value for name, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(one, labels) for one in selector.get("matchExpressions") or [])


def _holds(expression: Any, labels: Mapping[str, str]) -> bool:
    if not isinstance(expression, dict):
        return False
    value, values = labels.get(str(expression.get("key"))), expression.get("values") or []
    operator = expression.get("operator")
    if operator in ("In", "NotIn"):
        return bool(value is not None and value in values) is (operator == "In")
    return (value is not None) is (operator == "Exists")
