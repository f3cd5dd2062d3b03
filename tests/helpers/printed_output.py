"""What pages show beside what their code and commands print."""

from __future__ import annotations

import re

NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


# Of float32, seven digits are all there is, and another machine rounds the last one in another way
_RELATIVE = 1e-6


def assert_shows(shown: str, printed: str) -> None:
    """Passes where words are equal, and numbers but for one of their last digit, or of the seventh where more stand."""
    words, numbers = NUMBER.sub("#", printed).split(), NUMBER.findall(printed)
    assert NUMBER.sub("#", shown).split() == words, shown
    for number, expected in zip(NUMBER.findall(shown), numbers, strict=True):
        last_digit = 1.01 * 10.0 ** -len(expected.partition(".")[2])
        tolerance = max(last_digit, _RELATIVE * abs(float(expected)))
        assert abs(float(number) - float(expected)) < tolerance, f"{number} in\n{shown}\nand {expected} in\n{printed}"
