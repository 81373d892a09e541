"""What a fit has come to: all that its checkpoint holds, and that it goes on from."""

import copy
import math
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor, nn

from ppl_vae import checkpoint
from ppl_vae.config import to_plain
from ppl_vae.data.dataset import Dataset
from ppl_vae.errors import UserError, reason
from ppl_vae.fit_config import FitConfig
from ppl_vae.metrics import EpochMetrics
from ppl_vae.seeding import rng_state, set_rng_state
from ppl_vae.svi import PairOptimizer


class TrainingState:
    """The pair and its optimizer, the epochs that are done, the best of them, and where the current one stands.

    Args:
        model: p(x, z), on the device.
        guide: q(z | x), on the device.
        data: what is trained on, on the device.
        settings: of the fit.
    """

    def __init__(self, model: nn.Module, guide: nn.Module, data: Dataset, settings: FitConfig) -> None:
        self.model, self.guide, self.settings = model, guide, settings
        self.num_data, self.device = len(data), data.x.device
        self.optimizer = PairOptimizer(model, guide, settings.optimizer)
        self.history: list[EpochMetrics] = []
        self.best: checkpoint.State | None = None  # {"bound", "epoch", "model", "guide"}
        # Where the current epoch stands: the order of its rows, how many steps are done, Σ of what a step returns.
        self.order: Tensor | None = None
        self.step = 0
        self.sums = torch.zeros(3, dtype=data.x.dtype, device=data.x.device)

    @property
    def steps_per_epoch(self) -> int:
        """Steps that an epoch takes."""
        return math.ceil(self.num_data / self.settings.batch_size)

    @property
    def steps_done(self) -> int:
        """Steps since the beginning."""
        return len(self.history) * self.steps_per_epoch + self.step

    def remember_best(self, bound: float) -> None:
        """Keep the weights if the epoch that has just ended has the best validation bound so far."""
        if self.best is None or bound > self.best["bound"]:
            weights = copy.deepcopy({"model": self.model.state_dict(), "guide": self.guide.state_dict()})
            self.best = {"bound": bound, "epoch": len(self.history), **weights}

    def stopped_early(self) -> bool:
        """Whether ``patience`` has run out."""
        patience = self.settings.patience
        return bool(patience and self.best and len(self.history) - self.best["epoch"] >= patience)

    def to_checkpoint(self, sums: Tensor) -> checkpoint.State:
        """What a checkpoint holds.

        Args:
            sums: those of all processes together, ``(3,)``.
        """
        return {
            "settings": to_plain(self.settings),
            "num_data": self.num_data,
            "model": self.model.state_dict(),
            "guide": self.guide.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": rng_state(self.device),
            "history": [asdict(metrics) for metrics in self.history],
            "best": self.best,
            "order": self.order,
            "step": self.step,
            "sums": sums,
        }

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            UserError: there is none, or it is of another pair, other data or other settings.
        """
        state = checkpoint.load(path, self.device)
        fixed = {"epochs", "device", "engine"}  # may differ
        mine, theirs = to_plain(self.settings), state.get("settings") or {}
        changed = sorted(key for key in mine if key not in fixed and mine[key] != theirs.get(key))
        if changed or state.get("num_data") != self.num_data:
            what = ", ".join(changed) or "the number of datapoints"
            raise UserError(f"{path}: {what} differ from the checkpoint's; resume with what it was begun with.")
        try:
            self.model.load_state_dict(state["model"])
            self.guide.load_state_dict(state["guide"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.history = [EpochMetrics(**row) for row in state["history"]]
            self.best, self.order, self.step = state["best"], state["order"], state["step"]
            self.sums = state["sums"]
            set_rng_state({kind: value.cpu() for kind, value in state["rng"].items()}, self.device)
        except Exception as error:  # a checkpoint made by other hands can hold anything
            raise UserError(f"{path}: the checkpoint is of another model or guide ({reason(error)}).") from None
        if len(self.history) > self.settings.epochs:
            raise UserError(f"{path} has {len(self.history)} epochs already; resume it for more, not fewer.")
