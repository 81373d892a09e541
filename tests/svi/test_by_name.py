"""Any optimizer of torch's by its name: it takes torch's own steps, goes on where it was, or is refused in one line."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ppl_vae import UserError, fit
from ppl_vae.guides import Diagonal, PerDatapoint
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.config import checked
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer, TracedStep, engine
from ppl_vae.svi.by_name import _known, options_in_words
from ppl_vae.tracing.capture import NotTraceableError
from tests.fits import TRAIN, VALIDATION, assert_same, settings, weights
from tests.pairs import vae_pair

REFUSED = {"LBFGS", "SparseAdam", "Muon"}  # of a pair with vectors
TAKEN = sorted(_known().keys() - REFUSED)


class Layer(nn.Module):
    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(3, 2, dtype=dtype)


def moved(optimizer: Any, program: nn.Module, steps: Sequence[int] = range(5)) -> dict[str, Tensor]:
    """The weights after steps along gradients that are made of the steps' numbers."""
    for step in steps:
        for number, param in enumerate(program.parameters()):
            generator = torch.Generator().manual_seed(10 * step + number)
            param.grad = torch.randn(param.shape, generator=generator, dtype=param.dtype)
        optimizer.step([]) if isinstance(optimizer, PairOptimizer) else optimizer.step()
    return weights(program)


def ours(program: nn.Module, **settings: Any) -> PairOptimizer:
    return PairOptimizer(program, nn.Module(), checked(OptimizerConfig(**settings)))


@pytest.mark.parametrize("name", TAKEN)
def test_steps_are_torchs_own(name: str) -> None:
    mine, bare = Layer(), Layer()
    torchs = getattr(torch.optim, name)(bare.parameters(), lr=0.1, **({"weight_decay": 0.0} if name != "Rprop" else {}))
    assert_same(moved(ours(mine, optimizer=name, learning_rate=0.1), mine), moved(torchs, bare))
    assert not torch.equal(mine.layer.weight, Layer().layer.weight)


def test_options_are_torchs_own() -> None:
    mine, bare = Layer(), Layer()
    torchs = torch.optim.SGD(bare.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    options = {"momentum": 0.9, "nesterov": True}
    assert_same(
        moved(ours(mine, optimizer="SGD", learning_rate=0.1, optimizer_options=options), mine), moved(torchs, bare)
    )
    mine, bare = Layer(), Layer()
    torchs = torch.optim.Adam(bare.parameters(), lr=0.1, betas=(0.5, 0.9), eps=1e-4)
    of_ours = ours(mine, learning_rate=0.1, optimizer_options=("betas=0.5,0.9",), adam_epsilon=1e-4)
    assert_same(moved(of_ours, mine), moved(torchs, bare))


def test_decay_is_the_classs_own_and_of_matrices() -> None:
    mine, bare = Layer(), Layer()
    groups = [{"params": [bare.layer.weight], "weight_decay": 0.5}, {"params": [bare.layer.bias], "weight_decay": 0.0}]
    torchs = torch.optim.RMSprop(groups, lr=0.1)
    of_ours = ours(mine, optimizer="RMSprop", learning_rate=0.1, weight_decay=0.5)
    assert_same(moved(of_ours, mine), moved(torchs, bare))


@pytest.mark.parametrize("options", [{"optimizer": "AdamW"}, {"optimizer_options": {"foreach": False}}])
def test_adamw_by_name_and_adam_with_options_decay_as_our_adam_does(options: dict[str, Any]) -> None:
    usual, named = Layer(), Layer()
    expected = moved(ours(usual, learning_rate=0.1, weight_decay=0.5), usual)
    found = moved(ours(named, learning_rate=0.1, weight_decay=0.5, **options), named)
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [*TAKEN, "SGD with momentum"])
def test_state_goes_on_where_it_was(name: str) -> None:
    """Bit for bit, with two groups and a parameter that has had no step; and the state is tensors alone."""
    name, _, momentum = name.partition(" with ")
    chosen: dict[str, Any] = {"optimizer": name, "learning_rate": 0.1, "weight_decay": 0.0 if name == "Rprop" else 0.1}
    if momentum:
        chosen["optimizer_options"] = {"momentum": 0.9}
    whole, cut = Layer(), Layer()
    expected = moved(ours(whole, **chosen), whole)
    first = ours(cut, **chosen)
    moved(first, cut, range(3))
    state = first.state_dict()
    remembered = [value for of_one in state["shared"]["state"].values() for value in of_one.values()]
    assert all(isinstance(value, Tensor) for value in remembered)
    assert bool(remembered) == (name != "SGD" or bool(momentum))
    again = ours(cut, **chosen)
    assert again.has_made(state)
    again.load_state_dict(state)
    assert_same(moved(again, cut, range(3, 5)), expected)


