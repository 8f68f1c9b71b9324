# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What stands in for a patch that does not exist yet: what a mitigation is made of, and its journal. Pure.

A mitigation is a list of items, each a thing of the host with the value that it is to have. What it had before is
written down first, in /var/lib/upkeep/mitigations/NAME.json, so that each can be undone, whoever did what since.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .._findings import clean_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BASE = "/var/lib/upkeep/mitigations"
FORMAT = 1
LIMIT = 1024 * 1024
"""Bytes of a journal."""
CONTENT_LIMIT = 64 * 1024
"""Characters of a file that is written, or that was there before and is kept."""
KINDS = ("sysctl", "kernel_module", "service", "file_mode", "dropin", "own")
ITEMS = ("file", "sysctl", "module", "masked", "running", "mode")
PHASES = ("applying", "applied", "lifting")
BITS = {"setuid": 0o4000, "setgid": 0o2000, "execute": 0o111}

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""It becomes the name of files: to be matched in full."""
_UNIT = re.compile(r"[A-Za-z0-9:_.\\@-]{1,250}\.(?:service|socket|timer|path|mount|automount|target|slice)")
_MODULE = re.compile(r"[A-Za-z0-9_-]{1,63}")
_SYSCTL = re.compile(r"[A-Za-z0-9_-]+(?:[./][A-Za-z0-9_.:-]+)+")
_GONE_AT_BOOT = ("/run/", "/var/run/", "/tmp/", "/dev/", "/proc/", "/sys/")  # noqa: S108 - nothing is written there


@dataclass
class Item:
    """One thing of the host, the value that it is to have, and the one that it had. None: a file that is not there."""

    kind: str
    """One of ITEMS: a file's text, a kernel setting, whether a module is loaded, whether a unit is masked, whether it
    runs, the bits of a file's mode."""
    subject: str
    """A path, the name of a setting, of a module or of a unit."""
    wanted: str | None
    before: str | None = None
    bits: int = 0
    """Of a mode: those that count."""

    @property
    def label(self) -> str:
        return "%s %s" % (self.kind, self.subject)


@dataclass
class Mitigation:
    """A mitigation, as it is asked for, and as its journal keeps it."""

    name: str
    cves: list[str]
    """What it stands in for, as the exposure of patch_plan names it."""
    kind: str
    items: list[Item] = field(default_factory=list)
    validate: list[str] = field(default_factory=list)
    """A command that accepts the new configuration, before it is loaded."""
    reload: str = ""
    """The unit that loads it."""
    check: list[str] = field(default_factory=list)
    """A command that ends with 0 while the mitigation is in force."""
    survives_reboot: bool = True
    packages: dict[str, str] = field(default_factory=dict)
    """The packages that exposed the host, with the versions that they had."""
    since: float = 0.0
    phase: str = "applying"

    def is_same(self, other: Mitigation) -> bool:
        """Whether both do the same to the host."""
        return self._does() == other._does()

    def _does(self) -> list[Any]:
        items = [(item.kind, item.subject, item.wanted, item.bits) for item in self.items]
        return [self.kind, items, self.validate, self.reload, self.check]


