# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a host's patch state: the findings, and the verdict. Pure: all times come in.

Thresholds and where they come from:

- 14 days for a security update: Cyber Essentials (NCSC, UK), "Security update management".
- 35 days for other updates: one monthly maintenance window and some days of grace.
- 7 days for package lists: the time for which Debian's security archive signs its lists (Valid-Until).
- Critical and Important are Red Hat's severities for what can be abused from outside with little or no help
  (https://access.redhat.com/security/updates/classification): high at once.

A pending patch is never ``critical``: that is P1, everything stands still.
"""

from __future__ import annotations

import fnmatch
import re
import shlex
import time
from typing import TYPE_CHECKING, Any

from .._findings import CannotCheck, NotApplicable, Review
from .release import support
from .versions import compare_deb, deb_key, rpm_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .model import Hold, Managed, Problem, Process, Repository, System, Update

FACTS_ITEMS = 60
"""Entries of a list in the facts of a finding: some 15,000 characters, within the contract's bound."""

COMMAND_NAMES = 8
"""Packages or units that are written out in a remedy."""

_DAY = 86400.0
_URGENT = ("critical", "important")
_SEVERITY_ORDER = {"critical": 0, "important": 1, "moderate": 2, "low": 3}

# Restarting the message bus takes half of the services with it: needrestart refuses to, and so do we.
_NEEDS_REBOOT = re.compile(r"^dbus(?:-broker|-daemon)?\.service$")


class Verdict:
    """``compliant | pending | unknown``, with the reasons. Unknown wins: what cannot be known is not claimed."""

    def __init__(self) -> None:
        self.pending: list[str] = []
        self.unknown: list[str] = []

    @property
    def word(self) -> str:
        if self.unknown:
            return "unknown"
        return "pending" if self.pending else "compliant"


class Judgement:
    """What every check is handed: where to record, what is known, the options, and the time (epoch)."""

    def __init__(
        self, review: Review, known: Managed | None, system: System, options: Mapping[str, Any], now: float
    ) -> None:
        self.review = review
        self.found = review.found
        self.system = system
        self.options = options
        self.now = now
        self.verdict = Verdict()
        self.reboot_reasons: list[str] = []
        self._known = known

    @property
    def known(self) -> Managed:
        """What the package manager knows; the checks that ask for it are only run when there is one."""
        if self._known is None:
            raise CannotCheck("there is no package manager that can be asked")
        return self._known

    def day(self, moment: float) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(moment))


def judge(review: Review, known: Managed | None, system: System, options: Mapping[str, Any], now: float) -> Judgement:
    """Run all checks. ``known`` is None when there is no package manager that can be asked."""
    judgement = Judgement(review, known, system, options, now)
    # What the lists are worth is judged first: the checks of what is pending ask for it.
    of_manager = MANAGER_CHECKS if known is not None else {}
    for check, run in {**of_manager, **SYSTEM_CHECKS}.items():
        with review.check(check):
            run(judgement)
    for finding in review.findings:
        if finding["check"] == "patch.check.not_run":
            judgement.verdict.unknown.append(finding["summary"])
    return judgement


def _raise(problem: Problem | None) -> None:
    if problem is not None:
        raise CannotCheck(problem.why, problem.remedy, problem.evidence)


def _raise_if_doubtful(judgement: Judgement) -> None:
    """What was found stands, but finding nothing would prove nothing."""
    if judgement.verdict.unknown:
        raise NotApplicable(
            "what the package manager says cannot be believed: %s" % judgement.verdict.unknown[0],
            "Put right what the other findings tell of the package lists.",
        )


def count(number: int, thing: str, many: str = "") -> str:
    """ "1 package", "2 packages"."""
    return "%d %s" % (number, thing if number == 1 else many or thing + "s")


# -- can the package manager be believed? ------------------------------------


def _database(j: Judgement) -> None:
    """medium: nothing can be installed or upgraded until it is mended."""
    if j.known.database:
        j.verdict.unknown.append("the package database is broken")
        j.found(
            "patch.database.broken",
            j.known.manager,
            "medium",
            "The package database is broken or half done: %s." % j.known.database[0],
            j.known.database,
            j.known.database_remedy,
            {"problems": j.known.database[:FACTS_ITEMS], "count": len(j.known.database)},
        )
    _raise(j.known.database_problem)


