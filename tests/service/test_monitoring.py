# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/monitoring promises, with Debian's Prometheus and Alertmanager: started here, on free ports of loopback."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest
from ruamel.yaml import YAML

from tests.unit.scheduler import busy_store, results_file
from tests.unit.scheduler.busy_store import DAY
from upkeep.config import BUILT_IN
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import open_store

T = TypeVar("T")

pytestmark = pytest.mark.timeout(180)

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "docs" / "monitoring"
RULES = MONITORING / "prometheus" / "upkeep.rules.yml"
RULE_TESTS = sorted((Path(__file__).parent / "monitoring").glob("*.test.yml"))
DASHBOARD = MONITORING / "grafana" / "upkeep.json"


def program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        package = "prometheus" if name in ("prometheus", "promtool") else "prometheus-alertmanager"
        pytest.fail(f"expected {name}, found none; to do: apt-get install {package}")
    return path


def told(*words: str | Path, stdin: bytes | None = None, cwd: Path | None = None) -> str:
    """What a program says; it must end well."""
    done = subprocess.run([program(str(words[0])), *map(str, words[1:])], input=stdin, capture_output=True, cwd=cwd)
    text = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, text
    return text


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return bytes(answer.read())


def wait_for(what: str, ask: Callable[[], T | None], seconds: float = 60) -> T:
    """Ask until there is an answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            answer = None
        if answer:
            return answer
        assert time.monotonic() < deadline, f"no {what} within {seconds:g} s"
        time.sleep(0.2)


@contextmanager
def running(log: Path, *words: str | Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        child = subprocess.Popen(list(map(str, words)), stdout=output, stderr=output, env={**os.environ, **(env or {})})
        try:
            yield child
        finally:
            ended = child.poll()
            child.terminate()
            child.wait(20)
            if ended is not None:
                sys.stderr.write(log.read_text(errors="replace")[-3000:])


SERVE = """
import sys, threading
from upkeep import config, metrics
endpoint = metrics.serve(config.load())
print(endpoint.port, flush=True)
threading.Event().wait()
"""


@contextmanager
def upkeep_endpoint(home: Path) -> Iterator[int]:
    """A process of Upkeep that serves its figures, as the service does; its port."""
    port = free_port()
    with (home / "upkeep.yml").open("a") as file:
        file.write(f'metrics: {{listen: "127.0.0.1:{port}"}}\n')
    environment = {"UPKEEP_HOME": str(home), "UPKEEP_CONFIG": str(home / "upkeep.yml")}
    with running(home / "serve.log", sys.executable, "-c", SERVE, env=environment):
        wait_for("endpoint", lambda: get(f"http://127.0.0.1:{port}/healthz"))
        yield port


@contextmanager
def prometheus(folder: Path, target: int, *, alertmanager: int | None = None, rules: str = "") -> Iterator[str]:
    """Its address. It scrapes and evaluates each second, or a test would take minutes."""
    folder.mkdir()
    (folder / "rules.yml").write_text(rules or "groups: []\n")
    config: dict[str, Any] = YAML(typ="safe").load((MONITORING / "prometheus" / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = ["rules.yml"]
    config["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{target}"]}]
    del config["alerting"]
    if alertmanager is not None:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]}
    (folder / "prometheus.yml").write_text(json.dumps(config))
    port = free_port()
    words = [
        program("prometheus"),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with running(folder / "log", *words):
        url = f"http://127.0.0.1:{port}"
        wait_for("Prometheus", lambda: get(f"{url}/-/ready"))
        yield url


def ask(url: str, expression: str) -> list[dict[str, Any]]:
    """An instant query."""
    query = urllib.parse.urlencode({"query": expression})
    try:
        answer = json.loads(get(f"{url}/api/v1/query?{query}"))
    except urllib.error.HTTPError as error:
        with error:
            raise AssertionError(f"{expression}: {error.read().decode()}") from None
    result: list[dict[str, Any]] = answer["data"]["result"]
    return result


# --- what needs no server ---------------------------------------------------------------------------------------------


def test_the_rules_are_rules() -> None:
    assert "SUCCESS" in told("promtool", "check", "rules", RULES)
    told("promtool", "check", "config", MONITORING / "prometheus" / "prometheus.yml")


def test_each_alert_fires_when_it_must_and_is_silent_else() -> None:
    told("promtool", "test", "rules", *RULE_TESTS, cwd=RULE_TESTS[0].parent)


def test_each_alert_has_such_a_test_and_says_what_to_do() -> None:
    groups = YAML(typ="safe").load(RULES.read_text())["groups"]
    alerts = [rule for group in groups for rule in group["rules"] if "alert" in rule]
    assert len(alerts) > 20
    tests = [test for file in RULE_TESTS for test in YAML(typ="safe").load(file.read_text())["tests"]]
    fired = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case.get("exp_alerts")}
    assert fired == {alert["alert"] for alert in alerts}
    for alert in alerts:
        assert alert["labels"]["severity"] in ("critical", "warning", "info")
        assert len(alert["annotations"]["summary"]) > 10
        assert len(alert["annotations"]["description"]) > 10


def test_the_metrics_that_rules_and_dashboard_name_exist(tmp_path: Path) -> None:
    from upkeep import config
    from upkeep.compliance.settings import Settings
    from upkeep.metrics.collect import collect
    from upkeep.metrics.exposition import families

    settings = config.Config(None, tmp_path, compliance=Settings())
    now = time.time()
    with open_store(None, tmp_path) as store:
        busy_store.fill(store, tmp_path, now)
        there = set()
        for family in families(collect(store, settings, now)):
            there |= {family.name, family.name + "_total"} if family.type == "counter" else {family.name}
    for file in (RULES, DASHBOARD, MONITORING / "README.md", MONITORING / "zabbix" / "upkeep.yaml", *RULE_TESTS):
        text = re.sub(r"\w+:upkeep_\w+:\w+", "", file.read_text(encoding="utf-8"))  # what the rules record themselves
        named = set(re.findall(r"\bupkeep_[a-z][a-z0-9_]+", text))
        assert named - there <= {"upkeep_key"}, file.name
        assert named


def test_alertmanagers_configuration() -> None:
    assert "SUCCESS" in told("amtool", "check-config", MONITORING / "alertmanager" / "alertmanager.yml")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=UpkeepJobOverdue severity=critical job_name=weekly", "phone"),
        ("alertname=UpkeepJobOverdue severity=warning job_name=weekly", "chat"),
        ("alertname=UpkeepFiringLate severity=info", "chat"),
    ],
)
def test_who_hears_of_an_alert(labels: str, receiver: str) -> None:
    config = MONITORING / "alertmanager" / "alertmanager.yml"
    told(
        "amtool",
        "config",
        "routes",
        "test",
        f"--config.file={config}",
        f"--verify.receivers={receiver}",
        *labels.split(),
    )


# --- with servers -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, int]]:
    """A Prometheus that has scraped an Upkeep in which there is something of everything, and that one's port."""
    home = tmp_path_factory.mktemp("home")
    (home / "upkeep.yml").write_text(busy_store.UPKEEP_YML)
    with open_store(None, home) as store:
        busy_store.fill(store, home, time.time())
    rules = RULES.read_text()
    with upkeep_endpoint(home) as port, prometheus(home / "prometheus", port, rules=rules) as url:
        wait_for("two scrapes", lambda: ask(url, "count_over_time(upkeep_store_up[1m]) > 3"))
        yield url, port


