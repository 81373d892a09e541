"""What follows a fit from outside, as TensorBoard, MLflow or Weights & Biases do: the contract, and TensorBoard."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ppl_vae.runtime.config import to_plain
from ppl_vae.runtime.errors import UserError, as_given, reason
from ppl_vae.runtime.files import writing
from ppl_vae.training.config import FitConfig
from ppl_vae.training.metrics import EpochMetrics

_METHODS = ("begin", "epoch", "end")


class Tracker(Protocol):
    """What ``fit(..., trackers=[...])`` tells of a training; of several processes the first tells it.

    A tracker looks on: what is to change the pair is ``on_epoch``. Where it cannot begin, training does not; what it
    raises later is a warning, and training goes on without it.
    """

    def begin(self, settings: Mapping[str, Any]) -> object:
        """Called before the first step, or the first one after a resume.

        Args:
            settings: of the fit by name, plain values; those of the optimizer are in ``settings["optimizer"]``.
        """

    def epoch(self, metrics: EpochMetrics) -> object:
        """Called after each epoch with what it came to."""

    def end(self, history: Sequence[EpochMetrics]) -> object:
        """Called after the last epoch, and also where an error or a signal has stopped the training.

        Args:
            history: the epochs that are done, those before a resume too.
        """


def checked_trackers(trackers: Iterable[Tracker]) -> list[Tracker]:
    """Trackers, each of which has the three methods.

    Raises:
        UserError: one has not, or they are no list.
    """
    if not isinstance(trackers, Iterable):
        raise UserError(f"`trackers` is a {type(trackers).__name__}; give a list of trackers, if only of one.")
    found = list(trackers)
    for each in found:
        if isinstance(each, type) or not all(callable(getattr(each, name, None)) for name in _METHODS):
            what = as_given(each)
            raise UserError(f"`trackers` holds {what}; a tracker is an object with {', '.join(_METHODS)}.")
    return found


@contextmanager
def tracked(
    trackers: Iterable[Tracker],
    settings: FitConfig,
    history: Sequence[EpochMetrics],
    warn: Callable[[str], object],
) -> Iterator[Sequence[Callable[[EpochMetrics], object]]]:
    """Inside the block a training is followed by trackers: those that have begun are told of its end, come what may.

    Args:
        trackers: who follows it.
        settings: of the fit.
        history: its epochs, a list that grows.
        warn: called with what one of them has raised, in words.

    Yields:
        whom to tell of each epoch.
    """
    with ExitStack() as begun:
        following = []
        for tracker in trackers:
            tracker.begin(to_plain(settings))
            told = _Told(tracker, warn)
            begun.callback(told.end, history)
            following.append(told.epoch)
        yield following


class _Told:
    """A tracker that training outlives: hours of it are not to be lost by what merely looks on.

    Args:
        tracker: that has begun.
        warn: called once, with the first thing that it raises.
    """

    def __init__(self, tracker: Tracker, warn: Callable[[str], object]) -> None:
        self.tracker, self.warn, self.failed = tracker, warn, False

    def epoch(self, metrics: EpochMetrics) -> None:
        """Tell it, unless it has failed before."""
        if not self.failed:
            self._tell(self.tracker.epoch, metrics, f"epoch {metrics.epoch}")

    def end(self, history: Sequence[EpochMetrics]) -> None:
        """Tell it in any case: it may have something to let go."""
        self._tell(self.tracker.end, history, "the end")

    def _tell(self, method: Callable[[Any], object], what: Any, when: str) -> None:
        try:
            method(what)
        except Exception as error:
            if not self.failed:
                name = type(self.tracker).__name__
                self.warn(f"{name} has failed at {when} ({reason(error)}); training goes on without it.")
            self.failed = True


class TensorBoard:
    """A :class:`Tracker` that writes TensorBoard's events.

    Args:
        folder: where; made if it is not there.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, folder: Path | str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # an optional extra
        except ImportError:
            raise UserError("TensorBoard is not installed; pip install 'ppl_vae[tensorboard]'.") from None
        self.folder, self.make = Path(folder), SummaryWriter

    def begin(self, settings: Mapping[str, Any]) -> None:
        """Open a file of events."""
        with writing(self.folder):
            self.writer = self.make(self.folder)

    def epoch(self, metrics: EpochMetrics) -> None:
        """Write a point of each curve."""
        values = {"bound/train": metrics.bound, "bound/validation": metrics.validation_bound}
        values |= {
            "parts/elbo": metrics.elbo,
            "parts/reconstruction": metrics.reconstruction,
            "parts/kl": metrics.kl,
            "validation/reconstruction": metrics.validation_reconstruction,
            "validation/kl": metrics.validation_kl,
        }
        with writing(self.folder):
            for name, value in values.items():
                if value is not None:
                    self.writer.add_scalar(name, value, metrics.epoch)

    def end(self, history: Sequence[EpochMetrics]) -> None:
        """Let the file go."""
        with writing(self.folder):
            self.writer.close()
