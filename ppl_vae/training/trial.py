"""The programs of a pair may be anybody's: tried on the sizes that will come, and what they raise told in one line."""

import math
import re
import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import nn

from ppl_vae.data.dataset import Dataset
from ppl_vae.networks.precision import Precision, computing_in
from ppl_vae.objectives.elbo import Objective
from ppl_vae.programs.pair import modules_behind
from ppl_vae.programs.program import local_params
from ppl_vae.programs.rows import collect_leaves, tables_of
from ppl_vae.runtime.errors import UserError, is_out_of_memory, reason
from ppl_vae.runtime.processes import Group, LostContactError
from ppl_vae.training.config import FitConfig


def refuse_untrainable(model: nn.Module, guide: nn.Module) -> None:
    """See that a pair has a parameter that may move.

    Raises:
        UserError: it has none.
    """
    if not any(param.requires_grad for program in (model, guide) for param in program.parameters()):
        raise UserError(
            "the pair has no parameters: there is nothing to train; evaluate it as it is, from Python "
            "(ppl_vae.evaluation)."
        )


def try_steps(
    model: nn.Module,
    guide: nn.Module,
    objective: Objective,
    data: Dataset,
    sizes: Iterable[int],
    precision: Precision = "float32",
) -> None:
    """Take a step on the first rows of the data, once with each number of them, and undo it.

    Args:
        model: p(x, z); put into training mode for the step. Parameters, buffers and modes are left as they were.
        guide: q(z | x), likewise.
        objective: what to maximise.
        data: on the device of the pair.
        sizes: of the batches that will come.
        precision: of the networks.

    Raises:
        UserError: what the pair raised, or that a log-density is not a number, with the site's name.
    """
    for size in sizes:
        doing = f"a step on {size} of the {len(data)} rows, x of shape {(size, *data.event_shape)},"
        advice = "fix the pair, or choose a batch size that leaves no such batch"
        with _as_they_were(model, guide), told(doing, advice, model, guide), _pyros_warnings_as_errors():
            batch, tables = data.batch(torch.arange(size, device=data.device)), tables_of(model, guide)
            with computing_in(precision), local_params(), pyro.validation_enabled():
                with collect_leaves(tables) as leaves:
                    terms = objective.terms(model, guide, batch)
                rows = {id(table.weight) for table in tables}
                params = [param for program in (model, guide) for param in program.parameters()]
                moved = [param for param in params if param.requires_grad and id(param) not in rows]
                read = [leaf.values for leaves_of in leaves for leaf in leaves_of]
                torch.autograd.grad(terms.loss, [*moved, *read], allow_unused=True)


def sizes_to_come(num_data: int, settings: FitConfig, group: Group) -> list[int]:
    """The sizes of the batches, or of this process's parts of them, that an epoch has: full ones and last ones."""
    steps = [min(settings.step_size, num_data), num_data % settings.step_size]
    own = [len(range(size)[group.rank :: group.size]) for size in steps]
    at_once = math.ceil(settings.batch_size / group.size)
    sizes = [size for rows in own for size in (min(rows, at_once), rows % at_once)]
    return list(dict.fromkeys(filter(None, sizes)))


@contextmanager
def told(doing: str, advice: str, *programs: nn.Module) -> Iterator[None]:
    """Whatever these programs raise inside the block is told in one line.

    Args:
        doing: at what they raised it.
        advice: what to do.
        programs: of a user; where their file raised it, the line is named.

    Raises:
        UserError: from the program's error. Errors of ours are left alone, and so is a want of memory.
    """
    try:
        yield
    except (UserError, LostContactError):
        raise
    except (Exception, SystemExit) as error:
        if is_out_of_memory(error):
            raise
        said = re.sub(r"^UserWarning: Encountered (\S+?):? ", r"\1 in ", reason(error))
        codes = (getattr(type(program).forward, "__code__", None) for program in programs)
        files = {code.co_filename for code in codes if code}
        lines = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in files]
        place = f", {Path(lines[-1].filename).name}:{lines[-1].lineno}" if lines else ""
        raise UserError(f"{doing} failed ({said}{place}); {advice}.") from error


@contextmanager
def _pyros_warnings_as_errors() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "Encountered ", UserWarning)
        yield


@contextmanager
def _as_they_were(*programs: nn.Module) -> Iterator[None]:
    """In training mode inside the block; afterwards in the modes, and with the parameters and buffers, of before."""
    modules = modules_behind(programs)
    modes = [module.training for module in modules]
    places: list[dict[str, Any]] = [place for module in modules for place in (module._parameters, module._buffers)]
    kept = [
        (place, name, value, value.detach().clone())
        for place in places
        for name, value in place.items()
        if value is not None and not nn.parameter.is_lazy(value) and not value.is_inference()
    ]
    for program in programs:
        program.train()
    try:
        yield
    finally:
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        with torch.no_grad():
            for place, name, value, before in kept:
                place[name] = value
                value.copy_(before)
