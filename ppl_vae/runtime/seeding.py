"""Random numbers that can be repeated, and that leave everybody else's alone."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ppl_vae.runtime.turns import turn

Device = torch.device | str


def stream(seed: int, purpose: str) -> int:
    """A seed of its own for each purpose, so that, say, initial weights and training noise share no draws.

    Args:
        seed: the user's, from 0.
        purpose: a name.

    Returns:
        an integer below 2⁶³, the same on every machine.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


@contextmanager
def preserved(device: Device = "cpu") -> Iterator[None]:
    """After the block the generators of the CPU and of ``device`` are as before it; other threads wait for it."""
    with turn("a seeded computation"):
        state = rng_state(device)
        try:
            yield
        finally:
            set_rng_state(state, device)


@contextmanager
def seeded(seed: int, device: Device = "cpu") -> Iterator[None]:
    """Draws inside the block depend on ``seed`` only; draws after it go on as if the block had not been.

    Args:
        seed: any integer from 0.
        device: where the draws are made; its generator and the CPU's are both seeded and both put back.
    """
    with preserved(device):
        reseed(seed, device)
        yield


def reseed(seed: int, device: Device = "cpu") -> None:
    """Seed the generators of the CPU and of ``device``, for good.

    Args:
        seed: any integer from 0.
        device: where draws are made.
    """
    # Not torch.manual_seed, which would reseed every other device too; nobody could put them back.
    torch.default_generator.manual_seed(seed)
    chosen = torch.device(device)
    if chosen.type == "cuda":
        with torch.cuda.device(chosen):
            torch.cuda.manual_seed(seed)
    elif chosen.type == "mps":
        torch.mps.manual_seed(seed)


def rng_state(device: Device) -> dict[str, torch.Tensor]:
    """The state of the generators that a computation on ``device`` draws from, by device type."""
    kind = torch.device(device).type
    state = {"cpu": torch.get_rng_state()}
    if kind == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif kind == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: dict[str, torch.Tensor], device: Device) -> None:
    """Put back what :func:`rng_state` returned."""
    torch.set_rng_state(state["cpu"])
    kind = torch.device(device).type
    if kind == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
    elif kind == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])
