# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fleets as wholes: up, down, gc, and their package repository."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import cgroup, repository, server, state
from .host import Host
from .image import Images
from .repository import Published
from .state import FIRST_HOST, LAST_HOST, NETWORK, FleetState, HostState, check_name
from .system import FleetError, check_machine, identity, locked, run, usual_umask, wait_for

Say = Callable[[str], None]


def _silent(line: str) -> None:
    return None


class Fleet:
    """A fleet that is up. Get one from `up` or `get`."""

    def __init__(self, fleet: FleetState) -> None:
        self.state = fleet
        self.name = fleet.name
        self.folder = fleet.folder
        self.hosts = [Host(fleet, h) for h in fleet.hosts]
        self.ansible_inventory = fleet.folder / "inventory.yml"
        self.repo = Repo(fleet)

    def __getitem__(self, name: str) -> Host:
        for host in self.hosts:
            if host.name == name:
                return host
        raise FleetError(f"Fleet {self.name} has no host {name!r}. It has: {', '.join(h.name for h in self.hosts)}.")

    def down(self) -> None:
        """Take it down, with everything that it left anywhere."""
        down(self.state.home, self.name)


class Repo:
    """The package repositories of one fleet: what is published, and what is wrong with them."""

    def __init__(self, fleet: FleetState) -> None:
        self._fleet = fleet
        self._file = fleet.repo / "published.json"

    @property
    def published(self) -> Published:
        """What is on offer now."""
        return Published.load(self._file)

    @property
    def log(self) -> str:
        """Every request so far."""
        path = self._fleet.repo / "repository.log"
        return path.read_text() if path.exists() else ""

    def publish(self, generation: str = "v2", *names: str, everything: bool = False) -> None:
        """Bring version 2 of these packages, or of all harmless ones; `v1` takes it back."""
        published = self.published
        published.publish(generation, list(names), everything)
        self._render(published)

    def withdraw(self, *names: str) -> None:
        """Version 1 of these goes from the mirror."""
        published = self.published
        published.withdrawn = sorted({*published.withdrawn, *names})
        self._render(published)

    def expire(self, days: float = 1.0) -> None:
        """Valid-Until was so many days ago."""
        published = self.published
        published.expired_days = days
        self._render(published)

    def fresh(self) -> None:
        """No Valid-Until, and dated now."""
        published = self.published
        published.expired_days = None
        self._render(published)

    def sign(self, how: str = "good") -> None:
        """good, broken (changed after signing), unknown-key, or none (no InRelease)."""
        if how not in ("good", "broken", "unknown-key", "none"):
            raise FleetError(f"A signature is good, broken, unknown-key or none, not {how!r}.")
        published = self.published
        published.signature = how
        self._render(published)

    def up(self) -> None:
        """Answer properly again."""
        self._faults({})

    def down(self) -> None:
        """Refuse connections."""
        self._faults({"": "down"})

    def hang(self, path: str = "/") -> None:
        """Take requests below a path and never answer them."""
        self._faults({path: "hang"})

    def error(self, status: int = 503, path: str = "/") -> None:
        """Answer requests below a path with an HTTP error."""
        self._faults({path: str(status)})

    def _faults(self, faults: dict[str, str]) -> None:
        control = self._fleet.repo / "control"
        applied = control.with_suffix(".applied")
        server.write_faults(control, faults)

        def in_force() -> bool:
            return applied.exists() and server.read_faults(applied) == faults

        if not wait_for(in_force, 5):
            log = self._fleet.folder / "keeper.log"
            raise FleetError(f"The repository server of {self._fleet.name} does not run; see {log}")

    def _render(self, published: Published) -> None:
        trees = self._fleet.repo / "trees"
        with locked(self._fleet.repo / "lock"):
            last = max(int(p.name) for p in trees.iterdir()) if trees.is_dir() else 0
            new = trees / str(last + 1)
            trees.mkdir(exist_ok=True)
            repository.render(Path((self._fleet.repo / "source").readlink()), new, published)
            published.save(self._file)
            _point(self._fleet.repo / "current", new)
            for old in trees.iterdir():
                if int(old.name) < last:
                    shutil.rmtree(old)


def _point(link: Path, target: Path) -> None:
    new = link.with_name(link.name + ".new")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    os.replace(new, link)


# -- up, down, gc ------------------------------------------------------------


def parse_hosts(text: str, flavour: str) -> list[tuple[str, str]]:
    """`web1,db1:dnf` as (name, flavour); a flavour that is not given is `flavour`."""
    hosts = []
    for word in filter(None, (w.strip() for w in text.split(","))):
        name, _, own = word.partition(":")
        hosts.append((check_name("host", name), own or flavour))
    twice = {n for n, _ in hosts if [m for m, _ in hosts].count(n) > 1}
    # These are ends of cables in the same namespace.
    twice |= {n for n, _ in hosts if n in ("switch", "uplink", "lo", "all", "ungrouped")}
    if twice or not hosts:
        which = ", ".join(sorted(twice)) or "(none given)"
        raise FleetError(f"These names of hosts are twice there or reserved: {which}.")
    return hosts


