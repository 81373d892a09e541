"""Bayes classifiers against closed forms: densities, posteriors, moments of fits and of draws."""

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from ppl_vae.baselines.bayes import BayesClassifier, Mixture, fit_classifier


def covariance(dims, seed):
    a = torch.randn(dims, dims, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return a @ a.T / dims + 0.2 * torch.eye(dims, dtype=torch.float64)


def toy(size=4, dims=2, prior=(0.3, 0.7), noise=0.25):
    """Labels 2 and 5 in `size` dimensions; of label 5 a mixture of two."""
    torch.manual_seed(3)
    basis = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q[:, :dims]
    one = Mixture(torch.ones(1).double(), torch.randn(1, dims).double(), covariance(dims, 1)[None])
    two = Mixture(
        torch.tensor([0.8, 0.2], dtype=torch.float64),
        torch.randn(2, dims).double(),
        torch.stack([covariance(dims, 2), covariance(dims, 4)]),
    )
    return BayesClassifier(
        torch.tensor([2, 5]),
        torch.tensor(prior, dtype=torch.float64),
        torch.randn(size).double(),
        basis,
        noise,
        (one, two),
    )


def components_in_x(classifier, number):
    """Weights, and the Gaussians in x that the class is a mixture of."""
    mixture, basis = classifier.classes[number], classifier.basis
    left = torch.eye(len(basis), dtype=torch.float64) - basis @ basis.T
    covariances = basis @ mixture.covariances @ basis.T + classifier.noise * left
    means = classifier.component_means(number).flatten(1)
    return mixture.weights, [MultivariateNormal(m, c) for m, c in zip(means, covariances, strict=True)]


def density_in_x(classifier, number, x):
    weights, normals = components_in_x(classifier, number)
    return torch.stack([w.log() + q.log_prob(x) for w, q in zip(weights, normals, strict=True)]).logsumexp(0)


@pytest.mark.parametrize("dims", [1, 2, 4])
def test_the_density_is_that_of_the_full_covariance_in_x(dims):
    classifier = toy(dims=dims)
    x = torch.randn(50, 4).double()
    found = classifier.log_density(x)
    for number in (0, 1):
        torch.testing.assert_close(found[:, number], density_in_x(classifier, number, x), rtol=1e-10, atol=1e-10)


def test_bayes_rule_is_the_exact_posterior():
    classifier = toy()
    x = torch.randn(3000, 4)  # more than one chunk
    joint = torch.stack([density_in_x(classifier, number, x.double()) for number in (0, 1)], 1)
    joint = joint.exp() * torch.tensor([0.3, 0.7], dtype=torch.float64)
    exact = joint / joint.sum(1, keepdim=True)
    torch.testing.assert_close(classifier.log_posterior(x).exp(), exact, rtol=1e-9, atol=1e-12)
    assert torch.equal(classifier.classify(x), torch.where(exact[:, 0] > 0.5, 2, 5))
    assert set(classifier.classify(x).tolist()) == {2, 5}
    # Equal covariances: the logistic function of a straight line, log p(1|x)/p(0|x) = log 3 + (2x − 1) / 2σ² · 1.
    unit = torch.ones(1).double()
    classes = tuple(Mixture(unit, torch.tensor([[m]]).double(), 0.5 * torch.ones(1, 1, 1).double()) for m in (0.0, 1.0))
    line = BayesClassifier(
        torch.arange(2), torch.tensor([0.25, 0.75]).double(), torch.zeros(1).double(), unit[None], 1.0, classes
    )
    x = torch.linspace(-2, 2, 9).double()[:, None]
    odds = np.log(3) + (2 * x[:, 0] - 1) / (2 * 0.5)
    torch.testing.assert_close(line.log_posterior(x).exp()[:, 1], odds.sigmoid())


@pytest.mark.parametrize(("size", "dims"), [(1, 1), (2, 1)])
def test_densities_integrate_to_one(size, dims):
    classifier = toy(size=size, dims=dims)
    axis = torch.linspace(-15, 15, 501, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * size).reshape(-1, size)
    volume = float(axis[1] - axis[0]) ** size
    for total in classifier.log_density(grid).exp().sum(0) * volume:
        assert float(total) == pytest.approx(1, abs=1e-6)


def test_draws_have_the_moments_of_the_density():
    classifier, num = toy(), 20_000
    for number, label in enumerate((2, 5)):
        drawn = classifier.sample(num, label)
        assert (drawn.y == label).all()
        weights, normals = components_in_x(classifier, number)
        mean = sum(w * q.mean for w, q in zip(weights, normals, strict=True))
        second = sum(
            w * (q.covariance_matrix + torch.outer(q.mean - mean, q.mean - mean))
            for w, q in zip(weights, normals, strict=True)
        )
        error = (second.diagonal() / num).sqrt()
        assert ((drawn.x.mean(0) - mean).abs() < 5 * error).all()
        products = (drawn.x - mean)[:, :, None] * (drawn.x - mean)[:, None, :]
        error = products.std(0) / num**0.5
        assert ((products.mean(0) - second).abs() < 5 * error).all()
        outside = drawn.means - classifier.center
        torch.testing.assert_close(outside @ classifier.basis @ classifier.basis.T, outside)  # no noise off the plane
    share = (classifier.sample(num).y == 2).double().mean()
    assert abs(float(share) - 0.3) < 5 * (0.3 * 0.7 / num) ** 0.5
    with pytest.raises(ValueError, match=r"no label 3; there are \[2, 5\]"):
        classifier.sample(1, 3)


def test_a_gaussian_fit_recovers_the_moments():
    num, dims, ridge = 8000, 4, 1e-6
    true = [(torch.arange(4.0).double(), covariance(4, 7)), (-torch.ones(4).double(), covariance(4, 8))]
    y = torch.arange(num) % 4 // 3  # three of the first to one of the second
    x = torch.stack([MultivariateNormal(m, c).sample((num,)) for m, c in true])[y, torch.arange(num)]
    classifier = fit_classifier("gaussian", x.view(num, 2, 2), y, dims=dims, ridge=ridge)
    assert classifier.event_shape == (2, 2)
    assert classifier.prior.tolist() == [0.75, 0.25]
    for number, (mean, cov) in enumerate(true):
        count = int((y == number).sum())
        (found,) = components_in_x(classifier, number)[1]
        variances = cov.diagonal()
        assert ((found.mean - mean).abs() < 5 * (variances / count).sqrt()).all()
        error = ((torch.outer(variances, variances) + cov**2) / count).sqrt()
        assert ((found.covariance_matrix - cov).abs() < 5 * error + ridge).all()
    right = (classifier.classify(x.view(num, 2, 2)) == y).double().mean()
    best = torch.stack([MultivariateNormal(m, c).log_prob(x) for m, c in true], 1) + classifier.prior.log()
    assert abs(right - (best.argmax(1) == y).double().mean()) < 5 / num**0.5


def test_components_left_out_become_noise_of_their_mean_variance():
    x = torch.randn(4000, 5) * torch.tensor([3.0, 2.0, 0.5, 0.1, 0.1])
    classifier = fit_classifier("gaussian", x, torch.zeros(4000, dtype=torch.long), dims=2, ridge=0.01)
    assert classifier.basis.shape == (5, 2)
    variance = (0.25 + 0.01 + 0.01) / 3
    assert classifier.noise == pytest.approx(variance + 0.01, rel=5 * (2 / 4000) ** 0.5)
    assert classifier.basis[:2].abs().sum(1) == pytest.approx([1, 1], abs=0.1)


@pytest.mark.slow
def test_a_mixture_finds_what_a_gaussian_cannot():
    """One class of two clusters, the other a Gaussian of the same mean and covariance."""
    centres = torch.tensor([-2.0, -2.0, -2.0, 2.0]).repeat(250)
    first = torch.randn(1000, 2) * 0.5 + torch.stack([centres, torch.zeros(1000)], 1)
    second = torch.randn(1000, 2) * torch.tensor([3.25, 0.25]).sqrt() + torch.tensor([-1.0, 0.0])
    x, y = torch.cat([first, second]), torch.arange(2).repeat_interleave(1000)
    clusters = Mixture(
        torch.tensor([0.75, 0.25]), torch.tensor([[-2.0, 0], [2, 0]]), 0.25 * torch.eye(2).expand(2, 2, 2)
    )
    other = MultivariateNormal(torch.tensor([-1.0, 0.0]), torch.diag(torch.tensor([3.25, 0.25])))
    best = float(((clusters.distribution.log_prob(x) < other.log_prob(x)) == y).double().mean())
    gaussian = fit_classifier("gaussian", x, y, ridge=1e-4)
    mixture = fit_classifier("mixture", x, y, ridge=1e-4, num_components=5)
    accuracy = [float((found.classify(x) == y).double().mean()) for found in (gaussian, mixture)]
    error = (best * (1 - best) / 2000) ** 0.5
    assert accuracy[0] < best - 10 * error
    assert accuracy[1] > best - 5 * error
    means, weights = mixture.component_means(0), mixture.classes[0].weights
    assert weights.tolist() == sorted(weights, reverse=True)
    assert float(weights.sum()) == pytest.approx(1)
    left = float(weights[means[:, 0] < 0].sum())
    assert left == pytest.approx(0.75, abs=0.01)  # of exactly 750 of 1,000; the prior counts as about one
    assert mixture.classes[0].converged
    assert not fit_classifier("mixture", x, y, num_components=5, iterations=1).classes[0].converged
    again = fit_classifier("mixture", x, y, ridge=1e-4, num_components=5)
    assert torch.equal(again.classes[0].means, mixture.classes[0].means)


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_constant_pixels_and_classes_of_two_have_a_density(kind):
    x, y = torch.rand(12, 3, 3), torch.tensor([0, 4]).repeat(6)
    y[:2] = 9
    x[:, 0] = 0.0
    classifier = fit_classifier(kind, x, y)
    assert classifier.labels.tolist() == [0, 4, 9]
    assert classifier.log_density(x).isfinite().all()
    assert classifier.sample(5).x.isfinite().all()
    assert fit_classifier(kind, torch.zeros(4, 9), torch.zeros(4, dtype=torch.long), dims=2).noise == 0.03


@pytest.mark.parametrize("kind", ["gaussian", "mixture"])
def test_the_ridge_is_added_to_every_direction(kind):
    """Also to components of few datapoints, of which there are some here: 40 for ten of them in nine dimensions."""
    x = torch.rand(40, 9)
    x[:, :3] = 0.5
    classifier = fit_classifier(kind, x, torch.zeros(40, dtype=torch.long), ridge=0.01)
    (mixture,) = classifier.classes
    assert len(mixture.weights) == (1 if kind == "gaussian" else 10)
    smallest = torch.linalg.eigvalsh(mixture.covariances)[:, :3]  # of the constant pixels
    torch.testing.assert_close(smallest, torch.full_like(smallest, 0.01))


def test_a_state_keeps_every_bit(tmp_path):
    classifier = fit_classifier("mixture", torch.rand(60, 3, 2), torch.arange(60) % 3, num_components=3, iterations=3)
    np.savez(tmp_path / "state.npz", **classifier.state())
    with np.load(tmp_path / "state.npz", allow_pickle=False) as arrays:
        again = BayesClassifier.from_state(dict(arrays))
    x = torch.rand(20, 3, 2)
    assert torch.equal(again.log_posterior(x), classifier.log_posterior(x))
    assert again.event_shape == (3, 2)
    assert [mixture.converged for mixture in again.classes] == [mixture.converged for mixture in classifier.classes]
    state = classifier.state()
    with pytest.raises(ValueError, match="not 'ppl_vae baseline 1'"):
        BayesClassifier.from_state({**state, "format": np.array("other")})
    del state["means_1"]
    with pytest.raises(ValueError, match="no array 'means_1'"):
        BayesClassifier.from_state(state)


def test_what_cannot_be_fitted():
    with pytest.raises(ValueError, match="label 3 has one datapoint only"):
        fit_classifier("gaussian", torch.rand(3, 4), torch.tensor([0, 0, 3]))
    with pytest.raises(ValueError, match="not finite"):
        fit_classifier("gaussian", torch.full((3, 4), torch.nan), torch.zeros(3, dtype=torch.long))


def test_every_class_is_counted():
    done = []
    fit_classifier("gaussian", torch.rand(9, 4), torch.arange(9) % 3, advance=done.append)
    assert done == [1, 1, 1]
