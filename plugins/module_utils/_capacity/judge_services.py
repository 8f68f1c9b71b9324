# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services: failed units, the clock, certificates that expire. Pure; findings only."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck, NotApplicable
from .._host import AS_ROOT
from .gather import UNITS, need
from .words import day, inside, step

if TYPE_CHECKING:
    from .._findings import Review

# Every client of a time service keeps the kernel's bound of the error below this; systemd's ntp_synced() asks the same.
UNSYNCHRONISED = 16.0
BOOTING = 600
"""Seconds after boot in which a client may still be looking for its server."""
STARTING = 3_600
"""Seconds after boot by which a system should have started."""
DAY = 86_400


def judge_services(review: Review, facts: dict[str, Any], options: dict[str, Any], now: float) -> None:
    units = facts["units"]
    if units is None:
        for check in ("capacity.unit.failed", "capacity.system.not_running"):
            review.skip(check, "systemd is not the init of this host")
    else:
        with review.check("capacity.unit.failed"):
            _units(review, need(facts, "units"))
        with review.check("capacity.system.not_running", "systemd"):
            _system(review, need(facts, "units"), facts["load"])
    if facts["container"]:
        why = "in %s the clock is the machine's" % inside(facts["container"])
        review.skip("capacity.clock.unsynchronised", why, "host_kind: machine")
    else:
        with review.check("capacity.clock.unsynchronised", "clock"):
            _clock(review, need(facts, "clock"), facts["load"])
    if options["reference_time"] is None:
        review.skip(
            "capacity.clock.wrong", "no time was handed in to compare with", "reference_time: '{{ now().timestamp() }}'"
        )
    else:
        with review.check("capacity.clock.wrong", "clock"):
            _offset(review, need(facts, "clock"), options)
    _certificates(review, facts, options, now)


def _units(review: Review, units: dict[str, Any]) -> None:
    for unit in units["failed"][:UNITS]:
        why = ": " + unit["result"] if unit["result"] else ""
        evidence = []
        if unit["result"]:
            evidence.append("result %(result)s, exit status %(exit_status)s, since %(since)s" % unit)
        review.found(
            "capacity.unit.failed",
            unit["unit"],
            "medium",
            "%s has failed%s (%s)." % (unit["unit"], why, unit["description"] or "no description"),
            evidence + unit["last_lines"],
            "systemctl status {0}; when it is mended: systemctl restart {0}, or systemctl reset-failed {0}".format(
                quote(unit["unit"])
            ),
            {key: unit[key] for key in ("result", "exit_status", "since")},
        )
    if len(units["failed"]) > UNITS:
        names = [unit["unit"] for unit in units["failed"][UNITS:]]
        raise CannotCheck(
            "%d units have failed, only %d are told" % (len(units["failed"]), UNITS), "systemctl --failed", names
        )


def _system(review: Review, units: dict[str, Any], load: Any) -> None:
    uptime = load["uptime"] if isinstance(load, dict) else 0.0
    starting = units["state"] in ("initializing", "starting")
    if starting and uptime <= STARTING:
        raise NotApplicable("the system is still starting", "Look again an hour after its boot.")
    if units["state"] not in ("maintenance", "stopping") and not starting:
        return
    review.found(
        "capacity.system.not_running",
        "systemd",
        "medium" if starting else "high",
        "The system is not in its normal state: systemd says %s." % units["state"],
        ["state %s, %d jobs waiting, up for %.0f minutes" % (units["state"], units["jobs"], uptime / 60)],
        "systemctl list-jobs" if starting else "systemctl status; leave the rescue mode with: systemctl default",
    )


def _clock(review: Review, clock: dict[str, Any], load: Any) -> None:
    error = clock["error_seconds"]
    if error is None:
        raise CannotCheck("neither the kernel nor timedatectl tells of the clock", "timedatectl status")
    if error < UNSYNCHRONISED:
        return
    if clock["client"] and isinstance(load, dict) and load["uptime"] < BOOTING:
        raise NotApplicable(
            "%s may still be looking for its server" % clock["client"], "Look again ten minutes after the boot."
        )
    if clock["client"]:
        summary, remedy = (
            "%s runs, but the clock is not synchronised." % clock["client"],
            "timedatectl timesync-status, or chronyc sources",
        )
    else:
        summary, remedy = "Nothing keeps the clock right.", "timedatectl set-ntp true, or install chrony"
    review.found(
        "capacity.clock.unsynchronised",
        "clock",
        "medium",
        summary,
        [
            "the kernel gives its clock an error of up to %.0f seconds" % error,
            "client that runs: %s" % (clock["client"] or "none"),
        ],
        remedy,
        {"client": clock["client"], "error_seconds": error},
    )


