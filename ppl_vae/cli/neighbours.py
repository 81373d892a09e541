"""``ppl-vae sample RUN neighbours``: the nearest images in latent space."""

from typing import Literal

import torch
from tyro.conf import Positional

from ppl_vae.cli.sample import Made, caption, shown_in
from ppl_vae.cli.walks import Rows, Walk, rows_of
from ppl_vae.predictive import walks as latent_walks
from ppl_vae.predictive.rendering import strips_of
from ppl_vae.runs.opened import OpenedRun, SplitName
from ppl_vae.runtime.config import Count, Few, config
from ppl_vae.runtime.errors import UserError


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

    def make(self, opened: OpenedRun) -> Made:
        """Encode both, compare."""
        data = self.data(opened)
        rows = rows_of(self.images, data, "--images")
        queries = self.encode(opened, data, rows)
        others = self.data(opened, self.among, self.limit)
        own = int(self.among == self.split)
        if self.count + own > len(others):
            raise UserError(f"--count {self.count}: there are only {len(others)} datapoints to look through.")
        candidates = self.encode(opened, others, torch.arange(len(others), device=opened.device))
        index, distance = latent_walks.nearest(queries.codes, candidates.codes, self.count + own)
        if own:  # the query itself wherever it stands: another image may have the very same code
            kept = (index != rows[:, None]).float().argsort(dim=1, descending=True, stable=True)[:, : self.count]
            index, distance = index.gather(1, kept), distance.gather(1, kept)
        words: tuple[str, ...] = ()
        if queries.y is not None and candidates.y is not None:
            shares = (candidates.y[index] == queries.y[:, None]).float().mean(1)  # an image's neighbours go together
            error = "" if len(rows) < 2 else f" ± {shares.std() / len(rows) ** 0.5:.0%}"
            words = (f"labels   {shares.mean():.0%}{error} of the {self.count} neighbours of {len(rows)} images agree",)
        figure = strips_of(
            opened.info,
            torch.cat([queries.shown[:, None], candidates.shown[index]], 1),
            [f"{self.split} {row}" for row in rows.tolist()],
            ["image", *map(str, range(1, self.count + 1))],
            caption(
                opened,
                f"{self.split} images and, by distance of the means of q(z | x), the nearest of the {self.among} split"
                f"{shown_in(opened)}.",
            ),
        )
        arrays = {"images": rows, "observations": queries.x, "neighbours": index, "distance": distance}
        arrays["x"] = candidates.x[index]  # (M, count, *event)
        return Made(arrays, figure, words)
