"""The folder of an exported mixture: its files, its card, and how it comes to stand whole or not at all.

saved_model.pb, variables/, ...   for TensorFlow Serving and other languages
parameters.npz                    the numbers alone
model_card.json                   what they are; written last, with a SHA-256 of every other file
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import itertools
import json
import os
import pathlib
import re
import shutil
import stat
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

CARD = "model_card.json"
RUN_MODEL = "model"  # where the folder of a run of `tfgmm fit` has its export
PARAMETERS = "parameters.npz"
FORMAT = "tfgmm.mixture"
FORMAT_VERSION = 3  # 2 has a table of outlier scores among the parameters, 3 draws from the posterior too

_LARGEST_CARD = 2**24  # bytes; the card of 100,000 columns has half of it
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux's renameat2

_numbering = itertools.count()
_being_written: set[str] = set()  # names of folders; no two of a process are the same


class IntegrityError(ValueError):
    """An exported folder is not as it was written: a file is missing, cut, changed or not understood."""


COPY_AGAIN = "Export the model again, or copy the folder again from where it is whole."


def refusal(folder: pathlib.Path, file: str, what: str, fix: str = COPY_AGAIN) -> IntegrityError:
    """Returns the error for a folder whose `file` is not as it must be."""
    received = f"{folder}, whose {shown(file)} {what}"
    return IntegrityError(f"`path` must be a complete, unchanged export. Received: {received}. {fix}")


def shown(text: str, longest: int = 200) -> str:
    """Returns text from a stranger's folder as an error may show it: one line, no control characters."""
    return printable(text[:longest])


def printable(text: str) -> str:
    """Returns the text without control characters: what a stranger wrote must not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def path_of(path: Any) -> pathlib.Path:
    """Returns `path` as a path with a last part: "." and ".." become what they stand for.

    Raises:
        TypeError: it is not a path. ValueError: no folder can have that name.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"`path` must be a path. Received: {type(path).__name__}. Pass the name of a folder.")
    text = os.fsdecode(path)
    if not text or "\0" in text:
        raise ValueError(f"`path` must be the name of a folder. Received: {text!r}. Pass the name of a folder.")
    plain = pathlib.Path(text)
    return plain if plain.name not in ("", "..") else pathlib.Path(os.path.realpath(plain))


def file_sizes(folder: pathlib.Path) -> dict[str, int]:
    """Returns the bytes of every file below `folder` but the card, by relative path with "/".

    Raises:
        IntegrityError: something there is neither a file nor a folder. Symbolic links are not followed.
    """
    sizes = {}
    for parent, folders, files in os.walk(folder, onerror=_stop):
        for name in (*folders, *files):
            path = pathlib.Path(parent, name)
            relative, status = path.relative_to(folder).as_posix(), path.lstat()
            if stat.S_ISREG(status.st_mode):
                sizes[relative] = status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
                raise refusal(folder, relative, f"is {kind}: an export has none")
    sizes.pop(CARD, None)
    return dict(sorted(sizes.items()))


def _stop(error: OSError) -> None:
    raise error


def checksums(folder: pathlib.Path) -> dict[str, dict[str, int | str]]:
    """Returns size and SHA-256 of every file below `folder` but the card, by relative path with "/"."""
    return {name: {"bytes": size, "sha256": sha256(folder / name)} for name, size in file_sizes(folder).items()}


def sha256(file: pathlib.Path) -> str:
    """Returns the SHA-256 of a file's contents, as hexadecimal digits."""
    with open(file, "rb", opener=_open_plain) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_bytes(file: pathlib.Path, most: int) -> bytes:
    """Returns the contents of a file; OSError for one of more than `most` bytes, or a symbolic link."""
    with open(file, "rb", opener=_open_plain) as stream:
        contents = stream.read(most + 1)
    if len(contents) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return contents


