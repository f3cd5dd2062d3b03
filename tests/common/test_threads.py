"""Work shared out to cores: shares in order, in threads of their own, whatever fails or leaves."""

from __future__ import annotations

import subprocess
import sys
import threading
import types

import pytest
from threadpoolctl import threadpool_limits

from tfgmm.common import threads as cores


def blas_threads():
    return [library.num_threads for library in cores._THREADS.libraries.lib_controllers]


def shares_of(function, num_rows, numbers_per_row=1):
    """Returns what the function gives for each share, without memory to write over."""

    def of_share(_, chunks):
        return function(chunks[0].start, chunks[-1].stop)

    return list(cores.shared_out(of_share, num_rows, numbers_per_row, lambda size: None))


@pytest.fixture
def four_cores(monkeypatch):
    monkeypatch.setattr(cores._THREADS, "number", lambda: 4)
    monkeypatch.setattr(cores, "_LEAST_NUMBERS", 1)


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


# Reading ahead


def test_items_come_in_order_each_begun_while_the_one_before_is_worked_on():
    begun, may_go_on = [], threading.Event()

    def items():
        for number in range(5):
            begun.append(number)
            if number == 2:
                may_go_on.set()
            yield number, threading.get_ident()

    found = cores.read_ahead(items())
    assert begun == []  # nothing is read before somebody asks
    numbers = [next(found)]
    numbers.append(next(found))
    assert may_go_on.wait(60)  # the third is being made, although nobody has asked for it
    numbers.extend(found)
    assert [number for number, _ in numbers] == begun == list(range(5))
    assert threading.get_ident() not in {thread for _, thread in numbers}


@pytest.mark.parametrize("items", [[], [None], [0, None, ()], iter("abc"), (number for number in range(3))])
def test_anything_that_can_be_iterated_over_is_read_to_its_end(items):
    expected = list(items) if isinstance(items, list) else None
    found = list(cores.read_ahead(items))
    assert found == expected or (expected is None and len(found) == 3)


@pytest.mark.parametrize("failing", [0, 1, 3])
def test_what_fails_while_reading_ahead_is_raised_after_the_items_before_it(failing):
    def items():
        for number in range(5):
            if number == failing:
                raise KeyError("broken")
            yield number

    seen, more = [], cores.read_ahead(items())
    with pytest.raises(KeyError, match="broken"):
        for one in more:
            seen.append(one)
    assert seen == list(range(failing))
    assert next(more, "ended") == "ended"


def test_who_leaves_early_is_followed_by_no_more_than_one_item_and_leaves_no_thread():
    begun, before = [], threading.active_count()
    found = cores.read_ahead(begun.append(number) or number for number in range(100))
    assert [next(found), next(found)] == [0, 1]
    found.close()  # as when Ctrl-C takes the caller away; waits for the one that is being made
    assert len(begun) <= 3 and threading.active_count() == before
    assert list(found) == []


def test_an_error_of_the_caller_is_not_lost_while_an_item_is_being_made():
    release = threading.Event()

    def items():
        yield 0
        release.wait(60)
        yield 1

    found = cores.read_ahead(items())
    with pytest.raises(ZeroDivisionError):
        for _ in found:
            threading.Timer(0.1, release.set).start()
            raise ZeroDivisionError
    found.close()
    assert release.is_set()


def test_items_are_read_by_the_caller_where_no_thread_starts(monkeypatch):
    """As when the process has as many threads as it may, or is about to end."""

    def refuse(*_):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(cores.ThreadPoolExecutor, "submit", refuse)
    found = list(cores.read_ahead((number, threading.get_ident()) for number in range(4)))
    assert found == [(number, threading.get_ident()) for number in range(4)]


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
    print("late", found()[-1], list(cores.read_ahead(range(3))))

cores._THREADS._current = lambda: 4
with cores.one_thread_each():
    child = os.fork()
    if child == 0:  # the parent holds the library: its child does not
        with cores.one_thread_each():
            os._exit(0 if len(found()) == 16 and len(cores._THREADS._holders) == 1 else 1)
    print("child", os.waitpid(child, 0)[1])
threading.Thread(target=late).start()
atexit.register(lambda: print("atexit", found()[-1], list(cores.read_ahead(range(3)))))
"""


def test_children_of_the_process_and_its_last_moments_can_share_work_out():
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert sorted(done.stdout.split("\n")) == ["", "atexit 16 [0, 1, 2]", "child 0", "late 16 [0, 1, 2]"], done.stderr


def test_slices_cover_the_rows():
    assert [(part.start, part.stop) for part in cores.slices(3, 10, 4)] == [(3, 7), (7, 10)]
    assert cores.slices(3, 3, 4) == [slice(3, 3)]


def test_chunks_of_a_share_cover_its_rows_and_are_no_larger_than_the_memory(four_cores, monkeypatch):
    monkeypatch.setattr(cores, "chunk_size", lambda numbers_per_row: 3)
    sizes = []
    shares = list(cores.shared_out(lambda _, chunks: chunks, 80, 1, sizes.append))
    assert [row for chunks in shares for part in chunks for row in range(part.start, part.stop)] == list(range(80))
    assert {part.stop - part.start for chunks in shares for part in chunks} == {3, 2} and set(sizes) == {3}


# --- One core


def test_thread_that_has_one_core_does_all_shares_itself_while_others_share_theirs(four_cores):
    def owners():
        return shares_of(lambda start, stop: (threading.get_ident(), start, stop), 40_000, 200)

    shared = owners()
    of_other = []
    with cores.one_core():
        alone = owners()
        other = threading.Thread(target=lambda: of_other.extend(owners()))
        other.start()
        other.join()
    assert {thread for thread, *_ in alone} == {threading.get_ident()}
    assert threading.get_ident() not in {thread for thread, *_ in [*shared, *of_other, *owners()]}
    assert other.ident not in {thread for thread, *_ in of_other}
    assert [share for _, *share in alone] == [share for _, *share in shared] and len(shared) > 1