def _stale(j: Judgement) -> None:
    """medium; high when nobody has looked for longer than a security update may wait; low when somebody tried since."""
    _raise(j.known.repositories_problem)
    limit, security_limit = j.options["metadata_max_age_days"], j.options["security_max_age_days"]
    refresh = "apt-get update --error-on=any" if j.known.manager == "apt" else "dnf makecache --refresh"
    if j.known.refresh_problem is not None:
        j.verdict.unknown.append("the package lists could not be refreshed")
    if not any(repository.fetched for repository in j.known.repositories):
        j.verdict.unknown.append("there are no package lists")
        j.found(
            "patch.metadata.stale",
            j.known.manager,
            "high",
            "There are no package lists on this host: it cannot know of any update.",
            [repository.name for repository in j.known.repositories],
            refresh,
        )
        _raise(j.known.refresh_problem)
        return
    age = None if j.known.checked is None else (j.now - j.known.checked) / _DAY
    if age is None or age > limit:
        tried = j.known.tried is not None and j.now - j.known.tried <= limit * _DAY
        severity = "low" if tried else "high" if age is None or age > security_limit else "medium"
        when = "unknown" if j.known.checked is None else j.day(j.known.checked)
        j.verdict.unknown.append("the package lists were last seen to be fresh: %s" % when)
        evidence = ["last seen to be fresh: %s" % when, "at most %d days are allowed" % limit]
        if tried and j.known.tried is not None:
            evidence.append(
                "somebody tried on %s: either nothing was new, or it failed; that leaves no trace"
                % j.day(j.known.tried)
            )
        j.found(
            "patch.metadata.stale",
            j.known.manager,
            severity,
            "The package lists are %s: updates since then are not known."
            % ("of unknown age" if age is None else "%d days old" % age),
            evidence,
            refresh,
            {"checked": j.known.checked, "tried": j.known.tried, "age_days": None if age is None else int(age)},
        )
    _raise(j.known.refresh_problem)


def _each_repository(
    j: Judgement, check: str, judge_one: Callable[[Repository], tuple[str, str, list[str]] | None]
) -> None:
    _raise(j.known.repositories_problem)
    for repository in j.known.repositories:
        told = judge_one(repository)
        if told:
            severity, summary, evidence = told
            details = dict(repository.details, security=repository.security)
            j.found(
                check, repository.name, severity, summary, evidence, _repository_remedy(j, check, repository), details
            )


def _repository_remedy(j: Judgement, check: str, repository: Repository) -> str:
    if j.known.manager == "dnf" and check.endswith("unsigned"):
        return "Set gpgcheck=1 and gpgkey for [%s] in /etc/yum.repos.d." % repository.name
    if j.known.manager == "dnf":
        return "dnf makecache --refresh --disablerepo='*' --enablerepo=%s" % shlex.quote(repository.name)
    if check.endswith("unsigned"):
        return "Install the archive's key, name it with Signed-By in the archive's source, then: apt-get update"
    return "apt-get update --error-on=any"


def _unreachable(j: Judgement) -> None:
    """medium"""

    def one(repository: Repository) -> tuple[str, str, list[str]] | None:
        if repository.unreachable:
            why = repository.unreachable
        elif not repository.fetched and (not repository.unsigned or repository.unsigned_by_choice):
            why = "its package lists were never fetched, or were thrown away"
        else:
            return None
        j.verdict.unknown.append("%s cannot be reached" % repository.name)
        return "medium", "The repository %s cannot be reached: %s" % (repository.name, why), [why]

    _each_repository(j, "patch.repository.unreachable", one)


