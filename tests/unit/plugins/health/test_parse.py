# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import sys

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._health import parse

TCP = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1001 1 0000 100 0 0 10 0
   1: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000   112        0 1002 1 0000 100 0 0 10 0
   2: 0100007F:8A2C 0100007F:1538 01 00000000:00000000 00:00000000 00000000  1000        0 1003 1 0000 100 0 0 10 0
   3: nonsense
   4: ZZ:0016 00000000:0000 0A 0 0 0 0 0 1004
"""
TCP6 = """  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2001 1
   1: 00000000000000000000000001000000:0277 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 2002 1
"""
UDP = """   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  10: 00000000:0044 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3001 2 0000 0
  11: 0100007F:9999 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 3002 2 0000 0
"""
UNIX = """Num       RefCount Protocol Flags    Type St Inode Path
0000: 00000002 00000000 00010000 0001 01 4001 /run/php/a b.sock
0000: 00000002 00000000 00010000 0001 01 4002 @/tmp/.X11-unix/X0
0000: 00000003 00000000 00000000 0001 03 4003 /run/dbus/system_bus_socket
0000: 00000002 00000000 00010000 0001 01 4004
"""


@pytest.mark.skipif(sys.byteorder != "little", reason="the samples are of a machine that begins with the low byte")
def test_sockets_that_listen() -> None:
    assert [tuple(row) for row in parse.internet("tcp", TCP)] == [
        ("tcp", "0.0.0.0", 22, "1001"), ("tcp", "127.0.0.1", 5432, "1002"),
    ]  # fmt: skip
    assert [tuple(row) for row in parse.internet("tcp", TCP6)] == [
        ("tcp", "::", 80, "2001"),
        ("tcp", "::1", 631, "2002"),
    ]
    assert [tuple(row) for row in parse.internet("udp", UDP)] == [("udp", "0.0.0.0", 68, "3001")]
    assert [tuple(row) for row in parse.unix(UNIX)] == [("unix", "/run/php/a b.sock", 0, "4001")]


def test_units_and_what_is_kept_of_a_service() -> None:
    text = (
        "Id=a.service\nNames=a.service alias.service\nActiveState=active\nSubState=running\nUnitFileState=enabled\n"
        "Type=notify\nNRestarts=0\nResult=success\nTransient=no\nWantedBy=multi-user.target\n\n"
        "Id=b.service\nActiveState=failed\nSubState=failed\nNRestarts=4\nResult=exit-code\nTransient=yes\n"
        "TriggeredBy=b.timer b.socket\nBusName=org.b\nType=dbus\nUnitFileState=\nNames=b.service\n\nnot a unit\n"
    )
    first, second = parse.units(text)
    assert parse.service(first) == {
        "state": "active/running", "type": "notify", "enabled": "enabled", "wanted": True, "names": ["alias.service"],
    }  # fmt: skip
    assert parse.service(second) == {
        "state": "failed/failed", "type": "dbus", "enabled": "", "restarts": 4, "result": "exit-code",
        "transient": True, "bus": True, "by": ["b.timer", "b.socket"],
    }  # fmt: skip
    assert parse.is_up("active/running") and parse.is_up("refreshing") and not parse.is_up("activating/auto-restart")


@pytest.mark.parametrize(("result", "stamp", "failed"), [("no", "12", True), ("no", "0", False), ("yes", "12", False)])
def test_a_condition_that_was_never_looked_at_has_not_failed(result: str, stamp: str, failed: bool) -> None:
    unit = {"ConditionResult": result, "ConditionTimestampMonotonic": stamp}
    assert parse.condition_failed(unit) is failed


def entry(message: object, minute: int = 0, **more: object) -> str:
    stamp = str(1_790_000_000_000_000 // 60_000_000 * 60_000_000 + minute * 60_000_000)
    return json.dumps({"MESSAGE": message, "_SYSTEMD_UNIT": "a.service", "__REALTIME_TIMESTAMP": stamp, **more})


def test_errors_are_counted_by_cause_and_minute() -> None:
    lines = [entry(f"no answer from 10.0.0.{n} after 0x7f{n}") for n in range(100)]
    lines += [entry("no answer from 10.0.0.1 after 0x1", 1), entry("other"), "no json", "[]", "3", '{"MESSAGE": null}']
    told = parse.errors("\n".join(lines), 2)
    assert (told.lines, told.events) == (103, 4)
    assert told.causes["a.service: no answer from N.N.N.N after N"] == 2
    assert told.first == ["a.service: no answer from 10.0.0.0 after 0x7f0", "a.service: other"]


def test_errors_in_bytes_hostile_and_of_the_kernel() -> None:
    lines = [
        entry(list("\x1b[2Jb\u00e4d".encode()), _SYSTEMD_UNIT=["x.service", "y"]),
        entry("oops", _TRANSPORT="kernel"),
    ]
    told = parse.errors("\n".join(lines), 5, kernel=False)
    assert told.lines == 1 and "\x1b" not in told.first[0] and told.first[0].startswith("x.service: ")
    assert parse.errors("\n".join(lines), 5).lines == 2
    secret = parse.errors(entry("login with password=hunter2 failed"), 5)
    assert "hunter2" not in str(secret)


def test_containers_of_both_engines() -> None:
    docker = '{"Names":"web","Image":"nginx:1","Status":"Up 2 hours (unhealthy)"}\n{"Names":"db","Image":"pg"}\n'
    assert parse.containers(docker) == {
        "web": {"image": "nginx:1", "health": "unhealthy"}, "db": {"image": "pg", "health": ""},
    }  # fmt: skip
    podman = '[{"Names": ["shop"], "Image": "shop:4", "Status": "Up 3 minutes"}]'
    assert parse.containers(podman) == {"shop": {"image": "shop:4", "health": ""}}
    assert parse.containers("") == parse.containers("[]") == {}
    with pytest.raises(ValueError):
        parse.containers("[1]")
    with pytest.raises(ValueError):
        parse.containers("Cannot connect")
