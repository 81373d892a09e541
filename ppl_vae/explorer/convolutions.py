"""Convolutional networks taken apart: images are flat, row by row, their channels last, as our networks have them."""

from math import prod

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ppl_vae.explorer.networks import Ahead, Convolution, Layer, Shift, layers_of
from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder


def encoder_layers(encoder: ConvEncoder) -> list[Layer]:
    """Those of an encoder: convolutions of the image, then the rest of it with the label.

    Raises:
        ValueError: somebody has put modules into it that a browser has not.
    """
    height, width, _ = encoder.pixels
    layers: list[Layer] = []
    for module in encoder.conv:
        if type(module) is not nn.Conv2d:
            layers += layers_of(nn.Sequential(module))
            continue
        before, (height, width) = (height, width), ((height + 1) // 2, (width + 1) // 2)
        weight = module.weight.permute(2, 3, 1, 0)
        layers.append(_convolution(module, weight, before, (height, width), transposed=False))
    return [Ahead(prod(encoder.pixels), layers), *layers_of(encoder.net)]


def decoder_layers(decoder: ConvDecoder) -> list[Layer]:
    """Those of a decoder.

    Raises:
        ValueError: as for an encoder.
    """
    layers, before = layers_of(decoder.net), (decoder.features[0], decoder.features[1])
    for module, after in zip(decoder.conv, reversed(decoder.sizes), strict=True):
        if type(module) is not nn.ConvTranspose2d:
            raise ValueError(f"a browser has no {module!r} here; it has ConvTranspose2d")
        weight = module.weight.permute(2, 3, 0, 1)
        layers += layers_of(nn.Sequential(decoder.nonlinearity))
        layers.append(_convolution(module, weight, before, after, transposed=True))
        before = after
    return [*layers, Shift(_array(decoder.bias.flatten()))]


def _convolution(
    module: nn.Conv2d | nn.ConvTranspose2d,
    weight: Tensor,
    before: tuple[int, int],
    after: tuple[int, int],
    *,
    transposed: bool,
) -> Convolution:
    stride, padding = module.stride[0], module.padding[0]
    bias = np.zeros(module.out_channels, dtype=np.float32) if module.bias is None else _array(module.bias)
    return Convolution(_array(weight), bias, before, after, stride, int(padding), transposed)


def _array(values: Tensor) -> NDArray[np.float32]:
    found: NDArray[np.float32] = values.detach().cpu().float().contiguous().numpy()
    return found
