"""``ppl-vae sample RUN prior | posterior | conditional | grid``: draws from the predictive distributions."""

from dataclasses import field
from typing import Literal

from tyro.conf import Positional

from ppl_vae import predictive
from ppl_vae.cli.sample.base import Sampling, unseen
from ppl_vae.data.conditions import said_as
from ppl_vae.data.labels import Label
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive import Samples
from ppl_vae.predictive.latent_space.planes import Spacing
from ppl_vae.predictive.latent_space.walks import Span, Steps
from ppl_vae.predictive.rendering import takes_labels
from ppl_vae.runs.opened import OpenedRun, SplitName
from ppl_vae.runtime.config import Count, config
from ppl_vae.runtime.errors import UserError


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

    def make(self, opened: OpenedRun) -> Samples:
        """Sample."""
        if takes_labels(opened.pair.model, opened.info):
            raise UserError("this model is conditional on labels; sample conditional, with or without --label.")
        return predictive.prior(opened.pair.model, opened.info, self.num_samples)


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

    def make(self, opened: OpenedRun) -> Samples:
        """Sample."""
        data = opened.split(self.split, self.num_samples)
        guide_for = unseen(opened, self.infer)
        return predictive.posterior(*opened.pair, data, opened.info, self.split, self.seed, guide_for)


@config
class Conditional(Sampling):
    """z ~ p(z), x ~ p(x | z, y, c): arrays z, means, x of one label and conditions; of labels without --label the
    means of a sheet, which has a row for each label that training saw, at most 50, and a z for each column.

    examples:
      ppl-vae sample runs/by-label conditional
      ppl-vae sample runs/by-label conditional --label 7
      ppl-vae sample runs/by-age conditional --at age=40 dose=1
    """

    what: Positional[Literal["conditional"]]
    """The predictive distribution of a conditional model."""
    num_samples: Count = 64
    """How many draws; of the sheet, how many columns, at most 12."""
    label: Label | None = None
    """The label y."""
    at: tuple[str, ...] = ()
    """Conditions, as age=40 dose=1; the others are at their mean in training."""

    def make(self, opened: OpenedRun) -> Samples:
        """Sample."""
        return predictive.conditional(opened.pair.model, opened.info, self.num_samples, self.label, said_as(self.at))


@config
class Grid(Sampling):
    """E[x | z] on a 2-D latent plane, decoded on a grid: arrays z, the values along either axis, and means.

    examples:
      ppl-vae sample runs/digits-1 grid --steps 30
      ppl-vae sample runs/digits-1 grid --spacing quantiles
      ppl-vae sample runs/by-label grid --label 3
    """

    what: Positional[Literal["grid"]]
    """The latent plane."""
    steps: Steps = 20
    """Points in each direction."""
    span: Span = 3.0
    """Equal spacing: from -span to span in each direction."""
    spacing: Spacing = "equal"
    """Where the points lie: equally spaced, or at quantiles of the prior N(0, 1), each with as much mass around it."""
    label: Label | None = None
    """The label of a conditional model."""

    def make(self, opened: OpenedRun) -> Samples:
        """Decode the plane."""
        settings = self.steps, self.span, self.spacing, self.label
        return predictive.grid(opened.pair.model, opened.info, *settings)
