"""What every model/guide pair is held to: a table of pairs, and one function for each invariant.

To hold your own pair to it, say how it is made and what it is fed, and run the checks::

    from tests.conformance import CHECKS, Case

    case = Case("mine", make=lambda: (MyModel(), MyGuide()), x=torch.zeros(6, 784))
    for check in CHECKS:
        check(case)

A new model of this project is a line in ``MODELS``, a new family one in ``FAMILIES``, a new parameterisation one in
``PARAMETERISATIONS``; every combination is checked then.
"""

import copy
import io
import math
from collections.abc import Callable
from typing import NamedTuple

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.poutine import Trace
from torch import Tensor, nn
from torch.distributions import constraints

from ppl_vae import Batch
from ppl_vae.check import check_pair
from ppl_vae.conv_nets import ConvDecoder, ConvEncoder
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo, importance_bound, log_weights
from ppl_vae.guides import (
    Amortized,
    BottomUp,
    Diagonal,
    Family,
    FullRank,
    Guide,
    InverseAutoregressive,
    Latents,
    LowRank,
    PerDatapoint,
    Planar,
    SemiAmortized,
)
from ppl_vae.latents import LatentSite
from ppl_vae.layout import Layout, encode_notes, encode_text
from ppl_vae.models import (
    VAE,
    ConditionalVAE,
    HierarchicalVAE,
    LinearGaussian,
    SequenceVAE,
    TwoLayerLinearGaussian,
)
from ppl_vae.models.likelihoods import ContinuousBernoulli, Likelihood, Normal
from ppl_vae.models.priors import MixtureOfGaussians, Prior, VampPrior
from ppl_vae.nets import Decoder, Encoder
from ppl_vae.objectives import TraceELBO
from ppl_vae.pair import run_pair
from ppl_vae.recurrent_nets import RecurrentDecoder, RecurrentEncoder
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from tests.pairs import TwoLatents, bits

Pair = tuple[nn.Module, nn.Module]


class Case(NamedTuple):
    """A pair to check.

    Args:
        name: for the messages.
        make: a new pair, initialised from torch's generator.
        x: observations that the model accepts, ``(N, *event)`` with N ≥ 4, float32, no two of them alike.
        y: their labels, or None.
    """

    name: str
    make: Callable[[], Pair]
    x: Tensor
    y: Tensor | None = None

    def pair(self, seed: int = 0) -> Pair:
        """A new pair in evaluation mode, the same one for the same seed."""
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model, guide = self.make()
            return model.eval(), guide.eval()

    def batch(self, rows: Tensor | None = None) -> Batch:
        """Some rows of the data, by default all of them in order."""
        index = torch.arange(len(self.x)) if rows is None else rows
        return Batch(self.x[index], None if self.y is None else self.y[index], index)

    def double(self) -> "Case":
        """The same in float64, where rounding is out of the way."""
        return self._replace(make=lambda: tuple(program.double() for program in self.make()), x=self.x.double())


# --- The table --------------------------------------------------------------------------------------------------------


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


def vamp(family: Callable[[int], Family]) -> VAE:
    q = family(2)
    return vae(prior=VampPrior(q, Encoder((3, 4), q.num_params, (8,), "tanh"), torch.full((3, 4), 0.3), 4))


def hierarchical() -> HierarchicalVAE:
    return HierarchicalVAE(Decoder(3, (3, 4), (8,), "tanh"), Encoder((2,), 6, (8,), "tanh"), 2)


GREYS = torch.linspace(-1, 2, 72).cos().abs().reshape(6, 3, 4)
REALS = torch.linspace(-2, 2, 30).sin().mul(2).reshape(6, 5)


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
    return SequenceVAE(RecurrentDecoder(2, (length, columns), (6,)), 2, layout)


WORDS = encode_text(["ab", "b", "aba", "ca", "cccc", "a"], "abc", 4)
# Two voices, from one step to three; of the piano's keys only the lowest five.
TUNES = encode_notes([[[21], [22, 24]], [[23]], [[21, 25], [], [22]], [[24, 25]], [[22], [22], [23]], [[25], [21]]], 3)

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
    "mixture-prior": (lambda: vae(prior=MixtureOfGaussians(2, 3)), Observations(bits(6, seed=3))),
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
    "semi-amortized": lambda model, *rest: SemiAmortized(amortized(model, *rest), model, num_steps=2),
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


