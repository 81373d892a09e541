"""The page: template, style, scripts and everything that is shown, in one file that fetches nothing."""

import json
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ppl_vae.explorer.networks import Layer, packed, plain
from ppl_vae.figures.look.style import HOLE, class_colors

# In the order in which they run: each takes from those before it.
_SCRIPTS = ("networks", "families", "state", "picture", "plane", "sliders", "examples", "pad", "walk", "main")


class Placement(NamedTuple):
    """How q(z | x) of a new image is found.

    Args:
        encoder: from x, flat (and its label, one-hot behind it), to the family's parameters.
        family: what they are the parameters of.
        binarized: whether q knows bits only, so that grey levels are to be cut at ½.
    """

    encoder: Sequence[Layer]
    family: Literal["diagonal", "low-rank", "full-rank", "point"]
    binarized: bool


class Contents(NamedTuple):
    """What a page shows.

    Args:
        title: of the page.
        subtitle: what the run is, in a line.
        notes: sentences on what is shown, for the foot of the page.
        placing: sentences on how new images are placed, or why not.
        decoder: from z (and a label, one-hot behind it) to numbers, one for each element of x.
        link: from those to the means of x.
        event_shape: of x: ``(H, W)``, ``(H, W, 1)``, ``(H, W, 3)`` or ``(D,)``.
        num_classes: of the labels that decoder and encoder take; 0 if they take none.
        classes: what each number of a label is called.
        offered: the numbers of the labels that can be chosen.
        names: of the units of z, ``D`` of them.
        kl: of each unit, ``(D,)``, in nats, NaN where there is none.
        order: the units from the most used to the least, ``(D,)``.
        means: of q(z | x) of some images, ``(N, D)``.
        labels: of those images, ``(N,)`` from 0, or None.
        images: the first of those images, ``(M, *event)``: uint8, 255 for 1, or numbers as they are, NaN where nothing
            was seen; M ≤ N.
        placement: of new images; None if they cannot be placed.
        least: what is drawn as 0 where that is not 0, a number for each column of a table or one for all.
        largest: what is drawn as 1, likewise.
        columns: of a table, what its columns are called; none of images.
        photographs: whether 1 is white, as in photographs, not ink.
    """

    title: str
    subtitle: str
    notes: Sequence[str]
    placing: Sequence[str]
    decoder: Sequence[Layer]
    link: Literal["sigmoid", "identity", "exp"]
    event_shape: tuple[int, ...]
    num_classes: int
    classes: Sequence[str]
    offered: Sequence[int]
    names: Sequence[str]
    kl: NDArray[np.float64]
    order: NDArray[np.int64]
    means: NDArray[np.float32]
    labels: NDArray[np.int64] | None
    images: NDArray[np.uint8] | NDArray[np.float32]
    placement: Placement | None
    least: Sequence[float] = ()
    largest: Sequence[float] = ()
    columns: Sequence[str] = ()
    photographs: bool = False


def html(contents: Contents) -> str:
    """The whole page, one self-contained file.

    Args:
        contents: what it shows.

    Raises:
        ValueError: an event that is no image.
    """
    here = files("ppl_vae.explorer")
    scripts = (here.joinpath("js", f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    return Template(here.joinpath("explorer.html").read_text(encoding="utf-8")).substitute(
        title=escape(contents.title),
        subtitle=escape(contents.subtitle),
        and_y=", y" if contents.num_classes else "",
        with_label=" with the label y" if contents.num_classes else "",
        spread=", spread vertically only so that they can be told apart" if len(contents.names) == 1 else "",
        rings="lines" if len(contents.names) == 1 else "circles",
        notes=_paragraphs(contents.notes),
        placing=_paragraphs(contents.placing),
        style=here.joinpath("explorer.css").read_text(encoding="utf-8"),
        data=_json(_plain(contents)),
        script="\n".join(scripts),
    )


def _paragraphs(sentences: Sequence[str]) -> str:
    return "\n".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def _plain(contents: Contents) -> dict[str, Any]:
    """Everything that the scripts need, as JSON has it."""
    height, width, channels = _picture(contents.event_shape)
    strip = len(contents.event_shape) == 1
    labels = contents.labels
    num_colors = max(contents.num_classes, 0 if labels is None else int(labels.max()) + 1)
    placement = contents.placement
    return {
        "decoder": [plain(layer) for layer in contents.decoder],
        "link": contents.link,
        "picture": {
            "height": height,
            "width": width,
            "channels": channels,
            "strip": strip,
            "bright": channels == 3 or contents.photographs,
        },
        "least": list(contents.least),
        "largest": list(contents.largest),
        "columns": list(contents.columns),
        "hole": HOLE,
        "num_classes": contents.num_classes,
        "classes": list(contents.classes),
        "offered": list(contents.offered),
        "names": list(contents.names),
        "kl": [float(value) if math.isfinite(value) else None for value in contents.kl],
        "order": contents.order.tolist(),
        "means": packed(contents.means),
        "labels": None if labels is None else labels.tolist(),
        "colors": class_colors(num_colors),
        "images": packed(contents.images),
        "placement": placement
        and {
            "encoder": [plain(layer) for layer in placement.encoder],
            "family": placement.family,
            "binarized": placement.binarized,
        },
    }


def _picture(event_shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Height, width and channels of what is drawn of an event, see :mod:`ppl_vae.figures.images`."""
    match event_shape:
        case (height, width) | (height, width, 1):
            return height, width, 1
        case (height, width, 3):
            return height, width, 3
        case (size,):
            return 1, size, 1
    raise ValueError(f"cannot draw an event of shape {event_shape}; it must be (D,), (H, W), (H, W, 1) or (H, W, 3).")


def _json(value: object) -> str:
    """JSON that may stand in a script element: no "<" ends it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
