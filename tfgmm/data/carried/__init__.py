"""Weights, noise and gaps of rows: asked for, found in arrays and columns, checked and cleaned."""