# --- Densities at given latents ---------------------------------------------------------------------------------------


def _is_delta(fn: object) -> bool:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist
    return isinstance(fn, dist.Delta)


def draws_of(trace: Trace) -> dict[str, Tensor]:
    """What was drawn; sites that follow from other sites are none."""
    return {
        name: site["value"]
        for name, site in trace.iter_stochastic_nodes()
        if type(site["fn"]).__name__ != "_Subsample" and not _is_delta(site["fn"])
    }


def densities_at(
    pair: Pair, batch: Batch, draws: dict[str, Tensor], num_samples: int | None = None
) -> tuple[Tensor, Tensor]:
    """log p(x, z) and log q(z | x) where the guide draws these values, ``(batch,)`` or ``(num_samples, batch)``."""
    fixed = Trace()
    for name, value in draws.items():
        fixed.add_node(name, name=name, type="sample", value=value, is_observed=False, infer={})

    def run(program: nn.Module, given: Trace) -> Trace:
        handled = poutine.replay(program, trace=given)
        if num_samples is not None:
            handled = pyro.plate("samples", num_samples, dim=-2)(handled)
        return poutine.trace(handled).get_trace(batch)

    model, guide = pair
    with torch.no_grad():
        guide_trace = run(guide, fixed)
        return _total(run(model, guide_trace)), _total(guide_trace)


def _total(trace: Trace) -> Tensor:
    trace.compute_log_prob()
    return sum(site["unscaled_log_prob"] for site in trace.nodes.values() if site["type"] == "sample")


def _differs(a: Tensor, b: Tensor) -> bool:
    return not torch.allclose(a, b, rtol=1e-3, atol=1e-3)


def _close(found: object, expected: object) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


# --- The invariants ---------------------------------------------------------------------------------------------------


def check_contract(case: Case) -> None:
    """The pair passes ``check_pair``, which changes nothing, not even of a pair in training mode."""
    model, guide = (program.train() for program in case.pair())
    before, state = torch.get_rng_state(), copy.deepcopy([model.state_dict(), guide.state_dict()])
    check_pair(model, guide, case.batch())
    check_pair(model, guide, case.batch(torch.tensor([1])))
    assert torch.equal(torch.get_rng_state(), before)
    for program, values in zip((model, guide), state, strict=True):
        assert all(torch.equal(value, values[name]) for name, value in program.state_dict().items())


def check_shapes(case: Case) -> None:
    """One finite weight for each sample and datapoint, no two of them the same."""
    for num_samples in (1, 3):
        for rows in (torch.arange(len(case.x)), torch.tensor([2])):
            weights = log_weights(*case.pair(), case.batch(rows), num_samples)
            assert weights.shape == (num_samples, len(rows))
            assert weights.isfinite().all()
            assert len(weights.unique()) == weights.numel()


def check_leading_dimensions(case: Case) -> None:
    """Three samples in one call have the densities that each has alone."""
    case = case.double()
    pair, batch = case.pair(), case.batch()
    with pyro.plate("samples", 3, dim=-2):
        draws = draws_of(poutine.trace(pair[1]).get_trace(batch))
    together = densities_at(pair, batch, draws, num_samples=3)
    for sample in range(3):
        alone = densities_at(pair, batch, {name: value[sample] for name, value in draws.items()})
        _close([values[sample] for values in together], list(alone))
    for values in together:
        assert values.shape == (3, len(case.x))
        assert _differs(values[0], values[1])


def check_rows_are_independent(case: Case) -> None:
    """A datapoint's densities do not depend on its place in the batch, nor on what else is in it."""
    case = case.double()
    pair, batch = case.pair(), case.batch()
    draws = draws_of(poutine.trace(pair[1]).get_trace(batch))
    whole = densities_at(pair, batch, draws)
    size = len(case.x)
    for rows in (torch.arange(size).flip(0), torch.tensor([2]), torch.tensor([3, 0, 1]), torch.tensor([1, 1, 0])):
        part = densities_at(pair, case.batch(rows), {name: value[rows] for name, value in draws.items()})
        _close(list(part), [values[rows] for values in whole])
    for values in whole:
        assert _differs(values, values.flip(0))


