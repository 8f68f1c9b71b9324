# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two states of one host's health, and what of the first is not in the second. Pure.

What is left out of the judgement is left out by a rule, and told with its reason. What was broken before is told, and
never blamed on what happened since.
"""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from .._findings import clean_line
from .parse import is_up

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

SERVICE_LOST = "patch.health.service_lost"
PORT_CLOSED = "patch.health.port_closed"
MOUNT_LOST = "patch.health.mount_lost"
UNIT_FAILED = "patch.health.unit_failed"
ERRORS_ROSE = "patch.health.errors_rose"
PROBE_FAILED = "patch.health.probe_failed"
CONTAINER_LOST = "patch.health.container_lost"

SECTION = {
    SERVICE_LOST: "services", UNIT_FAILED: "failed", PORT_CLOSED: "sockets", MOUNT_LOST: "mounts",
    ERRORS_ROSE: "journal", CONTAINER_LOST: "containers", PROBE_FAILED: "probes",
}  # fmt: skip
"""The part of a health that each check compares."""

RESTARTS = 3
"""Restarts by systemd itself, from which on a service that is active just now counts as lost. One may be a clash with
the package's own restart; systemd gives up at five within ten seconds (DefaultLimitBURST), slower loops never end."""

P_VALUE = 0.001
"""How likely as many errors must be at the rate from before, at most, to be told. With a thousand hosts patched in a
month that is one false alarm."""
MORE_ERRORS = 5
"""Events above what was to be expected: fewer are no trend, however unlikely."""

DHCP = (68, 546)
"""UDP ports of DHCP's clients, open while an address is asked for."""
EPHEMERAL = (32768, 60999)
"""Linux' own net.ipv4.ip_local_port_range, where a host did not say."""

RESERVED = (512, 1023)
"""Where bindresvport(3) finds a port for RPC services: rpcbind, statd, mountd have others after each start."""

_LOGINS = ("user@*", "user-runtime-dir@*", "getty@*", "autovt@*", "*-getty@*", "console-getty.service")
_ENABLED = ("enabled", "enabled-runtime", "linked", "linked-runtime", "generated")


@dataclass
class Change:
    """Something that is not as it was."""

    check: str
    subject: str
    severity: str
    summary: str
    evidence: list[str] = field(default_factory=list)
    remedy: str = ""
    returns: bool = True
    """Whether it may still come back by itself, so that it is worth waiting for."""


@dataclass
class Difference:
    """What is worse than before, and what was not judged."""

    changes: list[Change] = field(default_factory=list)
    already: list[Change] = field(default_factory=list)
    """What was broken before and still is."""
    recovered: list[str] = field(default_factory=list)
    left_out: list[dict[str, str]] = field(default_factory=list)
    """What is gone and was not judged: subject, why."""
    ignored: list[dict[str, str]] = field(default_factory=list)
    """What a rule of the caller's ignores: check, subject, reason."""
    unknown: dict[str, str] = field(default_factory=dict)
    """The checks that could not be done, and why."""
    partial: dict[str, str] = field(default_factory=dict)
    """The checks that were done for a part, and what is missing."""

    def leave_out(self, subject: str, why: str) -> None:
        self.left_out.append({"subject": subject, "why": why})


def compare(before: Mapping[str, Any], after: Mapping[str, Any], rules: Sequence[Mapping[str, str]] = ()) -> Difference:
    """What ``before`` had and ``after`` has not. Both are what gather.health() returns, ``after`` not cut.

    ``rules``: what to ignore, by check and subject (patterns as of a shell), with a reason.
    """
    found = Difference()
    for check, look in _LOOKS.items():
        section = SECTION[check]
        why = _not_known(section, before, after)
        if why:
            found.unknown[check] = why
        elif section in before and section in after:
            look(before, after, found)
            cut = before.get("cut", {}).get(section)
            if cut:
                found.partial[check] = "%d entries from before were not kept, because they were too many" % cut
    _fold(before, after, found)
    ignore(found, rules)
    return found


