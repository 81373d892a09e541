"""What is timed: sizes of networks and batches, and random grey levels of their shape.

Imports neither torch nor jax: a process that measures one of them is not to load the other.
"""

from math import prod
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

    def observations(self) -> NDArray[np.float32]:
        """What steps are taken on, ``(num_rows, pixels)``."""
        return _grey_levels(self.num_rows, self.pixels)


_BURDA = Size(784, (200, 200), 50, batch_size=20, num_rows=60_000, activation="tanh")
SIZES = {
    "digits": Size(64, (128,), 10, batch_size=128, num_rows=1_792),
    "mnist": Size(784, (400,), 50, batch_size=256, num_rows=59_904),
    "burda": _BURDA,
    "burda-iwae": _BURDA._replace(num_particles=50),
}


def _grey_levels(num_rows: int, pixels: int) -> NDArray[np.float32]:
    """Random observations in [0, 1], ``(num_rows, pixels)``, some pixels brighter than others: there is something to
    learn. Speed does not depend on their values, so none need be downloaded."""
    brightness = np.linspace(0, 1, pixels, dtype=np.float32) ** 2
    noise: NDArray[np.float32] = np.random.default_rng(0).random((num_rows, pixels), dtype=np.float32)
    noise *= brightness
    return noise


class NetSize(NamedTuple):
    """A pair of other networks than fully connected ones, and its data.

    Args:
        event_shape: of an observation: height and width of an image, which halve evenly; steps and columns of a word.
        latent_dim: of z.
        hidden: width of the one fully connected hidden layer, or of the one LSTM layer.
        channels: of the encoder's convolutions, from the image upwards; the decoder's go back. None: words.
        batch_size: datapoints a step.
        num_rows: datapoints in memory.
    """

    event_shape: tuple[int, int]
    latent_dim: int
    hidden: int
    channels: tuple[int, ...]
    batch_size: int
    num_rows: int

    def __str__(self) -> str:
        """As in 28 × 28, channels 32 64, hidden 400, latent 20, batch 128."""
        channels = f", channels {' '.join(map(str, self.channels))}" if self.channels else ""
        shape = " × ".join(map(str, self.event_shape))
        return f"{shape}{channels}, hidden {self.hidden}, latent {self.latent_dim}, batch {self.batch_size}"

    def observations(self) -> NDArray[np.float32]:
        """Grey images or words, ``(num_rows, *event_shape)``."""
        if self.channels:
            return _grey_levels(self.num_rows, prod(self.event_shape)).reshape(-1, *self.event_shape)
        return _random_words(self)


IMAGES = NetSize((28, 28), 20, 400, (32, 64), batch_size=128, num_rows=8_192)
WORDS = NetSize((15, 27), 16, 400, (), batch_size=128, num_rows=8_192)


def _random_words(size: NetSize) -> NDArray[np.float32]:
    """Words of random letters, as long as people's names, ``(num_rows, steps, 1 + letters)``: column 0 says that the
    word goes on, the others are the letter, one-hot; after the end all are 0. Steps are taken on them as on any."""
    steps, columns = size.event_shape
    draws = np.random.default_rng(0)
    lengths = draws.normal(6.1, 1.6, size.num_rows).round().clip(2, steps)
    words = np.eye(columns - 1, dtype=np.float32)[draws.integers(columns - 1, size=(size.num_rows, steps))]
    words = np.concatenate([np.ones_like(words[..., :1]), words], axis=-1)
    words *= (np.arange(steps) < lengths[:, None])[..., None]
    return words
