# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt's and dpkg's files and commands say. Pure: text in, plain objects out.

Read from apt 2.6 (Debian 12); the forms of apt 1.6 to 3.0 are accepted where they differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE_NAME = re.compile(r"^[a-z0-9][a-z0-9+.-]*$")
"""Debian Policy 5.6.1; a name of another form never reaches a command line."""

SETTLED_STATES = ("installed", "config-files", "not-installed")
"""dpkg's states in which nothing is left to be done (dpkg(1), "package states")."""


# -- dpkg's status file ------------------------------------------------------


@dataclass
class Package:
    """A stanza of dpkg's status file."""

    name: str
    arch: str
    version: str
    want: str
    flag: str
    state: str
    source: str = ""
    """The source package that it was built from."""
    source_version: str = ""
    """The version of that; a rebuild has another one of its own."""
    size: int | None = None
    """KiB that it takes, as its maker says."""

    @property
    def installed(self) -> bool:
        return self.state == "installed"


_STATUS_FIELD = re.compile(r"^(Package|Status|Version|Architecture|Source|Installed-Size): ?(.*)$", re.M)


def parse_status(text: str) -> tuple[list[Package], list[str]]:
    """The packages of dpkg's status file, and what is wrong with the file: one sentence each."""
    packages, wrong = [], []
    if not text.strip():
        return [], ["dpkg's status file is empty"]
    for stanza in re.split(r"\n[ \t]*\n", text.strip("\n")):
        fields = dict(_STATUS_FIELD.findall(stanza))
        name = fields.get("Package", "").strip()
        words = fields.get("Status", "").split()
        if not name or len(words) != 3:
            wrong.append(
                "dpkg's status file has a stanza without package or status: %s" % stanza[:80].replace("\n", " | ")
            )
            continue
        if not PACKAGE_NAME.match(name):
            wrong.append("dpkg's status file has a package with an impossible name: %s" % name[:80])
            continue
        version = fields.get("Version", "").strip()
        source, source_version = source_of(name, version, fields.get("Source", ""))
        size = fields.get("Installed-Size", "").strip()
        want, flag, state = words
        arch, kib = fields.get("Architecture", "").strip(), int(size) if size.isdigit() else None
        package = Package(name, arch, version, want, flag, state, source, source_version, kib)
        if package.installed and not package.version:
            wrong.append("%s is installed without a version in dpkg's status file" % name)
            continue
        packages.append(package)
    # dpkg writes the file whole, and ends it with a newline: a file that does not was cut.
    if not text.endswith("\n"):
        wrong.append("dpkg's status file ends in the middle of a line")
    return packages, wrong


def source_of(name: str, version: str, field: str) -> tuple[str, str]:
    """Name and version of a package's source, by its ``Source`` field (``openssl (3.0.17-1)``; empty: the same)."""
    source, _blank, given = field.strip().partition(" ")
    return source or name, given.strip("() ") or version


def unsettled(packages: list[Package]) -> list[str]:
    """The packages that dpkg left half done, one sentence each; `dpkg --audit` tells them with exit code 0."""
    found = []
    for package in packages:
        if package.flag != "ok":
            found.append("%s %s must be installed again (%s)" % (package.name, package.version, package.flag))
        elif package.state not in SETTLED_STATES:
            found.append("%s %s is %s" % (package.name, package.version, package.state))
    return found


# -- apt-config dump ---------------------------------------------------------

_CONFIG_LINE = re.compile(r'^([^ ]+) "(.*)";$')


def parse_config(text: str) -> dict[str, str]:
    """The settings of ``apt-config dump`` by their names in lower case; the items of a list are joined by newlines."""
    settings: dict[str, str] = {}
    for line in text.splitlines():
        match = _CONFIG_LINE.match(line)
        if not match:
            continue
        name, value = match.group(1).lower(), match.group(2)
        if name.endswith("::"):
            name = name[:-2]
            settings[name] = (settings.get(name, "") + "\n" + value).strip("\n")
        else:
            settings[name] = value
    return settings


def truth(value: str) -> bool:
    """A setting of apt as it reads it itself: "0", no, false, off, without, disable are false, and so is nothing."""
    return value.strip().lower() not in ("", "0", "no", "false", "without", "off", "disable", "never")