def _not_known(section: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    for health, when in ((before, "before"), (after, "now")):
        # A failed unit is seen where services are.
        why = health.get("not_known", {}).get("services" if section == "failed" else section)
        if why:
            return "%s it was not known: %s" % (when, why)
    return ""


# -- services ------------------------------------------------------------------------------------------------------


def _services(before: Mapping[str, Any], after: Mapping[str, Any], found: Difference) -> None:
    now = after["services"]
    aliases = {name: unit for unit, entry in now.items() for name in entry.get("names", ())}
    for unit, was in sorted(before["services"].items()):
        if not is_up(was["state"]):
            continue
        entry = now.get(unit) or now.get(aliases.get(unit, ""))
        if entry and is_up(entry["state"]):
            again = _restarts(was, entry, before, after)
            if again < RESTARTS:
                continue
            summary = "%s starts over and over: %d times since the state before." % (unit, again)
        else:
            why = not_judged(unit, was, after)
            if why:
                found.leave_out(unit, why)
                continue
            summary = "%s was active before and is not now: it %s." % (unit, _state(entry))
        evidence = ["before: %s, now: %s" % (was["state"], entry["state"] if entry else "inactive or gone")]
        if entry and entry.get("result"):
            evidence.append("systemd says: %s" % entry["result"])
        remedy = _remedy(unit)
        if was.get("enabled") in ("disabled", "") and not was.get("wanted"):
            evidence.append("it is not enabled: somebody started it by hand, and after a reboot nobody does")
            remedy += "; systemctl enable --now %s, if it belongs here" % shlex.quote(unit)
        # systemd has given it up: whoever waits for it waits in vain.
        returns = not (entry and entry["state"].startswith("failed"))
        found.changes.append(Change(SERVICE_LOST, unit, "critical", summary, evidence, remedy, returns))


def _remedy(unit: str) -> str:
    return "systemctl status %s; journalctl -b -u %s" % (shlex.quote(unit), shlex.quote(unit))


def _state(entry: Mapping[str, Any] | None) -> str:
    state = str(entry["state"]) if entry else ""
    if state.startswith("failed"):
        return "has failed"
    if state == "activating/auto-restart":
        return "fails and is started again and again"
    if state.startswith("activating"):
        return "is still starting"
    return "is stopped, or its unit is gone" if not state else "is %s" % state


def _restarts(
    was: Mapping[str, Any], entry: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]
) -> int:
    """How often systemd restarted a service since. The count begins anew with a boot, and when somebody starts it."""
    counted, earlier = int(entry.get("restarts", 0)), int(was.get("restarts", 0))
    if before.get("boot_id") == after.get("boot_id") and counted >= earlier:
        return counted - earlier
    return counted


