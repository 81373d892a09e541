"""One unit of the latents moved after the other, by what it is used for."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described
from ppl_vae.data.labels import Label
from ppl_vae.predictive.latent_space.codes import GuideFor, decode_ways, encode, label_number, labels_for, rows_among
from ppl_vae.predictive.latent_space.walks import Span, Steps
from ppl_vae.predictive.rendering import centre, strips_of, takes_labels
from ppl_vae.predictive.samples import Samples
from ppl_vae.predictive.wording import is_table, observation
from ppl_vae.runtime.config import CountOrZero, Few, in_range
from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from ppl_vae.diagnostics.units import Units


@in_range
def traverse(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: Described,
    used: "Units",
    image: CountOrZero | None = None,
    num_units: Few = 10,
    span: Span = 3.0,
    steps: Steps = 9,
    label: Label | None = None,
    split: str = "test",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> Samples:
    """Units moved from -span to span: units, kl, kl_stderr, values, latents by site, means.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: where the image comes from.
        info: of the training data, or what :func:`ppl_vae.load` gave.
        used: what each unit is used for, of some of the same data: :func:`ppl_vae.diagnostics.units.units`.
        image: row of the data whose code the other units keep; by default they are 0, the prior's mean.
        num_units: how many, those of largest KL first; where q is a point, of largest variance of its places.
        span: from -span to span.
        steps: values of each unit.
        label: of a conditional model; by default the image's.
        split: what the caption calls the data.
        seed: of the bits of grey levels, and of the noise of music.
        unseen: gives the guide for datapoints that this one may have no answer to.

    Raises:
        UserError: no such row; a label is missing, or the model does not know it.
    """
    info = DataInfo.of(info)
    number = label_number(model, info, label)
    if label is None and image is None and takes_labels(model, info):
        raise UserError("this model is conditional on labels; say which by `label`, or name an `image`.")
    by_kl = not used.kl.isnan().any()
    order = (used.kl if by_kl else used.variance_of_means).argsort(descending=True)[:num_units]
    device = data.device
    y = None if number is None else torch.tensor([number], device=device)
    code = torch.zeros(len(used.names), device=device)
    if image is not None:
        found = encode(model, guide, data, rows_among((image,), data, "image"), "means", seed, unseen)
        code, y = found.codes[0], labels_for(model, info, number, found.y)
    values = torch.linspace(-span, span, steps, device=device)
    codes = traversals(code, order.to(device), values)
    made = decode_ways(model, data, info, codes, None if y is None else y.expand(codes.shape[:2]), seed)
    kl, kl_stderr = used.kl[order], used.kl_stderr[order]
    units = [used.names[unit] for unit in order.tolist()]
    names = units
    if by_kl and is_table(info):
        names = [f"{name}, KL {mean:.2f}" for name, mean in zip(units, kl.tolist(), strict=True)]  # panels are narrow
    elif by_kl:
        names = [
            f"{name}, {mean:.2f} ± {error:.2f} nats" for name, mean, error in zip(units, kl, kl_stderr, strict=True)
        ]
    rest = "the others at 0" if image is None else f"the others as in {split} {observation(info)} {image}"
    ranked = "KL(q(z | x) ‖ p(z))" if by_kl else "the variance of its means (q has no KL)"
    given = "z" if y is None else f"z, y = {info.shown(y).flatten()[0]}"
    over = f"mean over {used.num_data} {split} datapoints ± standard error"
    return Samples(
        {"units": order, "kl": kl, "kl_stderr": kl_stderr, "values": values, **made},
        info,
        f"{centre(model, info, given, drawn='x' in made)} where one unit moves, {rest}; units in order of {ranked}, "
        f"{over}.",
        lambda caption: strips_of(
            info, made.get("x", made["means"]), names, [f"{value:.2g}" for value in values.tolist()], caption
        ),
        _without_effect(units, made["means"]),
        axes={"unit": units, "value": values.tolist()},
    )


def _without_effect(names: list[str], means: Tensor) -> tuple[str, ...]:
    """A line about the units whose way changes nothing: those of an upper layer, as long as the lower one is held."""
    still = [name for name, way in zip(names, means, strict=True) if (way == way[0]).all()]
    return (
        (f"units    {', '.join(still)}: nothing changes while the other latents stay where they are",) if still else ()
    )


def traversals(code: Tensor, units: Tensor, values: Tensor) -> Tensor:
    """One unit after the other set to each of several values, the others left as they are.

    Args:
        code: ``(D,)``.
        units: which, ``(U,)`` integers from 0.
        values: ``(S,)``.

    Returns:
        ``(U, S, D)``.
    """
    walks = code.expand(len(units), len(values), -1).clone()
    walks[torch.arange(len(units), device=code.device), :, units] = values.to(code)
    return walks
