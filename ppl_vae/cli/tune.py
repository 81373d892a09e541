"""``ppl-vae tune``: a study of settings by the validation bound."""

from dataclasses import field
from pathlib import Path

from ppl_vae.cli.flags import as_flags
from ppl_vae.cli.surroundings import say_as_it_is, say_what_was_read
from ppl_vae.reports.tuning import TuneConfig, run_study
from ppl_vae.runtime.config import config


@config
class Tune:
    """Search settings by the validation bound, and lay the best beside those given on test data.

    Needs Optuna: pip install 'ppl_vae[tune]'. Trainings that fall behind are ended early. Writes report.html with its
    pictures, trials.csv, tune.txt and the runs of the two. The same command goes on where it was stopped, or to more
    --trials.

    examples:
      ppl-vae tune
      ppl-vae tune --trials 40 --epochs 50 --search learning-rate=1e-4..1e-2 guide=amortized,amortized:full-rank
    """

    terms: TuneConfig = field(default_factory=TuneConfig)
    """The study."""
    out: Path | None = None
    """The folder to make, or to go on in; by default the next free runs/tune-N."""
    report: bool = True
    """Draw pictures and write the report."""

    def run(self) -> None:
        """Search, print, write."""
        found = run_study(
            self.terms,
            self.out,
            report=self.report,
            on_data=say_what_was_read,
            on_folder=lambda path: print(f"folder   {path}"),
            warn=lambda words: say_as_it_is(f"warning: {as_flags(words, self)}"),
        )
        print(as_flags(f"{found}\n{found.closing}", self))
