"""Divergences as tensors: those of NumPy and of TensorFlow Probability, with gradients that are their slopes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from random_posteriors import D, K, random_components, random_priors, random_weights

from tfgmm.families.variational import COMPONENTS, Factors, Values, VariationalPosterior
from tfgmm.families.weights import WEIGHTS, DirichletPosterior, DirichletWeights, StickPosterior
from tfgmm.mixture.features import num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.priors import Priors
from tfgmm.mixture.statistics import Statistics
from tfgmm.model.gradients import divergences
from tfgmm.model.gradients.functions import TENSORFLOW

tfd = tfp.distributions
CENTRE = np.array([0.4, -1.0, 2.0, 0.1])
SHAPES = [(covariance, weights) for covariance in COMPONENTS for weights in WEIGHTS]


def family_and_factors(covariance: str, weights: str, seed: int = 0) -> tuple[VariationalPosterior, Factors]:
    """Returns a family with random priors, and random factors as arrays."""
    (of_components, components), (of_weights, q) = random_components(covariance, seed=seed), random_weights(weights)
    return VariationalPosterior(of_weights, of_components, centre=CENTRE), Factors(q, components)


def as_tensors(record: Any) -> Any:
    return tf.nest.map_structure(lambda value: tf.constant(value, tf.float64), record)


def kl_and_slopes(family: VariationalPosterior, values: Values) -> tuple[float, Values]:
    """Returns the divergence at the numbers `values`, and its slopes in them."""
    tensors = as_tensors(values)
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        kl = divergences.kl(family, family.factors_of(tensors, TENSORFLOW), tf.constant(family.centre))
    assert kl.dtype == tf.float64 and kl.shape == ()
    return float(kl), tape.gradient(kl, tensors, unconnected_gradients=tf.UnconnectedGradients.ZERO)


# The figures of NumPy, of which `tests/families` has the definitions


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_divergences_are_numpys(covariance: str, weights: str, seed: int) -> None:
    family, factors = family_and_factors(covariance, weights, seed)
    for centre in (CENTRE, np.zeros(D)):
        kl = divergences.kl(family, as_tensors(factors), tf.constant(centre))
        assert kl.dtype == tf.float64
        assert float(kl) == pytest.approx(float(family.kl(factors, centre)), rel=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_numpys_kl_of_the_locations_equals_that_of_tensorflow_probability(covariance: str, seed: int) -> None:
    components, posterior = random_components(covariance, seed=seed)
    priors = random_priors(covariance, seed=seed)
    if covariance in ("full", "tied"):
        q = tfd.MultivariateNormalTriL(posterior.locs, posterior.loc_cholesky)
        prior = tfd.MultivariateNormalTriL(priors.loc_mean - CENTRE, np.linalg.cholesky(priors.loc_covariance))
    else:
        q = tfd.Normal(posterior.locs, posterior.scales)
        prior = tfd.Normal(priors.loc_mean - CENTRE, np.array(priors.loc_scale))
    expected = float(tf.reduce_sum(tfd.kl_divergence(q, prior)))
    assert float(components.kl_locs(posterior, CENTRE)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covariance", ["spherical", "diag", "tied_spherical", "tied_diag"])
def test_numpys_kl_of_the_precisions_equals_that_of_tensorflow_probability(covariance: str, seed: int) -> None:
    """A shared precision counts once. There is none for the Wishart."""
    components, posterior = random_components(covariance, seed=seed)
    priors = random_priors(covariance, seed=seed)
    prior = tfd.Gamma(np.array(priors.precision_shape), np.array(priors.precision_rate))
    expected = float(tf.reduce_sum(tfd.kl_divergence(tfd.Gamma(posterior.alpha, posterior.beta), prior)))
    assert float(components.kl_precisions(posterior)) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("counts", "prior"),
    [
        ([3.0, 4.0], 2.0),
        ([0.05, 1.0, 300.0], 1.0),
        ([5.0, 2.0, 9.0, 0.7], (0.5, 1.0, 2.0, 3.0)),
        ([0.01] * 20, 0.3),
    ],
)
def test_numpys_kl_of_dirichlets_equals_that_of_tensorflow_probability(counts: list[float], prior: Any) -> None:
    prior_counts = np.broadcast_to(np.float64(prior), (len(counts),))
    expected = float(tfd.kl_divergence(tfd.Dirichlet(np.array(counts)), tfd.Dirichlet(prior_counts)))
    weights = DirichletWeights(len(counts), Priors(weight_concentration=prior))
    assert float(weights.kl(DirichletPosterior(np.array(counts)))) == pytest.approx(expected, rel=1e-12, abs=1e-13)


@pytest.mark.parametrize("gamma", [0.3, 1.0, 4.5])
@pytest.mark.parametrize("sticks", [[[2.0, 3.0]], [[0.4, 7.0], [30.0, 0.9], [5.0, 5.0]]])
def test_numpys_kl_of_sticks_equals_that_of_betas_in_tensorflow_probability(
    sticks: list[list[float]], gamma: float
) -> None:
    q = StickPosterior(np.array(sticks))
    betas = tfd.Beta(*q.sticks.T), tfd.Beta(np.float64(1.0), np.float64(gamma))
    weights = WEIGHTS["stick_breaking"](len(sticks) + 1, Priors(stick_concentration=gamma))
    assert float(weights.kl(q)) == pytest.approx(float(tf.reduce_sum(tfd.kl_divergence(*betas))), rel=1e-12)


# Where terms cancel, and at the ends


def with_weights(weights: Any, q: Any) -> tuple[VariationalPosterior, Factors]:
    """Returns weights beside one component in one column that stands at its prior: its divergence is 0."""
    components = COMPONENTS["diag"](1, 1, Priors())
    at_prior = type(components.random_start(np.random.default_rng(0)))(
        *np.reshape([0.0, 1.0, 5.0, 5.0], (4, 1, 1))  # the default priors
    )
    return VariationalPosterior(weights, components), Factors(q, at_prior)


@pytest.mark.parametrize("counts", [[1e7, 2.3e7, 9.7e6], [1e7] * 3, [3e9, 2.0, 2.0], [1e-9, 1e-9, 1e9]])
def test_divergences_of_dirichlets_survive_counts_of_millions(counts: list[float]) -> None:
    """NumPy's are checked against many digits in `tests/families/test_weights.py`."""
    family, factors = with_weights(DirichletWeights(3, Priors()), DirichletPosterior(np.array(counts)))
    kl, slopes = kl_and_slopes(family, family.values_of(factors))
    assert kl == pytest.approx(float(family.kl(factors)), rel=1e-6)
    assert np.isfinite(slopes.weights[0]).all()