def not_judged(unit: str, was: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """Why a service that is not active any more is no fault, empty when it is one."""
    enabled = was.get("enabled") in _ENABLED
    by = was.get("by", [])
    listening = [name for name in by if name.endswith(".socket") and is_up(_of(after, name))]
    if was.get("transient"):
        return "a transient unit: it was made for one task"
    if any(fnmatchcase(unit, pattern) for pattern in _LOGINS):
        return "it comes and goes with those who log in"
    if listening:
        return "%s listens in its place and starts it on demand" % listening[0]
    if was.get("type") == "oneshot":
        if not enabled:
            return "a one-shot that is not enabled: it ran when something needed it"
        if unit in after.get("conditions", ()):
            return "a one-shot whose conditions do not hold now"
    if not enabled and not was.get("wanted"):
        if by and all(name.endswith((".timer", ".path")) for name in by):
            return "%s starts it when its time comes" % by[0]
        if was.get("bus") or was.get("type") == "dbus":
            return "it is started on demand over D-Bus and ends when nobody needs it"
    return ""


def _of(health: Mapping[str, Any], unit: str) -> str:
    return str(health.get("socket_units", {}).get(unit, ""))


def _failed(before: Mapping[str, Any], after: Mapping[str, Any], found: Difference) -> None:
    lost = {change.subject for change in found.changes if change.check == SERVICE_LOST}
    earlier = before["failed"]
    # A service that systemd was restarting when it was looked at was broken then, though it was not "failed".
    loops = {unit for unit, entry in before.get("services", {}).items() if entry["state"] == "activating/auto-restart"}
    for unit, result in sorted(after["failed"].items()):
        remedy = _remedy(unit)
        evidence = ["systemd says: %s" % result] if result else []
        if unit in earlier or unit in loops:
            found.already.append(
                Change(UNIT_FAILED, unit, "info", "%s had failed before, and still has." % unit, evidence, remedy)
            )
        elif unit not in lost:
            entry = before.get("services", {}).get(unit, after.get("services", {}).get(unit, {}))
            if entry.get("transient"):
                found.leave_out(unit, "a transient unit: it was made for one task")
                continue
            severity = "high" if unit.endswith((".mount", ".service")) else "medium"
            if entry.get("by") and not entry.get("wanted"):
                severity = "medium"  # a job of a timer, which runs again; nobody is served by it now
            found.changes.append(
                Change(UNIT_FAILED, unit, severity, "%s has failed; before it had not." % unit, evidence, remedy, False)
            )
    found.recovered += ["unit %s" % unit for unit in sorted(earlier) if unit not in after["failed"]]


# -- sockets -------------------------------------------------------------------------------------------------------


def name_of(entry: Mapping[str, Any]) -> str:
    """How a socket is called: "tcp/0.0.0.0:80", "unix/run/x.sock"."""
    if entry["proto"] == "unix":
        return "unix%s" % entry["address"]
    address = "[%s]" % entry["address"] if ":" in entry["address"] else entry["address"]
    return "%s/%s:%d" % (entry["proto"], address, entry["port"])


def _sockets(before: Mapping[str, Any], after: Mapping[str, Any], found: Difference) -> None:
    low, high = before.get("ephemeral", EPHEMERAL)
    for was in before["sockets"]:
        if serves(after["sockets"], was):
            continue
        name, unit = name_of(was), was.get("unit", "")
        why = _not_judged_socket(was, before, after, int(low), int(high))
        if why:
            found.leave_out(name, why)
            continue
        owner = unit or was.get("command", "") or "an owner that is not known"
        evidence = ["before: %s listened" % owner]
        others = [
            name_of(now) for now in after["sockets"]
            if now["proto"] == was["proto"] and now["port"] and now["port"] == was["port"]
        ]  # fmt: skip
        if others:
            evidence.append("now only: %s" % ", ".join(others[:5]))
        elif unit:
            own = [name_of(now) for now in after["sockets"] if now.get("unit") == unit]
            evidence.append("%s listens now on: %s" % (unit, ", ".join(own[:5]) or "nothing"))
        state = after.get("services", {}).get(unit, {}).get("state", "")
        if state:
            evidence.append("%s is %s" % (unit, state))
        remedy = "ss -lntup; " + (_remedy(unit) if unit else "find out what is to listen there")
        severity = "medium" if was["proto"] == "unix" else "high" if others else "critical"
        summary = "%s does not listen any more on %s." % (owner, name)
        found.changes.append(Change(PORT_CLOSED, name, severity, summary, evidence, remedy))


def serves(sockets: Sequence[Mapping[str, Any]], was: Mapping[str, Any]) -> bool:
    """Whether who came to a socket before still finds somebody there."""
    if was["proto"] == "unix":
        # A version or a number may be part of the path: php8.1-fpm.sock becomes php8.2-fpm.sock.
        alike = re.sub(r"\d+", "N", was["address"])
        return any(now["proto"] == "unix" and re.sub(r"\d+", "N", now["address"]) == alike for now in sockets)
    # "::" serves IPv4 too, unless its owner asked for IPv6 only, which /proc does not tell.
    takes = {was["address"], "::"} | ({"0.0.0.0"} if ":" not in was["address"] else set())  # noqa: S104 - read, not bound
    return any(
        now["proto"] == was["proto"] and now["port"] == was["port"] and now["address"] in takes for now in sockets
    )


def _not_judged_socket(
    was: Mapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any], low: int, high: int
) -> str:
    unit = str(was.get("unit", ""))
    if unit == "session":
        return "a login session's own"
    if before.get("services", {}).get(unit, {}).get("transient") or fnmatchcase(unit, "run-*.scope"):
        return "a transient unit's own"
    owner = before.get("services", {}).get(unit)
    if owner and unit not in after.get("services", {}):
        why = not_judged(unit, owner, after)
        if why:
            return "%s was not judged: %s" % (unit, why)
    if was["proto"] == "udp" and was["port"] in DHCP:
        return "a DHCP client's"
    if was["proto"] == "unix":
        return ""
    own = [now for now in after["sockets"] if unit and now.get("unit") == unit and now["proto"] == was["proto"]]
    if low <= was["port"] <= high and was["proto"] == "udp":
        return "a UDP port that the kernel hands out: a client's"
    if was["proto"] == "udp" and was["port"] >= 1024 and any(now["port"] == 53 for now in own):
        return "a port from which %s, a resolver, asked another" % unit
    for first, last in ((low, high), RESERVED):
        if first <= was["port"] <= last:
            if any(first <= now["port"] <= last and not serves(before["sockets"], now) for now in own):
                return "a port that is handed out: %s has another one now" % unit
            if first == low and not unit:
                return "a port that the kernel hands out, of no service"
    return ""


