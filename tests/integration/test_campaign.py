# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""`upkeep campaign` by real processes, on a store of SQLite: plan, approval, rings, failures, crashes, the service."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from .campaign_fleet import Fleet, wait_until

pytestmark = pytest.mark.timeout(400)

SHORT = ["drain", "apply", "verify", "undrain"]


@pytest.fixture
def url() -> str | None:
    """Of the store; None: SQLite in the home."""
    return None


def fleet(tmp_path: Path, url: str | None, hosts: list[str], **campaign: Any) -> Fleet:
    return Fleet(tmp_path, hosts, campaign, url)


def ready(made: Fleet) -> None:
    """Planned and approved."""
    made.do("plan", "os")
    made.do("approve", "os", "seen")


def test_exactly_what_was_approved_is_carried_out(tmp_path: Path, url: str | None) -> None:
    rings = [{"name": "canary", "hosts": "h1"}, {"name": "rest", "rest": True, "batch": 2}]
    made = fleet(tmp_path, url, ["h1", "h2", "h3", "idle", "gone"], rings=rings, steps=["apply", "verify"])
    made.set("idle", "version", "2")
    made.set("gone", "dead")
    assert "was never planned" in made.fails("start", "os")
    # A host that cannot be reached has no plan; the others have theirs.
    told = json.loads(made.do("plan", "os", "--json", code=3))
    assert told["state"] == "planned"
    assert [(batch["ring"], batch["hosts"]) for batch in told["batches"]] == [
        ("canary", ["h1"]),
        ("rest", ["h2", "h3"]),
    ]
    by_name = {host["name"]: host for host in told["hosts"]}
    assert (by_name["idle"]["state"], by_name["idle"]["why"]) == ("done", "there is nothing to do")
    assert by_name["gone"]["state"] == "left_out" and "cannot be reached" in by_name["gone"]["why"]
    assert by_name["h1"]["planned"]["packages"][0]["name"] == "openssl"
    assert "is not approved" in made.fails("start", "os")
    made.do("approve", "os", "seen")
    # Approved as it is written in the file, and as the hosts were: whoever changes either has another plan.
    made.campaign["max_failures"] = 1
    made.configure()
    assert "max_failures in upkeep.yml is another" in made.fails("start", "os")
    made.campaign["max_failures"] = 0
    made.configure()
    made.set("h3", "salt", "a newer version came")
    made.do("plan", "os", code=3)
    assert "is not approved" in made.fails("start", "os"), "the approval was for another plan"
    assert "replaced" in made.fails("approve", "1")
    assert [made.steps(host) for host in ("h1", "h2", "h3")] == [[], [], []]
    made.do("approve", "os", "seen again")
    out = made.do("start", "os")
    assert "finished" in out
    assert made.steps("h1") == ["apply", "verify", "verify"], "the gate behind the canary"
    assert made.steps("h2") == made.steps("h3") == ["apply", "verify"]
    assert made.steps("idle") == made.steps("gone") == []
    assert not (tmp_path / "pwned").exists(), "a host's text became a template of the controller"
    assert [made.version(host) for host in ("h1", "h2", "h3", "gone")] == ["2", "2", "2", "1"]
    # Once more: there is nothing to do.
    assert "There is nothing to do." in made.do("plan", "os", code=3)
    acts = json.loads(made.upkeep("audit", "--json", "--action", "campaign").stdout)
    actions = [act["action"] for act in acts["audit"]]
    assert actions[:4] == ["campaign.planned", "campaign.approved", "campaign.planned", "campaign.approved"]
    assert actions[4:6] == ["campaign.running", "campaign.finished"]


