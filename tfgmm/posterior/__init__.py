"""Posterior draws of any engine: aligned, compared, predicted from."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "agreement": ["Agreement", "compare"],
        "assignment": ["cheapest"],
        "alignment": ["AlignedDraws", "align"],
        "convergence": ["FEWEST_DRAWS", "bulk_sizes", "r_hats", "tail_sizes"],
        "draws": ["Draws", "LOG_RATIO"],
        "fitted_rows": ["FittedRows"],
        "predictive": ["DensityBand", "component_densities", "density_band", "replicated_rows", "sample_predictive"],
        "record": [
            "AUTO",
            "FEWEST_EFFECTIVE",
            "LARGEST_K_HAT",
            "LARGEST_R_HAT",
            "LEAST_EFFICIENCY",
            "MEAN_FIELD",
            "METHODS",
            "PosteriorRecord",
            "STOPPED",
            "check_method",
        ],
        "smoothing": ["FEWEST_RATIOS", "effective_sample_size", "smoothed_log_weights"],
    },
)
