"""``ppl-vae evaluate``: bounds on log p(x), with their errors, protocol and diagnostics."""

import json
import sys
from dataclasses import field
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc
from tyro.conf import Positional

from ppl_vae.cli.flags import as_flags
from ppl_vae.data.labels import unseen_among
from ppl_vae.diagnostics import calibrate_pair, evaluate
from ppl_vae.evaluation import EvaluateConfig
from ppl_vae.evaluation.named import names_of
from ppl_vae.reports.next_steps import not_collapsed
from ppl_vae.reports.outcome import closing_of
from ppl_vae.reports.tables import check_table, write_table
from ppl_vae.runs.evaluating import data_for, write_calibration
from ppl_vae.runs.opened import OpenedRun, SplitName, open_run
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.paths import refuse_existing_file
from ppl_vae.runtime.config import config
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import CannotWriteError, write_text

_DIAGNOSED = names_of(lambda way: way.is_diagnosed)
_DIAGNOSE = f"With {_DIAGNOSED}: diagnostics, on as many datapoints as --limit says, or on the first 500."


@config
class Evaluate:
    """Estimate log p(x), the ELBO and its parts, or test the guide's calibration.

    Estimates by draws of the guide come with diagnostics: the weights' effective sample size and PSIS k, KL and
    activity of each latent unit, mutual information, and warnings in words. bdmc and sbc work on data simulated by the
    model; sbc also draws the ranks. Of sequence models nats per step too, beside a unigram's and a bigram's of the same
    data.

    examples:
      ppl-vae evaluate runs/mnist
      ppl-vae evaluate runs/mnist --estimator iwae --num-samples 500 --limit 1000 --json
      ppl-vae evaluate runs/mnist --estimator ais --limit 100 --temperatures 1000
      ppl-vae evaluate runs/mnist --estimator bdmc --limit 50 --temperatures 500
      ppl-vae evaluate runs/mnist --estimator sbc
    """

    run_directory: Positional[Path]
    """A run: a directory that 'ppl-vae train' wrote, a zip of it, or hf://OWNER/NAME on the Hugging Face Hub."""
    settings: EvaluateConfig = field(default_factory=EvaluateConfig)
    """The estimate."""
    split: SplitName | None = None
    """Which part of the data; by default test."""
    opening: Opening = field(default_factory=Opening)
    """Where the run's data is now, and whether its own code may run."""
    device: str = "auto"
    """Where to compute: auto, cpu, cuda, cuda:1, mps."""
    diagnose: Annotated[bool, Doc(_DIAGNOSE)] = True
    per_datapoint: Path | None = None
    """Write what was found of each datapoint as CSV: index, label, elbo, reconstruction, kl, log_px, what else the
    estimator finds, each with its error over draws, k_hat, ess."""
    table: Path | None = None
    """Write the table for a paper: a new .tex or .csv."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self) -> None:
        """Evaluate and print."""
        check_table(self.table)
        if self.per_datapoint:
            if self.settings.simulates:
                given = names_of(lambda way: way.num_simulated is None)
                raise UserError(f"--per-datapoint is for {given}, not for {self.settings.estimator}.")
            refuse_existing_file(self.per_datapoint, "per_datapoint")
        opened = open_run(self.run_directory, self.device, self.opening)
        if self.settings.ranks and self.diagnose:
            self._calibrate(opened)
            return
        found = evaluate(
            *opened.pair,
            data_for(opened, self.settings, self.split),
            self.settings,
            diagnosed=self.diagnose,
            each=self.per_datapoint is not None,
            origin=opened.origin(self.split or "test"),
            train=lambda: opened.split("train"),
            layout=opened.info.layout,
            unfinished=not_collapsed(opened.run, opened.history),
        )
        for words in unseen_among(opened.info, f"{found.protocol.split} data", found.estimated.data.y):
            print(f"warning: {words}", file=sys.stderr)
        if self.per_datapoint:
            write_text(self.per_datapoint, found.to_csv(), new=True)
        write_table(self.table, found)
        if self.per_datapoint and not self.json:
            print(f"{self.per_datapoint}: {found.of_each}")
        print(json.dumps(found.to_dict()) if self.json else as_flags(f"{found}{closing_of(opened, found)}", self))

    def _calibrate(self, opened: OpenedRun) -> None:
        data = data_for(opened, self.settings, self.split)
        found = calibrate_pair(*opened.pair, data, self.settings, opened.origin(self.split or "test"))
        write_table(self.table, found)
        written = write_calibration(found, opened.run)
        picture = None if isinstance(written, CannotWriteError) else str(written)
        text = as_flags(str(found), self) + (f"\npicture  {picture}" if picture else "")
        print(json.dumps(found.to_dict() | {"picture": picture}) if self.json else text, flush=True)
        if isinstance(written, CannotWriteError):
            raise written
