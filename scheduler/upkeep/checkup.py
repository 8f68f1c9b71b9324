# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Upkeep needs, and whether it is there: on this controller, and on the hosts of an inventory."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import clean_line

from . import config as configuration
from . import paths
from .errors import UpkeepError
from .service.unit import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from .config import Config
    from .running.runner import Event
    from .secret import SecretPlace

OK, HINT, MISSING = "ok", "hint", "missing"

ROOM = 500 * 1024 * 1024
"""Bytes that UPKEEP_HOME's disk should have left: a run of a thousand hosts leaves some 20 MB."""
HOSTS_TIME_LIMIT = 300.0
"""Seconds for the whole round of the hosts."""
TEMPORARY_ROOM = 20 * 1024
"""KiB (as df -Pk counts) that a host's /tmp should have left: a module with what it imports is a file of less than
1 MiB, and Ansible lays some of them there for each task; the rest is for the programs that they call."""
PYTHON_MIN = (3, 8)
"""Of a host: what ansible-core 2.17 to 2.19 need there (2.17: 3.7, 2.18 and 2.19: 3.8)."""


@dataclass(frozen=True)
class Row:
    """One thing that was looked at."""

    area: str
    """What needs it: everything, ssh, weekly, capacity…"""
    where: str
    """"controller", or a host."""
    item: str
    state: str
    """ok | hint (goes without, with less) | missing."""
    found: str
    remedy: str = ""
    unreachable: bool = False


def controller(given_config: str | None) -> tuple[list[Row], Config | None]:
    """What this machine needs; and the configuration, if it can be read."""
    rows = [_python(), _distribution("ansible-core", (2, 17)), _distribution("ansible-runner", (2, 4)), *_collection()]
    config: Config | None = None
    try:
        config = configuration.load(given_config)
        rows.append(_row("configuration", OK, str(config.path or "none: the defaults hold")))
    except UpkeepError as error:
        rows.append(_row("configuration", MISSING, error.what, error.remedy))
    if config is not None:
        rows += [_store(config), *_playbooks(config), *_channels(config), *_ticket_systems(config)]
    rows += [_room(), _ssh(), _clock(), _rights()]
    return rows, config


def _row(item: str, state: str, found: str, remedy: str = "", area: str = "everything") -> Row:
    return Row(area, "controller", item, state, clean_line(found, 300), "" if state == OK else remedy)


def _python() -> Row:
    return _row("Python", OK, f"{'.'.join(map(str, sys.version_info[:3]))} ({sys.executable})")


def _distribution(name: str, least: tuple[int, int]) -> Row:
    wanted = ".".join(map(str, least))
    remedy = f"{sys.executable} -m pip install '{name}>={wanted}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return _row(name, MISSING, "not installed beside Upkeep", remedy)
    new_enough = tuple(int(part) for part in re.findall(r"\d+", version)[:2]) >= least
    return _row(name, OK if new_enough else MISSING, version, f"{remedy}   ({wanted} is the oldest that will do)")


def _collection() -> Iterator[Row]:
    try:
        ours = paths.collection()
    except UpkeepError as error:
        yield _row("collection upkeep.maintenance", MISSING, error.found, error.remedy)
        return
    yield _row("collection upkeep.maintenance", OK, str(ours))
    # Ansible takes the first one on its own path, which comes before Python's: an old copy there would win in silence.
    given = os.environ.get("ANSIBLE_COLLECTIONS_PATH", "~/.ansible/collections:/usr/share/ansible/collections")
    for folder in given.split(":"):
        other = Path(folder).expanduser() / "ansible_collections" / "upkeep" / "maintenance"
        if folder and other.is_dir() and other.resolve() != ours.resolve():
            yield _row(
                "collection upkeep.maintenance",
                HINT,
                f"a second one, which Ansible takes before this one: {other}",
                "remove it, unless it is meant",
            )


def _store(config: Config) -> Row:
    from .store import open_store

    try:
        with open_store(config.store_url, config.home) as store:
            store.check_writable()
            return _row("store", OK, store.url)
    except UpkeepError as error:
        return _row("store", MISSING, ": ".join(filter(None, [error.what, error.found])), error.remedy)


def _playbooks(config: Config) -> Iterator[Row]:
    for job in config.jobs.values():
        path = paths.playbook_file(job.playbook)
        if path is not None and not path.is_file():
            yield _row("playbook", MISSING, f"{path} is not there", f"correct playbook of the job {job.name}", job.name)


def _channels(config: Config) -> Iterator[Row]:
    """Whether the URLs of the notification can be read by this user, and are ones of apprise's. Nothing is sent."""
    settings = config.notify
    if settings is None or not settings.channels:
        yield _row(
            "channels", OK, "none is configured: nobody is told of tickets (docs/notifications.md)", area="notify"
        )
    for channel in settings.channels.values() if settings else ():
        from .notify.senders import instantiate
        from .outbox import Held

        for queue, place in zip(channel.queues(), channel.urls, strict=True):
            item = f"channel {queue.removeprefix('notify:')}"
            try:
                plugin = instantiate(place.read(), place)
            except UpkeepError as error:
                yield _secret(item, place, error, "notify")
            except Held as error:
                yield _row(item, MISSING, str(error), f"then: upkeep notify test {channel.name}", "notify")
            else:
                yield _row(
                    item,
                    OK,
                    f"{plugin.service_name}, URL from {place}; to try it: upkeep notify test {channel.name}",
                    area="notify",
                )
    if settings and settings.heartbeat:
        yield _secrets("heartbeat", {"URL": settings.heartbeat.url}, "", "", "notify")


