"""Every picture: the axes it returns, what it refuses, its colours and numbers, its examples."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pathlib
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from pictures import LIMITS, NORMAL, assert_nothing_is_cut_off, rows_of

from tfgmm import Draws, plot
from tfgmm.plot.colours import DENSITY_COLORMAP
from tfgmm.plot.frames import data_limits, padded_limits

MODULES = sorted(path.stem for path in pathlib.Path(plot.__file__).parent.glob("*.py") if path.stem != "__init__")
pytestmark = pytest.mark.usefixtures("no_figures_left")


CHAINS = np.random.default_rng(0).normal(size=(1, 60, 2))
CHAIN = Draws(np.full((1, 60, 2), 0.5), CHAINS[..., None], np.ones((1, 60, 2, 1)))
ONE = Draws(np.ones((1, 1, 1)), NORMAL.mean[None, None, None], np.array([[[[0.5, 4.0]]]]))
DRAWN = {
    "density": lambda ax: plot.density(NORMAL.logpdf, limits=LIMITS, num_points=20, ax=ax),
    "means": lambda ax: plot.means([[0.0, 1.0], [2.0, 3.0]], [[0.1, 0.1], [0.2, 0.1]], ax=ax),
    "loss": lambda ax: plot.loss({"loss": [3.0, 2.0]}, ax=ax),
    "posterior": lambda ax: plot.posterior(np.arange(9.0), label="x", ax=ax),
    "agreement": lambda ax: plot.agreement(CHAINS, CHAINS, label="x", ax=ax),
    "trace": lambda ax: plot.trace(CHAINS, label="x", ax=ax),
    "column_density": lambda ax: plot.column_density(ONE, rows_of(50), ax=ax),
    "components": lambda ax: plot.components(ONE, ax=ax),
    "responsibilities": lambda ax: plot.responsibilities(rows_of(9), np.full((9, 2), 0.5), ax=ax),
    "restarts": lambda ax: plot.restarts([[-3.0, -2.0], [-4.0, -3.0]], ax=ax),
    "parameter_posterior": lambda ax: plot.parameter_posterior(CHAIN, "locs[1, 0]", ax=ax),
    "predictive_check": lambda ax: plot.predictive_check(rows_of(50), ONE, num_sets=5, ax=ax),
    "predictive_statistic": lambda ax: plot.predictive_statistic(rows_of(50), ONE, 0.9, num_sets=5, ax=ax),
    "posterior_joint": lambda ax: plot.posterior_joint(rows_of(50), labels=("x", "y"), ax=ax),
}


@pytest.mark.parametrize("name", DRAWN)
def test_the_axes_given_come_back_and_no_figure_is_opened(name):
    _, ax = plt.subplots()
    assert DRAWN[name](ax) is ax
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("name", DRAWN)
def test_without_axes_one_figure_is_opened_and_everything_is_named(name):
    ax = DRAWN[name](None)
    assert len(plt.get_fignums()) == 1
    assert ax.get_title() and ax.get_xlabel() and ax.get_ylabel()


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_of_a_new_figure_is_cut_off(name):
    assert_nothing_is_cut_off(DRAWN[name](None).figure)


def test_component_colours_stay_the_same_and_differ():
    colours = plot.component_colours(24)
    assert len(set(colours)) == 24 and plot.component_colours(3) == colours[:3]
    assert len(plot.component_colours(100)) == 100


def lightness(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_density_colormap_darkens_in_equal_steps():
    steps = -np.diff(lightness(DENSITY_COLORMAP(np.linspace(0, 1, 13))[:, :3]))
    assert (steps > 0).all() and steps.max() / steps.min() < 1.6


def test_component_colours_stand_out_from_white():
    assert all(lightness(np.array(to_rgb(colour))) < 75 for colour in plot.component_colours(8))


def test_limits_are_padded_on_both_sides():
    assert padded_limits(np.array([[5.0, 0.0]]), 0.1).tolist() == [[4.5, 5.5], [-0.1, 0.1]]


def test_limits_around_rows_leave_a_single_far_row_out():
    class Summary:
        centre, spread, minimum, maximum = (0.0, 10.0), (1.0, 2.0), (-2.0, 8.0), (1e6, 13.0)

    (x_low, x_high), (y_low, y_high) = data_limits(Summary)
    np.testing.assert_allclose([x_low, x_high, y_low, y_high], [-2.2, 5.2, 7.6, 13.4])


DENSITY = {"limits": ((0, 1), (0, 1)), "num_points": 5}
GOOD = ([[0.0, 0.0]], [[1.0, 1.0]])
BAD = {
    "not callable": (lambda: plot.density(3, **DENSITY), TypeError, "log_prob"),
    "no limits": (lambda: plot.density(NORMAL.logpdf), ValueError, "limits"),
    "reversed": (lambda: plot.density(NORMAL.logpdf, limits=((1, 0), (0, 1))), ValueError, "limits"),
    "limits shape": (lambda: plot.density(NORMAL.logpdf, limits=(0, 1)), ValueError, "limits"),
    "rows shape": (lambda: plot.density(NORMAL.logpdf, np.zeros((4, 3))), ValueError, "rows"),
    "rows empty": (lambda: plot.density(NORMAL.logpdf, np.zeros((0, 2))), ValueError, "rows"),
    "rows infinite": (lambda: plot.density(NORMAL.logpdf, [[0.0, np.inf]]), ValueError, "rows"),
    "num_points": (lambda: plot.density(NORMAL.logpdf, limits=LIMITS, num_points=1), ValueError, "num_points"),
    "names": (lambda: plot.density(NORMAL.logpdf, limits=LIMITS, column_names="xy"), ValueError, "column_names"),
    "output shape": (lambda: plot.density(lambda x: x, **DENSITY), ValueError, "log_prob(points)"),
    "output nan": (lambda: plot.density(lambda x: x[:, 0] * np.nan, **DENSITY), ValueError, "log_prob"),
    "locs": (lambda: plot.means([[0.0]], [[1.0]]), ValueError, "locs"),
    "locs text": (lambda: plot.means([["a", "b"]], GOOD[1]), ValueError, "locs"),
    "scales shape": (lambda: plot.means(GOOD[0], [[1.0, 1.0]] * 2), ValueError, "scales"),
    "scales zero": (lambda: plot.means(GOOD[0], [[1.0, 0.0]]), ValueError, "scales"),
    "history type": (lambda: plot.loss([1.0, 2.0]), TypeError, "history"),
    "history entry": (lambda: plot.loss({"elbo": [1.0]}), ValueError, "history"),
    "history empty": (lambda: plot.loss({"loss": []}), ValueError, 'history["loss"]'),
    "history nan": (lambda: plot.loss({"loss": [1.0, np.nan]}), ValueError, 'history["loss"]'),
    "validation": (lambda: plot.loss({"loss": [2, 1], "val_loss": [1]}), ValueError, 'history["val_loss"]'),
    "burn_in": (lambda: plot.loss({"loss": [2, 1]}, burn_in=2), ValueError, "burn_in"),
    "draws empty": (lambda: plot.posterior([], label="x"), ValueError, "values"),
    "draws equal": (lambda: plot.posterior([1.0, 1.0], label="x"), ValueError, "values"),
    "draws infinite": (lambda: plot.posterior([1.0, np.inf], label="x"), ValueError, "values"),
    "interval": (lambda: plot.posterior([1.0, 2.0], label="x", interval=90), ValueError, "interval"),
    "joint shape": (lambda: plot.posterior_joint([1.0, 2.0], labels=("a", "b")), ValueError, "values"),
    "joint line": (lambda: plot.posterior_joint([[0, 0], [1, 1], [2, 2]], labels=("a", "b")), ValueError, "values"),
    "joint labels": (lambda: plot.posterior_joint(rows_of(9), labels=("a",)), ValueError, "labels"),
    "colours": (lambda: plot.component_colours(0), ValueError, "num_components"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_named_shown_and_explained_before_a_figure_opens(case):
    call, kind, name = BAD[case]
    with pytest.raises(kind) as caught:
        call()
    what, received = str(caught.value).split("Received: ")
    assert what.startswith(f"`{name}` must")
    assert received.rstrip().count(". ") >= 1 and received.rstrip().endswith(".")
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_the_docstrings_run(name):
    outcome = doctest.testmod(importlib.import_module(f"tfgmm.plot.{name}"))
    assert outcome.failed == 0
    assert outcome.attempted > 0 or name in ("frames", "grids", "mixtures", "pictures")  # parts of pictures


def test_every_public_picture_takes_axes_and_says_that_it_returns_them():
    pictures = [getattr(plot, name) for name in plot.__all__ if name != "component_colours"]
    assert len(pictures) > 15 and plot.__all__ == sorted(plot.__all__)
    for picture in pictures:
        parameter = inspect.signature(picture).parameters["ax"]
        assert (parameter.default, parameter.kind) == (None, inspect.Parameter.KEYWORD_ONLY)
        assert "Axes" in picture.__doc__.splitlines()[0], picture.__name__


def test_pictures_need_neither_tensorflow_nor_a_chosen_backend_nor_what_only_some_of_them_use():
    code = (
        "import sys, matplotlib; before = matplotlib.rcParams._get('backend'); import tfgmm.plot; "
        "assert not {'tensorflow', 'keras', 'scipy', 'pandas', 'matplotlib.pyplot'} & sys.modules.keys(); "
        "assert matplotlib.rcParams._get('backend') == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
