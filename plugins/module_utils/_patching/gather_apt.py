# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What apt and dpkg know of this host. Commands: apt-config (10 ms), apt-cache policy (50 ms for 700 packages out of
60,000), and only when something can be upgraded apt-get (0.4 s and more out of 60,000: it solves). No lock is taken.
"""

from __future__ import annotations

import fnmatch
import re
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._host import AS_ROOT
from . import apt_parse as parse
from .model import Hold, Installed, Lock, Managed, Present, Problem, Repository, Update
from .versions import compare_deb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .._host import Host, Ran

NAMES_A_CALL = 4000
"""Packages that one call of apt-cache is asked for: Linux takes 2 MiB of arguments, a name has some 60 bytes."""

LOCKS = (
    "/var/lib/dpkg/lock-frontend",
    "/var/lib/dpkg/lock",
    "/var/lib/apt/lists/lock",
    "/var/cache/apt/archives/lock",
)

_KERNEL_PACKAGE = re.compile(r"^linux-image-(?:unsigned-)?(\d.*)$")
_MEND = "dpkg --configure -a && apt-get install --fix-broken"


def gather(host: Host, options: Mapping[str, Any]) -> Managed:
    """Everything that apt and dpkg know; what could not be found out stands as a Problem in its place."""
    known = Managed("apt")
    ran = host.run(["apt-config", "dump"], timeout=20)
    settings = parse.parse_config(ran.out)
    if ran.rc != 0 or not settings:
        # A broken file in apt.conf.d stops every apt command; what follows reads files from their usual places.
        known.updates_problem = failed(
            "apt-config dump", ran, "Correct the file that it names, then run: apt-config dump"
        )
        settings = {}
    lists = parse.setting_path(settings, "Dir::State::lists") if settings else "/var/lib/apt/lists/"
    etc = parse.setting_path(settings, "Dir::Etc") if settings else "/etc/apt"
    native = settings.get("apt::architecture", "")

    known.locks = [lock for lock in (_lock(host, path) for path in LOCKS) if lock]
    if not host.is_root():
        known.locks_problem = Problem("only root may ask who holds dpkg's lock", AS_ROOT)

    packages = _database(host, known, native)
    known.names = {package.name for package in packages if package.installed}
    known.packages = len(known.names)
    known.native = native
    known.installed = [
        Installed(p.name, p.arch, p.version, p.source, p.source_version, None if p.size is None else p.size * 1024)
        for p in packages
        if p.installed
    ]

    fresh = bool(options["refresh"] and not options.get("check_mode")) and _refresh(host, known, options)
    sources, releases = _repositories(host, known, settings, etc, lists.rstrip("/"), options)
    if fresh:
        known.checked = host.now()

    if known.updates_problem is None:
        _updates(host, known, packages, native, sources, releases, etc, options)

    known.last_upgrade = _last_upgrade(host)
    if settings and known.names:
        known.automatic = _automatic(host, settings, known.names)
    return known


def present(host: Host, known: Managed) -> list[Present]:
    """The installed packages, each with when it came in this version: dpkg writes its list of files anew then."""
    folder = "/var/lib/dpkg/info/"
    return [
        Present(one.name, one.arch, one.version, host.mtime(folder + _list_name(host, folder, one)))
        for one in known.installed
    ]


def _list_name(host: Host, folder: str, package: Installed) -> str:
    plain, with_arch = "%s.list" % package.name, "%s:%s.list" % (package.name, package.arch)
    return plain if host.exists(folder + plain) else with_arch


def failed(command: str, ran: Ran, remedy: str) -> Problem:
    """A command that did not do what it was asked for."""
    if ran.rc == 127:
        why = "%s is not there" % command.split(" ", 1)[0]
    elif ran.rc is None:
        why = "`%s` had no end within its time limit" % command
    elif ran.truncated:
        why = "`%s` printed more than can be kept" % command
    else:
        why = "`%s` ended with %d" % (command, ran.rc)
    lines = [line for line in (ran.err + "\n" + ran.out[-4000:]).splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(("E:", "W:", "dpkg:"))] or lines[-5:]
    return Problem(why, remedy, telling[:10])


# -- dpkg --------------------------------------------------------------------


def _database(host: Host, known: Managed, native: str) -> list[parse.Package]:
    """The packages of dpkg's status file; what is broken in it goes into ``known``."""
    known.database_remedy = _MEND
    text = host.read("/var/lib/dpkg/status", limit=64 * 1024 * 1024)
    if text is None:
        known.database_problem = Problem(
            "/var/lib/dpkg/status cannot be read", "Restore it: cp /var/lib/dpkg/status-old /var/lib/dpkg/status"
        )
        known.updates_problem = known.updates_problem or known.database_problem
        return []
    packages, wrong = parse.parse_status(text)
    if wrong:
        known.database_remedy = (
            "Compare /var/lib/dpkg/status with status-old and /var/backups/dpkg.status.*, then: " + _MEND
        )
    known.database = wrong + parse.unsettled(packages)
    # dpkg leaves a numbered file for each change that it has not yet merged into the status file.
    journal = [name for name in host.listdir("/var/lib/dpkg/updates") if name.isdigit()]
    if journal:
        known.database.append("dpkg was interrupted: %d unmerged changes in /var/lib/dpkg/updates" % len(journal))
    busy = [lock for lock in known.locks if "/dpkg/" in lock.path]
    if known.database and busy:
        # Half-done is what a package looks like while dpkg works on it.
        known.database_problem = Problem(
            "%s (process %d) is changing it" % (busy[0].command or "a process", busy[0].pid),
            "Look again when that process has ended.",
            known.database[:10],
        )
        known.database = []
    known.kernel_packages = {
        match.group(1): package.version
        for package in packages
        for match in [_KERNEL_PACKAGE.match(package.name)]
        if match and package.installed
    }
    known.version = next((p.version for p in packages if p.name == "apt" and p.installed), "")
    return packages


