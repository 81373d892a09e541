"""Estimates and the protocol that they were made under."""

import json
import math
from dataclasses import fields

import pytest
import torch

from ppl_vae.estimates import Estimate, Protocol
from ppl_vae.estimates.estimate import Origin, check_origin, shared, unlike
from ppl_vae.runtime.errors import UserError


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


FIELDS = {
    "data": "digits",
    "fingerprint": "0123456789abcdef",
    "split": "test",
    "num_datapoints": 359,
    "binarization": "dynamic",
    "data_seed": 0,
    "likelihood": "proper",
    "estimator": "ais",
    "num_samples": 50,
    "seed": 1,
    "model": "00000000aaaaaaaa",
    "guide": "11111111bbbbbbbb",
    "details": {"temperatures": 100, "start": "prior"},
}
CHANGED = {
    "data": "mnist",
    "fingerprint": "fedcba9876543210",
    "split": "validation",
    "num_datapoints": 358,
    "binarization": "static",
    "data_seed": 1,
    "likelihood": "none (Bernoulli on grey levels)",
    "estimator": "iwae",
    "num_samples": 51,
    "seed": 2,
    "details": {"temperatures": 101, "start": "prior"},
}


def test_protocol_as_a_dictionary() -> None:
    assert Protocol(**FIELDS).to_dict() == FIELDS
    bare = {name: value for name, value in FIELDS.items() if name != "details"}
    assert Protocol(**bare).to_dict() == {**FIELDS, "details": {}}


@pytest.mark.parametrize("name", CHANGED)
def test_every_field_of_a_protocol_forbids_ranking(name: str) -> None:
    """Also of protocols that have been written and read back."""
    one, other = Protocol(**FIELDS), Protocol(**{**FIELDS, name: CHANGED[name]})
    assert one.unlike(other) == other.unlike(one) == [name]
    assert unlike(one.to_dict(), json.loads(json.dumps(other.to_dict()))) == [name]


def test_only_the_weights_may_differ() -> None:
    other = Protocol(**{**FIELDS, "model": "2222222222222222", "guide": "3333333333333333"})
    assert other != Protocol(**FIELDS)
    assert Protocol(**FIELDS).unlike(other) == []
    assert unlike(FIELDS, json.loads(json.dumps(other.to_dict()))) == []
    assert set(CHANGED) | {"model", "guide"} == {field.name for field in fields(Protocol)}
    assert shared(FIELDS).keys() == CHANGED.keys()


def test_a_field_that_one_protocol_lacks_differs() -> None:
    more = {**FIELDS, "num_samples_log_px": None}
    assert unlike(FIELDS, more) == unlike(more, FIELDS) == ["num_samples_log_px"]


def test_a_difference_is_of_the_same_datapoints() -> None:
    with pytest.raises(UserError, match="of 3 and of 2; estimate both on the same datapoints"):
        Estimate(torch.zeros(3)) - Estimate(torch.zeros(2))


def test_an_origin_is_one() -> None:
    check_origin(None)
    check_origin(Origin("digits", "", "test", "static", 0))
    with pytest.raises(UserError, match=r"^`origin` is a str; give"):
        check_origin("digits")
