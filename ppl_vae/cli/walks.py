"""``ppl-vae sample RUN interpolate | traverse``: walks through latent space, and what all that visits codes shares."""

from dataclasses import field
from typing import Annotated, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm
from tyro.conf import Positional

from ppl_vae.cli.sample import Made, Sampling, caption, label_number, labels_of, shown_in
from ppl_vae.data import Dataset
from ppl_vae.diagnostics.units import units
from ppl_vae.guides.unseen import guide_for, has_rows
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive import walks as latent_walks
from ppl_vae.predictive.rendering import centre, is_drawn, shows_means, strips_of, takes_labels
from ppl_vae.predictive.walks import CodeKind, Path, codes_of, decode_codes, draws_along
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.rows import tables_of
from ppl_vae.runs.opened import OpenedRun, SplitName
from ppl_vae.runtime.config import CountOrZero, Few, config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import stream

_QUIET_SECONDS = 2.0  # before a progress bar shows
_NUM_FOR_KL = 500  # datapoints that a unit's KL is the mean over
Steps = Annotated[int, Field(ge=2, le=1000)]
Rows = tuple[CountOrZero, ...]


class Encoded(NamedTuple):
    """Some observations of a split.

    Args:
        shown: as the data has them, ``(n, *event)``: grey levels where the guide saw bits drawn from them.
        x: as the guide saw them, ``(n, *event)``.
        y: labels ``(n,)``, or None.
        codes: ``(n, D)``.
    """

    shown: Tensor
    x: Tensor
    y: Tensor | None
    codes: Tensor


@config
class Walk(Sampling):
    """What all share that encode images of a split."""

    split: SplitName = "test"
    """Where the images come from."""
    infer: InferConfig = field(default_factory=InferConfig)
    """Local inference, where the guide has no answer to unseen data."""

    def data(self, opened: OpenedRun, split: SplitName | None = None, limit: int | None = None) -> Dataset:
        """The first rows of a split: the one asked for, unless another is named."""
        return opened.split(split or self.split, limit)

    def encode(self, opened: OpenedRun, data: Dataset, rows: Tensor, kind: CodeKind = "means") -> Encoded:
        """Some rows of the data, and their codes."""
        model, guide = opened.pair
        bits = data.fixed(self.seed)
        shown, x, y = data.x[rows], bits.x[rows], None if data.y is None else data.y[rows]
        if tables_of(guide) and has_rows(guide, data):
            return Encoded(shown, x, y, codes_of(model, guide, bits, rows, kind))
        few = Dataset(x, y, first=UNSEEN)  # if each has to be fitted, no others than these
        with tqdm(
            total=len(few), unit="datapoint", desc="codes", disable=None, leave=False, delay=_QUIET_SECONDS
        ) as bar:
            guide = guide_for(model, guide, few, self.infer, bar.update)
        return Encoded(shown, x, y, codes_of(model, guide, few, kind=kind))

    def decode(self, opened: OpenedRun, data: Dataset, codes: Tensor, y: Tensor | None) -> dict[str, Tensor]:
        """Latents by site and means E[x | z] at codes ``(W, S, D)``, with labels ``(W, S)``; of music, a draw x too."""
        model = opened.pair.model
        latents = Latents.of(model, data.probe())
        values, _ = latents.mapped(codes)
        made = {**values, "means": decode_codes(model, latents, codes, opened.event_shape, y)}
        if is_drawn(model, opened.info):
            made["x"] = draws_along(model, latents, codes, opened.event_shape, stream(self.seed, "steps"))
        return made


@config
class Interpolate(Walk):
    """The way from an image's code to the next one's, decoded: arrays images, observations, z, means.

    examples:
      ppl-vae sample runs/digits-1 interpolate
      ppl-vae sample runs/digits-1 interpolate --images 0 5 9 --path spherical --steps 12
      ppl-vae sample runs/digits-1 interpolate --codes samples --seed 3
    """

    what: Positional[Literal["interpolate"]]
    """Walk from image to image."""
    images: Rows = ()
    """Rows of the split, two or more; by default the first and the next one of another label."""
    path: Path = "linear"
    """The straight line, or a great circle, which keeps to lengths that the prior has."""
    codes: CodeKind = "means"
    """The codes: means of q(z given x), or samples of it."""
    steps: Steps = 10
    """Images on each way, both ends included."""
    label: CountOrZero | None = None
    """Label that a conditional model decodes with; by default that of the image where a way begins."""

    def make(self, opened: OpenedRun) -> Made:
        """Encode the images, walk, decode."""
        number = label_number(opened, self.label)
        data = self.data(opened)
        rows = rows_of(self.images, data, "--images") if self.images else _two_unlike(data)
        if len(rows) < 2:
            raise UserError("--images: name two or more, to walk from one to the next.")
        found = self.encode(opened, data, rows, self.codes)
        codes = latent_walks.interpolate(found.codes, self.steps, self.path)
        y = labels_of(number, found.y, opened)
        made = self.decode(opened, data, codes, None if y is None else y[:-1, None].expand(codes.shape[:2]))
        shown = made.get("x", made["means"])
        label = "the label where the way begins" if self.label is None else self.label
        given = "z" if y is None else f"z, y = {label}"
        ends = found.shown[:-1, None], found.shown[1:, None]
        observations = "images" if opened.info.layout == "plain" else "pieces"
        what = centre(opened.pair.model, opened.info, given, drawn="x" in made)
        words = caption(
            opened,
            f"{what} on the {self.path} way between {self.codes} of q(z | x); "
            f"first and last the {observations} themselves{shown_in(opened)}.",
        )
        names = [f"{self.split} {start} → {end}" for start, end in zip(rows.tolist(), rows.tolist()[1:], strict=False)]
        times = [f"{t:.2g}" for t in torch.linspace(0, 1, self.steps).tolist()]
        ways = torch.cat([ends[0], shown, ends[1]], 1)
        figure = strips_of(opened.info, ways, names, ["from", *times, "to"], words)
        said = (_smoothness(shown),) if shows_means(opened.pair.model, opened.info) else ()
        sequences = {f"{number:02d}": x for number, x in enumerate(ways.unbind(1))}
        return Made({"images": rows, "observations": found.x, **made}, figure, said, sequences)


