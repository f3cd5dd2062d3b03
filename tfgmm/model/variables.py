"""A posterior whose numbers are in Keras variables: saved with the model, trained by optimizers or moved by sweeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfgmm.families.variational import Values, VariationalPosterior
from tfgmm.model.gradients.trained import TrainedPosterior

AddWeight = Callable[..., Any]


class KerasPosterior(VariationalPosterior):
    """q of a whole mixture in Keras variables; what it computes are arrays.

    Args:
        weights, components: As in `VariationalPosterior`.

    Attributes:
        trained: The same q as tensors, for gradients.
    """

    trained: TrainedPosterior
    centre_variable: Any

    def create_variables(self, add_trained: AddWeight, add_stored: AddWeight, start: Values) -> None:
        """Adds the variables: those of the components, those of the weights, then the centre.

        Args:
            add_trained: (name, start) -> a trained variable.
            add_stored: (name, shape, dtype) -> a variable that is not trained, 0.
            start: Where q begins.
        """
        names = Values(self.components.variable_names, self.weights.variable_names)
        variables = names.map(add_trained, start)
        self.centre_variable = add_stored("centre", (self.num_features,), "float64")
        self.trained = TrainedPosterior(self, *variables, self.centre_variable)

    @property
    def centre(self) -> np.ndarray:
        """(D,) float64, data units: what rows and locations are measured from."""
        return self.centre_variable.numpy()

    def values(self) -> Values:
        """Reads the numbers behind q as the variables have them.

        Raises:
            RuntimeError: The call is being traced, and variables have no numbers there.
        """
        if not tf.executing_eagerly():
            raise RuntimeError(
                "What a model answers must be asked for outside of tf.function and dataset.map. "
                "Received: a call that is being traced. Inside, use model.distribution().log_prob(rows), "
                "or model(rows, sampling=False), which follows the model when it is trained."
            )
        return self.trained.variables.map(lambda variable: variable.numpy())

    def assign(self, values: Values) -> None:
        """Sets the variables to the numbers `values`."""
        self.trained.variables.map(lambda variable, value: variable.assign(value), values)

    def assign_centre(self, centre: Sequence[float] | np.ndarray) -> None:
        """Sets the centre, (D,) data units; the numbers behind q stay as they are."""
        self.centre_variable.assign(centre)
