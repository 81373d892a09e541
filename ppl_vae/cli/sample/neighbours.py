"""``ppl-vae sample RUN neighbours``: the nearest images in latent space."""

from typing import Literal

from tyro.conf import Positional

from ppl_vae import predictive
from ppl_vae.cli.sample.walks import Rows, Walk
from ppl_vae.predictive import Samples
from ppl_vae.runs.opened import OpenedRun, SplitName
from ppl_vae.runtime.config import Count, Few, config


@config
class Neighbours(Walk):
    """The nearest codes, means of q(z given x), to some images': arrays images, neighbours, distance, observations.

    examples:
      ppl-vae sample runs/digits-1 neighbours
      ppl-vae sample runs/digits-1 neighbours --images 3 4 5 --count 12
    """

    what: Positional[Literal["neighbours"]]
    """Look around images."""
    images: Rows = (0, 1, 2, 3, 4, 5)
    """Rows of the split whose neighbours are looked for."""
    count: Few = 10
    """Neighbours of each."""
    among: SplitName = "train"
    """The split whose images are looked through; an image is not its own neighbour."""
    limit: Count = 10_000
    """Look only through the first so many."""

    def make(self, opened: OpenedRun) -> Samples:
        """Encode both, compare."""
        among = None if self.among == self.split else opened.split(self.among)
        asked = self.asked(opened) | {"among": among, "among_split": self.among}
        return predictive.neighbours(*opened.pair, opened.split(self.split), opened.info, **asked)
