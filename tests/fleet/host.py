# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One host of a fleet, and all that can be done to it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

from . import cgroup
from .breaks import BREAKS
from .state import FleetState, HostState
from .system import FleetError, alive, children, run, wait_for

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "USER": "root",
    "LANG": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive",
}  # fmt: skip
CLOCK_STATES = {"kernel": 0, "synchronised": 1, "unsynchronised": 2}


class Host:
    """A host that is up, or was."""

    def __init__(self, fleet: FleetState, host: HostState) -> None:
        self.fleet = fleet
        self.name = host.name
        self.flavour = host.flavour
        self.address = host.address
        self.folder = fleet.host_folder(host.name)

    # -- running commands ----------------------------------------------------

    def run(
        self, command: str | Sequence[str], *, check: bool = True, input: str | None = None, timeout: float | None = 120
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root in the host, past the network: works with the link down. A string goes to sh."""
        words = ["sh", "-c", command] if isinstance(command, str) else list(command)
        return run([*self._enter(), *words], check=check, input=input, timeout=timeout, env=ENVIRONMENT, cwd="/")

    def ssh(
        self,
        command: str,
        *,
        user: str = "ops",
        check: bool = True,
        input: str | None = None,
        timeout: float | None = 120,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command over SSH as `ops` (sudo), `nosudo` or `root`."""
        return run([*self.ssh_command(user), command], check=check, input=input, timeout=timeout)

    def ssh_command(self, user: str = "ops") -> list[str]:
        """The ssh command line for this host, to add a command to."""
        config = str(self.fleet.folder / "ssh_config")
        return ["ssh", "-F", config, "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-l", user, self.name]

    def exec_command(self) -> list[str]:
        """The command line that enters the host as root, to add a command to."""
        return ["env", "-i", *(f"{k}={v}" for k, v in ENVIRONMENT.items()), *self._enter()]

    def _enter(self) -> list[str]:
        return ["nsenter", "--target", str(self.leader()), "--all", "--root", "--wd", "--"]

    def read(self, path: str) -> str:
        """A file of the host."""
        return self.run(["cat", path]).stdout

    def write(self, path: str, text: str) -> None:
        """Write a file of the host, whole."""
        self.run(["sh", "-c", 'cat > "$1"', "sh", path], input=text)

    # -- life ----------------------------------------------------------------

    def leader(self) -> int:
        """Pid, on the machine, of the host's process 1; FleetError when the host is not running."""
        pid = self._leader()
        if pid is None:
            me, why = f"{self.fleet.name}/{self.name}", ""
            with contextlib.suppress(FileNotFoundError):
                why = f" ({(self.folder / 'hold').read_text().strip()})"
            raise FleetError(f"{self.name} is not running{why}. Start it with: fleet power {me} on")
        return pid

    def _leader(self) -> int | None:
        boot = self._boot()
        # unshare, then nspawn, then the host's systemd: process 1 in a namespace two levels down.
        for nspawn in children(boot[0]) if boot else []:
            for pid in children(nspawn):
                with contextlib.suppress(OSError):
                    status = Path(f"/proc/{pid}/status").read_text()
                    inner = next(line for line in status.splitlines() if line.startswith("NSpid:")).split()
                    if len(inner) == 4 and inner[-1] == "1":
                        return pid
        return None

    def _boot(self) -> list[int] | None:
        """Identity of the process that carries the host from one boot to its end."""
        try:
            who = [int(n) for n in (self.folder / "boot").read_text().split()]
        except (OSError, ValueError):
            return None
        return who if len(who) == 2 and alive(who) else None

    def boot_id(self) -> str:
        """Changes with every boot."""
        return self.read("/proc/sys/kernel/random/boot_id").strip()

    def ready(self) -> bool:
        """Does SSH answer, and may users log in?"""
        leader = self._leader()
        if leader is None or os.path.exists(f"/proc/{leader}/root/run/nologin"):
            return False
        # Between its first breath and the mount of /run, /run/nologin cannot be there yet.
        if not os.path.exists(f"/proc/{leader}/root/run/systemd/units"):
            return False
        try:
            with socket.create_connection((self.address, 22), timeout=1) as line:
                line.settimeout(1)
                return line.recv(4) == b"SSH-"
        except OSError:
            return False

    def wait_ready(self, seconds: float = 60) -> None:
        """Return when SSH answers; FleetError when it does not in time or the host went down."""

        def over() -> bool:
            return self.ready() or (self.folder / "hold").exists()

        wait_for(over, seconds, pause=0.05)
        if not self.ready():
            hold = self.folder / "hold"
            why = f"is held down: {hold.read_text().strip()}" if hold.exists() else f"did not answer in {seconds:.0f} s"
            raise FleetError(f"{self.name} {why}")

    def console(self, lines: int = 25) -> str:
        """The end of what the host printed on its console."""
        with contextlib.suppress(FileNotFoundError):
            return "\n".join((self.folder / "console.log").read_text(errors="replace").splitlines()[-lines:])
        return "(nothing)"

    def reboot(self, wait: bool = True) -> None:
        """`systemctl reboot`; the host comes back by itself, with another boot id."""
        before = self._boot()
        self.run(["systemctl", "reboot"], check=False)
        if wait:
            if not wait_for(lambda: self._boot() not in (before, None) or (self.folder / "hold").exists(), 90):
                raise FleetError(f"{self.name} did not go down in 90 s:\n{self.console()}")
            self.wait_ready()

    def hold(self, why: str = "held by fleet reboot-hold") -> None:
        """From its next reboot the host does not come back, until `release`."""
        (self.folder / "hold").write_text(why + "\n")

    def release(self, wait: bool = True) -> None:
        """Let a held host boot."""
        (self.folder / "hold").unlink(missing_ok=True)
        if wait:
            self.wait_ready()

    def power_off(self) -> None:
        """Pull the plug: no shutdown, and it stays down until `release`."""
        self.hold("switched off by fleet power")
        leader = self._leader()
        if leader is not None:
            os.kill(leader, signal.SIGKILL)
            wait_for(lambda: self._boot() is None, 10)

    # -- faults --------------------------------------------------------------

    def link(self, up: bool) -> None:
        """Plug the network cable in, or pull it: no carrier in the host, no route for who asks."""
        word = "up" if up else "down"
        keeper = self.fleet.keeper
        if not keeper or not alive(keeper):
            raise FleetError(f"Fleet {self.fleet.name} is not up.")
        run(["nsenter", "--target", str(keeper[0]), "--net", "ip", "link", "set", "dev", self.name, word])

    def hang(self, on: bool = True) -> None:
        """Stop every sshd: TCP connects and nothing answers. Off: they go on."""
        signum = signal.SIGSTOP if on else signal.SIGCONT
        stopped = 0
        for pid in cgroup.members(f"{self.fleet.group}/{self.name}"):
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == "sshd":
                    os.kill(pid, signum)
                    stopped += 1
        if not stopped:
            raise FleetError(f"No sshd runs on {self.name}.")

    def fill(self, mount: str, size: str = "16M", percent: float = 97, inodes: bool = False, fs: str = "ext4") -> None:
        """Mount a small file system in the host and use it up to a percentage, of its blocks or of its inodes.

        ext4 stands on a loop device that the host sees as /dev/vdX; it is gone after a reboot, or with `unfill`.
        """
        if not mount.startswith("/") or mount == "/":
            raise FleetError(f"Where the small file system goes is an absolute path in the host, not {mount!r}.")
        self.run(["mkdir", "-p", mount])
        if self.run(["mountpoint", "-q", mount], check=False).returncode == 0:
            raise FleetError(f"Something is mounted on {self.name}:{mount} already. Undo it with: fleet unfill")
        if fs == "tmpfs":
            self.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", mount])
        elif fs == "ext4":
            self._mount_ext4(mount, size)
        else:
            raise FleetError(f"A small file system is ext4 or tmpfs, not {fs!r}.")
        # The kernel leads us through this link into the host's own mounts: no tool is needed there.
        _fill(Path(f"/proc/{self.leader()}/root{mount}"), percent / 100, inodes)

    def _mount_ext4(self, mount: str, size: str) -> None:
        image = self.folder / f"disk-{mount.strip('/').replace('/', '-')}.img"
        image.unlink(missing_ok=True)
        run(["truncate", "-s", size, image])
        run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image])
        loop = run(["losetup", "--find", "--show", image]).stdout.strip()
        try:
            device = os.stat(loop).st_rdev
            major, minor = str(os.major(device)), str(os.minor(device))
            # Named like a disk of a virtual machine, since programs rightly leave loop devices out of account.
            name = self.run(
                ["sh", "-c", 'for l in b c d e f g h i; do [ -e /dev/vd$l ] || break; done; '
                 'mknod -m 660 /dev/vd$l b "$1" "$2" && echo /dev/vd$l', "sh", major, minor]
            ).stdout.strip()  # fmt: skip
            self.run(["mount", "-t", "ext4", name, mount])
        finally:
            # While it is mounted this only marks it to be let go at the umount, and that is what we want.
            run(["losetup", "--detach", loop], check=False)

    def unfill(self, mount: str) -> None:
        """Unmount what `fill` mounted."""
        device = self.run(["findmnt", "-n", "-o", "SOURCE", mount]).stdout.strip()
        self.run(["umount", "--lazy", mount])
        if device.startswith("/dev/vd"):
            self.run(["rm", "-f", device])
        (self.folder / f"disk-{mount.strip('/').replace('/', '-')}.img").unlink(missing_ok=True)

    def clock(self, offset: int | None = None, synchronisation: str | None = None) -> None:
        """Set the wall clock off by seconds, for every process that begins from now on; see packages/clock.c.

        synchronisation: kernel (what the machine says), synchronised, unsynchronised. None keeps what was.
        """
        file = "/etc/upkeep-fleet/clock"
        library = "/usr/lib/upkeep-fleet/clock.so"
        root = Path(f"/proc/{self.leader()}/root")
        if synchronisation is not None and synchronisation not in CLOCK_STATES:
            raise FleetError(f"Synchronisation is {', '.join(CLOCK_STATES)}; not {synchronisation!r}.")
        for path in (file, library):
            (root / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        now = (0, 0)
        if (root / file[1:]).exists():
            now = struct.unpack("=qq", (root / file[1:]).read_bytes())
        value = (
            now[0] if offset is None else offset,
            now[1] if synchronisation is None else CLOCK_STATES[synchronisation],
        )
        # In place: processes have this file mapped.
        fd = os.open(root / file[1:], os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(fd, struct.pack("=qq", *value), 0)
        os.close(fd)
        if not (root / library[1:]).exists():
            source = (self.fleet.repo / "source").resolve() / "clock.so"
            (root / library[1:]).write_bytes(source.read_bytes())
            (root / library[1:]).chmod(0o755)
        (root / "etc/ld.so.preload").write_text(library + "\n")

    def break_(self, fault: str) -> None:
        """Make one of the faults of `breaks.py`."""
        self._break(fault, 0)

    def mend(self, fault: str) -> None:
        """Undo it."""
        self._break(fault, 1)

    def _break(self, fault: str, which: int) -> None:
        if fault not in BREAKS:
            raise FleetError(f"There is no fault {fault!r}. There are: {', '.join(BREAKS)}.")
        self.run("set -eu\n" + BREAKS[fault].scripts[which])


def _fill(folder: Path, part: float, inodes: bool) -> None:
    """Use a file system up until this part of its blocks or inodes is taken."""
    room = os.statvfs(folder)
    filling = folder / "filling"
    filling.mkdir(exist_ok=True)
    with contextlib.suppress(OSError):
        if inodes:
            for number in range(int(room.f_files * part) - (room.f_files - room.f_ffree)):
                (filling / str(number)).touch()
        else:
            with (filling / "data").open("wb", buffering=0) as data:
                block = bytes(room.f_frsize)
                for _ in range(int(room.f_blocks * part) - (room.f_blocks - room.f_bfree)):
                    data.write(block)
