"""What training came to, epoch by epoch."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING

import torch

from ppl_vae import figures
from ppl_vae.estimates.significance import errors_of_chance
from ppl_vae.runtime.shown import Row, Shown, as_html, in_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ppl_vae.training.config import FitConfig
    from ppl_vae.training.earlier import Earlier

FEWEST_EPOCHS = 8
"""From so few on a climb can be told from the scatter of epochs."""
_SHARE = 0.05  # of the whole climb: a bound that nears its end exponentially is then 4 % of it away
_LEVEL = 0.01  # how often scatter alone is taken for a climb


@dataclass(frozen=True)
class EpochMetrics:
    """What one epoch came to, in nats per datapoint; of all but the KL bigger is better.

    Args:
        epoch: from 1.
        elbo: mean over the epoch's minibatches, while the parameters moved; with KL weight 1.
        bound: what the objective maximises, likewise: the ELBO, the K-sample importance bound, or one of your own. Of a
            guide that is a point, whose ELBO bounds nothing, reconstruction − kl_weight · kl.
        reconstruction: the ELBO's first part, E_q[log p(x | z)].
        kl: its second part, KL(q ‖ p(z)); elbo = reconstruction − kl.
        kl_weight: the weight of the KL in the loss at the epoch's end.
        validation_bound: the same bound on the validation data after the epoch, or None without any.
        seconds: what the epoch took.
        validation_reconstruction: of the same draws, or None without validation data, as of older runs.
        validation_kl: likewise.
    """

    epoch: int
    elbo: float
    bound: float
    reconstruction: float
    kl: float
    kl_weight: float
    validation_bound: float | None
    seconds: float
    validation_reconstruction: float | None = None
    validation_kl: float | None = None


def best_epoch(history: Sequence[EpochMetrics], kl_warmup: int = 0) -> EpochMetrics:
    """The epoch after the warm-up with the best validation bound, or the last one: what ``patience`` keeps."""
    validated = [row for row in history if row.validation_bound is not None and row.epoch > kl_warmup]
    return max(validated, key=lambda row: row.validation_bound or -math.inf, default=history[-1])


class History(list[EpochMetrics], Shown):
    """The metrics of every epoch of a training, a list: ``print`` shows the first, the best and the last one.

    Args:
        epochs: in their order.
        kl_warmup: epochs of the KL's warm-up, none of which can be the best.
        of_point: whether the guide is a point: then there is a reconstruction, and no bound on log p(x).
        loss: what the loss was, in words, where it is not simply minus the bound.
        earlier: what a later fit goes on from, where it is in memory: the argument ``earlier`` of
            :func:`ppl_vae.fit` takes this history for it.
        settings: of the fit, where it was in memory.
    """

    def __init__(
        self,
        epochs: Iterable[EpochMetrics] = (),
        kl_warmup: int = 0,
        of_point: bool = False,
        loss: str = "",
        earlier: "Earlier | None" = None,
        settings: "FitConfig | None" = None,
    ) -> None:
        super().__init__(epochs)
        self.kl_warmup, self.of_point, self.loss = kl_warmup, of_point, loss
        self.earlier, self.settings = earlier, settings

    @property
    def best(self) -> EpochMetrics:
        """The epoch after the warm-up with the best validation bound, or the last one where there is none."""
        return best_epoch(self, self.kl_warmup)

    @property
    def of_elbo(self) -> bool:
        """Whether the bound that was climbed is the ELBO."""
        rounding = {"rel_tol": 1e-6, "abs_tol": 1e-4}  # float32's, of the same sum
        return all(math.isclose(epoch.bound, epoch.elbo, **rounding) for epoch in self)

    @property
    def still_rising(self) -> bool:
        """Whether the bound was still climbing when training ended, by validation where there is one.

        A line is fitted to the last quarter of the epochs after the warm-up: it must climb by more than a twentieth of
        the whole climb, and by more than the epochs' scatter about it explains (Student's t, one in a hundred). Of
        fewer than eight epochs the last must be the best.
        """
        climb = [each.bound if each.validation_bound is None else each.validation_bound for each in self]
        followed = climb[self.kl_warmup :] or climb
        if len(followed) < FEWEST_EPOCHS:
            return bool(followed) and followed[-1] == max(followed)
        last = torch.tensor(followed[-1 - max(3, len(followed) // 4) :], dtype=torch.float64)
        if not last.isfinite().all():
            return False
        place = torch.arange(len(last), dtype=torch.float64) - (len(last) - 1) / 2
        spread, freedom = float(place.square().sum()), len(last) - 2
        slope = float(place @ last) / spread
        scatter = last - last.mean() - slope * place
        error = math.sqrt(float(scatter.square().sum()) / freedom / spread)
        chance = float(errors_of_chance(freedom, _LEVEL)) * error
        return slope > chance and slope * (len(last) - 1) > _SHARE * abs(climb[-1] - climb[0])

    def rows(self) -> list[Row]:
        """One for each epoch, its columns the fields of :class:`EpochMetrics`."""
        return [asdict(epoch) for epoch in self]

    def _repr_html_(self) -> str:
        """What ``print`` shows, as a table: of a hundred epochs nobody reads each."""
        if not self:
            return "<p>no epoch yet</p>"
        head, *lines, unit = self._told()
        named = [dict(zip(["", *head[1:]], line, strict=True)) for line in lines]
        return f"<div>{as_html(named)}<p>{escape(unit[0])}</p></div>"

    def figure(self, caption: str = "") -> "Figure":
        """The training curves, see :func:`ppl_vae.figures.training_curves`."""
        return figures.training_curves(self, caption, of_point=self.of_point)

    def __repr__(self) -> str:
        if not self:
            return "History of 0 epochs"
        name, value = ("reconstruction", self[-1].reconstruction) if self.of_point else ("ELBO", self[-1].elbo)
        return f"History of {len(self)} epochs, {name} {value:.2f} in the last"

    def __str__(self) -> str:
        if not self:
            return "no epoch yet"
        *lines, unit = self._told()
        return "\n".join([*in_columns(lines), *unit])

    def _told(self) -> list[list[str]]:
        """The first, the best and the last epoch as lines of cells, the head above; and a line that says the unit."""
        names: dict[int, list[str]] = {}
        for name, epoch in (("first", self[0]), ("best", self.best), ("last", self[-1])):
            if name != "best" or epoch.validation_bound is not None:
                names.setdefault(epoch.epoch, []).append(name)
        shown = [epoch for epoch in self if epoch.epoch in names]
        columns: dict[str, list[float | None]] = {}
        if not self.of_point:
            columns["elbo"] = [epoch.elbo for epoch in shown]
            if not self.of_elbo:
                columns["bound"] = [epoch.bound for epoch in shown]
        columns["reconstruction"] = [epoch.reconstruction for epoch in shown]
        if not self.of_point or any(epoch.kl_weight for epoch in self):
            columns["minus log p(z)" if self.of_point else "kl"] = [epoch.kl for epoch in shown]
        if any(epoch.validation_bound is not None for epoch in self):
            name = "validation" if self.of_point else "validation bound"
            columns[name] = [epoch.validation_bound for epoch in shown]
        columns["seconds"] = [epoch.seconds for epoch in shown]
        values = zip(*columns.values(), strict=True)
        lines = [
            [", ".join(names[epoch.epoch]), str(epoch.epoch), *("–" if v is None else f"{v:.2f}" for v in cells)]
            for epoch, cells in zip(shown, values, strict=True)
        ]
        of_kl = ", except for the KL" if "kl" in columns else ""
        unit = f"nats per datapoint, bigger is better{of_kl}{f'; {self.loss}' if self.loss else ''}"
        return [["", "epoch", *columns], *lines, [unit]]
