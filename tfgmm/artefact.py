"""The folder of an exported mixture: its files, its card, and how it comes to stand whole or not at all.

saved_model.pb, variables/, ...   for TensorFlow Serving and other languages
parameters.npz                    the numbers alone
model_card.json                   what they are; written last, with a SHA-256 of every other file
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import pathlib
import shutil
import sys
from collections.abc import Iterator

CARD = "model_card.json"
PARAMETERS = "parameters.npz"
FORMAT = "tfgmm.mixture"
FORMAT_VERSION = 1

_EXCHANGE = 2  # RENAME_EXCHANGE of Linux's renameat2
_HERE = -100  # AT_FDCWD


class IntegrityError(ValueError):
    """An exported folder is not as it was written: a file is missing, cut, changed or not understood."""


def checksums(folder: pathlib.Path) -> dict[str, dict[str, int | str]]:
    """Returns size and SHA-256 of every file below `folder` but the card, by relative path with "/"."""
    return {
        file.relative_to(folder).as_posix(): {"bytes": file.stat().st_size, "sha256": _sha256(file)}
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.relative_to(folder).as_posix() != CARD
    }


def _sha256(file: pathlib.Path) -> str:
    with open(file, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def written_whole(target: pathlib.Path, overwrite: bool) -> Iterator[pathlib.Path]:
    """Yields a fresh folder beside `target` to write into; it becomes `target` when the block ends well.

    Until then, and when the block fails, what stood at `target` stands there still.

    Raises:
        FileExistsError: `target` is there and `overwrite` is False, or is not an export of ours.
        OSError: the disk refuses.
    """
    _check_target(target, overwrite)
    temporary = target.parent / f".{target.name}.{os.getpid()}.writing"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir()
    except OSError as error:
        raise type(error)(
            f"`path` must be a folder that can be written. Received: {target} ({error}). Choose another place."
        ) from error
    try:
        yield temporary
        _flush(temporary)
        _put_in_place(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _check_target(target: pathlib.Path, overwrite: bool) -> None:
    if not os.path.lexists(target):
        return
    if target.is_symlink() or not target.is_dir() or (any(target.iterdir()) and not (target / CARD).is_file()):
        raise FileExistsError(
            f"`path` must be a new folder, or an earlier export. Received: {target}, which is something else. "
            "Choose another place; nothing was touched."
        )
    if not overwrite:
        raise FileExistsError(
            f"`path` must be a new folder unless overwrite=True. Received: {target}, which holds an export. "
            "Pass overwrite=True to replace it, or choose another place."
        )


def _flush(folder: pathlib.Path) -> None:
    """Sends every file to the disk before the rename, so that a power cut cannot leave names without contents."""
    for path in (folder, *folder.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put_in_place(temporary: pathlib.Path, target: pathlib.Path) -> None:
    """Renames `temporary` to `target`; an earlier folder there changes places with it in one step where Linux can."""
    if not target.exists():
        os.rename(temporary, target)
        return
    if not _exchange(temporary, target):
        aside = temporary.with_suffix(".replaced")
        os.rename(target, aside)
        os.rename(temporary, target)
        shutil.rmtree(aside)


def _exchange(one: pathlib.Path, other: pathlib.Path) -> bool:
    if not sys.platform.startswith("linux"):
        return False
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    return renameat2 is not None and renameat2(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0
