"""Pictures of a mixture and of its posterior: arrays in, matplotlib Axes out.

`from tfgmm import plot`, then for example `plot.density(model.log_prob, rows)`. Every function takes `ax=` (a new
figure is made when it is left out), returns the Axes it drew on (`pairs` an array of them), and leaves matplotlib's
settings as they were. What the lines and marks mean is written above the picture, where it hides nothing. To put
several into one figure, make it with `plt.subplots(1, 2, layout="constrained")`, which keeps room for that.

Colours, letters and backgrounds are those of `seaborn.set_theme` and `set_palette`; `palette=` is for one picture. In
`FacetGrid.map_dataframe`, `rows`, `values`, `x` and `sample_weight` are names of columns; pass all as keywords.
"""

from tfgmm.plot.agreements import agreement, density_with_band
from tfgmm.plot.chains import joint_histogram, trace
from tfgmm.plot.colours import component_colours
from tfgmm.plot.column_densities import column_density
from tfgmm.plot.densities import density
from tfgmm.plot.ellipses import components
from tfgmm.plot.locations import means
from tfgmm.plot.losses import convergence, gradient_norms, loss, restarts
from tfgmm.plot.memberships import responsibilities
from tfgmm.plot.one_column import assignment_probabilities, assignments, weighted_components
from tfgmm.plot.pair_grids import pairs
from tfgmm.plot.posteriors import parameter_posterior, posterior, posterior_joint
from tfgmm.plot.predictive import predictive_check, predictive_statistic
from tfgmm.plot.selections import num_components

__all__ = [
    "agreement",
    "assignment_probabilities",
    "assignments",
    "column_density",
    "component_colours",
    "components",
    "convergence",
    "density",
    "density_with_band",
    "gradient_norms",
    "joint_histogram",
    "loss",
    "means",
    "num_components",
    "pairs",
    "parameter_posterior",
    "posterior",
    "posterior_joint",
    "predictive_check",
    "predictive_statistic",
    "responsibilities",
    "restarts",
    "trace",
    "weighted_components",
]
