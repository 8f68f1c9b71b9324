# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import copy
import math
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._health import compare
from ansible_collections.upkeep.maintenance.plugins.module_utils._health.compare import Difference


def sock(port: int, unit: str = "web.service", proto: str = "tcp", address: str = "0.0.0.0") -> dict[str, Any]:
    return {"proto": proto, "address": address, "port": port, "unit": unit, "command": "x"}


def service(state: str = "active/running", **more: Any) -> dict[str, Any]:
    return {"state": state, "type": "simple", "enabled": "enabled", "wanted": True, **more}


def quiet(events: int = 0, seconds: float = 3600.0, *causes: str) -> dict[str, Any]:
    return {
        "since": 0, "seconds": seconds, "lines": events, "events": events, "first": [],
        "causes": [{"cause": cause, "events": max(1, events // len(causes))} for cause in causes],
    }  # fmt: skip


def health(**parts: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "version": 1, "time": 1000.0, "boot_id": "a", "services": {"web.service": service()}, "failed": {},
        "socket_units": {}, "conditions": [], "sockets": [sock(80)], "mounts": {"/": {"type": "ext4", "source": "x"}},
        "automounts": [], "journal": quiet(), "containers": {}, "probes": {}, "not_known": {}, "cut": {},
        "ephemeral": [32768, 60999],
    }  # fmt: skip
    whole.update(copy.deepcopy(parts))
    return whole


def changes(found: Difference) -> dict[tuple[str, str], str]:
    return {(c.check.rpartition(".")[2], c.subject): c.severity for c in found.changes}


def both(before: dict[str, Any], after: dict[str, Any], *rules: dict[str, str]) -> Difference:
    assert compare.errors_of(before) == [] and compare.errors_of(after) == []
    return compare.compare(before, after, rules)


def test_the_same_is_healthy_and_more_is_no_fault() -> None:
    found = both(
        health(), health(services={"web.service": service(), "new.service": service()}, sockets=[sock(80), sock(81)])
    )
    assert changes(found) == {} and compare.verdict(found) == "healthy" and found.left_out == []


def test_a_lost_service_takes_its_ports_with_it() -> None:
    before = health(sockets=[sock(80), sock(0, proto="unix", address="/run/w.sock"), sock(22, "ssh.service")])
    found = both(before, health(services={}, sockets=[sock(22, "ssh.service")]))
    assert changes(found) == {("service_lost", "web.service"): "critical"}
    assert [line for line in found.changes[0].evidence if "unix/run/w.sock" in line]
    assert changes(both(health(sockets=[]), health(services={}, sockets=[]))) == {
        ("service_lost", "web.service"): "critical"
    }
    only_unix = health(sockets=[sock(0, proto="unix", address="/run/w.sock")])
    assert changes(both(only_unix, health(services={}, sockets=[]))) == {("service_lost", "web.service"): "critical"}


@pytest.mark.parametrize(
    ("entry", "after", "why"),
    [
        (service(transient=True), {}, "transient"),
        (service(by=["web.socket"]), {"socket_units": {"web.socket": "active"}}, "on demand"),
        (service(by=["web.timer"], enabled="static", wanted=False), {}, "web.timer"),
        (service("active/exited", type="oneshot", enabled="static"), {}, "one-shot"),
        (service("active/exited", type="oneshot"), {"conditions": ["web.service"]}, "conditions"),
        (service(bus=True, enabled="static", wanted=False), {}, "D-Bus"),
        (service(type="dbus", enabled="static", wanted=False), {}, "D-Bus"),
    ],
)
def test_services_that_come_and_go_are_left_out_with_the_reason(
    entry: dict[str, Any], after: dict[str, Any], why: str
) -> None:
    found = both(health(services={"web.service": entry}), health(services={}, sockets=[], **after))
    assert found.changes == []
    assert [row["subject"] for row in found.left_out] == ["web.service", "tcp/0.0.0.0:80"]
    assert why in found.left_out[0]["why"]


@pytest.mark.parametrize(
    "entry",
    [
        service(by=["web.socket"]),  # nobody listens for it
        service(by=["web.timer"]),  # but it is enabled for itself
        service("active/exited", type="oneshot"),  # an enabled one-shot: the firewall's rules
        service(bus=True),
        service(bus=True, enabled="static"),  # systemd-logind: something wants it
        service(enabled="disabled", wanted=False),
        service("reloading/reload"),
    ],
)
def test_services_that_should_be_there_are_judged(entry: dict[str, Any]) -> None:
    found = both(health(services={"web.service": entry}), health(services={}))
    assert changes(found) == {("service_lost", "web.service"): "critical"}


def test_logins_and_what_was_not_active_are_not_judged() -> None:
    before = health(
        services={
            "user@1000.service": service(),
            "getty@tty1.service": service(),
            "x.service": service("failed/failed"),
        },
        sockets=[],
    )
    assert changes(both(before, health(services={}, sockets=[]))) == {}


def test_a_service_by_its_new_name_is_there() -> None:
    before = health(services={"mysql.service": service()}, sockets=[])
    after = health(services={"mariadb.service": service(names=["mysql.service"])}, sockets=[])
    assert changes(both(before, after)) == {}


@pytest.mark.parametrize(
    ("before_restarts", "restarts", "boot", "lost"),
    [
        (0, 2, "a", False),
        (0, 3, "a", True),
        (50, 52, "a", False),
        (50, 53, "a", True),
        (50, 2, "b", False),
        (1, 4, "b", True),
    ],
)
def test_a_service_that_starts_over_and_over_is_lost(
    before_restarts: int, restarts: int, boot: str, lost: bool
) -> None:
    found = both(
        health(services={"web.service": service(restarts=before_restarts)}),
        health(services={"web.service": service(restarts=restarts)}, boot_id=boot),
    )
    assert bool(found.changes) is lost


def test_a_unit_fails_newly_had_failed_or_is_told_as_lost() -> None:
    failed = service("failed/failed", result="exit-code")
    after = health(
        services={"web.service": failed},
        failed={"web.service": "exit-code", "old.service": "", "job.service": "", "x.swap": "", "loop.service": ""},
    )
    before = health(
        services={
            "web.service": service(), "loop.service": service("activating/auto-restart"),
            "job.service": service("activating/start", by=["job.timer"], wanted=False, enabled="static"),
        },
        failed={"old.service": "", "mended.service": ""},
    )  # fmt: skip
    found = both(before, after)
    assert changes(found) == {
        ("service_lost", "web.service"): "critical", ("unit_failed", "job.service"): "medium",
        ("unit_failed", "x.swap"): "medium",
    }  # fmt: skip
    assert [c.subject for c in found.already] == ["loop.service", "old.service"]
    assert {c.severity for c in found.already} == {"info"} and found.recovered == ["unit mended.service"]


@pytest.mark.parametrize(
    ("was", "now", "served"),
    [
        (sock(80), [sock(80)], True),
        (sock(80), [sock(80, address="::")], True),
        (sock(80), [sock(80, address="127.0.0.1")], False),
        (sock(80, address="127.0.0.1"), [sock(80)], True),
        (sock(80, address="::"), [sock(80)], False),
        (sock(80, address="::1"), [sock(80, address="0.0.0.0")], False),
        (sock(80), [sock(80, proto="udp")], False),
        (sock(0, proto="unix", address="/run/php8.1.sock"), [sock(0, proto="unix", address="/run/php8.2.sock")], True),
        (sock(0, proto="unix", address="/run/a.sock"), [sock(0, proto="unix", address="/run/b.sock")], False),
    ],
)  # fmt: skip
def test_who_is_still_served(was: dict[str, Any], now: list[dict[str, Any]], served: bool) -> None:
    assert compare.serves(now, was) is served
    found = both(health(sockets=[was]), health(sockets=now))
    assert bool(found.changes) is not served
    if not served:
        narrower = now[0]["proto"] == was["proto"]  # somebody still listens there, on fewer addresses
        expected = "medium" if was["proto"] == "unix" else "high" if narrower else "critical"
        assert found.changes[0].severity == expected


@pytest.mark.parametrize(
    ("was", "now", "judged"),
    [
        (sock(6010, "session"), [], False),
        (sock(9000, "run-r1.scope"), [], False),
        (sock(68, proto="udp"), [], False),
        (sock(53, proto="udp"), [], True),
        (sock(40000, proto="udp"), [], False),
        (sock(40000, ""), [], False),
        (sock(40000), [sock(41000)], False),  # rpc.statd: another port of the same service
        (sock(50000), [], True),  # a fixed one that happens to lie there
        (sock(50000), [sock(41000, "other.service")], True),
        (sock(847, proto="udp"), [sock(712, proto="udp")], False),  # rpcbind
        (sock(847, proto="udp"), [sock(712)], True),
        (sock(631), [], True),
        (sock(23456, proto="udp"), [sock(53, proto="udp")], False),  # unbound
        (sock(514, proto="udp"), [sock(53, proto="udp")], True),
    ],
)
def test_ports_that_nobody_relies_on(was: dict[str, Any], now: list[dict[str, Any]], judged: bool) -> None:
    found = both(health(sockets=[was]), health(sockets=now))
    assert bool(found.changes) is judged and bool(found.left_out) is not judged


def test_mounts() -> None:
    nfs = {"type": "nfs4", "source": "nas:/x"}
    before = health(
        mounts={"/home": nfs, "/srv": nfs, "/data": nfs, "/ro": {**nfs, "ro": True}, "/m": {**nfs, "by_hand": True}}
    )
    after = health(mounts={"/data": {**nfs, "ro": True}, "/ro": {**nfs, "ro": True}}, automounts=["/home"])
    found = both(before, after)
    assert changes(found) == {("mount_lost", path): "high" for path in ("/srv", "/data", "/m")}
    assert "read-only" in next(c for c in found.changes if c.subject == "/data").summary
    assert "not in /etc/fstab" in str(next(c for c in found.changes if c.subject == "/m").evidence)
    assert found.left_out[0]["subject"] == "/home"


def test_containers() -> None:
    def one(image: str, sick: str = "") -> dict[str, str]:
        return {"image": image, "health": sick}

    before = health(
        containers={
            "docker/db": one("pg"), "docker/web": one("web"), "docker/odd_name": one("job"), "docker/k8s_x": one("k"),
            "docker/sick": one("s", "unhealthy"),
        }
    )  # fmt: skip
    after = health(
        containers={
            "docker/web": one("web", "unhealthy"),
            "docker/other_name": one("job"),
            "docker/sick": one("s", "unhealthy"),
        }
    )
    found = both(before, after)
    assert changes(found) == {("container_lost", "docker/db"): "high", ("container_lost", "docker/web"): "high"}
    assert {row["subject"] for row in found.left_out} == {"docker/odd_name", "docker/k8s_x"}


def test_the_chance_of_so_many_errors() -> None:
    # By hand: none in an hour before, then k in an hour: (1/2)^k. Two before and one after, of equal time: 7/8.
    assert compare.chance(0, 3600, 10, 3600) == pytest.approx(2**-10)
    assert compare.chance(2, 10, 1, 10) == pytest.approx(7 / 8)
    # Of four in all, three or more in a fifth of the time: 4 * 0.2^3 * 0.8 + 0.2^4.
    assert compare.chance(1, 40, 3, 10) == pytest.approx(4 * 0.2**3 * 0.8 + 0.2**4)
    assert compare.chance(5, 10, 0, 10) == compare.chance(5, 0, 3, 10) == 1.0
    assert 0 <= compare.chance(10_000, 3600, 10_000, 60) < 1e-300 or math.isclose(compare.chance(1, 1, 1, 1), 0.75)


@pytest.mark.parametrize(
    ("was", "now", "told"),
    [
        (quiet(0), quiet(4, 300), False),  # unlikely, but too few to be a trend
        (quiet(0), quiet(5, 300), True),
        (quiet(60), quiet(60, 3600), False),
        (quiet(60), quiet(8, 300), False),  # five were to be expected
        (quiet(60), quiet(20, 300), True),
        (quiet(600), quiet(640, 3600), False),
    ],
)
def test_when_more_errors_are_told(was: dict[str, Any], now: dict[str, Any], told: bool) -> None:
    found = both(health(journal=was), health(journal=now))
    assert changes(found) == ({("errors_rose", "journal"): "medium"} if told else {})
    assert compare.verdict(found) == ("degraded" if told else "healthy")


def test_new_causes_come_first_and_known_ones_can_be_ignored() -> None:
    before, after = health(journal=quiet(2, 3600.0, "old: x")), health(journal=quiet(20, 300.0, "old: x", "new: y"))
    found = both(before, after)
    assert found.changes[0].evidence[1] == "new: 10 x new: y" and found.changes[0].evidence[2] == "10 x old: x"
    rule = {"check": "errors_rose", "subject": "*: ?", "reason": "known"}
    ignored = compare.without_causes(after, [rule])
    assert ignored["journal"]["events"] == 0 and after["journal"]["events"] == 20
    assert compare.without_causes(after, [{"check": "*", "subject": "*"}])["journal"]["events"] == 20


def probe(passed: bool | None, **more: Any) -> dict[str, Any]:
    return {"kind": "http", "target": "http://localhost/", "passed": passed, "summary": "s", "seconds": 0.1, **more}


@pytest.mark.parametrize(
    ("was", "now", "severity"),
    [(True, False, "critical"), (None, False, "critical"), (False, False, "info"), (False, True, ""), (True, None, "")],
)
def test_probes_are_judged_by_what_they_were(was: bool | None, now: bool | None, severity: str) -> None:
    found = both(health(probes={"p": probe(was)}), health(probes={"p": probe(now)}))
    told = [*found.changes, *found.already]
    assert [change.severity for change in told] == ([severity] if severity else [])
    assert bool(found.recovered) is (was is False and now is True)
    assert compare.verdict(found) == ("unhealthy" if severity == "critical" else "healthy")


@pytest.mark.parametrize("more", [{"port": 80}, {"unit": "web.service"}])
def test_a_probe_makes_the_loss_of_its_service_critical(more: dict[str, Any]) -> None:
    before = health(probes={"p": probe(True, **more)})
    # Somebody else took the port, so that nothing but the probe tells.
    after = health(services={}, sockets=[sock(80, "other.service")], probes={"p": probe(False, **more)})
    assert changes(both(before, after)) == {
        ("service_lost", "web.service"): "critical", ("probe_failed", "p"): "critical",
    }  # fmt: skip


def test_what_was_not_known_is_not_judged_and_never_healthy() -> None:
    found = both(health(), health(not_known={"services": "systemctl gave no answer"}))
    assert set(found.unknown) == {compare.SERVICE_LOST, compare.UNIT_FAILED}
    assert compare.verdict(found) == "unknown"
    assert compare.verdict(both(health(), health(services={}, not_known={"mounts": "x"}))) == "unhealthy"


def test_what_was_kept_in_part_is_compared_in_part_and_never_healthy() -> None:
    found = both(health(cut={"sockets": 3}), health())
    assert set(found.partial) == {compare.PORT_CLOSED} and found.changes == []
    assert compare.verdict(found) == "degraded"
    found = both(health(cut={"sockets": 3}), health(sockets=[]))
    assert changes(found) == {("port_closed", "tcp/0.0.0.0:80"): "critical"} and compare.verdict(found) == "unhealthy"


def test_ignored_is_told_with_its_reason() -> None:
    rule = {"check": "service_*", "subject": "web*", "reason": "sold"}
    found = both(health(), health(services={}, sockets=[]), rule)
    assert found.changes == [] and found.ignored[0]["reason"] == "sold"
    assert both(health(), health(services={}, sockets=[]), {**rule, "check": "mount_lost"}).changes
    full = {"check": "patch.health.service_lost", "subject": "*", "reason": "r"}
    assert both(health(), health(services={}, sockets=[]), full).changes == []


@pytest.mark.parametrize(
    "part",
    [
        {"version": 2}, {"time": "now"}, {"time": float("nan")}, {"services": []}, {"services": {"x": {"state": 1}}},
        {"services": {"x": service(by="y")}}, {"sockets": [{"proto": "tcp"}]}, {"sockets": {}}, {"mounts": {"/": 1}},
        {"journal": {"events": -1}}, {"journal": {**quiet(), "events": 10**12}}, {"containers": {"x": {}}},
        {"probes": {"p": {"passed": "yes"}}}, {"cut": {"x": "y"}}, {"ephemeral": [1]}, {"failed": {"x": 1}},
        {"not_known": []}, {"services": {"x": service(restarts="3")}},
        {"services": {"": service()}}, {"failed": {" \t": ""}}, {"mounts": {"\x1b[2J": {"type": "x", "source": "y"}}},
    ],
)  # fmt: skip
def test_a_health_that_is_none_is_refused(part: dict[str, Any]) -> None:
    assert compare.errors_of(health()) == []
    assert len(compare.errors_of(health(**part))) == 1


def test_nothing_is_a_health_either() -> None:
    assert compare.errors_of(None) and compare.errors_of("x") and compare.errors_of({})
