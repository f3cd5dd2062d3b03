"""An export of a fit that carries draws from the exact posterior: its bands, its card, and the way back."""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import tfgmm
from tfgmm.export.folder import IntegrityError
from tfgmm.export.reading import read_numbers
from tfgmm.export.saved_model import write_export
from tfgmm.export.verify import verify_export
from tfgmm.posterior.record import PosteriorRecord

# Half a component's width between the pair and its middle: the mean-field widths are about half of the exact ones
ROWS = np.random.default_rng(0).normal([[-1.5]] * 500 + [[1.5]] * 500)
POINTS = np.array([[-2.5], [-1.0], [0.0], [0.5], [1.0], [3.0]])
PLAIN = PosteriorRecord("mean_field", "mean_field")


@pytest.fixture(scope="module")
def results() -> tuple[Any, Any]:
    """The same fit without and with draws from the exact posterior."""
    plain = tfgmm.fit_mixture(ROWS, 2, restarts=2, seed=0)
    return plain, plain.with_posterior(ROWS)


@pytest.fixture(scope="module")
def exports(results: tuple[Any, Any], tmp_path_factory: pytest.TempPathFactory) -> tuple[pathlib.Path, pathlib.Path]:
    place = tmp_path_factory.mktemp("exports")
    plain, exact = results
    return plain.export(place / "plain"), exact.export(place / "exact", saved_model=True)


@pytest.fixture
def scorers(exports: tuple[pathlib.Path, pathlib.Path]) -> tuple[Any, Any]:
    return tfgmm.load_scorer(exports[0]), tfgmm.load_scorer(exports[1])


def test_an_export_stores_the_record_and_draws_that_are_as_wide(results: Any, scorers: Any) -> None:
    plain, exact = (scorer.draws() for scorer in scorers)
    assert (plain.num_draws, exact.num_draws) == (64, 256)
    assert (plain.posterior, exact.posterior) == (PLAIN, results[1].exact.record)
    assert exact.posterior.method == "importance" and exact.posterior.is_exact
    # Mathematics, A8: at distance 3 the mean-field deviations are 0.49 of the exact ones
    ratios = exact.locs.std(axis=(0, 1)) / results[0].draws(4_000, seed=0).locs.std(axis=(0, 1))
    np.testing.assert_allclose(ratios, 1.0 / 0.49, rtol=0.25)


