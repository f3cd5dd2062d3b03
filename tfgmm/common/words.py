"""Names, numbers and counts as words in messages, tables and pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence

_MOST_QUOTED = 20  # names in a message


def printable(text: str) -> str:
    """Replaces control characters by "?": untrusted text must not steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def shown(text: str, longest: int = 200) -> str:
    """Shortens untrusted text to what an error message may show of it: one line, no control characters."""
    return printable(text[:longest])


def quoted(names: Sequence[str]) -> str:
    """Writes the first 20 names in quotes, and the number of further ones.

    Example:

    >>> quoted(["a", "b"]), quoted(["a"] * 23)[-14:]
    ("'a', 'b'", "'a' and 3 more")
    """
    more = f" and {len(names) - _MOST_QUOTED} more" if len(names) > _MOST_QUOTED else ""
    return (", ".join(repr(name) for name in names[:_MOST_QUOTED]) or "none") + more


def with_and(numbers: Sequence[int] | Sequence[str]) -> str:
    """Writes numbers or names with commas between them, and "and" before the last.

    Example:

    >>> with_and([1, 2, 3])
    '1, 2 and 3'
    """
    *first, last = (str(number) for number in numbers)
    return f"{', '.join(first)} and {last}" if first else last


def listed(words: Sequence[str], most: int = 6) -> str:
    """Writes the first words as `with_and` does, and the number of further ones.

    Example:

    >>> listed(["a", "b", "c"]), listed(["a", "b", "c", "d"], most=2)
    ('a, b and c', 'a, b and 2 more')
    """
    return with_and([*words[:most], *([f"{len(words) - most} more"] if len(words) > most else [])])


def counted(number: float, noun: str) -> str:
    """Writes a number of things, with the noun in singular or plural; one that is not whole with six digits.

    Example:

    >>> counted(1, "row"), counted(2500, "row")
    ('1 row', '2,500 rows')
    >>> counted(9983.49241271901, "row")
    '9,983.49 rows'
    """
    return f"{shown_count(number)} {noun}{'' if number == 1 else 's'}"


def shown_count(number: float) -> str:
    """Writes a number of things, or a sum of weights, which need not be whole: with six digits then."""
    return f"{int(number):,}" if number == int(number) else f"{number:,.6g}"


def shown_number(value: float, spread: float) -> str:
    """Writes `value` with as many digits as `spread` (a width in the same unit, above 0) makes meaningful.

    Example:

    >>> shown_number(80.00213, 0.003)
    '80.0021'
    """
    decimals = max(0, 1 - math.floor(math.log10(spread)))
    if decimals <= 6 and abs(value) < 1e7:
        return f"{value:.{decimals}f}"
    magnitude = math.floor(math.log10(max(abs(value), spread)))
    return f"{value:.{min(17, max(3, magnitude + decimals + 1))}g}"


def beside(value: float, limit: float, digits: int = 3) -> str:
    """Writes a number with so many digits that it stands on its own side of a limit: never "1.01 and at most 1.01".

    Args:
        value: The number.
        limit: The limit that it is compared with in the same sentence.
        digits: Significant digits at least.

    Example:

    >>> beside(1.0132, 1.01), beside(99.7, 100.0, digits=2), beside(2500.4, 100.0)
    ('1.013', '99.7', '2,500')
    """
    whole = math.floor(math.log10(abs(value))) + 1 if 1.0 <= abs(value) < 1e15 else 1
    for enough in range(max(digits, whole), 17):
        text = f"{value:.{enough}g}"
        if (float(text) > limit) == (value > limit) and (float(text) < limit) == (value < limit):
            break
    return text if "e" in text else f"{float(text):,}".removesuffix(".0")
