"""The arrays of parameters.npz: what they are, what can be wrong with them, and how they are read, without pickle."""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfgmm.mixture import outliers, stored_draws
from tfgmm.mixture.parameters import FORMS, MixtureDensity, parameter_shapes

_BYTES = {"float32": 4, "float64": 8}
_MOST_LEVELS = 4096  # in a table of outlier scores; ours have 109
_MOST_DRAWS = 4096  # from the posterior; ours are 64 to 256
_HEADER_ROOM = 4096  # bytes that an archive may need for each array besides its numbers; NumPy needs about 300
_LARGEST = np.finfo(np.float32).max

Shapes = Mapping[str, tuple[int, ...]]


def arrays_of(mixture: MixtureDensity) -> dict[str, np.ndarray]:
    """Lists the arrays of a mixture by name: centre (D,), weights (K,), and the components' arrays, from the centre."""
    return {
        "centre": np.ascontiguousarray(mixture.centre),
        "weights": np.exp(mixture.log_weights),
        **{name: np.ascontiguousarray(value) for name, value in mixture.components.items()},
    }


def dtype_of(name: str) -> str:
    """Names the type of an array: draws are stored in float32, all else in float64."""
    return "float32" if name.startswith("drawn_") else "float64"


def num_bytes(shapes: Shapes) -> int:
    """Counts the bytes that the numbers of arrays take, without the headers of the file."""
    return sum(_BYTES[dtype_of(name)] * math.prod(shape) for name, shape in shapes.items())


class Sizes(NamedTuple):
    """The bytes that a file of arrays takes: more than `least`, less than `most`."""

    least: int
    most: int


def sizes_of(shapes: Shapes) -> Sizes:
    """Computes the bytes that a file of these arrays takes, headers included."""
    numbers = num_bytes(shapes)
    return Sizes(numbers, numbers + _HEADER_ROOM * (len(shapes) + 1))


# --- What the card says about them


def shapes_in(card: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Computes the shape of every array from the sizes in a card, whose fields were checked.

    Raises:
        ValueError: the card declares other arrays; the message follows the words "the card".
    """
    model, parameters = card["model"], card["parameters"]
    sizes = model["covariance"], model["num_components"], model["num_features"]
    # Earlier versions have no table, or no draws
    num_levels = _declared_length(parameters, outliers.TABLE, 1, _MOST_LEVELS)
    num_draws = _declared_length(parameters, stored_draws.LOG_WEIGHTS, 0, _MOST_DRAWS)
    shapes = {"centre": (sizes[2],), "weights": (sizes[1],), **parameter_shapes(*sizes)}
    shapes |= {} if num_levels is None else {outliers.TABLE: (2, num_levels)}
    shapes |= {} if num_draws is None else stored_draws.stored_shapes(*sizes, num_draws)
    declared = {name: {"shape": list(shape), "dtype": dtype_of(name)} for name, shape in shapes.items()}
    if parameters != declared:
        raise ValueError(f"must declare the parameters {declared}")
    return shapes


def _declared_length(parameters: Mapping[str, Any], name: str, axis: int, most: int) -> int | None:
    """Reads how long an axis of a matrix is, between 2 and `most`; None without the matrix."""
    if name not in parameters:
        return None
    declared = parameters[name]
    shape = declared.get("shape") if isinstance(declared, dict) else None
    length = shape[axis] if isinstance(shape, list) and len(shape) == 2 else None
    if isinstance(length, bool) or not isinstance(length, int) or not 1 < length <= most:
        raise ValueError(f"must declare 2 to {most} {('rows', 'columns')[axis]} of {name}")
    return length


# --- What can be wrong with the numbers


def fault_in(arrays: Mapping[str, np.ndarray]) -> str | None:
    """Says what makes the arrays useless, in words that follow "has"; None when they are a mixture.

    What is written is asked the same as what is read, so that no export is refused later.

    Args:
        arrays: By name: `weights` (K,), `centre` (D,) and those of the components; the table of outlier scores and the
            draws from the posterior where they are there.
    """
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            return f"{name} with NaN or infinite values"
    faults = _faults_in_mixture(arrays)
    fault = next((f"{name} {words}" for name, words in faults if words), None)
    if fault is None and outliers.TABLE in arrays:
        fault = outliers.fault_in(arrays[outliers.TABLE])
    if fault is None and stored_draws.LOG_WEIGHTS in arrays:
        fault = stored_draws.fault_in(arrays)
    return fault


def check_finite(arrays: Mapping[str, np.ndarray]) -> None:
    """Checks the arrays of a model to be written: Raises ValueError where `fault_in` finds a fault."""
    fault = fault_in(arrays)
    if fault:
        raise ValueError(
            f"`model` must have finite parameters. Received: {fault}. "
            "Train it again with a lower learning rate; nothing was written."
        )


def _faults_in_mixture(arrays: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str | None]]:
    """Yields, for the arrays of the mixture itself, the name and what is wrong with it, or None."""
    weights = arrays["weights"]
    yield "weights", "that are not positive" if (weights <= 0).any() else None
    for form in FORMS.values():
        if form.precision_name in arrays:
            yield form.precision_name, form.fault_in(arrays[form.precision_name])
    is_far = (np.abs(arrays["locs"]) > _LARGEST).any()
    yield "locs", f"farther than {_LARGEST:.3g} from the centre" if is_far else None
    yield "weights", "that do not sum to 1" if abs(weights.sum() - 1.0) > 1e-9 else None


# --- The file


def read_arrays(contents: bytes, shapes: Shapes) -> dict[str, np.ndarray]:
    """Reads the arrays of an .npz file, and checks that they have these names and shapes, and are not compressed.

    Args:
        contents: Bytes of the file.
        shapes: Shape of every array that must be in it, by name.

    Raises:
        ValueError, OSError, EOFError, RuntimeError, BadZipFile: the file is another, or damaged.
    """
    with zipfile.ZipFile(io.BytesIO(contents)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if sorted(archive.namelist()) != sorted(f"{name}.npy" for name in shapes):
            raise ValueError(f"it holds {sorted(members)} where {sorted(shapes)} are needed")
        for member in members.values():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(contents):
                raise ValueError(f"{member.filename} is compressed, or larger than the file")
        return {name: _array(archive.read(f"{name}.npy"), name, shape) for name, shape in shapes.items()}


def _array(contents: bytes, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads the numbers of an .npy file whose header is, word for word, that of this name's type and shape.

    The header is compared, never interpreted: one that declares objects (a pickle) or a huge shape is only text.
    """
    length = int.from_bytes(contents[8:10], "little")
    header, values = contents[10 : 10 + length], contents[10 + length :]
    dtype, size = dtype_of(name), num_bytes({name: shape})
    descr = f"<f{_BYTES[dtype]}"
    wanted = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"
    if contents[:8] != b"\x93NUMPY\x01\x00" or header.strip() != wanted.encode():
        raise ValueError(f"{name} is not an array of shape {shape} and type {dtype}")
    if len(values) != size:
        raise ValueError(f"{name} has {len(values)} bytes of numbers where shape {shape} needs {size}")
    return np.frombuffer(values, descr).reshape(shape).astype(dtype)
