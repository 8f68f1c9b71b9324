# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Carrying out a playbook by ansible-runner: events stream into the results file, nothing else is kept of them.

ansible-runner runs in this process; ``ansible-playbook`` is its child on a pseudo-terminal of its own, so a Ctrl-C
reaches only us and we end the child in order.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import signal
import tempfile
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils import _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import UNSAFE, clean_line, places, redact
from ansible_collections.upkeep.maintenance.plugins.module_utils._harvest import Harvest

from .. import paths
from ..errors import NOT_RUN, WRONG_USE, UpkeepError
from . import leftovers, processes
from .why import why_not_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

Event = dict[str, Any]

RESULTS = paths.RESULTS
"""Name of the results file in a run's folder."""
LOG = "ansible.log"
"""Name of Ansible's own output in a run's folder: redacted, at most LOG_LIMIT."""

LOG_LIMIT = 16 * 1024 * 1024
"""Characters of Ansible's output that are kept."""
CHUNK_LIMIT = 64 * 1024
"""Characters of the output of one event that are kept: what redaction costs must not depend on a hostile host."""
RESULT_LIMIT = 4_000_000
"""Characters of a task's result above which ansible-runner drops it (its default is 700,000: a host with thousands of
pending updates comes near)."""
SAID_LIMIT = 80
"""Lines of output outside of tasks that are kept to tell why a run could not be carried out."""
GRACE = 3.0
"""Seconds between asking the processes of a run to end and killing them."""
NAMED = 10
"""Hosts that an error names; the others are counted."""
POLL = 0.25
"""Seconds between two looks at whether to stop."""

_SHORT = "/tmp"  # noqa: S108 - mkdtemp makes a folder of its own there


@dataclass(frozen=True)
class Plan:
    """What to run."""

    playbook: str
    """A path, or the full name of a collection's playbook."""
    inventory: tuple[str, ...]
    job: str | None = None
    limit: str | None = None
    tags: tuple[str, ...] = ()
    skip_tags: tuple[str, ...] = ()
    extra_vars: Mapping[str, Any] = field(default_factory=dict)
    """Of the job."""
    handed: Mapping[str, Any] = field(default_factory=dict)
    """What hosts have said, and the store has kept: they come after extra_vars, and nothing in them is a template."""
    extra_args: tuple[str, ...] = ()
    """Of the command line, each as Ansible's -e takes it: ``k=v``, JSON, ``@file``; they come after extra_vars."""
    check: bool = False
    diff: bool = False
    forks: int | None = None
    time_limit: float | None = None
    """Seconds after which the run is ended."""
    verbosity: int = 0
    stop_file: str | None = None
    """A file whose coming ends the run before its next play or batch."""


@dataclass(frozen=True)
class Outcome:
    """How a run went."""

    state: str
    """One of the results file's STATES."""
    finished: float
    """Seconds since the epoch."""
    error: UpkeepError | None
    """Why it could not be carried out, or not to its end."""
    harvest: Harvest


Asked = tuple[str, UpkeepError] | None
"""The state and the error of a run whose end is asked for; None: it is not."""


class Stop:
    """Whether and why the run is to stop. The first signal asks, a second one does not wait."""

    def __init__(self, run_id: str, time_limit: float | None) -> None:
        self.reason: str | None = None
        """None, or one of STATES but ``finished``."""
        self.error: UpkeepError | None = None
        self._run_id = run_id
        self._deadline = None if time_limit is None else time.monotonic() + time_limit
        self._asked_at: float | None = None
        self.at_once = False
        """Whether nobody wants to wait any more."""
        self.over_ssh = False
        """Whether hosts were at work over SSH when it was asked for."""

    def signalled(self, number: int, _frame: FrameType | None) -> None:
        """Handle SIGINT, SIGTERM or SIGHUP."""
        if self.reason is None:
            name = signal.Signals(number).name
            self.because(
                "interrupted",
                UpkeepError(
                    "the run was interrupted",
                    found="Ctrl-C" if number == signal.SIGINT else f"the signal {name}",
                    remedy="start it again: hosts that were not reached keep their tickets as they are",
                    exit_code=NOT_RUN,
                ),
            )
        else:
            self.at_once = True

    def because(self, reason: str, error: UpkeepError) -> None:
        """Ask for the run to end; the first reason holds."""
        if self.reason is None:
            self.reason, self.error = reason, error

    def now(self) -> bool:
        """Called often during the run: asks its processes to end when it is time; True when they are to be killed."""
        if self.reason is None and self._deadline is not None and time.monotonic() >= self._deadline:
            self.because(
                "timed_out",
                UpkeepError(
                    "the run was ended at its time limit",
                    remedy="see which task hung in the run's log; raise time_limit of the job if it only needs longer",
                    exit_code=NOT_RUN,
                ),
            )
        if self.reason is None:
            return False
        if self._asked_at is None:
            self._asked_at = time.monotonic()
            # ansible-playbook hands it on to its workers, and these to their modules, which then can clean up.
            pids = processes.of_run(self._run_id)
            self.over_ssh = any(processes.program(pid) == "ssh" for pid in pids)
            processes.send(pids, signal.SIGTERM)
        return self.at_once or time.monotonic() - self._asked_at > GRACE


