# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract between modules and the store: findings, coverage, proofs, plans, states, skips.

A module of the collection collects what it saw in a :class:`Review` and returns ``review.result()`` beside what is
particular to it. Whoever reads a result (the callback plugin, the harvest) checks it with :func:`contract_errors`.
Pure: no Ansible, no process, no clock.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SEVERITIES = ("critical", "high", "medium", "low", "info")
"""From worst to mildest; info goes to the report only."""

SUMMARY_LIMIT = 300
"""Characters of a summary: one sentence."""
EVIDENCE_LINES = 40
"""Lines of evidence that a finding may carry."""
EVIDENCE_LIMIT = 500
"""Characters of one line of evidence."""
REMEDY_LIMIT = 600
"""Characters of a remedy."""
SUBJECT_LIMIT = 200
"""Characters of a subject."""
FACTS_LIMIT = 20_000
"""Characters of the facts of one finding, as text; larger facts are dropped and say so."""

_FACT_LIMIT = 2_000
"""Characters of one text in the facts."""
FACTS_DEPTH = 20
"""Levels of nesting of facts that are kept."""

CHECK_LIMIT = 200
"""Characters of a check's name."""
CHECK_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*){2}")
"""``area.thing.fault``, each part in lower case: to be matched in full."""

FINDING_KEYS = ("check", "subject", "severity", "summary", "evidence", "remedy", "facts")
"""What a finding is made of, in the order in which :func:`finding` takes it."""

OUTCOMES = ("passed", "failed", "cannot")
"""How a test ended: what it was to prove holds, does not hold, or could not be looked at."""
PROOF_KEYS = ("check", "subject", "outcome", "started", "ended", "summary", "facts")
"""What a proof is made of, in the order in which :func:`proof` takes it."""

PLAN_KEYS = ("subject", "id", "summary", "plan")
"""What the record of a plan is made of, in the order in which :func:`plan` takes it."""
PLAN_ID = re.compile(r"[a-z][a-z0-9]{0,15}-[0-9a-f]{8,64}")
"""The identity of a plan, made from what it does: to be matched in full."""
PLAN_LIMIT = 1_000_000
"""Characters of a plan, as text: some 3,000 packages. A larger one is dropped and says so."""

STATE_KEYS = ("kind", "subject", "data")
"""What the record of a state is made of, in the order in which :func:`state` takes it."""
STATE_KIND = re.compile(r"[a-z][a-z0-9_]{0,49}")
"""What a state tells of (``patches``): to be matched in full. The store has one keeper for each kind that it knows."""
STATE_LIMIT = 1_000_000
"""Characters of a state, as text: some 3,000 pending packages. A larger one is dropped and says so."""

