"""Whether what a study is to train has the validation bound that it chooses by, seen before anything is trained."""

from collections.abc import Sequence

from ppl_vae.data import Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import build_pair, settled
from ppl_vae.reports.tuning.terms import Searched, with_values
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.errors import UserError

NO_BOUND = (
    "a study chooses by the bound on validation data, and a per-datapoint guide has none in training, since it has a q "
    "for its training data only; what lays such guides beside others is a comparison (ppl-vae compare), which fits a q "
    "to each test datapoint."
)
"""Why a guide cannot be in a study, whose validation would fit a q to each datapoint after every epoch."""
POINT = "a study chooses by a bound on log p(x), which a guide that is a point has none of."
"""Likewise."""


def refuse_unbounded(base: TrainConfig, searched: Sequence[Searched], splits: Splits) -> None:
    """See that the pair as given, and with each part that is searched, has a validation bound.

    Raises:
        UserError: one has none, or cannot be made; the message names the part.
    """
    info = DataInfo.of(splits)
    parts = [each for each in searched if each.name in base.pair.parts]
    for named in [{}, *({each.name: value} for each in parts for value in each.ends)]:
        pair = settled(with_values(base, named).pair, info, refuse=False)
        guide = build_pair(pair, info, splits.train, base.fit.seed).guide
        unfit = NO_BOUND if tables_of(guide) else "" if has_density(guide, splits.train.probe()) else POINT
        if unfit:
            said = "".join(f"`{name}` {value}: " for name, value in named.items())
            raise UserError(f"{said}{unfit}")
