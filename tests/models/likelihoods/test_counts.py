"""Likelihoods of counts: the negative binomial to rounding, its dispersion recovered, rows of unlike totals, zeros."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor

import ppl_vae as pv
from ppl_vae import UserError
from ppl_vae.evaluation.simulation import simulate
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import GammaPoisson, NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from ppl_vae.networks.dense import Decoder
from ppl_vae.predictive.draws import prior_predictive
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.check import check_pair, likelihood_label
from ppl_vae.programs.holes import hold_to_mask

X = torch.tensor([0.0, 1.0, 7.0, 300.0])


@pytest.mark.parametrize("dispersion", [1e-3, 0.7, 9.9, 10.1, 1e3])
@pytest.mark.parametrize("mean", [1e-3, 2.0, 400.0])
def test_it_is_scipys(mean: float, dispersion: float) -> None:
    q = GammaPoisson(*torch.tensor([[mean], [dispersion]]).double().log().expand(2, 4))
    expected = stats.nbinom(dispersion, dispersion / (dispersion + mean)).logpmf(X)
    torch.testing.assert_close(q.log_prob(X.double()), torch.from_numpy(expected), rtol=1e-7, atol=1e-6)


def test_in_float32_it_goes_over_into_the_poisson_where_torchs_own_is_lost() -> None:
    log_mean = torch.tensor(2.0).log()
    poisson = torch.distributions.Poisson(2.0).log_prob(X[:3])
    many = torch.tensor(3e6)
    torch.testing.assert_close(GammaPoisson(log_mean, many.log()).log_prob(X[:3]), poisson, rtol=1e-4, atol=1e-4)
    theirs = torch.distributions.NegativeBinomial(many, logits=log_mean - many.log()).log_prob(X[:3])
    assert (theirs - poisson).abs().max() > 0.1


def test_gradients() -> None:
    parameters = torch.tensor([[1.0, -2.0, 5.0, 0.3], [-3.0, 2.2, 2.4, 9.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda both: GammaPoisson(*both).log_prob(X.double()), parameters)


# --- Recovered --------------------------------------------------------------------------------------------------------


def simulated(num: int = 3000, size: int = 20) -> tuple[Tensor, Tensor, Tensor]:
    """Counts, their means and dispersions."""
    torch.manual_seed(0)
    mean, dispersion = torch.linspace(0.5, 40, size), torch.linspace(0.3, 6, size).flip(0)
    return GammaPoisson(mean.log(), dispersion.log()).sample((num,)), mean, dispersion


def test_mean_and_dispersion_are_recovered_within_five_standard_errors() -> None:
    """By `fit`, of a model whose z reaches nothing; Fisher's information of (log μ, log r) says how near."""
    x, mean, dispersion = simulated()
    data = pv.Dataset(x)
    model = pv.build_model(VAE, data, likelihood="negative-binomial", latent_dim=1, hidden=())
    (linear,) = model.decoder.net
    torch.nn.init.zeros_(linear.weight).requires_grad_(False)
    torch.nn.init.constant_(model.likelihood.log_dispersion, 0.3)  # e³, far off
    guide = pv.build_guide("amortized", model, data, hidden=())
    assert ((model.likelihood.dispersion / dispersion).log().abs() > 1).all()
    settings = {"learning_rate": 0.01, "batch_size": 500, "engine": "eager", "device": "cpu", "progress": False}
    pv.fit(model, guide, data, epochs=60, **settings)
    pv.fit(model, guide, data, epochs=40, **(settings | {"learning_rate": 0.001, "batch_size": 3000}))
    q = model.likelihood(linear.bias.detach(), 0)
    assert ((q.log_mean - mean.log()).abs() < 5 * ((1 / mean + 1 / dispersion) / len(x)).sqrt()).all()
    error = standard_error_of_log_dispersion(mean, dispersion, len(x))
    assert ((q.log_dispersion - dispersion.log()).abs() < 5 * error).all()


def standard_error_of_log_dispersion(mean: Tensor, dispersion: Tensor, num: int) -> Tensor:
    """From E[−∂² log P / ∂(log r)²], by summing over counts; log μ is orthogonal to it (Lawless 1987)."""
    x = torch.arange(3000.0, dtype=torch.float64).unsqueeze(1)
    log_r = dispersion.double().log().requires_grad_()
    q = GammaPoisson(mean.double().log(), log_r)
    log_prob = q.log_prob(x)
    scores = []
    for shift in (1e-4, -1e-4):
        scores.append(GammaPoisson(q.log_mean, log_r.detach() + shift).log_prob(x))
    score = (scores[0] - scores[1]) / 2e-4
    return ((log_prob.exp() * score**2).sum(0) * num).rsqrt().detach().float()


def test_the_bound_of_overdispersed_counts_is_better_by_more_than_ten_standard_errors() -> None:
    data = pv.Dataset(simulated(800)[0])
    values = []
    for likelihood in ("poisson", "negative-binomial"):
        model = pv.build_model(VAE, data, likelihood=likelihood, latent_dim=2, hidden=(16,))
        guide = pv.build_guide("amortized", model, data)
        pv.fit(model, guide, data, epochs=15, batch_size=50, engine="eager", device="cpu", progress=False)
        values.append(pv.importance_bound(model, guide, data, num_samples=50).values)
    difference = values[1] - values[0]
    assert difference.mean() > 10 * difference.std() / math.sqrt(len(difference))


# --- Totals and zeros -------------------------------------------------------------------------------------------------