def _expired(j: Judgement) -> None:
    """medium; high for a security archive that expired longer ago than a security update may wait."""

    def one(repository: Repository) -> tuple[str, str, list[str]] | None:
        evidence = [repository.expired] if repository.expired else []
        if repository.valid_until is not None and repository.valid_until < j.now:
            days = int((j.now - repository.valid_until) / _DAY)
            evidence.append("valid until %s" % j.day(repository.valid_until))
            j.verdict.unknown.append("the metadata of %s has expired" % repository.name)
            severity = "high" if repository.security and days > j.options["security_max_age_days"] else "medium"
            return severity, "The metadata of %s expired %s ago." % (repository.name, count(days, "day")), evidence
        if repository.date is not None and repository.date > j.now + _DAY:
            evidence.append("dated %s, and this host says that it is %s" % (j.day(repository.date), j.day(j.now)))
            j.verdict.unknown.append("the metadata of %s is from the future" % repository.name)
            return "medium", "The metadata of %s is dated in the future: a clock is wrong." % repository.name, evidence
        if repository.expired:
            j.verdict.unknown.append("the metadata of %s has expired" % repository.name)
            return "medium", "The metadata of %s is expired: %s" % (repository.name, repository.expired), evidence
        return None

    _each_repository(j, "patch.repository.expired", one)


def _unsigned(j: Judgement) -> None:
    """medium; low when it was configured so: then anybody on the way can hide updates, but nothing has changed."""

    def one(repository: Repository) -> tuple[str, str, list[str]] | None:
        if not repository.unsigned:
            return None
        if not repository.unsigned_by_choice:
            j.verdict.unknown.append("the signature of %s cannot be checked" % repository.name)
        severity = "low" if repository.unsigned_by_choice else "medium"
        return (
            severity,
            "The metadata of %s proves nothing: %s" % (repository.name, repository.unsigned),
            [repository.unsigned],
        )

    _each_repository(j, "patch.repository.unsigned", one)


def _no_security_source(j: Judgement) -> None:
    """medium: without one, "no security update is pending" says nothing."""
    _raise(j.known.repositories_problem)
    if j.known.manager == "apt":
        if j.system.os_release.get("ID") not in ("debian", "ubuntu") or not j.system.os_release.get("VERSION_ID"):
            raise NotApplicable("only a stable Debian or Ubuntu is known to have a security archive of its own")
        if any(repository.security for repository in j.known.repositories):
            return
        summary = "No security archive is configured: security updates do not reach this host."
        remedy = "Add the distribution's security suite (e.g. bookworm-security) to /etc/apt/sources.list.d."
    else:
        _raise(j.known.updates_problem)
        if not j.known.updates or any(repository.details.get("advisories") for repository in j.known.repositories):
            return
        summary = "No repository says which of its updates are security fixes."
        remedy = "Use repositories with advisories (updateinfo); check with: dnf updateinfo list --all"
    j.verdict.unknown.append("no repository tells of security updates")
    names = [repository.name for repository in j.known.repositories]
    j.found("patch.security.no_source", j.known.manager, "medium", summary, names, remedy)


# -- what is pending? --------------------------------------------------------


def _security(j: Judgement) -> None:
    """medium; high when the vendor rates one Critical or Important, or one is older than ``security_max_age_days``."""
    _raise(j.known.updates_problem)
    pending = _worst_first([update for update in j.known.updates if update.security], j.now)
    if pending:
        limit = j.options["security_max_age_days"]
        ages = [age for update in pending for age in [update.age_days(j.now)] if age is not None]
        urgent = [update for update in pending if update.severity.lower() in _URGENT]
        overdue = sum(age > limit for age in ages)
        j.verdict.pending.append("%s pending" % count(len(pending), "security update"))
        more = []
        if urgent:
            more.append("%d rated %s" % (len(urgent), " or ".join(sorted({u.severity for u in urgent}))))
        if overdue:
            more.append("%d older than %d days" % (overdue, limit))
        j.found(
            "patch.security.pending",
            j.known.manager,
            "high" if urgent or overdue else "medium",
            "%s pending%s." % (count(len(pending), "security update is", "security updates are"),
                               ": " + ", ".join(more) if more else ""),
            [_line(update, j) for update in pending],
            _upgrade(j, pending, security=True),
            _package_facts(pending, j.now),
        )  # fmt: skip
    _raise_if_doubtful(j)


