"""Tables of rows: only a minibatch's rows move, whatever the order, whatever N, and nobody takes another's.

The numbered tests are regressions for bugs of well-known code, section 6 of the design notes: 4, dense Adam over a
per-datapoint table; 7, rows of one data set taken for those of another.
"""

import math
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.guides import Diagonal, Family, PerDatapoint
from ppl_vae.guides.semi_amortized import SemiAmortized
from ppl_vae.models import LinearGaussian
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.rows import RowTable, check_rows, collect_leaves, tables_of
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from tests.pairs import all_of, amortized, optimal, oracle, simulate


def per_datapoint(
    model: nn.Module, x: Tensor, family: type[Family] = Diagonal, num: int | None = None, first: int = 0
) -> PerDatapoint:
    latents = Latents.of(model, all_of(x[:2]))
    return PerDatapoint(latents, family(latents.size), num or len(x), first).to(x.dtype)


def stepper(guide: PerDatapoint, data: Dataset, model: LinearGaussian | None = None) -> EagerStep:
    model = model or oracle()
    optimizer = PairOptimizer(model, guide, OptimizerConfig())
    return EagerStep(model, guide, TraceELBO(), optimizer, data)


# --- Which rows move --------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_4_rows_outside_the_minibatch_never_move() -> None:
    """A thousand steps on some rows, others visited once at the start, so that a dense Adam would have momentum."""
    model = oracle()
    data = Dataset(simulate(model, 30))
    guide = per_datapoint(model, data.x)
    step = stepper(guide, data, model)
    step(torch.arange(20))
    before = guide.table.weight.detach().clone()
    assert before[:20].abs().min() > 0
    assert not before[20:].any()
    active = torch.arange(0, 20, 2)
    with pyro.validation_enabled(False):
        for number in range(1000):
            step(active[torch.tensor([number % 10, (number + 3) % 10])])
    untouched = torch.ones(30, dtype=torch.bool)
    untouched[active] = False
    assert torch.equal(guide.table.weight[untouched], before[untouched])
    assert (guide.table.weight[active] - before[active]).abs().amax(1).min() > 0.1


def test_4_dense_adam_does_move_them() -> None:
    """The bug itself: torch's Adam over the same table goes on moving a row that was visited once."""
    model = oracle()
    data = Dataset(simulate(model, 6))
    guide = per_datapoint(model, data.x)
    adam = torch.optim.Adam(guide.parameters(), lr=0.05)
    for index in (torch.arange(6), torch.arange(3)):
        before = guide.table.weight.detach().clone()
        adam.zero_grad()
        TraceELBO().terms(model, guide, data.batch(index)).loss.backward()
        adam.step()
    assert (guide.table.weight[3:] - before[3:]).abs().max() > 1e-3


@pytest.mark.parametrize("first", [0, 1000])
def test_rows_are_addressed_by_the_datapoints_number(first: int) -> None:
    """Whatever the shuffle and wherever the split begins, row n is datapoint n's."""
    x = simulate(oracle(), 8)
    model = oracle()
    guide = per_datapoint(model, x, first=first)
    with torch.no_grad():
        guide.table.weight.copy_(torch.arange(8.0).unsqueeze(1).expand(8, 6))
    data = Dataset(x, first=first)
    order = torch.tensor([5, 0, 7, 2])
    assert torch.equal(guide.params(data.batch(order))[:, 0], order.double())
    expected = guide.q(data.batch(torch.arange(8))).log_prob(torch.zeros(3).double())[order]
    assert torch.equal(guide.q(data.batch(order)).log_prob(torch.zeros(3).double()), expected)


def test_fit_leaves_each_datapoint_its_own_row() -> None:
    """After shuffled epochs row n is nearest to the posterior mean of datapoint n; a few have a near neighbour."""
    model = oracle()
    x = simulate(model, 40)
    guide = per_datapoint(model, x)
    means = model.posterior(x).loc.detach()
    model.requires_grad_(False)

    def own() -> Tensor:
        return torch.cdist(guide.table.weight.detach()[:, :3], means).argmin(1) == torch.arange(40)

    assert own().sum() < 5
    settings = FitConfig(epochs=60, batch_size=20, device="cpu", num_particles=4)
    fit(model, guide, Dataset(x), settings=settings)
    assert own().sum() > 20


# --- Leaves -----------------------------------------------------------------------------------------------------------


