"""Our pairs with other networks, and PyTorch by hand: the same parameters, the same loss on the same noise."""

import pytest
import torch

from ppl_vae.bench.handwritten_networks import HandWrittenNetworks
from ppl_vae.bench.networks import build_net_pair
from ppl_vae.bench.sizes import IMAGES, WORDS
from ppl_vae.data import Dataset
from ppl_vae.objectives.elbo import TraceELBO

SMALL = {
    "images": IMAGES._replace(event_shape=(8, 8), channels=(3, 4), hidden=7, latent_dim=2, num_rows=16, batch_size=16),
    "words": WORDS._replace(event_shape=(9, 6), hidden=7, latent_dim=2, num_rows=16, batch_size=16),
}


def give(vae, model, guide, size):
    """The parameters of our pair, where those by hand are in another order or layout."""
    if not size.channels:
        reader, writer = guide.encoder.layers[0], model.decoder.layers[0]
        pairs = [
            *((getattr(lstm, f"{name}_l0"), getattr(own, other))
              for lstm, own in ((vae.reader, reader), (vae.writer, writer))
              for name, other in (("weight_ih", "weight_in"), ("weight_hh", "weight_back"), ("bias_ih", "bias"))),
            *((getattr(layer, name), getattr(own, name))
              for layer, own in ((vae.head, guide.encoder.out), (vae.begin, model.decoder.begin),
                                 (vae.out, model.decoder.out))
              for name in ("weight", "bias")),
        ]  # fmt: skip
    else:
        theirs = [*vae.encoder.parameters(), *vae.decoder.parameters(), vae.bias]
        encoder, decoder = guide.encoder, model.decoder
        own = [*encoder.conv.parameters(), *encoder.net.parameters(), *decoder.net.parameters()]
        own += [*decoder.conv.parameters(), decoder.bias]
        pairs = list(zip(theirs, own, strict=True))
    for mine, given in pairs:
        mine.data.copy_(given.data)
    if size.channels:  # features flattened with their channels first, where ours have them last
        depth, positions = size.channels[-1], encoder.num_features // size.channels[-1]
        first, last = vae.encoder[-3], vae.decoder[2]
        first.weight.data = first.weight.data.unflatten(1, (positions, depth)).mT.flatten(1)
        last.weight.data = last.weight.data.unflatten(0, (positions, depth)).transpose(0, 1).flatten(0, 1)
        last.bias.data = last.bias.data.unflatten(0, (positions, depth)).mT.flatten()


@pytest.mark.parametrize("name", SMALL)
def test_the_same_loss_on_the_same_noise(name):
    size = SMALL[name]
    torch.manual_seed(0)
    model, guide = build_net_pair(size)
    by_hand = HandWrittenNetworks(size, "cpu")
    own = [*model.parameters(), *guide.parameters()]
    with torch.no_grad():
        for param in own:  # away from zero, where an error would not show
            param.add_(0.3 * torch.randn_like(param))
    moved = by_hand.optimizer.param_groups[0]["params"]
    assert sum(param.numel() for param in moved) == sum(param.numel() for param in own)
    give(by_hand.vae, model, guide, size)
    x = torch.from_numpy(size.observations()).round()
    batch = Dataset(x).batch(torch.arange(len(x)))
    torch.manual_seed(1)
    ours = TraceELBO().terms(model, guide, batch).loss
    torch.manual_seed(1)
    theirs = by_hand.vae.loss(x)
    assert theirs.item() == pytest.approx(ours.item(), rel=1e-5)
    torch.manual_seed(2)
    assert by_hand.vae.loss(x).item() != pytest.approx(ours.item(), rel=1e-3)  # the noise counts


@pytest.mark.parametrize("name", SMALL)
def test_by_hand_it_learns(name):
    made = HandWrittenNetworks(SMALL[name]._replace(num_rows=64), "cpu")
    assert made.run(200) > made.run(200) + 0.5


def test_words_end_once():
    words = torch.from_numpy(WORDS.observations())
    going, letters = words[..., 0], words[..., 1:].sum(-1)
    assert torch.equal(going, letters)
    assert (going.diff(dim=1) <= 0).all()
    assert going.sum(1).min() >= 2