def _updates(j: Judgement) -> None:
    """low; medium when one is older than ``updates_max_age_days``; info when all of them are phased by their archive.

    Security updates, held packages and packages that are kept back have checks of their own.
    """
    _raise(j.known.updates_problem)
    pending = _worst_first([u for u in j.known.updates if not (u.security or u.held or u.kept_back)], j.now)
    if pending:
        limit = j.options["updates_max_age_days"]
        overdue = [u for u in pending if (u.age_days(j.now) or 0) > limit and not u.phased]
        phased = sum(update.phased for update in pending)
        j.verdict.pending.append("%s pending" % count(len(pending), "update"))
        more = []
        if overdue:
            more.append("%d older than %d days" % (len(overdue), limit))
        if phased:
            more.append("%d held back by the archive until more hosts have them (phased)" % phased)
        j.found(
            "patch.updates.pending",
            j.known.manager,
            "medium" if overdue else "info" if phased == len(pending) else "low",
            "%s pending%s." % (count(len(pending), "ordinary update is", "ordinary updates are"),
                               ": " + ", ".join(more) if more else ""),
            [_line(update, j) for update in pending],
            _upgrade(j, pending),
            _package_facts(pending, j.now),
        )  # fmt: skip
    _raise_if_doubtful(j)


def _kept_back(j: Judgement) -> None:
    """low; medium when a security update is among them."""
    _raise(j.known.updates_problem)
    kept = _worst_first([update for update in j.known.updates if update.kept_back], j.now)
    if kept:
        security = sum(update.security for update in kept)
        j.verdict.pending.append("%s kept back" % count(len(kept), "package"))
        evidence = ["%s: %s" % (_line(update, j), update.kept_back) for update in kept]
        evidence += ["a full upgrade would remove %s" % name for name in j.known.removals]
        full = "apt-get --simulate dist-upgrade" if j.known.manager == "apt" else "dnf upgrade --assumeno --best"
        j.found(
            "patch.packages.kept_back",
            j.known.manager,
            "medium" if security else "low",
            "An ordinary upgrade keeps %s back%s."
            % (count(len(kept), "package"), " (security: %d)" % security if security else ""),
            evidence,
            "See what a full upgrade would add and remove, then decide: %s" % full,
            dict(_package_facts(kept, j.now), would_remove=j.known.removals[:FACTS_ITEMS]),
        )  # fmt: skip
    _raise(j.known.kept_back_problem)
    _raise_if_doubtful(j)


def _held(j: Judgement) -> None:
    """info when nothing newer is kept away, low when something is, medium when that is a security update.

    Packages that ``allowed_holds`` names are let pass, unless a security update is kept away from them.
    """
    _raise(j.known.updates_problem)
    allowed = j.options["allowed_holds"]

    def told(hold: Hold) -> bool:
        return hold.security or not any(fnmatch.fnmatchcase(hold.name, pattern) for pattern in allowed)

    holds = sorted((hold for hold in j.known.holds if told(hold)), key=lambda h: (not h.security, not h.newer, h.name))
    if any(hold.newer for hold in j.known.holds):
        j.verdict.pending.append("%s held" % count(sum(bool(hold.newer) for hold in j.known.holds), "package"))
    if holds:
        newer, security = sum(bool(hold.newer) for hold in holds), sum(hold.security for hold in holds)
        names = [shlex.quote(hold.name) for hold in holds[:COMMAND_NAMES]]
        summary = "%s held by hand" % count(len(holds), "package is", "packages are")
        if security:
            summary += ", and a security update is kept away from %d of them" % security
        elif newer:
            summary += ", and an update is kept away from %d of them" % newer
        j.found(
            "patch.packages.held",
            j.known.manager,
            "medium" if security else "low" if newer else "info",
            summary + ".",
            ["%s %s (%s)%s%s" % (hold.name, hold.installed, hold.how,
                                 ": %s is kept away" % hold.newer if hold.newer else "",
                                 ", a security update" if hold.security else "") for hold in holds],
            _release_hold(j, holds, names),
            {"packages": [vars(hold) for hold in holds[:FACTS_ITEMS]], "count": len(holds)},
        )  # fmt: skip


def _release_hold(j: Judgement, holds: list[Hold], names: list[str]) -> str:
    kinds = {hold.how for hold in holds}
    if j.known.manager == "dnf":
        return "Ask why, then: dnf versionlock delete %s (or take it out of `exclude` in the configuration)" % " ".join(
            names
        )
    if kinds == {"hold"}:
        return "Ask why, then: apt-mark unhold %s" % " ".join(names)
    if kinds == {"pin"}:
        return "Ask why, then take the pin out of /etc/apt/preferences.d; see: apt-cache policy %s" % " ".join(names)
    return (
        "Ask why, then: apt-mark unhold, or take the pin out of /etc/apt/preferences.d; see: apt-cache policy %s"
        % " ".join(names)
    )