def _offset(review: Review, clock: dict[str, Any], options: dict[str, Any]) -> None:
    offset = clock["offset_seconds"]
    if abs(offset) <= options["clock_offset_seconds"]:
        return
    review.found(
        "capacity.clock.wrong",
        "clock",
        "high",
        "The clock is %.0f seconds %s." % (abs(offset), "fast" if offset > 0 else "slow"),
        ["compared with the controller; if all hosts are off alike, it is the controller's clock that is wrong"],
        "Let a time service set it: chronyc makestep, or systemctl restart systemd-timesyncd",
        {"offset_seconds": round(offset, 1)},
    )


def _certificates(review: Review, facts: dict[str, Any], options: dict[str, Any], now: float) -> None:
    check = "capacity.certificate.expiring"
    if isinstance(facts["certificates"], Exception):
        with review.check(check):
            need(facts, "certificates")
        return
    files, unread, denied = (facts["certificates"][key] for key in ("files", "unread", "denied"))
    broken = [entry for entry in files if entry["error"]]
    sound = [entry for entry in files if not entry["error"]]
    for entry in sound:
        _certificate(review, entry, options, now)
    why, remedies = [], []
    if broken or unread:
        why.append("%d certificate files could not be read" % (len(broken) + unread))
        remedies.append("Look at them: openssl x509 -in FILE -noout -enddate; leave out what is not a certificate.")
    if denied:
        why.append("this account may not look into %s" % denied[0])
        if len(denied) > 1:
            why[-1] += " and %d more" % (len(denied) - 1)
        remedies.append(AS_ROOT)
    if why:
        evidence = [
            "%s (%s): %s" % (entry["path"], ", ".join(entry["used_by"]) or "found", entry["error"]) for entry in broken
        ]
        evidence += ["%s: permission denied" % path for path in denied]
        review.not_run(check, "%s; %d were read" % ("; ".join(why), len(sound)), " ".join(remedies), evidence)
    # Only what was read is covered, unless that is all there is.
    if not why:
        review.covered(check)
        review.covered("capacity.check.not_run", check)
    else:
        for entry in sound:
            review.covered(check, entry["path"])


def _certificate(review: Review, entry: dict[str, Any], options: dict[str, Any], now: float) -> None:
    """The certificate that expires first; the first in a file is the host's own, the others are its issuers'."""
    first = min(entry["certificates"], key=lambda certificate: certificate.not_after)
    left = (first.not_after - now) / DAY
    life = (first.not_after - first.not_before) / DAY
    # Certificates of a few days are renewed late in them: a quarter and an eighth of their life, if that is less.
    medium = min(options["certificate_medium_days"], life / 4)
    high = min(options["certificate_high_days"], life / 8)
    severity = step(-left, (-high, "high"), (-medium, "medium"))
    if severity is None:
        return
    if not entry["used_by"]:
        severity = "low"  # it lies there, and may be of no use to anybody
    when = "expired on" if left < 0 else "expires on"
    review.found(
        "capacity.certificate.expiring",
        entry["path"],
        severity,
        "The certificate of %s %s %s (%s)." % (first.name or "no name", when, day(first.not_after), entry["path"]),
        [
            "%s %s, %.1f days %s" % (when, day(first.not_after), abs(left), "ago" if left < 0 else "from now"),
            "used by: %s" % (", ".join(entry["used_by"]) or "nobody that we know of"),
            "certificate %d of %d in the file" % (entry["certificates"].index(first) + 1, len(entry["certificates"])),
        ],
        "Renew it (certbot renew, or at its issuer), then reload the service: openssl x509 -in %s -noout -dates"
        % quote(entry["path"]),
        {"name": first.name, "not_after": first.not_after, "used_by": entry["used_by"]},
    )
