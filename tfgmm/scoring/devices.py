"""Where rows are worked on: by TensorFlow on a GPU, by NumPy without one."""

from __future__ import annotations

import functools

import tensorflow as tf


@functools.cache
def has_gpu() -> bool:
    """Returns whether TensorFlow has a GPU to use, as its first operation finds out."""
    return bool(tf.config.list_logical_devices("GPU"))
