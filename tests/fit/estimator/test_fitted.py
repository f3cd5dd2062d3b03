"""Attributes of a fitted estimator: scikit-learn's own mixture, given them, must answer as ours does."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import mixture

import tfgmm
from tfgmm.mixture.registry import COVARIANCES

GENERATOR = np.random.default_rng(3)
ROWS = np.concatenate(
    [GENERATOR.normal([-2.0, 0.0, 1.0], [1.0, 0.5, 2.0], (60, 3)), GENERATOR.normal([2.0, 1.0, 0.0], 1.0, (40, 3))]
) @ [[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 1.0]] + [100.0, -20.0, 0.0]
OTHERS = GENERATOR.normal(ROWS.mean(axis=0), 2.0 * ROWS.std(axis=0), (50, 3))
LAYOUTS = {
    "full": (2, 3, 3),
    "tied": (3, 3),
    "diag": (2, 3),
    "spherical": (2,),
    "tied_diag": (3,),
    "tied_spherical": (),
}


def peer_of(ours, shape):
    """Returns scikit-learn's mixture with our weights, means and roots of precisions; nothing else goes into scores."""
    peer = mixture.GaussianMixture(2, covariance_type=shape)
    peer.weights_, peer.means_, peer.precisions_cholesky_ = ours.weights_, ours.means_, ours.precisions_cholesky_
    peer.covariances_ = ours.covariances_
    return peer


@pytest.mark.parametrize("shape", ["full", "tied", "diag", "spherical"])
def test_scikit_learn_scores_the_same_with_our_attributes(shape):
    ours = tfgmm.BayesianGaussianMixture(2, covariance_type=shape).fit(ROWS)
    peer = peer_of(ours, shape)
    for rows in (ROWS, OTHERS):
        np.testing.assert_allclose(ours.score_samples(rows), peer.score_samples(rows), rtol=0, atol=1e-5)
        np.testing.assert_allclose(ours.predict_proba(rows), peer.predict_proba(rows), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(ours.predict(rows), peer.predict(rows))
        assert ours.score(rows) == pytest.approx(peer.score(rows), abs=1e-6)
        assert ours.aic(rows) == pytest.approx(peer.aic(rows), abs=1e-3)
        assert ours.bic(rows) == pytest.approx(peer.bic(rows), abs=1e-3)


@pytest.mark.parametrize("shape", ["tied_diag", "tied_spherical"])
def test_shapes_that_scikit_learn_lacks_score_as_the_diagonal_one(shape):
    ours = tfgmm.BayesianGaussianMixture(2, covariance_type=shape).fit(ROWS)
    peer = peer_of(ours, "diag")
    peer.precisions_cholesky_ = np.broadcast_to(ours.precisions_cholesky_, (2, 3))
    np.testing.assert_allclose(ours.score_samples(OTHERS), peer.score_samples(OTHERS), rtol=0, atol=1e-5)


@pytest.mark.parametrize("shape", COVARIANCES)
def test_layouts_are_those_of_scikit_learn_and_hang_together(shape):
    ours = tfgmm.BayesianGaussianMixture(2, covariance_type=shape, n_init=1).fit(ROWS)
    for name in ("covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(ours, name).shape == LAYOUTS[shape] and getattr(ours, name).dtype == np.float64, name
    roots, precisions = ours.precisions_cholesky_, ours.precisions_
    if COVARIANCES[shape].is_correlated:
        np.testing.assert_allclose(np.linalg.inv(precisions), ours.covariances_, rtol=1e-9)
        np.testing.assert_allclose(roots @ np.swapaxes(roots, -1, -2), precisions, rtol=1e-9)
        np.testing.assert_array_equal(np.tril(roots, -1), 0.0)  # scikit-learn's are upper triangular
    else:
        np.testing.assert_allclose(1.0 / precisions, ours.covariances_, rtol=1e-9)
        np.testing.assert_allclose(np.square(roots), precisions, rtol=1e-9)


def test_arrays_are_posterior_means_of_the_fit():
    ours = tfgmm.BayesianGaussianMixture(2).fit(ROWS)
    draws = ours.result_.draws(4_000, seed=0)
    np.testing.assert_allclose(ours.weights_, draws.weights[0].mean(axis=0), atol=0.01)
    np.testing.assert_allclose(ours.means_, draws.locs[0].mean(axis=0), atol=0.05)
    precisions = np.linalg.inv(draws.covariances[0]).mean(axis=0)
    np.testing.assert_allclose(ours.precisions_, precisions, rtol=0.1, atol=0.02)


def test_figures_are_those_of_the_fit():
    ours = tfgmm.BayesianGaussianMixture(2).fit(ROWS)
    result = ours.result_
    assert ours.lower_bound_ == pytest.approx(result.elbo / 100) and ours.lower_bounds_[0] < ours.lower_bound_ + 1e-9
    assert ours.n_iter_ == len(ours.lower_bounds_) == len(result.history["loss"])
    assert (ours.converged_, ours.n_components_, ours.covariance_type_) == (True, 2, "full")
    assert ours.aic(ROWS) == pytest.approx(result.aic, rel=1e-12)
    assert ours.bic(ROWS) == pytest.approx(result.bic, rel=1e-12)


def test_columns_of_different_width_keep_their_axis():
    priors = tfgmm.Priors(loc_scale=100.0, column_scale=(1.0, 2.0, 4.0))
    ours = tfgmm.BayesianGaussianMixture(2, covariance_type="spherical", priors=priors, n_init=1).fit(
        ROWS - ROWS.mean(0)
    )
    assert ours.covariances_.shape == (2, 3)
    np.testing.assert_allclose(ours.covariances_ / ours.covariances_[:, :1], [[1.0, 4.0, 16.0]] * 2)


def test_attributes_cannot_be_set_and_are_not_there_before_a_fit():
    ours = tfgmm.BayesianGaussianMixture(2)
    assert not any(hasattr(ours, name) for name in ("weights_", "means_", "covariances_", "n_iter_", "result_"))
    ours.fit(ROWS)
    with pytest.raises(AttributeError):
        ours.means_ = np.zeros((2, 3))
    ours.weights_[:] = 7.0  # a copy
    assert ours.weights_.sum() == pytest.approx(1.0)
