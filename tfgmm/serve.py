"""Scoring rows with an exported mixture: checks the folder, reads its numbers, never runs its graph."""

from __future__ import annotations

import json
import os
import pathlib
import random
import zipfile
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm import artefact, density
from tfgmm.artefact import IntegrityError
from tfgmm.components import COMPONENTS

__all__ = ["IntegrityError", "Scorer", "load_scorer"]


class Scorer:
    """A mixture read from an exported folder. Made by `load_scorer`.

    Attributes:
        card: the model card, a dict.
        column_names: names of the training columns, or None.
    """

    def __init__(self, mixture: density.MixtureDensity, card: dict[str, Any]) -> None:
        self._mixture = mixture
        self.card = card
        names = card["model"]["column_names"]
        self.column_names = tuple(names) if names else None

    def log_prob(self, x: Any) -> np.ndarray:
        """Returns the log density of each row, (N,) float32, nats; NaN for a row that is not finite.

        Args:
            x: rows, (N, D): an array, frame, path or dataset, as `GaussianMixtureModel.fit` takes.
        """
        return density.score_data(self._mixture, x, "log_prob", self.column_names)

    def responsibilities(self, x: Any) -> np.ndarray:
        """Returns the probability of each component given the row, (N, K) float32; rows sum to 1."""
        return density.score_data(self._mixture, x, "responsibilities", self.column_names)

    def assign(self, x: Any) -> np.ndarray:
        """Returns the most probable component of each row, (N,) int64; -1 for rows that are not finite."""
        return density.score_data(self._mixture, x, "assignment", self.column_names)

    def sample(self, n: int, seed: int | None = None) -> np.ndarray:
        """Returns `n` rows drawn from the mixture, (n, D) float64, data units; a new draw without `seed`."""
        seed = random.randrange(2**31) if seed is None else seed
        return density.sample_rows(self._mixture, n, tf.constant([seed, 0], tf.int64)).numpy()

    def __repr__(self) -> str:
        model = self.card["model"]
        sizes = f"num_components={model['num_components']}, num_features={model['num_features']}"
        return f"<Scorer {sizes}, covariance={model['covariance']!r}>"


def load_scorer(path: str | os.PathLike[str]) -> Scorer:
    """Returns the mixture in an exported folder, ready to score rows.

    Checksums first, then numbers only: the graph beside them is never loaded, so that a folder from elsewhere can
    hold numbers and nothing else. (Checksums show damage, not malice: they say nothing about who wrote the folder.)

    Args:
        path: a folder written by `tfgmm.export_model`.

    Raises:
        FileNotFoundError: no such folder.
        IntegrityError (a ValueError): not an export, or not as it was written; names the file.

    Example: see `tfgmm.export_model`.
    """
    folder = pathlib.Path(path)
    if not folder.is_dir():
        raise FileNotFoundError(
            f"`path` must be a folder written by tfgmm.export_model. Received: {folder}, which is not a folder. "
            "Check the path."
        )
    card = _read_card(folder)
    _check_files(folder, card)
    numbers = _read_numbers(folder, card)
    return Scorer(_mixture(folder, card["model"], numbers), card)


def _read_card(folder: pathlib.Path) -> dict[str, Any]:
    try:
        card = json.loads((folder / artefact.CARD).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise _refusal(folder, artefact.CARD, "is missing: the folder is not a complete export") from None
    except (ValueError, OSError) as error:
        raise _refusal(folder, artefact.CARD, f"cannot be read ({error})") from error
    if not isinstance(card, dict) or card.get("format") != artefact.FORMAT:
        raise _refusal(folder, artefact.CARD, f"is not a model card of format {artefact.FORMAT!r}")
    if card.get("format_version") != artefact.FORMAT_VERSION:
        written = card.get("versions", {}).get("tfgmm", "another version")
        raise _refusal(
            folder,
            artefact.CARD,
            f"has format version {card.get('format_version')!r}, written by tfgmm {written}; "
            f"this tfgmm reads version {artefact.FORMAT_VERSION}",
        )
    return _checked_fields(folder, card)


def _checked_fields(folder: pathlib.Path, card: dict[str, Any]) -> dict[str, Any]:
    """Returns the card when the fields that are used have the types they must have."""
    model = card.get("model")
    sizes = [model.get(name) for name in ("num_components", "num_features")] if isinstance(model, dict) else [None]
    names = model.get("column_names") if isinstance(model, dict) else None
    well_formed = (
        all(isinstance(size, int) and 0 < size < 2**31 for size in sizes)
        and isinstance(card.get("files"), dict)
        and model.get("covariance") in COMPONENTS
        and (names is None or (isinstance(names, list) and len(names) == sizes[1]))
    )
    if not well_formed:
        raise _refusal(folder, artefact.CARD, "lacks a field, or has one of the wrong kind")
    return card


def _check_files(folder: pathlib.Path, card: dict[str, Any]) -> None:
    found, listed = artefact.checksums(folder), card["files"]
    if artefact.PARAMETERS not in listed:
        raise _refusal(folder, artefact.CARD, f"does not list {artefact.PARAMETERS}")
    for name in sorted(set(listed) | set(found)):
        if name not in found:
            raise _refusal(folder, name, "is missing")
        if name not in listed:
            raise _refusal(folder, name, "is not listed in the card: it is not part of the export")
        if found[name] != listed[name]:
            raise _refusal(folder, name, "has changed since it was written (its size or SHA-256 differs)")


def _read_numbers(folder: pathlib.Path, card: dict[str, Any]) -> dict[str, np.ndarray]:
    num_components, num_features = card["model"]["num_components"], card["model"]["num_features"]
    per_component = COMPONENTS[card["model"]["covariance"]].parameter_shapes(num_components, num_features)
    shapes = {"centre": (num_features,), "weights": (num_components,), **per_component}
    try:
        with np.load(folder / artefact.PARAMETERS, allow_pickle=False) as file:
            if set(file.files) != set(shapes):
                raise ValueError(f"holds {sorted(file.files)} where {sorted(shapes)} are needed")
            numbers = {name: file[name] for name in shapes}
    except (ValueError, OSError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise _refusal(folder, artefact.PARAMETERS, f"cannot be read ({error})") from error
    for name, shape in shapes.items():
        if numbers[name].shape != shape or numbers[name].dtype != np.float64:
            raise _refusal(folder, artefact.PARAMETERS, f"has {name} of another shape or type than {shape} float64")
        if not np.isfinite(numbers[name]).all():
            raise _refusal(folder, artefact.PARAMETERS, f"has {name} with values that are not finite")
    return numbers


def _mixture(folder: pathlib.Path, model: dict[str, Any], numbers: dict[str, np.ndarray]) -> density.MixtureDensity:
    weights = numbers.pop("weights")
    if (weights <= 0).any() or abs(weights.sum() - 1.0) > 1e-9:
        raise _refusal(folder, artefact.PARAMETERS, "has weights that are not positive or do not sum to 1")
    if "precisions" in numbers and (numbers["precisions"] <= 0).any():
        raise _refusal(folder, artefact.PARAMETERS, "has precisions that are not positive")
    return density.MixtureDensity(model["covariance"], numbers.pop("centre"), np.log(weights), numbers)


def _refusal(folder: pathlib.Path, file: str, what: str) -> IntegrityError:
    return IntegrityError(
        f"`path` must be a complete, unchanged export. Received: {folder}, whose {file} {what}. "
        "Export the model again, or copy the folder again from where it is whole."
    )
