"""Running updates: averages of batches as a plain float64 program finds them, near the optimum, saved and resumed."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from reference_mixture import Mixture, Priors

import tfgmm
from tfgmm import StepSizes
from tfgmm.families.correlated import CorrelatedPosterior
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.weights import DirichletPosterior, StickPosterior
from tfgmm.mixture.statistics import Statistics

SHAPES = [("spherical", "dirichlet"), ("tied_diag", "dirichlet")]
SHAPES += [("full", "stick_breaking"), ("diag", "stick_breaking")]
PRIORS = Priors(
    loc_mean=np.array([0.5, -1.0]),
    loc_scale=np.array([3.0, 3.0]),
    precision_shape=np.array([1.5]),
    precision_rate=np.array([0.8]),
    loc_covariance=9.0 * np.eye(2),
    degrees=4.0,
    inverse_scale=1.6 * np.eye(2),
    weight_concentration=1.2,
    gamma=1.5,  # above 1: the order of the components stays
)


def rows_of(num_data, seed=0):
    """Returns rows of three clusters, of which two touch, as float32 holds them."""
    generator = np.random.default_rng(seed)
    owner = generator.choice(3, num_data, p=[0.5, 0.3, 0.2])
    locs = np.array([[0.0, 0.0], [4.0, 0.0], [-4.0, 5.0]])
    rows = locs[owner] + generator.normal(size=(num_data, 2)) * [[1.0, 0.5], [0.7, 1.5], [1.0, 1.0]][0]
    return rows.astype(np.float32).astype(np.float64)


def model_of(covariance="diag", weights="dirichlet", seed=0, **settings):
    priors = tfgmm.Priors(
        loc_mean=tuple(PRIORS.loc_mean),
        loc_scale=3.0,
        precision_shape=1.5,
        precision_rate=0.8,
        weight_concentration=1.2,
        stick_concentration=1.5,
        loc_covariance=PRIORS.loc_covariance,
        degrees=4.0,
        inverse_scale=PRIORS.inverse_scale,
    )
    model = tfgmm.GaussianMixtureModel(3, 2, covariance, weights, priors, seed)
    model.compile(**settings)
    return model


def reference_of(model):
    """Returns the reference program in the state of the model."""
    mixture = Mixture(model.covariance, model.weight_prior, PRIORS, 3)
    for name in mixture.state_names():
        setattr(mixture, name, np.array(getattr(model, name)))
    return mixture


def state_of(mixture):
    """Returns the reference's state as the records of the package, locations in data units."""
    if mixture.is_matrix:
        roots = (np.linalg.cholesky(value) for value in (mixture.loc_covariances, mixture.inverse_scales))
        loc_cholesky, scale_cholesky = roots
        components = CorrelatedPosterior(mixture.locs, loc_cholesky, mixture.degrees, scale_cholesky)
    else:
        components = IndependentPosterior(mixture.locs, mixture.scales, mixture.alpha, mixture.beta)
    weights = DirichletPosterior(mixture.counts) if mixture.weights == "dirichlet" else StickPosterior(mixture.sticks)
    return weights, components


def elbo(model, rows):
    return model.evaluate(rows, verbose=0, return_dict=True)["elbo"]


# Step sizes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_epochs", -1),
        ("num_epochs", 1.5),
        ("delay", -1e-9),
        ("delay", np.nan),
        ("delay", np.inf),
        ("exponent", 0.5),
        ("exponent", 1.0001),
        ("exponent", np.nan),
    ],
)
def test_values_out_of_their_range_are_refused(name, value):
    with pytest.raises((ValueError, TypeError), match=f"`{name}` must be .*Received: "):
        StepSizes(**{name: value})


def test_values_at_the_ends_of_their_range_are_taken():
    for values in ({"num_epochs": 0}, {"num_epochs": None}, {"delay": 0}, {"exponent": 1}, {"exponent": 0.5 + 1e-9}):
        assert StepSizes(**values) == StepSizes(**values)


