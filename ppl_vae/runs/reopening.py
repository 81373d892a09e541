"""Whether a run will open as what it is: made anew of its settings and seed, and given its state dict, a pair is the
same."""

from pathlib import Path

import torch

from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.programs.check import check_pair, same, seeded_log_weights
from ppl_vae.registry.build import Pair, build_pair
from ppl_vae.runs.run import Run, TrainConfig
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.training.trial import refuse_untrainable

_KEEP = "keep it in parameters or buffers (self.register_buffer), or draw it by torch in __init__"


def build_to_reopen(settings: TrainConfig, info: DataInfo, data: Dataset) -> Pair:
    """Make a pair as training begins with it, see that it suits the data, and that a run of it can be opened again.

    Args:
        settings: of the run.
        info: of its data.
        data: to train on.

    Returns:
        the pair, at its initial weights.

    Raises:
        UserError: as :func:`ppl_vae.registry.build.build_pair` and :func:`ppl_vae.programs.check.check_pair`; the pair
            has nothing to train, or the state dict does not hold all that it is.
    """
    pair = build_pair(settings.pair, info, data, settings.fit.seed)
    probe = data.probe()
    check_pair(*pair, probe)
    refuse_untrainable(*pair)
    again = build_pair(settings.pair, info, None, settings.fit.seed)
    names = settings.pair.model, settings.pair.guide
    for kind, name, program, other in zip(Pair._fields, names, pair, again, strict=True):
        what = f"{kind} {Path(name).name}"
        state = program.state_dict()
        if made := sorted(state.keys() - other.state_dict().keys()):
            raise UserError(
                f"{what} makes '{made[0]}' as it runs, and a run of it could not be opened again: make it in __init__ "
                "(a lazy layer, such as nn.LazyLinear, takes its sizes later)."
            )
        try:
            other.load_state_dict(state)
        except Exception as error:  # a module may have a will of its own
            raise UserError(f"{what} does not load its own state dict ({reason(error)}); fix that.") from None
    if not same(seeded_log_weights(*pair, probe), seeded_log_weights(*again, probe)):
        raise UserError(
            "the pair holds numbers that are in no state dict and come out otherwise when it is made again, so that a "
            f"run of it would open as another pair: {_KEEP}."
        )
    return pair


def changes_unkept(run: Run, pair: Pair, data: Dataset) -> str | None:
    """What is to be said, in words, of a run that opens as another pair than the one that was trained.

    Args:
        run: whose training has ended.
        pair: as it came out of it.
        data: that it was trained on.
    """
    device = next((param.device for program in pair for param in program.parameters()), torch.device("cpu"))
    probe = data.probe()
    probe = probe.of(tensor.to(device) for tensor in probe.tensors)
    if same(seeded_log_weights(*pair, probe), seeded_log_weights(*run.load_pair(device), probe)):
        return None
    return (
        f"{run.path} opens as another pair than was trained: training has changed numbers that are in no state dict; "
        f"{_KEEP}."
    )
