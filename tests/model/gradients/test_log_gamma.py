"""Log Gamma draws have scipy's distribution, and gradients that are right, not only finite, at every shape."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from scipy import special, stats

from tfgmm.model.gradients.log_gamma import _log_draws, log_gamma_draws

TYPES = [tf.float32, tf.float64]
SHAPES = [1e-4, 0.1, 1.0, 1e2, 1e3, 1e4, 1e6, 1e9]
SEED = [12, 34]


def draws_and_slopes(shape, num_draws, dtype, seed=SEED):
    """Returns `num_draws` log draws of one shape and d log draw / d shape of each, float64."""
    shapes = tf.fill([num_draws], tf.constant(shape, tf.float64))
    with tf.GradientTape() as tape:
        tape.watch(shapes)
        [draws] = log_gamma_draws([shapes], [1], seed, dtype)
    slopes = tape.gradient(draws, shapes)
    return draws.numpy()[0].astype(np.float64), slopes.numpy()


def standard_error(values):
    return values.std(ddof=1) / np.sqrt(len(values))


def quantile_slopes(shape, draws):
    """Returns d log x / d shape at a fixed quantile of Gamma(shape), by central differences of scipy's quantiles."""
    lower, upper = special.gammainc(shape, draws), special.gammaincc(shape, draws)
    step = 1e-4 * shape
    ends = [
        np.log(np.where(lower < 0.5, special.gammaincinv(end, lower), special.gammainccinv(end, upper)))
        for end in (shape + step, shape - step)
    ]
    return (ends[0] - ends[1]) / (2 * step)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [*SHAPES, 998.0, 1e5])
def test_mean_gradient_is_trigamma(shape, dtype):
    """The mean of log Gamma(a) is digamma(a), so the mean of its derivative must be trigamma(a)."""
    _, slopes = draws_and_slopes(shape, 40_000, dtype)
    expected = special.polygamma(1, shape)
    rounding = 2e-6 if dtype == tf.float32 else 1e-8
    assert abs(slopes.mean() - expected) <= 5 * standard_error(slopes) + rounding * expected
    assert standard_error(slopes) < 0.01 * expected  # so the test above could fail


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize(
    ("shape", "tolerance"), [(0.5, 1e-5), (1.25, 1e-5), (7.0, 1e-5), (500.0, 2.4e-5), (1e3, 2.4e-5), (1e5, 2.4e-5)]
)
def test_gradient_of_each_draw_is_the_slope_of_its_quantile(shape, tolerance, dtype):
    quantiles = np.linspace(1e-3, 1 - 1e-3, 401)
    draws = special.gammaincinv(shape, quantiles).astype(dtype.as_numpy_dtype)
    shapes = tf.fill([401], tf.constant(shape, dtype))
    with tf.GradientTape() as tape:
        tape.watch(shapes)
        # U = 0 leaves the draw where it is, so that this is the gradient at shape alone, without augmentation
        logs = _log_draws(shapes - 1.0, tf.constant(draws[None]), tf.zeros((1, 401), dtype))
    slopes = tape.gradient(logs, shapes).numpy()
    np.testing.assert_array_equal(logs.numpy()[0], tf.math.log(draws).numpy())
    np.testing.assert_allclose(slopes, quantile_slopes(shape, draws.astype(np.float64)), rtol=tolerance)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", SHAPES)
def test_mean_and_variance_of_log_draws_are_digamma_and_trigamma(shape, dtype):
    draws, _ = draws_and_slopes(shape, 40_000, dtype)
    rounding = np.finfo(dtype.as_numpy_dtype).eps * abs(special.digamma(shape))
    assert abs(draws.mean() - special.digamma(shape)) <= 5 * standard_error(draws) + rounding
    squares = (draws - draws.mean()) ** 2
    assert abs(squares.mean() - special.polygamma(1, shape)) <= 5 * standard_error(squares) + rounding**2


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("shape", [1e-3, 0.02, 0.5, 1.0, 30.0, 2e3, 1e5])
def test_log_draws_have_the_distribution_of_scipys_loggamma(shape, dtype):
    draws, _ = draws_and_slopes(shape, 20_000, dtype)
    assert stats.kstest(draws, stats.loggamma(shape).cdf).pvalue > 1e-3


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_draws_and_gradients_are_finite_over_thirteen_orders_of_magnitude(dtype):
    shapes = tf.constant(np.logspace(-4, 9, 27), tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(shapes)
        [draws] = log_gamma_draws([shapes], [10_000], SEED, dtype)
        largest = tf.reduce_sum(draws * draws)
    assert np.isfinite(draws.numpy()).all()
    assert np.isfinite(tape.gradient(largest, shapes).numpy()).all()


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
@pytest.mark.parametrize("sample_shape", [[], [3], [5, 1], tf.constant([2, 3])], ids=str)
def test_each_tensor_gets_draws_of_its_own_shape_and_the_type_asked_for(sample_shape, dtype):
    shapes = [tf.ones(3), tf.ones((2, 4), tf.float64), tf.constant(2.0)]
    drawn = log_gamma_draws(shapes, sample_shape, SEED, dtype)
    front = tuple(np.array(sample_shape, int))
    assert [tuple(draws.shape) for draws in drawn] == [front + (3,), front + (2, 4), front]
    assert all(draws.dtype == dtype for draws in drawn)


def test_tensors_drawn_together_each_keep_their_shape_parameter_and_are_independent():
    small, large = tf.constant([[0.3], [0.7]], tf.float64), tf.constant([50.0, 5e3], tf.float64)
    one, other = log_gamma_draws([small, large], [20_000], SEED, tf.float64)
    columns = np.concatenate([one.numpy()[:, :, 0], other.numpy()], axis=1)
    for draws, shape in zip(columns.T, (0.3, 0.7, 50.0, 5e3)):
        assert abs(draws.mean() - special.digamma(shape)) <= 5 * standard_error(draws)
    correlations = np.corrcoef(columns.T) - np.eye(4)
    assert np.abs(correlations).max() < 5 / np.sqrt(20_000)


def test_gradient_of_a_shared_shape_is_the_sum_over_its_draws():
    draws, slopes = draws_and_slopes(3.0, 1000, tf.float64)
    shape = tf.constant([3.0], tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(shape)
        [shared] = log_gamma_draws([shape], [1000], SEED, tf.float64)
    np.testing.assert_allclose(shared.numpy()[:, 0], draws, rtol=1e-12)
    np.testing.assert_allclose(tape.gradient(shared, shape).numpy()[0], slopes.sum(), rtol=1e-10)


@pytest.mark.parametrize("dtype", TYPES, ids=lambda dtype: dtype.name)
def test_draws_are_a_pure_function_of_the_seed(dtype):
    shapes = [tf.constant([0.1, 2.0, 1e5])]
    [first], [again], [other] = (log_gamma_draws(shapes, [100], seed, dtype) for seed in (SEED, SEED, [12, 35]))
    assert first.numpy().tobytes() == again.numpy().tobytes()
    assert not np.any(first.numpy() == other.numpy())


def test_the_number_of_draws_may_be_unknown_while_tracing():
    @tf.function(input_signature=[tf.TensorSpec([None, 2])])
    def draw(rows):
        return log_gamma_draws([tf.constant([1.0, 2.0])], tf.shape(rows)[:1], SEED)[0]

    for size in (1, 7):
        eager = log_gamma_draws([tf.constant([1.0, 2.0])], [size], SEED)[0]
        np.testing.assert_array_equal(draw(tf.zeros((size, 2))), eager)
