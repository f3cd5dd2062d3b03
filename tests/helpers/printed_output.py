"""What pages show beside what their code and commands print."""

from __future__ import annotations

import re

NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


def assert_shows(shown: str, printed: str) -> None:
    """Passes where words are equal, and numbers but for one of their last digit: float32 may round it elsewhere."""
    words, numbers = NUMBER.sub("#", printed).split(), NUMBER.findall(printed)
    assert NUMBER.sub("#", shown).split() == words, shown
    for found, told in zip(NUMBER.findall(shown), numbers, strict=True):
        last_digit = 10.0 ** -len(told.partition(".")[2])
        assert abs(float(found) - float(told)) < 1.01 * last_digit, f"{found} in\n{shown}\nand {told} in\n{printed}"
