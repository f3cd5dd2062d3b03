"""The command `tfgmm`: one subcommand per step.

Every subcommand imports what it needs inside its function: `tfgmm --help` loads no TensorFlow.

Exit codes: 0 done, 1 failed (one line on standard error says what, received and fix), 2 wrong usage.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tfgmm.cli import compare, demo, fit, plot, report, sample, score, shared, verify
from tfgmm.common.version import __version__
from tfgmm.common.words import printable
from tfgmm.export.folder import CARD

CARD_NAME = CARD
DEEPEST = 5  # levels of nesting that are written out; no card of ours comes near it, a stranger's may

app = typer.Typer(
    name="tfgmm",
    help="Bayesian Gaussian mixtures on TensorFlow and Keras 3.",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: half the time of the boxed one, and errors stay one line
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Returns nothing: runs the command line and leaves with its exit code."""
    app(prog_name="tfgmm")


def _print_version(wanted: bool) -> None:
    """Returns nothing; prints the version and leaves when `--version` was given."""
    if wanted:
        typer.echo(f"tfgmm {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    """Bayesian Gaussian mixtures on TensorFlow and Keras 3."""


app.command()(fit.fit)
app.command()(score.score)
app.command()(sample.sample)
app.command()(plot.plot)
app.command()(compare.compare)
app.command()(report.report)
app.command()(demo.demo)
app.command()(verify.verify)


@app.command()
def info(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help=shared.MODEL_HELP)],
) -> None:
    """Print the model card of an exported folder.

    Example: tfgmm info saved_models/old_faithful
    """
    with shared.told():
        folder = shared.model_folder(directory, "DIR")
        card = read_card(folder)
    _print_card(folder, card)


def read_card(folder: Path) -> dict[str, Any]:
    """Returns the model card of an exported folder as it stands in the file; checksums are not checked.

    Args:
        folder: one that holds a card.

    Raises:
        OSError: the card cannot be read.
        ValueError: the card is not a JSON object.
    """
    path = folder / CARD_NAME
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # bad JSON, and bytes that are not UTF-8
        raise ValueError(f"{CARD_NAME} must be JSON. Received: {path} ({error}). Export the model again.") from None
    if not isinstance(card, dict):
        kind = type(card).__name__
        raise ValueError(f"{CARD_NAME} must be a JSON object. Received: {path}, a {kind}. Export the model again.")
    return card


def card_rows(card: Mapping[str, Any], *, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Returns one (label, text) pair per line of the card's table; what is nested is indented under its name.

    Reads whatever keys there are, so that the card may grow without a change here.
    """
    indent = "  " * depth
    for key, value in card.items():
        # words for keys like num_data; file names keep their underscores
        label = indent + (key.replace("_", " ") if key.isidentifier() else printable(key))
        if isinstance(value, Mapping) and _is_short(value) and depth:
            yield label, "; ".join(f"{printable(name)} {_text(entry)}" for name, entry in value.items())
        elif isinstance(value, Mapping) and value and depth < DEEPEST:
            yield label, ""
            yield from card_rows(value, depth=depth + 1)
        else:
            yield label, _text(value)


def _is_short(value: Mapping[str, Any]) -> bool:
    """Returns whether a nested part of the card fits on one line: a pair of plain values, e.g. shape and dtype."""
    return 0 < len(value) <= 2 and not any(isinstance(entry, Mapping) for entry in value.values())


def _text(value: Any, *, depth: int = 0, longest: int = 8) -> str:
    """Returns a value of the card as a person would write it; long and deep lists are cut."""
    if value is None or value == {} or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        rest = f", ... ({len(value)} in all)" if len(value) > longest else ""
        inner = ", ".join(_text(entry, depth=depth + 1) for entry in value[:longest]) if depth < DEEPEST else "..."
        return f"[{inner}{rest}]" if depth else inner + rest
    if isinstance(value, dict):
        return f"{len(value)} entries"
    return printable(str(value))


def _print_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Returns nothing; prints the card as a two-column table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text, not str: square brackets in a card are brackets, not rich's markup
    table = Table(title=Text(printable(str(directory))), show_header=False, title_justify="left", pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in card_rows(card):
        table.add_row(Text(label), Text(text))
    Console().print(table)
