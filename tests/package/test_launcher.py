# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`./upkeep` in a copy of the checkout: each test makes, breaks or mends a real environment."""

from __future__ import annotations

import json
import os
import pwd
import resource
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from packaging.requirements import Requirement

from tests.run.machine import ROOT

from .conftest import copy_checkout

MAKING = "making the environment"
READY_SECONDS = 0.03
"""What the launcher may add to a start once the environment is made: of CPU, which a busy machine does not stretch."""

pytestmark = pytest.mark.timeout(300)

Surroundings = dict[str, str]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh clone whose path has spaces and a quote; the tests here use it in turn, in any order."""
    return copy_checkout(tmp_path_factory.mktemp("a clone") / "up keep's")


def start(
    checkout: Path, env: Surroundings, *arguments: str, before: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    command = [*before, str(checkout / "upkeep"), *arguments]
    return subprocess.run(command, env=env, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True)


def assert_works(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: upkeep"), done.stdout


def without_network() -> tuple[str, ...]:
    if os.geteuid() != 0:
        pytest.skip("only root may start a process without network")
    return ("unshare", "--net")


def test_first_start_makes_the_environment_and_works(
    checkout: Path, surroundings: Surroundings, tmp_path: Path
) -> None:
    shutil.rmtree(checkout / ".venv", ignore_errors=True)
    link = tmp_path / "linked"
    link.symlink_to(checkout / "upkeep")
    begin = time.monotonic()
    done = subprocess.run([link, "--help"], env=surroundings, cwd=tmp_path, capture_output=True, text=True)
    assert time.monotonic() - begin < 120
    assert_works(done)
    assert MAKING in done.stderr
    assert [line[8:11] for line in done.stderr.splitlines() if line[9:11] == "/3"] == ["1/3", "2/3", "3/3"]
    assert not (checkout / ".venv" / "bootstrap").exists()


def test_the_environment_finds_the_checkouts_collection(made: Path, surroundings: Surroundings) -> None:
    tool = str(made / ".venv" / "bin" / "ansible-doc")
    done = subprocess.run(
        [tool, "-t", "module", "-l", "upkeep.maintenance"], env=surroundings, cwd="/", capture_output=True, text=True
    )
    assert "upkeep.maintenance.host_review" in done.stdout, done.stderr


def test_later_starts_need_no_network_and_hardly_any_time(made: Path, surroundings: Surroundings) -> None:
    done = start(made, surroundings, "--help", before=without_network())
    assert_works(done)
    assert done.stderr == ""
    spent = []
    for _ in range(10):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        start(made, surroundings, "--upkeep-environment")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < READY_SECONDS


def test_a_file_of_the_current_folder_is_never_taken_for_a_library(
    made: Path, surroundings: Surroundings, tmp_path: Path
) -> None:
    for name in ("yaml", "rich", "upkeep", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('code of the current folder ran')", encoding="utf-8")
    done = subprocess.run([made / "upkeep", "--help"], env=surroundings, cwd=tmp_path, capture_output=True, text=True)
    assert_works(done)


def test_a_changed_lock_brings_the_environment_up_to_date(made: Path, surroundings: Surroundings) -> None:
    lock = made / "requirements" / "runtime.txt"
    lock.write_text(lock.read_text(encoding="utf-8") + "\n# changed\n", encoding="utf-8")
    kept = next((made / ".venv" / "lib").glob("python3*/site-packages/ansible/__init__.py"))
    inode = kept.stat().st_ino
    done = start(made, surroundings, "--help")
    assert_works(done)
    assert MAKING in done.stderr
    assert kept.stat().st_ino == inode, "what had not changed was made anew under a service that may be running"
    assert start(made, surroundings, "--help").stderr == ""


def test_an_upgraded_interpreter_gets_a_new_environment(made: Path, tmp_path: Path, surroundings: Surroundings) -> None:
    # As after an upgrade of the distribution: the link leads to another interpreter, which does not see the packages.
    python = made / ".venv" / "bin" / "python"
    upgraded = shutil.copy("/bin/false", tmp_path / "python3.99")
    python.unlink()
    python.symlink_to(upgraded)
    done = start(made, surroundings, "--help")
    assert_works(done)
    assert MAKING in done.stderr


def test_a_moved_checkout_is_mended(made: Path, surroundings: Surroundings) -> None:
    moved = made.with_name("moved")
    made.rename(moved)
    try:
        done = start(moved, surroundings, "--help")
        assert_works(done)
        assert MAKING in done.stderr
        playbook = (moved / ".venv" / "bin" / "ansible-playbook").read_text(encoding="utf-8")
        assert str(made) not in playbook
    finally:
        moved.rename(made)


def test_an_interrupted_set_up_is_redone(checkout: Path, surroundings: Surroundings) -> None:
    shutil.rmtree(checkout / ".venv", ignore_errors=True)
    process = subprocess.Popen(
        [checkout / "upkeep", "--help"],
        env=surroundings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "2/3" in line:
            break
    site = checkout / ".venv" / "lib"
    while not list(site.glob("python3*/site-packages/*")):  # some packages are there, not all
        time.sleep(0.001)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not (checkout / ".venv" / "made-from").exists()
    done = start(checkout, surroundings, "--help")
    assert_works(done)
    assert MAKING in done.stderr
    assert_whole(checkout)


# What is installed, as the environment's own Python sees it: each package's version, and those of its files that miss.
INSPECT = """
import importlib.metadata, json, sysconfig
print(json.dumps({
    dist.name.lower().replace("_", "-").replace(".", "-"):
        [dist.version, [str(file) for file in dist.files if not file.locate().exists()]]
    for dist in importlib.metadata.distributions(path=[sysconfig.get_path("purelib")])
}))
"""


def assert_whole(checkout: Path) -> None:
    """Exactly the packages of the lock are there, each with all of its files."""
    python = checkout / ".venv" / "bin" / "python"
    found = json.loads(subprocess.run([python, "-P", "-c", INSPECT], stdout=subprocess.PIPE, check=True).stdout)
    lock = (checkout / "requirements" / "runtime.txt").read_text(encoding="utf-8")
    pinned = [Requirement(line.rstrip(" \\")) for line in lock.splitlines() if line[:1].isalnum()]
    expected = {p.name: [str(p.specifier)[2:], []] for p in pinned if p.marker is None or p.marker.evaluate()}
    assert found == expected


def test_two_at_once_make_one_environment(checkout: Path, surroundings: Surroundings) -> None:
    shutil.rmtree(checkout / ".venv", ignore_errors=True)
    pipe = subprocess.PIPE
    both = [
        subprocess.Popen([checkout / "upkeep", "--help"], env=surroundings, stdout=pipe, stderr=pipe, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert all(shown.startswith("usage: upkeep") for shown, _ in outputs)
    assert sorted(MAKING + " " in told and "3/3" in told for _, told in outputs) == [False, True]
    assert sum("waiting for another process" in told for _, told in outputs) == 1
    assert_whole(checkout)


def test_without_network_the_first_start_says_so(tmp_path: Path, surroundings: Surroundings) -> None:
    copy = copy_checkout(tmp_path / "clone")
    env = surroundings | {"XDG_CACHE_HOME": str(tmp_path / "empty"), "PIP_RETRIES": "0", "PIP_CONFIG_FILE": "/dev/null"}
    env = {name: value for name, value in env.items() if name not in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL")}
    done = start(copy, env, "--help", before=without_network())
    assert done.returncode == 4
    assert done.stdout == ""
    assert "the installer could not be fetched" in done.stderr
    assert "to do:" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (copy / ".venv" / "made-from").exists()


@pytest.fixture
def made(checkout: Path, surroundings: Surroundings) -> Path:
    """The same, with its environment made."""
    assert_works(start(checkout, surroundings, "--help"))
    return checkout


@pytest.fixture
def mirror(tmp_path: Path, surroundings: Surroundings) -> Iterator[tuple[str, list[str]]]:
    """An index that has the installer and nothing else: its address, and who asked it for what."""
    subprocess.run(["/usr/bin/python3", "-m", "venv", tmp_path / "pip"], check=True)
    fetch = [tmp_path / "pip/bin/pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--require-hashes"]
    fetch += ["-r", ROOT / "requirements" / "bootstrap.txt", "-d", tmp_path / "files"]
    subprocess.run(fetch, env=surroundings, check=True)
    (wheel,) = (tmp_path / "files").iterdir()
    asked: list[str] = []

    class Mirror(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(f"{self.headers['User-Agent'].partition('/')[0]} {self.path}")
            page = f"<a href='/files/{wheel.name}'>{wheel.name}</a>".encode()
            body = {"/simple/uv/": page, f"/files/{wheel.name}": wheel.read_bytes()}.get(self.path)
            self.send_response(404 if body is None else 200)
            self.send_header("Content-Type", "text/html" if body == page else "application/octet-stream")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Mirror) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/simple/", asked
        server.shutdown()


def test_the_mirror_that_pip_knows_is_used_for_all(
    tmp_path: Path, surroundings: Surroundings, mirror: tuple[str, list[str]]
) -> None:
    """Nobody who has set up pip for a mirror has to find out that uv does not read pip's settings."""
    address, asked = mirror
    copy = copy_checkout(tmp_path / "clone")
    configuration = tmp_path / "pip.conf"
    configuration.write_text(f"[global]\nindex-url = {address}\n", encoding="utf-8")
    env = surroundings | {"PIP_CONFIG_FILE": str(configuration), "PIP_NO_CACHE_DIR": "1", "UV_NO_CACHE": "1"}
    done = start(copy, env, "--upkeep-environment")
    assert done.returncode == 4
    assert "the packages could not be fetched" in done.stderr
    assert "pip /simple/uv/" in asked
    assert "uv /simple/alembic/" in asked


