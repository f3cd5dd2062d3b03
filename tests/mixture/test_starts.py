"""Training begins at rows of the data: in every cluster, whatever the seed, and as asked where asked."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from tfgmm.data.sources import open_source
from tfgmm.data.survey import survey_rows
from tfgmm.mixture.starts import distinct_rows, start_locs

CORNERS = np.array([[x, y] for x in (-20.0, 0.0, 20.0) for y in (-20.0, 0.0, 20.0)][:8])


def clusters(sizes=(100,) * 8, seed=0):
    generator = np.random.default_rng(seed)
    rows = np.concatenate([corner + generator.normal(size=(size, 2)) for corner, size in zip(CORNERS, sizes)])
    return generator.permutation(rows).astype(np.float32)


def starts(start, sample, num_components, seed=0, centre=None):
    centre = np.zeros(sample.shape[1]) if centre is None else centre
    return start_locs(start, sample, num_components, centre, seed)


def owners(locs):
    return {int(np.argmin(np.sum((loc - CORNERS) ** 2, axis=1))) for loc in locs}


@pytest.mark.parametrize("units", [(1.0, 1.0), (1e-8, 1e8)], ids=["same units", "mixed units"])
@pytest.mark.parametrize("sizes", [(100,) * 8, (600, 20, 20, 20, 200, 50, 30, 20)], ids=["equal", "unequal"])
def test_kmeans_plusplus_finds_every_separated_cluster_from_each_of_ten_seeds(sizes, units):
    for seed in range(10):
        locs = starts("k-means++", clusters(sizes, seed) * np.float32(units), 8, seed)
        assert locs.dtype == np.float64
        assert owners(locs / np.array(units)) == set(range(8)), seed


def test_kmeans_plusplus_finds_32_clusters_in_16_columns_from_each_of_ten_seeds():
    """scikit-learn's default number of trials per centre misses some of them."""
    for seed in range(10):
        generator = np.random.default_rng(seed)
        centres = generator.normal(0, 5, (32, 16))
        owner = np.repeat(np.arange(32), 50)
        rows = (centres[owner] + generator.normal(size=(1600, 16))).astype(np.float32)
        distances = np.sum((starts("k-means++", rows, 32, seed)[:, None] - centres) ** 2, axis=2)
        assert set(np.argmin(distances, axis=1)) == set(range(32)), seed


@pytest.mark.parametrize("start", ["k-means++", "random"])
def test_chosen_locations_are_distinct_rows_of_the_data(start):
    sample = clusters()
    locs = starts(start, sample, 12)
    rows = {tuple(row) for row in sample.astype(np.float64)}
    assert locs.shape == (12, 2) and {tuple(loc) for loc in locs} <= rows
    assert len({tuple(loc) for loc in locs}) == 12


@pytest.mark.parametrize("start", ["k-means++", "random"])
def test_the_seed_decides_the_choice(start):
    sample = clusters()
    np.testing.assert_array_equal(starts(start, sample, 3, seed=4), starts(start, sample, 3, seed=4))
    assert len({starts(start, sample, 3, seed=seed).tobytes() for seed in range(5)}) > 1


def test_the_two_ways_of_choosing_differ():
    """Random rows of unequal clusters miss the small ones; k-means++ does not."""
    sample = clusters((700, 5, 5, 5, 200, 50, 30, 5))
    assert len(owners(starts("random", sample, 8))) < 8


@pytest.mark.parametrize("start", ["k-means++", "random"])
@pytest.mark.parametrize("num_components", [3, 5])
def test_fewer_distinct_rows_than_components_share_the_rows(start, num_components):
    sample = np.repeat(np.array([[0.0, 1.0], [4.0, 5.0]], np.float32), [990, 10], axis=0)
    locs = starts(start, sample, num_components)
    assert locs.shape == (num_components, 2)
    assert {tuple(loc) for loc in locs} == {(0.0, 1.0), (4.0, 5.0)}


@pytest.mark.parametrize("start", ["k-means++", "random"])
def test_one_row_serves_every_component(start):
    np.testing.assert_array_equal(starts(start, np.array([[7.0]], np.float32), 3), [[7.0]] * 3)


@pytest.mark.parametrize("start", ["k-means++", "random"])
def test_heavy_duplicates_do_not_hide_the_rare_rows(start):
    sample = np.repeat(np.array([[0.0], [5.0], [9.0]], np.float32), [1000, 1, 1], axis=0)
    assert {float(loc[0]) for loc in starts(start, sample, 3)} == {0.0, 5.0, 9.0}


def test_a_constant_column_is_no_obstacle():
    sample = np.column_stack([np.ones(100), np.repeat([0.0, 50.0], 50) + np.linspace(0, 1, 100)]).astype(np.float32)
    locs = starts("k-means++", sample, 2)
    np.testing.assert_array_equal(locs[:, 0], 1.0)
    assert sorted(locs[:, 1] > 25) == [False, True]


def test_a_spread_of_its_own_decides_what_kmeans_plusplus_counts_as_far():
    """One far row makes the other column's clusters near; with the spread given, they are apart again."""
    sample = np.column_stack([np.repeat([0.0, 1.0, 2.0], 100), np.zeros(300)]) + np.linspace(0, 1e-3, 300)[:, None]
    sample[0, 1] = 1e6  # a column whose standard deviation is this one row's
    spread = np.array([1.0, 1e9])
    for seed in range(5):
        locs = start_locs("k-means++", sample, 3, np.zeros(2), seed, spread)
        assert sorted(locs[:, 0].round()) == [0.0, 1.0, 2.0]


