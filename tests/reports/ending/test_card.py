"""The card of a run shows an estimate where its number has an error, whatever its name says."""

import torch

from ppl_vae.estimates import Estimate
from ppl_vae.reports.ending.card import Estimated, _estimates


def test_whether_there_is_an_error_is_asked_of_the_number() -> None:
    several, single = Estimate(torch.tensor([1.0, 2.0, 4.0])), Estimate(torch.tensor([-7.25]))
    shown = _estimates(Estimated([("elbo", several), ("elbo ± of one", single)], "Of the digits."))
    assert "| elbo | 2.33 ± 0.88 |  |" in shown
    assert "7.25" not in shown
    assert _estimates(Estimated([("elbo ± of one", single)])).startswith("None: they could not be had")
