"""Ways from one observation's code to the next one's, decoded."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo, Described
from ppl_vae.data.labels import Label
from ppl_vae.predictive.latent_space.codes import (
    GuideFor,
    decode_ways,
    encode,
    label_number,
    labels_for,
    rows_among,
    saw_bits,
)
from ppl_vae.predictive.latent_space.walks import CodeKind, Path, Steps
from ppl_vae.predictive.rendering import centre, shows_means, strips_of
from ppl_vae.predictive.samples import Samples
from ppl_vae.predictive.wording import amount, between_ends, element, observation, of_range
from ppl_vae.runtime.config import in_range
from ppl_vae.runtime.errors import UserError


@in_range
def interpolate(
    model: nn.Module,
    guide: nn.Module,
    data: Dataset,
    info: Described,
    images: Sequence[int] = (),
    path: Path = "linear",
    codes: CodeKind = "means",
    steps: Steps = 10,
    label: Label | None = None,
    split: str = "test",
    seed: int = 0,
    unseen: GuideFor | None = None,
) -> Samples:
    """The way from an observation's code to the next one's: images, observations, latents by site, means.

    Args:
        model: p(x, z).
        guide: q(z | x).
        data: where the observations come from.
        info: of the training data, or what :func:`ppl_vae.load` gave.
        images: rows of the data, two or more; by default the first and the next one of another label.
        path: the straight line, or a great circle; see :func:`ways`.
        codes: means of q(z | x), or samples of it, from torch's own generator.
        steps: on each way, both ends included.
        label: that a conditional model decodes with; by default that of the observation where a way begins.
        split: what the caption calls the data.
        seed: of the bits of grey levels, and of the noise of music.
        unseen: gives the guide for datapoints that this one may have no answer to.

    Raises:
        UserError: fewer than two rows, or none of that number; a label that the model does not know.
    """
    info = DataInfo.of(info)
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
    names = [f"{split} {start} → {end}" for start, end in zip(rows.tolist(), rows.tolist()[1:], strict=False)]
    times = [f"{t:.2g}" for t in torch.linspace(0, 1, steps).tolist()]
    strips = torch.cat([found.shown[:-1, None], shown, found.shown[1:, None]], 1)
    return Samples(
        {"images": rows, "observations": found.x, **made},
        info,
        f"{centre(model, info, given, drawn='x' in made)} on the {path} way between {codes} of q(z | x); first and "
        f"last the {observation(info)}s themselves{saw_bits(data, info)}.",
        lambda caption: strips_of(info, strips, names, ["from", *times, "to"], caption, (0, steps + 1)),
        (_smoothness(info, shown),) if shows_means(model, info) else (),
        {f"{step:02d}": x for step, x in enumerate(strips.unbind(1))},
        axes={"way": names, "t": torch.linspace(0, 1, steps).tolist()},
    )


def _two_unlike(data: Dataset) -> Tensor:
    """The first row, and the first of another label; the second where there are no labels."""
    if len(data) < 2:
        raise UserError("the split has a single datapoint; there is no way to another.")
    unlike = torch.zeros(0) if data.y is None else (data.y != data.y[0]).nonzero().flatten()
    return torch.tensor([0, int(unlike[0]) if len(unlike) else 1], device=data.device)


def _smoothness(info: DataInfo, means: Tensor) -> str:
    """How much numbers change on average on ways ``(P − 1, steps, *event)``: in the largest step, from end to end."""
    scaled = torch.from_numpy(between_ends(info, means.cpu().numpy()))
    steps = (scaled[:, 1:] - scaled[:, :-1]).abs().flatten(2).mean(-1)
    ends = (scaled[:, -1] - scaled[:, 0]).abs().flatten(1).mean(-1)
    most, whole = (amount(info, float(each.max())) for each in (steps, ends))
    by = f"at most {most}{of_range(info)} in a step, {whole} from end to end"
    return f"steps    the mean {element(info)} changes by {by}"


def ways(points: Tensor, num_steps: int, path: Path = "linear") -> Tensor:
    """The way from each point to the next, both ends included.

    ``linear``: a + t (b − a). ``spherical``: sin((1 − t) θ) / sin θ a + sin(t θ) / sin θ b, θ the angle between a and
    b (Shoemake 1985; for latents White 2016). Draws of N(0, I) in many dimensions have nearly the same length √D; the
    linear way between two of them passes through shorter vectors, where the prior has hardly any mass, and the
    spherical one does not. Where θ is 0 or π, or an end is 0, there is no such circle, or no single one; then the way
    is linear.

    Args:
        points: ``(P, D)``, at least 2.
        num_steps: codes on each way, at least 2, t equally spaced from 0 to 1.
        path: which way.

    Returns:
        ``(P − 1, num_steps, D)``; it begins and ends at the points themselves.

    Raises:
        ValueError: fewer than 2 points or steps.
    """
    if len(points) < 2 or num_steps < 2:
        raise ValueError(f"a way needs 2 points and 2 steps or more, got {len(points)} and {num_steps}.")
    start, end = points[:-1, None], points[1:, None]  # (P − 1, 1, D)
    t = torch.linspace(0, 1, num_steps).to(points)[:, None]  # (num_steps, 1)
    way = start + t * (end - start)
    if path == "spherical":
        cosine = torch.nn.functional.cosine_similarity(start, end, dim=-1).clamp(-1, 1)[..., None]
        angle = cosine.acos()  # (P − 1, 1, 1)
        sine = angle.sin()
        arc = ((1 - t) * angle).sin() / sine * start + (t * angle).sin() / sine * end
        lengths = start.norm(dim=-1, keepdim=True) * end.norm(dim=-1, keepdim=True)
        way = torch.where((sine > 1e-4) & (lengths > 0), arc, way)
    way[:, :1], way[:, -1:] = start, end
    return way
