"""Scoring the files of a folder into files of the same names in another, which is whole or not there. No TensorFlow."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tfgmm.common import atomic_folder
from tfgmm.common.atomic_folder import Kind
from tfgmm.common.unfinished import ArgumentNames
from tfgmm.data.files.csv_format import CsvOptions
from tfgmm.data.files.filesystems import place_of
from tfgmm.data.files.kinds import KINDS, files_in
from tfgmm.data.pass_through import InputNames, ScoredInput
from tfgmm.data.table_writer import table_at
from tfgmm.export.reading import ExportedMixture
from tfgmm.export.score_file import NONE, Counts, schema_of, score_blocks
from tfgmm.export.score_workers import Failed, Task, on_workers
from tfgmm.export.scorer import Scorer

LIST = "_scored_files.json"  # which files are ours; those who read the folder as a table pass by what begins with _


def _files_in_list(folder: pathlib.Path) -> list[str]:
    return [LIST, *json.loads((folder / LIST).read_text(encoding="utf-8"))["files"]]


SCORED = Kind("a", "folder of scored files", _files_in_list)


class ScoredFile(NamedTuple):
    """A file to score, and the file to be.

    Args:
        source: The file that is read.
        name: Name of the file that is written.
    """

    source: ScoredInput
    name: str


class FolderTask(NamedTuple):
    """What is the same for all files of a folder; it can be pickled.

    Args:
        export: Mixture to score with.
        columns: Scores to write, as in `write_scores`.
        out: The folder to be.
        names: What messages call it.
    """

    export: ExportedMixture
    columns: tuple[str, ...]
    out: pathlib.Path
    names: ArgumentNames

    def begin(self, folder: pathlib.Path) -> Task[ScoredFile, Counts]:
        """Makes the function that scores one of the files into `folder`, which will be `out`."""
        scorer = Scorer(self.export)

        def score(file: ScoredFile, progress: Callable[[int], None]) -> Counts:
            schema, keep_name = schema_of(self.export, file.source, self.columns), file.source.names.keep
            with table_at(folder / file.name, self.out / file.name, schema, self.names, keep_name) as write:
                return score_blocks(scorer, file.source, self.columns, write, progress)

        return score


def open_folder(
    path: str,
    column_names: Sequence[str] | None,
    num_features: int,
    keep: bool,
    names: InputNames,
    csv: CsvOptions,
    noise: Mapping[str, str],
) -> list[ScoredFile]:
    """Opens the tables of a folder, and checks the columns of all of them, before any row is scored.

    Args:
        path: Path or URL of the folder.
        column_names, num_features, keep, names, csv, noise: As in `ScoredInput`.

    Raises:
        ValueError: There is no table, there are tables of two kinds, or two would be written under one name.
        FileNotFoundError, ValueError, TypeError: As `ScoredInput`.
    """
    files: dict[str, ScoredFile] = {}
    folder = place_of(names.path, path)
    for place in files_in(names.path, folder):
        name = _name_of(os.path.basename(place.label))
        if name in files:
            raise ValueError(
                f"`{names.path}` must be a folder of different names. Received: '{folder}', with '{name}' and "
                "the same compressed. Move one of them away."
            )
        source = ScoredInput(place, column_names, num_features, keep, names, csv, noise, is_of_many=True)
        files[name] = ScoredFile(source, name)
    return list(files.values())


def _name_of(name: str) -> str:
    """Finds the name of the file to be: that of the file that is read, without .gz and its like.

    Example:

    >>> _name_of("rows.parquet"), _name_of("rows.csv.gz")
    ('rows.parquet', 'rows.csv')
    """
    stem, ending = os.path.splitext(name)
    return name if ending.lower() in KINDS else stem


def write_folder_scores(
    task: FolderTask,
    files: Sequence[ScoredFile],
    num_workers: int,
    overwrite: bool,
    progress: Callable[[int], None] = lambda num_rows: None,
) -> Counts:
    """Writes the scores of the rows of several files into a folder, a file for each, and counts the rows.

    The files are the same for any number of workers, and the same as `write_scores` makes of each.

    Args:
        task: What is asked, and where it goes.
        files: The files.
        num_workers: Processes that score, each one file at a time; with 1, this process does.
        overwrite: Whether an earlier folder of scored files is replaced.
        progress: Function that is called with a number of rows that were written.

    Raises:
        FileExistsError: The folder is there, and `overwrite` is False, or it is something else. OSError: the disk
            refuses. ChildProcessError: a worker was killed.
        ValueError, TypeError: Rows of a file cannot be read or scored; the message names the file.
    """
    for file in files:
        schema_of(task.export, file.source, task.columns)  # before any row is scored
    try:
        with atomic_folder.written_whole(task.out, overwrite, SCORED, task.names) as folder:
            counts = NONE
            for of_file in on_workers(task.begin, folder, files, num_workers, progress):
                counts = counts.plus(of_file)
            names = {"files": [file.name for file in files]}
            (folder / LIST).write_text(json.dumps(names, indent=2) + "\n", encoding="utf-8")
    except Failed as failure:  # its cause says what is wrong in its own words, and not in those of the folder
        raise failure.error from None
    return counts
