"""Work shared out to cores, and log joints by NumPy: the same figures for any number of cores and chunks."""

from __future__ import annotations

import subprocess
import sys
import threading
import types

import numpy as np
import pytest
import tensorflow as tf
from random_posteriors import random_components
from scipy import special, stats
from threadpoolctl import threadpool_limits

import tfgmm
from tfgmm.common import threads as cores
from tfgmm.data.blocks import RowBlock
from tfgmm.families.variational import COMPONENTS, VariationalPosterior
from tfgmm.mixture import features, log_joints
from tfgmm.mixture.parameters import FORMS, MixtureDensity, coefficients_of, form_of
from tfgmm.mixture.row_sums import sums_over_rows
from tfgmm.model import natural_gradient
from tfgmm.scoring import devices
from tfgmm.scoring import scores as density
from tfgmm.scoring.graph.densities import GRAPH_FORMS


def blas_threads():
    return [library.num_threads for library in cores._THREADS.libraries.lib_controllers]


def shares_of(function, num_rows, numbers_per_row=1):
    """Returns what the function gives for each share, without memory to write over."""

    def of_share(_, chunks):
        return function(chunks[0].start, chunks[-1].stop)

    return list(cores.shared_out(of_share, num_rows, numbers_per_row, lambda size: None))


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(cores, "num_cores", lambda: 4)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)


# --- Shares -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_rows", "num_shares"), [(0, 1), (1, 1), (2, 2), (3, 2), (15, 8), (16, 16), (1000, 16)])
def test_shares_are_in_order_and_cover_the_rows_once(four_cores, num_rows, num_shares):
    shares = shares_of(lambda start, stop: (start, stop), num_rows)
    assert [row for share in shares for row in range(*share)] == list(range(num_rows))
    assert len(shares) == num_shares


def test_shares_are_worked_on_in_threads_of_their_own_with_one_thread_of_the_matrix_library_each(four_cores):
    before, meeting = blas_threads(), threading.Barrier(4, timeout=60)

    def of_share(start, stop):
        meeting.wait()  # four are at work at once
        return threading.get_ident(), blas_threads()

    found = shares_of(of_share, 16)
    assert len({thread for thread, _ in found}) == 4
    assert {number for _, numbers in found for number in numbers} == {1}
    assert blas_threads() == before


def test_shares_at_work_at_the_same_time_have_memory_of_their_own(four_cores):
    made, meeting = [], threading.Barrier(4, timeout=60)

    def of_share(memory, chunks):
        start = chunks[0].start
        memory.append(start)
        meeting.wait()
        mine = memory[-1] == start
        meeting.wait()
        return mine

    found = list(cores.shared_out(of_share, 160, 1, lambda size: made.append((size, [])) or made[-1][1]))
    assert all(found) and len(made) == 4 and {size for size, _ in made} == {10}
    assert sorted(start for _, memory in made for start in memory) == list(range(0, 160, 10))


def test_few_rows_stay_with_the_thread_that_asks():
    few = cores._LEAST_NUMBERS - 1
    assert shares_of(lambda start, stop: threading.get_ident(), 2, few) == [threading.get_ident()]


@pytest.mark.parametrize("failing", [0, 50])
def test_what_fails_in_a_share_is_raised_and_the_limit_is_taken_back(four_cores, failing):
    before = blas_threads()

    def of_share(start, stop):
        if start <= failing < stop:
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken"):
        shares_of(of_share, 100)
    assert blas_threads() == before


def test_when_the_caller_leaves_shares_that_were_not_begun_are_given_up(four_cores):
    begun, before = [], blas_threads()
    release = threading.Event()

    def of_share(memory, chunks):
        begun.append(chunks[0].start)
        release.wait(0 if chunks[0].start == 0 else 60)

    shares = cores.shared_out(of_share, 160, 1, lambda size: None)
    next(shares)
    threading.Timer(0.2, release.set).start()
    shares.close()  # as when Ctrl-C takes the caller away; waits for those at work
    assert len(begun) < 16 and blas_threads() == before


