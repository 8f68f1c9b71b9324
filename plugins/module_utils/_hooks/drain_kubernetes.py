# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node of Kubernetes drained or taken back by ``kubectl`` (1.20 and later), as its disruption budgets let it."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from .._findings import clean_line
from .._process import run
from .drain_command import said_by
from .draining import Look, Open
from .kubernetes_state import ANNOTATION, budgets_of, node_of, pods_of, refused, takes_pods, waiting
from .outcome import Failed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._process import Ended
    from .kubernetes_state import Budget, Node, Pod

_ANSWER = 128 * 1024 * 1024
_COLUMNS = (
    "custom-columns=A:.metadata.name,B:.spec.unschedulable,"
    'C:.status.conditions[?(@.type=="Ready")].status,D:.spec.taints[*].effect'
)
_ITS_ERRORS = ("error", "Error", "Unable to", "The connection")
"""How the lines begin in which kubectl says what went wrong, beside what its libraries log."""
_GRACE = 20.0
"""Seconds by which kubectl may miss its own limit before it is ended."""


class Kubernetes:
    """One node."""

    by = "Kubernetes"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options, self._name = options, options["server"]
        self._drained = options["state"] == "drained"
        self.where = "%s, context %s" % (options["kubectl"], options["context"] or "as its configuration has it")
        self._cordon = self._uncordon = self._alone = False
        self._done: list[str] = []

    def look(self) -> Look:
        node, pods = self._node(), self._pods()
        before = self._shown(node.state, len(pods))
        if not self._drained:
            self._alone = node.cordoned and not node.ours and not self._options["end_maintenance"]
            self._uncordon = node.ours or (node.cordoned and not self._alone)
            after = self._shown("ready" if self._uncordon else node.state, len(pods))
            alone = ["%s is cordoned, which somebody else did" % self._name] if self._alone else []
            return Look(self._told(node, len(pods)), before, after, self._uncordon, alone)
        self._cordon = not node.cordoned
        why = refused(pods, self._options)
        if why:
            raise Failed(
                "; ".join(why), "evict_unmanaged and delete_emptydir_data do it all the same, if that is no loss."
            )
        if self._cordon and not self._options["allow_last"]:
            self._refuse_the_last()
        after = self._shown("drained" if self._cordon else node.state, 0)
        changes = self._cordon or any(not one.ends for one in pods)
        return Look(self._told(node, len(pods)), before, after, changes, [])

    def carry_out(self, done: list[str]) -> None:
        self._done = done
        if self._cordon:
            self._patch("drained", True)
            done.append("%s cordoned" % self._name)
            if not self._options["allow_last"]:
                self._leave_one(done)
        if self._uncordon:
            self._patch(None, None)
            done.append("%s uncordoned" % self._name)

    def left(self, seconds: float) -> Open:
        node, pods = self._node(), self._pods()
        if not self._drained:
            gone_wrong = [] if node.ready and not node.cordoned else ["%s is %s" % (self._name, node.status)]
            remedy = "It gets no pods: see its kubelet, and kubectl describe node %s." % self._name
            return Open(self._told(node, len(pods)), [] if self._alone else gone_wrong, "not ready for pods", remedy)
        if not node.cordoned:
            raise Failed("%s takes pods again" % self._name, "Somebody has uncordoned it: drain it again.")
        if any(not one.ends for one in pods):
            pods = self._evict(pods, seconds)
        if not pods:
            return Open(self._told(node, 0), [], "", "")
        lines = waiting(pods, self._budgets())
        remedy = "Let more pods of the budget be healthy elsewhere, or raise timeout."
        return Open(self._told(node, len(pods)), lines, "pods were left", remedy + " The node stays cordoned.")

    # -- how

    def _evict(self, pods: Sequence[Pod], seconds: float) -> list[Pod]:
        """Let kubectl evict them for so long; those that are left. Raises :class:`Failed` when it gives up before."""
        limit = max(1, math.ceil(seconds))  # To kubectl, 0 is for ever.
        words = ["drain", self._name, "--ignore-daemonsets", "--timeout=%ds" % limit]
        if self._options["evict_unmanaged"]:
            words.append("--force")
        if self._options["delete_emptydir_data"]:
            words.append("--delete-emptydir-data")
        ended = self._run(words, limit + _GRACE)
        left = self._pods()
        gone = {one.uid for one in pods} - {one.uid for one in left}
        if gone:
            self._done.append("%d pods evicted" % len(gone))
        if ended.rc != 0 and left and not ended.ended_by and ended.seconds < limit - 1:
            raise self._failed(words, ended)
        return left

    def _refuse_the_last(self) -> None:
        rows = [line.split() for line in self._read(["get", "nodes", "--no-headers", "-o", _COLUMNS]).splitlines()]
        others = [row for row in rows if len(row) == 4 and row[0] != self._name]
        if not any(takes_pods(row) for row in others):
            raise Failed(
                "%s is the last node that takes pods" % self._name,
                "Bring another one back first; allow_last drains it all the same, and its pods wait until it is back.",
            )

    def _leave_one(self, done: list[str]) -> None:
        """Who cordons the others at the same moment has seen this one take pods: so it is looked again."""
        try:
            self._refuse_the_last()
        except Failed:
            self._patch(None, None)
            done.clear()
            raise

    def _patch(self, note: str | None, cordoned: bool | None) -> None:
        # One patch for both, so that no node is ever cordoned by us without saying so. null takes a field away.
        patch = {"metadata": {"annotations": {ANNOTATION: note}}, "spec": {"unschedulable": cordoned}}
        self._read(["patch", "node", self._name, "--type=merge", "-p", json.dumps(patch), "-o", "name"])

    def _node(self) -> Node:
        return node_of(self._json(["get", "node", self._name, "-o", "json"]))

    def _pods(self) -> list[Pod]:
        words = ["get", "pods", "--all-namespaces", "--field-selector=spec.nodeName=" + self._name, "-o", "json"]
        return [one for one in pods_of(self._json(words)) if not one.stays]

    def _budgets(self) -> list[Budget]:
        try:
            return budgets_of(self._json(["get", "poddisruptionbudgets.policy", "--all-namespaces", "-o", "json"]))
        except Failed:
            return []  # They are told to help; that the pods are left is known without them.

    def _json(self, words: Sequence[str]) -> Any:
        try:
            return json.loads(self._read(words))
        except ValueError:
            raise Failed("kubectl %s did not answer with JSON" % words[0], "See it by hand.") from None

    def _read(self, words: Sequence[str]) -> str:
        seconds = self._options["step_timeout"]
        ended = self._run([*words, "--request-timeout=%ds" % seconds], seconds + _GRACE)
        if ended.rc != 0:
            raise self._failed(words, ended)
        return ended.out.decode("utf-8", "replace")

    def _run(self, words: Sequence[str], limit: float) -> Ended:
        argv = [self._options["kubectl"], *words]
        for name in ("kubeconfig", "context"):
            if self._options[name]:
                argv.append("--%s=%s" % (name, self._options[name]))
        try:
            return run(argv, timeout=limit, limit=_ANSWER)
        except OSError as error:
            raise Failed(
                "%s cannot be started: %s" % (self._options["kubectl"], clean_line(error, 160)),
                "Install kubectl on the machine that this runs on (Debian: kubernetes-client), or give its path.",
            ) from None

    def _failed(self, words: Sequence[str], ended: Ended) -> Failed:
        said = said_by(ended)
        text = " ".join(said)
        how = "ran into its limit of time" if ended.ended_by else "ended with %s" % ended.rc
        remedy = "Run it by hand on the machine that this ran on."
        if "NotFound" in text:
            remedy = "Give server as kubectl get nodes names it."
        elif "orbidden" in text:
            remedy = "This account needs to get, list and patch nodes, to list pods and budgets, and to evict pods."
        elif "nauthorized" in text or "logged in" in text:
            remedy = "Give a kubeconfig whose credentials the server takes."
        elif "does not exist" in text or "no configuration" in text or "localhost:8080" in text:
            remedy = "Give kubeconfig and context, as kubectl config get-contexts names it."
        errors = [one for one in said if one.startswith(_ITS_ERRORS)] or said[-1:] or ["nothing said"]
        return Failed("kubectl %s %s: %s" % (words[0], how, clean_line(errors[-1], 180)), remedy, said)

    def _told(self, node: Node, pods: int) -> list[dict[str, Any]]:
        where = self._options["context"] or ""
        return [{"backend": where, "server": self._name, "status": node.status, "state": node.state, "sessions": pods}]

    def _shown(self, state: str, pods: int) -> str:
        return "%s: %s\n%s" % (self._name, state, "pods to evict: %d\n" % pods if self._drained else "")
