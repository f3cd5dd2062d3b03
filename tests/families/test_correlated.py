"""Every covariance shape: densities, corrections, draws and samples against SciPy, TFP and known moments."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from assigned import assign
from random_posteriors import (
    D,
    K,
    draw_parameters,
    mean_precision_matrices,
    normal_log_densities,
    random_components,
    units_of,
)
from scipy import special, stats
from tfgmm.families.log_gamma import log_gamma_draws

from tfgmm.families.correlated import CorrelatedDraws, CorrelatedPosterior
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import FORMS, num_parameters, parameter_shapes
from tfgmm.scoring.graph import chunks
from tfgmm.scoring.graph.densities import GRAPH_FORMS

tfd = tfp.distributions
ROWS = np.random.default_rng(9).normal(0, 2, (12, D)).astype(np.float32)
NUM_DRAWS = 20_000


def as_tensors(posterior):
    return type(posterior)(*(tf.constant(value, tf.float64) for value in posterior))


def draw(components, posterior, sample_shape, dtype=tf.float64, seed=(3, 4)):
    posterior = as_tensors(posterior)
    [log_gammas] = log_gamma_draws([components.gamma_shapes(posterior)], sample_shape, seed, dtype)
    return components.draws(posterior, log_gammas, seed)


def product(components, rows, parameters, dtype=tf.float64):
    """Returns log densities (B, K) by the path of training and scoring: features times coefficients."""
    coefficients, constants = (tf.cast(value, dtype) for value in GRAPH_FORMS[components.form].coefficients(parameters))
    return chunks.log_joints(
        GRAPH_FORMS[components.form].features(tf.cast(rows, dtype)), coefficients, constants
    ).numpy()


def scipy_log_densities(rows, locs, covariances):
    """Returns (B, K), one call of SciPy per component; one (D, D) stands for all."""
    covariances = np.broadcast_to(covariances, (*locs.shape, locs.shape[1]))
    each = [stats.multivariate_normal(*pair).logpdf(rows) for pair in zip(locs, covariances)]
    return np.stack(each, axis=-1)


# Densities at known parameters


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_plug_in_density_equals_those_of_scipy_and_tensorflow_probability(covariance, seed):
    components, posterior = random_components(covariance, seed=seed)
    covariances = np.linalg.inv(mean_precision_matrices(components, posterior))
    actual = product(components, ROWS, components.means(as_tensors(posterior)))
    np.testing.assert_allclose(actual, scipy_log_densities(ROWS, posterior.locs, covariances), rtol=1e-10, atol=1e-10)
    normal = tfd.MultivariateNormalTriL(posterior.locs, np.linalg.cholesky(covariances))
    np.testing.assert_allclose(actual, normal.log_prob(ROWS[:, None].astype(np.float64)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_corrections_turn_the_plug_in_density_into_the_mean_over_q(covariance):
    """Draws of NumPy and SciPy; the difference is the same for every row, and shows best where the component is."""
    components, posterior = random_components(covariance)
    corrections = components.corrections(as_tensors(posterior)).numpy()
    assert corrections.shape == (K,) and (corrections < 0).all()
    locs, precisions = draw_parameters(components, posterior, NUM_DRAWS, np.random.default_rng(1))
    means = components.means(as_tensors(posterior))
    for away, precision in ((0.0, 0.015), (ROWS[0].astype(np.float64), 0.2)):
        rows = posterior.locs + away
        plug_in = np.diagonal(product(components, rows, means))
        values = normal_log_densities(rows, locs, precisions)
        errors = values.std(axis=0) / np.sqrt(NUM_DRAWS)
        assert (errors < precision * np.abs(corrections)).all()  # or nothing would be seen
        assert (np.abs(values.mean(axis=0) - plug_in - corrections) < 5 * errors).all()


@pytest.mark.parametrize("width", [1e-1, 1e-2, 1e-3, 1e-4])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_product_in_float32_errs_within_its_bound_which_is_not_far_above(covariance, width):
    """16 columns of range 1; the references read the same float32 rows. The float64 product keeps 1e-4 nats."""
    components, posterior = random_components(covariance, 4, 16)
    generator = np.random.default_rng(5)
    owner, locs = generator.integers(4, size=200), generator.uniform(-0.5, 0.5, (4, 16))
    parameters = {name: value.numpy() for name, value in components.means(as_tensors(posterior)).items()}
    parameters["locs"] = locs
    for name, power in (("precisions", 2), ("whiteners", 1)):
        if name in parameters:
            parameters[name] = parameters[name] / np.abs(parameters[name]).max() / width**power
    _, covariances = FORMS[components.form].covariances(parameters)
    if covariances is None:
        covariances = FORMS[components.form].covariances(parameters)[0][..., None] ** 2 * np.eye(16)
    noise = np.einsum("kij,nj->nki", np.linalg.cholesky(covariances), generator.normal(size=(200, 16)))
    rows = (locs[owner] + noise[np.arange(200), owner]).astype(np.float32)
    whiteners = np.linalg.inv(np.linalg.cholesky(covariances))
    away = np.einsum("kij,nkj->nki", whiteners, rows[:, None].astype(np.float64) - locs)
    log_determinants = np.linalg.slogdet(whiteners)[1]
    expected = log_determinants - 0.5 * (np.sum(away**2, axis=-1) + 16 * np.log(2 * np.pi))
    own = np.arange(200), owner
    # what cancels, 2^-53 of 16 (1 / width)^2, and the rounding of an ill-conditioned inverse
    exact = np.abs(product(components, rows, parameters)[own] - expected[own]).max()
    assert exact < min(1e-4, 1e-12 / width**2 + 1e-9)
    errors = np.abs(product(components, rows, parameters, tf.float32) - expected)
    largest = np.abs(rows).max(axis=0).astype(np.float64)
    bound = np.asarray(components.float32_error(parameters, largest))
    assert bound.shape == (4,)
    assert (errors.max(axis=0) <= bound).all()
    assert (errors.max(axis=0) >= 0.01 * bound).any()


# Draws


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_draws_have_the_moments_of_q(covariance):
    components, posterior = random_components(covariance, seed=2)
    drawn = draw(components, posterior, [NUM_DRAWS], tf.float32)
    assert all(value.dtype == tf.float32 for value in drawn)
    parameters = {name: value.numpy() for name, value in components.parameters_of(drawn).items()}
    locs = parameters["locs"]
    away = locs - posterior.locs
    if isinstance(posterior, CorrelatedPosterior):
        precisions = np.swapaxes(parameters["whiteners"], -1, -2) @ parameters["whiteners"]
        log_determinants = 2.0 * drawn.log_determinants.numpy().astype(np.float64)
        np.testing.assert_allclose(np.linalg.slogdet(precisions)[1], log_determinants, rtol=1e-4, atol=1e-4)
        arguments = (posterior.degrees[:, None] + 1 - np.arange(1, D + 1)) / 2
        roots = np.diagonal(posterior.scale_cholesky, axis1=1, axis2=2)
        expected_log = special.digamma(arguments).sum(axis=1) + D * np.log(2) - 2 * np.log(roots).sum(axis=1)
        loc_covariances = posterior.loc_cholesky @ np.swapaxes(posterior.loc_cholesky, 1, 2)
        mean = mean_precision_matrices(components, posterior)[: len(posterior.degrees)]
    else:
        precisions = parameters["precisions"]
        mean = np.diagonal(mean_precision_matrices(components, posterior), axis1=1, axis2=2)
        log_determinants = np.log(precisions).sum(axis=-1)
        log_means = special.digamma(posterior.alpha) - np.log(posterior.beta) - np.log(units_of(components))
        expected_log = np.broadcast_to(log_means, (K, D)).sum(axis=1)
        loc_covariances = posterior.scales[:, :, None] ** 2 * np.eye(D)
    for values, expected in (
        (precisions, mean),
        (log_determinants, expected_log),
        (locs, posterior.locs),
        (away[..., :, None] * away[..., None, :], loc_covariances),
        (away * log_determinants[..., None] - away * expected_log[..., None], 0.0),  # independent
    ):
        assert (np.abs(values.mean(axis=0) - expected) < 5 * values.std(axis=0) / np.sqrt(NUM_DRAWS)).all()


def test_drawn_precision_matrices_have_the_variances_of_the_wishart():
    """Var(Lambda_ij) = nu (W_ij^2 + W_ii W_jj): Bartlett's off-diagonal counts here."""
    components, posterior = random_components("full", seed=3)
    whiteners = components.parameters_of(draw(components, posterior, [NUM_DRAWS]))["whiteners"].numpy()
    precisions = np.swapaxes(whiteners, -1, -2) @ whiteners
    scales = mean_precision_matrices(components, posterior) / posterior.degrees[:, None, None]
    diagonals = np.diagonal(scales, axis1=1, axis2=2)
    expected = posterior.degrees[:, None, None] * (scales**2 + diagonals[:, :, None] * diagonals[:, None, :])
    squares = (precisions - precisions.mean(axis=0)) ** 2
    assert (np.abs(squares.mean(axis=0) - expected) < 5 * squares.std(axis=0) / np.sqrt(NUM_DRAWS)).all()


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_drawn_densities_equal_those_of_scipy_at_the_same_parameters(covariance):
    components, posterior = random_components(covariance)
    drawn = draw(components, posterior, [4, 1])
    actual = components.log_density(tf.constant(ROWS), drawn)
    assert actual.shape == (4, 12, K) and actual.dtype == tf.float32
    parameters = {name: value.numpy() for name, value in components.parameters_of(drawn).items()}
    scales, covariances = FORMS[components.form].covariances(parameters)
    assert scales.shape == (4, 1, K, D)
    if covariances is None:
        covariances = scales[..., None] ** 2 * np.eye(D)
    for s in range(4):
        expected = scipy_log_densities(ROWS, parameters["locs"][s, 0], covariances[s, 0])
        np.testing.assert_allclose(actual[s], expected, rtol=2e-5, atol=2e-5)  # float32 draws and distances
        of_draw = {name: value[s, 0] for name, value in parameters.items()}
        np.testing.assert_allclose(product(components, ROWS, of_draw), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("covariance", ["full", "tied"])
def test_draws_per_row_and_the_same_draws_shared_give_the_same_density(covariance):
    components, posterior = random_components(covariance)
    shared = draw(components, posterior, [2, 1])
    density = components.log_density(tf.constant(ROWS), shared)
    for s in range(2):
        repeated = CorrelatedDraws(shared.base, *(tf.repeat(value[s], len(ROWS), axis=0) for value in shared[1:]))
        per_row = components.log_density(tf.constant(ROWS), repeated)
        np.testing.assert_allclose(per_row, density[s], rtol=1e-5, atol=1e-5)


# Parameters as others see them


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_covariances_and_public_parts_are_those_of_numpy(covariance):
    components, posterior = random_components(covariance)
    means = components.means(as_tensors(posterior))
    assert {name: tuple(value.shape) for name, value in means.items()} == parameter_shapes(covariance, K, D)
    expected = np.linalg.inv(mean_precision_matrices(components, posterior))
    scales, covariances = FORMS[components.form].covariances({name: value.numpy() for name, value in means.items()})
    np.testing.assert_allclose(scales, np.sqrt(np.diagonal(expected, axis1=1, axis2=2)), rtol=1e-10)
    public = components.public(as_tensors(posterior))
    if covariances is not None:
        np.testing.assert_allclose(covariances, expected, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(public["degrees"], posterior.degrees)
        loc_covariances = posterior.loc_cholesky @ np.swapaxes(posterior.loc_cholesky, 1, 2)
        np.testing.assert_allclose(public["loc_covariances"], loc_covariances, rtol=1e-12, atol=1e-14)
        np.testing.assert_allclose(public["scales"] ** 2, np.diagonal(loc_covariances, axis1=1, axis2=2), rtol=1e-12)
        inverses = np.linalg.inv(public["inverse_scales"]) * posterior.degrees[:, None, None]
        means_of_public = np.broadcast_to(inverses, (K, D, D))
    else:
        np.testing.assert_array_equal(public["scales"], posterior.scales)
        np.testing.assert_array_equal(public["alpha"], posterior.alpha)
        means_of_public = np.broadcast_to(public["alpha"] / public["beta"], (K, D))[..., None] * np.eye(D)
    # the public parts alone, in data units, give the mean precisions
    np.testing.assert_allclose(means_of_public, np.linalg.inv(expected), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("covariance", "of_precisions"),
    [("spherical", 3), ("diag", 12), ("tied_spherical", 1), ("tied_diag", 4), ("full", 30), ("tied", 10)],
)
def test_parameters_are_counted_as_by_hand(covariance, of_precisions):
    """3 components of 4 columns: 12 locations; a symmetric matrix has 10 numbers."""
    assert num_parameters(covariance, K, D) == K - 1 + 12 + of_precisions


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_assigned_posteriors_come_back_and_the_table_finds_the_class(covariance):
    components, posterior = random_components(covariance)
    assert COMPONENTS[covariance] is type(components) and components.name == covariance
    start = components.random_start(np.random.default_rng(0))
    components.create_variables(lambda name, value: tf.Variable(value, name=name), start)
    for value, expected in zip(components.posterior(), start):
        np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-15)
    assign(components, as_tensors(posterior))
    for value, expected in zip(components.posterior(), posterior):
        assert value.dtype == tf.float64
        np.testing.assert_allclose(value, expected, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_sampled_rows_have_the_mean_and_covariance_of_their_component(covariance):
    components, posterior = random_components(covariance)
    means = components.means(as_tensors(posterior))
    expected = np.linalg.inv(mean_precision_matrices(components, posterior))
    assignment = np.random.default_rng(0).permutation(np.repeat(np.arange(K), 10_000))
    rows = GRAPH_FORMS[components.form].sample(means, tf.constant(assignment), (5, 6)).numpy()
    assert rows.dtype == np.float64
    for k in range(K):
        away = rows[assignment == k] - posterior.locs[k]
        squares = away[:, :, None] * away[:, None, :]
        for values, moments in ((away, 0.0), (squares, expected[k])):
            assert (np.abs(values.mean(axis=0) - moments) < 5 * values.std(axis=0) / 100).all()
