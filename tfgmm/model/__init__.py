"""The Keras model: how the variational posterior is trained and asked."""

from tfgmm.common.lazy import front_door

__getattr__, __dir__, __all__ = front_door(
    __name__,
    {
        "batches": ["default_batch_size", "ordered_batches"],
        "gaussian_mixture": ["GaussianMixtureModel"],
        "gradient_norms": ["GradientNorms", "watched_gradients"],
        "keras3": ["keras"],
        "running_bound": ["LOGS"],
        "saving": ["load_model"],
        "step_sizes": ["StepSizes"],
        "tensorboard": ["MixtureBoard"],
    },
)
