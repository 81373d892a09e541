"""Convolutional encoder and decoder."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ppl_vae import UserError
from ppl_vae.guides import Amortized, Diagonal, SemiAmortized
from ppl_vae.models import VAE
from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.precision import computing_in
from ppl_vae.programs.latents import Latents
from tests.conformance import half_lit
from tests.pairs import all_of

SIZES = [*range(1, 18), 28, 33]
EVENTS = [(size, size) for size in SIZES] + [(1, 9), (13, 6), (7, 5, 3), (5, 4, 1), (3, 8, 2)]


@pytest.mark.parametrize("event", EVENTS, ids=str)
@pytest.mark.parametrize("channels", [(3,), (3, 2), (2, 3, 4, 2)], ids=str)
def test_every_size_there_and_back(event: tuple[int, ...], channels: tuple[int, ...]) -> None:
    encoder, decoder = ConvEncoder(event, 4, channels, (5,)), ConvDecoder(3, event, channels, (5,))
    assert encoder(torch.randn(2, *event)).shape == (2, 4)
    assert decoder(torch.randn(2, 3)).shape == (2, *event)


def test_widths_and_order() -> None:
    encoder, decoder = ConvEncoder((28, 28), 40, (32, 64), (400,)), ConvDecoder(20, (28, 28), (64, 32), (400,))

    def widths(network: nn.Module) -> Iterator[tuple[int, int]]:
        for layer in network.modules():
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                yield layer.in_channels, layer.out_channels
            elif isinstance(layer, nn.Linear):
                yield layer.in_features, layer.out_features

    assert list(widths(encoder)) == [(1, 32), (32, 64), (64 * 7 * 7, 400), (400, 40)]
    assert list(widths(decoder)) == [(20, 400), (400, 64 * 7 * 7), (64, 32), (32, 1)]


@pytest.mark.parametrize("leading", [(), (4,), (2, 4), (3, 2, 4)], ids=str)
@pytest.mark.parametrize("event", [(5, 6), (5, 4, 3)], ids=str)
@pytest.mark.parametrize("num_classes", [0, 3])
def test_leading_dimensions_are_a_loop(leading: tuple[int, ...], event: tuple[int, ...], num_classes: int) -> None:
    encoder = ConvEncoder(event, 4, (2, 3), (5,), num_classes=num_classes)
    decoder = ConvDecoder(3, event, (3, 2), (5,), num_classes=num_classes)
    x, z = torch.randn(*leading, *event), torch.randn(*leading, 3)
    y = torch.arange(4) % 3 if leading else torch.tensor(2)
    labels = y.expand(leading).reshape(-1)
    params, logits = encoder(x, y), decoder(z, y)
    assert params.shape == (*leading, 4)
    assert logits.shape == (*leading, *event)
    alone = [encoder(one, label) for one, label in zip(x.reshape(-1, *event), labels, strict=True)]
    torch.testing.assert_close(params.reshape(-1, 4), torch.stack(alone))
    alone = [decoder(one, label) for one, label in zip(z.reshape(-1, 3), labels, strict=True)]
    torch.testing.assert_close(logits.reshape(-1, *event), torch.stack(alone))


def test_no_rows() -> None:
    assert ConvEncoder((5, 6), 4, (2,))(torch.zeros(0, 5, 6)).shape == (0, 4)
    assert ConvDecoder(3, (5, 6), (2,))(torch.zeros(2, 0, 3)).shape == (2, 0, 5, 6)


@pytest.mark.parametrize("event", [(5, 6), (5, 4, 3)], ids=str)
def test_each_pixel_starts_at_the_datas_mean(event: tuple[int, ...]) -> None:
    mean = torch.rand(event)
    mean[0, 0], mean[-1, -1] = 0.0, 1.0
    decoder = ConvDecoder(2, event, (3, 2), (5,), start=torch.logit(mean.clamp(0.001, 0.999)))
    with torch.no_grad():
        decoder.conv[-1].weight.zero_()
    lit = torch.sigmoid(decoder(torch.randn(4, 2)))
    torch.testing.assert_close(lit, mean.clamp(0.001, 0.999).expand(4, *event))


@pytest.mark.parametrize("channels", [(32,), (32, 16), (64, 32, 16, 16)], ids=str)
def test_z_and_x_come_through_at_the_start(channels: tuple[int, ...]) -> None:
    """As far as through a fully connected network, however many the layers; the mean is not drowned in it."""
    torch.manual_seed(0)
    logits = ConvDecoder(20, (28, 28), channels)(torch.randn(100, 20))
    assert 0.06 < logits.std(0).mean() < 0.5
    encoder = ConvEncoder((28, 28), 40, channels[::-1])
    assert 0.5 < encoder.conv(torch.randn(20, 1, 28, 28)).pow(2).mean().sqrt() < 1.5


def test_labels_matter() -> None:
    encoder, decoder = ConvEncoder((5, 6), 4, (2,), num_classes=3), ConvDecoder(3, (5, 6), (2,), num_classes=3)
    x, z, y = torch.rand(1, 5, 6).expand(3, 5, 6), torch.zeros(3, 3), torch.arange(3)
    for out in (encoder(x, y), decoder(z, y)):
        assert (out[0] - out[1]).abs().max() > 1e-3
        assert (out[1] - out[2]).abs().max() > 1e-3


def test_every_pixel_and_channel_is_seen_and_drawn() -> None:
    """Also in the last row and column, which the halving of an odd size must not lose, nor the crop leave dark."""
    event = (7, 5, 3)
    encoder, decoder = ConvEncoder(event, 4, (3, 2), activation="tanh"), ConvDecoder(3, event, (2, 3))
    x = torch.rand(1, *event, requires_grad=True)
    encoder(x).pow(2).sum().backward()
    assert (x.grad != 0).all()
    assert (decoder(torch.randn(200, 3)).std(0) > 1e-4).all()


def test_features_move_with_the_image() -> None:
    """By a pixel for each four of the image's, after two halvings."""
    encoder = ConvEncoder((24, 24), 4, (3, 2))

    def features(x: Tensor) -> Tensor:
        return encoder.conv(x.unsqueeze(1))

    x = torch.zeros(1, 24, 24)
    x[:, 6:14, 6:12] = torch.rand(8, 6)
    moved, changed = features(x.roll((4, 8), (1, 2))), features(x)
    assert (changed - features(0 * x)).abs().max() > 1e-3
    torch.testing.assert_close(moved[..., 1:-1, 1:-1], changed.roll((1, 2), (2, 3))[..., 1:-1, 1:-1])


