"""Results that are remembered: the last ones, the same for every thread, and safe from whoever gets them."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

from tfgmm.common.remembered import Remembered

ARRAYS = [np.array([float(number)]) for number in range(3)]


def test_the_last_arrays_are_remembered_and_the_oldest_forgotten() -> None:
    asked = []
    doubled = Remembered(lambda array: asked.append(float(array[0])) or 2.0 * array, most=2)
    for place in (0, 1, 1, 0, 2, 1, 0):
        assert doubled(ARRAYS[place])[0] == 2.0 * place
    assert asked == [0.0, 1.0, 2.0, 0.0]  # with all forgotten at the third, the second would be asked for again


def test_an_array_that_is_remembered_cannot_be_written_to() -> None:
    doubled = Remembered(lambda array: 2.0 * array, most=2)
    with pytest.raises(ValueError, match="read-only"):
        doubled(ARRAYS[1])[:] = 0.0
    assert doubled(ARRAYS[1])[0] == 2.0


def test_several_arrays_are_one_key() -> None:
    asked = []

    def summed(*arrays: np.ndarray | None) -> float:
        asked.append(arrays)
        return float(sum(place * array.sum() for place, array in enumerate(arrays, 1) if array is not None))

    remembered, (_, one, two) = Remembered(summed, most=9), ARRAYS
    for _ in range(2):
        assert [remembered(one, two), remembered(two, one), remembered(one, None), remembered(one)] == [5, 4, 1, 1]
    assert len(asked) == 4


class EmptiedAtOnce(dict):
    """A memory out of which another thread pushes whatever is put in."""

    def __setitem__(self, key: object, value: object) -> None:
        super().__setitem__(key, value)
        self.clear()


def test_what_another_thread_pushes_out_is_given_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    total = Remembered(lambda array: float(array.sum()), most=1)
    monkeypatch.setattr(total, "_results", EmptiedAtOnce())
    assert [total(array) for array in ARRAYS] == [0.0, 1.0, 2.0]


def test_many_threads_share_one_memory() -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that threads take turns in the middle of a call
    remembered, wrong = Remembered(lambda array: float(array[0]), most=1), []

    def ask(number: int) -> None:
        try:
            for turn in range(300):
                place = (number + turn) % 3
                if remembered(ARRAYS[place]) != place:
                    wrong.append(place)
        except KeyError as error:
            wrong.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert wrong == []
