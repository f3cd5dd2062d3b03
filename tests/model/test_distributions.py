"""A mixture as TensorFlow Probability's distributions: closed-form moments, the model's densities, in other models."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import special, stats

import tfgmm
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.model.distributions import mixture_distribution, posterior_distributions

tfd = tfp.distributions
WEIGHTS = ("dirichlet", "stick_breaking")
INDEPENDENT = [name for name, shape in COVARIANCES.items() if shape.form == "independent"]
CORRELATED = [name for name, shape in COVARIANCES.items() if shape.form == "correlated"]
K, D = 2, 3


def rows_of(offset=0.0):
    """Returns 120 rows in two clusters; the columns differ in their units, and in one cluster they are correlated."""
    generator = np.random.default_rng(0)
    first = generator.normal(size=(60, D)) * [1.0, 0.2, 30.0]
    second = generator.normal(size=(60, D)) @ [[1.0, 0.5, 0.0], [0.0, 0.2, 3.0], [0.0, 0.0, 40.0]]
    return np.concatenate([first, second + [6.0, 2.0, -100.0]]) + offset


def priors_for(covariance, rows):
    """Returns fixed priors, whose distributions have names; a sphere is round in units of the columns' widths."""
    mean, spread = rows.mean(axis=0), rows.std(axis=0)
    if COVARIANCES[covariance].is_spherical:
        return tfgmm.Priors(mean, 3 * spread, 1.0, 0.02, weight_concentration=1.0, column_scale=spread)
    return tfgmm.Priors(mean, 3 * spread, 1.0, 0.02 * spread**2, weight_concentration=1.0)


@functools.cache
def fitted(covariance, weights="dirichlet", offset=0.0):
    rows = rows_of(offset)
    options = {"covariance": covariance, "weights": weights, "priors": priors_for(covariance, rows)}
    return tfgmm.fit_mixture(rows, K, seed=0, restarts=1, **options).model


def mixture_of(model, kind):
    return model.plug_in() if kind == "plug_in" else model.predictive()


def as_arrays(model, *names):
    return [np.asarray(getattr(model, name)) for name in names]


# The posterior


@pytest.mark.parametrize("covariance", INDEPENDENT)
def test_moments_of_independent_columns_are_those_of_the_models_numbers(covariance):
    model = fitted(covariance)
    q = posterior_distributions(model)
    locs, scales, alpha, beta = as_arrays(model, "locs", "scales", "alpha", "beta")
    assert q.locs.batch_shape == (K,) and q.locs.event_shape == (D,) and q.locs.dtype == tf.float64
    np.testing.assert_allclose(q.locs.mean(), locs, rtol=1e-14)
    np.testing.assert_allclose(q.locs.stddev(), scales, rtol=1e-14)
    if COVARIANCES[covariance].is_spherical:
        assert beta.shape[1] == D and q.precisions.event_shape == (1,)  # the columns have units, the precision is one
        beta = beta[:, :1]
    assert q.precisions.batch_shape == (len(alpha),)
    np.testing.assert_allclose(q.precisions.mean(), alpha / beta, rtol=1e-14)
    np.testing.assert_allclose(q.precisions.variance(), alpha / beta**2, rtol=1e-14)
    precision = alpha / beta  # a precision is 1 / variance, in the units of the rows
    rows_sd = rows_of().std(axis=0)[: precision.shape[1]]
    assert (precision**-0.5 < 3 * rows_sd).all() and (precision**-0.5 > 0.03 * rows_sd).all()