def setting_path(settings: dict[str, str], name: str) -> str:
    """The path that a ``Dir::…`` setting names: a relative one hangs on its parent, as in apt's FindFile."""
    path = settings.get(name.lower(), "")
    parent = name
    while not path.startswith(("/", "./")) and "::" in parent:
        parent = parent.rpartition("::")[0]
        path = settings.get(parent.lower(), "").rstrip("/") + "/" + path
    return re.sub("//+", "/", path)


# -- sources -----------------------------------------------------------------


@dataclass
class Source:
    """One archive of packages (no source code) that apt is told to use: address, suite and its options."""

    uri: str
    suite: str
    components: list[str] = field(default_factory=list)
    options: dict[str, str] = field(default_factory=dict)
    where: str = ""

    @property
    def name(self) -> str:
        return "%s %s" % (without_credentials(self.uri), self.suite)

    @property
    def list_name(self) -> str:
        """How the names of this archive's files in the lists' folder begin."""
        folder = self.uri.rstrip("/") + "/"
        folder += self.suite.lstrip("/") if self.suite.endswith("/") else "dists/" + self.suite + "/"
        return file_name(folder)


def without_credentials(uri: str) -> str:
    return re.sub(r"(?<=://)[^/@]*@", "", uri)


_NOT_IN_FILE_NAME = '\\|{}[]<>"^~_=!@#$%^&*'


def file_name(uri: str) -> str:
    """The name under which apt keeps what it has fetched from an address (URItoFileName of apt-pkg)."""
    uri = re.sub(r"^[a-z0-9+.-]+:(//)?", "", without_credentials(uri), flags=re.I)
    quoted = "".join(
        "%%%02x" % ord(character) if character in _NOT_IN_FILE_NAME or not " " < character < "\x7f" else character
        for character in uri
    )
    return quoted.replace("/", "_")


def parse_one_line_sources(text: str, where: str) -> list[Source]:
    """The ``deb`` lines of a ``.list`` file (sources.list(5)); a line that is not understood is left out."""
    sources = []
    for line in text.splitlines():
        match = re.match(r"^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$", line.split("#", 1)[0].strip())
        if not match:
            continue
        options = {}
        for option in (match.group(1) or "").split():
            key, _equals, value = option.partition("=")
            options[key.rstrip("+-").lower()] = value
        uri = match.group(2)
        sources.append(Source(uri, match.group(3), match.group(4).split(), options, where))
    return sources


def parse_deb822_sources(text: str, where: str) -> list[Source]:
    """The enabled ``Types: deb`` stanzas of a ``.sources`` file (sources.list(5))."""
    sources = []
    for stanza in stanzas(text):
        if "deb" not in stanza.get("types", "").split() or not truth(stanza.get("enabled", "yes")):
            continue
        for uri in stanza.get("uris", "").split():
            for suite in stanza.get("suites", "").split():
                sources.append(Source(uri, suite, stanza.get("components", "").split(), stanza, where))
    return sources


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """The stanzas of a deb822 file: fields by their names in lower case, lines of a value joined by newlines."""
    fields: dict[str, str] = {}
    name = ""
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                yield fields
            fields, name = {}, ""
        elif line[0] in " \t":
            if name:
                fields[name] = (fields[name] + "\n" + line.strip()).strip("\n")
        else:
            name, _colon, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    if fields:
        yield fields


@dataclass
class Release:
    """The head of an archive's Release file. Times are seconds since the epoch, None when the file has none."""

    origin: str = ""
    label: str = ""
    suite: str = ""
    codename: str = ""
    date: float | None = None
    valid_until: float | None = None
    not_automatic: bool = False


def parse_release(text: str) -> Release | None:
    """The head of an InRelease or Release file, None when this is none."""
    text = re.sub(r"\A-----BEGIN PGP SIGNED MESSAGE-----\n(?:[^\n]+\n)*\n", "", text)
    head = re.split(r"^(?:MD5Sum|SHA1|SHA256|SHA512):", text, maxsplit=1, flags=re.M)[0]
    fields = next(stanzas(head), {})
    if not any(key in fields for key in ("date", "suite", "codename", "origin")):
        return None
    return Release(
        fields.get("origin", ""),
        fields.get("label", ""),
        fields.get("suite", ""),
        fields.get("codename", ""),
        parse_date(fields.get("date", "")),
        parse_date(fields.get("valid-until", "")),
        truth(fields.get("notautomatic", "")),
    )


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DATE = re.compile(r"(?:\w{3}, +)?(\d{1,2}) (\w{3})\w* (\d{4}) (\d{1,2}):(\d\d):(\d\d) *(UTC|GMT|Z|[+-]\d{4})?$", re.A)


