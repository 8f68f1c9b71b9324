# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The reader of ticket_history that says what is told where: from lines to notices, from due notices to messages.

One transaction reads the lines behind the cursor, writes a notice for each channel that is to hear of it, puts what is
due into the outbox, and moves the cursor. So a crash at any instant leaves all of it done or nothing.

- All that is due at once in a channel is one message: several tickets of one run, and of several, share it.
- What is told takes with it all that waits for the same channel about the same ticket: nobody hears of it twice.
- A channel that has used up its rate is told the rest in one summary as soon as it may; a P1 never waits for that.
- While nobody acknowledges, a route may say it again; not into a queue that does not get rid of what it has.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .. import escalation
from ..outbox import SENDING
from ..outbox import WAITING as UNSENT
from ..reconcile import PRIORITIES
from ..store import cursors, notices, tickets
from ..store import outbox as box
from ..store.model import RESOLVED as IS_RESOLVED
from ..store.notices import DROPPED, HELD, TOLD, WAITING
from . import routes, view
from .happenings import Happening, happenings, main_event, why_no_news
from .settings import ALARMS, OPENED, RAISED, REPEAT, RESOLVED, SLA

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection

    from ..config import Config
    from ..store import Store, Ticket
    from ..store.notices import Notice
    from .settings import Channel, How, Settings

LINES = 20_000
"""Lines of history that one step takes in."""
PENDING = 50_000
"""Notices that one step looks at."""
NEVER = 30 * 86400.0
"""Seconds: nothing waits so long; what does was written under a wrong clock."""
REPEATED = 1000
"""Tickets that nobody has acknowledged that one step says again, most urgent first."""


def step(store: Store, config: Config, now: float) -> int:
    """Plan what is to be told; returns how many messages were put into the outbox. UpkeepError when the store fails."""
    settings = config.notify
    if settings is None or not settings.channels:
        return 0
    with store.database.read() as connection:
        if not _anything(connection, settings, now):
            return 0
    known = groups(config)  # outside of the transaction: a dynamic inventory takes its time
    with store.database.write() as connection:
        return plan(connection, config, known, now)


def groups(config: Config) -> Mapping[str, frozenset[str]] | None:
    """The inventory's groups of each host, as far as a route asks for them; None when it cannot be read."""
    if config.notify is None or not any(route.group for route in config.notify.ways()):
        return {}
    from .groups import groups_of_hosts

    return groups_of_hosts(config)


@dataclass(frozen=True)
class Outlook:
    """A message that would be sent if the open tickets came now."""

    channel: str
    kind: str
    language: str
    due: float
    tickets: list[Ticket]


def outlook(
    connection: Connection, config: Config, known: Mapping[str, frozenset[str]] | None, now: float
) -> list[Outlook]:
    """What would be told if every ticket that nobody has acknowledged came now."""
    settings, hours = config.notify, config.sla.hours
    assert settings is not None
    found = tickets.of_numbers(connection, notices.open_numbers(connection, REPEATED))
    asked = subjects(connection, settings, list(found.values()), known)
    messages: dict[tuple[str, str, str, float], list[Ticket]] = defaultdict(list)
    for ticket in found.values():
        for order in routes.orders(settings, hours, asked[ticket.number], OPENED, now):
            due = routes.due(settings, hours, order.how, ticket.priority, OPENED, now)
            kind = "alarm" if order.how == "now" else "digest"
            messages[order.channel, kind, order.language, due].append(ticket)
    return [Outlook(*key, tickets=about) for key, about in sorted(messages.items())]


def _anything(connection: Connection, settings: Settings, now: float) -> bool:
    """Whether there may be something to do: the write lock is not taken for nothing."""
    cursor = cursors.read(connection, notices.CURSOR)
    if cursor is None or cursors.end_of_history(connection) != cursor or notices.any_due(connection, now, now + NEVER):
        return True
    repeating = [route for route in settings.ways() if route.repeat_every]
    if not repeating:
        return False
    before = now - min(route.repeat_every or 0.0 for route in repeating)
    priorities = {priority for route in repeating for priority in route.priority or PRIORITIES}
    return notices.any_silent(connection, priorities, before, now)


