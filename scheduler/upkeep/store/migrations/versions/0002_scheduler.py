# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler's claims, locks and approvals; the outbox and its mirrors; what people learn; the audit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_REFUSED = "the audit is only ever added to"
_SQLITE = """
CREATE TRIGGER audit_{what} BEFORE {what} ON audit BEGIN SELECT RAISE(ABORT, '{refused}'); END
"""
# INSERT OR REPLACE deletes without asking the trigger of DELETE.
_SQLITE_REPLACE = """
CREATE TRIGGER audit_replace BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, '{refused}'); END
"""
_POSTGRESQL = (
    f"CREATE FUNCTION upkeep_audit_refuse() RETURNS trigger LANGUAGE plpgsql AS "
    f"$$ BEGIN RAISE EXCEPTION '{_REFUSED}'; END $$",
    "CREATE TRIGGER audit_rows BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION upkeep_audit_refuse()",
    "CREATE TRIGGER audit_whole BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION upkeep_audit_refuse()",
)

# What the runs that are there already say, by their newest.
_JOB_HOSTS = """
INSERT INTO job_hosts (job, check_mode, host, state, seen, succeeded)
SELECT job, check_mode, host, state, started, succeeded FROM (
  SELECT coalesce(r.job, '') AS job, r.check_mode, h.host, h.state, r.started,
    max(CASE WHEN h.state = 'ok' AND r.state = 'finished' AND r.complete THEN r.finished END)
      OVER (PARTITION BY coalesce(r.job, ''), r.check_mode, h.host) AS succeeded,
    row_number() OVER (PARTITION BY coalesce(r.job, ''), r.check_mode, h.host
      ORDER BY r.started DESC, r.number DESC) AS place
  FROM run_hosts h JOIN runs r ON r.number = h.run WHERE r.recorded IS NOT NULL
) AS ranked WHERE place = 1
"""


