"""The colours of the components as colour-blind eyes see them."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from tfgmm import plot

# Machado, Oliveira and Fernandes 2009, whole severity, for linear RGB
BLINDNESS = {
    "none": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab_of(linear):
    """CIELAB of linear sRGB (n, 3), white point D65."""
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    t = np.clip(linear, 0, 1) @ to_xyz.T / [0.9505, 1.0, 1.089]
    f = np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


@pytest.mark.parametrize("kind", BLINDNESS)
def test_the_first_eight_colours_are_told_apart_with_any_colour_blindness(kind):
    rgb = np.array([to_rgb(colour) for colour in plot.component_colours(8)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    lab = lab_of(linear @ np.transpose(BLINDNESS[kind]))
    distances = [np.linalg.norm(lab[i] - lab[j]) for i in range(8) for j in range(i)]
    assert min(distances) > 8  # a just noticeable difference is about 2.3
