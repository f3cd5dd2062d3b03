"""A start may be the group of every row: the fit goes on from the moments of these groups."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_iris

import tfgmm
from tfgmm.data.sources import open_source
from tfgmm.families.variational import COMPONENTS, VariationalPosterior
from tfgmm.fit.labels import start_at_labels

GENERATOR = np.random.default_rng(0)
LABELS = np.repeat([0, 1, 2], [40, 25, 35])
ROWS = np.array([[0.0, 5.0], [4.0, -3.0], [9.0, 2.0]])[LABELS] + GENERATOR.normal(size=(100, 2)) * [1.0, 0.4]


@pytest.mark.parametrize("covariance", COMPONENTS)
def test_a_start_has_the_moments_of_each_group(covariance):
    """With a prior as good as none, they are those of the rows of the group, by NumPy."""
    vague = tfgmm.Priors(0.0, 1e4, 1e-3, 1e-3, 1e-3)
    q = VariationalPosterior.of(covariance, "dirichlet", 3, 2, vague)
    q.assign(q.values_of(q.random_start(0)))
    mixture = q.plug_in(q.factors_of(start_at_labels(q, open_source(ROWS, "data", None), LABELS, ROWS.std(axis=0))))
    np.testing.assert_allclose(np.exp(mixture.log_weights), [0.4, 0.25, 0.35], rtol=1e-3)
    means = np.stack([ROWS[LABELS == group].mean(axis=0) for group in range(3)])
    np.testing.assert_allclose(mixture.components["locs"], means, atol=1e-5)
    within = np.stack([np.cov(ROWS[LABELS == group].T, bias=True) for group in range(3)])
    if covariance == "full":
        whiteners = mixture.components["whiteners"]
        np.testing.assert_allclose(
            np.linalg.inv(np.swapaxes(whiteners, 1, 2) @ whiteners), within, rtol=0.12, atol=5e-3
        )
    elif covariance == "diag":
        np.testing.assert_allclose(
            1 / mixture.components["precisions"], np.diagonal(within, axis1=1, axis2=2), rtol=0.1
        )


def test_the_fit_goes_on_from_there_alone():
    iris = load_iris()
    result = tfgmm.fit_mixture(iris.data, 3, covariance="full", start=iris.target)
    assert len(result.restarts) == 1 and result.converged
    # Another labelling is another start
    other = tfgmm.fit_mixture(iris.data, 3, covariance="full", start=np.arange(150) % 3)
    assert other.restarts[0].elbos[0] < result.restarts[0].elbos[0] - 10


def test_frames_files_and_datasets_take_labels_in_the_order_of_their_rows(tmp_path):
    path = tmp_path / "rows.csv"
    np.savetxt(path, ROWS, delimiter=",", header="a,b", comments="")
    from_array = tfgmm.fit_mixture(ROWS, 3, start=LABELS, seed=3)
    from_file = tfgmm.fit_mixture(path, 3, start=LABELS.tolist(), seed=3)
    from_dataset = tfgmm.fit_mixture(tf.data.Dataset.from_tensor_slices(ROWS).batch(16), 3, start=LABELS, seed=3)
    for other in (from_file, from_dataset):
        assert other.elbo == pytest.approx(from_array.elbo, abs=1e-6)
        assert other.restarts[0].elbos[0] == pytest.approx(from_array.restarts[0].elbos[0], rel=1e-9)


def test_a_group_of_equal_rows_is_a_start_too():
    rows = np.concatenate([np.zeros((10, 2)), ROWS])
    with pytest.warns(UserWarning, match="0 in 9.09 % of the rows"):
        result = tfgmm.fit_mixture(rows, 2, start=[0] * 10 + [1] * 100)
    assert np.isfinite(result.elbo)


@pytest.mark.parametrize(
    ("start", "error", "words"),
    [
        (LABELS[:-1], ValueError, "a group for each of the 100 rows. Received: 99 groups"),
        (LABELS + 1, ValueError, r"groups 0 to 2, .* Received: groups \[1, 2, 3\]"),
        (np.minimum(LABELS, 1), ValueError, r"Received: groups \[0, 1\]"),
        (LABELS.astype(float), TypeError, "whole numbers .* Received: dtype float64"),
        (["a"] * 100, TypeError, "whole numbers .* Received: dtype <U1"),
    ],
    ids=["too few", "from 1", "one missing", "floats", "words"],
)
def test_labels_that_are_none_are_refused(start, error, words):
    with pytest.raises(error, match=words):
        tfgmm.fit_mixture(ROWS, 3, start=start)


@pytest.mark.parametrize("asked", [{"num_components": [2, 3]}, {"num_components": 3, "covariance": ["full", "tied"]}])
def test_labels_suit_one_fit_alone(asked):
    with pytest.raises(ValueError, match="`start` must be .* Received: an array"):
        tfgmm.fit_mixture(ROWS, **asked, start=LABELS)
