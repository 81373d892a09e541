"""The plane of a two-dimensional latent: cut into squares, and the empty places among the codes on it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ppl_vae import figures
from ppl_vae.data.conditions import means_of
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described, example
from ppl_vae.data.labels import Label
from ppl_vae.predictive.draws import decode, has_standard_normal_prior, latent_grid, plane_site
from ppl_vae.predictive.latent_space.codes import label_number
from ppl_vae.predictive.latent_space.holes import empty_places
from ppl_vae.predictive.latent_space.walks import Span, Steps, codes_of, prior_quantiles
from ppl_vae.predictive.rendering import centre, image_of, takes_labels
from ppl_vae.predictive.samples import Samples
from ppl_vae.programs.rows import has_rows
from ppl_vae.runtime.config import in_range
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Spacing = Literal["equal", "quantiles"]
NumPlaces = Annotated[int, Field(ge=1, le=40)]
"""Empty places of a plane, as many as can be numbered on it."""


@in_range
def grid(
    model: nn.Module,
    info: Described,
    steps: Steps = 20,
    span: Span = 3.0,
    spacing: Spacing = "equal",
    label: Label | None = None,
) -> Samples:
    """E[x | z] on a 2-D latent plane, decoded on a grid: z, the values along either axis, and means.

    Args:
        model: p(x, z), with one latent of size 2.
        info: of its training data, or what :func:`ppl_vae.load` gave.
        steps: points in each direction, at least 2.
        span: with equal spacing, from -span to span in each direction.
        spacing: points equally spaced, or at quantiles of the prior N(0, 1), each with as much mass around it.
        label: of a conditional model, as the data has it.

    Raises:
        UserError: the latent is no plane; a label is missing, or there is none of it; quantiles of another prior.
    """
    info = DataInfo.of(info)
    number = label_number(model, info, label)
    c = means_of(info.conditions)
    if not plane_site(model, info.event_shape, c):
        raise UserError("a grid needs one latent of size 2; train a model of one latent with `latent_dim` 2.")
    if label is None and takes_labels(model, info):
        raise UserError("this model is conditional on labels; say which by `label`.")
    if spacing == "quantiles" and not has_standard_normal_prior(model, example(info, device_of(model))):
        raise UserError("`spacing` quantiles is for the prior N(0, I), and this model has another; use equal.")
    what = centre(model, info, "z" if label is None else f"z, y = {label}")
    if spacing == "equal":
        axis = torch.linspace(-span, span, steps)
        low, high, names = -span, span, ("z1", "z2")
        words = f"{what} over the latent plane."
    else:
        axis = prior_quantiles(steps)
        low, high, names = 0.5 / steps, 1 - 0.5 / steps, ("Φ(z1)", "Φ(z2)")
        words = f"{what} at quantiles of the prior N(0, 1), Φ its distribution function: all cells have the same mass."
    means = latent_grid(model, info.event_shape, axis, number, c)
    return Samples(
        {"z": axis, "means": means},
        info,
        words,
        lambda caption: figures.grid(image_of(info, means), low, high, caption, names),
        axes={"z2": axis.tolist(), "z1": axis.tolist()},
    )


class HollowPlane(NamedTuple):
    """A latent plane and its empty places.

    Args:
        codes: means of q(z | x), ``(N, 2)``.
        places: centres of the largest empty discs, ``(K, 2)``.
        radii: of those discs, ``(K,)``.
        means: E[x | z] at the centres, ``(K, *event)``.
    """

    codes: Tensor
    places: Tensor
    radii: Tensor
    means: Tensor


@in_range
def hollow_plane(
    model: nn.Module, guide: nn.Module, data: Dataset, info: DataInfo, num_places: NumPlaces = 8
) -> HollowPlane:
    """The codes of data on a latent plane, its largest empty places, and what decodes from them.

    Args:
        model: p(x, z), with one latent of size 2.
        guide: q(z | x), with an answer to the data.
        data: not dynamic.
        info: of the training data.
        num_places: how many, the largest first.

    Raises:
        UserError: the latent is no plane, the model reads labels, the guide has no row for the data, or its codes leave
            no place between them.
    """
    c = means_of(info.conditions)
    name = plane_site(model, info.event_shape, c)
    if not name:
        raise UserError("its latents are not a plane; train a model of one latent with `latent_dim` 2.")
    if takes_labels(model, info):
        raise UserError("a conditional model decodes a place differently for each label; name another run.")
    if not has_rows(guide, data.first, len(data)):
        raise UserError("its guide has a q for its training data only; use `split` train.")
    codes = codes_of(model, guide, data)
    try:
        centres, radii = empty_places(codes.cpu().numpy(), num_places)
    except ValueError as error:
        raise UserError(f"{error} Is the run trained? Or raise `limit`.") from None
    places = torch.from_numpy(centres).to(codes)
    means = decode(model, {name: places}, info.event_shape, c=c)
    return HollowPlane(codes, places, torch.from_numpy(radii), means)


def holes(planes: Mapping[str, HollowPlane], data: Dataset, info: DataInfo, split: str = "test") -> Samples:
    """Latent planes side by side: of plane k codes_k, places_k, radii_k and means_k; and the data's labels.

    Args:
        planes: by name, of pairs that were trained on the same data.
        data: whose codes they show.
        info: of the training data.
        split: what the caption calls the data.
    """
    arrays = {f"{key}_{k}": value for k, plane in enumerate(planes.values()) for key, value in plane._asdict().items()}
    labels = None if data.y is None else info.labels_of(data.y)
    if labels is not None:
        arrays["labels"] = labels

    def draw(caption: str) -> "Figure":
        drawn = [
            figures.LatentPlane(name, plane.codes.cpu(), plane.places.cpu(), image_of(info, plane.means))
            for name, plane in planes.items()
        ]
        return figures.latent_holes(drawn, None if data.y is None else info.shown(data.y), caption)

    what = (
        f"Codes of {len(data):,} {split} data (means of q(z | x)); numbered, the largest empty discs among the nine in "
        "ten nearest to their median, none overlapping a larger one; below, E[x | z] at their centres."
    )
    return Samples(arrays, info, what, draw, axes={"index": range(len(data))}, along=info.names.of_labels(data.y))
