"""Densities as operations: those of SciPy and of TensorFlow Probability, also of narrow components; and their rows."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from log_densities import loop_log_density, narrow_components, scipy_log_densities
from random_posteriors import D, K, mean_precision_matrices, random_components

from tfgmm.families.drawing import log_gamma_draws
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import FORMS, MixtureDensity
from tfgmm.scoring.graph import chunks
from tfgmm.scoring.graph.densities import GRAPH_FORMS, coefficients

ROWS = np.random.default_rng(9).normal(0, 2, (12, D)).astype(np.float32)


def product(form, rows, parameters, dtype=tf.float64):
    """Returns log densities (B, K) by the path of exports and GPUs: features times coefficients."""
    linear, constants = (tf.cast(value, dtype) for value in GRAPH_FORMS[form].coefficients(parameters))
    return chunks.log_joints(GRAPH_FORMS[form].features(tf.cast(rows, dtype)), linear, constants).numpy()


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_plug_in_density_equals_those_of_scipy_and_tensorflow_probability(covariance, seed):
    components, posterior = random_components(covariance, seed=seed)
    covariances = np.linalg.inv(mean_precision_matrices(components, posterior))
    actual = product(components.form, ROWS, components.means(posterior))
    assert actual.dtype == np.float64
    np.testing.assert_allclose(actual, scipy_log_densities(ROWS, posterior.locs, covariances), rtol=1e-10, atol=1e-10)
    normal = tfp.distributions.MultivariateNormalTriL(posterior.locs, np.linalg.cholesky(covariances))
    np.testing.assert_allclose(actual, normal.log_prob(ROWS[:, None].astype(np.float64)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_log_density_of_independent_columns_equals_a_plain_loop_over_scipy(seed):
    components, posterior = random_components("diag", seed=seed)
    expected = loop_log_density(ROWS, posterior.locs, np.log(posterior.alpha / posterior.beta))
    density = product(components.form, ROWS, components.means(posterior))
    np.testing.assert_allclose(density, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_densities_of_drawn_parameters_equal_those_of_scipy(covariance):
    components, posterior = random_components(covariance)
    generator = np.random.default_rng(3)
    log_gammas = log_gamma_draws(components.gamma_shapes(posterior), [4], generator)
    parameters = components.parameters_of(components.draws(posterior, log_gammas, generator))
    scales, covariances = FORMS[components.form].covariances(parameters)
    covariances = scales[..., None] ** 2 * np.eye(D) if covariances is None else covariances
    for s in range(4):
        of_draw = {name: value[s] for name, value in parameters.items()}
        expected = scipy_log_densities(ROWS, parameters["locs"][s], covariances[s])
        np.testing.assert_allclose(product(components.form, ROWS, of_draw), expected, rtol=1e-8, atol=1e-8)


# In float64 what cancels is 2^-53 of D (range / width)^2: 1e-7 of a nat at 1e-4, and 1e-4 nats are promised.
@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
def test_the_product_of_narrow_components_keeps_a_ten_thousandth_of_a_nat(width):
    """The reference is scipy's on the same float32 rows. In float32, the error stays within the bound of the family."""
    generator, locs, precisions, owner = narrow_components(width)
    rows = (locs[owner] + generator.normal(size=(64, 16)) * precisions[owner] ** -0.5).astype(np.float32)
    parameters = {"locs": locs, "precisions": precisions}
    expected = loop_log_density(rows, locs, np.log(precisions))
    own = np.arange(64), owner
    density = product("independent", rows, parameters)
    assert np.abs(density[own] - expected[own]).max() < min(1e-4, 1e-14 / width**2 + 1e-12)
    errors = np.abs(product("independent", rows, parameters, tf.float32) - expected).max(axis=0)
    bound = COMPONENTS["diag"].float32_error(parameters, np.abs(rows).max(axis=0).astype(np.float64))
    assert (errors <= bound).all() and (errors >= 0.01 * bound).any()


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_products_of_narrow_components_of_every_shape_keep_a_ten_thousandth_of_a_nat(covariance, width):
    """16 columns of range 1. In float32, the error stays within the bound of the family, which is not far above."""
    components, posterior = random_components(covariance, 4, 16)
    generator = np.random.default_rng(5)
    owner, locs = generator.integers(4, size=200), generator.uniform(-0.5, 0.5, (4, 16))
    parameters = components.means(posterior) | {"locs": locs}
    for name, power in (("precisions", 2), ("whiteners", 1)):
        if name in parameters:
            parameters[name] = parameters[name] / np.abs(parameters[name]).max() / width**power
    scales, covariances = FORMS[components.form].covariances(parameters)
    covariances = scales[..., None] ** 2 * np.eye(16) if covariances is None else covariances
    noise = np.einsum("kij,nj->nki", np.linalg.cholesky(covariances), generator.normal(size=(200, 16)))
    own = np.arange(200), owner
    rows = (locs[owner] + noise[own]).astype(np.float32)
    whiteners = np.linalg.inv(np.linalg.cholesky(covariances))
    away = np.einsum("kij,nkj->nki", whiteners, rows[:, None].astype(np.float64) - locs)
    log_determinants = np.linalg.slogdet(whiteners)[1]
    expected = log_determinants - 0.5 * (np.sum(away**2, axis=-1) + 16 * np.log(2 * np.pi))
    # what cancels, 2^-53 of 16 (1 / width)^2, and the rounding of an ill-conditioned inverse
    exact = np.abs(product(components.form, rows, parameters)[own] - expected[own]).max()
    assert exact < min(1e-4, 1e-12 / width**2 + 1e-9)
    errors = np.abs(product(components.form, rows, parameters, tf.float32) - expected).max(axis=0)
    bound = components.float32_error(parameters, np.abs(rows).max(axis=0).astype(np.float64))
    assert (errors <= bound).all() and (errors >= 0.01 * bound).any()


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_determinants_at_the_means_are_read_from_the_diagonal(covariance):
    """A QR of every matrix took as long as all else together; draws, whose whiteners are not triangular, need it."""
    components, posterior = random_components(covariance)
    means = components.means(posterior)
    assert not np.triu(means["whiteners"], 1).any()
    density = MixtureDensity(covariance, np.zeros(D), np.full(K, -np.log(K)), means)
    of_draws = density._replace(
        log_weights=density.log_weights[None], components={name: value[None] for name, value in means.items()}
    )
    found = []
    for mixture, needs_qr in ((density, False), (of_draws, True)):
        graph = tf.function(functools.partial(coefficients, mixture)).get_concrete_function()
        assert ("Qr" in {operation.type for operation in graph.graph.get_operations()}) is needs_qr
        found.append(graph())
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_a_far_row_leaves_its_neighbours_density_bit_for_bit():
    components, posterior = random_components("diag", 3, 2)
    parameters = components.means(posterior)
    rows = np.array([[0.3, 0.1], [1e30, -1e30], [2.0, 1.0]], np.float32)
    together = product(components.form, rows, parameters)
    assert np.isfinite(together).all()
    np.testing.assert_array_equal(together[[0, 2]], product(components.form, rows[[0, 2]], parameters))


