# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks dnf 4 everything in one process, and prints it as one JSON document.

This file runs by itself, in the Python that dnf belongs to (3.6 on RHEL 8, where modules run in a newer one): each
`dnf` command would cost half a second, and its tables are made for eyes. `source()` is what gather_dnf hands to it.
Nothing is downloaded unless asked; nothing is written but, when asked, dnf's own cache.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from typing import Any  # noqa: F401 - in the type comments, which Python 3.6 can read

# needs_restarting.py of dnf-plugins-core, from https://access.redhat.com/solutions/27943
NEED_REBOOT = ("kernel", "kernel-core", "kernel-rt", "kernel-rt-core", "glibc", "linux-firmware", "systemd", "dbus",
               "dbus-broker", "dbus-daemon")  # fmt: skip
NEED_REBOOT_FOLDER = "/etc/dnf/plugins/needs-restarting.d"
LOCKLIST = "/etc/dnf/plugins/versionlock.list"
HISTORY = "/var/lib/dnf/history.sqlite"


def text():
    # type: () -> str
    """The text of this file, as Python 3.6 takes it."""
    own = __loader__.get_source(__name__)  # type: ignore[name-defined] # set by whatever imported this
    return str(own).replace("from __future__ import annotations\n", "")


def source():
    # type: () -> str
    """The text of this file with the call that begins it."""
    return text() + "\nmain()\n"


def main():
    # type: () -> None
    settings = json.loads(sys.argv[1])
    logs = tempfile.mkdtemp(prefix="upkeep-")  # dnf would write into its own logs
    try:
        answer = ask(settings, logs)
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    json.dump(answer, sys.stdout)


def opened(settings, logs):
    # type: (Any, str) -> Any
    """dnf with what it knows, or None, and the answer so far: what fails stands in "problems" as [why, what to do,
    [lines]]."""
    import dnf  # type: ignore[import-not-found] # of the host that this text is sent to

    base = dnf.Base()
    conf = base.conf
    conf.read()
    conf.logdir = logs
    conf.substitutions.update_from_etc("/")
    if not conf.substitutions.get("releasever"):
        conf.substitutions["releasever"] = dnf.rpm.detect_releasever("/") or ""
    # Not the cache of this user: what the host has fetched is asked for.
    conf.cachedir = conf.system_cachedir
    conf.exit_on_lock = True
    answer = {"version": dnf.VERSION, "problems": {}, "refreshed": False}  # type: Any
    base.init_plugins()
    base.pre_configure_plugins()
    base.read_all_repos()
    base.configure_plugins()
    repositories = list(base.repos.iter_enabled())
    errors = {}  # type: Any
    if settings["refresh"]:
        answer["refreshed"] = True
        with_lock(lambda: refresh(base, repositories, errors), settings, answer, "repositories")
    for repository in repositories:
        # Or the first one without metadata ends it all; each is told below.
        repository.skip_if_unavailable = True
    if not with_lock(lambda: load(base), settings, answer, "updates"):
        answer["problems"]["database"] = answer["problems"]["updates"]
        answer["problems"].setdefault("repositories", answer["problems"]["updates"])
        return None, answer
    answer["repositories"] = [describe(base, repository, errors) for repository in repositories]
    return base, answer


def ask(settings, logs):
    # type: (Any, str) -> Any
    """Everything; what fails stands in "problems" as [why, what to do, [lines]]."""
    base, answer = opened(settings, logs)
    if base is None:
        return answer
    import hawkey  # type: ignore[import-not-found] # as dnf

    # An exclude hides installed packages too.
    installed = base.sack.query(flags=hawkey.IGNORE_EXCLUDES).installed()
    answer["installed"] = sorted({package.name for package in installed})
    # Of rpm's own database: when each was installed in this version.
    answer["present"] = [[p.name, p.arch, evr(p), p.installtime] for p in installed]
    answer["updates"], answer["holds"] = updates(base, installed)
    answer["removals"] = []
    try:
        plan(base, answer)
    except Exception as error:  # noqa: BLE001 - whatever dnf raises is told
        answer["problems"]["kept_back"] = problem("dnf could not work out an upgrade", "dnf upgrade --assumeno", error)
    answer["core_updated"] = core_updated(installed, settings.get("boot"))
    take_history(base, settings, answer)
    doubled = installed.duplicated().difference(base._get_installonly_query(installed))  # as `dnf check` does
    answer["database"] += [
        "%s is installed more than once" % name for name in sorted({str(p.name) for p in doubled})[:50]
    ]
    return answer


