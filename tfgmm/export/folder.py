"""The folder of an exported mixture: its files, its card, and the errors that say where it is not as it was written.

saved_model.pb, variables/, ...   for TensorFlow Serving and other languages
parameters.npz                    the numbers alone
model_card.json                   what they are; written last, with a SHA-256 of every other file
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Collection
from typing import Any

from tfgmm.common.atomic_folder import Kind, files_below
from tfgmm.common.words import printable, shown

CARD = "model_card.json"
PARAMETERS = "parameters.npz"
FORMAT = "tfgmm.mixture"
FORMAT_VERSION = 3  # 2 has a table of outlier scores among the parameters, 3 draws from the posterior too

_LARGEST_CARD = 2**24  # bytes; the card of 100,000 columns has half of it


class IntegrityError(ValueError):
    """An exported folder is not as it was written: a file is missing, cut, changed or not understood."""


COPY_AGAIN = "Export the model again, or copy the folder again from where it is whole."


def refusal(folder: pathlib.Path, file: str, what: str, fix: str = COPY_AGAIN) -> IntegrityError:
    """Returns the error for a folder whose `file` is not as it must be."""
    received = f"{folder}, whose {shown(file)} {what}"
    return IntegrityError(f"`path` must be a complete, unchanged export. Received: {received}. {fix}")


def file_sizes(folder: pathlib.Path) -> dict[str, int]:
    """Returns the bytes of every file below `folder` but the card, by relative path with "/".

    Raises:
        IntegrityError: something there is neither a file nor a folder. Symbolic links are not followed.
    """
    sizes = {}
    for name, status in files_below(folder):
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            raise refusal(folder, name, f"is {kind}: an export has none")
        sizes[name] = status.st_size
    sizes.pop(CARD, None)
    return dict(sorted(sizes.items()))


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
        inside = [card.parent for card in folder.glob(f"*/{CARD}")]
        if len(inside) == 1:  # as a run of `tfgmm fit` has it
            raise refusal(folder, CARD, "is in a folder inside it", f"Give {printable(str(inside[0]))}.") from None
        raise refusal(folder, CARD, "is missing: the folder is not a complete export") from None
    except (ValueError, OSError, RecursionError) as error:
        raise refusal(folder, CARD, f"cannot be read ({shown(str(error))})") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise refusal(folder, CARD, f"is not a model card of format {FORMAT!r}")
    return card


def _files_in_card(folder: pathlib.Path) -> Collection[str]:
    files = read_card(folder).get("files")
    return {CARD, *files} if isinstance(files, dict) else {CARD}


EXPORT = Kind("an", "export", _files_in_card)
