# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheel and the Galaxy tarball: what is in them, that it is the same, and that each works where it is installed."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.run.machine import ROOT
from tests.run.parts import project_files

from .conftest import copy_checkout

pytestmark = pytest.mark.timeout(300)

INSIDE = "ansible_collections/upkeep/maintenance/"
# What the collection consists of: said here again, not taken from galaxy.yml's list of what it leaves out.
COLLECTION = ("plugins", "roles", "playbooks", "meta", "inventories", "docs", "changelogs/changelog.yaml")
COLLECTION_FILES = ("README.md", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md")
# What lies about in a checkout that is worked in, and must not be shipped.
LITTER = (
    ".env",
    ".cache/sanity/x.py",
    ".venv/bin/python",
    ".git/config",
    "upkeep.yml",
    "ansible.cfg",
    "artifacts/run-1/stdout",
    "plugins/modules/__pycache__/host_review.cpython-311.pyc",
    "plugins/modules/.host_review.py.swp",
    "plugins/module_utils/_host.py~",
    "roles/host_review/.DS_Store",
    "scheduler/upkeep/__pycache__/paths.cpython-311.pyc",
    "tests/output/junit/x.xml",
    "upkeep-maintenance-0.0.1.tar.gz",
)


@dataclass(frozen=True)
class Packages:
    """What one build gave."""

    wheel: Path
    tarball: Path

    def in_wheel(self) -> dict[str, bytes]:
        with zipfile.ZipFile(self.wheel) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def in_tarball(self) -> dict[str, bytes]:
        contents = {}
        with tarfile.open(self.tarball) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is not None:
                    contents[member.name] = file.read()
        return contents


def build(checkout: Path, target: Path) -> Packages:
    env = os.environ | {"SOURCE_DATE_EPOCH": "1700000000"}
    for command in (["hatch_build.py", str(target)], ["-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]):
        done = subprocess.run([sys.executable, *command], cwd=checkout, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return Packages(*target.glob("*.whl"), *target.glob("*.tar.gz"))


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Packages:
    """Built in a checkout with litter in it."""
    checkout = copy_checkout(tmp_path_factory.mktemp("work") / "littered")
    for name in LITTER:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text("litter", encoding="utf-8")
    return build(checkout, tmp_path_factory.mktemp("dist"))


def test_the_tarball_holds_the_collection_and_nothing_else(packages: Packages) -> None:
    expected = set(project_files(*COLLECTION, *COLLECTION_FILES)) | {"MANIFEST.json", "FILES.json"}
    assert set(packages.in_tarball()) == expected


def test_the_wheel_holds_the_tarballs_files_and_the_package(packages: Packages) -> None:
    wheel = packages.in_wheel()
    collection = {name.removeprefix(INSIDE): data for name, data in wheel.items() if name.startswith(INSIDE)}
    assert collection == packages.in_tarball()
    rest = {name for name in wheel if not name.startswith(INSIDE) and ".dist-info/" not in name}
    assert rest == {name.removeprefix("scheduler/") for name in project_files("scheduler/upkeep")}
    assert {name for name in rest if name.startswith("upkeep/store/migrations/versions/")}


def test_nothing_in_them_tells_of_this_machine(packages: Packages) -> None:
    traces = [str(ROOT).encode(), str(packages.wheel.parent.parent).encode(), b"littered/"]
    for name, data in {**packages.in_wheel(), **packages.in_tarball()}.items():
        assert not [trace for trace in traces if trace in data], name
    with tarfile.open(packages.tarball) as archive:
        assert {(member.uid, member.gid, member.uname, member.gname) for member in archive} == {(0, 0, "", "")}


def test_the_same_files_give_the_same_bytes(packages: Packages, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    for name in reversed(project_files()):  # so the file system lists them otherwise
        (other / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, other / name)
        shutil.copymode(ROOT / name, other / name)
        os.utime(other / name, (1, 1))
    again = build(other, tmp_path / "dist")
    assert again.tarball.read_bytes() == packages.tarball.read_bytes()
    assert again.wheel.read_bytes() == packages.wheel.read_bytes()


def test_an_editable_install_is_refused(tmp_path: Path) -> None:
    # It would freeze a copy of the collection.
    checkout = copy_checkout(tmp_path / "clone")
    script = "import hatchling.build as b; b.build_editable('.')"
    done = subprocess.run([sys.executable, "-c", script], cwd=checkout, capture_output=True, text=True)
    assert done.returncode != 0
    assert "./upkeep makes an environment that follows the checkout" in done.stderr


# --- where they are installed -----------------------------------------------------------------------


UV = str(Path(sys.prefix) / "bin" / "uv")


def succeed(*command: str | Path, env: dict[str, str], cwd: Path) -> str:
    """Run a command that has to succeed; what it printed."""
    done = subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def locked_environment(venv: Path, env: dict[str, str]) -> Path:
    """An environment that holds what the lock holds, and nothing of ours."""
    env = env | {"UV_SYSTEM_CERTS": "1"}  # as the launcher does: who runs a proxy has told the system, not uv
    succeed(UV, "venv", "--quiet", "--python", "/usr/bin/python3", venv, env=env, cwd=ROOT)
    lock = ROOT / "requirements" / "runtime.txt"
    succeed(UV, "pip", "sync", "--quiet", "--python", venv / "bin/python", "--require-hashes", lock, env=env, cwd=ROOT)
    return venv


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory, surroundings: dict[str, str]) -> Path:
    return locked_environment(tmp_path_factory.mktemp("bare") / "venv", surroundings)


@pytest.fixture(scope="module")
def installed(packages: Packages, tmp_path_factory: pytest.TempPathFactory, surroundings: dict[str, str]) -> Path:
    """An environment into which the wheel was installed."""
    venv = locked_environment(tmp_path_factory.mktemp("installed") / "venv", surroundings)
    python = ["--python", venv / "bin/python"]
    # --no-deps: what it needs is in the lock, or the check finds it missing.
    succeed(UV, "pip", "install", *python, "--no-deps", "--offline", packages.wheel, env=surroundings, cwd=ROOT)
    succeed(UV, "pip", "check", *python, env=surroundings, cwd=ROOT)
    return venv


def test_the_installed_command_works(installed: Path, surroundings: dict[str, str], tmp_path: Path) -> None:
    shown = succeed(installed / "bin" / "upkeep", "--help", env=surroundings, cwd=tmp_path)
    assert shown.startswith("usage: upkeep")


def test_the_installed_command_runs_the_weekly_job(
    installed: Path, surroundings: dict[str, str], tmp_path: Path
) -> None:
    env = surroundings | {"UPKEEP_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [installed / "bin" / "upkeep", "run", "weekly", "--json"], env=env, cwd=tmp_path, capture_output=True, text=True
    )
    # 1: there may be something to find on this machine.
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert isinstance(json.loads(done.stdout), dict)


def test_the_installed_playbook_works_without_configuration(
    installed: Path, surroundings: dict[str, str], tmp_path: Path
) -> None:
    assert_reviewed(
        succeed(installed / "bin" / "ansible-playbook", "upkeep.maintenance.weekly", env=surroundings, cwd=tmp_path)
    )


def assert_reviewed(shown: str) -> None:
    """The output of `ansible-playbook` says that this machine was reviewed, and nothing failed."""
    recap = re.search(r"^localhost +: ok=(\d+) .*failed=(\d+)", shown, re.M)
    assert recap, shown
    assert int(recap[1]) > 0
    assert int(recap[2]) == 0


def test_the_tarball_installs_and_its_checksums_hold(
    packages: Packages, bare: Path, surroundings: dict[str, str], tmp_path: Path
) -> None:
    galaxy = [bare / "bin" / "ansible-galaxy", "collection"]
    env = surroundings | {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    succeed(*galaxy, "install", packages.tarball, "--offline", "-p", tmp_path, env=env, cwd=tmp_path)
    succeed(*galaxy, "verify", "upkeep.maintenance", "--offline", "-p", tmp_path, env=env, cwd=tmp_path)
    changed = tmp_path / INSIDE / "playbooks" / "weekly.yml"
    changed.write_text("changed", encoding="utf-8")
    done = subprocess.run(
        [*galaxy, "verify", "upkeep.maintenance", "--offline", "-p", tmp_path], env=env, capture_output=True, text=True
    )
    assert "playbooks/weekly.yml" in done.stdout


def test_the_collection_works_with_little_of_it(
    packages: Packages, bare: Path, surroundings: dict[str, str], tmp_path: Path
) -> None:
    """A rule of the house: it does with everything but meta, plugins, roles and playbooks deleted, without `upkeep`."""
    with tarfile.open(packages.tarball) as archive:
        kept = ("meta", "plugins", "roles", "playbooks")
        archive.extractall(tmp_path / INSIDE, members=[m for m in archive if m.name.split("/")[0] in kept])
    env = surroundings | {"ANSIBLE_COLLECTIONS_PATH": str(tmp_path)}
    playbook = bare / "bin" / "ansible-playbook"
    assert_reviewed(succeed(playbook, "upkeep.maintenance.weekly", env=env, cwd=tmp_path))
