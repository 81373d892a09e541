"""What is shown of p(x | z) without noise: its mean, or where there is none, as of sequences, its mode."""

from typing import Any, cast

from torch import Tensor, nn

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.contract import no_x, trace_in_plate
from ppl_vae.programs.density import called, unmasked
from ppl_vae.programs.pair import frozen
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved


def centre_of(fn: Any) -> Tensor:
    """The mean of a distribution, or its mode where that has no closed form; of what a mask hides too.

    Raises:
        UserError: it has neither.
    """
    fn = unmasked(fn)
    for name in ("mean", "mode"):
        try:
            return cast(Tensor, getattr(fn, name))
        except NotImplementedError:
            pass
    raise UserError(f"site 'x': the model's {called(fn)} has neither a mean nor a mode, so there is nothing to show.")


def is_averaged(fn: Any) -> bool:
    """Whether a distribution has a mean in closed form; names have none, and of a sequence it is not known."""
    try:
        unmasked(fn).mean  # noqa: B018  # asked for, not used
    except NotImplementedError:
        return False
    return True


def has_mean(model: nn.Module, batch: Batch) -> bool:
    """Whether E[x | z] has a closed form; otherwise the mode stands in its place.

    Args:
        model: p(x, z).
        batch: a few datapoints that it accepts; torch's generators are left as they were.
    """
    with frozen(model), preserved(batch.x.device):
        site: Any = trace_in_plate(model, batch).nodes.get("x")
    if site is None:
        raise no_x()
    return is_averaged(site["fn"])
