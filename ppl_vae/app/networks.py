"""Encoders and decoders by the flags ``--net``, ``--hidden``, ``--channels`` and ``--activation``."""

from typing import Literal, NamedTuple

from torch import Tensor

from ppl_vae.conv_nets import ConvDecoder, ConvEncoder
from ppl_vae.nets import Decoder, Encoder

Net = Literal["mlp", "conv"]


class Networks(NamedTuple):
    """What makes a run's networks for observations of one shape."""

    event_shape: tuple[int, ...]
    net: Net
    hidden: tuple[int, ...]
    channels: tuple[int, ...]
    activation: str

    def encoder(self, out_size: int, num_classes: int = 0) -> Encoder | ConvEncoder:
        """As :class:`ppl_vae.nets.Encoder`."""
        if self.net == "conv":
            return ConvEncoder(self.event_shape, out_size, self.channels, self.hidden, self.activation, num_classes)
        return Encoder(self.event_shape, out_size, self.hidden, self.activation, num_classes)

    def decoder(self, latent_dim: int, start: Tensor, num_classes: int = 0) -> Decoder | ConvDecoder:
        """As :class:`ppl_vae.nets.Decoder`; the widths are the encoder's in reverse."""
        hidden, channels = self.hidden[::-1], self.channels[::-1]
        if self.net == "conv":
            return ConvDecoder(latent_dim, self.event_shape, channels, hidden, self.activation, start, num_classes)
        return Decoder(latent_dim, self.event_shape, hidden, self.activation, start, num_classes)
