"""Convolutional encoder and decoder, for images of any size: ``(H, W)`` grey, ``(H, W, C)`` with the channels last.

Each layer of the encoder halves height and width, rounding up (13 → 7 → 4), and the decoder goes the same way back. A
fully connected part stands between the smallest features and the output, or z; labels enter there.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from ppl_vae.networks.dense import mlp, nonlinearity_of, num_in, with_conditions, with_label
from ppl_vae.networks.precision import network
from ppl_vae.networks.scaling import Scaling
from ppl_vae.programs.holes import beside_mask, shape_beside_mask
from ppl_vae.programs.layout import channels_first
from ppl_vae.runtime.errors import UserError


class ConvEncoder(nn.Module):
    """From an image (and its label) to numbers about it: ``(..., *event) -> (..., out_size)``.

    Args:
        event_shape: shape of one image, ``(H, W)`` or ``(H, W, C)``.
        out_size: how many numbers, for instance a family's ``num_params``.
        channels: widths of the convolutions, from x upwards; each has stride 2.
        hidden: widths of the fully connected hidden layers behind them, from x upwards.
        activation: name of the nonlinearity.
        num_classes: how many labels there are, if it is to read them; 0 to read x alone.
        holes: whether it reads which numbers of x were seen.
        conditions: what brings conditions to unit scale, if it is to read them; None to read none.

    Raises:
        UserError: an event that is no image, no channels, or unknown activation.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        out_size: int,
        channels: Sequence[int] = (32, 64),
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        num_classes: int = 0,
        *,
        holes: bool = False,
        conditions: Scaling | None = None,
    ) -> None:
        super().__init__()
        self.event_dim, self.num_classes, self.holes = len(event_shape), num_classes, holes
        sizes, depth = _pyramid(shape_beside_mask(tuple(event_shape)) if holes else event_shape, len(channels))
        self.pixels = (*sizes[0], depth)
        layers: list[nn.Module] = []
        for below, above in pairwise((depth, *channels)):
            layer = nn.Conv2d(below, above, kernel_size=3, stride=2, padding=1)
            layers += [_started(layer, num_terms=9 * below), nonlinearity_of(activation)()]
        self.conv = nn.Sequential(*layers)
        self.num_features = channels[-1] * prod(sizes[-1])
        self.conditions = conditions
        self.net = mlp(self.num_features + num_classes + num_in(conditions), hidden, out_size, activation)

    def forward(
        self, x: Tensor, y: Tensor | None = None, mask: Tensor | None = None, c: Tensor | None = None
    ) -> Tensor:
        """X ``(..., batch, *event)``, labels ``(batch,)``, what was seen of x and conditions ``(batch, C)`` to
        ``(..., batch, out_size)``."""
        leading = x.shape[: x.dim() - self.event_dim]
        pixels = (beside_mask(x, mask, self.event_dim) if self.holes else x).reshape(-1, *self.pixels).movedim(-1, 1)
        with network(x.device):
            features = self.conv(pixels).movedim(1, -1).reshape(*leading, self.num_features)
            out: Tensor = self.net(with_conditions(with_label(features, y, self.num_classes), c, self.conditions))
        return out.to(x.dtype)


