# Copyright (c) 2026, Upkeep contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The forecast against series whose truth is known."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.upkeep.maintenance.plugins.module_utils._capacity.forecast import (
    DAY,
    HORIZON_DAYS,
    _kendall_variance,
    forecast,
    sen,
)

NOW = 1_790_000_000.0
LIMIT = 1000.0


def weekly(values: list[float]) -> list[tuple[float, float]]:
    return every(7, values)


def every(days: float, values: list[float]) -> list[tuple[float, float]]:
    """The values at equal distances, the last of them now."""
    return [(NOW - days * DAY * (len(values) - 1 - place), float(value)) for place, value in enumerate(values)]


def days_until_full(told: dict[str, Any]) -> float:
    assert told["state"] == "filling", told
    return (told["full_at"] - NOW) / DAY


def test_four_weekly_samples_that_only_rise_give_a_date() -> None:
    told = forecast(weekly([600, 670, 740, 810]), LIMIT, NOW)
    assert days_until_full(told) == pytest.approx(19)
    assert told["per_day"] == pytest.approx(10)
    assert told["confidence"] == "medium"


@pytest.mark.parametrize(
    ("days", "count", "needs"),
    [
        (7, 1, "has 1 over 0.0 days"),
        (7, 2, "has 2 over 7.0 days"),
        (7, 3, "has 3 over 14.0 days"),
        (1, 5, "has 5 over 4.0 days"),
    ],
)
def test_too_little_history_says_how_much_is_needed(days: float, count: int, needs: str) -> None:
    told = forecast(every(days, [500 + 10 * n for n in range(count)]), LIMIT, NOW)
    assert told["state"] == "unknown"
    assert told["why"] == "needs 4 samples over 7 days, " + needs


def test_no_sample_at_all() -> None:
    assert forecast([], LIMIT, NOW)["state"] == "unknown"


def test_an_afternoon_of_runs_is_one_sample() -> None:
    runs = [(NOW - 60 * n, 500.0 + n) for n in range(30)]
    told = forecast([*runs, (NOW - 8 * DAY, 400.0)], LIMIT, NOW)
    assert told["state"] == "unknown"
    assert told["samples"] == 2


def test_full_already() -> None:
    assert forecast(weekly([900, 950, 1000]), LIMIT, NOW)["state"] == "full"


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(("days", "count"), [(7, 13), (1, 60), (7, 6)])
def test_linear_growth_with_noise_finds_the_rate(seed: int, days: float, count: int) -> None:
    rng = random.Random(seed)
    rate = 30.0 / 7  # a day
    values = [300 + rate * days * n + rng.gauss(0, 6) for n in range(count)]
    told = forecast(every(days, values), LIMIT, NOW)
    truth = (LIMIT - (300 + rate * days * (count - 1))) / rate
    assert days_until_full(told) == pytest.approx(truth, rel=0.2)
    assert told["earliest"] <= told["full_at"] <= told["latest"]


def test_the_interval_holds_the_true_rate_as_often_as_it_promises() -> None:
    held = 0
    for seed in range(300):
        rng = random.Random(seed)
        points = every(7, [500 + 3 * 7 * n + rng.gauss(0, 15) for n in range(13)])
        fit = sen([points])
        assert fit is not None
        held += fit.lower <= 3 / DAY <= fit.upper
    assert 0.84 <= held / 300 <= 0.96  # 90 % promised; three standard deviations of 300 trials are 5 %


def test_noise_without_growth_seldom_alarms() -> None:
    alarms = filling = 0
    for seed in range(300):
        rng = random.Random(seed)
        told = forecast(weekly([700 + rng.gauss(0, 10) for _ in range(13)]), LIMIT, NOW)
        filling += told["state"] == "filling"
        alarms += told["state"] == "filling" and days_until_full(told) <= 90
    assert alarms <= 3
    assert filling <= 27  # 5 % lie below the interval, and three standard deviations of 300 trials


@pytest.mark.parametrize("values", [[500] * 4, [500] * 13, [500, 501, 500, 501, 500, 501, 500, 501]])
def test_flat(values: list[float]) -> None:
    assert forecast(weekly(values), LIMIT, NOW)["state"] == "stable"


def test_shrinking() -> None:
    told = forecast(weekly([900 - 20 * n for n in range(10)]), LIMIT, NOW)
    assert told["state"] == "shrinking"
    assert "full_at" not in told


@pytest.mark.parametrize("at", range(1, 13))
def test_one_step_up_is_no_trend(at: int) -> None:
    rng = random.Random(at)
    values = [(400 if n < at else 700) + rng.gauss(0, 2) for n in range(13)]
    told = forecast(weekly(values), LIMIT, NOW)
    assert told["state"] != "filling" or days_until_full(told) > 90, told


