"""Every model × family × parameterisation against every invariant; and pairs that each invariant must turn down."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import Batch, UserError, guides, models, testing
from ppl_vae.guides import Amortized, Diagonal, Guide, Point, SemiAmortized
from ppl_vae.models import VAE, Model
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.programs.latents import Latents
from ppl_vae.registry.factories import TABLES
from ppl_vae.testing import CHECKS, OF_A_Q_WITHOUT_NOISE, Case
from tests import conformance
from tests.conformance import ALL_CASES, CASES
from tests.pairs import TwoLatents, all_of, bits

OF_THE_MODEL_ALONE = {testing.check_nuts}
# Differentiating through the refinement of a flow whose draws are then put through exp (the positive latent of this
# model) gives gradients that overflow float32 at the check's step size: the training diverges, and fit() says so.
DIVERGES = {(testing.check_learning, "two-latents, iaf, semi-amortized")}

# Training takes a second; that of the others is like one of these.
LEARN = [
    f"two-latents, {guide}" for guide in ("diagonal, per-datapoint", "diagonal, semi-amortized", "iaf, amortized")
] + [f"{model}, diagonal, amortized" for model in ("conditional", "text")]
# NUTS sees nothing of the guide, and of a model its latents and what they lead to.
SAMPLED = [f"{model}, diagonal, amortized" for model in ("conditional", "two-latents", "text", "hierarchical")]
ONLY = {testing.check_learning: LEARN, testing.check_nuts: SAMPLED}


@pytest.mark.parametrize(
    ("check", "case"),
    [
        pytest.param(
            check,
            case,
            id=f"{check.__name__}-{case.name}",
            marks=() if case in CASES and case.name in ONLY.get(check, [case.name]) else pytest.mark.slow,
        )
        for check in CHECKS
        for case in ALL_CASES
        if check not in OF_THE_MODEL_ALONE or case.name.endswith("diagonal, amortized")
        if check not in OF_A_Q_WITHOUT_NOISE or not case.name.endswith("semi-amortized")
        if (check, case.name) not in DIVERGES
    ],
)
def test_conformance(check: Callable[[Case], None], case: Case) -> None:
    check(case)
    assert not list(pyro.get_param_store().keys())


def test_a_refined_point_is_a_function_of_its_own_x_alone() -> None:
    """Order, subset and precision, where a refinement has no noise."""
    torch.manual_seed(0)
    model = VAE(Decoder(2, (3, 4), (8,), "tanh"), 2)
    proposal = Amortized(Latents.of(model, all_of(bits(2))), Point(2), Encoder((3, 4), 2, (8,)))
    guide = SemiAmortized(proposal, model, refinement_steps=3, refinement_rate=0.3)
    x = bits(6, seed=3)
    with torch.no_grad():
        whole = guide.params(all_of(x))
        assert (whole - proposal.params(all_of(x))).abs().min() > 1e-3  # it has moved
        for rows in (torch.arange(6).flip(0), torch.tensor([2]), torch.tensor([3, 0, 1])):
            torch.testing.assert_close(guide.params(all_of(x[rows])), whole[rows])
        model.double()
        torch.testing.assert_close(guide.double().params(all_of(x.double())), whole.double(), rtol=1e-4, atol=1e-4)


# --- The checks can fail: one pair for each, broken in the one way that it looks for ----------------------------------


def case_of(model: Callable[[], nn.Module], guide: Callable[[Latents], Guide] | None = None) -> Case:
    def make() -> tuple[nn.Module, nn.Module]:
        program = model()
        latents = Latents.of(VAE(Decoder(2, (3, 4), (8,)), 2), all_of(bits(2)))
        return program, (guide or encoded)(latents)

    return Case("broken", make, bits(6, seed=3))


def encoded(latents: Latents, kind: type[Amortized] = Amortized) -> Amortized:
    return kind(latents, Diagonal(2), Encoder((3, 4), 4, (8,)))


def vae() -> VAE:
    return VAE(Decoder(2, (3, 4), (8,), "tanh"), 2)


class BatchNormalised(Amortized):
    """Looks at the other datapoints of the batch."""

    def params(self, batch: Batch) -> Tensor:
        params = super().params(batch)
        return params - params.mean(0)


class Blind(Guide):
    """Does not look at x."""

    def __init__(self, latents: Latents, family: Diagonal, encoder: nn.Module) -> None:
        super().__init__(latents, family)
        self.row = nn.Parameter(torch.zeros(4))

    def params(self, batch: Batch) -> Tensor:
        return self.row.expand(len(batch.x), -1)


class Forgetful(VAE):
    """Keeps a part of itself out of its state."""

    def __init__(self) -> None:
        super().__init__(Decoder(2, (3, 4), (8,)), 2)
        self.register_buffer("shift", torch.randn(3, 4), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.prior.loc, torch.ones_like(self.prior.loc)).to_event(1))
            logits = self.decoder(z) + self.shift
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


class Single(VAE):
    """Computes in float32 whatever it is given."""

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.prior.loc, torch.ones_like(self.prior.loc)).to_event(1))
            logits = self.decoder(z).float()
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x.float())


class Idle(VAE):
    """Has a parameter that nothing depends on."""

    def __init__(self) -> None:
        super().__init__(Decoder(2, (3, 4), (8,)), 2)
        self.idle = nn.Parameter(torch.zeros(3))


class Averaging(VAE):
    """Mixes up the samples of its leading dimension."""

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.prior.loc, torch.ones_like(self.prior.loc)).to_event(1))
            logits = self.decoder(z.mean(0, keepdim=True).expand_as(z) if z.dim() > 2 else z)
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


class Remembering(VAE):
    """Another one at every call."""

    calls = 0

    def forward(self, batch: Batch) -> Tensor:
        self.calls += 1
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.prior.loc, torch.ones_like(self.prior.loc)).to_event(1))
            return pyro.sample("x", dist.Bernoulli(logits=self.decoder(z) + 0.1 * self.calls).to_event(2), obs=batch.x)


class Frozen(VAE):
    """Cannot learn, and its guide's gradient is cut off too."""

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(self.prior.loc, torch.ones_like(self.prior.loc)).to_event(1))
            logits = self.decoder(z).detach() + 0 * sum(param.sum() for param in self.parameters())
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


