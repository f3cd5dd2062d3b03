"""Sweeps of every shape and weight prior against an independent float64 program, and against published numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import reference_problems as problems
import tensorflow as tf
from local_steps import local_step
from reference_mixture import Mixture

import tfgmm
from tfgmm.data.sources import open_source
from tfgmm.data.survey import survey_rows
from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.variational import COMPONENTS, Factors
from tfgmm.families.weights import WEIGHTS, DirichletPosterior, StickPosterior

SHAPES = [(covariance, weights) for covariance in COMPONENTS for weights in WEIGHTS]
# Hundreds of sweeps each: the sticks of four shapes are left to `make test-all`
SLOW = {(covariance, "stick_breaking") for covariance in ("spherical", "tied_spherical", "tied_diag", "tied")}
SOME_SLOW = [pytest.param(shape, marks=[pytest.mark.slow] * (shape in SLOW), id="-".join(shape)) for shape in SHAPES]
# The figures of the design have eight decimals, and our sums of 9 rows float32 responsibilities: 1e-7 each
PRINTED = 2e-6


def public_priors(reference):
    """Returns our priors with the numbers of the reference's."""

    names = ("loc_mean", "loc_scale", "precision_shape", "precision_rate", "unit", "loc_covariance", "inverse_scale")
    given = {name: getattr(reference, name) for name in names if getattr(reference, name) is not None}
    given = {name: values if np.ndim(values) == 2 else _one_or_many(values) for name, values in given.items()}
    return tfgmm.Priors(
        **{"column_scale" if name == "unit" else name: values for name, values in given.items()},
        weight_concentration=float(reference.weight_concentration),
        stick_concentration=float(reference.gamma),
        degrees=reference.degrees,
    )


def _one_or_many(values):
    values = np.ravel(values)
    return float(values[0]) if len(set(values.tolist())) == 1 else tuple(values)


def posteriors_of(mixture, centre):
    """Returns the state of a reference mixture as our posteriors."""
    locs = mixture.locs - centre
    if mixture.is_matrix:
        loc_cholesky, scale_cholesky = (
            np.linalg.cholesky(matrices) for matrices in (mixture.loc_covariances, mixture.inverse_scales)
        )
        components = CorrelatedPosterior(locs, loc_cholesky, mixture.degrees, scale_cholesky)
    else:
        components = IndependentPosterior(locs, mixture.scales, mixture.alpha, mixture.beta)
    weights = mixture.weights == "dirichlet"
    return DirichletPosterior(mixture.counts) if weights else StickPosterior(mixture.sticks), components


def model_at(mixture, priors, rows):
    """Returns our model in the state of the reference, compiled for sweeps over `rows`."""
    model = tfgmm.GaussianMixtureModel(
        len(mixture.locs), rows.shape[1], mixture.covariance, mixture.weights, public_priors(priors), seed=0
    )
    model.compile()
    model.adapt_to(survey_rows(open_source(rows, "rows", None), None, 0).summary)
    weights, components = posteriors_of(mixture, model.centre)
    model.variational.assign(model.variational.values_of(Factors(weights, components)))
    return model


def assert_same_posterior(model, mixture, tolerance):
    ours = model.variational.factors()
    theirs = posteriors_of(mixture, model.centre)
    for our, their in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1])):
        scale = np.abs(their).max()
        np.testing.assert_allclose(our, their, rtol=tolerance, atol=tolerance * scale)


def augmented(model, rows):
    return model.evaluate(rows, verbose=0, return_dict=True)["elbo"]


@pytest.fixture(scope="module", params=SOME_SLOW)
def swept(request):
    """P2 after 400 sweeps, from the start that the design gives, with its bound per sweep."""
    covariance, weights = request.param
    model = model_at(problems.p2_start(covariance, weights), problems.P2_PRIORS, problems.P2_ROWS)
    kl = float(model.kl())
    return model, model.fit(problems.P2_ROWS, epochs=400, verbose=0).history["elbo"], kl


def test_p2_passes_through_the_published_bounds(swept):
    model, history, kl = swept
    shape = model.covariance, model.weight_prior
    start, after_one, end = problems.P2_BOUNDS[shape]
    assert history[0] == pytest.approx(start, abs=PRINTED)
    assert history[1] == pytest.approx(after_one, abs=PRINTED)
    assert augmented(model, problems.P2_ROWS) == pytest.approx(end, abs=PRINTED)
    parts = problems.P2_KL_LOCS[shape[0]], problems.P2_KL_PRECISIONS[shape[0]], problems.P2_KL_WEIGHTS[shape[1]]
    assert kl == pytest.approx(sum(parts), abs=3e-8)


def test_p2_ends_at_the_published_posterior(swept):
    model, _, _ = swept
    if model.weight_prior != "dirichlet":
        pytest.skip("published for Dirichlet weights only")
    plug_in, loc, count = problems.P2_ENDS[model.covariance]
    # 400 sweeps: the farthest of the slow directions still moves by 1e-6
    assert float(np.sum(model.log_prob(problems.P2_ROWS), dtype=np.float64)) == pytest.approx(plug_in, abs=2e-5)
    assert float(model.locs[0, 0]) == pytest.approx(loc, abs=1e-5)
    assert float(model.counts[0]) - 1.2 == pytest.approx(count, abs=1e-5)
    precisions = model.inverse_scales[0] if model.covariance in ("full", "tied") else model.beta
    np.testing.assert_allclose(np.ravel(precisions), problems.P2_PRECISIONS[model.covariance], atol=2e-5)


