# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a test run. Each takes the names and options that were given after it, and returns its tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import sysconfig
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from .machine import CACHE, ROOT, SetupError, run, say
from .report import FAILED, PASSED, Test, read_junit

REPORTS = CACHE / "reports"


@dataclass(frozen=True)
class Part:
    """One part: what it proves, what does it, and after how many seconds it is taken to hang."""

    name: str
    about: str
    function: Callable[[Part, list[str], list[str]], list[Test]]
    limit: float
    folder: str = ""
    """Where pytest looks, for the parts that are pytest."""
    default: bool = True
    """Whether a run without a selection includes it."""


# --- static ---------------------------------------------------------------------------------------


def _static(part: Part, names: list[str], options: list[str]) -> list[Test]:
    # mypy must see the collection under the name that it is imported by, and refuses to look into site-packages for it.
    link = CACHE / "types" / "ansible_collections" / "upkeep" / "maintenance"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(os.path.relpath(ROOT, link.parent), target_is_directory=True)
    checks: dict[str, list[str | Path]] = {
        "ruff": ["ruff", "check", "--output-format=concise", "."],
        "format": ["ruff", "format", "--check", "--output-format=concise", "."],
        # Without its cache: that goes on missing a submodule which did not exist at its first run.
        "mypy": ["mypy", "--cache-dir", os.devnull],
        # ruff guards the syntax of Python 3.8 under plugins/; this guards what its standard library lacks.
        "python3.8": ["vermin", "--quiet", "--no-tips", "--violations", "--target=3.8-", "plugins"],
        "ansible-lint": ["ansible-lint", "--offline", "-q"],
        "shellcheck": ["shellcheck", *_shell_files()],
        "changelog": ["antsibull-changelog", "lint"],
    }
    unknown = set(names) - checks.keys()
    if unknown:
        raise SetupError(f"static has no check {', '.join(sorted(unknown))}; it has {', '.join(checks)}")
    return [_check(name, [*checks[name], *options], part.limit) for name in names or checks]


def _check(name: str, command: Sequence[str | Path], limit: float) -> Test:
    say(f"-- {name}")
    code, _ = run(command, limit=limit)
    return Test(
        name, PASSED if code == 0 else FAILED, "" if code == 0 else f"{command[0]} ended with {code}, see above"
    )


def _shell_files() -> list[str]:
    """The files of the project that a shell reads, by name or first line."""
    return [path for path in project_files() if path.endswith(".sh") or _is_shell_script(ROOT / path)]


def _is_shell_script(path: Path) -> bool:
    if path.suffix or not path.is_file():
        return False
    with path.open("rb") as file:
        return file.readline(80).rstrip() in (b"#!/bin/sh", b"#!/bin/bash", b"#!/usr/bin/env bash")


def project_files(*under: str) -> list[str]:
    """The files of the project: those in git, and new ones that are not ignored; not those that are deleted."""
    code, names = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *under], limit=60, capture=True
    )
    if code != 0:
        raise SetupError(f"expected {ROOT} to be a git checkout that this account may read; see: git -C {ROOT} status")
    return sorted({name for name in names.split("\0") if name and (ROOT / name).is_file()})


# --- pytest ---------------------------------------------------------------------------------------


def _pytest(part: Part, names: list[str], options: list[str]) -> list[Test]:
    folder = ROOT / part.folder
    targets = [folder / name for name in names] or [folder]
    for target in targets:
        if not Path(str(target).partition("::")[0]).exists():
            raise SetupError(f"{part.name} has no {target.relative_to(folder)}: a name is a path under {part.folder}")
    report = REPORTS / f"{part.name}.xml"
    report.unlink(missing_ok=True)
    code, _ = run([sys.executable, "-m", "pytest", f"--junitxml={report}", *targets, *options], limit=part.limit)
    tests = read_junit(report)
    if code not in (0, 1) or (code == 1 and not any(test.outcome == FAILED for test in tests)):
        # For example 5, no test found: nothing was proven, so it is no success.
        meaning = {2: "interrupted", 3: "internal error", 4: "wrong use", 5: "no test found"}.get(code, "see above")
        tests.append(Test("pytest", FAILED, f"ended with {code}: {meaning}"))
    return tests


