# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A member of a Patroni cluster that gives the lead to another, by Patroni's REST API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .draining import Look, Open
from .http_json import Client
from .outcome import Failed
from .patroni_state import Cluster, behind, candidates, cluster_of, streaming_from

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .patroni_state import Member


class Patroni:
    """One member. Drained, it leads nothing; active, it leads or follows closely."""

    by = "Patroni"

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options, self._name = options, options["server"]
        self._drained = options["state"] == "drained"
        self.where = ", ".join(options["urls"])
        self._clients: list[Client] = []
        self._candidate = ""
        self._timeline = 0
        """What the new leader's must be above, so that it is known that it was promoted."""
        self._done: list[str] = []

    def look(self) -> Look:
        limit = self._options["step_timeout"]
        self._clients = [Client(url, limit, self._options) for url in self._options["urls"]]
        cluster = self._cluster()
        member = self._member(cluster)
        before = after = self._shown(cluster)
        leads = member is not None and member.leads
        changes = leads if self._drained else self._options["switch_back"] and not leads
        if changes and cluster.paused:
            raise Failed("the cluster is paused", "Somebody works on it: ask them, then patronictl resume.")
        if changes and self._drained:
            self._candidate = self._best(cluster)
            after = "%s: follows %s\n" % (self._name, self._candidate)
        elif changes:
            after = "%s: leads\n" % self._name
        return Look(self._told(cluster), before, after, changes, [])

    def carry_out(self, done: list[str]) -> None:
        self._done = done
        if not self._drained:
            return  # The lead goes back once this member follows closely, which left() sees.
        cluster = self._cluster()
        if cluster.leader is not None and cluster.leader.name == self._name:
            self._switch(cluster, self._candidate)

    def left(self, seconds: float) -> Open:
        if self._drained:
            cluster = self._cluster()
            remedy = "See patronictl list and Patroni's log on the members, before anything is done to this one."
            return Open(self._told(cluster), self._not_drained(cluster), "not switched over", remedy)
        remedy = "See patronictl list, and the logs of Patroni and PostgreSQL on it."
        try:
            cluster = self._cluster()
        except Failed as failed:  # While a host comes back, that is so for a while.
            return Open(self._told(None), [failed.what], "not known to be back", remedy)
        return Open(self._told(cluster), self._not_back(cluster), "not back", remedy)

    def _not_drained(self, cluster: Cluster) -> list[str]:
        leader = cluster.leader
        self._member(cluster)
        if leader is None:
            return ["nobody leads"]
        if leader.name == self._name:
            return ["%s leads" % self._name]
        if not leader.up or leader.timeline <= self._timeline:
            return ["%s leads and is not promoted yet (%s)" % (leader.name, leader.state)]
        return []

    def _not_back(self, cluster: Cluster) -> list[str]:
        member = self._member(cluster)
        if member is None:
            return ["%s is not in the cluster" % self._name]
        if member.leads:
            return [] if member.up and member.timeline > self._timeline else ["%s is not promoted yet" % self._name]
        what = behind(member, self._options["max_lag"]) or self._does_not_stream(cluster, member)
        if what or not self._options["switch_back"]:
            return [what] if what else []
        good, why = candidates(cluster, self._options["max_lag"])
        if self._name in good and not self._timeline:
            self._switch(cluster, self._name)
        return ["%s does not lead" % self._name, *(one for one in why if self._name in one.split())]

    # -- how

    def _best(self, cluster: Cluster) -> str:
        good, why = candidates(cluster, self._options["max_lag"])
        asked = self._options["candidate"]
        if asked and asked not in good:
            why = [one for one in why if asked in one.split()] or ["the cluster has no other member %s" % asked]
            good = []
        if not good:
            raise Failed(
                "nobody can take the lead: %s" % ("; ".join(why) or "there is no other member"),
                "See patronictl list. Nothing was done: %s leads." % self._name,
            )
        return asked or good[0]

    def _switch(self, cluster: Cluster, to: str) -> None:
        leader = cluster.leader
        if leader is None:
            raise Failed("nobody leads the cluster", "See patronictl list.")
        self._timeline = max(leader.timeline, 1)
        try:
            # To the member that just answered.
            self._clients[0].ask("POST", "/switchover", {"leader": leader.name, "candidate": to}, plain=True)
        except Failed as failed:
            # Patroni says 503 too when it has not seen the end of it; whatever was not answered may have been done.
            if failed.status not in (0, 503) or "failed" in failed.what:
                raise
        self._done.append("switchover from %s to %s asked for" % (leader.name, to))

    def _does_not_stream(self, cluster: Cluster, member: Member) -> str:
        """That it is not far behind may only mean that nothing was written; so the leader is asked who follows it."""
        if member.state == "streaming" or member.cascades or cluster.leader is None:
            return ""
        for client in self._clients:
            try:
                followers = streaming_from(client.ask("GET", "/patroni"))
            except Failed:
                continue
            if followers is not None:
                return "" if self._name in followers else "%s does not stream from its leader" % self._name
        return ""

    def _cluster(self) -> Cluster:
        """As the first member tells it that answers; it is asked first from then on. Raises :class:`Failed`."""
        why = []
        for client in list(self._clients):
            try:
                cluster = cluster_of(client.ask("GET", "/cluster"))
            except Failed as failed:
                why.append((client.url, failed))
                continue
            self._clients.remove(client)
            self._clients.insert(0, client)
            return cluster
        told = ["%s: %s" % (url, failed.what) for url, failed in why]
        raise Failed("no member tells how the cluster is: %s" % told[0], why[0][1].remedy, told)

    def _member(self, cluster: Cluster) -> Member | None:
        """None where it has not come back yet. Raises :class:`Failed` where it should be there."""
        member = cluster.member(self._name)
        if member is None and self._drained:
            names = ", ".join(one.name for one in cluster.members) or "none"
            what = "the cluster has no member %s; it has %s" % (self._name, names)
            raise Failed(what, "Give server as patronictl list names it.")
        return member

    def _told(self, cluster: Cluster | None) -> list[dict[str, Any]]:
        scope, member = (cluster.scope, cluster.member(self._name)) if cluster else ("", None)
        status = "%s %s" % (member.role, member.state) if member else "not in the cluster"
        if member is None or not member.up:
            state = "down"
        else:
            state = "drained" if self._drained and not member.leads else "ready"
        return [{"backend": scope, "server": self._name, "status": status, "state": state, "sessions": 0}]

    def _shown(self, cluster: Cluster) -> str:
        leader = cluster.leader
        if leader is None or cluster.member(self._name) is None:
            return "%s: %s\n" % (self._name, "nobody leads" if leader is None else "not in the cluster")
        return "%s: %s\n" % (self._name, "leads" if leader.name == self._name else "follows %s" % leader.name)
