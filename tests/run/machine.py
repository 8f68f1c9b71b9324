# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The machine that the tests need: Debian packages, and child processes that end when they should."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
VENV = Path(sys.prefix)
CACHE = ROOT / ".cache"

TIMED_OUT = 124
"""Exit code of :func:`run` for a child that had to be ended; coreutils' timeout uses the same."""
_GRACE_SECONDS = 20
"""For a child that is told to stop to clean up: a fleet has hosts to take down."""


class SetupError(Exception):
    """The tests cannot be run on this machine; the text says what to do."""


def say(text: str) -> None:
    """A line about what is going on, on standard error: standard output belongs to results."""
    print(text, file=sys.stderr, flush=True)


def _is_setting(name: str) -> bool:
    ours = name.startswith("UPKEEP_") and not name.startswith("UPKEEP_FLEET_")  # where the fleet lives is the machine's
    return ours or name.startswith(("ANSIBLE_", "MOLECULE_", "PYTEST_"))


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of a child: our tools first, nothing of the caller's Ansible or Upkeep settings."""
    env = {name: value for name, value in os.environ.items() if not _is_setting(name)}
    env["PATH"] = f"{VENV / 'bin'}{os.pathsep}{env.get('PATH', os.defpath)}"
    env["VIRTUAL_ENV"] = str(VENV)
    # ansible refuses to start in a locale that is not UTF-8, and CI servers often have none.
    env["LC_ALL"] = "C.UTF-8"
    return env | dict(extra or {})


def run(
    command: Sequence[str | Path],
    *,
    limit: float,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    capture: bool = False,
    quiet: bool = False,
) -> tuple[int, str]:
    """Run a command to its end; its output is shown as it comes, or its standard output is returned if
    ``capture``; what it complains about is shown unless ``quiet``.

    ``limit`` is in seconds; then, and on Ctrl-C, the command and all its children are told to stop, and later killed.
    Returns the exit code (:data:`TIMED_OUT` when the limit ended it) and what was captured.
    """
    child = subprocess.Popen(
        [str(word) for word in command],
        cwd=cwd,
        env=environment(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if capture else None,
        stderr=subprocess.DEVNULL if quiet else None,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = child.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        say(f"run-tests: {shlex.join(map(str, command))} did not end within {limit:.0f} s: ending it")
        _end(child)
        return TIMED_OUT, ""
    except BaseException:
        _end(child)
        raise
    return child.returncode, output or ""


def _end(child: subprocess.Popen[str]) -> None:
    """End a child and its descendants: politely first."""
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        _signal_group(child, signal_number)
        try:
            child.wait(_GRACE_SECONDS)
            break
        except subprocess.TimeoutExpired:
            continue
    _signal_group(child, signal.SIGKILL)  # also for descendants that outlived the child
    child.wait()


def _signal_group(child: subprocess.Popen[str], signal_number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal_number)


# --- Debian packages ------------------------------------------------------------------------------

_PACKAGE_LINE = re.compile(r"^(?P<name>[a-z0-9][a-z0-9+.-]+)\s+#\s*(?:\[(?P<parts>[a-z ]+)\]\s*)?(?P<why>\S.*)$")


def read_packages(text: str, parts: set[str]) -> dict[str, str]:
    """The packages that the chosen parts need, each with its reason.

    A line is ``name  # [part part] why``; without ``[…]`` every part needs it. Raises ValueError for any other line.
    """
    packages: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        match = _PACKAGE_LINE.match(line)
        if match is None:
            raise ValueError(f"line {number}: expected 'package  # [parts] why', found {line!r}")
        if match["parts"] is None or parts & set(match["parts"].split()):
            packages[match["name"]] = match["why"]
    return packages


def install_packages(parts: set[str]) -> None:
    """Install the Debian packages that the parts need and that are missing, saying what and why first."""
    path = ROOT / "tests" / "debian-packages.txt"
    try:
        wanted = read_packages(path.read_text(encoding="utf-8"), parts)
    except ValueError as error:
        raise SetupError(f"{path}: {error}") from error
    if not wanted:
        return
    if shutil.which("dpkg-query") is None:
        raise SetupError(f"expected a Debian machine; here is no dpkg. Needed are: {', '.join(sorted(wanted))}")
    missing = {name: wanted[name] for name in wanted.keys() - _installed(wanted)}
    if not missing:
        return
    say("run-tests: these Debian packages are needed and missing:")
    for name, why in sorted(missing.items()):
        say(f"  {name:<24} {why}")
    install = ["apt-get", "install", "-y", "--no-install-recommends", *sorted(missing)]
    prefix: list[str] = []
    if os.geteuid() != 0:
        if shutil.which("sudo") is None or run(["sudo", "-n", "true"], limit=30, quiet=True)[0] != 0:
            raise SetupError(f"only root may install them. Run this, then start again:\n  sudo {shlex.join(install)}")
        prefix = ["sudo", "-n"]
    say(f"run-tests: installing them: {shlex.join(prefix + install)}")
    settings = {"DEBIAN_FRONTEND": "noninteractive"}
    quiet = [*prefix, *install[:1], "-qq", "-o", "DPkg::Lock::Timeout=300"]
    # Fresh machines have no package lists, old ones name files that are gone; so update, and only then.
    run([*quiet, "update"], limit=600, env=settings)
    code, _ = run([*quiet, *install[1:]], limit=1800, env=settings, capture=True)
    still = sorted(missing.keys() - _installed(missing))
    if code != 0 or still:
        raise SetupError(
            f"apt-get ended with {code}; still missing: {', '.join(still) or 'none'}. To see why:\n"
            f"  {shlex.join(prefix + install)}"
        )


def _installed(names: Iterable[str]) -> set[str]:
    query = ["dpkg-query", "-W", "-f=${Package} ${db:Status-Status}\n", *sorted(names)]
    _, rows = run(
        query, limit=60, capture=True, quiet=True
    )  # it ends with 1, and complains, when it does not know one of them
    return {row.split()[0] for row in rows.splitlines() if row.split()[1:] == ["installed"]}
