"""Observations as pictures, and as files that other programs read: which kind of either, by how they are laid out."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ppl_vae import figures
from ppl_vae.data.codecs import decode_notes, decode_text
from ppl_vae.data.info import DataInfo, example
from ppl_vae.data.midi import midi
from ppl_vae.figures.sequences import MOST_COLUMNS, MOST_ROWS, piano_rolls, written
from ppl_vae.predictive.centre import has_mean
from ppl_vae.predictive.draws import Draws
from ppl_vae.predictive.profiles import crowd_of, rows_of, steps_of
from ppl_vae.predictive.tables import table_written
from ppl_vae.predictive.wording import between_ends, is_table, not_seen, tones_of
from ppl_vae.programs.layout import LOWEST_NOTE
from ppl_vae.programs.structure import reads_conditions, reads_labels
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_IN_BLOCK, _BLOCK_COLUMNS = 64, 16  # images of a kind
_MOST_SEQUENCES = 6  # and their reconstructions
_PAIR = ("original", "reconstruction")


def image_of(info: DataInfo, x: ArrayLike | Tensor) -> NDArray[np.float64]:
    """:func:`images_of` a single part."""
    (images,) = images_of(info, x)
    return images


def images_of(info: DataInfo, *parts: ArrayLike | Tensor) -> list[NDArray[np.float64]]:
    """Observations as arrays that the figures draw, all of one size.

    Args:
        info: of the data: how an observation is laid out.
        parts: each ``(..., *event)``; observations, or probabilities of them.

    Returns:
        each as ``(..., H, W)``, 1 being black; plain ones as they are, or where they leave [0, 1] in training from 0
        at the smallest number there to 1 at the largest, of each column of a table. Of photographs in grey 0 is black,
        so they are turned round.
    """
    arrays = [torch.as_tensor(part).detach().cpu() for part in parts]
    if info.layout == "plain":
        drawn = [between_ends(info, array.numpy()) for array in arrays]
        return [1 - each for each in drawn] if info.photographs else drawn
    flat = torch.cat([array.reshape(-1, *info.event_shape) for array in arrays])
    if info.layout == "text":
        images = written(decode_text(flat, info.alphabet))
    else:
        images = piano_rolls(flat[..., 0], flat[..., 1:])
    shapes = [array.shape[:-2] for array in arrays]
    cut = np.split(images, np.cumsum([shape.numel() for shape in shapes])[:-1])
    return [part.reshape(*shape, *images.shape[1:]) for part, shape in zip(cut, shapes, strict=True)]


def takes_labels(model: nn.Module, info: DataInfo) -> bool:
    """Whether a model of this data reads labels, so that it decodes and generates for given ones only."""
    return reads_labels(model, example(info, device_of(model)))


def takes_conditions(model: nn.Module, info: DataInfo) -> bool:
    """Whether a model of this data reads conditions, so that it decodes and generates for given ones only."""
    return reads_conditions(model, example(info, device_of(model)))


def at_means(model: nn.Module, info: DataInfo) -> str:
    """What is to be said of a picture in which conditions that the model reads are at their training means, behind
    what else is given; nothing of a model that reads none."""
    return ", c at its training mean" if takes_conditions(model, info) else ""


def shows_means(model: nn.Module, info: DataInfo) -> bool:
    """Whether x given z is shown by its mean, not by what is likeliest (:func:`ppl_vae.predictive.centre.has_mean`)."""
    return has_mean(model, example(info, device_of(model)))


def shown_of(model: nn.Module, info: DataInfo, draws: Draws) -> tuple[Tensor, str]:
    """What a picture of the prior predictive shows, and in words: means; of sequences draws, since the likeliest
    continuation of each is a dull one."""
    if shows_means(model, info):
        return draws.means, f"E[x | z{at_means(model, info)}] for z ~ p(z){tones_of(info)}"
    return draws.x, f"x ~ p(x | z{at_means(model, info)}), z ~ p(z)"


def is_drawn(model: nn.Module, info: DataInfo) -> bool:
    """Whether x given z is shown by a draw: of music, where the likeliest keys of each step are one chord held on."""
    return info.layout == "notes" and not shows_means(model, info)


def centre(model: nn.Module, info: DataInfo, given: str = "z", *, drawn: bool = False) -> str:
    """What is shown of p(x | z), in words: a draw, or :attr:`ppl_vae.predictive.draws.Draws.means`."""
    given += at_means(model, info)
    if drawn:
        return f"x ~ p(x | {given}) from the same noise"
    if shows_means(model, info):
        return f"E[x | {given}]"
    return f"the likeliest {'x' if info.layout == 'plain' else 'steps'} given {given}"


def strips_of(
    info: DataInfo,
    x: Tensor,
    row_names: Sequence[str],
    column_names: Sequence[str],
    caption: str,
    observed: Sequence[int] = (),
) -> "Figure":
    """:func:`ppl_vae.figures.strips` of observations ``(rows, columns, *event)``; of sequences, which are long, turned
    by a quarter: a row's pictures stand below each other, under its name. Of a table a row of pictures is a panel, in
    which ``observed`` columns are data and the others steps; of music there are as many panels as can be read."""
    if is_table(info):
        return steps_of(info, x, row_names, column_names, caption, observed)
    caption += not_seen(info, x)
    if info.layout == "notes":
        return _music(x.swapaxes(0, 1), column_names, row_names, caption)
    images = image_of(info, x)
    if info.layout == "plain":
        return figures.strips(images, row_names, column_names, caption)
    return figures.strips(images.swapaxes(0, 1), column_names, row_names, caption)


def sheet_of(info: DataInfo, x: Tensor, caption: str, columns: int | None = None) -> "Figure":
    """:func:`ppl_vae.figures.sheet` of observations ``(n, *event)``; of a table all in one panel."""
    if is_table(info):
        return crowd_of(info, {"model": x}, f"{len(x)} draws of z", caption)
    if info.layout == "notes":
        few = x[: 2 * MOST_ROWS]
        across = min(2, len(few))
        return _music(few[: len(few) // across * across].unflatten(0, (-1, across)), (), (), caption)
    return figures.sheet(image_of(info, x), caption + not_seen(info, x), columns)


def pairs_of(info: DataInfo, x: Tensor, made: Tensor, caption: str, spread: Tensor | None = None) -> "Figure":
    """:func:`ppl_vae.figures.reconstructions` of observations ``(n, *event)``; of a table with bars as long as the
    spread on either side. Of a table and of sequences the first few alone."""
    caption += not_seen(info, x)
    if is_table(info):
        return rows_of(info, x, made, caption, spread)
    if info.layout == "plain":
        above, below = images_of(info, x, made)
        return figures.reconstructions(above, below, caption)
    pairs = torch.stack([x, made], 1)[:_MOST_SEQUENCES]
    if info.layout == "notes":
        return _music(pairs, [str(number) for number in range(1, len(pairs) + 1)], _PAIR, caption)
    return figures.strips(image_of(info, pairs), [str(number) for number in range(1, len(pairs) + 1)], _PAIR, caption)


def _music(x: Tensor, row_names: Sequence[str], column_names: Sequence[str], caption: str) -> "Figure":
    """:func:`ppl_vae.figures.music` of pieces ``(rows, columns, T, 1 + keys)``: of more rows than can be read some from
    the first to the last, of more columns the first."""
    rows = torch.linspace(0, len(x) - 1, min(len(x), MOST_ROWS)).round().long()
    columns = slice(min(x.shape[1], MOST_COLUMNS))
    few = x[rows.to(x.device), columns].detach().cpu()
    names = [row_names[row] for row in rows.tolist()] if row_names else ()
    caption += " C4 is middle C; grey: after a piece's end."
    if few.shape[1] < x.shape[1]:
        caption += f" The first {few.shape[1]} of {x.shape[1]}."
    return figures.music(few[..., 0], few[..., 1:], names, list(column_names)[columns], caption, LOWEST_NOTE)


def shows_noise(model: nn.Module, info: DataInfo) -> bool:
    """Whether a draw of x given z is worth a picture beside its mean: of images, which are more than lines of a table
    and, unlike sequences, have a mean."""
    return info.layout == "plain" and not is_table(info) and shows_means(model, info)


def blocks_of(info: DataInfo, parts: Mapping[str, Tensor], caption: str) -> "Figure":
    """Several kinds of images of the same datapoints or latents, ``(n, *event)`` each by what it is: a block for each,
    of the first 64."""
    first = next(iter(parts.values()))
    caption += not_seen(info, *parts.values())
    num = min(len(first), _MOST_IN_BLOCK)
    if num < len(first):
        caption += f" The first {num} of {len(first):,}."
    columns = min(_BLOCK_COLUMNS, num)
    rows = -(-num // columns)
    arranged = {}
    for name, x in parts.items():
        places = torch.full((rows * columns, *x.shape[1:]), torch.nan, dtype=x.dtype, device=x.device)
        places[:num] = x[:num]
        arranged[name] = places.unflatten(0, (rows, columns))
    return figures.blocks(dict(zip(arranged, images_of(info, *arranged.values()), strict=True)), (), caption)


def files_of(info: DataInfo, stem: str, sequences: Mapping[str, Tensor]) -> dict[str, bytes]:
    """Sequences as files, by name.

    Args:
        info: of the data.
        stem: that the names begin with.
        sequences: by name, each ``(n, T, C)``, n the same for all: ``{"x": x}`` for single ones, or what belongs
            together in its order, such as an observation and its reconstruction.

    Returns:
        of text one file, a line for each of the n, columns separated by tabs; of music a MIDI file for each piece in
        a folder of that name; of a table whose columns have names a CSV under those; of anything else nothing.
    """
    if info.columns and sequences:
        return {f"{stem}.csv": table_written(info, sequences)}
    if info.layout == "text" and sequences:
        columns = [decode_text(x, info.alphabet) for x in sequences.values()]
        return {f"{stem}.txt": "".join("\t".join(row) + "\n" for row in zip(*columns, strict=True)).encode()}
    if info.layout == "notes":
        return {
            f"{stem}/{number}-{name}.mid": midi(piece)
            for name, x in sequences.items()
            for number, piece in enumerate(decode_notes(x.cpu()), start=1)
        }
    return {}


def check_drawable(
    event_shape: tuple[int, ...], instead: str = "'ppl-vae infer' and ppl_vae.predictive.draws give arrays."
) -> None:
    """See that observations of this shape can be drawn.

    Args:
        event_shape: of one observation.
        instead: what to do where they cannot.

    Raises:
        UserError: they cannot.
    """
    try:
        figures.mosaic(np.zeros((1, 1, *event_shape)))
    except ValueError as error:
        raise UserError(f"{error} {instead}") from None