@pytest.mark.parametrize("seed", range(10))
def test_one_step_in_noise_is_no_trend(seed: int) -> None:
    rng = random.Random(seed)
    values = [(300 if n < 7 else 550) + rng.gauss(0, 8) for n in range(13)]
    told = forecast(weekly(values), LIMIT, NOW)
    assert told["jumps"] == 1
    assert abs(told["per_day"]) < 1


@pytest.mark.parametrize("at", [3, 6, 9, 11])
def test_growth_goes_on_after_one_cleanup(at: int) -> None:
    """Somebody cleared 400 once; the growth of 5 a day around it is the truth."""
    rng = random.Random(at)
    values = [300 + 35 * n - (400 if n >= at else 0) + rng.gauss(0, 3) + 200 for n in range(13)]
    told = forecast(weekly(values), LIMIT, NOW)
    assert told["per_day"] == pytest.approx(5, rel=0.1)
    assert told["jumps"] == 1
    assert days_until_full(told) == pytest.approx((LIMIT - values[-1]) / 5, rel=0.15)


@pytest.mark.parametrize("phase", range(7))
def test_a_weekly_cleanup_seen_daily_is_no_trend(phase: int) -> None:
    rng = random.Random(phase)
    values = [500 + 20 * ((n + phase) % 7) + rng.gauss(0, 2) for n in range(60)]
    told = forecast(every(1, values), LIMIT, NOW)
    assert told["state"] != "filling" or days_until_full(told) > 90, told


@pytest.mark.parametrize("seed", range(20))
def test_a_nightly_cleanup_seen_weekly_is_no_trend(seed: int) -> None:
    rng = random.Random(seed)
    told = forecast(weekly([500 + rng.uniform(0, 300) for _ in range(13)]), LIMIT, NOW)
    assert told["state"] != "filling" or told["confidence"] != "high", told


