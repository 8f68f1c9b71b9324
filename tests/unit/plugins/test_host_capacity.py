# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The door to the host, on this machine: silent filesystems, atomic writes, odd files."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils import _host
from ansible_collections.upkeep.maintenance.plugins.module_utils._host import Host
from tests.unit.fake_host import FakeHost


def children() -> set[str]:
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


@pytest.fixture
def ordinary() -> Iterator[Path]:
    """A folder of an account that is not root, as which the test goes on."""
    with tempfile.TemporaryDirectory() as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        try:
            yield Path(folder)
        finally:
            for path in (Path(folder) / "closed", Path(folder) / "hidden"):
                if path.exists():
                    path.chmod(0o700)
            if root:
                os.seteuid(0)


def test_what_an_account_may_not_read_is_told_from_what_is_not_there(ordinary: Path) -> None:
    for name in ("open", "closed", "hidden"):
        (ordinary / name).mkdir()
        (ordinary / name / "file").write_text("")
    (ordinary / "secret").write_text("")
    (ordinary / "secret").chmod(0)
    (ordinary / "closed").chmod(0)
    (ordinary / "hidden").chmod(0o100)  # to be entered, not listed
    denied = [name for name in ("open", "open/file", "open/none", "none", "closed", "closed/file", "closed/none",
                                "hidden", "hidden/file", "secret") if Host().denied(str(ordinary / name))]  # fmt: skip
    assert denied == ["closed", "closed/file", "closed/none", "hidden", "secret"]
    assert not Host().denied("/nul\0")


def test_statvfs_says_what_df_says(tmp_path: Path) -> None:
    value = Host().statvfs([[str(tmp_path)]], 10)[str(tmp_path)]
    df = subprocess.run(["df", "-B1", "--output=size,avail", tmp_path], capture_output=True, text=True, check=True)
    size, _available = (int(word) for word in df.stdout.splitlines()[1].split())
    assert value is not None
    assert value.blocks * value.block_size == size
    assert value.folder


def test_statvfs_of_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    lane = [str(tmp_path / "file"), str(tmp_path / "none\nat all"), "/nul\0"]
    answers = Host().statvfs([lane], 10)
    file, missing, strange = (answers[path] for path in lane)
    assert file is not None and not file.folder
    assert missing is not None and missing.error == "No such file or directory"
    assert strange is not None and strange.error


def test_a_silent_filesystem_costs_its_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lane ends there, the others answer, and no process stays behind."""
    real = os.statvfs

    def silent(path: str) -> os.statvfs_result:
        if path == "/silent":
            time.sleep(60)
        return real(path)

    monkeypatch.setattr(os, "statvfs", silent)
    before = children()
    start = time.monotonic()
    answers = Host().statvfs([["/", "/silent", "/tmp"], ["/proc"]], 0.5)
    assert 0.5 <= time.monotonic() - start < 2
    assert answers["/silent"] is None
    assert "/tmp" not in answers
    assert answers["/"] is not None
    assert answers["/proc"] is not None
    assert children() == before


def test_a_fork_that_fails_leaves_neither_children_nor_pipes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The third lane finds no room for a process: what the first two began is ended, and the caller is told."""
    real, calls = os.fork, []

    def fork() -> int:
        calls.append(1)
        if len(calls) == 3:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return real()

    monkeypatch.setattr(os, "fork", fork)
    before = children(), os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        Host().statvfs([["/"], ["/tmp"], ["/proc"]], 5)
    assert (children(), os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        ({}, ""),
        ({"/run/systemd/container": "systemd-nspawn\n", "/.dockerenv": ""}, "systemd-nspawn"),
        ({"/proc/1/environ": "PATH=/bin\0container=lxc\0xcontainer=no\0"}, "lxc"),
        ({"/proc/1/environ": "mycontainer=lxc\0container=\0"}, ""),
        ({"/.dockerenv": ""}, "docker"),
        ({"/run/.containerenv": "engine=podman"}, "podman"),
        ({"/proc/vz/veinfo": ""}, "openvz"),
        ({"/proc/vz/veinfo": "", "/proc/bc/0": ""}, ""),  # the machine under such containers
    ],
)
def test_the_kind_of_container(files: dict[str, str], kind: str) -> None:
    assert FakeHost(files).container() == kind


def test_the_child_holds_no_output_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that cannot be ended must not keep the connection open: its standard output is closed."""

    def closed(path: str) -> None:
        raise OSError(0, "open: {}".format(",".join(sorted(os.listdir("/proc/self/fd")))))

    monkeypatch.setattr(os, "statvfs", closed)
    value = Host().statvfs([["/"]], 10)["/"]
    assert value is not None
    # The pipe, and the folder that was just listed, which takes the lowest number: 0.
    descriptors = value.error.removeprefix("open: ").split(",")
    assert len(descriptors) == 2
    assert "1" not in descriptors
    assert "2" not in descriptors


def test_a_named_pipe_does_not_make_it_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert Host().read(str(tmp_path / "pipe")) == ""
    assert Host().read(str(tmp_path)) is None


def test_write_replaces_at_once_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.json"
    assert Host().write(str(path), "one") == ""
    assert Host().write(str(path), "two") == ""
    assert path.read_text() == "two"
    assert path.stat().st_mode & 0o777 == 0o644
    assert os.listdir(path.parent) == ["file.json"]


def test_write_says_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("x")
    assert Host().write(str(tmp_path / "file" / "below"), "text") in ("Not a directory", "File exists")
    path = tmp_path / "kept.json"
    path.write_text("old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_host.os, "replace", full)
    assert Host().write(str(path), "new") == "No space left on device"
    assert path.read_text() == "old"
    assert sorted(os.listdir(tmp_path)) == ["file", "kept.json"]


def test_a_link_at_its_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("precious")
    (tmp_path / "history.json").symlink_to(tmp_path / "victim")
    assert Host().write(str(tmp_path / "history.json"), "text") == ""
    assert (tmp_path / "victim").read_text() == "precious"


def test_the_clock_and_the_kernel_answer() -> None:
    error = Host().clock_error()
    assert error is not None and 0 <= error <= 16
    records = Host().kernel_records(limit=3)
    assert records is None or all(";" in record for record in records)