def test_the_gradient_of_the_bound_is_zero_where_sweeps_end(swept):
    model, _, _ = swept
    rows = tf.constant(problems.P2_ROWS - model.centre, tf.float32)
    with tf.GradientTape() as tape:
        log_likelihoods, _ = local_step(model.variational, rows)
        bound = tf.reduce_sum(log_likelihoods) - model.kl()
    for gradient in tape.gradient(bound, model.trainable_variables):
        np.testing.assert_allclose(gradient, 0.0, atol=2e-4)


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_ten_sweeps_equal_the_reference_program(covariance, weights):
    generator = np.random.default_rng(7)
    rows = np.concatenate([generator.normal([-3, 0, 1], [1, 0.3, 2], (60, 3)), generator.normal([2, 5, 1], 1, (40, 3))])
    rows = rows.astype(np.float32).astype(np.float64)
    priors = problems.p3_priors(rows, covariance)
    mixture = problems.started(rows, covariance, weights, priors, 4, generator)
    if weights == "stick_breaking":  # the reference keeps the order of the components: so must we
        priors = dataclasses.replace(priors, gamma=1.5)
        mixture = problems.started(rows, covariance, weights, priors, 4, generator)
    model = model_at(mixture, priors, rows)
    assert augmented(model, rows) == pytest.approx(mixture.elbo(rows), abs=1e-5)
    model.fit(rows, epochs=10, verbose=0)
    for _ in range(10):
        mixture.sweep(rows)
    assert_same_posterior(model, mixture, 1e-5)
    # Our rows are rounded to float32 once centred: half a unit in the last place of 600 nats
    assert augmented(model, rows) == pytest.approx(mixture.elbo(rows), rel=2.0**-24)


@pytest.mark.parametrize("shape", SOME_SLOW)
def test_p1_the_best_bound_of_three_rows_is_the_published_one_below_the_evidence(shape):
    covariance, weights = shape
    log_evidence, published, _ = problems.P1_NUMBERS[weights, covariance.startswith("tied")]
    priors = public_priors(problems.P1_PRIORS)
    best = max(
        tfgmm.fit_mixture(
            problems.P1_ROWS, 2, covariance=covariance, weights=weights, priors=priors, start=start, restarts=4
        ).elbo
        for start in ("random", [[-0.9], [-0.85]], [[1.6], [1.5]], [[0.3], [0.2]])
    )
    assert best == pytest.approx(published, abs=2e-6)
    assert best < log_evidence


@pytest.mark.parametrize("key", problems.P3_NUMBERS, ids=lambda key: "-".join(map(str, key)))
def test_p3_real_rows_reach_the_published_bound_and_likelihood(key):
    name, covariance, num_components = key
    elbo, plug_in = problems.P3_NUMBERS[key]
    rows = problems.data(name)
    priors = public_priors(problems.p3_priors(rows, covariance))
    result = tfgmm.fit_mixture(rows, num_components, covariance=covariance, priors=priors, restarts=20)
    assert result.converged
    assert result.elbo == pytest.approx(elbo, abs=1e-4)
    # the bound is flat at its top: a gain of 1e-7 nats per row leaves the likelihood this far away
    assert result.log_likelihood == pytest.approx(plug_in, abs=3e-3)


def test_old_faithful_and_galaxies_come_near_the_published_maximum_likelihoods():
    faithful, galaxies = problems.data("old_faithful"), problems.data("galaxies")
    tied = tfgmm.fit_mixture(faithful, 3, covariance="tied", restarts=20)
    assert tied.log_likelihood == pytest.approx(-1126.32, abs=0.5)
    full = tfgmm.fit_mixture(faithful, 2, covariance="full")
    assert full.log_likelihood == pytest.approx(-1130.26, abs=0.5)
    order = np.argsort(full.model.locs[:, 0])
    weights = np.exp(full.model.plug_in().log_weights)[order]
    np.testing.assert_allclose(weights, [0.356, 0.644], atol=2e-3)
    np.testing.assert_allclose(full.model.locs.numpy()[order], [(2.04, 54.5), (4.29, 80.0)], atol=0.05)
    # Learned widths are pulled together, those of three galaxies and of seventy: fixed priors let them differ
    priors = public_priors(problems.p3_priors(galaxies, "diag"))
    diag = tfgmm.fit_mixture(galaxies, 3, priors=priors, restarts=20)
    assert diag.log_likelihood == pytest.approx(-203.18, abs=0.5)
    learned = tfgmm.fit_mixture(galaxies, 3, restarts=20)
    assert -206.0 < learned.log_likelihood < diag.log_likelihood


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_the_augmented_bound_is_below_the_marginal_bound(covariance):
    model = model_at(problems.p2_start(covariance, "dirichlet"), problems.P2_PRIORS, problems.P2_ROWS)
    lower = augmented(model, problems.P2_ROWS)
    model.num_draws = 4000
    values = [float(np.sum(terms)) - float(kl) for terms, kl in (model(problems.P2_ROWS) for _ in range(5))]
    assert lower < np.mean(values) - 4 * np.std(values, ddof=1) / np.sqrt(5)


def test_the_reference_is_another_program():
    assert not any(name.startswith("tfgmm") for name in vars(__import__("reference_mixture")))
    assert isinstance(problems.p2_start("diag", "dirichlet"), Mixture)
