# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `upkeep`."""

from __future__ import annotations

import signal
import sys

from . import cli


def main() -> int:
    """The command's exit code."""
    code = cli.main()
    # All is done and said: a Ctrl-C that comes now must not turn the exit code into a signal's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


if __name__ == "__main__":
    sys.exit(main())
