"""load_scorer reads whole exports and refuses everything else by name; a strange folder can hold numbers, no more."""

from __future__ import annotations

import hashlib
import io
import json
import os
import pathlib
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import tfgmm
from tfgmm import serve
from tfgmm.summary import DataSummary

K, D = 2, 3
NAMES = ("width", "height", "depth")
ROWS = np.random.default_rng(5).normal(size=(20, D))
FRAME = pd.DataFrame(ROWS, columns=list(NAMES))
FILES = (
    "fingerprint.pb",
    "model_card.json",
    "parameters.npz",
    "saved_model.pb",
    "variables/variables.data-00000-of-00001",
    "variables/variables.index",
)


@pytest.fixture(scope="module")
def model() -> tfgmm.GaussianMixtureModel:
    model = tfgmm.GaussianMixtureModel(K, D, seed=0)
    model.adapt_to(DataSummary(20, D, tuple(ROWS.mean(axis=0)), tuple(ROWS.std(axis=0)), NAMES))
    return model


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, model: Any) -> pathlib.Path:
    return tfgmm.export_model(model, tmp_path_factory.mktemp("whole") / "mixture")


@pytest.fixture
def folder(tmp_path: pathlib.Path, whole: pathlib.Path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(whole, tmp_path / "mixture"))


@pytest.fixture(scope="module")
def scorer(whole: pathlib.Path) -> serve.Scorer:
    return tfgmm.load_scorer(whole)


def refused(folder: pathlib.Path, name: str, kind: type[Exception] = tfgmm.IntegrityError) -> str:
    """Returns the message with which the folder was refused, once it is known to say what, received and fix."""
    with pytest.raises(kind) as caught:
        tfgmm.load_scorer(folder)
    message = str(caught.value)
    assert message.startswith("`path` must be ") and f"Received: {folder}" in message
    assert name in message and message.rpartition(". ")[2].split()[0] in ("Export", "Check", "Install")
    assert message.isprintable()
    return message


def card_of(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "model_card.json").read_text(encoding="utf-8"))


def write_card(folder: pathlib.Path, card: Any) -> None:
    (folder / "model_card.json").write_text(json.dumps(card), encoding="utf-8")


def make_sums_right(folder: pathlib.Path) -> None:
    """Returns nothing; does what a stranger can: puts the size and SHA-256 of every file into the card."""
    card = card_of(folder)
    for name in card["files"]:
        contents = (folder / name).read_bytes()
        card["files"][name] = {"bytes": len(contents), "sha256": hashlib.sha256(contents).hexdigest()}
    write_card(folder, card)


def write_parameters(folder: pathlib.Path, save: Callable[..., None] = np.savez, **changes: Any) -> None:
    """Returns nothing; replaces arrays of parameters.npz (None takes one away) and makes the checksums right."""
    with np.load(folder / "parameters.npz", allow_pickle=False) as file:
        numbers = {name: file[name] for name in file.files if name not in changes} | changes
    kept = {name: value for name, value in numbers.items() if value is not None}
    save(folder / "parameters.npz", **kept)
    make_sums_right(folder)


# --- Scoring


def test_scorer_gives_the_numbers_of_the_model(scorer: serve.Scorer, model: Any) -> None:
    np.testing.assert_array_equal(scorer.log_prob(ROWS), model.log_prob(ROWS))
    np.testing.assert_array_equal(scorer.responsibilities(ROWS), model.responsibilities(ROWS))
    np.testing.assert_array_equal(scorer.assign(ROWS), model.assign(ROWS))
    np.testing.assert_array_equal(scorer.sample(5, seed=3), model.sample(5, seed=3))
    assert scorer.column_names == NAMES
    assert repr(scorer) == "<Scorer num_components=2, num_features=3, covariance='diag'>"