def check_guide_looks_at_x(case: Case) -> None:
    """q(z | x) is another for another x: the same draws, the observations exchanged."""
    case = case.double()
    pair, batch = case.pair(), case.batch()
    draws = draws_of(poutine.trace(pair[1]).get_trace(batch))
    exchanged = case.batch(torch.arange(len(case.x)).roll(1))
    for given, found in zip(densities_at(pair, batch, draws), densities_at(pair, exchanged, draws), strict=True):
        assert _differs(given, found)


def check_precision(case: Case) -> None:
    """float32 and float64 in, the same out, and the same numbers to float32's rounding."""
    values = []
    draws: dict[str, Tensor] = {}
    for dtype in (torch.float32, torch.float64):
        chosen = case if dtype == torch.float32 else case.double()
        model, guide = chosen.pair()
        trace = poutine.trace(guide).get_trace(chosen.batch())
        draws = draws or draws_of(trace)
        assert all(value.dtype == dtype for value in draws_of(trace).values())
        for run in run_pair(model, guide, chosen.batch(), 2):
            for name, site in run.nodes.items():
                assert site["type"] != "sample" or site["log_prob"].dtype == dtype, name
        same = {name: value.to(dtype) for name, value in draws.items()}
        log_p, log_q = densities_at((model, guide), chosen.batch(), same)
        values.append(torch.stack([log_p, log_q]).double())
    torch.testing.assert_close(*values, rtol=1e-4, atol=1e-4)


def check_gradients(case: Case) -> None:
    """Every parameter has a finite gradient, and it is not 0, but perhaps at the very start."""
    model, guide = case.pair()
    with torch.no_grad():
        for param in (*model.parameters(), *guide.parameters()):
            param.add_(0.02 * torch.randn_like(param))
    TraceELBO(4).terms(model, guide, case.batch()).loss.backward()
    for program in (model, guide):
        for name, param in program.named_parameters():
            assert param.grad is not None, name
            assert param.grad.isfinite().all(), name
            assert param.grad.abs().max() > 0, name


def check_state_round_trip(case: Case) -> None:
    """A pair with the state of another is that other; the state is plain tensors."""
    first, second = case.pair(seed=0), case.pair(seed=1)

    def weights(pair: Pair) -> Tensor:
        torch.manual_seed(5)
        return log_weights(*pair, case.batch(), 3)

    assert _differs(weights(first), weights(second))
    for source, target in zip(first, second, strict=True):
        buffer = io.BytesIO()
        torch.save(source.state_dict(), buffer)
        buffer.seek(0)
        target.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(weights(first), weights(second))


def check_copy(case: Case) -> None:
    """A deep copy is the same, and then a thing of its own."""
    pair = case.pair()
    other = copy.deepcopy(pair)

    def weights(pair: Pair) -> Tensor:
        torch.manual_seed(5)
        return log_weights(*pair, case.batch(), 3)

    before = weights(pair)
    assert torch.equal(weights(other), before)
    with torch.no_grad():
        for program in other:
            for param in program.parameters():
                param.mul_(1.2).add_(0.01)
    assert _differs(weights(other), before)
    assert torch.equal(weights(pair), before)


def check_same_noise_same_answer(case: Case) -> None:
    """Nothing but torch's generator decides, and nothing is kept from one call to the next."""
    pair = case.pair()
    found = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        found.append(log_weights(*pair, case.batch(), 2))
    assert torch.equal(found[0], found[2])
    assert _differs(found[0], found[1])


def check_objective_is_pyros(case: Case) -> None:
    """``TraceELBO`` has the loss and the gradients of Pyro's own ``Trace_ELBO``, on the same noise."""
    model, guide = case.double().pair()
    batch = case.double().batch()
    params = [*model.parameters(), *guide.parameters()]
    for num_particles in (1, 3):
        torch.manual_seed(1)
        # The nesting is given: Pyro would find it out by running the pair, which spends random numbers.
        theirs = Trace_ELBO(num_particles=num_particles, vectorize_particles=True, max_plate_nesting=1)
        expected = theirs.loss_and_grads(model, guide, batch)
        gradients = [param.grad for param in params]
        model.zero_grad()
        guide.zero_grad()
        torch.manual_seed(1)
        terms = TraceELBO(num_particles).terms(model, guide, batch)
        (terms.loss * len(batch.x)).backward()
        assert math.isclose(-terms.elbo.sum().item(), expected, rel_tol=1e-10)
        _close([param.grad for param in params], gradients)
        model.zero_grad()
        guide.zero_grad()


