"""What a fit has come to, held in memory, for a later fit of the same pair to go on from, on the same data or other."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import rng_state, set_rng_state
from ppl_vae.training.metrics import EpochMetrics
from ppl_vae.training.state import TrainingState


@dataclass(eq=False)
class Earlier:
    """Where fits of one pair stand, beside its weights, which are in the pair; moved on by each of them.

    On the CPU, on the same data and by the same steps, several fits are bit for bit one of as many epochs; where early
    stopping has ended one with its best epoch's weights, the next one goes on from these, and ends with none that are
    worse.

    Args:
        history: the epochs so far; none before the first fit.
        optimizer: moments and counts, on the CPU.
        rng: the states of the generators.
        best: the best epoch's weights, where early stopping was looking for it when a fit was stopped.
        kept: of which epoch the pair's weights are, after a fit that has ended, and on how much data: its rows and the
            steps of an epoch.
        stopped_in: where the epoch stood in which a fit was stopped: its order, the steps done, their sums.
    """

    history: list[EpochMetrics] = field(default_factory=list)
    optimizer: dict[str, Any] = field(default_factory=dict)
    rng: dict[str, Tensor] = field(default_factory=dict)
    best: dict[str, Any] | None = None
    kept: tuple[int, tuple[int, int]] | None = None
    stopped_in: dict[str, Any] | None = None

    def begin(self, state: TrainingState) -> None:
        """Have a fit that begins go on from here, see :meth:`put_into`.

        Raises:
            UserError: as there; or patience has run out already, so that there is nothing to go on with.
        """
        self.put_into(state)
        if state.best and state.stopped_early():
            raise UserError(
                f"the earlier fit ended with `patience` {state.settings.patience}, no epoch of {len(state.history)} "
                f"being better than epoch {state.best['epoch']}; raise it to go on, or set it to 0."
            )

    def put_into(self, state: TrainingState) -> None:
        """Have a fit that begins go on from here; nothing before the first step.

        Raises:
            UserError: these were fits of another pair, or by another optimizer.
        """
        if not self.optimizer:
            return
        if not state.optimizer.has_made(self.optimizer):
            raise UserError("what an earlier fit has come to is of another pair or another optimizer; begin anew.")
        state.optimizer.load_state_dict(self.optimizer)
        state.history, state.best = list(self.history), self.best
        of = state.num_data, state.steps_per_epoch
        if self.kept and self.kept[1] == of and state.counts(row := self.history[self.kept[0] - 1]):
            state.best = {"bound": row.validation_bound, "epoch": row.epoch, **state.average.state()}
        if self.stopped_in and self.stopped_in["of"] == of:
            state.order, state.sums = (self.stopped_in[name].to(state.device) for name in ("order", "sums"))
            state.step = self.stopped_in["step"]
        set_rng_state(self.rng, state.device)

    def take_from(self, state: TrainingState) -> None:
        """Hold what a fit has come to."""
        self.history = list(state.history)
        self.optimizer = _copied(state.optimizer.state_dict())
        self.rng = rng_state(state.device)
        unfinished = len(state.history) < state.settings.epochs and not state.stopped_early()
        of = state.num_data, state.steps_per_epoch
        self.best = _copied(state.best) if unfinished else None
        self.kept = None if unfinished else (state.best["epoch"] if state.best else len(state.history), of)
        self.stopped_in = None
        if state.order is not None:
            stands = {"order": _copied(state.order), "step": state.step, "sums": _copied(state.sums)}
            self.stopped_in = {"of": of, **stands}


def _copied(state: Any) -> Any:
    """Tensors of its own, on the CPU, so that it can be pickled for anywhere."""
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, dict):
        return {name: _copied(value) for name, value in state.items()}
    return [_copied(value) for value in state] if isinstance(state, list) else state
