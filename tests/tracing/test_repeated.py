"""Products by one matrix again and again: the same numbers by every kernel, and from the fastest steady one."""

import pytest
import torch

from ppl_vae.tracing.repeated import KERNELS, Repeated, fastest, repeated
from ppl_vae.tracing.threads import threads

PRODUCTS = [Repeated(128, 48, 160), Repeated(7, 160, 48), Repeated(1, 3, 2)]


@pytest.mark.parametrize("product", PRODUCTS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_multiplies(product: Repeated, kernel: str) -> None:
    torch.manual_seed(0)
    weight = torch.randn(product.columns, product.inner)
    try:
        multiply = KERNELS[kernel](weight, product.rows)
    except (AttributeError, RuntimeError):
        pytest.skip("torch has no such kernel here")
    for _ in range(2):
        x = torch.randn(product.rows, product.inner)
        torch.testing.assert_close(multiply(x), (x.double() @ weight.double().T).float(), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("product", PRODUCTS)
def test_the_one_that_is_taken_comes_to_the_same_bits_on_one_thread(product: Repeated) -> None:
    assert fastest(product) in KERNELS
    multiply = repeated(torch.randn(product.columns, product.inner), product.rows)
    x = torch.randn(product.rows, product.inner)
    with threads(1):
        alone = multiply(x)
    assert torch.equal(multiply(x), alone)


def test_of_no_steady_kernel_torchs_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ppl_vae.tracing.repeated.steady", lambda call: False)
    assert fastest(PRODUCTS[0]) == "torch"
