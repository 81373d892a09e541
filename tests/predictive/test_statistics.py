"""Statistics of tables with holes, against NumPy's of what was seen."""

import numpy as np
import pytest
import torch

from ppl_vae import UserError
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.statistics import Statistics

KINDS = ("reals", "counts", "bits", "category", "category", "category")
COLUMNS = ("height", "visits", "smoker", "city=Oslo", "city=Rome", "city=Paris")


def info(kinds: tuple[str, ...] = KINDS, columns: tuple[str, ...] = COLUMNS) -> DataInfo:
    return DataInfo((len(columns),), 0, 40, "", columns=columns, kinds=kinds)


def tables(num: int = 3, rows: int = 40) -> torch.Tensor:
    draw = np.random.default_rng(0)
    made = np.concatenate(
        [
            1e4 + draw.normal(size=(num, rows, 1)),  # float32 leaves three digits of its spread
            draw.poisson(1.0, (num, rows, 1)),
            draw.random((num, rows, 1)) < 0.3,
            np.eye(3)[draw.integers(0, 3, (num, rows))],
        ],
        axis=2,
    )
    return torch.tensor(made).float()


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_they_are_numpys(share: float) -> None:
    x = tables()
    mask = torch.rand(x.shape[1:], generator=torch.Generator().manual_seed(0)) >= share
    statistics = Statistics.of(info(), x[0])
    filled = torch.where(mask, x, torch.full_like(x, 77.0))  # what stands in for holes counts for nothing
    found = statistics.values(filled, mask if share else None, torch.tensor([1e4, 1.0, 0.3, 0.3, 0.3, 0.3]))
    for table, values in zip(x.double().numpy(), found.double().numpy(), strict=True):
        for name, (first, second), value in zip(statistics.names, statistics.places.tolist(), values, strict=True):
            both = (mask[:, first] & mask[:, second]).numpy() if share else slice(None)
            column, other = table[both, first], table[both, second]
            expected = {
                "mean": lambda: column.mean(),  # noqa: B023  # called at once
                "share of ones": lambda: column.mean(),  # noqa: B023
                "standard deviation": lambda: column.std(ddof=1),  # noqa: B023
                "share of zeros": lambda: (column == 0).mean(),  # noqa: B023
                "5 % quantile": lambda: np.quantile(column, 0.05),  # noqa: B023
                "median": lambda: np.median(column),  # noqa: B023
                "95 % quantile": lambda: np.quantile(column, 0.95),  # noqa: B023
                "correlation": lambda: np.corrcoef(column, other)[0, 1],  # noqa: B023
            }[name]()
            assert value == pytest.approx(expected, rel=1e-6, abs=1e-4), (name, first, second)


def test_each_kind_of_column_has_its_own_and_values_of_a_category_have_no_correlation() -> None:
    statistics = Statistics.of(info(), tables()[0])
    each = list(zip(statistics.names, statistics.places.tolist(), strict=True))
    numbers = ["mean", "standard deviation", "5 % quantile", "median", "95 % quantile"]
    assert [name for name, places in each if places == [0, 0]] == numbers
    assert [name for name, places in each if places == [1, 1]] == [*numbers, "share of zeros"]
    for column in (2, 3, 4, 5):
        assert [name for name, places in each if places == [column, column]] == ["share of ones"]
    pairs = [tuple(places) for name, places in each if name == "correlation"]
    assert len(pairs) == 6 * 5 // 2 - 3
    assert not {(3, 4), (3, 5), (4, 5)} & set(pairs)


def test_a_column_that_nobody_has_seen_or_that_never_changes_has_none() -> None:
    x = tables()
    x[..., 1] = 2.0
    mask = torch.ones(x.shape[1:], dtype=torch.bool)
    mask[:, 0] = False
    statistics = Statistics.of(info(), x[0])
    found = statistics.values(x, mask, torch.zeros(6))
    none = (statistics.places == 0).any(1) | (statistics.which("correlation") & (statistics.places == 1).any(1))
    assert torch.equal(found.isnan().all(0), none)
    assert torch.equal(found.isnan().any(0), none)


def test_what_is_no_table_is_refused() -> None:
    for x in (torch.rand(5, 4, 4), (255 * torch.rand(300, 784)).round() / 255):
        with pytest.raises(UserError, match=r"^the data is no table: give rows of"):
            Statistics.of(DataInfo.of(Dataset(x)), x)


def test_kinds_are_told_from_the_numbers_where_nobody_has_written_them_down() -> None:
    x = torch.poisson(torch.full((50, 2), 3.0), generator=torch.Generator().manual_seed(0))
    assert Statistics.of(DataInfo((2,), 0, 50, ""), x).kinds == ("counts", "counts")
