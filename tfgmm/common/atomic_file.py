"""A file that is written whole or not at all: beside its place first, then renamed."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator

from tfgmm.common.unfinished import IN_PYTHON, ArgumentNames, disk_errors_named, flush, folder_beside, remove_stale
from tfgmm.common.urls import check_here

Naming = Callable[[], contextlib.AbstractContextManager[None]]


def check_free(target: pathlib.Path, overwrite: bool, names: ArgumentNames = IN_PYTHON) -> None:
    """Checks that `target` is free, or a file that may be replaced.

    Raises:
        FileExistsError: It is neither.
        ValueError: It is a URL.
    """
    check_here(names.path, str(target))
    if target.is_dir():
        raise FileExistsError(f"`{names.path}` must be a file. Received: {target}, a folder. Choose another name.")
    if os.path.lexists(target) and not overwrite:
        raise FileExistsError(
            f"`{names.path}` must be a new file unless {names.overwrite}. Received: {target}, which is there. "
            f"Pass {names.overwrite} to replace it, or choose another name."
        )


@contextlib.contextmanager
def written_whole(target: pathlib.Path, overwrite: bool, names: ArgumentNames = IN_PYTHON) -> Iterator[pathlib.Path]:
    """Yields the name of a file to write; it becomes `target` when the block ends well.

    Until then, and when the block fails, what stood at `target` stays there. Folders on the way are made.

    Args:
        target: The file to be.
        overwrite: Whether a file at `target` may be replaced.
        names: What messages call the arguments.

    Raises:
        FileExistsError: `target` is there and `overwrite` is False, or is a folder.
        OSError: The disk refuses, in the block too; of the same class and number, with words that name `target`.
    """
    with disk_errors_named(target, "file", names), beside(target, lambda: check_free(target, overwrite, names)) as path:
        yield path


@contextlib.contextmanager
def beside(
    target: pathlib.Path, check: Callable[[], None], named: Naming = contextlib.nullcontext
) -> Iterator[pathlib.Path]:
    """Yields the name of a file in its own folder beside `target`; it becomes `target` when the block ends well.

    Args:
        target: The file to be.
        check: Function to call first, and again just before the renaming: another program may have put a file there
            meanwhile.
        named: Function that makes a context for what is done here, not in the block; it turns errors into others.
    """
    check()
    with contextlib.ExitStack() as stack:
        with named():
            remove_stale(target)
            folder = stack.enter_context(folder_beside(target))
        path = folder / target.name  # converters look at the end of a name
        yield path
        with named():
            flush(path)
            check()
            os.replace(path, target)
