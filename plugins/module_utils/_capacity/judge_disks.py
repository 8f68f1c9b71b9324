# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks: errors in the kernel's log, software RAIDs, SMART. Pure; findings only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._findings import SEVERITIES, CannotCheck, NotApplicable
from .._host import AS_ROOT
from .gather import need
from .words import inside, minute

if TYPE_CHECKING:
    from .._findings import Review

# Attributes whose raw value should be zero, after what Backblaze saw before disks failed ("What SMART Stats Tell Us
# About Hard Drives", 2016: 5, 187, 188, 197, 198). 188 also counts loose cables, and is left out.
_ATTRIBUTES = {
    5: ("low", "sectors were replaced"),
    187: ("medium", "errors could not be corrected"),
    197: ("medium", "sectors wait to be replaced"),
    198: ("medium", "sectors could not be read"),
}


def judge_disks(review: Review, facts: dict[str, Any], options: dict[str, Any]) -> None:
    container = facts["container"]
    if container:
        why = "in %s it is the machine's" % inside(container)
        review.skip("capacity.kernel.errors", "the kernel's log: " + why, "host_kind: machine")
        review.skip("capacity.raid.degraded", "/proc/mdstat: " + why, "host_kind: machine")
    else:
        with review.check("capacity.kernel.errors"):
            _kernel(review, need(facts, "kernel"), facts["now"], options)
        with review.check("capacity.raid.degraded"):
            _raids(review, need(facts, "raids"))
    disks: dict[str, Any] | Exception = facts["disks"]
    if isinstance(disks, Exception):
        with review.check("capacity.disk.failing"):
            raise disks
    elif "denied" in disks:
        with review.check("capacity.disk.failing"):
            raise_for_rights(review, disks["denied"], AS_ROOT)
    elif "skip" in disks:
        review.skip("capacity.disk.failing", disks["skip"], disks["force"])
    else:
        _smart(review, disks)


def raise_for_rights(review: Review, why: str, remedy: str) -> None:
    """A finding, unless one of this area says already that the account has not the rights: one is enough to act on."""
    if any(AS_ROOT in finding["remedy"] for finding in review.findings):
        raise NotApplicable(why, remedy)
    raise CannotCheck(why, remedy)


def raise_if_short(kernel: dict[str, Any], now: float, options: dict[str, Any]) -> None:
    """What was found stands, but a log that begins too late proves nothing of the days before."""
    if kernel["reaches"] > now - options["kernel_log_days"] * 86_400:
        raise NotApplicable(
            "the kernel's log reaches back only to %s, not %g days"
            % (minute(kernel["reaches"]), options["kernel_log_days"]),
            "Keep the journal over a reboot: mkdir -p /var/log/journal && systemctl restart systemd-journald; "
            "or look at fewer days: kernel_log_days",
        )


def _kernel(review: Review, kernel: dict[str, Any], now: float, options: dict[str, Any]) -> None:
    by_device: dict[str, list[Any]] = {}
    for trouble in kernel["troubles"]:
        by_device.setdefault(trouble.subject, []).append(trouble)
    for device, troubles in sorted(by_device.items()):
        severity = min((trouble.severity for trouble in troubles), key=SEVERITIES.index)
        kinds = sorted({trouble.kind for trouble in troubles if trouble.severity == severity})
        last = max(trouble.entry.time for trouble in troubles)
        review.found(
            "capacity.kernel.errors",
            device,
            severity,
            "The kernel told %d times of a %s on %s in %g days, last on %s."
            % (len(troubles), " or ".join(kinds), device, options["kernel_log_days"], minute(last)),
            ["%s %s" % (minute(trouble.entry.time), trouble.entry.message) for trouble in troubles[-10:]],
            "Make sure of the backup first. A disk: smartctl -a /dev/%s. A filesystem: unmount, fsck or xfs_repair."
            % device,
            {"times": len(troubles), "kinds": kinds},
        )
    raise_if_short(kernel, now, options)


def _raids(review: Review, raids: list[dict[str, Any]] | None) -> None:
    if raids is None:
        raise NotApplicable("there is no /proc/mdstat: the kernel has no software RAID loaded", "modprobe md_mod")
    for raid in raids:
        if not raid["degraded"]:
            continue
        mending = "recovery" in raid["busy"]
        review.found(
            "capacity.raid.degraded",
            raid["device"],
            "medium" if mending else "high",
            "The RAID %s lacks a disk%s."
            % (raid["device"], ", and is being mended (%s)" % raid["busy"] if mending else ""),
            raid["lines"],
            "mdadm --detail /dev/%s, then replace the failed disk: mdadm /dev/%s --add DISK"
            % (raid["device"], raid["device"]),
        )


