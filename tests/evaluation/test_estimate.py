"""Estimates and the protocol that they were made under."""

import math

import pytest
import torch

from ppl_vae.evaluation import Estimate, Protocol


def test_mean_and_standard_error() -> None:
    estimate = Estimate(torch.tensor([1.0, 2.0, 6.0]))
    assert estimate.mean == 3.0
    assert estimate.stderr == pytest.approx(math.sqrt(7 / 3))  # s² = (4 + 1 + 9) / 2


def test_one_value_has_no_error() -> None:
    assert Estimate(torch.tensor([1.5])).mean == 1.5
    assert math.isnan(Estimate(torch.tensor([1.5])).stderr)


def test_summed_in_double_precision() -> None:
    estimate = Estimate(torch.full((3_000_000,), 0.1) + 1e4)
    assert estimate.mean == pytest.approx(float(estimate.values[0]), rel=1e-12)


def test_protocol_as_a_dictionary() -> None:
    fields = {
        "data": "digits",
        "fingerprint": "0123456789abcdef",
        "split": "test",
        "num_datapoints": 359,
        "binarization": "dynamic",
        "data_seed": 0,
        "estimator": "iwae",
        "num_samples": 50,
        "seed": 1,
    }
    assert Protocol(**fields).to_dict() == fields
