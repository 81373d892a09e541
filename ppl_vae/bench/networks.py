"""Steps with other networks than fully connected ones: a convolutional pair, and an LSTM for words."""

from functools import partial
from typing import Any

import torch
from torch import nn

from ppl_vae.bench.contenders import AbsentError, Contender, Name
from ppl_vae.bench.handwritten_networks import HandWrittenNetworks
from ppl_vae.bench.minibatches import Minibatches
from ppl_vae.bench.ours import OurSteps
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import IMAGES, WORDS, NetSize
from ppl_vae.bench.steps import side_by_side
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal
from ppl_vae.models import VAE, SequenceVAE
from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.recurrent import RecurrentDecoder, RecurrentEncoder
from ppl_vae.programs.latents import Latents
from ppl_vae.tracing.capture import NotTraceableError

NET_SIZES = {"images": IMAGES, "words": WORDS}


def measure_networks(clock: Clock) -> dict[str, Any]:
    """Time our steps and those of PyTorch by hand.

    Returns:
        by kind of data ``size`` in words and what :func:`ppl_vae.bench.steps.side_by_side` returns.
    """
    found = {}
    for name, size in NET_SIZES.items():
        makers: dict[Name, Any] = {
            "handwritten": partial(HandWrittenNetworks, size, clock.device),
            "eager": partial(_ours, size, clock.device, traced=False),
            "traced": partial(_ours, size, clock.device, traced=True),
        }
        found[name] = {"size": str(size), **side_by_side(name, makers, clock)}
    return found


def build_net_pair(size: NetSize) -> tuple[nn.Module, nn.Module]:
    """A model and an amortized guide of that size."""
    shape, hidden, family = size.event_shape, (size.hidden,), Diagonal(size.latent_dim)
    model: VAE | SequenceVAE
    encoder: ConvEncoder | RecurrentEncoder
    if size.channels:
        model = VAE(ConvDecoder(size.latent_dim, shape, size.channels[::-1], hidden), size.latent_dim)
        encoder = ConvEncoder(shape, family.num_params, size.channels, hidden)
    else:
        model = SequenceVAE(RecurrentDecoder(size.latent_dim, shape, hidden), size.latent_dim, "text")
        encoder = RecurrentEncoder(shape, family.num_params, hidden, "text")
    probe = Dataset(torch.from_numpy(size._replace(num_rows=2).observations().round())).probe()
    return model, Amortized(Latents.of(model, probe), family, encoder)


def _ours(size: NetSize, device: str, *, traced: bool) -> Contender:
    torch.manual_seed(0)
    batches = Minibatches.of(size, device)
    model, guide = (program.to(device) for program in build_net_pair(size))
    try:
        return OurSteps(model, guide, batches, traced=traced, dynamic=bool(size.channels))
    except NotTraceableError as error:
        raise AbsentError(f"the step cannot be traced here ({error})") from None
