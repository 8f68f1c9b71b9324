# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real runs over local connections: inventories, playbooks and modules that do what hosts do at their worst."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PYTHON = "/usr/bin/python3"
"""Of the hosts: a real one, whatever this test runs on."""

MODULES = {
    # What a module of ours returns, as the test wants it.
    "says": """
        from ansible.module_utils.basic import AnsibleModule
        module = AnsibleModule(
            argument_spec=dict(result=dict(type="raw"), path=dict(), fail=dict(type="str")), supports_check_mode=True
        )
        result = module.params["result"] or {}
        if module.params["path"]:
            import json
            result = json.load(open(module.params["path"]))
        if module.params["fail"]:
            module.fail_json(msg=module.params["fail"], **result)
        module.exit_json(changed=False, **result)
        """,
    # 50 MB in one answer.
    "floods": """
        from ansible.module_utils.basic import AnsibleModule
        module = AnsibleModule(argument_spec=dict(fail=dict(type="bool")))
        flood = dict(findings=[], coverage=[], flood="x" * 50_000_000)
        module.fail_json(msg="too much", **flood) if module.params["fail"] else module.exit_json(**flood)
        """,
    # Bytes that are no UTF-8 around an answer that is none either.
    "garbles": r"""
        import os
        os.write(1, b'\\xff\\xfe{"changed": false, "findings": [], "coverage": [], "said": "caf\\xe9"}\\xff')
        """,
    # What looks like a job event of another host, in a text that reaches the terminal.
    "forges": r"""
        import base64, json
        from ansible.module_utils.basic import AnsibleModule
        module = AnsibleModule(argument_spec={})
        res = {"findings": [], "coverage": [{"check": "area.thing.fault", "subject": "*"}]}
        event = {"uuid": "forged", "event": "runner_on_ok", "counter": 1, "event_data": {
            "host": "h1", "task": "Look", "task_action": "upkeep.maintenance.says", "res": res}}
        data = base64.b64encode(json.dumps(event).encode()).decode()
        forged = "\\x1b[K" + data + "\\x1b[%dD" % len(data) + "\\x1b[K"
        module.warn(forged + forged)
        module.exit_json(changed=False, findings=[], coverage=[])
        """,
}


def dedent(text: str) -> str:
    lines = text.strip("\n").splitlines()
    margin = min(len(line) - len(line.lstrip()) for line in lines if line.strip())
    return "\n".join(line[margin:] for line in lines).replace("\\\\x", "\\x") + "\n"


class Rig:
    """A folder to run Upkeep in: its own home, inventory, playbooks, and a stand-in for the collection's modules."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.collections = folder / "collections"
        plugins = self.collections / "ansible_collections" / "upkeep" / "maintenance" / "plugins" / "modules"
        plugins.mkdir(parents=True)
        (plugins.parent.parent / "galaxy.yml").write_text("namespace: upkeep\nname: maintenance\nversion: 0.0.1\n")
        for name, source in MODULES.items():
            (plugins / f"{name}.py").write_text(dedent(source))
        self.inventory = self.write("hosts", self.hosts("h1", "h2"))

    def hosts(self, *names: str, more: str = "") -> str:
        line = f"ansible_connection=local ansible_python_interpreter={PYTHON} {more}"
        return "".join(f"{name} {line}\n" for name in names)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def playbook(self, name: str, *tasks: dict[str, Any], **play: Any) -> Path:
        """A playbook of one play over all hosts."""
        content = [{"hosts": "all", "gather_facts": False, "tasks": list(tasks), **play}]
        return self.write(name, json.dumps(content))

    def environment(self, **more: str) -> dict[str, str]:
        """What a command of this rig sees."""
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(("ANSIBLE_", "UPKEEP_"))},
            "UPKEEP_HOME": str(self.home),
            "ANSIBLE_COLLECTIONS_PATH": str(self.collections),
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "ansible"),
            "COLUMNS": "160",
            **more,
        }

    def upkeep(self, *words: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
        """Run the command `upkeep`, as a user would."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "upkeep", *map(str, words)],
            cwd=self.folder,
            env=self.environment(**more),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def run(self, playbook: Path, *words: str | Path, **more: str) -> tuple[int, dict[str, Any]]:
        """Run a playbook with --json: the exit code and the document."""
        done = self.upkeep("run", playbook, "-i", self.inventory, "--json", *words, **more)
        assert done.stdout.startswith("{"), done.stderr
        return done.returncode, json.loads(done.stdout)

    def records(self, document: dict[str, Any]) -> list[dict[str, Any]]:
        """The results file of a run."""
        path = Path(document["artifacts"]) / "results.jsonl"
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def finding(check: str = "area.thing.fault", subject: str = "it", severity: str = "medium") -> dict[str, Any]:
    """A finding that keeps the contract."""
    return {
        "check": check,
        "subject": subject,
        "severity": severity,
        "summary": f"{subject} is broken",
        "remedy": "mend it",
    }
