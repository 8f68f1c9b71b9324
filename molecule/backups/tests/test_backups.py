# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole backups are silent and proven; every fault of the broken ones is named; a host without any is told."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from molecule.shared.results import FILE, covered, findings, proofs
from upkeep.store.proofs import RESTORES, recovery

testinfra_hosts = ["ansible://fleet_backups"]


def name_of(host: Any) -> str:
    return str(host.ansible.get_variables()["inventory_hostname"])


def only(host: Any, name: str) -> None:
    if name_of(host) != name:
        pytest.skip(f"about {name}")


def checks(name: str) -> set[str]:
    return {check for check, _subject in findings(name)}


def test_whole_backups_are_silent_and_everything_was_looked_at(host: Any) -> None:
    only(host, "db1")
    assert findings("db1") == {}
    for check in (
        *(
            "backup.host.uncovered",
            "backup.database.uncovered",
            "backup.snapshot.stale",
            "backup.snapshot.path_missing",
        ),
        *("backup.structure.damaged", "backup.data.damaged", "backup.restore.content_mismatch"),
    ):
        assert check in covered("db1"), check


def test_every_test_left_a_proof(host: Any) -> None:
    only(host, "db1")
    made = {(proof["check"], proof["outcome"]) for proof in proofs("db1")}
    assert {
        ("backup.restore.sample", "passed"),
        ("backup.restore.whole", "passed"),
        ("backup.dump.load", "passed"),
    } <= made
    assert {outcome for _check, outcome in made} == {"passed"}
    # What the figures for Prometheus are made of stands in the facts of each that restored.
    restores = [proof for proof in proofs("db1") if proof["check"].startswith(RESTORES)]
    assert len(restores) >= 6 and all(recovery(proof["facts"]) is not None for proof in restores)
    (whole,) = (
        one for one in proofs("db1") if one["check"] == "backup.restore.whole" and one["subject"].startswith("daily ")
    )
    assert whole["facts"]["restored_on"] == "db1"
    assert host.run("restic -r /srv/restic -p /etc/restic/password snapshots --json").stdout.count('"short_id"') == 1
    loads = {one["subject"]: one["facts"] for one in proofs("db1") if one["check"] == "backup.dump.load"}
    dumps = {"/var/backups/postgresql/shop.dump": "5000", "/var/backups/mysql/shop.sql.zst": "3000"}
    assert set(loads) == {f"daily:{path}" for path in dumps}
    for path, answer in dumps.items():
        digest = hashlib.sha256(host.file(path).content).hexdigest()
        assert digest in str(loads[f"daily:{path}"])
        assert answer in str(loads[f"daily:{path}"])


def test_a_dump_of_mariadb_was_held_against_its_baseline_and_the_live_server(host: Any) -> None:
    only(host, "db1")
    for check in (
        "truncated",
        "load_errors",
        "rows_differ",
        "structure_differs",
        "query_differs",
        "constraint_violated",
    ):
        assert f"backup.dump.{check}" in covered("db1"), check
    (facts,) = (one["facts"] for one in proofs("db1") if one["subject"] == "daily:/var/backups/mysql/shop.sql.zst")
    assert (facts["tables"], facts["rows"], facts["foreign_keys"], facts["errors"]) == (2, 3200, 1, 0)
    # The live one is still there, and holds what it held.
    with host.sudo():
        assert host.check_output("mariadb --batch --skip-column-names -e 'SELECT COUNT(*) FROM shop.orders'") == "3000"


def test_another_program_is_tried_in_the_same_way(host: Any) -> None:
    only(host, "db1")
    made = {(proof["check"], proof["outcome"]) for proof in proofs("db1") if proof["subject"].startswith("vault")}
    assert made == {("backup.data.read", "passed"), ("backup.restore.whole", "passed")}


def test_the_same_was_restored_on_another_host(host: Any) -> None:
    only(host, "bare1")
    (elsewhere,) = (one for one in proofs("db1") if one["subject"].startswith("daily-from-elsewhere"))
    assert (elsewhere["check"], elsewhere["outcome"]) == ("backup.restore.whole", "passed")
    assert elsewhere["facts"]["restored_on"] == "bare1"
    assert proofs("bare1") == []


def test_broken_backups_are_named(host: Any) -> None:
    only(host, "db2")
    assert {"backup.snapshot.stale", "backup.data.damaged", "backup.dump.truncated"} <= checks("db2"), findings("db2")
    with host.sudo():
        broken = host.check_output("restic -r /srv/restic -p /etc/restic/password check --read-data 2>&1 || true")
    pack = broken.split("want ")[1][:64]
    (damaged,) = (found for (check, _subject), found in findings("db2").items() if check == "backup.data.damaged")
    assert pack[:8] in str(damaged)
    (rows,) = (found for (check, _subject), found in findings("db2").items() if check == "backup.dump.rows_differ")
    assert "3000" in str(rows["evidence"]) and "2990" in str(rows["evidence"]), rows
    outcomes = {(proof["check"], proof["outcome"]) for proof in proofs("db2")}
    assert ("backup.restore.whole", "failed") in outcomes
    assert ("backup.dump.load", "failed") in outcomes


def test_what_no_backup_holds_is_named(host: Any) -> None:
    only(host, "db2")
    for what, subject in (("database", "/srv/crm/crm.db"), ("volume", "/srv/photos")):
        (named,) = (name for check, name in findings("db2") if check == f"backup.{what}.uncovered")
        assert named.endswith(subject)


def test_a_host_without_a_backup_is_told(host: Any) -> None:
    only(host, "bare1")
    assert checks("bare1") == {"backup.host.uncovered"}


def test_what_a_kill_and_a_power_cut_left_was_swept(host: Any) -> None:
    if name_of(host) == "db2":
        pytest.skip("about db1 and bare1")
    with host.sudo():
        left = host.check_output("cat /root/left-behind").split()
        assert left and not [path for path in left if host.file(path).exists]


def test_nothing_stays(host: Any) -> None:
    with host.sudo():
        assert host.run("ls -A /var/lib/upkeep/scratch 2>/dev/null").stdout == ""
        running = host.check_output("ps -eo pid,args")
    assert "/var/lib/upkeep" not in running
    # The server of the customer is still the one that it was.
    if name_of(host) != "bare1":
        with host.sudo("postgres"):
            assert host.check_output("psql -Atc 'SELECT count(*) FROM orders' shop") == "5000"


def test_no_password_anywhere() -> None:
    assert b"molecule-password" not in FILE.read_bytes()
