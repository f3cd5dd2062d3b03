"""An untrusted folder with right checksums can hold numbers and no more; mutations are refused or change nothing."""

from __future__ import annotations

import io
import os
import pathlib
import pickle
import random
import zipfile
from typing import Any

import numpy as np
import pytest
from exports import ROWS, D, K, make_sums_right, refused, write_parameters

import tfgmm

# --- Untrusted numbers, checksums right


def test_pickle_in_the_numbers_is_not_run(folder: pathlib.Path) -> None:
    trap = folder.parent / "sprung"

    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(trap),)

    for locs in (np.array([[Trap()] * D] * K, dtype=object), np.array(Trap(), dtype=object)):
        write_parameters(folder, locs=locs)
        refused(folder, "parameters.npz")
    contents = pickle.dumps(Trap())
    (folder / "parameters.npz").write_bytes(contents + bytes(600 - len(contents)))
    make_sums_right(folder)
    refused(folder, "parameters.npz")
    assert not trap.exists()
    pickle.loads(contents)
    assert trap.exists(), "the trap itself does not work: the test would see nothing"


def npy(header: str, numbers: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode() + b" " * (117 - len(header)) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + numbers


NUMBERS = np.ones((K, D)).tobytes()
HEADER = "{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}"
BOMBS = {
    "huge shape": npy(HEADER.format("<f8", False, (10**9, 10**9)), NUMBERS),
    "negative shape": npy(HEADER.format("<f8", False, (-1, D)), NUMBERS),
    "overflowing shape": npy(HEADER.format("<f8", False, (2**62, 4)), NUMBERS),
    "flat": npy(HEADER.format("<f8", False, (K * D,)), NUMBERS),
    "objects": npy(HEADER.format("|O", False, (K, D)), NUMBERS),
    "float32": npy(HEADER.format("<f4", False, (K, D)), NUMBERS[:24]),
    "big-endian": npy(HEADER.format(">f8", False, (K, D)), NUMBERS),
    "columns first": npy(HEADER.format("<f8", True, (K, D)), NUMBERS),
    "code": npy("__import__('os').mkdir('sprung')", NUMBERS),
    "deep": npy("(" * 117, NUMBERS),
    "no header": NUMBERS,
    "nothing": b"",
    "numbers cut": npy(HEADER.format("<f8", False, (K, D)), NUMBERS[:-8]),
    "numbers over": npy(HEADER.format("<f8", False, (K, D)), NUMBERS + b"12345678"),
    "version 3": npy(HEADER.format("<f8", False, (K, D)), NUMBERS, b"\x03\x00"),
}


@pytest.mark.parametrize("contents", BOMBS.values(), ids=BOMBS)
def test_array_that_declares_something_else_is_refused(folder: pathlib.Path, contents: bytes) -> None:
    def save(path: pathlib.Path, **numbers: np.ndarray) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, values in numbers.items():
                plain = io.BytesIO()
                np.save(plain, values)
                archive.writestr(f"{name}.npy", contents if name == "locs" else plain.getvalue())

    write_parameters(folder, save)
    refused(folder, "parameters.npz")


def test_the_same_way_of_writing_is_accepted_when_the_header_is_right(folder: pathlib.Path, model: Any) -> None:
    write_parameters(folder)
    np.testing.assert_array_equal(tfgmm.load_scorer(folder).log_prob(ROWS), model.log_prob(ROWS))


def test_compressed_numbers_are_refused(folder: pathlib.Path) -> None:
    # A few bytes may stand for gigabytes there.
    write_parameters(folder, np.savez_compressed)
    refused(folder, "parameters.npz")


NO_MIXTURE = {
    "NaN location": {"locs": np.full((K, D), np.nan)},
    "infinite centre": {"centre": np.array([0.0, 0.0, np.inf])},
    "location beyond float32": {"locs": np.full((K, D), 1e300)},
    "NaN precision": {"precisions": np.full((K, D), np.nan)},
    "negative precision": {"precisions": np.array([[1.0] * D, [1.0, 1.0, -1.0]])},
    "zero precision": {"precisions": np.zeros((K, D))},
    "weights over 1": {"weights": np.array([0.6, 0.5])},
    "weights below 1": {"weights": np.array([0.4, 0.5])},
    "negative weight": {"weights": np.array([-0.5, 1.5])},
    "zero weight": {"weights": np.array([0.0, 1.0])},
    "NaN weight": {"weights": np.array([np.nan, 1.0])},
    "float32": {"locs": np.zeros((K, D), np.float32)},
    "integers": {"locs": np.zeros((K, D), np.int64)},
    "complex": {"locs": np.zeros((K, D), np.complex128)},
    "text": {"locs": np.full((K, D), "a")},
    "another shape": {"locs": np.zeros((D, K))},
    "a scalar": {"locs": np.zeros(())},
    "an array missing": {"locs": None},
    "an array too many": {"scales": np.zeros((K, D))},
}


@pytest.mark.parametrize("changes", NO_MIXTURE.values(), ids=NO_MIXTURE)
def test_numbers_that_are_no_mixture_are_refused(folder: pathlib.Path, changes: dict[str, Any]) -> None:
    write_parameters(folder, **changes)
    refused(folder, "parameters.npz")


@pytest.mark.usefixtures("no_graph")
def test_matrices_that_are_no_scales_are_refused(tmp_path: pathlib.Path) -> None:
    model = tfgmm.GaussianMixtureModel(K, D, "full", seed=0)
    folder = tfgmm.export_model(model, tmp_path / "mixture")
    whole = model.plug_in().components["whiteners"]
    faults = {"NaN": (0, 0, np.nan), "infinite": (2, 1, np.inf), "triangular": (0, 1, 0.5), "positive": (2, 2, -1.0)}
    for word, (row, column, value) in faults.items():
        whiteners = np.array(whole)
        whiteners[1, row, column] = value
        write_parameters(folder, whiteners=whiteners)
        assert word in refused(folder, "parameters.npz")
    write_parameters(folder, whiteners=whole)
    tfgmm.load_scorer(folder)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_array_that_is_there_twice_is_refused(folder: pathlib.Path) -> None:
    with zipfile.ZipFile(folder / "parameters.npz", "a") as archive:
        archive.writestr("locs.npy", archive.read("locs.npy"))
    make_sums_right(folder)
    refused(folder, "parameters.npz")


# --- Fuzz


def mutated(contents: bytes, chance: random.Random) -> bytes:
    kind, at = chance.randrange(5), chance.randrange(len(contents))
    if kind == 0:
        return contents[:at]
    if kind == 1:
        return contents[:at] + contents[at + chance.randrange(1, 40) :]
    if kind == 2:
        return contents[:at] + chance.randbytes(chance.randrange(1, 9)) + contents[at:]
    changed = bytearray(contents)
    for _ in range(chance.randrange(1, 6)):
        place = chance.randrange(len(changed))
        changed[place] = chance.choice((changed[place] ^ 1 << chance.randrange(8), 0, 255, chance.randrange(256)))
    return bytes(changed)


@pytest.mark.parametrize(
    ("name", "sums"),
    [
        ("model_card.json", "sums as they were"),
        ("parameters.npz", "sums as they were"),
        ("parameters.npz", "sums made right"),
    ],
)
def test_mutations_are_refused_or_change_nothing(folder: pathlib.Path, model: Any, name: str, sums: str) -> None:
    chance = random.Random(f"{name} {sums}")
    card, whole = (folder / "model_card.json").read_bytes(), (folder / name).read_bytes()
    expected, loaded = model.log_prob(ROWS), 0
    for _ in range(150):
        (folder / "model_card.json").write_bytes(card)
        (folder / name).write_bytes(mutated(whole, chance))
        if sums == "sums made right":
            make_sums_right(folder)
        try:
            found = tfgmm.load_scorer(folder)
        except tfgmm.IntegrityError as error:
            assert str(error).startswith("`path` must be") and str(error).isprintable()
            continue
        loaded += 1
        if sums == "sums made right":  # other numbers are a mixture too, unless they are none
            assert np.isfinite(found.sample(3, seed=0)).all()
        else:
            np.testing.assert_array_equal(found.log_prob(ROWS), expected)
    assert loaded < 120
