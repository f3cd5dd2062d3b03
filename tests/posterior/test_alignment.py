"""Label alignment: shuffled labels are put back, and draws that cannot be told apart are said to be so."""

from __future__ import annotations

import dataclasses
import itertools
import re
import warnings

import numpy as np
import pytest
from scipy import stats

import tfgmm
from tfgmm.posterior.draws import Draws


def draws_about(locs, spread, *, num_chains=2, num_draws=200, seed=0, scales=None):
    """Returns draws whose components stay about (K, D) locations, in their own order."""
    rng = np.random.default_rng(seed)
    locs = np.asarray(locs, float)
    shape = (num_chains, num_draws, *locs.shape)
    drawn = locs + spread * rng.standard_normal(shape)
    widths = np.exp(0.05 * rng.standard_normal(shape)) * (1.0 if scales is None else np.asarray(scales)[:, None])
    return Draws(rng.dirichlet(np.full(len(locs), 50.0), size=shape[:2]), drawn, widths)


def shuffled(draws, seed=1):
    """Returns the draws with the components of each in random order, and the orders that undo it."""
    rng = np.random.default_rng(seed)
    orders = rng.permuted(np.broadcast_to(np.arange(draws.num_components), draws.weights.shape).copy(), axis=-1)
    return draws.permuted(orders), np.argsort(orders, axis=-1)


def assert_same_up_to_one_order(found, expected):
    """One and the same order of the components makes all draws equal."""
    for order in itertools.permutations(range(expected.num_components)):
        if all(
            np.array_equal(getattr(found, n), getattr(expected, n)[:, :, order]) for n in ("weights", "locs", "scales")
        ):
            return
    raise AssertionError("no single order of components makes the draws equal")


@pytest.mark.parametrize("num_features", [1, 3])
@pytest.mark.parametrize("method", ["pivot", "order"])
def test_shuffled_components_come_back_into_one_order(method, num_features):
    true = draws_about(np.arange(4)[:, None] * np.ones(num_features) * 5.0, 0.3)
    mixed, _ = shuffled(true)
    aligned = tfgmm.align(mixed, method=method)
    assert_same_up_to_one_order(aligned, true)
    assert aligned.share_doubtful == 0.0
    np.testing.assert_array_equal(mixed.permuted(aligned.permutations).locs, aligned.locs)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_chain_in_any_order_joins_the_other(order):
    true = draws_about([[0.0], [4.0], [9.0]], 0.4)
    locs = true.locs.copy()
    locs[1] = locs[1][:, list(order)]
    aligned = tfgmm.align(Draws(true.weights, locs, true.scales))
    means = aligned.locs.mean(axis=1)[..., 0]
    np.testing.assert_allclose(means[0], means[1], atol=0.2)


def test_components_at_one_place_are_told_apart_by_their_widths():
    true = draws_about([[0.0], [0.0]], 0.05, scales=[1.0, 6.0])
    aligned = tfgmm.align(shuffled(true)[0])
    assert_same_up_to_one_order(aligned, true)


def test_a_pivot_of_ones_own_decides_the_order():
    true = draws_about([[0.0, 1.0], [5.0, 5.0], [9.0, -3.0]], 0.3)
    pivot = np.array([[9.0, -3.0], [0.0, 1.0], [5.0, 5.0]])
    aligned = tfgmm.align(shuffled(true)[0], pivot)
    np.testing.assert_array_equal(aligned.locs, true.locs[:, :, [2, 0, 1]])
    np.testing.assert_allclose(aligned.locs.mean(axis=(0, 1)), pivot, atol=0.1)


def test_the_column_to_order_by_changes_the_order():
    true = draws_about([[0.0, 5.0], [5.0, 0.0]], 0.3)
    by_first, by_second = (tfgmm.align(true, method="order", feature=feature) for feature in (0, 1))
    assert (np.diff(by_first.locs[..., 0], axis=-1) > 0).all()
    assert (np.diff(by_second.locs[..., 1], axis=-1) > 0).all()


def test_the_share_of_moved_draws_is_counted():
    true = draws_about([[0.0], [9.0]], 0.3, num_chains=1, num_draws=100)
    orders = np.tile([0, 1], (1, 100, 1))
    orders[0, :25] = [1, 0]
    aligned = tfgmm.align(true.permuted(orders))
    assert aligned.share_moved == 0.25  # most draws stay as they are
    assert tfgmm.align(true).share_moved == 0.0