def problem(why, remedy, error):
    # type: (str, str, BaseException) -> Any
    return [why, "Run it by hand and read what it says: " + remedy, str(error).splitlines()[:10]]


def with_lock(work, settings, answer, part):
    # type: (Any, Any, Any, str) -> bool
    """Whether the work could be done; dnf's metadata lock is waited for, but not long."""
    import dnf

    patience = time.time() + settings["lock_timeout"]
    while True:
        try:
            work()
            return True
        except dnf.exceptions.LockError as error:
            if time.time() >= patience:
                answer["problems"][part] = [
                    "dnf's metadata is locked by another process",
                    "Wait for it, or raise lock_timeout (now %d s)." % settings["lock_timeout"],
                    [str(error)],
                ]
                return False
            time.sleep(0.5)
        except Exception as error:  # noqa: BLE001 - whatever dnf raises is told
            answer["problems"][part] = problem("dnf cannot read what it knows", "dnf -C check-update", error)
            return False


def refresh(base, repositories, errors):
    # type: (Any, Any, Any) -> None
    import dnf

    with dnf.lock.build_metadata_lock(base.conf.cachedir, True):
        for repository in repositories:
            repository.retries = 1
            repository.timeout = 10
            # Or a repository that is down counts as one without updates, with exit code 0.
            repository.skip_if_unavailable = False
            repository._repo.expire()  # dnf's own `--refresh` does this
            try:
                repository.load()
            except dnf.exceptions.RepoError as error:
                errors[repository.id] = str(error)


def load(base):
    # type: (Any) -> None
    if hasattr(base, "fill_sack_from_repos_in_cache"):
        base.fill_sack_from_repos_in_cache(load_system_repo=True)
    else:  # dnf before 4.8
        base.conf.cacheonly = True
        base.fill_sack()


def modified(path):
    # type: (str) -> float
    import os

    try:
        return os.stat(path).st_mtime
    except OSError:
        return 0.0


def describe(base, repository, errors):
    # type: (Any, Any, Any) -> Any
    """One repository; times are seconds since the epoch."""
    inner = repository._repo  # dnf's `repolist -v` reads the same
    fetched = bool(repository.enabled)  # it is switched off when its cache cannot be loaded
    unsigned = []
    if not repository.gpgcheck and not repository.repo_gpgcheck:
        unsigned.append("neither its packages nor its metadata are checked (gpgcheck=0)")
    checked = date = None
    advisories = 0
    if fetched:
        # When the metadata was last fetched or found to be unchanged, and when the repository was made.
        checked = inner.getTimestamp()
        if checked <= 0 and repository.id not in errors:
            # libdnf forgets it when a refresh finds nothing new. It is the time of this file, which it touches then.
            checked = modified(inner.getMetadataPath("primary"))
        date = inner.getMaxTimestamp()
        import hawkey

        packages = base.sack.query(flags=hawkey.IGNORE_EXCLUDES).filter(reponame=repository.id)
        kinds = ["security", "bugfix", "enhancement", "newpackage"]
        advisories = len(packages.filter(advisory_type=kinds))
    urls = [*repository.baseurl, repository.metalink or "", repository.mirrorlist or ""]
    return {
        "id": repository.id,
        "fetched": fetched,
        "checked": checked if checked and checked > 0 else None,
        "date": date if date and date > 0 else None,
        "error": errors.get(repository.id, ""),
        "expired": "",
        "unsigned": "; ".join(unsigned),
        "advisories": advisories,
        "address": [url for url in urls if url][:1],
    }


