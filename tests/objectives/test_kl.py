"""KL(q ‖ p) in closed form, or none."""

import pyro.distributions as dist
import pytest
import torch

from ppl_vae.objectives.kl import closed_form_kl


def gaussian(kind: str, *batch: int) -> dist.TorchDistribution:
    """A Gaussian of three dimensions, of some family."""
    loc, scale = torch.randn(*batch, 3, dtype=torch.float64), torch.rand(*batch, 3, dtype=torch.float64) + 0.5
    below = torch.randn(*batch, 3, 3, dtype=torch.float64).tril(-1)
    match kind:
        case "diagonal":
            return dist.Normal(loc, scale).to_event(1)
        case "full-rank":
            return dist.MultivariateNormal(loc, scale_tril=below + torch.diag_embed(scale))
        case _:
            return dist.LowRankMultivariateNormal(loc, torch.randn(*batch, 3, 1, dtype=torch.float64), scale**2)


@pytest.mark.parametrize("kind", ["diagonal", "full-rank", "low-rank"])
@pytest.mark.parametrize("batch", [(4,), (2, 4)])
def test_is_the_mean_of_the_log_ratio(kind: str, batch: tuple[int, ...]) -> None:
    """Within 5 standard errors, against a diagonal p that is not the standard one."""
    q, p = gaussian(kind, *batch), gaussian("diagonal", *batch)
    found = closed_form_kl(q, p)
    assert found.shape == batch
    z = q.sample((20_000,))
    ratio = q.log_prob(z) - p.log_prob(z)
    error = ratio.std(0) / len(ratio) ** 0.5
    assert ((found - ratio.mean(0)).abs() < 5 * error).all()
    assert (error < 0.1 * found).all()


def test_nothing_against_itself() -> None:
    q = gaussian("diagonal", 4)
    torch.testing.assert_close(closed_form_kl(q, q), torch.zeros(4, dtype=torch.float64))


@pytest.mark.parametrize(
    ("q", "p"),
    [
        (dist.Delta(torch.zeros(3), event_dim=1), dist.Normal(torch.zeros(3), 1.0).to_event(1)),
        (dist.Normal(torch.zeros(3), 1.0).to_event(1), dist.StudentT(3.0, torch.zeros(3)).to_event(1)),
        (dist.MultivariateNormal(torch.zeros(3), torch.eye(3)), dist.Laplace(torch.zeros(3), 1.0).to_event(1)),
    ],
)
def test_none_where_there_is_none(q: dist.TorchDistribution, p: dist.TorchDistribution) -> None:
    assert closed_form_kl(q, p) is None
