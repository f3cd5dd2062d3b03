"""What the tests of the pictures draw, and how they read the numbers inside the artists."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import numpy as np
from scipy.stats import multivariate_normal

NORMAL = multivariate_normal([1.0, 50.0], [[0.25, 1.0], [1.0, 16.0]])
LIMITS = ((-2.0, 4.0), (25.0, 75.0))


def rows_of(num_rows, seed=0):
    return NORMAL.rvs(num_rows, random_state=np.random.default_rng(seed))


def mesh_of(ax):
    return ax.collections[0]


def mass_of(ax):
    mesh = mesh_of(ax)
    corners = np.asarray(mesh.get_coordinates())
    areas = np.outer(np.diff(corners[:, 0, 1]), np.diff(corners[0, :, 0]))
    return float((mesh.get_array() * areas).sum())


def bars_of(ax):
    """The left end and the height of every bar of a histogram that is one area."""
    [area] = [found for found in ax.collections if is_of_bars(found)]
    vertices = area.get_paths()[0].vertices
    edges = np.unique(vertices[:, 0])
    level = [(min(a[0], b[0]), max(a[0], b[0]), a[1]) for a, b in zip(vertices, vertices[1:]) if a[1] == b[1]]
    heights = [max(y for x0, x1, y in level if x0 < x < x1) for x in (edges[:-1] + edges[1:]) / 2]
    return edges, np.array(heights)


def is_of_bars(area):
    """Whether an area's outline has level and upright lines only."""
    steps = np.diff(area.get_paths()[0].vertices, axis=0) if area.get_paths() else np.empty((0, 2))
    return len(steps) > 6 and bool((steps == 0).any(axis=1).all())


def small_print(ax):
    return "\n".join(text.get_text() for text in ax.texts)


def contour_levels(ax):
    """The levels of lines, the highest first."""
    lines = [found for found in ax.collections if hasattr(found, "levels") and not found.filled]
    return sorted((float(level) for found in lines for level in found.levels), reverse=True)


def assert_nothing_is_cut_off(figure):
    figure.canvas.draw()
    captions = [text.get_window_extent() for ax in figure.axes for text in ax.texts]
    boxes = [box.transformed(figure.dpi_scale_trans.inverted()) for box in captions] + [figure.get_tightbbox()]
    width, height = figure.get_size_inches()
    for box in boxes:
        assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01
