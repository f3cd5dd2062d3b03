"""Densities, memberships and samples of a mixture: independent libraries, quadrature, and every kind of bad row."""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from assigned import assign_components, assign_weights
from plain_mixtures import mixture_at
from scipy import special, stats

from tfgmm import GaussianMixtureModel
from tfgmm.common import threads
from tfgmm.families.independent import IndependentPosterior
from tfgmm.families.weights import DirichletPosterior
from tfgmm.scoring import devices, scores
from tfgmm.scoring.graph import scores as graph_scores

LOCS = np.array([[-2.0, 0.0], [1.5, 3.0], [2.0, -2.5]])
SCALES = np.full((3, 2), 0.2)
ALPHA = np.array([[30.0, 40.0], [25.0, 60.0], [80.0, 20.0]])
BETA = np.array([[12.0, 90.0], [25.0, 20.0], [30.0, 25.0]])
COUNTS = np.array([20.0, 50.0, 30.0])
WEIGHTS = COUNTS / 100.0
ROWS = np.random.default_rng(1).normal(0, 3, (200, 2))
SCORES = ["log_prob", "responsibilities", "assign"]


@pytest.fixture(params=["numpy", "graph"], autouse=True)
def scored_by(request, monkeypatch):
    """Every test runs both ways; the graph is what a GPU would work through."""
    monkeypatch.setattr(devices, "has_gpu", lambda: request.param == "graph")
    return request.param


def model_at(locs=LOCS, scales=SCALES, alpha=ALPHA, beta=BETA, counts=COUNTS, centre=(0.3, -0.7)):
    """Returns a mixture with the posterior given, in data units, whose rows are measured from `centre`."""
    components = IndependentPosterior(locs, scales, alpha, beta)
    return mixture_at(DirichletPosterior(counts), components, centre[: locs.shape[1]])


MODEL = model_at()
ONE_COLUMN = model_at(*(array[:, :1] for array in (LOCS, SCALES, ALPHA, BETA)))


def loop_log_joint(rows, weights=WEIGHTS, locs=LOCS, precisions=ALPHA / BETA):
    """Returns log theta_k + log Normal(row | k), (N, K), in float64, one scipy call per row and component."""
    joint = np.zeros((len(rows), len(locs)))
    for i, row in enumerate(np.asarray(rows, np.float64)):
        for k in range(len(locs)):
            joint[i, k] = np.log(weights[k]) + stats.norm.logpdf(row, locs[k], precisions[k] ** -0.5).sum()
    return joint


def score(model, name, rows):
    return model.log_prob(rows, "predictive") if name == "predictive" else getattr(model, name)(rows)


# Values


def test_plug_in_log_prob_equals_that_of_tensorflow_probability_at_the_posterior_means():
    distributions = tfp.distributions
    expected = distributions.MixtureSameFamily(
        distributions.Categorical(probs=WEIGHTS),
        distributions.MultivariateNormalDiag(LOCS, (BETA / ALPHA) ** 0.5),
    ).log_prob(ROWS)
    actual = MODEL.log_prob(ROWS)
    assert actual.shape == (200,) and actual.dtype == np.float32
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


def test_plug_in_log_prob_equals_a_plain_loop():
    np.testing.assert_allclose(MODEL.log_prob(ROWS), special.logsumexp(loop_log_joint(ROWS), axis=1), rtol=1e-5)


def test_predictive_log_prob_is_the_log_of_the_mean_density_of_its_draws():
    mixture = MODEL.predictive(num_draws=5, seed=3)
    draws = MODEL.draws(5, seed=3)
    expected = np.mean(
        [
            np.exp(loop_log_joint(ROWS, draws.weights[0, s], draws.locs[0, s], draws.scales[0, s] ** -2.0)).sum(axis=1)
            for s in range(5)
        ],
        axis=0,
    )
    np.testing.assert_allclose(scores.score_data(mixture, ROWS, "log_prob"), np.log(expected), rtol=1e-5)


