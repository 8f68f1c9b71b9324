# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is written down about a fleet, and where: one folder a fleet, `fleet.json` in it.

fleets/NAME/fleet.json            what it is made of, whose it is
fleets/NAME/key, key.pub          for ssh; known_hosts, inventory.yml, ssh_config beside them
fleets/NAME/keeper.log            of the process that holds the fleet
fleets/NAME/repo/                 the trees of the package repository, `current` is the one served
fleets/NAME/hosts/HOST/           upper, work, root: the overlay; console.log; hold: the host stays down
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

from . import cgroup
from .system import FleetError, alive

NETWORK = "10.213"  # one /24 a fleet: 10.213.NUMBER.0/24
GATEWAY = 1  # the machine
SERVER = 2  # the repository
FIRST_HOST = 11
LAST_HOST = 250

# A host's name is also the name of its end of the cable, and Linux allows 15 characters there. A fleet's name is part
# of the path of a socket, and Linux allows 107 there.
NAMES = {"host": re.compile(r"[a-z][a-z0-9-]{0,14}"), "fleet": re.compile(r"[a-z][a-z0-9_-]{0,29}")}


def default_home() -> Path:
    """The state folder: UPKEEP_FLEET_HOME, or /var/lib/upkeep-fleet."""
    return Path(os.environ.get("UPKEEP_FLEET_HOME") or "/var/lib/upkeep-fleet").absolute()


@dataclass
class HostState:
    """One host as it was asked for."""

    name: str
    flavour: str
    address: str


@dataclass
class FleetState:
    """A fleet as it was asked for, and the processes that hold and own it."""

    home: Path
    name: str
    number: int = 0
    hosts: list[HostState] = field(default_factory=list)
    layers: dict[str, list[str]] = field(default_factory=dict)  # flavour -> lower folders, topmost first
    keeper: list[int] | None = None  # [pid, start]
    owner: list[int] | None = None  # [pid, start]; None: stays until `down`
    expires: float | None = None  # seconds since the epoch
    created: float = 0.0

    @property
    def folder(self) -> Path:
        """Everything of this fleet."""
        return self.home / "fleets" / self.name

    @property
    def interface(self) -> str:
        """The machine's end of the cable to the fleet."""
        return f"upkeep{self.number}"

    @property
    def group(self) -> str:
        """The control group of the whole fleet."""
        return f"{cgroup.all_fleets(self.home)}/{self.name}"

    @property
    def lock(self) -> Path:
        """Held while the fleet is made or taken down."""
        return self.home / "fleets" / ".locks" / self.name

    @property
    def repo(self) -> Path:
        """Of the package repository."""
        return self.folder / "repo"

    def address(self, last: int) -> str:
        """An address in this fleet's network."""
        return f"{NETWORK}.{self.number}.{last}"

    def host_folder(self, host: str) -> Path:
        """Everything of one host."""
        return self.folder / "hosts" / host

    def running(self) -> bool:
        """Is somebody there to hold it, and somebody to use it?"""
        return alive(self.keeper) and (self.owner is None or alive(self.owner))

    def save(self) -> None:
        """Write it down, in one step."""
        self.folder.mkdir(parents=True, exist_ok=True)
        body = asdict(self)
        del body["home"]
        new = self.folder / "fleet.json.new"
        new.write_text(json.dumps(body, indent=1))
        os.replace(new, self.folder / "fleet.json")

    @classmethod
    def load(cls, home: Path, name: str) -> FleetState:
        """Read it; FleetError when there is no such fleet or it was only half made."""
        try:
            body = json.loads((home / "fleets" / name / "fleet.json").read_text())
        except (FileNotFoundError, NotADirectoryError):
            names = ", ".join(s.name for s in load_all(home)) or "none"
            raise FleetError(f"There is no fleet {name!r}. Running: {names}. Make it with: fleet up {name}") from None
        except ValueError:
            file = home / "fleets" / name / "fleet.json"
            raise FleetError(f"{file} is damaged. Clear it away with: fleet down {name}") from None
        body["hosts"] = [HostState(**h) for h in body["hosts"]]
        return cls(home=home, **body)


def names(home: Path) -> list[str]:
    """Every fleet that has a folder, whole or not."""
    folder = home / "fleets"
    return (
        sorted(p.name for p in folder.iterdir() if p.is_dir() and NAMES["fleet"].fullmatch(p.name))
        if folder.is_dir()
        else []
    )


def load_all(home: Path) -> list[FleetState]:
    """Every fleet that can be read."""
    found = []
    for name in names(home):
        if (home / "fleets" / name / "fleet.json").exists():
            try:
                found.append(FleetState.load(home, name))
            except FleetError:
                continue
    return found


def check_name(what: str, name: str) -> str:
    """The name itself; FleetError when it cannot be one."""
    if not NAMES[what].fullmatch(name):
        kinds, most = ("digits and hyphens", 15) if what == "host" else ("digits, hyphens and underscores", 30)
        raise FleetError(
            f"{name!r} cannot be the name of a {what}: a small letter first, then small letters, {kinds}, "
            f"{most} characters at most."
        )
    return name
