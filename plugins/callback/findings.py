# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: findings
type: aggregate
short_description: A table of findings at the end of a playbook run
version_added: 0.1.0
author:
  - Upkeep contributors (@upkeep)
description:
  - Shows what the modules of this collection found, the worst first, after the recap of C(ansible-playbook).
  - It can leave a results file, which C(upkeep record FILE) turns into the same tickets as C(upkeep run).
  - The playbooks of this collection bring it with them. Others enable it with
    C(callbacks_enabled = upkeep.maintenance.findings).
  - It is silent under C(upkeep run), which reads the same results from its job events.
extends_documentation_fragment:
  - upkeep.maintenance.findings
"""

import atexit
import getpass
import os
import tempfile
import time
import uuid

from ansible.plugins.callback import CallbackBase
from ansible_collections.upkeep.maintenance.plugins.module_utils import _results
from ansible_collections.upkeep.maintenance.plugins.module_utils._harvest import Harvest
from ansible_collections.upkeep.maintenance.plugins.plugin_utils.table import FindingsTable


class CallbackModule(CallbackBase):
    """Collects records as tasks end; shows the table and leaves the file when the playbook ends."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "upkeep.maintenance.findings"
    CALLBACK_NEEDS_ENABLED = True

    # Enabled by configuration and brought by a playbook, it is loaded twice: the first one works.
    _working = None

    def __init__(self):
        super().__init__()
        self.disabled = "UPKEEP_RUN_ID" in os.environ or CallbackModule._working is not None
        if not self.disabled:
            CallbackModule._working = self
        self._table = FindingsTable()
        self._harvest = Harvest()
        self._spool = None
        self._playbook = "?"
        self._check_mode = False

    def v2_playbook_on_start(self, playbook):
        self._playbook = os.path.basename(playbook._file_name or "?")

    def v2_playbook_on_play_start(self, play):
        if self._spool is None:
            self._check_mode = bool(play.check_mode)
            self._begin()

    def v2_playbook_on_no_hosts_matched(self):
        self._feed("playbook_on_no_hosts_matched", {})

    def v2_runner_on_ok(self, result):
        self._feed("runner_on_ok", _event_data(result))

    def v2_runner_item_on_ok(self, result):
        self._feed("runner_item_on_ok", _event_data(result))

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._feed("runner_on_failed", dict(_event_data(result), ignore_errors=ignore_errors))

    def v2_runner_on_unreachable(self, result):
        self._feed("runner_on_unreachable", _event_data(result))

    def v2_playbook_on_stats(self, stats):
        counts = {name: getattr(stats, name) for name in ("processed", "ok", "changed", "failures", "dark")}
        self._feed("playbook_on_stats", counts)
        for row in self._table.lines(self._display.columns, self.get_option("table_rows")):
            self._display.display(row)
        self._finish()

    def _begin(self):
        target = self.get_option("results_file")
        self._spool = False
        if not target:
            return
        try:
            # Beside its target, so that the last step is a rename: a reader never sees half a file.
            self._spool = tempfile.NamedTemporaryFile(  # noqa: SIM115 - open for the whole run
                "w",
                dir=os.path.dirname(os.path.abspath(target)),
                prefix=".upkeep-",
                encoding="utf-8",
                errors="replace",  # a file name that is not UTF-8
                delete=False,
            )
        except OSError as error:
            self._display.warning(
                "upkeep: the results file cannot be written: expected a folder that can be written to at %s, "
                "found: %s. The run goes on without it." % (os.path.dirname(os.path.abspath(target)), error.strerror)
            )
            return
        # Ansible calls nobody at a Ctrl-C, nor when it gives up between two plays.
        atexit.register(self._cut_off, os.getpid())
        begun = (str(uuid.uuid4()), self._playbook, self._check_mode, time.time())
        self._write(_results.run_record(*begun, actor=_user()))

    def _feed(self, name, data):
        for record in self._harvest.feed({"event": name, "event_data": data}):
            self._table.add(record)
            self._write(record)

    def _write(self, record):
        if not self._spool:
            return
        try:
            self._spool.write(_results.line(record))
        except (OSError, ValueError) as error:  # no room, or what neither JSON nor UTF-8 can carry
            self._give_up(error)

    def _finish(self):
        self._write(_results.end_record(time.time(), "finished"))
        self._leave("Results: %s (make them tickets with: upkeep record %s)")

    def _cut_off(self, pid):
        """Leave what was found by a run that did not come to its end: without an end record, as its readers expect."""
        # A worker is a fork, with a copy of the spool: the file is not its own.
        if not self._spool or os.getpid() != pid:
            return
        for record in self._harvest.finish():
            self._write(record)
        self._leave("Results until the run was cut off: %s (make them tickets with: upkeep record %s)")

    def _leave(self, told):
        if not self._spool:
            return
        target = self.get_option("results_file")
        try:
            self._spool.close()
            os.replace(self._spool.name, target)
        except OSError as error:
            self._give_up(error)
            return
        self._spool = False
        self._display.display(told % (target, target))

    def _give_up(self, error):
        said = getattr(error, "strerror", None) or "%s: %s" % (type(error).__name__, error)
        self._display.warning("upkeep: the results file was given up: %s" % said)
        self._drop()

    def _drop(self):
        name, self._spool = self._spool.name, False
        try:
            os.unlink(name)
        except OSError:
            self._display.vvv("upkeep: %s could not be removed" % name)


def _user():
    """Who runs this, for the auditor: behind sudo as well."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):  # a uid without a name, in a container
        return "uid %d" % os.getuid()


def _event_data(result):
    """A task's result as a job event of ansible-runner tells it."""
    task = result._task
    role = task._role.get_name() if task._role else None
    return {
        "host": result._host.get_name(),
        "task": task.name or task.action,
        "task_uuid": str(task._uuid),
        "task_action": task.action,
        "resolved_action": task.resolved_action,
        "role": role,
        "res": result._result,
    }
