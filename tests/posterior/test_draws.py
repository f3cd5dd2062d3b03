"""Posterior draws are plain arrays whose shapes fit together."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

import tfgmm
from tfgmm.posterior.draws import Draws
from tfgmm.posterior.record import PosteriorRecord


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


def test_other_fields_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="`column_names` must be one per feature, 4"):
        draws_of(column_names=("a", "b"))
    with pytest.raises(ValueError, match=r"`sample_stats\['diverging'\]` must have shape \(2, 5\)"):
        draws_of(sample_stats={"diverging": np.zeros((2, 4), bool)})


def test_permutations_move_all_that_a_component_has():
    rng = np.random.default_rng(0)
    draws = Draws(rng.dirichlet([1.0, 1.0], (1, 3)), rng.normal(size=(1, 3, 2, 2)), rng.gamma(2.0, size=(1, 3, 2, 2)))
    swapped = draws.permuted(np.array([[[1, 0], [0, 1], [1, 0]]]))
    for name in ("weights", "locs", "scales"):
        before, after = getattr(draws, name)[0], getattr(swapped, name)[0]
        np.testing.assert_array_equal(after[0], before[0][::-1])
        np.testing.assert_array_equal(after[1], before[1])
    with pytest.raises(ValueError, match="each of 0 to 1 once"):
        draws.permuted(np.zeros((1, 3, 2), int))


@pytest.fixture
def full_draws():
    rng = np.random.default_rng(1)
    scales = rng.gamma(2.0, size=(2, 4, 3, 2))
    return Draws(
        rng.dirichlet(np.ones(3), (2, 4)),
        rng.normal(size=(2, 4, 3, 2)),
        scales,
        ("length", "width"),
        np.einsum("cskd,de->cskde", scales**2, np.eye(2)),
        {"diverging": rng.random((2, 4)) < 0.5},
    )


def assert_same(found, expected):
    for name in ("weights", "locs", "scales", "covariances"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    assert found.column_names == expected.column_names
    assert found.sample_stats.keys() == expected.sample_stats.keys()
    for name, values in expected.sample_stats.items():
        np.testing.assert_array_equal(found.sample_stats[name], values)


def test_arviz_has_named_coordinates_and_gives_the_draws_back(full_draws):
    data = full_draws.to_arviz()
    assert data.posterior["locs"].dims == ("chain", "draw", "component", "feature")
    assert data.posterior["locs"].sel(feature="width", component=2).shape == (2, 4)
    assert_same(Draws.from_arviz(data), full_draws)


def test_netcdf_gives_the_draws_back(full_draws, tmp_path):
    full_draws.to_arviz().to_netcdf(str(tmp_path / "draws.nc"))
    assert_same(Draws.from_arviz(tmp_path / "draws.nc"), full_draws)


def test_columns_without_names_have_none_when_they_come_back():
    assert Draws.from_arviz(draws_of().to_arviz()).column_names is None


def test_arviz_axes_in_another_order_are_put_right(full_draws):
    data = full_draws.to_arviz()
    data.posterior["locs"] = data.posterior["locs"].transpose("feature", "component", "draw", "chain")
    np.testing.assert_array_equal(Draws.from_arviz(data).locs, full_draws.locs)


def test_arviz_data_of_something_else_is_refused(full_draws):
    import arviz

    with pytest.raises(ValueError, match="without weights, locs, scales"):
        Draws.from_arviz(arviz.from_dict(posterior={"mu": np.zeros((1, 3))}))
    data = full_draws.to_arviz()
    data.posterior = data.posterior.rename({"component": "cluster"})
    with pytest.raises(ValueError, match="must have the dimensions chain, draw, component"):
        Draws.from_arviz(data)


def test_lists_become_arrays():
    draws = Draws([[[1.0]]], [[[[2.0]]]], [[[[3.0]]]])
    assert draws.locs.shape == (1, 1, 1, 1) and draws.numbers()[0] == ("locs[0, 0]", "scales[0, 0]")


def test_thinned_draws_are_every_third_with_all_that_belongs_to_them(full_draws):
    record = PosteriorRecord("importance", k_hat=0.2, ess=500.0)
    draws = dataclasses.replace(full_draws, posterior=record)
    kept = draws.thinned(3)
    for name in ("weights", "locs", "scales", "covariances"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(draws, name)[:, [0, 3]])
    np.testing.assert_array_equal(kept.sample_stats["diverging"], draws.sample_stats["diverging"][:, [0, 3]])
    assert kept.column_names == draws.column_names
    assert kept.posterior == dataclasses.replace(record, ess=4.0)  # worth no more than there are
    assert_same(draws.thinned(1), draws)
    with pytest.raises(ValueError, match="`every` must be a whole number of at least 1. Received: 0"):
        draws.thinned(0)


def test_thinned_draws_stay_aligned(full_draws):
    apart = dataclasses.replace(full_draws, locs=full_draws.locs + 100.0 * np.array([[1.0], [0.0], [2.0]]))
    aligned = tfgmm.align(apart, method="order")
    kept = aligned.thinned(2)
    assert isinstance(kept, tfgmm.AlignedDraws) and kept.share_doubtful == aligned.share_doubtful
    np.testing.assert_array_equal(kept.permutations, aligned.permutations[:, ::2])
    np.testing.assert_array_equal(apart.thinned(2).permuted(kept.permutations).locs, kept.locs)
