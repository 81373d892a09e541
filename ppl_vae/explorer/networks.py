"""A network taken apart into layers of plain arrays, as ``js/networks.js`` computes them."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

# Of torch's modules those that networks.js knows, by its names for them; with torch's defaults only.
_ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.Tanh: "tanh",
    nn.Softplus: "softplus",
    nn.GELU: "gelu",
    nn.SiLU: "silu",
    nn.ELU: "elu",
}


class Dense(NamedTuple):
    """x ↦ Wx + b.

    Args:
        weight: W, ``(out, in)``, float32.
        bias: b, ``(out,)``, float32.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]


class Activation(NamedTuple):
    """A nonlinearity, element by element.

    Args:
        name: relu, tanh, softplus, gelu (exact, by the error function), silu or elu.
    """

    name: str


class Shift(NamedTuple):
    """x ↦ x + b.

    Args:
        bias: b, ``(size,)``, float32.
    """

    bias: NDArray[np.float32]


class Scales(NamedTuple):
    """Columns of a table as an encoder reads them: counts to log(1 + x), others to (x − shift) / unit.

    Numbers behind them, a label, stay as they are.

    Args:
        counted: 1 for each column of counts, 0 for others, ``(D,)``, uint8.
        shift: ``(D,)``, float32.
        unit: ``(D,)``, float32.
    """

    counted: NDArray[np.uint8]
    shift: NDArray[np.float32]
    unit: NDArray[np.float32]


class Convolution(NamedTuple):
    """A convolution of an image ``(height, width, channels)``, flat, or a transposed one; what is outside counts as 0.

    Args:
        weight: ``(kernel height, kernel width, in, out)``, float32.
        bias: ``(out,)``, float32.
        before: height and width of the image.
        after: of the result; what a transposed one has more is cut off below and at the right.
        stride: pixels of the larger image to one of the smaller.
        padding: how far the kernel begins outside the larger image.
        transposed: whether the result is the larger one.
    """

    weight: NDArray[np.float32]
    bias: NDArray[np.float32]
    before: tuple[int, int]
    after: tuple[int, int]
    stride: int
    padding: int
    transposed: bool


class Ahead(NamedTuple):
    """Layers for the first numbers only; those behind them, a label, stay as they are.

    Args:
        size: how many go through the layers.
        layers: in their order.
    """

    size: int
    layers: Sequence["Layer"]


Layer = Dense | Activation | Shift | Scales | Convolution | Ahead
"""A layer that the page computes."""


def layers_of(network: nn.Sequential) -> list[Layer]:
    """The layers of a network of ``nn.Linear`` and activations.

    Args:
        network: the modules, in their order.

    Raises:
        ValueError: another module is among them, or an activation with settings of its own.
    """
    return [_layer(module) for module in network]


def _layer(module: nn.Module) -> Layer:
    if type(module) is nn.Linear:
        bias = np.zeros(module.out_features) if module.bias is None else module.bias.detach().cpu()
        return Dense(_float32(module.weight.detach().cpu()), _float32(bias))
    kind = type(module)
    # What is printed of a module are its settings: as printed by default, so computed by default.
    if kind in _ACTIVATIONS and repr(module) == repr(kind()):
        return Activation(_ACTIVATIONS[kind])
    raise ValueError(f"a browser has no {module!r}; it has Linear, {', '.join(k.__name__ for k in _ACTIVATIONS)}")


def plain(layer: Layer) -> dict[str, Any]:
    """A layer as JSON has it."""
    match layer:
        case Activation(name):
            return {"kind": "activation", "name": name}
        case Dense(weight, bias):
            return {"kind": "dense", "weight": packed(weight), "bias": packed(bias)}
        case Shift(bias):
            return {"kind": "shift", "bias": packed(bias)}
        case Scales(counted, shift, unit):
            return {"kind": "scales", "counted": packed(counted), "shift": packed(shift), "unit": packed(unit)}
        case Convolution(weight, bias):
            return {"kind": "convolution", **layer._asdict(), "weight": packed(weight), "bias": packed(bias)}
        case Ahead(size, layers):
            return {"kind": "ahead", "size": size, "layers": [plain(each) for each in layers]}


def packed(array: ArrayLike) -> dict[str, Any]:
    """An array as JSON has it: its shape, and its numbers in base64, float32 with the lowest byte first or uint8."""
    values = np.asarray(array)
    values = np.ascontiguousarray(values, dtype="u1" if values.dtype == np.uint8 else "<f4")
    kind = "uint8" if values.dtype == np.uint8 else "float32"
    return {"shape": list(values.shape), "kind": kind, "base64": base64.b64encode(values.tobytes()).decode()}


def _float32(array: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(array, dtype=np.float32)