def test_assignments_are_the_cheapest_of_all():
    rng = np.random.default_rng(3)
    draws = Draws(np.full((1, 50, 4), 0.25), 2.0 * rng.standard_normal((1, 50, 4, 2)), np.ones((1, 50, 4, 2)))
    pivot = rng.standard_normal((4, 2))
    with pytest.warns(UserWarning, match="cannot be told apart by `pivot`"):
        found = tfgmm.align(draws, pivot).permutations[0]
    for locs, order in zip(draws.locs[0], found):
        costs = {
            o: sum(np.sum((locs[o[k]] - pivot[k]) ** 2) for k in range(4)) for o in itertools.permutations(range(4))
        }
        assert costs[tuple(order)] == pytest.approx(min(costs.values()))


def test_components_that_overlap_are_said_to_be_doubtful():
    overlapping = shuffled(draws_about([[0.0], [0.3]], 0.4))[0]
    with pytest.warns(UserWarning, match=r"in [\d.]+ % of the draws two components are too alike"):
        aligned = tfgmm.align(overlapping)
    assert aligned.share_doubtful > 0.3


def with_a_vague_one():
    """Two components that never touch, and a third that is nearly anywhere, as one without rows is."""
    true = draws_about([[0.0], [4.0], [200.0]], 0.2)
    locs = true.locs.copy()
    locs[:, :, 2] += 30.0 * np.random.default_rng(4).standard_normal(locs[:, :, 2].shape)
    return Draws(true.weights, locs, true.scales)


@pytest.mark.parametrize("method", ["pivot", "responsibilities"])
def test_a_vague_component_does_not_make_two_others_doubtful(method, recwarn):
    rows = np.linspace(-1.0, 5.0, 40)[:, None] if method == "responsibilities" else None
    aligned = tfgmm.align(with_a_vague_one(), method=method, rows=rows)
    assert aligned.share_doubtful < 0.05 and len(recwarn) == 0


def test_doubt_is_about_what_the_draws_were_aligned_by():
    """Of one place and width, but each with rows of its own: places cannot tell them apart, memberships can."""
    true = draws_about([[0.0], [0.3]], 0.4)
    rows = np.linspace(-1.0, 1.0, 30)[:, None]
    with pytest.warns(UserWarning, match='by their places and widths: .* above 5 % there, .* Try method="resp'):
        by_places = tfgmm.align(true)
    assert by_places.share_doubtful > 0.05
    heavy = np.broadcast_to([0.999, 0.001], true.weights.shape)
    apart = Draws(heavy, true.locs, true.scales)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by_rows = tfgmm.align(apart, method="responsibilities", rows=rows)
    assert by_rows.share_doubtful == 0.0
    alike = Draws(np.full_like(heavy, 0.5), true.locs, true.scales)
    with pytest.warns(UserWarning, match='told apart by the rows that belong to them: .* Try method="pivot"'):
        tfgmm.align(alike, method="responsibilities", rows=rows[:2])


def apart_in_the_second_column(covariances=False):
    """Two components of one place in column "width", far apart in "height", now and then swapped."""
    true = draws_about([[0.0, 5.0], [0.0, -5.0]], 0.3)
    found = Draws(true.weights, true.locs, true.scales, ("width", "height"))
    if covariances:
        found = dataclasses.replace(found, covariances=np.einsum("cskd,de->cskde", true.scales**2, np.eye(2)))
    return shuffled(found)[0]


