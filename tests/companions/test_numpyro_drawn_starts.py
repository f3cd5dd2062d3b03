"""Chains of the NumPyro companion that start at draws: which of them, in what coordinates, and what is refused."""

from __future__ import annotations

import dataclasses

import arviz
import jax
import numpy as np
import pytest
from numpyro import distributions as dist

import tfgmm
from tfgmm.companions.numpyro_mixture import drawn_starts, mixture_model, nuts, sample_nuts
from tfgmm.companions.numpyro_mixture.mode import Target
from tfgmm.posterior import LOG_RATIO

ROWS = np.random.default_rng(0).normal([-3.0] * 40 + [3.0] * 60)


def some_draws(num_draws, num_components, num_features, *, is_full=False, seed=0, num_chains=1):
    """Draws of any mixtures, whose components do not stand in any order."""
    rng = np.random.default_rng(seed)
    shape = (num_chains, num_draws, num_components)
    weights = rng.dirichlet(np.full(num_components, 20.0), shape[:2])
    scales = rng.uniform(0.8, 1.3, (*shape, num_features))
    locs = 6.0 * rng.permutation(num_components)[:, None] + rng.normal(0.0, 0.2, (*shape, num_features))
    covariances = None
    if is_full:
        factors = rng.normal(size=(*shape, num_features, num_features)) + 2.0 * np.eye(num_features)
        covariances = factors @ factors.swapaxes(-1, -2)
        scales = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    return tfgmm.Draws(weights, locs, scales, None, covariances)


def swapped_draws():
    """Draws near the posterior of ROWS, in which the component above is the first one."""
    rng = np.random.default_rng(1)
    share = rng.beta(60, 40, (1, 200, 1))
    locs = np.array([3.0, -3.0])[:, None] + rng.normal(0.0, 0.15, (1, 200, 2, 1))
    return tfgmm.Draws(np.concatenate([share, 1 - share], axis=-1), locs, rng.normal(1.0, 0.1, (1, 200, 2, 1)))


@pytest.fixture(scope="module")
def target():
    with jax.enable_x64(True):
        return Target(mixture_model(2), jax.device_put(ROWS[:, None]))


def starts(target, draws, num_chains, seed):
    """Coordinates at which chains start, (C, P)."""
    with jax.enable_x64(True):
        gaussian, z = drawn_starts.starts_at_draws(target, draws, 100.0, num_chains, np.random.default_rng(seed))
    return gaussian.offset + z @ gaussian.factor.T


# --- Coordinates -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_full", [False, True], ids=["diag", "full and ordered"])
def test_coordinates_lead_back_to_the_draws(is_full):
    """The way back is NumPyro's."""
    draws = some_draws(3, 3, 2, is_full=is_full)
    if is_full:
        draws = draws.permuted(np.argsort(draws.locs[..., 0], axis=-1))
    model = mixture_model(3, 2, covariance="full" if is_full else "diag", ordered=is_full)
    with jax.enable_x64(True):
        target = Target(model, jax.device_put(np.zeros((1, 2))))
        found = target.parameters(drawn_starts._coordinates(target, draws))
    np.testing.assert_allclose(found.weights, draws.weights[0], rtol=1e-9)
    np.testing.assert_allclose(found.locs, draws.locs[0], rtol=1e-9)
    np.testing.assert_allclose(found.scales, draws.scales[0], rtol=1e-9)
    if is_full:
        factors = np.asarray(found.scale_tril)
        np.testing.assert_allclose(factors @ factors.swapaxes(-1, -2), draws.covariances[0], rtol=1e-9)


def test_components_are_sorted_where_locations_are_ordered(target):
    """Draws in another order of the components start at the same places."""
    draws = swapped_draws()
    with jax.enable_x64(True):
        ordered = Target(mixture_model(2, ordered=True), target.rows)
    other_way = draws.permuted(np.broadcast_to([1, 0], (1, 200, 2)))
    np.testing.assert_array_equal(starts(ordered, draws, 3, 0), starts(ordered, other_way, 3, 0))


