"""What an exported folder holds, once it is known to be whole: checksums first, then numbers. Free of TensorFlow."""

from __future__ import annotations

import hashlib
import os
import pathlib
import zipfile
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.atomic_folder import path_of
from tfgmm.common.words import shown
from tfgmm.export import parameters
from tfgmm.export.folder import (
    CARD,
    FORMAT_VERSION,
    PARAMETERS,
    IntegrityError,
    file_sizes,
    read_bytes,
    read_card,
    refusal,
    sha256,
)
from tfgmm.mixture import outliers, stored_draws
from tfgmm.mixture.parameters import MixtureDensity, parameter_shapes
from tfgmm.mixture.registry import COVARIANCES

_ATTEMPTS = 100  # while the folder is exchanged for another, again and again
_MOST_LEVELS = 4096  # of a table of outlier scores; ours have 109
_MOST_DRAWS = 4096  # from the posterior; ours are 64
_HEADER_ROOM = 4096  # bytes that an archive may need per array besides its numbers; NumPy needs about 300


class ExportedMixture(NamedTuple):
    """The numbers of an exported folder.

    Args:
        covariance: name of the component shape.
        centre: (D,) float64, data units; what component locations are measured from.
        log_weights: (K,) float64.
        components: `locs` (K, D) and `precisions` (K, D) or `whiteners` (K or 1, D, D), float64.
        outlier_table: (2, Q) float64, see `outliers`; None in an export of an earlier version.
        drawn: draws from the posterior, see `stored_draws.stored`; None in an export of an earlier version.
        card: the model card.
    """

    covariance: str
    centre: np.ndarray
    log_weights: np.ndarray
    components: dict[str, np.ndarray]
    outlier_table: np.ndarray | None
    drawn: dict[str, np.ndarray] | None
    card: dict[str, Any]

    @property
    def density(self) -> MixtureDensity:
        """The mixture at the posterior means."""
        return MixtureDensity(self.covariance, self.centre, self.log_weights, self.components)

    @property
    def column_names(self) -> tuple[str, ...] | None:
        """Names of the training columns, or None."""
        names = self.card["model"]["column_names"]
        return tuple(names) if names else None


def read_export(path: str | os.PathLike[str]) -> ExportedMixture:
    """Returns the mixture in an exported folder once every file is known to be the one that was written.

    A folder that is exchanged for a newer export meanwhile is read again from the start.

    Args:
        path: a folder written by `tfgmm.export_model`.

    Raises:
        FileNotFoundError: no such folder. NotADirectoryError: not a folder.
        IntegrityError (a ValueError): not an export, or not as it was written; names the file.
    """
    folder = path_of(path)
    for _ in range(_ATTEMPTS):
        before = _identity(folder)
        try:
            return _load(folder)
        except (IntegrityError, OSError):
            if _identity(folder) == before:
                raise
    return _load(folder)


def _identity(folder: pathlib.Path) -> tuple[int, ...] | None:
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _load(folder: pathlib.Path) -> ExportedMixture:
    if not folder.is_dir():
        kind, what = (NotADirectoryError, "a folder") if folder.exists() else (FileNotFoundError, "there")
        wanted = "`path` must be a folder written by tfgmm.export_model"
        raise kind(f"{wanted}. Received: {folder}, which is not {what}. Check the path.")
    card = read_card(folder)
    _check_version(folder, card)
    _check_fields(folder, card)
    shapes = _shapes(folder, card)
    _check_files(folder, card["files"], shapes)
    return _mixture(folder, card, shapes)


def _check_version(folder: pathlib.Path, card: dict[str, Any]) -> None:
    version: Any = card.get("format_version")
    versions = card.get("versions")
    if not _is_count(version):
        raise refusal(folder, CARD, "has no format version")
    if version > FORMAT_VERSION:
        written = versions.get("tfgmm") if isinstance(versions, dict) else None
        name = f"tfgmm {shown(written)}" if isinstance(written, str) else "a newer tfgmm"
        what = f"has format version {version}, written by {name}; this tfgmm reads version {FORMAT_VERSION}"
        raise refusal(folder, CARD, what, f"Install {name}, or export the model again with this one.")


