# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weekly review sees with one task what the roles see with one each."""

from __future__ import annotations

from typing import Any

from molecule.shared.results import covered, findings, records

testinfra_hosts = ["ansible://fleet_debian", "ansible://fleet_dnf"]


def name_of(host: Any) -> str:
    return str(host.ansible.get_variables()["inventory_hostname"])


def test_all_areas_were_looked_at_in_one_round_trip(host: Any) -> None:
    areas = {check.split(".")[0] for check in covered(name_of(host))}
    assert {"patch", "capacity", "backup"} <= areas
    tasks = {
        entry["subject"]
        for record in records()
        if record["type"] == "coverage" and record["host"] == name_of(host)
        for entry in record["coverage"]
        if entry["check"] == "upkeep.task.failed"
    }
    assert len([task for task in tasks if "Validating arguments" not in task]) == 1


def test_a_host_without_a_backup_is_found(host: Any) -> None:
    assert ("backup.host.uncovered", "host") in findings(name_of(host))


def test_the_waiting_updates_are_found(host: Any) -> None:
    assert any(check == "patch.security.pending" for check, _subject in findings(name_of(host)))


def test_the_failed_unit_is_found_where_it_is(host: Any) -> None:
    failed = host.run("systemctl is-failed doomed.service").stdout.strip() == "failed"
    assert failed == (name_of(host) == "web1")
    assert failed == (("capacity.unit.failed", "doomed.service") in findings(name_of(host)))


def test_the_run_ended(host: Any) -> None:
    assert records()[-1]["type"] == "end" and records()[-1]["state"] == "finished"
