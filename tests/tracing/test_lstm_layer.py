"""An LSTM in a compiled graph: torch's own numbers, forwards and backwards, in operations that can be compiled."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn

from ppl_vae.tracing import lstm
from ppl_vae.tracing.capture import compiled, trace
from ppl_vae.tracing.lstm_layer import LSTM
from ppl_vae.tracing.products import multiplications

pytestmark = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no such kernel here")
_STEPS, _SIZE, _IN, _HIDDEN = 5, 3, 2, 4


class Case(NamedTuple):
    """An LSTM, its input, and what of its outputs has a gradient."""

    settings: dict[str, bool | int]
    steps: int = _STEPS
    state: bool = False
    until: int = _STEPS
    of_state: bool = True


CASES = {
    "with a state": Case({}, state=True),
    "without": Case({}),
    "one step": Case({}, steps=1),
    "steps by rows": Case({"batch_first": True}, state=True),
    "two layers, both ways": Case({"num_layers": 2, "bidirectional": True}),
    "no bias": Case({"bias": False}),
    "last steps unread": Case({}, until=2, of_state=False, state=True),
    "nothing read": Case({}, until=0, of_state=False),
}


def _numbers(case: Case) -> tuple[nn.LSTM, list[Tensor]]:
    torch.manual_seed(0)
    layer = nn.LSTM(_IN, _HIDDEN, **case.settings)
    shape = (_SIZE, case.steps, _IN) if layer.batch_first else (case.steps, _SIZE, _IN)
    ways = layer.num_layers * (2 if layer.bidirectional else 1)
    state = [torch.randn(ways, _SIZE, _HIDDEN) for _ in range(2)] if case.state else []
    return layer, [torch.randn(shape), *state, *(param.detach() for param in layer.parameters())]


def _both(layer: nn.LSTM, case: Case, *numbers: Tensor) -> tuple[Tensor, ...]:
    """Outputs and state, and the gradients of all that they were made of."""
    leaves = [number.detach().requires_grad_() for number in numbers]
    names = [name for name, _ in layer.named_parameters()]
    given, params = leaves[: -len(names)], dict(zip(names, leaves[-len(names) :], strict=True))
    x, *state = given
    outputs, after = torch.func.functional_call(layer, params, (x, tuple(state) or None))
    by_steps = outputs.transpose(0, 1) if layer.batch_first else outputs
    read = by_steps[: case.until].square().sum()
    read = read + (after[0].sum() + after[1].square().sum() if case.of_state else 0 * after[0].sum())
    return (outputs.detach(), *(each.detach() for each in after), *torch.autograd.grad(read, leaves))


def _assert_torchs(name: str, *, compile_it: bool) -> None:
    layer, numbers = _numbers(CASES[name])

    def both(*numbers: Tensor) -> tuple[Tensor, ...]:
        return _both(layer, CASES[name], *numbers)

    graph = trace(both, numbers)
    operations = [node.target for node in graph.graph.nodes]
    for operation in (torch.ops.ppl_vae.lstm.default, torch.ops.ppl_vae.lstm_backward.default):
        assert operations.count(operation) == layer.num_layers * (2 if layer.bidirectional else 1)
    assert not {str(operation) for operation in LSTM} & set(map(str, operations))
    right = both(*numbers)
    assert any(gradient.any() for gradient in right[3:]) == (name != "nothing read")
    function = compiled(graph, numbers) if compile_it else graph
    for _ in range(2):  # the second time in memory that has been used
        torch.testing.assert_close(function(*numbers), right, rtol=1e-5, atol=1e-6)


@pytest.fixture
def cells_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not compiled, which takes seconds."""
    monkeypatch.setattr(lstm, "_compiled", lambda cell, arguments: cell)


@pytest.mark.parametrize("name", CASES)
def test_it_is_torchs(name: str, cells_as_they_are: None) -> None:
    _assert_torchs(name, compile_it=False)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["steps by rows", "two layers, both ways", "nothing read"])
def test_compiled_it_is_torchs(name: str) -> None:
    _assert_torchs(name, compile_it=True)


def test_its_multiplications_count(cells_as_they_are: None) -> None:
    layer, numbers = _numbers(CASES["with a state"])
    graph = trace(lambda *numbers: _both(layer, CASES["with a state"], *numbers), numbers)
    assert multiplications(graph) >= 3 * _STEPS * _SIZE * 4 * _HIDDEN * (_IN + _HIDDEN)


def test_other_numbers_than_float32_are_left_to_torch(cells_as_they_are: None) -> None:
    numbers = _numbers(CASES["with a state"])[1]
    arguments = [number.bfloat16() for number in (numbers[0], *numbers[3:7], numbers[1][0], numbers[2][0])]
    rest = (False, [], 2, _HIDDEN, 1, True, False, False, True)
    assert LSTM[torch.ops.aten.mkldnn_rnn_layer.default](*arguments, *rest) is NotImplemented
    assert LSTM[torch.ops.aten.mkldnn_rnn_layer.default](*(a.float() for a in arguments), *rest) is not NotImplemented


def test_memory_is_used_again_once_nobody_has_it() -> None:
    mine, yours = lstm.unused(1_001), lstm.unused(1_001)
    places = {mine.data_ptr(), yours.data_ptr()}
    assert len(places) == 2
    part = mine[3:]
    del mine
    assert lstm.unused(1_001).data_ptr() not in places  # a part of it is still read
    del part
    again = lstm.unused(1_001)
    assert again.data_ptr() != yours.data_ptr()
