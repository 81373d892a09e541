"""What a training writes of each epoch: a row of ``metrics.csv`` and, if asked for, the events of TensorBoard."""

from ppl_vae.runs.run import Run
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import writing
from ppl_vae.training.metrics import EpochMetrics


class Recorder:
    """Writes each epoch's metrics into a run; see ``on_epoch`` of :func:`ppl_vae.training.fit`.

    Args:
        run: whose they are.
        tensorboard: whether TensorBoard's events are written too.

    Raises:
        UserError: TensorBoard is not installed.
    """

    def __init__(self, run: Run, tensorboard: bool) -> None:
        self.run = run
        self.writer = None
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter  # an optional extra
            except ImportError:
                raise UserError("TensorBoard is not installed; pip install 'ppl_vae[tensorboard]'.") from None
            with writing(run.path / "tensorboard"):
                self.writer = SummaryWriter(run.path / "tensorboard")

    def __call__(self, metrics: EpochMetrics) -> None:
        """Write an epoch."""
        self.run.append_metrics(metrics)
        if self.writer:
            values = {"bound/train": metrics.bound, "bound/validation": metrics.validation_bound}
            values |= {
                "parts/elbo": metrics.elbo,
                "parts/reconstruction": metrics.reconstruction,
                "parts/kl": metrics.kl,
                "validation/reconstruction": metrics.validation_reconstruction,
                "validation/kl": metrics.validation_kl,
            }
            with writing(self.run.path / "tensorboard"):
                for name, value in values.items():
                    if value is not None:
                        self.writer.add_scalar(name, value, metrics.epoch)

    def close(self) -> None:
        """Let the files go."""
        if self.writer:
            with writing(self.run.path / "tensorboard"):
                self.writer.close()
