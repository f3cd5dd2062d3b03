"""Training: what is logged, which rows a step sees, how often the step is traced, and the hand-written loop."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from kl_by_tfp import kl_by_tfp

from tfgmm import GaussianMixtureModel, Priors, StepSizes
from tfgmm.model import batches
from tfgmm.scoring import devices

ROWS = np.random.default_rng(0).normal([[-3.0, 0.0]] * 30 + [[3.0, 1.0]] * 20, 0.7)
STILL = 1e-30  # a learning rate that moves nothing


def compiled(rows=ROWS, optimizer=None, *, kind=GaussianMixtureModel, num_draws=None, priors=None, seed=1, **settings):
    model = kind(2, rows.shape[1], priors=priors, seed=seed, num_draws=num_draws)
    model.compile(optimizer or keras.optimizers.Adam(0.05), **settings)
    return model


def parameters(model):
    positive = (model.scales, model.alpha, model.beta, model.counts)
    return np.concatenate([model.locs.numpy().ravel(), *(np.log(value).ravel() for value in positive)])


class Recorder(GaussianMixtureModel):
    """Keeps the rows of every step, in data units; to be compiled with run_eagerly=True."""

    def train_step(self, data):
        self.__dict__.setdefault("seen", []).append((data.numpy() + self.centre).round(3).ravel().tolist())
        return super().train_step(data)


def seen_rows(num_rows=10, *, seed=1, **options):
    """Returns the values of the rows of each step."""
    rows = np.arange(float(num_rows))[:, None]
    suited = Priors(loc_scale=100.0, precision_rate=5.0 * num_rows)
    model = compiled(rows, keras.optimizers.SGD(STILL), kind=Recorder, priors=suited, seed=seed, run_eagerly=True)
    model.fit(rows, verbose=0, **{"batch_size": 4, **options})
    return model.__dict__["seen"]


# --- Logs ----------------------------------------------------------------------------------------------------


def test_logs_are_loss_elbo_log_likelihood_and_kl_and_fit_together():
    model = compiled()
    history = model.fit(ROWS, epochs=3, batch_size=20, validation_data=ROWS[:7], verbose=0).history
    names = {"loss", "elbo", "log_likelihood", "kl"}
    assert set(history) == names | {f"val_{name}" for name in names}
    for prefix in ("", "val_"):
        loss, elbo, log_likelihood, kl = (
            np.array(history[prefix + name]) for name in ("loss", "elbo", "log_likelihood", "kl")
        )
        np.testing.assert_allclose(elbo, log_likelihood - kl, rtol=1e-12)
        np.testing.assert_allclose(loss, -elbo / len(ROWS), rtol=1e-12)
    assert model.elbo == history["elbo"][-1]
    assert history["elbo"][-1] > history["elbo"][0]


def test_logs_are_means_over_the_rows_of_the_epoch_short_last_batch_included():
    model = compiled(optimizer=keras.optimizers.SGD(STILL))
    history = model.fit(ROWS, batch_size=20, shuffle=False, verbose=0).history  # 20, 20 and 10 rows
    twin = GaussianMixtureModel(2, 2, seed=1).initialize(ROWS)
    log_likelihoods = np.concatenate([twin(ROWS[start : start + 20])[0] for start in (0, 20, 40)])
    assert history["log_likelihood"][0] == pytest.approx(log_likelihoods.sum(dtype=float), rel=1e-5)
    assert history["kl"][0] == pytest.approx(kl_by_tfp(twin), rel=1e-9)
    by_batches = len(ROWS) * np.mean([part.mean() for part in np.split(log_likelihoods, (20, 40))])
    assert abs(by_batches - log_likelihoods.sum()) > 1e-3 * abs(by_batches), "the two kinds of mean must differ"


# --- Which rows a step sees ----------------------------------------------------------------------------------


def test_every_row_is_seen_once_per_epoch_in_a_new_order():
    steps = seen_rows(epochs=3)
    assert [len(step) for step in steps] == [4, 4, 2] * 3
    epochs = [sum(steps[start : start + 3], []) for start in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_order_is_a_pure_function_of_seed_and_epoch():
    steps = seen_rows(epochs=4)
    assert seen_rows(epochs=1) == steps[:3]
    assert seen_rows(epochs=1, seed=2) != steps[:3]
    assert seen_rows(epochs=4, initial_epoch=2) == steps[6:], "a run resumed at epoch 2 sees what epoch 2 would see"


def test_without_shuffle_rows_keep_their_order():
    assert seen_rows(epochs=2, shuffle=False) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]] * 2


def test_the_default_batch_is_the_whole_data_when_small():
    assert [len(step) for step in seen_rows(num_rows=300, batch_size=None)] == [300]


@pytest.mark.parametrize(
    ("compiled_with", "fitted_with", "sizes"),
    [
        ({}, {}, [100]),  # exact sweeps go through rows in memory in one piece
        ({}, {"batch_size": 30}, [30, 30, 30, 10]),
        ({}, {"steps_per_epoch": 2}, [40, 40]),
        ({"step_sizes": StepSizes()}, {}, [40, 40, 20]),
        ({"step_sizes": StepSizes(num_epochs=0)}, {}, [100]),
        ({"optimizer": "adam"}, {}, [40, 40, 20]),
    ],
)
def test_the_default_batch_is_large_where_only_exact_sweeps_see_it(compiled_with, fitted_with, sizes, monkeypatch):
    monkeypatch.setattr(batches, "_LARGEST_BATCH", 40)
    model, seen = GaussianMixtureModel(2, 2, seed=0), []
    model.compile(**compiled_with, run_eagerly=True)
    watch_batches(model, monkeypatch, seen)
    model.fit(np.random.default_rng(0).normal(size=(100, 2)), verbose=0, **fitted_with)
    assert seen == sizes


def watch_batches(model, monkeypatch, seen):
    """Records in `seen` the size of every batch that is trained on from now on."""
    sums, terms = devices.sums, model.bound_terms
    monkeypatch.setattr(
        devices, "sums", lambda form, c, rows, gaps: seen.append(len(rows.values)) or sums(form, c, rows, gaps)
    )
    monkeypatch.setattr(model, "bound_terms", lambda rows, seed: seen.append(len(rows.values)) or terms(rows, seed))


def test_validation_rows_come_in_batches_of_their_own_size(monkeypatch):
    monkeypatch.setattr(batches, "_LARGEST_BATCH", 40)
    model, seen = GaussianMixtureModel(2, 2, seed=0), []
    model.compile()
    rows = np.random.default_rng(0).normal(size=(100, 2))
    whole = devices.log_likelihoods
    monkeypatch.setattr(
        devices,
        "log_likelihoods",
        lambda form, c, rows, gaps: seen.append(len(rows.values)) or whole(form, c, rows, gaps),
    )
    for options, sizes in (
        ({}, [100]),
        ({"validation_steps": 2}, [40, 40]),
        ({"validation_batch_size": 60}, [60, 40]),
        ({"batch_size": 70}, [70, 30]),
    ):
        seen.clear()
        model.fit(rows, validation_data=rows, verbose=0, **options)
        assert seen == sizes
    for options, sizes in (({}, [100]), ({"steps": 2}, [40, 40])):
        seen.clear()
        model.evaluate(rows, verbose=0, **options)
        assert seen == sizes


def test_steps_per_epoch_cuts_the_passes_over_the_rows_into_epochs_of_its_own():
    steps = seen_rows(epochs=2, steps_per_epoch=2, shuffle=False)
    assert steps == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9], [0, 1, 2, 3]]


def test_validation_split_keeps_the_last_rows_out_of_training():
    assert sorted(sum(seen_rows(validation_split=0.25), [])) == list(range(7))


# --- One trace -----------------------------------------------------------------------------------------------


class Counted(GaussianMixtureModel):
    """Counts how often Python runs the two steps."""

    traces = {"train": 0, "test": 0}

    def train_step(self, data):
        self.traces["train"] += 1
        return super().train_step(data)

    def test_step(self, data):
        self.traces["test"] += 1
        return super().test_step(data)


@pytest.mark.parametrize("kind", ["array", "dataset", "steps_per_execution"])
def test_the_step_is_traced_once_with_a_short_last_batch_and_over_several_fits(kind, monkeypatch):
    monkeypatch.setattr(Counted, "traces", {"train": 0, "test": 0})
    model = compiled(kind=Counted, **({"steps_per_execution": 2} if kind == "steps_per_execution" else {}))
    data, options = (ROWS, {"batch_size": 20})
    if kind == "dataset":
        data, options = tf.data.Dataset.from_tensor_slices(ROWS).batch(20), {}
    for _ in range(2):
        model.fit(data, epochs=2, verbose=0, validation_data=ROWS[:7], **options)
    assert int(model.optimizer.iterations) == 12
    # Two steps in one call of the compiled function are two runs of the Python code, in one trace.
    assert Counted.traces["train"] <= (2 if kind == "steps_per_execution" else 1)
    assert Counted.traces["test"] <= (2 if kind == "steps_per_execution" else 1)


def hand_written_step(model, rows, optimizer, counter=None):
    """Returns the step of the worked example: a tf.function with a GradientTape over model.trainable_variables."""
    optimizer.build(model.trainable_variables)

    @tf.function(input_signature=[tf.TensorSpec((None, rows.shape[1]), tf.float64)])
    def train_step(batch):
        if counter is not None:
            counter.append(1)
        with tf.GradientTape() as tape:
            log_likelihoods, kl_sum = model(batch)
            loss = kl_sum / len(rows) - tf.reduce_mean(log_likelihoods)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables))
        return loss

    return train_step


def test_a_hand_written_loop_traces_once_and_learns():
    model, traces = GaussianMixtureModel(2, 2, seed=1).initialize(ROWS), []
    step = hand_written_step(model, ROWS, keras.optimizers.Adam(0.05), traces)
    losses = [float(step(batch)) for _ in range(50) for batch in (ROWS[:20], ROWS[20:40], ROWS[40:])]
    assert len(traces) == 1
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.1
    assert not model.is_untouched


# --- The two ways agree --------------------------------------------------------------------------------------

LINE = np.random.default_rng(3).normal([[-2.0]] * 120 + [[2.0]] * 80, 0.6)


def test_fit_and_the_hand_written_loop_agree_step_by_step_under_the_same_seed():
    fitted, looped = (compiled(LINE).initialize(LINE, start=[[-2.0], [2.0]]) for _ in range(2))
    history = fitted.fit(LINE, epochs=40, verbose=0).history
    step = hand_written_step(looped, LINE, keras.optimizers.Adam(0.05))
    losses = [float(step(LINE)) for _ in range(40)]
    np.testing.assert_allclose(losses, history["loss"], rtol=1e-4)
    np.testing.assert_allclose(parameters(looped), parameters(fitted), rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_fit_and_the_hand_written_loop_agree_within_monte_carlo_error_under_other_seeds():
    def runs(by_hand, seed):
        model = compiled(LINE, seed=seed).initialize(LINE, start=[[-2.0], [2.0]])
        # One set of draws to evaluate both with: another set differs by noise that the spread of runs cannot show
        model.validation_seed = tf.constant([0, -1], tf.int64)
        optimizer, found = model.optimizer, []
        step = hand_written_step(model, LINE, optimizer)
        start = [*model.get_weights()], [value.numpy() for value in optimizer.variables]
        for run in range(8):
            model.set_weights(start[0])
            for value, saved in zip(optimizer.variables, start[1]):
                value.assign(saved)
            model.step.assign(10_000 * run)  # other draws
            if by_hand:
                for _ in range(200):
                    step(LINE)
            else:
                model.fit(LINE, epochs=200, verbose=0)
            found.append([*parameters(model), 10 * model.evaluate(LINE, verbose=0)[0]])
        return np.array(found)

    by_fit, by_loop = runs(by_hand=False, seed=10), runs(by_hand=True, seed=20)
    # Eight runs each, because the error is estimated too: with 14 degrees of freedom, 5 of them are rare enough
    error = np.sqrt(by_fit.var(0, ddof=1) / len(by_fit) + by_loop.var(0, ddof=1) / len(by_loop))
    assert (np.abs(by_fit.mean(0) - by_loop.mean(0)) < 5 * error).all()
    assert (error[:2] < 0.1).all(), "locations must be known well enough for the comparison to mean something"


def test_the_worked_example_finds_its_three_clusters():
    rows = np.random.RandomState(12345).randn(3000, 2).astype("float32")
    rows[:1000] += [2, 0]
    rows[1000:2000] -= [2, 4]
    rows[2000:] += [-2, 4]
    model = GaussianMixtureModel(3, 2, seed=0)
    # Decayed, because steps of 0.05 to the end keep locations moving by about that much.
    model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.05, 360)))
    history = model.fit(rows, epochs=60, batch_size=500, verbose=0).history
    locs = model.locs.numpy()
    locs = locs[np.argsort(locs[:, 1])]
    np.testing.assert_allclose(locs, [[-1.994, -3.968], [1.987, 0.042], [-1.970, 3.949]], atol=0.05)
    assert history["loss"][-1] < 4.05


# --- Options change something --------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["seed", "num_draws", "batch_size", "shuffle", "num_data", "optimizer"])
@pytest.mark.filterwarnings("ignore:num_data=500 was given:UserWarning")
def test_every_training_option_changes_the_result(option):
    settings = {
        "seed": {"seed": 2},
        "num_draws": {"num_draws": 3},
        "num_data": {"num_data": 500},
        "optimizer": {"optimizer": keras.optimizers.SGD(0.05)},
    }
    fitting = {"batch_size": {"batch_size": 30}, "shuffle": {"shuffle": False}}
    start = [[-1.0, 0.0], [1.0, 0.0]]
    found = []
    for chosen, given in (({}, {}), (settings.get(option, {}), fitting.get(option, {}))):
        model = compiled(run_eagerly=True, **chosen).initialize(ROWS, start=start)
        model.fit(ROWS, epochs=1, verbose=0, **{"batch_size": 25, **given})
        found.append(parameters(model))
    assert np.abs(found[0] - found[1]).max() > 1e-6


def test_eager_and_grouped_steps_give_what_single_compiled_steps_give():
    found = []
    for settings in ({"steps_per_execution": 1}, {"steps_per_execution": 3}, {}, {"run_eagerly": True}):
        model = compiled(**settings)
        model.fit(ROWS, epochs=2, batch_size=20, verbose=0)
        found.append(parameters(model))
        assert int(model.optimizer.iterations) == 6
    for other in found[1:]:
        np.testing.assert_allclose(other, found[0], rtol=1e-5, atol=1e-6)
