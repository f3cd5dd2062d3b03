"""load_scorer gives a scorer with the model's numbers, for rows of every kind."""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from exports import FRAME, NAMES, ROWS, D, Exported, K

import tfgmm
from tfgmm.data.blocks import RowBlock
from tfgmm.data.record import DataSummary
from tfgmm.export import scorer as serve
from tfgmm.export.verify import verify_export


@pytest.fixture(scope="module")
def scorer(whole: pathlib.Path) -> serve.Scorer:
    return tfgmm.load_scorer(whole)


def test_scorer_gives_the_numbers_of_the_model(scorer: serve.Scorer, model: Any) -> None:
    np.testing.assert_array_equal(scorer.log_prob(ROWS), model.log_prob(ROWS))
    np.testing.assert_array_equal(scorer.responsibilities(ROWS), model.responsibilities(ROWS))
    np.testing.assert_array_equal(scorer.assign(ROWS), model.assign(ROWS))
    np.testing.assert_array_equal(scorer.sample(5, seed=3), model.sample(5, seed=3))
    assert scorer.column_names == NAMES
    assert repr(scorer) == "<Scorer num_components=2, num_features=3, covariance='diag'>"


@pytest.mark.parametrize("kind", ["list", "float32", "Fortran order", "frame", "reordered frame", "csv", "parquet"])
def test_rows_of_every_kind_give_the_same_numbers(
    scorer: serve.Scorer, model: Any, tmp_path: pathlib.Path, kind: str
) -> None:
    reordered = FRAME[["depth", "width", "height"]]
    reordered.to_csv(tmp_path / "rows.csv", index=False)
    reordered.to_parquet(tmp_path / "rows.parquet")
    rows = {
        "list": ROWS.tolist(),
        "float32": ROWS.astype(np.float32),
        "Fortran order": np.asfortranarray(ROWS),
        "frame": FRAME,
        "reordered frame": reordered,
        "csv": tmp_path / "rows.csv",
        "parquet": str(tmp_path / "rows.parquet"),
    }[kind]
    np.testing.assert_allclose(scorer.log_prob(rows), model.log_prob(ROWS), rtol=1e-6)
    np.testing.assert_array_equal(scorer.assign(rows), model.assign(ROWS))


def test_dataset_is_scored_batch_by_batch(scorer: serve.Scorer, model: Any) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(ROWS).batch(6)
    np.testing.assert_allclose(scorer.log_prob(dataset), model.log_prob(ROWS), rtol=1e-6)
    np.testing.assert_allclose(scorer.responsibilities(dataset), model.responsibilities(ROWS), rtol=1e-5)


def test_no_rows_give_no_numbers(scorer: serve.Scorer) -> None:
    none = np.zeros((0, D))
    assert scorer.log_prob(none).shape == scorer.assign(none).shape == (0,)
    assert scorer.responsibilities(none).shape == (0, K)


def test_dataset_without_batches_gives_no_numbers(scorer: serve.Scorer) -> None:
    none = tf.data.Dataset.from_tensor_slices(np.zeros((0, D))).batch(4)
    assert scorer.log_prob(none).shape == scorer.assign(none).shape == (0,)
    assert scorer.responsibilities(none).shape == (0, K)


def test_row_that_is_not_finite_is_marked_and_its_neighbours_are_not(scorer: serve.Scorer) -> None:
    rows = ROWS[:3].copy()
    rows[1, 1] = np.inf
    assert np.isnan(scorer.log_prob(rows)).tolist() == [False, True, False]
    assert scorer.assign(rows)[1] == -1
    np.testing.assert_array_equal(scorer.log_prob(rows)[[0, 2]], scorer.log_prob(ROWS[[0, 2]]))


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (FRAME.rename(columns={"depth": "length"}), ValueError),
        (FRAME[["width", "height"]], ValueError),
        (FRAME.assign(depth="deep"), TypeError),
        (ROWS[:, :2], ValueError),
        (ROWS[0], ValueError),
        (None, TypeError),
    ],
    ids=["renamed", "missing", "text", "narrow", "one row", "none"],
)
def test_rows_that_do_not_fit_are_refused(scorer: serve.Scorer, rows: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"(?s)`x` must .*Received"):
        scorer.log_prob(rows)


@pytest.mark.parametrize(("n", "seed"), [(-1, 0), (2.5, 0), ("3", 0), (True, 0), (2**40, 0), (1, -1), (1, 0.5)])
def test_sample_refuses_what_is_no_number_of_rows_or_no_seed(scorer: serve.Scorer, n: Any, seed: Any) -> None:
    with pytest.raises(ValueError, match=r"`(n|seed)` must be a whole number .* Received: .* Choose"):
        scorer.sample(n, seed=seed)