def _lock(host: Host, path: str) -> Lock | None:
    pid = host.lock_holder(path)
    if pid is None:
        return None
    command = (host.read("/proc/%d/cmdline" % pid, 4096) or "").replace("\0", " ").strip()
    return Lock(path, pid, command, host.started(pid))


# -- repositories ------------------------------------------------------------


def _refresh(host: Host, known: Managed, options: Mapping[str, Any]) -> bool:
    """Fetch the package lists anew, and say whether all came. A lock that is held is waited for, but not long."""
    known.refreshed = True
    patience = host.now() + options["lock_timeout"]
    while True:
        ran = host.run(
            [
                "apt-get",
                "-q",
                # As --error-on=any, which apt before 2.1.8 does not know: without it a dead mirror ends with 0.
                "-o",
                "APT::Update::Error-Mode=any",
                "-o",
                "Acquire::Retries=0",
                "-o",
                "Acquire::http::Timeout=10",
                "-o",
                "Acquire::https::Timeout=10",
                "-o",
                "Acquire::ftp::Timeout=10",
                "update",
            ],
            timeout=options["refresh_timeout"],
        )
        locked = ran.rc == 100 and "Could not get lock" in ran.err
        if not locked or host.now() >= patience:
            break
        host.sleep(1.0)
    if locked:
        known.refresh_problem = Problem(
            "the package lists are locked by another process",
            "Wait for it, or raise lock_timeout (now %d s)." % options["lock_timeout"],
            [line for line in ran.err.splitlines() if "lock" in line],
        )
        return False
    said = parse.parse_refresh(ran.out + "\n" + ran.err)
    known.repositories = [
        Repository(name, unreachable=said.unreachable.get(name, ""), expired=said.expired.get(name, ""),
                   unsigned=said.unsigned.get(name, ""))
        for name in {**said.unreachable, **said.expired, **said.unsigned}
    ]  # fmt: skip
    # What a repository is to blame for is told of that repository, and apt's summary of it adds nothing.
    other = [message for message in said.other if "failed to download" not in message]
    if ran.rc != 0 and (other or not known.repositories):
        known.refresh_problem = failed("apt-get update", ran, "Run it by hand and read what it says: apt-get update")
    return ran.rc == 0 and not known.repositories


