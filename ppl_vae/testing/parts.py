"""A family, a likelihood or a prior of one's own in a small pair of ours, to be held to what pairs are held to."""

from collections.abc import Callable

import torch
from torch import Tensor

from ppl_vae.guides import Amortized, Diagonal, Family
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import Bernoulli, Likelihood
from ppl_vae.models.priors import Prior, StandardNormal
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.testing.case import Case, Pair

_LATENT_DIM = 3
_EVENT = (3, 4)
_HIDDEN = (8,)


def family_case(family: Callable[[int], Family], name: str = "family") -> Case:
    """An amortized guide of this family, beside a Bernoulli VAE with three latents.

    Args:
        family: from the length of z to the family, as its class is.
        name: for the messages.
    """
    return _case(name, family=family)


def likelihood_case(likelihood: Callable[[], Likelihood], x: Tensor | None = None, name: str = "likelihood") -> Case:
    """A VAE with this likelihood under an amortized Gaussian guide.

    Args:
        likelihood: makes it, as its class does.
        x: observations in its support, ``(6, 3, 4)`` or others of two dimensions; bits by default.
        name: for the messages.
    """
    return _case(name, likelihood=likelihood, x=x)


def prior_case(prior: Callable[[int], Prior], name: str = "prior") -> Case:
    """A Bernoulli VAE with this prior under an amortized Gaussian guide.

    Args:
        prior: from the length of z to the prior, as its class is.
        name: for the messages.
    """
    return _case(name, prior=prior)


def _case(
    name: str,
    family: Callable[[int], Family] = Diagonal,
    likelihood: Callable[[], Likelihood] = Bernoulli,
    prior: Callable[[int], Prior] = StandardNormal,
    x: Tensor | None = None,
) -> Case:
    observed = _bits() if x is None else x
    event = tuple(observed.shape[1:])

    def make() -> Pair:
        of_x = likelihood()
        decoder = Decoder(_LATENT_DIM, of_x.start(observed.mean(0)).shape, _HIDDEN, "tanh")
        model = VAE(decoder, _LATENT_DIM, of_x, prior(_LATENT_DIM))
        latents = Latents.of(model, Batch(observed[:2], None, torch.arange(2)))
        q = family(_LATENT_DIM)
        return model, Amortized(latents, q, Encoder(event, q.num_params, _HIDDEN, "tanh"))

    return Case(name, make, observed)


def _bits() -> Tensor:
    """Six images of bits, no two of them alike."""
    return torch.rand(6, *_EVENT, generator=torch.Generator().manual_seed(3)).round()
