# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The policy of patches: who keeps it, since when not, what excepts, how long it took; and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.scheduler.test_pending import data, keep, package, told
from upkeep import cli, config_file, selfreview
from upkeep.compliance import judge, look
from upkeep.compliance.reading import report
from upkeep.compliance.settings import Excepted, Rule, Scope, Settings
from upkeep.config import Config
from upkeep.errors import FINDINGS, NOT_RUN, OK, UpkeepError
from upkeep.metrics.collect import collect
from upkeep.store import Store, open_store
from upkeep.store.missing import DAY, ORDINARY, PATCHED, SEVERITIES, WITHDRAWN, Episode
from upkeep.store.pending import HostLook

NOW = 1000 * DAY


def episode(name: str = "openssl", severity: str = "high", age: float = 1.0, **more: Any) -> Episode:
    """A patch that is missing for some days."""
    since = NOW - age * DAY
    plain: dict[str, Any] = {"first_seen": since, "last_seen": NOW, "installed": "1", "candidate": "2"}
    return Episode(name, "amd64", clocks={severity: since}, **{**plain, **more})


def looked(host: str, known: float | None = 0.0, **more: Any) -> HostLook:
    """A host that was last known some days ago."""
    at = None if known is None else NOW - known * DAY
    plain: dict[str, Any] = {"looked": at or NOW, "known": at, "verdict": "pending", "why": ()}
    return HostLook(host, "os", manager="apt", release="debian:12", run=1, **{**plain, **more})


def host(*missing: Episode, policy: Settings | None = None, groups: tuple[str, ...] = (), **more: Any) -> judge.Host:
    """One host, judged."""
    looks = {"web1": more.pop("look", looked("web1"))}
    exploited = more.pop("exploited", {})
    (found,) = judge.judged(policy or Settings(), NOW, looks, {"web1": missing}, {"web1": groups}, exploited)
    return found


def policy(**more: Any) -> Settings:
    return replace(Settings(), **more)


@pytest.mark.parametrize(
    ("severity", "days"), [("critical", 15), ("high", 30), ("medium", 90), ("low", 90), ("unrated", 30)]
)
def test_each_severity_has_its_days(severity: str, days: float) -> None:
    (patch,) = host(episode(severity=severity, age=days - 0.01)).missing
    assert (patch.state, patch.allowed_days, patch.severity) == ("within", days, severity)
    late = host(episode(severity=severity, age=days + 0.01))
    assert (late.state, late.missing[0].state) == ("overdue", "overdue")
    assert late.missing[0].age_days == pytest.approx(days + 0.01)


def test_ordinary_updates_have_days_only_where_the_policy_says_so() -> None:
    old = episode(severity=ORDINARY, age=900)
    assert host(old).state == "within"
    assert host(old, policy=policy(days={**Settings().days, "ordinary": 100.0})).state == "overdue"


def test_of_several_clocks_the_one_that_ends_first_counts() -> None:
    both = episode(age=80, severity="low")
    worse = replace(both, clocks={"low": NOW - 80 * DAY, "critical": NOW - 2 * DAY})
    (patch,) = host(worse).missing
    # A critical fix of two days on a mild one of eighty: the mild one is due in ten days, the critical one in thirteen.
    assert (patch.severity, patch.state, round(patch.age_days), patch.due) == ("low", "within", 80, NOW + 10 * DAY)


def test_what_is_known_to_be_exploited_counts_from_when_both_is_so() -> None:
    exploited = {"CVE-2026-1000": NOW - 3 * DAY}
    (patch,) = host(episode(severity="medium", age=60, cves=("CVE-2026-1000",)), exploited=exploited).missing
    assert (patch.severity, patch.due) == ("known_exploited", NOW + 11 * DAY)
    late = host(episode(severity="medium", age=60, cves=("CVE-2026-1000",)), exploited={"CVE-2026-1000": 0.0})
    assert late.state == "overdue"


