"""How an observation is laid out: an array as it comes, a piece of text, or a piece of music.

A sequence is a ``(T, 1 + V)`` array of zeros and ones, T the length of the longest one in its data set. Column 0 of a
step says that the sequence goes on there: the step is *alive*. The other columns are what happens at that step: of
``text`` the character, one-hot over an alphabet of V; of ``notes`` the keys that sound, any number of them. Steps
after the end are all zeros. So sequences of many lengths are one tensor, and no length is ever read on the host.
"""

from typing import Literal

import torch
from torch import Tensor

Layout = Literal["plain", "text", "notes"]

LOWEST_NOTE = 21
"""MIDI number of the first key of ``notes``: a piano's lowest, the A of 27.5 Hz."""
NUM_NOTES = 88
"""Keys of a piano."""
CHANNELS = (1, 3, 4)
"""How many channels images come with: grey, red, green and blue, and these with opacity. Here they come last."""


def channels_first(event_shape: tuple[int, ...]) -> bool:
    """Whether an observation is an image with its channels in front, for all one can tell by its shape."""
    return len(event_shape) == 3 and event_shape[0] in CHANNELS and event_shape[2] > max(CHANNELS)


def alive(x: Tensor, layout: Layout) -> Tensor:
    """Where the sequences go on, ``(..., T)`` in {0, 1}; of a plain observation ``(..., T, C)``, all its rows."""
    return torch.ones_like(x[..., 0]) if layout == "plain" else x[..., 0]


def content(x: Tensor, layout: Layout) -> Tensor:
    """What happens at each step, ``(..., T, V)``; of a plain observation, its rows."""
    return x if layout == "plain" else x[..., 1:]


def num_steps(x: Tensor, layout: Layout) -> Tensor:
    """By how many steps nats are divided, ``(...)``: rows, time steps, or characters, the end counted as one."""
    return alive(x, layout).sum(-1) + (layout == "text")


def step_name(layout: Layout) -> str:
    """What is counted by :func:`num_steps`, in words."""
    return {"plain": "row", "text": "character (the end is one)", "notes": "time step"}[layout]
