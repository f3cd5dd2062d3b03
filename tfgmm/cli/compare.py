"""`tfgmm compare`: two exported mixtures side by side, and what rows say of them. Loads what it needs in functions."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from tfgmm.cli import carried, shared
from tfgmm.cli.carried import NOTHING_ASKED, Carried
from tfgmm.cli.shared import UsageError
from tfgmm.common.urls import without_secrets
from tfgmm.common.words import counted, printable, shown_count
from tfgmm.export.folder import posterior_of

if TYPE_CHECKING:
    from tfgmm.cli.display import Display
    from tfgmm.data.files.csv_format import CsvOptions
    from tfgmm.export.reading import ExportedMixture
    from tfgmm.posterior.draws import Draws
    from tfgmm.scoring.comparison import RowsCompared

_CHAINS = ".nc"  # of the NetCDF files that ArviZ writes
_MOST_LINES = 40  # of the table of numbers
_LONGEST, _LONGEST_SAME = 60, 200  # characters of an entry


class Side(NamedTuple):
    """One of the two: an exported mixture, or the draws that a NetCDF file holds."""

    name: str
    path: Path
    mixture: ExportedMixture | None

    def draws(self) -> Draws:
        """Reads its draws from the posterior.

        Raises:
            ValueError: The NetCDF file is damaged, or holds something else.
        """
        if self.mixture is not None:
            from tfgmm.export.scorer import Scorer

            return Scorer(self.mixture).draws()
        from tfgmm.posterior.draws import Draws

        try:
            return Draws.from_arviz(self.path)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"`{self.name}` must be a NetCDF file of a posterior as tfgmm.Draws.to_arviz gives it. Received: "
                f"{self.path} ({error}). Write the file again."
            ) from error


def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help=f"{shared.MODEL_HELP[:-1]}; or a .nc file of ArviZ.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="Another.")],
    data: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", parser=shared.path, help="Rows to judge by: .csv, .parquet, .arrow, a folder or a URL."
        ),
    ] = None,
    weights: Annotated[str | None, carried.WEIGHTS] = None,
    noise: Annotated[list[str] | None, carried.NOISE] = None,
    missing: Annotated[str | None, carried.MISSING] = None,
    drop_gaps: Annotated[bool, shared.DROP_GAPS] = False,
    delimiter: Annotated[str | None, shared.DELIMITER] = None,
    decimal: Annotated[str | None, shared.DECIMAL] = None,
    encoding: Annotated[str | None, shared.ENCODING] = None,
    skip_rows: Annotated[int | None, shared.SKIP_ROWS] = None,
) -> None:
    """Compare two mixtures: what differs, how their posteriors agree, and which describes rows better.

    Posteriors are compared where both have as many components and the same columns, by the draws that exports keep;
    the second is taken for the right one. With --data every row is scored with both: the mean log density of each,
    their difference with its standard error, and how far the clusters are the same. A row with gaps is judged by the
    values that it has. A row with an infinite value is left out; beside --weights it is refused.

    Example: tfgmm compare saved_models/old_faithful saved_models/old_faithful --data training/data/old_faithful.csv
    """
    with shared.errors_as_one_line(carried.in_our_words):
        csv = shared.csv_options(delimiter, decimal, encoding, skip_rows)
        asked = carried.carried_of(data, weights, missing, drop_gaps, carried.noise_of_options(noise))
        sides = _opened(first, "A"), _opened(second, "B")
        if data is not None:
            _check_for_rows(sides)
            shared.say_format(shared.DATA, data, csv)
        lines = shared.with_display(lambda progress: list(_lines(sides, data, csv, progress, asked)))
    for line in lines:
        typer.echo(printable(line))


def _opened(path: Path, name: str) -> Side:
    if path.suffix.lower() != _CHAINS:
        return Side(name, path, shared.read_model(path, name))
    if not path.is_file():
        raise FileNotFoundError(f"`{name}` must be a file. Received: {path}, which is not there. Check the path.")
    return Side(name, path, None)


def _check_for_rows(sides: tuple[Side, Side]) -> None:
    """Checks that rows can be scored with both.

    Raises:
        UsageError: One is a file of draws.
        ValueError: They have different columns, so that their densities are of different things.
    """
    mixtures = [side.mixture for side in sides]
    if None in mixtures:
        raise UsageError("`--data` must be left out where A or B is a .nc file. Received: both. Compare two exports.")
    names = [sorted(one.column_names or [str(len(one.centre))]) for one in mixtures if one is not None]
    if names[0] != names[1]:
        raise ValueError(
            "`--data` can judge mixtures of the same columns alone: densities of others cannot be compared. Received: "
            f"{', '.join(names[0])} and {', '.join(names[1])}. Leave --data out, or fit both to the same columns."
        )


def _lines(
    sides: tuple[Side, Side],
    data: str | None,
    csv: CsvOptions,
    progress: Display,
    asked: Carried = NOTHING_ASKED,
) -> Iterator[str]:
    """Yields what is printed."""
    for side in sides:
        yield f"{side.name}: {side.path}{'' if side.mixture is not None else ' (draws)'}"
    cards = [facts_of(side.mixture.card) for side in sides if side.mixture is not None]
    if len(cards) == 2:
        yield ""
        yield from differences(*cards)
    yield ""
    progress.phase("comparing")
    yield from _agreement(sides)
    first, second = (side.mixture for side in sides)
    if data is not None and first is not None and second is not None:
        yield ""
        yield from _rows(first, second, data, csv, progress, asked)


def facts_of(card: Mapping[str, Any]) -> dict[str, str]:
    """Says in words what a model card says of a mixture."""
    model, training, wrote = card["model"], card["training"], card["versions"]
    summary = training.get("data_summary")
    fingerprint = summary.get("fingerprint") if isinstance(summary, Mapping) else None
    elbo = training.get("elbo_nats")
    had = _what_rows_had(card)
    draws = posterior_of(card)
    facts = {
        "components": model["num_components"],
        "shape": model["covariance"],
        "weights": model.get("weights"),
        "columns": ", ".join(model.get("column_names") or [f"{model['num_features']} without names"]),
        "fitted to": f"{_rows_of(card)}, fingerprint {fingerprint}{had}",
        "bound, nats": f"{elbo:.2f}" if isinstance(elbo, float) else None,
        "posterior": ", ".join([draws.method, *draws.figures()]),
        "written by": ", ".join(f"{name} {wrote[name]}" for name in ("tfgmm", "tensorflow") if name in wrote) or None,
    }
    return {name: "not recorded" if value is None else str(value) for name, value in facts.items()}


def _what_rows_had(card: Mapping[str, Any]) -> str:
    """Writes what the rows of a fit had beside their values."""
    summary = carried.summary_of(card)
    if summary is None:
        return ""
    gaps = f", {sum(summary.gaps):,} values missing" if summary.gap_columns else ""
    return f"{gaps}{', measurement noise' if summary.noise_columns else ''}"


def _rows_of(card: Mapping[str, Any]) -> str:
    """Writes how many rows a mixture was fitted to, and for how many they count."""
    summary, num_data = carried.summary_of(card), card["training"].get("num_data")
    if summary is None or summary.weights_name is None:
        return f"{num_data} rows"
    return f"{counted(summary.num_rows, 'row')} that count as {shown_count(summary.num_data)}"


def differences(facts_a: Mapping[str, str], facts_b: Mapping[str, str]) -> Iterator[str]:
    """Yields lines that say what differs, side by side, and what does not.

    Example:

    >>> print(*differences({"shape": "diag", "rows": "9"}, {"shape": "full", "rows": "9"}), sep="\\n")
    differs  A     B
    shape    diag  full
    the same: rows 9
    """
    others = [("differs", "A", "B")]
    others += [(name, _cut(facts_a[name]), _cut(facts_b[name])) for name in facts_a if facts_a[name] != facts_b[name]]
    widths = [max(len(line[place]) for line in others) for place in range(2)]
    if len(others) > 1:
        yield from (f"{name:<{widths[0]}}  {a:<{widths[1]}}  {b}" for name, a, b in others)
    same = [f"{name} {_cut(facts_a[name], _LONGEST_SAME)}" for name in facts_a if facts_a[name] == facts_b[name]]
    if same:
        yield f"the same: {'; '.join(same)}"


def _cut(text: str, longest: int = _LONGEST) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def _agreement(sides: tuple[Side, Side]) -> Iterator[str]:
    """Yields how far the posteriors agree, or why that cannot be said."""
    from tfgmm.posterior.agreement import compare as agreement_of

    old = [side.name for side in sides if side.mixture is not None and side.mixture.drawn is None]
    if old:
        yield f"posteriors: not compared, since {' and '.join(old)} kept no draws: written by an earlier tfgmm"
        return
    first, second = (side.draws() for side in sides)
    sizes = [(draws.num_components, draws.column_names or draws.num_features) for draws in (first, second)]
    if sizes[0] != sizes[1]:
        yield "posteriors: not compared, since components or columns differ"
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        agreement = agreement_of(first, second)
    numbers = [draws.num_chains * draws.num_draws for draws in (first, second)]
    least = min(numbers)
    yield (
        f"posteriors, by {numbers[0]:,} draws of A and {numbers[1]:,} of B: of {least:,} draws a standard deviation is "
        f"known to {100 * (2 * (least - 1)) ** -0.5:.0f} %, a mean to {least**-0.5:.2f} of one"
    )
    frame = agreement.to_frame().rename(columns=lambda name: name.replace(" a", " A").replace(" b", " B"))
    if len(frame) > _MOST_LINES:
        yield f"the {_MOST_LINES} of {len(frame):,} numbers that differ most:"
        frame = frame.sort_values("distance, sd", ascending=False).head(_MOST_LINES)
    yield from frame.to_string(float_format=lambda value: f"{value:.4g}").split("\n")
    yield from (
        sentence.replace("a's", "A's").replace("b's", "B's").replace(" of a:", " of A:")
        for sentence in agreement.sentences()
    )
    yield from (f"Note: {warning.message}" for warning in caught)


def _rows(
    first: ExportedMixture, second: ExportedMixture, data: str, csv: CsvOptions, progress: Display, asked: Carried
) -> Iterator[str]:
    """Yields what the rows of a file say of the two."""
    import numpy as np

    from tfgmm.export.scorer import Scorer
    from tfgmm.scoring.comparison import compare_over_rows, verdict

    num_features, done = len(first.centre), 0
    names = first.column_names or tuple(map(str, range(num_features)))
    order = np.array([names.index(name) for name in second.column_names or names])

    def count(num_rows: int) -> None:
        nonlocal done
        done += num_rows
        progress.phase(f"scoring, {done:,} rows")

    with asked.opened(data, first, csv) as rows:
        mixtures = Scorer(first).plug_in(), Scorer(second).plug_in()
        compared = compare_over_rows(*mixtures, rows.blocks(), order, count, shared.DATA)
    yield from lines_about_rows(compared, data, verdict(compared))
    if not asked.noise and (carried.had_noise(first) or carried.had_noise(second)):
        yield (
            "Rows were judged as if they had no measurement noise, which speaks against a mixture that was fitted to "
            "rows with noise: pass --noise COLUMN=ERROR."
        )


def lines_about_rows(compared: RowsCompared, data: str, verdict: str) -> list[str]:
    """Writes what the rows say, as lines."""
    weighted = "" if compared.total is None else f" that count as {compared.total:,.6g}"
    gaps = f", {compared.num_incomplete:,} with gaps" if compared.num_incomplete else ""
    bad = f"; {compared.num_bad:,} without values or infinite, left out" if compared.num_bad else ""
    return [
        f"{without_secrets(str(data))}: {compared.num_rows:,} rows{weighted}{gaps}{bad}",
        f"mean log density: A {compared.mean_a:.4f}, B {compared.mean_b:.4f} nats per row",
        verdict,
        f"clusters: {100 * compared.share_same:.1f} % of the rows are in the same one; adjusted Rand index "
        f"{compared.adjusted_rand:.3f} (1 for equal clusterings, about 0 for unrelated ones)",
        "The ± is one standard error. Rows that a mixture was fitted on speak for it, and more so the more components "
        "it has: judge by others.",
    ]