def test_channels_are_last() -> None:
    """What the decoder gives a pixel's channels are its three bias numbers, in their places."""
    mean = torch.linspace(0.1, 0.9, 3).expand(5, 4, 3)
    decoder = ConvDecoder(2, (5, 4, 3), (3,), start=torch.logit(mean.clamp(0.001, 0.999)))
    assert torch.sigmoid(decoder(torch.zeros(1, 2))).mean((0, 1, 2)).diff().min() > 0.2
    encoder = ConvEncoder((5, 4, 3), 4, (3,), (5,))
    with torch.no_grad():
        encoder.conv[0].weight[:, 1:] = 0  # of red, green and blue it sees red
    x = torch.rand(2, 5, 4, 3)
    red = x * torch.tensor([1.0, 0.0, 0.0])
    torch.testing.assert_close(encoder(x), encoder(red))
    assert not torch.allclose(encoder(x), encoder(x.flip(-1)), atol=1e-3)


@pytest.mark.parametrize("event", [(64,), (), (2, 3, 4, 5)], ids=str)
def test_what_is_no_image(event: tuple[int, ...]) -> None:
    for make in (lambda: ConvEncoder(event, 4), lambda: ConvDecoder(3, event)):
        with pytest.raises(UserError, match=r"images, \(H, W\) or \(H, W, C\), .* use `net` mlp"):
            make()


def test_no_layers_and_unknown_activation() -> None:
    for kind, sizes in ((ConvEncoder, ((5, 6), 4)), (ConvDecoder, (3, (5, 6)))):
        with pytest.raises(UserError, match=r"at least one layer; give `channels`"):
            kind(*sizes, channels=())
        with pytest.raises(UserError, match="unknown activation 'relo'"):
            kind(*sizes, activation="relo")


def test_short_precision_changes_the_products_alone() -> None:
    encoder, decoder = ConvEncoder((5, 6), 4, (2, 3)), ConvDecoder(3, (5, 6), (3, 2), start=torch.randn(5, 6))
    x, z = torch.rand(4, 5, 6), torch.randn(4, 3)
    with computing_in("bf16"):
        low = encoder(x), decoder(z)
    full = encoder(x), decoder(z)
    for a, b in zip(low, full, strict=True):
        assert a.dtype == b.dtype == torch.float32
        assert not torch.equal(a, b)
        torch.testing.assert_close(a, b, rtol=2e-2, atol=2e-2)
    # The bias is added in float32, or the logits would be bf16 numbers.
    assert not torch.equal(low[1], low[1].bfloat16().float())


def conv_pair(event: tuple[int, ...]) -> tuple[VAE, Amortized]:
    model = VAE(ConvDecoder(2, event, (3, 2), (6,)), 2)
    family = Diagonal(2)
    encoder = ConvEncoder(event, family.num_params, (2, 3), (6,))
    return model, Amortized(Latents.of(model, all_of(half_lit(2, *event))), family, encoder)


def test_a_refinement_is_differentiated_through() -> None:
    """Twice through the convolutions: the encoder's gradient by differences."""
    torch.manual_seed(0)
    model, proposal = (program.double() for program in conv_pair((5, 6)))
    guide = SemiAmortized(proposal, model, refinement_steps=2, refinement_rate=0.3)
    batch = all_of(half_lit(4, 5, 6).double())
    weight = proposal.encoder.conv[0].weight

    def total() -> Tensor:
        torch.manual_seed(1)
        return guide.params(batch).sin().sum()

    (gradient,) = torch.autograd.grad(total(), weight)
    direction, step = torch.randn_like(weight), 1e-6
    ends = []
    for sign in (1, -1):
        with torch.no_grad():
            weight += sign * step * direction
            ends.append(total())
            weight -= sign * step * direction
    torch.testing.assert_close((gradient * direction).sum(), (ends[0] - ends[1]) / (2 * step), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("make", [lambda event: ConvEncoder(event, 4), lambda event: ConvDecoder(2, event)])
@pytest.mark.parametrize("event", [(3, 32, 32), (1, 28, 28)], ids=str)
def test_channels_first_are_refused(make: Any, event: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match=r"has its channels first, and convolutions here take \(H, W, C\); bring"):
        make(event)
