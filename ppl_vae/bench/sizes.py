"""What is timed: sizes of networks and batches, and random grey levels of their shape.

Imports neither torch nor jax: a process that measures one of them is not to load the other.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Activation = Literal["softplus", "tanh"]


class Size(NamedTuple):
    """A variational autoencoder and its minibatch.

    Args:
        pixels: numbers in an observation.
        hidden: widths of the encoder's hidden layers; the decoder has them in reverse.
        latent_dim: size of z.
        batch_size: datapoints in a step.
        num_rows: N, resident datapoints; a multiple of the batch size.
        activation: after each hidden layer.
        num_particles: draws of z for each datapoint; above 1 the loss is the importance bound's (Burda et al. 2016).
    """

    pixels: int
    hidden: tuple[int, ...]
    latent_dim: int
    batch_size: int
    num_rows: int
    activation: Activation = "softplus"
    num_particles: int = 1

    def __str__(self) -> str:
        """As in 784-400-50, batch 256."""
        widths = "-".join(map(str, (self.pixels, *self.hidden, self.latent_dim)))
        draws = f", importance bound of {self.num_particles} draws" if self.num_particles > 1 else ""
        return f"{widths} {self.activation}, batch {self.batch_size}{draws}"

    @property
    def widths(self) -> tuple[int, ...]:
        """The encoder's, from pixels to the top hidden layer."""
        return (self.pixels, *self.hidden)

    @property
    def decoder_widths(self) -> tuple[int, ...]:
        """The decoder's, from z to pixels."""
        return (self.latent_dim, *reversed(self.hidden), self.pixels)


_BURDA = Size(784, (200, 200), 50, batch_size=20, num_rows=60_000, activation="tanh")
SIZES = {
    "digits": Size(64, (128,), 10, batch_size=128, num_rows=1_792),
    "mnist": Size(784, (400,), 50, batch_size=256, num_rows=59_904),
    "burda": _BURDA,
    "burda-iwae": _BURDA._replace(num_particles=50),
}


def grey_levels(size: Size) -> NDArray[np.float32]:
    """Random observations in [0, 1], ``(num_rows, pixels)``, some pixels brighter than others: there is something to
    learn. Speed does not depend on their values, so none need be downloaded."""
    brightness = np.linspace(0, 1, size.pixels, dtype=np.float32) ** 2
    noise: NDArray[np.float32] = np.random.default_rng(0).random((size.num_rows, size.pixels), dtype=np.float32)
    noise *= brightness
    return noise
