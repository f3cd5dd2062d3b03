"""Letters that a picture's font lacks: drawn in another font of the system, or written in letters that are there.

Without this, matplotlib draws a box for each of them.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
import unicodedata
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

from matplotlib import cbook, font_manager
from matplotlib.text import Text

# Boxes with a letter's number, fonts of formulas, and coloured pictures, which matplotlib cannot draw
_NOT_FOR_WORDS = ("Last Resort", "LastResort", "STIXSize", "STIXNonUnicode", "cmb", "cmex", "cmmi", "cmsy", "Emoji")
_MOST_SHOWN = 4  # letters in a warning

_text_stays_text = contextvars.ContextVar("text_stays_text", default=False)


@contextlib.contextmanager
def text_that_stays_text() -> Iterator[None]:
    """Leaves letters that no font has as they are, for SVG files whose text the browser draws."""
    token = _text_stays_text.set(True)
    try:
        yield
    finally:
        _text_stays_text.reset(token)


@contextlib.contextmanager
def letters_for(ending: str, figure: Any) -> Iterator[None]:
    """Writes letters that no font has in others, while the block saves a figure drawn in `text_that_stays_text`.

    Args:
        ending: Kind of file, "png", "pdf" or "svg"; in an SVG file text stays text.
        figure: The figure; afterwards it is as before.
    """
    texts = [] if ending == "svg" else [text for text in _texts([figure]) if missing_letters(text)]
    before = [(text, text.get_text()) for text in texts]
    for text in texts:
        text.set_text(_rewritten(text))
    try:
        yield
    finally:
        for text, words in before:
            text.set_text(words)


def missing_letters(text: Text) -> frozenset[str]:
    """Finds the letters of a text that none of its fonts has.

    Example:

    >>> sorted(missing_letters(Text(text="width μ")))
    []
    """
    words = text.get_text()
    if words.isascii() and words.isprintable():
        return frozenset()
    fonts = [_known(family, text) for family in text.get_fontfamily()]
    return frozenset(letter for letter in {*words} - {"\n"} if not any(ord(letter) in font for font in fonts))


def make_legible(places: Iterable[Any]) -> None:
    """Gives letters in Axes or figures that their font lacks a font that has them.

    Where no font of the system has them, they are written in others, with one warning.
    """
    lacking = {text: missing for text in _texts(places) if (missing := missing_letters(text))}
    if not lacking:
        return
    fonts = _fonts_with(frozenset().union(*lacking.values()), len(font_manager.fontManager.ttflist))
    for text in lacking:
        text.set_fontfamily([*text.get_fontfamily(), *fonts])
    if not _text_stays_text.get():
        _rewrite({text for text in lacking if missing_letters(text)})


def _rewrite(texts: set[Text]) -> None:
    """Writes texts in letters that their fonts have, and warns."""
    lost = sorted(frozenset().union(*map(missing_letters, texts)))
    for text in texts:
        text.set_text(_rewritten(text))
    if lost:
        more = f" and {len(lost) - _MOST_SHOWN} more" if len(lost) > _MOST_SHOWN else ""
        shown = ", ".join(
            f"{letter} ({_escaped(letter)})" if letter.isprintable() else _escaped(letter)
            for letter in lost[:_MOST_SHOWN]
        )
        warnings.warn(
            "Names in a picture should be in letters that a font of this system has. Received: others, which are "
            f"written plainly or as numbers: {shown}{more}. Install a font with them, for example Noto "
            "Sans CJK, and start Python anew.",
            UserWarning,
            stacklevel=4,
        )


def _texts(places: Iterable[Any]) -> list[Text]:
    return [text for place in places for text in place.findobj(Text)]


def _known(family: str, text: Text) -> frozenset[int]:
    """Lists the letters of the font that matplotlib takes for a family, in the weight and slant of a text."""
    properties = text.get_fontproperties().copy()
    properties.set_family(family)
    return _letters_of(font_manager.findfont(properties))


@functools.lru_cache(maxsize=1024)
def _letters_of(path: str) -> frozenset[int]:
    return frozenset(font_manager.get_font(path).get_charmap())


@functools.lru_cache(maxsize=64)
def _fonts_with(letters: frozenset[str], num_fonts: int) -> tuple[str, ...]:
    """Chooses families of the system, as few as needed, that together have all letters that any has.

    Args:
        letters: Letters that are needed.
        num_fonts: Number of fonts that matplotlib knows: with others, the choice is made anew.
    """
    del num_fonts
    fonts = {font.name: font.fname for font in reversed(font_manager.fontManager.ttflist) if _is_plain(font)}
    left, chosen = {ord(letter) for letter in letters}, []
    while left:
        best = max(fonts, key=lambda name: (len(left & _letters_of(fonts[name])), "Sans" in name, name), default="")
        found = left & _letters_of(fonts[best]) if best else set()
        if not found:
            break
        chosen.append(best)
        left -= found
    return tuple(chosen)


def _is_plain(font: Any) -> bool:
    is_upright = font.style == "normal" and font.weight in (400, "normal", "regular", "book")
    return is_upright and not any(word in font.name for word in _NOT_FOR_WORDS)


def _rewritten(text: Text) -> str:
    missing = missing_letters(text)
    is_formula = text.get_parse_math() and cbook.is_math_text(text.get_text())
    known = frozenset().union(*(_known(family, text) for family in text.get_fontfamily()))
    return "".join(_instead(letter, known, is_formula) if letter in missing else letter for letter in text.get_text())


def _instead(letter: str, known: frozenset[int], is_formula: bool) -> str:
    """Writes a letter in those that are there: the plain form of a variant, otherwise its number."""
    plain = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    if plain and plain != letter and all(ord(part) in known for part in plain):
        return plain
    return f" U+{ord(letter):04X} " if is_formula else _escaped(letter)


def _escaped(letter: str) -> str:
    return letter.encode("unicode_escape").decode("ascii")
