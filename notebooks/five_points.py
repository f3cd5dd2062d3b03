# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Five points, two clusters
#
# Which cluster a row belongs to is a discrete unknown, and gradients know nothing of those. Pyro can sum them out:
# with two components and five rows it looks at two possibilities per row instead of $2^5$ for all rows together. The
# model is that of Pyro's own tutorial on mixtures, small enough that every number can be checked by hand.

# %%
import warnings

import matplotlib.pyplot as plt
import numpy as np

import tfgmm
from tfgmm import plot
from tfgmm.companions import pyro_mixture

rows = np.array([0.0, 1.0, 10.0, 11.0, 12.0])

# %% [markdown]
# ## The mode of the posterior
#
# $$\text{weights} \sim \text{Dirichlet}(\tfrac12, \tfrac12), \qquad \text{scale} \sim \text{LogNormal}(0, 2), \qquad
# \text{locs}_k \sim \text{Normal}(0, 10)$$
#
# and each row is normal around the location of its component; one scale serves both. A mixture has several optima
# (one of them puts all rows into one cluster), so the best of 100 random starts is followed, for 200 steps of Adam.

# %%
fit = pyro_mixture.fit_map(rows, num_components=2, num_steps=200, seed=0, progress=False)
print("weights", fit.weights.round(4), " locations", fit.locs.round(4), " scale", fit.scale.round(4))

# %% [markdown]
# Loss and gradients say that it is done: the loss no longer falls, and the gradient norms are small.

# %%
fig, axes = plt.subplots(1, 2, figsize=(10, 3), layout="constrained")
plot.convergence(fit.losses, ax=axes[0])
_ = plot.gradient_norms(fit.gradient_norms, ax=axes[1])

# %% [markdown]
# The weights are not quite 2/5 and 3/5: the prior Dirichlet(½, ½) prefers weights near 0 and 1, and its mode given two
# and three rows is $(2 - \tfrac12) / (5 - 1) = 0.375$.

# %%
_ = plot.weighted_components(fit.weights, fit.locs, fit.scale, rows)

# %% [markdown]
# ## Memberships
#
# Summed out while learning, they can be asked for afterwards, of the five rows or of any others: the most probable
# component, or a random one with its posterior probability.

# %%
grid, boundary = np.arange(-3.0, 15.0, 0.1), np.arange(5.5, 6.0, 0.005)
print("most probable", fit.classify(rows), " random", fit.classify(rows, temperature=1))
fig, axes = plt.subplots(2, 1, figsize=(8, 4), layout="constrained")
plot.assignments(grid, fit.classify(grid), title="Most probable component", ax=axes[0])
drawn = fit.classify(boundary, temperature=1)
_ = plot.assignments(boundary, drawn, num_components=2, title="Random, close to the boundary", ax=axes[1])

# %% [markdown]
# The clusters are so far apart that only between 5.5 and 6 anything is in doubt. The probabilities are known exactly,
# and where they are one half is the boundary:

# %%
is_first = np.argmin(fit.locs)  # which number the lower cluster has is chance
middle = np.interp(0.5, fit.probabilities(boundary)[::-1, is_first], boundary[::-1])
print(f"boundary at {middle:.2f}")

# %% [markdown]
# A second way is to give the guide a probability for every row and learn those, with the other parameters held still.
# It needs an optimisation per data set, and ends at the same numbers:

# %%
learnt = pyro_mixture.fit_assignments(fit, rows, num_steps=200, progress=False)
print("learnt", learnt.probabilities[:, 0].round(3), " exact", fit.probabilities(rows)[:, 0].round(3))

# %% [markdown]
# ## The whole posterior
#
# A mode is one point. NUTS draws from the posterior itself, assignments summed out again. Since the components can be
# swapped, it has two equal modes, near (0.5, 11) and (11, 0.5), and a chain may jump from one to the other. These 250
# draws are worth about 25 independent ones, which a warning would say: enough for a picture, too few for numbers.

# %%
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    draws = pyro_mixture.sample_nuts(rows, num_components=2, num_samples=250, num_chains=1, seed=6, progress=False)
locs = draws.locs[..., 0]
labels = ("location of component 0", "location of component 1")
aligned = tfgmm.align(draws)
fig, axes = plt.subplots(1, 2, figsize=(10, 4.4), layout="constrained")
plot.joint_histogram(locs.reshape(-1, 2), labels=labels, title="As drawn", ax=axes[0])
_ = plot.joint_histogram(aligned.locs.reshape(-1, 2), labels=labels, title="Aligned", ax=axes[1])

# %%
_ = plot.trace(locs, label="location", title="As drawn")

# %% [markdown]
# As drawn, the mean of "component 0" is a number between two clusters where no row is. `tfgmm.align` gives every draw
# the order that is nearest to all others, and then the components have means and standard deviations one can speak of.

# %%
for name, found in (("as drawn", draws), ("aligned ", aligned)):
    means, sds = found.locs.mean((0, 1))[:, 0], found.locs.std((0, 1))[:, 0]
    print(name, "means", means.round(2), "standard deviations", sds.round(2))
print(f"draws whose components changed places: {aligned.share_moved:.0%}")
