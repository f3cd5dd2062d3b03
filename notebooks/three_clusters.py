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
# # Three clusters in the plane
#
# A Bayesian Gaussian mixture, fitted by stochastic variational inference: a Keras model whose weights are not the
# parameters themselves but a *distribution* over them. The example is that of a well-known post of 2019 on
# TensorFlow Probability; here the model comes from the package, and the story stays the same.

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

import tfgmm
from tfgmm import plot

# %% [markdown]
# ## Rows
#
# 3,000 points in three round clusters of standard deviation 1, a thousand in each.

# %%
CENTRES = [(2, 0), (-2, -4), (-2, 4)]
rows = np.random.RandomState(12345).randn(3000, 2).astype("float32")
rows += np.repeat(CENTRES, 1000, axis=0)

fig, ax = plt.subplots(figsize=(4, 4))
ax.plot(*rows.T, ".", markersize=2, color="0.3")
_ = ax.set(xlabel="x", ylabel="y", aspect="equal", title="3,000 rows")

# %% [markdown]
# ## The model
#
# A row belongs to component $k$ with probability $\theta_k$, and is then normal in each column $d$:
#
# $$x_d \mid k \sim \text{Normal}\big(\mu_{kd},\ \tau_{kd}^{-1/2}\big)$$
#
# with the priors
#
# $$\theta \sim \text{Dirichlet}(2, 2, 2), \qquad \mu_{kd} \sim \text{Normal}(0, 1), \qquad
# \tau_{kd} \sim \text{Gamma}(5, 5).$$
#
# What is wanted is the posterior of all these numbers given the rows. It has no closed form, so it is approximated by
# a product $q$ of a Dirichlet, Normals and Gammas. Their parameters are what is trained, so that $q$ comes as close to
# the posterior as a product can:
#
# $$q(\theta) = \text{Dirichlet}(c), \qquad q(\mu_{kd}) = \text{Normal}(l_{kd}, s_{kd}), \qquad
# q(\tau_{kd}) = \text{Gamma}(\alpha_{kd}, \beta_{kd}).$$

# %%
model = tfgmm.GaussianMixtureModel(num_components=3, num_features=2, seed=12345)
print({variable.name: tuple(variable.shape) for variable in model.trainable_variables})

# %% [markdown]
# ## Gradient steps on minibatches
#
# The loss is minus the evidence lower bound per row: the expected log likelihood says how well the rows are explained,
# the Kullback-Leibler divergence how far $q$ has moved from the priors. A minibatch gives an estimate of the first
# term for *all* rows, so the second is divided by the number of all rows, not by that of the batch. The model counts
# them, and `fit` is Keras's own.

# %%
NUM_EPOCHS = 80
rate = keras.optimizers.schedules.CosineDecay(0.05, NUM_EPOCHS * 6)  # 6 batches of 500
model.compile(keras.optimizers.Adam(rate))
history = model.fit(rows, batch_size=500, epochs=NUM_EPOCHS, verbose=0)
loss = model.evaluate(rows, verbose=0)[0]
print(f"loss {loss:.3f} nats per row")
_ = plot.loss(history)

# %% [markdown]
# The published script ends near 4.11 after 1,000 epochs with a constant, small learning rate; one that begins high
# and shrinks gets below that in a fraction of the steps.
#
# ## What came out
#
# The density fits the rows. Its outlines hold half, and nine tenths, of the probability.

# %%
_ = plot.density(model.log_prob, rows, limits=((-6, 6), (-8, 8)), column_names=("x", "y"))

# %% [markdown]
# The means of $q(\mu)$ are near the centres that the rows were drawn around. Which component has which number is
# chance. Their standard deviations say how sure that is: a mean of 1,000 rows of standard deviation 1 cannot be known
# better than to $1/\sqrt{1000} = 0.032$.

# %%
print("means\n", model.locs.numpy().round(3))
print("standard deviations of the means\n", model.scales.numpy().round(3))

# %% [markdown]
# Every parameter has such a posterior. Draws from all of them come at once:

# %%
draws = model.draws(10_000, seed=1)
colour = plot.component_colours(3)[0]
fig, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
plot.posterior(draws.scales[0, :, 0, 0], label="standard deviation of x, component 0", colour=colour, ax=axes[0])
labels = ("mean of x, component 0", "mean of y, component 0")
_ = plot.posterior_joint(draws.locs[0, :, 0], labels=labels, colour=colour, ax=axes[1])

# %% [markdown]
# The mean has settled. The standard deviation has not: 1,000 rows tell it to $1/\sqrt{2000} = 0.022$, and its posterior
# is still several times wider. Its Gamma has to become far narrower than the prior, and gradients that are noisy
# themselves move it there slowly: a good density, as above, does not mean that every posterior has arrived.
#
# ## Without gradients
#
# For this family the best $q$ can also be found by exact steps, with the memberships of the rows as further unknowns:
# no learning rate, no noise, a few sweeps. That bound is a little looser, because it takes memberships and parameters
# for independent; where clusters overlap as little as here, that costs next to nothing.

# %%
result = tfgmm.fit_mixture(rows, 3, priors=tfgmm.Priors())
exact = result.model
print(f"{len(result.history['loss'])} sweeps")
for name, fitted in (("gradients  ", model), ("closed form", exact)):
    in_order = tfgmm.align(fitted.draws(2000, seed=0), method="order", feature=1)
    means, sds = in_order.locs[0].mean(axis=0), in_order.scales[0, :, :, 0]
    print(name, "means", means.round(2).tolist(), " sd of x", sds.mean(0).round(2), "+-", sds.std(0).round(3))

# %% [markdown]
# ## Names of components mean nothing
#
# Swap two components, and neither the density nor the bound changes. So a second fit may number them otherwise, and
# numbers of single components must not be compared before they are brought into one order, here by height:

# %%
again = tfgmm.fit_mixture(rows, 3, priors=tfgmm.Priors(), seed=5, restarts=1).model
for name, fitted in (("one fit", exact), ("another", again)):
    in_order = tfgmm.align(fitted.draws(1000, seed=0), method="order", feature=1)
    print(
        name, "as numbered", fitted.locs.numpy()[:, 1].round(1), "in order", in_order.locs.mean((0, 1))[:, 1].round(1)
    )
