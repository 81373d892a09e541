"""Results print themselves, become a table, and are drawn; an error is never 0.00."""

import math
import re
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from ppl_vae import UserError
from ppl_vae.data import Dataset
from ppl_vae.estimates import Estimate, Origin, Protocol
from ppl_vae.estimates.estimate import errors_line
from ppl_vae.evaluation import Bidirectional, ElboParts, EvaluateConfig, GapsConfig, estimates, gaps_by_family
from ppl_vae.evaluation.annealed import Annealed
from ppl_vae.evaluation.local_gaps import below_mean_field
from ppl_vae.guides import Diagonal, Family, FullRank, InverseAutoregressive, PerDatapoint, Planar, Point
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.config import to_plain
from tests.cli.own_parts import Heavy
from tests.pairs import optimal, oracle, simulate

MODEL = oracle(size=3, latent_dim=2)
FEW = GapsConfig(
    elbo_samples=20, num_samples=20, chains=2, temperatures=2, prior_temperatures=2, leapfrog=1, engine="eager"
)
SHORT = InferConfig(infer_starts=1, infer_steps=4, infer_window=2)


@pytest.mark.parametrize(
    ("spread", "noise", "text"),
    [
        (3.0, 0.4, "-5.0 ± 1.7 (± 0.23)"),
        (0.003, 4e-7, "-5.0000 ± 0.0017 (± 2.3e-07)"),
        (0.0, 0.0, "-5.000"),
        (3.0, None, "-5.0 ± 1.7"),
    ],
)
def test_errors_have_two_digits(spread: float, noise: float | None, text: str) -> None:
    values = torch.tensor([-5 - spread, -5, -5 + spread], dtype=torch.float64)
    draws = None if noise is None else torch.full((1, 3), noise, dtype=torch.float64)
    assert str(Estimate(values, draws)) == text


def test_one_datapoint_has_no_error_over_datapoints() -> None:
    alone = Estimate(torch.tensor([-5.0]), torch.tensor([[0.4]]))
    assert str(alone) == "-5.000 (± 0.40)"
    assert errors_line([alone]).startswith("nats per datapoint, of one, so no error over datapoints, (±) of")
    assert math.isnan(alone.stderr)
    assert alone.rows() == [{"mean": -5.0, "stderr": None, "monte_carlo_stderr": pytest.approx(0.4)}]


def test_the_signs_of_several_stand_below_each_other() -> None:
    parts = ElboParts(*(Estimate(torch.tensor([-100.0, -102.0]) * scale) for scale in (1, 0.9, 0.001)))
    lines = str(parts).splitlines()
    assert [line.split()[0] for line in lines] == ["elbo", "reconstruction", "kl"]
    assert {line.index("±") for line in lines} == {29}
    assert [row["name"] for row in parts.rows()] == list(parts.by_name())
    assert "<td>kl</td>" in parts._repr_html_()
    low, high = Annealed(parts.elbo, 0.5), Annealed(parts.reconstruction, 0.6)
    both = Bidirectional(low, high)
    assert both.acceptance == 0.5
    assert [row["name"] for row in both.rows()] == ["bdmc_gap", "log_px_lower", "log_px_upper"]
    assert str(both).startswith("bdmc_gap ")


def test_a_protocol_without_an_origin_names_these_x() -> None:
    data, guide = Dataset(simulate(MODEL, 4)), optimal(MODEL, Diagonal)
    common = (None, "elbo", 1, 0)
    first, again = (Protocol.of(MODEL, guide, part, *common) for part in (data, Dataset(data.x.clone())))
    other = Protocol.of(MODEL, guide, Dataset(data.x + 1), *common)
    assert first.unlike(again) == []
    assert first.unlike(other) == ["fingerprint"]
    known = Protocol.of(MODEL, guide, data, Origin("mine", "abc", "test", "none", 3), "elbo", 1, 0, {"steps": 2})
    assert (known.data, known.fingerprint, known.split, known.num_datapoints) == ("mine", "abc", "test", 4)
    (line,) = known.in_words({"more": 1})
    assert line.startswith("estimator elbo, num_samples 1, on 4 datapoints of mine (split test); ")
    assert not any(each in line for each in ("abc", known.model, known.guide))  # hashes, for programs
    assert line.endswith(", steps 2, more 1")


def test_rows_are_fitted_to_data_that_the_guide_has_no_answer_to() -> None:
    """The same numbers as by hand, and in the protocol the guide that was fitted."""
    from ppl_vae.evaluation import elbo
    from ppl_vae.guides.unseen import guide_for

    data = Dataset(simulate(MODEL, 6), first=50)
    guide = PerDatapoint(Latents.of(MODEL, data.probe()), Diagonal(2), 5)
    settings = EvaluateConfig(num_samples=3, limit=4, infer=SHORT)
    found = estimates(MODEL, guide, data, settings)
    few = data.head(4)
    expected = elbo(MODEL, guide_for(MODEL, guide, few, SHORT), few, 3)
    assert found.results["elbo"].mean == expected.elbo.mean
    assert found.fitted.fits is not None
    assert found.protocol.num_datapoints == 4
    assert found.protocol.guide != Protocol.of(MODEL, guide, few, None, "elbo", 3, 0).guide
    (bound,) = estimates(MODEL, guide, data, EvaluateConfig(estimator="iwae", limit=2, infer=SHORT)).results.values()
    assert bound.rise is not None


