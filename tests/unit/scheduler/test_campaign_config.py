# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The campaigns of upkeep.yml: what they are without a word, with all of them, and what is wrong with them, by line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from upkeep.campaign.model import STEPS, Amount, Emergency, Ring, Spec, Together
from upkeep.config_file import check

ALL = """\
campaigns:
  os:
    playbook: site.yml
    description: The fleet
    inventory: hosts.ini
    hosts: [web, "db*"]
    rings:
      - {name: canary, hosts: canary, batch: 1, soak: 2h}
      - {name: early, percent: 12.5}
      - {name: more, count: 5, batch: 25%, soak: 0}
      - {name: rest, rest: true}
    one_at_a_time:
      - {hosts: pg, order: [standby, primary], order_by: pg_role}
      - {hosts: etcd}
    max_failures: 5%
    soak: 30m
    window: ["Sat 22:00-06:00", "Sun 22:00-04:00"]
    time_zone: Europe/Berlin
    approve: false
    rollback: false
    lost_after: 10m
    extra_vars: {os_patch_reboot_ok: true}
    steps: [prepare, apply, reboot, verify]
    time_limit: 1h
    lock: patching
    emergency:
      rings: [{name: first, count: 2}, {name: others, rest: true, batch: 3}]
      batch: 50%
      soak: 1m
      max_failures: 1
      window: ignore
  usual:
"""


def campaigns(tmp_path: Path, text: str) -> dict[str, Spec]:
    (tmp_path / "upkeep.yml").write_text(text)
    config, problems = check(tmp_path / "upkeep.yml", tmp_path)
    assert config is not None, problems
    return dict(config.campaigns)


def test_all_words_are_understood_and_survive_the_store(tmp_path: Path) -> None:
    (tmp_path / "hosts.ini").touch()
    made = campaigns(tmp_path, ALL)
    spec = made["os"]
    assert spec == Spec(
        name="os",
        playbook=str(tmp_path / "site.yml"),
        description="The fleet",
        inventory=(str(tmp_path / "hosts.ini"),),
        hosts="web,db*",
        rings=(
            Ring("canary", hosts="canary", batch=Amount(1), soak=7200.0),
            Ring("early", percent=12.5),
            Ring("more", count=5, batch=Amount(25, True), soak=0.0),
            Ring("rest", rest=True),
        ),
        one_at_a_time=(Together("pg", ("standby", "primary"), "pg_role"), Together("etcd")),
        max_failures=Amount(5, True),
        soak=1800.0,
        windows=("Sat 22:00-06:00", "Sun 22:00-04:00"),
        time_zone="Europe/Berlin",
        approve=False,
        rollback=False,
        lost_after=600.0,
        extra_vars={"os_patch_reboot_ok": True},
        steps=("plan", "prepare", "apply", "reboot", "verify"),
        time_limit=3600.0,
        locks=("patching",),
    )
    assert Spec.from_json(json.loads(json.dumps(spec.as_json()))) == spec
    rings = (Ring("first", count=2, batch=Amount(50, True)), Ring("others", rest=True, batch=Amount(3)))
    assert spec.emergency == Emergency(rings, 60.0, Amount(1), True)
    usual = made["usual"]
    assert usual.emergency == Emergency()
    assert usual == Spec("usual") and usual.playbook == "upkeep.maintenance.os_patch" and usual.steps == STEPS
    assert usual.approve and usual.max_failures == Amount(0)
    assert [spec.soak_of(ring) for ring in range(4)] == [7200.0, 1800.0, 0.0, 1800.0]


@pytest.mark.parametrize(
    ("block", "line", "said"),
    [
        ("weekly: {}", 2, "a job has this name"),
        ("a b: {}", 2, "wrong name of a campaign"),
        ("os:\n    ring: []", 3, "did you mean rings?"),
        ("os:\n    rings: []", 3, "rings"),
        ("os:\n    rings:\n      - {name: a, count: 1, percent: 5}", 4, "does not say its hosts"),
        ("os:\n    rings:\n      - name: a", 4, "found:    none of them"),
        ("os:\n    rings:\n      - {name: a, percent: 101}", 4, "at most 100"),
        ("os:\n    rings:\n      - {name: a, count: 1}\n      - {name: a, rest: true}", 5, "there twice"),
        ("os:\n    rings:\n      - {name: a, rest: true}\n      - {name: b, count: 1}", 5, "no host is left"),
        ("os:\n    rings:\n      - name: a\n        rest: true\n        batch: 0", 6, "nothing would ever begin"),
        ("os:\n    hosts: all\n    max_failures: some", 4, 'as "10%"'),
        ("os:\n    soak: often", 3, "a duration"),
        ("os:\n    window: nightly", 3, "a window"),
        ("os:\n    one_at_a_time:\n      - hosts: db\n        order_by: role", 5, "the order is missing"),
        ("os:\n    steps: [prepare, aply, verify]", 3, "did you mean apply?"),
        ("os:\n    steps: [apply]", 3, "verify is missing"),
        ("os:\n    steps: [drain, apply, verify]", 3, "drain without undrain"),
        ("os:\n    steps: [apply, verify, cleanup]", 3, "cleanup without snapshot"),
        ("os:\n    steps: [verify, apply]", 3, "another order"),
        ("os:\n    emergency: {window: never}", 3, "'ignore', 'keep'"),
        ("os:\n    emergency: {ring: []}", 3, "did you mean rings?"),
        ("os:\n    emergency:\n      rings: []", 4, "rings"),
        ("os:\n    emergency:\n      rings:\n        - {name: a}", 5, "does not say its hosts"),
        ("os:\n    emergency:\n      soak: 1m\n      batch: 0", 5, "nothing would ever begin"),
        ("os:\n    emergency: soon", 3, "emergency"),
        ("os:\n    inventory: no/such", 3, "the inventory is not there"),
    ],
)
def test_what_is_wrong_names_its_line(tmp_path: Path, block: str, line: int, said: str) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text(f"campaigns:\n  {block}\n")
    config, problems = check(path, tmp_path)
    assert config is None
    told = "\n".join("\n".join(one.error(path).lines()) for one in problems)
    assert said in told
    assert line in [one.line for one in problems], told


def test_a_freeze_may_name_a_campaign(tmp_path: Path) -> None:
    freeze = "freezes:\n  - {name: sale, from: 2026-12-20, to: 2026-12-27, jobs: [os]}\n"
    assert campaigns(tmp_path, freeze + "campaigns: {os: {}}\n")
    (tmp_path / "upkeep.yml").write_text(freeze)
    config, problems = check(tmp_path / "upkeep.yml", tmp_path)
    assert config is None and problems[0].what == "there is no such job"


def test_the_batch_of_an_emergency_is_that_of_its_usual_rings_but_the_canary(tmp_path: Path) -> None:
    made = campaigns(tmp_path, "campaigns: {os: {emergency: {batch: 5}}}\n")["os"].emergency
    assert [(ring.name, str(ring.batch)) for ring in made.rings] == [("canary", "1"), ("early", "5"), ("rest", "5")]
