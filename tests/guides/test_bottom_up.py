"""The bottom-up family: a chain of conditional densities over one flat vector."""

import pytest
import torch
from torch.distributions import Normal

from ppl_vae.guides import BottomUp, Diagonal, FullRank, InverseAutoregressive


def learned(family: BottomUp) -> BottomUp:
    """One whose networks no longer end in zeros."""
    torch.manual_seed(0)
    with torch.no_grad():
        for param in family.parameters():
            param.add_(0.5 * torch.randn_like(param))
    return family.double()


@pytest.mark.parametrize("layer", [Diagonal, FullRank, InverseAutoregressive])
def test_density_is_the_product_of_the_layers(layer) -> None:
    family = learned(BottomUp((2, 3, 4), (5,), "tanh", layer))
    params = torch.randn(6, family.num_params, dtype=torch.float64)
    q = family(params)
    assert (q.batch_shape, q.event_shape) == ((6,), (9,))
    z = q.rsample((3,))
    z3, z2, z1 = z.split([2, 3, 4], dim=-1)
    factors = family.layers[0](params).log_prob(z1)
    factors = factors + family.layers[1](family.nets[0](z1)).log_prob(z2)
    factors = factors + family.layers[2](family.nets[1](z2)).log_prob(z3)
    torch.testing.assert_close(q.log_prob(z), factors)  # of the draw that it remembers
    torch.testing.assert_close(family(params).log_prob(z.clone()), factors)  # of a foreign one
    assert not torch.allclose(family(params).log_prob(z.flip(0)), factors)


@pytest.mark.parametrize("layer", [Diagonal, FullRank])
def test_gradients_are_those_of_differences(layer) -> None:
    """Of the density at foreign points, and of draws."""
    family = learned(BottomUp((2, 1, 3), (4,), "tanh", layer))
    params = torch.randn(2, family.num_params, dtype=torch.float64, requires_grad=True)
    z = torch.randn(2, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda params, z: family(params).log_prob(z), (params, z))

    def scored_draw(params: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(3)
            q = family(params)
            drawn = q.rsample()
        return drawn, q.log_prob(drawn)

    assert torch.autograd.gradcheck(scored_draw, (params,))


def test_draws_follow_the_density() -> None:
    """E[log q] by its own draws against the sum of conditional entropies of a chain of diagonal Gaussians."""
    family = learned(BottomUp((1, 2), (4,), "tanh"))
    params = torch.randn(1, family.num_params, dtype=torch.float64)
    torch.manual_seed(1)
    q = family(params)
    z = q.rsample((20_000,))
    upper = family.layers[1](family.nets[0](z[..., 1:]))
    entropy = family.layers[0](params).base_dist.entropy().sum() + upper.base_dist.entropy().mean()
    log_q = -q.log_prob(z)
    assert abs(log_q.mean() - entropy).item() < 5 * (log_q.std() / len(z) ** 0.5).item()


def test_it_starts_at_the_prior_above_and_is_the_layers_family_for_one_latent() -> None:
    family = BottomUp((2, 3), (4,))
    q = family(torch.zeros(1, family.num_params))
    z = q.rsample((5,))
    torch.testing.assert_close(q.log_prob(z), Normal(0.0, 1.0).log_prob(z).sum(-1), rtol=0, atol=1e-3)
    alone, params = BottomUp((3,)), torch.randn(4, 6)
    torch.testing.assert_close(alone(params).log_prob(z[:1, :1, 2:]), Diagonal(3)(params).log_prob(z[:1, :1, 2:]))


def test_gradients_reach_every_network() -> None:
    family = learned(BottomUp((2, 3, 4), (5,), "tanh"))
    params = torch.randn(6, family.num_params, dtype=torch.float64, requires_grad=True)
    q = family(params)
    z = q.rsample()
    (z.square().sum() + q.log_prob(z).sum()).backward()
    for param in (params, *family.parameters()):
        assert param.grad is not None
        assert param.grad.abs().max() > 0