@pytest.mark.parametrize("stick", [[3e6, 7e6], [1e-9, 1e-9], [1e9, 1e-9], [1.0, 3e7]])
def test_divergences_of_sticks_survive_counts_of_millions(stick: list[float]) -> None:
    weights = WEIGHTS["stick_breaking"](2, Priors())
    family, factors = with_weights(weights, StickPosterior(np.array([stick])))
    kl, slopes = kl_and_slopes(family, family.values_of(factors))
    assert kl == pytest.approx(float(family.kl(factors)), rel=1e-6)
    assert np.isfinite(slopes.weights[0]).all()


@pytest.mark.parametrize("kind", WEIGHTS)
def test_one_component_has_no_divergence_of_its_weight_and_no_slope(kind: str) -> None:
    weights = WEIGHTS[kind](1, Priors())
    q = DirichletPosterior(np.array([7.5])) if kind == "dirichlet" else StickPosterior(np.zeros((0, 2)))
    family, factors = with_weights(weights, q)
    kl, slopes = kl_and_slopes(family, family.values_of(factors))
    assert kl == pytest.approx(0.0, abs=1e-14)
    np.testing.assert_array_equal(slopes.weights[0], 0.0)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_locations_far_from_zero_near_their_prior_keep_its_digits(covariance: str) -> None:
    """An offset of the rows and of the prior changes no divergence, also with scales that are small beside it."""
    far = np.full(D, 1e8)
    matrices = {"loc_covariance": 1e-6 * np.eye(D)} if covariance == "full" else {"loc_scale": 1e-3}
    near = COMPONENTS[covariance](K, D, Priors(**matrices))
    moved = COMPONENTS[covariance](K, D, Priors(loc_mean=far, **matrices))
    weights, q = random_weights("dirichlet")
    posterior = random_components(covariance)[1]
    posterior = posterior._replace(locs=np.round(posterior.locs * 1024) / 1024)  # exact beside 1e8
    found = [
        float(divergences.kl(VariationalPosterior(weights, components), as_tensors(Factors(q, at)), np.zeros(D)))
        for components, at in ((near, posterior), (moved, posterior._replace(locs=posterior.locs + far)))
    ]
    assert found[1] == pytest.approx(found[0], rel=1e-12)
    centred = divergences.kl(VariationalPosterior(weights, moved), as_tensors(Factors(q, posterior)), tf.constant(far))
    assert float(centred) == pytest.approx(found[0], rel=1e-12)


