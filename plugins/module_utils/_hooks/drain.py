# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A server drained or taken back: looked at, decided, done, and waited for until it is seen to be so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .._findings import Review
from .drain_command import Command
from .drain_haproxy import HAProxy
from .drain_kubernetes import Kubernetes
from .drain_patroni import Patroni
from .draining import wait_for
from .outcome import Failed, TimeIsOver, of_bug

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .draining import Drainer

FAILED = "patch.drain.failed"
LEFT = "patch.drain.left"


def drain(options: Mapping[str, Any], check_mode: bool) -> dict[str, Any]:
    """Drain a server or take it back, by options that :func:`errors_of` lets pass.

    The result has ``ok``, ``msg``, ``changed``, ``servers``, ``left_alone``, ``waited`` (seconds), ``diff``, for state
    active ``undone``, and the contract's lists. What failed is a finding, not an exception.
    """
    review = Review("patch")
    drained = options["state"] == "drained"
    check = FAILED if drained else LEFT
    told: dict[str, Any] = {
        "ok": True, "msg": "", "changed": False, "servers": [], "left_alone": [], "waited": 0.0,
        "diff": {"before": "", "after": ""},
    }  # fmt: skip
    if not drained:
        told["undone"] = False
    drainer: Drainer = _KINDS[options["kind"]](options)
    done: list[str] = []
    try:
        look = drainer.look()
        told.update(
            diff={"before": look.before, "after": look.after}, servers=look.servers, left_alone=look.left_alone,
            changed=look.changes,
        )  # fmt: skip
        if not check_mode:
            try:
                if look.changes:
                    drainer.carry_out(done)
                wait_for(drainer, options["timeout"], told)
            finally:
                told["changed"] = bool(done)
            review.covered(check, options["server"])
    except Exception as error:  # noqa: BLE001 - a bug is told, with what was done until then
        failed = error if isinstance(error, Failed) else of_bug(error)
        goes_on = drained and isinstance(failed, TimeIsOver) and options["on_timeout"] == "continue"
        asked = "drained" if drained else "taken back"
        msg = "%s could not be %s by %s: %s." % (options["server"], asked, drainer.by, failed.what)
        told.update(ok=goes_on, msg="" if goes_on else msg)
        evidence = ["%s, asked for state %s" % (drainer.where, options["state"]), *failed.evidence]
        if done:
            evidence.append("done before that: " + ", ".join(done))
        review.found(check, options["server"], "low" if goes_on else "medium", msg, evidence, failed.remedy)
    told.update(review.result())
    return told


_KINDS: dict[str, Any] = {"haproxy": HAProxy, "command": Command, "kubernetes": Kubernetes, "patroni": Patroni}