def _smart(review: Review, disks: dict[str, Any]) -> None:
    for disk in disks["asked"]:
        with review.check("capacity.disk.failing", disk["device"]):
            _disk(review, disk)
    if disks["unasked"]:
        review.not_run(
            "capacity.disk.failing",
            "only the first disks were asked",
            "Name the others in smart_devices.",
            disks["unasked"],
        )


def _disk(review: Review, disk: dict[str, Any]) -> None:
    answer = disk["answer"]
    if answer is None:
        if disk["rc"] is None:
            raise CannotCheck(
                "%s did not answer smartctl within 20 seconds" % disk["device"], "smartctl -a %s" % disk["device"]
            )
        raise CannotCheck(
            "smartctl gave no JSON: it may be older than 7.0", "smartctl --version", disk["said"].splitlines()[:5]
        )
    messages = [str(_part(message, "string")) for message in _list(_part(answer, "smartctl", "messages"))]
    if any("STANDBY" in message or "standby" in message for message in messages) or "low-power" in str(
        _part(answer, "power_mode")
    ):
        raise NotApplicable("%s is asleep" % disk["device"], "smartctl -a %s" % disk["device"])
    passed = _part(answer, "smart_status", "passed")
    health = _part(answer, "nvme_smart_health_information_log")
    table = _list(_part(answer, "ata_smart_attributes", "table"))
    if passed is None and not health and not table:
        raise CannotCheck(
            "%s tells nothing of its health" % disk["device"],
            "Behind a RAID controller it needs a type, such as smart_devices: ['-d megaraid,0 %s']." % disk["device"],
            messages,
        )
    faults = _nvme(health or {}) + _ata(table)
    if passed is False:
        faults.append(("critical", "the disk says of itself that it is failing"))
    if not faults:
        return
    severity = min((fault[0] for fault in faults), key=SEVERITIES.index)
    model = " ".join(str(_part(answer, key) or "") for key in ("model_name", "serial_number")).strip()
    review.found(
        "capacity.disk.failing",
        disk["device"],
        severity,
        "%s: %s." % (disk["device"], next(text for level, text in faults if level == severity)),
        [model, *(text for _level, text in faults)],
        "Make sure of the backup and have a spare disk ready: smartctl -a %s" % disk["device"],
        {"model": model},
    )


def _ata(table: list[Any]) -> list[tuple[str, str]]:
    faults = []
    for row in table:
        number, raw = _part(row, "id"), _part(row, "raw", "value")
        if str(_part(row, "when_failed")).lower() == "now":
            faults.append(("high", "attribute %s (%s) is below its threshold" % (number, _part(row, "name"))))
        if number in _ATTRIBUTES and isinstance(raw, int) and raw > 0:
            severity, text = _ATTRIBUTES[number]
            faults.append((severity, "%d %s (attribute %d, %s)" % (raw & 0xFFFFFFFF, text, number, _part(row, "name"))))
    return faults


def _nvme(health: Any) -> list[tuple[str, str]]:
    """NVM Express Base Specification 2.0, 5.16.1.3 (SMART / Health Information)."""
    faults = []
    warning, worn = _part(health, "critical_warning"), _part(health, "percentage_used")
    spare, least = _part(health, "available_spare"), _part(health, "available_spare_threshold")
    if isinstance(warning, int) and warning:
        faults.append(("high", "the disk gives a critical warning (0x%02x)" % warning))
    if isinstance(spare, int) and isinstance(least, int) and spare < least:
        faults.append(("high", "%d %% of the spare blocks are left, %d %% are needed" % (spare, least)))
    if isinstance(worn, int) and worn >= 100:
        faults.append(("medium", "%d %% of its endurance is used up" % worn))
    errors = _part(health, "media_errors")
    if isinstance(errors, int) and errors:
        faults.append(("medium", "%d errors of the media" % errors))
    return faults


def _part(value: Any, *keys: str) -> Any:
    """What lies at a path of keys, or None: what smartctl says depends on the disk."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
