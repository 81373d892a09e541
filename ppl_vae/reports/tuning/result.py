"""What a study has found: its trials, and the best one beside the settings as they were given."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from ppl_vae.estimates.estimate import Estimate
from ppl_vae.estimates.significance import beyond_chance
from ppl_vae.reports.next_steps import Step
from ppl_vae.reports.tuning.terms import TuneConfig, with_values
from ppl_vae.runs.command_line import train_command
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.shown import Cell, Row, Shown, as_csv, in_columns, with_error

_SHOWN = 10  # trials in what is printed


class Trial(NamedTuple):
    """One training of a study.

    Args:
        number: from 0, the settings as they are given.
        values: of what is searched, by name; none of the first trial.
        bound: on the validation data, nats per datapoint, of one that was ended early that of its last epoch; None
            where it has none.
        epochs: that it took.
        ended: how: to its end, early, or by an error, in words.
    """

    number: int
    values: dict[str, Any]
    bound: float | None
    epochs: int
    ended: str = ""

    @property
    def height(self) -> float:
        """The bound; below every other where there is none."""
        return -math.inf if self.bound is None else self.bound


@dataclass(frozen=True)
class Tuning(Shown):
    """The trials of a study; ``print`` shows the best ones, and what the best gains on the test data.

    Args:
        terms: of the study.
        trials: in their order.
        gain: the best trial's ELBO on the test data less that of the settings as given, paired by datapoint; None where
            these are the best.
        runs: folders of the two trainings, by the number of the trial; none of a temporary folder.
    """

    terms: TuneConfig
    trials: tuple[Trial, ...]
    gain: Estimate | None
    runs: dict[int, Path] = field(default_factory=dict)

    @property
    def best(self) -> Trial:
        """The trial with the best validation bound among those that ran to their end."""
        return best_of(self.trials)

    @property
    def best_settings(self) -> dict[str, Any]:
        """What is searched, as the best trial had it: keyword arguments of :func:`ppl_vae.fit` and of makers."""
        return self.best.values

    def rows(self) -> list[Row]:
        """One a trial, the best first, those that were ended early last."""
        ranked = sorted(self.trials, key=lambda each: (bool(each.ended), -each.height))
        names = {name: None for each in self.trials for name in each.values}
        return [
            {
                "trial": each.number,
                "validation_bound": each.bound,
                "epochs": each.epochs,
                "ended": each.ended or "at its end",
                **{name: _cell(each.values[name]) if name in each.values else None for name in names},
            }
            for each in ranked
        ]

    def __str__(self) -> str:
        early, shown = sum(bool(each.ended) for each in self.trials), self.rows()[:_SHOWN]
        head = [name.replace("_", " ") for name in shown[0]]
        table = in_columns([head, *([_text(cell) for cell in row.values()] for row in shown)])
        notes = f"{len(self.trials)} trials, {early} ended early; nats per datapoint, bigger is better; – is as given"
        return "\n".join([*table, notes, self.verdict])

    @property
    def verdict(self) -> str:
        """What the best trial gains on data that had no part in choosing it, in words."""
        if self.gain is None:
            return "no trial had a better validation bound than the settings as they were given"
        gain = f"{with_error(self.gain.mean, self.gain.stderr)} nats per datapoint"
        chance = "" if beyond_chance(self.gain) else "; that it is better there is not beyond chance"
        return (
            f"trial {self.best.number} less trial 0 on {len(self.gain.values):,} test datapoints: ELBO {gain} (paired "
            f"difference ± standard error over datapoints; one training each){chance}"
        )

    @property
    def next_step(self) -> Step | None:
        """The command that trains with the best settings; None where nothing is kept."""
        if not self.runs:
            return None
        out = self.runs[self.best.number]
        settings = with_values(self.terms.settings, self.best.values)
        return Step(train_command(settings, out.with_name("best")), f"the best settings; its run is {out}")

    def write(self, out: Path) -> Path:
        """Write ``trials.csv`` and ``tune.txt``, what is printed.

        Returns:
            the table.
        """
        write_text(out / "trials.csv", as_csv(self.rows()))
        write_text(out / "tune.txt", f"{self}\n\n{self.next_step}\n")
        return out / "trials.csv"


def best_of(trials: Sequence[Trial]) -> Trial:
    """The trial with the best validation bound among those that ran to their end."""
    return max((each for each in trials if not each.ended), key=lambda each: each.height)


def _cell(value: Any) -> Cell:
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value) if value is None or isinstance(value, bool) else value


def _text(cell: Cell) -> str:
    if not isinstance(cell, float):
        return "–" if cell is None else str(cell)
    return f"{cell:.4g}" if abs(cell) < 1 else f"{cell:.2f}"
