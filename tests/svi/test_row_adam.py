"""Adam row by row: each row's own moments and count, and torch's Adam where all rows are visited."""

import copy

import torch
from torch import Tensor, nn

from ppl_vae.programs.rows import RowTable, collect_leaves
from ppl_vae.svi import OptimizerConfig, PairOptimizer
from ppl_vae.svi.row_adam import RowAdam

RATE, EPSILON = 0.1, 1e-8


def table_of(rows: int = 5, width: int = 3, first: int = 0, seed: int = 0) -> RowTable:
    table = RowTable(rows, width, first).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        table.weight.copy_(torch.randn(rows, width, generator=generator, dtype=torch.float64))
    return table


def loss_of(rows: Tensor, index: Tensor) -> Tensor:
    """Lopsided and not quadratic, each row with its own minimum."""
    target = torch.sin(1.0 + index.double()).unsqueeze(1) * torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    return ((rows - target) ** 2 + 0.1 * (rows - target) ** 4).sum()


def step(table: RowTable, adam: RowAdam, index: Tensor) -> None:
    with collect_leaves([table]) as leaves:
        loss = loss_of(table(index), index)
    loss.backward()
    adam.step(leaves)


def test_full_batches_are_torchs_adam() -> None:
    table = table_of()
    dense = nn.Parameter(table.weight.detach().clone())
    theirs = torch.optim.Adam([dense], lr=RATE, eps=EPSILON)
    ours = RowAdam([table], RATE, EPSILON)
    index, start = torch.arange(5), dense.detach().clone()
    for _ in range(300):
        theirs.zero_grad()
        loss_of(dense, index).backward()
        theirs.step()
        step(table, ours, index[torch.randperm(5)])
        torch.testing.assert_close(table.weight.detach(), dense.detach(), rtol=0.0, atol=1e-12)
    assert (table.weight - start).abs().min() > 0.1


def test_every_row_is_an_adam_of_its_own() -> None:
    """Rows visited at odd times go the way of a separate torch.optim.Adam that takes a step only then."""
    table = table_of()
    ours = RowAdam([table], RATE, EPSILON)
    alone = [nn.Parameter(row.clone().unsqueeze(0)) for row in table.weight.detach()]
    theirs = [torch.optim.Adam([param], lr=RATE, eps=EPSILON) for param in alone]
    generator = torch.Generator().manual_seed(1)
    for _ in range(100):
        index = torch.randperm(5, generator=generator)[:2]
        step(table, ours, index)
        for row in index.tolist():
            theirs[row].zero_grad()
            loss_of(alone[row], torch.tensor([row])).backward()
            theirs[row].step()
    expected = torch.cat([param.detach() for param in alone])
    torch.testing.assert_close(table.weight.detach(), expected, rtol=0.0, atol=1e-12)
    assert len(set(ours.moments[0].steps.flatten().tolist())) > 1


def test_a_row_first_visited_late_takes_a_full_first_step() -> None:
    """Adam's first step is rate · g / (|g| + ε), whenever it comes."""
    table = table_of()
    adam = RowAdam([table], RATE, EPSILON)
    for _ in range(500):
        step(table, adam, torch.tensor([0, 1]))
    before = table.weight.detach().clone()
    step(table, adam, torch.tensor([4]))
    moved = (table.weight.detach() - before).abs()
    torch.testing.assert_close(moved[4], torch.full((3,), RATE, dtype=torch.float64), rtol=1e-6, atol=0.0)
    assert not moved[:4].any()
    assert adam.moments[0].steps.flatten().tolist() == [500, 500, 0, 0, 1]


def test_rows_of_a_later_split() -> None:
    table, shifted = table_of(), table_of(first=100)
    adams = RowAdam([table], RATE, EPSILON), RowAdam([shifted], RATE, EPSILON)
    for _ in range(3):
        with collect_leaves([shifted]) as leaves:
            loss = loss_of(shifted(torch.tensor([102, 104])), torch.tensor([2, 4]))
        loss.backward()
        adams[1].step(leaves)
        step(table, adams[0], torch.tensor([2, 4]))
    assert torch.equal(table.weight, shifted.weight)


