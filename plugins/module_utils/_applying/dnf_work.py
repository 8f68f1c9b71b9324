# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Has dnf 4 resolve a plan, fetch its packages, and carry it out from files: by its own interface, in its own Python.

This file runs by itself (Python 3.6 on RHEL 8). Its tables are not made for eyes, and an exit code of 0 over a failed
scriptlet is not believed: every complaint of rpm is printed with a word in front (see dnf_output.py).

One argument, the path of a JSON file (PACKAGES: a list of [name, arch, version]):
  {"do": "resolve", "packages": PACKAGES, "remove": PACKAGES, "into": a folder or ""}
  {"do": "fetch", "packages": PACKAGES, "into": a folder}: each by itself, what is to be had
  {"do": "carry_out", "files": paths, "remove": PACKAGES, "erase": PACKAGES, "expected": PACKAGES, "dry": bool}
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from typing import Any  # noqa: F401 - in the type comments, which Python 3.6 can read


def source():
    # type: () -> str
    """The text of this file, as Python 3.6 takes it."""
    text = __loader__.get_source(__name__)  # type: ignore[name-defined] # set by whatever imported this
    return str(text).replace("from __future__ import annotations\n", "") + "\nsys.exit(main())\n"


def main():
    # type: () -> int
    with open(sys.argv[1]) as stream:
        work = json.load(stream)
    logs = tempfile.mkdtemp(prefix="upkeep-")
    answer = {"problems": [], "would": [], "files": {}}  # type: Any
    try:
        base = opened(work, logs)
        {"resolve": resolve, "fetch": fetch, "carry_out": carry_out}[work["do"]](base, work, answer)
        base.close()
    except Exception as error:  # noqa: BLE001 - whatever dnf raises is told
        answer["problems"] += [line.strip() for line in str(error).splitlines() if line.strip()][:20] or [repr(error)]
    finally:
        shutil.rmtree(logs, ignore_errors=True)
    for line in answer["problems"] if work["do"] == "carry_out" else []:
        say("upkeep-error: %s" % line)
    if work["do"] != "carry_out" or work["dry"]:
        json.dump(answer, sys.stdout)
    return 1 if answer["problems"] else 0


def say(line):
    # type: (str) -> None
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def opened(work, logs):
    # type: (Any, str) -> Any
    import dnf  # type: ignore[import-not-found,unused-ignore] # of the host that this text is sent to

    base = dnf.Base()
    conf = base.conf
    conf.read()
    if work["do"] != "carry_out" or work["dry"]:
        conf.logdir = logs
    conf.substitutions.update_from_etc("/")
    if not conf.substitutions.get("releasever"):
        conf.substitutions["releasever"] = dnf.rpm.detect_releasever("/") or ""
    conf.best = True
    conf.assumeyes = True
    conf.install_weak_deps = False
    conf.clean_requirements_on_remove = False
    if work["do"] == "carry_out":
        # The files were verified when they were fetched. No repository takes part: nothing else can come in.
        conf.localpkg_gpgcheck = False
        base.fill_sack(load_system_repo=True, load_available_repos=False)
        return base
    conf.cachedir = conf.system_cachedir
    base.init_plugins()
    base.pre_configure_plugins()
    base.read_all_repos()
    base.configure_plugins()
    for repository in base.repos.iter_enabled():
        repository.skip_if_unavailable = False
    if work.get("cached") and hasattr(base, "fill_sack_from_repos_in_cache"):
        base.fill_sack_from_repos_in_cache(load_system_repo=True)
    else:
        base.fill_sack(load_system_repo=True)
    return base


def offered(base, name, arch, version, all_of_them=False):
    # type: (Any, str, str, str, bool) -> Any
    """The package in the repositories; what is excluded or locked only where ``all_of_them``."""
    import hawkey  # type: ignore[import-not-found,unused-ignore] # as dnf

    ignore = getattr(hawkey, "IGNORE_REGULAR_EXCLUDES", hawkey.IGNORE_EXCLUDES)
    flags = ignore if all_of_them else hawkey.APPLY_EXCLUDES
    return [p for p in base.sack.query(flags=flags).available().filter(name=name, arch=arch) if same(p, version)]


def same(package, version):
    # type: (Any, str) -> bool
    return plain(package.evr) == plain(version)


def plain(version):
    # type: (str) -> str
    return version[2:] if version.startswith("0:") else version


def told(packages):
    # type: (Any) -> Any
    return [[p.name, p.arch, plain(p.evr)] for p in packages]


def transaction(base):
    # type: (Any) -> Any
    """What would be done: [name, arch, version], the version empty for a removal."""
    coming = list(base.transaction.install_set) if base.transaction else []
    names = {(p.name, p.arch) for p in coming} | {(p.name, "") for p in coming if p.arch == "noarch"}
    gone = [
        [p.name, p.arch, ""]
        for p in (base.transaction.remove_set if base.transaction else [])
        if (p.name, p.arch) not in names and not any(p.name == other.name for other in coming)
    ]
    return told(coming) + gone