# A line feed and a tab are no more than white space.
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Control characters (C0, DEL, C1: terminal escapes begin there), the marks that reorder or hide text, and lone
surrogates, which cannot be written."""
_ESCAPE_SEQUENCE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]{0,4096}(?:\x07|\x1b\\\\)|[@-Z\\\\-_])")

MASK = "********"
"""What stands where a secret was."""
# What passed a test is no password.
_HIDDEN = (
    r"(?:pass(?!(?:ed|es|ing)(?![a-z]))(?:word|wd|phrase)?"
    r"|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential)"
)
_HIDDEN_NAME = re.compile("(?i)" + _HIDDEN)
# Repetitions that may begin anywhere are bounded: the cost stays linear in the text, whatever a hostile host sends.
_SECRETS = (
    # First, while its lines are whole. What has no end was cut off: all that follows may be the key.
    (
        re.compile(
            r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----|\Z)", re.S
        ),
        MASK,
    ),
    # key=value, key: value and "key": "value", also where the quotes are escaped (JSON within JSON). A quoted value
    # ends at a quote escaped as its first one, or with its line; another one at white space, a quote or a separator.
    (
        re.compile(
            r"(?is)(%s[\w.-]{0,100}\\*[\"']?\s*[=:]\s*)"
            r"(?:(\\*)([\"']).{0,4096}?(?<!\\)\2\3|\\*[\"'][^\n]*|[^\s\"',;&]+)" % _HIDDEN
        ),
        r"\1" + MASK,
    ),
    # --password value
    (
        re.compile(r"(?i)((?<![\w.-])--?[\w.-]{0,100}?%s[\w.-]{0,100}\s+)(?!-)\S+" % _HIDDEN),
        r"\1" + MASK,
    ),
    # https://token@host, where the token may stand for the user as well
    (re.compile(r"(?i)(https?://)[^/?#\s:@]+(?=:?@|:x-oauth-basic@)"), r"\1" + MASK),
    # scheme://user:password@host, where the password may hold what it should not; host:port/path@version has none
    (
        re.compile(r"(://[^/\s:@]*:)(?!\d{1,5}[/?#])(?:[^\s\"'<>]{1,256}|[^\s/@]{1,256})@"),
        r"\1" + MASK + "@",
    ),
    (
        re.compile(
            r"(?i)\b(authorization\\*[\"']?\s*[=:]\s*\\*[\"']?(?:(?:basic|bearer|token|digest|negotiate)\s+)?)"
            r"[^\s\"'\\]+"
        ),
        r"\1" + MASK,
    ),
    (re.compile(r"(?i)\b(bearer\s+)[a-z0-9._~+/=-]{8,}"), r"\1" + MASK),
)
_SECRET_HINTS = ("pass", "secret", "token", "key", "credential", "://", "authorization", "bearer")
"""Each of the patterns needs one of these."""


class CannotCheck(Exception):  # noqa: N818 - reads as a sentence where it is raised; it is an outcome, not a bug
    """A check could not run: why, and the next thing to do. :meth:`Review.check` turns it into a finding."""

    def __init__(self, why: str, remedy: str = "", evidence: Iterable[str] = ()) -> None:
        super().__init__(why)
        self.why = why
        self.remedy = remedy
        self.evidence = list(evidence)


class NotApplicable(Exception):  # noqa: N818 - as CannotCheck
    """A check that means nothing here: why, and how to have it all the same. What was found until then stands.

    :meth:`Review.check` turns it into an entry of ``not_applicable``: neither covered nor a finding.
    """

    def __init__(self, why: str, how_to_force: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.how_to_force = how_to_force


def redact(text: str) -> str:
    """The text with the values of passwords, tokens, keys and URL credentials replaced by asterisks."""
    if not _may_hide(text):
        return text  # most lines; the patterns cost thirty times as much
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _may_hide(text: str) -> bool:
    folded = text.casefold()  # as (?i) does, which takes a long s for an s
    for hint in _SECRET_HINTS:  # noqa: SIM110 - any() takes twice as long, and this is called for each line of a fleet
        if hint in folded:
            return True
    return False


def as_text(value: Any) -> str:
    """The value as text; of what is nested too deep for Python, its type."""
    try:
        return value if isinstance(value, str) else str(value)
    except RecursionError:
        return "(a %s that is nested too deep)" % type(value).__name__


def _one_line(value: Any, limit: int) -> str:
    # Cut before the patterns run: what they cost must not depend on what a hostile host sends.
    text = _ESCAPE_SEQUENCE.sub("", as_text(value)[: limit * 4])
    return text.replace("\r", " ").replace("\n", " ").replace("\t", " ")


def clean_line(value: Any, limit: int) -> str:
    """One printable line of at most ``limit`` characters, without terminal escapes, control characters or secrets."""
    fits = isinstance(value, str) and len(value) <= limit
    if fits and value.isascii() and value.isprintable() and not _may_hide(value):
        return str(value.strip())  # most lines, for which none of what follows does anything
    text = UNSAFE.sub("\N{REPLACEMENT CHARACTER}", redact(_one_line(value, limit))).strip()
    return text if len(text) <= limit else text[: limit - 1] + "\N{HORIZONTAL ELLIPSIS}"


def clean_lines(values: Iterable[Any], lines: int = EVIDENCE_LINES, limit: int = EVIDENCE_LIMIT) -> list[str]:
    """At most ``lines`` clean lines; what was cut is told in the last one.

    A secret of several lines, such as a private key, becomes one.
    """
    values = list(values)
    if not values:
        return []
    # Together, for a secret may go on in the next line.
    together = redact("\n".join(_one_line(value, limit) for value in values[:lines]))
    kept = [clean_line(line, limit) for line in together.split("\n")]
    if len(values) > lines:
        kept[-1] = "… and %d more" % (len(values) - lines + 1)
    return kept


def plain(value: Any, depth: int = FACTS_DEPTH) -> Any:
    """The value as JSON can carry it: clean strings, finite numbers, lists and dictionaries of the same.

    What is nested in more than ``depth`` levels is dropped and says so. What the name of its key calls a secret is
    masked; true, false and nothing are none.
    """
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else None  # NaN and infinity are not JSON
    if isinstance(value, (dict, list, tuple, set, frozenset)) and depth <= 0:
        return "(dropped: nested deeper than %d levels)" % FACTS_DEPTH
    if isinstance(value, dict):
        return {
            clean_line(key, SUBJECT_LIMIT): MASK if _is_secret(key, item) else plain(item, depth - 1)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        if all(isinstance(item, str) for item in value):  # most likely lines, over which a secret may go
            return clean_lines(value, len(value), _FACT_LIMIT)
        return [plain(item, depth - 1) for item in value]
    return clean_line(value, _FACT_LIMIT)


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(key, str) and _HIDDEN_NAME.search(key) is not None and value not in (None, True, False, "")


def finding(
    check: str,
    subject: str,
    severity: str,
    summary: str,
    evidence: Iterable[Any] = (),
    remedy: str = "",
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A finding as the contract wants it: cut to its bounds, clean of control characters and secrets.

    Raises ValueError when the check's name or the severity is not one of the contract's, or when nothing of the subject
    or the summary is left after cleaning: a fault of the caller.
    """
    made = {
        "check": check,
        "subject": clean_line(subject, SUBJECT_LIMIT),
        "severity": severity,
        "summary": clean_line(summary, SUMMARY_LIMIT),
        "evidence": clean_lines(evidence),
        "remedy": clean_line(remedy, REMEDY_LIMIT),
        "facts": plain(dict(facts or {})),
    }
    if len(str(made["facts"])) > FACTS_LIMIT:
        made["facts"] = {"dropped": "the facts were larger than %d characters" % FACTS_LIMIT}
    errors = contract_errors(made)
    if errors:
        raise ValueError("; ".join(errors))
    return made