# Distinct rows


@pytest.mark.parametrize("num_features", [1, 2, 9])
def test_distinct_rows_are_those_of_numpy_in_the_order_of_their_first_appearance(num_features):
    rows = np.random.default_rng(num_features).integers(0, 3, (500, num_features)).astype(np.float32)
    distinct = distinct_rows(rows)
    assert distinct.dtype == np.float64
    expected, first = np.unique(rows, axis=0, return_index=True)
    assert len(expected) >= 3
    np.testing.assert_array_equal(distinct, expected[np.argsort(first)])


@pytest.mark.parametrize("offset", [0.0, 1.0, 1e8])
def test_rows_that_differ_in_their_last_bit_are_distinct(offset):
    """In one column of four, the others being equal: a pair of neighbours in float64."""
    row = np.array([offset, 3.0, -1e-8, 5e7])
    other = row.copy()
    other[0] = np.nextafter(offset, np.inf)
    np.testing.assert_array_equal(distinct_rows(np.stack([row, other, row, other])), [row, other])


@pytest.mark.parametrize("far", [1e17, 1e30])
def test_one_far_row_leaves_the_others_distinct(far):
    rows = np.column_stack([np.arange(5.0), np.ones(5)])
    rows[2] = far
    np.testing.assert_array_equal(distinct_rows(rows), rows)


def test_both_zeros_are_one_and_fortran_order_is_no_obstacle():
    rows = np.array([[0.0, 1.0], [-0.0, 1.0], [2.0, 3.0]], order="F")
    np.testing.assert_array_equal(distinct_rows(rows), [[0.0, 1.0], [2.0, 3.0]])


def test_equal_rows_are_one_whatever_surrounds_them():
    """Sums in blocks of a matrix product once made equal rows differ."""
    rows = np.random.default_rng(0).normal(size=(7, 33))
    repeated = np.repeat(rows, 143, axis=0)
    np.testing.assert_array_equal(distinct_rows(repeated), rows)
    assert len(distinct_rows(np.zeros((5, 3)))) == 1


@pytest.mark.parametrize("as_given", [np.array, np.ndarray.tolist], ids=["array", "list"])
def test_given_locations_are_used_as_they_are_measured_from_the_centre(as_given):
    given, centre = np.array([[1.0, 1e8 + 0.25], [3.0, 1e8]]), np.array([2.0, 1e8])
    locs = starts(as_given(given), np.zeros((4, 2), np.float32), 2, centre=centre)
    np.testing.assert_array_equal(locs, [[-1.0, 0.25], [1.0, 0.0]])


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (2,), (2, 2, 1)])
def test_given_locations_of_the_wrong_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"^`start` must have shape \(2, 2\)\. Received: shape"):
        starts(np.zeros(shape), np.zeros((4, 2), np.float32), 2)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_given_locations_that_are_not_finite_are_refused(value):
    with pytest.raises(ValueError, match="^`start` must"):
        starts(np.array([[0.0, value], [1.0, 1.0]]), np.zeros((4, 2), np.float32), 2)


def test_an_unknown_name_is_refused_with_the_way_out():
    with pytest.raises(ValueError) as caught:
        starts("kmeans", np.zeros((4, 2), np.float32), 3)
    message = "`start` must be one of 'k-means++', 'random'. Received: 'kmeans'. Choose one of them."
    assert str(caught.value) == message


# The sample, in data units


def sample_of(source, num_data=None, seed=0):
    return survey_rows(open_source(source, "x", None), num_data, seed).sample


def test_an_array_below_the_cap_is_taken_whole_in_float64():
    values = np.array([[1e8 + 0.5], [1e8 + 1.5]])
    sample = sample_of(values)
    assert sample.dtype == np.float64
    np.testing.assert_array_equal(sample, values)


@pytest.mark.parametrize("as_dataset", [False, True])
def test_longer_data_gives_20_000_of_its_rows_at_random(as_dataset):
    values = np.arange(30_000.0)[:, None]

    def source():
        return tf.data.Dataset.from_tensor_slices(values).batch(7_000) if as_dataset else values

    sample = sample_of(source())
    assert sample.shape == (20_000, 1) and len(np.unique(sample)) == 20_000
    assert set(sample[:, 0]) <= set(values[:, 0])
    # without replacement from a finite population: the standard error shrinks by sqrt(1 - n / N)
    assert abs(sample.mean() - values.mean()) < 5 * values.std() / np.sqrt(20_000) * np.sqrt(1 / 3)
    assert sample.max() > 29_900  # not the first ones
    np.testing.assert_array_equal(sample, sample_of(source()))
    assert not np.array_equal(sample, sample_of(source(), seed=1))


@pytest.mark.parametrize("endless", [False, True])
def test_a_stream_of_unknown_length_gives_its_first_20_000_rows(endless):
    values = np.arange(30_000.0)[:, None] + 1e8
    dataset = tf.data.Dataset.from_tensor_slices(values).batch(7_000)
    stream = dataset.repeat() if endless else dataset.filter(lambda rows: True)
    sample = sample_of(stream, num_data=30_000)
    assert sample.dtype == np.float64
    np.testing.assert_array_equal(sample, values[:20_000])


def test_a_short_dataset_is_taken_whole():
    dataset = tf.data.Dataset.from_tensor_slices(np.arange(10, dtype=np.int32)[:, None]).batch(4)
    np.testing.assert_array_equal(sample_of(dataset)[:, 0], np.arange(10))