def plan(connection: Connection, config: Config, groups: Mapping[str, frozenset[str]] | None, now: float) -> int:
    """As :func:`step`, in the caller's transaction that writes."""
    planner = _Planner(connection, config, groups, now)
    planner.read()
    planner.repeat()
    return planner.tell()


class _Planner:
    """One step."""

    def __init__(
        self, connection: Connection, config: Config, groups: Mapping[str, frozenset[str]] | None, now: float
    ) -> None:
        assert config.notify is not None
        self.connection = connection
        self.config = config
        self.settings: Settings = config.notify
        self.hours = config.sla.hours
        self.groups = groups
        self.now = now

    # --- from lines to notices ----------------------------------------------------------------------------------------

    def read(self) -> None:
        """Take in what has happened since the last time."""
        cursor, last = cursors.read(self.connection, notices.CURSOR), cursors.end_of_history(self.connection)
        if cursor is None:
            # The first time: what is open is told as if it came now, what was before is not.
            found = [
                Happening(number, OPENED, last, self.now) for number in notices.open_numbers(self.connection, REPEATED)
            ]
            cursor = last
        elif last <= cursor:
            found, cursor = [], last  # a store that was put back has fewer lines
        else:
            lines = notices.lines_after(self.connection, cursor, LINES)
            found, cursor = happenings(lines), lines[-1].id
        self._note(found)
        cursors.move(self.connection, notices.CURSOR, cursor)

    def _note(self, found: Sequence[Happening]) -> None:
        known = tickets.of_numbers(self.connection, {one.ticket for one in found})
        subjects = self._subjects(known.values())
        for one in found:
            ticket = known.get(one.ticket)
            if ticket is None:
                continue
            if one.event == RESOLVED:
                self._note_end(one, ticket)
                continue
            # What came and went between two looks disturbs nobody.
            over = one.event in ALARMS and ticket.state == IS_RESOLVED
            rows = []
            for order in routes.orders(
                self.settings,
                self.hours,
                subjects[ticket.number],
                one.event,
                self.now,
                escalation.named_in(one.text) if one.event == SLA else (),
            ):
                how: How = "digest" if over else order.how
                rows.append(self._row(one, ticket, order.channel, how, order.route, order.language))
            notices.insert(self.connection, rows)

    def _note_end(self, one: Happening, ticket: Ticket) -> None:
        """That it is resolved is told to whoever was told that it was there."""
        if ticket.state != IS_RESOLVED:
            return
        told: dict[str, list[Notice]] = defaultdict(list)
        for notice in notices.alarms(self.connection, [ticket.number], (*ALARMS, REPEAT)):
            if notice.state == TOLD:
                told[notice.channel].append(notice)
        by_name = {route.name: route for route in self.settings.ways()}
        rows = []
        for channel, alarms in told.items():
            wanted = any(alarm.route not in by_name or RESOLVED in by_name[alarm.route].event for alarm in alarms)
            if channel in self.settings.channels and wanted:
                how: How = "now" if any(alarm.how == "now" for alarm in alarms) else "digest"
                rows.append(self._row(one, ticket, channel, how, alarms[-1].route, alarms[-1].language))
        notices.insert(self.connection, rows)

    def _row(self, one: Happening, ticket: Ticket, channel: str, how: How, route: str, language: str) -> dict[str, Any]:
        due = routes.due(self.settings, self.hours, how, ticket.priority, one.event, self.now)
        return {
            "channel": channel,
            "ticket": one.ticket,
            "event": one.event,
            "line": one.line,
            "at": one.at,
            "text": one.text,
            "how": how,
            "due": due,
            "route": route,
            "language": language,
            "state": WAITING,
            "changed": self.now,
            "message": "",
            "why": "",
        }

    def _subjects(self, known: Iterable[Ticket]) -> dict[int, routes.Subject]:
        """What the routes look at; hosts and checks are only fetched where a route asks for them."""
        return subjects(self.connection, self.settings, list(known), self.groups)

    # --- again, until somebody is on it -------------------------------------------------------------------------------

    def repeat(self) -> None:
        """Say again what nobody has acknowledged, where a route says so."""
        if not any(route.repeat_every for route in self.settings.ways()):
            return
        known = tickets.of_numbers(self.connection, notices.open_numbers(self.connection, REPEATED))
        last: dict[tuple[int, str], Notice] = {}
        numbers: dict[tuple[int, str], int] = defaultdict(int)
        newest: dict[int, float] = {}
        for notice in notices.alarms(self.connection, known, (*ALARMS, REPEAT, SLA)):
            if notice.state == TOLD and notice.how == "now":
                last[notice.ticket, notice.channel] = notice
                newest[notice.ticket] = max(newest.get(notice.ticket, 0.0), notice.changed)
            elif notice.how == "now":
                newest[notice.ticket] = self.now  # it waits for a quiet time's end, or the rate: told first
            if notice.event == REPEAT:
                numbers[notice.ticket, notice.channel] += 1
        alarmed = [ticket for number, ticket in known.items() if number in newest]
        looked_at = self._subjects(alarmed)
        due: dict[str, list[tuple[dict[str, Any], bool]]] = defaultdict(list)
        for ticket in alarmed:
            for order in routes.orders(self.settings, self.hours, looked_at[ticket.number], REPEAT, self.now):
                if order.how != "now" or not order.repeat_every:
                    continue
                before = last.get((ticket.number, order.channel))
                since = self.now - (before.changed if before else newest[ticket.number])
                if since < 0:
                    since = order.repeat_every  # written under a wrong clock
                number = numbers[ticket.number, order.channel] + 1
                happening = Happening(ticket.number, REPEAT, -int(self.now * 1000), self.now, str(number))
                row = self._row(happening, ticket, order.channel, "now", order.route, order.language)
                if since >= order.repeat_every / 2:
                    due[order.channel].append((row, since >= order.repeat_every))
        stuck = notices.busy_queues(self.connection, (UNSENT, SENDING))
        for channel, rows in due.items():
            # Those that are soon due go with one that is: one call, not one for each.
            if any(is_due for _row, is_due in rows) and self._free(channel, stuck):
                notices.insert(self.connection, [row for row, _is_due in rows])

    def _free(self, channel: str, stuck: Collection[str]) -> bool:
        return any(queue not in stuck for queue in self.settings.channels[channel].queues())

    # --- from notices to messages -------------------------------------------------------------------------------------

    def tell(self) -> int:
        """Put what is due into the outbox; returns how many messages."""
        by_channel: dict[str, list[Notice]] = defaultdict(list)
        for notice in notices.pending(self.connection, PENDING):
            by_channel[notice.channel].append(notice)
        wanted = {notice.ticket for waiting in by_channel.values() for notice in waiting}
        known = tickets.of_numbers(self.connection, wanted)
        count = 0
        for channel, waiting in by_channel.items():
            if channel not in self.settings.channels:
                ids = [notice.id for notice in waiting]
                notices.settle(self.connection, ids, DROPPED, self.now, why="the channel is not configured any more")
                continue
            count += self._tell(self.settings.channels[channel], waiting, known)
        return count

    def _tell(self, channel: Channel, waiting: Sequence[Notice], known: Mapping[int, Ticket]) -> int:
        now_due = [one for one in waiting if one.due <= self.now or one.due > self.now + NEVER]
        if not now_due:
            return 0
        if any(one.how == "digest" for one in now_due):
            now_due += [one for one in waiting if one.how == "digest" and one.due > self.now]
        by_ticket: dict[int, list[Notice]] = defaultdict(list)
        for one in now_due:
            why = why_no_news(one, known[one.ticket])
            if why:
                notices.settle(self.connection, [one.id], DROPPED, self.now, why=why)
            else:
                by_ticket[one.ticket].append(one)
        for one in waiting:  # what waits about the same ticket is told with it
            if one.due > self.now and one.ticket in by_ticket and one not in by_ticket[one.ticket]:
                by_ticket[one.ticket].append(one)
        urgent = {number for number, about in by_ticket.items() if any(one.how == "now" for one in about)}
        parts = [("alarm", urgent), ("digest", set(by_ticket) - urgent)]
        count = 0
        for kind, numbers in parts:
            by_language: dict[str, dict[int, list[Notice]]] = defaultdict(dict)
            for number in sorted(numbers):
                by_language[by_ticket[number][-1].language][number] = by_ticket[number]
            for language, about in by_language.items():
                count += self._message(channel, kind, language, about, known)
        return count

    def _message(
        self,
        channel: Channel,
        kind: str,
        language: str,
        about: dict[int, list[Notice]],
        known: Mapping[int, Ticket],
    ) -> int:
        """One message, if the channel's rate allows it; else only what is critical, and the rest is held back."""
        used = notices.told_messages(self.connection, channel.name, self.now - channel.rate.period)
        if used >= channel.rate.count:
            held = {number: rows for number, rows in about.items() if not self._is_critical(known[number], rows)}
            ids = [one.id for rows in held.values() for one in rows if one.state != HELD]
            notices.settle(self.connection, ids, HELD, self.now)
            about = {number: rows for number, rows in about.items() if number not in held}
            if not about:
                return 0
        was_held = sum(1 for rows in about.values() if any(one.state == HELD for one in rows))
        if was_held and not any(self._is_critical(known[number], rows) for number, rows in about.items()):
            kind = "digest"  # a summary of what was held back
        ids = [one.id for rows in about.values() for one in rows]
        key = f"{min(ids)}"
        told = [
            view.Told(known[number], main_event(rows, known[number]), _notes(rows)) for number, rows in about.items()
        ]
        payload = view.payload(
            self.connection,
            self.config,
            kind,
            told,
            language,
            self.now,
            held=was_held,
            rate=str(channel.rate) if was_held or used + 1 == channel.rate.count else "",
            inventory_failed=self.groups is None,
        )
        queues = channel.queues()
        if all(row.event == REPEAT for rows in about.values() for row in rows):
            stuck = notices.busy_queues(self.connection, (UNSENT, SENDING))
            queues = tuple(queue for queue in queues if queue not in stuck) or queues
        for queue in queues:
            box.enqueue(self.connection, queue, key, kind, payload, self.now)
        notices.settle(self.connection, ids, TOLD, self.now, message=key)
        return 1

    def _is_critical(self, ticket: Ticket, rows: Sequence[Notice]) -> bool:
        return ticket.priority == "P1" and any(row.event in (*ALARMS, SLA, REPEAT) for row in rows)


