"""The kinds of file that hold tables: how they are told apart, which columns they have, what can be wrong with them.

pyarrow is imported where it is used.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from tfgmm.common.urls import has_lost_a_slash, scrubbed
from tfgmm.common.words import quoted
from tfgmm.data.files.filesystems import Place
from tfgmm.data.files.remote_errors import reached

if TYPE_CHECKING:
    import pyarrow

KINDS = {
    ".csv": "CSV", ".parquet": "Parquet", ".pq": "Parquet", ".arrow": "Arrow", ".feather": "Arrow", ".ipc": "Arrow",
    ".tsv": "CSV",
}  # fmt: skip
# Compressed CSV is unpacked while it is read; other kinds compress by themselves
_UNPACKED = (".gz", ".bz2", ".zst")
_COMPRESSED = (*_UNPACKED, ".xz", ".zip", ".lz4")


def kind_of(path: str) -> str | None:
    """Tells the kind of a file by the suffix of its path: "CSV", "Parquet" or "Arrow"; None when it is no table's.

    Example:

    >>> kind_of("rows.PARQUET"), kind_of("rows.csv.gz"), kind_of("rows.txt")
    ('Parquet', 'CSV', None)
    """
    stem, ending = os.path.splitext(path.lower())
    if ending not in _UNPACKED:
        return KINDS.get(ending)
    return "CSV" if KINDS.get(os.path.splitext(stem)[1]) == "CSV" else None


def file_error(name: str, place: Place, cause: str, fix: str) -> ValueError:
    """Makes the error that says why a file cannot be read.

    Args:
        name: What the caller's argument is called.
        place: The file.
        cause: Clause that goes on from its path.
        fix: Sentence that says what to do.
    """
    kind = kind_of(place.label)
    article = "an" if kind == "Arrow" else "a"
    return ValueError(f"`{name}` must be {article} {kind} file that can be read. Received: '{place}', {cause}. {fix}")


def first_line(error: Exception) -> str:
    """Takes the first line of an error's message, without a full stop."""
    return str(error).strip().split("\n")[0].rstrip(".")


@contextlib.contextmanager
def readable(name: str, place: Place) -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into a ValueError that names the file, and finds it elsewhere.

    Raises:
        OSError: The file is on another filesystem, which cannot be reached, or has it no more.
    """
    import pyarrow as pa

    try:
        with contextlib.nullcontext() if place.is_here else reached(name, place):
            yield
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the operating system's own words (permission, input/output) are clear and name the file
        said = first_line(error) if place.is_here else scrubbed(first_line(error), place.url)
        told = file_error(
            name,
            place,
            f"which is damaged, cut short or of another kind ({said})",
            "Write the file again, or give it the suffix of what it is.",
        )
        raise told from (error if place.is_here else None)  # which may show a secret


def check_file(name: str, place: Place) -> None:
    """Checks that a place is a file that may hold a table.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Its suffix is no table's, or it is empty.
        OSError: Its filesystem cannot be reached.
    """
    with readable(name, place):
        look = place.look()
    if not (look.is_file or look.is_folder):
        raise _not_found(name, place)
    if kind_of(place.label) is None:
        fix = "Save the data as one of these, or pass an array or a DataFrame."
        kinds = ", ".join(KINDS)
        raise ValueError(
            f"`{name}` must be a file whose name ends in {kinds} (.csv.gz too). Received: '{place}'. {fix}"
        )
    if look.size == 0:
        raise file_error(name, place, "which is empty (0 bytes)", "Write the file again.")


def _not_found(name: str, place: Place) -> FileNotFoundError:
    """Makes the error that nothing is there, and says how it may have come about."""
    fix = "Check the path; a relative one starts at the current folder."
    if place.is_here and has_lost_a_slash(place.path):
        fix = "Pass a URL as text: pathlib.Path makes one slash of the two in it."
    elif not place.is_here:
        fix = "Check the path in the URL."
    cause = "not found"
    with readable(name, place):
        if place.lacks_bucket():
            cause, fix = "in a bucket that does not exist", "Check the name of the bucket, and the region or endpoint."
    shown = str(place)[:200]
    return FileNotFoundError(f"`{name}` must be the path of a file. Received: '{shown}', {cause}. {fix}")


def files_in(name: str, folder: Place) -> tuple[Place, ...]:
    """Lists the tables in a folder, sorted by name, without hidden files, _SUCCESS and the like.

    Args:
        name: What the caller's argument is called in error messages.
        folder: The folder; folders inside it are not searched.

    Raises:
        OSError: Its filesystem cannot be reached.
        ValueError: There is no table, there are tables of two kinds, or a compressed file would be left out.
    """
    with readable(name, folder):
        labels = sorted(label for label in folder.labels() if not label.startswith((".", "_")))
    first_of = {kind_of(label): label for label in reversed(labels) if kind_of(label)}
    packed = (label for label in labels if label.lower().endswith(_COMPRESSED) and kind_of(label) is None)
    compressed = next(packed, None)
    wanted = f"`{name}` must be a folder of CSV, Parquet or Arrow files, all of one kind. Received: '{folder}'"
    if compressed:
        raise ValueError(f"{wanted}, with the compressed file '{compressed}'. Unpack it, or move it away.")
    if not first_of:
        fix = f"Write files there whose names end in {', '.join(KINDS)}; folders inside it are not searched."
        raise ValueError(f"{wanted}, which has no such file. {fix}")
    if len(first_of) > 1:
        kinds = " and ".join(f"{kind} ('{label}')" for kind, label in sorted(first_of.items(), key=str))
        raise ValueError(f"{wanted}, with {kinds}. Keep the files of one kind there.")
    return tuple(folder.child(label) for label in labels if kind_of(label))


def names_without_index(schema: pyarrow.Schema) -> tuple[str, ...]:
    """Lists the names of a schema's columns without those that only hold the index of a pandas frame."""
    index = (schema.pandas_metadata or {}).get("index_columns", [])
    return tuple(label for label in schema.names if label not in index)


def decoded_type(kind: pyarrow.DataType) -> pyarrow.DataType:
    """Finds the Arrow type of a column's values: for categories (a dictionary), that of what they stand for."""
    from pyarrow import types

    return kind.value_type if types.is_dictionary(kind) else kind


def words_if_not_numbers(kind: pyarrow.DataType) -> str:
    """Says in words what a column of an Arrow type holds; "" when it holds numbers, or categories that are numbers."""
    from pyarrow import types

    values = decoded_type(kind)

    # A column of nulls only has the type null; it becomes NaN like any other missing value.
    number_tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal, types.is_null)
    if any(test(values) for test in number_tests):
        return ""
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "text"
    return "categorical" if types.is_dictionary(kind) else str(kind)


def not_numbers_error(name: str, words: Mapping[str, str], origin: str, named: bool = True) -> TypeError:
    """Makes the error that lists every column that does not hold numbers, and says what to do.

    Args:
        name: What the caller's argument is called.
        words: What every column wanted holds, in words, by its name; empty for numbers.
        origin: " in 'path'" for a file, empty otherwise.
        named: Whether the columns can be chosen by name.
    """
    bad = ", ".join(f"column {label!r} ({content})" for label, content in words.items() if content)
    good = [label for label, content in words.items() if not content]
    is_option = name.startswith("--")  # the command line takes no columns=[...]
    leave_out = f", or leave them out: columns=[{quoted(good)}]" if good and named and not is_option else ""
    return TypeError(
        f"`{name}` must have columns of numbers. Received: {bad}{origin}. Encode them as numbers{leave_out}."
    )
