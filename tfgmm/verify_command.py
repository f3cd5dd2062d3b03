"""`tfgmm verify`: an exported folder checked, graph and all. Loads what it needs inside its functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm.artefact import shown

if TYPE_CHECKING:
    from tfgmm.verify import Verified


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that export_model wrote.")],
) -> None:
    """Check an exported folder, and that the SavedModel in it is the mixture that its numbers describe.

    Checksums, sizes, names and numbers; then every operation of the graph, before TensorFlow loads it; then its answers
    at 64 points. Nothing of a graph with an operation that our exports do not use is run.

    Example: tfgmm verify saved_models/old_faithful
    """
    try:
        lines = report(directory, _verified(directory))
    except (OSError, ValueError, TypeError) as error:
        text = " ".join(str(error).replace("`path`", "`DIR`", 1).split("\n"))
        typer.echo(f"Error: {_printable(text)}", err=True)
        raise typer.Exit(1) from None
    for line in lines:
        typer.echo(_printable(line))


def _verified(directory: Path) -> Verified:
    from tfgmm import quiet
    from tfgmm.exported import read_export

    read_export(directory)  # a damaged folder is refused before TensorFlow takes its seconds
    quiet.load_tensorflow()
    failure: Exception | None = None
    with quiet.stderr_kept_back():
        from tfgmm.verify import verify_export

        try:
            return verify_export(directory)
        except (OSError, ValueError, TypeError) as error:
            failure = error  # raised outside: one line says it, TensorFlow's own need not be shown
    raise failure


def report(directory: Path, verified: Verified) -> list[str]:
    """Returns the lines that say what was checked."""
    model, written = verified.card["model"], shown(str(verified.card["versions"].get("tfgmm", "of unknown version")))
    sizes = f"{model['num_components']} components, {model['num_features']} columns, {model['covariance']}"
    differences = verified.largest_differences
    return [
        f"{directory}: whole, and its graph is that of its numbers",
        f"files: {verified.num_files} and the card, as written by tfgmm {written}; checksums, sizes, names",
        f"numbers: {sizes}; finite, scales positive, weights sum to 1",
        f"graph: {sum(verified.operations.values()):,} operations of {len(verified.operations)} kinds, all of them "
        "known; nothing runs at load",
        f"answers: {', '.join(differences)} at 64 points; largest difference {max(differences.values()):.1g}",
    ]


def _printable(text: str) -> str:
    """Returns the text without control characters: names from a stranger's folder must not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
