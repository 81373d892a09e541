"""Fully connected encoder and decoder. All networks here accept leading dimensions: ``(..., batch, event)``."""

from collections.abc import Sequence
from math import e, log, prod
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from ppl_vae.networks.precision import network
from ppl_vae.networks.scaling import Scaling
from ppl_vae.programs.holes import beside_mask
from ppl_vae.programs.labels import note_classes
from ppl_vae.runtime.errors import unknown_name

Activation = Literal["relu", "tanh", "softplus", "gelu", "silu", "elu"]
_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "elu": nn.ELU,
}
assert set(get_args(Activation)) == set(_ACTIVATIONS)

# The smallest standard deviation of a posterior or prior: far below any that is learned, far above where its logarithm
# or its inverse square leaves float32. softplus alone reaches exactly 0 at −104.
SCALE_FLOOR = 1e-4
# softplus(0 + UNIT) = 1, so that zero parameters mean unit scale.
UNIT = log(e - 1)


def positive(raw: Tensor, floor: float = SCALE_FLOOR) -> Tensor:
    """Any real number to a scale of at least ``floor``; 0 to 1 + floor. Grows linearly, so it never overflows."""
    return softplus(raw + UNIT) + floor


def raw_scale(scale: Tensor, floor: float = SCALE_FLOOR) -> Tensor:
    """The inverse of :func:`positive`, for scales above the floor."""
    return (scale - floor).expm1().log() - UNIT


def mlp(in_size: int, hidden: Sequence[int], out_size: int, activation: str) -> nn.Sequential:
    """A fully connected network; no hidden widths make it linear.

    Args:
        in_size: size of the input, ``(..., in_size)``.
        hidden: widths of the hidden layers, from input to output.
        out_size: size of the output, ``(..., out_size)``.
        activation: name of the nonlinearity after each hidden layer.

    Raises:
        UserError: unknown activation.
    """
    nonlinearity = nonlinearity_of(activation)
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(in_size, width), nonlinearity()]
        in_size = width
    return nn.Sequential(*layers, nn.Linear(in_size, out_size))


def nonlinearity_of(activation: str) -> type[nn.Module]:
    """The nonlinearity of that name.

    Raises:
        UserError: unknown activation.
    """
    if activation not in _ACTIVATIONS:
        raise unknown_name("activation", activation, _ACTIVATIONS)
    return _ACTIVATIONS[activation]


def with_label(features: Tensor, y: Tensor | None, num_classes: int) -> Tensor:
    """Features ``(..., batch, size)`` with their labels ``(batch,)`` one-hot behind them, if there are classes."""
    if not num_classes:
        return features
    note_classes(num_classes)
    # Not functional.one_hot, which reads the labels to see that they are in range: a wait for the device at each call.
    one_hot = (cast(Tensor, y).unsqueeze(-1) == torch.arange(num_classes, device=features.device)).to(features)
    return torch.cat([features, one_hot.expand(*features.shape[:-1], num_classes)], dim=-1)


def with_conditions(features: Tensor, c: Tensor | None, scaling: Scaling | None) -> Tensor:
    """Features ``(..., batch, size)`` with their conditions ``(batch, C)`` behind them, scaled, if there are any."""
    if scaling is None:
        return features
    # Not by a call of the module, which pictures of a pair would show as a layer that x goes through too.
    scaled = ((cast(Tensor, c) - scaling.shift) / scaling.unit).to(features)
    return torch.cat([features, scaled.expand(*features.shape[:-1], scaled.shape[-1])], dim=-1)


def num_in(scaling: Scaling | None) -> int:
    """C, how many conditions are scaled; 0 without any."""
    return 0 if scaling is None else len(scaling.shift)


class Encoder(nn.Module):
    """From an observation (and its label and conditions) to numbers about it: ``(..., *event) -> (..., out_size)``.

    Args:
        event_shape: shape of one observation.
        out_size: how many numbers, for instance a family's ``num_params``.
        hidden: widths of the hidden layers, from x upwards.
        activation: name of the nonlinearity.
        num_classes: how many labels there are, if it is to read them; 0 to read x alone.
        holes: whether it reads which numbers of x were seen.
        scaling: what x goes through first, as :class:`ppl_vae.networks.scaling.Scaling`.
        conditions: what brings conditions to unit scale, if it is to read them; None to read none.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        out_size: int,
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        num_classes: int = 0,
        *,
        holes: bool = False,
        scaling: nn.Module | None = None,
        conditions: Scaling | None = None,
    ) -> None:
        super().__init__()
        self.event_dim, self.num_classes, self.holes = len(event_shape), num_classes, holes
        self.scaling, self.conditions = scaling, conditions
        in_size = prod(event_shape) * (1 + holes) + num_classes + num_in(conditions)
        self.net = mlp(in_size, hidden, out_size, activation)

    def forward(
        self, x: Tensor, y: Tensor | None = None, mask: Tensor | None = None, c: Tensor | None = None
    ) -> Tensor:
        """X ``(..., batch, *event)``, labels ``(batch,)``, what was seen of x and conditions ``(batch, C)`` to
        ``(..., batch, out_size)``."""
        read = x if self.scaling is None else self.scaling(x)
        numbers = beside_mask(read, mask, self.event_dim) if self.holes else read
        features = with_label(numbers.flatten(start_dim=x.dim() - self.event_dim), y, self.num_classes)
        with network(x.device):
            out: Tensor = self.net(with_conditions(features, c, self.conditions))
        return out.to(features.dtype)


class Decoder(nn.Module):
    """From a latent (and what is given) to the parameter of x's likelihood: ``(..., latent_dim) -> (..., *event)``.

    Args:
        latent_dim: size of z.
        event_shape: shape of one observation; ``(*event, K)`` of a likelihood that needs K numbers for each of x.
        hidden: widths of the hidden layers, from z downwards.
        activation: name of the nonlinearity.
        start: what it puts out before it is trained, give or take, ``(*event)``: the output bias. A likelihood knows
            one that suits the data (:meth:`ppl_vae.models.likelihoods.Likelihood.start`).
        num_classes: how many labels there are, if it is to read them; 0 to read z alone.
        conditions: what brings conditions to unit scale, if it is to read them; None to read none.
    """

    def __init__(
        self,
        latent_dim: int,
        event_shape: Sequence[int],
        hidden: Sequence[int] = (400,),
        activation: str = "relu",
        start: Tensor | None = None,
        num_classes: int = 0,
        *,
        conditions: Scaling | None = None,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.event_shape, self.num_classes, self.conditions = tuple(event_shape), num_classes, conditions
        self.net = mlp(latent_dim + num_classes + num_in(conditions), hidden, prod(event_shape), activation)
        if start is not None:
            bias = cast(Tensor, self.net[-1].bias)
            with torch.no_grad():
                bias.copy_(start.flatten())

    def forward(self, z: Tensor, y: Tensor | None = None, c: Tensor | None = None) -> Tensor:
        """Z ``(..., batch, latent_dim)``, labels ``(batch,)`` and conditions ``(batch, C)`` to a parameter a pixel,
        ``(..., batch, *event)``."""
        with network(z.device):
            output: Tensor = self.net(with_conditions(with_label(z, y, self.num_classes), c, self.conditions))
        shaped: Tensor = output.unflatten(-1, self.event_shape).to(z.dtype)
        return shaped
