"""``ppl-vae sample``: draws from the predictive distributions, as arrays and as a picture."""

from dataclasses import field
from pathlib import Path
from typing import Annotated, Literal

import torch
from matplotlib.figure import Figure
from pydantic import Field
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.app.fitted import guide_for
from ppl_vae.app.opened import OpenedRun, open_run
from ppl_vae.app.paths import numbered, refuse_existing_file, write_arrays
from ppl_vae.config import Count, CountOrZero, Seed, config
from ppl_vae.errors import UserError
from ppl_vae.inference import InferConfig
from ppl_vae.models import ConditionalVAE
from ppl_vae.predictive import label_sheet, latent_grid, plane_site, posterior_predictive, prior_predictive
from ppl_vae.seeding import seeded

Arrays = dict[str, torch.Tensor]
_SHEET_COLUMNS = 12


@config
class Sample:
    """Sample a predictive distribution of a trained model: arrays in an .npz, and a picture beside it.

    prior: z ~ p(z), x ~ p(x | z); arrays z, means, x.

    posterior: z ~ q(z | observation), x ~ p(x | z); arrays observations, z, means, x.

    conditional: z ~ p(z), x ~ p(x | z, y) with y by --label; without it the means of a sheet, a row for each
    label and a z for each column.

    grid: means on the plane of a 2-D latent, cut into squares.

    Means are E[x | z], for pixels the probability of being lit.

    examples:
      ppl-vae sample runs/digits-1 prior --num-samples 100
      ppl-vae sample runs/digits-1 posterior --num-samples 20 --split train
      ppl-vae sample runs/digits-1 grid --steps 30 --out grid.npz
      ppl-vae sample runs/by-label conditional --label 7
    """

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    what: Positional[Literal["prior", "posterior", "conditional", "grid"]]
    """Which distribution."""
    num_samples: Count = 64
    """Prior, conditional: how many draws. Posterior: how many observations, each drawn once."""
    label: CountOrZero | None = None
    """The label of a conditional model's draws."""
    split: Literal["test", "validation", "train"] = "test"
    """Posterior: where the observations come from."""
    steps: Annotated[int, Field(ge=2, le=1000)] = 20
    """Grid: points in each direction."""
    span: Annotated[float, Field(gt=0, le=1e3)] = 3.0
    """Grid: from -span to span in each direction."""
    out: Path | None = None
    """The .npz to write, with a .png beside it; by default the next free RUN/samples/WHAT-N.npz."""
    seed: Seed = 0
    """Seed of the draws."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference, where the guide has no answer to unseen data."""

    def run(self) -> None:
        """Sample, write, draw."""
        if self.out:
            if self.out.suffix != ".npz":
                raise UserError(f"--out {self.out}: name a file that ends in .npz.")
            refuse_existing_file(self.out)
            refuse_existing_file(self.out.with_suffix(".png"))
        opened = open_run(self.run_directory, self.device)
        if self.label is not None and self.what != "conditional":
            self._check_label(opened)
        with seeded(self.seed, opened.device):
            make = {
                "prior": self._prior,
                "posterior": self._posterior,
                "conditional": self._conditional,
                "grid": self._grid,
            }[self.what]
            arrays, figure = make(opened)
        out = self.out or self._default_out(opened)
        write_arrays(out, {name: value.cpu().numpy() for name, value in arrays.items()})
        figures.save(figure, out.with_suffix(".png"))
        print(f"arrays   {out}: " + ", ".join(f"{name} {tuple(value.shape)}" for name, value in arrays.items()))
        print(f"picture  {out.with_suffix('.png')}")

    def _default_out(self, opened: OpenedRun) -> Path:
        folder = opened.run.path / "samples"
        folder.mkdir(exist_ok=True)
        return numbered(folder, self.what, ".npz", ".png")

    def _prior(self, opened: OpenedRun) -> tuple[Arrays, Figure]:
        if isinstance(opened.pair.model, ConditionalVAE):
            raise UserError("this model is conditional on labels; sample conditional, with or without --label.")
        draws = prior_predictive(opened.pair.model, opened.event_shape, self.num_samples)
        figure = figures.sheet(draws.means.cpu(), caption="Prior predictive: E[x | z] for z ~ p(z).")
        return {**draws.latents, "means": draws.means, "x": draws.x}, figure

    def _posterior(self, opened: OpenedRun) -> tuple[Arrays, Figure]:
        data = opened.split(self.split, self.num_samples).fixed(self.seed)
        batch = data.batch(torch.arange(len(data), device=opened.device))
        guide = guide_for(*opened.pair, data, self.infer)
        draws = posterior_predictive(opened.pair.model, guide, batch)
        latents = {name: value[0] for name, value in draws.latents.items()}
        figure = figures.reconstructions(
            batch.x.cpu(), draws.means[0].cpu(), caption=f"{self.split} data; below, E[x | z] for one z ~ q(z | x)."
        )
        return {"observations": batch.x, **latents, "means": draws.means[0], "x": draws.x[0]}, figure

    def _conditional(self, opened: OpenedRun) -> tuple[Arrays, Figure]:
        model, classes = opened.pair.model, opened.run.record.info.num_classes
        if not isinstance(model, ConditionalVAE):
            raise UserError("this run's model takes no labels; train one with --model conditional.")
        if self.label is None:
            columns = min(self.num_samples, _SHEET_COLUMNS)
            sheet = label_sheet(model, opened.event_shape, classes, columns)
            caption = "E[x | z, y]: a row for each label y, a column for each z ~ p(z)."
            return {"means": sheet}, figures.sheet(sheet.flatten(0, 1).cpu(), caption=caption, columns=columns)
        self._check_label(opened)
        y = torch.full((self.num_samples,), self.label, device=opened.device)
        draws = prior_predictive(model, opened.event_shape, self.num_samples, y)
        figure = figures.sheet(draws.means.cpu(), caption=f"E[x | z, y = {self.label}] for z ~ p(z).")
        return {**draws.latents, "means": draws.means, "x": draws.x}, figure

    def _check_label(self, opened: OpenedRun) -> None:
        classes = opened.run.record.info.num_classes
        if not isinstance(opened.pair.model, ConditionalVAE):
            raise UserError("--label: this run's model takes no labels; train one with --model conditional.")
        if self.label is not None and self.label >= classes:
            raise UserError(f"--label {self.label}: the labels of this run are 0 to {classes - 1}.")

    def _grid(self, opened: OpenedRun) -> tuple[Arrays, Figure]:
        model = opened.pair.model
        if not plane_site(model, opened.event_shape):
            raise UserError("a grid needs one latent of size 2; train with --latent-dim 2.")
        if isinstance(model, ConditionalVAE) and self.label is None:
            raise UserError("this model is conditional on labels; say which by --label.")
        means = latent_grid(model, opened.event_shape, self.steps, self.span, self.label)
        figure = figures.grid(means.cpu(), -self.span, self.span, caption="E[x | z] over the latent plane.")
        return {"means": means}, figure
