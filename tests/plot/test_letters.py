"""Letters that the default font lacks are drawn in a font that has them, or written in others with a word."""

from __future__ import annotations

import pathlib
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib.figure import Figure
from pictures import NORMAL, rows_of

from tfgmm import Draws, plot
from tfgmm.plot.kinds import plain_style
from tfgmm.plot.letters import letters_for, missing_letters

pytestmark = pytest.mark.usefixtures("no_figures_left")

AGE, WEIGHT = "年龄", "体重"
ONE = Draws(np.ones((1, 1, 1)), NORMAL.mean[None, None, None], np.array([[[[0.5, 4.0]]]]))


def write_font(path: pathlib.Path, name: str, letters: str) -> None:
    """Writes a font that has these letters, as squares, and no others."""
    pen = TTGlyphPen(None)
    for move, point in (("moveTo", (0, 0)), ("lineTo", (0, 700)), ("lineTo", (700, 700)), ("lineTo", (700, 0))):
        getattr(pen, move)(point)
    pen.closePath()
    square, glyphs = pen.glyph(), [".notdef", *(f"uni{ord(letter):04X}" for letter in letters)]
    font = FontBuilder(1000)
    font.setupGlyphOrder(glyphs)
    font.setupCharacterMap({ord(letter): glyph for letter, glyph in zip(letters, glyphs[1:], strict=True)})
    font.setupGlyf(dict.fromkeys(glyphs, square))
    font.setupHorizontalMetrics(dict.fromkeys(glyphs, (750, 0)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2(usWeightClass=400)
    font.setupPost()
    font.save(path)


@pytest.fixture
def no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system with matplotlib's own fonts alone, whatever this one has."""
    own = [font for font in font_manager.fontManager.ttflist if "mpl-data" in font.fname]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


@pytest.fixture
def with_font(no_fonts: None, tmp_path: pathlib.Path) -> None:
    """A system with one font more, which has our letters."""
    write_font(tmp_path / "ours.ttf", "Ours", AGE + WEIGHT)
    font_manager.fontManager.addfont(tmp_path / "ours.ttf")


def draw_without_a_word(figure: Figure) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.canvas.draw()


@pytest.mark.usefixtures("with_font")
def test_a_font_of_the_system_that_has_them_is_taken() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plot.components(ONE, column_names=(AGE, WEIGHT))
    assert (ax.get_xlabel(), ax.get_ylabel()) == (AGE, WEIGHT)
    assert ax.xaxis.label.get_fontfamily() == [*plt.rcParams["font.family"], "Ours"]
    assert not missing_letters(ax.xaxis.label)
    draw_without_a_word(ax.figure)


@pytest.mark.usefixtures("no_fonts")
def test_without_such_a_font_they_are_written_in_others_with_one_warning() -> None:
    with pytest.warns(UserWarning, match=r"font of this system.*Received: .*年 \(\\u5e74\).*Noto Sans CJK") as warned:
        ax = plot.components(ONE, column_names=(AGE, WEIGHT))
    assert len(warned) == 1 and warned[0].filename == __file__
    assert (ax.get_xlabel(), ax.get_ylabel()) == (r"\u5e74\u9f84", r"\u4f53\u91cd")
    draw_without_a_word(ax.figure)


@pytest.mark.usefixtures("no_fonts")
def test_variants_of_letters_are_written_plainly() -> None:
    with pytest.warns(UserWarning, match=r"Ａ \(\\uff21\)\. Install"):
        ax = plot.components(ONE, column_names=("Ａ width", "height"))
    assert ax.get_xlabel() == "A width"


@pytest.mark.usefixtures("no_fonts")
def test_formulas_stay_formulas() -> None:
    with pytest.warns(UserWarning, match="font of this system"):
        ax = plot.components(ONE, column_names=("$x^2$ 年", "height"))
    assert ax.get_xlabel() == "$x^2$  U+5E74 "
    draw_without_a_word(ax.figure)


@pytest.mark.parametrize("name", ["width", "Größe μ ≤ ½", "ширина", "price (\\$)", "two\nlines"])
def test_nothing_is_said_or_changed_where_the_font_has_all_letters(name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ax = plot.components(ONE, column_names=(name, "height"))
    assert ax.get_xlabel() == name and ax.xaxis.label.get_fontfamily() == plt.rcParams["font.family"]


@pytest.mark.usefixtures("no_fonts")
@pytest.mark.parametrize("kind", ["column", "posterior", "pairs", "responsibilities"])
def test_every_picture_does_so(kind: str) -> None:
    draw = {
        "column": lambda: plot.column_density(ONE, rows_of(20), column_name=AGE),
        "posterior": lambda: plot.posterior(np.arange(9.0), label=AGE),
        "pairs": lambda: plot.pairs(ONE, rows_of(20), column_names=(AGE, WEIGHT), num_points=10)[0, 0],
        "responsibilities": lambda: plot.responsibilities(rows_of(9), np.full((9, 2), 0.5), column_names=(AGE, WEIGHT)),
    }[kind]
    with pytest.warns(UserWarning, match="font of this system"):
        figure = draw().figure
    draw_without_a_word(figure)


@pytest.mark.usefixtures("no_fonts")
def test_text_of_other_axes_of_the_figure_is_left_alone() -> None:
    figure, (mine, theirs) = plt.subplots(1, 2)
    theirs.set_xlabel(WEIGHT)
    with pytest.warns(UserWarning, match="font of this system"):
        plot.components(ONE, column_names=(AGE, "height"), ax=mine)
    assert theirs.get_xlabel() == WEIGHT and mine.get_xlabel() != AGE


@pytest.mark.usefixtures("no_fonts")
def test_files_whose_text_the_browser_draws_keep_it_and_others_do_not(tmp_path: pathlib.Path) -> None:
    with plain_style():
        ax = plot.components(ONE, column_names=(AGE, "height"))
        for ending in ("svg", "png"):
            with letters_for(ending, ax.figure):
                during = ax.get_xlabel()
                ax.figure.savefig(tmp_path / f"x.{ending}")
            assert during == (AGE if ending == "svg" else r"\u5e74\u9f84") and ax.get_xlabel() == AGE
    assert AGE in (tmp_path / "x.svg").read_text(encoding="utf-8")
