"""Whether what a study is to train suits it: that it has the bound to choose by, and reads what is searched."""

from collections.abc import Mapping, Sequence

from ppl_vae.data import Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import build_pair, settled, unread_parts
from ppl_vae.registry.pair_config import OPTIONAL_PARTS, offered_to, unread_error
from ppl_vae.reports.tuning.terms import Searched, with_values
from ppl_vae.runs.run import TrainConfig
from ppl_vae.runtime.config import field_names
from ppl_vae.runtime.errors import UserError

NO_BOUND = (
    "a study chooses by the bound on validation data, and a per-datapoint guide has none in training, since it has a q "
    "for its training data only; what lays such guides beside others is a comparison (ppl-vae compare), which fits a q "
    "to each test datapoint."
)
"""Why a guide cannot be in a study, whose validation would fit a q to each datapoint after every epoch."""
POINT = "a study chooses by a bound on log p(x), which a guide that is a point has none of."
"""Likewise."""


def refuse_unsuitable(base: TrainConfig, searched: Sequence[Searched], splits: Splits) -> None:
    """See that the pair as given, and with each part that is searched, has a validation bound, and that one of them
    reads each setting that is searched.

    Raises:
        UserError: one has none, or cannot be made; or nothing reads a setting. The message names it.
    """
    info, read = DataInfo.of(splits), set[str]()
    parts = [each for each in searched if each.name in base.pair.parts]
    for named in [{}, *({each.name: value} for each in parts for value in each.ends)]:
        pair = settled(with_values(base, named).pair, info, refuse=False)
        guide = build_pair(pair, info, splits.train, base.fit.seed).guide
        unfit = NO_BOUND if tables_of(guide) else "" if has_density(guide, splits.train.probe()) else POINT
        if unfit:
            said = "".join(f"`{name}` {value}: " for name, value in named.items())
            raise UserError(f"{said}{unfit}")
        read |= {*pair.settings}
    of_pair = offered_to(base.pair).keys() - field_names(base)
    if unread := [each.name for each in searched if each.name in of_pair and each.name not in read]:
        raise unread_error(unread, of_pair)


def unread_of(settings: TrainConfig, values: Mapping[str, object], info: DataInfo) -> list[str]:
    """Those of the values of a trial that nothing in its pair reads, as another family's.

    Args:
        settings: of the trial.
        values: of what is searched, by name, as they are in these settings.
        info: of the data.
    """
    read = settled(settings.pair, info, refuse=False).settings
    unread = [name for name in values if name in settings.pair.settings and name not in read]
    parts = unread_parts(settings.pair, info) if values.keys() & set(OPTIONAL_PARTS) else []
    return [*unread, *(kind for kind in parts if kind in values)]
