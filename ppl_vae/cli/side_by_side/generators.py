"""``ppl-vae generators``: what baselines and trained models generate, side by side."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

from pydantic import Field
from tyro.conf import Positional

from ppl_vae.reports.side_by_side import draws_of_runs
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_arrays, write_samples
from ppl_vae.runtime.config import Seed, config

_Few = Annotated[int, Field(ge=1, le=50)]


@config
class Generators:
    """Lay draws of baselines and of trained models side by side, under test data of the same set.

    The pictures are free of pixel noise: E[x | z] of a model, z from its prior; of a baseline E[x | t], t its principal
    components. Arrays: data, and means_k of run k = 0, 1, ...

    examples:
      ppl-vae baseline gaussian --out runs/gaussian
      ppl-vae baseline mixture --out runs/mixture
      ppl-vae train --out runs/vae
      ppl-vae generators runs/gaussian runs/mixture runs/vae
    """

    run_directories: Positional[tuple[Path, ...]]
    """Run directories of 'ppl-vae baseline' and 'ppl-vae train' on the same data."""
    rows: _Few | None = None
    """Rows of draws of each, 2 by default; with --by-label there is one for each label."""
    columns: _Few = 10
    """Draws in a row."""
    by_label: bool = False
    """A row for each label, of baselines and conditional models."""
    out: Path | None = None
    """The .npz to write, with a picture (.png, .svg) beside it; by default generators-N.npz here."""
    seed: Seed = 0
    """Seed of the draws."""
    opening: Opening = field(default_factory=Opening)
    """Where the runs' data is now, and whether their own code may run."""
    device: str = "auto"
    """Where trained models compute: auto, cpu, cuda, cuda:1, mps."""

    def run(self) -> None:
        """Sample, write, draw."""
        refuse_existing_arrays(self.out or _free())
        found = draws_of_runs(
            self.run_directories,
            self.rows,
            self.columns,
            by_label=self.by_label,
            seed=self.seed,
            device=self.device,
            opening=self.opening,
        )
        out = write_samples(self.out, _free, *found)
        print(f"arrays   {out}")
        print(f"picture  {out.with_suffix('.png')}")


def _free() -> Path:
    return numbered(Path(), "generators", ".npz", ".png", ".svg")
