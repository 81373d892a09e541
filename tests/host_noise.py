"""The same noise on every device: it is drawn on the CPU and carried over."""

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map


class HostNoise(TorchDispatchMode):
    """Inside the block whatever draws is done on the CPU, from its generator, in the order in which it comes."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        draws = torch.Tag.nondeterministic_seeded in func.tags
        if (
            not draws or "rnn" in func.overloadpacket.__name__
        ):  # that would draw for its dropout, of which there is none
            return func(*args, **kwargs)
        given = [value for value in args if isinstance(value, Tensor)]
        device = given[0].device if given else torch.device(kwargs.get("device") or "cpu")
        here = {name: value for name, value in kwargs.items() if name != "pin_memory"}
        if "device" in here:
            here["device"] = torch.device("cpu")
        drawn = func(*(value.cpu() if isinstance(value, Tensor) else value for value in args), **here)
        if func.overloadpacket.__name__.endswith("_"):  # what it was given is to hold the draw
            return args[0].copy_(drawn)
        return tree_map(lambda value: value.to(device) if isinstance(value, Tensor) else value, drawn)
