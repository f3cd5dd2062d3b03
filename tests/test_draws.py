"""Posterior draws are plain arrays whose shapes fit together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tfgmm.draws import Draws


def draws_of(weights=(2, 5, 3), locs=(2, 5, 3, 4), scales=(2, 5, 3, 4), **kwargs):
    return Draws(np.ones(weights) / weights[-1], np.zeros(locs), np.ones(scales), **kwargs)


def test_sizes_are_read_from_the_arrays():
    draws = draws_of(column_names=("a", "b", "c", "d"))
    assert (draws.num_components, draws.num_features) == (3, 4)
    assert type(draws.num_components) is int and type(draws.num_features) is int
    assert draws.column_names == ("a", "b", "c", "d")
    assert draws_of().column_names is None


def test_draws_cannot_be_changed_by_assignment():
    with pytest.raises(dataclasses.FrozenInstanceError):
        draws_of().locs = np.zeros((2, 5, 3, 4))


@pytest.mark.parametrize(
    ("argument", "shape", "wanted"),
    [
        ("weights", (5, 3), "(C, S, K)"),
        ("locs", (5, 3, 4), "(2, 5, 3, D)"),
        ("locs", (1, 5, 3, 4), "(2, 5, 3, D)"),
        ("locs", (2, 5, 2, 4), "(2, 5, 3, D)"),
        ("scales", (2, 5, 3, 3), "(2, 5, 3, 4)"),
        ("scales", (2, 4, 3, 4), "(2, 5, 3, 4)"),
    ],
)
def test_arrays_that_do_not_fit_are_named(argument, shape, wanted):
    with pytest.raises(ValueError) as caught:
        draws_of(**{argument: shape})
    assert str(caught.value).startswith(f"`{argument}` must have shape {wanted}. Received: shape {shape}.")


def test_weights_without_a_chain_axis_are_told_what_to_do():
    with pytest.raises(ValueError, match="Add the axes of chains and draws in front"):
        draws_of(weights=(5, 3))
