# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""upkeep.yml: what it may say, and for all that is wrong with it the file, the line and what was expected."""

from __future__ import annotations

import json
import time as clock
from datetime import time
from pathlib import Path

import pytest

from upkeep import config, config_file
from upkeep.cli import main
from upkeep.durations import duration, shown
from upkeep.errors import WRONG_USE, UpkeepError
from upkeep.reconcile import Policy, Rule

HOME = Path("/nowhere/home")

WHOLE = """\
store:
  url: sqlite:///state/upkeep.db
  keep_days: 30
  keep_proofs_days: 2000
inventory: hosts
time_zone: Europe/Berlin
jobs:
  weekly: {schedule: "Sun 03:00", forks: 20, time_limit: 90m}
  capacity:
  nightly:
    playbook: site.yml
    description: All of it
    inventory: [hosts, "a,b,"]
    limit: web
    tags: [a, "b, c"]
    skip_tags: slow
    extra_vars: {depth: 3, names: [x, y]}
    check: true
    schedule: {rrule: "FREQ=MONTHLY;BYDAY=2TU", offset_days: 3, at: "02:00"}
    time_zone: Asia/Tokyo
tickets:
  rules:
    - {check: "patch.*", group_by: host, priority: P1}
    - {check: "*.noise", ignore: true}
  reopen_within: 7d
sla:
  P1: {react: 5m}
  P3: {solve: 2d, business_hours: false}
  due_soon: 0.5
business_hours: {days: Mon-Sat, start: "08:00", end: "24:00"}
"""


def read(folder: Path, text: str | bytes) -> config.Config:
    path = folder / "upkeep.yml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    (folder / "hosts").touch()
    return config_file.read(path, HOME)


def test_all_that_may_stand_in_it(tmp_path: Path) -> None:
    made = read(tmp_path, WHOLE)
    assert made.store_url == f"sqlite:///{tmp_path}/state/upkeep.db"
    assert made.keep_proofs_days == 2000.0
    assert (made.keep_days, made.inventory, made.time_zone.key) == (30.0, (str(tmp_path / "hosts"),), "Europe/Berlin")
    assert made.policy == Policy((Rule("patch.*", "host", "P1"), Rule("*.noise", ignore=True)), 7 * 86400.0)
    assert (made.sla.targets["P1"].react, made.sla.targets["P1"].solve) == (300.0, 3600.0)
    assert (made.sla.targets["P3"].solve, made.sla.targets["P3"].business_hours) == (2 * 86400.0, False)
    assert made.sla.due_soon == 0.5
    hours = made.sla.hours
    assert (hours.days, hours.start, hours.end, hours.time_zone) == (
        (0, 1, 2, 3, 4, 5),
        time(8),
        time(0),
        "Europe/Berlin",
    )
    assert sorted(made.jobs) == [
        "backup_restore_test",
        "backup_review",
        "capacity",
        "monthly",
        "nightly",
        "patch_state",
        "weekly",
    ]
    weekly, nightly = made.jobs["weekly"], made.jobs["nightly"]
    assert (weekly.playbook, weekly.forks, weekly.time_limit) == ("upkeep.maintenance.weekly", 20, 5400.0)
    assert weekly.description == config.BUILT_IN["weekly"].description
    assert made.zone_of(weekly).key == "Europe/Berlin"
    assert made.jobs["capacity"] == config.BUILT_IN["capacity"]
    assert nightly.playbook == str(tmp_path / "site.yml")
    assert nightly.inventory == (str(tmp_path / "hosts"), "a,b,")
    assert (nightly.limit, nightly.tags, nightly.skip_tags, nightly.check) == ("web", ("a", "b", "c"), ("slow",), True)
    assert nightly.extra_vars == {"depth": 3, "names": ["x", "y"]}
    assert made.zone_of(nightly).key == "Asia/Tokyo"
    assert made.inventory_of(nightly) == nightly.inventory
    assert made.inventory_of(weekly) == made.inventory
    assert made.inventory_of(weekly, ("given",)) == ("given",)


@pytest.mark.parametrize("text", ["", "# only words\n", "---\n", "jobs:\n", "\ufeffjobs: {}\n"])
def test_an_empty_file_leaves_the_defaults(tmp_path: Path, text: str) -> None:
    made = read(tmp_path, text)
    assert made.jobs == config.BUILT_IN
    assert (made.inventory, made.store_url, made.policy) == ((), None, Policy())


