"""Bayes classifiers as generative baselines: p(y) and, for each class, a Gaussian or a mixture of Gaussians p(x | y).

In d principal components of all training data, U of shape ``(D, d)``, an observation is t = Uᵀ(x − μ) and what they
leave of it, r = x − μ − Ut:

    p(x | y) = Σ_k w_yk N(t; m_yk, S_yk + λI) · N(r; 0, σ²I),        σ² = mean discarded variance + λ

A projection alone would have a density of t only; as in probabilistic PCA (Tipping and Bishop 1999) the discarded
directions get noise of one variance, so that p(x | y) is a density of x and integrates to one. The noise is the same in
all classes, so it has no say in p(y | x). λ, the ridge, is added to the variance of every direction: pixels that are
constant would have none.

A label's class is argmax_y log p(x | y) + log p(y), which no classifier betters if both are right. Neither is: both are
densities of continuous grey levels and say nothing that a Bernoulli's log-likelihood of bits could be ranked with.
"""

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from ppl_vae.baselines.state import ARRAYS, FORMAT, check_state
from ppl_vae.runtime.seeding import stream

Kind = Literal["gaussian", "mixture"]

_CHUNK = 2048  # datapoints at a time: D = 784 and ten components take some hundred MiB


@dataclass(frozen=True, eq=False)
class Mixture:
    """A mixture of K Gaussians in d dimensions, one of K = 1 where it is a Gaussian.

    Args:
        weights: ``(K,)``, positive, with sum 1, the largest first.
        means: ``(K, d)``.
        covariances: ``(K, d, d)``.
        converged: whether the fit ended before its last iteration.
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor
    converged: bool = True

    @cached_property
    def distribution(self) -> MixtureSameFamily:
        """The density."""
        components = MultivariateNormal(self.means, self.covariances)
        return MixtureSameFamily(Categorical(self.weights), components, validate_args=False)


class Sampled(NamedTuple):
    """Draws of a baseline.

    Args:
        y: labels, ``(n,)``.
        means: E[x | t] = μ + Ut for t ~ p(t | y), ``(n, *event)``: draws without the noise of the other directions.
        x: ``(n, *event)``; not held to [0, 1], which a Gaussian knows nothing of.
    """

    y: Tensor
    means: Tensor
    x: Tensor


@dataclass(frozen=True, eq=False)
class BayesClassifier:
    """p(y) p(x | y), fitted; all floating tensors are float64.

    Args:
        labels: the C labels that there are, ``(C,)``, ascending.
        prior: p(y), ``(C,)``.
        center: μ, ``(*event)``.
        basis: U, ``(D, d)``, orthonormal columns.
        noise: σ², the variance in every direction that U leaves out.
        classes: p(t | y) for each label.
    """

    labels: Tensor
    prior: Tensor
    center: Tensor
    basis: Tensor
    noise: float
    classes: tuple[Mixture, ...]

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return tuple(self.center.shape)

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x | y) of every class, in nats of a density over grey levels.

        Args:
            x: ``(N, *event)``.

        Returns:
            ``(N, C)``.
        """
        return torch.cat([self._log_density(part) for part in x.split(_CHUNK)])

    def _log_density(self, x: Tensor) -> Tensor:
        deviations = x.to(self.center).flatten(1) - self.center.flatten()
        t = deviations @ self.basis  # (n, d)
        left = self.basis.shape[0] - self.basis.shape[1]
        residual = (deviations - t @ self.basis.T).square().sum(1)
        outside = -0.5 * residual / self.noise - 0.5 * left * math.log(2 * math.pi * self.noise)
        inside = torch.stack([mixture.distribution.log_prob(t) for mixture in self.classes], dim=1)
        return inside + (outside[:, None] if left else 0.0)

    def log_posterior(self, x: Tensor) -> Tensor:
        """log p(y | x) by Bayes' rule, ``(N, C)``, for x ``(N, *event)``."""
        return (self.log_density(x) + self.prior.log()).log_softmax(dim=1)

    def classify(self, x: Tensor) -> Tensor:
        """The most probable label of each observation, ``(N,)``, for x ``(N, *event)``."""
        return self.labels[self.log_posterior(x).argmax(1)]

    def sample(self, num: int, label: int | None = None) -> Sampled:
        """Draw from p(x | y), or, without a label, from p(x).

        Args:
            num: n, at least 1.
            label: one of ``labels``.

        Returns:
            n draws, from torch's own generator.

        Raises:
            ValueError: there is no such label.
        """
        if label is None:
            row = Categorical(self.prior).sample((num,))
        elif label in self.labels:
            row = torch.searchsorted(self.labels, torch.full((num,), label))
        else:
            raise ValueError(f"no label {label}; there are {self.labels.tolist()}.")
        t = self.basis.new_empty(num, self.basis.shape[1])
        for number in row.unique().tolist():
            chosen = row == number
            t[chosen] = self.classes[number].distribution.sample((int(chosen.sum()),))
        means = self._observed(t)
        noise = torch.randn_like(means).flatten(1) * math.sqrt(self.noise)
        noise = noise - (noise @ self.basis) @ self.basis.T
        return Sampled(self.labels[row], means, means + noise.view_as(means))

    def component_means(self, number: int) -> Tensor:
        """The means of a class's components, ``(K, *event)``; the class by its place in ``labels``."""
        return self._observed(self.classes[number].means)

    def _observed(self, t: Tensor) -> Tensor:
        deviations: Tensor = (t @ self.basis.T).unflatten(1, self.event_shape)
        return deviations + self.center

    def state(self) -> dict[str, NDArray[np.generic]]:
        """All of it as arrays of numbers and one text, for an ``.npz``."""
        arrays: dict[str, NDArray[np.generic]] = {"format": np.array(FORMAT), "noise": np.array(self.noise)}
        arrays |= {name: getattr(self, name).numpy() for name in ("labels", "prior", "center", "basis")}
        for number, mixture in enumerate(self.classes):
            for name in ARRAYS:
                arrays[f"{name}_{number}"] = getattr(mixture, name).numpy()
            arrays[f"converged_{number}"] = np.array(mixture.converged)
        return arrays

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[np.generic]]) -> Self:
        """The inverse of :meth:`state`.

        Raises:
            ValueError: an array is missing, or is not what it has to be.
        """
        check_state(arrays)
        fixed = {name: torch.from_numpy(arrays[name]) for name in ("labels", "prior", "center", "basis")}
        classes = tuple(
            Mixture(
                **{name: torch.from_numpy(arrays[f"{name}_{number}"]) for name in ARRAYS},
                converged=bool(arrays[f"converged_{number}"]),
            )
            for number in range(len(fixed["labels"]))
        )
        return cls(**fixed, noise=float(arrays["noise"]), classes=classes)


