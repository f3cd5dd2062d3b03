"""Gaps filled by conditional means, and by draws: against plain loops, and averages over draws."""

from __future__ import annotations

import numpy as np
import pytest
from known_mixtures import CENTRE, WEIGHTS, Mixture
from scipy import stats

from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture.imputation import Imputer

GENERATOR = np.random.default_rng(8)
# Rows are float32 once they are measured from the centre
ROWS = CENTRE + np.float32(3.0 * GENERATOR.normal(size=(12, 4)))
ROWS[[0, 1, 2], [0, 3, 1]] = np.nan
ROWS[3, [0, 2]] = ROWS[4, :3] = ROWS[5] = ROWS[9, [1, 2]] = np.nan
ROWS[6, 0], ROWS[6, 1] = np.inf, np.nan
ROOTS = GENERATOR.normal(size=(12, 4, 4))
OBSERVED = ~np.isnan(ROWS)
NOISE = {
    "none": None,
    "deviations": GENERATOR.uniform(0.1, 2.0, ROWS.shape) * OBSERVED,
    "covariances": (ROOTS @ ROOTS.swapaxes(1, 2)) * OBSERVED[:, :, None] * OBSERVED[:, None],
}


def conditional(mixture, row, noise):
    """Returns memberships (K,), and means and covariances of the true values, given what a row has."""
    locs, covariances = mixture.plug_in().components["locs"] + CENTRE, mixture.covariances()
    shown = np.flatnonzero(~np.isnan(row))
    joints, means, spreads = np.log(WEIGHTS), [], []
    for k, covariance in enumerate(covariances):
        total = (covariance + noise)[np.ix_(shown, shown)]
        if len(shown):
            joints[k] += stats.multivariate_normal(locs[k, shown], total).logpdf(row[shown])
        gain = covariance[:, shown] @ np.linalg.inv(total)
        means.append(locs[k] + gain @ (row[shown] - locs[k, shown]))
        spreads.append(covariance - gain @ covariance[shown])
    shares = np.exp(joints - joints.max())
    return shares / shares.sum(), np.array(means), np.array(spreads)


@pytest.mark.parametrize("kind", NOISE)
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_means_are_those_of_a_plain_loop(covariance, kind):
    mixture, noise = Mixture(covariance), NOISE[kind]
    before = ROWS.copy()
    filled = Imputer(mixture.plug_in()).means(RowBlock(ROWS, None, noise))
    for number, row in enumerate(ROWS):
        if number == 6:  # infinite
            continue
        of_row = np.zeros((4, 4)) if noise is None else noise[number]
        shares, means, _ = conditional(mixture, row, np.diag(of_row**2) if of_row.ndim == 1 else of_row)
        expected = np.where(np.isnan(row), shares @ means, row)
        np.testing.assert_allclose(filled[number] - CENTRE, expected - CENTRE, rtol=1e-8, atol=1e-8)
    np.testing.assert_array_equal(filled[6], ROWS[6])
    np.testing.assert_array_equal(ROWS, before)


@pytest.mark.parametrize(("covariance", "kind"), [("diag", "deviations"), ("full", "none"), ("tied", "covariances")])
def test_draws_have_the_moments_of_the_mixture_given_the_row(covariance, kind):
    """Means within four of their standard errors; variances of 4,000 draws within 15 %, which is five of theirs."""
    mixture, noise = Mixture(covariance), NOISE[kind]
    block = RowBlock(ROWS, None, noise)
    draws = Imputer(mixture.plug_in()).draws(block, 4000, seed=3)
    assert draws.shape == (4000, *ROWS.shape)
    for number in (3, 4, 5):
        row, of_row = ROWS[number], np.zeros((4, 4)) if noise is None else noise[number]
        shares, means, spreads = conditional(mixture, row, np.diag(of_row**2) if of_row.ndim == 1 else of_row)
        hidden = np.isnan(row)
        mean = shares @ means
        away = means - mean
        total = np.einsum("k,kij->ij", shares, spreads + away[:, :, None] * away[:, None])
        found = draws[:, number]
        assert (found[:, ~hidden] == row[~hidden]).all()
        errors = np.sqrt(np.diag(total)[hidden] / 4000)
        assert (np.abs(found[:, hidden].mean(axis=0) - mean[hidden]) < 4 * errors).all()
        total = total[np.ix_(hidden, hidden)]
        scale = np.sqrt(np.outer(np.diag(total), np.diag(total)))
        difference = np.cov((found - CENTRE)[:, hidden].T) - total
        assert (np.abs(difference / scale) < 0.15).all()
    assert np.isnan(draws[:, 6, 1]).all() and not np.isnan(np.delete(draws, 6, axis=1)).any()


def test_draws_are_a_function_of_the_seed_and_the_rows_number():
    imputer, block = Imputer(Mixture("full").plug_in()), RowBlock(ROWS)
    whole = imputer.draws(block, 5, seed=1)
    np.testing.assert_array_equal(imputer.draws(block, 5, seed=1), whole)
    parts = [imputer.draws(block.part(part), 5, 1, part.start) for part in (slice(0, 4), slice(4, 12))]
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, rtol=1e-12)
    assert (imputer.draws(block, 5, seed=2)[:, 0, 0] != whole[:, 0, 0]).all()


def test_the_average_of_several_mixtures_is_one_mixture():
    mixture = Mixture("full")
    several = mixture.plug_in()._replace(
        log_weights=np.log(np.stack([WEIGHTS, WEIGHTS])),
        components={name: np.stack([value, value]) for name, value in mixture.plug_in().components.items()},
    )
    one, of_both = (Imputer(density).means(RowBlock(ROWS)) for density in (mixture.plug_in(), several))
    np.testing.assert_allclose(of_both - CENTRE, one - CENTRE, rtol=1e-9)


def test_rows_without_gaps_stay():
    rows = np.nan_to_num(ROWS, posinf=1.0)
    np.testing.assert_array_equal(Imputer(Mixture("diag").plug_in()).means(RowBlock(rows)), rows)
    assert Imputer(Mixture("diag").plug_in()).means(RowBlock(np.zeros((0, 4)))).shape == (0, 4)
