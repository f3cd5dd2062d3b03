"""Components start near the prior, or narrow at given places, whatever their shape."""

from __future__ import annotations

import numpy as np
import pytest
from random_posteriors import D, K, column_scale, mean_precision_matrices, random_components, random_priors

from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.independent import DiagComponents
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.priors import Priors

PRIORS = Priors((0.5, -1.0), (2.0, 0.3), (1.5, 4.0), (0.8, 30.0))


@pytest.mark.parametrize("seed", range(5))
def test_a_random_start_is_positive_near_the_prior_and_differs_between_seeds(seed):
    components = DiagComponents(3, 2, PRIORS)
    start = components.random_start(np.random.default_rng(seed))
    assert all(np.shape(value) == (3, 2) and np.isfinite(value).all() for value in start)
    assert all((value > 0).all() for value in start[1:])
    assert (np.abs(start.locs - PRIORS.loc_mean) < 5 * np.array(PRIORS.loc_scale)).all()
    assert (np.abs(start.alpha / PRIORS.precision_shape - 1) <= 0.2).all()
    assert (np.abs(start.beta / PRIORS.precision_rate - 1) <= 0.2).all()
    other = components.random_start(np.random.default_rng(seed + 100))
    assert not np.any(start.locs == other.locs)


def test_a_start_at_given_places_stands_there_with_the_width_asked_for():
    components, locs, spread = DiagComponents(3, 2, PRIORS), np.arange(6.0).reshape(3, 2), np.array([0.5, 40.0])
    start = components.start_at(locs, spread)
    assert all(np.shape(value) == (3, 2) for value in start)
    assert all((value > 0).all() for value in start[1:])
    np.testing.assert_array_equal(start.locs, locs)
    # E[tau] = 10 in units of the spread: narrower than the data, or one component would cover all of it
    np.testing.assert_allclose(start.alpha / start.beta, np.tile(10.0 / spread**2, (3, 1)), rtol=1e-14)
    np.testing.assert_array_equal(start.alpha, np.tile(PRIORS.precision_shape, (3, 1)))
    assert (start.scales <= 0.1 * spread).all() and (start.scales <= PRIORS.loc_scale).all()


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_random_starts_of_every_shape_scatter_as_the_prior_does(covariance):
    components, priors = random_components(covariance)[0], random_priors(covariance)
    starts = [components.random_start(np.random.default_rng(seed)) for seed in range(400)]
    locs = np.stack([start.locs for start in starts]).reshape(-1, D)
    is_matrix = covariance in ("full", "tied")
    expected = np.array(priors.loc_covariance) if is_matrix else np.diag(np.square(priors.loc_scale))
    away = locs - priors.loc_mean
    squares = away[:, :, None] * away[:, None, :]
    for values, moments in ((away, 0.0), (squares, expected)):
        assert (np.abs(values.mean(axis=0) - moments) < 5 * values.std(axis=0) / np.sqrt(len(locs))).all()
    for start in starts[:20]:
        if isinstance(start, CorrelatedPosterior):
            ratios = [(start.degrees - D + 1) / (priors.degrees - D + 1)]
            inverses = start.scale_cholesky @ np.swapaxes(start.scale_cholesky, 1, 2)
            shares = inverses / np.array(priors.inverse_scale)
            np.testing.assert_allclose(shares, np.broadcast_to(shares[:, :1, :1], shares.shape), rtol=1e-9)
            ratios.append(np.sqrt(shares[:, 0, 0]))
        else:
            ratios = [start.alpha / priors.precision_shape, start.beta / priors.precision_rate]
        for ratio in ratios:
            assert (np.abs(ratio - 1) <= 0.2 + 1e-12).all() and (ratio != 1).all()


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_starts_at_given_places_are_a_third_of_the_spread_wide_in_every_column(covariance):
    """Variance 1/10 of the spread's square at E[Lambda]; a matrix has the correlations of the prior's W0^-1."""
    components, priors = random_components(covariance)[0], random_priors(covariance)
    locs, spread = np.arange(float(K * D)).reshape(K, D), np.array([0.5, 40.0, 3.0, 1e-3])
    start = components.start_at(locs, spread)
    np.testing.assert_array_equal(start.locs, locs)
    covariances = np.linalg.inv(mean_precision_matrices(components, type(start)(*map(np.array, start))))
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    if covariance.endswith("spherical"):  # one width in units of the column scale: that of their mean square
        expected = column_scale(D) ** 2 * np.mean((spread / column_scale(D)) ** 2)
    else:
        expected = spread**2
    np.testing.assert_allclose(variances, np.tile(0.1 * expected, (K, 1)), rtol=1e-9)
    if covariance in ("full", "tied"):
        prior = np.array(priors.inverse_scale)
        correlations = prior / np.sqrt(np.outer(np.diag(prior), np.diag(prior)))
        widths = np.sqrt(variances[0])
        np.testing.assert_allclose(covariances[0] / np.outer(widths, widths), correlations, rtol=1e-9)
        loc_covariances = start.loc_cholesky @ np.swapaxes(start.loc_cholesky, 1, 2)
        np.testing.assert_allclose(loc_covariances, 0.01 * covariances, rtol=1e-9)
