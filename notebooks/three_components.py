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
# # Three components, exactly and fast
#
# 2,500 numbers from three clusters of which two overlap. NUTS, a Markov chain, draws from the exact posterior; the
# closed form of the Keras model answers in a fraction of the time with an approximation. How good is it?

# %%
import matplotlib.pyplot as plt
import numpy as np

import tfgmm
from tfgmm import plot
from tfgmm.companions import numpyro_mixture

# %% [markdown]
# ## Rows

# %%
random = np.random.RandomState(42)
weights, means, sds = np.array([0.2, 0.3, 0.5]), np.array([-1.0, 1.0, 4.0]), np.array([0.2, 0.9, 0.5])
drawn = random.choice(3, size=2500, p=weights)
rows = random.normal(means[drawn], sds[drawn], size=2500)

fig, ax = plt.subplots(figsize=(6, 3))
ax.hist(rows, 80, color="0.6")
_ = ax.set(xlabel="x", ylabel="rows", title="2,500 rows")

# %% [markdown]
# ## The model
#
# As a story with a hidden component $z$ for every row,
#
# $$w \sim \text{Dirichlet}(1, 1, 1), \quad \mu_k \sim \text{Normal}(0, 10), \quad
# \sigma_k \sim \text{HalfCauchy}(10), \quad z \mid w \sim \text{Categorical}(w), \quad
# x \mid z \sim \text{Normal}(\mu_z, \sigma_z).$$
#
# A sampler that had to draw 2,500 discrete numbers beside the nine that matter would be stuck. Summed over $z$ they
# are gone, and what is left has a gradient everywhere:
#
# $$p(x \mid w, \mu, \sigma) = \sum_k w_k\, \text{Normal}(x \mid \mu_k, \sigma_k).$$
#
# These priors are the defaults. Four chains run side by side, started around the mode of the posterior.

# %%
chains = numpyro_mixture.sample_nuts(rows, 3, num_samples=500, num_chains=4, seed=42, progress=False)
draws = tfgmm.align(chains, method="order")
print(numpyro_mixture.diagnose(draws))

# %% [markdown]
# `r_hat` near 1: the chains agree. The effective numbers of draws are in the thousands. So these can be taken for the
# posterior: every one of its nine numbers, with the truth dotted.

# %%
fig, axes = plt.subplots(3, 3, figsize=(12, 9), layout="constrained")
parts = {"weight": (draws.weights, weights), "location": (draws.locs, means), "scale": (draws.scales, sds)}
for line, (name, (values, truth)) in zip(axes, parts.items()):
    for k, colour in enumerate(plot.component_colours(3)):
        plot.posterior(values[:, :, k].ravel(), label=f"{name}, component {k}", colour=colour, ax=line[k])
        line[k].axvline(truth[k], color="black", linestyle=":")

# %% [markdown]
# ## Does the model reproduce the rows?
#
# The density with a band that holds it with 90 % probability at each point, and data sets drawn anew from the fitted
# model beside the one at hand.

# %%
grid = np.linspace(rows.min() - 1.0, rows.max() + 1.0, 200)
band = numpyro_mixture.density_band(draws, grid)
replicated = numpyro_mixture.sample_predictive(draws, len(rows), seed=42)
fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plot.density_with_band(rows, grid, band.mean, band.lower, band.upper, column_name="x", ax=axes[0])
_ = plot.predictive_check(rows, replicated[:, 0], column_name="x", ax=axes[1])

# %% [markdown]
# ## The fast answer beside the exact one
#
# The closed form takes a few sweeps over the rows. To compare posteriors, NUTS gets the same priors.

# %%
model = tfgmm.fit_mixture(rows[:, None], 3, seed=0).model
fast = model.draws(2000, seed=0, data=rows[:, None])
exact = numpyro_mixture.sample_nuts(
    rows, 3, num_samples=500, num_chains=4, seed=42, priors=model.priors, progress=False
)
comparison = tfgmm.compare(fast, tfgmm.align(exact, method="order"))
print(comparison)

# %%
names = ("closed form", "NUTS")
a, b = comparison.aligned_a, comparison.aligned_b
fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
plot.agreement(a.locs[..., 0], b.locs[..., 0], label="location", names=names, centred=True, ax=axes[0])
_ = plot.agreement(a.scales[..., 0], b.scales[..., 0], label="scale", names=names, ax=axes[1])

# %% [markdown]
# The means agree. The standard deviations do not all: for the middle component, which overlaps with its neighbour, the
# closed form is too sure of itself, because it takes memberships and parameters for independent. Pareto k-hat, the
# last line of the table, tells so without any second engine.