def test_the_exposition_is_faultless(scraped: tuple[str, int]) -> None:
    """Prometheus's own linter: names, units, help texts, types."""
    assert told("promtool", "check", "metrics", stdin=get(f"http://127.0.0.1:{scraped[1]}/metrics")).strip() == ""


def test_prometheus_takes_all_of_it(scraped: tuple[str, int]) -> None:
    url, port = scraped
    assert ask(url, 'up{job="upkeep"}')[0]["value"][1] == "1"
    lines = [line for line in get(f"http://127.0.0.1:{port}/metrics").decode().splitlines() if line[:1] != "#"]
    assert len(ask(url, '{__name__=~"upkeep_.+"}')) == len(lines) > 150
    assert not ask(url, '{__name__=~"upkeep_.+", exported_job!=""}'), "no label of ours is pushed aside"
    targets = json.loads(get(f"{url}/api/v1/targets"))["data"]["activeTargets"]
    assert [target["lastError"] for target in targets] == [""]


def test_the_service_serves_them(tmp_path: Path) -> None:
    """`upkeep scheduler` itself: its heartbeat and its leadership are among its figures."""
    port = free_port()
    listen = f'metrics: {{listen: "127.0.0.1:{port}"}}\n'
    (tmp_path / "upkeep.yml").write_text("time_zone: UTC\n" + listen)
    environment = {"UPKEEP_HOME": str(tmp_path), "UPKEEP_CONFIG": str(tmp_path / "upkeep.yml")}
    words = [sys.executable, "-m", "upkeep", "scheduler"]
    with (
        running(tmp_path / "scheduler.log", *words, env=environment) as service,
        prometheus(tmp_path / "prometheus", port) as url,
    ):
        leads = wait_for("leader", lambda: ask(url, "upkeep_scheduler_leader == 1"))
        assert leads[0]["metric"]["node"] == socket.gethostname()
        beats = ask(url, "time() - upkeep_scheduler_heartbeat_timestamp_seconds < 60")
        assert len(beats) == 1
        assert get(f"http://127.0.0.1:{port}/healthz") == b"ok\n"
        service.terminate()
        wait_for("end of the service", lambda: service.poll() is not None, 30)
        wait_for("alert's state", lambda: ask(url, 'up{job="upkeep"} == 0'))


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return loaded


def queries() -> list[Any]:
    return [
        pytest.param(target["expr"], panel, id=f"{panel['title']}-{target['refId']}")
        for panel in dashboard()["panels"]
        for target in panel.get("targets", [])
    ]


