# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Maintenances of Zabbix, by its API (JSON-RPC, 5.4 and later).

It lets each name be used once, and keeps a maintenance whose time is over: so there is at most one of a key, and it is
changed where it is. Times are whole minutes there.
"""

from __future__ import annotations

import contextlib
import math
import re
import time
from typing import TYPE_CHECKING, Any

from .http_json import Client
from .outcome import Failed
from .silences import Scope, Silence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_NAME = "upkeep/"
"""What stands before the key in the name of a maintenance, by which it is found again."""
_ONE_TIME = "0"
_SHORTEST = 300
"""Seconds that a period of a maintenance lasts at least, or Zabbix refuses it."""
_COLLECTED = ("data", "collected")
"""What stands in the scope of a maintenance during which data is collected; hosts stand there as ("host", name)."""
_LOGIN = re.compile(r"not authori[sz]ed|re-login|incorrect user name|login name|token expired|session terminated", re.I)


class Zabbix:
    """Its maintenances. Of what they cover, a part is a host, or that data is collected."""

    in_place = True
    severity = "medium"
    left = "Until it ends by itself, alerts of these hosts call nobody."

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._client = Client(options["url"], options["timeout"], options, logs_in=False)
        self._version: tuple[int, ...] = ()
        self._token = ""
        """It goes into the body of the questions, as versions before 6.4 want it."""
        self._session = False

    # -- what silence() asks for

    def wanted(self) -> Scope:
        hosts = frozenset(("host", name) for name in self._options["hosts"])
        self._ids(hosts)
        return hosts | {_COLLECTED} if self._options["collect_data"] else hosts

    def text(self, scope: Scope) -> str:
        hosts = ", ".join(sorted(name for what, name in scope if what == "host"))
        return "%s (%s data collection)" % (hosts, "with" if _COLLECTED in scope else "no")

    def find(self, key: str) -> list[Silence]:
        told = self._list(
            "maintenance.get", output="extend", selectHosts=["hostid", "host"], selectTimeperiods="extend",
            filter={"name": [_NAME + key]},
        )  # fmt: skip
        now = time.time()
        try:
            return [_silence(one, now) for one in told if one["name"] == _NAME + key]
        except (KeyError, TypeError, ValueError) as error:
            raise Failed(
                "the maintenance of this key cannot be read: %s" % self._client.clean(repr(error)),
                "End it in Zabbix, and report this as a fault of Upkeep.",
            ) from None

    def make(self, key: str, scope: Scope, now: float, ends: float) -> None:
        about = {"name": _NAME + key, "description": self._options["comment"]}
        self._call("maintenance.create", {**about, **self._times_and_hosts(scope, now, ends)})

    def change(self, key: str, silence: Silence, scope: Scope, now: float, ends: float) -> None:
        starts = silence.starts if silence.active else now
        same = {"maintenanceid": silence.id}
        self._call("maintenance.update", {**same, **self._times_and_hosts(scope, starts, ends)})

    def end(self, key: str, silence: Silence) -> None:
        try:
            self._call("maintenance.delete", [silence.id])
        except Failed:
            if any(one.id == silence.id for one in self.find(key)):
                raise

    def not_in_effect(self, silence: Silence) -> list[str]:
        """Zabbix' server puts hosts into maintenance once a minute. One that is not monitored, it never does."""
        names = [name for what, name in silence.scope if what == "host"]
        told = self._list("host.get", output=["host", "status", "maintenance_status"], filter={"host": names})
        return sorted(
            self._client.clean(str(one.get("host")))
            for one in told
            if str(one.get("status")) == "0" and str(one.get("maintenance_status")) != "1"
        )

    def close(self) -> None:
        """End the session that was begun, or they pile up."""
        if self._session:
            self._session = False
            # It ends by itself too, and what was asked for is done.
            with contextlib.suppress(Failed):
                self._call("user.logout", [])

    # -- how

    def _times_and_hosts(self, scope: Scope, starts: float, ends: float) -> dict[str, Any]:
        since = int(starts) // 60 * 60
        till = max(math.ceil(ends / 60) * 60, since + _SHORTEST)
        ids = sorted(self._ids(scope).values())
        return {
            "active_since": since, "active_till": till, "maintenance_type": 0 if _COLLECTED in scope else 1,
            "timeperiods": [{"timeperiod_type": int(_ONE_TIME), "start_date": since, "period": till - since}],
            # Maintenances have "hosts" since 6.0, and lost "hostids" with 7.0.
            **({"hosts": [{"hostid": one} for one in ids]} if self._version >= (6, 0) else {"hostids": ids}),
        }  # fmt: skip

    def _ids(self, scope: Scope) -> dict[str, str]:
        """The ids of the hosts, by name."""
        names = sorted(name for what, name in scope if what == "host")
        told = self._list("host.get", output=["hostid", "host"], filter={"host": names})
        found = {str(one.get("host")): str(one.get("hostid")) for one in told}
        missing = [name for name in names if name not in found]
        if missing:
            raise Failed(
                "it knows no host %s, or does not show it to this user" % ", ".join(missing),
                "Give hosts by their host name (not their visible name), and a user that may write to them.",
            )
        return {name: found[name] for name in names}

    def _list(self, method: str, **params: Any) -> Sequence[Any]:
        told = self._call(method, params)
        if not isinstance(told, list) or not all(isinstance(one, dict) for one in told):
            raise Failed("a list was expected as the answer to %s" % method, "Is url that of Zabbix' frontend?")
        return told

    def _call(self, method: str, params: Any) -> Any:
        if not self._version:
            self._log_in()
        return self._ask(method, params)

    def _log_in(self) -> None:
        told = str(self._ask("apiinfo.version", []))
        found = re.match(r"(\d+)\.(\d+)", told)
        if found is None:
            raise Failed("it names no version of its API: %s" % self._client.clean(told), "Is it Zabbix' frontend?")
        self._version = (int(found[1]), int(found[2]))
        if self._version < (5, 4):
            raise Failed("it is Zabbix %s" % self._client.clean(told), "5.4 is the oldest that this works with.")
        token = self._options["token"]
        if not token:
            login = {"username": self._options["user"], "password": self._options["password"]}
            token = self._ask("user.login", login)
            if not isinstance(token, str) or not token:
                raise Failed("user.login was answered without a session", "Is url that of Zabbix' frontend?")
            self._session = True
        if self._version >= (6, 4):
            self._client.bear(token)
        else:
            self._client.hide(token)
            self._token = token

    def _ask(self, method: str, params: Any) -> Any:
        body = {"jsonrpc": "2.0", "method": method, "params": params, "id": 1}
        if self._token:
            body["auth"] = self._token
        told = self._client.ask("POST", "/api_jsonrpc.php", body)
        error = told.get("error") if isinstance(told, dict) else None
        if isinstance(error, dict):
            said = "%s %s" % (error.get("message"), error.get("data"))
            remedy = "See what it says; may this user do that?"
            if _LOGIN.search(said):
                remedy = "Give a token that is valid, or user and password."
            raise Failed("%s was answered: %s" % (method, self._client.clean(said)), remedy)
        if not isinstance(told, dict) or "result" not in told:
            raise Failed("%s was answered without a result" % method, "Is url that of Zabbix' frontend?")
        return told["result"]


def _silence(told: Mapping[str, Any], now: float) -> Silence:
    starts, ends = int(told["active_since"]), int(told["active_till"])
    # What somebody made it into by hand is put right.
    whole = [
        one
        for one in told["timeperiods"]
        if str(one["timeperiod_type"]) == _ONE_TIME
        and int(one["start_date"]) <= now
        and int(one["start_date"]) + int(one["period"]) >= ends
    ]
    scope = {("host", str(one["host"])) for one in told["hosts"]}
    if str(told["maintenance_type"]) == "0":
        scope.add(_COLLECTED)
    active = starts <= now < ends and bool(whole)
    return Silence(str(told["maintenanceid"]), active, frozenset(scope), starts, ends, "", str(told["description"]))