@pytest.mark.parametrize("kind", ["list", "float32", "Fortran order", "frame", "reordered frame", "csv", "parquet"])
def test_rows_of_every_kind_give_the_same_numbers(
    scorer: serve.Scorer, model: Any, tmp_path: pathlib.Path, kind: str
) -> None:
    reordered = FRAME[["depth", "width", "height"]]
    reordered.to_csv(tmp_path / "rows.csv", index=False)
    reordered.to_parquet(tmp_path / "rows.parquet")
    rows = {
        "list": ROWS.tolist(),
        "float32": ROWS.astype(np.float32),
        "Fortran order": np.asfortranarray(ROWS),
        "frame": FRAME,
        "reordered frame": reordered,
        "csv": tmp_path / "rows.csv",
        "parquet": str(tmp_path / "rows.parquet"),
    }[kind]
    np.testing.assert_allclose(scorer.log_prob(rows), model.log_prob(ROWS), rtol=1e-6)
    np.testing.assert_array_equal(scorer.assign(rows), model.assign(ROWS))


def test_dataset_is_scored_batch_by_batch(scorer: serve.Scorer, model: Any) -> None:
    dataset = tf.data.Dataset.from_tensor_slices(ROWS).batch(6)
    np.testing.assert_allclose(scorer.log_prob(dataset), model.log_prob(ROWS), rtol=1e-6)
    np.testing.assert_allclose(scorer.responsibilities(dataset), model.responsibilities(ROWS), rtol=1e-5)


def test_no_rows_give_no_numbers(scorer: serve.Scorer) -> None:
    none = np.zeros((0, D))
    assert scorer.log_prob(none).shape == scorer.assign(none).shape == (0,)
    assert scorer.responsibilities(none).shape == (0, K)


def test_dataset_without_batches_gives_no_numbers(scorer: serve.Scorer) -> None:
    none = tf.data.Dataset.from_tensor_slices(np.zeros((0, D))).batch(4)
    assert scorer.log_prob(none).shape == scorer.assign(none).shape == (0,)
    assert scorer.responsibilities(none).shape == (0, K)


def test_row_that_is_not_finite_is_marked_and_its_neighbours_are_not(scorer: serve.Scorer) -> None:
    rows = ROWS[:3].copy()
    rows[1, 1] = np.nan
    assert np.isnan(scorer.log_prob(rows)).tolist() == [False, True, False]
    assert scorer.assign(rows)[1] == -1
    np.testing.assert_array_equal(scorer.log_prob(rows)[[0, 2]], scorer.log_prob(ROWS[[0, 2]]))


@pytest.mark.parametrize(
    ("rows", "kind"),
    [
        (FRAME.rename(columns={"depth": "length"}), ValueError),
        (FRAME[["width", "height"]], ValueError),
        (FRAME.assign(depth="deep"), TypeError),
        (ROWS[:, :2], ValueError),
        (ROWS[0], ValueError),
        (None, TypeError),
    ],
    ids=["renamed", "missing", "text", "narrow", "one row", "none"],
)
def test_rows_that_do_not_fit_are_refused(scorer: serve.Scorer, rows: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"(?s)`x` must .*Received"):
        scorer.log_prob(rows)


@pytest.mark.parametrize(("n", "seed"), [(-1, 0), (2.5, 0), ("3", 0), (True, 0), (2**40, 0), (1, -1), (1, 0.5)])
def test_sample_refuses_what_is_no_number_of_rows_or_no_seed(scorer: serve.Scorer, n: Any, seed: Any) -> None:
    with pytest.raises(ValueError, match=r"`(n|seed)` must be a whole number .* Received: .* Choose"):
        scorer.sample(n, seed=seed)


def test_sample_is_new_without_a_seed_and_the_same_with_one(scorer: serve.Scorer) -> None:
    assert not np.array_equal(scorer.sample(4), scorer.sample(4))
    np.testing.assert_array_equal(scorer.sample(4, seed=1), scorer.sample(4, seed=1))
    assert not np.array_equal(scorer.sample(4, seed=1), scorer.sample(4, seed=2))
    assert scorer.sample(0, seed=1).shape == (0, D)


# --- Not an export


def test_missing_folder_and_file_are_refused(tmp_path: pathlib.Path) -> None:
    (tmp_path / "file").write_text("")
    refused(tmp_path / "nowhere", "not there", FileNotFoundError)
    refused(tmp_path / "file", "not a folder", NotADirectoryError)


def test_empty_folder_is_refused(tmp_path: pathlib.Path) -> None:
    assert "is missing" in refused(tmp_path, "model_card.json")


