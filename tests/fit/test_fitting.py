"""`fit_mixture`: what every argument changes, what its result tells, and that all kinds of data give the same fit."""

from __future__ import annotations

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from sklearn.mixture import GaussianMixture

import tfgmm
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS
from tfgmm.mixture.parameters import FORMS

SHAPES = [(covariance, weights) for covariance in COMPONENTS for weights in WEIGHTS]
GENERATOR = np.random.default_rng(5)
OWNERS = GENERATOR.integers(0, 3, 600)
ROWS = GENERATOR.normal(np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 6.0]])[OWNERS], 0.6)
# Clusters that overlap: several local optima, slow sweeps
CLOUD = np.concatenate([GENERATOR.normal(place, width, (60, 2)) for place, width in ((0, 1), (1.5, 0.5), (-1, 2))])
CLOUD = CLOUD.astype(np.float32).astype(np.float64)
NAMES = ["eruptions", "waiting"]


def fit(data=CLOUD, num_components=4, **options):
    return tfgmm.fit_mixture(data, num_components, **{"restarts": 2, "seed": 3, **options})


def state(result):
    """Returns all that was found, as bytes."""
    values = [np.asarray(value) for value in result.model.trainable_variables]
    figures = [result.elbo, result.log_likelihood, *result.history["elbo"], *(r.elbo for r in result.restarts)]
    return b"".join(value.tobytes() for value in values) + np.array(figures).tobytes()


@pytest.fixture(scope="module")
def base():
    return fit()


@pytest.fixture(scope="module", params=SHAPES, ids="-".join)
def of_shape(request):
    """Ten components allowed, three clusters."""
    return tfgmm.fit_mixture(
        ROWS, 10, covariance=request.param[0], weights=request.param[1], restarts=2, max_sweeps=1000
    )


# --- What the result tells -----------------------------------------------------------------------------------


def test_the_bound_never_falls(of_shape):
    """1e-9 of its size; only the restarts, which ascend faster, leave something to the sweeps over all rows."""
    history = np.array(of_shape.history["elbo"])
    assert (np.diff(history) >= -1e-9 * np.abs(history[1:])).all()
    assert of_shape.elbo >= history[-1] - 1e-9 * abs(of_shape.elbo)
    for restart in of_shape.restarts:
        # What was a fall is taken back; far from the top sums are float32: 1e-4 nats a row
        assert (np.diff(restart.elbos) >= -1e-4 * len(ROWS)).all()


