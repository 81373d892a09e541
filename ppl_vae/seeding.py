"""Random numbers that can be repeated, and that leave everybody else's alone."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Draws inside the block depend on ``seed`` only; draws after it go on as if the block had not been.

    Args:
        seed: any integer from 0.
        device: where the draws are made; its generator and the CPU's are both seeded and both put back.
    """
    state = rng_state(device)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        set_rng_state(state, device)


def rng_state(device: torch.device | str) -> dict[str, torch.Tensor]:
    """The state of the generators that a computation on ``device`` draws from, by device type."""
    kind = torch.device(device).type
    state = {"cpu": torch.get_rng_state()}
    if kind == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif kind == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: torch.device | str) -> None:
    """Put back what :func:`rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    kind = torch.device(device).type
    if kind == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif kind == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