def told_of(draws, **options):
    """Returns the one warning of an alignment, as text; "" for none."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tfgmm.align(draws, **options)
    assert len(caught) <= 1 and all(one.filename == __file__ for one in caught)
    return str(caught[0].message) if caught else ""


def test_a_column_that_orders_nothing_is_named_as_the_reason():
    draws = apart_in_the_second_column()
    told = told_of(draws, method="order", feature=0)
    assert re.fullmatch(
        r"in [\d.]+ % of the draws two components cannot be told apart by method=\"order\" in column 'width': .* "
        r"They can be told apart by their places and widths: use method=\"pivot\", or order by another column\.",
        told,
    )
    assert told_of(draws, method="order", feature=1) == told_of(draws) == ""
    nameless = Draws(draws.weights, draws.locs, draws.scales)
    assert 'by method="order" in column 0: ' in told_of(nameless, method="order")
    correlated = told_of(apart_in_the_second_column(covariances=True), method="order")
    assert "They can be told apart by their places, widths and correlations: use" in correlated


def test_a_pivot_that_tells_nothing_apart_is_named_as_the_reason():
    draws = apart_in_the_second_column()
    told = told_of(draws, pivot=[[0.0, 0.0], [0.1, 0.0]])
    assert "two components cannot be told apart by `pivot`: " in told
    assert told.endswith("widths: leave `pivot` out, or pass locations that lie near one component each.")
    assert told_of(draws, pivot=[[0.0, -3.0], [0.0, 3.0]]) == ""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"method": "order"}, 'cannot be told apart by method="order" in column 0: '),
        ({"pivot": [[0.0], [0.3]]}, "cannot be told apart by `pivot`: "),
        ({}, "are too alike to be told apart by their places and widths: "),
    ],
)
def test_components_that_nothing_tells_apart_are_not_the_fault_of_the_method_alone(options, reason):
    told = told_of(shuffled(draws_about([[0.0], [0.3]], 0.4))[0], **options)
    assert reason in told
    assert ("Nor can they by their places and widths, in " in told) == bool(options)
    assert told.endswith('ry method="responsibilities" with rows, look at the density, or ask for fewer components.')


def test_few_rows_are_told_to_be_few():
    draws = draws_about([[0.0], [0.3]], 0.4)
    told = told_of(draws, method="responsibilities", rows=[[0.0], [0.1], [0.2]])
    assert 'Try method="pivot", more rows than these 3, look at' in told


def test_an_offset_of_the_data_changes_no_order():
    true = draws_about([[0.0], [4.0], [9.0]], 0.3)
    far = Draws(true.weights, true.locs + 1e8, true.scales)
    mixed, _ = shuffled(far)
    assert_same_up_to_one_order(tfgmm.align(mixed), far)


def test_covariances_move_with_their_components():
    true = draws_about([[0.0, 0.0], [5.0, 5.0]], 0.2, num_draws=20)
    covariances = np.einsum("cskd,de->cskde", true.scales**2, np.eye(2))
    mixed, _ = shuffled(Draws(true.weights, true.locs, true.scales, covariances=covariances))
    aligned = tfgmm.align(mixed)
    diagonals = np.einsum("cskdd->cskd", aligned.covariances)
    np.testing.assert_allclose(diagonals, aligned.scales**2)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"method": "stephens"}, "`method` must be one of 'pivot', 'order', 'responsibilities'"),
        ({"method": "responsibilities"}, "`rows` must be given with"),
        ({"rows": np.zeros((3, 1))}, "`rows` must be given with .* and only with it"),
        ({"method": "responsibilities", "rows": np.zeros((3, 2))}, r"`rows` must have shape \(G, 1\)"),
        ({"method": "responsibilities", "rows": np.full((3, 1), np.nan)}, "`rows` must hold finite numbers"),
        ({"pivot": np.zeros((3, 1))}, r"`pivot` must have shape \(2, 1\)"),
        ({"pivot": np.full((2, 1), np.nan)}, "`pivot` must be finite. Received: NaN or infinite locations. Pass"),
        ({"method": "order", "pivot": np.zeros((2, 1))}, "`pivot` must be left out"),
        ({"method": "order", "feature": 1}, "`feature` must be below 1"),
        ({"feature": 0}, "`feature` must be left out with method='pivot'"),
        ({"feature": 7}, "`feature` must be left out with method='pivot'"),
    ],
)
def test_arguments_that_cannot_be_are_named(arguments, words):
    with pytest.raises(ValueError, match=words):
        tfgmm.align(draws_about([[0.0], [9.0]], 0.1), **arguments)


def test_one_component_is_aligned_as_it_is():
    draws = draws_about([[3.0]], 0.1)
    aligned = tfgmm.align(draws)
    np.testing.assert_array_equal(aligned.locs, draws.locs)
    assert aligned.share_moved == aligned.share_doubtful == 0.0


def responsibilities(draws, rows):
    """Plain loops over draws: (C, S, G, K)."""
    found = np.empty((*draws.weights.shape[:2], len(rows), draws.num_components))
    for c, s in np.ndindex(draws.weights.shape[:2]):
        joints = draws.weights[c, s] * np.prod(
            stats.norm.pdf(rows[:, None], draws.locs[c, s], draws.scales[c, s]), axis=-1
        )
        found[c, s] = joints / joints.sum(axis=1, keepdims=True)
    return found


def test_relabelling_by_responsibilities_puts_shuffled_components_back():
    true = draws_about([[0.0, 0.0], [3.0, 3.0], [9.0, 0.0]], 0.2)
    rows = np.random.default_rng(2).normal(3.0, 4.0, (60, 2))
    aligned = tfgmm.align(shuffled(true)[0], method="responsibilities", rows=rows)
    assert_same_up_to_one_order(aligned, true)


def test_relabelling_is_stephens_fixed_point():
    """Each draw's order has the least KL divergence from the mean memberships of all, among all K! orders."""
    true = draws_about([[0.0], [1.0], [1.5]], 0.4, num_chains=1, num_draws=40, scales=[0.5, 1.0, 3.0])
    rows = np.linspace(-4.0, 6.0, 50)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # components as near as these may be called doubtful
        aligned = tfgmm.align(shuffled(true)[0], method="responsibilities", rows=rows)
    memberships = responsibilities(aligned, rows)[0]
    mean = memberships.mean(axis=0)
    for draw in memberships:
        losses = {
            order: np.sum(draw[:, order] * np.log(draw[:, order] / mean)) for order in itertools.permutations(range(3))
        }
        assert losses[0, 1, 2] <= min(losses.values()) + 1e-5


