"""``ppl-vae baseline gaussian | mixture``: Bayes classifiers that generate."""

from dataclasses import field, replace
from pathlib import Path

from tyro.conf import Positional

from ppl_vae.baselines.bayes import Kind
from ppl_vae.cli.surroundings import say_what_was_read
from ppl_vae.data import Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.data.loading import read_data
from ppl_vae.reports.baseline import draw_baseline, percent, write_baseline_report
from ppl_vae.runs.baseline import (
    BaselineConfig,
    BaselineRecord,
    BaselineRun,
    check_data,
    check_settings,
    fit_baseline,
)
from ppl_vae.runs.leftovers import refuse_existing_run
from ppl_vae.runtime.config import config


@config
class Baseline:
    """Fit p(x | y), a Gaussian or a mixture of Gaussians for each class; classify by Bayes' rule, and sample.

    Densities of grey levels: no log p(x) of theirs can be ranked with a Bernoulli's, so none is reported.

    examples:
      ppl-vae baseline gaussian
      ppl-vae baseline mixture --data mnist --data-root data --out runs/mixture
    """

    kind: Positional[Kind]
    """gaussian: a full covariance for each class; mixture: variational Bayes over several, for each class."""
    settings: BaselineConfig = field(default_factory=BaselineConfig)
    """What is fitted to what."""
    out: Path | None = None
    """The run directory to make; by default the next free runs/DATA-KIND-N."""

    def run(self) -> None:
        """Fit, classify, sample, draw and report."""
        if self.out:
            refuse_existing_run(self.out)
        check_settings(self.kind, self.settings)
        splits = read_data(self.settings.data)
        check_data(splits)
        say_what_was_read(splits)
        resolved = replace(self.settings, data=self.settings.data.absolute())
        record = BaselineRecord(self.kind, resolved, DataInfo.of(splits))
        with BaselineRun.created(record, self.out, f"{Path(self.settings.data.data).stem}-{self.kind}") as run:
            self._make(run, splits.unnumbered())  # a class costs the same here whatever it is called

    def _make(self, run: BaselineRun, splits: Splits) -> None:
        fitted = fit_baseline(run, splits)
        pictures = draw_baseline(run, fitted.classifier, fitted.metrics, fitted.drawn.means, fitted.by_label.means)
        report = write_baseline_report(run, fitted.classifier, fitted.metrics, pictures)
        print(f"report   {report} (its pictures: {run.figures})")
        found = fitted.metrics["test"]["accuracy"]
        print(f"accuracy {percent(found)} of {found['num']:,} test data")
        print(f"run      {run.path}")
