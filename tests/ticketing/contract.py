# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold for every ticket system, emulated or real. A test module imports all of it and gives ``site``."""

from __future__ import annotations

import itertools
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import proof
from tests.unit.scheduler.mirror_world import DISK, World
from upkeep.ticketing.mirror import Mirrored
from upkeep.ticketing.protocol import Draft, Held, Later, Refused

from .proxy import Fault
from .sites import Site

_numbers = itertools.count(1)


def make(**changes: Any) -> Draft:
    values: dict[str, Any] = {
        "key": uuid.uuid4().hex,
        "number": next(_numbers),
        "title": "web1: 12 security updates are pending",
        "priority": "P1",
        "severity": "critical",
        "cause": "patch.security.pending",
        "text": "On web1:\n  openssl 3.0.1 → 3.0.2\n\nTo do: apt-get upgrade",
        "checks": ("patch.security.pending",),
        "hosts": ("web1",),
        "opened": 1_700_000_000.0,
    }
    return Draft(**(values | changes))


def test_a_ticket_is_opened_found_and_read(site: Site) -> None:
    system = site.system()
    draft = make()
    assert system.find(draft.key) is None
    remote = system.open(draft)
    assert remote.url.startswith("http") and remote.shown
    found = system.find(draft.key)
    assert found is not None and (found.id, found.doubles) == (remote.id, ())
    there = site.there.seen(remote.id)
    assert there["title"] == draft.title
    assert "openssl 3.0.1 → 3.0.2" in there["text"] and draft.key in there["text"]
    assert there["priority"] == site.priority[0]
    now = system.read(remote.id)
    assert (now.state, now.assignee, now.comments, now.attachments) == ("open", "", (), ())
    assert system.find(make().key) is None


def test_a_double_is_told(site: Site) -> None:
    system = site.system()
    draft = make()
    first, second = system.open(draft), system.open(draft)
    found = system.find(draft.key)
    assert found is not None and (found.id, found.doubles) == (first.id, (second.id,))


def test_comments_are_written_once_and_told_from_peoples(site: Site) -> None:
    system = site.system()
    remote = system.open(make())
    system.comment(remote.id, "The fault is still there.", "line-1")
    system.comment(remote.id, "The fault is still there.", "line-1", again=True)
    site.there.person_comments(remote.id, "I look at it <now> & later")
    system.comment(remote.id, "Two more hosts.", "line-2", again=True)
    comments = system.read(remote.id).comments
    assert [(one.text, one.marker) for one in comments] == [
        ("The fault is still there.", "line-1"),
        ("I look at it <now> & later", ""),
        ("Two more hosts.", "line-2"),
    ]
    assert [one.ours for one in comments] == [True, False, True]
    assert comments[1].author.startswith("Ann") or comments[1].author == "ann"
    assert len({one.id for one in comments}) == 3
    assert all(one.at is not None and abs(one.at - time.time()) < 120 for one in comments)


def test_evidence_is_attached_once(site: Site) -> None:
    system = site.system()
    remote = system.open(make())
    content = b"line 1\nline \xc3\xa4 2\n" * 100
    system.attach(remote.id, "evidence-1.txt", content)
    system.attach(remote.id, "evidence-1.txt", content, again=True)
    system.attach(remote.id, "../etc/evil name\r\n.txt", b"x")
    files = site.there.seen(remote.id)["files"]
    assert files["evidence-1.txt"] == content
    now = system.read(remote.id)
    assert sorted(now.attachments) == sorted(["evidence-1.txt", "_etc_evil_name__.txt"])
    assert all(one.ours for one in now.comments), "what carries a file is nobody else's comment"


def test_resolved_and_reopened_each_once(site: Site) -> None:
    system = site.system()
    remote = system.open(make())
    system.resolve(remote.id, "A run found nothing.", "end-1")
    system.resolve(remote.id, "A run found nothing.", "end-1", again=True)
    assert site.there.seen(remote.id)["state"] == site.states[0]
    assert system.read(remote.id).state == "resolved"
    assert [one.marker for one in system.read(remote.id).comments] == ["end-1"]
    system.reopen(remote.id, "It is back.", "back-1")
    system.reopen(remote.id, "It is back.", "back-1", again=True)
    assert site.there.seen(remote.id)["state"] == site.states[1]
    assert system.read(remote.id).state == "open"
    system.resolve(remote.id, "Gone again.", "end-2")
    # In any order: GLPI keeps them in two tables, by the second.
    assert sorted(one.marker for one in system.read(remote.id).comments) == ["back-1", "end-1", "end-2"]
    assert system.read(remote.id).state == "resolved"