@pytest.mark.parametrize(
    ("text", "what", "expected", "found", "remedy"),
    [
        ("jobz: 1\n", "1 jobz: unknown key", "one of store, inventory, time_zone, jobs", "jobz", "did you mean jobs?"),
        (
            "jobs:\n  a:\n    playbook: x.yml\n    chekc: true\n",
            "4 jobs.a.chekc: unknown key",
            "one of playbook, description, inventory",
            "chekc",
            "did you mean check?",
        ),
        (
            "store:\n  urll: x\n",
            "2 store.urll: unknown key",
            "one of url, keep_days, keep_proofs_days",
            "urll",
            "did you mean url?",
        ),
        (
            "sla:\n  P1:\n    reakt: 5m\n",
            "3 sla.P1.reakt: unknown key",
            "one of react, solve",
            "reakt",
            "did you mean react?",
        ),
        ("inventory: 5\n", "1 inventory: wrong value", "a text, or a list of texts", "the number 5", "correct it"),
        (
            "jobs:\n  a:\n    playbook: x.yml\n    forks: many\n",
            "4 jobs.a.forks: wrong value",
            "a whole number",
            "the text 'many'",
            "",
        ),
        ("jobs:\n  a: {playbook: x.yml, forks: 0}\n", "2 jobs.a.forks: wrong value", "at least 1", "the number 0", ""),
        (
            "jobs:\n  a: {playbook: x.yml, check: yes}\n",
            "2 jobs.a.check: wrong value",
            "true or false",
            "the text 'yes'",
            "",
        ),
        (
            "jobs:\n  a: {playbook: 7}\n",
            "2 jobs.a.playbook: wrong value",
            "a text (in quotation marks",
            "the number 7",
            "",
        ),
        ("jobs: [a]\n", "1 jobs: wrong value", "a mapping (key: value)", "a list", ""),
        ("jobs:\n  a: text\n", "2 jobs.a: wrong value", "a mapping (key: value)", "the text 'text'", ""),
        (
            "jobs:\n  wekly: {forks: 3}\n",
            "2 jobs.wekly: playbook is missing",
            "the key playbook",
            "",
            "did you mean weekly?",
        ),
        ("jobs:\n  'a b': {playbook: x}\n", "2 jobs.a b: wrong name of a job", "letters, digits", "'a b'", "rename it"),
        (
            "jobs:\n  a:\n    playbook: x.yml\n  b: {playbook: y}\n  a:\n    playbook: z\n",
            "5 a: the key is there twice",
            "each key once",
            "the first is in line 2",
            "remove one of them",
        ),
        ("jobs:\n\ta: 1\n", "2 a tab stands here", "spaces", "a: 1", "replace the tab"),
        ("jobs: [1\n", "2 this is not YAML", "YAML (while parsing a flow sequence", "the end of the file", ""),
        ("jobs:\n  a: 'x\n", "3 this is not YAML", "YAML (while scanning a quoted scalar", "", ""),
        ("- a\n", "1 the file is not a mapping", "keys: store, inventory", "a list", ""),
        (b"a: 1\nb: \xff\n", "2 the file is not UTF-8", "text in UTF-8", "the byte 0xff", "save it as UTF-8"),
        ("sla:\n  P1: {react: soon}\n", "2 sla.P1.react: wrong value", 'a duration, as "90m"', "the text 'soon'", ""),
        ("sla:\n  P1: {react: -5}\n", "2 sla.P1.react: wrong value", "longer than nothing", "the number -5", ""),
        ("store: {keep_days: 0}\n", "1 store.keep_days: wrong value", "more than 0", "the number 0", ""),
        (
            "store: {url: {env: UPKEEP_NO_SUCH}}\n",
            "1 store.url: wrong value",
            "the environment variable UPKEEP_NO_SUCH",
            "",
            "",
        ),
        (
            "store: {url: {file: /nowhere}}\n",
            "1 store.url: wrong value",
            "a file /nowhere that can be read (No such file",
            "",
            "",
        ),
        ("store: {url: {vault: x}}\n", "1 store.url: wrong value", "{env: NAME} or {file: PATH}", "a mapping", ""),
        (
            "tickets:\n  rules:\n    - {chek: a}\n",
            "3 tickets.rules.0.chek: unknown key",
            "one of check",
            "chek",
            "did you mean check?",
        ),
        ("tickets:\n  rules:\n    - {}\n", "3 tickets.rules.0: check is missing", "the key check", "no such key", ""),
        (
            "tickets:\n  rules:\n    - check: b\n      priority: P9\n",
            "4 tickets.rules.0.priority: wrong value",
            "one of 'P1', 'P2', 'P3'",
            "the text 'P9'",
            "",
        ),
        ("time_zone: Mars/X\n", "1 time_zone: wrong value", "the name of a time zone", "the text 'Mars/X'", ""),
        ("time_zone: ../../etc/passwd\n", "1 time_zone: wrong value", "the name of a time zone", "", ""),
        (
            "jobs:\n  a:\n    playbook: x.yml\n    schedule: 'Foo 03:00'\n",
            "4 jobs.a.schedule: wrong value",
            "days as Sun, Mon-Fri",
            "the text 'Foo 03:00'",
            "",
        ),
        (
            "business_hours: {start: 9}\n",
            "1 business_hours.start: wrong value",
            "a time of day in quotation marks",
            "",
            "",
        ),
        (
            "inventory: nosuch\n",
            "1 inventory: the inventory is not there",
            "the file or folder ",
            "nothing of that name",
            "",
        ),
        (
            "jobs:\n  a:\n    playbook: x\n    inventory: no\n",
            "4 jobs.a.inventory: the inventory is not there",
            "",
            "",
            "",
        ),
    ],
)
def test_what_is_wrong_with_it(
    tmp_path: Path, text: str | bytes, what: str, expected: str, found: str, remedy: str
) -> None:
    with pytest.raises(UpkeepError) as told:
        read(tmp_path, text)
    line, _, words = what.partition(" ")
    error = told.value
    assert error.what.startswith(f"{tmp_path / 'upkeep.yml'}:{line}: {words}"), error.what
    assert expected in error.expected
    assert found in error.found
    assert remedy in error.remedy
    assert error.exit_code == WRONG_USE


