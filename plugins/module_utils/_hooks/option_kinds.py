# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the options of the hooks have in common: some are of one kind only, some say how a server is reached. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

CONTROL = re.compile("[\x00-\x1f\x7f]")


def foreign(options: Mapping[str, Any], spec: Mapping[str, Any], only: Mapping[str, Sequence[str]]) -> list[str]:
    """A sentence for each option that was given and is none of this kind's: who gave it expects something of it."""
    return [
        "%s is an option of kind %s, and means nothing with kind %s" % (name, " and ".join(kinds), options["kind"])
        for name, kinds in only.items()
        if options["kind"] not in kinds and options[name] != spec[name].get("default")
    ]


def url_errors(name: str, url: str) -> list[str]:
    """What is wrong with where a server is reached over HTTP; ``name`` is that of the option."""
    try:
        parts = urlsplit(url)
        _port = parts.port
    except ValueError as error:
        return ["%s makes no sense: %s" % (name, error)]
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return ["%s begins with http:// or https:// and names a host" % name]
    if parts.username is not None or parts.password is not None:
        return ["%s is logged, so no user and password in it: give user and password" % name]
    if parts.query or parts.fragment or re.search(r"[\x00-\x20\x7f]", url):
        return ["%s is where the server's pages begin: no query, no fragment, no white space" % name]
    return []


def login_errors(options: Mapping[str, Any]) -> list[str]:
    """What is wrong with user, password, token, client_cert and client_key."""
    errors = []
    if options["password"] is not None and not options["user"]:
        errors.append("a password needs a user")
    if options["user"] and options.get("token"):
        errors.append("which of the two counts: user, or token? Give one of them")
    for name in ("user", "password", "token"):
        if options.get(name) and CONTROL.search(options[name]):
            errors.append("%s holds a line feed or another control character" % name)
    if options["user"] and ":" in options["user"]:
        errors.append("user holds a colon, which Basic authentication cannot carry")
    if options["client_key"] and not options["client_cert"]:
        errors.append("client_key needs a client_cert")
    return errors