def test_sample_is_new_without_a_seed_and_the_same_with_one(scorer: serve.Scorer) -> None:
    assert not np.array_equal(scorer.sample(4), scorer.sample(4))
    np.testing.assert_array_equal(scorer.sample(4, seed=1), scorer.sample(4, seed=1))
    assert not np.array_equal(scorer.sample(4, seed=1), scorer.sample(4, seed=2))
    assert scorer.sample(0, seed=1).shape == (0, D)


@pytest.mark.usefixtures("no_graph")
@pytest.mark.parametrize("covariance", ["tied_spherical", "tied"])
def test_parameters_and_draws_are_those_of_the_model(covariance, tmp_path):
    """At means in float64, and in draws to what float32 keeps of them."""
    rows = np.random.default_rng(0).normal([[1e4, 0.0, 3.0]] * 40 + [[1e4 + 9.0, 5.0, 3.0]] * 60, 1.0)
    model = tfgmm.fit_mixture(rows, 2, covariance=covariance, restarts=1).model
    scorer = tfgmm.load_scorer(tfgmm.export_model(model, tmp_path / "mixture"))
    pairs = (scorer.mean_parameters(), model.mean_parameters(), 1e-9), (scorer.draws(), model.draws(64, seed=0), 1e-5)
    for found, expected, tolerance in pairs:
        assert found.weights.shape == expected.weights.shape and found.column_names == expected.column_names
        for name in ("weights", "locs", "scales", "covariances"):
            values = getattr(found, name), getattr(expected, name)
            if values[1] is None:
                assert values[0] is None and covariance == "tied_spherical"
            else:
                np.testing.assert_allclose(*values, rtol=tolerance, atol=tolerance)


# --- Fits to rows with weights, gaps and noise


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:9 of 120 values are missing", "ignore:weights are not whole numbers")
def test_export_of_a_fit_to_weighted_noisy_rows_with_gaps_is_read_and_checked(tmp_path: pathlib.Path) -> None:
    generator = np.random.default_rng(0)
    rows, weights = generator.normal(size=(60, 2)), generator.uniform(0.2, 2.0, 60)
    rows[::7, 0] = np.nan
    noise = np.full(rows.shape, 0.1)
    result = tfgmm.fit_mixture(rows, 1, covariance="full", sample_weight=weights, noise=noise, restarts=1)
    folder = tfgmm.export_model(result, tmp_path / "mixture")
    scorer = tfgmm.load_scorer(folder)
    training = scorer.card["training"]
    assert training["num_data"] == pytest.approx(weights.sum(), rel=1e-12)
    assert DataSummary.from_dict(training["data_summary"]) == result.data_summary
    assert training["data_summary"]["gaps"] == [9, 0] and training["data_summary"]["num_rows"] == 60
    for name in ("log_prob", "responsibilities", "assign", "outlier", "impute"):
        np.testing.assert_array_equal(getattr(scorer, name)(rows), getattr(result, name)(rows))
    np.testing.assert_array_equal(scorer.log_prob(rows, noise=noise), result.log_prob(rows, noise=noise))
    assert max(verify_export(folder).largest_differences.values()) <= 1e-6
    served = result.model.serving_default(rows.astype(np.float32))["log_prob"]
    np.testing.assert_allclose(served, scorer.log_prob(rows), rtol=1e-5, atol=1e-5)


def test_several_scores_of_a_block_are_those_of_the_methods(exported: Exported) -> None:
    scorer = tfgmm.load_scorer(exported.folder)
    rows = np.random.default_rng(2).normal(size=(9, 3))
    rows[2, 1], rows[4], rows[5, 0] = np.nan, np.nan, np.inf
    names = ("log_prob", "responsibilities", "assignment", "outlier", "imputed")
    by_name, num_bad = scorer.scores(RowBlock(rows), names)
    methods = dict(zip(names, ("log_prob", "responsibilities", "assign", "outlier", "impute")))
    assert num_bad == 2 and by_name.keys() == methods.keys()
    for name, method in methods.items():
        np.testing.assert_array_equal(by_name[name], getattr(scorer, method)(rows))
    noise = np.where(np.isnan(rows), 0.0, 0.3)
    found = scorer.scores(RowBlock(rows, None, noise), names[:3]).by_name["log_prob"]
    np.testing.assert_array_equal(found, scorer.log_prob(rows, noise=noise))
    with pytest.raises(ValueError, match="`outlier` must be asked of rows without measurement noise"):
        scorer.scores(RowBlock(rows, None, noise), names)
