"""What a report says of its rows: how many there are, what they carry, and for how many each of them stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tfgmm.common.words import counted, printable
from tfgmm.data.row_words import sentences_on_gaps, sentences_on_noise, sentences_on_weights

if TYPE_CHECKING:
    from tfgmm.data.summary import DataSummary
    from tfgmm.data.survey import Survey

_ABOUT_GAPS = (
    "A row with gaps counts by the values that it has: nothing was filled in. That is right where a value is missing "
    "whatever it would have been, once those that are there are known (missing at random); it is wrong where, say, "
    "large values are left out for being large."
)
_ABOUT_WEIGHTS = "A row of weight 2 counts as two rows: numbers and shares of rows on this page are sums of weights."
_ABOUT_NOISE = (
    "Each row was measured with an error of known size. The density, the components and their widths are those of "
    "values without it; the rows themselves scatter more widely."
)


def row_weights(survey: Survey) -> np.ndarray:
    """Computes for how many rows each of the survey's sample counts, (n,) float64.

    They sum to N where the sample is all rows, else to n: of a sample it is the shares that are known.

    Example:

    >>> from tfgmm.data.survey import Survey
    >>> from tfgmm.data.summary import DataSummary
    >>> summary = DataSummary(6, 1, (0.0,), (1.0,), num_rows=2)
    >>> row_weights(Survey(summary, np.zeros((2, 1)), np.array([2.0, 4.0]))).tolist()
    [2.0, 4.0]
    """
    number = len(survey.sample)
    if survey.weights is None:
        return np.ones(number)
    return survey.weights * (number / survey.weights.sum()) if survey.is_sample else survey.weights


def amount(rows: float) -> str:
    """Writes a number of rows, which weights may make a fraction.

    Example:

    >>> amount(1234), amount(1234.0), amount(1234.56), amount(0.1 + 0.2)
    ('1,234', '1,234', '1,234.6', '0.3')
    """
    rounded = round(float(rows), 1)
    return f"{rounded:,.0f}" if rounded == round(rounded) else f"{rounded:,.1f}"


def lead(summary: DataSummary) -> str:
    """Writes how many rows there are, for the first line of a page.

    Example:

    >>> from tfgmm.data.summary import DataSummary
    >>> lead(DataSummary(153, 1, (0.0,), (1.0,), num_incomplete=42))
    '153 rows, 42 of them with gaps'
    """
    words = rows_and_sum(summary.num_data, summary)
    return f"{words}, {summary.num_incomplete:,} of them with gaps" if summary.num_incomplete else words


def rows_and_sum(num_data: float, summary: DataSummary | None) -> str:
    """Writes how many rows there are, and for how many they count where they have weights."""
    number = "1 row" if num_data == 1 else f"{amount(num_data)} rows"
    if summary is None or summary.weights_name is None:
        return number
    counts = "counts" if summary.num_rows == 1 else "count"
    return f"{counted(summary.num_rows or int(num_data), 'row')} that {counts} as {amount(num_data)}"


def pairs(summary: DataSummary | None) -> list[tuple[str, str]]:
    """Says what the rows of a fit carried, as pairs of a word and what it is; none for plain rows."""
    if summary is None:
        return []
    found = []
    if summary.gap_columns:
        gaps, total = sum(summary.gaps), (summary.num_rows or int(summary.num_data)) * summary.num_features
        words = f"{gaps:,} of {total:,} ({100.0 * gaps / total:.2g} %): rows count by the values that they have"
        found.append(("Missing values", words))
    if summary.weights_name is not None:
        where = f"column {summary.weights_name!r}" if summary.weights_name else "given with the rows"
        found.append(("Weights of the rows", printable(f"{where}, with the sum {amount(summary.num_data)}")))
    if summary.noise_columns:
        found.append(("Measurement noise", "of each row, taken off"))
    return found


def notes(summary: DataSummary) -> list[str]:
    """Writes what rows carry, and how it was treated, a paragraph for each of gaps, weights and noise that there is."""
    parts = (
        (sentences_on_gaps(summary), _ABOUT_GAPS, bool(summary.gap_columns)),
        (sentences_on_weights(summary), _ABOUT_WEIGHTS, summary.weights_name is not None),
        (sentences_on_noise(summary), _ABOUT_NOISE, bool(summary.noise_columns)),
    )
    paragraphs = []
    for sentences, about, is_true in parts:
        whole = [f"{sentence[:1].upper()}{sentence[1:]}." for sentence in sentences]
        paragraphs.append(printable(" ".join([*whole, about] if is_true else whole)))
    return [paragraph for paragraph in paragraphs if paragraph]


def notes_on_memberships(survey: Survey) -> list[str]:
    """Writes how rows with gaps, weights and noise are counted among the components, in whole sentences."""
    found = []
    if survey.is_sample:
        rows = survey.summary.num_rows or survey.summary.num_data
        chosen = "at random" if survey.weights is None else "at random by their weights"
        found.append(f"From {len(survey.sample):,} of the {amount(rows)} rows, chosen {chosen}.")
    if survey.weights is not None:
        found.append("Rows count by their weights.")
    if survey.summary.num_incomplete:
        found.append("A row with gaps is judged by the values that it has.")
    if survey.noise is not None:
        found.append("The noise of each row is allowed for.")
    return found
