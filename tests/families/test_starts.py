"""Components start near the prior, or where groups of rows are, whatever their shape."""

from __future__ import annotations

import numpy as np
import pytest
from random_posteriors import D, K, column_scale, mean_precision_matrices, random_components, random_priors

from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.independent import DiagComponents
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.partitions import Groups
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
def test_starts_stand_where_groups_are_and_are_as_wide(covariance):
    """E[Lambda]^-1 is the groups' variances; what is shared has their average over rows, or over columns."""
    components, priors = random_components(covariance)[0], random_priors(covariance)
    generator = np.random.default_rng(0)
    locs, variances = generator.normal(size=(2, K, D)), generator.uniform(0.01, 9.0, (2, K, D))
    groups = Groups(locs, variances, np.array([[1, 20, 300], [7, 0, 9]]))
    starts = components.start_at(groups)
    np.testing.assert_array_equal(starts.locs, locs)
    for number in range(2):
        start = type(starts)(*(value[number] for value in starts))
        expected = variances[number]
        if covariance.startswith("tied"):
            expected = np.tile(np.average(expected, axis=0, weights=groups.counts[number]), (K, 1))
        if covariance.endswith("spherical"):  # one width in units of the column scale: that of their mean square
            unit = column_scale(D) ** 2
            expected = unit * np.mean(expected / unit, axis=1, keepdims=True)
        covariances = np.linalg.inv(mean_precision_matrices(components, start))
        np.testing.assert_allclose(covariances, expected[:, :, None] * np.eye(D), rtol=1e-12, atol=1e-15)
        # Locations are known to a tenth of their group's width, and no worse than before any row was seen
        doubts = 0.1 * np.sqrt(variances[number])
        if isinstance(start, CorrelatedPosterior):
            np.testing.assert_allclose(start.loc_cholesky, doubts[:, :, None] * np.eye(D), rtol=1e-14)
            assert (start.degrees == priors.degrees).all()
        else:
            np.testing.assert_allclose(start.scales, np.minimum(doubts, priors.loc_scale), rtol=1e-14)
            np.testing.assert_array_equal(start.alpha, np.broadcast_to(priors.precision_shape, start.alpha.shape))


def test_a_start_is_no_vaguer_of_its_locations_than_the_prior():
    """Independent columns alone: "full" and "tied" have no standard deviation of their own."""
    components = DiagComponents(1, 2, PRIORS)
    start = components.start_at(Groups(np.zeros((1, 1, 2)), np.array([[[1.0, 400.0]]]), np.array([[5]])))
    np.testing.assert_allclose(start.scales, [[[0.1, 0.3]]], rtol=1e-14)