def errors_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with the options of patch_mitigation, beyond what the argument spec sees: one sentence each."""
    errors = []
    if not NAME.fullmatch(options["name"]):
        errors.append(
            "name is made of letters, digits, dots, dashes and underscores, this is %r"
            % clean_line(options["name"], 60)
        )
    if options["state"] == "absent":
        return errors
    if not options["cves"]:
        errors.append("cves says what it stands in for, so that it can be lifted afterwards, and is empty")
    kinds = [kind for kind in KINDS if options.get(kind)]
    if not kinds and not options["check"]:
        errors.append(
            "one of %s says what is done; without any, check must be a command that ends with 0 while what you did "
            "yourself is in force" % ", ".join(KINDS[:-1])
        )
    told = options.get("sysctl") or {}
    errors += _wrong("sysctl", "the name of a kernel setting, such as net.ipv4.tcp_sack", told, _is_setting)
    for key, value in told.items():
        if "\n" in str(value) or not str(value).strip():
            errors.append("sysctl.%s is one line of text, this is %r" % (clean_line(key, 60), clean_line(value, 60)))
    errors += _wrong("kernel_module", "the name of a module", options.get("kernel_module") or [], _MODULE.fullmatch)
    errors += _wrong("service", "a unit with its suffix", options.get("service") or [], _UNIT.fullmatch)
    mode = options.get("file_mode") or {}
    errors += _wrong("file_mode.paths", "an absolute path", mode.get("paths") or [], _is_path)
    dropin = options.get("dropin") or {}
    if dropin:
        errors += _wrong("dropin.path", "an absolute path", [dropin["path"]], _is_path)
        if len(dropin["content"]) > CONTENT_LIMIT:
            errors.append("dropin.content has at most %d characters" % CONTENT_LIMIT)
        if dropin["reload"]:
            errors += _wrong("dropin.reload", "a unit with its suffix", [dropin["reload"]], _UNIT.fullmatch)
    return errors


def _wrong(name: str, expected: str, values: Iterable[Any], accepts: Any) -> list[str]:
    return [
        "%s: expected %s, found %r" % (name, expected, clean_line(value, 60))
        for value in values
        if not accepts(str(value))
    ]


def _is_setting(text: str) -> bool:
    return bool(_SYSCTL.fullmatch(text)) and ".." not in text


def _is_path(text: str) -> bool:
    return text.startswith("/") and not set(text) & set("\n\0") and ".." not in text.split("/") and text != "/"


def made(options: Mapping[str, Any]) -> Mitigation:
    """The mitigation that options without errors ask for."""
    name, cves = options["name"], list(dict.fromkeys(options["cves"]))
    kind = next((kind for kind in KINDS if options.get(kind)), "own")
    mitigation = Mitigation(name, cves, kind, check=list(options["check"]))
    mitigation.packages = {str(key): str(value) for key, value in options["packages"].items()}
    head = "# Made by Upkeep: the mitigation %s of %s. It goes when this host is patched.\n" % (name, ", ".join(cves))
    told: Any = options.get(kind)
    if kind == "sysctl":
        values = {str(key): " ".join(str(value).split()) for key, value in told.items()}
        text = head + "".join("%s = %s\n" % pair for pair in values.items())
        # Behind 99-sysctl.conf: of two that set the same the last one counts (sysctl.d(5)).
        mitigation.items = [Item("file", "/etc/sysctl.d/zz-upkeep-%s.conf" % name, text)]
        mitigation.items += [Item("sysctl", key, value) for key, value in values.items()]
    elif kind == "kernel_module":
        # "blacklist" alone keeps only its aliases away (modprobe.d(5)).
        text = head + "".join("blacklist %s\ninstall %s /bin/false\n" % (module, module) for module in told)
        mitigation.items = [Item("file", "/etc/modprobe.d/zz-upkeep-%s.conf" % name, text)]
        mitigation.items += [Item("module", module.replace("-", "_"), "no") for module in told]
    elif kind == "service":
        # All are masked first: a socket, or another service, would start again what was stopped.
        mitigation.items = [Item("masked", unit, "yes") for unit in told]
        mitigation.items += [Item("running", unit, "no") for unit in told]
    elif kind == "file_mode":
        bits = 0
        for bit in told["remove"]:
            bits |= BITS[bit]
        mitigation.items = [Item("mode", path, "0", bits=bits) for path in told["paths"]]
    elif kind == "dropin":
        text = told["content"] if told["content"].endswith("\n") else told["content"] + "\n"
        mitigation.items = [Item("file", told["path"], text)]
        mitigation.validate, mitigation.reload = list(told["validate"]), told["reload"]
        mitigation.survives_reboot = not told["path"].startswith(_GONE_AT_BOOT)
    else:
        mitigation.survives_reboot = bool(options["survives_reboot"])
    return mitigation


def as_text(mitigation: Mitigation) -> str:
    """The journal of a mitigation."""
    return json.dumps(dict(asdict(mitigation), format=FORMAT), sort_keys=True, indent=1) + "\n"


def of_text(text: str) -> Mitigation:
    """The mitigation of a journal. Raises ValueError when it is none."""
    data = json.loads(text)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError("it is no mitigation of this version of Upkeep")
    known = {entry.name for entry in fields(Mitigation)}
    try:
        items = [Item(**item) for item in data["items"]]
        mitigation = Mitigation(**dict({key: data[key] for key in data if key in known}, items=items))
    except (TypeError, KeyError) as error:
        raise ValueError("it lacks something: %s" % error) from error
    right = {
        "name": isinstance(mitigation.name, str) and bool(NAME.fullmatch(mitigation.name)),
        "kind": mitigation.kind in KINDS,
        "phase": mitigation.phase in PHASES,
        "items": all(item.kind in ITEMS and isinstance(item.subject, str) for item in items),
        "since": isinstance(mitigation.since, (int, float)),
        "packages": isinstance(mitigation.packages, dict),
    }
    for key in ("cves", "validate", "check"):
        value = getattr(mitigation, key)
        right[key] = isinstance(value, list) and all(isinstance(entry, str) for entry in value)
    wrong = [key for key, holds in right.items() if not holds]
    if wrong:
        raise ValueError("%s cannot be understood" % ", ".join(wrong))
    return mitigation


def shown(item: Item, value: str | None) -> str:
    """The value of an item for a person, and for a diff."""
    if item.kind == "file":
        return "" if value is None else value
    if value is None:
        return "%s: not there" % item.label
    return "%s: %s" % (item.label, value)


def is_in_force(item: Item, now: str | None) -> bool:
    """Whether an item has the value that it is to have. What is not there exposes nobody."""
    return now == item.wanted or (now is None and item.kind in ("mode", "running", "module"))
