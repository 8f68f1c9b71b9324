# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emergency: the hosts and the way of a campaign, in short rings, for some CVEs or packages only. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.plan_options import errors_of_asked

from .model import Asked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .model import Spec


def asked_of(cves: Iterable[str], packages: Iterable[str]) -> Asked:
    """From words of a command line; a package as NAME or NAME=VERSION. Raises ValueError that says what was found."""
    named = sorted({cve.strip().upper() for cve in cves})
    wanted = sorted({_package(text) for text in packages})
    wrong = errors_of_asked(named, [{"name": name, "version": version} for name, version in wanted])
    if wrong:
        raise ValueError("; ".join(wrong))
    versions: dict[str, str] = {}
    for name, version in wanted:
        if versions.setdefault(name, version) != version:
            raise ValueError(f"{name} twice: {versions[name] or 'the newest'} and {version or 'the newest'}")
    return Asked(tuple(named), tuple(wanted))


def _package(text: str) -> tuple[str, str]:
    name, equals, version = text.strip().partition("=")
    if equals and not version:
        raise ValueError(f"{text}: the version is missing")
    return name, version


def of(spec: Spec, asked: Asked) -> Spec:
    """The emergency of a campaign."""
    how = spec.emergency
    return replace(
        spec,
        asked=asked,
        rings=how.rings,
        soak=how.soak,
        max_failures=how.max_failures or spec.max_failures,
        windows=() if how.ignore_window else spec.windows,
        extra_vars={**spec.extra_vars, **variables(asked)},
    )


def variables(asked: Asked) -> dict[str, Any]:
    """What the role patch_plan is told; what is asked for by name is not left out by how it is rated."""
    packages = [{"name": name, "at_least": True, **({"version": at} if at else {})} for name, at in asked.packages]
    return {
        "patch_plan_select": "cves" if asked.cves else "packages",
        "patch_plan_cves": list(asked.cves),
        "patch_plan_packages": packages,
        "patch_plan_severities": [],
    }
