"""Pyro's ``SVI.step`` for any program, recorded once for each structure of its arguments and replayed.

``compiled(svi)`` stands in for ``svi``: same noise, same losses, same parameters and optimizer state, so that the two
can take turns. Pyro's step spends its time in Python, on handlers, distributions and autograd; a record has only what
reached the tensors. What cannot be recorded is Pyro's own step, and one warning says why.
"""

import warnings
from math import isnan
from typing import Any, cast

import torch
from pyro import poutine
from pyro.infer import SVI
from pyro.poutine.runtime import _PYRO_STACK
from pyro.util import warn_if_nan
from torch import Tensor, nn

from ppl_vae.runtime.errors import UserError
from ppl_vae.svi.recording.arguments import Arguments, taken_apart
from ppl_vae.svi.recording.outside import Outside
from ppl_vae.svi.recording.recorded import CompileGraph, RecordedStep
from ppl_vae.tracing.capture import NotTraceableError
from ppl_vae.tracing.capture import compiled as compile_by_inductor

_MOST_RECORDS = 4  # each takes up to half a minute
_MOST_STRUCTURES = 64  # that are seen
_MOST_RESETS = 8  # one after the other


def compiled(svi: SVI) -> "CompiledSVI":
    """A drop-in for ``svi`` whose steps are compiled.

    The first step with arguments of a structure is Pyro's own, the second is recorded and compiled, which takes
    seconds, for a long loop over time half a minute. Tensors of other shapes, other integers, texts and switches, or
    other attributes of the programs are another structure; floats among the arguments are not.

    Args:
        svi: of any model and guide. Adam, AdamW and ClippedAdam are part of what is compiled, other optimizers are
            called with the gradients.

    Returns:
        an object with ``step``; whatever else is asked of it, ``svi`` answers.

    Raises:
        UserError: it is no SVI.
    """
    if not hasattr(svi, "loss_and_grads"):
        raise UserError(
            f"compiled takes a pyro.infer.SVI, not a {type(svi).__name__}; give it "
            'SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), Trace_ELBO()), '
            "whose steps are those of torch.optim.Adam on Trace_ELBO()(model, guide)."
        )
    return CompiledSVI(svi)