def erase(base, wanted):
    # type: (Any, Any) -> None
    for name, arch, version in wanted:
        for package in base.sack.query().installed().filter(name=name, arch=arch):
            if not version or same(package, version):
                base.package_remove(package) if hasattr(base, "package_remove") else base._goal.erase(package)


def mark(base, package):
    # type: (Any, Any) -> None
    """Have this very package installed, whatever is there of it now."""
    only = base._get_installonly_query(base.sack.query().filter(name=package.name))
    installed = list(base.sack.query().installed().filter(name=package.name))
    if any(same(p, package.evr) and p.arch == package.arch for p in installed):
        base._goal.install(package)  # again: as dnf's reinstall
    elif not installed or only:
        base.package_install(package)
    elif package > sorted(installed)[-1]:
        base.package_upgrade(package)
    else:
        base.package_downgrade(package, strict=True)


def resolve(base, work, answer):
    # type: (Any, Any, Any) -> None
    for name, arch, version in work["packages"]:
        found = offered(base, name, arch, version)
        if not found:
            answer["problems"].append(
                "%s.%s %s was not found in any repository, or is excluded" % (name, arch, version)
            )
        else:
            mark(base, found[0])
    if answer["problems"]:
        return
    erase(base, work["remove"])
    base.resolve(allow_erasing=bool(work["remove"]))
    answer["would"] = transaction(base)
    answer["sizes"] = {
        "%s.%s" % (p.name, p.arch): p.downloadsize for p in (base.transaction.install_set if base.transaction else [])
    }
    if work["into"] and base.transaction:
        answer["files"] = collect(base, list(base.transaction.install_set), work["into"], answer["problems"])


def fetch(base, work, answer):
    # type: (Any, Any, Any) -> None
    for name, arch, version in work["packages"]:
        found = offered(base, name, arch, version, True)
        if found:
            complaints = []  # type: Any
            answer["files"].update(collect(base, found[:1], work["into"], complaints))


def collect(base, packages, folder, problems):
    # type: (Any, Any, str, Any) -> Any
    """Fetch packages, verified as their repository says, into a folder: "name.arch" to the file's name."""
    files = {}  # type: Any
    try:
        base.download_packages(packages)
    except Exception as error:  # noqa: BLE001 - whatever dnf raises is told
        problems += [line.strip() for line in str(error).splitlines() if line.strip()][:10]
        return files
    for package in packages:
        result, why = base.package_signature_check(package)
        if result != 0:
            problems.append("%s: %s" % (package, why or "its signature cannot be verified"))
            continue
        path = package.localPkg()
        name = os.path.basename(path)
        shutil.copyfile(path, os.path.join(folder, name + ".part"))
        os.rename(os.path.join(folder, name + ".part"), os.path.join(folder, name))
        files["%s.%s" % (package.name, package.arch)] = name
    return files


def carry_out(base, work, answer):
    # type: (Any, Any, Any) -> None
    def aim(remove):
        # type: (Any) -> Any
        base.reset(goal=True)
        for package in packages:
            mark(base, package)
        erase(base, remove)
        base.resolve(allow_erasing=bool(work["remove"]))
        return transaction(base)

    packages = base.add_remote_rpms(work["files"])
    would = aim(work["erase"])
    missing = [one for one in work["remove"] if [one[0], one[1], ""] not in would]
    if missing:
        # What is obsoleted goes by itself; the rest is asked for.
        would = aim(work["erase"] + missing)
    answer["would"] = would
    expected = sorted(work["expected"])
    if work["expected"] and sorted(would) != expected:
        answer["problems"] += ["%s.%s would be %s, which is not in the plan" % (n, a, v or "removed")
                               for n, a, v in sorted(would) if [n, a, v] not in expected]  # fmt: skip
        answer["problems"] += ["%s.%s would not be %s" % (n, a, v or "removed")
                               for n, a, v in expected if [n, a, v] not in would]  # fmt: skip
    if answer["problems"] or work["dry"]:
        return
    base.do_transaction(display())


def display():
    # type: () -> Any
    import dnf.yum.rpmtrans  # type: ignore[import-not-found,unused-ignore] # as dnf

    class Display(dnf.yum.rpmtrans.TransactionDisplay):  # type: ignore[misc,name-defined,unused-ignore]
        def error(self, message):
            # type: (Any) -> None
            say("upkeep-complaint: %s" % str(message).strip())

        def scriptout(self, msgs):
            # type: (Any) -> None
            text = msgs.decode("utf-8", "replace") if isinstance(msgs, bytes) else str(msgs or "")
            for line in text.splitlines():
                say("upkeep-script: %s" % line)

        def filelog(self, package, action):
            # type: (Any, Any) -> None
            say("upkeep-did: %s %s" % (package, action))

    return Display()