@pytest.mark.parametrize(
    ("known", "more", "state", "why"),
    [
        (0.0, {}, "compliant", ""),
        (13.9, {}, "compliant", ""),
        (14.1, {}, "not_known", "it was not looked at for 14 days"),
        (20.0, {"looked": NOW, "verdict": "unknown", "why": ("old lists",)}, "not_known", "old lists"),
        (None, {"verdict": "unknown", "why": ("no root",)}, "not_known", "no root"),
    ],
)
def test_what_is_not_known_is_never_compliant(known: float | None, more: dict[str, Any], state: str, why: str) -> None:
    found = host(look=looked("web1", known, **more))
    assert found.state == state
    assert why in found.why


def test_a_host_that_falls_silent_stays_overdue_and_one_never_seen_is_not_known() -> None:
    silent = host(episode(age=50), look=looked("web1", 40))
    assert (silent.state, silent.why) == ("overdue", "it was not looked at for 40 days")
    found = judge.judged(Settings(), NOW, {"gone": looked("gone")}, {}, {"new": ()}, {})
    assert [(one.name, one.state, one.why) for one in found] == [("new", "not_known", "it was never looked at")]


def test_the_first_rule_that_fits_a_host_is_its_rule() -> None:
    strict, mild = {**Settings().days, "high": 2.0}, {**Settings().days, "high": 200.0}
    rules = (Rule(Scope(groups=("dmz",)), strict), Rule(Scope(hosts=("web*",)), mild))
    assert host(episode(age=3), policy=policy(rules=rules), groups=("dmz",)).state == "overdue"
    assert host(episode(age=100), policy=policy(rules=rules)).state == "within"


def excepted(until: float = 10, **more: Any) -> Excepted:
    plain: dict[str, Any] = {"scope": Scope(), "packages": (), "cves": (), "reason": "so it is"}
    return Excepted(**{**plain, **more}, until=NOW + until * DAY)


@pytest.mark.parametrize(
    ("exception", "state"),
    [
        (excepted(packages=("open*",)), "excepted"),
        (excepted(packages=("openssl",), until=-0.1), "overdue"),
        (excepted(packages=("bash",)), "overdue"),
        (excepted(packages=("openssl",), scope=Scope(hosts=("db*",))), "overdue"),
        (excepted(packages=("openssl",), scope=Scope(groups=("web",))), "excepted"),
        (excepted(cves=("CVE-2026-1000", "CVE-2026-2000")), "excepted"),
        # It fixes another one, too.
        (excepted(cves=("CVE-2026-1000",)), "overdue"),
    ],
)
def test_an_exception_holds_for_what_it_names_until_its_day(exception: Excepted, state: str) -> None:
    late = episode(age=100, cves=("CVE-2026-1000", "CVE-2026-2000"))
    found = host(late, policy=policy(exceptions=(exception,)), groups=("web",))
    assert found.state == state
    # Nobody knows what this one fixes: an exception by CVE does not hold for it.
    unknown = host(episode(age=100), policy=policy(exceptions=(exception,)), groups=("web",))
    assert unknown.state == ("overdue" if exception.cves else state)


def test_exceptions_say_whether_they_stand_and_for_what() -> None:
    some = (excepted(packages=("openssl",)), excepted(20, packages=("bash",)), excepted(-1, packages=("openssl",)))
    missing = {"a": [episode()], "b": [episode(), episode("bash")]}
    found = judge.exceptions(policy(exceptions=some), NOW, ["a", "b"], missing, None)
    assert [(one.state, one.patches, one.hosts) for one in found] == [
        ("ends soon", 2, 2),
        ("stands", 1, 1),
        ("expired", 2, 2),
    ]


def gone(days: float, how: str = PATCHED, severity: str = "high", ago: float = 0.0) -> Episode:
    """A patch that was missing for some days."""
    at = NOW - ago * DAY
    return replace(episode(severity=severity, age=days + ago), gone_seen=at, gone_at=at, gone_how=how, last_seen=at - 1)


