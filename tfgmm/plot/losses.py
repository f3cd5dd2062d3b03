"""The pictures of a fit on its way: bounds of restarts, losses by epoch or by step, norms of gradients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from tfgmm.common.words import shown_number
from tfgmm.plot.colours import component_colours, component_style, ink
from tfgmm.plot.frames import add_caption, axes_or_new, check_finite
from tfgmm.plot.pictures import picture

_SIZE = (6.0, 3.6)
_SAME = 0.1  # nats: bounds closer than this are one optimum
_LOWEST = 1e-3  # nats
_MOVES = "components moved"
_NAMES = {"loss": "training", "val_loss": "validation"}


@picture
def loss(history: Any, *, ax: Axes | None = None, burn_in: int | None = None) -> Axes:
    """Draws the loss of every epoch, and that of the validation rows where there are any; returns the Axes.

    The first epochs can be a hundred times higher and would press the rest flat. They are drawn too, but the frame
    need not reach up to them; a line above it then says how many are higher and where the
    loss began. The y axis is never bent.

    Args:
        history: What `model.fit` returns (a Keras History), or a mapping with "loss" and perhaps "val_loss", each
            (T,) for T epochs, nats per row.
        ax: Axes to draw on; None makes a new figure.
        burn_in: Number of first epochs that need not fit into the frame, 0 to T - 1. None: as few as make the frame
            1,000 times lower, else 100, else 10, if a tenth of all epochs is enough for it; else 0.

    Returns:
        The matplotlib Axes. Epochs are counted from 1, as Keras prints them.

    Raises:
        TypeError: `history` is neither.
        ValueError: No "loss"; an empty one; NaN or infinite losses; `burn_in` out of range.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = loss({"loss": [3.2, 2.5, 2.4], "val_loss": [3.3, 2.6, 2.5]})
    >>> ax.get_ylabel()
    'loss (nats per row)'
    >>> plt.close(ax.figure)
    """
    series = _series(history)
    num_epochs = len(series["loss"])
    first_shown = _burn_in(series["loss"]) if burn_in is None else _check_burn_in(burn_in, num_epochs)
    started = np.asarray(getattr(history, "epoch", ()) or range(num_epochs))
    epochs = 1 + (started if started.shape == (num_epochs,) else np.arange(num_epochs))
    ax = axes_or_new(ax)
    look: dict[str, Any] = {"marker": "o" if num_epochs <= 25 else "", "markersize": 3}
    for number, (name, values) in enumerate(series.items()):
        ax.plot(epochs, values, label=_NAMES[name], **look, **component_style(number, len(series)))
    _set_height(ax, np.concatenate([values[first_shown:] for values in series.values()]))
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="epoch", ylabel="loss (nats per row)", title="Loss by epoch")
    _write_hidden(ax, series["loss"])
    if len(series) > 1:
        ax.legend(loc="upper right", fontsize="small")
    return ax


@picture
def convergence(losses: ArrayLike, *, ax: Axes | None = None) -> Axes:
    """Draws the loss of every step on a logarithmic axis; returns the Axes.

    Losses that are not all positive have no logarithm: then the axis is an even one, and a line above says so.

    Args:
        losses: Losses of T steps, (T,), nats.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: No losses; a wrong shape; NaN or infinite ones.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = convergence([30.0, 21.0, 20.0])
    >>> ax.get_yscale()
    'log'
    >>> plt.close(ax.figure)
    """
    values = check_finite("losses", losses, "T", fix="Pass the loss of every step, e.g. fit.losses.")
    ax = axes_or_new(ax)
    ax.plot(1 + np.arange(len(values)), values, color=component_colours(1)[0])
    ax.set(xlabel="step", ylabel="loss (nats)", title="Loss by step")
    if (values > 0).all():
        _set_log_scale(ax)
    else:
        add_caption(ax, "even axis: some losses are not positive")
    return ax


@picture
def gradient_norms(norms: Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Axes:
    """Draws the norm of every parameter's gradient at every step, on a logarithmic axis; returns the Axes.

    Args:
        norms: Norms of T steps, (T,), by parameter; zeros are left out.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        TypeError: Not a mapping.
        ValueError: Nothing in it; a wrong shape; NaN, infinite or negative norms.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = gradient_norms({"locs": [2.0, 0.5], "scale": [1.0, 0.1]})
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['locs', 'scale']
    >>> plt.close(ax.figure)
    """
    fix = 'Pass one line per parameter, e.g. fit.gradient_norms or {"locs": [2.0, 0.5]}.'
    if not isinstance(norms, Mapping):
        raise TypeError(f"`norms` must be a mapping from names to norms. Received: {type(norms).__name__}. {fix}")
    if not norms:
        raise ValueError(f"`norms` must not be empty. Received: no parameter. {fix}")
    lines = {name: check_finite(f"norms[{name!r}]", values, "T", fix=fix) for name, values in norms.items()}
    if any((values < 0).any() for values in lines.values()):
        raise ValueError(f"`norms` must not be negative. Received: one below 0. {fix}")
    ax = axes_or_new(ax)
    for number, (name, values) in enumerate(lines.items()):
        positive = np.where(values > 0, values, np.nan)  # no logarithm
        ax.plot(1 + np.arange(len(values)), positive, label=name, **component_style(number, len(lines)))
    ax.set(xlabel="step", ylabel="norm of the gradient", title="Gradient norms by step")
    if any((values > 0).any() for values in lines.values()):
        _set_log_scale(ax)
    ax.legend(loc="best", fontsize="small")
    return ax


def _series(history: Any) -> dict[str, NDArray[np.float64]]:
    """Extracts "loss" and, where there is one, "val_loss": (T,) each."""
    logs = getattr(history, "history", history)
    fix = 'Pass what `model.fit` returned, or a mapping such as {"loss": [3.2, 2.5]}.'
    if not isinstance(logs, Mapping):
        raise TypeError(f"`history` must be a Keras History or a mapping. Received: {type(history).__name__}. {fix}")
    if "loss" not in logs:
        raise ValueError(f'`history` must have an entry "loss". Received: entries {sorted(logs)}. {fix}')
    training = check_finite('history["loss"]', logs["loss"], "T", fix=fix)
    if not len(logs.get("val_loss", ())):
        return {"loss": training}
    same_length = 'Validate after every epoch, or leave "val_loss" out.'
    validation = check_finite('history["val_loss"]', logs["val_loss"], "T", fix=same_length, T=len(training))
    return {"loss": training, "val_loss": validation}


def _burn_in(values: NDArray[np.float64]) -> int:
    """Chooses how many first epochs of (T,) to leave above the frame: at most T / 10, and only if it helps much."""
    gaps = values - values.min()
    for share in (0.001, 0.01, 0.1):
        high = np.flatnonzero(gaps > share * gaps.max())
        num_hidden = int(high[-1]) + 1 if high.size else 0
        if num_hidden <= len(values) // 10:
            return num_hidden
    return 0


def _check_burn_in(burn_in: int, num_epochs: int) -> int:
    if not isinstance(burn_in, (int, np.integer)) or not 0 <= burn_in < num_epochs:
        raise ValueError(
            f"`burn_in` must be a whole number from 0 to {num_epochs - 1}, for {num_epochs} epochs. "
            f"Received: {burn_in!r}. Leave it out to have it chosen."
        )
    return int(burn_in)


def _set_height(ax: Axes, losses: NDArray[np.float64]) -> None:
    """Sets the y limits so that the `losses` fit, with a little air."""
    low, high = float(losses.min()), float(losses.max())
    air = 0.06 * (high - low) if high > low else max(1e-3, 0.01 * abs(high))
    ax.set_ylim(low - air, high + air)


def _write_hidden(ax: Axes, values: NDArray[np.float64]) -> None:
    """Writes how many training losses are above the frame, if any, and where the loss began."""
    low, high = ax.get_ylim()
    num_hidden = int((values > high).sum())
    if not num_hidden:
        return
    epochs = "1 epoch is" if num_hidden == 1 else f"{num_hidden} epochs are"
    add_caption(ax, f"{epochs} above this frame (the first: {shown_number(values[0], 10 * (high - low))})")


def _set_log_scale(ax: Axes) -> None:
    """Sets a logarithmic axis whose numbers read as plain ones where it spans less than a decade."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if high < 20 * low:
        ax.yaxis.set_major_formatter("{x:g}")
        ax.yaxis.set_minor_formatter("{x:g}")
        ax.tick_params(axis="y", which="minor", labelsize="small")


