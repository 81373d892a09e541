"""Frames of a film, taken while a run trains.

RUN/film/step-00001234.npz   a frame's arrays, written as training passes that step
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch

from ppl_vae.data import Dataset, Splits
from ppl_vae.data.conditions import means_of
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.draws import plane_site
from ppl_vae.predictive.rendering import check_drawable, takes_labels
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import Pair
from ppl_vae.runs.opened import split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.files import make_folder, write_arrays
from ppl_vae.runtime.processes import current
from ppl_vae.training.film import film_steps, take_frame

_NUM_FRAMES = 48
_NUM_IMAGES = 200
_AXIS = torch.linspace(-3, 3, 15)


def check_film(pair: Pair, info: DataInfo) -> None:
    """See that a film of this pair can be taken.

    Raises:
        UserError: it cannot.
    """
    try:
        plane = plane_site(pair.model, info.event_shape, means_of(info.conditions))
    except Exception as error:  # whatever a user's model raises
        raise UserError(f"the model cannot run on x of shape {info.event_shape} ({reason(error)}).") from error
    if not plane:
        raise UserError(
            "`film` shows the plane of one latent of size 2; train a model of one latent with `latent_dim` 2."
        )
    check_drawable(info.event_shape)
    if current().size > 1 and tables_of(pair.guide):
        raise UserError("`film` cannot follow rows that several processes own; train a per-datapoint guide in one.")


class Camera:
    """Takes frames as training passes chosen steps; see ``on_step`` of :func:`ppl_vae.training.fit`.

    Args:
        run: whose film it is.
        pair: that is being trained.
        splits: the run's data. Test images are filmed; of a per-datapoint guide, training images.
    """

    def __init__(self, run: Run, pair: Pair, splits: Splits) -> None:
        settings = run.record.config.fit
        self.folder = film_folder(run)
        self.steps_per_epoch = settings.steps_per_epoch(len(splits.train))
        self.steps = set(film_steps(settings.epochs * self.steps_per_epoch, _NUM_FRAMES))
        self.pair = pair
        self.label = label_of(pair, run.record.info)
        self.data: Dataset = filmed(pair, splits).fixed(0)

    def __call__(self, step: int) -> Literal[False]:
        """Take a frame if this is one of the steps; the pair is as it was, always."""
        if step in self.steps and current().is_first:
            self._take(step)
        return False

    def finish(self, kept_epoch: int) -> None:
        """End the film with the pair that is kept, that of this epoch's end: early stopping has gone past it."""
        if not current().is_first:
            return
        last = kept_epoch * self.steps_per_epoch
        for path in self.folder.glob("step-*"):
            if int(path.stem.removeprefix("step-")) > last:
                path.unlink()
        self._take(last)

    def _take(self, step: int) -> None:
        self.data = self.data.to(next(self.pair.model.parameters()).device)
        try:
            frame = take_frame(*self.pair, self.data, _AXIS, self.label)
        except (RuntimeError, ValueError, UserError):
            return  # parameters are not finite: training says so at the epoch's end
        arrays = {"means": frame.means, "covariances": frame.covariances, "grid": frame.grid}
        make_folder(self.folder)
        values = {name: value.cpu().numpy() for name, value in arrays.items()}
        for name in ("elbo", "reconstruction"):
            found = frame.parts.by_name()[name]
            values |= {name: np.asarray(found.mean), f"{name}_stderr": np.asarray(found.stderr)}
        write_arrays(self.folder / f"step-{step:08d}.npz", values)


def film_folder(run: Run) -> Path:
    """Where a run's frames are."""
    return run.path / "film"


def label_of(pair: Pair, info: DataInfo) -> int | None:
    """The number of the label that the grid of a conditional model is decoded with, the first that training saw."""
    return info.labels.index(info.seen[0]) if takes_labels(pair.model, info) else None


def filmed(pair: Pair, splits: Splits) -> Dataset:
    """The images whose q is filmed."""
    return splits.get(split_shown(pair, splits)).head(_NUM_IMAGES)