def test_a_state_of_another_optimizer_is_not_taken() -> None:
    program = Layer()
    of_one, other = ours(program, optimizer="RMSprop"), ours(program)
    moved(of_one, program)
    assert of_one.has_made(of_one.state_dict())
    assert not other.has_made(of_one.state_dict())


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"optimizer": "rmsprob"}, r"unknown optimizer 'rmsprob' .*; did you mean 'RMSprop'\?"),
        ({"optimizer": "Optimizer"}, "unknown optimizer 'Optimizer'"),
        ({"optimizer": "lr_scheduler"}, "unknown optimizer 'lr_scheduler'"),
        ({"optimizer": "LBFGS"}, "`optimizer` LBFGS asks for the loss several times in a step"),
        ({"optimizer": "SparseAdam"}, "`optimizer` SparseAdam takes no step .*dense gradients.*; choose another"),
        ({"optimizer": "Muon"}, "`optimizer` Muon cannot move this pair .*2D parameters"),
        ({"optimizer": "Rprop", "weight_decay": 0.1}, "`optimizer` Rprop has no weight decay"),
        ({"optimizer": "Rprop", "schedule": "cosine"}, "`optimizer` Rprop reads the learning rate at its first step"),
        ({"optimizer": "Rprop", "rate_warmup": 2}, "`optimizer` Rprop reads the learning rate at its first step"),
        ({"optimizer": "SGD", "adam_epsilon": 1e-4}, "`adam_epsilon`: nothing here reads it; what does: Adam"),
        ({"optimizer": "SGD", "optimizer_options": ("momentun=0.9",)}, r"SGD has no 'momentun' .* mean 'momentum'\?"),
        ({"optimizer": "SGD", "optimizer_options": ("momentum",)}, "'momentum' is no NAME=VALUE"),
        ({"optimizer": "SGD", "optimizer_options": {"lr": 0.1}}, "lr is set by `learning_rate`"),
        ({"optimizer": "SGD", "optimizer_options": {"weight_decay": 0.1}}, "weight_decay is set by `weight_decay`"),
        ({"optimizer_options": {"eps": 0.1}}, "eps is set by `adam_epsilon`"),
        ({"optimizer": "SGD", "optimizer_options": ("momentum=0.9", "momentum=0.8")}, "'momentum' is there twice"),
        (
            {"optimizer": "SGD", "optimizer_options": {"momentum": "much"}},
            "momentum=much is no such value; .*momentum=0",
        ),
        ({"optimizer": "SGD", "optimizer_options": {"momentum": math.nan}}, "momentum=nan is no such value"),
        ({"optimizer": "SGD", "optimizer_options": {"nesterov": 2}}, "nesterov=2 is no such value; .*nesterov=false"),
        ({"optimizer": "SGD", "optimizer_options": {"foreach": "maybe"}}, "foreach=maybe is no such value"),
        ({"optimizer": "SGD", "optimizer_options": {"nesterov": True}}, "takes no step .*; change them"),
        ({"optimizer": "SGD", "optimizer_options": {"maximize": True}}, "does not go down along a gradient"),
        ({"optimizer": "SGD", "optimizer_options": {"differentiable": True}}, "takes no step"),
        ({"optimizer_options": {"betas": 0.9}}, "betas=0.9 is no such value; torch's default is betas=0.9,0.999"),
        ({"optimizer_options": {"betas": (0.9, 2)}}, "takes no step .*beta"),
    ],
    ids=str,
)
def test_what_cannot_train_is_refused_in_one_line(chosen: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        ours(Layer(torch.float32), **chosen)
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=words):
        settings(patience=0, optimizer=checked(OptimizerConfig(**chosen))).refuse_unread(Layer())


def test_options_are_words_and_python_values() -> None:
    given = {"betas": (0.9, torch.tensor(0.5)), "nesterov": True, "foreach": None, "d": 1e-05}
    words = ("betas=0.9,0.5", "nesterov=true", "foreach=none", "d=1e-05")
    assert options_in_words(given) == words
    assert checked(OptimizerConfig(optimizer_options=given)).optimizer_options == words  # type: ignore[arg-type]
    with pytest.raises(UserError, match="`optimizer_options`: must be a valid tuple"):
        checked(OptimizerConfig(optimizer_options="momentum=0.9"))  # type: ignore[arg-type]


def test_rows_have_their_own_adam() -> None:
    model, _ = vae_pair()
    latents = Latents.of(model, TRAIN.batch(torch.arange(2)))
    guide = PerDatapoint(latents, Diagonal(latents.size), len(TRAIN))
    chosen = checked(OptimizerConfig(optimizer="SGD", adam_epsilon=1e-4, row_learning_rate=0.2))
    optimizer = PairOptimizer(model, guide, chosen)
    assert isinstance(optimizer.of_shared, torch.optim.SGD)
    EagerStep(model, guide, TraceELBO(), optimizer, TRAIN)(torch.tensor([3, 5]))
    (table,) = optimizer.tables
    assert torch.nonzero(table.weight.abs().sum(1)).flatten().tolist() == [3, 5]


def test_its_steps_are_eager_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = vae_pair()
    step = EagerStep(*pair, TraceELBO(), PairOptimizer(*pair, OptimizerConfig(optimizer="SGD")), TRAIN)
    with pytest.raises(NotTraceableError):
        TracedStep(step, 16)
    monkeypatch.setattr(engine, "TracedStep", partial(TracedStep, compile_graph=lambda graph, examples: graph))
    for kind in ("auto", "traced"):
        said: list[str] = []
        fit(*vae_pair(), TRAIN, settings=settings(patience=0, engine=kind), optimizer="SGD", on_engine=said.append)
        assert len(said) == 1
        assert said[0].startswith("eager: ")
    assert said == ["eager: the step cannot be traced (that is for the optimizer Adam without options)"]


def test_defaults_that_are_ours_and_not_torchs_are_told() -> None:
    said: list[str] = []
    usual = settings(epochs=1, patience=0, kl_warmup=0, optimizer=OptimizerConfig())
    for chosen in (
        {"optimizer": "Adadelta"},
        {"optimizer": "RMSprop"},
        {"optimizer": "AdamW"},
        {"optimizer": "Adadelta", "learning_rate": 0.5},
    ):
        fit(*vae_pair(), TRAIN, VALIDATION, usual, warn=said.append, **chosen)
    assert said == [
        "`optimizer` Adadelta has `learning_rate` 0.001, where torch's own default is 1; set what you want.",
        "`optimizer` AdamW has `weight_decay` 0, where torch's own default is 0.01; set what you want.",
    ]
