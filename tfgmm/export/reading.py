"""Reading an exported folder without TensorFlow: checksums first, then numbers."""

from __future__ import annotations

import os
import pathlib
import zipfile
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.atomic_folder import path_of
from tfgmm.common.words import shown
from tfgmm.export import folder, parameters
from tfgmm.export.numbers import Numbers
from tfgmm.mixture import outliers
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.posterior.record import PosteriorRecord

_ATTEMPTS = 100  # to read a folder that is replaced again and again meanwhile


class ExportedMixture(NamedTuple):
    """The numbers of an exported folder.

    Args:
        covariance: Name of the covariance shape.
        centre: Point that component locations are measured from, (D,) float64, data units.
        log_weights: Logarithms of the weights, (K,) float64.
        components: `locs` (K, D) and `precisions` (K, D) or `whiteners` (K or 1, D, D), float64.
        column_names: Names of the training columns, or None.
        outlier_table: Table of outlier scores, (2, Q) float64, see `outliers`; None in an export of an earlier version.
        drawn: Draws from the posterior, see `stored_draws.stored`; None in an export of an earlier version.
        posterior: How these draws were made; of the mean-field posterior where the export does not say.
        card: The model card.
    """

    covariance: str
    centre: np.ndarray
    log_weights: np.ndarray
    components: dict[str, np.ndarray]
    column_names: tuple[str, ...] | None
    outlier_table: np.ndarray | None
    drawn: dict[str, np.ndarray] | None
    posterior: PosteriorRecord
    card: dict[str, Any]

    @property
    def density(self) -> MixtureDensity:
        """The mixture at the posterior means."""
        return MixtureDensity(self.covariance, self.centre, self.log_weights, self.components)


def read_export(path: str | os.PathLike[str], name: str = "path") -> ExportedMixture:
    """Reads the mixture in an exported folder, after a check that every file is the one that was written.

    A folder that is replaced by a newer export meanwhile is read again from the start.

    Args:
        path: Folder written by `tfgmm.export_model`.
        name: What error messages call `path`.

    Raises:
        FileNotFoundError: no such folder. NotADirectoryError: not a folder.
        IntegrityError (a ValueError): not an export, or not as it was written; names the file.
    """
    return _mixture(*_whole(folder.Place(path_of(path, name), name)))


def read_numbers(path: str | os.PathLike[str], name: str = "path") -> Numbers:
    """Reads what another export of the same mixture is written from, bit for bit, after the checks of `read_export`.

    Args: As `read_export`.

    Raises:
        FileNotFoundError, NotADirectoryError, IntegrityError: As `read_export`.
    """
    card, arrays = _whole(folder.Place(path_of(path, name), name))
    export = _mixture(card, dict(arrays))
    facts = {field: card[field] for field in ("model", "priors", "training")}
    return Numbers(export.density, arrays, {**facts, folder.POSTERIOR: export.posterior.to_dict()})


def _whole(place: folder.Place) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Reads card and arrays of one and the same export."""
    for _ in range(_ATTEMPTS):
        before = _identity(place.folder)
        try:
            return _read(place)
        except (folder.IntegrityError, OSError):
            if _identity(place.folder) == before:
                raise
    return _read(place)


def _identity(place: pathlib.Path) -> tuple[int, ...] | None:
    try:
        status = place.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_ctime_ns


def _read(place: folder.Place) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    if not place.folder.is_dir():
        kind, what = (NotADirectoryError, "a folder") if place.folder.exists() else (FileNotFoundError, "there")
        wanted = f"`{place.name}` must be a folder written by tfgmm.export_model"
        raise kind(f"{wanted}. Received: {place.folder}, which is not {what}. Check the path.")
    card = folder.read_card(place)
    try:
        shapes = parameters.shapes_in(card)
    except ValueError as error:
        raise place.refusal(folder.CARD, str(error)) from None
    contents = folder.read_parameters(place, card["files"], parameters.sizes_of(shapes))
    try:
        arrays = parameters.read_arrays(contents, shapes)
    except (ValueError, OSError, EOFError, RuntimeError, zipfile.BadZipFile) as error:
        raise place.refusal(folder.PARAMETERS, f"cannot be read ({shown(str(error))})") from error
    fault = parameters.fault_in(arrays)
    if fault:
        raise place.refusal(folder.PARAMETERS, f"has {fault}")
    return card, arrays


def _mixture(card: dict[str, Any], arrays: dict[str, np.ndarray]) -> ExportedMixture:
    table = arrays.pop(outliers.TABLE, None)
    drawn = {name: arrays.pop(name) for name in sorted(arrays) if name.startswith("drawn_")} or None
    centre, log_weights = arrays.pop("centre"), np.log(arrays.pop("weights"))
    covariance, names = card["model"]["covariance"], card["model"]["column_names"]
    posterior = folder.posterior_of(card)
    names = tuple(names) if names else None
    return ExportedMixture(covariance, centre, log_weights, arrays, names, table, drawn, posterior, card)
