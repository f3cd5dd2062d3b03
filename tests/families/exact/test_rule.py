"""Which draws are kept of the methods that ran, and how wrong the widths of a normal distribution are."""

from __future__ import annotations

import dataclasses
import types
import warnings

import numpy as np
import pytest

import tfgmm
from tfgmm.families.exact.records import ExactDraws, shares_of_moved
from tfgmm.families.exact.rule import CHAINS_APART, _better_of, _is_enough
from tfgmm.families.exact.whitened import width_error
from tfgmm.posterior.record import PosteriorRecord

LAPLACE = PosteriorRecord("laplace")
TRUSTED = PosteriorRecord("importance", k_hat=0.3, ess=900.0)
WIDE = PosteriorRecord("mcmc", r_hat=1.3, ess=150.0)
FEW = PosteriorRecord("importance", k_hat=0.72, ess=900.0)
HOPELESS = PosteriorRecord("importance", k_hat=1.8, ess=4.4)
APART = PosteriorRecord("mcmc", r_hat=2.5, ess=70.0)


@pytest.mark.parametrize(
    ("best", "found", "expected"),
    [
        (LAPLACE, TRUSTED, TRUSTED),
        (LAPLACE, FEW, FEW),
        (FEW, WIDE, WIDE),
        (FEW, APART, FEW),
        (TRUSTED, WIDE, dataclasses.replace(TRUSTED, note=CHAINS_APART)),
        (LAPLACE, WIDE, WIDE),
    ],
)
def test_draws_are_replaced_by_none_that_are_worse(best, found, expected):
    assert _better_of(ExactDraws(None, best), ExactDraws(None, found), "auto").record == expected


def test_many_free_numbers_are_looked_at_by_chains_too():
    doubtful = PosteriorRecord("importance", k_hat=0.6, ess=900.0)
    few, many = (types.SimpleNamespace(num_coordinates=number) for number in (20, 21))
    assert _is_enough(few, doubtful) and not _is_enough(many, doubtful)
    assert _is_enough(many, TRUSTED) and not _is_enough(few, FEW)
    apart = dataclasses.replace(doubtful, note=CHAINS_APART)
    assert apart.warnings() == (CHAINS_APART,)


def test_the_mode_is_kept_beside_draws_that_hardly_cover_anything_and_says_so():
    kept = _better_of(ExactDraws(None, LAPLACE), ExactDraws(None, HOPELESS), "auto").record
    assert kept == PosteriorRecord("laplace", note="importance sampling: Pareto k-hat 1.8, 4 effective draws")
    apart = _better_of(ExactDraws(None, LAPLACE), ExactDraws(None, APART), "auto").record
    assert apart.note == "Markov chains: r-hat 2.500, 70 effective draws"
    by_name = _better_of(ExactDraws(None, LAPLACE), ExactDraws(None, HOPELESS), "importance").record
    assert by_name == HOPELESS


@pytest.mark.parametrize("scale", [1.0, 1.1, 1.2, 0.9])
def test_the_error_of_widths_is_that_of_a_normal_target(scale):
    """Of a normal target whose standard deviations are `scale`, to first order (scale^2 - 1) / 2 / scale^2."""
    xi = np.random.default_rng(0).standard_normal((20_000, 3))
    log_ratios = -0.5 * np.square(xi / scale).sum(axis=1) + 0.5 * np.square(xi).sum(axis=1)
    first_order = abs(1.0 - scale**-2.0) / 2.0
    assert width_error(xi, log_ratios) == pytest.approx(max(0.0, first_order - 0.01), abs=0.012)


def test_the_error_counts_means_half_and_chance_not_at_all():
    xi = np.random.default_rng(0).standard_normal((20_000, 3))
    assert width_error(xi, xi @ np.array([0.3, 0.0, 0.3])) == pytest.approx(0.15, abs=0.015)
    assert width_error(xi, 1e-3 * np.random.default_rng(1).standard_normal(20_000)) < 1e-4
    assert width_error(xi[:50], 5.0 * xi[:50, 0]) is None  # too few to tell
    assert width_error(xi, np.where(xi[:, 0] > 3.9, -np.inf, 0.0)) < 0.01


def test_vague_priors_and_empty_components_have_draws_of_all_methods():
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(size=(50, 2)), generator.normal(size=(50, 2)) + 6.0])
    priors = tfgmm.Priors(precision_shape=0.01, precision_rate=0.01, loc_scale=5.0)
    result = tfgmm.fit_mixture(rows, 6, priors=priors, restarts=2)
    with pytest.warns(UserWarning):
        draws = result.draws(100, seed=0, data=rows, posterior="laplace")
    assert np.isfinite(draws.locs).all() and (draws.scales > 0.0).all()


def test_shares_of_moved_draws_are_counted_by_component():
    orders = np.array([[0, 1, 2], [1, 0, 2], [1, 0, 2], [0, 2, 1]])
    share, by_component = shares_of_moved(orders)
    assert (share, by_component) == (0.75, (0.5, 0.75, 0.25))


def test_components_that_are_far_apart_keep_their_meaning():
    generator = np.random.default_rng(0)
    rows = np.concatenate([generator.normal(-8.0, 1.0, (60, 1)), generator.normal(8.0, 1.0, (60, 1))])
    result = tfgmm.fit_mixture(rows, 2, restarts=2)
    draws = result.draws(500, seed=0, data=rows, posterior="auto")
    assert (draws.posterior.share_moved, draws.posterior.moved) == (0.0, (0.0, 0.0))


def test_stick_breaking_draws_are_put_in_one_order_too():
    few = np.random.default_rng(2).normal([[-1.0]] * 25 + [[1.0]] * 25)
    result = tfgmm.fit_mixture(few, 2, weights="stick_breaking", seed=1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        draws = result.draws(400, seed=0, data=few, posterior="importance")
    assert draws.posterior.share_moved > 0.05
    assert any("the components stand in another order" in str(warning.message) for warning in told)