def _repositories(
    host: Host, known: Managed, settings: Mapping[str, str], etc: str, lists: str, options: Mapping[str, Any]
) -> tuple[list[parse.Source], dict[str, parse.Release]]:
    """The configured archives, and the Release file of each that has one, by the archive's name."""
    sources = _sources(host, settings, etc)
    releases: dict[str, parse.Release] = {}
    said = {repository.name: repository for repository in known.repositories}
    names = set(host.listdir(lists))
    seen: dict[str, Repository] = {}
    patterns = [re.compile(pattern, re.I) for pattern in options.get("security_origins") or []]
    for source in sources:
        if source.uri.startswith("cdrom:") or source.name in seen:
            continue
        plain_name = "%s %s" % (parse.without_credentials(source.uri).rstrip("/"), source.suite)
        repository = said.pop(plain_name, None) or Repository(source.name)
        repository.name = source.name
        seen[source.name] = repository
        prefix = source.list_name
        inline = prefix + "InRelease" in names
        found = prefix + ("InRelease" if inline else "Release")
        release = parse.parse_release(host.read(lists + "/" + found, 65536) or "") if found in names else None
        repository.fetched = found in names
        if release:
            releases[source.name] = release
            repository.date, repository.valid_until = release.date, release.valid_until
            if not truth_of_option(source.options, "check-valid-until", True):
                repository.valid_until = None
        elif repository.fetched:
            repository.unreachable = repository.unreachable or "its Release file cannot be read"
        repository.security = is_security(source, release, patterns)
        repository.details = (
            {"origin": release.origin, "label": release.label, "suite": release.suite} if release else {}
        )
        _signature(host, repository, source, release is not None, inline or found + ".gpg" in names, etc)
    known.repositories = list(seen.values()) + list(said.values())
    if not sources:
        known.repositories_problem = Problem(
            "no archive of packages is configured", "Add one to /etc/apt/sources.list or /etc/apt/sources.list.d"
        )
    fetched = [host.mtime(lists + "/" + name) for name in names if name.endswith("Release")]
    # Only what is left when something new came; an update that found nothing new leaves no trace at all.
    times = [host.mtime("/var/lib/apt/periodic/update-success-stamp"), *(release.date for release in releases.values())]
    if any(repository.fetched for repository in seen.values()):
        times += [host.mtime(lists), *fetched]
    known.checked = max((t for t in times if t is not None and t <= host.now() + 86400), default=None)
    tried = [host.mtime(lists + "/partial"), host.mtime("/var/lib/apt/periodic/update-stamp")]
    known.tried = max((t for t in tried if t is not None), default=None)
    return sources, releases


def _sources(host: Host, settings: Mapping[str, str], etc: str) -> list[parse.Source]:
    main = parse.setting_path(dict(settings), "Dir::Etc::sourcelist") if settings else etc + "/sources.list"
    parts = parse.setting_path(dict(settings), "Dir::Etc::sourceparts") if settings else etc + "/sources.list.d"
    files = [main, *("%s/%s" % (parts.rstrip("/"), name) for name in host.listdir(parts))]
    sources = []
    for path in files:
        text = host.read(path)
        if text is None:
            continue
        if path.endswith(".sources"):
            sources += parse.parse_deb822_sources(text, path)
        elif path.endswith(".list") or path == main:
            sources += parse.parse_one_line_sources(text, path)
    return sources


def truth_of_option(options: Mapping[str, str], name: str, default: bool) -> bool:
    return parse.truth(options[name]) if name in options else default


def is_security(source: parse.Source, release: parse.Release | None, patterns: Iterable[re.Pattern[str]]) -> bool:
    """Whether an archive is the distribution's security archive, or one that ``security_origins`` names.

    Debian's and Ubuntu's: ``bookworm-security`` (label Debian-Security), ``jammy-security``, ``jammy-apps-security``.
    """
    suite = "%s %s" % (source.suite, release.suite + " " + release.codename + " " + release.label if release else "")
    if re.search(r"(?:^|[-/ ])security\b", suite, re.I) or re.search(r"-security\b", suite, re.I):
        return True
    about = "origin=%s,label=%s,suite=%s,codename=%s,uri=%s" % (
        (release.origin, release.label, release.suite, release.codename, source.uri) if release
        else ("", "", source.suite, "", source.uri)
    )  # fmt: skip
    return any(pattern.search(about) for pattern in patterns)


