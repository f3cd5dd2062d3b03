"""Where epochs end: the number of steps asked for, or the data, whichever comes first; and what Keras is handed."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgmm
from tfgmm.model.feed import Feed, shown_to_keras

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 50 + [[3.0, 1.0]] * 30, 0.7)
PRIORS = tfgmm.Priors.from_data(ROWS)
BATCHES = tf.data.Dataset.from_tensor_slices(ROWS).batch(10)  # 8 of them
UNKNOWN = BATCHES.filter(lambda rows: True)
ENDED = "ignore:Your input ran out of data:UserWarning"  # Keras's word at the end of a stream


def history_of(data, epochs=4, optimizer=None, *, num_data=80, compiled=None, **options):
    model = tfgmm.GaussianMixtureModel(2, 2, priors=PRIORS, seed=0)
    model.compile(optimizer, num_data=num_data, **(compiled or {}))
    model.initialize(ROWS)
    history = model.fit(data, epochs=epochs, verbose=0, **options).history
    assert np.isfinite(history["loss"]).all() and len(history["loss"]) == epochs
    return model, np.array(history["elbo"])


@pytest.fixture(scope="module")
def swept():
    """The bounds of four sweeps over all rows."""
    return history_of(ROWS)[1]


@pytest.mark.filterwarnings(ENDED)
@pytest.mark.parametrize(
    ("data", "options"),
    [
        (BATCHES, {"steps_per_epoch": 8}),
        (UNKNOWN, {}),
        (UNKNOWN, {"steps_per_epoch": 8}),
        (UNKNOWN, {"steps_per_epoch": 20}),
        (BATCHES.repeat(), {"steps_per_epoch": 8}),
        (ROWS, {"batch_size": 10, "steps_per_epoch": 8}),
    ],
)
def test_a_sweep_over_all_batches_is_a_sweep_over_all_rows(data, options, swept):
    np.testing.assert_allclose(history_of(data, **options)[1], swept, rtol=1e-6)


@pytest.mark.parametrize(("data", "options"), [(BATCHES, {}), (ROWS, {"batch_size": 10})])
def test_more_steps_than_batches_end_with_the_data_and_are_told(data, options, swept):
    with pytest.warns(UserWarning, match=r"steps_per_epoch=20 is more than the 8 batches that `x` has"):
        found = history_of(data, steps_per_epoch=20, **options)[1]
    np.testing.assert_allclose(found, swept, rtol=1e-6)


def test_rows_in_memory_go_round_where_each_step_moves():
    options = {"batch_size": 10, "steps_per_epoch": 12}  # no warning: they are errors here
    running, _ = history_of(ROWS, 2, compiled={"step_sizes": tfgmm.StepSizes()}, **options)
    assert int(running.statistics.num_steps) == 24
    by_gradient, _ = history_of(ROWS, 1, keras.optimizers.SGD(1e-3), compiled={"run_eagerly": True}, **options)
    assert int(by_gradient.optimizer.iterations) == 12


@pytest.mark.filterwarnings(ENDED)
@pytest.mark.parametrize("data", [BATCHES, UNKNOWN, BATCHES.repeat()])
def test_fewer_steps_than_batches_go_on_where_the_last_epoch_ended(data):
    """Of 8 batches, 5 to an epoch: 0 to 4, then 5 to 7 and, where it is known how many there are, 0 and 1."""
    model = tfgmm.GaussianMixtureModel(2, 2, priors=PRIORS, seed=0)
    model.compile(step_sizes=tfgmm.StepSizes(), num_data=80)
    model.initialize(ROWS)
    seen, step = [], model.closed_form.step
    model.closed_form.step = lambda rows: seen.append(float(rows[0, 0])) or step(rows)
    history = model.fit(data, epochs=3, steps_per_epoch=5, verbose=0).history
    firsts = np.float32(ROWS[::10, 0] - model.centre[0]).tolist()
    places = [firsts.index(value) for value in seen]
    rest = [5, 6, 7, 0, 1, 2, 3, 4] if data is UNKNOWN else [5, 6, 7, 0, 1, 2, 3, 4, 5, 6]
    assert places == [0, 1, 2, 3, 4, *rest]
    assert np.isfinite(history["loss"]).all()


@pytest.mark.filterwarnings(ENDED)
def test_validation_ends_with_its_data_too():
    with pytest.warns(UserWarning, match="ran out of data"):
        model, _ = history_of(ROWS, 2, validation_data=BATCHES, validation_steps=20)
    expected = model.evaluate(ROWS, verbose=0, return_dict=True)
    assert model.history.history["val_loss"][-1] == pytest.approx(expected["loss"], rel=1e-6)


@pytest.mark.filterwarnings(ENDED)
def test_a_dataset_that_can_be_read_once_says_so():
    parts = iter([*np.split(ROWS, 8)] * 2)  # one pass for the survey, one for the first epoch
    once = tf.data.Dataset.from_generator(lambda: parts, output_signature=tf.TensorSpec((None, 2), tf.float64))
    with pytest.raises(ValueError, match=r"`x` must be a dataset that can be read once per epoch.*from_generator"):
        history_of(once, steps_per_epoch=8)


def test_a_feed_begins_anew_between_epochs_and_ends_one_within():
    feed = Feed(tf.data.Dataset.range(2))
    feed.begin_epoch()
    assert [int(feed.into(next)), int(feed.into(next))] == [0, 1]
    with pytest.raises(StopIteration):
        feed.into(next)
    feed.begin_epoch()
    assert [int(feed.into(next)), int(feed.into(next))] == [0, 1]
    feed.begin_epoch()
    assert int(feed.into(next)) == 0
    with pytest.raises(ValueError, match="no batches left"):
        Feed(tf.data.Dataset.range(0)).into(next)


@pytest.mark.parametrize(
    ("steps", "batch_size", "epochs", "length"),
    [(3, 20, 4, 12), (8, None, 500, 1024), (2, 2**20, 9, 2), (5000, 1, 9, 5000)],
)
def test_keras_is_handed_whole_epochs_that_end(steps, batch_size, epochs, length):
    shown = shown_to_keras(tf.data.Dataset.range(1).repeat(), steps, batch_size, epochs)
    assert int(shown.cardinality()) == length


@pytest.mark.parametrize("data", [ROWS, BATCHES, BATCHES.repeat()], ids=["array", "dataset", "endless"])
def test_whoever_wraps_fit_can_read_the_dataset_to_its_end(data, monkeypatch):
    seen, fit = [], keras.Model.fit

    def wrapped(self, x, **options):
        seen.append(sum(len(rows) for rows in x.as_numpy_iterator()))
        return fit(self, x, **options)

    monkeypatch.setattr(keras.Model, "fit", wrapped)
    options = {"batch_size": 10} if data is ROWS else {}
    options |= {"steps_per_epoch": 8, "compiled": {"step_sizes": tfgmm.StepSizes()}}
    plain = history_of(data, 3, **options)[1]
    assert seen == [240]
    monkeypatch.undo()
    again = history_of(data, 3, **options)[1]
    np.testing.assert_array_equal(plain, again)  # reading it changes nothing