CARDS = {
    "nothing": b"",
    "half": b'{"format": "tfgmm.mixture", "format_ver',
    "not JSON": b"PK\x03\x04",
    "not UTF-8": b'{"format": "\xff"}',
    "a list": b"[1, 2]",
    "deep": b"[" * 200_000,
    "a long number": b"[" + b"9" * 10_000 + b"]",
    "another format": b'{"format": "keras", "format_version": 1}',
    "no fields": b'{"format": "tfgmm.mixture", "format_version": 1}',
    "control characters": b'{"format": "tfgmm.mixture", "format_version": 9, "versions": {"tfgmm": "\\u001b[2J"}}',
}


@pytest.mark.parametrize("contents", CARDS.values(), ids=CARDS)
def test_card_that_is_none_is_refused(folder: pathlib.Path, contents: bytes) -> None:
    (folder / "model_card.json").write_bytes(contents)
    refused(folder, "model_card.json")


def test_card_beyond_all_reason_is_refused_unread(folder: pathlib.Path) -> None:
    with open(folder / "model_card.json", "r+b") as card:
        card.truncate(2**40)  # a sparse file: no bytes on the disk
    assert "larger" in refused(folder, "model_card.json")


@pytest.mark.parametrize("version", [2, 10**6])
def test_newer_format_names_the_version_that_is_needed(folder: pathlib.Path, version: int) -> None:
    card = card_of(folder) | {"format_version": version}
    write_card(folder, card | {"versions": {"tfgmm": "7.8.9"}})
    assert message_has(refused(folder, "model_card.json"), "tfgmm 7.8.9", f"version {version}", "Install tfgmm 7.8.9")
    write_card(folder, card | {"versions": "none"})
    assert "Install a newer tfgmm" in refused(folder, "model_card.json")


def message_has(message: str, *parts: str) -> bool:
    return all(part in message for part in parts)


@pytest.mark.parametrize(
    ("place", "values"),
    [
        ("format_version", (None, "1", 1.0, True, 0, -1, [])),
        ("model", (None, [], "diag", {})),
        ("parameters", (None, [], {}, {"locs": {"shape": [K, D], "dtype": "float64"}})),
        ("training", (None, [])),
        ("priors", (None, 3)),
        ("versions", (None, "0.1.0")),
        ("model.num_components", (None, 0, -1, 2.0, True, "2", 10**20, 3, [2])),
        ("model.num_features", (None, 0, 1.5, 2**31, D + 1)),
        ("model.covariance", (None, "round", 3, [], {})),
        ("model.column_names", ("abc", [], ["a", "b"], [1, 2, 3], ["a", "a", "b"], {}, 3)),
        ("files.parameters%npz", (None, "x", [], {}, {"bytes": 1}, {"sha256": "0" * 64, "bytes": "many"})),
        (
            "parameters.locs",
            (None, {"shape": [K, D], "dtype": "object"}, {"shape": [10**9, 10**9], "dtype": "float64"}),
        ),
    ],
)
def test_card_with_a_field_of_the_wrong_kind_is_refused(
    folder: pathlib.Path, place: str, values: tuple[Any, ...]
) -> None:
    whole = (folder / "model_card.json").read_text(encoding="utf-8")
    *path, last = (part.replace("%", ".") for part in place.split("."))
    for value in values:
        card = json.loads(whole)
        holder = card
        for part in path:
            holder = holder[part]
        holder[last] = value
        write_card(folder, card)
        refused(folder, "parameters.npz" if place.startswith("files") else "model_card.json")
        del holder[last]
        write_card(folder, card)
        if place != "model.column_names":  # names may be none
            refused(folder, "")


@pytest.mark.parametrize("files", [None, [], "all", 3])
def test_card_with_a_list_of_files_of_the_wrong_kind_is_refused(folder: pathlib.Path, files: Any) -> None:
    write_card(folder, card_of(folder) | {"files": files})
    assert "'files'" in refused(folder, "model_card.json")
    write_card(folder, card_of(folder) | {"files": {}})
    assert "not listed" in refused(folder, "fingerprint.pb")