def _signature(host: Host, repository: Repository, source: parse.Source, present: bool, signed: bool, etc: str) -> None:
    if repository.unsigned:
        return
    keys = source.options.get("signed-by", "")
    if truth_of_option(source.options, "trusted", False):
        repository.unsigned = "it is trusted without a signature (trusted=yes in %s)" % source.where
        repository.unsigned_by_choice = True
    elif present and not signed:
        repository.unsigned = "its Release file has no signature"
    elif keys.startswith("/"):
        # A key that is written out, or given as a fingerprint, needs no file.
        missing = [path for path in re.split(r"[,\s]+", keys) if path.startswith("/") and not host.exists(path)]
        if missing:
            repository.unsigned = "the key to check it with is missing: %s" % ", ".join(missing)


# -- updates -----------------------------------------------------------------


@dataclass(frozen=True)
class _Offer:
    """An installed package, and what the archives have beyond its version."""

    policy: parse.Policy
    package: parse.Package
    newer: list[parse.Version]
    places: Mapping[str, list[str]]
    """The archives of each newer version, by name; "" for one that is not known."""
    security: set[str]
    """The names of the archives of security updates."""
    releases: Mapping[str, parse.Release]
    named: bool
    """Whether a pin names the package."""

    @property
    def held(self) -> bool:
        return self.package.want == "hold"

    def fixes(self, versions: list[parse.Version]) -> bool:
        """Whether one of these versions is a security update."""
        return any(set(self.places.get(v.version, [])) & self.security for v in versions)

    def by_itself(self, version: parse.Version) -> bool:
        """Whether an archive offers it by itself: one that is not automatic (backports) does not, without any pin."""
        names = [name for name in self.places[version.version] if name]
        return any(not (name in self.releases and self.releases[name].not_automatic) for name in names)


def _updates(
    host: Host,
    known: Managed,
    packages: list[parse.Package],
    native: str,
    sources: list[parse.Source],
    releases: Mapping[str, parse.Release],
    etc: str,
    options: Mapping[str, Any],
) -> None:
    installed = {
        package.name
        if package.arch in (native, "all", "") or not native
        else "%s:%s" % (package.name, package.arch): package
        for package in packages
        if package.installed
    }
    policies = _policies(host, known, sorted(installed))
    if known.updates_problem:
        return
    archives = {
        ("%s" % parse.without_credentials(source.uri).rstrip("/"), source.suite): source.name for source in sources
    }
    security = {repository.name for repository in known.repositories if repository.security}
    pinned = _pinned(host, etc)
    for name, package in installed.items():
        policy = policies.get(name)
        if policy is None or not policy.installed:
            continue
        newer = [v for v in policy.versions if compare_deb(v.version, policy.installed) > 0]
        offer = _Offer(
            policy,
            package,
            newer,
            {v.version: [archives.get(s[:2], "") for s in _clean(v)] for v in newer},
            security,
            releases,
            named=bool(policy.pin) or any(fnmatch.fnmatchcase(package.name, pattern) for pattern in pinned),
        )
        if policy.candidate and compare_deb(policy.candidate, policy.installed) > 0:
            known.updates.append(_update(offer))
        hold = _hold(offer)
        if hold is not None:
            known.holds.append(hold)
    _plan(host, known)


def _clean(version: parse.Version) -> list[tuple[str, str, str]]:
    return [(uri.rstrip("/"), suite, component) for uri, suite, component in version.sources]


def _ask(host: Host, known: Managed, argv: list[str]) -> Ran:
    """Run an apt command that looks; once more when it failed while somebody was changing the files under it."""
    ran = host.run(argv, timeout=60)
    if ran.rc not in (0, None, 127) and known.locks:
        host.sleep(1.0)
        ran = host.run(argv, timeout=60)
    return ran


def _policies(host: Host, known: Managed, names: list[str]) -> dict[str, parse.Policy]:
    policies: dict[str, parse.Policy] = {}
    for start in range(0, len(names), NAMES_A_CALL):
        asked = names[start : start + NAMES_A_CALL]
        ran = _ask(host, known, ["apt-cache", "-q", "policy", *asked])
        found = parse.parse_policy(ran.out)
        if ran.rc != 0 or ran.truncated or not found:
            known.updates_problem = failed(
                "apt-cache policy", ran, "Run it by hand and read what it says: apt-cache policy"
            )
            return {}
        policies.update(found)
    missing = [name for name in names if name not in policies]
    if missing:
        known.updates_problem = Problem(
            "apt-cache policy said nothing of %d installed packages" % len(missing),
            "Run it by hand and read what it says: apt-cache policy %s" % missing[0],
            missing[:10],
        )
    return policies