# Gradients


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_gradients_are_the_slopes_of_numpys_divergences(covariance: str, weights: str) -> None:
    """Central differences in every number behind q, except those above a diagonal, which nothing looks at."""
    family, factors = family_and_factors(covariance, weights)
    values = family.values_of(factors)
    kl, slopes = kl_and_slopes(family, values)
    assert kl == pytest.approx(float(family.kl(factors)), rel=1e-12)
    for number, (value, slope) in enumerate(zip(values.flat, slopes.flat)):
        expected, step = np.zeros(value.shape), 1e-5
        for place in np.ndindex(value.shape):
            ends = []
            for side in (step, -step):
                moved = [np.array(other) for other in values.flat]
                moved[number][place] += side
                count = len(values.components)
                at = Values(tuple(moved[:count]), tuple(moved[count:]))
                ends.append(float(family.kl(family.factors_of(at))))
            expected[place] = (ends[0] - ends[1]) / (2 * step)
        np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-7 * max(1.0, kl))


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_divergence_is_zero_with_no_slope_at_the_prior(covariance: str) -> None:
    family, factors = family_and_factors(covariance, "dirichlet")
    components, products = family.components, num_products(FORMS[family.form].write_products, D)
    nothing = Statistics(np.zeros(K), np.zeros((K, D)), np.zeros((K, products)))
    at_prior = components.update(factors.components, nothing, CENTRE)
    prior_weights = DirichletPosterior(np.array(family.weights.prior_counts))
    kl, slopes = kl_and_slopes(family, family.values_of(Factors(prior_weights, at_prior)))
    assert kl == pytest.approx(0.0, abs=1e-12)
    for slope in slopes.flat:
        np.testing.assert_allclose(slope, 0.0, atol=1e-12)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_at_their_prior_have_no_divergence_and_no_slope(kind: str) -> None:
    weights = WEIGHTS[kind](3, Priors(weight_concentration=(2.0, 0.3, 50.0), stick_concentration=0.7))
    family, factors = with_weights(weights, weights.random_start(np.random.default_rng(0)))
    kl, slopes = kl_and_slopes(family, family.values_of(factors))
    assert kl == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(slopes.weights[0], 0.0, atol=1e-12)


def test_weights_elsewhere_have_a_slope_in_every_number() -> None:
    family, factors = with_weights(DirichletWeights(2, Priors()), DirichletPosterior(np.array([3.0, 5.0])))
    _, slopes = kl_and_slopes(family, family.values_of(factors))
    assert (np.abs(slopes.weights[0]) > 1e-3).all()
    for kind in WEIGHTS:
        family, factors = family_and_factors("diag", kind)
        _, slopes = kl_and_slopes(family, family.values_of(factors))
        assert (np.abs(slopes.weights[0]) > 1e-6).all()
