"""The contracts: a pair that keeps them runs, and one that breaks them is told where."""

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import simulate as from_model
from ppl_vae.guides import FullRank
from ppl_vae.models import VAE, LinearGaussian
from ppl_vae.networks.dense import Decoder
from ppl_vae.programs.check import advice_on_likelihood, check_pair, likelihood_label
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import frozen, per_datapoint, run_pair
from tests.pairs import TwoLatents, all_of, amortized, bits, oracle, simulate, stripes, vae_pair

X = bits(5)


class Program(PyroModule):
    """A program that is the given function of a batch."""

    def __init__(self, run: Callable[[Batch], object]) -> None:
        super().__init__()
        self.run = run

    def forward(self, batch: Batch) -> object:
        return self.run(batch)


def normal(size: int) -> dist.TorchDistribution:
    return dist.Normal(torch.zeros(size), 1.0).to_event(1)


def plate(batch: Batch) -> pyro.plate:
    return pyro.plate("data", len(batch.x), dim=-1)


def sites(**fns: dist.TorchDistribution) -> Program:
    """A guide that samples these sites in the plate."""

    def run(batch: Batch) -> None:
        with plate(batch):
            for name, fn in fns.items():
                pyro.sample(name, fn)

    return Program(run)


# --- What is broken -> what the message says -------------------------------------------------------------------------


def missing_site() -> tuple[nn.Module, nn.Module, Tensor]:
    return TwoLatents(), sites(rate=dist.Gamma(torch.tensor(1.0), 1.0)), torch.zeros(5, 4)


def extra_site() -> tuple[nn.Module, nn.Module, Tensor]:
    return vae_pair()[0], sites(z=normal(2), w=normal(2)), X


def misspelt_site() -> tuple[nn.Module, nn.Module, Tensor]:
    return vae_pair()[0], sites(Z=normal(2)), X


def wrong_event_size() -> tuple[nn.Module, nn.Module, Tensor]:
    return vae_pair()[0], sites(z=normal(3)), X


def undeclared_event() -> tuple[nn.Module, nn.Module, Tensor]:
    def guide(batch: Batch) -> None:
        with pyro.plate("features", 2, dim=-2), plate(batch):
            pyro.sample("z", dist.Normal(torch.tensor(0.0), 1.0))

    return vae_pair()[0], Program(guide), X


def guide_outside_the_plate() -> tuple[nn.Module, nn.Module, Tensor]:
    return vae_pair()[0], Program(lambda batch: pyro.sample("z", normal(2))), X


def batched_outside_the_plate() -> tuple[nn.Module, nn.Module, Tensor]:
    """The right shape, but independent only by accident: Pyro's own ELBO would refuse it."""
    return vae_pair()[0], Program(lambda batch: pyro.sample("z", normal(2).expand([len(batch.x)]))), X


def model_outside_the_plate() -> tuple[nn.Module, nn.Module, Tensor]:
    def model(batch: Batch) -> None:
        shift = pyro.sample("shift", dist.Normal(torch.tensor(0.0), 1.0))
        with plate(batch):
            loc = (pyro.sample("z", normal(2)).sum(-1) + shift)[..., None, None].expand(batch.x.shape)
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(2), obs=batch.x)

    def guide(batch: Batch) -> None:
        pyro.sample("shift", dist.Normal(torch.tensor(0.0), 1.0))
        with plate(batch):
            pyro.sample("z", normal(2))

    return Program(model), Program(guide), X


def pixels_not_declared() -> tuple[nn.Module, nn.Module, Tensor]:
    def model(batch: Batch) -> None:
        with plate(batch):
            logits = pyro.sample("z", normal(2)).sum(-1)[..., None].expand(*batch.x.shape)
            pyro.sample("x", dist.Bernoulli(logits=logits), obs=batch.x)

    return Program(model), sites(z=normal(2)), torch.zeros(5, 5)