HALF_OF_SHAPES = [
    pytest.param(*shape, marks=[pytest.mark.slow] * (turn // 2 % 2 != turn % 2)) for turn, shape in enumerate(SHAPES)
]


@pytest.mark.parametrize(("covariance", "weights"), HALF_OF_SHAPES)
def test_the_bound_rises_from_a_bad_start_in_every_sweep(covariance, weights):
    """As `fit_mixture` sweeps, but without restarts before: from two rows of one cluster."""
    priors = tfgmm.Priors.from_data(ROWS, covariance)
    model = tfgmm.GaussianMixtureModel(3, 2, covariance, weights, priors, seed=0).initialize(ROWS, start=ROWS[:3])
    model.compile()
    elbos = np.array(model.fit(ROWS, epochs=40, verbose=0).history["elbo"])
    assert elbos[-1] > elbos[0] + 100
    assert (np.diff(elbos) >= -1e-9 * np.abs(elbos[1:])).all()


def test_ten_components_of_a_stick_leave_three_clusters_three(of_shape):
    if of_shape.model.weight_prior == "stick_breaking":
        assert of_shape.num_occupied == 3
        sizes = np.bincount(of_shape.model.assign(ROWS), minlength=10)
        assert sorted(sizes[sizes > 0]) == sorted(np.bincount(OWNERS))
    assert of_shape.num_occupied == np.sum(np.exp(of_shape.model.plug_in().log_weights) * 600 >= 1)


def test_elbo_and_log_likelihood_are_those_of_the_model(of_shape):
    model = of_shape.model
    assert of_shape.elbo == pytest.approx(model.evaluate(ROWS, verbose=0, return_dict=True)["elbo"], rel=1e-6)
    assert of_shape.elbo == model.elbo
    # log_prob is float32: 600 roundings of 1e-7 of some nats each
    assert of_shape.log_likelihood == pytest.approx(model.log_prob(ROWS).sum(dtype=np.float64), abs=1e-4)
    assert of_shape.num_data == model.num_data == 600


# K - 1 weights, K D locations, and the precisions: for K = 10, D = 2, counted by hand
NUM_PARAMETERS = {"spherical": 39, "diag": 49, "tied_spherical": 30, "tied_diag": 31, "tied": 32, "full": 59}


def test_aic_and_bic_are_scikit_learns_at_the_same_parameters(of_shape):
    model, num_parameters = of_shape.model, NUM_PARAMETERS[of_shape.model.covariance]
    assert of_shape.num_parameters == num_parameters
    log_likelihood = of_shape.log_likelihood
    if model.covariance in ("tied_spherical", "tied_diag"):  # scikit-learn has no such shapes
        assert of_shape.aic == pytest.approx(-2 * log_likelihood + 2 * num_parameters)
        assert of_shape.bic == pytest.approx(-2 * log_likelihood + np.log(600) * num_parameters)
        return
    theirs = GaussianMixture(10, covariance_type=model.covariance)
    mixture = model.plug_in()
    sds, covariances = FORMS[model.variational.form].covariances(mixture.components)
    theirs.weights_, theirs.means_ = np.exp(mixture.log_weights), mixture.components["locs"] + model.centre
    if covariances is None:
        theirs.covariances_ = sds**2
        theirs.precisions_cholesky_ = 1 / sds
        if model.covariance == "spherical":  # ours is round in units of each column's spread, theirs in the data's
            assert num_parameters == theirs_number(theirs, "spherical", sds[:, 0])
            return
    else:
        cholesky = np.stack([np.linalg.cholesky(np.linalg.inv(covariance)) for covariance in covariances])
        theirs.covariances_ = covariances if model.covariance == "full" else covariances[0]
        theirs.precisions_cholesky_ = cholesky if model.covariance == "full" else cholesky[0]
    # Ours rounded the centred rows to float32: 600 errors of 1e-7 standard deviations, twice the sum of which shows
    assert of_shape.aic == pytest.approx(theirs.aic(ROWS), abs=1e-3)
    assert of_shape.bic == pytest.approx(theirs.bic(ROWS), abs=1e-3)


def theirs_number(theirs, covariance_type, sds):
    """Returns scikit-learn's number of parameters, from the difference of its own two criteria."""
    theirs.covariance_type, theirs.covariances_, theirs.precisions_cholesky_ = covariance_type, sds**2, 1 / sds
    return round((theirs.bic(ROWS) - theirs.aic(ROWS)) / (np.log(len(ROWS)) - 2))


def test_restarts_are_all_there_best_first(base):
    elbos = [restart.elbo for restart in fit(restarts=6).restarts]
    assert len(elbos) == 6 and elbos == sorted(elbos, reverse=True) and elbos[0] > elbos[-1]
    for restart in base.restarts:
        assert restart.num_sweeps == len(restart.elbos) and restart.elbos[-1] == restart.elbo
        assert restart.weights.shape == (4,) and restart.weights.sum() == pytest.approx(1.0)
        assert restart.locs.shape == (4, 2) and restart.converged
    # The best goes on over all rows, here the same ones
    assert base.restarts[0].elbo <= base.elbo + 1e-6
    assert base.elbo == pytest.approx(base.restarts[0].elbo, abs=1e-3)


def test_history_has_every_sweep(base):
    assert set(base.history) == {"loss", "elbo", "log_likelihood", "kl"}
    assert {len(values) for values in base.history.values()} == {len(base.history["elbo"])}
    np.testing.assert_allclose(base.history["loss"], -np.array(base.history["elbo"]) / 180, rtol=1e-6)


def test_summary_names_columns_and_says_whether_it_converged(base):
    named = fit(pd.DataFrame(CLOUD, columns=NAMES))
    text = named.summary()
    assert text == str(named)
    for word in (*NAMES, "\nconverged after", "4 of 4 components occupied", "180 rows x 2 columns", f"{named.bic:.1f}"):
        assert word in text, text
    assert "NOT converged" not in text and "column 1" in base.summary()
    assert state(named) == state(base)


# --- What every argument changes -----------------------------------------------------------------------------

EXPLICIT = tfgmm.Priors(0.0, 3.0, 2.0, 1.0, 2.0)
CHANGES = {
    "num_components": {"num_components": 3},
    "covariance": {"covariance": "full"},
    "weights": {"weights": "stick_breaking"},
    "priors": {"priors": EXPLICIT},
    "restarts": {"restarts": 1},
    "seed": {"seed": 8},
    "tolerance": {"tolerance": 1e-3},
    "start random": {"start": "random"},
    "start array": {"start": CLOUD[:4]},
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_argument_changes_the_fit(base, name):
    assert state(fit(**CHANGES[name])) != state(base)


def test_more_restarts_do_not_find_less(base):
    assert fit(restarts=8).elbo >= base.elbo - 1e-3


def test_given_locations_are_one_start():
    result = fit(start=CLOUD[:4], restarts=5)
    assert len(result.restarts) == 1 and state(result) == state(fit(start=CLOUD[:4], seed=9, restarts=1))


def test_too_few_sweeps_are_warned_of():
    with pytest.warns(tfgmm.ConvergenceWarning, match="after 2 sweeps") as caught:
        result = fit(max_sweeps=2)
    assert not result.converged and len(result.history["elbo"]) == 2 and "NOT converged" in result.summary()
    # Both are among the best three, which go on from gains of 1e-5 to 1e-7 with as many sweeps again
    assert sorted(restart.num_sweeps for restart in result.restarts) == [4, 4]
    assert caught[0].filename == __file__


@pytest.mark.parametrize("batch_size", [7, 60, 179])
def test_batch_size_changes_nothing(base, batch_size):
    other = fit(batch_size=batch_size)
    np.testing.assert_allclose(other.history["elbo"], base.history["elbo"], rtol=1e-9)
    np.testing.assert_allclose(other.model.locs, base.model.locs, atol=1e-6)


def test_validation_rows_and_callbacks(base):
    seen = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(logs["val_elbo"]))
    result = fit(validation_data=CLOUD[:90], callbacks=[callback])
    assert result.history["val_elbo"] == seen and len(seen) == len(result.history["elbo"])
    expected = result.model.evaluate(CLOUD[:90], verbose=0, return_dict=True)["elbo"]
    assert seen[-1] == pytest.approx(expected, rel=1e-4)
    np.testing.assert_array_equal(result.model.locs, base.model.locs)  # watched, not trained on


def test_a_callback_may_stop_the_sweeps_without_a_warning():
    stop = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(stop.model, "stop_training", True))
    result = fit(callbacks=[stop])
    assert len(result.history["elbo"]) == 1 and not result.converged


def test_polishing_raises_the_marginal_bound():
    """Within three standard errors, from 20 sets of 500 draws each; few rows, where the two bounds differ."""
    rows = CLOUD[::6]

    def marginal(result):
        result.model.num_draws = 500
        terms = [
            (float(np.sum(log_likelihoods)), float(kl))
            for log_likelihoods, kl in (result.model(rows) for _ in range(20))
        ]
        values = [log_likelihood - kl for log_likelihood, kl in terms]
        return np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))

    plain, polished = (fit(rows, 2, polish_steps=steps) for steps in (0, 300))
    (before, before_error), (after, after_error) = marginal(plain), marginal(polished)
    assert after > before - 3 * np.hypot(before_error, after_error)
    assert state(plain) != state(polished)
    assert polished.elbo <= plain.elbo + 1e-3  # the augmented bound was at its top


