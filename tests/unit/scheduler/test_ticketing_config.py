# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The section `ticket_systems`, and the command that shows and probes what it names."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ticketing import sites
from upkeep import cli, config_file
from upkeep.config import Config
from upkeep.errors import UpkeepError
from upkeep.ticketing import build
from upkeep.ticketing.protocol import Held

RT = 'kind: rt, url: "https://rt.example.com/", user: upkeep, password: {env: RT_PASSWORD}, project: Ops'


def read(folder: Path, text: str) -> Config:
    (folder / "upkeep.yml").write_text(text)
    return config_file.read(folder / "upkeep.yml", folder)


def test_a_kinds_usual_values_are_filled_in(tmp_path: Path) -> None:
    (one,) = read(
        tmp_path, f"ticket_systems:\n  rt: {{{RT}, priorities: {{P1: '90'}}, done: []}}\n"
    ).ticket_systems.values()
    assert (one.url, one.project, one.key_field, one.format) == ("https://rt.example.com", "Ops", "UpkeepKey", "plain")
    assert one.priorities == {"P1": "90", "P2": "80", "P3": "50"}
    assert (one.resolved, one.done, one.waiting) == ("resolved", (), ("stalled",))


def test_secrets_are_read_when_they_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RT_PASSWORD", raising=False)
    (one,) = read(tmp_path, f"ticket_systems:\n  rt: {{{RT}}}\n").ticket_systems.values()
    with pytest.raises(Held, match="RT_PASSWORD"):
        build(one)
    monkeypatch.setenv("RT_PASSWORD", "s3cret")
    assert one.with_secrets().password == "s3cret"
    assert "s3cret" not in repr(one.with_secrets())


@pytest.mark.parametrize(
    ("block", "what", "expected"),
    [
        ("kind: otrs, url: 'https://x'", "2 ticket_systems.a.kind: wrong value", "one of 'itsm365', 'servicenow'"),
        ("kind: rt, url: 'ftp://x'", "2 ticket_systems.a.url: wrong value", "https://"),
        ("kind: rt, url: 'https://u:p@x'", "2 ticket_systems.a.url: wrong value", "without user, password"),
        ("kind: rt, url: 'https://x', project: A", "2 ticket_systems.a: credentials are missing", "token, or user"),
        ("kind: rt, url: 'https://x', token: abc", "2 ticket_systems.a.token: wrong value", "{env: NAME}"),
        (
            "kind: jira, url: 'https://x', token: {env: A}",
            "2 ticket_systems.a.project: project is missing",
            "jira needs",
        ),
        (
            "kind: jira, url: 'https://x', token: {env: A}, project: 'OPS\" OR 1=1'",
            "2 ticket_systems.a.project: wrong value",
            "key of a project",
        ),
        (
            "kind: redmine, url: 'https://x', token: {env: A}, project: ops, type: Bug, key_field: Upkeep",
            "2 ticket_systems.a.key_field: wrong value",
            "number of a custom field",
        ),
        (RT + ", fields: {a: '{{ x'}", "2 ticket_systems.a.fields: wrong value", "Jinja2"),
        (RT + ", ca_file: nowhere.pem", "2 ticket_systems.a.ca_file: the file is not there", "nowhere.pem"),
        (RT + ", only: {priority: [P4]}", "2 ticket_systems.a.only.priority.0: wrong value", "one of 'P1'"),
        (RT + ", projct: x", "2 ticket_systems.a.projct: unknown key", "one of kind, url"),
        (RT + ", settle: often", "2 ticket_systems.a.settle: wrong value", "90m"),
        (RT + ", on_gone: cry", "2 ticket_systems.a.on_gone: wrong value", "one of 'new'"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, block: str, what: str, expected: str) -> None:
    with pytest.raises(UpkeepError) as told:
        read(tmp_path, f"ticket_systems:\n  a: {{{block}}}\n")
    line, _, rest = what.partition(" ")
    assert told.value.what.endswith(f"upkeep.yml:{line}: {rest}"), told.value.what
    assert expected in told.value.expected


def test_a_wrong_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(UpkeepError, match="wrong name of a ticket system"):
        read(tmp_path, f"ticket_systems:\n  'a b': {{{RT}}}\n")


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def configured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path))
    monkeypatch.setenv("UPKEEP_CONFIG", str(tmp_path / "upkeep.yml"))
    return tmp_path / "upkeep.yml"


def test_without_any_it_says_so(configured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configured.write_text("")
    assert cli.main(["ticket-systems"]) == 0
    assert "embedded tracker" in capsys.readouterr().out
    assert cli.main(["ticket-systems", "probe"]) == 2
    assert "add ticket_systems" in capsys.readouterr().err


def test_list_and_probe(configured: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    site = sites.gitlab()
    configured.write_text(
        f"ticket_systems:\n  git:\n    kind: gitlab\n    url: {site.proxy.url}\n    token: {{env: GIT_TOKEN}}\n"
        "    project: ops/maintenance\n    only: {priority: [P1], host: ['web*']}\n"
    )
    monkeypatch.setenv("GIT_TOKEN", "glpat-upkeep")
    try:
        assert cli.main(["ticket-systems"]) == 0
        assert "P1; web*" in capsys.readouterr().out
        assert cli.main(["ticket-systems", "probe", "git", "--json"]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["ok"] and document["system"] == "git" and len(document["checks"]) >= 3
        assert site.there.tickets == {}
        assert cli.main(["ticket-systems", "probe", "--write"]) == 0
        assert [one.fields["state"] for one in site.there.tickets.values()] == ["closed"]
        monkeypatch.setenv("GIT_TOKEN", "glpat-wrong")
        assert cli.main(["ticket-systems", "probe", "git"]) == 1
        shown = capsys.readouterr().out
        assert "401" in shown and "glpat-wrong" not in shown
        monkeypatch.delenv("GIT_TOKEN")
        assert cli.main(["ticket-systems", "probe", "git"]) == 1
        assert "GIT_TOKEN" in capsys.readouterr().out
        assert cli.main(["ticket-systems", "probe", "gti"]) == 2
        assert "did you mean git?" in capsys.readouterr().err
        assert cli.main(["ticket-systems", "list", "git"]) == 2
    finally:
        site.stop()


def test_reading_the_configuration_imports_no_library_for_it(tmp_path: Path) -> None:
    """Commands that do not talk to a ticket system do not pay for it."""
    (tmp_path / "upkeep.yml").write_text(f"ticket_systems:\n  rt: {{{RT}}}\n")
    code = (
        "import sys; from pathlib import Path; from upkeep import config_file\n"
        f"config_file.read(Path({str(tmp_path / 'upkeep.yml')!r}), Path('/x'))\n"
        "import upkeep.ticketing.settings, upkeep.ticketing.protocol\n"
        "print([name for name in ('requests', 'jinja2', 'upkeep.ticketing.http') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
