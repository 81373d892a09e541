"""One Hamiltonian transition of many chains at once, along a path of densities between two ends.

    log π_β(v) = base(v) + β ratio(v),   β from 0 (the base) to 1 (the target, up to its normaliser)

Step sizes are given from outside, so that a transition leaves its density exactly as it is. Source: Neal 2011.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.tracing.capture import compiled, trace

# The acceptance that step sizes are led to and their range (Wu et al. 2017); where they begin; and how far one
# transition may change their logarithm: a factor of two in ten transitions that are all accepted.
TARGET_ACCEPTANCE = 0.65
FIRST_STEP_SIZE = 0.1
_SMALLEST, _LARGEST = 1e-4, 0.5
_GAIN = 0.2
# Each trajectory's step size is its own within ± this share: with equal ones a direction in which the trajectory is a
# whole turn would stay where it is (Neal 2011, section 5.4.2.2). On the oracle it takes a quarter off the noise.
_JITTER = 0.4

# v (chains, batch, D) to base and ratio, each (chains, batch).
Path = Callable[[Tensor], tuple[Tensor, Tensor]]


class State(NamedTuple):
    """Where the chains are.

    Args:
        vector: v, ``(chains, batch, D)``.
        base: log-density at β = 0, ``(chains, batch)``, nats.
        ratio: what β multiplies, ``(chains, batch)``, nats.
        base_gradient: ∂base/∂v, ``(chains, batch, D)``.
        ratio_gradient: ∂ratio/∂v, ``(chains, batch, D)``.
    """

    vector: Tensor
    base: Tensor
    ratio: Tensor
    base_gradient: Tensor
    ratio_gradient: Tensor

    def log_density(self, beta: float | Tensor) -> Tensor:
        """log π_β(v), ``(chains, batch)``."""
        return self.base + beta * self.ratio

    def gradient(self, beta: float | Tensor) -> Tensor:
        """∂ log π_β/∂v, ``(chains, batch, D)``."""
        return self.base_gradient + beta * self.ratio_gradient


class CapturedPath:
    """A path compiled with its gradients, for vectors of one shape.

    Args:
        path: the densities.
        vector: an example, ``(chains, batch, D)``.

    Raises:
        NotTraceableError: it cannot be traced.
    """

    def __init__(self, path: Path, vector: Tensor) -> None:
        def function(vector: Tensor) -> tuple[Tensor, ...]:
            return tuple(evaluate(path, vector))

        vector = vector.contiguous()
        self.function = compiled(trace(function, [vector]), [vector])


def evaluate(path: Path | CapturedPath, vector: Tensor) -> State:
    """Both densities and their gradients; kept apart, so that a state serves at every β."""
    if isinstance(path, CapturedPath):
        return State(*path.function(vector.contiguous()))  # compiled for one layout; a guide's draws may have another
    with torch.enable_grad():
        leaf = vector.detach().requires_grad_()
        base, ratio = path(leaf)
        (base_gradient,) = torch.autograd.grad(base.sum(), leaf, retain_graph=True)
        (ratio_gradient,) = torch.autograd.grad(ratio.sum(), leaf)
    return State(leaf.detach(), base.detach(), ratio.detach(), base_gradient, ratio_gradient)


def transition(
    path: Path | CapturedPath, state: State, beta: float | Tensor, step_size: Tensor, num_leapfrog: int
) -> tuple[State, Tensor]:
    """A trajectory of every chain, accepted or not; leaves π_β as it is.

    Args:
        path: the densities.
        state: where the chains are.
        beta: which of the densities, from 0 to 1.
        step_size: of each datapoint's chains, ``(batch,)``, above 0.
        num_leapfrog: steps of the trajectory, at least 1.

    Returns:
        where they are now, and each one's probability of acceptance, ``(chains, batch)``.
    """
    jitter = 1 + _JITTER * (2 * torch.rand_like(state.base) - 1)
    step = (step_size * jitter).unsqueeze(-1)  # (chains, batch, 1)
    momentum = torch.randn_like(state.vector)
    before = state.log_density(beta) - 0.5 * momentum.square().sum(-1)
    moved = state
    momentum = momentum + 0.5 * step * moved.gradient(beta)
    for number in range(num_leapfrog):
        moved = evaluate(path, moved.vector + step * momentum)
        last = number == num_leapfrog - 1
        momentum = momentum + (0.5 if last else 1.0) * step * moved.gradient(beta)
    after = moved.log_density(beta) - 0.5 * momentum.square().sum(-1)
    # A trajectory that left the numbers, be it for +∞, is one that is not accepted.
    usable = after.isfinite() & ~before.isnan()
    acceptance = torch.where(usable, after - before, -torch.inf).clamp(max=0.0).exp()
    accepted = torch.rand_like(acceptance) < acceptance
    return State(*(_where(accepted, new, old) for new, old in zip(moved, state, strict=True))), acceptance


def adapted(step_size: Tensor, acceptance: Tensor) -> Tensor:
    """log step ← log step + gain (acceptance − 0.65), within its range (Andrieu and Thoms 2008)."""
    return (step_size * (_GAIN * (acceptance - TARGET_ACCEPTANCE)).exp()).clamp(_SMALLEST, _LARGEST)


def _where(accepted: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(accepted if new.dim() == accepted.dim() else accepted.unsqueeze(-1), new, old)
