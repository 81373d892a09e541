"""Latents: what is read from a model's trace, and the densities of the sites that it samples."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from pyro.nn import PyroModule
from torch import Tensor
from torch.distributions import Dirichlet, Gamma, biject_to, constraints

from ppl_vae import Batch, UserError
from ppl_vae.guides import Diagonal, FullRank
from ppl_vae.programs.latents import Latents, LatentSite
from tests.pairs import TwoLatents, all_of, vae_pair

X = torch.zeros(5, 4)


class Program(PyroModule):
    """A model whose sites are the given ones."""

    def __init__(self, **sites: dist.TorchDistribution) -> None:
        super().__init__()
        self.sites = sites

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            for name, fn in self.sites.items():
                pyro.sample(name, fn)
            pyro.sample("x", dist.Normal(torch.zeros(4), 1.0).to_event(1), obs=batch.x)


def test_one_real_vector() -> None:
    model, _ = vae_pair()
    latents = Latents.of(model, all_of(torch.zeros(3, 3, 4)))
    assert [(site.name, site.shape, site.size) for site in latents.sites] == [("z", (2,), 2)]
    assert latents.size == 2


def test_order_shapes_and_supports_are_the_models() -> None:
    model = Program(
        b=dist.Normal(torch.zeros(2, 3), 1.0).to_event(2),
        a=dist.Gamma(2.0, torch.tensor(1.0)),
        c=dist.Dirichlet(torch.ones(4)),
        d=dist.Uniform(torch.zeros(2), 3.0).to_event(1),
    )
    latents = Latents.of(model, all_of(X))
    assert [site.name for site in latents.sites] == ["b", "a", "c", "d"]
    assert [site.shape for site in latents.sites] == [(2, 3), (), (4,), (2,)]
    assert [site.size for site in latents.sites] == [6, 1, 3, 2]  # a simplex of four corners has three dimensions
    assert latents.size == 12


def test_reading_them_leaves_draws_alone() -> None:
    before = torch.get_rng_state()
    Latents.of(Program(z=dist.Normal(torch.zeros(2), 1.0).to_event(1)), all_of(X))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_discrete_latent_is_named() -> None:
    model = Program(z=dist.Normal(torch.zeros(2), 1.0).to_event(1), kind=dist.Categorical(torch.ones(3)))
    with pytest.raises(UserError, match="site 'kind': Categorical is discrete"):
        Latents.of(model, all_of(X))


def test_a_model_without_latents() -> None:
    with pytest.raises(UserError, match="no latent"):
        Latents.of(Program(), all_of(X))


def sampled(latents: Latents, q: dist.TorchDistribution, batch: int) -> poutine.Trace:
    def guide() -> None:
        with pyro.plate("data", batch, dim=-1):
            latents.sample(q)

    trace = poutine.trace(guide).get_trace()
    trace.compute_log_prob()
    return trace


def test_a_single_real_vector_keeps_qs_own_distribution() -> None:
    latents = Latents((LatentSite("z", (3,), constraints.independent(constraints.real, 1)),))
    q = Diagonal(3)(torch.randn(5, 6))
    trace = sampled(latents, q, 5)
    assert trace.stochastic_nodes == ["data", "z"]
    assert isinstance(trace.nodes["z"]["fn"].base_dist, dist.Normal)
    assert torch.equal(trace.nodes["z"]["fn"].base_dist.loc, q.base_dist.loc)


def test_real_sites_are_cut_from_the_vector() -> None:
    model = Program(a=dist.Normal(torch.zeros(2, 3), 1.0).to_event(2), b=dist.Normal(torch.tensor(0.0), 1.0))
    latents = Latents.of(model, all_of(X))
    q = FullRank(7)(torch.randn(5, FullRank(7).num_params))
    trace = sampled(latents, q, 5)
    vector = trace.nodes["_latents"]["value"]
    assert trace.nodes["_latents"]["infer"] == {"is_auxiliary": True}
    assert torch.equal(trace.nodes["a"]["value"], vector[:, :6].reshape(5, 2, 3))
    assert torch.equal(trace.nodes["b"]["value"], vector[:, 6])
    for name in "ab":
        assert torch.equal(trace.nodes[name]["log_prob"], torch.zeros(5))


CONSTRAINED = {
    "positive number": dist.Gamma(torch.tensor(2.0, dtype=torch.float64), 1.0),
    "positive vector": dist.Gamma(torch.full((3,), 2.0, dtype=torch.float64), 1.0).to_event(1),
    "positive matrix": dist.Gamma(torch.full((2, 3), 2.0, dtype=torch.float64), 1.0).to_event(2),
    "interval": dist.Uniform(torch.full((2,), -1.0, dtype=torch.float64), 3.0).to_event(1),
    "simplex": dist.Dirichlet(torch.ones(4, dtype=torch.float64)),
}


@pytest.mark.parametrize("kind", CONSTRAINED)
@pytest.mark.parametrize("leading", [(), (3,)])
def test_mapped_density_is_the_change_of_variables(kind: str, leading: tuple[int, ...]) -> None:
    """Each datapoint's own Jacobian, from autodiff: log q(value) = log q(vector) − log |d value / d vector|."""
    latents = Latents.of(Program(s=CONSTRAINED[kind]), all_of(X))
    size = latents.size
    q = Diagonal(size)(torch.randn(*leading, 5, 2 * size, dtype=torch.float64))

    def guide() -> None:
        with pyro.plate("data", 5, dim=-1):
            latents.sample(q)

    if leading:
        guide = pyro.plate("samples", *leading, dim=-2)(guide)
    trace = poutine.trace(guide).get_trace()
    trace.compute_log_prob()
    vectors, site = trace.nodes["_latents"]["value"], trace.nodes["s"]
    assert site["fn"].event_shape == CONSTRAINED[kind].event_shape
    assert site["value"].shape == (*leading, 5, *CONSTRAINED[kind].event_shape)
    assert CONSTRAINED[kind].support.check(site["value"]).all()
    transform = biject_to(latents.sites[0].support)

    def log_volume(vector: Tensor) -> Tensor:
        def value(flat: Tensor) -> Tensor:
            out = transform(flat.reshape(latents.sites[0].unconstrained_shape)).reshape(-1)
            return out[:size]  # a simplex's last coordinate follows from the others

        return torch.linalg.slogdet(torch.autograd.functional.jacobian(value, vector))[1]

    rows = vectors.reshape(-1, size)
    expected = -torch.stack([log_volume(row) for row in rows]).reshape(*leading, 5)
    assert expected.std() > 0.1  # the Jacobians differ, so a sum over the batch would show
    torch.testing.assert_close(site["log_prob"], expected)


def test_mapped_density_integrates_to_one() -> None:
    """E_q[p(s) / q(s)] = 1 for the whole guide of the model with two constrained latents."""
    model = TwoLatents().double()
    latents = Latents.of(model, all_of(X.double()))
    params = torch.tensor([0.2, -0.1, 0.3, 0.5, 0.7, 0.9], dtype=torch.float64).expand(20_000, -1)
    trace = sampled(latents, Diagonal(3)(params), 20_000)
    log_q = sum(trace.nodes[name]["log_prob"] for name in ("_latents", "rate", "mix"))
    rate, mix = trace.nodes["rate"]["value"], trace.nodes["mix"]["value"]
    prior = Gamma(2.0, 1.0).log_prob(rate) + Dirichlet(model.concentration).log_prob(mix)
    ratio = (prior - log_q).exp()
    error = ratio.std() / len(ratio) ** 0.5
    assert error < 0.05
    assert abs(ratio.mean() - 1) < 5 * error
