# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""monitoring_silence with Debian's Zabbix: what it makes is read by Zabbix' own API, and Zabbix' server acts on it."""

from __future__ import annotations

import time
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence import silence
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence_options import SPEC, errors_of
from tests.integration.test_store_postgresql import server  # noqa: F401 - a fixture

from .zabbix_server import Zabbix, zabbix  # noqa: F401 - a fixture

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(420)]


class Site:
    """A Zabbix with the hosts web1 and web2, which are monitored, and spare, which is not."""

    def __init__(self, api: Zabbix) -> None:
        self.api = api
        group = api("hostgroup.get", limit=1)[0]["groupid"]
        for name, status in (("web1", 0), ("web2", 0), ("spare", 1)):
            api("host.create", host=name, name="shown as " + name, groups=[{"groupid": group}], status=status)
        created = api("token.create", name="upkeep", userid=api("user.get", filter={"username": "Admin"})[0]["userid"])
        self.token = api.call("token.generate", created["tokenids"])[0]["token"]

    def all(self) -> list[dict[str, Any]]:
        """What Zabbix itself says, not our reading of it."""
        told: list[dict[str, Any]] = self.api(
            "maintenance.get", output="extend", selectHosts=["host"], selectTimeperiods="extend"
        )
        return told

    def of(self, key: str) -> list[dict[str, Any]]:
        return [one for one in self.all() if one["name"] == "upkeep/" + key]

    def in_maintenance(self) -> set[str]:
        told = self.api("host.get", output=["host", "maintenance_status"])
        return {one["host"] for one in told if one["maintenance_status"] == "1"}

    def call(self, key: str, check: bool = False, **options: Any) -> dict[str, Any]:
        defaults = {name: one.get("default") for name, one in SPEC.items()}
        plain = {"kind": "zabbix", "url": self.api.url, "key": key, "timeout": 60, "wait": 0, "token": self.token}
        if options.get("state") != "absent":
            plain["hosts"] = ["web1"]
        given = {**defaults, **plain, **options}
        assert errors_of(given, time.time()) == []
        return silence(given, check)


@pytest.fixture(scope="module")
def site(zabbix: Zabbix) -> Site:  # noqa: F811
    return Site(zabbix)


def failed(told: dict[str, Any], check: str = "patch.silence.failed") -> dict[str, Any]:
    [one] = told["findings"]
    assert not told["ok"] and told["msg"] and told["coverage"] == [] and one["check"] == check and one["remedy"], told
    return dict(one)


def test_made_put_off_and_deleted(site: Site) -> None:
    key = "patching/web1"
    would = site.call(key, check=True)
    assert would["ok"] and would["changed"] and site.of(key) == [] and "web1 (with data" in would["diff"]["after"]
    made = site.call(key, comment="change 4711")
    assert made["ok"] and made["changed"] and made["coverage"] == [{"check": "patch.silence.failed", "subject": key}]
    [there] = site.of(key)
    assert there["description"] == "change 4711" and there["maintenance_type"] == "0"
    assert [host["host"] for host in there["hosts"]] == ["web1"] and there["maintenanceid"] == made["silence"]["id"]
    left = int(there["active_till"]) - time.time()
    assert 7100 < left <= 7260 and int(there["active_till"]) % 60 == 0 and int(there["active_since"]) <= time.time()
    [period] = there["timeperiods"]
    assert period["timeperiod_type"] == "0" and period["start_date"] == there["active_since"]
    assert int(period["period"]) == int(there["active_till"]) - int(there["active_since"])

    for check in (False, True):
        again = site.call(key, check=check)
        assert not again["changed"] and again["silence"] == made["silence"]
    assert not site.call(key, minutes=600, extend=False)["changed"]
    longer = site.call(key, minutes=600)
    assert longer["changed"] and longer["silence"]["id"] == made["silence"]["id"]
    [there] = site.of(key)
    assert 35_900 < int(there["active_till"]) - time.time() <= 36_060 and there["description"] == "change 4711"
    assert not site.call(key, minutes=5)["changed"], "an end is never brought forward"
    ends = float(int(there["active_till"]) + 61)
    assert site.call(key, ends=ends)["silence"]["ends"] == ends + 59, "whole minutes, and never too short"
    assert not site.call(key, ends=ends)["changed"]

    assert site.call(key, check=True, state="absent")["changed"] and len(site.of(key)) == 1
    ended = site.call(key, state="absent")
    assert ended["ok"] and ended["changed"] and ended["silence"] == {} and site.of(key) == []
    assert ended["coverage"] == [{"check": "patch.silence.left", "subject": key}]
    assert not site.call(key, state="absent")["changed"]


