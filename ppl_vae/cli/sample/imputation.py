"""``ppl-vae sample RUN impute``: what is missing from observations."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from ppl_vae import predictive
from ppl_vae.cli.sample.walks import Walk
from ppl_vae.cli.surroundings import say_as_it_is
from ppl_vae.predictive import Samples
from ppl_vae.predictive.imputation import Probability
from ppl_vae.runs.new_data import new_data
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runtime.config import Count, Few, config


@config
class Impute(Walk):
    """Fill the holes of observations: arrays x (filled by means), lower, upper, draws, mask.

    Of a table also a CSV, filled, and one with a line for each hole: its mean and interval, or its likeliest category.

    examples:
      ppl-vae sample runs/people impute
      ppl-vae sample runs/people impute --input people.csv --probability 0.8 --out filled.npz
    """

    what: Positional[Literal["impute"]]
    """Fill holes."""
    input: Path | None = None
    """A file like that which the run was trained on, to fill in place of a split, row by row."""
    limit: Count | None = None
    """Only the first so many of the split."""
    num_samples: Count = 500
    """Draws of z for each observation."""
    num_draws: Few = 20
    """How many whole observations to draw of each."""
    probability: Probability = 0.9
    """Of the intervals from lower to upper."""

    def make(self, opened: OpenedRun) -> Samples:
        """Infer what is missing."""
        found = None if self.input is None else new_data(opened, self.input, self.seed)
        for words in found.warnings if found else ():
            say_as_it_is(f"warning: {words}")
        asked = {name: value for name, value in self.asked(opened).items() if name not in ("input", "limit")}
        if not found:
            return predictive.impute(*opened.pair, opened.split(self.split, self.limit), opened.info, **asked)
        made = predictive.impute(*opened.pair, found.data, opened.info, **asked | {"split": str(self.input)})
        return replace(made, words=(*(f"data     {note}" for note in found.notes), *made.words))
