# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The Zabbix template, with Debian's Zabbix: imported by its API, fed by our endpoint, until its triggers fire.

The server, its frontend and their database are started by zabbix_server.py.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.integration.test_store_postgresql import server  # noqa: F401 - a fixture
from tests.unit.scheduler import busy_store
from upkeep.config import BUILT_IN
from upkeep.store import open_store

from .test_monitoring import MONITORING, upkeep_endpoint, wait_for
from .zabbix_server import Zabbix, zabbix  # noqa: F401 - a fixture

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(420)]

TEMPLATE = MONITORING / "zabbix" / "upkeep.yaml"


def template() -> dict[str, Any]:
    loaded: dict[str, Any] = YAML(typ="safe").load(TEMPLATE.read_text(encoding="utf-8"))["zabbix_export"]
    return loaded


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping in it."""
    if isinstance(value, dict):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from nodes(item)


def test_what_an_import_would_refuse_without_saying_where() -> None:
    export = template()
    uuids = [node["uuid"] for node in nodes(export) if "uuid" in node]
    assert len(set(uuids)) == len(uuids) > 40
    assert all(re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", one) for one in uuids), (
        "each a UUID of version 4"
    )
    keys = {node["key"] for node in nodes(export) if "uuid" in node and "key" in node}
    named = {
        key for node in nodes(export) for key in re.findall(r"\(/Upkeep by HTTP/([^,)]+)", node.get("expression", ""))
    }
    assert named <= keys
    macros = {macro["macro"] for macro in export["templates"][0]["macros"]}
    assert set(re.findall(r"{\$[A-Z_.]+}", TEMPLATE.read_text(encoding="utf-8"))) == macros


def rules() -> dict[str, dict[str, bool]]:
    both = {"createMissing": True, "updateExisting": True}
    names = ("discoveryRules", "items", "templates", "triggers", "valueMaps")
    return {**dict.fromkeys(names, both), "groups": {"createMissing": True}}


def test_it_is_imported_fed_and_fires(zabbix: Zabbix, tmp_path: Path) -> None:  # noqa: F811
    source = TEMPLATE.read_text(encoding="utf-8")
    source = re.sub(r"delay: '?1m'?", "delay: 3s", source)  # or a test would take minutes
    assert zabbix("configuration.import", format="yaml", source=source, rules=rules()) is True
    again = zabbix("configuration.importcompare", format="yaml", source=source, rules=rules())
    # It also names what only stands in another order.
    assert [node for node in nodes(again) if node.get("before") != node.get("after")] == []
    assert not any({"added", "removed"} & node.keys() for node in nodes(again))

    (tmp_path / "upkeep.yml").write_text(busy_store.UPKEEP_YML)
    with open_store(None, tmp_path) as store:
        busy_store.fill(store, tmp_path, time.time())
    with upkeep_endpoint(tmp_path) as port:
        found = zabbix("template.get", filter={"host": ["Upkeep by HTTP"]})
        group = zabbix("hostgroup.get", limit=1)[0]["groupid"]
        macro = {"macro": "{$UPKEEP.URL}", "value": f"http://127.0.0.1:{port}/metrics"}
        host = zabbix(
            "host.create",
            host="upkeep",
            groups=[{"groupid": group}],
            templates=[{"templateid": found[0]["templateid"]}],
            macros=[macro],
        )["hostids"][0]

        def items() -> dict[str, dict[str, str]]:
            fields = ["key_", "lastvalue", "lastclock", "state", "error"]
            return {item["key_"]: item for item in zabbix("item.get", hostids=host, output=fields)}

        def seen(*keys: str) -> dict[str, dict[str, str]] | None:
            there = items()
            return there if all(int(there.get(key, {}).get("lastclock", 0)) for key in keys) else None

        wanted = ("upkeep.store.up", "upkeep.job.success[weekly]", "upkeep.queue.held[ticket:itsm]")
        values = wait_for("values of discovered items", lambda: seen(*wanted), 120)
        shown = {key: item["lastvalue"] for key, item in values.items()}
        assert (shown["upkeep.store.up"], shown["upkeep.tickets[P2]"], shown["upkeep.outbox.dead"]) == ("1", "2", "1")
        assert float(shown["upkeep.scheduler.heartbeat"]) > time.time() - 600
        assert re.fullmatch(r"\d+\.\d+\.\d+.*", shown["upkeep.version"])
        assert {f"upkeep.job.due[{job}]" for job in ("weekly", "nightly", "never", "capacity")} <= shown.keys()
        deadline = time.monotonic() + 60
        while _empty(items()) and time.monotonic() < deadline:
            time.sleep(1)
        assert _empty(items()) == set()
        assert [item for item in items().values() if item["state"] != "0"] == [], "none is unsupported"

        def problems() -> set[str] | None:
            names = {problem["name"] for problem in zabbix("problem.get", hostids=host)}
            expected = {
                "Upkeep: nothing goes out to ticket:itsm",
                "Upkeep: messages that can never be delivered (1)",
                "Upkeep: an incident (P1) that nobody has acknowledged in time",
                "Upkeep: nightly is owed",
                "Upkeep: ticket:itsm has waited for more than 1h",
            }
            return names if expected <= names else None

        names = wait_for("problems", problems, 120)
        assert not {name for name in names if "never is owed" in name}, "a job that is paused is not owed"
        assert not {name for name in names if "cannot be read" in name or "no figures" in name}


_JOBS_THAT_NEVER_RAN = "|".join({*BUILT_IN, "never"} - {"weekly"})
NEVER_RAN = re.compile(
    rf"upkeep\.metrics|upkeep\.job\.(duration|finished|critical|high|hosts\.bad)\[({_JOBS_THAT_NEVER_RAN})\]"
)


def _empty(items: dict[str, dict[str, str]]) -> set[str]:
    """Jobs that never ran have no last run: what is not there is discarded, and no fault of the item."""
    return {key for key, item in items.items() if not int(item["lastclock"]) and not NEVER_RAN.fullmatch(key)}
