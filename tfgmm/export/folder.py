"""The folder of an exported mixture: its files, its card, and the errors that say what has changed in it.

parameters.npz                    the numbers
model_card.json                   what they are; written last, with a SHA-256 of every other file
saved_model.pb, variables/, ...   where it was asked for: a graph for TensorFlow Serving and other languages
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pathlib
import stat
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from tfgmm.common.atomic_folder import Kind, files_below
from tfgmm.common.words import printable, shown
from tfgmm.mixture.registry import COVARIANCES

if TYPE_CHECKING:
    from tfgmm.posterior.record import PosteriorRecord

CARD = "model_card.json"
PARAMETERS = "parameters.npz"
GRAPH = "saved_model.pb"
POSTERIOR = "posterior"  # the field of the card that says how the draws were made; earlier cards have none
# All that an export with a graph has besides its card. A server would read other files too: assets, requests to warm up
FILES = frozenset(
    (
        GRAPH,
        "fingerprint.pb",
        PARAMETERS,
        "variables/variables.data-00000-of-00001",
        "variables/variables.index",
    )
)
FORMAT = "tfgmm.mixture"
# 2 has a table of outlier scores among the parameters, 3 draws from the posterior too; graphs of 4 take rows with gaps
FORMAT_VERSION = 4

_LARGEST_CARD = 2**24  # bytes; the card of 100,000 columns has half of it


class IntegrityError(ValueError):
    """An exported folder is not as it was written: a file is missing, cut, changed or not understood."""


COPY_AGAIN = "Export the model again, or copy the folder again from where it is whole."


class Place(NamedTuple):
    """The folder of an export.

    Args:
        folder: Path of the folder.
        name: Name of the argument or option that gave it, for error messages.
    """

    folder: pathlib.Path
    name: str = "path"

    def refusal(self, file: str, what: str, fix: str = COPY_AGAIN) -> IntegrityError:
        """Makes the error for a folder in which `file` is not as it must be."""
        received = f"{self.folder}, whose {shown(file)} {what}"
        return IntegrityError(f"`{self.name}` must be a complete, unchanged export. Received: {received}. {fix}")


def holds_graph(card: Mapping[str, Any]) -> bool:
    """Tells from its card whether an export holds a SavedModel beside the numbers, or a part of one."""
    files = card.get("files")
    return isinstance(files, Mapping) and not FILES.isdisjoint(files.keys() - {PARAMETERS})


def file_sizes(place: Place) -> dict[str, int]:
    """Measures every file below a folder except the card, in bytes, by relative path with "/".

    Raises:
        IntegrityError: something there is neither a file nor a folder. Symbolic links are not followed.
    """
    sizes = {}
    for name, status in files_below(place.folder):
        if not stat.S_ISREG(status.st_mode):
            kind = "a symbolic link" if stat.S_ISLNK(status.st_mode) else "not a regular file"
            raise place.refusal(name, f"is {kind}: an export has none")
        sizes[name] = status.st_size
    sizes.pop(CARD, None)
    return dict(sorted(sizes.items()))


def checksums(folder: pathlib.Path) -> dict[str, dict[str, int | str]]:
    """Computes size and SHA-256 of every file below `folder` except the card, by relative path with "/"."""
    return {name: {"bytes": size, "sha256": sha256(folder / name)} for name, size in file_sizes(Place(folder)).items()}


def sha256(file: pathlib.Path) -> str:
    """Computes the SHA-256 of a file's contents, as hexadecimal digits."""
    with open(file, "rb", opener=_open_plain) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_bytes(file: pathlib.Path, most: int) -> bytes:
    """Reads a file: Raises OSError if it has more than `most` bytes or is a symbolic link."""
    with open(file, "rb", opener=_open_plain) as stream:
        contents = stream.read(most + 1)
    if len(contents) > most:
        raise OSError(errno.EFBIG, f"larger than {most} bytes")
    return contents


def _open_plain(file: str, flags: int) -> int:
    # A link, or a pipe that would block for ever, may have taken the place of the file since the folder was listed.
    return os.open(file, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))


def read_card(place: Place) -> dict[str, Any]:
    """Reads the card of an export and checks every field that is used, except the tables of files and parameters.

    Raises:
        IntegrityError: there is none, or it cannot be read, or it is the card of something else.
    """
    card = _read_json(place)
    _check_version(place, card)
    _check_fields(place, card)
    return card


def _read_json(place: Place) -> dict[str, Any]:
    """Reads the card, a JSON object that calls itself a tfgmm mixture."""
    try:
        card = json.loads(read_bytes(place.folder / CARD, _LARGEST_CARD).decode("utf-8"))
    except FileNotFoundError:
        inside = [card.parent for card in place.folder.glob(f"*/{CARD}")]
        if len(inside) == 1:  # as a run of `tfgmm fit` has it
            raise place.refusal(CARD, "is in a folder inside it", f"Give {printable(str(inside[0]))}.") from None
        raise place.refusal(CARD, "is missing: the folder is not a complete export") from None
    except (ValueError, OSError, RecursionError) as error:
        raise place.refusal(CARD, f"cannot be read ({shown(str(error))})") from error
    if not isinstance(card, dict) or card.get("format") != FORMAT:
        raise place.refusal(CARD, f"is not a model card of format {FORMAT!r}")
    return card


