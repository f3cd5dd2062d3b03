"""Variational posteriors of components and weights. TensorFlow begins here."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "variational": [
            "COMPONENTS",
            "Components",
            "Drawn",
            "Factors",
            "Values",
            "VariationalPosterior",
            "seed_pair",
            "stacked",
        ],
        "weights": ["WEIGHTS"],
    },
)