def _worst_first(updates: list[Update], now: float) -> list[Update]:
    return sorted(updates, key=lambda u: (_SEVERITY_ORDER.get(u.severity.lower(), 4), -(u.age_days(now) or 0), u.name))


def _line(update: Update, j: Judgement) -> str:
    about = list(dict.fromkeys(update.origins))[:2]
    about += [update.severity] * bool(update.severity) + update.advisories[:2] + update.cves[:6]
    age = update.age_days(j.now)
    if age is not None and (age or update.published is not None):  # "at least 0 days" says nothing
        at_least = "" if update.published is not None else "at least "
        about.append("published %s%s ago" % (at_least, count(age, "day")))
    about += ["held"] * update.held + ["phased"] * update.phased + ["pinned"] * update.pinned
    return "%s %s -> %s (%s)" % (update.name, update.installed, update.candidate, ", ".join(about) or "origin unknown")


def _package_facts(updates: list[Update], now: float) -> dict[str, Any]:
    ages = [age for update in updates for age in [update.age_days(now)] if age is not None]
    return {
        "count": len(updates),
        "oldest_days": max(ages) if ages else None,
        "packages": [
            {
                "name": update.name,
                "installed": update.installed,
                "candidate": update.candidate,
                "severity": update.severity,
                "cves": update.cves[:4],
                "age_days": update.age_days(now),
            }
            for update in updates[:FACTS_ITEMS]
        ],
    }


def _upgrade(j: Judgement, updates: list[Update], security: bool = False) -> str:
    names = [shlex.quote(update.name) for update in updates if not update.held]
    if j.known.manager == "dnf":
        few = "dnf upgrade %s" % " ".join(names)
        return few if 0 < len(names) <= COMMAND_NAMES else "dnf upgrade --security" if security else "dnf upgrade"
    if 0 < len(names) <= COMMAND_NAMES:
        return "apt-get install --only-upgrade %s" % " ".join(names)
    return "apt-get upgrade --with-new-pkgs"


# -- the machine -------------------------------------------------------------


def _release(j: Judgement) -> None:
    """high when no security fix comes any more; low when only the long-term team cares, or the end is near."""
    release = support(j.system.os_release, j.system.distro_info)
    if release.end is None:
        raise NotApplicable(
            "it is not known until when %s is supported" % (release.name or "this distribution"),
            "Set SUPPORT_END=YYYY-MM-DD in /etc/os-release, or install distro-info-data.",
        )
    last = max(release.end, release.long_term_end or 0)
    remedy = "Plan the upgrade to the next release."
    facts = {
        "release": release.name,
        "end": release.end,
        "long_term_end": release.long_term_end,
        "source": release.source,
    }
    evidence = ["support ended or ends on %s (by %s)" % (j.day(release.end), release.source)]
    if release.long_term_end:
        evidence.append("long-term support ends on %s" % j.day(release.long_term_end))
    subject = "release"
    if last < j.now:
        j.verdict.unknown.append("the release gets no security fixes any more")
        summary = "%s has had no security support since %s." % (release.name, j.day(last))
        j.found("patch.release.end_of_life", subject, "high", summary, evidence, remedy, facts)
    elif last - j.now <= j.options["release_warn_days"] * _DAY:
        summary = "%s gets security fixes until %s only." % (release.name, j.day(last))
        j.found("patch.release.end_of_life", subject, "low", summary, evidence, remedy, facts)
    elif release.end < j.now:
        summary = "%s is past its regular support (%s); long-term support ends on %s." % (
            release.name, j.day(release.end), j.day(last),
        )  # fmt: skip
        j.found("patch.release.end_of_life", subject, "info", summary, evidence, remedy, facts)


def newest_kernel(j: Judgement) -> str:
    """The newest installed kernel of the running one's flavour, empty when there is none."""
    packages = j.known.kernel_packages if j._known is not None else {}
    kernels = list(packages) or j.system.installed_kernels
    deb = j._known is None or j.known.manager == "apt"
    same = [kernel for kernel in kernels if _flavour(kernel) == _flavour(j.system.running_kernel)]
    return max(same or kernels, key=deb_key if deb else rpm_key, default="")


