"""The command `tfgmm`: one subcommand per step."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(__name__, {"app": ["main"]})
