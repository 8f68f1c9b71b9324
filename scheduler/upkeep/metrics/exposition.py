# Copyright (c) 2026, Upkeep contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures as Prometheus reads them. Pure: from numbers to text.

Names follow https://prometheus.io/docs/practices/naming/: a prefix, base units with the unit at the end, `_total` only
for what never falls. What is counted over a window, or out of a store that forgets, is a gauge. A job of ours is the
label `job_name`, for Prometheus gives its own label `job` to everything that it scrapes.
"""

from __future__ import annotations

import platform
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ansible_collections.upkeep.maintenance.plugins.module_utils._findings import OUTCOMES

from .. import __version__
from ..store import RUN_STATES, RUNNING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from .collect import Figures, JobFigures


ENDED = tuple(state for state in RUN_STATES if state != RUNNING)


def render(figures: Figures | None, accept: str = "") -> tuple[bytes, str]:
    """The exposition and its media type; ``accept`` is the header of that name. None: the store could not be read."""
    encode, media_type = choose_encoder(accept)
    return encode(_Families(figures)), media_type


class _Families(Collector):
    """What prometheus_client's encoders take."""

    def __init__(self, figures: Figures | None) -> None:
        self.figures = figures

    def collect(self) -> Iterable[Metric]:
        """All families, each with all its series."""
        return families(self.figures)


def families(figures: Figures | None) -> Iterator[Metric]:
    """All families. A series without a value is left out: a job that never ran has no duration."""
    build = ("version", "python_version")
    yield _gauge(
        "upkeep_build_info", "1, by the version of Upkeep.", build, [((__version__, platform.python_version()), 1)]
    )
    yield _plain("upkeep_store_up", "1 when the store could be read, else 0.", 0 if figures is None else 1)
    if figures is not None:
        yield from _about_store(figures)
        yield from _about_jobs(figures.jobs)
        yield from _about_runs(figures)
        yield from _about_hosts(figures)
        yield from _about_tickets(figures)
        yield from _about_restores(figures)
        yield from _about_compliance(figures)
        yield from _about_outbox(figures)
        yield from _about_scheduler(figures)


def _about_store(figures: Figures) -> Iterator[Metric]:
    yield _plain("upkeep_collected_timestamp_seconds", "When these figures were read from the store.", figures.at)
    yield _plain("upkeep_collect_duration_seconds", "What reading them took.", figures.seconds)
    yield _gauge(
        "upkeep_left_out",
        "Jobs, pairs of a host and a job, and restore tests for which there is no series here (metrics.max_jobs, "
        "metrics.max_hosts, metrics.max_restores).",
        ("what",),
        [
            (("jobs",), figures.jobs_left_out),
            (("hosts",), figures.hosts_left_out),
            (("restores",), figures.restores_left_out),
        ],
    )
    yield _plain(
        "upkeep_store_size_bytes",
        "Size of the store: SQLite's files, or PostgreSQL's tables with their indexes.",
        figures.store_bytes,
    )
    yield _plain(
        "upkeep_store_free_bytes", "Room left where the store is; only for a SQLite store.", figures.store_free
    )
    yield _plain(
        "upkeep_store_oldest_run_timestamp_seconds",
        "When the oldest run began that the store still has; retention (store.keep_days) moves it on.",
        figures.oldest_run,
    )


