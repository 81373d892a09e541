"""What is asked of programs: what a guide is made of, what a family has learned, how x given z is shown."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.nn import PyroModule

from ppl_vae import Batch
from ppl_vae.guides import Diagonal, FullRank, InverseAutoregressive, LowRank, PerDatapoint, Planar, Point
from ppl_vae.predictive.centre import centre_of, has_mean
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.parts import factored, has_learned, is_gaussian_at_base, is_mean_field
from ppl_vae.programs.rows import has_rows
from ppl_vae.runtime.errors import UserError
from tests.cli.own_parts import Heavy
from tests.pairs import PriorGuide, all_of, bits, vae_pair

X = bits(4)


class Alike(PyroModule):
    """Nobody's subclass, with the parts of a guide of ours."""

    def __init__(self, latents: Latents) -> None:
        super().__init__()
        self.latents, self.family = latents, Diagonal(latents.size)

    def params(self, batch: Batch) -> torch.Tensor:
        return torch.zeros(len(batch.x), self.family.num_params)

    def q(self, batch: Batch) -> dist.TorchDistribution:
        return self.family(self.params(batch))

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            self.latents.sample(self.q(batch))


def test_a_guide_has_its_parts_whoever_wrote_it() -> None:
    model, guide = vae_pair()
    found = factored(guide)
    assert found is not None
    assert found.family is guide.family
    assert factored(Alike(Latents.of(model, all_of(X)))) is not None
    assert factored(PriorGuide(2, 1.0)) is None


@pytest.mark.parametrize(("family", "learned"), [(Diagonal, False), (FullRank, False), (Planar, False),
                                                 (InverseAutoregressive, True)])  # fmt: skip
def test_what_a_family_has_learned(family: type, learned: bool) -> None:
    assert has_learned(family(3)) == learned


@pytest.mark.parametrize(
    ("family", "plain", "of_gaussians"),
    [
        (Diagonal, True, True),
        (FullRank, False, True),
        (LowRank, False, True),
        (Planar, False, True),
        (Heavy, False, False),
        (Point, False, False),
    ],
)
def test_which_families_are_gaussians_is_read_off_their_q(family: type, plain: bool, of_gaussians: bool) -> None:
    assert (is_mean_field(family(3)), is_gaussian_at_base(family(3))) == (plain, of_gaussians)


def test_rows() -> None:
    _, guide = vae_pair()
    local = PerDatapoint(guide.latents, Diagonal(2), 4, first=2)
    for first, answer in ((2, True), (1, False), (3, False)):
        assert has_rows(local, first, len(X)) is answer
    assert has_rows(guide, 10, len(X))


class Steps(PyroModule):
    """x | z of a distribution with a mode alone."""

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", Moded(), obs=batch.x)


class Moded(dist.TorchDistribution):
    arg_constraints = {}  # noqa: RUF012
    support = dist.constraints.real

    def __init__(self) -> None:
        super().__init__(validate_args=False)

    @property
    def mode(self) -> torch.Tensor:
        return torch.tensor(3.0)

    def expand(self, batch_shape: torch.Size, _instance: object = None) -> "Moded":
        return self

    def log_prob(self, value: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(value)


def test_a_mean_or_the_mode_in_its_place() -> None:
    assert has_mean(vae_pair()[0], all_of(X))
    assert not has_mean(Steps(), all_of(torch.zeros(3)))
    assert centre_of(Moded()) == 3
    assert centre_of(dist.Normal(2.0, 1.0)) == 2
    with pytest.raises(UserError, match="site 'x': the model's TorchDistribution has neither a mean nor a mode"):
        centre_of(dist.TorchDistribution(validate_args=False))
