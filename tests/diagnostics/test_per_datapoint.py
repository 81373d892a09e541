"""Columns of what was found of each datapoint."""

import math

import pytest
import torch

from ppl_vae.diagnostics.per_datapoint import as_csv, per_datapoint
from ppl_vae.estimates import Estimate
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.evaluation.weight_tails import WeightTails
from ppl_vae.runtime.shown import Names


@pytest.mark.parametrize("names", [("elbo", "reconstruction", "kl"), ("log_px",), ("renyi_gap", "log_px_upper")])
def test_whatever_an_estimator_finds_has_a_column(names: tuple[str, ...]) -> None:
    """Also under names that nobody has thought of here."""
    results = {name: Estimate(torch.tensor([-1.5, 2.0]) * (number + 1)) for number, name in enumerate(names)}
    table = per_datapoint(results, None)
    usual = ["elbo", "reconstruction", "kl", "log_px"]
    own = [name for name in names if name not in usual]
    both = [each for name in (*usual, *own) for each in (name, f"{name}_stderr")]
    assert list(table) == ["index", *both, "k_hat", "ess"]
    for name, found in results.items():
        assert table[name].equal(found.values)
    empty = [name for name in usual if name not in names]
    assert all(table[name].isnan().all() for name in empty)
    assert as_csv(table).splitlines()[0] == ",".join(table)


def test_each_value_has_its_error_over_draws_and_its_label() -> None:
    """Of streams that are independent the squares add up; a single draw does not tell."""
    noise = torch.tensor([[0.3, 0.0], [0.4, 2.0]])
    results = {"log_px": Estimate(torch.tensor([-1.0, -2.0]), noise), "elbo": Estimate(torch.tensor([-3.0, -4.0]))}
    columns = per_datapoint(results, None, torch.tensor([1, 0]), Names(labels=("cat", "dog"))).columns()
    assert list(columns)[:3] == ["index", "label", "elbo"]
    assert columns["label"].tolist() == ["dog", "cat"]
    assert columns["log_px_stderr"].tolist() == pytest.approx([0.5, 2.0])
    assert all(map(math.isnan, columns["elbo_stderr"]))
    numbered = per_datapoint(results, None, torch.tensor([1, 0]), Names(labels=(3, 7)))
    assert as_csv(numbered).splitlines()[1].startswith("0,7,-3,,")
    assert numbered.to_frame()["label"].tolist() == [7, 3]


def test_what_was_diagnosed_on_fewer_is_known_of_those_alone() -> None:
    one = Estimate(torch.tensor([-1.0]))
    weights = WeightTails(ElboParts(one, one, one), one, one, torch.tensor([0.2], dtype=torch.float64))
    table = per_datapoint({"elbo": Estimate(torch.tensor([-2.0, -3.0]))}, weights)
    assert table["elbo"].tolist() == [-2.0, -3.0]
    for name, known in {"kl": -1.0, "k_hat": 0.2, "ess": -1.0}.items():
        assert table[name][0] == pytest.approx(known)
        assert table[name][1].isnan()
