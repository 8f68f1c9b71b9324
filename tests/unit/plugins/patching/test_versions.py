# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order of versions, against dpkg itself where it is at hand, and against the examples of the policy and of rpm."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils._patching.versions import compare_deb, compare_rpm

DEB = [
    ("1.0-1", "1.0-1", 0),
    ("1.0-1", "1.0-2", -1),
    ("1.0-9", "1.0-10", -1),
    ("1:0.1", "2.0", 1),
    ("0:1.0", "1.0", 0),
    ("1.0~rc1-1", "1.0-1", -1),
    ("1.0~~", "1.0~", -1),
    ("1.0", "1.0-0", 0),
    ("1.0+b1", "1.0", 1),
    ("1.0a", "1.0+", -1),
    ("3.0.19-1~deb12u2", "3.0.22-1~deb12u2", -1),
    ("0.13.0-1", "0.13.0-1.1~deb12u1", -1),
    ("2:8.2.3995-1", "2:9.0", -1),
    ("1.007", "1.7", 0),
    ("6.1.0-9-amd64", "6.1.0-37-amd64", -1),
    ("1.2-3-4", "1.2-3-5", -1),
]

RPM = [
    ("1.0", "1.0", 0),
    ("1.0", "2.0", -1),
    ("2.0.1a", "2.0.1", 1),
    ("5.5p1", "5.5p10", -1),
    ("10xyz", "10.1xyz", -1),
    ("xyz10", "xyz10.1", -1),
    ("1.0010", "1.9", 1),
    ("2_0", "2.0", 0),
    ("1.0~rc1", "1.0", -1),
    ("1.0^", "1.0", 1),
    ("1.0^git1", "1.01", -1),
    ("1.0~rc1^git1", "1.0~rc1", 1),
    ("a", "1", -1),
    ("5.14.0-427.13.1.el9_4.x86_64", "5.14.0-427.9.1.el9_4.x86_64", 1),
]


def sign(number: int) -> int:
    return (number > 0) - (number < 0)


@pytest.mark.parametrize(("left", "right", "expected"), DEB)
def test_dpkg_order(left: str, right: str, expected: int) -> None:
    assert sign(compare_deb(left, right)) == expected
    assert sign(compare_deb(right, left)) == -expected


@pytest.mark.parametrize(("left", "right", "expected"), RPM)
def test_rpm_order(left: str, right: str, expected: int) -> None:
    assert sign(compare_rpm(left, right)) == expected
    assert sign(compare_rpm(right, left)) == -expected


VERSIONS = st.from_regex(r"\A(?:[0-9]:)?[0-9][0-9a-z.+~]{0,6}(?:-[0-9a-z.+~]{1,4})?\Z")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="dpkg is not on this machine")
@settings(max_examples=60, deadline=None)
@given(VERSIONS, VERSIONS)
def test_dpkg_says_the_same(left: str, right: str) -> None:
    asked = "lt" if compare_deb(left, right) < 0 else "gt" if compare_deb(left, right) > 0 else "eq"
    assert subprocess.run(["dpkg", "--compare-versions", left, asked, right], check=False).returncode == 0
