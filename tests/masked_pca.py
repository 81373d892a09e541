"""Probabilistic PCA with holes, whose posterior and imputations are known in closed form."""

import pyro
import pyro.distributions as dist
import torch
from pyro.nn import PyroModule

from ppl_vae.models import LinearGaussian
from ppl_vae.programs.batch import Batch

SIZE, DIM = 7, 3


class ExactUnderMask(PyroModule):
    """p(z | x_seen) of probabilistic PCA: precision I + WₛᵀWₛ/σ², Wₛ the rows of W that were seen."""

    def __init__(self, model: LinearGaussian) -> None:
        super().__init__()
        self.model = [model]

    def forward(self, batch: Batch) -> None:
        model = self.model[0]
        variance = (2 * model.log_scale).exp()
        weight = model.weight * batch.mask.unsqueeze(-1)  # (batch, D, Q)
        precision = torch.eye(DIM).double() + weight.mT @ model.weight / variance
        pull = weight.mT @ (batch.x - model.mean).unsqueeze(-1) / variance
        loc = torch.linalg.solve(precision, pull).squeeze(-1)
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.MultivariateNormal(loc, precision_matrix=precision))


def pca() -> LinearGaussian:
    torch.manual_seed(0)
    model = LinearGaussian((SIZE,), DIM).double()
    with torch.no_grad():
        model.weight.normal_()
        model.mean.normal_()
        model.log_scale.fill_(-0.4)
    return model
