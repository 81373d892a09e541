"""What a step changes while it is recorded is put back, and what a record would not do again is refused."""

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves

from ppl_vae.tracing.capture import NotTraceableError

_INDEX = torch.ops.aten.index.Tensor


class _Watching(TorchDispatchMode):
    """Keeps what is written to inside the block as it was, and the states of generators.

    Raises:
        NotTraceableError: a shape depends on values, or a generator is set.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.before: dict[int, tuple[Tensor, Tensor]] = {}
        self.generators: dict[torch.Generator, Tensor] = {}
        self.state = torch.get_rng_state()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None) -> Any:
        specs = func._schema.arguments
        given = {**dict(zip([spec.name for spec in specs], args, strict=False)), **(kwargs or {})}
        if torch.Tag.dynamic_output_shape in func.tags and (func is not _INDEX or _has_mask(given["indices"])):
            raise NotTraceableError("the program makes a tensor whose shape depends on values")
        generator = given.get("generator")
        if isinstance(generator, torch.Generator) and generator not in self.generators:
            with _disable_current_modes():
                self.generators[generator] = generator.get_state()
        for spec in specs:
            declared = spec.alias_info is not None and spec.alias_info.is_write
            if declared or spec.name in ("running_mean", "running_var"):  # batch norm's kernel does not declare them
                for tensor in tree_leaves(given.get(spec.name)):
                    if isinstance(tensor, Tensor) and id(tensor) not in self.before:
                        with _disable_current_modes():  # or the copy is recorded
                            self.before[id(tensor)] = tensor, tensor.clone()
        if torch.Tag.nondeterministic_seeded not in func.tags:
            return func(*args, **kwargs or {})
        with _disable_current_modes():
            if not torch.equal(self.state, torch.get_rng_state()):
                raise NotTraceableError("the program sets the seed of torch's generator")
        result = func(*args, **kwargs or {})
        with _disable_current_modes():
            self.state = torch.get_rng_state()
        return result


def _has_mask(indices: Any) -> bool:
    return any(isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8) for index in indices)


@contextmanager
def nothing_changed() -> Iterator[None]:
    """After the block tensors, Pyro's parameter store and the generators of Python and NumPy are as before it.

    Raises:
        NotTraceableError: a new parameter was made in it, or one of those generators was drawn from.
    """
    store = pyro.get_param_store()
    names = ("_params", "_param_to_name", "_constraints")
    before = {name: dict(getattr(store, name)) for name in names}
    watching = _Watching()
    of_python, of_numpy = random.getstate(), np.random.get_state()
    try:
        with watching:
            yield
    finally:
        drawn = random.getstate() != of_python or pickle.dumps(np.random.get_state()) != pickle.dumps(of_numpy)
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        new = [name for name in store._params if name not in before["_params"]]
        for name, value in before.items():
            setattr(store, name, value)
        for generator, state in watching.generators.items():
            generator.set_state(state)
        with torch.no_grad():
            for tensor, own in reversed(watching.before.values()):  # what was a view when it was written to comes last
                if tensor.shape == own.shape:  # else it is one of the record's own, which grew
                    tensor.copy_(own)
    if drawn:
        raise NotTraceableError("the program draws from a generator not torch's")
    if new:
        raise NotTraceableError(f"it makes a parameter, '{new[0]}', that the step before had not")
