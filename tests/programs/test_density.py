"""Whether a guide draws to find its q; that q has a density is tested by what refuses a point, in ``tests/cli``."""

from ppl_vae.guides import Planar, SemiAmortized
from ppl_vae.programs.density import has_density, is_drawn
from tests.pairs import all_of, amortized, oracle, simulate


def test_a_guide_that_draws_to_find_its_q_is_known() -> None:
    """A flow is none, though the density of its own draw is rounded otherwise than at a given value."""
    model = oracle()
    batch = all_of(simulate(model, 3))
    proposal = amortized(model, batch.x, Planar)
    refined = SemiAmortized(proposal, model, refinement_steps=2, refinement_rate=0.1)
    assert not is_drawn(proposal, batch)
    assert is_drawn(refined, batch)
    assert has_density(refined, batch)
