"""NumPyro's way to evaluate: the importance bound and annealing of a NumPyro pair at given weights, each under one jit.

NumPyro has neither as a function; its programs give the densities, jax what is around them. What our own estimators do
is done here too, in the same float32: as many draws in the same portions, the pilot chains, jittered step sizes and
Hamiltonian transitions of :mod:`ppl_vae.evaluation.annealing`, without the errors that an estimate of ours comes with.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import Array, lax, random
from numpy.typing import NDArray
from numpyro import handlers
from numpyro.infer.util import compute_log_probs

_ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"softplus": jax.nn.softplus, "tanh": jnp.tanh}
_UNIT, _SMALLEST_SCALE = math.log(math.e - 1), 1e-4
_TARGET, _FIRST_STEP, _SMALLEST, _LARGEST, _GAIN, _JITTER = 0.65, 0.1, 1e-4, 0.5, 0.2, 0.4

Floats = NDArray[Any]
Layers = Sequence[tuple[Floats, Floats]]
"""Weight ``(in, out)`` and bias of each layer."""


class _State(NamedTuple):
    """Chains: v, log p(v) and log p(x | v) and their gradients; see :class:`ppl_vae.evaluation.hmc.State`."""

    vector: Array
    base: Array
    ratio: Array
    base_gradient: Array
    ratio_gradient: Array

    def log_density(self, beta: Array) -> Array:
        return self.base + beta * self.ratio

    def gradient(self, beta: Array) -> Array:
        return self.base_gradient + beta * self.ratio_gradient


class NumPyroEvaluation:
    """A pair of fully connected networks with weights from elsewhere.

    Args:
        encoder: from x to mean and raw scale of z.
        decoder: from z to logits.
        activation: between layers.
        device: ``cpu``, ``cuda``.
    """

    def __init__(self, encoder: Layers, decoder: Layers, activation: str, device: str) -> None:
        self.device = jax.devices(device)[0]
        with jax.default_device(self.device):
            self.encoder, self.decoder = (
                [(jnp.asarray(weight), jnp.asarray(bias)) for weight, bias in layers] for layers in (encoder, decoder)
            )
        self.activation = _ACTIVATIONS[activation]
        self.latent_dim = self.decoder[0][0].shape[0]
        self.bound = jax.jit(self._bound, static_argnums=(2, 3))
        self.anneal = jax.jit(self._anneal, static_argnums=(2, 3))

    def importance_bound(self, x: Floats, num_samples: int, portion: int, seed: int) -> Floats:
        """log 1/K Σ w of each datapoint, ``(batch,)``.

        Args:
            x: bits, ``(batch, pixels)``.
            num_samples: K.
            portion: draws for each datapoint at a time.
            seed: of the draws.
        """
        with jax.default_device(self.device), jax.default_matmul_precision("highest"):
            return np.asarray(self.bound(jnp.asarray(x), random.PRNGKey(seed), num_samples, portion))

    def annealed_bound(
        self, x: Floats, num_chains: int, betas: Floats, pilot_betas: Floats, num_leapfrog: int, seed: int
    ) -> Floats:
        """log 1/C Σ w of chains from the prior, ``(batch,)``.

        Args:
            x: bits, ``(batch, pixels)``.
            num_chains: C.
            betas: the temperatures from 0 to 1.
            pilot_betas: those of the pilot chains.
            num_leapfrog: steps of each transition.
            seed: of the chains.
        """
        with jax.default_device(self.device), jax.default_matmul_precision("highest"):
            given = (jnp.asarray(each, dtype=jnp.float32) for each in (betas, pilot_betas))
            key = random.PRNGKey(seed)
            return np.asarray(self.anneal(jnp.asarray(x), key, num_chains, num_leapfrog, *given))

    # --- The programs

    def _network(self, layers: Sequence[tuple[Array, Array]], x: Array) -> Array:
        for number, (weight, bias) in enumerate(layers):
            x = x @ weight + bias
            if number + 1 < len(layers):
                x = self.activation(x)
        return x

    def _model(self, x: Array) -> None:
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(0, 1).expand([self.latent_dim]).to_event(1))
            numpyro.sample("x", dist.Bernoulli(logits=self._network(self.decoder, z)).to_event(1), obs=x)

    def _guide(self, x: Array) -> None:
        loc, raw = jnp.split(self._network(self.encoder, x), 2, axis=-1)
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal(loc, jax.nn.softplus(raw + _UNIT) + _SMALLEST_SCALE).to_event(1))

    def _prior_and_likelihood(self, x: Array, z: Array) -> tuple[Array, Array]:
        """Each ``(batch,)``."""
        found, _ = compute_log_probs(self._model, (x,), {}, {"z": z}, sum_log_prob=False)
        return found["z"], found["x"]

    # --- The importance bound

    def _bound(self, x: Array, key: Array, num_samples: int, portion: int) -> Array:
        def log_weight(key: Array) -> Array:
            drawn = handlers.trace(handlers.seed(self._guide, key)).get_trace(x)
            z = drawn["z"]["value"]
            return sum(self._prior_and_likelihood(x, z)) - drawn["z"]["fn"].log_prob(z)

        def add(total: Array, key: Array) -> tuple[Array, None]:
            terms = jax.vmap(log_weight)(random.split(key, portion))
            return jnp.logaddexp(total, jax.nn.logsumexp(terms, axis=0)), None

        whole, rest = divmod(num_samples, portion)
        last, *keys = random.split(key, 1 + whole)
        total, _ = lax.scan(add, jnp.full(len(x), -jnp.inf), jnp.stack(keys))
        if rest:
            terms = jax.vmap(log_weight)(random.split(last, rest))
            total = jnp.logaddexp(total, jax.nn.logsumexp(terms, axis=0))
        return total - math.log(num_samples)

    # --- Annealing

    def _anneal(
        self, x: Array, key: Array, num_chains: int, num_leapfrog: int, betas: Array, pilot_betas: Array
    ) -> Array:
        shape = num_chains, len(x), self.latent_dim
        first, second, pilots, chains = random.split(key, 4)
        evaluate = partial(self._evaluate, x)
        transition = partial(_transition, evaluate, num_leapfrog)

        def pilot(carried: tuple[_State, Array], given: tuple[Array, Array]) -> tuple[tuple[_State, Array], Array]:
            state, step_size = carried
            state, acceptance = transition(state, given[0], step_size, given[1])
            step_size = jnp.clip(step_size * jnp.exp(_GAIN * (acceptance.mean(0) - _TARGET)), _SMALLEST, _LARGEST)
            return (state, step_size), step_size

        began = evaluate(random.normal(first, shape)), jnp.full(len(x), _FIRST_STEP)
        _, found = lax.scan(pilot, began, (pilot_betas[1:], random.split(pilots, len(pilot_betas) - 1)))
        step_sizes = found[jnp.linspace(0, len(found) - 1, len(betas) - 2).round().astype(int)]

        def rise(carried: tuple[_State, Array], given: tuple[Array, ...]) -> tuple[tuple[_State, Array], None]:
            state, log_weight = carried
            step, beta, step_size, key = given
            log_weight += step * state.ratio
            state, _ = transition(state, beta, step_size, key)
            return (state, log_weight), None

        began = evaluate(random.normal(second, shape)), jnp.zeros(shape[:2])
        steps, keys = jnp.diff(betas), random.split(chains, len(betas) - 2)
        (state, log_weight), _ = lax.scan(rise, began, (steps[:-1], betas[1:-1], step_sizes, keys))
        log_weight += steps[-1] * state.ratio
        return jax.nn.logsumexp(log_weight, axis=0) - math.log(num_chains)

    def _evaluate(self, x: Array, vector: Array) -> _State:
        densities = jax.vmap(partial(self._prior_and_likelihood, x))
        (base, ratio), back = jax.vjp(densities, vector)
        one, none = jnp.ones_like(base), jnp.zeros_like(base)
        (base_gradient,), (ratio_gradient,) = back((one, none)), back((none, one))
        return _State(vector, base, ratio, base_gradient, ratio_gradient)


def _transition(
    evaluate: Callable[[Array], _State], num_leapfrog: int, state: _State, beta: Array, step_size: Array, key: Array
) -> tuple[_State, Array]:
    """A trajectory of every chain, accepted or not; see :func:`ppl_vae.evaluation.hmc.transition`."""
    of_step, of_momentum, of_choice = random.split(key, 3)
    jitter = 1 + _JITTER * (2 * random.uniform(of_step, state.base.shape) - 1)
    step = (step_size * jitter)[..., None]
    momentum = random.normal(of_momentum, state.vector.shape)
    before = state.log_density(beta) - 0.5 * (momentum**2).sum(-1)
    momentum += 0.5 * step * state.gradient(beta)

    def leap(_: int, carried: tuple[_State, Array]) -> tuple[_State, Array]:
        moved, momentum = carried
        moved = evaluate(moved.vector + step * momentum)
        return moved, momentum + step * moved.gradient(beta)

    moved, momentum = lax.fori_loop(0, num_leapfrog, leap, (state, momentum))
    momentum -= 0.5 * step * moved.gradient(beta)  # the last half step was a whole one
    after = moved.log_density(beta) - 0.5 * (momentum**2).sum(-1)
    usable = jnp.isfinite(after) & ~jnp.isnan(before)
    acceptance = jnp.exp(jnp.minimum(jnp.where(usable, after - before, -jnp.inf), 0.0))
    accepted = random.uniform(of_choice, acceptance.shape) < acceptance

    def chosen(new: Array, old: Array) -> Array:
        return jnp.where(accepted.reshape(accepted.shape + (1,) * (new.ndim - accepted.ndim)), new, old)

    return _State(*map(chosen, moved, state)), acceptance