def _update(offer: _Offer) -> Update:
    policy = offer.policy
    candidate = next((v for v in offer.newer if v.version == policy.candidate), parse.Version(policy.candidate))
    # A fix is pending too when the candidate comes from elsewhere and only overtakes the one of the security archive.
    up_to_candidate = [v for v in offer.newer if compare_deb(v.version, policy.candidate) <= 0]
    names = [name for name in offer.places.get(policy.candidate, []) if name]
    dates = [offer.releases[name].date for name in names if name in offer.releases]
    known_dates = [date for date in dates if date is not None]
    return Update(
        policy.name,
        policy.installed,
        policy.candidate,
        offer.package.arch,
        [_origin(name, offer.releases) for name in names] or [uri for uri, _s, _c in candidate.sources],
        security=offer.fixes(up_to_candidate),
        published_by=min(known_dates) if known_dates else None,
        held=offer.held,
        pinned=offer.named,
        phased=candidate.phased is not None and candidate.phased < 100,
    )


def _origin(name: str, releases: Mapping[str, parse.Release]) -> str:
    """As apt names it: "Debian-Security:bookworm-security"."""
    release = releases.get(name)
    if release is None:
        return name
    return "%s:%s" % (release.label or release.origin or name, release.codename or release.suite)


def _hold(offer: _Offer) -> Hold | None:
    """The hold of a package that is held, or of one whose newer version a pin withholds."""
    policy = offer.policy
    if offer.held:
        return Hold(policy.name, policy.installed, "hold", _newest(offer.newer), offer.fixes(offer.newer))
    withheld = [v for v in offer.newer if not policy.candidate or compare_deb(v.version, policy.candidate) > 0]
    offered = [v for v in withheld if offer.by_itself(v)]
    fixes = offer.fixes(offered)
    if offered and (offer.named or fixes):
        return Hold(policy.name, policy.installed, "pin", _newest(offered), fixes)
    if offer.named and policy.pin:
        return Hold(policy.name, policy.installed, "pin")
    return None


def _newest(versions: list[parse.Version]) -> str:
    newest = ""
    for version in versions:
        if not newest or compare_deb(version.version, newest) > 0:
            newest = version.version
    return newest


def _pinned(host: Host, etc: str) -> list[str]:
    folder = etc.rstrip("/") + "/preferences.d"
    # apt reads the names without an extension and those with .pref (apt_preferences(5)).
    names = [name for name in host.listdir(folder) if "." not in name or name.endswith(".pref")]
    texts = [host.read(etc.rstrip("/") + "/preferences"), *(host.read("%s/%s" % (folder, name)) for name in names)]
    return [pattern for text in texts if text for pattern in parse.pinned_patterns(text)]


def _plan(host: Host, known: Managed) -> None:
    """Ask apt what it would do: which packages it keeps back, defers or removes."""
    if not known.updates:
        return
    # Not -s: that also tries the order of the installation, which takes 2 s for 120 packages out of 60,000.
    # Nothing can come of this: it prints addresses instead of fetching, answers no, and may only fetch in any case.
    arguments = ["-q", "-o", "Debug::NoLocking=1", "-o", "APT::Get::Download-Only=1", "--assume-no", "--print-uris"]
    full, problem = _planned(host, known, [*arguments, "dist-upgrade"])
    if problem or full is None:
        known.kept_back_problem = problem
        return
    known.removals = full.removed
    plain = full
    if full.new or full.removed:
        # These two differ only where new packages or removals are needed: that is what an ordinary upgrade keeps back.
        ordinary, problem = _planned(host, known, [*arguments, "upgrade"])
        if problem or ordinary is None:
            known.kept_back_problem = problem
            return
        plain = ordinary
    deferred, never, not_now = set(full.phased) | set(plain.phased), set(full.kept), set(plain.kept)
    for update in known.updates:
        names = {update.name, "%s:%s" % (update.name, update.arch)}
        # apt-get of Debian 12 counts what is phased among what is kept back.
        update.phased = bool(names & deferred) or (update.phased and bool(names & (never | not_now)))
        if update.held or update.phased:
            continue
        if names & never:
            update.kept_back = "apt cannot upgrade it without breaking another package"
        elif names & not_now:
            needs = ["needs new packages"] * bool(full.new) + ["needs removals"] * bool(full.removed)
            update.kept_back = " and ".join(needs)