def evr(package):
    # type: (Any) -> str
    return str(package.evr)


def updates(base, installed):
    # type: (Any, Any) -> Any
    """All updates, also those that an exclude or a versionlock keeps away; and what is kept away."""
    import hawkey

    ignore = getattr(hawkey, "IGNORE_REGULAR_EXCLUDES", hawkey.IGNORE_EXCLUDES)
    allowed = {str(package) for package in base.sack.query().upgrades()}
    locked = versionlocked()
    now = {}  # type: Any
    for package in installed:
        key = (package.name, package.arch)
        if key not in now or base.sack.evr_cmp(package.evr, now[key].evr) > 0:
            now[key] = package
    newest = {}  # type: Any
    for package in base.sack.query(flags=ignore).upgrades():
        key = (package.name, package.arch)
        if key not in newest or base.sack.evr_cmp(package.evr, newest[key].evr) > 0:
            newest[key] = package
    # Where an exclude leaves an older update standing, that one is what an upgrade brings.
    best = {}  # type: Any
    for package in base.sack.query().upgrades():
        key = (package.name, package.arch)
        if key not in best or base.sack.evr_cmp(package.evr, best[key].evr) > 0:
            best[key] = package
    told, holds = [], []
    for key in sorted(newest):
        candidate = best.get(key, newest[key])
        before = now.get(key) or next((p for k, p in now.items() if k[0] == key[0]), None)
        if before is None:
            continue
        held = str(candidate) not in allowed
        update = describe_update(base, before, candidate, held)
        told.append(update)
        if held or key not in best:
            holds.append(hold(before, newest[key], locked, update["security"]))
    seen = {one["name"] for one in holds}
    for key in sorted(now):
        if key[0] in locked and key[0] not in seen:
            holds.append(
                {"name": key[0], "installed": evr(now[key]), "how": "versionlock", "newer": "", "security": False}
            )
    return told, holds


def hold(before, newest, locked, security):
    # type: (Any, Any, Any, bool) -> Any
    how = "versionlock" if before.name in locked else "exclude"
    return {"name": before.name, "installed": evr(before), "how": how, "newer": evr(newest), "security": security}


def describe_update(base, before, candidate, held):
    # type: (Any, Any, Any, bool) -> Any
    import hawkey

    advisories = []  # type: Any
    cves = []  # type: Any
    severities = []  # type: Any
    dates = []  # type: Any
    all_dates = []  # type: Any
    security = False
    # All that the update brings with it: an advisory of a version in between is a fix that is missing too.
    for advisory in before.get_advisories(hawkey.GT):
        brings = [
            base.sack.evr_cmp(package.evr, candidate.evr) <= 0 and base.sack.evr_cmp(package.evr, before.evr) > 0
            for package in advisory.packages
            if package.name == before.name
        ]
        if not any(brings):
            continue
        date = time.mktime(advisory.updated.timetuple()) - time.timezone if advisory.updated else None
        all_dates.append(date)
        advisories.append(advisory.id)
        if advisory.type == hawkey.ADVISORY_SECURITY:
            security = True
            severities.append(advisory.severity or "")
            dates.append(date)
            cves += [reference.id for reference in advisory.references if reference.type == hawkey.REFERENCE_CVE]
    order = ["critical", "important", "moderate", "low"]
    severities = sorted((s for s in severities if s), key=lambda s: order.index(s.lower()) if s.lower() in order else 4)
    known = [date for date in (dates or all_dates) if date]
    return {
        "name": candidate.name,
        "arch": candidate.arch,
        "installed": evr(before),
        "candidate": evr(candidate),
        "repository": candidate.reponame,
        "security": security,
        "severity": severities[0] if severities else "",
        "advisories": sorted(set(advisories)),
        "cves": sorted(set(cves)),
        "published": min(known) if known else None,
        "held": held,
        "kept_back": "",
    }


