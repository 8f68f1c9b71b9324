# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of host_snapshot, and what is wrong with those that are handed in. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from .._findings import UNSAFE
from .model import COMMON_SPEC, common_errors

if TYPE_CHECKING:
    from collections.abc import Mapping

AUTO = "auto"

SPEC: dict[str, Any] = {
    **COMMON_SPEC,
    "backend": {"type": "str", "choices": [AUTO, "btrfs", "lvm", "zfs"], "default": AUTO},
    "volumes": {"type": "list", "elements": "str", "default": [AUTO]},
    "size_percent": {"type": "int", "default": 20},
    "timeout": {"type": "int", "default": 300},
}


def errors_of(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with options that have their types: a sentence each."""
    errors = common_errors(options)
    if not options["volumes"]:
        errors.append("volumes names no volume; auto stands for those that hold what packages write")
    for path in options["volumes"]:
        if path != AUTO and (not path.startswith("/") or posixpath.normpath(path) != path or UNSAFE.search(path)):
            errors.append("volumes are mount points such as /var, or auto; this is %r" % path[:60])
    if not 1 <= options["size_percent"] <= 100:
        errors.append("size_percent is 1 to 100, this is %d" % options["size_percent"])
    if not 1 <= options["timeout"] <= 86400:
        errors.append("timeout is 1 to 86400 seconds, this is %d" % options["timeout"])
    return errors
