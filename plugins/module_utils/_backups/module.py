# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a module of this area is carried out: secrets kept, cleaned up when it is cancelled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._host import Host
from .._process import Cancelled, cancellable
from .options import harmless

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.basic import AnsibleModule


def carry_out(module: AnsibleModule, review: Callable[[Host, dict[str, Any]], dict[str, Any]], cancelled: str) -> None:
    """Do what a module does, and end it: with the result of ``review(host, options)``, or saying ``cancelled``."""
    module.no_log_values -= harmless(module.params)
    try:
        with cancellable():
            result = review(Host(), dict(module.params, check_mode=module.check_mode))
    except Cancelled as why:
        module.fail_json(msg="%s (%s). Nothing is left behind." % (cancelled, why))
    module.exit_json(changed=False, **result)
