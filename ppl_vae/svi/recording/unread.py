"""Pyro's losses without the values that they read: ``loss_and_grads`` as a function of tensors.

Pyro's ELBOs call ``.item()`` on every log-probability and ask whether a loss is NaN, each of which waits for the device
and none of which a record can hold. Here the same code runs, so that noise, surrogates and baselines are Pyro's own,
but a value that the *loss* reads stays a tensor, and ``backward`` only hands in what is to be differentiated. What the
model or the guide reads is refused: it may decide by it.
"""

import sys
from collections.abc import Callable, Sequence
from typing import Any

import torch
from pyro.infer.util import Dice
from pyro.util import warn_if_inf, warn_if_nan
from torch import Tensor
from torch.distributions import Distribution
from torch.overrides import TorchFunctionMode

from ppl_vae.tracing.capture import NotTraceableError

_READS = {
    *(Tensor.item, Tensor.__bool__, Tensor.__float__, Tensor.__int__, Tensor.__index__, Tensor.tolist, Tensor.numpy),
    *(Tensor.__array__, Tensor.__repr__, Tensor.__format__),
}
_ENUMERATION = Dice.compute_expectation.__code__
# Who asks whether all is as it should be, and what it is told. Is there a NaN? Whoever reads the loss in the end will
# see. Are all probabilities above 0? "No" is right whatever they are: those that are 0 then count for nothing. Are the
# arguments valid? They were, or Pyro's own step before would have failed.
_ANSWERS = {
    warn_if_nan.__code__: False,
    warn_if_inf.__code__: False,
    _ENUMERATION: False,
    Distribution.__init__.__code__: True,
    Distribution._validate_sample.__code__: True,
}


class _Unread(TorchFunctionMode):
    """Inside the block losses read no value; what they would differentiate is in ``surrogates``."""

    def __init__(self) -> None:
        super().__init__()
        self.surrogates: list[Tensor] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is Tensor.backward:
            self.surrogates.append(args[0])
            return None
        frame = sys._getframe(1)
        while frame.f_back and frame.f_globals.get("__name__") in ("torch.overrides", "torch._tensor"):
            frame = frame.f_back  # what of torch is written in Python hands over by itself
        if func is Tensor.register_hook and frame.f_code in _ANSWERS:
            return None  # it would ask the gradients too
        if func in _READS:
            if func is Tensor.item and _is_a_loss(frame.f_globals.get("__name__", "")):
                value = args[0].detach()  # Python's numbers are doubles
                return value.double() if value.is_floating_point() else value
            if func is Tensor.__bool__ and frame.f_code in _ANSWERS:
                return _ANSWERS[frame.f_code]
            raise NotTraceableError("the program reads a tensor's value to decide what to do")
        if func is Tensor.masked_select and frame.f_code is _ENUMERATION:
            values, mask = args
            return torch.where(mask, values, torch.zeros_like(values)).flatten()  # as a sum has it, of a known shape
        return func(*args, **kwargs or {})


def _is_a_loss(module: str) -> bool:
    """Whether code of this module is Pyro's of losses, which only report the values that they read."""
    return module.startswith("pyro.infer.") and not module.startswith("pyro.infer.autoguide")


def loss_and_gradients(
    loss_and_grads: Callable[[], Any], params: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor | None]]:
    """What a loss returns, and the gradients that it would leave with the parameters, without reading a value.

    Args:
        loss_and_grads: calls the loss and ``backward`` on one surrogate or more, as Pyro's do.
        params: leaves of the graph, the very tensors that the programs read.

    Returns:
        the loss, ``()``, detached, and each parameter's gradient; None for one that nothing depended on.

    Raises:
        NotTraceableError: the program reads a value, or there is nothing to differentiate.
    """
    with _Unread() as unread:
        loss = loss_and_grads()
    if not isinstance(loss, Tensor) or not unread.surrogates:
        raise NotTraceableError("its loss is not one number that depends on parameters")
    total = sum(unread.surrogates[1:], unread.surrogates[0])
    wanted = [param for param in params if param.requires_grad]  # not those that are frozen by now
    found = iter(torch.autograd.grad(total, wanted, allow_unused=True))
    return loss.detach(), [next(found) if param.requires_grad else None for param in params]