# -- mounts --------------------------------------------------------------------------------------------------------


def _mounts(before: Mapping[str, Any], after: Mapping[str, Any], found: Difference) -> None:
    for path, was in sorted(before["mounts"].items()):
        now = after["mounts"].get(path)
        quoted = shlex.quote(path)
        remedy = "findmnt %s; findmnt --verify; mount %s" % (quoted, quoted)
        evidence = ["before: %s (%s, %s)" % (was["source"], was["type"], "ro" if was.get("ro") else "rw")]
        if now is None:
            if path in after.get("automounts", ()):
                found.leave_out(path, "it is mounted when somebody goes there (autofs)")
                continue
            if was.get("by_hand"):
                evidence.append("it is not in /etc/fstab: after a reboot nobody mounts it")
                remedy += "; write it into /etc/fstab, if it belongs here"
            summary = "%s is not mounted any more: who writes there writes into the folder beneath." % path
        elif now.get("ro") and not was.get("ro"):
            evidence.append("now: %s (%s, ro)" % (now["source"], now["type"]))
            summary = "%s could be written to before, and is read-only now." % path
            remedy = "dmesg | tail; findmnt %s" % quoted
        else:
            continue
        found.changes.append(Change(MOUNT_LOST, path, "high", summary, evidence, remedy))


# -- the journal ---------------------------------------------------------------------------------------------------


def chance(before_events: int, before_seconds: float, events: int, seconds: float) -> float:
    """How likely ``events`` or more are in ``seconds``, if they come at the same rate as before (0 … 1).

    Given the sum of two Poisson counts, the second is binomial with the share of its time: the conditional test of
    Przyborowski and Wilenski, Biometrika 31 (1940). It needs no rate to be known, and holds for zero before.
    """
    if events <= 0:
        return 1.0
    if before_seconds <= 0 or seconds <= 0:
        return 1.0
    total = before_events + events
    share = seconds / (before_seconds + seconds)
    logs = (math.log(share), math.log1p(-share))
    terms = (
        math.exp(
            math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1)
            + k * logs[0] + (total - k) * logs[1]
        )
        for k in range(events, total + 1)
    )  # fmt: skip
    return min(1.0, math.fsum(terms))


def _journal(before: Mapping[str, Any], after: Mapping[str, Any], found: Difference) -> None:
    was, now = before["journal"], after["journal"]
    likely = chance(int(was["events"]), float(was["seconds"]), int(now["events"]), float(now["seconds"]))
    expected = was["events"] / was["seconds"] * now["seconds"] if was["seconds"] else 0.0
    if likely >= P_VALUE or now["events"] - expected < MORE_ERRORS:
        return
    known = {entry["cause"] for entry in was["causes"]}
    causes = sorted(now["causes"], key=lambda entry: (entry["cause"] in known, -entry["events"]))
    evidence = [
        "before: %d in %d min; now: %d in %d min, where %.1f were to be expected (chance %.1e)"
        % (was["events"], was["seconds"] / 60, now["events"], now["seconds"] / 60, expected, likely)
    ]
    evidence += [
        "%s%d x %s" % ("" if entry["cause"] in known else "new: ", entry["events"], entry["cause"])
        for entry in causes[:15]
    ]
    summary = "The journal has more errors than before: %d in %s, against %.1f at the rate from before." % (
        now["events"], _minutes(now["seconds"]), expected,
    )  # fmt: skip
    remedy = "journalctl -p err --since @%d" % now["since"]
    found.changes.append(Change(ERRORS_ROSE, "journal", "medium", summary, evidence, remedy, returns=False))


def _minutes(seconds: float) -> str:
    return "%d s" % seconds if seconds < 120 else "%d min" % (seconds / 60)


# -- containers ----------------------------------------------------------------------------------------------------