def test_the_first_step_has_size_one_and_the_others_shrink_as_documented():
    """rho_t = (t + delay)^-exponent, t counted from 1."""
    for sizes in (StepSizes(), StepSizes(delay=100.0), StepSizes(delay=0.0, exponent=1.0)):
        values = [sizes.step_size(num_steps) for num_steps in range(50)]
        assert values[0] == 1.0
        expected = [1.0 / np.exp(sizes.exponent * np.log(t + sizes.delay)) for t in range(2, 51)]
        np.testing.assert_allclose(values[1:], expected, rtol=1e-12)
        assert all(0 < later < earlier for earlier, later in zip(values, values[1:]))


def test_an_optimizer_has_no_step_sizes():
    with pytest.raises(ValueError, match="`step_sizes` must be left out with an optimizer"):
        model_of(optimizer="adam", step_sizes=StepSizes())


# Averages


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_with_exponent_one_statistics_are_the_average_over_the_batches(covariance, weights):
    """Every batch, taken with the q of its time, stands for N / 4 rows in the end; the last one is short."""
    rows = rows_of(70)
    model = model_of(covariance, weights, step_sizes=StepSizes(delay=0.0, exponent=1.0))
    model.initialize(rows, start=[[0.0, 1.0], [3.0, 0.0], [-3.0, 3.0]])
    mixture = reference_of(model)
    model.fit(rows, batch_size=20, epochs=1, shuffle=False, verbose=0)
    seen, shares = np.zeros((0, 2)), np.zeros((0, 3))
    for number, start in enumerate(range(0, 70, 20), start=1):
        batch = rows[start : start + 20]
        seen = np.concatenate([seen, batch])
        shares = np.concatenate([shares, mixture.responsibilities(batch) * 70 / len(batch)])
        mixture.global_step(seen, shares / number)
    statistics = model.statistics.read()
    # 70 float32 responsibilities, 1e-7 each, through three updates
    tolerance = {"rtol": 2e-5, "atol": 2e-5}
    np.testing.assert_allclose(statistics.counts, shares.sum(axis=0) / 4, **tolerance)
    np.testing.assert_allclose(statistics.first, shares.T @ (seen - model.centre) / 4, **tolerance)
    assert float(tf.reduce_sum(statistics.counts)) == pytest.approx(70.0, rel=1e-6)
    assert (int(model.statistics.num_steps), float(model.statistics.num_rows)) == (4, 70.0)
    expected = state_of(mixture)
    expected = expected[0], expected[1]._replace(locs=expected[1].locs - model.centre)
    for our, their in zip(model.variational.factors(), expected):
        for value, other in zip(our, their):
            np.testing.assert_allclose(value, other, **tolerance)


def test_the_first_step_forgets_the_start_and_one_batch_of_all_rows_is_a_sweep():
    rows = rows_of(200)
    running, swept = model_of(step_sizes=StepSizes(delay=50.0)), model_of()
    for model in (running, swept):
        model.fit(rows, epochs=1, verbose=0)
    for value, expected in zip(running.get_weights()[:5], swept.get_weights()[:5]):
        np.testing.assert_allclose(value, expected, rtol=1e-12)


# Where they lead


@pytest.fixture(scope="module")
def optimum():
    """6,000 rows, and the bound that exact sweeps reach on them, from the start that running updates have."""
    rows = rows_of(6000, seed=1)
    model = model_of()
    model.fit(rows, epochs=80, verbose=0)
    return rows, elbo(model, rows)


def test_three_epochs_come_near_the_optimum_and_exact_sweeps_finish(optimum):
    rows, best = optimum
    model = model_of(step_sizes=StepSizes(num_epochs=3))
    history = model.fit(rows, batch_size=300, epochs=3, verbose=0).history
    near = elbo(model, rows)
    assert best - 0.01 * len(rows) < near < best
    assert history["elbo"][-1] == pytest.approx(near, abs=0.02 * len(rows))
    model.fit(rows, batch_size=300, initial_epoch=3, epochs=40, verbose=0)
    history = np.array(model.history.history["elbo"])
    assert history[0] == pytest.approx(near, rel=1e-9)  # the bound of a sweep is that of the q it began with
    assert np.diff(history).min() > -1e-9 * abs(best)
    assert elbo(model, rows) == pytest.approx(best, abs=0.05)
    assert not any(np.any(value) for value in model.statistics.read())  # nothing is left over of a whole sweep


