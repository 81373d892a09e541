"""Parts of a user's own are held to the checks in a small pair of ours, and one that is wrong is found out."""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule
from torch import Tensor

from ppl_vae.guides import Family
from ppl_vae.models.likelihoods import Likelihood
from ppl_vae.models.priors import Prior
from ppl_vae.networks.dense import positive
from ppl_vae.programs.batch import Batch
from ppl_vae.testing import (
    CHECKS,
    Case,
    check_gradients,
    check_pyros_svi,
    check_same_noise_same_answer,
    family_case,
    likelihood_case,
    prior_case,
)
from tests.marks import slow_after


class Heavy(Family):
    """q of Student's t."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.num_params = 2 * latent_dim

    def forward(self, params: Tensor) -> dist.TorchDistribution:
        loc, scale = params.chunk(2, dim=-1)
        return dist.StudentT(torch.full_like(loc, 5.0), loc, positive(scale)).to_event(1)


class Idle(Heavy):
    """Has a parameter that q does not depend on."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.idle = torch.nn.Parameter(torch.ones(latent_dim))


class Laplacian(Likelihood):
    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        return dist.Laplace(output, torch.ones_like(output)).to_event(event_dim)

    def start(self, x_mean: Tensor) -> Tensor:
        return x_mean


class Wide(Prior):
    loc: Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.register_buffer("loc", torch.zeros(latent_dim))

    def forward(self) -> dist.TorchDistribution:
        return dist.StudentT(torch.full_like(self.loc, 4.0), self.loc, 2 * torch.ones_like(self.loc)).to_event(1)


class Drifting(Wide):
    """A prior that moves between two calls."""

    calls = 0

    def forward(self) -> dist.TorchDistribution:
        self.calls += 1
        return dist.Normal(self.loc + self.calls, torch.ones_like(self.loc)).to_event(1)


GREYS = torch.linspace(-1, 2, 72).cos().reshape(6, 3, 4)
PARTS = {
    "family": family_case(Heavy),
    "likelihood": likelihood_case(Laplacian, GREYS),
    "prior": prior_case(Wide),
}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("part", slow_after(1, PARTS))
def test_a_part_of_ones_own(part: str, check: Callable[[Case], None]) -> None:
    check(PARTS[part])


def test_a_family_with_an_idle_parameter_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"^the ELBO does not depend on 'family\.idle'$"):
        check_gradients(family_case(Idle))


def test_a_prior_that_moves_between_calls_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"^the same seed gives other numbers: something is kept between calls$"):
        check_same_noise_same_answer(prior_case(Drifting))


class _OfSharedName(PyroModule):
    """A model, or its guide, with a network of the same name and size."""

    def __init__(self, guides: bool) -> None:
        super().__init__()
        self.net, self.guides = torch.nn.Linear(3, 3), guides

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            loc = self.net(batch.x) if self.guides else torch.zeros(3)
            z = pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))
            if not self.guides:
                pyro.sample("x", dist.Normal(self.net(z), 1.0).to_event(1), obs=batch.x)


def test_names_that_model_and_guide_share_are_told_under_pyros_svi() -> None:
    case = Case("of a shared name", lambda: (_OfSharedName(False), _OfSharedName(True)), torch.randn(4, 3))
    pyro.clear_param_store()
    with pytest.raises(AssertionError, match=r"have not moved.*both have \['net\.bias', 'net\.weight'\]"):
        check_pyros_svi(case)
    pyro.clear_param_store()
