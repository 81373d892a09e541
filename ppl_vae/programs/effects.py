"""What a guide works out once for a batch, and what a second run of it takes over.

An importance weighted objective may run a guide twice: to draw, and to score the draws under constant parameters. The
second run must be of the same q, also where parameters come of noise, and need not run an encoder again. So a guide
asks for its parameters by :func:`once`, an effect of its own beside Pyro's ``sample`` and ``param``, and handlers
remember what it came to and hand it back. Outside them ``once(work, batch)`` is ``work(batch)``.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, cast

import pyro
import pyro.distributions as dist
from pyro.poutine.messenger import Messenger
from pyro.poutine.runtime import effectful
from torch import Tensor

from ppl_vae.programs.batch import Batch

_SIDE_LOSS = "is_side_loss"


class Call(NamedTuple):
    """One call of :func:`once` and what it came to."""

    work: Callable[[Batch], Tensor]
    batch: Batch
    value: Tensor


def once(work: Callable[[Batch], Tensor], batch: Batch) -> Tensor:
    """``work(batch)``, or under :class:`Recall` what it came to in the run before, as a constant.

    Args:
        work: a method of the guide, by which the call is known again.
        batch: what the guide is run on.
    """
    value: Tensor = effectful(work, type="once")(batch)
    return value


class Remember(Messenger):
    """A handler that lists the calls of :func:`once`.

    Attributes:
        calls: in their order.
    """

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Call] = []

    def _pyro_post_once(self, msg: dict[str, Any]) -> None:
        (batch,) = msg["args"]
        self.calls.append(Call(msg["fn"], batch, msg["value"]))


class Recall(Messenger):
    """A handler that answers :func:`once` from a list, detached; what is not on the list is worked out.

    Args:
        calls: of the run before.
    """

    def __init__(self, calls: list[Call]) -> None:
        super().__init__()
        self.calls = calls

    def _pyro_once(self, msg: dict[str, Any]) -> None:
        for call in self.calls:
            if call.work == msg["fn"] and call.batch is msg["args"][0]:
                msg["value"], msg["done"] = call.value.detach(), True


def side_loss(name: str, loss: Tensor) -> None:
    """Let whatever objective is climbed descend this loss beside it: a term of log q with value 0 and its gradient.

    Not :func:`pyro.factor`, which is part of the density: scored again where the density is, and left out where a
    density's own gradient is.

    Args:
        name: of the site.
        loss: ``(batch,)`` inside the batch's plate; the mean over the batch is descended.
    """
    fn = dist.Unit(loss - loss.detach(), has_rsample=True)
    pyro.sample(name, fn, obs=fn.sample(), infer=cast(Any, {"is_auxiliary": True, _SIDE_LOSS: True}))


def is_side_loss(site: Any) -> bool:
    """Whether a site is a :func:`side_loss`."""
    return site["type"] == "sample" and bool(site["infer"].get(_SIDE_LOSS))
