"""The one check of axes accepts what fits and says what, received and fix where it does not."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from tfgmm.common.shapes import check_shape


def message_of(*args, **kwargs):
    with pytest.raises(ValueError) as caught:
        check_shape(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize(
    ("shape", "letters", "sizes"),
    [
        ((), "", {}),
        ((3,), "K", {}),
        ((3,), "K", {"K": 3}),
        ((0, 2), "BD", {"D": 2}),
        ((2, 5, 3, 4), "CSKD", {"C": 2, "D": 4}),
        ((4, 4), "DD", {}),
        ((3, 4, 4), "KDD", {"D": 4}),
        ((3,), "K", {"D": 2}),
    ],
)
def test_shapes_that_fit_pass(shape, letters, sizes):
    assert check_shape("x", np.zeros(shape), letters, **sizes) is None
    assert check_shape("x", tf.zeros(shape), letters, **sizes) is None


@pytest.mark.parametrize(
    ("shape", "letters", "sizes", "wanted", "received"),
    [
        ((3,), "KD", {}, "(K, D)", "(3,)"),
        ((), "K", {}, "(K,)", "()"),
        ((3, 2), "K", {}, "(K,)", "(3, 2)"),
        ((3,), "K", {"K": 4}, "(4,)", "(3,)"),
        ((3, 2), "KD", {"K": 3, "D": 1}, "(3, 1)", "(3, 2)"),
        ((3, 2), "KD", {"D": 0}, "(K, 0)", "(3, 2)"),
        ((3, 4), "DD", {}, "(D, D)", "(3, 4)"),
        ((4, 4), "DD", {"D": 3}, "(3, 3)", "(4, 4)"),
    ],
)
def test_shapes_that_do_not_fit_are_named_with_what_is_needed(shape, letters, sizes, wanted, received):
    message = message_of("locs", np.zeros(shape), letters, fix="Add an axis.", **sizes)
    assert message == f"`locs` must have shape {wanted}. Received: shape {received}. Add an axis."


def test_without_a_fix_the_message_ends_after_what_was_received():
    assert re.search(r"Received: shape \(1,\)\.$", message_of("x", np.zeros(1), "KD"))