def parse_date(text: str) -> float | None:
    """A date of a Release file ("Sat, 21 Nov 2026 00:53:02 UTC") as seconds since the epoch."""
    # Not strptime, which asks the locale, nor email.utils, which takes 20 ms to import.
    match = _DATE.match(text.strip())
    if not match or match.group(2).lower() not in _MONTHS:
        return None
    day, month, year, hour, minute, second = match.groups()[:6]
    zone = match.group(7) or ""
    try:
        ahead = (
            int(zone[0] + "1") * timedelta(hours=int(zone[1:3]), minutes=int(zone[3:5]))
            if zone[:1] in ("+", "-")
            else None
        )
        numbers = (int(year), _MONTHS.index(month.lower()) + 1, int(day), int(hour), int(minute), int(second))
        return datetime(*numbers, tzinfo=timezone(ahead or timedelta())).timestamp()
    except (ValueError, OverflowError, IndexError):
        return None


# -- preferences -------------------------------------------------------------


def pinned_patterns(text: str) -> list[str]:
    """The ``Package:`` patterns of a preferences file that name particular packages (apt_preferences(5)).

    ``*`` alone is left out: it orders whole archives, and withholds no package in particular.
    """
    return [
        pattern
        for stanza in stanzas(text)
        if stanza.get("pin-priority")
        for pattern in stanza.get("package", "").split()
        if pattern != "*"
    ]


# -- apt-cache policy --------------------------------------------------------


@dataclass
class Version:
    """A version in the table of ``apt-cache policy``: where it can be had, as (address, suite, component)."""

    version: str
    priority: int | None = None
    installed: bool = False
    phased: int | None = None
    """Per cent of the hosts that are meant to have it by now, None when it is not phased."""
    sources: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Policy:
    """What apt knows of one package."""

    name: str
    installed: str = ""
    candidate: str = ""
    pin: str = ""
    versions: list[Version] = field(default_factory=list)


_POLICY_VERSION = re.compile(r"^ (\*\*\*|   ) (\S+) (-?\d+)?(?: \(phased (\d+)%\))?\s*$")
_POLICY_SOURCE = re.compile(r"^ {6,}(-?\d+) (\S+)(?: (\S+))?(?: (\S+))?(?: Packages)?\s*$")


def parse_policy(text: str) -> dict[str, Policy]:
    """``apt-cache policy NAME…`` by the names that it prints."""
    policies: dict[str, Policy] = {}
    current = Policy("")
    for line in text.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            current = Policy(line[:-1])
            policies[current.name] = current
        elif line.startswith("  Installed: "):
            current.installed = _version_or_none(line[13:])
        elif line.startswith("  Candidate: "):
            current.candidate = _version_or_none(line[13:])
        elif line.startswith("  Package pin: "):
            current.pin = line[15:].strip()
        else:
            match = _POLICY_VERSION.match(line)
            if match:
                marked, version, priority, phased = match.groups()
                current.versions.append(
                    Version(
                        version,
                        int(priority) if priority else None,
                        marked == "***",
                        int(phased) if phased else None,
                    )
                )
                continue
            match = _POLICY_SOURCE.match(line)
            if match and current.versions:
                _priority, uri, suite, _arch = match.groups()
                name, _slash, component = (suite or "").rpartition("/")
                if suite and suite.endswith("/"):
                    name, component = suite, ""
                current.versions[-1].sources.append((uri, name or component, component if name else ""))
    return policies


def _version_or_none(text: str) -> str:
    return "" if text.strip() == "(none)" else text.strip()


# -- what an upgrade would do ------------------------------------------------


@dataclass
class Plan:
    """What ``apt-get dist-upgrade`` says that it would do: names of packages."""

    upgraded: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    phased: list[str] = field(default_factory=list)
    complete: bool = False
    """Whether its own count is there and agrees with the lists."""


_PLAN_LISTS = (
    # (what the heading contains, in lower case; the list): apt-get's words first, then those of apt 3.
    ("deferred due to phasing", "phased"),
    ("not upgrading yet due to phasing", "phased"),
    ("kept back", "kept"),
    ("will be upgraded", "upgraded"),
    ("new packages will be installed", "new"),
    ("will be removed", "removed"),
    ("not upgrading", "kept"),
    ("upgrading:", "upgraded"),
    ("installing dependencies:", "new"),
    ("installing:", "new"),
    ("removing:", "removed"),
)
_PLAN_COUNT = re.compile(
    r"(\d+) upgraded, (\d+) newly installed, (?:\d+ reinstalled, )?(?:\d+ downgraded, )?"
    r"(\d+) to remove and (\d+) not upgraded"
)
_PLAN_COUNT_3 = re.compile(r"Upgrading: (\d+), Installing: (\d+), Removing: (\d+), Not Upgrading: (\d+)")


