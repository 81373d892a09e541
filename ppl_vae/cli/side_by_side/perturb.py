"""``ppl-vae perturb``: codes of images moved step by step, what several runs decode from them."""

from ppl_vae.cli.side_by_side.base import Laid
from ppl_vae.predictive.latent_space.perturbations import Span, Steps
from ppl_vae.reports.side_by_side import perturbed_codes_of_runs
from ppl_vae.runs.opened import SplitName
from ppl_vae.runtime.config import Count, CountOrZero, config


@config
class Perturb(Laid):
    """Move codes of images step by step in one random direction, and decode: of several runs, on one scale.

    The unit s is a standard deviation of q(z given x) at the image; an autoencoder, which has none, takes the same
    fraction of its codes' spread. Arrays images, observations, steps, and of run k direction_k, lengths_k (of s), z_k,
    means_k.

    examples:
      ppl-vae perturb runs/autoencoder runs/vae --images 0 1 2 --span 8
    """

    images: tuple[CountOrZero, ...] = ()
    """Rows of the split; by default the first three."""
    steps: Steps = 9
    """Decoded codes of each image, its own the first."""
    span: Span = 4.0
    """How far the last is off, in units s."""
    limit: Count = 2000
    """How many datapoints the codes' spread is taken over."""
    split: SplitName = "test"
    """Where the images come from."""
    lay = staticmethod(perturbed_codes_of_runs)
