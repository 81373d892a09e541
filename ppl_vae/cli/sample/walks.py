"""``ppl-vae sample RUN interpolate | traverse``: walks through latent space."""

from dataclasses import field, fields
from typing import Any, Literal

from tyro.conf import Positional

from ppl_vae import predictive
from ppl_vae.cli.sample.base import Sampling, unseen
from ppl_vae.data.labels import Label
from ppl_vae.diagnostics.units import units
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive import Samples
from ppl_vae.predictive.latent_space.walks import CodeKind, Path, Span, Steps
from ppl_vae.runs.opened import OpenedRun, SplitName
from ppl_vae.runtime.config import CountOrZero, Few, config
from ppl_vae.runtime.errors import UserError

_NUM_FOR_KL = 500  # datapoints that a unit's KL is the mean over
Rows = tuple[CountOrZero, ...]


@config
class Walk(Sampling):
    """What all share that encode images of a split."""

    split: SplitName = "test"
    """Where the images come from."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference, where the guide has no answer to unseen data."""

    def asked(self, opened: OpenedRun) -> dict[str, Any]:
        """What the library is asked for, by name: the settings of this kind, and how the images are met."""
        shared = {each.name for each in fields(Walk)}
        own = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in shared}
        return {**own, "split": self.split, "seed": self.seed, "unseen": unseen(opened, self.infer)}


@config
class Interpolate(Walk):
    """The way from an image's code to the next one's, decoded: arrays images, observations, z, means.

    examples:
      ppl-vae sample runs/digits-1 interpolate
      ppl-vae sample runs/digits-1 interpolate --images 0 5 9 --path spherical --steps 12
      ppl-vae sample runs/digits-1 interpolate --codes samples --seed 3
    """

    what: Positional[Literal["interpolate"]]
    """Walk from image to image."""
    images: Rows = ()
    """Rows of the split, two or more; by default the first and the next one of another label."""
    path: Path = "linear"
    """The straight line, or a great circle, which keeps to lengths that the prior has."""
    codes: CodeKind = "means"
    """The codes: means of q(z given x), or samples of it."""
    steps: Steps = 10
    """Images on each way, both ends included."""
    label: Label | None = None
    """Label that a conditional model decodes with; by default that of the image where a way begins."""

    def make(self, opened: OpenedRun) -> Samples:
        """Encode the images, walk, decode."""
        return predictive.interpolate(*opened.pair, opened.split(self.split), opened.info, **self.asked(opened))


@config
class Traverse(Walk):
    """One unit of the latent after the other, from -span to span, by its KL.

    Arrays units, kl, kl_stderr, values, z, means.

    examples:
      ppl-vae sample runs/mnist traverse
      ppl-vae sample runs/mnist traverse --image 5 --num-units 20 --span 2
    """

    what: Positional[Literal["traverse"]]
    """Move one unit at a time."""
    image: CountOrZero | None = None
    """Row of the split whose code the other units keep; by default they are 0, the prior's mean."""
    num_units: Few = 10
    """How many units, those of largest KL first."""
    span: Span = 3.0
    """From -span to span."""
    steps: Steps = 9
    """Values of each unit."""
    label: Label | None = None
    """Label of a conditional model; by default the image's."""

    def make(self, opened: OpenedRun) -> Samples:
        """Order the units, walk, decode."""
        data = opened.split(self.split)
        few = data.head(_NUM_FOR_KL).fixed(self.seed)
        if len(few) < 2:
            raise UserError("a unit's KL is a mean over data, and this split has one datapoint; name another --split.")
        used = units(opened.pair.model, unseen(opened, self.infer, "KL")(few), few)
        return predictive.traverse(*opened.pair, data, opened.info, used, **self.asked(opened))