def _planned(host: Host, known: Managed, arguments: list[str]) -> tuple[parse.Plan | None, Problem | None]:
    command = "apt-get %s" % arguments[-1]
    ran = _ask(host, known, ["apt-get", *arguments])
    if ran.rc != 0 or ran.truncated:
        return None, failed(command, ran, "Run it by hand and read what it says: apt-get --simulate %s" % arguments[-1])
    plan = parse.parse_plan(ran.out)
    if not plan.complete:
        return None, Problem(
            "the output of `%s` could not be read to its end" % command,
            "Report this as a fault of Upkeep, with the output of: apt-get --simulate %s" % arguments[-1],
            ran.out.splitlines()[:10],
        )
    return plan, None


# -- history and automatic updates -------------------------------------------


def _last_upgrade(host: Host) -> float | None:
    """When packages were last upgraded, in seconds since the epoch: by apt's history, else by dpkg's log."""
    for folder, stem, last in (
        ("/var/log/apt", "history.log", parse.last_history_upgrade),
        ("/var/log", "dpkg.log", parse.last_dpkg_upgrade),
    ):
        rotated = {name: _rotation(name, stem) for name in host.listdir(folder)}
        for name in sorted((n for n, number in rotated.items() if number is not None), key=lambda n: rotated[n] or 0):
            local = last(_log_text(host, "%s/%s" % (folder, name)))
            if local:
                try:
                    return time.mktime((*local, 0, 0, -1))  # type: ignore[arg-type] # the logs are in local time
                except (OverflowError, ValueError):
                    continue
    return None


def _rotation(name: str, stem: str) -> int | None:
    match = re.match(re.escape(stem) + r"(?:\.(\d+))?(?:\.gz)?$", name)
    return int(match.group(1) or 0) if match else None


def _log_text(host: Host, path: str) -> str:
    data = host.read_bytes(path) or b""
    if path.endswith(".gz"):
        try:
            data = zlib.decompressobj(wbits=31).decompress(data, 16 * 1024 * 1024)
        except zlib.error:
            return ""
    return data.decode("utf-8", "replace")


def _automatic(host: Host, settings: Mapping[str, str], installed: set[str]) -> dict[str, Any]:
    """Whether this host upgrades itself: unattended-upgrades by apt's periodic timer."""
    timer = _timer(host, "apt-daily-upgrade.timer")
    package = "unattended-upgrades" in installed
    switched_on = parse.truth(settings.get("apt::periodic::enable", "1")) and parse.truth(
        settings.get("apt::periodic::unattended-upgrade", "0")
    )
    name = "unattended-upgrade::"
    origins = settings.get(name + "origins-pattern", "") or settings.get(name + "allowed-origins", "")
    why = ""
    if not package:
        why = "unattended-upgrades is not installed"
    elif not switched_on:
        why = "APT::Periodic::Unattended-Upgrade is off"
    elif timer != "enabled":
        why = "apt-daily-upgrade.timer is %s" % timer
    return {
        "tool": "unattended-upgrades",
        "enabled": not why,
        "why_not": why,
        "timer": timer,
        "refreshes_lists": parse.truth(settings.get("apt::periodic::update-package-lists", "0")),
        "reboots": parse.truth(settings.get("unattended-upgrade::automatic-reboot", "0")),
        "origins": [line for line in origins.splitlines() if line][:20],
    }


def _timer(host: Host, name: str) -> str:
    """``enabled``, ``disabled``, ``masked`` or ``missing``: as ``systemctl is-enabled``, from the files it reads."""
    if host.readlink("/etc/systemd/system/" + name) == "/dev/null":
        return "masked"
    wants = "/etc/systemd/system/timers.target.wants/" + name
    if host.readlink(wants) is not None or host.exists(wants):
        return "enabled"
    there = any(host.exists("%s/%s" % (folder, name)) for folder in ("/lib/systemd/system", "/usr/lib/systemd/system"))
    return "disabled" if there else "missing"