def test_a_limit_on_the_matrix_library_is_one_on_the_cores():
    with threadpool_limits(1, user_api="blas"):
        assert cores.num_cores() == 1
        threads = shares_of(lambda start, stop: threading.get_ident(), 1000, cores._LEAST_NUMBERS)
        assert set(threads) == {threading.get_ident()} and len(threads) == 16


@pytest.mark.parametrize(("threads", "expected"), [([None], 5), ([], 5), ([None, 3], 3)])
def test_processors_count_where_a_library_cannot_be_asked(monkeypatch, threads, expected):
    """As with Apple's, which threadpoolctl does not find."""
    controllers = [types.SimpleNamespace(num_threads=number) for number in threads]
    monkeypatch.setattr(cores._THREADS, "libraries", types.SimpleNamespace(lib_controllers=controllers))
    monkeypatch.setattr(cores.os, "sched_getaffinity", lambda process: range(5))
    assert cores.num_cores() == expected


def test_callers_that_overlap_leave_the_matrix_library_as_it_was_and_see_all_cores():
    """The first that comes goes first: what it found must not be lost with it."""
    before, number = blas_threads(), cores.num_cores()
    entered, may_leave = threading.Event(), threading.Event()

    def first():
        with cores.one_thread_each():
            entered.set()
            may_leave.wait(60)

    thread = threading.Thread(target=first)
    thread.start()
    assert entered.wait(60)
    assert cores.num_cores() == number
    with cores.one_thread_each():
        may_leave.set()
        thread.join()
        assert set(blas_threads()) == {1} and cores.num_cores() == number
    assert blas_threads() == before


SCRIPT = """
import atexit, os, threading
import numpy as np
from tfgmm.common import threads as cores

def last(_, chunks):
    return chunks[-1].stop

def found():
    return [stop for stop in cores.shared_out(last, 16, cores._LEAST_NUMBERS, lambda size: None)]

def late():
    threading.main_thread().join()
    print("late", found()[-1])

cores._THREADS._current = lambda: 4
with cores.one_thread_each():
    child = os.fork()
    if child == 0:  # the parent holds the library: its child does not
        with cores.one_thread_each():
            os._exit(0 if len(found()) == 16 and len(cores._THREADS._holders) == 1 else 1)
    print("child", os.waitpid(child, 0)[1])
threading.Thread(target=late).start()
atexit.register(lambda: print("atexit", found()[-1]))
"""


def test_children_of_the_process_and_its_last_moments_can_share_work_out():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert sorted(done.stdout.split("\n")) == ["", "atexit 16", "child 0", "late 16"], done.stderr


def test_slices_cover_the_rows():
    assert [(part.start, part.stop) for part in cores.slices(3, 10, 4)] == [(3, 7), (7, 10)]
    assert cores.slices(3, 3, 4) == [slice(3, 3)]


def test_chunks_of_a_share_cover_its_rows_and_are_no_larger_than_the_memory(four_cores, monkeypatch):
    monkeypatch.setattr(cores, "chunk_size", lambda numbers_per_row: 3)
    sizes = []
    shares = list(cores.shared_out(lambda _, chunks: chunks, 80, 1, sizes.append))
    assert [row for chunks in shares for part in chunks for row in range(part.start, part.stop)] == list(range(80))
    assert {part.stop - part.start for chunks in shares for part in chunks} == {3, 2} and set(sizes) == {3}


