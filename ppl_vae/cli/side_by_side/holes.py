"""``ppl-vae holes``: the latent planes of several runs side by side, and what decodes from the empty places."""

from ppl_vae.cli.side_by_side.base import Laid
from ppl_vae.predictive.latent_space.planes import NumPlaces
from ppl_vae.reports.side_by_side import planes_of_runs
from ppl_vae.runs.opened import SplitName
from ppl_vae.runtime.config import Count, config


@config
class Holes(Laid):
    """Lay the latent planes of runs side by side, with what decodes from the largest empty places among their codes.

    A plain autoencoder leaves such places between its clusters, and its decoder has learned nothing of them. The runs'
    latents are of size 2.

    Arrays, for run k = 0, 1, ...: codes_k, places_k, radii_k (of the empty discs), means_k; and labels.

    examples:
      ppl-vae train --latent-dim 2 --family point --kl-weight 0 --out runs/autoencoder
      ppl-vae train --latent-dim 2 --out runs/vae
      ppl-vae holes runs/autoencoder runs/vae
    """

    num_places: NumPlaces = 8
    """How many empty places of each, the largest first."""
    limit: Count = 2000
    """How many datapoints' codes."""
    split: SplitName = "test"
    """Where they come from."""
    lay = staticmethod(planes_of_runs)
