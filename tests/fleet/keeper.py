# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process that holds a fleet, and its children: one for each host, one for the package repository.

Every namespace and mount of the fleet belongs to these processes and to nothing else: no name under /run/netns, no
mount in the machine's own table, no bridge in the machine's own network. So whatever kills them, the kernel takes all
of it away, and only folders and empty control groups can be left, which `gc` clears.

    machine ── upkeepN ══ uplink ─ switch (in the keeper's namespace) ─ one cable a host ══ eth0
                                     └ 10.213.N.2:80 the package repository
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from . import cgroup, server
from .repository import HOSTNAME
from .state import GATEWAY, SERVER, FleetState, HostState
from .system import (
    CLONE_NEWNET,
    CLONE_NEWNS,
    FleetError,
    alive,
    die_with_parent,
    enter_netns,
    identity,
    run,
    start_time,
    unshare,
)

REBOOT = 133  # what nspawn ends with, under --keep-unit, when the host asked for a reboot


def keep(home: Path, name: str) -> None:
    """Bring a fleet up and hold it until SIGTERM, its owner's end or its time limit. Runs as `fleet keeper`."""
    fleet = FleetState.load(home, name)
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cgroup.enter(f"{fleet.group}/keeper")
    fleet.keeper = identity(os.getpid())
    fleet.save()
    raise_limits()
    machine = os.open("/proc/self/ns/net", os.O_RDONLY)
    unshare(CLONE_NEWNET)
    _lay_network(fleet, machine)
    _start_server(fleet)
    ready = [_start_host(fleet, host) for host in fleet.hosts]
    pids = [int(os.read(asked, 32)) for asked, _ in ready]
    cables = []
    for host, pid in zip(fleet.hosts, pids, strict=True):
        cables.append(f"link add name {host.name} type veth peer name eth0 netns {pid}")
        cables.append(f"link set dev {host.name} master switch up")
    run(["ip", "-batch", "-"], input="\n".join(cables) + "\n")
    for _, answer in ready:
        os.write(answer, b"go")
    print("all hosts started", flush=True)
    while not stop:
        time.sleep(0.2)
        with contextlib.suppress(ChildProcessError):
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid:
                print(f"child {pid} ended with {status}", flush=True)
        if fleet.owner and not alive(fleet.owner):
            print("the owner has gone", flush=True)
            break
        if fleet.expires and time.time() > fleet.expires:
            print("its time is over", flush=True)
            break

    def move_out() -> None:
        enter_netns(machine)
        cgroup.leave()

    # A process of its own clears away, since it must outlive this one.
    subprocess.Popen(
        [sys.executable, Path(__file__).with_name("fleet"), "--home", str(home), "down", name],
        stdin=subprocess.DEVNULL, start_new_session=True,
        preexec_fn=move_out,
    )  # fmt: skip


def raise_limits() -> None:
    """Room for many systemds on one machine: at the usual 128 inotify instances the sixth host's sshd dies."""
    for limit, wanted in (("max_user_instances", 8192), ("max_user_watches", 524288)):
        path = Path("/proc/sys/fs/inotify") / limit
        if int(path.read_text()) < wanted:
            path.write_text(str(wanted))


def _lay_network(fleet: FleetState, machine: int) -> None:
    # Forwarding off on the machine's end: the hosts have a default route, and it leads nowhere.
    outside = [
        f"link add {fleet.interface} type veth peer name uplink netns {os.getpid()}",
        f"address add {fleet.address(GATEWAY)}/24 dev {fleet.interface}",
        f"link set {fleet.interface} up",
    ]
    _outside(machine, ["ip", "-batch", "-"], "\n".join(outside) + "\n")
    _outside(machine, ["sh", "-c", f"echo 0 > /proc/sys/net/ipv4/conf/{fleet.interface}/forwarding"], "")
    inside = [
        "link add switch type bridge forward_delay 0 mcast_snooping 0",
        f"address add {fleet.address(SERVER)}/24 dev switch",
        "link set lo up",
        "link set switch up",
        "link set uplink master switch up",
    ]
    run(["ip", "-batch", "-"], input="\n".join(inside) + "\n")


def _outside(machine: int, args: list[str], text: str) -> None:
    run(args, input=text, preexec_fn=lambda: enter_netns(machine))


def _start_server(fleet: FleetState) -> None:
    if os.fork():
        return
    die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        server.serve((fleet.address(SERVER), 80), fleet.repo / "current", fleet.repo / "control")
    finally:
        os._exit(1)


def _start_host(fleet: FleetState, host: HostState) -> tuple[int, int]:
    """Fork the child that keeps one host; (it says its pid there, it waits for a word here)."""
    asked_read, asked_write = os.pipe()
    answer_read, answer_write = os.pipe()
    if os.fork():
        os.close(asked_write)
        os.close(answer_read)
        return asked_read, answer_write
    try:
        die_with_parent()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        cgroup.enter(f"{fleet.group}/{host.name}")
        unshare(CLONE_NEWNS | CLONE_NEWNET)
        os.write(asked_write, str(os.getpid()).encode())
        os.read(answer_read, 2)
        _keep_host(fleet, host)
    except (OSError, FleetError) as error:
        print(f"{host.name}: {error}", flush=True)
        (fleet.host_folder(host.name) / "hold").write_text(f"could not be started: {error}\n")
    finally:
        os._exit(1)


def _keep_host(fleet: FleetState, host: HostState) -> None:
    folder = fleet.host_folder(host.name)
    root = folder / "root"
    run(["mount", "--make-rprivate", "/"])
    options = f"lowerdir={':'.join(fleet.layers[host.flavour])},upperdir={folder}/upper,workdir={folder}/work,volatile"
    run(["mount", "-t", "overlay", f"fleet-{host.name}", "-o", options, root])
    # nspawn keeps notes there; on a file system of our own they go when we go.
    os.makedirs("/run/systemd/nspawn", exist_ok=True)
    run(["mount", "-t", "tmpfs", "tmpfs", "/run/systemd/nspawn"])
    cable = [
        "link set lo up",
        f"address add {host.address}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {fleet.address(GATEWAY)}",
    ]
    run(["ip", "-batch", "-"], input="\n".join(cable) + "\n")
    _make_personal(fleet, host, root)
    hold = folder / "hold"
    machine = f"{fleet.name}-{host.name}".replace("_", "-")
    command = [
        # A process namespace around nspawn: killed, it leaves the host's systemd running otherwise.
        "unshare", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc",
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", f"--machine={machine}",
        f"--hostname={host.name}", f"--directory={root}", "--network-namespace-path=/proc/self/ns/net",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
        # Reading the state of the clock is allowed on a real host; setting it stays forbidden for want of CAP_SYS_TIME.
        "--system-call-filter=adjtimex clock_adjtime", "--boot",
    ]  # fmt: skip
    while True:
        while hold.exists():
            time.sleep(0.05)
        with (folder / "console.log").open("ab") as console:
            began = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, preexec_fn=die_with_parent
            )
            (folder / "boot").write_text(f"{began.pid} {start_time(began.pid)}")
            ended = began.wait()
            console.write(f"\n-- the host ended with {ended} at {time.strftime('%H:%M:%S')}\n".encode())
        if ended != REBOOT and not hold.exists():
            hold.write_text("switched itself off\n" if ended == 0 else f"ended by itself with {ended}\n")


