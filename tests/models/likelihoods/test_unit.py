"""Likelihoods: densities that integrate to one, probabilities that add up, moments, draws, starts."""

import pytest
import torch
from scipy import stats
from torch import Tensor

from ppl_vae import FitConfig, fit
from ppl_vae.data import Dataset
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import Bernoulli, ContinuousBernoulli, Likelihood, Normal, Poisson, Tilted
from ppl_vae.networks.dense import Decoder
from tests.pairs import amortized, stripes

LOGITS = [-100.0, -40.0, -16.0, -1.0, -0.101, -0.099, -1e-6, 0.0, 0.05, 3.0, 20.0, 80.0]
GRID = torch.linspace(0.0, 1.0, 200_001, dtype=torch.float64)


def integral(values: Tensor) -> float:
    return torch.trapezoid(values.double(), GRID).item()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("logit", LOGITS)
def test_continuous_bernoulli_integrates_to_one_and_has_its_mean(logit: float, dtype: torch.dtype) -> None:
    q = Tilted(torch.tensor(logit, dtype=dtype))
    density = q.log_prob(GRID.to(dtype)).double().exp()
    assert integral(density) == pytest.approx(1.0, abs=5e-6)
    assert integral(density * GRID) == pytest.approx(q.mean.item(), abs=2e-6)


def test_torchs_own_does_not_where_float32_ends() -> None:
    """Why there is one of ours: its density loses mass, and its gradient is zero."""
    logit = torch.tensor(40.0, requires_grad=True)
    theirs = torch.distributions.ContinuousBernoulli(logits=logit)
    assert integral(theirs.log_prob(GRID.float()).exp()) < 0.5
    (theirs_gradient,) = torch.autograd.grad(theirs._cont_bern_log_norm(), logit)
    assert theirs_gradient == 0
    (gradient,) = torch.autograd.grad(Tilted(logit).log_prob(torch.tensor(0.3)), logit)
    assert gradient.item() == pytest.approx(0.3 - Tilted(logit).mean.item(), abs=1e-6)  # an exponential family's


@pytest.mark.parametrize("logit", [-30.0, -2.0, -1e-5, 0.0, 0.4, 50.0])
def test_quantiles_and_draws_follow_the_density(logit: float) -> None:
    q = Tilted(torch.tensor(logit, dtype=torch.float64))
    for share in (0.01, 0.3, 0.5, 0.99):
        x = q.icdf(torch.tensor(share, dtype=torch.float64))
        below = torch.linspace(0.0, x.item(), 20_001, dtype=torch.float64)
        assert torch.trapezoid(q.log_prob(below).exp(), below).item() == pytest.approx(share, abs=1e-4)
    torch.manual_seed(0)
    draws = q.sample((4000,))
    assert ((draws >= 0) & (draws <= 1)).all()
    standard_error = draws.std().item() / len(draws) ** 0.5
    assert draws.mean().item() == pytest.approx(q.mean.item(), abs=5 * standard_error)
    assert q.expand((3, 2)).sample((5,)).shape == (5, 3, 2)


def test_continuous_bernoulli_has_the_normaliser_of_the_paper() -> None:
    """log p = Bernoulli's + log C(λ), C(λ) = 2 artanh(1 − 2λ) / (1 − 2λ) (Loaiza-Ganem and Cunningham 2019)."""
    logits = torch.linspace(-6.0, 6.0, 24, dtype=torch.float64)
    x = torch.linspace(0.0, 1.0, 24, dtype=torch.float64).flip(0)
    probability = torch.sigmoid(logits)
    log_c = torch.log(2 * torch.atanh(1 - 2 * probability) / (1 - 2 * probability))
    bernoulli = -torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    torch.testing.assert_close(Tilted(logits).log_prob(x), bernoulli + log_c)


def test_gradients() -> None:
    logits = torch.tensor([-20.0, -0.08, 0.0, 0.12, 5.0], dtype=torch.float64, requires_grad=True)
    x = torch.tensor([0.1, 0.9, 0.4, 0.0, 1.0], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda eta: Tilted(eta).log_prob(x), logits)
    assert torch.autograd.gradgradcheck(lambda eta: Tilted(eta).log_prob(x), logits)


def test_normal_integrates_to_one_with_its_learned_scale() -> None:
    likelihood = Normal()
    torch.nn.init.constant_(likelihood.raw_scale, -0.3)
    x = torch.linspace(-3.0, 4.0, 100_001)
    density = likelihood(torch.tensor(0.4), 0).log_prob(x).exp()
    assert torch.trapezoid(density.double(), x.double()).item() == pytest.approx(1.0, abs=1e-5)


def test_bernoulli_adds_up_to_one() -> None:
    q = Bernoulli()(torch.tensor([1.5, -4.0]), 0)
    assert torch.allclose(q.log_prob(torch.zeros(2)).exp() + q.log_prob(torch.ones(2)).exp(), torch.ones(2))


def test_poisson_is_scipys_and_stays_finite() -> None:
    x = torch.arange(60.0)
    log_prob = Poisson()(torch.tensor(1.7), 0).log_prob(x)
    torch.testing.assert_close(
        log_prob.double(), torch.from_numpy(stats.poisson(5.473947).logpmf(x)), rtol=1e-5, atol=1e-5
    )
    for output in (-1e4, 1e4):
        assert Poisson()(torch.tensor(output), 0).log_prob(x).isfinite().all()


@pytest.mark.parametrize("likelihood", [Bernoulli(), Normal(), Poisson()])
def test_a_start_is_at_the_mean(likelihood: Likelihood) -> None:
    mean = torch.tensor([[0.002, 0.3], [0.9, 0.5]])
    torch.testing.assert_close(likelihood(likelihood.start(mean), 2).mean, mean)
    assert likelihood.start(torch.tensor([0.0, 1.0])).isfinite().all()


def test_the_continuous_bernoullis_start_is_on_the_means_side() -> None:
    mean = torch.tensor([0.002, 0.3, 0.9])
    likelihood = ContinuousBernoulli()
    started = likelihood(likelihood.start(mean), 1).mean
    assert torch.equal(started < 0.5, mean < 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("likelihood", [pytest.param(ContinuousBernoulli, marks=pytest.mark.slow), Normal])
def test_it_learns_grey_levels(likelihood: type[Likelihood]) -> None:
    """From worse than independent uniform pixels, whose log-density is 0, to a density far above that."""
    torch.manual_seed(0)
    data = Dataset(stripes(400))
    model = VAE(Decoder(2, (3, 4), (16,)), 2, likelihood())
    guide = amortized(model, data.x, hidden=(16,))
    settings = FitConfig(epochs=40, batch_size=20, engine="eager", device="cpu")
    history = fit(model, guide, data, settings=settings, progress=False)
    assert history[0].elbo < 1.0
    assert history[-1].elbo > 3.0
    if isinstance(model.likelihood, Normal):
        residual = (data.x - data.x.mean(0)).std().item()
        assert 0.02 < model.likelihood.scale.item() < residual


def test_a_scale_has_a_floor_that_gradients_cannot_leave_it_through() -> None:
    likelihood = Normal()
    torch.nn.init.constant_(likelihood.raw_scale, -200.0)
    density = likelihood(torch.zeros(()), 0).log_prob(torch.zeros(())).item()
    assert density == pytest.approx(stats.norm(scale=0.5 / 255).logpdf(0), abs=1e-4)
