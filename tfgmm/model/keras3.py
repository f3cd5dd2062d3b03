"""Keras 3 on TensorFlow, or a clear error: every module that needs Keras imports it from here.

With another backend, or with legacy Keras, errors would come later and not name their cause.
"""

from __future__ import annotations

import os

_LEGACY = os.environ.get("TF_USE_LEGACY_KERAS", "")
if _LEGACY.lower() in ("1", "true"):
    raise ImportError(
        f"tfgmm needs Keras 3. Received: TF_USE_LEGACY_KERAS={_LEGACY} in the environment, which makes tf.keras "
        "Keras 2. Unset it before TensorFlow is imported."
    )
_BACKEND = os.environ.get("KERAS_BACKEND", "tensorflow")
if _BACKEND == "tensorflow":  # another backend may not be installed, so it is refused before Keras tries to import it
    import keras

    _BACKEND = keras.backend.backend()
if _BACKEND != "tensorflow":
    raise ImportError(
        f"tfgmm needs Keras on TensorFlow. Received: the backend {_BACKEND!r}, from KERAS_BACKEND in the environment "
        "or Keras's own configuration file. Set KERAS_BACKEND=tensorflow before Keras is imported."
    )

__all__ = ["keras"]
