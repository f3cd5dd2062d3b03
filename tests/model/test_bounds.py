"""The marginal bound: TensorFlow Probability's likelihood, a bound on a log evidence known by quadrature, unbiased."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from assigned import assign_components, assign_weights
from scipy import integrate, special, stats

from tfgmm import GaussianMixtureModel, Priors
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.weights import DirichletPosterior
from tfgmm.model.gradients.independent import IndependentDraws
from tfgmm.model.gradients.trained import Drawn

# Three rows in one column, small enough to sum over all 2^3 assignments.
THREE_ROWS = np.array([-0.9, 0.2, 1.6])
PRIORS = Priors(0.1, 1.5**0.5, 1.5, 0.4, 1.5)
TRAINED = GaussianMixtureModel(3, 2).variational.trained
LOG_EVIDENCE = -5.66422552  # made independently of this package; checked by quadrature below


def model_at(posterior, counts, num_draws, priors=PRIORS, seed=0):
    """Returns a model whose posterior is the one given, (K, D) arrays, measured from the origin."""
    arrays = [np.asarray(array, np.float64) for array in posterior]
    model = GaussianMixtureModel(*arrays[0].shape, priors=priors, seed=seed, num_draws=num_draws)
    assign_components(model, IndependentPosterior(*arrays))
    assign_weights(model, DirichletPosterior(np.asarray(counts, np.float64)))
    return model


def bound(model, rows, seed):
    log_likelihoods, kl = model.bound_terms(tf.constant(np.reshape(rows, (len(rows), -1)), tf.float32), (seed, 0))
    return float(tf.reduce_sum(tf.cast(log_likelihoods, tf.float64)) - kl)


def random_draws(sample_shape, num_components=3, num_features=2):
    """Returns log weights and component parameters, float64 NumPy, and the same as the package takes them."""
    generator = np.random.default_rng(8)
    weights = generator.dirichlet([2.0] * num_components, sample_shape)
    locs = generator.normal(0, 2, (*sample_shape, num_components, num_features))
    precisions = generator.gamma(3.0, 1.0, locs.shape)
    base = locs.astype(np.float32)
    drawn = IndependentDraws(*(tf.constant(value, tf.float32) for value in (base, locs - base, np.log(precisions))))
    return weights, locs, precisions, tf.constant(np.log(weights), tf.float32), drawn


def mixture_log_prob(weights, locs, precisions, rows):
    distributions = tfp.distributions
    mixture = distributions.MixtureSameFamily(
        distributions.Categorical(logits=np.log(weights)),
        distributions.MultivariateNormalDiag(locs, precisions**-0.5),
    )
    return mixture.log_prob(rows).numpy()


# The likelihood part


def test_draws_per_row_give_the_log_prob_of_an_independent_mixture():
    rows = np.random.default_rng(0).normal(0, 2, (11, 2)).astype(np.float32)
    weights, locs, precisions, log_weights, drawn = random_draws((11,))
    expected = mixture_log_prob(weights, locs, precisions, rows.astype(np.float64))
    actual = TRAINED.log_likelihoods(tf.constant(rows), Drawn(log_weights, drawn))
    assert actual.shape == (11,) and actual.dtype == tf.float32
    np.testing.assert_allclose(actual, expected, rtol=2e-6, atol=2e-6)


def test_draws_shared_by_the_batch_are_averaged():
    rows = np.random.default_rng(0).normal(0, 2, (11, 2)).astype(np.float32)
    weights, locs, precisions, log_weights, drawn = random_draws((4, 1))
    per_draw = [
        mixture_log_prob(weights[s, 0], locs[s, 0], precisions[s, 0], rows.astype(np.float64)) for s in range(4)
    ]
    actual = TRAINED.log_likelihoods(tf.constant(rows), Drawn(log_weights, drawn))
    np.testing.assert_allclose(actual, np.mean(per_draw, axis=0), rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("sample_shape", "joint_shape"), [((), (5, 3)), ((5,), (5, 3)), ((4, 1), (4, 5, 3))])
def test_log_joint_has_the_documented_axes(sample_shape, joint_shape):
    *_, log_weights, drawn = random_draws(sample_shape)
    assert TRAINED.log_joints(tf.zeros((5, 2)), Drawn(log_weights, drawn)).shape == joint_shape


def test_kl_to_prior_is_the_sum_of_three_divergences_of_tensorflow_probability():
    generator = np.random.default_rng(2)
    locs, scales, alpha, beta = generator.normal(size=(3, 2)), *generator.uniform(0.3, 5.0, (3, 3, 2))
    counts = np.array([2.0, 7.0, 0.4])
    priors = Priors((0.3, -1.0), 2.0, 1.5, (0.4, 3.0), (1.5, 2.0, 0.7))
    model = model_at((locs, scales, alpha, beta), counts, None, priors)
    normal, gamma, dirichlet = (getattr(tfp.distributions, name) for name in ("Normal", "Gamma", "Dirichlet"))
    pairs = [
        (normal(locs, scales), normal(np.array(priors.loc_mean), np.float64(2.0))),
        (gamma(alpha, beta), gamma(np.float64(1.5), np.array(priors.precision_rate))),
        (dirichlet(counts), dirichlet(np.array(priors.weight_concentration))),
    ]
    expected = sum(np.sum(tfp.distributions.kl_divergence(*pair)) for pair in pairs)
    kl = model.variational.kl()
    assert kl.dtype == tf.float64 and float(kl) == pytest.approx(expected, rel=1e-12)


# The bound against a known evidence


def log_evidence_by_quadrature(rows, priors, num_components):
    """Returns log p(rows): sums over every assignment; tau is integrated in closed form, mu by quadrature."""
    m0, s0, a0, b0, c0 = priors.loc_mean, priors.loc_scale, priors.precision_shape, priors.precision_rate, 1.5

    def cluster(members):
        n = len(members)

        def integrand(mu):
            log_tau = special.gammaln(a0 + n / 2) - special.gammaln(a0) + a0 * np.log(b0) - n / 2 * np.log(2 * np.pi)
            log_tau -= (a0 + n / 2) * np.log(b0 + 0.5 * np.sum((members - mu) ** 2))
            return np.exp(log_tau) * stats.norm.pdf(mu, m0, s0)

        return integrate.quad(integrand, -15, 15, limit=200, epsabs=1e-13)[0]

    total = 0.0
    for assignment in itertools.product(range(num_components), repeat=len(rows)):
        sizes = np.bincount(assignment, minlength=num_components)
        log_prior = special.gammaln(num_components * c0) - special.gammaln(num_components * c0 + len(rows))
        log_prior += np.sum(special.gammaln(c0 + sizes) - special.gammaln(c0))
        groups = [rows[np.array(assignment) == k] for k in range(num_components)]
        total += np.exp(log_prior) * np.prod([cluster(group) for group in groups])
    return np.log(total)


@functools.cache
def best_augmented_posterior():
    """Returns (locs, scales, alpha, beta), counts and the augmented bound at its best, by coordinate ascent in NumPy.

    Bishop 2006, section 10.2, with independent Normal and Gamma priors, for one column and the three rows.
    """
    m0, s0, a0, b0, c0 = 0.1, 1.5**0.5, 1.5, 0.4, 1.5
    best = (None, None, -np.inf)
    for seed in range(4):
        generator = np.random.default_rng(seed)
        locs, scales, alpha, beta = generator.choice(THREE_ROWS, 2), np.full(2, 0.3), np.full(2, 2.0), np.full(2, 1.0)
        counts = np.full(2, 3.0)
        for _ in range(1000):
            log_weights = special.digamma(counts) - special.digamma(counts.sum())
            squares = (THREE_ROWS[:, None] - locs) ** 2 + scales**2
            log_tau, tau = special.digamma(alpha) - np.log(beta), alpha / beta
            rho = log_weights + 0.5 * (log_tau - np.log(2 * np.pi) - tau * squares)
            share = special.softmax(rho, axis=1)
            n, first, second = share.sum(0), share.T @ THREE_ROWS, share.T @ THREE_ROWS**2
            now = (locs, scales, alpha, beta), counts, special.logsumexp(rho, axis=1).sum()
            counts = c0 + n
            scales = (1 / s0**2 + tau * n) ** -0.5
            locs = scales**2 * (m0 / s0**2 + tau * first)
            alpha = a0 + n / 2
            beta = b0 + 0.5 * (second - 2 * locs * first + n * (locs**2 + scales**2))
        (locs, scales, alpha, beta), counts, likelihood = now
        kl = (np.log(s0 / scales) + (scales**2 + (locs - m0) ** 2) / (2 * s0**2) - 0.5).sum()
        kl += (stats_gamma_kl(alpha, beta, a0, b0)).sum() + stats_dirichlet_kl(counts, np.full(2, c0))
        if likelihood - kl > best[2]:
            best = tuple(value[:, None] for value in now[0]), counts, likelihood - kl
    return best


def stats_gamma_kl(alpha, beta, a0, b0):
    """Returns the KL as minus entropy minus expected log prior, entropies by scipy."""
    entropy = stats.gamma(alpha, scale=1 / beta).entropy()
    expected_log = special.digamma(alpha) - np.log(beta)
    return -entropy - (a0 * np.log(b0) - special.gammaln(a0) + (a0 - 1) * expected_log - b0 * alpha / beta)


def stats_dirichlet_kl(counts, prior):
    expected_log = special.digamma(counts) - special.digamma(counts.sum())
    log_constant = special.gammaln(prior.sum()) - special.gammaln(prior).sum()
    return -stats.dirichlet(counts).entropy() - log_constant - np.sum((prior - 1) * expected_log)


def test_the_log_evidence_of_three_rows_is_the_known_number():
    assert log_evidence_by_quadrature(THREE_ROWS, PRIORS, 2) == pytest.approx(LOG_EVIDENCE, abs=1e-7)


def test_bound_at_the_best_augmented_posterior_is_the_known_number():
    """-6.756 was made independently, to 0.006; it lies between the augmented bound -7.38046367 and the evidence."""
    posterior, counts, augmented = best_augmented_posterior()
    assert augmented == pytest.approx(-7.38046367, abs=1e-7)
    model = model_at(posterior, counts, num_draws=2000)
    values = np.array([bound(model, THREE_ROWS, seed) for seed in range(10)])
    assert abs(values.mean() - -6.756) < 0.006 + 5 * values.std(ddof=1) / np.sqrt(10)
    assert augmented < values.min() and values.max() < LOG_EVIDENCE


def test_bound_is_stable_between_seeds_and_equals_a_monte_carlo_of_numpy():
    """Averages of S = 2000 draws scatter as single draws do, divided by sqrt(S)."""
    (locs, scales, alpha, beta), counts, _ = best_augmented_posterior()
    generator, num_draws = np.random.default_rng(0), 40_000
    weights = generator.dirichlet(counts, num_draws)
    mu = generator.normal(locs[:, 0], scales[:, 0], (num_draws, 2))
    sd = generator.gamma(alpha[:, 0], 1 / beta[:, 0], (num_draws, 2)) ** -0.5
    densities = [(weights * stats.norm.pdf(row, mu, sd)).sum(axis=1) for row in THREE_ROWS]
    single = np.log(densities).sum(axis=0)
    model = model_at((locs, scales, alpha, beta), counts, num_draws=2000)
    kl = float(model.variational.kl())
    values = np.array([bound(model, THREE_ROWS, seed) for seed in range(8)])
    errors = single.std() * np.sqrt(1 / 2000 + 1 / num_draws)
    assert (np.abs(values + kl - single.mean()) < 5 * errors).all()
    assert 0.2 * single.std() / 2000**0.5 < values.std() < 2.5 * single.std() / 2000**0.5


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("num_draws", [None, 2000])
def test_bound_is_below_the_log_evidence_at_any_posterior(seed, num_draws):
    """Without shared draws, 1000 copies of the rows in one call have draws of their own each."""
    generator = np.random.default_rng(seed)
    posterior = generator.normal(0, 1, (2, 1)), *(generator.uniform(0.3, 4.0, (2, 1)) for _ in range(3))
    model = model_at(posterior, generator.uniform(0.5, 6.0, 2), num_draws)
    if num_draws:
        values = [bound(model, THREE_ROWS, draw) for draw in range(4)]
    else:
        log_likelihoods, kl = model.bound_terms(tf.constant(np.tile(THREE_ROWS, 1000)[:, None], tf.float32), (0, 0))
        values = log_likelihoods.numpy().reshape(1000, 3).sum(axis=1) - float(kl)
    assert np.mean(values) < LOG_EVIDENCE - 5 * np.std(values) / np.sqrt(len(values))


def test_draws_per_row_and_shared_draws_estimate_the_same_bound():
    posterior, counts, _ = best_augmented_posterior()
    per_row = [bound(model_at(posterior, counts, None), np.tile(THREE_ROWS, 1000), seed) for seed in range(4)]
    model = model_at(posterior, counts, 2000)
    kl = float(model.variational.kl())
    shared = [bound(model, THREE_ROWS, seed) + kl for seed in range(8)]
    per_row = [(value + kl) / 1000 for value in per_row]
    error = np.hypot(np.std(shared, ddof=1) / 8**0.5, np.std(per_row, ddof=1) / 4**0.5)
    assert abs(np.mean(per_row) - np.mean(shared)) < 5 * error


# Minibatches


def test_row_weighted_mean_of_batch_losses_is_the_loss_of_the_whole_data():
    rows = np.random.default_rng(5).normal(0, 2, (23, 1)).astype(np.float32)
    posterior, counts, _ = best_augmented_posterior()
    model = model_at(posterior, counts, num_draws=50)

    def loss(batch):
        log_likelihoods, kl = model.bound_terms(tf.constant(batch), (3, 0))
        return float(kl / len(rows) - tf.reduce_mean(tf.cast(log_likelihoods, tf.float64)))

    batches = [rows[start : start + 5] for start in range(0, 23, 5)]
    assert len(batches[-1]) == 3
    losses = [loss(batch) for batch in batches]
    weighted = np.average(losses, weights=[len(batch) for batch in batches])
    assert weighted == pytest.approx(loss(rows), rel=1e-6)
    assert abs(np.mean(losses) - loss(rows)) > 1e-4  # equal weights would be wrong


@pytest.mark.parametrize("num_draws", [None, 8])
def test_mean_of_random_batch_losses_is_the_loss_of_the_whole_data(num_draws):
    """Unbiased: 300 batches of 5 of 23 rows, each with draws of its own."""
    generator = np.random.default_rng(6)
    rows = generator.normal(0, 2, (23, 1)).astype(np.float32)
    posterior, counts, _ = best_augmented_posterior()
    terms = tf.function(model_at(posterior, counts, num_draws).bound_terms)
    whole = model_at(posterior, counts, 2000)
    batch_means = np.array(
        [
            np.mean(terms(tf.constant(rows[generator.choice(23, 5, replace=False)]), tf.constant([7, i]))[0])
            for i in range(300)
        ]
    )
    whole_means = np.array([np.mean(whole.bound_terms(tf.constant(rows), (8, i))[0]) for i in range(5)])
    error = np.hypot(batch_means.std(ddof=1) / 300**0.5, whole_means.std(ddof=1) / 5**0.5)
    assert abs(batch_means.mean() - whole_means.mean()) < 5 * error


def test_moving_rows_posterior_and_prior_together_does_not_change_the_bound():
    (locs, scales, alpha, beta), counts, _ = best_augmented_posterior()
    model = model_at((locs, scales, alpha, beta), counts, 100)
    moved = model_at((locs + 64.0, scales, alpha, beta), counts, 100, Priors(64.1, 1.5**0.5, 1.5, 0.4, 1.5))
    centred = model_at((locs, scales, alpha, beta), counts, 100, Priors(64.1, 1.5**0.5, 1.5, 0.4, 1.5))
    centred.stored_centre.assign([64.0])
    expected = bound(model, THREE_ROWS, 1)
    assert bound(centred, THREE_ROWS, 1) == pytest.approx(expected, abs=1e-5)
    assert bound(moved, THREE_ROWS + 64.0, 1) == pytest.approx(expected, abs=1e-3)  # rows rounded to float32 at 64
