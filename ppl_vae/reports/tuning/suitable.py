"""Whether what a study is to train suits it: that it can be trained, has the bound to choose by, and reads what is
searched."""

from collections.abc import Mapping, Sequence

from ppl_vae.data import Splits
from ppl_vae.data.info import DataInfo
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import build_pair, settled, unread_parts
from ppl_vae.registry.pair_config import OPTIONAL_PARTS, offered_to, unread_error
from ppl_vae.reports.tuning.searched import Searched
from ppl_vae.reports.tuning.terms import as_words, with_values
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
    """See that the pair as given has a validation bound, that each value of what is searched, of a range its ends, can
    be trained with, and that one of the pairs reads each setting that is searched.

    A value may need another beside it, as a family its model: it is refused where it can be trained neither with the
    settings as given nor with any one value of what else is searched. What is left shows when it is drawn.

    Raises:
        UserError: of the first value that cannot be trained; or nothing reads a setting. The message names it.
    """
    info, read = DataInfo.of(splits), set[str]()

    def problem(**values: object) -> str:
        """What is wrong with a pair of these values, in words; empty where nothing is."""
        try:
            settings = with_values(base, values)
            pair = settled(settings.pair, info, refuse=False)
            programs = build_pair(pair, info, splits.train, base.fit.seed)
            settings.fit.refuse_unread(*programs)
        except UserError as error:
            return str(error)
        read.update(pair.settings)
        if tables_of(programs.guide):
            return NO_BOUND
        return "" if has_density(programs.guide, splits.train.probe()) else POINT

    if wrong := problem():
        raise UserError(wrong)
    values = [(each.name, value) for each in searched for value in each.ends]
    for name, value in values:
        wrong = problem(**{name: value})
        if wrong and all(problem(**{name: value, other: beside}) for other, beside in values if other != name):
            raise UserError(f"`{name}` {as_words(value)}: {wrong}")
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
