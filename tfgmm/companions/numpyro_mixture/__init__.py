"""Mixtures of normals with NumPyro: the assignments summed out, NUTS from the posterior mode, all in one program.

It is the worked example of NumPyro's forum for any number of columns and any priors, with several times as many
effective draws per second. The extra `numpyro` installs what it needs; TensorFlow is never loaded.

JAX takes a GPU where it finds one. To choose, before anything else runs on JAX:

    import numpyro
    numpyro.set_platform("gpu")  # or "cpu", "tpu"

No other line changes. JAX's own settings stay as they are: this module computes in float64 by a setting of its own.
"""

from tfgmm.companions.diagnostics import Diagnosis, diagnose
from tfgmm.companions.numpyro_mixture.model import MarginalMixture, MarginalModel
from tfgmm.companions.numpyro_mixture.nuts import sample_nuts
from tfgmm.companions.numpyro_mixture.priors import mixture_model, priors_of_model
from tfgmm.companions.numpyro_mixture.rows import observed_rows
from tfgmm.posterior.predictive import DensityBand, density_band, sample_predictive

__all__ = [
    "DensityBand",
    "Diagnosis",
    "MarginalMixture",
    "MarginalModel",
    "density_band",
    "diagnose",
    "mixture_model",
    "observed_rows",
    "priors_of_model",
    "sample_nuts",
    "sample_predictive",
]
