"""What follows a fit from outside, as TensorBoard, MLflow or Weights & Biases do: the contract, and TensorBoard."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

from ppl_vae.runtime.config import to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import writing
from ppl_vae.training.config import FitConfig
from ppl_vae.training.metrics import EpochMetrics


class Tracker(Protocol):
    """What ``fit(..., trackers=[...])`` tells of a training; of several processes the first tells it.

    A tracker looks on: what is to change the pair is ``on_epoch``. What it raises ends the training.
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


@contextmanager
def tracked(
    trackers: Iterable[Tracker], settings: FitConfig, history: Sequence[EpochMetrics]
) -> Iterator[Sequence[Tracker]]:
    """Inside the block a training is followed by trackers: those that have begun are told of its end, come what may.

    Args:
        trackers: who follows it.
        settings: of the fit.
        history: its epochs, a list that grows.
    """
    with ExitStack() as begun:
        following = list(trackers)
        for tracker in following:
            tracker.begin(to_plain(settings))
            begun.callback(tracker.end, history)
        yield following


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
