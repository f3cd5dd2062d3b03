"""Rows with weights, gaps and noise: the sums over groups of them are those of a plain loop over rows."""

from __future__ import annotations

import numpy as np
import pytest
from rows_one_by_one import noise_of, plain_sums, random_posterior, rows_with_gaps

from tfgmm.common import threads as cores
from tfgmm.data.blocks import RowBlock
from tfgmm.families.natural_gradient import place_at
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture import noisy_rows, pattern_groups, rare_gaps
from tfgmm.mixture.row_groups import RowGroups

ROWS = rows_with_gaps()
COMPLETE = np.nan_to_num(ROWS, nan=0.25)
WEIGHTS = np.random.default_rng(3).uniform(0.1, 4.0, len(ROWS))
MATRIX = np.array([[0.3, 0.1, 0, 0], [0.1, 0.2, 0, 0], [0, 0, 0.1, 0], [0, 0, 0, 0.4]])

BLOCKS = {
    "weights": RowBlock(COMPLETE, WEIGHTS),
    "gaps": RowBlock(ROWS),
    "gaps, weights": RowBlock(ROWS, WEIGHTS),
    "noise": RowBlock(COMPLETE, None, noise_of(COMPLETE, "deviations")),
    "matrices, weights": RowBlock(COMPLETE, WEIGHTS, noise_of(COMPLETE, "covariances")),
    "few matrices": RowBlock(COMPLETE, None, noise_of(COMPLETE, "few")),
    "all": RowBlock(ROWS, WEIGHTS, noise_of(ROWS, "deviations")),
    "all, matrices": RowBlock(ROWS, WEIGHTS, noise_of(ROWS, "covariances")),
    "all, few matrices": RowBlock(ROWS, WEIGHTS, noise_of(ROWS, "few")),
}


def arrays_of(sums):
    return [*sums.statistics, sums.log_likelihood, sums.largest]


def assert_same(found, expected, tolerance=1e-10):
    for value, wanted in zip(arrays_of(found), arrays_of(expected), strict=True):
        np.testing.assert_allclose(value, wanted, rtol=tolerance, atol=tolerance)


def one_of(sums, number):
    """Returns the sums of one of R posteriors."""
    statistics, *totals = sums
    return type(sums)(type(statistics)(*(value[number] for value in statistics)), *(total[number] for total in totals))


def coefficients_of(*posteriors):
    """Returns the coefficients of R posteriors."""
    places = [place_at(q, q.values()).coefficients for q in posteriors]
    return tuple(map(np.stack, zip(*places)))


# The coefficients of correlated columns have no masks
CASES = [(covariance, ()) for covariance in COMPONENTS]
CASES += [("diag", (0, 1, 2, 3)), ("spherical", (1, 3)), ("tied_diag", (1, 3)), ("tied_spherical", (0, 1, 2, 3))]


@pytest.mark.parametrize(("covariance", "gap_columns"), CASES)
@pytest.mark.parametrize("kind", BLOCKS)
def test_sums_of_several_posteriors_are_those_of_a_plain_loop(covariance, kind, gap_columns):
    block = BLOCKS[kind]
    posteriors = [random_posterior(covariance, seed=seed) for seed in (0, 1)]
    for q in posteriors:
        q.observe_gaps(gap_columns)
    groups = RowGroups(posteriors[0].form, block, gap_columns, keeps_features=True)
    coefficients = coefficients_of(*posteriors)
    found, totals = groups.sums(coefficients), groups.log_likelihoods(coefficients)
    expected = plain_sums(posteriors[1], block)
    assert_same(one_of(found, 1), expected)
    np.testing.assert_allclose(totals[:, 1], [expected.log_likelihood, expected.largest], rtol=1e-10)
    assert_same(one_of(found, 0), one_of(groups.sums([values[:1] for values in coefficients]), 0))


@pytest.mark.parametrize("covariance", ["diag", "full"])
@pytest.mark.parametrize("kind", BLOCKS)
def test_integer_weights_repeat_rows_and_zero_drops_them(covariance, kind):
    block = BLOCKS[kind]
    times = np.random.default_rng(5).integers(0, 4, len(ROWS))
    q = random_posterior(covariance)
    q.observe_gaps((0, 1, 2, 3))
    weighted = block.part(times > 0)._replace(weights=times[times > 0].astype(np.float64))
    repeated = block.part(np.repeat(np.arange(len(ROWS)), times))._replace(weights=None)
    one, other = (RowGroups(q.form, rows, q.gap_columns) for rows in (weighted, repeated))
    assert_same(one.sums(coefficients_of(q)), other.sums(coefficients_of(q)))
    assert one.total_weight == other.total_weight == times.sum() and len(other) == times.sum() > len(one)
    found, expected = (groups.log_likelihoods(coefficients_of(q)) for groups in (one, other))
    np.testing.assert_allclose(found, expected, rtol=1e-10)


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_no_noise_is_the_limit_of_little_noise_and_gaps_that_of_much(covariance):
    q = random_posterior(covariance)
    coefficients = coefficients_of(q)
    exact = RowGroups(q.form, RowBlock(COMPLETE)).sums(coefficients)
    for noise in (np.zeros(COMPLETE.shape), np.full(COMPLETE.shape, 1e-8), 1e-16 * np.array([np.eye(4)] * len(ROWS))):
        assert_same(RowGroups(q.form, RowBlock(COMPLETE, None, noise)).sums(coefficients), exact)
    much = np.where(np.isnan(ROWS), 1e12, 0.0)
    missing = RowGroups(q.form, RowBlock(ROWS)).sums(coefficients)
    # The density of a value with so much noise has no place in that of the columns that are seen
    gone = (0.5 * np.log(2 * np.pi) + np.log(1e12)) * np.isnan(ROWS).sum()
    found = RowGroups(q.form, RowBlock(COMPLETE, None, much)).sums(coefficients)
    assert_same(found._replace(log_likelihood=found.log_likelihood + gone, largest=found.largest + gone), missing, 1e-7)


