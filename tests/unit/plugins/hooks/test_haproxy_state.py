# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_options import SPEC, errors_of
from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.haproxy_state import (
    NotRead,
    Server,
    decide,
    servers_of,
    shown,
)

STATE = """1
# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight
3 shop 1 web1 127.0.0.1 2 8 1
3 shop 2 web2 127.0.0.1 2 0 1

"""
STAT = """# pxname,svname,qcur,scur,status,weight,type,
shop,BACKEND,0,9,UP,2,1,
shop,web1,2,3,DRAIN,1,2,
shop,web2,,,UP 1/3,1,2,

"""


def one(label: str, status: str = "UP", admin: int = 0, weight: int = 1, sessions: int = 0) -> Server:
    backend, name = label.split("/")
    return Server(backend, name, admin, status, sessions, weight)


def given(state: str = "drained", **options: Any) -> dict[str, Any]:
    return {**{name: spec.get("default") for name, spec in SPEC.items()}, "server": "web1", "state": state, **options}


def test_servers_are_read() -> None:
    assert servers_of(STATE, STAT) == [one("shop/web1", "DRAIN", 8, 1, 5), one("shop/web2", "UP 1/3")]


@pytest.mark.parametrize(
    ("state", "stat", "says"),
    [
        ("Permission denied\n\n", STAT, "Permission denied"),
        ("", STAT, "show servers state"),
        (STATE, "Unknown command\n", "Unknown command"),
        (STATE, STAT.replace("scur", "else"), "scur"),
        (STATE.replace("srv_admin_state", "other"), STAT, "srv_admin_state"),
    ],
)
def test_what_is_no_answer_of_haproxy_is_told(state: str, stat: str, says: str) -> None:
    with pytest.raises(NotRead, match=says):
        servers_of(state, stat)


@pytest.mark.parametrize(
    ("other", "serves"),
    [
        (one("shop/web2"), True),
        (one("shop/web2", "no check"), True),
        (one("shop/web2", "DOWN"), False),
        (one("shop/web2", "UP", admin=0x10), False),
        (one("shop/web2", "UP", weight=0), False),
        (one("shop/web2", "MAINT", admin=0x20), False),
        (one("other/web2"), False),
    ],
)
def test_the_last_one_that_serves_stays(other: Server, serves: bool) -> None:
    refused = decide([one("shop/web1"), other], given()).refused
    assert list(refused) == ([] if serves else ["web1 is the last server that backend shop has"])
    assert not decide([one("shop/web1"), other], given(allow_last=True)).refused
    assert not decide([one("shop/web1", "DOWN"), other], given()).refused, "nothing is lost with it"


def test_only_what_is_not_so_is_set() -> None:
    servers = [one("a/web1", "DRAIN", 8), one("b/web1", "MAINT", 1), one("c/web1"), one("c/web2"), one("d/web2")]
    drained, active = decide(servers, given()), decide(servers, given("active"))
    assert [s.label for s in drained.set] == ["c/web1"] and len(drained.wait) == 3
    assert [s.label for s in active.set] == ["a/web1"] and [s.label for s in active.wait] == ["a/web1", "c/web1"]
    assert active.left_alone == ["b/web1 is in maintenance, which somebody else began"]
    assert len(decide(servers, given("active", end_maintenance=True)).set) == 2
    assert [s.label for s in decide(servers, given(backends=["c"])).targets] == ["c/web1"]
    assert decide(servers, given(backends=["c", "d"])).refused == ["backend d has no server web1"]
    assert shown(drained.targets, drained.set, "drain") == "a/web1: drain\nb/web1: maintenance\nc/web1: drain\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (given(server="web1 state ready"), "server: a name"),
        (given(server="web1\nhelp"), "server: a name"),
        (given(server=""), "server: a name"),
        (given(backends=["a;b"]), "backends: a name"),
        (given(timeout=-1), "0 to 86400"),
    ],
)
def test_options_that_make_no_sense_are_told(options: dict[str, Any], says: str) -> None:
    assert says in "; ".join(errors_of(options)) and errors_of(given()) == []