def proof(
    check: str,
    subject: str,
    outcome: str,
    started: float,
    ended: float,
    summary: str,
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A proof as the contract wants it: the auditor's record of one test, cut and clean as a finding is.

    ``check`` names the test (``backup.restore.sample``), ``subject`` what was tested; it is that of the findings that
    the test can make, so that a ticket shows it. ``outcome`` is one of OUTCOMES; ``started`` and ``ended`` are seconds
    since the epoch, on the clock of the host that was tested. ``facts`` say what was looked at and what came of it:
    snapshot, files, bytes, digests, queries with their answers. Of facts beyond FACTS_LIMIT the largest are left out,
    and say so.

    Raises ValueError as :func:`finding` does.
    """
    made = {
        "check": check,
        "subject": clean_line(subject, SUBJECT_LIMIT),
        "outcome": outcome,
        "started": started,
        "ended": max(started, ended),  # its clock may have been set back meanwhile
        "summary": clean_line(summary, SUMMARY_LIMIT),
        "facts": _bounded(plain(dict(facts or {}))),
    }
    errors = proof_errors(made)
    if errors:
        raise ValueError("; ".join(errors))
    return made


def remade_proof(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A proof that somebody else made and :func:`proof_errors` lets pass, as :func:`remade`."""
    return proof(**{key: candidate[key] for key in PROOF_KEYS if key in candidate})


def proof_errors(candidate: Any) -> list[str]:
    """What is wrong with a proof that somebody else made, as :func:`contract_errors`."""
    if not isinstance(candidate, dict):
        return ["a proof is a dictionary, this is %s" % _shown(candidate)]
    errors = _text_errors(candidate, ("check", "subject", "outcome", "summary")) + _name_errors(candidate.get("check"))
    if isinstance(candidate.get("outcome"), str) and candidate["outcome"] not in OUTCOMES:
        errors.append("outcome is one of %s, this is %s" % (", ".join(OUTCOMES), _shown(candidate["outcome"])))
    times = [candidate.get(key) for key in ("started", "ended")]
    for key, value in zip(("started", "ended"), times):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e12:
            errors.append("%s is seconds since the epoch, this is %s" % (key, _shown(value)))
            break
    else:
        if times[1] < times[0]:  # type: ignore[operator] # both are numbers here
            errors.append("ended is no earlier than started, this is %s" % _shown(times[1]))
    if not isinstance(candidate.get("facts", {}), dict):
        errors.append("facts is a dictionary, this is %s" % _shown(candidate["facts"]))
    return errors


def plan(subject: str, plan_id: str, summary: str, planned: Mapping[str, Any]) -> dict[str, Any]:
    """What is planned for a host, for a person to approve: cut and clean as a finding is.

    ``subject`` is what the plan changes (``os``), ``plan_id`` its identity, and ``planned`` what the module that
    carries it out takes. Of one beyond PLAN_LIMIT only that is told: it stands in the module's result, and cannot be
    approved.

    Raises ValueError as :func:`finding` does.
    """
    made = {
        "subject": clean_line(subject, SUBJECT_LIMIT),
        "id": plan_id,
        "summary": clean_line(summary, SUMMARY_LIMIT),
        "plan": plain(dict(planned)),
    }
    if len(str(made["plan"])) > PLAN_LIMIT:
        made["plan"] = {"dropped": "the plan is larger than %d characters" % PLAN_LIMIT}
    errors = plan_errors(made)
    if errors:
        raise ValueError("; ".join(errors))
    return made


def remade_plan(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A plan that somebody else made and :func:`plan_errors` lets pass, as :func:`remade`."""
    return plan(*(candidate[key] for key in PLAN_KEYS))


def plan_errors(candidate: Any) -> list[str]:
    """What is wrong with a plan that somebody else made, as :func:`contract_errors`. What it plans is not looked at."""
    if not isinstance(candidate, dict):
        return ["a plan is a dictionary, this is %s" % _shown(candidate)]
    errors = _text_errors(candidate, ("subject", "id", "summary"))
    if isinstance(candidate.get("id"), str) and candidate["id"].strip() and not PLAN_ID.fullmatch(candidate["id"]):
        errors.append("id is a word, a dash and hexadecimal digits, this is %s" % _shown(candidate["id"]))
    if not isinstance(candidate.get("plan"), dict):
        errors.append("plan is a dictionary, this is %s" % _shown(candidate.get("plan")))
    return errors


def state(kind: str, subject: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """How something on a host stands, for whoever keeps its history: cut and clean as a finding is.

    ``kind`` says what is told of (``patches``) and with it who keeps it, ``subject`` which one there is (``os``), and
    ``data`` is all that is true of it now: what an earlier state had and this one lacks is not so any more. Of one
    beyond STATE_LIMIT only that is told, under the name ``dropped``: nothing is known then.

    Raises ValueError as :func:`finding` does.
    """
    made = {"kind": kind, "subject": clean_line(subject, SUBJECT_LIMIT), "data": plain(dict(data))}
    if len(str(made["data"])) > STATE_LIMIT:
        made["data"] = {"dropped": "the state is larger than %d characters" % STATE_LIMIT}
    errors = state_errors(made)
    if errors:
        raise ValueError("; ".join(errors))
    return made


def remade_state(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A state that somebody else made and :func:`state_errors` lets pass, as :func:`remade`."""
    return state(*(candidate[key] for key in STATE_KEYS))


def state_errors(candidate: Any) -> list[str]:
    """What is wrong with a state that somebody else made, as :func:`contract_errors`. Its data are not looked at."""
    if not isinstance(candidate, dict):
        return ["a state is a dictionary, this is %s" % _shown(candidate)]
    errors = _text_errors(candidate, ("kind", "subject"))
    kind = candidate.get("kind")
    if isinstance(kind, str) and kind.strip() and not STATE_KIND.fullmatch(kind):
        errors.append("kind is a word in lower case, this is %s" % _shown(kind))
    if not isinstance(candidate.get("data"), dict):
        errors.append("data is a dictionary, this is %s" % _shown(candidate.get("data")))
    return errors


def _bounded(facts: dict[str, Any]) -> dict[str, Any]:
    """Facts within FACTS_LIMIT: an auditor who cannot have the longest of them still has the others."""
    sizes = {key: len(key) + len(str(value)) for key, value in facts.items()}
    total = len(str(facts))
    for key in sorted(sizes, key=sizes.__getitem__, reverse=True):
        if total <= FACTS_LIMIT:
            return facts
        told = "(left out: %d characters)" % sizes[key]
        facts = dict(facts, **{key: told})
        total += len(told) - sizes[key]
    return facts if len(str(facts)) <= FACTS_LIMIT else {"dropped": "the facts had %d names" % len(facts)}


def remade(candidate: Mapping[str, Any]) -> dict[str, Any]:
    """A finding that somebody else made and :func:`contract_errors` lets pass, with its bounds and its cleaning.

    Raises ValueError when nothing of a text is left after cleaning.
    """
    return finding(**{key: candidate[key] for key in FINDING_KEYS if key in candidate})


def contract_errors(candidate: Any) -> list[str]:
    """What is wrong with a finding that somebody else made: one sentence each, empty when it keeps the contract."""
    if not isinstance(candidate, dict):
        return ["a finding is a dictionary, this is %s" % _shown(candidate)]
    errors = _text_errors(candidate, ("check", "subject", "severity", "summary"))
    errors += _name_errors(candidate.get("check"))
    if isinstance(candidate.get("severity"), str) and candidate["severity"] not in SEVERITIES:
        errors.append("severity is one of %s, this is %s" % (", ".join(SEVERITIES), _shown(candidate["severity"])))
    evidence = candidate.get("evidence", [])
    if not isinstance(evidence, list) or not all(isinstance(line, str) for line in evidence):
        errors.append("evidence is a list of lines, this is %s" % _shown(evidence))
    if not isinstance(candidate.get("remedy", ""), str):
        errors.append("remedy is a text, this is %s" % _shown(candidate["remedy"]))
    if not isinstance(candidate.get("facts", {}), dict):
        errors.append("facts is a dictionary, this is %s" % _shown(candidate["facts"]))
    return errors


def _text_errors(candidate: dict[str, Any], keys: Iterable[str]) -> list[str]:
    return [
        "%s is a text that is not empty, this is %s" % (key, _shown(candidate.get(key)))
        for key in keys
        if not isinstance(candidate.get(key), str) or not candidate[key].strip()
    ]


def _name_errors(check: Any) -> list[str]:
    errors = []
    if isinstance(check, str):
        if not CHECK_NAME.fullmatch(check):
            errors.append("check is named area.thing.fault in lower case, this is %s" % _shown(check))
        if len(check) > CHECK_LIMIT:
            errors.append("check has at most %d characters, this one has %d" % (CHECK_LIMIT, len(check)))
    return errors


def coverage_errors(candidate: Any) -> list[str]:
    """What is wrong with an entry of a coverage list, as :func:`contract_errors`."""
    if not isinstance(candidate, dict):
        return ["an entry of coverage is a dictionary, this is %s" % _shown(candidate)]
    return [
        "%s of an entry of coverage is a text that is not empty, this is %s" % (key, _shown(candidate.get(key)))
        for key in ("check", "subject")
        if not isinstance(candidate.get(key), str) or not candidate[key].strip()
    ]


def _shown(value: Any) -> str:
    return "%s %r" % (type(value).__name__, clean_line(value, 60))


class Review:
    """What one area saw of one host: findings, coverage, proofs, plans, states, and what was skipped with the reason.

    ``area`` is the first part of the names of its checks. A check runs inside :meth:`check`::

        with review.check("capacity.clock.unsynchronised", "clock"):
            if not synchronised:
                review.found("capacity.clock.unsynchronised", "clock", "medium", "…")
    """

    def __init__(self, area: str) -> None:
        self.area = area
        self.findings: list[dict[str, Any]] = []
        self.coverage: list[dict[str, str]] = []
        self.skipped: list[dict[str, str]] = []
        self.proofs: list[dict[str, Any]] = []
        self.plans: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []

    def found(
        self,
        check: str,
        subject: str,
        severity: str,
        summary: str,
        evidence: Iterable[Any] = (),
        remedy: str = "",
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a fault; the arguments are those of :func:`finding`."""
        self.findings.append(finding(check, subject, severity, summary, evidence, remedy, facts))

    def covered(self, check: str, subject: str = "*") -> None:
        """Record that a check ran to its end for a subject, or for all that there are (``*``)."""
        entry = {"check": check, "subject": clean_line(subject, SUBJECT_LIMIT)}
        if entry not in self.coverage:
            self.coverage.append(entry)

    def proof(
        self,
        check: str,
        subject: str,
        outcome: str,
        started: float,
        ended: float,
        summary: str,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """Record what was tested and how it ended, for the auditor; the arguments are those of :func:`proof`.

        It is beside the findings, not in their place: a test that failed is a finding as well.
        """
        self.proofs.append(proof(check, subject, outcome, started, ended, summary, facts))

    def plan(self, subject: str, plan_id: str, summary: str, planned: Mapping[str, Any]) -> None:
        """Record what is planned, for a person to approve; the arguments are those of :func:`plan`."""
        self.plans.append(plan(subject, plan_id, summary, planned))

    def state(self, kind: str, subject: str, data: Mapping[str, Any]) -> None:
        """Record how something stands, for whoever keeps its history; the arguments are those of :func:`state`."""
        self.states.append(state(kind, subject, data))

    def skip(self, check: str, why: str, how_to_force: str = "") -> None:
        """Record that a check does not apply here, why, and how to have it all the same. It is not covered."""
        entry = {"check": check, "why": clean_line(why, SUMMARY_LIMIT), "force": clean_line(how_to_force, REMEDY_LIMIT)}
        if entry not in self.skipped:
            self.skipped.append(entry)

    def not_run(self, check: str, why: str, remedy: str = "", evidence: Iterable[Any] = ()) -> None:
        """Record that a check should have run and could not: a finding ``<area>.check.not_run`` about that check."""
        self.found(
            self.area + ".check.not_run",
            check,
            "medium",
            "%s could not be checked: %s" % (check, why),
            evidence,
            remedy,
        )

    @contextmanager
    def check(self, check: str, subject: str = "*") -> Iterator[None]:
        """Run one check: covered when it ends well, a finding when it could not run. One check never ends another."""
        try:
            yield
        except CannotCheck as cannot:
            self.not_run(check, cannot.why, cannot.remedy, cannot.evidence)
        except NotApplicable as reason:
            self.skip(check, reason.why, reason.how_to_force)
        except Exception as error:  # noqa: BLE001 - a bug in one check is told as a finding and must not hide the others
            self.not_run(
                check,
                "the check itself failed with %s" % type(error).__name__,
                "Report this as a fault of Upkeep, with the evidence.",
                places(error),
            )
        else:
            self.covered(check, subject)
            self.covered(self.area + ".check.not_run", check)

    def result(self) -> dict[str, Any]:
        """The part of a module's result that the contract asks for."""
        # Not named "skipped": Ansible takes a result in which that is true for a task that did not run, and drops it.
        told: dict[str, Any] = {
            "findings": self.findings, "coverage": self.coverage, "not_applicable": self.skipped,
        }  # fmt: skip
        if self.proofs:
            told["proofs"] = self.proofs
        if self.plans:
            told["plans"] = self.plans
        if self.states:
            told["states"] = self.states
        return told


def places(error: BaseException) -> list[str]:
    """The error and where it was raised, innermost last, without the paths of a temporary module folder."""
    lines = ["%s: %s" % (type(error).__name__, error)]
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename.replace("\\", "/").rsplit("/", 1)[-1]
        lines.append("%s:%d in %s" % (name, trace.tb_lineno, trace.tb_frame.f_code.co_name))
        trace = trace.tb_next
    return lines
