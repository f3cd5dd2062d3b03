"""The No-U-Turn sampler of NumPyro as one compiled program for all chains side by side."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from tfgmm.companions.numpyro_mixture.densities import Array
from tfgmm.companions.numpyro_mixture.mode import Gaussian, Target

import jax  # isort: skip  after `model`, whose error says how to install it
import jax.numpy as jnp  # isort: skip
from numpyro.infer.hmc_util import (
    IntegratorState,
    build_tree,
    dual_averaging,
    euclidean_kinetic_energy,
    velocity_verlet,
    warmup_adapter,
)

# Draws in one run of the program; the bar moves after each run.
BLOCK = 100
DEFAULT_TARGET = 0.8
# In standard coordinates of a normal posterior a path returns after 2 pi: a tree of three steps of this length has
# turned and ends on the far side. Seven steps of 0.9 would end where they began, which NUTS does not notice.
_TURNS = 1.1
# The step is kept where this number of warm-up draws accepts at least this share of proposals.
_NUM_TRIALS, _ACCEPTABLE = 30, 0.65


class Chains(NamedTuple):
    """The state of C chains, in their standard coordinates, and the keys of the draws to come.

    Fields: positions (C, P); potentials (C,) and gradients (C, P) there; keys (C,).
    """

    positions: Array
    potentials: Array
    gradients: Array
    keys: Array


class Record(NamedTuple):
    """What is recorded of each draw: positions (C, S, P), and the other arrays (C, S) each.

    lp and energy are in nats, up to constants: energy is that of the draw and of its momentum, as NumPyro records it.
    """

    positions: np.ndarray
    lp: np.ndarray
    diverging: np.ndarray
    n_steps: np.ndarray
    acceptance_rate: np.ndarray
    energy: np.ndarray


class SharedStep:
    """Warm-up for chains in coordinates in which the posterior may be about standard normal: one step for all.

    A step that suits a normal posterior is tried first. Where too little of it is accepted, and where the target is
    the user's own, the step comes from dual averaging (Hoffman and Gelman 2014, section 3.2) on the mean acceptance of
    all chains.

    Args:
        num_warmup: Number of draws of warm-up.
        target_accept_prob: Acceptance that the step is adapted to; None for the trial, then 0.8.
    """

    def __init__(self, num_warmup: int, target_accept_prob: float | None) -> None:
        self.num_warmup = num_warmup
        self._num_trials = min(_NUM_TRIALS, num_warmup // 2) if target_accept_prob is None else 0
        self._target = DEFAULT_TARGET if target_accept_prob is None else target_accept_prob
        self._average = dual_averaging()[1]

    def start(self, size: int, keys: Array) -> Any:
        """Starts the state: length of the step, state of the averages, and sum of the acceptances on trial."""
        averages = (np.zeros(()), np.zeros(()), np.zeros(()), np.zeros((), np.int64), np.asarray(np.log(_TURNS)))
        return np.asarray(_TURNS), averages, np.zeros(())

    def step_and_mass(self, state: Any, num_chains: int, size: int) -> tuple[Array, Array]:
        """Returns lengths of steps (C,) and diagonals of the inverse mass matrices (C, P)."""
        return jnp.broadcast_to(state[0], (num_chains,)), jnp.ones((num_chains, size))

    def update(self, index: Array, accepted: Array, positions: Array, state: Any) -> Any:
        """Updates the state after draw `index`, which each chain accepted with probability `accepted` (C,)."""
        _, averages, total = state
        on_trial = index < self._num_trials
        total = jnp.where(on_trial, total + accepted.mean(), total)
        moved = self._average(self._target - accepted.mean(), averages)
        averages = jax.tree.map(lambda new, old: jnp.where(on_trial, old, new), moved, averages)
        adapted = jnp.exp(jnp.where(index >= self.num_warmup - 1, averages[1], averages[0]))
        is_kept = (self._num_trials > 0) & (total >= _ACCEPTABLE * self._num_trials)
        return jnp.where(on_trial | is_kept, _TURNS, adapted), averages, total


class Windows:
    """NumPyro's own warm-up: steps and diagonal mass matrices of each chain, adapted in windows as Stan does."""

    def __init__(self, num_warmup: int, target_accept_prob: float | None) -> None:
        self.num_warmup = num_warmup
        target = DEFAULT_TARGET if target_accept_prob is None else target_accept_prob
        self._init, self._update = warmup_adapter(num_warmup, target_accept_prob=target)

    def start(self, size: int, keys: Array) -> Any:
        """Starts NumPyro's state of adaptation for each chain."""
        place = IntegratorState(np.zeros(size))  # only its size counts
        return jax.jit(jax.vmap(lambda key: self._init(place, key)))(keys)

    def step_and_mass(self, state: Any, num_chains: int, size: int) -> tuple[Array, Array]:
        """Returns lengths of steps (C,) and diagonals of the inverse mass matrices (C, P)."""
        return state.step_size, state.inverse_mass_matrix

    def update(self, index: Array, accepted: Array, positions: Array, state: Any) -> Any:
        """Updates the state after draw `index`, which each chain accepted with probability `accepted` (C,)."""

        def of_chain(rate: Array, position: Array, own: Any) -> Any:
            return self._update(index, rate, IntegratorState(position), own)

        return jax.vmap(of_chain)(accepted, positions, state)


