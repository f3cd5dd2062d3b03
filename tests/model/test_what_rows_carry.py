"""Weights, gaps and noise of rows in the Keras model: known bounds, repeated rows, every kind of data, resumed runs."""

from __future__ import annotations

import pathlib
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from reference_problems import P2_ROWS

import tfgmm
from tfgmm import GaussianMixtureModel, Priors, StepSizes
from tfgmm.data.summary import DataSummary
from tfgmm.families.variational import COMPONENTS

GENERATOR = np.random.default_rng(3)
ROWS = GENERATOR.normal([[-3.0, 0.0, 1e3]] * 30 + [[3.0, 1.0, 1002.0]] * 30, 0.7)
COUNTS = GENERATOR.integers(0, 4, 60).astype(np.float64)
REPEATED = np.repeat(ROWS, COUNTS.astype(int), axis=0)
WITH_GAPS = np.where(GENERATOR.random(ROWS.shape) < 0.2, np.nan, ROWS)
WITH_GAPS[5] = np.nan
NOISE = GENERATOR.uniform(0, 0.5, ROWS.shape)
SUITED = Priors(loc_mean=(0.0, 0.0, 1001.0), loc_scale=4.0, precision_shape=2.0, precision_rate=1.0)
P2_PRIORS = {
    "diag": Priors((0.5, 1.0), 2.0, 1.5, 0.8, 1.2),
    "full": Priors(
        (0.5, 1.0),
        loc_covariance=((4.0, 1.0), (1.0, 3.0)),
        degrees=4.5,
        inverse_scale=((1.5, 0.3), (0.3, 1.0)),
        weight_concentration=1.2,
    ),
}


def compiled(covariance: str = "diag", optimizer: Any = None, num_draws: int | None = None, **settings: Any) -> Any:
    model = GaussianMixtureModel(2, 3, covariance, priors=SUITED, seed=1, num_draws=num_draws)
    model.compile(optimizer, **settings)
    return model


def values_of(model: Any) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.weights]


def assert_same(one: Any, other: Any, **tolerance: float) -> None:
    for value, expected in zip(values_of(one), values_of(other), strict=True):
        np.testing.assert_allclose(value, expected, **tolerance)


# --- Closed form -------------------------------------------------------------------------------------------------

