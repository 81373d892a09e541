"""The pairs that are held to :mod:`ppl_vae.testing`: every model × family × parameterisation.

A new model is a line in ``MODELS``, a new family one in ``FAMILIES``, a new parameterisation one in
``PARAMETERISATIONS``; every combination is checked then.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from ppl_vae import Batch
from ppl_vae.data.codecs import encode_notes, encode_text
from ppl_vae.guides import (
    Amortized,
    BottomUp,
    Diagonal,
    Family,
    FullRank,
    Guide,
    InverseAutoregressive,
    LowRank,
    PerDatapoint,
    Planar,
    SemiAmortized,
)
from ppl_vae.models import (
    VAE,
    ConditionalVAE,
    HierarchicalVAE,
    LinearGaussian,
    SequenceVAE,
    TwoLayerLinearGaussian,
)
from ppl_vae.models.likelihoods import (
    Categorical,
    Columns,
    ContinuousBernoulli,
    Likelihood,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    ZeroInflatedNegativeBinomial,
)
from ppl_vae.models.priors import MixtureOfGaussians, Prior, VampPrior
from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.networks.recurrent import RecurrentDecoder, RecurrentEncoder
from ppl_vae.programs.latents import Latents, LatentSite
from ppl_vae.programs.layout import Layout
from ppl_vae.testing import Case, Pair
from tests.pairs import TwoLatents, bits


class Observations(NamedTuple):
    """What a model is fed: ``(N, *event)``, and labels where it needs them."""

    x: Tensor
    y: Tensor | None = None

    def head(self) -> Batch:
        """The first two."""
        return Batch(self.x[:2], None if self.y is None else self.y[:2], torch.arange(2))


def conditional_vae() -> ConditionalVAE:
    return ConditionalVAE(Decoder(2, (3, 4), (8,), "tanh", num_classes=3), 2, 3)


def vae(likelihood: Likelihood | None = None, prior: Prior | None = None) -> VAE:
    return VAE(Decoder(2, (3, 4), (8,), "tanh"), 2, likelihood, prior)


def vae_of(likelihood: Likelihood, x: Tensor) -> VAE:
    """With as many outputs as the likelihood needs."""
    return VAE(Decoder(2, likelihood.start(x.mean(0)).shape, (8,), "tanh"), 2, likelihood)


def vamp(family: Callable[[int], Family]) -> VAE:
    q = family(2)
    encoder = Encoder((3, 4), q.num_params, (8,), "tanh")
    return vae(prior=VampPrior(q, encoder, torch.full((3, 4), 0.3), num_components=4))


def hierarchical() -> HierarchicalVAE:
    return HierarchicalVAE(Decoder(3, (3, 4), (8,), "tanh"), Encoder((2,), 6, (8,), "tanh"), 2)


GREYS = torch.linspace(-1, 2, 72).cos().abs().reshape(6, 3, 4)
REALS = torch.linspace(-2, 2, 30).sin().mul(2).reshape(6, 5)


COUNTS = (9 * GREYS).round()
COLUMNS = torch.cat([50 * REALS[:, :2], COUNTS[:, 0, :2], COUNTS[:, 1, :1] % 2, torch.eye(3).repeat(2, 1)], dim=1)
KINDS = ("reals",) * 2 + ("counts",) * 2 + ("bits",) + ("category",) * 3
BLOCKS = (1,) * 5 + (3,)


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(0), x.std(0)


def half_lit(*shape: int) -> Tensor:
    return torch.bernoulli(torch.full(shape, 0.5), generator=torch.Generator().manual_seed(3))


class Normalised(nn.Module):
    """A network with running statistics, which takes rows: leading dimensions are laid into one and out again."""

    def __init__(self, before: int, after: int, event: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.before, self.event = before, event or (after,)
        self.net = nn.Sequential(nn.Linear(before, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, after))

    def forward(self, value: Tensor) -> Tensor:
        """``(..., *event)`` of ``before`` numbers to ``(..., *event)`` of ``after``."""
        rows = value if value.shape[-1] == self.before else value.flatten(-2)
        return self.net(rows.reshape(-1, self.before)).reshape(*rows.shape[:-1], *self.event)


def conv_vae(*event: int) -> VAE:
    return VAE(ConvDecoder(2, event, (3, 2), (6,), "tanh"), 2)


def sequence_vae(layout: Layout, length: int, columns: int) -> SequenceVAE:
    return SequenceVAE(RecurrentDecoder(2, (length, columns), (6,)), 2, layout, word_dropout=0.0)


WORDS = encode_text(["ab", "b", "aba", "ca", "cccc", "a"], "abc", 4).float()
# Two voices, from one step to three; of the piano's keys only the lowest five.
TUNES = encode_notes(
    [[[21], [22, 24]], [[23]], [[21, 25], [], [22]], [[24, 25]], [[22], [22], [23]], [[25], [21]]], 3
).float()

MODELS: dict[str, tuple[Callable[[], nn.Module], Observations]] = {
    "vae": (vae, Observations(bits(6, seed=3))),
    "conditional": (conditional_vae, Observations(bits(6, seed=3), torch.tensor([0, 1, 2, 2, 1, 0]))),
    "linear-gaussian": (lambda: LinearGaussian((5,), 3), Observations(REALS)),
    "convolutional": (lambda: conv_vae(5, 6), Observations(half_lit(6, 5, 6))),
    "convolutional in colour": (lambda: conv_vae(5, 4, 3), Observations(half_lit(6, 5, 4, 3))),
    "text": (lambda: sequence_vae("text", 4, 4), Observations(WORDS)),
    "notes": (lambda: sequence_vae("notes", 3, 6), Observations(TUNES[..., :6])),
    "two-latents": (TwoLatents, Observations(torch.linspace(-1, 2, 24).cos().mul(2).reshape(6, 4))),
    "continuous-bernoulli": (lambda: vae(ContinuousBernoulli()), Observations(GREYS)),
    "batch-norm": (lambda: VAE(Normalised(2, 12, (3, 4)), 2), Observations(bits(6, seed=3))),
    "normal": (lambda: vae(Normal()), Observations(GREYS)),
    "normal, scale of the decoder": (
        lambda: vae_of(Normal(*moments(50 * REALS), noise_scale="decoder"), REALS),
        Observations(50 * REALS),
    ),
    "student-t": (lambda: vae(StudentT(*moments(GREYS), noise_scale="feature")), Observations(GREYS)),
    "poisson": (lambda: vae(Poisson()), Observations(COUNTS)),
    "negative-binomial": (
        lambda: vae(NegativeBinomial(*moments(COUNTS), size_factors="total")),
        Observations(COUNTS),
    ),
    "zero-inflated-negative-binomial": (
        lambda: vae_of(ZeroInflatedNegativeBinomial(*moments(COUNTS)), COUNTS),
        Observations(COUNTS),
    ),
    "categorical": (lambda: vae_of(Categorical((9.0,)), COUNTS), Observations(COUNTS)),
    "columns": (lambda: vae_of(Columns(*moments(COLUMNS), KINDS, BLOCKS), COLUMNS), Observations(COLUMNS)),
    "mixture-prior": (lambda: vae(prior=MixtureOfGaussians(2, num_components=3)), Observations(bits(6, seed=3))),
    "hierarchical": (hierarchical, Observations(bits(6, seed=3))),
    "two-layer-linear-gaussian": (lambda: TwoLayerLinearGaussian((5,), 3, 2), Observations(REALS)),
}

# Not Point: it is no density, hence no bound and no importance weights.
FAMILIES: dict[str, Callable[[Latents], Family]] = {
    "diagonal": lambda latents: Diagonal(latents.size),
    "low-rank": lambda latents: LowRank(latents.size),
    "full-rank": lambda latents: FullRank(latents.size),
    "planar": lambda latents: Planar(latents.size),
    "iaf": lambda latents: InverseAutoregressive(latents.size),
    "bottom-up": lambda latents: BottomUp([site.size for site in latents.sites], (4,), "tanh"),
}


def amortized(model: nn.Module, latents: Latents, family: Family, data: Observations) -> Guide:
    classes, event = 0 if data.y is None else 3, data.x.shape[1:]
    if isinstance(prior := getattr(model, "prior", None), VampPrior):
        return Amortized(latents, prior.family, prior.encoder)
    encoder: nn.Module = Encoder(event, family.num_params, (8,), "tanh", num_classes=classes)
    if isinstance(model, VAE) and isinstance(model.decoder, ConvDecoder):
        encoder = ConvEncoder(event, family.num_params, (2, 3), (6,), "tanh")
    if isinstance(model, VAE) and isinstance(model.decoder, Normalised):
        encoder = Normalised(12, family.num_params)
    if isinstance(model, SequenceVAE):
        encoder = RecurrentEncoder(event, family.num_params, (6,), model.layout)
    return Amortized(latents, family, encoder, labelled=data.y is not None)


def per_datapoint(model: nn.Module, latents: Latents, family: Family, data: Observations) -> Guide:
    guide = PerDatapoint(latents, family, len(data.x))
    nn.init.normal_(guide.table.weight, std=0.3)  # rows start all alike, which would hide one taken for another
    return guide


PARAMETERISATIONS: dict[str, Callable[[nn.Module, Latents, Family, Observations], Guide]] = {
    "amortized": amortized,
    "per-datapoint": per_datapoint,
    "semi-amortized": lambda model, *rest: SemiAmortized(amortized(model, *rest), model, refinement_steps=2),
}


def _case(model: str, family: str, parameterisation: str) -> Case:
    make_model, data = MODELS[model]

    def make() -> Pair:
        program = make_model()
        latents = Latents.of(program, data.head())
        return program, PARAMETERISATIONS[parameterisation](program, latents, FAMILIES[family](latents), data)

    return Case(f"{model}, {family}, {parameterisation}", make, *data)


def _vamp_case(family: str, parameterisation: str) -> Case:
    """The VampPrior's family and encoder are the guide's, so that the guide is made of them."""
    data = MODELS["vae"][1]

    def make() -> Pair:
        program = vamp(lambda size: FAMILIES[family](_vector(size)))
        latents = Latents.of(program, data.head())
        return program, PARAMETERISATIONS[parameterisation](program, latents, program.prior.family, data)

    return Case(f"vamp-prior, {family}, {parameterisation}", make, *data)


def _vector(size: int) -> Latents:
    return Latents((LatentSite("z", (size,), constraints.real_vector),))


_LAYERED = ("hierarchical", "two-layer-linear-gaussian")  # with one latent, bottom-up is the diagonal family

_OF_ONE = tuple(family for family in FAMILIES if family != "bottom-up")

ALL_CASES = [
    *(
        _case(model, family, kind)
        for model in MODELS
        for family in (FAMILIES if model in _LAYERED else _OF_ONE)
        for kind in PARAMETERISATIONS
    ),
    *(_vamp_case(family, kind) for family in _OF_ONE for kind in ("amortized", "semi-amortized")),
]
"""Every model × family × parameterisation."""

_PICKS = {
    **{f"{family}, amortized": ("two-latents",) for family in _OF_ONE},
    "diagonal, amortized": tuple(
        model
        for model in (*MODELS, "vamp-prior")
        if model not in ("convolutional in colour", "normal", "notes")  # like another one that is there
    ),
    "diagonal, per-datapoint": ("two-latents",),
    "full-rank, per-datapoint": ("vae", "convolutional", "hierarchical"),
    "diagonal, semi-amortized": ("two-latents", "vamp-prior"),
    "bottom-up, amortized": _LAYERED,
}
_QUICK = {f"{model}, {guide}" for guide, models in _PICKS.items() for model in models}

CASES = [case for case in ALL_CASES if case.name in _QUICK]
"""What `make test` looks at: one model under every family and under every parameterisation, most under one guide, a few
under others: a family sees nothing of a model but the length of its latents."""
