"""Whose the parameters are: a pair's that is used here are its own, an ordinary program's are in Pyro's store."""

import subprocess
import sys

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoNormal
from pyro.nn import PyroModule, PyroParam
from torch import Tensor, nn
from torch.distributions import constraints

from ppl_vae import Batch, FitConfig, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.program import Program
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from tests.pairs import all_of, amortized, oracle, simulate

ORDINARY = """
import sys
import pyro, torch
import pyro.distributions as dist
from pyro.infer import SVI, Trace_ELBO
from pyro.infer.autoguide import AutoMultivariateNormal
from pyro.nn import PyroModule, PyroParam, PyroSample
from torch.distributions import constraints

x = torch.linspace(-1, 2, 12).reshape(6, 2)

class Regression(PyroModule):
    def __init__(self):
        super().__init__()
        self.net = PyroModule[torch.nn.Linear](2, 1)
        self.net.bias = PyroSample(dist.Normal(torch.zeros(1), 1.0).to_event(1))
        self.scale = PyroParam(torch.tensor(0.7), constraint=constraints.positive)

    def forward(self, x):
        shift = pyro.param("shift", torch.tensor(0.1))
        loc = self.net(x).squeeze(-1) + shift
        with pyro.plate("data", len(x)):
            pyro.sample("y", dist.Normal(loc, self.scale), obs=x.sum(-1))

def model(x):
    z = pyro.sample("z", dist.Normal(pyro.param("loc", torch.tensor(0.3)), 1.0))
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(z, 1.0), obs=x[:, 0])

def guide(x):
    pyro.sample("z", dist.Normal(pyro.param("q_loc", torch.tensor(0.0)),
                                 pyro.param("q_scale", torch.tensor(1.0), constraint=constraints.positive)))

def trained(beside=lambda: None):
    pyro.clear_param_store()
    pyro.set_rng_seed(1)
    regression = Regression()
    for p, q in [(regression, AutoMultivariateNormal(regression)), (model, guide)]:
        svi = SVI(p, q, pyro.optim.Adam({"lr": 0.05}), loss=Trace_ELBO())
        for _ in range(5):
            svi.step(x)
            beside()
    store = pyro.get_param_store()
    return {name: store[name].tolist() for name in sorted(store.keys())}, pyro.settings.get()

alone = trained()
assert set(alone[0]) == {"net.weight", "scale", "shift", "AutoMultivariateNormal.loc", "AutoMultivariateNormal.scale",
                         "AutoMultivariateNormal.scale_tril", "loc", "q_loc", "q_scale"}, set(alone[0])
assert not any(name.startswith("ppl_vae") for name in sys.modules)

import ppl_vae, ppl_vae.models, ppl_vae.guides
assert trained() == alone

from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo
from tests.pairs import bits, vae_pair
settings, data = ppl_vae.FitConfig(epochs=1, device="cpu"), Dataset(bits(6))

def ours():
    state = torch.get_rng_state()
    pair = vae_pair()
    ppl_vae.fit(*pair, data, settings=settings)
    elbo(*pair, data)
    torch.set_rng_state(state)

assert trained(ours) == alone
print(alone[0]["q_loc"])
"""


def test_an_ordinary_program_trains_beside_us_as_without_us() -> None:
    """The very same parameters: before we are imported, after, and with a training of ours between any two steps."""
    result = subprocess.run([sys.executable, "-c", ORDINARY], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) != 0


