"""Mixtures of known numbers with draws around them, and their log joints by SciPy: for tests of densities and draws."""

import numpy as np
from scipy import stats

from tfgmm.mixture import outliers, stored_draws
from tfgmm.mixture.parameters import MixtureDensity
from tfgmm.scoring.queries import Queries

K, D, S = 3, 4, stored_draws.NUM_DRAWS
CENTRE = np.array([1e5, -20.0, 3.0, 0.0])
WEIGHTS = np.array([0.2, 0.5, 0.3])
NAMES = ("a", "b", "c", "d")


class Mixture(Queries):
    """A mixture of known numbers, and draws around it."""

    def __init__(self, covariance, centre=CENTRE, width=1.0):
        generator = np.random.default_rng(3)
        locs = 3 * generator.normal(size=(K, D))
        if covariance in ("full", "tied"):
            roots = np.tril(generator.normal(size=(1 if covariance == "tied" else K, D, D)))
            roots[:, np.arange(D), np.arange(D)] = generator.uniform(0.7, 2.0, (len(roots), D))
            components = {"locs": locs, "whiteners": roots / width}
        else:
            axes = (1 if "tied" in covariance else K, 1 if "spherical" in covariance else D)
            precisions = generator.uniform(0.5, 3.0, axes) / width**2
            components = {"locs": locs, "precisions": np.array(np.broadcast_to(precisions, (K, D)))}
        self.column_names, self._mixture = NAMES, MixtureDensity(covariance, centre, np.log(WEIGHTS), components)
        self.drawn = {"locs": locs + 0.1 * width * generator.normal(size=(S, K, D))}
        if "whiteners" in components:
            noise = np.eye(D) + 0.1 * np.triu(generator.normal(size=(S, *components["whiteners"].shape)))
            self.drawn["whiteners"] = noise @ components["whiteners"]
        else:
            self.drawn["precisions"] = components["precisions"] * generator.gamma(50, 1 / 50, (S, K, D))
        self.drawn_weights = generator.dirichlet(50 * WEIGHTS, size=S)
        self.kept = stored_draws.stored(self._mixture, np.log(self.drawn_weights), self.drawn)

    def plug_in(self):
        return self._mixture

    def predictive(self):
        return stored_draws.mixtures(self._mixture, self.kept)

    def outlier_table(self):
        return outliers.table_of(np.arange(10.0))

    def covariances(self, parameters=None):
        """Returns (K, D, D) covariances, by NumPy."""
        parameters = parameters or self._mixture.components
        if "precisions" in parameters:
            return np.stack([np.diag(1 / line) for line in parameters["precisions"]])
        return np.array([np.linalg.inv(u.T @ u) for u in np.broadcast_to(parameters["whiteners"], (K, D, D))])

    def log_joint(self, rows, columns, parameters=None, weights=WEIGHTS):
        """Returns (N, K) log joints of some columns, by SciPy."""
        locs = (parameters or self._mixture.components)["locs"] + self._mixture.centre
        covariances = self.covariances(parameters)
        place = np.ix_(columns, columns)
        return np.stack(
            [
                np.log(weights[k])
                + stats.multivariate_normal(locs[k][columns], covariances[k][place]).logpdf(rows[:, columns])
                for k in range(K)
            ],
            axis=-1,
        ).reshape(len(rows), K)

    def parameters(self, s):
        return {name: values[s] for name, values in self.drawn.items()}


def rows_near(mixture, num_rows=9):
    return np.random.default_rng(1).normal(size=(num_rows, D)) * 3 + mixture.plug_in().centre