@pytest.mark.parametrize(("expression", "panel"), queries())
def test_each_query_of_the_dashboard_returns_data(
    scraped: tuple[str, int], expression: str, panel: dict[str, Any]
) -> None:
    expression = expression.replace("$instance", ".*").replace("$job_name", ".*")
    assert "$" not in expression
    found = ask(scraped[0], expression)
    assert found, expression
    # A table's columns are renamed, hidden and coloured by the names of labels: they must be there.
    labels = {label for series in found for label in series["metric"]}
    legends = re.findall(r"{{(\w+)}}", "".join(target["legendFormat"] for target in panel["targets"]))
    assert set(legends) <= labels
    for change in panel.get("transformations", []):
        names = [*change["options"].get("renameByName", {}), *change["options"].get("excludeByName", {})]
        assert {name for name in names if not name.startswith(("Value", "Time"))} <= labels


def test_the_variables_of_the_dashboard(scraped: tuple[str, int]) -> None:
    found = {}
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]["query"])
            assert match
            found[match[2]] = {series["metric"][match[2]] for series in ask(scraped[0], match[1])}
    assert found["job_name"] == {*BUILT_IN, "nightly", "never"}
    assert len(found["instance"]) == 1


def test_the_rules_run_and_find_what_is_wrong(scraped: tuple[str, int]) -> None:
    url = scraped[0]
    wait_for("recorded series", lambda: ask(url, "job_name:upkeep_overdue_seconds:min"))
    groups = json.loads(get(f"{url}/api/v1/rules"))["data"]["groups"]
    assert [rule["lastError"] for group in groups for rule in group["rules"] if rule.get("lastError")] == []
    fires = {series["metric"]["alertname"] for series in wait_for("alerts", lambda: ask(url, "ALERTS"))}
    assert {"UpkeepQueueHeld", "UpkeepDeadLetters"} <= fires
    assert not {"UpkeepDown", "UpkeepStoreDown", "UpkeepNoLeader"} & fires


class Webhook(http.server.ThreadingHTTPServer):
    """What Alertmanager sends."""

    def __init__(self) -> None:
        self.alerts: list[tuple[str, dict[str, Any]]] = []
        super().__init__(("127.0.0.1", 0), _Take)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def saw(self, path: str, status: str, **labels: str) -> dict[str, Any] | None:
        for seen, alert in self.alerts:
            if seen == path and alert["status"] == status and labels.items() <= alert["labels"].items():
                return alert
        return None


class _Take(http.server.BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.alerts += [(self.path, alert) for alert in message["alerts"]]
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def alertmanager(folder: Path, webhook: Webhook) -> Iterator[int]:
    """The example's configuration, without its patience, and with its receivers here."""
    folder.mkdir()
    text = (MONITORING / "alertmanager" / "alertmanager.yml").read_text()
    text = text.replace("http://127.0.0.1:9099", f"http://127.0.0.1:{webhook.server_port}")
    text = re.sub(r"(group_wait|group_interval): \w+", r"\1: 1s", text)
    (folder / "alertmanager.yml").write_text(text)
    port = free_port()
    words = [
        program("prometheus-alertmanager"),
        f"--config.file={folder}/alertmanager.yml",
        f"--storage.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with running(folder / "log", *words):
        wait_for("Alertmanager", lambda: get(f"http://127.0.0.1:{port}/-/ready"))
        yield port


def test_an_overdue_weekly_calls_somebody_and_a_run_ends_it(tmp_path: Path) -> None:
    (tmp_path / "upkeep.yml").write_text('time_zone: UTC\njobs: {weekly: {schedule: "Sun 03:00"}}\n')
    with open_store(None, tmp_path) as store:
        long_ago = time.time() - 9 * DAY
        path = results_file.write(tmp_path / "old", "old", hosts={"web1": "ok"}, started=long_ago)
        record_file(store, path, Policy(), long_ago + 20, "weekly")
    # What is said of the state stays; only the patience goes, or this would take as long as it says.
    rules = re.sub(r"for: \w+", "for: 0s", RULES.read_text())
    webhook = Webhook()
    try:
        with (
            upkeep_endpoint(tmp_path) as port,
            alertmanager(tmp_path / "alertmanager", webhook) as alerts,
            prometheus(tmp_path / "prometheus", port, alertmanager=alerts, rules=rules),
        ):
            about = {"alertname": "UpkeepJobOverdue", "job_name": "weekly", "severity": "critical"}
            alert = wait_for("alert", lambda: webhook.saw("/phone", "firing", **about))
            assert alert["annotations"]["summary"].startswith("weekly has been owed for ")
            assert "upkeep run weekly" in alert["annotations"]["description"]
            assert webhook.saw("/phone", "resolved", **about) is None
            with open_store(None, tmp_path) as store:
                path = results_file.write(tmp_path / "new", "new", hosts={"web1": "ok"}, started=time.time() - 20)
                record_file(store, path, Policy(), time.time(), "weekly")
            wait_for("end of the alert", lambda: webhook.saw("/phone", "resolved", **about))
    finally:
        webhook.shutdown()
        webhook.server_close()
    others = {alert["labels"]["alertname"] for _path, alert in webhook.alerts}
    assert others == {"UpkeepJobOverdue"}, "and nothing else was amiss"