def _containers(before: Mapping[str, Any], after: Mapping[str, Any], found: Difference) -> None:
    now = after["containers"]
    images = [entry["image"] for entry in now.values()]
    earlier = [entry["image"] for entry in before["containers"].values()]
    for name, was in sorted(before["containers"].items()):
        engine, _slash, short = name.partition("/")
        remedy = "%s ps -a; %s logs %s" % (engine, engine, shlex.quote(short))
        if name in now:
            if now[name].get("health") != "unhealthy" or was.get("health") == "unhealthy":
                continue
            summary = "The container %s runs, but its own health check fails now." % short
        elif short.startswith("k8s_"):
            found.leave_out(name, "Kubernetes' own: it decides where it runs")
            continue
        elif images.count(was["image"]) >= earlier.count(was["image"]):
            found.leave_out(name, "another container of %s runs in its place" % was["image"])
            continue
        else:
            summary = "The container %s ran before and does not now." % short
        found.changes.append(Change(CONTAINER_LOST, name, "high", summary, ["image: %s" % was["image"]], remedy))


# -- probes --------------------------------------------------------------------------------------------------------


def _probes(before: Mapping[str, Any], after: Mapping[str, Any], found: Difference) -> None:
    probes(after, before, found)


def probes(after: Mapping[str, Any], before: Mapping[str, Any] | None, found: Difference) -> None:
    """Judge the probes: with no state before, each that fails is a fault of now."""
    earlier = before.get("probes", {}) if before else {}
    for name, now in sorted(after["probes"].items()):
        was = earlier.get(name, {}).get("passed")
        if now["passed"]:
            if was is False:
                found.recovered.append("probe %s" % name)
            continue
        if now["passed"] is None:
            continue
        evidence = ["%s %s" % (now["kind"], now["target"]), *now.get("evidence", ())]
        remedy = "Try it by hand: %s" % now["target"]
        if was is False:
            summary = "The probe %s failed before, and still does: %s" % (name, now["summary"])
            found.already.append(Change(PROBE_FAILED, name, "info", summary, evidence, remedy))
            continue
        if was:
            evidence.append("before: %s" % earlier[name]["summary"])
        summary = "The probe %s fails: %s" % (name, now["summary"])
        found.changes.append(Change(PROBE_FAILED, name, "critical", summary, evidence, remedy))
    for name in sorted(set(earlier) - set(after["probes"])):
        found.leave_out("probe %s" % name, "it was not asked for this time")


# -- together ------------------------------------------------------------------------------------------------------


def _fold(before: Mapping[str, Any], after: Mapping[str, Any], found: Difference) -> None:
    """A lost service takes its ports with it: one fault, told once."""
    lost = {change.subject: change for change in found.changes if change.check == SERVICE_LOST}
    owners = {name_of(entry): entry.get("unit", "") for entry in before.get("sockets", ())}
    kept = []
    for change in found.changes:
        service = lost.get(owners.get(change.subject, "")) if change.check == PORT_CLOSED else None
        if service is None:
            kept.append(change)
            continue
        service.evidence.append("nobody listens any more on %s" % change.subject)
    found.changes = kept
    failing = {change.subject for change in found.changes if change.check == PROBE_FAILED}
    for name in sorted(failing):
        probe = after["probes"][name]
        units = {probe.get("unit", "")} | {
            entry.get("unit", "") for entry in before.get("sockets", ())
            if probe.get("port") and entry["proto"] == "tcp" and entry["port"] == probe["port"]
        }  # fmt: skip
        for unit in sorted(units & set(lost)):
            lost[unit].evidence.append("the probe %s fails" % name)


def ignore(found: Difference, rules: Sequence[Mapping[str, str]]) -> None:
    """Take out what the rules ignore, and note why."""
    kept = []
    for change in found.changes:
        rule = next((rule for rule in rules if matches(rule, change.check, change.subject)), None)
        if rule is None:
            kept.append(change)
        else:
            found.ignored.append({"check": change.check, "subject": change.subject, "reason": rule.get("reason", "")})
    found.changes = kept


def matches(rule: Mapping[str, str], check: str, subject: str) -> bool:
    """Whether a rule ignores it; its check may be short ("port_closed")."""
    pattern = rule.get("check") or "*"
    return (fnmatchcase(check, pattern) or fnmatchcase(check.rpartition(".")[2], pattern)) and fnmatchcase(
        subject, rule.get("subject") or "*"
    )