def _flavour(release: str) -> str:
    """ "6.1.0-25-cloud-amd64": cloud-amd64; "5.14.0-427.el9.x86_64+rt": +rt."""
    if "+rt" in release or "+debug" in release:
        return release[release.rindex("+") :]
    match = re.search(r"-([a-z][a-z0-9-]*)$", release)
    return match.group(1) if match else ""


def _kernel(j: Judgement) -> None:
    """info: the reboot is what is asked for, and patch.reboot.required asks for it."""
    if j.system.container and not j.options["kernel_in_container"]:
        raise NotApplicable(
            "this is a container (%s): its kernel belongs to the machine under it" % j.system.container,
            "kernel_in_container: true",
        )
    running, newest = j.system.running_kernel, newest_kernel(j)
    if not running:
        raise CannotCheck("/proc/sys/kernel/osrelease cannot be read", "Mount it: mount -t proc proc /proc")
    if not newest:
        raise NotApplicable("no kernel is installed here: this machine was booted from elsewhere")
    packages = j.known.kernel_packages if j._known is not None else {}
    built = re.search(r"\bDebian (\d\S*)", j.system.running_kernel_build)
    deb = j._known is None or j.known.manager == "apt"
    compare = deb_key if deb else rpm_key
    kernels = set(packages) | set(j.system.installed_kernels)
    reason = ""
    if running not in kernels:
        reason = "the running kernel %s is not installed any more, the newest that is installed is %s" % (
            running,
            newest,
        )
    elif compare(newest) > compare(running):
        reason = "the kernel %s is installed, and %s is running" % (newest, running)
    elif built and running in packages and compare_deb(packages[running], built.group(1)) > 0:
        reason = "version %s of the kernel %s is installed, and %s is running" % (
            packages[running],
            running,
            built.group(1),
        )
    if reason:
        j.reboot_reasons.append(reason)
        j.found(
            "patch.kernel.outdated",
            "kernel",
            "info",
            "An old kernel is running: %s." % reason,
            [reason, j.system.running_kernel_build],
            "systemctl reboot",
            {"running": running, "newest": newest, "installed": sorted(kernels)[:FACTS_ITEMS]},
        )


def reboot_is_due(known: Managed, system: System, now: float) -> list[str]:
    """Why a reboot is due on a host as it stands; none when it is not."""
    judgement = Judgement(Review("patch"), known, system, {"kernel_in_container": False}, now)
    for check in ("patch.kernel.outdated", "patch.reboot.required"):
        with judgement.review.check(check):
            SYSTEM_CHECKS[check](judgement)
    return judgement.reboot_reasons


def flag_is_stale(j: Judgement) -> str:
    """Why /run/reboot-required means nothing any more, empty when it does mean something."""
    flag, boot = j.system.reboot_flag, j.system.boot
    if flag is None:
        return ""
    # The flag is compared with a time that the kernel counts in hundredths, hence the second.
    if boot is not None and flag < boot - 1:
        return "it was made before the last boot (%s)" % j.day(boot)
    names = {re.sub(r":.*$", "", name) for name in j.system.reboot_packages}
    if names and j._known is not None and j.known.names and not names & j.known.names:
        return "none of the packages that asked for it is installed any more: %s" % ", ".join(sorted(names)[:10])
    return ""


def _reboot(j: Judgement) -> None:
    """medium"""
    if j.system.reboot_flag is not None and not flag_is_stale(j):
        by = ", ".join(j.system.reboot_packages[:20]) or "a package that did not leave its name"
        j.reboot_reasons.insert(0, "/run/reboot-required was made on %s by %s" % (j.day(j.system.reboot_flag), by))
    core = j.known.core_updated if j._known is not None else []
    if core:
        j.reboot_reasons.append("installed since the boot: %s" % ", ".join(core[:20]))
    bus = [process for process in j.system.processes if _NEEDS_REBOOT.match(process.unit)]
    if bus:
        j.reboot_reasons.append("the message bus (%s) runs replaced code, and cannot be restarted alone" % bus[0].unit)
    if j.reboot_reasons:
        j.verdict.pending.append("a reboot is required")
        j.found(
            "patch.reboot.required",
            "host",
            "medium",
            "A reboot is required: %s." % j.reboot_reasons[0],
            j.reboot_reasons,
            "systemctl reboot",
            {"reasons": j.reboot_reasons, "packages": j.system.reboot_packages[:FACTS_ITEMS]},
        )
    _raise_if_not_looked(j)


