"""``ppl-vae sample RUN arithmetic``: images moved along a direction of latent space."""

from typing import Annotated, Literal

from pydantic import Field
from tyro.conf import Positional

from ppl_vae import predictive
from ppl_vae.cli.sample.walks import Rows, Walk
from ppl_vae.data.labels import Label
from ppl_vae.predictive import Samples
from ppl_vae.predictive.latent_space.directions import STRENGTHS
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runtime.config import Count, config

Strength = Annotated[float, Field(ge=-1e6, le=1e6)]


@config
class Arithmetic(Walk):
    """Images moved along a direction of latent space: arrays images, observations, direction, strengths, z, means.

    The direction is the mean code of one label less that of another, or an image's code less another's.

    examples:
      ppl-vae sample runs/digits-1 arithmetic --from-label 4 --to-label 9
      ppl-vae sample runs/digits-1 arithmetic --images 3 --subtract 7 --add 12
      ppl-vae sample runs/digits-1 arithmetic --from-label 1 --to-label 0 --strengths -1 0 1 2
    """

    what: Positional[Literal["arithmetic"]]
    """Add a direction to images."""
    from_label: Label | None = None
    """Subtract the mean code of this label."""
    to_label: Label | None = None
    """Add the mean code of this label."""
    subtract: Rows = ()
    """Subtract the mean code of these rows of the split."""
    add: Rows = ()
    """Add the mean code of these rows of the split."""
    images: Rows = ()
    """Rows of the split to move; by default the first six, of --from-label where that is given."""
    strengths: tuple[Strength, ...] = STRENGTHS
    """Multiples of the direction that are added; 0 is the image's own code, 1 takes the one mean to the other."""
    limit: Count = 2000
    """How many datapoints of the split the mean codes of labels are taken over."""

    def make(self, opened: OpenedRun) -> Samples:
        """Find the direction, move, decode."""
        return predictive.arithmetic(*opened.pair, opened.split(self.split), opened.info, **self.asked(opened))
