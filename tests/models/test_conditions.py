"""Conditions: numbers that the conditional model and its guide are given beside the label, or in its place."""

from collections.abc import Callable
from typing import Any

import pyro
import pytest
import torch
from pyro import distributions as dist
from torch import Tensor, nn

from ppl_vae import Batch, UserError
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo, example
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.guides import Amortized, Diagonal, FullRank
from ppl_vae.models import ConditionalVAE
from ppl_vae.models.likelihoods import Normal
from ppl_vae.networks.architecture import Net
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.networks.scaling import Scaling
from ppl_vae.programs.anatomy.trying import tried
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.structure import graphical_model, reads_conditions, reads_labels
from ppl_vae.registry.build import Pair, build_pair
from ppl_vae.registry.pair_config import PairConfig
from ppl_vae.svi.optimizer import OptimizerConfig
from ppl_vae.training import FitConfig, fit

AGES = torch.tensor([[20.0, 1.0], [40.0, 0.0], [60.0, 2.0], [80.0, 1.0], [30.0, 0.0], [50.0, 2.0]])


def made(num: int = 400, labels: bool = False, seed: int = 0) -> Dataset:
    """x = W z + V c + noise, of ages and doses."""
    draw = torch.Generator().manual_seed(seed)
    c = torch.stack([60 * torch.rand(num, generator=draw) + 20, 3 * torch.rand(num, generator=draw)], dim=1)
    z = torch.randn(num, 1, generator=draw)
    x = z @ torch.tensor([[1.0, -1.0, 0.5]]) + (c - 1) @ torch.tensor([[0.05, 0.0, 0.1], [0.0, 1.0, 0.0]])
    y = torch.arange(num) % 3 if labels else None
    return Dataset(x + 0.4 * torch.randn(num, 3, generator=draw), y, c=c)


def pair_of(data: Dataset, net: Net = "mlp", **settings: object) -> Pair:
    config = PairConfig(model="conditional", likelihood="normal", net=net, settings={"latent_dim": 1, **settings})
    return build_pair(config, DataInfo.of(data), data, 0)


def in_closed_form(model: nn.Module, data: Dataset) -> Tensor:
    """log p(x | c) of a linear decoder, η = W z + V c̃ + b with c̃ the conditions at mean 0 and spread 1, under
    x ~ N(m + s η, σ²): N(m + s (V c̃ + b), s W Wᵀ s + σ² I); ``(N,)``."""
    assert data.c is not None
    linear: Any = model.decoder.net[0]  # type: ignore[union-attr, index]
    shift, sigma = model.likelihood.location_and_scale(torch.zeros(1, 3))  # type: ignore[union-attr, operator]
    unit = model.likelihood.location_and_scale(torch.ones(1, 3))[0] - shift  # type: ignore[union-attr, operator]
    c = (data.c - data.c.mean(0)) / data.c.std(0, correction=0)
    weight = unit.T * linear.weight
    mean = shift + unit * linear.bias + c @ weight[:, 1:].T
    covariance = weight[:, :1] @ weight[:, :1].T + torch.diag_embed(sigma.expand(3) ** 2)
    return torch.distributions.MultivariateNormal(mean, covariance).log_prob(data.x).detach()


def test_the_bound_is_log_p_of_x_given_c() -> None:
    """Not of x given other conditions, nor of x alone; before training the bound is far from it."""
    data = made()
    model, guide = pair_of(data, hidden=())
    exact = in_closed_form(model, data).mean()
    assert elbo(model, guide, data, 50).elbo.mean < exact - 0.1
    optimizer = OptimizerConfig(learning_rate=0.02)
    fit(model, guide, data, settings=FitConfig(epochs=60, batch_size=50, optimizer=optimizer, engine="eager"))
    found, exact_of_each = importance_bound(model, guide, data, num_samples=300), in_closed_form(model, data)
    apart = found.values - exact_of_each
    assert apart.mean().abs() < 5 * apart.std() / len(apart) ** 0.5 + 0.005
    others = in_closed_form(model, data.replace(c=data.c.roll(1, 0)))  # type: ignore[union-attr]
    assert others.mean() < exact_of_each.mean() - 2


def test_traced_steps_read_conditions_as_eager_ones() -> None:
    rows = []
    for engine in ("eager", "traced"):
        data = made(60).replace(x=made(60).x.double())
        model, guide = (program.double() for program in pair_of(data, hidden=(4,)))
        settings = FitConfig(epochs=3, batch_size=20, device="cpu", engine=engine)  # type: ignore[arg-type]
        said: list[str] = []
        history = fit(model, guide, data, settings=settings, on_engine=said.append)
        assert said[0].startswith(engine)
        rows.append([row.elbo for row in history])
    assert rows[0] == pytest.approx(rows[1], abs=1e-8)