def _ticket_systems(config: Config) -> Iterator[Row]:
    """Whether the secrets of the ticket systems are there. Nothing goes over the network: that is what probe is for."""
    for one in config.ticket_systems.values():
        ask = f"; to ask it: upkeep ticket-systems probe {one.name}"
        yield _secrets(f"ticket system {one.name}", one.places, f"{one.kind} at {one.url}, ", ask, "ticket systems")


def _secrets(item: str, places: Mapping[str, SecretPlace], before: str, after: str, area: str) -> Row:
    """One row for all secrets of something: the first that is not there, or where they are from."""
    for place in places.values():
        try:
            place.read()
        except UpkeepError as error:
            row = _secret(item, place, error, area)
            if row.state != OK:
                return row
    return _row(
        item, OK, f"{before}{', '.join(f'{name} from {place}' for name, place in places.items())}{after}", area=area
    )


def _secret(item: str, place: SecretPlace, error: UpkeepError, area: str) -> Row:
    """A secret that this user cannot read. Only the service need know it: who asks may be somebody else."""
    if place.kind == "env":
        try:
            lines = Path(ENVIRONMENT).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            lines = []
        if any(re.match(rf"\s*{re.escape(place.name)}=.*[^\s\"']", line) for line in lines):
            return _row(item, OK, f"{place} is set for the service, in {ENVIRONMENT}", area=area)
        remedy = f"set it for the user that Upkeep runs as; for the service: in {ENVIRONMENT}"
    else:
        remedy = f"put it into {place.name}, so that the user that Upkeep runs as can read it"
    return _row(item, HINT, f"the secret {place} is not there: {error.found}", remedy, area)


def _room() -> Row:
    folder = paths.home()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 1024**3:.1f} GiB free in {folder}"
    return _row(
        "room", OK if free >= ROOM else MISSING, found, f"free at least {ROOM // 1024**2} MiB there, or set UPKEEP_HOME"
    )


def _ssh() -> Row:
    path = shutil.which("ssh")
    if path:
        return _row("ssh", OK, path, area="hosts over SSH")
    return _row(
        "ssh", HINT, "not there", "apt-get install openssh-client   (or dnf install openssh-clients)", "hosts over SSH"
    )


