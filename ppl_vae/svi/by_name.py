"""Any optimizer of ``torch.optim`` by its name: its options are held to its signature, and a step of it is tried.

What an optimizer needs is asked of itself. Its step must not ask for the loss again (L-BFGS does, and here each
evaluation of the loss has noise of its own), must take dense gradients, go down along them, and remember tensors alone,
which is what a checkpoint holds.
"""

import inspect
import math
from collections.abc import Mapping, Sequence
from functools import cache
from types import UnionType
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from ppl_vae.runtime.config import pythons_own
from ppl_vae.runtime.errors import UserError, nearest, reason, unknown_name

# What settings of ours stand for.
_OURS = {"lr": "learning_rate", "weight_decay": "weight_decay"}
_FAR = 100  # times our learning rate: nothing is learned by so short steps
_WORDS: dict[str, Any] = {"true": True, "false": False, "none": None}


def made(
    name: str,
    options: Sequence[str],
    params: Sequence[Tensor],
    rate: float,
    decay: float,
    *,
    epsilon: float | None = None,
    scheduled: bool = False,
) -> Optimizer:
    """An optimizer of torch's.

    Args:
        name: of its class.
        options: of its constructor, each as ``NAME=VALUE``.
        params: to move, at least one.
        rate: its ``lr``.
        decay: its ``weight_decay`` of matrices; vectors, such as biases and scales, have none. Where the class leaves
            the choice, it is decoupled from the gradient (Loshchilov and Hutter 2019).
        epsilon: its ``eps``, where that has a setting of its own; None: an option.
        scheduled: whether ``lr`` is to be changed from step to step.

    Raises:
        UserError: there is no such class or option, or it cannot train a pair; the message says why.
    """
    kind = _kind(name)
    ours = _OURS if epsilon is None else _OURS | {"eps": "adam_epsilon"}
    chosen = _chosen(kind, options_in_words(options), ours) | ({} if epsilon is None else {"eps": epsilon})
    if "decoupled_weight_decay" in _parameters(kind):
        chosen = {"decoupled_weight_decay": True, **chosen}
    if "closure" in _required(kind.step):
        raise UserError(
            f"`optimizer` {name} asks for the loss several times in a step (a closure), and here each time has noise "
            "of its own; choose another, such as Adam."
        )
    _try(kind, chosen, rate, bool(options))
    if decay and "weight_decay" not in _parameters(kind):
        raise UserError(f"`optimizer` {name} has no weight decay; leave `weight_decay` out, or choose another.")
    if scheduled and not _heeds_rate(kind, chosen):
        raise UserError(
            f"`optimizer` {name} reads the learning rate at its first step only; leave `schedule` constant and "
            "`rate_warmup` 0, or choose another."
        )
    groups: list[dict[str, Any]] = [{"params": list(params)}]
    if "weight_decay" in _parameters(kind):
        shares = {True: decay, False: 0.0}
        groups = [{"params": [p for p in params if decays(p) is of], "weight_decay": shares[of]} for of in shares]
    try:
        optimizer: Optimizer = kind([group for group in groups if group["params"]], lr=rate, **chosen)
    except Exception as error:  # torch's
        raise UserError(f"`optimizer` {name} cannot move this pair ({reason(error)}); choose another.") from None
    return optimizer


def decays(param: Tensor) -> bool:
    """Whether weight decay is for this parameter: a matrix, or a convolution's kernels."""
    return param.dim() >= 2


def fresh_state(optimizer: Optimizer, param: Tensor) -> dict[str, Tensor]:
    """What an optimizer remembers of a parameter after a step, by torch's names: tensors of their shapes and types,
    whose numbers mean nothing; the optimizer itself stays as it is."""
    stand_in = torch.zeros_like(param, requires_grad=True)
    stand_in.grad = torch.zeros_like(param, requires_grad=False)
    group = next(group for group in optimizer.param_groups if any(each is param for each in group["params"]))
    kind: type[Any] = type(optimizer)
    other = kind([{**group, "params": [stand_in]}])
    other.step()
    return dict(other.state.get(stand_in, {}))


def options_in_words(options: Any) -> Any:
    """Options as they are typed, ``momentum=0.9``, of a mapping as Python has them; what is none stays as it is."""
    if not isinstance(options, Mapping):
        return options
    return tuple(f"{name}={_in_words(value)}" for name, value in pythons_own(dict(options)).items())


def other_defaults(name: str, rate: float, usual_rate: float, decay: float) -> list[str]:
    """Where torch's own defaults for an optimizer are far from ours, which nobody has changed, in words.

    Args:
        name: of its class.
        rate: the learning rate as it is set.
        usual_rate: our default.
        decay: the weight decay as it is set; ours is 0.
    """
    own = _parameters(_kind(name))
    found = []
    if rate == usual_rate and own["lr"].default >= _FAR * rate:
        found.append(f"`learning_rate` {rate:g}, where torch's own default is {own['lr'].default:g}")
    if not decay and "weight_decay" in own and own["weight_decay"].default:
        found.append(f"`weight_decay` 0, where torch's own default is {own['weight_decay'].default:g}")
    return [f"`optimizer` {name} has {' and '.join(found)}; set what you want."] if found else []


