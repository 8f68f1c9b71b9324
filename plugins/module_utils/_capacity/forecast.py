# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When will it be full? A robust trend of a growing figure, and the date at which it meets its limit.

Pure: no process, no clock. Times are seconds since the epoch, rates are units a second, spans are days.

The trend is the Theil-Sen slope: the median of the slopes between all pairs of samples (Theil 1950; Sen 1968,
"Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1379-1389); up to 29 % of the samples may
be arbitrarily wrong. Its confidence interval is Sen's: the slopes whose ranks lie z sqrt(Var S) / 2 around the middle,
with the variance of Kendall's S corrected for ties (Gilbert 1987, "Statistical Methods for Environmental Pollution
Monitoring", 16.4-16.5). Where a jump broke the series, only pairs on one side of it count, and the variances of the
parts add up (as those of the seasons in Hirsch, Slack and Smith 1982, "Techniques of trend analysis for monthly water
quality data").
"""

from __future__ import annotations

import math
from typing import NamedTuple

DAY = 86_400.0
HORIZON_DAYS = 3_650
"""A date further away than ten years is none."""
SPACING = 6 * 3_600
"""Seconds: samples closer together than this count as one, so that an afternoon of trial runs is not a trend."""
Z = 1.645
"""Two-sided confidence of 90 %: four samples that only rise (a month of weekly reviews) are the least that reach it."""

# A change between two samples is a jump when it differs from the usual change by five times the usual scatter, and is a
# fifth of all that was seen. Our own choice: simulated series of all kinds decided it, see the unit tests.
_JUMP_SCATTER = 5 * 1.4826  # 1.4826 makes the median absolute deviation an estimate of the standard deviation
_JUMP_SHARE = 0.2
_RECURRING = 3


class Fit(NamedTuple):
    """A slope with its bounds, in units a second."""

    slope: float
    lower: float
    upper: float


def median(values: list[float]) -> float:
    """The middle of the values, of which there is at least one. The module ``statistics`` takes 10 ms to import."""
    ordered = sorted(values)
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2


def forecast(
    samples: list[tuple[float, float]],
    limit: float,
    now: float,
    min_samples: int = 4,
    min_days: float = 7.0,
    window_days: float = 90.0,
) -> dict[str, object]:
    """When a figure with these ``(time, value)`` samples meets its ``limit``.

    ``state`` is ``full``, ``filling`` (``full_at`` with ``earliest`` and ``latest``, which is None for "perhaps never",
    and ``confidence``), ``stable``, ``shrinking`` or ``unknown`` (``why``). Samples from the future, doubles and
    figures that make no sense are left out. The trend is taken over the last ``window_days``.
    """
    points = _clean(samples, now)
    recent = [point for point in points if point[0] >= now - window_days * DAY]
    # Who reviews once a quarter still gets a trend.
    points = recent if len(recent) >= min_samples else points[-min_samples:]
    days = (points[-1][0] - points[0][0]) / DAY if points else 0.0
    told: dict[str, object] = {"samples": len(points), "days": round(days, 2)}
    if points and points[-1][1] >= limit:
        return dict(told, state="full", full_at=now)
    if len(points) < min_samples or days < min_days:
        needs = "needs %d samples over %g days, has %d over %.1f days" % (min_samples, min_days, len(points), days)
        return dict(told, state="unknown", why=needs)
    segments, level, fit = _trend(points, limit, now, min_samples, min_days)
    told["jumps"] = len(segments) - 1
    if fit is None:
        return dict(told, state="unknown", why="every sample lies beyond a jump: there is no trend yet")
    told["per_day"] = fit.slope * DAY
    told["per_day_lower"], told["per_day_upper"] = fit.lower * DAY, fit.upper * DAY
    full_at = _date(now, limit - level, fit.slope)
    if fit.lower <= 0 or full_at is None:
        return dict(told, state="shrinking" if fit.upper < 0 else "stable")
    return dict(
        told,
        state="filling",
        full_at=full_at,
        earliest=_date(now, limit - level, fit.upper),
        latest=_date(now, limit - level, fit.lower),
        confidence=_confidence(fit, len(points), days, (full_at - now) / DAY),
    )


def _clean(samples: list[tuple[float, float]], now: float) -> list[tuple[float, float]]:
    """Samples in order, none of the future, none closer to the next than SPACING (the newest stays)."""
    usable = sorted(
        (time, value)
        for time, value in samples
        if math.isfinite(time) and math.isfinite(value) and value >= 0 and time <= now
    )
    kept: list[tuple[float, float]] = []
    for point in reversed(usable):
        if not kept or kept[-1][0] - point[0] >= SPACING:
            kept.append(point)
    return kept[::-1]


def _trend(
    points: list[tuple[float, float]], limit: float, now: float, min_samples: int, min_days: float
) -> tuple[list[list[tuple[float, float]]], float, Fit | None]:
    """The segments, the level that the trend goes on from, and the trend."""
    jumps = _jumps(points)
    downs = [place for place in jumps if points[place][1] < points[place - 1][1]]
    ups = [place for place in jumps if place not in downs]
    breaks = sorted((downs if len(downs) < _RECURRING else []) + (ups if len(ups) < _RECURRING else []))
    segments = [points[start:end] for start, end in zip([0, *breaks], [*breaks, len(points)])]
    level = points[-1][1]
    if len(downs) < _RECURRING:
        return segments, level, sen([segment for segment in segments if len(segment) > 1])
    # Regular clean-ups belong to the picture: what counts is the trend across them, and the crests that it carries ...
    whole = sen(segments)
    if whole is not None:
        level = max([level] + [value + whole.slope * (points[-1][0] - time) for time, value in points])
    # ... unless they have stopped, or what has grown since the last one is full before the next one is due.
    current = points[downs[-1] :]
    if len(current) >= min_samples and current[-1][0] - current[0][0] >= min_days * DAY:
        since = sen([current])
        full_at = _date(now, limit - points[-1][1], since.slope) if since is not None else None
        if since is not None and since.lower > 0 and full_at is not None:
            cleaned = [points[place][0] for place in downs]
            longest = max(later - earlier for earlier, later in zip(cleaned, cleaned[1:]))
            if full_at < cleaned[-1] + 1.5 * longest or now > cleaned[-1] + 2 * longest:
                return [points[: downs[-1]], current], points[-1][1], since
    return segments, min(level, limit), whole


def _jumps(points: list[tuple[float, float]]) -> list[int]:
    """Indices of samples before which the value jumped, up or down, against its usual change."""
    rates = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(points, points[1:])]
    usual = median(rates)
    # By rate, but weighed by what really changed: a long gap makes no jump of a steady growth.
    off = [abs(b[1] - a[1] - usual * (b[0] - a[0])) for a, b in zip(points, points[1:])]
    values = [value for _time, value in points]
    threshold = max(_JUMP_SCATTER * median(off), _JUMP_SHARE * (max(values) - min(values)))
    return [place + 1 for place, change in enumerate(off) if change > threshold]


def sen(segments: list[list[tuple[float, float]]]) -> Fit | None:
    """Theil-Sen slope and its 90 % interval over pairs within the segments, or None when there is no pair."""
    slopes: list[float] = []
    variance = 0.0
    for segment in segments:
        for place, (time, value) in enumerate(segment):
            slopes.extend((later - value) / (when - time) for when, later in segment[place + 1 :])
        variance += _kendall_variance([value for _time, value in segment])
    if not slopes:
        return None
    slopes.sort()
    half = Z * math.sqrt(variance)
    rank = max(0, int((len(slopes) - half) / 2 + 0.5) - 1)
    return Fit(median(slopes), slopes[rank], slopes[len(slopes) - 1 - rank])


def _kendall_variance(values: list[float]) -> float:
    """Var(S) = [n(n-1)(2n+5) - sum of t(t-1)(2t+5) over groups of t equal values] / 18."""
    n = len(values)
    counts: dict[float, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    ties = sum(t * (t - 1) * (2 * t + 5) for t in counts.values())
    return (n * (n - 1) * (2 * n + 5) - ties) / 18


def _date(now: float, room: float, slope: float) -> float | None:
    """When ``room`` is used up at ``slope``, or None beyond the horizon."""
    if slope <= 0 or room > slope * HORIZON_DAYS * DAY:
        return None
    return now + room / slope


def _confidence(fit: Fit, count: int, days: float, ahead: float) -> str:
    """``high``, ``medium`` or ``low``: how far beyond what was seen (days), how sharp the slope. Our own choice."""
    if ahead > 4 * days:
        return "low"
    return "high" if count >= 8 and ahead <= 2 * days and fit.upper - fit.lower <= fit.slope else "medium"