def upgrade() -> None:
    """Make the tables, and the columns that they lean on."""
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("detail", sa.JSON(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_index(op.f("ix_audit_object"), "audit", ["object"], unique=False)

    op.create_table(
        "cursors",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_cursors")),
    )
    op.create_table(
        "marks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_marks")),
    )
    op.create_table(
        "firings",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("decided", sa.Double(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("run", sa.String(length=200), nullable=True),
        sa.Column("until", sa.Double(), nullable=True),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("launched", sa.Double(), nullable=True),
        sa.Column("done", sa.JSON(), nullable=True),
        sa.Column("without", sa.JSON(), nullable=True),
        sa.Column("ended", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firings")),
        sa.UniqueConstraint("job", "due", name=op.f("uq_firings_job_due")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_firings_due"), "firings", ["due"], unique=False)
    op.create_index(op.f("ix_firings_state"), "firings", ["state"], unique=False)

    op.create_table(
        "held_queues",
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("probes", sa.Integer(), nullable=False),
        sa.Column("next_probe", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_held_queues")),
    )
    op.create_table(
        "paused_queues",
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("queue", name=op.f("pk_paused_queues")),
    )
    op.create_table(
        "job_states",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("schedule", sa.Text(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.Column("cursor", sa.Double(), nullable=False),
        sa.Column("paused", sa.Double(), nullable=True),
        sa.Column("paused_by", sa.Text(), nullable=False),
        sa.Column("paused_why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("job", name=op.f("pk_job_states")),
    )
    op.create_table(
        "nodes",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("boot", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("pid_start", sa.BigInteger(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.Column("leads", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_nodes")),
    )
    op.create_table(
        "approvals",
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("due", sa.Double(), nullable=True),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("plan", sa.JSON(), nullable=False),
        sa.Column("asked", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("answered", sa.Double(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("applied_by_run", sa.Integer(), nullable=True),
        sa.Column("ticket", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name=op.f("fk_approvals_run"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name=op.f("fk_approvals_ticket"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("run", name=op.f("pk_approvals")),
    )
    op.create_index(op.f("ix_approvals_state"), "approvals", ["state"], unique=False)
    op.create_index(op.f("ix_approvals_ticket"), "approvals", ["ticket"], unique=False)

    op.create_table(
        "notices",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("channel", sa.String(length=100), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("line", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("how", sa.String(length=10), nullable=False),
        sa.Column("due", sa.Double(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=5), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("message", sa.String(length=200), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name=op.f("fk_notices_ticket"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notices")),
        sa.UniqueConstraint("channel", "ticket", "event", "line", name=op.f("uq_notices_channel_ticket_event_line")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_notices_state_due"), "notices", ["state", "due"], unique=False)
    op.create_index(op.f("ix_notices_ticket"), "notices", ["ticket"], unique=False)

    op.create_table(
        "external_tickets",
        sa.Column("ticket", sa.Integer(), nullable=False),
        sa.Column("system", sa.String(length=100), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("shown_id", sa.Text(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("raw_state", sa.Text(), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=False),
        sa.Column("comments", sa.JSON(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("read", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["ticket"], ["tickets.number"], name=op.f("fk_external_tickets_ticket"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket", "system", name=op.f("pk_external_tickets")),
    )
    op.create_index(op.f("ix_external_tickets_read"), "external_tickets", ["read"], unique=False)

    op.create_table(
        "host_locks",
        sa.Column("lock", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("run", sa.Integer(), nullable=False),
        sa.Column("since", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["run"], ["runs.number"], name=op.f("fk_host_locks_run"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("lock", "host", name=op.f("pk_host_locks")),
    )
    op.create_index(op.f("ix_host_locks_run"), "host_locks", ["run"], unique=False)

    op.create_table(
        "outbox",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("queue", sa.String(length=100), nullable=False),
        sa.Column("key", sa.String(length=200), nullable=False),
        sa.Column("ticket", sa.Integer(), nullable=True),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("payload", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("created", sa.Double(), nullable=False),
        sa.Column("changed", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("unsure", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["ticket"], ["tickets.number"], name=op.f("fk_outbox_ticket"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox")),
        sa.UniqueConstraint("queue", "key", name=op.f("uq_outbox_queue_key")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_outbox_queue_state_not_before"), "outbox", ["queue", "state", "not_before"], unique=False)
    op.create_index(op.f("ix_outbox_ticket"), "outbox", ["ticket"], unique=False)

    op.create_table(
        "job_hosts",
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("check_mode", sa.Boolean(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.Column("succeeded", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("job", "check_mode", "host", name=op.f("pk_job_hosts")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_job_hosts_seen"), "job_hosts", ["seen"], unique=False)
    op.execute(_JOB_HOSTS)

    op.add_column("runs", sa.Column("cancel_asked", sa.Double(), nullable=True))
    op.add_column("runs", sa.Column("cancel_by", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("runs", sa.Column("seen", sa.Double(), nullable=True))

    op.add_column("tickets", sa.Column("assignee", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("tickets", sa.Column("pauses", sa.JSON(), server_default=sa.text("'[]'"), nullable=False))
    op.add_column("tickets", sa.Column("cycles", sa.JSON(), server_default=sa.text("'[]'"), nullable=False))
    op.add_column("tickets", sa.Column("sla_told", sa.JSON(), server_default=sa.text("'[]'"), nullable=False))
    op.add_column("tickets", sa.Column("workaround", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("tickets", sa.Column("root_cause", sa.Text(), server_default=sa.text("''"), nullable=False))
    op.add_column("tickets", sa.Column("prevention", sa.Text(), server_default=sa.text("''"), nullable=False))

    if op.get_bind().dialect.name == "sqlite":
        for what in ("update", "delete"):
            op.execute(_SQLITE.format(what=what, refused=_REFUSED))
        op.execute(_SQLITE_REPLACE.format(refused=_REFUSED))
    else:
        for statement in _POSTGRESQL:
            op.execute(statement)
