"""Sweeps over all rows without Keras: what callbacks are told, and the figures that Keras's own loop gives."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfgmm
from tfgmm.fit.callbacks import SweepCallback

GENERATOR = np.random.default_rng(3)
ROWS = GENERATOR.normal(0.0, 2.0, (4, 2))[GENERATOR.integers(0, 4, 700)] + GENERATOR.normal(0.0, 0.6, (700, 2))
OTHERS = ROWS[:90] + 0.1
OPTIONS = {"restarts": 2, "max_sweeps": 3, "seed": 4}


class Recorder(SweepCallback):
    """Writes down every call with what it was told."""

    def __init__(self):
        super().__init__()
        self.calls, self.logs = [], []

    def on_train_begin(self, logs=None):
        self.calls.append("begin")
        self.steps, self.epochs = self.params["steps"], self.params["epochs"]

    def on_train_end(self, logs=None):
        self.calls.append("end")

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(f"epoch {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(f"batch {batch}")
        self.batch_logs = {name: float(value) for name, value in logs.items()}

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(f"before batch {batch}")

    def on_epoch_end(self, epoch, logs=None):
        self.calls.append(f"ended {epoch}")
        self.logs.append(dict(logs))


@pytest.mark.filterwarnings("ignore:the bound was still rising")
@pytest.mark.parametrize("options", [{}, {"validation_data": OTHERS}, {"batch_size": 150, "covariance": "full"}])
@pytest.mark.parametrize("weights", ["dirichlet", "stick_breaking"])
def test_sweeps_and_keras_give_the_same_history_and_the_same_posterior(options, weights):
    plain, watched = Recorder(), Recorder()
    ours = tfgmm.fit_mixture(ROWS, 4, **OPTIONS, **options, weights=weights, callbacks=[plain])
    of_keras = [watched, keras.callbacks.LambdaCallback()]
    theirs = tfgmm.fit_mixture(ROWS, 4, **OPTIONS, **options, weights=weights, callbacks=of_keras)
    assert list(ours.history) == list(theirs.history)
    for name, values in ours.history.items():
        np.testing.assert_allclose(values, theirs.history[name], rtol=1e-10)
    for name, part in ours.variational.public().items():
        np.testing.assert_allclose(part, theirs.variational.public()[name], rtol=1e-9, atol=1e-12)
    num_batches = 5 if "batch_size" in options else 1  # of which Keras tells once for several
    told = [words for number in range(num_batches) for words in (f"before batch {number}", f"batch {number}")]
    assert plain.calls[2 : 2 + 2 * num_batches] == told
    of_both = [[call for call in calls if "batch" not in call] for calls in (plain.calls, watched.calls)]
    assert plain.batch_logs == pytest.approx(watched.batch_logs)
    assert of_both[0] == of_both[1] and (plain.steps, plain.epochs) == (watched.steps, watched.epochs)
    assert ours.elbo == pytest.approx(theirs.elbo, rel=1e-12)
    assert plain.logs[-1]["loss"] == ours.history["loss"][-1] == pytest.approx(float(watched.logs[-1]["loss"]))


@pytest.mark.filterwarnings("ignore:the bound was still rising")
def test_rows_of_any_kind_give_the_same_sweeps(tmp_path):
    path = tmp_path / "rows.csv"
    np.savetxt(path, ROWS, delimiter=",", header="a,b", comments="")
    expected = tfgmm.fit_mixture(ROWS, 4, **OPTIONS)
    kinds = {
        "batches": {"data": ROWS, "batch_size": 100},
        "file": {"data": path},
        "dataset": {"data": tf.data.Dataset.from_tensor_slices(ROWS).batch(130)},
    }
    for name, arguments in kinds.items():
        found = tfgmm.fit_mixture(num_components=4, **arguments, **OPTIONS)
        np.testing.assert_allclose(found.history["elbo"], expected.history["elbo"], rtol=1e-10, err_msg=name)
        np.testing.assert_allclose(found.locs, expected.locs, rtol=1e-8, err_msg=name)


def test_a_callback_sees_the_fit_as_it_stands_and_can_end_it():
    class Stopper(SweepCallback):
        def on_epoch_end(self, epoch, logs=None):
            self.seen = self.model.assign(ROWS[:5]), self.model.num_data, self.model.num_components
            self.model.stop_training = True

    stopper = Stopper()
    result = tfgmm.fit_mixture(ROWS, 4, restarts=1, callbacks=[stopper])
    assert len(result.history["elbo"]) == 1 and not result.converged  # and no warning that it was still rising
    np.testing.assert_array_equal(stopper.seen[0], result.assign(ROWS[:5]))
    assert stopper.seen[1:] == (700, 4)


def test_an_error_in_a_callback_is_passed_on_and_told_to_those_who_ask():
    class Broken(SweepCallback):
        def on_epoch_end(self, epoch, logs=None):
            raise RuntimeError("of the callback")

        def on_train_error(self, error):
            self.error = error

    broken = Broken()
    with pytest.raises(RuntimeError, match="of the callback"):
        tfgmm.fit_mixture(ROWS, 2, restarts=1, callbacks=[broken])
    assert isinstance(broken.error, RuntimeError)


def test_a_callback_can_write_the_fit_as_it_stands(tmp_path):
    class Writer(SweepCallback):
        def on_epoch_end(self, epoch, logs=None):
            tfgmm.export_model(self.model, tmp_path / "running", saved_model=False, overwrite=True)

    result = tfgmm.fit_mixture(ROWS, 4, restarts=1, callbacks=[Writer()])
    np.testing.assert_allclose(tfgmm.load_scorer(tmp_path / "running").log_prob(ROWS), result.log_prob(ROWS), rtol=1e-6)


def test_the_bar_ends_with_an_error():
    class Broken(SweepCallback):
        def on_epoch_end(self, epoch, logs=None):
            raise KeyboardInterrupt

    bar = tfgmm.callbacks.ProgressBar()
    with pytest.raises(KeyboardInterrupt):
        tfgmm.fit_mixture(ROWS, 2, restarts=1, callbacks=[bar, Broken()])
    assert bar._progress.finished or not bar._progress.live.is_started


@pytest.mark.parametrize("callbacks", [Recorder(), [Recorder], "bar", [3]])
def test_what_is_no_list_of_callbacks_is_refused(callbacks):
    with pytest.raises(TypeError, match=r"`callbacks` must be a list of callbacks\. Received: .* Put one in a list"):
        tfgmm.fit_mixture(ROWS, 2, callbacks=callbacks)


def test_an_empty_validation_dataset_is_refused_before_the_first_start():
    steps, watcher = [], tfgmm.callbacks.FitWatcher()
    watcher.on_step = steps.append
    for empty in (tf.data.Dataset.from_tensor_slices(ROWS).batch(9).take(0), ROWS[:0]):
        with pytest.raises(ValueError, match="`validation_data` must"):
            tfgmm.fit_mixture(ROWS, 2, validation_data=empty, callbacks=[watcher])
    assert steps == []


def test_the_door_of_callbacks_shows_all_of_them():
    assert set(dir(tfgmm.callbacks)) == set(tfgmm.callbacks.__all__)
    with pytest.raises(AttributeError, match="ProgressBar"):
        tfgmm.callbacks.Progress  # noqa: B018


def test_callbacks_of_ours_have_all_calls_of_keras():
    calls = {name for name in dir(keras.callbacks.Callback) if name.startswith("on_") or name.startswith("set_")}
    assert sorted(calls - set(dir(SweepCallback))) == []


@pytest.mark.parametrize("batch_size", [None, 30])
def test_fits_carry_the_sums_that_moved_them(batch_size):
    rows = np.random.default_rng(0).normal([[-3.0], [3.0]] * 50)
    result = tfgmm.fit_mixture(rows, 2, batch_size=batch_size)
    counts, first, _ = result.sums
    np.testing.assert_allclose(counts + result.priors.weight_concentration, result.variational.public()["counts"])
    np.testing.assert_allclose(first[:, 0].sum(), (rows - result.variational.centre).sum(), atol=1e-4)
    assert counts.sum() == pytest.approx(100.0)