def test_what_fails_is_brought_back_or_quarantined_and_told(tmp_path: Path, url: str | None) -> None:
    rings = [{"name": "first", "count": 4, "batch": 4}, {"name": "rest", "rest": True}]
    made = fleet(
        tmp_path, url, ["h1", "h2", "h3", "h4", "h5"], rings=rings, steps=SHORT, max_failures="40%", lost_after="1s"
    )
    made.script("h1", apply=["half"])
    made.script("h2", apply=["half"], rollback=["failed"])
    made.script("h3", apply=["hold"])
    made.set("h3", "hold")
    ready(made)
    process = made.begin("start", "os")
    wait_until(lambda: "apply" in made.steps("h3"), "the patch of h3 begins")
    made.set("h3", "dead")  # it answers to the end of this task, and then never again
    made.unset("h3", "hold")
    assert process.wait(300) == 3
    told = made.status()
    assert told["state"] == "stopped", told["why"]
    assert made.states() == {
        "h1": "rolled_back", "h2": "quarantined", "h3": "quarantined", "h4": "done", "h5": "planned",
    }  # fmt: skip
    assert made.version("h1") == "1" and made.version("h4") == "2"
    assert made.steps("h1") == ["drain", "apply", "rollback", "verify", "undrain"]
    assert made.steps("h5") == []
    # The one that answers, and that nobody has seen well, stays out; what never answers is undone from outside.
    assert made.has("h2", "drain") and not made.has("h3", "drain")
    assert [(undo["host"], undo["kind"]) for undo in told["undo"] if undo["cleared"] is None] == [("h2", "drain")]
    status = made.do("status", "os")
    assert "h2 is drained and silenced. Repaired? upkeep campaign release os h2" in " ".join(status.split())
    tickets = made.upkeep("tickets").stdout
    assert "The campaign os has stopped" in tickets and "h2 is quarantined by the campaign os" in tickets
    # Repaired, but not well: it goes back into quarantine. Then it is well.
    made.set("h2", "ill")
    made.do("release", "os", "h2", code=3)
    assert made.states()["h2"] == "quarantined" and made.has("h2", "drain")
    made.unset("h2", "ill")
    made.do("release", "os", "h2", code=3)
    assert made.states()["h2"] == "released" and not made.has("h2", "drain")
    # A person has seen it, and lets it go on.
    assert "finished" in made.do("resume", "os", code=3)
    assert made.version("h5") == "2" and made.steps("h4").count("apply") == 1


