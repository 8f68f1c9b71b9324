# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The results file: what a run leaves behind for tickets, one JSON record a line.

Two writers, one format: the callback plugin (a plain ``ansible-playbook`` run) and the harvest of job events
(ansible-runner, AWX). One reader: ``upkeep record``, which ``upkeep run`` ends with as well.

Records, by their ``type``:

``run``       first: ``format`` (1), ``id`` (unique: a file is recorded once), ``playbook``, ``check_mode``, ``started``
              (seconds since the epoch), and ``actor`` where the writer knows who began it (a login name)
``finding``   ``host``, ``finding`` (the contract's dictionary)
``coverage``  ``host``, ``coverage`` (a list of the contract's entries)
``proof``     ``host``, ``proof`` (the contract's dictionary)
``plan``      ``host``, ``plan`` (the contract's dictionary: what is planned for the host, for a person to approve)
``state``     ``host``, ``kind``, ``subject``, ``data`` (the contract's dictionary: how something on the host stands)
``host``      last but one, for each host: ``host``, ``state`` (ok | failed | unreachable), and its tasks ``ok``,
              ``changed``, ``failed``
``end``       last: ``finished`` (seconds since the epoch), ``state`` (a run's state, see STATES). A file without it
              tells of a run that was cut off: nothing that it did not see is taken for clean.

Pure: no Ansible, no process, no clock.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from ._findings import (
    as_text,
    clean_line,
    contract_errors,
    coverage_errors,
    finding,
    plan_errors,
    proof_errors,
    redact,
    remade,
    remade_plan,
    remade_proof,
    remade_state,
    state_errors,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FORMAT = 1
COLLECTION = "upkeep.maintenance."

STATES = ("finished", "interrupted", "timed_out", "error")
"""How a run ended: to its end (whatever the hosts did), by a person, at its time limit, or not carried out."""

TASK_FAILED = "upkeep.task.failed"
HOST_UNREACHABLE = "upkeep.host.unreachable"
RESULT_LOST = "upkeep.result.lost"
CONTRACT_BROKEN = "upkeep.contract.broken"

# What ansible-core says before the reason: true of every failure, and in the way of a tired reader.
_PREAMBLE = re.compile(
    r"^(?:(?:Task|Module|Action) failed: "
    r'|Data could not be sent to remote host "[^"]*"\. Make sure this host can be reached over ssh: '
    r"|Failed to connect to the host via ssh: )+"
)
# What ansible-core puts where a traceback would be when it keeps it to itself.
_NO_TRACEBACK = "(traceback unavailable)"

MESSAGE_LINES = 12
"""Lines of a failed task's message that are kept as evidence."""

_UNSUPPORTED_PYTHON = ("ansible-core requires a minimum of Python", "SyntaxError", "future feature annotations")


def of_result(host: str, task: str, action: str, result: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Records of a task that ended well. ``result`` is None when it was lost on its way (too large for its event)."""
    yield _coverage(host, [{"check": TASK_FAILED, "subject": task}])
    if not action.startswith(COLLECTION):
        return
    if result is None or "findings" not in result:
        yield _finding(
            host,
            RESULT_LOST,
            task,
            "high",
            "The result of %s did not arrive: nothing is known of what it looked at." % action,
            ["expected: a result with findings and coverage", "found: %s" % _shape(result)],
            "Run the task by hand with --limit %s -v and look at the size of its result." % host,
        )
        return
    yield _coverage(host, [{"check": RESULT_LOST, "subject": task}])
    yield from _contract_records(host, task, action, result)


def _contract_records(host: str, task: str, action: str, result: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a module of ours says in its result; what breaks the contract becomes a fault of that module."""
    broken: list[str] = []
    found = result.get("findings", [])
    if not isinstance(found, list):
        broken.append("findings is a list, this is %s" % type(found).__name__)
        found = []
    for number, candidate in enumerate(found):
        errors = contract_errors(candidate)
        if not errors:
            try:
                # Made anew, so that the bounds and the cleaning hold whoever made it.
                record = {"type": "finding", "host": host, "finding": remade(candidate)}
            except (ValueError, RecursionError) as error:  # one bad answer must not end the run of all
                errors = [str(error)]
            else:
                yield record
        broken.extend("finding %d: %s" % (number + 1, error) for error in errors)
    covered = result.get("coverage", [])
    if not isinstance(covered, list):
        broken.append("coverage is a list, this is %s" % type(covered).__name__)
        covered = []
    kept = []
    for entry in covered:
        errors = coverage_errors(entry)
        if not errors:
            kept.append({key: clean_line(entry[key], 200) for key in ("check", "subject")})
            errors = coverage_errors(kept[-1])  # cleaning may have left nothing of it
        broken.extend(errors)
    proofs, errors = _made(host, "proof", result.get("proofs", []))
    broken.extend(errors)
    plans, errors = _made(host, "plan", result.get("plans", []))
    broken.extend(errors)
    states, errors = _made(host, "state", result.get("states", []))
    broken.extend(errors)
    # Of a module that breaks the contract nothing good is believed.
    yield from (record for record in proofs if not broken or record["proof"]["outcome"] != "passed")
    if broken:
        # What such a module says it covered is not believed: its finding may be the one that was unreadable.
        yield _finding(
            host,
            CONTRACT_BROKEN,
            action,
            "medium",
            "%s returned findings that break the contract: %d fault(s)." % (action, len(broken)),
            broken,
            "Report this as a fault of %s, with the evidence." % action,
            {"task": task},
        )
    else:
        yield from plans
        yield from ({"type": "state", "host": host, **record["state"]} for record in states)
        yield _coverage(host, [*kept, {"check": CONTRACT_BROKEN, "subject": action}])


_MADE = {
    "proof": (proof_errors, remade_proof),
    "plan": (plan_errors, remade_plan),
    "state": (state_errors, remade_state),
}


def _made(host: str, kind: str, candidates: Any) -> tuple[list[dict[str, Any]], list[str]]:
    """The records of proofs, plans or states, and what is wrong with those that are none."""
    if not isinstance(candidates, list):
        return [], ["%ss is a list, this is %s" % (kind, type(candidates).__name__)]
    errors_of, made_anew = _MADE[kind]
    records: list[dict[str, Any]] = []
    broken: list[str] = []
    for number, candidate in enumerate(candidates):
        errors = errors_of(candidate)
        if not errors:
            try:
                records.append({"type": kind, "host": host, kind: made_anew(candidate)})
            except (ValueError, RecursionError) as error:
                errors = [str(error)]
        broken.extend("%s %d: %s" % (kind, number + 1, error) for error in errors)
    return records, broken


def of_failure(host: str, task: str, action: str, result: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Records of a task that failed.

    Whatever the module still said in its result stands; its coverage does not, nor a proof of its that passed.
    """
    result = result or {}
    message = _message(result)
    yield _finding(
        host,
        TASK_FAILED,
        task,
        "medium",
        "The task '%s' failed: %s" % (task, _heading(message)),
        message.splitlines()[:MESSAGE_LINES],
        _failure_remedy(host, message),
        {"action": action},
    )
    if action.startswith(COLLECTION) and "findings" in result:
        for record in _contract_records(host, task, action, result):
            if record["type"] == "finding" or (record["type"] == "proof" and record["proof"]["outcome"] != "passed"):
                yield record


def of_unreachable(host: str, result: Mapping[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Records of a host that could not be reached."""
    message = _SILENCE.sub(r"no answer in \1 s: its link or its sshd is silent\n", _message(result or {}))
    yield _finding(
        host,
        HOST_UNREACHABLE,
        host,
        "high",
        "%s cannot be reached: %s" % (host, _heading(message)),
        message.splitlines()[:MESSAGE_LINES],
        _unreachable_remedy(host, message),
    )


def of_stats(host: str, ok: int, changed: int, failed: int, unreachable: int) -> Iterator[dict[str, Any]]:
    """Records of a host at the end of the run, by the counts that Ansible gives for it."""
    state = "unreachable" if unreachable else "failed" if failed else "ok"
    if ok and not unreachable:
        yield _coverage(host, [{"check": HOST_UNREACHABLE, "subject": host}])
    yield {"type": "host", "host": host, "state": state, "ok": ok, "changed": changed, "failed": failed}


def run_record(run_id: str, playbook: str, check_mode: bool, started: float, actor: str = "") -> dict[str, Any]:
    """The first record of a file; ``run_id`` is unique (a UUID), ``started`` in seconds since the epoch.

    ``actor`` is who began the run, where that is known.
    """
    record = {
        "type": "run",
        "format": FORMAT,
        "id": run_id,
        "playbook": playbook,
        "check_mode": check_mode,
        "started": started,
    }
    return dict(record, actor=clean_line(actor, 200)) if actor else record


def end_record(finished: float, state: str) -> dict[str, Any]:
    """The last record of a file; ``state`` is one of STATES."""
    return {"type": "end", "finished": finished, "state": state}


def line(record: Mapping[str, Any]) -> str:
    """A record as its line in the file."""
    return json.dumps(record, ensure_ascii=False, allow_nan=False, separators=(",", ":")) + "\n"


def _finding(
    host: str,
    check: str,
    subject: str,
    severity: str,
    summary: str,
    evidence: Any = (),
    remedy: str = "",
    facts: Any = None,
) -> dict[str, Any]:
    return {
        "type": "finding",
        "host": host,
        "finding": finding(check, subject, severity, summary, evidence, remedy, facts),
    }


def _coverage(host: str, entries: list[dict[str, str]]) -> dict[str, Any]:
    return {"type": "coverage", "host": host, "coverage": entries}


def _shape(result: Mapping[str, Any] | None) -> str:
    return (
        "no result at all"
        if result is None
        else "a result with %s" % (", ".join(sorted(map(str, result))) or "nothing")
    )


def _heading(message: str) -> str:
    """The first line of a message, and the next one where the first only announces it ("Validation failed:")."""
    lines = message.splitlines()
    if not lines:
        return "no message"
    return " ".join(lines[:2]) if lines[0].rstrip().endswith(":") else lines[0]


def _message(result: Mapping[str, Any]) -> str:
    """What Ansible says of a failure: its message, and what the module printed when it broke off."""
    parts = [
        as_text(result[key])
        for key in ("msg", "module_stderr", "module_stdout", "stderr", "exception")
        if result.get(key)
    ]
    # Redacted as a whole, for a private key has many lines; cut before, to bound what it costs.
    lines = (_PREAMBLE.sub("", part) for part in redact("\n".join(parts)[:20_000]).splitlines())
    # ssh frames its warnings with @.
    lines = (part.strip("@ ") if part.startswith("@") else part for part in lines)
    return "\n".join(part for part in lines if part.strip() and part != _NO_TRACEBACK)


# With sudo to come, Ansible takes a host that says nothing at all for one whose sudo says nothing.
_SILENCE = re.compile(r"^Timeout \((\d+)s\) waiting for privilege escalation prompt:?\s*", re.M)
_UNREACHABLE_REMEDIES = (
    (
        ("HOST IDENTIFICATION HAS CHANGED", "Host key verification failed", "host key"),
        "Find out why the host key of %(host)s is another one (was it installed anew?) before you trust it; "
        "then: ssh-keygen -R ADDRESS, and accept the new one.",
    ),
    (
        ("Permission denied",),
        "Let %(host)s accept the key of the connecting user (ansible_user, ansible_ssh_private_key_file).",
    ),
    (("",), "Try: ansible -i INVENTORY %(host)s -m ansible.builtin.ping -vvv"),
)


def _unreachable_remedy(host: str, message: str) -> str:
    return next(
        remedy % {"host": host} for marks, remedy in _UNREACHABLE_REMEDIES if any(mark in message for mark in marks)
    )


def _failure_remedy(host: str, message: str) -> str:
    if any(mark in message for mark in _UNSUPPORTED_PYTHON):
        return "Upkeep needs Python 3.8 or newer on %s: set ansible_python_interpreter to such a one." % host
    if ("No such file or directory" in message and "python" in message) or (
        "interpreter" in message and "not found" in message
    ):
        return "Install Python 3.8 or newer on %s, or set ansible_python_interpreter to where it is." % host
    if "sudo" in message or "Missing become password" in message or "privilege" in message:
        return (
            "Give the connecting user of %s sudo rights, or a become password (ansible_become_password, from a vault)."
            % host
        )
    return "Run it by hand with --limit %s -vvv to see where it fails." % host