def _about_jobs(jobs: list[JobFigures]) -> Iterator[Metric]:
    name = ("job_name",)
    yield _gauge(
        "upkeep_job_last_success_timestamp_seconds",
        "When the last run of a job ended that came to its end and did all its tasks on at least one host; 0: never.",
        name,
        [((job.name,), job.succeeded or 0) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_due_timestamp_seconds",
        "When a job may first begin after its last success (its schedule, windows, freezes). Past: a success is owed.",
        name,
        [((job.name,), job.due) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_next_timestamp_seconds",
        "When a job may begin next (its schedule, windows, freezes).",
        name,
        [((job.name,), job.next) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_paused",
        "1 while a person has paused a job.",
        name,
        [((job.name,), job.paused) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_time_limit_seconds",
        "How long a run of a job may take; it is stopped then.",
        name,
        [((job.name,), job.time_limit) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_running", "Runs of a job that are under way.", name, [((job.name,), job.running) for job in jobs]
    )
    yield _gauge(
        "upkeep_job_running_since_timestamp_seconds",
        "When the oldest run of a job that is under way began.",
        name,
        [((job.name,), job.running_since) for job in jobs],
    )
    yield from _about_last_runs(jobs)
    yield _gauge(
        "upkeep_job_runs",
        "Runs of a job that began in the last days (metrics.window), by how they ended.",
        (*name, "state"),
        [((job.name, state), count) for job in jobs for state, count in job.runs.items()],
    )
    yield _gauge(
        "upkeep_job_duration_mean_seconds",
        "Mean time that the runs of a job took which came to their end in the last days (metrics.window).",
        name,
        [((job.name,), job.duration_mean) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_duration_max_seconds",
        "Longest time that a run of a job took which came to its end in the last days (metrics.window).",
        name,
        [((job.name,), job.duration_max) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_firings",
        "Times of a job's schedule in the last days (metrics.window), by what became of each.",
        (*name, "state"),
        [((job.name, state), count) for job in jobs for state, count in job.firings.items()],
    )
    yield _gauge(
        "upkeep_job_last_firing_lag_seconds",
        "By how much the last scheduled run of a job began later than its time, jitter and window allowed.",
        name,
        [((job.name,), job.lag) for job in jobs],
    )


def _about_last_runs(jobs: list[JobFigures]) -> Iterator[Metric]:
    name = ("job_name",)
    yield _gauge(
        "upkeep_job_last_run_timestamp_seconds",
        "When the last run of a job began that has ended, however it did.",
        name,
        [((job.name,), job.started) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_last_run_duration_seconds",
        "How long that run took; none when nobody knows when it ended.",
        name,
        [((job.name,), job.duration) for job in jobs],
    )
    yield _gauge(
        "upkeep_job_last_run_state",
        "1 for the state in which a job's last run ended, 0 for the others.",
        (*name, "state"),
        [
            ((job.name, state), job.state == state)
            for job in jobs
            if job.state
            for state in RUN_STATES
            if state != RUNNING
        ],
    )
    yield _gauge(
        "upkeep_job_last_run_findings",
        "Findings of a job's last run that has ended, by severity.",
        (*name, "severity"),
        [((job.name, severity), count) for job in jobs for severity, count in job.findings.items()],
    )
    yield _gauge(
        "upkeep_job_last_run_hosts",
        "Hosts of a job's last run that has ended, by their state.",
        (*name, "state"),
        [((job.name, state), count) for job in jobs for state, count in job.hosts.items()],
    )


def _about_runs(figures: Figures) -> Iterator[Metric]:
    yield _counter("upkeep_runs", "Runs that ever began, those of all jobs and playbooks.", figures.runs_begun)
    yield _gauge(
        "upkeep_other_runs",
        "Runs of playbooks that are no job of the configuration, of the last days (metrics.window), by their state.",
        ("state",),
        [((state,), count) for state, count in figures.other_runs.items()],
    )
    for name, part in (("median", 0.5), ("p99", 0.99), ("max", 1.0)):
        yield _plain(
            f"upkeep_firing_lag_{name}_seconds",
            f"Lag of the newest scheduled runs of all jobs (at most 1,000, of the last days): {name}.",
            figures.lag.get(part),
        )


def _about_hosts(figures: Figures) -> Iterator[Metric]:
    yield _gauge(
        "upkeep_hosts",
        "Hosts by their state at the end of the newest run that they were part of.",
        ("state",),
        [((state,), count) for state, count in figures.host_states.items()],
    )
    yield _gauge(
        "upkeep_host_last_success_timestamp_seconds",
        "When the last run of a job ended that came to its end and did all its tasks on this host; 0: never.",
        ("host", "job_name"),
        [((pair.host, pair.job), pair.succeeded or 0) for pair in figures.hosts],
    )


def _about_tickets(figures: Figures) -> Iterator[Metric]:
    yield _counter("upkeep_tickets_opened", "Tickets that were ever opened.", figures.tickets_opened)
    yield _gauge(
        "upkeep_tickets",
        "Tickets that are not resolved, by priority and state.",
        ("priority", "state"),
        [(key, count) for key, count in figures.tickets.items()],
    )
    yield _gauge(
        "upkeep_tickets_oldest_timestamp_seconds",
        "When the oldest ticket was opened that is not resolved, by priority.",
        ("priority",),
        [((priority,), at) for priority, at in sorted(figures.oldest_ticket.items())],
    )
    yield _gauge(
        "upkeep_sla_tickets",
        "Tickets whose promise runs (react: until acknowledged, solve: until resolved), by where its clock stands.",
        ("priority", "promise", "state"),
        [
            ((priority, promise, state.replace(" ", "_")), count)
            for (priority, promise, state), count in figures.clocks.items()
        ],
    )
    yield _gauge(
        "upkeep_sla_next_deadline_timestamp_seconds",
        "The earliest deadline that is still ahead.",
        ("priority", "promise"),
        sorted(figures.next_deadline.items()),
    )
    outcomes = (("kept", figures.kept), ("missed", figures.missed))
    yield _gauge(
        "upkeep_sla_resolved_tickets",
        "Tickets that were resolved in the last days (metrics.window), by whether a promise was kept.",
        ("priority", "promise", "outcome"),
        [((*key, outcome), count) for outcome, counts in outcomes for key, count in counts.items()],
    )


def _about_restores(figures: Figures) -> Iterator[Metric]:
    name = ("host", "subject", "test")
    tested = [((one.host, one.subject, one.check), one) for one in figures.restores]
    yield _gauge(
        "upkeep_restore_test_last_success_timestamp_seconds",
        "When the last run began in which this restore test passed; 0: never.",
        name,
        [(values, one.passed or 0) for values, one in tested],
    )
    yield _gauge(
        "upkeep_restore_test_last_outcome",
        "1 for how the latest restore test of this kind ended, 0 for the others.",
        (*name, "outcome"),
        [((*values, outcome), one.outcome == outcome) for values, one in tested for outcome in OUTCOMES],
    )
    yield _gauge(
        "upkeep_restore_test_recovery_seconds",
        "What recovering all of it takes, as the last restore test that passed measured it, or by its sample.",
        name,
        [(values, one.recovery) for values, one in tested],
    )


def _about_compliance(figures: Figures) -> Iterator[Metric]:
    found = figures.compliance
    if found is None:
        return
    yield _gauge(
        "upkeep_compliance_hosts",
        "Hosts by how they keep the policy of patches (section compliance).",
        ("state",),
        [((state,), count) for state, count in found.hosts.items()],
    )
    yield _gauge(
        "upkeep_compliance_missing_patches",
        "Patches that hosts lack, by the severity whose limit is the nearest, and by what the policy says of them.",
        ("severity", "state"),
        [((severity, state), count) for severity, states in found.missing.items() for state, count in states.items()],
    )
    yield _gauge(
        "upkeep_compliance_oldest_missing_timestamp_seconds",
        "Since when the oldest missing patch of this severity is missing that is not excepted.",
        ("severity",),
        [((severity,), since) for severity, since in found.oldest.items()],
    )
    yield _gauge(
        "upkeep_compliance_patched",
        "Security patches that came in the last days (metrics.window).",
        ("severity",),
        [((severity,), count) for severity, (count, _median) in found.patched.items()],
    )
    yield _gauge(
        "upkeep_compliance_time_to_patch_median_seconds",
        "From when these were first seen to be missing until they were there: what half of them took at most.",
        ("severity",),
        [((severity,), median) for severity, (_count, median) in found.patched.items()],
    )


def _about_outbox(figures: Figures) -> Iterator[Metric]:
    queue = ("queue",)
    yield _gauge(
        "upkeep_outbox_items",
        "What is to be done outside and is not done yet; dead: it cannot succeed until a person looks.",
        (*queue, "state"),
        [((one.name, state), count) for one in figures.queues for state, count in one.items.items()],
    )
    yield _gauge(
        "upkeep_outbox_oldest_timestamp_seconds",
        "When the oldest of those was put in that wait or are being sent.",
        queue,
        [((one.name,), one.oldest) for one in figures.queues],
    )
    yield _gauge(
        "upkeep_outbox_held",
        "1 while a queue is stopped because its credentials are refused.",
        queue,
        [((one.name,), one.held_since is not None) for one in figures.queues],
    )
    yield _gauge(
        "upkeep_outbox_held_since_timestamp_seconds",
        "Since when it is.",
        queue,
        [((one.name,), one.held_since) for one in figures.queues],
    )
    yield _gauge(
        "upkeep_history_unread",
        "Lines of the tickets' history that a reader (a mirror, the notifications) has not come to yet.",
        ("reader",),
        [((reader,), count) for reader, count in sorted(figures.behind.items())],
    )


def _about_scheduler(figures: Figures) -> Iterator[Metric]:
    node = ("node",)
    yield _gauge(
        "upkeep_scheduler_heartbeat_timestamp_seconds",
        "A scheduler's last sign of life.",
        node,
        [((one.name,), one.seen) for one in figures.nodes],
    )
    yield _gauge(
        "upkeep_scheduler_start_timestamp_seconds",
        "When a scheduler was started.",
        node,
        [((one.name,), one.started) for one in figures.nodes],
    )
    yield _gauge(
        "upkeep_scheduler_leader",
        "1 for the scheduler that says it leads.",
        node,
        [((one.name,), one.leads) for one in figures.nodes],
    )
    yield _plain("upkeep_approvals_waiting", "Plans that wait for a person's word.", figures.approvals)


def _plain(name: str, text: str, value: float | None) -> Metric:
    return _gauge(name, text, (), [((), value)])


def _gauge(
    name: str, text: str, labels: tuple[str, ...], rows: Iterable[tuple[tuple[str, ...], float | None]]
) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for values, number in rows:
        if number is not None:
            family.add_metric(values, float(number))
    return family


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=float(value))


def as_json(figures: Figures) -> dict[str, object]:
    """The same for other readers: by name of the metric, its help and its series."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): {
            "help": family.documentation,
            "type": family.type,
            "series": [{"labels": sample.labels, "value": sample.value} for sample in family.samples],
        }
        for family in families(figures)
    }
