"""The nearest observations in latent space."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described
from ppl_vae.predictive.latent_space.codes import GuideFor, encode, rows_among, saw_bits
from ppl_vae.predictive.rendering import strips_of
from ppl_vae.predictive.samples import Samples
from ppl_vae.predictive.tidy import tidy
from ppl_vae.predictive.wording import observation
from ppl_vae.runtime.config import Count, Few, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.shown import Columned, Columns, Names


@in_range
def neighbours(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: Described,
    among: Dataset | None = None,
    images: Sequence[int] = (0, 1, 2, 3, 4, 5),
    count: Few = 10,
    limit: Count = 10_000,
    split: str = "test",
    among_split: str = "train",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> Samples:
    """The nearest codes, means of q(z | x), to some observations': images, observations, neighbours, distance, x.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: where the observations come from.
        info: of the training data, or what :func:`ppl_vae.load` gave.
        among: other data that is looked through; the same if None, where no observation is its own neighbour.
        images: rows of the data whose neighbours are looked for.
        count: neighbours of each.
        limit: look only through the first so many.
        split: what the caption calls the data.
        among_split: what it calls the data that is looked through.
        seed: of the bits of grey levels.
        unseen: gives the guide for datapoints that this one may have no answer to.

    Raises:
        UserError: no such row, or more neighbours than datapoints.
    """
    info = DataInfo.of(info)
    rows = rows_among(images, data, "images")
    queries = encode(model, guide, data, rows, "means", seed, unseen)
    own = int(among is None)
    others = (data if among is None else among).head(limit)
    if count + own > len(others):
        raise UserError(f"`count` {count}: there are only {len(others)} datapoints to look through.")
    every = torch.arange(len(others), device=data.device)
    candidates = encode(model, guide, others, every, "means", seed, unseen)
    found = nearest(queries.codes, candidates.codes, count + own)
    index, distance = found.index, found.distance
    if own:  # the query itself wherever it stands: another image may have the very same code
        kept = (index != rows[:, None]).float().argsort(dim=1, descending=True, stable=True)[:, :count]
        index, distance = index.gather(1, kept), distance.gather(1, kept)
    words: tuple[str, ...] = ()
    whats = f"{observation(info)}s"
    if queries.y is not None and candidates.y is not None:
        shares = (candidates.y[index] == queries.y[:, None]).float().mean(1)  # an image's neighbours go together
        error = "" if len(rows) < 2 else f" ± {shares.std() / len(rows) ** 0.5:.0%}"
        words = (f"labels   {shares.mean():.0%}{error} of the {count} neighbours of {len(rows)} {whats} agree",)
    arrays = {"images": rows, "observations": queries.x, "neighbours": index, "distance": distance}
    return Samples(
        {**arrays, "x": candidates.x[index]},  # (M, count, *event)
        info,
        f"{split} {whats} and, by distance of the means of q(z | x), the nearest of the {among_split} split"
        f"{saw_bits(data, info)}.",
        lambda caption: strips_of(
            info,
            torch.cat([queries.shown[:, None], candidates.shown[index]], 1),
            [f"{split} {row}" for row in rows.tolist()],
            [observation(info), *map(str, range(1, count + 1))],
            caption,
            (0,),
        ),
        words,
        axes={"index": rows.tolist(), "rank": range(1, count + 1)},
        along=info.names.of_labels(queries.y),
    )


@dataclass(frozen=True, eq=False)
class Neighbours(Columned):
    """The nearest codes to each of some queries, nearest first.

    Args:
        index: rows among the candidates, ``(M, k)``.
        distance: Euclidean, ``(M, k)``.
    """

    index: Tensor
    distance: Tensor

    def columns(self) -> Columns:
        """A row for each query, from 0, and rank, from 1: which candidate, and how far."""
        queries, ranks = (range(size) for size in self.index.shape)
        arrays = {"neighbour": self.index, "distance": self.distance}
        return tidy({"query": queries, "rank": [rank + 1 for rank in ranks]}, arrays, Names(), ())


def nearest(queries: Tensor, candidates: Tensor, count: int) -> Neighbours:
    """Nearest neighbours in latent space.

    Args:
        queries: codes ``(M, D)``.
        candidates: codes ``(N, D)``.
        count: k, at most N.

    Raises:
        ValueError: more neighbours than candidates.
    """
    if count > len(candidates):
        raise ValueError(f"there are {len(candidates)} candidates, so no {count} neighbours.")
    # Not through a matrix product, whose rounding would put a query at a distance from itself.
    distances = torch.cdist(queries, candidates, compute_mode="donot_use_mm_for_euclid_dist")
    distance, index = distances.topk(count, largest=False)
    return Neighbours(index, distance)
