"""As many threads for every contender."""

import os

import torch


def limit_threads(threads: int) -> None:
    """Give torch, and jax if it has not done its first work yet, so many threads."""
    torch.set_num_threads(threads)
    os.environ["NPROC"] = str(threads)  # XLA's name for it: torch's settings mean nothing to jax