def test_predictive_density_of_one_component_at_a_known_place_is_students_t():
    """With mu known, tau ~ Gamma(alpha, beta) gives Student's t with 2 alpha degrees of freedom."""
    model = model_at(np.array([[1.0]]), np.array([[1e-9]]), np.array([[4.0]]), np.array([[6.0]]), np.array([2.0]))
    points = np.array([[1.0], [2.5], [-2.0]])
    values = np.array(
        [
            np.exp(scores.score_data(model.predictive(num_draws=200, seed=seed), points, "log_prob"))
            for seed in range(20)
        ]
    )
    expected = stats.t(df=8.0, loc=1.0, scale=(6.0 / 4.0) ** 0.5).pdf(points[:, 0])
    assert (np.abs(values.mean(axis=0) - expected) < 5 * values.std(axis=0, ddof=1) / 20**0.5).all()


@pytest.mark.parametrize("kind", ["plug_in", "predictive"])
def test_density_integrates_to_one_in_one_column(kind):
    grid = np.linspace(-15, 15, 3001)
    values = np.exp(ONE_COLUMN.log_prob(grid[:, None], kind=kind).astype(np.float64))
    assert np.trapezoid(values, grid) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("kind", ["plug_in", "predictive"])
def test_density_integrates_to_one_in_two_columns(kind):
    x, y = np.linspace(-9, 9, 161), np.linspace(-12, 12, 161)
    grid = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    values = np.exp(MODEL.log_prob(grid.reshape(-1, 2), kind=kind).astype(np.float64)).reshape(161, 161)
    assert np.trapezoid(np.trapezoid(values, y), x) == pytest.approx(1.0, abs=1e-5)


def test_the_two_kinds_differ_and_the_predictive_has_heavier_tails():
    far = np.array([[15.0, 15.0]])
    assert MODEL.log_prob(far, kind="predictive") > MODEL.log_prob(far) + 1.0


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="`kind` must be one of 'plug_in', 'predictive'. Received: 'exact'"):
        MODEL.log_prob(ROWS, kind="exact")


def test_responsibilities_are_the_softmax_of_the_log_joint_and_rows_sum_to_one():
    shares = MODEL.responsibilities(ROWS)
    assert shares.shape == (200, 3) and shares.dtype == np.float32
    np.testing.assert_allclose(shares, special.softmax(loop_log_joint(ROWS), axis=1), rtol=3e-5, atol=1e-7)
    np.testing.assert_allclose(shares.sum(axis=1, dtype=np.float64), 1.0, atol=3e-7)


def test_assign_is_the_most_probable_component():
    assigned = MODEL.assign(ROWS)
    assert assigned.dtype == np.int64 and set(assigned) == {0, 1, 2}
    np.testing.assert_array_equal(assigned, np.argmax(MODEL.responsibilities(ROWS), axis=1))
    np.testing.assert_array_equal(assigned, np.argmax(loop_log_joint(ROWS), axis=1))


def test_a_component_of_vanishing_weight_changes_nothing():
    model = model_at(counts=np.array([1e-9, 5e8, 5e8]))
    expected = special.logsumexp(loop_log_joint(ROWS, [1e-18, 0.5, 0.5]), axis=1)
    np.testing.assert_allclose(model.log_prob(ROWS), expected, rtol=1e-5)


@pytest.mark.parametrize("name", [*SCORES, "predictive"])
def test_a_keras_model_at_the_same_posterior_gives_the_same_figures(name):
    model = GaussianMixtureModel(3, 2, seed=0)
    model.stored_centre.assign([0.3, -0.7])
    assign_components(model, IndependentPosterior(LOCS - model.centre, SCALES, ALPHA, BETA))
    assign_weights(model, DirichletPosterior(COUNTS))
    np.testing.assert_array_equal(score(model, name, ROWS), score(MODEL, name, ROWS))
    np.testing.assert_array_equal(model.sample(9, seed=1), MODEL.sample(9, seed=1))
    np.testing.assert_array_equal(model.draws(9, seed=1).scales, MODEL.draws(9, seed=1).scales)


# Rows of every kind


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
@pytest.mark.parametrize("name", [*SCORES, "predictive"])
def test_a_row_with_an_infinite_value_is_flagged_and_its_neighbours_do_not_move(name, bad):
    spoilt = ROWS.copy()
    spoilt[7, 1] = spoilt[100] = bad
    before, after = score(MODEL, name, ROWS), score(MODEL, name, spoilt)
    flagged = after[[7, 100]]
    assert (flagged == -1).all() if name == "assign" else np.isnan(flagged).all()
    others = np.delete(np.arange(200), [7, 100])
    assert before[others].tobytes() == after[others].tobytes()