def test_proofs_are_in_the_ticket_that_they_open_and_resolve(site: Site, tmp_path: Path) -> None:
    world = World(tmp_path)
    world.system = Mirrored("site", takes=lambda _draft: True, make=site.system)
    world.plan()  # from now on it reads

    def tested(outcome: str, **facts: Any) -> list[tuple[str, dict[str, Any]]]:
        said = f"{outcome}: 12 of 12 files </pre> {{noformat}} ``` <b>came</b> back."
        return [("web1", proof("capacity.disk.write", "/", outcome, world.now, world.now + 9, said, facts))]

    def sync() -> int:
        world.plan()
        return world.deliver()

    fault = ("web1", DISK, "/", "high")
    world.run(fault, proofs=tested("failed", snapshot="1a2b3c4d", sha256="ab" * 32))
    assert sync() == 2
    remote_id = world.image().remote_id
    there = site.there.seen(remote_id)
    assert "failed: 12 of 12 files" in there["text"] and "upkeep proofs show 1" in there["text"]
    ((name, content),) = there["files"].items()
    assert name.startswith("evidence-") and b"snapshot: 1a2b3c4d" in content and b"ab" * 32 in content
    # Tests that change nothing in the ticket say nothing there.
    world.run(fault, proofs=tested("failed"))
    world.run(fault, proofs=tested("cannot"))
    assert sync() == 0
    world.run(proofs=tested("passed", snapshot="5e6f7081"))
    assert sync() == 1
    state = site.system().read(remote_id)
    assert state.state == "resolved"
    # In some systems a file comes with a comment of its own.
    (comment,) = (one for one in state.comments if "passed: 12 of 12 files </pre>" in one.text)
    assert comment.ours and "<b>came</b> back" in comment.text
    assert "snapshot: 5e6f7081" in comment.text and "upkeep proofs show 4" in comment.text
    assert "failed" not in comment.text
    assert len(state.attachments) == 1
    world.store.close()


def test_what_people_did_is_read_and_left_alone(site: Site) -> None:
    system = site.system()
    remote = system.open(make())
    site.there.person_takes(remote.id)
    now = system.read(remote.id)
    assert now.assignee.startswith("Ann") or now.assignee == "ann"
    site.there.person_resolves(remote.id)
    assert system.read(remote.id).state == "resolved"
    system.resolve(remote.id, "A run found nothing.", "end-1")
    assert system.read(remote.id).comments == (), "it is done: nothing more to say"


def test_title_and_priority_follow(site: Site) -> None:
    system = site.system()
    draft = make(priority="P3")
    remote = system.open(draft)
    assert site.there.seen(remote.id)["priority"] == site.priority[1]
    system.update(remote.id, make(key=draft.key, title="web1 and 3 more", priority="P1"))
    there = site.there.seen(remote.id)
    assert (there["title"], there["priority"]) == ("web1 and 3 more", site.priority[0])
    assert "openssl" in there["text"]
    found = system.find(draft.key)
    assert found is not None and found.id == remote.id


HOSTILE = """\
<script>alert(1)</script> <img src=x onerror=alert(2)> &amp; </pre> </PRE> !http://evil.example/x.png!
/close
/assign @root
```
/close
````
{noformat}{code} {{ config }} {% raw %} [~admin] @all h1. title
* "link":http://evil.example  ![x](http://evil.example/x.png)
\x1b[31mred\x1b[0m \x00 \u202egnp.exe \ud800 tab\there
  two spaces, Ünïcödé, русский, 漢字, 🚒"""


def test_hostile_texts_stay_texts(site: Site) -> None:
    system = site.system()
    draft = make(title='a\nb\r\n<script>alert(1)</script>\x00 "q" \' ; -- ' + "ю" * 400, text=HOSTILE)
    remote = system.open(draft)
    there = site.there.seen(remote.id)
    assert "\n" not in there["title"] and len(there["title"]) <= 255
    assert there["title"].startswith("a b <script>alert(1)</script>")
    assert system.read(remote.id).state == "open", "a line of a host's text was carried out as a command"
    system.comment(remote.id, HOSTILE, "hostile-1")
    (comment,) = system.read(remote.id).comments
    assert comment.marker == "hostile-1"
    assert system.read(remote.id).state == "open"
    for line in (
        "/assign @root",
        "/close",
        "````",
        "漢字, 🚒",
        '"link":http://evil.example  ![x](http://evil.example/x.png)',
    ):
        assert line in comment.text, line
    assert "<script>alert(1)</script> <img src=x onerror=alert(2)> &amp; </pre>" in comment.text
    assert not set("\x1b\x00\u202e\ud800") & set(comment.text)
    if site.settings().format == "html":
        assert "<script" not in there["text"] and "<img" not in there["text"]


