"""Weights, noise and gaps of rows: asked for, found in arrays and columns, checked and cleaned."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(__name__, {"asked": ["MISSING", "Asked", "CarriedColumns"]})