def test_how_long_it_took_by_severity_and_what_was_late() -> None:
    patched = [gone(float(days)) for days in range(1, 11)] + [gone(40, severity="critical"), gone(90, WITHDRAWN)]
    rows = judge.took(Settings(), {"a": patched}, None, {})
    assert [(row.severity, row.patched, row.median, row.p90, row.worst, row.late) for row in rows] == [
        ("", 11, 6.0, 10.0, 40.0, 1),
        ("critical", 1, 40.0, 40.0, 40.0, 1),
        ("high", 10, 5.5, 9.0, 10.0, 0),
    ]
    assert judge.went({"a": patched}) == {PATCHED: 11, WITHDRAWN: 1}


@given(st.lists(st.tuples(st.sampled_from(SEVERITIES), st.floats(0, 200)), max_size=6), st.floats(0, 60))
def test_a_host_keeps_the_policy_only_when_it_is_known_and_nothing_is_overdue(
    missing: list[tuple[str, float]], known: float
) -> None:
    found = host(*(episode(f"p{n}", sev, age) for n, (sev, age) in enumerate(missing)), look=looked("web1", known))
    late = any(age > (Settings().days[sev] or 1e9) for sev, age in missing)
    assert (found.state == "overdue") == late
    assert (found.state in judge.KEPT) == (known * DAY <= Settings().not_known_after and not late)
    assert (found.state == "compliant") == (found.state in judge.KEPT and not missing)
    assert found.oldest is None or found.oldest.age_days == pytest.approx(max(age for _sev, age in missing), abs=1e-6)


def test_the_trend_is_what_would_have_been_reported_then() -> None:
    moments = [NOW - 21 * DAY, NOW - 14 * DAY, NOW - 7 * DAY, NOW]
    looks = {"a": moments, "b": moments[:1], "c": moments[2:]}
    episodes = {"a": [gone(40, ago=5)], "c": [episode(age=3)]}
    points = judge.trend(Settings(), moments, ["a", "b", "c", "d"], looks, episodes, None, {})
    assert [(point.hosts, point.known, point.kept) for point in points] == [(2, 2, 2), (2, 2, 1), (3, 3, 2), (3, 2, 2)]
    assert [point.oldest_days for point in points] == [24.0, 31.0, 38.0, 3.0]
    assert [(point.patched, point.median_days) for point in points] == [(0, None)] * 3 + [(1, 40.0)]


# --- out of the store, as tickets, figures and the command ------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    plenty = SimpleNamespace(f_bavail=10**9, f_frsize=4096, f_files=10**6, f_favail=10**6)
    monkeypatch.setattr(selfreview, "_space", lambda _place: plenty)
    monkeypatch.setattr(look, "_last", None)
    with open_store(None, tmp_path / "home") as made:
        yield made


def inventory(monkeypatch: pytest.MonkeyPatch, groups: Mapping[str, frozenset[str]] | None) -> None:
    monkeypatch.setattr(look, "groups_of_hosts", lambda _config: groups)


def config_of(home: Path, **more: Any) -> Config:
    return Config(None, home, compliance=policy(**more), jobs={})


def compliance_tickets(store: Store) -> dict[str, list[tuple[str, str]]]:
    found = {}
    for ticket in store.tickets():
        if ticket.cause.startswith("patch.compliance."):
            entries = store.ticket(ticket.number).entries
            found[ticket.cause] = sorted((one.subject, one.severity) for one in entries if one.cleared is None)
    return found


