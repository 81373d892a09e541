"""``ppl-vae holes``: the latent planes of several runs side by side, and what decodes from the empty places."""

from dataclasses import field
from pathlib import Path
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from tyro.conf import Positional

from ppl_vae import figures
from ppl_vae.data import Dataset
from ppl_vae.guides.unseen import has_rows
from ppl_vae.predictive.draws import decode, plane_site
from ppl_vae.predictive.holes import empty_places
from ppl_vae.predictive.rendering import image_of, takes_labels
from ppl_vae.predictive.walks import codes_of
from ppl_vae.runs.opened import OpenedRun, SplitName, check_drawable, open_run, refuse_unlike
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import numbered, refuse_existing_arrays, write_new, write_together
from ppl_vae.runtime.config import Count, Seed, config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import seeded


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
        if not self.run_directories:
            raise UserError("name one or more runs: ppl-vae holes RUN RUN.")
        refuse_existing_arrays(self.out or _free())
        opened = [open_run(path, self.device, self.opening) for path in self.run_directories]
        for run in opened:
            check_drawable(run.event_shape)
        records = [run.run.record for run in opened]
        paths = self.run_directories
        refuse_unlike([(p, r.config.data, r.info.fingerprint) for p, r in zip(paths, records, strict=True)])
        arrays: dict[str, Tensor] = {}
        planes, labels = [], None
        for number, run in enumerate(opened):
            data = run.split(self.split, self.limit).fixed(self.seed)
            found = self._plane(run, data)
            name = f"{number + 1}. {run.in_words}" if len(opened) > 1 else run.in_words
            images = image_of(run.info, found["means"])
            planes.append(figures.LatentPlane(name, found["codes"].cpu(), found["places"].cpu(), images))
            arrays |= {f"{key}_{number}": value for key, value in found.items()}
            labels = None if data.y is None else run.info.labels_of(data.y)
        if labels is not None:
            arrays["labels"] = labels
        runs = ", ".join(run.run.path.name for run in opened)
        caption = (
            f"{Path(opened[0].run.record.config.data.data).name} ({runs}). Codes of {len(data):,} {self.split} data "
            "(means of q(z | x)); numbered, the largest empty discs among the nine in ten nearest to their median, "
            "none overlapping a larger one; below, E[x | z] at their centres."
        )
        figure = figures.latent_holes(planes, None if labels is None else labels.cpu(), caption)
        values = {name: value.cpu().numpy() for name, value in arrays.items()}
        out = write_new(self.out, _free, lambda out: write_together(out, values, figure))
        print(f"arrays   {out}")
        print(f"picture  {out.with_suffix('.png')}")

    def _plane(self, opened: OpenedRun, data: Dataset) -> dict[str, Tensor]:
        """Codes ``(N, 2)``, places ``(K, 2)``, radii ``(K,)``, means ``(K, *event)``."""
        model, guide = opened.pair
        path = opened.run.path
        name = plane_site(model, opened.event_shape)
        if not name:
            raise UserError(f"{path}: its latents are no plane; train a model of one latent with --latent-dim 2.")
        if takes_labels(model, opened.info):
            raise UserError(
                f"{path}: a conditional model decodes a place differently for each label; name another run."
            )
        if not has_rows(guide, data):
            raise UserError(f"{path}: its guide knows its training data only; say --split train.")
        with seeded(self.seed, opened.device):
            codes = codes_of(model, guide, data)
            try:
                centres, radii = empty_places(codes.cpu().numpy(), self.num_places)
            except ValueError as error:
                raise UserError(f"{path}: {error} Is it trained? Raise --limit.") from None
            places = torch.from_numpy(centres).to(codes)
            means = decode(model, {name: places}, opened.event_shape)
        return {"codes": codes, "places": places, "radii": torch.from_numpy(radii), "means": means}


def _free() -> Path:
    return numbered(Path(), "holes", ".npz", ".png", ".svg")
