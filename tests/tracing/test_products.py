"""Products by the fastest kernel: the same numbers."""

import pytest
import torch
from torch import Tensor

from ppl_vae.tracing import choices, products
from ppl_vae.tracing.capture import compiled, trace
from ppl_vae.tracing.products import KERNELS, USUAL, Product, fastest, multiplications, with_fastest_products

PRODUCTS = [Product(20, 784, 200, False, True), Product(7, 20, 5, True, False), Product(3, 13, 1, False, False)]


def _layer(x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
    return (torch.tanh(x @ weight.T) @ weight,)


def _arguments(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(shape, generator=generator, dtype=dtype) for shape in ((6, 30), (20, 30))]


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_multiplies(product: Product, kernel: str) -> None:
    left, right = product.examples()
    assert Product.of(left, right) == product
    found = torch.ops.ppl_vae.product.default(left, right, kernel)
    torch.testing.assert_close(found, (left.double() @ right.double()).float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_compiled_function_is_the_same_by_every_kernel(kernel: str) -> None:
    arguments = _arguments()
    graph = with_fastest_products(trace(_layer, arguments), lambda product: kernel)
    left = [node for node in graph.graph.nodes if node.target is torch.ops.aten.mm.default]
    assert len(left) == (2 if kernel == USUAL else 0)
    assert multiplications(graph) == 2 * 6 * 20 * 30
    (found,) = compiled(graph, arguments)(*arguments)
    torch.testing.assert_close(found, *_layer(*arguments), rtol=1e-5, atol=1e-5)


def test_other_numbers_than_float32_are_left_to_torch() -> None:
    graph = with_fastest_products(trace(_layer, _arguments(torch.float64)), lambda product: "oneDNN")
    assert all(node.target is not torch.ops.ppl_vae.product.default for node in graph.graph.nodes)


def test_the_fastest_is_of_those_whose_bits_do_not_depend_on_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = {"torch": 3.0, "torch in parts": 2.5, "torch on one thread": 2.0, "oneDNN": 1.0}
    monkeypatch.setattr(choices, "seconds", lambda call: slow[call.args[2]])
    unsteady: set[str] = set()
    names = {kernel: name for name, kernel in KERNELS.items()}
    monkeypatch.setattr(products, "steady", lambda call: names[call.func] not in unsteady)
    assert fastest(PRODUCTS[1]) == "oneDNN"
    slow["oneDNN"] = 2.9
    assert fastest(PRODUCTS[1]) == USUAL  # too little to leave it for
    unsteady.add(USUAL)
    assert fastest(PRODUCTS[1]) == "torch on one thread"
    slow["torch in parts"] = 2.1  # the compiler calls it by itself
    assert fastest(PRODUCTS[1]) == "torch in parts"
    slow["oneDNN"] = 1.8
    assert fastest(PRODUCTS[1]) == "oneDNN"
    unsteady.update(KERNELS)
    assert fastest(PRODUCTS[1]) == USUAL