def _open_plain(file: str, flags: int) -> int:
    # A link, or a pipe that would block for ever, may have taken the place of the file since the folder was listed.
    return os.open(file, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def read_card(folder: pathlib.Path) -> dict[str, Any]:
    """Returns the card in `folder`, a JSON object that calls itself a tfgmm mixture; its fields are not checked.

    Raises:
        IntegrityError: there is none, or it cannot be read, or it is the card of something else.
    """
    try:
        card = json.loads(read_bytes(folder / CARD, _LARGEST_CARD).decode("utf-8"))
    except FileNotFoundError:
        inside = folder / RUN_MODEL
        if (inside / CARD).is_file():
            raise refusal(folder, CARD, "is in the folder below, as tfgmm fit leaves it", f"Give {inside}.") from None
        raise refusal(folder, CARD, "is missing: the folder is not a complete export") from None
    except (ValueError, OSError, RecursionError) as error:
        raise refusal(folder, CARD, f"cannot be read ({shown(str(error))})") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise refusal(folder, CARD, f"is not a model card of format {FORMAT!r}")
    return card


def fault_in(numbers: Mapping[str, np.ndarray]) -> str | None:
    """Returns what makes parameters useless, in words that follow "has", or None when they are a mixture.

    Args:
        numbers: float64 arrays by name: `weights` (K,), `centre` (D,) and those of the components.
    """
    import numpy as np  # here, because the command line imports this file and must start at once

    largest = np.finfo(np.float32).max
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            return f"{name} with NaN or infinite values"
        if name in ("weights", "precisions") and (values <= 0).any():
            return f"{name} that are not positive"
        if name == "whiteners" and (np.diagonal(values, axis1=-2, axis2=-1) <= 0).any():
            return f"{name} with a diagonal that is not positive"
        if name == "whiteners" and np.triu(values, 1).any():
            return f"{name} that are not lower triangular"
        if name == "locs" and (np.abs(values) > largest).any():
            return f"{name} farther than {largest:.3g} from the centre"
    if abs(numbers["weights"].sum() - 1.0) > 1e-9:
        return "weights that do not sum to 1"
    return None


class Kind(NamedTuple):
    """A kind of folder of ours, such as "an export", and why what stands somewhere else is none, or None."""

    words: str
    why_foreign: Callable[[pathlib.Path], str | None]


@contextlib.contextmanager
def written_whole(target: pathlib.Path, overwrite: bool, kind: Kind | None = None) -> Iterator[pathlib.Path]:
    """Yields a fresh folder beside `target` to write into; it becomes `target` when the block ends well.

    Until then, and when the block fails, what stood at `target` stands there still. What exports that were killed
    left behind is removed first.

    Raises:
        FileExistsError: `target` is there and `overwrite` is False, or is not an export of ours.
        OSError: the disk refuses.
    """
    _clear_up_after_the_dead(target)
    check_target(target, overwrite, kind)
    temporary = target.parent / f".{target.name}.{os.getpid()}.{next(_numbering)}.writing"
    _being_written.add(temporary.name)
    try:
        _make_folder(temporary)
        yield temporary
        _flush(temporary)
        check_target(target, overwrite, kind)
        _put_in_place(temporary, target, overwrite)
    except FileExistsError:
        raise
    except OSError as error:
        raise _disk_error(target, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        _being_written.discard(temporary.name)


def _make_folder(folder: pathlib.Path) -> None:
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
    except FileExistsError as error:
        raise NotADirectoryError(errno.ENOTDIR, "not a folder", error.filename) from error


def _disk_error(target: pathlib.Path, error: OSError) -> OSError:
    """Returns an OSError of the same kind and number that says which folder could not be written."""
    room = ""
    with contextlib.suppress(OSError):
        room = f"; {shutil.disk_usage(target.parent).free / 2**20:.1f} MiB are free there"
    named = type(error)(
        f"`path` must be a folder that can be written. Received: {target} ({error}{room}). "
        "Choose another place, or make room; what stood there before is untouched."
    )
    named.errno = error.errno
    return named


def check_writable(target: pathlib.Path) -> None:
    """Returns nothing when a folder can be made where `target` shall be. It is tried: rights alone do not tell.

    Raises:
        OSError: the disk refuses; of the same class and number, with words that name `target`.
    """
    place = target.parent
    while not os.path.lexists(place):
        place = place.parent
    trial = place / f".{target.name}.{os.getpid()}.{next(_numbering)}.writing"
    try:
        _make_folder(trial)
        trial.rmdir()
    except OSError as error:
        raise _disk_error(target, error) from error


def check_target(target: pathlib.Path, overwrite: bool, kind: Kind | None = None) -> None:
    """Returns nothing; FileExistsError unless `target` is free, empty, or of that kind and may be replaced."""
    if not os.path.lexists(target):
        return
    words, why = kind or Kind("an export", why_foreign)
    foreign = why(target)
    if foreign:
        raise FileExistsError(
            f"`path` must be a new folder, or an earlier {words.partition(' ')[2]}. Received: {target}, {foreign}. "
            "Choose another place, or remove it yourself; nothing was touched."
        )
    if not overwrite and any(target.iterdir()):
        raise FileExistsError(
            f"`path` must be a new folder unless overwrite=True. Received: {target}, which holds {words}. "
            "Pass overwrite=True to replace it, or choose another place."
        )


def _listed_in_card(folder: pathlib.Path) -> Collection[str]:
    listed = read_card(folder).get("files")
    return listed if isinstance(listed, dict) else ()


def why_foreign(
    target: pathlib.Path,
    listed_in: Callable[[pathlib.Path], Collection[str]] = _listed_in_card,
    kind: str = "an export",
) -> str | None:
    """Returns why what stands at `target` is not ours to replace, or None. A folder that lost files still is ours.

    Args:
        target: where something stands.
        listed_in: what a folder of this kind says that it holds; an error where it is none.
        kind: what such a folder is called.
    """
    if target.is_symlink() or not target.is_dir():
        return "which is not a folder"
    if not any(target.iterdir()):
        return None
    try:
        others = sorted(file_sizes(target).keys() - set(listed_in(target)))
    except (OSError, ValueError, TypeError, KeyError):
        return f"which is something else, or {kind} whose list of files is damaged"
    return f"which holds other files too ({shown(', '.join(others[:3]))})" if others else None


def _clear_up_after_the_dead(target: pathlib.Path) -> None:
    """Removes what killed exports to `target` left; an earlier export that one had moved aside goes back."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.(\d{{1,9}})(\.\d+)?\.(writing|replaced)")
    try:
        names = sorted(os.listdir(target.parent))
    except OSError:
        return  # nothing there yet; writing says what is wrong
    for name in names:
        match, path = pattern.fullmatch(name), target.parent / name
        if match is None or path.with_suffix(".writing").name in _being_written or is_alive(int(match[1])):
            continue
        if match[3] == "replaced" and not os.path.lexists(target):
            os.rename(path, target)
        shutil.rmtree(path, ignore_errors=True)


def is_alive(process: int) -> bool:
    """Returns whether another process of that number is running."""
    if process == os.getpid():
        return False  # what this process is writing is known by name
    try:
        os.kill(process, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _flush(folder: pathlib.Path) -> None:
    """Sends every file to the disk before the rename, so that a power cut cannot leave names without contents."""
    for path in (folder, *folder.rglob("*")):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _put_in_place(temporary: pathlib.Path, target: pathlib.Path, overwrite: bool) -> None:
    """Renames `temporary` to `target`; an earlier folder there changes places with it in one step where Linux can."""
    if not overwrite or not target.exists():
        os.rename(temporary, target)  # fails when another process has put an export there meanwhile
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