class Shapeless(Model):
    """Forgets to declare the pixels."""

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            return pyro.sample("x", dist.Normal(z.sum(-1), 1.0).expand([12, len(batch.x)]), obs=batch.x.flatten(1).T)


BROKEN: dict[str, tuple[Callable[[Case], None], Case, Any]] = {
    "undeclared event": (testing.check_contract, case_of(Shapeless), UserError),
    "mixed samples": (
        testing.check_leading_dimensions,
        case_of(lambda: Averaging(Decoder(2, (3, 4), (8,)), 2)),
        AssertionError,
    ),
    "batch statistics": (
        testing.check_rows_are_independent,
        case_of(vae, lambda latents: encoded(latents, BatchNormalised)),
        AssertionError,
    ),
    "blind guide": (
        testing.check_guide_looks_at_x,
        case_of(vae, lambda latents: encoded(latents, Blind)),
        AssertionError,
    ),
    "float32 only": (
        testing.check_precision,
        case_of(lambda: Single(Decoder(2, (3, 4), (8,)), 2)),
        (AssertionError, RuntimeError),
    ),
    "idle parameter": (testing.check_gradients, case_of(Idle), AssertionError),
    "unsaved state": (testing.check_state_round_trip, case_of(Forgetful), AssertionError),
    "memory": (
        testing.check_same_noise_same_answer,
        case_of(lambda: Remembering(Decoder(2, (3, 4), (8,)), 2)),
        AssertionError,
    ),
    "cannot learn": (
        testing.check_learning,
        case_of(lambda: Frozen(Decoder(2, (3, 4), (8,)), 2)),
        AssertionError,
    ),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_pair_is_turned_down(kind: str) -> None:
    check, case, error = BROKEN[kind]
    with pytest.raises(error):
        check(case)


def test_the_whole_suite_runs_on_a_users_own_pair() -> None:
    """As the docstring of ``ppl_vae.testing`` says."""

    def make() -> tuple[nn.Module, nn.Module]:
        return vae(), encoded(Latents.of(vae(), all_of(bits(2))))

    case = Case("mine", make, bits(6, seed=3))
    for check in CHECKS:
        check(case)


def _in_the_table() -> dict[str, set[type]]:
    """The classes that the table has pairs of, by kind."""
    two = conformance._vector(2)
    programs = [*(make() for make, _ in conformance.MODELS.values()), conformance.vamp(Diagonal)]
    rest = TwoLatents(), Latents.of(TwoLatents(), conformance.MODELS["two-latents"][1].head())
    guides = conformance.PARAMETERISATIONS.values()
    return {
        "model": {type(program) for program in programs},
        "guide": {type(make(*rest, Diagonal(rest[1].size), conformance.MODELS["two-latents"][1])) for make in guides},
        "family": {type(make(two)) for make in conformance.FAMILIES.values()},
        "likelihood": {type(program.likelihood) for program in programs if hasattr(program, "likelihood")},
        "prior": {type(program.prior) for program in programs if hasattr(program, "prior")},
    }


@pytest.mark.parametrize("kind", TABLES)
def test_whatever_has_a_name_is_in_the_table_and_exported(kind: str) -> None:
    makers = TABLES[kind].values()
    named = {maker if isinstance(maker, type) else maker.__annotations__["return"] for maker in makers}
    assert named
    assert named - {Point} <= _in_the_table()[kind]  # Point is no density: not every check is for it
    home = {"likelihood": models.likelihoods, "prior": models.priors, "model": models}.get(kind, guides)
    assert all(getattr(home, each.__name__, None) is each for each in named)


def test_every_family_and_model_that_is_exported_is_in_the_table() -> None:
    found = _in_the_table()
    for kind, home, base in (("family", guides, guides.Family), ("model", models, Model)):
        exported = {each for each in vars(home).values() if isinstance(each, type) and issubclass(each, base)}
        assert exported - {base, Point} <= found[kind]
