"""Priors: their densities, their draws, and what a VampPrior shares with the guide."""

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ppl_vae import FitConfig, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from ppl_vae.guides import Amortized, Diagonal, FullRank, InverseAutoregressive, SemiAmortized
from ppl_vae.models import VAE
from ppl_vae.models.priors import MixtureOfGaussians, Prior, StandardNormal, VampPrior
from ppl_vae.networks.dense import Decoder, Encoder, positive
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.predictive.draws import has_standard_normal_prior
from ppl_vae.programs.given import FamilyProgram
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import constant
from ppl_vae.svi import OptimizerConfig
from tests.marks import slow_after
from tests.pairs import all_of, amortized, bits


def mixture(num_components: int = 3) -> MixtureOfGaussians:
    prior = MixtureOfGaussians(2, num_components=num_components).double()
    with torch.no_grad():
        prior.logits.copy_(torch.linspace(-1, 2, num_components))
        prior.raw_scale.copy_(torch.linspace(-2, 1, 2 * num_components).reshape(num_components, 2))
    return prior


def test_a_mixtures_density_is_torchs() -> None:
    prior = mixture()
    components = Independent(Normal(prior.loc, positive(prior.raw_scale)), 1)
    expected = MixtureSameFamily(Categorical(logits=prior.logits), components)
    z = 3 * torch.randn(4, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(prior().log_prob(z), expected.log_prob(z))
    torch.testing.assert_close(prior().expand((4, 5)).log_prob(z), expected.log_prob(z))


@pytest.mark.parametrize("kind", [Diagonal, FullRank, InverseAutoregressive])
def test_a_vamppriors_density_is_the_mean_of_posteriors(kind) -> None:
    family = kind(2).double()
    encoder = Encoder((3, 4), family.num_params, (8,)).double()
    prior = VampPrior(family, encoder, torch.full((3, 4), 0.3, dtype=torch.float64), num_components=5).double()
    z = torch.randn(7, 2, dtype=torch.float64)
    inputs = prior.raw_inputs.sigmoid()
    each = torch.stack([family(encoder(one.unsqueeze(0)).squeeze(0)).log_prob(z) for one in inputs])
    torch.testing.assert_close(prior().log_prob(z), each.exp().mean(0).log())


def test_components_are_scored_by_turns_where_draws_are_many(monkeypatch) -> None:
    q, z = mixture(5)(), torch.randn(4, 6, 2, dtype=torch.float64)
    whole, sizes, component = q.log_prob(z), [], q.component

    def counted(params: torch.Tensor) -> torch.distributions.Distribution:
        sizes.append(len(params))
        return component(params)

    q.component = counted
    monkeypatch.setattr("ppl_vae.models.priors._CALL_ELEMENTS", 2 * z.numel())
    torch.testing.assert_close(q.log_prob(z), whole, rtol=1e-14, atol=0)
    assert sizes == [2, 2, 1]


def test_densities_have_the_gradients_of_differences() -> None:
    z = torch.randn(3, 2, dtype=torch.float64, requires_grad=True)
    learned = mixture()
    params = (learned.logits, learned.loc, learned.raw_scale)

    def log_prob(z: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        named = dict(zip(("logits", "loc", "raw_scale"), values, strict=True))
        return torch.func.functional_call(learned, named).log_prob(z)

    assert torch.autograd.gradcheck(log_prob, (z, *params))
    vamp = VampPrior(FullRank(2), Encoder((3, 4), 5, (8,), "tanh"), torch.full((3, 4), 0.3), num_components=3).double()
    assert torch.autograd.gradcheck(
        lambda z, inputs: torch.func.functional_call(vamp, {"raw_inputs": inputs}).log_prob(z), (z, vamp.raw_inputs)
    )


def test_pseudo_inputs_have_labels_where_the_guide_reads_them() -> None:
    family = Diagonal(2)
    encoder = Encoder((3, 4), 4, (8,), num_classes=3)
    prior = VampPrior(family, encoder, torch.full((3, 4), 0.3), num_components=4, num_classes=3)
    assert prior.y.tolist() == [0, 1, 2, 0]
    expected = family(encoder(prior.raw_inputs.sigmoid(), prior.y)).log_prob(torch.zeros(2)).exp().mean().log()
    torch.testing.assert_close(prior().log_prob(torch.zeros(2)), expected)


def test_draws_follow_the_density() -> None:
    prior = mixture()
    torch.manual_seed(0)
    draws = prior().expand((100,)).sample((200,)).flatten(0, 1)  # (20_000, 2)
    weights = prior.logits.softmax(0)
    mean = weights @ prior.loc
    second = weights @ (prior.loc**2 + positive(prior.raw_scale) ** 2)
    for found, expected in ((draws, mean), (draws**2, second)):
        error = found.std(0) / len(found) ** 0.5
        assert ((found.mean(0) - expected).abs() < 5 * error).all()
    below = (draws < 0).double()  # the shape too, not the moments alone
    shares = weights @ Normal(prior.loc, positive(prior.raw_scale)).cdf(torch.zeros(2, dtype=torch.float64))
    assert ((below.mean(0) - shares).abs() < 5 * below.std(0) / len(below) ** 0.5).all()


def test_only_the_standard_normal_is_told_so() -> None:
    batch = all_of(bits(2))
    for prior, expected in ((StandardNormal(2), True), (mixture().float(), False)):
        assert has_standard_normal_prior(VAE(Decoder(2, (3, 4), (8,)), 2, prior=prior), batch) is expected


def test_a_vampprior_and_its_guide_are_one_network() -> None:
    """A step moves the encoder once, by both gradients, and a copy of the pair is a pair of its own."""
    torch.manual_seed(0)
    family = Diagonal(2)
    prior = VampPrior(family, Encoder((3, 4), 4, (8,)), torch.full((3, 4), 0.3), num_components=4)
    model = VAE(Decoder(2, (3, 4), (8,)), 2, prior=prior)
    guide = Amortized(Latents.of(model, all_of(bits(2))), family, prior.encoder)
    assert {id(param) for param in guide.parameters()} < {id(param) for param in model.parameters()}
    data = Dataset(bits(40))
    before = elbo(model, guide, data, 50).elbo
    fit(model, guide, data, settings=FitConfig(epochs=60, batch_size=20, device="cpu", engine="eager"), progress=False)
    assert guide.encoder is model.prior.encoder
    assert elbo(model, guide, data, 50).elbo.mean > before.mean + 1.0


def test_a_separately_trained_proposal_keeps_its_own_bounds_gradient() -> None:
    """The encoder is the prior's too, which that bound takes for a constant: it is not to take the proposal with it."""
    torch.manual_seed(0)
    family = Diagonal(2)
    prior = VampPrior(family, Encoder((3, 4), 4, (8,)), torch.full((3, 4), 0.3), num_components=4)
    model, batch = VAE(Decoder(2, (3, 4), (8,)), 2, prior=prior), all_of(bits(5))
    proposal = Amortized(Latents.of(model, batch), family, prior.encoder)
    alone = FamilyProgram(proposal.latents, family, proposal.params(batch))
    with constant(prior):
        torch.manual_seed(1)
        loss = TraceELBO(analytic_kl=True).terms(model, alone, batch).loss
    expected = torch.autograd.grad(loss, list(prior.encoder.parameters()))
    assert max(gradient.abs().max() for gradient in expected) > 0.01
    guide = SemiAmortized(proposal, model, refinement_training="separate")
    torch.manual_seed(1)
    found = torch.autograd.grad(-guide._proposal_bound(batch), list(prior.encoder.parameters()))
    torch.testing.assert_close(found, expected)


def two_lumps(num: int) -> torch.Tensor:
    """Images of one bright column, the first or the last: a posterior of two far lumps."""
    x = torch.full((num, 3, 4), 0.02)
    x[: num // 2, :, 0] = 0.98
    x[num // 2 :, :, 3] = 0.98
    return torch.bernoulli(x, generator=torch.Generator().manual_seed(0))


@pytest.mark.slow
@pytest.mark.parametrize("kind", slow_after(1, ["vamp", "mixture"]))
def test_a_learned_prior_beats_the_standard_normal(kind: str) -> None:
    """On data of two kinds: the KL can fall to log 2 where the codes' own two lumps are the prior."""
    data, bounds = Dataset(two_lumps(200)), {}
    for name in ("standard-normal", kind):
        torch.manual_seed(1)
        family, encoder = Diagonal(1), Encoder((3, 4), 2, (16,))
        priors: dict[str, Prior] = {
            "standard-normal": StandardNormal(1),
            "mixture": MixtureOfGaussians(1, num_components=4),
            "vamp": VampPrior(family, encoder, data.x.mean(0), num_components=4),
        }
        model = VAE(Decoder(1, (3, 4), (16,)), 1, prior=priors[name])
        latents = Latents.of(model, all_of(data.x[:2]))
        guide = Amortized(latents, family, encoder) if name == "vamp" else amortized(model, data.x, hidden=(16,))
        optimizer = OptimizerConfig(learning_rate=0.01)
        settings = FitConfig(epochs=150, batch_size=50, device="cpu", engine="eager", optimizer=optimizer)
        fit(model, guide, data, settings=settings, progress=False)
        bounds[name] = elbo(model, guide, data, 100).elbo
    difference = bounds[kind] - bounds["standard-normal"]
    assert difference.mean > 3 * difference.stderr
