"""Recurrent networks against torch's own, packed sequences and all."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from ppl_vae import UserError
from ppl_vae.data.codecs import encode_text
from ppl_vae.networks.precision import computing_in
from ppl_vae.networks.recurrent import LSTM, RecurrentDecoder, RecurrentEncoder, State, logits_of_rates
from ppl_vae.programs.layout import Layout

WORDS = encode_text(["ab", "b", "abaa", "bba"], "ab", 5).float()


def torchs(ours: LSTM, in_size: int) -> nn.LSTM:
    """``nn.LSTM`` with our weights; of its two biases the second is 0."""
    theirs = nn.LSTM(in_size, ours.hidden, batch_first=True).to(ours.bias.dtype)
    with torch.no_grad():
        for name, value in zip(
            ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"),
            (ours.weight_in, ours.weight_back, ours.bias, torch.zeros_like(ours.bias)),
            strict=True,
        ):
            getattr(theirs, name).copy_(value)
    return theirs


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_layer_is_torchs(dtype: torch.dtype) -> None:
    ours = LSTM(3, 4).to(dtype)
    x, state = torch.randn(5, 6, 3, dtype=dtype), State(*torch.randn(2, 5, 4, dtype=dtype))
    outputs, after = ours(x, state)
    expected, (output, cell) = torchs(ours, 3)(x, tuple(each.unsqueeze(0) for each in state))
    torch.testing.assert_close(outputs, expected)
    torch.testing.assert_close(after.output, output[0])
    torch.testing.assert_close(after.cell, cell[0])


def test_a_layer_has_gradients_in_evaluation_mode_too() -> None:
    layer = LSTM(3, 4).eval()
    x = torch.randn(2, 5, 3, requires_grad=True)
    layer(x)[0].sum().backward()
    assert all(value.grad.abs().max() > 0 for value in (x, *layer.parameters()))


@pytest.mark.parametrize("hidden", [(4,), (4, 3)], ids=["one layer", "two"])
def test_the_encoder_is_that_of_packed_sequences(hidden: tuple[int, ...]) -> None:
    encoder = RecurrentEncoder(WORDS.shape[1:], 6, hidden, "text").double()
    x = WORDS.double()
    packed = pack_padded_sequence(x, torch.tensor([2, 1, 4, 3]), batch_first=True, enforce_sorted=False)
    for number, layer in enumerate(encoder.layers):
        packed, (last, _) = torchs(layer, (3, *hidden)[number])(packed)
    outputs, lengths = pad_packed_sequence(packed, batch_first=True)
    features = torch.cat([last[0], outputs.sum(1) / lengths[:, None]], dim=-1)
    torch.testing.assert_close(encoder(x), encoder.out(features))


@pytest.mark.parametrize("layout", ["text", "notes"])
def test_what_comes_after_the_end_never_matters(layout: Layout) -> None:
    """Numbers that no data has, in the padding's content: neither encoder nor gradient moves."""
    encoder = RecurrentEncoder(WORDS.shape[1:], 6, (4,), layout)
    changed = WORDS.clone()
    changed[..., 1:] += 7 * (1 - WORDS[..., :1])
    assert not torch.equal(changed, WORDS)
    found = []
    for x in (WORDS, changed):
        codes = encoder(x)
        found.append([codes, *torch.autograd.grad(codes.square().sum(), list(encoder.parameters()))])
    torch.testing.assert_close(*found)


def test_rows_of_an_image_are_all_read() -> None:
    encoder, x = RecurrentEncoder((4, 3), 2, (5,)), torch.zeros(1, 4, 3)
    for row in range(4):
        lit = x.clone()
        lit[0, row] = 1
        assert not torch.allclose(encoder(x), encoder(lit))


def test_leading_dimensions() -> None:
    encoder = RecurrentEncoder(WORDS.shape[1:], 6, (4,), "text")
    many = torch.stack([WORDS, WORDS.flip(0)])
    torch.testing.assert_close(encoder(many), torch.stack([encoder(WORDS), encoder(WORDS).flip(0)]))


def test_the_decoder_reads_z_at_its_start_and_at_each_step() -> None:
    decoder = RecurrentDecoder(2, (5, 3), (4, 3))
    z, other, before = torch.randn(3, 2), torch.randn(3, 2), torch.zeros(3, 5, 3)
    logits, _ = decoder(z, before, decoder.start(z))
    assert logits.shape == (3, 5, 3)
    assert not torch.allclose(decoder(z, before, decoder.start(other))[0][:, 0], logits[:, 0])
    assert not torch.allclose(decoder(other, before, decoder.start(z))[0][:, 4], logits[:, 4])


def test_logits_start_at_the_datas_rates() -> None:
    """Of the words above: 10 letters in 4 words, of which 6 go on, and 5 are a's."""
    logits = logits_of_rates(WORDS.mean(0), "text")
    torch.testing.assert_close(logits[0].sigmoid(), torch.tensor(6 / 10))
    torch.testing.assert_close(logits[1:].softmax(0), torch.tensor([5 / 10, 5 / 10]))
    keys = logits_of_rates(WORDS.mean(0), "notes")
    torch.testing.assert_close(keys[1:].sigmoid(), torch.tensor([5 / 10, 5 / 10]))
    image = torch.tensor([[0.0, 0.2], [0.0, 0.6]])
    torch.testing.assert_close(logits_of_rates(image, "plain").sigmoid(), torch.tensor([0.001, 0.4]))


def test_bf16_comes_out_in_single_precision_and_near() -> None:
    encoder, decoder = RecurrentEncoder((5, 3), 4, (8,), "text"), RecurrentDecoder(2, (5, 3), (8,))
    z = torch.randn(4, 2)

    def found() -> list[Tensor]:
        return [encoder(WORDS), decoder(z, WORDS, decoder.start(z))[0]]

    exact = found()
    with computing_in("bf16"):
        rounded = found()
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == torch.float32
        assert not torch.equal(one, other)
        torch.testing.assert_close(one, other, rtol=0.05, atol=0.05)


def test_no_hidden_layer_is_refused() -> None:
    with pytest.raises(UserError, match="`hidden`"):
        RecurrentEncoder((5, 3), 4, ())
    with pytest.raises(UserError, match="`hidden`"):
        RecurrentDecoder(2, (5, 3), ())