@cache
def _known() -> dict[str, type[Any]]:
    """The classes of ``torch.optim`` by their public names."""
    public = {name: each for name, each in vars(torch.optim).items() if not name.startswith("_")}
    return {
        name: each
        for name, each in public.items()
        if isinstance(each, type) and issubclass(each, Optimizer) and each is not Optimizer
    }


def _kind(name: str) -> type[Any]:
    if name not in _known():
        raise unknown_name("optimizer", name, _known())
    return _known()[name]


def _parameters(kind: type[Any]) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(kind).parameters


def _required(function: Any) -> set[str]:
    """The parameters that a call has to give."""
    return {name for name, each in inspect.signature(function).parameters.items() if each.default is each.empty}


def _chosen(kind: type[Any], options: Sequence[str], ours: Mapping[str, str]) -> dict[str, Any]:
    """Options by name, each one that the class has and that no setting of ours stands for."""
    name, found = kind.__name__, dict[str, Any]()
    taken = {key: each for key, each in _parameters(kind).items() if each.default is not each.empty}
    for word in options:
        key, equals, text = (part.strip() for part in word.partition("="))
        key = key.replace("-", "_")
        if not (key and equals and text):
            raise UserError(f"`optimizer_options`: '{word}' is no NAME=VALUE; write momentum=0.9 nesterov=true.")
        if key in ours and key in taken:
            raise UserError(f"`optimizer_options`: {key} is set by `{ours[key]}`; give that.")
        if key not in taken:
            known = sorted(taken.keys() - ours.keys())
            near = nearest(key, known)
            hint = f"did you mean '{near}'?" if near else "name one of them."
            raise UserError(f"`optimizer_options`: {name} has no '{key}' (known: {', '.join(known)}); {hint}")
        if key in found:
            raise UserError(f"`optimizer_options`: '{key}' is there twice; say it once.")
        found[key] = _value(text)
        if not _suits(found[key], taken[key]):
            usual = _in_words(taken[key].default)
            raise UserError(f"`optimizer_options`: {key}={text} is no such value; torch's default is {key}={usual}.")
    return found


def _value(text: str) -> Any:
    """A value as it is written, ``0.9``, ``true``, ``none``; several have commas between them, ``0.9,0.99``."""
    if "," in text:
        return tuple(map(_value, filter(None, map(str.strip, text.split(",")))))
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass
    return _WORDS.get(text.lower(), text)


def _in_words(value: Any) -> str:
    """The inverse of :func:`_value`."""
    if isinstance(value, tuple | list):
        return ",".join(map(_in_words, value))
    return next((word for word, meant in _WORDS.items() if value is meant), str(value))


def _suits(value: Any, parameter: inspect.Parameter) -> bool:
    """Whether an option may have that value, by its default; where that is None, by its annotation."""
    if parameter.default is None and isinstance(parameter.annotation, UnionType):
        return isinstance(value, parameter.annotation)
    return _is_like(value, parameter.default)


def _is_like(value: Any, usual: Any) -> bool:
    """Whether a value is of the kind of a default: yes or no, a number, or so many numbers."""
    if isinstance(usual, tuple):
        as_many = isinstance(value, tuple) and len(value) == len(usual)
        return as_many and all(_is_like(each, of) or each is of is None for each, of in zip(value, usual, strict=True))
    if isinstance(usual, bool):
        return isinstance(value, bool)
    if isinstance(usual, int | float):
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return not isinstance(value, tuple)


def _try(kind: type[Any], options: Mapping[str, Any], rate: float, are_said: bool) -> None:
    """Take a step along a gradient that points upwards everywhere.

    Raises:
        UserError: it cannot be taken, does not go down, or leaves what a checkpoint cannot hold.
    """
    what, advice = f"`optimizer` {kind.__name__}", "choose another"
    if are_said:
        what, advice = f"{what} with these `optimizer_options`", "change them"
    param = torch.zeros(2, 2, requires_grad=True)
    try:
        optimizer = kind([param], lr=rate, **options)
        _step_down(optimizer, param)
    except Exception as error:  # torch's
        raise UserError(f"{what} takes no step ({reason(error)}); {advice}.") from None
    if not bool((param < 0).all()):
        raise UserError(f"{what} does not go down along a gradient; {advice}.")
    if not all(isinstance(value, Tensor) for state in optimizer.state.values() for value in state.values()):
        raise UserError(f"{what} remembers more than tensors, which no checkpoint holds; {advice}.")


def _step_down(optimizer: Optimizer, param: Tensor) -> None:
    param.grad = torch.ones_like(param, requires_grad=False)
    optimizer.step()


def _heeds_rate(kind: type[Any], options: Mapping[str, Any]) -> bool:
    """Whether another learning rate after the first step makes other steps; ASGD's makes the one after the next."""
    ends = []
    for later in (1e-3, 5e-4):
        param = torch.zeros(2, 2, requires_grad=True)
        optimizer = kind([param], lr=1e-3, **options)
        for rate in (1e-3, later, later):
            optimizer.param_groups[0]["lr"] = rate
            _step_down(optimizer, param)
        ends.append(param.detach())
    return not torch.equal(*ends)
