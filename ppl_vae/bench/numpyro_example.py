"""NumPyro's way: SVI under one jit, as in its VAE example (https://num.pyro.ai/en/stable/examples/vae.html).

An epoch is a loop on the device: minibatches are gathered, binarized and stepped over inside. Networks are jax's own
stax, as there. Products are float32 on every device (jax's default on a GPU is TF32).
"""

import jax
import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jax import Array, lax, random
from jax.example_libraries import stax
from numpyro.infer import SVI, RenyiELBO, Trace_ELBO

from ppl_vae.bench.sizes import Size

_ACTIVATIONS = {"softplus": stax.Softplus, "tanh": stax.Tanh}


def has_device(kind: str) -> bool:
    """Whether this jax can compute on ``cpu``, ``cuda``."""
    try:
        return bool(jax.devices(kind))
    except RuntimeError:
        return False


class NumPyroExample:
    """Steps of a jitted epoch; see :class:`ppl_vae.bench.contenders.Contender`."""

    def __init__(self, size: Size, device: str) -> None:
        self.size = size
        self.device = jax.devices(device)[0]
        self.svi = _svi(size)
        with self._place():
            self.x = jnp.asarray(size.observations())
            self.key, key = random.split(random.PRNGKey(0))
            self.state = self.svi.init(key, jnp.round(self.x[: size.batch_size]))
        self.stretch = jax.jit(self._stretch, donate_argnums=0)
        self.reorder = jax.jit(self._reorder)
        self.order: Array = None
        self.position = self.steps_per_epoch = size.num_rows // size.batch_size

    def _place(self) -> "jax.default_device":
        return jax.default_device(self.device)

    def _reorder(self, key: Array) -> tuple[Array, Array]:
        key, mine = random.split(key)
        return key, random.permutation(mine, self.size.num_rows)

    def _stretch(
        self, state: object, total: Array, key: Array, x: Array, order: Array, begin: int, end: int
    ) -> tuple[object, Array]:
        """The steps ``begin`` to ``end`` of an epoch, on the device."""
        batch_size = self.size.batch_size

        def body(step: Array, carried: tuple[object, Array]) -> tuple[object, Array]:
            state, total = carried
            index = lax.dynamic_slice(order, (step * batch_size,), (batch_size,))
            grey = x[index]
            bits = random.bernoulli(random.fold_in(key, step), grey).astype(grey.dtype)
            state, loss = self.svi.update(state, bits)
            return state, total + loss

        after: tuple[object, Array] = lax.fori_loop(begin, end, body, (state, total))
        return after

    def run(self, steps: int) -> float:
        """Take steps; the mean loss of them in nats per datapoint."""
        with self._place(), jax.default_matmul_precision("highest"):
            left, total = steps, jnp.zeros(())  # Python's 0.0 would be another type, and compiled for apart
            while left:
                if self.position == self.steps_per_epoch:
                    self.key, self.order = self.reorder(self.key)
                    self.position = 0
                end = min(self.steps_per_epoch, self.position + left)
                self.state, total = self.stretch(self.state, total, self.key, self.x, self.order, self.position, end)
                left -= end - self.position
                self.position = end
            return float(total) / steps / self.size.batch_size


def _svi(size: Size) -> SVI:
    activation = _ACTIVATIONS[size.activation]

    def hidden(widths: tuple[int, ...]) -> list[object]:
        return [layer for width in widths for layer in (stax.Dense(width), activation)]

    heads = (
        stax.FanOut(2),
        stax.parallel(stax.Dense(size.latent_dim), stax.serial(stax.Dense(size.latent_dim), stax.Exp)),
    )
    encoder = stax.serial(*hidden(size.hidden), *heads)
    decoder = stax.serial(*hidden(tuple(reversed(size.hidden))), stax.Dense(size.pixels))

    def model(x: Array) -> None:
        decode = numpyro.module("decoder", decoder, (size.batch_size, size.latent_dim))
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(0, 1).expand([size.latent_dim]).to_event(1))
            numpyro.sample("obs", dist.Bernoulli(logits=decode(z)).to_event(1), obs=x)

    def guide(x: Array) -> None:
        encode = numpyro.module("encoder", encoder, (size.batch_size, size.pixels))
        loc, scale = encode(x)
        with numpyro.plate("data", len(x)):
            numpyro.sample("z", dist.Normal(loc, scale).to_event(1))

    loss = Trace_ELBO() if size.num_particles == 1 else RenyiELBO(alpha=0, num_particles=size.num_particles)
    return SVI(model, guide, numpyro.optim.Adam(1e-3), loss)