def fake_python(folder: Path, *, marker: Path) -> Path:
    """A Python as Debian ships it without python3-venv: `ensurepip` is missing until `marker` exists."""
    path = folder / "python3.11"
    path.write_text(
        "#!/bin/sh\n"
        f'case "$*" in *ensurepip*) [ -e "{marker}" ] || {{ echo no ensurepip >&2; exit 1; }} ;; esac\n'
        'exec /usr/bin/python3 "$@"\n',
        encoding="utf-8",
    )
    path.chmod(0o755)
    return path


def test_root_gets_the_missing_debian_package(tmp_path: Path, surroundings: Surroundings) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root installs Debian packages")
    copy = copy_checkout(tmp_path / "clone")
    installed = tmp_path / "installed"
    python = fake_python(tmp_path, marker=installed)
    apt = tmp_path / "apt-get"  # its first install fails, as on a machine without package lists
    log = tmp_path / "apt.log"
    apt.write_text(
        f'#!/bin/sh\necho "$*" >>"{log}"\n'
        f'case "$*" in\n*update*) touch "{log}.updated" ;;\n'
        f'*install*) [ -e "{log}.updated" ] && touch "{installed}" ;;\nesac\n',
        encoding="utf-8",
    )
    apt.chmod(0o755)
    env = surroundings | {"PATH": f"{tmp_path}:{surroundings['PATH']}", "UPKEEP_PYTHON": str(python)}
    done = start(copy, env, "--help")
    assert_works(done)
    assert "installing the Debian package python3.11-venv" in done.stderr
    calls = log.read_text(encoding="utf-8").splitlines()
    assert [("install" in call, "update" in call) for call in calls] == [(True, False), (False, True), (True, False)]
    assert all("python3.11-venv" in call for call in calls if "install" in call)


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that every account can reach: pytest's own are closed to others, and every pytest closes them again."""
    with tempfile.TemporaryDirectory(prefix="upkeep-public-") as name:
        Path(name).chmod(0o755)
        (Path(name) / "cache").mkdir()
        (Path(name) / "cache").chmod(0o777)
        yield Path(name)