@pytest.mark.parametrize("labels", [False, True])
def test_model_and_guide_read_what_the_data_has(labels: bool) -> None:
    data = made(labels=labels)
    model, guide = pair_of(data, hidden=(4,))
    batch = data.probe()
    check_pair(model, guide, batch)
    assert reads_conditions(model, batch)
    assert reads_labels(model, batch) is labels
    parents = {
        each.name: each.parents for program in (model, guide) for each in graphical_model(program, batch).variables
    }
    assert parents["z"] == ("x", "y", "c")[: 3 if labels else 1] + (() if labels else ("c",))
    there = [guide.params(given) for given in (batch, batch._replace(c=batch.c.roll(1, 0)))]  # type: ignore[operator, union-attr]
    assert (there[0] - there[1]).abs().max() > 1e-4


def test_a_convolutional_pair_reads_them() -> None:
    data = Dataset(torch.rand(8, 6, 6), c=torch.arange(8.0)[:, None])
    model, guide = pair_of(data, net="conv", channels=(3,), hidden=(5,))
    assert reads_conditions(model, data.probe())
    assert reads_conditions(guide, data.probe())
    assert elbo(model, guide, data, 4).elbo.values.isfinite().all()


def test_labels_alone_have_the_weights_that_they_had() -> None:
    data = made(labels=True)
    model, guide = pair_of(Dataset(data.x, data.y), hidden=(4,))
    assert list(model.decoder.state_dict()) == ["net.0.weight", "net.0.bias", "net.2.weight", "net.2.bias"]  # type: ignore[union-attr]
    assert model.decoder.net[0].weight.shape == (4, 1 + 3)  # type: ignore[union-attr, index]
    assert guide.encoder.net[0].weight.shape == (4, 3 + 3)  # type: ignore[union-attr, index]
    assert "encoder.conditions.shift" not in guide.state_dict()


def test_conditions_enter_at_unit_scale() -> None:
    """Whatever their units: in years or in days, the same pair."""
    data = made()
    days = data.replace(c=data.c * torch.tensor([365.0, 1.0]))  # type: ignore[operator]
    params = []
    for each in (data, days):
        _, guide = pair_of(each, hidden=(4,))
        params.append(guide.params(each.batch(torch.arange(5))))  # type: ignore[operator]
    torch.testing.assert_close(*params, rtol=1e-4, atol=1e-4)


def test_missing_conditions_are_refused() -> None:
    data = made()
    model, guide = pair_of(data, hidden=(4,))
    bare = data.probe()._replace(c=None)
    with pytest.raises(UserError, match=r"needs conditions: give the data c, \(N, 2\)"):
        model(bare)
    with pytest.raises(UserError, match="this guide needs conditions"):
        guide(bare)
    with pytest.raises(UserError, match="needs labels or conditions and this data has none; add y or c"):
        pair_of(Dataset(data.x))
    broken = data.c.clone()  # type: ignore[union-attr]
    broken[7, 1] = torch.nan
    with pytest.raises(UserError, match="condition 'c2' is missing or no finite number in row 7"):
        data.replace(c=broken).probe()
    with pytest.raises(UserError, match=r"c has shape \(400,\) .* make it c\[:, None\]"):
        data.replace(c=data.c[:, 0])  # type: ignore[index]
    with pytest.raises(UserError, match="VampPrior's pseudo-inputs have no conditions"):
        build_pair(PairConfig(model="conditional", likelihood="normal", prior="vamp"), DataInfo.of(data), data, 0)


class Own(nn.Module):
    """A stranger's: x | z, c ~ N(z + slope c₁, 1), which nobody was told of."""

    def __init__(self, look: Callable[[Tensor], Tensor] = lambda c: c) -> None:
        super().__init__()
        self.slope, self.look = nn.Parameter(torch.tensor(0.1)), look

    def forward(self, batch: Batch) -> None:
        assert batch.c is not None
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([1]).to_event(1))
            mean = z + self.slope * self.look(batch.c)[:, :1]
            pyro.sample("x", dist.Normal(mean.expand(*mean.shape[:-1], 3), 1.0).to_event(1), obs=batch.x)


def test_a_program_is_asked_whether_it_reads_them() -> None:
    data = made()
    assert reads_conditions(Own(), data.probe())
    assert tried(Own(), data.probe())[1]["x"] == {"z", "c"}
    assert not reads_conditions(Own(lambda c: torch.zeros_like(c)), data.probe())
    assert not reads_labels(Own(), data.probe())
    assert not reads_conditions(Own(), example(DataInfo.of(Dataset(data.x))))


def test_pairs_by_hand() -> None:
    scaling = Scaling.of(("reals",), AGES.mean(0), AGES.std(0))
    model = ConditionalVAE(Decoder(2, (3,), (), conditions=scaling), 2, 0, Normal(), num_conditions=2)
    batch = Batch(torch.randn(6, 3), None, torch.arange(6), c=AGES)
    family = FullRank(2)
    encoder = Encoder((3,), family.num_params, (), conditions=scaling)
    guide = Amortized(Latents.of(model, batch), family, encoder, conditioned=True)
    check_pair(model, guide, batch)
    z = torch.randn(5, 6, 2)
    output = model.decoder(z, None, AGES)
    torch.testing.assert_close(output[3, 2], model.decoder(z[3, 2:3], None, AGES[2:3])[0])
    blind = Amortized(guide.latents, Diagonal(2), Encoder((3,), 4, ()))
    assert torch.equal(blind.params(batch), blind.params(batch._replace(c=None)))
