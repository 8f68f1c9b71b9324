# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract: what a finding may hold, what a review covers, and that nothing hostile or secret gets through."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import (
    EVIDENCE_LIMIT,
    EVIDENCE_LINES,
    SUMMARY_LIMIT,
    CannotCheck,
    Review,
    clean_line,
    contract_errors,
    finding,
    redact,
)

GOOD = {"check": "patch.security.pending", "subject": "apt", "severity": "high", "summary": "3 updates are pending."}


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("password=hunter2 and more", "hunter2"),
        ("DB_PASSWORD: 'hunter two'", "hunter two"),
        ('{"api_key": "k-123456"}', "k-123456"),
        ("restic --password hunter2 snapshots", "hunter2"),
        ("postgresql://upkeep:hunter2@db/upkeep", "hunter2"),
        ("GET /sd/services/rest/find?accessKey=abcdef0123&attrs=UUID", "abcdef0123"),
        ("Authorization: Basic dXNlcjpwYXNz", "dXNlcjpwYXNz"),
        ("authorization: bearer eyJhbGciOi.J9.x", "eyJhbGciOi.J9.x"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk\n-----END OPENSSH PRIVATE KEY-----", "b3BlbnNzaC1rZXk"),
        ("-----BEGIN PRIVATE KEY-----\nb3BlbnNzaC1rZXk cut off", "b3BlbnNzaC1rZXk"),
    ],
)
def test_secrets_are_redacted(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "********" in redact(text)


def test_what_is_no_secret_stays() -> None:
    text = "openssl 3.0.16-1 -> 3.0.17-1 at https://deb.example.com/pool/main and user=ops"
    assert redact(text) == text


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[31mred\x1b[0m",
        "\x1b]0;title\x07",
        "a\x00b",
        "\u202eevil",
        "bell\x07",
        "\x9b31m",
        "zero\u200bwidth",
        "\ud800",
    ],
)
def test_what_moves_a_terminal_does_not_get_through(hostile: str) -> None:
    cleaned = clean_line(hostile, 100)
    assert not any(ord(character) < 32 or 0x7F <= ord(character) < 0xA0 for character in cleaned)
    assert "\u202e" not in cleaned and "\u200b" not in cleaned
    cleaned.encode("utf-8")  # a lone surrogate could not be stored


@given(st.text(), st.integers(min_value=1, max_value=200))
def test_a_clean_line_keeps_its_bounds(text: str, limit: int) -> None:
    cleaned = clean_line(text, limit)
    assert len(cleaned) <= limit
    assert "\n" not in cleaned
    assert clean_line(cleaned, limit) == cleaned


def test_a_finding_is_cut_to_its_bounds() -> None:
    made = finding(**{**GOOD, "summary": "x" * 10_000}, evidence=["y" * 10_000] * 500, facts={"z": "z" * 100_000})
    assert len(made["summary"]) == SUMMARY_LIMIT
    assert len(made["evidence"]) == EVIDENCE_LINES
    assert made["evidence"][-1] == f"… and {500 - EVIDENCE_LINES + 1} more"
    assert max(map(len, made["evidence"])) <= EVIDENCE_LIMIT
    assert len(json.dumps(made)) < 60_000


def test_facts_become_what_json_can_carry() -> None:
    made = finding(**GOOD, facts={"nan": float("nan"), "set": {1}, "path": object, "deep": [{"a": (1.5, None)}]})
    assert json.loads(json.dumps(made, allow_nan=False))["facts"]["nan"] is None
    assert made["facts"]["deep"] == [{"a": [1.5, None]}]


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"check": "Security pending"}, "area.thing.fault"),
        ({"check": "patch.pending"}, "area.thing.fault"),
        ({"severity": "urgent"}, "critical, high, medium, low, info"),
        ({"summary": "  "}, "summary is a text"),
        ({"subject": None}, "subject is a text"),
        ({"evidence": "a line"}, "evidence is a list"),
        ({"evidence": [1]}, "evidence is a list"),
        ({"remedy": 1}, "remedy is a text"),
        ({"facts": []}, "facts is a dictionary"),
    ],
)
def test_a_broken_finding_is_named(change: dict, complaint: str) -> None:
    assert any(complaint in error for error in contract_errors({**GOOD, **change}))


def test_a_good_finding_and_what_is_none() -> None:
    assert contract_errors(GOOD) == []
    assert contract_errors(["no"]) != []
    with pytest.raises(ValueError, match="severity is one of"):
        finding(**{**GOOD, "severity": "urgent"})


def test_a_check_that_ran_is_covered_and_one_that_could_not_is_a_finding() -> None:
    review = Review("patch")
    with review.check("patch.good.fault", "apt"):
        pass
    with review.check("patch.locked.fault"):
        raise CannotCheck("no rights", "Run it as root.", ["EACCES"])
    with review.check("patch.buggy.fault"):
        raise KeyError("surprise")
    review.skip("patch.other.fault", "there is no such thing here", "install it")
    assert {"check": "patch.good.fault", "subject": "apt"} in review.coverage
    assert {"check": "patch.check.not_run", "subject": "patch.good.fault"} in review.coverage
    assert not any(entry["check"] in ("patch.locked.fault", "patch.buggy.fault") for entry in review.coverage)
    first, second = review.findings
    assert (first["check"], first["subject"], first["remedy"]) == (
        "patch.check.not_run",
        "patch.locked.fault",
        "Run it as root.",
    )
    assert second["subject"] == "patch.buggy.fault"
    assert "KeyError" in second["evidence"][0]
    assert review.skipped[0]["force"] == "install it"
