"""What the commands share: errors as one line, work behind a spinner, the folder of a model. Loads nothing."""

from __future__ import annotations

import contextlib
import csv
import os
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TypeVar

import typer

from tfgmm.common.unfinished import ArgumentNames
from tfgmm.common.urls import COPY_HERE, check_here, has_lost_a_slash, is_url, without_secrets
from tfgmm.common.words import printable
from tfgmm.export.folder import CARD, IntegrityError, Place, read_card

if TYPE_CHECKING:
    from tfgmm.cli.display import Display
    from tfgmm.data.files.csv_format import CsvOptions
    from tfgmm.export.reading import ExportedMixture

# What a command foresees: wrong rows, folders and numbers, a full disk, a package that is not installed
FORESEEN = (OSError, ValueError, TypeError, ArithmeticError, ImportError)

# What errors about a file or folder to write call the options
OUT = ArgumentNames("--out", "--overwrite")

DATA = "--data"  # what errors about rows call the option

DROP_GAPS = typer.Option("--drop-gaps", help="Leave out rows with a gap in a column that is used.")

# How CSV files are written, for every command that reads rows
DELIMITER = typer.Option(metavar="MARK", help="Between columns of CSV: a character, or tab.  [default: guessed]")
DECIMAL = typer.Option(metavar="MARK", help="Decimal mark of CSV: . or ,  [default: guessed]")
ENCODING = typer.Option(metavar="NAME", help="Of CSV, such as latin-1.  [default: utf-8, or utf-16 by its mark]")
SKIP_ROWS = typer.Option(metavar="N", help="Lines of CSV above the names of the columns.  [default: those with #]")

MODEL_HELP = "A folder that tfgmm fit or export_model wrote."

_MOST_NAMED = 4  # files of a folder that is none of ours

# What functions advise a caller in Python, and what the shell has for it
_FOR_THE_SHELL = (
    (r", or pass pandas\.read_csv\(.*\) instead\.", ", or name what it is: --encoding latin-1, for example."),
    (r"Name its encoding, or save", "Name its encoding with --encoding, or save"),
    (r"values with commas need quotes\.", "values with commas need quotes; --skip-rows leaves out lines at the top."),
    (r", or pass an array or a DataFrame\.", "."),
)

Done = TypeVar("Done")


class UsageError(Exception):
    """What the command line alone shows to be wrong."""


@contextlib.contextmanager
def errors_as_one_line(
    words: Callable[[str], str] = str, has_checkpoint: Callable[[], bool] | None = None
) -> Iterator[None]:
    """Turns what a command foresees into one line on standard error: exit code 2 for usage, 1 for all else.

    Args:
        words: Gives the text of an error the names that the command line has for things.
        has_checkpoint: Tells after Ctrl-C whether what was done was kept; None where it never is.
    """
    try:
        yield
    except UsageError as error:
        _leave(words(str(error)), 2)
    except BrokenPipeError:
        raise  # the reader has closed the pipe, as head does: typer leaves without a word
    except FORESEEN as error:
        _leave(words(str(error)), 1)
    except KeyboardInterrupt:
        if has_checkpoint is not None and has_checkpoint():
            _leave("Stopped by Ctrl-C; the checkpoint has what was done: add --resume to go on.", 1)
        _leave("Stopped by Ctrl-C; nothing was written.", 1)


def _leave(text: str, code: int) -> NoReturn:
    for pattern, words in _FOR_THE_SHELL:
        text = re.sub(pattern, words, text)
    # Paths and names from files must not steer the terminal
    typer.echo(f"Error: {printable(' '.join(text.split(chr(10))))}", err=True)
    raise typer.Exit(code)


def with_display(work: Callable[[Display], Done]) -> Done:
    """Does `work` behind a spinner; what others write, as TensorFlow does where there is a GPU, is not seen."""
    from tfgmm.cli import display

    with display.display() as progress:
        return quietly(lambda: work(progress))


def with_tensorflow(work: Callable[[Display], Done], purpose: str) -> Done:
    """Does `work` once TensorFlow is loaded, behind a spinner; `purpose` is what needs it, for the error."""
    from tfgmm.common import quiet

    def loaded(progress: Display) -> Done:
        progress.phase("loading TensorFlow")
        quiet.load_tensorflow(purpose)
        return work(progress)

    return with_display(loaded)


def quietly(work: Callable[[], Done]) -> Done:
    """Does `work` without what others write to standard error, also where it fails as foreseen."""
    from tfgmm.common import quiet

    failure: BaseException
    with quiet.stderr_kept_back():
        try:
            return work()
        except (*FORESEEN, KeyboardInterrupt) as error:
            failure = error  # raised outside: one line says it, others' own need not be shown
    raise failure


def model_folder(path: Path, name: str = "--model") -> Path:
    """Finds the exported folder that `path` is, or that the folder of a run of `tfgmm fit` holds.

    Args:
        path: The path on the command line.
        name: What it is called there.

    Raises:
        FileNotFoundError: It is neither; says what is there.
        ValueError: It is a URL.
    """
    from tfgmm.cli.run.folder import MODEL

    check_here(name, str(path), COPY_HERE)
    for folder in (path, path / MODEL):
        if (folder / CARD).is_file():
            return folder
    raise FileNotFoundError(
        f"`{name}` must be a folder that tfgmm.export_model or tfgmm fit wrote. Received: {path}, {_what_is_at(path)}. "
        "Give that folder; a model in Python becomes one with tfgmm.export_model(model, folder)."
    )


