"""A mixture density in plain float32 operations, which any runtime has: the contents of ONNX and LiteRT files.

Other runtimes may not have float64, so that this differs from `density`: constants are pairs of float32, differences
are taken before they are squared, and rows far away are scaled before a square could overflow.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfgmm.common.shapes import Tensor
from tfgmm.mixture.parameters import MixtureDensity, standard_form
from tfgmm.model.keras3 import keras

Pair = tuple[np.ndarray, np.ndarray]

_LARGEST = float(np.finfo(np.float32).max)
# Standardised differences beyond it are scaled down: squares of it, summed over a million columns, stay below _LARGEST.
_FARTHEST = 1e15


class Constants(NamedTuple):
    """The numbers of a mixture in float32.

    Args:
        centre: Pair of (D,), data units.
        locs: Pair of (K, 1, D), from the centre.
        factors: Factors of the differences: (K, 1, D) multiplies them element by element; (K or 1, D, D), transposed,
            multiplies them from the left.
        offsets: Log weight + log determinant of the factors - D/2 log 2 pi, (K, 1), nats.
        reach: Largest factor of each column over the farthest difference that need not be scaled, (D,).
    """

    centre: Pair
    locs: Pair
    factors: np.ndarray
    offsets: np.ndarray
    reach: np.ndarray

    @property
    def is_diagonal(self) -> bool:
        """Whether columns are independent within a component."""
        return self.factors.shape[1] == 1


def constants_of(mixture: MixtureDensity) -> Constants:
    """Computes the float32 numbers of one mixture (no leading axes); sums and logarithms are taken in float64."""
    locs, factors, offsets = standard_form(mixture)
    columns = np.abs(factors).max(axis=0 if factors.shape[1] == 1 else (0, 2)).reshape(-1)
    return Constants(
        _pair(np.asarray(mixture.centre, np.float64)),
        _pair(locs[:, None, :]),
        factors.astype(np.float32),
        offsets.astype(np.float32)[:, None],
        (columns / _FARTHEST).astype(np.float32),
    )


def _pair(values: np.ndarray) -> Pair:
    """Splits float64 values into two float32 arrays whose sum they are, to 48 bits."""
    high = values.astype(np.float32)
    return high, (values - high).astype(np.float32)


class PortableDensity(keras.Model):
    """The log density and memberships of one mixture, as a Keras model that Keras's exporters take.

    Args:
        mixture: Mixture without leading axes.
    """

    def __init__(self, mixture: MixtureDensity) -> None:
        super().__init__(name="mixture")
        self.num_features = len(mixture.centre)
        numbers = constants_of(mixture)
        # a function, because Keras takes apart attributes that hold tuples
        self._constants: Callable[[], Constants] = lambda: numbers

    def call(self, x: Tensor) -> dict[str, Tensor]:
        """Computes `log_prob` (B,), nats, and `responsibilities` (B, K), float32; NaN for a row that is not finite.

        Args:
            x: Rows (B, D) float32, data units.
        """
        constants: Constants = self._constants()
        x = of_whole_rows(x, self.num_features)
        centred = centred_rows(x, constants.centre)
        is_finite = tf.reduce_all(tf.abs(centred) <= _LARGEST, axis=1)
        log_prob, shares = scores(tf.where(is_finite[:, None], centred, tf.zeros_like(centred)), constants)
        return {
            "log_prob": tf.where(is_finite, log_prob, np.float32(np.nan)),
            "responsibilities": tf.where(is_finite[:, None], tf.transpose(shares), np.float32(np.nan)),
        }


def of_whole_rows(x: Tensor, num_features: int) -> Tensor:
    """Returns the rows (B, D) as they are, by operations that a runtime refuses for any other number of columns.

    LiteRT takes an input of any shape, and one column would stand in for all of them. It has no operation that only
    compares shapes; to put a row below the others, columns must be as many.
    """
    below = np.zeros((1, num_features), np.float32)
    return tf.concat([x, below], axis=0)[:-1]


def centred_rows(x: Tensor, centre: Pair) -> Tensor:
    """Computes x - centre, (B, D), rounded once to float32, as training and `density` round it.

    The error of x - high is known exactly (Knuth 1997, 4.2.2, theorem B), and goes into the sum with `low`. A row's
    last digit is 1e-3 nats where a component has 1e-4 of the range of the rows.
    """
    high, low = centre
    difference = x - high
    back = difference - x
    error = (x - (difference - back)) - (back + high)
    return difference + (_apart(error) - low)


def _apart(values: Tensor) -> Tensor:
    """Keeps two sums apart by a maximum that leaves finite `values` as they are: the converters would add up the
    constants of neighbouring sums, and so lose the low half of a pair."""
    return tf.maximum(values, -_LARGEST)


def scores(centred: Tensor, constants: Constants) -> tuple[Tensor, Tensor]:
    """Computes the log density (B,), nats, and the probability of each component, (K, B), of finite rows.

    Rows with differences beyond `_FARTHEST` standard deviations are scaled by s >= 1 before squares are taken, and log
    joints are compared over s^2; s is 1 for all others. A log density below -3.4e38 becomes -3.4e38.

    Args:
        centred: Rows (B, D) float32, measured from the centre.
        constants: Numbers of the mixture.
    """
    (high, low), factors = constants.locs, constants.factors
    scale = tf.maximum(tf.reduce_max(tf.abs(centred) * constants.reach, axis=1), 1.0)  # (B,)
    differences = (_apart(centred[None] - high) - low) / scale[None, :, None]  # (K, B, D)
    standardised = differences * factors if constants.is_diagonal else tf.matmul(differences, factors)
    squares = tf.reduce_sum(standardised * standardised, axis=2)
    log_joints = constants.offsets / scale / scale - 0.5 * squares  # (K, B), over scale^2
    largest = tf.reduce_max(log_joints, axis=0)
    shares = tf.exp((log_joints - largest) * scale * scale)
    totals = tf.reduce_sum(shares, axis=0)
    log_prob = tf.maximum(largest * scale * scale + tf.math.log(totals), -_LARGEST)
    return log_prob, shares / totals