def fit_classifier(
    kind: Kind,
    x: Tensor,
    y: Tensor,
    *,
    dims: int = 50,
    ridge: float = 0.03,
    num_components: int = 10,
    iterations: int = 500,
    seed: int = 0,
    advance: Callable[[int], object] | None = None,
) -> BayesClassifier:
    """Fit p(y), the principal components of all x, and p(t | y) for each class.

    A Gaussian has its class's mean and covariance. A mixture is fitted by scikit-learn's ``BayesianGaussianMixture``
    (variational Bayes under a Dirichlet process; Blei and Jordan 2006), from k-means; its density is taken at the
    posterior means of weights and means and the expected precisions. (scikit-learn's own ``score_samples`` is an
    expectation of log-densities, whose exponential integrates to less than one.)

    Args:
        kind: what p(t | y) is.
        x: ``(N, *event)``.
        y: labels, ``(N,)``.
        dims: d; all D where there are not more.
        ridge: λ > 0, a variance.
        num_components: K of a mixture, where a class has as many datapoints; those that it does not need get little
            weight.
        iterations: of variational Bayes, at most.
        seed: of k-means.
        advance: called with 1 after each class.

    Returns:
        the classifier.

    Raises:
        ValueError: a class has one datapoint only, or x is not finite.
    """
    event_shape, rows = x.shape[1:], x.flatten(1).double()
    if not rows.isfinite().all():
        raise ValueError("observations hold values that are not finite.")
    labels, counts = y.unique(return_counts=True)
    if counts.min() < 2:
        raise ValueError(f"label {labels[counts.argmin()]} has one datapoint only; a covariance needs two.")
    center = rows.mean(0)
    deviations = rows - center
    variances, vectors = torch.linalg.eigh(deviations.T @ deviations / len(rows))  # ascending
    dims = min(dims, len(center))
    discarded = variances[: len(center) - dims].clamp(min=0)
    basis = vectors[:, len(center) - dims :].flip(1).contiguous()
    projected = deviations @ basis
    classes = []
    for label in labels.tolist():
        t = projected[y == label]
        if kind == "gaussian":
            classes.append(_gaussian(t, ridge))
        else:
            classes.append(_mixture(t, ridge, min(num_components, len(t)), iterations, seed))
        if advance:
            advance(1)
    noise = (discarded.mean().item() if len(discarded) else 0.0) + ridge
    return BayesClassifier(
        labels, counts / counts.sum().double(), center.view(event_shape), basis, noise, tuple(classes)
    )


def _gaussian(t: Tensor, ridge: float) -> Mixture:
    """The maximum-likelihood Gaussian, with the ridge."""
    mean = t.mean(0)
    covariance = (t - mean).T @ (t - mean) / len(t)
    return Mixture(t.new_ones(1), mean[None], (covariance + ridge * torch.eye(len(mean), dtype=t.dtype))[None])


def _mixture(t: Tensor, ridge: float, num_components: int, iterations: int, seed: int) -> Mixture:
    """Variational Bayes, from k-means."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import BayesianGaussianMixture  # here: it takes half a second

    # scikit-learn's prior covariance is the class's own, without a ridge, and cannot be inverted where that cannot. A
    # component of n datapoints has (prior + n (theirs + reg_covar)) / (d + n): d ridges in the prior make one in all.
    dims = t.shape[1]
    found = BayesianGaussianMixture(
        n_components=num_components,
        covariance_prior=np.cov(t.numpy().T).reshape(dims, dims) + dims * ridge * np.eye(dims),
        degrees_of_freedom_prior=dims,
        reg_covar=ridge,
        max_iter=iterations,
        random_state=stream(seed, "k-means") % 2**32,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # k-means of equal points; ours is in `converged`
        found.fit(t.numpy())
    order = np.argsort(-found.weights_)
    arrays = (found.weights_[order], found.means_[order], found.covariances_[order])
    weights, means, covariances = map(torch.from_numpy, arrays)
    return Mixture(weights, means, covariances, bool(found.converged_))
