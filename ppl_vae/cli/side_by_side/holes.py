"""``ppl-vae holes``: the latent planes of several runs side by side, and what decodes from the empty places."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import Field
from tyro.conf import Positional

from ppl_vae.reports.side_by_side import planes_of_runs
from ppl_vae.runs.opened import SplitName
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_arrays, write_samples
from ppl_vae.runtime.config import Count, Seed, config


@config
class Holes:
    """Lay the latent planes of runs side by side, with what decodes from the largest empty places among their codes.

    A plain autoencoder leaves such places between its clusters, and its decoder has learned nothing of them.

    Arrays, for run k = 0, 1, ...: codes_k, places_k, radii_k (of the empty discs), means_k; and labels.

    examples:
      ppl-vae train --latent-dim 2 --family point --kl-weight 0 --out runs/autoencoder
      ppl-vae train --latent-dim 2 --out runs/vae
      ppl-vae holes runs/autoencoder runs/vae
    """

    run_directories: Positional[tuple[Path, ...]]
    """Run directories of two-dimensional latents, trained on the same data."""
    num_places: Annotated[int, Field(ge=1, le=40)] = 8
    """How many empty places of each, the largest first."""
    limit: Count = 2000
    """How many datapoints' codes."""
    split: SplitName = "test"
    """Where they come from."""
    out: Path | None = None
    """The .npz to write, with a picture (.png, .svg) beside it; by default holes-N.npz here."""
    seed: Seed = 0
    """Seed of grey levels' bits and of draws."""
    opening: Opening = field(default_factory=Opening)
    """Where the runs' data is now, and whether their own code may run."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""

    def run(self) -> None:
        """Encode, look for empty places, decode, draw."""
        refuse_existing_arrays(self.out or _free())
        found = planes_of_runs(
            self.run_directories,
            self.num_places,
            self.limit,
            self.split,
            seed=self.seed,
            device=self.device,
            opening=self.opening,
        )
        out = write_samples(self.out, _free, *found)
        print(f"arrays   {out}")
        print(f"picture  {out.with_suffix('.png')}")


def _free() -> Path:
    return numbered(Path(), "holes", ".npz", ".png", ".svg")
