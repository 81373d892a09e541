"""``ppl-vae sample RUN prior | posterior | conditional | grid``: draws from the predictive distributions."""

from dataclasses import field
from typing import Annotated, Literal

import torch
from pydantic import Field
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.cli.sample import Made, Sampling, caption, label_number
from ppl_vae.data.info import example
from ppl_vae.data.labels import number_of, rows_of
from ppl_vae.guides.unseen import guide_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive.draws import (
    has_standard_normal_prior,
    label_sheet,
    latent_grid,
    plane_site,
    posterior_predictive,
    prior_predictive,
)
from ppl_vae.predictive.rendering import centre, image_of, images_of, is_drawn, shown_of, strips_of, takes_labels
from ppl_vae.predictive.walks import prior_quantiles
from ppl_vae.runs.opened import OpenedRun, SplitName
from ppl_vae.runtime.config import Count, CountOrZero, config
from ppl_vae.runtime.errors import UserError

_SHEET_COLUMNS = 12


@config
class Prior(Sampling):
    """z ~ p(z), x ~ p(x | z): arrays z, means, x, and a sheet of the means E[x | z].

    examples:
      ppl-vae sample runs/digits-1 prior --num-samples 100
    """

    what: Positional[Literal["prior"]]
    """The prior predictive distribution."""
    num_samples: Count = 64
    """How many draws."""

    def make(self, opened: OpenedRun) -> Made:
        """Sample."""
        if takes_labels(opened.pair.model, opened.info):
            raise UserError("this model is conditional on labels; sample conditional, with or without --label.")
        draws = prior_predictive(opened.pair.model, opened.event_shape, self.num_samples)
        shown, words = shown_of(opened.pair.model, opened.info, draws)
        figure = figures.sheet(image_of(opened.info, shown), caption(opened, f"Prior predictive: {words}."))
        return Made({**draws.latents, "means": draws.means, "x": draws.x}, figure, sequences={"x": draws.x})


@config
class Posterior(Sampling):
    """z ~ q(z | observation), x ~ p(x | z): arrays observations, z, means, x, and pairs of observation and mean.

    examples:
      ppl-vae sample runs/digits-1 posterior --num-samples 20 --split train
    """

    what: Positional[Literal["posterior"]]
    """The posterior predictive distribution."""
    num_samples: Count = 64
    """How many observations, each drawn once."""
    split: SplitName = "test"
    """Where the observations come from."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference, where the guide has no answer to unseen data."""

    def make(self, opened: OpenedRun) -> Made:
        """Sample."""
        data = opened.split(self.split, self.num_samples).fixed(self.seed)
        batch = data.batch(torch.arange(len(data), device=opened.device))
        guide = guide_for(*opened.pair, data, self.infer)
        draws = posterior_predictive(opened.pair.model, guide, batch)
        latents = {name: value[0] for name, value in draws.latents.items()}
        drawn = is_drawn(opened.pair.model, opened.info)
        reconstructed = draws.x[0] if drawn else draws.means[0]
        what = "x ~ p(x | z)" if drawn else centre(opened.pair.model, opened.info)
        words = caption(opened, f"{self.split} data; below, {what} for one z ~ q(z | x).")
        above, below = images_of(opened.info, batch.x, reconstructed)
        figure = figures.reconstructions(above, below, words)
        arrays = {"observations": batch.x, **latents, "means": draws.means[0], "x": draws.x[0]}
        return Made(arrays, figure, sequences={"observation": batch.x, "reconstruction": reconstructed})


@config
class Conditional(Sampling):
    """z ~ p(z), x ~ p(x | z, y): arrays z, means, x of one label; without --label the means of a sheet.

    The sheet has a row for each label that training saw, at most 50, and a z for each column.

    examples:
      ppl-vae sample runs/by-label conditional
      ppl-vae sample runs/by-label conditional --label 7
    """

    what: Positional[Literal["conditional"]]
    """The predictive distribution of a conditional model."""
    num_samples: Count = 64
    """How many draws; of the sheet, how many columns, at most 12."""
    label: CountOrZero | None = None
    """The label y."""

    def make(self, opened: OpenedRun) -> Made:
        """Sample."""
        model = opened.pair.model
        if not takes_labels(model, opened.info):
            raise UserError("this run's model takes no labels; train one with --model conditional.")
        if self.label is None:
            columns = min(self.num_samples, _SHEET_COLUMNS)
            rows = rows_of(opened.info)
            sheet = label_sheet(model, opened.event_shape, rows.numbers, columns)
            words = caption(opened, f"E[x | z, y]: {rows.words}, a column for each z ~ p(z).")
            figure = strips_of(opened.info, sheet, [f"y = {name}" for name in rows.names], (), words)
            return Made({"means": sheet}, figure)
        y = torch.full((self.num_samples,), number_of(opened.info, self.label, "label"), device=opened.device)
        draws = prior_predictive(model, opened.event_shape, self.num_samples, y)
        words = caption(opened, f"E[x | z, y = {self.label}] for z ~ p(z).")
        figure = figures.sheet(image_of(opened.info, draws.means), words)
        return Made({**draws.latents, "means": draws.means, "x": draws.x}, figure)


@config
class Grid(Sampling):
    """E[x | z] on the plane of a 2-D latent, cut into squares: arrays z, the values along either axis, and means.

    examples:
      ppl-vae sample runs/digits-1 grid --steps 30
      ppl-vae sample runs/digits-1 grid --spacing quantiles
      ppl-vae sample runs/by-label grid --label 3
    """

    what: Positional[Literal["grid"]]
    """The latent plane."""
    steps: Annotated[int, Field(ge=2, le=1000)] = 20
    """Points in each direction."""
    span: Annotated[float, Field(gt=0, le=1e3)] = 3.0
    """Equal spacing: from -span to span in each direction."""
    spacing: Literal["equal", "quantiles"] = "equal"
    """Where the points lie: equally spaced, or at quantiles of the prior N(0, 1), each with as much mass around it."""
    label: CountOrZero | None = None
    """The label of a conditional model."""

    def make(self, opened: OpenedRun) -> Made:
        """Decode the plane."""
        model = opened.pair.model
        number = label_number(opened, self.label)
        if not plane_site(model, opened.event_shape):
            raise UserError("a grid needs one latent of size 2; train a model of one latent with --latent-dim 2.")
        if self.label is None and takes_labels(model, opened.info):
            raise UserError("this model is conditional on labels; say which by --label.")
        if self.spacing == "quantiles" and not has_standard_normal_prior(
            model, example(opened.run.record.info, opened.device)
        ):
            raise UserError("--spacing quantiles is for the prior N(0, I), and this model has another; use equal.")
        given = "z" if self.label is None else f"z, y = {self.label}"
        if self.spacing == "equal":
            axis = torch.linspace(-self.span, self.span, self.steps)
            low, high, names = -self.span, self.span, ("z1", "z2")
            words = f"{centre(model, opened.info, given)} over the latent plane."
        else:
            axis = prior_quantiles(self.steps)
            low, high, names = 0.5 / self.steps, 1 - 0.5 / self.steps, ("Φ(z1)", "Φ(z2)")
            words = (
                f"{centre(model, opened.info, given)} at quantiles of the prior N(0, 1), Φ its distribution function: "
                "all cells have the same mass."
            )
        means = latent_grid(model, opened.event_shape, axis, number)
        figure = figures.grid(image_of(opened.info, means), low, high, caption(opened, words), names)
        return Made({"z": axis, "means": means}, figure)
