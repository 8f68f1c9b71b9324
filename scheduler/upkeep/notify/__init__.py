# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notification: what is critical calls at once, the rest waits for working hours, one fault makes one message.

    ticket_history ─▶ plan.py (reader with a cursor) ─▶ notices ─▶ outbox ─▶ send.py (apprise)
                        routes.py says to whom, when        messages.py says it in words

Nothing here is imported where no channel is configured: settings.py is all that the configuration needs.
"""