@config
class Traverse(Walk):
    """One unit of the latent after the other, from -span to span, by its KL.

    Arrays units, kl, kl_stderr, values, z, means.

    examples:
      ppl-vae sample runs/mnist traverse
      ppl-vae sample runs/mnist traverse --image 5 --num-units 20 --span 2
    """

    what: Positional[Literal["traverse"]]
    """Move one unit at a time."""
    image: CountOrZero | None = None
    """Row of the split whose code the other units keep; by default they are 0, the prior's mean."""
    num_units: Few = 10
    """How many units, those of largest KL first."""
    span: Annotated[float, Field(gt=0, le=1e3)] = 3.0
    """From -span to span."""
    steps: Steps = 9
    """Values of each unit."""
    label: CountOrZero | None = None
    """Label of a conditional model; by default the image's."""

    def make(self, opened: OpenedRun) -> Made:
        """Order the units, walk, decode."""
        model = opened.pair.model
        number = label_number(opened, self.label)
        if self.label is None and self.image is None and takes_labels(model, opened.info):
            raise UserError("this model is conditional on labels; say which by --label, or name an --image.")
        data = self.data(opened)
        row = None if self.image is None else rows_of((self.image,), data, "--image")
        few = data.head(_NUM_FOR_KL).fixed(self.seed)
        if len(few) < 2:
            raise UserError("a unit's KL is a mean over data, and this split has one datapoint; name another --split.")
        with tqdm(total=len(few), unit="datapoint", desc="KL", disable=None, leave=False, delay=_QUIET_SECONDS) as bar:
            guide = guide_for(*opened.pair, few, self.infer, bar.update)
        with torch.no_grad():
            found = units(model, guide, few)
        by_kl = not found.kl.isnan().any()
        order = (found.kl if by_kl else found.variance_of_means).argsort(descending=True)[: self.num_units]
        y = None if number is None else torch.tensor([number], device=opened.device)
        code = torch.zeros(len(found.names), device=opened.device)
        if row is not None:
            image = self.encode(opened, data, row)
            code, y = image.codes[0], labels_of(number, image.y, opened)
        values = torch.linspace(-self.span, self.span, self.steps, device=opened.device)
        codes = latent_walks.traversals(code, order.to(opened.device), values)
        made = self.decode(opened, data, codes, None if y is None else y.expand(codes.shape[:2]))
        kl, kl_stderr = found.kl[order], found.kl_stderr[order]
        names = [found.names[unit] for unit in order.tolist()]
        if by_kl:
            names = [
                f"{name}, {mean:.2f} ± {error:.2f} nats" for name, mean, error in zip(names, kl, kl_stderr, strict=True)
            ]
        rest = "the others at 0" if row is None else f"the others as in {self.split} image {self.image}"
        ranked = "KL(q(z | x) ‖ p(z))" if by_kl else "the variance of its means (q has no KL)"
        given = "z" if y is None else f"z, y = {int(opened.info.labels_of(y).flatten()[0])}"
        what = centre(model, opened.info, given, drawn="x" in made)
        over = f"mean over {len(few)} {self.split} datapoints ± standard error"
        words = caption(
            opened,
            f"{what} where one unit moves, {rest}; units in order of {ranked}, {over}.",
        )
        figure = strips_of(
            opened.info, made.get("x", made["means"]), names, [f"{value:.2g}" for value in values.tolist()], words
        )
        return Made(
            {"units": order, "kl": found.kl[order], "kl_stderr": found.kl_stderr[order], "values": values, **made},
            figure,
            _without_effect([found.names[unit] for unit in order.tolist()], made["means"]),
        )


def _without_effect(names: list[str], means: Tensor) -> tuple[str, ...]:
    """A line about the units whose way changes nothing: those of an upper layer, as long as the lower one is held."""
    still = [name for name, way in zip(names, means, strict=True) if (way == way[0]).all()]
    return (
        (f"units    {', '.join(still)}: nothing changes while the other latents stay where they are",) if still else ()
    )


def rows_of(rows: Rows, data: Dataset, flag: str) -> Tensor:
    """The rows as a tensor.

    Raises:
        UserError: there is no such row, or none is named.
    """
    if not rows:
        raise UserError(f"{flag}: name one or more rows of the split.")
    if max(rows) >= len(data):
        raise UserError(f"{flag} {max(rows)}: the split's rows are 0 to {len(data) - 1}.")
    return torch.tensor(rows, device=data.x.device)


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