def up(
    home: Path,
    name: str,
    hosts: Sequence[tuple[str, str]],
    *,
    owner_pid: int | None = None,
    hours: float | None = None,
    timeout: float = 60,
    say: Say = _silent,
) -> Fleet:
    """Make a fleet and wait until every host answers on SSH; what an earlier one of this name left goes first.

    owner_pid: when this process ends, however it ends, the fleet goes too. hours: it goes after so many.
    """
    check_machine()
    check_name("fleet", name)
    if len(hosts) > LAST_HOST - FIRST_HOST:
        raise FleetError(f"A fleet has room for {LAST_HOST - FIRST_HOST} hosts, not for {len(hosts)}.")
    gc(home)
    owner = identity(owner_pid) if owner_pid else None
    fleet = FleetState(home, name, owner=owner, created=time.time())
    with locked(fleet.lock), usual_umask():
        _take_down(home, name)
        try:
            images = Images(home, say)
            fleet.layers = {f: [str(p) for p in images.layers(f)] for f in sorted({f for _, f in hosts})}
            began = time.monotonic()
            fleet.expires = time.time() + hours * 3600 if hours else None
            _claim_number(fleet, hosts)
            _write_keys(fleet)
            write_inventory(fleet)
            fleet.repo.mkdir()
            (fleet.repo / "source").symlink_to(images.packages())
            (fleet.repo / "current").symlink_to(images.tree())
            for host in fleet.hosts:
                for part in ("upper", "work", "root"):
                    (fleet.host_folder(host.name) / part).mkdir(parents=True)
            _start_keeper(fleet)
            fleet = FleetState.load(home, name)
            _wait_until_ready(Fleet(fleet), timeout)
            say(f"{len(hosts)} host{'s' * (len(hosts) > 1)} up in {time.monotonic() - began:.1f} s")
        except BaseException:
            _take_down(home, name)
            raise
    return Fleet(fleet)


def get(home: Path, name: str) -> Fleet:
    """The fleet of this name; FleetError unless it is up."""
    fleet = FleetState.load(home, name)
    if not fleet.running():
        raise FleetError(f"Fleet {name} is not up any more. Clear it away with: fleet gc")
    return Fleet(fleet)


def down(home: Path, name: str) -> None:
    """Take a fleet down, whatever state it is in. No such fleet is fine."""
    check_name("fleet", name)
    with locked(FleetState(home, name).lock):
        _take_down(home, name)


def gc(home: Path) -> list[str]:
    """Take down every fleet whose holder or owner has gone, and half-built images; what was cleared."""
    cleared = []
    found = set(state.names(home))
    with contextlib.suppress(FleetError):
        for top in cgroup.hierarchies():
            above = top / cgroup.all_fleets(home)
            found |= {p.name for p in above.iterdir() if p.is_dir()} if above.is_dir() else set()
    for name in sorted(found):
        with locked(FleetState(home, name).lock, wait=False) as got:
            if got is None:
                continue
            try:
                if FleetState.load(home, name).running():
                    continue
            except FleetError:
                pass
            _take_down(home, name)
            cleared.append(f"fleet {name}")
    return cleared + [f"image {name}" for name in Images(home).sweep(images_in_use(home))]


def images_in_use(home: Path) -> set[str]:
    """Names of the image folders under a running fleet."""
    used = set()
    for fleet in state.load_all(home):
        used |= {Path(p).parent.name for lower in fleet.layers.values() for p in lower}
        for link in ("source", "current"):
            with contextlib.suppress(OSError):
                target = (fleet.repo / link).readlink()
                used |= {target.name, target.parent.name}
    return used


LINK_SECONDS = 5.0
"""How long the kernel may take to remove the links of a namespace; usually some hundredths of a second."""