MEAN, STD = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 2.0, 3.0])
ROWS = Batch(torch.tensor([[2.0, 4.0, 6.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0]]), None, torch.arange(3))


@pytest.mark.parametrize("kind", [Poisson, NegativeBinomial, ZeroInflatedNegativeBinomial])
def test_a_rows_mean_is_its_share_of_the_rows_total(kind: type) -> None:
    spread = {} if kind is Poisson else {"x_std": STD}
    likelihood = kind(x_mean=MEAN, size_factors="total", **spread)
    output = likelihood.start(MEAN).expand(3, *likelihood.start(MEAN).shape)
    plain, sized = likelihood(output, 1).mean, likelihood.of(output, ROWS).mean
    torch.testing.assert_close(sized, plain * torch.tensor([[2.0], [0.5], [1.0]]))  # a row of zeros is as the average
    mask = torch.tensor([[True, True, False]] * 3)
    seen = likelihood.of(output, ROWS._replace(mask=mask)).base_dist.base_dist.mean
    torch.testing.assert_close(seen, plain * torch.tensor([[2.0], [1.0], [1.0]]))


def test_a_model_with_size_factors_draws_rows_of_the_usual_total() -> None:
    torch.manual_seed(0)
    model = VAE(Decoder(2, (3,), (), start=MEAN.log()), 2, Poisson(MEAN, size_factors="total"))
    torch.nn.init.zeros_(model.decoder.net[-1].weight)
    means = prior_predictive(model, (3,), 5).means
    torch.testing.assert_close(means, MEAN.expand(5, 3))
    hold_to_mask(model, ROWS._replace(mask=torch.tensor([[True, False, True]] * 3)))


def test_depth_that_size_factors_know_is_nothing_for_z_to_tell() -> None:
    """Cells alike but for their depth: given the total, the bound is nearer to that of the truth."""
    torch.manual_seed(0)
    depth = torch.exp(torch.randn(600, 1))
    data = pv.Dataset(torch.poisson(depth * torch.linspace(1, 10, 10)))
    kl = {}
    for factors in ("none", "total"):
        model = pv.build_model(
            VAE, data, likelihood="negative-binomial", size_factors=factors, latent_dim=1, hidden=(16,)
        )
        guide = pv.build_guide("amortized", model, data)
        settings = {"learning_rate": 0.01, "batch_size": 50, "engine": "eager", "device": "cpu", "progress": False}
        history = pv.fit(model, guide, data, epochs=15, **settings)
        kl[factors] = history[-1].kl
    assert kl["total"] < 0.1
    assert kl["none"] > 1.0


def test_what_is_given_totals_is_labelled_so_and_simulates_no_data() -> None:
    data = pv.Dataset(simulated(50)[0])
    for factors, label in (("none", "proper"), ("total", "given each row's total")):
        model = pv.build_model(VAE, data, likelihood="poisson", size_factors=factors, latent_dim=1, hidden=(4,))
        assert likelihood_label(model, data.probe()) == label
    with pytest.raises(UserError, match="given the total of each row and has no distribution of totals"):
        simulate(model, (20,), 5)


@pytest.mark.parametrize(("row", "value"), [(0, 0.5), (30, 2.5), (45, -1.0)])
def test_what_is_no_count_is_refused_wherever_it_is(row: int, value: float) -> None:
    x = simulated(50)[0]
    x[row, 3] = value
    data = pv.Dataset(x)
    for likelihood in ("poisson", "negative-binomial", "zero-inflated-negative-binomial"):
        model = pv.build_model(VAE, data, likelihood=likelihood, latent_dim=1, hidden=(4,))
        with pytest.raises(UserError, match="which takes whole numbers from 0 up"):
            check_pair(model, pv.build_guide("amortized", model, data), data.probe())


@pytest.mark.parametrize("name", ["negative-binomial", "zero-inflated-negative-binomial", "continuous-bernoulli"])
def test_messages_have_the_name_that_the_user_gave(name: str) -> None:
    data = pv.Dataset(torch.tensor([[0.5, 2.5], [1.5, 3.5]]))
    model = pv.build_model("vae", data, likelihood=name, hidden=(4,))
    guide = pv.build_guide("amortized", model, data, hidden=(4,))
    with pytest.raises(pv.UserError, match=f"support of the model's {name} likelihood, which takes "):
        pv.fit(model, guide, data, epochs=1)


def test_size_factors_are_relative_to_the_data() -> None:
    with pytest.raises(UserError, match="`size_factors` total is relative to the data; give x_mean"):
        Poisson(size_factors="total")


def test_the_share_of_lost_counts_is_recovered() -> None:
    torch.manual_seed(0)
    counts = GammaPoisson(torch.full((4,), 2.0), torch.full((4,), 1.5)).sample((4000,))
    share = torch.tensor([0.05, 0.2, 0.4, 0.6])
    data = pv.Dataset(torch.where(torch.rand(4000, 4) < share, 0.0, counts))
    model = pv.build_model(VAE, data, likelihood="zero-inflated-negative-binomial", latent_dim=1, hidden=())
    (linear,) = model.decoder.net
    torch.nn.init.zeros_(linear.weight).requires_grad_(False)
    guide = pv.build_guide("amortized", model, data, hidden=())
    settings = {"batch_size": 500, "engine": "eager", "device": "cpu", "progress": False}
    pv.fit(model, guide, data, epochs=50, learning_rate=0.05, **settings)
    found = linear.bias.detach().reshape(4, 2)[:, 1].sigmoid()
    assert ((found - share).abs() < 0.04).all()