def carry_out(
    plan: Plan,
    folder: Path,
    run_id: str,
    started: float,
    watch: Callable[[Event], None],
    clock: Callable[[], float] = time.time,
    meanwhile: Callable[[], object] = lambda: None,
    asked: Callable[[], Asked] = lambda: None,
    ended: Callable[[], Asked] = lambda: None,
) -> Outcome:
    """Run a playbook to its end, its time limit, or a signal; leave the results file and the log in ``folder``.

    ``watch`` sees every event that counts, for the display. ``meanwhile`` is called once while ansible-playbook starts:
    for what takes a moment and is needed at the end. ``asked`` is called often, and ends the run when it gives a state
    and an error; ``ended`` once, when Ansible ended without its statistics. Call it in the main thread: it takes the
    signals meanwhile, and when the run was interrupted by one, they are ignored afterwards.
    Never raises for what Ansible does; raises UpkeepError (NOT_RUN) when it cannot even begin.
    """
    token = secrets.randbits(62)
    harvest = Harvest(token)
    stop = Stop(run_id, plan.time_limit)
    with (
        _open_private(folder / RESULTS) as results,
        _open_private(folder / LOG) as log_file,
        _private_folder(folder) as private,
        _ssh_folder() as ssh_folder,
        _signals_to(stop),
    ):
        results.write(_results.line(_results.run_record(run_id, plan.playbook, plan.check, started)))
        log = _Log(log_file)

        def handle(event: Event) -> bool:
            # What goes wrong here would otherwise leave ansible-playbook running without a parent, or be swallowed.
            try:
                log.write(event)
                if stop.reason is None:  # After that, failures are those of tasks that we ended ourselves.
                    wrote = False
                    for record in harvest.feed(event):
                        results.write(_results.line(record))
                        wrote = True
                    if wrote:
                        results.flush()
                    if event.get("job_id") == token:
                        watch(event)
                        if event["event"] == "playbook_on_vars_prompt":
                            stop.because("error", _asks(event["event_data"]))
            except OSError as error:
                stop.because("error", _cannot_write(folder, error))
            except Exception as error:  # noqa: BLE001 - ours; what was found until then is kept, and the run is ended
                stop.because("error", _cannot_follow(folder, error))
            return False

        variables = _variables(plan, private)
        todo = [meanwhile]

        def to_be_killed() -> bool:
            while todo:
                todo.pop()()
            why = asked() if stop.reason is None else None
            if why is not None:
                stop.because(*why)
            return stop.now()

        runner = _prepare(plan, private, variables, ssh_folder, run_id, token, handle, to_be_killed)
        with _forgetful_terminal():
            runner.run()
        why = ended() if stop.reason is None and not harvest.stats_seen else None
        if why is not None:
            stop.because(*why)
        outcome = _outcome(plan, harvest, stop, log, clock)
        unended = processes.end_all(run_id) if stop.reason else _end_ssh_masters(run_id, ssh_folder)
        if stop.over_ssh and harvest.running:
            unvisited = harvest.running
            if not stop.at_once:
                unvisited = leftovers.end(
                    plan.inventory, harvest.running, run_id, variables, given_up=lambda: stop.at_once
                )
            if unvisited and outcome.error:
                outcome.error.add_found(
                    f"what it began may go on there, for they were not visited again: {_few(unvisited)}"
                )
        if unended and outcome.error:
            outcome.error.add_found(
                f"not ours to end, and still running: process {', '.join(map(str, sorted(unended)))}"
            )
        try:
            for record in harvest.finish(timed_out=outcome.state == "timed_out"):
                results.write(_results.line(record))
            results.write(_results.line(_results.end_record(outcome.finished, outcome.state)))
            results.flush()
            os.fsync(results.fileno())
        except OSError as error:
            return Outcome("error", outcome.finished, _cannot_write(folder, error), harvest)
    return outcome


