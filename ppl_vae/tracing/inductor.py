"""torch's compiler."""

import logging
import warnings
from collections.abc import Callable, Sequence

from torch import Tensor
from torch.fx import GraphModule


def by_inductor(graph: GraphModule, examples: Sequence[Tensor], settings: dict[str, object]) -> Callable[..., object]:
    """A graph as a function, compiled.

    Args:
        graph: of tensors.
        examples: for arguments of whose shapes and strides.
        settings: of inductor; a processor's threads are always as many as torch has at the call.
    """
    from torch._inductor import standalone_compile  # a second to import, which an eager run need not pay

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA is no news
    patches = {"config_patches": {"cpp.dynamic_threads": True, **settings}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own use of itself
        # Of the ways to call inductor the one that keeps whole graphs.
        return standalone_compile(graph, list(examples), dynamic_shapes="from_example_inputs", options=patches)
