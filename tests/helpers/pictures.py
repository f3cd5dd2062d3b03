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


def small_print(ax):
    return "\n".join(text.get_text() for text in ax.texts)


def contour_levels(ax):
    return [float(c.levels[0]) for c in ax.collections if hasattr(c, "levels") and len(c.levels) == 1]


def assert_nothing_is_cut_off(figure):
    figure.canvas.draw()
    captions = [text.get_window_extent() for ax in figure.axes for text in ax.texts]
    boxes = [box.transformed(figure.dpi_scale_trans.inverted()) for box in captions] + [figure.get_tightbbox()]
    width, height = figure.get_size_inches()
    for box in boxes:
        assert box.x0 >= -0.01 and box.y0 >= -0.01 and box.x1 <= width + 0.01 and box.y1 <= height + 0.01
