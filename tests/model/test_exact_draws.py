"""The exact posterior of a Keras model: from datasets, after loading, with weights and from files."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfgmm

GENERATOR = np.random.default_rng(0)
ROWS = np.concatenate([GENERATOR.normal(size=(200, 2)), GENERATOR.normal(size=(200, 2)) + 2.2]).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    model = tfgmm.GaussianMixtureModel(2, 2, seed=1)
    model.compile()
    model.fit(ROWS, epochs=30, verbose=0)
    return model


def test_a_model_has_an_exact_posterior_given_its_rows(model):
    draws = model.draws(200, seed=0, data=ROWS, posterior="auto")
    assert draws.posterior.is_exact
    assert (model.draws(2_000, seed=0).locs.std(axis=1) < 1.05 * draws.locs.std(axis=1)).all()
    with pytest.raises(ValueError, match="`data` must be the rows that the model was fitted to, for posterior="):
        model.draws(200, seed=0, posterior="auto")


def test_a_dataset_gives_the_draws_of_its_rows(model):
    batches = tf.data.Dataset.from_tensor_slices(ROWS).batch(100)
    found, expected = (model.draws(50, seed=0, data=data, posterior="auto") for data in (batches, ROWS))
    np.testing.assert_allclose(found.locs, expected.locs, rtol=1e-6)


def test_a_loaded_model_gives_the_same_draws_and_refuses_other_rows(model, tmp_path):
    model.save(tmp_path / "model.keras")
    loaded = tfgmm.load_model(tmp_path / "model.keras")
    found, expected = (one.draws(50, seed=0, data=ROWS, posterior="importance") for one in (loaded, model))
    np.testing.assert_allclose(found.locs, expected.locs, rtol=1e-5)
    with pytest.raises(ValueError, match="fingerprint"):
        loaded.draws(50, seed=0, data=ROWS[:, ::-1], posterior="importance")


def test_whole_weights_of_a_file_are_repeated_rows(tmp_path):
    weights = np.random.default_rng(1).integers(0, 3, len(ROWS))
    pd.DataFrame({"a": ROWS[:, 0], "b": ROWS[:, 1], "w": weights}).to_parquet(tmp_path / "rows.parquet")
    weighted = tfgmm.fit_mixture(tmp_path / "rows.parquet", 2, sample_weight="w", posterior="auto")
    repeated = tfgmm.fit_mixture(np.repeat(ROWS, weights, axis=0), 2, posterior="auto")
    np.testing.assert_allclose(weighted.draws(50, 0).locs, repeated.draws(50, 0).locs, rtol=1e-6)
    assert weighted.exact.record.log_evidence == pytest.approx(repeated.exact.record.log_evidence, abs=1e-6)