def test_leaves_are_the_rows_and_gather_their_gradient() -> None:
    table = RowTable(6, 3)
    nn.init.normal_(table.weight)
    index = torch.tensor([4, 1])
    outside = table(index)
    assert outside.grad_fn is not None
    with collect_leaves([table]) as leaves:
        inside = table(index)
        (inside * torch.tensor([[1.0], [2.0]])).sum().backward()
    assert torch.equal(inside, outside)
    ((leaf,),) = leaves
    assert leaf.table is table
    assert torch.equal(leaf.rows, index)
    assert leaf.values is inside
    assert torch.equal(leaf.values.grad, torch.tensor([[1.0], [2.0]]).expand(2, 3))
    assert table.weight.grad is None
    assert table(index).grad_fn is not None


def test_leaves_end_with_the_block_even_when_it_fails() -> None:
    table = RowTable(3, 2)
    with pytest.raises(RuntimeError, match="on purpose"), collect_leaves([table]):
        raise RuntimeError("on purpose")
    assert table(torch.tensor([0])).grad_fn is not None


def test_leaf_gradients_are_the_dense_ones() -> None:
    """On the same noise the leaves gather what Pyro's own SVI would put into the table's gradient."""
    model = oracle()
    x = simulate(model, 10)
    guide = per_datapoint(model, x)
    nn.init.normal_(guide.table.weight)
    batch = Dataset(x).batch(torch.tensor([7, 2, 3]))
    torch.manual_seed(5)
    TraceELBO(3).terms(model, guide, batch).loss.backward()
    dense = guide.table.weight.grad
    torch.manual_seed(5)
    with collect_leaves(tables_of(model, guide)) as leaves:
        loss = TraceELBO(3).terms(model, guide, batch).loss
    loss.backward()
    ((leaf,),) = leaves
    assert dense.abs().max() > 0.1
    assert torch.equal(dense[batch.index], leaf.values.grad)
    assert not dense[torch.tensor([0, 1, 4, 5, 6, 8, 9])].any()


def test_tables_are_found_wherever_they_are() -> None:
    model = oracle()
    x = simulate(model, 4)
    guide = per_datapoint(model, x)
    assert tables_of(model, nn.Sequential(nn.Identity(), guide)) == [guide.table]
    assert tables_of(model, amortized(model, x)) == []


# --- Cost -------------------------------------------------------------------------------------------------------------


class LargestNew(TorchDispatchMode):
    """The largest storage that any operation inside has allocated: views and in-place results allocate none."""

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.elements = 0
        self.operation = ""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in out if isinstance(out, tuple | list) else (out,):
            if isinstance(value, Tensor) and value.untyped_storage().data_ptr() not in self.known:
                elements = value.untyped_storage().nbytes() // value.element_size()
                if elements > self.elements:
                    self.elements, self.operation = elements, str(func)
        return out


