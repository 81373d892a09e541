"""An evaluation as one result: what is told of a pair without a run or a command line."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pyro
import pyro.distributions as dist
import pytest
import torch
from matplotlib.figure import Figure
from pyro.nn import PyroModule

from ppl_vae import Batch, UserError
from ppl_vae.cli.evaluate import Evaluate
from ppl_vae.cli.flags import as_flags
from ppl_vae.data import Dataset
from ppl_vae.diagnostics import calibrate_pair, diagnose, evaluate
from ppl_vae.estimates.caveats import POINT_IN_WORDS
from ppl_vae.evaluation import AnnealingConfig, EvaluateConfig, estimates
from ppl_vae.evaluation.named import Estimator
from ppl_vae.guides import Diagonal, FullRank, PerDatapoint
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.config import changed, to_plain
from tests.pairs import optimal, oracle, simulate

MODEL = oracle(size=3, latent_dim=2)
DATA = Dataset(simulate(MODEL, 8))
SHORT = InferConfig(infer_starts=1, infer_steps=4, infer_window=2)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ppl_vae.diagnostics.evaluation._DRAWS", 100)


def test_it_says_all_that_is_known() -> None:
    found = evaluate(MODEL, optimal(MODEL, Diagonal), DATA)
    assert found.diagnostics is not None
    text = str(found)
    for part in ("active units 2 of 2", "± standard error over datapoints", "estimator elbo"):
        assert part in text
    assert list(found.to_dict())[:3] == ["elbo", "stderr", "monte_carlo_stderr"]
    assert [row["name"] for row in found.rows()] == ["elbo", "reconstruction", "kl"]
    assert "<td>reconstruction</td>" in found._repr_html_()
    table = found.per_datapoint()
    assert torch.equal(table["elbo"], found.results["elbo"].values)
    nats = "elbo,elbo_stderr,reconstruction,reconstruction_stderr,kl,kl_stderr,log_px,log_px_stderr"
    assert found.to_csv().splitlines()[0] == f"index,{nats},k_hat,ess"
    assert found.protocol.data == "given"


@pytest.mark.parametrize("estimator", ["elbo", "iwae"])
def test_it_ends_in_the_number(estimator: Literal["elbo", "iwae"]) -> None:
    """Hashes are for a program to compare; k̂ is of weights, and an ELBO has none."""
    found = evaluate(MODEL, optimal(MODEL, Diagonal), DATA, estimator=estimator, num_samples=4)
    headline, estimate = next(iter(found.results.items()))
    text = str(found)
    assert text.splitlines()[-1].split() == [headline, *str(estimate).split()]
    for name in ("fingerprint", "model", "guide"):
        assert found.to_dict()["protocol"][name] not in text
    assert ("k̂" in text) == (estimator == "iwae")


def test_warnings_are_those_that_are_printed() -> None:
    """Of a bound that rises beyond its error, chains that hardly move, fits that have not converged."""
    guide = PerDatapoint(Latents.of(MODEL, DATA.probe()), Diagonal(2), 3)
    annealing = AnnealingConfig(temperatures=3, leapfrog=1, start="guide", engine="eager")
    settings = EvaluateConfig(estimator="ais", num_samples=4, annealing=annealing, infer=SHORT)
    found = evaluate(MODEL, guide, DATA.replace(first=9), settings)
    stuck = replace(found, estimated=found.estimated._replace(acceptance=0.1), point=True)
    assert any("`temperatures`" in warning for warning in stuck.warnings)
    assert any("had not converged; raise `infer_steps`" in warning for warning in stuck.warnings)
    assert POINT_IN_WORDS in stuck.warnings
    assert all(f"warning: {warning}" in str(stuck).splitlines() for warning in stuck.warnings)
    assert "--" not in str(stuck)
    assert found.to_dict()["local_fits"]["converged"] == 0
    assert found.diagnostics is None


# What annealing alone reads, and other values than the usual ones.
OTHER = {"temperatures": 50, "leapfrog": 3, "schedule": "linear", "start": "guide"}
UNREAD: dict[Estimator, set[str]] = {"elbo": {*OTHER}, "iwae": {*OTHER}, "ais": set(), "bdmc": set(), "sbc": {*OTHER}}


@pytest.mark.parametrize("estimator", UNREAD)
@pytest.mark.parametrize("name", OTHER)
def test_a_setting_that_the_estimator_does_not_read_is_refused(estimator: Estimator, name: str) -> None:
    values = to_plain(AnnealingConfig())
    for value in (OTHER[name], values[name]):  # by name also where it is as usual
        settings = changed(EvaluateConfig(estimator), {name: value})
        if name not in UNREAD[estimator]:
            settings.refuse_unread([name])
            continue
        with pytest.raises(UserError, match=f"^`{name}`: nothing here reads it; what does: `estimator` ais and bdmc"):
            settings.refuse_unread([name])
    EvaluateConfig(estimator).refuse_unread()


def test_it_is_refused_by_all_that_estimate() -> None:
    guide = optimal(MODEL, Diagonal)
    settings = EvaluateConfig(annealing=AnnealingConfig(50))
    for call in (
        lambda: evaluate(MODEL, guide, DATA, temperatures=50),
        lambda: evaluate(MODEL, guide, DATA, settings),
        lambda: evaluate(MODEL, guide, DATA, start="prior"),
        lambda: estimates(MODEL, guide, DATA, settings),
        lambda: calibrate_pair(MODEL, guide, DATA, replace(settings, estimator="sbc")),
    ):
        with pytest.raises(UserError, match=r"^`(temperatures|start)`: nothing here reads it"):
            call()
    with pytest.raises(UserError, match=r"^`estimator` sbc makes no estimate but ranks"):
        evaluate(MODEL, guide, DATA, estimator="sbc")


class Discrete(PyroModule):
    """z of three kinds, as model (``x`` observed) or as guide."""

    def __init__(self, *, observes: bool) -> None:
        super().__init__()
        self.observes = observes

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.OneHotCategorical(logits=batch.x.new_zeros(3)))
            if self.observes:
                pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=batch.x)


def test_where_diagnostics_cannot_be_made_it_says_how_to_do_without() -> None:
    pair = Discrete(observes=True), Discrete(observes=False)
    data = Dataset(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
    with pytest.raises(UserError, match=r"^site 'z': OneHotCategorical is discrete; .*; `no_diagnose`, ") as it:
        evaluate(*pair, data)
    assert "; --no-diagnose, in Python" in as_flags(str(it.value), Evaluate(Path("run")))
    assert evaluate(*pair, data, diagnosed=False).diagnostics is None


def test_a_calibration_of_a_guide_with_rows_is_one_result() -> None:
    guide = PerDatapoint(Latents.of(MODEL, DATA.probe()), FullRank(2), 3)
    settings = EvaluateConfig(estimator="sbc", num_samples=7, limit=20, infer=SHORT)
    found = calibrate_pair(MODEL, guide, DATA, settings)
    assert str(found).startswith(found.calibration.verdict)
    assert "20 of 20 local fits had not converged" in str(found)
    assert list(found.to_dict())[-2:] == ["local_fits", "protocol"]
    assert (found.protocol.split, found.protocol.num_datapoints) == ("simulated", 20)
    assert [row["coordinate"] for row in found.rows()] == list(found.calibration.names)
    assert isinstance(found.figure("mine"), Figure)


def test_diagnostics_show_themselves() -> None:
    found = diagnose(MODEL, optimal(MODEL, Diagonal), DATA, 100)
    assert str(found).startswith("diagnostics of 8 datapoints, 100 draws of each:\n  effective sample size ")
    assert [row["unit"] for row in found.rows()] == ["z1", "z2"]
    assert isinstance(found.figure("KL"), Figure)
    warned = replace(found, warnings=("collapse",))
    assert str(warned).endswith("\nwarning: collapse")
