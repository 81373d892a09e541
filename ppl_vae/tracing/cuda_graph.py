"""A function of CUDA tensors, recorded once as a CUDA graph: one launch where there were hundreds of small kernels."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ppl_vae.runtime.seeding import preserved

Function = Callable[..., tuple[Tensor, ...]]

# Libraries choose their kernels and allocate their workspaces at the first calls, which a graph must not record.
_WARM_UPS = 3


class Recorded:
    """The function's kernels, in the order in which it launched them. Each call draws fresh randomness.

    Recording calls the function; what that does to its arguments and to the generators is undone.

    Args:
        function: of tensors on one CUDA device, to a tuple of tensors; it may change its arguments in place, and must
            not wait for the device.
        fixed: its first arguments, the very tensors that it is to read and change at every call.
        examples: its other arguments; a call copies what it is given into the graph's own.
    """

    def __init__(self, function: Function, fixed: Sequence[Tensor], examples: Sequence[Tensor]) -> None:
        self.given = [example.clone() for example in examples]
        arguments = [*fixed, *self.given]
        before = [tensor.clone() for tensor in fixed]
        with preserved(fixed[0].device):
            self.replay, self.results = record(lambda: function(*arguments))
        for tensor, value in zip(fixed, before, strict=True):
            tensor.copy_(value)

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """Launch it.

        Args:
            given: in place of the examples, of the same shapes.

        Returns:
            what the function returns; the next call overwrites it.
        """
        for mine, value in zip(self.given, given, strict=True):
            mine.copy_(value)
        self.replay()
        return self.results


def record(call: Callable[[], tuple[Tensor, ...]]) -> tuple[Callable[[], object], tuple[Tensor, ...]]:
    """Record what a call launches: how to launch it again, and the tensors that it writes its results to."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        for _ in range(_WARM_UPS):
            call()
    torch.cuda.current_stream().wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = call()
    return graph.replay, results