@picture
def restarts(restarts: Sequence[Any], *, ax: Axes | None = None) -> Axes:
    """Draws for every restart how far its bound lies below the best one, sweep by sweep; returns the Axes.

    The axis is logarithmic and ends at 0.001 nats. A line that runs down to it reached the best optimum; one that
    stays level, with a dot at its end, sits in a worse one. Restarts whose ends differ by less than 0.1 nats count as
    one optimum. A triangle stands where components moved: after the sweep before a move that was kept.

    Args:
        restarts: Restarts of a fit, `result.restarts`; or the bounds of each, (T,), nats, higher is better.
        ax: Axes to draw on; None makes a new figure.

    Raises:
        ValueError: No restarts; bounds that are empty, NaN or infinite.

    Example:

    >>> import matplotlib.pyplot as plt
    >>> ax = restarts([[-120.0, -101.0, -100.0], [-130.0, -110.5, -110.0]])
    >>> ax.get_ylabel()
    'bound below the best (nats)'
    >>> plt.close(ax.figure)
    """
    paths = [
        check_finite(f"restarts[{number}]", getattr(restart, "elbos", restart), "T", fix="Pass `result.restarts`.")
        for number, restart in enumerate(restarts)
    ]
    if not paths:
        raise ValueError("`restarts` must not be empty. Received: no restart. Pass `result.restarts`.")
    best = max(float(path.max()) for path in paths)
    ends = np.array([best - path[-1] for path in paths])
    number, num_best = num_optima(ends)
    ax = axes_or_new(ax, _SIZE)
    best_look: dict[str, Any] = {"color": component_colours(1)[0]}
    look_below: dict[str, Any] = {"color": ink(), "linewidth": 0.9, "linestyle": "--", "alpha": 0.75}
    marks = [[move.sweep - 1 for move in getattr(restart, "moves", ())] for restart in restarts]
    for path, end, moves in sorted(zip(paths, ends, marks), key=lambda of_one: -of_one[1]):
        gaps = np.maximum(best - path, _LOWEST)
        is_best = end < _SAME
        look = best_look if is_best else look_below
        ax.plot(1 + np.arange(len(gaps)), gaps, label=_label(is_best, num_best, len(paths)), **look)
        if moves:
            ax.plot(1 + np.array(moves), gaps[moves], marker="^", color=look["color"], linestyle="", label=_MOVES)
        if not is_best:
            ax.plot(len(gaps), gaps[-1], marker="o", markersize=4, color=ink(), linestyle="", label="_end")
    ax.set_yscale("log")
    ax.set_ylim(bottom=_LOWEST)
    # Plain numbers: powers of ten would go through the typesetting of formulas, half of the time of this picture
    ax.yaxis.set_major_formatter("{x:,.10g}")
    ax.locator_params(axis="x", integer=True)
    ax.set(xlabel="sweep", ylabel="bound below the best (nats)", title=f"{len(paths)} restarts")
    add_caption(ax, f"best bound {best:.1f} nats; {'1 optimum' if number == 1 else f'{number} different optima'}")
    handles = dict(zip(*reversed(ax.get_legend_handles_labels())))
    ax.legend(handles.values(), handles.keys(), loc="best", fontsize="small")
    return ax


def _label(is_best: bool, num_best: int, num_restarts: int) -> str:
    return f"{num_best} reached the best" if is_best else f"{num_restarts - num_best} ended below it"


def num_optima(gaps: NDArray[np.float64]) -> tuple[int, int]:
    """Counts the optima that restarts reached, and the restarts at the best; closer than 0.1 nats is the same.

    Args:
        gaps: How far each ended below the best bound, (R,), nats.

    Example:

    >>> num_optima(np.array([0.0, 0.02, 7.0]))
    (2, 2)
    """
    return 1 + int((np.diff(np.sort(gaps)) >= _SAME).sum()), int((gaps < _SAME).sum())