def validating(batch: Batch) -> None:
    with plate(batch):
        logits = pyro.sample("z", normal(2)).sum(-1)[..., None, None].expand(*batch.x.shape)
        pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


def grey_values() -> tuple[nn.Module, nn.Module, Tensor]:
    return Program(validating), sites(z=normal(2)), stripes(5)


def above_one() -> tuple[nn.Module, nn.Module, Tensor]:
    return *vae_pair(), 255 * stripes(5)


def below_zero() -> tuple[nn.Module, nn.Module, Tensor]:
    return *vae_pair(), stripes(5) - 0.5


def not_a_number() -> tuple[nn.Module, nn.Module, Tensor]:
    return vae_pair()[0], sites(z=normal(2)), stripes(5) * torch.nan  # an encoder would stumble first


def nothing_observed() -> tuple[nn.Module, nn.Module, Tensor]:
    return sites(z=normal(2)), sites(z=normal(2)), X


def x_sampled() -> tuple[nn.Module, nn.Module, Tensor]:
    model = vae_pair()[0]
    return Program(lambda batch: poutine.uncondition(model)(batch)), sites(z=normal(2)), X


def no_leading_dims() -> tuple[nn.Module, nn.Module, Tensor]:
    class Rigid(Decoder):
        def forward(self, z: Tensor) -> Tensor:
            batch, _ = z.shape
            return super().forward(z).reshape(batch, 3, 4)

    return VAE(Rigid(2, (3, 4)), 2), sites(z=normal(2)), X


def guide_breaks() -> tuple[nn.Module, nn.Module, Tensor]:
    model, _ = vae_pair()
    return model, amortized(model, X), torch.zeros(5, 6)


def outside_the_support() -> tuple[nn.Module, nn.Module, Tensor]:
    return (
        TwoLatents(),
        sites(rate=dist.Normal(torch.tensor(-50.0), 1.0), mix=dist.Dirichlet(torch.ones(3))),
        torch.zeros(5, 4),
    )


BROKEN = {
    missing_site: r"site 'mix' is sampled by the model but not by the guide",
    extra_site: r"site 'w' is sampled by the guide but not by the model",
    misspelt_site: r"site 'z' is sampled by the model but not by the guide",
    wrong_event_size: r"site 'z': event shape \(2,\) in the model, \(3,\) in the guide",
    undeclared_event: r"site 'z': event shape \(2,\) in the model, \(\) in the guide",
    guide_outside_the_plate: r"site 'z' of Program.*plate",
    batched_outside_the_plate: r"site 'z' of Program.*plate",
    model_outside_the_plate: r"site 'shift' of Program.*plate",
    pixels_not_declared: r"site 'x' of the model: log-density of shape \(5, 5\) where the batch is \(5,\)",
    grey_values: r"site 'x': the model's Bernoulli refuses grey levels; binarize the data .*validate_args=False",
    above_one: r"site 'x': values outside the support of the model's Bernoulli; scale x into \[0, 1\]",
    below_zero: r"site 'x': values outside the support of the model's Bernoulli; scale x",
    not_a_number: r"site 'x': values outside the support of the model's Bernoulli; scale x",
    nothing_observed: r"the model observes no site 'x'",
    x_sampled: r"the model observes no site 'x'",
    no_leading_dims: r"VAE cannot run on x of shape \(5, 3, 4\).*leading dimensions",
    guide_breaks: r"Amortized cannot run on x of shape \(5, 6\)",
    outside_the_support: r"site 'rate': values outside the support of the model's Gamma",
}


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_a_broken_contract_is_named(broken: Callable[[], tuple[nn.Module, nn.Module, Tensor]]) -> None:
    model, guide, x = broken()
    before = torch.get_rng_state()
    with pytest.raises(UserError, match=BROKEN[broken]) as caught:
        check_pair(model, guide, all_of(x))
    assert "\n" not in str(caught.value)
    assert torch.equal(torch.get_rng_state(), before)


