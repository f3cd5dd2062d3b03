"""Moves in fits to rows that come in parts: on more rows than a sample has, and what the result says of them."""

from __future__ import annotations

import numpy as np
import pytest
from stuck_starts import ROWS

import tfgmm


def groups(num_groups, num_rows, seed):
    generator = np.random.default_rng(seed)
    places = 12.0 * np.array([[0, 0], [1, 0], [0, 1], [1, 1], [2, 0], [2, 1]])[:num_groups]
    return places[generator.integers(0, num_groups, num_rows)] + generator.standard_normal((num_rows, 2))


@pytest.mark.filterwarnings("ignore:the bound was still rising")  # three groups hold six components
def test_more_rows_than_a_sample_are_fitted_again():
    """The first part has three of six groups: the fit so far moves on the sample of both parts."""
    mixture = tfgmm.BayesianGaussianMixture(6, forgetting_factor=1.0 - 1e-4, random_state=0)
    for num_groups, seed in ((3, 0), (6, 1)):
        mixture.partial_fit(groups(num_groups, 12_000, seed))
    numbers = [restart.number for restart in mixture.result_.restarts]
    assert len(numbers) == len(set(numbers)) and mixture.result_.num_data == pytest.approx(
        1e4 * (1.0 - (1.0 - 1e-4) ** 24_000), rel=1e-6
    )


def test_the_result_has_the_moves_of_the_fit():
    moved = 0
    for seed in range(4):
        mixture = tfgmm.BayesianGaussianMixture(
            6, random_state=seed, n_init=2, moves=True, init_params="random_from_data"
        )
        result = mixture.partial_fit(ROWS).result_
        assert result.moves == result.restarts[0].moves
        moved += len(result.moves)
    assert moved > 0
