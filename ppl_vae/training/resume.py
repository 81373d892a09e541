"""What a checkpoint has to hold for a fit to go on from it, or for its pair to be used: all of it is seen to before
any of it is.

Each function takes what was found (:class:`ppl_vae.runtime.untrusted.Found`) and raises a ``UserError`` that names the
key.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ppl_vae.runtime.config import from_plain, to_plain
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.untrusted import Found
from ppl_vae.svi import PairOptimizer
from ppl_vae.training.config import FitConfig
from ppl_vae.training.metrics import EpochMetrics

# Settings that may differ between a run and its continuation.
_MAY_CHANGE = ("epochs", "device", "engine")
# Settings that checkpoints of earlier versions do not have, whose fits were as by default.
_ADDED = ("accumulate",)
_ADDED_TO = {"optimizer": ("rate_warmup", "weight_decay", "weight_average", "optimizer", "optimizer_options")}


def check_settings(found: Found, mine: Mapping[str, Any]) -> None:
    """See that a fit was begun with these settings, apart from those that may change."""
    theirs: dict[str, Any] = {str(key): entry.value for key, entry in found.mapping().items()}
    usual = to_plain(FitConfig())
    theirs = {name: usual[name] for name in _ADDED} | theirs
    for part, names in _ADDED_TO.items():
        if isinstance(theirs.get(part), dict):
            theirs[part] = {name: usual[part][name] for name in names} | theirs[part]
    changed = sorted(key for key in mine.keys() | theirs.keys() if not _same(mine.get(key), theirs.get(key)))
    if refused := [key for key in changed if key not in _MAY_CHANGE]:
        raise UserError(
            f"{found.path}: {', '.join(refused)} differ from the checkpoint's; resume with what it was begun with."
        )
    for key in changed:
        try:
            taken = to_plain(from_plain(FitConfig, {key: theirs.get(key)}))
        except Exception:  # pydantic's, of what is no setting at all
            taken = {}
        if key not in taken or not _same(taken[key], theirs.get(key)):
            raise found.at(key, None).wrong("not such a setting")


def _same(mine: object, theirs: object) -> bool:
    if isinstance(mine, dict) and isinstance(theirs, dict):
        return mine.keys() == theirs.keys() and all(_same(mine[key], theirs[key]) for key in mine)
    if isinstance(mine, list) and isinstance(theirs, list):
        return len(mine) == len(theirs) and all(map(_same, mine, theirs))
    return type(mine) is type(theirs) and isinstance(mine, str | int | float | None) and mine == theirs


_VALIDATED = ("validation_reconstruction", "validation_kl")


def _has_to_be(column: Field[Any]) -> bool:
    return column.default is MISSING


def check_history(found: Found) -> list[EpochMetrics]:
    """The metrics of epochs 1, 2, …, one row each."""
    rows: list[EpochMetrics] = []
    for epoch, entry in enumerate(found.items(), start=1):
        # Checkpoints of earlier versions have no parts of the validation.
        known = entry.mapping()
        row = entry.entries([each.name for each in fields(EpochMetrics) if each.name in known or _has_to_be(each)])
        row["epoch"].integer(epoch, epoch)
        row["bound"].number()
        row["kl_weight"].number(low=0.0)
        row["seconds"].number(low=0.0)
        if rows and (row["validation_bound"].value is None) != (rows[0].validation_bound is None):
            raise row["validation_bound"].wrong("known of some epochs and not of others")
        if row["validation_bound"].value is not None:
            row["validation_bound"].number()
        validated = [name for name in _VALIDATED if name in row and row[name].value is not None]
        if validated and row["validation_bound"].value is None:
            raise row[validated[0]].wrong("known of an epoch whose validation bound is not")
        for name in ("elbo", "reconstruction", "kl", *validated):
            row[name].number(finite=False)  # of several draws one may have no weight, and be infinite
        rows.append(EpochMetrics(**{name: value.value for name, value in row.items()}))  # type: ignore[arg-type]
    return rows


def check_weights(found: Found, program: nn.Module) -> dict[str, Any]:
    """The weights of a program: its own names, shapes and types, finite wherever the program's are.

    Returns:
        what its ``load_state_dict`` takes.
    """
    mine, theirs = program.state_dict(), found.mapping()
    if unlike := sorted(map(str, mine.keys() ^ theirs.keys())):
        there = "is missing there" if unlike[0] in mine else "is not in the pair"
        raise _of_another(found, f"{found.place}.{unlike[0]} {there}")
    for name, value in mine.items():
        entry = theirs[name]
        if not isinstance(value, Tensor):  # a module's extra state
            if type(entry.value) is not type(value):
                raise entry.wrong("not what the module writes")
        elif nn.parameter.is_lazy(value):  # it takes its shape from what is loaded
            entry.tensor(entry.value.shape if isinstance(entry.value, Tensor) else (), value.dtype)
        elif isinstance(entry.value, Tensor) and not entry.value.is_nested and entry.value.shape != value.shape:
            shapes = f"{tuple(entry.value.shape)} there, {tuple(value.shape)} in the pair"
            raise _of_another(found, f"{entry.place} has shape {shapes}")
        else:
            given = entry.tensor(value.shape, value.dtype)
            if not given.is_meta and not bool((given.isfinite() | ~value.isfinite()).all()):
                raise entry.wrong("numbers that are not finite")
        mine[name] = entry.value
    return mine


def _of_another(found: Found, what: str) -> UserError:
    return UserError(f"{found.path}: the checkpoint is of another model or guide ({what}).")


def check_best(found: Found, model: nn.Module, guide: nn.Module, history: list[EpochMetrics]) -> dict[str, Any] | None:
    """The best epoch and its weights, where early stopping keeps them."""
    if found.value is None:
        return None
    entries = found.entries(("bound", "epoch", "model", "guide"))
    epoch, bound = entries["epoch"].integer(1, len(history)), entries["bound"].number()
    if bound != history[epoch - 1].validation_bound:
        raise entries["bound"].wrong("not the validation bound of that epoch")
    weights = {name: check_weights(entries[name], program) for name, program in (("model", model), ("guide", guide))}
    return {"bound": bound, "epoch": epoch, **weights}


def check_average(found: Found, model: nn.Module, guide: nn.Module, wanted: bool) -> dict[str, Any] | None:
    """The mean of the weights, where the settings ask for one."""
    if found.value is None and not wanted:
        return None
    if not wanted:
        raise found.wrong("a mean of the weights, which the settings ask for none of")
    entries = found.entries(("model", "guide"))
    return {name: check_weights(entries[name], program) for name, program in (("model", model), ("guide", guide))}


def check_outcome(path: Path, state: dict[str, Any], model: nn.Module, guide: nn.Module) -> dict[str, Any]:
    """What a fit came to.

    Returns:
        the weights of the best epoch, or without early stopping of the last one, their mean over steps where there is
        one; by ``"model"`` and ``"guide"``.
    """
    found = Found(path, {"average": None, **state})
    history = check_history(found.entry("history"))
    last = {name: check_weights(found.entry(name), program) for name, program in (("model", model), ("guide", guide))}
    average = found.entry("average")
    mean = check_average(average, model, guide, average.value is not None)
    return check_best(found.entry("best"), model, guide, history) or mean or last


def load_weights(path: Path, program: nn.Module, weights: dict[str, Any]) -> None:
    """Put weights that have been checked into a program."""
    try:
        program.load_state_dict(weights)
    except Exception as error:  # a module may have a will of its own
        raise UserError(f"{path}: the checkpoint is of another model or guide ({reason(error)}).") from None


def check_optimizer(found: Found, optimizer: PairOptimizer, steps: int) -> Any:
    """What the optimizer remembers, moments and counts: of its parameter's shape and type, none of more steps than were
    taken.

    Returns:
        what the optimizer's ``load_state_dict`` takes.
    """
    parts = found.entries(("shared", "rows"))
    if optimizer.of_shared is None:
        if parts["shared"].value is not None:
            raise parts["shared"].wrong("moments, where the pair has no parameters but rows")
    else:
        # Earlier versions also wrote torch's groups, which say what the settings say.
        moments = parts["shared"].entries(("state",), ignored=("param_groups",))["state"].mapping()
        for number, entry in moments.items():
            if type(number) is not int or not 0 <= number < len(optimizer.shared):
                raise parts["shared"].at("state", None).wrong(f"{number!r} is no parameter of the pair")
            expected = optimizer.expected_state(number)
            for name, each in entry.entries(expected).items():
                if name == "step":
                    _check_counts(each, (), (torch.float32, torch.float64), steps)
                else:  # torch calls second moments so
                    _check_moments(each, expected[name], low=0.0 if name.endswith("_sq") else -math.inf)
    tables = parts["rows"].entries(("tables",))["tables"].items(len(optimizer.tables))
    for entry, table in zip(tables, optimizer.tables, strict=True):
        of_one = entry.entries(("steps", "mean", "square"))
        _check_counts(of_one["steps"], (len(table.weight), 1), (table.weight.dtype,), steps)
        _check_moments(of_one["mean"], table.weight, low=-math.inf)
        _check_moments(of_one["square"], table.weight, low=0.0)
    return found.value


def _check_counts(found: Found, shape: tuple[int, ...], dtypes: tuple[torch.dtype, ...], steps: int) -> None:
    counts = found.tensor_within(shape, *dtypes, low=0, high=steps)
    if not counts.is_meta and not torch.equal(counts, counts.round()):
        raise found.wrong("counts that are not whole")


def _check_moments(found: Found, like: Tensor, low: float) -> None:
    found.tensor_within(like.shape, like.dtype, low=low, high=math.inf)


def check_order(found: Found, num_parts: int) -> Tensor | None:
    """The order of an epoch's rows, or of the blocks of their file: each once; None between two epochs."""
    if found.value is None:
        return None
    order = found.tensor((num_parts,), torch.int64)
    if not order.is_meta and not torch.equal(order.sort().values, torch.arange(num_parts, device=order.device)):
        raise found.wrong("not an order of the training data")
    return order


