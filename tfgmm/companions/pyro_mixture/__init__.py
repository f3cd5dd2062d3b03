"""Mixtures of normals in one dimension with Pyro: assignments are enumerated, never sampled, while the rest is learnt.

TraceEnum_ELBO with AutoDelta finds the posterior mode; infer_discrete gives memberships; a guide that enumerates
learns them; NUTS draws from the posterior. The extra `pyro` installs what it needs; TensorFlow is never loaded.
"""

from tfgmm.companions.pyro_mixture.chains import sample_nuts
from tfgmm.companions.pyro_mixture.fits import AssignmentFit, MapFit
from tfgmm.companions.pyro_mixture.map_fit import fit_assignments, fit_map

__all__ = ["AssignmentFit", "MapFit", "fit_assignments", "fit_map", "sample_nuts"]