def test_all_problems_are_found_at_once_and_in_order(tmp_path: Path) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text(
        "jobs:\n  a:\n    playbook: x.yml\n    forks: none\n    check: 1\nbad: 1\nsla: {P1: {react: soon}}\n"
    )
    made, problems = config_file.check(path, HOME)
    assert made is None
    assert [(one.line, one.key) for one in problems] == [
        (4, "jobs.a.forks"),
        (5, "jobs.a.check"),
        (6, "bad"),
        (7, "sla.P1.react"),
    ]
    with pytest.raises(UpkeepError, match="forks") as told:
        config_file.read(path, HOME)
    assert "3 more problem(s): upkeep config check shows them all" in told.value.remedy


def test_a_mistyped_key_hides_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text(
        "jobs:\n"
        "  a: {playbok: x.yml, after: nojob}\n"
        "  b: {playbook: x.yml, forks: many, after: c}\n"
        "  c: {playbook: x.yml, after: [b, {job: a, wihtin: 1d}], window: '02:00-03:00', time_limit: 2h}\n"
        "  d: 7\n"
        "  e: {playbook: x.yml, after: d}\n"
        "freezes:\n"
        "  - {name: f, from: 2026-12-20, to: 2026-12-01, jobs: [d, x]}\n"
        "holidays: {countri: DE}\n"
        "notify:\n"
        "  channels: {duty: {env: X}}\n"
        "  routes: [{to: dutty}]\n"
        "  heartbeat: {url: {env: Y}, jobs: {d: 1d, wekly: 8d}, evry: 5m}\n"
        "ticket_systems:\n"
        "  t: {kind: gitlab, url: 'https://x', project: p/q}\n"
        "  u: {kind: gitlab, url: 'https://x', project: p/q, tokn: {env: T}}\n"
    )
    made, problems = config_file.check(path, HOME)
    assert made is None
    assert [(one.line, one.key, one.what) for one in problems] == [
        (2, "jobs.a.playbok", "unknown key"),
        (2, "jobs.a.after", "there is no such job"),
        (3, "jobs.b.forks", "wrong value"),
        (4, "jobs.c.after.1.wihtin", "unknown key"),
        (4, "jobs.c.window", "the job would never begin"),
        (5, "jobs.d", "wrong value"),
        (8, "freezes.0.to", "it ends before it begins"),
        (9, "holidays.countri", "unknown key"),
        (12, "notify.routes", "route 1 leads nowhere"),
        (13, "notify.heartbeat.evry", "unknown key"),
        (13, "notify.heartbeat", "there is no such job"),
        (15, "ticket_systems.t.token", "token is missing"),
        (16, "ticket_systems.u.tokn", "unknown key"),
    ]


