"""`tfgmm verify`: an exported folder checked, graph and all. Loads what it needs inside its functions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tfgmm.cli import shared
from tfgmm.common.words import printable, shown
from tfgmm.export.folder import holds_graph

if TYPE_CHECKING:
    from tfgmm.export.verify import Verified


def verify(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help=shared.MODEL_HELP)],
) -> None:
    """Check an exported folder, and that a SavedModel in it is the mixture that its numbers describe.

    Checksums, sizes, names and numbers. Where there is a SavedModel, every operation of its graph too, before
    TensorFlow loads it; then its answers at 64 points. Nothing of a graph with an operation that our exports do not use
    is run.

    Example: tfgmm verify saved_models/old_faithful
    """
    with shared.errors_as_one_line():
        path = shared.model_folder(directory, "DIR")
        # A damaged folder is refused before TensorFlow takes its seconds
        has_graph = holds_graph(shared.read_model(directory, "DIR").card)
        needs = "the check of a SavedModel"
        verified = shared.with_tensorflow(lambda _: _verified(path), needs) if has_graph else _verified(path)
        lines = report(path, verified)
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
    found = "whole, and its graph is that of its numbers" if verified.operations else "whole; it holds numbers alone"
    return [
        f"{directory}: {found}",
        f"files: {verified.num_files} and the card, as written by tfgmm {version}; checksums, sizes, names",
        f"numbers: {sizes}; finite, scales positive, weights sum to 1",
        *(_about_graph(verified) if verified.operations else ["graph: none; tfgmm export makes one from the numbers"]),
    ]


def _about_graph(verified: Verified) -> list[str]:
    num_operations, differences = sum(verified.operations.values()), verified.largest_differences
    return [
        f"graph: {num_operations:,} operations of {len(verified.operations)} kinds, all of them known; nothing runs at "
        "load",
        f"answers: {', '.join(differences)} at 64 points; largest difference {max(differences.values()):.1g}",
    ]