def _check_version(place: Place, card: dict[str, Any]) -> None:
    version: Any = card.get("format_version")
    versions = card.get("versions")
    if not _is_count(version):
        raise place.refusal(CARD, "has no format version")
    if version > FORMAT_VERSION:
        written = versions.get("tfgmm") if isinstance(versions, dict) else None
        name = f"tfgmm {shown(written)}" if isinstance(written, str) else "a newer tfgmm"
        what = f"has format version {version}, written by {name}; this tfgmm reads version {FORMAT_VERSION}"
        raise place.refusal(CARD, what, f"Install {name}, or export the model again with this one.")


def _check_fields(place: Place, card: dict[str, Any]) -> None:
    """Checks the types of the card's fields that are used: Raises IntegrityError for a wrong one."""
    for field in ("model", "files", "parameters", "training", "priors", "versions"):
        if not isinstance(card.get(field), dict):
            raise place.refusal(CARD, f"must have an object in its field {field!r}")
    model = card["model"]
    for field in ("num_components", "num_features"):
        if not _is_count(model.get(field)):
            raise place.refusal(CARD, f"must have a positive whole number in its field {field!r}")
    if not isinstance(model.get("covariance"), str) or model["covariance"] not in COVARIANCES:
        raise place.refusal(CARD, f"must have one of {', '.join(COVARIANCES)} in its field 'covariance'")
    for field, what in (("column_names", "name"), ("column_units", "unit")):
        words = model.get(field)
        is_list = isinstance(words, list) and all(isinstance(word, str) for word in words)
        if words is not None and not (is_list and len(words) == model["num_features"]):
            raise place.refusal(CARD, f"must have one {what} per column, or none, in its field {field!r}")
    _check_posterior(place, card.get(POSTERIOR))
    if model.get("column_names") and len(set(model["column_names"])) < model["num_features"]:
        raise place.refusal(CARD, "must have different names in its field 'column_names'")


def _check_posterior(place: Place, values: Any) -> None:
    """Checks what the card says of the draws, if it says anything."""
    if values is None:
        return
    if not isinstance(values, dict):
        raise place.refusal(CARD, f"must have an object in its field {POSTERIOR!r}")
    try:
        posterior_of({POSTERIOR: values})
    except ValueError as error:
        raise place.refusal(CARD, f"has in its field {POSTERIOR!r}: {shown(str(error))}") from None


def posterior_of(card: Mapping[str, Any]) -> PosteriorRecord:
    """Reads from a card that was checked how the draws were made; earlier cards, which do not say, are of q."""
    from tfgmm.posterior.record import MEAN_FIELD, PosteriorRecord  # NumPy, which the help of commands does not need

    return PosteriorRecord.from_dict(card.get(POSTERIOR) or {"method": MEAN_FIELD, "asked": MEAN_FIELD})


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**31


def read_parameters(place: Place, listed: dict[str, Any], sizes: tuple[int, int]) -> bytes:
    """Reads parameters.npz, after a check that the files in the folder are those that the card lists.

    Args:
        place: The exported folder.
        listed: The card's table of files.
        sizes: Limits of the bytes of parameters.npz: more than the first, fewer than the second.

    Raises:
        IntegrityError: names the file that is missing, foreign or changed.
    """
    _check_names(place, listed)
    least, most = sizes
    if not least < listed[PARAMETERS]["bytes"] < most:
        what = f"has {listed[PARAMETERS]['bytes']} bytes where the card's sizes need {least} and a little more"
        raise place.refusal(PARAMETERS, what)
    for name in sorted(listed.keys() - {PARAMETERS}):
        _check_sum(place, name, listed, sha256(place.folder / name))
    contents = read_bytes(place.folder / PARAMETERS, listed[PARAMETERS]["bytes"])
    _check_sum(place, PARAMETERS, listed, hashlib.sha256(contents).hexdigest())
    return contents


def _check_names(place: Place, listed: dict[str, Any]) -> None:
    """Checks that the files are those listed, with the sizes listed, without reading any of them."""
    for name in sorted(listed):
        if any(part in ("", ".", "..") for part in name.split("/")) or "\\" in name or name == CARD:
            raise place.refusal(CARD, f"lists {shown(name)!r}: not the name of a file of an export")
    there = file_sizes(place)
    for name in sorted({PARAMETERS, *listed, *there}):
        if name not in there:
            raise place.refusal(name, "is missing")
        if name not in listed:
            raise place.refusal(name, "is not listed in the card: it is not part of the export")
        if not isinstance(listed[name], dict) or listed[name].get("bytes") != there[name]:
            raise place.refusal(name, "has changed since it was written (its size differs from the card's)")


def _check_sum(place: Place, name: str, listed: dict[str, Any], checksum: str) -> None:
    if listed[name].get("sha256") != checksum:
        raise place.refusal(name, "has changed since it was written (its SHA-256 differs from the card's)")


def _files_in_card(folder: pathlib.Path) -> Collection[str]:
    files = _read_json(Place(folder)).get("files")
    return {CARD, *files} if isinstance(files, dict) else {CARD}


EXPORT = Kind("an", "export", _files_in_card)
