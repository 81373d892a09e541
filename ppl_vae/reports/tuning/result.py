"""What a study has found: its trials, and the best one beside the settings as they were given."""

import math
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppl_vae import figures
from ppl_vae.data.torchvision_sets import NAMES
from ppl_vae.estimates.estimate import Estimate
from ppl_vae.estimates.significance import beyond_chance
from ppl_vae.reports.next_steps import Step
from ppl_vae.reports.tuning.searched import Searched
from ppl_vae.reports.tuning.terms import TuneConfig, with_values
from ppl_vae.reports.tuning.trial import Elbos, Trial, best_of
from ppl_vae.runs.command_line import command, train_command
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.shown import Cell, Row, Shown, as_csv, as_html, in_columns, with_error

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AT_RANDOM = 6
"""Trials before the others are learned from."""
_SHOWN = 10  # trials in what is printed
_OF_TRIAL = ("trial", "validation_bound", "epochs", "ended")  # columns of the table that are no settings
_LOW = "What is far lower than most, or has no bound, is marked at the lower edge"
_LONG = 1e6  # from which on a number is written with a power of ten
_EDGE = 0.03  # of a range: what is so near to its end is at its end


@dataclass(frozen=True)
class Tuning(Shown):
    """The trials of a study; ``print`` shows the best ones, and what the best gains on the test data.

    Args:
        terms: of the study, as it was asked for.
        trials: in their order.
        elbo: of the best trial and of the first, by their numbers.
        searched: the settings that were searched.
        settings: as they were given, with what was chosen by the data.
        given: of what is searched, the values as they were given, as far as the pair has them.
        too_soon: which of the two trainings ended too soon to be judged, in words; empty where none did.
        runs: folders of the two trainings, by the number of the trial; none of a temporary folder.
        files: what was written that is worth a look, by kind; likewise.
    """

    terms: TuneConfig
    trials: tuple[Trial, ...]
    elbo: dict[int, Elbos]
    searched: tuple[Searched, ...] = ()
    settings: TrainConfig = field(default_factory=TrainConfig)
    given: dict[str, Any] = field(default_factory=dict)
    too_soon: str = ""
    runs: dict[int, Path] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def best(self) -> Trial:
        """The trial with the best validation bound among those that ran to their end."""
        return best_of(self.trials)

    @property
    def best_settings(self) -> dict[str, Any]:
        """What is searched, as the best trial had it: keyword arguments of :func:`ppl_vae.fit` and of makers."""
        return self.values_of(self.best)

    @property
    def lead(self) -> Elbos | None:
        """The best trial's ELBOs less those of the settings as given; None where these are the best."""
        return self.elbo[self.best.number].less(self.elbo[0]) if self.best.number else None

    @property
    def gain(self) -> Estimate | None:
        """The lead on the test data, which had no part in the choice."""
        return self.lead.test if self.lead else None

    def values_of(self, trial: Trial) -> dict[str, Any]:
        """What is searched, as a trial had it, by name."""
        return {**self.given, **trial.values}

    def rows(self) -> list[Row]:
        """One a trial, the best first, those that did not run to their end last. A setting that is called as one of the
        table's own columns has another name there: ``epochs`` is ``searched_epochs``."""
        ranked = sorted(self.trials, key=lambda each: (bool(each.ended), -each.height))
        names = dict.fromkeys(name for each in self.trials for name in self.values_of(each))
        columns = {name: f"searched_{name}" if name in _OF_TRIAL else name for name in names}
        return [
            {
                "trial": each.number,
                "validation_bound": each.bound,
                "epochs": each.epochs,
                "ended": each.ended or "at its end",
                **{columns[name]: as_cell(values[name]) if name in values else None for name in names},
            }
            for each in ranked
            for values in [self.values_of(each)]
        ]

    def __str__(self) -> str:
        shown = self.rows()[:_SHOWN]
        head = [name.replace("_", " ") for name in shown[0]]
        return "\n".join(
            [*in_columns([head, *([as_text(cell) for cell in row.values()] for row in shown)]), *self.footnotes()]
        )

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{escape(line)}</p>" for line in self.footnotes())
        return f"<div>{as_html(self.rows())}{notes}</div>"

    def footnotes(self) -> list[str]:
        """What the numbers are, what the best trial gains, and what its choice does to its number, a line each."""
        notes = "nats per datapoint, bigger is better; trial 0 has the settings as they were given"
        return [f"{self.how_many}; {notes}", self.verdict, *filter(None, [self.choice])]

    @property
    def how_many(self) -> str:
        """Trials, and how they ended, in words."""
        ended = [each.ended for each in self.trials if each.ended]
        trials = f"{len(self.trials)} trial{'' if len(self.trials) == 1 else 's'}"
        others = [f"{ended.count(how)} {how}" for how in ("diverged", "failed") if how in ended]
        return ", ".join([trials, f"{ended.count('early')} ended early", *others])

    @property
    def verdict(self) -> str:
        """What the best trial gains on data that had no part in choosing it, in words."""
        if self.gain is None:
            return "no trial had a better validation bound than the settings as they were given"
        gain = f"{signed(self.gain)} nats per datapoint"
        chance = "" if beyond_chance(self.gain) else "; that it is better there is not beyond chance"
        if beyond_chance(self.elbo[0].less(self.elbo[self.best.number]).test):
            chance = "; there it is worse, beyond chance"
        return (
            f"trial {self.best.number} less trial 0 on {len(self.gain.values):,} test datapoints: ELBO {gain} (paired "
            f"difference ± standard error over datapoints; one training each){chance}"
        )

    @property
    def choice(self) -> str:
        """That the best of several was chosen, and what this does to its number, in words; empty where none was."""
        if self.lead is None:
            return ""
        found, whole = self.lead.validation, sum(not each.ended for each in self.trials)
        return (
            f"trial {self.best.number} was chosen as the best of {whole} that ran to their end, by "
            f"{len(found.values):,} validation datapoints, on which its ELBO leads by {signed(found)}: the highest of "
            "several uncertain numbers is too high on average, so go by the test data, which had no part in the choice"
        )

    @property
    def warnings(self) -> list[str]:
        """What is to be known before the settings are used, in words."""
        found = [f"{self.too_soon[:1].upper()}{self.too_soon[1:]}"] if self.too_soon else []
        for why in dict.fromkeys(each.why for each in self.trials if each.why):
            failed = [str(each.number) for each in self.trials if each.why == why]
            found.append(f"Trial{'s' if len(failed) > 1 else ''} {', '.join(failed)} could not be trained: {why}")
        if len(self.trials) <= AT_RANDOM:
            found.append(
                f"All {len(self.trials)} trials have settings that were given or drawn at random: a search learns from "
                f"those before from trial {AT_RANDOM} on. With more `trials` the same study goes on."
            )
        for each in self.searched:
            value = self.best.values.get(each.name)
            if value is not None and (end := each.nearest_end(value, _EDGE)):
                found.append(
                    f"The best `{each.name}`, {as_text(value)}, is at the {end} end of its range: what is beyond may "
                    "be better."
                )
        return found

    @property
    def caption(self) -> str:
        """What was searched, in words."""
        settings = self.settings
        return f"{Path(settings.data.data).name}: {settings.in_words}, up to {self.most_epochs} epochs a trial"

    @property
    def most_epochs(self) -> int:
        """How many epochs a trial may take: as given, or the most that are searched."""
        searched = [end for each in self.searched if each.name == "epochs" for end in each.ends]
        return max([self.settings.fit.epochs, *map(int, searched)])

    def figure(self) -> "Figure":
        """The validation bound of each trial, and the best so far."""
        words = (
            f"{self.caption}. The validation bound of each trial, of one that was ended early that of its last epoch, "
            f"and the best so far of those that ran to their end. {_LOW}"
        )
        return figures.trial_history(*self._bounds, words)

    def figure_of_settings(self) -> "Figure":
        """The validation bound of each trial against each setting that was searched."""
        values = [self.values_of(each) for each in self.trials]
        drawn = [
            figures.Searched(
                each.name,
                [
                    as_text(row[each.name]) if each.choices and each.name in row else row.get(each.name)
                    for row in values
                ],
                [as_text(choice) for choice in each.choices.values()],
                each.in_logarithm,
            )
            for each in self.searched
        ]
        words = (
            f"{self.caption}. The validation bound of each trial against each setting that was searched. The search "
            f"goes where bounds were good, so trials are not spread evenly, and settings change together. {_LOW}"
        )
        return figures.trial_settings(drawn, *self._bounds, words)

    @property
    def _bounds(self) -> tuple[list[float], list[bool]]:
        bounds = [math.nan if each.bound is None else each.bound for each in self.trials]
        return bounds, [not each.ended for each in self.trials]

    @property
    def closing(self) -> str:
        """What is to be known before the settings are used, where its files are, and what to do next, a line each."""
        step = self.next_step
        warned = [("warning", words) for words in self.warnings]
        lines = [*warned, *self.files.items(), *([("next", step)] if step else [])]
        return "\n".join(f"{kind:<9}{what}" for kind, what in lines)

    @property
    def next_step(self) -> Step | None:
        """The command that trains with the best settings, or goes on where none are better; None where nothing is
        kept."""
        if not self.runs:
            return None
        out = self.runs[self.best.number]
        if not self.best.number:
            more = replace(self.terms, trials=2 * len(self.trials))
            return Step(self.command_of(more, out.parent), "no trial was better as yet: the study goes on to more")
        best = with_values(self.settings, self.best.values)
        return Step(train_command(best, out.with_name("best")), f"the best settings; their run is {out} already")

    def write(self, out: Path) -> dict[str, Path]:
        """Write ``trials.csv``, and ``tune.txt``, what is printed, into the study's folder, over older ones.

        Returns:
            what is worth a look, by kind.
        """
        write_text(out / "trials.csv", as_csv(self.rows()))
        write_text(out / "tune.txt", f"{self}\n\n{self.next_step}\n")
        return {"trials": out / "trials.csv"}

    @staticmethod
    def command_of(terms: TuneConfig, out: Path) -> str:
        """The command of a study on these terms."""
        return command("tune", terms, TuneConfig(), out, terms.settings.data.data in NAMES)


def signed(difference: Estimate) -> str:
    """A difference ± its standard error, with its sign."""
    text = with_error(difference.mean, difference.stderr)
    return text if text.startswith("-") else f"+{text}"


def as_cell(value: Any) -> Cell:
    """A value of a setting as a table has it."""
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return str(value) if value is None or isinstance(value, bool) else value


def as_text(value: Any) -> str:
    """A value of a setting, or a bound, as it is printed; a dash where there is none."""
    cell = as_cell(value) if isinstance(value, list | tuple | bool) else value
    if not isinstance(cell, float):
        return "–" if cell is None else str(cell)
    return f"{cell:.2f}" if 1 <= abs(cell) < _LONG else f"{cell:.4g}"
