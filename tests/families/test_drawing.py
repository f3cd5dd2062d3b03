"""Log Gamma draws by NumPy have scipy's distribution at every shape, and are a pure function of their seed."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special, stats

from tfgmm.families.drawing import generator_of, log_gamma_draws

NUM_DRAWS = 40_000
SHAPES = [1e-9, 1e-4, 0.1, 1.0, 1e2, 1e3, 1e4, 1e6, 1e9]


def draws_of(shape, num_draws=NUM_DRAWS, seed=12):
    return log_gamma_draws(np.array(shape), [num_draws], np.random.default_rng(seed))


def standard_error(values):
    return values.std(ddof=1) / np.sqrt(len(values))


@pytest.mark.parametrize("shape", SHAPES)
def test_mean_and_variance_of_log_draws_are_digamma_and_trigamma(shape):
    draws = draws_of(shape)
    rounding = np.finfo(np.float64).eps * abs(special.digamma(shape))
    assert abs(draws.mean() - special.digamma(shape)) <= 5 * standard_error(draws) + rounding
    squares = (draws - draws.mean()) ** 2
    assert abs(squares.mean() - special.polygamma(1, shape)) <= 5 * standard_error(squares) + rounding**2


@pytest.mark.parametrize("shape", [1e-3, 0.02, 0.5, 1.0, 30.0, 2e3, 1e5])
def test_log_draws_have_the_distribution_of_scipys_loggamma(shape):
    assert stats.kstest(draws_of(shape, 20_000), stats.loggamma(shape).cdf).pvalue > 1e-3


@pytest.mark.parametrize("shape", [1e-9, 1e-6, 1e-3])
def test_tiny_shapes_give_no_draw_of_minus_infinity(shape):
    """Half of them or more are logarithms of numbers that float64 does not have."""
    draws = draws_of(shape)
    assert np.isfinite(draws).all() and (draws < np.log(np.finfo(np.float64).tiny)).mean() > 0.4


def test_draws_of_tiny_shapes_times_the_shape_are_exponential():
    assert stats.kstest(-1e-9 * draws_of(1e-9), stats.expon.cdf).pvalue > 1e-3


def test_draws_are_finite_over_eighteen_orders_of_magnitude():
    draws = log_gamma_draws(np.logspace(-9, 9, 37), [10_000], np.random.default_rng(0))
    assert draws.dtype == np.float64 and np.isfinite(draws).all()


@pytest.mark.parametrize("sample_shape", [[], [3], [5, 1], (2, 3)], ids=str)
@pytest.mark.parametrize("shape", [(), (3,), (2, 4), (0, 2)], ids=str)
def test_the_axes_asked_for_stand_in_front(sample_shape, shape):
    draws = log_gamma_draws(np.ones(shape), sample_shape, np.random.default_rng(0))
    assert np.shape(draws) == (*sample_shape, *shape)


def test_columns_drawn_together_each_keep_their_shape_parameter_and_are_independent():
    shapes = np.array([0.3, 0.7, 50.0, 5e3])
    columns = log_gamma_draws(shapes, [20_000], np.random.default_rng(1))
    for draws, shape in zip(columns.T, shapes):
        assert abs(draws.mean() - special.digamma(shape)) <= 5 * standard_error(draws)
    assert np.abs(np.corrcoef(columns.T) - np.eye(4)).max() < 5 / np.sqrt(20_000)


def test_draws_are_a_pure_function_of_the_seed():
    first, again, other = (log_gamma_draws(np.array([0.1, 2.0, 1e5]), [100], generator_of(seed)) for seed in (7, 7, 8))
    assert first.tobytes() == again.tobytes()
    assert not np.any(first == other)


def test_without_a_seed_every_source_is_another_one():
    assert generator_of(None).random() != generator_of(None).random()
    assert generator_of(0).random() == generator_of(np.int64(0)).random()


@pytest.mark.parametrize("seed", [-1, 0.5, "one"])
def test_a_seed_that_is_none_is_refused(seed):
    with pytest.raises((TypeError, ValueError), match="`seed` must be"):
        generator_of(seed)