def test_killed_anywhere_it_goes_on_and_nothing_is_done_by_two(tmp_path: Path, url: str | None) -> None:
    made = fleet(tmp_path, url, ["h1", "h2"], steps=SHORT, rings=[{"name": "all", "rest": True, "batch": 2}])
    for host in ("h1", "h2"):
        made.script(host, apply=["hold"])
        made.set(host, "hold")
    ready(made)
    process = made.begin("start", "os")
    wait_until(lambda: "apply" in made.steps("h1") and "apply" in made.steps("h2"), "the patch begins")
    # Its driver is killed: the run goes on. Then the run is killed, and what it started.
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    run = json.loads(made.upkeep("runs", "--json").stdout)["runs"][0]
    assert run["state"] == "running"
    pids = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and _is_of(int(pid), run["id"])]
    (step,) = (one for one in made.status()["steps"] if one["state"] == "running")
    assert step["step"] == "apply" and step["run"] == run["id"]
    ours = [pid for pid in pids if b"--campaign-step" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    for pid in ours or _of_step(step["id"]):
        os.kill(pid, signal.SIGKILL)
    # Two at once on one store: each step is carried out by one of them.
    both = [made.begin("resume", "os"), made.begin("resume", "os")]
    wait_until(lambda: made.steps("h1").count("apply") == 2, "the step whose outcome nobody knows is run again")
    for host in ("h1", "h2"):
        made.unset(host, "hold")
    assert [one.wait(300) for one in both] == [0, 0]
    told = made.status()
    assert told["state"] == "finished"
    for host in ("h1", "h2"):
        assert made.steps(host) == ["drain", "apply", "apply", "verify", "undrain"]
        assert not made.has(host, "drain") and made.version(host) == "2"
    steps = [(one["step"], one["state"]) for one in told["steps"]]
    assert steps == [(name, "ended") for name in ("plan", "drain", "apply", "apply", "verify", "undrain")]
    assert len({one["run"] for one in told["steps"]}) == len(steps)


def test_an_emergency_goes_beside_the_campaign_and_never_on_the_same_host(tmp_path: Path, url: str | None) -> None:
    made = fleet(
        tmp_path,
        url,
        ["h1", "h2", "due"],
        rings=[{"name": "canary", "hosts": "h1"}, {"name": "rest", "rest": True, "batch": "100%"}],
        steps=["apply", "reboot", "verify"],
        extra_vars={"os_patch_reboot_ok": True},
        emergency={"rings": [{"name": "all", "rest": True, "batch": "100%"}]},
    )
    made.set("due", "version", "2")
    made.set("due", "due")
    for words in (["plan", "os", "--cve", "2026-1"], ["plan", "os", "--package", "nginx="]):
        assert f"{words[2]} is not understood" in made.fails(*words)
    cve, name = ["--cve", "CVE-2026-1234"], "os:CVE-2026-1234"
    for words in (["start", "os", *cve], ["plan", "os", *cve, "--package", "nginx"]):
        assert "one of both, with upkeep campaign plan NAME" in made.fails(*words)
    assert "there is no campaign" in made.fails("plan", name)
    ready(made)
    told = json.loads(made.do("plan", "os", "--cve", "cve-2026-1234", "--json"))
    assert told["name"] == name and told["waits_for_approval"]
    assert told["emergency"] == {"campaign": "os", "cves": ["CVE-2026-1234"], "packages": []}
    assert [batch["hosts"] for batch in told["batches"]] == [["h1", "h2"]], "nobody who only waits for a reboot"
    assert (tmp_path / "fleet" / "h1" / "cves").read_text() == "CVE-2026-1234"
    tickets = " ".join(made.upkeep("tickets").stdout.split())
    assert f"The emergency {name} would change 2 hosts" in tickets and "campaign os would" not in tickets
    made.do("approve", name)
    made.script("h1", apply=["hold"])
    made.set("h1", "hold")
    process = made.begin("start", "os")
    wait_until(lambda: "apply" in made.steps("h1"), "the campaign begins")
    refused = made.fails("start", name)
    assert "h1 is at work in campaign 1, os" in refused and "h2 is to come in campaign 1, os" in refused
    made.do("pause", "os", "an emergency")
    made.unset("h1", "hold")
    assert process.wait(300) == 0
    assert "finished" in made.do("start", name) and "paused" in made.do("status", "os")
    assert [made.version(host) for host in ("h1", "h2")] == ["2", "2"] and made.steps("due") == []
    assert "emergency for CVE-2026-1234" in " ".join(made.do().split())
    # What only waits for its reboot is taken along by the campaign.
    made.do("resume", "os")
    assert made.steps("due") == ["apply", "reboot", "verify"]


def _is_of(pid: int, run_id: str) -> bool:
    try:
        return f"UPKEEP_RUN_ID={run_id}".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return False


def _of_step(step: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = entry.read_bytes().split(b"\0")
        except OSError:
            continue
        if b"--campaign-step" in words and words[words.index(b"--campaign-step") + 1] == str(step).encode():
            found.append(int(entry.parent.name))
    assert found, "the process of the step"
    return found


def test_the_scheduler_carries_it_on_and_a_person_pauses_it(tmp_path: Path, url: str | None) -> None:
    rings = [{"name": "one", "count": 1}, {"name": "two", "rest": True}]
    made = fleet(tmp_path, url, ["h1", "h2"], steps=["apply", "verify"], rings=rings, approve=False)
    made.script("h1", apply=["hold"])
    made.set("h1", "hold")
    made.do("plan", "os")
    assert "nobody would carry it on" in made.fails("start", "os", "--detach")
    scheduler = made.begin_scheduler()
    try:
        wait_until(lambda: made.upkeep("campaign", "start", "os", "--detach").returncode == 0, "a scheduler is at work")
        wait_until(lambda: "apply" in made.steps("h1"), "the scheduler begins with it")
        assert "h1" in made.do("pause", "os", "lunch")
        made.unset("h1", "hold")
        wait_until(lambda: made.status()["state"] == "paused", "the host at work comes to its end")
        assert made.states() == {"h1": "done", "h2": "planned"}
        made.do("resume", "os", "--detach")
        wait_until(lambda: made.status()["state"] == "finished", "it goes on")
    finally:
        scheduler.terminate()
        scheduler.wait(60)
    assert made.version("h2") == "2"
    assert made.steps("h1").count("apply") == 1
