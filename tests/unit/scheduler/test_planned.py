# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run in check mode would change, from its events."""

from __future__ import annotations

from typing import Any

from upkeep.running.planned import CHANGE, LINES, MAYBE, SHOWN, Planned


def ok(host: str = "web1", task: str = "Write it", **result: Any) -> dict[str, Any]:
    data = {"host": host, "task": task, "task_uuid": f"uuid of {task}", "task_path": "/p/site.yml:3", "res": result}
    return {"event": "runner_on_ok", "event_data": data}


def item(host: str, label: str, task: str = "Items", **result: Any) -> dict[str, Any]:
    event = ok(host, task, _ansible_item_label=label, **result)
    return {**event, "event": "runner_item_on_ok"}


def skipped(action: str, host: str = "web1", task: str = "A command") -> dict[str, Any]:
    data = {"host": host, "task": task, "resolved_action": action, "task_path": "/p/site.yml:9"}
    return {"event": "runner_on_skipped", "event_data": data}


def plan(*events: dict[str, Any]) -> Planned:
    planned = Planned()
    for event in events:
        planned.feed(event)
    return planned


def digest(*events: dict[str, Any], content: str = "the same") -> str:
    return plan(*events).digest(lambda path: content)


def test_changes_are_kept_by_host_task_and_item() -> None:
    found = plan(
        ok(changed=False),
        ok(changed=True, diff=[{"before": "a\nb\n", "after": "a\nc\n", "after_header": "/tmp/x"}]),
        item("web1", "x", changed=True),
        item("web1", "y", changed=False),
        ok("web1", "Items", changed=True, results=[{}]),
        skipped("ansible.builtin.command"),
        skipped("ansible.builtin.copy"),
        {"event": "playbook_on_stats", "event_data": {"failures": {"web2": 1}, "dark": {"web3": 1}, "ok": {"web1": 5}}},
    )
    assert [(one.task, one.would, one.item) for one in found.changes] == [
        ("Write it", CHANGE, ""),
        ("Items", CHANGE, "x"),
        ("A command", MAYBE, ""),
    ]
    assert found.changes[0].diff == ("@@ -1,2 +1,2 @@", "a", "-b", "+c")
    assert (found.count, found.hosts, found.failed) == (3, {"web1"}, {"web2", "web3"})


def test_the_digest_is_another_one_when_anything_is() -> None:
    base = ok(changed=True, diff={"before": "a", "after": "b"})
    same = digest(base, ok("web2", changed=True))
    assert digest(ok("web2", changed=True), base) == same  # hosts come in any order
    others = [
        digest(base),
        digest(base, ok("web3", changed=True)),
        digest(base, ok("web2", "Another", changed=True)),
        digest(ok(changed=True, diff={"before": "a", "after": "c"}), ok("web2", changed=True)),
        digest(base, ok("web2", changed=True), content="another"),
        digest(base, ok("web2", changed=True), {"event": "playbook_on_stats", "event_data": {"dark": {"db": 1}}}),
        digest(base, ok("web2", changed=True), skipped("ansible.builtin.shell")),
    ]
    assert len({same, *others}) == len(others) + 1


def test_names_of_files_that_exist_for_a_moment_do_not_count() -> None:
    once = ok(changed=True, diff=[{"before": "", "after": "x", "after_header": "/root/.ansible/tmp/ansible-1/source"}])
    again = ok(changed=True, diff=[{"before": "", "after": "x", "after_header": "/root/.ansible/tmp/ansible-2/source"}])
    assert digest(once) == digest(again)


def test_secrets_are_masked_and_still_count() -> None:
    first = ok(changed=True, diff={"before": "", "after": "password=first\n"})
    assert "first" not in "".join(plan(first).changes[0].diff)
    assert digest(first) != digest(ok(changed=True, diff={"before": "", "after": "password=second\n"}))


def test_it_is_bounded_and_what_is_left_out_counts() -> None:
    many = [item("web1", str(number), changed=True) for number in range(SHOWN + 7)]
    found = plan(*many)
    assert (len(found.changes), found.more, found.count) == (SHOWN, 7, SHOWN + 7)
    assert digest(*many) != digest(*many[:-1])
    long = plan(ok(changed=True, diff={"before": "", "after": "\n".join(map(str, range(1000)))})).changes[0]
    assert len(long.diff) == LINES + 1 and long.diff[-1].endswith("more lines)")
    huge = plan(ok(changed=True, diff={"before": "", "after": "x" * 10_000_000})).changes[0]
    assert "SHA-256" in huge.diff[-1]


def test_a_hostile_host_breaks_nothing() -> None:
    found = plan(
        {},
        {"event": 7, "event_data": []},
        {"event": "runner_on_ok", "event_data": {"host": "h", "res": ["changed"]}},
        ok(
            "h\x1b[31m",
            "t\n\x07",
            changed=True,
            diff=["text", None, {"before": {"a": 1}, "after": 5}, {"prepared": "\x1b]0;x\x07"}],
        ),
        ok(changed=True, diff="text"),
    )
    assert found.count == 2
    assert not any(ord(char) < 32 for one in found.changes for text in (one.host, one.task, *one.diff) for char in text)
