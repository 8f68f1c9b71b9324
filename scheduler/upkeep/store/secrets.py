# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where passwords may stand in a store's URL. Imports nothing heavy: the configuration is read with it."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

SECRET_PARAMETERS = frozenset(
    {"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"}
)
"""Parameters of libpq that are secrets themselves (PostgreSQL's manual, 34.1.2); passfile only names a file."""


def is_secret(parameter: str) -> bool:
    """Whether a parameter of a URL's query must not be shown."""
    return parameter.lower() in SECRET_PARAMETERS


def holds_secret(url: str) -> bool:
    """Whether a URL has a password, before its host (as SQLAlchemy splits it: up to the first @) or in its query."""
    before_host = re.search(r"://[^:/]*:[^@]+@", url) is not None
    query = parse_qsl(url.partition("?")[2], keep_blank_values=True)
    return before_host or any(is_secret(name) for name, _value in query)