# --- ansible-test sanity --------------------------------------------------------------------------

# What ansible-test is shown: the collection. The scheduler, and tests of its own, are not part of it.
_COLLECTION = ("galaxy.yml", "README.md", "LICENSE", "changelogs", "docs", "inventories", "meta", "playbooks")
_COLLECTION_CODE = ("plugins", "roles", "tests/sanity")
_SANITY_NOT_APPLICABLE = {
    "pslint": "there is no PowerShell here",
    "shellcheck": "part `static` has shellcheck over all shell files, also those outside the collection",
    "empty-init": "it is about tests/unit and tests/integration, which are not shown to it",
}


def _sanity(part: Part, names: list[str], options: list[str]) -> list[Test]:
    copy = CACHE / "sanity" / "ansible_collections" / "upkeep" / "maintenance"
    _mirror(project_files(*_COLLECTION, *_COLLECTION_CODE), copy)
    # Of its own, or ansible-test takes the checkout's, which ignores all that is in .cache, and finds nothing to test.
    run(["git", "init", "--quiet"], limit=60, cwd=copy)
    (copy / ".git" / "info" / "exclude").write_text("/tests/output/\n", encoding="utf-8")
    # ansible-test keeps its virtual environments in the home folder; they are ours to throw away, so not in the user's.
    home = CACHE / "sanity" / "home"
    _provide_pip(home / ".ansible" / "test" / "cache")
    shutil.rmtree(copy / "tests" / "output", ignore_errors=True)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    command = ["ansible-test", "sanity", "--python", python, "--junit", "--color", "no"]
    command += [f"--skip-test={name}" for name in _SANITY_NOT_APPLICABLE]
    command += [f"--test={name}" for name in names]
    pip_cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    code, _ = run(
        [*command, *options], limit=part.limit, cwd=copy, env={"HOME": str(home), "XDG_CACHE_HOME": pip_cache}
    )
    files = sorted((copy / "tests" / "output" / "junit").glob("*.xml"))
    tests = [
        Test(test.name.removeprefix("sanity::"), test.outcome, test.why) for path in files for test in read_junit(path)
    ]
    if code != 0 and not any(test.outcome == FAILED for test in tests):
        tests.append(Test("ansible-test", FAILED, f"ended with {code}, see above"))
    say(
        f"note: compile and import ran with Python {python}; for 3.8, the oldest on a host, there is static's python3.8"
    )
    return tests


def _mirror(files: list[str], copy: Path) -> None:
    """Make `copy` hold these files of the checkout and no others; what has not changed keeps its time."""
    copy.mkdir(parents=True, exist_ok=True)
    wanted = set(files)
    for path in copy.rglob("*"):
        name = path.relative_to(copy).as_posix()
        if not path.is_dir() and name not in wanted and not name.startswith((".git/", "tests/output/")):
            path.unlink()
    for name in files:
        target = copy / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, target)


def _provide_pip(folder: Path) -> None:
    """Give ansible-test the pip that Debian has, where it would otherwise download a script that installs one.

    It looks for that script under the name of the version that it wants. Should a release of ansible-core name it
    otherwise, nothing is left here, and ansible-test downloads.
    """
    # Read, not imported: the package is not made for that.
    source = Path(sysconfig.get_path("purelib")) / "ansible_test" / "_internal" / "python_requirements.py"
    found = re.search(r"pip='([0-9.]+)'", source.read_text(encoding="utf-8"))
    if found is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    stub = folder / f"get_pip_{found[1].replace('.', '_')}.py"
    stub.write_text("import ensurepip\nensurepip._bootstrap(default_pip=True)\n", encoding="utf-8")


# --- molecule -------------------------------------------------------------------------------------