def _take_down(home: Path, name: str) -> None:
    folder = home / "fleets" / name
    group = FleetState(home, name).group
    link = None
    with contextlib.suppress(FleetError):
        link = Path("/sys/class/net") / FleetState.load(home, name).interface
    for socket in (folder / "cp").glob("*"):
        # Ansible's shared connections would outlive their hosts.
        run(["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "fleet"], check=False, timeout=5)
    cgroup.destroy(group)
    # The kernel takes the links of a namespace that has died a moment later; after `down` nothing must be found.
    end = time.monotonic() + LINK_SECONDS
    while link is not None and link.exists() and time.monotonic() < end:
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        shutil.rmtree(folder)
    cgroup.sweep(home)


def _claim_number(fleet: FleetState, hosts: Sequence[tuple[str, str]]) -> None:
    """Choose a free network and write the state down, so that nobody else chooses it."""
    with locked(fleet.home / "fleets" / ".locks" / "-numbers"):
        taken = {other.number for other in state.load_all(fleet.home)}
        seen = run(["ip", "-4", "-o", "address"]).stdout + run(["ip", "-4", "route", "show", "table", "all"]).stdout
        taken |= {int(n) for n in re.findall(rf"\b{re.escape(NETWORK)}\.(\d+)\.", seen)}
        taken |= {int(n) for n in re.findall(r"\bupkeep(\d+)\b", run(["ip", "-o", "link"]).stdout)}
        free = [n for n in range(1, 255) if n not in taken]
        if not free:
            raise FleetError(f"All networks of {NETWORK}.0.0/16 are taken. Take one down: fleet list, fleet down NAME")
        fleet.number = free[0]
        fleet.hosts = [
            HostState(name, flavour, fleet.address(FIRST_HOST + n)) for n, (name, flavour) in enumerate(hosts)
        ]
        fleet.save()


def _write_keys(fleet: FleetState) -> None:
    """One key pair for the user, one for each host; known_hosts, so that checking host keys stays on."""
    keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"fleet {fleet.name}", "-f"]
    run([*keygen, fleet.folder / "key"])
    known = []
    for host in fleet.hosts:
        folder = fleet.host_folder(host.name)
        folder.mkdir(parents=True)
        run([*keygen, folder / "ssh_host_ed25519_key"])
        kind, key = (folder / "ssh_host_ed25519_key.pub").read_text().split()[:2]
        known.append(f"{host.address},{host.name} {kind} {key}\n")
    (fleet.folder / "known_hosts").write_text("".join(known))
    (fleet.folder / "cp").mkdir(mode=0o700)


def write_inventory(fleet: FleetState) -> None:
    """inventory.yml for ansible-playbook -i, and ssh_config for ssh -F."""
    ssh = (
        f"-o UserKnownHostsFile={fleet.folder}/known_hosts -o GlobalKnownHostsFile=/dev/null "
        "-o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
    )
    out = [
        f"# The hosts of the test fleet {fleet.name}; written by `fleet up`.",
        "all:",
        "  vars:",
        "    ansible_user: ops",
        "    ansible_become: true",
        f"    ansible_ssh_private_key_file: {fleet.folder}/key",
        f"    ansible_ssh_common_args: {ssh}",
        f"    ansible_control_path_dir: {fleet.folder}/cp",
        "    ansible_python_interpreter: /usr/bin/python3",
        "    ansible_pipelining: true",
        "    ansible_ssh_pipelining: true",
        f"    fleet_name: {fleet.name}",
        f"    fleet_repository: http://{repository.HOSTNAME}/",
        "  children:",
    ]
    for flavour in sorted({h.flavour for h in fleet.hosts}):
        out += [f"    fleet_{flavour}:", "      hosts:"]
        for host in fleet.hosts:
            if host.flavour == flavour:
                out += [f"        {host.name}:", f"          ansible_host: {host.address}"]
        out += ["      vars:", f"        fleet_flavour: {flavour}"]
        if flavour == "dnf":
            out += ["        patch_state_manager: dnf"]
    (fleet.folder / "inventory.yml").write_text("\n".join(out) + "\n")
    config = [
        "Host " + " ".join(h.name for h in fleet.hosts), "  User ops", f"  IdentityFile {fleet.folder}/key",
        "  IdentitiesOnly yes", f"  UserKnownHostsFile {fleet.folder}/known_hosts", "  GlobalKnownHostsFile /dev/null",
        "  StrictHostKeyChecking yes",
    ]  # fmt: skip
    for host in fleet.hosts:
        config += [f"Host {host.name}", f"  HostName {host.address}"]
    (fleet.folder / "ssh_config").write_text("\n".join(config) + "\n")


def _start_keeper(fleet: FleetState) -> None:
    """A process of its own session and nobody's child: it outlives this command."""
    with (fleet.folder / "keeper.log").open("ab") as log:
        launcher = str(Path(__file__).with_name("fleet"))
        command = [sys.executable, launcher, "--home", str(fleet.home), "keeper", fleet.name]
        subprocess.run(
            ["setsid", "--fork", *command],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=True, cwd="/",
        )  # fmt: skip
    if not wait_for(lambda: FleetState.load(fleet.home, fleet.name).keeper, 10):
        raise FleetError("The keeper did not start:\n" + (fleet.folder / "keeper.log").read_text())


def _wait_until_ready(fleet: Fleet, timeout: float) -> None:
    end = time.monotonic() + timeout
    with ThreadPoolExecutor(32) as pool:
        faults = list(pool.map(lambda host: _fault_of(host, end), fleet.hosts))
    for host, fault in zip(fleet.hosts, faults, strict=True):
        if fault:
            keeper = "\n".join((fleet.folder / "keeper.log").read_text(errors="replace").splitlines()[-15:])
            raise FleetError(
                f"{host.name} {fault}\n-- the end of its console:\n{host.console()}\n-- the keeper's log:\n{keeper}"
            )


def _fault_of(host: Host, end: float) -> str:
    try:
        host.wait_ready(end - time.monotonic())
    except FleetError as error:
        return str(error)
    return ""