class ConvDecoder(nn.Module):
    """From a latent (and a label) to the parameter of its image's likelihood: ``(..., latent_dim) -> (..., *event)``.

    Its kernels are 4 wide: at stride 2 every pixel is then reached by as many weights as its neighbours, where 3 would
    start it on a checkerboard (Odena et al. 2016). What doubling has too much of an odd size is cut off.

    Args:
        latent_dim: size of z.
        event_shape: shape of one image, ``(H, W)`` or ``(H, W, C)``.
        channels: widths of the features, from z downwards; each is followed by a transposed convolution of stride 2.
        hidden: widths of the fully connected hidden layers before them, from z downwards.
        activation: name of the nonlinearity.
        start: what it puts out before it is trained, give or take, ``(*event)``: each pixel has a bias.
        num_classes: how many labels there are, if it is to read them; 0 to read z alone.
        outputs: ``(K,)`` where the likelihood needs K numbers for each of x; its output is ``(..., *event, K)`` then.
        conditions: what brings conditions to unit scale, if it is to read them; None to read none.

    Raises:
        UserError: an event that is no image, no channels, or unknown activation.
    """

    def __init__(
        self,
        latent_dim: int,
        event_shape: Sequence[int],
        channels: Sequence[int] = (64, 32),
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        start: Tensor | None = None,
        num_classes: int = 0,
        *,
        outputs: Sequence[int] = (),
        conditions: Scaling | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.event_shape, self.num_classes = (*event_shape, *outputs), num_classes
        sizes, depth = _pyramid(event_shape, len(channels))
        *self.sizes, smallest = sizes
        self.features = (*smallest, channels[0])
        self.conditions = conditions
        self.net = mlp(latent_dim + num_classes + num_in(conditions), hidden, prod(self.features), activation)
        self.nonlinearity = nonlinearity_of(activation)()
        # A convolution's own bias is one for each channel, and of the last one's the pixels' take the place.
        self.conv = nn.ModuleList()
        for number, (above, below) in enumerate(pairwise((*channels, depth * prod(outputs))), start=1):
            own_bias = number < len(channels)
            layer = nn.ConvTranspose2d(above, below, kernel_size=4, stride=2, padding=1, bias=own_bias)
            self.conv.append(_started(layer, num_terms=4 * above))  # 2 × 2 weights of the kernel reach one pixel
        self.bias = nn.Parameter(torch.zeros(self.event_shape) if start is None else start.clone())

    def forward(self, z: Tensor, y: Tensor | None = None, c: Tensor | None = None) -> Tensor:
        """Z ``(..., batch, latent_dim)``, labels ``(batch,)`` and conditions ``(batch, C)`` to a parameter a pixel,
        ``(..., batch, *event)``."""
        with network(z.device):
            features = self.net(with_conditions(with_label(z, y, self.num_classes), c, self.conditions))
            pixels = features.reshape(-1, *self.features).movedim(-1, 1)
            for layer, (height, width) in zip(self.conv, reversed(self.sizes), strict=True):
                pixels = layer(self.nonlinearity(pixels))[..., :height, :width]
        shaped: Tensor = pixels.movedim(1, -1).reshape(*z.shape[:-1], *self.event_shape).to(z.dtype) + self.bias
        return shaped


def _started(layer: nn.Conv2d | nn.ConvTranspose2d, num_terms: int) -> nn.Module:
    """The layer, its weights drawn with variance 2 / (terms in one sum): it keeps the scale of what a ReLU hands it.

    Torch's own start loses a factor of six in variance at each layer. Too little of z then reaches the pixels, and q
    falls back to the prior: on MNIST it was still there after six epochs (He et al. 2015).
    """
    bound = (6 / num_terms) ** 0.5
    nn.init.uniform_(layer.weight, -bound, bound)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _pyramid(event_shape: Sequence[int], num_layers: int) -> tuple[list[tuple[int, int]], int]:
    """Height and width of the image and after each halving, and the image's number of channels."""
    if channels_first(tuple(event_shape)):
        raise UserError(
            f"an image of shape {tuple(event_shape)} has its channels first, and convolutions here take (H, W, C); "
            "bring them behind, x.movedim(1, -1)."
        )
    match tuple(event_shape):
        case (height, width):
            depth = 1
        case (height, width, depth):
            pass
        case shape:
            raise UserError(
                f"convolutions take images, (H, W) or (H, W, C), and an observation here has shape {shape}; "
                "reshape it, or use `net` mlp."
            )
    if num_layers == 0:
        raise UserError("a convolutional network has at least one layer; give `channels` a width, or use `net` mlp.")
    sizes = [(height, width)]
    for _ in range(num_layers):
        height, width = (height + 1) // 2, (width + 1) // 2
        sizes.append((height, width))
    return sizes, depth
