# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the service does at its beginning and its end, beside what runs at the same moment."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from upkeep import config as configuration
from upkeep.config import Config
from upkeep.errors import UpkeepError
from upkeep.metrics.server import Endpoint
from upkeep.metrics.settings import Address
from upkeep.service import loop
from upkeep.store import nodes, open_store

LOGGERS = ("upkeep", "apscheduler")


def test_a_sign_of_life_that_comes_after_the_end_leaves_no_lost_scheduler(tmp_path: Path) -> None:
    with open_store(None, tmp_path) as store:
        service = loop.Service(Config(None, tmp_path), store)
        service.beat()
        with store.database.read() as connection:
            assert [node.leads for node in nodes.listed(connection)] == [True]
        service._leave()
        service.beat()  # it was under way
        with store.database.read() as connection:
            assert nodes.listed(connection) == []


def test_a_configuration_that_is_corrected_while_the_store_is_away_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text("scheduler: {max_runs: 1}\n")
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path))
    tried: list[Any] = []

    def away_at_first(*given: Any) -> Any:
        tried.append(given)
        if len(tried) == 1:
            raise UpkeepError("the store is away")
        path.write_text("scheduler: {max_runs: 22}\n")
        return open_store(*given)

    monkeypatch.setattr(loop, "open_store", away_at_first)
    monkeypatch.setattr(loop.time, "sleep", lambda _seconds: None)
    service = loop.open_service(configuration.load(str(path)))
    with service.store:
        service.tick()
    assert service.config.scheduler.max_runs == 22


def test_a_wrong_configuration_is_told_once_and_is_well_only_when_it_was_corrected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text("scheduler: {max_runs: 1}\n")
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path))
    service = loop.open_service(configuration.load(str(path)))
    looks: list[float] = []
    caplog.set_level("INFO", "upkeep.scheduler")
    with service.store:
        service.beat()  # it leads
        monkeypatch.setattr(service._engine, "look", lambda now, _steady: looks.append(now) or now + 1e6)
        path.write_text("scheduler: {max_runs: none}\n")
        caplog.clear()
        for _tick in range(3):
            service.tick()
        assert len(looks) == 3, "the one before stays in force, and what is due by it is begun"
        (said,) = caplog.messages
        assert said.startswith("the configuration: it was changed, and is wrong; the one before stays in force")
        assert service._unwell() == ""
        path.write_text("scheduler: {max_runs: 33}\n")
        service.tick()
        assert service.config.scheduler.max_runs == 33
        assert caplog.messages[1:] == [
            "the configuration was changed, and is in force",
            "the configuration: well again",
        ]


@pytest.mark.parametrize("hangs", [False, True])
def test_systemd_hears_that_it_lives_only_while_it_looks_at_the_schedule(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    heard.bind(str(tmp_path / "notify"))
    heard.settimeout(5)
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setattr(loop.signal, "signal", lambda *_: None)
    with heard, open_store(None, tmp_path) as store:
        service = loop.Service(Config(None, tmp_path), store)
        monkeypatch.setattr(service, "tick", lambda: None)
        if hangs:
            service._ticked -= loop.HUNG
        ends = iter([False, False, True])
        monkeypatch.setattr(service._over, "wait", lambda _seconds: next(ends))
        service.run()
        states = ["READY=1", *([] if hangs else ["WATCHDOG=1"] * 2), "STOPPING=1"]
        assert [heard.recv(100).decode() for _ in states] == states


def test_the_figures_are_of_the_configuration_that_is_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "upkeep.yml"
    path.write_text("scheduler: {max_runs: 1}\n")
    monkeypatch.setenv("UPKEEP_HOME", str(tmp_path))
    monkeypatch.setattr(loop.signal, "signal", lambda *_: None)
    service = loop.open_service(configuration.load(str(path)))
    endpoint = Endpoint(service.config, Address("127.0.0.1", 0))
    monkeypatch.setattr(service, "_metrics", lambda: endpoint)
    service._over.set()  # only its beginning and its end
    with service.store:
        service.run()
        path.write_text("jobs: {added: {playbook: p.yml, schedule: '0 3 * * *'}}\n")
        service.tick()
    assert "added" in endpoint.reader.config.jobs


@pytest.fixture
def _loggers() -> Iterator[None]:
    kept = {
        name: (one.level, one.propagate, list(one.handlers)) for name in LOGGERS for one in [logging.getLogger(name)]
    }
    yield
    for name, (level, propagate, handlers) in kept.items():
        one = logging.getLogger(name)
        one.level, one.propagate, one.handlers = level, propagate, handlers


@pytest.mark.usefixtures("_loggers")
def test_its_log_has_the_times_of_the_configured_zone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("JOURNAL_STREAM", raising=False)
    loop.set_up_logging(ZoneInfo("UTC"))
    loop.set_up_logging(ZoneInfo("Asia/Tokyo"))
    record = logging.makeLogRecord({"name": "upkeep", "msg": "at work", "created": 0.0, "levelno": logging.INFO})
    logging.getLogger("upkeep").handle(record)
    assert capsys.readouterr().err == "1970-01-01 09:00:00 JST at work\n"
