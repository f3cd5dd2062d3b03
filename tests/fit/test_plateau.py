"""The one rule by which fits stop, against a plain reading of it: the last `patience` gains are all too small."""

import numpy as np
import pytest

import tfgmm
from tfgmm.fit.convergence import not_converged
from tfgmm.fit.options import FitOptions
from tfgmm.fit.plateau import Plateau


@pytest.mark.parametrize("patience", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_it_stops_at_the_first_sweep_whose_last_gains_are_all_too_small(patience, seed):
    elbos = np.cumsum(np.random.default_rng(seed).choice([0.5, 2.0], 200))
    plateau = Plateau(tolerance=0.01, patience=patience, num_data=100)
    stops = [plateau.is_reached(elbo) for elbo in elbos.tolist()]
    gains = np.diff(elbos)
    expected = [n >= patience and bool((gains[n - patience : n] < 1.0).all()) for n in range(200)]
    assert stops == expected and any(expected)


def test_a_bound_that_is_not_a_number_is_no_plateau_and_the_first_has_no_gain():
    plateau = Plateau(tolerance=1.0, patience=1, num_data=1)
    assert [plateau.is_reached(elbo) for elbo in (-5.0, float("nan"), -5.0, -5.0)] == [False, False, False, True]


@pytest.mark.parametrize(("tolerance", "patience"), [(1e-2, 2), (1e-9, 2), (1e-2, 5)])
def test_the_callback_stops_where_the_rule_says(tolerance, patience):
    rows = np.random.default_rng(0).normal(size=(100, 1)) + np.repeat([[0.0], [2.0]], 50, axis=0)
    model = tfgmm.GaussianMixtureModel(2, 1, seed=0)
    model.compile()
    stop = tfgmm.callbacks.StopOnPlateau(tolerance, patience)
    elbos = model.fit(rows, epochs=500, verbose=0, callbacks=[stop]).history["elbo"]
    gains = np.diff(elbos)
    assert stop.converged and (gains[-patience:] < tolerance * 100).all()
    flat = np.convolve(gains[:-1] < tolerance * 100, np.ones(patience), "valid")
    assert not (flat == patience).any()  # and not before


@pytest.mark.parametrize(
    ("bounds", "last", "polish_steps", "words"),
    [
        ([-9.0, -7.0], -5.0, 0, "the bound was still rising by 0.02 nats per row after 2 sweeps"),
        ([-9.0], -8.0, 0, "the bound was still rising by 0.01 nats per row after 2 sweeps"),
        (
            [-9.0, -7.0],
            -5.0,
            3,
            "the bound was still rising by 0.02 nats per row",
        ),  # the last bound is the polished one
        (
            [-9.0, -7.0],
            -6.95,
            0,
            "after 2 sweeps the bound has stopped rising by the last sweep alone: it gained less than 0.001 nats",
        ),
        (
            [-9.0, -7.0],
            -7.1,
            0,
            "after 2 sweeps the bound has stopped rising by the last sweep alone: it gained less than 0.001 nats",
        ),
        ([-9.0, -7.0], -6.8996, 0, "rising by 0.001004 nats per row"),  # never "0.001" beside a limit of 0.001
    ],
)
def test_a_fit_that_ran_out_of_sweeps_says_what_the_last_one_gained(bounds, last, polish_steps, words):
    options = FitOptions(polish_steps=polish_steps, max_sweeps=2)
    said = not_converged(options, 1e-3, 100, [*bounds, last])
    assert words in said and said.endswith("Raise max_sweeps, or tolerance.")