def largest_of_a_step(num: int) -> LargestNew:
    model = oracle()
    x = simulate(model, 8)
    data = Dataset(x.repeat(num // 8, 1))
    guide = per_datapoint(model, x, num=num)
    step = stepper(guide, data, model)
    state = [tensor for table in step.optimizer.row_adam.moments for tensor in table]
    index = torch.tensor([num - 1, 0, 77])
    step(index)
    with LargestNew([guide.table.weight, data.x, *state]) as largest:
        step(index)
    return largest


def test_4_a_steps_memory_does_not_grow_with_the_table() -> None:
    small, large = largest_of_a_step(800), largest_of_a_step(80_000)
    assert 0 < large.elements < 800, large.operation
    assert large.elements == small.elements


def test_a_dense_gradient_would_be_noticed() -> None:
    model = oracle()
    x = simulate(model, 8)
    guide = per_datapoint(model, x, num=80_000)
    with LargestNew([guide.table.weight]) as largest:
        TraceELBO().terms(model, guide, all_of(x)).loss.backward()
    assert largest.elements == guide.table.weight.numel()


# --- Saved and resumed ------------------------------------------------------------------------------------------------


def fresh(x: Tensor) -> tuple[LinearGaussian, PerDatapoint]:
    torch.manual_seed(3)
    model = LinearGaussian((5,), 2).double()
    return model, per_datapoint(model, x)


def test_resumed_fit_is_the_uninterrupted_one(tmp_path: Path) -> None:
    """Table, moments and counts, bit for bit."""
    x = simulate(oracle(), 50)

    def settings(epochs: int) -> FitConfig:
        return FitConfig(epochs=epochs, batch_size=16, device="cpu")

    whole, parts = fresh(x), fresh(x)
    fit(*whole, Dataset(x), settings=settings(4), checkpoint_path=tmp_path / "whole.pt")
    fit(*parts, Dataset(x), settings=settings(2), checkpoint_path=tmp_path / "parts.pt")
    assert not torch.equal(whole[1].table.weight, parts[1].table.weight)
    again = fresh(x)
    fit(*again, Dataset(x), settings=settings(4), checkpoint_path=tmp_path / "parts.pt", resume=True)
    for a, b in zip(whole, again, strict=True):
        assert all(torch.equal(a.state_dict()[name], b.state_dict()[name]) for name in a.state_dict())
    ends = [torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "parts.pt")]
    tables = [end["optimizer"]["rows"]["tables"][0] for end in ends]
    assert (tables[0]["steps"] == 4).all()
    assert all(torch.equal(tables[0][name], tables[1][name]) for name in ("steps", "mean", "square"))


def test_table_is_an_ordinary_parameter() -> None:
    x = simulate(oracle(), 4)
    _, guide = fresh(x)
    assert [name for name, _ in guide.named_parameters()] == ["table.weight"]
    assert list(guide.state_dict()) == ["table.weight"]
    assert guide.float().table.weight.dtype == torch.float32


# --- Rows of other datapoints -----------------------------------------------------------------------------------------


def test_7_rows_of_another_split_are_refused_in_words() -> None:
    """Both a larger split, which would fail on a shape or an index, and a smaller, which would read wrong rows."""
    model = oracle()
    x = simulate(model, 30)
    train = Dataset(x[:12])
    guide = per_datapoint(model, train.x)
    for test in (Dataset(x[12:], first=12), Dataset(x[12:15], first=12)):
        for estimate in (lambda test: elbo(model, guide, test), lambda test: importance_bound(model, guide, test, 3)):
            with pytest.raises(
                UserError, match=r"PerDatapoint has rows for datapoints 0 to 11, not for 12 to .* infer"
            ):
                estimate(test)
    assert math.isfinite(elbo(model, guide, train).elbo.mean)
    assert math.isfinite(elbo(model, guide, train.head(3)).elbo.mean)


def test_7_training_on_more_data_than_rows_is_refused() -> None:
    model = oracle()
    x = simulate(model, 30)
    guide = per_datapoint(model, x[:12])
    with pytest.raises(UserError, match="rows for datapoints 0 to 11, not for 0 to 29"):
        fit(model, guide, Dataset(x), settings=FitConfig(epochs=1, device="cpu"))


@pytest.mark.parametrize(
    ("first", "count", "fits"),
    [(10, 5, True), (12, 3, True), (10, 6, False), (9, 2, False), (15, 1, False), (0, 5, False)],
)
def test_check_rows(first: int, count: int, fits: bool) -> None:
    guide = per_datapoint(oracle(), simulate(oracle(), 5), first=10)
    if fits:
        check_rows(guide, first, count)
    else:
        with pytest.raises(UserError, match=f"10 to 14, not for {first} to {first + count - 1}"):
            check_rows(guide, first, count)


def test_check_rows_asks_nothing_of_an_encoder() -> None:
    model = oracle()
    proposal = optimal(model, Diagonal)
    for guide in (proposal, SemiAmortized(proposal, model)):
        check_rows(guide, 2**40, 10)


def test_validation_is_left_out_for_a_guide_of_the_training_rows() -> None:
    x = simulate(oracle(), 30)
    history = fit(
        *fresh(x[:20]), Dataset(x[:20]), Dataset(x[20:], first=20), settings=FitConfig(epochs=1, device="cpu")
    )
    assert history[0].validation_bound is None
    with pytest.raises(UserError, match="patience needs a guide with a q for unseen data"):
        fit(
            *fresh(x[:20]),
            Dataset(x[:20]),
            Dataset(x[20:], first=20),
            settings=FitConfig(epochs=1, device="cpu", patience=1),
        )


def test_a_batch_may_be_a_subset_in_any_order() -> None:
    """Same noise aside, the ELBO's closed-form part of a datapoint is its own wherever it stands."""
    model = oracle()
    x = simulate(model, 6)
    guide = per_datapoint(model, x)
    nn.init.normal_(guide.table.weight)
    data = Dataset(x)
    all_kl = TraceELBO(analytic_kl=True).terms(model, guide, data.batch(torch.arange(6))).kl
    order = torch.tensor([3, 0, 5])
    some: Batch = data.batch(order)
    assert torch.equal(TraceELBO(analytic_kl=True).terms(model, guide, some).kl, all_kl[order])
