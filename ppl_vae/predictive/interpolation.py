"""Ways from one observation's code to the next one's, decoded."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.codes import GuideFor, decode_ways, encode, label_number, labels_for, rows_among, saw_bits
from ppl_vae.predictive.rendering import centre, shows_means, strips_of
from ppl_vae.predictive.samples import Samples
from ppl_vae.predictive.walks import CodeKind, Path, ways
from ppl_vae.runtime.errors import UserError


def interpolate(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: DataInfo,
    images: Sequence[int] = (),
    path: Path = "linear",
    codes: CodeKind = "means",
    steps: int = 10,
    label: int | None = None,
    split: str = "test",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> Samples:
    """The way from an observation's code to the next one's: images, observations, latents by site, means.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: where the observations come from.
        info: of the training data.
        images: rows of the data, two or more; by default the first and the next one of another label.
        path: the straight line, or a great circle; see :func:`ppl_vae.predictive.walks.ways`.
        codes: means of q(z | x), or samples of it, from torch's own generator.
        steps: on each way, both ends included.
        label: that a conditional model decodes with; by default that of the observation where a way begins.
        split: what the caption calls the data.
        seed: of the bits of grey levels, and of the noise of music.
        unseen: gives the guide for datapoints that this one may have no answer to.

    Raises:
        UserError: fewer than two rows, or none of that number; a label that the model does not know.
    """
    number = label_number(model, info, label)
    rows = rows_among(images, data, "images") if images else _two_unlike(data)
    if len(rows) < 2:
        raise UserError("`images`: name two or more, to walk from one to the next.")
    found = encode(model, guide, data, rows, codes, seed, unseen)
    way = ways(found.codes, steps, path)
    y = labels_for(model, info, number, found.y)
    made = decode_ways(model, data, info, way, None if y is None else y[:-1, None].expand(way.shape[:2]), seed)
    shown = made.get("x", made["means"])
    given = "z" if y is None else f"z, y = {'the label where the way begins' if label is None else label}"
    observations = "images" if info.layout == "plain" else "pieces"
    names = [f"{split} {start} → {end}" for start, end in zip(rows.tolist(), rows.tolist()[1:], strict=False)]
    times = [f"{t:.2g}" for t in torch.linspace(0, 1, steps).tolist()]
    strips = torch.cat([found.shown[:-1, None], shown, found.shown[1:, None]], 1)
    return Samples(
        {"images": rows, "observations": found.x, **made},
        info,
        f"{centre(model, info, given, drawn='x' in made)} on the {path} way between {codes} of q(z | x); first and "
        f"last the {observations} themselves{saw_bits(data, info)}.",
        lambda caption: strips_of(info, strips, names, ["from", *times, "to"], caption),
        (_smoothness(shown),) if shows_means(model, info) else (),
        {f"{step:02d}": x for step, x in enumerate(strips.unbind(1))},
    )


def _two_unlike(data: Dataset) -> Tensor:
    """The first row, and the first of another label; the second where there are no labels."""
    if len(data) < 2:
        raise UserError("the split has a single datapoint; there is no way to another.")
    unlike = torch.zeros(0) if data.y is None else (data.y != data.y[0]).nonzero().flatten()
    return torch.tensor([0, int(unlike[0]) if len(unlike) else 1], device=data.x.device)


def _smoothness(means: Tensor) -> str:
    """A pixel's mean change in the largest step of ways ``(P − 1, steps, *event)``, and from end to end."""
    steps = (means[:, 1:] - means[:, :-1]).abs().flatten(2).mean(-1)
    ends = (means[:, -1] - means[:, 0]).abs().flatten(1).mean(-1)
    return f"steps    the mean pixel changes by at most {steps.max():.3f} in a step, {ends.max():.3f} from end to end"
