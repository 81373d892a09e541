"""``ppl-vae train --film``: frames while a run trains, and the film made of them.

RUN/film/step-00001234.npz   a frame's arrays, written as training passes that step
RUN/film/step-00001234.png   its picture
RUN/film.gif                 all of them
"""

from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ppl_vae import figures
from ppl_vae.data import Dataset, Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.draws import plane_site
from ppl_vae.predictive.rendering import image_of, takes_labels
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import Pair
from ppl_vae.runs.opened import check_drawable
from ppl_vae.runs.run import Run
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.files import make_folder, write_arrays, write_bytes
from ppl_vae.runtime.processes import current
from ppl_vae.training.film import film_steps, take_frame

_NUM_FRAMES = 48
_NUM_IMAGES = 200
_AXIS = torch.linspace(-3, 3, 15)
_FRAMES_PER_SECOND = 8
_LAST_SECONDS = 3.0  # the film stands still at its end
_MAX_REACH = 6.0  # of the plane that is shown, though single codes may lie farther out


def check_film(pair: Pair, event_shape: tuple[int, ...]) -> None:
    """See that a film of this pair can be taken.

    Raises:
        UserError: it cannot.
    """
    try:
        plane = plane_site(pair.model, event_shape)
    except Exception as error:  # whatever a user's model raises
        raise UserError(f"the model cannot run on x of shape {event_shape} ({reason(error)}).") from error
    if not plane:
        raise UserError(
            "--film shows the plane of one latent of size 2; train a model of one latent with --latent-dim 2."
        )
    check_drawable(event_shape)
    if current().size > 1 and tables_of(pair.guide):
        raise UserError("--film cannot follow rows that several processes own; train a per-datapoint guide in one.")


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
        self.steps_per_epoch = -(-len(splits.train) // settings.batch_size)
        self.steps = set(film_steps(settings.epochs * self.steps_per_epoch, _NUM_FRAMES))
        self.pair = pair
        self.label = _label(pair, run.record.info)
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
        values |= {"elbo": np.asarray(frame.elbo.mean), "elbo_stderr": np.asarray(frame.elbo.stderr)}
        write_arrays(self.folder / f"step-{step:08d}.npz", values)


def film_folder(run: Run) -> Path:
    """Where a run's frames are."""
    return run.path / "film"


def _label(pair: Pair, info: DataInfo) -> int | None:
    """The number of the label that the grid of a conditional model is decoded with, the first that training saw."""
    return info.labels.index(info.seen[0]) if takes_labels(pair.model, info) else None


def filmed(pair: Pair, splits: Splits) -> Dataset:
    """The images whose q is filmed."""
    unseen = splits.test is not None and not tables_of(pair.guide)
    return (splits.get("test") if unseen else splits.train).head(_NUM_IMAGES)


def develop(run: Run, pair: Pair, splits: Splits) -> Path | None:
    """Draw the frames that were taken, each as PNG and all as GIF; None where there are none.

    The plane that is shown holds nearly all codes of all frames.
    """
    taken = sorted(film_folder(run).glob("step-[0-9]*.npz"))
    if not taken:
        return None
    frames = [_read(path) for path in taken]
    reach = min(_MAX_REACH, max(3.2, float(np.quantile(np.abs([frame["means"] for frame in frames]), 0.995)) * 1.1))
    data, settings = filmed(pair, splits), run.record.config.fit
    steps_per_epoch = -(-len(splits.train) // settings.batch_size)
    info, label = run.record.info, _label(pair, run.record.info)
    labels = None if data.y is None else info.labels_of(data.y).numpy()
    where = "training" if tables_of(pair.guide) or splits.test is None else "test"
    pictures = []
    for path, frame in zip(tqdm(taken, unit="frame", desc="film", disable=None, leave=False), frames, strict=True):
        step = int(path.stem.removeprefix("step-"))
        figure = figures.film_frame(
            frame["means"],
            frame["covariances"],
            labels,
            image_of(info, frame["grid"]),
            reach,
            title=f"step {step:,}, epoch {step / steps_per_epoch:.1f}: ELBO {frame['elbo']:.1f} ± "
            f"{frame['elbo_stderr']:.1f} nats, of {len(data)} {where} images",
            given="z" if label is None else f"z, y = {info.labels[label]}",
        )
        figures.save_frame(figure, path.with_suffix(".png"))
        pictures.append(path.with_suffix(".png"))
    gif = run.path / "film.gif"
    write_bytes(gif, _animated(pictures, figures.film_palette(1 if labels is None else len(np.unique(labels)))))
    return gif


def _read(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in ("means", "covariances", "grid", "elbo", "elbo_stderr")}
    except Exception as error:  # a file made by other hands can hold anything
        raise UserError(f"{path} is no frame ({reason(error)}); remove it and resume.") from None


def _animated(pictures: list[Path], colors: NDArray[np.uint8]) -> bytes:
    """A GIF. All frames have the same palette: one of its own for each would let rare classes share a colour."""
    frames = []
    for path in pictures:
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("RGB"), dtype=np.int32)
        found, where = np.unique(pixels @ (1 << 16, 1 << 8, 1), return_inverse=True)
        values = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1)
        nearest = ((values[:, None] - colors.astype(np.int32)) ** 2).sum(2).argmin(1)
        frames.append(Image.fromarray(nearest[where].reshape(pixels.shape[:2]).astype(np.uint8)))
        frames[-1].putpalette(colors.tobytes())
    durations = [round(1000 / _FRAMES_PER_SECOND)] * (len(frames) - 1) + [round(1000 * _LAST_SECONDS)]
    gif = BytesIO()
    frames[0].save(gif, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0)
    return gif.getvalue()