def check_ending(out: Path, endings: Iterable[str], name: str = "--out", *, any_case: bool = True) -> None:
    """Checks the ending of `out`, which says what kind of file it shall be.

    Args:
        out: The file to be.
        endings: Endings that there are, in small letters.
        name: What the option is called.
        any_case: Whether capital letters will do.

    Raises:
        UsageError: It is none of `endings`.
    """
    if (out.suffix.lower() if any_case else out.suffix) not in endings:
        fix = "Add the ending of the kind that you want."
        raise UsageError(f"`{name}` must be a file whose name ends in {', '.join(endings)}. Received: {out}. {fix}")


def with_drop_gaps(text: str) -> str:
    """Rewrites what a function advises for rows with gaps as what the command line has for them."""
    text = text.replace(', or take NaN for gaps: missing="integrate"', "")
    text = text.replace("Drop or fill such rows.", "Pass --drop-gaps to leave such rows out, or fill them.")
    in_python = "Drop such rows, or write NaN for a value that is not known."
    return text.replace(
        in_python, "Leave such cells empty, or pass --drop-gaps to leave out these rows and all with gaps."
    )


def csv_options(delimiter: str | None, decimal: str | None, encoding: str | None, skip_rows: int | None) -> CsvOptions:
    """Collects what is said of how CSV files are written.

    Raises:
        UsageError: One of them is something else.
    """
    from tfgmm.data.files.csv_format import CsvOptions

    try:
        return CsvOptions(delimiter, decimal, encoding, skip_rows)
    except ValueError as error:
        raise UsageError(re.sub(r"`(\w+)`", lambda name: f"`{as_option(name[1])}`", str(error))) from None


def as_option(name: str) -> str:
    """Writes the name of an argument as the shell has it.

    Example:

    >>> as_option("skip_rows")
    '--skip-rows'
    """
    return f"--{name.replace('_', '-')}"


def path(text: str) -> str:
    """Reads the path of rows from the command line, without ./ and the like; a URL stays as it is.

    Example:

    >>> path("./rows//today.csv"), path("s3://bucket/rows.csv")
    ('rows/today.csv', 's3://bucket/rows.csv')
    """
    return text if is_url(text) else str(Path(text))


def say_format(name: str, path: str, csv: CsvOptions) -> None:
    """Prints how a CSV file is read, where that is not plain: what was guessed should be seen.

    Raises:
        OSError, ValueError: As `open_files`.
    """
    from tfgmm.data.files.opening import words_of_format

    words = words_of_format(name, path, csv)
    if words:
        typer.echo(printable(f"{without_secrets(path)}: read with {words}"))


def split_names(text: str) -> list[str]:
    """Splits names with commas between; one that has a comma itself stands in quotation marks.

    Example:

    >>> split_names('width, "height, m"')
    ['width', 'height, m']
    """
    return [name.strip() for name in next(csv.reader([text], skipinitialspace=True), [])]


def check_outside_exports(out: Path, name: str = "--out") -> None:
    """Checks that `out` is on this machine, outside all exports and runs: one with a file too many counts as damaged.

    The model of a run may be replaced.

    Args:
        out: The file or folder to be.
        name: What the option is called.

    Raises:
        UsageError: It is a URL, or inside an exported folder, or inside the folder of a run.
    """
    from tfgmm.cli.run.folder import MODEL
    from tfgmm.cli.run.settings import CONFIG, read_config

    if has_lost_a_slash(str(out)):
        url = str(out).replace(":/", "://", 1)
        fix = "Write it here, and copy it there when it is whole."
        raise UsageError(f"`{name}` must be on this machine. Received: {without_secrets(url)}. {fix}")
    place = Path(os.path.realpath(out.parent))
    for folder in (place, *place.parents):
        kind = None
        with contextlib.suppress(IntegrityError, ValueError, OSError):  # somebody else's files of these names
            if (folder / CARD).is_file():
                read_card(Place(folder))
                kind = "an export"
            elif (folder / MODEL / CARD).is_file() and Path(os.path.realpath(out)) != folder / MODEL:
                read_config(folder / CONFIG)
                kind = "the folder of a run"
        if kind:
            fix = "Choose a place outside it."
            raise UsageError(f"`{name}` must not be inside {kind}. Received: {out}, in {folder}. {fix}")


def _what_is_at(path: Path) -> str:
    if not path.is_dir():
        return "which is a file" if path.exists() else "which is not there"
    names = sorted(os.listdir(path))
    if not names:
        return "an empty folder"
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"a folder without {CARD}: it holds {', '.join(names[:_MOST_NAMED])}{more}"


def read_model(path: Path, name: str = "--model") -> ExportedMixture:
    """Reads the mixture of a folder as `model_folder` takes it, and checks that every file is as it was written.

    Raises:
        OSError, ValueError: As `tfgmm.load_scorer`; the folder is called by `name`.
    """
    from tfgmm.export.reading import read_export

    return read_export(model_folder(path, name), name)