def test_long_texts_are_cut_and_say_so(site: Site) -> None:
    system = site.system()
    remote = system.open(make(text="a long line of evidence " * 5000))
    system.comment(remote.id, "word " * 20_000, "long-1")
    (comment,) = system.read(remote.id).comments
    assert comment.marker == "long-1"
    assert 1000 < len(comment.text) <= 30_000
    assert "all of it is in Upkeep" in comment.text


def test_somebody_who_quotes_us_is_not_us(site: Site) -> None:
    system = site.system()
    remote = system.open(make())
    site.there.person_comments(remote.id, "I do not agree.\n\n> It is broken.\n> [upkeep:line-1]")
    (comment,) = system.read(remote.id).comments
    assert not comment.ours


def test_a_removed_ticket_is_gone(site: Site) -> None:
    system = site.system()
    remote = system.open(make())
    site.there.remove(remote.id)
    assert system.read(remote.id).state == "gone"
    with pytest.raises(Refused):
        system.comment(remote.id, "Still there.", "line-1", again=True)
    with pytest.raises(Refused):
        system.resolve(remote.id, "Done.", "end-1")


@pytest.mark.parametrize("kind", ["application/json", "text/html"])
def test_a_system_that_is_gone_as_a_whole_has_lost_no_ticket(site: Site, kind: str) -> None:
    """After a move of the address every ticket is "not found"; none of them may be opened anew for that."""
    system = site.system()
    remote = system.open(make())
    fault = Fault("status", 404, {"Content-Type": kind}, b'{"error": "no"}', methods=("GET", "POST"))
    site.proxy.faults += [fault] * 9
    with pytest.raises((Later, Held)):
        system.read(remote.id)
    site.proxy.faults.clear()
    assert system.read(remote.id).state == "open"


@pytest.mark.parametrize("bad", ["", "../1", "1/../../2", "1?x=y", "a" * 200, "1\r\nX: y", "1^ORDERBYx", "-1"])
def test_an_identifier_that_is_none_is_refused(site: Site, bad: str) -> None:
    with pytest.raises(Refused):
        site.system().read(bad)


@pytest.mark.parametrize("bad", ["", 'a" OR "1"="1', "a' OR 'CF.{x}' = 'y", "a^NQactive=true", "a*", "é"])
def test_a_key_that_is_none_is_refused(site: Site, bad: str) -> None:
    with pytest.raises(Refused):
        site.system().find(bad)


# --- rights -----------------------------------------------------------------------------------------------------------


def test_the_probe_of_a_good_set_up_is_good_and_changes_nothing(site: Site) -> None:
    site.system().open(make())
    log = getattr(site.there, "log", None)
    before = len(log) if log is not None else 0
    checks = site.system().probe()
    assert [one for one in checks if not one.ok] == []
    assert len(checks) >= 3
    if log is not None:
        assert not [one for one in log[before:] if not one.startswith("GET") and "/find/" not in one]


def test_the_probe_may_try_it_out(site: Site) -> None:
    checks = site.system().probe(write=True)
    assert [one for one in checks if not one.ok] == []
    assert {"a test ticket", "a comment", "a file", "resolving it", "reading it back"} <= {one.what for one in checks}


def test_wrong_credentials_hold_the_queue_and_are_not_shown(site: Site) -> None:
    system = site.system(**site.wrong)
    draft = make()
    for action in (lambda: system.find(draft.key), lambda: system.open(draft)):
        with pytest.raises(Held) as told:
            action()
        assert not any(secret in str(told.value) for secret in site.wrong.values())
    assert [one.ok for one in system.probe()][-1] is False
    assert site.there.count(draft.key) == 0


def test_missing_rights_hold_the_queue(site: Site) -> None:
    system = site.system(**({"user": ""} | site.reader))
    draft = make()
    with pytest.raises(Held):
        system.open(draft)
    assert not all(one.ok for one in system.probe(write=True))
    assert site.there.count(draft.key) == 0


def test_a_wrong_mapping_is_told(site: Site) -> None:
    system = site.system(resolved="9" if site.kind == "glpi" else "Nonsense", done=())
    assert site.kind in ("itsm365", "gitlab", "rt") or not all(one.ok for one in system.probe())
    if site.kind == "gitlab":
        return  # it has two states only
    remote = site.system().open(make())
    with pytest.raises((Refused, Held)):
        system.resolve(remote.id, "Done.", "end-1")
    assert system.read(remote.id).state == "open"


# --- faults -----------------------------------------------------------------------------------------------------------

