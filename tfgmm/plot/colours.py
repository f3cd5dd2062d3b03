"""The colours of all pictures: one per component, with a line style and a marker; and one colormap for densities."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

INK = "#1a1a1a"

# Okabe and Ito's colour-blind safe set, with two changes for a white page: grey for black, which has no darker shade
# to cycle to, and wine red (from Paul Tol's set) for yellow, which is too pale for thin lines.
_BASE_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#737373", "#882255")

# From paper to mid teal: the lightness L* falls in equal steps, so that the order survives printing in grey, and it
# stops half way, so that dark rows and contour lines stay legible on the peaks.
_DENSITY_STOPS = ("#F9FCFB", "#D3EEE3", "#AADCD1", "#7ECAC5", "#57B4BD", "#3F9CB1", "#36819F")
DENSITY_COLORMAP = LinearSegmentedColormap.from_list("tfgmm_density", _DENSITY_STOPS)

# Beside the colour, so that a picture can be read in grey as well
_LONG_DASHES: tuple[Any, ...] = ((0, (6, 1.5, 1, 1.5, 1, 1.5)), (0, (8, 3)), (0, (3, 1)), (0, (1, 3)))
LINE_STYLES: tuple[Any, ...] = ("-", "--", "-.", ":", *_LONG_DASHES)
MARKERS = "osD^v<>P"


def component_colours(num_components: int) -> list[str]:
    """Chooses one colour per component; component k has the same colour in every picture, whatever K is.

    The first eight are told apart with any common colour blindness. The next eight are the same hues darker, then
    eight lighter; from the 25th on they repeat, so print the number beside the mark.

    Args:
        num_components: K, at least 1.

    Returns:
        K strings such as "#0072b2".

    Raises:
        ValueError: `num_components` is not a whole number above 0.

    Example:

    >>> component_colours(2)
    ['#0072b2', '#d55e00']
    """
    if not isinstance(num_components, (int, np.integer)) or num_components < 1:
        raise ValueError(
            f"`num_components` must be a whole number of at least 1. Received: {num_components!r}. "
            "Pass the number of components of the model."
        )
    return [_component_colour(k) for k in range(num_components)]


def component_style(k: int) -> dict[str, Any]:
    """Chooses colour and line style of component k's lines, as keywords for `ax.plot`."""
    return {"color": _component_colour(k), "linestyle": LINE_STYLES[k % len(LINE_STYLES)]}


def component_marker(k: int) -> str:
    """Chooses the form of component k's markers."""
    return MARKERS[k % len(MARKERS)]


def mix(colour: str, other: str, share: float) -> str:
    """Mixes `share` (0 to 1) of `other` into `colour`; gives a string such as "#0072b2"."""
    red, green, blue = (1 - share) * np.array(to_rgb(colour)) + share * np.array(to_rgb(other))
    return to_hex((red, green, blue))


def _component_colour(k: int) -> str:
    base = _BASE_COLOURS[k % len(_BASE_COLOURS)]
    cycle = (k // len(_BASE_COLOURS)) % 3
    return mix(base, ("black", "black", "white")[cycle], (0.0, 0.45, 0.5)[cycle])
