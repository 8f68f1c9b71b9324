# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Delivering processes side by side, killed at random instants, a ticket system that fails: still each thing once.

The ticket systems are emulators, and a real Request Tracker 5 and Redmine, behind a proxy that loses answers, commits
late and refuses to be hurried; the stores are real, and so are the kills. What people do meanwhile, here and there,
must be on both sides once as well.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.integration.test_store_postgresql import server  # noqa: F401 - a fixture
from tests.ticketing.proxy import Fault
from tests.ticketing.sites import Site, gitlab, itsm365, redmine, rt, servicenow, wait_until_up
from tests.unit.scheduler import results_file
from upkeep import config_file
from upkeep.errors import UpkeepError
from upkeep.reconcile import Policy
from upkeep.record import record_file
from upkeep.store import Store, mirrors, open_store, outbox
from upkeep.ticketing import mirror

pytestmark = pytest.mark.timeout(900)

CHECKS = ("capacity.disk.full", "patch.security.pending", "capacity.clock.off")
FAULTS = (
    Fault("lost"),
    Fault("lost"),
    Fault("late"),
    Fault("reset"),
    Fault("status", status=503),
    Fault("status", status=429, headers={"Retry-After": "1"}),
    Fault("garbage", methods=("GET", "POST")),
)
DELIVER = """
import pathlib, sys, time
from upkeep import config_file, outbox
from upkeep.store import open_store
from upkeep.ticketing import mirror
config = config_file.read(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
with open_store(config.store_url, config.home) as store:
    print("ready", flush=True)
    while True:
        mirror.step(store, config, time.time())
        outbox.step(store, config, time.time())
        time.sleep(0.05)
"""


class Deliverer:
    """One process that delivers and reads back until it is killed."""

    def __init__(self, path: Path, home: Path) -> None:
        self.errors = (home / f"deliverer-{time.monotonic_ns()}.err").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-c", DELIVER, str(path), str(home)], stdout=subprocess.PIPE, stderr=self.errors, text=True
        )

    def kill(self) -> None:
        """At once, wherever it is. It must have lived until now."""
        ended = self.process.poll()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.errors.seek(0)
        said = self.errors.read()
        self.errors.close()
        assert ended is None, said


def configuration(folder: Path, site: Site, store_url: str | None) -> Path:
    """upkeep.yml for a site, by its own words."""
    settings = site.settings()
    lines = [f"store: {{url: {{file: {folder / 'url'}}}}}"] if store_url else []
    if store_url:
        (folder / "url").write_text(store_url)
    lines += ["ticket_systems:", "  itsm:", f"    kind: {site.kind}", f"    url: {site.proxy.url}"]
    for name, value in (("token", settings.token), ("password", settings.password)):
        if value:
            (folder / name).write_text(value)
            lines.append(f"    {name}: {{file: {folder / name}}}")
    for name in ("user", "project", "type", "key_field", "before_resolved"):
        if getattr(settings, name):
            lines.append(f"    {name}: {json.dumps(getattr(settings, name))}")
    for name in ("priorities", "fields", "resolve_fields"):
        if getattr(settings, name):
            lines.append(f"    {name}: {json.dumps(dict(getattr(settings, name)))}")
    patience = settings.timeout  # of an emulator a second, of a real system some
    lines += [f"    timeout: {patience:.0f}s", f"    settle: {2 * patience:.0f}s", "    poll: 1s"]
    path = folder / "upkeep.yml"
    path.write_text("\n".join(lines) + "\n")
    return path


