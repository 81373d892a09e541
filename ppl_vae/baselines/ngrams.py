"""Unigram and bigram models of sequences: what a sequence model has to beat, counted off the training data.

They make the same decisions as :class:`ppl_vae.models.autoregressive.Autoregressive`: whether the sequence goes on, and
what happens then. A unigram knows how often each thing happens, a bigram also what happened one step before:

* ``text``: p(character), p(goes on); or both given the character before, the first one given that it is the first;
* ``notes`` and ``plain``: each key by itself, p(sounds); or given whether it sounded one step before, the first step
  apart; p(goes on) is one number in both.

Every count has one added to it (Laplace), so that nothing is impossible.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import pad

from ppl_vae.programs.layout import Layout, alive, content

Order = Literal[1, 2]


def ngram_log_prob(train: Tensor, x: Tensor, layout: Layout, order: Order) -> Tensor:
    """log p(x) under an n-gram model.

    Args:
        train: sequences to count on, ``(M, T, C)``.
        x: sequences to score, ``(N, T, C)``.
        layout: of both.
        order: 1 for the unigram, 2 for the bigram.

    Returns:
        ``(N,)``, in nats.
    """
    train, x = train.double(), x.double()
    if layout == "text":
        return _characters(train, x, order) + _going_on(train, x, order)
    keys = _keys(train, x, layout, order)
    return keys if layout == "plain" else keys + _going_on(train, x, 1)


def _characters(train: Tensor, x: Tensor, order: Order) -> Tensor:
    counts = torch.einsum("ntk,ntv->kv", _before(train, order), train[..., 1:])
    log_p = ((counts + 1) / (counts + 1).sum(1, keepdim=True)).log()
    return torch.einsum("ntk,kv,ntv->n", _before(x, order), log_p, x[..., 1:])


def _before(x: Tensor, order: Order) -> Tensor:
    """What a character is given, one-hot: the one before it, or that it is the first; of a unigram, nothing."""
    if order == 1:
        return torch.ones_like(x[..., :1])
    first = torch.zeros_like(x[..., :1])
    first[:, 0] = 1
    return torch.cat([first, pad(x[:, :-1, 1:], (0, 0, 1, 0))], dim=-1)


def _going_on(train: Tensor, x: Tensor, order: Order) -> Tensor:
    """log p of every decision to go on or to end, asked after each step but the last that there is room for."""

    def decisions(sequences: Tensor) -> tuple[Tensor, Tensor]:
        asked = sequences[:, :-1, 1:] if order == 2 else sequences[:, :-1, :1]  # (N, T - 1, contexts)
        return asked, sequences[:, 1:, 0]

    asked, goes = decisions(train)
    counts = torch.einsum("ntk,nt->k", asked, goes) + 1
    p = counts / (asked.sum((0, 1)) + 2)
    asked, goes = decisions(x)
    went, ended = torch.einsum("ntk,nt->nk", asked, goes), torch.einsum("ntk,nt->nk", asked, 1 - goes)
    return went @ p.log() + ended @ (1 - p).log()


def _keys(train: Tensor, x: Tensor, layout: Layout, order: Order) -> Tensor:
    total = x.new_zeros(len(x))
    for (sounds, visits), (sounds_now, visits_now) in zip(
        _visits(train, layout, order), _visits(x, layout, order), strict=True
    ):
        p = (sounds.sum(0) + 1) / (visits.sum(0) + 2)  # (V,)
        total = total + sounds_now @ p.log() + (visits_now - sounds_now) @ (1 - p).log()
    return total


def _visits(x: Tensor, layout: Layout, order: Order) -> list[tuple[Tensor, Tensor]]:
    """For each thing that a key can be given: how often it sounds then, and how often that is so, each ``(N, V)``."""
    going, keys = alive(x, layout).unsqueeze(-1), content(x, layout)
    if order == 1:
        return [(keys.sum(1), going.expand_as(keys).sum(1))]
    before, now, here = keys[:, :-1], keys[:, 1:], going[:, 1:]
    return [
        (keys[:, 0], going[:, 0].expand_as(keys[:, 0])),
        ((before * now).sum(1), (before * here).sum(1)),
        (((1 - before) * now).sum(1), ((1 - before) * here).sum(1)),
    ]