@pytest.mark.parametrize("covariance", CORRELATED)
def test_moments_of_correlated_columns_are_those_of_the_models_numbers(covariance):
    model = fitted(covariance)
    q = posterior_distributions(model)
    locs, covariances, degrees, inverses = as_arrays(model, "locs", "loc_covariances", "degrees", "inverse_scales")
    np.testing.assert_allclose(q.locs.mean(), locs, rtol=1e-14)
    np.testing.assert_allclose(q.locs.covariance(), covariances, rtol=1e-12, atol=1e-14)
    assert q.precisions.batch_shape == (len(degrees),) and q.precisions.event_shape == (D, D)
    scales = np.linalg.inv(inverses)
    diagonals = np.diagonal(scales, axis1=1, axis2=2)
    variances = degrees[:, None, None] * (scales**2 + diagonals[:, :, None] * diagonals[:, None, :])
    np.testing.assert_allclose(q.precisions.mean(), degrees[:, None, None] * scales, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(q.precisions.variance(), variances, rtol=1e-9, atol=1e-15)
    drawn = q.precisions.sample(seed=1).numpy()
    expected = [stats.wishart(nu, scale).logpdf(matrix) for nu, scale, matrix in zip(degrees, scales, drawn)]
    np.testing.assert_allclose(q.precisions.log_prob(drawn), expected, rtol=1e-9)


@pytest.mark.parametrize("units", [1e-9, 1e9])
def test_matrices_of_columns_in_very_different_units_keep_their_digits(units):
    model = fitted("full")
    factors = np.array([1.0, units, units**-1])
    outer = factors[:, None] * factors
    moved = FakeModel(model, inverse_scales=np.asarray(model.inverse_scales) * outer)
    expected = np.asarray(posterior_distributions(model).precisions.mean()) / outer
    np.testing.assert_allclose(posterior_distributions(moved).precisions.mean() * outer, expected * outer, rtol=1e-9)


class FakeModel:
    """A fitted model with some of its numbers replaced."""

    def __init__(self, model, **numbers):
        self.model, self.numbers = model, numbers

    def __getattr__(self, name):
        return self.numbers[name] if name in self.numbers else getattr(self.model, name)


def test_weights_are_a_dirichlet_or_the_betas_of_the_breaks():
    model = fitted("diag")
    weights = posterior_distributions(model).weights
    [counts] = as_arrays(model, "counts")
    np.testing.assert_allclose(weights.mean(), counts / counts.sum(), rtol=1e-14)
    mean, total = counts / counts.sum(), counts.sum()
    np.testing.assert_allclose(weights.variance(), mean * (1 - mean) / (1 + total), rtol=1e-14)
    model = fitted("diag", "stick_breaking")
    breaks = posterior_distributions(model).weights
    [(taken, left)] = as_arrays(model, "sticks")[0]
    assert breaks.batch_shape == () and breaks.event_shape == (K - 1,)
    np.testing.assert_allclose(breaks.mean(), [stats.beta(taken, left).mean()], rtol=1e-12)
    np.testing.assert_allclose(breaks.variance(), [stats.beta(taken, left).var()], rtol=1e-12)


@pytest.mark.parametrize("covariance", INDEPENDENT)
def test_divergences_of_the_distributions_from_the_priors_add_up_to_the_models(covariance):
    """What columns or components share counts once, in whatever units."""
    model = fitted(covariance)
    priors, q = model.priors, posterior_distributions(model)
    rate = np.atleast_1d(np.asarray(priors.precision_rate, np.float64))
    if COVARIANCES[covariance].is_spherical:
        rate = rate[:1] * np.square(np.asarray(priors.column_scale)[0])
    prior_locs = tfd.Independent(
        tfd.Normal(np.broadcast_to(priors.loc_mean, D), np.broadcast_to(priors.loc_scale, D)), 1
    )
    shape = np.broadcast_to(np.asarray(priors.precision_shape, np.float64), rate.shape)
    counts = np.full(K, np.float64(priors.weight_concentration))
    total = tf.reduce_sum(tfd.kl_divergence(q.locs, prior_locs))
    total += tf.reduce_sum(tfd.kl_divergence(q.precisions, tfd.Independent(tfd.Gamma(shape, rate), 1)))
    total += tfd.kl_divergence(q.weights, tfd.Dirichlet(counts))
    assert float(total) == pytest.approx(float(model.kl()), rel=1e-10)


@pytest.mark.parametrize("covariance", COVARIANCES)
@pytest.mark.parametrize("weights", WEIGHTS)
def test_one_component_and_one_column_have_distributions(covariance, weights):
    model = tfgmm.GaussianMixtureModel(1, 1, covariance, weights)
    q = posterior_distributions(model)
    assert q.locs.sample(4, seed=0).shape == (4, 1, 1)
    drawn = q.weights.sample(4, seed=0).numpy()
    np.testing.assert_array_equal(drawn, np.ones((4, 1)) if weights == "dirichlet" else np.empty((4, 0)))
    density = mixture_distribution(model.plug_in())
    expected = model.log_prob([[0.3], [-2.0]])
    np.testing.assert_allclose(density.log_prob([[0.3], [-2.0]]), expected, rtol=1e-5)


def test_fewer_degrees_than_columns_are_no_obstacle():
    """A Wishart needs more than D - 1 degrees; TensorFlow Probability alone asks for D."""
    priors = tfgmm.Priors(degrees=D - 0.5)
    model = tfgmm.GaussianMixtureModel(K, D, "full", priors=priors, seed=0)
    model = FakeModel(model, degrees=np.array([D - 0.5, D - 0.9]))
    precisions = posterior_distributions(model).precisions
    scales = np.linalg.inv(np.asarray(model.inverse_scales))
    drawn = precisions.sample(20_000, seed=0).numpy()
    expected = model.degrees[:, None, None] * scales
    assert (np.abs(drawn.mean(axis=0) - expected) < 5 * drawn.std(axis=0) / np.sqrt(20_000)).all()
    matrix = np.eye(D) + 0.1
    log_dets = np.linalg.slogdet(matrix)[1], np.linalg.slogdet(scales)[1]
    log_prob = precisions.log_prob(matrix)
    for k, nu in enumerate(model.degrees):
        log_z = nu * D / 2 * np.log(2) + nu / 2 * log_dets[1][k] + special.multigammaln(nu / 2, D)
        density = (nu - D - 1) / 2 * log_dets[0] - np.trace(np.linalg.solve(scales[k], matrix)) / 2 - log_z
        assert float(log_prob[k]) == pytest.approx(density, rel=1e-10)


# The density


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("kind", ["plug_in", "predictive"])
@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_log_prob_is_the_models_also_in_float32_and_far_from_zero(covariance, weights, kind, offset):
    model = fitted(covariance, weights, offset)
    mixture = mixture_of(model, kind)
    for dtype in (np.float32, np.float64):
        density = mixture_distribution(mixture, dtype)
        rows = rows_of(offset).astype(dtype)
        log_prob = density.log_prob(rows)
        assert log_prob.dtype == dtype and density.event_shape == (D,) and density.batch_shape == ()
        # the model answers in float32 too; plain distributions in float32 err by 0.1 at this offset, see below
        np.testing.assert_allclose(log_prob, model.log_prob(rows.astype(np.float64), kind=kind), atol=1e-5, rtol=1e-6)


def test_a_plain_mixture_in_float32_loses_the_digits_that_this_one_keeps():
    model = fitted("diag", offset=1e6)
    mixture = model.plug_in()
    locs = (mixture.components["locs"] + mixture.centre).astype(np.float32)
    scales = (mixture.components["precisions"] ** -0.5).astype(np.float32)
    parts = tfd.MultivariateNormalDiag(locs, scales)
    plain = tfd.MixtureSameFamily(tfd.Categorical(logits=mixture.log_weights.astype(np.float32)), parts)
    rows = rows_of(1e6).astype(np.float32)
    errors = [
        np.abs(d.log_prob(rows) - model.log_prob(rows.astype(np.float64)))
        for d in (plain, mixture_distribution(mixture))
    ]
    assert errors[0].max() > 0.05 and errors[1].max() < 1e-5


@pytest.mark.parametrize(
    ("covariance", "kind"),
    [
        ("diag", "plug_in"),
        ("tied", "plug_in"),
        ("full", "plug_in"),
        ("diag", "predictive"),
        pytest.param("tied", "predictive", marks=pytest.mark.slow),
        ("full", "predictive"),
    ],
)
def test_slopes_in_the_rows_are_those_of_differences(covariance, kind):
    density = mixture_distribution(mixture_of(fitted(covariance), kind), "float64")
    rows = tf.constant(rows_of()[::20])
    with tf.GradientTape() as tape:
        tape.watch(rows)
        log_prob = density.log_prob(rows)
    slopes = tape.gradient(log_prob, rows).numpy()
    for column, step in enumerate([1e-5, 1e-6, 1e-4]):
        move = step * np.eye(D)[column]
        expected = (density.log_prob(rows + move) - density.log_prob(rows - move)) / (2 * step)
        np.testing.assert_allclose(slopes[:, column], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("kind", ["plug_in", "predictive"])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_samples_have_the_moments_that_the_distribution_names(covariance, kind):
    density = mixture_distribution(mixture_of(fitted(covariance), kind))
    rows = density.sample(4000, seed=3).numpy().astype(np.float64)
    mean, covariance_matrix = np.asarray(density.mean()), np.asarray(density.covariance())
    np.testing.assert_allclose(np.sqrt(np.diag(covariance_matrix)), density.stddev(), rtol=1e-5)
    away = rows - mean
    assert (np.abs(away.mean(axis=0)) < 5 * rows.std(axis=0) / np.sqrt(4000)).all()
    squares = away[:, :, None] * away[:, None, :]
    assert (np.abs(squares.mean(axis=0) - covariance_matrix) < 5 * squares.std(axis=0) / np.sqrt(4000)).all()
    assert rows.std(axis=0) == pytest.approx(rows_of().std(axis=0), rel=0.3)  # in the units of the rows


# Inside other models


def prior_of_two_columns():
    rows = np.random.default_rng(1).normal([[-2.0, 0.0]] * 100 + [[2.0, 1.0]] * 100, 0.4)
    return mixture_distribution(tfgmm.fit_mixture(rows, 2, seed=0, restarts=1).model.plug_in()), rows


def test_it_is_a_part_of_joint_distributions():
    prior, _ = prior_of_two_columns()

    def seen(truth):
        return tfd.MultivariateNormalDiag(truth, [0.3, 0.3])

    named = tfd.JointDistributionNamed({"truth": prior, "seen": seen})
    drawn = named.sample(7, seed=0)
    expected = prior.log_prob(drawn["truth"]) + seen(drawn["truth"]).log_prob(drawn["seen"])
    np.testing.assert_allclose(named.log_prob(drawn), expected, rtol=1e-6)
    sequential = tfd.JointDistributionSequential([prior, seen])
    np.testing.assert_allclose(sequential.log_prob([drawn["truth"], drawn["seen"]]), expected, rtol=1e-6)
    # a likelihood of many rows
    many = tfd.Sample(prior, 7)
    np.testing.assert_allclose(
        many.log_prob(drawn["truth"]), np.sum(prior.log_prob(drawn["truth"]).numpy(), dtype=np.float64), rtol=1e-5
    )


def test_it_works_inside_compiled_functions():
    prior, rows = prior_of_two_columns()
    rows = rows.astype(np.float32)
    compiled = tf.function(prior.log_prob, input_signature=[tf.TensorSpec([None, 2])])
    np.testing.assert_allclose(compiled(rows), prior.log_prob(rows), rtol=1e-5, atol=1e-6)
    mapped = tf.data.Dataset.from_tensor_slices(rows).batch(150).map(prior.log_prob)
    np.testing.assert_allclose(np.concatenate(list(mapped)), prior.log_prob(rows), rtol=1e-5, atol=1e-6)
