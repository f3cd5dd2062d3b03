"""Where a checkpoint stands: the argument `checkpoint`, checked before any work."""

from __future__ import annotations

import os
import pathlib
from typing import Any

from tfgmm.common.unfinished import ArgumentNames, disk_errors_named, try_folder_beside
from tfgmm.common.urls import check_here

NAMES = ArgumentNames("checkpoint", "another name")


def checked_place(value: Any) -> pathlib.Path | None:
    """Turns the argument `checkpoint` into an absolute path, that of the file which links lead to; None stays.

    Raises:
        TypeError: It is no path.
        ValueError: No file on this machine can have that name.

    Example:

    >>> checked_place("/tmp/fit.checkpoint").name
    'fit.checkpoint'
    """
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(
            f"`checkpoint` must be the path of a file. Received: {type(value).__name__} {value!r:.80}. Pass a name "
            'such as "fit.checkpoint".'
        )
    text = os.fsdecode(value)
    check_here("checkpoint", text)
    if not text or "\0" in text or pathlib.Path(text).name in ("", ".."):
        raise ValueError(
            f"`checkpoint` must be the path of a file on this machine. Received: {text!r:.200}. Pass a name such as "
            '"fit.checkpoint".'
        )
    return pathlib.Path(os.path.realpath(text))


def check_writable(path: pathlib.Path) -> None:
    """Checks, before hours of fitting, that a file can be written here.

    Raises:
        FileExistsError: There is something of that name that is no file: a folder, a pipe, a device.
        OSError: The disk refuses; the words name the path.
    """
    if path.is_dir():
        raise FileExistsError(
            f"`checkpoint` must be a file. Received: {path}, a folder. Add the name of a file within it."
        )
    if os.path.lexists(path) and not path.is_file():
        raise FileExistsError(
            f"`checkpoint` must be a file. Received: {path}, which is a pipe, a device or the like. Choose another "
            "name."
        )
    with disk_errors_named(path, "file", NAMES):
        try_folder_beside(path)