class PlainModel(PyroModule):
    """A pair that knows nothing of this package: z ~ N(0, I), x ~ N(Wz, scale²)."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 10).reshape(2, 5))
        self.scale = PyroParam(torch.tensor(0.8), constraint=constraints.positive)

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.weight, self.scale).to_event(1), obs=batch.x)


class PlainGuide(PyroModule):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([PyroModule[nn.Linear](5, 2)])  # with a context of its own
        self.spread = PyroParam(torch.tensor(0.5), constraint=constraints.positive)

    def forward(self, batch: Batch) -> None:
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.parts[0](batch.x), self.spread).to_event(1))


class OurModel(PlainModel, Program):
    """The same, of ours."""


def plain(seed: int) -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(seed)
    return PlainModel(), PlainGuide()


def state_of(*programs: nn.Module) -> list[Tensor]:
    return [value.clone() for program in programs for value in program.state_dict().values()]


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return all(torch.equal(*both) for both in zip(a, b, strict=True))


X = torch.linspace(-2, 2, 30).sin().mul(2).reshape(6, 5)
SETTINGS = FitConfig(epochs=3, batch_size=4, device="cpu", optimizer=OptimizerConfig(learning_rate=0.05))


def by_fit(model: nn.Module, guide: nn.Module) -> None:
    fit(model, guide, Dataset(X), settings=SETTINGS)


def by_steps(model: nn.Module, guide: nn.Module) -> None:
    step = EagerStep(model, guide, TraceELBO(), PairOptimizer(model, guide, OptimizerConfig()), Dataset(X))
    torch.manual_seed(3)
    for _ in range(3):
        step(torch.arange(6))


@pytest.mark.parametrize("train", [by_fit, by_steps])
def test_a_pair_of_plain_pyro_modules_has_its_own_parameters_here(train: object) -> None:
    alone, start = plain(2), state_of(*plain(2))
    train(*alone)  # type: ignore[operator]
    assert not any(torch.equal(*both) for both in zip(state_of(*alone), start, strict=True))
    train(*plain(1))  # type: ignore[operator]
    second = plain(2)
    before = elbo(*second, Dataset(X)).elbo.mean
    assert Latents.of(second[0], all_of(X)).size == 2
    train(*second)  # type: ignore[operator]
    assert same(state_of(*second), state_of(*alone))
    assert elbo(*second, Dataset(X)).elbo.mean > before
    assert not list(pyro.get_param_store().keys())
    assert not pyro.settings.get("module_local_params")


def test_pyros_own_svi_of_plain_modules_goes_on_where_ours_stopped() -> None:
    """And it keeps its parameters in the store, as ever; ours evaluate what it has trained."""
    model, guide = plain(2)
    by_fit(model, guide)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
    before = elbo(model, guide, Dataset(X), 200).elbo.mean
    try:
        for _ in range(40):
            svi.step(all_of(X))
        assert {"weight", "scale", "spread"} <= set(pyro.get_param_store().keys())
        assert elbo(model, guide, Dataset(X), 200).elbo.mean > before + 0.5
    finally:
        pyro.clear_param_store()


@pytest.mark.parametrize("setting", [True, False])
def test_ours_are_local_whatever_the_setting(setting: bool) -> None:
    with pyro.settings.context(module_local_params=setting):
        model = OurModel()
        guide = amortized(model, X)
        for program in (model, guide):
            program(all_of(X))
        assert not list(pyro.get_param_store().keys())
        assert pyro.settings.get("module_local_params") == setting


def test_an_autoguide_of_our_model_trains_with_it() -> None:
    """Its parameters are where the user has Pyro keep them, the model's are the model's."""
    model = oracle()
    batch = all_of(simulate(model, 8))
    guide = AutoNormal(model)
    svi = SVI(model, guide, pyro.optim.Adam({"lr": 0.05}), Trace_ELBO())
    before = state_of(model)
    try:
        svi.step(batch)
        start = {name: value.clone() for name, value in pyro.get_param_store().items()}
        svi.step(batch)
        assert set(start) == {"AutoNormal.locs.z", "AutoNormal.scales.z"}
        assert not any(torch.equal(value, start[name]) for name, value in pyro.get_param_store().items())
        assert not any(torch.equal(*both) for both in zip(state_of(model), before, strict=True))
    finally:
        pyro.clear_param_store()


def test_our_program_inside_an_ordinary_one_and_then_alone() -> None:
    class Outer(PyroModule):
        def __init__(self) -> None:
            super().__init__()
            self.inner = OurModel()

        def forward(self, batch: Batch) -> None:
            self.inner(batch)

    outer = Outer()
    outer(all_of(X))
    check_pair(outer.inner, amortized(outer.inner, X), all_of(X))
    outer.inner(all_of(X))
    assert not list(pyro.get_param_store().keys())