# --- Features and log joints ------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_features", [1, 4, 19])
@pytest.mark.parametrize("covariance", COMPONENTS)
def test_features_are_those_of_the_graph_and_a_one(covariance, num_features):
    components = COMPONENTS[covariance]
    for num_rows in (7, 0):
        rows = np.random.default_rng(num_features).normal(size=(num_rows, num_features))
        expected = np.concatenate(GRAPH_FORMS[components.form].features(tf.constant(rows)), axis=1)
        found = np.full((expected.shape[1] + 1, num_rows), np.nan)
        log_joints.write_features(FORMS[components.form].write_products, rows.T, found)
        np.testing.assert_allclose(found[:-1].T, expected, rtol=1e-15)
        np.testing.assert_array_equal(found[-1], 1.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_log_joints_are_features_times_coefficients(dtype):
    generator = np.random.default_rng(0)
    linear, constants, of_rows = (generator.normal(size=shape) for shape in ((2, 5, 3), (2, 3), (6, 11)))
    of_rows[-1] = 1.0
    factors = log_joints.factors_of((tf.constant(linear), constants), dtype)
    found = log_joints.ChunkProducts(factors, 11).log_joints(of_rows.astype(dtype))
    expected = np.einsum("rpk,pn->rkn", linear, of_rows[:-1]) + constants[..., None]
    np.testing.assert_allclose(found, expected.reshape(6, 11), rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-6)
    assert found.dtype == dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_exponentials_end_above_the_least_normal_number(dtype):
    """Of a column that is not finite nothing is told, and its neighbours keep their figures."""
    joints = np.array([[[0.0, -5e3, 1.0, np.nan, 2.0], [-1.0, -6e3, -90.0, 0.0, np.inf], [-2.0, -7e5, -1e9, 0.0, 0.0]]])
    joints[0, 2, 0] = -np.inf
    found = joints.astype(dtype)
    with np.errstate(invalid="ignore"):
        largest, norms = log_joints.exponentials(found)
    assert found.dtype == dtype and (found[0, :, :3] >= np.finfo(dtype).tiny).all()
    np.testing.assert_array_equal(largest[0, :3], [0.0, -5e3, 1.0])
    expected = special.logsumexp(joints[0, :, :3], axis=0)
    np.testing.assert_allclose(largest[0, :3] + np.log(norms[0, :3]), expected, rtol=4 * np.finfo(dtype).eps)
    np.testing.assert_allclose(found[0, :, :3], np.exp(joints[0, :, :3] - largest[0, :3]), rtol=1e-5, atol=1e-30)
    assert not np.isfinite(norms[0, 3:]).any()


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["precisions", "whiteners"])
def test_coefficients_give_scipys_log_joints_of_every_mixture(kind, tied):
    generator = np.random.default_rng(3)
    num_mixtures, num_components, num_features = 2, 3, 9
    locs = generator.normal(size=(num_mixtures, num_components, num_features))
    weights = generator.dirichlet(np.ones(num_components), num_mixtures)
    shape = (num_mixtures, 1 if tied else num_components, num_features)
    if kind == "precisions":
        values = generator.gamma(3.0, size=shape)
        matrices = values[..., None] * np.eye(num_features)
    else:
        values = generator.normal(size=(*shape, num_features)) + 2.0 * np.eye(num_features)  # those of draws are any
        matrices = np.swapaxes(values, -1, -2) @ values
    covariances = np.broadcast_to(np.linalg.inv(matrices), (*locs.shape, num_features))
    rows = generator.normal(size=(5, num_features))
    write = features.write_squares if kind == "precisions" else features.write_products
    of_rows = np.empty((num_features + features.num_products(write, num_features) + 1, 5))
    log_joints.write_features(write, rows.T, of_rows)
    covariance = {"precisions": "diag", "whiteners": "full"}[kind]
    mixtures = MixtureDensity(covariance, np.zeros(num_features), np.log(weights), {"locs": locs, kind: values})
    found = log_joints.factors_of(coefficients_of(mixtures)) @ of_rows
    expected = [
        np.log(weights[s, k]) + stats.multivariate_normal(locs[s, k], covariances[s, k]).logpdf(rows)
        for s in range(num_mixtures)
        for k in range(num_components)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


# --- The same figures for any number of cores -------------------------------------------------------------------


@pytest.mark.parametrize("covariance", ["tied_diag", "full"])
def test_sums_are_the_same_to_the_byte_for_any_number_of_cores_and_to_rounding_for_any_chunks(covariance, monkeypatch):
    write_products = form_of(covariance).write_products
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(157, 4)).astype(np.float32)
    num_columns = 4 + features.num_products(write_products, 4)
    coefficients = generator.normal(size=(2, num_columns, 3)), generator.normal(size=(2, 3))
    whole = sums_over_rows(write_products, RowBlock(rows), coefficients)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    monkeypatch.setattr(cores, "chunk_size", lambda numbers_per_row: 4)
    parts = []
    for number in (1, 2, 5):
        monkeypatch.setattr(cores, "num_cores", lambda number=number: number)
        parts.append(tf.nest.flatten(sums_over_rows(write_products, RowBlock(rows), coefficients)))
    for value, *others, wanted in zip(*parts, tf.nest.flatten(whole)):
        np.testing.assert_allclose(value, wanted, rtol=1e-12, atol=1e-12)
        assert all(np.asarray(value).tobytes() == np.asarray(other).tobytes() for other in others)


