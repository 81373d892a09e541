"""Pyro's own inference on a few datapoints of a trained model, as references for ours: AutoGuides and NUTS.

A reference takes each datapoint by itself, with fresh parameters, in Pyro's own words; nothing here is fast.
"""

from pathlib import Path
from typing import Any

import torch
from pyro.infer import MCMC, NUTS, Trace_ELBO
from pyro.infer.autoguide import AutoIAFNormal, AutoMultivariateNormal, AutoNormal
from torch import nn
from tqdm import tqdm

from ppl_vae.evaluation import Estimate, elbo
from ppl_vae.figures.numbers import with_error
from ppl_vae.guides import Diagonal
from ppl_vae.guides.unseen import fit_locally, guide_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive.draws import expected_reconstruction
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import modules_behind
from ppl_vae.programs.program import local_params, make_local
from ppl_vae.runs.opened import open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runtime.seeding import seeded

_STEPS, _RATE = 600, 0.02
_NUM_SAMPLES = 200


def reference_rows(path: Path, opening: Opening, count: int, settings: InferConfig) -> dict[str, Any]:
    """ELBOs of our guides and of Pyro's on the first test datapoints of a run, and NUTS's posterior.

    Args:
        path: the run.
        opening: where its data is now.
        count: how many datapoints.
        settings: of our local inference.

    Returns:
        a title and a text by name.
    """
    opened = open_run(path, "cpu", opening)
    model, guide = opened.pair
    model.requires_grad_(False)
    data = opened.split("test", count).fixed(0)
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
    title = (
        f"References on the first {len(data)} test datapoints of {path.name}: ELBO, ± standard error over datapoints."
    )
    return {"title": title, "rows": rows}


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
