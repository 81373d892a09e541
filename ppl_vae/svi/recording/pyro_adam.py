"""The optimizers of the Adam family that Pyro wraps, one torch optimizer a parameter, as tensors that a record moves.

torch's ``Adam`` and ``AdamW`` (Kingma and Ba 2015; Loshchilov and Hutter 2019) and Pyro's ``ClippedAdam``. The moments
are those that stand in the optimizers, counts and step sizes too, so that an eager step goes on where a recorded one
left off, and what is saved is right. Formulas and their order are the optimizers' own.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import torch
from pyro.optim import PyroOptim
from pyro.optim.clipped_adam import ClippedAdam
from torch import Tensor


class _Rule(ABC):
    """How an optimizer moves one parameter."""

    names = ("exp_avg", "exp_avg_sq")
    look: Callable[[dict[str, Any]], Any]
    """Of a group, all that may be set anew between steps and is part of the record."""

    @abstractmethod
    def settings(self, group: dict[str, Any]) -> tuple[Any, ...] | None:
        """What a record takes for granted; None if it cannot be one."""

    def rate(self, group: dict[str, Any]) -> float:
        """The step size of the step that comes."""
        return float(group["lr"])

    @abstractmethod
    def move(
        self,
        value: Tensor,
        gradient: Tensor,
        moments: list[Tensor],
        settings: tuple[Any, ...],
        numbers: Sequence[Tensor],
    ) -> list[Tensor]:
        """The next value and moments; ``numbers`` are the step size, 1 − β₁ᵗ and √(1 − β₂ᵗ)."""


class _Adam(_Rule):
    look = itemgetter("betas", "eps", "weight_decay", "amsgrad", "differentiable", "capturable", "fused", "maximize")

    def __init__(self, decoupled: bool) -> None:
        self.decoupled = decoupled

    def settings(self, group: dict[str, Any]) -> tuple[Any, ...] | None:
        if group["amsgrad"] or group["differentiable"] or group["capturable"] or group["fused"]:
            return None
        decoupled = group.get("decoupled_weight_decay", self.decoupled)
        return (*group["betas"], group["eps"], group["weight_decay"], decoupled, group["maximize"])

    def move(
        self,
        value: Tensor,
        gradient: Tensor,
        moments: list[Tensor],
        settings: tuple[Any, ...],
        numbers: Sequence[Tensor],
    ) -> list[Tensor]:
        beta1, beta2, epsilon, decay, decoupled, maximize = settings
        rate, of_mean, of_root = numbers
        if maximize:
            gradient = -gradient
        if decay and decoupled:
            value = value * (1 - rate * decay)
        elif decay:
            gradient = gradient + decay * value
        mean = moments[0].lerp(gradient, 1 - beta1)
        square = moments[1] * beta2 + (1 - beta2) * gradient * gradient
        return [value - (rate / of_mean) * (mean / (square.sqrt() / of_root + epsilon)), mean, square]


class _ClippedAdam(_Rule):
    look = itemgetter("betas", "eps", "weight_decay", "clip_norm", "centered_variance", "lrd")

    def settings(self, group: dict[str, Any]) -> tuple[Any, ...]:
        names = ("eps", "weight_decay", "clip_norm", "centered_variance", "lrd")
        return (*group["betas"], *(group[name] for name in names))

    def rate(self, group: dict[str, Any]) -> float:
        return float(group["lr"] * group["lrd"])

    def move(
        self,
        value: Tensor,
        gradient: Tensor,
        moments: list[Tensor],
        settings: tuple[Any, ...],
        numbers: Sequence[Tensor],
    ) -> list[Tensor]:
        beta1, beta2, epsilon, decay, clip, centered, _ = settings
        rate, of_mean, of_root = numbers
        gradient = gradient.clamp(-clip, clip)
        if decay:
            gradient = gradient + decay * value
        mean = moments[0] * beta1 + (1 - beta1) * gradient
        change = gradient - mean if centered else gradient
        square = moments[1] * beta2 + (1 - beta2) * change * change
        return [value - (rate * of_root / of_mean) * (mean / (square.sqrt() + epsilon)), mean, square]


# Of a class derived from one of these nothing is known.
_RULES: dict[type, _Rule] = {
    torch.optim.Adam: _Adam(False),
    torch.optim.AdamW: _Adam(True),
    ClippedAdam: _ClippedAdam(),
}


class _Member(NamedTuple):
    """A parameter with what its optimizer keeps of it."""

    param: Tensor
    optimizer: torch.optim.Optimizer
    states: Any  # of the optimizer, by parameter; another object once a state has been loaded
    state: dict[str, Any]
    group: dict[str, Any]
    rule: _Rule
    settings: tuple[Any, ...]
    seen: Any

    def step_size(self) -> tuple[Any, ...]:
        return (self.rule, *self.settings, self.rule.rate(self.group), int(self.state["step"]))


class PyroAdam:
    """Moves parameters as a Pyro optimizer would, in a graph.

    Args:
        members: of the parameters, in their order.
    """

    def __init__(self, members: Sequence[_Member]) -> None:
        self.members = members
        sizes = [member.step_size() for member in members]
        kinds = list(dict.fromkeys(sizes))
        self.kind_of = [kinds.index(size) for size in sizes]
        self.firsts = [members[self.kind_of.index(kind)] for kind in range(len(kinds))]
        self.moments = [[member.state[name] for name in member.rule.names] for member in members]
        self.counts = [member.state["step"] for member in members if isinstance(member.state["step"], Tensor)]
        self.counting = [member for member in members if not isinstance(member.state["step"], Tensor)]

    @classmethod
    def of(cls, optim: PyroOptim, params: Sequence[Tensor]) -> "PyroAdam | None":
        """The optimizers of these parameters after a first step; None where one is of another kind."""
        members = []
        for param in params:
            scheduled = optim.optim_objs.get(param)
            optimizer: Any = getattr(scheduled, "optimizer", scheduled)  # a scheduler has its own
            rule = _RULES.get(type(optimizer))
            if rule is None or optim.grad_clip.get(param) is not None or not optimizer.state.get(param):
                return None
            group = optimizer.param_groups[0]
            settings = rule.settings(group)
            if settings is None:
                return None
            state, seen = optimizer.state, rule.look(group)
            members.append(_Member(param, optimizer, state, state[param], group, rule, settings, seen))
        return cls(members)

    def is_same(self) -> bool:
        """Whether the state stands where it stood and is advanced alike, with the settings that it had."""
        if not all([member.optimizer.state is member.states for member in self.members]):
            return False
        if not all([member.rule.look(member.group) == member.seen for member in self.members]):
            return False
        rates = [first.group["lr"] for first in self.firsts]
        return all([m.group["lr"] == rates[kind] for m, kind in zip(self.members, self.kind_of, strict=True)])

    def counts_are_same(self) -> bool:
        """Whether all that were advanced alike still are; an eager step may have left some out."""
        kinds = {(kind, member.step_size()) for kind, member in zip(self.kind_of, self.members, strict=True)}
        return len(kinds) == len(self.firsts)

    def numbers(self) -> list[float]:
        """The numbers of the step that comes, three for each kind of parameter."""
        numbers: list[float] = []
        for first in self.firsts:
            step, (beta1, beta2) = int(first.state["step"]) + 1, first.group["betas"]
            numbers += [first.rule.rate(first.group), 1 - beta1**step, (1 - beta2**step) ** 0.5]
        return numbers

    def count(self) -> None:
        """Count one step that has been taken."""
        if self.counts:
            torch._foreach_add_(self.counts, 1)
        for member in self.counting:
            member.state["step"] += 1
        for member in self.members:
            if "lrd" in member.group:
                member.group["lr"] *= member.group["lrd"]

    def move(
        self,
        values: Sequence[Tensor],
        gradients: Sequence[Tensor | None],
        moments: Sequence[list[Tensor]],
        numbers: Sequence[Tensor],
    ) -> None:
        """Move values and moments in place.

        Args:
            values: of the parameters.
            gradients: None where nothing depended on a parameter: after a first step Pyro has zeros there.
            moments: of each parameter.
            numbers: what :meth:`numbers` returned, as tensors.
        """
        for member, kind, value, gradient, own in zip(
            self.members, self.kind_of, values, gradients, moments, strict=True
        ):
            gradient = torch.zeros_like(value) if gradient is None else gradient
            moved = member.rule.move(value, gradient, own, member.settings, numbers[3 * kind : 3 * kind + 3])
            for tensor, new in zip((value, *own), moved, strict=True):
                tensor.copy_(new)
