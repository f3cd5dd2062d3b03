"""A file that is written whole or not at all: beside its place first, then renamed. No TensorFlow."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator

from tfgmm.export.folder import is_alive


def check_free(target: pathlib.Path, overwrite: bool) -> None:
    """Returns nothing when `target` is free, or a file that may be replaced.

    Raises:
        FileExistsError: it is not.
    """
    if target.is_dir():
        raise FileExistsError(f"`path` must be a file. Received: {target}, a folder. Choose another name.")
    if os.path.lexists(target) and not overwrite:
        raise FileExistsError(
            f"`path` must be a new file unless overwrite=True. Received: {target}, which is there. "
            "Pass overwrite=True to replace it, or choose another name."
        )


@contextlib.contextmanager
def written_whole(target: pathlib.Path, overwrite: bool) -> Iterator[pathlib.Path]:
    """Yields the name of a file to write; it becomes `target` when the block ends well.

    Until then, and when the block fails, what stood at `target` stands there still. Folders on the way are made.

    Raises:
        FileExistsError: `target` is there and `overwrite` is False, or is a folder.
        OSError: the disk refuses, in the block too; of the same class and number, with words that name `target`.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with beside(target, lambda: check_free(target, overwrite)) as temporary:
            yield temporary
    except OSError as error:
        if str(error).startswith("`path`"):
            raise  # ours, of a file that is there; others may be of the same class
        named = type(error)(
            f"`path` must be a file that can be written. Received: {target} ({error}). "
            "Choose another place, or make room; what stood there before is untouched."
        )
        named.errno = error.errno
        raise named from error


@contextlib.contextmanager
def beside(
    target: pathlib.Path,
    check: Callable[[], None],
    named: Callable[[], contextlib.AbstractContextManager[None]] = contextlib.nullcontext,
) -> Iterator[pathlib.Path]:
    """Yields the name of a file in a folder of its own beside `target`; it is renamed to `target` if all is well.

    Args:
        target: the file to be.
        check: called just before: another program may have put a file there meanwhile.
        named: a context for what is done here, not in the block, that turns errors into others.
    """
    with named():
        _clear_up_after_the_dead(target)
        folder = tempfile.mkdtemp(prefix=f".{target.name}.{os.getpid()}.", suffix=".writing", dir=target.parent)
    try:
        temporary = pathlib.Path(folder, target.name)  # converters look at the end of a name
        yield temporary
        with named():
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())  # a power cut must not leave the name without the contents
            check()
            os.replace(temporary, target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _clear_up_after_the_dead(target: pathlib.Path) -> None:
    """Removes what writers of `target` that were killed have left beside it."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d{{1,9}})\.\w+\.writing")
    with contextlib.suppress(OSError):
        for name in os.listdir(target.parent):
            match = pattern.fullmatch(name)
            if match and int(match[1]) != os.getpid() and not is_alive(int(match[1])):
                shutil.rmtree(target.with_name(name), ignore_errors=True)
