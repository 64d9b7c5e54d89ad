"""Statistics on synthetic data: false alarms at the stated rate, planted deviations found."""

import numpy as np
import pytest

from numerics.runtime.errors import InputError
from validate.statistics import (
    Estimate,
    curve_consistency,
    estimate,
    extrapolate,
    holm,
    kolmogorov_smirnov,
    longer,
    p_value,
    power,
    single_level,
    z_score,
)


def rate_is(found, expected, trials):
    """Within 4.5 binomial standard errors: a false alarm of 1e-5."""
    return abs(found - expected) < 4.5 * np.sqrt(expected * (1 - expected) / trials)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


def test_p_values_of_few_replicas_are_uniform_under_the_null(rng):
    trials = 20_000
    measured = estimate(rng.normal(3.0, 2.0, (5, trials)))
    p = p_value(z_score(measured, 3.0), measured.degrees)
    for level in (0.5, 0.05, 0.01):
        assert rate_is((p < level).mean(), level, trials)
    # The normal law would raise several times too many alarms at five replicas.
    assert (p_value(z_score(measured, 3.0)) < 0.01).mean() > 0.03


def test_difference_of_two_estimates(rng):
    trials = 20_000
    a, b = estimate(rng.normal(0, 1, (6, trials))), estimate(rng.normal(0, 5, (12, trials)))
    p = [
        p_value(z_score(Estimate(a.value[k], a.error[k], 5) - Estimate(b.value[k], b.error[k], 11), 0.0), 11)
        for k in range(100)
    ]
    assert np.mean(np.less(p, 0.05)) < 0.2
    equal = Estimate(np.array(1.0), np.array(0.3), 10) - Estimate(np.array(0.0), np.array(0.3), 10)
    assert equal.degrees == pytest.approx(20)  # Welch: equal errors add their degrees
    assert float(equal.error) == pytest.approx(0.3 * np.sqrt(2))
    alone = Estimate(np.array(1.0), np.array(0.3), 10) - Estimate(np.array(0.0), np.array(0.0))
    assert alone.degrees == pytest.approx(10)


def test_exact_values_have_score_zero_or_infinity():
    constant = estimate(np.full((4, 2), 0.5))
    assert z_score(constant, np.array([0.5, 0.5 + 1e-3])).tolist() == [0.0, -np.inf]


def test_extrapolation_covers_the_limit_and_its_goodness_is_uniform(rng):
    trials, sizes = 20_000, np.array([100.0, 300.0, 1000.0, 3000.0])
    errors = np.array([0.02, 0.02, 0.01, 0.01])[:, None] * np.ones(trials)
    truth = 0.7 + 5.0 / sizes[:, None]
    fit = extrapolate(sizes, truth + errors * rng.standard_normal((4, trials)), errors)
    for found, exact in ((fit.limit, 0.7), (fit.slope, 5.0)):
        assert rate_is((p_value(z_score(found, exact)) < 0.05).mean(), 0.05, trials)
    assert rate_is((fit.goodness < 0.05).mean(), 0.05, trials)
    # A law that is not linear in 1/N is noticed.
    bent = extrapolate(
        sizes, 0.7 + 3.0 / np.sqrt(sizes[:, None]) + errors * rng.standard_normal((4, trials)), errors
    )
    assert (bent.goodness < 0.05).mean() > 0.5


def test_extrapolation_of_two_sizes_is_the_line_through_them():
    fit = extrapolate(np.array([100, 200]), np.array([1.2, 1.1]), np.array([0.1, 0.1]))
    assert float(fit.limit.value) == pytest.approx(1.0)
    assert float(fit.limit.error) == pytest.approx(0.1 * np.sqrt(5))  # limit = 2 m(200) - m(100)
    assert np.isnan(fit.goodness)


def test_holm_keeps_the_level_of_the_family_and_gains_on_bonferroni(rng):
    trials = 20_000
    false = np.array([holm(p, 0.05).any() for p in rng.random((trials, 8))])
    assert rate_is(false.mean(), 1 - (1 - 0.05 / 8) ** 8, trials)
    p = np.array([0.001, 0.015, 0.3, 0.013])
    assert holm(p, 0.05).tolist() == [True, True, False, True]
    assert (p <= single_level(4, 0.05)).tolist() == [True, False, False, False]
    assert holm(p.reshape(2, 2), 0.05).shape == (2, 2)