# Rows


def test_sampled_rows_have_the_mean_and_spread_of_their_component():
    parameters = {"locs": np.array([[0.0, 5.0], [-3.0, 1e6]]), "precisions": np.array([[4.0, 0.01], [1.0, 1e4]])}
    assignment = np.repeat([0, 1], 10_000)
    rows = GRAPH_FORMS["independent"].sample(parameters, tf.constant(assignment), (3, 4)).numpy()
    for k in range(2):
        mine, sds = rows[assignment == k], parameters["precisions"][k] ** -0.5
        assert (np.abs(mine.mean(axis=0) - parameters["locs"][k]) < 5 * sds / 100).all()
        assert (np.abs(mine.var(axis=0) / sds**2 - 1) < 5 * np.sqrt(2 / 10_000)).all()


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_sampled_rows_have_the_mean_and_covariance_of_their_component(covariance):
    components, posterior = random_components(covariance)
    expected = np.linalg.inv(mean_precision_matrices(components, posterior))
    assignment = np.random.default_rng(0).permutation(np.repeat(np.arange(K), 10_000))
    means = components.means(posterior)
    rows = GRAPH_FORMS[components.form].sample(means, tf.constant(assignment), (5, 6)).numpy()
    assert rows.dtype == np.float64
    for k in range(K):
        away = rows[assignment == k] - posterior.locs[k]
        squares = away[:, :, None] * away[:, None, :]
        for values, moments in ((away, 0.0), (squares, expected[k])):
            assert (np.abs(values.mean(axis=0) - moments) < 5 * values.std(axis=0) / 100).all()