def parse_plan(text: str) -> Plan:
    """The lists that apt-get prints before it acts, checked against its own count."""
    plan = Plan()
    current: list[str] | None = None
    for line in text.splitlines():
        if line.startswith("  ") and current is not None and "," not in line:
            current += line.replace("*", "").split()
            continue
        current = None
        lowered = line.lower()
        if lowered.rstrip().endswith(":"):
            for heading, name in _PLAN_LISTS:
                if heading in lowered:
                    current = getattr(plan, name)
                    break
            continue
        match = _PLAN_COUNT.search(line)
        if match:
            counts = tuple(int(number) for number in match.groups())
            found = (len(plan.upgraded), len(plan.new), len(plan.removed), len(plan.kept) + len(plan.phased))
            plan.complete = counts[:3] == found[:3] and counts[3] <= found[3]
    match = _PLAN_COUNT_3.search(text)
    if match:
        plan.complete = tuple(int(number) for number in match.groups()[:3]) == (
            len(plan.upgraded),
            len(plan.new),
            len(plan.removed),
        )
    return plan


# -- apt-get --simulate install ----------------------------------------------


@dataclass
class Step:
    """One line of a simulation: what would happen to one package. ``old`` and ``new`` are empty where there is none."""

    name: str
    arch: str
    """Empty for a removal, of which apt does not say it."""
    old: str
    new: str
    origin: str = ""


_SIMULATED = re.compile(r"^(Inst|Remv) (\S+)(?: \[([^\]\s]+)\])?(?: \((\S+)(?: (.*?))? \[(\S+?)\]\))?")
_COUNTED = re.compile(
    r"^(\d+) upgraded, (\d+) newly installed, (?:(\d+) reinstalled, )?(?:(\d+) downgraded, )?(\d+) to remove", re.M
)
_COUNTED_3 = re.compile(
    r"Upgrading: (\d+), Installing: (\d+), (?:Reinstalling: (\d+), )?(?:Downgrading: (\d+), )?Removing: (\d+),"
)


def parse_simulation(text: str) -> tuple[list[Step], bool]:
    """What ``apt-get --simulate install`` would do, in its order, and whether that agrees with its own count."""
    steps = []
    for line in text.splitlines():
        match = _SIMULATED.match(line)
        if not match:
            continue
        verb, name, old, new, origin, arch = match.groups()
        name, _colon, foreign = name.partition(":")
        if verb == "Remv":
            steps.append(Step(name, foreign, old or "", ""))
        elif new:
            # "Debian-Security:12/stable-security, Debian:12.1/stable"
            steps.append(Step(name, foreign or arch or "", old or "", new, (origin or "").split(",")[0].strip()))
    match = _COUNTED.search(text) or _COUNTED_3.search(text)
    if not match:
        return steps, False
    upgraded, installed, reinstalled, downgraded, removed = (int(number or 0) for number in match.groups())
    changed = [step for step in steps if step.new and step.old]
    agrees = (
        len(changed) >= upgraded + downgraded
        and len(changed) <= upgraded + downgraded + reinstalled
        and sum(not step.old for step in steps) == installed
        and sum(not step.new for step in steps) == removed
    )
    return steps, agrees


def refusal(out: str, err: str) -> list[str]:
    """Why apt-get would not do it: the lines that name packages, then its errors."""
    named, listing = [], False
    for line in out.splitlines():
        if line.startswith("The following packages have unmet dependencies"):
            listing = True
        elif listing and line.startswith(" "):
            named.append(" ".join(line.split()).replace(" : ", " - ", 1))  # "passwd : Depends" looks like a password
        elif line.strip():
            listing = False
    return named + [line for line in err.splitlines() if line.startswith("E:")]


# -- apt-cache show ----------------------------------------------------------


@dataclass
class Record:
    """What an archive's list says of one version of a package."""

    name: str
    arch: str
    version: str
    source: str
    source_version: str
    download: int | None
    """Bytes of its file."""
    size: int | None
    """KiB that it takes once installed."""