# --- Which draws -----------------------------------------------------------------------------------------------


def test_each_chain_starts_at_a_draw_of_its_own_that_the_seed_chooses(target):
    draws = swapped_draws()
    twice = dataclasses.replace(  # as draws that were resampled: no two chains start at the same
        draws, **{name: np.repeat(getattr(draws, name)[:, :4], 50, axis=1) for name in ("weights", "locs", "scales")}
    )
    with jax.enable_x64(True):
        places = drawn_starts._coordinates(target, twice)[::50]
    found = starts(target, twice, 4, seed=0)
    distances = np.abs(found[:, None] - places).max(axis=-1)
    assert sorted(distances.argmin(axis=1)) == [0, 1, 2, 3] and distances.min(axis=1).max() < 1e-12
    first, again, other = (starts(target, draws, 4, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any(axis=1).all()
    with pytest.raises(ValueError, match="draw of its own for each of 5 chains.*Received: 4 such draws"):
        starts(target, twice, 5, seed=0)


def test_draws_beyond_the_prior_are_no_starts(target):
    draws = swapped_draws()
    with jax.enable_x64(True):
        within = Target(mixture_model(2, loc_prior=dist.Uniform(-1.0, 1.0)), target.rows)
    with pytest.raises(ValueError, match="at which the posterior density is finite. Received: 0 such draws"):
        starts(within, draws, 1, seed=0)


# --- The Gaussian ----------------------------------------------------------------------------------------------


def test_covariance_is_that_of_the_draws_and_of_as_many_more_as_there_are_coordinates():
    rng = np.random.default_rng(0)
    vectors, widths = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 3)), np.array([0.1, 2.0, 3.0])
    offset, factor = drawn_starts._gaussian_of(vectors, np.zeros(40), widths)
    np.testing.assert_allclose(offset, vectors.mean(axis=0), atol=1e-12)
    expected = (40 * np.cov(vectors.T, ddof=0) + 3 * np.diag(widths**2)) / 43
    np.testing.assert_allclose(factor @ factor.T, expected, rtol=1e-10)
    offset, factor = drawn_starts._gaussian_of(vectors[:1], np.zeros(1), widths)  # nothing but the widths
    np.testing.assert_allclose(factor, np.diag(widths) * np.sqrt(3 / 4), rtol=1e-12)


def test_importance_ratios_weigh_the_draws():
    """Ratios of 1, 2 and 3 are draws that are there once, twice and three times; so few ratios are not smoothed."""
    rng = np.random.default_rng(0)
    vectors, times = rng.normal(size=(30, 2)), rng.integers(1, 4, 30)
    offset, factor = drawn_starts._gaussian_of(vectors, np.log(times) + 7.0, np.full(2, 1e-9))
    repeated = np.repeat(vectors, times, axis=0)
    np.testing.assert_allclose(offset, repeated.mean(axis=0), atol=1e-12)
    worth = times.sum() ** 2 / np.square(times).sum()
    np.testing.assert_allclose(factor @ factor.T, np.cov(repeated.T, ddof=0) * worth / (worth + 2), rtol=1e-10)


# --- Chains ----------------------------------------------------------------------------------------------------


def test_chains_start_from_draws_without_a_search_for_a_mode(monkeypatch):
    """They number the components as the draws do."""
    monkeypatch.setattr(nuts, "gaussian_at_best_mode", None)
    monkeypatch.setattr(nuts, "gaussian_near", None)
    draws = sample_nuts(ROWS, 2, num_samples=400, start=swapped_draws(), progress=False)
    assert (draws.locs[:, :, 0] > 0).all() and (draws.locs[:, :, 1] < 0).all()
    np.testing.assert_allclose(draws.weights.mean(axis=(0, 1)), [0.6, 0.4], atol=0.02)