NOT_DONE = {
    "429": (Fault("status", 429, {"Retry-After": "7"}), 7.0, False),
    "503": (Fault("status", 503, {"Retry-After": "120"}), 120.0, True),
    "500": (Fault("status", 500), None, True),
    "502": (Fault("status", 502, {"Content-Type": "text/html"}, b"<html>Bad Gateway</html>"), None, True),
    "reset": (Fault("reset"), None, True),
    "html": (Fault("html"), None, True),
    "garbage": (Fault("garbage"), None, True),
    "huge": (Fault("huge"), None, True),
    "redirect": (Fault("redirect", headers={"Location": "http://203.0.113.1/login"}), None, False),
}


def open_once(site: Site, draft: Draft) -> str:
    """What the outbox does after an attempt of unknown outcome."""
    site.proxy.settle()
    system = site.system()
    found = system.find(draft.key)
    remote = found or system.open(draft)
    assert site.there.count(draft.key) == 1
    return remote.id


@pytest.mark.parametrize("name", NOT_DONE)
def test_a_fault_while_opening(site: Site, name: str) -> None:
    fault, after, unknown = NOT_DONE[name]
    draft = make()
    site.proxy.faults.append(fault if site.kind != "itsm365" else Fault(**(fault.__dict__ | {"path": "/create"})))
    with pytest.raises(Later) as told:
        site.system().open(draft)
    assert (told.value.after, told.value.unknown) == (after, unknown)
    shown = str(told.value)
    assert not any(secret in shown for secret in site.settings().secrets), shown
    assert "http" in shown and "Traceback" not in shown and "<html" not in shown
    assert site.there.count(draft.key) == 0
    open_once(site, draft)


def test_an_answer_that_is_lost(site: Site) -> None:
    draft = make()
    site.proxy.faults.append(Fault("lost"))
    with pytest.raises(Later) as told:
        site.system().open(draft)
    assert told.value.unknown
    assert site.there.count(draft.key) == 1
    open_once(site, draft)


def test_a_server_that_commits_after_we_gave_up(site: Site) -> None:
    draft = make()
    patience = site.seconds / 2
    site.proxy.faults.append(Fault("late", delay=patience + 0.7))
    with pytest.raises(Later) as told:
        site.system(timeout=patience).open(draft)
    assert told.value.unknown
    assert site.there.count(draft.key) == 0, "the server has not done it yet: a look now would be believed wrongly"
    open_once(site, draft)


def test_an_answer_that_never_ends(site: Site) -> None:
    site.proxy.faults.append(Fault("drip", methods=("GET", "POST")))
    began = time.monotonic()
    with pytest.raises(Later):
        site.system(timeout=0.3).find(make().key)
    assert time.monotonic() - began < 25


def test_a_server_that_is_not_there(site: Site) -> None:
    system = site.system(url="http://127.0.0.1:9")
    with pytest.raises(Later) as told:
        system.open(make())
    assert not told.value.unknown
    assert not any(secret in str(told.value) for secret in site.settings().secrets)


def test_an_error_of_the_request_is_refused_with_the_servers_words(site: Site) -> None:
    site.proxy.faults.append(Fault("status", 422, body=b'{"errors": ["Subject cannot be blank"]}'))
    with pytest.raises(Refused, match="Subject cannot be blank"):
        site.system().open(make())


@pytest.mark.parametrize("how", ["lost", "reset"])
@pytest.mark.parametrize("what", ["comment", "attach", "resolve", "reopen"])
def test_a_fault_in_the_midst_of_another_action(site: Site, what: str, how: str) -> None:
    """Each request of an action fails once, the outbox tries again, and it is done once."""
    system = site.system()
    remote = system.open(make())
    if what == "reopen":
        site.there.person_resolves(remote.id)
    actions: dict[str, Any] = {
        "comment": lambda again: system.comment(remote.id, "Words.", "line-1", again=again),
        "attach": lambda again: system.attach(remote.id, "evidence.txt", b"x", again=again),
        "resolve": lambda again: system.resolve(remote.id, "Words.", "line-1", again=again),
        "reopen": lambda again: system.reopen(remote.id, "Words.", "line-1", again=again),
    }
    again = False
    for skipped in range(4):
        # The first request that writes, then (that one done) the second, …
        methods = ("POST", "PUT", "PATCH")
        path = "" if site.kind != "itsm365" else ["comment", "edit", "add-file", "edit"][skipped]
        site.proxy.faults[:] = [Fault(how, methods=methods, path=path)]
        try:
            actions[what](again)
        except Later as error:
            again = again or error.unknown
            site.proxy.faults.clear()
            continue
        break
    site.proxy.faults.clear()
    actions[what](again)
    now = system.read(remote.id)
    marks = [one.marker for one in now.comments if not one.marker.startswith("file.")]
    assert marks == ([] if what == "attach" else ["line-1"])
    assert list(now.attachments) == (["evidence.txt"] if what == "attach" else [])
    assert now.state == ("resolved" if what == "resolve" else "open")