def test_a_point_with_rows_for_others_is_known_for_one() -> None:
    data = Dataset(simulate(MODEL, 4), first=50)
    guide = PerDatapoint(Latents.of(MODEL, data.probe()), Point(2), 1)
    for settings, advice in (("iwae", "`estimator` elbo"), ("sbc", "no spread that could be calibrated")):
        with pytest.raises(UserError, match=advice):
            estimates(MODEL, guide, data, EvaluateConfig(estimator=settings))  # type: ignore[arg-type]
    with pytest.raises(UserError, match="no gap to log p"):
        gaps_by_family(MODEL, guide, {"diagonal": Diagonal(2)}, data)


@pytest.mark.parametrize(
    ("families", "line"),
    [
        (
            [Diagonal(2)],
            "`families` must be a dictionary of at least one family by name, such as {'diagonal': ",
        ),
        ({}, "`families` must be a dictionary of at least one family"),
        ({"mine": Diagonal}, "family 'mine' is the class Diagonal; pass a family that is made, such as Diagonal(2)."),
        ({"mine": [Diagonal(2)]}, "family 'mine' is a list; pass"),
        (
            {"a": Diagonal(2), "b": FullRank(3)},
            "family 'b' is over 3 numbers, the model's latents are 2; make",
        ),
    ],
)
def test_what_is_no_family_over_the_latents_is_refused(families: Any, line: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(line)}"):
        gaps_by_family(MODEL, optimal(MODEL, Diagonal), families, Dataset(simulate(MODEL, 3)))


def test_settings_of_gaps_and_of_their_fits_are_given_by_name() -> None:
    data, guide, families = Dataset(simulate(MODEL, 3)), optimal(MODEL, Diagonal), {"diagonal": Diagonal(2)}
    named = to_plain(FEW) | to_plain(SHORT)
    found = gaps_by_family(MODEL, guide, families, data, **named)
    assert found.to_dict() == gaps_by_family(MODEL, guide, families, data, FEW, SHORT).to_dict()
    with pytest.raises(UserError, match=r"did you mean 'num_samples'\?$"):
        gaps_by_family(MODEL, guide, families, data, num_sample=3)


def test_gaps_of_several_data_are_one_result() -> None:
    data = {name: Dataset(simulate(MODEL, 5, seed)) for name, seed in (("test", 1), ("mine", 2))}
    guide, families = optimal(MODEL, Diagonal), {"diagonal": Diagonal(2), "full-rank": FullRank(2)}
    found = gaps_by_family(MODEL, guide, families, data, FEW, SHORT)
    text = str(found)
    assert text.startswith("test data, 5 datapoints\n")
    assert "\nmine, 5 datapoints\n" in text
    assert "± 0.00 " not in text
    assert found.warnings  # of four steps
    assert all(f"  warning: {warning}\n" in text for warning in found.warnings)
    assert all(f"  note: {note}\n" in text for note in found.notes)
    assert "--" not in text
    assert [(row["data"], row["family"]) for row in found.rows()] == [(n, f) for n in data for f in families]
    for row, gap in zip(found.rows()[:2], found.measured["test"].gaps.families.values(), strict=True):
        assert row["approximation"] == gap.approximation.mean
        assert row["amortization_stderr"] == gap.amortization.stderr
    assert isinstance(found.figure("of what"), Figure)
    assert "<td>full-rank</td>" in found._repr_html_()
    assert found.to_csv().splitlines()[0].endswith("guide,local_diagonal,local_full-rank")
    assert len(found.to_csv().splitlines()) == 11
    gaps = found.measured["test"].gaps
    assert isinstance(gaps.figure(), Figure)
    assert [row["family"] for row in gaps.rows()] == list(families)
    assert str(gaps).startswith("  log p(x) ≥")
    alone = gaps_by_family(MODEL, guide, families, data["test"], FEW, SHORT)
    assert alone.to_dict()["splits"]["data"]["inference"] == found.to_dict()["splits"]["test"]["inference"]


@pytest.mark.parametrize(
    ("kind", "told"),
    [(Diagonal, True), (FullRank, True), (Planar, True), (InverseAutoregressive, False), (Heavy, False)],
)
def test_who_ends_below_a_mean_field_family_is_no_optimum_if_it_is_of_gaussians(kind: type[Family], told: bool) -> None:
    """Whatever the families are called: what they are is read off their q."""
    families = {"mine": Diagonal(2), "other": kind(2)}
    noise = torch.linspace(-0.1, 0.1, 10)
    ends = {"mine": Estimate(noise - 3, None), "other": Estimate(-noise - 4, None)}
    warnings = below_mean_field(ends, families)
    assert [warning.partition(", so")[0] for warning in warnings] == [
        "family 'other': its local fits end 1.000 nats below those of 'mine'"
    ] * told


def test_bounds_have_a_difference_part_by_part_at_each_datapoint():
    parts = [ElboParts(*(Estimate(torch.randn(5)) for _ in range(3))) for _ in range(2)]
    difference = (parts[0] - parts[1]).by_name()
    for name, found in difference.items():
        left, right = (part.by_name()[name] for part in parts)
        assert torch.equal(found.values, left.values.double() - right.values.double())
    with pytest.raises(TypeError):
        parts[0] - parts[1].elbo
    with pytest.raises(UserError, match="estimate both on the same datapoints"):
        parts[0] - ElboParts(*(Estimate(torch.randn(4)) for _ in range(3)))
