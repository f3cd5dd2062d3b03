"""Models to export, and what the tests of exported folders do with them."""

from __future__ import annotations

import hashlib
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import pytest

import tfgmm
from tfgmm.data.summary import DataSummary

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
PACKAGE_ROOT = pathlib.Path(tfgmm.__file__).parents[1]


def model_of(seed: int) -> tfgmm.GaussianMixtureModel:
    model = tfgmm.GaussianMixtureModel(K, D, seed=seed)
    model.adapt_to(DataSummary(20, D, tuple(ROWS.mean(axis=0)), tuple(ROWS.std(axis=0)), NAMES))
    return model


def leave_out_graph(patch: pytest.MonkeyPatch) -> None:
    """Exports get a file in place of the SavedModel, which takes the third of a second: for tests of the rest."""
    patch.setattr("tfgmm.export.served.save", lambda module, folder: (folder / "saved_model.pb").write_text("a graph"))


class Exported(NamedTuple):
    model: tfgmm.GaussianMixtureModel
    folder: pathlib.Path


def fitted(rows: Any, epochs: int = 5) -> tfgmm.GaussianMixtureModel:
    model = tfgmm.GaussianMixtureModel(K, D, seed=0)
    model.compile(keras.optimizers.Adam(0.05))
    model.fit(rows, epochs=epochs, verbose=0)
    return model


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def is_one_of(folder: pathlib.Path, models: list[Any]) -> bool:
    found = tfgmm.load_scorer(folder).log_prob(ROWS)
    return any(np.array_equal(found, model.log_prob(ROWS)) for model in models)


def card_of(folder: pathlib.Path) -> dict[str, Any]:
    return json.loads((folder / "model_card.json").read_text(encoding="utf-8"))


def write_card(folder: pathlib.Path, card: Any) -> None:
    (folder / "model_card.json").write_text(json.dumps(card), encoding="utf-8")


def make_sums_right(folder: pathlib.Path) -> None:
    """Puts the size and SHA-256 of every file into the card, as anybody can who changes a folder."""
    card = card_of(folder)
    for name in card["files"]:
        contents = (folder / name).read_bytes()
        card["files"][name] = {"bytes": len(contents), "sha256": hashlib.sha256(contents).hexdigest()}
    write_card(folder, card)


def write_parameters(folder: pathlib.Path, save: Callable[..., None] = np.savez, **changes: Any) -> None:
    """Replaces arrays of parameters.npz (None removes one) and makes the checksums right."""
    with np.load(folder / "parameters.npz", allow_pickle=False) as file:
        numbers = {name: file[name] for name in file.files if name not in changes} | changes
    kept = {name: value for name, value in numbers.items() if value is not None}
    save(folder / "parameters.npz", **kept)
    make_sums_right(folder)


def refused(folder: pathlib.Path, name: str, kind: type[Exception] = tfgmm.IntegrityError) -> str:
    """Returns the message with which the folder was refused, once it is known to say what, received and fix."""
    with pytest.raises(kind) as caught:
        tfgmm.load_scorer(folder)
    message = str(caught.value)
    assert message.startswith("`path` must be ") and f"Received: {folder}" in message
    assert name in message and message.rpartition(". ")[2].split()[0] in ("Export", "Check", "Install")
    assert message.isprintable()
    return message