@pytest.mark.parametrize("name", [*SCORES, "predictive"])
@pytest.mark.parametrize("size", [0, 1, 7])
def test_any_number_of_rows_gives_the_figures_of_the_whole(name, size):
    whole, part = score(MODEL, name, ROWS), score(MODEL, name, ROWS[:size])
    assert part.shape == (size, *whole.shape[1:]) and part.dtype == whole.dtype
    np.testing.assert_allclose(part, whole[:size], rtol=1e-6)


@pytest.mark.parametrize("name", [*SCORES, "predictive"])
def test_scoring_in_chunks_changes_nothing(name, monkeypatch, scored_by):
    whole = score(MODEL, name, ROWS)
    sizes = []
    monkeypatch.setattr(threads, "chunk_size", lambda numbers_per_row: sizes.append(numbers_per_row) or 7)  # 29 of them
    fresh = functools.lru_cache(graph_scores.compiled_score.__wrapped__)  # a trace keeps its chunks
    monkeypatch.setattr(graph_scores, "compiled_score", fresh)
    np.testing.assert_allclose(score(MODEL, name, ROWS), whole, rtol=1e-6)
    monkeypatch.setattr(scores, "_BLOCK_VALUES", 64 * 2)
    np.testing.assert_allclose(score(MODEL, name, ROWS), whole, rtol=1e-6)
    assert len(sizes) == {"graph": 1, "numpy": 1 + 4}[scored_by]  # one trace serves both; each block asks


def test_a_component_without_weight_is_nobodys():
    mixture = MODEL.plug_in()._replace(log_weights=np.log([0.5, 0.5, 1e-300]) + [0.0, 0.0, -np.inf])
    mixture = mixture._replace(log_weights=mixture.log_weights[::-1])
    rows = mixture.components["locs"] + mixture.centre
    assert scores.score_data(mixture, rows, "assignment")[1:].tolist() == [1, 2]
    assert (scores.score_data(mixture, rows, "responsibilities")[:, 0] == 0.0).all()


@pytest.mark.parametrize("name", SCORES)
def test_more_rows_than_one_block_give_the_figures_of_their_parts(name):
    rows = np.random.default_rng(3).normal(0, 3, (70_001, 2))  # one block of 65,536 in chunks of 16,384, and a rest
    whole = score(MODEL, name, rows)
    assert len(whole) == len(rows)
    for start in (0, 16_380, 65_530, 69_995):
        part = slice(start, start + 9)
        np.testing.assert_allclose(whole[part], score(MODEL, name, rows[part]), rtol=1e-6)


@pytest.mark.parametrize("name", [*SCORES, "predictive"])
def test_a_dataset_gives_the_figures_of_its_rows(name):
    dataset = tf.data.Dataset.from_tensor_slices(ROWS).batch(64)
    np.testing.assert_allclose(score(MODEL, name, dataset), score(MODEL, name, ROWS), rtol=1e-6)


@pytest.mark.parametrize("name", SCORES)
def test_a_dataset_without_rows_gives_no_figures(name):
    dataset = tf.data.Dataset.from_tensor_slices(ROWS).batch(64).take(0)
    np.testing.assert_array_equal(score(MODEL, name, dataset), score(MODEL, name, ROWS[:0]))


KINDS = {
    "float16": lambda rows: rows.astype(np.float16),
    "float32": lambda rows: rows.astype(np.float32),
    "int64": lambda rows: rows.astype(np.int64),
    "uint8": lambda rows: rows.astype(np.uint8),
    "Fortran order": np.asfortranarray,
    "reversed twice": lambda rows: rows[::-1].copy()[::-1],
    "list": np.ndarray.tolist,
    "DataFrame": lambda rows: pd.DataFrame(rows, columns=["a", "b"]),
    "tensor": tf.constant,
}


@pytest.mark.parametrize("name", SCORES)
@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_every_kind_score_as_float64_rows_do(kind, name):
    rows = np.random.default_rng(2).integers(0, 9, (20, 2)).astype(np.float64)
    assert score(MODEL, name, KINDS[kind](rows)).tobytes() == score(MODEL, name, rows).tobytes()


def test_bool_rows_score_as_zeros_and_ones():
    rows = np.array([[True, False], [False, False], [True, True]])
    assert MODEL.log_prob(rows).tobytes() == MODEL.log_prob(rows.astype(float)).tobytes()