# --- The optimum ---------------------------------------------------------------------------------------------


def thirty_two_clusters(num_data):
    """Returns rows and held-out rows of the design's large set: N=300,000 D=16 K=32; fewer rows of the same."""
    generator = np.random.default_rng(0)
    means = generator.normal(0, 3, (32, 16))
    sds = np.exp(generator.normal(-0.3, 0.3, (32, 16)))
    owners = generator.integers(0, 32, 300_000)
    rows = means[owners] + sds[owners] * generator.standard_normal((300_000, 16))
    held_out = means[owners[:20_000]] + sds[owners[:20_000]] * generator.standard_normal((20_000, 16))
    return rows[:num_data].astype(np.float32), held_out.astype(np.float32)


def held_out_log_density(num_data, seed, sets={}):  # noqa: B006, a cache
    if num_data not in sets:
        sets[num_data] = thirty_two_clusters(num_data)
    rows, held_out = sets[num_data]
    result = tfgmm.fit_mixture(rows, 32, seed=seed)
    assert result.converged and result.num_occupied == 32
    return float(np.mean(result.model.log_prob(held_out), dtype=np.float64))


def test_thirty_two_clusters_are_found():
    assert held_out_log_density(60_000, seed=0) >= -20.99


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_thirty_two_clusters_are_found_from_every_seed(seed):
    assert held_out_log_density(300_000, seed) >= -20.99


def test_components_that_only_the_prior_fills_are_not_occupied():
    rows = np.random.default_rng(0).normal([[-9.0]] * 60 + [[9.0]] * 60, 0.3)
    priors = tfgmm.Priors(loc_scale=10.0, precision_shape=1.0, precision_rate=0.1, weight_concentration=2.0)
    for weights in ("dirichlet", "stick_breaking"):
        result = tfgmm.fit_mixture(
            rows, 4, priors=priors, weights=weights, restarts=1, start=[[-9.0], [9.0], [90.0], [99.0]]
        )
        assert result.num_occupied == 2


def test_polishing_a_dataset_takes_as_many_steps_as_asked_for():
    rows = np.random.default_rng(0).normal([[-9.0]] * 60 + [[9.0]] * 60, 0.3)
    dataset = tf.data.Dataset.from_tensor_slices(rows).batch(40)
    result = tfgmm.fit_mixture(dataset, 2, restarts=1, polish_steps=7)
    assert int(result.model.optimizer.iterations) == 7


def test_an_endless_validation_set_is_refused_before_the_restarts():
    rows = np.zeros((9, 1)) + np.arange(9)[:, None]
    endless = tf.data.Dataset.from_tensor_slices(rows).batch(3).repeat()
    with pytest.raises(ValueError, match="`validation_data` must be a finite dataset"):
        tfgmm.fit_mixture(rows, 2, validation_data=endless)
