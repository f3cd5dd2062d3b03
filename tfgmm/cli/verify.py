"""`tfgmm verify`: an exported folder checked, graph and all. Loads what it needs inside its functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm.cli import shared
from tfgmm.common.words import printable, shown

if TYPE_CHECKING:
    from tfgmm.export.verify import Verified


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help=shared.MODEL_HELP)],
) -> None:
    """Check an exported folder, and that the SavedModel in it is the mixture that its numbers describe.

    Checksums, sizes, names and numbers; then every operation of the graph, before TensorFlow loads it; then its answers
    at 64 points. Nothing of a graph with an operation that our exports do not use is run.

    Example: tfgmm verify saved_models/old_faithful
    """
    with shared.errors_as_one_line():
        path = shared.model_folder(directory, "DIR")
        shared.read_model(directory, "DIR")  # a damaged folder is refused before TensorFlow takes its seconds
        lines = report(path, shared.with_tensorflow(lambda _: _verified(path)))
    for line in lines:
        typer.echo(printable(line))


def _verified(path: Path) -> Verified:
    from tfgmm.export.verify import verify_export

    return verify_export(path, "DIR")


def report(directory: Path, verified: Verified) -> list[str]:
    """Writes the lines that say what was checked."""
    model = verified.card["model"]
    version = shown(str(verified.card["versions"].get("tfgmm", "of unknown version")))
    sizes = f"{model['num_components']} components, {model['num_features']} columns, {model['covariance']}"
    differences = verified.largest_differences
    return [
        f"{directory}: whole, and its graph is that of its numbers",
        f"files: {verified.num_files} and the card, as written by tfgmm {version}; checksums, sizes, names",
        f"numbers: {sizes}; finite, scales positive, weights sum to 1",
        f"graph: {sum(verified.operations.values()):,} operations of {len(verified.operations)} kinds, all of them "
        "known; nothing runs at load",
        f"answers: {', '.join(differences)} at 64 points; largest difference {max(differences.values()):.1g}",
    ]