class CompiledSVI:
    """An SVI whose steps are recorded.

    Args:
        svi: whose steps.
        compile_graph: from a graph and examples to the function that runs it.
    """

    def __init__(self, svi: SVI, compile_graph: CompileGraph = compile_by_inductor) -> None:
        self.svi, self.compile_graph = svi, compile_graph
        self.why: str | None = None
        """Why all steps are Pyro's own from here on; None while there is no reason."""
        self.programs: tuple[Any, ...] = ()
        self.outside = Outside(())
        # By the structure of the arguments: what Pyro's own step has moved, and the step that has been recorded.
        self.moved: dict[Any, list[Tensor]] = {}
        self.records: dict[Any, RecordedStep] = {}
        self.num_records, self.num_resets = 0, 0
        self.floats_change, self.why_no_float = True, ""
        self.said: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        if name == "svi":  # while it is copied or unpickled
            raise AttributeError(name)
        return getattr(self.svi, name)

    def __repr__(self) -> str:
        return f"CompiledSVI({self.why or f'{len(self.records)} steps recorded'})"

    def step(self, *args: Any, **kwargs: Any) -> Any:
        """Take a step, as :meth:`pyro.infer.SVI.step`.

        Args:
            args: for model and guide.
            kwargs: for model and guide.

        Returns:
            the loss, a float.
        """
        loss = self._step(args, kwargs)
        if not isinstance(loss, Tensor):
            return loss
        value = float(loss)
        if isnan(value):
            warn_if_nan(loss, "loss")
        return value

    def step_tensor(self, *args: Any, **kwargs: Any) -> Tensor:
        """Take a step without waiting for the device: the loss is a float64 tensor, ``()``, to be read when needed."""
        loss = self._step(args, kwargs)
        return loss if isinstance(loss, Tensor) else torch.tensor(loss, dtype=torch.float64)

    def _step(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self.why is not None:
            return self.svi.step(*args, **kwargs)
        if _PYRO_STACK:
            self._say("a step inside Pyro handlers is Pyro's own, since they have to see it")
            return self.svi.step(*args, **kwargs)
        try:
            arguments = taken_apart(args, kwargs, self.floats_change)
            record = self._record_for(arguments)
            return self._eager(args, kwargs) if record is None else record(arguments)
        except NotTraceableError as error:
            self._give_up(str(error))
            return self.svi.step(*args, **kwargs)

    def _record_for(self, arguments: Arguments) -> RecordedStep | None:
        """The step for such arguments; None if it is to be Pyro's own."""
        key = self._key(arguments) if self.programs == _programs(self.svi, arguments) else None
        if key is None:
            self.records.clear()
            self.moved.clear()
            self.programs = ()
            self.num_resets += 1
            if self.num_resets == _MOST_RESETS:
                raise NotTraceableError(
                    "a tensor or an object that it reads is another at every call; change it in place"
                )
            return None
        record, moved = self.records.get(key), self.moved.get(key)
        if record is not None and record.is_valid():
            self.num_resets = 0
            return None if record.gradients_are_left() else record
        self.records.pop(key, None)
        if record is not None or moved is None:
            self.moved.pop(key, None)
            return None
        if self.num_records == _MOST_RECORDS:
            self._say(
                f"{_MOST_RECORDS} steps are compiled; with arguments or attributes of another kind they are Pyro's"
            )
            return None
        before = self.outside.now()
        try:
            self.num_records += 1
            try:
                record = RecordedStep(self.svi, moved, arguments, self.compile_graph)
            finally:
                unchanged = self.outside.put_back(before)
            if not unchanged:
                raise NotTraceableError("the program is another at each call: it changes what it reads from outside")
        except NotTraceableError as error:
            if not arguments.numbers:
                raise
            self.why_no_float = f" (with floats as tensors: {error})"
            self.floats_change = False  # the program may decide by one: then there is a record for each
            self.num_records -= 1
            return None
        self.num_resets = 0
        self.records[key] = record
        return None if record.gradients_are_left() else record

    def _eager(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Pyro's own step, after which such a step can be recorded: parameters and optimizers have been made."""
        with poutine.trace(param_only=True) as seen:
            loss = self.svi.step(*args, **kwargs)
        for record in self.records.values():
            record.counts_checked = False
        if isinstance(loss, tuple):
            self._give_up("the loss is more than one number")
            return loss
        if len(self.moved) == _MOST_STRUCTURES:
            self._give_up(f"its arguments or its programs' attributes are others at every call{self.why_no_float}")
            return loss
        values = [cast(Any, site["value"]).unconstrained() for site in seen.trace.nodes.values()]
        params = list({id(value): value for value in values}.values())  # one may have several names
        try:
            arguments = taken_apart(args, kwargs, self.floats_change)
            if not self.programs:
                programs = _programs(self.svi, arguments)
                self.outside, self.programs = Outside(programs), programs
                if self.floats_change and self.outside.tells_floats:
                    self.floats_change = False
                    arguments = taken_apart(args, kwargs, False)
            key = self._key(arguments)
        except NotTraceableError as error:  # the step has been taken
            self._give_up(str(error))
            return loss
        if key is not None:
            self.moved[key] = params
        return loss

    def _key(self, arguments: Arguments) -> Any:
        """What is the same for all steps that one record is good for; None if what they read is another object."""
        values = self.outside.values()
        if values is None:
            return None
        autocast = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
        return arguments.key, values, autocast, torch.get_default_dtype()

    def _give_up(self, why: str) -> None:
        self.why = why
        self.records.clear()
        self.moved.clear()
        self._say(f"steps are Pyro's own from here on: {why}")

    def _say(self, what: str) -> None:
        """Say it once."""
        if what not in self.said:
            self.said.add(what)
            warnings.warn(f"compiled(svi): {what}", UserWarning, stacklevel=4)


def _programs(svi: SVI, arguments: Arguments) -> tuple[Any, ...]:
    """What a step runs."""
    modules = [leaf for leaf in arguments.leaves if isinstance(leaf, nn.Module)]
    return svi.model, svi.guide, svi.loss_and_grads, svi.optim, *modules
