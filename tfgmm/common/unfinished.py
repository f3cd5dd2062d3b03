"""Folders beside the place to write: what files and folders that are written whole or not at all have in common.

Beside NAME, `.NAME.PROCESS.NUMBER.writing` is what process PROCESS is writing, and `.NAME.PROCESS.NUMBER.replaced` an
earlier folder that it has moved aside.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from typing import NamedTuple

_numbering = itertools.count()
_being_written: set[str] = set()  # names of folders; no two of a process are the same


class ArgumentNames(NamedTuple):
    """What error messages call the place to write, and what allows replacing what stands there.

    Args:
        path: Name of the argument or option that names the place.
        overwrite: Argument or option that allows replacing, as a user writes it.
    """

    path: str
    overwrite: str


IN_PYTHON = ArgumentNames("path", "overwrite=True")


@contextlib.contextmanager
def folder_beside(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a fresh folder beside `target`, which is removed after the block unless it was renamed.

    Folders on the way are made.

    Raises:
        OSError: The disk refuses.
    """
    folder = _name_beside(target)
    _being_written.add(folder.name)
    try:
        _make_folder(folder)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        _being_written.discard(folder.name)


def try_folder_beside(target: pathlib.Path) -> None:
    """Checks that a folder can be made where `target` shall be, by making one: permissions alone do not tell.

    Raises:
        OSError: The disk refuses.
    """
    place = target.parent
    while not os.path.lexists(place):
        place = place.parent
    trial = _name_beside(place / target.name)
    _make_folder(trial)
    trial.rmdir()


def _name_beside(target: pathlib.Path) -> pathlib.Path:
    return target.parent / f".{target.name}.{os.getpid()}.{next(_numbering)}.writing"


def _make_folder(folder: pathlib.Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", error.filename) from error


def remove_stale(target: pathlib.Path) -> None:
    """Removes what writers of `target` that were killed left; an earlier folder that one had moved aside goes back."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d{{1,9}})(\.\w+)?\.(writing|replaced)")
    try:
        names = sorted(os.listdir(target.parent))
    except OSError:
        return  # nothing there yet; writing says what is wrong
    for name in names:
        match, path = pattern.fullmatch(name), target.parent / name
        if match is None or path.with_suffix(".writing").name in _being_written or _is_alive(int(match[1])):
            continue
        if match[3] == "replaced" and not os.path.lexists(target):
            os.rename(path, target)
        shutil.rmtree(path, ignore_errors=True)


def _is_alive(process: int) -> bool:
    """Tells whether another process of that number is running."""
    if process == os.getpid():
        return False  # what this process is writing is known by name
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def flush(path: pathlib.Path) -> None:
    """Sends a file to the disk before it is renamed: a power cut must not leave a name without its contents.

    Args:
        path: Path of a file, or of a folder, whose list of names is sent.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def disk_errors_named(target: pathlib.Path, noun: str, names: ArgumentNames) -> Iterator[None]:
    """Turns what the disk refuses into errors of the same class and number whose words name `target`.

    FileExistsError passes: it says already what stands there.

    Args:
        target: Place that is written.
        noun: "file" or "folder".
        names: What messages call the arguments.
    """
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        room = ""
        with contextlib.suppress(OSError):
            room = f"; {shutil.disk_usage(target.parent).free / 2**20:.1f} MiB are free there"
        named = type(error)(
            f"`{names.path}` must be a {noun} that can be written. Received: {target} ({_first_cause(error)}{room}). "
            "Choose another place, or make room; what stood there before is untouched."
        )
        named.errno = error.errno
        raise named from error


def _first_cause(error: OSError) -> OSError:
    """Finds what the disk said, also where the error names a place within the one that is written already."""
    while isinstance(error.__cause__, OSError):
        error = error.__cause__
    return error