def _molecule(part: Part, names: list[str], options: list[str]) -> list[Test]:
    scenarios = sorted(path.parent.name for path in (ROOT / "molecule").glob("*/molecule.yml"))
    # Where scenarios share their hosts, `default` only owns making and ending them, and is no test.
    testing = [name for name in scenarios if name != "default" or (ROOT / "molecule/default/converge.yml").exists()]
    if not testing:
        raise SetupError("expected scenarios in molecule/*/molecule.yml, found none")
    unknown = set(names) - set(testing)
    if unknown:
        raise SetupError(f"molecule has no scenario {', '.join(sorted(unknown))}; it has {', '.join(testing)}")
    env = {
        # Without it molecule also takes the project's own folder for one that holds scenarios.
        "MOLECULE_GLOB": "molecule/*/molecule.yml",
        "ANSIBLE_COLLECTIONS_PATH": sysconfig.get_path("purelib"),
        # Facts that are variables hide what a host said about itself; ansible-core will stop doing it.
        "ANSIBLE_INJECT_FACT_VARS": "false",
    }
    tests = []
    for name in names or testing:
        say(f"-- {name}")
        code, _ = run(["molecule", "test", "--scenario-name", name, *options], limit=part.limit, env=env)
        tests.append(
            Test(name, PASSED if code == 0 else FAILED, "" if code == 0 else f"molecule ended with {code}, see above")
        )
    return tests


# --- benchmarks -----------------------------------------------------------------------------------


def benchmarks() -> dict[str, Path]:
    """The benchmarks by name. Each is a program that prints its table of ratios, or with ``--json`` one document."""
    return {p.stem.removeprefix("bench_"): p for p in sorted((ROOT / "tests" / "benchmarks").glob("bench_*.py"))}


def _bench(part: Part, names: list[str], options: list[str]) -> list[Test]:
    programs = benchmarks()
    unknown = set(names) - programs.keys()
    if unknown or not programs:
        raise SetupError(
            f"bench has no {', '.join(sorted(unknown)) or 'program'}; it has {', '.join(programs) or 'none'}"
        )
    return [
        _check(name, [sys.executable, "-m", _module(programs[name]), *options], part.limit)
        for name in names or programs
    ]


def bench_json(part: Part, names: list[str]) -> tuple[dict[str, object], list[Test]]:
    """The benchmarks' documents by name, and how each ended; nothing is shown."""
    programs = benchmarks()
    documents: dict[str, object] = {}
    tests = []
    for name in names or programs:
        if name not in programs:
            raise SetupError(f"bench has no {name}; it has {', '.join(programs) or 'none'}")
        code, output = run([sys.executable, "-m", _module(programs[name]), "--json"], limit=part.limit, capture=True)
        try:
            documents[name] = json.loads(output)
        except ValueError:
            code = code or 1
        tests.append(Test(name, PASSED if code == 0 else FAILED, "" if code == 0 else f"ended with {code}"))
    return documents, tests


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


# In the order in which they run: the quick ones first. The limits, in seconds, are some three times what a part takes
# on two cores: they are there to end what hangs.
PARTS = {
    part.name: part
    for part in (
        Part("static", "ruff, mypy, ansible-lint, shellcheck, the changelog, Python 3.8", _static, 300),
        Part("unit", "pure code, and modules with a stand-in for the host", _pytest, 900, "tests/unit"),
        Part("sanity", "ansible-test sanity over the collection", _sanity, 900),
        Part(
            "package", "the launcher, the wheel and the Galaxy tarball, each really used", _pytest, 900, "tests/package"
        ),
        Part("integration", "real servers and real runs on this machine", _pytest, 2100, "tests/integration"),
        Part("backups", "backups with every fault, restored on real servers", _pytest, 2200, "tests/backups"),
        Part("patching", "plans, transactions, hooks and campaigns on the test fleet", _pytest, 2600, "tests/patching"),
        Part("service", "the scheduler, what it sends and what it is watched by", _pytest, 2100, "tests/service"),
        Part("fleet", "the test fleet itself", _pytest, 1200, "tests/fleet"),
        Part("molecule", "the roles on the test fleet, a scenario an area", _molecule, 1200),
        Part("bench", "benchmarks, as ratios", _bench, 3600, default=False),
    )
}
