"""What `fit_mixture` does with data that nobody should have: it refuses it in words, or warns and stays finite."""

from __future__ import annotations

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import tensorflow as tf
from scipy import stats
from sklearn.metrics import adjusted_rand_score

import tfgmm
from tfgmm.families.variational import COMPONENTS
from tfgmm.families.weights import WEIGHTS

GENERATOR = np.random.default_rng(0)
OWNERS = GENERATOR.integers(0, 3, 300)
CENTRES = np.array([[-4.0, 0.0, 2.0], [4.0, 1.0, -2.0], [0.0, 6.0, 0.0]])
ROWS = GENERATOR.normal(CENTRES[OWNERS], [1.0, 0.5, 0.8])
PAIRS = GENERATOR.normal(np.repeat([[-4.0, -4.0], [4.0, 4.0]], 100, axis=0), 1.0)
NOISE = GENERATOR.normal(size=(200, 2))


def some_quick(first):
    """Returns a case per shape, the weight priors in turn; every other shape, from the `first` one on, is quick."""
    cases = [(shape, list(WEIGHTS)[turn // 2 % 2]) for turn, shape in enumerate(COMPONENTS)]
    slow = [() if turn % 2 == first else pytest.mark.slow for turn in range(len(cases))]
    cases = [pytest.param(case, marks=mark, id="-".join(case)) for case, mark in zip(cases, slow)]
    return pytest.mark.parametrize("shape", cases)


def fitted(rows, num_components, shape, *warned, **others):
    """Returns the fit, which must be finite all over, and must warn in these words, once each, and of nothing else."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = tfgmm.fit_mixture(rows, num_components, covariance=shape[0], weights=shape[1], restarts=2, **others)
    caught = [item for item in caught if item.category is not tfgmm.ConvergenceWarning]
    assert len(caught) == len(warned), [str(item.message) for item in caught]
    for item, words in zip(caught, warned):
        assert words in str(item.message) and item.filename == __file__
    assert_finite(result, np.asarray(rows, np.float64))
    return result


def assert_finite(result, rows):
    model, far = result.model, np.array([[1e30], [-1e5]]) * np.ones(rows.shape[1])
    draws = model.draws(20, seed=0)
    shown = [result.elbo, result.log_likelihood, result.bic, *(values for values in result.history.values())]
    shown += [*model.trainable_variables, model.locs, model.scales, draws.locs, draws.weights, draws.scales]
    shown += [model.log_prob(rows), model.log_prob(far), model.responsibilities(np.concatenate([rows, far]))]
    shown += [np.log(draws.scales), np.log(model.scales)]  # positive as well
    for values in shown:
        assert np.isfinite(values).all()


def least_width(result, floor, num_rows):
    """Returns what no draw in a thousand million is narrower than, (D,): tau ~ Gamma(n / 2, at least rate floor / 2).

    The same for the variance of a column under a matrix, of which Wishart(nu, W) leaves nu - D + 1 degrees.
    """
    num_features, priors = result.num_features, result.learned_priors
    if result.covariance in ("full", "tied"):
        degrees = priors.degrees - num_features + 1 + num_rows
    else:
        degrees = 2.0 * priors.precision_shape + num_rows * (num_features if "spherical" in result.covariance else 1)
    return np.sqrt(floor / stats.chi2.ppf(1.0 - 1e-9, degrees))


# --- Refused -------------------------------------------------------------------------------------------------


def with_value(value):
    rows = ROWS.copy()
    rows[41, 1] = value
    return rows


def stream():
    spec = tf.TensorSpec((None, 3), tf.float64)
    return tf.data.Dataset.from_generator(lambda: iter([ROWS]), output_signature=spec)


def batches(rows=ROWS, size=50, **options):
    return tf.data.Dataset.from_tensor_slices(rows).batch(size, **options)


REFUSED = {
    "NaN": (with_value(np.nan), ("1 value", "row 41", "column 1")),
    "NaN in a dataset": (batches(with_value(np.nan)), ("row 41", "column 1")),
    "NaN in a named column": (pd.DataFrame(with_value(np.nan), columns=["a", "b", "c"]), ("row 41", "'b'")),
    "infinity": (with_value(-np.inf), ("1 infinite value", "row 41", "column 1")),
    "no rows": (ROWS[:0], ("no rows", "(0, 3)")),
    "no columns": (ROWS[:, :0], ("no columns",)),
    "dataset without rows": (batches().take(0), ("without rows",)),
    "dataset shorter than a batch": (batches(size=500, drop_remainder=True), ("drop_remainder",)),
    "dataset of unknown length": (stream(), ("known length", "assert_cardinality", "StepSizes")),
    "endless dataset": (batches().repeat(), ("known length", ".repeat()")),
    "dataset of labelled rows": (tf.data.Dataset.zip(batches(), batches()), ("labels", ".map(")),
    "dataset of dicts": (batches({"a": ROWS}), (".map(",)),
    "dataset of single rows": (tf.data.Dataset.from_tensor_slices(ROWS), (".batch(",)),
    "rows and labels": ((ROWS, OWNERS, None), ("labels",)),
    "one axis": (ROWS[:, 0], ("(300,)", "[:, None]")),
    "three axes": (ROWS[None], ("(1, 300, 3)",)),
    "fewer rows than components": (ROWS[:2], ("num_components=3", "2 rows")),
    "objects": (np.array([[1.0, "a", None]] * 9, object), ("object",)),
    "text": (ROWS.astype(str), ("dtype <U",)),
    "complex": (ROWS + 0j, ("complex128",)),
    "sparse": (scipy.sparse.csr_matrix(ROWS), ("toarray()",)),
    "ragged": ([[1.0, 2.0], [3.0]], ("row 1",)),
    "times": (ROWS.astype("datetime64[s]"), ("datetime64",)),
    "beyond float32": (np.concatenate([ROWS, np.full((1, 3), 1e39)]), ("3.4e38", "row 300")),
    "beyond float64": (ROWS * 1e200, ("3.4e38", "column 0")),
    "None": (None, ("None",)),
    "number": (3.0, ("float",)),
    "dict": ({"a": [1.0]}, ("DataFrame",)),
}


@pytest.mark.filterwarnings("ignore:1 of 301 rows")
@pytest.mark.parametrize("kind", REFUSED)
def test_bad_data_is_refused_in_words(kind):
    data, words = REFUSED[kind]
    with pytest.raises((ValueError, TypeError)) as caught:
        tfgmm.fit_mixture(data, 3, missing="refuse" if "NaN" in kind else "integrate")
    for word in ("must", "Received", *words):
        assert word in str(caught.value), caught.value


@pytest.mark.parametrize("kind", ["missing file", "folder without files"])
def test_a_path_to_nothing_is_refused(kind, tmp_path):
    with pytest.raises((ValueError, OSError), match="`data`"):
        tfgmm.fit_mixture(tmp_path / "missing.csv" if kind == "missing file" else tmp_path, 3)


BAD_OPTIONS = [
    *({name: value} for name in ("num_components", "restarts", "max_sweeps", "batch_size") for value in (0, 2.5, "3")),
    *({"tolerance": value} for value in (0.0, -1e-7, np.inf, np.nan, "small", True)),
    *({"seed": value} for value in (-1, 0.5, None)),
    {"polish_steps": -1},
    {"covariance": "diagonal"},
    {"weights": "uniform"},
    {"priors": "weak"},
    {"priors": tfgmm.Priors(loc_mean=(1.0, 2.0))},
    {"start": "best"},
    {"start": np.zeros((2, 3))},
    {"start": np.full((3, 3), np.nan)},
    {"validation_data": ROWS[:, :2]},
    {"validation_data": (ROWS, OWNERS, None)},
]


@pytest.mark.parametrize("options", BAD_OPTIONS, ids=str)
def test_a_bad_option_is_refused_by_name_before_the_first_restart(options, monkeypatch):
    monkeypatch.setattr("tfgmm.fit.restarts.ascend", None)
    with pytest.raises((ValueError, TypeError), match=rf"`(priors\.)?{next(iter(options))}.*Received"):
        tfgmm.fit_mixture(ROWS, **{"num_components": 3, **options})


# --- Fitted, with a warning ----------------------------------------------------------------------------------


@some_quick(1)
def test_one_row_at_1e8_is_warned_of_and_costs_a_component_only(shape):
    """Components that share their widths must be widened to reach it, and cannot tell the clusters apart: warned of."""
    result = fitted(np.concatenate([PAIRS, [[1e8, 1e8]]]), 3, shape, "1 of 201 rows")
    if not shape[0].startswith("tied"):
        without = fitted(PAIRS, 2, shape)
        found = adjusted_rand_score(without.model.assign(PAIRS), result.model.assign(PAIRS))
        assert found >= 0.95
        # The outlier is alone
        assert np.sum(result.model.assign(PAIRS) == result.model.assign([[1e8, 1e8]])) == 0


@pytest.mark.parametrize("far", [1e4, 1e6])
@pytest.mark.parametrize("num_components", [2, 3])
def test_one_width_for_all_reaches_a_far_row_as_one_component_would(far, num_components):
    """The width that serves the far row serves the others too: what is lost is a few nats per further component."""
    rows = np.concatenate([PAIRS, [[far, far]]])
    with pytest.warns(UserWarning, match="more than 100 spreads from the centre"):
        one, several = (tfgmm.fit_mixture(rows, k, covariance="tied") for k in (1, num_components))
    assert several.converged and one.elbo - 10 * num_components < several.elbo < one.elbo


@pytest.mark.parametrize("far", [[1e4, 1e4], [1e5, 5e4], [-1e7, 1e7], [5e7, 1e8]], ids=str)
@pytest.mark.parametrize("start", ["auto", "labels"])
def test_one_far_row_in_any_direction_takes_its_own_component_also_of_correlated_columns(far, start):
    """Its component is about the centre, and as long as the row is far: a matrix had to be turned for that."""
    rows, groups = np.concatenate([PAIRS, [far]]), np.append(np.repeat([0, 1], 100), 2)
    with pytest.warns(UserWarning, match="1 of 201 rows"):
        result = tfgmm.fit_mixture(rows, 3, covariance="full", restarts=2, start=groups if start == "labels" else start)
    assert adjusted_rand_score(groups, result.assign(rows)) == 1.0
    assert result.converged
    locs = result.locs[[result.assign(PAIRS[:1])[0], result.assign(PAIRS[-1:])[0]]]
    np.testing.assert_allclose(locs, [PAIRS[:100].mean(axis=0), PAIRS[100:].mean(axis=0)], atol=0.05)


@pytest.mark.parametrize(
    "covariance", ["diag", *(pytest.param(name, marks=pytest.mark.slow) for name in ("spherical", "full"))]
)
def test_one_row_at_1e8_does_not_split_200_normal_rows(covariance):
    result = fitted(np.concatenate([NOISE, [[1e8, 0.5]]]), 2, (covariance, "dirichlet"), "1 of 201 rows")
    assert len(set(result.model.assign(NOISE))) == 1  # as one component without it has them: index 1


@some_quick(0)
def test_identical_rows_give_a_positive_width_and_are_counted(shape):
    result = fitted(np.full((50, 2), 3.7), 3, shape, "0, 1 have one value only", "1 distinct row for 3 components")
    np.testing.assert_allclose(result.model.locs.numpy()[0], 3.7, rtol=1e-3)


@some_quick(0)
def test_copies_of_two_points_are_told_apart(shape):
    rows = np.repeat([[0.0, 1.0], [4.0, 5.0]], [990, 10], axis=0)
    result = fitted(rows, 3, shape, "columns 0 (2 values) and 1 (2 values)", "2 distinct rows for 3 components")
    responsibilities = result.model.responsibilities([[0.0, 1.0], [4.0, 5.0]])
    assert responsibilities[0] @ responsibilities[1] < 0.01
    # The values are 4 apart: whoever rounds to fours errs by 4^2 / 12
    assert (result.model.draws(20, seed=0).scales > least_width(result, 4.0**2 / 12.0, 1000)).all()


@some_quick(1)
def test_a_constant_column_changes_no_membership(shape):
    result = fitted(np.column_stack([ROWS, np.full(300, 7.0)]), 3, shape, "column 3 has one value only")
    assert adjusted_rand_score(OWNERS, result.model.assign(np.column_stack([ROWS, np.full(300, 7.0)]))) > 0.95
    np.testing.assert_allclose(result.model.locs[:, 3], 7.0, atol=1e-6)


@some_quick(1)
def test_more_columns_than_rows_stay_finite(shape):
    rows = np.random.default_rng(3).normal(size=(10, 50))
    fitted(rows, 2, shape, *["10 rows tell little of a covariance matrix of 50"] * (shape[0] in ("full", "tied")))


@some_quick(0)
def test_five_copies_of_one_point_keep_a_positive_width(shape):
    rows = np.concatenate([ROWS, np.full((5, 3), 20.0)])
    result = fitted(rows, 4, shape)
    k = result.model.assign([[20.0] * 3])[0]
    assert np.sum(result.model.assign(rows) == k) == 5
    sds = result.model.draws(20, seed=0).scales[0, :, k]
    # Other components tell nothing of so narrow a one: what is left is 1e-7 of the variance of all rows
    squared_spread = np.square(result.model.data_summary.spread)
    floor = 1e-7 * (squared_spread.mean() if "spherical" in shape[0] else squared_spread)
    assert (sds > least_width(result, floor, 305 if shape[0].startswith("tied") else 5)).all()


@some_quick(0)
def test_one_row_and_one_component_say_the_row_and_the_prior(shape):
    is_matrix = shape[0] in ("full", "tied")
    words = "0, 1 have one value only", *["1 row tells little"] * is_matrix
    result = fitted(np.array([[2.0, 5.0]]), 1, shape, *words, tolerance=1e-14)
    np.testing.assert_allclose(result.model.locs, [[2.0, 5.0]])
    # A row at the location, which is exact but for scales: beside what was learned, half a row and half their squares
    if shape[0].endswith("diag"):
        learned = result.learned_priors
        np.testing.assert_allclose(result.model.alpha, learned.precision_shape + 0.5, rtol=1e-6)
        squares = np.square(result.model.scales)
        np.testing.assert_allclose(result.model.beta[0], learned.precision_rate + 0.5 * squares[0], rtol=1e-3)


# --- Nothing to warn of --------------------------------------------------------------------------------------


@some_quick(1)
def test_empty_components_return_to_the_prior(shape):
    covariance, weights = shape
    rows = GENERATOR.normal(np.repeat([[-4.0] * 3, [4.0] * 3], 150, axis=0), 0.5)
    priors = dataclasses.replace(tfgmm.Priors.from_data(rows, covariance), weight_concentration=0.5)
    start = [[-4.0] * 3, [4.0] * 3, [40.0, -40.0, 0.0], [-30.0, 0.0, 50.0]]
    model = tfgmm.fit_mixture(rows, 4, covariance=covariance, weights=weights, priors=priors, start=start)
    empty = np.flatnonzero(model.responsibilities(rows).sum(axis=0) < 1e-3)
    assert len(empty) == 2
    posterior = model.variational.factors()[1]
    kept = type(posterior)(*(value if value.shape[0] == 1 else value[empty] for value in posterior))
    # What the two clusters, and these, have told of the size and the places of components
    two = COMPONENTS[covariance](2, 3, model.learned_priors)
    assert 0 <= float(two.kl_locs(kept, model.variational.centre)) + 1e-9 < 0.05
    if not covariance.startswith("tied"):
        assert 0 <= float(two.kl_precisions(kept)) + 1e-9 < 0.05
    means = np.exp(model.plug_in().log_weights)[empty]
    # Sticks: 151 / 302 and then 1 / 152 are left, of which the third takes half, and the last the other half
    expected = 0.5 / (4 * 0.5 + 300) if weights == "dirichlet" else 151 / 302 / 152 / 2
    np.testing.assert_allclose(means, expected, rtol=0.01)


def test_priors_of_another_size_are_refused_before_anything_is_warned_of():
    """Warnings are errors here: a constant column would be told of first."""
    rows = np.column_stack([ROWS, np.ones(len(ROWS))])
    with pytest.raises(ValueError, match="loc_mean"):
        tfgmm.fit_mixture(rows, 2, priors=tfgmm.Priors(loc_mean=(0.0, 1.0), loc_scale=10.0))