def test_items_of_a_list_are_left_out_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "upkeep.yml"
    rules = "".join(f"    - {{check: c{n}{', priority: P9' if n in (2, 9, 10, 11) else ''}}}\n" for n in range(12))
    path.write_text(f"jobs: {{a: {{playbook: x.yml, after: b}}}}\ntickets:\n  rules:\n{rules}    - {{}}\n")
    _, problems = config_file.check(path, HOME)
    assert [one.key for one in problems] == [
        "jobs.a.after",
        *(f"tickets.rules.{n}.priority" for n in (2, 9, 10, 11)),
        "tickets.rules.12",
    ]


def test_a_place_is_named_as_the_file_has_it(tmp_path: Path) -> None:
    for text, key in (("after: {jobs: weekly}", "jobs.a.after.jobs"), ("after: [{jobs: x}]", "jobs.a.after.0.jobs")):
        (tmp_path / "upkeep.yml").write_text(f"jobs:\n  a:\n    playbook: x.yml\n    {text}\n")
        assert config_file.check(tmp_path / "upkeep.yml", HOME)[1][0].key == key
    with pytest.raises(UpkeepError) as told:
        read(tmp_path, "store: {keep_days: 0}\n")
    assert told.value.expected == "more than 0"


def test_a_playbook_that_is_not_there_is_told_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    (tmp_path / "there.yml").touch()
    made = read(
        tmp_path,
        "jobs:\n  a: {playbook: there.yml}\n  b:\n    playbook: gone.yml\n"
        "  c: {playbook: upkeep.maintenance.nosuch}\n  d: {playbook: company.infra.patch}\n",
    )
    assert set(made.jobs) >= {"a", "b", "c", "d"}
    assert main(["config", "check"]) == WRONG_USE
    told = capsys.readouterr()
    assert "upkeep.yml:4: jobs.b.playbook: the playbook is not there" in told.err
    assert "upkeep.yml:5: jobs.c.playbook: the playbook is not there" in told.err
    assert "2 problems in" in told.err and "only these jobs cannot run" in told.err
    assert "is well" not in told.out
    (tmp_path / "gone.yml").touch()
    assert main(["config", "check", "--json"]) == WRONG_USE
    document = json.loads(capsys.readouterr().out)
    assert (document["usable"], [one["line"] for one in document["problems"]]) == (True, [5])


def test_a_password_is_neither_taken_nor_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UpkeepError) as told:
        read(tmp_path, "store:\n  url: postgresql://upkeep:hunter2@db/upkeep\n")
    assert "a password does not belong into this file" in told.value.expected
    assert "hunter2" not in "\n".join(told.value.lines())
    for url in (
        "postgresql://upkeep@db/upkeep?password=hunter2",
        "postgresql://db/upkeep?user=u&PassWord=hunter2",
        "postgresql://db/upkeep?user=u&pass%77ord=hunter2",
        "postgresql://db/upkeep?sslkey=k&sslpassword=hunter2",
        "postgresql://db/upkeep?scram_client_key=hunter2",
        "postgresql://upkeep:hunter/2@db/upkeep",
        "postgresql://upkeep:hunter2 x@db/upkeep",
    ):
        with pytest.raises(UpkeepError) as told:
            read(tmp_path, f"store:\n  url: {url}\n")
        assert "a password does not belong into this file" in told.value.expected, url
        assert "hunter" not in "\n".join(told.value.lines()), url
    for url in ("postgresql://upkeep@db/upkeep?passfile=/etc/upkeep/pgpass", "postgresql://db:5432/upkeep"):
        assert read(tmp_path, f"store: {{url: '{url}'}}\n").store_url == url
    monkeypatch.setenv("STORE", "postgresql://upkeep:hunter2@db/upkeep")
    assert read(tmp_path, "store: {url: {env: STORE}}\n").store_url == "postgresql://upkeep:hunter2@db/upkeep"
    (tmp_path / "secret").write_text("postgresql://u:p@db/x\n")
    assert read(tmp_path, f"store: {{url: {{file: {tmp_path}/secret}}}}\n").store_url == "postgresql://u:p@db/x"


