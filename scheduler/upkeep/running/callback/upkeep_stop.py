# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ends ansible-playbook before a play, or the next batch of one, begins, once a file asks for it.

This is the one moment at which nothing is under way on any host and no `always`, no handler is owed. ansible-playbook
calls it in its main process and waits for it. Only `upkeep run` puts this folder onto the path of callback plugins.
"""

from __future__ import annotations

import os

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: upkeep_stop
type: aggregate
short_description: Ends the playbook before its next play or batch
description:
  - Part of C(upkeep run). It looks for the file that the environment variable C(UPKEEP_STOP_FILE) names.
"""


class CallbackModule(CallbackBase):  # type: ignore[misc]  # Ansible ships no types
    """See the module's text."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "upkeep_stop"

    def v2_playbook_on_play_start(self, play: object) -> None:
        """End here when it is asked for."""
        asked = os.environ.get("UPKEEP_STOP_FILE", "")
        if asked and os.path.exists(asked):
            os.rename(asked, asked + ".obeyed")
            # Not an Exception: Ansible would warn of it and go on. Its command line ends in order with this one.
            raise KeyboardInterrupt