def test_sums_of_few_rows_are_the_same_to_the_byte_for_any_number_of_cores():
    """One share: the matrix library would split the product between its threads."""
    write_products = form_of("full").write_products
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(2000, 20)).astype(np.float32)
    num_columns = 20 + features.num_products(write_products, 20)
    coefficients = generator.normal(size=(1, num_columns, 3)), generator.normal(size=(1, 3))
    found = []
    for number in (1, 2):
        with threadpool_limits(number, user_api="blas"):
            found.append(tf.nest.flatten(sums_over_rows(write_products, RowBlock(rows), coefficients)))
    assert all(np.asarray(one).tobytes() == np.asarray(other).tobytes() for one, other in zip(*found))


@pytest.mark.parametrize("has_gpu", [False, True])
@pytest.mark.parametrize("num_cores", [1, 3])
def test_log_likelihoods_of_several_mixtures_are_those_of_plain_numpy(has_gpu, num_cores, monkeypatch):
    monkeypatch.setattr(devices, "has_gpu", lambda: has_gpu)
    monkeypatch.setattr(cores, "num_cores", lambda: num_cores)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)
    components, _ = random_components("full")
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(157, 4)).astype(np.float32)
    of_rows = np.concatenate(GRAPH_FORMS[components.form].features(tf.constant(rows, tf.float64)), axis=1)
    linear, constants = generator.normal(size=(2, of_rows.shape[1], 3)), generator.normal(size=(2, 3))
    steps = natural_gradient.NaturalGradient(VariationalPosterior(None, components), run_eagerly=True)
    found = steps.log_likelihoods((linear, constants), RowBlock(tf.constant(rows)))
    for number in range(2):
        joints = of_rows @ linear[number] + constants[number]
        expected = special.logsumexp(joints, axis=1).sum(), joints.max(axis=1).sum()
        np.testing.assert_allclose(found[:, number], expected, rtol=0, atol=len(rows) * (1e-7 if has_gpu else 1e-12))


def test_scores_are_the_same_for_any_number_of_cores(four_cores, monkeypatch):
    rows = np.random.default_rng(0).normal(size=(101, 2))
    rows[50, 1] = np.nan
    model = tfgmm.fit_mixture(rows[:50], 2, restarts=1, seed=0).model
    scores = "log_prob", "log_density", "responsibilities", "assignment"
    found = [density.score_data(model.plug_in(), rows, score) for score in scores]
    monkeypatch.setattr(cores, "num_cores", lambda: 1)
    for values, score in zip(found, scores):
        np.testing.assert_allclose(values, density.score_data(model.plug_in(), rows, score), rtol=1e-6)


def test_a_fit_through_the_graph_is_the_fit_without_a_gpu(monkeypatch):
    rows = np.random.default_rng(0).normal(size=(300, 2)) + np.repeat([[0.0], [4.0]], 150, axis=0)
    found = []
    for has_gpu in (False, True):
        monkeypatch.setattr(devices, "has_gpu", lambda has_gpu=has_gpu: has_gpu)
        model = tfgmm.GaussianMixtureModel(2, 2, covariance="full", seed=0)
        model.compile()
        history = model.fit(rows, epochs=5, batch_size=100, verbose=0, validation_data=rows[::3])
        found.append((history.history["elbo"], history.history["val_loss"], model.locs))
    for value, wanted in zip(*found):
        np.testing.assert_allclose(value, wanted, rtol=1e-6)