def _prepare(
    plan: Plan,
    private: Path,
    variables: list[str],
    ssh_folder: str,
    run_id: str,
    token: int,
    handle: Callable[[Event], bool],
    to_be_killed: Callable[[], bool],
) -> Any:
    from ansible_runner.interface import init_runner

    # Its settings are read from this file only; the argument of the same name is thrown away when there is none.
    (private / "env").mkdir()
    (private / "env" / "settings").write_text(json.dumps({"pexpect_timeout": POLL, "suppress_output_file": True}))
    runner = init_runner(
        private_data_dir=str(private),
        ident="run",
        project_dir=os.getcwd(),  # relative paths and ansible.cfg as ansible-playbook would find them
        # Without standard input a task that asks (pause) goes on, as it does under cron, rather than wait for ever.
        binary="/bin/sh",
        cmdline=shlex.join(
            [
                *("-c", 'exec "$0" "$@" </dev/null', paths.program("ansible-playbook")),
                *(*_arguments(plan), *variables, plan.playbook),
            ]
        ),
        envvars=_environment(plan, ssh_folder, run_id, token),
        fact_cache_type="as configured",  # neither overridden nor written beside the run
        suppress_env_files=True,
        quiet=True,
        event_handler=handle,
        cancel_callback=to_be_killed,
        status_handler=_forget_command,
    )
    if "ANSIBLE_HOST_KEY_CHECKING" not in os.environ:
        # ansible-runner turns the check off unless told; ansible.cfg and Ansible's own default (on) shall decide.
        runner.config.env.pop("ANSIBLE_HOST_KEY_CHECKING", None)
    # ansible-runner sets it; a Python of a local task that is given its module by standard input (pipelining) would
    # read it byte by byte. The events do not need it: their display callback flushes.
    runner.config.env.pop("PYTHONUNBUFFERED", None)
    return runner


def _forget_command(data: Mapping[str, Any], runner_config: Any) -> None:
    """Remove the file `command` as soon as it was written: it holds the whole environment, secrets included."""
    if data["status"] == "running":
        Path(runner_config.artifact_dir, "command").unlink(missing_ok=True)


def _arguments(plan: Plan) -> list[str]:
    arguments = []
    for source in plan.inventory:
        arguments += ["-i", source]
    if plan.limit:
        arguments += ["--limit", plan.limit]
    for name, tags in (("--tags", plan.tags), ("--skip-tags", plan.skip_tags)):
        if tags:
            arguments += [name, ",".join(tags)]
    for given, flag in ((plan.check, "--check"), (plan.diff, "--diff")):
        if given:
            arguments.append(flag)
    if plan.forks:
        arguments += ["--forks", str(plan.forks)]
    if plan.verbosity:
        arguments.append("-" + "v" * plan.verbosity)
    return arguments


def _variables(plan: Plan, private: Path) -> list[str]:
    """The arguments that give the run its variables. By files: everybody can read the arguments of a process."""
    variables: list[str | Path] = []
    if plan.extra_vars:
        variables.append(_private_file(private / "job-vars.json", json.dumps(dict(plan.extra_vars))))
    if plan.handed:
        variables.append(_private_file(private / "handed-vars.json", json.dumps(no_templates(dict(plan.handed)))))
    for number, given_vars in enumerate(plan.extra_args):
        if given_vars.startswith("@"):
            variables.append(given_vars[1:])
        else:
            content = json.dumps(extra_vars_of(given_vars), default=str)
            variables.append(_private_file(private / f"vars-{number}.json", content))
    return [word for path in variables for word in ("-e", f"@{path}")]


