"""Reading of `.keras` files, with errors that say what is wrong with the file."""

from __future__ import annotations

import os
import zipfile
from typing import Any

from tfgmm.common.forks import check_not_forked
from tfgmm.common.urls import COPY_HERE, check_here
from tfgmm.model.gaussian_mixture import GaussianMixtureModel
from tfgmm.model.keras3 import keras
from tfgmm.model.keras_arguments import refuse_strategy

_HDF5 = b"\x89HDF\r\n\x1a\n"  # how every such file begins


def load_model(path: Any) -> GaussianMixtureModel:
    """Reads a model from a .keras file, compiled as it was saved, so that training can continue.

    Such files hold no draws from the exact posterior: `draws` of the model then is from q, and
    `draws(n, data=rows, posterior="auto")` draws them anew.

    Args:
        path: Path of the file that `model.save` wrote. From a file in Keras's older HDF5 (.h5) the model comes back
            fitted, but not compiled.

    Returns:
        The `GaussianMixtureModel`.

    Raises:
        ValueError: The file is not a whole .keras file of a tfgmm model, or there is a distribution strategy.
        FileNotFoundError: The file does not exist.
        TypeError: `path` is not a string or a Path.
        RuntimeError: The process was forked after TensorFlow had been used.
    """
    check_not_forked("load_model")
    refuse_strategy("load_model")
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`path` must be the path of a .keras file. Received: {path!r}. Pass a string or a Path.")
    path = os.fspath(path)
    check_here("path", os.fsdecode(path), COPY_HERE)
    if not os.path.exists(path):
        raise FileNotFoundError(f"`path` must be a .keras file. Received: {path}, which does not exist. Check it.")
    if os.path.isdir(path):
        raise ValueError(
            f"`path` must be a .keras file. Received: {path}, a folder. Use tfgmm.load_scorer for an exported folder."
        )
    is_hdf5 = _is_hdf5(path)
    if not (is_hdf5 or zipfile.is_zipfile(path)):
        raise ValueError(
            f"`path` must be a whole .keras file. Received: {path}, which is cut short or of another kind. "
            "Save the model again, or go back to an older copy."
        )
    try:
        if is_hdf5:  # which knows classes by their name alone
            model = keras.saving.load_model(path, {GaussianMixtureModel.__name__: GaussianMixtureModel}, compile=False)
        else:
            model = keras.saving.load_model(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"`path` must be a whole .keras file written by model.save. Received: {path}, which cannot be read "
            f"({error}). Save it again, or go back to an older copy."
        ) from error
    if not isinstance(model, GaussianMixtureModel):
        raise ValueError(f"`path` must hold a tfgmm model. Received: a {type(model).__name__}. Use keras.saving.")
    return model


def _is_hdf5(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(len(_HDF5)) == _HDF5