def subjects(
    connection: Connection,
    settings: Settings,
    known: Sequence[Ticket],
    groups: Mapping[str, frozenset[str]] | None,
) -> dict[int, routes.Subject]:
    """What routes look at, for some tickets; hosts and checks are only fetched where a route asks for them."""
    ways = settings.ways()
    numbers = [ticket.number for ticket in known]
    asked_hosts = any(route.host or route.group for route in ways)
    hosts = notices.standing(connection, numbers, "host") if asked_hosts else {}
    checks = (
        notices.standing(connection, numbers, "check_name") if any(route.check or route.area for route in ways) else {}
    )
    return {
        ticket.number: routes.Subject(
            priority=ticket.priority,
            checks=frozenset({ticket.cause.partition(" ")[0], *checks.get(ticket.number, ())}),
            hosts=frozenset(hosts.get(ticket.number, ())),
            groups=None
            if groups is None
            else frozenset(group for host in hosts.get(ticket.number, ()) for group in groups.get(host, ())),
        )
        for ticket in known
    }


def _notes(rows: Sequence[Notice]) -> list[tuple[str, str]]:
    """What the lines behind a message say in words: (event, text)."""
    return [(row.event, row.text) for row in rows if (row.text and row.event not in ALARMS) or row.event == RAISED]