@pytest.mark.parametrize("name", [*SCORES, "predictive"])
def test_an_offset_of_1e8_changes_nothing(name):
    offset = np.array([1e8, -1e8])
    moved = model_at(locs=LOCS + offset, centre=np.array([0.3, -0.7]) + offset)
    np.testing.assert_allclose(score(moved, name, ROWS + offset), score(MODEL, name, ROWS), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("far", [1e10, 1e19, 1e30, -1e30, 3e38])
def test_far_rows_have_finite_figures(far):
    rows = np.array([[far, 0.0], [far, -far], [0.1, 0.2]])
    shares = MODEL.responsibilities(rows)
    assert np.isfinite(shares).all() and np.isfinite(MODEL.log_prob(rows)).all()
    np.testing.assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-6)
    assert (MODEL.assign(rows) >= 0).all()
    np.testing.assert_allclose(shares[2], MODEL.responsibilities(rows[2:])[0], rtol=1e-6)


# Samples


def test_samples_have_the_weights_means_and_covariance_of_the_mixture():
    num_samples = 20_000
    rows = MODEL.sample(num_samples, seed=1)
    assert rows.shape == (num_samples, 2) and rows.dtype == np.float64
    variances = BETA / ALPHA
    mean = WEIGHTS @ LOCS
    covariance = sum(w * (np.diag(v) + np.outer(m, m)) for w, v, m in zip(WEIGHTS, variances, LOCS)) - np.outer(
        mean, mean
    )
    assert (np.abs(rows.mean(axis=0) - mean) < 5 * rows.std(axis=0) / num_samples**0.5).all()
    products = (rows - mean)[:, :, None] * (rows - mean)[:, None, :]
    errors = products.std(axis=0) / num_samples**0.5
    assert (np.abs(products.mean(axis=0) - covariance) < 5 * errors).all()


def test_samples_fall_to_the_components_by_their_weights():
    """Components 100 standard deviations apart: every row shows whose it is."""
    model = model_at(locs=LOCS * 1000, scales=SCALES, centre=(0.0, 0.0))
    shares = np.bincount(model.assign(model.sample(20_000, seed=2)), minlength=3) / 20_000
    assert (np.abs(shares - WEIGHTS) < 5 * np.sqrt(WEIGHTS * (1 - WEIGHTS) / 20_000)).all()


def test_samples_of_one_column_have_the_distribution_whose_density_is_scored():
    rows = ONE_COLUMN.sample(10_000, seed=3)[:, 0]
    sds = ((BETA / ALPHA) ** 0.5)[:, 0]

    def cdf(x):
        return stats.norm.cdf(np.asarray(x)[..., None], LOCS[:, 0], sds) @ WEIGHTS

    assert stats.kstest(rows, cdf).pvalue > 1e-3


def test_samples_keep_float64_digits_at_an_offset():
    moved = model_at(locs=LOCS + 2.0**40, centre=np.array([0.3, -0.7]) + 2.0**40)
    np.testing.assert_allclose(moved.sample(50, seed=4) - 2.0**40, MODEL.sample(50, seed=4), atol=1e-3)


def test_samples_are_a_pure_function_of_the_seed():
    first, again, other = (MODEL.sample(100, seed=seed) for seed in (5, 5, 6))
    assert first.tobytes() == again.tobytes()
    assert not np.any(first == other)
    assert not np.array_equal(MODEL.sample(5), MODEL.sample(5))  # without a seed: new ones each time


def test_no_samples_is_an_empty_array():
    assert MODEL.sample(0).shape == (0, 2)


def test_draws_in_data_units_have_the_moments_of_the_posterior():
    moved = model_at(locs=LOCS + 50.0, centre=(50.0, 50.0))
    draws = moved.draws(20_000, seed=7)
    np.testing.assert_allclose(draws.weights.sum(axis=-1), 1.0, rtol=1e-12)
    for values, expected in [
        (draws.locs[0], LOCS + 50.0),
        (draws.weights[0], WEIGHTS),
        (draws.scales[0] ** -2.0, ALPHA / BETA),
    ]:
        assert (np.abs(values.mean(axis=0) - expected) < 5 * values.std(axis=0) / 20_000**0.5).all()