def check_sums(found: Found, dtype: torch.dtype) -> Tensor:
    """Bound, reconstruction and KL, summed over an epoch's steps so far."""
    sums = found.tensor((3,), dtype)
    if not sums.is_meta and not math.isfinite(sums[0]):  # the parts of an importance bound may be infinite
        raise found.wrong("a bound that is not finite")
    return sums.clone(memory_format=torch.contiguous_format)


def check_rng(found: Found) -> dict[str, Tensor]:
    """The states of random generators, by device type; the CPU's is always among them."""
    entries = found.entries(("cpu",), ignored=("cuda", "mps"))
    entries |= {str(kind): entry for kind, entry in found.mapping().items()}
    makers: dict[str, Callable[[], torch.Generator]] = {"cpu": torch.Generator}
    if torch.cuda.is_available():
        makers["cuda"] = lambda: torch.Generator("cuda")
    states = {}
    for kind, entry in entries.items():
        maker = makers.get(kind)
        shape = maker().get_state().shape if maker else getattr(entry.value, "shape", (0,))[:1]
        state = entry.tensor(shape, torch.uint8)
        if maker and not state.is_meta:
            try:
                maker().set_state(state.cpu())
            except Exception as error:  # torch's, of bytes that are no state
                raise entry.wrong(reason(error)) from None
        states[kind] = state if state.is_meta else state.cpu()
    return states
