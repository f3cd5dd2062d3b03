"""NumPy alone gives the scores that the operations of an export give, to 1e-6."""

from __future__ import annotations

import pathlib
import warnings
from typing import Any

import numpy as np
import pytest

import tfgmm
from tfgmm.common import threads as cores
from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import COMPONENTS
from tfgmm.mixture import outliers
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
