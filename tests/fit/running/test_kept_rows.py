"""Rows of a stream that are kept: mixtures of parts against fits of all rows, and when these are fitted again."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris, load_wine
from sklearn.metrics import adjusted_rand_score
from sklearn.preprocessing import StandardScaler

import tfgmm
from tfgmm.fit.options import FitOptions
from tfgmm.fit.running import RunningMixture, kept_rows, running_mixture

pytestmark = pytest.mark.filterwarnings("ignore::tfgmm.mixture.odd_data.OddDataWarning")
IRIS, SPECIES = load_iris(return_X_y=True)
WINE = StandardScaler().fit_transform(load_wine().data)[:, :6]
SHUFFLED = np.random.default_rng(0).permutation(150)


def running(parts: Any, num_components: int = 3, factor: float = 1.0, **options: Any) -> RunningMixture:
    mixture = RunningMixture(num_components, FitOptions(**{"covariance": "full"} | options), factor)
    for part in parts:
        mixture.update(part)
    return mixture


def below(mixture: RunningMixture, rows: np.ndarray) -> float:
    """Returns how far the score is below that of the fit of all rows, nats a row."""
    result = mixture.result()
    fitted = tfgmm.fit_mixture(rows, result.num_components, covariance=result.covariance)
    return float((fitted.log_prob(rows) - result.log_prob(rows)).mean())


@pytest.mark.parametrize("size", [25, 50])
def test_shuffled_tables_end_where_the_fit_of_all_rows_does(size: int) -> None:
    assert below(running(np.split(IRIS[SHUFFLED], 150 // size)), IRIS) < 0.01
    shuffled = WINE[np.random.default_rng(2).permutation(len(WINE))]
    assert below(running(np.array_split(shuffled, len(WINE) // size)), WINE) < 0.02


@pytest.mark.parametrize("cuts", [range(50, 150, 50), range(10, 150, 10), [3, *range(135, 150)]])
def test_sorted_tables_end_where_the_fit_of_all_rows_does(cuts: Any) -> None:
    result = (mixture := running(np.split(IRIS, cuts))).result()
    assert below(mixture, IRIS) < 0.01
    assert adjusted_rand_score(SPECIES, result.responsibilities(IRIS).argmax(axis=1)) > 0.89


def test_a_group_that_comes_last_is_found() -> None:
    rows = np.repeat([[-5.0], [5.0]], [1600, 800], axis=0) + np.random.default_rng(1).normal(size=(2400, 1))
    result = running(np.split(rows, 12), 2).result()
    np.testing.assert_allclose(np.sort(result.locs.ravel()), [-5.0, 5.0], atol=0.1)


@pytest.mark.parametrize("factor", [1.0, 0.99])
def test_figures_are_those_of_the_rows_at_the_mixture(factor: float) -> None:
    mixture = running([IRIS[:50], IRIS[50:144], IRIS[144:]], factor=factor, restarts=2)
    result, weights = mixture.result(), factor ** np.arange(150)[::-1]
    assert not result.is_summed_over_parts and result.num_data == pytest.approx(weights.sum())
    assert result.log_likelihood == pytest.approx(weights @ result.log_prob(IRIS), rel=1e-5)
    joint = result.log_prob(IRIS) + np.log(result.responsibilities(IRIS).max(axis=1))
    assert result.complete_log_likelihood == pytest.approx(weights @ joint, rel=1e-5)
    assert result.bic == pytest.approx(-2.0 * result.log_likelihood + np.log(weights.sum()) * result.num_parameters)
    assert result.history["elbo"][-1] == pytest.approx(result.elbo, rel=1e-9)
    given = {"covariance": "full", "sample_weight": weights, "priors": result.priors, "start": result.variational}
    fitted = tfgmm.fit_mixture(IRIS, 3, **given)
    assert fitted.elbo - 0.05 < result.elbo < fitted.elbo + 1e-3  # the bound of the same rows, some sweeps on


def test_figures_count_parts_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept_rows, "_MOST_KEPT", 100)
    mixture = running([IRIS[:50], IRIS[50:100]], restarts=2)
    assert not mixture.result().is_summed_over_parts  # the last fit was to all of them
    mixture.update(IRIS[100:])
    assert mixture.result().is_summed_over_parts
    going_on = RunningMixture.going_on(mixture.result(), mixture.kept(), mixture.options)
    assert going_on.result().is_summed_over_parts
    after_fit = RunningMixture.going_on(tfgmm.fit_mixture(IRIS, 3), None, FitOptions())
    assert not after_fit.result().is_summed_over_parts
    after_fit.update(IRIS[:1])
    assert after_fit.result().is_summed_over_parts


def times_fitted(monkeypatch: pytest.MonkeyPatch, parts: Any, num_components: int) -> list[int]:
    """Lists the numbers of rows that were fitted from restarts after the first part."""
    numbers, fit_again = [], running_mixture.fit_again
    monkeypatch.setattr(
        running_mixture, "fit_again", lambda rows, *given: numbers.append(len(rows.values)) or fit_again(rows, *given)
    )
    running(parts, num_components, restarts=1, covariance="spherical")
    return numbers


def test_rows_are_fitted_again_when_there_are_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal([[-4.0], [4.0]] * 10_500)
    assert times_fitted(monkeypatch, np.split(rows, 21), 2) == [2_000, 3_000, 5_000, 8_000, 12_000, 20_000]


def test_few_rows_are_fitted_again_when_there_are_a_tenth_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert times_fitted(monkeypatch, [IRIS[:100], *IRIS[100:, None]], 2) == [111, 123, 136, 150]


@pytest.mark.parametrize("size", [100, 400])
def test_rows_are_fitted_again_when_the_mixture_does_not_fit_them(monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    rows = np.random.default_rng(0).normal(size=(2_000 + size, 1))
    rows[2_000:] += 30.0
    same, other = rows[:2_000], rows[2_000:]
    assert times_fitted(monkeypatch, [same, other], 2) == ([2_400] if size == 400 else [])
    assert times_fitted(monkeypatch, [same, same[:size]], 2) == []


def test_rows_are_swept_after_a_hundredth_more() -> None:
    rows = np.random.default_rng(0).normal([[-4.0], [4.0]] * 1_100)
    mixture = running([rows[:2_000], rows[2_000:2_010]], 2, restarts=1)
    assert mixture.result().is_summed_over_parts
    mixture.update(rows[2_010:2_020])
    assert not mixture.result().is_summed_over_parts
    counts = mixture.kept()["counts"]
    assert counts[:2] == [2_000.0, 2_020.0]


def test_a_fit_that_fails_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    mixture = running([IRIS[:100]], restarts=1)
    before = mixture.result()

    def fails(*_: Any) -> None:
        raise FloatingPointError

    with monkeypatch.context() as patch:
        for name, rows in (("swept", IRIS[100:105]), ("fit_again", IRIS[100:])):
            patch.setattr(running_mixture, name, fails)
            with pytest.raises(FloatingPointError):
                mixture.update(rows)
    assert mixture.result().history == before.history and mixture.result().elbo == before.elbo
    whole = running([IRIS[:100], IRIS[100:]], restarts=1)
    mixture.update(IRIS[100:])
    assert mixture.result().elbo == whole.result().elbo and mixture.num_parts == 2


def test_means_move_to_the_optimum_for_their_sums() -> None:
    generator, forgotten = np.random.default_rng(1), 1 - 1 / 1_000
    rows = generator.normal(size=(30_000, 1)) + np.linspace(0.0, 10.0, 30_000)[:, None]
    few, many = (running(np.split(rows, number), 1, forgotten).result() for number in (3, 30))
    assert few.locs[0, 0] == pytest.approx(many.locs[0, 0], abs=0.002)  # standard deviation 0.03
