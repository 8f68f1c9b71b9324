# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command `upkeep`."""

from __future__ import annotations

import os
import signal
import sys

from . import cli


def main() -> int:
    """The command's exit code."""
    # Started with its output closed (>&-), Python has none at all: whatever is printed would end in a traceback.
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as we live
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for as long as we live
    code = cli.main()
    # All is done and said: a Ctrl-C that comes now must not turn the exit code into a signal's.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


if __name__ == "__main__":
    sys.exit(main())
