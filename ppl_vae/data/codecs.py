"""Text and music to sequences and back; how a sequence is laid out: :mod:`ppl_vae.programs.layout`."""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ppl_vae.programs.layout import LOWEST_NOTE, NUM_NOTES


def encode_text(lines: Sequence[str], alphabet: str, length: int) -> Tensor:
    """Lines of text as sequences.

    Args:
        lines: none empty, none longer than ``length``, of the alphabet's characters.
        alphabet: V characters.
        length: T.

    Returns:
        ``(len(lines), T, 1 + V)``.
    """
    x = torch.zeros(len(lines), length, 1 + len(alphabet), dtype=torch.bool)
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
    characters = x[..., 1:].float().argmax(-1).tolist()
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
    x = torch.zeros(len(pieces), length, 1 + NUM_NOTES, dtype=torch.bool)
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
