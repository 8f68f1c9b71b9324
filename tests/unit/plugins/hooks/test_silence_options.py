# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.upkeep.maintenance.plugins.module_utils._hooks.silence_options import SPEC, errors_of

NOW = 1_790_000_000.0


def matcher(name: str, value: str, regex: bool = False, equal: bool = True) -> dict[str, Any]:
    return {"name": name, "value": value, "regex": regex, "equal": equal}


def given(**options: Any) -> dict[str, Any]:
    defaults = {name: one.get("default") for name, one in SPEC.items()}
    plain = {"key": "patching/web1", "url": "http://h:9093/am", "matchers": [matcher("instance", "web1")]}
    return {**defaults, **plain, **options}


@pytest.mark.parametrize(
    "options",
    [
        given(),
        given(ends=NOW + 60, minutes=0),
        given(state="absent", matchers=[], minutes=0),
        given(url="https://[::1]:9093", user="u", password="p", client_cert="/c", client_key="/k"),
        given(kind="zabbix", matchers=[], hosts=["web 1"], token="t"),
        given(kind="grafana", matchers=[], tags=["change:4711"], dashboard="abc_-9", panel=2),
        given(kind="zabbix", matchers=[], state="absent", user="u", password="p"),
        given(matchers=[matcher("instance", "web1.*", regex=True), matcher("severity", "info", equal=False)]),
    ],
)
def test_what_makes_sense_is_taken(options: dict[str, Any]) -> None:
    assert errors_of(options, NOW) == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (given(key="a b"), "key is"),
        (given(key=""), "key is"),
        (given(key="a" * 121), "key is"),
        (given(url="file:///etc/shadow"), "begins with http"),
        (given(url="http://u:p@h/"), "is logged"),
        (given(url="http://h/?a=b"), "no query"),
        (given(url="http://h/ b"), "no white space"),
        (given(url="http://h:99999"), "makes no sense"),
        (given(password="p"), "needs a user"),
        (given(user="u", token="t"), "which of the two"),
        (given(user="u:v", password="p"), "colon"),
        (given(token="t\r\nX: y"), "line feed"),
        (given(comment="a\nb"), "line feed"),
        (given(client_key="/k"), "needs a client_cert"),
        (given(timeout=0), "1 to 300"),
        (given(minutes=0), "1 to 10080"),
        (given(minutes=10081), "1 to 10080"),
        (given(ends=NOW - 60), "still to come"),
        (given(ends=NOW * 1000), "milliseconds"),
        (given(ends=float("nan")), "still to come"),
        (given(matchers=[]), "at least one"),
        (given(hosts=["web1"]), "hosts is an option of kind zabbix, and means nothing with kind alertmanager"),
        (given(kind="zabbix", hosts=["web1"], token="t"), "matchers is an option of kind alertmanager"),
        (given(kind="zabbix", matchers=[], hosts=["web1"]), "needs a token, or user and password"),
        (given(kind="zabbix", matchers=[], hosts=["web1"], user="u"), "needs a password"),
        (given(kind="zabbix", matchers=[], token="t"), "at least one"),
        (given(kind="grafana", matchers=[], key="a" * 101), "up to 100 characters there"),
        (given(kind="grafana", matchers=[], tags=["a\nb"]), "a tag is 1 to 100"),
        (given(kind="grafana", matchers=[], tags=["upkeep:x"]), "does not begin with upkeep:"),
        (given(kind="grafana", matchers=[], panel=2), "panel needs a dashboard"),
        (given(kind="grafana", matchers=[], dashboard="a/b"), "dashboard is the UID"),
        (given(kind="zabbix", matchers=[], hosts=[" "], token="t"), "holds host names"),
        (given(kind="zabbix", matchers=[], hosts=["a"], token="t", wait=-1), "0 to 3600"),
        (given(matchers=[matcher("a", "b"), matcher("a", "b")]), "twice"),
        (given(matchers=[matcher("", "b")]), "is a label"),
        (given(matchers=[matcher("a", "b\nc")]), "control characters"),
        (given(matchers=[matcher("a", ".+", regex=True)]), "silence everything"),
        (given(matchers=[matcher("a", "b", equal=False)]), "silence everything"),
        (given(matchers=[matcher("a", "")]), "not empty"),
    ],
)
def test_what_does_not_is_told(options: dict[str, Any], says: str) -> None:
    assert says in "; ".join(errors_of(options, NOW))