@pytest.mark.parametrize("size", [10**5, 2**31 - 1])
def test_sizes_beyond_the_file_are_refused_before_anything_is_read(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    card = card_of(folder)
    card["model"] |= {"num_components": size, "num_features": size, "column_names": None}
    shapes = {"centre": [size], "weights": [size], "locs": [size, size], "precisions": [size, size]}
    card["parameters"] = {name: {"shape": shape, "dtype": "float64"} for name, shape in shapes.items()}
    write_card(folder, card)
    monkeypatch.setattr(serve, "_numbers", None)
    assert "bytes where the card's sizes need" in refused(folder, "parameters.npz")


# --- Damage


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused_by_name(folder: pathlib.Path, name: str) -> None:
    file, moments = folder / name, random.Random(name)
    whole = file.read_bytes()
    # In the card, one bit of a checksum: elsewhere there it may change a date, which no checksum covers.
    first = whole.index(b'"sha256": "') + 11 if name == "model_card.json" else 0
    end = first + 64 if name == "model_card.json" else len(whole)
    for _ in range(12):
        changed = bytearray(whole)
        changed[moments.randrange(first, end)] ^= 1 << moments.randrange(7)
        file.write_bytes(changed)
        refused(folder, "" if name == "model_card.json" else name)


@pytest.mark.parametrize("name", FILES)
def test_cut_and_deleted_files_are_refused_by_name(folder: pathlib.Path, name: str) -> None:
    file = folder / name
    whole = file.read_bytes()
    lengths = {0, 1, len(whole) // 4, len(whole) // 2, len(whole) * 3 // 4, len(whole) - 2}
    for length in sorted(lengths):
        file.write_bytes(whole[:length])
        refused(folder, name)
    file.unlink()
    assert "is missing" in refused(folder, name)
    file.write_bytes(whole)
    tfgmm.load_scorer(folder)


def test_longer_file_is_refused(folder: pathlib.Path) -> None:
    with open(folder / "saved_model.pb", "ab") as file:
        file.write(b"\0")
    refused(folder, "saved_model.pb")


@pytest.mark.parametrize("name", ["extra.txt", ".hidden", "variables/extra", "assets/program", "deep/er/file"])
def test_extra_file_is_refused_by_name(folder: pathlib.Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("")
    assert "not listed" in refused(folder, name)


@pytest.mark.parametrize("name", [*FILES, "variables", "assets"])
def test_symbolic_link_is_refused_by_name(folder: pathlib.Path, name: str) -> None:
    moved = folder.parent / "moved"
    os.rename(folder / name, moved)
    (folder / name).symlink_to(moved)
    refused(folder, name)


def test_extra_links_are_refused_by_name_and_not_followed(folder: pathlib.Path) -> None:
    (folder / "assets" / "up").symlink_to("..")
    assert "symbolic link" in refused(folder, "assets/up")


def test_pipe_is_refused_and_not_waited_for(folder: pathlib.Path) -> None:
    (folder / "saved_model.pb").unlink()
    os.mkfifo(folder / "saved_model.pb")
    assert "not a regular file" in refused(folder, "saved_model.pb")


def test_card_that_is_a_pipe_is_refused_and_not_waited_for(folder: pathlib.Path) -> None:
    (folder / "model_card.json").unlink()
    os.mkfifo(folder / "model_card.json")
    refused(folder, "model_card.json")


def test_file_that_is_a_folder_is_refused(folder: pathlib.Path) -> None:
    for name in ("model_card.json", "parameters.npz"):
        (folder / name).unlink()
        (folder / name).mkdir()
        refused(folder, "model_card.json")
        (folder / name).rmdir()


def test_folder_may_be_reached_through_a_link(folder: pathlib.Path) -> None:
    latest = folder.with_name("latest")
    latest.symlink_to(folder)
    np.testing.assert_array_equal(tfgmm.load_scorer(latest).log_prob(ROWS), tfgmm.load_scorer(folder).log_prob(ROWS))


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "variables/../../outside", "..", ".", "", "a//b", "a\\b", "model_card.json"]
)
def test_name_that_leads_elsewhere_is_refused_before_anything_is_read(
    folder: pathlib.Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (folder.parent / "outside").write_text("")
    card = card_of(folder)
    card["files"][name] = {"bytes": 0, "sha256": hashlib.sha256(b"").hexdigest()}
    write_card(folder, card)
    monkeypatch.setattr(serve.artefact, "sha256", None)
    assert "not the name of a file" in refused(folder, "model_card.json")


# --- Numbers from a stranger, checksums right


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