def parse_records(text: str) -> list[Record]:
    """``apt-cache show NAME=VERSION…``"""
    records = []
    for stanza in stanzas(text):
        name, version = stanza.get("package", ""), stanza.get("version", "")
        if name and version:
            source, source_version = source_of(name, version, stanza.get("source", ""))
            sizes = [int(stanza[key]) if stanza.get(key, "").isdigit() else None for key in ("size", "installed-size")]
            records.append(Record(name, stanza.get("architecture", ""), version, source, source_version, *sizes))
    return records


# -- apt-get update ----------------------------------------------------------


@dataclass
class Refresh:
    """What ``apt-get update`` complained of, by "address suite" of the archive; ``other`` is what names none."""

    unreachable: dict[str, str] = field(default_factory=dict)
    expired: dict[str, str] = field(default_factory=dict)
    unsigned: dict[str, str] = field(default_factory=dict)
    other: list[str] = field(default_factory=list)


_REFRESH_ERROR = re.compile(r"^Err:\d+ (\S+) (\S+)")
_REFRESH_NAMED = re.compile(r"(?:GPG error: |repository ')([a-z0-9+.-]+:\S+) (\S+) (?:In)?Release", re.I)
_REFRESH_URI = re.compile(
    r"(?:for|fetch) ([a-z0-9+.-]+:/\S+?)/dists/(\S+?)/(?:(?:In)?Release|\S+/binary-\S+)(?=\s|$)", re.I
)


def parse_refresh(text: str) -> Refresh:
    """What ``apt-get update`` printed (both streams together)."""
    refresh = Refresh()
    lines = text.splitlines()
    for number, line in enumerate(lines):
        match = _REFRESH_ERROR.match(line)
        if match:
            reason = (
                lines[number + 1].strip() if number + 1 < len(lines) and lines[number + 1].startswith("  ") else line
            )
            # "Err:1 http://host/debian suite/main amd64 Packages"
            name = "%s %s" % (without_credentials(match.group(1)), match.group(2).split("/")[0])
            known = refresh.unsigned if _is_signature(reason) else refresh.unreachable
            known.setdefault(name, reason)
            continue
        if not line.startswith(("E: ", "W: ")):
            continue
        message = line[3:]
        match = _REFRESH_NAMED.search(message) or _REFRESH_URI.search(message)
        if not match:
            if line.startswith("E: ") or "failed to download" in message:
                refresh.other.append(message)
            continue
        name = "%s %s" % (without_credentials(match.group(1)).rstrip("/"), match.group(2))
        if "is expired" in message or "not valid yet" in message:
            refresh.expired.setdefault(name, message)
            refresh.unreachable.pop(name, None)
        elif _is_signature(message):
            # "is not signed" comes last, and says less than the error of the signature itself.
            if "GPG error" in message:
                refresh.unsigned[name] = message[match.end() :].lstrip(": ")
            else:
                refresh.unsigned.setdefault(name, message)
            refresh.unreachable.pop(name, None)
        elif name not in refresh.unsigned and name not in refresh.expired:
            refresh.unreachable.setdefault(name, message)
    return refresh


def _is_signature(message: str) -> bool:
    return any(
        word in message
        for word in (
            "GPG error",
            "is not signed",
            "no longer signed",
            "NO_PUBKEY",
            "couldn't be verified",
            "EXPKEYSIG",
            "BADSIG",
        )
    )


# -- logs --------------------------------------------------------------------

_HISTORY_UPGRADE = re.compile(r"^Upgrade: ", re.M)
_HISTORY_DATE = re.compile(r"^(?:End|Start)-Date: (\d{4})-(\d\d)-(\d\d)\s+(\d\d):(\d\d):(\d\d)", re.M)
_DPKG_UPGRADE = re.compile(r"^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d):(\d\d) upgrade ", re.M)


def last_history_upgrade(text: str) -> tuple[int, ...] | None:
    """When apt's history.log last told of an upgrade: (year, month, day, hour, minute, second) in local time."""
    for entry in reversed(re.split(r"\n\s*\n", text)):
        if _HISTORY_UPGRADE.search(entry):
            dates = _HISTORY_DATE.findall(entry)
            if dates:
                return tuple(int(number) for number in dates[-1])
    return None


def last_dpkg_upgrade(text: str) -> tuple[int, ...] | None:
    """As :func:`last_history_upgrade`, from dpkg.log."""
    last = None
    for last in _DPKG_UPGRADE.finditer(text):  # noqa: B007 - the last one is wanted
        pass
    return tuple(int(number) for number in last.groups()) if last else None
