# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""One module a command: EPILOG (examples), configure(parser) and execute(arguments) -> exit code."""
