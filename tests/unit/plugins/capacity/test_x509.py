# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of certificates, against what openssl says of certificates that it made (data/*.pem)."""

from __future__ import annotations

import base64
import calendar
import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity.x509 import (
    Certificate,
    read_certificate,
    read_certificates,
)

DATA = Path(__file__).parent / "data"
MADE = calendar.timegm((2026, 11, 22, 11, 42, 13))


def pem(name: str) -> bytes:
    return (DATA / (name + ".pem")).read_bytes()


def der(name: str) -> bytes:
    return base64.b64decode(b"".join(pem(name).splitlines()[1:-1]))


@pytest.mark.parametrize(
    ("name", "common_name", "not_after"),
    [
        ("rsa", "www.example.com", (2027, 2, 20, 11, 42, 13)),
        ("ec", "Löng", (2066, 11, 12, 11, 42, 13)),  # after 2049 times are written otherwise
        ("trusted", "Löng", (2066, 11, 12, 11, 42, 13)),
        ("nocn", "", (2026, 12, 22, 11, 42, 13)),
    ],
)
def test_as_openssl_reads_them(name: str, common_name: str, not_after: tuple[int, ...]) -> None:
    expected = [Certificate(common_name, MADE, calendar.timegm(not_after))]
    assert read_certificates(pem(name)) == expected
    assert read_certificates(der(name)) == expected


def test_a_bundle_with_a_key_and_words_between() -> None:
    key = b"-----BEGIN PRIVATE KEY-----\nMIICdgIBADANBgkqhkiG9w0BAQEFAASCAmAwggJcAgEAAoGB\n-----END PRIVATE KEY-----\n"
    bundle = key + b"# the host's own\r\n" + pem("rsa").replace(b"\n", b"\r\n") + b"\xff\xfe junk" + pem("ec")
    assert [certificate.name for certificate in read_certificates(bundle)] == ["www.example.com", "Löng"]


@pytest.mark.parametrize("data", [b"", b"hello", b"-----BEGIN CERTIFICATE-----\n", b"\xff" * 1000])
def test_no_certificate(data: bytes) -> None:
    assert read_certificates(data) == []


def test_a_limit_on_their_number() -> None:
    assert len(read_certificates(pem("rsa") * 50, limit=21)) == 21


@pytest.mark.parametrize(
    "data",
    [
        b"\x30\x80",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x30\x85\x01\x01\x01\x01\x01",
        b"\x30\x00",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----",
        b"-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----",
    ],
)
def test_broken_ones_are_told(data: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_certificates(data)


@pytest.mark.parametrize("time", [b"991399000000Z", b"270220114213+", b"270220994213Z"])
def test_times_that_make_no_sense_are_told(time: bytes) -> None:
    with pytest.raises(ValueError, match="time that makes no sense"):
        read_certificate(der("rsa").replace(b"270220114213Z", time))


@given(st.binary(max_size=200), st.integers(0, 600), st.integers(0, 50))
@settings(max_examples=500, deadline=None)
def test_whatever_the_bytes_only_a_value_error(noise: bytes, place: int, cut: int) -> None:
    whole = der("rsa")
    for broken in (noise, whole[:place] + noise + whole[place + cut :], whole[:place]):
        with contextlib.suppress(ValueError):
            read_certificate(broken)