def _raise_if_not_looked(j: Judgement) -> None:
    """What was found stands, but a reason that was not looked for is not known to be none."""
    if j._known is not None and j._known.manager == "dnf" and j.system.boot is None:
        raise CannotCheck(
            "it is not known when this host was booted (/proc/stat, /proc/1/stat)", "Mount it: mount -t proc proc /proc"
        )
    # Other findings tell of these already: this check needs none of its own.
    missing = []
    if j._known is None:
        missing.append(("there is no package manager that can be asked", "See patch.manager.unsupported."))
    elif j._known.core_problem is not None:
        missing.append((j._known.core_problem.why, j._known.core_problem.remedy))
    if j.system.processes_problem is not None:
        missing.append((j.system.processes_problem.why, j.system.processes_problem.remedy))
    missing += [
        (finding["summary"], finding["remedy"])
        for finding in j.review.findings
        if (finding["check"], finding["subject"]) == ("patch.check.not_run", "patch.kernel.outdated")
    ]
    if missing:
        raise NotApplicable(
            "not every reason could be looked for: %s" % "; ".join(why for why, _remedy in missing),
            " ".join(remedy for _why, remedy in missing),
        )


def _stale_flag(j: Judgement) -> None:
    """low: whoever believes it reboots for nothing."""
    why = flag_is_stale(j)
    if why:
        j.found(
            "patch.reboot.flag_stale",
            "/run/reboot-required",
            "low",
            "/run/reboot-required asks for a reboot that is not needed: %s." % why,
            [why],
            "rm -f /run/reboot-required /run/reboot-required.pkgs",
        )
    elif j.system.reboot_flag is not None and j.system.boot is None:
        raise CannotCheck(
            "it is not known when this host was booted (/proc/stat, /proc/1/stat)", "Mount it: mount -t proc proc /proc"
        )


def _services(j: Judgement) -> None:
    """medium for services and for PID 1, low for what people run in their sessions.

    One finding for all services of a host: they are restarted by one command, and after an update of the C library
    all of them are in it.
    """
    kinds: dict[str, list[Process]] = {"services": [], "system": [], "sessions": []}
    for process in j.system.processes:
        if _NEEDS_REBOOT.match(process.unit):
            continue  # patch.reboot.required tells it
        kinds["system" if process.unit == "init" else "sessions" if process.unit == "session" else "services"].append(
            process
        )
    units = sorted({process.unit for process in kinds["services"] if process.unit})
    loose = [process for process in kinds["services"] if not process.unit]
    if kinds["services"]:
        j.verdict.pending.append("services run replaced code")
        remedy = "systemctl restart %s" % " ".join(shlex.quote(unit) for unit in units[:40]) if units else ""
        if loose:
            remedy += "%sRestart by hand: %s" % (
                "; " if remedy else "",
                ", ".join("process %d (%s)" % (p.pid, p.command[:40]) for p in loose[:COMMAND_NAMES]),
            )
        what = ([count(len(units), "service")] if units else []) + (
            [count(len(loose), "process", "processes")] if loose else []
        )
        summary = "%s still running code that was replaced on disk" % " and ".join(what)
        _outdated(j, "services", "medium", summary, remedy, kinds["services"])
    if kinds["system"]:
        j.verdict.pending.append("systemd itself runs replaced code")
        _outdated(j, "system", "medium", "systemd (process 1) is still running code that was replaced on disk",
                  "systemctl daemon-reexec", kinds["system"])  # fmt: skip
    if kinds["sessions"]:
        _outdated(j, "sessions", "low", "%s in sessions of users are still running code that was replaced on disk"
                  % count(len(kinds["sessions"]), "process", "processes"), "Let the users log out and in again.",
                  kinds["sessions"])  # fmt: skip
    _raise(j.system.processes_problem)