class Stray(nn.Module):
    """A plain torch module that keeps a parameter in Pyro's global store."""

    def __init__(self, program: nn.Module) -> None:
        super().__init__()
        self.program = program

    def forward(self, batch: Batch) -> object:
        pyro.param("stray", torch.tensor(1.0))
        return self.program(batch)


def test_a_parameter_in_the_global_store_is_named() -> None:
    model, guide = vae_pair()
    for pair in ((Stray(model), guide), (model, Stray(guide))):
        with pytest.raises(UserError, match="parameter 'stray' went to Pyro's global store"):
            check_pair(*pair, all_of(X))
        assert not list(pyro.get_param_store().keys())


def test_a_parameter_in_the_global_store_is_named_where_it_is_first_met() -> None:
    with pytest.raises(UserError, match="parameter 'stray' went to Pyro's global store"):
        Latents.of(Stray(vae_pair()[0]), all_of(X))
    assert not list(pyro.get_param_store().keys())


def test_a_parameter_of_the_global_store_cannot_be_used_in_a_pyro_module() -> None:
    guide = Program(lambda batch: pyro.param("stray", torch.tensor(1.0)))
    with pytest.raises(UserError, match=r"Program cannot run .*pyro\.param"):
        check_pair(vae_pair()[0], guide, all_of(X))


def test_somebody_elses_global_parameters_are_left_alone() -> None:
    pyro.param("theirs", torch.tensor(1.0))
    try:
        check_pair(*vae_pair(), all_of(X))
        assert list(pyro.get_param_store().keys()) == ["theirs"]
    finally:
        pyro.clear_param_store()


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_good_pairs_pass_and_nothing_moves(rows: int) -> None:
    oracle_model = oracle()
    x = simulate(oracle_model, rows)
    pairs = [
        (*vae_pair(FullRank), X[:rows]),
        (oracle_model, amortized(oracle_model, x), x),
        (TwoLatents(), amortized(TwoLatents(), torch.zeros(2, 4)), torch.zeros(rows, 4)),
    ]
    for model, guide, data in pairs:
        before = torch.get_rng_state()
        weights = [param.detach().clone() for param in (*model.parameters(), *guide.parameters())]
        check_pair(model, guide, all_of(data))
        assert torch.equal(torch.get_rng_state(), before)
        after = [*model.parameters(), *guide.parameters()]
        assert all(torch.equal(a, b) for a, b in zip(weights, after, strict=True))
        assert all(param.grad is None for param in after)


# --- Grey levels ------------------------------------------------------------------------------------------------------

GREY, PROPER = "none (Bernoulli on grey levels)", "proper"


def masked(batch: Batch) -> None:
    with plate(batch):
        logits = pyro.sample("z", normal(2)).sum(-1)[..., None, None] + torch.zeros(3, 4)
        likelihood = dist.Bernoulli(logits=logits, validate_args=False).mask(torch.tensor(True)).to_event(2)
        pyro.sample("x", likelihood, obs=batch.x)


def continuous(batch: Batch) -> None:
    with plate(batch):
        logits = pyro.sample("z", normal(2)).sum(-1)[..., None, None] + torch.zeros(3, 4)
        pyro.sample("x", dist.ContinuousBernoulli(logits=logits).to_event(2), obs=batch.x)


