"""The distribution over whole sequences: it sums to one, and scores, draws and greedy decoding agree."""

from collections.abc import Iterator
from itertools import product

import pytest
import torch
from torch import Tensor

from ppl_vae.data.codecs import encode_notes, encode_text
from ppl_vae.models.autoregressive import Autoregressive, Sequences
from ppl_vae.networks.recurrent import RecurrentDecoder
from ppl_vae.programs.layout import Layout

LAYOUTS: tuple[Layout, ...] = ("plain", "text", "notes")
LENGTH, KINDS = 3, 2


def every(layout: Layout) -> Tensor:
    """All sequences of up to 3 steps: of two letters, of two keys, or images of two columns."""
    if layout == "plain":
        return torch.tensor(list(product([0.0, 1.0], repeat=LENGTH * KINDS))).reshape(-1, LENGTH, KINDS)
    if layout == "text":
        words = ["".join(word) for size in range(1, LENGTH + 1) for word in product("ab", repeat=size)]
        return encode_text(words, "ab", LENGTH).float()
    chords = [[], [21], [22], [21, 22]]
    tunes = [list(tune) for size in range(1, LENGTH + 1) for tune in product(chords, repeat=size)]
    return encode_notes(tunes, LENGTH).float()[..., : 1 + KINDS]


def likelihood(layout: Layout, batch_shape: tuple[int, ...] = (), *, dropped: bool = False) -> Autoregressive:
    """Of weights large enough that nothing about it is uniform."""
    decoder = RecurrentDecoder(2, every(layout).shape[1:], (4,)).double()
    with torch.no_grad():
        for param in decoder.parameters():
            param.mul_(3)
    z = torch.randn(*batch_shape, 2, dtype=torch.float64)
    kept = (torch.rand(*batch_shape, LENGTH, 1) < 0.5).double() if dropped else None
    return Autoregressive(decoder, z, layout, kept)


