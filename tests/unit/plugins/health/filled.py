# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options as Ansible hands them over: with every default."""

from __future__ import annotations

from typing import Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._health.options import ARGUMENT_SPEC, PROBE_SPEC


def probe(name: str, kind: str, **more: Any) -> dict[str, Any]:
    return {**{key: one.get("default") for key, one in PROBE_SPEC.items()}, "name": name, "kind": kind, **more}


def given(**more: Any) -> dict[str, Any]:
    return {**{key: one.get("default") for key, one in ARGUMENT_SPEC.items()}, **more}
