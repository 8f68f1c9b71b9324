# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Just enough of X.509 to know whose a certificate is and until when it is valid. Pure.

A reader of DER (ITU-T X.690) for the outer structure of a certificate (RFC 5280, 4.1). It checks no signature and says
nothing about trust. One process of openssl for each file costs more than reading all of them here.
"""

from __future__ import annotations

import binascii
import calendar
import re
from typing import NamedTuple

_PEM = re.compile(rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----([A-Za-z0-9+/=\s]{1,65536})-----END")
_COMMON_NAME = b"\x55\x04\x03"  # 2.5.4.3
_TIME = re.compile(r"(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z")


class Certificate(NamedTuple):
    """``name`` is the common name of its subject, or empty; times in seconds since the epoch."""

    name: str
    not_before: float
    not_after: float


def read_certificates(data: bytes, limit: int = 1000) -> list[Certificate]:
    """The certificates in a file, PEM (however many, whatever stands between them) or DER (one).

    Raises ValueError when there is a certificate that cannot be read; a file without one gives an empty list.
    """
    if data[:1] == b"\x30":
        return [read_certificate(data)]
    found: list[Certificate] = []
    for match in _PEM.finditer(data):
        if len(found) == limit:
            break
        try:
            found.append(read_certificate(binascii.a2b_base64(match.group(1))))
        except binascii.Error as error:
            raise ValueError("certificate %d is not base64: %s" % (len(found) + 1, error)) from None
    return found


def read_certificate(der: bytes) -> Certificate:
    """The certificate in DER; what follows it is left alone. Raises ValueError."""
    _tag, start, end = _element(der, 0, len(der), 0x30)
    _tag, start, end = _element(der, start, end, 0x30)  # TBSCertificate
    tag, inner, after = _element(der, start, end)
    if tag == 0xA0:  # version
        tag, inner, after = _element(der, after, end)
    if tag != 0x02:
        raise ValueError("it has no serial number")
    _tag, inner, after = _element(der, after, end, 0x30)  # signature algorithm
    _tag, inner, after = _element(der, after, end, 0x30)  # issuer
    _tag, inner, after = _element(der, after, end, 0x30)  # validity
    tag, first, second = _element(der, inner, after)
    not_before = _time(tag, der[first:second])
    tag, first, second = _element(der, second, after)
    not_after = _time(tag, der[first:second])
    _tag, inner, after = _element(der, after, end, 0x30)  # subject
    return Certificate(_common_name(der, inner, after), not_before, not_after)


def _element(der: bytes, start: int, end: int, expected: int | None = None) -> tuple[int, int, int]:
    """The tag of the element at ``start``, and where its content begins and ends."""
    if start + 2 > end:
        raise ValueError("it is cut short")
    tag, length, content = der[start], der[start + 1], start + 2
    if length & 0x80:
        count = length & 0x7F
        if not 1 <= count <= 4 or content + count > end:
            raise ValueError("it has a length that makes no sense")
        length = int.from_bytes(der[content : content + count], "big")
        content += count
    if content + length > end:
        raise ValueError("it is cut short")
    if expected is not None and tag != expected:
        raise ValueError("expected element 0x%02x, found 0x%02x" % (expected, tag))
    return tag, content, content + length


def _time(tag: int, text: bytes) -> float:
    """UTCTime (a year of two digits; 50 and above is 19xx) or GeneralizedTime, both ending in Z (RFC 5280, 4.1.2.5)."""
    match = _TIME.fullmatch(text.decode("ascii", "replace"))
    if tag not in (0x17, 0x18) or not match or len(match.group(1)) != (2 if tag == 0x17 else 4):
        raise ValueError("it has a time that makes no sense")
    year, month, day, hour, minute, second = (int(part) for part in match.groups())
    if tag == 0x17:
        year += 1900 if year >= 50 else 2000
    if year < 1 or not 1 <= month <= 12 or not 1 <= day <= 31 or hour > 23 or minute > 59 or second > 60:
        raise ValueError("it has a time that makes no sense")
    return float(calendar.timegm((year, month, day, hour, minute, second)))


def _common_name(der: bytes, start: int, end: int) -> str:
    """The last common name of a distinguished name, which is a sequence of sets of (type, value)."""
    name = ""
    while start < end:
        _tag, inner, start = _element(der, start, end, 0x31)
        while inner < start:
            _tag, pair, inner = _element(der, inner, start, 0x30)
            _tag, first, second = _element(der, pair, inner, 0x06)
            tag, value, stop = _element(der, second, inner)
            if der[first:second] == _COMMON_NAME:
                name = der[value:stop].decode("utf-16-be" if tag == 0x1E else "utf-8", "replace")
    return name
