"""The arrays of parameters.npz: read only as they must be, and useless ones named."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from tfgmm.export import parameters

GOOD = {"centre": np.zeros(2), "weights": np.array([0.25, 0.75]), "locs": np.zeros((2, 2))}
DIAGONAL = GOOD | {"precisions": np.ones((2, 2))}
FULL = GOOD | {"whiteners": np.stack([np.eye(2)] * 2)}


def file_of(arrays: dict[str, Any], save: Any = np.savez) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def shapes_of(arrays: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    return {name: values.shape for name, values in arrays.items()}


def test_arrays_come_back_as_they_were_written() -> None:
    arrays = FULL | {"drawn_locs": np.ones((3, 2, 2), np.float32)}
    read = parameters.read_arrays(file_of(arrays), shapes_of(arrays))
    assert read.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_array_equal(read[name], values)
        assert read[name].dtype == values.dtype and read[name].flags.writeable
    assert parameters.num_bytes(shapes_of(arrays)) == sum(values.nbytes for values in arrays.values())


@pytest.mark.parametrize(
    ("arrays", "save", "words"),
    [
        (GOOD | {"more": np.zeros(1)}, np.savez, "'more.npy'"),
        ({name: GOOD[name] for name in ("centre", "weights")}, np.savez, "are needed"),
        (GOOD, np.savez_compressed, "compressed"),
        (GOOD | {"centre": np.zeros(3)}, np.savez, "centre is not an array of shape"),
        (GOOD | {"centre": np.zeros(2, np.float32)}, np.savez, "type float64"),
        (GOOD | {"centre": np.array([None, 0])}, np.savez, "centre is not an array of shape"),
        (GOOD | {"locs": np.zeros((2, 2), order="F")}, np.savez, "locs is not an array of shape"),
    ],
)
def test_other_arrays_are_refused(arrays: dict[str, Any], save: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parameters.read_arrays(file_of(arrays, save), shapes_of(GOOD))


@pytest.mark.parametrize(
    ("arrays", "fault"),
    [
        (DIAGONAL, None),
        (FULL, None),
        (DIAGONAL | {"locs": np.full((2, 2), np.nan)}, "locs with NaN or infinite values"),
        (DIAGONAL | {"weights": np.array([0.0, 1.0])}, "weights that are not positive"),
        (DIAGONAL | {"weights": np.array([0.5, 0.6])}, "weights that do not sum to 1"),
        (DIAGONAL | {"precisions": np.zeros((2, 2))}, "precisions that are not positive"),
        (FULL | {"whiteners": -FULL["whiteners"]}, "whiteners with a diagonal that is not positive"),
        (FULL | {"whiteners": np.ones((2, 2, 2))}, "whiteners that are not lower triangular"),
        (FULL | {"locs": np.full((2, 2), 1e39)}, "locs farther than 3.4e+38 from the centre"),
        (FULL | {"outlier_table": np.array([[0.0, np.inf], [0.0, 1.0]])}, "outlier_table with NaN or infinite values"),
        (FULL | {"outlier_table": np.array([[0.0, 1.0], [1.0, 0.0]])}, "outlier_table"),
        (FULL | {"drawn_log_weights": np.zeros((3, 2), np.float32)}, "drawn_log_weights"),
    ],
)
def test_what_makes_arrays_useless_is_said(arrays: dict[str, np.ndarray], fault: str | None) -> None:
    found = parameters.fault_in(arrays)
    assert found is None if fault is None else found is not None and found.startswith(fault)