def test_two_tables_do_not_mix() -> None:
    tables = [table_of(seed=0), table_of(rows=7, seed=1)]
    alone = copy.deepcopy(tables)
    together, apart = RowAdam(tables, RATE, EPSILON), [RowAdam([table], RATE, EPSILON) for table in alone]
    for first, second in ((torch.tensor([0, 3]), torch.tensor([6])), (torch.tensor([3]), torch.tensor([1, 6]))):
        with collect_leaves(tables) as leaves:
            loss = loss_of(tables[0](first), first) + loss_of(tables[1](second), second)
        loss.backward()
        together.step(leaves)
        for table, adam, index in zip(alone, apart, (first, second), strict=True):
            step(table, adam, index)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(tables, alone, strict=True))


def test_a_leaf_without_gradient_does_not_move_or_count() -> None:
    table = table_of()
    adam, before = RowAdam([table], RATE, EPSILON), table.weight.detach().clone()
    with collect_leaves([table]) as leaves:
        table(torch.tensor([1, 2]))
    adam.step(leaves)
    assert torch.equal(table.weight, before)
    assert not adam.moments[0].steps.any()


def test_state_goes_on_where_it_was() -> None:
    def run(trip: bool) -> Tensor:
        table = table_of()
        adam = RowAdam([table], RATE, EPSILON)
        for number in range(6):
            if trip and number == 3:
                state = copy.deepcopy(adam.state_dict())
                adam = RowAdam([table], RATE, EPSILON)
                adam.load_state_dict(state)
            step(table, adam, torch.tensor([number % 5, (number + 2) % 5]))
        return table.weight.detach()

    assert torch.equal(run(trip=True), run(trip=False))


def test_a_loaded_state_is_a_copy() -> None:
    table = table_of()
    adam, other = RowAdam([table], RATE, EPSILON), RowAdam([table_of()], RATE, EPSILON)
    step(table, adam, torch.tensor([0]))
    other.load_state_dict(adam.state_dict())
    step(table, adam, torch.tensor([0]))
    assert other.moments[0].steps.flatten().tolist() == [1, 0, 0, 0, 0]


def test_pair_optimizer_keeps_rows_to_row_adam() -> None:
    """The table is not among Adam's parameters; its rate is its own and follows the schedule."""
    guide = nn.Sequential(nn.Linear(2, 2), table_of())
    optimizer = PairOptimizer(nn.Linear(1, 1), guide, OptimizerConfig(learning_rate=0.3, row_learning_rate=0.2))
    assert optimizer.tables == [guide[1]]
    assert optimizer.of_shared is not None
    assert all(param is not guide[1].weight for group in optimizer.of_shared.param_groups for param in group["params"])
    assert sum(len(group["params"]) for group in optimizer.of_shared.param_groups) == 4
    optimizer.scale_rates(1.0)
    assert optimizer.row_adam.learning_rate == 0.2
    optimizer.scale_rates(0.5)
    assert abs(optimizer.row_adam.learning_rate - 0.1) < 1e-12


def test_pair_of_tables_alone() -> None:
    """No shared parameter: there is no Adam, and the state still makes the round trip."""
    table = table_of()
    optimizer = PairOptimizer(nn.Module(), table, OptimizerConfig(row_learning_rate=RATE))
    assert optimizer.of_shared is None
    optimizer.zero_grad()
    with collect_leaves(optimizer.tables) as leaves:
        loss = loss_of(table(torch.tensor([1])), torch.tensor([1]))
    loss.backward()
    before = table.weight.detach().clone()
    optimizer.step(leaves)
    assert (table.weight != before).any(1).tolist() == [False, True, False, False, False]
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
