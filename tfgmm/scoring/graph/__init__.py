"""Scores as TensorFlow operations, for GPUs and exports: the one folder left of `families` that needs TensorFlow."""