def _clock() -> Row:
    try:
        said = subprocess.run(
            ["timedatectl", "show", "-p", "NTPSynchronized", "--value"],
            capture_output=True,
            text=True,
            timeout=5,
            check=False,
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    remedy = "apt-get install systemd-timesyncd   (SLA clocks and schedules go by this machine's clock)"
    if said == "yes":
        return _row("clock", OK, "synchronised", area="tickets, schedules")
    found = "not synchronised" if said == "no" else "no timedatectl to ask: whether it is synchronised is unknown"
    return _row("clock", HINT, found, remedy, "tickets, schedules")


def _rights() -> Row:
    if os.geteuid() == 0:
        return _row("rights", OK, "root", area="this machine")
    try:
        allowed = subprocess.run(["sudo", "-n", "true"], capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        allowed = False
    if allowed:
        return _row("rights", OK, "sudo that asks for nothing", area="this machine")
    found = "neither root, nor sudo that asks for nothing; what this leaves unseen on this machine is told by each run"
    return _row("rights", HINT, found, "run it as root, or give this user sudo rights", "this machine")


# --- hosts ------------------------------------------------------------------------------------------------------------

# Plain POSIX sh over `raw`: it works where there is no Python, which is one of the questions.
_SCRIPT = r"""
echo upkeep-checkup
echo "uid=$(id -u)"
for p in {{ python }} python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python3 \
    /usr/libexec/platform-python; do
  v=$("$p" -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null) && echo "python=$v $p" && break
done
for m in apt-get dnf yum zypper pacman apk; do command -v $m >/dev/null 2>&1 && echo "manager=$m" && break; done
PATH=$PATH:/usr/sbin:/sbin
for t in smartctl; do command -v $t >/dev/null 2>&1 && echo "has=$t"; done
df -Pk /tmp 2>/dev/null | awk 'NR==2 {print "room=" $4}'
exit 0
"""

_PLAYBOOK = """\
- name: Look at the hosts
  hosts: all
  gather_facts: false
  tasks:
    - name: look
      ansible.builtin.raw: |
{script}
      vars:
        python: >-
          {{{{ ansible_python_interpreter | default('python3') | string is match('auto') | ternary('python3',
          ansible_python_interpreter | default('python3')) | quote }}}}
      changed_when: false
      ignore_unreachable: false
    - name: become
      ansible.builtin.raw: id -u
      become: true
      changed_when: false
      ignore_errors: true
"""


def hosts(config: Config, inventory: tuple[str, ...], watch: Callable[[Event], None]) -> list[Row]:
    """What the hosts of an inventory need, asked in one run. Raises UpkeepError when it could not be carried out."""
    from .running import runner

    looks: dict[str, Mapping[str, str]] = {}
    becomes: dict[str, str] = {}
    gone: dict[str, str] = {}

    def collect(event: Event) -> None:
        watch(event)
        data: Mapping[str, Any] = event.get("event_data") or {}
        name, host, task = event.get("event"), clean_line(data.get("host", ""), 200), data.get("task")
        result = data.get("res") or {}
        if name == "runner_on_unreachable":
            gone[host] = _first_line(result)
        elif name == "runner_on_ok" and task == "look":
            looks[host] = _parse(str(result.get("stdout", "")))
        elif name == "runner_on_failed" and task == "look":
            gone[host] = _first_line(result)
        elif name in ("runner_on_ok", "runner_on_failed") and task == "become":
            becomes[host] = "" if str(result.get("stdout", "")).strip().endswith("0") else _first_line(result)

    with tempfile.TemporaryDirectory(prefix="upkeep-checkup-") as place:
        folder = Path(place)
        playbook = folder / "checkup.yml"
        script = "\n".join(" " * 8 + line for line in _SCRIPT.strip().splitlines())
        playbook.write_text(_PLAYBOOK.format(script=script), encoding="utf-8")
        plan = runner.Plan(str(playbook), inventory, forks=20, time_limit=HOSTS_TIME_LIMIT)
        outcome = runner.carry_out(plan, folder, str(uuid.uuid4()), time.time(), collect)
    if outcome.error and not looks and not gone:
        raise outcome.error
    rows: list[Row] = []
    for host in sorted({*looks, *gone, *outcome.harvest.hosts}):
        if host in gone or host not in looks:
            why = gone.get(host) or (outcome.error.what if outcome.error else "no answer")
            rows.append(
                Row(
                    "everything",
                    host,
                    "sudo" if "sudo" in why or "become" in why.lower() else "connection",
                    MISSING,
                    why,
                    f"ansible -i INVENTORY {host} -m ansible.builtin.ping -vvv",
                    True,
                )
            )
        else:
            rows += _host_rows(host, looks[host], becomes.get(host, "not asked"))
    if outcome.error:
        rows.append(Row("everything", "all hosts", "round", MISSING, outcome.error.what, outcome.error.remedy, True))
    return rows


def _host_rows(host: str, look: Mapping[str, str], become: str) -> Iterator[Row]:
    def row(area: str, item: str, good: bool, found: str, remedy: str, bad: str = MISSING) -> Row:
        return Row(area, host, item, OK if good else bad, clean_line(found, 300), "" if good else remedy)

    version = look.get("python", "")
    numbers = tuple(int(part) for part in re.findall(r"\d+", version.split(" ")[0])[:2])
    least = ".".join(map(str, PYTHON_MIN))
    yield row(
        "everything",
        "Python",
        numbers >= PYTHON_MIN,
        version or "none",
        f"install Python {least} or newer, or set ansible_python_interpreter to where one is",
    )
    root = look.get("uid") == "0" or become == ""
    yield row(
        "everything",
        "root rights",
        root,
        "root" if look.get("uid") == "0" else "by become" if root else f"uid {look.get('uid', '?')}; become: {become}",
        "give the connecting user sudo rights, or a become password (ansible_become_password, from a vault)",
        # Without them a review runs, and says itself what it could not see.
        HINT,
    )
    manager = look.get("manager", "none")
    yield row(
        "patch_state",
        "package manager",
        manager in ("apt-get", "dnf"),
        manager,
        "apt and dnf are understood; watch the patches of this host by other means",
        HINT,
    )
    smart = "smartctl" in look.get("has", "")
    yield row(
        "capacity",
        "smartctl",
        smart,
        "there" if smart else "not there",
        "install smartmontools where the disks are real: without it their own health is not read",
        HINT,
    )
    room = int(look["room"]) if look.get("room", "").isdigit() else None
    yield row(
        "everything",
        "room in /tmp",
        room is None or room >= TEMPORARY_ROOM,
        "unknown" if room is None else f"{room // 1024} MiB",
        "free some: Ansible puts its modules there",
    )


def _parse(text: str) -> dict[str, str]:
    """``key=value`` lines behind our mark (a login message may stand before it); the last value of a key holds."""
    lines = text[-20_000:].replace("\r", "").partition("upkeep-checkup\n")[2].splitlines()
    return {key: clean_line(value, 200) for key, mark, value in (line.partition("=") for line in lines) if mark}


def _first_line(result: Mapping[str, Any]) -> str:
    for key in ("msg", "module_stderr", "stderr", "stdout", "module_stdout"):
        lines = [line for line in str(result.get(key) or "").splitlines() if line.strip()]
        if lines and lines[0] != "non-zero return code":
            return str(clean_line(lines[0], 300))
    return "no message"