@pytest.mark.parametrize("replicas", [6, 64])
def test_power_is_the_rate_at_which_a_wrong_theory_is_rejected(rng, replicas):
    trials, wrong, level = 20_000, 3 / np.sqrt(replicas), 0.01
    measured = estimate(rng.standard_normal((replicas, trials)))
    found = (p_value(z_score(measured, wrong), measured.degrees) < level).mean()
    predicted = float(power(wrong, 1 / np.sqrt(replicas), level, replicas - 1))
    assert abs(found - predicted) < 0.015
    assert float(power(0.0, 1.0, level)) == pytest.approx(level)


def trajectories(rng, replicas, points):
    """Brownian paths from zero: correlated in time, without spread at the start."""
    steps = rng.standard_normal((replicas, points - 1)) / np.sqrt(points)
    return np.concatenate([np.zeros((replicas, 1)), np.cumsum(steps, axis=1)], axis=1)


@pytest.mark.parametrize(("replicas", "points"), [(12, 200), (40, 6), (64, 30)])
def test_curve_consistency_has_the_stated_false_alarms(rng, replicas, points):
    trials = 2000
    p = np.array(
        [
            curve_consistency(trajectories(rng, replicas, points), np.zeros(points)).p_value
            for _ in range(trials)
        ]
    )
    for level in (0.3, 0.05, 0.01):
        assert rate_is((p < level).mean(), level, trials)


def test_curve_consistency_sees_what_single_times_do_not(rng):
    """A kink of a third of the spread, at one time, against the smoothness of the paths."""
    paths = trajectories(rng, 200, 20)
    curve = np.zeros(20)
    curve[10] = 0.15
    single = z_score(estimate(paths), curve)
    assert curve_consistency(paths, curve).p_value < 1e-6
    assert np.nanmax(np.abs(single)) < 5
    curve[:] = 0
    curve[0] = 1e-3  # where all paths agree exactly
    assert curve_consistency(paths, curve).p_value == 0.0


def test_kolmogorov_smirnov(rng):
    p = [kolmogorov_smirnov(rng.exponential(1, 80), rng.exponential(1, 60)) for _ in range(1000)]
    assert np.mean(np.less(p, 0.05)) < 0.08
    assert kolmogorov_smirnov(rng.exponential(1, 500), rng.exponential(2, 500)) < 1e-4


def test_too_little_data_is_refused():
    with pytest.raises(InputError, match="2 replicas"):
        estimate(np.zeros((1, 3)))
    with pytest.raises(InputError, match="two different sizes"):
        extrapolate(np.array([10, 10]), np.zeros(2), np.ones(2))
    with pytest.raises(InputError, match="5 replicas"):
        curve_consistency(np.random.default_rng(0).standard_normal((3, 4)), np.zeros(4))


def test_longer_waits_are_told_with_censoring() -> None:
    """Exponential waits, watched for a time: the share against its closed form, the level under equality."""
    generator = np.random.default_rng(5)

    def watched(mean: float, count: int, horizon: float) -> np.ndarray:
        waits = generator.exponential(mean, count)
        return np.where(waits < horizon, waits, np.nan)

    share, p = longer(watched(1.0, 4000, 2.0), watched(3.0, 4000, 2.0))
    # P(first < second) = 3/4, for the pairs that both outlast the horizon too: those count half instead.
    both = np.exp(-2.0 - 2.0 / 3.0)
    assert share == pytest.approx(0.75 - 0.25 * both, abs=0.02) and p < 1e-6
    rejected = [longer(watched(1.0, 30, 1.0), watched(1.0, 30, 1.0))[1] < 0.05 for _ in range(400)]
    assert 0.02 < np.mean(rejected) < 0.09
    assert longer(np.full(9, np.nan), np.full(9, np.nan)) == (0.5, 1.0)