def band_by_draws(draws: Any, points: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The band of the log density at points of one column, from draws by SciPy's densities in a loop."""
    densities = [
        np.log((weights * stats.norm.pdf(points, locs[:, 0], scales[:, 0])).sum(axis=1))
        for weights, locs, scales in zip(draws.weights[0], draws.locs[0], draws.scales[0], strict=True)
    ]
    low, high = np.quantile(densities, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0, method="weibull")
    return low, high


def test_bands_are_those_of_draws_from_the_exact_posterior(results: Any, scorers: Any) -> None:
    of_stored = band_by_draws(scorers[1].draws(), POINTS, 0.95)
    band = scorers[1].interval(POINTS, 0.95)
    np.testing.assert_allclose([band.log_prob_low, band.log_prob_high], of_stored, atol=2e-4)
    low, high = band_by_draws(results[1].draws(4_000, seed=3), POINTS, 0.95)
    # The ends of 256 draws are known to 0.17 standard deviations, a quarter of whose band is one
    away = np.abs([band.log_prob_low - low, band.log_prob_high - high])
    assert (away < (high - low) / 8).all()
    of_fit = results[1].interval(POINTS, 0.95)
    np.testing.assert_array_equal(band.log_prob_low, of_fit.log_prob_low)
    plain = scorers[0].interval(POINTS, 0.95)
    assert np.mean((band.log_prob_high - band.log_prob_low) / (plain.log_prob_high - plain.log_prob_low)) > 1.1


def test_the_predictive_density_averages_the_stored_draws(results: Any, scorers: Any) -> None:
    draws = scorers[1].draws()
    per_draw = draws.weights[0][:, None] * stats.norm.pdf(
        POINTS, draws.locs[0, :, None, :, 0], draws.scales[0, :, None, :, 0]
    )
    expected = np.log(per_draw.sum(axis=-1).mean(axis=0))
    np.testing.assert_allclose(scorers[1].log_prob(POINTS, kind="predictive"), expected, rtol=1e-5)
    np.testing.assert_array_equal(
        results[1].log_prob(POINTS, kind="predictive"), scorers[1].log_prob(POINTS, kind="predictive")
    )


def test_more_draws_tell_wider_bands(scorers: Any) -> None:
    assert (scorers[1].interval(POINTS, 0.99).log_prob_low < scorers[1].interval(POINTS, 0.95).log_prob_low).all()
    with pytest.raises(ValueError, match=r"`level` must be above 0 and at most 0.992. Received: 0.996"):
        scorers[1].interval(POINTS, 0.996)
    with pytest.raises(ValueError, match=r"`level` must be above 0 and at most 0.969. Received: 0.99"):
        scorers[0].interval(POINTS, 0.99)


def test_the_saved_model_answers_from_the_same_draws(exports: Any, scorers: Any) -> None:
    verify_export(exports[1])
    signatures = tf.saved_model.load(str(exports[1])).signatures
    answer = signatures["interval"](x=tf.constant(POINTS, tf.float32), level=tf.constant(0.95))
    band = scorers[1].interval(POINTS, 0.95)
    np.testing.assert_allclose(answer["log_prob_low"], band.log_prob_low, atol=1e-4)
    np.testing.assert_allclose(answer["log_prob_high"], band.log_prob_high, atol=1e-4)


def test_another_export_of_the_numbers_keeps_the_record(exports: Any, scorers: Any, tmp_path: pathlib.Path) -> None:
    write_export(read_numbers(exports[1]), tmp_path / "again", False, False)
    again = tfgmm.load_scorer(tmp_path / "again").draws()
    assert again.posterior == scorers[1].draws().posterior
    np.testing.assert_array_equal(again.locs, scorers[1].draws().locs)


@pytest.fixture
def copied(exports: tuple[pathlib.Path, pathlib.Path], tmp_path: pathlib.Path) -> pathlib.Path:
    """The numbers alone, whose card may be changed."""
    write_export(read_numbers(exports[1]), tmp_path / "copied", False, False)
    return tmp_path / "copied"


def change_card(folder: pathlib.Path, **changes: Any) -> None:
    card = json.loads((folder / "model_card.json").read_text()) | changes
    (folder / "model_card.json").write_text(
        json.dumps({name: value for name, value in card.items() if value != "nothing"})
    )


def test_an_export_written_before_says_mean_field(copied: pathlib.Path) -> None:
    change_card(copied, posterior="nothing")
    assert tfgmm.load_scorer(copied).draws().posterior == PLAIN


def test_fields_of_later_versions_are_left_out(copied: pathlib.Path) -> None:
    change_card(copied, posterior={"method": "mcmc", "r_hat": 1.01, "colour": "red"})
    assert tfgmm.load_scorer(copied).draws().posterior == PosteriorRecord("mcmc", r_hat=1.01)


@pytest.mark.parametrize(
    ("posterior", "words"),
    [
        ("importance", "must have an object in its field 'posterior'"),
        ({"method": "exact"}, "has in its field 'posterior': `method` must be one of"),
        ({"method": "mcmc", "ess": "many"}, "has in its field 'posterior': `ess` must be a finite number"),
        ({"method": "mcmc", "share_moved": 2.0}, "`share_moved` must be a finite number from 0 to 1"),
    ],
)
def test_an_odd_field_is_refused(copied: pathlib.Path, posterior: Any, words: str) -> None:
    change_card(copied, posterior=posterior)
    with pytest.raises(IntegrityError) as caught:
        tfgmm.load_scorer(copied)
    assert words in str(caught.value)