@pytest.mark.parametrize(
    ("model", "grey"),
    [
        (vae_pair()[0], GREY),
        (Program(masked), GREY),
        (Program(continuous), PROPER),
        (LinearGaussian((3, 4), 2), PROPER),
    ],
    ids=["vae", "masked", "continuous", "gaussian"],
)
def test_a_bernoulli_is_no_likelihood_of_grey_levels(model: nn.Module, grey: str) -> None:
    """They are let through and labelled; one pixel of the second row is enough. So are bits under a density."""
    guide, before = sites(z=normal(2)), torch.get_rng_state()
    x = X.clone()
    assert likelihood_label(model, all_of(x)) == (PROPER if grey == GREY else "none (density on bits)")
    x[1, 2, 3] = 0.5
    for values in (x, stripes(5)):
        assert likelihood_label(model, all_of(values)) == grey
        check_pair(model, guide, all_of(values))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_factor_is_named_as_such() -> None:
    """No more is known of it than its value; what is no likelihood without it is none with it."""

    def times(likelihood: Callable[..., Any]) -> Program:
        def run(batch: Batch) -> None:
            with plate(batch):
                z = pyro.sample("z", normal(2))
                pyro.factor("prefer", -z.square().sum(-1))
                logits = z.sum(-1)[..., None, None] + torch.zeros(3, 4)
                pyro.sample("x", likelihood(logits=logits).to_event(2), obs=batch.x)

        return Program(run)

    bernoulli, density = times(dist.Bernoulli), times(dist.ContinuousBernoulli)
    assert likelihood_label(bernoulli, all_of(X)) == "up to a factor"
    assert likelihood_label(density, all_of(X)) == "none (density on bits)"
    (words,) = advice_on_likelihood(bernoulli, sites(z=normal(2)), all_of(X))
    assert words.startswith("the model has a factor (pyro.factor): ")
    with pytest.raises(UserError, match=r"^site 'prefer': it is a factor of p\(x, z\), so that x drawn from the model"):
        from_model(bernoulli, (3, 4), 2)


def test_a_label_is_read_without_touching_the_model() -> None:
    decoder = nn.Sequential(Decoder(2, (12,)), nn.BatchNorm1d(12), nn.Unflatten(-1, (3, 4)))
    model = VAE(decoder, 2).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert likelihood_label(model, all_of(stripes(5))) == GREY
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training


@pytest.mark.parametrize("row", [0, 3, 59])
def test_values_outside_are_found_in_any_row(row: int) -> None:
    x = stripes(60)
    fit(*vae_pair(), Dataset(x), settings=FitConfig(epochs=1, device="cpu"))
    x[row, 0, 0] = 1.5
    with pytest.raises(UserError, match=r"site 'x': .*scale x into"):
        fit(*vae_pair(), Dataset(x), settings=FitConfig(epochs=1, device="cpu"))


def test_a_run_holds_the_latents_the_observation_and_the_auxiliaries() -> None:
    model = TwoLatents()
    traces = run_pair(model, amortized(model, torch.zeros(5, 4)), all_of(torch.zeros(5, 4)), 3)
    assert traces.latents() == ["rate", "mix"]
    assert traces.observed() == ["x"]
    assert traces.sampled() == ["_latents", "rate", "mix"]
    for name in ("rate", "mix"):
        assert traces.model.nodes[name]["value"] is traces.guide.nodes[name]["value"]
        assert traces.model.nodes[name]["log_prob"].shape == (3, 5)


def test_per_datapoint_columns() -> None:
    batch = all_of(X)
    row = torch.arange(5.0)
    assert torch.equal(per_datapoint(row, batch, 2), torch.stack([row, row]))
    assert torch.equal(per_datapoint(torch.tensor(1.0), batch, 2), torch.ones(2, 5))


def test_frozen_puts_every_mode_back() -> None:
    model, guide = vae_pair()
    model.train()
    guide.eval()
    model.decoder.net[0].eval()
    validation = torch.distributions.Distribution._validate_args
    with frozen(model, guide):
        assert not any(module.training for module in (*model.modules(), *guide.modules()))
        assert not torch.is_grad_enabled()
        assert not torch.distributions.Distribution._validate_args
    assert model.training
    assert model.decoder.net[2].training
    assert not model.decoder.net[0].training
    assert not guide.training
    assert torch.is_grad_enabled()
    assert torch.distributions.Distribution._validate_args == validation
    with pytest.raises(RuntimeError, match="inside"), frozen(model, guide):
        raise RuntimeError("inside")
    assert model.training