def test_components_of_one_place_and_many_widths_are_told_apart_by_their_rows():
    true = draws_about([[0.0], [0.0]], 0.05, scales=[1.0, 6.0])
    rows = np.linspace(-12.0, 12.0, 80)
    assert_same_up_to_one_order(tfgmm.align(shuffled(true)[0], method="responsibilities", rows=rows), true)


def test_orders_by_pivot_and_by_responsibilities_may_differ():
    overlapping = shuffled(draws_about([[0.0], [0.5], [1.0]], 0.4, num_chains=1, scales=[1.0, 1.05, 1.1]))[0]
    rows = np.linspace(-4.0, 6.0, 50)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        orders = [
            tfgmm.align(overlapping, **arguments).permutations
            for arguments in ({}, {"method": "responsibilities", "rows": rows}, {"method": "order"})
        ]
    assert (orders[0] != orders[1]).any() and (orders[0] != orders[2]).any()


def correlated_draws(num_draws=100):
    """Two components at one place, of equal widths, that differ in the sign of a correlation alone."""
    rng = np.random.default_rng(0)
    correlations = np.array([-0.7, 0.7]) + 0.03 * rng.standard_normal((1, num_draws, 2))
    covariances = np.broadcast_to(np.eye(2), (1, num_draws, 2, 2, 2)).copy()
    covariances[..., 0, 1] = covariances[..., 1, 0] = correlations
    locs = 0.05 * rng.standard_normal((1, num_draws, 2, 2))
    return Draws(rng.dirichlet([90, 90], (1, num_draws)), locs, np.ones_like(locs), covariances=covariances)


@pytest.mark.parametrize("method", ["pivot", "responsibilities"])
def test_components_are_told_apart_by_their_correlations(method):
    true = correlated_draws()
    rows = {"rows": np.random.default_rng(3).normal(size=(60, 2))} if method == "responsibilities" else {}
    aligned = tfgmm.align(shuffled(true)[0], method=method, **rows)
    assert_same_up_to_one_order(aligned, true)


def test_permutations_go_on_from_those_of_the_alignment():
    mixed, _ = shuffled(draws_about([[0.0], [5.0], [9.0]], 0.3))
    aligned = tfgmm.align(mixed)
    turned = aligned.permuted(np.broadcast_to([2, 0, 1], mixed.weights.shape))
    np.testing.assert_array_equal(mixed.permuted(turned.permutations).locs, turned.locs)
    assert turned.share_moved > 0.5


@pytest.mark.parametrize(
    ("field", "value"), [("locs", np.nan), ("scales", 0.0), ("scales", np.inf), ("weights", np.nan)]
)
def test_draws_that_are_not_finite_are_refused(field, value):
    draws = draws_about([[0.0], [9.0]], 0.1)
    getattr(draws, field)[0, 3, 1] = value
    for method in ("pivot", "order"):
        with pytest.raises(ValueError, match="`draws` must be finite, and their scales positive"):
            tfgmm.align(draws, method=method)


def test_no_draws_are_refused_and_text_is_no_pivot():
    with pytest.raises(ValueError, match="at least one draw"):
        tfgmm.align(Draws(np.ones((1, 0, 1)), np.ones((1, 0, 1, 1)), np.ones((1, 0, 1, 1))))
    with pytest.raises(TypeError, match="`pivot` must be numbers"):
        tfgmm.align(draws_about([[0.0], [9.0]], 0.1), [["a"], ["b"]])


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_units_do_not_matter_not_even_for_one_draw(unit):
    one = draws_about(np.array([[0.0], [9.0]]) * unit, 0.1 * unit, num_chains=1, num_draws=1, scales=[unit, unit])
    assert tfgmm.align(one).share_doubtful == 0.0