def without_causes(health: Mapping[str, Any], rules: Sequence[Mapping[str, str]]) -> dict[str, Any]:
    """The health without the errors of its journal that a rule ignores by their cause ("unit: line")."""
    made = dict(health)
    told = health.get("journal")
    if told:
        kept = [
            entry for entry in told["causes"]
            if not any(rule.get("subject", "*") != "*" and matches(rule, ERRORS_ROSE, entry["cause"]) for rule in rules)
        ]  # fmt: skip
        gone = sum(entry["events"] for entry in told["causes"]) - sum(entry["events"] for entry in kept)
        made["journal"] = {**told, "causes": kept, "events": max(0, told["events"] - gone)}
    return made


_LOOKS: dict[str, Callable[[Mapping[str, Any], Mapping[str, Any], Difference], None]] = {
    SERVICE_LOST: _services,
    UNIT_FAILED: _failed,
    PORT_CLOSED: _sockets,
    MOUNT_LOST: _mounts,
    ERRORS_ROSE: _journal,
    CONTAINER_LOST: _containers,
    PROBE_FAILED: _probes,
}
"""In this order: a failed unit that was told as a lost service is not told twice."""


def verdict(found: Difference) -> str:
    """``unhealthy``: critical or high; ``unknown``: something could not be looked at; ``degraded``: medium, or looked
    at in part; ``healthy``. Compared to nothing, it says what the probes say.
    """
    severities = {change.severity for change in found.changes}
    if severities & {"critical", "high"}:
        return "unhealthy"
    if found.unknown:
        return "unknown"
    return "degraded" if severities & {"medium"} or found.partial else "healthy"


def errors_of(health: Any) -> list[str]:
    """What is wrong with a health that was handed in: it comes from outside and decides what is judged."""
    if not isinstance(health, dict):
        return ["it is no dictionary"]
    wrong = []
    if health.get("version") != 1:
        wrong.append("its version is %.40r, and 1 is understood" % (health.get("version"),))
    if not _is_number(health.get("time")):
        wrong.append("it has no time")
    for section, rule in _SHAPES.items():
        if section in health and not rule(health[section]):
            wrong.append("its part %s is not what health_info returns" % section)
    return wrong


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_name(value: Any) -> bool:
    """Whether something of it is left to tell a person."""
    return isinstance(value, str) and clean_line(value, 200) != ""


def _table(*texts: str) -> Callable[[Any], bool]:
    def fits(value: Any) -> bool:
        return isinstance(value, dict) and all(
            _is_name(name) and isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in texts)
            for name, entry in value.items()
        )

    return fits


def _service_table(value: Any) -> bool:
    return _table("state", "type")(value) and all(
        isinstance(entry.get("restarts", 0), int)
        and all(_names(entry.get(key, [])) for key in ("by", "names"))
        for entry in value.values()
    )  # fmt: skip


def _names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _texts(value: Any) -> bool:
    return isinstance(value, dict) and all(_is_name(name) and isinstance(text, str) for name, text in value.items())


def _socket_list(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict)
        and isinstance(entry.get("port"), int)
        and all(isinstance(entry.get(key, ""), str) for key in ("unit", "command"))
        and all(isinstance(entry.get(key), str) for key in ("proto", "address"))
        for entry in value
    )


def _journal_table(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("events"), int)
        and 0 <= value["events"] <= 1_000_000
        and all(_is_number(value.get(key)) and value[key] >= 0 for key in ("since", "seconds"))
        and isinstance(value.get("causes"), list)
        and all(
            isinstance(entry, dict) and isinstance(entry.get("cause"), str) and isinstance(entry.get("events"), int)
            for entry in value["causes"]
        )
    )


def _probe_table(value: Any) -> bool:
    return _table("kind", "target", "summary")(value) and all(
        entry.get("passed") in (True, False, None) and isinstance(entry.get("unit", ""), str)
        for entry in value.values()
    )


_SHAPES: dict[str, Callable[[Any], bool]] = {
    "services": _service_table,
    "failed": _texts,
    "socket_units": _texts,
    "conditions": _names,
    "sockets": _socket_list,
    "mounts": _table("type", "source"),
    "automounts": _names,
    "journal": _journal_table,
    "containers": _table("image"),
    "probes": _probe_table,
    "not_known": _texts,
    "cut": lambda value: isinstance(value, dict) and all(isinstance(item, int) for item in value.values()),
    "ephemeral": lambda value: (
        isinstance(value, list) and len(value) == 2 and all(isinstance(item, int) for item in value)
    ),
}
