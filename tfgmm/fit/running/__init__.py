"""A mixture that follows rows which come in parts, and keeps its sums from part to part."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(__name__, {"running_mixture": ["RunningMixture", "check_forgetting_factor"]})
