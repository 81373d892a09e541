"""The products of matrices of a compiled function, each by the fastest kernel that is at hand, at its very shapes.

torch carries two libraries for them on a processor. MKL is what ``torch.mm`` calls; on some processors oneDNN takes
half its time. A few of MKL's products come to other last digits with other numbers of threads, which would make the
results of a job depend on the load of the machine: those have one thread, or oneDNN.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from ppl_vae.tracing.choices import Choices, shortest_seconds, steady
from ppl_vae.tracing.compiler_cache import cache_folder
from ppl_vae.tracing.threads import threads

Kernel = Callable[[Tensor, Tensor], Tensor]

# A kernel that is called by way of Python has to be so much faster than what the compiler calls by itself.
_MARGIN = 0.9


def _by_onednn(left: Tensor, right: Tensor) -> Tensor:
    """oneDNN's linear layer, x Wᵀ; it is slow where x is stored by columns, so that one is copied first."""
    found: Tensor = torch.ops.mkldnn._linear_pointwise(left.contiguous(), right.mT, None, "none", [], "")
    return found


def _on_one_thread(left: Tensor, right: Tensor) -> Tensor:
    with threads(1):
        return torch.mm(left, right)


def _in_parts(left: Tensor, right: Tensor) -> Tensor:
    """The sum of the products of a few columns of one with the same rows of the other, which threads can share."""
    inner = left.shape[1]
    number = next(parts for parts in (4, 3, 2, 1) if inner % parts == 0)
    columns, rows = left.unflatten(1, (number, -1)).permute(1, 0, 2), right.unflatten(0, (number, -1))
    return torch.bmm(columns, rows).sum(0)


USUAL, _IN_PARTS, _ALONE = "torch", "torch in parts", "torch on one thread"
KERNELS: dict[str, Kernel] = {
    USUAL: torch.mm,
    _IN_PARTS: _in_parts,
    _ALONE: _on_one_thread,
    "oneDNN": _by_onednn,
}
# What torch's own is left for only where its bits depend on the number of threads.
_STEADIER = {_IN_PARTS, _ALONE}
_BY_PYTHON = {_ALONE, "oneDNN"}

_library = torch.library.Library("ppl_vae", "DEF")
_library.define("product(Tensor left, Tensor right, str kernel) -> Tensor")
_library.impl("product", lambda left, right, kernel: KERNELS[kernel](left, right), "CPU")
torch.library.register_fake(
    "ppl_vae::product", lambda left, right, kernel: left.new_empty(left.shape[0], right.shape[1]), lib=_library
)


def _of_product(node: Node) -> float:
    return float(node.args[0].meta["val"].shape[-1] * node.meta["val"].numel())  # type: ignore[union-attr]


MULTIPLICATIONS: dict[Any, Callable[[Node], float]] = {
    torch.ops.aten.mm.default: _of_product,
    torch.ops.aten.bmm.default: _of_product,
    torch.ops.ppl_vae.product.default: _of_product,
}
"""Of the operations that have most of them, how many they have."""


class Product(NamedTuple):
    """The shape of a product, ``(rows, inner) @ (inner, columns)``, and which of the two is stored by columns."""

    rows: int
    inner: int
    columns: int
    left_turned: bool
    right_turned: bool

    @classmethod
    def of(cls, left: Tensor, right: Tensor) -> "Product":
        """That of two matrices."""
        turned = [each.stride(0) == 1 and min(each.shape) > 1 for each in (left, right)]
        return cls(left.shape[0], left.shape[1], right.shape[1], turned[0], turned[1])

    def examples(self) -> tuple[Tensor, Tensor]:
        """Two such matrices, always the same."""
        generator = torch.Generator().manual_seed(0)
        shapes = ((self.rows, self.inner, self.left_turned), (self.inner, self.columns, self.right_turned))
        return tuple(  # type: ignore[return-value]
            torch.randn(b, a, generator=generator).mT if turned else torch.randn(a, b, generator=generator)
            for a, b, turned in shapes
        )


def with_fastest_products(graph: GraphModule, choose: Callable[[Product], str] | None = None) -> GraphModule:
    """Have each product of float32 matrices on a processor taken by its fastest kernel.

    Args:
        graph: as ``make_fx`` makes it; changed in place.
        choose: the name of a product's kernel; the fastest if None, see :class:`Choices`.
    """
    choose = choose or Choices(cache_folder(), fastest, KERNELS).choose
    for node in list(graph.graph.nodes):
        if node.target is not torch.ops.aten.mm.default or not _is_ours(node):
            continue
        left, right = node.args
        product = Product.of(left.meta["val"], right.meta["val"])
        if (kernel := choose(product)) == _IN_PARTS:
            _write_out(graph.graph, node, product, KERNELS[kernel])
        elif kernel != USUAL:
            node.target = torch.ops.ppl_vae.product.default
            node.args = (left, right, kernel)
    graph.recompile()
    return graph


def _write_out(graph: Graph, node: Node, product: Product, kernel: Kernel) -> None:
    """Put a kernel's own operations in place of a product: the compiler calls them without Python."""
    written = make_fx(kernel)(*product.examples()).graph
    operands = dict(zip(written.find_nodes(op="placeholder"), node.args, strict=True))
    with graph.inserting_before(node):
        result = graph.graph_copy(written, operands)
    assert isinstance(result, Node)
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def multiplications(graph: GraphModule) -> float:
    """How many the products of a graph have."""
    return sum(MULTIPLICATIONS[node.target](node) for node in graph.graph.nodes if node.target in MULTIPLICATIONS)


def _is_ours(node: Node) -> bool:
    value = node.meta["val"]
    return bool(value.device.type == "cpu" and value.dtype == torch.float32 and value.numel() > 0)


def fastest(product: Product) -> str:
    """The name of the fastest kernel, of those that come to the same bits with any number of threads.

    torch's own is left for another library only where that takes a tenth less, and is taken in parts or on one thread
    only where it has to be. What counts is the time with one thread and that with all: a step may be taken with either.
    """
    left, right = product.examples()
    found = {name for name, kernel in KERNELS.items() if steady(partial(kernel, left, right))}
    tried = sorted(found - (_STEADIER if USUAL in found else {USUAL}))
    calls = {name: partial(torch.ops.ppl_vae.product.default, left, right, name) for name in tried}
    taken = dict.fromkeys(tried, 0.0)
    for number in {1, torch.get_num_threads()}:
        with threads(number):
            taken = {name: taken[name] + shortest for name, shortest in shortest_seconds(calls).items()}
    return min(tried, key=lambda name: taken[name] * (1.0 if name in _BY_PYTHON else _MARGIN), default=USUAL)
