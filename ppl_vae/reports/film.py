"""The film of a training, made of the frames that were taken (:mod:`ppl_vae.runs.film`).

RUN/film/step-00001234.png   a frame's picture
RUN/film.gif                 all of them
"""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ppl_vae import figures
from ppl_vae.data import Splits
from ppl_vae.predictive.rendering import image_of
from ppl_vae.programs.density import has_density
from ppl_vae.registry.build import Pair
from ppl_vae.runs.film import film_folder, filmed, label_of
from ppl_vae.runs.opened import split_shown
from ppl_vae.runs.run import Run
from ppl_vae.runtime.errors import UserError, reason, warned
from ppl_vae.runtime.files import CannotWriteError, write_bytes

_FRAMES_PER_SECOND = 8
_LAST_SECONDS = 3.0  # the film stands still at its end
_IN_FRAME = ("means", "covariances", "grid", "elbo", "elbo_stderr")
_ADDED = ("reconstruction", "reconstruction_stderr")  # frames of earlier versions have none
_MAX_REACH = 6.0  # of the plane that is shown, though single codes may lie farther out


def film_of(run: Run, pair: Pair, splits: Splits, left_out: Callable[[str], object] = warned) -> Path | None:
    """:func:`develop`, but for a film that cannot be drawn: a finished training must not end in that.

    Args:
        run: trained.
        pair: as it opens.
        splits: its data.
        left_out: called, in words, if the film cannot be drawn.

    Returns:
        the film; None where there is none.
    """
    try:
        return develop(run, pair, splits)
    except CannotWriteError:
        raise
    except Exception as error:  # frames of other hands can hold anything
        left_out(f"left out film: {reason(error)}")
        return None


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
    steps_per_epoch = settings.steps_per_epoch(len(splits.train))
    info, label = run.record.info, label_of(pair, run.record.info)
    labels = None if data.y is None else info.shown(data.y)
    where = {"train": "training", "test": "test"}[split_shown(pair, splits)]
    point = not has_density(pair.guide, data.probe())
    pictures = []
    for path, frame in zip(tqdm(taken, unit="frame", desc="film", disable=None, leave=False), frames, strict=True):
        step = int(path.stem.removeprefix("step-"))
        figure = figures.film_frame(
            frame["means"],
            frame["covariances"],
            labels,
            image_of(info, frame["grid"]),
            reach,
            title=f"step {step:,}, epoch {step / steps_per_epoch:.1f}: {_reached(frame, point)}{len(data)} {where} "
            "images",
            point=point,
            given="z" if label is None else f"z, y = {info.called(info.labels)[label]}",
        )
        figures.save_frame(figure, path.with_suffix(".png"))
        pictures.append(path.with_suffix(".png"))
    gif = run.path / "film.gif"
    write_bytes(gif, _animated(pictures, figures.film_palette(1 if labels is None else len(np.unique(labels)))))
    return gif


def _reached(frame: dict[str, NDArray[np.float64]], point: bool) -> str:
    """How good the pair is at this step: its ELBO, of a point its reconstruction."""
    name, called = ("reconstruction", "reconstruction") if point else ("elbo", "ELBO")
    return f"{called} {frame[name]:.1f} ± {frame[f'{name}_stderr']:.1f} nats, of " if name in frame else ""


def _read(path: Path) -> dict[str, NDArray[np.float64]]:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in (*_IN_FRAME, *(each for each in _ADDED if each in arrays))}
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
