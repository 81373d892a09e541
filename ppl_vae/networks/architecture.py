"""Encoders and decoders by the settings ``net``, ``hidden``, ``channels`` and ``activation``."""

import copy
from typing import Any, Literal

from torch import Tensor, nn

from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.dense import Activation, Decoder, Encoder
from ppl_vae.networks.recurrent import RecurrentDecoder, RecurrentEncoder, logits_of_rates
from ppl_vae.networks.scaling import Scaling
from ppl_vae.programs.layout import Layout
from ppl_vae.runtime.config import Size
from ppl_vae.runtime.errors import UserError

Net = Literal["mlp", "conv"]

READ_BY: dict[str, tuple[str, ...]] = {
    "mlp": ("hidden", "activation"),
    "conv": ("hidden", "channels", "activation"),
    "recurrent": ("hidden",),
}
"""Which of the settings networks of a kind read."""


class Networks:
    """What makes a run's networks for observations of one shape.

    Args:
        event_shape: of one observation.
        layout: how it is laid out.
        holes: whether numbers are missing, so that encoders read which were seen.
        scaling: what encoders of vectors send x through first; a module without parameters, or None.
        conditions: what brings the data's conditions to unit scale; None where it has none.
        net: fully connected (mlp) or convolutional (conv).
        hidden: Widths of the encoder's fully connected hidden layers from x upwards; the decoder has them in reverse.
            No width: linear.
        channels: With `net` conv: widths of the encoder's convolutions from x upwards, each of which halves height and
            width; the decoder has them in reverse. `hidden` comes behind them.
        activation: Nonlinearity after each hidden layer.

    Attributes:
        read: the names of the settings that the networks which have been made read.
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        layout: Layout,
        net: Net = "mlp",
        holes: bool = False,
        scaling: nn.Module | None = None,
        conditions: Scaling | None = None,
        *,
        hidden: tuple[Size, ...] = (400,),
        channels: tuple[Size, ...] = (32, 64),
        activation: Activation = "relu",
    ) -> None:
        self.event_shape, self.layout, self.net, self.holes = event_shape, layout, net, holes
        self.scaling, self.conditions = scaling, conditions
        self.hidden, self.channels, self.activation = hidden, channels, activation
        self.read: set[str] = set()

    def encoder(self, out_size: int, num_classes: int = 0, *, conditioned: bool = False) -> Encoder | ConvEncoder:
        """As :class:`ppl_vae.networks.dense.Encoder`, ``conditioned`` if it is to read the conditions."""
        self.read |= {"net", *READ_BY[self.net]}
        extras: Any = {"holes": self.holes, "conditions": self._conditions(conditioned)}
        if self.net == "conv":
            widths = self.channels, self.hidden
            return ConvEncoder(self.event_shape, out_size, *widths, self.activation, num_classes, **extras)
        extras["scaling"] = copy.deepcopy(self.scaling)
        return Encoder(self.event_shape, out_size, self.hidden, self.activation, num_classes, **extras)

    def _conditions(self, conditioned: bool) -> Scaling | None:
        return copy.deepcopy(self.conditions) if conditioned else None

    def decoder(
        self, latent_dim: int, start: Tensor, num_classes: int = 0, *, conditioned: bool = False
    ) -> Decoder | ConvDecoder:
        """As :class:`ppl_vae.networks.dense.Decoder`; the widths are the encoder's in reverse.

        Its outputs have the shape of ``start``, that of a likelihood (``likelihood.start(x_mean)``): ``(*event)``, or
        ``(*event, K)`` where the likelihood needs K numbers for each of x.
        """
        self.read |= {"net", *READ_BY[self.net]}
        hidden, channels = self.hidden[::-1], self.channels[::-1]
        if self.net == "conv":
            given: Any = latent_dim, self.event_shape, channels, hidden, self.activation, start, num_classes
            outputs = start.shape[len(self.event_shape) :]
            return ConvDecoder(*given, outputs=outputs, conditions=self._conditions(conditioned))
        widths: Any = hidden, self.activation, start, num_classes
        return Decoder(latent_dim, start.shape, *widths, conditions=self._conditions(conditioned))

    def recurrent_encoder(self, out_size: int) -> RecurrentEncoder:
        """For sequences; see :class:`ppl_vae.networks.recurrent.RecurrentEncoder`."""
        self.read |= {*READ_BY["recurrent"]}
        return RecurrentEncoder(self.event_shape, out_size, self.hidden, self.layout)

    def recurrent_decoder(self, latent_dim: int, x_mean: Tensor) -> RecurrentDecoder:
        """For sequences; it starts at the rates of the training data, whose mean is ``x_mean``, ``(*event)``.

        Raises:
            UserError: observations that are no sequences, or networks of another kind asked for.
        """
        if self.net != "mlp":
            raise UserError(f"the sequence model's networks are recurrent, not {self.net}; leave `net` out.")
        if len(self.event_shape) != 2:
            raise UserError(
                f"the sequence model needs x of shape (N, steps, size), not {self.event_shape} for each; reshape x."
            )
        self.read |= {*READ_BY["recurrent"]}
        start = logits_of_rates(x_mean, self.layout)
        return RecurrentDecoder(latent_dim, self.event_shape, self.hidden[::-1], start)
