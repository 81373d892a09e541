"""A network taken apart into layers of plain arrays, as ``js/networks.js`` computes them."""

import base64
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


Layer = Dense | Activation


def layers_of(network: nn.Sequential) -> list[Layer]:
    """The layers of a network of ``nn.Linear`` and activations.

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
    if isinstance(layer, Activation):
        return {"activation": layer.name}
    return {"weight": packed(layer.weight), "bias": packed(layer.bias)}


def packed(array: ArrayLike) -> dict[str, Any]:
    """An array as JSON has it: its shape, and its numbers in base64, float32 with the lowest byte first or uint8."""
    values = np.asarray(array)
    values = np.ascontiguousarray(values, dtype="u1" if values.dtype == np.uint8 else "<f4")
    kind = "uint8" if values.dtype == np.uint8 else "float32"
    return {"shape": list(values.shape), "kind": kind, "base64": base64.b64encode(values.tobytes()).decode()}


def _float32(array: ArrayLike) -> NDArray[np.float32]:
    return np.asarray(array, dtype=np.float32)
