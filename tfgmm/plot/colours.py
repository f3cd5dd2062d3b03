"""The colours of all pictures: one per component, with a line style and a marker; and one colormap for densities."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from matplotlib.colors import LinearSegmentedColormap, to_hex, to_rgb

from tfgmm.common.checks import check_count

INK = "#1a1a1a"  # on the colours of a density, whatever the theme
OWN = "tfgmm"  # the palette of this file, by name

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


def component_colours(num_components: int, palette: Any = None) -> list[str]:
    """Chooses one colour per component; component k has the same colour in every picture, whatever K is.

    Without a palette they are the colours that `seaborn.set_palette`, `seaborn.set_theme` or a style of matplotlib has
    set, else eight that are told apart with any common colour blindness. More components get the same hues
    darker, then lighter; then they repeat, so print the number beside the mark.

    Args:
        num_components: K, at least 1.
        palette: What `seaborn.color_palette` takes, a name or a list of colours; "tfgmm" is the eight, whatever is set.

    Returns:
        K strings such as "#0072b2".

    Raises:
        ValueError: `num_components` is not a whole number above 0; a palette that seaborn does not know.

    Example:

    >>> component_colours(2)
    ['#0072b2', '#d55e00']
    """
    with palette_in_force(palette):
        return [_component_colour(k) for k in range(check_count("num_components", num_components))]


def palette_in_force(palette: Any) -> contextlib.AbstractContextManager[Any]:
    """Makes `palette` that of the pictures drawn in a block; None leaves the one that is set."""
    if palette is None:
        return contextlib.nullcontext()
    colours = _BASE_COLOURS if isinstance(palette, str) and palette == OWN else _colours_of(palette)
    return matplotlib.rc_context({"axes.prop_cycle": cycler(color=colours)})


def ink() -> str:
    """Gives the colour of lines and marks of no component: that of the theme's text."""
    text = matplotlib.rcParams["text.color"]
    return INK if text == "black" else to_hex(text)


def paper() -> str:
    """Gives the colour of the theme's background."""
    return to_hex(matplotlib.rcParams["axes.facecolor"])


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
    base = _base_colours()
    cycle = (k // len(base)) % 3
    return mix(base[k % len(base)], ("black", "black", "white")[cycle], (0.0, 0.45, 0.5)[cycle])


def _base_colours() -> Sequence[str]:
    chosen = matplotlib.rcParams["axes.prop_cycle"]
    is_chosen = chosen != matplotlib.rcParamsDefault["axes.prop_cycle"]
    return chosen.by_key().get("color", _BASE_COLOURS) if is_chosen else _BASE_COLOURS


def _colours_of(palette: Any) -> Sequence[Any]:
    import seaborn  # a second to import: only when it is used

    try:
        return [to_hex(colour) for colour in seaborn.color_palette(palette)]
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"`palette` must be a palette that seaborn knows. Received: {palette!r}. Pass for example "
            '"colorblind", a list of colours, or "tfgmm".'
        ) from error
