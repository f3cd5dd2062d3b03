"""A folder that is written whole or not at all: beside its place first, then renamed or exchanged.

What stands at its place is replaced only where it is an earlier folder of the same kind, with no other files in it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from tfgmm.common.unfinished import (
    IN_PYTHON,
    ArgumentNames,
    disk_errors_named,
    flush,
    folder_beside,
    remove_stale,
    try_folder_beside,
)
from tfgmm.common.urls import check_here
from tfgmm.common.words import shown

_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2


class Kind(NamedTuple):
    """A kind of folder, by which an earlier one is told apart from what somebody else has put there.

    Args:
        article: "a" or "an".
        noun: What such a folder is called.
        files_of: Reads from a folder which files belong to it, as paths relative to it with "/"; raises OSError,
            ValueError, TypeError or KeyError where it is none of this kind. None: no folder is ever replaced.
    """

    article: str
    noun: str
    files_of: Callable[[pathlib.Path], Collection[str]] | None


def path_of(path: Any, name: str = "path") -> pathlib.Path:
    """Turns `path` into a path with a last part: "." and ".." become what they stand for.

    Args:
        path: Name of a folder, as the caller of a public function gave it.
        name: What messages call it.

    Raises:
        TypeError: It is not a path.
        ValueError: No folder can have that name.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`{name}` must be a path. Received: {type(path).__name__}. Pass the name of a folder.")
    text = os.fsdecode(path)
    check_here(name, text)
    if not text or "\0" in text:
        raise ValueError(f"`{name}` must be the name of a folder. Received: {text!r}. Pass the name of a folder.")
    plain = pathlib.Path(text)
    return plain if plain.name not in ("", "..") else pathlib.Path(os.path.realpath(plain))


@contextlib.contextmanager
def written_whole(
    target: pathlib.Path, overwrite: bool, kind: Kind, names: ArgumentNames = IN_PYTHON
) -> Iterator[pathlib.Path]:
    """Yields a fresh folder beside `target` to write into; it becomes `target` when the block ends well.

    Until then, and when the block fails, what stood at `target` stays there. What writers that were killed left behind
    is removed first.

    Args:
        target: The folder to be.
        overwrite: Whether an earlier folder of this kind at `target` may be replaced.
        kind: What is written.
        names: What messages call the arguments.

    Raises:
        FileExistsError: `target` is there and `overwrite` is False, or is not of this kind.
        OSError: The disk refuses, in the block too; of the same class and number, with words that name `target`.
    """
    with disk_errors_named(target, "folder", names):
        remove_stale(target)
        check_target(target, overwrite, kind, names)
        with folder_beside(target) as folder:
            yield folder
            _flush_all(folder)
            check_target(target, overwrite, kind, names)
            _put_in_place(folder, target, overwrite)


def check_writable(target: pathlib.Path, names: ArgumentNames = IN_PYTHON) -> None:
    """Checks that a folder can be made where `target` shall be.

    Raises:
        OSError: The disk refuses; of the same class and number, with words that name `target`.
    """
    with disk_errors_named(target, "folder", names):
        try_folder_beside(target)


def check_target(target: pathlib.Path, overwrite: bool, kind: Kind, names: ArgumentNames = IN_PYTHON) -> None:
    """Checks that `target` is free, empty, or of that kind and may be replaced.

    Raises:
        FileExistsError: It is not.
    """
    if not os.path.lexists(target):
        return
    foreign = _why_foreign(target, kind)
    if foreign:
        earlier = f", or an earlier {kind.noun}" if kind.files_of else ""
        raise FileExistsError(
            f"`{names.path}` must be a new folder{earlier}. Received: {target}, {foreign}. "
            "Choose another place, or remove it yourself; nothing was touched."
        )
    if not overwrite and any(target.iterdir()):
        raise FileExistsError(
            f"`{names.path}` must be a new folder unless {names.overwrite}. Received: {target}, which holds "
            f"{kind.article} {kind.noun}. Pass {names.overwrite} to replace it, or choose another place."
        )


def _why_foreign(target: pathlib.Path, kind: Kind) -> str | None:
    """Says why what stands at `target` may not be replaced; None where it may. A folder that lost files may."""
    if target.is_symlink() or not target.is_dir():
        return "which is not a folder"
    if not any(target.iterdir()):
        return None
    if kind.files_of is None:
        return "which is there"
    try:
        others = _other_files(target, kind.files_of)
    except (OSError, ValueError, TypeError, KeyError):
        return f"which is something else, or {kind.article} {kind.noun} whose list of files is damaged"
    return f"which holds other files too ({shown(', '.join(others[:3]))})" if others else None


def _other_files(folder: pathlib.Path, files_of: Callable[[pathlib.Path], Collection[str]]) -> list[str]:
    names = set()
    for name, status in files_below(folder):
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{name} is not a regular file")
        names.add(name)
    return sorted(names - set(files_of(folder)))


def files_below(folder: pathlib.Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yields everything below `folder` that is no folder itself: its relative path with "/", and its status.

    Symbolic links are not followed: the status is that of the link.

    Raises:
        OSError: A folder cannot be read.
    """
    for parent, folders, files in os.walk(folder, onerror=_stop):
        for name in (*folders, *files):
            path = pathlib.Path(parent, name)
            status = path.lstat()
            if not stat.S_ISDIR(status.st_mode):
                yield path.relative_to(folder).as_posix(), status


def _stop(error: OSError) -> None:
    raise error


def _flush_all(folder: pathlib.Path) -> None:
    for path in (folder, *folder.rglob("*")):
        flush(path)


def _put_in_place(temporary: pathlib.Path, target: pathlib.Path, overwrite: bool) -> None:
    """Renames `temporary` to `target`; an earlier folder there changes places with it in one step where Linux can."""
    if not overwrite or not target.exists():
        os.rename(temporary, target)  # fails when another process has put a folder there meanwhile
    elif not _exchange(temporary, target):
        aside = temporary.with_suffix(".replaced")
        os.rename(target, aside)
        try:
            os.rename(temporary, target)
        except OSError:
            os.rename(aside, target)
            raise
        shutil.rmtree(aside, ignore_errors=True)


def _exchange(one: pathlib.Path, other: pathlib.Path) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    return renameat2 is not None and renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
