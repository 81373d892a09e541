"""Several starts of local inference: where they are, which end is kept, what is said where they disagree."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import Batch
from ppl_vae.data import Dataset
from ppl_vae.guides import BottomUp, Diagonal, Family, FullRank, InverseAutoregressive, LowRank, Planar, Point
from ppl_vae.guides.unseen import doubts_about, notes_on
from ppl_vae.inference import weights
from ppl_vae.inference.ends import LEAST, judged
from ppl_vae.inference.fitting import InferConfig, Inferred, infer
from ppl_vae.inference.starts import likely_points, placing, starting_rows
from ppl_vae.inference.steps import ElboGradient
from ppl_vae.inference.weights import Weights
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_weights import log_weights
from ppl_vae.programs.pair import frozen
from ppl_vae.runtime.seeding import seeded
from tests.pairs import all_of, optimal, oracle, simulate
from tests.two_modes import TwoModes, best_elbo, drawn, elbo_of, log_likelihood

ONES = Dataset(torch.ones(5, 8, dtype=torch.float64))
"""Of which z is near 1.8 or −1.8; a q over both, and what lies between, is an optimum five nats below."""

QUICK = InferConfig(infer_rate=0.1, infer_window=20, infer_halvings=3, infer_particles=4)


def reached(params: Tensor, data: Dataset, tilt: float = 0.0) -> np.ndarray:
    """The ELBO of each row, by quadrature."""
    q = Diagonal(1)(params)
    rows = zip(data.x.numpy(), q.mean.squeeze(1).tolist(), q.stddev.squeeze(1).tolist(), strict=True)
    return np.array([elbo_of(x, mean, scale, tilt) for x, mean, scale in rows])


def row_at(mean: float, scale: float) -> Tensor:
    """Parameters of a diagonal q."""
    q = Diagonal(1)
    params = torch.tensor([[mean, 0.0]], dtype=torch.float64)
    for _ in range(60):  # the scale rises with its number
        params[0, 1] += math.log(scale / q(params).stddev.item())
    assert q(params).stddev.item() == pytest.approx(scale)
    return params


# --- Which end is kept ------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_optimum_that_covers_both_modes_is_not_taken_for_the_highest() -> None:
    best = best_elbo(ONES.x.numpy())
    one = infer(TwoModes(), Diagonal(1), ONES, settings=replace(QUICK, infer_starts=1))
    assert (best - reached(one.params, ONES) > 4.5).all()
    assert not one.spread.any()
    assert not one.alone.any()
    found = infer(TwoModes(), Diagonal(1), ONES, settings=QUICK)
    assert (best - reached(found.params, ONES) < 0.1).all()
    assert (found.spread > 3).all()
    assert found.converged.all()
    assert not found.alone.any()
    assert notes_on(found)[0].startswith(
        "on 5 of 5 datapoints the starts of the local fit end at different ELBOs, up to"
    )
    assert doubts_about(found, QUICK) == []


def test_an_end_that_one_start_alone_has_found_is_no_convergence_and_is_said() -> None:
    """From the optimum itself and from the neutral start: nobody else confirms it."""
    settings = replace(QUICK, infer_starts=2)
    found = infer(TwoModes(), Diagonal(1), ONES, init=row_at(1.8, 0.32).expand(5, -1), settings=settings)
    assert (best_elbo(ONES.x.numpy()) - reached(found.params, ONES) < 0.1).all()
    assert found.alone.all()
    assert not found.converged.any()
    assert "on 5 one start alone has found it" in notes_on(found)[0]
    assert str(found).startswith("0 of 5 local fits have converged, after ")
    assert [(row["converged"], row["alone"]) for row in found.rows()] == 5 * [(False, True)]
    assert doubts_about(found, settings) == [
        "on 5 of 5 datapoints one start alone has found the best local fit, so a better one may be missed; raise "
        "`infer_starts`."
    ]


@pytest.mark.slow
def test_starts_that_agree_are_told_by_nothing() -> None:
    model = oracle()
    data = Dataset(simulate(model, 8))
    found = infer(model, Diagonal(3), data, settings=QUICK)
    assert not found.spread.any()
    assert not found.alone.any()
    assert found.converged.all()
    assert notes_on(found) == doubts_about(found, QUICK) == []


@pytest.mark.slow
@pytest.mark.parametrize("tilt", [0.0, 0.3, 1.0])
def test_of_a_hundred_datapoints_ninety_nine_reach_the_highest_elbo_or_say_that_they_do_not(tilt: float) -> None:
    data = drawn(100, tilt)
    best = best_elbo(data.x.numpy(), tilt)
    one = infer(TwoModes(tilt), Diagonal(1), data, settings=InferConfig(infer_starts=1))
    missed = best - reached(one.params, data, tilt)
    assert (missed > LEAST).sum() > 30
    found = infer(TwoModes(tilt), Diagonal(1), data)
    missed = best - reached(found.params, data, tilt)
    assert (missed > LEAST).sum() <= 1
    assert found.converged.sum() >= 90  # hardly any of them by saying that they may not


# --- Ends told apart --------------------------------------------------------------------------------------------------


def ends_of(*rows: Tensor) -> Tensor:
    return torch.stack([row.expand(len(ONES), -1) for row in rows])


def judge(ends: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    model = TwoModes()
    with frozen(model):
        of_ends = Weights(model, Diagonal(1), Latents.of(model, ONES.probe()))
        return judged(of_ends, all_of(ONES.x), ends, seed=0)


def test_ends_are_told_apart_by_their_elbos() -> None:
    """The first at a mode, the second its mirror image, the third hardly worse, the fourth far below, the last lost."""
    rows = [row_at(1.8, 0.32), row_at(-1.8, 0.32), row_at(1.95, 0.32), row_at(0.1, 2.5)]
    truth = np.array([elbo_of(np.ones(8), mean, scale) for mean, scale in [(1.8, 0.32), (1.95, 0.32), (0.1, 2.5)]])
    assert 0.1 < truth[0] - truth[1] < 0.3
    best, behind, lower = judge(ends_of(*rows, torch.full((1, 2), math.nan, dtype=torch.float64)))
    assert (best < 2).all()
    assert lower.sum(1).tolist() == [0, 0, 5, 5, 5]
    assert behind[:2].max() < 0.1
    assert behind[2].numpy() == pytest.approx(np.full(5, truth[0] - truth[1]), abs=0.1)
    assert behind[3].numpy() == pytest.approx(np.full(5, truth[0] - truth[2]), abs=1.0)
    assert behind[4].isnan().all()


def test_an_end_is_never_below_itself() -> None:
    _, behind, lower = judge(ends_of(row_at(0.1, 2.5), row_at(0.1, 2.5)))
    assert not behind.any()
    assert not lower.any()


def test_few_draws_show_that_ends_are_alike_and_many_that_one_is_lower(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = list[int]()

    def counted(model: nn.Module, guide: nn.Module, batch: Batch, num_samples: int) -> Tensor:
        taken.append(num_samples)
        return log_weights(model, guide, batch, num_samples)

    monkeypatch.setattr(weights, "log_weights", counted)
    judge(ends_of(row_at(1.8, 0.32), row_at(1.8, 0.32)))
    assert sum(taken) == 2 * 64
    taken.clear()
    _, _, lower = judge(ends_of(row_at(1.8, 0.32), row_at(0.1, 2.5)))
    assert lower[1].all()
    assert sum(taken) >= 2 * 256


# --- Where they are ---------------------------------------------------------------------------------------------------


def test_likely_points_are_draws_of_the_posterior() -> None:
    """In either mode alike, and as far out as the posterior is."""
    model = TwoModes()
    data = Dataset(torch.ones(2000, 8, dtype=torch.float64))
    with frozen(model), seeded(7):
        z = likely_points(model, Latents.of(model, data.probe()), all_of(data.x), 1).flatten()
    grid = np.linspace(-6, 6, 4001)
    density = np.exp(log_likelihood(np.ones(8), grid, 0.0) - 0.5 * grid**2)
    exact = (density * np.abs(grid)).sum() / density.sum()
    assert np.sqrt(2 / np.pi) < exact - 0.5  # the prior's own draws are elsewhere
    assert abs(z.abs().mean().item() - exact) < 5 * z.abs().std().item() / 2000**0.5
    assert abs((z > 0).double().mean().item() - 0.5) < 5 * 0.5 / 2000**0.5


def test_likely_points_are_different_ones() -> None:
    model = TwoModes()
    with frozen(model), seeded(7):
        z = likely_points(model, Latents.of(model, ONES.probe()), all_of(ONES.x), 64).squeeze(-1)
    assert all(len(column.unique()) == 64 for column in z.T)


FAMILIES = [Diagonal(4), LowRank(4), FullRank(4), InverseAutoregressive(4), Planar(4, num_maps=2)]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: type(family).__name__)
def test_a_narrow_q_is_put_at_points(family: Family) -> None:
    """By what its draws do: nobody has told which parameters are its mean."""
    points = torch.tensor([[1.5, -0.5, 0.0, 2.0], [-1.0, 1.0, -2.0, 0.5]])
    with torch.no_grad(), seeded(1):
        draws = family(placing(family, points)(points)).sample((4000,))
    assert (draws.mean(0) - points).abs().max() < 0.15
    assert draws.std(0).min() > 0.2
    assert draws.std(0).max() < 0.5


def test_what_a_family_cannot_do_is_left_alone() -> None:
    """A point has no width; parameters of the lower layer alone put only that one somewhere."""
    points = torch.tensor([[1.5, -0.5, 0.0]])
    torch.testing.assert_close(placing(Point(3), points)(points), points)
    layers = BottomUp([1, 2])
    with torch.no_grad():
        q = layers(placing(layers, points)(points)).sample((4000,))
    assert (q.mean(0)[0, 1:] - points[0, 1:]).abs().max() < 0.15
    assert q.std(0)[0, 0] > 0.9


class Wild(Diagonal):
    """No number unless its parameters are 0."""

    def forward(self, params: Tensor) -> torch.distributions.Distribution:
        return super().forward(torch.where(params == 0, params, math.nan))


def test_a_family_whose_moments_are_no_numbers_starts_neutral() -> None:
    points = torch.ones(2, 3)
    with frozen():
        assert not placing(Wild(3), points)(points).any()


def rows_of(num: int, **given: object) -> Tensor:
    model = oracle()
    x = simulate(model, 4)
    with frozen(model), seeded(2):
        return starting_rows(model, Diagonal(3), Latents.of(model, all_of(x)), all_of(x), num, **given)  # type: ignore[arg-type]


def test_what_is_given_comes_first_then_the_neutral_start_then_draws_of_the_prior() -> None:
    first = torch.full((4, 6), 0.7, dtype=torch.float64)
    rows = rows_of(4, first=first)
    assert torch.equal(rows[0], first)
    assert not rows[1].any()
    assert rows[2].any(1).all()
    assert not torch.equal(rows[2], rows[3])
    assert torch.equal(rows_of(1, first=first)[0], first)
    assert not rows_of(1).any()
    assert rows_of(64).shape == (64, 4, 6)


@pytest.mark.parametrize("num", [1, 3])
def test_a_guide_of_any_family_says_where_to_start(num: int) -> None:
    """At the mean of its q, which is here the posterior itself."""
    model = oracle()
    rows = rows_of(num, guide=optimal(model, FullRank))
    exact = model.posterior(simulate(model, 4))
    error = exact.variance.sqrt() / 4  # a mean of sixteen draws
    assert ((rows[0, :, :3] - exact.loc).abs() < 5 * error + 0.1).all()
    assert exact.loc.abs().max() > 1
    assert len(rows) == num
    assert not rows[1:2].any()


def test_the_outcome_does_not_depend_on_the_callers_generator() -> None:
    def run() -> Inferred:
        return infer(TwoModes(), Diagonal(1), ONES, settings=InferConfig(infer_steps=20))

    torch.manual_seed(1)
    first, state = run(), torch.get_rng_state()
    torch.manual_seed(2)
    assert all(torch.equal(one, other) for one, other in zip(vars(first).values(), vars(run()).values(), strict=True))
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


def test_only_the_ends_that_are_kept_are_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    elbo, looked = ElboGradient.elbo, list[int]()

    def counted(elbo_gradient: ElboGradient, params: Tensor, batch: Batch) -> Tensor:
        looked.append(len(params))
        return elbo(elbo_gradient, params, batch)

    monkeypatch.setattr(ElboGradient, "elbo", counted)
    found = infer(TwoModes(), Diagonal(1), ONES, settings=QUICK)
    assert found.converged.any()
    assert 0 < max(looked) <= len(ONES)
