"""The pictures of a report, each drawn once: as text that a page holds within itself, and as a file beside the page."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from tfgmm import plot
from tfgmm.plot import kinds
from tfgmm.plot.letters import letters_for
from tfgmm.report.row_facts import row_weights

if TYPE_CHECKING:
    from tfgmm.data.survey import Survey
    from tfgmm.fit.selection import Selection
    from tfgmm.report.subject import FitRecord, Fitted

_MOST_SVG = 200_000  # bytes; a larger picture is smaller as PNG
_DOTS, _DOTS_WIDE = 175, 150  # of a PNG, per inch
_SIZE = 6.0  # inches
_EDGE = 0.08  # inches left white, as on a dark page a picture is a white sheet
_FLAT, _HIGH = (_SIZE, 3.4), (6.4, 4.6)


class Picture(NamedTuple):
    """A picture in a page.

    Args:
        source: "data:image/...", the whole picture.
        words: What it shows, for those who cannot see it.
        width, height: Pixels on a plain screen.
        is_wide: Whether it has many panels, so that a phone shows it larger than the screen and lets scroll.
    """

    source: str
    words: str
    width: int
    height: int
    is_wide: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Drawing:
    """A picture that is drawn, from which every form of it is saved, in the `kinds.plain_style` that it was drawn in.

    Args:
        figure: Figure that nothing is added to any more.
        words, is_wide: As in `Picture`.
    """

    figure: Figure
    words: str
    is_wide: bool = False

    def __post_init__(self) -> None:
        layout = self.figure.get_layout_engine()
        if isinstance(layout, ConstrainedLayoutEngine) and not self.is_wide:  # it would stand between panels too
            layout.set(w_pad=_EDGE, h_pad=_EDGE)

    @functools.cached_property
    def png(self) -> bytes:
        """The picture as a PNG file, for programs that show no SVG."""
        dots = _DOTS_WIDE if self.is_wide else _DOTS
        return self._saved("png", dpi=dots, metadata={"Software": None})

    @functools.cached_property
    def picture(self) -> Picture:
        """The picture as a page holds it: as an SVG, which stays sharp and has the browser's letters, or a smaller PNG.

        An image as a data URI runs nothing, whatever a column's name holds.
        """
        # The panels of a wide one hold too many dots for an SVG: no use to save it twice
        svg = b"" if self.is_wide else self._saved("svg", metadata={"Date": None, "Creator": None})
        is_svg = 0 < len(svg) <= _MOST_SVG
        text = base64.b64encode(svg if is_svg else self.png).decode("ascii")
        width, height = (round(96 * inches) for inches in self.figure.get_size_inches())
        source = f"data:image/{'svg+xml' if is_svg else 'png'};base64,{text}"
        return Picture(source, self.words, width, height, self.is_wide)

    def _saved(self, kind: str, **options: Any) -> bytes:
        written = io.BytesIO()
        with letters_for(kind, self.figure):
            self.figure.savefig(written, format=kind, facecolor="white", **options)
        self.figure.set_layout_engine("none")  # it is laid out by now: half of what saving it again would take
        return written.getvalue()


def drawings(
    fitted: Fitted, survey: Survey, selection: Selection | None = None
) -> Iterator[tuple[str, Callable[[], Drawing]]]:
    """Yields the name of every picture of a report, and what draws it inside `kinds.plain_style`.

    Args:
        fitted: The mixture.
        survey: Survey of the rows that are shown.
        selection: Choice that the mixture comes from, if any.
    """
    yield "density", lambda: density_drawing(fitted, survey)
    record = fitted.record
    if record is not None:
        yield "restarts", lambda: restarts_drawing(record)
        if not record.is_level:
            yield "sweeps", lambda: sweeps_drawing(record)
    if selection is not None:
        yield "num_components", lambda: num_components_drawing(selection)


def pictures_of(fitted: Fitted, survey: Survey, selection: Selection | None = None) -> dict[str, Picture]:
    """Draws the pictures of a page, by name; see `drawings`."""
    with kinds.plain_style():
        return {name: draw().picture for name, draw in drawings(fitted, survey, selection)}


def density_drawing(fitted: Fitted, survey: Survey) -> Drawing:
    """Draws the density: one column with its band, two with the components, more as a square of panels."""
    names = fitted.column_names
    num_columns = min(len(names), kinds.MOST_COLUMNS)
    weights = None if survey.weights is None else row_weights(survey)
    pictured = kinds.Pictured(
        fitted.mixture, fitted.picture_draws, survey.sample, names, _SIZE, weights, has_noise=fitted.has_noise
    )
    figure = kinds.KINDS[kinds.default_kind(num_columns)].draw(pictured, range(num_columns))
    rows, noise = f"{len(survey.sample):,} rows", f"; {kinds.NOISE_NOTE}" if fitted.has_noise else ""
    words = f"Density of the mixture over {', '.join(names[:num_columns])}, with {rows} and the components{noise}"
    return Drawing(figure, words, is_wide=num_columns > 2)


def restarts_drawing(record: FitRecord) -> Drawing:
    """Draws how the bound of each restart rose, and which optimum it reached."""
    figure, ax = _panel(_FLAT)
    plot.restarts(record.restarts, ax=ax)
    return Drawing(figure, f"Bounds of {len(record.restarts)} restarts, sweep by sweep, below the best")


def sweeps_drawing(record: FitRecord) -> Drawing:
    """Draws the loss of every sweep over all rows, and of validation rows where there were any."""
    figure, ax = _panel(_FLAT)
    plot.loss(record.history, ax=ax).set(xlabel="sweep over all rows", title="Loss by sweep")
    return Drawing(figure, f"Loss of {len(record.history['loss'])} sweeps over all rows")


def num_components_drawing(selection: Selection) -> Drawing:
    """Draws the criteria of every number of components that was tried, or the evidence of every shape."""
    figure, ax = _panel(_HIGH)
    plot.num_components(selection, ax=ax)
    words = "Evidence, held-out density, BIC and ICL of every number of components, in nats behind the best"
    if len(selection.shapes) > 1:
        words = (
            "Evidence of every covariance shape and number of components, in nats behind the best, with the fits that "
            "held-out rows, BIC and ICL choose"
        )
    return Drawing(figure, words)


def _panel(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """Makes a figure that no window shows, wherever a program runs, and its Axes."""
    figure = Figure(size, layout="constrained")
    return figure, figure.add_subplot()
