"""The oracle: every closed form against torch's distributions or against another closed form."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from ppl_vae import UserError
from ppl_vae.models import LinearGaussian
from tests.pairs import oracle, simulate

ROUNDING = {"rtol": 0.0, "atol": 1e-10}


def test_log_px_is_the_multivariate_normals() -> None:
    model = oracle()
    x = simulate(model, 20)
    covariance = model.weight @ model.weight.mT + model.log_scale.exp() ** 2 * torch.eye(5, dtype=torch.float64)
    expected = MultivariateNormal(model.mean, covariance).log_prob(x)
    torch.testing.assert_close(model.log_px(x), expected, **ROUNDING)


def test_posterior_is_bayes() -> None:
    """log p(x, z) − log p(z | x) is log p(x), whatever z is."""
    model = oracle()
    x = simulate(model, 4)
    z = 3 * torch.randn(50, 4, 3, dtype=torch.float64)
    prior = Normal(0.0, 1.0).log_prob(z).sum(-1)
    likelihood = Normal(z @ model.weight.mT + model.mean, model.log_scale.exp()).log_prob(x).sum(-1)
    evidence = prior + likelihood - model.posterior(x).log_prob(z)  # (50, 4)
    assert evidence.std(0).max() < 1e-9 < (prior + likelihood).std(0).min()
    torch.testing.assert_close(evidence[0], model.log_px(x), rtol=0.0, atol=1e-9)


def test_best_diagonal_gap_is_a_kl_and_a_minimum() -> None:
    model = oracle()
    posterior = model.posterior(simulate(model, 1)[0])
    gap = model.best_diagonal_gap()
    assert gap > 0.1

    def loses(variances: torch.Tensor) -> torch.Tensor:
        return kl_divergence(MultivariateNormal(posterior.loc, torch.diag(variances)), posterior)

    best = 1 / posterior.precision_matrix.diagonal()
    torch.testing.assert_close(loses(best), gap, **ROUNDING)
    for i in range(3):
        for factor in (0.9, 1.1):
            other = best.clone()
            other[i] *= factor
            assert loses(other) > gap + 1e-4
    assert loses(posterior.covariance_matrix.diagonal()) > gap + 1e-2


def test_no_gap_where_the_posterior_is_diagonal() -> None:
    model = LinearGaussian((3,), 2).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, -0.5], [0.0, 0.0]]))
    assert abs(model.best_diagonal_gap().item()) < 1e-12


def test_images_are_flattened_and_leading_dimensions_kept() -> None:
    model = LinearGaussian((2, 3), 2).double()
    x = torch.randn(4, 5, 2, 3, dtype=torch.float64)
    assert model.log_px(x).shape == (4, 5)
    assert model.posterior(x).batch_shape == (4, 5)
    torch.testing.assert_close(model.log_px(x)[1, 2], model.log_px(x[1, 2]), **ROUNDING)
    torch.testing.assert_close(model.posterior(x).loc[1, 2], model.posterior(x[1, 2]).loc, **ROUNDING)


class TestMaximumLikelihood:
    def test_beats_the_truth_and_every_step_away(self) -> None:
        truth = oracle(6, 2, 0.5)
        x = simulate(truth, 500)
        fitted = LinearGaussian.maximum_likelihood(x, 2)
        best = fitted.log_px(x).mean()
        assert truth.log_px(x).mean() < best - 1e-3
        for param in fitted.parameters():
            kept = param.detach().clone()
            for _ in range(5):
                with torch.no_grad():
                    param.add_(0.05 * torch.randn_like(param))
                assert fitted.log_px(x).mean() < best
                with torch.no_grad():
                    param.copy_(kept)

    def test_gradient_vanishes_there_and_nowhere_else(self) -> None:
        x = simulate(oracle(6, 2, 0.5), 500)

        def steepest(model: LinearGaussian) -> float:
            grads = torch.autograd.grad(model.log_px(x).mean(), list(model.parameters()))
            return max(grad.abs().max().item() for grad in grads)

        assert steepest(LinearGaussian((6,), 2).double()) > 0.1
        assert steepest(LinearGaussian.maximum_likelihood(x, 2)) < 1e-10

    def test_more_latents_fit_better(self) -> None:
        x = simulate(oracle(6, 3), 200)
        values = [LinearGaussian.maximum_likelihood(x, size).log_px(x).mean() for size in range(1, 6)]
        assert values == sorted(values)
        assert values[0] < values[-1] - 0.1

    def test_keeps_shape_and_precision(self) -> None:
        model = LinearGaussian.maximum_likelihood(torch.randn(50, 2, 3), 2)
        assert model.event_shape == (2, 3)
        assert model.weight.dtype == torch.float32
        assert model.weight.shape == (6, 2)

    @pytest.mark.parametrize("latent_dim", [0, -1, 5, 6])
    def test_too_many_or_too_few_latents(self, latent_dim: int) -> None:
        with pytest.raises(UserError, match="latent_dim must be from 1 to 4"):
            LinearGaussian.maximum_likelihood(torch.randn(50, 5), latent_dim)

    @pytest.mark.parametrize("x", [torch.zeros(10, 4), torch.randn(10, 1) * torch.ones(4)])
    def test_data_that_spans_too_little_has_no_maximum(self, x: torch.Tensor) -> None:
        with pytest.raises(UserError, match="spans only"):
            LinearGaussian.maximum_likelihood(x, 2)


def test_starts_small_and_random() -> None:
    model = LinearGaussian((400,), 5)
    assert model.weight.std().item() == pytest.approx(0.1, abs=5 * 0.1 / math.sqrt(2 * 2000))
    assert not model.mean.any()
    assert model.log_scale.item() == 0
