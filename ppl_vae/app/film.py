"""``ppl-vae train --film``: frames while a run trains, and the film made of them.

RUN/film/step-00001234.npz   a frame's arrays, written as training passes that step
RUN/film/step-00001234.png   its picture
RUN/film.gif                 all of them
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ppl_vae import figures
from ppl_vae.app.build import Pair
from ppl_vae.app.paths import write_arrays
from ppl_vae.app.run import Run
from ppl_vae.data import Dataset, Splits
from ppl_vae.errors import UserError
from ppl_vae.film import film_steps, take_frame
from ppl_vae.models import ConditionalVAE
from ppl_vae.predictive import plane_site
from ppl_vae.processes import current
from ppl_vae.rows import tables_of

_NUM_FRAMES = 48
_NUM_IMAGES = 200
_AXIS = torch.linspace(-3, 3, 15)
_FRAMES_PER_SECOND = 8
_LAST_SECONDS = 3.0  # the film stands still at its end
_MAX_REACH = 6.0  # of the plane that is shown, though single codes may lie farther out
_DPI = 72


def check_film(pair: Pair, event_shape: tuple[int, ...]) -> None:
    """See that a film of this pair can be taken.

    Raises:
        UserError: it cannot.
    """
    if not plane_site(pair.model, event_shape):
        raise UserError("--film shows the plane of one latent of size 2; train with --latent-dim 2.")
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
        steps_per_epoch = -(-len(splits.train) // settings.batch_size)
        self.folder = run.path / "film"
        self.steps = set(film_steps(settings.epochs * steps_per_epoch, _NUM_FRAMES))
        self.pair = pair
        self.label = 0 if isinstance(pair.model, ConditionalVAE) else None
        self.data: Dataset = filmed(pair, splits).fixed(0)

    def __call__(self, step: int) -> None:
        """Take a frame if this is one of the steps."""
        if step not in self.steps or not current().is_first:
            return
        device = next(self.pair.model.parameters()).device
        frame = take_frame(*self.pair, self.data.to(device), _AXIS, self.label)
        arrays = {"means": frame.means, "covariances": frame.covariances, "grid": frame.grid}
        self.folder.mkdir(exist_ok=True)
        write_arrays(
            self.folder / f"step-{step:08d}.npz",
            {**{name: value.cpu().numpy() for name, value in arrays.items()}, "elbo": np.asarray(frame.elbo)},
        )


def filmed(pair: Pair, splits: Splits) -> Dataset:
    """The images whose q is filmed."""
    unseen = splits.test is not None and not tables_of(pair.guide)
    return (splits.get("test") if unseen else splits.train).head(_NUM_IMAGES)


def develop(run: Run, pair: Pair, splits: Splits) -> Path | None:
    """Draw the frames that were taken, each as PNG and all as GIF; None where there are none.

    The plane that is shown holds nearly all codes of all frames.
    """
    taken = sorted((run.path / "film").glob("step-*.npz"))
    if not taken:
        return None
    frames = [dict(np.load(path, allow_pickle=False)) for path in taken]
    reach = min(_MAX_REACH, max(3.2, float(np.quantile(np.abs([frame["means"] for frame in frames]), 0.995)) * 1.1))
    data, settings = filmed(pair, splits), run.record.config.fit
    steps_per_epoch = -(-len(splits.train) // settings.batch_size)
    labels = None if data.y is None else data.y.numpy()
    pictures = []
    for path, frame in zip(tqdm(taken, unit="frame", desc="film", disable=None, leave=False), frames, strict=True):
        step = int(path.stem.removeprefix("step-"))
        figure = figures.film_frame(
            frame["means"],
            frame["covariances"],
            labels,
            frame["grid"],
            reach,
            title=f"step {step:,}, epoch {step / steps_per_epoch:.1f}, ELBO {frame['elbo']:.1f} nats",
        )
        figure.savefig(path.with_suffix(".png"), dpi=_DPI)
        pictures.append(path.with_suffix(".png"))
    gif = run.path / "film.gif"
    partial = gif.with_name("film.partial.gif")
    _animate(pictures, figures.film_palette(1 if labels is None else len(np.unique(labels))), partial)
    partial.replace(gif)
    return gif


def _animate(pictures: list[Path], colors: NDArray[np.uint8], gif: Path) -> None:
    """Write a GIF. All frames have the same palette: one of its own for each would let rare classes share a colour."""
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
    frames[0].save(gif, save_all=True, append_images=frames[1:], duration=durations, loop=0)
