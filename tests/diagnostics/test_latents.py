"""The latents of given observations, of a guide that has an answer to them and of one that has none."""

from ppl_vae.data import Dataset
from ppl_vae.diagnostics.latents import infer_latents
from ppl_vae.guides import Diagonal, FullRank, PerDatapoint
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.batch import UNSEEN
from ppl_vae.programs.latents import Latents
from tests.pairs import optimal, oracle, simulate

MODEL = oracle()
DATA = Dataset(simulate(MODEL, 5))


def test_it_has_moments_draws_and_an_elbo_of_each() -> None:
    num = 4000
    found = infer_latents(MODEL, optimal(MODEL, FullRank), DATA, num_samples=num, seed=1)
    mean, std, draws = (found.arrays[f"z_{name}"] for name in ("mean", "std", "samples"))
    assert draws.shape == (num, 5, 3)
    assert (abs(draws.mean(0) - mean) < 5 * std / num**0.5).all()
    assert (abs(draws.std(0) / std - 1) < 5 / (2 * num) ** 0.5).all()
    assert (found.fits, found.notes, found.warnings) == (None, [], [])
    assert str(found) == f"elbo (5,), z_mean (5, 3), z_std (5, 3), z_samples ({num}, 5, 3)"
    rows = found.rows()
    assert list(rows[0])[:2] == ["elbo", "z_mean_0"]
    assert [row["z_std_2"] for row in rows] == std[:, 2].tolist()


def test_where_the_guide_has_no_answer_one_is_fitted_and_said_to_be_unfinished() -> None:
    guide = PerDatapoint(Latents.of(MODEL, DATA.probe()), Diagonal(3), 4)
    unseen = DATA.replace(first=UNSEEN)
    found = infer_latents(MODEL, guide, unseen, InferConfig(infer_steps=2, infer_starts=1), num_samples=2)
    assert found.fits is not None
    assert len(found.fits.converged) == 5
    assert found.warnings == found.doubts
    assert found.doubts[0].startswith("5 of 5 local fits had not converged; raise `infer_steps`")