def test_what_is_overdue_is_one_ticket_until_it_is_patched(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory(monkeypatch, {name: frozenset({"web"}) for name in ("web1", "web2", "web3")})
    config = config_of(tmp_path / "home", exceptions=(replace(excepted(packages=("zlib",)), until=NOW + 50 * DAY),))
    for at in (NOW, NOW + 10 * DAY, NOW + 20 * DAY):
        packages = [package("bash", severity="critical"), package("zlib", severity="critical")]
        keep(store, told("web1", at, data(*packages)), told("web2", at, data(package("openssl"))))
    assert selfreview.step(store, config, NOW + 20 * DAY) == 2
    expected = {look.OVERDUE: [("web1", "high")], look.NOT_KNOWN: [("web3", "medium")]}
    assert compliance_tickets(store) == expected
    # Looked at again and again: no second ticket.
    assert selfreview.step(store, config, NOW + 20 * DAY + 60) == 0
    later = NOW + 21 * DAY
    keep(store, told("web1", later, data(verdict="unknown", why=["the mirror is down"])))
    assert selfreview.step(store, config, later + 700) == 2  # a day has passed: the same, told once more
    assert compliance_tickets(store) == expected
    changed = [{"name": "bash", "arch": "amd64", "version": "2", "at": later}]
    keep(store, told("web1", later + DAY, data(package("zlib", severity="critical"), changed=changed)))
    keep(store, told("web3", later + DAY, data()))
    selfreview.step(store, config, later + DAY + 60)
    assert compliance_tickets(store) == {}


def test_an_exception_that_is_over_is_a_ticket_until_it_is_out_of_the_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory(monkeypatch, {})
    config = config_of(tmp_path / "home", exceptions=(excepted(20, packages=("bash",)),))
    assert selfreview.step(store, config, NOW) == 0
    assert selfreview.step(store, config, NOW + 7 * DAY) == 1
    assert compliance_tickets(store) == {look.EXPIRED: [("bash on all hosts", "low")]}
    assert selfreview.step(store, config, NOW + 21 * DAY) == 1
    assert compliance_tickets(store) == {look.EXPIRED: [("bash on all hosts", "medium")]}
    selfreview.step(store, replace(config, compliance=None), NOW + 23 * DAY)
    assert compliance_tickets(store) == {}


def test_without_a_policy_nobody_is_told(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look, "groups_of_hosts", lambda _config: pytest.fail("it is not asked"))
    keep(store, told("web1", 1.0, data(package("bash"))))
    assert selfreview.step(store, Config(None, tmp_path / "home", jobs={}), NOW) == 0


def test_a_policy_by_groups_cannot_be_judged_without_an_inventory(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inventory(monkeypatch, None)
    keep(store, told("web1", 1.0, data(package("bash"))))
    config = config_of(tmp_path / "home", rules=(Rule(Scope(groups=("dmz",)), Settings().days),))
    assert selfreview.step(store, config, NOW) == 3
    assert {ticket.cause for ticket in store.tickets()} == {f"upkeep.check.not_run of {check}" for check in look.CHECKS}
    # Without groups the hosts that were looked at are judged.
    with store.database.read() as connection:
        made = report(connection, Settings(), NOW, NOW - 7 * DAY, None)
    assert [(one.name, one.state) for one in made.hosts] == [("web1", "overdue")]


def test_a_host_that_was_never_looked_at_stays_told_when_the_inventory_cannot_be_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = config_of(tmp_path / "home")
    inventory(monkeypatch, {"new": frozenset()})
    selfreview.step(store, config, NOW)
    assert compliance_tickets(store) == {look.NOT_KNOWN: [("new", "medium")]}
    inventory(monkeypatch, None)
    monkeypatch.setattr(look, "_last", None)
    selfreview.step(store, config, NOW + 60)
    assert compliance_tickets(store) == {look.NOT_KNOWN: [("new", "medium")]}
    assert f"upkeep.check.not_run of {look.NOT_KNOWN}" in {ticket.cause for ticket in store.tickets()}


def test_hosts_without_a_policy_are_left_out(store: Store) -> None:
    keep(store, told("web1", NOW, data()), told("printer1", NOW, data()), told("old", NOW, data()))
    groups = {"web1": {"web"}, "printer1": {"printers"}, "printer2": {"printers"}}
    with store.database.read() as connection:
        made = report(connection, policy(leave_out=Scope(groups=("printers",))), NOW, NOW - DAY, groups)
    assert [one.name for one in made.hosts] == ["web1"]
    assert made.left_out == 1


def test_the_mirrored_data_rates_and_names_and_says_what_is_exploited(store: Store, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror"
    mirror.mkdir()
    release = {"bookworm": {"status": "resolved", "fixed_version": "2", "urgency": "high"}}
    (mirror / "json").write_text(json.dumps({"bash": {"CVE-2026-10001": {"releases": release}}}))
    added = {"cveID": "CVE-2026-10001", "dateAdded": "1972-09-01"}
    (mirror / "kev.json").write_text(json.dumps({"vulnerabilities": [added]}))
    keep(store, told("web1", NOW, data(package("bash", severity="", source="bash", source_version="1"))))
    with store.database.read() as connection:
        made = report(connection, policy(vulnerability_data=str(mirror)), NOW + DAY, NOW, None)
    ((patch,),) = [one.missing for one in made.hosts]
    assert (patch.cves, patch.severity, patch.allowed_days) == (("CVE-2026-10001",), "known_exploited", 14.0)
    assert patch.since == NOW, "it was added while it was not missing"
    (mirror / "kev.json").write_text("{")
    with store.database.read() as connection, pytest.raises(Exception, match="vulnerability data"):
        report(connection, policy(vulnerability_data=str(mirror)), NOW + DAY, NOW, None)


def test_the_figures(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inventory(monkeypatch, {name: frozenset() for name in ("web1", "web2", "web3")})
    changed = [{"name": "zlib", "arch": "amd64", "version": "2", "at": NOW + 4 * DAY}]
    bash = package("bash", severity="critical")
    keep(store, told("web1", NOW, data(bash, package("zlib"))), told("web2", NOW, data()))
    keep(store, told("web1", NOW + 5 * DAY, data(bash, changed=changed)))
    figures = collect(store, config_of(tmp_path / "home"), NOW + 16 * DAY).compliance
    assert figures is not None
    assert figures.hosts == {"overdue": 1, "not_known": 2, "within": 0, "excepted": 0, "compliant": 0}
    assert figures.oldest == {"critical": NOW}
    assert figures.missing["critical"] == {"overdue": 1, "within": 0, "excepted": 0}
    assert figures.patched == {"high": (1, 4 * DAY)}


# --- the command ------------------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("time.time", lambda: NOW)
    inventory(monkeypatch, {f"web{number}": frozenset({"web"}) for number in range(3)} | {"db1": frozenset({"db"})})
    with open_store(None, tmp_path / "home") as store:
        for week in range(6, -1, -1):
            at = NOW - week * 7 * DAY
            patched = [{"name": "zlib", "arch": "amd64", "version": "2", "at": at - DAY}]
            keep(store, told("web0", at, data(package("bash", severity="critical"), package("a[red]b"))))
            keep(
                store,
                told("web1", at, data(*[package("zlib")] * (week > 2), changed=patched)),
                told("web2", at, data()),
            )
    return tmp_path


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = FINDINGS) -> str:
    assert cli.main(["compliance", *arguments]) == code
    said = capsys.readouterr()
    assert not said.err
    return said.out


def test_the_command_at_eighty_columns(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(capsys)
    assert max(map(len, out.splitlines())) <= 80
    assert "2 of 4 hosts keep the policy (50 %)" in out
    assert "Hosts: 1 overdue, 1 not known, 2 compliant" in out
    assert "these are the built-in days" in out
    assert "web0  overdue    42 of 15  bash (critical), 1 more" in out
    assert "db1   not known  -         it was never looked at" in out
    one = shown(capsys, "--host", "web0")
    assert "a[red]b" in one and "42 of 30" in one
    assert max(map(len, one.splitlines())) <= 80
    assert shown(capsys, "--host", "web1", code=OK).count("27 d") >= 1


def test_the_document(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(shown(capsys, "--json", "--group", "web"))
    assert document["counts"] == {"overdue": 1, "not_known": 0, "within": 0, "excepted": 0, "compliant": 2}
    (patch, _) = next(one for one in document["hosts"] if one["name"] == "web0")["missing"]
    assert (patch["severity"], patch["age_days"], patch["allowed_days"]) == ("critical", 42.0, 15.0)
    assert patch["due"] == "1972-08-31T00:00:00Z"
    assert [point["kept"] for point in document["trend"]][-1] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--group", "wbe"], "did you mean web"),
        (["--host", "web9"], "nothing is known of web9"),
        (["--since", "some time ago"], "--since is not understood"),
    ],
)
def test_wrong_use_says_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert cli.main(["compliance", *arguments]) == 2
    assert said in capsys.readouterr().err


def test_a_group_without_an_inventory(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    inventory(monkeypatch, None)
    assert cli.main(["compliance", "--group", "web"]) == NOT_RUN
    assert "the inventory cannot be read" in capsys.readouterr().err
    assert "hosts that were never looked at are missing" in shown(capsys)


# --- the section ------------------------------------------------------------------------------------------------------


def read(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "upkeep.yml"
    path.write_text("time_zone: UTC\ncompliance:\n" + text)
    return config_file.read(path, tmp_path)


def test_the_section(tmp_path: Path) -> None:
    made = read(
        tmp_path,
        "  days: {critical: 7, ordinary: 90, low: never}\n"
        "  rules: [{groups: dmz, days: {critical: 2}}]\n"
        "  exceptions: [{cves: cve-2026-12345, hosts: 'db*', reason: it waits, until: 2027-03-31}]\n"
        "  leave_out: {hosts: printer*}\n  not_known_after: 9d\n",
    ).compliance
    assert made is not None
    assert (made.days["critical"], made.days["high"], made.days["ordinary"], made.days["low"]) == (
        7.0,
        30.0,
        90.0,
        None,
    )
    assert made.rules[0].days == {**made.days, "critical": 2.0}
    assert made.ordinary and made.needs_groups and made.not_known_after == 9 * DAY
    (one,) = made.exceptions
    assert (one.cves, str(one), one.until) == (("CVE-2026-12345",), "CVE-2026-12345 on db*", 1806537600.0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("  days: {critical: -1}\n", "a number of days"),
        ("  days: {critical: true}\n", "a number of days"),
        ("  days: {terrible: 3}\n", "one of known_exploited, critical"),
        ("  rules: [{days: {high: 3}}]\n", "groups or hosts"),
        ("  rules: [{groups: web, days: {}}]\n", "days for one of"),
        ("  exceptions: [{packages: a, until: 2027-01-01}]\n", "reason"),
        ("  exceptions: [{packages: a, reason: ' ', until: 2027-01-01}]\n", "an auditor reads it"),
        ("  exceptions: [{packages: a, reason: because}]\n", "until"),
        ("  exceptions: [{packages: a, reason: because, until: for ever}]\n", "a day, as 2027-01-31"),
        ("  exceptions: [{packages: a, reason: because, until: 9999-12-31}]\n", "a day, as 2027-01-31"),
        ("  exceptions: [{reason: because, until: 2027-01-01}]\n", "packages, or cves"),
        (
            "  exceptions: [{packages: a, cves: CVE-2026-12345, reason: because, until: 2027-01-01}]\n",
            "packages, or cves",
        ),
        ("  exceptions: [{packages: '*', reason: because, until: 2027-01-01}]\n", "names of packages"),
        ("  exceptions: [{cves: DSA-1, reason: because, until: 2027-01-01}]\n", "a CVE, as"),
        ("  vulnerability_data: nowhere\n", "the folder"),
        ("  leave_out: {}\n", "groups or hosts"),
        ("  not_known_after: never\n", "a duration"),
    ],
)
def test_what_is_wrong_in_it_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(UpkeepError) as caught:
        read(tmp_path, text)
    assert ":3:" in caught.value.what
    assert said in f"{caught.value.what} {caught.value.expected}"
