"""Which of several kernels is the fastest here, measured when it is first asked for, and kept.

It is kept beside the compiler's code, so that the same job on the same machine comes to the same numbers the next time
too.
"""

import json
import math
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ppl_vae.runtime.device import processor
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_text
from ppl_vae.tracing.threads import threads

_ROUNDS, _CALLS = 6, 5


class Choices:
    """The fastest kernel of each product on this machine, measured when it is first asked for, and kept.

    Args:
        folder: to keep them in.
        measure: the name of a product's fastest kernel.
        names: of the kernels that there are.
    """

    def __init__(self, folder: Path, measure: Callable[[Any], str], names: Collection[str]) -> None:
        self.measure, self.names = measure, names
        machine = f"{processor()}, {torch.get_num_threads()} threads, torch {torch.__version__}, {', '.join(names)}"
        self.path = folder / f"ppl_vae-products-{sha256(machine.encode()).hexdigest()[:12]}.json"
        self.machine = machine

    def choose(self, product: tuple[object, ...]) -> str:
        """The name of the kernel of a product, which is told from others by what it consists of."""
        known = self._read()
        name = " ".join(map(str, product))
        if known.get(name) not in self.names:
            known[name] = self.measure(product)
            with suppress(UserError):  # a full disk, or a folder of somebody else's: measured again the next time
                write_text(self.path, json.dumps({"machine": self.machine, "kernels": known}, indent=1))
        return known[name]

    def _read(self) -> dict[str, str]:
        try:
            found = json.loads(self.path.read_text())
            kernels = found["kernels"] if found["machine"] == self.machine else {}
            return {str(name): str(kernel) for name, kernel in kernels.items()}
        except (OSError, ValueError, KeyError, AttributeError, TypeError):
            return {}


def shortest_seconds(calls: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Of each call, by name, the shortest time; they take turns, since the load of others can only add to it."""
    found = dict.fromkeys(calls, math.inf)
    for name in [*calls] * _ROUNDS:
        found[name] = min(found[name], seconds(calls[name]))
    return found


def seconds(call: Callable[[], object]) -> float:
    """The shortest time of a few calls."""
    times = []
    for _ in range(_CALLS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def steady(call: Callable[[], Tensor]) -> bool:
    """Whether one thread comes to the same bits as all; False where torch does not have what is called."""
    try:
        with threads(1):
            alone = call()
        return torch.equal(alone, call())
    except (AttributeError, RuntimeError):
        return False
