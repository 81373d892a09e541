"""Pyro's own inference on a few datapoints of a trained model, as references for ours: AutoGuides and NUTS.

A reference takes each datapoint by itself, with fresh parameters, in Pyro's own words; nothing here is fast.
"""

import torch
from pyro.infer import MCMC, NUTS, Trace_ELBO
from pyro.infer.autoguide import AutoIAFNormal, AutoMultivariateNormal, AutoNormal
from torch import nn
from tqdm import tqdm

from ppl_vae.data import Dataset
from ppl_vae.estimates import Estimate
from ppl_vae.evaluation import elbo
from ppl_vae.guides import Diagonal
from ppl_vae.guides.unseen import fit_locally, guide_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive.draws import expected_reconstruction
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import modules_behind
from ppl_vae.programs.program import local_params, make_local
from ppl_vae.runtime.seeding import seeded
from ppl_vae.runtime.shown import with_error

_STEPS, _RATE = 600, 0.02
_NUM_SAMPLES = 200


def references(model: nn.Module, guide: nn.Module, data: Dataset, settings: InferConfig) -> dict[str, str]:
    """ELBOs of a trained guide, of ours fitted to each datapoint and of Pyro's, and NUTS's posterior.

    Args:
        model: p(x, z), on the CPU; its parameters are frozen from here on.
        guide: q(z | x), trained with it.
        data: a few datapoints; of randomly binarized data one draw is taken.
        settings: of our local inference.

    Returns:
        by the name of a guide its ELBO in nats per datapoint, ± the standard error over the datapoints.
    """
    model.requires_grad_(False)
    data = data.fixed(0)
    rows = {"its own guide": _text(elbo(model, guide_for(model, guide, data, settings), data, _NUM_SAMPLES).elbo)}
    latents = Latents.of(model, data.probe())
    diagonal = fit_locally(model, Diagonal(latents.size), latents, data, settings).guide
    rows["mean-field, fitted"] = _text(elbo(model, diagonal, data, _NUM_SAMPLES).elbo)
    batches = [data.batch(torch.tensor([row])) for row in range(len(data))]
    make_local(modules_behind([model]))
    with seeded(0), local_params():  # or each AutoGuide would go on from the parameters of the one before
        for kind in (AutoNormal, AutoMultivariateNormal, AutoIAFNormal):
            bar = tqdm(batches, desc=kind.__name__, disable=None, leave=False)
            rows[f"Pyro's {kind.__name__}"] = _text(
                Estimate(torch.stack([_autoguide(model, kind(model), b) for b in bar]))
            )
        bar = tqdm(batches, desc="NUTS", disable=None, leave=False)
        reconstruction = _text(Estimate(torch.stack([_nuts(model, batch) for batch in bar])))
        rows["Pyro's NUTS"] = f"E[log p(x | z)] under the posterior {reconstruction}"
    return rows


def _text(estimate: Estimate) -> str:
    return with_error(estimate.mean, estimate.stderr)


def _autoguide(model: nn.Module, guide: nn.Module, batch: Batch) -> torch.Tensor:
    """The ELBO that one of Pyro's AutoGuides reaches on one datapoint, ``()``."""
    bound = Trace_ELBO()(model, guide)
    bound(batch)  # an AutoGuide makes its parameters at its first call
    optimizer = torch.optim.Adam([param for param in guide.parameters() if param.requires_grad], lr=_RATE)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        bound(batch).backward()
        optimizer.step()
    with torch.no_grad():
        return -torch.stack([bound(batch) for _ in range(_NUM_SAMPLES)]).mean()


def _nuts(model: nn.Module, batch: Batch) -> torch.Tensor:
    """E[log p(x | z)] over NUTS's draws from the posterior of one datapoint, ``()``."""
    chain = MCMC(NUTS(model), num_samples=_NUM_SAMPLES, warmup_steps=_NUM_SAMPLES, disable_progbar=True)
    chain.run(batch)
    return expected_reconstruction(model, chain.get_samples(), batch)
