"""Rows of every kind train the same model; N is known or asked for."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import polars as pl
import pytest
import tensorflow as tf

from tfgmm import GaussianMixtureModel, Priors

# Whole numbers that every dtype holds exactly, in one order of memory.
WHOLE = np.random.default_rng(0).integers(-5, 6, (50, 2)) + np.repeat([[-20, 0], [20, 3]], 25, axis=0)
ROWS = WHOLE.astype(np.float64)
SUITED = Priors(loc_scale=20.0, precision_rate=50.0)  # far wider than the default priors expect
NAMES = ["eruptions", "waiting"]
ENDED = "ignore:Your input ran out of data:UserWarning"  # Keras's word at the end of a stream


def compiled(num_features=2, *, priors=SUITED, learning_rate=0.05, **settings):
    model = GaussianMixtureModel(2, num_features, seed=1, priors=priors)
    model.compile(keras.optimizers.Adam(learning_rate), **settings)
    return model


def trained(data, *, epochs=2, num_features=2, settings=None, **options):
    model = compiled(num_features, **{"run_eagerly": True, **(settings or {})})
    model.fit(data, epochs=epochs, verbose=0, **options)
    return model


def all_bytes(model):
    return b"".join(np.asarray(value).tobytes() for value in model.get_weights())


def read_only(values):
    copy = values.copy()
    copy.flags.writeable = False
    return copy


@pytest.fixture(scope="module")
def by_array():
    return trained(ROWS, batch_size=20)


# --- Kinds of data -------------------------------------------------------------------------------------------

KINDS = {
    "float32": lambda folder: ROWS.astype(np.float32),
    "int64": lambda folder: WHOLE,
    "int8": lambda folder: WHOLE.astype(np.int8),
    "Fortran order": lambda folder: np.asfortranarray(ROWS),
    "read only": lambda folder: read_only(ROWS),
    "negative strides": lambda folder: ROWS[::-1, ::-1].copy()[::-1, ::-1],
    "every other column": lambda folder: np.repeat(ROWS, 2, axis=1)[:, ::2],
    "nested list": lambda folder: ROWS.tolist(),
    "1-tuple": lambda folder: (ROWS,),
    "tensor": lambda folder: tf.constant(ROWS),
    "pandas": lambda folder: pd.DataFrame(ROWS, columns=NAMES),
    "pandas with an index": lambda folder: pd.DataFrame(ROWS, columns=NAMES, index=np.arange(100, 150)),
    "pandas nullable": lambda folder: pd.DataFrame(ROWS, columns=NAMES).astype("Float64"),
    "polars": lambda folder: pl.DataFrame(ROWS, schema=NAMES),
    "CSV": lambda folder: written(folder / "rows.csv", "to_csv"),
    "Parquet": lambda folder: str(written(folder / "rows.parquet", "to_parquet")),
}


def written(path, method):
    getattr(pd.DataFrame(ROWS, columns=NAMES), method)(path, index=False)
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_train_the_same_model_to_the_byte(kind, by_array, tmp_path):
    model = trained(KINDS[kind](tmp_path), batch_size=20)
    assert all_bytes(model) == all_bytes(by_array)
    named = kind.split()[0] in ("pandas", "polars", "CSV", "Parquet")
    assert model.column_names == (tuple(NAMES) if named else None)


def test_bool_rows_train_as_zeros_and_ones():
    flags = WHOLE > 0
    with pytest.warns(UserWarning, match="few different values"):
        of_flags, of_numbers = (
            trained(x, settings={"priors": Priors(precision_rate=0.5)}) for x in (flags, flags.astype(np.float64))
        )
    assert all_bytes(of_flags) == all_bytes(of_numbers)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_batches_of_a_dataset_train_what_the_array_in_that_order_trains(dtype):
    batches = tf.data.Dataset.from_tensor_slices(WHOLE.astype(dtype)).batch(20)
    by_dataset, by_array = trained(batches), trained(ROWS, batch_size=20, shuffle=False)
    assert by_dataset.num_data == by_array.num_data == 50
    np.testing.assert_allclose(by_dataset.locs, by_array.locs, rtol=1e-6)
    np.testing.assert_allclose(by_dataset.alpha, by_array.alpha, rtol=1e-6)


def test_rows_far_from_zero_train_as_if_they_were_near():
    rows = np.random.default_rng(1).normal(np.repeat([[-3.0, 0.0], [3.0, 1.0]], 30, axis=0), 0.5)
    rows = (rows * 2**10).round() / 2**10  # exact at 1e8 too
    near = trained(rows, epochs=40, settings={"run_eagerly": False, "priors": Priors()})
    moved = compiled(priors=Priors(loc_mean=1e8))
    moved.fit(rows + 1e8, epochs=40, verbose=0)
    np.testing.assert_allclose(moved.locs.numpy() - 1e8, near.locs, atol=1e-6)
    np.testing.assert_allclose(moved.scales, near.scales, rtol=1e-5)
    np.testing.assert_allclose(moved.beta, near.beta, rtol=1e-5)
    np.testing.assert_allclose(moved.log_prob(rows + 1e8), near.log_prob(rows), atol=1e-4)


# --- Column names --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def by_frame():
    return trained(pd.DataFrame(ROWS, columns=NAMES))


def test_columns_are_found_by_name_in_any_order(by_frame):
    frame = pd.DataFrame(ROWS, columns=NAMES)
    turned = pl.DataFrame(ROWS[:, ::-1], schema=NAMES[::-1])
    expected = by_frame.log_prob(ROWS)
    for data in (frame, frame[NAMES[::-1]], turned):
        np.testing.assert_array_equal(by_frame.log_prob(data), expected)
        np.testing.assert_array_equal(by_frame.predict(data), expected)
    assert by_frame.evaluate(turned, verbose=0) == by_frame.evaluate(frame, verbose=0)


@pytest.mark.parametrize("method", ["fit", "evaluate", "log_prob", "responsibilities", "assign", "predict"])
def test_other_column_names_are_refused_by_every_method(by_frame, method):
    with pytest.raises(ValueError, match=r"`x`.*'eruptions'.*missing: 'waiting'; not expected: 'wait'"):
        getattr(by_frame, method)(pd.DataFrame(ROWS, columns=["eruptions", "wait"]))


def test_validation_columns_are_matched_by_name():
    frame = pd.DataFrame(ROWS, columns=NAMES)
    model = compiled(run_eagerly=True)
    history = model.fit(frame, validation_data=frame[NAMES[::-1]], verbose=0).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(frame, verbose=0)[0], rel=1e-12)
    with pytest.raises(ValueError, match="`validation_data`.*missing: 'waiting'"):
        model.fit(frame, validation_data=frame.rename(columns={"waiting": "wait"}), verbose=0)


# --- N -------------------------------------------------------------------------------------------------------


def stream(rows=ROWS, batch_size=20):
    """A dataset whose length nobody knows."""
    spec = tf.TensorSpec((None, rows.shape[1]), tf.float64)
    starts = range(0, len(rows), batch_size)
    return tf.data.Dataset.from_generator(
        lambda: (rows[start : start + batch_size] for start in starts), output_signature=spec
    )


def test_a_dataset_of_known_length_is_counted():
    batches = tf.data.Dataset.from_tensor_slices(ROWS).batch(15)
    model = trained(batches, epochs=1)
    assert model.num_data == 50
    np.testing.assert_allclose(model.data_summary.mean, ROWS.mean(0))
    np.testing.assert_allclose(model.data_summary.scale, ROWS.std(0))


def test_a_stream_needs_num_data():
    with pytest.raises(ValueError, match=r"(?s)`num_data`.*must be known.*Received.*num_data=\.\.\."):
        compiled().fit(stream(), verbose=0)


@pytest.mark.filterwarnings(ENDED)
def test_a_stream_with_num_data_trains_on_all_its_rows():
    model = compiled(num_data=50)
    model.fit(stream(), epochs=2, verbose=0)
    assert model.num_data == 50
    assert int(model.optimizer.iterations) == 6


def test_an_endless_dataset_needs_steps_per_epoch_and_num_data():
    endless = tf.data.Dataset.from_tensor_slices(ROWS).batch(20).repeat()
    with pytest.raises(ValueError, match=r"(?s)`x`.*endless.*steps_per_epoch=\.\.\."):
        compiled(num_data=50).fit(endless, verbose=0)
    with pytest.raises(ValueError, match=r"`num_data`.*must be known"):
        compiled().fit(endless, steps_per_epoch=2, verbose=0)
    model = compiled(num_data=50)
    model.fit(endless, epochs=2, steps_per_epoch=4, verbose=0)
    assert int(model.optimizer.iterations) == 8


def test_num_data_given_to_compile_is_used_and_scales_the_kl():
    figures = {}
    model = GaussianMixtureModel(2, 2, seed=1, priors=SUITED).initialize(ROWS)
    for num_data in (50, 5000):
        model.compile("adam", num_data=num_data)
        figures[num_data] = model.evaluate(ROWS, verbose=0, return_dict=True)
        assert model.num_data == num_data
    few, many = figures.values()
    assert many["kl"] == pytest.approx(few["kl"], rel=1e-12)
    assert many["log_likelihood"] == pytest.approx(100 * few["log_likelihood"], rel=1e-9)
    shares = few["loss"] - many["loss"]
    assert shares == pytest.approx(few["kl"] / 50 - few["kl"] / 5000, rel=1e-9)


def test_num_data_far_from_the_count_warns_and_near_it_does_not():
    with pytest.warns(UserWarning, match=r"num_data=60.*50 rows"):
        trained(ROWS, epochs=1, settings={"num_data": 60})
    model = trained(np.tile(ROWS, (4, 1)), epochs=1, settings={"num_data": 201})  # warnings are errors here
    assert model.num_data == 201


@pytest.mark.parametrize("num_data", [0, -3, True, 0.5, float("nan"), "many"])
def test_num_data_that_is_no_number_of_rows_is_refused(num_data):
    with pytest.raises((ValueError, TypeError), match=r"`num_data`.*Received: "):
        compiled(num_data=num_data)
