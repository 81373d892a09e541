"""Whether there is data, whether a pair runs on it, and what is to be said of the two before anything is begun."""

from torch import nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.programs.check import advice_on_likelihood, advice_on_scale
from ppl_vae.programs.contract import hold_to_x, trace_in_plate
from ppl_vae.programs.holes import hold_to_mask
from ppl_vae.programs.pair import frozen
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved


def check_runs(data: Dataset, model: nn.Module, guide: nn.Module | None = None) -> None:
    """Run a pair on the telling rows of a data set, in a millisecond or two, for one line on what goes wrong.

    Args:
        data: the datapoints.
        model: p(x, z); it, the guide and random generators are left as they were.
        guide: q(z | x), where it is looked at.

    Raises:
        UserError: there are no rows, x holds NaN or infinity, a label is no class of theirs, a program cannot run or
            has a site outside the batch's plate, or the model observes anything but x.
    """
    check_rows_are_there(data)
    with preserved(data.device), frozen(model, *([guide] if guide is not None else [])):
        probe = data.probe()
        if guide is not None:
            trace_in_plate(guide, probe)
        hold_to_x(trace_in_plate(model, probe), probe)
        hold_to_mask(model, probe)


def advice_on(data: Dataset, model: nn.Module, guide: nn.Module) -> list[str]:
    """What to do where a pair's numbers on these data will be no log-likelihoods, or its scale suits few of the
    columns, in words.

    Args:
        data: the training data.
        model: p(x, z).
        guide: q(z | x).

    Raises:
        UserError: the pair cannot be used on this data at all, and its numbers would be no log-likelihoods.
    """
    probe = data.probe()
    return [*advice_on_likelihood(model, guide, probe), *advice_on_scale(model, probe, data.spread())]


def check_rows_are_there(data: object, *more: object) -> None:
    """See that data is a data set with a row, and that more of it, which may be None, is a data set.

    Raises:
        UserError: it is not; the message says what it is and how to make one.
    """
    for part in (data, *more):
        if not isinstance(part, Dataset) and (part is data or part is not None):
            raise UserError(
                f"the data is a {type(part).__name__}; make it a ppl_vae.data.Dataset(x, y) of tensors, x float32, or "
                "take a part of what ppl_vae.load gives, as data.test."
            )
    if isinstance(data, Dataset) and len(data) == 0:
        raise UserError("the data has no rows; give at least one datapoint.")
