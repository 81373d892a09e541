"""Conditions: numbers that an observation is given beside its label, such as an age and a dose; how they are said.

A category is one condition for each of its values, 1 where it has that value and else 0, named ``colour=red``.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from ppl_vae.runtime.config import config
from ppl_vae.runtime.errors import UserError, nearest
from ppl_vae.runtime.shown import listed

_ROUNDING = 1e-6  # of float32, in which training data is held


@config
class Condition:
    """One condition, as training saw it."""

    name: str
    """What it is called."""
    mean: float
    """Its mean over the training data."""
    spread: float
    """Its standard deviation."""
    least: float
    """The smallest that training saw."""
    largest: float
    """The largest."""


def conditions_in(c: Tensor | None, names: Sequence[str] = ()) -> tuple[Condition, ...]:
    """What conditions are, read off training data.

    Args:
        c: ``(N, C)``, or None where there are none.
        names: of each; without any they are called c1, c2, ...
    """
    if c is None:
        return ()
    known = c.double()
    numbers = (known.mean(0), known.std(0, correction=0), known.amin(0), known.amax(0))
    names = names or named(c.shape[1])
    return tuple(
        Condition(name, *values) for name, *values in zip(names, *(each.tolist() for each in numbers), strict=True)
    )


def named(num: int) -> tuple[str, ...]:
    """What so many conditions are called that nobody has named: c1, c2, ..."""
    return tuple(f"c{number}" for number in range(1, num + 1))


def means_of(conditions: Sequence[Condition]) -> Tensor | None:
    """The training mean of each condition, ``(C,)``; None where there are none."""
    return torch.tensor([each.mean for each in conditions]) if conditions else None


def conditions_like(c: Tensor, x: Tensor) -> Tensor:
    """The conditions of observations, of the right shape and type; their values are not looked at.

    Args:
        c: ``(N, C)``, float, integers or bool.
        x: the observations, ``(N, *event)``.

    Raises:
        UserError: they are of another shape or type.
    """
    if c.dim() != 2 or len(c) != len(x) or not c.shape[1]:
        hint = "; make it c[:, None]." if c.shape == x.shape[:1] else ", a row for each observation."
        raise UserError(f"c has shape {tuple(c.shape)} where x has {len(x)} rows; it must be ({len(x)}, C){hint}")
    if c.is_complex():
        raise UserError("c is complex; conditions are numbers: make it float.")
    return c.detach() if c.requires_grad else c


def check_known(where: str, c: Tensor | None, names: Sequence[str] = ()) -> None:
    """See that every condition is known: unlike a number of x, one that is missing cannot be left out.

    Args:
        where: they come from, for the message.
        c: ``(N, C)``, or None.
        names: of each.

    Raises:
        UserError: one is NaN or infinite; the message names the first such row and column.
    """
    if c is None or not len(bad := (~c.isfinite()).nonzero()):
        return
    row, column = bad[0].tolist()
    name = (names or named(c.shape[1]))[column]
    raise UserError(
        f"{where}: condition '{name}' is missing or no finite number in row {row}; a condition has to be known: leave "
        "such rows out, or fill it in."
    )


def known_conditions(
    where: str, c: Tensor | None, names: Sequence[str], conditions: Sequence[Condition]
) -> Tensor | None:
    """Conditions of new data, in the order of the training data's.

    Args:
        where: they come from, for the message.
        c: ``(N, C)``, or None.
        names: of each.
        conditions: of the training data; where it had none, those of the new data are left out.

    Raises:
        UserError: one that training had is not there.
    """
    if c is None or not conditions:
        return None
    if missing := [each.name for each in conditions if each.name not in names]:
        raise UserError(f"{where}: there is no condition '{missing[0]}'; the run was trained on {in_list(conditions)}.")
    return c[:, [list(names).index(each.name) for each in conditions]]


def in_list(conditions: Sequence[Condition]) -> str:
    """What conditions are called, in a few words."""
    return listed([each.name for each in conditions])


class Chosen(NamedTuple):
    """Conditions to draw under.

    Args:
        c: ``(C,)``.
        given: those that were said, in words: "age = 40"; nothing where none was.
        rest: which stay at their training mean, in words; nothing where none does.
        warnings: which leave what training saw, a line each.
    """

    c: Tensor
    given: str
    rest: str
    warnings: tuple[str, ...]


def chosen(conditions: Sequence[Condition], at: Mapping[str, float | str]) -> Chosen:
    """Some conditions as they are said, the others at their training mean.

    Args:
        conditions: of the training data, at least one.
        at: numbers by name; of a category, one of its values.

    Raises:
        UserError: there is no such condition, or a value is no number, or none of the category's.
    """
    places = {each.name: place for place, each in enumerate(conditions)}
    values, said, warnings = {place: each.mean for place, each in enumerate(conditions)}, set[int](), list[str]()
    for name, value in at.items():
        block = [each.name for each in conditions if each.name.startswith(f"{name}=")]
        if name not in places and block:
            word = f"{name}={value}"
            if word not in block:
                known = ", ".join(each.partition("=")[2] for each in block)
                raise UserError(f"`at`: '{name}' is '{value}', and training saw {known}; name one of them.")
            values |= {places[each]: float(each == word) for each in block}
            said |= {places[each] for each in block}
            continue
        if name not in places:
            raise _unknown(name, conditions)
        here = conditions[places[name]]
        values[places[name]] = number = _number(name, value)
        said.add(places[name])
        slack = _ROUNDING * max(abs(here.least), abs(here.largest))
        if not here.least - slack <= number <= here.largest + slack:
            warnings.append(
                f"{name} = {number:g} is outside of what training saw, {here.least:g} to {here.largest:g}: what is "
                "drawn for it is a guess."
            )
    rest = [f"{each.name} = {each.mean:.4g}" for place, each in enumerate(conditions) if place not in said]
    return Chosen(
        torch.tensor([values[place] for place in range(len(conditions))]),
        ", ".join(f"{name} = {value}" for name, value in at.items()),
        f"{' and '.join(filter(None, (', '.join(rest[:-1]), rest[-1])))}, the training mean" if rest else "",
        tuple(warnings),
    )


def said_as(words: Sequence[str]) -> dict[str, str]:
    """Values by name, from words such as ``age=40``; see :func:`chosen`.

    Raises:
        UserError: a word is written otherwise, or a name is there twice.
    """
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.rpartition("=")
        if not (name and equals and value):
            raise UserError(f"`at`: '{word}' is no NAME=VALUE; write age=40 dose=1.")
        if name in found:
            raise UserError(f"`at`: '{name}' is there twice; say it once.")
        found[name] = value
    return found


def _unknown(name: str, conditions: Sequence[Condition]) -> UserError:
    known = list(dict.fromkeys(each.name.partition("=")[0] for each in conditions))
    near = nearest(name, known)
    hint = f"did you mean '{near}'?" if near else "name one of them."
    return UserError(f"`at`: there is no condition '{name}'; this run's are {', '.join(known)}; {hint}")


def _number(name: str, value: float | str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = float("nan")
    if not -1e30 < number < 1e30:
        raise UserError(f"`at`: '{name}' is '{value}', which is no number; write {name}=40.")
    return number
