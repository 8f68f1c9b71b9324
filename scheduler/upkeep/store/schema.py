# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables. Times are seconds since the epoch (UTC); ``rank`` is a severity's place, 0 the worst.

A change here needs a migration: see migrations/env.py. A test holds the two against each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import sqlite

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.dialects import postgresql

REVISION = "0007"
"""The newest migration. Revisions are numbers of four digits, so that an older Upkeep knows a newer store."""

VERSION_TABLE = "upkeep_schema"
"""Alembic's table under a name of our own: another application in the same database has one too."""

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# Numbers for people, small and never used twice, also after retention removed the newest row.
counters = Table(
    "counters",
    metadata,
    Column("name", String(20), primary_key=True),
    Column("value", Integer, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("id", String(200), nullable=False, unique=True),
    Column("job", Text),
    Column("playbook", Text, nullable=False),
    Column("check_mode", Boolean, nullable=False),
    Column("state", String(20), nullable=False),
    Column("started", Double, nullable=False),
    Column("finished", Double),
    Column("recorded", Double),
    Column("complete", Boolean, nullable=False),
    Column("actor", Text, nullable=False),
    Column("artifacts", Text, nullable=False),
    Column("message", Text, nullable=False),
    # The process that carries it out, so that one that is gone can be told from one that takes long.
    Column("node", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_start", BigInteger, nullable=False),
    Column("critical", Integer, nullable=False),
    Column("high", Integer, nullable=False),
    Column("medium", Integer, nullable=False),
    Column("low", Integer, nullable=False),
    Column("info", Integer, nullable=False),
    Column("hosts_ok", Integer, nullable=False),
    Column("hosts_failed", Integer, nullable=False),
    Column("hosts_unreachable", Integer, nullable=False),
    # Somebody asked for its end; the process that carries it out looks here.
    Column("cancel_asked", Double),
    Column("cancel_by", Text, nullable=False, server_default=text("''")),
    # Its process's sign of life, by the database's clock: how other machines tell that its own has died.
    Column("seen", Double),
    Index(None, "started"),
    Index(None, "state"),
)

run_hosts = Table(
    "run_hosts",
    metadata,
    Column("run", ForeignKey("runs.number", ondelete="CASCADE"), nullable=False),
    Column("host", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("ok", Integer, nullable=False),
    Column("changed", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    PrimaryKeyConstraint("run", "host"),
)

# Where each host stands with each job, by the newest run that was recorded ("" is a playbook that is no job): what is
# asked often and must not cost a walk through all runs, and what is still known when retention has removed the run.
job_hosts = Table(
    "job_hosts",
    metadata,
    Column("job", Text, nullable=False),
    Column("check_mode", Boolean, nullable=False),
    Column("host", Text, nullable=False),
    Column("state", String(20), nullable=False),
    # When that run began; when the last one ended that did all its tasks here, and came to its own end.
    Column("seen", Double, nullable=False),
    Column("succeeded", Double),
    PrimaryKeyConstraint("job", "check_mode", "host"),
    Index(None, "seen"),
    sqlite_with_rowid=False,
)

findings = Table(
    "findings",
    metadata,
    Column("run", ForeignKey("runs.number", ondelete="CASCADE"), nullable=False),
    Column("host", Text, nullable=False),
    Column("check_name", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("summary", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("remedy", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    PrimaryKeyConstraint("run", "host", "check_name", "subject"),
    Index(None, "run", "rank"),
)

# When the run began in which a check last ran to its end: what a newer run looked at is not unsaid by an older one that
# is recorded late.
coverage = Table(
    "coverage",
    metadata,
    Column("host", Text, nullable=False),
    Column("check_name", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("at", Double, nullable=False),
    PrimaryKeyConstraint("host", "check_name", "subject"),
    Index(None, "at"),
    sqlite_with_rowid=False,
)

tickets = Table(
    "tickets",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("key", String(64), nullable=False, unique=True),
    Column("cause", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("state", String(20), nullable=False),
    Column("priority", String(4), nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("opened", Double, nullable=False),
    Column("updated", Double, nullable=False),
    Column("acknowledged", Double),
    Column("acknowledged_by", Text, nullable=False),
    Column("resolved", Double),
    Column("resolved_by", Text, nullable=False),
    Column("reopened", Integer, nullable=False),
    Column("follows", ForeignKey("tickets.number", ondelete="SET NULL")),
    Column("entries", Integer, nullable=False),
    Column("hosts", Integer, nullable=False),
    Column("clocks", JSON, nullable=False),
    Column("assignee", Text, nullable=False, server_default=text("''")),
    # While it waits for somebody else the clocks stand still: [[from, to or null, why], …].
    Column("pauses", JSON, nullable=False, server_default=text("'[]'")),
    # How it went before it was reopened, for the SLA's report: a mapping for each time (see store/tickets.py).
    Column("cycles", JSON, nullable=False, server_default=text("'[]'")),
    # The SLA's warnings and steps that were told since it was (re)opened: see escalation.py.
    Column("sla_told", JSON, nullable=False, server_default=text("'[]'")),
    # What people learned from it; the next ticket of the same cause shows it.
    Column("workaround", Text, nullable=False, server_default=text("''")),
    Column("root_cause", Text, nullable=False, server_default=text("''")),
    Column("prevention", Text, nullable=False, server_default=text("''")),
    Index(None, "state"),
    Index(None, "cause"),
    Index(None, "follows"),
)
# What a finding said is in `findings`, at (run, host, check_name, subject): retention keeps it while it is shown here.
ticket_entries = Table(
    "ticket_entries",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ticket", ForeignKey("tickets.number", ondelete="CASCADE"), nullable=False),
    Column("host", Text, nullable=False),
    Column("check_name", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("rank", SmallInteger, nullable=False),
    Column("run", ForeignKey("runs.number"), nullable=False),
    Column("first_seen", Double, nullable=False),
    Column("last_seen", Double, nullable=False),
    Column("cleared", Double),
    UniqueConstraint("ticket", "host", "check_name", "subject"),
    Index(None, "run"),
)
ticket_history = Table(
    "ticket_history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("ticket", ForeignKey("tickets.number", ondelete="CASCADE"), nullable=False),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("kind", String(20), nullable=False),
    Column("text", Text, nullable=False),
    Column("run", ForeignKey("runs.number", ondelete="SET NULL")),
    Index(None, "ticket"),
    Index(None, "run"),
)

# How far a reader of ticket_history has come, by its name.
cursors = Table(
    "cursors",
    metadata,
    Column("name", String(100), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
# A moment, and a word with it, that a step must know at its next call.
marks = Table(
    "marks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("at", Double, nullable=False),
    Column("what", Text, nullable=False),
)

# --- the scheduler ----------------------------------------------------------------------------------------------------

job_states = Table(
    "job_states",
    metadata,
    Column("job", Text, primary_key=True),
    # What it was decided by: occurrences of another schedule are not owed.
    Column("schedule", Text, nullable=False),
    Column("since", Double, nullable=False),
    # Occurrences up to here are decided.
    Column("cursor", Double, nullable=False),
    Column("paused", Double),
    Column("paused_by", Text, nullable=False),
    Column("paused_why", Text, nullable=False),
)
# The claim on one occurrence of one job: whoever inserts the row carries it out, nobody else ever does.
firings = Table(
    "firings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job", Text, nullable=False),
    Column("due", Double, nullable=False),
    Column("state", String(20), nullable=False),
    Column("why", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("decided", Double, nullable=False),
    # When it may begin: its jitter, its window, a lock that is held.
    Column("not_before", Double, nullable=False),
    Column("run", String(200)),
    # The end of the window that it begins in.
    Column("until", Double),
    # Processes that were started for it; whichever of them registers its run first carries it out.
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("launched", Double),
    # Not null: a second run, after the first was cut off; these hosts are done.
    Column("done", JSON),
    # Patterns of hosts that a freeze takes out of it.
    Column("without", JSON),
    Column("ended", Double),
    UniqueConstraint("job", "due"),
    Index(None, "state"),
    Index(None, "due"),
    sqlite_autoincrement=True,
)
# Two runs of one lock group are never at work on one host; `*` is all hosts.
host_locks = Table(
    "host_locks",
    metadata,
    Column("lock", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("run", ForeignKey("runs.number", ondelete="CASCADE"), nullable=False),
    Column("since", Double, nullable=False),
    PrimaryKeyConstraint("lock", "host"),
    Index(None, "run"),
)
# The schedulers that are at work, and which of them leads.
nodes = Table(
    "nodes",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("node", Text, nullable=False),
    Column("boot", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("pid_start", BigInteger, nullable=False),
    Column("started", Double, nullable=False),
    Column("seen", Double, nullable=False),
    Column("leads", Boolean, nullable=False),
)
# A check run's plan that waits for a person's word.
approvals = Table(
    "approvals",
    metadata,
    Column("run", ForeignKey("runs.number", ondelete="CASCADE"), primary_key=True),
    Column("job", Text, nullable=False),
    Column("due", Double),
    Column("state", String(20), nullable=False),
    Column("plan_hash", String(64), nullable=False),
    Column("plan", JSON, nullable=False),
    Column("asked", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("answered", Double),
    Column("answered_by", Text, nullable=False),
    Column("why", Text, nullable=False),
    Column("applied_by_run", Integer),
    Column("ticket", ForeignKey("tickets.number", ondelete="SET NULL")),
    Index(None, "state"),
    Index(None, "ticket"),
)

# --- what goes out ----------------------------------------------------------------------------------------------------

# One row for each thing to be done outside, exactly once: `key` names it within its queue (a ticket system, a route).
outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("queue", String(100), nullable=False),
    Column("key", String(200), nullable=False),
    Column("ticket", ForeignKey("tickets.number", ondelete="SET NULL")),
    Column("kind", String(30), nullable=False),
    Column("payload", JSON, nullable=False),
    Column("state", String(20), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("not_before", Double, nullable=False),
    Column("created", Double, nullable=False),
    Column("changed", Double, nullable=False),
    Column("error", Text, nullable=False),
    # Whoever sends it just now; an attempt is written down before anything goes out.
    Column("holder", Text, nullable=False),
    # When an attempt was learned of whose outcome nobody knows: what goes out next must look first.
    Column("unsure", Double),
    UniqueConstraint("queue", "key"),
    Index(None, "queue", "state", "not_before"),
    Index(None, "ticket"),
    sqlite_autoincrement=True,
)
# A queue that is stopped (its credentials are refused), until a probe or a person lets it go on.
held_queues = Table(
    "held_queues",
    metadata,
    Column("queue", String(100), primary_key=True),
    Column("since", Double, nullable=False),
    Column("why", Text, nullable=False),
    Column("probes", Integer, nullable=False),
    Column("next_probe", Double, nullable=False),
)
# A queue whose system does not answer, or asked for patience: nothing is sent before `until`. Any success ends it.
paused_queues = Table(
    "paused_queues",
    metadata,
    Column("queue", String(100), primary_key=True),
    Column("since", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("failures", Integer, nullable=False),
    Column("why", Text, nullable=False),
)
# What is to be told to a channel about a ticket, or was: so that nothing is said twice, and who heard of a fault hears
# of its end. `line` is that of ticket_history (of a repetition: minus its number).
notices = Table(
    "notices",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("channel", String(100), nullable=False),
    Column("ticket", ForeignKey("tickets.number", ondelete="CASCADE"), nullable=False),
    Column("event", String(20), nullable=False),
    Column("line", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("text", Text, nullable=False),
    Column("how", String(10), nullable=False),
    Column("due", Double, nullable=False),
    Column("route", Text, nullable=False),
    Column("language", String(5), nullable=False),
    Column("state", String(10), nullable=False),
    Column("changed", Double, nullable=False),
    # The key of its message in the outbox; why it was not told.
    Column("message", String(200), nullable=False),
    Column("why", Text, nullable=False),
    UniqueConstraint("channel", "ticket", "event", "line"),
    Index(None, "state", "due"),
    Index(None, "ticket"),
    sqlite_autoincrement=True,
)
# A ticket's image in a ticket system, and what was last read there.
external_tickets = Table(
    "external_tickets",
    metadata,
    Column("ticket", ForeignKey("tickets.number", ondelete="CASCADE"), nullable=False),
    Column("system", String(100), nullable=False),
    # The correlation key that the image carries: one that was made anew has another one than the first.
    Column("key", Text, nullable=False),
    Column("remote_id", Text, nullable=False),
    Column("shown_id", Text, nullable=False),
    Column("url", Text, nullable=False),
    Column("state", Text, nullable=False),
    # As the system names it.
    Column("raw_state", Text, nullable=False),
    Column("assignee", Text, nullable=False),
    # Identifiers of the comments that were taken over.
    Column("comments", JSON, nullable=False),
    Column("created", Double, nullable=False),
    Column("read", Double),
    PrimaryKeyConstraint("ticket", "system"),
    Index(None, "read"),
)

# Who did what and when. Only ever added to: the database itself refuses to change or remove a row (see the migration).
audit = Table(
    "audit",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("actor", Text, nullable=False),
    Column("action", String(50), nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", JSON, nullable=False),
    # Of this row and the digest of the one before: see store/audit.py.
    Column("digest", String(64), nullable=False),
    Index(None, "at"),
    Index(None, "object"),
)

# What was tested and how it ended, for the auditor. It outlives its run, so it says itself who ran it, and as what.
proofs = Table(
    "proofs",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("run", Integer, nullable=False),
    Column("run_id", String(200), nullable=False),
    # When the run began: retention takes the proofs of a run together.
    Column("began", Double, nullable=False),
    Column("job", Text, nullable=False),
    Column("playbook", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("host", Text, nullable=False),
    Column("check_name", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", String(10), nullable=False),
    Column("started", Double, nullable=False),
    Column("ended", Double, nullable=False),
    Column("summary", Text, nullable=False),
    Column("facts", JSON, nullable=False),
    # Of the content: see store/proofs.py.
    Column("digest", String(64), nullable=False),
    # Out of the facts: seconds that recovering all of it takes, where the test says so.
    Column("recovery", Double),
    UniqueConstraint("run", "host", "check_name", "subject", "started"),
    # By when their run began, and with all that figures are made of, so that no facts are read for them.
    Index("ix_proofs_figures", "began", "host", "subject", "check_name", "outcome", "recovery"),
    Index(None, "started"),
    Index("ix_proofs_host_subject_started", "host", "subject", "started"),
)


def whole() -> MetaData:
    """The tables with their partial indexes, for the migrations.

    Kept apart because naming PostgreSQL in an index imports its dialect, a tenth of a command's start.
    """
    from . import schema_campaigns, schema_exposures, schema_patches  # noqa: F401 - their tables are in the metadata

    if not any(index.name == "uq_tickets_open_cause" for index in tickets.indexes):
        # Whatever goes wrong above: the database itself refuses a second open ticket of one cause.
        is_open = tickets.c.state != "resolved"
        Index("uq_tickets_open_cause", tickets.c.cause, unique=True, sqlite_where=is_open, postgresql_where=is_open)
        stands = ticket_entries.c.cleared.is_(None)
        standing = (ticket_entries.c.ticket, ticket_entries.c.rank)
        Index("ix_ticket_entries_standing", *standing, sqlite_where=stands, postgresql_where=stands)
    return metadata


def upsert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """INSERT with ON CONFLICT, which both databases write alike, and SQLAlchemy keeps apart."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # only for who uses it, as above

    return postgresql.insert(table)