@pytest.mark.parametrize("dropped", [False, True], ids=["told", "dropout"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_sums_to_one_over_all_sequences(layout: Layout, dropped: bool) -> None:
    x = every(layout).double()
    assert len(x.unique(dim=0)) == len(x) == {"plain": 64, "text": 14, "notes": 84}[layout]
    p = likelihood(layout, dropped=dropped).log_prob(x).exp()
    torch.testing.assert_close(p.sum(), torch.ones((), dtype=torch.float64), rtol=1e-12, atol=1e-12)
    assert p.max() > 3 * p.min()


@pytest.mark.parametrize("dropped", [False, True], ids=["told", "dropout"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_draws_are_as_frequent_as_they_are_likely(layout: Layout, dropped: bool) -> None:
    q, x, num = likelihood(layout, dropped=dropped), every(layout).double(), 20_000
    draws = q.sample((num,))
    assert draws.shape == (num, *x.shape[1:])
    assert q.support.check(draws).all()
    found = (draws[:, None] == x).all(-1).all(-1).double().mean(0)
    p = q.log_prob(x).exp()
    torch.testing.assert_close(found.sum().item(), 1.0)
    assert ((found - p).abs() < 5 * (p * (1 - p) / num).sqrt() + 1e-4).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_teacher_forcing_is_step_by_step(layout: Layout) -> None:
    """One call that is told everything, and a state that is carried from step to step."""
    q, x = likelihood(layout, (len(every(layout)),)), every(layout).double()
    states = q.decoder.start(q.z)
    before, logits = torch.zeros_like(x[:, :1]), []
    for step in range(LENGTH):
        each, states = q.decoder(q.z, before, states)
        logits.append(each)
        before = x[:, step : step + 1]
    torch.testing.assert_close(q.log_prob(x), q._log_prob(torch.cat(logits, dim=1), x))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_mode_takes_the_likeliest_step_each_time(layout: Layout) -> None:
    q, x = likelihood(layout, (5,)), every(layout).double()
    mode = q.mode
    assert mode.shape == (5, *x.shape[1:])
    assert q.support.check(mode).all()
    assert torch.equal(mode, q.mode)
    for row, found in enumerate(mode):
        p = Autoregressive(q.decoder, q.z[row], layout).log_prob(x).exp()
        first = {tuple(each.tolist()): p[(x[:, 0] == each).all(-1)].sum() for each in x[:, 0].unique(dim=0)}
        if layout == "text":  # of keys, each is the likeliest by itself
            assert first[tuple(found[0].tolist())] == max(first.values())


def test_samples_of_many_latents_are_each_ones_own() -> None:
    q, x = likelihood("text", (4, 3)), every("text").double()
    assert q.sample((2,)).shape == (2, 4, 3, *x.shape[1:])
    together = q.log_prob(x[:3])
    assert together.shape == (4, 3)
    alone = Autoregressive(q.decoder, q.z[2, 1], "text").log_prob(x[1])
    torch.testing.assert_close(together[2, 1], alone)
    wider = Autoregressive(q.decoder, q.z[0], "text").expand((6, 3))
    assert wider.batch_shape == (6, 3)
    torch.testing.assert_close(wider.log_prob(x[:3]), together[0].expand(6, 3))


def test_what_is_not_told_does_not_matter() -> None:
    """With every step dropped, the second step's distribution is the same whatever the first was; else it is not."""
    x = encode_text(["ab", "bb"], "ab", LENGTH).double()
    q = likelihood("text")
    dropped = Autoregressive(q.decoder, q.z, "text", torch.zeros(LENGTH, 1, dtype=torch.float64))
    first = encode_text(["a", "b"], "ab", 1).double()

    def given_the_first(p: Autoregressive) -> Tensor:
        whole, _ = p.log_prob(x), first
        alone = torch.stack([p.log_prob(every("text").double()[starts(letter)]).logsumexp(0) for letter in range(2)])
        return whole - alone

    def starts(letter: int) -> Tensor:
        return every("text")[:, 0, 1 + letter] == 1

    told, untold = given_the_first(q), given_the_first(dropped)
    assert (told[0] - told[1]).abs() > 0.05
    torch.testing.assert_close(untold[0], untold[1])


def wrong() -> Iterator[tuple[str, Layout, Tensor]]:
    word = encode_text(["ab"], "ab", LENGTH).float()[0]
    yield "grey", "plain", torch.full((3, 2), 0.5)
    yield "grey text", "text", word * 0.5
    yield "empty", "text", torch.zeros_like(word)
    two = word.clone()
    two[0] = 1
    yield "two letters at once", "text", two
    none = word.clone()
    none[1, 1:] = 0
    yield "no letter", "text", none
    gap = encode_text(["aba"], "ab", LENGTH).float()[0]
    gap[1] = 0
    yield "a gap", "text", gap
    after = encode_notes([[[21]]], LENGTH).float()[0, :, : 1 + KINDS]
    after[2, 1] = 1
    yield "a note after the end", "notes", after


@pytest.mark.parametrize(("layout", "x"), [pytest.param(layout, x, id=name) for name, layout, x in wrong()])
def test_what_is_no_sequence_is_not_in_the_support(layout: Layout, x: Tensor) -> None:
    assert not Sequences(layout).check(x)
    with pytest.raises(ValueError, match="support"):
        Autoregressive(likelihood(layout).decoder, torch.zeros(2).double(), layout, validate_args=True).log_prob(
            x.double()
        )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_gradients_in_double(layout: Layout) -> None:
    q, x = likelihood(layout), every(layout).double()[[3, 9]]
    z = torch.randn(2, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda z: Autoregressive(q.decoder, z, layout).log_prob(x), z)
    assert torch.autograd.gradgradcheck(lambda z: Autoregressive(q.decoder, z, layout).log_prob(x), z)


def test_second_derivatives_in_single_precision() -> None:
    """torch's float32 kernel is another than that of float64, and semi-amortized guides differentiate it twice."""
    q, x = likelihood("text"), every("text")[[3, 9]]
    z = torch.randn(2, 2)

    def hessian(dtype: torch.dtype) -> Tensor:
        decoder = q.decoder.to(dtype)
        return torch.autograd.functional.hessian(
            lambda z: Autoregressive(decoder, z, "text").log_prob(x.to(dtype)).sum(), z.to(dtype)
        )

    double = hessian(torch.float64)
    assert double.abs().max() > 0.01
    torch.testing.assert_close(hessian(torch.float32).double(), double, rtol=1e-3, atol=1e-4)
