"""What a mixture can be asked about rows; `graph` answers the same as TensorFlow operations."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "comparison": ["RowsCompared", "compare_over_rows", "verdict"],
        "devices": ["BlockScorer", "block_scorer"],
        "frames.kinds": ["scored_frame"],
        "frames.request": ["request_of"],
        "graph.chunks": ["log_joints"],
        "graph.densities": ["GRAPH_FORMS", "of_draws"],
        "graph.sampling": ["sample_rows"],
        "graph.scores": ["factors_of", "imputed"],
        "graph.triangular": ["log_determinants"],
        "numpy_scorer": ["NumpyScorer"],
        "queries": ["Queries"],
        "results": ["Conditional", "Interval"],
        "scores": ["as_draws", "outlier_table", "score_data", "scored"],
        "table_columns": ["COLUMNS", "arrow_array", "feature_names", "flat_scores", "score_columns"],
        "tails": ["check_no_noise", "tail_scores"],
    },
)