P2_GAPS = P2_ROWS.copy()
P2_GAPS[[1, 5, 8], [0, 1, 0]] = np.nan
P2_GAPS[3] = np.nan
P2_NOISE = np.sqrt(
    [(0.1, 0.2), (0.3, 0.1), (0.2, 0.2), (0.5, 0.1), (0.1, 0.4), (0.2, 0.3), (0.1, 0.1), (0.6, 0.2), (1, 0.5)]
)
P2_CARRIED: dict[str, tuple[np.ndarray, dict[str, Any]]] = {
    "weights": (P2_ROWS, {"sample_weight": [1, 2, 1, 3, 1, 2, 1, 0, 0.5]}),
    "gaps": (P2_GAPS, {"missing": "integrate"}),
    "noise": (P2_ROWS, {"noise": P2_NOISE}),
}
# Bound and counts where sweeps end; the design's mathematics, part two, section G
P2_NUMBERS = {
    ("diag", "weights"): (-46.02779012, (8.2157878, 5.6842122)),
    ("diag", "gaps"): (-29.19406923, (4.20849453, 6.19150547)),
    ("diag", "noise"): (-40.24939949, (5.36313517, 6.03686483)),
    ("full", "weights"): (-46.06409784, (8.20032614, 5.69967386)),
    ("full", "gaps"): (-30.08703528, (4.19927596, 6.20072404)),
    ("full", "noise"): (-41.22321797, (5.28061299, 6.11938701)),
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # nine rows say less than the priors
@pytest.mark.parametrize("case", P2_NUMBERS, ids="-".join)
def test_sweeps_end_at_the_known_bounds(case: tuple[str, str]) -> None:
    covariance, kind = case
    rows, carried = P2_CARRIED[kind]
    model = GaussianMixtureModel(2, 2, covariance, priors=P2_PRIORS[covariance], seed=0)
    model.initialize(rows, [[0.0, 0.0], [4.0, 4.0]], **carried)
    model.compile()
    history = model.fit(rows, epochs=90, verbose=0, batch_size=5, **carried).history["elbo"]
    bound, counts = P2_NUMBERS[case]
    assert model.evaluate(rows, verbose=0, return_dict=True, **carried)["elbo"] == pytest.approx(bound, abs=1e-6)
    np.testing.assert_allclose(model.counts, counts, atol=1e-5)
    assert min(np.diff(history)) > -1e-9
    assert model.num_data == {"weights": 11.5, "gaps": 8, "noise": 9}[kind]


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_whole_weights_are_repeated_rows(covariance: str) -> None:
    weighted, repeated = compiled(covariance), compiled(covariance)
    histories = [
        weighted.fit(ROWS, sample_weight=COUNTS, epochs=4, batch_size=16, verbose=0).history,
        repeated.fit(REPEATED, epochs=4, verbose=0).history,
    ]
    for name, values in histories[0].items():
        np.testing.assert_allclose(values, histories[1][name], rtol=1e-10)
    assert_same(weighted, repeated, rtol=1e-10, atol=1e-10)
    assert weighted.num_data == len(REPEATED) and isinstance(weighted.num_data, int)
    figures = [
        weighted.evaluate(ROWS, sample_weight=COUNTS, batch_size=7, verbose=0),
        repeated.evaluate(REPEATED, verbose=0),
    ]
    np.testing.assert_allclose(*figures, rtol=1e-10)
    assert f"{np.count_nonzero(COUNTS)} rows of weight {len(REPEATED)}" in repr(weighted)


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_rows_of_weight_zero_are_no_rows(covariance: str) -> None:
    kept = COUNTS > 0
    dropped, zero = compiled(covariance), compiled(covariance)
    carried = {"missing": "integrate", "epochs": 3, "verbose": 0}
    zero.fit(WITH_GAPS, sample_weight=COUNTS, noise=NOISE, **carried)
    dropped.fit(WITH_GAPS[kept], sample_weight=COUNTS[kept], noise=NOISE[kept], **carried)
    assert_same(zero, dropped, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("covariance", ["tied_spherical", "full"])
def test_evaluate_and_validation_take_rows_with_gaps_after_training_on_whole_ones(covariance: str) -> None:
    model = compiled(covariance)
    validated = model.fit(
        ROWS, epochs=2, verbose=0, missing="integrate", validation_data=(WITH_GAPS, None, COUNTS), validation_freq=2
    ).history
    options = {"missing": "integrate", "return_dict": True, "verbose": 0}
    figures = model.evaluate(WITH_GAPS, sample_weight=COUNTS, **options)
    assert validated["val_elbo"] == [pytest.approx(figures["elbo"], rel=1e-12)]
    pieces = [model.evaluate(WITH_GAPS, sample_weight=COUNTS * part, **options) for part in halves()]
    weight = [
        np.sum(COUNTS[~np.isnan(WITH_GAPS).all(axis=1)] * part[~np.isnan(WITH_GAPS).all(axis=1)]) for part in halves()
    ]
    together = np.dot([one["log_likelihood"] for one in pieces], weight) / sum(weight)
    assert figures["log_likelihood"] == pytest.approx(together, rel=1e-12)


def halves() -> list[np.ndarray]:
    return [np.arange(60) % 2 == 0, np.arange(60) % 2 == 1]


# --- Gradients ---------------------------------------------------------------------------------------------------


def test_steps_on_all_weighted_rows_are_those_on_repeated_rows() -> None:
    weighted, repeated = (
        compiled("full", keras.optimizers.SGD(0.05), 3, run_eagerly=True).initialize(ROWS) for _ in range(2)
    )
    histories = [
        weighted.fit(ROWS, sample_weight=COUNTS, epochs=3, verbose=0).history,
        repeated.fit(REPEATED, epochs=3, verbose=0).history,
    ]
    np.testing.assert_allclose(*(history["loss"] for history in histories), rtol=1e-6)
    assert_same(weighted, repeated, rtol=1e-4, atol=1e-5)


def test_losses_of_batches_average_to_the_loss_of_all_rows_by_their_weights() -> None:
    model = compiled("diag", "adam", 3, run_eagerly=True).initialize(ROWS, sample_weight=COUNTS)
    options = {"missing": "integrate", "return_dict": True}
    whole = model.evaluate(WITH_GAPS, sample_weight=COUNTS, verbose=0, **options)
    assert model.evaluate(WITH_GAPS, sample_weight=COUNTS, batch_size=8, verbose=0, **options) == pytest.approx(whole)
    kept = ~np.isnan(WITH_GAPS).all(axis=1)
    losses = [model.test_on_batch(WITH_GAPS, None, COUNTS * part, **options)["loss"] for part in halves()]
    weights = [np.sum(COUNTS[kept] * part[kept]) for part in halves()]
    assert np.dot(losses, weights) / sum(weights) == pytest.approx(whole["loss"], rel=1e-6)


@pytest.mark.parametrize(
    ("covariance", "run_eagerly"),
    [("diag", False), ("full", True), pytest.param("full", False, marks=pytest.mark.slow)],
)
def test_gradient_steps_take_all_three_and_raise_the_bound(covariance: str, run_eagerly: bool) -> None:
    carried = {"sample_weight": COUNTS, "noise": NOISE, "missing": "integrate"}
    model = compiled(covariance, keras.optimizers.Adam(0.1), 4, run_eagerly=run_eagerly)
    before = model.initialize(WITH_GAPS, **carried).evaluate(WITH_GAPS, verbose=0, **carried)
    history = model.fit(WITH_GAPS, epochs=4, batch_size=20, verbose=0, **carried).history
    after = model.evaluate(WITH_GAPS, verbose=0, **carried)
    assert after[0] < before[0] - 0.1 and len(history["loss"]) == 4
    one = model.train_on_batch(WITH_GAPS, None, **carried)
    assert one[0] == pytest.approx(after[0], abs=0.5) and int(model.optimizer.iterations) == 13
    assert model.num_data == np.sum(COUNTS[~np.isnan(WITH_GAPS).all(axis=1)])


# --- Every kind of rows ------------------------------------------------------------------------------------------


def frame_of(rows: np.ndarray) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    return frame.assign(count=COUNTS, a_error=NOISE[:, 0])


def test_frames_files_and_datasets_are_as_arrays(tmp_path: pathlib.Path) -> None:
    noise = np.where([True, False, False], NOISE, 0.0)
    array = compiled()
    array.fit(WITH_GAPS, sample_weight=COUNTS, noise=noise, missing="integrate", epochs=2, batch_size=20, verbose=0)
    frame, named = frame_of(WITH_GAPS), {"sample_weight": "count", "noise": {"a": "a_error"}, "missing": "integrate"}
    (tmp_path / "parts").mkdir()
    for number, part in enumerate((frame[:25], frame[25:])):
        part.to_parquet(tmp_path / "parts" / f"{number}.parquet")
    for data in (frame, tmp_path / "parts"):
        model = compiled()
        model.fit(data, epochs=2, batch_size=20, verbose=0, **named)
        assert_same(model, array, rtol=1e-6, atol=1e-6)
        assert model.column_names == ("a", "b", "c")
        assert model.evaluate(data, verbose=0, **named) == pytest.approx(
            array.evaluate(WITH_GAPS, verbose=0, sample_weight=COUNTS, noise=noise, missing="integrate"), rel=1e-6
        )


@pytest.mark.parametrize("optimizer", [None, "adam"])
def test_datasets_of_rows_and_weights_are_as_arrays(optimizer: str | None) -> None:
    slices = tf.data.Dataset.from_tensor_slices((WITH_GAPS, COUNTS))
    array, streamed = (compiled("diag", optimizer, 3, run_eagerly=True) for _ in range(2))
    options = {"epochs": 2, "verbose": 0, "shuffle": False, "missing": "integrate"}
    array.fit(WITH_GAPS[:40], sample_weight=COUNTS[:40], batch_size=40, **options)
    pairs = slices.batch(20)
    streamed.fit(slices.take(40).batch(40), **options, validation_data=pairs)
    assert_same(array, streamed, rtol=1e-5, atol=1e-5)
    figures = array.evaluate(WITH_GAPS, sample_weight=COUNTS, missing="integrate", verbose=0)
    assert streamed.evaluate(pairs, missing="integrate", verbose=0) == pytest.approx(figures, rel=1e-5)


@pytest.mark.filterwarnings("ignore:.*ran out of data")
def test_a_stream_of_unknown_length_may_have_gaps_in_any_column() -> None:
    rows = np.where([True, True, False], WITH_GAPS, ROWS)
    known = tf.data.Dataset.from_tensor_slices((rows, COUNTS)).batch(20)
    unknown = known.filter(lambda rows, weights: True)
    models = [compiled("diag", num_data=int(COUNTS.sum())) for _ in range(2)]
    for model, dataset, columns in zip(models, (known, unknown), ((0, 1), (0, 1, 2))):
        model.fit(dataset, epochs=1, verbose=0, missing="integrate")
        assert model.variational.gap_columns == columns
    np.testing.assert_allclose(models[0].locs, models[1].locs, rtol=1e-12)


# --- Running updates, saved and resumed --------------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_running_updates_resume_the_same_from_a_file(covariance: str, tmp_path: pathlib.Path) -> None:
    part, later = WITH_GAPS[:40], ROWS[40:] + [5.0, 0.0, 1.0]  # the centre moves, and no gaps come any more
    options = {"batch_size": 10, "verbose": 0, "shuffle": False, "missing": "integrate"}
    model = compiled(covariance, step_sizes=StepSizes(), num_data=200)
    model.fit(part, sample_weight=COUNTS[:40], **options)
    model.save(tmp_path / "model.keras")
    loaded = tfgmm.load_model(tmp_path / "model.keras")
    assert_same(loaded, model)
    assert loaded.variational.gap_columns == model.variational.gap_columns
    model.save_weights(tmp_path / "model.weights.h5")
    other = compiled(covariance, step_sizes=StepSizes(), num_data=200)
    other.load_weights(tmp_path / "model.weights.h5")
    for one in (model, loaded, other):
        one.fit(later, **options)
    assert_same(loaded, model, rtol=1e-12)
    assert_same(other, model, rtol=1e-12)


def test_a_column_counts_the_rows_that_have_it_in_running_updates_too() -> None:
    """One batch of all rows, by a step of length 1, is a sweep; moved to another centre its sums stay those of it."""
    swept, running = compiled("diag"), compiled("diag", step_sizes=StepSizes(delay=0.0))
    for model in (swept, running):
        model.fit(WITH_GAPS, verbose=0, missing="integrate")
    for name in ("locs", "scales", "alpha", "beta", "counts"):
        np.testing.assert_allclose(getattr(running, name), getattr(swept, name), rtol=1e-12)
    seen, shares = running.statistics.seen.numpy(), running.statistics.read().counts
    np.testing.assert_allclose(seen.sum(axis=0), np.sum(~np.isnan(WITH_GAPS), axis=0), rtol=1e-9)
    assert (seen < shares[:, None]).any()
    before = running.statistics.read()
    running.adapt_to(DataSummary(60, 3, (1.0, 2.0, 3.0), (1.0, 1.0, 1.0)))
    moved, step = running.statistics.read(), swept.centre - running.centre
    np.testing.assert_allclose(moved.first, before.first + seen * step, rtol=1e-12)
    squares = before.second[:, :3] + 2 * step * before.first + seen * step**2
    np.testing.assert_allclose(moved.second[:, :3], squares, rtol=1e-12)
    assert running.variational.gap_columns == (0, 1, 2)  # of the rows that its sums are of


def test_weights_of_a_file_without_gaps_fit_into_a_model_that_has_seen_some(tmp_path: pathlib.Path) -> None:
    plain, other = compiled(), compiled()
    plain.fit(ROWS, verbose=0)
    assert plain.statistics.seen is None and "gap_columns" not in plain.get_config()
    plain.save_weights(tmp_path / "plain.weights.h5")
    other.fit(WITH_GAPS, verbose=0, missing="integrate")
    other.load_weights(tmp_path / "plain.weights.h5")
    np.testing.assert_array_equal(other.locs, plain.locs)
    other.fit(ROWS, verbose=0)
    plain.fit(ROWS, verbose=0)
    np.testing.assert_allclose(other.locs, plain.locs, rtol=1e-12)


# --- Bad input ---------------------------------------------------------------------------------------------------


def test_gaps_are_refused_unless_they_are_to_be_integrated_out() -> None:
    for method in ("fit", "evaluate", "test_on_batch"):
        with pytest.raises(ValueError, match="`x` must hold finite numbers"):
            getattr(compiled("diag", num_data=60), method)(WITH_GAPS)
    with pytest.raises(ValueError, match="`missing` must be one of 'refuse', 'integrate'"):
        compiled().fit(ROWS, missing="drop")


def test_validation_rows_have_noise_where_the_others_have() -> None:
    with pytest.raises(ValueError, match="`validation_data` must have measurement noise.*rows without"):
        compiled().fit(ROWS, noise=NOISE, validation_data=ROWS, verbose=0)
    model = compiled()
    history = model.fit(ROWS, noise=NOISE, validation_data=(ROWS, None, None, NOISE), verbose=0).history
    assert history["val_elbo"] == [pytest.approx(model.evaluate(ROWS, noise=NOISE, verbose=0)[1])]


@pytest.mark.parametrize("optimizer", [None, "adam"])
@pytest.mark.parametrize(
    ("rows", "weights", "words"),
    [
        (ROWS, np.where(np.arange(60) == 50, -1.0, 1.0), "weights must be finite numbers of 0 or more"),
        (np.where(np.arange(60)[:, None] == 50, np.inf, ROWS), np.ones(60), "rows must not hold infinite numbers"),
    ],
)
def test_a_stream_stops_at_what_it_must_not_hold(rows: Any, weights: Any, words: str, optimizer: Any) -> None:
    """Beyond the rows that are looked at before."""
    model = compiled("diag", optimizer, num_data=60, run_eagerly=True).initialize(ROWS)
    pairs = tf.data.Dataset.from_tensor_slices((rows, weights)).batch(10)
    with pytest.raises(ValueError, match=words):
        model.evaluate(pairs, missing="integrate", verbose=0)
