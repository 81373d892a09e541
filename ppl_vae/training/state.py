"""What a fit has come to: all that its checkpoint holds, and that it goes on from."""

from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.config import to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import rng_state, set_rng_state
from ppl_vae.runtime.untrusted import Found
from ppl_vae.svi import PairOptimizer
from ppl_vae.training.average import Average
from ppl_vae.training.config import FitConfig
from ppl_vae.training.metrics import EpochMetrics
from ppl_vae.training.resume import (
    check_average,
    check_best,
    check_history,
    check_optimizer,
    check_order,
    check_rng,
    check_settings,
    check_sums,
    check_weights,
    load_weights,
)


class DivergedError(UserError):
    """Training came to what is no finite number."""


class TrainingState:
    """The pair and its optimizer, the epochs that are done, the best of them, and where the current one stands.

    Args:
        model: p(x, z), on the device.
        guide: q(z | x), on the device.
        data: what is trained on, on the device.
        settings: of the fit.
        objective: the name of the class of a user's own objective; None where the settings name it.
    """

    def __init__(
        self, model: nn.Module, guide: nn.Module, data: Dataset, settings: FitConfig, objective: str | None = None
    ) -> None:
        self.model, self.guide, self.settings = model, guide, settings
        self.begun_with = to_plain(settings) | ({"objective": objective} if objective else {})
        self.num_data, self.device = len(data), data.device
        self.num_parts = data.num_parts
        self.optimizer = PairOptimizer(model, guide, settings.optimizer)
        self.average = Average(model, guide, settings.optimizer.weight_average)
        self.history: list[EpochMetrics] = []
        self.best: checkpoint.State | None = None  # {"bound", "epoch", "model", "guide"}
        # Where the current epoch stands: the order of its parts, how many steps are done, Σ of what a step returns.
        self.order: Tensor | None = None
        self.step = 0
        # A mask of a user's model, for one: infinite from the beginning.
        self._infinite = {name for name, value in self._weights().items() if not value.isfinite().all()}
        self.sums = torch.zeros(3, dtype=data.dtype, device=data.device)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that an epoch takes."""
        return self.settings.steps_per_epoch(self.num_data)

    @property
    def steps_done(self) -> int:
        """Steps since the beginning."""
        return len(self.history) * self.steps_per_epoch + self.step

    @property
    def epoch(self) -> int:
        """The number of the current epoch, from 1."""
        return len(self.history) + 1

    def diverged(self, what: str) -> DivergedError:
        """The error that says so."""
        return DivergedError(
            f"training diverged in epoch {self.epoch} ({what}); lower the learning rate or set a clip norm."
        )

    def counts(self, row: EpochMetrics) -> bool:
        """Whether early stopping looks at this epoch."""
        return bool(self.settings.patience) and row.validation_bound is not None and row.epoch > self.settings.kl_warmup

    def followed_bounds(self) -> list[float]:
        """The validation bounds of the epochs after both warm-ups, which a plateau is looked for in."""
        warm = max(self.settings.kl_warmup, self.settings.optimizer.rate_warmup)
        return [row.validation_bound for row in self.history[warm:] if row.validation_bound is not None]

    def end_epoch(self, row: EpochMetrics) -> None:
        """Close an epoch, and keep its weights if its validation bound is the best so far."""
        self.order, self.step = None, 0
        self.history.append(row)
        if self.counts(row) and (self.best is None or row.validation_bound > self.best["bound"]):
            self.best = {"bound": row.validation_bound, "epoch": row.epoch, **self.average.state()}

    def stopped_early(self) -> bool:
        """Whether ``patience`` has run out."""
        patience = self.settings.patience
        return bool(patience and self.best and len(self.history) - self.best["epoch"] >= patience)

    def not_finite(self, sums: Tensor) -> str | None:
        """The name of something that is not finite any more; None if all is well. Waits for the device.

        Args:
            sums: as for :meth:`to_checkpoint`.
        """
        tensors = {"the bound": sums[:1], **self._weights(), **self.optimizer.named_moments()}
        looked_at = {name: tensor for name, tensor in tensors.items() if name not in self._infinite}
        # A sum of which one number is not finite is not either, and is ten times as quick as looking at each.
        totals = torch.stack([tensor.detach().sum().float() for tensor in looked_at.values()])
        if bool(totals.isfinite().all()):
            return None
        return next((name for name, tensor in looked_at.items() if not tensor.isfinite().all()), None)

    def _weights(self) -> dict[str, Tensor]:
        programs = {"model": self.model, "guide": self.guide}.items()
        return {
            f"{of}.{name}": value.abs() if value.is_complex() else value
            for of, program in programs
            for name, value in program.state_dict().items()
            if isinstance(value, Tensor)
        }

    def to_checkpoint(self, sums: Tensor) -> checkpoint.State:
        """What a checkpoint holds.

        Args:
            sums: those of all processes together, ``(3,)``.
        """
        return {
            "settings": self.begun_with,
            "num_data": self.num_data,
            "model": self.model.state_dict(),
            "guide": self.guide.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": rng_state(self.device),
            "history": [asdict(metrics) for metrics in self.history],
            "best": self.best,
            "average": self.average.state() if self.average.decay else None,
            "order": self.order,
            "step": self.step,
            "sums": sums,
        }

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; nothing is changed before all of it has been checked.

        Raises:
            UserError: there is none, or it is damaged, of another pair, of other data or of other settings.
        """
        checked = self.check(path)
        if checked["average"]:
            self._put(path, checked["average"])
            self.average.restart()
        self._put(path, checked)
        self.optimizer.load_state_dict(checked["optimizer"])
        self.history, self.best, self.order = checked["history"], checked["best"], checked["order"]
        self.step, self.sums = checked["step"], checked["sums"]
        set_rng_state(checked["rng"], self.device)

    def _put(self, path: Path, weights: checkpoint.State) -> None:
        load_weights(path, self.model, weights["model"])
        load_weights(path, self.guide, weights["guide"])

    def check(self, path: Path) -> checkpoint.State:
        """See that this fit can go on from a checkpoint, changing nothing.

        Returns:
            what it holds, in the form that it is used in.

        Raises:
            UserError: as :meth:`load`.
        """
        self.checked(path, checkpoint.outline(path))  # sizes before contents
        return self.checked(path, checkpoint.load(path, self.device))

    def checked(self, path: Path, state: checkpoint.State) -> checkpoint.State:
        """The same for a state that was read; see :meth:`check`."""
        found = Found(path, {"average": None, **state}).entries(_KEYS)  # earlier versions had none
        check_settings(found["settings"], self.begun_with)
        if found["num_data"].integer(0, 2**63) != self.num_data:
            raise UserError(
                f"{path}: the number of datapoints differ from the checkpoint's; resume with what it was begun with."
            )
        history = check_history(found["history"])
        if len(history) > self.settings.epochs:
            raise UserError(f"{path} has {len(history)} epochs already; resume it for more, not fewer.")
        model, guide = check_weights(found["model"], self.model), check_weights(found["guide"], self.guide)
        best = check_best(found["best"], self.model, self.guide, history)
        if best is None and any(map(self.counts, history)):
            raise found["best"].wrong("missing, where early stopping has kept an epoch")
        order = check_order(found["order"], self.num_parts)
        step = found["step"].integer(0, 0 if order is None else self.steps_per_epoch)
        steps = len(history) * self.steps_per_epoch + step
        return {
            "model": model,
            "guide": guide,
            "best": best,
            "average": check_average(found["average"], self.model, self.guide, bool(self.average.decay)),
            "history": history,
            "order": order,
            "step": step,
            "sums": check_sums(found["sums"], self.sums.dtype),
            "optimizer": check_optimizer(found["optimizer"], self.optimizer, steps),
            "rng": check_rng(found["rng"]),
        }


_KEYS = (
    *("format", "settings", "num_data", "model", "guide", "optimizer", "rng"),
    *("history", "best", "average", "order", "step", "sums"),
)
