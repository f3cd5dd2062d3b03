"""A checkpoint as a file: JSON and float64 numbers in an .npz that is whole or not there."""

from __future__ import annotations

import io
import json
import math
import os
import pathlib
import stat
import struct
import tokenize
import zipfile
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from tfgmm.common.atomic_file import written_whole
from tfgmm.common.version import __version__
from tfgmm.fit.checkpoint.entries import Entry, value_of
from tfgmm.fit.checkpoint.place import NAMES

FORMAT, FORMAT_VERSION = "tfgmm.checkpoint", 1
_CONTENT, _NUMBERS = "content.npy", "numbers.npy"
_DTYPES: dict[str, np.dtype] = {_CONTENT: np.dtype(np.uint8), _NUMBERS: np.dtype(np.float64)}
_DAMAGED = "which is damaged"
# What zipfile and NumPy raise for bytes that are none of theirs
_FAULTS = (
    zipfile.BadZipFile, ValueError, EOFError, KeyError, RuntimeError, tokenize.TokenError, struct.error, OverflowError,
    TypeError, SyntaxError,
)  # fmt: skip
# Number, size and time of change of a file; None for none
Identity = tuple[int, int, int] | None
_FIX = "Remove it to begin anew, or name another file."


class Stored(NamedTuple):
    """What a checkpoint holds.

    fit: What it is a checkpoint of, in JSON types; see `identity`.
    steps: What each step gave, by name.
    """

    fit: Mapping[str, Any]
    steps: dict[str, Entry]


def identity_of(path: pathlib.Path) -> Identity:
    """Tells a file from one that replaces it."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def write(path: pathlib.Path, stored: Stored) -> None:
    """Writes a checkpoint in the place of the one before, which stays until the new one is whole and on the disk.

    The permissions of the one before stay.

    Raises:
        OSError: The disk refuses, in words that name the path; what stood there stands there still.
    """
    steps, start = {}, 0
    for name, entry in stored.steps.items():
        steps[name] = [entry.content, start, len(entry.numbers)]
        start += len(entry.numbers)
    content = {"format": FORMAT, "format_version": FORMAT_VERSION, "tfgmm": __version__, "fit": stored.fit}
    text = json.dumps({**content, "steps": steps}).encode()
    numbers = [entry.numbers for entry in stored.steps.values()]
    with written_whole(path, True, NAMES) as temporary, open(temporary, "wb") as file:
        both = {"content": np.frombuffer(text, np.uint8), "numbers": np.concatenate([np.zeros(0), *numbers])}
        if path.is_file():
            os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
        np.savez(file, allow_pickle=False, **both)


def read(path: pathlib.Path) -> Stored:
    """Reads a checkpoint: numbers and JSON, and nothing that could run.

    Raises:
        ValueError: It is no checkpoint, damaged, or one of another version.
        OSError: The disk refuses.
    """
    whole = path.read_bytes()  # at once: what fails after is a fault of what the file holds
    try:
        content, numbers = _content_and_numbers(whole)
    except _FAULTS as error:
        raise _refusal(path, "which is damaged, or something else") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise _refusal(path, "which is something else")
    for what, known in (("format_version", FORMAT_VERSION), ("tfgmm", __version__)):
        if content.get(what) != known:
            words = "of version" if what == "tfgmm" else "of format"
            raise ValueError(
                f"`checkpoint` must be a file that tfgmm {__version__} wrote, in format {FORMAT_VERSION}. Received: "
                f"{path}, {words} {content.get(what)!r:.40}. Go on with the version that wrote it, or remove it to "
                "begin anew."
            )
    try:
        return _checked(content, numbers)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise _refusal(path, _DAMAGED) from error


def _content_and_numbers(whole: bytes) -> tuple[Any, np.ndarray]:
    """Reads both parts; sizes that the file names are compared with its own before anything is made from them."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if members.keys() != _DTYPES.keys():
            raise ValueError("other parts")
        for name, member in members.items():
            if member.compress_type != zipfile.ZIP_STORED or member.file_size > len(whole):
                raise ValueError(f"{name} of {member.file_size} bytes")
            with archive.open(member) as file:
                _check_header(file, _DTYPES[name], member.file_size)
    with np.load(io.BytesIO(whole), allow_pickle=False) as arrays:
        return json.loads(arrays["content"].tobytes()), arrays["numbers"]


def _check_header(file: Any, dtype: np.dtype, size: int) -> None:
    """Checks that the file of an array has the numbers that its header names, in one row."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"an array of format {version}")
    shape, _, found = np.lib.format.read_array_header_1_0(file)
    if found != dtype or len(shape) != 1 or file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{shape} numbers of {found} in {size} bytes")


def _checked(content: Mapping[str, Any], numbers: np.ndarray) -> Stored:
    steps = {}
    for name, (inside, start, size) in content["steps"].items():
        if not 0 <= start <= start + size <= len(numbers):
            raise ValueError(f"{name}: {size} numbers at {start} of {len(numbers)}")
        steps[name] = Entry(inside, numbers[start : start + size])
        value_of(steps[name])
    if not isinstance(content["fit"], dict):
        raise TypeError("nothing says what was fitted")
    return Stored(content["fit"], steps)


def _refusal(path: pathlib.Path, fault: str) -> ValueError:
    return ValueError(f"`checkpoint` must be a file that a fit wrote. Received: {path}, {fault}. {_FIX}")
