"""torch's compiler."""

import logging
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy

import torch
from torch import Tensor
from torch.fx import GraphModule

# What a program writes as a number, torch.tensor(2.0), is taken through one of these.
_LITERAL = (torch.ops.aten.lift_fresh_copy.default, torch.ops.aten.lift_fresh.default)


def by_inductor(graph: GraphModule, examples: Sequence[Tensor], settings: dict[str, object]) -> Callable[..., object]:
    """A graph as a function, compiled.

    Args:
        graph: of tensors.
        examples: for arguments of whose shapes and strides.
        settings: of inductor; a processor's threads are always as many as torch has at the call.

    Returns:
        the function; tensors that the graph reads beside its arguments are read where they are, at each call.
    """
    from torch._inductor import standalone_compile  # a second to import, which an eager run need not pay

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that there is no CUDA is no news
    patches = {"config_patches": {"cpp.dynamic_threads": True, **settings}}
    graph, constants = _reading_its_constants(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own use of itself
        # Of the ways to call inductor the one that keeps whole graphs.
        found: Callable[..., object] = standalone_compile(
            graph, [*examples, *constants], dynamic_shapes="from_example_inputs", options=patches
        )
    return (lambda *arguments: found(*arguments, *constants)) if constants else found


def _reading_its_constants(graph: GraphModule) -> tuple[GraphModule, list[Tensor]]:
    """The graph with tensors of the program's, its buffers for one, as further arguments, and these.

    Inductor would write a few numbers into its code, and would not see that somebody fills the buffer with others.
    """
    graph = GraphModule(graph, deepcopy(graph.graph))
    constants = list[Tensor]()
    for node in graph.graph.find_nodes(op="get_attr"):
        constant = getattr(graph, str(node.target))
        if not isinstance(constant, Tensor) or all(user.target in _LITERAL for user in node.users):
            continue
        after_arguments = next(each for each in graph.graph.nodes if each.op != "placeholder")
        with graph.graph.inserting_before(after_arguments):
            argument = graph.graph.placeholder(f"constant_{len(constants)}")
        constants.append(constant.detach())
        argument.meta = node.meta
        node.replace_all_uses_with(argument)
        graph.graph.erase_node(node)
    graph.recompile()
    return graph, constants
