"""Who takes part: a table of names, each with what makes it."""

import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal, Protocol, get_args

from ppl_vae.bench.sizes import Size

Name = Literal["pyro", "handwritten", "numpyro", "floor", "eager", "traced"]

TITLES: dict[Name, str] = {
    "pyro": "Pyro's SVI.step, as in its example",
    "handwritten": "PyTorch by hand, fused Adam",
    "numpyro": "NumPyro, jitted epoch",
    "floor": "the matrix products alone",
    "eager": "ppl_vae, eager",
    "traced": "ppl_vae, traced",
}
assert set(get_args(Name)) == set(TITLES)


class Contender(Protocol):
    """Something that takes optimisation steps."""

    def run(self, steps: int) -> float:
        """Take so many steps and wait for the device.

        Returns:
            the mean loss of the steps, nats per datapoint; NaN where there is none.
        """


class AbsentError(Exception):
    """A contender that cannot take part here; the message says why, in words."""


def contender(name: Name, size: Size, device: str) -> Contender:
    """Make a contender, ready for its first step.

    Args:
        name: who.
        size: of everything.
        device: ``cpu``, ``cuda``, …

    Raises:
        AbsentError: it cannot take part.
    """
    return _MAKERS[name](size, device)


def _pyro(size: Size, device: str) -> Contender:
    from ppl_vae.bench.pyro_example import PyroExample

    return PyroExample(size, device)


def _handwritten(size: Size, device: str) -> Contender:
    from ppl_vae.bench.handwritten import HandWritten

    return HandWritten(size, device)


def _floor(size: Size, device: str) -> Contender:
    from ppl_vae.bench.floor import Floor

    return Floor(size, device)


def _numpyro(size: Size, device: str) -> Contender:
    kind = numpyro_device(device)
    from ppl_vae.bench.numpyro_example import NumPyroExample

    return NumPyroExample(size, kind)


def numpyro_device(device: str) -> str:
    """Where NumPyro computes for this device: ``cpu``, ``cuda``.

    Raises:
        AbsentError: it is not installed, or its jax is for other devices.
    """
    if find_spec("numpyro") is None:
        raise AbsentError("NumPyro is not installed; pip install 'ppl_vae[bench]'")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else it takes three quarters of a GPU's memory
    from ppl_vae.bench.numpyro_example import has_device

    kind = device.partition(":")[0]
    if not has_device(kind):
        hint = "; pip install 'jax[cuda]'" if device.startswith("cuda") else ""
        raise AbsentError(f"the installed jax does not compute on '{device}'{hint}")
    return kind


def _eager(size: Size, device: str) -> Contender:
    from ppl_vae.bench.ours import Ours

    return Ours(size, device, traced=False)


def _traced(size: Size, device: str) -> Contender:
    from ppl_vae.bench.ours import Ours
    from ppl_vae.tracing.capture import NotTraceableError

    try:
        return Ours(size, device, traced=True)
    except NotTraceableError as error:
        raise AbsentError(f"the step cannot be traced here ({error})") from None


_MAKERS: dict[Name, Callable[[Size, str], Contender]] = {
    "pyro": _pyro,
    "handwritten": _handwritten,
    "numpyro": _numpyro,
    "floor": _floor,
    "eager": _eager,
    "traced": _traced,
}