@pytest.mark.slow
@pytest.mark.parametrize(("covariance", "num_draws"), [("diag", 1000), ("full", 30)])
def test_the_posterior_is_the_same_from_a_mode(covariance, num_draws):
    """Means and standard deviations of all numbers, within 4 Monte-Carlo standard errors of their difference."""
    rng = np.random.default_rng(3)
    rows = np.concatenate([rng.normal(0.0, 1.0, (150, 2)), rng.normal([3.0, 1.0], 1.0, (150, 2))])
    result = tfgmm.fit_mixture(rows, 2, covariance=covariance, seed=0)
    settings = {"covariance": covariance, "ordered": True, "priors": result.priors}
    settings |= {"num_samples": 1000, "num_chains": 4, "progress": False}
    ours, theirs = (
        np.moveaxis(sample_nuts(rows, 2, **settings, start=start, seed=seed).numbers()[1], -1, 0)
        for seed, start in enumerate([result.draws(num_draws, seed=0, data=rows), "mode"])
    )
    for mine, other in zip(ours, theirs, strict=True):
        for method, moment in (("mean", np.mean), ("sd", np.std)):
            error = np.hypot(*(arviz.mcse(values, method=method) for values in (mine, other)))
            assert abs(moment(mine) - moment(other)) < 4 * error


# --- Bad input -------------------------------------------------------------------------------------------------


def changed(draws, **parts):
    return dataclasses.replace(draws, **parts)


FINE = some_draws(5, 2, 2, is_full=True)
NAMED = changed(FINE, column_names=("height", "width"))


@pytest.mark.parametrize(
    ("start", "arguments", "error", "words"),
    [
        (some_draws(5, 3, 2), {}, ValueError, "with 2 components in 2 columns. Received: 3 components in 2 columns"),
        (some_draws(5, 2, 1), {}, ValueError, "with 2 components in 2 columns. Received: 2 components in 1 column[.]"),
        (some_draws(5, 2, 2), {"covariance": "full"}, ValueError, "with covariances .* without. Pass draws of a fit"),
        (some_draws(1, 2, 2, num_chains=2), {"num_chains": 3}, ValueError, "each of 3 chains. Received: 2. Pass more"),
        (NAMED, {}, ValueError, r"columns of `data`, \('width', 'height'\). Received: \('height', 'width'\)"),
        (changed(FINE, weights=-FINE.weights), {}, ValueError, "`start` must hold finite draws"),
        (changed(FINE, locs=FINE.locs * np.nan), {}, ValueError, "`start` must hold finite draws"),
        (changed(FINE, scales=0 * FINE.scales), {}, ValueError, "`start` must hold finite draws, with positive scales"),
        (
            changed(FINE, covariances=np.full_like(FINE.covariances, 2.0)),
            {"covariance": "full"},
            ValueError,
            "positive definite covariances",
        ),
        (
            changed(FINE, sample_stats={LOG_RATIO: np.full((1, 5), np.nan)}),
            {},
            ValueError,
            "finite importance ratios if any",
        ),
    ],
)
def test_draws_that_do_not_suit_are_refused(start, arguments, error, words):
    import pandas as pd

    data = pd.DataFrame(np.arange(20.0).reshape(10, 2), columns=["width", "height"])
    with pytest.raises(error, match=words):
        sample_nuts(data, 2, start=start, progress=False, **arguments)


def test_only_draws_are_taken_not_what_gives_them():
    result = tfgmm.fit_mixture(ROWS[:, None], 2, seed=0)
    with pytest.raises(TypeError, match=r"or tfgmm.Draws. Received: FitResult. Pass .* start=result.draws\(1000\)"):
        sample_nuts(ROWS, 2, start=result, progress=False)
    with pytest.raises(ValueError, match="or tfgmm.Draws. Received: 'draws'"):
        sample_nuts(ROWS, 2, start="draws", progress=False)