def test_more_delay_and_other_exponents_change_the_result(optimum):
    rows, _ = optimum
    ends = set()
    for sizes in (StepSizes(), StepSizes(delay=20.0), StepSizes(exponent=0.9)):
        model = model_of(step_sizes=sizes)
        model.fit(rows[:600], batch_size=100, epochs=1, verbose=0)
        ends.add(float(model.locs[0, 0]))
    assert len(ends) == 3


@pytest.mark.parametrize("endless", [False, True])
def test_streams_without_a_length_are_followed_too(optimum, endless):
    rows, best = optimum
    batches = tf.data.Dataset.from_tensor_slices(rows.astype(np.float32)).batch(300)
    stream = batches.repeat() if endless else batches.filter(lambda batch: True)
    model = model_of(num_data=len(rows), step_sizes=StepSizes())
    if endless:
        model.fit(stream, epochs=3, steps_per_epoch=20, verbose=0)
    else:  # Keras warns once, where it learns how long the stream is
        with pytest.warns(UserWarning, match="ran out of data"):
            model.fit(stream, epochs=3, verbose=0)
    assert int(model.statistics.num_steps) == 60
    assert float(tf.reduce_sum(model.statistics.read().counts)) == pytest.approx(len(rows), rel=1e-6)
    assert best - 0.01 * len(rows) < elbo(model, rows) < best


# Saved


@pytest.mark.parametrize(("covariance", "weights"), [("diag", "dirichlet"), ("full", "stick_breaking")])
def test_a_keras_file_keeps_the_statistics_and_goes_on_as_if_never_stopped(covariance, weights, tmp_path):
    rows = rows_of(300)
    whole, part = (model_of(covariance, weights, step_sizes=StepSizes(num_epochs=4, delay=2.0)) for _ in range(2))
    whole.fit(rows, batch_size=50, epochs=6, verbose=0)
    part.fit(rows, batch_size=50, epochs=2, verbose=0)
    part.save(tmp_path / "model.keras")
    for load in (tfgmm.load_model, keras.saving.load_model):
        loaded = load(tmp_path / "model.keras")
        assert loaded.compile_settings.step_sizes == StepSizes(num_epochs=4, delay=2.0)
        assert int(loaded.statistics.num_steps) == 12
        for value, expected in zip(loaded.statistics.read(), part.statistics.read()):
            assert np.any(value)
            np.testing.assert_array_equal(value, expected)
        loaded.fit(rows, batch_size=50, initial_epoch=2, epochs=6, verbose=0)
        for value, expected in zip(loaded.get_weights(), whole.get_weights()):
            np.testing.assert_array_equal(value, expected)


def test_statistics_follow_components_that_the_sticks_put_in_another_order():
    """gamma 1 sorts the components, largest first; the start has the smallest cluster first."""
    rows = rows_of(3000, seed=4)
    model = tfgmm.GaussianMixtureModel(3, 2, weights="stick_breaking", priors=tfgmm.Priors.from_data(rows), seed=0)
    model.compile(step_sizes=tfgmm.StepSizes(exponent=1.0, delay=0.0))
    model.initialize(rows, start=[[-4.0, 5.0], [4.0, 0.0], [0.0, 0.0]])
    model.fit(rows, batch_size=500, epochs=1, verbose=0)
    statistics = model.statistics.read()
    means = statistics.first / statistics.counts[:, None] + model.centre
    # Sums of two clusters in one place would lie units away from the location that q has there
    np.testing.assert_allclose(means, model.locs, atol=0.1)
    assert (np.diff(statistics.counts) < 0).all()


