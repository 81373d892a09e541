"""Codes moved step by step in one random direction, of several pairs on one scale: how far a code may be off."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae import figures
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.latent_space.codes import decode_ways, labels_for, rows_among, saw_bits
from ppl_vae.predictive.latent_space.directions import shifted
from ppl_vae.predictive.latent_space.walks import codes_of
from ppl_vae.predictive.posteriors import posterior_samples
from ppl_vae.predictive.rendering import images_of, is_drawn, strips_of
from ppl_vae.predictive.samples import Samples
from ppl_vae.predictive.wording import is_table, not_seen
from ppl_vae.programs.density import has_density
from ppl_vae.programs.holes import with_gaps
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.rows import has_rows
from ppl_vae.runtime.config import Count, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Pair = tuple[nn.Module, nn.Module]
"""p(x, z) and q(z | x)."""
Steps = Annotated[int, Field(ge=2, le=20)]
"""Codes of an image, as many as a page has room for beside each other."""
Span = Annotated[float, Field(gt=0, le=1e6)]
"""How far the last of them is off, in units of length."""

_SHOWN = 3  # images, where none is named
_DRAWS = 1000  # of each q: its standard deviation is then known to 2 %
_MOST_NAMED = 10  # steps
_TENTH = 0.1  # of the codes' spread, a step where no q has a width


class _Around(NamedTuple):
    """What lies along a direction around a pair's codes.

    Args:
        codes: of the images, means of q(z | x), ``(n, D)``.
        direction: of length 1, ``(D,)``.
        spread: standard deviation of the data's codes along it.
        widths: standard deviation of each image's q(z | x) along it, ``(n,)``; None of points.
    """

    codes: Tensor
    direction: Tensor
    spread: float
    widths: Tensor | None


@in_range
def perturbations(
    pairs: Mapping[str, Pair],
    data: Dataset,
    info: DataInfo,
    images: Sequence[int] = (),
    steps: Steps = 9,
    span: Span = 4.0,
    limit: Count = 2000,
    split: str = "test",
    seed: int = 0,
) -> Samples:
    """E[x | z + t s u] for t from 0 to a span: images, observations, steps; of pair k direction_k, lengths_k, means_k.

    u is one random direction of length 1, the same for all images of a pair and for all pairs of as many latents. s is
    the unit of length, so that pairs are on one scale: where q(z | x) has a density, its standard deviation along u at
    this x. A point has no width; it takes the same fraction of its codes' spread along u, their standard deviation over
    the data, that s is on average over these images in the first pair that has a density. If none has, s is a tenth of
    the codes' spread.

    Args:
        pairs: model and guide by name, trained on the same data, on one device.
        data: where the observations come from.
        info: of the training data.
        images: rows of the data; by default the first three.
        steps: decoded codes of each image, its own the first.
        span: the largest t.
        limit: how many datapoints the codes' spread is taken over.
        split: what the caption calls the data.
        seed: of the direction, of the bits of grey levels, and of the noise of music. A thousand draws of
            each q, from which its width is taken, are from torch's own generator.

    Returns:
        the latents of pair k too, by site, as ``z_k``; a model that reads labels decodes with the image's own.

    Raises:
        UserError: no pair, no such row, a guide without an answer to the data, or codes that are all the same.
    """
    if not pairs:
        raise UserError("name one or more pairs.")
    rows = rows_among(images or range(min(_SHOWN, len(data))), data, "images")
    mask = None if data.mask is None else data.mask[rows]
    shown, data = with_gaps(data.values(rows), mask), data.fixed(seed)
    around = {}
    for name, (model, guide) in pairs.items():
        with _said_of(name):
            around[name] = _around(model, guide, data, rows, limit, seed)
    lengths, said = _lengths(around)
    t = torch.linspace(0, span, steps, device=data.device)
    y = None if data.y is None else data.y[rows]
    arrays: dict[str, Tensor] = {"images": rows, "observations": with_gaps(data.values(rows), mask), "steps": t}
    strips = {}
    for k, (name, (model, _)) in enumerate(pairs.items()):
        codes = shifted(around[name].codes, lengths[name][:, None, None] * around[name].direction, t)
        own = labels_for(model, info, None, y)
        labels = None if own is None else own[:, None].expand(codes.shape[:2])
        made = decode_ways(model, data, info, codes, labels, seed)
        arrays |= {f"{key}_{k}": value for key, value in made.items()}
        arrays |= {f"direction_{k}": around[name].direction, f"lengths_{k}": lengths[name]}
        strips[f"{name}\ns is {said[name][0]}"] = torch.cat([shown[:, None], made.get("x", made["means"])], 1)
    names = [f"{split} {row}" for row in rows.tolist()]
    drawn = any(is_drawn(model, info) for model, _ in pairs.values())
    what = (
        f"{'x ~ p(x | z + t s u) from the same noise' if drawn else 'E[x | z + t s u]'}, z the mean of q(z | x), u a "
        f"random direction; t from 0, the reconstruction, to {span:g}; first x itself{saw_bits(data, info)}. s is "
        + "; ".join(f"of {name} {''.join(said[name])}" for name in pairs)
        + f". The codes' spread is their standard deviation along u over {min(limit, len(data)):,} {split} data."
    )
    return Samples(
        arrays,
        info,
        what,
        lambda caption: _drawn(info, strips, names, t, caption),
        tuple(f"steps    {name}: s is {''.join(said[name])}" for name in pairs),
        axes={"index": rows.tolist(), "t": t.tolist()},
        along=info.names.of_labels(y),
    )


def _around(model: nn.Module, guide: nn.Module, data: Dataset, rows: Tensor, limit: int, seed: int) -> _Around:
    if not has_rows(guide, data.first, len(data)):
        raise UserError("its guide has a q for its training data only; use `split` train.")
    latents = Latents.of(model, data.probe())
    generator = torch.Generator().manual_seed(stream(seed, "direction"))
    direction = torch.randn(latents.size, generator=generator)
    codes = codes_of(model, guide, data, rows)
    direction = (direction / direction.norm()).to(codes)
    some = codes_of(model, guide, data, torch.arange(min(limit, len(data)), device=data.device))
    spread = float((some @ direction).std(correction=0))
    if not spread > 0:
        raise UserError("the codes of the data are all the same, so that they have no spread to measure steps by.")
    widths = None
    if has_density(guide, data.probe()):
        draws = latents.flattened(posterior_samples(guide, data.batch(rows), _DRAWS))  # (draws, n, D)
        widths = (draws @ direction).std(0)
    return _Around(codes, direction, spread, widths)


def _lengths(around: Mapping[str, _Around]) -> tuple[dict[str, Tensor], dict[str, tuple[str, str]]]:
    """How long s is, ``(n,)``, of each pair; and in words what it is, and where it comes from."""
    shares = {name: float(each.widths.mean()) / each.spread for name, each in around.items() if each.widths is not None}
    first = next(iter(shares), None)
    lengths, said = {}, {}
    for name, each in around.items():
        if each.widths is not None:
            lengths[name] = each.widths
            said[name] = (f"1 posterior standard deviation, {_shown(shares[name])} of the codes' spread", "")
            continue
        share = _TENTH if first is None else shares[first]
        lengths[name] = each.codes.new_full((len(each.codes),), share * each.spread)
        why = "no q has a width" if first is None else f"as much as of {first}"
        said[name] = (f"{_shown(share)} of the codes' spread", f" ({why})")
    return lengths, said


def _drawn(info: DataInfo, strips: Mapping[str, Tensor], row_names: Sequence[str], t: Tensor, caption: str) -> "Figure":
    """A block for each pair; of sequences, which are long, turned by a quarter. Of tables and music what lies beside
    each other is numbered by pair."""
    if is_table(info) or info.layout == "notes":
        pairs = [name.splitlines()[0] for name in strips]
        if len(pairs) > 1:
            row_names = [f"{number}: {row}" for number in range(1, len(pairs) + 1) for row in row_names]
            caption += f" Pairs by number: {'; '.join(f'{number} {name}' for number, name in enumerate(pairs, 1))}."
        steps = ["x", *(f"{each:.3g} s" for each in t.tolist())]
        ways = torch.cat(list(strips.values()))
        if info.layout == "notes" and len(pairs) > 1:  # the first image of each, as only a few can be read
            row_names, ways = row_names[:: len(ways) // len(pairs)], ways[:: len(ways) // len(pairs)]
        return strips_of(info, ways, row_names, steps, caption, (0,))
    caption += not_seen(info, *strips.values())
    images = dict(zip(strips, images_of(info, *strips.values()), strict=True))
    if info.layout == "plain":
        return figures.blocks(images, row_names, caption, _column_names(t))
    turned = {name: each.swapaxes(0, 1) for name, each in images.items()}
    return figures.blocks(turned, _column_names(t), caption, row_names)


def _shown(share: float) -> str:
    return f"{share:.2g}" if share < 10 else f"{share:,.0f}"


def _column_names(t: Tensor) -> list[str]:
    """Of x, and of the steps; where they are many only of some, as there is room for."""
    every = -(-len(t) // _MOST_NAMED)
    return ["x", *("" if place % every else f"{each:.3g} s" for place, each in enumerate(t.tolist()))]


@contextmanager
def _said_of(name: str) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise UserError(f"{name}: {error}") from None