class Program:
    """NUTS for C chains, each in the standard coordinates of its own Gaussian, compiled once for all blocks of draws.

    Args:
        target: Posterior to draw from.
        tuning: `SharedStep` or `Windows`.
        num_chains: Number of chains, C.
        seed: Seed of everything that is random.
    """

    def __init__(self, target: Target, tuning: SharedStep | Windows, num_chains: int, seed: int) -> None:
        self._target, self._tuning = target, tuning
        self._keys = jax.random.split(jax.random.key(seed), num_chains)
        self._block = jax.jit(functools.partial(_block, target, tuning))

    def run(self, gaussians: list[Gaussian], standard: np.ndarray, num_samples: int, progress: bool) -> Record:
        """Draws from the posterior after a warm-up: Returns the draws, with positions in coordinates of the target.

        Args:
            gaussians: One Gaussian for each of the C chains.
            standard: Standard coordinates to start at, (C, P).
            num_samples: Number of draws of each chain, S.
            progress: Whether a bar is shown on stderr, where that is a terminal.
        """
        stacked = Gaussian(*(np.stack(parts) for parts in zip(*gaussians)))
        chains, tuned = self._chains_at(stacked, standard), self._tuning.start(self._target.num_coordinates, self._keys)
        num_warmup = self._tuning.num_warmup
        blocks: list[Record] = []
        with tqdm(
            total=num_warmup + num_samples, desc="NUTS, warm-up", unit="draw", disable=None if progress else True
        ) as bar:
            for first, last in _blocks(num_warmup, num_samples):
                if first == num_warmup:
                    bar.set_description("NUTS")
                arguments = chains, tuned, stacked, self._target.rows, np.int64(first), np.int64(last - first)
                chains, tuned, block = self._block(*arguments)
                if first >= num_warmup:
                    blocks.append(Record(*(np.asarray(part)[:, : last - first] for part in block)))
                bar.update(last - first)
        record = Record(*(np.concatenate(parts, axis=1) for parts in zip(*blocks)))
        return record._replace(positions=_at(stacked, record.positions))

    def _chains_at(self, gaussians: Gaussian, standard: np.ndarray) -> Chains:
        starts = [self._target.at(vector) for vector in _at(gaussians, standard[:, None])[:, 0]]
        gradients = np.einsum("cpq,cp->cq", gaussians.factor, np.stack([gradient for _, gradient in starts]))
        return Chains(standard, np.array([potential for potential, _ in starts]), gradients, self._keys)


def _at(gaussians: Gaussian, standard: np.ndarray) -> np.ndarray:
    """Computes the target's coordinates (C, S, P) from standard ones."""
    return gaussians.offset[:, None] + standard @ gaussians.factor.swapaxes(1, 2)


def _blocks(num_warmup: int, num_samples: int) -> list[tuple[int, int]]:
    """Lists the first draw of each block and the one after its last; warm-up ends between two blocks."""
    ends = [*range(0, num_warmup, BLOCK), *range(num_warmup, num_warmup + num_samples, BLOCK), num_warmup + num_samples]
    return list(zip(ends[:-1], ends[1:]))


def _block(
    target: Target,
    tuning: SharedStep | Windows,
    chains: Chains,
    tuned: Any,
    gaussians: Gaussian,
    rows: Array,
    first: Array,
    num_draws: Array,
) -> tuple[Chains, Any, Record]:
    """Takes `num_draws` draws, starting with number `first`: Returns chains and tuning afterwards, and their record."""
    shape = chains.positions.shape
    draw = _for_each_chain(functools.partial(_draw, target, rows), shape[0])

    def body(index: Array, carry: tuple[Chains, Any, Record]) -> tuple[Chains, Any, Record]:
        chains, tuned, record = carry
        chains, drawn = draw(chains, gaussians, *tuning.step_and_mass(tuned, *shape))
        number = first + index
        tuned = jax.lax.cond(
            number < tuning.num_warmup,
            lambda state: tuning.update(number, drawn.acceptance_rate, chains.positions, state),
            lambda state: state,
            tuned,
        )
        return chains, tuned, jax.tree.map(lambda all_draws, new: all_draws.at[:, index].set(new), record, drawn)

    one = jnp.zeros((shape[0], BLOCK))
    record = Record(jnp.zeros((shape[0], BLOCK, shape[1])), one, one.astype(bool), one.astype(int), one, one)
    return jax.lax.fori_loop(0, num_draws, body, (chains, tuned, record))


def _for_each_chain(draw: Callable[..., Any], num_chains: int) -> Callable[..., Any]:
    """Lifts `draw` to arguments with an axis of chains; for one chain without vmap, which traces twice as long."""
    if num_chains > 1:
        return jax.vmap(draw)

    def draw_one(*arguments: Any) -> Any:
        drawn = draw(*jax.tree.map(lambda part: part[0], arguments))
        return jax.tree.map(lambda part: part[None], drawn)

    return draw_one


def _draw(
    target: Target, rows: Array, chain: Chains, gaussian: Gaussian, step_size: Array, inverse_mass: Array
) -> tuple[Chains, Record]:
    """Takes one draw of one chain: Returns the chain afterwards, and the record of the draw."""

    def potential(position: Array) -> Array:
        return target.potential(gaussian.offset + gaussian.factor @ position, rows)

    key, momentum_key, tree_key = jax.random.split(chain.keys, 3)
    momentum = jax.random.normal(momentum_key, chain.positions.shape) / jnp.sqrt(inverse_mass)
    _, integrate = velocity_verlet(potential, euclidean_kinetic_energy)
    here = IntegratorState(chain.positions, momentum, chain.potentials, chain.gradients)
    tree = build_tree(integrate, euclidean_kinetic_energy, here, inverse_mass, step_size, tree_key)
    rate = tree.sum_accept_probs / tree.num_proposals
    moved = Chains(tree.z_proposal, tree.z_proposal_pe, tree.z_proposal_grad, key)
    figures = -tree.z_proposal_pe, tree.diverging, tree.num_proposals, rate, tree.z_proposal_energy
    return moved, Record(tree.z_proposal, *figures)