def check_learning(case: Case) -> None:
    """Sixty steps raise the ELBO by half a nat or more, and it stays below the importance bound."""
    model, guide = case.pair()
    data = Dataset(case.x, case.y)
    before = elbo(model, guide, data, num_samples=400).elbo
    optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.03))
    step = EagerStep(model, guide, TraceELBO(4), optimizer, data)
    model.train()
    guide.train()
    with torch.random.fork_rng(), pyro.validation_enabled(False):
        torch.manual_seed(1)
        for _ in range(60):
            step(torch.arange(len(data)))
    after = elbo(model, guide, data, num_samples=400, seed=1).elbo
    assert after.mean > before.mean + 0.5
    bound = importance_bound(model, guide, data, 400, seed=2)
    assert bound.mean > after.mean - 0.1


# --- Pyro's own tools, unchanged --------------------------------------------------------------------------------------


def check_pyros_elbo_as_a_module(case: Case) -> None:
    """Pyro's ELBO over parameters that live in modules, and torch's optimizer: every one of them moves."""
    model, guide = case.pair()
    bound = Trace_ELBO()(model, guide)
    params = [*model.parameters(), *guide.parameters()]
    assert {id(param) for param in bound.parameters()} == {id(param) for param in params}
    before = [param.detach().clone() for param in params]
    optimizer = torch.optim.Adam(bound.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        loss = bound(case.batch())
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    assert not any(torch.equal(a, b) for a, b in zip(before, params, strict=True))


def check_pyros_svi(case: Case) -> None:
    """``pyro.infer.SVI`` with Pyro's optimizer: every parameter moves."""
    model, guide = case.pair()
    params = [*model.parameters(), *guide.parameters()]
    before = [param.detach().clone() for param in params]
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.01}), loss=Trace_ELBO())
    for _ in range(3):
        assert math.isfinite(svi.step(case.batch()))
    assert not any(torch.equal(a, b) for a, b in zip(before, params, strict=True))


def check_predictive(case: Case) -> None:
    """``pyro.infer.Predictive``: prior and posterior draws of the latents and new observations."""
    model, guide = case.pair()
    batch = case.batch()
    free = poutine.uncondition(model)
    latents = draws_of(poutine.trace(model).get_trace(batch))
    for parallel in (False, True):
        posterior = Predictive(free, guide=guide, num_samples=4, parallel=parallel)(batch)
        prior = Predictive(free, num_samples=4, parallel=parallel)(batch)
        for found in (prior, posterior):
            assert found["x"].shape == (4, *case.x.shape)
            assert found["x"].isfinite().all()
            for name, value in latents.items():
                drawn = found[name].reshape(4, *value.shape)  # Predictive keeps a dimension of 1 for other plates
                assert _differs(drawn[0], drawn[1])


def check_nuts(case: Case) -> None:
    """``pyro.infer.NUTS`` on the model: a few steps from its own start, inside every latent's support."""
    model, _ = case.double().pair()
    batch = case.double().batch(torch.tensor([0, 1]))
    trace = poutine.trace(model).get_trace(batch)
    chain = MCMC(NUTS(model, max_tree_depth=3), num_samples=8, warmup_steps=12, disable_progbar=True)
    chain.run(batch)
    for name, value in draws_of(trace).items():
        drawn = chain.get_samples()[name]
        assert drawn.shape == (8, *value.shape)
        assert trace.nodes[name]["fn"].support.check(drawn).all()
        assert _differs(drawn, drawn[:1])


CHECKS: tuple[Callable[[Case], None], ...] = (
    check_contract,
    check_shapes,
    check_leading_dimensions,
    check_rows_are_independent,
    check_guide_looks_at_x,
    check_precision,
    check_gradients,
    check_state_round_trip,
    check_copy,
    check_same_noise_same_answer,
    check_objective_is_pyros,
    check_learning,
    check_pyros_elbo_as_a_module,
    check_pyros_svi,
    check_predictive,
    check_nuts,
)