def test_masks_count_only_rows_that_have_a_value():
    """With masks, whether a column has gaps or noise without end, it does not count; without them, it is expected."""
    q = random_posterior("diag")
    latent = RowGroups("independent", RowBlock(ROWS)).sums(coefficients_of(q)).statistics
    q.observe_gaps((0, 1, 2, 3))
    masked = RowGroups("independent", RowBlock(ROWS), (0, 1, 2, 3)).sums(coefficients_of(q)).statistics
    assert latent.second.shape == (1, 3, 4) and masked.second.shape == (1, 3, 8)
    np.testing.assert_allclose(masked.second[..., 4:].sum(axis=(0, 1)), (~np.isnan(ROWS)).sum(axis=0))
    assert (latent.second > masked.second[..., :4]).all()


@pytest.mark.parametrize("kind", ["gaps", "gaps, weights", "noise", "all, few matrices"])
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_sums_in_small_pieces_on_any_number_of_cores_are_the_same(covariance, kind, monkeypatch):
    q = random_posterior(covariance)
    coefficients = coefficients_of(q)
    whole = RowGroups(q.form, BLOCKS[kind]).sums(coefficients)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    monkeypatch.setattr(cores, "chunk_size", lambda numbers_per_row: 4)
    monkeypatch.setattr(pattern_groups, "_GROUP_NUMBERS", 1)
    monkeypatch.setattr(noisy_rows, "_MATRIX_NUMBERS", 100)
    monkeypatch.setattr(rare_gaps, "_CHUNK_NUMBERS", 100)
    found = []
    for number in (1, 3):
        monkeypatch.setattr(cores, "num_cores", lambda number=number: number)
        found.append(RowGroups(q.form, BLOCKS[kind]).sums(coefficients))
        assert_same(found[-1], whole, 1e-11)
    for one, other in zip(*map(arrays_of, found)):
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


@pytest.mark.parametrize("form", ["independent", "correlated"])
def test_float32_products_are_near_those_of_float64(form):
    q = random_posterior("diag" if form == "independent" else "full")
    coefficients = coefficients_of(q)
    for kind in ("gaps, weights", "all"):
        for keeps_features in (False, True):
            groups = RowGroups(form, BLOCKS[kind], keeps_features=keeps_features)
            assert_same(groups.sums(coefficients, np.float32), groups.sums(coefficients), 1e-3)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_log_joints_come_with_the_numbers_of_their_rows(covariance):
    q = random_posterior(covariance)
    for kind in ("weights", "all", "all, few matrices"):
        block, found = BLOCKS[kind], np.full((3, len(ROWS)), np.nan)

        def write(rows, joints, found=found):
            found[:, rows] = joints

        groups = RowGroups(q.form, block)
        assert len(list(groups.mapped(coefficients_of(q), write))) > 0
        weights = block.weights
        np.testing.assert_allclose(
            weights @ np.logaddexp.reduce(found, axis=0), groups.log_likelihoods(coefficients_of(q))[0, 0], rtol=1e-12
        )


def test_which_rows_are_plain():
    plain = RowBlock(COMPLETE)
    for form in ("independent", "correlated"):
        assert RowGroups(form, plain).are_plain
        assert RowGroups(form, plain._replace(noise=np.zeros(COMPLETE.shape))).are_plain
        for kind in BLOCKS:
            assert not RowGroups(form, BLOCKS[kind]).are_plain
    assert RowGroups("independent", plain, (1,)).are_plain, "complete rows have a 1 at every mask"
    assert not RowGroups("independent", BLOCKS["gaps"], (1,)).are_plain
    assert RowGroups("correlated", RowBlock(COMPLETE[:0])).sums(coefficients_of(random_posterior("full")))[1] == 0.0


def test_variances_beyond_any_unit_have_logarithms():
    """Products of many variances leave the range of float64: their logarithms are then taken one by one."""
    q = random_posterior("diag")
    linear, constants = coefficients_of(q)
    rows = RowBlock(np.zeros((3, 4), np.float32), None, np.full((3, 4), 1e-110))
    for size in (1e-100, 1.0, 1e100):
        of_columns = np.concatenate([linear[:, :4] / size, linear[:, 4:] / size**2], axis=1)
        found = RowGroups("independent", rows).log_likelihoods((of_columns, constants))
        exact = RowGroups("independent", rows._replace(noise=None)).log_likelihoods((of_columns, constants))
        np.testing.assert_allclose(found, exact, rtol=1e-9)
