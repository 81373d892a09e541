"""What is said when a training has ended: the bound that is kept, and what it is not."""

from collections.abc import Sequence

from ppl_vae.data import Splits
from ppl_vae.estimates.caveats import CAVEATS, POINT_IN_WORDS
from ppl_vae.programs.check import likelihood_label
from ppl_vae.programs.density import has_density
from ppl_vae.registry.build import Pair
from ppl_vae.runs.run import Run
from ppl_vae.training.metrics import History


def in_closing(run: Run, pair: Pair, splits: Splits, history: History, warnings: Sequence[str] = ()) -> str:
    """The bound of the epoch that is kept, and warnings, a line each.

    Args:
        run: trained.
        pair: as it opens.
        splits: its data.
        history: of its training.
        warnings: of its report.
    """
    fit = run.record.config.fit
    kept = history.best if fit.patience else history[-1]
    validation = "" if kept.validation_bound is None else f", validation {kept.validation_bound:.2f}"
    name = "elbo " if history.of_elbo else "bound"
    found, probe = [], splits.train.probe()
    if not has_density(pair.guide, probe):
        found.append(POINT_IN_WORDS)
    found += warnings
    if caveat := CAVEATS.get(likelihood_label(pair.model, probe)):
        found.append(caveat)
    reached = f"{name}    {kept.bound:.2f} nats per datapoint in epoch {kept.epoch} of {len(history)}{validation}"
    return "\n".join([reached, *(f"warning: {words}" for words in found)])
