"""Fits that go on from what earlier ones have come to, in memory."""

import pytest

from ppl_vae import UserError, fit
from ppl_vae.svi import OptimizerConfig
from ppl_vae.training.earlier import Earlier
from tests.fits import TRAIN, VALIDATION, settings
from tests.pairs import vae_pair


def test_several_fits_are_one_bit_for_bit() -> None:
    whole, parts, earlier = vae_pair(), vae_pair(), Earlier()
    constant = settings(patience=0, optimizer=OptimizerConfig(learning_rate=0.01))
    history = fit(*whole, TRAIN, VALIDATION, constant)
    for epochs in (1, 2, 5):
        found = fit(*parts, TRAIN, VALIDATION, constant, epochs=epochs, earlier=earlier)
        assert len(found) == len(earlier.history) == epochs
    assert [each.validation_bound for each in found] == [each.validation_bound for each in history]
    for one, other in zip(whole, parts, strict=True):
        for name, value in one.state_dict().items():
            assert (other.state_dict()[name] == value).all(), name


def test_without_it_a_second_fit_begins_anew() -> None:
    """What the test above would not see if an optimizer made no difference."""
    pair, earlier = vae_pair(), Earlier()
    once = settings(patience=0, epochs=1)
    for _ in range(2):
        assert len(fit(*pair, TRAIN, settings=once)) == 1
    fit(*pair, TRAIN, settings=once, earlier=earlier)
    with pytest.raises(UserError, match="what an earlier fit has come to is of another pair"):
        fit(*vae_pair(latent_dim=3), TRAIN, settings=settings(patience=0, epochs=2), earlier=earlier)
    with pytest.raises(UserError, match="`resume` goes on from a file and `earlier` from memory"):
        fit(*pair, TRAIN, settings=once, checkpoint_path="run.pt", resume=True, earlier=earlier)
