"""`tfgmm info`: the model card of an exported folder as a table. Loads what it needs inside its functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from tfgmm.cli import shared
from tfgmm.common.words import printable
from tfgmm.export.folder import CARD, holds_graph

DEEPEST = 5  # levels of nesting that are written out; no card of ours comes near it, one from elsewhere may
_MOST_ENTRIES = 8  # of a list that are written out


def info(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help=shared.MODEL_HELP)],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the numbers of the mixture, and the card, as JSON.")
    ] = False,
) -> None:
    """Print the model card of an exported folder, and whether it holds numbers alone or a SavedModel too.

    With --json it prints what a program in any language scores rows with: weights, means, covariances, and constants
    of the density, once every file of the folder has been checked.

    Example: tfgmm info saved_models/old_faithful

    For other programs: tfgmm info saved_models/old_faithful --json > geyser.json
    """
    with shared.errors_as_one_line():
        if as_json:
            typer.echo(_plain(directory))
            return
        path = shared.model_folder(directory, "DIR")
        card = read_card(path)
    _print_card(path, card)


def _plain(directory: Path) -> str:
    """Writes the numbers and the card of an exported folder as JSON."""
    from tfgmm.export.plain import as_json, plain_numbers

    return as_json(plain_numbers(shared.read_model(directory, "DIR")))


def read_card(directory: Path) -> dict[str, Any]:
    """Reads the model card of an exported folder as it stands in the file; checksums are not checked.

    Args:
        directory: Folder that holds a card.

    Raises:
        OSError: The card cannot be read.
        ValueError: The card is not a JSON object.
    """
    path = directory / CARD
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # bad JSON, and bytes that are not UTF-8
        raise ValueError(f"{CARD} must be JSON. Received: {path} ({error}). Export the model again.") from None
    if not isinstance(card, dict):
        kind = type(card).__name__
        raise ValueError(f"{CARD} must be a JSON object. Received: {path}, a {kind}. Export the model again.")
    return card


def card_rows(card: Mapping[str, Any], *, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yields one (label, text) pair per line of the card's table; what is nested is indented under its name.

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
    """Tells whether a nested part of the card fits on one line: up to two plain values, e.g. shape and dtype."""
    return 0 < len(value) <= 2 and not any(isinstance(entry, Mapping) for entry in value.values())


def _text(value: Any, *, depth: int = 0) -> str:
    """Writes a value of the card as a person would; long and deep lists are cut."""
    if value is None or value == {} or value == []:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        rest = f", ... ({len(value)} in all)" if len(value) > _MOST_ENTRIES else ""
        first = value[:_MOST_ENTRIES]
        inner = ", ".join(_text(entry, depth=depth + 1) for entry in first) if depth < DEEPEST else "..."
        return f"[{inner}{rest}]" if depth else inner + rest
    if isinstance(value, dict):
        return f"{len(value)} entries"
    return printable(str(value))


def _holdings(card: Mapping[str, Any]) -> str:
    """Says in words what the folder of this card holds."""
    return "numbers, and a SavedModel" if holds_graph(card) else "numbers alone; tfgmm export makes a SavedModel"


def _about_rows(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields a line that says in words what the rows of the fit carried; none for plain rows."""
    from tfgmm.data.row_words import sentences_on_rows
    from tfgmm.data.summary import DataSummary

    training = card.get("training")
    summary = training.get("data_summary") if isinstance(training, Mapping) else None
    if not isinstance(summary, Mapping):
        return
    try:
        sentences = sentences_on_rows(DataSummary.from_dict(summary))
    except (ValueError, TypeError):
        return  # a card of a later version, or no card of ours: the table below has what it says
    if sentences:
        yield "rows", printable("; ".join(sentences))


def _about_intervals(card: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields a line that says in words how the draws were made that intervals are read from."""
    from tfgmm.cli.run.posterior_words import posterior_in_our_words
    from tfgmm.export.folder import POSTERIOR
    from tfgmm.posterior.record import PosteriorRecord

    values = card.get(POSTERIOR)
    if not isinstance(values, Mapping):
        return
    try:
        record = PosteriorRecord.from_dict(values)
    except (ValueError, TypeError):
        return  # a card of a later version, or no card of ours
    yield "intervals", printable("; ".join(map(posterior_in_our_words, record.sentences())))


def _print_card(directory: Path, card: Mapping[str, Any]) -> None:
    """Prints the card as a two-column table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text, not str: square brackets in a card are brackets, not rich's markup
    table = Table(title=Text(printable(str(directory))), show_header=False, title_justify="left", pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, text in (("holds", _holdings(card)), *_about_rows(card), *_about_intervals(card), *card_rows(card)):
        table.add_row(Text(label), Text(text))
    Console().print(table)