def no_templates(value: Any) -> Any:
    """A value for a file of variables in which Ansible must not take a host's text for a template of the controller."""
    if isinstance(value, dict):
        return {key: no_templates(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [no_templates(one) for one in value]
    return {"__ansible_unsafe": value} if isinstance(value, str) and "{" in value else value


def _few(hosts: list[str]) -> str:
    """The first of them by name, the others counted."""
    named = ", ".join(clean_line(host, 100) for host in hosts[:NAMED])
    return named + (f" and {len(hosts) - NAMED} more" if len(hosts) > NAMED else "")


def extra_vars_of(text: str) -> dict[str, Any]:
    """The variables of one -e (of an @FILE none: Ansible reads it); UpkeepError when it is not understood."""
    if text.startswith("@"):
        if not os.access(text[1:], os.R_OK):
            raise _wrong_extra_vars(text, f"no file {text[1:]} that can be read")
        return {}
    if text.lstrip()[:1] not in ("{", "["):
        return dict(_pairs(text))
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        value = YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise _wrong_extra_vars(text, str(error).splitlines()[0]) from error
    if not isinstance(value, dict):
        raise _wrong_extra_vars(text, f"a {type(value).__name__}, where names with values are due")
    return value


def _pairs(text: str) -> dict[str, str]:
    """``a=1 b='two words'`` as Ansible reads it: all values are texts."""
    try:
        parts = shlex.split(text)
    except ValueError as error:
        raise _wrong_extra_vars(text, f"a quotation mark that is not closed ({error})") from error
    if not parts or any("=" not in part for part in parts):
        raise _wrong_extra_vars(text, text)
    return dict(part.split("=", 1) for part in parts)


def _wrong_extra_vars(text: str, found: str) -> UpkeepError:
    name = text.split("=", 1)[0].split(" ", 1)[0]
    return UpkeepError(
        "-e is not understood",
        expected="key=value, JSON in one argument, or @FILE",
        found=found,
        remedy="correct it" if text[:1] in "@{[" else f"for a text with spaces: -e '{name}=\"…\"'",
    )


def _environment(plan: Plan, ssh_folder: str, run_id: str, token: int) -> dict[str, str]:
    """What ansible-playbook's environment has beside ours; a variable that the user has set holds."""
    said = {
        "ANSIBLE_PIPELINING": "True",  # one round trip a task instead of three
        "ANSIBLE_INVENTORY_UNPARSED_FAILED": "True",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "True",  # a warning would leave hosts out in silence
    }
    forced = {
        processes.MARK: run_id,
        "JOB_ID": str(token),
        "MAX_EVENT_RES": str(RESULT_LIMIT),
        "ANSIBLE_NOCOLOR": "True",
        "ANSIBLE_NOCOWS": "True",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": ssh_folder,
        # Nobody can answer: a host that needs a password then fails and says so, where the run would hang.
        "ANSIBLE_ASK_PASS": "False",
        "ANSIBLE_BECOME_ASK_PASS": "False",
        "ANSIBLE_ASK_VAULT_PASS": "False",
    }
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    if "utf" not in locale.lower():
        forced["LC_ALL"] = "C.UTF-8"  # Ansible refuses to start in any other than a UTF-8 locale
    if plan.stop_file:
        # ansible-runner puts its own folder behind what it finds here.
        folders = [os.environ.get("ANSIBLE_CALLBACK_PLUGINS", ""), str(Path(__file__).parent / "callback")]
        forced["UPKEEP_STOP_FILE"] = plan.stop_file
        forced["ANSIBLE_CALLBACK_PLUGINS"] = ":".join(filter(None, folders))
    return {
        **{key: value for key, value in said.items() if key not in os.environ},
        **leftovers.environment(run_id),
        **forced,
    }


def _outcome(plan: Plan, harvest: Harvest, stop: Stop, log: _Log, clock: Callable[[], float]) -> Outcome:
    """Judge by Ansible's statistics at the end: its exit code is 4 for an unreachable host and for a typo alike."""
    finished = clock()
    if stop.reason is not None:
        return Outcome(stop.reason, finished, stop.error, harvest)
    if harvest.lost:
        error = UpkeepError(
            f"{harvest.lost} event(s) of the run were lost",
            expected="the data of each event in the run's folder",
            found="events without data: most likely the disk was full for a while",
            remedy="free room (df -h), then run it again",
            exit_code=NOT_RUN,
        )
        return Outcome("error", finished, error, harvest)
    if not harvest.stats_seen or not harvest.hosts:
        return Outcome(
            "error", finished, why_not_run(list(log.said), plan.playbook, plan.inventory, plan.limit), harvest
        )
    return Outcome("finished", finished, None, harvest)


class _Log:
    """Ansible's output, redacted and bounded; and the last of what it said outside of tasks."""

    def __init__(self, file: Any) -> None:
        self.said: deque[str] = deque(maxlen=SAID_LIMIT)
        self._file = file
        self._left = LOG_LIMIT

    def write(self, event: Event) -> None:
        text = event.get("stdout")
        if not text:
            return
        if event.get("event") in ("verbose", "warning", "error", "system_warning"):
            for line in text[:CHUNK_LIMIT].splitlines():
                if line.strip():  # its indentation shows where in a file an error is
                    self.said.append(" " * min(len(line) - len(line.lstrip()), 80) + clean_line(line, 500))
        if self._left <= 0:
            return
        # A lone surrogate (bytes of a host that are not UTF-8) cannot be written.
        shown = redact(text[:CHUNK_LIMIT]).replace("\r\n", "\n").encode("utf-8", "replace").decode()
        shown = UNSAFE.sub("", shown)
        if len(text) > CHUNK_LIMIT:
            shown += f" … and {len(text) - CHUNK_LIMIT} more characters"
        self._left -= len(shown)
        self._file.write(shown + "\n" if self._left > 0 else "… the rest was not kept\n")


@contextmanager
def _private_folder(folder: Path) -> Iterator[Path]:
    """ansible-runner's own folder: it holds parts of events and variables, and goes when the run has ended."""
    private = folder / paths.PRIVATE
    private.mkdir(mode=0o700)
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)


@contextmanager
def _ssh_folder() -> Iterator[str]:
    """A folder for this run's SSH control sockets: their masters end with it. Short: a socket's path has 107 bytes."""
    folder = tempfile.mkdtemp(prefix="upkeep-", dir=_SHORT if os.access(_SHORT, os.W_OK) else None)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _end_ssh_masters(run_id: str, ssh_folder: str) -> set[int]:
    """End the SSH masters that would otherwise wait for a minute; a daemon that a local task has started stays."""
    if os.listdir(ssh_folder):
        masters = {pid for pid in processes.of_run(run_id) if processes.program(pid) == "ssh"}
        processes.send(masters, signal.SIGTERM)
    return set()


@contextmanager
def _signals_to(stop: Stop) -> Iterator[None]:
    before = {
        number: signal.signal(number, stop.signalled) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            # Obeyed already: keeping what was found takes a moment, and one more Ctrl-C must not lose it.
            signal.signal(number, signal.SIG_IGN if stop.reason == "interrupted" else handler)


@contextmanager
def _forgetful_terminal() -> Iterator[None]:
    """pexpect holds all output since its last match, and ansible-runner waits for none: it would hold all of it.

    It also rests for 0.1 ms after each read of at most 2000 bytes, which is for terminals that a person types at, and
    for 0.1 s after closing, for a child that then hears of it: ours has ended.
    """
    import pexpect

    class Forgetful(pexpect.spawn):  # type: ignore[misc]  # pexpect ships no types
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, maxread=65536, **kwargs)
            self.delayafterread = None
            self.ptyproc.delayafterclose = 0

        def expect(self, *args: Any, **kwargs: Any) -> Any:
            try:
                return super().expect(*args, **kwargs)
            finally:
                self.before = None
                self._before = self.buffer_type()

    original = pexpect.spawn
    pexpect.spawn = Forgetful
    try:
        yield
    finally:
        pexpect.spawn = original


def _open_private(path: Path) -> Any:
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8")
    except OSError as error:
        raise _cannot_write(path.parent, error) from error


def _private_file(path: Path, text: str) -> Path:
    with _open_private(path) as file:
        file.write(text)
    return path


def _asks(data: Mapping[str, Any]) -> UpkeepError:
    name = clean_line(data.get("varname") or "?", 100)
    return UpkeepError(
        f"the playbook asks for the variable {name}",
        expected="its value on the command line, or in the job: a run has nobody to ask",
        found="vars_prompt, and no value",
        remedy=f"-e {name}=…   (or -e @FILE for a secret), or extra_vars of the job",
        exit_code=WRONG_USE,
    )


def _cannot_write(folder: Path, error: OSError) -> UpkeepError:
    return UpkeepError(
        "the run's files cannot be written",
        expected=f"room and the right to write in {folder}",
        found=error.strerror or str(error),
        remedy="free room (df -h) or correct the rights, then run it again",
        exit_code=NOT_RUN,
    )


def _cannot_follow(folder: Path, error: Exception) -> UpkeepError:
    return UpkeepError(
        "the run was ended: a fault of Upkeep itself",
        expected="an event of the run that can be taken over",
        found=clean_line("; ".join(places(error)), 600),
        remedy=f"report it, with this text and the file {folder / LOG}; what was found before is kept",
        exit_code=NOT_RUN,
    )