def _make_personal(fleet: FleetState, host: HostState, root: Path) -> None:
    """What tells this host from its siblings: names, keys, machine-id."""
    (root / "etc/hostname").write_text(host.name + "\n")
    # Without its own name here, dnf asks the network for it and waits 10 s.
    lines = ["127.0.0.1 localhost", f"127.0.1.1 {host.name}", f"{fleet.address(SERVER)} {HOSTNAME}"]
    lines += [f"{other.address} {other.name}" for other in fleet.hosts if other is not host]
    (root / "etc/hosts").write_text("\n".join(lines) + "\n")
    with contextlib.suppress(FileNotFoundError):
        (root / "etc/resolv.conf").unlink()
    (root / "etc/resolv.conf").write_text("# no name server: see /etc/hosts\n")
    # Empty or missing, systemd would take this for a first boot and enable every unit anew.
    (root / "etc/machine-id").write_bytes(os.urandom(16).hex().encode() + b"\n")
    folder = fleet.host_folder(host.name)
    for name in ("ssh_host_ed25519_key", "ssh_host_ed25519_key.pub"):
        shutil.copy(folder / name, root / "etc/ssh" / name)
    public = (fleet.folder / "key.pub").read_text()
    for home in ("root", "home/ops", "home/nosudo"):
        file = root / home / ".ssh/authorized_keys"
        file.write_text(public)
        owner = (root / home).stat()
        os.chown(file, owner.st_uid, owner.st_gid)