def _check_fields(folder: pathlib.Path, card: dict[str, Any]) -> None:
    """Checks that the fields of the card that are used have the types they must have."""
    for field in ("model", "files", "parameters", "training", "priors", "versions"):
        if not isinstance(card.get(field), dict):
            raise refusal(folder, CARD, f"must have an object in its field {field!r}")
    model = card["model"]
    for field in ("num_components", "num_features"):
        if not _is_count(model.get(field)):
            raise refusal(folder, CARD, f"must have a positive whole number in its field {field!r}")
    if not isinstance(model.get("covariance"), str) or model["covariance"] not in COVARIANCES:
        raise refusal(folder, CARD, f"must have one of {', '.join(COVARIANCES)} in its field 'covariance'")
    for field, what in (("column_names", "name"), ("column_units", "unit")):
        words = model.get(field)
        is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
        if words is not None and not (is_list and len(words) == model["num_features"]):
            raise refusal(folder, CARD, f"must have one {what} per column, or none, in its field {field!r}")
    if model.get("column_names") and len(set(model["column_names"])) < model["num_features"]:
        raise refusal(folder, CARD, "must have different names in its field 'column_names'")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def _shapes(folder: pathlib.Path, card: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every array in parameters.npz, from the sizes; the card must declare the same."""
    model = card["model"]
    num_components, num_features = model["num_components"], model["num_features"]
    per_component = parameter_shapes(model["covariance"], num_components, num_features)
    shapes = {"centre": (num_features,), "weights": (num_components,), **per_component}
    shapes |= _table_shape(folder, card) | _drawn_shapes(folder, card)
    declared = {name: {"shape": list(shape), "dtype": parameters.dtype_of(name)} for name, shape in shapes.items()}
    if card["parameters"] != declared:
        raise refusal(folder, CARD, f"must declare the parameters {declared}")
    return shapes


def _table_shape(folder: pathlib.Path, card: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns the shape of the table of outlier scores by its name; nothing for an export that has none."""
    if outliers.TABLE not in card["parameters"]:
        return {}  # written by an earlier version
    num_levels = _declared_count(folder, card, outliers.TABLE, 1, _MOST_LEVELS)
    return {outliers.TABLE: (2, num_levels)}


def _drawn_shapes(folder: pathlib.Path, card: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the draws from the posterior by name; nothing for an export that has none."""
    if stored_draws.LOG_WEIGHTS not in card["parameters"]:
        return {}  # written by an earlier version
    model, num_draws = card["model"], _declared_count(folder, card, stored_draws.LOG_WEIGHTS, 0, _MOST_DRAWS)
    return stored_draws.stored_shapes(model["covariance"], model["num_components"], model["num_features"], num_draws)


def _declared_count(folder: pathlib.Path, card: dict[str, Any], name: str, axis: int, most: int) -> int:
    """Returns how long an axis of a matrix is by the card, between 2 and `most`."""
    declared = card["parameters"][name]
    shape = declared.get("shape") if isinstance(declared, dict) else None
    if not (isinstance(shape, list) and len(shape) == 2 and _is_count(shape[axis]) and 1 < shape[axis] <= most):
        raise refusal(folder, CARD, f"must declare 2 to {most} {('rows', 'columns')[axis]} of {name}")
    return int(shape[axis])


def _check_files(folder: pathlib.Path, listed: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> None:
    """Checks that the files are the listed ones, the sizes first, for which nothing is read."""
    for name in sorted(listed):
        if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or name == CARD:
            raise refusal(folder, CARD, f"lists {shown(name)!r}: not the name of a file of an export")
    sizes = file_sizes(folder)
    for name in sorted({PARAMETERS, *listed, *sizes}):
        if name not in sizes:
            raise refusal(folder, name, "is missing")
        if name not in listed:
            raise refusal(folder, name, "is not listed in the card: it is not part of the export")
        if not isinstance(listed[name], dict) or listed[name].get("bytes") != sizes[name]:
            raise refusal(folder, name, "has changed since it was written (its size differs from the card's)")
    needed = parameters.num_bytes(shapes)
    if not needed < sizes[PARAMETERS] < needed + _HEADER_ROOM * (len(shapes) + 1):
        what = f"has {sizes[PARAMETERS]} bytes where the card's sizes need {needed} and a little more"
        raise refusal(folder, PARAMETERS, what)
    for name in sorted(sizes.keys() - {PARAMETERS}):
        _check_sum(folder, name, listed, sha256(folder / name))


def _check_sum(folder: pathlib.Path, name: str, listed: dict[str, Any], checksum: str) -> None:
    if listed[name].get("sha256") != checksum:
        raise refusal(folder, name, "has changed since it was written (its SHA-256 differs from the card's)")


def _mixture(folder: pathlib.Path, card: dict[str, Any], shapes: dict[str, tuple[int, ...]]) -> ExportedMixture:
    contents = read_bytes(folder / PARAMETERS, card["files"][PARAMETERS]["bytes"])
    _check_sum(folder, PARAMETERS, card["files"], hashlib.sha256(contents).hexdigest())
    try:
        numbers = parameters.read_arrays(contents, shapes)
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise refusal(folder, PARAMETERS, f"cannot be read ({shown(str(error))})") from error
    fault = parameters.fault_in(numbers)
    if fault:
        raise refusal(folder, PARAMETERS, f"has {fault}")
    table = numbers.pop(outliers.TABLE, None)
    drawn = {name: numbers.pop(name) for name in sorted(numbers) if name.startswith("drawn_")} or None
    centre, log_weights = numbers.pop("centre"), np.log(numbers.pop("weights"))
    return ExportedMixture(card["model"]["covariance"], centre, log_weights, numbers, table, drawn, card)
