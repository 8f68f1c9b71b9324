# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A stand-in for the API server of Kubernetes, which Debian does not have, for the real kubectl to talk to.

As far as the API's reference goes for discovery, nodes (get, list, merge patch), pods (list by field selector, get,
eviction with disruption budgets, and the pod's time to end), daemonsets and disruption budgets. There is no scheduler:
what is evicted is made nowhere else, unless a test does so.
"""

from __future__ import annotations

import http.server
import json
import threading
import time
import urllib.parse
from typing import Any

from .http_server import says

TOKEN = "k8s-t0k3n-k8s"


class Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, code: int, reason: str, message: str, details: Any = None) -> None:
        super().__init__(message)
        self.code, self.reason, self.message, self.details = code, reason, message, details


class Cluster:
    """Nodes, pods and budgets; ``policy`` is the version of the API of the budgets (v1 since 1.21)."""

    def __init__(self, policy: str = "v1beta1") -> None:
        self.policy = policy
        self.lock = threading.RLock()
        self.nodes: dict[str, dict[str, Any]] = {}
        self.pods: dict[tuple[str, str], dict[str, Any]] = {}
        self.budgets: dict[tuple[str, str], dict[str, Any]] = {}
        self.patches: list[Any] = []
        self.evicted: list[str] = []
        self.forbidden: set[str] = set()
        """Parts of paths that this account may not ask for."""
        self.uid = 0

    # -- what a test makes

    def node(self, name: str, ready: str = "True", **spec: Any) -> None:
        conditions = [{"type": "MemoryPressure", "status": "False"}, {"type": "Ready", "status": ready}]
        self.nodes[name] = {
            "kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "uid": name, "annotations": {"theirs": "x"}},
            "spec": spec, "status": {"conditions": conditions},
        }  # fmt: skip

    def pod(self, label: str, node: str, owner: str | None = "ReplicaSet", ends: float = 0.0, **more: Any) -> None:
        """``ends``: seconds that it takes to end once it is evicted."""
        namespace, name = label.split("/")
        self.uid += 1
        metadata: dict[str, Any] = {
            "namespace": namespace, "name": name, "uid": f"u{self.uid}", "labels": more.pop("labels", {}),
            "annotations": more.pop("annotations", {}),
        }  # fmt: skip
        if owner:
            reference = {"apiVersion": "apps/v1", "kind": owner, "name": "owner", "uid": "o", "controller": True}
            metadata["ownerReferences"] = [reference]
        self.pods[(namespace, name)] = {
            "kind": "Pod", "apiVersion": "v1", "metadata": metadata,
            "spec": {"nodeName": node, "containers": [], "volumes": more.pop("volumes", [])},
            "status": {"phase": more.pop("phase", "Running")},
            "_ends": ends,
        }  # fmt: skip
        assert not more, more

    def budget(self, label: str, wanted: int, **labels: str) -> None:
        namespace, name = label.split("/")
        self.budgets[(namespace, name)] = {
            "kind": "PodDisruptionBudget", "apiVersion": "policy/" + self.policy,
            "metadata": {"namespace": namespace, "name": name},
            "spec": {"minAvailable": wanted, "selector": {"matchLabels": labels}}, "status": {},
        }  # fmt: skip
        self.count()

    def count(self) -> None:
        """What the controller of the budgets does."""
        with self.lock:
            for (namespace, _name), budget in self.budgets.items():
                healthy = sum(self.keeps(budget, pod) for (where, _), pod in self.pods.items() if where == namespace)
                wanted = budget["spec"]["minAvailable"]
                budget["status"] = {
                    "disruptionsAllowed": max(0, healthy - wanted), "currentHealthy": healthy, "desiredHealthy": wanted,
                    "expectedPods": healthy,
                }  # fmt: skip

    @staticmethod
    def keeps(budget: dict[str, Any], pod: dict[str, Any]) -> bool:
        labels = pod["metadata"]["labels"]
        alive = "deletionTimestamp" not in pod["metadata"] and pod["status"]["phase"] == "Running"
        return alive and budget["spec"]["selector"]["matchLabels"].items() <= labels.items()

    def cordoned(self, name: str) -> bool:
        return bool(self.nodes[name]["spec"].get("unschedulable"))

    # -- the API

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        try:
            with self.lock:
                code, told = 200, self.do(handler)
                code = 201 if handler.command == "POST" else code
        except Refused as refused:
            code = refused.code
            told = {
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": refused.message,
                "reason": refused.reason, "code": code, "details": refused.details or {},
            }  # fmt: skip
        says(code, json.dumps(told), **{"Content-Type": "application/json"})(handler)

    def do(self, handler: http.server.BaseHTTPRequestHandler) -> Any:
        if handler.headers.get("Authorization") != "Bearer " + TOKEN:
            raise Refused(401, "Unauthorized", "Unauthorized")
        url = urllib.parse.urlsplit(handler.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if any(part in url.path for part in self.forbidden):
            raise Refused(403, "Forbidden", f'"{url.path}" is forbidden: User "upkeep" cannot do that')
        parts = url.path.strip("/").split("/")
        self.end_what_is_due()
        found = self.discovery(url.path)
        if found is not None:
            return found
        body = handler.body  # type: ignore[attr-defined]
        if parts[:3] == ["api", "v1", "nodes"]:
            if len(parts) == 3:
                return {"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": list(self.nodes.values())}
            return self.one_node(parts[3], handler, body)
        if url.path == "/api/v1/pods":
            field, _, node = query.get("fieldSelector", "").partition("=")
            assert field == "spec.nodeName", query
            items = [_told(pod) for pod in self.pods.values() if pod["spec"]["nodeName"] == node]
            return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}
        if parts[:3] == ["api", "v1", "namespaces"] and parts[4] == "pods":
            pod = self.pods.get((parts[3], parts[5]))
            if pod is None:
                raise Refused(404, "NotFound", f'pods "{parts[5]}" not found', {"name": parts[5], "kind": "pods"})
            if parts[6:] == ["eviction"] and handler.command == "POST":
                assert json.loads(body)["kind"] == "Eviction"
                return self.evict(pod)
            assert handler.command == "GET", handler.command
            return _told(pod)
        if parts[:3] == ["apis", "apps", "v1"] and parts[5] == "daemonsets":
            return {"kind": "DaemonSet", "apiVersion": "apps/v1", "metadata": {"name": parts[6], "uid": "o"}}
        if url.path == f"/apis/policy/{self.policy}/poddisruptionbudgets":
            self.count()
            version = "policy/" + self.policy
            items = list(self.budgets.values())
            return {"kind": "PodDisruptionBudgetList", "apiVersion": version, "metadata": {}, "items": items}
        raise Refused(404, "NotFound", "the server could not find the requested resource")

    def discovery(self, path: str) -> Any:
        policy = {"groupVersion": "policy/" + self.policy, "version": self.policy}
        apps = {"groupVersion": "apps/v1", "version": "v1"}
        core = [_resource("nodes", "Node", False), _resource("pods", "Pod", True)]
        core.append({**_resource("pods/eviction", "Eviction", True), "group": "policy", "version": self.policy})
        groups = [
            {"name": name, "versions": [version], "preferredVersion": version}
            for name, version in (("apps", apps), ("policy", policy))
        ]
        told: dict[str, Any] = {
            "/version": {"major": "1", "minor": "20" if self.policy == "v1beta1" else "30", "gitVersion": "v1.20.2"},
            "/api": {"kind": "APIVersions", "versions": ["v1"]},
            "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups},
            "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": core},
            "/apis/apps/v1": {
                "kind": "APIResourceList", "groupVersion": "apps/v1",
                "resources": [_resource("daemonsets", "DaemonSet", True)],
            },
            "/apis/policy/" + self.policy: {
                "kind": "APIResourceList", "groupVersion": "policy/" + self.policy,
                "resources": [_resource("poddisruptionbudgets", "PodDisruptionBudget", True)],
            },
        }  # fmt: skip
        return told.get(path)

    def one_node(self, name: str, handler: http.server.BaseHTTPRequestHandler, body: bytes) -> Any:
        if name not in self.nodes:
            raise Refused(404, "NotFound", f'nodes "{name}" not found', {"name": name, "kind": "nodes"})
        if handler.command == "PATCH":
            assert handler.headers.get("Content-Type") == "application/merge-patch+json"
            patch = json.loads(body)
            self.patches.append(patch)
            self.nodes[name] = _merged(self.nodes[name], patch)
        return self.nodes[name]

    def evict(self, pod: dict[str, Any]) -> Any:
        self.count()
        of_it = [one for one in self.budgets.values() if self.keeps(one, pod)]
        if len(of_it) > 1:
            raise Refused(500, "InternalError", "This pod has more than one PodDisruptionBudget")
        if of_it and of_it[0]["status"]["disruptionsAllowed"] < 1:
            raise Refused(
                429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.",
                {"causes": [{"reason": "DisruptionBudget", "message": "The disruption budget needs more"}]},
            )  # fmt: skip
        pod["metadata"]["deletionTimestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        pod["_gone"] = time.monotonic() + pod["_ends"]
        self.evicted.append(pod["metadata"]["name"])
        self.end_what_is_due()
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}

    def end_what_is_due(self) -> None:
        for label, pod in list(self.pods.items()):
            if pod.get("_gone", time.monotonic() + 1) <= time.monotonic():
                del self.pods[label]


def _told(pod: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in pod.items() if not name.startswith("_")}


def _resource(name: str, kind: str, namespaced: bool) -> dict[str, Any]:
    verbs = ["get", "list", "patch", "create", "delete", "watch"]
    return {"name": name, "singularName": "", "kind": kind, "namespaced": namespaced, "verbs": verbs}


def _merged(there: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    made = dict(there) if isinstance(there, dict) else {}
    for name, value in patch.items():
        if value is None:
            made.pop(name, None)
        else:
            made[name] = _merged(made.get(name), value)
    return made
