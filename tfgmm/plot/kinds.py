"""The pictures of a whole mixture, by name: those of `tfgmm plot`, of the page of a fit and of the folder of a run."""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tfgmm import plot
from tfgmm.plot.frames import add_caption, equal_ratio
from tfgmm.plot.letters import text_that_stays_text
from tfgmm.plot.mixtures import frame_about, marginal, mean_log_density
from tfgmm.posterior.draws import Draws

MOST_COLUMNS = 5  # of a square of panels
NOISE_NOTE = "the density is that of values without measurement noise"
PREDICTED_NOTE = "predicted values have no measurement noise, those of the rows have"

_HEIGHT, _LOWEST, _HIGHEST = 0.73, 0.4, 1.0  # of a figure of a single panel, over its width
_KEYS, _TITLES = 1.8, 1.2  # inches beside the panel of a density, and above and below it
_NOTE = 0.2  # inches, of one more line of small print
_PANEL, _BESIDE = 1.9, 0.6  # inches
_LONGEST = 40  # characters of a column's name


@dataclasses.dataclass(frozen=True, eq=False)
class Pictured:
    """A mixture with the rows that are shown with it.

    Args:
        mixture: A `GaussianMixtureModel` or a `Scorer`: what densities and memberships are asked of.
        draws: Gives draws from its posterior; called by pictures that show how sure it is.
        rows: (n, D), data units, NaN for gaps; None for none.
        names: D names of the columns.
        width: Width of a picture of one panel, inches.
        weights: (n,) how often each row counts where rows are counted; None for once.
        noise: Measurement noise of the rows, as memberships take it; None for none.
        has_noise: Whether the mixture is that of values without their measurement noise: pictures of densities say so.
    """

    mixture: Any
    draws: Callable[[], Draws]
    rows: np.ndarray | None
    names: Sequence[str]
    width: float = 7.0
    weights: np.ndarray | None = None
    noise: np.ndarray | None = None
    has_noise: bool = False

    @property
    def labels(self) -> list[str]:
        """D names as a picture can show them."""
        return [label(name) for name in self.names]

    def panel(self, height: float = _HEIGHT) -> tuple[Figure, Any]:
        """Makes a figure that no window shows, wherever a program runs, and its Axes; `height` is over the width."""
        figure = Figure((self.width, height * self.width), layout="constrained")
        return figure, figure.add_subplot()

    def values_of(self, columns: list[int]) -> np.ndarray | None:
        """Gives the rows in some columns; None where there are no values in them."""
        rows = None if self.rows is None else self.rows[:, columns]
        return None if rows is None or np.isnan(rows).all() else rows

    def needed_rows(self) -> np.ndarray:
        """Gives the rows of a picture that shows nothing without them.

        Raises:
            ValueError: There are none.
        """
        if self.rows is None:
            raise ValueError("`rows` must be given: this picture is about rows. Received: None. Pass rows.")
        return self.rows

    def add_note(self, ax: Axes, words: str = NOISE_NOTE) -> None:
        """Writes above a picture what its values are, where the rows beside it have noise."""
        if self.has_noise:
            add_caption(ax, words)


class Kind(NamedTuple):
    """A kind of picture: what draws it of some columns, how many it takes, whether it needs rows, what it shows."""

    draw: Callable[[Pictured, Sequence[int]], Figure]
    fewest: int
    most: int
    needs_rows: bool
    words: str


def density(pictured: Pictured, columns: Sequence[int]) -> Figure:
    """Draws the density of two columns, whatever the others are, with its components and the rows."""
    index, mean = list(columns), pictured.mixture.mean_parameters()
    rows = pictured.values_of(index)
    limits = frame_about(marginal(mean, index), rows)
    labels = [pictured.labels[column] for column in index]
    figure, ax = pictured.panel(_height_of(limits, pictured.width, _TITLES + _NOTE * pictured.has_noise))
    # Two of several columns are left to NumPy, where `marginal_log_prob` would load TensorFlow
    is_whole = index == list(range(mean.num_features))
    log_density = pictured.mixture.log_prob if is_whole else mean_log_density(marginal(mean, index))
    plot.density(log_density, rows, limits=limits, column_names=labels, ax=ax)
    plot.components(mean, columns=index, ax=ax)
    pictured.add_note(ax)
    return figure


