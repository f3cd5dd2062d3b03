"""The keys of pictures of many components."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import seaborn as sns

from tfgmm import Draws, plot
from tfgmm.plot.keys import key_labels, label_of_rest

pytestmark = pytest.mark.usefixtures("no_figures_left")

RNG = np.random.default_rng(0)


def mixture(num_components):
    weights = RNG.permutation(np.arange(1.0, num_components + 1))
    locs = np.linspace(0, 30, num_components)
    return weights / weights.sum(), locs, np.full(num_components, 0.5)


def texts_of(legend):
    return [text.get_text() for text in legend.get_texts()]


def drawn(num_components):
    weights, locs, scales = mixture(num_components)
    draws = Draws(weights[None, None], locs[None, None, :, None], scales[None, None, :, None])
    many = locs + RNG.normal(size=(1, 40, num_components))
    shares = np.repeat(weights[None], 20, axis=0)
    return weights, {
        "column_density": plot.column_density(draws, RNG.uniform(0, 30, 50)),
        "weighted_components": plot.weighted_components(weights, locs, scales, [1.0]),
        "assignment_probabilities": plot.assignment_probabilities(np.arange(20.0), shares, locs=locs),
        "agreement": plot.agreement(many, many, label="x"),
        "trace": plot.trace(many, label="x"),
    }


@pytest.mark.parametrize("num_components", [8, 20])
def test_keys_name_the_heaviest_components_and_count_the_others(num_components):
    weights, pictures = drawn(num_components)
    heavy = sorted(sorted(range(num_components), key=lambda k: -weights[k])[:6])
    for name, ax in pictures.items():
        texts = texts_of(ax.get_legend())
        named = [int(text.split(",")[0].split()[1]) for text in texts if text.startswith("component")]
        if num_components == 8:
            assert named == list(range(8)) and not any("more" in text for text in texts)
        else:
            assert named == (list(range(6)) if name in ("agreement", "trace") else heavy), name
            assert f"... and {num_components - 6} more" in texts
        if num_components == 20:
            ax.figure.canvas.draw()
            assert ax.get_legend().get_window_extent().height < ax.get_window_extent().height
            assert ax.get_window_extent().height > 0.6 * ax.figure.bbox.height


def test_nine_are_too_many():
    assert key_labels(np.arange(9))[:3] == ["", "", ""] and "" not in key_labels(np.arange(8))
    assert label_of_rest(key_labels(np.arange(9))) == "... and 3 more" and label_of_rest(key_labels(np.ones(8))) == ""


@pytest.mark.parametrize("num_components", [16, 17, 30])
def test_memberships_name_more_components_as_their_marks_have_no_numbers(num_components):
    # Component k is that of k + 1 rows; the last but one is that of no row
    assigned = np.repeat(np.arange(num_components), np.arange(1, num_components + 1))
    assigned = assigned[assigned != num_components - 2]
    ax = plot.responsibilities(RNG.normal(size=(len(assigned), 2)), np.eye(num_components)[assigned])
    there = [k for k in range(num_components) if k != num_components - 2]
    named = there if num_components == 16 else there[-14:]
    rest = [] if len(named) == len(there) else [f"... and {len(there) - len(named)} more"]
    assert texts_of(ax.get_legend()) == [f"component {k}" for k in named] + rest
    ax.figure.canvas.draw()
    assert ax.get_window_extent().height > 0.6 * ax.figure.bbox.height


def test_the_key_of_a_facet_grid_counts_the_others_too():
    weights, locs, scales = mixture(12)
    draws = Draws(weights[None, None], locs[None, None, :, None], scales[None, None, :, None])
    grid = sns.FacetGrid(pd.DataFrame({"x": RNG.uniform(0, 30, 40), "half": [0, 1] * 20}), col="half")
    grid.map_dataframe(plot.column_density, draws=draws, rows="x")
    grid.add_legend()
    assert "... and 6 more" in texts_of(grid.legend) and len(texts_of(grid.legend)) == 9
