"""Draws of a Keras model know the rows that it was trained on, unless these came in parts."""

from __future__ import annotations

import numpy as np
import pytest

import tfgmm

ROWS = np.random.default_rng(0).normal([[-2.0, 10.0]] * 16 + [[2.0, 30.0]] * 14)


def test_rows_of_the_model_of_a_fit():
    draws = tfgmm.fit_mixture(ROWS, 2, restarts=1).model.draws(10, seed=0)
    assert draws.to_arviz(ROWS).log_likelihood.sizes["row"] == 30  # warnings are errors here


def test_rows_of_training_are_known_unless_they_came_in_parts():
    model = tfgmm.GaussianMixtureModel(2, 2, priors=tfgmm.Priors.from_data(ROWS), seed=0)
    model.compile()
    model.fit(ROWS, epochs=2, verbose=0)
    draws = model.draws(10, seed=0)
    draws.to_arviz(ROWS)
    with pytest.warns(UserWarning, match="not those of the fit, 30 rows"):
        draws.to_arviz(ROWS[1:])
    model.compile(step_sizes=tfgmm.StepSizes())
    for part in (ROWS[:15], ROWS[15:]):
        model.fit(part, verbose=0)
    assert model.draws(10, seed=0).fitted_rows is None
    model.compile(step_sizes=tfgmm.StepSizes(num_epochs=0), num_data=30)
    model.fit(ROWS, verbose=0)
    assert model.draws(10, seed=0).fitted_rows is None