class Story:
    """Runs and people, while deliverers come and go."""

    def __init__(self, folder: Path, site: Site, store_url: str | None, seed: int) -> None:
        self.folder, self.site, self.random = folder, site, random.Random(seed)
        self.path = configuration(folder, site, store_url)
        (folder / "home").mkdir()
        self.config = config_file.read(self.path, folder / "home")
        self.store: Store = open_store(self.config.store_url, self.config.home)
        self.runs = 0
        self.words = 0
        (self.system,) = mirror.mirrored(self.config)
        mirror.plan(self.store, self.system, time.time())

    def run(self) -> None:
        """A run that finds some of the faults."""
        self.runs += 1
        found = [
            (host, check, "x", self.random.choice(["low", "critical"]))
            for host in ("web1", "web2")
            for check in CHECKS
            if self.random.random() < 0.4
        ]
        covered = [(host, check, "*") for host in ("web1", "web2") for check in CHECKS]
        now = time.time()
        path = results_file.write(
            self.folder / f"{self.runs}.jsonl", f"r{self.runs}", found, coverage=covered, started=now - 1, finished=now
        )
        record_file(self.store, path, Policy(), time.time())

    def word(self, who: str) -> str:
        self.words += 1
        return f"{who} says {self.words}"

    def person_here(self) -> None:
        """Somebody does something in the embedded tracker."""
        numbers = [ticket.number for ticket in self.store.tickets(None)]
        if numbers:
            act: Callable[..., Any] = self.random.choice([self.store.comment, self.store.comment, self.store.resolve])
            try:
                act(self.random.choice(numbers), "bob", self.word("bob"), time.time())
            except UpkeepError as error:
                assert "already" in error.what

    def person_there(self) -> None:
        """Somebody does something in the ticket system."""
        known = [link for link in self.links().values() if link is not None]
        if known:
            remote_id = self.random.choice(known).remote_id
            if self.random.random() < 0.7:
                self.site.there.person_comments(remote_id, self.word("ann"))
            else:
                self.site.there.person_resolves(remote_id)
                if self.site.kind == "servicenow":  # its form does not let a person leave these out
                    given = {"close_code": "Solved (Permanently)", "close_notes": "done"}
                    self.site.there.tickets[remote_id].fields.update(given)

    def links(self) -> dict[int, mirrors.Link | None]:
        numbers = [ticket.number for ticket in self.store.tickets(None)]
        with self.store.database.read() as connection:
            return {number: mirrors.link(connection, number, "itsm") for number in numbers}

    def hurry(self) -> None:
        """What a person does who does not want to wait: upkeep outbox retry, for all."""
        with self.store.database.write() as connection:
            outbox.release(connection, self.system.queue)
            for item in outbox.listed(connection, ["waiting", "dead"], None, 1000):
                if item.kind != "verify":
                    outbox.retry(connection, item.id, time.time())

    def unrest(self) -> list[str]:
        """What is not yet as it should be."""
        with self.store.database.read() as connection:
            items = outbox.listed(connection, ["waiting", "sending", "dead"], None, 1000)
        wrong = [f"{item.kind} is {item.state}: {item.error}" for item in items if item.kind != "verify"]
        links = self.links()
        for ticket in self.store.tickets(None):
            link = links[ticket.number]
            if link is None:
                wrong.append(f"#{ticket.number} has no image")
                continue
            resolved = self.site.system().read(link.remote_id).state == "resolved"
            if resolved != (ticket.state == "resolved"):
                wrong.append(f"#{ticket.number} is {ticket.state}, its image is not")
        return wrong

    def check(self) -> None:
        """Each ticket once, each comment once, on both sides."""
        links = self.links()
        for ticket in self.store.tickets(None):
            link = links[ticket.number]
            assert link is not None
            assert self.site.there.count(ticket.key) == 1
            there = self.site.there.seen(link.remote_id)
            markers = Counter(re.findall(r"\[upkeep:([^\]]+)\]", "\n".join(there["comments"])))
            assert [marker for marker, count in markers.items() if count > 1] == []
            history = self.store.ticket(ticket.number).history
            said = Counter(re.findall(r"(?:bob|ann) says \d+", "\n".join(there["comments"])))
            ours = [line.text for line in history if line.kind == "comment" and line.actor == "bob"]
            assert [said[text] for text in ours] == [1] * len(ours)
            theirs = [text for text in said if text.startswith("ann")]
            back = Counter(line.text for line in history if line.kind == "comment" and line.actor != "bob")
            assert [back[text] for text in theirs] == [1] * len(theirs)
            assert sum(back.values()) == len(theirs)


@pytest.fixture
def site(request: pytest.FixtureRequest) -> Iterator[Site]:
    """An emulator, or the real system in a host of the fleet."""
    real = {"rt": (rt, 8080), "redmine": (redmine, 3000)}
    if request.param in real:
        make, port = real[request.param]
        address = str(request.getfixturevalue("fleet_factory")("track1:trackers")["track1"].address)
        wait_until_up(f"http://{address}:{port}")
        made = make(address)
        made.seconds = 3.0
    else:
        made = {"servicenow": servicenow, "itsm365": itsm365, "gitlab": gitlab}[request.param]()
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("site", "kind", "seed"),
    [
        ("servicenow", "sqlite", 1),
        ("itsm365", "sqlite", 2),
        pytest.param("gitlab", "postgresql", 3, marks=pytest.mark.postgresql),
        pytest.param("rt", "sqlite", 4, marks=pytest.mark.fleet),
        pytest.param("redmine", "sqlite", 5, marks=pytest.mark.fleet),
    ],
    indirect=["site"],
)
def test_killed_at_random_instants(
    request: pytest.FixtureRequest, tmp_path: Path, site: Site, kind: str, seed: int
) -> None:
    url = None
    if kind == "postgresql":
        cluster = request.getfixturevalue("server")
        url = cluster.url(cluster.database())
    seconds = float(os.environ.get("UPKEEP_KILL_SECONDS", "8"))
    story = Story(tmp_path, site, url, seed)
    dice = story.random
    deliverers = [Deliverer(story.path, story.config.home) for _ in range(2)]
    kills = 0
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            dice.choice([story.run, story.run, story.person_here, story.person_here, story.person_there])()
            if dice.random() < 0.25:
                site.proxy.faults.append(replace(dice.choice(FAULTS), delay=1.3 * site.seconds))
            time.sleep(dice.uniform(0.05, 0.7))
            if dice.random() < 0.5:
                place = dice.randrange(len(deliverers))
                deliverers[place].kill()
                kills += 1
                deliverers[place] = Deliverer(story.path, story.config.home)
        site.proxy.faults.clear()
        site.proxy.settle()
        story.run()
        end = time.monotonic() + 120
        calm = 0
        while calm < 3:
            story.hurry()
            time.sleep(2.5)
            wrong = story.unrest()
            calm = 0 if wrong else calm + 1
            assert time.monotonic() < end, wrong
        story.check()
        assert kills > seconds / 4
        assert len(site.proxy.late) == 0
    finally:
        for deliverer in deliverers:
            deliverer.kill()
        story.store.close()
