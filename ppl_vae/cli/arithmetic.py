"""``ppl-vae sample RUN arithmetic``: images moved along a direction of latent space."""

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor
from tyro.conf import Positional

from ppl_vae.cli.sample import Made, caption, labels_of, shown_in
from ppl_vae.cli.walks import Rows, Walk, rows_of
from ppl_vae.data import Dataset
from ppl_vae.data.labels import number_of
from ppl_vae.predictive import walks as latent_walks
from ppl_vae.predictive.rendering import centre, strips_of, takes_labels
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runtime.config import Count, CountOrZero, config
from ppl_vae.runtime.errors import UserError

Strength = Annotated[float, Field(ge=-1e6, le=1e6)]


@config
class Arithmetic(Walk):
    """Images moved along a direction of latent space: arrays images, observations, direction, strengths, z, means.

    The direction is the mean code of one label less that of another, or an image's code less another's.

    examples:
      ppl-vae sample runs/digits-1 arithmetic --from-label 4 --to-label 9
      ppl-vae sample runs/digits-1 arithmetic --images 3 --subtract 7 --add 12
      ppl-vae sample runs/digits-1 arithmetic --from-label 1 --to-label 0 --strengths -1 0 1 2
    """

    what: Positional[Literal["arithmetic"]]
    """Add a direction to images."""
    from_label: CountOrZero | None = None
    """Subtract the mean code of this label."""
    to_label: CountOrZero | None = None
    """Add the mean code of this label."""
    subtract: Rows = ()
    """Subtract the mean code of these rows of the split."""
    add: Rows = ()
    """Add the mean code of these rows of the split."""
    images: Rows = ()
    """Rows of the split to move; by default the first six, of --from-label where that is given."""
    strengths: tuple[Strength, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
    """Multiples of the direction that are added; 0 is the image's own code, 1 takes the one mean to the other."""
    limit: Count = 2000
    """How many datapoints of the split the mean codes of labels are taken over."""

    def make(self, opened: OpenedRun) -> Made:
        """Find the direction, move, decode."""
        data = self.data(opened)
        start, end, words = self._groups(opened, data)
        if self.images:
            rows = rows_of(self.images, data, "--images")
        else:
            rows = start[:6] if self.from_label is not None else torch.arange(min(6, len(data)), device=opened.device)
        if not self.strengths:
            raise UserError("--strengths: name one or more.")
        strengths = torch.tensor(self.strengths, device=opened.device)
        everything = torch.cat([start, end, rows])
        found = self.encode(opened, data, everything)
        first, second, own = found.codes.split([len(start), len(end), len(rows)])
        direction = latent_walks.direction(first, second)
        codes = latent_walks.shifted(own, direction, strengths)
        x, shown = found.x[-len(rows) :], found.shown[-len(rows) :]
        given = ", y" if takes_labels(opened.pair.model, opened.info) else ""
        y = labels_of(None, None if found.y is None else found.y[-len(rows) :], opened)
        made = self.decode(opened, data, codes, None if y is None else y[:, None].expand(codes.shape[:2]))
        moved = centre(opened.pair.model, opened.info, f"z + strength × direction{given}", drawn="x" in made)
        figure = strips_of(
            opened.info,
            torch.cat([shown[:, None], made.get("x", made["means"])], 1),
            [f"{self.split} {row}" for row in rows.tolist()],
            ["image", *[f"{strength:g}" for strength in self.strengths]],
            caption(opened, f"{moved}, the direction {words}{shown_in(opened)}."),
        )
        arrays = {"images": rows, "observations": x, "direction": direction, "strengths": strengths, **made}
        return Made(arrays, figure)

    def _groups(self, opened: OpenedRun, data: Dataset) -> tuple[Tensor, Tensor, str]:
        """The rows whose mean is subtracted, those whose mean is added, and both in words."""
        labels, rows = (self.from_label, self.to_label), (self.subtract, self.add)
        if all(group for group in rows) and labels == (None, None):
            groups = [rows_of(group, data, flag) for group, flag in zip(rows, ("--subtract", "--add"), strict=True)]
            named = [" and ".join(map(str, group)) for group in rows]
            return groups[0], groups[1], f"from image {named[0]} to image {named[1]}"
        if None in labels or any(rows):
            raise UserError("name a direction, by --from-label and --to-label, or by --subtract and --add.")
        members = []
        for label, flag in zip(labels, ("--from-label", "--to-label"), strict=True):
            assert label is not None
            number = number_of(opened.info, label, flag[2:].replace("-", "_"))
            if takes_labels(opened.pair.model, opened.info):
                raise UserError("this model is given the label, so z is not to hold it; use --subtract and --add.")
            y = data.head(self.limit).y
            assert y is not None
            members.append((y == number).nonzero().flatten())
            if not len(members[-1]):
                raise UserError(
                    f"{flag} {label}: none of the first {self.limit} {self.split} datapoints; raise --limit."
                )
        return members[0], members[1], f"from the mean of label {labels[0]} to that of label {labels[1]}"
