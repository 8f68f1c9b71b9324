# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.drain_options import SPEC, errors_of


def given(**options: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    return {**defaults, "server": "web1", "state": "drained", **options}


def command(**options: Any) -> dict[str, Any]:
    return given(kind="command", **{"drain_command": ["/d", "a b"], "check_command": ["/c"], **options})


def patroni(**options: Any) -> dict[str, Any]:
    return given(kind="patroni", **{"urls": ["https://pg2:8008"], **options})


@pytest.mark.parametrize(
    "options",
    [
        given(backends=["shop"], allow_last=True, end_maintenance=True),
        command(step_timeout=3600),
        command(state="active", active_command=["/a"]),
        given(kind="kubernetes", server="node-1.example.com", context="here", kubeconfig="/k", allow_last=True),
        patroni(user="u", password="p", candidate="pg2", max_lag=0, ca_file="/c", client_cert="/c", client_key="/k"),
    ],
)
def test_what_makes_sense_is_taken(options: dict[str, Any]) -> None:
    assert errors_of(options) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (given(server="a b"), "a name is made of"),
        (given(backends=["a;b"]), "backends: a name"),
        (given(timeout=-1), "0 to 86400"),
        (given(urls=["http://h"]), "urls is an option of kind patroni, and means nothing with kind haproxy"),
        (given(step_timeout=5), "step_timeout is an option of kind command and kubernetes and patroni"),
        (command(socket="/s"), "socket is an option of kind haproxy"),
        (command(allow_last=True), "allow_last is an option of kind haproxy and kubernetes"),
        (command(step_timeout=0), "1 to 3600"),
        (command(drain_command=[]), "with state drained needs drain_command"),
        (command(state="active"), "with state active needs active_command"),
        (command(check_command=[]), "needs check_command"),
        (command(check_command=[""]), "check_command begins with the path"),
        (command(check_command=["/c", "a\0b"]), "NUL"),
        (given(kind="kubernetes", server="-A"), "server is a node"),
        (given(kind="kubernetes", server="Node1"), "lower case"),
        (given(kind="kubernetes", evict_unmanaged=True, candidate="pg2"), "candidate is an option of kind patroni"),
        (patroni(urls=[]), "needs urls"),
        (patroni(urls=["pg2:8008"]), "urls begins with http"),
        (patroni(urls=["https://u:p@pg2"]), "urls is logged"),
        (patroni(password="p"), "needs a user"),
        (patroni(user="u", password="a\nb"), "line feed"),
        (patroni(client_key="/k"), "needs a client_cert"),
        (patroni(max_lag=-1), "max_lag is bytes"),
        (patroni(candidate="a b"), "candidate is the name"),
        (patroni(candidate="web1"), "the server itself"),
    ],
)
def test_what_does_not_is_told(options: dict[str, Any], says: str) -> None:
    assert says in "; ".join(errors_of(options))
