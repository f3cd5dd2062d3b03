"""Variational posteriors in TensorFlow: draws, densities and divergences that gradients go through."""
