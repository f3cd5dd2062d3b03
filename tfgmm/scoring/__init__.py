"""What a mixture can be asked about rows; `graph` answers the same as TensorFlow operations."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "comparison": ["RowsCompared", "compare_over_rows", "verdict"],
        "devices": ["has_gpu"],
        "graph.products": ["coefficients_of_products", "matrices_of_products", "products"],
        "queries": ["RowScores"],
        "results": ["Conditional", "Interval"],
        "scores": ["MixtureDensity", "score_data"],
    },
)