@pytest.mark.parametrize("phase", range(4))
def test_a_sawtooth_that_climbs_is_a_trend(phase: int) -> None:
    """Each monthly clean-up leaves 40 more behind than the one before."""
    values = [400 + 40 * ((n + phase) // 4) + 25 * ((n + phase) % 4) for n in range(26)]
    told = forecast(weekly(values), LIMIT, NOW, window_days=365)
    assert told["state"] == "filling"
    assert told["per_day"] == pytest.approx(40 / 28, rel=0.25)
    # It is full when a crest is: the one of month k stands at 475 + 40 k, and that of month 13 at 995.
    assert days_until_full(told) == pytest.approx((13 - (25 + phase) / 4) * 28, rel=0.2)


def test_clean_ups_by_hand_do_not_hide_the_growth_between_them() -> None:
    """Somebody makes room every thirty weeks, when it is nearly full; the next time is in fifteen."""
    values = [300 + 20 * (n % 30) for n in range(111)]
    told = forecast(weekly(values), LIMIT, NOW, window_days=1000)
    assert values[-1] == 700
    assert told["per_day"] == pytest.approx(20 / 7)
    assert days_until_full(told) == pytest.approx(15 * 7, rel=0.05)


def test_a_cleanup_that_has_stopped_is_noticed() -> None:
    """Daily growth of 10 and a clean-up each week, until four weeks ago."""
    values = [500.0 + 10 * (n % 7) for n in range(42)] + [500.0 + 10 * n for n in range(28)]
    told = forecast(every(1, values), LIMIT, NOW)
    assert days_until_full(told) == pytest.approx((LIMIT - 770) / 10, rel=0.1)


def test_growth_in_equal_steps_is_a_trend() -> None:
    """A monthly archive of 50, seen weekly."""
    told = forecast(weekly([500 + 50 * (n // 4) for n in range(26)]), LIMIT, NOW, window_days=365)
    assert told["state"] == "filling"
    assert told["per_day"] == pytest.approx(50 / 28, rel=0.35)


@pytest.mark.parametrize("outlier", [0.0, 990.0])
@pytest.mark.parametrize("at", [2, 6, 10])
def test_single_outliers_change_little(outlier: float, at: int) -> None:
    values = [300.0 + 14 * n for n in range(13)]
    values[at] = outlier
    told = forecast(weekly(values), LIMIT, NOW)
    assert told["per_day"] == pytest.approx(2, rel=0.1)


def test_a_change_of_rate_is_seen_in_the_window() -> None:
    """Nine quiet months, then three of growth."""
    values = [300.0] * 39 + [300 + 28 * n for n in range(1, 14)]
    told = forecast(weekly(values), LIMIT, NOW)
    assert told["per_day"] == pytest.approx(4, rel=0.1)


def test_samples_once_a_quarter_still_give_a_trend() -> None:
    told = forecast(every(91, [100, 300, 500, 700]), LIMIT, NOW)
    assert days_until_full(told) == pytest.approx(300 / 200 * 91, rel=0.01)


def test_a_clock_that_went_back_leaves_the_future_out() -> None:
    past = weekly([600, 670, 740, 810])
    assert forecast([*past, (NOW + 400 * DAY, 20.0)], LIMIT, NOW) == forecast(past, LIMIT, NOW)


def test_a_filesystem_made_larger_has_more_time() -> None:
    samples = weekly([600, 670, 740, 810])
    assert days_until_full(forecast(samples, 2000, NOW)) == pytest.approx(119)


def test_nonsense_is_left_out() -> None:
    samples = weekly([600, 670, 740, 810])
    broken = [(NOW - DAY, math.nan), (math.inf, 3.0), (NOW - 2 * DAY, -5.0), *samples, samples[0]]
    assert forecast(broken, LIMIT, NOW) == forecast(samples, LIMIT, NOW)


SERIES = st.lists(
    st.tuples(st.integers(0, 400 * 86_400), st.integers(0, 999)),
    min_size=0,
    max_size=40,
    unique_by=lambda point: point[0],
)


@given(SERIES)
@settings(max_examples=300, deadline=None)
def test_a_date_is_never_in_the_past_nor_beyond_the_horizon(series: list[tuple[int, int]]) -> None:
    told: dict[str, Any] = forecast([(NOW - ago, float(value)) for ago, value in series], LIMIT, NOW)
    assert told["state"] in ("full", "filling", "stable", "shrinking", "unknown")
    for key in ("full_at", "earliest", "latest"):
        if told.get(key) is not None:
            assert NOW <= told[key] <= NOW + HORIZON_DAYS * DAY
    if told["state"] == "filling":
        assert told["earliest"] <= told["full_at"]
        assert told["latest"] is None or told["full_at"] <= told["latest"]


@given(SERIES, st.sampled_from([2.0, 1024.0, 2.0**40, 0.125]))
@settings(max_examples=200, deadline=None)
def test_the_unit_of_the_figures_does_not_matter(series: list[tuple[int, int]], factor: float) -> None:
    one: dict[str, Any] = forecast([(NOW - ago, float(value)) for ago, value in series], LIMIT, NOW)
    other: dict[str, Any] = forecast([(NOW - ago, value * factor) for ago, value in series], LIMIT * factor, NOW)
    assert one["state"] == other["state"]
    assert ("full_at" in one) == ("full_at" in other)
    if "full_at" in one:
        assert other["full_at"] == pytest.approx(one["full_at"], rel=1e-9)


@given(SERIES, st.integers(-(10**8), 10**8))
@settings(max_examples=200, deadline=None)
def test_when_it_happens_does_not_matter(series: list[tuple[int, int]], shift: int) -> None:
    one: dict[str, Any] = forecast([(NOW - ago, float(value)) for ago, value in series], LIMIT, NOW)
    moved = NOW + shift
    other: dict[str, Any] = forecast([(moved - ago, float(value)) for ago, value in series], LIMIT, moved)
    assert one["state"] == other["state"]
    if one.get("full_at") is not None:
        assert other["full_at"] - shift == pytest.approx(one["full_at"], abs=1)


@given(SERIES, st.randoms())
@settings(max_examples=100, deadline=None)
def test_the_order_of_the_samples_does_not_matter(series: list[tuple[int, int]], rng: random.Random) -> None:
    samples = [(NOW - ago, float(value)) for ago, value in series]
    shuffled = list(samples)
    rng.shuffle(shuffled)
    assert forecast(samples, LIMIT, NOW) == forecast(shuffled, LIMIT, NOW)


def test_kendalls_variance_with_ties() -> None:
    """(n(n-1)(2n+5) - sum t(t-1)(2t+5)) / 18 by hand."""
    assert _kendall_variance([1, 2, 3, 4]) == pytest.approx(156 / 18)
    assert _kendall_variance([1, 1, 2, 3]) == pytest.approx((156 - 18) / 18)
    assert _kendall_variance([5, 5, 5, 5]) == 0


def test_sens_own_interval() -> None:
    """Worked by hand: five samples without ties, ten slopes, Var S = 50/3, so ranks 2 and 9 of the ten."""
    values = [1.0, 3.0, 4.0, 8.0, 9.0]
    points = [(float(n), value) for n, value in enumerate(values)]
    slopes = sorted((values[b] - values[a]) / (b - a) for a in range(5) for b in range(a + 1, 5))
    fit = sen([points])
    assert fit is not None
    assert (fit.lower, fit.upper) == (slopes[1], slopes[8])
    assert fit.slope == (slopes[4] + slopes[5]) / 2