def as_nobody() -> tuple[str, ...]:
    """Words that run a command as an account without rights."""
    if os.geteuid() != 0:
        pytest.skip("only root may run a process as another account")
    nobody = pwd.getpwnam("nobody")
    return ("setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups")


def test_an_ordinary_account_is_told_which_package_to_install(public: Path, surroundings: Surroundings) -> None:
    copy = copy_checkout(public / "clone")
    python = fake_python(public, marker=public / "never")
    env = surroundings | {"UPKEEP_PYTHON": str(python), "XDG_CACHE_HOME": str(public / "cache")}
    done = start(copy, env, "--help", before=as_nobody())
    assert done.returncode == 2
    assert done.stdout == ""
    assert "sudo apt-get install python3.11-venv" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkout_that_cannot_be_written_gets_its_environment_in_the_cache(
    public: Path, surroundings: Surroundings
) -> None:
    copy = copy_checkout(public / "clone")
    cache = public / "cache"
    env = surroundings | {"XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    done = start(copy, env, "--help", before=as_nobody())
    assert_works(done)
    assert not (copy / ".venv").exists()
    assert list((cache / "upkeep").glob("venv-*/made-from"))
    again = start(copy, env, "--help", before=as_nobody())
    assert_works(again)
    assert again.stderr == ""


def test_no_python_that_will_do(tmp_path: Path, surroundings: Surroundings) -> None:
    copy = copy_checkout(tmp_path / "clone")
    done = start(copy, surroundings | {"UPKEEP_PYTHON": "/bin/false"}, "--help")
    assert done.returncode == 2
    assert "no suitable Python" in done.stderr
    assert "3.11" in done.stderr