def versionlocked():
    # type: () -> Any
    """Names of the packages that the versionlock plug-in keeps at their version."""
    import dnf
    import hawkey

    names = set()  # type: Any
    try:
        with open(LOCKLIST, encoding="utf-8", errors="replace") as lines:
            for line in lines:
                pattern = line.split("#")[0].strip()
                if not pattern or pattern.startswith("!"):
                    continue
                forms = [hawkey.FORM_NEVRA, hawkey.FORM_NEVR, hawkey.FORM_NEV, hawkey.FORM_NA, hawkey.FORM_NAME]
                possible = dnf.subject.Subject(pattern).get_nevra_possibilities(forms=forms)
                names.update(nevra.name for nevra in possible[:1])
    except OSError:
        pass
    return names


def plan(base, answer):
    # type: (Any, Any) -> None
    """Which updates an upgrade leaves out, and what it would remove."""
    if not any(not update["held"] for update in answer["updates"]):
        return
    import dnf

    # Not base.resolve(), which also runs what plug-ins do after it.
    goal = dnf.goal.Goal(base.sack)
    goal.upgrade_all()
    if not goal.run(allow_uninstall=True):
        raise RuntimeError("; ".join(str(rule) for rule in goal.problem_rules())[:2000])
    brought = {(package.name, package.arch) for package in [*goal.list_upgrades(), *goal.list_installs()]}
    for update in answer["updates"]:
        if not update["held"] and (update["name"], update["arch"]) not in brought:
            update["kept_back"] = "what it requires cannot be had, or it conflicts with another package"
    replaced = {name for name, _arch in brought}
    gone = {str(package.name) for package in [*goal.list_erasures(), *goal.list_obsoleted()]}
    answer["removals"] = sorted(gone - replaced)


def core_updated(installed, boot):
    # type: (Any, Any) -> Any
    """Packages after whose update a reboot is due, and that were installed since the boot."""
    if not boot:
        return []
    names = need_reboot()
    return sorted({str(package) for package in installed.filter(name=sorted(names)) if package.installtime > boot})


def need_reboot():
    # type: () -> Any
    """Names of the packages after whose update a reboot is due."""
    names = set(NEED_REBOOT)
    if os.path.isdir(NEED_REBOOT_FOLDER):
        for file in sorted(os.listdir(NEED_REBOOT_FOLDER)):
            if file.endswith(".conf"):
                with open(os.path.join(NEED_REBOOT_FOLDER, file), encoding="utf-8", errors="replace") as lines:
                    names.update(line.strip() for line in lines if line.strip())
    return names


def take_history(base, settings, answer):
    # type: (Any, Any, Any) -> None
    answer["last_upgrade"], answer["database"] = None, []
    try:
        answer["last_upgrade"], answer["database"] = history(base)
    except Exception as error:  # noqa: BLE001 - only root may, with some versions; the rest does not hang on it
        why = "dnf's history cannot be read, so whether the last transaction came to its end is not known"
        answer["problems"]["database"] = [why, settings["history_remedy"], str(error).splitlines()[:10]]


def history(base):
    # type: (Any) -> Any
    """When packages were last upgraded, and whether the last transaction came to its end. Raises what dnf raises."""
    last = None  # type: Any
    broken = []  # type: Any
    try:
        os.stat(HISTORY)
    except FileNotFoundError:  # asking would make one
        return last, broken
    for number, transaction in enumerate(base.history.old(limit=50)):
        if number == 0 and not transaction.end_timestamp:
            broken.append("the last transaction of dnf (%d) did not come to its end" % transaction.tid)
        if transaction.end_timestamp and any(item.action_name == "Upgrade" for item in transaction.packages()):
            last = transaction.end_timestamp
            break
    return last, broken
