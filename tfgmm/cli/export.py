"""`tfgmm export`: a fit as other programs take it, made from its numbers. Loads what it needs inside its functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from tfgmm.cli import shared
from tfgmm.cli.shared import UsageError
from tfgmm.common.unfinished import ArgumentNames
from tfgmm.common.words import printable

if TYPE_CHECKING:
    from tfgmm.cli.display import Display
    from tfgmm.export.numbers import Numbers

_ENDINGS = {"onnx": ".onnx", "litert": ".tflite"}  # of the files, by their options
_MADE = {"saved-model": "a SavedModel", "onnx": "an ONNX file", "litert": "a LiteRT file"}
_OPTIONS = "`--saved-model`, `--onnx` and `--litert`"


class Wanted(NamedTuple):
    """What is to be made: `kind` is the name of its option, "saved-model", "onnx" or "litert"."""

    kind: str
    target: Path
    overwrite: bool

    @property
    def names(self) -> ArgumentNames:
        """What errors call the option and the one that allows replacing."""
        return ArgumentNames(f"--{self.kind}", "--overwrite")


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help=shared.MODEL_HELP)],
    saved_model: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder with a SavedModel, the numbers and the card.")
    ] = None,
    onnx: Annotated[Path | None, typer.Option(metavar="FILE", help="A file for ONNX runtimes: .onnx.")] = None,
    litert: Annotated[Path | None, typer.Option(metavar="FILE", help="A file for LiteRT, on devices: .tflite.")] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export, or a file.")] = False,
) -> None:
    """Write a fitted mixture as other programs take it: a SavedModel, an ONNX file or a LiteRT file.

    The numbers in RUN are all that is needed. A SavedModel is for TensorFlow Serving and other languages; its folder is
    what tfgmm.export_model writes. ONNX and LiteRT files are tried in their runtimes before they are kept.

    Example: tfgmm export saved_models/old_faithful --saved-model /tmp/geyser_served

    One file instead: tfgmm export saved_models/old_faithful --onnx /tmp/geyser.onnx
    """
    with shared.errors_as_one_line(_words):
        wanted = _wanted({"saved-model": saved_model, "onnx": onnx, "litert": litert}, overwrite)
        line = _export(run, wanted)
    typer.echo(printable(line))


def _words(text: str) -> str:
    """Rewrites what a function says of its arguments in the words of the command line."""
    return text.replace("`model`", "`RUN`").replace("tfgmm.export_model, whose SavedModel", "--saved-model, which")


def _wanted(targets: dict[str, Path | None], overwrite: bool) -> Wanted:
    """Finds out what is to be made.

    Raises:
        UsageError: Nothing, or several things; a place that cannot be.
    """
    from tfgmm.common.atomic_folder import path_of

    given = {kind: target for kind, target in targets.items() if target is not None}
    if len(given) != 1:
        received = " and ".join(f"--{kind}" for kind in given) or "none"
        fix = "Run the command once for each." if given else "Say what to make, for example --saved-model DIR."
        raise UsageError(f"One of {_OPTIONS} must be given. Received: {received}. {fix}")
    [(kind, target)] = given.items()
    if kind in _ENDINGS:
        shared.check_ending(target, [_ENDINGS[kind]], f"--{kind}", any_case=False)
    shared.check_outside_exports(target, f"--{kind}")
    return Wanted(kind, path_of(target, f"--{kind}"), overwrite)


def _export(run: Path, wanted: Wanted) -> str:
    """Makes what is wanted, and says so in a line; what can be wrong is checked before TensorFlow takes its seconds."""
    from tfgmm.common import atomic_file, atomic_folder
    from tfgmm.export.folder import EXPORT
    from tfgmm.export.reading import read_numbers

    directory = shared.model_folder(run, "RUN")
    numbers = read_numbers(directory, "RUN")
    if wanted.kind == "saved-model":
        _check_complete(directory, numbers)
        atomic_folder.check_target(wanted.target, wanted.overwrite, EXPORT, wanted.names)
    else:
        atomic_file.check_free(wanted.target, wanted.overwrite, wanted.names)

    def work(progress: Display) -> None:
        progress.phase("writing")
        _write(numbers, wanted)

    shared.with_tensorflow(work, f"`--{wanted.kind}`")
    model = numbers.facts["model"]
    sizes = f"{model['num_components']} components, {model['num_features']} columns, {model['covariance']}"
    return f"{wanted.target}: {_MADE[wanted.kind]} of {directory}, {sizes}"


def _check_complete(directory: Path, numbers: Numbers) -> None:
    """Checks that the numbers are all that a SavedModel answers with.

    Raises:
        ValueError: They are those of an earlier version, which stored no draws.
    """
    from tfgmm.mixture import outliers, stored_draws

    if not {outliers.TABLE, stored_draws.LOG_WEIGHTS} <= numbers.arrays.keys():
        raise ValueError(
            "`RUN` must hold draws from the posterior, which a SavedModel answers with. Received: "
            f"{directory}, written by an earlier tfgmm, which stored none. Fit the rows again."
        )


def _write(numbers: Numbers, wanted: Wanted) -> None:
    if wanted.kind == "saved-model":
        from tfgmm.export.saved_model import write_export

        write_export(numbers, wanted.target, wanted.overwrite, True, wanted.names)
        return
    from tfgmm.export.portable import write_portable

    names = numbers.facts["model"]["column_names"]
    try:
        write_portable(wanted.kind, numbers.mixture, names, wanted.target, wanted.overwrite, wanted.names)
    except RuntimeError as error:  # its runtime cannot hold this mixture: nothing that a traceback would explain
        raise ValueError(str(error)) from error
