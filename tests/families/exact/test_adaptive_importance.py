"""Adaptive importance sampling against distributions whose integrals and moments are known in closed form."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma, gammaln, polygamma

from tfgmm.families.exact.adaptive_importance import (
    Weighted,
    adaptive_importance,
    flattened_weights,
    is_good,
    stages,
)
from tfgmm.families.exact.proposals import Cloud


def log_normal(xi: np.ndarray) -> np.ndarray:
    return -0.5 * np.square(xi).sum(axis=1) - 0.5 * xi.shape[1] * np.log(2.0 * np.pi)


def bent(xi: np.ndarray) -> np.ndarray:
    """Log density of a banana: normal numbers, the second moved by 0.4 times the square of the first."""
    straight = xi.copy()
    straight[:, 1] -= 0.4 * np.square(xi[:, 0])
    return log_normal(straight)


def wide(xi: np.ndarray) -> np.ndarray:
    """Log density of a normal with variances 2, 4 and 6 in three directions, 1 in the others."""
    scales = np.sqrt(np.append([2.0, 4.0, 6.0], np.ones(xi.shape[1] - 3)))
    return log_normal(xi / scales) - np.log(scales).sum()


def two_modes(xi: np.ndarray) -> np.ndarray:
    """Log density of a normal at 0 and a third as much of one 4 away."""
    return np.logaddexp(np.log(0.75) + log_normal(xi), np.log(0.25) + log_normal(xi - 4.0 * np.eye(xi.shape[1])[0]))


def moments(drawn: Weighted) -> tuple[np.ndarray, np.ndarray]:
    weights = np.exp(drawn.log_weights)
    mean = weights @ drawn.xi
    return mean, np.sqrt(weights @ np.square(drawn.xi - mean))


def test_a_standard_normal_needs_one_stage():
    drawn = adaptive_importance(log_normal, 3, np.random.default_rng(0))
    assert drawn.xi.shape == (2_000, 3)
    assert drawn.k_hat < 0.3
    assert abs(drawn.log_evidence) < 4 * drawn.evidence_error < 0.1


def test_ratios_of_the_first_stage_are_those_of_the_design():
    drawn = next(stages(bent, 5, np.random.default_rng(0)))
    narrow, broad = (stats.multivariate_t(np.zeros(5), scale * np.eye(5), df=5) for scale in (1.0, 4.0))
    expected = bent(drawn.xi) - np.log(0.7 * narrow.pdf(drawn.xi) + 0.3 * broad.pdf(drawn.xi))
    np.testing.assert_allclose(drawn.log_ratios, expected, rtol=1e-9, atol=1e-9)
    ratios = np.exp(expected)
    assert drawn.log_evidence == pytest.approx(np.log(ratios.mean()))
    assert drawn.evidence_error == pytest.approx(ratios.std() / ratios.mean() / math.sqrt(2_000))


@pytest.mark.parametrize("num_coordinates", [5, 17])
def test_a_banana_gets_its_closed_moments(num_coordinates):
    drawn = adaptive_importance(bent, num_coordinates, np.random.default_rng(1))
    mean, sds = moments(drawn)
    truth = np.ones(num_coordinates)
    truth[1] = math.sqrt(1.0 + 2.0 * 0.4**2)
    np.testing.assert_allclose(sds, truth, rtol=0.06)
    np.testing.assert_allclose(mean, 0.4 * np.eye(num_coordinates)[1], atol=0.07)
    assert abs(drawn.log_evidence) < 4 * drawn.evidence_error


def test_skewed_coordinates_get_their_closed_moments():
    """Half a log chi-square with 2 to 20 degrees, measured from its mode by its curvature."""
    shapes = np.array([1.0, 2.0, 4.0, 10.0])

    def log_density(xi: np.ndarray) -> np.ndarray:
        log_gamma = xi / np.sqrt(shapes) + np.log(shapes)
        return (shapes * log_gamma - np.exp(log_gamma) - gammaln(shapes) - 0.5 * np.log(shapes)).sum(axis=1)

    drawn = adaptive_importance(log_density, 4, np.random.default_rng(2), num_draws=8_000)
    mean, sds = moments(drawn)
    np.testing.assert_allclose(sds, np.sqrt(shapes * polygamma(1, shapes)), rtol=0.06)
    np.testing.assert_allclose(mean, np.sqrt(shapes) * (digamma(shapes) - np.log(shapes)), atol=0.08)
    assert abs(drawn.log_evidence) < 4 * drawn.evidence_error


def test_a_second_mode_gets_its_share():
    drawn = adaptive_importance(two_modes, 5, np.random.default_rng(3))
    assert np.exp(drawn.log_weights)[drawn.xi[:, 0] > 2.0].sum() == pytest.approx(0.25, abs=0.03)
    assert drawn.k_hat < 0.5


def test_later_stages_learn_the_shape():
    every = list(stages(wide, 17, np.random.default_rng(4)))
    assert [len(drawn.xi) for drawn in every] == [2_000 * (stage + 1) for stage in range(len(every))]
    gained = np.diff([0.0] + [drawn.size for drawn in every])
    assert gained[0] < 300
    assert gained[-1] > 600
    np.testing.assert_allclose(moments(every[-1])[1][:3], np.sqrt([2.0, 4.0, 6.0]), rtol=0.06)


def test_the_evidence_is_not_made_small_by_the_fit():
    """Draws weighed against proposals that were fitted to themselves would give -0.1."""
    values = [adaptive_importance(wide, 17, np.random.default_rng(seed)).log_evidence for seed in range(6)]
    assert abs(np.mean(values)) < 0.03


def test_the_error_of_the_evidence_is_its_scatter():
    every = [
        adaptive_importance(bent, 4, np.random.default_rng(seed), num_draws=400, max_stages=3) for seed in range(40)
    ]
    scatter = math.sqrt(np.mean([drawn.log_evidence**2 for drawn in every]))
    assert 0.75 < scatter / np.mean([drawn.evidence_error for drawn in every]) < 1.3


@pytest.mark.parametrize("seed", range(6))
def test_a_heavy_tail_counts_in_the_error(seed):
    """Beyond k-hat 0.5 the error is the larger of those of raw and of smoothed weights."""
    heavy = stats.multivariate_t(np.zeros(2), 30.0 * np.eye(2), df=0.5)
    drawn = adaptive_importance(heavy.logpdf, 2, np.random.default_rng(seed), max_stages=1)
    assert drawn.k_hat > 0.5
    raw = np.exp(drawn.log_ratios) / np.exp(drawn.log_ratios).sum()
    errors = [math.sqrt(np.square(weights).sum() - 1 / 2_000) for weights in (raw, np.exp(drawn.log_weights))]
    assert drawn.evidence_error == pytest.approx(max(errors))
    assert not is_good(drawn, 2_000)


def test_half_a_space_without_density_is_half_the_integral():
    def log_density(xi: np.ndarray) -> np.ndarray:
        return np.select([xi[:, 0] > 0.0, xi[:, 0] > -1.0, xi[:, 0] > -2.0], [log_normal(xi), np.nan, np.inf], -np.inf)

    drawn = adaptive_importance(log_density, 2, np.random.default_rng(6), max_stages=3)
    np.testing.assert_array_equal(
        drawn.log_ratios, np.where(drawn.xi[:, 0] > 0.0, log_normal(drawn.xi), -np.inf) - drawn.log_drawn
    )
    assert abs(drawn.log_evidence - np.log(0.5)) < 4 * drawn.evidence_error
    assert (drawn.log_ratios[drawn.xi[:, 0] <= 0.0] == -np.inf).all()
    assert np.exp(drawn.log_weights)[drawn.xi[:, 0] <= 0.0].max() == 0.0


def test_no_density_anywhere_ends_after_one_stage():
    [drawn] = stages(lambda xi: np.full(len(xi), np.nan), 3, np.random.default_rng(0))
    assert (drawn.size, drawn.k_hat, drawn.log_evidence, drawn.evidence_error) == (0.0, np.inf, -np.inf, np.inf)
    assert (drawn.log_weights == -np.inf).all()


def test_one_point_with_density_is_survived():
    """One half of the draws then has no density at all, and its fit is of unweighted draws."""
    calls: list[int] = []

    def log_density(xi: np.ndarray) -> np.ndarray:
        calls.append(len(xi))
        return np.where((np.arange(len(xi)) == 0) & (len(calls) == 1), 0.0, -np.inf)

    *_, drawn = stages(log_density, 2, np.random.default_rng(0), num_draws=200, max_stages=2)
    assert drawn.size == 1.0
    assert calls == [200, 200]


def test_draws_depend_on_the_generator_alone():
    one, same, other = (adaptive_importance(wide, 9, np.random.default_rng(seed), num_draws=300) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.xi, same.xi)
    np.testing.assert_array_equal(one.log_weights, same.log_weights)
    assert not np.array_equal(one.xi[:10], other.xi[:10])


@pytest.mark.parametrize(("num_draws", "sizes"), [(501, [501]), (4_500, [2_000, 2_000, 500])])
def test_a_stage_is_one_call_cut_into_pieces(num_draws, sizes):
    calls: list[int] = []

    def log_density(xi: np.ndarray) -> np.ndarray:
        calls.append(len(xi))
        return log_normal(xi)

    drawn = adaptive_importance(log_density, 2, np.random.default_rng(0), num_draws=num_draws, max_stages=1)
    assert calls == sizes
    narrow, broad = (stats.multivariate_t(np.zeros(2), scale * np.eye(2), df=5) for scale in (1.0, 4.0))
    expected = log_normal(drawn.xi) - np.log(0.7 * narrow.pdf(drawn.xi) + 0.3 * broad.pdf(drawn.xi))
    np.testing.assert_allclose(drawn.log_ratios, expected, atol=1e-9)


def test_draws_are_in_the_order_in_which_the_density_was_asked_for():
    asked: list[np.ndarray] = []

    def log_density(xi: np.ndarray) -> np.ndarray:
        asked.append(xi)
        return wide(xi)

    for drawn in stages(log_density, 30, np.random.default_rng(0), num_draws=151, max_stages=4):
        points = np.concatenate(asked)
        np.testing.assert_array_equal(drawn.xi, points)
        np.testing.assert_allclose(drawn.log_ratios + drawn.log_drawn, wide(points), rtol=1e-9)
    assert len(asked) > 2


def test_stages_are_told_before_they_begin():
    told: list[tuple[int, int]] = []
    for drawn in stages(
        wide, 60, np.random.default_rng(0), num_draws=200, max_stages=3, tell=lambda *at: told.append(at)
    ):
        assert len(drawn.xi) == 200 * len(told)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_few_draws_of_many_coordinates_go_on_without_k_hat():
    every = list(stages(log_normal, 40, np.random.default_rng(0), num_draws=40, max_stages=3))
    assert np.isnan(every[0].k_hat)
    assert np.isfinite(every[-1].log_weights).all()


def test_one_coordinate_is_enough():
    drawn = adaptive_importance(lambda xi: stats.gumbel_r.logpdf(xi[:, 0]), 1, np.random.default_rng(7))
    assert moments(drawn)[1][0] == pytest.approx(np.pi / math.sqrt(6.0), rel=0.05)


def test_the_callers_proposal_gives_three_tenths_and_finds_what_it_knows():
    far = 40.0 * np.eye(3)[0]

    def log_density(xi: np.ndarray) -> np.ndarray:
        return np.logaddexp(np.log(0.5) + log_normal(xi), np.log(0.5) + log_normal(xi - far))

    without = adaptive_importance(log_density, 3, np.random.default_rng(8))
    assert without.log_evidence == pytest.approx(np.log(0.5), abs=0.1)
    extra = Cloud(far, 1.5, 5.0)
    every = list(stages(log_density, 3, np.random.default_rng(8), extra=extra, max_stages=2))
    assert (every[0].xi[:, 0] > 20.0).sum() == pytest.approx(600, abs=3)
    for drawn in every:
        assert abs(drawn.log_evidence) < 4 * drawn.evidence_error < 0.25


def test_weights_are_flattened_no_more_than_asked_for():
    log_ratios = np.append(np.random.default_rng(9).normal(scale=5.0, size=1_000), -np.inf)
    raw = np.exp(log_ratios - log_ratios.max())
    np.testing.assert_allclose(flattened_weights(log_ratios, 1.0), raw / raw.sum())
    flat = flattened_weights(log_ratios, 100.0)
    assert 1.0 / (flat @ flat) == pytest.approx(100.0, rel=1e-3)
    assert flat[-1] == 0.0
    slopes = np.diff(np.log(flat[:-1])) / np.diff(log_ratios[:-1])
    np.testing.assert_allclose(slopes, slopes[0])
    most = flattened_weights(log_ratios, 5_000.0)
    assert 1.0 / (most @ most) == pytest.approx(500.0, rel=1e-3)
    assert flattened_weights(np.full(4, -np.inf), 2.0).tolist() == [0.25] * 4


@pytest.mark.parametrize(
    ("k_hat", "size", "num_draws", "is_enough"),
    [
        (0.2, 1_001.0, 2_000, True),
        (0.2, 999.0, 2_000, False),
        (0.4, 1_999.0, 2_000, False),
        (0.4, 2_001.0, 2_000, True),
        (0.6, 1e6, 2_000, False),
        (0.2, 51.0, 100, True),
        (math.nan, 51.0, 100, False),
    ],
)
def test_what_is_good_enough(k_hat, size, num_draws, is_enough):
    nothing = np.empty(0)
    assert is_good(Weighted(nothing, nothing, nothing, nothing, k_hat, size, 0.0, 0.0), num_draws) is is_enough