def test_one_of_a_key_is_changed_where_it_is_and_those_of_others_are_left_alone(site: Site) -> None:
    now = int(time.time()) // 60 * 60
    web2 = site.api("host.get", filter={"host": ["web2"]})[0]["hostid"]

    def by_hand(name: str, since: int, till: int) -> None:
        period = {"timeperiod_type": 0, "start_date": since, "period": till - since}
        times = {"active_since": since, "active_till": till, "timeperiods": [period]}
        site.api("maintenance.create", name=name, maintenance_type=1, hosts=[{"hostid": web2}], **times)

    by_hand("upkeep/one", now - 9000, now - 600)
    by_hand("upkeep/one1", now, now + 600)
    by_hand("ada's", now, now + 600)
    others = [one for one in site.all() if one["name"] != "upkeep/one"]
    over = site.of("one")[0]["maintenanceid"]
    made = site.call("one", hosts=["web1", "spare"], collect_data=False)
    [there] = site.of("one")
    assert made["changed"] and there["maintenanceid"] == over == made["silence"]["id"], "a name can be used once"
    assert {host["host"] for host in there["hosts"]} == {"web1", "spare"} and there["maintenance_type"] == "1"
    assert int(there["active_since"]) >= now and made["silence"]["covers"] == "spare, web1 (no data collection)"
    other = site.call("one", hosts=["web2"], extend=False)
    [there] = site.of("one")
    assert other["changed"] and [host["host"] for host in there["hosts"]] == ["web2"]
    assert there["maintenance_type"] == "0" and other["silence"]["ends"] == made["silence"]["ends"]
    site.api("maintenance.update", maintenanceid=over, timeperiods=[{"timeperiod_type": 0, "start_date": now + 3600}])
    assert site.call("one", hosts=["web2"])["changed"], "what was changed by hand is put right"
    assert site.call("one", state="absent")["changed"]
    assert site.all() == others
    site.api.call("maintenance.delete", [one["maintenanceid"] for one in others])


def test_hosts_that_are_not_there_are_named_and_nothing_is_made(site: Site) -> None:
    told = site.call("names", hosts=["web1", "web9", "shown as web2"])
    one = failed(told)
    assert "no host shown as web2, web9" in one["summary"] and site.of("names") == [] and not told["changed"]


def test_user_and_password_do_too_and_secrets_are_not_shown(site: Site) -> None:
    by_user = {"token": None, "user": "Admin", "password": "zabbix"}
    assert site.call("login", **by_user)["ok"] and site.call("login", state="absent", **by_user)["changed"]
    wrong = site.call("login", token=None, user="nobody-here", password="hunter2-xyz")
    one = failed(wrong)
    assert "Incorrect user name" in one["summary"] and "user and password" in one["remedy"]
    bad = site.call("login", token="0123456789abcdef" * 4, state="absent")
    assert "Give a token" in failed(bad, "patch.silence.left")["remedy"]
    assert "hunter2-xyz" not in str(wrong) and "0123456789abcdef" not in str(bad)


def test_a_user_who_may_not_is_told(site: Site) -> None:
    site.api(
        "user.create", username="reader", passwd="r3ad-0nly-Pa55", roleid="1",
        usrgrps=[{"usrgrpid": site.api("usergroup.get", limit=1)[0]["usrgrpid"]}],
    )  # fmt: skip
    told = site.call("reader", token=None, user="reader", password="r3ad-0nly-Pa55")
    assert failed(told) and site.of("reader") == [] and "r3ad-0nly-Pa55" not in str(told)


def test_zabbix_puts_the_hosts_into_maintenance_before_it_is_done(site: Site) -> None:
    made = site.call("wait", hosts=["web1", "spare"], wait=240)
    assert made["ok"] and "web1" in site.in_maintenance()
    assert not site.call("wait", hosts=["web1", "spare"], wait=240)["changed"]
    late = site.call("wait", hosts=["web1", "web2"], wait=1)
    assert "not in effect after 1 s for web2" in failed(late)["summary"] and late["changed"]
    assert site.call("wait", state="absent")["changed"] and site.of("wait") == []