def _height_of(limits: np.ndarray, width: float, titles: float = _TITLES) -> float:
    """Computes the height over the width of a figure in which a panel of equal units leaves no gap above and below."""
    ratio = equal_ratio(limits)
    if ratio is None:
        return _HEIGHT
    return float(np.clip(((width - _KEYS) / ratio + titles) / width, _LOWEST, _HIGHEST))


def column(pictured: Pictured, columns: Sequence[int]) -> Figure:
    """Draws the density of one column with the band in which it lies, its components, and the rows as bars."""
    figure, ax = pictured.panel()
    [index] = columns
    options: dict[str, Any] = {"column_name": pictured.labels[index], "sample_weight": pictured.weights}
    plot.column_density(pictured.draws(), pictured.rows, column=index, **options, ax=ax)
    pictured.add_note(ax)
    return figure


def pairs(pictured: Pictured, columns: Sequence[int]) -> Figure:
    """Draws a triangle of panels: the density of each column, and of each pair of them."""
    size = _PANEL * len(columns) + _BESIDE
    figure = Figure((size, size), layout="constrained")
    panels = figure.subplots(len(columns), len(columns), squeeze=False)
    mean = pictured.mixture.mean_parameters()
    options: dict[str, Any] = {"column_names": pictured.labels, "sample_weight": pictured.weights}
    plot.pairs(mean, pictured.rows, columns=list(columns), **options, ax=panels)
    if pictured.has_noise:
        figure.suptitle(NOISE_NOTE, fontsize="small")
    return figure


def responsibilities(pictured: Pictured, columns: Sequence[int]) -> Figure:
    """Draws the rows over two columns in the colours of their most probable components, paler where unsure."""
    rows, (first, second) = pictured.needed_rows(), columns
    figure, ax = pictured.panel()
    names = [pictured.labels[first], pictured.labels[second]]
    noise = {} if pictured.noise is None else {"noise": pictured.noise}
    shares = pictured.mixture.responsibilities(rows, **noise)
    plot.responsibilities(rows, shares, columns=(first, second), column_names=names, ax=ax)
    return figure


def check(pictured: Pictured, columns: Sequence[int]) -> Figure:
    """Draws the rows of one column beside those that the mixture predicts: where bars leave the band it misfits."""
    figure, ax = pictured.panel()
    [index] = columns
    options: dict[str, Any] = {"column_name": pictured.labels[index], "sample_weight": pictured.weights}
    plot.predictive_check(pictured.needed_rows(), pictured.draws(), column=index, **options, ax=ax)
    pictured.add_note(ax, PREDICTED_NOTE)
    return figure


KINDS: Mapping[str, Kind] = {
    "density": Kind(density, 2, 2, False, "density of"),
    "column": Kind(column, 1, 1, False, "density of"),
    "pairs": Kind(pairs, 2, 10, False, "densities and pairs of"),
    "responsibilities": Kind(responsibilities, 2, 2, True, "components of rows over"),
    "check": Kind(check, 1, 1, True, "rows and predicted rows of"),
}


def default_kind(num_columns: int) -> str:
    """Chooses the kind that shows the density of a number of columns.

    Example:

    >>> [default_kind(number) for number in (1, 2, 3)]
    ['column', 'density', 'pairs']
    """
    return {1: "column", 2: "density"}.get(num_columns, "pairs")


def label(name: str) -> str:
    """Writes a column's name as a picture can show it: not too long, and no formula.

    Example:

    >>> print(label("price ($)"))
    price (\\$)
    """
    short = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    return short.replace("$", r"\$")


@contextlib.contextmanager
def plain_style() -> Iterator[None]:
    """Draws in matplotlib's own style, whatever the user's is: on white paper, with text that stays text."""
    with matplotlib.rc_context(), text_that_stays_text(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        # The browser has the letters that matplotlib's font has not; equal fits give equal bytes
        matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "tfgmm"})
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        yield
