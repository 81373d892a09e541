"""Encoder and decoder networks."""

from typing import get_args

import pytest
import torch
from torch import nn

from ppl_vae import UserError
from ppl_vae.networks.dense import Activation, Decoder, Encoder, mlp


def test_widths_and_order() -> None:
    net = mlp(6, (5, 4), 3, "tanh")
    assert [type(layer) for layer in net] == [nn.Linear, nn.Tanh, nn.Linear, nn.Tanh, nn.Linear]
    assert [(layer.in_features, layer.out_features) for layer in net if isinstance(layer, nn.Linear)] == [
        (6, 5),
        (5, 4),
        (4, 3),
    ]


def test_no_hidden_layers_are_linear() -> None:
    encoder = Encoder((2, 3), 4, hidden=())
    a, b, zero = torch.randn(2, 3), torch.randn(2, 3), torch.zeros(2, 3)
    torch.testing.assert_close(encoder(a + b) + encoder(zero), encoder(a) + encoder(b))
    bent = Encoder((2, 3), 4, hidden=(50,))
    assert not torch.allclose(bent(a + b) + bent(zero), bent(a) + bent(b), atol=1e-3)


@pytest.mark.parametrize("activation", get_args(Activation))
def test_every_activation(activation: str) -> None:
    assert Encoder((3,), 2, (5,), activation)(torch.randn(4, 3)).shape == (4, 2)


def test_unknown_activation() -> None:
    with pytest.raises(UserError, match=r"unknown activation 'relo' .*did you mean 'relu'\?"):
        Encoder((3,), 2, (5,), "relo")


@pytest.mark.parametrize("leading", [(), (7,), (2, 7)])
@pytest.mark.parametrize("event", [(6,), (2, 3), (1, 2, 3)])
def test_leading_dimensions(leading: tuple[int, ...], event: tuple[int, ...]) -> None:
    encoder, decoder = Encoder(event, 4, (5,)), Decoder(3, event, (5,))
    x, z = torch.randn(*leading, *event), torch.randn(*leading, 3)
    assert encoder(x).shape == (*leading, 4)
    assert decoder(z).shape == (*leading, *event)
    if leading:
        torch.testing.assert_close(encoder(x)[-1], encoder(x[-1]))
        torch.testing.assert_close(decoder(z)[-1], decoder(z[-1]))


def test_output_bias_starts_where_it_is_told_to() -> None:
    start = torch.tensor([[-3.0, 0.2, 0.5], [0.7, 1.0, 4.0]])
    decoder = Decoder(2, (2, 3), (5,), start=start)
    with torch.no_grad():
        decoder.net[-1].weight.zero_()
    torch.testing.assert_close(decoder(torch.randn(4, 2)), start.expand(4, 2, 3))
    assert not torch.allclose(Decoder(2, (2, 3), (5,)).net[-1].bias, start.flatten(), atol=0.05)
