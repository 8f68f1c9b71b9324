# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes drained and taken back by Debian's kubectl, talking to a stand-in of the API server (kubernetes_api.py)."""

from __future__ import annotations

import json
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain import drain
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_kubernetes import Kubernetes
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_options import SPEC, errors_of

from .http_server import free_port, says, serving
from .kubectl import kubectl
from .kubernetes_api import TOKEN, Cluster

pytestmark = pytest.mark.timeout(120)

NOTE = "upkeep.maintenance/cordoned"


class Site:
    """A cluster of node1 and node2, and how kubectl reaches it."""

    def __init__(self, folder: Path, url: str, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.url = url
        self.kubeconfig = self.configuration(url)
        cluster.node("node1")
        cluster.node("node2")

    def configuration(self, url: str, token: str = TOKEN) -> str:
        path = self.folder / f"config-{token}-{url[-5:]}"
        document = {
            "apiVersion": "v1", "kind": "Config", "current-context": "other",
            "clusters": [{"name": "c", "cluster": {"server": url, "certificate-authority": str(self.folder / "cert")}}],
            "users": [{"name": "u", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        }  # fmt: skip
        path.write_text(json.dumps(document))
        return str(path)

    def options(self, state: str, **more: Any) -> dict[str, Any]:
        plain = {"kind": "kubernetes", "server": "node1", "kubectl": str(kubectl()), "context": "here"}
        return {**plain, "kubeconfig": self.kubeconfig, "state": state, **more}

    def call(self, state: str, check: bool = False, **more: Any) -> dict[str, Any]:
        defaults = {name: one.get("default") for name, one in SPEC.items()}
        given = {**defaults, "timeout": 30, **self.options(state, **more)}
        assert errors_of(given) == []
        return drain(given, check)


def tls(folder: Path) -> ssl.SSLContext:
    """kubectl sends credentials by TLS only."""
    if not (folder / "cert").exists():
        words = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        words += ["-subj", "/CN=here", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", "key", "-out", "cert"]
        subprocess.run([*words, "-days", "2"], cwd=folder, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert", folder / "key")
    return context


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("HOME", str(tmp_path))  # kubectl keeps what it discovered there
    cluster = Cluster()
    with serving(cluster.answer, tls(tmp_path)) as server:
        yield Site(tmp_path, server.url, cluster)


def failed(told: dict[str, Any], check: str = "patch.drain.failed") -> dict[str, Any]:
    [one] = told["findings"]
    assert not told["ok"] and told["msg"] and told["coverage"] == [] and one["check"] == check and one["remedy"], told
    assert TOKEN not in str(told)
    return dict(one)


def test_drained_and_taken_back(site: Site) -> None:
    cluster = site.cluster
    cluster.pod("shop/web-1", "node1", ends=1.0)
    cluster.pod("shop/web-2", "node2")
    cluster.pod("shop/done", "node1", owner=None, phase="Succeeded", volumes=[{"name": "x", "emptyDir": {}}])
    cluster.pod("kube-system/proxy", "node1", owner="DaemonSet")
    cluster.pod("kube-system/etcd", "node1", owner="Node", annotations={"kubernetes.io/config.mirror": "x"})
    would = site.call("drained", check=True)
    assert would["ok"] and would["changed"] and cluster.patches == [] and cluster.evicted == [], would
    assert would["diff"]["after"] == "node1: drained\npods to evict: 0\n"
    did = site.call("drained")
    assert did["ok"] and did["changed"] and did["findings"] == [], did
    assert did["coverage"] == [{"check": "patch.drain.failed", "subject": "node1"}]
    assert set(cluster.pods) == {("shop", "web-2"), ("kube-system", "proxy"), ("kube-system", "etcd")}
    assert cluster.cordoned("node1") and not cluster.cordoned("node2") and len(cluster.patches) == 1
    assert did["servers"] == [
        {"backend": "here", "server": "node1", "status": "Ready,SchedulingDisabled", "state": "drained", "sessions": 0}
    ]
    for check in (False, True):
        assert not site.call("drained", check=check)["changed"]
    assert site.call("active", check=True)["changed"] and cluster.cordoned("node1")
    back = site.call("active")
    assert back["ok"] and back["changed"] and back["servers"][0]["state"] == "ready", back
    assert back["coverage"] == [{"check": "patch.drain.left", "subject": "node1"}]
    assert not cluster.cordoned("node1") and cluster.nodes["node1"]["metadata"]["annotations"] == {"theirs": "x"}
    assert not site.call("active")["changed"] and len(cluster.patches) == 2


def test_a_budget_that_blocks_is_named(site: Site) -> None:
    cluster = site.cluster
    cluster.pod("shop/web-1", "node1", labels={"app": "web"})
    cluster.pod("shop/other", "node1", labels={"app": "other"})
    cluster.budget("shop/keep-one", 1, app="web")
    late = site.call("drained", timeout=2)
    one = failed(late)
    assert "shop/web-1 (budget shop/keep-one allows none: 1 healthy, 1 wanted)" in one["summary"], one
    assert late["changed"] and cluster.evicted == ["other"] and cluster.cordoned("node1"), "what could go went"
    goes_on = site.call("drained", timeout=1, on_timeout="continue")
    assert goes_on["ok"] and not goes_on["changed"] and [one["severity"] for one in goes_on["findings"]] == ["low"]

    def heal() -> None:
        with cluster.lock:
            cluster.pod("shop/web-2", "node2", labels={"app": "web"})

    threading.Timer(1.0, heal).start()
    did = site.call("drained")
    assert did["ok"] and did["changed"] and did["findings"] == [] and cluster.evicted == ["other", "web-1"]


def test_pods_whose_end_would_be_a_loss_are_not_evicted_unless_asked(site: Site) -> None:
    cluster = site.cluster
    cluster.pod("shop/lone", "node1", owner=None)
    cluster.pod("shop/cache", "node1", volumes=[{"name": "x", "emptyDir": {}}])
    for check in (True, False):
        one = failed(site.call("drained", check=check))
        assert "nobody would make these pods again: shop/lone" in one["summary"]
        assert "emptyDir, which would be lost: shop/cache" in one["summary"]
    assert cluster.patches == [] and cluster.evicted == [], "nothing is done at all"
    assert "shop/cache" in failed(site.call("drained", evict_unmanaged=True))["summary"]
    assert site.call("drained", evict_unmanaged=True, delete_emptydir_data=True)["ok"]
    assert sorted(cluster.evicted) == ["cache", "lone"]


def test_what_somebody_else_cordoned_is_left_alone(site: Site) -> None:
    cluster = site.cluster
    cluster.nodes["node1"]["spec"]["unschedulable"] = True
    cluster.pod("shop/web-1", "node1")
    did = site.call("drained")
    assert did["ok"] and did["changed"] and cluster.evicted == ["web-1"] and cluster.patches == []
    back = site.call("active")
    assert back["ok"] and not back["changed"] and cluster.cordoned("node1")
    assert back["left_alone"] == ["node1 is cordoned, which somebody else did"]
    assert site.call("active", end_maintenance=True)["changed"] and not cluster.cordoned("node1")


def test_the_last_node_is_not_drained(site: Site) -> None:
    cluster = site.cluster
    cluster.node("node2", ready="Unknown")
    cluster.node("control", taints=[{"key": "node-role.kubernetes.io/control-plane", "effect": "NoSchedule"}])
    cluster.node("other", unschedulable=True)
    assert "node1 is the last node that takes pods" in failed(site.call("drained"))["summary"]
    assert cluster.patches == []
    assert site.call("drained", allow_last=True)["changed"] and cluster.cordoned("node1")


def test_two_at_the_same_moment_leave_one_that_takes_pods(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    look, cluster = Kubernetes.look, site.cluster

    def overtaken(self: Kubernetes) -> Any:
        seen = look(self)
        cluster.node("node2", unschedulable=True)
        return seen

    monkeypatch.setattr(Kubernetes, "look", overtaken)
    told = site.call("drained")
    assert "node1 is the last node that takes pods" in failed(told)["summary"] and not told["changed"]
    assert not cluster.cordoned("node1") and NOTE not in cluster.nodes["node1"]["metadata"].get("annotations", {})


def test_active_waits_until_the_node_is_ready(site: Site) -> None:
    cluster = site.cluster
    assert site.call("drained")["ok"]
    cluster.nodes["node1"]["status"]["conditions"][1]["status"] = "Unknown"
    late = site.call("active", timeout=0)
    assert "not ready for pods after 0 s: node1 is NotReady" in failed(late, "patch.drain.left")["summary"]
    assert late["changed"] and not cluster.cordoned("node1") and late["undone"], "it is uncordoned all the same"

    def rise() -> None:
        cluster.nodes["node1"]["status"]["conditions"][1]["status"] = "True"

    threading.Timer(1.0, rise).start()
    back = site.call("active")
    assert back["ok"] and not back["changed"] and back["waited"] >= 0.5


def test_what_goes_wrong_is_named(site: Site) -> None:
    def summary(**more: Any) -> str:
        one = failed(site.call("drained", **more))
        return str(one["summary"] + " " + one["remedy"])

    assert "node9" in summary(server="node9") and "as kubectl get nodes names it" in summary(server="node9")
    assert "context" in summary(context="nope")
    assert "whose credentials" in summary(kubeconfig=site.configuration(site.url, "wrong-t0k3n"))
    assert "refused" in summary(kubeconfig=site.configuration(f"https://127.0.0.1:{free_port()}"))
    assert "Install kubectl" in summary(kubectl="/none/such")
    site.cluster.pod("shop/web-1", "node1")
    site.cluster.forbidden = {"/eviction"}
    began = time.monotonic()
    told = summary()
    assert "evict" in told and "to list pods and budgets" in told and time.monotonic() - began < 20, told
    with serving(says(200, '{"kind": "Node", "metadata": 7}'), tls(site.folder)) as server:
        assert failed(site.call("drained", kubeconfig=site.configuration(server.url)))


def test_by_ansible(site: Site) -> None:
    def run(state: str, *more: str, **options: Any) -> dict[str, Any]:
        command = [str(Path(sys.executable).with_name("ansible")), "-i", "localhost,", "-c", "local", "localhost"]
        command += ["-e", f"ansible_python_interpreter={sys.executable}", "-m", "upkeep.maintenance.traffic_drain"]
        words = [*command, "-a", json.dumps(site.options(state, **options)), *more]
        ran = subprocess.run(words, capture_output=True, text=True, timeout=60)
        return {"failed": "FAILED!" in ran.stdout, **json.loads(ran.stdout[ran.stdout.index("=> ") + 3 :])}

    assert run("drained", "--check")["changed"] and run("drained")["changed"] and run("active")["changed"]
    bad = run("active", server="-A")
    assert bad["failed"] and "server" in bad["msg"]
