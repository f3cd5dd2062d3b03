"""Importance ratios: log q - log prior against SciPy and the KL divergences, the whole against a closed form."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import random_components, random_weights
from scipy import stats
from scipy.special import logsumexp

import tfgmm
from tfgmm.families.drawing import log_gamma_draws
from tfgmm.families.exact import target
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS

CENTRE = np.array([0.3, -0.2, 1.0, 0.0])
NUM_DRAWS = 4_000


def drawn_components(components, posterior, num_draws=NUM_DRAWS):
    generator = np.random.default_rng(5)
    log_gammas = log_gamma_draws(components.gamma_shapes(posterior), [num_draws], generator)
    return components.draws(posterior, log_gammas, generator)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_mean_ratio_of_components_is_their_kl_divergence(covariance):
    components, posterior = random_components(covariance)
    ratios = components.log_ratios(posterior, drawn_components(components, posterior), CENTRE)
    kl = float(components.kl(posterior, CENTRE))
    assert ratios.shape == (NUM_DRAWS,)
    assert abs(ratios.mean() - kl) < 4 * ratios.std() / np.sqrt(NUM_DRAWS)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_the_mean_ratio_of_weights_is_their_kl_divergence(kind):
    weights, posterior = random_weights(kind)
    log_gammas = log_gamma_draws(weights.gamma_shapes(posterior), [NUM_DRAWS], np.random.default_rng(5))
    ratios = weights.log_ratios(posterior, weights.log_draws(log_gammas))
    assert abs(ratios.mean() - float(weights.kl(posterior))) < 4 * ratios.std() / np.sqrt(NUM_DRAWS)


def test_each_ratio_of_independent_components_is_scipys():
    components, posterior = random_components("diag")
    drawn = drawn_components(components, posterior, 3)
    locs, precisions = drawn.locs, np.exp(drawn.log_precisions)
    expected = stats.norm.logpdf(locs, posterior.locs, posterior.scales)
    expected -= stats.norm.logpdf(locs, components.loc_mean - CENTRE, components.loc_scale)
    expected += stats.gamma.logpdf(precisions, posterior.alpha, scale=1 / posterior.beta)
    expected -= stats.gamma.logpdf(precisions, components.precision_shape, scale=1 / components.precision_rate)
    found = components.log_ratios(posterior, drawn, CENTRE)
    np.testing.assert_allclose(found, expected.sum(axis=(1, 2)), rtol=1e-10)


def test_each_ratio_of_correlated_components_is_scipys():
    components, posterior = random_components("full")
    drawn = drawn_components(components, posterior, 3)
    locs = drawn.locs
    matrices = np.einsum("skij,skil->skjl", drawn.whiteners, drawn.whiteners)
    expected = np.zeros(3)
    roots, loc_roots = posterior.scale_cholesky, posterior.loc_cholesky
    for s, k in np.ndindex(3, 3):
        scale = np.linalg.inv(roots[k] @ roots[k].T)
        covariance = loc_roots[k] @ loc_roots[k].T
        expected[s] += stats.multivariate_normal(posterior.locs[k], covariance).logpdf(locs[s, k])
        prior_covariance = components.prior_loc_cholesky @ components.prior_loc_cholesky.T
        expected[s] -= stats.multivariate_normal(components.loc_mean - CENTRE, prior_covariance).logpdf(locs[s, k])
        expected[s] += stats.wishart(float(posterior.degrees[k]), scale).logpdf(matrices[s, k])
        prior_scale = np.linalg.inv(components.prior_inverse_scale)
        expected[s] -= stats.wishart(components.prior_degrees, prior_scale).logpdf(matrices[s, k])
    found = components.log_ratios(posterior, drawn, CENTRE)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_ratios_of_a_fitted_model_are_scipys_joint_density_over_q(monkeypatch):
    monkeypatch.setattr(target, "_AT_A_TIME", 2)  # three groups
    monkeypatch.setattr(target, "_FEWEST_AT_A_TIME", 2)
    rng = np.random.default_rng(0)
    rows = np.concatenate([rng.normal(0, 1, (60, 1)), rng.normal(6, 2, (90, 1))]) + 1e4
    priors = tfgmm.Priors(1e4 + 3.0, 5.0, 1.3, 0.8, weight_concentration=1.2)  # of priors that learn: learned_scales
    model = tfgmm.fit_mixture(rows, 2, restarts=2, priors=priors).model
    draws = model.draws(5, seed=1, data=rows)
    centre = model.centre
    for s, ratio in enumerate(draws.sample_stats["log_importance_ratio"][0]):
        weights, locs, scales = draws.weights[0, s], draws.locs[0, s, :, 0], draws.scales[0, s, :, 0]
        of_rows = logsumexp(np.log(weights) + stats.norm.logpdf(rows, locs, scales), axis=1).sum()
        log_prior = stats.dirichlet.logpdf(weights, np.full(2, priors.weight_concentration))
        log_prior += stats.norm.logpdf(locs, priors.loc_mean, priors.loc_scale).sum()
        log_prior += stats.gamma.logpdf(scales**-2, priors.precision_shape, scale=1 / priors.precision_rate).sum()
        log_q = stats.dirichlet.logpdf(weights, model.counts.numpy())
        log_q += stats.norm.logpdf(locs, model.locs.numpy()[:, 0], model.scales.numpy()[:, 0]).sum()
        log_q += stats.gamma.logpdf(scales**-2, model.alpha.numpy()[:, 0], scale=1 / model.beta.numpy()[:, 0]).sum()
        # Locations are drawn in float32 about the centre
        assert ratio == pytest.approx(of_rows + log_prior - log_q, abs=1e-2)
    assert centre[0] > 9e3


def test_importance_weighted_draws_have_the_evidence_for_one_component():
    """For K=1 with a known precision q is exact, and every ratio is the log evidence."""
    rows = np.random.default_rng(1).normal(2.0, 1.0, (40, 1))
    priors = tfgmm.Priors(0.0, 3.0, precision_shape=1e7, precision_rate=1e7)
    model = tfgmm.GaussianMixtureModel(1, 1, priors=priors)
    model.compile()
    model.fit(rows, epochs=5, verbose=0)
    ratios = model.draws(20, seed=0, data=rows).sample_stats["log_importance_ratio"]
    covariance = np.eye(40) + 9.0
    evidence = stats.multivariate_normal(np.zeros(40), covariance).logpdf(rows[:, 0])
    np.testing.assert_allclose(ratios, evidence, atol=1e-3)


def test_rows_of_any_kind_give_the_same_ratios():
    rows = np.random.default_rng(2).normal(np.repeat([[-3.0, 0.0], [3.0, 1.0]], 150, axis=0), 1.0)
    model = tfgmm.fit_mixture(rows, 2, restarts=1, covariance="full", weights="stick_breaking").model
    whole = model.draws(4, seed=3, data=rows).sample_stats["log_importance_ratio"]
    pieces = tf.data.Dataset.from_tensor_slices(rows).batch(70)
    np.testing.assert_allclose(
        model.draws(4, seed=3, data=pieces).sample_stats["log_importance_ratio"], whole, rtol=1e-9
    )
    assert "log_importance_ratio" not in model.draws(4, seed=3).sample_stats


def test_other_rows_than_those_fitted_are_refused():
    rows = np.random.default_rng(2).normal(size=(300, 2))
    model = tfgmm.fit_mixture(rows, 2, restarts=1).model
    with pytest.raises(
        ValueError, match="`data` must be the rows that the model was fitted to, 300. Received: 30 rows"
    ):
        model.draws(3, data=rows[::10])
    with pytest.raises(ValueError, match="none so far. Received: 300 rows"):
        tfgmm.GaussianMixtureModel(2, 2).draws(3, data=rows)
