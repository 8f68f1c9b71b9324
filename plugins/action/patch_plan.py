# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The controller's part of patch_plan: it has the vulnerability data, the host has the packages.

The host is sent what the data says of the named CVEs, and no more; its plan is told afterwards which CVEs each package
fixes. So it takes one round trip, whatever the size of the data. A policy by severities takes two: only when the
pending packages are known are their ratings, too.
"""

from __future__ import annotations

import os
import time

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching import plan_annotate
from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.vulnerability_index import (
    DataError,
    open_index,
)

CACHE = "~/.cache/upkeep"


class ActionModule(ActionBase):
    _supports_check_mode = True
    _requires_connection = True

    def run(self, tmp=None, task_vars=None):
        super().run(tmp, task_vars)
        arguments = {key: value for key, value in self._task.args.items() if key != "vulnerability_data"}
        folder = self._task.args.get("vulnerability_data")
        if not folder:
            return self._plan(arguments, task_vars)
        if not isinstance(folder, str):
            raise AnsibleActionFail("vulnerability_data is a folder on the controller, this is %r" % (folder,))
        cache = os.environ.get("XDG_CACHE_HOME")
        cache = os.path.join(cache, "upkeep") if cache else os.path.expanduser(CACHE)
        try:
            index = open_index(os.path.abspath(os.path.expanduser(folder)), cache)
        except DataError as error:
            raise AnsibleActionFail(str(error)) from error
        try:
            return self._with_index(index, arguments, task_vars)
        finally:
            index.close()

    def _with_index(self, index, arguments, task_vars):
        known = plan_annotate.about_cves(index, arguments.get("cves"))
        result = self._plan(dict(arguments, vulnerabilities=known), task_vars)
        ratings = {}
        if arguments.get("severities") and not result.get("failed") and result.get("manager") == "apt":
            ratings = plan_annotate.ratings(index, result)
        if ratings:
            result = self._plan(dict(arguments, vulnerabilities=dict(known, ratings=ratings)), task_vars)
        result["vulnerability_files"] = index.files()
        return plan_annotate.annotate(index, result)

    def _plan(self, arguments, task_vars):
        result = self._execute_module("upkeep.maintenance.patch_plan", module_args=arguments, task_vars=task_vars)
        return plan_annotate.dated(result, time.time())
