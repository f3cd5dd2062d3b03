"""The marginalised mixture of the NumPyro companion: its density, its model, and priors that do not fit."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from numpyro import distributions as dist
from numpyro.infer.util import log_density
from scipy import stats
from scipy.special import logsumexp

from tfgmm.companions.numpyro_mixture import MarginalMixture, mixture_model
from tfgmm.companions.numpyro_mixture.mode import Target

RNG = np.random.default_rng(0)
WEIGHTS = np.array([0.2, 0.5, 0.3])
LOCS = RNG.normal(0.0, 3.0, (3, 2))
SCALES = np.exp(RNG.normal(0.0, 0.5, (3, 2)))
FACTORS = np.tril(RNG.normal(0.0, 0.5, (3, 2, 2)), -1) + SCALES[..., None] * np.eye(2)
ROWS = RNG.normal(0.0, 3.0, (40, 2))
CASES = {"diag": None, "full": FACTORS}


def covariances(scale_tril):
    return np.square(SCALES)[..., None] * np.eye(2) if scale_tril is None else scale_tril @ scale_tril.swapaxes(1, 2)


def log_likelihoods(rows, weights, locs, matrices):
    """The log density of each row, (N,), by SciPy."""
    joints = [np.log(w) + stats.multivariate_normal(m, c).logpdf(rows) for w, m, c in zip(weights, locs, matrices)]
    return logsumexp(joints, axis=0)


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("case", CASES)
def test_the_density_is_that_of_scipy_and_of_numpyro(case):
    mixture = MarginalMixture(WEIGHTS, LOCS, SCALES, CASES[case])
    expected = log_likelihoods(ROWS, WEIGHTS, LOCS, covariances(CASES[case]))
    log_prob = jax.jit(mixture.log_prob)
    np.testing.assert_allclose(log_prob(ROWS), expected, rtol=1e-12)
    np.testing.assert_allclose(log_prob(ROWS[0]), expected[0], rtol=1e-12)
    np.testing.assert_allclose(log_prob(ROWS.reshape(8, 5, 2)), expected.reshape(8, 5), rtol=1e-12)
    same = dist.MixtureSameFamily(dist.Categorical(probs=WEIGHTS), mixture.component_distribution)
    np.testing.assert_allclose(log_prob(ROWS), jax.jit(same.log_prob)(ROWS), rtol=1e-12)


def test_the_density_is_that_of_tensorflow_probability():
    import tensorflow_probability as tfp

    for factors in CASES.values():
        components = (
            tfp.distributions.MultivariateNormalDiag(LOCS, SCALES)
            if factors is None
            else tfp.distributions.MultivariateNormalTriL(LOCS, factors)
        )
        theirs = tfp.distributions.MixtureSameFamily(tfp.distributions.Categorical(probs=WEIGHTS), components)
        ours = jax.jit(MarginalMixture(WEIGHTS, LOCS, SCALES, factors).log_prob)(ROWS)
        np.testing.assert_allclose(ours, theirs.log_prob(ROWS).numpy(), rtol=1e-12)


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_differences_of_the_density(case):
    def total(logits, locs, scales):
        factors = None if CASES[case] is None else scales[..., None] * np.tril(np.ones((2, 2)))
        return MarginalMixture(jax.nn.softmax(logits), locs, scales, factors).log_prob(ROWS).sum()

    at, value = (np.log(WEIGHTS), LOCS, SCALES), jax.jit(total)
    for place, found in enumerate(jax.jit(jax.grad(total, argnums=(0, 1, 2)))(*at)):
        for index in np.ndindex(found.shape):
            step = np.zeros(found.shape)
            step[index] = 1e-6
            ahead, behind = (value(*at[:place], at[place] + sign * step, *at[place + 1 :]) for sign in (1, -1))
            assert float(found[index]) == pytest.approx(float(ahead - behind) / 2e-6, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_component_of_weight_zero_takes_no_part(case):
    def total(weights, locs, scales):
        return MarginalMixture(weights, locs, scales, CASES[case]).log_prob(ROWS).sum()

    weights = np.array([0.0, 0.4, 0.6])
    gradients = jax.jit(jax.grad(total, argnums=(0, 1, 2)))(weights, LOCS, SCALES)
    assert all(np.isfinite(gradient).all() for gradient in gradients)
    np.testing.assert_array_equal(gradients[1][0], 0.0)
    factors = None if CASES[case] is None else FACTORS[1:]
    without = MarginalMixture(weights[1:], LOCS[1:], SCALES[1:], factors).log_prob(ROWS)
    np.testing.assert_allclose(total(weights, LOCS, SCALES), without.sum(), rtol=1e-12)


def test_rows_far_from_all_components_have_a_density():
    far = MarginalMixture(WEIGHTS, LOCS, SCALES).log_prob(np.full((1, 2), 1e4))
    assert np.isfinite(far).all() and far[0] < -1e6


def test_samples_have_the_moments_of_the_mixture():
    mixture = MarginalMixture(WEIGHTS, LOCS, SCALES)
    rows = np.asarray(mixture.sample(jax.random.key(0), (20_000,)))
    error = np.sqrt(np.asarray(mixture.variance) / len(rows))
    assert (np.abs(rows.mean(axis=0) - WEIGHTS @ LOCS) < 4 * error).all()


@pytest.mark.parametrize("arguments", [{}, {"ordered": True}, {"covariance": "full", "correlation_concentration": 2.0}])
def test_the_models_density_is_priors_times_likelihood(arguments):
    order = np.argsort(LOCS[:, 0]) if arguments.get("ordered") else np.arange(3)
    locs, scales = LOCS[order], SCALES[order]
    model = mixture_model(3, 2, **arguments)
    values = model.values(WEIGHTS, locs, scales)
    expected = stats.dirichlet.logpdf(WEIGHTS, np.ones(3))
    expected += stats.norm.logpdf(locs, 0, 10).sum() + stats.halfcauchy.logpdf(scales, scale=10).sum()
    factors = scales[..., None] * np.eye(2)
    if "covariance" in arguments:
        correlation = np.array([0.3, -0.6, 0.0])
        beta = 2.0  # in two dimensions (1 + correlation) / 2 ~ Beta(concentration, concentration)
        expected += np.sum(stats.beta.logpdf((1 + correlation) / 2, beta, beta) - np.log(2))
        # LKJCholesky is over the factor, whose one free entry is the correlation itself
        rows = [[[1, 0], [r, np.sqrt(1 - r * r)]] for r in correlation]
        values["correlations"] = np.array(rows)
        factors = scales[..., None] * values["correlations"]
    expected += log_likelihoods(ROWS, WEIGHTS, locs, factors @ factors.swapaxes(1, 2)).sum()
    found, _ = log_density(model, (ROWS,), {}, values)
    assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("arguments", [{}, {"ordered": True}, {"covariance": "full"}])
def test_coordinates_come_back(arguments):
    model = mixture_model(3, 2, **arguments)
    target = Target(model, jnp.asarray(ROWS))
    vector = np.random.default_rng(1).normal(size=target.num_coordinates)
    values = model.constrained(target.split(jnp.asarray(vector)))
    # compiled, because JAX then sorts the sites by name
    np.testing.assert_allclose(target.joined(target.unconstrained(values)), vector, rtol=1e-8)
    weights, locs, scales, scale_tril = model.parameters(values)
    assert (weights.shape, locs.shape, scales.shape) == ((3,), (3, 2), (3, 2))
    if "ordered" in arguments:
        assert (np.diff(locs[:, 0]) > 0).all()
    if "covariance" in arguments:
        np.testing.assert_allclose(np.sqrt(np.einsum("kde,kde->kd", scale_tril, scale_tril)), scales)


def test_the_model_draws_rows_from_its_prior():
    with numpyro.handlers.seed(rng_seed=0):
        assert mixture_model(3, 2)(num_data=7).shape == (7, 2)


SHAPES = {
    "one": (dist.Normal(0.0, 1.0), 2, True),
    "per column": (dist.Normal(np.zeros(2), 1.0), 2, True),
    "per component": (dist.Normal(np.zeros((3, 1)), 1.0), 2, True),
    "each": (dist.Normal(np.zeros((3, 2)), 1.0), 2, True),
    "vector": (dist.MultivariateNormal(np.zeros(2), np.eye(2)), 2, True),
    "vectors": (dist.Normal(np.zeros((3, 2)), 1.0).to_event(1), 2, True),
    "per component of one column": (dist.Normal(np.zeros(3), 1.0), 1, True),
    "one column, each": (dist.Normal(np.zeros((3, 1)), 1.0), 1, True),
    "wrong": (dist.Normal(np.zeros(4), 1.0), 2, False),
    "wrong event": (dist.Normal(np.zeros((3, 2)), 1.0).to_event(2), 2, False),
    "per component of two columns": (dist.Normal(np.zeros(3), 1.0), 2, False),
}


@pytest.mark.parametrize("case", SHAPES)
def test_shapes_of_priors(case):
    prior, num_features, fits = SHAPES[case]
    if not fits:
        with pytest.raises(ValueError, match=r"`loc_prior` must have event shape \(\) and .* \(3, 2\), or event shape"):
            mixture_model(3, num_features, loc_prior=prior)
        return
    for ordered in (False, True):
        model = mixture_model(3, num_features, loc_prior=prior, ordered=ordered)
        order = np.argsort(LOCS[:, 0])
        locs, scales = LOCS[order, :num_features], SCALES[:, :num_features]
        values = model.values(WEIGHTS, locs, scales)
        found = log_density(model, (ROWS[:, :num_features],), {}, values)[0]
        matrices = np.square(scales)[..., None] * np.eye(num_features)
        expected = stats.norm.logpdf(locs).sum() + stats.halfcauchy.logpdf(scales, scale=10).sum()
        expected += log_likelihoods(ROWS[:, :num_features], WEIGHTS, locs, matrices).sum() + np.log(2.0)
        assert float(found) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"num_components": 0}, ValueError, "`num_components` must be a whole number of at least 1"),
        ({"num_features": 0}, ValueError, "`num_features` must be a whole number of at least 1"),
        ({"covariance": "tied"}, ValueError, "`covariance` must be one of 'diag', 'full'. Received: 'tied'"),
        ({"ordered": "yes"}, ValueError, "`ordered` must be True or False"),
        ({"correlation_concentration": 0.0}, ValueError, "`correlation_concentration` must be positive"),
        ({"weight_prior": 0.5}, TypeError, "`weight_prior` must be a NumPyro distribution. Received: float"),
        ({"weight_prior": dist.Dirichlet(np.ones(3))}, ValueError, r"`weight_prior` must have event shape \(2,\)"),
        ({"weight_prior": dist.Normal(0, np.ones(2)).to_event(1)}, ValueError, "`weight_prior` .* over the simplex"),
        ({"scale_prior": dist.Normal(0.0, 1.0)}, ValueError, "`scale_prior` must be continuous and over positive"),
        ({"loc_prior": dist.Poisson(3.0)}, ValueError, "`loc_prior` must be continuous and over numbers"),
        ({"loc_prior": dist.Normal(np.zeros(3), 1.0)}, ValueError, r"`loc_prior` .* to \(2, 1\) or \(2,\), or event"),
        ({"loc_prior": dist.HalfNormal(1.0), "ordered": True}, ValueError, "`loc_prior` must be over all numbers"),
    ],
)
def test_bad_arguments_are_named(arguments, error, words):
    with pytest.raises(error, match=words):
        mixture_model(**{"num_components": 2, **arguments})
