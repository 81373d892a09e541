"""Encoders and decoders by the flags ``--net``, ``--hidden``, ``--channels`` and ``--activation``."""

from typing import Literal, NamedTuple

from torch import Tensor

from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.networks.recurrent import RecurrentDecoder, RecurrentEncoder, logits_of_rates
from ppl_vae.programs.layout import Layout
from ppl_vae.runtime.errors import UserError

Net = Literal["mlp", "conv"]


class Networks(NamedTuple):
    """What makes a run's networks for observations of one shape."""

    event_shape: tuple[int, ...]
    layout: Layout
    net: Net
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    activation: str

    def encoder(self, out_size: int, num_classes: int = 0) -> Encoder | ConvEncoder:
        """As :class:`ppl_vae.networks.dense.Encoder`."""
        if self.net == "conv":
            return ConvEncoder(self.event_shape, out_size, self.channels, self.hidden, self.activation, num_classes)
        return Encoder(self.event_shape, out_size, self.hidden, self.activation, num_classes)

    def decoder(self, latent_dim: int, start: Tensor, num_classes: int = 0) -> Decoder | ConvDecoder:
        """As :class:`ppl_vae.networks.dense.Decoder`; the widths are the encoder's in reverse."""
        hidden, channels = self.hidden[::-1], self.channels[::-1]
        if self.net == "conv":
            return ConvDecoder(latent_dim, self.event_shape, channels, hidden, self.activation, start, num_classes)
        return Decoder(latent_dim, self.event_shape, hidden, self.activation, start, num_classes)

    def recurrent_encoder(self, out_size: int) -> RecurrentEncoder:
        """For sequences; see :class:`ppl_vae.networks.recurrent.RecurrentEncoder`."""
        return RecurrentEncoder(self.event_shape, out_size, self.hidden, self.layout)

    def recurrent_decoder(self, latent_dim: int, x_mean: Tensor) -> RecurrentDecoder:
        """For sequences; it starts at the rates of the training data, whose mean is ``x_mean``, ``(*event)``.

        Raises:
            UserError: observations that are no sequences, or networks of another kind asked for.
        """
        if self.net != "mlp":
            raise UserError(f"the sequence model's networks are recurrent, not {self.net}; leave --net out.")
        if len(self.event_shape) != 2:
            raise UserError(
                f"the sequence model needs x of shape (N, steps, size), not {self.event_shape} for each; reshape x."
            )
        start = logits_of_rates(x_mean, self.layout)
        return RecurrentDecoder(latent_dim, self.event_shape, self.hidden[::-1], start)
