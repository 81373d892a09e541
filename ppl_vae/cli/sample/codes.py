"""``ppl-vae sample RUN codes``: several codes of one image."""

from typing import Literal

from tyro.conf import Positional

from ppl_vae import predictive
from ppl_vae.cli.sample.walks import Rows, Walk
from ppl_vae.data.labels import Label
from ppl_vae.predictive import Samples
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runtime.config import Count, config


@config
class Codes(Walk):
    """Several codes of one image, decoded: arrays images, observations, z, means.

    examples:
      ppl-vae sample runs/digits-1 codes
      ppl-vae sample runs/digits-1 codes --images 3 5 --num-draws 12
    """

    what: Positional[Literal["codes"]]
    """Draw several codes of each image."""
    images: Rows = ()
    """Rows of the split; by default the first five."""
    num_draws: Count = 8
    """How many z ~ q(z given x) of each."""
    label: Label | None = None
    """Label that a conditional model decodes with; by default the image's own."""

    def make(self, opened: OpenedRun) -> Samples:
        """Encode the images, draw, decode."""
        return predictive.several_codes(*opened.pair, opened.split(self.split), opened.info, **self.asked(opened))
