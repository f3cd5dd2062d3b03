"""Rows with gaps and noise in a gradient step: densities by scipy, gradients by differences, limits by plain rows."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import D, K, random_priors, random_weights, spd
from scipy import stats

from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.parameters import FORMS
from tfgmm.model.gradients import correlated, independent, partial_rows
from tfgmm.model.gradients.log_gamma import log_gamma_draws
from tfgmm.model.gradients.row_tensors import RowTensors, row_tensors
from tfgmm.model.gradients.trained import Drawn, TrainedPosterior
from tfgmm.model.variables import KerasPosterior

B = 9
GENERATOR = np.random.default_rng(4)
VALUES = GENERATOR.normal(0, 2, (B, D)).astype(np.float32)
SEEN = GENERATOR.random((B, D)) > 0.4
SEEN[0], SEEN[1] = True, [True, False, False, False]
SCALES = np.where(SEEN, GENERATOR.uniform(0, 2, (B, D)), 0.0).astype(np.float32)
SCALES[:, 0] = 0.0  # a column without noise
COVARIANCES = spd(GENERATOR, B, D, D)
COVARIANCES[2] = np.outer(*[GENERATOR.normal(size=D)] * 2)  # of rank 1
BOTH = SEEN[:, :, None] & SEEN[:, None, :]
COVARIANCES = np.where(BOTH, COVARIANCES, 0.0).astype(np.float32)
KINDS = {
    "gaps": (None, SEEN),
    "scales": (SCALES, None),
    "scales and gaps": (SCALES, SEEN),
    "covariances and gaps": (COVARIANCES, SEEN),
}
FORM_OF = {"independent": independent, "correlated": correlated}


def components_and_draws(covariance: str, leading: list[int], row_variance: Any = None) -> tuple[Any, Any]:
    """Returns components with priors that add variance to rows, and draws of q near the prior."""
    priors = dataclasses.replace(random_priors(covariance), row_variance=row_variance)
    components = COMPONENTS[covariance](K, D, priors)
    q = components.random_start(np.random.default_rng(1))
    q = type(q)(*map(tf.constant, q))
    [log_gammas] = log_gamma_draws([components.gamma_shapes(q)], leading, (1, 2), tf.float64)
    return components, FORM_OF[components.form].draws(components, q, log_gammas, (1, 2))


def rows_of(kind: str) -> RowTensors:
    noise, seen = KINDS[kind]
    values = VALUES if seen is None else np.where(seen, VALUES, np.nan)
    element = {"values": values, "noise": noise, "seen": seen}
    return row_tensors({name: tf.constant(value) for name, value in element.items() if value is not None})


def density_by_scipy(row: int, kind: str, loc: np.ndarray, covariance: np.ndarray, variance: np.ndarray) -> float:
    """Computes the density of what was seen of a row, less what `variance` of its place takes."""
    noise, seen = KINDS[kind]
    chosen = np.flatnonzero(seen[row]) if seen is not None else np.arange(D)
    added = np.zeros((D, D)) if noise is None else noise[row] if noise.ndim == 3 else np.diag(noise[row] ** 2.0)
    matrix = (covariance + added)[np.ix_(chosen, chosen)]
    density = stats.multivariate_normal(loc[chosen], matrix).logpdf(VALUES[row, chosen])
    return float(density - 0.5 * np.trace(np.linalg.solve(matrix, variance[np.ix_(chosen, chosen)])))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_densities_are_those_of_what_was_seen(covariance: str, kind: str) -> None:
    is_matrix = covariance in ("full", "tied")
    variance = 0.3 * spd(np.random.default_rng(2), D, D) if is_matrix else np.diag(np.linspace(0.1, 0.4, D))
    components, drawn = components_and_draws(covariance, [2, 1], variance if is_matrix else np.diag(variance))
    found = partial_rows.log_density(components.form, components, rows_of(kind), drawn).numpy()
    assert found.shape == (2, B, K) and found.dtype == np.float32
    values = {name: np.asarray(value, np.float64) for name, value in drawn._asdict().items()}
    parameters = {"locs": (values["base"] + values["offset"])[1, 0]}
    if is_matrix:
        parameters["whiteners"] = values["whiteners"][1, 0]
    else:
        parameters["precisions"] = np.exp(values["log_precisions"][1, 0])
    scales, covariances = FORMS[components.form].covariances(parameters)
    covariances = scales[..., None] ** 2 * np.eye(D) if covariances is None else covariances
    expected = [
        [density_by_scipy(row, kind, loc, matrix, variance) for loc, matrix in zip(parameters["locs"], covariances)]
        for row in range(B)
    ]
    np.testing.assert_allclose(found[1], expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_whole_rows_without_noise_have_the_plain_density(covariance: str) -> None:
    components, drawn = components_and_draws(covariance, [B])
    plain = FORM_OF[components.form].log_density(tf.constant(VALUES), drawn)
    nothing, everywhere = tf.zeros((B, D)), tf.ones((B, D), tf.bool)
    for noise in (nothing, tf.zeros((B, D, D)), None):
        rows = RowTensors(tf.constant(VALUES), None, noise, everywhere)
        np.testing.assert_allclose(
            partial_rows.log_density(components.form, components, rows, drawn), plain, rtol=1e-5, atol=1e-5
        )


@pytest.mark.parametrize("kind", ["scales and gaps", "covariances and gaps"])
@pytest.mark.parametrize("covariance", ["diag", "tied_spherical", "full", "tied"])
def test_gradients_are_those_of_differences(covariance: str, kind: str) -> None:
    """Of shared draws. Shapes of Gammas are left out: their draws are not one smooth function of the shape."""
    posterior, rows = posterior_at_start(covariance), rows_of(kind)
    trained = posterior.trained

    def total() -> tf.Tensor:
        drawn = trained.draw([4, 1], (3, 4), tf.float64)
        return tf.reduce_sum(tf.cast(trained.log_likelihoods(rows, drawn), tf.float64))

    with tf.GradientTape() as tape:
        value = total()
    generator = np.random.default_rng(5)
    for variable, gradient in zip(trained.variables.flat, tape.gradient(value, trained.variables.flat)):
        if variable.name.startswith(("log_alpha", "log_degrees", "log_counts")):
            continue
        start, direction = variable.numpy(), generator.normal(size=variable.shape)
        if variable.name.startswith(("loc_cholesky", "scale_cholesky")):
            direction = np.tril(direction)
        ends = []
        for step in (-2e-3, 2e-3):
            variable.assign(start + step * direction)
            ends.append(float(total()))
        variable.assign(start)
        expected = (ends[1] - ends[0]) / 4e-3
        assert np.sum(gradient * direction) == pytest.approx(expected, rel=3e-3, abs=2e-2), variable.name


def posterior_at_start(covariance: str) -> KerasPosterior:
    components = COMPONENTS[covariance](K, D, random_priors(covariance))
    weights, of_weights = random_weights("dirichlet")
    posterior = KerasPosterior(weights, components)
    start = posterior.random_start(1)._replace(weights=of_weights)
    posterior.create_variables(
        lambda name, value: tf.Variable(value, name=name),
        lambda name, shape, dtype: tf.Variable(tf.zeros(shape, dtype), name=name),
        posterior.values_of(start),
    )
    return posterior


@pytest.mark.parametrize("noise", [None, SCALES, COVARIANCES], ids=["gaps", "scales", "covariances"])
@pytest.mark.parametrize("covariance", ["diag", "full", "tied"])
def test_rows_far_away_and_components_of_any_width_have_finite_gradients(covariance: str, noise: Any) -> None:
    posterior = posterior_at_start(covariance)
    trained, spread = posterior.trained, posterior.trained.variables.components[3]  # the last one is C, or beta
    start, far = spread.numpy(), np.where(SEEN, VALUES, 0.0)
    far[0], far[1, 0] = [1e38, -1e38, 1e30, 3e38], -1e19
    rows = RowTensors(tf.constant(far), None, None if noise is None else tf.constant(noise), tf.constant(SEEN))
    for width in (-14.0, 0.0, 14.0):
        if covariance == "diag":
            spread.assign(start + width)
        else:  # the logarithms of the diagonal are on it
            spread.assign(np.tril(start, -1) * np.exp(width) + np.eye(D) * (start + width))
        with tf.GradientTape() as tape:
            found = trained.log_likelihoods(rows, trained.draw([B], (3, 4), tf.float32))
            total = tf.reduce_sum(found)
        assert np.isfinite(found).all(), width
        for gradient in tape.gradient(total, trained.variables.flat):
            assert np.isfinite(gradient).all(), width


def test_a_row_of_which_nothing_was_seen_says_nothing() -> None:
    for covariance in ("diag", "full"):
        posterior = posterior_at_start(covariance)
        rows = row_tensors({"values": tf.fill((1, D), np.nan), "seen": tf.zeros((1, D), tf.bool)})
        drawn = posterior.trained.draw([1], (3, 4), tf.float32)
        np.testing.assert_allclose(posterior.trained.log_likelihoods(rows, drawn), 0.0, atol=1e-6)


def test_rows_count_as_often_as_their_weights_say() -> None:
    per_row = tf.constant([1.0, 2.0, 4.0])
    plain, weighted = (
        RowTensors(tf.zeros((3, 2)), weights) for weights in (None, tf.constant([2.0, 0.0, 0.5], "float64"))
    )
    assert (float(plain.total_weight()), float(plain.weighted_sum(per_row))) == (3.0, 7.0)
    assert (float(weighted.total_weight()), float(weighted.weighted_sum(per_row))) == (2.5, 4.0)
    assert weighted.is_whole and not plain._replace(seen=tf.ones((3, 2), tf.bool)).is_whole


def test_drawn_parts_are_those_of_the_posterior() -> None:
    """The log joint has the weights once more, whatever is known of a row."""
    posterior = posterior_at_start("diag")
    drawn = posterior.trained.draw([2, 1], (3, 4), tf.float64)
    other = Drawn(drawn.log_weights + 1.0, drawn.components)
    trained: TrainedPosterior = posterior.trained
    for rows in (RowTensors(tf.constant(VALUES)), rows_of("gaps")):
        np.testing.assert_allclose(trained.log_joints(rows, other) - trained.log_joints(rows, drawn), 1.0, atol=1e-5)
