# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract: what a finding may hold, what a review covers, and that nothing hostile or secret gets through."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import (
    EVIDENCE_LIMIT,
    EVIDENCE_LINES,
    FACTS_DEPTH,
    SUMMARY_LIMIT,
    CannotCheck,
    Review,
    clean_line,
    clean_lines,
    contract_errors,
    finding,
    redact,
    remade,
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
        ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nlQVYBGX\n-----END PGP PRIVATE KEY BLOCK-----", "lQVYBGX"),
        (r"{\"password\": \"hunter2\"}", "hunter2"),
        (r"{\\\"password\\\": \\\"hunter2\\\"}", "hunter2"),
        (r'{"password": "a\"hunter2"}', "hunter2"),
        ("password='an end that hunter2 lacks", "hunter2"),
        (r'{"Authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz"),
        ("https://ghp_0123456789@github.com/owner/it", "ghp_0123456789"),
        ("git+https://ghp_0123456789:x-oauth-basic@github.com/owner/it", "ghp_0123456789"),
        ("http://ghp_0123456789:@host/", "ghp_0123456789"),
        ("postgresql://upkeep:be/hunter2@db/upkeep", "hunter2"),
        ("postgresql://upkeep:be@hunter2@db/upkeep", "hunter2"),
        ("postgresql://upkeep:be'hunter2@db/upkeep", "hunter2"),
        ("postgresql://:hunter2@db/upkeep", "hunter2"),
    ],
)
def test_secrets_are_redacted(text: str, secret: str) -> None:
    assert secret not in redact(text)
    assert "********" in redact(text)


@pytest.mark.parametrize(
    "text",
    [
        "openssl 3.0.16-1 -> 3.0.17-1 at https://deb.example.com/pool/main and user=ops",
        "http://registry.example.com:4873/@scope/package and https://npm.example.com/@scope/package",
        "ssh://git@example.com/it and http://example.com:80/?mail=root@example.com",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_only_the_value_goes() -> None:
    assert redact(r"{\"user\": \"ops\", \"password\": \"hunter2\", \"port\": 1}") == (
        r"{\"user\": \"ops\", \"password\": ********, \"port\": 1}"
    )
    assert redact("at postgresql://upkeep:be/hunter2@db/upkeep now") == "at postgresql://upkeep:********@db/upkeep now"
    assert redact("https://ghp_0123@github.com/it") == "https://********@github.com/it"


@pytest.mark.parametrize(
    "piece",
    [
        "pass",
        "a-",
        "-pass",
        "--",
        "://:",
        "http://a",
        "password='",
        'secret\\"',
        "pass=\\",
        "token" + " " * 9,
        "\\",
        "-----BEGIN ",
        "-----BEGIN PRIVATE KEY-----",
        "-----BEGIN A PRIVATE KEY----------END ",
        "authorization",
        "a.b://",
    ],
)
def test_what_redaction_costs_grows_no_faster_than_the_text(piece: str) -> None:
    text = "token " + piece * (64_000 // len(piece))
    begun = time.process_time()
    redact(text)
    assert time.process_time() - begun < 1.5, "a few hundredths of a second; minutes when it is quadratic"


def test_a_private_key_is_masked_over_lines() -> None:
    key = ["-----BEGIN PRIVATE KEY-----", "b3BlbnNzaC1rZXk", "c2Vjb25k", "-----END PRIVATE KEY-----"]
    assert clean_lines(["before", *key, "after"]) == ["before", "********", "after"]
    assert clean_lines(["before", *key[:3]]) == ["before", "********"]
    assert clean_lines([]) == []
    assert finding(**GOOD, facts={"lines": key})["facts"] == {"lines": ["********"]}
    made = finding(**GOOD, evidence=[*key, *["x"] * 100])
    assert "b3BlbnNzaC1rZXk" not in str(made)
    assert made["evidence"][-1] == f"… and {104 - EVIDENCE_LINES + 1} more"


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


def test_facts_of_a_secret_name_are_masked() -> None:
    facts = {"db": {"Password": "hunter2", "api_keys": ["hunter2"], "user": "ops"}, "pass_enabled": True, "token": None}
    made = finding(**GOOD, facts=facts)["facts"]
    assert made == {
        "db": {"Password": "********", "api_keys": "********", "user": "ops"},
        "pass_enabled": True,
        "token": None,
    }


def nested(depth: int) -> dict:
    innermost: dict = {"a": 1}
    for _level in range(depth):
        innermost = {"a": innermost}
    return innermost


def test_facts_end_at_a_depth() -> None:
    assert finding(**GOOD, facts=nested(FACTS_DEPTH - 1))["facts"] == nested(FACTS_DEPTH - 1)
    assert "nested deeper than" in str(finding(**GOOD, facts=nested(100_000))["facts"])
    assert contract_errors(nested(100_000))
    assert contract_errors({**GOOD, "evidence": [nested(100_000)]}), "told, and no RecursionError"


@pytest.mark.parametrize("empty", ["\x1b[31m", " " * 9000 + "x"])
@pytest.mark.parametrize("key", ["summary", "subject"])
def test_a_text_of_which_cleaning_leaves_nothing_is_refused(key: str, empty: str) -> None:
    candidate = {**GOOD, key: empty}
    assert contract_errors(candidate) == []
    with pytest.raises(ValueError, match=key + " is a text that is not empty"):
        remade(candidate)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"check": "patch.security.pending\n"}, "area.thing.fault"),
        ({"check": "patch.security." + "x" * 200}, "at most 200 characters"),
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
