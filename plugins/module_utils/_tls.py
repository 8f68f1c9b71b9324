# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The TLS of a client, by the options that modules have in common for it."""

from __future__ import annotations

import ssl

from ._findings import clean_line


class Unusable(Exception):  # noqa: N818 - an outcome, not a bug
    """A file of the options that cannot be used: what was met, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def context(
    *, verify: bool, ca_file: str | None, client_cert: str | None = None, client_key: str | None = None
) -> ssl.SSLContext:
    """What a client trusts, and what it shows. Raises :class:`Unusable`."""
    try:
        made = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise Unusable(
            "ca_file cannot be read: %s" % clean_line(error, 200), "Give a file with certificates in PEM."
        ) from None
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if client_cert:
        try:
            # A key that is locked would ask at the terminal, and wait for ever.
            made.load_cert_chain(client_cert, client_key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise Unusable(
                "client_cert or client_key cannot be read: %s" % clean_line(error, 200),
                "Give a certificate and its key in PEM, the key without a passphrase.",
            ) from None
    return made
