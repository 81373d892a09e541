"""The pictures that every run gets."""

from pathlib import Path

import torch

from ppl_vae import figures
from ppl_vae.app.pair import Pair
from ppl_vae.app.run import Run
from ppl_vae.data import Splits
from ppl_vae.predictive import (
    latent_grid,
    plane_site,
    posterior_moments,
    posterior_predictive,
    prior_predictive,
)
from ppl_vae.seeding import seeded

_NUM_RECONSTRUCTIONS = 10
_NUM_PRIOR = 64
_NUM_CODES = 2000


def draw_run(run: Run, pair: Pair, splits: Splits) -> list[Path]:
    """Draw what a run has learned into its ``figures/``: training, reconstructions, prior predictive, latent space.

    Returns:
        the files.
    """
    model, guide = pair
    device = next(model.parameters()).device
    name, split = ("test", splits.test) if splits.test else ("training", splits.train)
    data = split.head(_NUM_CODES).to(device)
    shape = data.event_shape
    title = f"{run.record.config.data.data}: {run.record.config.pair.model} × {run.record.config.pair.guide}"
    drawn = {"training": figures.training_curves(run.history(), caption=title)}
    with seeded(0, device):
        batch = data.batch(torch.arange(len(data), device=device))
        few = data.batch(batch.index[:_NUM_RECONSTRUCTIONS])
        means = posterior_predictive(model, guide, few).means[0].cpu()
        drawn["reconstructions"] = figures.reconstructions(
            data.head(len(means)).x.cpu(),
            means,
            caption=f"{title}. {name.title()} data; below, E[x | z], z ~ q(z | x).",
        )
        prior = prior_predictive(model, shape, _NUM_PRIOR).means.cpu()
        drawn["prior"] = figures.sheet(prior, caption=f"{title}. Prior predictive: E[x | z] for z ~ p(z).")
        moments = posterior_moments(guide, batch)
    codes = torch.cat([site.mean.flatten(1) for site in moments.values()], dim=1).cpu()
    drawn["latent"] = figures.latent_scatter(
        codes, None if batch.y is None else batch.y.cpu(), caption=f"{title}. Means of q(z | x), {name} data."
    )
    if plane_site(model, shape):
        images = latent_grid(model, shape).cpu()
        drawn["grid"] = figures.grid(images, -3, 3, caption=f"{title}. E[x | z] over the latent plane.")
    paths = []
    for stem, figure in drawn.items():
        paths.append(run.figures / f"{stem}.png")
        figures.save(figure, paths[-1])
    return paths
