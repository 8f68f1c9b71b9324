# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `fleet`: words to calls, and nothing else. Results on standard output, progress on standard error."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import fleets, keeper, state
from .breaks import BREAKS
from .host import CLOCK_STATES, Host
from .image import Images, flavours
from .system import FleetError, check_machine

HOST_HELP = "the host: HOST, or FLEET/HOST when several fleets have it"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done (ssh and exec: the command's own), 1 not done, 2 wrong use."""
    args = _parser().parse_args(argv)
    os.umask(0o022)
    home = Path(args.home).absolute()
    try:
        if args.verb != "inventory":
            check_machine()
        return int(args.do(home, args) or 0)
    except FleetError as error:
        print(f"fleet: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _find(home: Path, text: str) -> Host:
    fleet_name, slash, host_name = text.rpartition("/")
    if slash:
        return fleets.get(home, fleet_name)[host_name]
    having = [f for f in state.load_all(home) if f.running() and any(h.name == text for h in f.hosts)]
    if len(having) == 1:
        return fleets.Fleet(having[0])[text]
    if having:
        raise FleetError(f"Several fleets have a host {text}: say {' or '.join(f'{f.name}/{text}' for f in having)}.")
    raise FleetError(f"No running fleet has a host {text!r}. See: fleet list")


# -- whole fleets ------------------------------------------------------------


def _image(home: Path, args: argparse.Namespace) -> None:
    images = Images(home, _say)
    if args.prune:
        for name in images.prune(fleets.images_in_use(home)):
            print(f"removed {name}")
        return
    for flavour in args.flavour or flavours():
        print(f"{flavour}: {':'.join(map(str, images.layers(flavour)))}")
    images.tree()


def _up(home: Path, args: argparse.Namespace) -> None:
    hosts = fleets.parse_hosts(args.hosts or ",".join(f"web{n + 1}" for n in range(args.number)), args.flavour)
    fleet = fleets.up(
        home, args.name, hosts, owner_pid=args.owner_pid, hours=args.hours, timeout=args.timeout, say=_say
    )
    for host in fleet.hosts:
        print(f"{host.name:15} {host.address:15} {host.flavour}")
    print(f"inventory: {fleet.ansible_inventory}")


def _down(home: Path, args: argparse.Namespace) -> None:
    for name in args.name:
        fleets.down(home, name)


def _list(home: Path, args: argparse.Namespace) -> None:
    for fleet in state.load_all(home):
        owner = "stays until down" if not fleet.owner else f"goes with process {fleet.owner[0]}"
        age = int(time.time() - fleet.created) // 60
        status = "up" if fleet.running() else "lost (fleet gc clears it)"
        print(f"{fleet.name}  {status}  {state.NETWORK}.{fleet.number}.0/24  {owner}  {age} min old")
        for state_of_host in fleet.hosts:
            host = Host(fleet, state_of_host)
            words = "answers" if fleet.running() and host.ready() else "does not answer"
            print(f"  {host.name:15} {host.address:15} {host.flavour:8} {words}")


def _gc(home: Path, args: argparse.Namespace) -> None:
    for what in fleets.gc(home):
        print(f"cleared {what}")


def _inventory(home: Path, args: argparse.Namespace) -> None:
    path = state.FleetState.load(home, args.name).folder / "inventory.yml"
    print(path if args.path else path.read_text(), end="\n" if args.path else "")


def _keeper(home: Path, args: argparse.Namespace) -> None:
    keeper.keep(home, args.name)


# -- one host ----------------------------------------------------------------


def _ssh(home: Path, args: argparse.Namespace) -> int:
    host = _find(home, args.host)
    words = host.ssh_command(args.user)
    command = _command(args)
    return subprocess.run([*words[:-1], *([] if command else ["-t"]), words[-1], *command], check=False).returncode


def _exec(home: Path, args: argparse.Namespace) -> int:
    host = _find(home, args.host)
    return subprocess.run([*host.exec_command(), *(_command(args) or ["bash"])], cwd="/", check=False).returncode


def _command(args: argparse.Namespace) -> list[str]:
    """What is to be run; the `--` that may stand before it is argparse's."""
    return list(args.command[1:] if args.command[:1] == ["--"] else args.command)


def _link(home: Path, args: argparse.Namespace) -> None:
    _find(home, args.host).link(args.to == "up")


def _hang(home: Path, args: argparse.Namespace) -> None:
    _find(home, args.host).hang(args.verb == "hang")


def _fill(home: Path, args: argparse.Namespace) -> None:
    _find(home, args.host).fill(args.mount, args.size, args.percent, args.inodes, args.fs)


def _unfill(home: Path, args: argparse.Namespace) -> None:
    _find(home, args.host).unfill(args.mount)


def _clock(home: Path, args: argparse.Namespace) -> None:
    if args.offset is None and args.sync is None:
        raise FleetError("Say how: fleet clock HOST +3600, or fleet clock HOST --sync unsynchronised")
    _find(home, args.host).clock(args.offset, args.sync)


def _reboot(home: Path, args: argparse.Namespace) -> None:
    host = _find(home, args.host)
    if args.verb == "reboot-hold":
        host.hold()
        if not args.next:
            host.run(["systemctl", "reboot"], check=False)
    else:
        host.reboot(wait=not args.no_wait)


def _release(home: Path, args: argparse.Namespace) -> None:
    _find(home, args.host).release()


def _power(home: Path, args: argparse.Namespace) -> None:
    host = _find(home, args.host)
    if args.to in ("off", "cycle"):
        host.power_off()
    if args.to in ("on", "cycle"):
        host.release()


def _console(home: Path, args: argparse.Namespace) -> None:
    print(_find(home, args.host).console(args.lines))


def _break(home: Path, args: argparse.Namespace) -> None:
    host = _find(home, args.host)
    (host.break_ if args.verb == "break" else host.mend)(args.fault)


# -- the repository ----------------------------------------------------------


def _repo(home: Path, args: argparse.Namespace) -> None:
    repo = fleets.get(home, args.name).repo
    words = args.words
    verb, rest = args.action, words
    if verb == "publish":
        generation = rest[0] if rest and rest[0] in ("v1", "v2") else "v2"
        repo.publish(generation, *[w for w in rest if w not in ("v1", "v2")], everything=args.all)
    elif verb == "withdraw":
        repo.withdraw(*rest)
    elif verb == "expire":
        repo.expire(float(rest[0]) if rest else 1.0)
    elif verb == "fresh":
        repo.fresh()
    elif verb == "sign":
        repo.sign(rest[0] if rest else "good")
    elif verb in ("up", "down"):
        getattr(repo, verb)()
    elif verb == "hang":
        repo.hang(rest[0] if rest else "/")
    elif verb == "error":
        repo.error(int(rest[0]) if rest else 503, rest[1] if len(rest) > 1 else "/")
    elif verb == "log":
        print(repo.log, end="")
        return
    published = repo.published
    print(f"version 2 of: {', '.join(published.updates) or 'nothing'}")
    print(f"withdrawn: {', '.join(published.withdrawn) or 'nothing'}; signature: {published.signature}; "
          f"expired: {'no' if published.expired_days is None else f'{published.expired_days:g} days ago'}")  # fmt: skip


# -- words -------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fleet", description="Real Debian hosts over SSH, in namespaces of this machine. Start: fleet up demo 2"
    )
    home = str(state.default_home())
    parser.add_argument("--home", default=home, help="the state folder (UPKEEP_FLEET_HOME; %(default)s)")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")

    def verb(name: str, do: object, text: str, *names: str) -> argparse.ArgumentParser:
        sub = verbs.add_parser(name, help=text, description=text)
        sub.set_defaults(do=do)
        for word in names:
            sub.add_argument(word, help=HOST_HELP if word == "host" else None)
        return sub

    sub = verb("image", _image, "build what `up` needs and does not find in the cache")
    sub.add_argument("--flavour", action="append", choices=flavours(), help="only this one; may be repeated")
    sub.add_argument("--prune", action="store_true", help="instead, remove every layer that no running fleet uses")
    sub = verb("up", _up, "make a fleet; what an earlier one of this name left goes first", "name")
    sub.add_argument("number", nargs="?", type=int, default=1, help="how many hosts: web1, web2, … (%(default)s)")
    sub.add_argument("--flavour", default="debian", choices=flavours(), help="of the hosts (%(default)s)")
    sub.add_argument("--hosts", metavar="web1,db1:dnf", help="the hosts by name, and by flavour where it differs")
    sub.add_argument("--timeout", type=float, default=60, help="seconds until all must answer (%(default)s)")
    sub.add_argument("--hours", type=float, help="take it down after so long, whatever happens")
    life = sub.add_mutually_exclusive_group()
    life.add_argument("--owner-pid", type=int, metavar="PID", help="take it down when this process ends")
    life.add_argument("--detached", action="store_true", help="keep it until `down` (this is the default)")
    verb("down", _down, "take fleets down, with all that they left").add_argument("name", nargs="+")
    verb("list", _list, "the fleets and their hosts")
    verb("gc", _gc, "clear what crashed owners and builders left")
    sub = verb("inventory", _inventory, "the inventory for ansible-playbook -i", "name")
    sub.add_argument("--path", action="store_true", help="its path instead of its text")

    sub = verb("ssh", _ssh, "log in, or run a command over SSH", "host")
    sub.add_argument("-l", "--user", default="ops", help="ops (sudo), nosudo or root (%(default)s)")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    sub = verb("exec", _exec, "run a command as root past the network: works with the link down", "host")
    sub.add_argument("command", nargs=argparse.REMAINDER)
    verb("link", _link, "pull the network cable, or plug it in", "host").add_argument("to", choices=["up", "down"])
    verb("hang", _hang, "stop every sshd: TCP connects, nothing answers", "host")
    verb("unhang", _hang, "let them go on", "host")
    sub = verb("fill", _fill, "mount a small file system in the host and use it up", "host", "mount")
    sub.add_argument("size", nargs="?", default="16M", help="like 16M (%(default)s)")
    sub.add_argument("--percent", type=float, default=97, help="how full (%(default)s)")
    sub.add_argument("--inodes", action="store_true", help="use up the inodes, not the blocks")
    sub.add_argument("--fs", default="ext4", choices=["ext4", "tmpfs"], help="%(default)s")
    verb("unfill", _unfill, "unmount it", "host", "mount")
    sub = verb("clock", _clock, "set the wall clock off, for processes that begin from now on", "host")
    sub.add_argument("offset", nargs="?", type=int, help="seconds, like +3600 or -86400; 0 is right again")
    sub.add_argument("--sync", choices=list(CLOCK_STATES), help="what adjtimex says about synchronisation")
    verb("reboot", _reboot, "reboot for real, and wait until it is back", "host").add_argument(
        "--no-wait", action="store_true", help="do not wait"
    )
    verb("reboot-hold", _reboot, "reboot, and do not come back until `release`", "host").add_argument(
        "--next", action="store_true", help="do not reboot now: hold whenever the next reboot comes"
    )
    verb("release", _release, "let a held host come back", "host")
    verb("power", _power, "pull the plug, put it in", "host").add_argument("to", choices=["on", "off", "cycle"])
    verb("console", _console, "the end of the host's console", "host").add_argument("--lines", type=int, default=40)
    faults = "; ".join(f"{name}: {fault.text}" for name, fault in BREAKS.items())
    for name, text in (("break", "make a fault: "), ("mend", "undo a fault: ")):
        sub = verb(name, _break, text + ", ".join(BREAKS), "host")
        sub.add_argument("fault", choices=list(BREAKS), metavar="FAULT", help=faults)

    sub = verb("repo", _repo, "the fleet's package repository (apt and dnf)", "name")
    sub.add_argument(
        "action", nargs="?", default="status",
        choices=["status", "publish", "withdraw", "expire", "fresh", "sign", "up", "down", "hang", "error", "log"],
        help="publish [v1|v2] [PKG…] [--all]; withdraw PKG…; expire [DAYS]; fresh; sign good|broken|unknown-key|none; "
        "up; down (refuses); hang [PATH]; error [STATUS] [PATH]; log",
    )  # fmt: skip
    sub.add_argument("words", nargs="*", help="see action")
    sub.add_argument("--all", action="store_true", help="publish v2 of what breaks hosts and asks for reboots, too")

    sub = verb("keeper", _keeper, "the process that holds a fleet; `up` starts it", "name")
    return parser