def _outdated(
    j: Judgement, subject: str, severity: str, summary: str, remedy: str, processes: Iterable[Process]
) -> None:
    by_unit: dict[str, dict[str, Any]] = {}
    for process in processes:
        unit = by_unit.setdefault(process.unit or process.command, {"pids": [], "files": []})
        unit["pids"].append(process.pid)
        unit["files"] = sorted(set(unit["files"]) | set(process.files))
    evidence = [
        "%s (process %s): %s" % (unit, ", ".join(str(pid) for pid in about["pids"][:5]), ", ".join(about["files"][:6]))
        for unit, about in sorted(by_unit.items())
    ]
    facts = {
        "units": {
            unit: {"pids": about["pids"][:10], "files": about["files"][:5]}
            for unit, about in list(by_unit.items())[:40]
        },
        "count": len(by_unit),
    }
    j.found("patch.services.outdated", subject, severity, summary + ".", evidence, remedy, facts)


def _lock(j: Judgement) -> None:
    """info; medium when the holder has been at it for longer than ``lock_max_age_hours``."""
    limit = j.options["lock_max_age_hours"]
    by_process = {lock.pid: lock for lock in j.known.locks}
    if by_process:
        ages = {pid: (j.now - lock.since) / 3600 for pid, lock in by_process.items() if lock.since is not None}
        stuck = [pid for pid, hours in ages.items() if hours > limit]
        first = by_process[stuck[0] if stuck else min(by_process)]
        paths = sorted({lock.path for lock in j.known.locks})
        j.found(
            "patch.lock.held",
            j.known.manager,
            "medium" if stuck else "info",
            "The package manager is locked by process %d (%s)%s." % (
                first.pid, first.command[:80] or "unknown", " for more than %d hours" % limit if stuck else ""),
            ["process %d (%s) holds %s" % (lock.pid, lock.command[:120], lock.path) for lock in j.known.locks],
            "See what it waits for: ps -fp %d" % first.pid if stuck else "Wait until it has ended.",
            {"pids": sorted(by_process), "paths": paths},
        )  # fmt: skip
    if j.known.locks_problem:
        if j.system.processes_problem is not None:
            # For the same lack of rights patch.services.outdated is a finding: one is enough to act on.
            raise NotApplicable(j.known.locks_problem.why, j.known.locks_problem.remedy)
        _raise(j.known.locks_problem)


def _automatic(j: Judgement) -> None:
    """info: Upkeep patches in planned windows, so this may well be meant."""
    if not j.known.automatic:
        raise NotApplicable(
            "neither the packages nor the settings of %s could be read" % j.known.manager,
            "Put right what the other findings tell of the package manager.",
        )
    if not j.known.automatic.get("enabled"):
        why = j.known.automatic.get("why_not") or "it is not set up"
        tool = j.known.automatic.get("tool", "automatic updates")
        remedy = (
            "apt-get install unattended-upgrades && dpkg-reconfigure -plow unattended-upgrades"
            if j.known.manager == "apt"
            else "dnf install dnf-automatic && systemctl enable --now dnf-automatic-install.timer"
        )
        j.found("patch.automatic.disabled", j.known.manager, "info", "This host does not update itself: %s." % why,
                ["%s: %s" % (tool, why)], remedy, j.known.automatic)  # fmt: skip


MANAGER_CHECKS: dict[str, Callable[[Judgement], None]] = {
    "patch.lock.held": _lock,
    "patch.database.broken": _database,
    "patch.metadata.stale": _stale,
    "patch.repository.unreachable": _unreachable,
    "patch.repository.expired": _expired,
    "patch.repository.unsigned": _unsigned,
    "patch.security.no_source": _no_security_source,
    "patch.security.pending": _security,
    "patch.updates.pending": _updates,
    "patch.packages.kept_back": _kept_back,
    "patch.packages.held": _held,
    "patch.automatic.disabled": _automatic,
}
"""The checks that ask the package manager, in their order: each doc string tells its severities."""

SYSTEM_CHECKS: dict[str, Callable[[Judgement], None]] = {
    "patch.release.end_of_life": _release,
    "patch.kernel.outdated": _kernel,
    "patch.reboot.required": _reboot,
    "patch.reboot.flag_stale": _stale_flag,
    "patch.services.outdated": _services,
}
"""The checks of the machine; the kernel is judged before the reboot, which needs its reason."""
