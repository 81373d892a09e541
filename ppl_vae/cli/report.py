"""``ppl-vae report``: the pictures and the report of a run, anew and of more than follows a training by itself."""

from dataclasses import field
from pathlib import Path

from tyro.conf import Positional

from ppl_vae.cli.surroundings import say_as_it_is
from ppl_vae.reports.pictures import draw_run
from ppl_vae.reports.report import write_report
from ppl_vae.runs.opened import open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.run import Run
from ppl_vae.runtime.config import config
from ppl_vae.runtime.folders import locked


@config
class Report:
    """Draw the pictures of a run and write its report anew: of more than 'train' looks at where that takes long.

    examples:
      ppl-vae report runs/mnist
    """

    run_directory: Positional[Path]
    """A run directory, as 'ppl-vae train' wrote it."""
    opening: Opening = field(default_factory=Opening)
    """Where the run's data is now, and whether its own code may run."""

    def run(self) -> None:
        """Draw, estimate, write."""
        opened = open_run(Run.open(self.run_directory).path, "cpu", self.opening)  # which is no packed one
        splits = opened.data
        with locked(opened.run.path):
            pictures = draw_run(opened.run, opened.pair, splits, say_as_it_is)
            written = write_report(opened.run, splits, pictures, say_as_it_is)
        if written:
            print(f"report   {written}")
