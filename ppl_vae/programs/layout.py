"""How an observation is laid out: an array as it comes, a piece of text, or a piece of music.

A sequence is a ``(T, 1 + V)`` array of zeros and ones, T the length of the longest one in its data set. Column 0 of a
step says that the sequence goes on there: the step is *alive*. The other columns are what happens at that step: of
``text`` the character, one-hot over an alphabet of V; of ``notes`` the keys that sound, any number of them. Steps
after the end are all zeros. So sequences of many lengths are one tensor, and no length is ever read on the host.
"""

from collections.abc import Sequence
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
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


def encode_text(lines: Sequence[str], alphabet: str, length: int) -> Tensor:
    """Lines of text as sequences.

    Args:
        lines: none empty, none longer than ``length``, of the alphabet's characters.
        alphabet: V characters.
        length: T.

    Returns:
        ``(len(lines), T, 1 + V)``.
    """
    x = torch.zeros(len(lines), length, 1 + len(alphabet))
    lengths = np.array([len(line) for line in lines], dtype=np.int64)
    first = np.repeat(lengths.cumsum() - lengths, lengths)  # of each character's line, among all characters
    step = np.arange(lengths.sum()) - first
    place = (np.repeat(np.arange(len(lines)), lengths) * length + step) * (1 + len(alphabet))
    known = _code_points(alphabet)
    order = known.argsort()
    which = order[known[order].searchsorted(_code_points("".join(lines)))]
    for places in (place, place + 1 + which):
        x.view(-1)[torch.from_numpy(places)] = 1
    return x


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le", errors="surrogatepass"), dtype=np.uint32)


def decode_text(x: Tensor, alphabet: str) -> list[str]:
    """Sequences ``(n, T, 1 + V)`` as lines, up to the first step that is not alive; of probabilities, the likeliest."""
    going = (x[..., 0] >= 0.5).long().cumprod(-1).sum(-1).tolist()
    characters = x[..., 1:].argmax(-1).tolist()
    return ["".join(alphabet[c] for c in row[:end]) for row, end in zip(characters, going, strict=True)]


def encode_notes(pieces: Sequence[Sequence[Sequence[int]]], length: int) -> Tensor:
    """Pieces of music as sequences.

    Args:
        pieces: each a list of steps, each of those the MIDI numbers that sound, from 21 to 108; none longer than
            ``length``.
        length: T.

    Returns:
        ``(len(pieces), T, 89)``.
    """
    x = torch.zeros(len(pieces), length, 1 + NUM_NOTES)
    for number, piece in enumerate(pieces):
        x[number, : len(piece), 0] = 1
        for step, notes in enumerate(piece):
            x[number, step, [1 + note - LOWEST_NOTE for note in notes]] = 1
    return x


def decode_notes(x: Tensor) -> list[list[list[int]]]:
    """The inverse of :func:`encode_notes`: ``(n, T, 89)`` to pieces; of probabilities, what is as likely as not."""
    going = (x[..., 0] >= 0.5).long().cumprod(-1).sum(-1).tolist()
    pieces = []
    for piece, end in zip(x[..., 1:] >= 0.5, going, strict=True):
        pieces.append([cast("list[int]", (keys.nonzero().flatten() + LOWEST_NOTE).tolist()) for keys in piece[:end]])
    return pieces
