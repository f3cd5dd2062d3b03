"""NumPy alone gives the scores that the operations of an export give, to 1e-6."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import numpy as np
import pytest
from known_mixtures import CENTRE, WEIGHTS, K, Mixture
from scipy import special, stats

import tfgmm
from tfgmm.common import threads as cores
from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture import outliers
from tfgmm.mixture.row_scores import RowScorer
from tfgmm.scoring import scores as density

NAMES = ("log_prob", "responsibilities", "assignment", "outlier")


def by_the_graph(scorer: tfgmm.Scorer, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Returns the scores by name, through TensorFlow."""
    mixture = scorer.plug_in()
    names: tuple[Any, ...] = ("log_prob", "responsibilities", "assignment", "log_density")
    found = {name: density.score_data(mixture, rows, name, by_graph=True) for name in names}
    return found | {"outlier": outliers.tail_probabilities(scorer.outlier_table(), found["log_density"])}


@pytest.mark.usefixtures("no_graph")
@pytest.mark.filterwarnings("ignore:the bound was still rising")
@pytest.mark.parametrize("covariance", COMPONENTS)
@pytest.mark.parametrize("num_features", [1, 5])
def test_scores_equal_those_of_tensorflow(tmp_path: pathlib.Path, covariance: str, num_features: int) -> None:
    rng = np.random.default_rng(7)
    rows = np.concatenate([rng.normal(100.0, 2.0, (150, num_features)), rng.normal(106.0, 1.0, (50, num_features))])
    fit = tfgmm.fit_mixture(rows, 3, covariance=covariance, restarts=1, max_sweeps=20)
    folder = tfgmm.export_model(fit.model, tmp_path / "mixture")
    scorer = tfgmm.load_scorer(folder)
    far = rng.normal(100.0, 60.0, (200, num_features))
    x = np.concatenate([rows, far, np.full((1, num_features), np.inf), np.full((1, num_features), -np.inf)])
    x[5, 0], x[6] = np.inf, 1e30
    found, num_bad = scorer.scores(RowBlock(x), NAMES)
    assert set(found) == set(NAMES) and num_bad == 3
    expected = by_the_graph(scorer, x)
    # At 1e30 components differ by 1e30, below the rounding of 1e60: who has such a row, neither can tell
    for scores in (found, expected):
        assert scores["responsibilities"][6].sum() == pytest.approx(1.0)
        scores["responsibilities"][6] = 0.0
    for name in ("log_prob", "responsibilities", "outlier"):
        assert found[name].dtype == np.float32 and found[name].shape == expected[name].shape
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-6, atol=1e-6)
    assert found["assignment"].dtype == np.int64
    sure = np.nan_to_num(expected["responsibilities"]).max(axis=1) > 0.5 + 1e-6
    np.testing.assert_array_equal(found["assignment"][sure], expected["assignment"][sure])
    assert found["assignment"][[5, -2, -1]].tolist() == [-1, -1, -1]


def test_scores_in_pieces_of_any_size_are_the_same(whole: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(50, 3))
    one = tfgmm.load_scorer(whole).scores(RowBlock(rows), NAMES).by_name
    monkeypatch.setattr("tfgmm.common.threads.chunk_size", lambda numbers_per_row: 7)
    for name, values in tfgmm.load_scorer(whole).scores(RowBlock(rows), NAMES).by_name.items():
        np.testing.assert_allclose(values, one[name], rtol=1e-6)


def test_no_rows_no_names_and_float32_rows(whole: pathlib.Path) -> None:
    scorer = tfgmm.load_scorer(whole)
    none = scorer.scores(RowBlock(np.zeros((0, 3))), NAMES).by_name
    assert none["log_prob"].shape == none["assignment"].shape == (0,) and none["responsibilities"].shape == (0, 2)
    assert scorer.scores(RowBlock(np.zeros((4, 3))), ()) == ({}, 0)
    rows = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    expected = tfgmm.load_scorer(whole).log_prob(rows)
    np.testing.assert_allclose(scorer.scores(RowBlock(rows), ["log_prob"]).by_name["log_prob"], expected, rtol=1e-6)


def test_bad_rows_raise_no_warning(whole: pathlib.Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = np.array([[np.nan, 1e300, np.inf], [1e30, -1e30, 0.0]])
        found, num_bad = tfgmm.load_scorer(whole).scores(RowBlock(rows), NAMES)
    assert num_bad == 1
    assert np.isnan(found["log_prob"]).tolist() == np.isnan(found["outlier"]).tolist() == [True, False]
    assert found["assignment"][0] == -1 and found["log_prob"][1] == np.finfo(np.float32).min


def test_scores_are_the_same_for_any_number_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "num_cores", lambda: 4)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    rows = np.random.default_rng(0).normal(size=(101, 2))
    rows[50, 1] = np.nan
    model = tfgmm.fit_mixture(rows[:50], 2, restarts=1, seed=0)
    scores = "log_prob", "log_density", "responsibilities", "assignment"
    found = [density.score_data(model.plug_in(), rows, score) for score in scores]
    monkeypatch.setattr(cores, "num_cores", lambda: 1)
    for values, score in zip(found, scores):
        np.testing.assert_allclose(values, density.score_data(model.plug_in(), rows, score), rtol=1e-6)


