"""Columns of what was found of each datapoint."""

import pytest
import torch

from ppl_vae.diagnostics.per_datapoint import as_csv, per_datapoint
from ppl_vae.estimates import Estimate


@pytest.mark.parametrize("names", [("elbo", "reconstruction", "kl"), ("log_px",), ("renyi_gap", "log_px_upper")])
def test_whatever_an_estimator_finds_has_a_column(names: tuple[str, ...]) -> None:
    """Also under names that nobody has thought of here."""
    results = {name: Estimate(torch.tensor([-1.5, 2.0]) * (number + 1)) for number, name in enumerate(names)}
    table = per_datapoint(results, None)
    usual = ["elbo", "reconstruction", "kl", "log_px"]
    own = [name for name in names if name not in usual]
    assert list(table) == ["index", *usual, *own, "k_hat", "ess"]
    for name, found in results.items():
        assert table[name].equal(found.values)
    empty = [name for name in usual if name not in names]
    assert all(table[name].isnan().all() for name in empty)
    assert as_csv(table).splitlines()[0] == ",".join(table)