def test_a_relative_path_of_the_store_is_seen_from_the_file_and_a_tilde_is_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nowhere/of-user")
    monkeypatch.setenv("STORE", "sqlite:///state/u.db")
    for given, path in (
        ("sqlite:///state/u.db", f"{tmp_path}/state/u.db"),
        ("{env: STORE}", f"{tmp_path}/state/u.db"),
        ("sqlite:///~/u.db", "/nowhere/of-user/u.db"),
        ("sqlite:////abs/u.db", "/abs/u.db"),
    ):
        assert read(tmp_path, f"store: {{url: {given}}}\n").store_url == f"sqlite:///{path}"


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a: &a [1,1,1,1,1,1,1,1,1,1]"]
    for before, name in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]")
    began = clock.monotonic()
    with pytest.raises(UpkeepError, match="there is too much in it"):
        read(tmp_path, "\n".join(lines))
    assert clock.monotonic() - began < 5


def test_a_file_that_is_too_large_or_too_deep(tmp_path: Path) -> None:
    with pytest.raises(UpkeepError, match="the file is too large"):
        read(tmp_path, "#" * 1_000_001)
    with pytest.raises(UpkeepError, match="it is nested too deeply"):
        read(tmp_path, "a: " + "[" * 1500 + "]" * 1500)


def test_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {name: tmp_path / name for name in ("given", "named", "here", "home")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "upkeep.yml").write_text("")
    monkeypatch.setenv("UPKEEP_HOME", str(folders["home"]))
    monkeypatch.setenv("UPKEEP_CONFIG", str(folders["named"] / "upkeep.yml"))
    monkeypatch.chdir(folders["here"])
    assert config.find(str(folders["given"] / "upkeep.yml")) == folders["given"] / "upkeep.yml"
    assert config.find() == folders["named"] / "upkeep.yml"
    monkeypatch.delenv("UPKEEP_CONFIG")
    assert config.find() == folders["here"] / "upkeep.yml"
    (folders["here"] / "upkeep.yml").unlink()
    assert config.find() == folders["home"] / "upkeep.yml"
    (folders["home"] / "upkeep.yml").unlink()
    assert config.find() is None
    assert config.load().jobs == config.BUILT_IN
    with pytest.raises(UpkeepError, match="is not there") as told:
        config.load("nosuch.yml")
    assert told.value.expected == "the file that --config names"
    monkeypatch.setenv("UPKEEP_CONFIG", str(tmp_path))
    with pytest.raises(UpkeepError) as told:
        config.load()
    assert (told.value.expected, told.value.found) == ("the file that UPKEEP_CONFIG names", "a folder")


def test_nothing_configured_means_this_machine() -> None:
    (source,) = config.Config(None, HOME).inventory_of(None)
    assert source.endswith("/inventories/local")
    assert Path(source).is_dir()


@pytest.mark.parametrize(
    ("given", "seconds"),
    [("90m", 5400), ("1h30m", 5400), ("1h 30m", 5400), (45, 45), ("14d", 1209600), ("2w", 1209600), (0.5, 0.5)],
)
def test_durations(given: object, seconds: float) -> None:
    assert duration(given) == seconds


@pytest.mark.parametrize(
    "given",
    ["", "soon", "5", "5 minutes", "-5m", 0, -1, True, None, [], "1e9d", "99999999w", float("inf"), float("nan")],
)
def test_what_is_no_duration(given: object) -> None:
    with pytest.raises(ValueError, match="a duration"):
        duration(given)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (5, "under a minute"),
        (-5, "under a minute"),
        (60, "1 min"),
        (3700, "1 h 1 min"),
        (-90061, "1 d 1 h"),
        (86400, "1 d"),
    ],
)
def test_durations_as_people_read_them(seconds: float, words: str) -> None:
    assert shown(seconds) == words