def test_a_new_start_forgets_the_statistics_of_the_old_one():
    rows = rows_of(600)
    model = model_of(step_sizes=tfgmm.StepSizes())
    model.fit(rows, batch_size=100, epochs=2, verbose=0)
    assert int(model.statistics.num_steps) == 12 and model.elbo is not None
    model.initialize(rows, start=[[0.0, 0.0], [4.0, 0.0], [-4.0, 5.0]])
    assert int(model.statistics.num_steps) == 0 and model.elbo is None


# One stream in several calls


@pytest.mark.parametrize(("covariance", "weights"), SHAPES)
def test_fit_after_fit_is_one_fit_over_the_stream(covariance, weights):
    """Each part has a centre of its own: the sums are measured anew from it."""
    parts = [rows_of(100, seed) + [0.1 * seed, -0.2 * seed] for seed in range(5)]
    settings = {"num_data": 500, "step_sizes": StepSizes()}
    whole, pieces = (model_of(covariance, weights, **settings) for _ in range(2))
    for model in (whole, pieces):
        model.initialize(parts[0], num_data=500)
    spec = tf.TensorSpec((None, 2), tf.float64)
    stream = tf.data.Dataset.from_generator(lambda: iter(parts), output_signature=spec)
    whole.fit(stream.apply(tf.data.experimental.assert_cardinality(5)), verbose=0)
    for part in parts:
        pieces.fit(part, batch_size=100, verbose=0)
    assert int(pieces.statistics.num_steps) == 5
    np.testing.assert_allclose(pieces.centre, parts[-1].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(pieces.locs, whole.locs, atol=1e-4)
    for name, value in whole.variational.public().items():
        np.testing.assert_allclose(pieces.variational.public()[name], value, rtol=1e-3, atol=1e-3)


def test_statistics_from_another_centre_are_those_of_the_same_rows():
    rows, shares = rows_of(50), np.random.default_rng(1).dirichlet(np.ones(3), 50)
    for covariance, products in (("diag", lambda x: x**2), ("full", lambda x: x[:, [0, 0, 1, 1]] * x[:, [0, 1, 0, 1]])):
        store = model_of(covariance).statistics
        for centre in ([0.0, 0.0], [3.0, -1e3]):
            moved = rows - centre
            expected = Statistics(shares.sum(axis=0), shares.T @ moved, shares.T @ products(moved))
            if centre[0]:
                store.shift(-np.array(centre))
            else:
                store.write(expected, 50.0)
            for value, other in zip(store.read(), expected):
                np.testing.assert_allclose(value, other, rtol=1e-9, atol=1e-8)


def test_statistics_stand_for_the_rows_of_the_present_fit():
    model = model_of(step_sizes=StepSizes())
    model.fit(rows_of(300), batch_size=100, verbose=0)
    model.fit(rows_of(100), batch_size=100, verbose=0)
    assert model.statistics.read().counts.sum() == pytest.approx(100.0, rel=1e-6)


def test_rows_without_names_keep_those_of_the_rows_before():
    model = model_of(step_sizes=StepSizes())
    model.fit(pd.DataFrame(rows_of(100), columns=["a", "b"]), verbose=0)
    model.fit(rows_of(100), verbose=0)
    assert model.column_names == ("a", "b")
    model.fit(pd.DataFrame(rows_of(100)[:, ::-1], columns=["b", "a"]), verbose=0)
    assert model.column_names == ("a", "b")


def test_a_part_of_the_stated_rows_is_no_mistake_in_running_updates_alone():
    model_of(num_data=1000, step_sizes=StepSizes()).fit(rows_of(100), verbose=0)  # warnings are errors here
    for settings, num_rows in (({}, 100), ({"step_sizes": StepSizes()}, 1100)):
        with pytest.warns(UserWarning, match=f"num_data=1000 was given to compile, but the data has {num_rows} rows"):
            model_of(num_data=1000, **settings).fit(rows_of(num_rows), verbose=0)