# Rows with gaps, and noisy ones


def expected_scores(mixture: Mixture, rows: np.ndarray, noise: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Returns scores of the columns that rows have, by SciPy, one row after the other."""
    locs, covariances = mixture.plug_in().components["locs"] + CENTRE, mixture.covariances()
    joints = np.empty((len(rows), K))
    for number, row in enumerate(rows):
        shown = np.flatnonzero(~np.isnan(row))
        for k in range(K):
            matrix = covariances[k] if noise is None else covariances[k] + noise[number]
            density = stats.multivariate_normal(locs[k, shown], matrix[np.ix_(shown, shown)])
            joints[number, k] = np.log(WEIGHTS[k]) + density.logpdf(row[shown])
    log_density = special.logsumexp(joints, axis=1)
    responsibilities = special.softmax(joints, axis=1)
    return {
        "log_prob": log_density,
        "log_density": log_density,
        "responsibilities": responsibilities,
        "memberships": responsibilities,
        "assignment": joints.argmax(axis=1),
    }


SCORES = ("log_prob", "log_density", "responsibilities", "memberships", "assignment")


def rows_about_the_centre(num_rows: int = 60) -> np.ndarray:
    """Returns rows that float32 holds once they are centred, some with gaps; the first ten are complete."""
    generator = np.random.default_rng(4)
    rows = (3 * generator.normal(size=(num_rows, 4))).astype(np.float32).astype(np.float64) + CENTRE
    rows = (rows - CENTRE).astype(np.float32).astype(np.float64) + CENTRE
    gaps = generator.random(rows.shape) < 0.4
    gaps[:10], gaps[10:20], gaps[:, 3] = False, [True, False, False, False], False
    return np.where(gaps, np.nan, rows)


@pytest.mark.parametrize("kind", ["gaps", "deviations", "covariances"])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_scores_are_those_of_the_columns_that_rows_have(covariance: str, kind: str) -> None:
    mixture, rows = Mixture(covariance), rows_about_the_centre()
    observed, noise, matrices = ~np.isnan(rows), None, None
    generator = np.random.default_rng(6)
    if kind == "deviations":
        noise = generator.uniform(0.0, 2.0, rows.shape) * observed
        matrices = noise[..., None] ** 2 * np.eye(4)
    elif kind == "covariances":
        roots = generator.normal(size=(len(rows), 4, 4))
        noise = matrices = (roots @ roots.swapaxes(1, 2)) * observed[:, :, None] * observed[:, None]
    found, num_bad = RowScorer(mixture.plug_in()).scores(RowBlock(rows, None, noise), SCORES)
    expected = expected_scores(mixture, rows, matrices)
    assert num_bad == 0
    for name in SCORES:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    for name in ("log_density", "memberships"):  # in float64, also where they are small
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-7, atol=1e-250)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_the_average_of_several_mixtures_integrates_gaps_out_of_each(covariance: str) -> None:
    mixture, rows = Mixture(covariance), rows_about_the_centre()[:24]
    drawn = mixture.predictive()
    found = RowScorer(drawn).scores(RowBlock(rows), ["log_density"]).by_name["log_density"]
    of_each = [RowScorer(drawn.part(number)) for number in range(len(drawn.log_weights))]
    each = [one.scores(RowBlock(rows), ["log_density"]).by_name["log_density"] for one in of_each]
    np.testing.assert_allclose(found, special.logsumexp(each, axis=0) - np.log(len(each)), rtol=1e-9)


def test_rows_without_any_value_and_infinite_ones() -> None:
    mixture, rows = Mixture("full"), rows_about_the_centre()[:16]
    complete = RowScorer(mixture.plug_in()).scores(RowBlock(rows), SCORES).by_name
    spoilt = rows.copy()
    spoilt[2], spoilt[3, 1], spoilt[4] = np.nan, np.inf, [np.nan, -np.inf, 0.0, 0.0]
    for noise in (None, np.zeros(rows.shape)):
        found, num_bad = RowScorer(mixture.plug_in()).scores(RowBlock(spoilt, None, noise), SCORES)
        assert num_bad == 3
        for name in ("log_prob", "log_density"):
            assert np.isnan(found[name][[2, 3, 4]]).all()
        assert found["assignment"][[2, 3, 4]].tolist() == [-1, -1, -1]
        for name in ("responsibilities", "memberships"):
            np.testing.assert_allclose(found[name][2], WEIGHTS, rtol=1e-6)
            assert np.isnan(found[name][[3, 4]]).all()
        others = [0, 1, *range(5, 16)]
        for name in SCORES:
            np.testing.assert_allclose(found[name][others], complete[name][others], rtol=1e-6)
