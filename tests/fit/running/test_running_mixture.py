"""Mixtures that follow rows in parts against `fit_mixture` of all rows, plain loops and repeated rows."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import tfgmm
from tfgmm.families.natural_gradient import moved, place_at
from tfgmm.fit.options import FitOptions
from tfgmm.fit.running import RunningMixture, running_mixture
from tfgmm.mixture.features import columns_of_products, num_products
from tfgmm.mixture.parameters import FORMS
from tfgmm.mixture.registry import COVARIANCES
from tfgmm.mixture.statistics import Statistics
from tfgmm.report.subject import fitted_of

GENERATOR = np.random.default_rng(3)
ROWS = GENERATOR.normal(np.repeat([[-2.0, 0.0], [2.0, 1.0]], [50, 40], axis=0), [0.8, 1.2])
ROWS = ROWS[GENERATOR.permutation(90)]
FIXED = tfgmm.Priors(loc_scale=10.0)


def running(parts: Any, num_components: int = 2, forgetting_factor: float = 1.0, **options: Any) -> RunningMixture:
    mixture = RunningMixture(num_components, FitOptions(**{"restarts": 2} | options), forgetting_factor)
    for part in parts:
        mixture.update(*part) if isinstance(part, tuple) else mixture.update(part)
    return mixture


def close(one: tfgmm.FitResult, other: tfgmm.FitResult, rtol: float = 1e-9, atol: float = 1e-9) -> None:
    parts = one.variational.public()
    for name, values in other.variational.public().items():
        np.testing.assert_allclose(parts[name], values, rtol=rtol, atol=atol, err_msg=name)
    for name in ("elbo", "log_likelihood", "complete_log_likelihood", "num_data"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=max(rtol, 1e-9), err_msg=name)


def same(one: tfgmm.FitResult, other: tfgmm.FitResult) -> None:
    assert one.elbo == other.elbo and one.history == other.history and one.data_summary == other.data_summary
    parts = one.variational.public()
    for name, values in other.variational.public().items():
        np.testing.assert_array_equal(parts[name], values)


@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
@pytest.mark.parametrize("covariance", COVARIANCES)
def test_one_part_is_fitted_as_by_fit_mixture(covariance: str, weights: str) -> None:
    given = {"covariance": covariance, "weights": weights, "restarts": 2, "seed": 4}
    result, fitted = running([ROWS], 3, **given).result(), tfgmm.fit_mixture(ROWS, 3, **given)
    close(result, fitted)
    assert result.converged and result.data_summary == fitted.data_summary and result.seed == 4
    assert [restart.elbo for restart in result.restarts] == [restart.elbo for restart in fitted.restarts]


def plain_sums(rows: np.ndarray, mixture: RunningMixture) -> list[np.ndarray]:
    """Sums rows that all belong to one component: how many there are, values from the centre, and their products."""
    q = mixture.result().variational
    first, second = columns_of_products(num_products(FORMS[q.form].write_products, 2), 2)
    values = rows - q.centre
    masks = [np.isfinite(values[:, column]).sum() for column in q.gap_columns]
    products = np.nansum(values[:, first] * values[:, second], axis=0)
    return [np.array([len(rows)]), np.nansum(values, axis=0)[None], np.concatenate([products, masks])[None]]


@pytest.mark.parametrize("covariance", COVARIANCES)
def test_parts_of_one_component_add_up_to_the_fit_of_all_rows(covariance: str) -> None:
    given = {"covariance": covariance, "priors": FIXED}
    fitted = tfgmm.fit_mixture(ROWS, 1, **given)
    mixture = running([ROWS[:40], ROWS[40:60], ROWS[60:61], ROWS[61:]], 1, **given)
    for sums, plain in zip(mixture.result().sums or (), plain_sums(ROWS, mixture)):
        np.testing.assert_allclose(sums, plain, rtol=1e-6, atol=1e-5)
    result = mixture.result()
    np.testing.assert_allclose(result.locs, fitted.locs, rtol=1e-3)  # they and widths settle in turn, part by part
    assert result.num_data == 90 and not result.converged
    for name in ("mean", "scale"):
        np.testing.assert_allclose(getattr(result.data_summary, name), getattr(fitted.data_summary, name), rtol=1e-12)
    for name in ("minimum", "maximum", "fingerprint", "num_rows", "column_names"):
        assert getattr(result.data_summary, name) == getattr(fitted.data_summary, name)


@pytest.mark.filterwarnings("ignore:.* missing", "ignore:.* without any value")
@pytest.mark.parametrize("covariance", ["diag", "spherical", "tied_diag"])
def test_gaps_may_begin_in_a_later_part(covariance: str) -> None:
    rows = np.where(np.random.default_rng(1).random((90, 1)) < [0.3, 0.0], np.nan, ROWS)
    rows[:40], rows[70:, 1], rows[75] = ROWS[:40], np.nan, np.nan  # neither column has gaps at first
    given = {"covariance": covariance, "priors": FIXED}
    fitted = tfgmm.fit_mixture(rows, 1, **given)
    mixture = running([ROWS[:40], rows[40:70], rows[70:]], 1, **given)
    result, some = mixture.result(), rows[np.isfinite(rows).any(axis=1)]
    for sums, plain in zip(mixture.result().sums or (), plain_sums(some, mixture)):
        np.testing.assert_allclose(sums, plain, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(result.locs, fitted.locs, rtol=1e-3)
    for name in ("gaps", "num_incomplete", "num_empty", "num_data"):
        assert getattr(result.data_summary, name) == getattr(fitted.data_summary, name)


@pytest.mark.filterwarnings("ignore:.* missing")
def test_gaps_of_correlated_columns_are_filled_by_what_is_known_then() -> None:
    rows = ROWS.copy()
    rows[60:, 0] = np.nan
    mixture = running([ROWS[:60], rows[60:]], 2, covariance="full")
    np.testing.assert_allclose(mixture.result().locs, tfgmm.fit_mixture(rows, 2, covariance="full").locs, atol=0.3)
    assert mixture.result().data_summary.gaps == (30, 0)


def test_parts_add_the_sums_of_their_time() -> None:
    first, second = ROWS[:50], ROWS[50:]
    mixture = running([first])
    q, statistics = mixture.result().variational, []
    for part in (first, second):
        linear, constants = place_at(q, q.values()).coefficients
        counts, sums, squares = np.zeros(2), np.zeros((2, 2)), np.zeros((2, 2))
        for row in part - q.centre:
            joints = np.concatenate([row, row**2]) @ linear + constants
            for k, share in enumerate(special.softmax(joints)):
                counts[k], sums[k], squares[k] = counts[k] + share, sums[k] + share * row, squares[k] + share * row**2
        statistics.append(Statistics(counts, sums, squares))
    total = Statistics(*(one + other for one, other in zip(*statistics)))
    expected = moved(q, q.values(), total, q.centre).target.values
    mixture.update(second)
    for value, wanted in zip(mixture.result().variational.values().flat, expected.flat):
        np.testing.assert_allclose(value, wanted, rtol=1e-6, atol=1e-6)


def test_figures_are_those_of_each_part_when_it_came() -> None:
    mixture, log_likelihood = running([ROWS[:50]]), 0.0
    for part in (ROWS[:50], ROWS[50:70], ROWS[70:]):
        result = mixture.result()
        density = result.plug_in()
        scales, _ = density.form.covariances(density.components)
        of_columns = stats.norm.logpdf(part[:, None], density.components["locs"] + density.centre, scales)
        log_likelihood += special.logsumexp(density.log_weights + of_columns.sum(axis=2), axis=1).sum()
        if part is not ROWS[:50] and len(part) < 50:
            mixture.update(part)
    assert mixture.result().log_likelihood == pytest.approx(log_likelihood, rel=1e-6)
    result = mixture.result()
    assert sorted(result.history) == ["elbo", "kl", "log_likelihood", "loss"] and len(result.history["elbo"]) == 3
    assert result.elbo == pytest.approx(result.history["log_likelihood"][-1] - float(result.variational.kl()))
    assert result.complete_log_likelihood < result.log_likelihood


def test_fits_in_parts_say_so_in_words_and_have_no_record_of_sweeps() -> None:
    mixture = running([ROWS[:50]])
    assert "converged after" in str(mixture.result()) and fitted_of(mixture.result()).record is not None
    mixture.update(ROWS[50:])
    result = mixture.result()
    assert "rows came in 2 parts, and each added its sums as the fit stood then; 2 of 2 components" in str(result)
    assert "sweep" not in str(result) and result.num_parts == 2 and fitted_of(result).record is None


def test_histories_go_back_so_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = running([ROWS[:50], ROWS[50:70], ROWS[70:80], ROWS[80:]]).result().history
    monkeypatch.setattr(running_mixture, "_LONGEST_HISTORY", 3)
    short = running([ROWS[:50], ROWS[50:70], ROWS[70:80], ROWS[80:]]).result().history
    assert short == {name: figures[1:] for name, figures in whole.items()}


@pytest.mark.parametrize("factor", [1.0, 0.97])
@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_whole_weights_are_repeated_rows(covariance: str, factor: float) -> None:
    weights = GENERATOR.integers(0, 4, 90)
    cuts = [slice(0, 50), slice(50, 70), slice(70, 90)]
    weighted = running([(ROWS[cut], weights[cut]) for cut in cuts], 2, factor, covariance=covariance)
    repeated = running([np.repeat(ROWS[cut], weights[cut], axis=0) for cut in cuts], 2, factor, covariance=covariance)
    close(weighted.result(), repeated.result(), rtol=1e-6, atol=1e-6)
    summary = weighted.result().data_summary
    assert summary.num_rows == (weights > 0).sum() and summary.num_weightless == (weights == 0).sum()
    mixed = running([ROWS[:50], (ROWS[50:], weights[50:])])  # weights from the second part on
    assert mixed.result().num_data == 50 + weights[50:].sum()


@pytest.mark.parametrize("cuts", [[60], [60, 70], [60, 61, 85]])
def test_rows_fade_by_their_age_however_they_are_cut(cuts: list[int]) -> None:
    factor = 0.95
    mixture = running(np.split(ROWS, cuts), 1, factor, priors=FIXED)
    shares = factor ** np.arange(90)[::-1]
    values = ROWS - mixture.result().variational.centre
    counts, first, second = mixture.result().sums
    assert counts[0] == pytest.approx(shares.sum(), rel=1e-7) and mixture.result().num_data == pytest.approx(counts[0])
    np.testing.assert_allclose(first[0], shares @ values, rtol=1e-6)
    np.testing.assert_allclose(second[0], shares @ values**2, rtol=1e-6)
    assert mixture.result().data_summary.num_rows == 90


def test_long_first_parts_have_faded_at_their_end() -> None:
    rows = np.concatenate([ROWS, *[ROWS + 20.0] * 4])
    mixture = running([rows], 2, 0.98)
    np.testing.assert_allclose(np.sort(mixture.result().locs[:, 0]), [18.0, 22.0], atol=0.5)
    assert mixture.result().num_data == pytest.approx(50.0, rel=1e-3)


def test_with_forgetting_a_drifting_mean_is_followed_and_without_it_is_not() -> None:
    generator = np.random.default_rng(0)
    drift = np.linspace(0.0, 10.0, 6_000)
    rows = np.where(generator.random(6_000) < 0.5, -8.0, 8.0 + drift)[:, None] + generator.normal(size=(6_000, 1))
    parts = np.split(rows, 60)
    locs = [running(parts, 2, factor).result().locs.ravel() for factor in (0.998, 1.0)]
    assert abs(locs[0].max() - 18.0) < 1.0 and abs(locs[0].min() + 8.0) < 0.3
    assert abs(locs[1].max() - 18.0) > 3.0


def test_groups_that_stay_away_are_forgotten_or_not() -> None:
    generator = np.random.default_rng(0)
    both = generator.normal([[-4.0], [4.0]] * 100)
    later = [generator.normal(4.0, 1.0, (100, 1)) for _ in range(20)]
    forgetful, mindful = running([both, *later], 2, 0.99), running([both, *later], 2, 1.0)
    assert forgetful.result().log_prob([[-4.0]])[0] < -8.0
    assert sorted(mindful.result().locs.round().ravel().tolist()) == [-4.0, 4.0]
    assert np.exp(mindful.result().plug_in().log_weights).min() == pytest.approx(100 / 2200, abs=0.01)


@pytest.mark.filterwarnings("ignore:.* are taken as rounded to that", "ignore:.* far from")
def test_rows_are_measured_from_where_they_are() -> None:
    far = [ROWS[:60], ROWS[60:70] + 3e6, ROWS[70:] + 3e6]
    mixture = running(far, 1, covariance="full", priors=FIXED)
    assert np.abs(mixture.result().variational.centre - far[1].mean(axis=0)).max() < 1e-3
    for sums, plain in zip(mixture.result().sums or (), plain_sums(np.concatenate(far), mixture)):
        np.testing.assert_allclose(sums, plain, rtol=1e-6, atol=1e-4)
    # The jump is forgotten, and with it what float32 would have lost of rows measured from the old centre
    rows = np.concatenate([*far[:2], *[ROWS + 3e6] * 4])
    following = running(np.split(rows, [60, 70, 200, 300]), 1, 0.9)
    shares, values = 0.9 ** np.arange(len(rows))[::-1], rows - following.result().variational.centre
    _, first, second = following.result().sums
    np.testing.assert_allclose(first[0], shares @ values, rtol=1e-3)
    np.testing.assert_allclose(second[0], shares @ values**2, rtol=1e-3)


def test_the_first_rows_are_fitted_again_when_there_are_many_more() -> None:
    generator = np.random.default_rng(1)
    first, third = generator.normal([[-4.0], [0.0]] * 20), generator.normal([[-4.0], [0.0], [4.0]] * 50)
    mixture = running([first], 3)
    mixture.update(third[:119])
    assert not mixture.result().converged
    mixture.update(third[119:])  # four times as many as the first
    rows = np.concatenate([first, third])
    assert mixture.result().converged and mixture.kept()["num_fitted"] == 190
    assert mixture.result().elbo >= tfgmm.fit_mixture(rows, 3, restarts=2).elbo - 0.02
    assert sorted(mixture.result().locs.round().ravel().tolist()) == [-4.0, 0.0, 4.0]


def test_no_row_is_kept_once_there_are_many() -> None:
    rows = np.random.default_rng(2).normal([[-4.0], [4.0]] * 10_001)
    mixture = running([rows[:5_001], rows[5_001:19_999]], restarts=1)
    assert sum(len(values) for values, _ in mixture.kept()["rows"]) == 19_999
    mixture.update(rows[19_999:])
    assert mixture.kept()["rows"] is None and mixture.result().converged
    mixture.update(rows[:1])
    assert mixture.kept()["rows"] is None and mixture.result().num_data == 20_003 and mixture.num_parts == 4


def test_small_parts_are_kept_together() -> None:
    mixture = running([ROWS[:30], *ROWS[30:90, None]], restarts=1)
    [(values, _)] = mixture.kept()["rows"]
    np.testing.assert_array_equal(values, ROWS)
    assert mixture.num_parts == 61


def test_kept_rows_are_copies_and_earlier_results_stay() -> None:
    part = ROWS[:50].copy()
    mixture = running([part])
    part[:] = 1e3
    before, known = mixture.result(), mixture.result().locs
    mixture.update(ROWS[50:])
    np.testing.assert_array_equal(mixture.kept()["rows"][0][0], ROWS)
    np.testing.assert_array_equal(before.locs, known)
    assert not np.array_equal(mixture.result().locs, known) and len(before.history["elbo"]) == 1


@pytest.mark.parametrize("number", [1, 2, 3])
def test_streams_go_on_from_pickles_copies_and_what_is_kept(number: int) -> None:
    parts = [ROWS[:30], ROWS[30:60], (ROWS[60:75], np.arange(15.0)), np.where(ROWS > 2.5, np.nan, ROWS)[75:]]
    whole = running(parts, 2, 0.99)
    begun = running(parts[:number], 2, 0.99)
    kept = RunningMixture.going_on(begun.result(), begun.kept(), begun.options, 0.99)
    others = [pickle.loads(pickle.dumps(begun)), copy.deepcopy(begun), kept]
    for mixture in [*others, begun]:
        for part in parts[number:]:
            mixture.update(*part) if isinstance(part, tuple) else mixture.update(part)
        same(mixture.result(), whole.result())


def test_float32_rows_are_taken() -> None:
    parts = [ROWS[:50], ROWS[50:]]
    close(running([part.astype(np.float32) for part in parts]).result(), running(parts).result(), 1e-4, 1e-4)


def test_columns_are_matched_by_name() -> None:
    table = pd.DataFrame(ROWS, columns=["one", "two"])
    mixture = running([table[:50], table[50:][["two", "one"]]])
    same_rows = running([ROWS[:50], ROWS[50:]])
    np.testing.assert_array_equal(mixture.result().locs, same_rows.result().locs)
    assert mixture.result().column_names == ("one", "two")
    with pytest.raises(ValueError, match="`data` must have the columns"):
        mixture.update(table.rename(columns={"two": "three"}))


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (ROWS[:, :1], "`data` must have"),
        (np.full((3, 2), np.inf), "`data` must hold finite numbers"),
        (ROWS[:0], "`data` must have at least one row"),
        (np.full((3, 2), 1e300), "`data`"),
        ((ROWS, np.zeros(90)), "`data`"),
        ((ROWS, np.ones(89)), "sample_weight"),
    ],
)
def test_bad_parts_are_refused_and_change_nothing(bad: Any, error: str) -> None:
    mixture = running([ROWS[:50], ROWS[50:60]])
    before = copy.deepcopy(mixture)
    with pytest.raises(ValueError, match=error):
        mixture.update(*bad) if isinstance(bad, tuple) else mixture.update(bad)
    for one in (mixture, before):
        one.update(ROWS[60:])
    same(mixture.result(), before.result())


def test_gaps_are_refused_where_they_are_errors() -> None:
    mixture = RunningMixture(2, FitOptions(restarts=1), missing="refuse")
    mixture.update(ROWS)
    with pytest.raises(ValueError, match="`data` must hold finite numbers. Received: 1 value"):
        mixture.update([[np.nan, 1.0]])


def test_the_first_part_needs_a_row_for_each_component() -> None:
    with pytest.raises(ValueError, match="`num_components` must be at most the number of rows"):
        running([ROWS[:2]], 3)
    assert running([ROWS[:40], ROWS[40:42]], 3).result().num_data == 42


def test_no_part_is_no_result() -> None:
    with pytest.raises(RuntimeError, match="must have rows. Received: no part yet. Call `update` first"):
        RunningMixture(2).result()


@pytest.mark.parametrize("factor", [0.0, -0.5, 1.01, np.nan, np.inf, True, "0.9", None])
def test_forgetting_factors_out_of_range_are_refused(factor: Any) -> None:
    with pytest.raises(
        ValueError, match=r"`forgetting_factor` must be above 0 and at most 1. Received: .* Leave it out"
    ):
        RunningMixture(2, forgetting_factor=factor)


def test_locations_begin_the_first_fit_alone() -> None:
    given = [[-2.0, 0.0], [2.0, 1.0]]
    mixture = running([ROWS[:20], ROWS[20:]], start=given)
    first = running([ROWS[:20]], start=given).result()
    assert len(first.restarts) == 1 and len(mixture.result().restarts) == 3
    np.testing.assert_allclose(mixture.result().locs, first.locs, atol=1.0)  # in the same order


@pytest.mark.slow
@pytest.mark.parametrize("covariance", ["full", "diag"])
def test_a_hundred_parts_end_where_the_fit_of_all_rows_does(covariance: str) -> None:
    generator = np.random.default_rng(0)
    locs = 0.7 * generator.normal(size=(8, 8))  # 2.8 widths from one to another
    rows = locs[generator.integers(8, size=120_000)] + generator.normal(size=(120_000, 8))
    rows, held_out = rows[:100_000], rows[100_000:]
    mixture = running(np.split(rows, 100), 8, covariance=covariance, restarts=8)
    fitted = tfgmm.fit_mixture(rows, 8, covariance=covariance)
    below = [result.log_prob(held_out).mean() for result in (fitted, mixture.result())]
    assert below[0] - below[1] < 0.005
